// Encoding a text that comes in pieces, without ever holding it whole.
//
// A text can be cut where the parts' encodings are the whole's, one after the other. A cut is made only before one space or line end between a
// letter or digit and a letter ("word| word", both sides known), and only where no token of the vocabulary continues such a letter with a space
// or line end: then every segmentation has a token boundary there, whatever comes later. What an encoder does to the start of a text (a space in
// front...) would be done to every part; so each part is encoded together with the words before it, and the ids that those have alone are left out.
// Splitters must not match across such a place: none of the usual ones does, and each cut is checked: the words before must encode as they did alone.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, throwIfAborted } from './runtime/errors.js';
import { SEGMENTER_OPTIONS, choosesSegmenter } from './segmenters.js';
import { chunksOf } from './runtime/gzip.js';

/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {BasicStreamOptions & import('./segmenters.js').SegmenterOptions} StreamOptions */
/**
 * @typedef {object} BasicStreamOptions
 * @property {boolean} [specialAsText] as for encode
 * @property {number} [window] bytes that are collected before they are encoded; default 65536
 * @property {number} [limit] bytes that may be held back while no cut is possible (a text without spaces; a vocabulary whose tokens span words); default 2^28
 * @property {AbortSignal} [signal]
 */

/** What the cuts of a tokenizer must avoid. @typedef {{crossed: Uint8Array, added: Uint8Array[]}} Cuts crossed: by byte, 1: some token has a space or line end after it */
/** @type {WeakMap<Tokenizer, Cuts>} */
const known = new WeakMap();
const encoder = new TextEncoder();
const isBreak = (/** @type {number} */ byte) => byte === 32 || byte === 10;

/** @param {Tokenizer} tokenizer @returns {Cuts} */
function cutsOf(tokenizer) {
  let cuts = known.get(tokenizer);
  if (cuts) return cuts;
  cuts = { crossed: new Uint8Array(256), added: [] };
  for (const { kind, bytes } of tokenizer.tokens()) {
    let inside = false;
    for (let i = 1; i < bytes.length; i++) {
      if (!isBreak(bytes[i])) continue;
      inside = true;
      // Added tokens stand for themselves; other special ones never come from text.
      if (kind !== 'special' && kind !== 'user' && kind !== 'unknown') cuts.crossed[bytes[i - 1]] = 1;
    }
    if (inside && (kind === 'special' || kind === 'user' || kind === 'unknown')) cuts.added.push(bytes);
  }
  known.set(tokenizer, cuts);
  return cuts;
}

const LETTER = /^\p{L}$/u, LETTER_OR_DIGIT = /^[\p{L}\p{N}]$/u;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** The character that begins at `at`, or '' (not UTF-8, or not all there). @param {Uint8Array} bytes @param {number} at */
function characterAt(bytes, at) {
  const lead = bytes[at];
  const length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  try {
    return at + length <= bytes.length ? decoder.decode(bytes.subarray(at, at + length)) : '';
  } catch {
    return '';
  }
}

/** May the text be cut before byte `at`? @param {Uint8Array} bytes @param {number} at @param {Cuts} cuts */
function mayCut(bytes, at, { crossed, added }) {
  if (!isBreak(bytes[at]) || crossed[bytes[at - 1]] || !LETTER.test(characterAt(bytes, at + 1))) return false;
  let begin = at - 1;
  while (begin > 0 && at - begin < 4 && (bytes[begin] & 0xc0) === 0x80) begin--;
  const before = characterAt(bytes, begin);
  if (encoder.encode(before).length !== at - begin || !LETTER_OR_DIGIT.test(before)) return false;
  // Not inside an added token that is spelled here, wholly or as far as the text goes.
  return !added.some((token) => {
    for (let i = 1; i < token.length; i++) {
      const from = at - i;
      if (from < 0) break;
      let same = 0;
      while (same < token.length && from + same < bytes.length && token[same] === bytes[from + same]) same++;
      if (same === token.length || from + same === bytes.length) return true;
    }
    return false;
  });
}

/**
 * Ids of a text that comes in pieces: together those of `tokenizer.encode` of the whole text. Memory does not grow with the text, as long as it has
 * places to cut (see above): texts without spaces or line ends between letters are held until there is one or they end.
 *
 *   for await (const ids of encodeStream(tokenizer, response.body)) ...
 *
 * @param {Tokenizer} tokenizer @param {ReadableStream<string | Uint8Array> | AsyncIterable<string | Uint8Array> | Iterable<string | Uint8Array>} chunks cut anywhere, inside characters too
 * @param {StreamOptions} [options] @returns {AsyncGenerator<Int32Array, void, void>}
 * @throws {MicrotomeError} ELIMIT: more than `limit` bytes without a place to cut. EUNSUPPORTED: the tokenizer's splitter looks across words. AbortError when aborted
 */
