// Messages in place of photos: why there are none, and what to do.

import { button, h, icon } from "./dom.js";
import { noFilters } from "./state.js";

/** @param {string} picture @param {string} title @param {...(Node|string)} rest */
export function message(picture, title, ...rest) {
  return h("div", { class: "message" }, icon(picture), h("h2", {}, title), ...rest);
}

/** An index without photos. */
export function emptyCollection(info) {
  return message(
    "photos",
    "No photos yet",
    h("p", {}, "Add a folder in a terminal. The photos appear here while they are read."),
    h("pre", {}, `mocosearch index FOLDER --index ${info.index}`),
  );
}

/** @param {import("./app.js").App} app */
export function nothingMatches(app) {
  const clear = () => app.go({ filters: noFilters(), at: "" });
  return message(
    "filter",
    "No photo matches the filters",
    button("Remove the filters", clear, { look: "main" }),
  );
}

/** An error, with what to do. @param {Error} error @param {() => void} again */
export function problem(error, again) {
  if (error.status === undefined) throw error;
  return h(
    "div",
    { class: "message", role: "alert" },
    icon("warning"),
    h("h2", {}, sentence(error.message)),
    error.hint && h("p", {}, sentence(error.hint)),
    button("Try again", again),
  );
}

/** With a capital letter at its start. @param {string} words */
export const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** While something is computed. */
export function working(words) {
  return h("div", { class: "message quiet", role: "status" }, h("div", { class: "spinner" }), h("p", {}, words));
}
