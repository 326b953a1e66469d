// A scroll position of any length. Browsers limit the height of an element to some 16.7 million
// pixels, so a spacer of bounded height moves along: what is shown at `y` lies at `y - base` in it.

/** Height of the spacer in pixels: more than one throw of the wheel or the finger scrolls. */
export const SPAN = 1_000_000;
const IDLE = 160;

export class Scroller {
  #base = 0;
  #total = 0;
  #idle = 0;

  /**
   * @param {HTMLElement} host scrolls; its child `layer` carries what is shown
   * @param {HTMLElement} layer
   * @param {(idle: boolean) => void} draw called when the position has changed
   */
  constructor(host, layer, draw) {
    this.host = host;
    this.layer = layer;
    this.draw = draw;
    host.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** The position in pixels from the start of the whole content. */
  get top() {
    return this.#base + this.host.scrollTop;
  }

  get total() {
    return this.#total;
  }

  /** Where the content at `y` lies in the layer. */
  local(y) {
    return y - this.#base;
  }

  /** Sets the height of the whole content. @param {number} total in pixels */
  setTotal(total) {
    this.#total = Math.round(total);
    if (this.#base > this.#highestBase()) this.jump(this.top);
    else this.#fit();
  }

  /**
   * Keeps what is shown in place after the content above it grew by `delta` pixels.
   * Call it after `setTotal`.
   */
  shift(delta) {
    if (!delta) return;
    const base = this.#base + delta;
    if (base < 0 || base > this.#highestBase()) this.jump(this.top + delta);
    else {
      this.#base = base;
      this.#fit();
    }
  }

  /** Scrolls to a position, without animation. @param {number} y in pixels */
  jump(y) {
    const most = Math.max(this.#total - this.host.clientHeight, 0);
    const top = Math.round(Math.min(Math.max(y, 0), most));
    this.#base = Math.min(Math.max(top - SPAN / 2, 0), this.#highestBase());
    this.#fit();
    this.host.scrollTop = top - this.#base;
  }

  #highestBase() {
    return Math.max(this.#total - SPAN, 0);
  }

  #fit() {
    this.layer.style.height = `${Math.min(SPAN, this.#total - this.#base)}px`;
  }

  #scrolled() {
    const local = this.host.scrollTop;
    const end = this.layer.offsetHeight - this.host.clientHeight;
    const stuck = (local <= 0 && this.#base > 0) ||
      (local >= end && this.#base + this.layer.offsetHeight < this.#total);
    if (stuck) this.jump(this.top);
    this.draw(false);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#rest(), IDLE);
  }

  #rest() {
    const far = Math.abs(this.host.scrollTop - SPAN / 2) > SPAN / 4;
    if (far && this.#total > SPAN) this.jump(this.top);
    this.draw(true);
  }
}
