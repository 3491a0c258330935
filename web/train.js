// Training tokenizers: texts -> counted words -> vocabulary -> tokenizer.json. Words are counted by the very normalizer and splitter
// that the trained tokenizer will have, and everything is deterministic: the same texts in the same order give the same file.
import { Heap, MicrotomeError, openSource, throwIfAborted } from './runtime/worker.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { RUNTIME_OPTIONS, loadHeap } from './runtime/load.js';
import { toSource } from './runtime/source.js';
import { Tokenizer } from './tokenizer.js';

/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {'bpe' | 'wordpiece' | 'unigram'} TrainKind */
/** @typedef {'byte-level' | 'whitespace' | 'whitespace-split' | 'metaspace' | 'bert' | 'none'} PreTokenizerName */
/** @typedef {'none' | 'nfc' | 'nfd' | 'nfkc' | 'nfkd' | 'lowercase' | 'nfc-lowercase' | 'nfkc-lowercase' | 'bert' | 'bert-cased'} NormalizerName */
/**
 * Texts to learn from. A string or bytes: one text. A list or (async) iterable: each item is one text, or again a file or stream. Files (File,
 * Blob, URL) and streams of bytes or strings are read line by line, in constant memory: each line is one text.
 * @typedef {string | Uint8Array | Blob | URL | ReadableStream<string | Uint8Array>} TrainText
 * @typedef {TrainText | Iterable<TrainText> | AsyncIterable<TrainText>} TrainTexts
 */
/**
 * @typedef {object} TrainOptions
 * @property {TrainKind} [kind] 'bpe' (default): pair merges by frequency; 'wordpiece': the same with "##" inside words, encoded by longest match
 *   (as the tokenizers library trains BERT's); 'unigram': the Unigram language model (Kudo 2018)
 * @property {number} [vocabSize] tokens, special ones included; default 30000. Fewer come out when the texts give no more; more when the alphabet alone is larger
 * @property {number} [minFrequency] pairs seen less often are not merged (bpe, wordpiece); default 0
 * @property {string[]} [specialTokens] they get the first ids. Default: none for bpe, `[UNK] [CLS] [SEP] [PAD] [MASK]` for wordpiece, `<unk>` for unigram
 * @property {string | null} [unkToken] what stands for characters that no token covers; it joins the special tokens if it is not among them.
 *   Default: `[UNK]` for wordpiece, `<unk>` for unigram and bpe over characters; byte-level bpe needs none
 * @property {boolean} [byteLevel] bpe: symbols are bytes (default), so that every text can be encoded; false: characters
 * @property {PreTokenizerName | {regex: string} | Record<string, any>} [preTokenizer] how texts are cut into words. 'byte-level': GPT-2's expression; 'whitespace': words and
 *   punctuation; 'whitespace-split': at spaces; 'metaspace': before each space, kept as "▁"; 'bert'; 'none'; {regex}: matches and what lies between them;
 *   or a `pre_tokenizer` as tokenizer.json has it. Default: 'byte-level' for byte-level bpe, 'whitespace' for bpe over characters, 'bert' for wordpiece, 'metaspace' for unigram
 * @property {NormalizerName | Record<string, any> | null} [normalizer] or a `normalizer` as tokenizer.json has it. Default: 'bert' for wordpiece, else none
 * @property {string[]} [alphabet] characters that are kept whatever their count. Default: all 256 bytes for byte-level bpe, else none
 * @property {number} [limitAlphabet] the most frequent characters kept (bpe, wordpiece); default: all
 * @property {number} [maxTokenLength] bpe: bytes of a token at most (in the spelling of the file); unigram: characters, default 16
 * @property {string} [endOfWordSuffix] bpe over characters: what is added to a word's last symbol, such as `</w>`
 * @property {string} [continuingSubwordPrefix] what a symbol inside a word carries in front. Default: `##` for wordpiece, else nothing
 * @property {number} [seedSize] unigram: candidates to begin with; default 1000000
 * @property {number} [shrinkingFactor] unigram: share of the pieces that a pruning keeps; default 0.75
 * @property {number} [subIterations] unigram: EM steps between prunings; default 2
 * @property {'keep' | 'drop'} [lineEnds] of lines of files and streams. Default: 'keep' with the 'byte-level' splitter, else 'drop'
 * @property {Record<string, any> | null} [postProcessor] as tokenizer.json has it; default: none
 * @property {(progress: TrainProgress) => void} [onProgress]
 * @property {AbortSignal} [signal] checked between texts and between steps of training. Training itself does not give the thread away: in a page, run it in a worker
 */
