// The shell script that would remove duplicates, to read.

import * as api from "./api.js";
import { makeDialog, setOpen, sheetHead } from "./dialog.js";
import { button, h, iconButton } from "./dom.js";
import { problem, working } from "./messages.js";
import { copyText } from "./notice.js";

export class ScriptDialog {
  keys = {};

  /** @param {import("./app.js").App} app */
  constructor(app) {
    const close = () => app.close({ panel: "" });
    this.dialog = makeDialog("sheet wide", "Script that removes duplicates", close);
    this.body = h("div", { class: "sheet-body" });
    this.copy = button("Copy the script", () => copyText(this.text, "Script"), { look: "main", picture: "copy" });
    this.dialog.append(
      sheetHead("Script that removes duplicates", iconButton("close", "Close", close)),
      h("p", { class: "sheet-words" }, "This page deletes nothing. Read the script, save it and run it yourself. Before each removal it checks that the file to keep is there."),
      this.body,
      h("footer", { class: "sheet-foot" }, this.copy),
    );
  }

  get open() {
    return this.dialog.open;
  }

  update(state) {
    const open = state.panel === "script";
    this.threshold = state.threshold;
    if (open && !this.dialog.open) this.#load();
    setOpen(this.dialog, open);
  }

  async #load() {
    this.body.replaceChildren(working("Writing the script…"));
    this.copy.disabled = true;
    try {
      this.text = await api.script(this.threshold);
      this.copy.disabled = false;
      this.body.replaceChildren(h("pre", { class: "script", tabindex: "0" }, this.text));
    } catch (error) {
      this.body.replaceChildren(problem(error, () => this.#load()));
    }
  }
}
