// Gradients of a loaded model's loss: by every value that has a name and by parameters, against differences; what the loss may be; the command line.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model, quantize } from '../../web/index.js';
import { readSafetensors } from '../../web/safetensors.js';
import { GGML } from '../support/gguf_write.mjs';
import { readGguf } from '../support/gguf_read.mjs';
import { randomGpt2, randomLlama } from '../support/random_gguf.mjs';
import { BUNDLED, cli, scratch } from '../support/wasm.mjs';

const files = scratch();
const SHAPE = { layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 64, base: 10000 };
const IDS = [1, 5, 250, 7, 5, 33, 2];
const TARGETS = IDS.map((_, i) => IDS[i + 1] ?? -1);

/** ln p of a token. @param {Float32Array} logits @param {number} token */
function logProb(logits, token) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  return logits[token] - most - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
}
/** @param {{logits: Float32Array, vocab: number}} run @param {number[]} targets */
function crossEntropy({ logits, vocab }, targets) {
  const rows = targets.flatMap((target, i) => (target < 0 ? [] : [-logProb(logits.subarray(i * vocab, (i + 1) * vocab), target)]));
  return rows.reduce((a, b) => a + b) / rows.length;
}
const lengthOf = (/** @type {Float32Array} */ data) => Math.sqrt(data.reduce((sum, x) => sum + x * x, 0));

/**
 * The slope along a gradient is its length. Steps are as long as the loss changes by about 1/100, or shorter where it is bent.
 * @param {string} what @param {number} length @param {(h: number) => Promise<number>} at
 */
async function checkSlope(what, length, at) {
  const said = [];
  for (let h = 0.01 / length, i = 0; i < 3; i++, h /= 4) {
    const found = ((await at(h)) - (await at(-h))) / (2 * h);
    said.push(found);
    if (Math.abs(found - length) <= 0.005 * length + 2e-6 / h) return;
  }
  assert.fail(`${what}: a gradient of length ${length}, differences say ${said.join(', ')}`);
}

/** Every named value. @param {Model} model @param {number[]} ids @param {number[]} targets @param {string[]} names */
async function checkValues(model, ids, targets, names) {
  const { loss, values, traces } = await model.gradients(ids, { targets, values: names, trace: names });
  const base = await model.run(ids, { all: true, trace: names });
  assert.ok(Math.abs(loss - crossEntropy(base, targets)) < 1e-5 * loss);
  assert.deepEqual(Object.keys(values).sort(), [...names].sort());
  for (const name of names) {
    const { shape, data } = values[name], length = lengthOf(data);
    assert.deepEqual(shape, base.traces[name].shape, name);
    assert.deepEqual(traces[name], base.traces[name], name);
    assert.ok(length > 0, name);
    await checkSlope(name, length, async (h) => crossEntropy(await model.run(ids, { all: true, patch: [{ name, kind: 'add', value: data.map((x) => (h * x) / length) }] }), targets));
  }
}

for (const [title, file] of Object.entries({ llama: randomLlama(SHAPE, GGML.F32), 'GPT-2': randomGpt2(SHAPE, GGML.F32) }))
  for (const threads of [1, 2])
    test(`${title}, threads: ${threads}: every value that has a name`, { timeout: 120_000 }, async () => {
      const model = await Model.load(file, { threads });
      const names = await model.traceNames();
      assert.ok(names.length > 30 && names.includes('blocks.1.attn.hook_pattern') && names.includes('blocks.0.hook_q_input'));
      // Queries, keys and values with inputs of their own each have a norm of their own: the common one's values are then used by nobody.
      const inputs = names.filter((name) => /hook_[qkv]_input$/.test(name)), others = names.filter((name) => !inputs.includes(name));
      await checkValues(model, IDS, TARGETS, threads === 1 ? others : others.filter((name) => /blocks\.1|hook_embed/.test(name)));
      await checkValues(model, IDS, TARGETS, inputs);
      // Each alone: nothing that is wanted beside it takes part of its gradient away.
      const whole = (await model.gradients(IDS, { values: '*' })).values;
      for (const name of ['blocks.0.hook_resid_pre', 'blocks.0.hook_attn_in', 'blocks.1.hook_mlp_in', 'blocks.1.attn.hook_k']) {
        const alone = (await model.gradients(IDS, { values: name })).values[name].data, most = lengthOf(alone);
        assert.ok(alone.some((x) => x !== 0));
        for (let i = 0; i < alone.length; i++) assert.ok(Math.abs(alone[i] - whole[name].data[i]) < 1e-5 * most, name);
      }
      await model.dispose();
    });

