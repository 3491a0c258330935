// The public names.
export { Tokenizer } from './tokenizer.js';
export { Model } from './model.js';
export { ByteModel } from './bytes.js';
export { Trainer, trainTokenizer } from './train.js';
export { Lattice, SEGMENTERS, isCanonical, segment } from './lattice.js';
export { Sampler } from './sampling.js';
export { encodeStream } from './stream.js';
export { MicrotomeError } from './runtime/errors.js';
export { detectFeatures } from './runtime/load.js';
