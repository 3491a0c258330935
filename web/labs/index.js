// The built-in labs: small models trained on the spot, each in a file of its own. docs/labs.md tells how to write one.

/** @typedef {import('../lab/define.js').Lab} Lab */
/** @typedef {{id: number, name: string, loader: () => Promise<{default: Readonly<Lab>}>}} Listed */

/** In order of ids. The imports are written out, so that bundlers find the files. @type {readonly Listed[]} */
export const LABS = Object.freeze([]);
