// The file that a run under way is saved in: a header in JSON and blocks of bytes behind it.
//
//   "MTLAB\0\0\1"   length of the header (u32)   header   blocks, one behind the other
//
// The header's `blocks` says how long each is. All numbers little-endian. What JSON lacks is written as a string that begins with NUL: NaN, infinities, -0, and such strings themselves;
// typed arrays become lists.
import { MicrotomeError } from '../runtime/errors.js';

const MAGIC = Uint8Array.of(0x4d, 0x54, 0x4c, 0x41, 0x42, 0, 0, 1);

/** @param {string} _ @param {any} x */
const written = (_, x) => (ArrayBuffer.isView(x) ? Array.from(/** @type {any} */ (x)) : typeof x === 'number' && (!Number.isFinite(x) || Object.is(x, -0)) ? `\0${Object.is(x, -0) ? '-0' : x}` : typeof x === 'string' && x[0] === '\0' ? `\0"${x}` : x);
/** @param {string} _ @param {any} x */
const read = (_, x) => (typeof x === 'string' && x[0] === '\0' ? (x[1] === '"' ? x.slice(2) : Number(x.slice(1))) : x);

/** @param {Record<string, any>} header @param {Uint8Array[]} blocks @returns {Uint8Array<ArrayBuffer>} */
export function pack(header, blocks) {
  const text = new TextEncoder().encode(JSON.stringify({ ...header, blocks: blocks.map((b) => b.length) }, written));
  const out = new Uint8Array(12 + text.length + blocks.reduce((sum, b) => sum + b.length, 0));
  out.set(MAGIC);
  new DataView(out.buffer).setUint32(8, text.length, true);
  out.set(text, 12);
  let at = 12 + text.length;
  for (const block of blocks) {
    out.set(block, at);
    at += block.length;
  }
  return out;
}

/** @param {Uint8Array} bytes @returns {{header: Record<string, any>, blocks: Uint8Array[]}} @throws {MicrotomeError} EFORMAT */
export function unpack(bytes) {
  const wrong = (/** @type {string} */ what) => new MicrotomeError(`checkpoint: ${what}`, { code: 'EFORMAT' });
  if (!(bytes instanceof Uint8Array) || bytes.length < 12 || MAGIC.some((b, i) => bytes[i] !== b)) throw wrong('this is no checkpoint of a lab (its first bytes are not those)');
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
  if (12 + length > bytes.length) throw wrong(`the header of ${length} bytes is cut`);
  /** @type {any} */ let header;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(12, 12 + length)), read);
  } catch (error) {
    throw wrong(`the header is no JSON: ${/** @type {Error} */ (error).message}`);
  }
  if (!header || !Array.isArray(header.blocks) || header.blocks.some((/** @type {unknown} */ n) => !Number.isSafeInteger(n) || Number(n) < 0)) throw wrong('the header does not say how long its blocks are');
  let at = 12 + length;
  const blocks = header.blocks.map((/** @type {number} */ n) => bytes.slice(at, (at += n)));
  if (at !== bytes.length) throw wrong(`${bytes.length} bytes, where its header says ${at}`);
  return { header, blocks };
}
