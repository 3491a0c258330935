// Training: the float matrix product against what this machine and engine can multiply and add at all.
//
//   node tests/bench/train.bench.mjs [--filter TEXT] [--quick]
//
// Builds build/bench/gemm-{simd,relaxed}.wasm from the objects of `./build.sh build` and tests/bench/gemm.c, runs the plain one in this
// Node and the relaxed one in a Node that has relaxed SIMD (this one, or the one that kernels.bench.mjs puts into build/node26).
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { haveObjects, linkWasm, relaxedNode } from '../support/kernels_wasm.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const option = (name) => {
  const i = process.argv.indexOf(name);
  return i < 0 ? undefined : (process.argv[i + 1] ?? '');
};
const filter = option('--filter') ?? '';
const quick = process.argv.includes('--quick');

// [what, M, N, K, A transposed, B transposed, products]
const SHAPES = [
  ['layer forward, x W^T', 1024, 32, 32, 0, 1, 1],
  ['layer backward, dY W', 1024, 32, 32, 0, 0, 1],
  ['layer weights, dY^T x', 32, 32, 1024, 1, 0, 1],
  ['layer forward, x W^T', 1024, 128, 32, 0, 1, 1],
  ['layer backward, dY W', 1024, 32, 128, 0, 0, 1],
  ['layer weights, dY^T x', 128, 32, 1024, 1, 0, 1],
  ['layer forward, x W^T', 1024, 128, 128, 0, 1, 1],
  ['layer backward, dY W', 1024, 128, 128, 0, 0, 1],
  ['layer weights, dY^T x', 128, 128, 1024, 1, 0, 1],
  ['layer forward, x W^T', 1024, 512, 128, 0, 1, 1],
  ['layer backward, dY W', 1024, 128, 512, 0, 0, 1],
  ['layer weights, dY^T x', 512, 128, 1024, 1, 0, 1],
  ['scores, q k^T', 32, 32, 8, 0, 1, 128],
  ['values, p v', 32, 8, 32, 0, 0, 128],
  ['keys, dS^T q', 32, 8, 32, 1, 0, 128],
  ['scores, q k^T', 64, 64, 32, 0, 1, 64],
  ['values, p v', 64, 32, 64, 0, 0, 64],
  ['keys, dS^T q', 64, 32, 64, 1, 0, 64],
  ['both transposed', 32, 32, 32, 1, 1, 128],
  ['square', 512, 512, 512, 0, 0, 1],
  ['square, A^T', 512, 512, 512, 1, 0, 1],
  ['square, B^T', 512, 512, 512, 0, 1, 1],
  ['square, both transposed', 512, 512, 512, 1, 1, 1],
  ['large, B^T', 2048, 2048, 1024, 0, 1, 1],
  ['large', 2048, 1024, 2048, 0, 0, 1],
  ['large, A^T', 2048, 1024, 2048, 1, 0, 1],
];

// Best of many short slices.
function best(run, milliseconds) {
  let count = 1, t;
  for (;;) {
    t = performance.now();
    run(count);
    t = performance.now() - t;
    if (t > 1 || count > 1e7) break;
    count *= 2;
  }
  let low = t / count;
  const end = performance.now() + milliseconds;
  do {
    t = performance.now();
    run(count);
    low = Math.min(low, (performance.now() - t) / count);
  } while (performance.now() < end);
  return low / 1e3;
}

function measure(file, isa) {
  const memory = new WebAssembly.Memory({ initial: 2048, maximum: 65536 });
  const { exports: b } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env: { memory } });
  b.bench_isa(isa === 'relaxed' ? 2 : 1);
  const slice = quick ? 150 : 500;
  const peak = () => b.bench_peak(1) / best((n) => b.bench_peak(n), slice) / 1e9;
  const ceiling = Math.max(peak(), peak());
  console.log(`\n${isa}, Node ${process.version}: registers alone ${ceiling.toFixed(1)} GFLOP/s\n\n| product | M x N x K | products | GFLOP/s | of registers alone |\n|---|---|---|---|---|`);
  for (const [what, M, N, K, ta, tb, items] of SHAPES) {
    const row = `| ${what} | ${M} x ${N} x ${K} | ${items} |`;
    if (!row.includes(filter)) continue;
    if (!b.bench_gemm_new(M, N, K, ta, tb, items)) throw new Error(`no memory for ${row}`);
    const rate = (2 * M * N * K * items) / best((n) => b.bench_gemm(n), slice) / 1e9;
    b.bench_gemm_free();
    console.log(`${row} ${rate.toFixed(1)} | ${((100 * rate) / ceiling).toFixed(0)} % |`);
  }
}

if (option('--measure')) {
  measure(option('--measure'), option('--isa'));
} else {
  console.log(`${cpus()[0]?.model ?? ''}, ${cpus().length} cores`);
  const exports = [...readFileSync(`${root}tests/bench/gemm.c`, 'utf8').matchAll(/^EXPORT \w+ (\w+)/gm)].map((m) => m[1]);
  for (const isa of /** @type {const} */ (['simd', 'relaxed'])) {
    const node = isa === 'simd' ? process.execPath : relaxedNode();
    if (!node || !haveObjects(isa)) {
      console.log(`${isa}: left out, ${node ? `no build/wasm/${isa}` : 'no Node with relaxed SIMD'}`);
      continue;
    }
    const file = linkWasm(isa, 'tests/bench/gemm.c', `build/bench/gemm-${isa}`, { exports, optimize: true });
    execFileSync(node, [fileURLToPath(import.meta.url), '--measure', file, '--isa', isa, '--filter', filter, ...(quick ? ['--quick'] : [])], { stdio: 'inherit' });
  }
}
