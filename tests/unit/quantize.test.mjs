// `quantize`: which type each tensor gets, values within what float64 arithmetic says of the type, files that other readers of GGUF accept, every kind of
// input and output, failures.
import { describe, test } from 'node:test';
import { gguf } from '@huggingface/gguf';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Model, QUANTIZE_TYPES, quantize } from '../../web/index.js';
import { BLOCKS, readGguf, tensorValues } from '../support/gguf_read.mjs';
import { GGML, u32, writeGguf } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const NUMBER = { F32: 0, F16: 1, BF16: 30, Q8_0: 8, Q4_0: 2, Q4_1: 3, Q5_0: 6, Q5_1: 7, Q4_K: 12, Q5_K: 13, Q6_K: 14 };
const SHAPE = { layers: 2, width: 256, heads: 4, kvHeads: 2, ffn: 512, vocab: 320, context: 64, base: 10000 };
const FILE = randomLlama(SHAPE, GGML.F32, 7);
const ORIGINAL = readGguf(FILE);
const IDS = [1, 5, 300, 7, 42, 8];

/** Root of the mean squared error over that of the values. @param {ArrayLike<number>} got @param {ArrayLike<number>} want */
function relativeError(got, want) {
  let error = 0, power = 0;
  for (let i = 0; i < want.length; i++) { error += (got[i] - want[i]) ** 2; power += want[i] ** 2; }
  return Math.sqrt(error / power);
}

/** Nearest half float, ties to even, as a number. @param {number} x */
function toHalf(x) {
  const a = Math.abs(x);
  if (a < 2 ** -25) return 0;
  const step = 2 ** (Math.max(-14, Math.floor(Math.log2(a))) - 10);
  const q = a / step, low = Math.floor(q), rest = q - low;
  return Math.sign(x) * (low + (rest > 0.5 || (rest === 0.5 && low % 2) ? 1 : 0)) * step;
}

describe('types', () => {
  for (const type of QUANTIZE_TYPES)
    test(type, async () => {
      const { bytes, tensors, size, architecture } = await quantize(FILE, { type });
      assert.equal(size, bytes?.length);
      assert.equal(architecture, 'llama');
      const file = readGguf(/** @type {Uint8Array} */ (bytes));
      assert.deepEqual(file.order, ORIGINAL.order);
      for (const t of tensors) {
        const { dims, data, type: number } = file.tensors[t.name];
        assert.deepEqual(dims, ORIGINAL.tensors[t.name].dims);
        assert.deepEqual([number, data.length, t.from], [NUMBER[/** @type {'F32'} */ (t.type)], t.bytes, 'F32']);
        assert.equal(t.type, dims.length > 1 ? type : 'F32', t.name);
        if (dims.length === 1) assert.deepEqual(data, ORIGINAL.tensors[t.name].data);
      }
      const { 'general.file_type': fileType, 'general.quantization_version': version, ...rest } = file.metadata;
      const { 'general.file_type': _, ...before } = ORIGINAL.metadata;
      assert.deepEqual(rest, before);
      assert.deepEqual([fileType, version], [{ F32: 0, F16: 1, BF16: 32, Q8_0: 7, Q4_0: 2, Q4_1: 3, Q5_0: 8, Q5_1: 9, Q4_K: 14, Q5_K: 16, Q6_K: 18 }[type], 2]);
      // Values as the package decodes them: back to F32. Uniform random numbers are hard on 4 bits.
      const back = readGguf(/** @type {Uint8Array} */ ((await quantize(/** @type {Uint8Array} */ (bytes), { type: 'F32' })).bytes));
      const limit = { F32: 0, F16: 3e-4, BF16: 2.5e-3, Q8_0: 4.5e-3, Q4_0: 0.072, Q4_1: 0.066, Q5_0: 0.036, Q5_1: 0.033, Q4_K: 0.064, Q5_K: 0.033, Q6_K: 0.016 }[type];
      for (const name of ['token_embd.weight', 'blk.1.ffn_down.weight']) {
        const error = relativeError(tensorValues(back.tensors[name]), tensorValues(ORIGINAL.tensors[name]));
        assert.ok(error <= limit, `${name}: relative error ${error}`);
        if ([0, 1, 30, 8, 2, 3].includes(file.tensors[name].type)) // the test's own decoder agrees
          assert.ok(relativeError(tensorValues(file.tensors[name]), tensorValues(back.tensors[name])) < 1e-7);
      }
    });

  test('Q8_0 is within what float64 arithmetic says', async () => {
    const file = readGguf(/** @type {Uint8Array} */ ((await quantize(FILE, { type: 'Q8_0' })).bytes));
    for (const name of file.order) {
      if (file.tensors[name].type !== 8) continue;
      const want = tensorValues(ORIGINAL.tensors[name]), got = tensorValues(file.tensors[name]);
      for (let b = 0; b < want.length; b += 32) {
        const d = Math.max(...want.subarray(b, b + 32).map(Math.abs)) / 127, stored = toHalf(Math.fround(d));
        for (let i = b; i < b + 32; i++) {
          const q = got[i] / stored;
          assert.ok(Math.abs(q - Math.round(q)) < 1e-9 && Math.abs(q) <= 127, `${name}[${i}]: ${q} steps`);
          assert.ok(Math.abs(q - want[i] / d) <= 0.5 + 1e-4, `${name}[${i}]: ${q} steps for ${want[i] / d}`);
          assert.ok(Math.abs(got[i] - want[i]) <= d / 2 + 127 * Math.abs(stored - d) + 1e-12, `${name}[${i}]`);
        }
      }
    }
  });

  test('the engine runs them; logits are as near as the type allows', async () => {
    const logitsOf = async (/** @type {Uint8Array} */ bytes) => {
      const model = await Model.load(bytes, { threads: 1 });
      try {
        return (await model.run(IDS, { all: true })).logits;
      } finally {
        await model.dispose();
      }
    };
    const want = await logitsOf(FILE);
    for (const [type, limit] of /** @type {const} */ ([['F32', 0], ['F16', 2e-3], ['BF16', 1.5e-2], ['Q8_0', 3e-2], ['Q6_K', 0.08], ['Q4_K', 0.3]])) {
      const error = relativeError(await logitsOf(/** @type {Uint8Array} */ ((await quantize(FILE, { type })).bytes)), want);
      assert.ok(error <= limit, `${type}: ${error}`);
    }
  });
});

