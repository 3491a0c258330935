// In-context and in-weights answers, and what forgetting embeddings does to them (Anand, Lepori, Merullo & Pavlick 2025).
//
// Every word has a class. A frame of two tokens shows it, then it is asked for; the filler says nothing, whichever side it stands on:
//
//   is x  x ?  -> noun        x is  x ?  -> adjective        .. x  x ?   x ..  x ?  -> what class x always has
//
// In-weights, a net knows x; in context, it reads which side "is" stands on, which also works for words that it has never seen (rows of the embedding that no training sentence uses).
// Active forgetting draws the embeddings of all words anew every few steps, to the end; temporary forgetting stops half way. The three marks of the frames keep theirs unless `marks` says otherwise.
//
// Measured at the defaults, seeds 1, 2, 3: see notes.
import { Table, atLeast, atMost, defineLab } from '../lab/index.js';
import { transformer } from '../net.js';

/** @typedef {import('../lab/define.js').Run} Run */
/** @typedef {import('../lab/rng.js').Rng} Rng */

const T = 4;
const SIZE = { layers: 2, heads: 2 };
const SPREAD = 0.3; // standard deviation of embeddings at first, and when they are drawn anew
const VANILLA = 'vanilla', ACTIVE = 'active forgetting', TEMPORARY = 'temporary forgetting';

/** Ids: words that are trained, as many that never are, then the three of the frames. @param {number} words */
export const idsOf = (words) => ({ is: 2 * words, filler: 2 * words + 1, question: 2 * words + 2, count: 2 * words + 3 });

/** Writes a sentence. @param {Int32Array} to @param {number} row @param {number} word @param {number} mark "is" or the filler @param {number} side 0: the mark comes first, 1: the word @param {number} question */
function sentence(to, row, word, mark, side, question) {
  to[row * T] = side ? word : mark;
  to[row * T + 1] = side ? mark : word;
  to[row * T + 2] = word;
  to[row * T + 3] = question;
}

/**
 * Training sentences. @param {Rng} rng @param {{batch: number, table: Table, classes: ArrayLike<number>, ambiguous: ArrayLike<number>, informative: number}} options table: how often each word comes; classes: 0 noun, 1 adjective;
 *   ambiguous: 1 for words whose class is drawn anew each time; informative: share of sentences whose frame shows the class
 * @returns {{tokens: Int32Array, answers: Int32Array}} tokens: batch x 4; answers: 0 noun, 1 adjective
 */
export function sentences(rng, { batch, table, classes, ambiguous, informative }) {
  const tokens = new Int32Array(batch * T), answers = new Int32Array(batch), { is, filler, question } = idsOf(classes.length);
  for (let row = 0; row < batch; row++) {
    const word = table.draw(rng), kind = (answers[row] = ambiguous[word] ? rng.below(2) : classes[word]), shown = rng.chance(informative);
    sentence(tokens, row, word, shown ? is : filler, shown ? kind : rng.below(2), question);
  }
  return { tokens, answers };
}

/**
 * Test sentences: each word that has one class with the filler on both sides, with its frame and with the other one; each unseen word with both frames.
 * @param {ArrayLike<number>} classes @param {ArrayLike<number>} ambiguous
 * @returns {{tokens: Int32Array, answers: Int32Array, kinds: string[]}} by row; answers of "conflict" are what the frame says
 */
export function tests(classes, ambiguous) {
  const W = classes.length, { is, filler, question } = idsOf(W);
  /** @type {{kind: string, word: number, mark: number, side: number, answer: number}[]} */ const rows = [];
  for (let word = 0; word < W; word++) {
    if (ambiguous[word]) continue;
    const own = classes[word];
    for (const side of [0, 1]) rows.push({ kind: 'weights', word, mark: filler, side, answer: own });
    rows.push({ kind: 'framed', word, mark: is, side: own, answer: own }, { kind: 'conflict', word, mark: is, side: 1 - own, answer: 1 - own });
  }
  for (let word = W; word < 2 * W; word++) for (const side of [0, 1]) rows.push({ kind: 'unseen', word, mark: is, side, answer: side });
  const tokens = new Int32Array(rows.length * T);
  rows.forEach(({ word, mark, side }, i) => sentence(tokens, i, word, mark, side, question));
  return { tokens, answers: Int32Array.from(rows, ({ answer }) => answer), kinds: rows.map(({ kind }) => kind) };
}

