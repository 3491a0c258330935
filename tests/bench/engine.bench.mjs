// Tokens per second of prefill and decode beside wllama (llama.cpp in WebAssembly) on the same files, in headless Chromium, in one run, and in this Node;
// the ceilings of the same browser (reading memory, integer multiply-adds) and how much of them is reached; load time and module sizes
// (bytes.bench.mjs has the byte model). Of the peers that npm carries only wllama reads these files (transformers.js wants ONNX).
//   node tests/bench/engine.bench.mjs [--models SHAPE:TYPE,...] [--threads 1,2] [--json]       shapes: stories15M, SmolLM2-135M, GPT-2
import { createServer } from 'node:http';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpus } from 'node:os';
import { chromium } from 'playwright-core';
import { GGML } from '../support/gguf_write.mjs';
import { linkWasm } from '../support/kernels_wasm.mjs';
import { SHAPES, randomShape } from '../support/random_gguf.mjs';
import { Model } from '../../web/index.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const option = (name, fallback) => { const i = process.argv.indexOf(name); return i < 0 ? fallback : process.argv[i + 1]; };
const threads = option('--threads', '1,2').split(',').map(Number);
const names = option('--models', 'stories15M:Q8_0,GPT-2:Q8_0,SmolLM2-135M:Q8_0,SmolLM2-135M:Q4_0,SmolLM2-135M:F16').split(',');

const files = new Map();
for (const name of names) {
  const [shape, type] = name.split(':');
  if (SHAPES[shape]) files.set(name, randomShape(shape, GGML[type]));
  else files.set(name, readFileSync(name));
}

