// Weight decay and rare tokens: the training loss hardly moves while rare tokens are forgotten.
import { defineLab } from '../lab/define.js';
import { zipf } from '../lab/data.js';
import { atLeast, atMost, lastMean, valueAt } from '../lab/measures.js';
import { transformer } from '../net/models.js';

const SOURCES = 256, PAIRS = 16, T = 2 * PAIRS - 1, BATCH = 16, BUCKETS = 8, FREQUENT = 16;
const CONTEXTS = 4; // in which each source is asked for its follower
const LAST = 100; // steps that the training loss is averaged over

/** Rows of pairs: a source from Zipf's law, then its own follower, which no other source has. @param {import('../lab/rng.js').Rng} rng @param {number} rows @param {import('../lab/rng.js').Table} law @param {Int32Array} follower */
export function pairs(rng, rows, law, follower) {
  const tokens = new Int32Array(rows * 2 * PAIRS);
  for (let i = 0; i < tokens.length; i += 2) {
    tokens[i] = law.draw(rng);
    tokens[i + 1] = SOURCES + follower[tokens[i]];
  }
  return tokens;
}

const decays = (/** @type {import('../lab/define.js').ArmResult[]} */ arms) => ({ none: arms.find((a) => a.config.decay === 0), most: arms.find((a) => a.config.decay === 1) });
const bucket = (/** @type {number} */ i) => `bucket${i + 1}`, middle = (/** @type {number} */ i) => `middle${i + 1}`;

