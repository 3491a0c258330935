// Tensors as NumPy keeps them: .npy, format version 1.0 (numpy.lib.format), and .npz, a ZIP archive of them, written without compression.
//
//   bytes 0-5 \x93NUMPY, 6-7 version 1 0, 8-9 length of the header (little-endian), then "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }",
//   padded with spaces and ended by a newline so that the values begin at a multiple of 64; the values in row-major order.

import { inflateRawSync } from 'node:zlib';

/** @typedef {{shape: number[], data: Float32Array | Float64Array | Int32Array}} Tensor */

const TYPES = /** @type {const} */ ([['<f4', Float32Array], ['<f8', Float64Array], ['<i4', Int32Array]]);

/** @param {Tensor} tensor @returns {Uint8Array} the bytes of a .npy file */
export function toNpy({ shape, data }) {
  const type = TYPES.find(([, kind]) => data instanceof kind);
  if (!type) throw new TypeError('toNpy: float32, float64 or int32 values are needed');
  if (shape.reduce((a, b) => a * b, 1) !== data.length) throw new RangeError(`toNpy: ${data.length} values do not fill the shape [${shape.join(', ')}]`);
  const dict = `{'descr': '${type[0]}', 'fortran_order': False, 'shape': (${shape.join(', ')}${shape.length === 1 ? ',' : ''}), }`;
  const length = Math.ceil((10 + dict.length + 1) / 64) * 64;
  const out = new Uint8Array(length + data.byteLength);
  out.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, (length - 10) & 255, (length - 10) >> 8]);
  out.set(new TextEncoder().encode(`${dict.padEnd(length - 11)}\n`), 10);
  // Values are little-endian on every machine: Node runs on no other kind.
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), length);
  return out;
}

/** @param {Uint8Array} bytes of a .npy file, versions 1 to 3, row-major, float32, float64 or int32 @param {string} [name] for messages @returns {Tensor} */
export function fromNpy(bytes, name = 'the file') {
  const fail = (/** @type {string} */ why) => new Error(`${name}: ${why}`);
  if (bytes.length < 12 || String.fromCharCode(...bytes.subarray(0, 6)) !== '\x93NUMPY') throw fail('no .npy file');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [at, length] = bytes[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  if (at + length > bytes.length) throw fail(`the header has ${length} bytes, the file ${bytes.length}`);
  const header = new TextDecoder().decode(bytes.subarray(at, at + length));
  const descr = /'descr':\s*'([^']*)'/.exec(header)?.[1], shapeText = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  const type = TYPES.find(([known]) => known === descr);
  if (!type || shapeText === undefined || !/'fortran_order':\s*False/.test(header)) throw fail(`values of type ${descr ?? '?'} (row-major ${TYPES.map(([known]) => known).join(', ')} can be read)`);
  const shape = shapeText.split(',').map((s) => s.trim()).filter(Boolean).map(Number);
  const count = shape.reduce((a, b) => a * b, 1), size = type[1].BYTES_PER_ELEMENT;
  if (!Number.isSafeInteger(count) || bytes.length - at - length !== count * size) throw fail(`${bytes.length - at - length} bytes of values, expected ${count * size}`);
  return { shape, data: new type[1](new Uint8Array(bytes.subarray(at + length)).buffer) };
}

/** CRC-32 (ISO 3309), bit by bit through a table. */
const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});
/** @param {Uint8Array} bytes */
function crc32(bytes) {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

/**
 * Several tensors in one .npz file, which numpy.load opens; the order is kept.
 * @param {Record<string, Tensor>} tensors @returns {Uint8Array}
 */
export function toNpz(tensors) {
  /** @type {Uint8Array[]} */ const parts = [];
  /** @type {Uint8Array[]} */ const directory = [];
  let at = 0;
  for (const [key, tensor] of Object.entries(tensors)) {
    const name = new TextEncoder().encode(`${key}.npy`), data = toNpy(tensor);
    if (at + data.length > 0xffffffff) throw new RangeError('toNpz: more than 4 GiB do not fit one archive');
    // Common to both headers: version 2.0, names in UTF-8, stored, 1980-01-01, checksum, sizes, length of the name.
    const common = new Uint8Array(26), view = new DataView(common.buffer);
    [[0, 20], [2, 0x800], [4, 0], [6, 0], [8, 33], [22, name.length], [24, 0]].forEach(([offset, value]) => view.setUint16(offset, value, true));
    [[10, crc32(data)], [14, data.length], [18, data.length]].forEach(([offset, value]) => view.setUint32(offset, value, true));
    const tail = new Uint8Array(14); // comment, disk, attributes; where the local header is
    new DataView(tail.buffer).setUint32(10, at, true);
    directory.push(Uint8Array.of(0x50, 0x4b, 1, 2, 20, 0), common, tail, name);
    parts.push(Uint8Array.of(0x50, 0x4b, 3, 4), common, name, data);
    at += 30 + name.length + data.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0), count = Object.keys(tensors).length;
  const end = new Uint8Array(22), view = new DataView(end.buffer);
  end.set([0x50, 0x4b, 5, 6]);
  [[8, count], [10, count]].forEach(([offset, value]) => view.setUint16(offset, value, true));
  [[12, size], [16, at]].forEach(([offset, value]) => view.setUint32(offset, value, true));
  return Uint8Array.from(Buffer.concat([...parts, ...directory, end]));
}

/** @param {Uint8Array} bytes of a .npz file, as NumPy writes it with or without compression @param {string} [name] for messages @returns {Record<string, Tensor>} */
export function fromNpz(bytes, name = 'the file') {
  const fail = (/** @type {string} */ why) => new Error(`${name}: ${why}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u16 = (/** @type {number} */ at) => { if (at + 2 > bytes.length) throw fail('the archive is cut'); return view.getUint16(at, true); };
  const u32 = (/** @type {number} */ at) => { if (at + 4 > bytes.length) throw fail('the archive is cut'); return view.getUint32(at, true); };
  let end = bytes.length - 22; // a comment may follow the end record
  while (end >= 0 && u32(end) !== 0x06054b50) end--;
  if (end < 0) throw fail('no .npz file');
  /** @type {Record<string, Tensor>} */ const out = {};
  for (let i = 0, at = u32(end + 16); i < u16(end + 10); i++) {
    if (u32(at) !== 0x02014b50) throw fail(`entry ${i} of the archive is damaged`);
    const method = u16(at + 10), packed = u32(at + 20), length = u32(at + 24), local = u32(at + 42);
    const key = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + u16(at + 28)));
    if (packed === 0xffffffff || length === 0xffffffff) throw fail(`${key}: archives of more than 4 GiB are not read`);
    const begin = local + 30 + u16(local + 26) + u16(local + 28);
    if (begin + packed > bytes.length) throw fail('the archive is cut');
    if (method !== 0 && method !== 8) throw fail(`${key}: compression ${method} (known: 0, 8)`);
    let data = bytes.subarray(begin, begin + packed);
    try {
      if (method === 8) data = new Uint8Array(inflateRawSync(data, { maxOutputLength: Math.max(1, length) }));
    } catch (error) {
      throw fail(`${key}: ${/** @type {Error} */ (error).message}`);
    }
    out[key.replace(/\.npy$/, '')] = fromNpy(data, `${name}: ${key}`);
    at += 46 + u16(at + 28) + u16(at + 30) + u16(at + 32);
  }
  return out;
}
