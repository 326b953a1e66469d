// One search with two encoders, side by side.

import * as api from "./api.js";
import { h, icon } from "./dom.js";
import { problem, working } from "./messages.js";
import { resultRows, shapeOf } from "./rows.js";
import { format, searchKey } from "./state.js";
import { makeFocusable, tileKeys } from "./tile-keys.js";

export class Compare {
  #width = 0;

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.body = h("div", { class: "compare-body" });
    this.pictures = h("div", { class: "query-pictures", role: "group", "aria-label": "Pictures searched with" });
    this.choice = h("select", { class: "select", "aria-label": "The other encoder" });
    this.choice.addEventListener("change", () => app.go({ other: this.choice.value }));
    this.back = h("a", { class: "button", href: "/" }, icon("back"), "All results");
    this.element = h(
      "div",
      { class: "scroll compare", tabindex: "-1" },
      h("header", { class: "view-head" }, h("h1", {}, "Two encoders"), this.pictures, h("span", { class: "grow" }), this.choice, this.back),
      this.body,
    );
    this.resizes = new ResizeObserver(() => this.#draw());
    this.keys = { ...tileKeys(this.body), e: () => app.follow(this.back.getAttribute("href")) };
  }

  destroy() {
    this.resizes.disconnect();
    this.abort?.abort();
  }

  /** @param {import("./state.js").State} state */
  async update(state) {
    this.back.href = format({ ...state, view: "search", other: "", photo: "" });
    const key = searchKey(state);
    if (key === this.key) return;
    this.key = key;
    this.state = state;
    this.#head();
    await this.refresh();
  }

  async refresh() {
    this.abort?.abort();
    this.abort = new AbortController();
    this.answers = null;
    const slow = setTimeout(() => this.answers ?? this.body.replaceChildren(working("Searching with both encoders…")), 250);
    try {
      this.answers = await api.compare({ ...this.state, k: Math.min(this.state.k, 60) }, this.abort.signal);
      this.#width = 0;
      this.#draw();
      this.resizes.observe(this.body);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.body.replaceChildren(problem(error, () => this.refresh()));
      if (error.status === 0) this.app.failed(error);
    } finally {
      clearTimeout(slow);
    }
  }

  #head() {
    const { state, app } = this;
    this.pictures.replaceChildren(...state.like.map((id) => h("figure", { class: "query-picture" },
      h("span", { class: "query-frame" }, h("img", { src: api.thumbnail(id), alt: "Picture searched with" })))));
    const others = app.info.encoders ?? [];
    this.choice.replaceChildren(...others.map(({ index, name }) => h("option", { value: index }, `${name} (${index})`)));
    this.choice.value = state.other;
    this.choice.hidden = others.length < 2;
  }

  #draw() {
    if (!this.answers || this.#width === this.body.clientWidth) return;
    this.#width = this.body.clientWidth;
    const { a, b } = this.answers;
    const own = this.app.info.encoder.name;
    const other = this.app.info.encoders?.find(({ index }) => index === this.state.other)?.name ?? this.state.other;
    const columns = [column(own, "this index"), column(other, this.state.other)];
    this.body.replaceChildren(...columns.map(({ element }) => element));
    fill(columns[0], a, b, this.app);
    fill(columns[1], b, a, this.app);
    makeFocusable(this.body);
  }

  get order() {
    return this.answers?.a.results.map(({ id }) => String(id)) ?? [];
  }

  focusPhoto(id) {
    this.body.querySelector(`[data-photo="${id}"]`)?.focus();
  }
}

function column(name, index) {
  const host = h("div", { class: "compare-rows" });
  const words = h("p", { class: "soft" });
  const element = h("section", { class: "compare-column", "aria-label": name }, h("h2", {}, name, " ", name !== index && h("span", { class: "soft" }, index)), words, host);
  return { element, host, words };
}

/** Fills a column; a note says at which rank the other encoder has the same photo. */
function fill({ host, words }, answer, other, app) {
  const ranks = new Map(other.results.map(({ path }, at) => [path, at + 1]));
  // A photo that only the other index has cannot be shown.
  const results = answer.results.filter(({ id }) => id !== null).map((result) => {
    const rank = ranks.get(result.path);
    return { ...result, note: rank ? `#${rank} there` : "only here" };
  });
  const shared = results.filter(({ path }) => ranks.has(path)).length;
  words.textContent = `${shared} of ${results.length} also found by the other encoder`;
  host.replaceChildren(resultRows(results, app, shapeOf(host)));
}
