// Models of a given shape with random weights, for benchmarks and API tests: the arithmetic of a trained model of that shape, no download.
import { GGML, f32, u32, writeGguf } from './gguf_write.mjs';

/** xorshift32, so that files are reproducible. */
function random(seed) {
  let s = seed | 1;
  return () => { s ^= s << 13; s ^= s >>> 17; s ^= s << 5; return s >>> 0; };
}

const toHalf = (x) => (new Uint32Array(new Float32Array([x]).buffer)[0] >>> 13) - (112 << 10); // positive normal numbers

/** Bytes of n random values of a type, standard deviation about `scale`. n must be a multiple of the block. */
export function randomTensor(type, n, scale, next) {
  const half = scale * Math.sqrt(3);
  if (type === GGML.F32) {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = (next() / 2 ** 31 - 1) * half;
    return new Uint8Array(out.buffer);
  }
  if (type === GGML.F16) {
    const out = new Uint16Array(n);
    for (let i = 0; i < n; i++) { const x = (next() / 2 ** 31 - 1) * half; out[i] = Math.abs(x) < 1e-4 ? 0 : toHalf(Math.abs(x)) | (x < 0 ? 0x8000 : 0); }
    return new Uint8Array(out.buffer);
  }
  const bytes = { [GGML.Q8_0]: 34, [GGML.Q4_0]: 18 }[type];
  if (!bytes) throw new Error(`randomTensor: type ${type}`);
  const out = new Uint8Array((n / 32) * bytes);
  const d = toHalf(half / (type === GGML.Q8_0 ? 127 : 8));
  for (let i = 0; i < out.length; i += 4) { const r = next(); out[i] = r; out[i + 1] = r >> 8; out[i + 2] = r >> 16; out[i + 3] = r >> 24; }
  for (let at = 0; at < out.length; at += bytes) { out[at] = d & 255; out[at + 1] = d >> 8; }
  return out;
}

/** Shapes that people know. */
export const SHAPES = {
  'SmolLM2-135M': { layers: 30, width: 576, heads: 9, kvHeads: 3, ffn: 1536, vocab: 49152, context: 2048, base: 100000 },
  'GPT-2': { arch: 'gpt2', layers: 12, width: 768, heads: 12, kvHeads: 12, ffn: 3072, vocab: 50257, context: 1024 },
  stories15M: { layers: 6, width: 288, heads: 6, kvHeads: 6, ffn: 768, vocab: 32000, context: 1024, base: 10000 },
};

/** A model of one of the shapes. @param {string} name of SHAPES @param {Record<string, any>} [keys] further metadata, such as a tokenizer's */
export const randomShape = (name, type, seed = 1, keys = {}) => (SHAPES[name].arch === 'gpt2' ? randomGpt2 : randomLlama)(SHAPES[name], type, seed, keys);

const FILE_TYPES = { [GGML.F32]: 0, [GGML.F16]: 1, [GGML.Q4_0]: 2, [GGML.Q8_0]: 7 };

/** What both builders share: tensors in order, matrices in the type, vectors in float32. */
function collector(type, seed) {
  const next = random(seed), tensors = [];
  return {
    tensors,
    matrix: (name, rows, cols, as = type) => tensors.push({ name, dims: [cols, rows], type: as, data: randomTensor(as, rows * cols, 1 / Math.sqrt(cols), next) }),
    fill: (name, n, value) => tensors.push({ name, dims: [n], type: GGML.F32, data: new Uint8Array(new Float32Array(n).fill(value).buffer) }),
  };
}

/** A GPT-2-architecture GGUF with tied embeddings and no vocabulary. @returns {Uint8Array} */
export function randomGpt2({ layers, width, heads, ffn, vocab, context }, type, seed = 1, keys = {}) {
  const { tensors, matrix, fill } = collector(type, seed);
  const linear = (name, rows, cols) => { matrix(`${name}.weight`, rows, cols); fill(`${name}.bias`, rows, 0); };
  const norm = (name) => { fill(`${name}.weight`, width, 1); fill(`${name}.bias`, width, 0); };
  matrix('token_embd.weight', vocab, width);
  matrix('position_embd.weight', context, width, GGML.F32);
  for (let l = 0; l < layers; l++) {
    norm(`blk.${l}.attn_norm`);
    linear(`blk.${l}.attn_qkv`, 3 * width, width);
    linear(`blk.${l}.attn_output`, width, width);
    norm(`blk.${l}.ffn_norm`);
    linear(`blk.${l}.ffn_up`, ffn, width);
    linear(`blk.${l}.ffn_down`, width, ffn);
  }
  norm('output_norm');
  return writeGguf({
    metadata: {
      ...shapeKeys('gpt2', type, { layers, width, heads, ffn, vocab, context }),
      'gpt2.attention.layer_norm_epsilon': f32(1e-5),
      ...keys,
    },
    tensors,
  });
}

/** Keys that every shape has, and no vocabulary. */
const shapeKeys = (arch, type, { layers, width, heads, ffn, vocab, context }) => ({
  'general.architecture': arch,
  'general.name': `random ${arch} ${layers}x${width}`,
  'general.file_type': u32(FILE_TYPES[type]),
  [`${arch}.context_length`]: u32(context),
  [`${arch}.embedding_length`]: u32(width),
  [`${arch}.block_count`]: u32(layers),
  [`${arch}.feed_forward_length`]: u32(ffn),
  [`${arch}.attention.head_count`]: u32(heads),
  [`${arch}.vocab_size`]: u32(vocab),
  'tokenizer.ggml.model': 'no_vocab',
});

/** A Llama-architecture GGUF with tied embeddings and no vocabulary. @returns {Uint8Array} */
export function randomLlama({ layers, width, heads, kvHeads, ffn, vocab, context, base }, type, seed = 1, keys = {}) {
  const head = width / heads;
  const { tensors, matrix, fill } = collector(type, seed), ones = (name, n) => fill(name, n, 1);
  matrix('token_embd.weight', vocab, width);
  for (let l = 0; l < layers; l++) {
    ones(`blk.${l}.attn_norm.weight`, width);
    matrix(`blk.${l}.attn_q.weight`, width, width);
    matrix(`blk.${l}.attn_k.weight`, kvHeads * head, width);
    matrix(`blk.${l}.attn_v.weight`, kvHeads * head, width);
    matrix(`blk.${l}.attn_output.weight`, width, width);
    ones(`blk.${l}.ffn_norm.weight`, width);
    matrix(`blk.${l}.ffn_gate.weight`, ffn, width);
    matrix(`blk.${l}.ffn_up.weight`, ffn, width);
    matrix(`blk.${l}.ffn_down.weight`, width, ffn);
  }
  ones('output_norm.weight', width);
  return writeGguf({
    metadata: {
      ...shapeKeys('llama', type, { layers, width, heads, ffn, vocab, context }),
      'llama.attention.head_count_kv': u32(kvHeads),
      'llama.attention.layer_norm_rms_epsilon': f32(1e-5),
      'llama.rope.dimension_count': u32(head),
      'llama.rope.freq_base': f32(base),
      ...keys,
    },
    tensors,
  });
}
