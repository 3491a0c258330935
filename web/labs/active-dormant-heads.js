// Active and dormant heads (Guo et al. 2024): text of bigrams, in which a trigger makes the token before it come again. The one head that is trained has nothing to do except behind triggers: it copies
// there, and elsewhere looks at the start token, whose value fades away. Logits of attention to it and fading drive each other on.
//
// The reduced model: logits = log P[x_t], known and frozen (uniform for triggers), plus what one head reads:
//   sum over j <= t of a_tj Val[x_j],   a_t = softmax over j of q[x_t].k[x_j] / sqrt(d) + D[x_t, t - j]
// The full one is a transformer that has to learn the bigrams too.
//
// Measured at the defaults, seeds 1, 2, 3 (9 s of one core). Adam: loss behind triggers 0.052, 0.057, 0.088; attention to the start token 0.995, 0.992, 0.992 from ordinary tokens and 0.0001 or less from
// triggers; length of its value 0.014, 0.014, 0.018 of the others. ReLU: 0.003, 0.002, 0.003 and a loss of 0.017, 0.019, 0.020. SGD: length 0.54, 0.64, 0.74.
import { causalMask, transformer } from '../net.js';
import { atLeast, atMost, backcopy, defineLab, lastMean, markov, nextTokens } from '../lab/index.js';

/** @typedef {import('../net/graph.js').Graph} Graph */
/** @typedef {import('../net/graph.js').Tensor} Tensor */
/** @typedef {import('../lab/data.js').Chain} Chain */

const TESTS = 64, LAST = 100;

/** The most frequent symbols of a chain. @param {Chain} chain @param {number} count @returns {number[]} */
export function mostFrequent(chain, count) {
  const often = chain.stationary();
  return [...often.keys()].sort((a, b) => often[b] - often[a]).slice(0, count);
}

/** Scores by distance, [B, T, T] with column t - j, as scores by key, with column j; what lies behind the query is anything. @param {Tensor} x */
function byKey(x) {
  const [B, T] = x.dims;
  return x.graph.constant(new Float32Array(B * T), [B, T, 1]).concat(x.flip(2), 2).reshape([B, T + 1, T]).cut(1, 1, T);
}

/** @typedef {{logits: Tensor, pattern: Tensor, scores: Tensor, values: Tensor, residual: Tensor | null}} Net logits: [B, T, V]; pattern, scores: B x T x T; values: what the head reads, B x T x any width */

/** @param {Graph} g @param {import('../net/graph.js').Index} tokens [B, T] @param {Chain} chain @param {number[]} triggers @param {any} config @returns {Net} */
function reduced(g, tokens, chain, triggers, { width, attention, start }) {
  const [, T] = tokens.dims, V = chain.symbols;
  const known = g.constant(Float32Array.from({ length: (V + 1) * V }, (_, i) => (i < V * V && !triggers.includes(Math.floor(i / V)) ? Math.log(chain.rows[i]) : -Math.log(V))), [V + 1, V]);
  const q = g.param('q', [V + 1, width], { normal: 0.1 }).take(tokens), k = g.param('k', [V + 1, width], { normal: 0.1 }).take(tokens);
  const values = g.param('values', [V + 1, V], { normal: 1 }).take(tokens);
  const scores = q.matmul(k, { tb: true, scale: 1 / Math.sqrt(width) }).add(byKey(g.param('distance', [V + 1, T]).take(tokens))).add(seen(g, T, start));
  const pattern = attention === 'softmax' ? scores.softmax() : scores.relu().mul(g.constant(Float32Array.from({ length: T }, (_, t) => 1 / (t + 1)), [T, 1]));
  return { logits: known.take(tokens).add(pattern.matmul(values)), pattern, scores, values, residual: null };
}

/** @param {Graph} g @param {import('../net/graph.js').Index} tokens [B, T] @param {Chain} chain @param {any} config @returns {Net} */
function full(g, tokens, chain, { width, layers, attention, start }) {
  const [, T] = tokens.dims, V = chain.symbols;
  const { logits, patterns: [pattern] } = transformer(g, tokens, { vocab: V + 1, outputs: V, width, layers, heads: 1, attention, ...(!start && { mask: seen(g, T, start) }) });
  return { logits, pattern, scores: g.get('blocks.0.attn.hook_attn_scores'), values: g.get('blocks.0.attn.hook_v'), residual: g.get('blocks.0.hook_resid_post') };
}

