// Nets that read blocks of tokens which come again (repeats in data.js): what the labs on induction share.
import { transformer } from '../net.js';
import { nextTokens, repeats } from './data.js';
import { attentionTo } from './measures.js';

/** @typedef {import('./rng.js').Rng} Rng */

/** One shape of a net over shared parameters, with the loss at every place. */
export class CopyNet {
  /** The rows that were fed last. @type {ReturnType<typeof repeats>} */ rows = { tokens: new Int32Array(), period: new Int32Array(), copied: new Float32Array() };

  /**
   * @param {import('../net/params.js').Params} params
   * @param {{batch: number, length: number} & import('../net/models.js').TransformerOptions} options length: T, tokens that go in; the others are the transformer's
   */
  constructor(params, { batch, length, ...options }) {
    const g = (this.graph = params.graph());
    this.batch = batch;
    this.length = length;
    this.tokens = g.index('tokens', [batch, length]);
    this.targets = g.index('targets', [batch, length]);
    const { logits, patterns } = transformer(g, this.tokens, options);
    this.patterns = patterns;
    /** [batch, length], in nats. */ this.losses = logits.crossEntropy(this.targets).keep();
  }

  /** Draws rows of blocks and puts them in. @param {Rng} rng @param {{symbols: number, least: number, most: number}} blocks see repeats */
  feed(rng, blocks) {
    this.rows = repeats(rng, { ...blocks, batch: this.batch, length: this.length + 1 });
    const { inputs, targets } = nextTokens(this.rows.tokens, this.length + 1);
    this.tokens.set(inputs);
    this.targets.set(targets);
  }

  /** Mean losses of the last run: `early`, of tokens of the first block; `late`, of tokens of later copies. @returns {{early: number, late: number}} nats */
  split() {
    const { copied } = this.rows, losses = this.losses.value, sum = [0, 0], count = [0, 0], T = this.length;
    for (let b = 0; b < this.batch; b++)
      for (let t = 0; t < T; t++) {
        const late = copied[b * (T + 1) + t + 1];
        sum[late] += losses[b * T + t];
        count[late]++;
      }
    return { early: sum[0] / count[0], late: sum[1] / count[1] };
  }

  /**
   * What the heads of a layer do on the rows of the last run. `induction`, the prefix-matching score (Olsson et al. 2022): from tokens of later copies, attention to the tokens that came next the
   * times before; `previous`: from every token, attention to the one before it.
   * @param {number} layer @returns {{induction: Float64Array, previous: Float64Array}} by head, 0..1
   */
  heads(layer) {
    const pattern = this.patterns[layer], { value, dims } = pattern, { period } = this.rows;
    return {
      induction: attentionTo(value, dims, (b, q) => {
        if (q < period[b]) return null;
        const keys = [];
        for (let k = q - period[b] + 1; k > 0; k -= period[b]) keys.push(k);
        return keys;
      }),
      previous: attentionTo(value, dims, (_, q) => (q ? [q - 1] : null)),
    };
  }

  /** The pattern of a head on a row of the last run, for a plot. @param {number} layer @param {number} head @param {number} [row] @returns {import('./define.js').HeatPicture} */
  picture(layer, head, row = 0) {
    const { value, dims: [, heads, T] } = this.patterns[layer], at = (row * heads + head) * T * T;
    return { rows: T, cols: T, values: value.slice(at, at + T * T), labels: Array.from(this.rows.tokens.subarray(row * (T + 1), row * (T + 1) + T), String), min: 0, max: 1 };
  }
}
