// Folders of the collection, to search only in some, or not in some.

import * as api from "./api.js";
import { h, icon } from "./dom.js";
import { baseName, count } from "./words.js";

export class FolderTree {
  #choice = new Map();

  constructor() {
    this.element = h("div", { class: "folders" });
  }

  /** @param {string[]} inside @param {string[]} outside */
  show(inside, outside) {
    this.#choice = new Map([...inside.map((path) => [path, "in"]), ...outside.map((path) => [path, "not_in"])]);
    this.element.replaceChildren();
    this.#list(this.element, "");
  }

  /** The folders chosen, as filters. */
  get choice() {
    const of = (kind) => [...this.#choice].filter(([, value]) => value === kind).map(([path]) => path);
    return { in: of("in"), not_in: of("not_in") };
  }

  async #list(host, under) {
    try {
      const { folders } = await api.folders(under);
      const shown = new Set(folders.map(({ path }) => path));
      const items = folders.map((folder) => this.#folder(folder));
      if (!under) {
        // Folders chosen by the address that the first level does not show.
        const more = [...this.#choice.keys()].filter((path) => !shown.has(path));
        items.unshift(...more.map((path) => this.#folder({ path, name: baseName(path), photos: null })));
      }
      host.replaceChildren(h("ul", {}, ...items));
      if (!items.length) host.replaceChildren(h("p", { class: "soft" }, "No folders below"));
    } catch (error) {
      host.replaceChildren(h("p", { class: "form-problem" }, error.message));
    }
  }

  #folder({ path, name, photos }) {
    const below = h("div", { class: "folder-below", hidden: true });
    const open = h(
      "button",
      { class: "folder-open", type: "button", "aria-expanded": "false", title: path },
      icon("right"),
      h("span", { class: "folder-name" }, name || path),
      photos !== null && h("span", { class: "soft" }, count(photos)),
    );
    open.addEventListener("click", () => {
      const now = below.hidden;
      below.hidden = !now;
      open.setAttribute("aria-expanded", String(now));
      if (now && !below.firstChild) this.#list(below, path);
    });
    const select = h(
      "select",
      { class: "select small", "aria-label": `Folder ${name}` },
      h("option", { value: "" }, "–"),
      h("option", { value: "in" }, "Only"),
      h("option", { value: "not_in" }, "Without"),
    );
    select.value = this.#choice.get(path) ?? "";
    select.addEventListener("change", () => {
      if (select.value) this.#choice.set(path, select.value);
      else this.#choice.delete(path);
    });
    return h("li", {}, h("div", { class: "folder" }, open, select), below);
  }
}
