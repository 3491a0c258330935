/**
 * The worker that runs systems of the atlas. Calls and replies go as in web/runtime/wire.js, whose protocol this is; the
 * event `progress` of the call `run` says { done, total }, at most 20 times a second.
 */
import { serve } from '../../web/runtime/wire.js';
import { runSystem } from '../../web/atlas/run.js';

const PAUSE_MS = 50;
const scope = /** @type {any} */ (globalThis);

const engine = {
    helpers: [],
    /** @param {{ id: number, full: boolean }} args @param {import('../../web/runtime/wire.js').Task} task */
    run({ id, full }, { signal, event }) {
        let told = -Infinity;
        return runSystem(id, {
            full,
            signal,
            onProgress: (done, total) => {
                if (performance.now() - told < PAUSE_MS && done < total) return;
                told = performance.now();
                event('progress', { done, total });
            },
        });
    },
};

serve(scope, (handler) => { scope.onmessage = (/** @type {MessageEvent} */ message) => handler(message.data); }, /** @type {any} */ (engine));
