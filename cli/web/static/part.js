// Search with a part of a picture: a box drawn with the pointer or moved with the keys.

import { file } from "./api.js";
import { makeDialog, setOpen, sheetHead } from "./dialog.js";
import { button, h, iconButton } from "./dom.js";
import { searchFor } from "./state.js";

const LEAST = 4;
const STEP = 2;

export class PartDialog {
  /** Left, top, width and height in percent. */
  #box = [25, 25, 50, 50];

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    const close = () => app.close({ panel: "", of: "" });
    this.dialog = makeDialog("sheet part-dialog", "Search with a part of the picture", close);
    this.image = h("img", { alt: "", draggable: "false" });
    this.frame = h("div", { class: "part-box", tabindex: "0", role: "application", "aria-roledescription": "box", "aria-describedby": "part-help" });
    this.area = h("div", { class: "part-area" }, this.image, this.frame);
    this.dialog.append(
      sheetHead("Search with a part", iconButton("close", "Close", close)),
      h("p", { class: "sheet-words", id: "part-help" }, "Draw a box around what matters. Arrow keys move it, Shift and arrow keys change its size."),
      h("div", { class: "part-host" }, this.area),
      h("footer", { class: "sheet-foot" }, button("Search with this part", () => this.#search(), { look: "main", picture: "search" })),
    );
    this.area.addEventListener("pointerdown", (event) => this.#press(event));
    const key = (x, y) => (event) => (event.shiftKey ? this.#grow(x, y) : this.#shift(x, y));
    this.keys = {
      ArrowLeft: key(-STEP, 0),
      ArrowRight: key(STEP, 0),
      ArrowUp: key(0, -STEP),
      ArrowDown: key(0, STEP),
      Enter: () => this.#search(),
    };
  }

  get open() {
    return this.dialog.open;
  }

  /** @param {import("./state.js").State} state */
  update(state) {
    const open = state.panel === "part" && Boolean(state.of);
    if (open && !this.dialog.open) {
      this.of = state.of;
      this.image.src = file(state.of);
      const own = state.crop && state.like.includes(state.of);
      this.#set(own ? state.crop.split(",").map(Number.parseFloat) : [25, 25, 50, 50]);
    }
    setOpen(this.dialog, open);
    if (open) this.frame.focus();
  }

  #set([x, y, width, height]) {
    const wide = clamp(width, LEAST, 100);
    const high = clamp(height, LEAST, 100);
    this.#box = [clamp(x, 0, 100 - wide), clamp(y, 0, 100 - high), wide, high];
    const [left, top] = this.#box;
    for (const [name, value] of [["left", left], ["top", top], ["width", wide], ["height", high]]) {
      this.frame.style[name] = `${value}%`;
    }
    const words = `${Math.round(wide)} by ${Math.round(high)} percent, ${Math.round(left)} from the left, ${Math.round(top)} from the top`;
    this.frame.setAttribute("aria-label", words);
  }

  #shift(x, y) {
    const [left, top, width, height] = this.#box;
    this.#set([left + x, top + y, width, height]);
  }

  #grow(x, y) {
    const [left, top, width, height] = this.#box;
    this.#set([left, top, Math.min(width + x, 100 - left), Math.min(height + y, 100 - top)]);
  }

  #press(event) {
    event.preventDefault();
    this.frame.focus();
    this.area.setPointerCapture(event.pointerId);
    const start = this.#point(event);
    const before = this.#box;
    const moves = event.target === this.frame;
    const move = (later) => {
      const [x, y] = this.#point(later);
      if (moves) this.#set([before[0] + x - start[0], before[1] + y - start[1], before[2], before[3]]);
      else if (Math.abs(x - start[0]) + Math.abs(y - start[1]) > 1) this.#set(between(start, [x, y]));
    };
    const end = () => {
      this.area.removeEventListener("pointermove", move);
      this.area.removeEventListener("pointerup", end);
      this.area.removeEventListener("pointercancel", end);
    };
    this.area.addEventListener("pointermove", move);
    this.area.addEventListener("pointerup", end);
    this.area.addEventListener("pointercancel", end);
  }

  #point(event) {
    const box = this.area.getBoundingClientRect();
    return [
      clamp(((event.clientX - box.left) / box.width) * 100, 0, 100),
      clamp(((event.clientY - box.top) / box.height) * 100, 0, 100),
    ];
  }

  #search() {
    const crop = this.#box.map((value) => `${Math.round(value * 10) / 10}%`).join(",");
    this.app.search([this.of], { crop, inside: this.app.state.inside });
  }
}

const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

function between([x, y], [toX, toY]) {
  return [Math.min(x, toX), Math.min(y, toY), Math.abs(toX - x), Math.abs(toY - y)];
}
