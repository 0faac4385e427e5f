// A photo with the places that the line marked: zoom with the wheel, two fingers or keys, move with a finger, the mouse or keys.

import { element, svg } from "./dom.js";

const LARGEST = 16;
const STEP = 1.25;
const PIXELS_FROM = 3; // from this scale on, pixels are shown as squares
const BESIDE_PX = 6; // from a marked place to its mark
const ready = new Map(); // address -> image that is loaded or loading
const MOST_READY = 8;

export function preload(address) {
  if (!address || ready.has(address)) return;
  const image = new Image();
  image.src = address;
  image.decode().catch(() => {}); // shown() says what is wrong
  ready.set(address, image);
  for (const old of ready.keys()) {
    if (ready.size <= MOST_READY) break;
    ready.delete(old);
  }
}

export class Photo {
  constructor(root) {
    this.root = root;
    this.plane = element("div", { class: "photo-plane" });
    this.note = element("p", { class: "photo-note" });
    root.replaceChildren(this.plane, this.note);
    this.marks = [];
    this.showsMarks = true;
    this.pointers = new Map();
    this.listen();
  }

  // address: null if there is no image. Marks: [{kind, words, box: [left, top, width, height] in px}].
  show(address, description, marks, whyNone) {
    if (address && address === this.address) return; // it stays as somebody has zoomed it
    this.address = address;
    this.plane.replaceChildren();
    this.image = null;
    this.marks = marks;
    this.note.textContent = address ? "" : whyNone;
    if (!address) return;
    preload(address);
    const image = ready.get(address);
    image.alt = description;
    image.draggable = false;
    this.image = image;
    const place = () => {
      if (this.image !== image) return;
      this.note.textContent = "";
      this.plane.replaceChildren(image, this.drawn(image.naturalWidth, image.naturalHeight));
      this.fit();
    };
    if (image.complete && image.naturalWidth) return place();
    this.note.textContent = "The image is loading.";
    image.onload = place;
    image.onerror = () => {
      ready.delete(address);
      this.address = null;
      if (this.image === image) this.note.textContent = "The image can't be loaded.";
    };
  }

  drawn(width, height) {
    const layer = svg("svg", { class: "photo-marks", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
    for (const { kind } of this.marks) layer.append(svg("rect", { class: "mark-edge" }), svg("rect", { class: `mark-${kind}` }));
    layer.toggleAttribute("hidden", !this.showsMarks);
    return layer;
  }

  // Around each place at every scale, so that a small place is not covered by its mark.
  placeMarks() {
    const beside = BESIDE_PX / this.scale;
    this.plane.querySelectorAll("rect").forEach((rect, index) => {
      const [x, y, width, height] = this.marks[Math.floor(index / 2)].box;
      const sizes = { x: x - beside, y: y - beside, width: width + 2 * beside, height: height + 2 * beside };
      for (const [name, value] of Object.entries(sizes)) rect.setAttribute(name, value);
    });
  }

  toggleMarks() {
    this.showsMarks = !this.showsMarks;
    this.plane.querySelector("svg")?.toggleAttribute("hidden", !this.showsMarks);
    return this.showsMarks;
  }

  fit() {
    if (!this.image?.naturalWidth) return;
    const { clientWidth: width, clientHeight: height } = this.root;
    this.least = Math.min(width / this.image.naturalWidth, height / this.image.naturalHeight);
    this.scale = this.least;
    this.x = (width - this.image.naturalWidth * this.scale) / 2;
    this.y = (height - this.image.naturalHeight * this.scale) / 2;
    this.place();
  }

  // The point (x, y) of the frame stays where it is.
  zoom(factor, x = this.root.clientWidth / 2, y = this.root.clientHeight / 2) {
    if (!this.image?.naturalWidth) return;
    const scale = Math.min(Math.max(this.scale * factor, this.least), this.least * LARGEST);
    if (scale === this.least) return this.fit();
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.place();
  }

  larger() { this.zoom(STEP); }
  smaller() { this.zoom(1 / STEP); }

  move(dx, dy) {
    if (!this.image?.naturalWidth || this.scale === this.least) return;
    this.x += dx;
    this.y += dy;
    this.place();
  }

  place() {
    const { clientWidth: width, clientHeight: height } = this.root;
    const wide = this.image.naturalWidth * this.scale;
    const high = this.image.naturalHeight * this.scale;
    if (this.scale > this.least) { // at least a quarter of the frame shows the image
      this.x = Math.min(Math.max(this.x, width / 4 - wide), (width * 3) / 4);
      this.y = Math.min(Math.max(this.y, height / 4 - high), (height * 3) / 4);
    }
    this.plane.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.plane.style.setProperty("--scale", this.scale); // lines stay as thick as they are
    this.placeMarks();
    this.plane.classList.toggle("pixels", this.scale >= PIXELS_FROM);
    this.root.classList.toggle("zoomed", this.scale > this.least);
  }

  listen() {
    const at = (event) => {
      const frame = this.root.getBoundingClientRect();
      return [event.clientX - frame.left, event.clientY - frame.top];
    };
    this.root.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? STEP : 1 / STEP, ...at(event));
    }, { passive: false });
    this.root.addEventListener("pointerdown", (event) => {
      this.root.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, at(event));
    });
    this.root.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = at(event);
      const other = [...this.pointers.entries()].find(([id]) => id !== event.pointerId)?.[1];
      if (other) this.zoom(distance(now, other) / Math.max(distance(before, other), 1), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      else this.move(now[0] - before[0], now[1] - before[1]);
      this.pointers.set(event.pointerId, now);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.root.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    new ResizeObserver(() => this.fit()).observe(this.root);
  }

  // Keys that every page with a photo has. Returns whether the key was one of them.
  key(event) {
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key === "+" || event.key === "=") this.larger();
    else if (event.key === "-") this.smaller();
    else if (event.key === "0") this.fit();
    else if (event.shiftKey && moves[event.key]) this.move(...moves[event.key]);
    else return false;
    return true;
  }
}

function distance(one, other) {
  return Math.hypot(one[0] - other[0], one[1] - other[1]);
}
