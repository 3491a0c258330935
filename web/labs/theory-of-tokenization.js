// Sources of high order, with and without a dictionary (Rajaraman, Jiao & Ramchandran 2024).
//
//   dictionaries   exact: merges are trained, then the loss of a model that knows nothing but how often each token comes: H(token) / letters a token
//   four nets      one layer on letters or on tokens, without position codes or with learned ones; nats a letter of fresh text
//
// At order 2 and 3 the four pairs of letters are equally frequent, and chance picks the first merge of a dictionary, on which the small ones depend much: AA leaves ABAB in letters, AB leaves AAAA so.
// Part 1 says its first merges, so that its numbers can be held against expected ones, and shows order 2 both ways.
//
// Measured at the defaults, seeds 1, 2, 3: see notes.
import { above, atLeast, atMost, below, defineLab, switching, windows } from '../lab/index.js';
import { MarkovSource } from '../markov.js';
import { Measure } from '../measure.js';
import { transformer } from '../net.js';
import { Tokenizer } from '../tokenizer.js';
import { extendTokenizer } from '../train/extend.js';

/** @typedef {import('../lab/define.js').Run} Run */
/** @typedef {import('../lab/define.js').Picture} Picture */
/** @typedef {import('../net/graph.js').Index} Index */
/** @typedef {[string, string]} Merge */

const T = 32, TEST = 128;
const SIZES = [4, 8, 16, 32, 64];
/** Sources of part 1 with the losses that a count by hand gave for dictionaries of SIZES tokens. */
const SOURCES = /** @type {{name: string, order: number, flip: number, first: Merge, expected: number[] | null}[]} */ ([
  { name: 'order 1, flips .1, AA first', order: 1, flip: 0.1, first: ['A', 'A'], expected: [0.537, 0.474, 0.439, 0.409, 0.399] },
  { name: 'order 2, flips .1, AB first', order: 2, flip: 0.1, first: ['A', 'B'], expected: [0.711, 0.515, 0.455, 0.419, 0.398] },
  { name: 'order 2, flips .1, AA first', order: 2, flip: 0.1, first: ['A', 'A'], expected: null },
  { name: 'order 3, flips .2, AA first', order: 3, flip: 0.2, first: ['A', 'A'], expected: [0.88, 0.733, 0.652, 0.602, 0.58] },
]);
const EXACT = 'dictionaries', LETTERS = 'letters, no positions', TOKENS = 'tokens, no positions', LETTERS_AT = 'letters, learned positions', TOKENS_AT = 'tokens, learned positions';

/** @param {number} order @param {number} flip @returns {Promise<MarkovSource>} */
export function sourceOf(order, flip) {
  const chain = switching(order, flip);
  return MarkovSource.create({ letters: 'AB', order, next: Array.from({ length: chain.contexts }, (_, c) => Array.from(chain.row(c))) });
}

/** @param {Merge[]} merges */
const definitionOf = (merges) => JSON.stringify({
  version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: { type: 'Fuse' },
  model: { type: 'BPE', unk_token: null, merges: merges.map((pair) => pair.join(' ')), vocab: Object.fromEntries(['A', 'B', ...merges.map((pair) => pair.join(''))].map((token, id) => [token, id])) },
});
/** @param {Merge[]} merges @returns {Promise<Tokenizer>} */
export const tokenizerOf = (merges) => Tokenizer.load(new TextEncoder().encode(definitionOf(merges)));

/**
 * Merges of byte-pair encoding, trained on a text without splits. @param {string} text @param {number} tokens how many there shall be, the two letters among them
 * @param {Merge[]} [first] merges that come before @returns {Promise<Merge[]>}
 */
export async function mergesOf(text, tokens, first = []) {
  if (tokens <= 2 + first.length) return first;
  const { merges, tokenizer } = await extendTokenizer(definitionOf(first), [text], { newTokens: tokens - 2 - first.length });
  tokenizer.dispose();
  return [...first, ...merges];
}

/** Nats a letter of a model of token frequencies alone. @param {Tokenizer} tokenizer @param {string} text @returns {number} */
export function unigramLoss(tokenizer, text) {
  const measure = new Measure(tokenizer);
  try {
    measure.add(text);
    const { entropy, compression } = measure.read();
    return entropy / compression;
  } finally {
    measure.dispose();
  }
}

