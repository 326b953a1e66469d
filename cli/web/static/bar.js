// The bar at the top: search, filters, and the way to the other views.

import { button, h, icon } from "./dom.js";
import { FILTER_TEXTS, countFilters, format, noFilters, parse } from "./state.js";
import { baseName, plural } from "./words.js";

export class Bar {
  /** @param {import("./app.js").App} app @param {Document} page */
  constructor(app, page) {
    this.app = app;
    this.page = page;
    this.total = page.getElementById("total");
    this.search = page.getElementById("search");
    this.filters = page.getElementById("filters");
    this.chips = page.getElementById("chips");
    for (const element of page.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
    this.search.addEventListener("click", () => app.uploads.choose());
    this.filters.addEventListener("click", () => app.go({ panel: "filters" }));
    page.getElementById("help").addEventListener("click", () => app.go({ panel: "help" }));
  }

  setInfo(info) {
    this.page.getElementById("index").textContent = info.index;
    this.page.getElementById("nav-map").hidden = !info.map;
    this.page.getElementById("nav-looks").hidden = !info.looks;
  }

  count(total, filtered) {
    this.total.textContent = filtered ? plural(total, "match", "matches") : plural(total, "photo");
  }

  busy(on) {
    this.search.classList.toggle("busy", on);
    this.search.setAttribute("aria-busy", String(on));
  }

  /** @param {import("./state.js").State} state */
  update(state) {
    for (const view of ["photos", "duplicates", "map", "looks"]) {
      const link = this.page.getElementById(`nav-${view}`);
      const here = view === state.view || (view === "photos" && ["search", "compare"].includes(state.view));
      if (here) link.setAttribute("aria-current", view === state.view ? "page" : "true");
      else link.removeAttribute("aria-current");
    }
    const useful = ["photos", "search", "compare"].includes(state.view);
    this.filters.hidden = !useful;
    const number = countFilters(state.filters);
    this.filters.classList.toggle("on", number > 0);
    this.filters.setAttribute("aria-label", number ? `Filters, ${number} in use` : "Filters");
    this.page.getElementById("filters-count").textContent = number || "";
    this.chips.hidden = !useful || !number;
    this.chips.replaceChildren(...(useful && number ? this.#chips(state) : []));
  }

  #chips(state) {
    const chips = [];
    const add = (words, filters) => {
      const change = () => this.app.go({ filters, at: "" });
      const label = `Remove the filter: ${words}`;
      const props = { class: "chip", type: "button", "aria-label": label, title: label, on: { click: change } };
      chips.push(h("button", props, words, icon("close")));
    };
    for (const [name, word] of [["in", "in"], ["not_in", "not in"]]) {
      for (const folder of state.filters[name]) {
        const rest = state.filters[name].filter((other) => other !== folder);
        add(`${word} ${baseName(folder)}`, { ...state.filters, [name]: rest });
      }
    }
    for (const name of FILTER_TEXTS) {
      if (state.filters[name]) add(describe(name, state.filters[name]), { ...state.filters, [name]: "" });
    }
    const none = () => this.app.go({ filters: noFilters(), at: "" });
    if (chips.length > 1) chips.push(button("Remove all", none, { look: "plain" }));
    return chips;
  }
}

/** A filter in words. */
export function describe(name, value) {
  if (name === "taken") {
    const [first, last] = value.includes("..") ? value.split("..") : [value, value];
    if (first === last) return `taken ${first}`;
    if (!last) return `taken since ${first}`;
    return first ? `taken ${first} to ${last}` : `taken until ${last}`;
  }
  if (name === "near") return `near ${value}`;
  if (name === "min_side") return `at least ${value} pixels`;
  return name === "format" ? value.toUpperCase() : value;
}

/** The address of the collection with the present filters. */
export function home(state) {
  return format({ ...parse(""), filters: state.filters });
}
