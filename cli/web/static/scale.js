// The scale of years and months beside the collection, which is also its scroll bar.

import { h } from "./dom.js";
import { monthName, plural } from "./words.js";

const LABEL = 22;
const DOT = 7;

export class Scale {
  #months = [];
  #height = 1;
  #view = 1;

  /** @param {(y: number) => void} jump scrolls to a position of the collection */
  constructor(jump) {
    this.jump = jump;
    this.bubble = h("div", { class: "scale-bubble", "aria-hidden": "true" });
    this.thumb = h("div", { class: "scale-thumb" }, h("span"));
    this.marks = h("div", { class: "scale-marks", "aria-hidden": "true" });
    this.element = h(
      "div",
      {
        class: "scale", role: "slider", tabindex: "0", "aria-label": "Date",
        "aria-orientation": "vertical", "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0",
        hidden: true,
        on: {
          pointerdown: (event) => this.#press(event),
          pointermove: (event) => this.#move(event),
          pointerup: (event) => this.#release(event),
          pointercancel: (event) => this.#release(event),
          pointerleave: () => this.element.classList.remove("over"),
          keydown: (event) => this.#key(event),
        },
      },
      this.marks,
      this.thumb,
      this.bubble,
    );
  }

  /** @param {import("./collection.js").Collection|null} collection null hides the scale */
  setMonths(collection) {
    const firsts = (collection?.blocks ?? []).filter((block) => block.first);
    this.#months = firsts.map((block, at) => ({ ...collection.months[at], block }));
    this.#height = collection?.height ?? 1;
    this.element.hidden = !collection;
    this.collection = collection;
    this.last = undefined;
    this.element.setAttribute("aria-valuemax", String(Math.max(this.#months.length - 1, 0)));
    this.#mark();
  }

  /** Shows the present position. @param {number} top @param {number} view height of the screen */
  show(top, view, block) {
    if (!this.collection) return;
    this.#view = view;
    this.#height = this.collection.height;
    const range = Math.max(this.#height - view, 1);
    const part = Math.min(Math.max(top / range, 0), 1);
    this.#place(this.thumb, part);
    this.element.classList.toggle("short", this.#height <= view);
    const at = this.#months.findLastIndex((entry) => entry.block.index <= block.index);
    this.at = Math.max(at, 0);
    this.element.setAttribute("aria-valuenow", String(this.at));
    this.element.setAttribute("aria-valuetext", monthName(block.month));
    if (!this.element.classList.contains("over")) this.#say(this.#months[this.at], part);
    if (this.last !== undefined && Math.abs(top - this.last) > 2) this.#moving();
    this.last = top;
  }

  #moving() {
    this.element.classList.add("moving");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.element.classList.remove("moving"), 1200);
  }

  #mark() {
    this.marks.replaceChildren();
    const height = this.element.clientHeight - 24;
    if (height <= 0) return;
    let last = -LABEL;
    let lastDot = -DOT;
    let year = null;
    for (const { month, block } of this.#months) {
      const y = (block.y / this.#height) * height;
      const name = month ? month.slice(0, 4) : "";
      if (name && name !== year && y - last >= LABEL) {
        const label = h("span", { class: "scale-year" }, name);
        this.#place(label, y / height);
        this.marks.append(label);
        year = name;
        last = y;
        lastDot = y + 8;
      } else if (y - lastDot >= DOT) {
        const dot = h("span", { class: "scale-dot" });
        this.#place(dot, y / height);
        this.marks.append(dot);
        lastDot = y;
      }
    }
  }

  #place(element, part) {
    element.style.top = `calc(12px + (100% - 24px) * ${part.toFixed(5)})`;
  }

  #say(entry, part) {
    if (!entry) return;
    this.bubble.replaceChildren(
      h("b", {}, monthName(entry.month)),
      h("span", {}, plural(entry.count, "photo")),
    );
    this.#place(this.bubble, part);
  }

  #part(event) {
    const box = this.element.getBoundingClientRect();
    return Math.min(Math.max((event.clientY - box.top - 12) / (box.height - 24), 0), 1);
  }

  #press(event) {
    this.element.setPointerCapture(event.pointerId);
    this.element.classList.add("dragging");
    this.#move(event);
  }

  #move(event) {
    const part = this.#part(event);
    const dragging = this.element.classList.contains("dragging");
    const y = part * Math.max(this.#height - this.#view, 1);
    this.element.classList.add("over");
    this.#say(this.#months.findLast(({ block }) => block.y <= y) ?? this.#months[0], part);
    if (!dragging) return;
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.jump(y));
  }

  #release(event) {
    if (event.type === "pointerup") event.preventDefault();
    this.element.classList.remove("dragging");
    if (event.pointerType !== "mouse") this.element.classList.remove("over");
  }

  #key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1, PageDown: 12, PageUp: -12 };
    let to = (this.at ?? 0) + (steps[event.key] ?? 0);
    if (event.key === "Home") to = 0;
    else if (event.key === "End") to = this.#months.length - 1;
    else if (!(event.key in steps)) return;
    event.preventDefault();
    event.stopPropagation();
    const entry = this.#months[Math.min(Math.max(to, 0), this.#months.length - 1)];
    if (entry) this.jump(entry.block.y);
  }
}
