/**
 * The chain in a worker: the laws of a large vocabulary take longer than a page may stand still.
 * A message { call, method, args } is answered by { call, result } or { call, error }.
 */
import { Chain } from './chain.js';

const chain = new Chain();
/** @type {Promise<void>} */ let last = Promise.resolve();

self.addEventListener('message', ({ data: { call, method, args } }) => {
    last = last.then(async () => {
        try {
            const result = await (method === 'take' ? chain.take(.../** @type {Parameters<Chain['take']>} */ (args)) : chain.ladder(.../** @type {Parameters<Chain['ladder']>} */ (args)));
            self.postMessage({ call, result });
        } catch (error) {
            self.postMessage({ call, error: error instanceof Error ? error.message : String(error) });
        }
    });
});
