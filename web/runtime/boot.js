// What a worker for models does when it starts: it serves an engine; started as a helper it runs `pool_worker` on the shared memory.
import { inNode, nodeModule } from './heap.js';
import { PROTOCOL, serve } from './wire.js';

const WORKER_NAME = 'microtome-worker-1';

/** @param {new () => import('./engine.js').Engine} Engine */
export function boot(Engine) {
  const scope = /** @type {any} */ (globalThis);
  if (inNode()) {
    const start = (/** @type {any} */ { isMainThread, parentPort, workerData }) => {
      if (!isMainThread && workerData?.microtome === PROTOCOL) serve(parentPort, (handler) => void parentPort.on('message', handler), new Engine());
    };
    const threads = process.getBuiltinModule?.('node:worker_threads');
    if (threads) start(threads);
    else void nodeModule('node:worker_threads').then(start);
  } else if (typeof scope.WorkerGlobalScope === 'function' && scope instanceof scope.WorkerGlobalScope && scope.name === WORKER_NAME) {
    serve(scope, (handler) => { scope.onmessage = (/** @type {MessageEvent} */ event) => handler(event.data); }, new Engine());
  }
}
