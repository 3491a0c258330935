// Gradients of loaded models: against what PyTorch's autograd gives (tiny random models of several architectures), and for every architecture
// against differences of the loss, tensor by tensor of the model's file.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../../web/index.js';
import { loadHeap } from '../../web/runtime/load.js';
import { readSafetensors } from '../support/safetensors_read.mjs';
import { skipWithoutShared, unpack } from '../support/shared.mjs';
import { engines } from '../support/wasm.mjs';

const FOLDERS = { 'architectures.tar.xz': 'hf_public', 'architectures-more.tar.xz': 'hf_public2' };
/** Folders that hold `grad.*`. diffllama and qwen3_next have them too, but no builder here. */
const REFERENCES = { 'architectures.tar.xz': ['bert', 'gemma2', 'gpt2', 'gpt_neox', 'llama', 'mamba', 'mixtral', 'qwen3'], 'architectures-more.tar.xz': ['gpt_oss', 'lfm2'] };
/** All others that run. */
const OTHERS = {
  'architectures.tar.xz': ['albert', 'bart', 'bloom', 'deberta_v2', 'distilbert', 'electra', 'falcon', 'gemma', 'gemma3', 'gpt_neo', 'gptj', 'granite', 'llama3_rope', 'mamba2', 'mistral', 'modernbert', 'mpnet', 'mpt', 'olmo2', 'opt',
    'phi', 'phi3', 'qwen2', 'roberta', 'rwkv', 'stablelm', 'starcoder2', 't5', 'xlnet'],
  'architectures-more.tar.xz': ['biogpt', 'bitnet', 'codegen', 'cohere', 'ernie4_5', 'exaone4', 'falcon_alibi', 'falcon_new', 'gemma2_softcap', 'gemma3_deep', 'glm4', 'gpt_bigcode', 'granitemoehybrid', 'hunyuan', 'llama_bias', 'llama_rope_dynamic',
    'llama_rope_linear', 'llama_rope_yarn', 'marian', 'nemotron', 'neox_serial', 'olmo', 'olmo3', 'olmoe', 'openai_gpt', 'opt_postnorm_proj', 'phi3_longrope', 'qwen3_5', 'qwen3_moe', 'smollm3', 't5_v1_0', 'umt5', 'xlm_roberta'],
};
const TOLERANCE = 1e-4; // of the largest gradient of a tensor

/** @typedef {{dims: number[], data: Float32Array}} Tensor */

/** Names of the references that their files do not use: experts are kept together there, and one head has another name. @param {Record<string, Tensor>} got @param {string} name @returns {Tensor | undefined} */
function named(got, name) {
  const experts = /^(model\.layers\.\d+)\.mlp\.(experts\.(gate_up|down)_proj|gate\.weight)$/.exec(name);
  if (got[name]) return got[name];
  if (name === 'lm_head.weight') return got['embed_out.weight'];
  if (!experts) return undefined;
  const prefix = `${experts[1]}.block_sparse_moe.`, at = (/** @type {number} */ e, /** @type {string} */ w) => got[`${prefix}experts.${e}.${w}.weight`];
  if (!experts[3]) return got[`${prefix}gate.weight`];
  const parts = [];
  for (let e = 0; at(e, 'w1'); e++) parts.push(...(experts[3] === 'down' ? ['w2'] : ['w1', 'w3']).map((w) => at(e, w).data));
  return { dims: [], data: Float32Array.from(parts.flatMap((data) => [...data])) };
}

/** Nothing that a softmax over keys gives depends on a vector that is added to all of them: what is left is rounding. */
const ZERO = /\.key\.bias$/;

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} want @param {string} what @returns {number} */
function difference(got, want, what) {
  assert.equal(got.length, want.length, `${what}: length`);
  let most = 0, worst = 0;
  for (let i = 0; i < want.length; i++) most = Math.max(most, Math.abs(want[i]));
  for (let i = 0; i < want.length; i++) worst = Math.max(worst, Math.abs(got[i] - want[i]), Number.isFinite(got[i]) ? 0 : Infinity);
  if (ZERO.test(what)) {
    assert.ok(most < 1e-6 && worst < 1e-6, `${what}: ${worst}, ${most}`);
    return 0;
  }
  assert.ok(worst <= TOLERANCE * most, `${what}: off by ${worst}, the largest gradient is ${most}`);
  return worst / most;
}

