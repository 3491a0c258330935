/**
 * Questions to the page's worker, one after the other. One that is given up takes the worker with it: what it computes
 * cannot be interrupted otherwise.
 */
export class Asker {
    /** @type {Worker | null} */ #worker = null;
    #id = 0;

    /**
     * @param {Record<string, unknown>} question @param {AbortSignal} [signal] @returns {Promise<any>}
     * @throws {Error} what the worker says; AbortError
     */
    async ask(question, signal) {
        signal?.throwIfAborted();
        const worker = (this.#worker ??= new Worker(new URL('./worker.js', import.meta.url), { type: 'module' })), id = ++this.#id, done = new AbortController();
        const quit = () => {
            worker.terminate();
            if (this.#worker === worker) this.#worker = null;
        };
        try {
            return await new Promise((resolve, reject) => {
                const how = { signal: done.signal };
                worker.addEventListener('message', ({ data }) => {
                    if (data.id !== id) return;
                    if ('error' in data) reject(new Error(data.error));
                    else resolve(data.result);
                }, how);
                worker.addEventListener('error', (e) => {
                    quit();
                    reject(new Error(e.message || 'the page’s worker could not be started'));
                }, how);
                signal?.addEventListener('abort', () => {
                    quit();
                    reject(signal.reason);
                }, how);
                worker.postMessage({ id, ...question });
            });
        } finally {
            done.abort();
        }
    }
}
