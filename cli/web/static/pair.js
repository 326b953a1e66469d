// Two copies over each other: a slider shows the one or the other.

import * as api from "./api.js";
import { makeDialog, setOpen } from "./dialog.js";
import { button, h, iconButton } from "./dom.js";
import { problem } from "./messages.js";
import { format } from "./state.js";
import { baseName, dayAndTime, size } from "./words.js";

export class PairDialog {
  #pair = "";

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.dialog = makeDialog("pair-dialog", "Two copies compared", () => this.close());
    this.body = h("div", { class: "pair-body" });
    this.swapped = h("div", { class: "pair-choice" });
    this.dialog.append(
      h("header", { class: "photo-head" }, iconButton("close", "Close the comparison", () => this.close()), this.swapped),
      this.body,
    );
    this.keys = {
      n: () => this.#ignore(),
      ArrowLeft: () => this.#slide(-2),
      ArrowRight: () => this.#slide(2),
      Home: () => this.#slide(-100),
      End: () => this.#slide(100),
    };
  }

  get open() {
    return this.dialog.open;
  }

  close() {
    this.app.close({ pair: "" });
  }

  /** @param {import("./state.js").State} state */
  update(state) {
    setOpen(this.dialog, Boolean(state.pair));
    if (state.pair === this.#pair) return;
    this.#pair = state.pair;
    if (state.pair) this.#show(state.pair);
    else this.body.replaceChildren();
  }

  async #show(pair) {
    const ids = pair.split(",").slice(0, 2);
    try {
      const photos = await Promise.all(ids.map((id) => api.image(id)));
      if (pair !== this.#pair) return;
      this.#draw(photos);
      this.#choices(ids);
    } catch (error) {
      this.body.replaceChildren(problem(error, () => this.#show(pair)));
    }
  }

  #draw([left, right]) {
    const ratio = left.width / left.height;
    const picture = (photo, side) => h("img", { class: side, src: api.file(photo.id), alt: `${side}: ${baseName(photo.paths[0])}`, draggable: "false" });
    this.range = h("input", {
      type: "range", min: "0", max: "100", value: "50", class: "pair-range",
      "aria-label": "How much of the left picture is shown", on: { input: () => this.#split() },
    });
    this.stage = h(
      "div",
      { class: "pair-stage", style: { "aspect-ratio": String(ratio), "--ratio": String(ratio) } },
      picture(right, "right"),
      picture(left, "left"),
      h("span", { class: "pair-line", "aria-hidden": "true" }),
      this.range,
    );
    const words = this.#differences(left, right);
    this.body.replaceChildren(
      h("div", { class: "pair-host" }, this.stage),
      h(
        "div",
        { class: "pair-foot" },
        side(left, right),
        h("div", { class: "pair-middle" },
          h("ul", { class: "differences" }, ...words.map((text) => h("li", { class: "tag" }, text))),
          button("Not a copy", () => this.#ignore(), { picture: "close" })),
        side(right, left),
      ),
    );
    this.#split();
    this.range.focus();
  }

  /** Words for what differs, where one of the two is the file to keep. */
  #differences(left, right) {
    const photos = this.app.view.group?.([String(left.id), String(right.id)])?.photos ?? [];
    const pair = photos.filter(({ id }) => id === left.id || id === right.id);
    return pair.some(({ keep }) => keep) ? pair.find(({ keep }) => !keep)?.differences ?? [] : [];
  }

  /** Buttons for the other copies of a group of more than two. */
  #choices(ids) {
    const photos = this.app.view.group?.(ids)?.photos ?? [];
    const copies = [...new Set(photos.map(({ id }) => String(id)))].filter((id) => id !== ids[0]);
    const others = copies.length > 1 ? copies : [];
    this.swapped.replaceChildren(...others.map((id, at) => h(
      "a",
      {
        class: "button toggle", href: format({ ...this.app.state, pair: `${ids[0]},${id}` }),
        data: { replace: "" }, "aria-current": id === ids[1] ? "true" : null,
      },
      `Copy ${at + 1}`,
    )));
  }

  #slide(by) {
    if (!this.range) return;
    this.range.value = String(Number(this.range.value) + by);
    this.#split();
  }

  #split() {
    this.stage.style.setProperty("--split", `${this.range.value}%`);
  }

  async #ignore() {
    const ids = this.#pair.split(",");
    const group = this.app.view.group?.(ids);
    try {
      await api.ignoreDuplicates(group ? group.photos.map(({ id }) => String(id)) : ids);
    } catch (error) {
      this.app.failed(error);
      return;
    }
    this.close();
    this.app.view.refresh?.();
  }
}

function side(photo, other) {
  const strong = (value, same) => h("span", { class: same ? "" : "differs" }, value);
  return h(
    "div",
    { class: "pair-side" },
    h("strong", { title: photo.paths[0] }, baseName(photo.paths[0])),
    h(
      "span",
      { class: "copy-facts" },
      strong(`${photo.width} × ${photo.height}`, photo.width === other.width && photo.height === other.height),
      photo.bytes && strong(size(photo.bytes), photo.bytes === other.bytes),
      photo.format && strong(photo.format.toUpperCase(), photo.format === other.format),
      photo.taken && strong(dayAndTime(photo.taken), photo.taken === other.taken),
    ),
  );
}
