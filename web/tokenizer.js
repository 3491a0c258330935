// Tokenizers, in the caller's thread: calls return at once.
import { Heap, MicrotomeError, throwIfAborted } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { RUNTIME_OPTIONS, loadHeap } from './runtime/load.js';
import { Gathered, openUnpacked, wholeFile } from './runtime/gzip.js';
import { toSource } from './runtime/source.js';
import { Lattice } from './lattice.js';
import { SEGMENTER_OPTIONS, choiceOf } from './segmenters.js';

/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./runtime/source.js').AnySource} AnySource */
/** @typedef {'normal' | 'unknown' | 'special' | 'user' | 'unused' | 'byte' | 'hole'} TokenKind */
/** @typedef {{id: number, bytes: Uint8Array, piece: string, kind: TokenKind}} Token bytes: what the token decodes to; piece: as the definition writes it; hole: no such token */
/**
 * @typedef {object} LoadOptions
 * @property {AbortSignal} [signal]
 * @property {string} [name] of the vocabulary ("cl100k_base"), which decides what the file does not say. Default: the file's name
 * @property {string} [pattern] splitting expression, for rank files and vocab.json. Default: by the name
 * @property {AnySource} [merges] merges.txt, for vocab.json
 * @property {boolean} [lowercase] for vocab.txt. Default: judged by the vocabulary
 * @property {'hf' | 'sentencepiece'} [ties] of Unigram, which of two segmentations with the same score: as the tokenizers library takes it, which adds in double precision, or as SentencePiece does, which keeps
 *   sums in single precision. Default: as the library that reads this format
 */
/** @typedef {import('./segmenters.js').SegmenterOptions} SegmenterOptions */
/** @typedef {BasicEncodeOptions & SegmenterOptions} EncodeOptions */
/**
 * @typedef {object} VariantOptions
 * @property {boolean} [specialAsText] as for encode
 * @property {'utf16' | 'bytes' | false} [offsets] as for encode
 * @property {'scores' | 'uniform' | ArrayLike<number>} [weights] of tokens, summed for a segmentation's score: 'scores' (default): the vocabulary's, 0 where it has none; 'uniform': all 0; or one number for each id
 */
/**
 * @typedef {object} BasicEncodeOptions
 * @property {string | Uint8Array} [pair] a second text: both become one input, as the definition's template for pairs has it (a question and an answer...). Where the definition has none, one follows the
 *   other, each with what stands around a single text
 * @property {boolean} [typeIds] give `typeIds` and `sequences` for a single text too. Default: with `pair`
 * @property {boolean} [addSpecialTokens] run the definition's template (beginning and end of text...). Default false: the ids of your text and nothing else
 * @property {boolean} [specialAsText] text that spells a special token (`<|endoftext|>`) is ordinary text. Default: as the library does that the definition is made for: false (it becomes that token), but true
 *   for tiktoken's rank files
 * @property {'all' | 'none' | string[]} [allowedSpecial] the same with a choice: special tokens that the text may spell; the others' texts are ordinary text. Not with specialAsText
 * @property {'all' | string[]} [disallowedSpecial] an error where the text spells one of these ('all': one that is not allowed), as tiktoken does of itself. Default: none
 * @property {'utf16' | 'bytes' | false} [offsets] unit of the offsets. Default: 'utf16' (indices into the string) for strings, 'bytes' for bytes
 */
/**
 * @typedef {object} Encoding
 * @property {Int32Array} ids
 * @property {Uint32Array | null} offsets begin and end of each token in the input, one pair after the other; null with `offsets: false`.
 *   Tokens that were added have begin = end. Where a character is spread over several tokens, UTF-16 offsets cover the whole character.
 *   With a pair they count in the text that the token is of.
 * @property {Uint32Array} [typeIds] with `pair` or `typeIds`: each token's segment id, which models take ("token type ids")
 * @property {Int8Array} [sequences] with `pair` or `typeIds`: the text that each token is of, 0 or 1; -1: the template's
 */

const COUNT_OPTIONS = ['addSpecialTokens', 'specialAsText', 'allowedSpecial', 'disallowedSpecial', 'pair', ...SEGMENTER_OPTIONS];
const ENCODE_OPTIONS = [...COUNT_OPTIONS, 'typeIds', 'offsets'];

const FINALIZED = new FinalizationRegistry((/** @type {{heap: Heap, at: number[]}} */ { heap, at }) => freeTokenizer(heap, at));
/** @param {Heap} heap @param {number[]} at tokenizer, encoding, buffer */
function freeTokenizer(heap, [tok, encoding, buffer]) {
  heap.exports.tok_free(tok);
  heap.exports.encoding_free(encoding);
  heap.exports.buf_free(buffer);
  heap.release(buffer);
}

const MAX_BYTES = 2 ** 31 - 2; // of one text: the core's limit

/**
 * @param {any} kind the class that was asked: a subclass may name its module (microtome/tokens, microtome/core); none where its method was called on its own
 * @param {RuntimeOptions} options
 */
const heapOf = (kind, options) => loadHeap({ ...options, ...kind?.runtime });

/**
 * A tokenizer made from its definition.
 *
 *   const tok = await Tokenizer.load('tokenizer.json');
 *   const { ids, offsets } = tok.encode('tokenization');
 */
