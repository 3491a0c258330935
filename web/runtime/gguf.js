// The GGUF container for writing: keys and tensor directories as plain data, and headers made of them.
// Reading goes through the same parser that loads models, which checks everything against the file's size.
import { MicrotomeError } from './heap.js';

/** @typedef {import('./heap.js').Heap} Heap */
/** A key as the file holds it: `raw` is name, type and value. @typedef {{name: string, raw: Uint8Array}} RawKey */
/** dims[0] is contiguous; offset from the start of the file. @typedef {{name: string, dims: number[], type: number, offset: number}} TensorEntry */
/** @typedef {{keys: RawKey[], tensors: TensorEntry[], dataStart: number}} GgufContents */

/** Type numbers of GGUF's values. */
export const KIND = { u8: 0, i8: 1, u16: 2, i16: 3, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10, i64: 11, f64: 12 };
export const ALIGNMENT = 32;

/** Type numbers of tensors by name, and what a block of each holds. */
export const TYPES = /** @type {Record<string, {type: number, block: number, bytes: number, fileType: number}>} */ ({
  F32: { type: 0, block: 1, bytes: 4, fileType: 0 }, F16: { type: 1, block: 1, bytes: 2, fileType: 1 }, BF16: { type: 30, block: 1, bytes: 2, fileType: 32 },
  Q8_0: { type: 8, block: 32, bytes: 34, fileType: 7 }, Q4_0: { type: 2, block: 32, bytes: 18, fileType: 2 }, Q4_1: { type: 3, block: 32, bytes: 20, fileType: 3 },
  Q5_0: { type: 6, block: 32, bytes: 22, fileType: 8 }, Q5_1: { type: 7, block: 32, bytes: 24, fileType: 9 }, Q4_K: { type: 12, block: 256, bytes: 144, fileType: 14 },
  Q5_K: { type: 13, block: 256, bytes: 176, fileType: 16 }, Q6_K: { type: 14, block: 256, bytes: 210, fileType: 18 },
});

const encoder = new TextEncoder();

