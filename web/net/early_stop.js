// When training no longer helps: stop, and go back to the best parameters.

/**
 * Watches a number that should fall, such as the loss on held-out text (Prechelt 1998).
 *
 *   const watch = new EarlyStop(params, { patience: 5 });
 *   if (watch.report(heldOutLoss)) { watch.restore(); break; }
 */
export class EarlyStop {
  /** The least value so far. */ best = Infinity;
  /** Reports since then. */ since = 0;
  /** @type {Float32Array[]} */ #values = [];

  /** @param {import('./params.js').Params} params @param {{patience?: number, delta?: number}} [options] patience: reports without an improvement until it says stop, default 5; delta: what counts as one, default 0 */
  constructor(params, { patience = 5, delta = 0 } = {}) {
    this.params = params;
    this.patience = patience;
    this.delta = delta;
  }

  /** @param {number} value NaN never improves @returns {boolean} true: it is time to stop */
  report(value) {
    if (value < this.best - this.delta) {
      this.best = value;
      this.since = 0;
      this.#values = this.params.list().map((p) => p.read());
    } else this.since++;
    return this.since >= this.patience;
  }

  /** Puts the parameters back to where the value was best; the optimizer's moments stay as they are. */
  restore() { this.params.list().forEach((p, i) => this.#values[i] && p.set(this.#values[i])); }
}
