// Pictures that come from outside the collection: dropped, pasted or chosen.

import * as api from "./api.js";
import { notice } from "./notice.js";
import { prime } from "./results.js";
import { searchFor } from "./state.js";
import { size } from "./words.js";

/** Names of formats whose type browsers do not know. */
const MORE = /\.(heic|heif|avif|jxl|tiff?|dng|cr2|cr3|nef|arw|raf|orf|rw2)$/i;

export class Uploads {
  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.input = document.getElementById("file");
    this.curtain = document.getElementById("drop");
    this.input.addEventListener("change", () => {
      this.use([...this.input.files]);
      this.input.value = "";
    });
    this.input.addEventListener("cancel", () => { this.purpose = "new"; });
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
    const fresh = purpose === "new" || app.state.view !== "search";
    app.bar.busy(true);
    try {
      const answer = await api.upload(pictures, searchFor(app.state, [], fresh ? {} : { k: 1 }));
      const handles = answer.uploads.map(String);
      if (fresh) {
        prime(searchFor(app.state, handles), answer, app.info.version);
        await app.search(handles);
      } else {
        const side = [...app.state[purpose], ...handles];
        await app.search([], { ...app.state, photo: "", panel: "", [purpose]: side });
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
