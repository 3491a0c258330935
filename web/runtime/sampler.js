// Drawing from logits: the worker draws beside the model, sampling.js in the page.
/** @typedef {import('./heap.js').Heap} Heap */

/** What a sampler takes, and what the core calls it. */
const SAMPLE_FIELDS = /** @type {const} */ ({ temperature: 'temperature', topK: 'top_k', typicalP: 'typical', topP: 'top_p', minP: 'min_p', repeatPenalty: 'repeat', presencePenalty: 'presence', frequencyPenalty: 'frequency', lastN: 'last_n' });
/** @typedef {{[K in keyof typeof SAMPLE_FIELDS]?: number} & {seed?: number}} SampleOptions */

/** Draws tokens from logits, in the core (src/decode/sample.h says how). */
export class CoreSampler {
  /** @param {Heap} heap @param {number} vocab @param {SampleOptions} options */
  constructor(heap, vocab, options) {
    this.heap = heap;
    this.vocab = vocab;
    this.out = heap.alloc(16);
    try {
      this.at = heap.scope((alloc) => {
        const o = alloc(heap.sizeOf('mt_sample_options')), made = alloc(4);
        heap.exports.sample_defaults(o);
        heap.refresh();
        for (const [name, field] of Object.entries(SAMPLE_FIELDS)) {
          const value = options[/** @type {keyof typeof SAMPLE_FIELDS} */ (name)], { type, offset } = heap.field('mt_sample_options', field);
          if (value === undefined) continue;
          if (type === 'i32') heap.view.setInt32(o + offset, value, true);
          else heap.view.setFloat64(o + offset, value, true);
        }
        heap.view.setBigUint64(o + heap.field('mt_sample_options', 'seed').offset, BigInt(options.seed ?? 0), true);
        heap.call('sampler_new', vocab, o, made);
        return heap.u32(made);
      });
    } catch (error) {
      heap.release(this.out);
      throw error;
    }
  }

  free() {
    this.heap.exports.sampler_free(this.at);
    this.heap.release(this.out);
  }

  /** The text so far, for penalties. @param {ArrayLike<number>} ids */
  accept(ids) {
    this.heap.scope((alloc) => {
      const at = alloc(4 * ids.length);
      this.heap.putInts(at, ids);
      this.heap.call('sampler_accept', this.at, at, ids.length);
    });
  }

  forget() {
    this.heap.call('sampler_forget', this.at);
  }

  /** @param {number} logits their address @param {boolean} [logProb] @returns {{id: number, logProb: number}} logProb: under the model itself; 0 when not asked for */
  draw(logits, logProb = false) {
    const heap = this.heap;
    heap.call('sampler_draw', this.at, logits, this.out, logProb ? this.out + 8 : 0);
    return { id: heap.view.getInt32(this.out, true), logProb: logProb ? heap.view.getFloat64(this.out + 8, true) : 0 };
  }

  /** @param {number} logits their address @returns {Float64Array} probabilities of the next draw */
  law(logits) {
    const heap = this.heap;
    return heap.scope((alloc) => {
      const p = alloc(8 * this.vocab + 8), aligned = (p + 7) & ~7;
      heap.call('sampler_law', this.at, logits, aligned);
      return heap.doubles(aligned, this.vocab);
    });
  }
}
