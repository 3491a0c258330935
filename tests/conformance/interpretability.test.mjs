// What an interpreter reads off stories260K, against an independent double-precision implementation: losses, direct logit attribution, activation patching, lenses, attention and neuron
// statistics, self-repair. Everything here uses traces and patches alone.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Model } from '../../web/index.js';
import { readSafetensors } from '../support/safetensors_read.mjs';
import { shared, skipWithoutShared } from '../support/shared.mjs';

const L = 5, H = 8, D = 64, F = 172, V = 512, E = 8;
const L64 = [1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292, 411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266, 268,
  388, 426, 338, 391, 266, 267, 337, 335, 312, 432, 398, 312, 286, 267, 414, 270, 333, 415, 426, 13, 438];
const ONCE = [1, 403, 407, 261, 378], LILY = [1, 317, 286, 399, 296, 418, 426], TIM = [1, 326, 286, 399, 296, 418, 426], SHE = 338, HE = 346;
const COMMA = 432;

/** @param {ArrayLike<number>} got @param {number[]} want @param {number} tolerance @param {string} what */
function near(got, want, tolerance, what) {
  assert.equal(got.length, want.length, what);
  want.forEach((x, i) => assert.ok(Math.abs(got[i] - x) <= tolerance, `${what} ${i}: ${got[i]}, expected ${x}`));
}
/** @param {ArrayLike<number>} row @param {number} [from] @param {number} [n] */
function logSoftmax(row, from = 0, n = row.length) {
  let top = -Infinity, sum = 0;
  for (let i = 0; i < n; i++) top = Math.max(top, row[from + i]);
  for (let i = 0; i < n; i++) sum += Math.exp(row[from + i] - top);
  return Float64Array.from({ length: n }, (_, i) => row[from + i] - top - Math.log(sum));
}
const argmax = (/** @type {ArrayLike<number>} */ x) => { let best = 0; for (let i = 1; i < x.length; i++) if (x[i] > x[best]) best = i; return best; };
const mean = (/** @type {ArrayLike<number>} */ x) => Array.prototype.reduce.call(x, (/** @type {any} */ s, /** @type {any} */ v) => s + v, 0) / x.length;
const norm = (/** @type {ArrayLike<number>} */ x) => Math.sqrt(Array.prototype.reduce.call(x, (/** @type {any} */ s, /** @type {any} */ v) => s + v * v, 0));
const layers = (/** @type {string} */ name) => Array.from({ length: L }, (_, l) => `blocks.${l}.${name}`);
const median = (/** @type {ArrayLike<number>} */ x) => { const s = Float64Array.from(x).sort(); return (s[(s.length - 1) >> 1] + s[s.length >> 1]) / 2; };
const entropy = (/** @type {Float64Array} */ log) => log.reduce((h, x) => h - Math.exp(x) * x, 0);

