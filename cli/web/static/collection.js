// The collection in blocks of photos: how high each is, and which are loaded. A block that was
// never loaded has a height estimated from the month's count and mean shape.

import * as api from "./api.js";
import { aspect, justify } from "./justify.js";

const BLOCK = 200;
/** Blocks whose photos stay in memory. */
const MOST_LOADED = 150;

/**
 * @typedef {Object} Block
 * @property {number} index @property {string|null} month
 * @property {boolean} first whether the month's heading is above it
 * @property {boolean} last whether it ends its month
 * @property {number} offset of its first photo in the collection
 * @property {number} start of its first photo in the month
 * @property {number} count @property {number} aspect mean ratio of width to height
 * @property {Object[]|null} images @property {import("./justify.js").Row[]|null} rows
 * @property {number} y @property {number} height with the heading, in pixels
 * @property {boolean} exact whether the height is that of its photos
 */

export class Collection {
  /** @type {Block[]} */ blocks = [];
  months = [];
  total = 0;
  height = 0;
  version = null;
  #shape = { width: 1, target: 200, gap: 4, heading: 56 };
  #loading = new Map();
  #recent = new Set();

  /**
   * @param {import("./state.js").Filters} filters
   * @param {(block: Block, change: number) => void} resized called when a block has been loaded,
   *   with the change of its height in pixels, before anything else happens
   */
  constructor(filters, resized) {
    this.filters = filters;
    this.resized = resized;
  }

  /** Reads months and counts; photos of months that did not change stay loaded. */
  async refresh() {
    const timeline = await api.timeline(this.filters);
    const old = new Map(this.blocks.map((block) => [keyOf(block), block]));
    for (const request of this.#loading.values()) request.abort.abort();
    this.#loading.clear();
    this.#recent.clear();
    this.months = timeline.months;
    this.total = timeline.total;
    this.version = timeline.version;
    this.blocks = split(timeline.months);
    for (const block of this.blocks) {
      const same = old.get(keyOf(block));
      if (!same?.images) continue;
      block.images = same.images;
      this.#recent.add(block);
    }
    this.#layOutAll();
  }

  /** Sets the width of rows, their usual height, the gap and the height of a heading, in pixels. */
  setShape(shape) {
    this.#shape = shape;
    this.#layOutAll();
  }

  get shape() {
    return this.#shape;
  }

  #layOutAll() {
    for (const block of this.blocks) {
      block.exact = false;
      block.rows = null;
      this.#layOut(block);
    }
    this.#stack();
  }

  #layOut(block) {
    const { width, target, gap, heading } = this.#shape;
    const above = block.first ? heading : 0;
    if (block.images) {
      const { rows, height } = justify(block.images.map(aspect), width, target, gap, block.last);
      Object.assign(block, { rows, height: above + height, exact: true });
    } else if (!block.exact) {
      const length = block.count * (block.aspect * target + gap);
      const rows = Math.max(block.last ? Math.ceil(length / width) : Math.round(length / width), 1);
      block.height = above + rows * (target + gap);
    }
  }

  #stack() {
    let y = 0;
    for (const block of this.blocks) {
      block.y = y;
      y += block.height;
    }
    this.height = y;
  }

  /** The block at a position, the nearest one outside the content. @returns {Block} */
  blockAt(y) {
    return this.blocks[search(this.blocks, (block) => block.y <= y)];
  }

  /** The block of the photo with this number in the whole order. */
  blockOf(number) {
    return this.blocks[search(this.blocks, (block) => block.offset <= number)];
  }

  /** The first block of a month, or of the next older one. */
  blockOfMonth(month, start = 0) {
    const at = this.blocks.findIndex((block) => (block.month ?? "") <= month);
    if (at < 0) return this.blocks.at(-1);
    let block = this.blocks[at];
    while (block.month === month && block.start + block.count <= start && !block.last) {
      block = this.blocks[block.index + 1];
    }
    return block;
  }

  /** Loads the photos of a block. Resolves to false where the collection has changed meanwhile. */
  async load(block) {
    if (block.images) return true;
    let request = this.#loading.get(block);
    if (!request) {
      const abort = new AbortController();
      const answer = api.images(this.filters, block.offset, block.count, abort.signal);
      request = { abort, answer: answer.finally(() => this.#loading.delete(block)) };
      this.#loading.set(block, request);
    }
    const { images } = await request.answer.catch((error) => {
      if (error.name === "AbortError") return { images: null };
      throw error;
    });
    if (!images || this.blocks[block.index] !== block) return false;
    if (block.images) return true;
    const before = block.height;
    block.images = images;
    block.count = images.length;
    this.#layOut(block);
    this.#stack();
    this.#remember(block);
    this.resized(block, block.height - before);
    return true;
  }

  /** Stops loading blocks that are not wanted any more. @param {Set<Block>} wanted */
  keepOnly(wanted) {
    for (const [block, request] of this.#loading) if (!wanted.has(block)) request.abort.abort();
  }

  #remember(block) {
    this.#recent.add(block);
    for (const old of this.#recent) {
      if (this.#recent.size <= MOST_LOADED) break;
      this.#recent.delete(old);
      old.images = null;
      old.rows = null;
    }
  }

  /** Marks a block as in use, so that it stays loaded. */
  touch(block) {
    if (this.#recent.delete(block)) this.#recent.add(block);
  }
}

const keyOf = (block) => `${block.month}/${block.start}/${block.count}/${block.aspect}`;

function split(months) {
  const blocks = [];
  let offset = 0;
  for (const { month, count, aspect: sum } of months) {
    const mean = Math.min(Math.max(sum / count || 1, 0.5), 2.6);
    for (let start = 0; start < count; start += BLOCK) {
      const size = Math.min(BLOCK, count - start);
      blocks.push({
        index: blocks.length, month, first: start === 0, last: start + size === count,
        offset, start, count: size, aspect: mean, images: null, rows: null, y: 0, height: 0, exact: false,
      });
      offset += size;
    }
  }
  return blocks;
}

/** The last index whose item fulfils a condition that holds for a beginning of the list, else 0. */
function search(items, holds) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle])) low = middle + 1;
    else high = middle;
  }
  return Math.max(low - 1, 0);
}