// ---- part 1 -----------------------------------------------------------------------------------------------------------------

/** One dictionary. @param {Run} run @returns {Promise<Record<string, number>>} */
async function count(run) {
  const place = Math.floor(run.step / SIZES.length), { order, flip, first } = SOURCES[place], source = await sourceOf(order, flip), { state, config } = run;
  const text = source.sample(config.letters, { seed: run.fresh(`dictionary ${order}`).word() });
  if (state.place !== place) Object.assign(state, { place, merges: await mergesOf(text, SIZES[SIZES.length - 1], [first]) });
  const tokenizer = await tokenizerOf(state.merges.slice(0, SIZES[run.step % SIZES.length] - 2));
  (state.losses ??= []).push(unigramLoss(tokenizer, text));
  tokenizer.dispose();
  source.dispose();
  return {};
}

/** @param {Run} run @returns {Record<string, Picture>} */
function counted({ state }) {
  const y = /** @type {number[]} */ (state.losses ?? []);
  return { dictionaries: { x: y.map((_, i) => Math.log2(SIZES[i % SIZES.length])), y, groups: y.map((_, i) => Math.floor(i / SIZES.length)), groupNames: SOURCES.map(({ name }) => name) } };
}

// ---- part 2 -----------------------------------------------------------------------------------------------------------------

/** @param {Run} run */
async function nets(run) {
  const { config, params } = run, source = await sourceOf(config.order, config.flip), seed = run.fresh('texts');
  const [text, test] = [2 ** 20, 2 ** 19].map((n) => source.sample(n, { seed: seed.word() }));
  const merges = await mergesOf(text.slice(0, config.letters), config.dictionary ? config.tokens : 2);
  const tokenizer = await tokenizerOf(merges), lengths = [1, 1, ...merges.map((pair) => pair.join('').length)], V = lengths.length;
  const [ids, testIds] = [text, test].map((t) => tokenizer.encode(t, { offsets: false }).ids);
  tokenizer.dispose();
  source.dispose();
  const net = (/** @type {number} */ B, /** @type {boolean} */ hooks) => {
    const g = params.graph(), x = g.index('x', [B, T]), y = g.index('y', [B, T]);
    const { logits } = transformer(g, x, { vocab: V, layers: 1, positions: config.positions, hooks });
    return { g, x, y, loss: logits.crossEntropy(y) };
  };
  const train = net(config.batch, false), tested = net(TEST, true);
  train.g.train(train.loss.mean());
  tested.loss.keep();
  tested.g.ready();
  return { train, test: tested, ids, testIds, lengths, merges };
}

/** Fills a net with windows. @param {{x: Index, y: Index}} net @param {Int32Array} ids @param {import('../lab/rng.js').Rng} rng @param {number[]} lengths @returns {number} letters of the targets */
function fill({ x, y }, ids, rng, lengths) {
  const [B] = x.dims, rows = windows(rng, ids, { batch: B, length: T + 1 }), inputs = new Int32Array(B * T), targets = new Int32Array(B * T);
  let letters = 0;
  for (let b = 0; b < B; b++)
    for (let t = 0; t < T; t++) {
      inputs[b * T + t] = rows[b * (T + 1) + t];
      letters += lengths[(targets[b * T + t] = rows[b * (T + 1) + t + 1])];
    }
  x.set(inputs);
  y.set(targets);
  return letters;
}

