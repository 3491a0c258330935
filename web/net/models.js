// Standard small models for training: transformers whose every part can be chosen, with the names that interpretability uses.
import { MicrotomeError } from '../runtime/errors.js';

/** @typedef {import('./graph.js').Graph} Graph */
/** @typedef {import('./graph.js').Tensor} Tensor */
/** @typedef {import('./graph.js').Index} Index */
/** @typedef {import('./params.js').Init} Init */

/**
 * @typedef {object} TransformerOptions
 * @property {number} vocab tokens
 * @property {number} [width] of the residual stream, default 32
 * @property {number} [layers] default 2
 * @property {number} [heads] default 2; they divide width
 * @property {number} [mlp] width of the MLP in widths of the model, default 4; 0: attention only
 * @property {'distance' | 'learned' | 'sinusoidal' | 'rope' | 'alibi' | 'none'} [positions] default "distance": a learned bias for each head and distance between query and key
 * @property {number} [distances] rows of the table of biases, default T: more where the same parameters serve longer rows too
 * @property {'causal' | 'full' | Tensor} [mask] who sees whom; a tensor is added to the scores [batch, heads, T, T]: 0, or -Infinity
 * @property {'softmax' | 'relu' | 'sigmoid'} [attention] what makes weights of scores; relu and sigmoid are divided by the number of keys that are seen
 * @property {boolean} [kvShift] keys and values are mixed with those of the row before, by two learned shares each and head (Xu et al. 2024)
 * @property {'layer' | 'rms' | 'none'} [norm] before each part and at the end, default "layer"
 * @property {boolean} [tied] the output is the token embedding
 * @property {number} [embedSpread] standard deviation of embeddings, those of learned positions too, as they begin; default 0.02
 * @property {number} [outputs] width of the output, default vocab; 0: none
 * @property {number} [scoreScale] times the scores, beside 1 / sqrt(head width), default 1
 * @property {number} [rank] low-rank adapters beside every matrix of the blocks (Hu et al. 2021), of this rank; 0: none. Freeze the rest with Params.group
 * @property {string} [name] goes before every name of a parameter and of a value
 * @property {boolean} [hooks] values get their names, and are kept: default true
 * @property {boolean} [embed] false: `tokens` is a tensor [batch, T, width] instead of an index
 */

const NEGATIVE = -Infinity;

/**
 * x W + b (+ x A B: low-rank adapters, Hu et al. 2021). @param {Graph} g @param {Tensor} x [rows, from] @param {string} name of the parameters: NAME.weight, NAME.bias... @param {number} from width of x @param {number} to width of the result
 * @param {{bias?: boolean, init?: Init, rank?: number}} [options] bias: default none; init: of W, default normal with 1 / sqrt(from); rank: of the adapters, default 0: none @returns {Tensor} [rows, to]
 */
export function linear(g, x, name, from, to, { bias = false, init = { normal: 1 / Math.sqrt(from) }, rank = 0 } = {}) {
  let y = x.matmul(g.param(`${name}.weight`, [from, to], init));
  if (rank) y = y.add(x.matmul(g.param(`${name}.adapter_a`, [from, rank], { normal: 1 / Math.sqrt(from) })).matmul(g.param(`${name}.adapter_b`, [rank, to], 0)));
  return bias ? y.add(g.param(`${name}.bias`, [to])) : y;
}

/** Additive mask of T queries and keys: 0 where a query may look. @param {Graph} g @param {number} T @returns {Tensor} [T, T] */
export const causalMask = (g, T) => g.constant(Float32Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? 0 : NEGATIVE)), [T, T]);

