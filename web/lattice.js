// All segmentations of a text at once: counting, best, n best, samples, sums.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';

/** @typedef {import('./runtime/heap.js').Heap} Heap */
/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {import('./segmenters.js').SegmenterKind} SegmenterKind */

// ---- what both need -----------------------------------------------------------------------------------------------------------

const FINALIZED = new FinalizationRegistry((/** @type {{heap: Heap, at: number}} */ { heap, at }) => heap.exports.lattice_free(at));

/** @param {Heap} heap @param {(bytes: number) => number} alloc @param {string | Uint8Array} text @returns {[number, number]} */
function putText(heap, alloc, text) {
  if (typeof text !== 'string' && !(text instanceof Uint8Array)) throw new MicrotomeError(`a string or a Uint8Array is needed, got ${text === null ? 'null' : typeof text}`, { code: 'ERANGE' });
  const bytes = typeof text === 'string' ? heap.encoder.encode(text) : text;
  const at = alloc(bytes.length);
  heap.putBytes(at, bytes);
  return [at, bytes.length];
}

/** A seeded generator; without a seed a random one. @param {Heap} heap @param {(bytes: number) => number} alloc @param {number | undefined} seed */
function generator(heap, alloc, seed) {
  const at = alloc(heap.sizeOf('mt_rng'));
  const s = seed === undefined ? Math.floor(Math.random() * 2 ** 53) : checkNumber('seed', seed, 0, Number.MAX_SAFE_INTEGER, true);
  heap.exports.rng_seed(at, s >>> 0, Math.floor(s / 2 ** 32));
  return at;
}

// ---- segmentations ----------------------------------------------------------------------------------------------------------

/**
 * Ids of a text by another segmenter over the tokenizer's vocabulary: `tokenizer.encode(text, { segmenter, ... }).ids`.
 * @param {Tokenizer} tokenizer @param {string | Uint8Array} text @param {SegmenterKind} kind @param {Omit<import('./tokenizer.js').EncodeOptions, 'segmenter' | 'offsets' | 'typeIds'>} [options] @returns {Int32Array}
 */
export function segment(tokenizer, text, kind, options = {}) {
  return tokenizer.encode(text, { ...options, segmenter: kind, offsets: false }).ids;
}

/**
 * Is this what the tokenizer itself gives for the text that the ids spell? @param {Tokenizer} tokenizer @param {Iterable<number>} ids @returns {boolean}
 */
export function isCanonical(tokenizer, ids) {
  const list = [...ids];
  const again = tokenizer.encode(tokenizer.decodeBytes(list), { offsets: false }).ids;
  return again.length === list.length && list.every((id, i) => id === again[i]);
}

// ---- lattices --------------------------------------------------------------------------------------------------------------------

/** @typedef {{from: number, to: number, id: number, weight: number}} LatticeEdge from, to: byte positions in `bytes` */
/** @typedef {{ids: Int32Array, score: number}} LatticePath score: sum of the weights (natural logarithms, when they are log-probabilities) */
/**
 * @typedef {object} LatticeOptions
 * @property {'scores' | 'uniform' | ArrayLike<number>} [weights] of tokens: 'scores' (default): the vocabulary's (Unigram log-probabilities; 0 where it has none); 'uniform': all 0; or one number for each id
 * @property {boolean} [wholeText] the text is one word: neither normalized nor split, added tokens are not cut out. Default false: segmentations never cross the edges of words
 * @property {boolean} [specialAsText] text that spells a special token is ordinary text
 */

/**
 * Every segmentation of a text into tokens: a graph over byte positions whose edges are tokens. A symbol that no token covers alone has its byte tokens or the unknown token.
 *
 *   using lattice = new Lattice(tokenizer, 'tokenization');
 *   lattice.count; lattice.best(); lattice.nBest(5); lattice.sample(3, { seed: 1 });
 *
 * Free it with dispose() (or `using`); else that happens when it is collected.
 */
export class Lattice {
  /** @type {Heap} */ #heap;
  /** @type {number} */ #at;

