// Short messages at the foot of the screen, also for screen readers.

import { h } from "./dom.js";

const SECONDS = { info: 3, error: 8 };

/** @param {string} words @param {"info"|"error"} kind */
export function notice(words, kind = "info") {
  // A dialog makes all else inert, so its notices must be inside it.
  const host = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  let area = host.querySelector(":scope > .notices");
  if (!area) {
    area = h("div", { class: "notices", role: "status" });
    host.append(area);
  }
  const element = h("div", { class: `notice ${kind}` }, words);
  area.replaceChildren(element);
  setTimeout(() => element.remove(), SECONDS[kind] * 1000);
}

/** Copies text and says so. @param {string} text @param {string} what */
export async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied`);
  } catch {
    notice("The browser does not allow copying here: select the text instead", "error");
  }
}
