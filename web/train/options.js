// What trainers can be told: kinds, defaults, and what goes with what.
import { MicrotomeError } from '../runtime/heap.js';
import { checkNumber } from '../runtime/errors.js';

/** @typedef {'bpe' | 'wordpiece' | 'wordpiece-likelihood' | 'unigram' | 'pathpiece' | 'picky-bpe' | 'lib' | 'sentencepiece-bpe' | 'sentencepiece-unigram'} TrainKind */
/** @typedef {'byte-level' | 'whitespace' | 'whitespace-split' | 'metaspace' | 'bert' | 'none'} PreTokenizerName */
/** @typedef {'none' | 'nfc' | 'nfd' | 'nfkc' | 'nfkd' | 'lowercase' | 'nfc-lowercase' | 'nfkc-lowercase' | 'bert' | 'bert-cased'} NormalizerName */
/**
 * Texts to learn from. A string or bytes: one text. A list or (async) iterable: each item is one text, or again a file or stream. Files (File,
 * Blob, URL; gzip is unpacked) and streams of bytes or strings are read line by line, in constant memory: each line is one text.
 * @typedef {string | Uint8Array | Blob | URL | ReadableStream<string | Uint8Array>} TrainText
 * @typedef {TrainText | Iterable<TrainText> | AsyncIterable<TrainText>} TrainTexts
 */
