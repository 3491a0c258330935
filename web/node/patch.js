// --patch and --from of `microtome run`: what they say, with the files that they name.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { UsageError } from './args.js';
import { fromNpy, fromNpz } from './npy.js';

/** @typedef {import('../model.js').Patch} Patch */
/** @typedef {import('../model.js').Traced} Traced */

const FORM = 'NAME=zero, NAME=scale:X, NAME=add:X, NAME=replace:X, NAME=X, NAME=mean, NAME=resample or NAME=freeze:FILE; X is a number or a .npy file';

/** The value of a name in a file: the one of a .npy, that of its name in a .npz. @param {string} where @param {string} name @param {string} file @returns {Promise<Traced>} */
async function stored(where, name, file) {
  if (!existsSync(file)) throw new Error(`${file}: no such file`);
  const bytes = await readFile(file);
  if (!file.endsWith('.npz')) return /** @type {Traced} */ (fromNpy(bytes, file));
  const found = fromNpz(bytes, file)[name];
  if (!found) throw new Error(`${where}: ${file} holds no ${name}`);
  return /** @type {Traced} */ (found);
}

/** @param {string} name @param {string} text @returns {(number | [number, number])[]} */
const indexOf = (name, text) => text.split(',').map((part) => {
  const range = /^\s*(\d*)\s*(:?)\s*(\d*)\s*$/.exec(part);
  if (!range) throw new UsageError(`--patch ${name}: "${part}" is no index such as 3, 1:4 or :`);
  const [, from, colon, to] = range;
  return colon || !from ? [Number(from || 0), to === '' ? Infinity : Number(to)] : Number(from);
});

/** "AXIS,FILE,..." @param {string} name @param {string} text */
async function alongOrOf(name, text) {
  const parts = text.split(','), axis = /^\d+$/.test(parts[0]) ? Number(parts.shift()) : undefined;
  const of = await Promise.all(parts.map((file) => stored(`--patch ${name}`, name, file)));
  return { ...(axis !== undefined && { axis }), ...(of.length && { of }) };
}

/** One --patch. @param {string} text @param {number} [seed] of resample @returns {Promise<Patch>} */
export async function parsePatch(text, seed) {
  const found = /^([^[\]=]+)(?:\[([^\]]*)\])?=(?:(zero|mean|resample)|(add|scale|replace|mean|resample|freeze):(.+)|([^:]+))$/.exec(text);
  if (!found) throw new UsageError(`--patch: "${text}" is not ${FORM}`);
  const [, name, index, alone, before, value, bare] = found, where = `--patch ${name}`, kind = /** @type {Patch['kind']} */ (alone ?? before ?? 'replace');
  const base = { name, kind, ...(index !== undefined && { index: indexOf(name, index) }) };
  if (kind === 'zero') return base;
  if (kind === 'mean' || kind === 'resample') return { ...base, ...(value && (await alongOrOf(name, value))), ...(kind === 'resample' && seed !== undefined && { seed }) };
  const given = value ?? bare;
  if (kind === 'freeze') {
    if (!/[*?]/.test(name)) return { ...base, value: await stored(where, name, given) };
    if (!given.endsWith('.npz')) throw new UsageError(`${where}: several values are frozen from a .npz file`);
    if (!existsSync(given)) throw new Error(`${given}: no such file`);
    return { ...base, run: { traces: /** @type {Record<string, Traced>} */ (fromNpz(await readFile(given), given)) } };
  }
  const number = given.trim() === '' ? NaN : Number(given);
  if (kind === 'scale' && Number.isNaN(number)) throw new UsageError(`${where}: scale needs a number`);
  return { ...base, value: Number.isNaN(number) ? (await stored(where, name, given)).data : number };
}

/** One --from. @param {string} text @returns {Promise<{name: string, data: Float32Array}>} */
export async function parseFrom(text) {
  const found = /^([^=]+)=(.+)$/.exec(text);
  if (!found) throw new UsageError(`--from: "${text}" is not NAME=FILE.npy or NAME=FILE.npz`);
  return { name: found[1], data: (await stored('--from', found[1], found[2])).data };
}
