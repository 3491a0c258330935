// Feed-forward layers seen as attention maps: how much of each token is in what they write.
import { MicrotomeError, checkNumber, checkOptions } from '../runtime/errors.js';
import { Pace, idsOf, streamOf } from './stream.js';
import { valueVectors } from './neurons.js';

/** @typedef {import('./stream.js').Model} Model */
/**
 * Lengths by reading and read token, each [tokens, tokens], 0 where the row cannot see the column.
 * @typedef {object} FeedForwardMaps
 * @property {number} layer @property {number} tokens
 * @property {Float64Array} attention what attention and the residual path bring from j to i
 * @property {Float64Array} feedForward what the feed-forward layer makes of that part
 * @property {Float64Array} both the two added: what goes on in the stream
 * @property {number} error of completeness: the largest difference of the parts' sum to what the layer writes beyond its baseline, as a share of its size
 */

// Gauss and Legendre's points and weights on 0..1, eight of them: exact for polynomials up to degree 15.
const POINTS = [0.0198550717512319, 0.1016667612931866, 0.2372337950418355, 0.4082826787521751, 0.5917173212478249, 0.7627662049581645, 0.8983332387068134, 0.9801449282487681];
const WEIGHTS = [0.0506142681451881, 0.1111905172266872, 0.1568533229389436, 0.1813418916891810, 0.1813418916891810, 0.1568533229389436, 0.1111905172266872, 0.0506142681451881];
const SMALL = 1e-3;

/**
 * Attention maps through a feed-forward layer, by integrated gradients (Kobayashi et al. 2024, "Analyzing Feed-Forward Blocks in Transformers through the Lens of Attention Map", arXiv:2302.00456). What reaches the layer at i is a sum over
 * tokens j; along the straight path from nothing to that sum, each hidden unit's change is shared out by integrated gradients (for one input in closed form; for gated units the product's integral is left, by quadrature). The norm
 * before the layer is linear with its scale held. Work grows with the square of the tokens times the layer.
 * @param {Model} model @param {import('./stream.js').Prompt} prompt @param {{layer: number, signal?: AbortSignal}} options @returns {Promise<FeedForwardMaps>}
 * @throws {MicrotomeError} ERANGE: no such layer; EUNSUPPORTED: no layer of attention, norm and feed-forward one after the other; as Model.run
 */
