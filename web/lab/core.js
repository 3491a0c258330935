// Where the parameters of a run live: an instance of the module in the thread that trains.
import { RUNTIME_OPTIONS, loadHeap } from '../runtime/load.js';
import { Params } from '../net.js';

export { RUNTIME_OPTIONS };

/** @typedef {import('../runtime/load.js').RuntimeOptions} RuntimeOptions */

/** @param {RuntimeOptions & {signal?: AbortSignal}} [options] @returns {Promise<import('./run.js').Core>} */
export async function labCore(options = {}) {
  const heap = await loadHeap(options);
  return { params: () => new Params(heap) };
}
