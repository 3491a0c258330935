// What a lab's file imports, and what runs it. docs/labs.md tells how both are used.
//
//   define.js    the contract: what a lab is            run.js     a lab under way: arms, slices, live values, checkpoints
//   rng.js       random streams                         sweep.js   several seeds, grids of configs
//   data.js      what labs train on                     client.js  a lab in a worker (worker.js)
//   texts.js     real text                              core.js    where parameters live, and how many threads compute
//   measures.js  checks, curves, attention              plots.js   charts as SVG; draw.js: those that a lab declares
//                                                       find.js    labs by name or from a file
export { defineLab, describe } from './define.js';
export { LabRun } from './run.js';
export { labCore } from './core.js';
export { LabClient } from './client.js';
export { runSeeds, sweep } from './sweep.js';
export { findLab } from './find.js';
export { LABS } from '../labs/index.js';
export { Rng, Table } from './rng.js';
export { TEXTS } from './texts.js';
export { PLOT_CSS, barChart, formatNumber, heatMap, lineChart, scatterPlot } from './plots.js';
export { drawPlots } from './draw.js';
export * from './data.js';
export * from './measures.js';
