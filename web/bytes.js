// The same model, seen over bytes: no token boundaries, so no prompt-boundary bias.
import { MicrotomeError } from './runtime/worker.js';
import { checkNumber, checkOptions, disposed, throwIfAborted } from './runtime/errors.js';
import { Model } from './model.js';

/**
 * @typedef {object} NextBytes
 * @property {Float64Array} bytes natural log-probabilities of the 256 possible next bytes; -Infinity: impossible
 * @property {number} end log-probability that the text ends here; exp of the 257 sums to 1 (less missingMass)
 * @property {Float64Array | null} naive 257: the same as a prompt of the text's usual tokens gives it, the first byte of the next
 *   token; [256]: the end. All -Infinity when the usual tokens are no spelling of the text; null with `naive: false`
 * @property {number} missingMass proven upper bound on the probability that was left out; 0: exact
 * @property {number} textLogProb log-probability that a text starts with this one (valid: the sum over its spellings, before normalisation)
 * @property {'valid' | 'masked' | 'all'} target which spellings count
 * @property {number} liveContexts token sequences that the text may be the beginning of
 * @property {ByteTree | null} tree for pictures, with the option `tree`
 */
/**
 * Token sequences as a tree; node 0 is the beginning. `bytes`: of the token; `end`: bytes of text up to the token's end; `live`: the text's end
 * cuts or touches it; `weight`: log-probability, null: none; a live one also says how many `tokens` may go on from it and their `mass`.
 * @typedef {{id: number, parent: number, token: number, bytes: number[], end: number, live: boolean, weight: number | null, tokens?: number, mass?: number | null}} ByteNode
 * @typedef {{length: number, prefix: number, text_logprob: number | null, nodes: ByteNode[]}} ByteTree
 */

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

  get target() { return this.#options.target; }

  /**
   * @param {string | Uint8Array} text what comes before, from the beginning; bytes may end inside a character
   * @param {{tree?: boolean, naive?: boolean, signal?: AbortSignal}} [options] naive (default true): the usual prompt's answer too
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
   * The natural log-probability that a text starts with this one; -Infinity: it has no spelling.
   * @param {string | Uint8Array} text @param {{signal?: AbortSignal}} [options] @returns {Promise<{textLogProb: number, missingMass: number}>}
   * @throws {MicrotomeError} as next
   */
  async score(text, options = {}) {
    checkOptions('score', options, ['signal']);
    return this.#ask('bytesScore', text, {}, options.signal);
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
  #ask(method, text, args, signal) {
    const live = () => { if (this.#disposed) throw disposed('this byte model'); };
    live();
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    if (!(bytes instanceof Uint8Array)) throw new MicrotomeError('a string or a Uint8Array is needed', { code: 'ERANGE' });
    const turn = this.#queue.then(async () => {
      live();
      throwIfAborted(signal);
      const client = this.#model.client;
      const opening = (this.#handle ??= client.call('bytesOpen', this.#options));
      opening.catch(() => { if (this.#handle === opening) this.#handle = null; });
      const handle = await opening;
      return client.call(method, { handle, text: bytes, ...args }, { signal });
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
