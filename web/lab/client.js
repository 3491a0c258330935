// A lab in a worker, seen from the page: it trains there and tells here.
//
//   const lab = await LabClient.open('induction-heads', { seed: 1, preset: 'quick' });
//   lab.on('metrics', () => draw(drawPlots(lab.about, lab.results)));   // results grow by what arrives, at most twenty times a second
//   lab.on('done', ({ verdict }) => ...);
//   await lab.start();                                                  // or start(), pause(), resume(), step(n), set(key, value)
//   lab.terminate();
import { MicrotomeError, checkNumber, checkOptions, disposed, throwIfAborted } from '../runtime/errors.js';
import { RUNTIME_OPTIONS, detectFeatures } from '../runtime/load.js';
import { WorkerClient, lineFor } from '../runtime/client.js';
import { toSource } from '../runtime/source.js';
import { inNode, nodeModule } from '../runtime/heap.js';
import { PROTOCOL } from '../runtime/wire.js';

/** @typedef {import('./run.js').Where} Where */
/** @typedef {import('./define.js').ArmResult} ArmResult */
/** @typedef {import('./define.js').Picture} Picture */
/** @typedef {import('./define.js').Headline} Headline */
/** @typedef {import('./define.js').Check} Check */
/** @typedef {{where: Where, headline?: Headline, verdict?: {pass: boolean, checks: Check[]}}} Ended headline, verdict: when all arms are done */
/**
 * @typedef {object} ClientOptions
 * @property {number} [seed] default 1
 * @property {string} [preset] default "full"
 * @property {import('./define.js').Config} [config] over the preset's
 * @property {Uint8Array} [checkpoint] to go on from, instead of seed, preset and config
 * @property {Record<string, import('../runtime/source.js').AnySource>} [texts] in place of the bundled texts that the lab reads, by name
 * @property {number} [threads] 1 to 64, default 1; one where shared memory is not allowed (a page must be isolated from other origins). Results do not depend on it
 * @property {string | URL | Worker} [worker] web/lab/worker.js where it lies elsewhere, or a module worker of it, named "microtome-lab-1", that was started
 * @property {AbortSignal} [signal] for opening
 */
/** What on() tells. @typedef {{metrics: {where: Where}, picture: {arm: number, name: string, picture: Picture}, done: Ended, error: Error}} Events */

const EVENTS = ['metrics', 'picture', 'done', 'error'];

/** @param {string | URL | Worker | undefined} worker @returns {worker is Worker} */
const isWorker = (worker) => typeof worker === 'object' && !(worker instanceof URL);

/** @param {string | URL | Worker | undefined} worker @returns {Promise<any>} */
async function spawn(worker) {
  if (isWorker(worker)) return worker;
  const beside = new URL(/* webpackIgnore: true */ /* @vite-ignore */ './worker.js', import.meta.url);
  if (inNode()) {
    const { Worker: NodeWorker } = await nodeModule('node:worker_threads');
    return new NodeWorker(worker ?? beside, { workerData: { lab: PROTOCOL }, execArgv: [] });
  }
  const url = lineFor(worker ?? beside) ?? worker;
  if (url) return new Worker(url, { type: 'module', name: 'microtome-lab-1' });
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'microtome-lab-1' });
}

/** A lab that trains in a worker; what it finds arrives here. */
export class LabClient {
  /** @type {WorkerClient} */ #client;
  #gone = false;
  /** @type {Map<string, Set<(value: any) => void>>} */ #listeners = new Map(EVENTS.map((name) => [name, new Set()]));
  /** What describe() says of the lab. @type {ReturnType<typeof import('./define.js').describe>} */ about;
  /** Of the run. @type {number} */ seed;
  /** How many compute, at most as many as were asked for. @type {number} */ threads;
  /** As it stood when the last message came. @type {Where} */ where;
  /** The knobs' values, live ones as they stand now. @type {import('./define.js').Config} */ config;
  /** Values that were changed on the way. @type {import('./run.js').Change[]} */ changes;
  /** Grows by what arrives. @type {ArmResult[]} */ results;

  /**
   * Starts a worker with a lab, before its first step.
   * @param {string | number | URL} lab the name or id of a built-in lab, or the URL of a module whose default export is a lab; in Node also file: URLs
   * @param {ClientOptions & import('../runtime/load.js').RuntimeOptions} [options] @returns {Promise<LabClient>}
   * @throws {MicrotomeError} EUNKNOWN, ERANGE, EMISSING: what does not fit; EFORMAT: the checkpoint; EIO, EWORKER: the lab or the worker could not be loaded. AbortError
   */
  static async open(lab, options = {}) {
    checkOptions('LabClient.open', options, ['seed', 'preset', 'config', 'checkpoint', 'texts', 'threads', 'worker', 'signal', ...RUNTIME_OPTIONS]);
    const { signal, worker, texts = {}, checkpoint, seed, preset, config } = options;
    if (checkpoint && (seed !== undefined || preset !== undefined || config !== undefined)) throw new MicrotomeError('LabClient.open: a checkpoint has its own seed and config', { code: 'ERANGE' });
    const threads = checkNumber('LabClient.open: threads', options.threads ?? 1, 1, 64, true), single = options.variant && !options.variant.endsWith('-threads');
    throwIfAborted(signal);
    const client = new WorkerClient(await spawn(worker));
    try {
      if (detectFeatures().threads && !single) await client.addHelpers(threads - 1, () => spawn(isWorker(worker) ? undefined : worker)); // the lab's worker file serves as a helper too
      const opened = await client.call('open', {
        lab: lab instanceof URL ? lab.href : typeof lab === 'string' && !inNode() && /[/.]/.test(lab) ? new URL(lab, document.baseURI).href : lab,
        checkpoint, seed, preset, config, threads, texts: Object.fromEntries(Object.entries(texts).map(([name, source]) => [name, toSource(source)])),
        runtime: Object.fromEntries(RUNTIME_OPTIONS.filter((name) => name in options).map((name) => { const value = /** @type {any} */ (options)[name]; return [name, value instanceof URL ? value.href : value]; })),
      }, { signal });
      return new LabClient(client, opened);
    } catch (error) {
      void client.terminate();
      throw error;
    }
  }

