// What heads do, by where they look: previous tokens, same tokens, what came after the same token.
import { Rng } from '../lab/rng.js';
import { checkNumber, checkOptions } from '../runtime/errors.js';
import { attentionOf } from './attention.js';
import { Pace, logSoftmax } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/** @typedef {{layers: number, heads: number, previous: Float64Array, duplicate: Float64Array, induction: Float64Array}} HeadScores each [layers, heads], 0..1 */

/**
 * Scores on random tokens that are repeated once, [first?] r1..rS r1..rS: nothing but the repetition can be known (Olsson et al. 2022, "In-context Learning and Induction Heads", arXiv:2209.11895).
 * previous: mean weight on the token before; duplicate: from the second copy on the same token in the first; induction: on the token that followed it there.
 * @param {Model} model @param {{length?: number, sequences?: number, seed?: number, from?: number, to?: number, first?: number | null, ids?: number[][], signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} [options]
 *   length: S, default 50, or what the context holds; sequences: default 4; from, to: tokens are drawn from these ids, to not included, default all but the first 259 (of small vocabularies all); first: what goes before, default the tokenizer's beginning of text; ids: the first copies, instead of drawn ones
 * @returns {Promise<HeadScores & {firstCopy: number, secondCopy: number}>} firstCopy, secondCopy: mean -ln p of their tokens, nats: how much the repetition helps @throws {import('../runtime/errors.js').MicrotomeError} EUNSUPPORTED: no attention; ERANGE; as Model.run
 */
export async function headScores(model, options = {}) {
  checkOptions('headScores', options, ['length', 'sequences', 'seed', 'from', 'to', 'first', 'ids', 'signal', 'onProgress']);
  const { vocab, context, layers, heads: H } = model.info, { seed = 0, to = vocab, from = vocab > 518 ? 259 : 0, signal, onProgress } = options, pace = new Pace(signal);
  const length = checkNumber('headScores: length', options.length ?? Math.max(1, Math.min(50, ((context || 512) - 1) >> 1)), 1, 2 ** 20, true), count = checkNumber('headScores: sequences', options.sequences ?? 4, 1, 2 ** 16, true);
  checkNumber('headScores: to', to, 1, vocab, true);
  checkNumber('headScores: from', from, 0, to - 1, true);
  const first = options.first === undefined ? beginningOf(model) : options.first, random = new Rng(seed, 'inspect'), lists = options.ids ?? Array.from({ length: count }, () => Array.from({ length }, () => from + random.below(to - from)));
  const out = { layers, heads: H, previous: new Float64Array(layers * H), duplicate: new Float64Array(layers * H), induction: new Float64Array(layers * H), firstCopy: 0, secondCopy: 0 };
  for (const [k, once] of lists.entries()) {
    const S = once.length, ids = [...(first === null ? [] : [first]), ...once, ...once], T = ids.length, begin = T - S, { patterns } = await attentionOf(model, ids, { signal });
    for (let l = 0; l < layers; l++)
      for (let h = 0; h < H; h++) {
        const at = (/** @type {number} */ i, /** @type {number} */ j) => patterns[l][(h * T + i) * T + j], place = l * H + h;
        for (let i = 1; i < T; i++) out.previous[place] += at(i, i - 1) / (T - 1) / lists.length;
        for (let i = begin; i < T; i++) {
          out.duplicate[place] += at(i, i - S) / S / lists.length;
          out.induction[place] += at(i, i - S + 1) / S / lists.length;
        }
      }
    const { logits } = await model.run(ids, { all: true, signal }), nats = /** @type {number[]} */ ([]);
    for (let t = 0; t + 1 < T; t++) { nats.push(-logSoftmax(logits, t * vocab, vocab)[ids[t + 1]]); await pace.rest(); }
    const mean = (/** @type {number[]} */ list) => list.reduce((a, b) => a + b, 0) / list.length / lists.length;
    out.firstCopy += mean(nats.slice(0, begin - 1));
    out.secondCopy += mean(nats.slice(begin)); // what begins it follows the end of the first copy
    onProgress?.(k + 1, lists.length);
  }
  return out;
}

/** @param {Model} model @returns {number | null} */
function beginningOf(model) {
  try {
    return model.tokenizer.bos;
  } catch {
    return null; // ids alone
  }
}

/**
 * The same three on any text: the share of a head's weight that falls on the keys in question. previous: the key before; duplicate: earlier keys of the same token; induction: keys that follow such a key.
 * @param {import('./attention.js').Attention} attention @param {{dropFirst?: boolean}} [options] dropFirst: weight on the first token, where heads rest, does not count @returns {HeadScores}
 */
export function headDetection(attention, options = {}) {
  checkOptions('headDetection', options, ['dropFirst']);
  const { ids, layers, heads: H, tokens: T, patterns } = attention, j0 = options.dropFirst ? 1 : 0, out = { layers, heads: H, previous: new Float64Array(layers * H), duplicate: new Float64Array(layers * H), induction: new Float64Array(layers * H) };
  for (let l = 0; l < layers; l++)
    for (let h = 0; h < H; h++) {
      const place = l * H + h;
      let all = 0;
      for (let i = 0; i < T; i++)
        for (let j = j0; j <= i; j++) {
          const a = patterns[l][(h * T + i) * T + j];
          all += a;
          if (j === i - 1) out.previous[place] += a;
          if (j < i && ids[j] === ids[i]) out.duplicate[place] += a;
          if (j > 0 && j - 1 < i && ids[j - 1] === ids[i] && j <= i) out.induction[place] += a;
        }
      if (all) { out.previous[place] /= all; out.duplicate[place] /= all; out.induction[place] /= all; }
    }
  return out;
}
