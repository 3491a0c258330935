// microtome/inspect against independent computations: identities on random models of several architectures, brute force for flows, and published-definition numbers on stories260K.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Model } from '../../web/index.js';
import {
  Network, Readout, ablate, ablationPatches, ablationSweep, argmax, attentionFlow, attentionNorms, attentionOf, attentionRollout, attentionSinks, attributionPatching, changeOf, convergenceRow, entropyOf, feedForwardMaps, headDetection, headMean, headScores, inputGradients, klOf, largest, leaveOneOut,
  logSoftmax, logitAttribution, logitLens, massiveActivations, meanEmbedding, neuronReadings, neuronVocabulary, patchingMap, siteName, stateNorms, valueVectors,
} from '../../web/inspect.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomGpt2, randomLlama } from '../support/random_gguf.mjs';
import { readSafetensors } from '../support/safetensors_read.mjs';
import { shared, skipWithoutShared } from '../support/shared.mjs';
import { BUNDLED, cli } from '../support/wasm.mjs';

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} want @param {number} tolerance @param {string} what */
function near(got, want, tolerance, what) {
  assert.equal(got.length, want.length, what);
  for (let i = 0; i < want.length; i++) assert.ok(Math.abs(got[i] - want[i]) <= tolerance, `${what} ${i}: ${got[i]}, expected ${want[i]}`);
}
const sum = (/** @type {ArrayLike<number>} */ x) => Array.prototype.reduce.call(x, (/** @type {any} */ s, /** @type {any} */ v) => s + v, 0);
const IDS = [5, 17, 99, 5, 17, 42, 3, 99], OTHER = [5, 23, 99, 5, 17, 42, 3, 98], T = IDS.length;

describe('numbers', () => {
  test('log-softmax, entropy, divergence', () => {
    const p = logSoftmax([1, 2, 3, -Infinity]), q = logSoftmax([0, 0, 0, 0]);
    near([...p].map(Math.exp), [0.09003057, 0.24472847, 0.66524096, 0], 1e-8, 'p');
    near([entropyOf(q), entropyOf(logSoftmax([0, -Infinity]))], [Math.log(4), 0], 1e-12, 'entropy');
    near([klOf(p, q), klOf(p, p)], [Math.log(4) - entropyOf(p), 0], 1e-12, 'KL to the uniform law is what the entropy lacks');
    near([...logSoftmax([9, 1, 2, 9], 1, 2)], [...logSoftmax([1, 2])], 0, 'a part of a row');
  });
  test('largest: as sorting, the lowest of equals first', () => {
    let x = 1;
    const values = Array.from({ length: 200 }, () => (x = (x * 48271) % 2147483647) % 37);
    for (const k of [1, 5, 200, 300]) assert.deepEqual(largest(values, k), [...values.keys()].sort((a, b) => values[b] - values[a] || a - b).slice(0, k));
    assert.equal(argmax([3, 7, 7]), 1);
  });
  test('what changed', () => {
    const { kl, distance, tokens, entropyBefore } = changeOf([0, 0], [Math.log(3), 0], 1);
    near([kl, distance, entropyBefore], [Math.log(4 / 3) / 2, 0.25, Math.log(2)], 1e-12, 'two tokens');
    assert.deepEqual(tokens.map((t) => t.token), [0]);
  });
});

describe('maximum flow is the narrowest cut', () => {
  /** The narrowest cut over all subsets. @param {[number, number, number][]} edges @param {number} nodes @param {number} s @param {number} t */
  function cut(edges, nodes, s, t) {
    let least = Infinity;
    for (let set = 0; set < 1 << nodes; set++) if ((set >> s) & 1 && !((set >> t) & 1)) least = Math.min(least, edges.reduce((w, [a, b, c]) => w + ((set >> a) & 1 && !((set >> b) & 1) ? c : 0), 0));
    return least;
  }
  test('of random networks', async () => {
    let x = 7;
    const random = () => (x = (x * 48271) % 2147483647) / 2147483647;
    for (let trial = 0; trial < 60; trial++) {
      const nodes = 3 + Math.floor(random() * 6), edges = /** @type {[number, number, number][]} */ ([]), network = new Network(nodes);
      for (let a = 0; a < nodes; a++) for (let b = 0; b < nodes; b++) if (a !== b && random() < 0.5) edges.push([a, b, trial % 2 ? random() : Math.floor(random() * 4)]);
      for (const e of edges) network.edge(...e);
      const first = await network.maxFlow(0, nodes - 1);
      near([first], [cut(edges, nodes, 0, nodes - 1)], 1e-9, `trial ${trial}`);
      network.reset();
      assert.equal(await network.maxFlow(0, nodes - 1), first, 'again');
    }
  });
  test('of two layers over three tokens', async () => {
    let x = 3;
    const random = () => (x = (x * 48271) % 2147483647) / 2147483647;
    const patterns = Array.from({ length: 2 }, () => Float32Array.from([1, 0, 0, 0.5, 0.5, 0, 0, 0, 0].map((v, i) => (i < 6 ? v : random()))));
    for (const p of patterns) { const s = p[6] + p[7] + p[8]; for (let i = 6; i < 9; i++) p[i] /= s; }
    const { flow, share } = await attentionFlow({ ids: [1, 2, 3], layers: 2, heads: 1, tokens: 3, patterns }), edges = /** @type {[number, number, number][]} */ ([]);
    patterns.forEach((p, l) => { for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) edges.push([3 * (l + 1) + i, 3 * l + j, p[3 * i + j] / 2 + Number(i === j) / 2]); });
    near(flow, [0, 1, 2].map((j) => cut(edges, 9, 8, j)), 1e-6, 'flow');
    near([sum(share)], [1], 1e-12, 'share');
  });
});

