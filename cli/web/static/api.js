// The server's answers, and its errors as `Problem`s.

import { addFilters } from "./state.js";

/** What went wrong and what to do about it, in words for people. */
export class Problem extends Error {
  /** @param {string} message @param {string} hint @param {number} status 0: no answer at all */
  constructor(message, hint, status) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer", "Start mocosearch serve again.", 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  if (response.status === 401) {
    const hint = "Open the address that mocosearch serve has printed.";
    throw new Problem(body.error ?? "This browser is not signed in", body.hint ?? hint, 401);
  }
  const words = body.error ?? `The server answered with error ${response.status}`;
  throw new Problem(words, body.hint ?? "", response.status);
}

async function get(path, signal) {
  return (await request(path, { signal })).json();
}

async function post(path, body, signal) {
  const form = body instanceof FormData;
  const headers = form ? {} : { "Content-Type": "application/json" };
  const text = form ? body : JSON.stringify(body);
  return (await request(path, { method: "POST", headers, body: text, signal })).json();
}

function query(filters, more = {}) {
  const given = new URLSearchParams(more);
  if (filters) addFilters(given, filters);
  const text = given.toString();
  return text ? `?${text}` : "";
}

export const info = () => get("/v1/info");
export const timeline = (filters) => get(`/v1/timeline${query(filters)}`);
export const images = (filters, offset, limit, signal) =>
  get(`/v1/images${query(filters, { offset, limit })}`, signal);
export const image = (id, filters, signal) => get(`/v1/images/${id}${query(filters)}`, signal);
export const folders = (under) => get(`/v1/folders${query(null, under ? { under } : {})}`);
export const duplicates = (threshold, offset, limit) =>
  get(`/v1/duplicates${query(null, { ...(threshold && { threshold }), offset, limit })}`);
export const ignoreDuplicates = (ids) => post("/v1/duplicates/ignore", { ids: ids.map(Number) });
export const script = async (threshold) =>
  (await request(`/v1/duplicates/script${query(null, threshold ? { threshold } : {})}`)).text();
export const looks = () => get("/v1/looks");
export const look = (name) => get(`/v1/looks/${encodeURIComponent(name)}`);
export const answerLook = (name, answers) => post(`/v1/looks/${encodeURIComponent(name)}/answers`, { answers });
export const map = () => get("/v1/map");
export const photoAt = (x, y, z, reach) => get(`/v1/map/at${query(null, { x, y, z, reach })}`);

/** Whether an id stands for a picture that was sent, and not for a photo of the collection. */
export const isUpload = (id) => !/^\d+$/.test(String(id));

/**
 * The address of a small picture. `v`, the photo's version, lets the browser keep it for ever.
 * @param {string|number} id @param {number} [side] @param {string} [v]
 */
export function thumbnail(id, side = 320, v = "") {
  if (isUpload(id)) return `/v1/uploads/${id}?side=${side}`;
  return `/v1/images/${id}/thumbnail?side=${side}${v ? `&v=${v}` : ""}`;
}

/** The address of a large picture. */
export const file = (id, side = 2048) =>
  isUpload(id) ? thumbnail(id, 1280) : `/v1/images/${id}/file?side=${side}`;
export const mapTile = (z, x, y, side, v) => `/v1/map/${z}/${x}/${y}?side=${side}&v=${v}`;

/** @param {import("./state.js").State} state @param {AbortSignal} [signal] */
export function search(state, signal) {
  return post("/v1/search", { ...body(state), ...(isInside(state) && { part: true }) }, signal);
}

/** Whether photos are searched of which the picture is a part: it goes with one picture alone. */
export const isInside = ({ inside, like, minus, turned }) => inside && like.length === 1 && !minus.length && !turned;

/** The same search with two encoders. */
export function compare(state, signal) {
  return post("/v1/compare", { ...body(state), other: state.other }, signal);
}

/** Uploads pictures and searches with them. @param {File[]} files */
export function upload(files, state) {
  const form = new FormData();
  for (const picture of files) form.append("image", picture, picture.name || "picture");
  for (const [name, value] of Object.entries(body({ ...state, crop: "" }))) {
    for (const item of Array.isArray(value) ? value : [value]) form.append(name, String(item));
  }
  return post("/v1/search", form);
}

function body(state) {
  const out = { ids: state.like.map(numeric), k: state.k };
  if (state.minus.length) out.minus = state.minus.map(numeric);
  if (state.crop) out.crop = state.crop;
  if (state.turned) out.turned = true;
  if (state.min_score) out.min_score = score(state.min_score);
  if (state.sort !== "score") out.sort = state.sort;
  if (state.reverse) out.reverse = true;
  for (const [name, value] of Object.entries(state.filters)) {
    if (value.length) out[name] = name === "min_side" ? Number(value) : value;
  }
  return out;
}

const numeric = (id) => (isUpload(id) ? id : Number(id));
const score = (text) => (text === "auto" ? text : Number(text));
