// Looking inside a model that was loaded: what it would say at each layer, which parts an answer is made of, where heads look, what neurons stand for, what is lost without a part, where two prompts part.
//
//   const model = await Model.load('model.gguf');
//   const { rows, cells } = await logitLens(model, 'Once upon a time');
//   const { parts } = await logitAttribution(model, 'Once upon a time');
//   const { kl, tokens } = await ablate(model, 'Once upon a time', [{ kind: 'head', layer: 3, head: 5 }]);
//
// Everything goes through Model.run and Model.gradients: traces, patches, `from` and `stopAt` (docs/inspect.md).
export { Readout, argmax, changeOf, entropyOf, klOf, largest, logSoftmax } from './inspect/stream.js';
export { convergenceRow, logitLens } from './inspect/lens.js';
export { logitAttribution } from './inspect/attribution.js';
export { attentionFlow, attentionNorms, attentionOf, attentionRollout, headMean } from './inspect/attention.js';
export { feedForwardMaps } from './inspect/feedforward.js';
export { Network } from './inspect/flow.js';
export { attentionSinks, massiveActivations, stateNorms } from './inspect/sinks.js';
export { neuronReadings, neuronVocabulary, valueVectors } from './inspect/neurons.js';
export { ablate, ablationPatches, ablationSweep, siteName } from './inspect/ablation.js';
export { attributionPatching, patchingMap } from './inspect/patching.js';
export { headDetection, headScores } from './inspect/heads.js';
export { inputGradients, leaveOneOut, meanEmbedding } from './inspect/inputs.js';
