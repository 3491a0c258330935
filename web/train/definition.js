// A trained vocabulary as tokenizer.json, in the form that makes the tokenizers library segment as the trainer means it; what that format cannot say
// goes into `model.microtome`, which other readers skip (docs/training.md).
import { BYTE_CHARACTERS, BYTE_LEVEL, uses } from './options.js';

/** @typedef {import('./options.js').Settled} Settled */
/**
 * What a trainer in the core gives. events: Picky BPE's, in order; `part` holds the parts of splits
 * @typedef {object} Raw
 * @property {string[]} tokens @property {[number, number, number][]} merges @property {Float64Array | null} scores
 * @property {Uint8Array | null} present @property {Uint8Array | null} kinds mt_token_kind of each @property {Picked[]} events
 */
/** @typedef {{left: number, right: number, token: number, parts: number[]}} Picked parts: of a split; empty: a merge */
/**
 * @typedef {object} Shape
 * @property {string[]} tokens by id @property {[string, string][]} merges @property {Float64Array | null} scores
 * @property {string[]} removed @property {(number[] | [number, number[]])[]} events
 */

/** Ids of the file: those of the trainer, but for kinds that leave tokens out or add some. @param {Settled} how @param {Raw} raw @returns {Shape} */
export function shapeOf(how, raw) {
  const { tokens } = raw;
  const merges = /** @type {[string, string][]} */ (raw.merges.map(([left, right]) => [tokens[left], tokens[right]]));
  if (how.kind === 'lib') return { tokens: lexicon(how, tokens), merges: [], scores: null, removed: [], events: [] };
  if (how.kind !== 'picky-bpe') return { tokens, merges: how.kind === 'bpe' || how.kind === 'sentencepiece-bpe' ? merges : [], scores: raw.scores, removed: [], events: [] };
  const present = /** @type {Uint8Array} */ (raw.present);
  const kept = /** @type {string[]} */ ([]), removed = /** @type {string[]} */ ([]);
  const ids = tokens.map((token, id) => (present[id] ? kept.push(token) - 1 : -removed.push(token)));
  const pairs = new Set();
  const plain = raw.events.filter(({ left, right, token, parts }) => {
    const key = `${left} ${right}`;
    if (parts.length || !present[left] || !present[right] || !present[token] || pairs.has(key)) return false;
    pairs.add(key);
    return true;
  });
  return {
    tokens: kept, removed, scores: null, merges: plain.map(({ left, right }) => [tokens[left], tokens[right]]),
    events: raw.events.map(({ left, right, token, parts }) => (parts.length ? [ids[token], parts.map((part) => ids[part])] : [ids[left], ids[right], ids[token]])),
  };
}

/** LiB's vocabulary: special tokens, the letters, then the lexicon, best first. @param {Settled} how @param {string[]} lexicon */
function lexicon(how, lexicon) {
  const letters = how.bytes ? BYTE_CHARACTERS : lexicon.filter((token) => [...token].length === 1);
  const tokens = new Set([...how.special, ...letters]);
  for (const token of lexicon) if (tokens.size < how.vocabSize) tokens.add(token);
  return [...tokens];
}

const PLACE = '@vocab@';
const FEWEST = { token: -1, special: -1e6 };

/** @param {Settled} how @param {Shape} shape @returns {Record<string, any>} */
function modelOf(how, { tokens, merges, scores, removed, events }) {
  const unk = how.unk === null ? null : tokens.indexOf(how.unk);
  const bpe = { type: 'BPE', dropout: null, unk_token: how.unk, continuing_subword_prefix: how.prefix || null, end_of_word_suffix: how.suffix || null, fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab: PLACE, merges };
  const wordpiece = { type: 'WordPiece', unk_token: how.unk, continuing_subword_prefix: how.prefix, max_input_chars_per_word: 100, vocab: PLACE };
  const score = (/** @type {number} */ id) => /** @type {Float64Array} */ (scores)[id];
  switch (how.kind) {
    case 'bpe': return bpe;
    case 'wordpiece': case 'wordpiece-likelihood': return wordpiece;
    case 'unigram': return { type: 'Unigram', unk_id: unk, vocab: tokens.map((token, id) => [token, score(id)]), byte_fallback: false };
    case 'sentencepiece-unigram': return { type: 'Unigram', unk_id: unk, vocab: tokens.map((token, id) => [token, score(id)]), byte_fallback: how.byteFallback };
    // All pieces equally likely: the best path has the fewest, and that library's rule for ties prefers the longest last token as PathPiece does.
    case 'pathpiece': return { type: 'Unigram', unk_id: unk, vocab: tokens.map((token, id) => [token, id < how.special.length ? FEWEST.special : FEWEST.token]), byte_fallback: false };
    // Longest match from the left is what WordPiece does when pieces inside words carry no prefix.
    case 'lib': return { ...wordpiece, unk_token: how.unk ?? '<unk>', continuing_subword_prefix: '', max_input_chars_per_word: 2 ** 31 - 1 };
    case 'picky-bpe': return { ...bpe, ignore_merges: true, microtome: { segmenter: 'picky-bpe', removed, events } };
    case 'sentencepiece-bpe': return { ...bpe, fuse_unk: true, byte_fallback: how.byteFallback, merges: allSplits(how, tokens) };
  }
}