test('rollout and flow of two tokens by hand', async () => {
  const attention = { ids: [1, 2], layers: 2, heads: 1, tokens: 2, patterns: [Float32Array.of(1, 0, 0.4, 0.6), Float32Array.of(1, 0, 0.3, 0.7)] };
  near((await attentionRollout(attention))[1].slice(2), [0.32, 0.68], 1e-7, 'rollout');
  near((await attentionFlow(attention)).flow, [0.35, 0.8], 1e-7, 'flow');
  near((await attentionRollout(attention, { residual: 1 }))[1], [1, 0, 0, 1], 0, 'the residual path alone');
  await assert.rejects(attentionRollout(attention, { residual: 2 }), { code: 'ERANGE' });
});

test('sinks of uniform attention, and what all keys have together', () => {
  const n = 64, pattern = new Float32Array(n * n);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) pattern[i * n + j] = 1 / (i + 1);
  const attention = { ids: new Array(n).fill(1), layers: 1, heads: 1, tokens: n, patterns: [pattern] }, { importance, sinks, rate } = attentionSinks(attention);
  near([importance[0]], [0.0741], 5e-5, 'H_64 / 64');
  near([importance.reduce((s, a, k) => s + (n - k) * a, 0)], [n], 1e-5, 'rows sum to 1');
  assert.deepEqual([sinks.length, rate[0], Number.isNaN(rate[n - 1])], [0, 0, true]);
  pattern.fill(0);
  for (let i = 0; i < n; i++) pattern[i * n] = 1;
  const all = attentionSinks(attention);
  assert.deepEqual([all.sinks, all.rate[0]], [[{ layer: 0, head: 0, position: 0, importance: 1 }], 100]);
  assert.throws(() => attentionSinks(attention, { epsilon: 2 }), { code: 'ERANGE' });
});