describe('choices', () => {
  const f32 = (/** @type {number} */ n, seed = 1) => new Uint8Array(Float32Array.from({ length: n }, (_, i) => Math.sin(seed + i)).buffer);
  const tensor = (/** @type {string} */ name, /** @type {number[]} */ dims) => ({ name, dims, type: GGML.F32, data: f32(dims.reduce((a, b) => a * b, 1)) });
  // An architecture that nobody has: a GGUF is converted without knowing what it is for.
  const odd = writeGguf({
    metadata: { 'general.architecture': 'unheard-of', 'unheard-of.list': ['a', 'ä'], 'general.alignment': u32(64), 'general.file_type': u32(0), flag: true },
    tensors: [tensor('a.weight', [256, 4]), tensor('b.weight', [96, 3]), tensor('c.weight', [40, 3]), tensor('blk.0.ffn_gate_inp.weight', [256, 4]), tensor('position_embd.weight', [256, 4]),
      tensor('x_norm.weight', [256, 2]), tensor('vector.weight', [256]), tensor('a.bias', [256, 1]), tensor('three.weight', [256, 2, 3])],
    alignment: 64,
  });

  test('norms, routers, positions and vectors stay F32; odd rows fall back', async () => {
    for (const [type, odder, oddest] of /** @type {const} */ ([['Q4_K', 'Q5_0', 'F16'], ['Q5_K', 'Q5_1', 'F16'], ['Q6_K', 'Q8_0', 'F16'], ['Q8_0', 'Q8_0', 'F16'], ['Q4_0', 'Q4_0', 'F16'], ['F16', 'F16', 'F16']])) {
      const { bytes, tensors } = await quantize(odd, { type });
      const types = Object.fromEntries(tensors.map((t) => [t.name, t.type]));
      assert.deepEqual(types, { 'a.weight': type, 'b.weight': odder, 'c.weight': oddest, 'blk.0.ffn_gate_inp.weight': 'F32', 'position_embd.weight': 'F32', 'x_norm.weight': 'F32', 'vector.weight': 'F32', 'a.bias': 'F32', 'three.weight': type });
      const file = readGguf(/** @type {Uint8Array} */ (bytes));
      assert.deepEqual([file.metadata['unheard-of.list'], file.metadata.flag, file.metadata['general.alignment']], [['a', 'ä'], true, undefined]);
    }
  });

  test('keep', async () => {
    const { tensors } = await quantize(odd, { type: 'Q8_0', keep: ['a.*', 'thr?e.weight'] });
    assert.deepEqual(tensors.filter((t) => t.type === 'Q8_0').map((t) => t.name), ['b.weight']);
    await assert.rejects(quantize(odd, { keep: /** @type {any} */ ('a') }), { code: 'ERANGE' });
  });

  test('what is quantised already is read in its own type', async () => {
    const small = /** @type {Uint8Array} */ ((await quantize(FILE, { type: 'Q4_K' })).bytes);
    const again = await quantize(small, { type: 'Q4_K' });
    assert.deepEqual(again.bytes, small);
    const { tensors } = await quantize(small, { type: 'F16' });
    assert.deepEqual([tensors[0].from, tensors[0].type], ['Q4_K', 'F16']);
  });
});

