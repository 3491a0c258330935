// A GGUF v3 reader for tests, written against the format's description alone and independent of the package: strict about what a file must be.

const SIZE = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];
/** Elements and bytes of a block, by type number. */
export const BLOCKS = { 0: [1, 4], 1: [1, 2], 2: [32, 18], 3: [32, 20], 6: [32, 22], 7: [32, 24], 8: [32, 34], 12: [256, 144], 13: [256, 176], 14: [256, 210], 30: [1, 2] };

const half = (/** @type {number} */ h) => {
  const e = (h >> 10) & 31, m = h & 1023, s = h >> 15 ? -1 : 1;
  return e === 0 ? s * m * 2 ** -24 : e === 31 ? (m ? NaN : s * Infinity) : s * (1 + m / 1024) * 2 ** (e - 15);
};

/**
 * @param {Uint8Array} bytes
 * @returns {{metadata: Record<string, any>, kinds: Record<string, number>, tensors: Record<string, {dims: number[], type: number, data: Uint8Array}>, order: string[]}}
 */
export function readGguf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const fail = (/** @type {string} */ what) => { throw new Error(`GGUF, byte ${at}: ${what}`); };
  const u32 = () => { at += 4; return view.getUint32(at - 4, true); };
  const u64 = () => { at += 8; return Number(view.getBigUint64(at - 8, true)); };
  const string = () => { const n = u64(); if (at + n > bytes.length) fail(`a string of ${n} bytes`); at += n; return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(at - n, at)); };
  const value = (/** @type {number} */ kind) => {
    if (kind === 8) return string();
    if (kind === 9) {
      const element = u32(), n = u64(), out = [];
      if (element > 12) fail(`an array of type ${element}`);
      for (let i = 0; i < n; i++) out.push(value(element));
      return out;
    }
    if (!(kind in SIZE) || kind > 12) fail(`a value of type ${kind}`);
    at += SIZE[kind];
    const p = at - SIZE[kind];
    switch (kind) {
      case 0: return view.getUint8(p);
      case 1: return view.getInt8(p);
      case 2: return view.getUint16(p, true);
      case 3: return view.getInt16(p, true);
      case 4: return view.getUint32(p, true);
      case 5: return view.getInt32(p, true);
      case 6: return view.getFloat32(p, true);
      case 7: if (view.getUint8(p) > 1) fail('a truth value'); return view.getUint8(p) === 1;
      case 10: return Number(view.getBigUint64(p, true));
      case 11: return Number(view.getBigInt64(p, true));
      default: return view.getFloat64(p, true);
    }
  };
  if (u32() !== 0x46554747) fail('no magic');
  if (u32() !== 3) fail('not version 3');
  const tensorCount = u64(), keyCount = u64();
  /** @type {Record<string, any>} */ const metadata = {}, kinds = {};
  for (let i = 0; i < keyCount; i++) {
    const key = string();
    if (key in metadata) fail(`key ${key} twice`);
    if (!/^[\x21-\x7e]{1,65535}$/.test(key)) fail(`key ${JSON.stringify(key)}`);
    kinds[key] = u32();
    metadata[key] = value(kinds[key]);
  }
  const alignment = metadata['general.alignment'] ?? 32;
  const infos = Array.from({ length: tensorCount }, () => {
    const name = string(), n = u32();
    if (new TextEncoder().encode(name).length > 64) fail(`the name ${name} is longer than 64 bytes`);
    if (n < 1 || n > 4) fail(`${n} dimensions`);
    const dims = Array.from({ length: n }, u64);
    return { name, dims, type: u32(), offset: u64() };
  });
  const start = Math.ceil(at / alignment) * alignment;
  for (; at < start; at++) if (bytes[at]) fail('padding that is not zero');
  /** @type {Record<string, any>} */ const tensors = {};
  let end = 0;
  for (const { name, dims, type, offset } of infos) {
    if (name in tensors) fail(`tensor ${name} twice`);
    const block = /** @type {Record<number, number[]>} */ (BLOCKS)[type];
    if (!block) fail(`tensor ${name} of type ${type}`);
    if (offset % alignment || offset < end) fail(`tensor ${name} at ${offset}, after ${end}`);
    if (dims[0] % block[0]) fail(`tensor ${name} with rows of ${dims[0]}`);
    const size = (dims.reduce((a, b) => a * b, 1) / block[0]) * block[1];
    if (start + offset + size > bytes.length) fail(`tensor ${name} goes beyond the end`);
    tensors[name] = { dims, type, data: bytes.subarray(start + offset, start + offset + size) };
    end = offset + size;
  }
  if (bytes.length !== start + Math.ceil(end / alignment) * alignment) fail(`the file has ${bytes.length} bytes`);
  return { metadata, kinds, tensors, order: infos.map((t) => t.name) };
}

/** Values of a tensor in doubles, for the types that tests need. @param {{type: number, data: Uint8Array}} tensor @returns {Float64Array} */
export function tensorValues({ type, data }) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [block, size] = /** @type {Record<number, number[]>} */ (BLOCKS)[type];
  const n = (data.length / size) * block;
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    const b = Math.floor(i / block) * size, j = i % block, p = b;
    if (type === 0) out[i] = view.getFloat32(4 * i, true);
    else if (type === 1) out[i] = half(view.getUint16(2 * i, true));
    else if (type === 30) { const f = new DataView(new ArrayBuffer(4)); f.setUint32(0, view.getUint16(2 * i, true) << 16); out[i] = f.getFloat32(0); }
    else if (type === 8) out[i] = half(view.getUint16(p, true)) * view.getInt8(p + 2 + j);
    else if (type === 2) out[i] = half(view.getUint16(p, true)) * (((data[p + 2 + (j % 16)] >> (j < 16 ? 0 : 4)) & 15) - 8);
    else if (type === 3) out[i] = half(view.getUint16(p, true)) * ((data[p + 4 + (j % 16)] >> (j < 16 ? 0 : 4)) & 15) + half(view.getUint16(p + 2, true));
    else throw new Error(`values of type ${type}`);
  }
  return out;
}
