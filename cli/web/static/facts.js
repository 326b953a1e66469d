// What is known of a photo, beside it.

import { button, h, icon } from "./dom.js";
import { copyText } from "./notice.js";
import { baseName, dayAndTime, folderOf, score, size } from "./words.js";

/**
 * @param {Object} photo as the server describes it
 * @param {Object|undefined} result what is known of it as a result
 * @returns {HTMLElement[]}
 */
export function facts(photo, result) {
  const pixels = (photo.width * photo.height) / 1e6;
  const megapixels = pixels >= 1 ? `${pixels.toFixed(pixels < 10 ? 1 : 0)} MP, ` : "";
  const about = [photo.format?.toUpperCase(), photo.bytes ? size(photo.bytes) : ""].filter(Boolean).join(", ");
  return [
    absent(photo),
    h("h2", { class: "photo-name" }, baseName(photo.paths[0])),
    h(
      "dl",
      { class: "fact-list" },
      ...fact("calendar", "Taken", dayAndTime(photo.taken) || "No date"),
      ...fact("photos", "Picture", `${megapixels}${photo.width} × ${photo.height}`),
      ...fact("file", "File", about),
      ...fact("camera", "Camera", photo.camera),
      ...fact("place", "Place", place(photo)),
      ...(result ? fact("search", "Similarity", similarity(result)) : []),
    ),
    h(
      "section",
      { class: "fact-section" },
      h("h3", {}, photo.paths.length > 1 ? "Files with this content" : "File"),
      ...photo.paths.map(pathRow),
    ),
    result?.copies?.length > 0 && h(
      "section",
      { class: "fact-section" },
      h("h3", {}, "Copies"),
      ...result.copies.map(({ path }) => pathRow(path)),
    ),
  ].filter(Boolean);
}

function absent(photo) {
  if (!photo.missing && !photo.disk) return null;
  const words = photo.disk
    ? `The file is on the disk “${photo.disk}”, which is not connected. You see the thumbnail.`
    : "The file is not there. You see the thumbnail.";
  return h("p", { class: "absent", role: "note" }, icon("disk"), h("span", {}, words));
}

function fact(picture, name, value) {
  if (!value) return [];
  return [h("dt", {}, icon(picture), h("span", { class: "hidden" }, name)), h("dd", {}, value)];
}

function place({ latitude, longitude }) {
  if (latitude === null || latitude === undefined) return "";
  return `${latitude.toFixed(4)}, ${longitude.toFixed(4)}`;
}

function similarity(result) {
  const odds = result.one_in > 1 ? `, chance ${oddsOf(result.one_in)}` : "";
  return `${score(result.score)}${odds}`;
}

/** `1 in 40`, `1 in 20k`. */
function oddsOf(odds) {
  for (const [unit, name] of [[1e6, "M"], [1e3, "k"]]) {
    if (odds >= 10 * unit) return `1 in ${Math.min(Math.round(odds / unit), 999)}${name}`;
  }
  return `1 in ${Math.round(odds)}`;
}

function pathRow(path) {
  return h(
    "div",
    { class: "path" },
    h("span", { class: "path-text" }, h("span", { class: "soft" }, folderOf(path), "/"), h("wbr"), baseName(path)),
    button("Copy path", () => copyText(path, "Path"), { picture: "copy", look: "small", "aria-label": `Copy path of ${baseName(path)}` }),
  );
}
