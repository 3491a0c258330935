// An instance of the module for the thread that trains, with helper threads where the platform gives them.
//
// A thread that computes waits for its helpers, which a page's own thread must not: there, helpers belong to a worker, which gets them from the page. In Node every thread
// may wait and starts its own.
import { Heap, inNode, makeMemory } from '../runtime/heap.js';
import { helperAt, loseHelper, startPool } from '../runtime/wire.js';
import { spawn, startHelperWorker } from '../runtime/client.js';
import { checkNumber, throwIfAborted } from '../runtime/errors.js';
import { detectFeatures, loadHeap, loadModule } from '../runtime/load.js';

/** @typedef {import('../runtime/wire.js').Helper} Helper */
/** @typedef {import('../runtime/load.js').RuntimeOptions} RuntimeOptions */

/** Threads over one memory. */
export class Threads {
  /** The pool's address; 0: one thread. */ #pool;
  #count;
  #end;

  /** @param {{pool?: number, threads?: number, end?: () => Promise<void>}} [started] */
  constructor({ pool = 0, threads = 1, end = async () => {} } = {}) {
    this.#pool = pool;
    this.#count = threads;
    this.#end = end;
  }

  /** What the core takes for a pool. */
  get pool() { return this.#pool; }
  /** How many compute, the caller's among them. */
  get count() { return this.#count; }

  /** Ends the helpers. What lives in the memory stays usable, by one thread; the results are the same. Can be called again. @returns {Promise<void>} */
  async close() {
    this.#pool = 0; // left in its memory and not freed: a helper that is ended may be inside
    this.#count = 1;
    const end = this.#end;
    this.#end = async () => {};
    await end();
  }
}

/**
 * @param {RuntimeOptions & {threads?: number, helpers?: Helper[], signal?: AbortSignal}} [options] threads: 1 to 64, default 1. helpers: workers that were started for this one; else Node starts them
 * @returns {Promise<{heap: Heap, threads: Threads}>} as many threads as could be had. More than one: an instance of their own
 * @throws {import('../runtime/heap.js').MicrotomeError} ERANGE: threads; what loadModule throws. AbortError
 */
export async function loadThreads({ threads = 1, helpers, signal, ...options } = {}) {
  checkNumber('threads', threads, 1, 64, true);
  if (threads === 1 || !detectFeatures().threads || !(helpers || inNode())) return { heap: await loadHeap({ ...options, signal }), threads: new Threads() };
  const { module, variant, shared } = await loadModule({ ...options, signal, threads: true });
  if (!shared) return { heap: await loadHeap({ wasmModule: module, variant }), threads: new Threads() };
  /** @type {any[]} */ const workers = [];
  const end = async () => void (await Promise.all(workers.map((worker) => worker.terminate())));
  try {
    const heap = await Heap.create(module, makeMemory(true));
    const started = await startPool(heap, module, (helpers ?? (await ownHelpers(threads - 1, workers))).filter(Boolean).slice(0, threads - 1));
    throwIfAborted(signal);
    return { heap, threads: new Threads({ ...started, end }) };
  } catch (error) {
    await end();
    throw error;
  }
}

/** Helpers of the caller's thread, in Node. @param {number} count @param {any[]} workers those that were started are added @returns {Promise<Helper[]>} */
async function ownHelpers(count, workers) {
  /** @type {Helper[]} */ const helpers = [];
  for (let i = 0; i < count; i++) {
    /** @type {Helper | undefined} */ let helper;
    const started = await startHelperWorker(() => spawn(), () => helper && loseHelper(helper));
    if (!started) continue;
    workers.push(started.worker);
    helpers.push((helper = helperAt(started.port)));
  }
  return helpers;
}
