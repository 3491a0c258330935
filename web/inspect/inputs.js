// What a prediction owes to each token that was read.
import { checkNumber, checkOptions } from '../runtime/errors.js';
import { argmax, idsOf, placeOf, streamOf } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/** @typedef {{token?: number, against?: number | null, position?: number, signal?: AbortSignal}} InputOptions token: default the likeliest; against: its logit is taken off; position: default -1 */

/** What is explained. @param {Model} model @param {import('./stream.js').Prompt} prompt @param {InputOptions} options @param {string} where */
async function asked(model, prompt, options, where) {
  const ids = idsOf(model, prompt), T = ids.length, t = placeOf(where, options.position ?? -1, T), { vocab } = await streamOf(model), { against = null, signal } = options;
  const { logits, traces } = await model.run(ids, { all: true, trace: 'hook_embed', signal }), row = logits.subarray(t * vocab, (t + 1) * vocab), token = options.token ?? argmax(row);
  for (const [name, id] of /** @type {[string, number | null][]} */ ([['token', token], ['against', against]])) if (id !== null) checkNumber(`${where}: ${name}`, id, 0, vocab - 1, true);
  return { ids, T, t, vocab, token, against, embedded: traces.hook_embed.data, value: row[token] - (against === null ? 0 : row[against]) };
}

/**
 * Gradients of a logit (difference) by the embeddings of the tokens (Simonyan et al. 2013, arXiv:1312.6034; gradient x input: Shrikumar et al. 2016, arXiv:1605.01713).
 * @param {Model} model @param {import('./stream.js').Prompt} prompt @param {InputOptions} [options]
 * @returns {Promise<{token: number, against: number | null, position: number, value: number, gradientTimesInput: Float64Array, saliency: Float64Array}>} value: the logit (difference); [tokens] each: gradientTimesInput in logits, of
 *   first order, they need not add up to the value; saliency: the gradient's length @throws {import('../runtime/errors.js').MicrotomeError} as streamOf, Model.gradients
 */
export async function inputGradients(model, prompt, options = {}) {
  checkOptions('inputGradients', options, ['token', 'against', 'position', 'signal']);
  const { ids, T, t, token, against, embedded, value } = await asked(model, prompt, options, 'inputGradients');
  const { values } = await model.gradients(ids, { of: { logits: [{ position: t, token }, ...(against === null ? [] : [{ position: t, token: against, weight: -1 }])] }, values: 'hook_embed', signal: options.signal });
  const g = values.hook_embed.data, width = g.length / T, gradientTimesInput = new Float64Array(T), saliency = new Float64Array(T);
  for (let i = 0; i < T; i++) {
    for (let d = 0; d < width; d++) {
      gradientTimesInput[i] += g[i * width + d] * embedded[i * width + d];
      saliency[i] += g[i * width + d] ** 2;
    }
    saliency[i] = Math.sqrt(saliency[i]);
  }
  return { token, against, position: t, value, gradientTimesInput, saliency };
}

/** @type {WeakMap<Model, Promise<Float32Array>>} */ const MEANS = new WeakMap();

/** The mean of all embeddings of the vocabulary. @param {Model} model @returns {Promise<Float32Array>} [width]; kept with the model @throws {import('../runtime/errors.js').MicrotomeError} as streamOf */
export async function meanEmbedding(model) {
  let found = MEANS.get(model);
  if (!found) {
    found = readMean(model);
    found.catch(() => MEANS.delete(model));
    MEANS.set(model, found);
  }
  return found;
}

/** @param {Model} model */
async function readMean(model) {
  const { vocab } = await streamOf(model), most = Math.min(512, model.info.context || 512);
  /** @type {Float64Array | null} */ let sum = null;
  for (let at = 0; at < vocab; at += most) {
    const ids = Array.from({ length: Math.min(most, vocab - at) }, (_, i) => at + i), { data, shape } = (await model.run(ids, { stopAt: 'hook_embed' })).traces.hook_embed, D = shape[1];
    sum ??= new Float64Array(D);
    for (let i = 0; i < data.length; i++) sum[i % D] += data[i];
  }
  return Float32Array.from(/** @type {Float64Array} */ (sum), (x) => x / vocab);
}

/**
 * Leave one out: each token's embedding in turn gives way to the mean embedding of the vocabulary, and the logit (difference) that is lost is what the token was worth (occlusion, Zeiler and Fergus 2013,
 * arXiv:1311.2901). One run for each token.
 * @param {Model} model @param {import('./stream.js').Prompt} prompt @param {InputOptions & {onProgress?: (done: number, total: number) => void}} [options]
 * @returns {Promise<{token: number, against: number | null, position: number, value: number, lost: Float64Array}>} lost [tokens], logits @throws {import('../runtime/errors.js').MicrotomeError} as streamOf, Model.run
 */
export async function leaveOneOut(model, prompt, options = {}) {
  checkOptions('leaveOneOut', options, ['token', 'against', 'position', 'signal', 'onProgress']);
  const { ids, T, t, vocab, token, against, value } = await asked(model, prompt, options, 'leaveOneOut'), mean = await meanEmbedding(model), lost = new Float64Array(T);
  for (let i = 0; i <= t; i++) {
    const { logits } = await model.run(ids, { all: t < T - 1, patch: [{ name: 'hook_embed', kind: 'replace', index: [i], value: mean }], signal: options.signal }), row = logits.length === vocab ? logits : logits.subarray(t * vocab, (t + 1) * vocab);
    lost[i] = value - (row[token] - (against === null ? 0 : row[against]));
    options.onProgress?.(i + 1, t + 1);
  }
  return { token, against, position: t, value, lost };
}
