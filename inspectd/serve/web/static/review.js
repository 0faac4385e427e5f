// Review: one card after the other, decided with one key. A decision shows at once and is sent behind the reviewer's back;
// if the server can't keep it, the card comes back and the page says so.

import { element } from "./dom.js";
import { Photo, preload } from "./photo.js";
import { Strip } from "./strip.js";
import { why } from "./why.js";

const find = (id) => document.getElementById(id);
const token = document.querySelector("meta[name=csrf]").content;
const query = new URLSearchParams(location.search);
const AHEAD = 3; // images that are loaded before they are needed
const LOOK_MS = 5000;

const photo = new Photo(find("photo"));
const strip = new Strip(find("strip"), chosen, more);
const choices = [...document.querySelectorAll(".choice")].map((button) => ({ button, says: button.dataset.says, key: button.dataset.key, words: button.querySelector("span").textContent }));
const byKey = new Map(choices.filter(({ key }) => key).map((choice) => [choice.key.toLowerCase(), choice]));

const cards = [];
const selected = new Set(); // part numbers that are selected
let current = 0;
let anchor = 0; // where a row that is selected begins
let after = ""; // null: no more
let newest = null; // the newest part when the queue was read; null: it was not read yet
let loading = false;
let sending = Promise.resolve();
let waiting = 0; // decisions that are not kept yet
const decided = []; // how many labels each decision was about, so that an undo takes back all of them
let keysAreOn = true;

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    return { problem: "The page can't reach the line's computer. Nothing was kept." };
  }
  if (answer.redirected || answer.status === 401) return { problem: "You are logged out. Log in again. Nothing was kept." };
  try {
    return await answer.json();
  } catch {
    return { problem: `The page answered with ${answer.status}. Nothing was kept.` };
  }
}

async function more() {
  if (loading || after === null) return;
  loading = true;
  query.set("after", after);
  const said = await ask(`/review/cards?${query}`);
  loading = false;
  if (said.problem) {
    after = null;
    return complain(said.problem);
  }
  const known = new Set(cards.map(({ part }) => part));
  cards.push(...said.cards.filter(({ part }) => !known.has(part)));
  after = said.after;
  newest ??= said.newest;
  progress(said.progress);
  show();
}

async function lookForNew() {
  if (document.hidden || newest === null) return;
  const said = await ask(`/review/new?${newerThan()}`);
  if (said.problem) return; // the top of the page says it
  find("new").disabled = said.parts === 0;
  find("new").querySelector("span").textContent = said.parts ? `${said.parts}${said.is_all ? "" : " or more"} new` : "";
  if (said.parts && !cards.length) takeNew(); // nobody reviews anything now
}

function newerThan(at = "") {
  const wanted = new URLSearchParams(query);
  wanted.set("newer_than", newest);
  wanted.set("after", at);
  return wanted;
}

async function takeNew() {
  if (find("new").disabled) return;
  find("new").disabled = true;
  await sending;
  const fresh = [];
  for (let at = ""; at !== null;) {
    const said = await ask(`/review/cards?${newerThan(at)}`);
    if (said.problem) return complain(said.problem);
    fresh.push(...said.cards);
    at = said.after;
  }
  newest = Math.max(newest, ...fresh.map(({ part }) => part));
  const known = new Set(cards.map(({ part }) => part));
  cards.unshift(...fresh.filter(({ part }) => !known.has(part)));
  find("new").querySelector("span").textContent = "";
  go(0);
  find("photo").focus({ preventScroll: true });
}

function show() {
  const none = cards.length === 0;
  find("review").hidden = none;
  find("empty").hidden = !none;
  if (none) return;
  const card = cards[current];
  photo.show(card.gone ? null : card.image, `Label of part ${card.part}`, card.marks,
    card.image ? "The archive has deleted this image, so it can't be reviewed." : "There is no image of this label.");
  find("legend").replaceChildren(...legend(card));
  find("why").replaceChildren(...why(card));
  strip.show(cards, current, selected);
  for (const { button, says } of choices) {
    button.setAttribute("aria-pressed", String(card.mine === says));
    button.disabled = card.gone && !selected.size;
  }
  find("mark").setAttribute("aria-pressed", String(selected.has(card.part)));
  for (const next of cards.slice(current + 1, current + 1 + AHEAD)) if (!next.gone) preload(next.image);
  if (current > 0 && !cards[current - 1].gone) preload(cards[current - 1].image);
}

function legend(card) {
  return card.marks.map(({ kind, words }) =>
    element("span", {}, element("span", { class: `swatch swatch-${kind}`, "aria-hidden": "true" }), ` ${words} `));
}

function progress({ counts, wanted }) {
  const isOpen = find("progress").querySelector("details")?.open ?? false;
  const sum = (chosen) => chosen.reduce((total, { parts }) => total + parts, 0);
  const good = sum(counts.filter((each) => each.good));
  const list = (items) => element("ul", {}, ...items.map((each) => element("li", {}, each)));
  find("progress").replaceChildren(element("details", { open: isOpen },
    element("summary", {}, element("span", {}, element("strong", {}, "Reviewed:"), ` ${good} good, ${sum(counts) - good} faulty or unknown.`,
      ...(wanted.length ? [element("strong", {}, " Still needed:"), ` ${wanted[0]}`] : []))),
    list(counts.map(({ words, parts }) => `${words}: ${parts}`)), list(wanted)));
}

function complain(sentence) {
  find("problem").textContent = sentence;
  find("problem").hidden = false;
}

