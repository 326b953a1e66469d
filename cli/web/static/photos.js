// The collection as a grid, newest first. Only rows near the screen have elements.

import { Collection } from "./collection.js";
import { h } from "./dom.js";
import { emptyCollection, nothingMatches, problem } from "./messages.js";
import { Scale } from "./scale.js";
import { Scroller } from "./scroller.js";
import { countFilters, photoAddress } from "./state.js";
import { markSelected, tile } from "./tile.js";
import { monthName, plural } from "./words.js";

/** Pixels per millisecond above which nothing is loaded: the rows would be gone before it comes. */
const FAST = 6;

export class Photos {
  #rows = new Map();
  #current = null;
  #drawn = { top: 0, time: 0 };
  #queue = Promise.resolve();

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.layer = h("div", { class: "layer" });
    this.host = h(
      "div",
      { class: "scroll photos", tabindex: "-1" },
      h("h1", { class: "hidden" }, "Photos"),
      this.layer,
    );
    this.scroller = new Scroller(this.host, this.layer, (idle) => this.#draw(idle));
    this.scale = new Scale((y) => this.#jump(y));
    this.element = h("div", { class: "view" }, this.host, this.scale.element);
    this.resizes = new ResizeObserver(() => this.#reshape());
    app.selection.watch(this, () => this.#markAll());
  }

  destroy() {
    this.resizes.disconnect();
    this.app.selection.unwatch(this);
  }

  /** @param {import("./state.js").State} state */
  async update(state) {
    this.state = state;
    const key = JSON.stringify(state.filters);
    if (this.key === key) return;
    this.key = key;
    this.collection = new Collection(state.filters, (...change) => this.#resized(...change));
    this.#current = null;
    await this.refresh(state.at);
    this.resizes.observe(this.host);
  }

  /** Reads the collection again and stays at the photo at the top of the screen. */
  async refresh(at = null) {
    const place = at ?? this.#place();
    const collection = this.collection;
    try {
      await collection.refresh();
    } catch (error) {
      if (!collection.blocks.length) this.#message(problem(error, () => this.refresh(at)));
      this.app.failed(error);
      return;
    }
    if (collection !== this.collection) return;
    this.app.count(collection.total, countFilters(this.state.filters) > 0);
    if (!collection.total) {
      this.#message(countFilters(this.state.filters) ? nothingMatches(this.app) : emptyCollection(this.app.info));
      return;
    }
    this.message?.remove();
    this.message = null;
    this.#clear();
    this.collection.setShape(this.#shape());
    this.scroller.setTotal(collection.height + this.#shape().foot);
    this.scale.setMonths(collection);
    this.#go(place);
  }

  #message(element) {
    this.#clear();
    this.scroller.setTotal(0);
    this.scale.setMonths(null);
    this.message?.remove();
    this.message = element;
    this.host.append(element);
  }

  #shape() {
    const style = getComputedStyle(this.host);
    const number = (name) => Number.parseFloat(style.getPropertyValue(name));
    const width = this.layer.clientWidth;
    return { width, target: number("--row"), gap: number("--gap"), heading: number("--heading"), foot: number("--foot") };
  }

  #reshape() {
    const shape = this.#shape();
    if (!this.collection?.total || shape.width <= 0) return;
    if (JSON.stringify(shape) !== JSON.stringify(this.collection.shape)) {
      const place = this.#place();
      this.collection.setShape(shape);
      this.#clear();
      this.scroller.setTotal(this.collection.height + shape.foot);
      this.scale.setMonths(this.collection);
      this.#go(place);
    } else this.#draw(true);
  }

  /** `2024-07.120`: the photo at the top; empty at the very top, where new photos shall appear. */
  #place() {
    if (!this.collection?.total || this.scroller.top < 1) return "";
    const block = this.collection.blockAt(this.scroller.top);
    const inside = this.scroller.top - block.y - (block.first ? this.collection.shape.heading : 0);
    const row = block.rows?.findLast(({ y }) => y <= inside + 1);
    const number = block.start + (inside <= 0 ? 0 : row?.from ?? 0);
    return `${block.month ?? "none"}${number ? `.${number}` : ""}`;
  }

  #go(place) {
    if (!place) {
      this.scroller.jump(0);
      this.#draw(true);
      return;
    }
    const [month, number = "0"] = place.split(".");
    const wanted = Number(number);
    const block = this.collection.blockOfMonth(month === "none" ? "" : month, wanted);
    this.scroller.jump(block.y);
    this.#draw(true);
    this.#load(block).then(() => {
      if (wanted > 0) this.scroller.jump(this.#rowTop(block, wanted - block.start));
      this.#draw(true);
    });
  }

