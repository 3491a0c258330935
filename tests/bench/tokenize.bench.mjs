// Tokenizing: MB/s from a JavaScript string to ids, on documents not seen before, beside the peers that npm carries, in one process; load time.
//   node tests/bench/tokenize.bench.mjs [--only cl100k,llama3] [--documents 120]
// Definitions and the corpus come from ../shared (or MICROTOME_SHARED); without them, the ranks inside the tiktoken package and generated text.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gunzipSync } from 'node:zlib';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Tokenizer } from '../../web/index.js';

const require = createRequire(import.meta.url);
const shared = process.env.MICROTOME_SHARED ?? fileURLToPath(new URL('../../../shared', import.meta.url));
const option = (name, fallback) => { const i = process.argv.indexOf(name); return i < 0 ? fallback : process.argv[i + 1]; };
const only = option('--only', '').split(',').filter(Boolean);
const PEER_DOCUMENTS = Number(option('--documents', 100));

/** Documents of the mixed corpus, or generated ones. */
function documents() {
  const file = join(shared, 'corpora/bench-mixed.txt.gz');
  if (existsSync(file)) {
    const bytes = gunzipSync(readFileSync(file));
    return JSON.parse(readFileSync(join(shared, 'corpora/bench-mixed.index.json'), 'utf8')).segments.map(([, at, n]) => bytes.subarray(at, at + n).toString('utf8'));
  }
  let s = 1;
  const next = (n) => { s = (Math.imul(s, 1664525) + 1013904223) >>> 0; return s % n; };
  const syllables = 'ka lo mi tre sun dra pel ing er tion the of and in to ша ка про ni 的 人 一 é ü'.split(' ');
  return Array.from({ length: 300 }, () => Array.from({ length: 2500 }, () => Array.from({ length: 1 + next(4) }, () => syllables[next(syllables.length)]).join('') + (next(9) ? '' : next(3) ? ',' : '.\n')).join(' '));
}

const docs = documents();
const size = (list) => list.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
const warm = docs.slice(-40), all = docs.slice(0, -40), some = all.slice(0, PEER_DOCUMENTS);
const definition = (path) => (existsSync(join(shared, 'tokenizers', path)) ? gunzipSync(readFileSync(join(shared, 'tokenizers', path))) : null);

/** @returns MB/s of the first pass over the documents */
function pass(encode, list) {
  const start = performance.now();
  for (const text of list) encode(text);
  return size(list) / 1e6 / ((performance.now() - start) / 1000);
}

async function measure(load, list) {
  const start = performance.now();
  let encode;
  try { encode = await load(); } catch (error) { return { error: String(error.message ?? error).split('\n')[0].slice(0, 80) }; }
  const loadMs = performance.now() - start;
  for (const text of warm.slice(0, list === all ? 40 : 8)) encode(text); // other documents: compiles the code, not the answer
  return { load: loadMs, speed: pass(encode, list), again: pass(encode, list) };
}

const ours = (bytes, extra) => async () => { const tok = await Tokenizer.load(bytes, extra); return (text) => tok.encode(text, { offsets: false }); };
const oursWithOffsets = (bytes, extra) => async () => { const tok = await Tokenizer.load(bytes, extra); return (text) => tok.encode(text); };
const native = (bytes) => async () => { const { Tokenizer: Native } = require('tokenizers'); const tok = Native.fromString(bytes.toString('utf8')); const calls = []; return (text) => { const p = tok.encode(text, null, { addSpecialTokens: false }); calls.push(p); return p; }; };
const kitoken = (bytes) => async () => { const { Kitoken } = require('kitoken/node'); const tok = new Kitoken(bytes); return (text) => tok.encode(text, true); };
const hfjs = (bytes) => async () => { const { Tokenizer: Js } = await import('@huggingface/tokenizers'); const tok = new Js(JSON.parse(bytes.toString('utf8')), {}); return (text) => tok.encode(text, { add_special_tokens: false }); };
const tiktoken = (name) => async () => { const { get_encoding } = require('tiktoken'); const tok = get_encoding(name); return (text) => tok.encode(text, [], []); };
const gptTokenizer = (name) => async () => { const tok = await import(`gpt-tokenizer/encoding/${name}`); return (text) => tok.encode(text); };

