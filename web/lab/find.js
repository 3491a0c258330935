// Labs by their names, and from files of the user's.
import { MicrotomeError } from '../runtime/errors.js';
import { LABS } from '../labs/index.js';
import { defineLab } from './define.js';

/** @typedef {import('./define.js').Lab} Lab */

/**
 * A lab by its name, its number or its file.
 * @param {string | number | URL} what the name or id of a built-in lab, or the URL of a module whose default export is a lab @returns {Promise<Readonly<Lab>>}
 * @throws {MicrotomeError} EUNKNOWN: no lab is called so; EIO: the module could not be loaded; EFORMAT: it exports no lab
 */
export async function findLab(what) {
  const key = String(what);
  if (!(what instanceof URL) && !/^[a-z][a-z0-9+.-]+:/i.test(key)) {
    const found = LABS.find((lab) => lab.name === key || String(lab.id) === key);
    if (!found) throw new MicrotomeError(`unknown lab "${key}": known are ${LABS.map((lab) => `${lab.name} (${lab.id})`).join(', ')}`, { code: 'EUNKNOWN', details: { lab: key } });
    return (await found.loader()).default;
  }
  /** @type {any} */ let module;
  try {
    module = await import(/* webpackIgnore: true */ /* @vite-ignore */ key);
  } catch (error) {
    throw new MicrotomeError(`the lab ${key} could not be loaded: ${/** @type {Error} */ (error).message}`, { code: 'EIO', details: { url: key }, cause: error });
  }
  if (typeof module.default !== 'object' || module.default === null) throw new MicrotomeError(`${key}: its default export is no lab (what defineLab gives)`, { code: 'EFORMAT', details: { url: key } });
  return defineLab(module.default);
}