const SHAPE = { layers: 3, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 120, context: 32, base: 10000 };
for (const [title, file] of /** @type {[string, Uint8Array][]} */ ([['llama, F32', randomLlama(SHAPE, GGML.F32)], ['llama, Q8_0', randomLlama(SHAPE, GGML.Q8_0)], ['gpt2, F32', randomGpt2(SHAPE, GGML.F32)]]))
  describe(title, () => {
    /** @type {Model} */ let model;
    before(async () => { model = await Model.load(file, { threads: 1 }); });
    after(() => model.dispose());
    const { layers: L, heads: H, width: D, vocab: V } = SHAPE;

    test('the last row of the lens is the output; other rows are the norm and the unembedding of their streams', async () => {
      const lens = await logitLens(model, IDS, { top: 3 }), { logits } = await model.run(IDS, { all: true });
      assert.deepEqual([lens.rows, lens.cells.length], [['embed', '0', '1', '2'], 4 * T]);
      for (let t = 0; t < T; t++) {
        const log = logSoftmax(logits, t * V, V), cell = lens.cells[L * T + t];
        assert.deepEqual([cell.token, cell.rank, cell.kl, cell.top.map((x) => x.token)], [argmax(log), 1, 0, largest(log, 3)]);
        near([cell.probability, cell.entropy], [Math.exp(log[cell.token]), entropyOf(log)], 1e-12, 'output');
        if (t + 1 < T) near([/** @type {number} */ (cell.nats)], [-log[IDS[t + 1]]], 1e-12, 'next token');
        else assert.equal(cell.nats, null);
      }
      // A row by hand: stop after a layer by leaving out what the later ones add.
      const zero = [1, 2].flatMap((l) => ['hook_attn_out', 'hook_mlp_out'].map((w) => ({ name: `blocks.${l}.${w}`, kind: /** @type {const} */ ('zero') }))), early = (await model.run(IDS, { all: true, patch: zero })).logits;
      for (let t = 0; t < T; t++) near([lens.cells[T + t].probability, lens.cells[T + t].kl], [Math.exp(Math.max(...logSoftmax(early, t * V, V))), klOf(logSoftmax(logits, t * V, V), logSoftmax(early, t * V, V))], 2e-5, 'row 0');
      const places = [...Array(T - 1).keys()];
      near([lens.crossEntropy[L], lens.crossToOutput[L]], [sum(places.map((t) => -logSoftmax(logits, t * V, V)[IDS[t + 1]])) / (T - 1), sum(places.map((t) => entropyOf(logSoftmax(logits, t * V, V)))) / (T - 1)], 1e-9, 'means');
      for (let t = 0; t < T; t++) {
        const tops = [1, 2, 3].map((r) => lens.cells[r * T + t].token), want = tops.findIndex((_, l) => tops.slice(l).every((x) => x === tops[2]));
        assert.equal(lens.saturation[t], want);
      }
      assert.equal(convergenceRow([5, 4, 1, 0.5], 2), 2);
      assert.equal(convergenceRow([5], 2), -1);
      assert.throws(() => convergenceRow([], 1), { code: 'ERANGE' });
      const one = await logitLens(model, [7]);
      assert.ok(Number.isNaN(one.crossEntropy[0]) && one.saturation.length === 1);
    });

    test('the parts of a logit add up to it, with and without heads, for differences, at any place', async () => {
      const { logits } = await model.run(IDS, { all: true });
      for (const options of /** @type {any[]} */ ([{}, { position: 3, token: 7 }, { position: 2, token: 9, against: 4 }, { against: 'mean' }, { heads: false }])) {
        const { parts, logit, sum: total, position, token } = await logitAttribution(model, IDS, options), row = logits.subarray(position * V, (position + 1) * V);
        near([total, sum(parts.map((p) => p.value))], [logit, total], 2e-4, JSON.stringify(options));
        assert.equal(token, options.token ?? argmax(row));
        near([logit], [row[token] - (options.against === undefined ? 0 : options.against === 'mean' ? sum(row) / V : row[options.against])], 1e-4, 'logit');
        assert.equal(parts.filter((p) => p.kind === 'head').length, options.heads === false ? 0 : L * H);
        assert.equal(new Set(parts.map((p) => p.name)).size, parts.length, 'names');
      }
      // With the norm's scale held, taking a part away takes exactly what it adds: of the last layer's parts nothing else depends on mlp 2.
      const { parts, token } = await logitAttribution(model, IDS), plain = await model.run(IDS, { trace: 'ln_final.hook_scale' });
      const without = await model.run(IDS, { patch: [{ name: `blocks.${L - 1}.hook_mlp_out`, kind: 'zero' }, { name: 'ln_final.hook_scale', kind: 'freeze', run: await model.run(IDS, { all: true, trace: 'ln_final.hook_scale' }) }], all: true });
      near([plain.logits[token] - without.logits[(T - 1) * V + token]], [/** @type {any} */ (parts.find((p) => p.name === `mlp ${L - 1}`)).value], 2e-4, 'mlp');
      const all = await logitAttribution(model, IDS, { neurons: 1e6 });
      for (let l = 0; l < L; l++) {
        const rest = all.parts.find((p) => p.name === `mlp ${l}`);
        near([sum(all.neurons.filter((n) => n.layer === l).map((n) => n.value))], [/** @type {any} */ (rest).value], 2e-3, `neurons of layer ${l}`); // without biases, which are 0 here
      }
      assert.equal((await logitAttribution(model, IDS, { neurons: 5 })).neurons.length, 5);
      assert.deepEqual((await logitAttribution(model, IDS, { neurons: 5 })).neurons, all.neurons.slice(0, 5));
    });

    test('value vectors are what switching a neuron on adds', async () => {
      const { vectors, bias, neurons } = await valueVectors(model, 1);
      assert.deepEqual([neurons, vectors.length, bias.length], [96, 96 * D, D]);
      const names = ['blocks.1.mlp.hook_post', 'blocks.1.hook_mlp_out'], { traces } = await model.run(IDS, { trace: names, all: true });
      const m = traces[names[0]].data, out = traces[names[1]].data;
      for (let t = 0; t < T; t++)
        near(Array.from({ length: D }, (_, d) => bias[d] + sum(Array.from({ length: neurons }, (_, n) => m[t * neurons + n] * vectors[n * D + d]))), out.slice(t * D, (t + 1) * D), 1e-3 * Math.max(...out.map(Math.abs)), 'sum of sub-updates');
      const { neurons: read, share, position } = await neuronReadings(model, IDS, { layer: 1, neurons: 96, tokens: 4 });
      near([share, read.length, position], [1, 96, T - 1], 1e-9, 'all of them');
      assert.ok(read.every((n, i) => i === 0 || n.size <= read[i - 1].size));
      near([sum(read.map((n) => n.share))], [1], 1e-9, 'shares');
      const top = await neuronReadings(model, IDS, { layer: 1, neurons: 1, tokens: 4 }), { promotes, suppresses } = await neuronVocabulary(model, 1, top.neurons[0].neuron, { tokens: 4 }), sign = top.neurons[0].coefficient > 0;
      assert.deepEqual(top.neurons[0].promotes.map((x) => x.token), (sign ? promotes : suppresses).map((x) => x.token), 'the same order of tokens');
      await assert.rejects(valueVectors(model, 3), { code: 'ERANGE' });
      await assert.rejects(neuronVocabulary(model, 0, 96), { code: 'ERANGE' });
    });

    test('patterns, rollout, flow', async () => {
      const attention = await attentionOf(model, IDS), rollout = await attentionRollout(attention);
      assert.deepEqual([attention.layers, attention.heads, attention.tokens, attention.patterns[0].length], [L, H, T, H * T * T]);
      for (const R of rollout) for (let i = 0; i < T; i++) near([sum(R.slice(i * T, (i + 1) * T))], [1], 1e-6, 'rows sum to 1');
      // By hand, with plain matrices.
      let R = Array.from({ length: T }, (_, i) => Array.from({ length: T }, (_, j) => Number(i === j)));
      for (const p of attention.patterns) { const A = headMean(p, H); R = R.map((_, i) => R[0].map((_, j) => sum(R.map((row, k) => (A[i * T + k] / 2 + Number(i === k) / 2) * row[j])))); }
      near(rollout[L - 1], R.flat(), 1e-6, 'rollout');
      const { flow, share } = await attentionFlow(attention, { position: 4 });
      near([flow[5], flow[7], sum(share)], [0, 0, 1], 1e-12, 'nothing flows backwards');
      assert.ok(flow.every((x) => x >= 0 && x <= 1 + 1e-9));
    });

    test('norm maps: what is moved adds up to what the heads wrote', async () => {
      const { perHead, summed, error } = await attentionNorms(model, IDS, { layer: 1 }), { patterns } = await attentionOf(model, IDS);
      assert.ok(error < 1e-3, String(error));
      for (let i = 0; i < T; i++) for (let j = 0; j < T; j++) assert.ok(summed[i * T + j] <= sum(Array.from({ length: H }, (_, h) => perHead[(h * T + i) * T + j])) + 1e-6, 'triangle');
      // The first token sees itself alone: what it is moved is its head results, whole.
      const { traces } = await model.run(IDS, { trace: 'blocks.1.attn.hook_result', all: true }), own = traces['blocks.1.attn.hook_result'].data;
      for (let h = 0; h < H; h++) near([perHead[h * T * T]], [Math.hypot(...own.slice(h * D, (h + 1) * D))], 1e-4, `head ${h}`);
      near([patterns[1][0]], [1], 1e-6, 'it does');
      await assert.rejects(attentionNorms(model, IDS, { layer: 9 }), { code: 'ERANGE' });
    });

    test('maps through a feed-forward layer: complete, and the integral of the gradient', async () => {
      const layer = 1, at = (/** @type {string} */ what) => `blocks.1.${what}`, maps = await feedForwardMaps(model, IDS, { layer });
      assert.ok(maps.error < 1e-3, String(maps.error));
      // What attention brings is what the norm map says, where the residual path is not in it.
      const { summed } = await attentionNorms(model, IDS, { layer }), i = 6, j = 2;
      near([maps.attention[i * T + j]], [summed[i * T + j]], 1e-4, 'brought');
      // Token 0 alone reaches token 0: its part is all that the layer writes beyond its baseline, which is nothing here (no biases).
      const { traces } = await model.run(IDS, { all: true, trace: [at('hook_mlp_out'), at('hook_resid_mid'), at('ln2.hook_scale'), at('hook_resid_post'), at('ln2.hook_normalized'), at('attn.hook_pattern')] });
      near([maps.feedForward[0], maps.both[0]], [Math.hypot(...traces[at('hook_mlp_out')].data.slice(0, D)), Math.hypot(...traces[at('hook_resid_post')].data.slice(0, D))], 1e-3 * maps.both[0], 'the first token');
      // One pair by brute force: derivatives of the layer along the path, in the direction of j's share of the normed input.
      const pattern = at('attn.hook_pattern'), alone = traces[pattern].data.map((a, k) => (k % T === j ? a : 0)); // of what is read, j alone
      const only = (await model.run(IDS, { all: true, patch: [{ name: pattern, kind: 'replace', value: alone }], trace: at('hook_attn_out') })).traces[at('hook_attn_out')].data.slice(i * D, (i + 1) * D);
      const normed = (await model.run([0], { from: { name: at('hook_resid_mid'), data: only }, patch: [{ name: at('ln2.hook_scale'), kind: 'replace', value: traces[at('ln2.hook_scale')].data[i] }], stopAt: at('ln2.hook_normalized') })).traces[at('ln2.hook_normalized')].data;
      const whole = traces[at('ln2.hook_normalized')].data.slice(i * D, (i + 1) * D), K = 16, h = 0.25, rows = new Float32Array(2 * K * D), sum = new Float64Array(D);
      for (let k = 0; k < K; k++) for (let d = 0; d < D; d++) for (const s of [0, 1]) rows[(2 * k + s) * D + d] = ((k + 0.5) / K) * whole[d] + (s ? h : -h) * normed[d];
      const out = (await model.run(new Array(2 * K).fill(0), { from: { name: at('ln2.hook_normalized'), data: rows }, stopAt: at('hook_mlp_out') })).traces[at('hook_mlp_out')].data;
      for (let k = 0; k < K; k++) for (let d = 0; d < D; d++) sum[d] += (out[(2 * k + 1) * D + d] - out[2 * k * D + d]) / (2 * h * K);
      near([maps.feedForward[i * T + j]], [Math.hypot(...sum)], 0.02 * Math.hypot(...sum), 'the integral');
      await assert.rejects(feedForwardMaps(model, IDS, { layer: 3 }), { code: 'ERANGE' });
    });

    test('ablation: what is zero changes nothing, what is all of it is the bare embedding', async () => {
      const { before, after, kl } = await ablate(model, IDS, [{ kind: 'head', layer: 1, head: 2 }]);
      assert.deepEqual(before, (await model.run(IDS)).logits);
      assert.deepEqual(after, (await model.run(IDS, { patch: [{ name: 'blocks.1.attn.hook_z', kind: 'zero', index: [null, 2] }] })).logits);
      near([kl], [klOf(logSoftmax(before), logSoftmax(after))], 1e-12, 'KL');
      const bare = await ablate(model, IDS, Array.from({ length: L }, (_, layer) => ({ kind: /** @type {const} */ ('layer'), layer }))), lens = await logitLens(model, IDS);
      near([Math.exp(Math.max(...logSoftmax(bare.after)))], [lens.cells[T - 1].probability], 1e-5, 'without layers the embedding speaks');
      const sweep = await ablationSweep(model, IDS, { against: 3 });
      assert.equal(sweep.effects.length, L * (H + 2));
      for (const effect of sweep.effects.filter((_, i) => i % 5 === 0)) {
        const again = await ablate(model, IDS, [effect.site]), d = (/** @type {Float32Array} */ x) => x[sweep.token] - x[3];
        near([effect.kl, effect.logit], [again.kl, d(again.after) - d(again.before)], 1e-4, siteName(effect.site));
      }
      for (const how of /** @type {const} */ (['mean', 'first'])) {
        const { effects } = await ablationSweep(model, IDS, { how, parts: ['head'] }), { site, kl: got } = effects[5];
        near([got], [(await ablate(model, IDS, [site], { how })).kl], 1e-5, how);
      }
      assert.equal((await ablate(model, IDS, [])).kl, 0);
      // At one place, nothing before it changes.
      const there = await ablate(model, IDS, [{ kind: 'mlp', layer: 0, position: 5 }], { position: 4 });
      near([there.kl], [0], 1e-9, 'the past');
      assert.throws(() => ablationPatches([{ kind: 'mlp', layer: 0 }], 'first', T), { code: 'ESTATE' });
      assert.throws(() => ablationPatches([{ kind: /** @type {any} */ ('soul'), layer: 0 }], 'zero', T), { code: 'EUNKNOWN' });
      assert.throws(() => ablationPatches([{ kind: 'head', layer: 0 }], 'zero', T), { code: 'ERANGE' });
      assert.throws(() => ablationPatches([], /** @type {any} */ ('burn'), T), { code: 'EUNKNOWN' });
      assert.deepEqual([siteName({ kind: 'neuron', layer: 1, neuron: 7 }), siteName({ kind: 'head', layer: 2, head: 3, position: 4 })], ['neuron 1.7', 'L2H3 at 4']);
    });

    test('patching: own values change nothing, the stream at every place is the whole difference', async () => {
      const options = { token: 7, against: 11 }, map = await patchingMap(model, IDS, OTHER, options), state = /** @type {Float64Array} */ (map.places.state);
      assert.deepEqual([map.layers, map.tokens, map.heads], [L, T, H]);
      for (let l = 0; l < L; l++) assert.equal(state[l * T], 0, 'what comes before the first difference is the same');
      // Before layer 0 the prompts differ at 1 and 7. Cells recomputed with plain runs.
      const M = (/** @type {Float32Array} */ x) => x[7] - x[11], clean = await model.run(IDS, { trace: '*' }), base = M((await model.run(OTHER)).logits);
      near([map.clean, map.corrupt], [M(clean.logits), base], 1e-4, 'both');
      const full = await model.run(IDS, { all: true, trace: ['blocks.1.hook_resid_pre', 'blocks.1.attn.hook_z', 'blocks.2.hook_mlp_out'] }), share = async (/** @type {import('../../web/patch.js').Patch} */ patch) => (M((await model.run(OTHER, { patch: [patch] })).logits) - base) / (map.clean - base);
      near([state[T + 1]], [await share({ name: 'blocks.1.hook_resid_pre', kind: 'replace', index: [1], value: full.traces['blocks.1.hook_resid_pre'].data.slice(D, 2 * D) })], 1e-4, 'state');
      near([/** @type {any} */ (map.places.mlp)[2 * T + 7]], [await share({ name: 'blocks.2.hook_mlp_out', kind: 'replace', index: [7], value: full.traces['blocks.2.hook_mlp_out'].data.slice(7 * D, 8 * D) })], 1e-4, 'mlp');
      near([/** @type {any} */ (map.byHead)[H + 3]], [await share({ name: 'blocks.1.attn.hook_z', kind: 'freeze', value: full.traces['blocks.1.attn.hook_z'].data, index: [null, 3] })], 1e-4, 'head');
      // With one differing token alone, its embedding is the whole difference; noising is its mirror.
      const one = [...IDS.slice(0, 7), 98];
      for (const direction of /** @type {const} */ (['denoise', 'noise'])) near([/** @type {any} */ ((await patchingMap(model, IDS, one, { ...options, direction, heads: false, places: ['state'] })).places.state)[7]], [1], 1e-4, direction);
      // The estimate is the derivative: compared with central differences of the true thing.
      const estimate = await attributionPatching(model, IDS, OTHER, options), z = 'blocks.1.attn.hook_z', [from, to] = [(await model.run(OTHER, { all: true, trace: z })).traces[z].data, full.traces[z].data], E = D / H, h = title.includes('Q8_0') ? 0.1 : 1e-2; // rounded weights make a rougher function
      const moved = async (/** @type {number} */ s) => M((await model.run(OTHER, { patch: [{ name: z, kind: 'replace', value: from.map((x, i) => (Math.floor(i / E) % H === 2 ? x + s * h * (to[i] - x) : x)) }] })).logits);
      near([/** @type {any} */ (estimate.byHead)[H + 2]], [((await moved(1)) - (await moved(-1))) / (2 * h) / (map.clean - base)], 2e-3, 'slope');
      await assert.rejects(patchingMap(model, IDS, [1, 2]), { code: 'ERANGE', message: /8 and 2 tokens/ });
      await assert.rejects(patchingMap(model, IDS, IDS, options), { code: 'ERANGE', message: /do not differ/ });
      await assert.rejects(patchingMap(model, IDS, OTHER, { token: 3, against: 3 }), { code: 'ERANGE' });
    });

    test('heads on repeated tokens and on texts; norms; massive activations; inputs', async () => {
      const scores = await headScores(model, { length: 6, sequences: 2, seed: 3 }), given = await headScores(model, { ids: [[5, 6, 7]], first: 1 });
      assert.ok(scores.previous.every((x) => x >= 0 && x <= 1) && scores.secondCopy > 0);
      const ids = [1, 5, 6, 7, 5, 6, 7], attention = await attentionOf(model, ids), at = (/** @type {number} */ l, /** @type {number} */ h, /** @type {number} */ i, /** @type {number} */ j) => attention.patterns[l][(h * 7 + i) * 7 + j];
      near([given.previous[H + 1], given.duplicate[H + 1], given.induction[H + 1]], [sum([1, 2, 3, 4, 5, 6].map((i) => at(1, 1, i, i - 1))) / 6, sum([4, 5, 6].map((i) => at(1, 1, i, i - 3))) / 3, sum([4, 5, 6].map((i) => at(1, 1, i, i - 2))) / 3], 1e-6, 'by hand');
      const seen = headDetection(attention);
      near([seen.duplicate[0]], [(at(0, 0, 4, 1) + at(0, 0, 5, 2) + at(0, 0, 6, 3)) / 7], 1e-6, 'duplicate');
      near([seen.induction[0]], [(at(0, 0, 4, 2) + at(0, 0, 5, 3) + at(0, 0, 6, 4)) / 7], 1e-6, 'induction');
      assert.deepEqual(await headScores(model, { length: 6, sequences: 2, seed: 3 }), scores, 'the same seed');
      const norms = await stateNorms(model, IDS), { traces } = await model.run(IDS, { all: true, trace: ['blocks.1.hook_resid_post', 'blocks.1.attn.hook_v'] });
      near([norms.states[T + 2]], [Math.hypot(...traces['blocks.1.hook_resid_post'].data.slice(2 * D, 3 * D))], 1e-5, 'state');
      const { shape, data } = traces['blocks.1.attn.hook_v'], [, G, E] = shape;
      near([norms.values[T + 2]], [sum(Array.from({ length: G }, (_, g) => Math.hypot(...data.slice((2 * G + g) * E, (2 * G + g + 1) * E)))) / G], 1e-5, 'value');
      const { layers, massive } = await massiveActivations(model, IDS), sizes = [...traces['blocks.1.hook_resid_post'].data].map(Math.abs).sort((a, b) => a - b);
      assert.equal(massive.length, 0);
      near([Math.abs(layers[1].top[0].value), layers[1].median], [sizes[sizes.length - 1], (sizes[sizes.length / 2 - 1] + sizes[sizes.length / 2]) / 2], 1e-6, 'sizes');
      assert.equal((await massiveActivations(model, IDS, { factor: 0, least: 0 })).massive.length, L * T * D, 'all pass such a bar');
      const mean = await meanEmbedding(model), every = (await model.run(Array.from({ length: 32 }, (_, i) => i), { stopAt: 'hook_embed' })).traces.hook_embed.data;
      assert.equal(mean.length, D);
      assert.ok(every.length === 32 * D);
      const { value, lost } = await leaveOneOut(model, IDS, { token: 7, position: 5 });
      assert.deepEqual([lost[6], lost[7]], [0, 0], 'the future');
      near([value - lost[2]], [(await model.run(IDS, { all: true, patch: [{ name: 'hook_embed', kind: 'replace', index: [2], value: mean }] })).logits[5 * V + 7]], 1e-4, 'by hand');
      const { gradientTimesInput, saliency } = await inputGradients(model, IDS, { token: 7, against: 11 }), embedded = (await model.run(IDS, { all: true, trace: 'hook_embed' })).traces.hook_embed.data, h = 1e-2;
      const scaled = async (/** @type {number} */ s) => { const { logits } = await model.run(IDS, { patch: [{ name: 'hook_embed', kind: 'replace', index: [3], value: embedded.slice(3 * D, 4 * D).map((x) => x * (1 + s * h)) }] }); return logits[7] - logits[11]; };
      near([gradientTimesInput[3]], [((await scaled(1)) - (await scaled(-1))) / (2 * h)], 5e-3, 'slope along the embedding');
      assert.ok(saliency.every((x) => x > 0));
    });

    test('aborting, and a disposed model', async () => {
      const controller = new AbortController();
      controller.abort();
      for (const f of [logitLens, logitAttribution, attentionOf, massiveActivations, stateNorms, ablationSweep]) await assert.rejects(f(model, IDS, { signal: controller.signal }), { name: 'AbortError' });
      await assert.rejects(logitLens(model, []), { code: 'ERANGE' });
      await assert.rejects(logitLens(model, IDS, /** @type {any} */ ({ tops: 1 })), { code: 'EUNKNOWN' });
      await assert.rejects(logitAttribution(model, IDS, { position: 8 }), { code: 'ERANGE' });
      await assert.rejects(logitAttribution(model, IDS, { token: V }), { code: 'ERANGE' });
    });
  });