/** The native binding answers asynchronously on a thread of its own: one document at a time, awaited. */
async function measureNative(bytes, list) {
  const { Tokenizer: Native } = require('tokenizers');
  const start = performance.now();
  const tok = Native.fromString(bytes.toString('utf8'));
  const loadMs = performance.now() - start;
  for (const text of warm.slice(0, 8)) await tok.encode(text, null, { addSpecialTokens: false });
  const t = performance.now();
  for (const text of list) (await tok.encode(text, null, { addSpecialTokens: false })).getIds();
  return { load: loadMs, speed: size(list) / 1e6 / ((performance.now() - t) / 1000) };
}

const families = [
  { name: 'cl100k', file: 'cl100k_base/cl100k_base.tiktoken.gz', as: 'cl100k_base.tiktoken', tiktoken: 'cl100k_base', gpt: 'cl100k_base' },
  { name: 'o200k', file: 'o200k_base/o200k_base.tiktoken.gz', as: 'o200k_base.tiktoken', tiktoken: 'o200k_base', gpt: 'o200k_base' },
  { name: 'llama3', file: 'llama3/tokenizer.json.gz' },
  { name: 'gpt2', file: 'gpt2/tokenizer.json.gz', tiktoken: 'gpt2', gpt: 'r50k_base' },
  { name: 'qwen3', file: 'qwen3/tokenizer.json.gz' },
  { name: 'llama2', file: 'llama2/tokenizer.json.gz' },
  { name: 'gemma3', file: 'gemma3/tokenizer.json.gz' },
  { name: 'bert', file: 'bert-uncased/tokenizer.json.gz' },
  { name: 't5', file: 't5/tokenizer.json.gz' },
  { name: 'roberta', file: 'roberta/tokenizer.json.gz' },
];

const f = (x, digits = 1) => (x === undefined ? '-' : x.toFixed(digits));
console.log(`${cpus()[0].model}; Node ${process.version}; ${(size(all) / 1e6).toFixed(1)} MB in ${all.length} documents (peers: ${some.length} documents, ${(size(some) / 1e6).toFixed(1)} MB); first pass / again, MB/s`);
console.log('\n| family | microtome | with offsets | best peer | ratio | peers: first pass MB/s (load ms) | load ms |');
console.log('|---|---|---|---|---|---|---|');
for (const family of families) {
  if (only.length && !only.includes(family.name)) continue;
  const bytes = definition(family.file);
  if (!bytes) { console.log(`| ${family.name} | definition not here |`); continue; }
  const extra = family.as ? { name: family.as } : {};
  const mine = await measure(ours(bytes, extra), all);
  const offsets = await measure(oursWithOffsets(bytes, extra), all);
  const peers = {};
  if (family.tiktoken) peers.tiktoken = await measure(tiktoken(family.tiktoken), some);
  if (family.gpt) peers['gpt-tokenizer'] = await measure(gptTokenizer(family.gpt), some);
  peers.kitoken = await measure(kitoken(bytes), some);
  if (!family.as) {
    peers['tokenizers (native)'] = await measureNative(bytes, some).catch((error) => ({ error: error.message }));
    peers['@huggingface/tokenizers'] = await measure(hfjs(bytes), some);
  }
  const best = Object.entries(peers).filter(([, p]) => p.speed).sort((a, b) => b[1].speed - a[1].speed)[0];
  const list = Object.entries(peers).map(([name, p]) => (p.error ? `${name}: ${p.error}` : `${name} ${f(p.speed)} (${f(p.load, 0)})`)).join(', ');
  console.log(`| ${family.name} | ${mine.error ?? `${f(mine.speed)} / ${f(mine.again)}`} | ${offsets.error ?? f(offsets.speed)} | ${best ? best[0] : '-'} | ${best && mine.speed ? f(mine.speed / best[1].speed) : '-'} | ${list} | ${f(mine.load, 0)} |`);
}
