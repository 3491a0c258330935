// Pooled embeddings, masked-language predictions and segments, on the tiny models of the architecture archive: against the traced values that they are made of.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../../web/index.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { readSafetensors } from '../support/safetensors_read.mjs';
import { skipWithoutShared, unpack } from '../support/shared.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const files = scratch();
const ids = [5, 9, 2, 7, 1, 30, 4, 11];
/** @param {Float32Array} rows @param {number} width @param {'mean' | 'cls' | 'last'} pooling */
function pooled(rows, width, pooling) {
  const n = rows.length / width, out = new Float64Array(width);
  for (let t = pooling === 'last' ? n - 1 : 0; t < (pooling === 'cls' ? 1 : n); t++) for (let d = 0; d < width; d++) out[d] += rows[t * width + d] / (pooling === 'mean' ? n : 1);
  return out;
}
/** @param {ArrayLike<number>} got @param {ArrayLike<number>} want @param {string} what @param {number} [tolerance] */
function near(got, want, what, tolerance = 1e-6) {
  assert.equal(got.length, want.length, what);
  const scale = Math.max(...Array.from(want, Math.abs));
  for (let i = 0; i < want.length; i++) assert.ok(Math.abs(got[i] - want[i]) <= tolerance * scale, `${what}: ${i}: ${got[i]}, expected ${want[i]}`);
}

test('a decoder: the last token by default, after the final norm', async () => {
  const model = await Model.load(files.write('random.gguf', randomLlama({ layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 64, base: 10000 }, GGML.F32)), { threads: 1 });
  const name = 'ln_final.hook_normalized', { data } = (await model.run(ids, { trace: name, all: true })).traces[name];
  for (const pooling of /** @type {const} */ (['mean', 'cls', 'last'])) near((await model.embed(ids, { pooling, normalize: false })).data, pooled(data, 64, pooling), pooling);
  const unit = (await model.embed(ids)).data, last = pooled(data, 64, 'last'), length = Math.hypot(...last);
  near(unit, last.map((x) => x / length), 'of length 1');
  assert.deepEqual(await model.embed([]), { shape: [0, 0], data: new Float32Array(0) });
  await assert.rejects(model.embed([[1], []]), { code: 'ERANGE' });
  await assert.rejects(model.embed(ids, { pooling: /** @type {any} */ ('max') }), { code: 'EUNKNOWN' });
  await assert.rejects(model.fillMask(ids, { mask: 5 }), { code: 'ESTATE', message: /left to right/ });
  await assert.rejects(model.run(ids, { typeIds: ids.map(() => 1) }), { code: 'ERANGE' });
  await model.dispose();
});

