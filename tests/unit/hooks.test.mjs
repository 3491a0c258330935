// Runs that begin in the middle or end early, and every kind of hook, against the values that they are defined by. On float and on quantised weights, on any number of threads.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Model } from '../../web/index.js';
import { toNpy, toNpz } from '../../web/node/npy.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomGpt2, randomLlama } from '../support/random_gguf.mjs';
import { cli, scratch } from '../support/wasm.mjs';

/** @typedef {import('../../web/model.js').Patch} Patch */
/** @typedef {import('../../web/model.js').RunResult} RunResult */

const files = scratch();
const SHAPE = { layers: 3, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 64, base: 10000 };
const MODELS = { 'llama, F32': randomLlama(SHAPE, GGML.F32), 'llama, Q8_0': randomLlama(SHAPE, GGML.Q8_0), 'llama, Q4_0': randomLlama(SHAPE, GGML.Q4_0), 'GPT-2, Q8_0': randomGpt2(SHAPE, GGML.Q8_0) };
const IDS = [1, 5, 250, 7, 33], OTHER = [9, 8, 7, 6, 5], T = IDS.length, W = 64;
const RESID = 'blocks.1.hook_resid_pre';
/** All of a trace, of shape [T][...]. @param {Float32Array} data @param {number} t */
const row = (data, t) => data.subarray((t * data.length) / T, ((t + 1) * data.length) / T);

