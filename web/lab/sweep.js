// The same lab again and again: with several seeds, over a grid of configs.
import { MicrotomeError, throwIfAborted } from '../runtime/errors.js';
import { LabRun } from './run.js';

/** @typedef {import('./define.js').Lab} Lab */
/** @typedef {import('./define.js').Config} Config */
/** @typedef {import('./define.js').Check} Check */
/** @typedef {import('./define.js').Headline} Headline */
/** @typedef {{mean: number, sd: number, min: number, max: number}} Summary sd: of a sample, divided by n - 1; 0 for one value */
/**
 * @typedef {object} SeedsResult
 * @property {string} lab
 * @property {{seed: number, pass: boolean, headline: Headline, checks: Check[]}[]} runs
 * @property {{label: string, unit?: string} & Summary} headline over the seeds
 * @property {({what: string, bound: string, passes: number} & Summary)[]} checks each over the seeds
 * @property {number} passes seeds whose checks all pass
 * @property {boolean} works two thirds of the seeds or more pass
 */
/** @typedef {Omit<import('./run.js').LabOptions, 'seed'> & import('./core.js').RuntimeOptions & {onRun?: (run: LabRun) => void, onSlice?: (run: LabRun) => void}} SweepOptions onRun: each run as it ends, before it is disposed of; onSlice: while it works */

/** @param {number[]} values @returns {Summary} */
export function summary(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const sd = values.length > 1 ? Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1)) : 0;
  return { mean, sd, min: Math.min(...values), max: Math.max(...values) };
}

/**
 * Runs a lab once for each seed. @param {Lab} lab @param {number[]} seeds different ones @param {SweepOptions} [options] @returns {Promise<SeedsResult>}
 * @throws {MicrotomeError} ERANGE: no seeds, or twice the same. What LabRun throws; AbortError
 */
export async function runSeeds(lab, seeds, { onRun, onSlice, ...options } = {}) {
  if (!seeds.length || new Set(seeds).size !== seeds.length) throw new MicrotomeError('seeds must be a list of at least one, without repetitions', { code: 'ERANGE' });
  /** @type {SeedsResult['runs']} */ const runs = [];
  for (const seed of seeds) {
    throwIfAborted(options.signal);
    const run = await LabRun.create(lab, { ...options, seed });
    try {
      await run.play({ signal: options.signal, onSlice: () => onSlice?.(run) });
      runs.push({ seed, headline: run.headline(), ...run.verdict() });
      onRun?.(run);
    } finally {
      run.dispose();
    }
  }
  const { label, unit } = runs[0].headline, passes = runs.filter((run) => run.pass).length;
  if (runs.some((run) => run.checks.length !== runs[0].checks.length)) throw new MicrotomeError(`lab ${lab.name}: its verdict has more checks with some seeds than with others`, { code: 'ERANGE' });
  return {
    lab: lab.name, runs, passes, works: 3 * passes >= 2 * seeds.length,
    headline: { label, ...(unit !== undefined && { unit }), ...summary(runs.map((run) => run.headline.value)) },
    checks: runs[0].checks.map(({ what, bound }, i) => ({ what, bound, passes: runs.filter((run) => run.checks[i].pass).length, ...summary(runs.map((run) => run.checks[i].value)) })),
  };
}

/**
 * Every combination of values, each with all seeds. @param {Lab} lab @param {{seeds: number[], grid: Record<string, import('./define.js').ConfigValue[]>} & SweepOptions} options grid: values by config key
 * @returns {Promise<({values: Config} & SeedsResult)[]>} the last key changes fastest
 */
export async function sweep(lab, { seeds, grid, ...options }) {
  /** @type {Config[]} */ let cells = [{}];
  for (const [key, values] of Object.entries(grid)) cells = cells.flatMap((cell) => values.map((value) => ({ ...cell, [key]: value })));
  const out = [];
  for (const values of cells) out.push({ values, ...(await runSeeds(lab, seeds, { ...options, config: { ...options.config, ...values } })) });
  return out;
}
