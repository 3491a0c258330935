// What the labs on mechanisms in context generate and measure, against slow twins written from the definitions.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { LabRun, Rng, findLab, regressions } from '../../web/lab/index.js';
import { CopyNet } from '../../web/lab/copying.js';
import { labCore } from '../../web/lab/core.js';
import { mostFrequent } from '../../web/labs/active-dormant-heads.js';
import { lossOfStep, optimum, risk } from '../../web/labs/linear-models-in-context.js';
import { markov } from '../../web/lab/data.js';
import { transformer } from '../../web/net.js';

const core = await labCore();
const close = (got, want, tolerance, what) => assert.ok(Math.abs(got - want) <= tolerance, `${what}: ${got}, expected ${want}`);
const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;

test('blocks that come again: losses of copies, scores of heads', () => {
  const params = core.params(), B = 5, T = 20, net = new CopyNet(params, { batch: B, length: T, vocab: 9, width: 8, heads: 2, layers: 2, mlp: 0 });
  for (const p of params.list('*.distance')) p.set({ normal: 1 });
  net.graph.ready();
  net.feed(new Rng(1, 'data'), { symbols: 9, least: 3, most: 6 });
  net.graph.run();
  const { tokens, period } = net.rows, early = [], late = [], at = (b, t) => tokens[b * (T + 1) + t];
  const inputs = Array.from({ length: B * T }, (_, i) => at(Math.floor(i / T), i % T));
  assert.ok(new Set(inputs).size > 5);
  for (let b = 0; b < B; b++) for (let t = 0; t < T; t++) (t + 1 < period[b] ? early : late).push(net.losses.value[b * T + t]);
  close(net.split().early, mean(early), 1e-6, 'early');
  close(net.split().late, mean(late), 1e-6, 'late');
  for (const layer of [0, 1]) {
    const pattern = net.patterns[layer].read(), weight = (b, h, q, k) => pattern[((b * 2 + h) * T + q) * T + k], { induction, previous } = net.heads(layer);
    for (const h of [0, 1]) {
      const matching = [], before = [];
      for (let b = 0; b < B; b++)
        for (let q = 0; q < T; q++) {
          if (q) before.push(weight(b, h, q, q - 1));
          if (q < period[b]) continue;
          let sum = 0;
          for (let k = 1; k <= q; k++) if ((q - (k - 1)) % period[b] === 0 && k - 1 < q) { // k - 1 is the same place of an earlier copy
            assert.equal(at(b, k - 1), at(b, q));
            sum += weight(b, h, q, k);
          }
          matching.push(sum);
        }
      close(induction[h], mean(matching), 1e-6, 'induction');
      close(previous[h], mean(before), 1e-6, 'previous');
    }
    const picture = net.picture(layer, 1, 2);
    assert.deepEqual([...picture.values].slice(0, T), Array.from({ length: T }, (_, k) => weight(2, 1, 0, k)));
    assert.equal(picture.labels.join(), inputs.slice(2 * T, 3 * T).join());
  }
  params.free();
});

test('shifted keys and values are mixed with those of the row before', () => {
  const params = core.params(), options = { vocab: 7, width: 8, heads: 2, layers: 1, mlp: 0, positions: /** @type {const} */ ('learned') }, tokens = Int32Array.from({ length: 12 }, (_, i) => (i * i) % 7);
  const [shifted, plain] = [true, false].map((kvShift) => {
    const g = params.graph(), index = g.index('tokens', [2, 6]);
    transformer(g, index, { ...options, kvShift });
    g.ready();
    index.set(tokens);
    g.run();
    return g.trace(['blocks.0.attn.hook_?']);
  });
  for (const [hook, name] of [['k', 'a'], ['v', 'b']]) {
    const own = params.get(`blocks.0.attn.${name}1`).read(), before = params.get(`blocks.0.attn.${name}2`).read();
    own.forEach((a, h) => close(a + before[h], 1, 1e-6, 'shares at first'));
    const got = shifted[`blocks.0.attn.hook_${hook}`].data, from = plain[`blocks.0.attn.hook_${hook}`].data;
    for (let i = 0; i < got.length; i++) {
      const h = Math.floor(i / 24) % 2, t = Math.floor(i / 4) % 6; // [2, 2, 6, 4]
      close(got[i], own[h] * from[i] + (t ? before[h] * from[i - 4] : 0), 1e-5, `${hook} ${i}`);
    }
  }
  params.free();
});