export async function* encodeStream(tokenizer, chunks, options = {}) {
  checkOptions('encodeStream', options, ['specialAsText', 'window', 'limit', 'signal', ...SEGMENTER_OPTIONS]);
  const { specialAsText = tokenizer.specialIsText, signal } = options;
  // A segmenter that draws draws the same for the same word at the same place, however often it is asked.
  const given = Object.entries(options).filter(([name]) => SEGMENTER_OPTIONS.includes(name));
  const how = { offsets: /** @type {false} */ (false), specialAsText, ...(choosesSegmenter(options) && { seed: Math.floor(Math.random() * 2 ** 53) }), ...Object.fromEntries(given) };
  const window = checkNumber('window', options.window ?? 65536, 1, 2 ** 30, true), limit = checkNumber('limit', options.limit ?? 2 ** 28, 1, 2 ** 31 - 2, true);
  const cuts = cutsOf(tokenizer);
  let start = options.position ?? 0; // of the buffer in the text
  const encode = (/** @type {Uint8Array} */ bytes, at = 0) => tokenizer.encode(bytes, choosesSegmenter(options) ? { ...how, position: start + at } : how).ids;

  let buffer = new Uint8Array(0), length = 0; // context, then what is not encoded yet
  let context = 0; // bytes
  let alone = new Int32Array(0); // ids of the context by itself
  let want = window; // look for a cut when so many bytes are there
  const add = (/** @type {Uint8Array} */ bytes) => {
    if (length + bytes.length > buffer.length) {
      const grown = new Uint8Array(Math.max(2 * buffer.length, length + bytes.length));
      grown.set(buffer.subarray(0, length));
      buffer = grown;
    }
    buffer.set(bytes, length);
    length += bytes.length;
  };
  /** Ids of what follows the context up to `end`. @param {number} end */
  const part = (end) => {
    const ids = encode(buffer.subarray(0, end));
    if (alone.some((id, i) => id !== ids[i])) throw new MicrotomeError('encodeStream: this tokenizer\'s splitter looks across words: encode the whole text instead', { code: 'EUNSUPPORTED' });
    return ids.slice(alone.length);
  };
  const cut = () => {
    const text = buffer.subarray(0, length);
    let end = length - 1;
    while (end > context && !mayCut(text, end, cuts)) end--;
    if (end <= context) return null;
    const ids = part(end);
    // The next context: from a cut before this one, so that it begins as a part may begin; a short one if there is one.
    let begin = end - 1;
    while (begin > 0 && !mayCut(text, begin, cuts)) begin--;
    alone = encode(text.subarray(begin, end), begin).slice();
    start += begin;
    buffer.copyWithin(0, begin, length);
    length -= begin;
    context = end - begin;
    return ids;
  };

  let high = '';
  const source = typeof (/** @type {any} */ (chunks)?.getReader) === 'function' ? chunksOf(/** @type {ReadableStream<any>} */ (chunks)) : /** @type {AsyncIterable<any>} */ (chunks);
  if (!source?.[Symbol.asyncIterator] && !(/** @type {any} */ (source)?.[Symbol.iterator])) throw new MicrotomeError('encodeStream: a stream or an (async) iterable of strings or bytes is needed', { code: 'ERANGE' });
  for await (const given of typeof chunks === 'string' ? [chunks] : source) {
    throwIfAborted(signal);
    let bytes = given;
    if (typeof given === 'string') {
      let text = high + given;
      const last = text.charCodeAt(text.length - 1);
      high = last >= 0xd800 && last < 0xdc00 ? text.slice(-1) : ''; // half a pair waits for the other half
      if (high) text = text.slice(0, -1);
      bytes = encoder.encode(text);
    } else if (!(given instanceof Uint8Array)) throw new MicrotomeError(`encodeStream: a piece must be a string or a Uint8Array, got ${given === null ? 'null' : typeof given}`, { code: 'ERANGE' });
    else if (high) {
      add(encoder.encode(high));
      high = '';
    }
    // A large piece is taken in parts, so that it is not copied whole.
    for (let at = 0; at < bytes.length; at += window) {
      add(bytes.subarray(at, at + window));
      if (length - context < want) continue;
      const ids = cut();
      if (ids) {
        want = window;
        if (ids.length) yield ids;
      } else {
        if (length - context > limit) throw new MicrotomeError(`encodeStream: ${length - context} bytes without a place to cut: the limit is ${limit}`, { code: 'ELIMIT' });
        want = 2 * (length - context); // looking again costs what it cost before: not at every piece
      }
    }
  }
  throwIfAborted(signal);
  if (high) add(encoder.encode(high));
  if (length > context) {
    const ids = part(length);
    if (ids.length) yield ids;
  }
}
