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
export function latest<I, O>(job: (input: I, signal: AbortSignal) => Promise<O>, done: (output: O, input: I) => void, failed: (error: unknown, input: I) => void): (input: I) => void;
