// Byte-pair encoding one merge at a time: what encode does at once, as steps to look at.
import { MicrotomeError } from './runtime/heap.js';

/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {{at: number, left: number, right: number, id: number, rank: number}} MergeStep at: place of `left` in the sequence before this step; left, right, id: token ids */
/**
 * @typedef {object} Replay
 * @property {Int32Array} symbols what merging begins with: bytes or characters
 * @property {Uint32Array} offsets begin and end of each symbol in the text, in bytes
 * @property {MergeStep[]} steps in the order in which the words' merges happen: lowest rank first, of equals the leftmost
 * @property {Int32Array} ids what encode gives
 * @property {number[]} direct places in `ids` of tokens that no merges make: a whole word that is a token, where the definition takes such words as they are (`ignore_merges`), and added tokens
 */

/**
 * What two neighbours become, and the merge's rank: the lowest of a word goes first.
 * @param {Tokenizer} tokenizer @param {number} left id @param {number} right id @returns {{id: number, rank: number} | null} null: these two do not merge, or the tokenizer works otherwise
 */
export function mergeOf(tokenizer, left, right) {
  const { heap, at } = tokenizer.core();
  return heap.scope((alloc) => {
    const out = alloc(8);
    return heap.exports.tok_merge(at, left, right, out) ? { rank: heap.u32(out), id: heap.u32(out + 4) } : null;
  });
}

/**
 * The merges that a text's tokens are made by (Sennrich, Haddow & Birch 2016). Applying all steps to `symbols` gives `ids`, but for the tokens in `direct`.
 *
 *   const { symbols, steps } = replayMerges(tokenizer, ' tokenization');
 *   steps.map(({ left, right, rank }) => `${rank}: ${tokenizer.tokenPiece(left)} + ${tokenizer.tokenPiece(right)}`);
 *
 * @param {Tokenizer} tokenizer @param {string | Uint8Array} text a word, or a few: the steps of all words come together @param {{specialAsText?: boolean}} [options] as for encode
 * @returns {Replay} @throws {MicrotomeError} EUNKNOWN: it is no byte-pair encoding
 */
export function replayMerges(tokenizer, text, options = {}) {
  if (!/^(SentencePiece )?BPE/.test(tokenizer.model)) throw new MicrotomeError(`replayMerges: a ${tokenizer.model} tokenizer does not merge`, { code: 'EUNKNOWN' });
  // Dropout of all merges leaves what merging begins with, in every dialect.
  const { ids: symbols, offsets } = tokenizer.encode(text, { ...options, segmenter: 'bpe-dropout', dropout: 1, seed: 0, offsets: 'bytes' });
  const { ids } = tokenizer.encode(text, { ...options, offsets: false });
  const lengthOf = (/** @type {number} */ id) => tokenizer.tokenBytes(id).length;
  // A token is merged from the symbols inside it, and no merge crosses its edges: each is played alone, then the steps are put in order.
  /** Of each token. @type {{rank: number, left: number, right: number, id: number, begin: number}[][]} */ const queues = [];
  /** @type {number[]} */ const direct = [];
  for (let t = 0, from = 0; t < ids.length; t++) {
    let to = from + 1;
    if (symbols[from] !== ids[t]) for (let left = lengthOf(ids[t]) - lengthOf(symbols[from]); left > 0 && to < symbols.length; to++) left -= lengthOf(symbols[to]);
    /** Symbols and what became of them: id, first symbol. */
    const parts = Array.from(symbols.subarray(from, to), (id, i) => ({ id, begin: from + i }));
    const played = [];
    for (;;) {
      let best = null, place = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const merge = mergeOf(tokenizer, parts[i].id, parts[i + 1].id);
        if (merge && (!best || merge.rank < best.rank)) [best, place] = [merge, i];
      }
      if (!best) break;
      played.push({ ...best, left: parts[place].id, right: parts[place + 1].id, begin: parts[place].begin });
      parts.splice(place, 2, { id: best.id, begin: parts[place].begin });
    }
    if (parts.length === 1 && parts[0].id === ids[t]) queues.push(played);
    else direct.push(t);
    from = to;
  }
  // The tokens' steps come together by rank; those of one token keep their order, for a later one may have a lower rank.
  const begins = Array.from(symbols, (_, i) => i);
  /** @type {MergeStep[]} */ const steps = [];
  for (let live = queues.filter((q) => q.length); live.length; live = live.filter((q) => q.length)) {
    const { left, right, id, rank, begin } = /** @type {typeof queues[0][0]} */ (live.reduce((a, b) => (b[0].rank < a[0].rank ? b : a)).shift());
    const at = begins.indexOf(begin);
    begins.splice(at + 1, 1);
    steps.push({ at, left, right, id, rank });
  }
  return { symbols, offsets: /** @type {Uint32Array} */ (offsets), steps, ids, direct };
}
