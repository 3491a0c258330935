// Attention: patterns, what flows through all layers together, and patterns weighted by what is moved.
import { MicrotomeError, checkNumber, checkOptions } from '../runtime/errors.js';
import { Network } from './flow.js';
import { Pace, idsOf, placeOf, streamOf } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/**
 * Attention of one text: `patterns[l]` is [heads, tokens, tokens], the row is the query; rows sum to 1 (to less where a model attends to a sink of its own).
 * @typedef {{ids: number[], layers: number, heads: number, tokens: number, patterns: Float32Array[]}} Attention
 */

/**
 * The attention patterns of all layers. Of encoders too. @param {Model} model @param {import('./stream.js').Prompt} prompt
 * @param {{patch?: import('../model.js').Patch[], signal?: AbortSignal}} [options] @returns {Promise<Attention>}
 * @throws {MicrotomeError} EUNSUPPORTED: a layer has no attention; as Model.run
 */
export async function attentionOf(model, prompt, options = {}) {
  checkOptions('attentionOf', options, ['patch', 'signal']);
  const { patch = [], signal } = options, ids = idsOf(model, prompt), { layers, heads } = model.info, T = ids.length, known = new Set(await model.traceNames()), names = Array.from({ length: layers }, (_, l) => `blocks.${l}.attn.hook_pattern`);
  for (const [l, name] of names.entries()) if (!known.has(name)) throw new MicrotomeError(`attentionOf: layer ${l} of ${model.info.architecture} has no attention pattern`, { code: 'EUNSUPPORTED', details: { name } });
  const { traces } = await model.run(ids, { trace: names, patch, signal, stopAt: names[layers - 1] });
  return { ids, layers, heads, tokens: T, patterns: names.map((name) => traces[name].data) };
}

/** The mean over heads, [tokens, tokens]. @param {Float32Array} pattern [heads, tokens, tokens] @param {number} heads @returns {Float64Array} */
export function headMean(pattern, heads) {
  const n = pattern.length / heads, out = new Float64Array(n);
  for (let h = 0; h < heads; h++) for (let i = 0; i < n; i++) out[i] += pattern[h * n + i] / heads;
  return out;
}

/** The mean over heads mixed with the identity, rows brought to the sum 1. @param {Attention} attention @param {number} residual */
function mixed({ patterns, heads, tokens: T }, residual) {
  return patterns.map((pattern) => {
    const B = headMean(pattern, heads);
    for (let i = 0; i < T; i++) {
      let sum = 0;
      for (let j = 0; j < T; j++) sum += B[i * T + j] = (1 - residual) * B[i * T + j] + (i === j ? residual : 0);
      for (let j = 0; j < T; j++) B[i * T + j] /= sum;
    }
    return B;
  });
}

/**
 * Attention rollout: the layers' head-mean patterns, each mixed with the residual path, multiplied (Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers", arXiv:2005.00928). O(layers T^3).
 * @param {Attention} attention @param {{residual?: number, signal?: AbortSignal}} [options] residual: the share of the identity, 0..1, default 0.5
 * @returns {Promise<Float64Array[]>} after each layer [tokens, tokens]: how much of each input token is in each position; rows sum to 1 @throws {MicrotomeError} ERANGE; AbortError
 */
export async function attentionRollout(attention, options = {}) {
  checkOptions('attentionRollout', options, ['residual', 'signal']);
  const { residual = 0.5, signal } = options, { tokens: T } = attention, pace = new Pace(signal), out = /** @type {Float64Array[]} */ ([]);
  checkNumber('attentionRollout: residual', residual, 0, 1);
  for (const B of mixed(attention, residual)) {
    const before = out.at(-1);
    if (!before) { out.push(B); continue; }
    const R = new Float64Array(T * T);
    for (let i = 0; i < T; i++) {
      for (let k = 0; k < T; k++) {
        const b = B[i * T + k];
        if (b) for (let j = 0; j < T; j++) R[i * T + j] += b * before[k * T + j];
      }
      await pace.rest();
    }
    out.push(R);
  }
  return out;
}

/**
 * Attention flow: the largest flow from a position after the last layer down to each input token, edges being as wide as the mixed patterns of rollout (Abnar and Zuidema 2020, arXiv:2005.00928).
 * One maximum flow for each token: minutes for hundreds of tokens, where rollout takes milliseconds.
 * @param {Attention} attention @param {{position?: number, residual?: number, signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} [options] position: default -1; residual: default 0.5
 * @returns {Promise<{flow: Float64Array, share: Float64Array}>} [tokens]: the flows, each at most 1; share: brought to the sum 1 @throws {MicrotomeError} ERANGE; AbortError
 */
