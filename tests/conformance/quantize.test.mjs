// Hub folders of every architecture -> GGUF F32 -> the reference's logits; hub tokenizers -> GGUF keys -> the same ids; published models.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Model, Tokenizer, quantize } from '../../web/index.js';
import { readGguf } from '../support/gguf_read.mjs';
import { makeHeader, makeKey } from '../../web/runtime/gguf.js';
import { readSafetensors } from '../support/safetensors_read.mjs';
import { readShared, shared, skipWithoutShared, unpack } from '../support/shared.mjs';
import { scratch } from '../support/wasm.mjs';

/** What llama.cpp has keys for says everything about these; the others carry a config.json. */
const KEYS_SUFFICE = ['bert', 'biogpt', 'bitnet', 'bloom', 'codegen', 'distilbert', 'ernie4_5', 'exaone4', 'falcon', 'gemma', 'gemma2', 'gemma2_softcap', 'gemma3', 'gemma3_deep', 'glm4', 'gpt2', 'gpt_bigcode', 'gpt_neox', 'gptj', 'granite',
  'hunyuan', 'llama', 'llama3_rope', 'llama_bias', 'llama_rope_dynamic', 'llama_rope_linear', 'llama_rope_yarn', 'mamba', 'mamba2', 'mixtral', 'mpnet', 'mpt', 'nemotron', 'neox_serial', 'olmo', 'olmo2', 'olmo3', 'olmoe', 'openai_gpt', 'opt', 'phi',
  'phi3', 'qwen2', 'qwen3', 'qwen3_moe', 'roberta', 'smollm3', 'stablelm', 'starcoder2', 'xlm_roberta'];
const CONFIG_NEEDED = ['albert', 'bart', 'cohere', 'deberta_v2', 'electra', 'falcon_new', 'gpt_neo', 'gpt_oss', 'granitemoehybrid', 'lfm2', 'mistral', 'modernbert', 'opt_postnorm_proj', 'phi3_longrope', 'qwen3_5', 'rwkv', 't5', 't5_v1_0', 'umt5', 'xlnet'];
const MORE = ['biogpt', 'bitnet', 'codegen', 'cohere', 'ernie4_5', 'exaone4', 'falcon_new', 'gemma2_softcap', 'gemma3_deep', 'glm4', 'gpt_bigcode', 'gpt_oss', 'granitemoehybrid', 'hunyuan', 'lfm2', 'llama_bias', 'llama_rope_dynamic', 'llama_rope_linear',
  'llama_rope_yarn', 'nemotron', 'neox_serial', 'olmo', 'olmo3', 'olmoe', 'openai_gpt', 'opt_postnorm_proj', 'phi3_longrope', 'qwen3_5', 'qwen3_moe', 'smollm3', 't5_v1_0', 'umt5', 'xlm_roberta'];

describe('architectures as GGUF F32', { skip: skipWithoutShared }, () => {
  /** @type {{first: string, more: string}} */ let folders;
  before(() => { folders = { first: join(unpack('architectures.tar.xz'), 'hf_public'), more: join(unpack('architectures-more.tar.xz'), 'hf_public2') }; });

  for (const architecture of [...KEYS_SUFFICE, ...CONFIG_NEEDED].sort())
    test(architecture, { timeout: 60_000 }, async () => {
      const folder = join(MORE.includes(architecture) ? folders.more : folders.first, architecture);
      const { bytes } = await quantize(['config.json', 'model.safetensors'].map((name) => join(folder, name)), { type: 'F32', threads: 1 });
      const { metadata, tensors } = readGguf(/** @type {Uint8Array} */ (bytes));
      assert.equal('microtome.config' in metadata, CONFIG_NEEDED.includes(architecture), 'a config.json in the file');
      assert.ok(Object.values(tensors).every((t) => t.type === 0));
      const reference = readSafetensors(join(folder, 'reference.safetensors'));
      const want = /** @type {Float32Array} */ (reference.logits.data);
      const model = await Model.load(/** @type {Uint8Array} */ (bytes), { threads: 1 });
      try {
        const decoderIds = reference.decoder_input_ids && [.../** @type {Int32Array} */ (reference.decoder_input_ids.data)];
        const { logits } = await model.run(/** @type {Int32Array} */ (reference.input_ids.data), { all: true, decoderIds });
        const scale = want.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        const worst = want.reduce((most, x, i) => Math.max(most, Math.abs(x - logits[i])), 0);
        assert.ok(worst <= 1e-4 * scale, `largest difference ${worst} of ${scale}`);
        // From GGUF to GGUF nothing changes.
        assert.deepEqual((await quantize(/** @type {Uint8Array} */ (bytes), { type: 'F32', threads: 1 })).bytes, bytes);
      } finally {
        await model.dispose();
      }
    });
});

