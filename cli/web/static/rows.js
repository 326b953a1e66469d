// A justified grid of results, all in the document.

import { h } from "./dom.js";
import { aspect, justify } from "./justify.js";
import { photoAddress } from "./state.js";
import { tile } from "./tile.js";
import { baseName } from "./words.js";

/**
 * @param {Object[]} results as the server gives them
 * @param {import("./app.js").App} app
 * @param {{width: number, target: number, gap: number}} shape in pixels
 * @returns {HTMLElement}
 */
export function resultRows(results, app, { width, target, gap }) {
  const { rows, height } = justify(results.map(aspect), width, target, gap, true);
  const grid = h("div", { class: "rows", style: { height: `${height}px` } });
  for (const row of rows) {
    for (let at = row.from; at < row.to; at += 1) {
      const result = results[at];
      const id = String(result.id);
      const image = { ...result, name: result.name ?? baseName(result.path) };
      const place = at - row.from;
      const item = tile(image, { width: row.width[place], height: row.height }, {
        href: photoAddress(app.state, id),
        selected: app.selection.has(id),
        select: (chosen) => app.selection.toggle(chosen),
        result,
      });
      item.style.transform = `translate(${row.x[place]}px, ${row.y}px)`;
      grid.append(item);
    }
  }
  return grid;
}

/** The shape of rows in an element, from the style sheet. */
export function shapeOf(element) {
  const style = getComputedStyle(element);
  const number = (name) => Number.parseFloat(style.getPropertyValue(name));
  return { width: element.clientWidth, target: number("--row"), gap: number("--gap") };
}
