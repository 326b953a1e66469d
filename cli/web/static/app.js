// The page as a whole: its state is its address; views and dialogs show what the state says.

import * as api from "./api.js";
import { Bar } from "./bar.js";
import { Compare } from "./compare.js";
import { Duplicates } from "./duplicates.js";
import { listen } from "./events.js";
import { FiltersDialog } from "./filters.js";
import { HelpDialog } from "./help.js";
import { Keys } from "./keys.js";
import { Looks } from "./looks.js";
import { MapView } from "./map.js";
import { problem } from "./messages.js";
import { notice } from "./notice.js";
import { PairDialog } from "./pair.js";
import { PartDialog } from "./part.js";
import { PhotoDialog } from "./photo.js";
import { Photos } from "./photos.js";
import { Results } from "./results.js";
import { ScriptDialog } from "./script.js";
import { Selection } from "./selection.js";
import { SelectionBar } from "./selection-bar.js";
import { format, parse, searchFor } from "./state.js";
import { Uploads } from "./uploads.js";

const VIEWS = { photos: Photos, search: Results, duplicates: Duplicates, compare: Compare, map: MapView, looks: Looks };
const TITLES = { photos: "Photos", search: "Search", duplicates: "Duplicates", compare: "Two encoders", map: "Map", looks: "Looks" };

export class App {
  /** @type {import("./state.js").State} */ state = parse(location.search);
  info = null;
  #view = null;
  #name = "";

  /** @param {Document} page */
  constructor(page) {
    this.main = page.getElementById("main");
    this.selection = new Selection();
    this.uploads = new Uploads(this);
    this.bar = new Bar(this, page);
    this.selectionBar = new SelectionBar(this, page.getElementById("selection"));
    this.banner = page.getElementById("banner");
    this.dialogs = [
      new PhotoDialog(this), new PairDialog(this), new PartDialog(this), new FiltersDialog(this),
      new ScriptDialog(this), new HelpDialog(this),
    ];
    this.keys = new Keys(this, page);
    page.addEventListener("click", (event) => this.#click(event));
    window.addEventListener("popstate", () => this.#show(parse(location.search)));
  }

  async start() {
    try {
      this.info = await api.info();
    } catch (error) {
      this.main.replaceChildren(problem(error, () => location.reload()));
      this.failed(error);
      return;
    }
    this.bar.setInfo(this.info);
    if (this.info.photos) this.count(this.info.photos, false);
    await this.#show(this.state);
    listen((version) => this.#changed(version), (up) => this.#reachable(up));
  }

  get view() {
    return this.#view;
  }

  /** The dialog on top, if any. */
  get dialog() {
    return this.dialogs.findLast((dialog) => dialog.open) ?? null;
  }

  /** Goes to a state; the back button returns. @param {Partial<import("./state.js").State>} change */
  go(change) {
    const state = { ...this.state, ...change };
    const address = format(state);
    if (address === format(this.state)) return Promise.resolve();
    this.#push(state, address);
    return this.#show(parse(location.search));
  }

  /** A step for the back button that knows where the photo was opened, to close it in one go. */
  #push(state, address) {
    const step = (history.state?.step ?? 0) + 1;
    const opened = this.state.photo ? history.state?.opened : step - 1;
    history.pushState({ step, opened: state.photo ? opened : undefined }, "", address);
  }

  /** A new search. @param {string[]} like @param {Partial<import("./state.js").State>} [more] */
  search(like, more = {}) {
    this.selection.clear();
    return this.go({ ...searchFor(this.state, like, more) });
  }

  /** Changes the address without a step for the back button, and shows nothing new. */
  replace(change) {
    const state = { ...this.state, ...change };
    this.state = state;
    const address = format(state);
    if (address !== location.pathname + location.search && address !== location.search) {
      history.replaceState(history.state, "", address);
    }
  }

  /** Closes a dialog: back where it was opened here, otherwise a state without it. */
  close(change) {
    const { step, opened } = history.state ?? {};
    if (step && "photo" in change && opened !== undefined) history.go(opened - step);
    else if (step && !("photo" in change)) history.back();
    else {
      history.replaceState(null, "", format({ ...this.state, ...change }));
      this.#show(parse(location.search));
    }
  }

  #click(event) {
    const link = event.target.closest?.("a[href]");
    if (!link || event.defaultPrevented || event.button || link.origin !== location.origin) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.pathname !== "/" || link.hash) return;
    event.preventDefault();
    // The address of a tile is for a new tab; here the photo opens over what is shown.
    const { photo } = link.dataset;
    if (photo && this.selection.size && link.closest("main")) this.selection.toggle(photo);
    else if (photo) this.go({ photo, panel: "", of: "", pair: "" });
    else this.follow(link.search, link.dataset.replace !== undefined);
  }

  /** Follows an address of this page. */
  follow(search, replace = false) {
    if (search === location.search) return;
    if (replace) history.replaceState(history.state, "", search || "/");
    else this.#push(parse(search), search || "/");
    this.#show(parse(search));
  }

  async #show(state) {
    const before = this.state;
    this.state = state;
    const name = state.view === "map" && !this.info.map ? "photos" : state.view;
    if (name !== this.#name) {
      this.#view?.destroy?.();
      this.#view = new VIEWS[name](this);
      this.#name = name;
      this.main.replaceChildren(this.#view.element);
    }
    document.title = `${TITLES[name]} · ${this.info.index}`;
    this.bar.update(state);
    const drawing = this.#view.update(state);
    for (const dialog of this.dialogs) dialog.update(state);
    if (before.photo && !state.photo) this.#view.focusPhoto?.(before.photo);
    await drawing;
  }

  async #changed(version) {
    if (version === this.info.version) return;
    this.info = await api.info().catch(() => this.info);
    this.bar.setInfo(this.info);
    await this.#view.refresh?.();
  }

  #reachable(up) {
    const gone = !this.banner.hidden;
    this.banner.hidden = up;
    if (up && gone) this.#view?.refresh?.();
  }

  /** Says how many photos there are. */
  count(total, filtered) {
    this.bar.count(total, filtered);
  }

  /** Reports an error that the view does not show itself. @param {Error} error */
  failed(error) {
    if (error.status === 0) this.#reachable(false);
    else if (error.status === undefined) throw error;
    else notice([error.message, error.hint].filter(Boolean).join(". "), "error");
  }
}