  #rowTop(block, index) {
    const row = block.rows?.find((candidate) => index < candidate.to);
    return block.y + (block.first ? this.collection.shape.heading : 0) + (row?.y ?? 0);
  }

  #jump(y) {
    this.scroller.jump(y);
    this.#draw(true);
  }

  #draw(idle) {
    if (!this.collection?.total) return;
    const { top } = this.scroller;
    const view = this.host.clientHeight;
    const now = performance.now();
    const speed = Math.abs(top - this.#drawn.top) / Math.max(now - this.#drawn.time, 1);
    this.#drawn = { top, time: now };
    const from = top - view * 0.75;
    const to = top + view * 1.75;
    const wanted = new Set();
    const blocks = this.#between(from, to);
    const elements = new Set();
    for (const block of blocks) {
      this.collection.touch(block);
      if (!block.images) wanted.add(block);
      for (const key of this.#drawBlock(block, from, to)) elements.add(key);
    }
    for (const [key, element] of this.#rows) {
      if (elements.has(key)) continue;
      element.remove();
      this.#rows.delete(key);
    }
    this.scale.show(top, view, this.collection.blockAt(top + 1));
    if (idle || speed < FAST) {
      this.collection.keepOnly(wanted);
      for (const block of wanted) this.#load(block).then((loaded) => loaded && this.#draw(true));
    }
    if (idle) this.#remember();
    this.#focusable();
  }

  #between(from, to) {
    const found = [];
    for (let at = this.collection.blockAt(from).index; at < this.collection.blocks.length; at += 1) {
      const block = this.collection.blocks[at];
      if (block.y > to) break;
      found.push(block);
    }
    return found;
  }

  *#drawBlock(block, from, to) {
    const heading = block.first ? this.collection.shape.heading : 0;
    if (block.first && block.y + heading > from) {
      yield this.#put(`h${block.index}`, block, -1, block.y, () => monthHeading(block, this.collection));
    }
    if (!block.rows) {
      const height = block.height - heading;
      yield this.#put(`s${block.index}`, block, 0, block.y + heading, () => skeleton(height));
      return;
    }
    for (let at = 0; at < block.rows.length; at += 1) {
      const row = block.rows[at];
      const y = block.y + heading + row.y;
      if (y + row.height < from) continue;
      if (y > to) break;
      yield this.#put(`r${block.index}.${at}`, block, at, y, () => this.#row(block, row));
    }
  }

  #put(key, block, at, y, make) {
    let element = this.#rows.get(key);
    if (!element) {
      element = make();
      this.#rows.set(key, element);
      this.#insert(element, [block.index, at]);
    }
    const local = `translateY(${this.scroller.local(y)}px)`;
    if (element.style.transform !== local) element.style.transform = local;
    return key;
  }

  /** Puts an element in its order, which screen readers and the Tab key follow. */
  #insert(element, place) {
    element.place = place;
    const after = (other) => other.place[0] - place[0] || other.place[1] - place[1];
    let next = null;
    for (let other = this.layer.lastElementChild; other && after(other) > 0; other = other.previousElementSibling) next = other;
    this.layer.insertBefore(element, next);
  }

  #row(block, row) {
    const element = h("div", { class: "row", style: { height: `${row.height}px` } });
    for (let at = row.from; at < row.to; at += 1) {
      const image = block.images[at];
      const id = String(image.id);
      const place = at - row.from;
      const item = tile(image, { width: row.width[place], height: row.height }, {
        href: photoAddress(this.state, id),
        selected: this.app.selection.has(id),
        select: (chosen) => this.app.selection.toggle(chosen),
      });
      item.style.left = `${row.x[place]}px`;
      item.dataset.number = String(block.offset + at);
      element.append(item);
    }
    return element;
  }

  async #load(block) {
    try {
      return await this.collection.load(block);
    } catch (error) {
      this.app.failed(error);
      return false;
    }
  }

  /** Keeps what is on the screen where it is, after a block has got its photos. */
  #resized(block, change) {
    const key = `s${block.index}`;
    this.#rows.get(key)?.remove();
    this.#rows.delete(key);
    const end = block.y + block.height - change;
    const above = end <= this.scroller.top + 1;
    this.scroller.setTotal(this.collection.height + this.collection.shape.foot);
    if (above) this.scroller.shift(change);
  }

  #clear() {
    for (const element of this.#rows.values()) element.remove();
    this.#rows.clear();
  }

  #markAll() {
    for (const element of this.layer.querySelectorAll(".tile")) {
      markSelected(element, this.app.selection.has(element.dataset.tile));
    }
    this.host.classList.toggle("selecting", this.app.selection.size > 0);
  }

  #remember() {
    if (this.app.state.view === "photos" && !this.app.state.photo && !this.app.state.panel) {
      this.app.replace({ at: this.#place() });
    }
  }

  // The keyboard: one tile of the grid is in the order of the Tab key, arrow keys choose which.

  #focusable() {
    const tiles = [...this.layer.querySelectorAll(".tile")];
    const inside = (element) => {
      const box = element.getBoundingClientRect();
      return box.bottom > this.host.getBoundingClientRect().top + 8;
    };
    const chosen = tiles.find((element) => Number(element.dataset.number) === this.#current) ??
      tiles.sort((a, b) => a.dataset.number - b.dataset.number).find(inside);
    for (const link of this.layer.querySelectorAll('.tile-link[tabindex="0"]')) link.tabIndex = -1;
    if (chosen) chosen.querySelector(".tile-link").tabIndex = 0;
    this.shown = chosen ? Number(chosen.dataset.number) : 0;
  }

  /** Keys of this view. */
  get keys() {
    const focusing = () => document.activeElement?.closest?.(".tile");
    const move = (step) => (focusing() ? this.#focus(step(this.#number())) : this.#focus(this.shown));
    return {
      ArrowRight: () => move((number) => number + 1),
      ArrowLeft: () => move((number) => number - 1),
      ArrowDown: () => move((number) => this.#vertical(number, 1)),
      ArrowUp: () => move((number) => this.#vertical(number, -1)),
      Home: () => this.#focus(0),
      End: () => this.#focus(this.collection.total - 1),
      PageDown: () => this.#page(1),
      PageUp: () => this.#page(-1),
    };
  }

  #number() {
    return Number(document.activeElement.closest(".tile").dataset.number);
  }

  #vertical(number, step) {
    const block = this.collection.blockOf(number);
    const index = number - block.offset;
    const at = block.rows.findIndex((row) => index < row.to);
    const row = block.rows[at];
    const centre = row.x[index - row.from] + row.width[index - row.from] / 2;
    const target = block.rows[at + step];
    if (target) return block.offset + nearest(target, centre);
    const next = this.collection.blocks[block.index + step];
    if (!next) return number;
    if (!next.rows) return step > 0 ? next.offset : next.offset + next.count - 1;
    return next.offset + nearest(step > 0 ? next.rows[0] : next.rows.at(-1), centre);
  }

  #page(step) {
    this.#jump(this.scroller.top + step * this.host.clientHeight * 0.9);
    this.#current = null;
    this.#focusable();
    this.#focus(this.shown);
  }

  /** Moves the focus to a photo; loads it and scrolls to it where necessary. */
  #focus(number) {
    const wanted = Math.min(Math.max(number, 0), this.collection.total - 1);
    this.#current = wanted;
    const run = async () => {
      const block = this.collection.blockOf(wanted);
      if (!block.images) this.scroller.jump(block.y);
      if (!(await this.#load(block))) return;
      const row = block.rows.find((candidate) => wanted - block.offset < candidate.to);
      if (!row) return;
      this.#reveal(this.#rowTop(block, wanted - block.offset), row.height);
      this.#draw(false);
      this.layer.querySelector(`[data-number="${wanted}"] .tile-link`)?.focus({ preventScroll: true });
    };
    this.#queue = this.#queue.then(run, run);
    return this.#queue;
  }

  #reveal(y, height) {
    const { top } = this.scroller;
    const view = this.host.clientHeight;
    const margin = this.collection.shape.heading + 8;
    const foot = this.collection.shape.foot;
    if (y - margin < top) this.scroller.jump(y - margin);
    else if (y + height + foot > top + view) this.scroller.jump(y + height + foot + 8 - view);
  }

  /** Moves the focus to the tile of a photo, if it is on the screen. */
  focusPhoto(id) {
    this.layer.querySelector(`[data-photo="${id}"]`)?.focus({ preventScroll: true });
  }
}

function nearest(row, x) {
  let best = 0;
  for (let at = 1; at < row.x.length; at += 1) {
    const centre = (place) => Math.abs(row.x[place] + row.width[place] / 2 - x);
    if (centre(at) < centre(best)) best = at;
  }
  return row.from + best;
}

function monthHeading(block, collection) {
  const { count } = collection.months.find(({ month }) => month === block.month);
  return h(
    "h2",
    { class: "month" },
    h("span", {}, monthName(block.month)),
    h("span", { class: "soft" }, plural(count, "photo")),
  );
}

function skeleton(height) {
  return h("div", { class: "skeleton", style: { height: `${Math.max(height - 4, 0)}px` } });
}
