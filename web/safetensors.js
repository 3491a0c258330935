// The safetensors container (8 bytes of length, a JSON header, the data): float32 tensors out and in.
import { MicrotomeError } from './runtime/errors.js';

/** @typedef {{dims: number[], data: Float32Array}} FloatTensor row-major */

/**
 * @param {Record<string, FloatTensor>} tensors @param {Record<string, string>} [metadata]
 * @returns {Uint8Array<ArrayBuffer>} tensors in the order of the object, data aligned to 8 bytes
 */
export function writeSafetensors(tensors, metadata) {
  /** @type {Record<string, any>} */ const header = metadata ? { __metadata__: metadata } : {};
  let size = 0;
  for (const [name, { dims, data }] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape: dims, data_offsets: [size, size + data.byteLength] };
    size += data.byteLength;
  }
  const text = new TextEncoder().encode(JSON.stringify(header)), length = Math.ceil(text.length / 8) * 8;
  const out = new Uint8Array(8 + length + size).fill(0x20, 8, 8 + length);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(text, 8);
  let at = 8 + length;
  for (const { data } of Object.values(tensors)) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}

/**
 * @param {Uint8Array} bytes a file of float32 tensors @param {string} [name] for messages
 * @returns {{tensors: Record<string, FloatTensor>, metadata: Record<string, string>}}
 */
export function readSafetensors(bytes, name = 'the file') {
  const fail = (/** @type {string} */ what, /** @type {number} */ offset) => { throw new MicrotomeError(`${name}: ${what}`, { code: 'EFORMAT', details: { offset } }); };
  if (bytes.length < 8) fail(`${bytes.length} bytes, too short for safetensors`, 0);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > bytes.length - 8) fail(`a header of ${length} bytes, the file has ${bytes.length - 8} behind its length`, 0);
  /** @type {any} */ let header;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, 8 + length)));
  } catch (error) {
    fail(`the header is not JSON: ${/** @type {Error} */ (error).message}`, 8);
  }
  if (header === null || typeof header !== 'object' || Array.isArray(header)) fail('the header is not an object', 8);
  /** @type {Record<string, FloatTensor>} */ const tensors = Object.create(null);
  const data = bytes.subarray(8 + length);
  for (const [key, entry] of Object.entries(header)) {
    if (key === '__metadata__') continue;
    const { dtype, shape, data_offsets: range } = entry ?? {};
    if (dtype !== 'F32') fail(`tensor "${key}" is ${JSON.stringify(dtype)}, expected F32`, 8);
    const whole = (/** @type {any} */ list) => Array.isArray(list) && list.every((n) => Number.isSafeInteger(n) && n >= 0);
    if (!whole(shape) || !whole(range) || range.length !== 2) fail(`tensor "${key}" has no shape or no place`, 8);
    const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    if (range[1] - range[0] !== 4 * count || range[1] > data.length) fail(`tensor "${key}" lies at ${range[0]}..${range[1]}, expected ${4 * count} of the ${data.length} bytes of data`, 8 + length);
    tensors[key] = { dims: shape, data: new Float32Array(new Uint8Array(data.subarray(range[0], range[1])).buffer) };
  }
  return { tensors, metadata: header.__metadata__ ?? {} };
}