/** Who sees whom: the past, and the first token only where it may be seen. @param {Graph} g @param {number} T @param {boolean} start */
const seen = (g, T, start) => (start ? causalMask(g, T) : g.constant(Float32Array.from({ length: T * T }, (_, i) => (i % T > Math.floor(i / T) || (i >= T && i % T === 0) ? -Infinity : 0)), [T, T]));

/** A net of one batch size with its loss at every place. @param {any} run @param {number} batch @param {Chain} chain @param {number[]} triggers */
function build(run, batch, chain, triggers) {
  const { length: T, model } = run.config, g = /** @type {Graph} */ (run.params.graph()), tokens = g.index('tokens', [batch, T]), targets = g.index('targets', [batch, T]);
  const net = model === 'reduced' ? reduced(g, tokens, chain, triggers, run.config) : full(g, tokens, chain, run.config), losses = net.logits.crossEntropy(targets);
  for (const value of [net.pattern, net.scores, net.values, losses]) value.keep();
  return { ...net, g, batch, T, tokens, targets, losses, rows: { tokens: new Int32Array(), triggered: new Float32Array() } };
}

/** @param {ReturnType<typeof build>} net @param {import('../lab/rng.js').Rng} rng @param {Chain} chain @param {number[]} triggers @param {boolean} first whether the loss counts what follows the start token */
function feed(net, rng, chain, triggers, first) {
  net.rows = backcopy(rng, { chain, triggers, batch: net.batch, length: net.T + 1 });
  const { inputs, targets } = nextTokens(net.rows.tokens, net.T + 1);
  net.tokens.set(inputs);
  if (!first) for (let b = 0; b < net.batch; b++) targets[b * net.T] = -1;
  net.targets.set(targets);
}

/**
 * What the head did in the last run, means over the queries: those that are triggers with a copy behind them, and those that are ordinary tokens.
 * @param {ReturnType<typeof build>} net @param {number[]} triggers
 */
function behaviour({ rows, batch, T, pattern, losses }, triggers) {
  const { tokens, triggered } = rows, a = pattern.value, loss = losses.value, sums = { triggerLoss: 0, startTrigger: 0, back: 0, ordinaryLoss: 0, start: 0 };
  let copies = 0, ordinary = 0;
  for (let b = 0; b < batch; b++)
    for (let t = 1; t < T; t++) {
      const at = b * T + t, token = b * (T + 1) + t;
      if (triggered[token]) {
        copies++;
        sums.triggerLoss += loss[at];
        sums.startTrigger += a[at * T];
        sums.back += a[at * T + t - 1];
      } else if (!triggers.includes(tokens[token])) {
        ordinary++;
        sums.ordinaryLoss += loss[at];
        sums.start += a[at * T];
      }
    }
  return { triggerLoss: sums.triggerLoss / copies, startTrigger: sums.startTrigger / copies, back: sums.back / copies, ordinaryLoss: sums.ordinaryLoss / ordinary, start: sums.start / ordinary };
}

/** Lengths of rows. @param {Float32Array} values @param {number} width */
const lengths = (values, width) => Float64Array.from({ length: values.length / width }, (_, i) => Math.hypot(...values.subarray(i * width, (i + 1) * width)));

/** The mean length of what stands at the first place, over the mean of the others. @param {Tensor} x @param {number} T */
function firstOverOthers(x, T) {
  const all = lengths(x.value, x.dims[x.dims.length - 1]), first = all.filter((_, i) => i % T === 0), sum = (/** @type {Float64Array} */ list) => list.reduce((a, b) => a + b, 0);
  return sum(first) / first.length / ((sum(all) - sum(first)) / (all.length - first.length));
}

