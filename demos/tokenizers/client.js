/**
 * Tokenizers in a worker, seen from the page.
 *
 *   const worker = openWorker();
 *   const info = await worker.call('load', { key: 'mine', source: { file } });
 *   const { count } = await worker.call('encode', { key: 'mine', text, how, start: 0, most: 300 });
 */
import { WorkerClient } from '../../web/runtime/client.js';

/** @returns {WorkerClient} calls wait until it is ready, and are rejected when it cannot start */
export const openWorker = () => new WorkerClient(new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'tokenizers' }));
