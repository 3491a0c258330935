// What to do about the end of a prompt, which is rarely where the next token begins: healing, alignment, covers, the exact byte model; and completions that begin and end at any byte.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, throwIfAborted } from './runtime/errors.js';
import { ByteModel, unfinished } from './bytes.js';
import { TokenLanguage } from './language.js';
import { Model } from './model.js';
import { Random } from './random.js';
import { Tokenizer } from './tokenizer.js';

/** @typedef {'naive' | 'healing' | 'alignment' | 'full' | 'cover' | 'exact'} CompletionMethod */
/**
 * @typedef {object} HealedBytes
 * @property {Float64Array} bytes natural log-probabilities of the 256 possible next bytes; -Infinity: impossible
 * @property {number} end log-probability that the text ends here
 * @property {number} dead share of the probability that ran into dead ends: what a sampler meets as restarts; with `keep` what `epsilon` gave up
 * @property {number} dropped tokens of the prompt that were given up
 * @property {number} contexts token contexts that were evaluated
 */
/** @typedef {{model: Model, next(text: Uint8Array, options: {naive: false, signal?: AbortSignal}): Promise<{bytes: Float64Array, end: number}>}} ByteSource */
/** @typedef {{bytes: Uint8Array, text: string, last: boolean}} CompletionPart text: what is now certain, with the character that the prefix has begun */

/** @param {string | Uint8Array} text */
export function bytesOf(text) {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
  if (!(bytes instanceof Uint8Array)) throw new MicrotomeError(`a string or a Uint8Array is needed, got ${text === null ? 'null' : typeof text}`, { code: 'ERANGE' });
  return bytes;
}
/** @param {string} where @param {unknown} model @returns {Model} */
export function needModel(where, model) {
  if (!(model instanceof Model)) throw new MicrotomeError(`${where}: a Model is needed`, { code: 'ERANGE' });
  return model;
}
/** What every text of a model follows: beginning of text, or else end of text. @param {Model} model */
export function beginning(model) {
  const { bos, eos } = model.tokenizer, start = bos ?? eos;
  if (start === null) throw new MicrotomeError('the tokenizer has neither a beginning nor an end of text: there is nothing to begin with', { code: 'EMISSING' });
  return start;
}

// ---- the next byte ------------------------------------------------------------------------------------------------------------

/**
 * The next byte as a healed prompt predicts it: the last tokens of the text's usual encoding are given up, and their bytes are generated anew under constraint. That conditions on the
 * tokens before them, so that the answer differs from ByteModel's, which is the exact one; it converges to the target 'all' as more tokens are given up with `keep`.
 * @param {Model} model @param {string | Uint8Array} text
 * @param {{tokens?: number, classic?: boolean, keep?: boolean, limit?: number, epsilon?: number}} [options] tokens: how many are given up (default 1; 0: none, the naive answer; Infinity: all).
 *   classic: one token must cover what was given up (Lundberg's token healing); default: several may (token alignment, Athiwaratkun et al. 2024). keep: keep the probabilities of the
 *   paths and normalise once; default: every step is normalised by itself, as sampling under a mask does. epsilon: paths of less than this times the probability of the heaviest that has come as far are given up (default 0: none).
 *   limit: paths followed at most, default 4096
 * @returns {Promise<HealedBytes>}
 * @throws {MicrotomeError} ELIMIT: more paths than the limit; ERANGE: a special token is written in the text, or all paths are dead ends; EMISSING: no tokenizer, or nothing to begin with
 */
export async function healedNextByte(model, text, options = {}) {
  checkOptions('healedNextByte', options, ['tokens', 'classic', 'keep', 'limit', 'epsilon']);
  const { tokens = 1, classic = false, keep = false, limit = 4096, epsilon = 0 } = options, bytes = bytesOf(text);
  if (tokens !== Infinity) checkNumber('healedNextByte: tokens', tokens, 0, 2 ** 31 - 1, true);
  checkNumber('healedNextByte: limit', limit, 1, 2 ** 20, true);
  checkNumber('healedNextByte: epsilon', epsilon, 0, 1);
  return needModel('healedNextByte', model).client.call('healNext', { text: bytes, tokens: tokens === Infinity ? -1 : tokens, classic, keep, limit, epsilon, slots: Math.max(1024, bytes.length + limit + 16) });
}

// ---- covers -------------------------------------------------------------------------------------------------------------------

