// The public names.
export { Tokenizer } from './tokenizer.js';
export { Model } from './model.js';
export { ModelStore } from './store.js';
export { ByteModel } from './bytes.js';
export { Trainer, trainTokenizer } from './train.js';
export { Lattice, isCanonical, segment } from './lattice.js';
export { SEGMENTERS } from './segmenters.js';
export { Measure, alignTokenizations, divergence, parity, unreachableTokens, vocabularyOverlap } from './measure.js';
export { charsmapOf } from './train/charsmap.js';
export { extendTokenizer } from './train/extend.js';
export { HuffmanCode } from './huffman.js';
export { TokenLanguage } from './language.js';
export { Session } from './session.js';
export { Sampler } from './sampling.js';
export { QUANTIZE_TYPES, quantize } from './quantize.js';
export { encodeStream } from './stream.js';
export { MicrotomeError } from './runtime/errors.js';
export { detectFeatures } from './runtime/load.js';
