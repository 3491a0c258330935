// Fine-tuning of loaded models: what is trained changes and nothing else does; adapters; going on from what was saved; the model as a file.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Model, quantize } from '../../web/index.js';
import { readSafetensors } from '../../web/safetensors.js';
import { GGML } from '../support/gguf_write.mjs';
import { readGguf, tensorValues } from '../support/gguf_read.mjs';
import { randomGpt2, randomLlama } from '../support/random_gguf.mjs';
import { skipWithoutShared, unpack } from '../support/shared.mjs';
import { BUNDLED } from '../support/wasm.mjs';

const SHAPE = { layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 64, base: 10000 };
const TEXTS = [[1, 5, 250, 7, 5, 33, 2], [9, 8, 7, 8, 9, 8, 7, 8], [100, 101, 102]];

/** @param {any} file @param {(model: Model) => Promise<void>} body @param {number} [threads] */
async function on(file, body, threads = 1) {
  const model = await Model.load(file, { threads });
  try {
    await body(model);
  } finally {
    await model.dispose();
  }
}
/** Mean -ln p of every token but the first of each text. @param {Model} model @param {number[][]} texts */
async function lossOf(model, texts) {
  let sum = 0, count = 0;
  for (const text of texts) for (const x of await model.logProbs(text)) { sum -= x; count++; }
  return sum / count;
}
const logits = async (/** @type {Model} */ model) => (await model.run(TEXTS[0], { all: true })).logits;
/** @param {Float32Array} a @param {Float32Array} b */
function distance(a, b) {
  let worst = 0, most = 0;
  for (let i = 0; i < a.length; i++) { worst = Math.max(worst, Math.abs(a[i] - b[i])); most = Math.max(most, Math.abs(b[i])); }
  return worst === 0 ? 0 : worst / most;
}

