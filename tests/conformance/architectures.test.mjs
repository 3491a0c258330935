// Tiny random models of each architecture that we have, as hubs keep them, against Hugging Face transformers: logits of all positions, greedy
// tokens, hidden states and attention patterns by name.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Model } from '../../web/index.js';
import { readSafetensors } from '../support/safetensors_read.mjs';
import { skipWithoutShared, unpack } from '../support/shared.mjs';
import { engines } from '../support/wasm.mjs';

const EXPECTED = ['gpt2', 'llama', 'llama3_rope', 'mistral'];
const TOLERANCE = 1e-4; // of the largest value, as the reference's notes ask of a float32 engine

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} want @param {string} what */
function close(got, want, what) {
  assert.equal(got.length, want.length, `${what}: length`);
  let scale = 0;
  for (let i = 0; i < want.length; i++) scale = Math.max(scale, Math.abs(want[i]));
  for (let i = 0; i < want.length; i++) assert.ok(Math.abs(got[i] - want[i]) <= TOLERANCE * scale, `${what}: value ${i} is ${got[i]}, expected ${want[i]} (largest ${scale})`);
}

describe('architectures', { skip: skipWithoutShared }, () => {
  /** @type {string} */ let folder;
  before(() => { folder = join(unpack('architectures.tar.xz'), 'hf_public'); });

  for (const architecture of EXPECTED)
    for (const { name, options } of engines())
      test(`${architecture}, ${name}`, { timeout: 60_000 }, async () => {
        const files = ['config.json', 'model.safetensors'].map((file) => join(folder, architecture, file));
        const reference = readSafetensors(join(folder, architecture, 'reference.safetensors'));
        const ids = [.../** @type {Int32Array} */ (reference.input_ids.data)];
        const model = await Model.load(files, options);
        try {
          const { logits } = await model.run(ids, { all: true });
          close(logits, /** @type {Float32Array} */ (reference.logits.data), 'logits');
          const greedy = [.../** @type {Int32Array} */ (reference.greedy.data)];
          const more = await model.greedy(ids, { maxTokens: greedy.length - ids.length, stop: [] });
          assert.deepEqual([...ids, ...more.ids], greedy);

          const traced = await model.run(ids, { all: true, trace: ['blocks.*.hook_resid_pre', 'blocks.*.attn.hook_pattern'] });
          close(traced.logits, /** @type {Float32Array} */ (reference.logits.data), 'logits while tracing');
          for (let layer = 0; layer < model.info.layers; layer++) {
            close(traced.traces[`blocks.${layer}.hook_resid_pre`].data, /** @type {Float32Array} */ (reference[`hidden.${layer}`].data), `hidden state ${layer}`);
            const pattern = traced.traces[`blocks.${layer}.attn.hook_pattern`];
            assert.deepEqual(pattern.shape, reference[`attn.${layer}`].shape.slice(1));
            close(pattern.data, /** @type {Float32Array} */ (reference[`attn.${layer}`].data), `attention pattern ${layer}`);
          }
        } finally {
          await model.dispose();
        }
      });
});
