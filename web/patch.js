// What a run changes on its way (hooks), as the worker takes it: stored values looked up, means taken, one of several drawn. The core applies the rest (src/model/trace.c).
import { MicrotomeError, checkNumber, checkOptions, globExpression } from './runtime/errors.js';

/** @typedef {import('./model.js').Traced} Traced */
/** @typedef {ArrayLike<number> | Traced} Values numbers, or a traced value */
/**
 * A change of a value right after it is computed; what is computed from it follows. Patches of one name act in their order.
 *
 *   replace, add     by `value`: a number, or one for each element that is changed
 *   scale            times `value`
 *   zero
 *   mean             by the mean along `axis`; or of the values `of`: at each place, with `axis` also along it
 *   resample         index i along `axis` takes the values of another index, drawn uniformly and independently; or all is one of the values `of`, drawn uniformly (Chan et al. 2022)
 *   freeze           by what it was in another run: `run`'s trace of the same name (`name` may then be a glob: all that match), or `value`, all of it
 *
 * @typedef {object} Patch
 * @property {string} name
 * @property {'replace' | 'add' | 'scale' | 'zero' | 'mean' | 'resample' | 'freeze'} kind
 * @property {(number | [number, number] | null)[]} [index] which elements: along each dimension one, from .. before to (Infinity: the end), or all; default: all
 * @property {number} [offset] instead of index: the first element of the flat value, default 0. Not of mean and resample
 * @property {number} [count] how many from there on; default: as many as `value` has, or all
 * @property {Values | number} [value]
 * @property {number} [axis] mean, resample: the dimension, default 0 (positions, of most values); with `of`: default none
 * @property {Values[]} [of] mean, resample: stored values of the same shape (with `axis`: traced ones, of any length along it)
 * @property {number} [seed] resample: a whole number, default 0
 * @property {{traces: Record<string, Traced>}} [run] freeze: with traces of the values
 */
/**
 * A patch as the worker takes it.
 * @typedef {object} PlainPatch
 * @property {string} name @property {'replace' | 'add' | 'scale' | 'zero' | 'mean' | 'resample'} kind
 * @property {[number, number][] | null} index @property {number} offset @property {number | null} count null: to the end
 * @property {Float32Array} values @property {boolean} aligned values are of the whole, each element takes its own @property {boolean} given
 * @property {number} axis @property {number} seed
 */

const KINDS = ['replace', 'add', 'scale', 'zero', 'mean', 'resample', 'freeze'];
const END = 2 ** 31 - 1;

/** @param {string} where @param {unknown} x @returns {Float32Array} */
function numbers(where, x) {
  const data = x && typeof x === 'object' && 'data' in x ? x.data : x;
  if (data instanceof Float32Array) return data;
  if (typeof data === 'number') return Float32Array.of(data);
  if (data && typeof data === 'object' && 'length' in data) return Float32Array.from(/** @type {ArrayLike<number>} */ (data));
  throw new MicrotomeError(`${where}: numbers are needed`, { code: 'ERANGE' });
}

/** @param {string} where @param {(number | [number, number] | null)[]} index @returns {[number, number][]} */
function ranges(where, index) {
  if (!Array.isArray(index) || index.length > 4) throw new MicrotomeError(`${where}: index: a list of at most 4 is needed`, { code: 'ERANGE' });
  return index.map((part, d) => {
    const [from, to] = part === null ? [0, Infinity] : Array.isArray(part) ? part : [part, part + 1];
    checkNumber(`${where}: index ${d}`, from, 0, END - 1, true);
    return [from, to === Infinity ? END : checkNumber(`${where}: index ${d}`, to, from + 1, END, true)];
  });
}

/** Mean of the values of a list, at each place, summed in double. @param {string} where @param {Float32Array[]} of */
function meanOf(where, of) {
  const sum = new Float64Array(of[0].length);
  for (const x of of) {
    if (x.length !== sum.length) throw new MicrotomeError(`${where}: of: ${x.length} and ${sum.length} numbers`, { code: 'ERANGE' });
    for (let i = 0; i < sum.length; i++) sum[i] += x[i];
  }
  return Float32Array.from(sum, (x) => x / of.length);
}

/** Mean of the values of a list along an axis: one for each line. @param {string} where @param {Values[]} of @param {number} axis */
function meanAlong(where, of, axis) {
  /** @type {Float64Array | null} */ let sum = null;
  let lines = '', total = 0;
  for (const x of of) {
    const { shape, data } = /** @type {Traced} */ (x);
    if (!Array.isArray(shape) || axis >= shape.length) throw new MicrotomeError(`${where}: of: traced values with an axis ${axis} are needed`, { code: 'ERANGE' });
    const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1), n = shape[axis], key = shape.map((size, d) => (d === axis ? '*' : size)).join(' x ');
    if (sum && key !== lines) throw new MicrotomeError(`${where}: of: shapes ${lines} and ${key}`, { code: 'ERANGE' });
    sum ??= new Float64Array(data.length / n);
    lines = key;
    total += n;
    for (let i = 0; i < data.length; i++) sum[Math.floor(i / (inner * n)) * inner + (i % inner)] += data[i];
  }
  return Float32Array.from(/** @type {Float64Array} */ (sum), (x) => x / total);
}