export default defineLab({
  id: 201, name: 'theory-of-tokenization', title: 'What a dictionary does for a transformer on a source of high order',
  claim: 'On a source whose next letter depends on the letter two back, a small transformer over letters without position codes stays near the loss of letter frequencies, while the same transformer over byte-pair tokens comes to the entropy rate; counting tokens alone, without any context, comes near it.',
  published: 'Transformers trained on Markov sources of order k > 1 without tokenization fall back on letter frequencies (or learn very slowly, as the later version says), while with tokens they come close to the optimum; unigram models over good dictionaries suffice for that.',
  source: 'Rajaraman, Jiao & Ramchandran 2024, "Toward a Theory of Tokenization in LLMs", arXiv:2404.08335',
  notes: [],
  config: {
    steps: { value: 250, min: 1, max: 5000, label: 'steps' },
    rate: { value: 3e-3, min: 1e-5, max: 0.1, live: true, log: true, label: 'learning rate' },
    order: { value: 2, min: 1, max: 8, label: 'order of the source', help: 'a letter repeats the one so far back; at 1 the transformer over letters has all it needs in sight, and the effect is gone' },
    flip: { value: 0.1, min: 0.01, max: 0.5, label: 'flips', help: 'with this probability it is the other letter' },
    tokens: { value: 32, min: 3, max: 256, label: 'tokens', help: 'of the dictionary of the nets over tokens' },
    batch: { value: 32, min: 1, max: 256, label: 'rows in a batch' },
    letters: { value: 200_000, min: 1000, max: 1_000_000, label: 'letters', help: 'that dictionaries are trained on' },
  },
  presets: { quick: { steps: 60, letters: 50_000 }, full: {} },
  arms: () => [
    { name: EXACT, config: { part: 1, steps: SOURCES.length * SIZES.length, every: SOURCES.length * SIZES.length } },
    ...[{ name: LETTERS, dictionary: false, positions: 'none' }, { name: TOKENS, dictionary: true, positions: 'none' }, { name: LETTERS_AT, dictionary: false, positions: 'learned' }, { name: TOKENS_AT, dictionary: true, positions: 'learned' }]
      .map(({ name, ...config }) => ({ name, config })),
  ],
  setup: (run) => (run.config.part === 1 ? null : nets(run)),
  step(run, made) {
    if (!made) return count(run);
    const letters = fill(made.train, made.ids, run.rng('data'), made.lengths), { rate, batch } = run.config;
    return { loss: made.train.g.step({ rate, clip: 1 }) * batch * T / letters };
  },
  measure(run, made) {
    if (!made) return { pictures: counted(run) };
    const { g, loss } = made.test, rng = run.fresh('test'), rounds = made.merges.length ? 4 : 8;
    let nats = 0, letters = 0;
    for (let i = 0; i < rounds; i++) {
      letters += fill(made.test, made.testIds, rng, made.lengths);
      g.run();
      nats += loss.value.reduce((a, b) => a + b, 0);
    }
    const pattern = g.get('blocks.0.attn.hook_pattern').value; // first of the first row and its first head
    return { tested: nats / letters, pictures: { pattern: { rows: T, cols: T, values: pattern.slice(0, T * T), min: 0, max: 1 } } };
  },
  series: { loss: { label: 'training loss', unit: 'nats a letter' }, tested: { label: 'loss on fresh text', unit: 'nats a letter' } },
  plots: [
    { type: 'line', series: ['tested'], title: 'Nets on fresh text (at the defaults: letter frequencies .693, entropy rate .325)', y: 'nats a letter' },
    { type: 'line', series: ['loss'], title: 'Nets while they train', y: 'nats a letter' },
    { type: 'scatter', picture: 'dictionaries', title: 'Token frequencies alone (letter frequencies .693; entropy rates .325, .325, .500)', x: 'log2 of the tokens', y: 'nats a letter' },
    { type: 'heat', picture: 'pattern', title: 'Attention of the first head: queries down, keys across' },
  ],
  headline: (arms) => ({ label: 'tokens, no positions', value: arms.find(({ name }) => name === TOKENS)?.last.tested ?? NaN, unit: 'nats a letter' }),
  verdict(arms) {
    const tested = (/** @type {string} */ name) => arms.find((arm) => arm.name === name)?.last.tested ?? NaN;
    const losses = Array.from(/** @type {any} */ (arms[0].pictures.dictionaries)?.y ?? []), at = (/** @type {number} */ place) => losses.slice(place * SIZES.length, (place + 1) * SIZES.length);
    return [
      ...SOURCES.flatMap(({ name, expected }, place) => (expected ? [atMost(`dictionaries, ${name}: largest distance from the expected losses`, Math.max(...expected.map((x, i) => Math.abs(x - (at(place)[i] ?? NaN)))), 0.01)] : [])),
      above('dictionary of 4 tokens, order 2: worse than letters alone', at(1)[0] ?? NaN, Math.LN2),
      atLeast(LETTERS, tested(LETTERS), 0.58),
      atMost(TOKENS, tested(TOKENS), 0.335),
      below(LETTERS_AT, tested(LETTERS_AT), 0.35),
    ];
  },
});
