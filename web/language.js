// Languages of tokens: which sequences spell a text that an expression matches, which are what the encoder itself would give, and what may follow.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';

/** @typedef {import('./runtime/heap.js').Heap} Heap */
/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */

const FINALIZED = new FinalizationRegistry((/** @type {{heap: Heap, at: number}} */ { heap, at }) => heap.exports.language_free(at));

/**
 * An automaton over tokens, built as far as it is walked. States are numbers; 0 is the start.
 *
 *   using digits = new TokenLanguage(tokenizer, { pattern: '[0-9]+(,[0-9]{3})*' });
 *   let state = 0;
 *   while (!digits.accepts(state)) {
 *     const allowed = digits.allowed(state); // allowed[id]: 1 or 0; a mask for a model's next token
 *     ...
 *     state = digits.next(state, id);
 *   }
 *
 * `canonical` keeps to sequences that byte-pair merging gives for what they spell. That is decided by neighbours, inside one word as the splitter leaves it: splitters,
 * added tokens, byte fallback and ignore_merges are no part of it (isCanonical asks the whole tokenizer).
 */
export class TokenLanguage {
  /** @type {Heap} */ #heap;
  /** @type {number} */ #at;
  /** @type {number} */ #size;
  /** @type {Tokenizer} */ #tokenizer; // must not be collected before

  /**
   * @param {Tokenizer} tokenizer @param {{pattern?: string, canonical?: boolean}} [options] pattern: an expression (as in tokenizer definitions) that the whole text must match; default: any text. canonical: only sequences that byte-pair merging gives, default false
   * @throws {MicrotomeError} EFORMAT, EUNKNOWN: the expression is wrong or no automaton (look-behind...). EUNKNOWN: `canonical` needs byte-pair encoding
   */
  constructor(tokenizer, options = {}) {
    checkOptions('TokenLanguage', options, ['pattern', 'canonical']);
    const { pattern = '', canonical = false } = options;
    if (typeof pattern !== 'string') throw new MicrotomeError('TokenLanguage: pattern must be a string', { code: 'ERANGE' });
    const { heap, at: tok } = tokenizer.core();
    this.#heap = heap;
    this.#size = tokenizer.vocabSize;
    this.#tokenizer = tokenizer;
    this.#at = heap.scope((alloc) => {
      const bytes = heap.encoder.encode(pattern), place = alloc(bytes.length + 1), out = alloc(4);
      heap.putBytes(place, bytes);
      heap.call('language_new', tok, place, bytes.length, Number(canonical), out);
      return heap.u32(out);
    });
    FINALIZED.register(this, { heap, at: this.#at }, this);
  }

  #live() {
    if (!this.#at) throw disposed('this language');
    this.#tokenizer.core();
    return this.#heap;
  }

  /** The start. */
  get start() { return 0; }
  /** States met so far. @returns {number} */
  get states() { return this.#live().exports.language_states(this.#at); }

  /** @param {number} state @param {number} id @returns {number | null} the state after the token; null: no sequence of the language goes on so @throws {MicrotomeError} ERANGE: no such state, no such id */
  next(state, id) {
    const heap = this.#live();
    const next = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('language_next', this.#at, Number.isInteger(state) ? state : -1, Number.isInteger(id) ? id : -1, out);
      return heap.u32(out) | 0;
    });
    return next < 0 ? null : next;
  }

  /** What may come. @param {number} state as next gave it @returns {Uint8Array} one entry for each id: 1 when some sequence of the language goes on with that token */
  allowed(state) {
    const heap = this.#live();
    return heap.scope((alloc) => {
      const mask = alloc(this.#size + 1), count = alloc(4);
      heap.call('language_allowed', this.#at, Number.isInteger(state) ? state : -1, mask, count);
      return heap.bytes(mask, this.#size);
    });
  }

  /** May the sequence end here? @param {number} state as next gave it @returns {boolean} */
  accepts(state) {
    const heap = this.#live();
    return heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('language_accepts', this.#at, Number.isInteger(state) ? state : -1, out);
      return heap.u32(out) === 1;
    });
  }

  /** Is the whole sequence in the language? @param {Iterable<number>} ids @returns {boolean} */
  matches(ids) {
    /** @type {number | null} */ let state = 0;
    for (const id of ids) if ((state = this.next(state, id)) === null) return false;
    return this.accepts(state);
  }

  /**
   * How many sequences of the language spell exactly 0, 1, ... n bytes; 2^64 - 1 stands for that many or more.
   * @param {number} n @returns {bigint[]} @throws {MicrotomeError} ELIMIT: the automaton has too many transitions to count over (large vocabularies)
   */
  count(n) {
    const heap = this.#live();
    checkNumber('count', n, 0, 2 ** 20, true);
    return heap.scope((alloc) => {
      const out = alloc(8 * (n + 1));
      heap.call('language_count', this.#at, n, out);
      return Array.from({ length: n + 1 }, (_, i) => heap.view.getBigUint64(out + 8 * i, true));
    });
  }

  /**
   * The way back: what the language's sequences spell, as the smallest automaton over bytes, its states numbered as a walk breadth first meets them. Two languages spell the same texts exactly when
   * these are equal: for one pattern they are, whatever the tokenizer, canonical or not.
   * @param {{limit?: number}} [options] limit: states at most on the way, default 10000
   * @returns {{states: number, accepts: Uint8Array, next: Int32Array}} accepts: 1 where a text may end; next[256 * state + byte]: the state after it, -1: none @throws {MicrotomeError} ELIMIT
   */
  bytes(options = {}) {
    checkOptions('bytes', options, ['limit']);
    const heap = this.#live(), limit = checkNumber('limit', options.limit ?? 10000, 1, 2 ** 22, true);
    const at = heap.make('mt_byte_automaton');
    try {
      heap.call('language_bytes', this.#at, limit, at);
      const { states, next, accepts } = heap.read('mt_byte_automaton', at);
      return { states, accepts: heap.bytes(accepts, states), next: heap.ints(next, 256 * states) };
    } finally {
      heap.exports.byte_automaton_free(at);
      heap.release(at);
    }
  }

  /** Can be called again; other calls throw ESTATE afterwards. */
  dispose() {
    if (!this.#at) return;
    FINALIZED.unregister(this);
    this.#heap.exports.language_free(this.#at);
    this.#at = 0;
  }
}
if (Symbol.dispose) Object.defineProperty(TokenLanguage.prototype, Symbol.dispose, { value: TokenLanguage.prototype.dispose, configurable: true, writable: true });