describe('gradients against the reference', { skip: skipWithoutShared }, () => {
  for (const [archive, architectures] of Object.entries(REFERENCES))
    describe(archive, () => {
      /** @type {string} */ let folder;
      before(() => { folder = join(unpack(archive), FOLDERS[/** @type {keyof typeof FOLDERS} */ (archive)]); });
      for (const architecture of architectures)
        for (const { name, options } of engines().filter((e) => architecture === 'llama' || e.options.isa === 'simd'))
          test(`${architecture}, ${name}`, { timeout: 60_000 }, async (t) => {
            const reference = readSafetensors(join(folder, architecture, 'reference.safetensors')), ids = [.../** @type {Int32Array} */ (reference.input_ids.data)];
            const model = await Model.load(['config.json', 'model.safetensors'].map((file) => join(folder, architecture, file)), options);
            const targets = model.info.bidirectional && { targets: ids };
            const { loss, parameters } = await model.gradients(ids, { parameters: '*', ...targets });
            const expected = /** @type {number} */ (reference.loss.data[0]);
            assert.ok(Math.abs(loss - expected) <= TOLERANCE * expected, `loss ${loss}, expected ${expected}`);
            let worst = 0, compared = 0;
            for (const [key, { shape, data }] of Object.entries(reference)) {
              if (!key.startsWith('grad.')) continue;
              const got = named(parameters, key.slice(5));
              assert.ok(got, `no gradient of ${key.slice(5)}`);
              if (got.dims.length) assert.deepEqual(got.dims, shape, key);
              worst = Math.max(worst, difference(got.data, /** @type {Float32Array} */ (data), key.slice(5)));
              compared++;
            }
            assert.ok(compared >= 21);
            t.diagnostic(`${compared} tensors, the worst differs by ${worst.toExponential(1)} of its largest gradient`);
            const again = await model.gradients(ids, { parameters: '*', ...targets, recompute: true });
            assert.deepEqual(again, { loss, parameters, values: {}, traces: {} }, 'computed again: the same bits');
            await model.dispose();
          });
    });
});

/** A model in this thread, loaded from bytes: its loss is asked for hundreds of times. */
class Direct {
  /** @param {any} heap @param {Uint8Array} config @param {Uint8Array} weights @param {{ids: number[], decoderIds?: number[], targets: number[]}} batch */
  constructor(heap, config, weights, batch) {
    Object.assign(this, { heap, config, batch });
    this.weights = weights.slice();
  }

  /** Mean cross-entropy of the targets, in double from the logits. */
  loss() {
    const { heap, batch: { ids, decoderIds, targets } } = /** @type {any} */ (this), read = decoderIds ?? ids;
    return heap.scope((/** @type {(n: number) => number} */ alloc) => {
      const put = (/** @type {Uint8Array} */ bytes) => { const at = alloc(bytes.length); heap.putBytes(at, bytes); return at; };
      const ints = (/** @type {number[]} */ list) => { const at = alloc(4 * list.length); heap.putInts(at, list); return at; };
      const out = alloc(4), made = (/** @type {string} */ name, /** @type {number[]} */ ...args) => { heap.call(name, ...args, out); return heap.u32(out); };
      const loader = made('loader_new', this.weights.length, 0);
      heap.call('loader_config', loader, put(/** @type {any} */ (this).config), /** @type {any} */ (this).config.length);
      heap.call('loader_push', loader, put(this.weights), this.weights.length);
      const model = made('loader_finish', loader), session = made('session_new', model, 0, read.length, read.length, heap.enums.MT_CACHE_F32);
      if (decoderIds) heap.call('session_encode', session, ints(ids), ids.length);
      const wants = put(new Uint8Array(read.length).fill(1));
      heap.call('session_chain', session, read.length, ints(read), heap.enums.MT_ROOT, wants, alloc(4 * read.length));
      const info = alloc(heap.sizeOf('mt_model_info'));
      heap.call('model_info', model, info);
      const { vocab } = heap.read('mt_model_info', info);
      let sum = 0, count = 0;
      targets.forEach((/** @type {number} */ target, /** @type {number} */ row) => {
        if (target < 0) return;
        const logits = heap.floats(heap.exports.session_logits(session, row) >>> 0, vocab), most = logits.reduce((/** @type {number} */ a, /** @type {number} */ b) => Math.max(a, b));
        sum += most - logits[target] + Math.log(logits.reduce((/** @type {number} */ a, /** @type {number} */ x) => a + Math.exp(x - most), 0));
        count++;
      });
      heap.exports.session_free(session);
      heap.exports.model_free(model);
      return sum / count;
    });
  }

