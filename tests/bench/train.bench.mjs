// Training: the float matrix product against what this machine and engine can multiply and add at all; steps of small transformers against both, and beside
// TensorFlow.js's WASM backend in turns in one process (one thread each).
//
//   node tests/bench/train.bench.mjs [--filter TEXT] [--quick]
//
// Builds build/bench/gemm-{simd,relaxed}.wasm from the objects of `./build.sh build` and tests/bench/gemm.c, runs the plain one in this
// Node and the relaxed one in a Node that has relaxed SIMD (this one, or the one that kernels.bench.mjs puts into build/node26).
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Params, transformer } from '../../web/net.js';
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

// Transformers with learned positions, layer norms, GELU, one Adam step for each batch of B sequences of T tokens.
const MODELS = [
  { vocab: 64, width: 32, layers: 2, heads: 2, T: 32, B: 32 },
  { vocab: 64, width: 128, layers: 4, heads: 4, T: 64, B: 16 },
];
// Multiplications and additions of all matrix products of a step, those backwards being twice those forwards.
const operations = ({ vocab, width, layers, T, B }) => 3 * 2 * B * T * (layers * (12 * width * width + 2 * T * width) + width * vocab);

// Milliseconds of processor time: everything here runs in one thread, and what else the machine does must not count.
const spent = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
};

// What all but a tenth of the runs exceed: the very smallest may be errors of the clock.
const good = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 10)];

// Seconds of a call, from many short slices.
function best(run, milliseconds) {
  const timed = (count) => {
    const t = spent();
    run(count);
    return spent() - t;
  };
  let count = 1;
  while (timed(count) < 4 && count < 1e7) count *= 2;
  const times = [], end = performance.now() + milliseconds;
  do times.push(timed(count) / count / 1e3); while (performance.now() < end);
  return good(times);
}

async function trainer({ T, B, ...shape }) {
  const params = await Params.create({ seed: 1 }), g = params.graph();
  const tokens = g.index('tokens', [B, T]), targets = g.index('targets', [B * T]);
  const { logits } = transformer(g, tokens, { ...shape, positions: 'learned', hooks: false });
  g.train(logits.reshape([B * T, shape.vocab]).crossEntropy(targets).mean());
  return (x, y) => {
    tokens.set(x), targets.set(y);
    return g.step({ rule: 'adam', rate: 1e-3 });
  };
}

// Each trainer in turns, so that what else the machine does falls on all alike. Seconds of a step, and the loss after it all.
function race(trainers, { vocab, T, B }, milliseconds) {
  const sequence = Int32Array.from({ length: B * T + 1 }, (_, i) => (i * 7 + ((i * i) % 5)) % vocab);
  const times = trainers.map(() => []), losses = [];
  const end = performance.now() + milliseconds;
  for (let round = 0; round < 3 || performance.now() < end; round++)
    trainers.forEach((step, i) => {
      const from = performance.now();
      do {
        const t = spent();
        losses[i] = step(sequence.subarray(0, B * T), sequence.subarray(1));
        times[i].push((spent() - t) / 1e3);
      } while (performance.now() - from < milliseconds / 20);
    });
  return trainers.map((_, i) => ({ steps: times[i].length, seconds: good(times[i]), loss: losses[i] }));
}

async function train(ceiling, product) {
  const { trainerTfjs } = await import('./train_tfjs.mjs');
  console.log('\n| transformer, one step | who | ms | tokens/s | GFLOP/s | of registers alone | of a product 512 x 512 x 512 | loss after steps |\n|---|---|---|---|---|---|---|---|');
  for (const shape of MODELS) {
    const trainers = [await trainer(shape), await trainerTfjs(shape)];
    const results = race(trainers, shape, quick ? 6000 : 30000);
    results.forEach(({ seconds, loss, steps }, i) => {
      const rate = operations(shape) / seconds / 1e9;
      console.log(`| ${Object.entries(shape).map((e) => e.join(' ')).join(', ')} | ${i ? 'TensorFlow.js' : 'Microtome'} | ${(seconds * 1e3).toFixed(1)} | ${Math.round((shape.B * shape.T) / seconds)} | ${rate.toFixed(2)} | ${((100 * rate) / ceiling).toFixed(0)} % | ${((100 * rate) / product).toFixed(0)} % | ${loss.toFixed(3)}, ${steps} |`);
    });
    console.log(`| | ratio | ${(results[1].seconds / results[0].seconds).toFixed(1)} | | | | | |`);
  }
}

async function measure(file, isa) {
  const memory = new WebAssembly.Memory({ initial: 2048, maximum: 65536 });
  const { exports: b } = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env: { memory } });
  b.bench_isa(isa === 'relaxed' ? 2 : 1);
  let product = 0; // of 512 x 512 x 512
  const slice = quick ? 150 : 500;
  const peak = () => b.bench_peak(1) / best((n) => b.bench_peak(n), slice) / 1e9;
  const ceiling = Math.max(peak(), peak());
  console.log(`\n${isa}, Node ${process.version}: registers alone ${ceiling.toFixed(1)} GFLOP/s\n\n| product | M x N x K | products | GFLOP/s | of registers alone |\n|---|---|---|---|---|`);
  for (const [what, M, N, K, ta, tb, items] of SHAPES) {
    const row = `| ${what} | ${M} x ${N} x ${K} | ${items} |`;
    if (!row.includes(filter) && what !== 'square') continue;
    if (!b.bench_gemm_new(M, N, K, ta, tb, items)) throw new Error(`no memory for ${row}`);
    const rate = (2 * M * N * K * items) / best((n) => b.bench_gemm(n), slice) / 1e9;
    b.bench_gemm_free();
    if (what === 'square') product = rate;
    console.log(`${row} ${rate.toFixed(1)} | ${((100 * rate) / ceiling).toFixed(0)} % |`);
  }
  if ('transformer'.includes(filter)) await train(ceiling, product);
}

if (option('--measure')) {
  await measure(option('--measure'), option('--isa'));
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
