// Tokenizers alone, on a module a third as large as the whole one: what microtome/tokens exports.
import { Tokenizer as Whole } from './tokenizer.js';

export { encodeStream } from './stream.js';
export { MicrotomeError } from './runtime/heap.js';
export { detectFeatures } from './runtime/load.js';

/**
 * The Tokenizer of 'microtome', loading, encoding, counting, streaming and decoding the same: it *is* that class, on a module that has nothing else.
 * What needs more throws EUNSUPPORTED: other segmenters and lattices, toBinary, measures, trainers. Where a page uses 'microtome' as well, take its
 * Tokenizer: two modules are more to load than one. Its methods are told there; a module of your own (wasmUrl and its like) must be tokens.wasm.
 */
export class Tokenizer extends Whole {
  /** Its module; a getter, since bundlers keep a class with static fields. @internal */
  static get runtime() {
    return { variant: 'tokens' };
  }
}
