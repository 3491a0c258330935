// Numeral systems: addition with one digit in a token against several digits in a token.
import { defineLab } from '../lab/define.js';
import { additions, gather } from '../lab/data.js';
import { atLeast, firstAbove } from '../lab/measures.js';
import { transformer } from '../net/models.js';

const BATCH = 64, ASKED = 256, POOLS = [1000, 3000, 10000, 0]; // 0: new problems at every step
const poolName = (/** @type {number} */ pool) => (pool ? `${pool} problems` : 'fresh problems');

/** @param {import('../lab/define.js').ArmResult[]} arms @param {number} base @param {number} pool @param {string} [order] */
const of = (arms, base, pool, order = 'least') => arms.find((a) => a.config.base === base && a.config.pool === pool && a.config.order === order);
/** Problems seen until nine of ten are right. @param {import('../lab/define.js').ArmResult | undefined} arm */
const samples = (arm) => (arm ? BATCH * firstAbove(arm.series.exact, 0.9 - 1e-9) : NaN);

export default defineLab({
  id: 102,
  name: 'numeral-systems-pythia',
  title: 'Numeral systems',
  claim: 'A model learns addition from fewer examples when every token is one decimal digit than when tokens hold several: the larger base has a table of all its digit pairs to learn.',
  published: 'Trained from nothing on arithmetic, base 10 was consistently more data-efficient than bases 100 and 1000, and both extrapolated to longer numbers only badly.',
  source: 'Zhou, Wang & Yang 2024, Scaling Behavior for Large Language Models regarding Numeral Systems: An Example using Pythia (arXiv:2409.17391)',
  notes: [
    'Numbers of two decimal digits: two tokens in base 10, one in base 100, whose table has ten thousand entries. Loss and accuracy are of the answer alone.',
    'A base-100 model that has not reached 90% within its steps counts with all the problems it has seen: the ratio is then a lower bound.',
    'Numbers one digit longer than those of the training are asked too: both bases fail.',
  ],
  config: {
    steps: { value: 800, min: 20, max: 10000, label: 'steps' },
    long: { value: 2400, min: 20, max: 50000, label: 'steps of the larger base on fresh problems', help: 'It learns so much more slowly that it gets three times the steps.' },
    every: { value: 30, min: 5, max: 1000, label: 'steps between measurements' },
    rate: { value: 3e-3, min: 1e-5, max: 0.1, label: 'learning rate', live: true, log: true },
    digits: { value: 2, min: 1, max: 4, label: 'decimal digits' },
    large: { value: '100', choices: ['100', '1000'], label: 'the larger base' },
  },
  presets: { quick: { steps: 80, long: 80, every: 80 }, full: {} },
  arms: (config) => [10, Number(config.large)].flatMap((base) => [
    ...POOLS.map((pool) => ({ name: `base ${base}, ${poolName(pool)}`, config: { base, pool, order: 'least', ...(pool ? {} : { steps: base === 10 ? config.steps : config.long }) } })),
    { name: `base ${base}, most significant first`, config: { base, pool: 0, order: 'most' } },
  ]),
  setup(run) {
    const { digits, base, order, pool } = run.config, options = { digits, base, order };
    const shape = additions(run.fresh('shape'), { count: 1, ...options }), T = shape.length - 1;
    const longer = additions(run.fresh('shape'), { count: 1, ...options, digits: digits + 1 }), longest = longer.length;
    const model = (/** @type {number} */ batch, /** @type {number} */ length, /** @type {number} */ answerAt, /** @type {number} */ answerTokens) => {
      const g = run.params.graph(), tokens = g.index('tokens', [batch, length]), targets = g.index('targets', [batch, answerTokens]);
      const { logits } = transformer(g, tokens, { vocab: shape.symbols, width: 48, layers: 2, heads: 2, distances: longest, hooks: false });
      return { g, tokens, targets, length, answerAt, answerTokens, logits: logits.cut(1, answerAt - 1, answerTokens) };
    };
    const train = model(BATCH, T, shape.answerAt, shape.answerTokens);
    train.g.train(train.logits.crossEntropy(train.targets).mean());
    const asked = [options, { ...options, digits: digits + 1 }].map((o, i) => {
      const s = i ? longer : shape, ask = model(ASKED, s.length - 1, s.answerAt, s.answerTokens);
      ask.logits.keep();
      ask.g.ready();
      return { ...ask, rows: additions(run.fresh('test'), { count: ASKED, ...o }).tokens };
    });
    return { train, asked, options, row: shape.length, fixed: pool ? additions(run.fresh('pool'), { count: pool, ...options }).tokens : null };
  },
  step(run, { train, options, row, fixed }) {
    const rng = run.rng('data');
    feed(train, fixed ? gather(fixed, row, rng.integers(BATCH, fixed.length / row)) : additions(rng, { count: BATCH, ...options }).tokens, BATCH);
    return { loss: train.g.step({ rule: 'adamw', rate: run.config.rate, decay: 0.01, clip: 1 }) };
  },
  measure(run, { asked }) {
    const [exact, longer] = asked.map((/** @type {any} */ ask) => {
      feed(ask, ask.rows, ASKED);
      ask.g.run();
      const logits = ask.logits.value, V = ask.logits.dims[2], n = ask.answerTokens, targets = answers(ask, ask.rows, ASKED);
      let right = 0;
      for (let i = 0; i < ASKED; i++) {
        let all = true; // greedy decoding is right if and only if each token is the likeliest after the right ones
        for (let k = 0; k < n && all; k++) {
          const at = (i * n + k) * V, wanted = logits[at + targets[i * n + k]];
          for (let v = 0; v < V && all; v++) all = logits[at + v] <= wanted;
        }
        right += Number(all);
      }
      return right / ASKED;
    });
    return { exact, longer };
  },
  series: { loss: { label: 'loss of the answer', unit: 'nats' }, exact: { label: 'answers exactly right' }, longer: { label: 'exactly right, one digit longer' } },
  plots: [
    { type: 'line', series: ['exact'], title: 'Sums of new problems, exactly right', y: 'share' },
    { type: 'line', series: ['loss'], title: 'Loss of the answer' },
    { type: 'bar', series: ['exact', 'longer'], title: 'At the end: as long as in training, and one digit longer', y: 'share' },
  ],
  headline: (arms) => ({ label: 'problems until 90% are right, the larger base over base 10 (a lower bound where it never gets there)', value: ratio(arms) }),
  verdict: (arms) => [
    ...POOLS.map((pool) => atLeast(`base 10 over the larger base, exactly right: ${poolName(pool)}`, (of(arms, 10, pool)?.last.exact ?? NaN) - (of(arms, large(arms), pool)?.last.exact ?? NaN), 0)),
    atLeast('problems until 90% are right, larger base over base 10', ratio(arms), 3),
  ],
});

const large = (/** @type {import('../lab/define.js').ArmResult[]} */ arms) => Number(arms[arms.length - 1].config.base);

function ratio(/** @type {import('../lab/define.js').ArmResult[]} */ arms) {
  const small = samples(of(arms, 10, 0)), big = of(arms, large(arms), 0);
  return Math.min(samples(big), BATCH * (big?.step ?? NaN)) / small;
}

/** The answers' tokens of rows. @param {any} net @param {Int32Array} rows @param {number} count */
function answers({ length, answerAt, answerTokens }, rows, count) {
  const out = new Int32Array(count * answerTokens);
  for (let i = 0; i < count; i++) out.set(rows.subarray(i * (length + 1) + answerAt, (i + 1) * (length + 1)), i * answerTokens);
  return out;
}

/** @param {any} net @param {Int32Array} rows @param {number} count */
function feed(net, rows, count) {
  const { length } = net, inputs = new Int32Array(count * length);
  for (let i = 0; i < count; i++) inputs.set(rows.subarray(i * (length + 1), i * (length + 1) + length), i * length);
  net.tokens.set(inputs);
  net.targets.set(answers(net, rows, count));
}
