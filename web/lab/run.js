// A lab under way: its arms one after the other, each with parameters and random streams of its own.
//
//   const run = await LabRun.create(lab, { seed: 1, preset: 'quick' });
//   await run.play();                          // gives the thread away now and then; pause() makes it return
//   run.verdict();                             // { pass, checks }
//   run.dispose();
//
// advance() is the one that works; play() calls it in slices, and a worker or a page may do so itself. All are the same computation: slices, pauses and checkpoints
// change no bit of it. A value that is changed on the way (set) is kept with the step at which it was.
import { MicrotomeError, checkNumber, checkOptions, disposed, throwIfAborted } from '../runtime/errors.js';
import { tick } from '../runtime/wire.js';
import { pack, unpack } from './checkpoint.js';
import { RUNTIME_OPTIONS, labCore } from './core.js';
import { checkValue, configOf, everyOf } from './define.js';
import { drawPlots } from './draw.js';
import { Rng } from './rng.js';
import { readTexts } from './texts.js';

/** @typedef {import('./define.js').Lab} Lab */
/** @typedef {import('./define.js').Run} Run */
/** @typedef {import('./define.js').Config} Config */
/** @typedef {import('./define.js').Arm} Arm */
/** @typedef {import('./define.js').ArmResult} ArmResult */
/** @typedef {import('./define.js').Params} Params */
/** @typedef {import('./define.js').Picture} Picture */
/** @typedef {import('./define.js').Check} Check */
/** @typedef {import('./define.js').Headline} Headline */
/** Where parameters come from. @typedef {{params: () => Params}} Core */
/**
 * @typedef {object} LabOptions
 * @property {number} [seed] default 1
 * @property {string} [preset] default "full"
 * @property {Config} [config] over the preset's
 * @property {Record<string, import('./texts.js').AnySource>} [texts] in place of the bundled texts that the lab reads, by name
 * @property {Core} [core] default: parameters in the module's memory (web/net.js), computed with in one thread; for more: `labCore({ threads })`
 * @property {AbortSignal} [signal] for loading; advance and play have their own
 */
/** @typedef {{core: Core, texts: Record<string, Uint8Array>}} Means */
/** @typedef {{seed?: number, preset?: string, config?: Config}} Choice */
/** @typedef {{arm: number, arms: number, name: string, step: number, steps: number, made: number, total: number, done: boolean}} Where arm: its place; step of steps: in it; made of total: steps of all arms; done: all arms are */
/** @typedef {{key: string, value: import('./define.js').ConfigValue, arm: number, step: number}} Change */

const SLICE_MS = 40;
const FORMAT = 1;

/** One arm: what the lab's functions see (Run in define.js), and what it has shown. @implements {Run} */
class ArmRun {
  step = 0;
  done = false;
  enough = false;
  /** @type {Record<string, any>} */ state = {};
  /** @type {Map<string, Rng>} */ #streams = new Map();
  /** @type {Record<string, [number, number][]>} */ series;
  /** @type {Record<string, Picture>} */ pictures = {};
  /** What setup made. @type {any} */ made;
  #texts;

  /** @param {Lab} lab @param {Arm} arm @param {Config} config @param {number} seed @param {Means} means @param {AbortSignal} signal */
  constructor(lab, arm, config, seed, { core, texts }, signal) {
    this.arm = arm.name;
    this.config = config;
    this.seed = seed;
    this.params = core.params();
    this.params.rng = this.rng('init');
    this.signal = signal;
    this.#texts = texts;
    this.series = Object.fromEntries(Object.keys(lab.series).map((key) => [key, []]));
  }

  /** @param {string} stream @returns {Rng} */
  rng(stream) {
    let found = this.#streams.get(stream);
    if (!found) this.#streams.set(stream, (found = new Rng(this.seed, stream)));
    return found;
  }

  finish() { this.enough = true; }

  /** @param {string} stream @returns {Rng} */
  fresh(stream) { return new Rng(this.seed, stream); }

