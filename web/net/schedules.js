// Learning rates over time: each schedule is a function of the step (from 0) that gives a factor of the largest rate.
import { MicrotomeError } from '../runtime/errors.js';

/** @typedef {(step: number) => number} Schedule */

const up = (/** @type {number} */ step, /** @type {number} */ warmup) => (step < warmup ? (step + 1) / warmup : 1);
/** How far from..to is gone, 0..1. */
const share = (/** @type {number} */ step, /** @type {number} */ from, /** @type {number} */ to) => Math.min(1, Math.max(0, (step - from) / Math.max(1, to - from)));
const needed = (/** @type {number} */ steps) => {
  if (!(steps >= 1)) throw new MicrotomeError(`schedule: steps is ${String(steps)}, expected 1 or more`, { code: 'ERANGE' });
  return steps;
};

/** Schedules by name. Each gives a function of the step. `steps`: how many there will be; `warmup`: steps in which the factor rises from 0 to 1, default 0; `floor`: where it ends, default 0. */
export const schedules = {
  /** 1 after the warm-up. @param {{warmup?: number}} [options] warmup: steps in which it rises from 0 @returns {Schedule} */
  constant: ({ warmup = 0 } = {}) => (step) => up(step, warmup),

  /** Half a cosine from 1 down to floor (Loshchilov & Hutter 2017). @param {{steps: number, warmup?: number, floor?: number}} options steps, warmup, floor: as of all @returns {Schedule} */
  cosine({ steps, warmup = 0, floor = 0 }) {
    needed(steps);
    return (step) => (step < warmup ? up(step, warmup) : floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * share(step, warmup, steps))));
  },

  /** A straight line from 1 down to floor. @param {{steps: number, warmup?: number, floor?: number}} options steps, warmup, floor: as of all @returns {Schedule} */
  linear({ steps, warmup = 0, floor = 0 }) {
    needed(steps);
    return (step) => (step < warmup ? up(step, warmup) : 1 - (1 - floor) * share(step, warmup, steps));
  },

  /** 1 / sqrt(step) after the warm-up (Vaswani et al. 2017). @param {{warmup: number}} options warmup: steps in which it rises @returns {Schedule} */
  inverseSqrt: ({ warmup }) => (step) => (step < warmup ? up(step, warmup) : Math.sqrt(Math.max(1, warmup) / (step + 1))),

  /** Constant, then down to floor in the last `decay` steps (Hu et al. 2024: warm-up, stable, decay). @param {{steps: number, warmup?: number, decay?: number, floor?: number}} options steps, warmup: as of all; decay: default a fifth of the steps @returns {Schedule} */
  constantDecay({ steps, warmup = 0, decay = Math.ceil(steps / 5), floor = 0 }) {
    needed(steps);
    return (step) => (step < warmup ? up(step, warmup) : 1 - (1 - floor) * share(step, steps - decay, steps));
  },

  /** Warm-up, a cosine down to `constant`, constant as long as one likes, and from step `anneal` on down to floor in `decay` steps (Ibrahim et al. 2024). @param {{warmup?: number, cooldown: number, constant?: number, anneal?: number, decay?: number, floor?: number}} options warmup: as of all; cooldown: steps of the cosine @returns {Schedule} */
  infinite: ({ warmup = 0, cooldown, constant = 0.5, anneal = Infinity, decay = 1, floor = 0 }) => (step) => {
    if (step < warmup) return up(step, warmup);
    if (step >= anneal) return constant * (floor / constant) ** share(step, anneal, anneal + decay);
    return constant + (1 - constant) * 0.5 * (1 + Math.cos(Math.PI * share(step, warmup, warmup + cooldown)));
  },

  /** One schedule until step `at`, then another one from its own beginning, times `peak`: re-warming. @param {Schedule} before @param {number} at @param {Schedule} after @param {number} [peak] @returns {Schedule} */
  rewarm: (before, at, after, peak = 1) => (step) => (step < at ? before(step) : peak * after(step - at)),
};