export default defineLab({
  id: 12,
  name: 'active-dormant-heads',
  title: 'A head that sleeps on the start token',
  claim: 'A head with nothing to do on most tokens becomes dormant there: it attends to the start token, more and more, while the value of the start token fades, and each of the two drives the other. On triggers the head is active and does not look at the start token at all. With ReLU in place of softmax no such sink forms, and with plain gradient descent in place of Adam the value does not fade.',
  published: 'In the bigram-backcopy task, attention to the start token on ordinary tokens, its small value and a large residual state come from mutual reinforcement in training; the sink logit grows like the logarithm of the time. ReLU attention removes sinks, SGD in place of Adam the peaks of the residual. The same is seen in pretrained language models.',
  source: 'Guo, Pai, Bai, Jiao, Jordan & Mei (2024), Active-Dormant Attention Heads: Mechanistically Demystifying Extreme-Token Phenomena in LLMs, arXiv:2410.13835',
  notes: [
    'Bigrams of 24 symbols, Dirichlet(0.3) with a tenth of uniform; triggers are the three most frequent. Values begin with length 1.',
    'What follows the start token cannot be known, and there the head sees the start token alone: that loss makes its value fade from the first step on and helps to choose it as the place to sleep. Without that loss the sink still formed with seeds 1 and 2; with seed 3 it did not (attention 0.08, value 0.65 of the others).',
    'The bound for SGD speaks of the first part of training: at a rate of 0.5 the copying has hardly begun after 800 steps (loss behind triggers 2.9). At a rate of 1 it is learned by step 1300; then the value of the start token, still about half as long as at first (with Adam a sixth), is 0.15 to 0.19 of the others because those have grown. No sink forms in either case: attention to the start token stays at 0.076, what uniform attention gives.',
    'Weights of ReLU attention are scores divided by the number of keys, as they are; they need not sum to 1.',
    'A full transformer of width 32 solves the task with a weak sink: attention to the start token 0.39 with one layer and 0.27 with two after 1500 steps (seed 1), its value at 0.34 and 0.24 of the others, and no peak of the residual (1.0). The bounds are for the reduced model.',
  ],
  config: {
    steps: { value: 800, min: 1, max: 20000, label: 'steps', help: 'The arm with ReLU makes twice as many.' },
    rate: { value: 1e-2, min: 0, max: 1, label: 'learning rate of Adam', live: true, log: true },
    sgdRate: { value: 0.5, min: 0, max: 10, label: 'learning rate of SGD', live: true, log: true },
    batch: { value: 32, min: 1, max: 512, label: 'rows in a batch' },
    symbols: { value: 24, min: 4, max: 64, label: 'symbols (V)' },
    count: { value: 3, min: 1, max: 8, label: 'triggers (K)' },
    length: { value: 48, min: 4, max: 256, label: 'tokens in a row (T)' },
    width: { value: 32, min: 2, max: 128, label: 'width of queries and keys (d)' },
    model: { value: 'reduced', choices: ['reduced', 'full'], label: 'model', help: 'full: a transformer that learns the bigrams too; it needs several times as many steps, and with one layer it may solve the task without a sink.' },
    layers: { value: 1, min: 1, max: 3, label: 'layers of the full model' },
    start: { value: true, label: 'the start token can be seen', help: 'Break it: when nobody can look at the start token there is no sink, and ordinary tokens are disturbed by the head.' },
    first: { value: true, label: 'loss on what follows the start token', help: 'It is anybody\'s guess, and the start token sees only itself: a first reason for its value to fade.' },
    every: { value: 20, min: 1, max: 1000, label: 'steps between measurements' },
  },
  presets: { quick: { steps: 240 }, full: {} },
  arms: ({ steps }) => [{ name: 'softmax, Adam', config: { attention: 'softmax', rule: 'adam' } }, { name: 'ReLU, Adam', config: { attention: 'relu', rule: 'adam', steps: 2 * steps } }, { name: 'softmax, SGD', config: { attention: 'softmax', rule: 'sgd' } }],

  setup(run) {
    const { symbols, count, batch } = run.config, chain = markov(run.fresh('chain'), { symbols, concentration: 0.3, floor: 0.1 }), triggers = mostFrequent(chain, count);
    const train = build(run, batch, chain, triggers), watch = build(run, TESTS, chain, triggers);
    if (run.config.model === 'reduced') { // values begin with length 1: the start token's too
      const { value } = run.params.get('values');
      lengths(value, symbols).forEach((length, x) => { for (let i = 0; i < symbols; i++) value[x * symbols + i] /= length; });
    }
    train.g.train(train.losses.mean());
    watch.g.ready();
    feed(watch, run.fresh('test'), chain, triggers, true);
    return { chain, triggers, train, watch };
  },

  step(run, { chain, triggers, train }) {
    const { rule, rate, sgdRate, first } = run.config;
    feed(train, run.rng('data'), chain, triggers, first);
    const loss = train.g.step({ rule, rate: rule === 'sgd' ? sgdRate : rate });
    return { loss, ...behaviour(train, triggers) };
  },

  measure(run, { triggers, watch }) {
    const { model, symbols: V } = run.config, { g, T, batch, rows, scores, pattern, values, residual } = watch;
    g.run();
    const s = scores.value;
    let gap = 0, count = 0;
    for (let b = 0; b < batch; b++)
      for (let t = 2; t < T; t++) {
        if (triggers.includes(rows.tokens[b * (T + 1) + t])) continue;
        const row = s.subarray((b * T + t) * T, (b * T + t) * T + t + 1);
        let others = 0;
        for (let j = 1; j <= t; j++) others += row[j] / t;
        gap += row[0] - others;
        count++;
      }
    const norms = model === 'reduced' ? lengths(run.params.get('values').value, V) : null, others = norms && norms.slice(0, V).reduce((a, b) => a + b) / V;
    const tokens = Array.from(rows.tokens.subarray(0, T), (x) => (x === V ? 'start' : triggers.includes(x) ? `${x}!` : String(x)));
    return {
      ...(run.config.start && { logit: gap / count }), ...(norms && { value: norms[V] }), drain: norms && others ? norms[V] / others : firstOverOthers(values, T), ...(residual && { peak: firstOverOthers(residual, T) }),
      pictures: {
        pattern: { rows: T, cols: T, values: pattern.value.slice(0, T * T), labels: tokens, min: 0, max: 1 },
        ...(norms && { norms: { bars: Array.from(norms, (_, x) => (x === V ? 'start' : triggers.includes(x) ? `${x}!` : String(x))), values: norms } }),
      },
    };
  },

  series: {
    loss: { label: 'loss', unit: 'nats' }, triggerLoss: { label: 'loss behind triggers', unit: 'nats' }, ordinaryLoss: { label: 'loss behind ordinary tokens', unit: 'nats' },
    start: { label: 'attention to the start token from ordinary tokens' }, startTrigger: { label: 'attention to the start token from triggers' }, back: { label: 'attention of triggers to the token before' },
    logit: { label: 'score of the start token above the mean of the others, ordinary queries' }, value: { label: 'value of the start token: length' }, drain: { label: 'value of the start token: length, in units of the mean of the others' }, peak: { label: 'residual of the start token: length, in units of the mean of the others' },
  },
  plots: [
    { type: 'line', series: ['start'], title: 'Attention to the start token from ordinary tokens', y: 'attention' },
    { type: 'line', series: ['startTrigger'], title: 'Attention to the start token from triggers', y: 'attention' },
    { type: 'line', series: ['logit'], title: 'The score of the start token, above the mean of the others, on ordinary tokens', y: 'score', logX: true },
    { type: 'line', series: ['value'], title: 'The value of the start token', y: 'length', logY: true },
    { type: 'line', series: ['drain'], title: 'The value of the start token, in units of the mean of the others', y: 'share', logY: true },
    { type: 'line', series: ['triggerLoss'], title: 'Loss behind triggers', y: 'nats' },
    { type: 'line', series: ['back'], title: 'Attention of triggers to the token before', y: 'attention' },
    { type: 'heat', picture: 'pattern', title: 'Attention on one row (! marks triggers)' },
    { type: 'bar', picture: 'norms', title: 'Length of each token\'s value (! marks triggers)' },
    { type: 'line', series: ['peak'], title: 'Residual of the start token, in units of the mean of the others (full model only)', y: 'share' },
  ],
  headline: ([adam]) => ({ label: 'attention to the start token from ordinary tokens', value: lastMean(adam.series.start, LAST) }),
  verdict: ([adam, relu, sgd]) => [
    atMost('loss behind triggers', lastMean(adam.series.triggerLoss, LAST), 0.2),
    atLeast('attention to the start token from ordinary tokens', lastMean(adam.series.start, LAST), 0.15),
    atMost('attention to the start token from triggers', lastMean(adam.series.startTrigger, LAST), 0.02),
    atMost('length of the start token\'s value, in units of the others', adam.last.drain, 0.1),
    atMost('ReLU: attention to the start token from ordinary tokens', lastMean(relu.series.start, LAST), 0.02),
    atMost('ReLU: loss behind triggers', lastMean(relu.series.triggerLoss, LAST), 0.6),
    atLeast('SGD: length of the start token\'s value, in units of the others', sgd.last.drain, 0.5),
  ],
});