/**
 * @typedef {object} TrainOptions
 * @property {TrainKind} [kind] see docs/training.md for each with its paper.
 *   'bpe' (default): pair merges by frequency; 'wordpiece': the same with "##" inside words, encoded by longest match (as the tokenizers library trains BERT's);
 *   'wordpiece-likelihood': the pair that raises the likelihood most (Schuster & Nakajima 2012); 'unigram': the Unigram language model (Kudo 2018) as the tokenizers library trains it;
 *   'pathpiece': fewest tokens, from many candidates down (Schmidt et al. 2024); 'picky-bpe': BPE that throws used-up parts out (Chizhov et al. 2024); 'lib': a lexicon that
 *   reads (Yang et al. 2020); 'sentencepiece-bpe', 'sentencepiece-unigram': as SentencePiece trains, for its .model too
 * @property {number} [vocabSize] tokens, special ones included; default 30000 (SentencePiece: 8000). Fewer come out when the texts give no more; more when the alphabet alone is larger
 * @property {number} [minFrequency] pairs seen less often are not merged (bpe, wordpiece, picky-bpe; pathpiece: in its candidates); default 0
 * @property {string[]} [specialTokens] they get the first ids (SentencePiece: control symbols, after `<unk> <s> </s>`). Default: none for bpe, `[UNK] [CLS] [SEP] [PAD] [MASK]` for wordpiece, `<unk>` for unigram
 * @property {string | null} [unkToken] what stands for characters that no token covers; it joins the special tokens if it is not among them.
 *   Default: `[UNK]` for wordpiece, `<unk>` for unigram, SentencePiece and whatever works over characters; byte-level kinds need none
 * @property {boolean} [byteLevel] bpe, picky-bpe, lib: symbols are bytes (default), so that every text can be encoded; false: characters. pathpiece: always bytes
 * @property {PreTokenizerName | {regex: string} | Record<string, any>} [preTokenizer] how texts are cut into words. 'byte-level': GPT-2's expression; 'whitespace': words and
 *   punctuation; 'whitespace-split': at spaces; 'metaspace': before each space, kept as "▁"; 'bert'; 'none': not at all; {regex}: matches and what lies between them;
 *   or a `pre_tokenizer` as tokenizer.json has it. Default: 'byte-level' for kinds over bytes ('none' for lib, which finds words itself), 'whitespace' for bpe and picky-bpe over characters,
 *   'bert' for wordpiece, 'metaspace' for unigram. SentencePiece has its own
 * @property {NormalizerName | Record<string, any> | null} [normalizer] or a `normalizer` as tokenizer.json has it. Default: 'bert' for wordpiece, else none. SentencePiece: 'none', or `charsmap`
 * @property {string[]} [alphabet] characters that are kept whatever their count. Default: all 256 bytes for kinds over bytes, else none
 * @property {number} [limitAlphabet] the most frequent characters kept (bpe, wordpiece); default: all
 * @property {number} [maxTokenLength] bpe: a token has fewer characters (in the spelling of the file), but may have two; unigram, SentencePiece: characters at most, default 16;
 *   pathpiece: bytes at most, default 16
 * @property {string} [endOfWordSuffix] bpe over characters: what is added to a word's last symbol, such as `</w>`
 * @property {string} [continuingSubwordPrefix] what a symbol inside a word carries in front. Default: `##` for wordpiece, else nothing
 * @property {number} [seedSize] unigram: candidates to begin with; default 1000000
 * @property {number} [shrinkingFactor] unigram: share of the pieces that a pruning keeps; default 0.75
 * @property {number} [subIterations] unigram: EM steps between prunings; default 2
 * @property {number} [numThreads] sentencepiece-unigram: the threads that SentencePiece had (its default is 16). Each sums on its own, in single precision, which shows in the last digits of
 *   scores and now and then in a piece; this trainer runs on one thread in any case. Default 1
 * @property {'bpe' | 'unigram' | 'substrings'} [initial] pathpiece: where its candidates come from; default 'bpe'
 * @property {number} [initialSize] pathpiece: candidates to begin with; default 262144
 * @property {number} [batch] pathpiece: share of the surplus that a round removes; default 0.2
 * @property {number} [threshold] picky-bpe: a part goes when more than this share of it went into a new token; default 0.9; 1: never
 * @property {number} [steps] lib: articles read; default: as many as there are texts for, and 200 at least
 * @property {number} [articleSize] lib: texts in one article; default 500
 * @property {number} [memorize] lib: chance to memorize two neighbouring chunks; default 0.25
 * @property {number} [move] lib: share of its rank by which a chunk moves; default 0.1
 * @property {number} [worst] lib: share of the ranks put on probation in each step; default 1e-4
 * @property {number} [probation] lib: steps until an unreleased chunk is forgotten; default 10
 * @property {number} [seed] lib: of its drawing; default 0
 * @property {number} [characterCoverage] SentencePiece: share of the text's characters that get pieces; default 0.9995
 * @property {boolean} [byteFallback] SentencePiece: `<0x00>`..`<0xFF>` spell what no piece covers
 * @property {boolean} [splitDigits] SentencePiece: each digit is a piece of its own
 * @property {boolean} [splitByUnicodeScript] @property {boolean} [splitByNumber] @property {boolean} [splitByWhitespace] SentencePiece: pieces do not cross these; default true
 * @property {boolean} [treatWhitespaceAsSuffix] @property {boolean} [allowWhitespaceOnlyPieces] SentencePiece; default false
 * @property {boolean} [addDummyPrefix] @property {boolean} [removeExtraWhitespaces] SentencePiece; default true
 * @property {number} [maxSentenceLength] SentencePiece: longer texts (bytes) are left out; default 4192
 * @property {string[]} [userDefinedSymbols] SentencePiece: pieces that always stay whole
 * @property {string | null} [bosToken] @property {string | null} [eosToken] @property {string | null} [padToken] SentencePiece; default `<s>`, `</s>`, none
 * @property {{name: string, rules: Uint8Array}} [charsmap] SentencePiece: compiled normalization rules and their name, as `charsmapOf` reads them out of a .model
 * @property {'keep' | 'drop'} [lineEnds] of lines of files and streams. Default: 'keep' with the 'byte-level' splitter, else 'drop'
 * @property {Record<string, any> | null} [postProcessor] as tokenizer.json has it; default: none
 * @property {(progress: TrainProgress) => void} [onProgress]
 * @property {AbortSignal} [signal] checked between texts and between steps of training. Training itself does not give the thread away: in a page, run it in a worker
 */
/** @typedef {{phase: 'read' | 'train', done: number, total: number | null}} TrainProgress read: texts; train: vocabulary entries (lib: steps) */