/** SentencePiece merges whatever gives a piece, whichever way it was made: every cut of a piece into two pieces, in the order of the pieces. @param {Settled} how @param {string[]} tokens */
function allSplits(how, tokens) {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  /** @type {[string, string][]} */ const merges = [];
  for (const token of tokens.slice(how.special.length + (how.byteFallback ? 256 : 0))) {
    /** @type {[string, string][]} */ const cuts = [];
    for (let at = 0; ; ) {
      at += /** @type {number} */ (token.codePointAt(at)) > 0xffff ? 2 : 1;
      if (at >= token.length) break;
      if (ids.has(token.slice(0, at)) && ids.has(token.slice(at))) cuts.push([token.slice(0, at), token.slice(at)]);
    }
    const order = (/** @type {string} */ part) => /** @type {number} */ (ids.get(part));
    merges.push(...cuts.sort((a, b) => order(a[0]) - order(b[0]) || order(a[1]) - order(b[1])));
  }
  return merges;
}

/** What SentencePiece does to a text before it is cut, in the steps that the format has. @param {Settled} how */
function spSteps(how) {
  const steps = [];
  if (how.charsmap.rules.length) steps.push({ type: 'Precompiled', precompiled_charsmap: base64(how.charsmap.rules) });
  if (how.squeeze) steps.push({ type: 'Replace', pattern: { Regex: '\\A +| +\\z' }, content: '' }, { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' });
  if (how.dummyPrefix) steps.push({ type: 'Prepend', prepend: ' ' });
  const metaspace = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: false };
  const back = { type: 'Metaspace', replacement: '▁', prepend_scheme: how.dummyPrefix ? 'always' : 'never', split: true };
  const decoder = how.byteFallback
    ? { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, ...(how.dummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [])] }
    : back;
  return { normalizer: steps.length ? { type: 'Sequence', normalizers: steps } : null, splitter: metaspace, decoder };
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

/** @param {Settled} how @returns {Record<string, any> | null} */
function decoderOf(how) {
  if (uses(how.splitter, 'ByteLevel')) return { ...BYTE_LEVEL, add_prefix_space: true };
  if (how.metaspace) return how.splitter;
  if (how.kind === 'wordpiece' || how.kind === 'wordpiece-likelihood') return { type: 'WordPiece', prefix: how.prefix, cleanup: true };
  if (how.suffix) return { type: 'BPEDecoder', suffix: how.suffix };
  return how.kind === 'lib' ? { type: 'Fuse' } : null;
}

/** tokenizer.json; null: the format cannot say it. @param {Settled} how @param {Shape} shape */
export function definitionOf(how, shape) {
  if (how.spaceAsSuffix || how.user.length) return null; // no such step; user-defined symbols are found before the text is normalized, and spaces added to it once
  const { tokens } = shape;
  /** @type {{normalizer: Record<string, any> | null, splitter: Record<string, any> | null, decoder: Record<string, any> | null}} */
  const around = how.sp ? spSteps(how) : { normalizer: how.normalizer, splitter: how.splitter, decoder: decoderOf(how) };
  const id = new Map(tokens.map((token, i) => [token, i]));
  const definition = JSON.stringify({
    version: '1.0', truncation: null, padding: null,
    added_tokens: how.special.map((content) => ({ id: id.get(content), content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: around.normalizer, pre_tokenizer: around.splitter, post_processor: how.postProcessor, decoder: around.decoder, model: modelOf(how, shape),
  });
  // An object would put names that look like numbers first: the order of ids is kept by writing the vocabulary out.
  return definition.replace(`"vocab":"${PLACE}"`, () => `"vocab":{${tokens.map((token, i) => `${JSON.stringify(token)}:${i}`).join(',')}}`);
}