/** A learned number for each head and distance: [heads, T, T]. @param {Graph} g @param {string} name of the parameter @param {number} heads @param {number} T @param {boolean} bothWays keys may lie behind the query @param {number} [distances] rows of the table, T or more */
export function distanceBias(g, name, heads, T, bothWays, distances = T) {
  const index = g.index('', [T * T]);
  index.set(Int32Array.from({ length: T * T }, (_, i) => {
    const distance = Math.floor(i / T) - (i % T);
    return bothWays ? distance + distances - 1 : Math.max(distance, 0);
  }));
  return g.param(name, [bothWays ? 2 * distances - 1 : distances, heads]).take(index).reshape([T, T, heads]).permute(2, 0, 1);
}

/** Rotary embedding (Su et al. 2021) of [batch, heads, T, width], pairs (m, m + width / 2). @param {Graph} g @param {Tensor} x @param {number} [base] of the wavelengths, default 10000 */
export function rotate(g, x, base = 10000) {
  const [, , T, E] = x.dims, half = E / 2;
  const angle = (/** @type {number} */ i) => Math.floor(i / half) * base ** (-(i % half) / half);
  const cos = g.constant(Float32Array.from({ length: T * half }, (_, i) => Math.cos(angle(i))), [T, half]);
  const sin = g.constant(Float32Array.from({ length: T * half }, (_, i) => Math.sin(angle(i))), [T, half]);
  const a = x.cut(3, 0, half), b = x.cut(3, half, half);
  return a.mul(cos).sub(b.mul(sin)).concat(a.mul(sin).add(b.mul(cos)), 3);
}

/** Sines and cosines of positions (Vaswani et al. 2017): [T, width]. @param {Graph} g @param {number} T @param {number} width */
export const sinusoids = (g, T, width) => g.constant(Float32Array.from({ length: T * width }, (_, i) => {
  const t = Math.floor(i / width), m = i % width, angle = t / 10000 ** ((m - (m % 2)) / width);
  return m % 2 ? Math.cos(angle) : Math.sin(angle);
}), [T, width]);

/**
 * A transformer with norms before its parts, GELU, no biases in attention; matrices begin as N(0, 1 / inputs).
 * @param {Graph} g @param {Index | Tensor} tokens [batch, T] @param {TransformerOptions} options
 * @returns {{logits: Tensor, hidden: Tensor, patterns: Tensor[]}} logits [batch, T, outputs]; hidden: after the last norm, [batch, T, width]; patterns: [batch, heads, T, T] of each layer @throws {MicrotomeError} ERANGE: heads that do not divide the width
 */