const SP = ['sentencepiece-bpe', 'sentencepiece-unigram'];
const WORDPIECE = ['wordpiece', 'wordpiece-likelihood'];
const EM = ['unigram', 'sentencepiece-unigram'];
/** Options that not every kind has, with the kinds that do. @type {Record<string, string[]>} */
const ONLY = {
  minFrequency: ['bpe', ...WORDPIECE, 'pathpiece', 'picky-bpe'], byteLevel: ['bpe', 'picky-bpe', 'lib'], limitAlphabet: ['bpe', ...WORDPIECE], continuingSubwordPrefix: ['bpe', ...WORDPIECE],
  endOfWordSuffix: ['bpe'], maxTokenLength: ['bpe', ...EM, 'sentencepiece-bpe', 'pathpiece'], seedSize: [...EM, 'pathpiece'], shrinkingFactor: EM, subIterations: EM, numThreads: ['sentencepiece-unigram'],
  alphabet: ['bpe', ...WORDPIECE, 'unigram', 'picky-bpe', ...SP], preTokenizer: ['bpe', ...WORDPIECE, 'unigram', 'pathpiece', 'picky-bpe', 'lib'], postProcessor: ['bpe', ...WORDPIECE, 'unigram', 'pathpiece', 'picky-bpe', 'lib'],
  initial: ['pathpiece'], initialSize: ['pathpiece'], batch: ['pathpiece'], threshold: ['picky-bpe'],
  steps: ['lib'], articleSize: ['lib'], memorize: ['lib'], move: ['lib'], worst: ['lib'], probation: ['lib'], seed: ['lib'],
  ...Object.fromEntries(['characterCoverage', 'byteFallback', 'splitDigits', 'splitByUnicodeScript', 'splitByNumber', 'splitByWhitespace', 'treatWhitespaceAsSuffix', 'allowWhitespaceOnlyPieces', 'addDummyPrefix',
    'removeExtraWhitespaces', 'maxSentenceLength', 'userDefinedSymbols', 'bosToken', 'eosToken', 'padToken', 'charsmap'].map((name) => [name, SP])),
};
/** @type {TrainKind[]} */
export const TRAIN_KINDS = ['bpe', 'wordpiece', 'wordpiece-likelihood', 'unigram', 'pathpiece', 'picky-bpe', 'lib', 'sentencepiece-bpe', 'sentencepiece-unigram'];
export const TRAIN_OPTIONS = ['kind', 'vocabSize', 'specialTokens', 'unkToken', 'normalizer', ...Object.keys(ONLY), 'lineEnds', 'onProgress', 'signal'];

export const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
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
export const BYTE_CHARACTERS = (() => {
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : next++));
})();

/** @param {string} message @param {string} option @param {string} [code] @returns {MicrotomeError} */
const wrong = (message, option, code = 'ERANGE') => new MicrotomeError(`train: ${message}`, { code, details: { option } });

/** @template {string} K @param {string} what @param {unknown} name @param {Record<K, any>} table */
function named(what, name, table) {
  if (typeof name === 'string' && Object.hasOwn(table, name)) return table[/** @type {K} */ (name)];
  throw new MicrotomeError(`${what}: unknown name ${JSON.stringify(name)}: known are ${Object.keys(table).join(', ')}`, { code: 'EUNKNOWN', details: { option: what } });
}

/** Does a pre_tokenizer hold a step of this type? @param {Record<string, any> | null} step @param {string} type @returns {boolean} */
export function uses(step, type) {
  return !!step && (step.type === type || (Array.isArray(step.pretokenizers) && step.pretokenizers.some((/** @type {any} */ s) => uses(s, type))));
}

/** @param {string} name @param {unknown} list */
function strings(name, list) {
  if (!Array.isArray(list) || list.some((x) => typeof x !== 'string' || !x)) throw wrong(`${name} must be a list of strings that are not empty`, name);
  return /** @type {string[]} */ (list);
}