describe('inputs and outputs', () => {
  test('bytes, a Blob and a stream are the same file; sources of every kind', async () => {
    const { bytes } = await quantize(FILE, { type: 'Q4_0' });
    const { blob } = await quantize(new Blob([FILE]), { type: 'Q4_0', output: 'blob' });
    assert.deepEqual(new Uint8Array(await /** @type {Blob} */ (blob).arrayBuffer()), bytes);
    /** @type {Uint8Array[]} */ const parts = [];
    let ended = false;
    const source = new ReadableStream({ start(c) { for (let at = 0; at < FILE.length; at += 77_777) c.enqueue(FILE.subarray(at, at + 77_777)); c.close(); } });
    const result = await quantize(source, { type: 'Q4_0', output: new WritableStream({ write(chunk) { parts.push(chunk.slice()); }, close() { ended = true; } }) });
    assert.deepEqual(new Uint8Array(Buffer.concat(parts)), bytes);
    assert.deepEqual([ended, result.bytes, result.blob], [true, undefined, undefined]);
  });

  test('splits in order become one file', async () => {
    const { tensors, order, metadata } = ORIGINAL;
    const half = Math.floor(order.length / 2);
    const typed = Object.fromEntries(Object.entries(metadata).map(([k, v]) => [k, typeof v === 'number' ? { kind: { 6: 'f32', 4: 'u32' }[ORIGINAL.kinds[k]], value: v } : v]));
    const part = (/** @type {string[]} */ names, /** @type {Record<string, any>} */ extra) => writeGguf({ metadata: extra, tensors: names.map((name) => ({ name, ...tensors[name] })) });
    const files = [part(order.slice(0, half), { ...typed, 'split.no': u32(0), 'split.count': u32(2) }), part(order.slice(half), { 'split.no': u32(1), 'split.count': u32(2) })];
    const { bytes } = await quantize(files, { type: 'Q8_0' });
    assert.deepEqual(bytes, (await quantize(FILE, { type: 'Q8_0' })).bytes);
  });

  test('progress covers the file; threads make no difference', async () => {
    /** @type {any[]} */ const seen = [];
    const one = await quantize(FILE, { type: 'Q6_K', threads: 1, onProgress: (p) => seen.push({ ...p }) });
    assert.deepEqual((await quantize(FILE, { type: 'Q6_K', threads: 3 })).bytes, one.bytes);
    assert.ok(seen.every((p, i) => p.phase === 'write' && p.total === one.size && (!i || p.done >= seen[i - 1].done)));
    assert.equal(seen.at(-1).done, one.size);
  });
});

