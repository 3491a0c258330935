// Neurons of feed-forward layers, read in the vocabulary: a layer's output is the sum of its neurons' value vectors, each times its coefficient.
import { MicrotomeError, checkNumber, checkOptions } from '../runtime/errors.js';
import { Pace, Readout, idsOf, largest, placeOf, streamOf } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/** @typedef {{token: number, score: number}} Scored score: logits that the neuron adds here */
/**
 * @typedef {object} NeuronReading
 * @property {number} neuron @property {number} coefficient its activation @property {number} size |coefficient| times the length of its value vector @property {number} share of the sizes of all neurons, 0..1
 * @property {Scored[]} promotes most first @property {Scored[]} suppresses most first
 */

/** @type {WeakMap<Model, Map<number, Promise<{vectors: Float32Array, bias: Float32Array, width: number, neurons: number}>>>} */ const VECTORS = new WeakMap();

/**
 * Value vectors of a feed-forward layer: what each neuron writes into the stream when its coefficient is 1. Read off the model by switching neurons on one at a time; kept with the model.
 * @param {Model} model @param {number} layer @param {{signal?: AbortSignal}} [options]
 * @returns {Promise<{vectors: Float32Array, bias: Float32Array, width: number, neurons: number}>} vectors [neurons, width]; bias [width]: what the layer writes without any neuron
 * @throws {MicrotomeError} ERANGE: no such layer; EUNSUPPORTED: its output is no sum over neurons (experts, a norm behind it)
 */
export async function valueVectors(model, layer, options = {}) {
  checkOptions('valueVectors', options, ['signal']);
  const { layers } = await streamOf(model);
  checkNumber('valueVectors: layer', layer, 0, layers - 1, true);
  let kept = VECTORS.get(model);
  if (!kept) VECTORS.set(model, (kept = new Map()));
  let found = kept.get(layer);
  if (!found) {
    found = read(model, layer, options.signal);
    found.catch(() => kept.delete(layer));
    kept.set(layer, found);
  }
  return found;
}

/** @param {Model} model @param {number} layer @param {AbortSignal} [signal] */
async function read(model, layer, signal) {
  const { names, width } = await streamOf(model), from = `blocks.${layer}.mlp.hook_post`, to = `blocks.${layer}.hook_mlp_out`;
  for (const name of [from, to]) if (!names.has(name)) throw new MicrotomeError(`valueVectors: layer ${layer} has no ${name}`, { code: 'EUNSUPPORTED', details: { name } });
  const neurons = (await model.run([0], { stopAt: from, signal })).traces[from].shape[1], vectors = new Float32Array(neurons * width), most = Math.min(512, model.info.context || 512);
  const through = async (/** @type {Float32Array} */ data) => (await model.run(new Array(data.length / neurons).fill(0), { from: { name: from, data }, stopAt: to, signal })).traces[to].data;
  // Nothing, everything, and everything twice: a sum over neurons is straight between them.
  const probe = new Float32Array(3 * neurons).fill(0.5, neurons, 2 * neurons).fill(1, 2 * neurons), at = await through(probe), bias = at.slice(0, width);
  let bent = 0, size = 0;
  for (let i = 0; i < width; i++) {
    bent = Math.max(bent, Math.abs(at[2 * width + i] - 2 * at[width + i] + bias[i]));
    size = Math.max(size, Math.abs(at[2 * width + i] - bias[i]));
  }
  if (bent > 1e-2 * size) throw new MicrotomeError(`valueVectors: what layer ${layer} writes is no sum over its neurons (a norm follows them)`, { code: 'EUNSUPPORTED', details: { layer } });
  for (let n = 0; n < neurons; n += most) {
    const count = Math.min(most, neurons - n), data = new Float32Array(count * neurons);
    for (let k = 0; k < count; k++) data[k * neurons + n + k] = 1;
    const out = await through(data);
    for (let i = 0; i < count * width; i++) vectors[n * width + i] = out[i] - bias[i % width];
  }
  return { vectors, bias, width, neurons };
}

