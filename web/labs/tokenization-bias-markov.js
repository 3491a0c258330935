// Tokenization bias, trained (Phan, Havasi, Muckley & Ullrich 2024). A source over {A, B}, its texts cut into tokens, a small transformer on the tokens, and two ways to ask it for the next letter:
//
//   directly    the text's tokens as prompt, probability that the next token begins with A
//   corrected   token boundaries summed out: branch and pass for longest match, the byte model for byte pairs (MarkovTokenModel in ../markov.js, into which the net's probabilities go)
//
// The same two questions are put to the exact token model too, the table that unlimited training would end in.
//
// Measured at the defaults, seeds 1, 2, 3: see notes.
import { atLeast, atMost, defineLab } from '../lab/index.js';
import { MarkovSource } from '../markov.js';
import { transformer } from '../net.js';
import { trainTokenizer } from '../train.js';

/** @typedef {import('../lab/define.js').Run} Run */
/** @typedef {import('../markov.js').MarkovTokenModel} MarkovTokenModel */

const T = 12; // tokens of a row, the start token among them
const MOST = 6; // letters of the texts that are asked about
const LONE = 'BA'; // its encoding ends in a lone A
const TABLE = 14; // letters of the texts that the exact model tabulates: enough for what is asked of the first 7
const LONGEST = 'longest match', PAIRS = 'byte pairs';

/** All texts of that many letters. @param {number} n @returns {string[]} */
const words = (n) => (n ? words(n - 1).flatMap((w) => [`${w}A`, `${w}B`]) : ['']);
/** Texts that are asked about: 1 to MOST letters. */
export const TEXTS = Array.from({ length: MOST }, (_, n) => words(n + 1)).flat();

/** @param {Run} run */
async function prepare(run) {
  const { config, params } = run, { a, b, merges, batch } = config;
  const source = await MarkovSource.create({ letters: 'AB', next: [[a, 1 - a], [b, 1 - b]] });
  const how = config.longest ? { tokens: merges ? ['A', 'B', 'AA'] : ['A', 'B'] }
    : { tokenizer: (await trainTokenizer([source.sample(20_000, { seed: run.fresh('dictionary').word() })], { vocabSize: 256 + (merges ? 4 : 0), preTokenizer: 'none' })).tokenizer };
  const exact = await source.tokenModel({ ...how, length: TABLE }), learned = await source.tokenModel({ ...how, length: TABLE }), { tokenizer } = exact;
  // The net's ids: tokens that spell letters of the source, then a start token.
  const ids = [], spelled = [];
  for (const { id, kind } of tokenizer.tokens()) {
    const text = kind === 'normal' ? tokenizer.decode([id]) : '';
    if (/^[AB]+$/.test(text)) ids.push(id), spelled.push(text);
  }
  const V = ids.length, start = V, place = new Map(ids.map((id, i) => [id, i]));
  const encode = (/** @type {string} */ text) => Array.from(tokenizer.encode(text, { offsets: false, addSpecialTokens: false }).ids);
  const contexts = ['', ...TEXTS].map(encode);
  const net = (/** @type {number} */ B, /** @type {boolean} */ hooks) => {
    const g = params.graph(), x = g.index('x', [B, T]);
    return { g, x, logits: transformer(g, x, { vocab: V + 1, layers: 1, outputs: V, hooks }).logits };
  };
  const train = net(batch, false), targets = train.g.index('y', [batch, T]);
  train.g.train(train.logits.crossEntropy(targets).mean());
  const test = net(contexts.length, true), probabilities = test.logits.softmax().keep();
  test.g.ready();
  test.x.set(contexts.flatMap((list) => Array.from({ length: T }, (_, t) => (t && t <= list.length ? /** @type {number} */ (place.get(list[t - 1])) : start))));
  return { source, exact, learned, tokenizer, owned: !config.longest, ids, spelled, place, start, encode, contexts, train, targets, test, probabilities, letters: (T + 1) * Math.max(...spelled.map((s) => s.length)) };
}
/** @typedef {Awaited<ReturnType<typeof prepare>>} Made */

/** The net's probabilities into the token model that is asked. @param {Made} made */
function teach({ learned, tokenizer, ids, contexts, test, probabilities }) {
  test.g.run();
  const p = probabilities.read(), V = ids.length; // a copy: set() allocates
  contexts.forEach((list, row) => {
    const out = new Float64Array(tokenizer.vocabSize);
    ids.forEach((id, i) => { out[id] = p[(row * T + list.length) * V + i]; });
    learned.set(list, out);
  });
}

/** @param {MarkovTokenModel} model @returns {{truth: number[], naive: number[], corrected: number[]}} probabilities of A behind each of TEXTS */
export function answers(model) {
  const found = TEXTS.map((text) => model.predict(text));
  return { truth: found.map(({ truth }) => truth.A), naive: found.map(({ naive }) => naive.A), corrected: found.map(({ corrected }) => corrected.A) };
}
/** @param {number[]} x @param {number[]} y */
const distance = (x, y) => Math.max(...x.map((v, i) => Math.abs(v - y[i])));

