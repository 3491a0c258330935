// The labs' runtime: random streams against the published vectors, generators against what they promise, runs that can be cut anywhere.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { MarkovSource } from '../../web/index.js';
import { LabRun, Rng, Table, additions, backcopy, defineLab, digitsOf, facts, gather, markov, markovOf, nextTokens, numberOf, only, products, regressions, repeats, runSeeds, spelled, stars, sweep, switching, symbols, windows, zipf } from '../../web/lab/index.js';
import { philox } from '../../web/lab/rng.js';

const rowsOf = (tokens, length) => Array.from({ length: tokens.length / length }, (_, i) => [...tokens.subarray(i * length, (i + 1) * length)]);
const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;
/** Within five standard errors: a right generator fails once in two million seeds, and the seeds here are fixed. */
const near = (got, want, sd, n, what) => assert.ok(Math.abs(got - want) < (5 * sd) / Math.sqrt(n), `${what}: ${got}, expected ${want}`);

describe('random streams', () => {
  test('Philox4x32-10: the known answers of Random123', () => {
    for (const [counter, key, want] of [
      [[0, 0, 0, 0], [0, 0], '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
      [[-1, -1, -1, -1], [-1, -1], '408f276d 41c83b0e a20bc7c6 6d5451fd'],
      [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], 'd16cfe09 94fdcceb 5001e420 24126ea1'],
    ]) {
      const block = Uint32Array.from(counter);
      philox(block, key[0], key[1]);
      assert.equal([...block].map((x) => x.toString(16).padStart(8, '0')).join(' '), want);
    }
  });

  test('a position is the whole state; seeds and names give other streams', () => {
    const everything = (rng) => [rng.uniform(), rng.below(7), rng.below(2 ** 40), rng.normal(), rng.gumbel(), rng.gamma(0.3), ...rng.dirichlet(0.5, 4), ...rng.normals(3), ...rng.permutation(9), rng.chance(0.5), rng.word()];
    const rng = new Rng(3, 'data');
    everything(rng);
    const { position } = rng, next = everything(rng), again = new Rng(3, 'data');
    again.position = position;
    assert.deepEqual(everything(again), next);
    const far = new Rng(3, 'data');
    far.position = 2 ** 40 + 1;
    far.word();
    assert.equal(far.position, 2 ** 40 + 2);
    const first = [new Rng(3, 'data'), new Rng(4, 'data'), new Rng(3, 'init'), new Rng(3 + 2 ** 32, 'data')].map((r) => r.word());
    assert.equal(new Set(first).size, 4);
    assert.equal(new Rng(3, 'data').word(), first[0]);
    for (const seed of [-1, 0.5, 2 ** 53, '1']) assert.throws(() => new Rng(seed), { code: 'ERANGE' });
    for (const n of [0, -1, 1.5, NaN]) assert.throws(() => rng.below(n), { code: 'ERANGE' });
    assert.throws(() => rng.gamma(0), { code: 'ERANGE' });
    assert.throws(() => rng.choose(3, 4), { code: 'ERANGE' });
  });

  test('distributions have their moments', () => {
    const rng = new Rng(1, 'moments'), n = 40000;
    const sample = (draw) => Array.from({ length: n }, draw);
    const uniform = sample(() => rng.uniform(2, 4));
    near(mean(uniform), 3, 1 / Math.sqrt(3), n, 'uniform');
    assert.ok(uniform.every((x) => x >= 2 && x < 4));
    for (const normal of [sample(() => rng.normal()), [...rng.normals(n)]]) {
      near(mean(normal), 0, 1, n, 'normal');
      near(mean(normal.map((x) => x * x)), 1, Math.SQRT2, n, 'its square');
      near(mean(normal.map((x) => x ** 4)), 3, Math.sqrt(96), n, 'its fourth power');
    }
    near(mean(sample(() => rng.gumbel())), 0.5772156649, Math.PI / Math.sqrt(6), n, 'Gumbel');
    for (const shape of [0.2, 1, 4.5]) {
      const gamma = sample(() => rng.gamma(shape));
      near(mean(gamma), shape, Math.sqrt(shape), n, `gamma ${shape}`);
      near(mean(gamma.map((x) => (x - shape) ** 2)), shape, Math.sqrt(2 * shape * shape + 6 * shape), n, `its variance ${shape}`);
    }
    const rows = Array.from({ length: 4000 }, () => rng.dirichlet(0.5, 4));
    rows.forEach((row) => assert.ok(Math.abs(row.reduce((a, b) => a + b) - 1) < 1e-12));
    near(mean(rows.map((row) => row[2] ** 2)), (0.5 * 1.5) / (2 * 3), 0.3, rows.length, 'Dirichlet: the second moment');
    assert.deepEqual([...rng.dirichlet(1e-300, 5)].sort(), [0, 0, 0, 0, 1], 'the limit of small concentrations');
  });

  test('below, permutations and tables: every outcome as often as it should be', () => {
    const rng = new Rng(2, 'counts'), n = 60000;
    /** Pearson's statistic has mean df and variance 2 df. */
    const fits = (counts, probabilities, what) => {
      const total = counts.reduce((a, b) => a + b), kept = counts.map((c, i) => [c, total * probabilities[i]]).filter(([, e]) => e > 0);
      const statistic = kept.reduce((sum, [c, e]) => sum + (c - e) ** 2 / e, 0), df = kept.length - 1;
      assert.ok(Math.abs(statistic - df) < 6 * Math.sqrt(2 * df), `${what}: chi-square ${statistic} with ${df} degrees of freedom`);
    };
    const count = (size, draw) => {
      const counts = Array(size).fill(0);
      for (let i = 0; i < n; i++) counts[draw()]++;
      return counts;
    };
    for (const size of [2, 3, 10, 1000]) fits(count(size, () => rng.below(size)), Array(size).fill(1 / size), `below ${size}`);
    const large = 3 * 2 ** 51; // 2^53 is no multiple: without rejection the lower third would come too often
    fits(count(3, () => Math.floor(rng.below(large) / 2 ** 51)), Array(3).fill(1 / 3), 'below 3 * 2^51');
    // Of numbers near 2^21 the one that most words must be drawn again for: what is drawn, and how often again, by whole numbers of 64 bits.
    let worst = 0n;
    for (let n = 2n ** 21n; n > 2n ** 21n - 2000n; n--) if (!worst || 2n ** 32n % n > 2n ** 32n % worst) worst = n;
    const words = new Rng(7, 'words'), drawn = new Rng(7, 'words');
    let again = 0;
    for (let i = 0; i < 20000; i++) {
      let product;
      for (;; again++) if ((product = BigInt(words.word()) * worst) % 2n ** 32n >= 2n ** 32n % worst) break;
      assert.equal(drawn.below(Number(worst)), Number(product >> 32n));
    }
    assert.ok(again > 0 && drawn.position === words.position, `${again} words drawn again`);
    fits(count(24, () => { const [a, b, c] = rng.permutation(4); return a * 6 + (b - (b > a)) * 2 + Number(c > 6 - a - b - c); }), Array(24).fill(1 / 24), 'permutations of 4');
    fits(count(20, () => { const [a, b] = rng.choose(5, 2); return a * 4 + b - (b > a); }), Array(20).fill(1 / 20), 'two of five');
    const table = new Table([0, 1, 0, 3, 4, 0]), counts = count(6, () => table.draw(rng));
    fits(counts, [0, 1 / 8, 0, 3 / 8, 1 / 2, 0], 'a table');
    assert.deepEqual([counts[0], counts[2], counts[5]], [0, 0, 0]);
    const ranks = zipf(50, 1.2), weights = Array.from({ length: 50 }, (_, r) => (r + 1) ** -1.2), sum = weights.reduce((a, b) => a + b);
    weights.forEach((w, r) => assert.ok(Math.abs(ranks.probability(r) - w / sum) < 1e-14));
    fits(count(50, () => ranks.draw(rng)), weights.map((w) => w / sum), 'Zipf');
    for (const bad of [[], [0, 0], [1, -1], [NaN]]) assert.throws(() => new Table(bad), { code: 'ERANGE' });
  });
});

