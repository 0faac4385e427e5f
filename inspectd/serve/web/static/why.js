// What the line said about a label, and why.

import { element } from "./dom.js";

const percent = (share) => `${Math.min(Math.max(share, 0), 1) * 100}%`;

export function why(card) {
  return [verdict(card), unreadable(card), certainty(card), scores(card), guard(card), texts(card), people(card),
    element("p", { class: "secondary" }, `Engine ${card.engine}`)].filter(Boolean);
}

function verdict(card) {
  return element("div", { class: "why-verdict" },
    element("h2", { class: card.kind }, element("span", { class: "shape", "aria-hidden": "true" }, card.shape), ` ${card.cause}`),
    element("p", {}, element("a", { href: `/parts/${card.part}` }, `Part ${card.part}`), ` · ${card.time}`),
    element("p", { class: card.must_be_found ? "fault" : "secondary" }, card.gate));
}

function unreadable(card) {
  if (!card.unreadable.length) return null;
  return element("p", {}, `⚠ The journal is damaged here. It can't be read: ${card.unreadable.join("; ")}.`);
}

function certainty(card) {
  if (card.certainty === null) return element("p", {}, "It was not inspected, so there are no scores.");
  const bar = element("div", { class: "bar bar-certainty", "aria-hidden": "true" });
  bar.append(filled(card.certainty, card.kind));
  if (card.threshold !== null) {
    const line = element("span", { class: "bar-threshold" });
    line.style.left = percent(card.threshold);
    bar.append(line);
  }
  return element("div", {}, element("p", { class: "why-figure" },
    element("span", { class: "value" }, card.certainty.toFixed(2)), " certainty",
    card.threshold === null
      ? element("span", { class: "secondary" }, " (judged by an engine that is not in use now)")
      : ` (needed: ${card.threshold.toFixed(2)})`), bar);
}

function scores(card) {
  if (!card.scores.length) return null;
  const rows = card.scores.map(({ name, words, value }) => {
    const bar = element("span", { class: "bar", "aria-hidden": "true" });
    bar.append(filled(value, ""));
    return element("li", { class: words === card.predicted ? "highest" : null, "data-class": name },
      element("span", { class: "score-words" }, words), bar, element("span", { class: "score-value" }, value.toFixed(2)));
  });
  return element("div", {}, element("h3", {}, "Score of each class"), element("ul", { class: "scores" }, ...rows));
}

function filled(share, kind) {
  const part = element("span", { class: `bar-filled ${kind}` });
  part.style.width = percent(share);
  return part;
}

function guard(card) {
  if (!card.guard) return null;
  return element("div", {}, element("h3", {}, "Unlike good labels"),
    element("p", {}, element("span", { class: "swatch swatch-anomaly", "aria-hidden": "true" }), ` ${card.guard.words}: ${card.guard.excess}`),
    element("p", { class: "secondary" }, `${card.guard.place}. The journal keeps this place, and no heat map.`));
}

function texts(card) {
  if (!card.texts.length) return null;
  return element("div", {}, element("h3", {}, "Texts and codes"), ...card.texts.map(field));
}

function field(text) {
  const runs = (parts) => parts.length
    ? parts.map(([characters, isWrong]) => (isWrong ? element("mark", {}, characters) : characters))
    : [element("span", { class: "secondary" }, "nothing")];
  const rows = element("dl", { class: "text-rows" },
    element("dt", {}, "must say"), element("dd", { class: "printed" }, ...runs(text.expected)),
    element("dt", {}, "says"), element("dd", { class: "printed" }, ...runs(text.found)));
  return element("div", { class: "text-field" },
    element("p", {}, text.right ? "✓ " : element("span", { class: "swatch swatch-text", "aria-hidden": "true" }), ` ${text.name}: `,
      element("strong", { class: text.right ? null : "fault" }, text.words)), rows,
    text.place === null ? null : element("p", { class: "secondary" },
      `Character ${text.place}: expected ${quoted(text.character_expected)}, found ${quoted(text.character_found)}`),
    element("p", { class: "secondary" }, `Expected because: ${text.source}${text.score === null ? "" : `. Fit ${text.score.toFixed(1)} (right from 0)`}`));
}

const quoted = (character) => (character ? `“${character}”` : "nothing");

// Others' decisions come from the server only after one's own.
function people(card) {
  const list = element("ul", { class: "people" });
  if (card.mine) list.append(element("li", {}, "You: ", element("strong", {}, card.mine_words)));
  for (const { by, words, when } of card.decisions) list.append(element("li", {}, `${by}: `, element("strong", {}, words), ` · ${when}`));
  if (!card.mine && card.others) {
    list.append(element("li", { class: "secondary" }, `${card.others} other ${card.others === 1 ? "person has" : "people have"} decided. You see it after your own decision.`));
  }
  if (!list.children.length) list.append(element("li", { class: "secondary" }, "Nobody has decided yet."));
  return element("div", {}, element("h3", {}, card.disagree ? element("span", { class: "fault" }, "≠ Reviewers disagree") : "Decisions"), list);
}
