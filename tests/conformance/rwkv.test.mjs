// RWKV-4 in an rwkv.cpp file, against the logits that rwkv.cpp publishes for its test model (after the bytes `"in`).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Model } from '../../web/index.js';
import { shared, skipWithoutShared } from '../support/shared.mjs';
import { engines } from '../support/wasm.mjs';

const file = (/** @type {string} */ name) => shared('models', 'rwkv-tiny', name);

for (const { name, options } of engines())
  test(`RWKV-4, ${name}`, { skip: skipWithoutShared, timeout: 60_000 }, async () => {
    const model = await Model.load(file('tiny-rwkv-4v0-660K-FP32.bin'), options);
    const bytes = readFileSync(file('expected-logits-4v0-660K.bin'));
    const want = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const { logits } = await model.run([...Buffer.from('"in')]);
    assert.equal(logits.length, want.length);
    const worst = Math.max(...logits.map((x, i) => Math.abs(x - want[i])));
    assert.ok(worst < 1e-5, `largest difference ${worst}`);
    assert.deepEqual({ vocab: model.info.vocab, layers: model.info.layers, width: model.info.width }, { vocab: 256, layers: 4, width: 128 });
    assert.equal((await model.describe()).container, 'rwkv.cpp');
    await model.dispose();
  });

test('later versions of RWKV are refused by name', { skip: skipWithoutShared }, async () => {
  for (const name of ['tiny-rwkv-5v1-730K-FP32.bin', 'tiny-rwkv-6v0-3m-Q5_1.bin', 'tiny-rwkv-7v0-834K-FP32.bin'])
    await assert.rejects(Model.load(file(name), { threads: 1 }), (/** @type {any} */ e) => e.code === 'EUNKNOWN' && /RWKV-5 or a later version/.test(e.message));
});

test('a file that is cut anywhere near a seam is refused', { skip: skipWithoutShared, timeout: 60_000 }, async () => {
  const whole = readFileSync(file('tiny-rwkv-4v0-660K-FP32.bin'));
  for (const n of [8, 23, 24, 30, 60, 131_000, whole.length - 131_100, whole.length - 131_072, whole.length - 1])
    await assert.rejects(Model.load(whole.subarray(0, n), { threads: 1 }), (/** @type {any} */ e) => ['EFORMAT', 'EMISSING'].includes(e.code), `cut at ${n}`);
});