describe('parameters', () => {
  for (const [title, file] of Object.entries({ 'llama, F32': randomLlama(SHAPE, GGML.F32), 'llama, Q8_0': randomLlama(SHAPE, GGML.Q8_0), 'GPT-2, F32': randomGpt2(SHAPE, GGML.F32) }))
    test(`${title}: the loss falls, what is frozen stays`, { timeout: 60_000 }, () => on(file, async (model) => {
      const before = await lossOf(model, TEXTS);
      const tuning = await model.finetune({ parameters: 'blk.*', freeze: ['blk.0.*', '*_norm*'], update: { rate: 3e-3 } });
      assert.ok(tuning.variables.length >= 6 && tuning.variables.every(({ name }) => name.startsWith('blk.1.') && !name.includes('norm')));
      assert.equal(tuning.count, tuning.variables.reduce((sum, { dims }) => sum + dims.reduce((a, b) => a * b, 1), 0));
      const losses = [];
      for (let step = 0; step < 30; step++) {
        const { loss, norm, tokens } = await tuning.step(TEXTS);
        assert.ok(norm > 0 && tokens === 6 + 7 + 2);
        losses.push(loss);
      }
      assert.ok(Math.abs(losses[0] - before) < 1e-2 * before, `${losses[0]}, ${before}`); // Q8_0: what is trained is float32 now
      const after = await lossOf(model, TEXTS);
      assert.ok(after < 0.5 * before && after < losses[29] + 1e-2, `${before}, then ${after}`);
      const { bytes } = await tuning.write({ type: 'F32' }), old = readGguf(file).tensors, now = readGguf(/** @type {Uint8Array} */ (bytes)).tensors;
      assert.deepEqual(Object.keys(now).sort(), Object.keys(old).sort());
      for (const [name, tensor] of Object.entries(old)) {
        const same = distance(tensorValues(now[name]), tensorValues(tensor)) === 0;
        assert.equal(same, !(name.startsWith('blk.1.') && !name.includes('norm')), name);
      }
      await tuning.dispose();
      assert.equal(await lossOf(model, TEXTS), after, 'the model keeps what it has learnt');
      await on(bytes, async (again) => assert.ok(Math.abs((await lossOf(again, TEXTS)) - after) < 1e-2));
    }));

  test('a batch in parts, and any number of threads, are the same step', { timeout: 60_000 }, async () => {
    /** @type {Uint8Array[]} */ const saved = [];
    const losses = [];
    for (const [threads, how] of /** @type {[number, any][]} */ ([[1, {}], [2, {}], [1, { recompute: true }], [1, { partTokens: 8 }]]))
      await on(randomLlama(SHAPE, GGML.F32), async (model) => {
        const tuning = await model.finetune({ update: { rule: 'sgd', rate: 0.1, clip: 0 } });
        losses.push((await tuning.step(TEXTS, how)).loss);
        saved.push(await tuning.save());
      }, threads);
    assert.deepEqual(saved[1], saved[0]);
    assert.deepEqual(saved[2], saved[0]);
    assert.ok(Math.abs(losses[3] - losses[0]) < 1e-6 * losses[0]);
    const whole = readSafetensors(saved[0]).tensors, parts = readSafetensors(saved[3]).tensors;
    for (const [name, { data }] of Object.entries(whole)) assert.ok(distance(parts[name].data, data) < 1e-5, name);
  });

  test('targets of one\'s own; the bundled model learns a sentence', { timeout: 120_000 }, () => on(BUNDLED, async (model) => {
    const text = 'Microtome cuts a specimen thin enough to see through.', ids = [...model.tokenizer.encode(text, { addSpecialTokens: true }).ids];
    const tuning = await model.finetune({ update: { rate: 3e-4 } }), only = ids.map((_, i) => (i >= 4 ? ids[i + 1] ?? null : null));
    const first = (await tuning.step([{ ids: text, targets: only }])).loss;
    for (let i = 0; i < 12; i++) await tuning.step([{ ids, targets: only }]);
    const { loss, tokens } = await tuning.step([{ ids, targets: only }], { rate: 0 });
    assert.equal(tokens, ids.length - 5);
    assert.ok(loss < 0.5 * first, `${first}, then ${loss}`);
    await tuning.dispose();
  }));
});