test('the bundled model: parts add up, neurons speak, texts are taken', async () => {
  const model = await Model.load(BUNDLED, { threads: 1 }), text = 'Once upon a time there was a little';
  try {
    const { logit, sum: total, parts } = await logitAttribution(model, text, { neurons: 3 });
    near([total], [logit], 1e-3, 'sum');
    assert.ok(parts.length > model.info.layers * (model.info.heads + 1));
    assert.equal((await neuronReadings(model, text, { layer: 3 })).neurons.length, 10);
    assert.equal((await Readout.of(model)), await Readout.of(model), 'kept');
  } finally {
    await model.dispose();
  }
});

describe('stories260K', { skip: skipWithoutShared }, () => {
  const L64 = [1, 403, 407, 261, 378, 432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410, 408, 419, 292, 411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394, 261, 370, 432, 352, 266, 268,
    388, 426, 338, 391, 266, 267, 337, 335, 312, 432, 398, 312, 286, 267, 414, 270, 333, 415, 426, 13, 438];
  const ONCE = [1, 403, 407, 261, 378], LILY = [1, 317, 286, 399, 296, 418, 426], TIM = [1, 326, 286, 399, 296, 418, 426], SHE = 338, HE = 346, PAIR = { token: SHE, against: HE }, COMMA = 432;
  /** @type {Model} */ let model;
  before(async () => { model = await Model.load(shared('models/stories260K/stories260K.F32.gguf'), { threads: 1 }); });
  after(() => model.dispose());

  test('attribution, its neurons against the weights of the file', async () => {
    const { parts, logit, sum: total, neurons } = await logitAttribution(model, ONCE, { token: COMMA, neurons: 860 }), value = (/** @type {string} */ name) => /** @type {any} */ (parts.find((p) => p.name === name)).value;
    near([logit, total], [17.799398, 17.799398], 2e-4, 'logit');
    near(['mlp 4', 'mlp 3', 'mlp 1', 'mlp 2', 'mlp 0', 'L3H5', 'L4H3', 'embed'].map(value), [4.4718, 4.1753, 3.003, 1.965, 1.3867, 0.5507, 0.4617, 0.4275], 2e-4, 'parts');
    const tensors = readSafetensors(join(shared('models/stories260K'), 'model.safetensors')), down = /** @type {Float32Array} */ (tensors['model.layers.2.mlp.down_proj.weight'].data), { vectors } = await valueVectors(model, 2);
    for (let n = 0; n < 172; n++) for (let d = 0; d < 64; d++) assert.ok(Math.abs(vectors[n * 64 + d] - down[d * 172 + n]) < 1e-6);
    near([sum(neurons.map((n) => n.value))], [sum(parts.filter((p) => p.kind === 'mlp').map((p) => p.value))], 1e-3, 'neurons are what the mlps are');
  });

  test('the lens', async () => {
    const once = await logitLens(model, ONCE), at = (/** @type {number} */ r) => once.cells[r * 5 + 4];
    assert.deepEqual([0, 1, 2, 3, 4, 5].map((r) => at(r).token), [378, 378, 378, COMMA, COMMA, COMMA]);
    near([1, 2, 3, 4, 5].map((r) => at(r).probability), [1, 0.9993, 0.6643, 0.8874, 0.9688], 1e-4, 'probability');
    near([1, 2, 3, 4, 5].map((r) => at(r).entropy), [0, 0.0065, 1.151, 0.5385, 0.1564], 2e-4, 'entropy');
    const lens = await logitLens(model, L64), counts = [0, 0, 0, 0, 0];
    near(lens.crossEntropy, [22.2837, 11.733, 5.4354, 2.8777, 1.3269, 0.4036], 2e-4, 'to the next token');
    near(lens.crossToOutput.slice(1), [11.7868, 5.6587, 3.1395, 1.7359, 0.939], 2e-4, 'to the output');
    for (const l of lens.saturation.slice(0, 63)) counts[l]++;
    assert.deepEqual(counts, [1, 1, 14, 21, 26]);
  });

  test('patching and its estimate', async () => {
    const map = await patchingMap(model, LILY, TIM, PAIR), state = /** @type {Float64Array} */ (map.places.state), heads = /** @type {Float64Array} */ (map.byHead);
    near([map.clean, map.corrupt], [3.5722, -3.5474], 2e-4, 'metric');
    near([0, 1, 2, 3, 4].map((l) => state[l * 7 + 1]), [1, 1.003, 0.989, 0.902, 0.901], 1e-3, 'the name');
    near([0, 1, 2, 3, 4].map((l) => state[l * 7 + 6]), [0, -0.0022, 0.0193, 0.1491, 0.1567], 1e-3, 'the end');
    near([34, 32, 22, 33, 5].map((i) => heads[i]), [0.7231, 0.235, 0.2114, -0.0605, -0.0591], 1e-3, 'heads');
    for (let i = 0; i < 40; i++) if (![34, 32, 22, 33, 5].includes(i)) assert.ok(Math.abs(heads[i]) < 0.045);
    const guess = /** @type {Float64Array} */ ((await attributionPatching(model, LILY, TIM, PAIR)).byHead);
    near([34, 32, 22].map((i) => guess[i]), [0.7845, 0.2551, 0.2137], 1e-3, 'estimate');
    const m = [sum(heads) / 40, sum(guess) / 40], dot = (/** @type {Float64Array} */ a, /** @type {number} */ ma, /** @type {Float64Array} */ b, /** @type {number} */ mb) => a.reduce((s, x, i) => s + (x - ma) * (b[i] - mb), 0);
    near([dot(heads, m[0], guess, m[1]) / Math.sqrt(dot(heads, m[0], heads, m[0]) * dot(guess, m[1], guess, m[1]))], [0.99979], 1e-4, 'Pearson');
    for (const [sites, want] of /** @type {[number[][], number][]} */ ([[[[4, 2]], 1.743], [[[4, 0]], 2.5207], [[[2, 6]], 3.4423], [[[4, 0], [4, 2]], 0.4412]])) {
      const { after: row } = await ablate(model, LILY, sites.map(([layer, head]) => ({ kind: 'head', layer, head })));
      near([row[SHE] - row[HE]], [want], 1e-3, JSON.stringify(sites));
    }
    const { lost, value } = await leaveOneOut(model, LILY, PAIR);
    near([value], [3.5722], 2e-4, 'value');
    near(lost.slice(1), [2.5124, 0.1689, 0.0951, 0.4138, 0.4938, 0.2664], 1e-3, 'leave one out');
  });

  test('norm maps, rollout, flow, sinks, massive activations', async () => {
    near((await attentionNorms(model, LILY, { layer: 4 })).summed.slice(42), [1.244, 2.1741, 0.5033, 0.2594, 0.104, 0.0283, 0.8347], 2e-4, 'norms');
    const eight = await attentionOf(model, L64.slice(0, 8)), { flow, share } = await attentionFlow(eight);
    near((await attentionRollout(eight))[4].slice(56), [0.4716, 0.1345, 0.0683, 0.0599, 0.0397, 0.0867, 0.0755, 0.0638], 1e-4, 'rollout');
    near(flow, [1, 0.8428, 0.7685, 0.739, 0.6335, 0.6697, 0.5927, 0.5361], 1e-4, 'flow');
    near(share, [0.1729, 0.1457, 0.1329, 0.1278, 0.1096, 0.1158, 0.1025, 0.0927], 1e-4, 'share');
    for (const ids of [L64, L64.slice(1), new Array(64).fill(403)]) {
      const { rate, importance } = attentionSinks(await attentionOf(model, ids)), T = ids.length;
      assert.equal(rate[0], 0);
      if (ids === L64) near([Math.max(...Array.from({ length: 40 }, (_, i) => importance[i * T])), importance[37 * T]], [0.1724, 0.1724], 1e-4, 'L4H5');
    }
    const { layers, massive } = await massiveActivations(model, L64);
    near(layers.map((l) => Math.abs(l.top[0].value)), [3.6586, 4.2087, 4.6876, 7.0307, 8.7611], 2e-4, 'largest');
    near(layers.map((l) => l.median), [0.2837, 0.3968, 0.531, 0.7578, 0.9923], 2e-4, 'median');
    assert.deepEqual([massive, layers.slice(0, 4).map((l) => [l.top[0].position, l.top[0].channel])], [[], [[0, 30], [0, 30], [0, 30], [0, 15]]]);
  });

  test('neurons and heads', async () => {
    const { neurons, share } = await neuronReadings(model, ONCE, { layer: 3 }), piece = (/** @type {number} */ id) => model.tokenizer.tokenPiece(id);
    assert.deepEqual(neurons.map((n) => n.neuron), [136, 66, 155, 84, 109, 146, 54, 6, 163, 67]);
    near([share, ...neurons.slice(0, 3).map((n) => n.coefficient)], [0.3244, -2.8831, -2.2851, 2.2016], 2e-4, 'sizes');
    assert.deepEqual([piece(neurons[2].promotes[0].token), piece(neurons[1].promotes[0].token)], ['▁a', '▁upon']);
    const lists = Array.from({ length: 8 }, (_, s) => { let x = s + 1; return Array.from({ length: 50 }, () => { x = Number((1103515245n * BigInt(x) + 12345n) % (1n << 31n)); return 259 + ((x >> 8) % 253); }); });
    const scores = await headScores(model, { ids: lists, first: 1 });
    near([scores.firstCopy, scores.secondCopy, Math.max(...scores.induction), Math.max(...scores.duplicate)], [12.1665, 11.7028, 0.0185, 0.0176], 1e-3, 'no induction');
    near([30, 11, 14, 13, 16].map((i) => scores.previous[i]), [0.7645, 0.6473, 0.5139, 0.4843, 0.4564], 1e-3, 'previous token');
  });
});

