// The probability of a text over all its tokenizations: a model gives some to sequences that its tokenizer never produces.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions } from './runtime/errors.js';
import { bytesOf, needModel } from './heal.js';

/** @typedef {import('./model.js').Model} Model */
/** @typedef {'exact' | 'beam' | 'importance' | 'blocks'} MarginalMethod */
/**
 * @typedef {object} Marginal
 * @property {MarginalMethod} method how it was found
 * @property {number} logProb natural log-probability of the text over all its tokenizations; of 'beam' a lower bound, of the other two an estimate (its exponential is unbiased); 'blocks': over those that are cut at
 *   the ends of the blocks
 * @property {number} error standard error of logProb (delta method); 0 where it is no estimate
 * @property {[number, number] | null} bounds proven bounds on it ('exact', 'beam'), null for estimates
 * @property {bigint | null} tokenizations how many there are; null: 2^64 or more
 * @property {number} logTokenizations its natural logarithm
 * @property {{ids: Int32Array, logProb: number}} canonical the tokenizer's own
 * @property {number} canonicalShare its share of the text's probability; of estimates it may come out above 1
 * @property {{ids: Int32Array, logProb: number, proven: boolean} | null} best the likeliest tokenization that was found ('exact', 'beam'); proven: there is no better one
 * @property {number | null} effectiveSamples of estimates: (sum of weights)^2 / sum of their squares
 * @property {number} samples 0 where it is no estimate
 * @property {number} contexts token contexts that were evaluated ('exact', 'beam')
 */

const METHODS = /** @type {const} */ (['exact', 'beam', 'importance', 'blocks']);
/** The methods of `marginal` (docs/bytes.md). */
export const MARGINAL_METHODS = [...METHODS];
const BLOCK_BYTES = 19; // Chirkova et al. 2023

/** Ends of the words of a tokenization, long ones cut at token edges. @param {Model} model @param {ArrayLike<number>} ids @returns {number[]} */
function wordEnds(model, ids) {
  /** @type {number[]} */ const ends = [];
  let at = 0, begin = 0;
  for (const id of Array.from(ids)) {
    const bytes = model.tokenizer.tokenBytes(id);
    if (at > begin && (bytes[0] === 32 || bytes[0] === 10 || at + bytes.length - begin > BLOCK_BYTES)) ends.push(begin = at);
    at += bytes.length;
  }
  return at ? [...ends, at] : [];
}

/**
 * The probability of a text over all token sequences that spell it, and which share the tokenizer's own has.
 *
 * - 'exact': the sum over all of them, each evaluated. Without `method` it is taken where there are few enough for `limit`, and for longer texts
 * - 'beam': at each byte the `beam` likeliest beginnings go on; what the others could have had bounds the rest. Also finds the best tokenization.
 * - 'blocks': word by word one of the `most` segmentations with the fewest tokens is drawn by the model's own probabilities, and the draw's weight corrects for it (Chirkova et al. 2023).
 * - 'importance': whole tokenizations drawn from the lattice: 'uniform', or by `weights` of tokens (Cao & Rimell 2021); for short texts: with few effective samples the estimate and its error are worth nothing.
 * @param {Model} model @param {string | Uint8Array} text
 * @param {{method?: MarginalMethod, end?: boolean, context?: Iterable<number>, limit?: number, beam?: number, samples?: number, most?: number, weights?: 'uniform' | ArrayLike<number>, theta?: number, seed?: number}} [options]
 *   end: the text ends there (default false: it goes on); context: tokens that it follows, default the beginning of text; limit: contexts, default 4096; beam: default 64; samples: default 30 for 'blocks', 1000
 *   for 'importance'; most: default 128; weights: of tokens, natural logarithms by id; theta: scales them, default 1; seed: makes it repeatable
 * @returns {Promise<Marginal>}
 * @throws {MicrotomeError} ELIMIT: 'exact' would take more than `limit` contexts; EMISSING: a block has no spelling; EUNKNOWN: the tokenizer changes texts, so that tokens do not spell them
 */
