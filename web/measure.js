// What a tokenizer does to texts, in numbers, and two tokenizers beside each other. docs/measures.md has the formulas with their sources.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';

/** @typedef {import('./runtime/heap.js').Heap} Heap */
/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */
/**
 * Sums and ratios over the texts added so far. A ratio over nothing is 0.
 * @typedef {object} Measures
 * @property {number} texts @property {number} tokens @property {number} unknown tokens that are the unknown one
 * @property {number} bytes of UTF-8 @property {number} characters code points @property {number} words maximal runs of characters that are not white space
 * @property {number} wordTokens tokens that touch a word, once for each word @property {number} continuedWords words of more than one token
 * @property {number} fertility tokens / words @property {number} continued share of the words that have more than one token @property {number} compression bytes / token
 * @property {number} closeness tokens / characters: 1 is the character level @property {number} unknownRate unknown tokens / tokens @property {number} used share of the vocabulary's ids that occurred
 * @property {number} entropy of the tokens' distribution, in nats
 */

const FINALIZED = new FinalizationRegistry((/** @type {{heap: Heap, at: number}} */ { heap, at }) => heap.exports.measure_free(at));

/**
 * Measures a tokenizer on texts.
 *
 *   const measure = new Measure(tokenizer);
 *   for (const line of lines) measure.add(line);
 *   const { fertility, compression } = measure.read();
 *
 * Free it with dispose() (or `using`); else that happens when it is collected.
 */
export class Measure {
  /** @type {Heap} */ #heap;
  /** @type {number} */ #at;
  #tokenizer;

