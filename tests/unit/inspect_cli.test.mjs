// `run` and `perplexity` of the command line: traced values as JSON and as NumPy keeps them, patches, and the definition of perplexity.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model } from '../../web/index.js';
import { scoredWindows } from '../../web/model.js';
import { fromNpy, toNpy, toNpz } from '../../web/node/npy.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { BUNDLED, cli, scratch } from '../support/wasm.mjs';

const files = scratch();
const SHAPE = { layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 64, base: 10000 };
const modelFile = files.write('random.gguf', randomLlama(SHAPE, GGML.F32));
const numpy = spawnSync('python3', ['-c', 'import numpy']).status === 0;
const ok = (/** @type {any} */ run) => { assert.equal(run.stderr, ''); assert.equal(run.status, 0); return run; };

describe('.npy and .npz', () => {
  test('the bytes of the format', () => {
    const bytes = toNpy({ shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, -0.5) });
    assert.deepEqual([...bytes.subarray(0, 10)], [0x93, ...Buffer.from('NUMPY'), 1, 0, 118, 0]);
    assert.equal(bytes.length, 128 + 24);
    assert.match(Buffer.from(bytes.subarray(10, 128)).toString(), /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2, 3\), \} +\n$/);
    assert.equal(Buffer.from(bytes).readFloatLE(148), -0.5);
    assert.match(Buffer.from(toNpy({ shape: [3], data: new Int32Array(3) })).toString('latin1'), /'descr': '<i4'.*'shape': \(3,\)/);
    assert.match(Buffer.from(toNpy({ shape: [], data: new Float64Array(1) })).toString('latin1'), /'descr': '<f8'.*'shape': \(\)/);
    assert.throws(() => toNpy({ shape: [2], data: new Float32Array(3) }), /do not fill/);
  });
  test('what is written is read, what is not a file of this kind is refused', () => {
    for (const tensor of [{ shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }, { shape: [4], data: Int32Array.of(1, -2, 3, 4) }, { shape: [], data: Float64Array.of(Math.PI) }]) assert.deepEqual(fromNpy(toNpy(tensor)), tensor);
    const good = toNpy({ shape: [2], data: Float32Array.of(1, 2) });
    for (const bad of [new Uint8Array(3), good.subarray(0, 50), good.subarray(0, good.length - 1), Uint8Array.from([...good, 0]), toNpy({ shape: [2], data: Float32Array.of(1, 2) }).fill(0x20, 10, 60)]) assert.throws(() => fromNpy(bad, 'x.npy'), /x\.npy: /);
  });
  test('NumPy reads both', { skip: numpy ? false : 'NumPy is not here' }, () => {
    const npy = files.write('a.npy', toNpy({ shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6.5) }));
    const npz = files.write('b.npz', toNpz({ 'blocks.0.hook': { shape: [2], data: Float32Array.of(1, 2) }, ids: { shape: [1, 2], data: Int32Array.of(3, -4) } }));
    const run = spawnSync('python3', ['-c', 'import numpy as n,sys\na=n.load(sys.argv[1]);z=n.load(sys.argv[2])\nprint(a.dtype,a.shape,a.sum(),z.files,z["ids"].tolist(),z["blocks.0.hook"].dtype)', npy, npz], { encoding: 'utf8' });
    assert.equal(run.stdout, "float32 (2, 3) 21.5 ['blocks.0.hook', 'ids'] [[3, -4]] float32\n", run.stderr);
  });
});

