// Two tokenizers side by side: tokens that stand for each other, sequences that match, distributions carried over. docs/bytes.md has the sources.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions } from './runtime/errors.js';
import { loadHeap } from './runtime/load.js';

/** @typedef {import('./runtime/heap.js').Heap} Heap */
/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */

/** @param {Tokenizer} a @param {Tokenizer} b */
function cores(a, b) {
  const x = a.core(), y = b.core();
  if (x.heap !== y.heap) throw new MicrotomeError('the two were loaded into different modules: load them with the same options', { code: 'ESTATE' });
  return { heap: x.heap, a: x.at, b: y.at };
}
/** @param {Heap} heap @param {(bytes: number) => number} alloc @param {ArrayLike<number>} numbers */
function putDoubles(heap, alloc, numbers) {
  const at = (alloc(8 * numbers.length + 8) + 7) & ~7;
  heap.putBytes(at, new Uint8Array(Float64Array.from(numbers).buffer));
  return at;
}

/**
 * For each token of one vocabulary the token of another that stands for it (Cross-model Control: prefix match with the smallest edit distance). Special and byte-fallback tokens go by their name;
 * others to the token of the same bytes, else to the nearest in length among the tokens that begin it or that it begins (the first id of equals; a lone space only for white space).
 * @param {Tokenizer} from @param {Tokenizer} onto
 * @returns {{map: Int32Array, same: Uint8Array, mapped: number, exact: number}} by id of `from`: map: id of `onto`, -1: none; same: 1 where the two are the same. mapped, exact: how many
 */
export function mapTokens(from, onto) {
  const { heap, a, b } = cores(from, onto), n = from.vocabSize;
  return heap.scope((alloc) => {
    const at = alloc(4 * n + 4), flags = alloc(n + 1);
    heap.call('token_map', a, b, at, flags);
    const map = heap.ints(at, n), same = heap.bytes(flags, n);
    return { map, same, mapped: map.reduce((sum, id) => sum + Number(id >= 0), 0), exact: same.reduce((sum, x) => sum + x, 0) };
  });
}

/**
 * Steers one model by the difference of two others of another vocabulary: ln p(base) + alpha x delta[map]; tokens that stand for nothing stay as they are (Cross-model Control). Not normalised.
 * @param {Float32Array | Float64Array} logits of the base model @param {ArrayLike<number>} delta logits of the tuned minus those of the untuned model, by their vocabulary
 * @param {Int32Array} map of mapTokens(base, theirs) @param {number} [alpha] default 1 @returns {Float64Array} @throws {MicrotomeError} ERANGE: lengths that do not fit
 */
export function steerLogits(logits, delta, map, alpha = 1) {
  if (map.length > logits.length) throw new MicrotomeError(`steerLogits: a map of ${map.length} tokens for ${logits.length} logits`, { code: 'ERANGE' });
  let top = -Infinity, sum = 0;
  for (const x of logits) top = Math.max(top, x);
  for (const x of logits) sum += Math.exp(x - top);
  return Float64Array.from(logits, (x, id) => {
    const to = id < map.length ? map[id] : -1;
    if (to >= delta.length) throw new MicrotomeError(`steerLogits: token ${id} stands for ${to}, but there are ${delta.length} differences`, { code: 'ERANGE' });
    return x - top - Math.log(sum) + (to >= 0 ? alpha * delta[to] : 0);
  });
}

/**
 * The two encodings of a text matched by dynamic time warping with the edit distance of tokens as the cost (Wan et al. 2024). alignTokenizations groups by equal bytes instead.
 * @param {Tokenizer} a @param {Tokenizer} b @param {string | Uint8Array} text
 * @returns {{a: Int32Array, b: Int32Array, pairs: [number, number][], cost: number}} a, b: ids; pairs: of positions in them, in order; cost: the sum of edit distances in bytes
 * @throws {MicrotomeError} ELIMIT: more than 2^26 pairs to look at
 */
