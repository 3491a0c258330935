// Several models as one, whatever their vocabularies: they meet in the distribution of the next byte.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { ByteModel } from './bytes.js';
import { bytesOf } from './heal.js';
import { Model } from './model.js';

/** @typedef {import('./bytes.js').NextBytes} NextBytes */
/** @typedef {'mean' | 'product' | 'posterior'} PoolRule */

const RULES = /** @type {const} */ (['mean', 'product', 'posterior']);

/**
 * An ensemble over bytes. The models run side by side, each in its own worker, and each is moved on by the byte that is chosen.
 *
 *   const both = new Ensemble([a, b], { rule: 'mean', weights: [0.7, 0.3] });
 *   const { bytes, end } = await both.next('Once upon a ti');
 *   for await (const { text } of complete(both, 'Once upon a ti')) ...
 *
 * rule:
 * - 'mean' (default): p = sum of w p_m. One of the models is right, anew at every byte.
 * - 'product': p ~ product of p_m^w (default: w = 1 / count, the logarithmic pool). What one excludes is excluded. Weights may be negative.
 * - 'posterior': a mixture of the models as wholes: the mean, with weights that each model earns by the probability it gave to the text so far (Bayes).
 */
export class Ensemble {
  /** @type {ByteModel[]} */ #members;
  /** @type {Model} */ #first;
  #rule;
  /** @type {number[]} */ #weights;
  #own;
  #disposed = false;

  /**
   * @param {(Model | ByteModel)[]} models the members; vocabularies may differ @param {{rule?: PoolRule, weights?: number[], target?: 'valid' | 'masked' | 'all'}} [options] rule: default 'mean'; weights: one for each; default equal.
   *   target: of the byte models that are made for Models; a ByteModel stays the caller's
   * @throws {MicrotomeError} ERANGE: no models, weights that do not fit them; EUNKNOWN: another rule
   */
  constructor(models, options = {}) {
    checkOptions('Ensemble', options, ['rule', 'weights', 'target']);
    const { rule = 'mean', weights, target = 'valid' } = options;
    if (!Array.isArray(models) || !models.length || !models.every((m) => m instanceof Model || m instanceof ByteModel)) throw new MicrotomeError('Ensemble: a list of Models or ByteModels is needed', { code: 'ERANGE' });
    if (!RULES.includes(rule)) throw new MicrotomeError(`Ensemble: unknown rule ${JSON.stringify(rule)}: known are ${RULES.join(', ')}`, { code: 'EUNKNOWN' });
    if (weights !== undefined) {
      if (weights.length !== models.length) throw new MicrotomeError(`Ensemble: ${weights.length} weights for ${models.length} models`, { code: 'ERANGE' });
      weights.forEach((w, i) => checkNumber(`Ensemble: weight ${i}`, w, rule === 'product' ? -1e6 : 0, 1e6));
      if (rule !== 'product' && !weights.some((w) => w > 0)) throw new MicrotomeError('Ensemble: the weights are all 0', { code: 'ERANGE' });
    }
    this.#rule = rule;
    this.#own = models.map((m) => m instanceof Model);
    this.#members = models.map((m) => (m instanceof ByteModel ? m : new ByteModel(m, { target })));
    this.#first = this.#members[0].model;
    this.#weights = weights ? [...weights] : models.map(() => 1 / models.length);
  }

  /**
   * Proxy tuning across vocabularies (Liu et al. 2024; contrastive decoding with untuned = amateur): ln p = ln base + alpha (ln tuned - ln untuned), in bytes, normalised.
   * @param {Model | ByteModel} base @param {Model | ByteModel} tuned @param {Model | ByteModel} untuned @param {{alpha?: number, target?: 'valid' | 'masked' | 'all'}} [options] alpha: default 1; target: of the byte models that are made for Models @returns {Ensemble}
   */
  static steered(base, tuned, untuned, options = {}) {
    checkOptions('Ensemble.steered', options, ['alpha', 'target']);
    const { alpha = 1, target } = options;
    return new Ensemble([base, tuned, untuned], { rule: 'product', weights: [1, alpha, -alpha], ...(target && { target }) });
  }

  /** How the members are combined. @returns {PoolRule} */
  get rule() { return this.#rule; }
  /** Of the members, summing to 1; a copy. @returns {number[]} */
  get weights() { return [...this.#weights]; }
  /** A model whose module computes for the ensemble. @internal */
  get model() { return this.#first; }

  /**
   * What comes next, by the rule.
   * @param {string | Uint8Array} text @param {{signal?: AbortSignal, naive?: false}} [options] naive: only false, as of ByteModel.next
   * @returns {Promise<{bytes: Float64Array, end: number, missingMass: number, weights: number[], members: NextBytes[]}>} natural log-probabilities as ByteModel.next gives them; missingMass: the largest
   *   of the members'; weights: those that were used, of 'posterior' earned
   * @throws {MicrotomeError} ERANGE: the models agree on no next byte, or none has a spelling of the text; as ByteModel.next
   */
  async next(text, options = {}) {
    checkOptions('next', options, ['signal', 'naive']);
    if (this.#disposed) throw disposed('this ensemble');
    const bytes = bytesOf(text), members = await Promise.all(this.#members.map((m) => m.next(bytes, { naive: false, signal: options.signal })));
    let weights = this.#weights;
    if (this.#rule === 'posterior') {
      const logs = members.map(({ textLogProb }, m) => (weights[m] > 0 ? Math.log(weights[m]) + textLogProb : -Infinity)), top = Math.max(...logs), sum = logs.reduce((s, x) => s + Math.exp(x - top), 0);
      weights = logs.map((x) => Math.exp(x - top) / sum);
    }
    const { heap } = this.#first.tokenizer.core(), count = members.length, numbers = new Float64Array(count * 257 + count);
    members.forEach((r, m) => { numbers.set(r.bytes, m * 257); numbers[m * 257 + 256] = r.end; });
    numbers.set(weights, count * 257);
    const out = heap.scope((alloc) => {
      const at = (alloc(numbers.byteLength + 8) + 7) & ~7, mixed = (alloc(257 * 8 + 8) + 7) & ~7;
      heap.putBytes(at, new Uint8Array(numbers.buffer));
      heap.call('bytes_combine', heap.enums[this.#rule === 'product' ? 'MT_POOL_GEOMETRIC' : 'MT_POOL_MEAN'], count, at, at + count * 257 * 8, mixed);
      return heap.doubles(mixed, 257);
    });
    return { bytes: out.slice(0, 256), end: out[256], missingMass: Math.max(...members.map((r) => r.missingMass)), weights: [...weights], members };
  }

  /**
   * The log-probability of a text by the chain of next bytes; one question for each byte. @param {string | Uint8Array} text @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<{textLogProb: number, bitsPerByte: number}>} bitsPerByte: of a text of bytes; 0 of an empty one
   */
  async score(text, options = {}) {
    checkOptions('score', options, ['signal']);
    const bytes = bytesOf(text);
    let sum = 0;
    for (let i = 0; i < bytes.length; i++) sum += (await this.next(bytes.subarray(0, i), options)).bytes[bytes[i]];
    return { textLogProb: sum, bitsPerByte: bytes.length ? -sum / Math.LN2 / bytes.length : 0 };
  }

  /** Frees the byte models that were made for it. Can be called again. @returns {Promise<void>} */
  async dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    await Promise.all(this.#members.filter((_, m) => this.#own[m]).map((m) => m.dispose()));
  }
}
if (Symbol.asyncDispose) Object.defineProperty(Ensemble.prototype, Symbol.asyncDispose, { value: Ensemble.prototype.dispose, configurable: true, writable: true });
