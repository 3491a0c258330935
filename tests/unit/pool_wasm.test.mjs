// The thread pool in WASM: workers on shared memory, the same bits with any number of threads, and no hang when workers stay away.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { haveObjects, linkWasm } from '../support/kernels_wasm.mjs';

const variant = 'simd-threads';
const skip = haveObjects(variant) ? false : `no build/wasm/${variant}: run ./build.sh build`;
const names = [...readFileSync(new URL('../bench/kernels.c', import.meta.url), 'utf8').matchAll(/^EXPORT \w+ \*?(\w+)/gm)].map((m) => m[1]);
const worker = `const { workerData: { module, memory, stack, pool } } = require('node:worker_threads');
const { exports } = new WebAssembly.Instance(module, { env: { memory } });
exports.__stack_pointer.value = stack;
exports.bench_worker(pool);`;

test('pool in WASM: results do not depend on threads, nor on workers that never start', { skip, timeout: 120_000 }, async () => {
  const module = new WebAssembly.Module(readFileSync(linkWasm(variant, 'tests/bench/kernels.c', 'build/kernel-tests/pool', { exports: names })));
  const memory = new WebAssembly.Memory({ initial: 512, maximum: 8192, shared: true });
  const b = /** @type {Record<string, any>} */ (new WebAssembly.Instance(module, { env: { memory } }).exports);
  assert.ok(b.bench_isa(1));
  for (const [type, N, K, T] of [[8, 1001, 576, 1], [2, 777, 256, 5], [0, 300, 129, 9]]) {
    assert.ok(b.bench_matmul_new(type, N, K, T) > 0);
    b.bench_matmul(1);
    const expected = b.bench_result();
    for (const threads of [2, 3, 4])
      for (const mayBlock of [0, 1]) {
        const pool = b.bench_pool_new(threads, mayBlock);
        b.bench_matmul(20); // nobody has come yet
        assert.equal(b.bench_result(), expected, `${threads} threads before any worker runs`);
        const workers = Array.from({ length: threads - 1 - (threads === 4 ? 1 : 0) }, () => new Worker(worker, { eval: true, workerData: { module, memory, stack: b.bench_stack(65536), pool } }));
        const gone = Promise.all(workers.map((w) => new Promise((resolve, reject) => { w.on('exit', resolve); w.on('error', reject); })));
        await Promise.all(workers.map((w) => new Promise((resolve) => { w.on('online', resolve); })));
        for (let i = 0; i < 50; i++) {
          b.bench_matmul(4);
          assert.equal(b.bench_result(), expected, `${threads} threads, round ${i}`);
          if (i % 10 === 9) await new Promise((resolve) => { setTimeout(resolve, 5); }); // workers fall asleep
        }
        b.bench_pool_free();
        await gone;
      }
    b.bench_free();
  }
});
