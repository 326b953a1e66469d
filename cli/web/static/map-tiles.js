// The tiles of the map that are on the screen.

import { mapTile } from "./api.js";
import { h } from "./dom.js";

const SIDE = 256;

export class MapTiles {
  #tiles = new Map();
  #levels = 1;
  version = "";

  constructor() {
    this.element = h("div", { class: "map-layer" });
  }

  /** Another map. @param {number} levels @param {string} version */
  reset(levels, version) {
    this.#levels = levels;
    this.version = version;
    this.element.replaceChildren();
    this.#tiles.clear();
  }

  /** The level whose tiles are shown at a zoom. */
  level(zoom) {
    return Math.min(Math.max(Math.round(zoom), 0), this.#levels - 1);
  }

  /** @param {{z: number, x: number, y: number}} at @param {number} width @param {number} height */
  draw({ z, x, y }, width, height) {
    const level = this.level(z);
    const size = SIDE * 2 ** z;
    const [left, top] = [x * size - width / 2, y * size - height / 2];
    const side = size / 2 ** level;
    const last = 2 ** level - 1;
    const sharp = side * Math.min(window.devicePixelRatio || 1, 2) > 1.25 * SIDE ? 2 * SIDE : SIDE;
    const span = (from, length) => [Math.max(Math.floor(from / side), 0), Math.min(Math.floor((from + length) / side), last)];
    const [firstColumn, lastColumn] = span(left, width);
    const [firstRow, lastRow] = span(top, height);
    const wanted = new Set();
    for (let row = firstRow; row <= lastRow; row += 1) {
      for (let column = firstColumn; column <= lastColumn; column += 1) wanted.add(this.#tile(level, column, row, sharp));
    }
    this.#wanted = wanted;
    this.#drop();
    for (const tile of this.#tiles.values()) place(tile, size, left, top);
  }

  #wanted = new Set();

  /** Removes what is not wanted; tiles of other levels stay below until all that are wanted are there. */
  #drop() {
    const all = [...this.#wanted].every((tile) => tile.ready);
    for (const [key, tile] of this.#tiles) {
      const old = !this.#wanted.has(tile);
      tile.element.classList.toggle("old", old);
      if (!old || (!all && tile.ready && this.#tiles.size < 4 * this.#wanted.size)) continue;
      tile.element.remove();
      // Otherwise the browser still loads it.
      if (!tile.ready) tile.element.removeAttribute("src");
      this.#tiles.delete(key);
    }
  }

  #tile(level, column, row, sharp) {
    const key = `${level}/${column}/${row}/${sharp}`;
    const known = this.#tiles.get(key);
    if (known) return known;
    const src = mapTile(level, column, row, sharp, this.version);
    const element = h("img", { class: "map-tile", src, alt: "", draggable: "false" });
    const tile = { element, level, column, row, ready: false };
    const done = () => {
      tile.ready = true;
      element.classList.add("ready");
      this.#drop();
    };
    element.addEventListener("load", done);
    element.addEventListener("error", () => (tile.ready = true));
    this.#tiles.set(key, tile);
    this.element.append(element);
    return tile;
  }
}

/** Puts a tile between whole pixels, so that no line shows between two. */
function place({ element, level, column, row }, size, left, top) {
  const side = size / 2 ** level;
  const [x, y] = [Math.round(column * side - left), Math.round(row * side - top)];
  element.style.transform = `translate(${x}px, ${y}px)`;
  element.style.width = `${Math.round((column + 1) * side - left) - x}px`;
  element.style.height = `${Math.round((row + 1) * side - top) - y}px`;
}
