// KV shifting attention (Xu et al. 2024): keys and values are mixed with those of the row before, by two learned shares each and head,
//
//   K'_i = a1 K_i + a2 K_(i-1),   V'_i = b1 V_i + b2 V_(i-1),   at first a1, b1 ~ U(0, 1), a2 = 1 - a1, b2 = 1 - b1
//
// One layer then does what otherwise takes two, to go on with a text that comes again: with (a1, b1) = (0, 1) the key of a token says what came before it, and its value what it is.
//
// Measured at the defaults, seeds 1, 2, 3 (20 s of one core): all four starts of each at 0.4 or less at step 400; the last one below half of ln V at step 60, 120, 120; plain 2.39, 2.33, 2.26;
// text, shifted minus plain: -0.187, -0.256, -0.026 nats a byte. Every best head ends within 0.01 of a1 = 0, with b1 between 0.87 and 1.22.
import { transformer } from '../net.js';
import { CopyNet } from '../lab/copying.js';
import { atLeast, atMost, defineLab, firstBelow, largest, nextTokens, symbols, valueAt, windows } from '../lab/index.js';

const SYMBOLS = 32, LENGTH = 32, TESTS = 64;
const BLOCKS = { symbols: SYMBOLS, least: 6, most: 16 };
const HALF = Math.log(SYMBOLS) / 2; // half of what a guess costs
const EARLY = 400; // the step at which three of four starts must have it
const TEXT = 'prose', TEXT_LENGTH = 64, TEXT_TESTS = 32, HELD_OUT = 0.1;

/** A language model of two layers that reads windows of a text. */
class TextNet {
  /** @param {any} run @param {number} batch @param {number} vocab @param {Int32Array} ids what the windows are cut from */
  constructor(run, batch, vocab, ids) {
    const { width, heads, shift } = run.config, g = (this.graph = /** @type {import('../net/graph.js').Graph} */ (run.params.graph()));
    this.batch = batch;
    this.ids = ids;
    this.tokens = g.index('tokens', [batch, TEXT_LENGTH]);
    this.targets = g.index('targets', [batch, TEXT_LENGTH]);
    this.loss = transformer(g, this.tokens, { vocab, width, heads, layers: 2, positions: 'learned', kvShift: shift, hooks: false }).logits.crossEntropy(this.targets).mean().keep();
  }
  /** @param {import('../lab/rng.js').Rng} rng */
  feed(rng) {
    const { inputs, targets } = nextTokens(windows(rng, this.ids, { batch: this.batch, length: TEXT_LENGTH + 1 }), TEXT_LENGTH + 1);
    this.tokens.set(inputs);
    this.targets.set(targets);
  }
}

