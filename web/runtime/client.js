// The page's end of a worker: calls with replies, aborts, progress and streams (the protocol is described in wire.js).
import { inNode, nodeModule } from './heap.js';
import { PROTOCOL, listen } from './wire.js';
import { MicrotomeError, revive, throwIfAborted } from './errors.js';

const START_MS = 30_000;
const WINDOW = 32; // streamed parts that may be under way before the reader has taken them

/**
 * Pages may start workers of their own origin alone, but those may import from anywhere. For a file on another origin (a CDN): the URL of a line that imports it; a page's policy allows it by `worker-src blob:` and the other origin.
 * @param {string | URL} url @returns {string | null} null: it can be started as it is
 */
export function lineFor(url) {
  const { href, origin } = new URL(url, globalThis.document?.baseURI), isWeb = /^https?:/;
  if (origin === globalThis.origin || !isWeb.test(origin) || !isWeb.test(globalThis.origin)) return null;
  return URL.createObjectURL(new Blob([`import ${JSON.stringify(href)};`], { type: 'text/javascript' }));
}

/** @param {string | URL} [workerUrl] @returns {Promise<any>} */
export async function spawn(workerUrl) {
  const beside = new URL(/* webpackIgnore: true */ /* @vite-ignore */ './worker.js', import.meta.url);
  if (inNode()) {
    const { Worker: NodeWorker } = await nodeModule('node:worker_threads');
    const given = typeof workerUrl === 'string' && /^[a-z][a-z0-9+.-]+:/i.test(workerUrl) ? new URL(workerUrl) : workerUrl; // else a path
    return new NodeWorker(given ?? beside, { workerData: { microtome: PROTOCOL }, execArgv: [] });
  }
  const url = lineFor(workerUrl ?? beside) ?? workerUrl;
  if (url) return new Worker(url, { type: 'module', name: 'microtome-worker-1' });
  return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'microtome-worker-1' });
}

/**
 * A worker that can become a helper thread, and the end of a channel to it that the computing thread gets. Workers that workers start have kept Firefox waiting for ever: so they are started here, by the page (in Node: by any thread).
 * @param {() => Promise<any>} start @param {() => void} lost it died, or could not start after all @returns {Promise<{worker: any, port: MessagePort} | null>} null: it could not start
 */
export async function startHelperWorker(start, lost) {
  const worker = await start().catch(() => null);
  if (!worker) return null;
  const { port1, port2 } = new MessageChannel();
  listen(worker, () => {}, lost);
  worker.unref?.();
  worker.postMessage({ attend: port1 }, [port1]);
  return { worker, port: port2 };
}

/**
 * @typedef {{resolve: (value: any) => void, reject: (error: Error) => void, onEvent: (name: string, value: any) => void, signal: AbortSignal | null}} Pending
 */

export class WorkerClient {
  /** @type {Map<number, Pending>} */ #pending = new Map();
  #nextId = 1;
  /** @type {any} */ #worker;
  /** @type {Error | null} */ #dead = null;

