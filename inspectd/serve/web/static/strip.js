// The queue as one row of small images. Only those in sight are in the page, so a hundred thousand are as smooth as ten.

import { element } from "./dom.js";

const WIDTH = 112;
const BEYOND = 6; // items on both sides of those in sight
const NEAR_END = 30; // when so few are left, more are asked for

export class Strip {
  // chosen(index, event): somebody clicked; wanted(): more cards are needed.
  constructor(root, chosen, wanted) {
    this.root = root;
    this.row = element("ol", { class: "strip-row" });
    this.root.replaceChildren(this.row);
    this.wanted = wanted;
    this.items = new Map();
    this.cards = [];
    this.current = 0;
    this.selected = new Set();
    this.root.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(this.root);
    this.row.addEventListener("click", (event) => {
      const item = event.target.closest("button");
      if (item) chosen(Number(item.dataset.index), event);
    });
  }

  show(cards, current, selected) {
    this.cards = cards;
    this.selected = selected;
    const moved = current !== this.current;
    this.current = current;
    this.row.style.width = `${cards.length * WIDTH}px`;
    if (moved) this.bringIntoSight();
    this.draw();
  }

  bringIntoSight() {
    const left = this.current * WIDTH;
    const { scrollLeft, clientWidth } = this.root;
    if (left < scrollLeft + WIDTH || left > scrollLeft + clientWidth - 2 * WIDTH) {
      this.root.scrollLeft = left - clientWidth / 2 + WIDTH / 2;
    }
  }

  draw() {
    const first = Math.max(0, Math.floor(this.root.scrollLeft / WIDTH) - BEYOND);
    const last = Math.min(this.cards.length, Math.ceil((this.root.scrollLeft + this.root.clientWidth) / WIDTH) + BEYOND);
    const items = new Map();
    for (let index = first; index < last; index += 1) {
      const old = this.items.get(index);
      items.set(index, old?.dataset.state === this.state(index) ? old : this.item(index));
    }
    const focused = document.activeElement?.dataset?.index;
    if (items.size !== this.items.size || [...items].some(([index, item]) => this.items.get(index) !== item)) {
      this.row.replaceChildren(...items.values());
      if (focused !== undefined) items.get(Number(focused))?.firstChild.focus({ preventScroll: true });
    }
    this.items = items;
    if (last > this.cards.length - NEAR_END) this.wanted();
  }

  // What an item shows. An item whose state is the same stays, so that its image does not flicker.
  state(index) {
    const { part, t, mine, disagree, gone } = this.cards[index];
    return [part, t, mine, disagree, gone, index === this.current, this.selected.has(part)].join(" ");
  }

  item(index) {
    const card = this.cards[index];
    const isSelected = this.selected.has(card.part);
    const state = card.mine ? `you said ${card.mine_words}` : "not decided";
    const item = element("li", { class: "strip-item" },
      element("button", {
        type: "button",
        class: `strip-card ${card.kind}${isSelected ? " selected" : ""}${card.mine ? " decided" : ""}`,
        tabindex: index === this.current ? "0" : "-1",
        "aria-current": index === this.current ? "true" : null,
        "aria-pressed": String(isSelected),
        "aria-label": `Part ${card.part}, ${card.cause}, ${state}${card.disagree ? ", reviewers disagree" : ""}`,
        "data-index": index,
      },
      card.image && !card.gone
        ? element("img", { src: `/thumbnails/${card.part}?t=${card.t}`, alt: "", loading: "lazy", decoding: "async", draggable: "false" })
        : element("span", { class: "strip-none" }, "no image"),
      element("span", { class: "strip-words" },
        element("span", { class: `shape ${card.kind}` }, card.shape), ` ${card.part}`,
        card.disagree ? element("span", { class: "strip-said fault" }, " ≠") : card.mine ? element("span", { class: "strip-said" }, " ✔") : null,
        isSelected ? element("span", { class: "strip-mark" }, "■") : null)));
    item.dataset.state = this.state(index);
    item.style.left = `${index * WIDTH}px`;
    return item;
  }
}
