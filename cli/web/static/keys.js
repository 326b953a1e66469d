// Keyboard shortcuts: the topmost dialog or the view takes a key first, then the page.

import { refineBy } from "./selection-bar.js";

/** Shortcuts as the help shows them: what they do, by place. */
export const SHORTCUTS = [
  ["Everywhere", [
    ["/", "To the search; Enter chooses a file"],
    ["Ctrl V", "Search with a copied picture"],
    ["f", "Filters"],
    ["h", "All photos"],
    ["d", "Duplicates"],
    ["m l", "Map, looks"],
    ["Esc", "Close, or clear the selection"],
    ["?", "This list"],
  ]],
  ["Photos and results", [
    ["← → ↑ ↓", "Choose a photo"],
    ["Home End", "Newest, oldest; first, last"],
    ["Page ↑ ↓", "A screen up or down"],
    ["Enter", "Open the photo"],
    ["s", "Find similar photos"],
    ["x", "Select"],
    ["+ −", "More or less like this"],
    ["o", "Sort by similarity or date"],
    ["e", "Compare two encoders"],
  ]],
  ["One photo", [
    ["← →", "Previous, next"],
    ["s", "Find similar photos"],
    ["p", "Search with a part"],
    ["c", "Copy the path"],
    ["i", "Show or hide the facts"],
  ]],
  ["Part of a picture", [
    ["← → ↑ ↓", "Move the box"],
    ["Shift ← → ↑ ↓", "Change its size"],
    ["Enter", "Search"],
  ]],
  ["Duplicates", [
    ["j k", "Next, previous group"],
    ["Enter", "Compare with the slider"],
    ["n", "Not a copy"],
    ["← →", "Move the slider"],
  ]],
  ["A look", [
    ["y n", "It belongs to the look, or does not"],
    ["s u", "Skip; the photo before"],
    ["Enter", "Open the photo"],
  ]],
  ["Map", [
    ["← → ↑ ↓", "Move"],
    ["+ −", "Nearer, farther"],
    ["0", "The whole map"],
    ["Enter", "Open the photo in the middle"],
  ]],
];

const TYPING = "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select";

export class Keys {
  /** @param {import("./app.js").App} app @param {Document} page */
  constructor(app, page) {
    this.app = app;
    page.addEventListener("keydown", (event) => this.#press(event));
  }

  #press(event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches?.(TYPING)) return;
    const layer = this.app.dialog ?? this.app.view;
    const call = layer?.keys?.[event.key] ?? (this.app.dialog ? null : this.#page()[event.key]);
    if (!call) return;
    event.preventDefault();
    call(event);
  }

  #page() {
    const { app } = this;
    const photo = () => document.activeElement?.closest?.("[data-photo]")?.dataset.photo ??
      document.activeElement?.closest?.(".tile")?.dataset.tile;
    const withPhoto = (call) => {
      const id = photo();
      if (id) call(id);
    };
    const refine = (side) => {
      const ids = app.selection.size ? app.selection.ids : [photo()].filter(Boolean);
      if (ids.length && (app.state.view === "search" || side === "like")) refineBy(app, ids, side);
    };
    return {
      // Browsers open their choice of files only for Enter or a click.
      "/": () => app.bar.search.focus(),
      "?": () => app.go({ panel: "help" }),
      f: () => app.go({ panel: "filters" }),
      h: () => app.follow(""),
      d: () => app.follow("?view=duplicates"),
      m: () => app.info?.map && app.follow("?view=map"),
      l: () => app.follow("?view=looks"),
      s: () => app.selection.size ? app.selectionBar.find() : withPhoto((id) => app.search([id])),
      x: () => withPhoto((id) => app.selection.toggle(id)),
      "+": () => refine("like"),
      "-": () => refine("minus"),
      Escape: () => app.selection.clear(),
    };
  }
}
