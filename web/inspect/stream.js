// What every tool of this folder stands on: the names of the residual stream, the way from it to the logits, and distributions in double.
import { MicrotomeError, checkNumber, throwIfAborted } from '../runtime/errors.js';

/** @typedef {import('../model.js').Model} Model */
/** @typedef {import('../model.js').Traced} Traced */
/** @typedef {Iterable<number> | string} Prompt tokens; a string is encoded with the model's tokenizer and its special tokens */
/** @typedef {{layers: number, heads: number, width: number, vocab: number, names: Set<string>, first: string, last: string, norm: string | null}} Stream first, last: the stream before the first and after the last layer; norm: what the unembedding reads, null: the stream itself */

const SLICE_MS = 12;

/** Lets the page breathe: long loops in the caller's thread give way now and then. */
export class Pace {
  #since = performance.now();
  /** @param {AbortSignal} [signal] */
  constructor(signal) { this.signal = signal; }
  /** Often called, seldom waits. @returns {Promise<void> | undefined} @throws {DOMException} AbortError */
  rest() {
    throwIfAborted(this.signal);
    if (performance.now() - this.#since < SLICE_MS) return undefined;
    return new Promise((done) => setTimeout(() => { this.#since = performance.now(); done(); }));
  }
}

/** @type {WeakMap<Model, Promise<Stream>>} */ const STREAMS = new WeakMap();

/**
 * The residual stream of a decoder. @param {Model} model @returns {Promise<Stream>}
 * @throws {MicrotomeError} EUNSUPPORTED: an encoder, or a model whose layers do not add to one stream (a recurrent network's)
 */
export function streamOf(model) {
  let found = STREAMS.get(model);
  if (!found) {
    found = read(model);
    found.catch(() => STREAMS.delete(model));
    STREAMS.set(model, found);
  }
  return found;
}

/** @param {Model} model @returns {Promise<Stream>} */
async function read(model) {
  const { info } = model, { layers, heads, width, vocab } = info;
  if (info.headless || info.encoderLayers || info.bidirectional) throw new MicrotomeError(`inspect: a decoder with an output layer is needed, this is ${info.architecture}${info.headless ? ' without one' : ''}`, { code: 'EUNSUPPORTED' });
  const names = new Set(await model.traceNames()), first = 'blocks.0.hook_resid_pre', last = `blocks.${layers - 1}.hook_resid_post`;
  for (const name of [first, last]) if (!names.has(name)) throw new MicrotomeError(`inspect: ${info.architecture} has no ${name}: its layers do not add to one stream`, { code: 'EUNSUPPORTED' });
  return { layers, heads, width, vocab, names, first, last, norm: names.has('ln_final.hook_normalized') ? 'ln_final.hook_normalized' : null };
}

/** The names of one value in all layers. @param {Stream} stream @param {string} what e.g. "hook_mlp_out" @returns {string[]} @throws {MicrotomeError} EUNSUPPORTED: a layer has none */
export const inLayers = ({ layers, names }, what) => Array.from({ length: layers }, (_, l) => {
  const name = `blocks.${l}.${what}`;
  if (!names.has(name)) throw new MicrotomeError(`inspect: layer ${l} has no ${what}`, { code: 'EUNSUPPORTED', details: { name } });
  return name;
});

/** @param {Model} model @param {Prompt} prompt @returns {number[]} @throws {MicrotomeError} ERANGE: none */
export function idsOf(model, prompt) {
  const ids = typeof prompt === 'string' ? Array.from(model.tokenizer.encode(prompt, { addSpecialTokens: true, offsets: false }).ids) : Array.from(prompt);
  if (!ids.length) throw new MicrotomeError('inspect: no tokens', { code: 'ERANGE' });
  return ids;
}

/** A place in a text from 0, or from the end if negative. @param {string} where @param {number} position @param {number} tokens */
export function placeOf(where, position, tokens) {
  checkNumber(`${where}: position`, position, -tokens, tokens - 1, true);
  return position < 0 ? position + tokens : position;
}

// ---- distributions ----------------------------------------------------------------------------------------------------------------

/**
 * Natural log-probabilities, in double. @param {ArrayLike<number>} logits @param {number} [from] where the row begins, default 0 @param {number} [count] its length, default: to the end @returns {Float64Array} [count]
 */
export function logSoftmax(logits, from = 0, count = logits.length - from) {
  let most = -Infinity, sum = 0;
  for (let i = 0; i < count; i++) if (logits[from + i] > most) most = logits[from + i];
  for (let i = 0; i < count; i++) sum += Math.exp(logits[from + i] - most);
  const out = new Float64Array(count), log = most + Math.log(sum);
  for (let i = 0; i < count; i++) out[i] = logits[from + i] - log;
  return out;
}

/** The place of the largest; of equals the lowest. @param {ArrayLike<number>} values */
export function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** The places of the k largest, best first; of equals the lowest first. @param {ArrayLike<number>} values @param {number} k @returns {number[]} */
export function largest(values, k) {
  /** @type {number[]} */ const out = [];
  for (let i = 0; i < values.length; i++) {
    if (out.length === k && !(values[i] > values[out[k - 1]])) continue;
    let at = out.length;
    while (at > 0 && values[i] > values[out[at - 1]]) at--;
    out.splice(at, 0, i);
    if (out.length > k) out.pop();
  }
  return out;
}

/** Shannon entropy in nats. @param {Float64Array} log natural log-probabilities */
export function entropyOf(log) {
  let sum = 0;
  for (const x of log) if (x > -Infinity) sum -= Math.exp(x) * x;
  return sum;
}

/** KL(p || q) in nats, at least 0. @param {Float64Array} p @param {Float64Array} q natural log-probabilities */
export function klOf(p, q) {
  let sum = 0;
  for (let i = 0; i < p.length; i++) if (p[i] > -Infinity) sum += Math.exp(p[i]) * (p[i] - q[i]);
  return Math.max(0, sum);
}

/**
 * How one distribution became another. @param {ArrayLike<number>} before logits [vocab] @param {ArrayLike<number>} after @param {number} [top] how many tokens of each are listed
 * @returns {Change}
 */
export function changeOf(before, after, top = 8) {
  const p = logSoftmax(before), q = logSoftmax(after), seen = [...new Set([...largest(p, top), ...largest(q, top)])];
  let distance = 0;
  for (let i = 0; i < p.length; i++) distance += Math.abs(Math.exp(p[i]) - Math.exp(q[i])) / 2;
  return { kl: klOf(p, q), distance, entropyBefore: entropyOf(p), entropyAfter: entropyOf(q), tokens: seen.map((token) => ({ token, before: Math.exp(p[token]), after: Math.exp(q[token]) })).sort((a, b) => Math.max(b.before, b.after) - Math.max(a.before, a.after)) };
}
/**
 * @typedef {object} Change
 * @property {number} kl KL(before || after), nats @property {number} distance total variation, 0..1 @property {number} entropyBefore nats @property {number} entropyAfter
 * @property {{token: number, before: number, after: number}[]} tokens the likeliest of both, with their probabilities
 */

// ---- from the stream to the logits ------------------------------------------------------------------------------------------------

/** @type {WeakMap<Model, Promise<Readout>>} */ const READOUTS = new WeakMap();

/**
 * The way from the residual stream to the logits: x -> gain * (x - mean) / scale + bias -> unembedding (an RMS norm takes no mean away). With the scale held, it is linear: what parts of the
 * stream add to a logit is their product with a direction. Read off the model itself with a few short runs, so it is right for any architecture.
 */
export class Readout {
  /** @type {Map<string, Promise<Float64Array>>} */ #directions = new Map();
  /** Use Readout.of. @param {Model} model @param {Stream} stream @param {Float64Array} gain @param {Float64Array} bias @param {boolean} centred @internal */
  constructor(model, stream, gain, bias, centred) {
    this.model = model;
    this.stream = stream;
    /** Of the final norm, [width]. */ this.gain = gain;
    /** Of the final norm, [width]. */ this.bias = bias;
    /** Whether the final norm takes the mean away. */ this.centred = centred;
  }

  /** @param {Model} model @returns {Promise<Readout>} kept with the model @throws {MicrotomeError} as streamOf */
  static of(model) {
    let found = READOUTS.get(model);
    if (!found) {
      found = Readout.#open(model);
      found.catch(() => READOUTS.delete(model));
      READOUTS.set(model, found);
    }
    return found;
  }

  /** @param {Model} model */
  static async #open(model) {
    const stream = await streamOf(model), { width, last, norm } = stream;
    if (!norm) return new Readout(model, stream, new Float64Array(width).fill(1), new Float64Array(width), false);
    // Three streams through the norm with its scale held at 1: nothing, ones, and alternating signs, whose mean is 0 (but for the last of an odd width, which stays 0).
    const rows = new Float32Array(3 * width), even = width - (width % 2);
    rows.fill(1, width, 2 * width);
    for (let i = 0; i < even; i++) rows[2 * width + i] = i % 2 ? -1 : 1;
    const { traces } = await model.run([0, 0, 0], { from: { name: last, data: rows }, patch: [{ name: 'ln_final.hook_scale', kind: 'replace', value: 1 }], stopAt: norm });
    const out = traces[norm].data, bias = Float64Array.from(out.subarray(0, width)), gain = new Float64Array(width);
    const ones = Float64Array.from({ length: width }, (_, i) => out[width + i] - bias[i]);
    for (let i = 0; i < even; i++) gain[i] = (out[2 * width + i] - bias[i]) * rows[2 * width + i];
    const centred = ones.every((x, i) => Math.abs(x) <= 1e-4 * Math.abs(gain[i]) + 1e-12) && gain.some((x) => x !== 0);
    if (width % 2) gain[width - 1] = centred ? await lastGain(model, stream, bias[width - 1]) : ones[width - 1];
    return new Readout(model, stream, gain, bias, centred);
  }

  /**
   * The direction of a logit in what the unembedding reads, [width]: u[token], less that of another token, or less the mean over the vocabulary.
   * @param {number} token @param {number | 'mean' | null} [against] what is taken off; default null: nothing @returns {Promise<Float64Array>} @throws {MicrotomeError} ERANGE: no such token
   */
  direction(token, against = null) {
    const { vocab } = this.stream;
    checkNumber('inspect: token', token, 0, vocab - 1, true);
    if (against !== null && against !== 'mean') checkNumber('inspect: against', against, 0, vocab - 1, true);
    const key = `${token} ${against}`;
    let found = this.#directions.get(key);
    if (!found) {
      if (this.#directions.size > 64) this.#directions.clear();
      found = this.#direction(token, against);
      found.catch(() => this.#directions.delete(key));
      this.#directions.set(key, found);
    }
    return found;
  }

  /** @param {number} token @param {number | 'mean' | null} against */
  async #direction(token, against) {
    const { vocab, norm, last } = this.stream, name = norm ?? last, position = 0;
    const others = against === 'mean' ? Array.from({ length: vocab }, (_, id) => ({ position, token: id, weight: -1 / vocab })) : against === null ? [] : [{ position, token: against, weight: -1 }];
    const { values } = await this.model.gradients([0], { of: { logits: [{ position, token, weight: 1 }, ...others] }, values: name });
    return Float64Array.from(values[name].data);
  }

  /**
   * What a vector in the stream adds to the logit of a direction, under a given scale of the final norm.
   * @param {ArrayLike<number>} vectors @param {number} from where it begins @param {Float64Array} direction @param {number} scale
   */
  along(vectors, from, direction, scale) {
    const { gain, centred } = this, { width } = this.stream;
    let mean = 0, sum = 0;
    if (centred) for (let i = 0; i < width; i++) mean += vectors[from + i] / width;
    for (let i = 0; i < width; i++) sum += (vectors[from + i] - mean) * gain[i] * direction[i];
    return sum / scale;
  }

  /**
   * Logits of streams. @param {Float32Array} rows [n, width] @param {{scale?: number | null, signal?: AbortSignal}} [options] scale: of the final norm, held; default: each row's own (the logit lens)
   * @returns {Promise<Float32Array>} [n, vocab]; with a scale they are a bias plus what is linear in the row
   */
  async logits(rows, { scale = null, signal } = {}) {
    const { model, stream: { width, vocab, last, norm } } = this, n = rows.length / width, most = model.info.context || 512, out = new Float32Array(n * vocab);
    const patch = scale === null || !norm ? [] : [{ name: 'ln_final.hook_scale', kind: /** @type {const} */ ('replace'), value: scale }];
    for (let at = 0; at < n; at += most) { // learned positions limit how many there may be at once
      const data = rows.subarray(at * width, Math.min(n, at + most) * width), ids = new Array(data.length / width).fill(0);
      const { logits } = await model.run(ids, { all: true, from: { name: last, data }, patch, signal });
      out.set(logits, at * vocab);
    }
    return out;
  }
}

/** The gain at the last channel of an odd width. @param {Model} model @param {Stream} stream @param {number} bias */
async function lastGain(model, { width, last, norm }, bias) {
  const row = new Float32Array(width);
  row[width - 1] = 1;
  row[0] = -1;
  const { traces } = await model.run([0], { from: { name: last, data: row }, patch: [{ name: 'ln_final.hook_scale', kind: 'replace', value: 1 }], stopAt: /** @type {string} */ (norm) });
  return traces[/** @type {string} */ (norm)].data[width - 1] - bias;
}
