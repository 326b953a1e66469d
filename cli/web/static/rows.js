// A justified grid of results, all in the document.

import { h } from "./dom.js";
import { aspect, justify } from "./justify.js";
import { photoAddress } from "./state.js";
import { tile } from "./tile.js";
import { baseName } from "./words.js";

/** Milliseconds until rows below the screen are drawn; the first pictures have arrived by then. */
const LATER = 200;

/**
 * Rows below the screen are drawn later, so that the first pictures come sooner.
 * @param {Object[]} results as the server gives them
 * @param {import("./app.js").App} app
 * @param {{width: number, target: number, gap: number}} shape in pixels
 * @param {number} [above] height in pixels of what is shown above these rows
 * @returns {HTMLElement}
 */
export function resultRows(results, app, { width, target, gap }, above = 0) {
  const { rows, height } = justify(results.map(aspect), width, target, gap, true);
  const grid = h("div", { class: "rows", style: { height: `${height}px` } });
  const below = rows.findIndex((row) => above + row.y > window.innerHeight);
  const split = below < 0 ? rows.length : below;
  const draw = (some) => grid.append(...some.flatMap((row) => rowTiles(row, results, app)));
  draw(rows.slice(0, split));
  if (split < rows.length) setTimeout(draw, LATER, rows.slice(split));
  return grid;
}

function rowTiles(row, results, app) {
  return results.slice(row.from, row.to).map((result, place) => {
    const id = String(result.id);
    const image = { ...result, name: result.name ?? baseName(result.path) };
    const item = tile(image, { width: row.width[place], height: row.height }, {
      href: photoAddress(app.state, id),
      selected: app.selection.has(id),
      select: (chosen) => app.selection.toggle(chosen),
      result,
    });
    item.style.transform = `translate(${row.x[place]}px, ${row.y}px)`;
    return item;
  });
}

/** The shape of rows in an element, from the style sheet. */
export function shapeOf(element) {
  const style = getComputedStyle(element);
  const number = (name) => Number.parseFloat(style.getPropertyValue(name));
  return { width: element.clientWidth, target: number("--row"), gap: number("--gap") };
}
