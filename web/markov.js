// Markov sources: texts whose distribution is known, on which what tokenization does to a model is exact arithmetic. docs/theory.md tells the experiments.
import { Heap, MicrotomeError, throwIfAborted } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { RUNTIME_OPTIONS, loadHeap } from './runtime/load.js';
import { Tokenizer } from './tokenizer.js';
import { trainTokenizer } from './train.js';

/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/**
 * @typedef {object} SourceOptions
 * @property {string} letters the alphabet: 2..256 different ASCII characters, such as 'AB'
 * @property {number} [order] how many letters back the next one depends on; default 1. letters^order is 1024 at most
 * @property {ArrayLike<number>[]} next for each context (the last `order` letters, AAA, AAB, ABA, ...) the probabilities of the next letter
 */
/**
 * @typedef {object} MarkovPrediction of the letter behind a text
 * @property {Record<string, number>} truth the source's probabilities, by letter
 * @property {Record<string, number>} naive the token model's, asked with the tokenized text as prompt: of the first letter of the next token. All 0 when it never sees this prompt
 * @property {Record<string, number>} corrected the same token model's with token boundaries summed out
 * @property {number} end the corrected probability that the text ends here
 * @property {number} textLogProb ln of the probability that a text begins so, out of the token model
 * @property {number} modelCalls evaluations of the token model that textLogProb takes
 */

const FREED = new FinalizationRegistry((/** @type {{heap: Heap, at: number, free: string}} */ { heap, at, free }) => heap.exports[free](at));
const utf8 = new TextEncoder();

/**
 * A source of order k: P(next letter | last k letters), begun in its stationary distribution.
 *
 *   const source = await MarkovSource.create({ letters: 'AB', next: [[.6, .4], [.3, .7]] }); // after A, after B
 *   source.entropyRate;                    // nats a letter
 *   const model = await source.tokenModel({ tokens: ['A', 'B', 'AA'], length: 14 });
 *   model.predict('BA');                   // { naive: { A: 0, ... }, corrected: { A: .6, ... }, truth: { A: .6, ... }, ... }
 */
export class MarkovSource {
  /** @type {Heap} */ #heap;
  #at;
  #runtime;
  /** The alphabet. */ letters;
  /** How many letters back the next one depends on. */ order;

  /**
   * A source from its table.
   * @param {SourceOptions & RuntimeOptions} options @returns {Promise<MarkovSource>}
   * @throws {MicrotomeError} ERANGE: letters twice, rows that are no distributions, a source with more than one stationary distribution; ELIMIT: too many contexts
   */
  static async create(options) {
    checkOptions('MarkovSource.create', options, ['letters', 'order', 'next', ...RUNTIME_OPTIONS]);
    const { letters, order = 1, next } = options;
    if (typeof letters !== 'string' || !/^[\x20-\x7e]{2,}$/.test(letters)) throw new MicrotomeError('MarkovSource: letters must be a string of at least two printable ASCII characters', { code: 'ERANGE' });
    checkNumber('order', order, 0, 10, true);
    const contexts = letters.length ** order;
    if (!Array.isArray(next) || next.length !== contexts || next.some((row) => row?.length !== letters.length))
      throw new MicrotomeError(`MarkovSource: next must have ${contexts} rows (${letters.length} letters, order ${order}) of ${letters.length} probabilities`, { code: 'ERANGE' });
    return new MarkovSource(await loadHeap(options), letters, order, next, options);
  }

