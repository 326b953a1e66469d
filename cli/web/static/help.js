// The list of keyboard shortcuts.

import { makeDialog, setOpen, sheetHead } from "./dialog.js";
import { h, iconButton } from "./dom.js";
import { SHORTCUTS } from "./keys.js";

export class HelpDialog {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    const close = () => app.close({ panel: "" });
    this.dialog = makeDialog("sheet wide", "Keyboard shortcuts", close);
    this.keys = { "?": close };
    this.dialog.append(
      sheetHead("Keyboard shortcuts", iconButton("close", "Close", close)),
      h("div", { class: "shortcuts", tabindex: "0", role: "region", "aria-label": "Shortcuts" }, ...SHORTCUTS.map(group)),
    );
  }

  get open() {
    return this.dialog.open;
  }

  update(state) {
    setOpen(this.dialog, state.panel === "help");
  }
}

function group([place, keys]) {
  const list = keys.map(([key, does]) => [
    h("dt", {}, ...key.split(" ").map((one) => h("kbd", {}, one))),
    h("dd", {}, does),
  ]);
  return h("section", {}, h("h3", {}, place), h("dl", {}, ...list.flat()));
}
