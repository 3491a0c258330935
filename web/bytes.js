// The same model, seen over bytes: no token boundaries, so no prompt-boundary bias.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed, throwIfAborted } from './runtime/errors.js';
import { Model } from './model.js';

/** @typedef {import('./types.js').NextBytes} NextBytes */
/** @typedef {import('./types.js').BytesScore} BytesScore */
/** @typedef {import('./types.js').BytesGenerateOptions} BytesGenerateOptions */
/** @typedef {import('./types.js').BytesPiece} BytesPiece */
/** @typedef {import('./types.js').BytesEnd} BytesEnd */
/** @typedef {import('./types.js').BytesSample} BytesSample */
/** @typedef {import('./types.js').BytesBeam} BytesBeam */

/** Bytes at the end that begin a character. @param {Uint8Array} bytes @returns {number} */
export function unfinished(bytes) {
  for (let n = 1; n <= 3 && n <= bytes.length; n++) {
    const byte = bytes[bytes.length - n];
    if (byte >= 0xc2 && byte < 0xf5) return n < (byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4) ? n : 0;
    if (byte < 0x80 || byte >= 0xc0) return 0;
  }
  return 0;
}

/** The characters that are complete after more bytes. @param {Uint8Array} before @param {ArrayLike<number>} bytes @returns {string} */
function decodeAfter(before, bytes) {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from([...before.subarray(before.length - unfinished(before)), ...Array.from(bytes)]), { stream: true });
}

/**
 * Exact probabilities of the next byte.
 *
 *   const bytes = new ByteModel(model);
 *   const { bytes: logProbs, end } = await bytes.next('http:');
 *
 * It remembers the text: when the next one starts with it, only the new bytes are computed.
 */
export class ByteModel {
  #model;
  #options;
  /** @type {Promise<number> | null} */ #handle = null;
  #disposed = false;
  /** Calls run one after the other, since each moves the state. @type {Promise<unknown>} */ #queue = Promise.resolve();

  /**
   * @param {Model} model
   * @param {{target?: 'valid' | 'masked' | 'all', context?: Iterable<number>, contextTokens?: number, beam?: number, epsilon?: number}} [options]
   *   target: which token sequences count as spellings of a text. 'valid' (default): those that the tokenizer can produce, with the model's
   *   probabilities, normalised by their sum; 'masked': the same with impossible tokens masked at every step; 'all': every sequence.
   *   context: tokens that the text follows (chat markers, fill-in-the-middle prompts), default the beginning of text. contextTokens: room for text and alternatives, default 2048. beam, epsilon: for 'all', which keeps at most
   *   `beam` sequences (16; 0: all, exact and exponential) and drops those with less than `epsilon` (1e-6) of the mass; missingMass tells
   * @throws {MicrotomeError} ERANGE: no Model, a context without tokens; EUNKNOWN: another target
   */
  constructor(model, options = {}) {
    checkOptions('ByteModel', options, ['target', 'context', 'contextTokens', 'beam', 'epsilon']);
    if (!(model instanceof Model)) throw new MicrotomeError('ByteModel: a Model is needed', { code: 'ERANGE' });
    const { target = 'valid', contextTokens, beam, epsilon } = options;
    if (!['valid', 'masked', 'all'].includes(target)) throw new MicrotomeError(`ByteModel: unknown target ${JSON.stringify(target)}: known are valid, masked, all`, { code: 'EUNKNOWN' });
    if (contextTokens !== undefined) checkNumber('ByteModel: contextTokens', contextTokens, 1, 2 ** 24, true);
    if (beam !== undefined) checkNumber('ByteModel: beam', beam, 0, 2 ** 24, true);
    if (epsilon !== undefined) checkNumber('ByteModel: epsilon', epsilon, 0, 1);
    this.#model = model;
    const prompt = options.context && Array.from(options.context);
    if (prompt && !prompt.length) throw new MicrotomeError('ByteModel: context: at least one token is needed', { code: 'ERANGE' });
    this.#options = { target, slots: contextTokens ?? (prompt && 2048 + prompt.length), beam, epsilon, prompt };
  }

