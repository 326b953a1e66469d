// What the page shows, as the query string of its address and back.

/**
 * @typedef {Object} Filters the filters of the terminal; each is text, a list of texts or empty
 * @property {string[]} in @property {string[]} not_in @property {string} taken
 * @property {string} near @property {string} camera @property {string} format
 * @property {string} min_side
 */

/**
 * @typedef {Object} State
 * @property {"photos"|"search"|"duplicates"|"compare"|"map"|"looks"} view
 * @property {string[]} like pictures to search with: ids, or handles of uploads
 * @property {string[]} minus pictures that results should not look like
 * @property {string} crop `x,y,w,h` in percent
 * @property {boolean} inside whether the picture is searched inside photos
 * @property {boolean} turned @property {"score"|"taken"|"path"} sort @property {boolean} reverse
 * @property {string} min_score @property {number} k
 * @property {Filters} filters
 * @property {string} photo id of the photo shown large, empty for none
 * @property {""|"filters"|"help"|"part"|"script"} panel
 * @property {string} of the picture of which a part is chosen
 * @property {string} at place in the collection: `2024-07` or `2024-07.120`
 * @property {string} pair two ids compared by the slider, `12,15`
 * @property {string} threshold of duplicates
 * @property {string} other index compared with
 * @property {string} look the name of a look, empty for the list of them
 * @property {string} place of the map: `zoom,x,y`
 */

const LISTS = ["like", "minus"];
const TEXTS = ["crop", "min_score", "photo", "panel", "of", "at", "pair", "threshold", "other", "place", "look"];
const FLAGS = ["turned", "reverse", "inside"];
export const FILTER_LISTS = ["in", "not_in"];
export const FILTER_TEXTS = ["taken", "near", "camera", "format", "min_side"];
const VIEWS = ["duplicates", "compare", "map", "looks"];
const SORTS = ["taken", "path"];
/** Results of one search, and the most of them. */
export const RESULTS = 100;
export const MOST_RESULTS = 1000;

/** @param {string} text the query string @returns {State} */
export function parse(text) {
  const given = new URLSearchParams(text);
  const state = { filters: parseFilters(given) };
  for (const name of LISTS) state[name] = (given.get(name) ?? "").split(",").filter(Boolean);
  for (const name of TEXTS) state[name] = given.get(name) ?? "";
  for (const name of FLAGS) state[name] = given.get(name) === "1";
  state.sort = SORTS.includes(given.get("sort")) ? given.get("sort") : "score";
  const count = Number.parseInt(given.get("k") ?? "", 10);
  state.k = count > 0 ? Math.min(count, MOST_RESULTS) : RESULTS;
  const view = given.get("view");
  state.view = VIEWS.includes(view) ? view : state.like.length || state.minus.length ? "search" : "photos";
  return state;
}

function parseFilters(given) {
  const filters = {};
  for (const name of FILTER_LISTS) filters[name] = given.getAll(name).filter(Boolean);
  for (const name of FILTER_TEXTS) filters[name] = given.get(name) ?? "";
  return filters;
}

/** @param {State} state @returns {string} the query string, without what is at its default */
export function format(state) {
  const out = new URLSearchParams();
  if (VIEWS.includes(state.view)) out.set("view", state.view);
  for (const name of LISTS) if (state[name].length) out.set(name, state[name].join(","));
  for (const name of TEXTS) if (state[name]) out.set(name, state[name]);
  for (const name of FLAGS) if (state[name]) out.set(name, "1");
  if (state.sort !== "score") out.set("sort", state.sort);
  if (state.k !== RESULTS) out.set("k", String(state.k));
  addFilters(out, state.filters);
  const text = out.toString().replaceAll("%2C", ",");
  return text ? `?${text}` : "/";
}

/** @param {URLSearchParams} out @param {Filters} filters */
export function addFilters(out, filters) {
  for (const name of FILTER_LISTS) for (const folder of filters[name]) out.append(name, folder);
  for (const name of FILTER_TEXTS) if (filters[name]) out.set(name, filters[name]);
}

/** The address of a photo over a state. @param {State} state @param {string} id */
export function photoAddress(state, id) {
  return format({ ...state, photo: id, panel: "", of: "", pair: "", at: "" });
}

/** The number of filters in use. @param {Filters} filters */
export function countFilters(filters) {
  const lists = FILTER_LISTS.reduce((sum, name) => sum + filters[name].length, 0);
  return lists + FILTER_TEXTS.filter((name) => filters[name]).length;
}

/** No filters. @returns {Filters} */
export function noFilters() {
  return parseFilters(new URLSearchParams());
}

/** The part of a state that decides the results of a search. @param {State} state */
export function searchKey(state) {
  const { like, minus, crop, inside, turned, sort, reverse, min_score, k, filters, other } = state;
  return JSON.stringify([like, minus, crop, inside, turned, sort, reverse, min_score, k, filters, other]);
}

/**
 * The state for a new search, with the filters of the present one.
 * @param {State} state @param {string[]} like @param {Partial<State>} [more]
 */
export function searchFor(state, like, more = {}) {
  return { ...parse(""), filters: state.filters, view: "search", like, ...more };
}
