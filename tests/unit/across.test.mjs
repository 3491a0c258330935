// Two vocabularies side by side: the published examples, and brute force that shares nothing with the core.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Tokenizer, alignTokenizations, editDistance, mapTokens, sortedDistance, steerLogits, transport, transportTokenizations, warpTokenizations } from '../../web/index.js';
import { added, bpe, byteLevel, definition, random as generator, texts } from '../support/definitions.mjs';
import { cli, scratch, tinyTokenizer } from '../support/wasm.mjs';

const fails = (code, pattern) => (error) => error.code === code && (!pattern || pattern.test(error.message));
const random = (seed) => generator(seed).next;
const BYTES = { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }, decoder: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false } };
/** A vocabulary of these strings; ids in this order. */
const load = (pieces, more = {}) => Tokenizer.load(new TextEncoder().encode(JSON.stringify(definition(bpe(Object.fromEntries(pieces.map((p, i) => [p.replace(/^_/, 'Ġ'), i])), []), { ...BYTES, ...more }))));

describe('tokens that stand for tokens', () => {
  test('the published list', async () => {
    const onto = await load(['a', 'ab', 'abcd', '_', '_the', 'th', 't', 'zebra']), from = await load(['abc', '_th', '_', 'zeb', '_t', 'th', 'q']);
    const { map, same, mapped, exact } = mapTokens(from, onto), piece = (id) => (id < 0 ? null : new TextDecoder().decode(onto.tokenBytes(id)).replace(' ', '_'));
    assert.deepEqual([...map].map(piece), ['ab', '_the', '_', 'zebra', '_the', 'th', null]);
    assert.deepEqual([...same], [0, 0, 1, 0, 0, 1, 0]);
    assert.deepEqual([mapped, exact], [6, 2]);
  });

  test('equals the definition on random vocabularies; special tokens go by name', async () => {
    const r = random(5), word = () => Array.from({ length: 1 + r(4) }, () => 'ab_'[r(3)]).join('').replaceAll('_', 'Ġ');
    for (let round = 0; round < 60; round++) {
      const [p, q] = [0, 1].map(() => [...new Set(Array.from({ length: 3 + r(20) }, word))]);
      const special = (pieces, names) => ({ added_tokens: names.map((name, i) => added(pieces.length + i, name, { special: true })) });
      const from = await load(p, special(p, ['<s>', '<x>'])), onto = await load(q, special(q, ['<y>', '<s>']));
      const { map, same } = mapTokens(from, onto);
      p.forEach((s, id) => {
        let best = -1, distance = Infinity;
        q.forEach((t, j) => {
          if (!t.startsWith(s) && !s.startsWith(t)) return;
          if (t === 'Ġ' && !/^Ġ+$/.test(s)) return;
          const d = editDistance(from, s.replaceAll('Ġ', ' '), t.replaceAll('Ġ', ' '));
          if (d < distance) { distance = d; best = j; }
        });
        assert.equal(map[id], best, `${s} onto ${q}`);
        assert.equal(same[id], Number(distance === 0));
      });
      assert.deepEqual([...map.subarray(p.length)], [q.length + 1, -1]);
    }
  });

  test('onto itself it is the identity', async () => {
    const tokenizer = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(tinyTokenizer())));
    const { map, exact } = mapTokens(tokenizer, tokenizer);
    assert.deepEqual([...map], [...map.keys()]);
    assert.equal(exact, tokenizer.vocabSize);
  });

  test('steering adds differences where there is a counterpart', () => {
    const out = steerLogits(Float32Array.of(0, 1, 2), [10, 20], Int32Array.of(1, -1, 0), 0.5), norm = Math.log(1 + Math.E + Math.E ** 2);
    [0 - norm + 10, 1 - norm, 2 - norm + 5].forEach((x, i) => assert.ok(Math.abs(out[i] - x) < 1e-12));
    assert.throws(() => steerLogits(Float32Array.of(0), [1], Int32Array.of(1)), fails('ERANGE'));
  });
});

