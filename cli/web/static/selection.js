// The photos selected, to search with several or to refine a search.

const MOST = 50;

export class Selection {
  #ids = new Set();
  #watchers = new Map();

  get size() {
    return this.#ids.size;
  }

  get ids() {
    return [...this.#ids];
  }

  has(id) {
    return this.#ids.has(id);
  }

  /** @param {string} id */
  toggle(id) {
    if (!this.#ids.delete(id) && this.#ids.size < MOST) this.#ids.add(id);
    this.#tell();
  }

  clear() {
    if (!this.#ids.size) return;
    this.#ids.clear();
    this.#tell();
  }

  /** Calls a function after each change. */
  watch(owner, call) {
    this.#watchers.set(owner, call);
  }

  unwatch(owner) {
    this.#watchers.delete(owner);
  }

  #tell() {
    for (const call of this.#watchers.values()) call();
  }
}
