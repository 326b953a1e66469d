// The mouse, the wheel and fingers on the map.

/** Pixels that a finger may move in a click. */
const CLICK = 6;
const WHEEL = 0.0025;
/** A pinch on a touchpad arrives as the wheel with Ctrl, in small steps. */
const PINCH = 0.012;
const LINE = 24;

export class MapGestures {
  #pointers = new Map();
  #moved = 0;

  /**
   * @param {HTMLElement} plane
   * @param {{shift: (x: number, y: number) => void, zoom: (by: number, x: number, y: number) => void,
   *   open: (x: number, y: number) => void}} calls points are in pixels from the middle of the plane
   */
  constructor(plane, calls) {
    this.plane = plane;
    this.calls = calls;
    plane.addEventListener("pointerdown", (event) => this.#press(event));
    plane.addEventListener("pointermove", (event) => this.#drag(event));
    plane.addEventListener("pointerup", (event) => this.#release(event));
    plane.addEventListener("pointercancel", (event) => this.#pointers.delete(event.pointerId));
    plane.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #point(event) {
    const box = this.plane.getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  }

  #wheel(event) {
    event.preventDefault();
    const delta = event.deltaY * (event.deltaMode ? LINE : 1);
    this.calls.zoom(-delta * (event.ctrlKey ? PINCH : WHEEL), ...this.#point(event));
  }

  #press(event) {
    if (event.button) return;
    this.plane.setPointerCapture(event.pointerId);
    if (!this.#pointers.size) this.#moved = 0;
    this.#pointers.set(event.pointerId, this.#point(event));
  }

  #drag(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const [middleBefore, spreadBefore] = this.#pinch();
    const point = this.#point(event);
    this.#pointers.set(event.pointerId, point);
    this.#moved += Math.hypot(point[0] - before[0], point[1] - before[1]);
    const [middle, spread] = this.#pinch();
    this.calls.shift(middleBefore[0] - middle[0], middleBefore[1] - middle[1]);
    if (spread && spreadBefore) this.calls.zoom(Math.log2(spread / spreadBefore), ...middle);
  }

  /** The middle of the fingers, and the distance of two of them. */
  #pinch() {
    const all = [...this.#pointers.values()];
    const middle = [0, 1].map((axis) => all.reduce((sum, point) => sum + point[axis], 0) / all.length);
    const [one, two] = all;
    return [middle, two ? Math.hypot(one[0] - two[0], one[1] - two[1]) : 0];
  }

  #release(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    if (!this.#pointers.size && this.#moved <= CLICK) this.calls.open(...this.#point(event));
  }
}
