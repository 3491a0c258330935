// Runs systems of the atlas: labs by their own verdicts, the others by the runners beside this file.
//
//   const { verdict, obtained } = await runSystem(20);
import { MicrotomeError, checkOptions, throwIfAborted } from '../runtime/errors.js';
import { LabRun } from '../lab/run.js';
import { LABS } from '../labs/index.js';
import { Model } from '../model.js';
import { Tokenizer } from '../tokenizer.js';
import { SYSTEMS } from './list.js';
import { TINY } from '../models.js';

export { SYSTEMS };

/** @typedef {import('./list.js').System} System */
/** @typedef {{headline: import('../lab/define.js').Headline, checks: import('../lab/define.js').Check[]}} Found */
/** @typedef {{full: boolean, signal?: AbortSignal, onProgress: (done: number, total: number) => void, model: () => Promise<Model>, tokenizer: () => Promise<Tokenizer>}} Means model, tokenizer: the bundled one's, loaded when asked for */
/** @typedef {{published: string, scope: string, run: (means: Means) => Promise<Found>}} Runner scope: what is run, and what of the claim is not */
/** @typedef {Found & {scope: string}} Obtained */
/** @typedef {{id: number, title: string, status: 'works', claim: string, published: string, obtained: Obtained, verdict: 'holds' | 'fails', seconds: number}} SystemRun */

/** Where runners are. @type {Record<Exclude<System['run'], undefined | 'lab'>, () => Promise<{RUNS: Record<number, Runner>}>>} */
const RUNNERS = { bytes: () => import('./run_bytes.js'), inside: () => import('./run_inside.js'), tokens: () => import('./run_tokens.js') };

/** @param {number} id @param {Means} means @returns {Promise<Found & {published: string, scope: string}>} */
async function runLab(id, { full, signal, onProgress }) {
  const entry = /** @type {import('../labs/index.js').Listed} */ (LABS.find((lab) => lab.id === id)), { default: lab } = await entry.loader();
  const run = await LabRun.create(lab, { preset: full ? 'full' : 'quick', signal });
  try {
    await run.play({ signal, onSlice: ({ made, total }) => onProgress(made, total) });
    return { published: lab.published, headline: run.headline(), checks: run.verdict().checks, scope: `The lab ${lab.name}, seed 1, ${full ? 'as its claim is tested' : 'quickly: too few steps for its claim, which is tested in full'}.` };
  } finally {
    run.dispose();
  }
}

/**
 * The entry of a system. @param {number | string} id its number or its slug @returns {System} @throws {MicrotomeError} EUNKNOWN: there is none
 */
export function findSystem(id) {
  const system = SYSTEMS.find((one) => one.id === Number(id) || one.slug === id);
  if (!system) throw new MicrotomeError(`the atlas has no system ${JSON.stringify(id)}: ids are 1..${SYSTEMS.length}, or a slug of the list`, { code: 'EUNKNOWN', details: { id } });
  return system;
}

/**
 * Computes what a system claims, on bundled data alone.
 * @param {number | string} id number or slug @param {{full?: boolean, signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} [options] full: more data, and labs as their claims are tested (minutes); default: quickly. done of total: steps of the run
 * @returns {Promise<SystemRun>} verdict: 'holds' when every check does @throws {MicrotomeError} EUNKNOWN: no such system, or one that does not work yet; AbortError
 */
export async function runSystem(id, options = {}) {
  checkOptions('runSystem', options, ['full', 'signal', 'onProgress']);
  const { full = false, signal, onProgress = () => {} } = options, system = findSystem(id);
  if (!system.run) throw new MicrotomeError(`system ${system.id}, ${system.slug}, does not work yet. What is missing: ${system.missing}`, { code: 'EUNKNOWN', details: { id: system.id } });
  throwIfAborted(signal);
  /** @type {Promise<Model> | undefined} */ let model;
  /** @type {Promise<Tokenizer> | undefined} */ let tokenizer;
  const means = { full, signal, onProgress, model: () => (model ??= Model.load(TINY, { threads: 1, signal })), tokenizer: () => (tokenizer ??= Tokenizer.load(TINY)) };
  const started = performance.now();
  try {
    /** @type {Found & {published: string, scope: string}} */ let found;
    if (system.run === 'lab') found = await runLab(system.id, means);
    else {
      const runner = (await RUNNERS[system.run]()).RUNS[system.id];
      found = { published: runner.published, scope: runner.scope, ...(await runner.run(means)) };
      if (full && LABS.some((lab) => lab.id === system.id)) { // computed exactly, and trained
        const lab = await runLab(system.id, means);
        found = { ...found, checks: [...found.checks, ...lab.checks], scope: `${found.scope} ${lab.scope}` };
      }
    }
    const { published, headline, checks, scope } = found;
    return {
      id: system.id, title: system.title, status: 'works', claim: system.claim, published, obtained: { headline, checks, scope }, verdict: checks.length && checks.every(({ pass, value }) => pass && !Number.isNaN(value)) ? 'holds' : 'fails',
      seconds: Math.round(performance.now() - started) / 1000,
    };
  } finally {
    if (model) await (await model.catch(() => null))?.dispose();
    if (tokenizer) (await tokenizer.catch(() => null))?.dispose();
  }
}