describe('sequences side by side', () => {
  const levenshtein = (a, b) => {
    const d = Array.from({ length: a.length + 1 }, (_, i) => Array.from({ length: b.length + 1 }, (_x, j) => (i ? (j ? 0 : i) : j)));
    for (let i = 1; i <= a.length; i++) for (let j = 1; j <= b.length; j++) d[i][j] = Math.min(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + Number(a[i - 1] !== b[j - 1]));
    return d[a.length][b.length];
  };
  test('edit distances', async () => {
    const tokenizer = await load(['a']), r = random(3), word = () => Array.from({ length: r(7) }, () => 'abc'[r(3)]).join('');
    for (let i = 0; i < 500; i++) {
      const [a, b] = [word(), word()];
      assert.equal(editDistance(tokenizer, a, b), levenshtein(a, b));
    }
  });

  test('warping finds the cheapest monotone path: every path of small cases is tried', async () => {
    const one = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(byteLevel(1)))), two = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(byteLevel(2))));
    for (const text of texts(4, 60).filter((s) => s.length < 12)) {
      const { a, b, pairs, cost } = warpTokenizations(one, two, text);
      if (!a.length) { assert.deepEqual([pairs, cost], [[], 0]); continue; }
      const at = (i, j) => levenshtein([...one.tokenBytes(a[i])], [...two.tokenBytes(b[j])]);
      const best = (i, j) => (i === a.length - 1 && j === b.length - 1 ? at(i, j) : at(i, j) + Math.min(...[[1, 1], [1, 0], [0, 1]].filter(([x, y]) => i + x < a.length && j + y < b.length).map(([x, y]) => best(i + x, j + y))));
      if (a.length + b.length < 15) assert.equal(cost, best(0, 0));
      assert.equal(pairs.reduce((sum, [i, j]) => sum + at(i, j), 0), cost);
      assert.deepEqual([pairs[0], pairs.at(-1)], [[0, 0], [a.length - 1, b.length - 1]]);
      for (let k = 1; k < pairs.length; k++) { const [x, y] = [pairs[k][0] - pairs[k - 1][0], pairs[k][1] - pairs[k - 1][1]]; assert.ok(x >= 0 && y >= 0 && x <= 1 && y <= 1 && x + y > 0); }
    }
  });

  test('groups of equal bytes spell the same: 10 000 random strings', async () => {
    const one = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(byteLevel(1)))), two = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(byteLevel(2))));
    const r = random(9);
    for (let i = 0; i < 10000; i++) {
      const text = Array.from({ length: r(12) }, () => 'abeht nrosi'[r(11)]).join('');
      const { a, b, groups } = alignTokenizations(one, two, text);
      let end = 0;
      for (const g of groups) {
        assert.equal(g.begin, end);
        assert.deepEqual(one.decodeBytes(a.subarray(...g.a)), two.decodeBytes(b.subarray(...g.b)));
        end = g.end;
      }
      assert.equal(end, text.length);
    }
  });
});