test('linear regression in context: the closed form', async () => {
  const N = 7, spread = Float64Array.of(2, 1, 0.25), best = optimum(spread, N), scales = spread.map(Math.sqrt);
  for (let i = 0; i < 3; i++) for (const by of [-0.01, 0.01]) assert.ok(risk(best.map((a, k) => a + by * Number(k === i)), spread, N) > risk(best, spread, N), 'the closed form is the best diagonal');
  close(risk(optimum(new Float64Array(5).fill(1), 20), new Float64Array(5).fill(1), 20), 5 * (1 - 20 / 26), 1e-12, 'd (1 - N / (N + d + 1))');
  // against a sample, one prompt at a time, so that the spread of the losses says how near it must be
  for (const diagonal of [best, Float64Array.of(0.1, 0.9, -0.5)]) {
    const losses = Array.from({ length: 20000 }, ((rng) => () => lossOfStep(diagonal, regressions(rng, { batch: 1, pairs: N, dims: 3, xScale: scales }), N))(new Rng(1, 'prompts')));
    const average = mean(losses), sd = Math.sqrt(mean(losses.map((x) => (x - average) ** 2)));
    close(average, risk(diagonal, spread, N), (5 * sd) / Math.sqrt(losses.length), 'loss of a step');
  }
  // the layer itself, with the closed form put in
  const lab = await findLab('linear-models-in-context'), run = await LabRun.create({ ...lab, arms: (config) => (lab.arms?.(config) ?? []).slice(1, 2) }, { core, config: { steps: 1, dims: 3, pairs: N } });
  const params = run.params(0), lambda = Float64Array.of(2, 1, 0.5), want = optimum(lambda, N);
  params.get('attn.kq').set((/** @type {number} */ i) => (i % 5 || i === 15 ? 0 : want[i / 5] / 2));
  params.get('attn.pv').set((/** @type {number} */ i) => (i === 15 ? 2 : 0));
  await run.advance();
  const at = (/** @type {string} */ key) => run.results()[0].series[key][0][1];
  close(at('loss'), risk(want, lambda, N), 1e-5, 'loss');
  assert.deepEqual([at('off'), at('others'), at('value')], [0, 0, 2]);
  close(at('diagonal'), 1, 1e-6, 'diagonal');
  close(at('distance'), 0, 1e-6, 'distance');
  close(run.results()[0].last.weights, risk(want, lambda, N), 0.5, 'a step later, w twice as large');
  run.dispose();
});

test('active and dormant heads: the reduced model, and what is read off it', async () => {
  const lab = await findLab('active-dormant-heads'), T = 9, V = 6, B = 4;
  const run = await LabRun.create(lab, { core, config: { steps: 3, symbols: V, count: 2, length: T, batch: B, width: 3 } });
  await run.advance({ steps: 1 });
  const { chain, triggers, train, watch } = run.made(0), [arm] = run.results(), params = run.params(0);
  const often = chain.stationary();
  assert.ok(triggers.every((x) => [...often.keys()].every((y) => triggers.includes(y) || often[y] <= often[x])));
  assert.deepEqual(mostFrequent(markov(new Rng(1), { symbols: 3, order: 1 }), 3).length, 3);

  // what the step reported, of the batch that it saw
  const { tokens, triggered } = train.rows, a = train.pattern.read(), loss = train.losses.read(), lists = { triggerLoss: [], startTrigger: [], back: [], ordinaryLoss: [], start: [] };
  for (let b = 0; b < B; b++)
    for (let t = 1; t < T; t++) {
      const x = tokens[b * (T + 1) + t], at = (k) => a[(b * T + t) * T + k];
      if (triggers.includes(x) && t > 1) {
        assert.equal(triggered[b * (T + 1) + t], 1);
        assert.equal(tokens[b * (T + 1) + t + 1], tokens[b * (T + 1) + t - 1]);
        lists.triggerLoss.push(loss[b * T + t]);
        lists.startTrigger.push(at(0));
        lists.back.push(at(t - 1));
      } else if (!triggers.includes(x)) {
        lists.ordinaryLoss.push(loss[b * T + t]);
        lists.start.push(at(0));
      }
    }
  assert.ok(lists.back.length > 3 && lists.start.length > 3);
  for (const [key, values] of Object.entries(lists)) close(arm.series[key][0][1], mean(values), 1e-6, key);

  // the model, from its formula
  watch.g.run();
  const value = (name) => params.get(name).read(), [q, k, values, distance] = ['q', 'k', 'values', 'distance'].map(value);
  for (let b = 0; b < 3; b++)
    for (let t = 0; t < T; t++) {
      const row = watch.rows.tokens.subarray(b * (T + 1), (b + 1) * (T + 1)), x = row[t];
      const scores = Array.from({ length: t + 1 }, (_, j) => [0, 1, 2].reduce((sum, i) => sum + q[x * 3 + i] * k[row[j] * 3 + i], 0) / Math.sqrt(3) + distance[x * T + t - j]), total = scores.reduce((sum, s) => sum + Math.exp(s), 0);
      const logits = Array.from({ length: V }, (_, y) => (x === V || triggers.includes(x) ? -Math.log(V) : Math.log(chain.rows[x * V + y])) + scores.reduce((sum, s, j) => sum + (Math.exp(s) / total) * values[row[j] * V + y], 0));
      close(watch.losses.value[b * T + t], Math.log(logits.reduce((sum, l) => sum + Math.exp(l), 0)) - logits[row[t + 1]], 1e-5, `loss at ${b}, ${t}`);
    }
  await run.play();
  const norms = Array.from({ length: V + 1 }, (_, x) => Math.hypot(...value('values').subarray(x * V, (x + 1) * V)));
  close(run.results()[0].last.drain, norms[V] / mean(norms.slice(0, V)), 1e-5, 'drain');
  run.dispose();

  const full = await LabRun.create(lab, { core, config: { steps: 1, symbols: V, length: T, batch: B, width: 8, model: 'full', layers: 2, start: false } });
  await full.play();
  for (const { last } of full.results()) {
    assert.ok(Object.values(last).every(Number.isFinite), JSON.stringify(last));
    assert.equal(last.start, 0, 'the start token is hidden');
  }
  full.dispose();
});
