// Words as Huffman codes (Wolleb et al., EAMT 2023): frequent words get short strings of digits, and no two words share meaning through shared parts.
import { Heap, MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';

/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */

const FINALIZED = new FinalizationRegistry((/** @type {{heap: Heap, at: number}} */ { heap, at }) => heap.exports.huffman_free(at));

/**
 * A code for the words of a tokenizer's pipeline (what its normalizer and splitter leave; added tokens are text). Words that the code does not know are an escape code word and then their characters.
 *
 *   const code = HuffmanCode.train(tokenizer, texts, { arity: 8 });
 *   const { ids } = tokenizer.encode(text, { segmenter: code }); // digits 0..7
 *   code.decode(ids);
 *
 * Free it with dispose() (or `using`); else that happens when it is collected.
 */
export class HuffmanCode {
  /** @type {Heap} */ #heap;
  #at;
  /** Number of digits. */ arity;

  /** Use HuffmanCode.train. @param {Heap} heap @param {number} at @param {number} arity @internal */
  constructor(heap, at, arity) {
    if (!(heap instanceof Heap)) throw new MicrotomeError('use HuffmanCode.train()', { code: 'ESTATE' });
    this.#heap = heap;
    this.#at = at;
    this.arity = arity;
    FINALIZED.register(this, { heap, at }, this);
  }

  /**
   * A code made from the words of texts.
   * @param {Tokenizer} tokenizer its normalizer and splitter make the words @param {Iterable<string | Uint8Array>} texts
   * @param {{arity?: number, escapes?: number}} [options] arity: digits, 2..65536, default 2; escapes: how many unknown words are expected, against the counts of the texts, default 1
   * @returns {HuffmanCode} @throws {MicrotomeError} ERANGE, ENOMEM
   */
  static train(tokenizer, texts, options = {}) {
    checkOptions('HuffmanCode.train', options, ['arity', 'escapes']);
    const arity = checkNumber('arity', options.arity ?? 2, 2, 65536, true), escapes = checkNumber('escapes', options.escapes ?? 1, 0, Number.MAX_SAFE_INTEGER, true);
    const { heap, at: tok } = tokenizer.core();
    const at = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('huffman_new', out);
      return heap.u32(out);
    });
    const code = new HuffmanCode(heap, at, arity);
    try {
      for (const text of texts)
        heap.scope((alloc) => {
          if (typeof text !== 'string' && !(text instanceof Uint8Array)) throw new MicrotomeError(`HuffmanCode.train: a string or a Uint8Array is needed, got ${text === null ? 'null' : typeof text}`, { code: 'ERANGE' });
          const bytes = typeof text === 'string' ? heap.encoder.encode(text) : text;
          const place = alloc(bytes.length + 1);
          heap.putBytes(place, bytes);
          heap.call('huffman_count', at, tok, place, bytes.length);
        });
      heap.call('huffman_make', at, escapes, arity);
    } catch (error) {
      code.dispose();
      throw error;
    }
    return code;
  }

  /** Address of the code, for encode. @param {Heap} heap the tokenizer's @returns {number} @internal */
  core(heap) {
    if (!this.#at) throw disposed('this Huffman code');
    if (heap !== this.#heap) throw new MicrotomeError('this Huffman code was made with a tokenizer of another runtime', { code: 'ESTATE' });
    return this.#heap.exports.huffman_code(this.#at);
  }

  /** The words' bytes, joined. @param {Iterable<number>} ids digits @returns {Uint8Array} @throws {MicrotomeError} EFORMAT: they end inside a code word, or spell none */
  decodeBytes(ids) {
    if (!this.#at) throw disposed('this Huffman code');
    const heap = this.#heap, list = Int32Array.from(ids);
    const buffer = heap.make('mt_buf');
    try {
      return heap.scope((alloc) => {
        const at = alloc(4 * list.length + 4);
        heap.putInts(at, list);
        heap.call('huffman_decode', this.#at, at, list.length, buffer);
        const { data, len } = heap.read('mt_buf', buffer);
        return heap.bytes(data, len);
      });
    } finally {
      heap.exports.buf_free(buffer);
      heap.release(buffer);
    }
  }

  /** The words joined: the normalized text. @param {Iterable<number>} ids digits @returns {string} */
  decode(ids) {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.decodeBytes(ids));
  }

  /** Can be called again; other calls throw ESTATE afterwards. */
  dispose() {
    if (!this.#at) return;
    FINALIZED.unregister(this);
    this.#heap.exports.huffman_free(this.#at);
    this.#at = 0;
  }
}
if (Symbol.dispose) Object.defineProperty(HuffmanCode.prototype, Symbol.dispose, { value: HuffmanCode.prototype.dispose, configurable: true, writable: true });