  /** @param {string} name @returns {Uint8Array} */
  texts(name) {
    if (!Object.hasOwn(this.#texts, name)) throw new MicrotomeError(`there is no text "${name}": the lab must name it in its texts`, { code: 'EMISSING', details: { text: name } });
    return this.#texts[name];
  }

  /** @returns {Record<string, number>} */
  positions() { return Object.fromEntries([...this.#streams].map(([name, rng]) => [name, rng.position])); }

  /** @param {Record<string, number>} positions */
  seek(positions) {
    this.#streams.forEach((rng, name) => { rng.position = positions[name] ?? 0; });
    for (const [name, position] of Object.entries(positions)) this.rng(name).position = position;
  }
}

/** A lab under way in this thread. */
export class LabRun {
  /** @type {Lab} */ #lab;
  /** @type {Means} */ #means;
  /** @type {Config} */ #config;
  /** @type {Config} */ #first;
  #seed;
  /** @type {Arm[]} */ #plan;
  /** Arms that have begun; the last is under way or done. @type {ArmRun[]} */ #arms = [];
  /** @type {Change[]} */ #changes = [];
  #stop = new AbortController();
  #busy = false;
  /** What a lab's function threw. @type {Error | null} */ #broken = null;
  #paused = false;
  #gone = false;

  /**
   * A run before its first step.
   * @param {Lab} lab what defineLab gave @param {LabOptions & import('./core.js').RuntimeOptions} [options] @returns {Promise<LabRun>}
   * @throws {MicrotomeError} EUNKNOWN, ERANGE: an option, preset or key that is not there, a value that does not fit; EMISSING, EIO, EHTTP: a text that the lab reads is not there
   */
  static async create(lab, options = {}) {
    checkOptions('LabRun', options, ['seed', 'preset', 'config', 'texts', 'core', 'signal', ...RUNTIME_OPTIONS]);
    const { seed, preset, config } = options;
    const run = new LabRun(lab, { seed, preset, config }, await meansOf(lab, options));
    await run.#begin();
    return run;
  }

  /**
   * Goes on from a checkpoint: the same lab and the same texts give what the run would have given that was not cut. @param {Lab} lab @param {Uint8Array} bytes what checkpoint() gave
   * @param {Pick<LabOptions, 'texts' | 'core' | 'signal'> & import('./core.js').RuntimeOptions} [options] @returns {Promise<LabRun>} @throws {MicrotomeError} EFORMAT
   */
  static async restore(lab, bytes, options = {}) {
    checkOptions('LabRun.restore', options, ['texts', 'core', 'signal', ...RUNTIME_OPTIONS]);
    const { header, blocks } = unpack(bytes);
    if (header.format !== FORMAT || header.lab !== lab.name) throw new MicrotomeError(`checkpoint: of lab "${header.lab}", format ${header.format}; expected "${lab.name}", format ${FORMAT}`, { code: 'EFORMAT' });
    const { every, ...config } = header.config ?? {}; // every may be one that the runtime made
    const run = new LabRun(lab, { seed: header.seed, config: lab.config.every ? header.config : config }, await meansOf(lab, options));
    try {
      if (!Array.isArray(header.arms) || header.arms.length !== blocks.length || !blocks.length || blocks.length > run.#plan.length)
        throw new MicrotomeError(`checkpoint: ${header.arms?.length} arms and ${blocks.length} blocks, where the lab has ${run.#plan.length} arms`, { code: 'EFORMAT' });
      for (const [i, { step, done, config, state, pictures, series, positions }] of header.arms.entries()) {
        const arm = await run.#begin();
        arm.params.restore(blocks[i]);
        arm.seek(positions);
        Object.assign(arm, { step, done, state, pictures, config });
        for (const key of Object.keys(arm.series)) arm.series[key] = series[key];
      }
      run.#config = header.now;
      run.#changes = header.changes;
    } catch (error) {
      run.dispose();
      if (error instanceof TypeError) throw new MicrotomeError(`checkpoint: its header lacks something: ${error.message}`, { code: 'EFORMAT', cause: error });
      throw error;
    }
    return run;
  }

  /** Use LabRun.create. @param {Lab} lab @param {Choice} choice @param {Means} means @internal */
  constructor(lab, { seed = 1, preset, config }, means) {
    this.#seed = checkNumber('seed', seed, 0, Number.MAX_SAFE_INTEGER, true);
    this.#lab = lab;
    this.#means = means;
    this.#first = configOf(lab, { ...(preset !== undefined && { preset }), ...(config && { config }) });
    this.#config = { ...this.#first };
    this.#plan = lab.arms?.({ ...this.#first }) ?? [{ name: lab.title }];
    if (!this.#plan.length || new Set(this.#plan.map((arm) => arm.name)).size !== this.#plan.length) throw new MicrotomeError(`lab ${lab.name}: arms must be a list of at least one, with different names`, { code: 'ERANGE' });
  }

  /** The lab. */ get lab() { return this.#lab; }
  /** The seed. */ get seed() { return this.#seed; }
  /** The config as it stands now. @returns {Config} */ get config() { return { ...this.#config }; }
  /** Names of the arms. @returns {string[]} */ get arms() { return this.#plan.map((arm) => arm.name); }
  /** Whether all arms have made all their steps. */ get done() { return this.#arms.length === this.#plan.length && this.#arms[this.#arms.length - 1].done; }
  /** Values that were changed on the way. @returns {Change[]} */ get changes() { return this.#changes.map((change) => ({ ...change })); }

  /** Where it stands. @returns {Where} */
  get where() {
    const now = this.#now();
    const made = this.#arms.reduce((sum, arm) => sum + arm.step, 0), total = this.#plan.reduce((sum, arm, i) => sum + (this.#arms[i]?.done ? this.#arms[i].step : (arm.config?.steps ?? this.#config.steps)), 0);
    return { arm: this.#arms.length - 1, arms: this.#plan.length, name: now.arm, step: now.step, steps: now.config.steps, made, total, done: this.done };
  }

  #live() {
    if (this.#gone) throw disposed('this run');
  }
  #now() { return this.#arms[this.#arms.length - 1]; }

  /** The config of an arm. @param {Arm} arm @param {Config} base */
  #merged(arm, base) {
    const config = { ...base, ...arm.config }, own = arm.config?.every !== undefined || this.#lab.config.every !== undefined;
    return own ? config : { ...config, every: everyOf({ ...config, every: undefined }) };
  }

  /** Begins the next arm. */
  async #begin() {
    const arm = this.#plan[this.#arms.length];
    const run = new ArmRun(this.#lab, arm, this.#merged(arm, this.#first), this.#seed + (arm.seed ?? 0), this.#means, this.#stop.signal);
    try {
      run.made = await this.#lab.setup(run);
      this.#live();
    } catch (error) {
      if (run.made !== undefined) this.#lab.dispose?.(run, run.made);
      run.params.free();
      throw error;
    }
    run.config = this.#merged(arm, this.#config); // what was set meanwhile
    this.#arms.push(run);
    return run;
  }

  /** @param {ArmRun} arm @param {Record<string, any> | void} values */
  #record(arm, values) {
    if (!values) return;
    for (const [key, value] of Object.entries(/** @type {Record<string, any>} */ (values))) {
      if (key === 'pictures') {
        for (const [name, picture] of Object.entries(value)) arm.pictures[name] = /** @type {any} */ (Object.fromEntries(Object.entries(picture).map(([field, x]) => [field, ArrayBuffer.isView(x) ? Array.from(/** @type {any} */ (x)) : x]))); // a copy, the same before and after a checkpoint
        continue;
      }
      if (!arm.series[key]) throw new MicrotomeError(`lab ${this.#lab.name}: a value for "${key}", which is no series: known are ${Object.keys(arm.series).join(', ')}`, { code: 'EUNKNOWN', details: { series: key } });
      if (typeof value !== 'number') throw new MicrotomeError(`lab ${this.#lab.name}: the value of ${key} is no number but ${typeof value}`, { code: 'ERANGE', details: { series: key } });
      arm.series[key].push([arm.step, value]);
    }
  }

  /**
   * Works until the time or the steps are used up, or all arms are done. An arm's end and the next one's beginning take no step.
   * @param {{ms?: number, steps?: number, signal?: AbortSignal}} [options] ms: it stops after the first step that passes this; default: one of both @returns {Promise<Where>}
   * @throws {MicrotomeError} ESTATE: it is at work already, or was disposed of. What a lab's function throws; AbortError. Aborted, it can go on later
   */
  async advance({ ms = Infinity, steps = ms === Infinity ? 1 : Infinity, signal } = {}) {
    this.#live();
    if (this.#busy) throw new MicrotomeError('this run is at work already', { code: 'ESTATE' });
    throwIfAborted(signal);
    if (this.#broken) throw this.#broken;
    this.#busy = true;
    const until = performance.now() + ms;
    try {
      for (let made = 0; !this.done && made < steps;) {
        try {
          made += await this.#one();
        } catch (error) {
          this.#broken = /** @type {Error} */ (error); // half a step: there is nothing to go on from
          throw error;
        }
        throwIfAborted(signal);
        if (performance.now() >= until) break;
      }
      return this.where;
    } finally {
      this.#busy = false;
    }
  }

  /** A step, with what is due before and behind it. @returns {Promise<number>} steps made: an arm may have none */
  async #one() {
    const { lab } = this, arm = this.#now().done ? await this.#begin() : this.#now();
    const steps = Number(arm.step < arm.config.steps);
    if (steps) {
      if (lab.measure && arm.step % arm.config.every === 0) this.#record(arm, await lab.measure(arm, arm.made));
      const values = lab.step(arm, arm.made);
      this.#record(arm, values instanceof Promise ? await values : values);
      arm.step++;
    }
    if (arm.enough || arm.step >= arm.config.steps) {
      if (lab.measure) this.#record(arm, await lab.measure(arm, arm.made));
      arm.done = true;
    }
    this.#live();
    return steps;
  }

  /**
   * Works to the end, in slices: between them messages and timers are let in.
   * @param {{signal?: AbortSignal, sliceMs?: number, onSlice?: (where: Where) => void}} [options] sliceMs: how long a slice lasts; onSlice: called after each @returns {Promise<boolean>} true: done; false: pause() was called
   */
  async play({ signal, sliceMs = SLICE_MS, onSlice } = {}) {
    this.#paused = false;
    while (!this.done && !this.#paused) {
      const where = await this.advance({ ms: sliceMs, signal });
      onSlice?.(where);
      await tick();
      throwIfAborted(signal);
    }
    return this.done;
  }

  /** Makes play() return after its slice. */
  pause() { this.#paused = true; }

  /** Changes a live value, from the next step on. @param {string} key of the config @param {import('./define.js').ConfigValue} value @throws {MicrotomeError} EUNKNOWN, ERANGE; ESTATE: the value may not change while a run is under way */
  set(key, value) {
    this.#live();
    checkValue(this.#lab, key, value);
    const lives = Object.keys(this.#lab.config).filter((name) => this.#lab.config[name].live);
    if (!lives.includes(key)) throw new MicrotomeError(`lab ${this.#lab.name}: ${key} cannot change while a run is under way: ${lives.length ? `only ${lives.join(', ')} can` : 'nothing can'}`, { code: 'ESTATE', details: { key } });
    this.#config[key] = value;
    const arm = this.#now();
    if (!Object.hasOwn(this.#plan[this.#arms.length - 1].config ?? {}, key)) arm.config = { ...arm.config, [key]: value };
    this.#changes.push({ key, value, arm: this.#arms.length - 1, step: arm.step });
  }

  /** The parameters of an arm that has begun. @param {number} [arm] default: the one under way @returns {any} */
  params(arm = this.#arms.length - 1) {
    this.#live();
    return this.#arms[checkNumber('arm', arm, 0, this.#arms.length - 1, true)].params;
  }

  /** What setup made for an arm that has begun. @param {number} [arm] default: the one under way @returns {any} */
  made(arm = this.#arms.length - 1) {
    this.#live();
    return this.#arms[checkNumber('arm', arm, 0, this.#arms.length - 1, true)].made;
  }

  /** What there is so far; the lists are the run's own and grow on. @returns {ArmResult[]} one for each arm, begun or not */
  results() {
    return this.#plan.map((arm, i) => {
      const run = this.#arms[i];
      if (!run) return { name: arm.name, config: { ...this.#config, ...arm.config }, seed: this.#seed + (arm.seed ?? 0), step: 0, done: false, series: Object.fromEntries(Object.keys(this.#lab.series).map((key) => [key, []])), last: {}, pictures: {} };
      const last = Object.fromEntries(Object.entries(run.series).filter(([, points]) => points.length).map(([key, points]) => [key, points[points.length - 1][1]]));
      return { name: run.arm, config: { ...run.config }, seed: run.seed, step: run.step, done: run.done, series: run.series, last, pictures: run.pictures };
    });
  }

  #finished() {
    if (!this.done) throw new MicrotomeError(`lab ${this.#lab.name} is not done: arm ${this.where.arm + 1} of ${this.where.arms}, step ${this.where.step} of ${this.where.steps}`, { code: 'ESTATE' });
  }

  /** The one number. @returns {Headline} @throws {MicrotomeError} ESTATE: not done */
  headline() {
    this.#finished();
    return this.#lab.headline(this.results());
  }

  /** Whether the claim holds. A value that is no number passes no check. @returns {{pass: boolean, checks: Check[]}} pass: all checks do @throws {MicrotomeError} ESTATE: not done */
  verdict() {
    this.#finished();
    const checks = this.#lab.verdict(this.results()).map((check) => ({ ...check, pass: check.pass && !Number.isNaN(check.value) }));
    if (!checks.length) throw new MicrotomeError(`lab ${this.#lab.name}: its verdict has no checks`, { code: 'ERANGE' });
    return { pass: checks.every((check) => check.pass), checks };
  }

  /** Everything that the run goes on from. @returns {Uint8Array<ArrayBuffer>} @throws {MicrotomeError} ESTATE: it is at work: pause it first */
  checkpoint() {
    this.#live();
    if (this.#busy) throw new MicrotomeError('a checkpoint is made between steps: pause the run first', { code: 'ESTATE' });
    const arms = this.#arms.map((arm) => {
      const { step, done, config, state, series, pictures } = arm;
      return { step, done, config, state, series, pictures, positions: arm.positions() };
    });
    return pack({ format: FORMAT, lab: this.#lab.name, seed: this.#seed, config: this.#first, now: this.#config, changes: this.#changes, arms }, this.#arms.map((arm) => arm.params.save()));
  }

  /**
   * What there is, for files: the results as JSON (what is no number is null there), the plots, the parameters of each arm that has begun.
   * @returns {{json: string, plots: import('./draw.js').Drawn[], weights: {arm: string, bytes: Uint8Array<ArrayBuffer>}[]}} json: the results; weights: safetensors
   */
  export() {
    this.#live();
    const { id, name, title, claim, published, source, notes } = this.#lab, arms = this.results(), ended = this.done ? { headline: this.headline(), verdict: this.verdict() } : { headline: null, verdict: null };
    return {
      json: JSON.stringify({ lab: { id, name, title, claim, published, source, notes }, seed: this.#seed, config: this.#config, changes: this.#changes, done: this.done, ...ended, arms }),
      plots: drawPlots(this.#lab, arms),
      weights: this.#arms.map((arm) => ({ arm: arm.arm, bytes: arm.params.weights() })),
    };
  }

  /** Frees the parameters. Can be called again; other calls throw ESTATE afterwards. */
  dispose() {
    if (this.#gone) return;
    this.#gone = true;
    this.#stop.abort(disposed('this run'));
    for (const arm of this.#arms) {
      if (arm.made !== undefined) this.#lab.dispose?.(arm, arm.made);
      arm.params.free();
    }
  }
}
if (Symbol.dispose) Object.defineProperty(LabRun.prototype, Symbol.dispose, { value: LabRun.prototype.dispose, configurable: true, writable: true });

/** What a run works with. @param {Lab} lab @param {LabOptions & import('./core.js').RuntimeOptions} options @returns {Promise<Means>} */
async function meansOf(lab, options) {
  const { core, texts, signal } = options;
  throwIfAborted(signal);
  const read = await readTexts(lab.texts ?? [], texts, signal);
  return { core: core ?? (await labCore({ ...Object.fromEntries(RUNTIME_OPTIONS.map((name) => [name, /** @type {any} */ (options)[name]])), signal })), texts: read };
}