describe('run', { concurrency: 2 }, () => {
  const ids = [1, 5, 250, 7];
  test('JSON, .npy and .npz hold what the API gives', async () => {
    const model = await Model.load(modelFile, { threads: 1 });
    const { logits, traces } = await model.run(ids, { all: true, trace: 'blocks.*.attn.hook_pattern' });
    const plain = await model.run(ids), one = await model.run(ids, { trace: 'blocks.1.attn.hook_pattern' }); // what is not looked at runs fused: rounding
    await model.dispose();
    const result = JSON.parse(ok(await cli(['run', modelFile, '--ids', ids.join(), '--trace', 'blocks.*.attn.hook_pattern,logits', '--all', '--json', '--threads', '1'])).stdout);
    assert.deepEqual(result.ids, ids);
    assert.deepEqual(Object.keys(result.values), ['blocks.0.attn.hook_pattern', 'blocks.1.attn.hook_pattern', 'logits']);
    assert.deepEqual(result.values.logits, { shape: [4, 300], dtype: 'float32', data: [...logits] });
    for (const name of Object.keys(traces)) assert.deepEqual(result.values[name], { shape: [4, 4, 4], dtype: 'float32', data: [...traces[name].data] });
    const out = join(files.folder, 'pattern.npy');
    assert.match(ok(await cli(['run', '--model', modelFile, '--ids', ids.join(), '--trace', 'blocks.1.attn.hook_pattern', '--out', out, '--threads', '1'])).stdout, /^blocks\.1\.attn\.hook_pattern \[4, 4, 4\]  -> .*pattern\.npy\n$/);
    assert.deepEqual(fromNpy(readFileSync(out)), { shape: [4, 4, 4], data: one.traces['blocks.1.attn.hook_pattern'].data });
    ok(await cli(['run', modelFile, '--ids', ids.join(), '--trace', 'blocks.*.hook_resid_post', '--out', join(files.folder, 'all.npz')]));
    assert.equal(readFileSync(join(files.folder, 'all.npz')).subarray(0, 4).toString('latin1'), 'PK\x03\x04');
    const last = JSON.parse(ok(await cli(['run', modelFile, '--ids', ids.join(), '--json', '--threads', '1'])).stdout);
    assert.deepEqual(last.values.logits, { shape: [300], dtype: 'float32', data: [...plain.logits] });
  });

  test('patches by index equal the API by offset', async () => {
    const model = await Model.load(modelFile, { threads: 1 });
    const name = 'blocks.0.attn.hook_z'; // [4][4][16]
    const head2 = ids.map((_, t) => ({ name, kind: /** @type {const} */ ('zero'), offset: (t * 4 + 2) * 16, count: 16 }));
    const add = new Float32Array(64).map((_, i) => i / 64);
    const file = files.write('add.npy', toNpy({ shape: [64], data: add }));
    const cases = /** @type {[string[], import('../../web/model.js').Patch[]][]} */ ([
      [['--patch', `${name}[:,2]=zero`], head2],
      [['--patch', `${name}[1:3]=scale:-0.5`], [{ name, kind: 'scale', offset: 64, count: 128, value: -0.5 }]],
      [['--patch', `blocks.1.hook_resid_pre[3]=add:${file}`], [{ name: 'blocks.1.hook_resid_pre', kind: 'add', offset: 192, value: add }]],
      [['--patch', 'blocks.1.hook_resid_pre[2,5:7]=0.25', '--patch', `${name}=zero`], [{ name: 'blocks.1.hook_resid_pre', kind: 'replace', offset: 133, value: [0.25, 0.25] }, { name, kind: 'zero', count: 256 }]],
    ]);
    const plain = (await model.run(ids)).logits;
    for (const [args, patch] of cases) {
      const want = (await model.run(ids, { patch })).logits;
      assert.notDeepEqual(want, plain);
      const got = JSON.parse(ok(await cli(['run', modelFile, '--ids', ids.join(), ...args, '--json', '--threads', '1'])).stdout);
      assert.deepEqual(got.values.logits.data, [...want], args.join(' '));
    }
    await model.dispose();
  });

  test('names; what is wrong is said', async () => {
    const names = ok(await cli(['run', modelFile, '--names'])).stdout.trim().split('\n');
    assert.ok(names.includes('blocks.1.attn.hook_pattern') && names.at(-1) === 'logits');
    for (const [args, status, message] of /** @type {[string[], number, RegExp][]} */ ([
      [['--ids', '1', 'x'], 2, /one MODEL/], [['--ids', '1', '--trace', 'blocks.9.x'], 1, /no value of "llama" is called/], [['--ids', '1', '--out', 'x.txt'], 2, /neither in \.npy/],
      [['--ids', '1', '--trace', 'blocks.*.hook_resid_pre', '--out', join(files.folder, 'x.npy')], 2, /use \.npz/], [['--ids', '1', '--patch', 'x'], 2, /--patch: "x" is not NAME=zero/],
      [['--ids', '1', '--patch', 'hook_embed[1]=zero'], 1, /covers 1 to 2 of dimension 0, but with this batch it has 1/], [['--ids', '1', '--patch', 'hook_embed[0,0,0]=zero'], 1, /3 indices, but with this batch its shape has 2/],
      [['--ids', '1', '--patch', 'hook_embed=absent.npy'], 1, /no such file/], [['--ids', '1', '--json', '--out', 'x.npy'], 2, /exclude/],
    ])) {
      const run = await cli(['run', modelFile, ...args]);
      assert.equal(run.status, status, run.stderr);
      assert.match(run.stderr, message);
    }
  });
});