/** Bytes that grow. */
export class ByteWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  #room(/** @type {number} */ n) {
    if (this.length + n > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length + n));
      larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.length += n;
    return this.length - n;
  }
  /** @param {Uint8Array} bytes */
  bytes(bytes) { const at = this.#room(bytes.length); this.#bytes.set(bytes, at); }
  /** @param {number} v */
  u8(v) { const at = this.#room(1); this.#bytes[at] = v; }
  /** @param {number} v */
  u32(v) { const at = this.#room(4); this.#view.setUint32(at, v, true); }
  /** @param {number} v */
  i32(v) { const at = this.#room(4); this.#view.setInt32(at, v, true); }
  /** @param {number} v */
  f32(v) { const at = this.#room(4); this.#view.setFloat32(at, v, true); }
  /** @param {number | bigint} v */
  u64(v) { const at = this.#room(8); this.#view.setBigUint64(at, BigInt(v), true); }
  /** @param {string | Uint8Array} text */
  string(text) { const bytes = typeof text === 'string' ? encoder.encode(text) : text; this.u64(bytes.length); this.bytes(bytes); }
  done() { return this.#bytes.slice(0, this.length); }
}

/**
 * A value for a key: strings, booleans and `{u32}`, `{i32}`, `{f32}` numbers, or lists of strings (text or bytes) or numbers.
 * @typedef {string | boolean | {u32: number} | {i32: number} | {f32: number} | {bytes: Uint8Array} | {strings: (string | Uint8Array)[]} | {f32s: ArrayLike<number>} | {i32s: ArrayLike<number>} | {u32s: ArrayLike<number>}} KeyValue
 */

/** @param {string} name @param {KeyValue} value @returns {RawKey} */
export function makeKey(name, value) {
  const w = new ByteWriter();
  w.string(name);
  /** @param {number} kind @param {ArrayLike<number>} values @param {'u32' | 'i32' | 'f32' | 'u8'} put */
  const list = (kind, values, put) => {
    w.u32(KIND.array);
    w.u32(kind);
    w.u64(values.length);
    for (let i = 0; i < values.length; i++) w[put](values[i]);
  };
  if (typeof value === 'string') { w.u32(KIND.string); w.string(value); }
  else if (typeof value === 'boolean') { w.u32(KIND.bool); w.u8(Number(value)); }
  else if ('u32' in value) { w.u32(KIND.u32); w.u32(value.u32); }
  else if ('i32' in value) { w.u32(KIND.i32); w.i32(value.i32); }
  else if ('f32' in value) { w.u32(KIND.f32); w.f32(value.f32); }
  else if ('f32s' in value) list(KIND.f32, value.f32s, 'f32');
  else if ('i32s' in value) list(KIND.i32, value.i32s, 'i32');
  else if ('u32s' in value) list(KIND.u32, value.u32s, 'u32');
  else if ('bytes' in value) list(KIND.u8, value.bytes, 'u8');
  else {
    w.u32(KIND.array);
    w.u32(KIND.string);
    w.u64(value.strings.length);
    for (const s of value.strings) w.string(s);
  }
  return { name, raw: w.done() };
}

/**
 * Everything before the data, padding included. @param {RawKey[]} keys @param {{name: string, dims: number[], type: number, bytes: number}[]} tensors
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function makeHeader(keys, tensors) {
  const w = new ByteWriter();
  w.bytes(encoder.encode('GGUF'));
  w.u32(3);
  w.u64(tensors.length);
  w.u64(keys.length);
  for (const { raw } of keys) w.bytes(raw);
  let offset = 0;
  for (const { name, dims, type, bytes } of tensors) {
    w.string(name);
    w.u32(dims.length);
    for (const d of dims) w.u64(d);
    w.u32(type);
    w.u64(offset);
    offset += padded(bytes);
  }
  w.bytes(new Uint8Array(padded(w.length) - w.length));
  return w.done();
}

/** @param {number} n */
export const padded = (n) => Math.ceil(n / ALIGNMENT) * ALIGNMENT;

/**
 * A header, or how many bytes are needed to read it. @param {Heap} heap @param {Uint8Array} bytes the beginning of the file @param {number} size of the file; -1: not known
 * @returns {GgufContents | number} @throws {MicrotomeError} EFORMAT
 */
export function readHeader(heap, bytes, size) {
  return heap.scope((alloc) => {
    const at = alloc(Math.max(1, bytes.length)), need = alloc(4), out = alloc(4);
    heap.putBytes(at, bytes);
    heap.call('gguf_open', at, bytes.length, size, need, out);
    if (heap.u32(need)) return heap.u32(need);
    const gguf = heap.u32(out);
    try {
      const h = heap.read('mt_gguf', gguf);
      const array = heap.enums.MT_GGUF_ARRAY;
      const keys = Array.from({ length: h.key_count }, (_, i) => {
        const k = heap.read('mt_gguf_key', h.keys + i * heap.sizeOf('mt_gguf_key'));
        const name = heap.text(k['name.p'], k['name.n']);
        const w = new ByteWriter();
        w.string(heap.bytes(k['name.p'], k['name.n']));
        w.u32(k.type);
        if (k.type === array) { w.u32(k.element); w.u64(k.count); }
        w.bytes(heap.bytes(k.data, k.bytes));
        return { name, raw: w.done() };
      });
      const tensors = Array.from({ length: h.tensor_count }, (_, i) => {
        const tensorAt = h.tensors + i * heap.sizeOf('mt_gguf_tensor');
        const t = heap.read('mt_gguf_tensor', tensorAt);
        return { name: heap.text(t['name.p'], t['name.n']), dims: heap.array('mt_gguf_tensor', tensorAt, 'dims').slice(0, t.n_dims), type: t.type, offset: h.data_start + t.offset };
      });
      return { keys, tensors, dataStart: h.data_start };
    } finally {
      heap.exports.gguf_free(gguf);
    }
  });
}

/** Name, block and bytes of a tensor type. @param {Heap} heap @param {number} type @returns {{name: string, block: number, bytes: number} | null} */
export function tensorType(heap, type) {
  return heap.scope((alloc) => {
    const block = alloc(4), bytes = alloc(4);
    const name = heap.exports.dtype(type, block, bytes) >>> 0;
    return name ? { name: heap.cstring(name), block: heap.u32(block), bytes: heap.u32(bytes) } : null;
  });
}

/** Reads a source in order. */
export class ByteReader {
  #chunks;
  /** @type {Uint8Array} */ #left = new Uint8Array(0);
  position = 0;
  /** @param {AsyncIterable<Uint8Array>} chunks @param {string} name */
  constructor(chunks, name) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.name = name;
  }
  /** Up to n bytes, at least one; null at the end. Valid until the next call. @param {number} n @returns {Promise<Uint8Array | null>} */
  async some(n) {
    while (!this.#left.length) {
      const next = await this.#chunks.next();
      if (next.done) return null;
      this.#left = next.value;
    }
    const part = this.#left.subarray(0, n);
    this.#left = this.#left.subarray(part.length);
    this.position += part.length;
    return part;
  }
  /** Puts bytes back before what comes next. @param {Uint8Array} bytes */
  unread(bytes) {
    if (!bytes.length) return;
    const left = new Uint8Array(bytes.length + this.#left.length);
    left.set(bytes);
    left.set(this.#left, bytes.length);
    this.#left = left;
    this.position -= bytes.length;
  }
  /** Exactly n bytes, in memory of their own. @param {number} n @param {string} what @returns {Promise<Uint8Array<ArrayBuffer>>} */
  async exactly(n, what) {
    const out = new Uint8Array(n);
    for (let at = 0; at < n; ) {
      const part = await this.some(n - at);
      if (!part) throw new MicrotomeError(`${this.name}: the file ends after ${this.position} bytes, within ${what}`, { code: 'EFORMAT', details: { file: this.name, offset: this.position } });
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
  /** @param {number} to position in the file @param {string} what */
  async skipTo(to, what) {
    while (this.position < to)
      if (!(await this.some(to - this.position))) throw new MicrotomeError(`${this.name}: the file ends after ${this.position} bytes, before ${what}`, { code: 'EFORMAT', details: { file: this.name, offset: this.position } });
  }
  /** What is left, and the file's beginning before it: for somebody else to read. @param {Uint8Array} head @returns {AsyncGenerator<Uint8Array>} */
  async *withHead(head) {
    if (head.length) yield head;
    for (let part; (part = await this.some(1 << 20)); ) yield part;
  }
  async close() { await this.#chunks.return?.(undefined); }
}
