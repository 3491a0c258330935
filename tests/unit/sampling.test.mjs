// Samplers against a plain float64 implementation of their definition, anchors computed by hand, and the law of many draws.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { MicrotomeError, Model, Sampler } from '../../web/index.js';
import { BUNDLED } from '../support/wasm.mjs';

/** @param {any} options @param {number} vocab */
const make = (options, vocab = LOGIT8.length) => Sampler.create(vocab, { seed: 1, ...options });
const LOGIT8 = Float32Array.of(3, 2.5, 1, 0.5, 0, -1, -2, -4);
const kept = (/** @type {Float64Array} */ p) => [...p.keys()].filter((i) => p[i] > 0);

/** xorshift32 in [0, 1). @param {number} seed */
function numbers(seed) {
  let s = seed;
  return () => { s ^= s << 13; s ^= s >>> 17; s ^= s << 5; return (s >>> 0) / 2 ** 32; };
}

/** The definition, as slowly as it reads. @param {Float32Array} logits @param {number[]} history @param {any} o @returns {number[]} */
function reference(logits, history, { repeatPenalty = 1, frequencyPenalty = 0, presencePenalty = 0, lastN = 64, temperature = 1, topK = 0, typicalP = 1, topP = 1, minP = 0 }) {
  const x = Array.from(logits);
  const last = lastN < 0 ? history : lastN === 0 ? [] : history.slice(-lastN);
  for (const id of new Set(last)) {
    x[id] = x[id] > 0 ? x[id] / repeatPenalty : x[id] * repeatPenalty;
    x[id] -= frequencyPenalty * last.filter((t) => t === id).length + presencePenalty;
  }
  const rank = (/** @type {number} */ a, /** @type {number} */ b) => x[b] - x[a] || a - b;
  let ids = [...x.keys()].sort(rank);
  if (temperature === 0) return x.map((_, i) => Number(i === ids[0]));
  const w = x.map((v) => Math.exp((v - x[ids[0]]) / temperature));
  const mass = () => ids.reduce((sum, i) => sum + w[i], 0);
  if (topK > 0) ids = ids.slice(0, topK);
  if (typicalP < 1) {
    const all = mass(), entropy = ids.reduce((h, i) => (w[i] > 0 ? h - (w[i] / all) * Math.log(w[i] / all) : h), 0);
    const far = (/** @type {number} */ i) => (w[i] > 0 ? Math.abs(-Math.log(w[i] / all) - entropy) : Infinity);
    const order = ids.map((i) => ({ i, d: far(i) })).sort((a, b) => (a.d < b.d ? -1 : a.d > b.d ? 1 : rank(a.i, b.i))).map(({ i }) => i);
    let sum = 0, n = 0;
    while (n < order.length && sum <= typicalP * all) sum += w[order[n++]];
    ids = order.slice(0, n).sort(rank);
  }
  if (topP < 1) {
    const all = mass();
    let sum = 0, n = 0;
    while (n < ids.length && (n === 0 || sum < topP * all)) sum += w[ids[n++]];
    ids = ids.slice(0, n);
  }
  if (minP > 0) ids = ids.filter((i) => w[i] >= minP * w[ids[0]]);
  const total = mass();
  return x.map((_, i) => (ids.includes(i) ? w[i] / total : 0));
}