describe('perplexity', () => {
  test('every token is scored once, with enough before it', () => {
    for (let n = 1; n < 30; n++)
      for (let window = 1; window < 12; window++)
        for (let stride = 1; stride <= window; stride++) {
          let next = 1;
          for (const { begin, end, from } of scoredWindows(n, window, stride)) {
            assert.equal(from, next);
            assert.ok(end > from && end <= n && from > begin && end - 1 - begin <= window && (begin === 0 || from - begin >= window - stride), `${n} ${window} ${stride}`);
            next = end;
          }
          assert.equal(next, n);
        }
  });

  test('equals the sum over windows of log-softmax in double', { timeout: 60_000 }, async () => {
    const model = await Model.load(BUNDLED, { threads: 1 });
    const text = 'Once upon a time, there was a small fox. It lived in the woods with its mother.\nOne day, it saw a <|endoftext|> ball and ran to it. "Look!" said the fox.';
    const { tokenizer } = model, bos = /** @type {number} */ (tokenizer.bos);
    const ids = [bos, ...tokenizer.encode(text, { specialAsText: true }).ids];
    const nll = (/** @type {Float32Array} */ row, /** @type {number} */ id) => { const most = Math.max(...row); return most + Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0)) - row[id]; };
    for (const [window, stride] of [[256, 128], [16, 8], [7, 3], [5, 5]]) {
      let nats = 0;
      for (let begin = 0, scored = 1; scored < ids.length; begin += stride) { // as measured while the bundled model was trained
        const end = Math.min(begin + window, ids.length - 1);
        const { logits, vocab } = await model.run(ids.slice(begin, end), { all: true });
        for (let i = begin; i < end; i++) if (i + 1 >= scored) nats += nll(logits.subarray((i - begin) * vocab, (i - begin + 1) * vocab), ids[i + 1]);
        scored = end + 1;
      }
      const r = await model.perplexity(text, { window, stride });
      assert.ok(Math.abs(r.nats - nats) < 1e-6 * nats, `${r.nats}, expected ${nats}`);
      const bytes = Buffer.byteLength(text);
      assert.deepEqual(r, { tokens: ids.length - 1, bytes, nats: r.nats, natsPerToken: r.nats / (ids.length - 1), perplexity: Math.exp(r.nats / (ids.length - 1)), bitsPerByte: r.nats / Math.LN2 / bytes, window, stride, bos });
    }
    const two = await model.perplexity(['Once upon a time', 'The fox ran.'], { window: 8 });
    const each = await Promise.all(['Once upon a time', 'The fox ran.'].map((t) => model.perplexity(t, { window: 8 })));
    assert.ok(Math.abs(two.nats - each[0].nats - each[1].nats) < 1e-9 && two.stride === 4 && two.tokens === each[0].tokens + each[1].tokens);
    const bare = await model.perplexity('Once upon a time', { bos: null });
    const once = tokenizer.encode('Once upon a time').ids;
    assert.equal(bare.tokens, once.length - 1);
    assert.equal(bare.bytes, 16 - tokenizer.decodeBytes(once.slice(0, 1)).length);
    await assert.rejects(model.perplexity('', {}), { code: 'ERANGE' });
    await assert.rejects(model.perplexity('x', { window: 4, stride: 5 }), { code: 'ERANGE' });
    const log = await model.logProbs(ids, { start: 20 });
    assert.deepEqual(log, (await model.logProbs(ids)).slice(19));
    await model.dispose();
    const shown = JSON.parse(ok(await cli(['perplexity', BUNDLED, '--file', files.write('text.txt', text), '--window', '16', '--stride', '8', '--json', '--threads', '1'])).stdout);
    const piped = JSON.parse(ok(await cli(['perplexity', '--window', '16', '--stride', '8', '--json', '--threads', '1'], { input: text })).stdout);
    assert.deepEqual(shown, piped);
    assert.deepEqual(Object.keys(shown), ['tokens', 'bytes', 'nats', 'nats_per_token', 'perplexity', 'bits_per_byte', 'window', 'stride', 'bos']);
    for (const [args, message] of /** @type {[string[], RegExp][]} */ ([[['--bos', 'x'], /--bos/], [['--window', '4', '--stride', '5'], /larger than --window/], [[BUNDLED, 'more'], /one MODEL/]])) {
      const run = await cli(['perplexity', ...args], { input: 'x' });
      assert.equal(run.status, 2);
      assert.match(run.stderr, message);
    }
  });
});
