// Random numbers of the labs: Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011), a generator without state. Word i of a stream is a function of (seed, stream, i), so
//   streams do not touch each other: what a model draws for its weights does not change the data it is trained on;
//   the whole state of a stream is one number, how many words were taken: that is what a checkpoint keeps.
//
// Block b holds the words 4b..4b+3. The key is the seed; the counter is (b, hash of the stream's name), 64 bits each:
//
//   counter  | b low | b high | name low | name high |      key  | seed low | seed high |
import { MicrotomeError } from '../runtime/errors.js';

const WORD = 2 ** 32;
const M0 = 0xd2511f53, M1 = 0xcd9e8d57, W0 = 0x9e3779b9, W1 = 0xbb67ae85;

/** The upper half of the 64-bit product of two 32-bit words. @param {number} a @param {number} b */
function high(a, b) {
  const al = a & 0xffff, ah = a >>> 16, bl = b & 0xffff, bh = b >>> 16;
  const middle = ah * bl + ((al * bl) >>> 16); // below 2^32
  const cross = al * bh + (middle & 0xffff);
  return (ah * bh + Math.floor(middle / 65536) + Math.floor(cross / 65536)) >>> 0;
}

/**
 * Ten rounds of Philox4x32. @param {Uint32Array} out 4 words: counter in, random words out @param {number} k0 @param {number} k1 the key
 */