describe('optimal transport', () => {
  /** The exact minimum for masses that are whole numbers: units are assigned one by one, all ways. */
  function exact(cost, a, b) {
    const rows = a.flatMap((n, i) => Array(n).fill(i)), known = new Map();
    const rest = (k, left) => {
      if (k === rows.length) return 0;
      const key = `${k}:${left}`;
      if (!known.has(key)) known.set(key, Math.min(...left.map((n, j) => (n ? cost[rows[k]][j] + rest(k + 1, left.map((x, c) => x - Number(c === j))) : Infinity))));
      return known.get(key);
    };
    return rest(0, [...b]) / rows.length;
  }

  test('the published example', async () => {
    const { plan, cost, converged } = await transport([[0, 1], [1, 0]], { epsilon: 0.5, tolerance: 1e-12 });
    assert.ok(converged && Math.abs(plan[0][0] - 0.440399) < 1e-6 && Math.abs(cost - 0.119203) < 1e-6);
  });

  test('towards epsilon 0 the cost of an exact solver, marginals within the tolerance', async () => {
    const r = random(12);
    for (let round = 0; round < 40; round++) {
      const uniform = round < 20, n = uniform ? 5 : 2 + r(3), m = uniform ? 5 : 2 + r(3);
      const cost = Array.from({ length: n }, () => Array.from({ length: m }, () => 0.05 + r(1000) / 1000));
      const a = Array.from({ length: n }, () => (uniform ? 1 : r(3))), b = Array(m).fill(uniform ? 1 : 0);
      if (!a.some(Boolean)) a[0] = 2;
      if (!uniform) for (let k = a.reduce((x, y) => x + y); k > 0; k--) b[r(m)]++;
      const found = await transport(cost, { a, b, epsilon: 2e-4 }), want = exact(cost, a, b), total = a.reduce((x, y) => x + y);
      assert.ok(found.converged, `${found.error} after ${found.rounds} rounds`);
      assert.ok(found.cost >= want - 1e-5 && found.cost <= want * 1.01, `${found.cost} against ${want}`);
      found.plan.forEach((row, i) => assert.ok(Math.abs(row.reduce((x, y) => x + y, 0) - a[i] / total) < 1e-6));
      b.forEach((mass, j) => assert.ok(Math.abs(found.plan.reduce((sum, row) => sum + row[j], 0) - mass / total) < 1e-6));
    }
  });

  test('with entropy: no other plan with these marginals is better', async () => {
    const r = random(8), cost = [[0.3, 0.9, 0.1], [0.5, 0.2, 0.8]], epsilon = 0.2, a = [0.4, 0.6], b = [0.2, 0.5, 0.3];
    const { plan } = await transport(cost, { a, b, epsilon, tolerance: 1e-12 });
    const value = (p) => p.reduce((sum, row, i) => sum + row.reduce((s, x, j) => s + x * cost[i][j] + (x > 0 ? epsilon * x * Math.log(x) : 0), 0), 0), best = value(plan);
    for (let k = 0; k < 200; k++) {
      const t = (r(2001) - 1000) / 1e5, [x, y] = [[0, 1], [1, 2], [0, 2]][r(3)], other = plan.map((row) => [...row]);
      other[0][x] += t; other[1][x] -= t; other[0][y] -= t; other[1][y] += t;
      if (other.flat().every((q) => q >= 0)) assert.ok(value(other) >= best - 1e-12, `${value(other)} ${best}`);
    }
  });

  test('tokenizations', async () => {
    const one = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(byteLevel(1)))), two = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(byteLevel(2))));
    const itself = await transportTokenizations(one, one, 'the lowest token', { epsilon: 1e-3 });
    itself.plan.forEach((row, i) => row.forEach((x, j) => assert.ok(i === j ? x > 0 : x < 1e-6)));
    assert.ok(itself.cost < 1e-6);
    const { a, b, plan } = await transportTokenizations(one, two, 'the lowest token', { cost: 'edit' });
    assert.deepEqual([plan.length, plan[0].length], [a.length, b.length]);
    plan.forEach((row, i) => assert.ok(Math.abs(row.reduce((x, y) => x + y, 0) - one.tokenBytes(a[i]).length / 16) < 1e-6));
    assert.equal((await transportTokenizations(one, two, '')).plan.length, 0);
  });

  test('wrong calls', async () => {
    for (const [cost, options] of /** @type {[any, any][]} */ ([[[], {}], [[[1, 2], [1]], {}], [[[NaN]], {}], [[[1]], { epsilon: 0 }], [[[1]], { a: [1, 2] }], [[[1]], { a: [-1] }], [[[1]], { b: [0] }]])) await assert.rejects(transport(cost, options), fails('ERANGE'));
  });

  test('sorted distance', () => {
    assert.ok(Math.abs(sortedDistance([0.7, 0.2, 0.1], [0.6, 0.4]) - 0.4) < 1e-12);
    assert.equal(sortedDistance([0.1, 0.7, 0.2], [0.2, 0.1, 0.7]), 0);
    // A permutation of either changes nothing.
    const r = random(2), p = Array.from({ length: 9 }, () => r(100)), q = Array.from({ length: 7 }, () => r(100)), d = sortedDistance(p, q);
    for (let k = 0; k < 50; k++) assert.equal(sortedDistance([...p].sort(() => r(3) - 1), [...q].sort(() => r(3) - 1)), d);
  });
});

test('on the command line', async () => {
  const files = scratch(), a = files.write('a.json', JSON.stringify(byteLevel(1))), b = files.write('b.json', JSON.stringify(byteLevel(2)));
  const [one, two] = await Promise.all([a, b].map((file) => Tokenizer.load(file)));
  const run = JSON.parse((await cli(['across', '--tokenizer', a, '--onto', b, '--json'])).stdout);
  assert.deepEqual(run.map, [...mapTokens(one, two).map]);
  const warp = JSON.parse((await cli(['across', '--tokenizer', a, '--onto', b, '--align', 'warp', '--json', 'the', 'lowest'])).stdout), want = warpTokenizations(one, two, 'the lowest');
  assert.deepEqual([warp.pairs, warp.cost, warp.a], [want.pairs, want.cost, [...want.a]]);
  const plan = JSON.parse((await cli(['across', '--tokenizer', a, '--onto', b, '--align', 'transport', '--json', 'the lowest'])).stdout);
  assert.equal(plan.plan.length, want.a.length);
  assert.match((await cli(['across', '--tokenizer', a])).stderr, /--onto/);
});