for (const [title, file] of Object.entries(MODELS))
  describe(title, () => {
    /** @param {(model: Model) => Promise<void>} body */
    const onEach = async (body) => {
      for (const threads of [1, 2]) {
        const model = await Model.load(file, { threads });
        try {
          await body(model);
        } finally {
          await model.dispose();
        }
      }
    };
    const differ = (/** @type {Float32Array} */ a, /** @type {Float32Array} */ b) => assert.ok(a.some((x, i) => x !== b[i]));

    test('a run in two parts is the whole run', () => onEach(async (model) => {
      const names = await model.traceNames();
      // Whatever is computed once for a layer's input and output: the residual stream, at every place that it has a name.
      for (const name of names.filter((n) => /hook_resid_(pre|mid|post)$/.test(n))) {
        const whole = await model.run(IDS, { all: true, trace: name });
        const head = await model.run(IDS, { stopAt: name });
        assert.deepEqual(head, { logits: new Float32Array(0), vocab: 300, traces: whole.traces }, name);
        const tail = await model.run(IDS, { all: true, from: { name, data: head.traces[name].data } });
        assert.deepEqual(tail.logits, whole.logits, name);
      }
      const last = (await model.run(IDS, { trace: 'blocks.2.hook_resid_pre' })), middle = { name: RESID, ...(await model.run(IDS, { stopAt: RESID })).traces[RESID] };
      const part = await model.run(IDS, { from: middle, stopAt: 'blocks.2.hook_resid_pre' });
      assert.deepEqual(part.traces['blocks.2.hook_resid_pre'], last.traces['blocks.2.hook_resid_pre'], 'from one layer to another');
      assert.deepEqual((await model.run(OTHER, { from: middle })).logits, last.logits, 'the tokens do not matter any more');
    }));

    test('nothing else is computed', () => onEach(async (model) => {
      const data = (await model.run(IDS, { trace: RESID })).traces[RESID].data;
      const part = await model.run(IDS, { from: { name: RESID, data }, stopAt: 'blocks.1.hook_resid_mid', trace: ['blocks.*', 'hook_*', 'ln_final.*'] });
      const seen = Object.keys(part.traces);
      assert.ok(seen.length > 5 && seen.every((name) => name.startsWith('blocks.1.') && !/mlp|ln2|resid_post/.test(name)), seen.join());
      // An attention pattern that is given: no queries and no scores, but keys' fellows, the values.
      const pattern = (await model.run(IDS, { trace: 'blocks.1.attn.hook_pattern', all: true })), name = 'blocks.1.attn.hook_pattern';
      const again = await model.run(IDS, { all: true, from: { name, data: pattern.traces[name].data }, trace: ['blocks.1.attn.hook_?', 'blocks.1.attn.hook_attn_*'] });
      assert.deepEqual(again.logits, pattern.logits);
      assert.ok(!('blocks.1.attn.hook_attn_scores' in again.traces) && !('blocks.1.attn.hook_q' in again.traces) && 'blocks.1.attn.hook_v' in again.traces, Object.keys(again.traces).join());
      // And it is the value given, not the one that would have been computed, that counts.
      const other = (await model.run(OTHER, { trace: name })).traces[name].data;
      assert.deepEqual((await model.run(IDS, { from: { name, data: other } })).logits, (await model.run(IDS, { patch: [{ name, kind: 'replace', value: other }] })).logits);
    }));

    test('patches beside from and stopAt', () => onEach(async (model) => {
      const name = 'blocks.2.hook_attn_out', data = (await model.run(IDS, { trace: RESID })).traces[RESID].data, patch = /** @type {Patch[]} */ ([{ name, kind: 'scale', value: -1 }]);
      const want = await model.run(IDS, { patch, trace: 'blocks.2.hook_resid_post' });
      assert.deepEqual((await model.run(IDS, { patch, from: { name: RESID, data } })).logits, want.logits);
      assert.deepEqual((await model.run(IDS, { patch, stopAt: 'blocks.2.hook_resid_post' })).traces, want.traces);
      const twice = await model.run(IDS, { from: { name: RESID, data }, patch: [{ name: RESID, kind: 'add', value: 0.5, index: [2] }] });
      assert.deepEqual(twice.logits, (await model.run(IDS, { patch: [{ name: RESID, kind: 'add', value: 0.5, index: [2] }] })).logits, 'a patch of the given value');
    }));

    test('patches that change nothing', () => onEach(async (model) => {
      const names = await model.traceNames(), plain = await model.run(IDS, { all: true, trace: names });
      const scale = plain.logits.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
      for (const name of names) {
        const { data } = plain.traces[name];
        for (const patch of /** @type {Patch[]} */ ([{ name, kind: 'freeze', run: plain }, { name, kind: 'freeze', value: data, index: [[0, Infinity]] }, { name, kind: 'scale', value: 1 }, { name, kind: 'mean', of: [data, data] }, { name, kind: 'resample', of: [data] }]))
          // -inf of scores that are not seen has no mean with itself but itself.
          assert.deepEqual((await model.run(IDS, { all: true, trace: names, patch: [patch] })).logits, plain.logits, `${patch.kind} ${name}`);
      }
      const all = await model.run(IDS, { all: true, patch: [{ name: '*', kind: 'freeze', run: plain }] });
      assert.ok(all.logits.every((x, i) => Math.abs(x - plain.logits[i]) <= 1e-4 * scale), 'everything at once');
    }));

    test('means and samples along an axis', () => onEach(async (model) => {
      const name = 'blocks.0.attn.hook_z', H = 4, E = 16; // [T][H][E]
      const { data } = (await model.run(IDS, { trace: name })).traces[name];
      const trace = async (/** @type {Patch} */ patch) => (await model.run(IDS, { patch: [patch], trace: name })).traces[name].data;
      const at = (/** @type {number} */ t, /** @type {number} */ h, /** @type {number} */ e) => data[(t * H + h) * E + e];
      const table = (/** @type {(t: number, h: number, e: number) => number} */ f) => Float32Array.from(data, (_, i) => f(Math.floor(i / (H * E)), Math.floor(i / E) % H, i % E));
      const mean = (/** @type {number} */ n, /** @type {(i: number) => number} */ f) => Math.fround(Array.from({ length: n }, (_, i) => f(i)).reduce((a, b) => a + b, 0) / n);
      assert.deepEqual(await trace({ name, kind: 'mean' }), table((_, h, e) => mean(T, (i) => at(i, h, e))));
      assert.deepEqual(await trace({ name, kind: 'mean', axis: 1 }), table((t, _, e) => mean(H, (i) => at(t, i, e))));
      assert.deepEqual(await trace({ name, kind: 'mean', axis: 2 }), table((t, h) => mean(E, (i) => at(t, h, i))));
      assert.deepEqual(await trace({ name, kind: 'mean', index: [[1, 3], 2] }), table((t, h, e) => (t >= 1 && t < 3 && h === 2 ? mean(T, (i) => at(i, h, e)) : at(t, h, e))), 'the mean is of all positions, whichever are changed');
      const drawn = new Set();
      for (let seed = 0; seed < 12; seed++) {
        const got = await trace({ name, kind: 'resample', seed });
        const from = IDS.map((_, t) => IDS.findIndex((__, u) => row(data, u).every((x, i) => x === row(got, t)[i])));
        assert.ok(from.every((u, t) => u >= 0 && u !== t), `each position takes all of another: ${from}`);
        drawn.add(from.join());
        assert.deepEqual(await trace({ name, kind: 'resample', seed }), got, 'the same seed');
        assert.deepEqual(await trace({ name, kind: 'resample', seed, index: [2, 1] }), table((t, h, e) => (t === 2 && h === 1 ? at(from[2], h, e) : at(t, h, e))), 'a slice takes what the whole would have taken');
      }
      assert.ok(drawn.size > 8, `${drawn.size} of 12 seeds differ`);
    }));

    test('means and samples of stored values', () => onEach(async (model) => {
      const name = 'blocks.1.mlp.hook_post', texts = [OTHER, [2, 4, 6, 8, 10], [11, 12, 13, 14, 15]];
      const stored = await Promise.all(texts.map(async (ids) => (await model.run(ids, { trace: name })).traces[name]));
      const trace = async (/** @type {Patch} */ patch) => (await model.run(IDS, { patch: [patch], trace: name })).traces[name].data;
      const mean = Float32Array.from(stored[0].data, (_, i) => (stored[0].data[i] + stored[1].data[i] + stored[2].data[i]) / 3);
      assert.deepEqual(await trace({ name, kind: 'mean', of: stored }), mean);
      const own = (await model.run(IDS, { trace: name })).traces[name].data, f = own.length / T;
      assert.deepEqual(await trace({ name, kind: 'mean', of: stored.map(({ data }) => data), index: [null, [3, 5]] }), own.map((x, i) => (i % f >= 3 && i % f < 5 ? mean[i] : x)));
      // Mean ablation by a corpus: one mean for each neuron, over the positions of texts of different lengths.
      const long = (await model.run([...OTHER, 3, 2, 1], { trace: name })).traces[name];
      const corpus = Array.from({ length: f }, (_, n) => { let sum = 0; for (const { data } of [stored[1], long]) for (let i = n; i < data.length; i += f) sum += data[i]; return sum / (T + T + 3); });
      assert.deepEqual(await trace({ name, kind: 'mean', of: [stored[1], long], axis: 0 }), own.map((_, i) => corpus[i % f]));
      const counts = [0, 0, 0];
      for (let seed = 0; seed < 60; seed++) {
        const got = await trace({ name, kind: 'resample', of: stored, seed });
        const which = stored.findIndex(({ data }) => data.every((x, i) => x === got[i]));
        counts[which]++;
      }
      // chi-square with 2 degrees of freedom: 13.8 is the 0.999 quantile
      assert.ok(counts.reduce((sum, n) => sum + (n - 20) ** 2 / 20, 0) < 13.8, counts.join());
    }));

    test('freezing', () => onEach(async (model) => {
      const other = await model.run(OTHER, { trace: ['blocks.*.attn.hook_pattern', 'blocks.*.ln?.hook_scale', 'ln_final.hook_scale'] });
      const name = 'blocks.*.attn.hook_pattern';
      const frozen = await model.run(IDS, { patch: [{ name, kind: 'freeze', run: other }], trace: name });
      for (const l of [0, 1, 2]) assert.deepEqual(frozen.traces[`blocks.${l}.attn.hook_pattern`], other.traces[`blocks.${l}.attn.hook_pattern`]);
      assert.deepEqual(frozen.logits, (await model.run(IDS, { patch: [0, 1, 2].map((l) => ({ name: `blocks.${l}.attn.hook_pattern`, kind: /** @type {const} */ ('replace'), value: other.traces[`blocks.${l}.attn.hook_pattern`].data })), trace: name })).logits);
      // With the norms' divisors frozen the last norm is linear: the logits of a sum are the sum of the logits (GPT-2's norm has a bias, which is 0 here).
      const plain = await model.run(IDS, { trace: ['ln_final.hook_scale', 'blocks.2.hook_resid_post'] });
      const last = 'blocks.2.hook_resid_post', freeze = /** @type {Patch} */ ({ name: 'ln_final.hook_scale', kind: 'freeze', run: plain });
      if (title === 'llama, F32') {
        const half = await model.run(IDS, { patch: [freeze, { name: last, kind: 'scale', value: 0.5 }] });
        const scale = plain.logits.reduce((a, x) => Math.max(a, Math.abs(x)), 0);
        assert.ok(half.logits.every((x, i) => Math.abs(2 * x - plain.logits[i]) < 1e-5 * scale));
        differ((await model.run(IDS, { patch: [{ name: last, kind: 'scale', value: 0.5 }] })).logits, half.logits);
      }
    }));

    test('what does not fit is said, and the model stays usable', async () => {
      const model = await Model.load(file, { threads: 1 });
      const plain = await model.run(IDS), data = (await model.run(IDS, { trace: RESID })).traces[RESID].data, from = { name: RESID, data };
      for (const [options, code, message] of /** @type {[any, string, RegExp][]} */ ([
        [{ stopAt: 'blocks.9.hook_resid_pre' }, 'EUNKNOWN', /is called "blocks\.9/], [{ stopAt: 'blocks.*' }, 'EUNKNOWN', /not at the pattern/], [{ from: { name: 'nothing', data } }, 'EUNKNOWN', /is called "nothing"/],
        [{ from: { name: RESID, data: data.subarray(1) } }, 'ERANGE', /has 319 values, expected 320 \(with this batch its shape is \[5, 64\]\)/], [{ from, stopAt: 'blocks.0.hook_resid_post' }, 'ESTATE', /stops at "blocks\.0\.hook_resid_post", before/],
        [{ from, patch: [{ name: 'hook_embed', kind: 'zero' }] }, 'ESTATE', /patch of "hook_embed" has no effect on a run that starts from "blocks\.1\.hook_resid_pre"/],
        [{ stopAt: RESID, patch: [{ name: 'ln_final.hook_normalized', kind: 'zero' }] }, 'ESTATE', /no effect on a run that stops at/], [{ stopAt: RESID, trace: 'ln_final.hook_normalized' }, 'ESTATE', /is not computed between/],
        [{ patch: [{ name: RESID, kind: 'mean', axis: 2 }] }, 'ERANGE', /goes along axis 2, but its shape has 2/], [{ patch: [{ name: RESID, kind: 'mean', offset: 1 }] }, 'ERANGE', /takes index/],
        [{ patch: [{ name: RESID, kind: 'mean', of: [{ shape: [2, 2], data: new Float32Array(4) }], axis: 0 }] }, 'ERANGE', /has 2 means, but with this batch 64 lines/],
        [{ patch: [{ name: RESID, kind: 'mean', of: [] }] }, 'ERANGE', /at least one/], [{ patch: [{ name: RESID, kind: 'mean', of: [data, data.subarray(1)] }] }, 'ERANGE', /319 and 320/],
        [{ patch: [{ name: RESID, kind: 'freeze', run: { traces: {} } }] }, 'EMISSING', /no trace of it/], [{ patch: [{ name: RESID, kind: 'freeze' }] }, 'EMISSING', /a value or a run/],
        [{ patch: [{ name: RESID, kind: 'zero', index: [5] }] }, 'ERANGE', /covers 5 to 6 of dimension 0/], [{ patch: [{ name: RESID, kind: 'zero', index: [0], offset: 3 }] }, 'ERANGE', /exclude/],
        [{ patch: [{ name: RESID, kind: 'zero', value: 3 }] }, 'EUNKNOWN', /unknown option "value"/], [{ patch: [{ name: RESID, kind: 'replace' }] }, 'EMISSING', /needs a value/],
        [{ patch: [{ name: RESID, kind: 'replace', value: [1, 2], index: [0] }] }, 'ERANGE', /has 2 values, expected 64/],
      ])) await assert.rejects(model.run(IDS, options), { code, message }, JSON.stringify(options).slice(0, 100));
      assert.deepEqual((await model.run(IDS)).logits, plain.logits);
      await model.dispose();
    });
  });

test('sessions take the same patches', async () => {
  const model = await Model.load(MODELS['llama, Q8_0'], { threads: 1 }), session = await model.session();
  const patch = /** @type {Patch[]} */ ([{ name: 'blocks.0.hook_mlp_out', kind: 'mean', index: [[1, 3]] }]);
  assert.deepEqual((await session.append(IDS, { patch })).logits, (await model.run(IDS, { patch })).logits);
  assert.throws(() => session.append([1], /** @type {any} */ ({ stopAt: RESID })), { code: 'EUNKNOWN' });
  await session.dispose();
  await model.dispose();
});

test('the command line says the same', async () => {
  const path = files.write('hooks.gguf', MODELS['llama, Q4_0']), model = await Model.load(path, { threads: 1 });
  const name = 'blocks.1.hook_resid_mid', other = await model.run(OTHER, { trace: 'blocks.*' }), third = await model.run([2, 4, 6, 8, 10], { trace: 'blocks.*' });
  const npz = files.write('other.npz', toNpz(other.traces)), npy = files.write('third.npy', toNpy(third.traces[name])), ids = ['run', path, '--ids', IDS.join(), '--threads', '1', '--json'];
  for (const [args, options] of /** @type {[string[], any][]} */ ([
    [['--stop-at', name], { stopAt: name }], [['--from', `${name}=${npz}`], { from: { name, data: other.traces[name].data } }], [['--from', `${name}=${npy}`, '--stop-at', 'blocks.1.hook_mlp_out'], { from: { name, data: third.traces[name].data }, stopAt: 'blocks.1.hook_mlp_out' }],
    [['--patch', `${name}=mean`], { patch: [{ name, kind: 'mean' }] }], [['--patch', `${name}[1:3]=mean:1`], { patch: [{ name, kind: 'mean', axis: 1, index: [[1, 3]] }] }],
    [['--patch', `${name}=mean:${npz},${npy}`], { patch: [{ name, kind: 'mean', of: [other.traces[name], third.traces[name]] }] }], [['--patch', `${name}=mean:0,${npz},${npy}`], { patch: [{ name, kind: 'mean', axis: 0, of: [other.traces[name], third.traces[name]] }] }],
    [['--patch', `${name}=resample`, '--seed', '7'], { patch: [{ name, kind: 'resample', seed: 7 }] }], [['--patch', `${name}=resample:${npz},${npy}`, '--seed', '3'], { patch: [{ name, kind: 'resample', of: [other.traces[name], third.traces[name]], seed: 3 }] }],
    [['--patch', `blocks.*.attn.hook_pattern=freeze:${npz}`], { patch: [{ name: 'blocks.*.attn.hook_pattern', kind: 'freeze', run: other }] }], [['--patch', `${name}[2]=freeze:${npy}`], { patch: [{ name, kind: 'freeze', value: third.traces[name], index: [2] }] }],
  ])) {
    const want = await model.run(IDS, options), run = await cli([...ids, ...args]);
    assert.equal(run.stderr, '', args.join(' '));
    const { values } = JSON.parse(run.stdout);
    const expected = options.stopAt ? Object.entries(want.traces).map(([key, { data }]) => [key, [...data]]) : [['logits', [...want.logits]]];
    assert.deepEqual(Object.entries(values).map(([key, { data }]) => [key, data]), expected, args.join(' '));
  }
  for (const [args, status, message] of /** @type {[string[], number, RegExp][]} */ ([
    [['--stop-at', name, '--all'], 2, /no logits/], [['--from', name], 2, /is not NAME=FILE/], [['--from', `${name}=absent.npy`], 1, /no such file/], [['--from', `blocks.9.hook_mlp_out=${npz}`], 1, /holds no blocks\.9/],
    [['--patch', `${name}=mean:absent.npz`], 1, /no such file/], [['--patch', `blocks.*.hook_resid_pre=freeze:${npy}`], 2, /from a \.npz/], [['--patch', `${name}=freeze`], 1, /no such file/],
  ])) {
    const run = await cli([...ids, ...args]);
    assert.equal(run.status, status, run.stderr);
    assert.match(run.stderr, message);
  }
  await model.dispose();
});
