// Ensembles over bytes: identities, and the combination written out.
import { after, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { ByteModel, Ensemble, Model, complete } from '../../web/index.js';
import { BUNDLED, cli } from '../support/wasm.mjs';
import { ROOT } from '../support/shared.mjs';

const OTHER = `${ROOT}models/family/draft-1m.gguf`, BYTES = `${ROOT}models/family/twin-byte.gguf`;
const [a, b, c] = await Promise.all([BUNDLED, OTHER, BYTES].map((file) => Model.load(file, { threads: 1 })));
after(() => Promise.all([a, b, c].map((model) => model.dispose())));
const logs = (r) => [...r.bytes, r.end];
const fails = (code) => (error) => error.code === code;
const same = (p, q, tolerance) => p.every((x, i) => x === q[i] || Math.abs(Math.exp(x) - Math.exp(q[i])) < tolerance);
const normalised = (x) => { const sum = x.reduce((s, y) => s + Math.exp(y), 0); return x.map((y) => y - Math.log(sum)); };
const TEXTS = ['Once upon a ti', 'The', '', 'caf\u00e9 ', new Uint8Array([0x63, 0xc3])];

test('vocabularies differ', () => assert.notEqual(a.tokenizer.vocabSize, c.tokenizer.vocabSize));

describe('rules', () => {
  test('mean and product of three models equal the formula', async () => {
    for (const text of TEXTS) {
      const rows = await Promise.all([a, b, c].map(async (m) => logs(await new ByteModel(m).next(text)))), weights = [0.5, 0.3, 0.2];
      const mean = await new Ensemble([a, b, c], { weights }).next(text), product = await new Ensemble([a, b, c], { weights, rule: 'product' }).next(text), equal = await new Ensemble([a, b, c]).next(text);
      assert.ok(same(logs(mean), rows[0].map((_, k) => Math.log(rows.reduce((s, row, m) => s + weights[m] * Math.exp(row[k]), 0))), 1e-12));
      assert.ok(same(logs(equal), rows[0].map((_, k) => Math.log(rows.reduce((s, row) => s + Math.exp(row[k]) / 3, 0))), 1e-12));
      assert.ok(same(logs(product), normalised(rows[0].map((_, k) => rows.reduce((s, row, m) => s + weights[m] * row[k], 0))), 1e-12));
      for (const r of [mean, product]) assert.ok(Math.abs(logs(r).reduce((s, x) => s + Math.exp(x), 0) - 1) < 1e-9);
    }
  });

  test('a model with itself is the model; a posterior weighs by the text', async () => {
    const view = new ByteModel(a), text = 'Once upon a time, there was a ';
    for (const rule of /** @type {const} */ (['mean', 'product', 'posterior'])) assert.ok(same(logs(await new Ensemble([a, view], { rule }).next(text)), logs(await view.next(text)), 1e-9), rule);
    const both = await new Ensemble([a, b], { rule: 'posterior' }).next(text), odds = (await new ByteModel(a).score(text)).textLogProb - (await new ByteModel(b).score(text)).textLogProb;
    assert.ok(Math.abs(Math.log(both.weights[0] / both.weights[1]) - odds) < 1e-6);
    assert.deepEqual((await new Ensemble([a, b], { rule: 'posterior' }).next('')).weights, [0.5, 0.5]);
  });

  test('a posterior over texts is a mixture: its chain is the weighted sum of the text probabilities', async () => {
    // Exact for the target `masked`, whose chain rule holds without renormalisation.
    const text = 'The cat', mixed = new Ensemble([a, b], { rule: 'posterior', target: 'masked' }), parts = await Promise.all([a, b].map((m) => new ByteModel(m, { target: 'masked' }).score(text)));
    const { textLogProb, bitsPerByte } = await mixed.score(text), want = Math.log(parts.reduce((s, r) => s + Math.exp(r.textLogProb) / 2, 0));
    assert.ok(Math.abs(textLogProb - want) < 1e-4, `${textLogProb} ${want}`);
    assert.ok(Math.abs(bitsPerByte + textLogProb / Math.LN2 / 7) < 1e-12);
  });

  test('steering: alpha 0 is the base, base = untuned gives the tuned, the formula otherwise', async () => {
    const text = 'Once upon a ti', rows = await Promise.all([a, b, c].map(async (m) => logs(await new ByteModel(m).next(text))));
    assert.ok(same(logs(await Ensemble.steered(a, b, c, { alpha: 0 }).next(text)), rows[0], 1e-12));
    assert.ok(same(logs(await Ensemble.steered(a, b, a).next(text)), rows[1], 1e-9));
    assert.ok(same(logs(await Ensemble.steered(a, b, c, { alpha: 0.7 }).next(text)), normalised(rows[0].map((x, k) => x + 0.7 * (rows[1][k] - rows[2][k]))), 1e-9));
  });
});

test('completions of an ensemble are repeatable; greedy ones follow the likeliest byte', async () => {
  const both = new Ensemble([a, c]);
  const collect = async (options) => { let out = ''; for await (const { text } of complete(both, 'Once upon a ti', options)) out += text; return out; };
  assert.equal(await collect({ seed: 3, maxBytes: 12 }), await collect({ seed: 3, maxBytes: 12 }));
  let text = 'Once upon a ti';
  for (let i = 0; i < 6; i++) { const { bytes } = await both.next(text); text += String.fromCharCode(bytes.indexOf(Math.max(...bytes))); }
  assert.equal('Once upon a ti' + (await collect({ temperature: 0, maxBytes: 6 })), text);
  await assert.rejects(collect(/** @type {any} */ ({ method: 'naive' })), fails('ERANGE'));
  await both.dispose();
  await both.dispose();
  await assert.rejects(both.next('x'), fails('ESTATE'));
});

test('wrong calls', async () => {
  for (const [models, options] of /** @type {[any, any][]} */ ([[[], {}], [[{}], {}], [[a], { weights: [1, 2] }], [[a], { weights: [-1] }], [[a], { weights: [0] }], [a, {}]])) assert.throws(() => new Ensemble(models, options), fails('ERANGE'));
  assert.throws(() => new Ensemble([a], /** @type {any} */ ({ rule: 'vote' })), fails('EUNKNOWN'));
});

test('on the command line', async () => {
  const want = await new Ensemble([a, b], { rule: 'product' }).next('The wor');
  const run = await cli(['ensemble', '--model', BUNDLED, '--model', OTHER, '--rule', 'product', '--next', '--json', 'The wor']), got = JSON.parse(run.stdout);
  assert.ok(same(got.bytes.map((x) => x ?? -Infinity), [...want.bytes], 1e-6), run.stderr);
  const text = JSON.parse((await cli(['ensemble', '--model', BUNDLED, '--model', OTHER, '--model', BYTES, '--steer', '0.5', '--temperature', '0', '--max-bytes', '5', '--json', 'The wor'])).stdout);
  assert.equal(text.bytes.length, 5);
  assert.match((await cli(['ensemble', 'x'])).stderr, /--model/);
  assert.match((await cli(['ensemble', '--model', BUNDLED, '--steer', '1', 'x'])).stderr, /three/);
});
