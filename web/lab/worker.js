// A worker that runs labs; client.js is the page's end. Calls and replies go as in runtime/wire.js, whose protocol this is; what a run shows on the way comes as events of the call `play`:
//   metrics   {where, arms: [{arm, config, step, done, series: {key: new points}}]}     picture   {arm, name, picture}
// at most one batch in 50 ms, and one at the end of every call.
import { MicrotomeError, inNode, nodeModule, throwIfAborted } from '../runtime/heap.js';
import { PROTOCOL, serve, tick } from '../runtime/wire.js';
import { labCore } from './core.js';
import { describe } from './define.js';
import { findLab } from './find.js';
import { LabRun } from './run.js';
import { wholeFile } from '../runtime/gzip.js';

/** @typedef {import('../runtime/wire.js').Task} Task */
/** @typedef {import('./define.js').Picture} Picture */

const LAB_WORKER = 'microtome-lab-1';
const BATCH_MS = 50;
const SLICE_MS = 40;

class LabEngine {
  /** Workers that the page has started to be helper threads. @type {import('../runtime/wire.js').Helper[]} */ helpers = [];
  /** @type {LabRun | null} */ #run = null;
  /** The slice under way. @type {Promise<any>} */ #slice = Promise.resolve();
  #playing = false;
  #paused = false;
  /** Points of each arm and series that were sent. @type {Record<string, number>[]} */ #sent = [];
  /** Pictures that were sent, of each arm. @type {Record<string, Picture>[]} */ #shown = [];

  #live() {
    if (!this.#run) throw new MicrotomeError('no lab has been opened', { code: 'ESTATE' });
    return this.#run;
  }

  /** Between slices the run stands still. @returns {Promise<LabRun>} */
  async #still() {
    await this.#slice.catch(() => {});
    return this.#live();
  }

  /** @param {{lab: string | number, checkpoint?: Uint8Array, seed?: number, preset?: string, config?: any, texts?: Record<string, import('../runtime/open.js').Source>, threads: number, runtime: any}} args @param {Task} task */
  async open({ lab: what, checkpoint, texts: sources = {}, threads, runtime, ...choice }, { signal }) {
    const lab = await findLab(what), texts = Object.fromEntries(await Promise.all(Object.entries(sources).map(async ([name, source]) => [name, await wholeFile(source, signal)])));
    const core = await labCore({ ...runtime, threads, helpers: this.helpers, signal }); // it ends with this worker
    const run = (this.#run = await this.#told(() => (checkpoint ? LabRun.restore(lab, checkpoint, { texts, core, signal }) : LabRun.create(lab, { ...choice, texts, core, signal }))));
    return { lab: describe(lab), seed: run.seed, threads: core.threads, ...this.#all() };
  }

  /** Everything at once; what follows are the differences. */
  #all() {
    const run = this.#live(), results = run.results();
    this.#sent = results.map((arm) => Object.fromEntries(Object.entries(arm.series).map(([key, points]) => [key, points.length])));
    this.#shown = results.map((arm) => ({ ...arm.pictures }));
    return { where: run.where, config: run.config, changes: run.changes, results };
  }

  /** Errors of a lab's own functions, as what they are. @template T @param {() => Promise<T>} body @returns {Promise<T>} */
  async #told(body) {
    try {
      return await body();
    } catch (error) {
      if (error instanceof MicrotomeError || (error instanceof Error && error.name === 'AbortError')) throw error;
      const { message, stack } = error instanceof Error ? error : new Error(String(error));
      throw new MicrotomeError(`the lab failed: ${message}`, { code: 'EWORKER', details: { stack } });
    }
  }

  /** Sends what is new. @param {Task} task */
  #flush(task) {
    const run = this.#live(), arms = [];
    for (const [i, { config, step, done, series, pictures }] of run.results().entries()) {
      /** @type {Record<string, [number, number][]>} */ const fresh = {};
      for (const [key, points] of Object.entries(series)) {
        if (points.length > this.#sent[i][key]) fresh[key] = points.slice(this.#sent[i][key]);
        this.#sent[i][key] = points.length;
      }
      if (Object.keys(fresh).length || done) arms.push({ arm: i, config, step, done, series: fresh });
      for (const [name, picture] of Object.entries(pictures)) {
        if (this.#shown[i][name] === picture) continue;
        this.#shown[i][name] = picture;
        task.event('picture', { arm: i, name, picture });
      }
    }
    task.event('metrics', { where: run.where, arms });
  }

  /** Works until it is done, paused, aborted, or has made so many steps. @param {{steps?: number}} args @param {Task} task */
  async play({ steps = Infinity }, task) {
    const run = await this.#still();
    if (this.#playing) throw new MicrotomeError('this run is at work already', { code: 'ESTATE' });
    const end = run.where.made + steps;
    let sent = -Infinity;
    this.#playing = true;
    this.#paused = false;
    try {
      while (!run.done && !this.#paused && run.where.made < end) {
        this.#slice = this.#told(() => run.advance({ ms: SLICE_MS, steps: end - run.where.made }));
        await this.#slice;
        if (performance.now() - sent >= BATCH_MS) {
          this.#flush(task);
          sent = performance.now();
        }
        await tick();
        throwIfAborted(task.signal);
      }
      return { where: run.where, ...(run.done && { headline: run.headline(), verdict: run.verdict() }) };
    } finally {
      this.#playing = false;
      this.#flush(task);
    }
  }

  async pause() {
    this.#paused = true;
    return (await this.#still()).where;
  }

  /** @param {{key: string, value: any}} args */
  async set({ key, value }) {
    const run = await this.#still();
    run.set(key, value);
    return { config: run.config, changes: run.changes };
  }

  async checkpoint() { return (await this.#still()).checkpoint(); }
  async export() { return (await this.#still()).export(); }
}

{
  const scope = /** @type {any} */ (globalThis);
  if (inNode()) {
    const start = (/** @type {any} */ { isMainThread, parentPort, workerData }) => {
      if (!isMainThread && workerData?.lab === PROTOCOL) serve(parentPort, (handler) => void parentPort.on('message', handler), new LabEngine());
    };
    const threads = process.getBuiltinModule?.('node:worker_threads');
    if (threads) start(threads);
    else void nodeModule('node:worker_threads').then(start);
  } else if (typeof scope.WorkerGlobalScope === 'function' && scope instanceof scope.WorkerGlobalScope && scope.name === LAB_WORKER) {
    serve(scope, (handler) => { scope.onmessage = (/** @type {MessageEvent} */ event) => handler(event.data); }, new LabEngine());
  }
}