/**
 * All cover encodings of a text (Phan et al. 2025): the token sequences that can begin the encoding of a longer text, of which only the last token reaches or passes the text's end. The
 * probability of the text is the sum of theirs.
 * @param {Tokenizer} tokenizer @param {string | Uint8Array} text
 * @param {{target?: 'valid' | 'all', limit?: number}} [options] target: what the tokenizer can produce (default), or every sequence (exponentially many). limit: default 100000
 * @returns {Int32Array[]} those that stick out furthest back first @throws {MicrotomeError} ELIMIT: more than `limit`; EUNKNOWN: the tokenizer has no exact byte model (the message says why)
 */
export function coverEncodings(tokenizer, text, options = {}) {
  checkOptions('coverEncodings', options, ['target', 'limit']);
  const { target = 'valid', limit = 100000 } = options;
  if (target !== 'valid' && target !== 'all') throw new MicrotomeError(`coverEncodings: unknown target ${JSON.stringify(target)}: known are valid, all`, { code: 'EUNKNOWN' });
  checkNumber('coverEncodings: limit', limit, 1, 2 ** 24, true);
  const { heap, at: tok } = tokenizer.core(), bytes = bytesOf(text);
  const out = heap.make('mt_cover');
  try {
    heap.scope((alloc) => {
      const at = alloc(bytes.length);
      heap.putBytes(at, bytes);
      heap.call('cover_find', tok, tokenizer.vocabSize, heap.enums[target === 'all' ? 'MT_TARGET_ALL' : 'MT_TARGET_VALID'], at, bytes.length, limit, out);
    });
    const { 'ids.data': data, 'ids.len': length, 'start.data': starts, count } = heap.read('mt_cover', out);
    const ids = heap.ints(data, length), start = heap.ints(starts, count + 1);
    return Array.from({ length: count }, (_, i) => ids.slice(start[i], start[i + 1]));
  } finally {
    heap.exports.cover_free(out);
    heap.release(out);
  }
}

// ---- languages of bytes ---------------------------------------------------------------------------------------------------------

/** @type {Promise<Tokenizer> | null} */ let byteTokenizer = null;
const FIRST_BYTE = 3; // of ByT5's ids

/**
 * A regular language as an automaton over bytes. States are numbers; 0 is the start.
 *
 *   const date = await ByteLanguage.create('[0-9]{4}-[0-9]{2}-[0-9]{2}');
 */