/** @typedef {{phase: 'read' | 'train', done: number, total: number | null}} TrainProgress read: texts; train: vocabulary entries */
/**
 * @typedef {object} Trained
 * @property {string} tokenizerJson the definition, which the tokenizers library loads too
 * @property {Tokenizer} tokenizer made from it
 * @property {string[]} tokens by id, as the definition spells them
 * @property {[string, string][]} merges in order; empty for other kinds than bpe
 * @property {Float64Array | null} scores unigram: natural log-probability of each piece
 * @property {{texts: number, words: number, distinctWords: number}} seen
 */

/** @type {TrainKind[]} */
export const TRAIN_KINDS = ['bpe', 'wordpiece', 'unigram'];
const OPTIONS = ['kind', 'vocabSize', 'minFrequency', 'specialTokens', 'unkToken', 'byteLevel', 'preTokenizer', 'normalizer', 'alphabet', 'limitAlphabet', 'maxTokenLength', 'endOfWordSuffix',
  'continuingSubwordPrefix', 'seedSize', 'shrinkingFactor', 'subIterations', 'lineEnds', 'postProcessor', 'onProgress', 'signal'];

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const METASPACE = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true };
const bertNormalizer = (/** @type {boolean} */ lowercase) => ({ type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase });
const sequence = (/** @type {Record<string, any>[]} */ ...normalizers) => ({ type: 'Sequence', normalizers });

/** @type {Record<NormalizerName, Record<string, any> | null>} */
export const NORMALIZERS = {
  none: null, nfc: { type: 'NFC' }, nfd: { type: 'NFD' }, nfkc: { type: 'NFKC' }, nfkd: { type: 'NFKD' }, lowercase: { type: 'Lowercase' },
  'nfc-lowercase': sequence({ type: 'NFC' }, { type: 'Lowercase' }), 'nfkc-lowercase': sequence({ type: 'NFKC' }, { type: 'Lowercase' }), bert: bertNormalizer(true), 'bert-cased': bertNormalizer(false),
};
/** @type {Record<PreTokenizerName, Record<string, any> | null>} */
export const SPLITTERS = { 'byte-level': BYTE_LEVEL, whitespace: { type: 'Whitespace' }, 'whitespace-split': { type: 'WhitespaceSplit' }, metaspace: METASPACE, bert: { type: 'BertPreTokenizer' }, none: null };

/** The 256 printable characters that stand for bytes (GPT-2's alphabet), by byte. */
const BYTE_CHARACTERS = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : next++));
})();

/** @template {string} K @param {string} what @param {unknown} name @param {Record<K, any>} table */
function named(what, name, table) {
  if (typeof name === 'string' && Object.hasOwn(table, name)) return table[/** @type {K} */ (name)];
  throw new MicrotomeError(`${what}: unknown name ${JSON.stringify(name)}: known are ${Object.keys(table).join(', ')}`, { code: 'EUNKNOWN', details: { option: what } });
}