/** The pre_tokenizer. @param {TrainOptions} options @param {TrainKind} kind @param {boolean} bytes */
function splitterOf(options, kind, bytes) {
  const usual = kind === 'lib' ? 'none' : bytes ? 'byte-level' : kind === 'bpe' || kind === 'picky-bpe' ? 'whitespace' : WORDPIECE.includes(kind) ? 'bert' : 'metaspace';
  const chosen = options.preTokenizer ?? usual;
  /** @type {Record<string, any> | null} */ let splitter;
  if (typeof chosen !== 'object') splitter = named('preTokenizer', chosen, SPLITTERS);
  else if (typeof chosen.regex === 'string') splitter = { type: 'Split', pattern: { Regex: chosen.regex }, behavior: 'Isolated', invert: false };
  else splitter = chosen;
  if (bytes && !uses(splitter, 'ByteLevel')) {
    if (uses(splitter, 'Metaspace')) throw wrong(`the metaspace splitter is for characters, not for byte-level ${kind}${kind === 'pathpiece' ? '' : ' (byteLevel: false)'}`, 'preTokenizer');
    const alphabet = { ...BYTE_LEVEL, use_regex: false };
    splitter = splitter ? { type: 'Sequence', pretokenizers: [...(splitter.type === 'Sequence' ? splitter.pretokenizers : [splitter]), alphabet] } : alphabet;
  }
  if ((kind === 'bpe' || kind === 'picky-bpe' || kind === 'lib') && !bytes && chosen === 'byte-level') throw wrong('the byte-level splitter spells bytes: it goes with byteLevel: true', 'preTokenizer');
  return splitter;
}

/** The special tokens with their kinds: SentencePiece's own come first. @param {TrainOptions} options @param {TrainKind} kind @param {boolean} bytes @param {boolean} sp */
function specialsOf(options, kind, bytes, sp) {
  const unk = options.unkToken === undefined ? (WORDPIECE.includes(kind) ? '[UNK]' : bytes ? null : '<unk>') : options.unkToken;
  const may = bytes || kind === 'bpe';
  if (unk === null ? !may : typeof unk !== 'string' || !unk) throw wrong(`${kind} needs an unkToken, a string that is not empty`, 'unkToken');
  const special = [...strings('specialTokens', options.specialTokens ?? (WORDPIECE.includes(kind) ? ['[UNK]', '[CLS]', '[SEP]', '[PAD]', '[MASK]'] : []))];
  /** @type {(string | null)[]} */ const ends = [options.bosToken === undefined ? '<s>' : options.bosToken, options.eosToken === undefined ? '</s>' : options.eosToken, options.padToken ?? null];
  const user = sp ? strings('userDefinedSymbols', options.userDefinedSymbols ?? []) : [];
  if (sp) {
    for (const [i, name] of /** @type {const} */ (['bosToken', 'eosToken', 'padToken']).entries()) if (ends[i] !== null && (typeof ends[i] !== 'string' || !ends[i])) throw wrong(`${name} must be null or a string that is not empty`, name);
    special.unshift(...[unk, ...ends].filter((x) => x !== null && !special.includes(x)).map(String));
    special.push(...user);
  } else if (unk !== null && !special.includes(unk)) special.unshift(unk);
  const twice = special.find((token, i) => special.indexOf(token) < i);
  if (twice !== undefined) throw wrong(`the special token ${JSON.stringify(twice)} is there twice`, 'specialTokens');
  return { unk, special, ends: sp ? ends : [], user };
}

