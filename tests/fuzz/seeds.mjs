// Writes first inputs for the fuzz targets: build/fuzz/first/TARGET/*. Everything is made here or by what tests share.
import { mkdirSync, writeFileSync } from 'node:fs';
import { byteLevel, characterLevel, random, text, texts, unigram, wordPiece } from '../support/definitions.mjs';
import { GGML, f32, u32, writeGguf } from '../support/gguf_write.mjs';
import { writeSafetensors } from '../support/safetensors_write.mjs';
import { TYPES, sentencePieceModel } from '../support/sentencepiece_write.mjs';

const corpus = new URL('../../build/fuzz/first/', import.meta.url), r = random(7);
/** @param {string} target @param {string} name @param {...(Uint8Array | string | number[])} parts */
function seed(target, name, ...parts) {
  const folder = new URL(`${target}/`, corpus);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(name, folder), Buffer.concat(parts.map((part) => Buffer.from(/** @type {any} */ (part)))));
}
/** A number of two bytes. @param {number} n */
const short = (n) => [n & 255, n >> 8];
/** @param {number} n */
const values = (n) => Float32Array.from({ length: n }, () => r.next(1000) / 1000 - 0.5);

// ---- texts ----
const samples = texts(1, 60).filter((t) => t.length < 300);
samples.forEach((t, i) => {
  seed('normalize', `text-${i}`, t);
  seed('encode', `text-${i}`, [i, i * 7], t);
  seed('bytes', `text-${i}`, [i], t.slice(0, 20));
});
seed('encode', 'broken', [0, 0], 'ab', [0xff, 0xc3, 0xe2, 0x82, 0x20, 0xf0, 0x9f]);
seed('normalize', 'broken', 'e', [0xcc, 0x81, 0xff, 0xe1, 0x84]);

// ---- regular expressions: what definitions hold, and one of each construct ----
[
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", '(?i:a|bc)+?d{2,3}$', '[a-z&&[^aeiou]]+', '(?=a)\\w*|\\b\\W', '^(?>a*)b|(?<=x)y', '[\\p{Han}\\p{Hiragana}]+|.', '\\x{1F600}|\\s*[\\r\\n]+', 'a++b|a{0,3}?', '(a|(b|(c)))*', '[^\\d]{1,3}',
].forEach((pattern, i) => seed('regex', `pattern-${i}`, `${pattern}\n${text(r, 12)}`));

// ---- JSON ----
['{"a": [1, -2.5e3, true, null, "x\\u00e9\\ud83d\\ude42"], "b": {}}', '[[[[]]]]', '"\\ud800"', ' 1e999 ', '{"a":1,"a":2}', '[1,]', '"\\n\\t\\/\\""'].forEach((json, i) => seed('json', `json-${i}`, json));

// ---- tokenizers ----
const definitions = { bytes: byteLevel(1), characters: characterLevel(2, { byte_fallback: true }), unigram: unigram(3, false), fallback: unigram(4, true), words: wordPiece(5, true) };
for (const [name, definition] of Object.entries(definitions)) {
  const json = JSON.stringify(definition);
  seed('tokenizer', name, [1], json);
  seed('tokenizer', `${name}-fails`, [0x91], json);
  seed('json', name, json);
}
/** @type {[string, number, keyof typeof TYPES][]} */
const pieces = [['<unk>', 0, 'unknown'], ['<s>', 0, 'control'], ...['\u2581', 'a', 'b', 'ab', '\u2581ab', 'é'].map((piece, i) => /** @type {[string, number, 'normal']} */ ([piece, -i, 'normal']))];
for (const model of /** @type {const} */ ([1, 2, 3, 4])) seed('tokenizer', `sp-${model}`, [2], sentencePieceModel({ pieces, model }));
seed('tokenizer', 'ranks', [3], Array.from({ length: 256 }, (_, i) => `${Buffer.from([i]).toString('base64')} ${i}\n`).join('') + 'YWI= 256\n');
seed('tokenizer', 'vocab-txt', [4], '[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n##s\na\n');