describe('adapters', () => {
  for (const type of ['F32', 'Q8_0', 'Q4_0'])
    test(`over ${type}: the loss falls, merged and applied are the same, and without them the model is as it was`, { timeout: 60_000 }, () => on(randomLlama(SHAPE, /** @type {any} */ (GGML)[type]), async (model) => {
      const untouched = await logits(model), before = await lossOf(model, TEXTS);
      const open = () => model.finetune({ adapters: { matrices: 'blk.*', rank: 4, alpha: 8, seed: 3 }, update: { rate: 1e-2 } });
      const tuning = await open();
      assert.deepEqual(await logits(model), untouched, 'B begins as zeros');
      assert.equal(tuning.variables.length, 2 * 2 * 7);
      assert.deepEqual(tuning.variables.find(({ name }) => name === 'blk.0.ffn_down.weight.lora_b')?.dims, [64, 4]);
      for (let i = 0; i < 40; i++) await tuning.step(TEXTS);
      const after = await lossOf(model, TEXTS), applied = await logits(model), traced = await model.run(TEXTS[0], { all: true, trace: '*' });
      assert.ok(after < 0.5 * before, `${before}, then ${after}`);
      assert.ok(distance(traced.logits, applied) < (type === 'F32' ? 1e-4 : 0.05), 'with every value looked at, and heads apart without rounding activations');
      const sum = new Float32Array(TEXTS[0].length * 64), { data, shape } = traced.traces['blocks.1.attn.hook_result'];
      for (let t = 0; t < shape[0]; t++) for (let h = 0; h < shape[1]; h++) for (let d = 0; d < 64; d++) sum[t * 64 + d] += data[(t * shape[1] + h) * 64 + d];
      assert.ok(distance(sum, traced.traces['blocks.1.hook_attn_out'].data) < 1e-4, 'each head has its share of the adapter');
      const saved = await tuning.save();
      await tuning.dispose();
      assert.deepEqual(await logits(model), untouched);
      const again = await model.finetune({ state: saved });
      assert.deepEqual(await logits(model), applied, 'adapters that were saved');
      await again.merge();
      await assert.rejects(again.step(TEXTS), { code: 'ESTATE' });
      const merged = await logits(model);
      assert.ok(distance(merged, applied) < (type === 'F32' ? 1e-5 : 0.05)); // merged matrices are float32: activations are not rounded to 8 bits any more
      const { bytes } = await again.write();
      await again.dispose();
      assert.deepEqual(await logits(model), merged, 'what is merged stays');
      await on(bytes, async (other) => assert.ok(distance(await logits(other), merged) < (type === 'F32' ? 1e-6 : 0.05)));
    }));

  test('which tensors can have one', { timeout: 60_000 }, () => on(randomLlama(SHAPE, GGML.F32), async (model) => {
    const tuning = await model.finetune({ adapters: { matrices: '*' } });
    const names = new Set(tuning.variables.map(({ name }) => name.replace(/\.lora_[ab]$/, '')));
    assert.ok(names.size === 14 && names.has('blk.1.attn_output.weight'));
    assert.ok(![...names].some((name) => /norm|token_embd/.test(name)), [...names].join());
    await tuning.dispose();
    for (const name of ['token_embd.weight', 'output_norm.weight']) await assert.rejects(model.finetune({ adapters: { matrices: name } }), { code: 'EUNKNOWN', message: new RegExp(name) });
    await assert.rejects(model.finetune({ adapters: { matrices: '*_norm*' } }), { code: 'EUNKNOWN' });
  }));

  test('beside parameters of the model', { timeout: 60_000 }, () => on(randomLlama(SHAPE, GGML.Q8_0), async (model) => {
    const tuning = await model.finetune({ adapters: { matrices: 'blk.*' }, parameters: ['*_norm.weight', 'token_embd.weight'], update: { rate: 3e-3 } });
    assert.equal(tuning.variables.length, 2 * 14 + 5 + 1);
    const first = (await tuning.step(TEXTS)).loss;
    for (let i = 0; i < 20; i++) await tuning.step(TEXTS);
    assert.ok((await lossOf(model, TEXTS)) < 0.5 * first);
    await tuning.dispose();
  }));
});

test('going on from what was saved, bit for bit', { timeout: 60_000 }, async () => {
  const file = randomGpt2(SHAPE, GGML.F32);
  for (const options of [{ adapters: { matrices: '*attn*', rank: 2 } }, { parameters: 'blk.1.*', update: { rule: /** @type {const} */ ('lion'), rate: 1e-3 } }]) {
    /** @type {Uint8Array} */ let half, straight;
    await on(file, async (model) => {
      const tuning = await model.finetune(options);
      for (let i = 0; i < 3; i++) await tuning.step(TEXTS);
      half = await tuning.save({ all: true });
      for (let i = 0; i < 3; i++) await tuning.step(TEXTS);
      straight = await tuning.save({ all: true });
    });
    await on(file, async (model) => {
      const tuning = await model.finetune({ state: half });
      for (let i = 0; i < 3; i++) await tuning.step(TEXTS);
      assert.deepEqual(await tuning.save({ all: true }), straight);
    });
  }
});