export async function marginal(model, text, options = {}) {
  checkOptions('marginal', options, ['method', 'end', 'context', 'limit', 'beam', 'samples', 'most', 'weights', 'theta', 'seed']);
  const { end = false, limit = 4096, beam = 64, most = 128, weights = 'uniform', theta = 1, seed = Math.floor(Math.random() * 2 ** 53) } = options, bytes = bytesOf(text);
  const { client, tokenizer } = needModel('marginal', model), prompt = options.context ? Array.from(options.context) : [];
  if (options.method !== undefined && !METHODS.includes(options.method)) throw new MicrotomeError(`marginal: unknown method ${JSON.stringify(options.method)}: known are ${METHODS.join(', ')}`, { code: 'EUNKNOWN' });
  for (const [name, value, least, top] of /** @type {[string, number, number, number][]} */ ([['limit', limit, 1, 2 ** 20], ['beam', beam, 1, 2 ** 20], ['most', most, 1, 2 ** 20], ['seed', seed, 0, Number.MAX_SAFE_INTEGER]])) checkNumber(`marginal: ${name}`, value, least, top, true);
  checkNumber('marginal: theta', theta, -1e6, 1e6);
  const table = weights === 'uniform' ? null : Float64Array.from(weights);
  if (table && (table.length !== tokenizer.vocabSize || table.some((x) => !Number.isFinite(x)))) throw new MicrotomeError(`marginal: weights: ${tokenizer.vocabSize} finite numbers are needed, one for each id`, { code: 'ERANGE' });
  const ids = tokenizer.encode(bytes, { offsets: false }).ids;
  const [canonical] = await scoreTokenizations(model, [ids], { end, context: prompt });
  const args = { text: bytes, prompt, end, limit, weights: table, beam: 0, sample: /** @type {any} */ (null) };
  let { method } = options;
  if (method === undefined) { // one lattice more than needed, but nothing is evaluated for it
    const { logTokenizations } = await countOf();
    method = logTokenizations <= Math.log(limit) - 1 ? 'exact' : 'beam'; // each takes a context for its last token, and some more
  }
  /** @param {any} r @param {Partial<Marginal>} more @returns {Marginal} */
  const result = (r, more) => {
    const logProb = /** @type {number} */ (more.logProb);
    return {
      method: /** @type {MarginalMethod} */ (method), logProb, error: 0, bounds: null, tokenizations: r.count, logTokenizations: r.logCount, canonical: { ids, logProb: canonical }, canonicalShare: Math.exp(canonical - logProb),
      best: null, effectiveSamples: null, samples: 0, contexts: 0, ...more,
    };
  };
  if (method === 'exact' || method === 'beam') {
    const r = await client.call('marginal', { ...args, limit: method === 'beam' ? Math.max(limit, beam * (bytes.length + 2)) : limit, beam: method === 'beam' ? beam : 0 });
    const top = Math.max(r.sum, r.missing);
    return result(r, { logProb: r.sum, bounds: [r.sum, top === -Infinity ? top : top + Math.log(Math.exp(r.sum - top) + Math.exp(r.missing - top))], best: { ids: r.ids, logProb: r.best, proven: r.missing < r.best }, contexts: r.contexts });
  }
  const samples = checkNumber('marginal: samples', options.samples ?? (method === 'blocks' ? 30 : 1000), 2, 2 ** 24, true);
  const cuts = method === 'blocks' ? wordEnds(model, ids) : [];
  const r = await client.call('marginal', { ...args, sample: { theta: table ? theta : 0, cuts, most, samples, seed: [seed >>> 0, Math.floor(seed / 2 ** 32)] } });
  const { mean, error, effective } = weighted(Array.from(r.logP, (/** @type {number} */ p, /** @type {number} */ i) => p - r.logQ[i]));
  return result(r, { logProb: mean, error, effectiveSamples: effective, samples });

  async function countOf() {
    const { logCount } = await client.call('marginal', { ...args, sample: { theta: 0, cuts: [], most: 1, samples: 0, seed: [0, 0] } });
    return { logTokenizations: logCount };
  }
}

/** ln of the mean of exp(logs), its standard error, and the effective number of samples. @param {number[]} logs */
function weighted(logs) {
  const n = logs.length, top = Math.max(...logs);
  if (top === -Infinity) return { mean: top, error: 0, effective: 0 };
  const w = logs.map((x) => Math.exp(x - top)), sum = w.reduce((a, b) => a + b, 0), squares = w.reduce((a, b) => a + b * b, 0);
  return { mean: top + Math.log(sum / n), error: Math.sqrt(Math.max(0, (n * squares) / (sum * sum) - 1) / (n - 1)), effective: (sum * sum) / squares };
}

/**
 * Natural log-probabilities of token sequences; what they have in common is evaluated once.
 * @param {Model} model @param {Iterable<number>[]} sequences @param {{end?: boolean, context?: Iterable<number>, limit?: number}} [options] end: the text ends after each (default false); context: tokens that
 *   they follow, default the beginning of text; limit: contexts held at once, default: as many as the longest has tokens, at least 4096
 * @returns {Promise<Float64Array>} @throws {MicrotomeError} ERANGE: an id outside the vocabulary; ELIMIT
 */
export async function scoreTokenizations(model, sequences, options = {}) {
  checkOptions('scoreTokenizations', options, ['end', 'context', 'limit']);
  const lists = sequences.map((ids) => Array.from(ids)), { end = false, limit = Math.max(4096, ...lists.map((ids) => ids.length)) } = options;
  checkNumber('scoreTokenizations: limit', limit, 1, 2 ** 20, true);
  return needModel('scoreTokenizations', model).client.call('scoreSequences', { lists, prompt: options.context ? Array.from(options.context) : [], end, limit });
}

/**
 * The likeliest tokenization of a text under a model. Finding it is hard in general (Geh et al. 2024): a beam over byte positions, which says when its answer is certainly the best.
 * @param {Model} model @param {string | Uint8Array} text @param {{beam?: number, end?: boolean, context?: Iterable<number>}} [options] beam: default 64; end, context: as of marginal
 * @returns {Promise<{ids: Int32Array, logProb: number, proven: boolean, canonical: {ids: Int32Array, logProb: number}}>}
 */
export async function bestTokenization(model, text, options = {}) {
  checkOptions('bestTokenization', options, ['beam', 'end', 'context']);
  const { best, canonical } = await marginal(model, text, { ...options, method: 'beam' });
  return { .../** @type {NonNullable<typeof best>} */ (best), canonical };
}
