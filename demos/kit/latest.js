/**
 * Runs an asynchronous job for the newest input only: at most one job is under way; inputs that arrive meanwhile replace
 * each other; an answer that is no longer asked for is dropped.
 *
 *   const ask = latest(async (text, signal) => model.next(text, { signal }), show, showError);
 *   input.oninput = () => ask(input.value);
 *
 * @template I, O
 * @param {(input: I, signal: AbortSignal) => Promise<O>} job
 * @param {(output: O, input: I) => void} done called only with the answer to the newest input
 * @param {(error: unknown, input: I) => void} failed
 * @param {HTMLElement} [region] has data-busy as long as an answer is owed to it, by this job or by another one
 * @returns {(input: I) => void}
 */
export function latest(job, done, failed, region) {
    /** @type {{ input: I } | null} */ let waiting = null;
    /** @type {AbortController | null} */ let running = null;

    const run = async () => {
        while (waiting) {
            const { input } = waiting;
            waiting = null;
            const controller = (running = new AbortController());
            try {
                const output = await job(input, controller.signal);
                if (!waiting) done(output, input);
            } catch (error) {
                if (!waiting) failed(error, input);
            }
        }
        running = null;
        if (region) owe(region, -1);
    };
    return (input) => {
        waiting = { input };
        if (running) return running.abort();
        if (region) owe(region, 1);
        void run();
    };
}

/** @type {WeakMap<HTMLElement, number>} */ const owed = new WeakMap();
/** @param {HTMLElement} region @param {number} more */
function owe(region, more) {
    const jobs = (owed.get(region) ?? 0) + more;
    owed.set(region, jobs);
    if (jobs) region.dataset.busy = '';
    else delete region.dataset.busy;
}
