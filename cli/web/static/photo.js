// One photo, large, with its facts and photos like it.

import * as api from "./api.js";
import { makeDialog, setOpen } from "./dialog.js";
import { button, h, iconButton } from "./dom.js";
import { facts } from "./facts.js";
import { problem } from "./messages.js";
import { copyText } from "./notice.js";
import { refineBy } from "./selection-bar.js";
import { format, photoAddress, searchFor } from "./state.js";
import { picture } from "./tile.js";
import { dayAndTime, score } from "./words.js";

const SIMILAR = 12;
/** Pixels of the screen per pixel of a small picture, at most. */
const MOST_STRETCH = 2.5;

export class PhotoDialog {
  #id = "";
  #abort = new AbortController();

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.dialog = makeDialog("photo-dialog", "Photo", () => this.close());
    this.stage = h("div", { class: "stage" });
    this.panel = h("aside", { class: "facts", "aria-label": "Facts" });
    this.left = iconButton("left", "Previous photo", () => this.#step(-1), { class: "icon-button step before" });
    this.right = iconButton("right", "Next photo", () => this.#step(1), { class: "icon-button step after" });
    this.more = button("More like this", () => this.#refine("like"), { picture: "plus", look: "glass" });
    this.less = button("Less like this", () => this.#refine("minus"), { picture: "minus", look: "glass" });
    const head = h(
      "header",
      { class: "photo-head" },
      iconButton("close", "Close the photo", () => this.close()),
      h("span", { class: "grow" }),
      this.more,
      this.less,
      button("Choose a part", () => this.#part(), { picture: "part", look: "glass" }),
      button("Find similar", () => this.#search(), { picture: "search", look: "glass main" }),
      iconButton("info", "Facts", () => this.#toggleFacts(), { "aria-pressed": "true", class: "icon-button info-button" }),
    );
    this.dialog.append(h("div", { class: "photo-main" }, head, this.left, this.stage, this.right), this.panel);
    this.keys = {
      ArrowLeft: () => this.#step(-1),
      ArrowRight: () => this.#step(1),
      s: () => this.#search(),
      p: () => this.#part(),
      c: () => this.photo && copyText(this.photo.paths[0], "Path"),
      i: () => this.#toggleFacts(),
      "+": () => this.#refine("like"),
      "-": () => this.#refine("minus"),
      "?": () => app.go({ panel: "help" }),
    };
    this.#swipe();
  }

  get open() {
    return this.dialog.open;
  }

  close() {
    this.app.close({ photo: "" });
  }

  /** @param {import("./state.js").State} state */
  update(state) {
    setOpen(this.dialog, Boolean(state.photo));
    const refine = state.view === "search";
    this.more.hidden = !refine;
    this.less.hidden = !refine;
    if (state.photo === this.#id) return;
    this.#id = state.photo;
    this.#abort.abort();
    this.photo = null;
    if (state.photo) this.#show(state.photo);
    else this.stage.replaceChildren();
  }

  async #show(id) {
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const preview = document.querySelector(`main [data-tile="${id}"] img`);
    this.stage.replaceChildren(...(preview ? [h("img", { class: "photo preview", src: preview.src, alt: "" })] : []));
    this.left.disabled = true;
    this.right.disabled = true;
    try {
      const photo = await api.image(id, this.app.state.filters, signal);
      if (id !== this.#id) return;
      this.photo = photo;
      this.#place(photo);
      this.#steps(photo);
      const result = this.app.view.result?.(id);
      this.panel.replaceChildren(...facts(photo, result, this.app));
      await this.#similar(id, signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.stage.replaceChildren(problem(error, () => this.#show(id)));
      this.panel.replaceChildren();
    }
  }

  #place(photo) {
    const side = Math.max(window.innerWidth, window.innerHeight) * (window.devicePixelRatio || 1);
    const words = [photo.paths[0].split(/[/\\]/).pop(), dayAndTime(photo.taken)].filter(Boolean).join(", ");
    const size = { width: photo.width, height: photo.height };
    // A small picture is not stretched over a large screen.
    const style = { "max-width": `min(100%, ${photo.width * MOST_STRETCH}px)`, "max-height": `min(100%, ${photo.height * MOST_STRETCH}px)` };
    const img = h("img", { class: "photo", alt: words, src: api.file(photo.id, side > 2100 ? 4096 : 2048), style, ...size });
    const preview = this.stage.querySelector(".preview");
    if (preview) for (const [name, value] of Object.entries(style)) preview.style.setProperty(name, value);
    img.addEventListener("load", () => preview?.remove());
    // The file may be on a disk that is not there: the thumbnail stands in for it.
    img.addEventListener("error", () => {
      img.src = api.thumbnail(photo.id, 640);
      preview?.remove();
    }, { once: true });
    this.stage.append(img);
    this.dialog.setAttribute("aria-label", words);
  }

  #steps(photo) {
    const order = this.app.view.order;
    const at = order?.indexOf(String(photo.id)) ?? -1;
    this.neighbours = at >= 0
      ? [order[at - 1], order[at + 1]]
      : [photo.previous, photo.next].map((id) => (id === null ? undefined : String(id)));
    this.left.disabled = !this.neighbours[0];
    this.right.disabled = !this.neighbours[1];
  }

  #step(direction) {
    const id = this.neighbours?.[direction < 0 ? 0 : 1];
    if (id && this.photo) this.app.follow(format({ ...this.app.state, photo: id }), true);
  }

  async #similar(id, signal) {
    const state = searchFor(this.app.state, [id], { k: SIMILAR + 1 });
    const { results } = await api.search(state, signal);
    const others = results.filter((result) => String(result.id) !== id).slice(0, SIMILAR);
    if (id !== this.#id || !others.length) return;
    const links = others.map((result) => {
      const words = `Similar photo, ${score(result.score)}`;
      const photo = String(result.id);
      const href = photoAddress(this.app.state, photo);
      return h(
        "a",
        { href, data: { photo }, class: `similar tile ${result.significant === false ? "chance" : ""}`, "aria-label": words },
        picture(result, 110, 110),
        h("span", { class: "badge", "aria-hidden": "true" }, score(result.score)),
      );
    });
    this.panel.append(h(
      "section",
      { class: "fact-section" },
      h("h3", {}, "Similar photos"),
      h("div", { class: "similar-grid" }, ...links),
      button("Show all", () => this.#search(), { look: "wide" }),
    ));
  }

  #search() {
    this.app.search([this.#id]);
  }

  #refine(side) {
    if (this.app.state.view === "search") refineBy(this.app, [this.#id], side);
  }

  #part() {
    this.app.go({ panel: "part", of: this.#id });
  }

  #toggleFacts() {
    const hidden = this.dialog.classList.toggle("bare");
    this.dialog.querySelector(".info-button").setAttribute("aria-pressed", String(!hidden));
  }

  #swipe() {
    let start = null;
    this.stage.addEventListener("pointerdown", (event) => {
      start = event.pointerType === "touch" ? event.clientX : null;
    });
    this.stage.addEventListener("pointerup", (event) => {
      if (start === null) return;
      const moved = event.clientX - start;
      if (Math.abs(moved) > 48) this.#step(moved < 0 ? 1 : -1);
      start = null;
    });
  }
}