  /** @param {Tokenizer} tokenizer @param {string | Uint8Array} text @param {LatticeOptions} [options] @throws {MicrotomeError} EUNKNOWN: the tokenizer has no vocabulary of this kind */
  constructor(tokenizer, text, options = {}) {
    checkOptions('Lattice', options, ['weights', 'wholeText', 'specialAsText']);
    const { weights = 'scores', wholeText = false, specialAsText = tokenizer.specialIsText } = options;
    if (typeof weights === 'string' && weights !== 'scores' && weights !== 'uniform') throw new MicrotomeError(`Lattice: unknown weights ${JSON.stringify(weights)}: known are scores, uniform, or a list of numbers`, { code: 'EUNKNOWN' });
    const { heap, at: tok } = tokenizer.core();
    this.#heap = heap;
    this.#at = heap.scope((alloc) => {
      let table = 0;
      if (weights !== 'scores') {
        const numbers = weights === 'uniform' ? new Float64Array(tokenizer.vocabSize) : Float64Array.from(weights);
        if (numbers.length !== tokenizer.vocabSize) throw new MicrotomeError(`Lattice: ${numbers.length} weights for ${tokenizer.vocabSize} ids`, { code: 'ERANGE' });
        const bad = numbers.findIndex((x) => !Number.isFinite(x));
        if (bad >= 0) throw new MicrotomeError(`Lattice: the weight of id ${bad} is ${numbers[bad]}: it must be finite`, { code: 'ERANGE' });
        table = alloc(8 * numbers.length);
        heap.putBytes(table, new Uint8Array(numbers.buffer));
      }
      const [at, n] = putText(heap, alloc, text);
      const out = alloc(4);
      heap.call('lattice_new', tok, at, n, Number(specialAsText), Number(wholeText), table, out);
      return heap.u32(out);
    });
    FINALIZED.register(this, { heap, at: this.#at }, this);
  }

  #live() {
    if (!this.#at) throw disposed('this lattice');
    return this.#heap;
  }
  #read() {
    return this.#live().read('abi_lattice', this.#at);
  }

  /** The text that the edges count bytes of: normalized, with the spaces that the tokenizer adds; an added token's own text. */
  get bytes() {
    const { 'text.data': data, 'text.len': length } = this.#read();
    return this.#heap.bytes(data, length);
  }

  /** All edges, sorted by (from, to, id). @returns {LatticeEdge[]} */
  get edges() {
    const { 'l.edge': first, 'l.edges': count } = this.#read();
    const heap = this.#heap, size = heap.sizeOf('mt_edge');
    return Array.from({ length: count }, (_, i) => {
      const { from, to, token, weight } = heap.read('mt_edge', first + i * size);
      return { from, to, id: token, weight };
    });
  }

  /** Number of segmentations, exactly. @returns {bigint} */
  get count() {
    const heap = this.#live();
    const small = heap.scope((alloc) => {
      const out = alloc(16);
      heap.call('lattice_count', this.#at, out, out + 8);
      return heap.view.getBigUint64(out, true);
    });
    if (small !== 0xffffffffffffffffn) return small;
    /** @type {Map<number, bigint>} */ const ways = new Map([[0, 1n]]);
    for (const { from, to } of this.edges) {
      const here = ways.get(from);
      if (here !== undefined) ways.set(to, (ways.get(to) ?? 0n) + here);
    }
    return ways.get(this.#read()['l.nodes'] - 1) ?? 0n;
  }

  /** @param {string} name @param {number} theta */
  #number(name, theta) {
    const heap = this.#live();
    return heap.scope((alloc) => {
      const out = alloc(8);
      heap.call(name, this.#at, theta, out);
      return heap.view.getFloat64(out, true);
    });
  }

  /** Natural logarithm of the number of segmentations; -Infinity: none. @returns {number} */
  get logCount() {
    return this.#number('lattice_marginal', 0);
  }
  /** Natural logarithm of the sum over all segmentations of exp(theta x score): of the text's probability, when weights are log-probabilities. @param {{theta?: number}} [options] theta: default 1 @returns {number} */
  marginal({ theta = 1 } = {}) {
    return this.#number('lattice_marginal', theta);
  }
  /** Entropy in nats of the segmentations, with probability proportional to exp(theta x score). @param {{theta?: number}} [options] theta: default 1 @returns {number} */
  entropy({ theta = 1 } = {}) {
    return this.#number('lattice_entropy', theta);
  }
  /** Probability that each edge is part of the segmentation, in the order of `edges`. @param {{theta?: number}} [options] theta: default 1 @returns {Float64Array} */
  posterior({ theta = 1 } = {}) {
    const heap = this.#live();
    const count = this.#read()['l.edges'];
    return heap.scope((alloc) => {
      const out = alloc(8 * count + 8);
      heap.call('lattice_posterior', this.#at, theta, out);
      return Float64Array.from({ length: count }, (_, i) => heap.view.getFloat64(out + 8 * i, true));
    });
  }

  /** For Tokenizer. @param {'NBEST' | 'SAMPLE' | 'DISTINCT'} kind @param {number} k @param {number} theta @param {number | undefined} seed @returns {{at: number, paths: (LatticePath & {inclusion: number})[]}} @internal */
  found(kind, k, theta, seed) {
    return { paths: this.#paths(kind, k, theta, seed).paths, at: this.#at };
  }

  /** @param {string} kind @param {number} k @param {number} theta @param {number | undefined} seed @returns {{paths: (LatticePath & {inclusion: number})[], complete: boolean}} */
  #paths(kind, k, theta = 1, seed = 0) {
    const heap = this.#live();
    const complete = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('lattice_paths', this.#at, heap.enums[`ABI_PATHS_${kind}`], k, theta, generator(heap, alloc, seed), out);
      return heap.u32(out) === 1;
    });
    const { 'paths.path': path, 'paths.len': count, 'paths.edge.data': list, 'paths.edge.len': total, 'l.edge': edge } = this.#read();
    const edges = heap.ints(list, total), size = heap.sizeOf('mt_path'), edgeSize = heap.sizeOf('mt_edge'), token = heap.field('mt_edge', 'token').offset;
    const paths = Array.from({ length: count }, (_, i) => {
      const { first, len, score, inclusion } = heap.read('mt_path', path + i * size);
      return { ids: Int32Array.from(edges.subarray(first, first + len), (e) => heap.view.getInt32(edge + e * edgeSize + token, true)), score, inclusion };
    });
    return { paths, complete };
  }

  /** The best segmentation; of equals the one with the longest last token, and so on backwards. @returns {LatticePath} @throws {MicrotomeError} EMISSING: there is none */
  best() {
    const { ids, score } = this.#paths('BEST', 1).paths[0];
    return { ids, score };
  }
  /** The k best, best first; fewer when there are fewer. @param {number} k @returns {LatticePath[]} */
  nBest(k) {
    return this.#paths('NBEST', checkNumber('nBest', k, 1, 2 ** 24, true)).paths.map(({ ids, score }) => ({ ids, score }));
  }
  /** All segmentations, at most `cap`. @param {{cap?: number}} [options] cap: default 10000 @returns {{paths: LatticePath[], complete: boolean}} paths: ids and scores; complete: that is all of them */
  enumerate({ cap = 10000 } = {}) {
    const { paths, complete } = this.#paths('ENUMERATE', checkNumber('cap', cap, 0, 2 ** 24, true));
    return { paths: paths.map(({ ids, score }) => ({ ids, score })), complete };
  }
  /**
   * Segmentations drawn with probability proportional to exp(theta x score); theta = 0: all equally likely.
   * @param {number} [k] how many, default 1
   * @param {{theta?: number, seed?: number, distinct?: boolean}} [options] distinct: without replacement (Gumbel-top-k, Kool et al. 2019); each then has `inclusion`, the probability to be
   *   among the samples given the threshold, which makes sums of f(path) p(path) / inclusion unbiased
   * @returns {(LatticePath & {inclusion?: number})[]} @throws {MicrotomeError} EMISSING: there is no segmentation
   */
  sample(k = 1, options = {}) {
    checkOptions('sample', options, ['theta', 'seed', 'distinct']);
    checkNumber('sample', k, 1, 2 ** 24, true);
    const { theta = 1, seed = Math.floor(Math.random() * 2 ** 53), distinct = false } = options;
    const { paths } = this.#paths(distinct ? 'DISTINCT' : 'SAMPLE', k, checkNumber('theta', theta, -1e6, 1e6), seed);
    return distinct ? paths : paths.map(({ ids, score }) => ({ ids, score }));
  }

  /** Can be called again; other calls throw ESTATE afterwards. */
  dispose() {
    if (!this.#at) return;
    FINALIZED.unregister(this);
    this.#heap.exports.lattice_free(this.#at);
    this.#at = 0;
  }
}
if (Symbol.dispose) Object.defineProperty(Lattice.prototype, Symbol.dispose, { value: Lattice.prototype.dispose, configurable: true, writable: true });