/** A uniform draw below n from a seed (SplitMix64, Steele et al. 2014). @param {number} seed @param {number} n */
function drawn(seed, n) {
  const mask = (1n << 64n) - 1n;
  let z = (BigInt(seed) + 0x9e3779b97f4a7c15n) & mask;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & mask;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & mask;
  return Number(((z ^ (z >> 31n)) * BigInt(n)) >> 64n);
}

/** @param {Patch} patch @returns {PlainPatch[]} */
function plain(patch) {
  const { name, kind, index, offset, count, value, axis, of, seed, run } = patch, where = `patch ${name}`;
  if (!KINDS.includes(kind)) throw new MicrotomeError(`${where}: unknown kind ${JSON.stringify(kind)}: known are ${KINDS.join(', ')}`, { code: 'EUNKNOWN' });
  checkOptions(where, patch, ['name', 'kind', 'index', 'offset', 'count', { replace: 'value', add: 'value', scale: 'value', zero: '', mean: 'of', resample: 'of', freeze: 'value' }[kind], ...(kind === 'freeze' ? ['run'] : []),
    ...(kind === 'mean' || kind === 'resample' ? ['axis'] : []), ...(kind === 'resample' ? ['seed'] : [])].filter(Boolean));
  const flat = offset !== undefined || count !== undefined;
  if (index !== undefined && flat) throw new MicrotomeError(`${where}: index and offset exclude each other`, { code: 'ERANGE' });
  const box = index === undefined ? null : ranges(where, index);
  if (axis !== undefined) checkNumber(`${where}: axis`, axis, 0, 3, true);
  if (of !== undefined && !(Array.isArray(of) && of.length)) throw new MicrotomeError(`${where}: of: a list of at least one value is needed`, { code: 'ERANGE' });
  if (of === undefined && flat && (kind === 'mean' || kind === 'resample')) throw new MicrotomeError(`${where}: ${kind} along an axis takes index, not offset`, { code: 'ERANGE' });
  /** @type {PlainPatch} */
  const out = { name, kind: /** @type {any} */ (kind), index: box, offset: checkNumber(`${where}: offset`, offset ?? 0, 0, Number.MAX_SAFE_INTEGER, true), count: null, values: new Float32Array(0), aligned: false, given: false, axis: axis ?? 0, seed: 0 };
  if (count !== undefined) out.count = checkNumber(`${where}: count`, count, 0, Number.MAX_SAFE_INTEGER, true);
  /** Stored values: of the whole, or of the flat range alone. @param {Float32Array} values */
  const stored = (values) => ({ ...out, kind: /** @type {const} */ ('replace'), values, aligned: !flat, count: flat ? out.count ?? values.length : null });
  switch (kind) {
    case 'replace': case 'add': case 'scale':
      if (value === undefined) throw new MicrotomeError(`${where}: ${kind} needs a value`, { code: 'EMISSING' });
      out.values = numbers(where, value);
      if (kind === 'scale' && out.values.length !== 1) throw new MicrotomeError(`${where}: scale takes one number`, { code: 'ERANGE' });
      if (kind !== 'scale' && !box && out.count === null && typeof value !== 'number') out.count = out.values.length;
      return [out];
    case 'mean':
      if (!of) return [out];
      if (axis === undefined) return [stored(meanOf(where, of.map((x) => numbers(where, x))))];
      return [{ ...out, values: meanAlong(where, of, axis) }];
    case 'resample':
      out.seed = checkNumber(`${where}: seed`, seed ?? 0, 0, Number.MAX_SAFE_INTEGER, true);
      if (!of) return [out];
      if (axis !== undefined) throw new MicrotomeError(`${where}: resample takes an axis, or values \`of\``, { code: 'ERANGE' });
      return [stored(numbers(where, of[drawn(out.seed, of.length)]))];
    case 'freeze': {
      if ((value === undefined) === (run === undefined)) throw new MicrotomeError(`${where}: freeze needs a value or a run`, { code: 'EMISSING' });
      if (!run) return [stored(numbers(where, value))];
      const matches = globExpression(name), names = Object.keys(run.traces ?? {}).filter((known) => matches.test(known));
      if (!names.length) throw new MicrotomeError(`${where}: the run has no trace of it`, { code: 'EMISSING' });
      return names.map((known) => ({ ...stored(run.traces[known].data), name: known }));
    }
    default: return [out];
  }
}

/** @param {Patch[]} patches @returns {PlainPatch[]} @throws {MicrotomeError} EUNKNOWN: a kind, a property; EMISSING: it lacks what its kind needs; ERANGE: numbers that do not fit */
export const plainPatches = (patches) => patches.flatMap(plain);

/**
 * Where a run starts. @param {{name: string, data: ArrayLike<number>} | {name: string, data: ArrayLike<number>}[]} from @returns {PlainPatch[]}
 */
export const givenValues = (from) => (Array.isArray(from) ? from : [from]).map(({ name, data }) => ({ name, kind: /** @type {const} */ ('replace'), index: null, offset: 0, count: null, values: numbers(`from ${name}`, data), aligned: false, given: true, axis: 0, seed: 0 }));