export function warpTokenizations(a, b, text) {
  const { heap, a: ta, b: tb } = cores(a, b), x = a.encode(text, { offsets: false }).ids, y = b.encode(text, { offsets: false }).ids;
  return heap.scope((alloc) => {
    const [left, right] = [x, y].map((ids) => { const at = alloc(4 * ids.length + 4); heap.putInts(at, ids); return at; });
    const pairs = alloc(8 * (x.length + y.length) + 8), out = alloc(24), cost = (out + 15) & ~7;
    heap.call('token_warp', ta, left, x.length, tb, right, y.length, pairs, out, cost);
    const list = heap.ints(pairs, 2 * heap.u32(out));
    return { a: x, b: y, pairs: Array.from({ length: list.length / 2 }, (_, i) => /** @type {[number, number]} */ ([list[2 * i], list[2 * i + 1]])), cost: heap.doubles(cost, 1)[0] };
  });
}

/** Levenshtein distance of two strings or byte strings, in bytes. @param {Tokenizer} tokenizer whose module computes it @param {string | Uint8Array} a one @param {string | Uint8Array} b the other @returns {number} */
export function editDistance(tokenizer, a, b) {
  const { heap } = tokenizer.core();
  return heap.scope((alloc) => {
    const [x, y] = [a, b].map((s) => { const bytes = typeof s === 'string' ? heap.encoder.encode(s) : s, at = alloc(bytes.length + 1); heap.putBytes(at, bytes); return { at, n: bytes.length }; });
    const out = alloc(4);
    heap.call('edit_distance', x.at, x.n, y.at, y.n, out);
    return heap.u32(out);
  });
}

/**
 * Entropic optimal transport (Cuturi 2013): the plan that carries masses a over to masses b at the smallest <plan, cost> - epsilon x entropy, by Sinkhorn's iteration in the log domain.
 * @param {ArrayLike<number>[]} cost rows @param {{a?: ArrayLike<number>, b?: ArrayLike<number>, epsilon?: number, tolerance?: number, rounds?: number}} [options]
 *   a, b: masses of rows and columns, normalised to sum 1 (default: equal). epsilon: default 0.05 of the largest cost (0.05 where all are 0); towards 0 the plan becomes the exact one, slowly. tolerance: largest error
 *   of a marginal, default 1e-6. rounds: at most, default 100000
 * @returns {Promise<{plan: Float64Array[], cost: number, error: number, rounds: number, converged: boolean}>} cost: <plan, cost>
 * @throws {MicrotomeError} ERANGE: no matrix of finite numbers, masses that are negative or all 0
 */
export async function transport(cost, options = {}) {
  checkOptions('transport', options, ['a', 'b', 'epsilon', 'tolerance', 'rounds']);
  const n = cost.length, m = n ? cost[0].length : 0, flat = new Float64Array(n * m);
  cost.forEach((row, i) => {
    if (row.length !== m) throw new MicrotomeError(`transport: row ${i} of the costs has ${row.length} numbers, row 0 has ${m}`, { code: 'ERANGE' });
    flat.set(Float64Array.from(row), i * m);
  });
  const { a = new Float64Array(n).fill(1), b = new Float64Array(m).fill(1), tolerance = 1e-6, rounds = 100000 } = options;
  if (a.length !== n || b.length !== m) throw new MicrotomeError(`transport: ${a.length} and ${b.length} masses for costs of ${n} rows and ${m} columns`, { code: 'ERANGE' });
  const epsilon = options.epsilon ?? (0.05 * flat.reduce((top, x) => Math.max(top, Math.abs(x)), 0) || 0.05);
  checkNumber('transport: tolerance', tolerance, 1e-15, 1);
  checkNumber('transport: rounds', rounds, 1, 2 ** 31 - 1, true);
  const heap = await loadHeap({});
  return heap.scope((alloc) => {
    const [c, x, y] = [flat, a, b].map((numbers) => putDoubles(heap, alloc, numbers)), plan = putDoubles(heap, alloc, new Float64Array(n * m)), out = alloc(heap.sizeOf('mt_transported') + 8);
    const at = (out + 7) & ~7;
    heap.call('transport', c, n, m, x, y, epsilon, tolerance, rounds, plan, at);
    const r = heap.read('mt_transported', at), all = heap.doubles(plan, n * m);
    return { plan: Array.from({ length: n }, (_, i) => all.slice(i * m, (i + 1) * m)), cost: r.cost, error: r.error, rounds: r.rounds, converged: r.converged === 1 };
  });
}

