// Gradients of a loaded model: what the loss is, and by what it is differentiated.
import { checkNumber, checkOptions } from './runtime/errors.js';
import { MicrotomeError } from './runtime/heap.js';

/** @typedef {import('./model.js').ModelInfo} ModelInfo */
/** @typedef {import('./model.js').Traced} Traced */
/** @typedef {{position: number, token: number, weight?: number}} Term position: from 0, or from the end if negative; weight: default 1 */
/**
 * The loss is one of
 *
 *   targets    mean cross-entropy, in nats, of the token that each position is to predict
 *   of         a weighted sum of logits, or of natural log-probabilities, of chosen tokens at chosen positions
 *
 * @typedef {object} GradientOptions
 * @property {(number | null)[]} [targets] one for each token, null where nothing is predicted. Default: the next token; an encoder has no default
 * @property {{logits: Term[]} | {logProbs: Term[]}} [of]
 * @property {string | string[]} [parameters] names or globs of tensors of the model's file whose gradients are wanted. Default: none
 * @property {string | string[]} [values] names or globs of intermediate values (`model.traceNames()`) whose gradients are wanted. Default: none
 * @property {string | string[]} [trace] values that are wanted themselves, as in `run`. Default: none
 * @property {Iterable<number>} [decoderIds] of encoder-decoder models: what the decoder reads; targets and positions are its
 * @property {Iterable<number>} [typeIds] of encoders: the segment of each token
 * @property {boolean} [recompute] keep less on the way and compute it again on the way back (Chen et al. 2016): about the square root of the memory, a third more time. The result is the same
 * @property {AbortSignal} [signal]
 */
/**
 * @typedef {object} Gradients
 * @property {number} loss
 * @property {Record<string, {dims: number[], data: Float32Array}>} parameters by the names, in the shapes and in the order of elements of the model's file, the contiguous dimension last
 * @property {Record<string, Traced>} values by the names, and in the shapes, of traces
 * @property {Record<string, Traced>} traces
 */
/**
 * As the worker takes it.
 * @typedef {object} PlainGradients
 * @property {number[][]} lists texts, none of which sees another @property {number[] | null} source @property {number[] | null} typeIds
 * @property {{targets: number[], of?: number} | {logProbs: boolean, terms: {position: number, token: number, weight: number}[]}} loss targets: -1 for none; of: how many there are in all parts of a batch
 * @property {string[]} [parameters] @property {string[]} [values] @property {string[]} [traces] none: gradients are those of what is being tuned @property {number} segments of the tape
 */

const OPTIONS = ['targets', 'of', 'parameters', 'values', 'trace', 'decoderIds', 'typeIds', 'recompute', 'signal'];

/** @param {string | string[]} [globs] */
const list = (globs = []) => (typeof globs === 'string' ? [globs] : [...globs]);

/** @param {number[]} ids @param {ModelInfo} info @param {GradientOptions['targets']} targets */
export function targetsOf(ids, info, targets) {
  if (!targets) {
    if (info.bidirectional) throw new MicrotomeError('gradients: an encoder sees the token after each: give targets', { code: 'EMISSING' });
    return ids.map((_, i) => ids[i + 1] ?? -1);
  }
  if (targets.length !== ids.length) throw new MicrotomeError(`gradients: targets: ${targets.length} for ${ids.length} tokens`, { code: 'ERANGE' });
  return targets.map((id, i) => (id === null || id === -1 ? -1 : checkNumber(`gradients: target ${i}`, id, 0, info.vocab - 1, true)));
}

/** @param {number} length @param {ModelInfo} info @param {NonNullable<GradientOptions['of']>} of */
function termsOf(length, info, of) {
  checkOptions('gradients: of', of, ['logits', 'logProbs']);
  const logProbs = 'logProbs' in of, terms = logProbs ? of.logProbs : of.logits;
  if (Object.keys(of).length !== 1 || !Array.isArray(terms) || !terms.length) throw new MicrotomeError('gradients: of: {logits: [...]} or {logProbs: [...]} with at least one term is needed', { code: 'ERANGE' });
  return {
    logProbs,
    terms: terms.map((term, i) => {
      const where = `gradients: term ${i}`;
      checkOptions(where, term, ['position', 'token', 'weight']);
      const { position, token, weight = 1 } = term;
      checkNumber(`${where}: position`, position, -length, length - 1, true);
      return { position: position < 0 ? position + length : position, token: checkNumber(`${where}: token`, token, 0, info.vocab - 1, true), weight: checkNumber(`${where}: weight`, weight, -3e38, 3e38) };
    }),
  };
}

/** What a model reads: of encoder-decoder models a source, and what its decoder reads. @param {number[]} ids @param {ModelInfo} info @param {Iterable<number>} [decoderIds] @returns {{source: number[] | null, read: number[]}} */
export function readOf(ids, info, decoderIds) {
  if (!info.encoderLayers) {
    if (decoderIds) throw new MicrotomeError('gradients: decoderIds: this model has no encoder beside a decoder', { code: 'ESTATE' });
    return { source: null, read: ids };
  }
  if (!decoderIds && typeof info.decoderStart !== 'number') throw new MicrotomeError('gradients: the model does not say which token its decoder starts from: give decoderIds', { code: 'EMISSING' });
  return { source: ids, read: decoderIds ? Array.from(decoderIds) : [/** @type {number} */ (info.decoderStart)] };
}

/** @param {number[]} ids @param {ModelInfo} info @param {GradientOptions} options @returns {PlainGradients} */
export function plainGradients(ids, info, options) {
  checkOptions('gradients', options, OPTIONS);
  const { targets, of, parameters, values, trace, decoderIds, typeIds, recompute = false } = options;
  if (targets && of) throw new MicrotomeError('gradients: targets and of exclude each other', { code: 'ERANGE' });
  const names = { parameters: list(parameters), values: list(values), traces: list(trace) };
  if (!names.parameters.length && !names.values.length) throw new MicrotomeError('gradients: parameters or values: at least one name is needed', { code: 'EMISSING' });
  const { source, read } = readOf(ids, info, decoderIds);
  return { lists: [read], source, typeIds: typeIds ? Array.from(typeIds) : null, loss: of ? termsOf(read.length, info, of) : { targets: targetsOf(read, info, targets) }, ...names, segments: recompute ? -1 : 0 };
}
