// The logit lens: what the model would say if it stopped at a layer.
import { MicrotomeError, checkNumber, checkOptions } from '../runtime/errors.js';
import { Pace, Readout, argmax, entropyOf, idsOf, inLayers, klOf, largest, logSoftmax } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/**
 * @typedef {object} LensCell
 * @property {number} token the likeliest @property {number} probability of it, 0..1 @property {number} entropy nats, 0..ln vocab
 * @property {number} kl KL(output || this), nats: 0 in the last row @property {number} rank of the token that the output finds likeliest, 1: it is the first here too
 * @property {number | null} nats -ln p of the token that really follows; null at the end of the text
 * @property {{token: number, probability: number}[]} top
 */
/**
 * @typedef {object} Lens
 * @property {string[]} rows "embed", then "0", "1"...: after which layer
 * @property {number[]} ids @property {LensCell[]} cells row-major [rows, tokens]
 * @property {Float64Array} crossEntropy [rows] mean -ln p of the next token, nats; NaN for a single token
 * @property {Float64Array} crossToOutput [rows] mean over the same places of -sum p ln q, p the output, q the row: in the last row the output's entropy
 * @property {Int32Array} saturation [tokens] the first layer from which on the likeliest token is that of the output, 0..layers-1 (Geva et al. 2022)
 */

/**
 * The final norm and the unembedding, applied to the residual stream at every layer and position (nostalgebraist 2020, "interpreting GPT: the logit lens"). The last row is the model's output.
 * One traced run, then one of the output layer alone for each row. What it says of early layers is only as good as their agreement with the last one's coordinates: models are not trained for it.
 * @param {Model} model @param {import('./stream.js').Prompt} prompt
 * @param {{top?: number, patch?: import('../model.js').Patch[], signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} [options] top: tokens listed in each cell, default 5; patch: changes on the way, as of run
 * @returns {Promise<Lens>} @throws {MicrotomeError} EUNSUPPORTED: not a decoder with one stream; as Model.run
 */
export async function logitLens(model, prompt, options = {}) {
  checkOptions('logitLens', options, ['top', 'patch', 'signal', 'onProgress']);
  const { top = 5, patch = [], signal, onProgress } = options, ids = idsOf(model, prompt), readout = await Readout.of(model), { stream } = readout, { vocab } = stream, T = ids.length;
  checkNumber('logitLens: top', top, 1, vocab, true);
  const names = [stream.first, ...inLayers(stream, 'hook_resid_post')], pace = new Pace(signal);
  const { logits, traces } = await model.run(ids, { all: true, trace: names, patch, signal });
  /** @type {Float64Array[]} */ const output = [];
  for (let t = 0; t < T; t++) { output.push(logSoftmax(logits, t * vocab, vocab)); await pace.rest(); }
  const answer = output.map(argmax), cells = /** @type {LensCell[]} */ ([]), crossEntropy = new Float64Array(names.length), crossToOutput = new Float64Array(names.length), places = Math.max(0, T - 1);
  for (const [r, name] of names.entries()) {
    const lastRow = r === names.length - 1, row = lastRow ? logits : await readout.logits(traces[name].data, { signal });
    for (let t = 0; t < T; t++) {
      const log = lastRow ? output[t] : logSoftmax(row, t * vocab, vocab), token = argmax(log), wanted = log[answer[t]], next = ids[t + 1];
      let rank = 1, cross = 0;
      for (let v = 0; v < vocab; v++) {
        if (log[v] > wanted) rank++;
        cross -= Math.exp(output[t][v]) * log[v];
      }
      cells.push({ token, probability: Math.exp(log[token]), entropy: entropyOf(log), kl: lastRow ? 0 : klOf(output[t], log), rank, nats: next === undefined ? null : -log[next], top: largest(log, top).map((id) => ({ token: id, probability: Math.exp(log[id]) })) });
      if (next !== undefined) { crossEntropy[r] -= log[next] / places; crossToOutput[r] += cross / places; }
      await pace.rest();
    }
    onProgress?.(r + 1, names.length);
  }
  if (!places) { crossEntropy.fill(NaN); crossToOutput.fill(NaN); }
  const saturation = new Int32Array(T);
  for (let t = 0; t < T; t++) {
    let l = stream.layers - 1;
    while (l > 0 && cells[l * T + t].token === answer[t]) l--; // row l is layer l - 1
    saturation[t] = l;
  }
  return { rows: ['embed', ...Array.from({ length: stream.layers }, (_, l) => String(l))], ids, cells, crossEntropy, crossToOutput, saturation };
}

/**
 * Where a curve of cross-entropies first lies below a threshold (convergence of the guess; Brothers et al. 2024, "Uncovering Uncertainty in Transformer Inference", arXiv:2412.05768).
 * @param {ArrayLike<number>} nats one for each row of the lens @param {number} threshold nats @returns {number} a row; -1: nowhere @throws {MicrotomeError} ERANGE: no curve
 */
export function convergenceRow(nats, threshold) {
  if (!nats.length) throw new MicrotomeError('convergenceRow: an empty curve', { code: 'ERANGE' });
  for (let r = 0; r < nats.length; r++) if (nats[r] < threshold) return r;
  return -1;
}
