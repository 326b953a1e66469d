// The results of a search, best first, and what refines it.

import * as api from "./api.js";
import { button, h } from "./dom.js";
import { message, nothingMatches, problem, working } from "./messages.js";
import { QueryStrip } from "./query-strip.js";
import { resultRows, shapeOf } from "./rows.js";
import { MOST_RESULTS, countFilters, searchKey } from "./state.js";
import { makeFocusable, tileKeys } from "./tile-keys.js";
import { markSelected } from "./tile.js";

/** Pictures in a row of results. */
const FIRST = 6;
/** Answers kept for the back button. */
const REMEMBERED = 12;
/** @type {Map<string, {answer: Object, version: string}>} */
const answers = new Map();

export class Results {
  #abort = null;
  #places = new Map();

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.strip = new QueryStrip(app);
    this.body = h("div", { class: "results-body" });
    this.element = h(
      "div",
      { class: "scroll results", tabindex: "-1" },
      h("h1", { class: "hidden" }, "Search results"),
      this.strip.element,
      this.body,
    );
    this.resizes = new ResizeObserver(() => this.#draw());
    app.selection.watch(this, () => this.#mark());
  }

  destroy() {
    this.#abort?.abort();
    this.resizes.disconnect();
    this.app.selection.unwatch(this);
  }

  /** @param {import("./state.js").State} state */
  async update(state) {
    const key = searchKey(state);
    if (key === this.key) {
      this.#relink();
      return;
    }
    if (this.key) this.#places.set(this.key, this.element.scrollTop);
    this.key = key;
    this.state = state;
    this.answer = null;
    this.strip.update(state, null);
    await this.#search(key);
    this.element.scrollTop = this.#places.get(key) ?? 0;
  }

  async refresh() {
    answers.clear();
    await this.#search(this.key);
  }

  async #search(key) {
    this.#abort?.abort();
    this.#abort = new AbortController();
    const memory = answers.get(key);
    const slow = setTimeout(() => this.answer ?? this.body.replaceChildren(working("Searching…")), 250);
    try {
      const known = memory?.version === this.app.info.version;
      const answer = known ? memory.answer : await api.search(this.state, this.#abort.signal);
      if (key !== this.key) return;
      remember(key, answer, this.app.info.version);
      this.answer = withoutQuery(answer, this.state.like);
      loadFirst(this.answer.results);
      this.strip.update(this.state, this.answer);
      this.#width = 0;
      this.#draw();
      this.resizes.observe(this.element);
    } catch (error) {
      if (error.name === "AbortError" || key !== this.key) return;
      this.#failed(error);
    } finally {
      clearTimeout(slow);
    }
  }

  #failed(error) {
    const upload = [...this.state.like, ...this.state.minus].some(api.isUpload);
    if (upload && error.status === 404) {
      const choose = () => this.app.uploads.choose();
      this.body.replaceChildren(message(
        "upload", "The picture is no longer in memory",
        h("p", {}, "The server keeps uploaded pictures only while it runs. Choose the picture again."),
        button("Choose a picture", choose, { look: "main" }),
      ));
    } else this.body.replaceChildren(problem(error, () => this.#search(this.key)));
    if (error.status === 0) this.app.failed(error);
  }

  #width = 0;

  #draw() {
    if (!this.answer || this.#width === this.body.clientWidth) return;
    this.#width = this.body.clientWidth;
    const { results } = this.answer;
    const { state } = this;
    if (!results.length) {
      const filtered = countFilters(state.filters) > 0;
      this.body.replaceChildren(filtered ? nothingMatches(this.app) : this.#nothing());
      return;
    }
    const shape = shapeOf(this.body);
    const line = state.sort === "score" ? this.answer.line : null;
    const split = line === null || line === undefined ? results.length : line;
    const parts = [];
    if (split > 0) parts.push(resultRows(results.slice(0, split), this.app, shape));
    const above = Number.parseFloat(parts[0]?.style.height ?? 0);
    if (split < results.length) {
      parts.push(chanceLine(split), resultRows(results.slice(split), this.app, shape, above));
    }
    if (this.answer.total >= state.k && state.k < MOST_RESULTS) parts.push(this.#more());
    this.body.replaceChildren(...parts);
    makeFocusable(this.body);
    this.#mark();
  }

  #nothing() {
    if (this.state.min_score !== "auto") return message("search", "The index has no photos to search");
    return message(
      "search", "Nothing is clearly similar",
      h("p", {}, "All results may be chance."),
      button("Show them anyway", () => this.app.go({ min_score: "" }), { look: "main" }),
    );
  }

  #more() {
    const k = Math.min(this.state.k * 3, MOST_RESULTS);
    return h("div", { class: "more" }, button("Show more results", () => {
      this.#places.set(searchKey({ ...this.state, k }), this.element.scrollTop);
      this.app.replace({ k });
      this.update({ ...this.state, k });
    }));
  }

  #mark() {
    for (const element of this.body.querySelectorAll(".tile")) {
      markSelected(element, this.app.selection.has(element.dataset.tile));
    }
    this.element.classList.toggle("selecting", this.app.selection.size > 0);
  }

  /** The links of the tiles contain the state, which may have changed around the results. */
  #relink() {
    this.state = this.app.state;
  }

  /** Ids in the order shown. */
  get order() {
    return this.answer?.results.map(({ id }) => String(id)) ?? [];
  }

  /** What is known of a photo as a result. */
  result(id) {
    return this.answer?.results.find((result) => String(result.id) === id);
  }

  get keys() {
    return {
      ...tileKeys(this.body),
      o: () => this.app.go(this.state.sort === "score" ? { sort: "taken" } : { sort: "score", reverse: false }),
      e: () => this.strip.compare(),
      p: () => this.state.like.length === 1 && this.app.go({ panel: "part", of: this.state.like[0] }),
    };
  }

  focusPhoto(id) {
    const link = this.body.querySelector(`[data-photo="${id}"]`);
    link?.scrollIntoView({ block: "nearest" });
    link?.focus({ preventScroll: true });
  }
}

/** Asks for the pictures of the first row before it is built, in the size that most rows have. */
function loadFirst(results) {
  for (const { id, v } of results.slice(0, FIRST)) new Image().src = api.thumbnail(id, undefined, v);
}

/** The answer without the photos searched with, which are shown above it, unless they have copies. */
function withoutQuery(answer, like) {
  const results = answer.results.filter(({ id, copies }) => copies?.length || !like.includes(String(id)));
  const removed = answer.results.slice(0, answer.line ?? 0).filter((result) => !results.includes(result));
  const line = answer.line === null || answer.line === undefined ? null : answer.line - removed.length;
  return { ...answer, results, line, total: answer.results.length };
}

function chanceLine(split) {
  const words = split ? "What follows may be chance" : "No other photo is clearly similar. These may be chance";
  return h("h2", { class: "chance-line" }, h("span", {}, words));
}

/** Remembers an answer that came with an upload. */
export function prime(state, answer, version) {
  remember(searchKey(state), answer, version);
}

function remember(key, answer, version) {
  answers.delete(key);
  answers.set(key, { answer, version });
  if (answers.size > REMEMBERED) answers.delete(answers.keys().next().value);
}
