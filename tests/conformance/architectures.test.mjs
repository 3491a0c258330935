// Tiny random models of each architecture that we have, as hubs keep them, against Hugging Face transformers: logits of all positions, greedy
// tokens, hidden states and attention patterns by name.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../../web/index.js';
import { readSafetensors } from '../support/safetensors_read.mjs';
import { skipWithoutShared, unpack } from '../support/shared.mjs';
import { readSafetensors as readSafetensorsBytes, toGguf } from '../support/to_gguf.mjs';
import { engines } from '../support/wasm.mjs';

/** Folders of architectures.tar.xz and of architectures-more.tar.xz. */
const EXPECTED = {
  'architectures.tar.xz': ['albert', 'bart', 'bert', 'bloom', 'deberta_v2', 'distilbert', 'electra', 'falcon', 'gemma', 'gemma2', 'gemma3', 'gpt2', 'gpt_neo', 'gpt_neox', 'gptj', 'granite',
    'llama', 'llama3_rope', 'mamba', 'mamba2', 'mistral', 'mixtral', 'modernbert', 'mpnet', 'mpt', 'olmo2', 'opt', 'phi', 'phi3', 'qwen2', 'qwen3', 'roberta', 'rwkv', 'stablelm',
    'starcoder2', 't5', 'xlnet'],
  'architectures-more.tar.xz': ['biogpt', 'bitnet', 'codegen', 'cohere', 'ernie4_5', 'exaone4', 'falcon_new', 'gemma2_softcap', 'gemma3_deep', 'glm4', 'gpt_bigcode', 'gpt_oss',
    'granitemoehybrid', 'hunyuan', 'lfm2',
    'llama_bias', 'llama_rope_dynamic', 'llama_rope_linear', 'llama_rope_yarn', 'nemotron', 'neox_serial', 'olmo', 'olmo3', 'olmoe', 'openai_gpt', 'opt_postnorm_proj',
    'phi3_longrope', 'qwen3_5', 'qwen3_moe', 'smollm3', 't5_v1_0', 'umt5', 'xlm_roberta'],
};
const FOLDERS = { 'architectures.tar.xz': 'hf_public', 'architectures-more.tar.xz': 'hf_public2' };
/** Their reference's hidden state i is what layer i leaves, not what it gets. */
const AFTER = ['mamba', 'mamba2', 'rwkv'];
/** These run on every build, the others on the best one. */
const EVERYWHERE = ['gpt2', 'llama', 'mamba2', 'gemma2', 't5'];
const TOLERANCE = 1e-4; // of the largest value, as the reference's notes ask of a float32 engine

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} want @param {string} what */
function close(got, want, what) {
  assert.equal(got.length, want.length, `${what}: length`);
  let scale = 0;
  for (let i = 0; i < want.length; i++) scale = Math.max(scale, Math.abs(want[i]));
  for (let i = 0; i < want.length; i++) assert.ok(Math.abs(got[i] - want[i]) <= TOLERANCE * scale, `${what}: value ${i} is ${got[i]}, expected ${want[i]} (largest ${scale})`);
}

/**
 * Our names of what the reference holds; its patterns are counted over the layers that have attention.
 * @param {string} name @param {string} architecture @param {number} layers @param {string[]} known
 */
function ourName(name, architecture, layers, known) {
  const [kind, number] = name.split('.');
  const attention = Array.from({ length: layers }, (_, i) => i).filter((i) => known.includes(`blocks.${i}.attn.hook_pattern`));
  const layer = kind === 'attn' ? attention[Number(number)] : number;
  const state = AFTER.includes(architecture) ? 'hook_resid_post' : 'hook_resid_pre';
  if (Number(layer) >= layers) return null; // the last hidden state: after the final norm, or not; the logits tell
  return { hidden: `blocks.${layer}.${state}`, dec_hidden: `blocks.${layer}.${state}`, enc_hidden: `encoder.blocks.${layer}.${state}`, attn: `blocks.${layer}.attn.hook_pattern`,
    dec_attn: `blocks.${layer}.attn.hook_pattern`, enc_attn: `encoder.blocks.${layer}.attn.hook_pattern`, cross_attn: `blocks.${layer}.cross_attn.hook_pattern` }[kind] ?? null;
}

