// Induction heads (Olsson et al. 2022): attention-only models of two layers and of one read blocks of random tokens that come again. With two layers the loss on the copies drops all at once, when a
// head appears that looks for the present token further back and reads what followed it; one layer alone cannot make such a head.
//
// Measured at the defaults, seeds 1, 2, 3 (10 s of one core): loss on the copies, two layers 0.512, 0.542, 0.505, with a score of 0.754, 0.745, 0.760; the steepest fall 8 steps from where the score is half
// of that, at about step 250; one layer 2.55, 2.51, 2.48; with the induction heads silent 1.08, 1.03, 0.98 of the loss at the start; the shifted layer is below half of ln V 128, 128, 176 steps earlier.
import { CopyNet } from '../lab/copying.js';
import { above, atLeast, atMost, below, defineLab, firstAbove, firstBelow, largest, steepestFall } from '../lab/index.js';

const SYMBOLS = 32, LENGTH = 32, TESTS = 64, FALL = 40;
const HALF = Math.log(SYMBOLS) / 2; // half of what a guess costs
const BLOCKS = { symbols: SYMBOLS, least: 6, most: 16 };

/** A change of one layer's heads: those are silent. @param {number[]} dims of hook_z, [batch, heads, T, width] @param {number[]} heads */
function silence([B, H, T, E], heads) {
  return { scale: Float32Array.from({ length: B * H * T * E }, (_, i) => Number(!heads.includes(Math.floor(i / (T * E)) % H))) };
}

