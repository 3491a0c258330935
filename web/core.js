// Models that run, and tokenizers, on a module half as large as the whole one: what microtome/core exports.
import { MicrotomeError } from './runtime/heap.js';
import { Model as Whole } from './model.js';
import { Tokenizer as WholeTokenizer } from './tokenizer.js';

export { encodeStream } from './stream.js';
export { MicrotomeError } from './runtime/heap.js';
export { detectFeatures } from './runtime/load.js';

/** @typedef {import('./types.js').ModelOptions} ModelOptions */
/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./runtime/source.js').AnySource} AnySource */

/**
 * The Model of 'microtome', loading, running, tracing, patching, generating and keeping sessions the same: it *is* that class, on a module and a worker
 * without the rest, with one thread and without relaxed SIMD. What needs more throws EUNSUPPORTED: gradients, fine-tuning, byte models, healing,
 * sums over tokenizations, writing models, the reference kernels. Where a page uses 'microtome' as well, take its Model: two modules are more to load than one.
 */
export class Model extends Whole {
  /**
   * As Model.load of 'microtome'. @override @param {AnySource | AnySource[]} source what to read
   * @param {ModelOptions & RuntimeOptions} [options] as there; threads: 1; a module of your own must be that of microtome/core
   * @returns {Promise<Model>} @throws {MicrotomeError} EUNSUPPORTED: more than one thread; as there
   */
  static async load(source, options = {}) {
    const { threads = 1, workerUrl = new URL('./runtime/core_worker.js', import.meta.url) } = options;
    if (threads !== 1) throw new MicrotomeError(`Model.load: microtome/core runs on one thread, not ${threads}: Model of 'microtome' has more`, { code: 'EUNSUPPORTED' });
    return super.load(source, /** @type {ModelOptions} */ ({ ...options, variant: 'core', threads, workerUrl }));
  }
}

/** The Tokenizer of 'microtome' on the same module as Model. What needs more throws EUNSUPPORTED: other segmenters and lattices, measures, trainers. Its methods are told there. */
export class Tokenizer extends WholeTokenizer {
  /** Its module; a getter, since bundlers keep a class with static fields. @internal */
  static get runtime() {
    return { variant: 'core' };
  }
}
