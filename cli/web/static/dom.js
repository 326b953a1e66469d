// Builds elements without HTML text, so that no name of a file can become markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with properties and children.
 * @param {string} tag
 * @param {Object<string, any>} [props] `class`, `on` (listeners by event), `style` (by property),
 *   `data` (data attributes); anything else is an attribute, left out where it is null or false.
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  apply(element, props);
  element.append(...children.flat().filter((child) => child || child === 0 || child === "0"));
  return element;
}

function apply(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) {
        element.addEventListener(event, listener);
      }
    } else if (name === "style") {
      for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
    } else if (name === "data") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
}

/**
 * A decorative drawing, hidden from screen readers.
 * @param {string} name a key of `paths`
 * @returns {SVGElement}
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/**
 * A button with an icon; its label is the accessible name and the tooltip.
 * @param {string} name @param {string} label @param {() => void} click @param {Object} [props]
 */
export function iconButton(name, label, click, props = {}) {
  const own = { class: "icon-button", type: "button", "aria-label": label, title: label };
  return h("button", { ...own, ...props, on: { click } }, icon(name));
}

/** A button with a word, and an icon before it where one is named. */
export function button(words, click, { look = "", picture = "", ...props } = {}) {
  const own = { class: `button ${look}`.trim(), type: "button", ...props, on: { click } };
  return h("button", own, picture && icon(picture), words);
}

const PATHS = {
  search: ["M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z", "M15.3 15.3 20 20"],
  photos: ["M4 5h16v14H4z", "m4 16 5-5 4 4 2.5-2.5L20 17", "M15.5 9h.01"],
  copies: ["M8 8h12v12H8z", "M16 8V4H4v12h4"],
  map: ["m9 4 6 2.5L20 4v14l-5 2.5-6-2.5-5 2.5v-14z", "M9 4v14", "M15 6.5v14"],
  look: ["M12 5c4.5 0 8 3.5 9.5 7-1.5 3.5-5 7-9.5 7s-8-3.5-9.5-7C4 8.5 7.5 5 12 5z", "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z"],
  whole: ["M4 9V4h5", "M15 4h5v5", "M20 15v5h-5", "M9 20H4v-5"],
  filter: ["M4 7h16", "M7 12h10", "M10 17h4"],
  help: ["M9 9.2a3 3 0 1 1 4.3 2.7c-.9.5-1.3 1-1.3 2.1", "M12 17.5h.01"],
  close: ["m6 6 12 12", "M18 6 6 18"],
  back: ["M19 12H5", "m11 6-6 6 6 6"],
  left: ["m15 5-7 7 7 7"],
  right: ["m9 5 7 7-7 7"],
  down: ["m6 9 6 6 6-6"],
  plus: ["M12 5v14", "M5 12h14"],
  minus: ["M5 12h14"],
  check: ["m5 12.5 4.5 4.5L19 7.5"],
  copy: ["M9 9h11v11H9z", "M15 9V4H4v11h5"],
  info: ["M12 11v6", "M12 7.5h.01", "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z"],
  part: ["M4 8V4h4", "M16 4h4v4", "M20 16v4h-4", "M8 20H4v-4", "M9 9h6v6H9z"],
  compare: ["M12 3v18", "M4 6h5v12H4z", "M15 6h5v12h-5z"],
  upload: ["M12 16V5", "m7 9.5 5-5 5 5", "M5 19h14"],
  warning: ["M12 4 2.8 19.5h18.4z", "M12 10v4.5", "M12 17h.01"],
  disk: ["M5 4h14v16H5z", "M8 15h8", "M12 8h.01"],
  file: ["M6 3h8l4 4v14H6z", "M14 3v4h4"],
  calendar: ["M4 6h16v14H4z", "M4 10h16", "M8 3v4", "M16 3v4"],
  camera: ["M4 8h4l1.5-2.5h5L16 8h4v11H4z", "M12 10.5a3 3 0 1 0 0 6 3 3 0 0 0 0-6z"],
  place: ["M12 21s6.5-5.8 6.5-11a6.5 6.5 0 1 0-13 0c0 5.2 6.5 11 6.5 11z", "M12 10h.01"],
  folder: ["M3 6h6l2 2.5h10V19H3z"],
};
