// The probability of a text over all its tokenizations, against an enumeration that shares nothing with the core but the model's logits.
import { after, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { ByteModel, MARGINAL_METHODS, Model, bestTokenization, marginal, scoreTokenizations } from '../../web/index.js';
import { BUNDLED, cli } from '../support/wasm.mjs';

const model = await Model.load(BUNDLED, { threads: 1 });
after(() => model.dispose());
const tok = model.tokenizer, START = tok.bos ?? tok.eos;
const fails = (code) => (error) => error.code === code;
const close = (a, b, tolerance) => assert.ok(Math.abs(a - b) < tolerance, `${a} against ${b}`);

const ordinary = Array.from({ length: tok.vocabSize }, (_, id) => tok.token(id)).filter(({ kind, bytes }) => bytes.length && (kind === 'normal' || kind === 'byte' || kind === 'user'));
/** Every token sequence that spells the bytes. */
function spellings(bytes) {
  if (!bytes.length) return [[]];
  return ordinary.flatMap(({ id, bytes: b }) => (b.length <= bytes.length && b.every((x, i) => x === bytes[i]) ? spellings(bytes.subarray(b.length)).map((rest) => [id, ...rest]) : []));
}
const logProb = async (ids, end) => (ids.length || end ? (await model.logProbs([START, ...ids, ...(end ? [tok.eos] : [])])).reduce((a, b) => a + b, 0) : 0);
const logSum = (logs) => { const top = Math.max(...logs); return top + Math.log(logs.reduce((s, x) => s + Math.exp(x - top), 0)); };

describe('over all tokenizations', () => {
  test('exact sums, the best, the canonical share: enumeration', async () => {
    for (const [text, end] of /** @type {[string, boolean][]} */ ([['the', false], ['cats', true], [' a b', false], ['né', true], ['', true], ['', false]])) {
      const all = spellings(Buffer.from(text)), logs = [];
      for (const ids of all) logs.push(await logProb(ids, end));
      const r = await marginal(model, text, { end });
      assert.equal(r.method, 'exact');
      assert.equal(r.tokenizations, BigInt(all.length));
      close(r.logProb, logSum(logs), 1e-5);
      assert.deepEqual(r.bounds.map((x) => Math.abs(x - r.logProb) < 1e-12), [true, true]);
      const top = logs.indexOf(Math.max(...logs));
      assert.deepEqual([...r.best.ids], all[top]);
      close(r.best.logProb, logs[top], 1e-5);
      assert.ok(r.best.proven);
      assert.deepEqual([...r.canonical.ids], [...tok.encode(text, { offsets: false }).ids]);
      close(r.canonical.logProb, await logProb([...r.canonical.ids], end), 1e-5);
      close(r.canonicalShare, Math.exp(r.canonical.logProb - r.logProb), 1e-9);
    }
  });

  test('the byte model agrees: P(text ends here) of the target all', async () => {
    const view = new ByteModel(model, { target: 'all', beam: 0 });
    for (const text of ['cat', 'on a', '19']) {
      const { end, textLogProb } = await view.next(text);
      close((await marginal(model, text, { end: true })).logProb, textLogProb + end, 1e-4);
    }
  });

  test('beams bound the exact value, and prove the best', async () => {
    for (const text of ['the cat', 'Once upon']) {
      const exact = await marginal(model, text, { method: 'exact', limit: 1 << 16 });
      for (const beam of [1, 4, 16]) {
        const r = await marginal(model, text, { method: 'beam', beam });
        assert.ok(r.bounds[0] <= exact.logProb + 1e-6 && exact.logProb <= r.bounds[1] + 1e-6, `${r.bounds} without ${exact.logProb}`);
        if (r.best.proven) assert.deepEqual([...r.best.ids], [...exact.best.ids]);
      }
      const best = await bestTokenization(model, text);
      assert.ok(best.proven && Math.abs(best.logProb - exact.best.logProb) < 1e-6);
    }
  });

  test('estimates are within their errors, and repeatable', async () => {
    const exact = await marginal(model, 'the cat', { method: 'exact', limit: 1 << 16 });
    const blocks = await marginal(model, 'the cat', { method: 'blocks', samples: 40, seed: 2, most: 1000 });
    assert.ok(Math.abs(blocks.logProb - exact.logProb) < 5 * blocks.error + 1e-3, `${blocks.logProb} +- ${blocks.error} against ${exact.logProb}`);
    assert.ok(blocks.effectiveSamples > 10 && blocks.samples === 40 && blocks.bounds === null);
    // A proposal that prefers long tokens is a better one than the uniform.
    const weights = Array.from({ length: tok.vocabSize }, (_, id) => 2 * tok.tokenBytes(id).length - 6);
    const [a, b] = [await marginal(model, 'the cat', { method: 'importance', samples: 3000, weights, seed: 4 }), await marginal(model, 'the cat', { method: 'importance', samples: 3000, weights, seed: 4 })];
    assert.deepEqual(a.logProb, b.logProb);
    assert.ok(Math.abs(a.logProb - exact.logProb) < 5 * a.error, `${a.logProb} +- ${a.error} against ${exact.logProb}`);
    const one = await marginal(model, 'the', { method: 'blocks', samples: 5, most: 10000 }), all = await marginal(model, 'the');
    close(one.logProb, all.logProb, 1e-5); // a single block with all of its segmentations has no variance
    assert.ok(one.error < 1e-6);
  });

  test('after a context', async () => {
    const context = [START, ...tok.encode('Once upon a', { offsets: false }).ids], [score] = await scoreTokenizations(model, [tok.encode(' time', { offsets: false }).ids], { context });
    const r = await marginal(model, ' time', { context });
    assert.ok(r.logProb >= score && r.logProb - score < 0.5);
  });
});

test('many sequences at once are scored as one by one', async () => {
  const lists = ['the cat', 'the dog', 'the', '', 'a cat', 'the cat sat'].map((text) => [...tok.encode(text, { offsets: false }).ids]);
  for (const end of [false, true]) {
    const got = await scoreTokenizations(model, lists, { end });
    for (const [i, ids] of lists.entries()) close(got[i], await logProb(ids, end), 1e-5);
  }
  assert.equal((await scoreTokenizations(model, [])).length, 0);
  await assert.rejects(scoreTokenizations(model, [[tok.vocabSize + 5]]), fails('ERANGE'));
  await assert.rejects(scoreTokenizations(model, [[1, 2, 3]], { limit: 1 }), fails('ELIMIT'));
});

test('wrong calls', async () => {
  await assert.rejects(marginal(model, 'a long text that has very many tokenizations', { method: 'exact', limit: 100 }), fails('ELIMIT'));
  for (const options of /** @type {any[]} */ ([{ beam: 0 }, { samples: 1, method: 'blocks' }, { weights: [1] }, { seed: -1 }])) await assert.rejects(marginal(model, 'a', options), fails('ERANGE'));
  await assert.rejects(marginal(model, 'a', /** @type {any} */ ({ method: 'guess' })), fails('EUNKNOWN'));
  assert.deepEqual(MARGINAL_METHODS, ['exact', 'beam', 'importance', 'blocks']);
});

test('on the command line', async () => {
  const want = await marginal(model, 'the cat', { end: true }), got = JSON.parse((await cli(['marginal', '--json', '--end', 'the cat'])).stdout);
  close(got.logprob, want.logProb, 1e-5);
  assert.deepEqual(got.canonical.ids, [...want.canonical.ids]);
  assert.equal(got.tokenizations, Number(want.tokenizations));
  assert.match((await cli(['marginal', '--samples', '5', 'x'])).stderr, /--samples goes with/);
});
