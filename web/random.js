// Uniform random numbers of the core's generator (xoshiro256**), so that a seed means the same everywhere.
import { checkNumber } from './runtime/errors.js';

/** @typedef {import('./runtime/heap.js').Heap} Heap */

/** A seeded generator in a module's memory: free() it. */
export class Random {
  /** @param {Heap} heap @param {number} [seed] a whole number 0..2^53-1; default: random */
  constructor(heap, seed = Math.floor(Math.random() * 2 ** 53)) {
    checkNumber('seed', seed, 0, Number.MAX_SAFE_INTEGER, true);
    this.heap = heap;
    this.at = heap.make('mt_rng');
    heap.exports.rng_seed(this.at, seed >>> 0, Math.floor(seed / 2 ** 32));
  }
  /** @returns {number} in [0, 1), 53 bits */
  next() { return this.heap.exports.rng_double(this.at); }

  /**
   * An index, drawn from natural log-probabilities that need not be normalised. @param {ArrayLike<number>} logs @param {number} [temperature] default 1; 0: the largest, the first of equals
   * @returns {number} -1: all are -Infinity
   */
  draw(logs, temperature = 1) {
    let top = -1;
    for (let i = 0; i < logs.length; i++) if (logs[i] > -Infinity && (top < 0 || logs[i] > logs[top])) top = i;
    if (top < 0 || temperature === 0) return top;
    const weights = Float64Array.from(logs, (x) => Math.exp((x - logs[top]) / temperature));
    let left = this.next() * weights.reduce((a, b) => a + b, 0), last = top;
    for (let i = 0; i < weights.length; i++) {
      if (!weights[i]) continue;
      last = i;
      if ((left -= weights[i]) < 0) break;
    }
    return last;
  }
  free() { this.heap.release(this.at); }
}
