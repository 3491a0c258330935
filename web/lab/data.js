// What the labs train on: small synthetic tasks whose rule is known. Everything is drawn from the given Rng and nothing else, comes in typed arrays, and batches are row-major:
// row b of B rows of T tokens begins at b * T. Letters in comments: B rows, T tokens in a row, V vocabulary.
//
//   chains      markov, markovOf, switching    letters from a table
//   frequency   zipf                           ranks, the first most often
//   in context  repeats, backcopy              blocks that come again; copies behind triggers
//   knowledge   facts                          pairs told in one direction and asked in the other
//   numbers     additions, products            digits in and digits out
//   graphs      stars                          the path from the middle to a goal
//   regression  regressions                    (x, y) pairs of a hidden linear map
//   text        symbols, windows, spelled      real text as dense ids
//   batches     nextTokens, only, gather       inputs and targets; those that count; chosen rows
import { MicrotomeError } from '../runtime/errors.js';
import { Table } from './rng.js';

/** @typedef {import('./rng.js').Rng} Rng */

/** @param {string} where @param {Record<string, number>} values whole numbers @param {number} [low] */
function whole(where, values, low = 1) {
  for (const [name, value] of Object.entries(values))
    if (!Number.isSafeInteger(value) || value < low) throw new MicrotomeError(`${where}: ${name} is ${String(value)}, not a whole number from ${low} on`, { code: 'ERANGE', details: { option: name } });
}
/** @param {boolean} fits @param {string} message */
function demand(fits, message) {
  if (!fits) throw new MicrotomeError(message, { code: 'ERANGE' });
}

// ---- chains -----------------------------------------------------------------------------------------------------------------

const MAX_TABLE = 2 ** 24; // entries

/** A Markov chain of order k over V symbols: P(next | last k), row by context, where the context x1..xk (xk the latest) is row x1 V^(k-1) + ... + xk. */
export class Chain {
  /** @type {Table[]} */ #tables;

  /** Use markov, markovOf or switching. @param {number} symbols V @param {number} order k @param {Float64Array} rows V^k rows of V probabilities @internal */
  constructor(symbols, order, rows) {
    this.symbols = symbols;
    this.order = order;
    this.rows = rows;
    this.#tables = Array.from({ length: rows.length / symbols }, (_, context) => new Table(rows.subarray(context * symbols, (context + 1) * symbols)));
  }