export function transformer(g, tokens, { vocab, width = 32, layers = 2, heads = 2, mlp = 4, positions = 'distance', distances = tokens.dims[1], mask = 'causal', attention = 'softmax', kvShift = false, norm = 'layer', tied = false, embedSpread = 0.02,
  outputs = vocab, scoreScale = 1, rank = 0, name = '', hooks = true, embed = true }) {
  const [B, T] = tokens.dims, E = width / heads, N = B * T;
  if (!Number.isInteger(E) || (positions === 'rope' && E % 2)) throw new MicrotomeError(`transformer: a width of ${width} does not divide into ${heads} heads${positions === 'rope' ? ' of even width' : ''}`, { code: 'ERANGE' });
  const hook = (/** @type {string} */ what, /** @type {Tensor} */ x) => (hooks ? x.named(`${name}${what}`) : x);
  const normed = (/** @type {Tensor} */ x, /** @type {string} */ what) => (norm === 'none' ? x
    : norm === 'rms' ? x.rmsNorm(g.param(`${name}${what}.gain`, [width], 1)) : x.layerNorm(g.param(`${name}${what}.gain`, [width], 1), g.param(`${name}${what}.bias`, [width])));
  const table = embed || tied ? g.param(`${name}embed.weight`, [vocab, width], { normal: embedSpread }) : null;
  let x = embed && table ? table.take(/** @type {Index} */ (tokens)) : tokens;
  if (positions === 'learned') x = x.add(g.param(`${name}pos_embed.weight`, [T, width], { normal: embedSpread }));
  if (positions === 'sinusoidal') x = x.add(sinusoids(g, T, width));
  const seen = typeof mask === 'object' ? mask : mask === 'causal' ? causalMask(g, T) : null;
  const slopes = positions === 'alibi' ? g.constant(Float32Array.from({ length: heads * T * T }, (_, i) => {
    const h = Math.floor(i / (T * T)), q = Math.floor((i % (T * T)) / T), k = i % T;
    return -(2 ** (-8 * (h + 1) / heads)) * Math.abs(q - k);
  }), [heads, T, T]) : null;
  x = x.reshape([N, width]);
  /** @type {Tensor[]} */ const patterns = [];
  for (let l = 0; l < layers; l++) {
    const at = `blocks.${l}`, part = (/** @type {string} */ what) => `${name}${at}.${what}`;
    x = hook(`${at}.hook_resid_pre`, x);
    const a = normed(x, `${at}.ln1`);
    const split = (/** @type {string} */ what) => linear(g, a, part(`attn.${what}`), width, width, { rank }).reshape([B, T, heads, E]).permute(0, 2, 1, 3);
    let q = split('q'), k = split('k'), v = split('v');
    if (positions === 'rope') q = rotate(g, q), k = rotate(g, k);
    if (kvShift) {
      const mixed = (/** @type {Tensor} */ y, /** @type {string} */ what) => {
        const own = g.params.list().some((p) => p.name === part(`attn.${what}1`)) ? null : Float32Array.from({ length: heads }, () => g.params.rng.uniform());
        const first = g.param(part(`attn.${what}1`), [1, heads, 1, 1], own ?? 0), second = g.param(part(`attn.${what}2`), [1, heads, 1, 1], own ? own.map((u) => 1 - u) : 0);
        return y.mul(first).add(y.shift(2, 1).mul(second));
      };
      k = mixed(k, 'a'), v = mixed(v, 'b');
    }
    q = hook(`${at}.attn.hook_q`, q), k = hook(`${at}.attn.hook_k`, k), v = hook(`${at}.attn.hook_v`, v);
    let scores = q.matmul(k, { tb: true, scale: scoreScale / Math.sqrt(E) });
    if (positions === 'distance') scores = scores.add(distanceBias(g, part('attn.distance'), heads, T, mask !== 'causal', distances));
    if (slopes) scores = scores.add(slopes);
    if (seen) scores = scores.add(seen);
    scores = hook(`${at}.attn.hook_attn_scores`, scores);
    let pattern;
    if (attention === 'softmax') pattern = scores.softmax();
    else pattern = (attention === 'relu' ? scores.relu() : scores.sigmoid()).mul(g.constant(Float32Array.from({ length: T }, (_, i) => 1 / (mask === 'causal' ? i + 1 : T)), [T, 1]));
    pattern = hook(`${at}.attn.hook_pattern`, pattern);
    patterns.push(pattern);
    const z = hook(`${at}.attn.hook_z`, pattern.matmul(v)).permute(0, 2, 1, 3).reshape([N, width]);
    x = x.add(hook(`${at}.hook_attn_out`, linear(g, z, part('attn.o'), width, width, { rank })));
    if (mlp) {
      const inner = Math.round(mlp * width), m = normed(hook(`${at}.hook_resid_mid`, x), `${at}.ln2`);
      const post = hook(`${at}.mlp.hook_post`, linear(g, m, part('mlp.in'), width, inner, { bias: true, rank }).gelu());
      x = x.add(hook(`${at}.hook_mlp_out`, linear(g, post, part('mlp.out'), inner, width, { bias: true, rank })));
    }
    x = hook(`${at}.hook_resid_post`, x);
  }
  const hidden = hook('ln_final.hook_normalized', normed(x, 'ln_final'));
  const logits = !outputs ? hidden : tied && table ? hidden.matmul(table, { tb: true }) : linear(g, hidden, `${name}unembed`, width, outputs);
  return { logits: logits.reshape([B, T, outputs || width]), hidden: hidden.reshape([B, T, width]), patterns };
}
