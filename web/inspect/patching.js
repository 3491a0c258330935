// Where a difference between two prompts lives: activation patching, and its first-order estimate.
import { MicrotomeError, checkNumber, checkOptions } from '../runtime/errors.js';
import { argmax, idsOf, inLayers, placeOf, streamOf } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/** @typedef {'state' | 'attention' | 'mlp'} Where state: the stream before a layer */
/**
 * @typedef {object} PatchingMap
 * @property {number} clean the metric on the clean prompt: logit of the token less that of the other @property {number} corrupt
 * @property {number} token @property {number} against @property {number} position
 * @property {number} layers @property {number} tokens @property {number} heads
 * @property {Partial<Record<Where, Float64Array>>} places [layers, tokens]: 0: the patch changes nothing, 1: it makes the whole difference; beyond these it overshoots
 * @property {Float64Array | null} byHead [layers, heads], of a head at all positions
 */
/**
 * @typedef {object} PatchingOptions
 * @property {number} [token] what the clean prompt calls for; default: its likeliest next token
 * @property {number} [against] what the corrupt one calls for; default: its likeliest
 * @property {number} [position] whose next token, default -1
 * @property {'denoise' | 'noise'} [direction] denoise (default): the corrupt prompt runs with values of the clean one: what suffices to restore; noise: the other way round: what is needed
 * @property {Where[]} [places] default state, attention, mlp @property {boolean} [heads] default true
 * @property {AbortSignal} [signal] @property {(done: number, total: number) => void} [onProgress]
 */

/** Both prompts, checked, and what is asked. @param {Model} model @param {import('./stream.js').Prompt} clean @param {import('./stream.js').Prompt} corrupt @param {PatchingOptions} options @param {string[]} trace */
async function pair(model, clean, corrupt, options, trace) {
  const { signal } = options, stream = await streamOf(model), { vocab } = stream, ids = [idsOf(model, clean), idsOf(model, corrupt)], T = ids[0].length;
  if (ids[1].length !== T) throw new MicrotomeError(`patching: the prompts have ${T} and ${ids[1].length} tokens: both must have as many`, { code: 'ERANGE', details: { clean: T, corrupt: ids[1].length } });
  const t = placeOf('patching', options.position ?? -1, T), runs = [await model.run(ids[0], { all: true, trace, signal }), await model.run(ids[1], { all: true, trace, signal })];
  const rows = runs.map(({ logits }) => logits.subarray(t * vocab, (t + 1) * vocab)), token = options.token ?? argmax(rows[0]), against = options.against ?? argmax(rows[1]);
  for (const [name, id] of /** @type {[string, number][]} */ ([['token', token], ['against', against]])) checkNumber(`patching: ${name}`, id, 0, vocab - 1, true);
  if (token === against) throw new MicrotomeError('patching: both prompts call for the same token: give token and against', { code: 'ERANGE', details: { token } });
  const metric = (/** @type {ArrayLike<number>} */ row) => row[token] - row[against], M = rows.map(metric);
  if (!(Math.abs(M[0] - M[1]) > 1e-6)) throw new MicrotomeError('patching: the prompts do not differ in what is measured', { code: 'ERANGE', details: { clean: M[0], corrupt: M[1] } });
  return { stream, ids, T, t, runs, token, against, metric, M };
}

/**
 * Activation patching, also causal tracing or interchange intervention (Vig et al. 2020, arXiv:2004.12265; Meng et al. 2022, arXiv:2202.05262; Wang et al. 2022, arXiv:2211.00593): one value of a run is replaced by
 * that of another prompt, and the share of the difference that this makes is the score, (patched - base) / (source - base). One run for each cell, from its layer on.
 * @param {Model} model @param {import('./stream.js').Prompt} clean @param {import('./stream.js').Prompt} corrupt as many tokens @param {PatchingOptions} [options] @returns {Promise<PatchingMap>}
 * @throws {MicrotomeError} ERANGE: different lengths, no difference; EUNSUPPORTED: not a decoder with one stream; as Model.run
 */
