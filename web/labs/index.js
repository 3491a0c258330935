// The built-in labs: small models trained on the spot, each in a file of its own. docs/labs.md tells how to write one.

/** @typedef {import('../lab/define.js').Lab} Lab */
/** @typedef {{id: number, name: string, loader: () => Promise<{default: Readonly<Lab>}>}} Listed */

/** In order of ids. The imports are written out, so that bundlers find the files. @type {readonly Listed[]} */
export const LABS = Object.freeze([
  { id: 12, name: 'active-dormant-heads', loader: () => import('./active-dormant-heads.js') },
  { id: 13, name: 'bico-reversal-curse', loader: () => import('./bico-reversal-curse.js') },
  { id: 18, name: 'fair-lm-paradox', loader: () => import('./fair-lm-paradox.js') },
  { id: 48, name: 'tokenization-bias-markov', loader: () => import('./tokenization-bias-markov.js') },
  { id: 55, name: 'induction-heads', loader: () => import('./induction-heads.js') },
  { id: 69, name: 'pitfalls-next-token', loader: () => import('./pitfalls-next-token.js') },
  { id: 84, name: 'linear-models-in-context', loader: () => import('./linear-models-in-context.js') },
  { id: 102, name: 'numeral-systems-pythia', loader: () => import('./numeral-systems-pythia.js') },
  { id: 116, name: 'spt-reversal-curse', loader: () => import('./spt-reversal-curse.js') },
  { id: 128, name: 'dual-process-forgetting', loader: () => import('./dual-process-forgetting.js') },
  { id: 193, name: 'overcoming-self-attention-limits', loader: () => import('./overcoming-self-attention-limits.js') },
  { id: 201, name: 'theory-of-tokenization', loader: () => import('./theory-of-tokenization.js') },
  { id: 218, name: 'kv-shifting-attention', loader: () => import('./kv-shifting-attention.js') },
  { id: 221, name: 'number-token-loss', loader: () => import('./number-token-loss.js') },
]);
