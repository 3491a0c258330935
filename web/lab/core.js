// Where the parameters of a run live: an instance of the module in the thread that trains, and the threads that help it.
import { RUNTIME_OPTIONS } from '../runtime/load.js';
import { loadThreads } from '../net/threads.js';
import { Params } from '../net.js';

export { RUNTIME_OPTIONS };

/** @typedef {import('../runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./run.js').Core & {readonly threads: number, close: () => Promise<void>}} LabCore threads: how many compute; close: ends the helpers, after which one thread computes */

/**
 * For the option `core` of LabRun. @param {RuntimeOptions & {threads?: number, helpers?: import('../runtime/wire.js').Helper[], signal?: AbortSignal}} [options]
 * threads: 1 to 64, default 1; more where the platform gives them. helpers: workers that the page has started for this one; in Node they are started here @returns {Promise<LabCore>}
 */
export async function labCore(options = {}) {
  const { heap, threads } = await loadThreads(options);
  return { params: () => new Params(heap, { threads }), get threads() { return threads.count; }, close: () => threads.close() };
}