describe('generators', () => {
  test('chains: rows, entropy rate and stationary distribution as the core has them', async () => {
    for (const [what, chain] of /** @type {const} */ ([
      ['order 1', markov(new Rng(1), { symbols: 5, concentration: 0.3, floor: 0.1 })], ['order 3', markov(new Rng(2), { symbols: 3, order: 3 })], ['no memory', markov(new Rng(3), { symbols: 4, order: 0 })],
      ['switching 1', switching(1, 0.1)], ['switching 3', switching(3, 0.2)], ['given', markovOf([[0.6, 0.4], [0.3, 0.7]])],
    ])) {
      const letters = 'ABCDE'.slice(0, chain.symbols), source = await MarkovSource.create({ letters, order: chain.order, next: Array.from({ length: chain.contexts }, (_, c) => chain.row(c)) });
      assert.ok(Math.abs(chain.entropyRate() - source.entropyRate) < 1e-9, `${what}: ${chain.entropyRate()}, the core says ${source.entropyRate}`);
      chain.stationary().forEach((p, c) => assert.ok(Math.abs(p - source.stationary[c]) < 1e-9, what));
      source.dispose();
    }
    assert.ok(Math.abs(switching(2, 0.1).entropyRate() - 0.3250829733914482) < 1e-12, 'h(0.1)');
    const chain = markov(new Rng(5), { symbols: 4, order: 2, concentration: 0.5, floor: 0.2 });
    assert.ok(chain.rows.every((p) => p >= 0.05 - 1e-12));
    const length = 200, rows = rowsOf(chain.sample(new Rng(6), 100, length), length), seen = new Float64Array(64), contexts = new Float64Array(16);
    for (const row of rows) for (let t = 2; t < length; t++) { seen[row[t - 2] * 16 + row[t - 1] * 4 + row[t]]++; contexts[row[t - 2] * 4 + row[t - 1]]++; }
    seen.forEach((n, i) => { const c = contexts[i >> 2]; if (c > 100) near(n / c, chain.rows[i], Math.sqrt(chain.rows[i] * (1 - chain.rows[i])), c, `P(${i & 3} | ${i >> 2})`); });
    assert.throws(() => markov(new Rng(1), { symbols: 300, order: 3 }), { code: 'ERANGE' });
    assert.throws(() => markovOf([[0.6, 0.5], [0.3, 0.7]]), { code: 'ERANGE' });
    assert.throws(() => markovOf([]), { code: 'ERANGE' });
  });

  test('repeats and back-copies follow their rule at every place', () => {
    const { tokens, period, copied } = repeats(new Rng(1), { batch: 50, length: 32, symbols: 32 });
    rowsOf(tokens, 32).forEach((row, b) => row.forEach((x, t) => {
      assert.equal(copied[b * 32 + t], Number(t >= period[b]));
      if (t >= period[b]) assert.equal(x, row[t - period[b]]);
    }));
    assert.deepEqual([Math.min(...period), Math.max(...period)], [6, 16]);
    assert.throws(() => repeats(new Rng(1), { batch: 1, length: 8, symbols: 4, least: 5, most: 4 }), { code: 'ERANGE' });

    const chain = markov(new Rng(1), { symbols: 12, concentration: 0.3, floor: 0.1 }), triggers = [3, 7];
    const sample = backcopy(new Rng(2), { chain, triggers, batch: 300, length: 20 });
    let copies = 0;
    const after = new Float64Array(144), from = new Float64Array(12);
    rowsOf(sample.tokens, 20).forEach((row, b) => row.forEach((x, t) => {
      assert.equal(x === 12, t === 0, 'one start token, in front');
      assert.equal(sample.triggered[b * 20 + t], Number(t > 1 && triggers.includes(x)));
      if (t > 2 && triggers.includes(row[t - 1])) { copies++; assert.equal(x, row[t - 2]); }
      else if (t > 1) { after[row[t - 1] * 12 + x]++; from[row[t - 1]]++; }
    }));
    assert.ok(copies > 100);
    after.forEach((n, i) => { const c = from[Math.floor(i / 12)]; if (c > 100) near(n / c, chain.rows[i], Math.sqrt(chain.rows[i] * (1 - chain.rows[i])), c, `bigram ${i}`); });
    assert.throws(() => backcopy(new Rng(1), { chain, triggers: [12], batch: 1, length: 4 }), { code: 'ERANGE' });
  });

  test('facts: what is told and what is asked', () => {
    for (const nameTokens of [1, 3]) {
      const f = facts(new Rng(1), { pairs: 20, both: 8, nameTokens, nameSymbols: nameTokens === 1 ? 40 : 10 }), n = f.nameTokens;
      const forward = rowsOf(f.forward, f.length), backward = rowsOf(f.backward, f.length);
      assert.equal(new Set(forward.flatMap((row) => [row.slice(0, n).join(), row.slice(n + 1).join()])).size, 40, 'different names');
      forward.forEach((row, i) => {
        assert.deepEqual(backward[i], [...row.slice(n + 1), f.inverse, ...row.slice(0, n)]);
        assert.equal(row[n], f.relation);
      });
      assert.deepEqual(rowsOf(f.told, f.length), [...forward, ...backward.slice(0, 8)]);
      assert.deepEqual(rowsOf(f.asked, f.length), backward.slice(8));
      assert.ok(Math.max(...f.told) < f.blank && f.symbols === f.blank + 1);
    }
    assert.throws(() => facts(new Rng(1), { pairs: 5, both: 6 }), { code: 'ERANGE' });
    assert.throws(() => facts(new Rng(1), { pairs: 5, both: 0, nameTokens: 2, nameSymbols: 3 }), { code: 'ERANGE' });
  });

  test('sums and products are right, in every base and order', () => {
    for (const [digits, base, order] of /** @type {const} */ ([[2, 10, 'least'], [4, 100, 'most'], [5, 100, 'least'], [4, 1000, 'most'], [9, 10000, 'least']])) {
      const { tokens, length, answerAt, answerTokens, a, b, symbols: V } = additions(new Rng(digits), { count: 200, digits, base, order });
      assert.equal(V, base + 2);
      rowsOf(tokens, length).forEach((row, i) => {
        const plus = row.indexOf(base), equals = row.indexOf(base + 1);
        assert.deepEqual([row.length, equals + 1], [answerAt + answerTokens, answerAt]);
        assert.deepEqual([row.slice(0, plus), row.slice(plus + 1, equals), row.slice(answerAt)].map((d) => numberOf(d, base, order)), [a[i], b[i], a[i] + b[i]]);
        assert.ok(a[i] < 10 ** digits && b[i] < 10 ** digits);
      });
    }
    const p = products(new Rng(1), { count: 300, digits: 2 });
    rowsOf(p.tokens, p.length).forEach((row, i) => {
      const [a, b, c] = [row.slice(0, 2), row.slice(3, 5), row.slice(p.answerAt)].map((d) => numberOf(d, 10, 'most'));
      assert.deepEqual([c, p.answer[i]], [Math.floor((a * b) / 100), c]);
    });
    assert.deepEqual([digitsOf(305, 10, 4), digitsOf(305, 10, 4, 'most')], [[5, 0, 3, 0], [0, 3, 0, 5]]);
    assert.throws(() => digitsOf(100, 10, 2), { code: 'ERANGE' });
    assert.throws(() => additions(new Rng(1), { count: 1, digits: 2, base: 12 }), { code: 'ERANGE' });
  });

  test('stars: the answer is the only path to the goal', () => {
    const arms = 3, pathNodes = 4, nodes = 15, { tokens, length, answerAt, answerTokens, symbols: V, blank } = stars(new Rng(1), { count: 100, arms, pathNodes, nodes });
    assert.deepEqual([answerTokens, V, blank], [4, nodes + 4, nodes + 3]);
    const goals = new Set(), firstEdges = new Set();
    rowsOf(tokens, length).forEach((row) => {
      const edges = Array.from({ length: 9 }, (_, e) => row.slice(3 * e, 3 * e + 3)), [slash, start, goal, equals] = row.slice(27, 31);
      assert.deepEqual([...edges.map((e) => e[2]), slash, equals], [...Array(9).fill(nodes), nodes + 1, nodes + 2]);
      const from = new Map(edges.map(([u, v]) => [v, u]));
      assert.equal(new Set(edges.flatMap(([u, v]) => [u, v])).size, arms * (pathNodes - 1) + 1);
      assert.equal(edges.filter(([u]) => u === start).length, arms);
      const path = [goal];
      while (from.has(path[0])) path.unshift(from.get(path[0]));
      assert.equal(path[0], start);
      assert.deepEqual(row.slice(answerAt), path);
      goals.add(goal);
      firstEdges.add(edges.findIndex(([u, v]) => u === start && v === path[1]));
    });
    assert.ok(goals.size > 10 && firstEdges.size > 5, 'goals and edges are shuffled');
    assert.throws(() => stars(new Rng(1), { count: 1, arms: 2, pathNodes: 3, nodes: 4 }), { code: 'ERANGE' });
  });

  test('regressions: y = w.x, and scales', () => {
    const batch = 400, pairs = 6, dims = 3, { prompts, answers, weights } = regressions(new Rng(1), { batch, pairs, dims, xScale: 2 });
    let squares = 0;
    for (let b = 0; b < batch; b++)
      for (let n = 0; n <= pairs; n++) {
        const row = prompts.subarray((b * (pairs + 1) + n) * 4, (b * (pairs + 1) + n + 1) * 4), y = row[0] * weights[3 * b] + row[1] * weights[3 * b + 1] + row[2] * weights[3 * b + 2];
        assert.ok(Math.abs((n === pairs ? answers[b] : row[3]) - y) < 1e-5);
        if (n === pairs) assert.equal(row[3], 0);
        squares += row[0] ** 2;
      }
    near(squares / (batch * (pairs + 1)), 4, 4 * Math.SQRT2, batch * (pairs + 1), 'x^2');
    const noisy = regressions(new Rng(1), { batch, pairs, dims, noise: 0.5 });
    let residual = 0;
    for (let b = 0; b < batch; b++) for (let n = 0; n < pairs; n++) { const at = (b * (pairs + 1) + n) * 4; residual += (noisy.prompts[at + 3] - [0, 1, 2].reduce((sum, d) => sum + noisy.prompts[at + d] * noisy.weights[3 * b + d], 0)) ** 2; }
    near(residual / (batch * pairs), 0.25, 0.25 * Math.SQRT2, batch * pairs, 'noise');
    const { prompts: stretched, weights: same } = regressions(new Rng(2), { batch, pairs, dims, xScale: [0.5, 1, 3], task: [1, -2, 4] });
    [0.25, 1, 9].forEach((want, d) => near(mean(Array.from({ length: batch * (pairs + 1) }, (_, n) => stretched[4 * n + d] ** 2)), want, want * Math.SQRT2, batch * (pairs + 1), `x_${d}^2`));
    assert.ok(same.every((w, i) => w === [1, -2, 4][i % 3]));
    assert.throws(() => regressions(new Rng(1), { batch, pairs, dims, xScale: [1, 2] }), { code: 'ERANGE' });
  });

  test('text and batches', () => {
    const text = new TextEncoder().encode('banana bread'), { ids, bytes } = symbols(text);
    assert.equal(spelled(ids, new TextDecoder().decode(bytes)), 'banana bread');
    assert.deepEqual([...bytes], [...bytes].sort((a, b) => a - b));
    const cut = rowsOf(windows(new Rng(1), ids, { batch: 500, length: 5 }), 5), places = new Set(cut.map((row) => spelled(row, new TextDecoder().decode(bytes))));
    for (const place of places) assert.ok('banana bread'.includes(place));
    assert.equal(places.size, 8, 'every place is drawn');
    assert.throws(() => windows(new Rng(1), ids, { batch: 1, length: 13 }), { code: 'ERANGE' });
    const { inputs, targets } = nextTokens(Int32Array.of(1, 2, 3, 4, 5, 6), 3);
    assert.deepEqual([[...inputs], [...targets]], [[1, 2, 4, 5], [2, 3, 5, 6]]);
    assert.throws(() => nextTokens(Int32Array.of(1, 2, 3), 2), { code: 'ERANGE' });
    assert.deepEqual(gather(Float32Array.of(1, 2, 3, 4), 2, [1, 0, 1]), Float32Array.of(3, 4, 1, 2, 3, 4));
    assert.throws(() => gather(Int32Array.of(1, 2), 2, [1]), { code: 'ERANGE' });
    assert.deepEqual(only(Int32Array.of(5, 6, 0), Float32Array.of(1, 0, 1)), Int32Array.of(5, -1, 0));
    assert.throws(() => only(Int32Array.of(1, 2), [1]), { code: 'ERANGE' });
  });
});

