// Looks: searches with names. A look asks about the photos that it is least certain of.

import * as api from "./api.js";
import { button, h } from "./dom.js";
import { message, problem, working } from "./messages.js";
import { label, plural } from "./words.js";

export class Looks {
  /** The photo in question, then the next ones. */
  #doubts = [];
  #skipped = new Set();
  /** Photos answered here, the last one at the end. */
  #past = [];

  /** @param {import("./app.js").App} app */
  constructor(app) {
    this.app = app;
    this.element = h("div", { class: "view scroll looks" });
    this.keys = {
      y: () => this.#answer(true), n: () => this.#answer(false), s: () => this.#skip(), u: () => this.#back(),
      Enter: (event) => (event.target.closest("button, a") ? event.target.click() : this.#open()),
    };
  }

  /** @param {import("./state.js").State} state */
  async update(state) {
    if (this.name === state.look && this.element.childNodes.length) return;
    this.name = state.look;
    await this.refresh();
  }

  async refresh() {
    const { name } = this;
    if (!this.element.childNodes.length) this.element.replaceChildren(working("Reading…"));
    try {
      const answer = name ? await api.look(name) : await api.looks();
      if (name !== this.name) return;
      if (name) this.#show(answer);
      else this.#list(answer.looks);
    } catch (error) {
      this.element.replaceChildren(problem(error, () => this.refresh()));
      this.app.failed(error);
    }
  }

  #list(looks) {
    if (!looks.length) {
      const words = h("p", {}, "A look is a search with a name, which learns from your answers.");
      this.element.replaceChildren(message("look", "No looks yet", words, h("pre", {}, "mocosearch look save NAME IMAGE")));
      return;
    }
    this.element.replaceChildren(
      h("div", { class: "view-head" }, h("div", {}, h("h1", {}, "Looks"),
        h("p", { class: "soft" }, "Searches with names, which learn from your answers"))),
      h("ul", { class: "look-list" }, ...looks.map((look) => h("li", {},
        h("a", { class: "look-card", href: `/?${new URLSearchParams({ view: "looks", look: look.name })}` },
          pictures(look, 4), h("strong", {}, look.name), h("span", { class: "soft" }, counts(look)))))),
    );
  }

  #show(look) {
    this.#doubts = look.doubts.filter(({ id }) => !this.#skipped.has(id));
    this.look = look;
    const title = this.#focusTitle();
    this.element.replaceChildren(
      h("div", { class: "view-head" },
        h("div", {}, h("h1", {}, look.name), h("p", { class: "soft" }, counts(look))),
        pictures(look, 8),
        h("a", { class: "button", href: "/?view=looks" }, "All looks")),
      h("p", { class: "look-error", role: "status" }, expectation(look)),
      this.question = h("div", { class: "look-question" }),
    );
    this.#ask(title);
  }

  /** The tooltip of the button that has the focus, which the same button of the next photo gets. */
  #focusTitle() {
    return this.element.contains(document.activeElement) ? document.activeElement.title : "";
  }

  #ask(title = this.#focusTitle()) {
    const [photo, ...rest] = this.#doubts;
    if (!photo) {
      this.question.replaceChildren(message("look", "No photo left to ask about", h("p", {}, "Save more pictures, or add photos to the index.")));
      return;
    }
    const words = `Does ${label(photo)} belong to ${this.name}?`;
    const small = ({ id, v, name }) => h("button", {
      class: "look-next", type: "button", title: name, "aria-label": `Ask about ${name} now`,
      on: { click: () => this.#first(id) },
    }, h("img", { src: api.thumbnail(id, 160, v), alt: "", loading: "lazy" }));
    this.question.replaceChildren(
      h("button", { class: "look-photo", type: "button", "aria-label": `Open ${photo.name}`, on: { click: () => this.#open() } },
        h("img", { src: api.thumbnail(photo.id, 1280, photo.v), alt: "" })),
      h("p", { class: "look-words", "aria-live": "polite" }, h("strong", {}, words),
        h("span", { class: "soft" }, `It is ${Math.round(photo.probability * 100)}% certain that it does.`)),
      h("div", { class: "look-answers" },
        button("No", () => this.#answer(false), { picture: "close", title: "No (n)" }),
        button("Skip", () => this.#skip(), { title: "Skip (s)" }),
        button("Yes", () => this.#answer(true), { picture: "check", title: "Yes (y)", look: "main" }),
        button("Back", () => this.#back(), { picture: "back", title: "The photo before (u)", disabled: !this.#past.length })),
      ...(rest.length ? [h("div", { class: "look-rest", role: "group", "aria-label": "Next questions" }, ...rest.slice(0, 11).map(small))] : []),
    );
    if (title) this.question.querySelector(`.look-answers [title="${title}"]:not(:disabled)`)?.focus();
  }

  #first(id) {
    this.#doubts.sort((one, other) => (other.id === id) - (one.id === id));
    this.#ask();
    this.question.querySelector(".button.main")?.focus();
  }

  #skip() {
    const [photo, ...rest] = this.#doubts;
    if (!photo) return;
    this.#skipped.add(photo.id);
    this.#doubts = rest;
    if (rest.length) this.#ask();
    else this.refresh();
  }

  /** Asks about the photo before again; its new answer replaces the old one. */
  #back() {
    const photo = this.#past.pop();
    if (!photo) return;
    this.#doubts.unshift(photo);
    this.#ask();
  }

  async #answer(belongs) {
    const [photo, ...rest] = this.#doubts;
    if (!photo || this.busy) return;
    this.busy = true;
    this.#past.push(photo);
    this.#doubts = rest;
    this.#ask();
    try {
      const look = await api.answerLook(this.name, [{ id: photo.id, belongs }]);
      if (look.name === this.name) this.#show(look);
    } catch (error) {
      this.#back();
      this.app.failed(error);
    } finally {
      this.busy = false;
    }
  }

  #open() {
    const [photo] = this.#doubts;
    if (photo) this.app.go({ photo: String(photo.id) });
  }
}

const counts = (look) => `${plural(look.pictures.length, "picture")}, ${look.yes} yes, ${look.no} no`;

function pictures(look, most) {
  const src = (number) => `/v1/looks/${encodeURIComponent(look.name)}/pictures/${number}?side=160`;
  const wanted = look.pictures.filter((picture) => picture.wanted).slice(0, most);
  return h("div", { class: "look-pictures" }, ...wanted.map(({ number }) => h("img", { src: src(number), alt: "", loading: "lazy" })));
}

/** What the look would do, in the words of `mocosearch look teach`. */
function expectation({ adds, wrong, examples }) {
  const some = `${plural(adds, "further photo belongs", "further photos belong")} to it`;
  const error = `about ${Math.round(adds * wrong)} of them (${Math.round(wrong * 100)}%) are expected to be wrong`;
  return `${some}${adds ? `; ${error}` : ""}, judged by ${plural(examples, "example")}.`;
}