describe('failures', () => {
  test('bad arguments', async () => {
    await assert.rejects(quantize(FILE, { type: /** @type {any} */ ('Q3_0') }), (/** @type {any} */ e) => e.code === 'EUNKNOWN' && /Q4_K/.test(e.message));
    await assert.rejects(quantize(FILE, { output: /** @type {any} */ ('file') }), { code: 'ERANGE' });
    await assert.rejects(quantize([]), { code: 'ERANGE' });
    await assert.rejects(quantize(FILE, /** @type {any} */ ({ tpye: 'F32' })), (/** @type {any} */ e) => e.code === 'EUNKNOWN' && /tpye/.test(e.message));
  });

  test('files that are cut or damaged; the output is aborted', async () => {
    for (const n of [0, 3, 20, 100, 5000, FILE.length - 40_000]) await assert.rejects(quantize(FILE.subarray(0, n)), (/** @type {any} */ e) => e.name === 'MicrotomeError' && e.message.length > 10, `cut at ${n}`);
    /** @type {unknown} */ let reason;
    const cut = () => new Blob([FILE.subarray(0, FILE.length - 40_000)]).stream(); // of unknown length: the lack is noticed late
    await assert.rejects(quantize(cut(), { output: new WritableStream({ abort(why) { reason = why; } }) }), { code: 'EFORMAT' });
    assert.match(String(reason), /ends after/);
    await assert.rejects(quantize(FILE.subarray(0, 100), { output: new WritableStream({ abort(why) { reason = why; } }) }), { name: 'MicrotomeError' });
    assert.match(String(reason), /GGUF/);
    const unknown = writeGguf({ metadata: { 'general.architecture': 'llama' }, tensors: [{ name: 'a.weight', dims: [256], type: 16, data: new Uint8Array(66) }] });
    await assert.rejects(quantize(unknown), { code: 'EUNKNOWN' });
  });

  test('an abort stops it', async () => {
    const controller = new AbortController();
    const reading = quantize(FILE, { signal: controller.signal, onProgress: () => controller.abort() });
    await assert.rejects(reading, { name: 'AbortError' });
  });

  test('a stream that fails', async () => {
    await assert.rejects(quantize(FILE, { output: new WritableStream({ write() { throw new Error('the disk is full'); } }) }), /the disk is full/);
  });
});

test('an independent reader of GGUF agrees', async () => {
  const files = scratch();
  const { bytes } = await quantize(FILE, { type: 'Q4_K' });
  const path = files.write('model.gguf', /** @type {Uint8Array} */ (bytes));
  const { metadata, tensorInfos } = await gguf(path, { allowLocalFile: true });
  const mine = readGguf(/** @type {Uint8Array} */ (bytes));
  for (const [key, value] of Object.entries(mine.metadata)) assert.deepEqual(typeof metadata[key] === 'bigint' ? Number(metadata[key]) : metadata[key], value, key);
  assert.deepEqual(tensorInfos.map((/** @type {any} */ i) => [i.name, i.shape.map(Number), i.dtype]), mine.order.map((name) => [name, mine.tensors[name].dims, mine.tensors[name].type]));
});

describe('command line', () => {
  const files = scratch();
  const path = files.write('in.gguf', FILE);

  test('writes the file that the API gives', async () => {
    const out = join(files.folder, 'out.gguf');
    const run = await cli(['quantize', path, out, '--type', 'Q4_0', '--keep', 'token_embd.weight', '--json']);
    assert.equal(run.status, 0, run.stderr);
    const said = JSON.parse(run.stdout);
    const { bytes } = await quantize(FILE, { type: 'Q4_0', keep: ['token_embd.weight'] });
    assert.deepEqual(new Uint8Array(readFileSync(out)), bytes);
    assert.deepEqual([said.file, said.bytes, said.architecture, said.tensors[0].type], [out, statSync(out).size, 'llama', 'F32']);
    const plain = await cli(['quantize', path, out]);
    assert.match(plain.stdout, /out\.gguf: llama, \d+ bytes, 20 tensors \(\d+ Q8_0, \d+ F32\)/);
    assert.equal(BLOCKS[8][0], 32);
  });

  test('a failure leaves what was there', async () => {
    const out = files.write('kept.gguf', 'kept');
    const cut = files.write('cut.gguf', FILE.subarray(0, FILE.length - 30_000));
    const run = await cli(['quantize', cut, out]);
    assert.equal(run.status, 1);
    assert.match(run.stderr, /^microtome: cut\.gguf: .*the file has 5\d+ bytes/);
    assert.equal(readFileSync(out, 'utf8'), 'kept');
    assert.ok(!existsSync(`${out}.part`) && !readdirSync(files.folder).some((name) => name.endsWith('.part')));
    assert.equal((await cli(['quantize', path, path])).status, 1);
    assert.equal((await cli(['quantize', path])).status, 2);
    assert.equal((await cli(['quantize', path, out, '--type', 'Q9'])).status, 2);
    assert.equal((await cli(['quantize', join(files.folder, 'none.gguf'), out])).status, 1);
  });
});
