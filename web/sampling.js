// Tokens from logits: penalties, temperature, filters, a seeded draw. The core computes it (src/decode/sample.h); Model.generate does the same in its worker.
import { MicrotomeError } from './runtime/heap.js';
import { CoreSampler } from './runtime/sampler.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { RUNTIME_OPTIONS, loadHeap } from './runtime/load.js';

/**
 * In this order, each on what the one before left:
 * @typedef {object} SamplingOptions
 * @property {number} [repeatPenalty] logits of tokens that occurred are divided by it when positive, else multiplied (Keskar et al. 2019); 1 (default): not
 * @property {number} [frequencyPenalty] taken from a token's logit for each time that it occurred; default 0
 * @property {number} [presencePenalty] taken from its logit once if it occurred; default 0
 * @property {number} [lastN] how many of the last tokens (prompt and new ones) the penalties look at; default 64, -1: all, 0: none
 * @property {number} [temperature] default 1; 0: always the likeliest token, the smaller id of equals
 * @property {number} [topK] keep the k likeliest tokens; 0 (default): all
 * @property {number} [typicalP] keep the tokens whose -ln p is nearest to the entropy, until their probability exceeds this (Meister et al. 2023); 1 (default): all
 * @property {number} [topP] keep the likeliest tokens that together reach this probability (Holtzman et al. 2020); 1 (default): all
 * @property {number} [minP] keep tokens at least this many times as likely as the likeliest (Nguyen et al. 2024); 0 (default): all
 * @property {number} [seed] a whole number 0..2^53-1; the same seed gives the same tokens on every build whose logits are the same. Default: random
 */

/** Ranges of the options. @type {Record<string, [number, number, boolean]>} */
const RANGES = {
  temperature: [0, 1e6, false], topK: [0, 2 ** 31 - 1, true], typicalP: [0, 1, false], topP: [0, 1, false], minP: [0, 1, false], repeatPenalty: [1e-3, 1e3, false], presencePenalty: [-1e3, 1e3, false],
  frequencyPenalty: [-1e3, 1e3, false], lastN: [-1, 2 ** 24, true], seed: [0, Number.MAX_SAFE_INTEGER, true],
};
export const SAMPLING = Object.keys(RANGES);

/** The sampling options among others, checked, with a seed. @param {string} where @param {SamplingOptions} options @returns {import('./runtime/sampler.js').SampleOptions} */
export function checkSampling(where, options) {
  /** @type {Record<string, number>} */
  const out = { seed: Math.floor(Math.random() * 2 ** 53) };
  for (const [name, value] of Object.entries(options)) if (RANGES[name] && value !== undefined) out[name] = checkNumber(`${where}: ${name}`, value, ...RANGES[name]);
  return out;
}

const FORGOTTEN = new FinalizationRegistry((/** @type {CoreSampler} */ core) => core.free());

/**
 * A sampler on its own, in the caller's thread:
 *
 *   const sampler = await Sampler.create(vocab, { temperature: 0.8, topK: 40, seed: 1 });
 *   const id = sampler.draw(logits);   sampler.accept([id]);
 */
export class Sampler {
  /** @type {CoreSampler | null} */ #core;

  /** A sampler for logits of one length. @param {number} vocab length of the logits @param {SamplingOptions & import('./runtime/load.js').RuntimeOptions} [options] @returns {Promise<Sampler>} */
  static async create(vocab, options = {}) {
    checkOptions('Sampler.create', options, [...SAMPLING, ...RUNTIME_OPTIONS]);
    checkNumber('Sampler.create: vocab', vocab, 1, 2 ** 24, true);
    const sample = checkSampling('Sampler.create', options);
    return new Sampler(new CoreSampler(await loadHeap(options), vocab, sample));
  }

  /** Use Sampler.create. @param {CoreSampler} core @internal */
  constructor(core) {
    if (!(core instanceof CoreSampler)) throw new MicrotomeError('use Sampler.create()', { code: 'ESTATE' });
    this.#core = core;
    FORGOTTEN.register(this, core, this);
  }

  #live() {
    if (!this.#core) throw disposed('this sampler');
    return this.#core;
  }

  /** @template T @param {ArrayLike<number>} logits @param {(core: CoreSampler, at: number) => T} body @returns {T} */
  #with(logits, body) {
    const core = this.#live(), { heap, vocab } = core;
    if (logits.length !== vocab) throw new MicrotomeError(`${logits.length} logits, expected ${vocab}`, { code: 'ERANGE' });
    return heap.scope((alloc) => {
      const at = alloc(4 * vocab);
      new Float32Array(heap.buffer, at, vocab).set(logits);
      return body(core, at);
    });
  }

  /** The text so far, for the penalties; draw does not add what it drew. @param {Iterable<number>} ids @throws {MicrotomeError} ERANGE: outside the vocabulary */
  accept(ids) { this.#live().accept(Array.from(ids)); }
  /** An empty text; the random numbers go on. */
  forget() { this.#live().forget(); }
  /** @param {ArrayLike<number>} logits float32 [vocab] @returns {number} a token @throws {MicrotomeError} ERANGE: not a number, or nothing above -Infinity */
  draw(logits) { return this.#with(logits, (core, at) => core.draw(at).id); }
  /** The law of the next draw. @param {ArrayLike<number>} logits float32 [vocab] @returns {Float64Array} probabilities [vocab] @throws {MicrotomeError} as draw */
  law(logits) { return this.#with(logits, (core, at) => core.law(at)); }

  /** Frees it. Can be called again. */
  dispose() {
    if (!this.#core) return;
    FORGOTTEN.unregister(this);
    this.#core.free();
    this.#core = null;
  }
}
if (Symbol.dispose) Object.defineProperty(Sampler.prototype, Symbol.dispose, { value: Sampler.prototype.dispose, configurable: true, writable: true });
