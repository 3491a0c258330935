// A soak: tokenizers and models are loaded, used, aborted and disposed of again and again, and memory is watched.
//   node --expose-gc tests/bench/soak.mjs [minutes] [threads]
// Prints a line an interval, then what each quantity grows by in an hour (least squares over the second half, when caches are full).
import { readFileSync } from 'node:fs';
import { ByteModel, Model, Tokenizer } from '../../web/index.js';
import { loadHeap } from '../../web/runtime/load.js';
import { random, text } from '../support/definitions.mjs';

const minutes = Number(process.argv[2] ?? 60), threads = Number(process.argv[3] ?? 1), INTERVAL_MS = Math.max(5000, (minutes * 60_000) / 40);
const root = new URL('../../', import.meta.url), read = (/** @type {string} */ file) => new Uint8Array(readFileSync(new URL(file, root)));
const definitions = ['bpe-1k', 'unigram-4k', 'pathpiece-4k', 'byte'].map((name) => read(`models/vocabularies/${name}.json`)), file = read('models/microtome-tiny.gguf');
const r = random(Number(process.env.SEED ?? 1)), heap = await loadHeap(), begun = performance.now();
/** @type {Record<string, number>} */ const done = {};
let model = await Model.load(file, { threads }), byteModel = new ByteModel(model);

/** @type {Record<string, () => Promise<any>>} */
const operations = {
  tokenizer: async () => { const tok = await Tokenizer.load(r.pick(definitions)), input = text(r, 200); tok.decode(tok.encode(input).ids); tok.encodeBatch?.([input, input]); tok.dispose(); },
  broken: () => Tokenizer.load(r.pick(definitions).slice(0, r.next(3000))).then((tok) => tok.dispose(), () => {}),
  model: async () => { await byteModel.dispose?.(); await model.dispose(); model = await Model.load(file, { threads }); byteModel = new ByteModel(model); },
  brokenModel: () => Model.load(file.slice(0, r.next(file.length)), { threads }).then((m) => m.dispose(), () => {}),
  abortedLoad: () => { const c = new AbortController(), loading = Model.load(file, { threads, signal: c.signal }); setTimeout(() => c.abort(), r.next(60)); return loading.then((m) => m.dispose(), () => {}); },
  run: () => model.run(model.tokenizer.encode(text(r, 30)).ids.slice(0, 60)),
  trace: () => model.run([1, 2, 3, 4], { trace: 'blocks.*.attn.hook_pattern' }),
  generate: async () => { for await (const _ of model.generate('Once', { maxTokens: 12, temperature: 0.8, seed: r.next(1e6) })); },
  left: async () => { for await (const _ of model.generate('Once', { maxTokens: 50 })) if (r.chance(3)) break; },
  aborted: () => { const c = new AbortController(), call = model.run(Array.from({ length: 100 }, () => 1 + r.next(500)), { signal: c.signal }); setTimeout(() => c.abort(), r.next(20)); return call.catch(() => {}); },
  bytes: async () => { await byteModel.reset?.(); await byteModel.next('Once upon a t'); },
  gradients: () => model.gradients?.([1, 5, 9, 12], {}).catch((/** @type {any} */ error) => { if (!error.code) throw error; }),
};
const often = [...Object.keys(operations), 'tokenizer', 'tokenizer', 'run', 'run', 'generate', 'generate', 'bytes'].filter((name) => name !== 'model');

/** @type {Record<string, number>[]} */ const samples = [];
function sample() {
  globalThis.gc?.();
  const m = process.memoryUsage();
  const now = { hours: (performance.now() - begun) / 3.6e6, 'WebAssembly of the page': heap.memory.buffer.byteLength, 'JavaScript heap': m.heapUsed, 'external': m.external, 'resident set': m.rss, 'handles': process.getActiveResourcesInfo().length };
  samples.push(now);
  console.log(`${(now.hours * 60).toFixed(1)} min, ${Object.values(done).reduce((a, b) => a + b, 0)} operations: ${Object.entries(now).slice(1).map(([name, v]) => `${name} ${v > 1e4 ? `${(v / 1048576).toFixed(1)} MiB` : v}`).join(', ')}`);
}

for (let last = -Infinity, i = 0; performance.now() - begun < minutes * 60_000; i++) {
  const name = i % 40 === 39 ? 'model' : r.pick(often);
  await operations[name]();
  done[name] = (done[name] ?? 0) + 1;
  if (performance.now() - last > INTERVAL_MS) { sample(); last = performance.now(); }
}
sample();
console.log(JSON.stringify(done));
const half = samples.slice(samples.length >> 1), mean = (/** @type {number[]} */ list) => list.reduce((a, b) => a + b, 0) / list.length;
for (const name of Object.keys(samples[0]).slice(1)) {
  const x = half.map((s) => s.hours), y = half.map((s) => s[name]), mx = mean(x), my = mean(y);
  const slope = x.reduce((sum, v, i) => sum + (v - mx) * (y[i] - my), 0) / (x.reduce((sum, v) => sum + (v - mx) ** 2, 0) || 1);
  console.log(`${name}: ${my > 1e4 ? `${(slope / 1048576).toFixed(2)} MiB` : slope.toFixed(2)} an hour at ${my > 1e4 ? `${(my / 1048576).toFixed(1)} MiB` : my.toFixed(1)}`);
}
await model.dispose();