export class ByteLanguage {
  #language;
  /** The language of an expression. @param {string} pattern an expression (as in tokenizer definitions) that the whole text must match @returns {Promise<ByteLanguage>} @throws {MicrotomeError} as TokenLanguage */
  static async create(pattern) {
    if (typeof pattern !== 'string' || !pattern) throw new MicrotomeError('ByteLanguage: a pattern is needed, a string that is not empty', { code: 'ERANGE' });
    return new ByteLanguage(new TokenLanguage(await (byteTokenizer ??= Tokenizer.builtin('byt5')), { pattern }));
  }
  /** Use ByteLanguage.create. @param {TokenLanguage} language @internal */
  constructor(language) {
    if (!(language instanceof TokenLanguage)) throw new MicrotomeError('use ByteLanguage.create()', { code: 'ESTATE' });
    this.#language = language;
  }
  /** The start. */
  get start() { return this.#language.start; }
  /** One byte further. @param {number} state from `start` on @param {number} byte 0..255 @returns {number | null} the state after it; null: no text of the language goes on so */
  next(state, byte) { return this.#language.next(state, checkNumber('ByteLanguage: byte', byte, 0, 255, true) + FIRST_BYTE); }
  /** What may come. @param {number} state as next gave it @returns {Uint8Array} 257: 1 for each byte that some text of the language goes on with; [256]: the text may end here */
  allowed(state) {
    const out = new Uint8Array(257);
    out.set(this.#language.allowed(state).subarray(FIRST_BYTE, FIRST_BYTE + 256));
    out[256] = Number(this.#language.accepts(state));
    return out;
  }
  /** Is the whole text in the language? @param {string | Uint8Array} text @returns {boolean} */
  matches(text) { return this.#language.matches(Array.from(bytesOf(text), (b) => b + FIRST_BYTE)); }
  /** Can be called again; other calls throw ESTATE afterwards. */
  dispose() { this.#language.dispose(); }
}
if (Symbol.dispose) Object.defineProperty(ByteLanguage.prototype, Symbol.dispose, { value: ByteLanguage.prototype.dispose, configurable: true, writable: true });

// ---- completions ----------------------------------------------------------------------------------------------------------------

/** The methods of `complete`, by what they condition on (docs/bytes.md). @type {readonly CompletionMethod[]} */
export const COMPLETION_METHODS = /** @type {const} */ (['naive', 'healing', 'alignment', 'full', 'cover', 'exact']);

/**
 * Continues a text that may end anywhere, inside a word or inside a character.
 *
 *   for await (const { text } of complete(model, 'The capital of Fra', { maxBytes: 20 })) ...
 *
 * method:
 * - 'exact' (default): byte by byte from the exact byte model (ByteModel, its `target`): no token boundary anywhere, one context and the text's own law. `pattern` constrains it.
 * - 'cover': one cover encoding of the prefix is drawn with its exact probability, then tokens are sampled as always: the law of the text is that of the model given the prefix, at the speed
 *   of plain decoding. The covers are those of `target`.
 * - 'naive': the prefix's usual tokens, and on: what a prompt does.
 * - 'healing': the last token is given up, and the first new one must begin with its bytes. 'alignment': the last `tokens` (3) are given up and reproduced by as many tokens as it takes
 *   (Athiwaratkun et al. 2024); 'full': all of them.
 * @param {Model | ByteSource} source a Model, or what gives next bytes (ByteModel, Ensemble), which has the method 'exact' alone @param {string | Uint8Array} prefix
 * @param {{method?: CompletionMethod, tokens?: number, target?: 'valid' | 'masked' | 'all', pattern?: string, maxBytes?: number, temperature?: number, seed?: number, context?: Iterable<number>, signal?: AbortSignal}} [options]
 *   pattern: with 'exact': what follows the prefix matches it as a whole; bytes that lead out of the language are masked at each step. maxBytes: default 128; the completion may end inside a
 *   character. temperature: of bytes for 'exact', of tokens for the others; 0: the likeliest ('cover': of the tokens after the cover). context: tokens that the text follows instead of the
 *   beginning of text (chat markers, fill-in-the-middle prompts). seed: makes it repeatable
 * @returns {AsyncGenerator<CompletionPart, {reason: 'length' | 'stop' | 'pattern'}, void>} parts; reason: 'stop' the model ended the text, 'pattern' the language has nothing more, 'length' maxBytes
 * @throws {MicrotomeError} EMISSING: no tokenizer; EUNKNOWN: the tokenizer has no exact byte model ('exact', 'cover'); ERANGE: nothing of the language can follow with a probability. AbortError
 */
export async function* complete(source, prefix, options = {}) {
  checkOptions('complete', options, ['method', 'tokens', 'target', 'pattern', 'maxBytes', 'temperature', 'seed', 'context', 'signal']);
  const { method = 'exact', tokens, target = 'valid', pattern, maxBytes = 128, temperature = 1, seed, signal } = options;
  const view = source instanceof Model ? null : source, model = needModel('complete', view ? view.model : source);
  if (view && method !== 'exact') throw new MicrotomeError(`complete: the method ${method} needs a Model`, { code: 'ERANGE' });
  if (view && (options.target !== undefined || options.context !== undefined)) throw new MicrotomeError('complete: target and context are those of the byte model that is given', { code: 'ERANGE' });
  if (!COMPLETION_METHODS.includes(method)) throw new MicrotomeError(`complete: unknown method ${JSON.stringify(method)}: known are ${COMPLETION_METHODS.join(', ')}`, { code: 'EUNKNOWN' });
  if (tokens !== undefined && method !== 'alignment') throw new MicrotomeError(`complete: tokens goes with the method alignment, not with ${method}`, { code: 'ERANGE' });
  if (pattern !== undefined && method !== 'exact') throw new MicrotomeError(`complete: pattern goes with the method exact, not with ${method}`, { code: 'ERANGE' });
  checkNumber('complete: maxBytes', maxBytes, 0, 2 ** 24, true);
  checkNumber('complete: temperature', temperature, 0, 1e6);
  const bytes = bytesOf(prefix), context = options.context && Array.from(options.context), random = new Random(model.tokenizer.core().heap, seed);
  const parts = method === 'exact' ? byBytes(view ?? model, bytes, { target, pattern, temperature, context, signal, random, maxBytes })
    : byTokens(model, bytes, { method, tokens: tokens === undefined ? 3 : checkNumber('complete: tokens', tokens, 1, 2 ** 31 - 1, true), target, temperature, context, signal, random, maxBytes });
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  decoder.decode(bytes.slice(bytes.length - unfinished(bytes)), { stream: true });
  let left = maxBytes;
  try {
    while (left > 0) {
      const next = await parts.next();
      if (next.done) {
        yield { bytes: new Uint8Array(0), text: decoder.decode(), last: true };
        return next.value;
      }
      const part = next.value.subarray(0, left);
      left -= part.length;
      if (part.length) yield { bytes: part, text: decoder.decode(part, { stream: left > 0 }), last: left === 0 };
    }
    return { reason: 'length' };
  } finally {
    await parts.return({ reason: 'length' });
    random.free();
  }
}

/** @param {Model | ByteSource} source @param {Uint8Array} prefix @param {{target: 'valid' | 'masked' | 'all', pattern?: string, temperature: number, context?: number[], signal?: AbortSignal, random: Random, maxBytes: number}} how
 * @returns {AsyncGenerator<Uint8Array, {reason: 'stop' | 'length' | 'pattern'}, void>} */
async function* byBytes(source, prefix, { target, pattern, temperature, context, signal, random, maxBytes }) {
  const language = pattern === undefined ? null : await ByteLanguage.create(pattern), own = source instanceof Model ? new ByteModel(source, { target, ...(context && { context }) }) : null;
  const view = own ?? /** @type {ByteSource} */ (source);
  try {
    if (view instanceof ByteModel && !language) { // inside the worker
      const stream = view.generate(prefix, { maxBytes, temperature, seed: Math.floor(random.next() * 2 ** 53), signal });
      try {
        for (;;) {
          const next = await stream.next();
          if (next.done) return { reason: next.value.reason === 'end' ? 'stop' : 'length' };
          yield next.value.bytes;
        }
      } finally {
        await stream.return({ reason: 'length', missingMass: 0, target });
      }
    }
    let text = prefix, state = language ? language.start : 0;
    for (;;) {
      const allowed = language?.allowed(state);
      if (allowed && !allowed.subarray(0, 256).includes(1)) return { reason: 'pattern' };
      const { bytes, end } = await view.next(text, { naive: false, signal });
      const logs = Float64Array.from({ length: 257 }, (_, b) => (allowed && !allowed[b] ? -Infinity : b < 256 ? bytes[b] : end));
      const byte = random.draw(logs, temperature);
      if (byte < 0) throw new MicrotomeError(`complete: after ${text.length} bytes the model gives everything that the pattern allows the probability 0`, { code: 'ERANGE' });
      if (byte === 256) return { reason: 'stop' };
      if (language) state = /** @type {number} */ (language.next(state, byte));
      yield Uint8Array.of(byte);
      const longer = new Uint8Array(text.length + 1);
      longer.set(text);
      longer[text.length] = byte;
      text = longer;
    }
  } finally {
    language?.dispose();
    await own?.dispose();
  }
}

/** @param {Model} model @param {Uint8Array} prefix @param {{method: CompletionMethod, tokens: number, target: 'valid' | 'masked' | 'all', temperature: number, context?: number[], signal?: AbortSignal, random: Random, maxBytes: number}} how
 * @returns {AsyncGenerator<Uint8Array, {reason: 'stop' | 'length'}, void>} */
async function* byTokens(model, prefix, { method, tokens, target, temperature, context, signal, random, maxBytes }) {
  const { tokenizer } = model, root = context ?? [beginning(model)];
  /** @type {number[]} */ let ids;
  let skip = 0; // bytes that the coming tokens repeat
  if (method === 'cover') {
    const view = new ByteModel(model, { target, ...(context && { context }) });
    const { ids: cover } = await view.cover(prefix, { u: random.next(), signal }).finally(() => view.dispose());
    const spelt = tokenizer.decodeBytes(cover);
    throwIfAborted(signal);
    if (spelt.length > prefix.length) yield spelt.subarray(prefix.length);
    ids = [...root, ...cover];
  } else ids = [...root, ...tokenizer.encode(prefix, { offsets: false }).ids];
  const heal = method === 'healing' ? { tokens: 1, classic: true } : method === 'alignment' ? { tokens, classic: false } : method === 'full' ? { tokens: 2 ** 30, classic: false } : undefined;
  const stop = model.endTokens, sample = { temperature, seed: Math.floor(random.next() * 2 ** 53) };
  const stream = model.client.stream('generate', { ids, maxTokens: maxBytes + (heal ? prefix.length + 8 : 0), sample, stop, logProbs: false, heal }, { signal });
  try {
    for (;;) {
      const next = await stream.next();
      if (next.done) return { reason: next.value.reason === 'stop' ? 'stop' : 'length' };
      const { kept, id } = next.value;
      if (kept !== undefined) skip = ids.slice(kept).reduce((n, token) => n + tokenizer.tokenBytes(token).length, 0);
      else if (stop.includes(id)) return { reason: 'stop' };
      else {
        const bytes = tokenizer.tokenBytes(id), repeated = Math.min(skip, bytes.length);
        skip -= repeated;
        if (bytes.length > repeated) yield bytes.subarray(repeated);
      }
    }
  } finally {
    await stream.return(undefined);
  }
}