export async function patchingMap(model, clean, corrupt, options = {}) {
  checkOptions('patchingMap', options, ['token', 'against', 'position', 'direction', 'places', 'heads', 'signal', 'onProgress']);
  const { direction = 'denoise', places = ['state', 'attention', 'mlp'], heads: withHeads = true, signal, onProgress } = options, stream = await streamOf(model), { layers, heads, width: D, vocab } = stream;
  if (!['denoise', 'noise'].includes(direction)) throw new MicrotomeError(`patchingMap: unknown direction ${JSON.stringify(direction)}: known are denoise, noise`, { code: 'EUNKNOWN' });
  const what = { state: 'hook_resid_pre', attention: 'hook_attn_out', mlp: 'hook_mlp_out' };
  for (const place of places) if (!(place in what)) throw new MicrotomeError(`patchingMap: unknown place ${JSON.stringify(place)}: known are ${Object.keys(what).join(', ')}`, { code: 'EUNKNOWN' });
  const starts = inLayers(stream, 'hook_resid_pre'), names = Object.fromEntries(places.map((place) => [place, inLayers(stream, what[place])])), z = withHeads ? inLayers(stream, 'attn.hook_z') : [];
  const { ids, T, t, runs, token, against, metric, M } = await pair(model, clean, corrupt, options, [...new Set([...starts, ...Object.values(names).flat(), ...z])]);
  const base = direction === 'denoise' ? 1 : 0, source = 1 - base, total = layers * (places.length * T + (withHeads ? heads : 0)), differs = (/** @type {string} */ name, /** @type {number} */ i) => { for (let d = 0; d < D; d++) if (runs[0].traces[name].data[i * D + d] !== runs[1].traces[name].data[i * D + d]) return true; return false; };
  let done = 0;
  /** @param {number} l @param {import('../patch.js').Patch} patch */
  const score = async (l, patch) => {
    const { logits } = await model.run(ids[base], { all: t < T - 1, from: { name: starts[l], data: runs[base].traces[starts[l]].data }, patch: [patch], signal });
    return (metric(logits.length === vocab ? logits : logits.subarray(t * vocab, (t + 1) * vocab)) - M[base]) / (M[source] - M[base]);
  };
  const out = /** @type {PatchingMap} */ ({ clean: M[0], corrupt: M[1], token, against, position: t, layers, tokens: T, heads, places: {}, byHead: withHeads ? new Float64Array(layers * heads) : null });
  for (const place of places) out.places[place] = new Float64Array(layers * T);
  for (let l = 0; l < layers; l++) {
    for (const place of places) {
      const name = names[place][l], { data } = runs[source].traces[name];
      for (let i = 0; i < T; i++) {
        // What is the same in both, and what comes after the place that is asked, changes nothing.
        if (i <= t && differs(name, i)) /** @type {Float64Array} */ (out.places[place])[l * T + i] = await score(l, { name, kind: 'replace', index: [i], value: data.subarray(i * D, (i + 1) * D) });
        onProgress?.(++done, total);
      }
    }
    if (!out.byHead) continue;
    const { data, shape } = runs[source].traces[z[l]], E = shape[2];
    for (let h = 0; h < heads; h++) {
      const value = new Float32Array(T * E);
      for (let i = 0; i < T; i++) value.set(data.subarray((i * heads + h) * E, (i * heads + h + 1) * E), i * E);
      out.byHead[l * heads + h] = await score(l, { name: z[l], kind: 'replace', index: [null, h], value });
      onProgress?.(++done, total);
    }
  }
  return out;
}

/**
 * Attribution patching: the first-order estimate of every cell of patchingMap, from two runs and one gradient, taken on the run that would be patched (Nanda 2023; Syed et al. 2023, arXiv:2310.10348). It
 * fails where a patch moves far: whole states, early layers.
 * @param {Model} model @param {import('./stream.js').Prompt} clean @param {import('./stream.js').Prompt} corrupt as many tokens @param {PatchingOptions} [options] @returns {Promise<PatchingMap>} @throws {MicrotomeError} as patchingMap, Model.gradients
 */
export async function attributionPatching(model, clean, corrupt, options = {}) {
  checkOptions('attributionPatching', options, ['token', 'against', 'position', 'direction', 'places', 'heads', 'signal', 'onProgress']);
  const { direction = 'denoise', places = ['state', 'attention', 'mlp'], heads: withHeads = true, signal } = options, stream = await streamOf(model), { layers, heads, width: D } = stream;
  const what = { state: 'hook_resid_pre', attention: 'hook_attn_out', mlp: 'hook_mlp_out' }, names = Object.fromEntries(places.map((place) => [place, inLayers(stream, what[place])])), z = withHeads ? inLayers(stream, 'attn.hook_z') : [];
  const wanted = [...Object.values(names).flat(), ...z], { ids, T, t, runs, token, against, M } = await pair(model, clean, corrupt, options, wanted), base = direction === 'denoise' ? 1 : 0, source = 1 - base;
  const { values } = await model.gradients(ids[base], { of: { logits: [{ position: t, token }, { position: t, token: against, weight: -1 }] }, values: wanted, signal });
  const out = /** @type {PatchingMap} */ ({ clean: M[0], corrupt: M[1], token, against, position: t, layers, tokens: T, heads, places: {}, byHead: withHeads ? new Float64Array(layers * heads) : null });
  const sum = (/** @type {string} */ name, /** @type {number} */ from, /** @type {number} */ n) => { let s = 0; for (let i = from; i < from + n; i++) s += values[name].data[i] * (runs[source].traces[name].data[i] - runs[base].traces[name].data[i]); return s / (M[source] - M[base]); };
  for (const place of places) out.places[place] = Float64Array.from({ length: layers * T }, (_, k) => sum(names[place][Math.floor(k / T)], (k % T) * D, D));
  if (out.byHead) for (let l = 0; l < layers; l++) for (let h = 0; h < heads; h++) for (let i = 0, E = values[z[l]].shape[2]; i < T; i++) out.byHead[l * heads + h] += sum(z[l], (i * heads + h) * E, E);
  return out;
}
