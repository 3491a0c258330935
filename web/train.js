// Training tokenizers: texts -> counted words -> vocabulary -> tokenizer.json. Words are counted by the very normalizer and splitter
// that the trained tokenizer will have, and everything is deterministic: the same texts in the same order give the same file.
//
//   train/options.js      kinds, defaults, what goes with what     train/texts.js   strings, files and streams
//   train/definition.js   the file                               train/core.js    the trainers in the core
//   train/extend.js       tokenizers that grow
import { Heap, MicrotomeError, throwIfAborted } from './runtime/heap.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { RUNTIME_OPTIONS, loadHeap } from './runtime/load.js';
import { definitionOf, shapeOf } from './train/definition.js';
import { TRAIN_OPTIONS, settle } from './train/options.js';
import { fill, load, putters, readTexts, resultOf, supervise } from './train/core.js';

/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {import('./train/options.js').TrainKind} TrainKind */
/** @typedef {import('./train/options.js').TrainText} TrainText */
/** @typedef {import('./train/options.js').TrainTexts} TrainTexts */
/** @typedef {import('./train/options.js').TrainOptions} TrainOptions */
/** @typedef {import('./train/options.js').TrainProgress} TrainProgress */
/** @typedef {import('./train/options.js').Settled} Settled */
/**
 * @typedef {object} Trained
 * @property {string | null} tokenizerJson the definition, which the tokenizers library loads too (docs/training.md says where it segments otherwise); null where that format cannot say it
 *   (SentencePiece with spaces as suffixes or user-defined symbols)
 * @property {Uint8Array | null} sentencePieceModel SentencePiece kinds: the `.model`, which its library loads too
 * @property {Tokenizer} tokenizer made from it (SentencePiece kinds: from the .model)
 * @property {string[]} tokens by id, as the definition spells them
 * @property {[string, string][]} merges in order; empty for other kinds than bpe, sentencepiece-bpe (those that it made) and picky-bpe (those between tokens that stayed)
 * @property {Float64Array | null} scores unigram: natural log-probability of each piece; SentencePiece's BPE: minus the rank
 * @property {{texts: number, words: number, distinctWords: number, skipped: number}} seen skipped: texts that were too long or have U+2585 (SentencePiece)
 */

/** @param {Heap} heap @param {Settled} how */
function flagsOf(heap, how) {
  const { enums: e } = heap;
  return (how.byteFallback ? e.ABI_SP_BYTE_FALLBACK : 0) | (how.splitDigits ? e.ABI_SP_SPLIT_DIGITS : 0) | (how.joinScripts ? e.ABI_SP_JOIN_SCRIPTS : 0) | (how.joinNumbers ? e.ABI_SP_JOIN_NUMBERS : 0)
    | (how.joinWords ? e.ABI_SP_JOIN_WORDS : 0) | (how.spaceAsSuffix ? e.ABI_SP_SPACE_AS_SUFFIX : 0) | (how.spaceOnlyPieces ? e.ABI_SP_SPACE_ONLY_PIECES : 0);
}

/** @type {Record<TrainKind, string>} */
const TRAINERS = {
  bpe: 'BPE', wordpiece: 'BPE', 'wordpiece-likelihood': 'LIKELIHOOD', unigram: 'UNIGRAM', pathpiece: 'PATHPIECE', 'picky-bpe': 'PICKY', lib: 'LIB', 'sentencepiece-bpe': 'SP_BPE', 'sentencepiece-unigram': 'SP_UNIGRAM',
};

const FINALIZED = new FinalizationRegistry((/** @type {{heap: Heap, trainer: number, pipeline: number}} */ { heap, trainer, pipeline }) => {
  heap.exports.trainer_free(trainer);
  heap.exports.tok_free(pipeline);
});

/**
 * Counts words of texts, then trains.
 *
 *   const trainer = await Trainer.create({ kind: 'bpe', vocabSize: 8000 });
 *   await trainer.add(texts);
 *   const { tokenizer, tokenizerJson } = trainer.train();
 */
export class Trainer {
  /** @type {Heap} */ #heap;
  /** @type {number} */ #trainer;
  /** @type {number} */ #pipeline;
  #options;
  #how;
  #texts = 0;
  #skipped = 0;

