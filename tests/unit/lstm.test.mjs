// LSTM and GRU language models from GGUF files and hub folders, against float64 equations (tests/support/lstm_reference.mjs): logits, traces of
// every part, patches that act on later tokens, generation.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Model } from '../../web/index.js';
import { GGML, f32, u32, writeGguf } from '../support/gguf_write.mjs';
import { runReference } from '../support/lstm_reference.mjs';
import { engines } from '../support/wasm.mjs';
import { writeSafetensors } from '../support/safetensors_write.mjs';

const V = 23;
const IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 22, 0, 7];

/** Normal numbers, the same ones every time. @param {number} seed */
function normal(seed) {
  let s = seed >>> 0;
  const uniform = () => { s = (Math.imul(s, 1664525) + 1013904223) >>> 0; return (s + 0.5) / 2 ** 32; };
  return (/** @type {number} */ n, scale = 0.5, centre = 0) => Float32Array.from({ length: n }, () => centre + scale * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

/** @param {'lstm' | 'gru'} kind @param {{seed?: number, E?: number, widths?: number[], biases?: string, projection?: number, tied?: boolean, norm?: 'rms' | 'layer', outputBias?: boolean}} shape */
function make(kind, { seed = 1, E = 12, widths = [20, 20], biases = 'both', projection = 0, tied = false, norm, outputBias = true }) {
  const next = normal(seed);
  const gates = kind === 'lstm' ? 4 : 3;
  /** @type {any} */ const model = { kind, embedWidth: E, embedding: next(V * E, 1), cells: [] };
  let from = E;
  for (const H of widths) {
    model.cells.push({ width: H, ih: next(gates * H * from, 0.4), hh: next(gates * H * H, 0.3), ...(biases !== 'none' && { bih: next(gates * H) }), ...(biases === 'both' && { bhh: next(gates * H) }) });
    from = H;
  }
  if (norm) model.norm = { gain: next(from, 0.2, 1), eps: Math.fround(1e-5), ...(norm === 'layer' && { bias: next(from) }) };
  if (projection) model.projection = { weight: next(projection * from), bias: next(projection) };
  if (!tied) model.output = next(V * (projection || from));
  if (outputBias) model.outputBias = next(V);
  return model;
}

/** @param {any} model @param {{listed?: boolean}} [how] */
function toGguf(model, { listed = false } = {}) {
  const { kind, cells } = model;
  /** @type {any[]} */ const tensors = [];
  const put = (/** @type {string} */ name, /** @type {Float32Array | undefined} */ values, /** @type {number} */ cols) => {
    if (values) tensors.push({ name, dims: values.length === cols ? [cols] : [cols, values.length / cols], type: GGML.F32, data: new Uint8Array(values.buffer) });
  };
  put('token_embd.weight', model.embedding, model.embedWidth);
  let from = model.embedWidth;
  cells.forEach((/** @type {any} */ cell, /** @type {number} */ l) => {
    put(`blk.${l}.${kind}_ih.weight`, cell.ih, from);
    put(`blk.${l}.${kind}_hh.weight`, cell.hh, cell.width);
    put(`blk.${l}.${kind}_ih.bias`, cell.bih, cell.bih?.length);
    put(`blk.${l}.${kind}_hh.bias`, cell.bhh, cell.bhh?.length);
    from = cell.width;
  });
  put('output_norm.weight', model.norm?.gain, from);
  put('output_norm.bias', model.norm?.bias, from);
  put('embed_out.weight', model.projection?.weight, from);
  put('embed_out.bias', model.projection?.bias, model.projection?.bias.length);
  put('output.weight', model.output, model.projection?.bias.length ?? from);
  put('output.bias', model.outputBias, V);
  return writeGguf({
    metadata: {
      'general.architecture': kind, [`${kind}.block_count`]: u32(cells.length), [`${kind}.embedding_length`]: u32(model.embedWidth),
      [`${kind}.hidden_length`]: listed ? cells.map((/** @type {any} */ c) => u32(c.width)) : u32(from), [`${kind}.vocab_size`]: u32(V), [`${kind}.context_length`]: u32(64),
      [`${kind}.attention.layer_norm_epsilon`]: f32(1e-5), ...(model.projection && { [`${kind}.projection_length`]: u32(model.projection.bias.length) }),
    },
    tensors,
  });
}

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} want @param {string} what */
function close(got, want, what) {
  assert.equal(got.length, want.length, `${what}: length`);
  let scale = 1e-3;
  for (let i = 0; i < want.length; i++) scale = Math.max(scale, Math.abs(want[i]));
  for (let i = 0; i < want.length; i++) assert.ok(Math.abs(got[i] - want[i]) <= 2e-6 * scale, `${what}: value ${i} is ${got[i]}, expected ${want[i]}`);
}

/** @param {Float64Array[]} rows */
const flat = (rows) => Float64Array.from(rows.flatMap((row) => [...row]));

const SHAPES = /** @type {const} */ ([
  ['two layers', {}],
  ['one layer, no biases', { widths: [24], biases: 'none', outputBias: false }],
  ['one bias for each gate', { biases: 'ih' }],
  ['tied to the embedding', { E: 20, tied: true }],
  ['a projection to the tied embedding, layers of different widths', { E: 12, widths: [28, 16, 20], projection: 12, tied: true }],
  ['RMS norm', { norm: 'rms' }],
  ['layer norm', { norm: 'layer', widths: [33] }],
]);

for (const kind of /** @type {const} */ (['lstm', 'gru']))
  describe(kind, () => {
    for (const [name, shape] of SHAPES)
      test(name, async () => {
        const reference = make(kind, /** @type {any} */ (shape));
        const model = await Model.load(toGguf(reference, { listed: name.includes('different') }), { threads: 1 });
        const { logits } = await model.run(IDS, { all: true });
        close(logits, flat(runReference(reference, IDS)), 'logits');
        await model.dispose();
      });

    for (const { name, options } of engines())
      test(`${name}: traces and patches`, async () => {
        const reference = make(kind, { seed: 5 });
        const model = await Model.load(toGguf(reference), options);
        const inner = kind === 'lstm' ? 'hook_cell' : 'hook_candidate';
        const hook = { gates: 'hook_gates', cell: inner, hidden: 'hook_hidden' };
        const names = await model.traceNames();
        for (const part of ['hook_in', 'hook_gates', inner, 'hook_hidden']) assert.ok(names.includes(`blocks.1.${kind}.${part}`), part);
        const seen = /** @type {Record<string, number[]>} */ ({});
        const want = runReference(reference, IDS, (what, l, _, value) => what !== 'open' && (seen[`blocks.${l}.${kind}.${hook[/** @type {keyof typeof hook} */ (what)]}`] ??= []).push(...value));
        const run = await model.run(IDS, { all: true, trace: Object.keys(seen) });
        close(run.logits, flat(want), 'logits');
        for (const [at, values] of Object.entries(seen)) close(run.traces[at].data, values, at);
        // A patch at token 4 changes what comes after it.
        for (const [what, part] of Object.entries(hook)) {
          const width = kind === 'lstm' && what === 'gates' ? 80 : what === 'gates' ? 60 : 20;
          const patched = await model.run(IDS, { all: true, patch: [{ name: `blocks.0.${kind}.${part}`, kind: 'replace', offset: 4 * width + 3, value: [0.25, -0.5] }] });
          const changed = runReference(reference, IDS, (w, l, t, value) => { if ((w === 'open' ? 'gates' : w) === what && l === 0 && t === 4) value.set([0.25, -0.5], 3); });
          close(patched.logits, flat(changed), `patch of ${part}`);
          const later = Math.max(...want[5].map((x, i) => Math.abs(patched.logits[V * 5 + i] - x)));
          assert.ok(later > 1e-4, `patch of ${part}: one token later logits differ by ${later}`);
        }
        await model.dispose();
      });

    test('greedy generation follows the equations', async () => {
      const reference = make(kind, { seed: 9 });
      const model = await Model.load(toGguf(reference), { threads: 1 });
      const ids = [...IDS];
      const { ids: got } = await model.greedy(IDS, { maxTokens: 20, stop: [] });
      for (let i = 0; i < 20; i++) {
        const last = /** @type {Float64Array} */ (runReference(reference, ids).at(-1));
        ids.push(last.indexOf(Math.max(...last)));
      }
      assert.deepEqual([...got], ids.slice(IDS.length));
      await model.dispose();
    });

    test('a PyTorch state_dict in a hub folder', async () => {
      const reference = make(kind, { seed: 3 });
      /** @type {Record<string, {shape: number[], values: Float32Array}>} */ const tensors = { 'embedding.weight': { shape: [V, 12], values: reference.embedding } };
      reference.cells.forEach((/** @type {any} */ c, /** @type {number} */ l) => {
        const rows = c.bih.length;
        tensors[`${kind}.weight_ih_l${l}`] = { shape: [rows, c.ih.length / rows], values: c.ih };
        tensors[`${kind}.weight_hh_l${l}`] = { shape: [rows, 20], values: c.hh };
        tensors[`${kind}.bias_ih_l${l}`] = { shape: [rows], values: c.bih };
        tensors[`${kind}.bias_hh_l${l}`] = { shape: [rows], values: c.bhh };
      });
      tensors['decoder.weight'] = { shape: [V, 20], values: reference.output };
      tensors['decoder.bias'] = { shape: [V], values: reference.outputBias };
      const config = new TextEncoder().encode(JSON.stringify({ model_type: kind, vocab_size: V, embedding_size: 12, hidden_size: 20, num_layers: 2 }));
      const model = await Model.load([new File([config], 'config.json'), new File([writeSafetensors(tensors)], 'model.safetensors')], { threads: 1 });
      close((await model.run(IDS, { all: true })).logits, flat(runReference(reference, IDS)), 'logits');
      await model.dispose();
    });
  });

test('files that do not fit are refused', async () => {
  const tied = make('lstm', { E: 12, tied: true });
  await assert.rejects(Model.load(toGguf(tied), { threads: 1 }), (/** @type {any} */ e) => e.code === 'ERANGE' && /output/.test(e.message));
  const broken = make('gru', {});
  broken.cells[1].hh = broken.cells[1].hh.slice(0, 400);
  await assert.rejects(Model.load(toGguf(broken), { threads: 1 }), (/** @type {any} */ e) => e.code === 'EFORMAT' && /gru_hh/.test(e.message));
});
