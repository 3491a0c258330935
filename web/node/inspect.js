// A GGUF header as plain data, read by the same parser that loads models; weights are not touched.
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { MicrotomeError } from '../runtime/errors.js';
import { loadHeap } from '../runtime/load.js';

/** @typedef {import('../runtime/heap.js').Heap} Heap */
/**
 * @typedef {object} GgufHeader
 * @property {'gguf'} kind
 * @property {number} version
 * @property {number} alignment
 * @property {number} dataStart bytes
 * @property {number} parameters elements of all tensors
 * @property {number} tensorBytes of the tensors whose type we know
 * @property {{key: string, type: string, value: any, count: number}[]} metadata long arrays are cut after 64 elements; count is their true length
 * @property {{name: string, type: string, dims: number[], bytes: number | null, offset: number}[]} tensors dims[0] is contiguous; offset in the file
 */

const SHOWN = 64;

/** @param {string} file @returns {Promise<GgufHeader>} @throws {MicrotomeError} EFORMAT: what is wrong where */
export async function describeHeader(file) {
  const heap = await loadHeap();
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    for (let want = Math.min(size, 1 << 16); ; ) {
      const bytes = new Uint8Array(want);
      const { bytesRead } = await handle.read(bytes, 0, want, 0);
      const found = heap.scope((alloc) => parse(heap, alloc, bytes.subarray(0, bytesRead), size));
      if (typeof found !== 'number') return found;
      if (bytesRead < want || found > size) throw new MicrotomeError(`GGUF: the header goes on to byte ${found}, the file ends at ${size}`, { code: 'EFORMAT', details: { offset: size } });
      want = Math.min(size, Math.max(found, 4 * want));
    }
  } catch (error) {
    if (error instanceof MicrotomeError) error.message = `${basename(file)}: ${error.message}`;
    throw error;
  } finally {
    await handle.close();
  }
}

/** @param {Heap} heap @param {(n: number) => number} alloc @param {Uint8Array} bytes @param {number} size @returns {GgufHeader | number} a number: that many bytes are needed */
function parse(heap, alloc, bytes, size) {
  const at = alloc(bytes.length), need = alloc(4), out = alloc(4);
  heap.putBytes(at, bytes);
  heap.call('gguf_open', at, bytes.length, size, need, out);
  if (heap.u32(need)) return heap.u32(need);
  const gguf = heap.u32(out);
  try {
    const h = heap.read('mt_gguf', gguf);
    const names = new Map(Object.entries(heap.enums).filter(([name]) => name.startsWith('MT_GGUF_')).map(([name, value]) => [value, name.slice(8).toLowerCase()]));
    const metadata = Array.from({ length: h.key_count }, (_, i) => {
      const keyAt = h.keys + i * heap.sizeOf('mt_gguf_key');
      const k = heap.read('mt_gguf_key', keyAt);
      const array = k.type === heap.enums.MT_GGUF_ARRAY;
      const values = elements(heap, keyAt, k, Math.min(k.count, SHOWN));
      return { key: heap.text(k['name.p'], k['name.n']), type: array ? `array of ${names.get(k.element)}` : names.get(k.type) ?? String(k.type), value: array ? values : values[0], count: k.count };
    });
    const tensors = Array.from({ length: h.tensor_count }, (_, i) => {
      const tensorAt = h.tensors + i * heap.sizeOf('mt_gguf_tensor');
      const t = heap.read('mt_gguf_tensor', tensorAt);
      const dims = heap.array('mt_gguf_tensor', tensorAt, 'dims').slice(0, t.n_dims);
      const type = dtype(heap, t.type);
      const count = dims.reduce((a, b) => a * b, 1);
      return { name: heap.text(t['name.p'], t['name.n']), type: type?.name ?? `type ${t.type}`, dims, bytes: type ? (count / type.block) * type.bytes : null, offset: h.data_start + t.offset };
    });
    return {
      kind: 'gguf', version: h.version, alignment: h.alignment, dataStart: h.data_start, parameters: tensors.reduce((sum, t) => sum + t.dims.reduce((a, b) => a * b, 1), 0),
      tensorBytes: tensors.reduce((sum, t) => sum + (t.bytes ?? 0), 0), metadata, tensors,
    };
  } finally {
    heap.exports.gguf_free(gguf);
  }
}

/** @param {Heap} heap @param {number} keyAt @param {Record<string, any>} key @param {number} count @returns {any[]} */
function elements(heap, keyAt, key, count) {
  const e = heap.enums;
  const type = key.type === e.MT_GGUF_ARRAY ? key.element : key.type;
  if (type === e.MT_GGUF_ARRAY) return [];
  if (type === e.MT_GGUF_STRING) {
    // A string is its u64 length and its bytes; the parser has checked the bounds.
    const out = [];
    for (let at = key.data, i = 0; i < count; i++) {
      const length = Number(heap.view.getBigUint64(at, true));
      out.push(heap.text(at + 8, length));
      at += 8 + length;
    }
    return out;
  }
  const numbers = heap.scope((alloc) => {
    const out = alloc(8 * Math.max(1, count));
    heap.call('gguf_numbers', keyAt, 0, count, out);
    return [...heap.doubles(out, count)];
  });
  return type === e.MT_GGUF_BOOL ? numbers.map(Boolean) : numbers;
}

/** @param {Heap} heap @param {number} type */
function dtype(heap, type) {
  return heap.scope((alloc) => {
    const block = alloc(4), bytes = alloc(4);
    const name = heap.exports.dtype(type, block, bytes) >>> 0;
    return name ? { name: heap.cstring(name), block: heap.u32(block), bytes: heap.u32(bytes) } : null;
  });
}