export async function attentionFlow(attention, options = {}) {
  checkOptions('attentionFlow', options, ['position', 'residual', 'signal', 'onProgress']);
  const { residual = 0.5, signal, onProgress } = options, { layers, tokens: T } = attention, from = placeOf('attentionFlow', options.position ?? -1, T), pace = new Pace(signal), flow = new Float64Array(T);
  checkNumber('attentionFlow: residual', residual, 0, 1);
  const network = new Network((layers + 1) * T); // node l T + i: position i before layer l
  mixed(attention, residual).forEach((B, l) => {
    for (let i = 0; i < T; i++) for (let j = 0; j < T; j++) if (B[i * T + j] > 0) network.edge((l + 1) * T + i, l * T + j, B[i * T + j]);
  });
  for (let j = 0; j < T; j++) {
    network.reset();
    flow[j] = await network.maxFlow(layers * T + from, j, pace);
    onProgress?.(j + 1, T);
  }
  const sum = flow.reduce((a, b) => a + b, 0);
  return { flow, share: flow.map((x) => (sum ? x / sum : 0)) };
}

/**
 * @typedef {object} NormMap
 * @property {number} layer @property {number} tokens @property {number} heads
 * @property {Float64Array} perHead [heads, tokens, tokens]: |A f(x_j)|, the length of what a head brings from j to i
 * @property {Float64Array} summed [tokens, tokens]: the length of what all heads together bring
 * @property {number} error largest difference of sum_j A f(x_j) to the layer's traced heads, as a share of their size
 */

/**
 * Attention by the length of what is moved instead of the weights alone: a weight on a short value moves nothing (Kobayashi et al. 2020, "Attention is Not Only a Weight", arXiv:2004.10102). f is the
 * value and output projections of a head, without the output's bias. O(heads T^2 width).
 * @param {Model} model @param {import('./stream.js').Prompt} prompt @param {{layer: number, residual?: boolean, signal?: AbortSignal}} options layer: 0..layers - 1; residual: adds the stream itself to i = j, in `summed`
 * @returns {Promise<NormMap>} @throws {MicrotomeError} ERANGE: no such layer; EUNSUPPORTED: no attention, or one whose heads are not sums over what they attend to (a gate, a norm behind them); as Model.run
 */
export async function attentionNorms(model, prompt, options) {
  checkOptions('attentionNorms', options, ['layer', 'residual', 'signal']);
  const { layer, residual = false, signal } = options, stream = await streamOf(model), { layers, heads: H, width: D, names } = stream, ids = idsOf(model, prompt), T = ids.length, pace = new Pace(signal);
  checkNumber('attentionNorms: layer', layer, 0, layers - 1, true);
  const [pre, v, z, result, pattern] = ['hook_resid_pre', 'attn.hook_v', 'attn.hook_z', 'attn.hook_result', 'attn.hook_pattern'].map((what) => `blocks.${layer}.${what}`);
  for (const name of [v, z, result, pattern]) if (!names.has(name)) throw new MicrotomeError(`attentionNorms: layer ${layer} has no ${name}`, { code: 'EUNSUPPORTED', details: { name } });
  const { traces } = await model.run(ids, { trace: [pre, v, pattern, result], stopAt: result, signal }), [, G, E] = traces[v].shape, data = new Float32Array(T * H * E);
  for (let t = 0; t < T; t++) for (let h = 0; h < H; h++) data.set(traces[v].data.subarray((t * G + Math.floor((h * G) / H)) * E, (t * G + Math.floor((h * G) / H) + 1) * E), (t * H + h) * E);
  const moved = (await model.run(ids, { from: { name: z, data }, stopAt: result, signal })).traces[result].data; // [T, H, D]: f of each token
  const A = traces[pattern].data, perHead = new Float64Array(H * T * T), summed = new Float64Array(T * T), x = new Float64Array(D), sums = new Float64Array(D);
  const lengths = Float64Array.from({ length: T * H }, (_, k) => { let s = 0; for (let d = 0; d < D; d++) s += moved[k * D + d] ** 2; return Math.sqrt(s); });
  let error = 0, size = 0;
  for (let i = 0; i < T; i++) {
    sums.fill(0);
    for (let j = 0; j < T; j++) {
      x.fill(0);
      for (let h = 0; h < H; h++) {
        const a = A[(h * T + i) * T + j];
        if (!a) continue;
        perHead[(h * T + i) * T + j] = a * lengths[j * H + h];
        for (let d = 0; d < D; d++) x[d] += a * moved[(j * H + h) * D + d];
      }
      let square = 0;
      for (let d = 0; d < D; d++) {
        sums[d] += x[d];
        square += (x[d] + (residual && i === j ? traces[pre].data[i * D + d] : 0)) ** 2;
      }
      summed[i * T + j] = Math.sqrt(square);
    }
    for (let d = 0; d < D; d++) {
      let want = 0;
      for (let h = 0; h < H; h++) want += traces[result].data[(i * H + h) * D + d];
      error = Math.max(error, Math.abs(sums[d] - want));
      size = Math.max(size, Math.abs(want));
    }
    await pace.rest();
  }
  if (error > 1e-2 * size) throw new MicrotomeError(`attentionNorms: what layer ${layer} of ${model.info.architecture} writes is not the sum over what it attends to (a gate or a norm follows the heads)`, { code: 'EUNSUPPORTED', details: { layer } });
  return { layer, tokens: T, heads: H, perHead, summed, error: size ? error / size : 0 };
}
