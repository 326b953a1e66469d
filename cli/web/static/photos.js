// The collection as a grid, newest first. Only rows near the screen have elements.

import { Collection } from "./collection.js";
import { h } from "./dom.js";
import { GridFocus } from "./grid-focus.js";
import { GridRows } from "./grid-rows.js";
import { emptyCollection, nothingMatches, problem } from "./messages.js";
import { Scale } from "./scale.js";
import { Scroller } from "./scroller.js";
import { countFilters, photoAddress } from "./state.js";
import { markSelected, tile } from "./tile.js";
import { monthName, plural } from "./words.js";

/** Pixels per millisecond above which nothing is loaded: the rows would be gone before it comes. */
const FAST = 6;

export class Photos {
  #drawn = { top: 0, time: 0 };

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
    this.rows = new GridRows(this.layer);
    this.focus = new GridFocus(this);
    this.scale = new Scale((y) => this.jump(y));
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
    this.focus.reset();
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
    this.rows.clear();
    this.collection.setShape(this.#shape());
    this.scroller.setTotal(collection.height + this.#shape().foot);
    this.scale.setMonths(collection);
    this.#go(place);
  }

  #message(element) {
    this.rows.clear();
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
      this.rows.clear();
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

  /** Scrolls to a position. @param {number} y in pixels */
  jump(y) {
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
    this.rows.keepOnly(elements);
    this.scale.show(top, view, this.collection.blockAt(top + 1));
    if (idle || speed < FAST) {
      this.collection.keepOnly(wanted);
      for (const block of wanted) this.#load(block).then((loaded) => loaded && this.#draw(true));
    }
    if (idle) this.#remember();
    this.focus.update();
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
    const put = (key, at, y, make) =>
      this.rows.put(key, [block.index, at], this.scroller.local(y), make);
    const heading = block.first ? this.collection.shape.heading : 0;
    if (block.first && block.y + heading > from) {
      yield put(`h${block.index}`, -1, block.y, () => monthHeading(block, this.collection));
    }
    if (!block.rows) {
      const height = block.height - heading;
      yield put(`s${block.index}`, 0, block.y + heading, () => skeleton(height));
      return;
    }
    for (let at = 0; at < block.rows.length; at += 1) {
      const row = block.rows[at];
      const y = block.y + heading + row.y;
      if (y + row.height < from) continue;
      if (y > to) break;
      yield put(`r${block.index}.${at}`, at, y, () => this.#row(block, row));
    }
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
    this.rows.remove(`s${block.index}`);
    const end = block.y + block.height - change;
    const above = end <= this.scroller.top + 1;
    this.scroller.setTotal(this.collection.height + this.collection.shape.foot);
    if (above) this.scroller.shift(change);
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

  /** Keys of this view. */
  get keys() {
    return this.focus.keys;
  }

  /** Loads a photo and scrolls so that it is on the screen. @param {number} number in the order */
  async reveal(number) {
    const block = this.collection.blockOf(number);
    if (!block.images) this.scroller.jump(block.y);
    if (!(await this.#load(block))) return false;
    const row = block.rows.find((candidate) => number - block.offset < candidate.to);
    if (!row) return false;
    this.#show(this.#rowTop(block, number - block.offset), row.height);
    this.#draw(false);
    return true;
  }

  #show(y, height) {
    const { top } = this.scroller;
    const view = this.host.clientHeight;
    const { heading, foot } = this.collection.shape;
    if (y - heading - 8 < top) this.scroller.jump(y - heading - 8);
    else if (y + height + foot > top + view) this.scroller.jump(y + height + foot + 8 - view);
  }

  /** Moves the focus to the tile of a photo, if it is on the screen. */
  focusPhoto(id) {
    this.layer.querySelector(`[data-photo="${id}"]`)?.focus({ preventScroll: true });
  }
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
