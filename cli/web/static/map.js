// A map of the collection by similarity: tiles drawn by the server, moved and zoomed here.

import * as api from "./api.js";
import { h, iconButton } from "./dom.js";
import { message, problem, working } from "./messages.js";

const TILE = 256;
const AGAIN = 2000;
const CLICK = 6;

export class MapView {
  /** Zoom level, and the middle of the screen in 0..1. */
  #at = { z: 1, x: 0.5, y: 0.5 };
  #tiles = new Map();
  #pointers = new Map();

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.layer = h("div", { class: "map-layer" });
    this.plane = h("div", {
      class: "map-plane", tabindex: "0", role: "application", "aria-label": "Map of the photos by similarity",
      "aria-roledescription": "map",
      on: {
        pointerdown: (event) => this.#press(event),
        pointermove: (event) => this.#drag(event),
        pointerup: (event) => this.#release(event),
        pointercancel: (event) => this.#pointers.delete(event.pointerId),
        wheel: (event) => this.#wheel(event),
      },
    }, this.layer, h("span", { class: "map-cross", "aria-hidden": "true" }));
    this.element = h(
      "div",
      { class: "view map" },
      h("h1", { class: "hidden" }, "Map"),
      this.plane,
      h("div", { class: "map-zoom", role: "group", "aria-label": "Zoom" },
        iconButton("plus", "Nearer", () => this.#zoom(1)), iconButton("minus", "Farther", () => this.#zoom(-1))),
    );
    this.resizes = new ResizeObserver(() => this.#draw());
    const move = (x, y) => () => this.#move(x * 0.2, y * 0.2);
    this.keys = {
      ArrowLeft: move(-1, 0), ArrowRight: move(1, 0), ArrowUp: move(0, -1), ArrowDown: move(0, 1),
      "+": () => this.#zoom(1), "=": () => this.#zoom(1), "-": () => this.#zoom(-1),
      Enter: (event) => (event.target.closest("button, a") ? event.target.click() : this.#open(0.5, 0.5)),
    };
  }

  destroy() {
    this.resizes.disconnect();
    clearTimeout(this.timer);
    this.gone = true;
  }

  /** @param {import("./state.js").State} state */
  async update(state) {
    const [z, x, y] = state.place.split(",").map(Number);
    if ([z, x, y].every(Number.isFinite)) this.#at = { z, x, y };
    if (this.levels) this.#draw();
    else await this.refresh();
  }

  async refresh() {
    try {
      const map = await api.map();
      if (this.gone) return;
      this.message?.remove();
      if (map.state !== "done") {
        const part = map.progress ? ` ${Math.round(map.progress * 100)}%` : "";
        this.message = map.state === "none" ? message("map", "No map yet") : working(`Drawing the map…${part}`);
        this.element.append(this.message);
        this.timer = setTimeout(() => this.refresh(), AGAIN);
        return;
      }
      this.levels = map.tiles;
      this.#clear();
      this.#draw();
      this.resizes.observe(this.plane);
    } catch (error) {
      this.message?.remove();
      this.message = problem(error, () => this.refresh());
      this.element.append(this.message);
      this.app.failed(error);
    }
  }

  #clear() {
    this.layer.replaceChildren();
    this.#tiles.clear();
  }

  /** Pixels of the whole map at the present level. */
  get #size() {
    return TILE * 2 ** this.#at.z;
  }

  #draw() {
    if (!this.levels) return;
    const { clientWidth: width, clientHeight: height } = this.plane;
    const { z, x, y } = this.#at;
    const left = Math.round(x * this.#size - width / 2);
    const top = Math.round(y * this.#size - height / 2);
    const last = 2 ** z - 1;
    const wanted = new Set();
    for (let row = Math.max(Math.floor(top / TILE), 0); row <= Math.min(Math.floor((top + height) / TILE), last); row += 1) {
      for (let column = Math.max(Math.floor(left / TILE), 0); column <= Math.min(Math.floor((left + width) / TILE), last); column += 1) {
        const key = `${z}/${column}/${row}`;
        wanted.add(key);
        this.#tile(key, z, column, row).style.transform = `translate(${column * TILE - left}px, ${row * TILE - top}px)`;
      }
    }
    for (const [key, element] of this.#tiles) {
      if (wanted.has(key)) continue;
      element.remove();
      this.#tiles.delete(key);
    }
    clearTimeout(this.saving);
    const place = `${z},${x.toFixed(4)},${y.toFixed(4)}`;
    this.saving = setTimeout(() => this.gone || this.app.state.photo || this.app.replace({ place }), 300);
  }

  #tile(key, z, x, y) {
    const old = this.#tiles.get(key);
    if (old) return old;
    const img = h("img", { class: "map-tile", src: api.mapTile(z, x, y), alt: "", width: TILE, height: TILE, draggable: "false" });
    img.addEventListener("load", () => img.classList.add("ready"));
    this.#tiles.set(key, img);
    this.layer.append(img);
    return img;
  }

  /** Moves by parts of the screen. */
  #move(x, y) {
    this.#shift(x * this.plane.clientWidth, y * this.plane.clientHeight);
  }

