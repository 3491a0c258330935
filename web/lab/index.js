// What a lab's file imports, and what runs it.
//
//   define.js    the contract: what a lab is           run.js     a lab under way: arms, slices, live values, checkpoints
//   rng.js       random streams                        data.js    what labs train on
//   measures.js  checks, curves, attention
export { defineLab } from './define.js';
export { LabRun } from './run.js';
export { Rng, Table } from './rng.js';
export * from './data.js';
export * from './measures.js';