// ---- models ----
const V = 8, D = 8, F = 16, tokens = ['<unk>', '<s>', '</s>', 'a', 'b', 'ab', '\u2581', 'c'];
const matrices = { 'attn_q.weight': [D, D], 'attn_k.weight': [D, D], 'attn_v.weight': [D, D], 'attn_output.weight': [D, D], 'ffn_gate.weight': [D, F], 'ffn_up.weight': [D, F], 'ffn_down.weight': [F, D], 'attn_norm.weight': [D], 'ffn_norm.weight': [D] };
const tensor = (/** @type {string} */ name, /** @type {number[]} */ dims) => ({ name, dims, type: GGML.F32, data: new Uint8Array(values(dims.reduce((a, b) => a * b)).buffer) });
const gguf = writeGguf({
  metadata: {
    'general.architecture': 'llama', 'llama.block_count': u32(1), 'llama.embedding_length': u32(D), 'llama.feed_forward_length': u32(F), 'llama.attention.head_count': u32(2), 'llama.context_length': u32(16), 'llama.attention.layer_norm_rms_epsilon': f32(1e-5),
    'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.scores': tokens.map((_, i) => f32(-i)), 'tokenizer.ggml.token_type': tokens.map((_, i) => ({ kind: 'i32', value: i < 3 ? 3 : 1 })),
  },
  tensors: [tensor('token_embd.weight', [D, V]), tensor('output_norm.weight', [D]), ...Object.entries(matrices).map(([name, dims]) => tensor(`blk.0.${name}`, dims))],
});
seed('gguf', 'llama', gguf);
for (const flags of [0, 4, 0x80, 0x84, 0x0e]) seed('model', `gguf-${flags}`, [flags], gguf);
const config = JSON.stringify({ model_type: 'gpt2', architectures: ['GPT2LMHeadModel'], n_embd: D, n_layer: 1, n_head: 2, n_positions: 8, n_ctx: 8, vocab_size: V, layer_norm_epsilon: 1e-5, activation_function: 'gelu_new' });
const gpt2 = { 'wte.weight': [V, D], 'wpe.weight': [8, D], 'h.0.ln_1.weight': [D], 'h.0.ln_1.bias': [D], 'h.0.attn.c_attn.weight': [D, 3 * D], 'h.0.attn.c_attn.bias': [3 * D], 'h.0.attn.c_proj.weight': [D, D], 'h.0.attn.c_proj.bias': [D], 'h.0.ln_2.weight': [D], 'h.0.ln_2.bias': [D],
  'h.0.mlp.c_fc.weight': [D, 4 * D], 'h.0.mlp.c_fc.bias': [4 * D], 'h.0.mlp.c_proj.weight': [4 * D, D], 'h.0.mlp.c_proj.bias': [D], 'ln_f.weight': [D], 'ln_f.bias': [D] };
const safe = writeSafetensors(Object.fromEntries(Object.entries(gpt2).map(([name, shape]) => [name, { shape, values: values(shape.reduce((a, b) => a * b)) }])));
for (const flags of [1, 5]) seed('model', `safetensors-${flags}`, [flags], short(config.length), config, safe);
const header = Int32Array.of(D, F, 1, 2, 2, V, 16), weights = values(V * D + D + 4 * D * D + D + 3 * D * F + D + 16 * (D / 2));
seed('model', 'llama2c', [0], new Uint8Array(header.buffer), new Uint8Array(weights.buffer));

// ---- trainers and sessions ----
for (let kind = 0; kind < 16; kind++) seed('train', `words-${kind}`, [kind * 9], short(40 + 20 * kind), [0], text(r, 80).replaceAll(' ', '\n'));
seed('train', 'no-letter', [0x75], short(0x511c), [0], new Uint8Array(113)); // SentencePiece's trainers ignore it: no piece at all
for (let i = 0; i < 16; i++) seed('session', `calls-${i}`, [i], Array.from({ length: 60 }, () => r.next(256)));
