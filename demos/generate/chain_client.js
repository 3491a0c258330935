/**
 * The page's end of the worker in which laws are computed.
 */

/**
 * @typedef {import('./chain.js').Settings} Settings
 * @typedef {import('./chain.js').Ladder} Ladder
 * @typedef {import('./chain.js').Taken} Taken
 */

export class ChainClient {
    #worker = new Worker(new URL('./chain_worker.js', import.meta.url), { type: 'module' });
    #calls = 0;
    /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */ #waiting = new Map();
    /** @type {Error | null} */ #broken = null;

    constructor() {
        this.#worker.addEventListener('message', ({ data: { call, result, error } }) => {
            const waiting = this.#waiting.get(call);
            this.#waiting.delete(call);
            if (error === undefined) waiting?.resolve(result);
            else waiting?.reject(new Error(error));
        });
        this.#worker.addEventListener('error', (event) => {
            event.preventDefault();
            this.#broken = new Error(`the worker that samples did not start${event.message ? `: ${event.message}` : ''}`);
            for (const { reject } of this.#waiting.values()) reject(this.#broken);
            this.#waiting.clear();
        });
    }

    /** @param {'ladder' | 'take'} method @param {any[]} args @returns {Promise<any>} */
    #call(method, args) {
        if (this.#broken) return Promise.reject(this.#broken);
        return new Promise((resolve, reject) => {
            this.#waiting.set(++this.#calls, { resolve, reject });
            this.#worker.postMessage({ call: this.#calls, method, args });
        });
    }

    /** As Chain.ladder. @param {Float32Array} logits @param {number[]} path @param {Settings} settings @param {{ top?: number, show?: number[] }} [options] @returns {Promise<Ladder>} */
    ladder(logits, path, settings, options) { return this.#call('ladder', [logits, path, settings, options]); }
    /** As Chain.take. @param {Float32Array} logits @param {number[]} path @param {Settings} settings @param {{ seed: number, depth: number } | { id: number }} how @returns {Promise<Taken>} */
    take(logits, path, settings, how) { return this.#call('take', [logits, path, settings, how]); }
}
