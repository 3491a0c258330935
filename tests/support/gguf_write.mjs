// A GGUF v3 writer for tests and benchmarks: metadata and tensors in, one Uint8Array out.
//   writeGguf({ metadata: { 'general.architecture': 'llama', 'llama.block_count': u32(5), x: ['a', 'b'] }, tensors: [{ name, dims, type, data }] })
// dims[0] is the contiguous dimension; data holds the tensor's bytes as the file shall have them.

export const GGML = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8, BF16: 30 };
const KIND = { u8: 0, i8: 1, u16: 2, i16: 3, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10, i64: 11, f64: 12 };
const SIZE = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, u64: 8, i64: 8, f64: 8 };
const SETTER = { u8: 'setUint8', i8: 'setInt8', u16: 'setUint16', i16: 'setInt16', u32: 'setUint32', i32: 'setInt32', f32: 'setFloat32', f64: 'setFloat64' };

/** A number with an explicit GGUF type: 'u32', 'f32', ... */
export const typed = (kind, value) => ({ kind, value });
export const u32 = (value) => typed('u32', value);
export const f32 = (value) => typed('f32', value);

const kindOf = (value) => typeof value === 'string' || value instanceof Uint8Array ? 'string' : typeof value === 'boolean' ? 'bool' : Array.isArray(value) ? 'array' : value.kind;

/** Metadata as gguf_read.mjs gives it (values and type numbers), for writeGguf. Lists of numbers become lists of `element`. */
export const retype = (value, kind, element = 'i32') => {
  const name = Object.keys(KIND).find((k) => KIND[k] === kind);
  if (name === 'array') return value.map((x) => (typeof x === 'number' ? typed(Number.isInteger(x) && element !== 'f32' ? element : 'f32', x) : x));
  return name === 'string' || name === 'bool' ? value : typed(name, value);
};

class Writer {
  parts = [];
  length = 0;
  bytes(bytes) { this.parts.push(bytes); this.length += bytes.length; }
  number(kind, value) {
    const view = new DataView(new ArrayBuffer(SIZE[kind]));
    if (kind === 'u64') view.setBigUint64(0, BigInt(value), true);
    else if (kind === 'i64') view.setBigInt64(0, BigInt(value), true);
    else view[SETTER[kind]](0, value, true);
    this.bytes(new Uint8Array(view.buffer));
  }
  string(text) {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    this.number('u64', bytes.length);
    this.bytes(bytes);
  }
  value(value) {
    const kind = kindOf(value);
    if (kind === 'string') this.string(value);
    else if (kind === 'bool') this.number('u8', value ? 1 : 0);
    else if (kind === 'array') {
      this.number('u32', KIND[value.length ? kindOf(value[0]) : 'string']);
      this.number('u64', value.length);
      for (const item of value) this.value(item);
    } else this.number(kind, value.value);
  }
  pad(alignment) { const n = (alignment - (this.length % alignment)) % alignment; if (n) this.bytes(new Uint8Array(n)); }
  concat() {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) { all.set(part, at); at += part.length; }
    return all;
  }
}

/**
 * @param {{ metadata: Record<string, any>, tensors: { name: string, dims: number[], type: number, data: Uint8Array }[], alignment?: number }} model
 * @returns {Uint8Array}
 */
export function writeGguf({ metadata, tensors, alignment = 32 }) {
  const w = new Writer();
  w.bytes(new TextEncoder().encode('GGUF'));
  w.number('u32', 3);
  w.number('u64', tensors.length);
  w.number('u64', Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    w.string(key);
    w.number('u32', KIND[kindOf(value)]);
    w.value(value);
  }
  let offset = 0;
  for (const { name, dims, type, data } of tensors) {
    w.string(name);
    w.number('u32', dims.length);
    for (const d of dims) w.number('u64', d);
    w.number('u32', type);
    w.number('u64', offset);
    offset += Math.ceil(data.length / alignment) * alignment;
  }
  w.pad(alignment);
  for (const { data } of tensors) { w.bytes(data); w.pad(alignment); }
  return w.concat();
}
