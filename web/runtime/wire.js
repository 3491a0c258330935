// Page and workers: messages, calls, helper threads. Plain messages, version PROTOCOL:
//   page -> worker   {id, method, args}    {id, abort: reason}    {id, credit: n}
//   worker -> page   {hello: PROTOCOL}    {id, event, value}    {id, value}    {id, error: {name, message, code, details}}
// The reply with `value` or `error` ends a call; events before it carry progress or streamed parts.
import { MicrotomeError, throwIfAborted } from './heap.js';

/** @typedef {import('./heap.js').Heap} Heap */

export const PROTOCOL = 1;
export const BUSY_MS = 12; // a worker that has computed this long looks at its messages

/** Lets messages in. @returns {Promise<void>} */
export const tick = typeof setImmediate === 'function'
  ? () => new Promise((resolve) => setImmediate(resolve))
  : () => new Promise((/** @type {(value: void) => void} */ resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); resolve(); };
    port2.postMessage(0);
  });

/**
 * What a method may do besides computing: see aborts, tell about progress, stream parts under flow control.
 * @typedef {{signal: AbortSignal, event: (name: string, value: any, transfer?: Transferable[]) => void, breathe: () => Promise<void>,
 *   part: (value: any, transfer?: Transferable[]) => Promise<void>}} Task
 */

/** @typedef {{postMessage: (message: any, transfer?: any[]) => void}} Port */

const HELPER_START_MS = 10_000;
const STACK_BYTES = 1 << 18;

/** @typedef {{port: any, heard: (message: any) => void, lost: (error: Error) => void, gone: boolean}} Helper */

/** A worker that the page has started, at the other end of a channel. @param {any} port @returns {Helper} */
export function helperAt(port) {
  /** @type {Helper} */ const helper = { port, heard: () => {}, lost: () => {}, gone: false };
  listen(port, (message) => helper.heard(message), (error) => helper.lost(error));
  return helper;
}

/** It died, or could not start after all: nobody waits for it. @param {Helper} helper */
export function loseHelper(helper) {
  helper.gone = true;
  helper.lost(new Error('the helper could not start'));
}

/**
 * Makes helpers threads of an instance on shared memory. The pool is made only after they have all answered, and for as many as did: one that cannot start
 * (a policy, a limit) costs its share of the speed and nothing else.
 * @param {Heap} heap @param {WebAssembly.Module} module @param {Helper[]} helpers @returns {Promise<{pool: number, threads: number}>} pool: its address, 0 without any helper; threads: with the caller's
 */
export async function startPool(heap, module, helpers) {
  const started = await Promise.all(helpers.map((helper) => startHelper(helper, module, heap))), ports = started.filter((port) => port !== null);
  if (!ports.length) return { pool: 0, threads: 1 };
  const threads = ports.length + 1;
  const pool = heap.scope((alloc) => {
    const out = alloc(4);
    heap.call('pool_new', threads, out);
    return heap.u32(out);
  });
  ports.forEach((port, i) => port.postMessage({ pool, index: i + 1 }));
  return { pool, threads };
}

/**
 * Makes it a thread of this memory, on a stack of its own. @param {Helper} helper @param {WebAssembly.Module} module @param {Heap} heap
 * @returns {Promise<any>} its port; null: it did not start
 */
async function startHelper(helper, module, heap) {
  const stack = helper.gone ? 0 : heap.exports.alloc_aligned(STACK_BYTES, 16) >>> 0;
  if (!stack) return null;
  try {
    await new Promise((/** @type {(value: void) => void} */ resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no answer')), HELPER_START_MS);
      helper.heard = ({ ready, failed }) => { clearTimeout(timer); if (ready) resolve(); else reject(new Error(failed)); };
      helper.lost = (error) => { clearTimeout(timer); reject(error); };
      helper.port.postMessage({ helper: { module, memory: heap.memory, stackTop: stack + STACK_BYTES } });
    });
    helper.port.unref?.(); // Node: threads that wait for work do not keep the process alive
    return helper.port;
  } catch {
    helper.port.close(); // what it would still have heard must not reach a stack that is given back
    heap.exports.release_aligned(stack);
    return null;
  }
}

/**
 * The two kinds of workers behind one face. @param {any} worker @param {(message: any) => void} onMessage @param {(error: Error) => void} onError
 */
export function listen(worker, onMessage, onError) {
  if (worker.on) {
    worker.on('message', onMessage);
    worker.on('error', onError);
    worker.on('messageerror', onError);
    worker.on('exit', () => onError(new Error('the worker ended')));
  } else {
    worker.onmessage = (/** @type {MessageEvent} */ event) => onMessage(event.data);
    worker.onmessageerror = () => onError(new Error('a message could not be read'));
    worker.onerror = (/** @type {ErrorEvent} */ event) => {
      event.preventDefault?.();
      onError(new Error(event.message || 'the worker script could not be loaded (missing file, MIME type or Content-Security-Policy)'));
    };
  }
}