describe('the law', () => {
  test('anchors of eight logits', async () => {
    const counts = async (/** @type {string} */ name, /** @type {number[]} */ values) => Promise.all(values.map(async (v) => kept((await make({ [name]: v })).law(LOGIT8)).length));
    const p = (await make({})).law(LOGIT8);
    [0.526398, 0.319276, 0.07124, 0.043209, 0.026208, 0.009641, 0.003547, 0.00048].forEach((want, i) => assert.ok(Math.abs(p[i] - want) < 1e-6));
    assert.deepEqual(await counts('topP', [0, 0.5, 0.8, 0.9, 0.95, 1]), [1, 1, 2, 3, 4, 8]);
    assert.deepEqual(await counts('minP', [0, 0.05, 0.1, 0.3, 1]), [8, 4, 3, 2, 1]);
    assert.deepEqual(await counts('topK', [0, 1, 3, 8, 100]), [8, 1, 3, 8, 8]);
    assert.deepEqual(kept((await make({ typicalP: 0.2 })).law(LOGIT8)), [1]);
    assert.deepEqual(kept((await make({ typicalP: 0.9 })).law(LOGIT8)), [0, 1, 2]);
    assert.deepEqual([...(await make({ temperature: 0 })).law(LOGIT8)], [1, 0, 0, 0, 0, 0, 0, 0]);
  });

  test('equals the definition on random logits, with everything together', async () => {
    const next = numbers(77), vocab = 200;
    const between = (/** @type {number} */ a, /** @type {number} */ b) => a + (b - a) * next();
    for (let round = 0; round < 400; round++) {
      const logits = Float32Array.from({ length: vocab }, () => Math.round(between(-8, 8) * (round % 3 ? 1000 : 2)) / (round % 3 ? 1000 : 2)); // every third: many equals
      const some = (/** @type {any} */ options) => Object.fromEntries(Object.entries(options).filter(() => next() < 0.5));
      const o = { ...some({ temperature: between(0.2, 3), topK: Math.floor(between(0, 60)), typicalP: between(0, 1.1), topP: between(0, 1.1), minP: between(0, 0.5) }),
        ...some({ repeatPenalty: between(0.5, 2), presencePenalty: between(-1, 2), frequencyPenalty: between(-0.5, 1), lastN: Math.floor(between(-1, 40)) }) };
      for (const name of ['typicalP', 'topP']) if (o[name] > 1) o[name] = 1;
      const history = Array.from({ length: Math.floor(between(0, 80)) }, () => Math.floor(between(0, 40)));
      const sampler = await make(o, vocab);
      sampler.accept(history.slice(0, 7));
      sampler.accept(history.slice(7));
      const got = sampler.law(logits), want = reference(logits, history, o);
      for (let i = 0; i < vocab; i++) assert.ok(Math.abs(got[i] - want[i]) < 1e-12 && (got[i] > 0) === (want[i] > 0), `round ${round} token ${i}: ${got[i]}, expected ${want[i]}; ${JSON.stringify(o)}`);
      sampler.forget();
      const fresh = reference(logits, [], o);
      sampler.law(logits).forEach((p, i) => assert.ok(Math.abs(p - fresh[i]) < 1e-12));
      sampler.dispose();
    }
  });

  test('infinities, and what is refused', async () => {
    const plain = await make({}, 4);
    assert.deepEqual([...plain.law(Float32Array.of(-Infinity, 0, 0, -Infinity))], [0, 0.5, 0.5, 0]);
    assert.deepEqual([...plain.law(Float32Array.of(Infinity, 0, Infinity, -Infinity))], [0.5, 0, 0.5, 0]);
    for (const logits of [[NaN, 1, 1, 1], [-Infinity, -Infinity, -Infinity, -Infinity], [1, 2, 3]]) assert.throws(() => plain.law(Float32Array.from(logits)), { code: 'ERANGE' });
    assert.throws(() => plain.draw(Float32Array.of(1, NaN, 1, 1)), { code: 'ERANGE' });
    assert.throws(() => plain.accept([4]), { code: 'ERANGE' });
    for (const [options, code] of /** @type {[any, string][]} */ ([[{ temperature: -1 }, 'ERANGE'], [{ typicalP: 2 }, 'ERANGE'], [{ repeatPenalty: 0 }, 'ERANGE'], [{ lastN: -2 }, 'ERANGE'], [{ lastN: 1.5 }, 'ERANGE'], [{ heat: 1 }, 'EUNKNOWN']])) await assert.rejects(make(options), { code });
    await assert.rejects(Sampler.create(0), { code: 'ERANGE' });
    plain.dispose();
    plain.dispose();
    assert.throws(() => plain.law(LOGIT8), (/** @type {any} */ error) => error instanceof MicrotomeError && error.code === 'ESTATE');
  });
});