/** Draws embeddings anew, and forgets the optimizer's moments. @param {Run} run @param {Rng} rng */
function forget({ params, config: { words, marks } }, rng) {
  const embedding = params.get('embed.weight'), count = marks ? embedding.size : 2 * words * embedding.dims[1];
  embedding.value.set(rng.normals(count, SPREAD));
  embedding.forget();
}

/** @param {any} net @param {ReturnType<typeof tests>} asked @returns {Record<'weights' | 'framed' | 'conflict' | 'unseen', number>} accuracy by kind */
function accuracy({ g, logits }, { kinds, answers }) {
  g.run();
  const y = logits.value, sums = { weights: 0, framed: 0, conflict: 0, unseen: 0 }, counts = { ...sums };
  for (const [i, kind] of /** @type {(keyof typeof sums)[]} */ (kinds).entries()) {
    counts[kind]++;
    sums[kind] += Number(Number(y[2 * i + 1] > y[2 * i]) === answers[i]);
  }
  return { weights: sums.weights / counts.weights, framed: sums.framed / counts.framed, conflict: sums.conflict / counts.conflict, unseen: sums.unseen / counts.unseen };
}

export default defineLab({
  id: 128, name: 'dual-process-forgetting', title: 'Forgetting embeddings now and then makes a model read its context',
  claim: 'A model that learns words once and for all has no strategy for words it never saw, even when the sentence says everything. Drawing all embeddings anew every few steps gives it that strategy and keeps it from knowing words; stopping half way gives both.',
  published: 'Transformers on a synthetic task and masked language models lose structural in-context learning in the course of training; active forgetting keeps it at the price of in-weights knowledge, temporary forgetting keeps both.',
  source: 'Anand, Lepori, Merullo & Pavlick 2025, "Dual Process Learning: Controlling Use of In-Context vs. In-Weights Strategies with Weight Forgetting", arXiv:2406.00053',
  notes: [],
  config: {
    steps: { value: 1200, min: 2, max: 10_000, label: 'steps' },
    rate: { value: 3e-3, min: 1e-5, max: 0.1, live: true, log: true, label: 'learning rate' },
    period: { value: 30, min: 1, max: 10_000, label: 'steps between forgetting', help: 'as many as there are steps: nothing is ever forgotten, and all three runs are the same' },
    words: { value: 64, min: 2, max: 1024, label: 'words' },
    informative: { value: 0.75, min: 0, max: 1, label: 'share of frames that show the class' },
    ambiguous: { value: 0, min: 0, max: 1, label: 'share of words with both classes' },
    zipf: { value: 0, min: 0, max: 3, label: 'Zipf exponent of the words', help: '0: all words equally often' },
    marks: { value: false, label: 'forget the marks of the frames too' },
    batch: { value: 64, min: 1, max: 1024, label: 'rows in a batch' },
  },
  presets: { quick: { steps: 240 }, full: {} },
  arms: ({ steps }) => [{ name: VANILLA, config: { until: 0 } }, { name: ACTIVE, config: { until: steps } }, { name: TEMPORARY, config: { until: Math.floor(steps / 2) } }],
  setup(run) {
    const { params, config: { words, batch, zipf, ambiguous: share } } = run, rng = run.fresh('words'), { count } = idsOf(words);
    const classes = Array.from(rng.permutation(words), (i) => i % 2), ambiguous = new Uint8Array(words), table = new Table(Float64Array.from({ length: words }, (_, r) => (r + 1) ** -zipf));
    for (const word of rng.choose(words, Math.round(share * words))) ambiguous[word] = 1;
    const net = (/** @type {number} */ B, /** @type {boolean} */ hooks) => {
      const g = params.graph(), x = g.index('x', [B, T]);
      const { logits } = transformer(g, x, { vocab: count, outputs: 2, hooks, ...SIZE, embedSpread: SPREAD });
      return { g, x, logits: logits.cut(1, T - 1, 1).reshape([B, 2]) };
    };
    const train = net(batch, false), targets = train.g.index('y', [batch]), asked = tests(classes, ambiguous), test = net(asked.kinds.length, true);
    train.g.train(train.logits.crossEntropy(targets).mean());
    test.logits.keep();
    test.g.ready();
    test.x.set(asked.tokens);
    return { classes, ambiguous, table, train, targets, test, asked };
  },
  step(run, { classes, ambiguous, table, train, targets }) {
    const { batch, informative, period, until, rate } = run.config;
    if (run.step && run.step % period === 0 && run.step <= until) forget(run, run.rng('forget'));
    const { tokens, answers } = sentences(run.rng('data'), { batch, table, classes, ambiguous, informative });
    train.x.set(tokens);
    targets.set(answers);
    return { loss: train.g.step({ rate, clip: 1 }) };
  },
  measure(run, { test, asked }) {
    const found = accuracy(test, asked), { config, params } = run;
    /** @type {Record<string, number>} */ const values = { ...found };
    // What the heads look at from the question, in "is x x ?" with unseen words.
    const rows = asked.kinds.flatMap((kind, i) => (kind === 'unseen' && !asked.answers[i] ? [i] : [])), { layers, heads } = SIZE, looks = new Float64Array(layers * heads * T);
    for (let l = 0; l < layers; l++) {
      const pattern = test.g.get(`blocks.${l}.attn.hook_pattern`).value;
      for (const row of rows) for (let h = 0; h < heads; h++) for (let t = 0; t < T; t++) looks[(l * heads + h) * T + t] += pattern[((row * heads + h) * T + T - 1) * T + t] / rows.length;
    }
    if (config.until >= config.steps) { // the moment right after forgetting, without forgetting
      const embedding = params.get('embed.weight'), kept = embedding.read();
      embedding.value.set(run.fresh('after').normals(2 * config.words * embedding.dims[1], SPREAD));
      values.after = accuracy(test, asked).weights;
      embedding.set(kept);
    }
    return { ...values, pictures: { looks: { rows: layers * heads, cols: T, values: looks, labels: { rows: Array.from({ length: layers * heads }, (_, i) => `layer ${Math.floor(i / heads)}, head ${i % heads}`), cols: ['is', 'x', 'x', '?'] }, min: 0, max: 1 } } };
  },
  series: {
    loss: { label: 'training loss', unit: 'nats' }, weights: { label: 'in-weights: seen word, filler' }, framed: { label: 'seen word, its frame' }, unseen: { label: 'unseen word, frame' },
    conflict: { label: 'frame against class: the frame wins' }, after: { label: 'in-weights right after forgetting' },
  },
  plots: [
    { type: 'line', series: ['unseen'], title: 'Unseen words: in-context answers', y: 'accuracy' },
    { type: 'line', series: ['weights'], title: 'Seen words without a frame: in-weights answers', y: 'accuracy' },
    { type: 'line', series: ['conflict'], title: 'A frame against the class that a word always has: how often the frame wins', y: 'share' },
    { type: 'line', series: ['loss'], title: 'Training loss', y: 'nats' },
    { type: 'heat', picture: 'looks', title: 'Attention of the question in "is x x ?", x unseen' },
  ],
  headline: (arms) => ({ label: 'unseen words after temporary forgetting', value: arms[2]?.last.unseen ?? NaN }),
  verdict(arms) {
    const last = (/** @type {string} */ name, /** @type {string} */ series) => arms.find((arm) => arm.name === name)?.last[series] ?? NaN;
    return [
      ...[ACTIVE, TEMPORARY].map((name) => atLeast(`${name}: unseen words`, last(name, 'unseen'), 0.95)),
      atMost(`${VANILLA}: unseen words`, last(VANILLA, 'unseen'), 0.65),
      ...[VANILLA, TEMPORARY].map((name) => atLeast(`${name}: in-weights`, last(name, 'weights'), 0.9)),
      atMost(`${ACTIVE}: in-weights, right after forgetting`, last(ACTIVE, 'after'), 0.65),
    ];
  },
});