function go(index) {
  current = Math.min(Math.max(index, 0), cards.length - 1);
  anchor = current;
  show();
}

function nextOpen() {
  const isOpen = ({ mine, gone }) => !mine && !gone;
  const open = cards.findIndex((card, index) => index > current && isOpen(card));
  if (open === -1 && after === null && !cards.some(isOpen)) say("Every label of this list is decided.");
  go(open === -1 ? current + 1 : open);
}

function decide({ says, words }) {
  const targets = selected.size ? cards.filter(({ part }) => selected.has(part)) : [cards[current]];
  const open = targets.filter(({ gone }) => !gone);
  if (!open.length) return say("A label without an image can't be reviewed.");
  find("problem").hidden = true;
  const before = open.map(({ mine, mine_words }) => ({ mine, mine_words }));
  for (const card of open) Object.assign(card, { mine: says, mine_words: words });
  const moves = !selected.size || open.includes(cards[current]);
  selected.clear();
  say(open.length === 1 ? `Part ${open[0].part}: ${words}` : `${open.length} labels: ${words}`);
  if (moves) nextOpen(); else show();
  wait(1);
  sending = sending.then(async () => {
    const said = await ask("/review/decide", { says, parts: open.map(({ part, t }) => ({ part, t })) });
    wait(-1);
    if (said.problem) open.forEach((card, place) => Object.assign(card, before[place]));
    take(said);
    if (!said.problem) return decided.push(open.length);
    complain(said.problem);
    const lost = new Set(open.map(({ part }) => part));
    go(cards.findIndex(({ part, mine }) => lost.has(part) && mine !== says));
  });
}

function wait(change) {
  waiting += change;
  find("review").toggleAttribute("aria-busy", waiting > 0);
}

function take(said) {
  for (const fresh of said.cards ?? []) {
    const index = cards.findIndex(({ part, t }) => part === fresh.part && t === fresh.t);
    if (index !== -1) cards[index] = fresh;
    if (fresh.disagree) {
      say(`Part ${fresh.part}: you say ${fresh.mine_words}. ${fresh.decisions.map(({ by, words }) => `${by} says ${words}`).join(", ")}.`);
    }
  }
  if (said.progress) progress(said.progress);
  show();
}

async function undo() {
  await sending;
  const said = await ask("/review/undo", { labels: decided.pop() ?? 1 });
  if (said.problem) return complain(said.problem);
  if (!said.parts.length) return say("There is nothing to undo.");
  say(said.parts.length === 1 ? `Part ${said.parts[0]}: the decision was taken back.` : `The decisions on ${said.parts.length} labels were taken back.`);
  const fresh = said.cards.filter(({ part, t }) => !cards.some((card) => part === card.part && t === card.t));
  cards.splice(current, 0, ...fresh);
  current = Math.max(cards.findIndex(({ part }) => said.parts.includes(part)), 0);
  take(said);
}

function say(sentence) {
  find("said").textContent = sentence;
}

function select(index) {
  const { part, gone } = cards[index];
  if (gone) return say(`Part ${part} has no image, so it can't be selected.`);
  if (!selected.delete(part)) selected.add(part);
  say(selected.size ? selectedWords() : "Nothing is selected.");
  show();
}

function chosen(index, event) {
  if (!event.shiftKey) return go(index);
  const [first, last] = anchor < index ? [anchor, index] : [index, anchor];
  for (const { part, gone } of cards.slice(first, last + 1)) if (!gone) selected.add(part);
  current = index;
  say(selectedWords());
  show();
}

function selectedWords() {
  return `${selected.size} selected. One key decides on all. Shift and a click selects a row, Esc none.`;
}

function toggleMarks() {
  find("marks").setAttribute("aria-pressed", String(photo.toggleMarks()));
}

function toggleKeys() {
  keysAreOn = !keysAreOn;
  find("keys").setAttribute("aria-pressed", String(keysAreOn));
  find("keys").querySelector("span").textContent = keysAreOn ? "on" : "off";
}

const actions = {
  " ": () => go(current + 1), ArrowRight: () => go(current + 1), ArrowLeft: () => go(current - 1), Home: () => go(0), End: () => go(cards.length - 1),
  n: takeNew, z: undo, x: () => select(current), h: toggleMarks,
  Escape: () => { selected.clear(); say("Nothing is selected."); show(); },
};

document.addEventListener("keydown", (event) => {
  if (!keysAreOn || event.ctrlKey || event.metaKey || event.altKey || !cards.length) return;
  if (event.target.matches("input, select, textarea")) return;
  if ((event.key === " " || event.key === "Enter") && event.target.matches("button, a, summary")) return; // they have these keys
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.repeat && (byKey.has(key) || key === "z" || key === "x")) return; // a held key is one decision
  if (photo.key(event)) { /* done */ }
  else if (byKey.has(key)) decide(byKey.get(key));
  else if (actions[key]) actions[key]();
  else return;
  event.preventDefault();
});

const clicks = {
  smaller: () => photo.smaller(), fit: () => photo.fit(), larger: () => photo.larger(), marks: toggleMarks, previous: () => go(current - 1),
  new: takeNew, next: () => go(current + 1), skip: () => go(current + 1), mark: () => select(current), undo, keys: toggleKeys,
};
for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", action);
for (const choice of choices) {
  choice.button.addEventListener("click", () => {
    decide(choice);
    find("photo").focus({ preventScroll: true }); // the space bar must skip now, and not press this button again
  });
}
window.addEventListener("beforeunload", (event) => {
  if (waiting) event.preventDefault();
});

setInterval(lookForNew, LOOK_MS);
more();
