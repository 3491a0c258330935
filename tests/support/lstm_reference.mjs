// LSTM and GRU language models in float64, straight from the equations that PyTorch documents: what the engine is compared with.

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** y = W x + b; W row-major [rows][x.length]. */
export function affine(W, x, b) {
  const rows = W.length / x.length;
  return Float64Array.from({ length: rows }, (_, r) => {
    let sum = b ? b[r] : 0;
    for (let k = 0; k < x.length; k++) sum += W[r * x.length + k] * x[k];
    return sum;
  });
}

/**
 * @typedef {{ih: ArrayLike<number>, hh: ArrayLike<number>, bih?: ArrayLike<number>, bhh?: ArrayLike<number>, width: number}} Cell
 * @param {{kind: 'lstm' | 'gru', embedding: ArrayLike<number>, embedWidth: number, cells: Cell[], norm?: {gain: ArrayLike<number>, bias?: ArrayLike<number>, eps: number},
 *   projection?: {weight: ArrayLike<number>, bias?: ArrayLike<number>}, output?: ArrayLike<number>, outputBias?: ArrayLike<number>}} model output absent: the embedding
 * @param {number[]} ids
 * @param {(what: string, layer: number, t: number, value: Float64Array) => void} [look] may change what it sees: 'gates', 'cell' (GRU: the state's part of the candidate), 'hidden'; 'open': a GRU's gates before the candidate
 * @returns {Float64Array[]} logits of every position
 */
export function runReference(model, ids, look = () => {}) {
  const h = model.cells.map(({ width }) => new Float64Array(width));
  const c = model.cells.map(({ width }) => new Float64Array(width));
  return ids.map((id, t) => {
    let x = Float64Array.from({ length: model.embedWidth }, (_, i) => model.embedding[id * model.embedWidth + i]);
    model.cells.forEach(({ ih, hh, bih, bhh, width: H }, l) => {
      const a = affine(ih, x, bih);
      const u = affine(hh, h[l], bhh);
      const gates = new Float64Array(a.length);
      if (model.kind === 'lstm') {
        for (let i = 0; i < gates.length; i++) gates[i] = i >= 2 * H && i < 3 * H ? Math.tanh(a[i] + u[i]) : sigmoid(a[i] + u[i]);
        look('gates', l, t, gates);
        c[l] = c[l].map((old, i) => gates[H + i] * old + gates[i] * gates[2 * H + i]);
        look('cell', l, t, c[l]);
        h[l] = c[l].map((v, i) => gates[3 * H + i] * Math.tanh(v));
      } else {
        const inner = u.slice(2 * H);
        look('cell', l, t, inner);
        for (let i = 0; i < 2 * H; i++) gates[i] = sigmoid(a[i] + u[i]);
        look('open', l, t, gates);
        for (let i = 0; i < H; i++) gates[2 * H + i] = Math.tanh(a[2 * H + i] + gates[i] * inner[i]);
        look('gates', l, t, gates);
        h[l] = h[l].map((old, i) => (1 - gates[H + i]) * gates[2 * H + i] + gates[H + i] * old);
      }
      look('hidden', l, t, h[l]);
      x = h[l];
    });
    if (model.norm) {
      const { gain, bias, eps } = model.norm;
      const mean = bias ? x.reduce((s, v) => s + v, 0) / x.length : 0;
      const scale = Math.sqrt(x.reduce((s, v) => s + (v - mean) ** 2, 0) / x.length + eps);
      x = x.map((v, i) => ((v - mean) / scale) * gain[i] + (bias ? bias[i] : 0));
    }
    if (model.projection) x = affine(model.projection.weight, x, model.projection.bias);
    return affine(model.output ?? model.embedding, x, model.outputBias);
  });
}
