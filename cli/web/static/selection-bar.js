// What can be done with the selected photos.

import { button, h, iconButton } from "./dom.js";
import { plural } from "./words.js";

export class SelectionBar {
  /** @param {import("./app.js").App} app @param {HTMLElement} host */
  constructor(app, host) {
    this.app = app;
    this.host = host;
    app.selection.watch(this, () => this.#draw());
  }

  #draw() {
    const { selection, state } = this.app;
    this.host.hidden = selection.size === 0;
    document.body.classList.toggle("has-selection", selection.size > 0);
    if (!selection.size) {
      this.host.replaceChildren();
      return;
    }
    const refine = state.view === "search";
    this.host.replaceChildren(
      iconButton("close", "Clear the selection", () => selection.clear()),
      h("span", { class: "selection-count" }, plural(selection.size, "photo") + " selected"),
      h(
        "div",
        { class: "selection-actions" },
        refine && button("More like this", () => this.more(), { picture: "plus" }),
        refine && button("Less like this", () => this.less(), { picture: "minus" }),
        button("Find similar", () => this.find(), { look: "main", picture: "search" }),
      ),
    );
  }

  /** Searches with the mean of the selected photos. */
  find() {
    this.app.search(this.app.selection.ids);
  }

  /** Adds the selected photos to the search. */
  more() {
    refineBy(this.app, this.app.selection.ids, "like");
  }

  /** Moves the search away from the selected photos. */
  less() {
    refineBy(this.app, this.app.selection.ids, "minus");
  }
}

/**
 * Adds pictures to one side of the search, and removes them from the other.
 * @param {import("./app.js").App} app @param {string[]} ids @param {"like"|"minus"} side
 */
export function refineBy(app, ids, side) {
  const other = side === "like" ? "minus" : "like";
  const { state } = app;
  const without = state[other].filter((id) => !ids.includes(id));
  const added = [...state[side].filter((id) => !ids.includes(id)), ...ids];
  app.search([], {
    ...state, photo: "", panel: "", at: "", [side]: added, [other]: without,
    crop: side === "like" ? "" : state.crop,
  });
}
