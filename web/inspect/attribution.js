// What each part of a model adds to a logit.
import { MicrotomeError, checkNumber, checkOptions } from '../runtime/errors.js';
import { valueVectors } from './neurons.js';
import { Pace, Readout, argmax, idsOf, inLayers, placeOf } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/**
 * @typedef {object} Part
 * @property {string} name "embed", "L3H5", "L3 rest", "mlp 3", "neuron 3.155", "constant"
 * @property {'embed' | 'head' | 'rest' | 'mlp' | 'mixer' | 'neuron' | 'constant'} kind rest: of an attention layer what is no head's (a bias); mixer: a recurrent layer; constant: biases of the final norm and the output
 * @property {number} layer -1: none @property {number} [head] @property {number} [neuron] @property {number} value logits
 */
/**
 * @typedef {object} Attribution
 * @property {number} position @property {number} token @property {number | 'mean' | null} against
 * @property {number} logit of the model: of the token, or the difference @property {number} sum of the parts: equal but for rounding
 * @property {number} scale of the final norm @property {Part[]} parts in the order of the layers @property {Part[]} neurons the largest by size, when asked for: they are what the "mlp" parts consist of
 */

/**
 * Direct logit attribution: the stream is a sum, and with the final norm's scale as it was in this run, so is a logit (Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits").
 * It is the direct effect alone: what later layers make of a part is theirs.
 * @param {Model} model @param {import('./stream.js').Prompt} prompt
 * @param {{position?: number, token?: number, against?: number | 'mean' | null, heads?: boolean, neurons?: number, signal?: AbortSignal}} [options] position: default -1, the last; token: default the likeliest;
 *   against: the logit of another token, or the mean over the vocabulary, is taken off; heads: default true, else attention layers are whole; neurons: how many to list, default 0
 * @returns {Promise<Attribution>} @throws {MicrotomeError} EUNSUPPORTED: not a decoder with one stream that its logits are a linear function of, or (neurons) a layer whose output is no sum over neurons; ERANGE; as Model.run
 */
export async function logitAttribution(model, prompt, options = {}) {
  checkOptions('logitAttribution', options, ['position', 'token', 'against', 'heads', 'neurons', 'signal']);
  const { against = null, heads = true, neurons = 0, signal } = options, ids = idsOf(model, prompt), readout = await Readout.of(model), { stream } = readout, { layers, width: D, heads: H, vocab, names } = stream;
  const t = placeOf('logitAttribution', options.position ?? -1, ids.length);
  checkNumber('logitAttribution: neurons', neurons, 0, 2 ** 24, true);
  const has = (/** @type {number} */ l, /** @type {string} */ what) => names.has(`blocks.${l}.${what}`), wanted = [stream.first, ...(stream.norm ? ['ln_final.hook_scale'] : [])];
  for (let l = 0; l < layers; l++)
    for (const what of ['hook_attn_out', 'hook_mixer_out', 'hook_mlp_out', ...(heads && has(l, 'hook_attn_out') ? ['attn.hook_result'] : []), ...(neurons ? ['mlp.hook_post'] : [])]) if (has(l, what)) wanted.push(`blocks.${l}.${what}`);
  const { logits, traces } = await model.run(ids, { all: true, trace: wanted, signal }), row = logits.subarray(t * vocab, (t + 1) * vocab);
  const token = options.token ?? argmax(row), direction = await readout.direction(token, against), scale = stream.norm ? traces['ln_final.hook_scale'].data[t] : 1;
  const along = (/** @type {ArrayLike<number>} */ data, /** @type {number} */ from) => readout.along(data, from, direction, scale);
  /** @type {Part[]} */ const parts = [{ name: 'embed', kind: 'embed', layer: -1, value: along(traces[stream.first].data, t * D) }];
  for (let l = 0; l < layers; l++) {
    const of = (/** @type {string} */ what) => traces[`blocks.${l}.${what}`], attention = of('hook_attn_out'), mixer = of('hook_mixer_out'), result = of('attn.hook_result'), mlp = of('hook_mlp_out');
    if (mixer) parts.push({ name: `mixer ${l}`, kind: 'mixer', layer: l, value: along(mixer.data, t * D) });
    if (attention && !result) parts.push({ name: `attention ${l}`, kind: 'rest', layer: l, value: along(attention.data, t * D) });
    if (attention && result) {
      const rest = Float64Array.from(attention.data.subarray(t * D, (t + 1) * D));
      for (let h = 0; h < H; h++) {
        const from = (t * H + h) * D;
        parts.push({ name: `L${l}H${h}`, kind: 'head', layer: l, head: h, value: along(result.data, from) });
        for (let i = 0; i < D; i++) rest[i] -= result.data[from + i];
      }
      // Rounding is no part.
      if (rest.some((x, i) => Math.abs(x) > 1e-5 * (1 + Math.abs(attention.data[t * D + i])))) parts.push({ name: `L${l} rest`, kind: 'rest', layer: l, value: along(rest, 0) });
    }
    if (mlp) parts.push({ name: `mlp ${l}`, kind: 'mlp', layer: l, value: along(mlp.data, t * D) });
  }
  const logit = row[token] - (against === null ? 0 : against === 'mean' ? row.reduce((a, b) => a + b, 0) / vocab : row[against]);
  const zero = await readout.logits(new Float32Array(D), { scale: 1, signal }); // the output's own bias, and the norm's
  const constant = zero[token] - (against === null ? 0 : against === 'mean' ? zero.reduce((a, b) => a + b, 0) / vocab : zero[against]);
  if (constant !== 0) parts.push({ name: 'constant', kind: 'constant', layer: -1, value: constant });
  const sum = parts.reduce((s, { value }) => s + value, 0), size = parts.reduce((s, { value }) => s + Math.abs(value), 0);
  if (!(Math.abs(sum - logit) <= 1e-3 * size + 1e-3)) throw new MicrotomeError(`logitAttribution: the parts of ${model.info.architecture} add up to ${sum}, not to its logit ${logit}: its output is no linear function of one stream (a soft cap, or a residual path of its own)`, { code: 'EUNSUPPORTED' });
  return { position: t, token, against, logit, sum, scale, parts, neurons: neurons ? await ofNeurons() : [] };

  async function ofNeurons() {
    const pace = new Pace(signal);
    /** @type {Part[]} */ let found = [];
    for (const name of inLayers(stream, 'mlp.hook_post').filter((n) => traces[n])) {
      const l = Number(name.split('.')[1]), { data, shape } = traces[name], F = shape[1], { vectors } = await valueVectors(model, l, { signal });
      for (let n = 0; n < F; n++) {
        found.push({ name: `neuron ${l}.${n}`, kind: 'neuron', layer: l, neuron: n, value: data[t * F + n] * along(vectors, n * D) });
        if (n % 256 === 255) await pace.rest();
      }
      found = found.sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, neurons);
    }
    return found;
  }
}
