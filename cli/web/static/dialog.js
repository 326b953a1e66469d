// What all dialogs share: modal, closed by Esc or a click beside it, and named.

import { h } from "./dom.js";

/**
 * @param {string} kind its class @param {string} label its accessible name
 * @param {() => void} close called when the user wants to close it
 */
export function makeDialog(kind, label, close) {
  const dialog = h("dialog", { class: kind, "aria-label": label, tabindex: "-1" });
  dialog.addEventListener("cancel", (event) => {
    if (event.target !== dialog) return;
    event.preventDefault();
    close();
  });
  dialog.addEventListener("pointerdown", (event) => event.target === dialog && close());
  document.body.append(dialog);
  return dialog;
}

/** Opens or closes a dialog; the browser returns the focus. */
export function setOpen(dialog, open) {
  if (open && !dialog.open) {
    dialog.showModal();
    // Not its first button, which is the one that closes it.
    dialog.focus();
  } else if (!open && dialog.open) {
    dialog.close();
    // Where there was no focus before, it stays in the closed dialog until the next frame.
    if (dialog.contains(document.activeElement)) document.activeElement.blur();
  }
}

/** The head of a sheet: a title and a button to close it. */
export function sheetHead(title, closeButton) {
  return h("header", { class: "sheet-head" }, h("h2", {}, title), closeButton);
}
