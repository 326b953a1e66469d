// A map of the collection by similarity: tiles drawn by the server, moved and zoomed here.

import * as api from "./api.js";
import { h, iconButton } from "./dom.js";
import { MapGestures } from "./map-gestures.js";
import { MapTiles } from "./map-tiles.js";
import { message, problem, working } from "./messages.js";

const AGAIN = 2000;
const STEP = 0.2;
/** Cells around the middle of the screen in which Enter looks for a photo. */
const REACH = 8;
const QUICK = 160;

export class MapView {
  /** Zoom, and the middle of the screen in 0..1. With zoom z the map is 256 * 2 ** z pixels wide. */
  #at = null;

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.tiles = new MapTiles();
    this.plane = h("div", {
      class: "map-plane", tabindex: "0", role: "application", "aria-label": "Map of the photos by similarity",
      "aria-roledescription": "map",
    }, this.tiles.element, h("span", { class: "map-cross", "aria-hidden": "true" }));
    this.element = h(
      "div",
      { class: "view map" },
      h("h1", { class: "hidden" }, "Map"),
      this.plane,
      h("div", { class: "map-zoom", role: "group", "aria-label": "Zoom" },
        iconButton("plus", "Nearer", () => this.#zoom(1)), iconButton("minus", "Farther", () => this.#zoom(-1)),
        iconButton("whole", "The whole map", () => this.#whole())),
      this.note = h("p", { class: "map-note", role: "status", hidden: true }),
    );
    new MapGestures(this.plane, {
      shift: (x, y) => this.#shift(x, y),
      zoom: (by, x, y) => this.#zoomTo(this.#at.z + by, x, y),
      open: (x, y) => this.#open(x, y, 0),
    });
    this.resizes = new ResizeObserver(() => this.#draw());
    const move = (x, y) => () => this.#shift(x * STEP * this.plane.clientWidth, y * STEP * this.plane.clientHeight);
    this.keys = {
      ArrowLeft: move(-1, 0), ArrowRight: move(1, 0), ArrowUp: move(0, -1), ArrowDown: move(0, 1),
      "+": () => this.#zoom(1), "=": () => this.#zoom(1), "-": () => this.#zoom(-1), 0: () => this.#whole(),
      Enter: (event) => (event.target.closest("button, a") ? event.target.click() : this.#open(0, 0, REACH)),
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
    if (state.place && [z, x, y].every(Number.isFinite)) this.#at = { z, x, y };
    if (this.levels) this.#draw();
    else await this.refresh();
  }

  async refresh() {
    clearTimeout(this.timer);
    try {
      const map = await api.map();
      if (!this.gone) this.#show(map);
    } catch (error) {
      this.message?.remove();
      this.message = problem(error, () => this.refresh());
      this.element.append(this.message);
      this.app.failed(error);
    }
  }

  #show(map) {
    this.message?.remove();
    if (map.state !== "done" || !map.photos) {
      const part = map.progress ? ` ${Math.round(map.progress * 100)}%` : "";
      const words = `Computing the map of ${this.app.info.photos.toLocaleString("en-GB")} photos…${part}`;
      this.message = map.state === "done" ? message("map", "No photos yet") : working(words);
      this.element.append(this.message);
    } else if (map.v !== this.tiles.version || map.tiles !== this.levels) {
      this.levels = map.tiles;
      this.tiles.reset(map.tiles, map.v);
      this.#draw();
      this.resizes.observe(this.plane);
    }
    this.note.hidden = map.state !== "done" || !map.updating;
    this.note.textContent = "Adding new photos to the map…";
    if (map.state !== "done" || map.updating) this.timer = setTimeout(() => this.refresh(), AGAIN);
  }

  /** The zoom at which the whole map is on the screen. */
  get #least() {
    return Math.log2(Math.max(Math.min(this.plane.clientWidth, this.plane.clientHeight), 64) / 256);
  }

  #draw() {
    if (!this.levels || !this.plane.clientWidth) return;
    this.#at ??= { z: this.#least, x: 0.5, y: 0.5 };
    const { z, x, y } = this.#at;
    this.tiles.draw(this.#at, this.plane.clientWidth, this.plane.clientHeight);
    clearTimeout(this.saving);
    const place = [Number(z.toFixed(2)), x.toFixed(4), y.toFixed(4)].join(",");
    this.saving = setTimeout(() => this.gone || this.app.state.photo || this.app.replace({ place }), 300);
  }

  get #size() {
    return 256 * 2 ** this.#at.z;
  }

  /** Moves by pixels. */
  #shift(x, y) {
    if (!this.#at) return;
    this.#at.x = clamp(this.#at.x + x / this.#size);
    this.#at.y = clamp(this.#at.y + y / this.#size);
    this.#draw();
  }

  /** Zooms and keeps a point in place, in pixels from the middle of the screen. */
  #zoomTo(wanted, x = 0, y = 0) {
    if (!this.#at) return;
    const before = this.#size;
    this.#at.z = Math.min(Math.max(wanted, this.#least), Math.max(this.levels, this.#least));
    this.#at.x = clamp(this.#at.x + x / before - x / this.#size);
    this.#at.y = clamp(this.#at.y + y / before - y / this.#size);
    this.#draw();
  }

  /** Zooms by a step, in some frames. */
  #zoom(by) {
    if (!this.#at) return;
    const from = this.#at.z;
    this.target = (this.zooming ? this.target : from) + by;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.#zoomTo(this.target);
      return;
    }
    const start = performance.now();
    const run = this.zooming = (now) => {
      if (run !== this.zooming || this.gone) return;
      const part = Math.min(Math.max((now - start) / QUICK, 0), 1);
      this.#zoomTo(from + (this.target - from) * part);
      if (part < 1) requestAnimationFrame(run);
      else this.zooming = null;
    };
    requestAnimationFrame(run);
  }

  #whole() {
    this.zooming = null;
    this.#at = null;
    this.#draw();
  }

  /** Opens the photo at a point, in pixels from the middle of the screen. */
  async #open(x, y, reach) {
    if (!this.#at) return;
    const at = { x: clamp(this.#at.x + x / this.#size), y: clamp(this.#at.y + y / this.#size) };
    try {
      const { id } = await api.photoAt(at.x, at.y, this.tiles.level(this.#at.z), reach);
      if (id !== null && id !== undefined) this.app.go({ photo: String(id) });
    } catch (error) {
      this.app.failed(error);
    }
  }
}

const clamp = (value) => Math.min(Math.max(value, 0), 1);