/**
 * The neurons of a layer that matter most at a place, and the tokens that each makes likelier and less likely: the logits that coefficient times value vector adds, under the final norm's scale at
 * that place (Geva et al. 2022, "Transformer Feed-Forward Layers Build Predictions by Promoting Concepts in the Vocabulary Space", arXiv:2203.14680). Dominant means: |coefficient| times length.
 * @param {Model} model @param {import('./stream.js').Prompt} prompt
 * @param {{layer: number, position?: number, neurons?: number, tokens?: number, signal?: AbortSignal}} options position: default -1; neurons: how many, default 10; tokens: of each list, default 6
 * @returns {Promise<{layer: number, position: number, neurons: NeuronReading[], share: number}>} share: of the sizes of all neurons that those listed hold @throws {MicrotomeError} as valueVectors, Model.run
 */
export async function neuronReadings(model, prompt, options) {
  checkOptions('neuronReadings', options, ['layer', 'position', 'neurons', 'tokens', 'signal']);
  const { layer, tokens = 6, signal } = options, ids = idsOf(model, prompt), t = placeOf('neuronReadings', options.position ?? -1, ids.length), readout = await Readout.of(model), { stream } = readout, { vocab, width: D } = stream;
  checkNumber('neuronReadings: tokens', tokens, 1, vocab, true);
  const { vectors, neurons: F } = await valueVectors(model, layer, { signal }), name = `blocks.${layer}.mlp.hook_post`, count = checkNumber('neuronReadings: neurons', options.neurons ?? 10, 1, 2 ** 24, true);
  const { traces } = await model.run(ids, { trace: [name, ...(stream.norm ? ['ln_final.hook_scale'] : [])], all: true, signal }), m = traces[name].data.subarray(t * F, (t + 1) * F), scale = stream.norm ? traces['ln_final.hook_scale'].data[t] : 1;
  const sizes = Float64Array.from(m, (x, n) => { let s = 0; for (let i = 0; i < D; i++) s += vectors[n * D + i] ** 2; return Math.abs(x) * Math.sqrt(s); }), total = sizes.reduce((a, b) => a + b, 0);
  const order = largest(sizes, Math.min(count, F)), rows = new Float32Array((order.length + 1) * D), pace = new Pace(signal); // the last row: nothing
  order.forEach((n, k) => { for (let i = 0; i < D; i++) rows[k * D + i] = m[n] * vectors[n * D + i]; });
  const logits = await readout.logits(rows, { scale, signal }), none = logits.subarray(order.length * vocab), out = /** @type {NeuronReading[]} */ ([]);
  for (const [k, n] of order.entries()) {
    const adds = Float64Array.from({ length: vocab }, (_, v) => logits[k * vocab + v] - none[v]), list = (/** @type {1 | -1} */ sign) => largest(adds.map((x) => sign * x), tokens).map((token) => ({ token, score: adds[token] }));
    out.push({ neuron: n, coefficient: m[n], size: sizes[n], share: total ? sizes[n] / total : 0, promotes: list(1), suppresses: list(-1) });
    await pace.rest();
  }
  return { layer, position: t, neurons: out, share: out.reduce((sum, n) => sum + n.share, 0) };
}

/**
 * What a neuron says in the vocabulary whatever is read: its value vector through the final norm's gain and the unembedding, with the norm's scale 1. The order of tokens is what counts.
 * @param {Model} model @param {number} layer 0..layers - 1 @param {number} neuron of its feed-forward layer @param {{tokens?: number, signal?: AbortSignal}} [options] tokens: of each list, default 10
 * @returns {Promise<{promotes: Scored[], suppresses: Scored[]}>} for a positive coefficient; the other way round for a negative one @throws {MicrotomeError} as valueVectors
 */
export async function neuronVocabulary(model, layer, neuron, options = {}) {
  checkOptions('neuronVocabulary', options, ['tokens', 'signal']);
  const { tokens = 10, signal } = options, { vectors, width: D, neurons } = await valueVectors(model, layer, { signal }), readout = await Readout.of(model), { vocab } = readout.stream;
  checkNumber('neuronVocabulary: neuron', neuron, 0, neurons - 1, true);
  checkNumber('neuronVocabulary: tokens', tokens, 1, vocab, true);
  const rows = new Float32Array(2 * D);
  rows.set(vectors.subarray(neuron * D, (neuron + 1) * D));
  const logits = await readout.logits(rows, { scale: 1, signal }), adds = Float64Array.from({ length: vocab }, (_, v) => logits[v] - logits[vocab + v]);
  const list = (/** @type {1 | -1} */ sign) => largest(adds.map((x) => sign * x), tokens).map((token) => ({ token, score: adds[token] }));
  return { promotes: list(1), suppresses: list(-1) };
}
