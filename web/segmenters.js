// Segmenters other than a tokenizer's own, as options of encode.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber } from './runtime/errors.js';

/** @typedef {import('./runtime/heap.js').Heap} Heap */
/** @typedef {import('./huffman.js').HuffmanCode} HuffmanCode */

/**
 * - `default`: the tokenizer's own
 * - `longest-prefix`, `longest-suffix`: the longest token from the left (MPE), from the right
 * - `longest-dropout`: from the left, every match longer than the shortest refused with probability `dropout` (MaxMatch-dropout, Hiraoka 2022)
 * - `fewest-tokens`: as few as possible (PathPiece, Schmidt et al. 2024); `ties` says which of equals
 * - `longest-token-first`: the longest token anywhere, then the same on both sides of it (LBPE)
 * - `bpe-dropout`: merges are dropped with probability `dropout` (Provilkov et al. 2020) as the tokenizers library does it; `bpe-dropout-step-all` as subword-nmt does,
 *   `bpe-dropout-step-one` one occurrence a step, `bpe-dropout-discard` as SentencePiece does
 * - `unigram-sample`: drawn with probability proportional to exp(alpha x score), the scores being the vocabulary's (Kudo 2018), among all segmentations or the `nBest`; `uniform-sample`: all segmentations of a
 *   word equally likely
 * - `characters`, `bytes`: every character's, every byte's own token
 * @typedef {'default' | 'longest-prefix' | 'longest-suffix' | 'longest-dropout' | 'fewest-tokens' | 'longest-token-first' | 'bpe-dropout' | 'bpe-dropout-step-all' | 'bpe-dropout-step-one' | 'bpe-dropout-discard'
 *   | 'unigram-sample' | 'uniform-sample' | 'characters' | 'bytes'} SegmenterKind
 */
/**
 * @typedef {object} SegmenterOptions
 * @property {SegmenterKind | HuffmanCode} [segmenter] what cuts the words; default: the tokenizer's own. A HuffmanCode: ids are the digits of its code words
 * @property {number} [dropout] probability, for the kinds with dropout; default 0.1
 * @property {number} [alpha] of unigram-sample: scores times this; default 1
 * @property {number} [nBest] of unigram-sample: draw among so many best segmentations of a word; default: among all
 * @property {'longest' | 'random'} [ties] of fewest-tokens: of equals the one with the longest last token, and so on backwards (default), or a random one
 * @property {number} [seed] makes drawing repeatable: what is drawn for a word depends on this and on the word's place in the text alone. Default: random
 * @property {number} [position] bytes before this text, where it is part of a longer one: they count for the places of words
 */

/** Each kind's name in the core. @type {Record<SegmenterKind, string>} */
const KINDS = {
  default: 'OWN', 'longest-prefix': 'LONGEST_PREFIX', 'longest-suffix': 'LONGEST_SUFFIX', 'longest-dropout': 'LONGEST_DROPOUT', 'fewest-tokens': 'FEWEST', 'longest-token-first': 'LONGEST_FIRST',
  'bpe-dropout': 'DROPOUT_REQUEUE', 'bpe-dropout-step-all': 'DROPOUT_STEP_ALL', 'bpe-dropout-step-one': 'DROPOUT_STEP_ONE', 'bpe-dropout-discard': 'DROPOUT_DISCARD',
  'unigram-sample': 'SAMPLE', 'uniform-sample': 'UNIFORM', characters: 'CHARACTERS', bytes: 'BYTES',
};
/** Names of the segmenters that encode() can be given. */
export const SEGMENTERS = /** @type {SegmenterKind[]} */ (Object.keys(KINDS));
export const SEGMENTER_OPTIONS = ['segmenter', 'dropout', 'alpha', 'nBest', 'ties', 'seed', 'position'];

/** Do the options ask for more than the tokenizer's own segmenter? @param {SegmenterOptions} options */
export const choosesSegmenter = (options) => options.segmenter !== undefined && options.segmenter !== 'default';

/**
 * What tok_encode_with takes as its choice.
 * @param {Heap} heap @param {string} where @param {SegmenterOptions} options @returns {number} its address; 0: the tokenizer's own segmenter
 */
export function choiceOf(heap, where, options) {
  const { segmenter = 'default', ties = 'longest' } = options;
  const code = typeof segmenter === 'object' && segmenter !== null && typeof segmenter.core === 'function' ? segmenter.core(heap) : 0;
  if (!code && (typeof segmenter !== 'string' || !Object.hasOwn(KINDS, segmenter)))
    throw new MicrotomeError(`${where}: unknown segmenter ${JSON.stringify(segmenter)}: known are ${SEGMENTERS.join(', ')}, or a HuffmanCode`, { code: 'EUNKNOWN' });
  const name = code ? 'HUFFMAN' : KINDS[/** @type {SegmenterKind} */ (segmenter)];
  const drops = /** @type {string} */ (segmenter).includes?.('dropout');
  for (const [option, fits] of /** @type {[keyof SegmenterOptions, boolean][]} */ ([['dropout', drops], ['alpha', name === 'SAMPLE'], ['nBest', name === 'SAMPLE'], ['ties', name === 'FEWEST']]))
    if (options[option] !== undefined && !fits) throw new MicrotomeError(`${where}: ${option} is no option of the segmenter ${code ? 'HuffmanCode' : segmenter}`, { code: 'EUNKNOWN' });
  if (ties !== 'longest' && ties !== 'random') throw new MicrotomeError(`${where}: ties: unknown rule ${JSON.stringify(ties)}: known are longest, random`, { code: 'EUNKNOWN' });
  const p = drops ? checkNumber('dropout', options.dropout ?? 0.1, 0, 1) : name === 'SAMPLE' ? checkNumber('alpha', options.alpha ?? 1, 0, 1e6) : 0;
  const best = options.nBest === undefined ? 0 : checkNumber('nBest', options.nBest, 1, 2 ** 20, true);
  const seed = options.seed === undefined ? Math.floor(Math.random() * 2 ** 53) : checkNumber('seed', options.seed, 0, Number.MAX_SAFE_INTEGER, true);
  const position = checkNumber('position', options.position ?? 0, 0, Number.MAX_SAFE_INTEGER, true);
  return name === 'OWN' ? 0 : heap.get('tok_choice', heap.enums[`MT_CHOICE_${name}`], p, Number(ties === 'random'), best, seed, position, code);
}
