// Rows of pictures that fill the width, as even in height as possible.

/** Wider and taller pictures are cropped to these ratios of width to height, in the grid only. */
const NARROWEST = 0.5;
const WIDEST = 2.6;
/** Rows lower or higher than this, relative to the target, are avoided. */
const LOWEST = 0.6;
const HIGHEST = 1.6;

/** The ratio of width to height that the grid uses. @param {{width: number, height: number}} image */
export function aspect(image) {
  const ratio = image.width / image.height;
  return Number.isFinite(ratio) && ratio > 0 ? Math.min(Math.max(ratio, NARROWEST), WIDEST) : 1;
}

/**
 * @typedef {Object} Row
 * @property {number} from first picture @property {number} to after the last picture
 * @property {number} y top in pixels @property {number} height in pixels
 * @property {number[]} x left edges in pixels @property {number[]} width of each picture
 */

/**
 * Breaks pictures into rows with the least sum of squared deviations from the target height
 * (the optimal line breaks of Knuth and Plass, 1981, for boxes without stretch).
 * @param {number[]} aspects @param {number} width in pixels @param {number} target height
 * @param {number} gap in pixels
 * @param {boolean} open whether the last row may stay shorter than the width
 * @returns {{rows: Row[], height: number}}
 */
export function justify(aspects, width, target, gap, open) {
  const breaks = rowEnds(aspects, width, target, gap, open);
  const rows = [];
  let y = 0;
  let from = 0;
  for (const to of breaks) {
    const last = open && to === aspects.length;
    const row = place(aspects, from, to, width, target, gap, last);
    rows.push({ ...row, from, to, y });
    y += row.height + gap;
    from = to;
  }
  return { rows, height: y };
}

function rowEnds(aspects, width, target, gap, open) {
  const count = aspects.length;
  const cost = new Float64Array(count + 1).fill(Infinity);
  const previous = new Int32Array(count + 1);
  cost[0] = 0;
  for (let to = 1; to <= count; to += 1) {
    let sum = 0;
    for (let from = to - 1; from >= 0; from -= 1) {
      sum += aspects[from];
      const height = (width - gap * (to - from - 1)) / sum;
      const ratio = height / target;
      if (ratio < LOWEST && from < to - 1) break;
      const total = cost[from] + badness(ratio, open && to === count);
      if (total < cost[to]) {
        cost[to] = total;
        previous[to] = from;
      }
    }
  }
  const ends = [];
  for (let at = count; at > 0; at = previous[at]) ends.push(at);
  return ends.reverse();
}

function badness(ratio, last) {
  if (last && ratio > 1) return 0;
  const deviation = ratio - 1;
  return deviation * deviation + (ratio > HIGHEST ? 100 : 0);
}

function place(aspects, from, to, width, target, gap, last) {
  const sum = aspects.slice(from, to).reduce((total, value) => total + value, 0);
  const full = (width - gap * (to - from - 1)) / sum;
  const loose = last && full > target;
  const exact = loose ? target : Math.min(full, target * 2);
  const height = Math.round(exact);
  const x = [];
  const widths = [];
  let edge = 0;
  for (let at = from; at < to; at += 1) {
    const start = Math.round(edge);
    edge += aspects[at] * exact;
    const end = at === to - 1 && !loose && exact === full ? width : Math.round(edge);
    x.push(start);
    widths.push(end - start);
    edge += gap;
  }
  return { height, x, width: widths };
}
