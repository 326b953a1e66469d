// All filters of the terminal, in one sheet.

import { makeDialog, setOpen, sheetHead } from "./dialog.js";
import { button, h, iconButton } from "./dom.js";
import { FolderTree } from "./folder-tree.js";
import { noFilters } from "./state.js";

const FORMATS = ["jpeg", "heic", "png", "webp", "gif", "tiff", "avif", "raw"];
const DAY = /^\d{4}(-\d\d(-\d\d)?)?$/;
const NEAR = /^\s*[-+.\d]+\s*,\s*[-+.\d]+\s*,\s*[.\d]+\s*k?m\s*$/;

export class FiltersDialog {
  keys = {};

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    const close = () => app.close({ panel: "" });
    this.dialog = makeDialog("sheet side", "Filters", close);
    this.folders = new FolderTree();
    this.first = field("From", "2019-08", "first");
    this.last = field("To", "2021-06", "last");
    this.near = field("Near", "48.1, 11.6, 5km", "near");
    this.camera = field("Camera", "Part of its name", "camera");
    this.side = field("Shorter side, at least", "pixels", "side", { inputmode: "numeric" });
    this.format = h("select", { class: "select" }, h("option", { value: "" }, "Any"),
      ...FORMATS.map((name) => h("option", { value: name }, name.toUpperCase())));
    this.problem = h("p", { class: "form-problem", role: "alert" });
    this.form = h(
      "form",
      { class: "sheet-body", on: { submit: (event) => this.#apply(event) }, novalidate: true },
      group("Date taken", h("div", { class: "pair-of-fields" }, this.first.element, this.last.element)),
      group("Place and camera", this.near.element, this.camera.element),
      group("File", h("label", { class: "field" }, h("span", {}, "Format"), this.format), this.side.element),
      group("Folders", this.folders.element),
    );
    this.form.id = "filters-form";
    this.dialog.append(
      sheetHead("Filters", iconButton("close", "Close", close)),
      this.form,
      h(
        "footer",
        { class: "sheet-foot" },
        this.problem,
        button("Remove all", () => app.go({ filters: noFilters(), panel: "", at: "" })),
        h("button", { class: "button main", type: "submit", form: "filters-form" }, "Show photos"),
      ),
    );
  }

  get open() {
    return this.dialog.open;
  }

  /** @param {import("./state.js").State} state */
  update(state) {
    const open = state.panel === "filters";
    if (open && !this.dialog.open) this.#fill(state.filters);
    setOpen(this.dialog, open);
  }

  #fill(filters) {
    const { taken } = filters;
    const [first, last] = taken.includes("..") ? taken.split("..") : [taken, taken];
    this.first.input.value = first;
    this.last.input.value = last;
    this.near.input.value = filters.near;
    this.camera.input.value = filters.camera;
    this.side.input.value = filters.min_side;
    if (filters.format && !FORMATS.includes(filters.format)) {
      this.format.append(h("option", { value: filters.format }, filters.format));
    }
    this.format.value = filters.format;
    this.problem.textContent = "";
    this.folders.show(filters.in, filters.not_in);
  }

  #apply(event) {
    event.preventDefault();
    const value = ({ input }) => input.value.trim();
    const [first, last] = [value(this.first), value(this.last)];
    const wrong = [
      [first && !DAY.test(first), this.first, "Write a date as 2019, 2019-08 or 2019-08-03."],
      [last && !DAY.test(last), this.last, "Write a date as 2019, 2019-08 or 2019-08-03."],
      [value(this.near) && !NEAR.test(value(this.near)), this.near, "Write a place as 48.1, 11.6, 5km."],
      [value(this.side) && !/^\d+$/.test(value(this.side)), this.side, "Write a number of pixels."],
    ].find(([bad]) => bad);
    for (const one of [this.first, this.last, this.near, this.side]) one.input.removeAttribute("aria-invalid");
    if (wrong) {
      this.problem.textContent = wrong[2];
      wrong[1].input.setAttribute("aria-invalid", "true");
      wrong[1].input.focus();
      return;
    }
    const taken = first === last ? first : `${first}..${last}`;
    const filters = {
      ...this.folders.choice, taken, near: value(this.near).replaceAll(" ", ""),
      camera: value(this.camera), format: this.format.value, min_side: value(this.side),
    };
    this.app.go({ filters, panel: "", at: "" });
  }
}

function field(name, example, id, more = {}) {
  const input = h("input", { class: "input", name: id, placeholder: example, autocomplete: "off", spellcheck: "false", ...more });
  return { input, element: h("label", { class: "field" }, h("span", {}, name), input) };
}

function group(title, ...children) {
  return h("fieldset", {}, h("legend", {}, title), ...children);
}
