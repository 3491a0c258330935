// The atlas: papers on how text becomes tokens and what models make of them, each with what it claims, in our words, and whether this package can show it today.
import { LABS } from '../labs/index.js';
import inside from './list_inside.js';
import decoding from './list_decoding.js';
import senses from './list_senses.js';
import tokens from './list_tokens.js';
import training from './list_training.js';

/**
 * @typedef {object} Entry
 * @property {number} id @property {string} slug @property {string} title of the paper @property {string} field
 * @property {string} claim what the paper claims, in a sentence or two
 * @property {'lab' | 'bytes' | 'inside' | 'tokens'} [run] where its runner is (run.js) @property {string} [missing] without a runner: what the package lacks
 */
/** @typedef {Entry & {status: 'works' | 'not yet'}} System */

const labs = new Set(LABS.map(({ id }) => id));

/** With the lab of its id a system works, whatever its entry says is missing. @param {Entry} entry @returns {System} */
function systemOf({ missing, ...entry }) {
  const run = entry.run ?? (labs.has(entry.id) ? /** @type {const} */ ('lab') : undefined);
  return run ? { ...entry, run, status: 'works' } : { ...entry, missing, status: 'not yet' };
}

/** In order of ids, which are 1, 2, 3... @type {readonly Readonly<System>[]} */
export const SYSTEMS = Object.freeze([...inside, ...decoding, ...senses, ...tokens, ...training].sort((a, b) => a.id - b.id).map((entry) => Object.freeze(systemOf(entry))));
