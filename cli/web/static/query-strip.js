// The pictures of a search, and how to refine it.

import { isUpload, thumbnail } from "./api.js";
import { button, h, icon, iconButton } from "./dom.js";
import { photoAddress } from "./state.js";
import { count } from "./words.js";

const ORDERS = [
  ["score", "Most similar first"],
  ["taken-reverse", "Newest first"],
  ["taken", "Oldest first"],
  ["path", "By path"],
];

export class QueryStrip {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.pictures = h("div", { class: "query-pictures", role: "group", "aria-label": "Pictures searched with" });
    this.tools = h("div", { class: "query-tools", role: "group", "aria-label": "Refine" });
    this.summary = h("p", { class: "query-summary soft", role: "status" });
    this.element = h("section", { class: "query", "aria-label": "Search" }, this.pictures, this.summary, this.tools);
  }

  /** @param {import("./state.js").State} state @param {Object|null} answer */
  update(state, answer) {
    this.state = state;
    this.pictures.replaceChildren(
      ...state.like.map((id) => this.#picture(id, "like")),
      ...state.minus.map((id) => this.#picture(id, "minus")),
      this.#add(),
    );
    this.summary.textContent = answer ? summary(state, answer) : "";
    this.tools.replaceChildren(...this.#tools(state));
  }

  #picture(id, side) {
    const { state } = this;
    const rest = state[side].filter((other) => other !== id);
    const words = side === "like" ? "Stop searching with this picture" : "Allow photos like this picture again";
    const remove = () => {
      if (rest.length || (side === "minus" && state.like.length)) this.app.search([], { ...state, crop: "", [side]: rest });
      else this.app.go({ ...state, like: [], minus: [], view: "photos", crop: "" });
    };
    const upload = isUpload(id);
    const img = h("img", { src: thumbnail(id), alt: upload ? "Your picture" : "Photo of the collection" });
    img.addEventListener("error", () => img.replaceWith(icon("photos")));
    const frame = h("span", { class: "query-frame" }, img);
    if (side === "like" && state.crop) frame.append(cropBox(state.crop));
    const shown = upload
      ? frame
      : h("a", { href: photoAddress(state, id), data: { photo: id }, "aria-label": "Show this photo large" }, frame);
    return h(
      "figure",
      { class: `query-picture ${side}` },
      shown,
      side === "minus" && h("figcaption", {}, "less like"),
      iconButton("close", words, remove, { class: "icon-button small" }),
    );
  }

  #add() {
    const { uploads } = this.app;
    return h(
      "span",
      { class: "query-add" },
      iconButton("plus", "More like another picture", () => uploads.choose("like")),
      iconButton("minus", "Less like another picture", () => uploads.choose("minus")),
    );
  }

  #tools(state) {
    const order = state.sort === "taken" && state.reverse ? "taken-reverse" : state.sort;
    const options = ORDERS.map(([value, words]) => h("option", { value, selected: value === order }, words));
    const sort = h("select", { class: "select", "aria-label": "Order of the results" }, ...options);
    sort.addEventListener("change", () => {
      const [name, reverse] = sort.value.split("-");
      this.app.go({ sort: name, reverse: Boolean(reverse) });
    });
    const one = state.like.length === 1;
    const part = () => this.app.go({ panel: "part", of: state.like[0] });
    return [
      sort,
      one && button(state.crop ? "Another part" : "Choose a part", part, { picture: "part" }),
      state.crop && button("Whole picture", () => this.app.go({ crop: "" })),
      one && !state.minus.length && this.app.info.parts && toggle("Inside photos", state.inside, (on) => this.app.go({ inside: on, turned: false })),
      toggle("Clear matches only", state.min_score === "auto", (on) => this.app.go({ min_score: on ? "auto" : "" })),
      toggle("Turned and mirrored", state.turned, (on) => this.app.go({ turned: on, inside: false })),
      this.app.info.encoders?.length > 0 && button("Two encoders", () => this.compare(), { picture: "compare" }),
    ].filter(Boolean);
  }

  /** Shows the search with two encoders. */
  compare() {
    const other = this.app.info.encoders?.[0]?.index;
    if (other) this.app.go({ view: "compare", other, photo: "", panel: "" });
  }
}

/** A button that is on or off. */
function toggle(words, on, change) {
  return button(words, () => change(!on), { look: "toggle", "aria-pressed": String(on) });
}

function cropBox(crop) {
  const [x, y, width, height] = crop.split(",").map((part) => `${Number.parseFloat(part)}%`);
  return h("span", { class: "crop-box", style: { left: x, top: y, width, height } });
}

function summary(state, answer) {
  const total = answer.results.length;
  const clear = state.sort === "score" ? answer.line ?? total : answer.results.filter(({ significant }) => significant !== false).length;
  const of = `${count(total)} results`;
  const words = clear === total ? of : clear ? `${count(clear)} clear among ${of}` : `No clear match among ${of}`;
  const seconds = answer.seconds?.total;
  return seconds === undefined ? words : `${words} in ${Math.max(Math.round(seconds * 1000), 1)} ms`;
}