describe('draws', () => {
  /** Pearson's statistic and its 1e-4 quantile, by Wilson and Hilferty. @param {number[]} counts @param {ArrayLike<number>} p @param {number} n */
  function chiSquare(counts, p, n) {
    const cells = counts.map((c, i) => [c, p[i] * n]).filter(([, expected]) => expected > 0);
    const k = cells.length - 1, limit = k * (1 - 2 / (9 * k) + 3.719 * Math.sqrt(2 / (9 * k))) ** 3;
    return { value: cells.reduce((sum, [c, expected]) => sum + (c - expected) ** 2 / expected, 0), limit };
  }

  for (const [name, options] of /** @type {[string, any][]} */ ([['plain', {}], ['hot', { temperature: 2.5 }], ['top-k', { topK: 3 }], ['top-p', { topP: 0.9 }], ['min-p', { minP: 0.03 }], ['typical', { typicalP: 0.9, temperature: 1.5 }],
    ['penalties', { repeatPenalty: 1.3, frequencyPenalty: 0.2, presencePenalty: 0.5 }]]))
    test(`${name}: frequencies follow the law`, async () => {
      const n = 20000, sampler = await make({ ...options, seed: 42 });
      sampler.accept([0, 0, 1, 5]);
      const p = sampler.law(LOGIT8), counts = new Array(8).fill(0);
      for (let i = 0; i < n; i++) counts[sampler.draw(LOGIT8)]++;
      const { value, limit } = chiSquare(counts, p, n);
      assert.ok(value < limit, `chi-square ${value}, limit ${limit}: ${counts}`);
      counts.forEach((c, i) => assert.ok(p[i] > 0 || c === 0));
    });

  test('u comes from xoshiro256** and falls into the cumulative law by id', async () => {
    // splitmix64 and xoshiro256** written out with BigInt.
    const M = (1n << 64n) - 1n, rotl = (/** @type {bigint} */ x, /** @type {bigint} */ k) => ((x << k) | (x >> (64n - k))) & M;
    let z = 12345n;
    const s = Array.from({ length: 4 }, () => { z = (z + 0x9e3779b97f4a7c15n) & M; let y = z; y = ((y ^ (y >> 30n)) * 0xbf58476d1ce4e5b9n) & M; y = ((y ^ (y >> 27n)) * 0x94d049bb133111ebn) & M; return y ^ (y >> 31n); });
    const uniform = () => {
      const result = (rotl((s[1] * 5n) & M, 7n) * 9n) & M, t = (s[1] << 17n) & M;
      s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t; s[3] = rotl(s[3], 45n);
      return Number(result >> 11n) / 2 ** 53;
    };
    const sampler = await make({ seed: 12345, topP: 0.95 });
    const p = sampler.law(LOGIT8);
    for (let i = 0; i < 500; i++) {
      const u = uniform();
      let id = 0, sum = p[0];
      while (sum <= u) sum += p[++id];
      assert.equal(sampler.draw(LOGIT8), id, `draw ${i}`);
    }
  });

  test('a seed decides; temperature 0 takes no random number', async () => {
    const draw = async (/** @type {any} */ o) => { const sampler = await make(o); return Array.from({ length: 50 }, () => sampler.draw(LOGIT8)); };
    assert.deepEqual(await draw({ seed: 5 }), await draw({ seed: 5 }));
    assert.notDeepEqual(await draw({ seed: 5 }), await draw({ seed: 6 }));
    assert.deepEqual(await draw({ temperature: 0 }), new Array(50).fill(0));
    assert.equal((await make({ temperature: 0, repeatPenalty: 1 }, 3)).draw(Float32Array.of(1, 2, 2)), 1, 'the smaller id of equals');
  });
});

test('generate uses them: penalties change what is greedy', { timeout: 60_000 }, async () => {
  const model = await Model.load(BUNDLED, { threads: 1 });
  const prompt = [...model.tokenizer.encode('Once upon a time', { addSpecialTokens: true }).ids];
  const ids = async (/** @type {any} */ options) => { const out = []; for await (const { id } of model.generate(prompt, { temperature: 0, maxTokens: 40, stop: [], ...options })) out.push(id); return out; };
  const expected = [];
  for (let i = 0; i < 12; i++) {
    const { logits } = await model.run([...prompt, ...expected]);
    const p = reference(logits, [...prompt, ...expected], { temperature: 0, presencePenalty: 3, frequencyPenalty: 1, lastN: 10 });
    expected.push(p.indexOf(1));
  }
  assert.deepEqual((await ids({ presencePenalty: 3, frequencyPenalty: 1, lastN: 10 })).slice(0, 12), expected);
  const never = await ids({ presencePenalty: 1000, lastN: -1 });
  assert.equal(new Set([...prompt, ...never]).size, new Set(prompt).size + never.length, 'nothing occurs twice');
  await model.dispose();
});
