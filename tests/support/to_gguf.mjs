// Converts a hub folder (config.json + model.safetensors) of a llama or gpt2 model to GGUF, as ggml's converters lay it out:
//   llama   rows of W_q and W_k so that rotary pairs are neighbours: per head (2, width / 2) -> (width / 2, 2)
//   gpt2    linear weights turned from [in][out] to [out][in]
//   node tests/support/to_gguf.mjs FOLDER OUT.gguf       float32 throughout
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GGML, f32, u32, writeGguf } from './gguf_write.mjs';

/** Reads a safetensors file: name -> { dtype, shape, bytes }. */
export function readSafetensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  const tensors = new Map();
  delete header.__metadata__;
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(header)) {
    tensors.set(name, { dtype, shape, bytes: bytes.subarray(8 + size + begin, 8 + size + end) });
  }
  return tensors;
}

/** Rows of a matrix in another order: row i of the result is row order(i). */
function permuteRows(bytes, rows, order) {
  const out = new Uint8Array(bytes.length);
  const row = bytes.length / rows;
  for (let i = 0; i < rows; i++) out.set(bytes.subarray(order(i) * row, (order(i) + 1) * row), i * row);
  return out;
}

/** [a][b] -> [b][a], elements of `size` bytes. */
function transpose(bytes, a, b, size) {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < a; i++)
    for (let j = 0; j < b; j++) out.set(bytes.subarray((i * b + j) * size, (i * b + j + 1) * size), (j * a + i) * size);
  return out;
}

const LLAMA = {
  'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', lm_head: 'output', input_layernorm: 'attn_norm', post_attention_layernorm: 'ffn_norm',
  'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down',
};
const GPT2 = {
  wte: 'token_embd', wpe: 'position_embd', ln_f: 'output_norm', lm_head: 'output', ln_1: 'attn_norm', ln_2: 'ffn_norm',
  'attn.c_attn': 'attn_qkv', 'attn.c_proj': 'attn_output', 'mlp.c_fc': 'ffn_up', 'mlp.c_proj': 'ffn_down',
};

/** "model.layers.3.mlp.up_proj.weight" -> "blk.3.ffn_up.weight" */
function ggufName(name, table) {
  const [, layer, base, kind] = /^(?:.*?(?:layers|h)\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(name) ?? [];
  const role = base && table[base.replace(/^transformer\./, '')];
  return role && `${layer === undefined ? '' : `blk.${layer}.`}${role}.${kind}`;
}

/**
 * @param {any} config config.json
 * @param {Map<string, {dtype: string, shape: number[], bytes: Uint8Array}>} tensors
 * @param {Record<string, any>} [metadata] further keys (a tokenizer's)
 * @returns {Uint8Array}
 */
export function toGguf(config, tensors, metadata = {}) {
  const llama = config.model_type === 'llama';
  if (!llama && config.model_type !== 'gpt2') throw new Error(`model_type is ${config.model_type}; known: llama, gpt2`);
  const heads = config.num_attention_heads ?? config.n_head;
  const groups = config.num_key_value_heads ?? heads;
  const width = config.hidden_size ?? config.n_embd;
  const arch = llama ? 'llama' : 'gpt2';
  const keys = {
    'general.architecture': arch,
    [`${arch}.context_length`]: u32(config.max_position_embeddings ?? config.n_positions),
    [`${arch}.embedding_length`]: u32(width),
    [`${arch}.block_count`]: u32(config.num_hidden_layers ?? config.n_layer),
    [`${arch}.feed_forward_length`]: u32(config.intermediate_size ?? config.n_inner ?? 4 * width),
    [`${arch}.attention.head_count`]: u32(heads),
  };
  if (llama) {
    const rope = config.rope_parameters ?? { rope_theta: config.rope_theta, ...config.rope_scaling };
    const type = rope.rope_type ?? rope.type ?? 'default';
    if (type !== 'default' && type !== 'llama3') throw new Error(`rope type ${type} is not converted`);
    keys['llama.attention.head_count_kv'] = u32(groups);
    keys['llama.attention.layer_norm_rms_epsilon'] = f32(config.rms_norm_eps);
    keys['llama.rope.freq_base'] = f32(rope.rope_theta ?? 10000);
    keys['llama.rope.dimension_count'] = u32(config.head_dim ?? width / heads);
    keys['llama.attention.key_length'] = u32(config.head_dim ?? width / heads);
    keys['llama.attention.value_length'] = u32(config.head_dim ?? width / heads);
  } else {
    keys['gpt2.attention.layer_norm_epsilon'] = f32(config.layer_norm_epsilon);
  }
  const out = [];
  for (const [name, { dtype, shape, bytes }] of tensors) {
    if (/\.attn\.(masked_)?bias$|inv_freq$/.test(name) || (name === 'lm_head.weight' && config.tie_word_embeddings)) continue;
    const to = ggufName(name, llama ? LLAMA : GPT2);
    if (!to || !(dtype in GGML)) throw new Error(`${name} (${dtype}) is not known`);
    let data = bytes;
    let dims = [...shape].reverse();
    if (llama && /attn_[qk]\.weight$/.test(to)) {
      const head = shape[0] / (to.includes('attn_q') ? heads : groups);
      data = permuteRows(bytes, shape[0], (i) => i - (i % head) + ((i % head) % 2) * (head / 2) + Math.floor((i % head) / 2));
    } else if (!llama && shape.length === 2 && to.startsWith('blk.')) {
      data = transpose(bytes, shape[0], shape[1], bytes.length / (shape[0] * shape[1]));
      dims = shape;
    }
    out.push({ name: to, dims, type: GGML[dtype], data });
  }
  const rope = llama ? config.rope_parameters ?? config.rope_scaling : undefined;
  if (rope && (rope.rope_type ?? rope.type) === 'llama3') out.push(ropeDivisors(rope, config.head_dim ?? width / heads, config));
  return writeGguf({ metadata: { ...keys, ...metadata }, tensors: out });
}

/** Llama 3's frequency scaling as GGUF keeps it: a divisor for each frequency. */
function ropeDivisors(rope, width, config) {
  const base = rope.rope_theta ?? config.rope_theta;
  const original = rope.original_max_position_embeddings;
  const values = new Float32Array(width / 2).map((_, i) => {
    const wave = 2 * Math.PI * base ** (2 * i / width);
    if (wave < original / rope.high_freq_factor) return 1;
    if (wave > original / rope.low_freq_factor) return rope.factor;
    const s = (original / wave - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
    return 1 / ((1 - s) / rope.factor + s);
  });
  return { name: 'rope_freqs.weight', dims: [values.length], type: GGML.F32, data: new Uint8Array(values.buffer) };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [, , folder, target] = process.argv;
  writeFileSync(target, toGguf(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')), readSafetensors(readFileSync(join(folder, 'model.safetensors')))));
}