  /** Which spellings count: 'valid', 'masked' or 'all' (docs/byte-model.md). */
  get target() { return this.#options.target; }
  /** The model that it looks at. */
  get model() { return this.#model; }

  /**
   * What comes next: all 256 bytes, and the end of the text.
   * @param {string | Uint8Array} text what comes before, from the beginning; bytes may end inside a character
   * @param {{tree?: boolean, naive?: boolean, signal?: AbortSignal}} [options] naive (default true): the usual prompt's answer too; tree: the token sequences behind the sum, for pictures
   * @returns {Promise<NextBytes>}
   * @throws {MicrotomeError} EMISSING: the model has no tokenizer; EUNKNOWN: no exact byte model exists for it (the message says why);
   *   ELIMIT: the text is too long. The model stays usable
   */
  async next(text, options = {}) {
    checkOptions('next', options, ['tree', 'naive', 'signal']);
    const { tree = false, naive = true, signal } = options;
    return this.#ask('bytesNext', text, { tree, naive }, signal);
  }

  /**
   * The natural log-probability that a text starts with this one; -Infinity: it has no spelling. With `perByte` also of each byte after those before it, as
   * `next` gives it (their contexts are evaluated together), and of the text ending there: by the chain rule the probability that the model writes exactly this text.
   * For 'masked' and 'all' the bytes' sum equals textLogProb; for 'valid' every step is normalised, textLogProb is not.
   * @param {string | Uint8Array} text @param {{perByte?: boolean, signal?: AbortSignal}} [options] @returns {Promise<BytesScore>}
   * @throws {MicrotomeError} as next
   */
  async score(text, options = {}) {
    checkOptions('score', options, ['perByte', 'signal']);
    const { perByte = false, signal } = options;
    const { bytes = null, end = null, ...r } = await this.#ask('bytesScore', text, { perByte }, signal);
    return { ...r, bytes, end, target: this.target };
  }

  /**
   * Continues a text byte by byte, as the probabilities of `next` say; several bytes may come at once. Contexts that cannot change a choice are not evaluated
   * (unless logProbs, temperature or topP need all probabilities), so that it costs little more than decoding tokens.
   * Leaving the loop, or aborting, stops the work; the model stays usable.
   *
   *   for await (const { text } of bytes.generate('Once upon a ti', { maxBytes: 80 })) ...
   * @param {string | Uint8Array} text may end inside a word or a character @param {BytesGenerateOptions} [options]
   * @returns {AsyncGenerator<BytesPiece, BytesEnd, void>}
   * @throws {MicrotomeError} as next; AbortError when aborted
   */
  async *generate(text, options = {}) {
    checkOptions('generate', options, ['maxBytes', 'temperature', 'topP', 'seed', 'logProbs', 'signal']);
    const { maxBytes = 256, temperature = 1, topP = 1, seed = Math.floor(Math.random() * 2 ** 32), logProbs = false, signal } = options;
    checkNumber('generate: maxBytes', maxBytes, 0, 2 ** 24, true);
    checkNumber('generate: temperature', temperature, 0, 1e6);
    if (!(checkNumber('generate: topP', topP, 0, 1) > 0)) throw new MicrotomeError('generate: topP: 0 leaves nothing', { code: 'ERANGE', details: { option: 'topP' } });
    checkNumber('generate: seed', seed, 0, Number.MAX_SAFE_INTEGER, true);
    const given = this.#bytesOf(text);
    let release = () => {};
    const turn = new Promise((resolve) => { release = () => resolve(undefined); });
    const before = this.#queue;
    this.#queue = before.then(() => turn);
    try {
      await before;
      const handle = await this.#open(signal);
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      decoder.decode(given.slice(given.length - unfinished(given)), { stream: true });
      const stream = this.#model.client.stream('bytesGenerate', { handle, text: given, maxBytes, temperature, topP, seed, logProbs }, { signal });
      try {
        for (;;) {
          const next = await stream.next();
          if (next.done) return { ...next.value, target: this.target };
          yield { ...next.value, text: decoder.decode(next.value.bytes, { stream: true }) };
        }
      } finally {
        await stream.return(undefined);
      }
    } finally {
      release();
    }
  }

  /** What `generate` gives, as a whole. @param {string | Uint8Array} text @param {BytesGenerateOptions} [options] @returns {Promise<BytesSample>} */
  async sample(text, options = {}) {
    checkOptions('sample', options, ['maxBytes', 'temperature', 'topP', 'seed', 'logProbs', 'signal']);
    const stream = this.generate(text, options), bytes = [], logs = [];
    for (;;) {
      const { value, done } = await stream.next();
      if (done) return { ...value, bytes: Uint8Array.from(bytes), text: decodeAfter(this.#bytesOf(text), bytes), logProbs: options.logProbs ? Float64Array.from(logs) : null };
      bytes.push(...value.bytes);
      logs.push(...value.logProbs ?? []);
    }
  }

  /** The same with the likeliest byte each time. @param {string | Uint8Array} text @param {{maxBytes?: number, logProbs?: boolean, signal?: AbortSignal}} [options] maxBytes: default 256; logProbs: of each byte too */
  async greedy(text, options = {}) {
    checkOptions('greedy', options, ['maxBytes', 'logProbs', 'signal']);
    return this.sample(text, { ...options, temperature: 0, seed: 0 });
  }

  /**
   * The likeliest continuations of `length` bytes, or fewer where the text ends, by a beam over byte strings that keeps `width` of each length; the contexts of
   * all are evaluated in one pass a byte.
   * @param {string | Uint8Array} text @param {{length?: number, width?: number, signal?: AbortSignal}} [options] length: default 8, width: default 8
   * @returns {Promise<BytesBeam>}
   * @throws {MicrotomeError} as next
   */
  async beam(text, options = {}) {
    checkOptions('beam', options, ['length', 'width', 'signal']);
    const { length = 8, width = 8, signal } = options;
    checkNumber('beam: length', length, 1, 4096, true);
    checkNumber('beam: width', width, 1, 65536, true);
    const given = this.#bytesOf(text);
    const { pruned, paths } = await this.#ask('bytesBest', given, { length, width }, signal);
    return { paths: paths.map((/** @type {any} */ p) => ({ ...p, text: decodeAfter(given, p.bytes), proven: p.logProb > pruned })), prunedLogProb: pruned, target: this.target };
  }

  /** @param {string | Uint8Array} text @returns {Uint8Array} */
  #bytesOf(text) {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    if (!(bytes instanceof Uint8Array)) throw new MicrotomeError('a string or a Uint8Array is needed', { code: 'ERANGE' });
    return bytes;
  }

  /** @param {AbortSignal} [signal] @returns {Promise<number>} */
  async #open(signal) {
    if (this.#disposed) throw disposed('this byte model');
    throwIfAborted(signal);
    const opening = (this.#handle ??= this.#model.client.call('bytesOpen', this.#options));
    opening.catch(() => { if (this.#handle === opening) this.#handle = null; });
    return opening;
  }

  /**
   * One cover encoding of the text, drawn with its probability: sampling tokens on from it continues the text as the model would, without any bias of the prompt's end.
   * @param {string | Uint8Array} text @param {{u?: number, signal?: AbortSignal}} [options] u: the random number in [0, 1) that decides
   * @returns {Promise<{ids: Int32Array, logProb: number}>} logProb: of these tokens after the beginning of text; the text's own is the sum over its covers
   * @throws {MicrotomeError} as next; ERANGE: the text has no spelling
   */
  async cover(text, options = {}) {
    checkOptions('cover', options, ['u', 'signal']);
    const { u = Math.random(), signal } = options;
    if (!(u >= 0 && u < 1)) throw new MicrotomeError(`cover: u: ${u} is not in [0, 1)`, { code: 'ERANGE' });
    return this.#ask('bytesCover', text, { u }, signal);
  }

  /** @param {string} method @param {string | Uint8Array} text @param {any} args @param {AbortSignal} [signal] @returns {Promise<any>} */
  async #ask(method, text, args, signal) {
    if (this.#disposed) throw disposed('this byte model');
    const bytes = this.#bytesOf(text);
    const turn = this.#queue.then(async () => {
      const handle = await this.#open(signal);
      return this.#model.client.call(method, { handle, text: bytes, ...args }, { signal });
    });
    this.#queue = turn.catch(() => {});
    return turn;
  }

  /** Frees the state; the model stays. Can be called again. @returns {Promise<void>} */
  async dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    const handle = await this.#handle?.catch(() => null);
    if (handle != null) await this.#close(handle);
  }

  async #close(/** @type {number} */ handle) {
    try {
      await this.#model.client.call('bytesClose', { handle });
    } catch (error) {
      if (!(error instanceof MicrotomeError)) throw error; // the model went first
    }
  }
}
if (Symbol.asyncDispose) Object.defineProperty(ByteModel.prototype, Symbol.asyncDispose, { value: ByteModel.prototype.dispose, configurable: true, writable: true });