export default defineLab({
  id: 18,
  name: 'fair-lm-paradox',
  title: 'Weight decay and rare tokens',
  claim: 'Weight decay costs rare tokens far more than frequent ones, and the average training loss hides it: models that look equally good have unlearnt the tail of their vocabulary.',
  published: 'Across model sizes and corpora, the loss of low-frequency tokens rises steadily with weight decay while the average loss stays almost the same.',
  source: 'Gur-Arieh et al. 2024, The Fair Language Model Paradox (arXiv:2410.11985)',
  notes: [
    'Every token has one follower, so its loss is well defined: without decay all of them are learnt to nearly nothing.',
    'Half of the training loss is the draw of the next source token, which nobody can predict: about 2.12 nats of the mean stay whatever happens.',
    'Orders are compared by the middle source of each eighth: a rare token that has not been seen for some twenty steps may be pushed out altogether by Adam for a while, and one such token of 32 is a quarter of a nat in the mean.',
    'Decay is applied to every matrix, embeddings too; switch "decay embeddings" off to see how much of the effect is theirs.',
  ],
  config: {
    steps: { value: 600, min: 20, max: 5000, label: 'steps' },
    every: { value: 100, min: 10, max: 1000, label: 'steps between measurements' },
    rate: { value: 3e-3, min: 1e-5, max: 0.1, label: 'learning rate', live: true, log: true },
    decayEmbeddings: { value: true, label: 'decay embeddings', help: 'Without it, decay spares the tables of tokens: most of the harm is gone.' },
  },
  presets: { quick: { steps: 120, every: 120 }, full: {} },
  arms: () => [0, 0.1, 0.3, 1].map((decay) => ({ name: `weight decay ${decay}`, config: { decay } })),
  setup(run) {
    const { params, config } = run, law = zipf(SOURCES), follower = run.rng('init').permutation(SOURCES);
    const model = (/** @type {any} */ g, /** @type {number} */ batch) => {
      const tokens = g.index('tokens', [batch, T]), targets = g.index('targets', [batch, T]);
      const losses = transformer(g, tokens, { vocab: 2 * SOURCES, width: 32, layers: 1, heads: 2, hooks: false }).logits.crossEntropy(targets);
      return { g, tokens, targets, losses };
    };
    const train = model(params.graph(), BATCH), loss = train.losses.mean();
    train.g.train(loss);
    const ask = model(params.graph(), SOURCES); // one row for each source, which comes last
    ask.losses.keep();
    ask.g.ready();
    if (!config.decayEmbeddings) for (const name of ['embed.weight', 'unembed.weight']) params.group(name, { decay: 0 });
    const rng = run.fresh('test'), asked = Array.from({ length: CONTEXTS }, () => {
      const rows = pairs(rng, SOURCES, law, follower), contexts = new Int32Array(SOURCES * T);
      for (let s = 0; s < SOURCES; s++) {
        contexts.set(rows.subarray(s * 2 * PAIRS, s * 2 * PAIRS + T), s * T);
        contexts[s * T + T - 1] = s;
      }
      return contexts;
    });
    const wanted = new Int32Array(SOURCES * T).fill(-1);
    for (let s = 0; s < SOURCES; s++) wanted[s * T + T - 1] = SOURCES + follower[s];
    ask.targets.set(wanted);
    return { train, ask, asked, law, follower, inputs: new Int32Array(BATCH * T), targets: new Int32Array(BATCH * T) };
  },
  step(run, { train, law, follower, inputs, targets }) {
    const rows = pairs(run.rng('data'), BATCH, law, follower);
    for (let b = 0; b < BATCH; b++) {
      inputs.set(rows.subarray(b * (T + 1), b * (T + 1) + T), b * T);
      targets.set(rows.subarray(b * (T + 1) + 1, (b + 1) * (T + 1)), b * T);
    }
    train.tokens.set(inputs);
    train.targets.set(targets);
    return { loss: train.g.step({ rule: 'adamw', rate: run.config.rate, decay: run.config.decay, clip: 1 }) };
  },
  measure(run, { ask, asked }) {
    const of = new Array(SOURCES).fill(0);
    for (const contexts of asked) {
      ask.tokens.set(contexts);
      ask.g.run();
      const all = ask.losses.read();
      of.forEach((_, s) => { of[s] += all[s * T + T - 1] / CONTEXTS; });
    }
    const mean = (/** @type {number} */ from, /** @type {number} */ to) => of.slice(from, to).reduce((a, b) => a + b, 0) / (to - from);
    const table = run.params.get('embed.weight').read(), width = 32;
    const norm = (/** @type {number} */ from, /** @type {number} */ to) => Array.from({ length: to - from }, (_, i) => Math.hypot(...table.subarray((from + i) * width, (from + i + 1) * width))).reduce((a, b) => a + b, 0) / (to - from);
    const size = SOURCES / BUCKETS, values = Array.from({ length: BUCKETS }, (_, i) => mean(i * size, (i + 1) * size));
    const medians = values.map((_, i) => of.slice(i * size, (i + 1) * size).sort((a, b) => a - b)).map((sorted) => (sorted[size / 2 - 1] + sorted[size / 2]) / 2);
    return {
      ...Object.fromEntries(values.flatMap((v, i) => [[bucket(i), v], [middle(i), medians[i]]])), frequent: mean(0, FREQUENT), normFrequent: norm(0, FREQUENT), normRare: norm(SOURCES - size, SOURCES),
      pictures: { buckets: { bars: values.map((_, i) => `${i * size + 1}-${(i + 1) * size}`), values } },
    };
  },
  series: {
    loss: { label: 'training loss', unit: 'nats' }, frequent: { label: 'followers of the 16 most frequent', unit: 'nats' },
    ...Object.fromEntries(Array.from({ length: BUCKETS }, (_, i) => [[bucket(i), { label: `followers of eighth ${i + 1} by frequency`, unit: 'nats' }], [middle(i), { label: `follower of the middle source of eighth ${i + 1}`, unit: 'nats' }]]).flat()),
    normFrequent: { label: 'embedding norm, most frequent' }, normRare: { label: 'embedding norm, rarest eighth' },
  },
  plots: [
    { type: 'line', series: ['loss'], title: 'What one usually looks at: the training loss' },
    { type: 'line', series: ['frequent', bucket(BUCKETS - 1)], title: 'What it hides: frequent tokens and the rarest eighth' },
    { type: 'bar', picture: 'buckets', title: 'Loss by frequency rank of the source', y: 'nats' },
    { type: 'line', series: ['normFrequent', 'normRare'], title: 'Embeddings shrink' },
  ],
  headline: (arms) => {
    const { none, most } = decays(arms);
    return { label: 'what weight decay 1 adds to the loss of the rarest eighth', value: (most?.last[bucket(BUCKETS - 1)] ?? NaN) - (none?.last[bucket(BUCKETS - 1)] ?? NaN), unit: 'nats' };
  },
  verdict: (arms) => {
    const { none, most } = decays(arms), rise = (/** @type {string} */ key) => (most?.last[key] ?? NaN) - (none?.last[key] ?? NaN);
    const ordered = arms.filter((a) => a.config.decay >= 0.3).map((a) => {
      const losses = Array.from({ length: BUCKETS }, (_, i) => valueAt(a.series[middle(i)], Infinity));
      return Math.min(...losses.slice(1).map((v, i) => v - losses[i]));
    });
    return [
      atMost('what decay 1 adds to the training loss', lastMean(most?.series.loss ?? [], LAST) - lastMean(none?.series.loss ?? [], LAST), 0.15),
      atMost('what decay 1 adds for the 16 most frequent', rise('frequent'), 0.1),
      atLeast('what decay 1 adds for the rarest eighth', rise(bucket(BUCKETS - 1)), 0.8),
      atLeast('least step of the loss from the middle of one eighth to that of the next rarer one, decay 0.3 and more', Math.min(...ordered), 0),
    ];
  },
});
