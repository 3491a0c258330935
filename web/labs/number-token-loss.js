// A loss that knows which number tokens are near each other.
import { defineLab } from '../lab/define.js';
import { numberOf, products } from '../lab/data.js';
import { atLeast, atMost, largest } from '../lab/measures.js';
import { transformer } from '../net/models.js';
import { schedules } from '../net/schedules.js';

const BATCH = 64, ASKED = 512, DIGITS = 10, SEEDS = 3, KINDS = /** @type {const} */ (['ce', 'was', 'mse']);
const NAMES = { ce: 'cross-entropy alone', was: 'with Wasserstein-1', mse: 'with squared error' };

/** The mean of a series' last values over the arms of a kind. @param {import('../lab/define.js').ArmResult[]} arms @param {string} kind @param {string} key */
const mean = (arms, kind, key) => {
  const of = arms.filter((a) => a.config.kind === kind);
  return of.reduce((sum, a) => sum + (a.last[key] ?? NaN), 0) / of.length;
};

export default defineLab({
  id: 221,
  name: 'number-token-loss',
  title: 'Number token loss',
  claim: 'Cross-entropy does not know that 7 is nearer to 8 than to 2. Adding the distance between the predicted and the true number, over the number tokens alone, makes answers both nearer and more often right.',
  published: 'Added to cross-entropy (weight 0.3), both forms of the loss improved a T5 on arithmetic at no cost elsewhere; the Wasserstein form worked best.',
  source: 'Zausinger et al. 2024, Regress, Don’t Guess: A Regression-like Loss on Number Tokens for Language Models (arXiv:2411.02083)',
  notes: [
    'The first two digits of the product of two two-digit numbers, most significant first: hard enough that errors have a size.',
    'The softmax of the extra loss runs over the ten digits only, and only where a digit is the target; for a one-hot target Wasserstein-1 is the expected distance.',
    'Three runs of each loss are compared by their means: single runs of so small a model differ by a third.',
  ],
  config: {
    steps: { value: 800, min: 20, max: 10000, label: 'steps' },
    every: { value: 100, min: 10, max: 1000, label: 'steps between measurements' },
    rate: { value: 3e-3, min: 1e-5, max: 0.1, label: 'learning rate', live: true, log: true },
    weight: { value: 0.3, min: 0, max: 5, label: 'weight of the extra loss', live: true, help: 'With 0 all three losses are the same: the effect is gone.' },
  },
  presets: { quick: { steps: 60, every: 60 }, full: {} },
  arms: () => KINDS.flatMap((kind) => Array.from({ length: SEEDS }, (_, seed) => ({ name: `${NAMES[kind]}, run ${seed + 1}`, config: { kind }, seed }))),
  setup(run) {
    const shape = products(run.fresh('shape'), { count: 1 }), T = shape.length - 1, n = shape.answerTokens;
    const model = (/** @type {number} */ batch) => {
      const g = run.params.graph(), tokens = g.index('tokens', [batch, T]), next = g.index('next', [batch, T]), targets = g.index('targets', [batch, n]);
      const { logits } = transformer(g, tokens, { vocab: shape.symbols, width: 48, layers: 2, heads: 2, hooks: false });
      return { g, tokens, next, targets, all: logits, logits: logits.cut(1, shape.answerAt - 1, n) };
    };
    const train = model(BATCH), { g } = train, whole = train.all.crossEntropy(train.next).mean(), entropy = train.logits.crossEntropy(train.targets).mean();
    const share = g.input('weight', [1]), p = train.logits.cut(2, 0, DIGITS).softmax();
    // |i - j| for each digit and target; (i - j) is linear in p, so the squared error is the square of its mean.
    const away = g.constant(Float32Array.from({ length: DIGITS * DIGITS }, (_, i) => (i % DIGITS) - Math.floor(i / DIGITS)), [DIGITS, DIGITS]).take(train.targets);
    const { kind } = run.config;
    const extra = kind === 'was' ? p.mul(away.abs()).sum(-1).mean() : kind === 'mse' ? p.mul(away).sum(-1).square().mean() : null;
    entropy.keep();
    g.train(extra ? whole.add(extra.mul(share)) : whole);
    const ask = model(ASKED);
    ask.logits.keep();
    ask.g.ready();
    return { train, ask, entropy, share, shape, T, test: products(run.fresh('test'), { count: ASKED }) };
  },
  step(run, { train, entropy, share, T, shape }) {
    feed(train, products(run.rng('data'), { count: BATCH }).tokens, BATCH, T, shape.answerTokens);
    share.set([run.config.weight]);
    train.g.step({ rule: 'adamw', rate: run.config.rate * schedules.cosine({ steps: run.config.steps, floor: 0.05 })(run.step), decay: 0.01, clip: 1 });
    return { loss: entropy.item() };
  },
  measure(run, { ask, T, shape, test }) {
    const n = shape.answerTokens, V = shape.symbols;
    // Greedy decoding: the first digit of the answer is put in before the second one is asked for.
    const rows = new Int32Array(test.tokens);
    for (let k = 0; k < n; k++) {
      feed(ask, rows, ASKED, T, n);
      ask.g.run();
      const logits = ask.logits.value;
      for (let i = 0; i < ASKED; i++) rows[i * (T + 1) + shape.answerAt + k] = largest(logits.subarray((i * n + k) * V, (i * n + k) * V + DIGITS));
    }
    let error = 0, right = 0;
    const bars = new Float64Array(DIGITS);
    for (let i = 0; i < ASKED; i++) {
      const found = numberOf(rows.subarray(i * (T + 1) + shape.answerAt, (i + 1) * (T + 1)), DIGITS, 'most'), off = Math.abs(found - test.answer[i]);
      error += off;
      right += Number(off === 0);
      bars[Math.min(off, DIGITS - 1)]++;
    }
    return { error: error / ASKED, exact: right / ASKED, pictures: { off: { bars: Array.from(bars, (_, i) => (i < DIGITS - 1 ? String(i) : `${i}+`)), values: bars.map((c) => c / ASKED) } } };
  },
  series: { loss: { label: 'cross-entropy of the answer', unit: 'nats' }, error: { label: 'mean absolute error' }, exact: { label: 'answers exactly right' } },
  plots: [
    { type: 'line', series: ['error'], title: 'How far off' },
    { type: 'line', series: ['exact'], title: 'How often right', y: 'share' },
    { type: 'line', series: ['loss'], title: 'Cross-entropy' },
    { type: 'bar', picture: 'off', title: 'Distance from the right answer', y: 'share', arms: KINDS.map((kind) => `${NAMES[kind]}, run 1`) },
  ],
  headline: (arms) => ({ label: 'mean absolute error with Wasserstein-1 over that of cross-entropy alone', value: mean(arms, 'was', 'error') / mean(arms, 'ce', 'error') }),
  verdict: (arms) => [
    atMost('error with Wasserstein-1, as a share of cross-entropy’s', mean(arms, 'was', 'error') / mean(arms, 'ce', 'error'), 0.85),
    atMost('error with squared error, as a share of cross-entropy’s', mean(arms, 'mse', 'error') / mean(arms, 'ce', 'error'), 0.85),
    atLeast('exactly right, Wasserstein-1 minus cross-entropy', mean(arms, 'was', 'exact') - mean(arms, 'ce', 'exact'), 0),
    atLeast('exactly right, squared error minus cross-entropy', mean(arms, 'mse', 'exact') - mean(arms, 'ce', 'exact'), 0),
  ],
});

/** @param {any} net @param {Int32Array} rows @param {number} count @param {number} T @param {number} n answer tokens, at the end of a row */
function feed(net, rows, count, T, n) {
  const inputs = new Int32Array(count * T), next = new Int32Array(count * T), targets = new Int32Array(count * n);
  for (let i = 0; i < count; i++) {
    inputs.set(rows.subarray(i * (T + 1), i * (T + 1) + T), i * T);
    next.set(rows.subarray(i * (T + 1) + 1, (i + 1) * (T + 1)), i * T);
    targets.set(rows.subarray((i + 1) * (T + 1) - n, (i + 1) * (T + 1)), i * n);
  }
  net.tokens.set(inputs);
  net.next.set(next);
  net.targets.set(targets);
}