/** Options with their defaults, checked. @param {TrainOptions} options */
function settle(options) {
  const { kind = 'bpe' } = options;
  if (!TRAIN_KINDS.includes(kind)) throw new MicrotomeError(`train: unknown kind ${JSON.stringify(kind)}: known are ${TRAIN_KINDS.join(', ')}`, { code: 'EUNKNOWN', details: { option: 'kind' } });
  const onlyFor = (/** @type {keyof TrainOptions} */ name, /** @type {TrainKind[]} */ kinds) => {
    if (options[name] !== undefined && !kinds.includes(kind)) throw new MicrotomeError(`train: the option "${name}" is for ${kinds.join(', ')}, not for ${kind}`, { code: 'ERANGE', details: { option: name } });
  };
  onlyFor('byteLevel', ['bpe']);
  for (const name of /** @type {const} */ (['minFrequency', 'limitAlphabet', 'continuingSubwordPrefix'])) onlyFor(name, ['bpe', 'wordpiece']);
  for (const name of /** @type {const} */ (['seedSize', 'shrinkingFactor', 'subIterations'])) onlyFor(name, ['unigram']);
  onlyFor('maxTokenLength', ['bpe', 'unigram']);
  onlyFor('endOfWordSuffix', ['bpe']);
  const bytes = kind === 'bpe' && (options.byteLevel ?? true);
  if (bytes && options.endOfWordSuffix !== undefined) throw new MicrotomeError('train: endOfWordSuffix is for bpe over characters (byteLevel: false)', { code: 'ERANGE', details: { option: 'endOfWordSuffix' } });
  const strings = (/** @type {string} */ name, /** @type {unknown} */ list) => {
    if (!Array.isArray(list) || list.some((x) => typeof x !== 'string' || !x)) throw new MicrotomeError(`train: ${name} must be a list of strings that are not empty`, { code: 'ERANGE', details: { option: name } });
    return /** @type {string[]} */ (list);
  };

  const chosen = options.preTokenizer ?? (bytes ? 'byte-level' : kind === 'bpe' ? 'whitespace' : kind === 'wordpiece' ? 'bert' : 'metaspace');
  /** @type {Record<string, any> | null} */ let splitter;
  if (typeof chosen !== 'object') splitter = named('preTokenizer', chosen, SPLITTERS);
  else if (typeof chosen.regex === 'string') splitter = { type: 'Split', pattern: { Regex: chosen.regex }, behavior: 'Isolated', invert: false };
  else splitter = chosen;
  const metaspace = splitter?.type === 'Metaspace';
  if (bytes && !uses(splitter, 'ByteLevel')) {
    if (metaspace) throw new MicrotomeError('train: the metaspace splitter is for characters, not for byte-level bpe (byteLevel: false)', { code: 'ERANGE', details: { option: 'preTokenizer' } });
    const alphabet = { ...BYTE_LEVEL, use_regex: false };
    splitter = splitter ? { type: 'Sequence', pretokenizers: [...(splitter.type === 'Sequence' ? splitter.pretokenizers : [splitter]), alphabet] } : alphabet;
  }
  if (kind === 'bpe' && !bytes && chosen === 'byte-level') throw new MicrotomeError('train: the byte-level splitter spells bytes: it goes with byteLevel: true', { code: 'ERANGE', details: { option: 'preTokenizer' } });
  const byteAlphabet = uses(splitter, 'ByteLevel');
  const normalizer = options.normalizer === undefined ? (kind === 'wordpiece' ? NORMALIZERS.bert : null) : options.normalizer === null || typeof options.normalizer === 'object' ? options.normalizer : named('normalizer', options.normalizer, NORMALIZERS);

  const unk = options.unkToken === undefined ? (kind === 'wordpiece' ? '[UNK]' : kind === 'unigram' || !bytes ? '<unk>' : null) : options.unkToken;
  if (unk === null ? kind !== 'bpe' : typeof unk !== 'string' || !unk) throw new MicrotomeError(`train: ${kind} needs an unkToken, a string that is not empty`, { code: 'ERANGE', details: { option: 'unkToken' } });
  const special = [...strings('specialTokens', options.specialTokens ?? (kind === 'wordpiece' ? ['[UNK]', '[CLS]', '[SEP]', '[PAD]', '[MASK]'] : []))];
  if (unk !== null && !special.includes(unk)) special.unshift(unk);
  const twice = special.find((token, i) => special.indexOf(token) < i);
  if (twice !== undefined) throw new MicrotomeError(`train: the special token ${JSON.stringify(twice)} is there twice`, { code: 'ERANGE', details: { option: 'specialTokens' } });

  const lineEnds = options.lineEnds ?? (byteAlphabet ? 'keep' : 'drop');
  if (lineEnds !== 'keep' && lineEnds !== 'drop') throw new MicrotomeError(`train: lineEnds: unknown value ${JSON.stringify(lineEnds)}: known are keep, drop`, { code: 'EUNKNOWN' });
  const number = (/** @type {keyof TrainOptions} */ name, /** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ otherwise, integer = true) => (options[name] === undefined ? otherwise : checkNumber(name, options[name], low, high, integer));
  return {
    kind, bytes, splitter, normalizer, metaspace, unk, special, lineEnds,
    vocabSize: number('vocabSize', 1, 2 ** 24, 30000),
    minFrequency: number('minFrequency', 0, Number.MAX_SAFE_INTEGER, 0),
    alphabet: strings('alphabet', options.alphabet ?? (bytes ? BYTE_CHARACTERS : [])),
    limitAlphabet: number('limitAlphabet', 1, 2 ** 24, 0),
    maxLength: number('maxTokenLength', 1, 2 ** 24, 0),
    prefix: options.continuingSubwordPrefix ?? (kind === 'wordpiece' ? '##' : ''),
    suffix: options.endOfWordSuffix ?? '',
    seedSize: number('seedSize', 1, 2 ** 28, 0),
    shrinkingFactor: number('shrinkingFactor', 0.01, 0.99, 0, false),
    subIterations: number('subIterations', 1, 1000, 0),
    postProcessor: options.postProcessor ?? null,
  };
}

/** Does a pre_tokenizer hold a step of this type? @param {Record<string, any> | null} step @param {string} type @returns {boolean} */
function uses(step, type) {
  return !!step && (step.type === type || (Array.isArray(step.pretokenizers) && step.pretokenizers.some((/** @type {any} */ s) => uses(s, type))));
}

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

  /**
   * @param {TrainOptions & RuntimeOptions} [options] @returns {Promise<Trainer>}
   * @throws {MicrotomeError} EUNKNOWN, ERANGE: an option that is not known or does not fit
   */
  static async create(options = {}) {
    checkOptions('train', options, [...OPTIONS, ...RUNTIME_OPTIONS]);
    const how = settle(options);
    throwIfAborted(options.signal);
    return new Trainer(await loadHeap(options), options, how);
  }

  /** Use Trainer.create. @param {Heap} heap @param {TrainOptions & RuntimeOptions} options @param {ReturnType<typeof settle>} how @internal */
  constructor(heap, options, how) {
    if (!(heap instanceof Heap)) throw new MicrotomeError('use Trainer.create()', { code: 'ESTATE' });
    this.#heap = heap;
    this.#options = options;
    this.#how = how;
    // The pipeline alone: one token that no text spells.
    const definition = heap.encoder.encode(JSON.stringify({ version: '1.0', added_tokens: [], normalizer: how.normalizer, pre_tokenizer: how.splitter, post_processor: null, decoder: null, model: { type: 'WordLevel', vocab: { '\u0000': 0 }, unk_token: '\u0000' } }));
    [this.#pipeline, this.#trainer] = heap.scope((alloc) => {
      const at = alloc(definition.length), out = alloc(4);
      heap.putBytes(at, definition);
      heap.call('tok_load', at, definition.length, 0, 0, 0, 0, 0, 0, -1, out);
      const pipeline = heap.u32(out);
      try {
        heap.call('trainer_new', out);
      } catch (error) {
        heap.exports.tok_free(pipeline);
        throw error;
      }
      return [pipeline, heap.u32(out)];
    });
    FINALIZED.register(this, { heap, trainer: this.#trainer, pipeline: this.#pipeline }, this);
  }

  #live() {
    if (!this.#trainer) throw disposed('this trainer');
    return this.#heap;
  }

  /** Counts the words of one text. @param {string | Uint8Array} text */
  addText(text) {
    const heap = this.#live();
    if (typeof text !== 'string' && !(text instanceof Uint8Array)) throw new MicrotomeError(`train: a text must be a string or a Uint8Array, got ${text === null ? 'null' : typeof text}`, { code: 'ERANGE' });
    const bytes = typeof text === 'string' ? heap.encoder.encode(text) : text;
    heap.scope((alloc) => {
      const at = alloc(bytes.length);
      heap.putBytes(at, bytes);
      heap.call('trainer_text', this.#trainer, this.#pipeline, at, bytes.length);
    });
    this.#texts++;
  }

  /** Counts the words of many texts; gives the thread away now and then. @param {TrainTexts} texts @returns {Promise<void>} */
  async add(texts) {
    const { signal, onProgress } = this.#options;
    let told = performance.now();
    for await (const text of textsOf(texts, this.#how.lineEnds === 'keep', signal)) {
      this.addText(text);
      const now = performance.now();
      if (now - told < 50) continue;
      told = now;
      onProgress?.({ phase: 'read', done: this.#texts, total: null });
      await new Promise((resolve) => setTimeout(resolve));
      throwIfAborted(signal);
    }
    throwIfAborted(signal);
    onProgress?.({ phase: 'read', done: this.#texts, total: null });
  }

  /**
   * Trains on what was counted so far. Can be called again after more texts.
   * @returns {Trained}
   * @throws {MicrotomeError} ERANGE, EMISSING: the texts and options cannot give a vocabulary. AbortError when aborted
   */
  train() {
    const heap = this.#live();
    const how = this.#how;
    const result = heap.scope((alloc) => {
      const put = (/** @type {Uint8Array} */ bytes) => {
        const at = alloc(bytes.length);
        heap.putBytes(at, bytes);
        return at;
      };
      const list = (/** @type {string[]} */ strings) => {
        const pairs = strings.flatMap((s) => {
          const bytes = heap.encoder.encode(s);
          return [put(bytes), bytes.length];
        });
        const at = alloc(4 * pairs.length);
        heap.putInts(at, pairs);
        return at;
      };
      const at = alloc(heap.sizeOf('abi_train_options'));
      const fields = {
        kind: how.kind === 'unigram' ? heap.enums.ABI_TRAIN_UNIGRAM : heap.enums.ABI_TRAIN_BPE,
        vocab_size: how.vocabSize, min_frequency: how.minFrequency,
        special: list(how.special), special_len: how.special.length, alphabet: list(how.alphabet), alphabet_len: how.alphabet.length,
        limit_alphabet: how.limitAlphabet, max_length: how.maxLength,
        prefix: how.prefix ? heap.putCString(alloc, how.prefix) : 0, suffix: how.suffix ? heap.putCString(alloc, how.suffix) : 0,
        shrinking_factor: how.shrinkingFactor, seed_size: how.seedSize, sub_iterations: how.subIterations,
      };
      fill(heap, 'abi_train_options', at, fields);
      this.#run(at);
      const out = alloc(heap.sizeOf('abi_trained'));
      heap.call('trainer_result', this.#trainer, out);
      return heap.read('abi_trained', out);
    });
    const tokens = strings(heap, result.token, result.len);
    const rules = heap.ints(result.merge, 3 * result.merge_len);
    /** @type {[string, string][]} */
    const merges = how.kind === 'bpe' ? Array.from({ length: result.merge_len }, (_, i) => [tokens[rules[3 * i]], tokens[rules[3 * i + 1]]]) : [];
    const scores = result.score ? heap.doubles(result.score, result.len) : null;
    const tokenizerJson = definitionOf(how, tokens, merges, scores);
    return { tokenizerJson, tokenizer: load(heap, tokenizerJson), tokens, merges, scores, seen: { texts: this.#texts, words: result.words, distinctWords: result.distinct } };
  }

  /** @param {number} options */
  #run(options) {
    const heap = this.#heap;
    const { signal, onProgress } = this.#options;
    /** @type {unknown} */ let thrown;
    let threw = false, told = 0;
    heap.onTrainProgress = (done, total) => {
      // An exception must not pass through the module's frames: it is kept, and thrown when they are gone.
      try {
        const now = performance.now();
        if (onProgress && (now - told > 50 || done >= total)) {
          told = now;
          onProgress({ phase: 'train', done, total });
        }
        return !!signal?.aborted;
      } catch (error) {
        thrown = error;
        return (threw = true);
      }
    };
    try {
      throwIfAborted(signal);
      heap.call('trainer_run', this.#trainer, options);
      if (threw) throw thrown;
    } catch (error) {
      if (threw) throw thrown;
      throwIfAborted(signal);
      throw error;
    } finally {
      heap.onTrainProgress = () => false;
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

/**
 * Lines of chunks of bytes, as bytes; a line's end is "\n". @param {AsyncIterable<string | Uint8Array>} chunks @param {boolean} keep with their ends; else without "\n" and "\r\n"
 * @returns {AsyncGenerator<Uint8Array>}
 */
export async function* linesOf(chunks, keep) {
  const encoder = new TextEncoder();
  /** @type {Uint8Array[]} */ let parts = [];
  const line = (/** @type {Uint8Array} */ last) => {
    let whole = last;
    if (parts.length) {
      parts.push(last);
      whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.length;
      }
      parts = [];
    }
    let end = whole.length;
    if (!keep && whole[end - 1] === 10) end -= whole[end - 2] === 13 ? 2 : 1;
    return whole.subarray(0, end);
  };
  let high = ''; // first half of a character at the end of a chunk
  for await (const given of chunks) {
    let chunk;
    if (typeof given === 'string') {
      let text = high + given;
      high = '';
      const last = text.charCodeAt(text.length - 1);
      if (last >= 0xd800 && last < 0xdc00) {
        high = text.slice(-1);
        text = text.slice(0, -1);
      }
      chunk = encoder.encode(text);
    } else chunk = given;
    let at = 0;
    for (let end; (end = chunk.indexOf(10, at)) >= 0; at = end + 1) yield line(chunk.subarray(at, end + 1));
    if (at < chunk.length) parts.push(chunk.slice(at));
  }
  if (high) parts.push(encoder.encode(high));
  if (parts.length) yield line(new Uint8Array(0));
}

/** @param {any} texts @param {boolean} keep @param {AbortSignal | undefined} signal @returns {AsyncGenerator<string | Uint8Array>} */
async function* textsOf(texts, keep, signal) {
  throwIfAborted(signal);
  if (typeof texts === 'string' || texts instanceof Uint8Array) yield texts;
  else if (texts instanceof URL || (typeof Blob === 'function' && texts instanceof Blob)) yield* linesOf((await openSource(toSource(texts), signal)).chunks, keep);
  else if (typeof texts?.getReader === 'function') yield* linesOf(chunksOf(texts), keep);
  else if (texts?.[Symbol.asyncIterator] || texts?.[Symbol.iterator]) {
    for await (const item of texts) {
      if (typeof item === 'string' || item instanceof Uint8Array) yield item;
      else yield* textsOf(item, keep, signal);
    }
  } else throw new MicrotomeError(`train: texts must be strings, bytes, files, streams, or a list or (async) iterable of them; got ${texts === null ? 'null' : typeof texts}`, { code: 'ERANGE' });
}

/** Chunks of a stream; leaving early cancels it. @param {ReadableStream<any>} stream @returns {AsyncGenerator<any>} */
export async function* chunksOf(stream) {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        ended = true;
        return;
      }
      yield value;
    }
  } finally {
    if (!ended) await reader.cancel().catch(() => {});
    reader.releaseLock();
  }
}

/** @param {Heap} heap @param {string} struct @param {number} at @param {Record<string, number>} values */
function fill(heap, struct, at, values) {
  heap.u8.fill(0, at, at + heap.sizeOf(struct));
  for (const [name, value] of Object.entries(values)) {
    const { type, offset } = heap.field(struct, name);
    if (type === 'f64') heap.view.setFloat64(at + offset, value, true);
    else heap.view.setUint32(at + offset, value, true);
  }
}

/** Strings of an array of mt_str. @param {Heap} heap @param {number} at @param {number} count */
function strings(heap, at, count) {
  const pairs = new Uint32Array(heap.ints(at, 2 * count).buffer);
  return Array.from({ length: count }, (_, i) => heap.text(pairs[2 * i], pairs[2 * i + 1]));
}

/** @param {ReturnType<typeof settle>} how @param {string[]} tokens @param {[string, string][]} merges @param {Float64Array | null} scores */
function definitionOf(how, tokens, merges, scores) {
  // An object would put names that look like numbers first: the order of ids is kept by writing the vocabulary out.
  const PLACE = '@vocab@';
  const vocabulary = () => `{${tokens.map((token, id) => `${JSON.stringify(token)}:${id}`).join(',')}}`;
  let model;
  if (how.kind === 'unigram') model = { type: 'Unigram', unk_id: tokens.indexOf(/** @type {string} */ (how.unk)), vocab: tokens.map((token, i) => [token, /** @type {Float64Array} */ (scores)[i]]), byte_fallback: false };
  else if (how.kind === 'wordpiece') model = { type: 'WordPiece', unk_token: how.unk, continuing_subword_prefix: how.prefix, max_input_chars_per_word: 100, vocab: PLACE };
  else model = { type: 'BPE', dropout: null, unk_token: how.unk, continuing_subword_prefix: how.prefix || null, end_of_word_suffix: how.suffix || null, fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab: PLACE, merges };
  let decoder = null;
  if (uses(how.splitter, 'ByteLevel')) decoder = { ...BYTE_LEVEL, add_prefix_space: true };
  else if (how.metaspace) decoder = how.splitter;
  else if (how.kind === 'wordpiece') decoder = { type: 'WordPiece', prefix: how.prefix, cleanup: true };
  else if (how.suffix) decoder = { type: 'BPEDecoder', suffix: how.suffix };
  const definition = JSON.stringify({
    version: '1.0', truncation: null, padding: null,
    added_tokens: how.special.map((content) => ({ id: tokens.indexOf(content), content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: how.normalizer, pre_tokenizer: how.splitter, post_processor: how.postProcessor, decoder, model,
  });
  return definition.replace(`"vocab":"${PLACE}"`, () => `"vocab":${vocabulary()}`);
}

/** @param {Heap} heap @param {string} json @returns {Tokenizer} */
function load(heap, json) {
  const bytes = heap.encoder.encode(json);
  return heap.scope((alloc) => {
    const at = alloc(bytes.length), out = alloc(4);
    heap.putBytes(at, bytes);
    heap.call('tok_load', at, bytes.length, 0, 0, 0, 0, 0, 0, -1, out);
    return new Tokenizer(heap, heap.u32(out));
  });
}
