// Float tensors -> the bytes of a safetensors file.

/** @param {Record<string, {shape: number[], values: Float32Array}>} tensors @returns {Uint8Array<ArrayBuffer>} */
export function writeSafetensors(tensors) {
  let at = 0;
  const header = Object.fromEntries(Object.entries(tensors).map(([name, { shape, values }]) => [name, { dtype: 'F32', shape, data_offsets: [at, (at += values.byteLength)] }]));
  const text = new TextEncoder().encode(JSON.stringify(header));
  const out = new Uint8Array(8 + text.length + at);
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true);
  out.set(text, 8);
  at = 8 + text.length;
  for (const { values } of Object.values(tensors)) {
    out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), at);
    at += values.byteLength;
  }
  return out;
}