describe('the command line', () => {
  const text = 'The little girl was very sad, and', other = 'The little boy was very sad, and';
  /** @param {string[]} args */
  async function said(...args) {
    const run = await cli(['inspect', BUNDLED, ...args, '--json', '--threads', '1']);
    assert.equal(run.stderr, '');
    assert.equal(run.status, 0);
    return JSON.parse(run.stdout);
  }
  const plain = (/** @type {any} */ x) => JSON.parse(JSON.stringify(x, (_, v) => (ArrayBuffer.isView(v) ? [.../** @type {any} */ (v)] : typeof v === 'number' && !Number.isFinite(v) ? null : v)));

  test('says what the functions give', async () => {
    const model = await Model.load(BUNDLED, { threads: 1 });
    const lens = plain(await logitLens(model, text, { top: 2 })), { crossEntropy, crossToOutput, ...rest } = lens;
    assert.deepEqual(await said(text, '--what', 'lens', '--top', '2'), { ...rest, cross_entropy: crossEntropy, cross_to_output: crossToOutput });
    assert.deepEqual(await said(text, '--what', 'attribution', '--neurons', '4', '--position', '3'), plain(await logitAttribution(model, text, { neurons: 4, position: 3 })));
    assert.deepEqual(await said(text, '--what', 'neurons', '--layer', '2'), plain(await neuronReadings(model, text, { layer: 2 })));
    const map = plain(await patchingMap(model, text, other)), { byHead, ...maps } = map, { ids, ...got } = await said(text, '--what', 'patch', '--corrupt', other);
    assert.deepEqual([got, ids.length], [{ ...maps, by_head: byHead }, 9]);
    const { kl, tokens } = await ablate(model, text, [{ kind: 'head', layer: 5, head: 1 }, { kind: 'mlp', layer: 3, position: 2 }]), without = await said(text, '--what', 'ablate', '--site', 'L5H1', '--site', 'mlp:3@2');
    assert.deepEqual([without.kl, without.tokens], [kl, tokens]);
    assert.deepEqual((await said(text, '--what', 'sinks')).sinks, attentionSinks(await attentionOf(model, text)).sinks);
    assert.deepEqual((await said(text, '--what', 'attention')).flow, plain((await attentionFlow(await attentionOf(model, text))).flow));
    assert.deepEqual((await said(text, '--what', 'massive')).layers, plain((await massiveActivations(model, text)).layers));
    assert.deepEqual((await said(text, '--what', 'heads')).induction, plain(headDetection(await attentionOf(model, text)).induction));
    assert.deepEqual((await said('--what', 'heads', '--repeated', '--length', '8', '--seed', '2')).previous, plain((await headScores(model, { length: 8, seed: 2 })).previous));
    assert.deepEqual((await said(text, '--what', 'inputs')).lost, plain((await leaveOneOut(model, text)).lost));
    await model.dispose();
  });

  test('for people, and what is wrong', async () => {
    const run = await cli(['inspect', BUNDLED, text, '--what', 'lens', '--threads', '1']);
    assert.match(run.stdout.split('\n').at(-2) ?? '', /^5 .*" she" 0\.\d\d +\d\.\d{4} nats/);
    assert.match((await cli(['inspect', BUNDLED, text, '--what', 'patch', '--corrupt', other, '--threads', '1'])).stdout, /^logit of " she" less that of " he": 3\.\d{4}, in the other prompt -2\./);
    for (const [args, status, pattern] of /** @type {[string[], number, RegExp][]} */ ([
      [[text], 2, /with a TEXT, also --what/], [['--layer', '1'], 2, /--layer goes with --what/], [[text, '--what', 'lens', '--layer', '1'], 2, /--layer goes with --what neurons/], [[text, '--what', 'soul'], 2, /known are lens, attribution/],
      [[text, '--what', 'patch'], 2, /needs --corrupt/], [[text, '--what', 'patch', '--corrupt', 'x'], 1, /must have as many/], [[text, '--what', 'ablate', '--site', 'L5'], 2, /is no part/], [[text, '--what', 'attribution', '--position', '99'], 1, /position: 99 is not/],
    ])) {
      const refused = await cli(['inspect', BUNDLED, ...args]);
      assert.deepEqual([refused.status, refused.stdout], [status, ''], args.join(' '));
      assert.match(refused.stderr, pattern);
    }
  });
});
