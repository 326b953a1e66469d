// Arrow keys among the tiles of a view that are all in the document.

/** @param {HTMLElement} root */
const links = (root) => [...root.querySelectorAll(".tile-link")];

/** Puts one tile into the order of the Tab key. @param {HTMLElement} root */
export function makeFocusable(root) {
  const all = links(root);
  if (!all.some((link) => link.tabIndex === 0) && all[0]) all[0].tabIndex = 0;
}

/**
 * Keys that move the focus. @param {HTMLElement} root
 * @returns {Object<string, () => void>}
 */
export function tileKeys(root) {
  const at = (step) => () => {
    const all = links(root);
    const now = all.indexOf(document.activeElement);
    focus(root, now < 0 ? all[0] : all[Math.min(Math.max(now + step, 0), all.length - 1)]);
  };
  return {
    ArrowRight: at(1),
    ArrowLeft: at(-1),
    Home: () => focus(root, links(root)[0]),
    End: () => focus(root, links(root).at(-1)),
    ArrowDown: () => focus(root, vertical(root, 1)),
    ArrowUp: () => focus(root, vertical(root, -1)),
  };
}

function focus(root, link) {
  if (!link) return;
  for (const other of root.querySelectorAll('.tile-link[tabindex="0"]')) other.tabIndex = -1;
  link.tabIndex = 0;
  link.focus({ preventScroll: true });
  link.scrollIntoView({ block: "nearest" });
}

/** The tile nearest in the row below (1) or above (-1). */
function vertical(root, step) {
  const all = links(root);
  const now = document.activeElement;
  if (!all.includes(now)) return all[0];
  const here = now.getBoundingClientRect();
  const centre = (box) => box.left + box.width / 2;
  let best = null;
  let least = Infinity;
  for (const link of all) {
    const box = link.getBoundingClientRect();
    const down = step * (box.top - here.top);
    if (down < here.height / 2) continue;
    const distance = down * 10 + Math.abs(centre(box) - centre(here));
    if (distance < least) [best, least] = [link, distance];
  }
  return best ?? now;
}
