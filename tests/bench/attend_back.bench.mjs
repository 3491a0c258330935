// Training: attention on the way back against the same attention forward, on one thread.
//
//   node tests/bench/attend_back.bench.mjs [--quick]
//
// Builds build/bench/attend-{simd,relaxed}.wasm from the objects of `./build.sh build` and tests/bench/attend_back.c, runs the plain one in
// this Node and the relaxed one in a Node that has relaxed SIMD. Operations are counted for pairs that are seen: 2 products forward, 5 back.
// Each call takes about a millisecond, so that the best of many says little about what else the machine does.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { haveObjects, linkWasm, relaxedNode } from '../support/kernels_wasm.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const quick = process.argv.includes('--quick');

// [sequences, tokens, heads, key heads, width]
const SHAPES = [
  [4, 32, 2, 2, 16],
  [4, 32, 4, 4, 32],
  [2, 64, 4, 4, 32],
  [2, 64, 8, 2, 16],
  [1, 128, 2, 2, 32],
  [1, 128, 2, 2, 64],
  [1, 128, 4, 4, 16],
  [1, 256, 1, 1, 32],
  [1, 512, 1, 1, 32],
  [16, 8, 4, 4, 16],
];

function best(run, milliseconds) {
  let low = Infinity;
  const end = performance.now() + milliseconds;
  do {
    const t = performance.now();
    run(1);
    low = Math.min(low, performance.now() - t);
  } while (performance.now() < end);
  return low;
}

function measure(file, isa) {
  const memory = new WebAssembly.Memory({ initial: 2048, maximum: 65536 });
  const { exports: b } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env: { memory } });
  b.bench_isa(isa === 'relaxed' ? 2 : 1);
  console.log(`\n${isa}, Node ${process.version}\n\n| sequences x tokens | heads / key heads x width | forward, GFLOP/s | back, GFLOP/s | times as long |\n|---|---|---|---|---|`);
  for (const [B, T, H, G, E] of SHAPES) {
    if (!b.bench_new(B, T, H, G, E)) throw new Error('no memory');
    const forward = best(b.bench_forward, quick ? 200 : 1000), back = best(b.bench_back, quick ? 200 : 1000);
    b.bench_free();
    const product = B * H * T * (T + 1) * E, rate = (products, t) => ((products * product) / t / 1e6).toFixed(1);
    console.log(`| ${B} x ${T} | ${H} / ${G} x ${E} | ${rate(2, forward)} | ${rate(5, back)} | ${(back / forward).toFixed(2)} |`);
  }
}

const at = process.argv.indexOf('--measure');
if (at > 0) {
  measure(process.argv[at + 1], process.argv[at + 2]);
} else {
  console.log(`${cpus()[0]?.model ?? ''}, ${cpus().length} cores`);
  const exports = [...readFileSync(`${root}tests/bench/attend_back.c`, 'utf8').matchAll(/^EXPORT \w+ (\w+)/gm)].map((m) => m[1]);
  for (const isa of /** @type {const} */ (['simd', 'relaxed'])) {
    const node = isa === 'simd' ? process.execPath : relaxedNode();
    if (!node || !haveObjects(isa)) {
      console.log(`${isa}: left out, ${node ? `no build/wasm/${isa}` : 'no Node with relaxed SIMD'}`);
      continue;
    }
    const file = linkWasm(isa, 'tests/bench/attend_back.c', `build/bench/attend-${isa}`, { exports, optimize: true });
    execFileSync(node, [fileURLToPath(import.meta.url), '--measure', file, isa, ...(quick ? ['--quick'] : [])], { stdio: 'inherit' });
  }
}