  /** Use LabClient.open. @param {WorkerClient} client @param {any} opened @internal */
  constructor(client, { lab, seed, threads, where, config, changes, results }) {
    if (!(client instanceof WorkerClient)) throw new MicrotomeError('use LabClient.open()', { code: 'ESTATE' });
    this.#client = client;
    this.about = lab;
    this.seed = seed;
    this.threads = threads;
    this.where = where;
    this.config = config;
    this.changes = changes;
    this.results = results;
  }

  /**
   * Listens. metrics: new points have joined `results`; picture: one has; done: all arms are; error: what start, resume or step rejected with. @template {keyof Events} K @param {K} name @param {(value: Events[K]) => void} listener called with what is told
   * @returns {() => void} stops listening @throws {MicrotomeError} EUNKNOWN: another event
   */
  on(name, listener) {
    const all = this.#listeners.get(name);
    if (!all) throw new MicrotomeError(`unknown event "${String(name)}": known are ${EVENTS.join(', ')}`, { code: 'EUNKNOWN' });
    all.add(listener);
    return () => void all.delete(listener);
  }

  /** @template {keyof Events} K @param {K} name @param {Events[K]} value */
  #tell(name, value) { for (const listener of [...(this.#listeners.get(name) ?? [])]) listener(value); }

  #live() {
    if (this.#gone) throw disposed('this lab');
    return this.#client;
  }

  /** @param {string} name @param {any} value */
  #hear(name, value) {
    if (name === 'picture') {
      this.results[value.arm].pictures[value.name] = value.picture;
      return this.#tell('picture', value);
    }
    this.where = value.where;
    for (const { arm, config, step, done, series } of value.arms) {
      const result = Object.assign(this.results[arm], { config, step, done });
      for (const [key, points] of Object.entries(series)) {
        for (const point of points) result.series[key].push(point);
        result.last[key] = points[points.length - 1][1];
      }
    }
    this.#tell('metrics', { where: value.where });
  }

  /** @param {{steps?: number}} args @param {AbortSignal} [signal] @returns {Promise<Ended>} */
  async #play(args, signal) {
    try {
      const ended = await this.#live().call('play', args, { signal, onEvent: (name, value) => this.#hear(name, value) });
      this.where = ended.where;
      if (ended.where.done) this.#tell('done', ended);
      return ended;
    } catch (error) {
      if (!this.#gone) this.#tell('error', /** @type {Error} */ (error));
      throw error;
    }
  }

  /** Without a handler of its own a rejection is what on('error') has told. @template T @param {Promise<T>} promise */
  static #handled(promise) {
    promise.catch(() => {});
    return promise;
  }

  /** Works to the end, or until pause(). @param {{signal?: AbortSignal}} [options] aborted, it rejects, stands still, and can go on later @returns {Promise<Ended>} */
  start({ signal } = {}) { return LabClient.#handled(this.#play({}, signal)); }

  /** Goes on after pause(). @param {{signal?: AbortSignal}} [options] @returns {Promise<Ended>} */
  resume(options) { return this.start(options); }

  /** Makes so many steps. @param {number} [n] default 1 @returns {Promise<Ended>} */
  step(n = 1) { return LabClient.#handled(this.#play({ steps: checkNumber('n', n, 1, Number.MAX_SAFE_INTEGER, true) })); }

  /** Stands still after the step under way; what start() gave resolves. @returns {Promise<Where>} */
  async pause() { return (this.where = await this.#live().call('pause')); }

  /** Changes a live value. @param {string} key of the config @param {import('./define.js').ConfigValue} value @returns {Promise<void>} @throws {MicrotomeError} EUNKNOWN, ERANGE, ESTATE */
  async set(key, value) { Object.assign(this, await this.#live().call('set', { key, value })); }

  /** Everything that the run goes on from; may be called while it works. @returns {Promise<Uint8Array<ArrayBuffer>>} */
  checkpoint() { return this.#live().call('checkpoint'); }

  /** Results, plots, parameters: see LabRun.export. @returns {Promise<ReturnType<import('./run.js').LabRun['export']>>} */
  export() { return this.#live().call('export'); }

  /** Ends the worker. Can be called again; other calls throw ESTATE afterwards. */
  async terminate() {
    if (this.#gone) return;
    this.#gone = true;
    await this.#client.terminate();
  }
}