  /** Starts a worker and waits for its greeting; rejects when it cannot start. @param {{workerUrl?: string | URL, signal?: AbortSignal, helpers?: number}} [options] helpers: threads that it will want */
  static async start({ workerUrl, signal, helpers = 0 } = {}) {
    throwIfAborted(signal);
    const failed = (/** @type {Error} */ error) => new MicrotomeError(`the worker could not start: ${error.message} (see the option workerUrl)`, { code: 'EWORKER', cause: error });
    const worker = await spawn(workerUrl).catch((error) => { throw failed(error); });
    const client = new WorkerClient(worker);
    try {
      await Promise.all([client.addHelpers(helpers, () => spawn(workerUrl)), new Promise((resolve, reject) => { // at once: the greeting may come while helpers are being started
        const timer = setTimeout(() => reject(failed(new Error(`no answer in ${START_MS / 1000} s`))), START_MS);
        const done = (/** @type {() => void} */ then) => { clearTimeout(timer); signal?.removeEventListener('abort', abort); then(); };
        const abort = () => done(() => reject(signal?.reason));
        signal?.addEventListener('abort', abort);
        client.#hello = (version) => done(() => version === PROTOCOL ? resolve(undefined)
          : reject(failed(new Error(`it speaks protocol ${version}, this page ${PROTOCOL}: files of two versions of the package are mixed`))));
        client.#lost = (error) => done(() => reject(failed(error)));
      })]);
    } catch (error) {
      client.terminate();
      throw error;
    }
    return client;
  }

  /** Starts workers that the worker may make its helper threads, before the first call. @param {number} count @param {() => Promise<any>} start one of them */
  async addHelpers(count, start) {
    for (let index = 0; index < count; index++) {
      const helper = await startHelperWorker(start, () => this.#loseHelper(index));
      if (!helper) continue;
      if (this.#dead) return void helper.worker.terminate();
      this.#helpers.push(helper.worker);
      this.#worker.postMessage({ helper: helper.port, index }, [helper.port]);
    }
  }

  /** @type {any[]} */ #helpers = [];
  #answered = false;
  /** @type {Set<number>} */ #gone = new Set();

  /** Until the first answer the worker can do without it. Later it may have taken a part of a step with it, for which the worker would wait for ever. @param {number} index */
  #loseHelper(index) {
    if (this.#dead || this.#gone.has(index)) return; // an error and the end that follows it are one death
    this.#gone.add(index);
    if (!this.#answered || !this.#pending.size) return this.#worker.postMessage({ lost: index });
    this.#fail(new MicrotomeError('a helper thread died in the middle of the work (the platform ended it, or memory ran out): load the model again', { code: 'EWORKER' }));
    void this.#worker.terminate();
  }

  #hello = (/** @type {number} */ _version) => {};
  #lost = (/** @type {Error} */ _error) => {};

  /** @param {any} worker */
  constructor(worker) {
    this.#worker = worker;
    listen(worker, (message) => this.#receive(message), (error) => {
      this.#lost(error);
      this.#fail(new MicrotomeError(`the worker died: ${error.message}`, { code: 'EWORKER', cause: error }));
    });
  }

  #receive(/** @type {any} */ message) {
    if (message.hello !== undefined) return this.#hello(message.hello);
    const call = this.#pending.get(message.id);
    if (!call) return;
    if (message.event) return call.onEvent(message.event, message.value);
    this.#answered = true;
    this.#forget(message.id);
    if (message.error) call.reject(revive(message.error, call.signal));
    else call.resolve(message.value);
  }

  #fail(/** @type {Error} */ error) {
    this.#dead ??= error;
    for (const helper of this.#helpers.splice(0)) void helper.terminate();
    for (const [id, call] of [...this.#pending]) {
      this.#forget(id);
      call.reject(error);
    }
  }

  #forget(/** @type {number} */ id) {
    this.#pending.delete(id);
    if (!this.#pending.size) this.#worker.unref?.(); // Node: an idle worker does not keep the process alive
  }

  /**
   * @param {string} method @param {any} args
   * @param {{signal?: AbortSignal | null, onEvent?: (name: string, value: any) => void, transfer?: any[], credit?: number}} [options]
   * @returns {{id: number, reply: Promise<any>}}
   */
  #start(method, args, { signal = null, onEvent = () => {}, transfer = [], credit } = {}) {
    const id = this.#nextId++;
    const reply = new Promise((resolve, reject) => {
      if (this.#dead) return reject(this.#dead);
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => this.#worker.postMessage({ id, abort: true });
      const end = (/** @type {(x: any) => void} */ f) => (/** @type {any} */ x) => { signal?.removeEventListener('abort', abort); f(x); };
      signal?.addEventListener('abort', abort);
      this.#pending.set(id, { resolve: end(resolve), reject: end(reject), onEvent, signal });
      this.#worker.ref?.();
      try {
        this.#worker.postMessage({ id, method, args, credit }, transfer);
      } catch (error) {
        this.#forget(id);
        end(reject)(error);
      }
    });
    return { id, reply };
  }

  /**
   * @param {string} method @param {any} [args]
   * @param {{signal?: AbortSignal | null, onEvent?: (name: string, value: any) => void, transfer?: any[]}} [options] @returns {Promise<any>}
   */
  call(method, args = {}, options) {
    return this.#start(method, args, options).reply;
  }

  /**
   * Parts of a streaming method. Leaving the loop early aborts the work.
   * @param {string} method @param {any} args @param {{signal?: AbortSignal | null}} [options] @returns {AsyncGenerator<any, any, void>}
   */
  async *stream(method, args, { signal = null } = {}) {
    throwIfAborted(signal);
    /** @type {any[]} */
    const parts = [];
    let wake = () => {};
    /** @type {{done: boolean, value?: any, error?: Error}} */
    const end = { done: false };
    const { id, reply } = this.#start(method, args, { signal, credit: WINDOW, onEvent: (name, value) => { if (name === 'part') { parts.push(value); wake(); } } });
    reply.then((value) => { end.value = value; }, (error) => { end.error = error; }).finally(() => { end.done = true; wake(); });
    let taken = 0;
    try {
      for (;;) {
        while (parts.length) {
          throwIfAborted(signal);
          if (++taken % (WINDOW / 2) === 0 && !end.done) this.#worker.postMessage({ id, credit: WINDOW / 2 });
          yield parts.shift();
        }
        if (end.error) throw end.error;
        if (end.done) return end.value;
        await new Promise((resolve) => { wake = () => resolve(undefined); });
      }
    } finally {
      if (!end.done) {
        this.#worker.postMessage({ id, abort: true });
        await reply.catch(() => {});
      }
    }
  }

  /** Ends the worker and its helper threads; calls under way are rejected. Can be called again. */
  terminate() {
    this.#fail(new MicrotomeError('the worker was ended', { code: 'ESTATE' }));
    return this.#worker.terminate();
  }
}
