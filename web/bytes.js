// The same model, seen over bytes: no token boundaries, so no prompt-boundary bias.
import { MicrotomeError } from './runtime/worker.js';
import { checkOptions, disposed } from './runtime/errors.js';
import { Model } from './model.js';

/**
 * @typedef {object} NextBytes
 * @property {Float64Array} bytes natural log-probabilities of the 256 possible next bytes; -Infinity: impossible
 * @property {number} end log-probability that the text ends here; exp of the 257 sums to 1 (less missingMass)
 * @property {Float64Array} naive 257: the same as a prompt of the text's usual tokens gives it, the first byte of the next token; [256]: the end
 * @property {number} missingMass proven upper bound on the probability that was left out; 0: exact
 * @property {number} textLogProb log-probability that a text starts with this one
 * @property {'valid' | 'masked' | 'all'} target which spellings count
 * @property {number} liveContexts token sequences that the text may be the beginning of
 * @property {ByteTree | null} tree for pictures, with the option `tree`
 */
/** @typedef {{nodes: {token: number, bytes: number[] | string, weight: number | null, parent: number, live: boolean}[]}} ByteTree */

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
  #target;
  #slots;
  /** @type {Promise<number> | null} */ #handle = null;
  #disposed = false;
  /** Calls run one after the other, since each moves the state. @type {Promise<unknown>} */ #queue = Promise.resolve();

  /**
   * @param {Model} model
   * @param {{target?: 'valid' | 'masked' | 'all', contextTokens?: number}} [options] target: which token sequences count as spellings of a text.
   *   'valid' (default): those that the tokenizer can produce, with the model's probabilities, normalised by their sum; 'masked': the same
   *   with impossible tokens masked at every step; 'all': every sequence. contextTokens: room for text and alternatives, default 2048 or the model's context
   */
  constructor(model, options = {}) {
    checkOptions('ByteModel', options, ['target', 'contextTokens']);
    if (!(model instanceof Model)) throw new MicrotomeError('ByteModel: a Model is needed', { code: 'ERANGE' });
    const { target = 'valid', contextTokens } = options;
    if (!['valid', 'masked', 'all'].includes(target)) throw new MicrotomeError(`ByteModel: unknown target ${JSON.stringify(target)}: known are valid, masked, all`, { code: 'EUNKNOWN' });
    this.#model = model;
    this.#target = target;
    this.#slots = contextTokens;
  }

  get target() { return this.#target; }

  /**
   * @param {string | Uint8Array} text what comes before, from the beginning; bytes may end inside a character
   * @param {{tree?: boolean, signal?: AbortSignal}} [options]
   * @returns {Promise<NextBytes>}
   * @throws {MicrotomeError} EMISSING: the model has no tokenizer; EUNKNOWN: no exact byte model exists for it (the message says why);
   *   ELIMIT: the text is too long. The model stays usable
   */
  async next(text, options = {}) {
    checkOptions('next', options, ['tree', 'signal']);
    const { tree = false, signal } = options;
    if (this.#disposed) throw disposed('this byte model');
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    if (!(bytes instanceof Uint8Array)) throw new MicrotomeError('next: a string or a Uint8Array is needed', { code: 'ERANGE' });
    const turn = this.#queue.then(async () => {
      if (this.#disposed) throw disposed('this byte model');
      const client = this.#model.client;
      const opening = (this.#handle ??= client.call('bytesOpen', { target: this.#target, slots: this.#slots }));
      opening.catch(() => { if (this.#handle === opening) this.#handle = null; });
      const handle = await opening;
      return client.call('bytesNext', { handle, text: bytes, tree }, { signal });
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
