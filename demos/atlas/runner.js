/**
 * Runs systems one after another in one worker. No document here.
 *
 *   const runner = new Runner();
 *   const result = await runner.run(48, { full: false, signal, onProgress: ({ done, total }) => … });
 */
import { WorkerClient } from '../../web/runtime/client.js';

/** @typedef {import('../../web/atlas/run.js').SystemRun} SystemRun */
/** @typedef {{ done: number, total: number }} Progress */

const GRACE_MS = 1500; // some steps are long and do not hear that they are to stop

/** Rejects when the signal is aborted. @param {AbortSignal} signal @returns {Promise<never>} */
const aborted = (signal) => new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
});

export class Runner {
    #start;
    /** @type {WorkerClient | null} */ #client = null;
    /** When all that were asked for before are done. */ #before = Promise.resolve();

    /** @param {() => Worker} [start] */
    constructor(start = () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'microtome-atlas-1' })) {
        this.#start = start;
    }

    /**
     * @param {number} id @param {{ full: boolean, signal: AbortSignal, onBegin?: () => void, onProgress?: (progress: Progress) => void }} options onBegin: those before it are done
     * @returns {Promise<SystemRun>} rejects with the signal's reason when it is aborted, at once while it waits
     */
    async run(id, { full, signal, onBegin, onProgress }) {
        const before = this.#before, stopped = aborted(signal);
        stopped.catch(() => {});
        const running = before.then(() => {
            signal.throwIfAborted();
            onBegin?.();
            return this.#now(id, full, signal, onProgress);
        });
        this.#before = running.then(() => {}, () => {});
        return Promise.race([running, stopped]);
    }

    /** @param {number} id @param {boolean} full @param {AbortSignal} signal @param {(progress: Progress) => void} [onProgress] @returns {Promise<SystemRun>} */
    async #now(id, full, signal, onProgress) {
        const client = (this.#client ??= new WorkerClient(this.#start()));
        let timer = 0;
        const abort = () => { timer = window.setTimeout(() => this.#end(client), GRACE_MS); };
        signal.addEventListener('abort', abort, { once: true });
        try {
            return await client.call('run', { id, full }, { signal, onEvent: (_, value) => onProgress?.(value) });
        } catch (error) {
            if (/** @type {any} */ (error)?.code === 'EWORKER') this.#end(client); // the next run starts another
            throw error;
        } finally {
            clearTimeout(timer);
            signal.removeEventListener('abort', abort);
        }
    }

    /** @param {WorkerClient} client */
    #end(client) {
        if (this.#client === client) this.#client = null;
        void client.terminate();
    }
}