describe('stories260K', { skip: skipWithoutShared }, () => {
  /** @type {Model} */ let model;
  /** @type {Float32Array} */ let U, gamma;
  /** @type {(l: number) => Float32Array} */ let downOf, outOf;
  /** @type {number[]} */ let L256;
  /** @type {number[][]} */ let SAMP10 = [];
  before(async () => {
    model = await Model.load(shared('models/stories260K/stories260K.F32.gguf'), { threads: 1 });
    const tensors = readSafetensors(join(shared('models/stories260K'), 'model.safetensors'));
    const tensor = (/** @type {string} */ name) => /** @type {Float32Array} */ (tensors[name].data);
    U = tensor('model.embed_tokens.weight');
    gamma = tensor('model.norm.weight');
    downOf = (l) => tensor(`model.layers.${l}.mlp.down_proj.weight`); // [D][F]
    outOf = (l) => tensor(`model.layers.${l}.self_attn.o_proj.weight`); // [D][H E]
    L256 = [...ONCE, ...(await model.greedy(ONCE, { maxTokens: 251, stop: [] })).ids];
  });
  after(() => model.dispose());

  /** The final norm and the unembedding of one row. @param {ArrayLike<number>} x @param {number} [from] */
  function unembed(x, from = 0) {
    let square = 0;
    for (let d = 0; d < D; d++) square += x[from + d] ** 2;
    const scale = Math.sqrt(square / D + 1e-5);
    return Float64Array.from({ length: V }, (_, v) => { let s = 0; for (let d = 0; d < D; d++) s += (x[from + d] / scale) * gamma[d] * U[v * D + d]; return s; });
  }
  const lens = (/** @type {ArrayLike<number>} */ x, from = 0) => logSoftmax(unembed(x, from));
  /** Residual streams: embedding, then after each layer. @param {number[]} ids */
  async function streams(ids) {
    const names = ['hook_embed', ...layers('hook_resid_post')];
    const { logits, traces } = await model.run(ids, { all: true, trace: names });
    return { logits, rows: names.map((name) => traces[name].data) };
  }
  /** Next-token losses. @param {Float32Array} logits @param {number[]} ids */
  const losses = (logits, ids) => ids.slice(1).map((id, t) => -logSoftmax(logits, t * V, V)[id]);
  /** She minus He after the last token. @param {Float32Array} logits */
  const M = (logits) => logits[SHE] - logits[HE];

  test('the golden text and its losses', async () => {
    assert.deepEqual(L256.slice(0, 64), L64);
    const of64 = losses((await model.run(L64, { all: true })).logits, L64), of256 = losses((await model.run(L256, { all: true })).logits, L256);
    near([mean(of64), Math.max(...of64), mean(of256)], [0.403561, 1.646101, 0.455788], 2e-4, 'loss');
  });

  test('direct logit attribution adds up to the logit', async () => {
    const t = ONCE.length - 1, names = ['hook_embed', 'ln_final.hook_scale', ...layers('attn.hook_result'), ...layers('hook_mlp_out')];
    const { logits, traces } = await model.run(ONCE, { trace: names });
    const scale = traces['ln_final.hook_scale'].data[t];
    const dla = (/** @type {Float32Array} */ x, /** @type {number} */ from) => { let s = 0; for (let d = 0; d < D; d++) s += (x[from + d] / scale) * gamma[d] * U[COMMA * D + d]; return s; };
    /** @type {Record<string, number>} */ const parts = { embed: dla(traces.hook_embed.data, t * D) };
    for (let l = 0; l < L; l++) {
      parts[`mlp${l}`] = dla(traces[`blocks.${l}.hook_mlp_out`].data, t * D);
      for (let h = 0; h < H; h++) parts[`L${l}H${h}`] = dla(traces[`blocks.${l}.attn.hook_result`].data, (t * H + h) * D);
    }
    const sum = Object.values(parts).reduce((a, b) => a + b, 0);
    near([logits[COMMA], sum], [17.799398, 17.799398], 2e-4, 'logit');
    const order = Object.keys(parts).sort((a, b) => parts[b] - parts[a]).slice(0, 8);
    assert.deepEqual(order, ['mlp4', 'mlp3', 'mlp1', 'mlp2', 'mlp0', 'L3H5', 'L4H3', 'embed']);
    near(order.map((name) => parts[name]), [4.4718, 4.1753, 3.003, 1.965, 1.3867, 0.5507, 0.4617, 0.4275], 2e-4, 'part');
  });

  describe('the name and the pronoun', () => {
    /** @type {import('../../web/model.js').RunResult} */ let clean, corrupt;
    /** @type {number} */ let gap;
    before(async () => {
      const trace = [...layers('hook_resid_pre'), ...layers('attn.hook_z'), ...layers('attn.hook_pattern'), ...layers('attn.hook_result'), ...layers('hook_mlp_out'), 'ln_final.hook_scale'];
      [clean, corrupt] = [await model.run(LILY, { trace }), await model.run(TIM, { trace })];
      gap = M(clean.logits) - M(corrupt.logits);
    });
    /** @param {import('../../web/model.js').Patch[]} patch */
    const score = async (patch) => (M((await model.run(TIM, { patch })).logits) - M(corrupt.logits)) / gap;
    /** A head's z at all positions: from a run, times, or zero. @param {number} l @param {number} h @param {(t: number, e: number) => number} value */
    const head = (l, h, value) => LILY.map((_, t) => ({ name: `blocks.${l}.attn.hook_z`, kind: /** @type {const} */ ('replace'), offset: (t * H + h) * E, value: Float32Array.from({ length: E }, (_, e) => value(t, e)) }));
    const z = (/** @type {any} */ run, /** @type {number} */ l, /** @type {number} */ h) => (/** @type {number} */ t, /** @type {number} */ e) => run.traces[`blocks.${l}.attn.hook_z`].data[(t * H + h) * E + e];

    test('clean and corrupted', () => {
      near([M(clean.logits), M(corrupt.logits)], [3.5722, -3.5474], 2e-4, 'M');
      assert.deepEqual([argmax(clean.logits), argmax(corrupt.logits)], [SHE, HE]);
    });
    test('patching the residual stream', async () => {
      const at = async (/** @type {number} */ t) => Promise.all(layers('hook_resid_pre').map((name) => score([{ name, kind: 'replace', offset: t * D, value: clean.traces[name].data.slice(t * D, (t + 1) * D) }])));
      near(await at(1), [1, 1.003, 0.989, 0.902, 0.901], 1e-3, 'at the name, layer');
      near(await at(6), [0, -0.0022, 0.0193, 0.1491, 0.1567], 1e-3, 'at the end, layer');
    });
    test('patching heads, and the first-order estimate of it', { timeout: 60_000 }, async () => {
      /** @type {Record<string, [number, number]>} */ const scores = {};
      for (let l = 0; l < L; l++)
        for (let h = 0; h < H; h++) {
          const from = z(corrupt, l, h), to = z(clean, l, h), step = 0.05;
          const moved = async (/** @type {number} */ x) => score(head(l, h, (t, e) => from(t, e) + x * (to(t, e) - from(t, e))));
          scores[`L${l}H${h}`] = [await moved(1), (await moved(step) - await moved(-step)) / (2 * step)];
        }
      const named = { L4H2: [0.7231, 0.7845], L4H0: [0.235, 0.2551], L2H6: [0.2114, 0.2137] };
      for (const [name, want] of Object.entries(named)) {
        near(scores[name].slice(0, 1), want.slice(0, 1), 1e-3, `${name} patched`);
        near(scores[name].slice(1), want.slice(1), 5e-3, `${name} estimated`);
      }
      near([scores.L4H1[0], scores.L0H5[0]], [-0.0605, -0.0591], 1e-3, 'negative heads');
      for (const [name, [exact]] of Object.entries(scores)) if (!['L4H2', 'L4H0', 'L2H6', 'L4H1', 'L0H5'].includes(name)) assert.ok(Math.abs(exact) < 0.046, `${name} ${exact}`);
      const [a, b] = [0, 1].map((i) => Object.values(scores).map((s) => s[i])), [ma, mb] = [mean(a), mean(b)];
      const covariance = a.reduce((s, x, i) => s + (x - ma) * (b[i] - mb), 0);
      assert.ok(covariance / norm(a.map((x) => x - ma)) / norm(b.map((x) => x - mb)) > 0.9995);
    });
    test('what the head looks at and writes; without it', async () => {
      const pattern = clean.traces['blocks.4.attn.hook_pattern'].data, n = LILY.length;
      near(pattern.slice((2 * n + 6) * n, (2 * n + 6) * n + 2), [0.0907, 0.8814], 1e-4, 'pattern');
      const scale = clean.traces['ln_final.hook_scale'].data[6];
      const dla = (/** @type {Float32Array} */ x, /** @type {number} */ from) => { let s = 0; for (let d = 0; d < D; d++) s += (x[from + d] / scale) * gamma[d] * (U[SHE * D + d] - U[HE * D + d]); return s; };
      const result = clean.traces['blocks.4.attn.hook_result'].data;
      near([dla(result, (6 * H + 2) * D), dla(result, 6 * H * D), dla(clean.traces['blocks.4.hook_mlp_out'].data, 6 * D)], [1.7261, 1.1485, 1.0368], 2e-4, 'attribution');
      const zero = async (/** @type {[number, number][]} */ heads) => M((await model.run(LILY, { patch: heads.flatMap(([l, h]) => head(l, h, () => 0)) })).logits);
      near([await zero([[4, 2]]), await zero([[4, 0]]), await zero([[2, 6]]), await zero([[4, 2], [4, 0]])], [1.743, 2.5207, 3.4423, 0.4412], 3e-4, 'M without');
    });
    test('norms of what attention moves', () => {
      const n = LILY.length, pattern = clean.traces['blocks.4.attn.hook_pattern'].data;
      // The value of each position through each head: z with that position alone.
      return model.run(LILY, { trace: 'blocks.4.attn.hook_v' }).then(({ traces }) => {
        const v = traces['blocks.4.attn.hook_v'].data, out = outOf(4), size = [], weight = [];
        for (let j = 0; j < n; j++) {
          const sum = new Float64Array(D);
          let total = 0;
          for (let h = 0; h < H; h++) {
            const a = pattern[(h * n + 6) * n + j], g = h >> 1;
            total += a / H;
            for (let d = 0; d < D; d++) for (let e = 0; e < E; e++) sum[d] += a * out[d * D + h * E + e] * v[(j * 4 + g) * E + e];
          }
          size.push(norm(sum));
          weight.push(total);
        }
        near(size, [1.244, 2.1741, 0.5033, 0.2594, 0.104, 0.0283, 0.8347], 2e-4, 'norm');
        near(weight, [0.3075, 0.3089, 0.0987, 0.054, 0.0142, 0.0046, 0.2121], 1e-4, 'mean weight');
      });
    });
  });

  test('logit lens', async () => {
    const { rows } = await streams(ONCE), t = ONCE.length - 1, logs = rows.map((x) => lens(x, t * D));
    assert.deepEqual(logs.map(argmax), [378, 378, 378, COMMA, COMMA, COMMA]);
    near(logs.slice(1).map((x) => Math.exp(Math.max(...x))), [1, 0.9993, 0.6643, 0.8874, 0.9688], 1e-4, 'probability');
    near(logs.slice(1).map(entropy), [0, 0.0065, 1.151, 0.5385, 0.1564], 2e-4, 'entropy');
  });

  test('cross-entropies of the lens, saturation', async () => {
    const { logits, rows } = await streams(L64), n = 63;
    const next = rows.map((x) => mean(Array.from({ length: n }, (_, t) => -lens(x, t * D)[L64[t + 1]])));
    near(next, [22.2837, 11.733, 5.4354, 2.8777, 1.3269, 0.4036], 2e-4, 'to the next token, layer');
    const final = Array.from({ length: n }, (_, t) => logSoftmax(logits, t * V, V));
    const cross = rows.slice(1).map((x) => mean(final.map((p, t) => { const q = lens(x, t * D); return p.reduce((s, lp, v) => s - Math.exp(lp) * q[v], 0); })));
    near(cross, [11.7868, 5.6587, 3.1395, 1.7359, 0.939], 2e-4, 'to the final law, layer');
    // The first layer from which on the lens has the final answer.
    const tops = rows.slice(1).map((x) => Array.from({ length: n }, (_, t) => argmax(lens(x, t * D)))), counts = new Array(L).fill(0);
    for (let t = 0; t < n; t++) { let l = L - 1; while (l > 0 && tops[l - 1][t] === tops[L - 1][t]) l--; counts[l]++; }
    assert.deepEqual(counts, [1, 1, 14, 21, 26]);
  });

  test('attention: no sink, rollout', async () => {
    const { traces } = await model.run(L64, { trace: layers('attn.hook_pattern') });
    let most = 0, where = '';
    layers('attn.hook_pattern').forEach((name, l) => {
      for (let h = 0; h < H; h++) {
        let alpha = 0;
        for (let i = 0; i < 64; i++) alpha += traces[name].data[(h * 64 + i) * 64] / 64;
        if (alpha > most) [most, where] = [alpha, `L${l}H${h}`];
      }
    });
    near([most], [0.1724], 1e-4, 'largest mean weight on the first token');
    assert.equal(where, 'L4H5');
    const eight = (await model.run(L64.slice(0, 8), { trace: layers('attn.hook_pattern') })).traces;
    const average = layers('attn.hook_pattern').map((name) => Array.from({ length: 8 }, (_, i) => Array.from({ length: 8 }, (_, j) => mean(Array.from({ length: H }, (_, h) => eight[name].data[(h * 8 + i) * 8 + j])))));
    near(average[4][7], [0.3145, 0.1484, 0.0591, 0.061, 0.0776, 0.154, 0.1134, 0.0721], 1e-4, 'last layer');
    let R = average[0].map((_, i) => average[0].map((_, j) => Number(i === j)));
    for (const A of average) R = A.map((row, i) => R[0].map((_, j) => row.reduce((s, a, k) => s + ((a + Number(i === k)) / 2) * R[k][j], 0)));
    near(R[7], [0.4716, 0.1345, 0.0683, 0.0599, 0.0397, 0.0867, 0.0755, 0.0638], 1e-4, 'rollout');
  });

  test('no massive activations', async () => {
    const { rows } = await streams(L64);
    const sizes = rows.slice(1).map((x) => x.map(Math.abs)), tops = sizes.map(argmax);
    near(tops.map((i, l) => sizes[l][i]), [3.6586, 4.2087, 4.6876, 7.0307, 8.7611], 2e-4, 'largest, layer');
    near(sizes.map(median), [0.2837, 0.3968, 0.531, 0.7578, 0.9923], 2e-4, 'median, layer');
    assert.deepEqual(tops.slice(0, 4), [30, 30, 30, 15], 'all at position 0');
  });

  test('neurons: sub-updates of layer 3, gates', async () => {
    const t = ONCE.length - 1, { traces } = await model.run(ONCE, { trace: ['blocks.3.mlp.hook_post', 'blocks.3.hook_mlp_out'] });
    const m = traces['blocks.3.mlp.hook_post'].data.slice(t * F, (t + 1) * F), down = downOf(3);
    const vector = (/** @type {number} */ i) => Float64Array.from({ length: D }, (_, d) => down[d * F + i]);
    const size = Array.from(m, (x, i) => Math.abs(x) * norm(vector(i))), order = [...size.keys()].sort((a, b) => size[b] - size[a]).slice(0, 10);
    assert.deepEqual(order, [136, 66, 155, 84, 109, 146, 54, 6, 163, 67]);
    near([order.reduce((s, i) => s + size[i], 0) / size.reduce((a, b) => a + b, 0)], [0.3244], 1e-4, 'share');
    near(order.slice(0, 3).map((i) => m[i]), [-2.8831, -2.2851, 2.2016], 2e-4, 'coefficient');
    const sum = new Float64Array(D);
    m.forEach((x, i) => vector(i).forEach((w, d) => { sum[d] += x * w; }));
    near(sum, [...traces['blocks.3.hook_mlp_out'].data.slice(t * D)], 1e-4, 'sum of sub-updates');
    const promoted = (/** @type {number} */ i, /** @type {number} */ sign) => { const x = vector(i), s = Float64Array.from({ length: V }, (_, v) => { let a = 0; for (let d = 0; d < D; d++) a += sign * x[d] * gamma[d] * U[v * D + d]; return a; }); return argmax(s); };
    assert.equal(model.tokenizer.tokenPiece(promoted(155, 1)), '\u2581a');
    assert.equal(model.tokenizer.tokenPiece(promoted(66, -1)), '\u2581upon');
    const gates = (await model.run(L256, { trace: layers('mlp.hook_pre') })).traces;
    near(layers('mlp.hook_pre').map((name) => mean(gates[name].data.map((x) => Number(x > 0)))), [0.4425, 0.4777, 0.4815, 0.5114, 0.5063], 1e-4, 'rate of open gates, layer');
    for (const name of layers('mlp.hook_pre'))
      for (let i = 0; i < F; i++) {
        let open = 0;
        for (let p = 0; p < 256; p++) open += Number(gates[name].data[p * F + i] > 0);
        assert.ok(open > 0 && open < 256, `${name} ${i}`);
      }
  });

  test('self-repair: direct and total effects of a layer’s attention', async () => {
    const ids = L64.slice(0, 40), t = 39, parts = Array.from({ length: L }, (_, l) => [`blocks.${l}.hook_attn_out`, `blocks.${l}.hook_mlp_out`]).flat();
    const run = async (/** @type {import('../../web/model.js').Patch[]} */ patch) => model.run(ids, { trace: [...parts, 'ln_final.hook_scale'], patch });
    const clean = await run([]), top = argmax(clean.logits), scale = clean.traces['ln_final.hook_scale'].data[t];
    const centre = Float64Array.from({ length: D }, (_, d) => { let s = 0; for (let v = 0; v < V; v++) s += U[v * D + d] / V; return U[top * D + d] - s; });
    const DE = (/** @type {any} */ from, /** @type {string} */ name) => centre.reduce((s, u, d) => s + u * gamma[d] * from.traces[name].data[t * D + d] / scale, 0);
    const centred = (/** @type {any} */ from) => from.logits[top] - mean(from.logits);
    const want = [[0.9801, 2.9848, 6.9189, -5.9388], [0.243, 1.87, 3.907, -3.664], [0.3169, 3.4665, 4.749, -4.4322], [1.4352, 0.2365, 2.8653, -1.43], [-0.0195, 0.3877, 0.6256, -0.6451]];
    for (let l = 0; l < L; l++) {
      const name = `blocks.${l}.hook_attn_out`, ablated = await run([{ name, kind: 'zero', offset: t * D, count: D }]);
      const sum = parts.slice(parts.indexOf(name) + 1).reduce((s, m) => s + DE(ablated, m) - DE(clean, m), 0);
      near([DE(clean, name), centred(clean) - centred(ablated), DE(clean, name) - sum, sum], want[l], 2e-3, `layer ${l}: DE, TE, TE with the norm frozen, compensation`);
    }
  });

  test('no induction; heads that look at the previous token', { timeout: 60_000 }, async () => {
    const S = 50, n = 2 * S + 1, scores = { induction: new Float64Array(L * H), duplicate: new Float64Array(L * H), previous: new Float64Array(L * H) };
    let first = 0, second = 0;
    for (let seed = 1; seed <= 8; seed++) {
      let x = seed;
      const once = Array.from({ length: S }, () => { x = Number((1103515245n * BigInt(x) + 12345n) % (1n << 31n)); return 259 + ((x >> 8) % 253); });
      if (seed === 1) assert.deepEqual(once.slice(0, 8), [299, 505, 466, 335, 278, 305, 402, 426]);
      const ids = [1, ...once, ...once], { logits, traces } = await model.run(ids, { all: true, trace: layers('attn.hook_pattern') });
      const loss = losses(logits, ids);
      first += mean(loss.slice(0, S)) / 8;
      second += mean(loss.slice(S + 1)) / 8; // the first token of the second copy follows the last of the first
      layers('attn.hook_pattern').forEach((name, l) => {
        for (let h = 0; h < H; h++) {
          const A = (/** @type {number} */ i, /** @type {number} */ j) => traces[name].data[(h * n + i) * n + j];
          for (let i = S + 1; i < n; i++) {
            scores.induction[l * H + h] += A(i, i - S + 1) / S / 8;
            scores.duplicate[l * H + h] += A(i, i - S) / S / 8;
          }
          for (let i = 1; i < n; i++) scores.previous[l * H + h] += A(i, i - 1) / (n - 1) / 8;
        }
      });
    }
    near([first, second], [12.1665, 11.7028], 5e-4, 'loss');
    near([Math.max(...scores.induction), scores.induction[4 * H]], [0.0185, 0.0185], 1e-3, 'induction');
    near([Math.max(...scores.duplicate), scores.duplicate[2 * H + 6]], [0.0176, 0.0176], 1e-3, 'duplicate');
    near([3 * H + 6, H + 3, H + 6, H + 5, 2 * H].map((i) => scores.previous[i]), [0.7645, 0.6473, 0.5139, 0.4843, 0.4564], 1e-3, 'previous token');
  });

  test('repetition raises probabilities', async () => {
    const sentence = [...model.tokenizer.encode('The red ball was under the big tree.', { offsets: false }).ids], n = sentence.length;
    const log = await model.logProbs([1, ...Array(10).fill(sentence).flat()]);
    const copies = Array.from({ length: 10 }, (_, k) => log.slice(k * n, (k + 1) * n));
    near(copies.map((c) => Math.exp(mean(c))), [0.0946, 0.2917, 0.3222, 0.3506, 0.3597, 0.363, 0.365, 0.3687, 0.3728, 0.3757], 2e-4, 'geometric mean');
    near(copies.map((c) => mean(c.map(Math.exp))), [0.3911, 0.5546, 0.5766, 0.5947, 0.6014, 0.6035, 0.6053, 0.6095, 0.6134, 0.616], 2e-4, 'mean');
  });

  test('what each token alone brings up', { timeout: 120_000 }, async () => {
    const score = new Float64Array(V);
    let rows = Array.from({ length: V }, (_, id) => [1, id]);
    for (let k = 0; k < 8; k++) {
      const logits = await model.runBatch(rows);
      rows = rows.map((ids, id) => { const p = logSoftmax(logits[id]), next = argmax(p); score[id] += Math.exp(p[next]) / 8; return [...ids, next]; });
    }
    const order = [...score.keys()].sort((a, b) => score[b] - score[a]).slice(0, 5);
    assert.deepEqual(order, [1, 403, 474, 323, 407]);
    near(order.map((id) => score[id]), [0.94888, 0.93326, 0.90113, 0.88966, 0.87546], 1e-4, 'mean probability');
    near([median(score)], [0.601635], 1e-4, 'median');
  });

  test('without rotation', async () => {
    /** @type {import('../../web/model.js').Patch[]} */ const patch = [];
    for (let l = 0; l < L; l++) { // each layer sees what the layers before it leave without rotation
      const { traces } = await model.run(L64, { trace: [`blocks.${l}.attn.hook_q`, `blocks.${l}.attn.hook_k`], patch });
      for (const x of ['q', 'k']) patch.push({ name: `blocks.${l}.attn.hook_rot_${x}`, kind: 'replace', value: traces[`blocks.${l}.attn.hook_${x}`].data });
    }
    const { logits, traces } = await model.run(L64, { all: true, patch, trace: 'blocks.3.attn.hook_pattern' });
    near([mean(losses(logits, L64))], [2.9097], 2e-4, 'loss');
    near([mean(Array.from({ length: 63 }, (_, i) => traces['blocks.3.attn.hook_pattern'].data[(6 * 64 + i + 1) * 64 + i]))], [0.0685], 1e-3, 'L3H6 on the previous token');
  });

  describe('ten sampled texts', () => {
    before(async () => {
      let x = 12345n;
      SAMP10 = [];
      for (let s = 0; s < 10; s++) {
        const session = await model.session({ slots: 128 }), ids = [1];
        while (ids.length < 128) {
          const p = logSoftmax((await session.append(ids.slice(-1))).logits);
          x = (1103515245n * x + 12345n) % (1n << 31n);
          const u = Number(x >> 8n) / 2 ** 23;
          let sum = Math.exp(p[0]), id = 0;
          while (sum < u && id < V - 1) sum += Math.exp(p[++id]);
          ids.push(id);
        }
        await session.dispose();
        SAMP10.push(ids);
      }
    });

    test('what they are', async () => {
      assert.match(model.tokenizer.decode(SAMP10[0], { skipSpecialTokens: true }), /^ ?Once upon a time, there was a big charming little jewel\. In the park,/);
      const loss = [], hit = [];
      for (const ids of SAMP10) {
        const { logits } = await model.run(ids, { all: true });
        loss.push(...losses(logits, ids));
        hit.push(...ids.slice(1).map((id, t) => Number(argmax(logits.subarray(t * V, (t + 1) * V)) === id)));
      }
      near([mean(loss)], [1.2099], 2e-4, 'loss');
      near([mean(hit)], [0.6709], 2e-4, 'accuracy');
    });

    test('mean-ablation of blocks', async () => {
      const names = [...layers('hook_attn_out'), ...layers('hook_mlp_out')], sums = Object.fromEntries(names.map((name) => [name, new Float64Array(D)]));
      for (const ids of SAMP10) {
        const { traces } = await model.run(ids, { trace: names });
        for (const name of names) traces[name].data.forEach((v, i) => { sums[name][i % D] += v / 1280; });
      }
      const loss = async (/** @type {import('../../web/model.js').Patch[]} */ patch) => mean(await Promise.all(SAMP10.slice(0, 4).map(async (ids) => mean(losses((await model.run(ids, { all: true, patch })).logits, ids)))));
      const plain = await loss([]), got = [];
      for (const name of names) got.push(await loss([{ name, kind: 'replace', value: Float32Array.from({ length: 128 * D }, (_, i) => sums[name][i % D]) }]) - plain);
      near(got, [0.2654, 0.5308, 0.1025, 0.2445, 0.2302, 0.6539, 0.7951, 0.5003, 0.5382, 0.749], 5e-4, 'change of loss');
    });

    test('lens: distance to the final law, saturation, confidence', async () => {
      const kl = new Float64Array(L), shares = new Float64Array(L);
      /** @type {[number, number][]} */ const final = [], third = [];
      for (const [s, ids] of SAMP10.entries()) {
        const { logits, rows } = await streams(ids);
        for (let t = 0; t < 128; t++) {
          const q = rows.slice(1).map((r) => lens(r, t * D));
          if (s >= 8) { const p = logSoftmax(logits, t * V, V); q.forEach((x, l) => { kl[l] += p.reduce((sum, lp, v) => sum + Math.exp(lp) * (lp - x[v]), 0) / 256; }); }
          const tops = q.map(argmax);
          let l = L - 1;
          while (l > 0 && tops[l - 1] === tops[L - 1]) l--;
          if (t < 127) shares[l] += 1 / 1270;
          if (t < 127) for (const [list, x] of /** @type {[[number, number][], Float64Array][]} */ ([[final, q[4]], [third, q[3]]])) list.push([x[argmax(q[4])], Number(argmax(q[4]) === ids[t + 1])]); // how sure the layer is of the final answer
        }
      }
      near(kl, [13.2522, 5.9827, 2.7605, 0.8889, 0], 5e-3, 'KL, layer');
      near(shares, [0.0133, 0.0242, 0.1484, 0.3117, 0.5023], 1e-3, 'saturation, layer');
      const auc = (/** @type {[number, number][]} */ list) => { let s = 0, pairs = 0; for (const [a, ya] of list) if (ya) for (const [b, yb] of list) if (!yb) { pairs++; s += a > b ? 1 : a === b ? 0.5 : 0; } return s / pairs; };
      near([auc(final)], [0.8676], 1e-3, 'confidence tells right from wrong');
      near([auc(third)], [0.6956], 1e-3, 'that of the third layer');
    });
  });
});