test('the bundled model in float32: parameters and values', { timeout: 120_000 }, async () => {
  const { bytes } = await quantize(BUNDLED, { type: 'F32' });
  const text = 'The cat sat on the mat, and the dog', model = await Model.load(bytes, { threads: 1 });
  const ids = [...model.tokenizer.encode(text, { addSpecialTokens: true }).ids], targets = ids.map((_, i) => ids[i + 1] ?? -1);
  await checkValues(model, ids, targets, ['hook_embed', 'blocks.0.hook_resid_mid', 'blocks.2.attn.hook_pattern', 'blocks.3.mlp.hook_post', 'blocks.5.hook_resid_post', 'ln_final.hook_normalized']);
  const names = ['token_embd.weight', 'output_norm.weight', 'blk.0.attn_q.weight', 'blk.2.attn_k.weight', 'blk.3.ffn_down.weight', 'blk.5.attn_norm.weight', 'blk.5.attn_output.weight'];
  const { parameters } = await model.gradients(ids, { parameters: names });
  assert.deepEqual(Object.keys(parameters).sort(), [...names].sort());
  const { tensors } = readGguf(bytes);
  for (const name of names) {
    const { dims, data } = parameters[name], stored = tensors[name].data, length = lengthOf(data), tensor = new Float32Array(stored.length / 4);
    assert.deepEqual(dims, [...tensors[name].dims].reverse(), name); // GGUF names the contiguous dimension first
    const before = stored.slice();
    await checkSlope(name, length, async (h) => {
      new Uint8Array(tensor.buffer).set(before);
      tensor.forEach((x, i) => { tensor[i] = x + (h * data[i]) / length; });
      stored.set(new Uint8Array(tensor.buffer));
      const moved = await Model.load(bytes.slice(), { threads: 1 });
      stored.set(before);
      const loss = crossEntropy(await moved.run(ids, { all: true }), targets);
      await moved.dispose();
      return loss;
    });
  }
  await model.dispose();
});

