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
 * @returns {(input: I) => void}
 */
export function latest(job, done, failed) {
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
    };
    return (input) => {
        waiting = { input };
        if (running) running.abort();
        else void run();
    };
}