export default defineLab({
  id: 55,
  name: 'induction-heads',
  title: 'Induction heads appear all at once',
  claim: 'A model of two attention layers learns to go on with a text that comes again in a sudden drop of the loss on its copies, at the time when induction heads form: heads that look for the present token further back and attend to what followed it. A model of one layer cannot form them, and its loss does not drop so.',
  published: 'In language models with two layers or more, in-context learning appears in a short phase change early in training, at the same time as induction heads; models with one layer have neither. One layer with smeared keys, which carry the token before, has it too.',
  source: 'Olsson, Elhage, Nanda et al. (2022), In-context Learning and Induction Heads, Transformer Circuits Thread, https://transformer-circuits.pub/2022/in-context-learning-and-induction-heads/',
  notes: [
    'Blocks of 6 to 16 random tokens out of 32 fill rows of 32 tokens; lengths differ from row to row, so that no fixed distance helps. Some tokens of a copy cannot be known: the first one of the second copy, and those behind a token that stands twice in its block.',
    'Embeddings begin with a standard deviation of 1. With the usual 0.02 the change came at about step 500 with seed 1, and not within 640 steps with seeds 2 and 3.',
    'A bias for each head and distance makes the drop early and clean. With learned positions it came at about step 400 (loss 0.59 at the end, seed 1), with rotary ones at about 370 (0.61); without positions it did not come: 2.33, score 0.28.',
    'The published phase change is of language models on natural text; here the text is nothing but copies.',
  ],
  config: {
    steps: { value: 640, min: 1, max: 5000, label: 'steps of each arm' },
    rate: { value: 3e-3, min: 0, max: 0.1, label: 'learning rate', live: true, log: true },
    batch: { value: 32, min: 1, max: 256, label: 'rows in a batch' },
    width: { value: 32, min: 4, max: 128, label: 'width of the residual stream' },
    heads: { value: 2, min: 1, max: 8, label: 'heads in a layer' },
    positions: { value: 'distance', choices: ['distance', 'learned', 'rope', 'none'], label: 'positions', help: 'Break it: without positions heads that look back by one do not form, and neither do induction heads.' },
    embedSpread: { value: 1, min: 0, max: 4, label: 'spread of the first embeddings', help: 'Their standard deviation. With 0.02, as is usual, what the first layer adds drowns the token itself, and the heads form late or not at all.' },
    every: { value: 16, min: 1, max: 1000, label: 'steps between measurements' },
  },
  presets: { quick: { steps: 304 }, full: {} },
  arms: () => [{ name: 'two layers', config: { layers: 2, shift: false } }, { name: 'one layer', config: { layers: 1, shift: false } }, { name: 'one layer, keys and values shifted', config: { layers: 1, shift: true } }],

  setup(run) {
    const { batch, width, heads, positions, embedSpread, layers, shift } = run.config;
    const options = { length: LENGTH, vocab: SYMBOLS, width, heads, layers, positions, mlp: 0, kvShift: shift, embedSpread };
    const train = new CopyNet(run.params, { ...options, batch, hooks: false }), watch = new CopyNet(run.params, { ...options, batch: TESTS });
    run.params.group('*', { decay: 0 });
    run.params.group('*.weight', { decay: 1 });
    run.params.group('*embed.weight', { decay: 0 });
    train.graph.train(train.losses.mean());
    watch.graph.ready();
    watch.feed(run.fresh('test'), BLOCKS);
    return { train, watch };
  },

  step(run, { train }) {
    train.feed(run.rng('data'), BLOCKS);
    const loss = train.graph.step({ rule: 'adamw', rate: run.config.rate, decay: 0.01, clip: 1 });
    return { loss, batchLate: train.split().late };
  },

  measure(run, { watch }) {
    const { graph } = watch, last = run.config.layers - 1;
    graph.run();
    const { early, late } = watch.split(), { induction } = watch.heads(last), { previous } = watch.heads(0);
    const best = largest(induction), before = largest(previous);
    /** @type {any} */ const out = {
      early, late, context: late - early, score: induction[best], previous: previous[before],
      pictures: { induction: watch.picture(last, best), previous: watch.picture(0, before) },
    };
    if (last) {
      const found = [...induction.keys()].filter((h) => induction[h] >= induction[best] / 2), z = `blocks.${last}.attn.hook_z`;
      graph.patch(z, silence(graph.get(z).dims, found));
      graph.run();
      out.without = watch.split().late;
      graph.patch(z, null);
    }
    return out;
  },

  series: {
    loss: { label: 'loss', unit: 'nats' }, batchLate: { label: 'loss on the copies, training batches', unit: 'nats' },
    late: { label: 'loss on the copies', unit: 'nats' }, early: { label: 'loss on the first block', unit: 'nats' }, context: { label: 'in-context score: copies minus first block', unit: 'nats' },
    score: { label: 'prefix-matching score of the best head' }, previous: { label: 'previous-token score of the best head of the first layer' }, without: { label: 'loss on the copies without the induction heads', unit: 'nats' },
  },
  plots: [
    { type: 'line', series: ['late'], title: 'Loss on the copies', y: 'nats' },
    { type: 'line', series: ['score'], title: 'Prefix-matching score of the best head of the last layer', y: 'attention' },
    { type: 'line', series: ['previous'], title: 'Previous-token score of the best head of the first layer', y: 'attention' },
    { type: 'line', series: ['late', 'early', 'without'], arms: ['two layers'], title: 'The loss on the copies, and with the induction heads taken out', y: 'nats' },
    { type: 'line', series: ['context'], title: 'In-context score', y: 'nats' },
    { type: 'heat', picture: 'induction', title: 'The head that matches prefixes best: which key (column) each query (row) looks at' },
    { type: 'heat', picture: 'previous', title: 'The head of the first layer that looks back by one most' },
  ],
  headline: ([two]) => ({ label: 'loss on the copies, two layers', value: two.last.late, unit: 'nats' }),
  verdict: ([two, one, shifted]) => {
    const drop = steepestFall(two.series.late, FALL), half = firstAbove(two.series.score, two.last.score / 2);
    return [
      below('loss on the copies, two layers', two.last.late, 1),
      atLeast('prefix-matching score, two layers', two.last.score, 0.5),
      atMost('steps between the steepest fall and the score at half its final value', Math.abs(drop - half), 100),
      above('loss on the copies, one layer', one.last.late, 1.5),
      atLeast('loss on the copies without the induction heads, in units of that at the start', two.last.without / two.series.late[0][1], 0.8),
      below('steps to half of ln V, one shifted layer minus two layers', firstBelow(shifted.series.late, HALF) - firstBelow(two.series.late, HALF), 0),
    ];
  },
});