  /** How many contexts: V^k. @returns {number} */
  get contexts() { return this.#tables.length; }

  /** The probabilities after a context. @param {number} context @returns {Float64Array} V numbers; a view */
  row(context) { return this.rows.subarray(context * this.symbols, (context + 1) * this.symbols); }

  /** The next symbol after a context. @param {Rng} rng @param {number} context @returns {number} */
  draw(rng, context) { return this.#tables[context].draw(rng); }

  /** Rows of text; each begins with k symbols drawn uniformly. @param {Rng} rng @param {number} batch B @param {number} length T @returns {Int32Array<ArrayBuffer>} B x T */
  sample(rng, batch, length) {
    whole('sample', { batch, length });
    const out = new Int32Array(batch * length);
    for (let b = 0; b < batch; b++) {
      let context = 0;
      for (let t = 0; t < length; t++) {
        const x = (out[b * length + t] = t < this.order ? rng.below(this.symbols) : this.draw(rng, context));
        context = (context * this.symbols + x) % this.contexts;
      }
    }
    return out;
  }

  /** How often each context is where a long text is (power iteration, averaged over two steps so that periodic chains settle too). @returns {Float64Array} sums to 1 */
  stationary() {
    const n = this.contexts, V = this.symbols;
    let now = new Float64Array(n).fill(1 / n);
    for (let round = 0; round < 100_000; round++) {
      const next = new Float64Array(n);
      for (let c = 0; c < n; c++) for (let x = 0; x < V; x++) next[(c * V + x) % n] += now[c] * this.rows[c * V + x];
      let moved = 0;
      for (let c = 0; c < n; c++) {
        next[c] = (next[c] + now[c]) / 2;
        moved += Math.abs(next[c] - now[c]);
      }
      now = next;
      if (moved < 1e-14) break;
    }
    return now;
  }

  /** The entropy rate H(X | past), nats a symbol: no model does better. @returns {number} */
  entropyRate() {
    const weights = this.stationary();
    let sum = 0;
    for (let i = 0; i < this.rows.length; i++) if (this.rows[i] > 0) sum -= weights[Math.floor(i / this.symbols)] * this.rows[i] * Math.log(this.rows[i]);
    return sum;
  }
}

/**
 * A random chain: each row ~ Dirichlet(concentration), mixed with the uniform distribution.
 * @param {Rng} rng @param {{symbols: number, order?: number, concentration?: number, floor?: number}} options symbols: V; order: k, default 1; concentration: default 1; floor: share of the uniform distribution, default 0
 * @returns {Chain}
 */
export function markov(rng, { symbols, order = 1, concentration = 1, floor = 0 }) {
  whole('markov', { symbols });
  whole('markov', { order }, 0);
  demand(symbols ** (order + 1) <= MAX_TABLE, `markov: ${symbols} symbols of order ${order} make a table of more than ${MAX_TABLE} entries`);
  demand(floor >= 0 && floor <= 1, `markov: floor is ${floor}, not in 0..1`);
  const contexts = symbols ** order, rows = new Float64Array(contexts * symbols);
  for (let c = 0; c < contexts; c++) rows.set(rng.dirichlet(concentration, symbols).map((p) => (1 - floor) * p + floor / symbols), c * symbols);
  return new Chain(symbols, order, rows);
}

/** A chain with given probabilities. @param {ArrayLike<number>[]} rows by context, V^k rows of V probabilities @returns {Chain} */
export function markovOf(rows) {
  const symbols = rows[0]?.length ?? 0, order = Math.round(Math.log(rows.length) / Math.log(symbols));
  demand(symbols >= 2 && symbols ** order === rows.length, `markovOf: ${rows.length} rows of ${symbols} probabilities are no chain`);
  rows.forEach((row, c) => demand(row.length === symbols && Math.abs(Array.from(row).reduce((a, b) => a + b, 0) - 1) < 1e-9, `markovOf: row ${c} does not sum to 1`));
  return new Chain(symbols, order, Float64Array.from(rows.flatMap((row) => Array.from(row))));
}

/**
 * The binary source of Rajaraman, Jiao & Ramchandran (2024): x_t is x_(t-k), flipped with probability p. Its symbols alone say nothing (ln 2 nats each), its rate is h(p).
 * @param {number} order k, 1..16 @param {number} flip p @returns {Chain}
 */
export function switching(order, flip) {
  whole('switching', { order });
  demand(order <= 16, `switching: order ${order} is above 16`);
  demand(flip >= 0 && flip <= 1, `switching: flip is ${flip}, not in 0..1`);
  const contexts = 2 ** order, rows = new Float64Array(2 * contexts);
  for (let c = 0; c < contexts; c++) {
    const back = c >> (order - 1); // x_(t-k)
    rows[2 * c + back] = 1 - flip;
    rows[2 * c + 1 - back] = flip;
  }
  return new Chain(2, order, rows);
}

// ---- frequency --------------------------------------------------------------------------------------------------------------

/** Zipf's law over V ranks: P(r) ~ 1 / (r + 1)^s, r = 0 most often. @param {number} symbols V @param {number} [exponent] s, default 1 @returns {Table} */
export function zipf(symbols, exponent = 1) {
  whole('zipf', { symbols });
  return new Table(Float64Array.from({ length: symbols }, (_, r) => (r + 1) ** -exponent));
}

// ---- in context -------------------------------------------------------------------------------------------------------------

/**
 * A random block again and again, cut at T: from the second copy on every token follows from the text.
 * @param {Rng} rng @param {{batch: number, length: number, symbols: number, least?: number, most?: number}} options symbols: V; least, most: the block's length in tokens, default 6..16, drawn for each row
 * @returns {{tokens: Int32Array<ArrayBuffer>, period: Int32Array<ArrayBuffer>, copied: Float32Array<ArrayBuffer>}} tokens: B x T; period: B; copied: B x T, 1 where a token belongs to a later copy, else 0
 */
export function repeats(rng, { batch, length, symbols, least = 6, most = 16 }) {
  whole('repeats', { batch, length, symbols, least, most });
  demand(least <= most, `repeats: least ${least} is above most ${most}`);
  const tokens = new Int32Array(batch * length), period = new Int32Array(batch), copied = new Float32Array(batch * length);
  for (let b = 0; b < batch; b++) {
    const n = (period[b] = least + rng.below(most - least + 1));
    for (let t = 0; t < length; t++) {
      tokens[b * length + t] = t < n ? rng.below(symbols) : tokens[b * length + t - n];
      copied[b * length + t] = Number(t >= n);
    }
  }
  return { tokens, period, copied };
}

/**
 * Bigrams with back-copies (Guo et al. 2024): a start token, then each token from the chain's row of the one before it, except behind a trigger: there the token before the trigger comes again.
 * @param {Rng} rng @param {{chain: Chain, triggers: ArrayLike<number>, batch: number, length: number}} options chain: of order 1 over V symbols; the start token is V; triggers: tokens; length: T
 * @returns {{tokens: Int32Array<ArrayBuffer>, triggered: Float32Array<ArrayBuffer>}} tokens: B x T; triggered: B x T, 1 where the token is a trigger, so that the next one is a copy
 */
export function backcopy(rng, { chain, triggers, batch, length }) {
  whole('backcopy', { batch, length });
  demand(chain.order === 1, `backcopy: the chain has order ${chain.order}, not 1`);
  const V = chain.symbols, fires = new Uint8Array(V + 1);
  for (const x of Array.from(triggers)) {
    demand(Number.isInteger(x) && x >= 0 && x < V, `backcopy: trigger ${x} is not one of ${V} symbols`);
    fires[x] = 1;
  }
  const tokens = new Int32Array(batch * length), triggered = new Float32Array(batch * length);
  for (let at = 0; at < tokens.length; at++) {
    const t = at % length;
    // The first token of a row comes from nowhere, and what stands right behind the start token copies nothing, trigger or not.
    tokens[at] = t === 0 ? V : t === 1 ? rng.below(V) : fires[tokens[at - 1]] && t > 2 ? tokens[at - 2] : chain.draw(rng, tokens[at - 1]);
    triggered[at] = Number(t > 1 && fires[tokens[at]]);
  }
  return { tokens, triggered };
}

// ---- knowledge --------------------------------------------------------------------------------------------------------------

/**
 * Facts A R B, of which only the first `both` are also told as B R' A. Ids: names have `nameTokens` tokens; with one token each, A_i is i and B_i is N + i; with more, names are different random
 * sequences over `nameSymbols` ids. Then R, R', and one id for a mask or a blank.
 * @param {Rng} rng @param {{pairs: number, both: number, nameTokens?: number, nameSymbols?: number}} options pairs: N
 * @returns {{forward: Int32Array<ArrayBuffer>, backward: Int32Array<ArrayBuffer>, length: number, nameTokens: number, told: Int32Array<ArrayBuffer>, asked: Int32Array<ArrayBuffer>, relation: number, inverse: number, blank: number, symbols: number}}
 *   forward: N rows A R B of `length` tokens; backward: N rows B R' A; told: the training rows, all of forward and the first `both` of backward; asked: the rows of backward that are never told; relation, inverse, blank: the ids of R, R' and the mask; symbols: ids in all
 */
export function facts(rng, { pairs, both, nameTokens = 1, nameSymbols = 2 * pairs }) {
  whole('facts', { pairs, nameTokens, nameSymbols });
  whole('facts', { both }, 0);
  demand(both <= pairs, `facts: both is ${both}, more than ${pairs} pairs`);
  demand(nameSymbols ** nameTokens >= 2 * pairs, `facts: ${nameSymbols} symbols make fewer than ${2 * pairs} names of ${nameTokens} tokens`);
  /** @type {number[][]} */ const names = [];
  if (nameTokens === 1) for (const x of 2 * pairs === nameSymbols ? Array(nameSymbols).keys() : rng.choose(nameSymbols, 2 * pairs)) names.push([x]);
  for (const seen = new Set(); names.length < 2 * pairs;) {
    const name = [...rng.integers(nameTokens, nameSymbols)], key = name.join();
    if (!seen.has(key)) names.push(name);
    seen.add(key);
  }
  const relation = nameSymbols, inverse = relation + 1, length = 2 * nameTokens + 1;
  const row = (/** @type {number} */ from, /** @type {number} */ how, /** @type {number} */ to) => [...names[from], how, ...names[to]];
  const forward = Int32Array.from(Array.from({ length: pairs }, (_, i) => row(i, relation, pairs + i)).flat());
  const backward = Int32Array.from(Array.from({ length: pairs }, (_, i) => row(pairs + i, inverse, i)).flat());
  const told = new Int32Array(forward.length + both * length);
  told.set(forward);
  told.set(backward.subarray(0, both * length), forward.length);
  return { forward, backward, length, nameTokens, told, asked: backward.slice(both * length), relation, inverse, blank: inverse + 1, symbols: inverse + 2 };
}

// ---- numbers ----------------------------------------------------------------------------------------------------------------

/**
 * A number as digits of a base. @param {number} value 0 or more @param {number} base 2 or more @param {number} places how many digits @param {'least' | 'most'} [order] which digit comes first, default the least significant
 * @returns {number[]} `places` digits
 */
export function digitsOf(value, base, places, order = 'least') {
  demand(value < base ** places, `digits: ${value} does not fit in ${places} digits of base ${base}`);
  const out = Array.from({ length: places }, (_, i) => Math.floor(value / base ** i) % base);
  return order === 'least' ? out : out.reverse();
}

/** The number that digits spell. @param {ArrayLike<number>} digits @param {number} base 2 or more @param {'least' | 'most'} [order] as of digitsOf @returns {number} */
export function numberOf(digits, base, order = 'least') {
  const list = Array.from(digits);
  if (order === 'least') list.reverse();
  return list.reduce((sum, d) => sum * base + d, 0);
}

/**
 * Sums a + b = c of numbers with D decimal digits, several of which may share a token: base 10, 100, 1000 put 1, 2, 3 digits into one. Ids: 0..base-1, then "+" and "=".
 * Numbers are padded with zeros; c has room for one decimal digit more.
 * @param {Rng} rng @param {{count: number, digits: number, base?: number, order?: 'least' | 'most'}} options count: rows; digits: D, 1..9; base: default 10; order: the token that comes first, default the least significant
 * @returns {{tokens: Int32Array<ArrayBuffer>, length: number, answerAt: number, answerTokens: number, a: Int32Array<ArrayBuffer>, b: Int32Array<ArrayBuffer>, symbols: number}}
 *   tokens: `count` rows a + b = c of `length` ids; in each row c begins at `answerAt` and has `answerTokens`; symbols: base + 2
 */
export function additions(rng, { count, digits, base = 10, order = 'least' }) {
  whole('additions', { count, digits });
  const share = Math.round(Math.log10(base));
  demand(share >= 1 && share <= 4 && 10 ** share === base, `additions: base ${base} is not 10, 100, 1000 or 10000`);
  demand(digits <= 9, `additions: ${digits} digits are more than 9`);
  const limit = 10 ** digits, places = Math.ceil(digits / share), answerTokens = Math.ceil((digits + 1) / share), length = 2 * places + 2 + answerTokens;
  const a = rng.integers(count, limit), b = rng.integers(count, limit), tokens = new Int32Array(count * length);
  for (let i = 0; i < count; i++)
    tokens.set([...digitsOf(a[i], base, places, order), base, ...digitsOf(b[i], base, places, order), base + 1, ...digitsOf(a[i] + b[i], base, answerTokens, order)], i * length);
  return { tokens, length, answerAt: 2 * places + 2, answerTokens, a, b, symbols: base + 2 };
}

/**
 * Pairs of D-digit numbers and the first D digits of their product, floor(a b / 10^D), most significant first: two digits in, two digits out, and how far off an answer is counts. Ids: 0..9, "*", "=".
 * @param {Rng} rng @param {{count: number, digits?: number}} options count: rows; digits: D, 1..4, default 2
 * @returns {{tokens: Int32Array<ArrayBuffer>, length: number, answerAt: number, answerTokens: number, answer: Int32Array<ArrayBuffer>, symbols: number}} tokens: `count` rows a * b = c of `length` ids; c begins at `answerAt` and has `answerTokens`; symbols: ids in all
 */
export function products(rng, { count, digits = 2 }) {
  whole('products', { count, digits });
  demand(digits <= 4, `products: ${digits} digits are more than 4`);
  const limit = 10 ** digits, length = 3 * digits + 2, tokens = new Int32Array(count * length), answer = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const a = rng.below(limit), b = rng.below(limit);
    answer[i] = Math.floor((a * b) / limit);
    tokens.set([...digitsOf(a, 10, digits, 'most'), 10, ...digitsOf(b, 10, digits, 'most'), 11, ...digitsOf(answer[i], 10, digits, 'most')], i * length);
  }
  return { tokens, length, answerAt: 2 * digits + 2, answerTokens: digits, answer, symbols: 12 };
}

// ---- graphs -----------------------------------------------------------------------------------------------------------------

/**
 * Path-star graphs (Bachmann & Nagarajan 2024): `arms` paths out of one middle, each of `pathNodes` nodes with the middle; the edges in random order, then a goal at the end of one arm; the answer is
 * the path to it. A row is  u v | u v | ... / middle goal = path,  ids: nodes 0..N-1, then "|", "/", "=" and a blank.
 * @param {Rng} rng @param {{count: number, arms: number, pathNodes: number, nodes: number}} options count: rows; nodes: N names, of which each graph takes arms (pathNodes - 1) + 1
 * @returns {{tokens: Int32Array<ArrayBuffer>, length: number, answerAt: number, answerTokens: number, blank: number, symbols: number}} tokens: `count` rows of `length` ids; the answer, from the middle to the goal, begins at `answerAt` and has `answerTokens`; symbols: ids in all
 */
export function stars(rng, { count, arms, pathNodes, nodes }) {
  whole('stars', { count, arms, nodes });
  whole('stars', { pathNodes }, 2);
  const steps = pathNodes - 1, edges = arms * steps;
  demand(nodes > edges, `stars: ${nodes} names are too few for ${edges + 1} nodes`);
  const answerAt = 3 * edges + 4, length = answerAt + pathNodes, tokens = new Int32Array(count * length);
  const bar = nodes, slash = nodes + 1, equals = nodes + 2;
  for (let i = 0; i < count; i++) {
    const name = rng.choose(nodes, edges + 1), order = rng.permutation(edges), goal = rng.below(arms);
    const at = (/** @type {number} */ arm, /** @type {number} */ depth) => (depth ? name[1 + arm * steps + depth - 1] : name[0]);
    const row = [];
    for (const e of order) row.push(at(Math.floor(e / steps), e % steps), at(Math.floor(e / steps), (e % steps) + 1), bar);
    row.push(slash, name[0], at(goal, steps), equals);
    for (let d = 0; d < pathNodes; d++) row.push(at(goal, d));
    tokens.set(row, i * length);
  }
  return { tokens, length, answerAt, answerTokens: pathNodes, blank: nodes + 3, symbols: nodes + 4 };
}

// ---- regression -------------------------------------------------------------------------------------------------------------

/**
 * Prompts for linear regression in context: n pairs (x, y = w.x + noise) and a query (x_q, 0), with a w of its own for each prompt; x ~ N(0, xScale^2 I) and w ~ N(0, wScale^2 I).
 * @param {Rng} rng @param {{batch: number, pairs: number, dims: number, xScale?: number | ArrayLike<number>, wScale?: number, noise?: number, task?: ArrayLike<number>}} options
 *   pairs: n; dims: d; xScale: one number, or one for each of the d; noise: standard deviation, default 0; task: d numbers, the w of every prompt
 * @returns {{prompts: Float32Array<ArrayBuffer>, answers: Float32Array<ArrayBuffer>, weights: Float32Array<ArrayBuffer>}} prompts: B x (n + 1) x (d + 1), rows [x, y], the query last; answers: B, y of the query without noise;
 *   weights: B x d
 */
export function regressions(rng, { batch, pairs, dims, xScale = 1, wScale = 1, noise = 0, task }) {
  whole('regressions', { batch, pairs, dims });
  const scales = typeof xScale === 'number' ? new Float64Array(dims).fill(xScale) : Float64Array.from(xScale);
  demand(scales.length === dims && (task?.length ?? dims) === dims, `regressions: xScale and task need ${dims} numbers, one for each dimension`);
  const width = dims + 1, prompts = new Float32Array(batch * (pairs + 1) * width), answers = new Float32Array(batch);
  const weights = task ? Float32Array.from({ length: batch * dims }, (_, i) => task[i % dims]) : rng.normals(batch * dims, wScale);
  for (let b = 0; b < batch; b++) {
    const x = rng.normals((pairs + 1) * dims);
    for (let n = 0; n <= pairs; n++) {
      const at = (b * (pairs + 1) + n) * width;
      let y = 0;
      for (let d = 0; d < dims; d++) y += weights[b * dims + d] * (prompts[at + d] = scales[d] * x[n * dims + d]);
      if (n === pairs) answers[b] = y;
      else prompts[at + dims] = noise ? y + rng.normal(0, noise) : y;
    }
  }
  return { prompts, answers, weights };
}

// ---- text -------------------------------------------------------------------------------------------------------------------

/**
 * The bytes of a text as ids without gaps, in the order of the bytes. @param {Uint8Array} text
 * @returns {{ids: Int32Array<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer>}} ids: one a byte; bytes: by id
 */
export function symbols(text) {
  const seen = new Uint8Array(256);
  for (const byte of text) seen[byte] = 1;
  const bytes = Uint8Array.from(seen.keys()).filter((byte) => seen[byte]), id = new Int32Array(256);
  bytes.forEach((byte, i) => { id[byte] = i; });
  return { ids: Int32Array.from(text, (byte) => id[byte]), bytes };
}

/** Windows of a long text, from random places. @param {Rng} rng @param {Int32Array} ids @param {{batch: number, length: number}} options batch: B; length: T @returns {Int32Array<ArrayBuffer>} B x T */
export function windows(rng, ids, { batch, length }) {
  whole('windows', { batch, length });
  demand(ids.length >= length, `windows: a text of ${ids.length} tokens is shorter than ${length}`);
  const out = new Int32Array(batch * length);
  for (let b = 0; b < batch; b++) {
    const at = rng.below(ids.length - length + 1);
    out.set(ids.subarray(at, at + length), b * length);
  }
  return out;
}

/** Ids as text, such as a chain's for a tokenizer. @param {ArrayLike<number>} ids @param {string} letters one for each id @returns {string} */
export function spelled(ids, letters) {
  return Array.from(ids, (id) => letters[id]).join('');
}

// ---- batches ----------------------------------------------------------------------------------------------------------------

/**
 * Rows for next-token prediction: a row of T + 1 tokens gives T inputs and the T tokens that follow them. A mask of the same shape gives that of the targets.
 * @template {Int32Array | Float32Array} A @param {A} rows B x length @param {number} length of a row, 2 or more @returns {{inputs: A, targets: A}} each B x (length - 1)
 */
export function nextTokens(rows, length) {
  demand(Number.isInteger(length) && length >= 2 && rows.length % length === 0, `nextTokens: ${rows.length} tokens are no rows of ${length}`);
  const made = () => /** @type {A} */ (new (/** @type {any} */ (rows.constructor))((rows.length / length) * (length - 1)));
  const inputs = made(), targets = made();
  for (let from = 0, to = 0; from < rows.length; from += length, to += length - 1) {
    inputs.set(rows.subarray(from, from + length - 1), to);
    targets.set(rows.subarray(from + 1, from + length), to);
  }
  return { inputs, targets };
}

/** Targets of which only some count: the others become -1, which losses leave out. @param {Int32Array} targets @param {ArrayLike<number>} mask as many; 0: left out @returns {Int32Array<ArrayBuffer>} */
export function only(targets, mask) {
  demand(targets.length === mask.length, `only: ${targets.length} targets and a mask of ${mask.length}`);
  return Int32Array.from(targets, (x, i) => (mask[i] ? x : -1));
}

/** Chosen rows of a table, such as a batch of a fixed pool. @template {Int32Array | Float32Array} A @param {A} rows N x length @param {number} length of a row @param {ArrayLike<number>} indices @returns {A} */
export function gather(rows, length, indices) {
  const out = /** @type {A} */ (new (/** @type {any} */ (rows.constructor))(indices.length * length));
  for (let i = 0; i < indices.length; i++) {
    demand(indices[i] >= 0 && (indices[i] + 1) * length <= rows.length, `gather: there is no row ${indices[i]}`);
    out.set(rows.subarray(indices[i] * length, (indices[i] + 1) * length), i * length);
  }
  return out;
}
