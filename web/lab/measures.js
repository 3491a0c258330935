// What measurements and verdicts of labs have in common: checks that say their bound, numbers read off curves, attention read off patterns.
// A curve is a list of [step, value] in order of steps, as in the results of a run.

/** @typedef {import('./define.js').Check} Check */
/** @typedef {[step: number, value: number][]} Curve */

/** The check that value < limit. @param {string} what the value is, for people @param {number} value @param {number} limit @returns {Check} */
export const below = (what, value, limit) => ({ what, value, bound: `< ${limit}`, pass: value < limit });
/** The check that value > limit. @param {string} what the value is, for people @param {number} value @param {number} limit @returns {Check} */
export const above = (what, value, limit) => ({ what, value, bound: `> ${limit}`, pass: value > limit });
/** The check that value <= limit. @param {string} what the value is, for people @param {number} value @param {number} limit @returns {Check} */
export const atMost = (what, value, limit) => ({ what, value, bound: `<= ${limit}`, pass: value <= limit });
/** The check that value >= limit. @param {string} what the value is, for people @param {number} value @param {number} limit @returns {Check} */
export const atLeast = (what, value, limit) => ({ what, value, bound: `>= ${limit}`, pass: value >= limit });

/** The mean over the last steps. @param {Curve} curve @param {number} steps 1: the last value alone @returns {number} NaN: an empty curve */
export function lastMean(curve, steps) {
  const from = curve.length ? curve[curve.length - 1][0] - steps : 0, kept = curve.filter(([step]) => step > from);
  return kept.reduce((sum, [, value]) => sum + value, 0) / kept.length;
}

/** The newest value of that step or before. @param {Curve} curve @param {number} step @returns {number} NaN: the curve begins later */
export const valueAt = (curve, step) => curve.findLast(([s]) => s <= step)?.[1] ?? NaN;

/** The first step whose value is below the limit. @param {Curve} curve @param {number} limit @returns {number} Infinity: none is */
export const firstBelow = (curve, limit) => curve.find(([, value]) => value < limit)?.[0] ?? Infinity;

/** The first step whose value is above the limit. @param {Curve} curve @param {number} limit @returns {number} Infinity: none is */
export const firstAbove = (curve, limit) => curve.find(([, value]) => value > limit)?.[0] ?? Infinity;

/** The middle of the stretch in which a curve falls most. @param {Curve} curve @param {number} steps length of the stretch @returns {number} NaN: the curve is shorter than that */
export function steepestFall(curve, steps) {
  let most = -Infinity, middle = NaN;
  for (let i = 0, j = 0; i < curve.length; i++) {
    while (j < curve.length && curve[j][0] < curve[i][0] + steps) j++;
    if (j === curve.length) break;
    const fall = (curve[i][1] - curve[j][1]) / (curve[j][0] - curve[i][0]);
    if (fall > most) most = fall, middle = (curve[i][0] + curve[j][0]) / 2;
  }
  return middle;
}

/**
 * How much each head looks at chosen keys: the weights of those keys, summed, as a mean over the queries that count.
 * @param {ArrayLike<number>} pattern [batch, heads, T, T] @param {number[]} dims of it
 * @param {(b: number, q: number) => ArrayLike<number> | null} keys of a query in a row; null: the query does not count
 * @returns {Float64Array} by head; NaN: no query counts
 */
export function attentionTo(pattern, [batch, heads, T], keys) {
  const out = new Float64Array(heads);
  let count = 0;
  for (let b = 0; b < batch; b++)
    for (let q = 0; q < T; q++) {
      const chosen = keys(b, q);
      if (!chosen) continue;
      count++;
      for (let h = 0; h < heads; h++) for (let i = 0; i < chosen.length; i++) out[h] += pattern[((b * heads + h) * T + q) * T + chosen[i]];
    }
  return out.map((sum) => sum / count);
}

/** The place of the largest. @param {ArrayLike<number>} values @returns {number} the first of several; -1: there are none */
export function largest(values) {
  let best = values.length ? 0 : -1;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
