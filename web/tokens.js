// Tokenizers alone, on a module a third as large as the whole one: what microtome/tokens exports.
import { Tokenizer as Whole } from './tokenizer.js';

export { encodeStream } from './stream.js';
export { MicrotomeError } from './runtime/heap.js';
export { detectFeatures } from './runtime/load.js';

/** @typedef {import('./tokenizer.js').LoadOptions} LoadOptions */
/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./runtime/source.js').AnySource} AnySource */

/** @template T @param {T} options @returns {T & {variant: 'tokens'}} */
const small = (options) => ({ .../** @type {any} */ (options), variant: 'tokens' });

/**
 * The Tokenizer of 'microtome', loading, encoding, counting, streaming and decoding the same: it *is* that class, on a module that has nothing else.
 * What needs more throws EUNSUPPORTED: other segmenters and lattices, toBinary, measures, trainers. Where a page uses 'microtome' as well, take its
 * Tokenizer: two modules are more to load than one.
 */
export class Tokenizer extends Whole {
  /** As Tokenizer.load of 'microtome'. @override @param {AnySource} source what to read @param {LoadOptions & RuntimeOptions} [options] as there; a module of your own must be the one for tokenizers @returns {Promise<Tokenizer>} */
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
