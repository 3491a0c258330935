// Operations on tensors of any shape, in the sizes of models that learn in a page (32 sequences of 64, width 64): nanoseconds an element
// forwards and backwards (all inputs), on one thread.
//
//   node tests/bench/general.bench.mjs [--filter TEXT] [--quick]
//
// Builds build/bench/general-{simd,relaxed}.wasm from the objects of `./build.sh build` and tests/bench/general.c, and runs those that this
// Node (or the one that kernels.bench.mjs puts into build/node26) has the instructions for.
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

const names = /enum \{([^}]*)\}/.exec(readFileSync(`${root}tests/bench/general.c`, 'utf8'))[1].split(',').map((n) => n.trim());
const X = [32, 64, 64], A = [32, 4, 64, 64]; // the residual stream; attention
// [operation, input shapes (an index: { below, shape }), i, k]
const CASES = [
  ['ADD', [X, X]], ['ADD', [X, [64]]], ['ADD', [X, []]], ['ADD', [X, [32, 64, 1]]], ['ADD', [A, [64, 64]]], ['ADD', [A, [32, 1, 64, 64]]],
  ['MUL', [X, X]], ['MUL', [X, [64]]], ['MUL', [X, []]], ['MUL', [X, [32, 64, 1]]], ['DIV', [X, X]], ['DIV', [X, [32, 64, 1]]],
  ['WHERE', [[64, 64], A, []]], ['WHERE', [X, X, X]],
  ['RELU', [X]], ['GELU', [X]], ['SIGMOID', [X]], ['LOG', [X]],
  ['SUM', [X], 0], ['SUM', [X], 1], ['SUM', [X], 2], ['MEAN', [X], 2], ['VARIANCE', [X], 2], ['VARIANCE', [X], 1], ['LSE', [X], 2], ['LSE', [X], 1], ['CUMSUM', [X], 1], ['CUMSUM', [X], 2],
  ['SOFTMAX', [A]], ['LOG_SOFTMAX', [A]], ['CE', [[2048, 64], { shape: [2048], below: 64 }]], ['CE', [[2048, 1024], { shape: [2048], below: 1024 }]],
  ['TAKE', [[256, 64], { shape: [2048], below: 256 }]], ['PICK', [[2048, 64], { shape: [2048], below: 64 }]],
  ['PERMUTE', [[32, 64, 4, 16]], 213], ['PERMUTE', [[32, 4, 64, 16]], 213], ['PERMUTE', [[32, 64, 2, 64]], 213], ['PERMUTE', [[32, 4, 64, 64]], 132],
  ['CONCAT', [X, X], 2], ['CONCAT', [X, X], 1], ['CUT', [[32, 64, 128]], 2, 64], ['MOVE', [X], 1, 1], ['FLIP', [X], 1], ['FLIP', [X], 2], ['EXPAND', [[32, 1, 64]], 1, 64],
  ['DOT', [X, [64, 64]]], ['DOT', [X, [64, 256]]], ['DOT', [[32, 4, 64, 16], [32, 4, 64, 16]], 2], ['DOT', [A, [32, 4, 64, 16]]],
];

// Best of many short slices, in seconds.
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
  const slice = quick ? 40 : 300;
  console.log(`\n${isa}, Node ${process.version}; dot: billions of operations a second, else ns per element of the largest tensor\n\n| operation | shapes | forward | backward | a copy of the result |\n|---|---|---|---|---|`);
  for (const [name, shapes, i = 0, k = 0] of CASES) {
    const row = `| ${name.toLowerCase()}${i || /SUM|CONCAT/.test(name) ? ` ${i}` : ''} | ${shapes.map((s) => `[${s.shape ?? s}]`).join(' ')} |`;
    if (!row.includes(filter)) continue;
    b.bench_begin();
    let most = 0;
    shapes.forEach((s, slot) => {
      if (s.shape) b.bench_index(slot, s.shape.length, s.shape[0], s.shape[1] ?? 1, s.shape[2] ?? 1, s.below);
      else b.bench_tensor(slot, s.length, s[0] ?? 1, s[1] ?? 1, s[2] ?? 1, s[3] ?? 1);
      if (!s.shape) most = Math.max(most, s.reduce((x, y) => x * y, 1));
    });
    const count = b.bench_op(names.indexOf(name), i, k);
    if (!count) throw new Error(`refused: ${row}`);
    most = Math.max(most, count);
    const forward = best((n) => b.bench_forward(n), slice), back = best((n) => b.bench_back(n), slice), copy = best((n) => b.bench_copy(n), slice / 4);
    if (name === 'DOT') {
      const inner = shapes[0].at(-1), rate = (seconds, products) => ((2 * products * count * inner) / seconds / 1e9).toFixed(1);
      console.log(`${row} ${rate(forward, 1)} | ${rate(back, 2)} | |`);
    } else {
      const each = (seconds) => ((seconds / most) * 1e9).toFixed(2);
      console.log(`${row} ${each(forward)} | ${each(back)} | ${each(copy)} |`);
    }
    b.bench_end();
  }
}

if (option('--measure')) {
  measure(option('--measure'), option('--isa'));
} else {
  console.log(`${cpus()[0]?.model ?? ''}, ${cpus().length} cores`);
  const exports = [...readFileSync(`${root}tests/bench/general.c`, 'utf8').matchAll(/^EXPORT \w+ (\w+)/gm)].map((m) => m[1]);
  for (const isa of /** @type {const} */ (['simd', 'relaxed'])) {
    const node = isa === 'simd' ? process.execPath : relaxedNode();
    if (!node || !haveObjects(isa)) {
      console.log(`${isa}: left out, ${node ? `no build/wasm/${isa}` : 'no Node with relaxed SIMD'}`);
      continue;
    }
    const file = linkWasm(isa, 'tests/bench/general.c', `build/bench/general-${isa}`, { exports, optimize: true });
    execFileSync(node, [fileURLToPath(import.meta.url), '--measure', file, '--isa', isa, '--filter', filter, ...(quick ? ['--quick'] : [])], { stdio: 'inherit' });
  }
}
