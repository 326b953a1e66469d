// Dates, sizes and counts as text.

const MONTH = new Intl.DateTimeFormat("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
const SHORT_MONTH = new Intl.DateTimeFormat("en-GB", { month: "short", year: "numeric", timeZone: "UTC" });
const DAY = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" });
const NUMBER = new Intl.NumberFormat("en-GB");
const NO_DATE = "No date";

/** A local time without a zone, as UTC, so that no zone of the reader moves it. */
const time = (text) => new Date(`${text.slice(0, 10).replaceAll(":", "-")}T00:00:00Z`);

/** `July 2024` of `2024-07`. @param {string|null} month */
export const monthName = (month) => (month ? MONTH.format(time(`${month}-01`)) : NO_DATE);
/** `Jul 2024`. */
export const shortMonth = (month) => (month ? SHORT_MONTH.format(time(`${month}-01`)) : NO_DATE);

/** `12 July 2024` of a time; empty for a time that cannot be read. @param {string|null} taken */
export function day(taken) {
  const date = taken ? time(taken) : null;
  return date && !Number.isNaN(date.valueOf()) ? DAY.format(date) : "";
}

/** `12 July 2024, 14:03`. @param {string|null} taken */
export function dayAndTime(taken) {
  const clock = /[T ](\d\d:\d\d)/.exec(taken ?? "")?.[1];
  return [day(taken), clock].filter(Boolean).join(", ");
}

export const count = (number) => NUMBER.format(number);

/** `1 photo`, `12 photos`. */
export const plural = (number, word, words = `${word}s`) =>
  `${count(number)} ${number === 1 ? word : words}`;

/** `2.4 MB`. @param {number} bytes */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 10 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** The last part of a path, of any system. */
export const baseName = (path) => path.split(/[/\\]/).pop() || path;
/** The folder of a path. */
export const folderOf = (path) => path.slice(0, path.length - baseName(path).length).replace(/[/\\]$/, "");

/** `0.87`; two digits are what a reader can use. */
export const score = (value) => value.toFixed(2);

/** The accessible name of a photo: its file name and its date. */
export const label = (image) => [image.name, day(image.taken)].filter(Boolean).join(", ");
