// SentencePiece's compiled normalization rules, taken out of a .model (a protocol buffer: field 3 is the normalizer, in it 1 the name, 2 the rules).
import { MicrotomeError } from '../runtime/heap.js';

/** Fields of a message. @param {Uint8Array} bytes @returns {Generator<{field: number, bytes: Uint8Array | null}>} */
function* fieldsOf(bytes) {
  let at = 0;
  const broken = () => new MicrotomeError(`not a SentencePiece .model: broken at byte ${at}`, { code: 'EFORMAT', details: { offset: at } });
  const varint = () => {
    for (let value = 0, scale = 1; ; scale *= 128) {
      if (at >= bytes.length || scale > 2 ** 63) throw broken();
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint(), field = Math.floor(key / 8), wire = key % 8;
    if (wire === 0) varint();
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else if (wire === 2) {
      const length = varint();
      if (length > bytes.length - at) throw broken();
      yield { field, bytes: bytes.subarray(at, at + length) };
      at += length;
      continue;
    } else throw broken();
    if (at > bytes.length) throw broken();
    yield { field, bytes: null };
  }
}

/**
 * The normalization rules of a SentencePiece model, for the option `charsmap` of trainTokenizer.
 * @param {Uint8Array} model a .model file @returns {{name: string, rules: Uint8Array}} name: what the model calls them; rules: empty where the model changes nothing ("identity")
 * @throws {MicrotomeError} EFORMAT
 */
export function charsmapOf(model) {
  const found = { name: '', rules: new Uint8Array(0) };
  let seen = false;
  for (const { field, bytes } of fieldsOf(model)) {
    if (field !== 3 || !bytes) continue;
    seen = true;
    for (const part of fieldsOf(bytes)) {
      if (part.field === 1 && part.bytes) found.name = new TextDecoder().decode(part.bytes);
      if (part.field === 2 && part.bytes) found.rules = new Uint8Array(part.bytes);
    }
  }
  if (!seen) throw new MicrotomeError('not a SentencePiece .model: it has no normalizer', { code: 'EFORMAT' });
  return found;
}