/** Errors as plain objects, so that their code and details cross. @param {unknown} error */
function plainError(error) {
  if (error instanceof MicrotomeError) return { name: error.name, message: error.message, code: error.code, details: error.details };
  if (error instanceof Error && error.name === 'AbortError') return { name: error.name, message: error.message };
  const text = error instanceof Error ? error.message : String(error);
  // A trap is an error of ours; the stack says where.
  return { name: 'MicrotomeError', message: `internal error: ${text}`, code: 'EWORKER', details: { stack: error instanceof Error ? error.stack : undefined } };
}

/**
 * Answers calls by the methods of an engine. @param {Port} port @param {(handler: (message: any) => void) => void} onMessage
 * @param {{helpers: Helper[]}} engine each method: (args, task: Task) => value or promise
 */
export function serve(port, onMessage, engine) {
  /** @type {Map<number, {controller: AbortController, credit: number, wake: () => void}>} */
  const calls = new Map();
  onMessage((message) => {
    if (message.attend) return attend(message.attend);
    if (message.helper) return void (engine.helpers[message.index] = helperAt(message.helper));
    if (message.lost !== undefined) {
      const helper = engine.helpers[message.lost];
      return helper && loseHelper(helper);
    }
    if (message.method) return void answer(message);
    const running = calls.get(message.id);
    if ('abort' in message) return running?.controller.abort(new DOMException('The operation was aborted.', 'AbortError'));
    if ('credit' in message) {
      if (running) {
        running.credit += message.credit;
        running.wake();
      }
    }
  });
  port.postMessage({ hello: PROTOCOL });

  /** @param {{id: number, method: string, args: any, credit?: number}} message */
  async function answer({ id, method, args, credit = Infinity }) {
    const controller = new AbortController();
    const call = { controller, credit, wake: () => {} };
    controller.signal.addEventListener('abort', () => call.wake());
    calls.set(id, call);
    let rested = performance.now();
    const breathe = async () => {
      if (performance.now() - rested > BUSY_MS) {
        await tick();
        rested = performance.now();
      }
      throwIfAborted(controller.signal);
    };
    /** @type {Task} */
    const task = {
      signal: controller.signal,
      event: (event, value, transfer = []) => port.postMessage({ id, event, value }, transfer),
      breathe,
      part: async (value, transfer = []) => {
        while (call.credit <= 0 && !controller.signal.aborted) await new Promise((resolve) => { call.wake = () => resolve(undefined); });
        throwIfAborted(controller.signal);
        call.credit--;
        port.postMessage({ id, event: 'part', value }, transfer);
      },
    };
    try {
      const f = /** @type {any} */ (engine)[method];
      if (typeof f !== 'function') throw new MicrotomeError(`no ${method} in microtome/core: objects of 'microtome' can do more`, { code: 'EUNSUPPORTED' });
      const value = await f.call(engine, args, task);
      port.postMessage({ id, value }, buffersOf(value));
    } catch (error) {
      port.postMessage({ id, error: plainError(error) });
    } finally {
      calls.delete(id);
    }
  }
}

/** Buffers of a result, to be moved instead of copied. @param {any} value @returns {ArrayBuffer[]} */
function buffersOf(value) {
  const found = new Set();
  const visit = (/** @type {any} */ x) => {
    if (ArrayBuffer.isView(x)) {
      if (x.buffer instanceof ArrayBuffer) found.add(x.buffer);
    } else if (Array.isArray(x)) {
      if (typeof x[0] === 'object') x.forEach(visit);
    } else if (x && typeof x === 'object') Object.values(x).forEach(visit);
  };
  visit(value);
  return [...found];
}

/**
 * A helper thread: the same module on the shared memory, its own stack; what the engine says comes through the channel. pool_worker returns only when the pool is freed.
 * @param {any} port
 */
function attend(port) {
  /** @type {Record<string, any> | null} */ let exports = null;
  listen(port, async ({ helper, pool, index }) => {
    try {
      if (pool) return void exports?.pool_worker(pool, index);
      const { module, memory, stackTop } = /** @type {{module: WebAssembly.Module, memory: WebAssembly.Memory, stackTop: number}} */ (helper);
      exports = /** @type {Record<string, any>} */ ((await WebAssembly.instantiate(module, { env: { memory, train_progress: () => 0 } })).exports);
      exports.__stack_pointer.value = stackTop;
      port.postMessage({ ready: true });
    } catch (error) {
      if (pool) return void setTimeout(() => { throw error; }); // the page hears of it: what it took with it is missing
      port.postMessage({ failed: String(error) });
    }
  }, () => {});
}