// ---- runs -------------------------------------------------------------------------------------------------------------------

/** Parameters without a core: what save, restore and free must do. */
class PlainParams {
  static made = [];
  values = new Float64Array(4);
  freed = 0;
  constructor() { PlainParams.made.push(this); }
  save() { return new Uint8Array(this.values.buffer.slice(0)); }
  restore(bytes) { new Uint8Array(this.values.buffer).set(bytes); }
  free() { this.freed++; }
  weights() { return this.save(); }
}
const core = { params: () => new PlainParams() };

/** Noisy descent to 0: all that a lab can have, and every kind of state. */
const descent = (changes = {}) => defineLab({
  id: 1, name: 'descent', title: 'Descent', claim: 'Noise keeps descent away from the minimum.', published: 'Known.', source: 'Nobody 2024', notes: ['Four numbers.'],
  config: { steps: { value: 60, min: 0, max: 1000, whole: true, label: 'steps' }, rate: { value: 0.1, min: 0, max: 1, label: 'rate', live: true }, noise: { value: 0.5, min: 0, max: 9, label: 'noise' }, way: { value: 'plain', choices: ['plain', 'momentum'], label: 'way' }, fast: { value: false, label: 'fast' } },
  presets: { quick: { steps: 20 }, full: {} },
  arms: () => [{ name: 'noisy' }, { name: 'quiet', config: { noise: 0 } }, { name: 'noisy again', seed: 1 }],
  setup(run) {
    run.params.values.set(run.rng('init').normals(4));
    run.state.velocity = [0, 0, 0, 0];
    return { scale: run.rng('init').uniform(1, 2) };
  },
  step(run, { scale }) {
    const w = run.params.values, g = run.rng('data').normals(4);
    for (let i = 0; i < 4; i++) {
      run.state.velocity[i] = (run.config.way === 'momentum' ? 0.5 : 0) * run.state.velocity[i] + scale * (w[i] + run.config.noise * g[i]);
      w[i] -= run.config.rate * run.state.velocity[i];
    }
    run.state.worst = Math.max(run.state.worst ?? -Infinity, ...w);
    return { loss: Math.hypot(...w), ...(run.step % 7 === 3 && { odd: 0 / 0 }) };
  },
  measure: (run) => ({ exact: Math.hypot(...run.params.values) + (run.fresh('test').uniform() - run.fresh('test').uniform()), pictures: { w: { rows: 2, cols: 2, values: new Float32Array(run.params.values) } } }),
  series: { loss: { label: 'loss' }, odd: { label: 'odd' }, exact: { label: 'exact loss', unit: 'nats' } },
  plots: [{ type: 'line', series: ['loss', 'exact'], title: 'Loss' }, { type: 'heat', picture: 'w', title: 'Parameters' }],
  headline: ([noisy]) => ({ label: 'loss with noise', value: noisy.last.loss }),
  verdict: ([noisy, quiet]) => [{ what: 'loss without noise', value: quiet.last.loss, bound: '< 0.1', pass: quiet.last.loss < 0.1 }, { what: 'loss with noise', value: noisy.last.loss, bound: '> 0.05', pass: noisy.last.loss > 0.05 }],
  ...changes,
});
const outcome = (run) => JSON.stringify([run.results(), run.headline(), run.verdict(), run.where, run.changes]);