  /** @param {Tokenizer} tokenizer it must live as long as texts are added */
  constructor(tokenizer) {
    const { heap, at } = tokenizer.core();
    this.#heap = heap;
    this.#tokenizer = tokenizer;
    this.#at = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('measure_new', at, out);
      return heap.u32(out);
    });
    FINALIZED.register(this, { heap, at: this.#at }, this);
  }

  #live() {
    if (!this.#at) throw disposed('this measure');
    return this.#heap;
  }

  /** For other functions of this file. @returns {{heap: Heap, at: number}} @internal */
  core() {
    return { heap: this.#live(), at: this.#at };
  }

  /**
   * Encodes a text and counts what comes out. No special tokens are added around it.
   * @param {string | Uint8Array} text @param {{specialAsText?: boolean}} [options] @returns {number} its tokens @throws {MicrotomeError} ERANGE: it is no text; as Tokenizer.encode
   */
  add(text, options = {}) {
    checkOptions('add', options, ['specialAsText']);
    const heap = this.#live();
    if (typeof text !== 'string' && !(text instanceof Uint8Array)) throw new MicrotomeError(`a text must be a string or a Uint8Array, got ${text === null ? 'null' : typeof text}`, { code: 'ERANGE' });
    const bytes = typeof text === 'string' ? heap.encoder.encode(text) : text;
    return heap.scope((alloc) => {
      const at = alloc(bytes.length + 1), out = alloc(4);
      heap.putBytes(at, bytes);
      heap.call('measure_text', this.#at, this.#tokenizer.core().at, at, bytes.length, Number(options.specialAsText ?? this.#tokenizer.specialIsText), out);
      return heap.u32(out);
    });
  }

  #raw() {
    const heap = this.#live();
    return heap.scope((alloc) => {
      const at = alloc(heap.sizeOf('abi_measures'));
      heap.call('measure_read', this.#at, at);
      return heap.read('abi_measures', at);
    });
  }

  /** What the texts so far amount to. @returns {Measures} */
  read() {
    const m = this.#raw();
    return {
      texts: m.sentences, tokens: m.tokens, unknown: m.unknown, bytes: m.bytes, characters: m.characters, words: m.words, wordTokens: m.word_tokens, continuedWords: m.continued,
      fertility: m.fertility, continued: m.continued_share, compression: m.compression, closeness: m.closeness, unknownRate: m.unknown_share, used: m.used, entropy: m.entropy,
    };
  }

  /**
   * Rényi efficiency (Zouhar et al. 2023): the Rényi entropy of the tokens' distribution over ln(vocabulary size).
   * @param {number} [alpha] the order; default 2.5. 1: Shannon's entropy; Infinity: minus the logarithm of the likeliest token's share
   * @returns {number} 0..1 @throws {MicrotomeError} ERANGE: alpha is below 0
   */
  efficiency(alpha = 2.5) {
    if (!(alpha >= 0)) throw new MicrotomeError(`efficiency: alpha: ${alpha} is not a number of at least 0`, { code: 'ERANGE' });
    return this.#live().exports.measure_efficiency(this.#at, alpha);
  }

  /** How often each id occurred. @returns {Float64Array} by id; exact below 2^53 */
  counts() {
    const { count, size } = this.#raw();
    const pairs = new Uint32Array(this.#heap.ints(count, 2 * size).buffer);
    return Float64Array.from({ length: size }, (_, i) => pairs[2 * i] + 2 ** 32 * pairs[2 * i + 1]);
  }

  /** Ids that occurred, the most frequent first, of equals the smaller id. @returns {Int32Array} */
  ranking() {
    const heap = this.#live();
    return heap.scope((alloc) => {
      const at = alloc(4 * this.#tokenizer.vocabSize + 4);
      return heap.ints(at, heap.exports.measure_ranking(this.#at, at));
    });
  }

  /**
   * Lengths of the tokens in bytes, weighted by occurrence. @param {number} [longest] default 32
   * @returns {number[]} entry k: tokens of k bytes; the last entry: those of at least `longest`
   */
  lengths(longest = 32) {
    checkNumber('longest', longest, 1, 2 ** 20, true);
    const heap = this.#live();
    return heap.scope((alloc) => {
      const at = alloc(8 * (longest + 1));
      heap.exports.measure_lengths(this.#at, this.#tokenizer.core().at, at, longest + 1);
      heap.refresh();
      return Array.from({ length: longest + 1 }, (_, k) => Number(heap.view.getBigUint64(at + 8 * k, true)));
    });
  }

  /**
   * Candidates for under-trained tokens: ordinary ones that occurred `atMost` times or less. In a sample of what a model was trained on, that a token is missing says only that
   * it is rare there; a model's embeddings say more (Land & Bartolo 2024).
   * @param {number} [atMost] default 0 @returns {{id: number, count: number}[]} the rarest first, of equals the smaller id. Unreachable tokens (see unreachableTokens) are among them
   */
  rare(atMost = 0) {
    checkNumber('atMost', atMost, 0, Number.MAX_SAFE_INTEGER, true);
    const counts = this.counts(), out = [];
    for (const { id, kind } of this.#tokenizer.tokens()) if (kind === 'normal' && counts[id] <= atMost) out.push({ id, count: counts[id] });
    return out.sort((a, b) => a.count - b.count || a.id - b.id);
  }

  /** Can be called again; other calls throw ESTATE afterwards. */
  dispose() {
    if (!this.#at) return;
    FINALIZED.unregister(this);
    this.#heap.exports.measure_free(this.#at);
    this.#at = 0;
  }
}
if (Symbol.dispose) Object.defineProperty(Measure.prototype, Symbol.dispose, { value: Measure.prototype.dispose, configurable: true, writable: true });

/** @param {Heap} a @param {Heap} b */
function sameHeap(a, b) {
  if (a !== b) throw new MicrotomeError('the two were loaded into different modules: load them with the same options', { code: 'ESTATE' });
  return a;
}

/**
 * Jensen–Shannon divergence of the token distributions of two measures of one tokenizer, in bits: 0 (the same) to 1 (nothing in common).
 * @param {Measure} a @param {Measure} b @returns {number}
 */
export function divergence(a, b) {
  const { heap, at } = a.core(), other = b.core();
  return sameHeap(heap, other.heap).exports.measure_divergence(at, other.at);
}

/**
 * Fairness between languages (Petrov et al. 2023) on parallel sentences: text i of `a` says what text i of `b` says.
 * @param {Tokenizer} tokenizer @param {Iterable<string | Uint8Array>} a @param {Iterable<string | Uint8Array>} b the reference, English in the paper
 * @returns {{parity: number, premium: number, bytePremium: number, characterPremium: number, sentences: number}} parity: mean over sentences of tokens(a) / tokens(b), those where b has none
 *   left out; premium: tokens of all of a / tokens of all of b; bytePremium, characterPremium: the same for bytes of UTF-8 and for characters, which no tokenizer causes
 * @throws {MicrotomeError} ERANGE: not as many texts here as there
 */
export function parity(tokenizer, a, b) {
  const x = new Measure(tokenizer), y = new Measure(tokenizer);
  try {
    const left = Array.from(a, (text) => x.add(text)), right = Array.from(b, (text) => y.add(text));
    if (left.length !== right.length) throw new MicrotomeError(`parity: ${left.length} texts against ${right.length}: parallel texts come in pairs`, { code: 'ERANGE' });
    const pairs = left.map((n, i) => [n, right[i]]).filter(([, n]) => n);
    const sum = (/** @type {number} */ total, /** @type {number} */ n) => total + n;
    const ratio = (/** @type {number} */ n, /** @type {number} */ m) => (m ? n / m : 0);
    const all = x.read(), other = y.read();
    return {
      parity: ratio(pairs.map(([n, m]) => n / m).reduce(sum, 0), pairs.length), premium: ratio(all.tokens, other.tokens), bytePremium: ratio(all.bytes, other.bytes),
      characterPremium: ratio(all.characters, other.characters), sentences: left.length,
    };
  } finally {
    x.dispose();
    y.dispose();
  }
}

/**
 * Ordinary tokens (not special, added or byte-fallback ones) that the segmenter never gives: of the very word that the token spells it makes other tokens. What the splitter does to the token's text
 * does not count.
 * @param {Tokenizer} tokenizer @returns {Int32Array} ids @throws {MicrotomeError} EUNKNOWN: BPE whose symbols depend on their place in the word (`</w>`)
 */
export function unreachableTokens(tokenizer) {
  const { heap, at } = tokenizer.core();
  const list = heap.make('mt_ids');
  try {
    heap.call('tok_unreachable', at, list);
    const { data, len } = heap.read('mt_ids', list);
    return heap.ints(data, len);
  } finally {
    heap.exports.ids_free(list);
  }
}

/**
 * Strings that two vocabularies have in common, as bytes (special tokens left out; each string counts once).
 * @param {Tokenizer} a @param {Tokenizer} b
 * @returns {{a: number, b: number, both: number, jaccard: number}} a, b, both: how many strings; jaccard: both / either
 */
export function vocabularyOverlap(a, b) {
  const { heap, at } = a.core(), other = b.core();
  sameHeap(heap, other.heap);
  return heap.scope((alloc) => {
    const out = alloc(heap.sizeOf('mt_overlap'));
    heap.call('tok_overlap', at, other.at, out);
    const { a: x, b: y, both, jaccard } = heap.read('mt_overlap', out);
    return { a: x, b: y, both, jaccard };
  });
}

/** @typedef {{begin: number, end: number, a: [number, number], b: [number, number]}} AlignedGroup bytes of the text; a, b: positions in the ids, from and to (not included) */
/**
 * Two tokenizations of one text side by side: the smallest groups of tokens of each that cover the same bytes.
 * @param {Tokenizer} a @param {Tokenizer} b @param {string | Uint8Array} text
 * @returns {{a: Int32Array, b: Int32Array, groups: AlignedGroup[], same: number, precision: number, recall: number, f1: number}} a, b: ids; same: groups of one token each;
 *   precision, recall: share of b's (of a's) inner boundaries that the other has too, 1 where there are none; f1: their harmonic mean
 */
export function alignTokenizations(a, b, text) {
  const [x, y] = [a, b].map((tokenizer) => {
    const { ids, offsets } = tokenizer.encode(text, { offsets: 'bytes' });
    let last = 0;
    return { ids, ends: Array.from(ids, (_, i) => (last = Math.max(last, /** @type {Uint32Array} */ (offsets)[2 * i + 1]))) };
  });
  const n = Math.max(x.ends.at(-1) ?? 0, y.ends.at(-1) ?? 0);
  /** @type {AlignedGroup[]} */ const groups = [];
  const after = (/** @type {number[]} */ ends, /** @type {number} */ from, /** @type {number} */ end) => {
    while (from < ends.length && ends[from] <= end) from++;
    return from;
  };
  const stops = new Set(y.ends);
  for (let i = 0, j = 0, begin = 0; i < x.ends.length; ) {
    let end = x.ends[i];
    while (!stops.has(end) && end < n) end = x.ends[after(x.ends, i, end)] ?? n;
    const to = after(x.ends, i, end), until = after(y.ends, j, end);
    groups.push({ begin, end, a: [i, to], b: [j, until] });
    [i, j, begin] = [to, until, end];
    if (i === x.ends.length && j < y.ends.length) groups.push({ begin, end: n, a: [i, i], b: [j, y.ends.length] });
  }
  if (!x.ends.length && y.ends.length) groups.push({ begin: 0, end: n, a: [0, 0], b: [0, y.ends.length] });
  const inner = (/** @type {number[]} */ ends) => new Set(ends.filter((end) => end > 0 && end < n));
  const p = inner(x.ends), q = inner(y.ends);
  const both = [...p].filter((end) => q.has(end)).length;
  const precision = q.size ? both / q.size : 1, recall = p.size ? both / p.size : 1;
  return {
    a: x.ids, b: y.ids, groups, same: groups.filter((g) => g.a[1] - g.a[0] === 1 && g.b[1] - g.b[0] === 1).length,
    precision, recall, f1: precision + recall ? (2 * precision * recall) / (precision + recall) : 0,
  };
}