describe('what the loss may be', () => {
  /** @param {(model: Model) => Promise<void>} body */
  const onLlama = async (body) => {
    const model = await Model.load(randomLlama(SHAPE, GGML.F32), { threads: 1 });
    try {
      await body(model);
    } finally {
      await model.dispose();
    }
  };

  test('the next token by default; targets at some positions', () => onLlama(async (model) => {
    const all = { parameters: '*', values: 'blocks.1.hook_resid_pre' }, base = await model.run(IDS, { all: true });
    assert.deepEqual(await model.gradients(IDS, all), await model.gradients(IDS, { ...all, targets: TARGETS }));
    const some = [null, 7, null, -1, 9, null, 250], { loss, parameters, values } = await model.gradients(IDS, { ...all, targets: some });
    assert.ok(Math.abs(loss - crossEntropy(base, some.map((id) => id ?? -1))) < 1e-5 * loss);
    // A mean of three: the gradients are those of each target alone, a third of each.
    const alone = await Promise.all([1, 4, 6].map((i) => model.gradients(IDS, { ...all, targets: some.map((id, k) => (k === i ? id : null)) })));
    for (const [name, { data }] of Object.entries(parameters)) {
      const most = lengthOf(data);
      for (let i = 0; i < data.length; i++) assert.ok(Math.abs(data[i] - alone.reduce((sum, g) => sum + g.parameters[name].data[i], 0) / 3) < 1e-5 * most, name);
    }
    const last = alone[0].values['blocks.1.hook_resid_pre'].data;
    assert.ok(lengthOf(last.slice(0, 2 * 64)) > 0);
    assert.equal(lengthOf(last.slice(2 * 64)), 0, 'later positions do not matter');
    assert.ok(lengthOf(values['blocks.1.hook_resid_pre'].data.slice(6 * 64)) > 0);
  }));

  test('sums of logits and of log-probabilities', () => onLlama(async (model) => {
    const name = 'blocks.1.hook_resid_pre', terms = [{ position: -1, token: 17 }, { position: -1, token: 42, weight: -1 }, { position: 2, token: 17, weight: 0.5 }];
    const row = (/** @type {import('../../web/model.js').RunResult} */ { logits, vocab }, /** @type {number} */ position) => logits.subarray((position < 0 ? position + IDS.length : position) * vocab).subarray(0, vocab);
    for (const kind of /** @type {const} */ (['logits', 'logProbs'])) {
      const sum = (/** @type {import('../../web/model.js').RunResult} */ run) => terms.reduce((s, { position, token, weight = 1 }) => s + weight * (kind === 'logits' ? row(run, position)[token] : logProb(row(run, position), token)), 0);
      const { loss, values } = await model.gradients(IDS, { of: /** @type {any} */ ({ [kind]: terms }), values: name });
      assert.ok(Math.abs(loss - sum(await model.run(IDS, { all: true }))) < 1e-4, kind);
      const { data } = values[name], length = lengthOf(data);
      await checkSlope(kind, length, async (h) => sum(await model.run(IDS, { all: true, patch: [{ name, kind: 'add', value: data.map((x) => (h * x) / length) }] })));
    }
  }));

  test('computed again, the same bits', () => onLlama(async (model) => {
    const all = { parameters: '*', values: 'blocks.*' };
    assert.deepEqual(await model.gradients(IDS, { ...all, recompute: true }), await model.gradients(IDS, all));
  }));

  test('mistakes', () => onLlama(async (model) => {
    for (const [what, options, code] of /** @type {[string, any, string][]} */ ([
      ['nothing is wanted', {}, 'EMISSING'], ['an unknown option', { parameters: '*', batch: 1 }, 'EUNKNOWN'], ['no such parameter', { parameters: ['*', 'blk.9.*'] }, 'EUNKNOWN'], ['no such value', { values: 'blocks.9.*' }, 'EUNKNOWN'],
      ['a target outside', { parameters: '*', targets: [1, 2, 3, 4, 5, 6, 300] }, 'ERANGE'], ['too few targets', { parameters: '*', targets: [1] }, 'ERANGE'], ['no targets', { parameters: '*', targets: IDS.map(() => null) }, 'ERANGE'],
      ['no terms', { parameters: '*', of: { logits: [] } }, 'ERANGE'], ['both', { parameters: '*', of: { logits: [{ position: 0, token: 0 }] }, targets: IDS }, 'ERANGE'], ['a position outside', { parameters: '*', of: { logits: [{ position: 7, token: 0 }] } }, 'ERANGE'],
      ['a token outside', { parameters: '*', of: { logProbs: [{ position: 0, token: 300 }] } }, 'ERANGE'], ['a decoder', { parameters: '*', decoderIds: [1] }, 'ESTATE']]))
      await assert.rejects(model.gradients(IDS, options), { code }, what);
    await assert.rejects(model.gradients([], { parameters: '*' }), { code: 'ERANGE' });
    await assert.rejects(model.gradients([300], { parameters: '*' }), { code: 'ERANGE' });
    assert.equal((await model.gradients([1, 2], { parameters: 'output_norm.weight' })).parameters['output_norm.weight'].data.length, 64);
  }));

  test('can be stopped', () => onLlama(async (model) => {
    const ids = Array.from({ length: 2000 }, (_, i) => (i * 7) % 300), controller = new AbortController(), started = performance.now();
    const stopped = model.gradients(ids, { parameters: '*', signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await assert.rejects(stopped, { name: 'AbortError' });
    assert.ok(performance.now() - started < 30_000);
    assert.ok((await model.gradients(IDS, { parameters: '*' })).loss > 0);
  }));
});

test('quantised weights: the gradients are nearly those of the same numbers in float32', { timeout: 60_000 }, async () => {
  for (const type of [GGML.F16, GGML.Q8_0, GGML.Q4_0]) {
    const file = randomLlama(SHAPE, type), { bytes } = await quantize(file, { type: 'F32' });
    const [ours, plain] = await Promise.all([file, bytes].map(async (source) => {
      const model = await Model.load(source, { threads: 1 }), found = await model.gradients(IDS, { parameters: '*', values: 'blocks.1.hook_resid_pre' });
      await model.dispose();
      return found;
    }));
    assert.deepEqual(Object.keys(ours.parameters).sort(), Object.keys(plain.parameters).sort());
    for (const [name, { data }] of [...Object.entries(ours.parameters), ...Object.entries(ours.values)]) {
      const other = (plain.parameters[name] ?? plain.values[name]).data, cosine = data.reduce((sum, x, i) => sum + x * other[i], 0) / lengthOf(data) / lengthOf(other);
      assert.ok(cosine > 0.99, `${name}: ${cosine}`); // activations are rounded to 8 bits before quantised weights
    }
  }
});

test('the command line', { timeout: 60_000 }, async () => {
  const file = files.write('llama.gguf', randomLlama(SHAPE, GGML.F32)), model = await Model.load(file, { threads: 1 }), out = join(files.folder, 'gradients.safetensors');
  const run = async (/** @type {string[]} */ ...args) => { const r = await cli(['grad', file, '--ids', IDS.join(), '--threads', '1', ...args]); assert.equal(r.stderr, ''); return r.stdout; };
  const plain = (/** @type {any} */ x) => JSON.parse(JSON.stringify(x, (_, y) => (ArrayBuffer.isView(y) ? [.../** @type {any} */ (y)] : y)));
  const { traces, ...expected } = await model.gradients(IDS, { parameters: 'blk.1.*', values: ['blocks.1.hook_resid_pre', 'hook_embed'] });
  assert.deepEqual(traces, {});
  assert.deepEqual(JSON.parse(await run('--parameters', 'blk.1.*', '--values', 'blocks.1.hook_resid_pre', '--values', 'hook_embed', '--json')), { ids: IDS, ...plain(expected) });
  const all = await model.gradients(IDS, { parameters: '*', targets: [null, 3, null, null, null, 4, null] });
  assert.match(await run('--targets', '-,3,-,-,-,4,-', '--recompute', '--out', out), new RegExp(`^loss ${all.loss}\n(.+ \\[.+\\]  length .+  -> .+\n)+$`));
  const stored = readSafetensors(readFileSync(out));
  assert.deepEqual({ ...stored.tensors }, all.parameters);
  assert.deepEqual(stored.metadata, { loss: String(all.loss) });
  const of = await model.gradients(IDS, { of: { logProbs: [{ position: -1, token: 3, weight: -2 }] }, values: 'hook_embed' });
  assert.deepEqual(JSON.parse(await run('--log-prob', '-1:3:-2', '--values', 'hook_embed', '--json')), { ids: IDS, loss: of.loss, parameters: {}, values: plain(of.values) });
  await model.dispose();
  for (const [args, pattern] of /** @type {[string[], RegExp][]} */ ([[['--targets', '1,x'], /neither a token id nor "-"/], [['--logit', '3'], /not POSITION:TOKEN/], [['--logit', '1:2', '--targets', '1'], /exclude each other/], [['--out', 'x.npy'], /does not end in \.safetensors/]])) {
    const wrong = await cli(['grad', file, '--ids', '1,2', ...args]);
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, pattern);
  }
});