describe('the same models as GGUF', { skip: skipWithoutShared }, () => {
  for (const architecture of ['llama', 'gpt2'])
    test(architecture, { timeout: 60_000 }, async () => {
      const folder = join(unpack('architectures.tar.xz'), 'hf_public', architecture);
      const reference = readSafetensors(join(folder, 'reference.safetensors'));
      const file = toGguf(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')), readSafetensorsBytes(readFileSync(join(folder, 'model.safetensors'))));
      const model = await Model.load(file, { threads: 1 });
      close((await model.run(/** @type {Int32Array} */ (reference.input_ids.data), { all: true })).logits, /** @type {Float32Array} */ (reference.logits.data), 'logits');
      await model.dispose();
    });
});

describe('architectures', { skip: skipWithoutShared }, () => {
  for (const [archive, architectures] of Object.entries(EXPECTED))
    describe(archive, () => {
      /** @type {string} */ let folder;
      before(() => { folder = join(unpack(archive), FOLDERS[/** @type {keyof typeof FOLDERS} */ (archive)]); });

      for (const architecture of architectures)
        for (const { name, options } of EVERYWHERE.includes(architecture) ? engines() : engines().filter((e) => e.options.threads === 1).slice(-1))
          test(`${architecture}, ${name}`, { timeout: 60_000 }, async () => {
            const files = ['config.json', 'model.safetensors'].map((file) => join(folder, architecture, file));
            const reference = readSafetensors(join(folder, architecture, 'reference.safetensors'));
            const logitsWanted = /** @type {Float32Array} */ (reference.logits.data);
            const ids = [.../** @type {Int32Array} */ (reference.input_ids.data)];
            const decoderIds = reference.decoder_input_ids && [.../** @type {Int32Array} */ (reference.decoder_input_ids.data)];
            const model = await Model.load(files, options);
            try {
              const { logits } = await model.run(ids, { all: true, decoderIds });
              close(logits, logitsWanted, 'logits');
              if (reference.greedy) {
                const greedy = [.../** @type {Int32Array} */ (reference.greedy.data)];
                const more = await model.greedy(ids, { maxTokens: greedy.length - ids.length, stop: [] });
                assert.deepEqual([...ids, ...more.ids], greedy);
              }
              const known = await model.traceNames();
              const wanted = Object.keys(reference).flatMap((theirs) => {
                const ours = ourName(theirs, architecture, model.info.layers, known);
                return ours ? [{ theirs, ours }] : [];
              });
              if (decoderIds) await assert.rejects(model.run(ids, { decoderIds: [] }), { code: 'ERANGE' });
              const traced = await model.run(ids, { all: true, decoderIds, trace: wanted.map(({ ours }) => ours) });
              close(traced.logits, logitsWanted, 'logits while tracing');
              for (const { theirs, ours } of wanted) {
                assert.deepEqual(traced.traces[ours].shape, reference[theirs].shape.slice(1), theirs);
                close(traced.traces[ours].data, /** @type {Float32Array} */ (reference[theirs].data), `${theirs} (${ours})`);
              }
              // The same in two parts, before and after the middle of each half.
              for (const [scope, layers] of /** @type {[string, number][]} */ ([['', model.info.layers], ['encoder.', model.info.encoderLayers ?? 0]])) {
                const part = `${scope}blocks.${layers >> 1}.hook_resid_pre`;
                if (!layers) continue;
                assert.ok(known.includes(part), part);
                const whole = await model.run(ids, { all: true, decoderIds, trace: part });
                const head = await model.run(ids, { decoderIds, stopAt: part });
                assert.deepEqual(head.traces, whole.traces, part);
                assert.deepEqual((await model.run(ids, { all: true, decoderIds, from: { name: part, data: head.traces[part].data } })).logits, whole.logits, part);
              }
            } finally {
              await model.dispose();
            }
          });
    });
});

describe('references that are not what their file says', { skip: skipWithoutShared }, () => {
  /** @param {string} architecture */
  async function load(architecture) {
    const folder = join(unpack('architectures-more.tar.xz'), 'hf_public2', architecture);
    return { model: await Model.load(['config.json', 'model.safetensors'].map((file) => join(folder, file)), { threads: 1 }), reference: readSafetensors(join(folder, 'reference.safetensors')) };
  }
  const data = (/** @type {any} */ tensor) => /** @type {Float32Array} */ (tensor.data);

  test('falcon with ALiBi: the reference adds the biases twice', { timeout: 60_000 }, async () => {
    // transformers 5.17 has them in the mask (for the fused attention) and adds them again where it looks at attentions. With a second helping everything is equal; with one nothing is.
    const { model, reference } = await load('falcon_alibi'), { heads, headWidth, layers } = model.info;
    const ids = [.../** @type {Int32Array} */ (reference.input_ids.data)], greedy = [.../** @type {Int32Array} */ (reference.greedy.data)];
    const again = (/** @type {number} */ n) => {
      const value = new Float32Array(heads * n * n);
      for (let h = 0; h < heads; h++) for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) value[(h * n + i) * n + j] = (2 ** ((-8 * (h + 1)) / heads) * (j - i)) / Math.sqrt(headWidth);
      return Array.from({ length: layers }, (_, l) => ({ name: `blocks.${l}.attn.hook_attn_scores`, kind: /** @type {const} */ ('add'), value }));
    };
    const twice = await model.run(ids, { all: true, patch: again(ids.length), trace: ['blocks.*.hook_resid_pre', 'blocks.*.attn.hook_pattern'] });
    close(twice.logits, data(reference.logits), 'logits');
    for (let l = 0; l < layers; l++) {
      close(twice.traces[`blocks.${l}.hook_resid_pre`].data, data(reference[`hidden.${l}`]), `hidden.${l}`);
      close(twice.traces[`blocks.${l}.attn.hook_pattern`].data, data(reference[`attn.${l}`]), `attn.${l}`);
    }
    for (let n = ids.length; n < greedy.length; n++) {
      const { logits } = await model.run(greedy.slice(0, n), { patch: again(n) });
      assert.equal(logits.indexOf(logits.reduce((a, b) => Math.max(a, b))), greedy[n], `greedy token ${n}`);
    }
    const once = await model.run(ids, { all: true });
    assert.throws(() => close(once.logits, data(reference.logits), 'logits'), 'and the biases matter');
    await model.dispose();
  });

  test('Marian: the reference has positions at random, which its file does not hold', { timeout: 60_000 }, async () => {
    // The first hidden states less the embeddings are noise, another one in each half, where the architecture has sines; from these states on everything is equal.
    const { model, reference } = await load('marian');
    const ids = [.../** @type {Int32Array} */ (reference.input_ids.data)], decoderIds = [.../** @type {Int32Array} */ (reference.decoder_input_ids.data)];
    const from = [{ name: 'encoder.blocks.0.hook_resid_pre', data: data(reference['enc_hidden.0']) }, { name: 'blocks.0.hook_resid_pre', data: data(reference['dec_hidden.0']) }];
    const names = Object.keys(reference).flatMap((theirs) => { const ours = ourName(theirs, 'marian', model.info.layers, ['blocks.0.attn.hook_pattern', 'blocks.1.attn.hook_pattern']); return ours ? [{ theirs, ours }] : []; });
    assert.ok(names.length >= 10);
    const { logits, traces } = await model.run(ids, { all: true, decoderIds, from, trace: names.map(({ ours }) => ours) });
    close(logits, data(reference.logits), 'logits');
    for (const { theirs, ours } of names) close(traces[ours].data, data(reference[theirs]), theirs);
    // What we add ourselves: sin(p / 10000^(2m / width)), then the cosines.
    const name = 'encoder.blocks.0.hook_resid_pre', { width } = model.info, own = (await model.run(ids, { decoderIds, trace: [name, 'encoder.hook_embed'] })).traces;
    close(own[name].data, own['encoder.hook_embed'].data.map((x, i) => { const p = Math.floor(i / width), d = i % width, m = d % (width / 2), a = p / 10000 ** ((2 * m) / width); return x + (d < width / 2 ? Math.sin(a) : Math.cos(a)); }), 'sinusoids');
    await model.dispose();
  });
});