export function philox(out, k0, k1) {
  let c0 = out[0], c1 = out[1], c2 = out[2], c3 = out[3];
  for (let round = 0; round < 10; round++) {
    const h0 = high(M0, c0), l0 = Math.imul(M0, c0), h1 = high(M1, c2), l1 = Math.imul(M1, c2);
    c0 = h1 ^ c1 ^ k0;
    c1 = l1;
    c2 = h0 ^ c3 ^ k1;
    c3 = l0;
    k0 = (k0 + W0) | 0;
    k1 = (k1 + W1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** FNV-1a of 64 bits, as two words. @param {string} name @returns {[low: number, high: number]} */
function hashed(name) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(name)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return [Number(hash & 0xffffffffn), Number(hash >> 32n)];
}

/** One stream of random numbers. */
export class Rng {
  #k0;
  #k1;
  #name;
  #block = new Uint32Array(4);
  /** Words taken so far: the whole state. */ #taken = 0;
  /** Which block #block holds. */ #at = -1;

  /** @param {number} seed a whole number 0..2^53-1 @param {string} [stream] its name, such as "init", "data" @throws {MicrotomeError} ERANGE: another seed */
  constructor(seed, stream = '') {
    if (!Number.isSafeInteger(seed) || seed < 0) throw new MicrotomeError(`seed: ${String(seed)} is not a whole number in 0..${Number.MAX_SAFE_INTEGER}`, { code: 'ERANGE', details: { option: 'seed' } });
    this.#k0 = seed >>> 0;
    this.#k1 = Math.floor(seed / WORD);
    this.#name = hashed(stream);
  }

  /** Words taken so far. Set it to go on from there. @returns {number} */
  get position() { return this.#taken; }
  set position(words) {
    if (!Number.isSafeInteger(words) || words < 0) throw new MicrotomeError(`position of a random stream: ${String(words)} is not a whole number from 0 on`, { code: 'ERANGE' });
    this.#taken = words;
  }

  /** @returns {number} 32 random bits, 0..2^32-1 */
  word() {
    const block = Math.floor(this.#taken / 4);
    if (block !== this.#at) {
      const b = this.#block;
      b[0] = block >>> 0;
      b[1] = Math.floor(block / WORD);
      b[2] = this.#name[0];
      b[3] = this.#name[1];
      philox(b, this.#k0, this.#k1);
      this.#at = block;
    }
    return this.#block[this.#taken++ % 4];
  }

  /** 53 random bits. */
  #bits() { return (this.word() >>> 5) * 0x4000000 + (this.word() >>> 6); }

  /** Uniform in [low, high): two words. @param {number} [low] default 0 @param {number} [high] default 1 @returns {number} */
  uniform(low = 0, high = 1) { return low + (high - low) * (this.#bits() / 2 ** 53); }

  /** A whole number 0..n-1, all equally likely (Lemire 2019: a multiplication, and seldom another draw). @param {number} n 1..2^53-1 @returns {number} @throws {MicrotomeError} ERANGE */
  below(n) {
    if (!Number.isSafeInteger(n) || n < 1) throw new MicrotomeError(`below: ${String(n)} is not a whole number from 1 on`, { code: 'ERANGE' });
    if (n <= 0x200000) {
      for (;;) {
        const product = this.word() * n, value = Math.floor(product / WORD), low = product - value * WORD; // below 2^53: exact
        if (low >= n || low >= WORD % n) return value;
      }
    }
    const limit = 2 ** 53 - (2 ** 53 % n);
    for (;;) {
      const bits = this.#bits();
      if (bits < limit) return bits % n;
    }
  }

  /** true with probability p. @param {number} p @returns {boolean} */
  chance(p) { return this.uniform() < p; }

  /** Normally distributed (Box & Muller 1958): four words. @param {number} [mean] default 0 @param {number} [sd] standard deviation, default 1 @returns {number} */
  normal(mean = 0, sd = 1) {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform())); // 1 - u is never 0
    return mean + sd * radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** Standard Gumbel: -ln(-ln u). @returns {number} */
  gumbel() { return -Math.log(-Math.log((this.#bits() + 0.5) / 2 ** 53)); }

  /** Gamma with scale 1 (Marsaglia & Tsang 2000). @param {number} shape above 0 @returns {number} @throws {MicrotomeError} ERANGE */
  gamma(shape) {
    if (!(shape > 0 && shape < Infinity)) throw new MicrotomeError(`gamma: the shape ${String(shape)} is not above 0`, { code: 'ERANGE' });
    if (shape < 1) return this.gamma(shape + 1) * (1 - this.uniform()) ** (1 / shape);
    const d = shape - 1 / 3, c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal(), v = (1 + c * x) ** 3;
      if (v > 0 && Math.log(1 - this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
    }
  }

  /** A distribution over n outcomes, Dirichlet with equal concentrations. @param {number} concentration above 0 @param {number} n @returns {Float64Array} sums to 1 */
  dirichlet(concentration, n) {
    const out = new Float64Array(n);
    let sum = 0;
    for (let i = 0; i < n; i++) sum += out[i] = this.gamma(concentration);
    if (!(sum > 0)) { // all too small for a double: the limit, one outcome has everything
      out[this.below(n)] = 1;
      return out;
    }
    for (let i = 0; i < n; i++) out[i] /= sum;
    return out;
  }

  /** 0..n-1 in random order (Fisher & Yates). @param {number} n @returns {Int32Array} */
  permutation(n) { return this.shuffle(Int32Array.from({ length: n }, (_, i) => i)); }

  /** Brings a list into random order, in place. @template {{length: number, [i: number]: any}} T @param {T} list @returns {T} the same list */
  shuffle(list) {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1), kept = list[i];
      list[i] = list[j];
      list[j] = kept;
    }
    return list;
  }

  /** k different numbers of 0..n-1, in random order. @param {number} n @param {number} k at most n @returns {Int32Array} @throws {MicrotomeError} ERANGE: more than n */
  choose(n, k) {
    if (!(k <= n)) throw new MicrotomeError(`choose: ${String(k)} of ${String(n)}`, { code: 'ERANGE' });
    const all = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < k; i++) {
      const j = i + this.below(n - i), kept = all[i];
      all[i] = all[j];
      all[j] = kept;
    }
    return all.slice(0, k);
  }

  /** @param {number} n @param {number} [sd] standard deviation, default 1 @param {number} [mean] default 0 @returns {Float32Array<ArrayBuffer>} n normal numbers; both of each Box-Muller pair */
  normals(n, sd = 1, mean = 0) {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i += 2) {
      const radius = sd * Math.sqrt(-2 * Math.log(1 - this.uniform())), angle = 2 * Math.PI * this.uniform();
      out[i] = mean + radius * Math.cos(angle);
      if (i + 1 < n) out[i + 1] = mean + radius * Math.sin(angle);
    }
    return out;
  }

  /** @param {number} n @param {number} [low] default 0 @param {number} [high] default 1 @returns {Float32Array<ArrayBuffer>} n uniform numbers; rounding to float32 may reach `high` */
  uniforms(n, low = 0, high = 1) {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = this.uniform(low, high);
    return out;
  }

  /** @param {number} n @param {number} below @returns {Int32Array<ArrayBuffer>} n whole numbers 0..below-1 */
  integers(n, below) {
    const out = new Int32Array(n);
    for (let i = 0; i < n; i++) out[i] = this.below(below);
    return out;
  }
}

/** A discrete distribution as a cumulative table: a draw is a binary search. */
export class Table {
  #sums;
  #last = 0;

  /** @param {ArrayLike<number>} weights from 0 on, not all 0 @throws {MicrotomeError} ERANGE: others */
  constructor(weights) {
    this.#sums = new Float64Array(weights.length);
    let sum = 0;
    for (let i = 0; i < weights.length; i++) {
      if (!(weights[i] >= 0 && weights[i] < Infinity)) throw new MicrotomeError(`table: weight ${i} is ${String(weights[i])}, not a number from 0 on`, { code: 'ERANGE' });
      this.#sums[i] = sum += weights[i];
      if (weights[i] > 0) this.#last = i;
    }
    if (!(sum > 0)) throw new MicrotomeError('table: all weights are 0', { code: 'ERANGE' });
  }

  /** How many outcomes. @returns {number} */
  get length() { return this.#sums.length; }

  /** @param {number} i an entry, 0..length - 1 @returns {number} its probability */
  probability(i) { return (this.#sums[i] - (i ? this.#sums[i - 1] : 0)) / this.#sums[this.length - 1]; }

  /** @param {Rng} rng @returns {number} an outcome, 0..length-1; never one of weight 0 */
  draw(rng) {
    const sums = this.#sums, u = rng.uniform() * sums[sums.length - 1];
    let low = 0, high = this.#last; // the first sum above u, which rounding may have made the whole sum
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle] > u) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Drawn entries, each by its probability. @param {Rng} rng @param {number} n how many @returns {Int32Array<ArrayBuffer>} */
  draws(rng, n) {
    const out = new Int32Array(n);
    for (let i = 0; i < n; i++) out[i] = this.draw(rng);
    return out;
  }
}
