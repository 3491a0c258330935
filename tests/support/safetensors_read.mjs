// Reads safetensors files (JSON header, then raw values) into plain arrays, for comparisons with references.
import { readFileSync } from 'node:fs';

/** @param {string} path @returns {Record<string, {shape: number[], data: Float32Array | Int32Array | BigInt64Array}>} */
export function readSafetensors(path) {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length));
  /** @type {Record<string, any>} */
  const out = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: [begin, end] } = entry;
    const bytes = new Uint8Array(file.subarray(8 + length + begin, 8 + length + end)); // aligned copy
    const Kind = { F32: Float32Array, I32: Int32Array, I64: BigInt64Array }[/** @type {'F32'} */ (dtype)];
    if (!Kind) throw new Error(`${path}: ${name}: type ${dtype}`);
    out[name] = { shape, data: new Kind(bytes.buffer) };
  }
  return out;
}