test('mistakes', { timeout: 60_000 }, () => on(randomLlama(SHAPE, GGML.F32), async (model) => {
  for (const [what, options, code] of /** @type {[string, any, string][]} */ ([['an unknown option', { lora: 1 }, 'EUNKNOWN'], ['no such tensor', { parameters: 'blk.7.*' }, 'EUNKNOWN'], ['nothing left', { parameters: 'blk.0.*', freeze: '*' }, 'EMISSING'],
    ['rank 0', { adapters: { matrices: '*', rank: 0 } }, 'ERANGE'], ['no matrices', { adapters: { matrices: [] } }, 'EMISSING'], ['a rule', { update: { rule: 'adagrad' } }, 'EUNKNOWN'], ['a rate', { update: { rate: -1 } }, 'ERANGE'], ['no state', { state: new Uint8Array(9) }, 'EFORMAT']]))
    await assert.rejects(model.finetune(options), { code }, what);
  const session = await model.session();
  await assert.rejects(model.finetune(), { code: 'ESTATE' });
  await session.dispose();
  const tuning = await model.finetune();
  await assert.rejects(model.finetune(), { code: 'ESTATE' });
  for (const [batch, code] of /** @type {[any, string][]} */ ([[[], 'ERANGE'], [[[1]], 'ERANGE'], [[[1, 300]], 'ERANGE'], [[{ ids: [1, 2], targets: [null] }], 'ERANGE'], ['text', 'ERANGE']])) await assert.rejects(tuning.step(batch), { code }, JSON.stringify(batch));
  const before = await tuning.save(), controller = new AbortController();
  const stopped = tuning.step([Array.from({ length: 1500 }, (_, i) => (i * 7) % 300)], { signal: controller.signal });
  setTimeout(() => controller.abort(), 10);
  await assert.rejects(stopped, { name: 'AbortError' });
  assert.deepEqual(await tuning.save(), before, 'a step that was stopped changes nothing');
  const other = await Model.load(randomLlama({ ...SHAPE, width: 32 }, GGML.F32), { threads: 1 });
  await assert.rejects(other.finetune({ state: before }), { code: 'ESTATE', message: /token_embd\.weight/ });
  await (await other.finetune()).dispose();
  await other.dispose();
  await tuning.dispose();
  await assert.rejects(tuning.step(TEXTS), { code: 'ESTATE' });
}));

// Tensors that are taken apart, turned, kept less one or as logarithms: plain gradient descent takes off rate |g|^2, whatever the parameters are made of.
describe('the first step, of models of every make', { skip: skipWithoutShared }, () => {
  for (const architecture of ['gpt2', 'gpt_neox', 'gemma2', 'mamba', 'mixtral', 'bert', 't5', 'rwkv', 'phi3'])
    test(architecture, { timeout: 60_000 }, () => on(['config.json', 'model.safetensors'].map((file) => join(unpack('architectures.tar.xz'), 'hf_public', architecture, file)), async (model) => {
      const ids = Array.from({ length: 20 }, (_, i) => (i * 37 + 11) % 500), bert = model.info.bidirectional && { targets: ids }, t5 = model.info.encoderLayers && { decoderIds: [0, 7, 9, 11, 4], targets: [7, 9, 11, 4, 1] };
      const tuning = await model.finetune({ update: { rule: 'sgd', clip: 0 } }), batch = [{ ids, ...bert, ...t5 }];
      const { loss, norm } = await tuning.step(batch, { rate: 0 }), rate = 0.005 / norm ** 2;
      await tuning.step(batch, { rate });
      const fallen = loss - (await tuning.step(batch, { rate: 0 })).loss;
      assert.ok(Math.abs(fallen - 0.005) < 0.0005, `${fallen}, expected 0.005`);
      await tuning.dispose();
    }));
});

test('quantised afterwards', { timeout: 60_000 }, () => on(randomLlama(SHAPE, GGML.F32), async (model) => {
  const tuning = await model.finetune({ update: { rate: 3e-3 } });
  for (let i = 0; i < 10; i++) await tuning.step(TEXTS);
  const { bytes: plain } = await tuning.write(), { bytes } = await tuning.write({ type: 'Q8_0' });
  assert.deepEqual(bytes, (await quantize(/** @type {Uint8Array} */ (plain), { type: 'Q8_0' })).bytes);
  await tuning.dispose();
}));