  /** The values of a tensor of the file, to be read and written. @param {string} name @returns {Float32Array} */
  tensor(name) {
    const length = Number(new DataView(this.weights.buffer).getBigUint64(0, true));
    const { dtype, data_offsets: [from, to] } = JSON.parse(new TextDecoder().decode(this.weights.subarray(8, 8 + length)))[name];
    assert.equal(dtype, 'F32');
    if ((8 + length + from) % 4) throw new Error('the data are not aligned');
    return new Float32Array(this.weights.buffer, 8 + length + from, (to - from) / 4);
  }
}

describe('gradients against differences of the loss', { skip: skipWithoutShared }, () => {
  for (const [archive, architectures] of Object.entries(OTHERS))
    describe(archive, () => {
      /** @type {string} */ let folder;
      before(() => { folder = join(unpack(archive), FOLDERS[/** @type {keyof typeof FOLDERS} */ (archive)]); });
      for (const architecture of architectures)
        test(architecture, { timeout: 120_000 }, async (t) => {
          const paths = ['config.json', 'model.safetensors'].map((file) => join(folder, architecture, file));
          const reference = readSafetensors(join(folder, architecture, 'reference.safetensors')), ids = [.../** @type {Int32Array} */ (reference.input_ids.data)];
          const decoderIds = reference.decoder_input_ids && [.../** @type {Int32Array} */ (reference.decoder_input_ids.data)];
          const model = await Model.load(paths, { threads: 1 }), read = decoderIds ?? ids;
          const targets = model.info.bidirectional ? ids : [...read.slice(1), -1];
          const names = (await model.traceNames()).filter((name) => /blocks\.1\.hook_resid_pre$|blocks\.0\.(attn|cross_attn)\.(hook_pattern|hook_z)$/.test(name));
          const { loss, parameters, values } = await model.gradients(ids, { parameters: '*', values: names, targets, ...(decoderIds && { decoderIds }) });
          const direct = new Direct(await loadHeap(), readFileSync(paths[0]), readFileSync(paths[1]), { ids, decoderIds, targets });
          const base = direct.loss();
          assert.ok(Math.abs(base - loss) < 1e-5 * base, `loss ${loss}, expected ${base}`);
          // Along its gradient, both ways, so far that the loss changes by about 1/100; less far where it is bent, or where other experts are chosen.
          let worst = 0;
          const checked = (/** @type {string} */ what, /** @type {number} */ length, /** @type {(h: number) => number} */ at) => {
            const said = [];
            for (let h = Math.min(0.01 / length, 0.02), i = 0; i < 4; i++, h /= 4) {
              const found = (at(h) - at(-h)) / (2 * h), noise = (2e-7 * base) / h; // of float32 losses
              const error = Math.abs(found - length);
              said.push(found);
              if (error > 0.01 * length + noise) continue;
              if (noise < 0.01 * length) worst = Math.max(worst, error / length);
              return;
            }
            assert.fail(`${what}: gradient of length ${length}, differences say ${said.join(', ')}`);
          };
          const lengthOf = (/** @type {Float32Array} */ data) => Math.sqrt(data.reduce((sum, x) => sum + x * x, 0));
          for (const [name, { data }] of Object.entries(parameters)) {
            const length = lengthOf(data), tensor = direct.tensor(name), before = tensor.slice();
            assert.ok(Number.isFinite(length), name);
            if (length < 1e-7) continue; // what does not matter: keys' biases, experts that nobody chose
            checked(name, length, (h) => {
              tensor.forEach((_, i) => { tensor[i] = before[i] + (h * data[i]) / length; });
              const moved = direct.loss();
              tensor.set(before);
              return moved;
            });
          }
          assert.ok(names.length >= 1);
          t.diagnostic(`${Object.keys(parameters).length} tensors, the worst differs by ${(100 * worst).toFixed(2)} % of its length`);
          assert.deepEqual(Object.keys(values).sort(), names.sort());
          for (const name of names) assert.ok(lengthOf(values[name].data) > 0, name);
          await model.dispose();
        });
    });
});