describe('encoders', { skip: skipWithoutShared }, () => {
  /** @type {string} */ let folder;
  before(() => { folder = join(unpack('architectures.tar.xz'), 'hf_public'); });
  const load = (/** @type {string} */ name) => Model.load(['config.json', 'model.safetensors'].map((file) => join(folder, name, file)), { threads: 1 });

  for (const name of ['bert', 'roberta', 'albert', 'modernbert', 't5'])
    test(`${name}: pooled hidden states`, async () => {
      const model = await load(name), known = await model.traceNames(), scope = name === 't5' ? 'encoder.' : '';
      const hidden = known.includes(`${scope}ln_final.hook_normalized`) ? `${scope}ln_final.hook_normalized` : `${scope}blocks.${(model.info.encoderLayers ?? model.info.layers) - 1}.hook_resid_post`;
      const { data } = (await model.run(ids, { trace: hidden, all: true })).traces[hidden];
      for (const pooling of /** @type {const} */ (['mean', 'cls', 'last'])) near((await model.embed(ids, { pooling, normalize: false })).data, pooled(data, model.info.width, pooling), pooling);
      const both = await model.embed([ids, [3, 4]]);
      assert.deepEqual(both.data.slice(0, model.info.width), (await model.embed(ids)).data);
      await model.dispose();
    });

  test('texts longer than one part are read as a whole', async () => {
    const model = await load('modernbert'), long = Array.from({ length: 200 }, (_, i) => (i * 7) % 50);
    const { logits } = await model.run(long);
    const { logits: all, vocab } = await model.run(long, { all: true });
    assert.deepEqual(logits, all.slice(199 * vocab));
    await model.dispose();
  });

  test('segments: what they add to an embedding', async () => {
    const model = await load('bert'), typeIds = [0, 0, 1, 1, 0, 1, 1, 1];
    assert.equal(model.info.segments, 2);
    const tensors = readSafetensors(join(folder, 'bert', 'model.safetensors'));
    const table = /** @type {Float32Array} */ (Object.entries(tensors).find(([key]) => key.endsWith('token_type_embeddings.weight'))?.[1].data), width = model.info.width;
    const difference = Float32Array.from({ length: width }, (_, d) => table[width + d] - table[d]);
    const patch = typeIds.flatMap((type, t) => (type ? [{ name: 'hook_embed', kind: /** @type {const} */ ('add'), offset: t * width, value: difference }] : []));
    near((await model.run(ids, { typeIds, all: true })).logits, (await model.run(ids, { patch, all: true })).logits, 'logits', 1e-5);
    assert.deepEqual((await model.run(ids, { typeIds: ids.map(() => 0) })).logits, (await model.run(ids)).logits);
    await assert.rejects(model.run(ids, { typeIds: [2, ...typeIds.slice(1)] }), { code: 'ERANGE', message: /segment 2/ });
    await assert.rejects(model.run(ids, { typeIds: [1] }), { code: 'ERANGE' });
    const viaCli = JSON.parse((await cli(['logits', '--model', join(folder, 'bert'), '--ids', ids.join(), '--type-ids', typeIds.join(), '--json', '--threads', '1'])).stdout);
    assert.deepEqual(viaCli.logits, [...(await model.run(ids, { typeIds })).logits]);
    await model.dispose();
  });

  test('fill-mask: softmax at the places of the mask', async () => {
    const model = await load('roberta'), text = [5, 9, 2, 7, 9, 30];
    const { logits, vocab } = await model.run(text, { all: true });
    const got = await model.fillMask(text, { mask: 9, top: 3 });
    assert.deepEqual(got.map(({ position }) => position), [1, 4]);
    for (const { position, tokens } of got) {
      const row = logits.slice(position * vocab, (position + 1) * vocab), most = Math.max(...row), total = row.reduce((s, x) => s + Math.exp(x - most), 0);
      const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 3);
      assert.deepEqual(tokens.map(({ id }) => id), order);
      tokens.forEach(({ id, probability }) => assert.ok(Math.abs(probability - Math.exp(row[id] - most) / total) < 1e-6));
    }
    await assert.rejects(model.fillMask([5, 6], { mask: 9 }), { code: 'EMISSING', message: /no mask token/ });
    const shown = JSON.parse((await cli(['fill-mask', join(folder, 'roberta'), '--ids', text.join(), '--mask', '9', '--top', '3', '--json', '--threads', '1'])).stdout);
    assert.deepEqual(shown, { masks: got });
    await model.dispose();
  });

  test('a folder with its tokenizer takes texts', async () => {
    // The tiny BERT with a vocabulary of words: [MASK] is found by its name.
    const own = join(files.folder, 'bert');
    mkdirSync(own);
    for (const file of ['config.json', 'model.safetensors']) copyFileSync(join(folder, 'bert', file), join(own, file));
    const { vocab_size: size } = JSON.parse(readFileSync(join(own, 'config.json'), 'utf8'));
    const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'the', 'fox', 'ran', 'home'];
    writeFileSync(join(own, 'vocab.txt'), `${[...words, ...Array.from({ length: size - words.length }, (_, i) => `w${i}`)].join('\n')}\n`);
    const model = await Model.load(['config.json', 'vocab.txt', 'model.safetensors'].map((file) => join(own, file)), { threads: 1 });
    assert.deepEqual([...model.tokenizer.encode('the [MASK] ran home', { addSpecialTokens: true }).ids], [2, 5, 4, 7, 8, 3]);
    const [{ position, tokens }] = await model.fillMask('the [MASK] ran home', { top: 2 });
    assert.equal(position, 2);
    assert.equal(tokens[0].token, model.tokenizer.tokenPiece(tokens[0].id));
    assert.deepEqual(await model.embed('the fox'), await model.embed([2, 5, 6, 3]));
    await model.dispose();
    assert.match((await cli(['fill-mask', own, '--text', 'the [MASK] ran', '--threads', '1'])).stdout, /^token 2:\n +\d+ 0\.\d+ {2}\S+\n/);
    // A definition that is none costs only the texts.
    writeFileSync(join(own, 'tokenizer.json'), '{}');
    const bare = await Model.load(['config.json', 'tokenizer.json', 'model.safetensors'].map((file) => join(own, file)), { threads: 1 });
    assert.equal((await bare.run([2, 5, 3])).vocab, size);
    assert.throws(() => bare.tokenizer, { name: 'MicrotomeError' });
    await bare.dispose();
  });
});

test('half of a head is an error, none is a model for embeddings', { skip: skipWithoutShared }, async () => {
  const folder = join(unpack('architectures.tar.xz'), 'hf_public', 'bert');
  const bytes = readFileSync(join(folder, 'model.safetensors'));
  const headerBytes = Number(bytes.readBigUInt64LE(0)), header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString());
  /** @param {(name: string) => boolean} keep */
  const without = (keep) => {
    /** @type {Record<string, any>} */ const out = {};
    const parts = [];
    let at = 0;
    for (const [name, entry] of Object.entries(header)) {
      if (name === '__metadata__' || !keep(name)) continue;
      const [from, to] = entry.data_offsets;
      out[name] = { ...entry, data_offsets: [at, (at += to - from)] };
      parts.push(bytes.subarray(8 + headerBytes + from, 8 + headerBytes + to));
    }
    const text = Buffer.from(JSON.stringify(out)), size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    return new Uint8Array(Buffer.concat([size, text, ...parts]));
  };
  const config = new Uint8Array(readFileSync(join(folder, 'config.json')));
  const bare = await Model.load([config, without((name) => !name.startsWith('cls.'))], { threads: 1 }), whole = await Model.load([config, new Uint8Array(bytes)], { threads: 1 });
  assert.equal(bare.info.headless, true);
  assert.equal(whole.info.headless, undefined);
  assert.deepEqual(await bare.embed(ids), await whole.embed(ids));
  await assert.rejects(bare.run(ids), { code: 'EMISSING' });
  assert.ok(!(await bare.traceNames()).includes('logits'));
  await assert.rejects(Model.load([config, without((name) => name !== 'cls.predictions.transform.dense.weight')], { threads: 1 }), { code: 'EMISSING', message: /transform\.dense\.weight/ });
  await bare.dispose();
  await whole.dispose();
});