describe('tokenizers', { skip: skipWithoutShared }, () => {
  const files = scratch();
  const TEXT = "Hello world! 12345 naïve café\n\n  spaces ünï 你好 it's <|end|> x";
  /** @type {string} */ let folder;
  before(() => { folder = join(unpack('architectures.tar.xz'), 'hf_public', 'llama'); });
  /** keys: llama.cpp's keys alone say the same on this text. */
  const CASES = /** @type {const} */ ([
    ['gpt2', ['tokenizer.json'], true], ['gpt2', ['vocab.json', 'merges.txt'], true], ['llama3', ['tokenizer.json', 'tokenizer_config.json'], true], ['llama2', ['tokenizer.json'], true], ['llama2', ['tokenizer.model'], true],
    ['qwen3', ['tokenizer.json'], true], ['t5', ['tokenizer.json'], true], ['t5', ['spiece.model'], true], ['albert', ['spiece.model'], true], ['mistral-v3', ['tokenizer.json'], true], ['roberta', ['tokenizer.json'], true],
    ['modernbert', ['tokenizer.json'], true], ['bert-uncased', ['tokenizer.json'], true], ['bert-cased', ['tokenizer.json'], false],
  ]);
  for (const [name, names, keys] of CASES)
    test(`${name}, ${names.join(' + ')}`, { timeout: 60_000 }, async () => {
      const paths = names.map((file) => files.write(file, readShared('tokenizers', name, file)));
      const want = await Tokenizer.load(paths[0], names.length > 1 && names[1] === 'merges.txt' ? { merges: paths[1] } : {});
      const { bytes } = await quantize([join(folder, 'config.json'), join(folder, 'model.safetensors'), ...paths], { type: 'F32', threads: 1 });
      const file = readGguf(/** @type {Uint8Array} */ (bytes)); // it is well formed
      const got = await Tokenizer.load(/** @type {Uint8Array} */ (bytes));
      const idsOf = (/** @type {Tokenizer} */ t, addSpecialTokens = false) => [...t.encode(TEXT, { offsets: false, addSpecialTokens }).ids];
      assert.deepEqual(idsOf(got), idsOf(want));
      if (names[0] === 'tokenizer.json') {
        assert.deepEqual(idsOf(got, true), idsOf(want, true));
        assert.equal(file.metadata['tokenizer.huggingface.json'], Buffer.from(readShared('tokenizers', name, 'tokenizer.json')).toString('utf8'));
        // The same without the definition: what other programs see.
        const kept = Object.keys(file.metadata).filter((key) => key.startsWith('tokenizer.ggml.'));
        const value = (/** @type {string} */ key) => {
          const v = file.metadata[key];
          if (!Array.isArray(v)) return typeof v === 'number' ? { u32: v } : v;
          return typeof v[0] === 'string' ? { strings: v } : key.endsWith('scores') ? { f32s: v } : key.endsWith('charsmap') ? { bytes: Uint8Array.from(v) } : { i32s: v };
        };
        const alone = makeHeader([makeKey('general.architecture', 'llama'), ...kept.map((key) => makeKey(key, value(key)))], []);
        const plain = await Tokenizer.load(alone);
        assert.equal(JSON.stringify(idsOf(plain)) === JSON.stringify(idsOf(want)), keys);
        plain.dispose();
      }
      got.dispose();
      want.dispose();
    });
});

test('stories260K: llama2.c and hub folder give the GGUF that is published with them', { skip: skipWithoutShared, timeout: 60_000 }, async () => {
  const at = (/** @type {string} */ name) => shared('models', 'stories260K', name);
  const published = readGguf(readShared('models', 'stories260K', 'stories260K.F32.gguf'));
  for (const source of [at('stories260K.bin'), [at('config.json'), at('model.safetensors')]]) {
    const { tensors } = readGguf(/** @type {Uint8Array} */ ((await quantize(source, { type: 'F32' })).bytes));
    for (const [name, { data }] of Object.entries(tensors)) assert.ok(Buffer.from(data).equals(Buffer.from(published.tensors[name].data)), name);
    assert.deepEqual(Object.keys(tensors).sort(), Object.keys(published.tensors).filter((name) => name in tensors).sort());
  }
  const want = readGguf(readShared('models', 'stories260K', 'stories260K.Q8_0.gguf'));
  const got = readGguf(/** @type {Uint8Array} */ ((await quantize(at('stories260K.F32.gguf'), { type: 'Q8_0' })).bytes));
  for (const name of want.order) assert.ok(got.tensors[name].type === want.tensors[name].type && Buffer.from(got.tensors[name].data).equals(Buffer.from(want.tensors[name].data)), name);
});