  /** Use MarkovSource.create. @param {Heap} heap @param {string} letters @param {number} order @param {ArrayLike<number>[]} next @param {RuntimeOptions} options @internal */
  constructor(heap, letters, order, next, options) {
    if (!(heap instanceof Heap)) throw new MicrotomeError('use MarkovSource.create()', { code: 'ESTATE' });
    this.#heap = heap;
    this.letters = letters;
    this.order = order;
    this.#runtime = Object.fromEntries(RUNTIME_OPTIONS.filter((name) => name in options).map((name) => [name, /** @type {any} */ (options)[name]]));
    this.#at = heap.scope((alloc) => {
      const alphabet = heap.putCString(alloc, letters), table = alloc(8 * letters.length * next.length), out = alloc(4);
      heap.refresh();
      next.forEach((row, context) => Array.from(row, (p, a) => heap.view.setFloat64(table + 8 * (context * letters.length + a), p, true)));
      heap.call('markov_new', alphabet, letters.length, order, table, out);
      return heap.u32(out);
    });
    FREED.register(this, { heap, at: this.#at, free: 'markov_free' }, this);
  }

  #live() {
    if (!this.#at) throw disposed('this source');
    return this.#heap;
  }

  /** The entropy rate H(X | past), nats a letter: what no model can beat. @returns {number} */
  get entropyRate() { return this.#live().exports.markov_rate(this.#at); }

  /** By context, AAA, AAB, ...: how often it is where a text is. @returns {Float64Array} sums to 1 */
  get stationary() {
    const heap = this.#live();
    return heap.doubles(heap.exports.markov_stationary(this.#at) >>> 0, heap.exports.markov_contexts(this.#at));
  }

  /** H of n consecutive letters, in nats. @param {number} n @returns {number} */
  entropy(n) {
    return this.#live().exports.markov_entropy(this.#at, checkNumber('n', n, 0, 2 ** 31 - 1, true));
  }

  /**
   * The best cross-entropy (nats a letter) of a model of frequencies of fixed blocks of r letters: H(X1..Xr) / r. r = 1: letters alone, however long the text (what a transformer without a tokenizer
   * falls back to on some sources: Rajaraman, Jiao & Ramchandran 2024). @param {number} r @returns {number}
   */
  blockLoss(r) {
    return this.#live().exports.markov_block_loss(this.#at, checkNumber('r', r, 1, 2 ** 31 - 1, true));
  }

  /** A text drawn from the source. @param {number} n letters @param {{seed?: number}} [options] the same seed, the same text; default: random @returns {string} */
  sample(n, options = {}) {
    checkOptions('sample', options, ['seed']);
    const heap = this.#live();
    checkNumber('n', n, 0, 2 ** 30, true);
    const seed = options.seed === undefined ? Math.floor(Math.random() * 2 ** 53) : checkNumber('seed', options.seed, 0, Number.MAX_SAFE_INTEGER, true);
    return heap.scope((alloc) => {
      const at = alloc(n + 1);
      heap.exports.markov_sample(this.#at, seed, n, at);
      return heap.text(at, n);
    });
  }

  /** The letter after a text. @param {string} text @returns {Record<string, number>} probabilities by letter @throws {MicrotomeError} ERANGE: a letter that is not the source's, a text that it never begins with */
  next(text) {
    const heap = this.#live();
    return heap.scope((alloc) => {
      const bytes = utf8.encode(text), at = alloc(bytes.length + 1), out = alloc(8 * this.letters.length);
      heap.putBytes(at, bytes);
      heap.call('markov_next', this.#at, at, bytes.length, out);
      return Object.fromEntries(Array.from(heap.doubles(out, this.letters.length), (p, a) => [this.letters[a], p]));
    });
  }

  /**
   * What training a model on the source's tokenized texts would end in, by tabulating every text of `length` letters: no neural net, no error.
   * @param {{tokens?: string[], tokenizer?: Tokenizer, length: number}} options tokens: a vocabulary, matched longest first (it must have the letters); or a tokenizer, which encodes as it does.
   *   letters^length is 2^20 at most
   * @returns {Promise<MarkovTokenModel>} @throws {MicrotomeError} ELIMIT: too many texts; EUNKNOWN: the tokenizer does not spell letters by their bytes
   */
  async tokenModel(options) {
    checkOptions('tokenModel', options, ['tokens', 'tokenizer', 'length']);
    const { tokens, tokenizer, length } = options;
    if ((tokens === undefined) === (tokenizer === undefined)) throw new MicrotomeError('tokenModel: either tokens or tokenizer', { code: 'ERANGE' });
    this.#live();
    const made = tokenizer ?? (await longestMatch(/** @type {string[]} */ (tokens), this.#runtime));
    return new MarkovTokenModel(this.#heap, this, this.#at, made, checkNumber('length', length, 1, 62, true), tokens !== undefined);
  }

  /**
   * Unigram models over byte-pair dictionaries (Rajaraman et al. 2024): for each size a dictionary is trained on one sample without word boundaries, a table of token frequencies (each count plus one) too, and both
   * are asked about another sample. The more the dictionary holds, the nearer the entropy rate a model comes that knows no context at all.
   * @param {{sizes: number[], letters?: number, seed?: number, signal?: AbortSignal}} options sizes: of the dictionaries, tokens; letters: of each sample, default 200000; seed: default 0
   * @returns {Promise<{size: number, loss: number, tokens: number}[]>} size: tokens there are; loss: nats a letter on the fresh sample; tokens: of that sample
   */
  async dictionaryLosses(options) {
    checkOptions('dictionaryLosses', options, ['sizes', 'letters', 'seed', 'signal']);
    const { sizes, letters = 200000, seed = 0, signal } = options;
    checkNumber('letters', letters, 1, 2 ** 24, true);
    const train = this.sample(letters, { seed }), fresh = this.sample(letters, { seed: seed + 1 });
    const losses = [];
    for (const size of sizes) {
      checkNumber('sizes', size, this.letters.length, 2 ** 20, true);
      throwIfAborted(signal);
      const { tokenizer } = await trainTokenizer([train], { ...this.#runtime, kind: 'bpe', vocabSize: size, byteLevel: false, unkToken: null, preTokenizer: 'none', alphabet: [...this.letters], signal });
      const counts = new Float64Array(tokenizer.vocabSize).fill(1), learned = tokenizer.encode(train, { offsets: false }).ids, asked = tokenizer.encode(fresh, { offsets: false }).ids;
      for (const id of learned) counts[id]++;
      const total = learned.length + tokenizer.vocabSize;
      let nats = 0;
      for (const id of asked) nats -= Math.log(counts[id] / total);
      losses.push({ size: tokenizer.vocabSize, loss: nats / letters, tokens: asked.length });
      tokenizer.dispose();
    }
    return losses;
  }

  /** Can be called again; other calls throw ESTATE afterwards. */
  dispose() {
    if (!this.#at) return;
    FREED.unregister(this);
    this.#heap.exports.markov_free(this.#at);
    this.#at = 0;
  }
}

/** Longest match from the left over a list of tokens: WordPiece whose pieces inside words carry no prefix. @param {string[]} tokens @param {RuntimeOptions} runtime @returns {Promise<Tokenizer>} */
async function longestMatch(tokens, runtime) {
  if (!Array.isArray(tokens) || !tokens.length || tokens.some((t) => typeof t !== 'string' || !t) || new Set(tokens).size !== tokens.length) throw new MicrotomeError('tokenModel: tokens must be a list of different strings that are not empty', { code: 'ERANGE' });
  const unk = '<unk>';
  const definition = {
    version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: { type: 'Fuse' },
    model: { type: 'WordPiece', unk_token: unk, continuing_subword_prefix: '', max_input_chars_per_word: 2 ** 31 - 1, vocab: Object.fromEntries([...tokens, ...(tokens.includes(unk) ? [] : [unk])].map((token, id) => [token, id])) },
  };
  return Tokenizer.load(utf8.encode(JSON.stringify(definition)), runtime);
}

/** The exact token model of a source's texts; see MarkovSource.tokenModel. */
export class MarkovTokenModel {
  /** @type {Heap} */ #heap;
  #at;
  #source;
  /** What cuts the texts. @type {Tokenizer} */ tokenizer;

  /** Use MarkovSource.tokenModel. @param {Heap} heap @param {MarkovSource} source @param {number} markov @param {Tokenizer} tokenizer @param {number} length @param {boolean} longest @internal */
  constructor(heap, source, markov, tokenizer, length, longest) {
    if (!(heap instanceof Heap)) throw new MicrotomeError('use MarkovSource.tokenModel()', { code: 'ESTATE' });
    const { heap: other, at: tok } = tokenizer.core();
    if (other !== heap) throw new MicrotomeError('the tokenizer was loaded into another module: load it with the same options', { code: 'ESTATE' });
    this.#heap = heap;
    this.#source = source;
    this.tokenizer = tokenizer;
    this.#at = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('markov_model_new', markov, tok, length, heap.enums[longest ? 'MT_MARKOV_LONGEST' : 'MT_MARKOV_OWN'], out);
      return heap.u32(out);
    });
    FREED.register(this, { heap, at: this.#at, free: 'markov_model_free' }, this);
  }

  #live() {
    if (!this.#at) throw disposed('this token model');
    this.tokenizer.core();
    return this.#heap;
  }

  /** P(next token | tokens). @param {Iterable<number>} ids @returns {Float64Array} by id, and one more for the end of the text; all 0: no text's encoding begins with these tokens */
  next(ids) {
    const heap = this.#live(), list = Int32Array.from(ids), size = this.tokenizer.vocabSize + 1;
    return heap.scope((alloc) => {
      const at = alloc(4 * list.length + 4), out = alloc(8 * size);
      heap.putInts(at, list);
      heap.call('markov_model_next', this.#at, at, list.length, out);
      return heap.doubles(out, size);
    });
  }

  /**
   * From now on it answers so behind these tokens: probabilities of a trained model, which predict() then asks and corrects.
   * @param {Iterable<number>} ids @param {ArrayLike<number>} probabilities by id; one more for the end of the text may follow, default 0
   * @throws {MicrotomeError} ERANGE: an id that is not there, probabilities below 0, a sum that is not 1 within 1e-4
   */
  set(ids, probabilities) {
    const heap = this.#live(), list = Int32Array.from(ids), size = this.tokenizer.vocabSize;
    if (probabilities.length !== size && probabilities.length !== size + 1) throw new MicrotomeError(`set: ${probabilities.length} probabilities for ${size} tokens`, { code: 'ERANGE' });
    heap.scope((alloc) => {
      const at = alloc(4 * list.length + 4), row = alloc(8 * (size + 1));
      heap.putInts(at, list);
      heap.refresh();
      for (let t = 0; t <= size; t++) heap.view.setFloat64(row + 8 * t, probabilities[t] ?? 0, true);
      heap.call('markov_model_set', this.#at, at, list.length, row);
    });
  }

  /** What follows a text: the source's answer, the token model's naive one, and the token model's corrected one. @param {string} text @returns {MarkovPrediction} */
  predict(text) {
    const heap = this.#live(), truth = this.#source.next(text);
    return heap.scope((alloc) => {
      const bytes = utf8.encode(text), at = alloc(bytes.length + 1), out = alloc(heap.sizeOf('mt_markov_prediction'));
      heap.putBytes(at, bytes);
      heap.call('markov_model_predict', this.#at, at, bytes.length, out);
      const [corrected, naive] = ['corrected', 'naive'].map((name) => heap.array('mt_markov_prediction', out, name));
      const { text_logprob: textLogProb, calls } = heap.read('mt_markov_prediction', out);
      const byLetter = (/** @type {number[]} */ logs) => Object.fromEntries(Array.from(this.#source.letters, (letter) => [letter, Math.exp(logs[letter.charCodeAt(0)])]));
      return { truth, naive: byLetter(naive), corrected: byLetter(corrected), end: Math.exp(corrected[256]), textLogProb, modelCalls: calls };
    });
  }

  /** Can be called again; other calls throw ESTATE afterwards. The tokenizer stays. */
  dispose() {
    if (!this.#at) return;
    FREED.unregister(this);
    this.#heap.exports.markov_model_free(this.#at);
    this.#at = 0;
  }
}
if (Symbol.dispose)
  for (const type of [MarkovSource, MarkovTokenModel]) Object.defineProperty(type.prototype, Symbol.dispose, { value: type.prototype.dispose, configurable: true, writable: true });