/** Options with their defaults, checked. @param {TrainOptions} options */
export function settle(options) {
  const { kind = 'bpe' } = options;
  if (!TRAIN_KINDS.includes(kind)) throw wrong(`unknown kind ${JSON.stringify(kind)}: known are ${TRAIN_KINDS.join(', ')}`, 'kind', 'EUNKNOWN');
  for (const [name, kinds] of Object.entries(ONLY))
    if (/** @type {any} */ (options)[name] !== undefined && !kinds.includes(kind)) throw wrong(`the option "${name}" is for ${kinds.join(', ')}, not for ${kind}`, name);
  const sp = SP.includes(kind);
  const bytes = kind === 'pathpiece' || ((kind === 'bpe' || kind === 'picky-bpe' || kind === 'lib') && (options.byteLevel ?? true));
  if (bytes && options.endOfWordSuffix !== undefined) throw wrong('endOfWordSuffix is for bpe over characters (byteLevel: false)', 'endOfWordSuffix');
  const splitter = sp ? null : splitterOf(options, kind, bytes);
  const byteAlphabet = uses(splitter, 'ByteLevel');
  const normalizer = options.normalizer === undefined ? (WORDPIECE.includes(kind) ? NORMALIZERS.bert : null) : options.normalizer === null || typeof options.normalizer === 'object' ? options.normalizer : named('normalizer', options.normalizer, NORMALIZERS);
  if (sp && normalizer) throw wrong(`SentencePiece takes compiled rules: give charsmap instead of a normalizer`, 'normalizer');

  const lineEnds = options.lineEnds ?? (byteAlphabet && kind !== 'lib' ? 'keep' : 'drop');
  if (lineEnds !== 'keep' && lineEnds !== 'drop') throw wrong(`lineEnds: unknown value ${JSON.stringify(lineEnds)}: known are keep, drop`, 'lineEnds', 'EUNKNOWN');
  const initial = options.initial ?? 'bpe';
  if (!['bpe', 'unigram', 'substrings'].includes(initial)) throw wrong(`initial: unknown value ${JSON.stringify(initial)}: known are bpe, unigram, substrings`, 'initial', 'EUNKNOWN');
  const number = (/** @type {keyof TrainOptions} */ name, /** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ otherwise, integer = true) => (options[name] === undefined ? otherwise : checkNumber(name, options[name], low, high, integer));
  const flag = (/** @type {keyof TrainOptions} */ name, otherwise = false) => {
    const value = options[name] ?? otherwise;
    if (typeof value !== 'boolean') throw wrong(`${name} must be true or false`, name);
    return value;
  };
  const { charsmap } = options;
  if (charsmap !== undefined && !(charsmap.rules instanceof Uint8Array && typeof charsmap.name === 'string')) throw wrong('charsmap must be {name, rules: Uint8Array}', 'charsmap');
  return {
    kind, sp, bytes, splitter, normalizer, metaspace: splitter?.type === 'Metaspace', lineEnds, ...specialsOf(options, kind, bytes, sp),
    vocabSize: number('vocabSize', 1, 2 ** 24, sp ? 8000 : 30000),
    minFrequency: number('minFrequency', 0, Number.MAX_SAFE_INTEGER, 0),
    alphabet: strings('alphabet', options.alphabet ?? (bytes ? BYTE_CHARACTERS : [])),
    limitAlphabet: number('limitAlphabet', 1, 2 ** 24, 0),
    maxLength: number('maxTokenLength', 1, 2 ** 24, 0),
    prefix: options.continuingSubwordPrefix ?? (WORDPIECE.includes(kind) ? '##' : ''),
    suffix: options.endOfWordSuffix ?? '',
    seedSize: number('seedSize', 1, 2 ** 28, 0), shrinkingFactor: number('shrinkingFactor', 0.01, 0.99, 0, false), subIterations: number('subIterations', 1, 1000, 0), threads: number('numThreads', 1, 1024, 1),
    initial, initialSize: number('initialSize', 257, 2 ** 24, 2 ** 18), batch: number('batch', 0.001, 1, 0.2, false),
    threshold: number('threshold', Number.MIN_VALUE, 1, 0.9, false),
    steps: number('steps', 1, 2 ** 31 - 1, 0), articleSize: number('articleSize', 1, 2 ** 31 - 1, 500), probation: number('probation', 1, 2 ** 31 - 1, 10), memorize: number('memorize', Number.MIN_VALUE, 1, 0.25, false),
    move: number('move', Number.MIN_VALUE, 1, 0.1, false), worst: number('worst', Number.MIN_VALUE, 1, 1e-4, false), seed: number('seed', 0, Number.MAX_SAFE_INTEGER, 0),
    coverage: number('characterCoverage', 0.01, 1, 0.9995, false), maxSentenceLength: number('maxSentenceLength', 1, 2 ** 31 - 1, 4192), byteFallback: flag('byteFallback'), splitDigits: flag('splitDigits'),
    joinScripts: !flag('splitByUnicodeScript', true), joinNumbers: !flag('splitByNumber', true), joinWords: !flag('splitByWhitespace', true), spaceAsSuffix: flag('treatWhitespaceAsSuffix'),
    spaceOnlyPieces: flag('allowWhitespaceOnlyPieces'), dummyPrefix: flag('addDummyPrefix', true), squeeze: flag('removeExtraWhitespaces', true), charsmap: charsmap ?? { name: 'identity', rules: new Uint8Array(0) },
    postProcessor: options.postProcessor ?? null,
  };
}
/** @typedef {ReturnType<typeof settle>} Settled */