  #shift(pixelsX, pixelsY) {
    this.#at.x = clamp(this.#at.x + pixelsX / this.#size);
    this.#at.y = clamp(this.#at.y + pixelsY / this.#size);
    this.#draw();
  }

  /** Zooms by a level and keeps a point of the screen, in 0..1, where it is. */
  #zoom(by, atX = 0.5, atY = 0.5) {
    const before = this.#size;
    const z = Math.min(Math.max(this.#at.z + by, 0), this.levels - 1);
    if (z === this.#at.z) return;
    const x = (atX - 0.5) * this.plane.clientWidth;
    const y = (atY - 0.5) * this.plane.clientHeight;
    this.#at.z = z;
    this.#at.x = clamp(this.#at.x + x / before - x / this.#size);
    this.#at.y = clamp(this.#at.y + y / before - y / this.#size);
    this.#draw();
  }

  #wheel(event) {
    event.preventDefault();
    const now = performance.now();
    if (now - (this.wheeled ?? 0) < 120) return;
    this.wheeled = now;
    const box = this.plane.getBoundingClientRect();
    this.#zoom(event.deltaY < 0 ? 1 : -1, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  #press(event) {
    this.plane.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, moved: 0 });
    this.spread = this.#distance();
  }

  #distance() {
    const [one, two] = [...this.#pointers.values()];
    return two ? Math.hypot(one.x - two.x, one.y - two.y) : 0;
  }

  #drag(event) {
    const pointer = this.#pointers.get(event.pointerId);
    if (!pointer) return;
    const [x, y] = [event.clientX - pointer.x, event.clientY - pointer.y];
    Object.assign(pointer, { x: event.clientX, y: event.clientY, moved: pointer.moved + Math.hypot(x, y) });
    if (this.#pointers.size === 1) {
      this.#shift(-x, -y);
      return;
    }
    const ratio = this.#distance() / (this.spread || 1);
    if (ratio > 1.6 || ratio < 0.6) {
      this.#zoom(ratio > 1 ? 1 : -1);
      this.spread = this.#distance();
    }
  }

  #release(event) {
    const pointer = this.#pointers.get(event.pointerId);
    this.#pointers.delete(event.pointerId);
    if (!pointer || pointer.moved > CLICK) return;
    const box = this.plane.getBoundingClientRect();
    this.#open((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  /** Opens the photo at a point of the screen, in 0..1. */
  async #open(atX, atY) {
    const x = clamp(this.#at.x + ((atX - 0.5) * this.plane.clientWidth) / this.#size);
    const y = clamp(this.#at.y + ((atY - 0.5) * this.plane.clientHeight) / this.#size);
    try {
      const { id } = await api.photoAt(x, y);
      if (id !== null && id !== undefined) this.app.go({ photo: String(id) });
    } catch (error) {
      this.app.failed(error);
    }
  }
}

const clamp = (value) => Math.min(Math.max(value, 0), 1);
