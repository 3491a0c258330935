// Models that run, and tokenizers, on a module half as large as the whole one: what microtome/core exports.
import { MicrotomeError } from './runtime/heap.js';
import { Model as Whole } from './model.js';
import { Tokenizer as WholeTokenizer } from './tokenizer.js';

export { encodeStream } from './stream.js';
export { MicrotomeError } from './runtime/heap.js';
export { detectFeatures } from './runtime/load.js';

/** @typedef {import('./tokenizer.js').LoadOptions} LoadOptions */
/** @typedef {import('./types.js').ModelOptions} ModelOptions */
/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./runtime/source.js').AnySource} AnySource */

/** @template T @param {T} options @returns {T & {variant: 'core'}} */
const small = (options) => ({ .../** @type {any} */ (options), variant: 'core' });

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
    if (threads !== 1) throw new MicrotomeError(`Model.load: microtome/core runs on one thread, ${threads} were asked for: Model of 'microtome' has more`, { code: 'EUNSUPPORTED' });
    return super.load(source, small({ ...options, threads, workerUrl }));
  }
}

/** The Tokenizer of 'microtome' on the same module as Model. What needs more throws EUNSUPPORTED: other segmenters and lattices, measures, trainers. */
export class Tokenizer extends WholeTokenizer {
  /** As Tokenizer.load of 'microtome'. @override @param {AnySource} source what to read @param {LoadOptions & RuntimeOptions} [options] as there @returns {Promise<Tokenizer>} */
  static load(source, options) {
    return super.load(source, small(options));
  }

  /** As Tokenizer.fromBinary of 'microtome'. @override @param {AnySource} source what to read @param {{signal?: AbortSignal} & RuntimeOptions} [options] as there @returns {Promise<Tokenizer>} */
  static fromBinary(source, options) {
    return super.fromBinary(source, small(options));
  }

  /** As Tokenizer.builtin of 'microtome'. @override @param {'byt5' | 'canine'} name as there @param {{signal?: AbortSignal} & RuntimeOptions} [options] as there @returns {Promise<Tokenizer>} */
  static builtin(name, options) {
    return super.builtin(name, small(options));
  }
}