export default defineLab({
  id: 48, name: 'tokenization-bias-markov', title: 'Tokenization bias of a trained model, and its exact correction',
  claim: 'A model of tokens that is asked with a tokenized text as prompt answers wrongly wherever the text ends inside what would have become a longer token: behind a lone A it says that no A can follow. More training does not help, as the exact token model says the same; summing over token boundaries gives the source back.',
  published: 'On Markov chains with a longest-match tokenizer, direct prompting gives 0 or 1 for some contexts whatever the amount of data, and the branch-and-pass correction recovers the transition probabilities.',
  source: 'Phan, Havasi, Muckley & Ullrich 2024, "Understanding and Mitigating Tokenization Bias in Language Models", arXiv:2406.16829; byte pairs: Phan et al. 2025, "Exact Byte-Level Probabilities from Tokenized Language Models", arXiv:2410.09303',
  notes: [],
  config: {
    steps: { value: 600, min: 1, max: 10_000, label: 'steps' },
    rate: { value: 3e-3, min: 1e-5, max: 0.1, live: true, log: true, label: 'learning rate' },
    a: { value: 0.6, min: 0.05, max: 0.95, label: 'P(A after A)' },
    b: { value: 0.3, min: 0.05, max: 0.95, label: 'P(A after B)' },
    merges: { value: true, label: 'longer tokens', help: 'without them every letter is a token, and both ways of asking give the same' },
    batch: { value: 192, min: 1, max: 512, label: 'rows in a batch' },
  },
  presets: { quick: { steps: 120, batch: 48 }, full: {} },
  arms: () => [{ name: LONGEST, config: { longest: true } }, { name: PAIRS, config: { longest: false } }],
  setup: prepare,
  step(run, { source, encode, place, start, train, targets, letters }) {
    const { batch, steps } = run.config, rng = run.rng('data'), x = new Int32Array(batch * T).fill(start), y = new Int32Array(batch * T);
    for (let row = 0; row < batch; row++) {
      const list = encode(source.sample(letters, { seed: rng.word() })); // long enough: its end shows in no token that is used
      for (let t = 0; t < T; t++) {
        y[row * T + t] = /** @type {number} */ (place.get(list[t]));
        if (t) x[row * T + t] = y[row * T + t - 1];
      }
    }
    train.x.set(x);
    targets.set(y);
    const decayed = Math.min(1, (2 * (steps - run.step)) / steps); // the second half goes down to 0
    return { loss: train.g.step({ rate: run.config.rate * decayed, clip: 1 }) };
  },
  measure(run, made) {
    teach(made);
    const net = answers(made.learned), exact = answers(made.exact), at = TEXTS.indexOf(LONE), { naive, corrected, truth } = net, shown = TEXTS.filter((text) => text.length <= 3);
    const pattern = made.test.g.get('blocks.0.attn.hook_pattern').value, labels = ['start', 'A', 'B', 'A', 'B'];
    const asked = made.contexts.findIndex((list) => list.map((id) => made.spelled[/** @type {number} */ (made.place.get(id))]).join() === 'A,B,A,B'), heads = pattern.length / (made.contexts.length * T * T);
    return {
      direct: naive[at], lone: corrected[at], directError: distance(naive, truth), correctedError: distance(corrected, truth), exactDirectError: distance(exact.naive, truth), exactError: distance(exact.corrected, truth),
      pictures: {
        texts: { rows: shown.length, cols: 4, values: shown.flatMap((text) => { const i = TEXTS.indexOf(text); return [truth[i], exact.naive[i], naive[i], corrected[i]]; }), labels: { rows: shown, cols: ['source', 'table, direct', 'net, direct', 'net, corrected'] }, min: 0, max: 1 },
        behind: { x: [...truth, ...truth], y: [...naive, ...corrected], groups: [...truth.map(() => 0), ...truth.map(() => 1)], groupNames: ['direct', 'corrected'], labels: [...TEXTS, ...TEXTS] },
        ...(asked >= 0 && { pattern: { rows: 5, cols: 5, values: Array.from({ length: 25 }, (_, i) => pattern[(asked * heads * T + Math.floor(i / 5)) * T + (i % 5)]), labels, min: 0, max: 1 } }),
      },
    };
  },
  dispose(_, { source, exact, learned, tokenizer, owned }) {
    for (const thing of [exact, learned, source]) thing.dispose();
    if (owned) tokenizer.dispose();
  },
  series: {
    loss: { label: 'training loss', unit: 'nats a token' },
    direct: { label: `P(A after ${LONE}), direct` }, lone: { label: `P(A after ${LONE}), corrected` },
    directError: { label: 'largest error, direct' }, correctedError: { label: 'largest error, corrected' },
    exactDirectError: { label: 'exact table: largest error, direct' }, exactError: { label: 'exact table: largest error, corrected' },
  },
  plots: [
    { type: 'line', series: ['direct', 'lone'], title: `Probability of A behind ${LONE}: training does not move the direct answer`, y: 'probability' },
    { type: 'line', series: ['directError', 'correctedError'], title: `Largest error over all texts of 1 to ${MOST} letters`, y: 'probability' },
    { type: 'line', series: ['loss'], title: 'Training loss', y: 'nats a token' },
    { type: 'heat', picture: 'texts', title: 'Probability of A behind short texts' },
    { type: 'scatter', picture: 'behind', title: 'Probability of A behind each text: the net against the source', x: 'source', y: 'net' },
    { type: 'heat', picture: 'pattern', title: 'Attention of the first head on A, B, A, B' },
  ],
  headline: (arms) => ({ label: `largest error, corrected (${LONGEST})`, value: arms[0].last.correctedError ?? NaN }),
  verdict: (arms) => arms.flatMap(({ name, config, last }) => [
    ...(name === LONGEST ? [atLeast(`${name}: |direct - source| behind ${LONE}`, Math.abs((last.direct ?? NaN) - config.a), 0.3)] : [atLeast(`${name}: largest error, direct`, last.directError ?? NaN, 0.3)]),
    atMost(`${name}: largest error, corrected`, last.correctedError ?? NaN, 0.03),
    atMost(`${name}, exact table: largest error, corrected`, last.exactError ?? NaN, 1e-6),
  ]),
});