export class Tokenizer {
  /** @type {Heap} */ #heap;
  #tok;
  #encoding;
  #buffer;
  #text = 0; // scratch for input text
  #textBytes = 0;
  #info;
  /** The last list of allowedSpecial, as the core has it. @type {string | null} */ #allowed = null;
  /** @type {Map<string, number> | null} */ #special = null;

  /**
   * Loads a definition; its kind is recognised from the bytes: Hugging Face `tokenizer.json`, GGUF (only its header is read), SentencePiece
   * `.model`, tiktoken rank files, BERT's `vocab.txt`, GPT-2's `vocab.json` with `merges.txt`, the RWKV and llama2.c vocabularies; and the binary
   * form that toBinary() gives. A file that gzip has compressed is unpacked.
   * @param {AnySource} source URL, File, Blob, ArrayBuffer or typed array, stream; in Node also a path
   * @param {LoadOptions & RuntimeOptions} [options]
   * @returns {Promise<Tokenizer>}
   * @throws {MicrotomeError} EHTTP, EIO: it cannot be read; EFORMAT, EUNKNOWN, EMISSING: it is not a definition that we know. AbortError when aborted
   */
  static async load(source, options = {}) {
    checkOptions('Tokenizer.load', options, ['signal', 'name', 'pattern', 'merges', 'lowercase', 'ties', ...RUNTIME_OPTIONS]);
    const { signal, merges, ties } = options;
    if (ties !== undefined && ties !== 'hf' && ties !== 'sentencepiece') throw new MicrotomeError(`Tokenizer.load: unknown ties ${JSON.stringify(ties)}: known are hf, sentencepiece`, { code: 'EUNKNOWN' });
    const from = toSource(source);
    const [heap, opened, more] = await Promise.all([heapOf(this, options), openUnpacked(from, signal), merges === undefined ? null : wholeFile(toSource(merges), signal)]);
    const tokenizer = await named(opened.name, async () => {
      const bytes = new Gathered(opened.size);
      const chunks = opened.chunks[Symbol.asyncIterator]();
      let need = MAGIC.length;
      let gguf = false;
      try {
        for (let next; !(next = await chunks.next()).done;) {
          bytes.add(next.value);
          if (bytes.length < need) continue;
          if (bytes.startsWith(MAGIC)) return await fromBinary(this ?? Tokenizer, heap, bytes, chunks, opened.size, signal);
          gguf ||= bytes.startsWith('GGUF');
          if (!gguf) {
            need = Infinity; // all of it
            continue;
          }
          const made = fromHeader(this ?? Tokenizer, heap, bytes.all(), opened.size);
          if (typeof made !== 'number') return made;
          need = made;
        }
      } finally {
        await chunks.return?.();
      }
      throwIfAborted(signal);
      if (gguf) {
        // The file ended inside its header: let the parser say where.
        const made = fromHeader(this ?? Tokenizer, heap, bytes.all(), bytes.length);
        if (typeof made !== 'number') return made;
        throw new MicrotomeError(`GGUF: the header goes on to byte ${made}, the file ends at ${bytes.length}`, { code: 'EFORMAT', details: { offset: bytes.length } });
      }
      return fromDefinition(this ?? Tokenizer, heap, bytes.all(), { ...options, name: options.name ?? opened.name }, more);
    });
    if (ties !== undefined) heap.call('tok_set_ties', tokenizer.#tok, Number(ties === 'sentencepiece'));
    return tokenizer;
  }

  /**
   * The binary form that toBinary() gave: the same tokenizer, in milliseconds, since its tables are ready-made. (Tokenizer.load knows the form too; this refuses everything else.)
   * @param {AnySource} source URL, File, Blob, ArrayBuffer or typed array, stream; in Node also a path
   * @param {{signal?: AbortSignal} & RuntimeOptions} [options]
   * @returns {Promise<Tokenizer>}
   * @throws {MicrotomeError} EHTTP, EIO: it cannot be read; EUNKNOWN: it is no binary tokenizer, or one of another version; EFORMAT: it is damaged. AbortError when aborted
   */
  static async fromBinary(source, options = {}) {
    checkOptions('Tokenizer.fromBinary', options, ['signal', ...RUNTIME_OPTIONS]);
    const { signal } = options;
    const [heap, opened] = await Promise.all([heapOf(this, options), openUnpacked(toSource(source), signal)]);
    return named(opened.name, async () => {
      const bytes = new Gathered(opened.size);
      const chunks = opened.chunks[Symbol.asyncIterator]();
      try {
        for (let next; bytes.length < MAGIC.length && !(next = await chunks.next()).done;) bytes.add(next.value);
        if (!bytes.startsWith(MAGIC)) throw new MicrotomeError('not a binary tokenizer (Tokenizer.load reads the other forms)', { code: 'EUNKNOWN' });
        return await fromBinary(this ?? Tokenizer, heap, bytes, chunks, opened.size, signal);
      } finally {
        await chunks.return?.();
      }
    });
  }

  /**
   * Tokenizers that need no file. @param {'byt5' | 'canine'} name bytes (ByT5) or code points (CANINE) as ids
   * @param {{signal?: AbortSignal} & RuntimeOptions} [options] @returns {Promise<Tokenizer>} @throws {MicrotomeError} EUNKNOWN: another name
   */
  static async builtin(name, options = {}) {
    checkOptions('Tokenizer.builtin', options, ['signal', ...RUNTIME_OPTIONS]);
    if (name !== 'byt5' && name !== 'canine') throw new MicrotomeError(`unknown tokenizer ${JSON.stringify(name)}: known are byt5, canine`, { code: 'EUNKNOWN' });
    return fromDefinition(this ?? Tokenizer, await heapOf(this, options), new Uint8Array(0), { name }, null);
  }

  /**
   * Use Tokenizer.load. @param {Heap} heap @param {number} at handle, owned from here on
   * @internal
   */
  constructor(heap, at) {
    if (!(heap instanceof Heap)) throw new MicrotomeError('use Tokenizer.load()', { code: 'ESTATE' });
    this.#heap = heap;
    this.#tok = at;
    this.#encoding = heap.make('mt_encoding');
    this.#buffer = heap.make('mt_buf');
    this.#info = heap.scope((alloc) => {
      const out = alloc(heap.sizeOf('abi_tok_info'));
      heap.call('tok_info', at, out);
      const { size, bos, eos, model_name, warnings, special_is_text: specialIsText } = heap.read('abi_tok_info', out);
      return { size, bos, eos, specialIsText: !!specialIsText, model: heap.cstring(model_name), warnings: heap.cstring(warnings).split('\n').filter(Boolean) };
    });
    FINALIZED.register(this, { heap, at: [at, this.#encoding, this.#buffer] }, this);
  }

  #live() {
    if (!this.#tok) throw disposed('this tokenizer');
    return this.#heap;
  }

  /** For other files of this package. @returns {{heap: Heap, at: number}} @internal */
  core() {
    return { heap: this.#live(), at: this.#tok };
  }

  /**
   * This tokenizer as one file that loads in milliseconds: Tokenizer.fromBinary and Tokenizer.load take it. It belongs to the version of the format
   * that this package writes: keep the definition, and make it anew when loading refuses it.
   * @returns {Promise<Uint8Array>} about as long as a `tokenizer.json`
   * @throws {MicrotomeError} ENOMEM
   */
  async toBinary() {
    const heap = this.#live();
    const out = heap.make('mt_buf');
    try {
      heap.call('tok_to_binary', this.#tok, out);
      const { data, len } = heap.read('mt_buf', out);
      return heap.u8.slice(data, data + len);
    } finally {
      heap.exports.buf_free(out);
      heap.release(out);
    }
  }

  /** Number of ids: they are 0..vocabSize-1, with holes possible. @returns {number} */
  get vocabSize() { return this.#info.size; }
  /** Id of the beginning-of-text token, or null. @returns {number | null} */
  get bos() { return this.#info.bos < 0 ? null : this.#info.bos; }
  /** Id of the end-of-text token, or null. @returns {number | null} */
  get eos() { return this.#info.eos < 0 ? null : this.#info.eos; }
  /** Kind of the segmenter: "BPE", "Unigram"... @returns {string} */
  get model() { return this.#info.model; }
  /** What the definition says and encoding deliberately does not do (truncation, padding), one line each. @returns {string[]} */
  get warnings() { return [...this.#info.warnings]; }
  /** Is text that spells a special token ordinary text where encode is told nothing? @returns {boolean} */
  get specialIsText() { return this.#info.specialIsText; }
  /** Texts of the special tokens that a text can spell, as the definition lists them. @returns {string[]} */
  get specialTokens() { return [...this.#specialIds().keys()]; }

  #specialIds() {
    if (this.#special) return this.#special;
    const heap = this.#live(), list = heap.make('mt_ids');
    try {
      heap.call('tok_special_ids', this.#tok, list);
      const { data, len } = heap.read('mt_ids', list);
      return (this.#special = new Map(Array.from(heap.ints(data, len), (id) => [this.token(id).piece, id])));
    } finally {
      heap.exports.ids_free(list);
      heap.release(list);
    }
  }

  /** Copies the input into the module. @param {string | Uint8Array} text @returns {number} bytes at #text */
  #put(text) {
    const heap = this.#live();
    if (typeof text !== 'string' && !(text instanceof Uint8Array))
      throw new MicrotomeError(`encode: a string or a Uint8Array is needed, got ${text === null ? 'null' : typeof text}`, { code: 'ERANGE' });
    let most = text.length * (typeof text === 'string' ? 3 : 1);
    if (most > 1 << 24 && typeof text === 'string') most = utf8Length(text); // large texts: not three times what is needed
    if (most > MAX_BYTES) throw new MicrotomeError(`encode: a text of ${most} bytes is longer than ${MAX_BYTES}`, { code: 'ELIMIT' });
    if (most > this.#textBytes) {
      if (this.#text) heap.release(this.#text);
      this.#textBytes = this.#text = 0;
      const size = Math.min(MAX_BYTES, Math.max(256, most + (most >> 2)));
      this.#text = heap.alloc(size);
      this.#textBytes = size;
    }
    heap.refresh();
    if (typeof text !== 'string') {
      heap.u8.set(text, this.#text);
      return text.length;
    }
    const room = heap.u8.subarray(this.#text, this.#text + this.#textBytes);
    if (!heap.shared) return heap.encoder.encodeInto(text, room).written;
    const bytes = heap.encoder.encode(text);
    room.set(bytes);
    return bytes.length;
  }

  /**
   * What the text's special tokens become. @param {string} where @param {string | Uint8Array} text @param {EncodeOptions} options @returns {number} abi_specials
   */
  #specials(where, text, { specialAsText, allowedSpecial, disallowedSpecial }) {
    const { enums } = this.#live();
    if (specialAsText !== undefined && allowedSpecial !== undefined) throw new MicrotomeError(`${where}: specialAsText and allowedSpecial exclude each other`, { code: 'ERANGE' });
    if (allowedSpecial === undefined && disallowedSpecial === undefined) return specialAsText === undefined ? enums.ABI_SPECIALS_OWN : specialAsText ? enums.ABI_SPECIALS_TEXT : enums.ABI_SPECIALS_TOKENS;
    for (const [name, list, words] of /** @type {[string, any, string[]][]} */ ([['allowedSpecial', allowedSpecial, ['all', 'none']], ['disallowedSpecial', disallowedSpecial, ['all']]]))
      if (list !== undefined && !words.includes(list) && !(Array.isArray(list) && list.every((x) => typeof x === 'string')))
        throw new MicrotomeError(`${where}: ${name} must be ${words.map((w) => `"${w}"`).join(', ')} or a list of special tokens' texts`, { code: 'ERANGE' });
    const special = this.#specialIds(), known = [...special.keys()];
    const ids = (Array.isArray(allowedSpecial) ? allowedSpecial : []).map((token) => {
      const id = special.get(token);
      if (id === undefined) throw new MicrotomeError(`${where}: ${JSON.stringify(token)} is no special token of this tokenizer`, { code: 'EUNKNOWN' });
      return id;
    });
    const asText = allowedSpecial === 'none' || (allowedSpecial === undefined && (specialAsText ?? this.specialIsText));
    if (disallowedSpecial !== undefined) {
      const string = typeof text === 'string' ? text : decodeUtf8(text), allowed = asText ? [] : Array.isArray(allowedSpecial) ? allowedSpecial : known;
      const found = (disallowedSpecial === 'all' ? known.filter((token) => !allowed.includes(token)) : disallowedSpecial).find((token) => token && string.includes(token));
      if (found !== undefined) throw new MicrotomeError(`${where}: the text has the special token ${JSON.stringify(found)} at index ${string.indexOf(found)}, which is not allowed`, { code: 'EFORMAT', details: { token: found, index: string.indexOf(found) } });
    }
    if (!Array.isArray(allowedSpecial)) return asText ? enums.ABI_SPECIALS_TEXT : enums.ABI_SPECIALS_TOKENS;
    const key = JSON.stringify(allowedSpecial);
    if (key !== this.#allowed) {
      const heap = this.#heap;
      this.#allowed = null;
      heap.scope((alloc) => {
        const at = alloc(4 * ids.length + 4);
        heap.putInts(at, ids);
        heap.call('tok_allow', this.#tok, at, ids.length);
      });
      this.#allowed = key;
    }
    return enums.ABI_SPECIALS_ALLOWED;
  }

  /** Lets go of scratch that one very long text has made. */
  #trim() {
    if (this.#textBytes <= 1 << 24) return;
    this.#heap.release(this.#text);
    this.#text = this.#textBytes = 0;
  }

  /**
   * The tokens of a text, as the library gives them that the definition is made for.
   * @param {string | Uint8Array} text lone surrogates of a string are encoded as U+FFFD; bytes need not be valid UTF-8
   * @param {EncodeOptions} [options]
   * @returns {Encoding}
   * @throws {MicrotomeError} ELIMIT: longer than 2^31 - 2 bytes. EUNKNOWN: the segmenter does not go with this tokenizer. EMISSING: no token covers a symbol and nothing stands for it
   */
  encode(text, options = {}) {
    checkOptions('encode', options, ENCODE_OPTIONS);
    const { addSpecialTokens = false, offsets = typeof text === 'string' ? 'utf16' : 'bytes' } = options;
    if (offsets !== false && offsets !== 'utf16' && offsets !== 'bytes') throw new MicrotomeError(`encode: offsets: unknown unit ${JSON.stringify(offsets)}: known are "utf16", "bytes", false`, { code: 'EUNKNOWN' });
    if (options.pair !== undefined || options.typeIds || options.segmenter !== undefined) return this.#encodeWith('encode', text, options, offsets);
    const specials = this.#specials('encode', text, options), n = this.#put(text);
    const heap = this.#heap;
    heap.call('tok_encode', this.#tok, this.#text, n, Number(addSpecialTokens), specials, offsets === false ? 0 : isUtf16(text, n, offsets) ? 2 : 1, this.#encoding);
    const out = heap.read('mt_encoding', this.#encoding);
    const count = out['ids.len'];
    const ids = heap.ints(out['ids.data'], count);
    const spans = offsets === false ? null : new Uint32Array(new Uint32Array(heap.buffer, out.spans, 2 * count));
    this.#trim();
    return { ids, offsets: spans };
  }

  /**
   * Everything but a single text by the tokenizer's own segmenter. @param {string} where @param {string | Uint8Array} text @param {EncodeOptions} options
   * @param {'utf16' | 'bytes' | false} offsets @param {boolean} [countOnly] @returns {Encoding}
   */
  #encodeWith(where, text, options, offsets, countOnly = false) {
    const { addSpecialTokens = false, pair } = options;
    const heap = this.#live(), specials = this.#specials(where, text, options);
    if (pair !== undefined) this.#specials(where, pair, options);
    const types = !countOnly && (pair !== undefined || (options.typeIds ?? false));
    const choice = choiceOf(heap, where, options);
    return heap.scope((alloc) => {
      const n = this.#put(text);
      let second = 0, secondLength = 0;
      if (pair !== undefined) {
        if (typeof pair !== 'string' && !(pair instanceof Uint8Array)) throw new MicrotomeError(`${where}: pair: a string or a Uint8Array is needed, got ${pair === null ? 'null' : typeof pair}`, { code: 'ERANGE' });
        const bytes = typeof pair === 'string' ? heap.encoder.encode(pair) : pair;
        second = alloc(bytes.length + 1);
        heap.putBytes(second, bytes);
        secondLength = bytes.length;
      }
      heap.call('tok_encode_with', this.#tok, this.#text, n, second, secondLength, Number(addSpecialTokens), specials, (offsets === false ? 0 : 1) + (types || (offsets && second) ? 2 : 0) + (offsets === 'utf16' ? 4 : 0), choice, this.#encoding);
      const out = heap.read('mt_encoding', this.#encoding);
      const count = out['ids.len'];
      if (countOnly) return { ids: new Int32Array(count), offsets: null };
      /** @type {Encoding} */ const made = { ids: heap.ints(out['ids.data'], count), offsets: null };
      const size = heap.sizeOf('mt_token_type'), type = heap.field('mt_token_type', 'type').offset, of = heap.field('mt_token_type', 'text').offset;
      if (types) {
        made.typeIds = Uint32Array.from({ length: count }, (_, i) => heap.view.getUint32(out.types + i * size + type, true));
        made.sequences = Int8Array.from({ length: count }, (_, i) => heap.view.getInt32(out.types + i * size + of, true));
      }
      if (offsets !== false) made.offsets = new Uint32Array(new Uint32Array(heap.buffer, out.spans, 2 * count));
      this.#trim();
      return made;
    });
  }

  /** With a seed every text is drawn as it would be alone. @param {Iterable<string | Uint8Array>} texts @param {EncodeOptions} [options] @returns {Encoding[]} */
  encodeBatch(texts, options = {}) {
    return Array.from(texts, (text) => this.encode(text, options));
  }

  /**
   * @param {'NBEST' | 'SAMPLE' | 'DISTINCT'} kind @param {string | Uint8Array} text @param {number} k @param {VariantOptions} options @param {number} theta @param {number | undefined} seed
   * @returns {(Encoding & {score: number, inclusion: number})[]}
   */
  #variants(kind, text, k, options, theta, seed) {
    const { specialAsText, weights, offsets = typeof text === 'string' ? 'utf16' : 'bytes' } = options;
    if (offsets !== false && offsets !== 'utf16' && offsets !== 'bytes') throw new MicrotomeError(`offsets: unknown unit ${JSON.stringify(offsets)}: known are "utf16", "bytes", false`, { code: 'EUNKNOWN' });
    const lattice = new Lattice(this, text, { ...(weights !== undefined && { weights }), ...(specialAsText !== undefined && { specialAsText }) });
    try {
      const { at, paths } = lattice.found(kind, checkNumber('k', k, 1, 2 ** 24, true), theta, seed);
      const heap = this.#heap, n = this.#put(text);
      return paths.map(({ ids, score, inclusion }, index) => {
        if (offsets === false) return { ids, offsets: null, score, inclusion };
        heap.call('lattice_encoding', at, this.#tok, this.#text, n, index, Number(isUtf16(text, n, offsets)), this.#encoding);
        const spans = new Uint32Array(new Uint32Array(heap.buffer, heap.read('mt_encoding', this.#encoding).spans, 2 * ids.length));
        return { ids, offsets: spans, score, inclusion };
      });
    } finally {
      lattice.dispose();
      this.#trim();
    }
  }

  /**
   * The k best segmentations by the sum of weights, best first, no two the same; fewer when there are fewer. Words, added tokens and offsets are those of `encode`.
   * @param {string | Uint8Array} text @param {number} k @param {VariantOptions} [options] @returns {(Encoding & {score: number})[]}
   * @throws {MicrotomeError} EUNKNOWN: the pieces of this vocabulary depend on their place in the word
   */
  encodeNBest(text, k, options = {}) {
    checkOptions('encodeNBest', options, ['specialAsText', 'offsets', 'weights']);
    return this.#variants('NBEST', text, k, options, 1, 0).map(({ ids, offsets, score }) => ({ ids, offsets, score }));
  }

  /**
   * k segmentations drawn with probability proportional to exp(alpha x score); alpha 0: all equally likely.
   * @param {string | Uint8Array} text @param {number} k
   * @param {VariantOptions & {alpha?: number, seed?: number, distinct?: boolean}} [options] distinct: without replacement (Gumbel-top-k, Kool et al. 2019); each then has `inclusion`, the probability to be
   *   among the samples given the threshold, which makes sums of f p / inclusion unbiased
   * @returns {(Encoding & {score: number, inclusion?: number})[]} @throws {MicrotomeError} EMISSING: there is no segmentation
   */
  encodeSamples(text, k, options = {}) {
    checkOptions('encodeSamples', options, ['specialAsText', 'offsets', 'weights', 'alpha', 'seed', 'distinct']);
    const { alpha = 1, distinct = false, seed = Math.floor(Math.random() * 2 ** 53) } = options;
    const found = this.#variants(distinct ? 'DISTINCT' : 'SAMPLE', text, k, options, checkNumber('alpha', alpha, -1e6, 1e6), checkNumber('seed', seed, 0, Number.MAX_SAFE_INTEGER, true));
    return distinct ? found : found.map(({ ids, offsets, score }) => ({ ids, offsets, score }));
  }

  /**
   * Number of tokens, without making them cross into JavaScript.
   * @param {string | Uint8Array} text @param {Omit<EncodeOptions, 'offsets' | 'typeIds'>} [options] @returns {number}
   */
  count(text, options = {}) {
    checkOptions('count', options, COUNT_OPTIONS);
    if (options.pair !== undefined || options.segmenter !== undefined) return this.#encodeWith('count', text, options, false, true).ids.length;
    const specials = this.#specials('count', text, options), n = this.#put(text);
    const heap = this.#heap;
    const count = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('tok_count', this.#tok, this.#text, n, Number(options.addSpecialTokens ?? false), specials, out);
      return heap.u32(out);
    });
    this.#trim();
    return count;
  }

  /**
   * Does the text have at most `limit` tokens?
   * @param {string | Uint8Array} text @param {number} limit @param {Omit<EncodeOptions, 'offsets' | 'typeIds'>} [options]
   * @returns {number | false} the number of tokens, or false when there are more
   */
  isWithinLimit(text, limit, options = {}) {
    const count = this.count(text, options);
    return count <= limit && count;
  }

  /** @param {Iterable<number>} ids @param {boolean} skipSpecialTokens @param {boolean} raw @returns {[number, number]} address and length, valid until the next call */
  #decode(ids, skipSpecialTokens, raw) {
    const heap = this.#live();
    const list = Array.isArray(ids) || ArrayBuffer.isView(ids) ? /** @type {ArrayLike<number>} */ (/** @type {unknown} */ (ids)) : [...ids];
    for (let i = 0; i < list.length; i++)
      if (!(Number.isInteger(list[i]) && list[i] >= 0 && list[i] < this.#info.size)) throw new MicrotomeError(`decode: id ${list[i]} (place ${i}) is outside 0..${this.#info.size - 1}`, { code: 'ERANGE', details: { index: i } });
    return heap.scope((alloc) => {
      const at = alloc(4 * list.length);
      heap.putInts(at, list);
      heap.call('tok_decode', this.#tok, at, list.length, Number(skipSpecialTokens), Number(raw), this.#buffer);
      const { data, len } = heap.read('mt_buf', this.#buffer);
      return [data, len];
    });
  }

  /**
   * @param {Iterable<number>} ids @param {{skipSpecialTokens?: boolean}} [options] default: special tokens are written out
   * @returns {string} bytes that are not UTF-8 (a character cut in two) show as U+FFFD: see decodeBytes
   * @throws {MicrotomeError} ERANGE: no such id
   */
  decode(ids, options = {}) {
    checkOptions('decode', options, ['skipSpecialTokens']);
    return this.#heap.text(...this.#decode(ids, options.skipSpecialTokens ?? false, false));
  }

  /**
   * The same as bytes. raw: tokenBytes one after the other, without the decoder's clean-up (such as stripping a leading space).
   * @param {Iterable<number>} ids @param {{skipSpecialTokens?: boolean, raw?: boolean}} [options] @returns {Uint8Array}
   */
  decodeBytes(ids, options = {}) {
    checkOptions('decodeBytes', options, ['skipSpecialTokens', 'raw']);
    return this.#heap.bytes(...this.#decode(ids, options.skipSpecialTokens ?? false, options.raw ?? false));
  }

  /**
   * Decodes ids as they come: push gives the text that is certain so far, and never half a character.
   * @param {{skipSpecialTokens?: boolean}} [options] @returns {StreamDecoder}
   */
  streamDecoder(options = {}) {
    checkOptions('streamDecoder', options, ['skipSpecialTokens']);
    return new StreamDecoder(this, options.skipSpecialTokens ?? false);
  }

  /** A token of the vocabulary. @param {number} id @returns {Token} @throws {MicrotomeError} ERANGE: no such id */
  token(id) {
    const heap = this.#live();
    return heap.scope((alloc) => {
      const at = alloc(heap.sizeOf('abi_token'));
      heap.call('tok_token', this.#tok, Number.isInteger(id) ? id : -1, at);
      const t = heap.read('abi_token', at);
      return { id, bytes: heap.bytes(t['bytes.p'], t['bytes.n']), piece: heap.text(t['piece.p'], t['piece.n']), kind: kindName(heap, t.kind) };
    });
  }

  /** All tokens in the order of their ids, holes included. @returns {Generator<Token, void, void>} */
  *tokens() {
    for (let id = 0; id < this.#info.size; id++) yield this.token(id);
  }

  /** What a token decodes to, as bytes. @param {number} id @returns {Uint8Array} */
  tokenBytes(id) {
    return this.token(id).bytes;
  }

  /** A token as the definition writes it. @param {number} id @returns {string} */
  tokenPiece(id) {
    return this.token(id).piece;
  }

  /** Id of a piece as the definition writes it (`Ġthe`, `▁the`, `<0x41>`), or null. @param {string} piece @returns {number | null} */
  findPiece(piece) {
    const heap = this.#live();
    const bytes = heap.encoder.encode(piece);
    const id = heap.scope((alloc) => {
      const at = alloc(bytes.length);
      heap.putBytes(at, bytes);
      return heap.exports.tok_find(this.#tok, at, bytes.length);
    });
    return id < 0 ? null : id;
  }

  /**
   * What matters about the definition for a byte model.
   * @returns {{byteComplete: boolean, spmSpace: boolean, prefixSpace: boolean, ignoreMerges: boolean, byteFallback: boolean, unsupported: string}} byteComplete: every byte string can be encoded and decodes to
   *   itself; spmSpace: spaces are U+2581 inside pieces; prefixSpace: a space is put before the text; ignoreMerges: a whole word that is a token becomes it; byteFallback: bytes without a piece have tokens of
   *   their own; unsupported: why there is no exact byte model, or ''
   */
  get traits() {
    const heap = this.#live();
    return heap.scope((alloc) => {
      const at = alloc(heap.sizeOf('abi_tok_traits'));
      heap.call('tok_traits', this.#tok, at);
      const t = heap.read('abi_tok_traits', at);
      return { byteComplete: !!t.byte_complete, spmSpace: !!t.spm_space, prefixSpace: !!t.prefix_space, ignoreMerges: !!t.ignore_merges, byteFallback: !!t.byte_fallback, unsupported: heap.cstring(t.unsupported) };
    });
  }

  /** Frees the definition. Can be called again; other calls throw ESTATE afterwards. */
  dispose() {
    if (!this.#tok) return;
    FINALIZED.unregister(this);
    freeTokenizer(this.#heap, [this.#tok, this.#encoding, this.#buffer]);
    if (this.#text) this.#heap.release(this.#text);
    this.#tok = this.#encoding = this.#buffer = this.#text = this.#textBytes = 0;
  }
}
if (Symbol.dispose) Object.defineProperty(Tokenizer.prototype, Symbol.dispose, { value: Tokenizer.prototype.dispose, configurable: true, writable: true });

/**
 * Text from ids that arrive one by one. A window of the last ids is decoded again at each step, because a decoder may treat the
 * start of a text differently (SentencePiece strips a space there); bytes of an unfinished character are held back, whether they are
 * parts of tokens or byte tokens of their own.
 */
export class StreamDecoder {
  #tokenizer;
  #skip;
  /** @type {number[]} */ #window = [];
  #shown = 0; // bytes of the window's text that were given out
  /** @type {number[]} */ #run = []; // byte tokens at the end of the window

  /** @param {Tokenizer} tokenizer @param {boolean} skipSpecialTokens @internal */
  constructor(tokenizer, skipSpecialTokens) {
    this.#tokenizer = tokenizer;
    this.#skip = skipSpecialTokens;
  }

  /** @param {number} id @returns {string} what can be added to the text */
  push(id) {
    this.#window.push(id);
    const token = this.#tokenizer.token(id);
    this.#run = token.kind === 'byte' ? [...this.#run, ...token.bytes] : [];
    if (unfinished(this.#run)) return '';
    const bytes = this.#bytes();
    const whole = bytes.length - unfinished(bytes);
    if (whole <= this.#shown) return '';
    const text = decodeUtf8(bytes.subarray(this.#shown, whole));
    this.#shown = whole;
    // Shorten the window at a place where nothing is held back: what came before is settled.
    if (whole === bytes.length && !this.#run.length && this.#window.length > 16) {
      const keep = this.#window.slice(-4);
      const text = this.#tokenizer.decodeBytes(this.#window.slice(-8), { skipSpecialTokens: this.#skip });
      const again = this.#tokenizer.decodeBytes(keep, { skipSpecialTokens: this.#skip });
      if (unfinished(again) === 0 && endsWith(text, again)) {
        this.#window = keep;
        this.#shown = again.length;
      }
    }
    return text;
  }

  /** What is still held back; unfinished characters become U+FFFD. @returns {string} */
  end() {
    const text = decodeUtf8(this.#bytes().subarray(this.#shown));
    this.#window = [];
    this.#run = [];
    this.#shown = 0;
    return text;
  }

  #bytes() {
    return this.#tokenizer.decodeBytes(this.#window, { skipSpecialTokens: this.#skip });
  }
}

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const decodeUtf8 = (/** @type {Uint8Array} */ bytes) => utf8.decode(bytes);
const endsWith = (/** @type {Uint8Array} */ a, /** @type {Uint8Array} */ b) => b.length <= a.length && b.every((x, i) => x === a[a.length - b.length + i]);

/** Bytes at the end that begin a character and lack its rest: 0..3. @param {ArrayLike<number>} bytes */
function unfinished(bytes) {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte < 0xc2 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf5 ? 4 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

/** UTF-8 length of a string; lone surrogates count as U+FFFD. @param {string} text */
function utf8Length(text) {
  let n = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    n += unit < 0x800 ? 1 : 2;
    if (unit >= 0xd800 && unit < 0xdc00 && i + 1 < text.length && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      i++; // a pair: 4 bytes for 2 units
    }
  }
  return n;
}

/** Offsets have to be counted: a text of as many UTF-16 units as bytes is ASCII, where both offsets are the same. @param {string | Uint8Array} text @param {number} n bytes @param {string | false} unit */
const isUtf16 = (text, n, unit) => unit === 'utf16' && !(typeof text === 'string' && text.length === n);

/** @param {Heap} heap @param {number} kind @returns {TokenKind} */
function kindName(heap, kind) {
  const e = heap.enums;
  switch (kind) {
    case e.MT_TOKEN_UNKNOWN: return 'unknown';
    case e.MT_TOKEN_SPECIAL: return 'special';
    case e.MT_TOKEN_USER: return 'user';
    case e.MT_TOKEN_UNUSED: return 'unused';
    case e.MT_TOKEN_BYTE: return 'byte';
    case e.MT_TOKEN_HOLE: return 'hole';
    default: return 'normal';
  }
}

/** Errors of a definition carry its file's name. @internal @template T @param {string} file @param {() => Promise<T>} body @returns {Promise<T>} */
export async function named(file, body) {
  try {
    return await body();
  } catch (error) {
    if (error instanceof MicrotomeError && !error.details.file) {
      error.message = `${file}: ${error.message}`;
      error.details = { file, ...error.details };
    }
    throw error;
  }
}

/**
 * @param {typeof Tokenizer} Class @param {Heap} heap @param {Uint8Array} definition @param {{name: string, pattern?: string, lowercase?: boolean}} options @param {Uint8Array | null} merges
 * @returns {Tokenizer}
 */
function fromDefinition(Class, heap, definition, { name, pattern = '', lowercase }, merges) {
  return heap.scope((alloc) => {
    const put = (/** @type {Uint8Array} */ bytes) => {
      const at = alloc(bytes.length);
      heap.putBytes(at, bytes);
      return [at, bytes.length];
    };
    const out = alloc(4);
    heap.call('tok_load', ...put(definition), ...put(heap.encoder.encode(name)), ...put(heap.encoder.encode(pattern)), ...put(merges ?? new Uint8Array(0)), lowercase === undefined ? -1 : Number(lowercase), out);
    return new Class(heap, heap.u32(out));
  });
}

/** The first bytes of the binary form. */
const MAGIC = '\x8dMTOK\r\n\x1a';

/**
 * The rest of the chunks goes where the tokenizer will use it, without a stop in between.
 * @param {typeof Tokenizer} Class @param {Heap} heap @param {Gathered} first @param {AsyncIterator<Uint8Array>} chunks @param {number} size expected; negative: unknown @param {AbortSignal} [signal]
 * @returns {Promise<Tokenizer>}
 */
async function fromBinary(Class, heap, first, chunks, size, signal) {
  let at = 0, length = 0, room = Math.max(size, first.length);
  try {
    at = heap.alloc(room);
    const put = (/** @type {Uint8Array} */ chunk) => {
      if (length + chunk.length > room) {
        const more = Math.max(length + chunk.length, 2 * room), to = heap.alloc(more);
        heap.u8.copyWithin(to, at, at + length);
        heap.release(at);
        at = to;
        room = more;
      }
      heap.refresh();
      heap.putBytes(at + length, chunk);
      length += chunk.length;
    };
    put(first.all());
    for (let next; !(next = await chunks.next()).done;) put(next.value);
    throwIfAborted(signal);
    return heap.scope((alloc) => {
      const out = alloc(4), from = at;
      at = 0; // now it is the tokenizer's
      heap.call('tok_from_binary', from, length, out);
      return new Class(heap, heap.u32(out));
    });
  } finally {
    if (at) heap.release(at);
  }
}

/** @param {typeof Tokenizer} Class @param {Heap} heap @param {Uint8Array} header @param {number} fileSize @returns {Tokenizer | number} a number: that many bytes are needed */
function fromHeader(Class, heap, header, fileSize) {
  return heap.scope((alloc) => {
    const at = alloc(header.length), need = alloc(4), out = alloc(4);
    heap.putBytes(at, header);
    heap.call('gguf_open', at, header.length, fileSize, need, out);
    const more = heap.u32(need);
    if (more) return more;
    const gguf = heap.u32(out);
    try {
      heap.call('tok_load_gguf', gguf, out);
      return new Class(heap, heap.u32(out));
    } finally {
      heap.exports.gguf_free(gguf);
    }
  });
}
