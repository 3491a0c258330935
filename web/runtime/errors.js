// Errors of the package, in one place to import from. The class itself lives in worker.js, which has no imports.
import { MicrotomeError, throwIfAborted } from './heap.js';

export { MicrotomeError, throwIfAborted };

/**
 * An error that came from a worker, as the class that users see.
 * @param {{name: string, message: string, code?: string, details?: Record<string, any>}} plain @param {AbortSignal | null} [signal] the caller's: its reason wins
 * @returns {Error}
 */
export function revive(plain, signal) {
  if (plain.name === 'AbortError') return signal?.aborted && signal.reason instanceof Error ? signal.reason : new DOMException(plain.message, 'AbortError');
  return new MicrotomeError(plain.message, { code: plain.code ?? 'EWORKER', details: plain.details });
}

/** A call on something that was disposed of. @param {string} what */
export const disposed = (what) => new MicrotomeError(`${what} has been disposed of`, { code: 'ESTATE' });

/**
 * Checks an options object: an unknown name is an error that lists the known ones.
 * @param {string} where @param {Record<string, any>} options @param {string[]} known
 */
export function checkOptions(where, options, known) {
  if (options === null || typeof options !== 'object') throw new MicrotomeError(`${where}: options must be an object`, { code: 'ERANGE' });
  for (const name of Object.keys(options))
    if (!known.includes(name)) throw new MicrotomeError(`${where}: unknown option "${name}": known are ${known.join(', ')}`, { code: 'EUNKNOWN', details: { option: name } });
}

/**
 * A number option in a range. @param {string} name @param {unknown} value @param {number} low @param {number} high @param {boolean} [integer] @returns {number}
 */
export function checkNumber(name, value, low, high, integer = false) {
  if (typeof value !== 'number' || !(value >= low && value <= high) || (integer && !Number.isInteger(value)))
    throw new MicrotomeError(`${name}: ${String(value)} is not ${integer ? 'a whole number' : 'a number'} in ${low}..${high}`, { code: 'ERANGE', details: { option: name } });
  return value;
}

/** A pattern with * and ? as an expression for whole names. @param {string} glob */
export const globExpression = (glob) => new RegExp(`^${String(glob).replace(/[.+^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*').replace(/\?/g, '.')}$`);
