// Groups of copies, side by side. This page deletes nothing.

import * as api from "./api.js";
import { button, h, icon } from "./dom.js";
import { message, problem, working } from "./messages.js";
import { notice } from "./notice.js";
import { photoAddress } from "./state.js";
import { picture } from "./tile.js";
import { baseName, count, day, folderOf, plural, score, size } from "./words.js";

const PAGE = 40;
const AGAIN = 1500;

export class Duplicates {
  #groups = [];
  #timer = 0;

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.list = h("div", { class: "groups" });
    this.summary = h("p", { class: "soft", role: "status" });
    this.script = button("Script to remove copies", () => app.go({ panel: "script" }), { picture: "file" });
    this.element = h(
      "div",
      { class: "scroll duplicates", tabindex: "-1" },
      h("header", { class: "view-head" }, h("div", {}, h("h1", {}, "Duplicates"), this.summary), this.script),
      this.list,
    );
    this.keys = {
      j: () => this.#step(1),
      k: () => this.#step(-1),
      n: () => this.#present()?.ignore(),
      Enter: (event) => (event.target.closest("a, button") ? event.target.click() : this.#present()?.compare()),
    };
  }

  destroy() {
    clearTimeout(this.#timer);
    this.gone = true;
  }

  /** @param {import("./state.js").State} state */
  async update(state) {
    if (this.threshold === state.threshold) return;
    this.threshold = state.threshold;
    this.script.hidden = true;
    this.list.replaceChildren(working("Looking for copies…"));
    await this.refresh();
  }

  async refresh() {
    clearTimeout(this.#timer);
    try {
      const answer = await api.duplicates(this.threshold, 0, Math.max(this.#groups.length, PAGE));
      if (this.gone) return;
      if (answer.state === "computing") {
        this.summary.textContent = "Comparing the photos. This can take a while in a large collection.";
        this.#timer = setTimeout(() => this.refresh(), AGAIN);
        if (!answer.groups?.length) return;
      }
      this.#groups = answer.groups.map(keepFirst);
      this.total = answer.total;
      this.#draw();
    } catch (error) {
      this.list.replaceChildren(problem(error, () => this.refresh()));
      this.app.failed(error);
    }
  }

  #draw() {
    this.#say();
    this.script.hidden = !this.total;
    if (!this.total) {
      this.list.replaceChildren(message("copies", "No duplicates", h("p", {}, "Every photo of the collection is there once.")));
      return;
    }
    this.list.replaceChildren(...this.#groups.map((group) => this.#card(group)));
    this.#addMore();
  }

  #say() {
    const extra = this.#groups.flatMap(({ photos }) => photos.filter(({ keep }) => !keep));
    const bytes = extra.reduce((sum, photo) => sum + photo.bytes, 0);
    const all = this.#groups.length >= this.total;
    // The files that are not to keep, of all groups only where all are here.
    this.summary.textContent = this.total
      ? plural(this.total, "group") + (all ? `, ${plural(extra.length, "copy", "copies")} with ${size(bytes)}` : "")
      : "";
  }

  #addMore() {
    if (this.#groups.length >= this.total) return;
    const rest = this.total - this.#groups.length;
    const more = h("div", { class: "more" }, button(`Show more (${count(rest)})`, async () => {
      const { groups } = await api.duplicates(this.threshold, this.#groups.length, PAGE);
      const added = groups.map(keepFirst);
      this.#groups.push(...added);
      more.before(...added.map((group) => this.#card(group)));
      more.remove();
      this.#say();
      this.#addMore();
    }));
    this.list.append(more);
  }

  #card(group) {
    const [best, ...others] = group.photos.map(({ id }) => String(id));
    const ids = [best, others.find((id) => id !== best) ?? best];
    const compare = () => this.app.go({ pair: ids.join(",") });
    const ignore = () => this.#ignore(group, card);
    const card = h(
      "article",
      { class: "group", tabindex: "-1", "aria-label": `${group.photos.length} copies of ${baseName(group.photos[0].path)}` },
      h("div", { class: "group-photos" }, ...group.photos.map((photo) => this.#photo(photo, group.photos))),
      h(
        "footer",
        { class: "group-foot" },
        h("p", { class: "soft" }, `${plural(group.photos.length, "file")}, similarity ${score(group.score)}`),
        button("Compare", compare, { picture: "compare" }),
        button("Not a copy", ignore, { picture: "close" }),
      ),
    );
    card.addEventListener("focusin", () => { this.#at = card; });
    Object.assign(card, { compare, ignore });
    return card;
  }

  #photo(photo, all) {
    const id = String(photo.id);
    const href = photoAddress(this.app.state, id);
    const facts = [`${photo.width} × ${photo.height}`, size(photo.bytes), photo.format?.toUpperCase(), day(photo.taken)];
    const differs = (name) => new Set(all.map((other) => String(other[name]))).size > 1;
    const strong = [differs("width") || differs("height"), differs("bytes"), differs("format"), differs("taken")];
    return h(
      "figure",
      { class: photo.keep ? "copy keep" : "copy" },
      h(
        "a",
        { href, class: "tile copy-picture", data: { tile: id, photo: id }, "aria-label": `${photo.keep ? "Keep: " : ""}show ${baseName(photo.path)} large` },
        picture(photo, 320, 240),
        photo.keep && h("span", { class: "badge keep" }, icon("check"), "Keep"),
      ),
      h(
        "figcaption",
        {},
        h("strong", { title: photo.path }, baseName(photo.path)),
        h("span", { class: "soft folder-line", title: photo.path }, folderOf(photo.path)),
        h("span", { class: "copy-facts" }, ...facts.map((words, at) => words && h("span", { class: strong[at] ? "differs" : "" }, words))),
        h("ul", { class: "differences" }, ...differences(photo).map((words) => h("li", {}, words))),
      ),
    );
  }

  async #ignore(group, card) {
    try {
      await api.ignoreDuplicates(group.photos.map(({ id }) => String(id)));
    } catch (error) {
      this.app.failed(error);
      return;
    }
    const cards = this.#cards();
    const next = cards[cards.indexOf(card) + 1] ?? cards[cards.indexOf(card) - 1];
    this.#groups = this.#groups.filter((other) => other !== group);
    this.total -= 1;
    card.remove();
    notice("Remembered: these are not copies");
    if (this.total) {
      this.#say();
      next?.focus();
    } else this.#draw();
  }

  #at = null;

  #cards() {
    return [...this.list.querySelectorAll(".group")];
  }

  #present() {
    return this.#at?.isConnected ? this.#at : this.#cards()[0];
  }

  #step(by) {
    const cards = this.#cards();
    const now = this.#at?.isConnected ? cards.indexOf(this.#at) : -1;
    const next = cards[Math.min(Math.max(now + by, 0), cards.length - 1)];
    next?.focus({ preventScroll: true });
    next?.scrollIntoView({ block: "nearest" });
  }

  /** The group of two photos: what the comparison shows of it. */
  group(ids) {
    return this.#groups.find(({ photos }) => ids.every((id) => photos.some((photo) => String(photo.id) === id)));
  }

  focusPhoto(id) {
    this.list.querySelector(`[data-tile="${id}"]`)?.focus();
  }
}

function keepFirst(group) {
  return { ...group, photos: group.photos.toSorted((a, b) => Number(b.keep) - Number(a.keep)) };
}

/** How a photo differs from the one to keep, in words. */
function differences(photo) {
  if (photo.keep) return [];
  return photo.differences?.length ? photo.differences : ["the same content"];
}
