// Pictures that come from outside the collection: dropped, pasted or chosen.

import * as api from "./api.js";
import { notice } from "./notice.js";
import { size } from "./words.js";
import { searchFor } from "./state.js";

/** Names of formats whose type browsers do not know. */
const MORE = /\.(heic|heif|avif|jxl|tiff?|dng|cr2|cr3|nef|arw|raf|orf|rw2)$/i;

export class Uploads {
  /** Addresses of the uploaded pictures in this browser, by handle. */
  #addresses = new Map();
  #answers = new Map();

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.input = document.getElementById("file");
    this.curtain = document.getElementById("drop");
    this.input.addEventListener("change", () => {
      this.use([...this.input.files]);
      this.input.value = "";
    });
    window.addEventListener("paste", (event) => this.#paste(event));
    window.addEventListener("dragenter", (event) => this.#drag(event));
    window.addEventListener("dragover", (event) => this.#drag(event));
    window.addEventListener("dragleave", (event) => event.relatedTarget || this.#curtain(false));
    window.addEventListener("drop", (event) => this.#drop(event));
  }

  /** Opens the browser's choice of files. @param {"new"|"like"|"minus"} purpose */
  choose(purpose = "new") {
    this.purpose = purpose;
    this.input.click();
  }

  /** The address of a picture to show: that of the upload where this browser still has it. */
  address(id, side = 320) {
    return this.#addresses.get(id) ?? api.thumbnail(id, side);
  }

  /** The same, large. */
  large(id) {
    return this.#addresses.get(id) ?? api.file(id);
  }

  /** The answer that came with an upload, once. */
  takeAnswer(key) {
    const answer = this.#answers.get(key);
    this.#answers.delete(key);
    return answer;
  }

  /** Searches with pictures. @param {File[]} files */
  async use(files) {
    const pictures = files.filter((file) => file.type.startsWith("image/") || MORE.test(file.name));
    const purpose = this.purpose ?? "new";
    this.purpose = "new";
    if (!files.length) return;
    if (!pictures.length) {
      notice(`${files[0].name || "This"} is not a picture`, "error");
      return;
    }
    const limit = this.app.info?.limits?.bytes;
    const large = pictures.find((file) => limit && file.size > limit);
    if (large) {
      notice(`${large.name} has ${size(large.size)}; the limit is ${size(limit)}`, "error");
      return;
    }
    await this.#send(pictures, purpose);
  }

  async #send(pictures, purpose) {
    const { app } = this;
    app.bar.busy(true);
    try {
      const answer = await api.upload(pictures, searchFor(app.state, []));
      const handles = answer.uploads.map(String);
      handles.forEach((handle, at) => this.#addresses.set(handle, URL.createObjectURL(pictures[at])));
      const { state } = app;
      if (purpose === "new" || state.view !== "search") await app.search(handles);
      else {
        const side = [...state[purpose], ...handles];
        await app.search([], { ...state, photo: "", panel: "", [purpose]: side });
      }
    } catch (error) {
      app.failed(error);
    } finally {
      app.bar.busy(false);
    }
  }

  #paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.use(files);
  }

  #drag(event) {
    if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    this.#curtain(true);
  }

  #drop(event) {
    this.#curtain(false);
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    this.use(files);
  }

  #curtain(shown) {
    this.curtain.hidden = !shown;
  }
}