describe('runs', () => {
  test('all arms, series of every step, measurements when they are due', async () => {
    const run = await LabRun.create(descent(), { core });
    assert.deepEqual(run.where, { arm: 0, arms: 3, name: 'noisy', step: 0, steps: 60, made: 0, total: 180, done: false });
    assert.throws(() => run.verdict(), { code: 'ESTATE' });
    assert.equal(await run.play(), true);
    const [noisy, quiet, again] = run.results();
    for (const arm of [noisy, quiet, again]) {
      assert.deepEqual([arm.step, arm.done, arm.config.every], [60, true, 3]);
      assert.deepEqual(arm.series.loss.map(([s]) => s), [...Array(60).keys()]);
      assert.deepEqual(arm.series.exact.map(([s]) => s), Array.from({ length: 21 }, (_, i) => 3 * i));
      arm.series.exact.slice(1, 20).forEach(([s, value]) => assert.equal(value, arm.series.loss[s - 1][1], 'step s is measured before it is made'));
      assert.equal(arm.last.exact, arm.series.loss[59][1]);
      assert.equal(arm.pictures.w.values.length, 4);
    }
    assert.deepEqual([noisy.seed, quiet.seed, again.seed], [1, 1, 2]);
    assert.equal(noisy.series.exact[0][1], quiet.series.exact[0][1], 'the same seed begins with the same weights');
    assert.notEqual(noisy.series.exact[0][1], again.series.exact[0][1]);
    const { pass, checks } = run.verdict();
    assert.deepEqual([pass, checks.map((c) => c.pass)], [true, [true, true]]);
    assert.equal(run.headline().value, noisy.last.loss);
    run.dispose();
    run.dispose();
    assert.deepEqual(PlainParams.made.slice(-3).map((p) => p.freed), [1, 1, 1]);
    await assert.rejects(run.advance(), { code: 'ESTATE' });
    assert.throws(() => run.checkpoint(), { code: 'ESTATE' });
  });

  test('an arm that has had enough ends after its step, and stays ended in a checkpoint', async () => {
    const lab = descent({ step: (run) => { if (run.arm === 'quiet' && run.step === 10) run.finish(); return { loss: run.step }; } });
    const run = await LabRun.create(lab, { core });
    await run.advance({ steps: 80 });
    const again = await LabRun.restore(lab, run.checkpoint(), { core });
    for (const each of [run, again]) {
      await each.play();
      assert.deepEqual(each.results().map(({ step, done }) => [step, done]), [[60, true], [11, true], [60, true]]);
      assert.deepEqual(each.results()[1].series.exact.at(-1)?.[0], 11, 'measured at its end');
    }
    assert.equal(outcome(run), outcome(again));
  });

  test('cut anywhere and continued from a checkpoint: the same, bit for bit', async () => {
    for (const config of [{}, { way: 'momentum', noise: 2 }]) {
      const whole = await LabRun.create(descent(), { core, seed: 5, config });
      await whole.play();
      for (const cut of [0, 1, 37, 60, 61, 119, 150, 180]) {
        const first = await LabRun.create(descent(), { core, seed: 5, config });
        await first.advance({ steps: cut });
        assert.equal(first.done, cut === 180);
        const bytes = first.checkpoint();
        first.dispose();
        const second = await LabRun.restore(descent(), bytes, { core });
        assert.deepEqual(second.checkpoint(), bytes, 'a checkpoint of what was restored is that checkpoint');
        await second.play({ sliceMs: 0 });
        assert.equal(outcome(second), outcome(whole), `cut at ${cut}`);
        assert.deepEqual(second.checkpoint(), whole.checkpoint());
      }
    }
  });

  test('live values: from the next step on, remembered, kept by checkpoints', async () => {
    const run = await LabRun.create(descent(), { core });
    await run.advance({ steps: 10 });
    run.set('rate', 0.3);
    await run.advance({ steps: 60 });
    const bytes = run.checkpoint();
    await run.play();
    assert.deepEqual(run.changes, [{ key: 'rate', value: 0.3, arm: 0, step: 10 }]);
    assert.deepEqual(run.results().map((arm) => arm.config.rate), [0.3, 0.3, 0.3], 'later arms have it too');
    const straight = await LabRun.create(descent(), { core });
    await straight.play();
    assert.equal(run.results()[0].series.loss[9][1], straight.results()[0].series.loss[9][1]);
    assert.notEqual(run.results()[0].series.loss[10][1], straight.results()[0].series.loss[10][1]);
    const restored = await LabRun.restore(descent(), bytes, { core });
    await restored.play();
    assert.equal(outcome(restored), outcome(run));
    assert.throws(() => run.set('noise', 1), { code: 'ESTATE', message: /noise cannot change while a run is under way: only rate can/ });
    assert.throws(() => run.set('rate', 2), { code: 'ERANGE', message: /rate: 2 is not a number in 0\.\.1/ });
    assert.throws(() => run.set('speed', 2), { code: 'EUNKNOWN', message: /known are steps, rate/ });
    const own = await LabRun.create(descent({ arms: () => [{ name: 'own', config: { rate: 0.2 } }] }), { core });
    own.set('rate', 0.9);
    assert.equal(own.results()[0].config.rate, 0.2, 'an arm that sets the value itself keeps it');
  });

  test('pausing, slices, aborting; one at a time', async () => {
    const run = await LabRun.create(descent(), { core });
    let slices = 0;
    assert.equal(await run.play({ sliceMs: 0, onSlice: () => { if (++slices === 5) run.pause(); } }), false);
    assert.deepEqual([slices, run.where.step], [5, 5]);
    const controller = new AbortController();
    await assert.rejects(run.play({ sliceMs: 0, signal: controller.signal, onSlice: () => controller.abort() }), { name: 'AbortError' });
    assert.equal(run.where.step, 6);
    const first = run.advance({ steps: 3 });
    await assert.rejects(run.advance(), { code: 'ESTATE', message: /at work already/ });
    await first;
    assert.equal(run.where.step, 9);
    await run.play();
    const straight = await LabRun.create(descent(), { core });
    await straight.play();
    assert.equal(outcome(run), outcome(straight));
    let turns = 0, over = false;
    const turn = () => { turns++; if (!over) setImmediate(turn); };
    setImmediate(turn);
    const polite = await LabRun.create(descent(), { core, preset: 'quick' });
    await polite.play({ sliceMs: 0 });
    over = true;
    assert.ok(turns >= 60, `others had ${turns} turns between 60 slices`);
  });

  test('what a lab throws ends the run; its results stay', async () => {
    let count = 0;
    const run = await LabRun.create(descent({ step: () => { if (++count === 4) throw new RangeError('too far'); return { loss: 1 }; } }), { core });
    await assert.rejects(run.play(), /too far/);
    await assert.rejects(run.advance(), /too far/);
    assert.equal(run.results()[0].series.loss.length, 3);
    run.dispose();
    const before = PlainParams.made.length;
    await assert.rejects(LabRun.create(descent({ setup: () => { throw new Error('no net'); } }), { core }), /no net/);
    assert.equal(PlainParams.made[before].freed, 1);
    await assert.rejects((await LabRun.create(descent({ step: () => ({ lost: 1 }) }), { core })).play(), { code: 'EUNKNOWN', message: /"lost", which is no series: known are loss, odd, exact/ });
    await assert.rejects((await LabRun.create(descent({ step: () => ({ loss: '1' }) }), { core })).play(), { code: 'ERANGE' });
    const nan = await LabRun.create(descent({ step: () => ({ loss: NaN }), verdict: ([a]) => [{ what: 'loss', value: a.last.loss, bound: 'any', pass: true }] }), { core, preset: 'quick' });
    await nan.play();
    assert.equal(nan.verdict().pass, false, 'what is no number passes nothing');
    const none = await LabRun.create(descent({ verdict: () => [] }), { core, config: { steps: 0 } });
    await none.play();
    assert.deepEqual(none.results().map((arm) => [arm.step, arm.series.exact.length]), [[0, 1], [0, 1], [0, 1]]);
    assert.throws(() => none.verdict(), { code: 'ERANGE', message: /no checks/ });
  });

  test('configs: defaults, presets, values; what does not fit', async () => {
    const run = await LabRun.create(descent(), { core, preset: 'quick', config: { noise: 2, fast: true } });
    assert.deepEqual(run.config, { steps: 20, rate: 0.1, noise: 2, way: 'plain', fast: true, every: 1 });
    for (const [options, code, message] of /** @type {const} */ ([
      [{ preset: 'slow' }, 'EUNKNOWN', /unknown preset "slow": known are quick, full/], [{ config: { stops: 1 } }, 'EUNKNOWN', /unknown config key "stops"/], [{ config: { steps: 1.5 } }, 'ERANGE', /not a whole number in 0\.\.1000/],
      [{ config: { steps: '5' } }, 'ERANGE', /steps: "5"/], [{ config: { way: 'side' } }, 'ERANGE', /one of plain, momentum/], [{ config: { fast: 1 } }, 'ERANGE', /true or false/], [{ seed: -1 }, 'ERANGE', /seed/], [{ sead: 1 }, 'EUNKNOWN', /sead/], [{ texts: { novel: new Uint8Array(1) } }, 'EUNKNOWN', /reads no text "novel": it reads none/],
    ])) await assert.rejects(LabRun.create(descent(), { core, ...options }), { code, message });
    await assert.rejects(LabRun.create(descent({ texts: ['novel'] }), { core }), { code: 'EMISSING', message: /the text "novel" is not bundled \(prose are\)/ });
    const reads = await LabRun.create(descent({ texts: ['novel'], step: (run) => ({ loss: run.texts('novel').length }) }), { core, texts: { novel: new Uint8Array(9) } });
    await reads.advance();
    assert.equal(reads.results()[0].last.loss, 9);
    await assert.rejects((await LabRun.create(descent({ step: (run) => run.texts('novel') }), { core })).advance(), { code: 'EMISSING' });
  });

  test('definitions that are wrong say what', () => {
    for (const [changes, message] of /** @type {const} */ ([
      [{ name: 'Two Words' }, /joined by "-"/], [{ id: 0 }, /id must be/], [{ extra: 1 }, /unknown field "extra": known are id, name/], [{ claim: '' }, /claim must be a text/], [{ step: null }, /step must be a function/],
      [{ config: { rate: { value: 1, label: 'rate' } } }, /config\.steps/], [{ config: { steps: { value: 5.5, min: 1, whole: true, label: 'steps' } } }, /steps: 5\.5 is not a whole number/],
      [{ presets: { quick: {} } }, /presets\.full is missing/], [{ presets: { quick: { stops: 1 }, full: {} } }, /config has no stops/], [{ presets: { quick: { steps: -1 }, full: {} } }, /steps: -1/],
      [{ series: {} }, /series must name/], [{ plots: [{ type: 'pie', title: 'x' }] }, /one of line, bar, heat, scatter/], [{ plots: [{ type: 'line', series: ['lost'], title: 'x' }] }, /there is no series lost/], [{ plots: [{ type: 'heat', title: 'x' }] }, /needs picture/],
    ])) assert.throws(() => descent(changes), { message });
  });

  test('checkpoints that are none, are cut, or belong to another lab', async () => {
    const run = await LabRun.create(descent(), { core, preset: 'quick' });
    await run.advance({ steps: 25 });
    const bytes = run.checkpoint(), restore = (lab, b) => LabRun.restore(lab, b, { core });
    for (const bad of [new Uint8Array(0), new Uint8Array(40), bytes.subarray(0, 11), bytes.subarray(0, 100), bytes.subarray(0, bytes.length - 1), Uint8Array.of(...bytes, 0), 'text'])
      await assert.rejects(restore(descent(), bad), { code: 'EFORMAT', message: /^checkpoint: / });
    await assert.rejects(restore(descent({ name: 'ascent' }), bytes), { code: 'EFORMAT', message: /of lab "descent", format 1; expected "ascent"/ });
    await assert.rejects(restore(descent({ arms: () => [{ name: 'one' }] }), bytes), { code: 'EFORMAT', message: /2 arms/ });
    const at = Buffer.from(bytes).indexOf('"positions"');
    const lame = Uint8Array.from(bytes);
    lame[at + 1] = 0x71;
    await assert.rejects(restore(descent(), lame), { code: 'EFORMAT', message: /lacks something/ });
    const before = PlainParams.made.length;
    await assert.rejects(restore(descent(), lame));
    assert.ok(PlainParams.made.slice(before).every((p) => p.freed === 1), 'what was made is freed');
  });

  test('export: JSON that is JSON, the plots, the parameters of each arm', async () => {
    const run = await LabRun.create(descent(), { core, preset: 'quick' });
    await run.advance({ steps: 25 });
    const early = run.export(), parsed = JSON.parse(early.json);
    assert.deepEqual([parsed.done, parsed.headline, parsed.verdict, parsed.arms.map((arm) => arm.step)], [false, null, null, [20, 5, 0]]);
    assert.deepEqual(early.weights.map(({ arm }) => arm), ['noisy', 'quiet']);
    await run.play();
    const { json, plots, weights } = run.export(), { lab, arms, headline, verdict } = JSON.parse(json);
    assert.deepEqual([lab.name, headline, verdict], ['descent', run.headline(), run.verdict()]);
    assert.deepEqual(arms[0].series.odd.map(([, value]) => value), [null, null, null], 'what is no number is null');
    assert.deepEqual(arms[2].series.loss, run.results()[2].series.loss);
    assert.deepEqual(plots.map(({ name }) => name), ['loss', 'w-noisy', 'w-quiet', 'w-noisy-again']);
    weights.forEach(({ bytes }, i) => assert.deepEqual([...new Float64Array(bytes.buffer)], [...run.params(i).values]));
  });

  test('several seeds, and grids: means, spreads, how many pass', async () => {
    const lab = descent({ verdict: ([noisy, quiet]) => [{ what: 'quiet loss', value: quiet.last.loss, bound: '< 9', pass: quiet.last.loss < 9 }, { what: 'noisy loss', value: noisy.last.loss, bound: 'odd', pass: noisy.seed !== 2 }] });
    const single = await Promise.all([1, 2, 3].map(async (seed) => { const run = await LabRun.create(lab, { core, seed, preset: 'quick' }); await run.play(); return run.headline().value; }));
    const seen = [];
    const result = await runSeeds(lab, [1, 2, 3], { core, preset: 'quick', onRun: (run) => seen.push(run.seed) }), average = mean(single);
    assert.deepEqual(seen, [1, 2, 3]);
    assert.deepEqual(result.runs.map(({ seed, pass, headline }) => [seed, pass, headline.value]), [[1, true, single[0]], [2, false, single[1]], [3, true, single[2]]]);
    assert.deepEqual([result.passes, result.works, result.checks.map((c) => c.passes)], [2, true, [3, 2]]);
    assert.ok(Math.abs(result.headline.mean - average) < 1e-12 && Math.abs(result.headline.sd - Math.sqrt(single.reduce((s, v) => s + (v - average) ** 2, 0) / 2)) < 1e-12);
    assert.deepEqual([result.headline.min, result.headline.max], [Math.min(...single), Math.max(...single)]);
    assert.equal((await runSeeds(lab, [2], { core, preset: 'quick' })).works, false);
    for (const seeds of [[], [1, 1]]) await assert.rejects(runSeeds(lab, seeds, { core }), { code: 'ERANGE' });
    const cells = await sweep(lab, { seeds: [1], grid: { rate: [0.1, 0.2], noise: [0, 1] }, core, preset: 'quick' });
    assert.deepEqual(cells.map((cell) => cell.values), [{ rate: 0.1, noise: 0 }, { rate: 0.1, noise: 1 }, { rate: 0.2, noise: 0 }, { rate: 0.2, noise: 1 }]);
    const straight = await LabRun.create(lab, { core, preset: 'quick', config: { rate: 0.2, noise: 1 } });
    await straight.play();
    assert.equal(cells[3].headline.mean, straight.headline().value);
    const stop = new AbortController(), before = PlainParams.made.length;
    await assert.rejects(runSeeds(lab, [1, 2], { core, signal: stop.signal, onSlice: () => stop.abort() }), { name: 'AbortError' });
    assert.ok(PlainParams.made.slice(before).every((p) => p.freed === 1));
  });
});