export async function feedForwardMaps(model, prompt, options) {
  checkOptions('feedForwardMaps', options, ['layer', 'signal']);
  const { layer, signal } = options, stream = await streamOf(model), { layers, heads: H, width: D, names } = stream, ids = idsOf(model, prompt), T = ids.length, pace = new Pace(signal);
  checkNumber('feedForwardMaps: layer', layer, 0, layers - 1, true);
  const name = (/** @type {string} */ what) => `blocks.${layer}.${what}`, [pre, mid, v, z, result, pattern, scale, hidden, post, out] = ['hook_resid_pre', 'hook_resid_mid', 'attn.hook_v', 'attn.hook_z', 'attn.hook_result', 'attn.hook_pattern', 'ln2.hook_scale', 'mlp.hook_pre', 'mlp.hook_post', 'hook_mlp_out'].map(name);
  for (const one of [mid, v, z, result, pattern, scale, hidden, post]) if (!names.has(one)) throw new MicrotomeError(`feedForwardMaps: layer ${layer} has no ${one}`, { code: 'EUNSUPPORTED', details: { name: one } });
  const gated = names.has(name('mlp.hook_gate')), linear = name('mlp.hook_pre_linear'), gate = name('mlp.hook_gate'), { traces } = await model.run(ids, { all: true, trace: [pre, mid, v, pattern, scale, hidden, ...(gated ? [linear] : []), out], signal });

  // What attention and the residual path bring from j to i: rows of a lower triangle.
  const [, G, E] = traces[v].shape, data = new Float32Array(T * H * E);
  for (let t = 0; t < T; t++) for (let h = 0; h < H; h++) { const g = Math.floor((h * G) / H); data.set(traces[v].data.subarray((t * G + g) * E, (t * G + g + 1) * E), (t * H + h) * E); }
  const moved = (await model.run(ids, { from: { name: z, data }, stopAt: result, signal })).traces[result].data, A = traces[pattern].data, pairs = (T * (T + 1)) / 2, brought = new Float32Array((pairs + 1) * D); // the last row: nothing
  for (let i = 0, row = 0; i < T; i++) {
    const rest = Float64Array.from(traces[mid].data.subarray(i * D, (i + 1) * D)); // of the stream, and the output's bias: token i's own
    for (let j = 0; j <= i; j++, row++)
      for (let h = 0; h < H; h++) {
        const a = A[(h * T + i) * T + j];
        if (a) for (let d = 0; d < D; d++) { const x = a * moved[(j * H + h) * D + d]; brought[row * D + d] += x; rest[d] -= x; }
      }
    for (let d = 0; d < D; d++) brought[(row - 1) * D + d] += rest[d];
    await pace.rest();
  }

  // Through the norm with the scale of row i, and into the hidden units.
  const F = traces[hidden].shape[1], most = Math.min(512, model.info.context || 512), rows = pairs + 1, scales = new Float32Array(rows).fill(1), into = new Float32Array(rows * F), up = gated ? new Float32Array(rows * F) : null;
  for (let i = 0, row = 0; i < T; i++) for (let j = 0; j <= i; j++) scales[row++] = traces[scale].data[i];
  for (let at = 0; at < rows; at += most) {
    const n = Math.min(most, rows - at), found = (await model.run(new Array(n).fill(0), { from: { name: mid, data: brought.subarray(at * D, (at + n) * D) }, patch: [{ name: scale, kind: 'replace', value: scales.subarray(at, at + n) }], trace: [hidden, ...(gated ? [linear] : [])], stopAt: post, signal })).traces;
    into.set(found[hidden].data, at * F);
    up?.set(found[linear].data, at * F);
  }
  const none = into.slice(pairs * F), noneUp = up?.slice(pairs * F);
  for (let k = 0; k < pairs * F; k++) { into[k] -= none[k % F]; if (up && noneUp) up[k] -= noneUp[k % F]; }

  // The activation, by the model itself, along the path of each row: its beginning, just behind it, its end, and for gated units the points of the quadrature.
  const steps = [0, null, 1, ...(gated ? POINTS : [])], path = new Float32Array(T * steps.length * F), active = new Float32Array(path.length);
  for (let i = 0; i < T; i++) steps.forEach((s, k) => { for (let f = 0; f < F; f++) path[(i * steps.length + k) * F + f] = none[f] + (s === null ? SMALL : s * (traces[hidden].data[i * F + f] - none[f])); });
  for (let at = 0; at < T * steps.length; at += most) {
    const n = Math.min(most, T * steps.length - at), to = gated ? gate : post;
    active.set((await model.run(new Array(n).fill(0), { from: { name: hidden, data: path.subarray(at * F, (at + n) * F) }, stopAt: to, signal })).traces[to].data, at * F);
  }

  // Each unit's change, shared out among the tokens; then what the layer writes of it.
  const shared = new Float32Array(pairs * F), base = new Float32Array(F);
  for (let f = 0; f < F; f++) base[f] = active[f] * (noneUp ? noneUp[f] : 1);
  for (let i = 0, row = 0; i < T; i++) {
    const at = (/** @type {number} */ k, /** @type {number} */ f) => active[(i * steps.length + k) * F + f], first = row;
    for (let f = 0; f < F; f++) {
      const g = traces[hidden].data[i * F + f] - none[f], slope = (at(1, f) - at(0, f)) / SMALL;
      let mean = 0, u = 0, u0 = 1;
      if (gated && noneUp) {
        for (let k = 0; k < POINTS.length; k++) mean += WEIGHTS[k] * at(3 + k, f);
        u0 = noneUp[f];
        u = traces[linear].data[i * F + f] - u0;
      }
      const perInput = Math.abs(g) < SMALL ? slope * (u0 + u / 2) : (at(2, f) * (u0 + u) - at(0, f) * u0 - u * mean) / g;
      for (let j = 0; j <= i; j++) shared[(first + j) * F + f] = perInput * into[(first + j) * F + f] + (up ? mean * up[(first + j) * F + f] : 0);
    }
    row += i + 1;
    await pace.rest();
  }
  const { bias } = await valueVectors(model, layer, { signal }), written = new Float32Array(pairs * D), through = async (/** @type {Float32Array} */ x) => (await model.run(new Array(x.length / F).fill(0), { from: { name: post, data: x }, stopAt: out, signal })).traces[out].data;
  for (let at = 0; at < pairs; at += most) written.set(await through(shared.subarray(at * F, Math.min(pairs, at + most) * F)), at * D);
  const baseline = await through(base), maps = { attention: new Float64Array(T * T), feedForward: new Float64Array(T * T), both: new Float64Array(T * T) };
  let error = 0, size = 0;
  for (let i = 0, row = 0; i < T; i++) {
    const sum = Float64Array.from(baseline);
    for (let j = 0; j <= i; j++, row++) {
      let a = 0, w = 0, b = 0;
      for (let d = 0; d < D; d++) {
        const x = brought[row * D + d], y = written[row * D + d] - bias[d];
        a += x * x;
        w += y * y;
        b += (x + y) ** 2;
        sum[d] += y;
      }
      maps.attention[i * T + j] = Math.sqrt(a);
      maps.feedForward[i * T + j] = Math.sqrt(w);
      maps.both[i * T + j] = Math.sqrt(b);
    }
    for (let d = 0; d < D; d++) {
      error = Math.max(error, Math.abs(sum[d] - traces[out].data[i * D + d]));
      size = Math.max(size, Math.abs(traces[out].data[i * D + d]));
    }
  }
  return { layer, tokens: T, ...maps, error: size ? error / size : 0 };
}
