// The keyboard in the collection: arrow keys choose a photo, also one that is not loaded yet. One
// tile of the grid is in the order of the Tab key.

export class GridFocus {
  #current = null;
  #shown = 0;
  #queue = Promise.resolve();

  /** @param {import("./photos.js").Photos} view */
  constructor(view) {
    this.view = view;
    const focusing = () => document.activeElement?.closest?.(".tile")?.dataset.number;
    const move = (step) => () => {
      const number = focusing();
      this.focus(number === undefined ? this.#shown : step(Number(number)));
    };
    this.keys = {
      ArrowRight: move((number) => number + 1),
      ArrowLeft: move((number) => number - 1),
      ArrowDown: move((number) => this.#vertical(number, 1)),
      ArrowUp: move((number) => this.#vertical(number, -1)),
      Home: () => this.focus(0),
      End: () => this.focus(view.collection.total - 1),
      PageDown: () => this.#page(1),
      PageUp: () => this.#page(-1),
    };
  }

  /** Forgets the photo chosen last. */
  reset() {
    this.#current = null;
  }

  /** Puts the photo chosen last, or else the first on the screen, in the order of the Tab key. */
  update() {
    const { layer, host } = this.view;
    const top = host.getBoundingClientRect().top + 8;
    const tiles = [...layer.querySelectorAll(".tile")];
    const chosen = tiles.find((tile) => Number(tile.dataset.number) === this.#current) ??
      tiles.find((tile) => tile.getBoundingClientRect().bottom > top);
    for (const link of layer.querySelectorAll('.tile-link[tabindex="0"]')) link.tabIndex = -1;
    if (chosen) chosen.querySelector(".tile-link").tabIndex = 0;
    this.#shown = chosen ? Number(chosen.dataset.number) : 0;
  }

  #vertical(number, step) {
    const { collection } = this.view;
    const block = collection.blockOf(number);
    const index = number - block.offset;
    const at = block.rows.findIndex((row) => index < row.to);
    const row = block.rows[at];
    const centre = row.x[index - row.from] + row.width[index - row.from] / 2;
    const target = block.rows[at + step];
    if (target) return block.offset + nearest(target, centre);
    const next = collection.blocks[block.index + step];
    if (!next) return number;
    if (!next.rows) return step > 0 ? next.offset : next.offset + next.count - 1;
    return next.offset + nearest(step > 0 ? next.rows[0] : next.rows.at(-1), centre);
  }

  #page(step) {
    const { scroller, host } = this.view;
    this.view.jump(scroller.top + step * host.clientHeight * 0.9);
    this.reset();
    this.update();
    this.focus(this.#shown);
  }

  /** Moves the focus to a photo; loads it and scrolls to it where necessary. */
  focus(number) {
    const { collection, layer } = this.view;
    const wanted = Math.min(Math.max(number, 0), collection.total - 1);
    this.#current = wanted;
    const run = async () => {
      if (!(await this.view.reveal(wanted))) return;
      layer.querySelector(`[data-number="${wanted}"] .tile-link`)?.focus({ preventScroll: true });
    };
    this.#queue = this.#queue.then(run, run);
  }
}

/** The picture of a row whose middle is nearest to a position. */
function nearest(row, x) {
  const distances = row.x.map((left, at) => Math.abs(left + row.width[at] / 2 - x));
  return row.from + distances.indexOf(Math.min(...distances));
}