export default defineLab({
  id: 218,
  name: 'kv-shifting-attention',
  title: 'Shifted keys and values: induction in one layer',
  claim: 'With keys and values that are mixed with those of the token before, by four learned numbers in each head, one layer of attention learns to go on with a text that comes again; plain attention needs two layers for it. In a language model the mixing does no harm.',
  published: 'One layer with shifted keys and values learns induction as well as two plain layers in the same number of steps, and at smaller width; language models of up to 19 billion parameters train better with it. The ideal one-layer head has keys from the token before and values from the present one.',
  source: 'Xu, Cheng, Wang & Chen (2024), KV Shifting Attention Enhances Language Modeling, arXiv:2411.19574',
  notes: [
    'Starts 1 to 4 of a run use its seed and the three that follow. The shares a1 and b1 go to the ideal point (0, 1) by themselves; a start with b1 near 0 and a1 near 1 takes longest.',
    'The language model reads the bundled guides of this package, 60 kB, of which the last tenth is held out. In the first 100 to 200 steps shifting is behind by up to 0.1 nats, afterwards ahead.',
    'When keys are not shifted, only values, the loss on the copies stays where plain attention has it (2.37, seed 1).',
    'Nothing here says how it goes on at the sizes that were published.',
  ],
  texts: [TEXT],
  config: {
    steps: { value: 600, min: 1, max: 5000, label: 'steps of each arm on blocks' },
    textSteps: { value: 400, min: 1, max: 5000, label: 'steps of each arm on text' },
    rate: { value: 3e-3, min: 0, max: 0.1, label: 'learning rate', live: true, log: true },
    batch: { value: 32, min: 1, max: 256, label: 'rows in a batch' },
    width: { value: 32, min: 4, max: 128, label: 'width of the residual stream' },
    heads: { value: 2, min: 1, max: 8, label: 'heads' },
    starts: { value: 4, min: 1, max: 8, label: 'random starts', help: 'How soon it is learned depends on the first values of the shares.' },
    keys: { value: 'shifted', choices: ['shifted', 'own'], label: 'keys', help: 'Break it: when each key is the token\'s own, no head can know what came before a key.' },
    every: { value: 20, min: 1, max: 1000, label: 'steps between measurements' },
  },
  presets: { quick: { steps: 200, starts: 1, textSteps: 40 }, full: {} },
  arms: ({ starts, textSteps: steps }) => [
    ...Array.from({ length: starts }, (_, seed) => ({ name: `shifted, start ${seed + 1}`, seed, config: { shift: true, data: 'blocks' } })),
    { name: 'plain', config: { shift: false, data: 'blocks' } },
    { name: 'text, shifted', config: { shift: true, data: 'text', steps } },
    { name: 'text, plain', config: { shift: false, data: 'text', steps } },
  ],

  setup(run) {
    const { data, batch, width, heads, shift, keys } = run.config, { params } = run;
    /** @type {CopyNet | TextNet} */ let train;
    /** @type {CopyNet | TextNet} */ let watch;
    if (data === 'text') {
      const { ids, bytes } = symbols(run.texts(TEXT)), cut = Math.floor(ids.length * (1 - HELD_OUT));
      train = new TextNet(run, Math.ceil(batch / 2), bytes.length, ids.subarray(0, cut));
      watch = new TextNet(run, TEXT_TESTS, bytes.length, ids.subarray(cut));
      watch.feed(run.fresh('test'));
      train.graph.train(train.loss);
    } else {
      const options = { length: LENGTH, vocab: SYMBOLS, width, heads, layers: 1, positions: /** @type {const} */ ('learned'), mlp: 0, kvShift: shift };
      train = new CopyNet(params, { ...options, batch, hooks: false });
      watch = new CopyNet(params, { ...options, batch: TESTS, hooks: false });
      watch.patterns[0].keep();
      watch.feed(run.fresh('test'), BLOCKS);
      train.graph.train(train.losses.mean());
    }
    params.group('*', { decay: 0 });
    params.group('*.weight', { decay: 1 });
    params.group('*embed.weight', { decay: 0 });
    if (shift && keys === 'own') {
      for (const [glob, value] of /** @type {const} */ ([['*.a1', 1], ['*.a2', 0]])) {
        for (const p of params.list(glob)) p.set(value);
        params.group(glob, { frozen: true });
      }
    }
    watch.graph.ready();
    const first = shift ? shares(params) : null;
    return { train, watch, first };
  },

  step(run, { train }) {
    if (train instanceof TextNet) train.feed(run.rng('data'));
    else train.feed(run.rng('data'), BLOCKS);
    const loss = train.graph.step({ rule: 'adamw', rate: run.config.rate, decay: 0.01, clip: 1 });
    return /** @type {Record<string, number>} */ (train instanceof TextNet ? { textLoss: loss } : { loss, batchLate: train.split().late });
  },

  measure(run, { watch, first }) {
    watch.graph.run();
    if (watch instanceof TextNet) return { text: watch.loss.item() };
    const { late, early } = watch.split(), { induction } = watch.heads(0), best = largest(induction);
    /** @type {any} */ const out = { late, early, score: induction[best], pictures: { pattern: watch.picture(0, best) } };
    if (first) {
      const now = shares(run.params), heads = now.a.length;
      out.a = now.a[best];
      out.b = now.b[best];
      out.pictures.shares = {
        x: [...first.a, ...now.a, 0], y: [...first.b, ...now.b, 1], groups: [...Array(heads).fill(0), ...Array(heads).fill(1), 2], groupNames: ['at first', 'now', 'ideal'],
        labels: [...now.a.keys(), ...now.a.keys()].map((h) => `head ${h + 1}`).concat('ideal'),
      };
    }
    return out;
  },

  series: {
    loss: { label: 'loss', unit: 'nats' }, batchLate: { label: 'loss on the copies, training batches', unit: 'nats' }, late: { label: 'loss on the copies', unit: 'nats' }, early: { label: 'loss on the first block', unit: 'nats' },
    score: { label: 'prefix-matching score of the best head' }, a: { label: 'a1 of that head: the share of the token\'s own key' }, b: { label: 'b1 of that head: the share of the token\'s own value' },
    textLoss: { label: 'loss on text, training batches', unit: 'nats' }, text: { label: 'loss on text that is held out', unit: 'nats' },
  },
  plots: [
    { type: 'line', series: ['late'], title: 'Loss on the copies', y: 'nats' },
    { type: 'line', series: ['score'], title: 'A head that matches prefixes forms', y: 'attention' },
    { type: 'line', series: ['a'], title: 'a1 of the best head: the ideal is 0', y: 'share' },
    { type: 'line', series: ['b'], title: 'b1 of the best head: the ideal is 1', y: 'share' },
    { type: 'scatter', picture: 'shares', title: 'Shares of each head', x: 'a1', y: 'b1' },
    { type: 'heat', picture: 'pattern', title: 'The head that matches prefixes best: which key (column) each query (row) looks at' },
    { type: 'line', series: ['text'], title: 'A language model of two layers', y: 'nats a byte' },
  ],
  headline: ([first]) => ({ label: `loss on the copies at step ${EARLY}, one shifted layer`, value: valueAt(first.series.late, EARLY), unit: 'nats' }),
  verdict: (arms) => {
    const named = (/** @type {string} */ name) => arms.filter((arm) => arm.name.startsWith(name)), starts = named('shifted'), [plain] = named('plain'), [shifted] = named('text, shifted'), [unshifted] = named('text, plain');
    return [
      atLeast(`starts with a loss on the copies of 0.4 or less at step ${EARLY}, of ${starts.length}`, starts.filter(({ series }) => valueAt(series.late, EARLY) <= 0.4).length, Math.ceil(0.75 * starts.length)),
      atMost('step at which the last start is below half of ln V', Math.max(...starts.map(({ series }) => firstBelow(series.late, HALF))), 600),
      atLeast('loss on the copies, plain', plain.last.late, 1.5),
      atMost('loss on text, shifted minus plain', shifted.last.text - unshifted.last.text, 0.005),
    ];
  },
});

/** The shares of the first layer's heads. @param {any} params @returns {{a: Float32Array, b: Float32Array}} a1 and b1 */
function shares(params) {
  return { a: params.get('blocks.0.attn.a1').read(), b: params.get('blocks.0.attn.b1').read() };
}
