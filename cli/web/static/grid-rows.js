// The elements of the rows near the screen, in their order.

export class GridRows {
  #elements = new Map();

  /** @param {HTMLElement} layer */
  constructor(layer) {
    this.layer = layer;
  }

  /**
   * Puts an element at a height; makes it where it is not there yet.
   * @param {string} key @param {[number, number]} place its order: block, and row in it
   * @param {number} y in pixels of the layer @param {() => HTMLElement} make
   * @returns {string} the key
   */
  put(key, place, y, make) {
    let element = this.#elements.get(key);
    if (!element) {
      element = make();
      element.place = place;
      this.#elements.set(key, element);
      this.#insert(element);
    }
    const transform = `translateY(${y}px)`;
    if (element.style.transform !== transform) element.style.transform = transform;
    return key;
  }

  /** Puts an element in its order, which screen readers and the Tab key follow. */
  #insert(element) {
    const [block, row] = element.place;
    const after = ({ place }) => place[0] - block || place[1] - row;
    let next = null;
    let other = this.layer.lastElementChild;
    while (other && after(other) > 0) {
      next = other;
      other = other.previousElementSibling;
    }
    this.layer.insertBefore(element, next);
  }

  /** Removes all others. @param {Set<string>} keys */
  keepOnly(keys) {
    for (const key of this.#elements.keys()) if (!keys.has(key)) this.remove(key);
  }

  remove(key) {
    this.#elements.get(key)?.remove();
    this.#elements.delete(key);
  }

  clear() {
    for (const element of this.#elements.values()) element.remove();
    this.#elements.clear();
  }
}
