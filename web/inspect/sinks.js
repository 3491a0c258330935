// Attention sinks, heads at rest, and massive activations.
import { checkNumber, checkOptions } from '../runtime/errors.js';
import { Pace, idsOf, inLayers, largest, streamOf } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/** @typedef {import('./attention.js').Attention} Attention */
/**
 * @typedef {object} Sinks
 * @property {Float64Array} importance [layers, heads, tokens]: the mean weight that the queries from a key on give it, 0..1
 * @property {Float64Array} rate [tokens]: per cent of the heads whose importance of that key is above epsilon; NaN where fewer than minQueries queries see it
 * @property {{layer: number, head: number, position: number, importance: number}[]} sinks those heads, most important first
 * @property {number} epsilon
 */

/**
 * How much heads rest on single tokens (Gu et al. 2024, "When Attention Sink Emerges in Language Models", arXiv:2410.10781): alpha of a key is the mean weight over the queries at and behind it; a head
 * has a sink there if alpha is above epsilon. A key near the end is seen by few queries, so its mean says little: keys with fewer than minQueries are left out.
 * @param {Attention} attention @param {{epsilon?: number, minQueries?: number}} [options] epsilon: default 0.3; minQueries: default 16, or a quarter of a shorter text
 * @returns {Sinks} @throws {import('../runtime/errors.js').MicrotomeError} ERANGE
 */
export function attentionSinks(attention, options = {}) {
  checkOptions('attentionSinks', options, ['epsilon', 'minQueries']);
  const { layers, heads: H, tokens: T, patterns } = attention, { epsilon = 0.3, minQueries = Math.min(16, Math.max(1, Math.floor(T / 4))) } = options;
  checkNumber('attentionSinks: epsilon', epsilon, 0, 1);
  checkNumber('attentionSinks: minQueries', minQueries, 1, 2 ** 24, true);
  const importance = new Float64Array(layers * H * T), rate = new Float64Array(T), sinks = /** @type {Sinks['sinks']} */ ([]);
  for (let l = 0; l < layers; l++)
    for (let h = 0; h < H; h++)
      for (let k = 0; k < T; k++) {
        let sum = 0;
        for (let i = k; i < T; i++) sum += patterns[l][(h * T + i) * T + k];
        const alpha = (importance[(l * H + h) * T + k] = sum / (T - k));
        if (T - k < minQueries || !(alpha > epsilon)) continue;
        rate[k] += 100 / (layers * H);
        sinks.push({ layer: l, head: h, position: k, importance: alpha });
      }
  for (let k = 0; k < T; k++) if (T - k < minQueries) rate[k] = NaN;
  return { importance, rate, sinks: sinks.sort((a, b) => b.importance - a.importance), epsilon };
}

/**
 * Lengths of states, keys and values by layer and position: at a sink, states are long, and the keys' tokens that heads rest on have short values (Guo et al. 2024, "Active-Dormant Attention Heads",
 * arXiv:2410.13835). @param {Model} model @param {import('./stream.js').Prompt} prompt @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<{layers: number, tokens: number, states: Float64Array, keys: Float64Array, values: Float64Array}>} each [layers, tokens], Euclidean; states: after the layer; keys, values: means over heads, before rotation; NaN: the layer has none
 * @throws {import('../runtime/errors.js').MicrotomeError} as streamOf, Model.run
 */
export async function stateNorms(model, prompt, options = {}) {
  checkOptions('stateNorms', options, ['signal']);
  const ids = idsOf(model, prompt), T = ids.length, stream = await streamOf(model), { layers, names } = stream, has = (/** @type {string} */ what) => Array.from({ length: layers }, (_, l) => `blocks.${l}.${what}`).filter((name) => names.has(name));
  const { traces } = await model.run(ids, { all: true, trace: [...inLayers(stream, 'hook_resid_post'), ...has('attn.hook_k'), ...has('attn.hook_v')], signal: options.signal });
  const lengths = (/** @type {string} */ what) => {
    const out = new Float64Array(layers * T);
    for (let l = 0; l < layers; l++) {
      const traced = traces[`blocks.${l}.${what}`];
      if (!traced) { out.fill(NaN, l * T, (l + 1) * T); continue; }
      const parts = traced.shape.length === 3 ? traced.shape[1] : 1, n = traced.data.length / T / parts;
      for (let t = 0; t < T; t++)
        for (let g = 0; g < parts; g++) {
          let square = 0;
          for (let i = 0; i < n; i++) square += traced.data[(t * parts + g) * n + i] ** 2;
          out[l * T + t] += Math.sqrt(square) / parts;
        }
    }
    return out;
  };
  return { layers, tokens: T, states: lengths('hook_resid_post'), keys: lengths('attn.hook_k'), values: lengths('attn.hook_v') };
}

/** @typedef {{position: number, channel: number, value: number}} Activation */
/**
 * Activations that dwarf all others (Sun et al. 2024, "Massive Activations in Large Language Models", arXiv:2402.17762): larger than `least` and than `factor` times the median size of their layer.
 * @param {Model} model @param {import('./stream.js').Prompt} prompt @param {{factor?: number, least?: number, top?: number, signal?: AbortSignal}} [options] factor: default 1000; least: default 100; top: how many of each layer are listed, default 3
 * @returns {Promise<{layers: {layer: number, median: number, top: Activation[]}[], massive: (Activation & {layer: number})[], tokens: number, width: number}>} of the stream after each layer; median: of sizes; massive: largest first
 * @throws {import('../runtime/errors.js').MicrotomeError} as streamOf, Model.run
 */
export async function massiveActivations(model, prompt, options = {}) {
  checkOptions('massiveActivations', options, ['factor', 'least', 'top', 'signal']);
  const { factor = 1000, least = 100, top = 3, signal } = options, ids = idsOf(model, prompt), stream = await streamOf(model), { width: D } = stream, pace = new Pace(signal);
  checkNumber('massiveActivations: factor', factor, 0, 1e9);
  checkNumber('massiveActivations: least', least, 0, 1e9);
  checkNumber('massiveActivations: top', top, 1, 1024, true);
  const names = inLayers(stream, 'hook_resid_post'), { traces } = await model.run(ids, { all: true, trace: names, signal }), layers = [], massive = /** @type {(Activation & {layer: number})[]} */ ([]);
  for (const [layer, name] of names.entries()) {
    const { data } = traces[name], sizes = Float32Array.from(data, Math.abs), sorted = sizes.slice().sort(), n = sorted.length, median = (sorted[(n - 1) >> 1] + sorted[n >> 1]) / 2;
    const at = (/** @type {number} */ i) => ({ position: Math.floor(i / D), channel: i % D, value: data[i] });
    layers.push({ layer, median, top: largest(sizes, top).map(at) });
    for (let i = 0; i < n; i++) if (sizes[i] > least && sizes[i] > factor * median) massive.push({ layer, ...at(i) });
    await pace.rest();
  }
  return { layers, massive: massive.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)), tokens: ids.length, width: D };
}
