// Models that are built and trained from nothing: parameters, graphs with automatic differentiation, optimizers.
//
//   const params = await Params.create({ seed: 1 });
//   const g = params.graph();
//   const x = g.input('x', [32, 2]), target = g.index('target', [32]);
//   const hidden = x.matmul(g.param('w1', [2, 16], { normal: 0.5 })).add(g.param('b1', [16])).relu();
//   const logits = hidden.matmul(g.param('w2', [16, 2], { normal: 0.5 }));
//   const loss = logits.crossEntropy(target).mean();
//   g.train(loss);
//   x.set(...); target.set(...); const value = g.step({ rule: 'adamw', rate: 1e-2 });
//
// A graph is built once for fixed shapes and then run at every step without allocation. Several graphs may share parameters.
export { Params } from './net/params.js';
export { Graph, Tensor } from './net/graph.js';
export { causalMask, distanceBias, linear, rotate, sinusoids, transformer } from './net/models.js';
export { EarlyStop } from './net/early_stop.js';
export { schedules } from './net/schedules.js';