const types = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm', '.json': 'application/json' };
const server = createServer((request, response) => {
  const path = decodeURIComponent(new URL(request.url, 'http://x').pathname);
  const headers = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp', 'Cross-Origin-Resource-Policy': 'same-origin' };
  if (path === '/') return response.writeHead(200, { ...headers, 'Content-Type': 'text/html' }).end('<!doctype html><title>bench</title>');
  if (path.startsWith('/model/')) {
    const file = files.get(path.slice(7));
    return response.writeHead(200, { ...headers, 'Content-Type': 'application/octet-stream', 'Content-Length': file.length }).end(file);
  }
  const local = join(root, normalize(path));
  if (!existsSync(local) || !statSync(local).isFile()) return response.writeHead(404, headers).end();
  response.writeHead(200, { ...headers, 'Content-Type': types[extname(local)] ?? 'application/octet-stream' }).end(readFileSync(local));
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const PREFILL = 128, DECODE = 48;

/** Runs in the page. */
async function wllama({ url, threads, prefill, decode }) {
  const { Wllama, LoggerWithoutDebug } = await import('/node_modules/@wllama/wllama/esm/index.js');
  const base = '/node_modules/@wllama/wllama/esm/';
  const engine = new Wllama({ 'single-thread/wllama.wasm': `${base}single-thread/wllama.wasm`, 'multi-thread/wllama.wasm': `${base}multi-thread/wllama.wasm` },
    { logger: { ...LoggerWithoutDebug, warn() {}, log() {}, error() {} } });
  const blob = await (await fetch(url)).blob();
  const t0 = performance.now();
  await engine.loadModel([blob], { n_ctx: 512, n_threads: threads, n_batch: 512 });
  const load = performance.now() - t0;
  const ids = Array.from({ length: prefill }, (_, i) => 3 + ((i * 7919) % 400));
  await engine.decode(ids.slice(0, 16), {});
  let best = { prefill: 0, decode: 0 };
  for (let round = 0; round < 3; round++) {
    await engine.kvClear();
    const t1 = performance.now();
    await engine.decode(ids, {});
    const t2 = performance.now();
    for (let i = 0; i < decode; i++) await engine.decode([3 + (i % 400)], {});
    const t3 = performance.now();
    best = { prefill: Math.max(best.prefill, prefill / ((t2 - t1) / 1000)), decode: Math.max(best.decode, decode / ((t3 - t2) / 1000)) };
  }
  await engine.exit();
  return { load, ...best };
}

/** Runs in the page, and (with a class and bytes given) in Node. */
async function microtome({ url, threads, prefill, decode, Given, data }) {
  const Model = Given ?? (await import('/web/index.js')).Model;
  const blob = data ?? (await (await fetch(url)).blob());
  const t0 = performance.now();
  const model = await Model.load(blob, { threads });
  const load = performance.now() - t0;
  const ids = Array.from({ length: prefill }, (_, i) => 3 + ((i * 7919) % 400));
  await model.run(ids.slice(0, 16));
  let best = { prefill: 0, decode: 0 };
  for (let round = 0; round < 3; round++) {
    const t1 = performance.now();
    await model.run(ids);
    const t2 = performance.now();
    let first = 0, last = 0, count = 0;
    for await (const _ of model.generate(ids, { maxTokens: decode + 1, temperature: 0, stop: [] })) { last = performance.now(); if (!count++) first = last; }
    best = { prefill: Math.max(best.prefill, prefill / ((t2 - t1) / 1000)), decode: Math.max(best.decode, (count - 1) / ((last - first) / 1000)) };
  }
  const engine = model.engine ?? '';
  await model.dispose();
  return { load, ...best, engine };
}

/** Runs in the page: bytes read and integer operations made per second by one thread. */
async function ceilings({ url }) {
  const memory = new WebAssembly.Memory({ initial: 512, maximum: 65536 });
  const { instance } = await WebAssembly.instantiateStreaming(fetch(url), { env: { memory } });
  const { bench_read: read, bench_peak: peak } = instance.exports;
  const best = (run) => { let low = Infinity; for (let i = 0; i < 12; i++) { const t = performance.now(); run(); low = Math.min(low, performance.now() - t); } return low / 1e3; };
  let operations = 0;
  const readSeconds = best(() => read(256, 1)), peakSeconds = best(() => { operations = peak(4e6); });
  return { bytes: (256 << 20) / readSeconds, operations: operations / peakSeconds };
}

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--headless', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
const inPage = async (f, args) => {
  const page = await browser.newPage();
  try {
    await page.goto(origin);
    return await page.evaluate(f, args);
  } finally { await page.close(); }
};

const kernels = linkWasm('relaxed', 'tests/bench/kernels.c', 'build/bench/ceilings', { exports: ['bench_read', 'bench_peak'], optimize: true });
const limit = await inPage(ceilings, { url: kernels.slice(root.length - 1) });
const rows = [];
console.log(`${cpus()[0].model}, ${cpus().length} cores; Chromium ${browser.version()}; prefill ${PREFILL} tokens, decode ${DECODE} after it, best of 3`);
for (const name of names)
  for (const n of threads) {
    const args = { url: `/model/${name}`, threads: n, prefill: PREFILL, decode: DECODE };
    const peer = await inPage(wllama, args).catch((error) => ({ error: String(error).split('\n')[0] }));
    const ours = await inPage(microtome, args).catch((error) => ({ error: String(error).split('\n')[0] }));
    const node = await microtome({ threads: n, prefill: PREFILL, decode: DECODE, Given: Model, data: files.get(name) }).catch((error) => ({ error: String(error).split('\n')[0] }));
    rows.push({ model: name, megabytes: files.get(name).length / 1e6, threads: n, ours, wllama: peer, node });
  }
const f = (x, digits = 1) => (x === undefined ? '-' : x.toFixed(digits));
console.log('\n| model | MB | threads | prefill tok/s | wllama | ratio | decode tok/s | wllama | ratio | load ms | wllama |');
console.log('|---|---|---|---|---|---|---|---|---|---|---|');
for (const { model, megabytes, threads, ours, wllama } of rows) {
  if (ours.error || wllama.error) console.log(`| ${model} | ${threads} | ${ours.error ?? ''} | ${wllama.error ?? ''} |`);
  console.log(`| ${model} | ${f(megabytes)} | ${threads} | ${f(ours.prefill)} | ${f(wllama.prefill)} | ${f(ours.prefill / wllama.prefill)} | ${f(ours.decode)} | ${f(wllama.decode)} | ${f(ours.decode / wllama.decode)} | ${f(ours.load, 0)} | ${f(wllama.load, 0)} |`);
}

console.log(`\nceilings of one thread in this browser: ${f(limit.bytes / 1e9)} GB/s read, ${f(limit.operations / 1e9, 0)} G integer operations/s (byte fours)`);
console.log('| model | threads | decode reads GB/s | of the ceiling | prefill G operations/s | of the ceiling | Node: prefill | decode | load ms |');
console.log('|---|---|---|---|---|---|---|---|---|');
for (const { model, megabytes, threads, ours, node } of rows) {
  if (ours.error) continue;
  const shape = SHAPES[model.split(':')[0]];
  const head = shape && shape.width / shape.heads;
  // two operations for every weight of the blocks; the output matrix is needed for the last token alone
  const perToken = shape && 2 * shape.layers * shape.width * (2 * shape.width + 2 * shape.kvHeads * head + (shape.arch === 'gpt2' ? 2 : 3) * shape.ffn);
  const read = (ours.decode * megabytes) / 1e3, made = shape ? (ours.prefill * perToken) / 1e9 : NaN;
  console.log(`| ${model} | ${threads} | ${f(read)} | ${f((100e9 * read) / limit.bytes, 0)} % | ${f(made, 0)} | ${f((100e9 * made) / limit.operations / threads, 0)} % | ${f(node.prefill)} | ${f(node.decode)} | ${f(node.load, 0)} |`);
}

await browser.close();
server.close();

const size = (path) => { const data = readFileSync(join(root, path)); return `${(data.length / 1024).toFixed(0)} kB, ${(gzipSync(data, { level: 9 }).length / 1024).toFixed(0)} kB gzip`; };
for (const file of readdirSync(join(root, 'web/wasm'))) console.log(`web/wasm/${file}: ${size(`web/wasm/${file}`)}`);
console.log(`wllama single-thread: ${size('node_modules/@wllama/wllama/esm/single-thread/wllama.wasm')}`);
if (process.argv.includes('--json')) console.log(JSON.stringify({ rows }));
