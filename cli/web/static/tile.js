// One picture of a grid: a link to the photo, a box to select it, and what is known of a result.

import { thumbnail } from "./api.js";
import { h, icon } from "./dom.js";
import { label, plural, score } from "./words.js";

const SIDES = [160, 320, 640];

/** The side of the thumbnail that suits a box of CSS pixels. */
export function sideFor(width, height) {
  const wanted = Math.max(width, height) * Math.min(window.devicePixelRatio || 1, 2);
  return SIDES.find((side) => side >= wanted * 0.8) ?? SIDES.at(-1);
}

/**
 * A picture that fades in when it has arrived, over a plain ground of its size.
 * @param {{id: number, v?: string}} image @param {number} width @param {number} height in CSS pixels
 */
export function picture(image, width, height) {
  const props = { alt: "", width, height, decoding: "async", draggable: "false" };
  const img = h("img", { ...props, src: thumbnail(image.id, sideFor(width, height), image.v) });
  const show = () => img.classList.add("ready");
  if (img.complete) show();
  img.addEventListener("load", show);
  img.addEventListener("error", () => img.closest(".tile")?.classList.add("broken"));
  return img;
}

/**
 * @param {{id: number, width: number, height: number, taken: string|null, name: string}} image
 * @param {{width: number, height: number}} box in CSS pixels
 * @param {{href: string, selected: boolean, select: (id: string) => void, result?: Object}} options
 */
export function tile(image, box, { href, selected, select, result }) {
  const id = String(image.id);
  const words = [label(image), ...(result ? resultWords(result) : [])].join(", ");
  const link = h(
    "a",
    { href, class: "tile-link", "aria-label": words, tabindex: "-1", data: { photo: id } },
    picture(image, box.width, box.height),
  );
  const check = h(
    "button",
    {
      class: "tile-check", type: "button", role: "checkbox", tabindex: "-1",
      "aria-checked": String(selected), "aria-label": `Select ${image.name}`, title: "Select (x)",
      on: { click: () => select(id) },
    },
    icon("check"),
  );
  const kind = ["tile", selected && "selected", result?.significant === false && "chance"];
  return h(
    "div",
    {
      class: kind.filter(Boolean).join(" "), data: { tile: id },
      style: { width: `${box.width}px`, height: `${box.height}px` },
    },
    link,
    result?.region && regionBox(result.region, image),
    result && badges(result),
    check,
  );
}

function resultWords(result) {
  const words = [`similarity ${score(result.score)}`];
  const copies = result.copies?.length ?? 0;
  if (copies) words.push(plural(copies, "copy", "copies"));
  if (result.region) words.push("with the place of the picture in it");
  if (result.missing) words.push("file not there");
  if (result.note) words.push(result.note);
  return words;
}

/** Where the picture that was searched for is in a photo. */
function regionBox({ x, y, w, h: height }, image) {
  const percent = (part, whole) => `${(100 * part) / whole}%`;
  const left = percent(x, image.width);
  const top = percent(y, image.height);
  const style = { left, top, width: percent(w, image.width), height: percent(height, image.height) };
  return h("span", { class: "region-box", "aria-hidden": "true", style });
}

function badges(result) {
  const copies = result.copies?.length ?? 0;
  return h(
    "div",
    { class: "badges", "aria-hidden": "true" },
    h("span", { class: "badge" }, score(result.score)),
    copies > 0 && h("span", { class: "badge" }, icon("copies"), `+${copies}`),
    result.missing && h("span", { class: "badge" }, icon("disk")),
    result.note && h("span", { class: "badge wide" }, result.note),
  );
}

/** Shows in a tile whether it is selected. */
export function markSelected(element, selected) {
  element.classList.toggle("selected", selected);
  element.querySelector(".tile-check")?.setAttribute("aria-checked", String(selected));
}
