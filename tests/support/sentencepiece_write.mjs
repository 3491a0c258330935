// SentencePiece models as bytes: a protocol buffer with pieces, the trainer's settings and the normalizer's.

/** @param {number | bigint} value */
function varint(value) {
  const out = [];
  for (let v = BigInt.asUintN(64, BigInt(value)); ; v >>= 7n) {
    if (v < 128n) return [...out, Number(v)];
    out.push(Number(v & 127n) | 128);
  }
}
const number = (/** @type {number} */ field, /** @type {number | bigint | boolean} */ value) => [...varint(field << 3), ...varint(typeof value === 'boolean' ? Number(value) : value)];
const bytes = (/** @type {number} */ field, /** @type {string | Iterable<number>} */ value) => {
  const list = typeof value === 'string' ? [...new TextEncoder().encode(value)] : [...value];
  return [...varint((field << 3) | 2), ...varint(list.length), ...list];
};
const float = (/** @type {number} */ field, /** @type {number} */ value) => [...varint((field << 3) | 5), ...new Uint8Array(new Float32Array([value]).buffer)];

export const TYPES = { normal: 1, unknown: 2, control: 3, user: 4, unused: 5, byte: 6 };
/**
 * @param {{pieces: [string, number, keyof typeof TYPES][], model: 1 | 2 | 3 | 4, byteFallback?: boolean, suffix?: boolean, prefix?: boolean, squeeze?: boolean, escape?: boolean}} given
 *   model: 1 Unigram, 2 BPE, 3 words, 4 characters
 * @returns {Uint8Array}
 */
export function sentencePieceModel({ pieces, model, byteFallback = false, suffix = false, prefix = true, squeeze = true, escape = true }) {
  return Uint8Array.from([
    ...pieces.flatMap(([text, score, type]) => bytes(1, [...bytes(1, text), ...float(2, score), ...number(3, TYPES[type])])),
    ...bytes(2, [...number(3, model), ...number(24, suffix), ...number(35, byteFallback)]),
    ...bytes(3, [...number(3, prefix), ...number(4, squeeze), ...number(5, escape)]),
  ]);
}