  /**
   * A trainer that has seen nothing yet.
   * @param {TrainOptions & RuntimeOptions} [options] @returns {Promise<Trainer>}
   * @throws {MicrotomeError} EUNKNOWN, ERANGE: an option that is not known or does not fit
   */
  static async create(options = {}) {
    checkOptions('train', options, [...TRAIN_OPTIONS, ...RUNTIME_OPTIONS]);
    const how = settle(options);
    throwIfAborted(options.signal);
    return new Trainer(await loadHeap(options), options, how);
  }

  /** Use Trainer.create. @param {Heap} heap @param {TrainOptions & RuntimeOptions} options @param {Settled} how @internal */
  constructor(heap, options, how) {
    if (!(heap instanceof Heap)) throw new MicrotomeError('use Trainer.create()', { code: 'ESTATE' });
    this.#heap = heap;
    this.#options = options;
    this.#how = how;
    this.#pipeline = pipelineOf(heap, how);
    try {
      this.#trainer = heap.scope((alloc) => {
        const out = alloc(4);
        heap.call('trainer_new', Number(how.kind === 'lib' || how.joinWords), 0, out);
        return heap.u32(out);
      });
    } catch (error) {
      heap.exports.tok_free(this.#pipeline);
      throw error;
    }
    FINALIZED.register(this, { heap, trainer: this.#trainer, pipeline: this.#pipeline }, this);
  }

  #live() {
    if (!this.#trainer) throw disposed('this trainer');
    return this.#heap;
  }

  /** Counts the words of one text. @param {string | Uint8Array} text @throws {MicrotomeError} ERANGE: it is no text; ENOMEM; ESTATE: disposed of */
  addText(text) {
    const heap = this.#live();
    if (typeof text !== 'string' && !(text instanceof Uint8Array)) throw new MicrotomeError(`train: a text must be a string or a Uint8Array, got ${text === null ? 'null' : typeof text}`, { code: 'ERANGE' });
    const bytes = typeof text === 'string' ? heap.encoder.encode(text) : text;
    // As there: too long, or with the character that stands for unknown ones.
    if (this.#how.sp && (bytes.length > this.#how.maxSentenceLength || heap.decoder.decode(bytes).includes('\u2585'))) {
      this.#skipped++;
      return;
    }
    heap.scope((alloc) => {
      const at = alloc(bytes.length);
      heap.putBytes(at, bytes);
      heap.call('trainer_text', this.#trainer, this.#pipeline, at, bytes.length);
    });
    this.#texts++;
  }

  /** Counts the words of many texts; gives the thread away now and then. @param {TrainTexts} texts @returns {Promise<void>} */
  async add(texts) {
    await readTexts(texts, this.#how.lineEnds === 'keep', this.#options, (text) => this.addText(text), () => this.#texts);
  }

  /**
   * Trains on what was counted so far. Can be called again after more texts, or with another size: the texts are counted once.
   * @param {{vocabSize?: number}} [options] vocabSize: default that of Trainer.create
   * @returns {Trained}
   * @throws {MicrotomeError} ERANGE, EMISSING: the texts and options cannot give a vocabulary. AbortError when aborted
   */
  train(options = {}) {
    const heap = this.#live();
    checkOptions('train', options, ['vocabSize']);
    const how = options.vocabSize === undefined ? this.#how : { ...this.#how, vocabSize: checkNumber('vocabSize', options.vocabSize, 1, 2 ** 24, true) };
    return heap.scope((alloc) => {
      const { put, list } = putters(heap, alloc);
      const flags = flagsOf(heap, how);
      const at = alloc(heap.sizeOf('abi_train_options'));
      fill(heap, 'abi_train_options', at, {
        kind: heap.enums[`ABI_TRAIN_${TRAINERS[how.kind]}`],
        vocab_size: how.vocabSize, min_frequency: how.minFrequency,
        special: list(how.special), special_len: how.special.length, special_kind: put(kindsOf(heap, how)), alphabet: list(how.alphabet), alphabet_len: how.alphabet.length,
        limit_alphabet: how.limitAlphabet, max_length: how.maxLength,
        prefix: how.prefix ? heap.putCString(alloc, how.prefix) : 0, suffix: how.suffix ? heap.putCString(alloc, how.suffix) : 0,
        shrinking_factor: how.shrinkingFactor, seed_size: how.seedSize, sub_iterations: how.subIterations,
        initial: heap.enums[`MT_INITIAL_${how.initial.toUpperCase()}`], initial_size: how.initialSize, batch: how.batch, threshold: how.threshold,
        steps: how.steps || Math.max(200, Math.ceil(this.#texts / how.articleSize)), article: how.articleSize, probation: how.probation, memorize: how.memorize, move: how.move, worst: how.worst, seed: how.seed,
        coverage: how.coverage, flags, threads: how.threads,
      });
      supervise(heap, this.#options, () => heap.call('trainer_run', this.#trainer, at));
      const { raw, words, distinct } = resultOf(heap, this.#trainer);
      const shape = shapeOf(how, raw);
      const tokenizerJson = definitionOf(how, shape);
      const sentencePieceModel = how.sp ? this.#saveModel(shape.tokens, flags) : null;
      const { tokens, merges, scores } = shape;
      const tokenizer = load(heap, sentencePieceModel ?? heap.encoder.encode(/** @type {string} */ (tokenizerJson)));
      return { tokenizerJson, sentencePieceModel, tokenizer, tokens, merges, scores, seen: { texts: this.#texts, words, distinctWords: distinct, skipped: this.#skipped } };
    });
  }

  /** @param {string[]} tokens @param {number} flags */
  #saveModel(tokens, flags) {
    const heap = this.#heap, how = this.#how;
    const buffer = heap.make('mt_buf');
    try {
      return heap.scope((alloc) => {
        const { rules, name } = how.charsmap;
        const ids = alloc(16), at = alloc(rules.length + 1);
        heap.putInts(ids, [how.unk, ...how.ends].map((token) => (token === null ? -1 : tokens.indexOf(token))));
        heap.putBytes(at, rules);
        heap.call('trainer_save_sp', this.#trainer, Number(how.kind === 'sentencepiece-unigram'), ids, heap.putCString(alloc, name), at, rules.length, Number(!how.dummyPrefix), Number(!how.squeeze), flags, how.coverage, buffer);
        const { data, len } = heap.read('mt_buf', buffer);
        return heap.bytes(data, len);
      });
    } finally {
      heap.exports.buf_free(buffer);
    }
  }

  /** Frees the counts. Can be called again; other calls throw ESTATE afterwards. */
  dispose() {
    if (!this.#trainer) return;
    FINALIZED.unregister(this);
    this.#heap.exports.trainer_free(this.#trainer);
    this.#heap.exports.tok_free(this.#pipeline);
    this.#trainer = this.#pipeline = 0;
  }
}
if (Symbol.dispose) Object.defineProperty(Trainer.prototype, Symbol.dispose, { value: Trainer.prototype.dispose, configurable: true, writable: true });

/**
 * Trains a tokenizer.
 *
 *   const { tokenizer, tokenizerJson } = await trainTokenizer(['low lower lowest'], { kind: 'bpe', vocabSize: 300 });
 *
 * @param {TrainTexts} texts @param {TrainOptions & RuntimeOptions} [options] @returns {Promise<Trained>}
 * @throws {MicrotomeError} see Trainer. AbortError when aborted
 */
export async function trainTokenizer(texts, options = {}) {
  const trainer = await Trainer.create(options);
  try {
    await trainer.add(texts);
    return trainer.train();
  } finally {
    trainer.dispose();
  }
}

/** Kinds of the special tokens, for SentencePiece. @param {Heap} heap @param {Settled} how */
function kindsOf(heap, how) {
  return Uint8Array.from(how.special, (token) => (token === how.unk ? heap.enums.MT_TOKEN_UNKNOWN : how.user.includes(token) ? heap.enums.MT_TOKEN_USER : heap.enums.MT_TOKEN_SPECIAL));
}

/** A tokenizer that has the normalizer and the splitter alone. @param {Heap} heap @param {Settled} how @returns {number} */
function pipelineOf(heap, how) {
  return heap.scope((alloc) => {
    const out = alloc(4);
    if (how.sp) {
      const { rules } = how.charsmap, at = alloc(rules.length + 1);
      heap.putBytes(at, rules);
      heap.call('trainer_sp_pipeline', at, rules.length, Number(!how.dummyPrefix), Number(!how.squeeze), flagsOf(heap, how), out);
    } else {
      // One token that no text spells.
      const definition = heap.encoder.encode(JSON.stringify({ version: '1.0', added_tokens: [], normalizer: how.normalizer, pre_tokenizer: how.splitter, post_processor: null, decoder: null, model: { type: 'WordLevel', vocab: { '\u0000': 0 }, unk_token: '\u0000' } }));
      const at = alloc(definition.length);
      heap.putBytes(at, definition);
      heap.call('tok_load', at, definition.length, 0, 0, 0, 0, 0, 0, -1, out);
    }
    return heap.u32(out);
  });
}