const COSTS = /** @type {const} */ (['bytes', 'edit']);
/**
 * The two encodings of a text aligned by optimal transport: every token carries its bytes, and the cheapest plan says how much of each goes to which token of the other. As CoT2Align does with
 * hidden states: give their cosine distances as `costs`.
 * @param {Tokenizer} a @param {Tokenizer} b @param {string | Uint8Array} text
 * @param {{cost?: 'bytes' | 'edit', costs?: ArrayLike<number>[], masses?: 'bytes' | 'equal', epsilon?: number, tolerance?: number}} [options] cost: of a pair: 'bytes' (default): the share of their
 *   bytes in the text that only one of them has, 1 - |both| / |either|; 'edit': their edit distance over the longer length. costs: your own matrix instead, tokens of a by tokens of b. masses: default 'bytes'; epsilon, tolerance: as of transport
 * @returns {Promise<{a: Int32Array, b: Int32Array, plan: Float64Array[], cost: number, error: number, rounds: number, converged: boolean}>} plan: sums to 1 @throws {MicrotomeError} EUNKNOWN: another cost, other masses; as transport
 */
export async function transportTokenizations(a, b, text, options = {}) {
  checkOptions('transportTokenizations', options, ['cost', 'costs', 'masses', 'epsilon', 'tolerance']);
  const { cost: kind = 'bytes', costs, masses = 'bytes', epsilon, tolerance } = options;
  if (!COSTS.includes(kind)) throw new MicrotomeError(`transportTokenizations: unknown cost ${JSON.stringify(kind)}: known are ${COSTS.join(', ')}`, { code: 'EUNKNOWN' });
  if (masses !== 'bytes' && masses !== 'equal') throw new MicrotomeError(`transportTokenizations: unknown masses ${JSON.stringify(masses)}: known are bytes, equal`, { code: 'EUNKNOWN' });
  const sides = [a, b].map((tokenizer) => {
    const { ids, offsets } = tokenizer.encode(text, { offsets: 'bytes' }), spans = /** @type {Uint32Array} */ (offsets);
    return { ids, spans: Array.from(ids, (_, i) => /** @type {[number, number]} */ ([spans[2 * i], spans[2 * i + 1]])) };
  });
  const [x, y] = sides;
  if (!x.ids.length || !y.ids.length) return { a: x.ids, b: y.ids, plan: Array.from(x.ids, () => new Float64Array(y.ids.length)), cost: 0, error: 0, rounds: 0, converged: true };
  const pair = (/** @type {number} */ i, /** @type {number} */ j) => {
    if (kind === 'edit') {
      const s = a.tokenBytes(x.ids[i]), t = b.tokenBytes(y.ids[j]);
      return editDistance(a, s, t) / Math.max(s.length, t.length, 1);
    }
    const [[p, q], [r, s]] = [x.spans[i], y.spans[j]], both = Math.max(0, Math.min(q, s) - Math.max(p, r)), either = q - p + s - r - both;
    return either ? 1 - both / either : Number(p !== r);
  };
  const matrix = costs ?? Array.from(x.ids, (_, i) => Float64Array.from(y.ids, (_id, j) => pair(i, j)));
  const weigh = (/** @type {{spans: [number, number][]}} */ { spans }) => spans.map(([from, to]) => (masses === 'equal' ? 1 : to - from));
  const found = await transport(matrix, { a: weigh(x), b: weigh(y), ...(epsilon !== undefined && { epsilon }), ...(tolerance !== undefined && { tolerance }) });
  return { a: x.ids, b: y.ids, ...found };
}

/**
 * Universal logit distance (Boizard et al. 2024): both probability vectors sorted from the largest down, the shorter one filled with zeros, and their L1 distance. It asks for no common vocabulary.
 * @param {ArrayLike<number>} p @param {ArrayLike<number>} q @returns {number}
 */
export function sortedDistance(p, q) {
  const [x, y] = [p, q].map((v) => Float64Array.from(v).sort().reverse());
  let sum = 0;
  for (let i = 0; i < Math.max(x.length, y.length); i++) sum += Math.abs((x[i] ?? 0) - (y[i] ?? 0));
  return sum;
}
