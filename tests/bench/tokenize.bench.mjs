// Tokenizing: MB/s from a JavaScript string to ids, on documents not seen before, beside the peers that npm carries, in one process; then the time that loading takes and the memory that stays
// taken, each in a process of its own.
//   node tests/bench/tokenize.bench.mjs [--only cl100k,llama3] [--documents 120] [--no-speed] [--no-load]
// Definitions and the corpus come from ../shared (or MICROTOME_SHARED); without them, the ranks inside the tiktoken package and generated text.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gunzipSync } from 'node:zlib';
import { cpus, tmpdir } from 'node:os';
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

const docs = process.argv.includes('--child') ? [] : documents();
const size = (list) => list.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
const warm = docs.slice(-40), all = docs.slice(0, -40), some = all.slice(0, PEER_DOCUMENTS);
/** Bytes, or null when there are none here. */
function definition({ file, as, tiktoken }) {
  const path = join(shared, 'tokenizers', file);
  if (existsSync(path)) return gunzipSync(readFileSync(path));
  if (!as) return null;
  const lines = require(`tiktoken/encoders/${tiktoken}.json`).bpe_ranks.split('\n'); // mark, first rank, tokens
  return Buffer.from(lines.flatMap((line) => { const [, first, ...tokens] = line.split(' '); return tokens.map((token, i) => `${token} ${Number(first) + i}`); }).join('\n'));
}

/** @returns MB/s of the first pass over the documents */
function pass(encode, list) {
  const start = performance.now();
  for (const text of list) encode(text);
  return size(list) / 1e6 / ((performance.now() - start) / 1000);
}

async function measure(load, list) {
  let encode;
  try { encode = await load(); } catch (error) { return { error: String(error.message ?? error).split('\n')[0].slice(0, 80) }; }
  for (const text of warm.slice(0, list === all ? 40 : 8)) encode(text); // other documents: compiles the code, not the answer
  return { speed: pass(encode, list), again: pass(encode, list) };
}

/** By name: the library made ready, then (bytes, family) -> encode. The library's own code is not part of loading; ranks that come as code are. */
const LIBRARIES = {
  microtome: { ready: () => Tokenizer.builtin('byt5'), load: async (bytes, { as }) => { const tok = await Tokenizer.load(bytes, as ? { name: as } : {}); return (text) => tok.encode(text, { offsets: false }); } },
  'microtome, offsets': { load: async (bytes, { as }) => { const tok = await Tokenizer.load(bytes, as ? { name: as } : {}); return (text) => tok.encode(text); } },
  'microtome, binary form': {
    ready: () => Tokenizer.builtin('byt5'),
    before: async (bytes, { as }) => (await Tokenizer.load(bytes, as ? { name: as } : {})).toBinary(),
    load: async (bytes) => { const tok = await Tokenizer.fromBinary(bytes); return (text) => tok.encode(text, { offsets: false }); },
  },
  tiktoken: { for: 'tiktoken', ready: () => require('tiktoken'), load: async (bytes, { tiktoken }) => { const tok = require('tiktoken').get_encoding(tiktoken); return (text) => tok.encode(text, [], []); } },
  'gpt-tokenizer': { for: 'gpt', load: async (bytes, { gpt }) => { const tok = await import(`gpt-tokenizer/encoding/${gpt}`); return (text) => tok.encode(text); } },
  kitoken: { ready: () => require('kitoken/node'), load: async (bytes) => { const { Kitoken } = require('kitoken/node'); const tok = new Kitoken(bytes); return (text) => tok.encode(text, true); } },
  'tokenizers (native)': { for: 'json', ready: () => require('tokenizers'), load: async (bytes) => { const tok = require('tokenizers').Tokenizer.fromString(bytes.toString('utf8')); return (text) => tok.encode(text, null, { addSpecialTokens: false }); } },
  '@huggingface/tokenizers': { for: 'json', ready: () => import('@huggingface/tokenizers'), load: async (bytes) => { const { Tokenizer: Js } = await import('@huggingface/tokenizers'); const tok = new Js(JSON.parse(bytes.toString('utf8')), {}); return (text) => tok.encode(text, { add_special_tokens: false }); } },
};
const goesWith = (name, family) => { const what = LIBRARIES[name].for; return what === 'json' ? !family.as : !what || what in family; };
const peersOf = (family) => Object.keys(LIBRARIES).filter((name) => !name.startsWith('microtome') && goesWith(name, family));
const loader = (name, bytes, family) => () => LIBRARIES[name].load(bytes, family);

/** The native binding answers asynchronously on a thread of its own: one document at a time, awaited. */
async function measureNative(bytes, list) {
  const tok = require('tokenizers').Tokenizer.fromString(bytes.toString('utf8'));
  for (const text of warm.slice(0, 8)) await tok.encode(text, null, { addSpecialTokens: false });
  const t = performance.now();
  for (const text of list) (await tok.encode(text, null, { addSpecialTokens: false })).getIds();
  return { speed: size(list) / 1e6 / ((performance.now() - t) / 1000) };
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
const chosen = families.filter(({ name }) => !only.length || only.includes(name));

async function speeds() {
  console.log(`${cpus()[0].model}; Node ${process.version}; ${(size(all) / 1e6).toFixed(1)} MB in ${all.length} documents (peers: ${some.length} documents, ${(size(some) / 1e6).toFixed(1)} MB); first pass / again, MB/s`);
  console.log('\n| family | microtome | with offsets | best peer | ratio | peers: first pass MB/s |');
  console.log('|---|---|---|---|---|---|');
  for (const family of chosen) {
    const bytes = definition(family);
    if (!bytes) { console.log(`| ${family.name} | definition not here |`); continue; }
    const mine = await measure(loader('microtome', bytes, family), all), offsets = await measure(loader('microtome, offsets', bytes, family), all), peers = {};
    for (const name of peersOf(family)) peers[name] = name.endsWith('(native)') ? await measureNative(bytes, some).catch((error) => ({ error: error.message })) : await measure(loader(name, bytes, family), some);
    const best = Object.entries(peers).filter(([, p]) => p.speed).sort((a, b) => b[1].speed - a[1].speed)[0];
    const list = Object.entries(peers).map(([name, p]) => (p.error ? `${name}: ${p.error}` : `${name} ${f(p.speed)}`)).join(', ');
    console.log(`| ${family.name} | ${mine.error ?? `${f(mine.speed)} / ${f(mine.again)}`} | ${offsets.error ?? f(offsets.speed)} | ${best ? best[0] : '-'} | ${best && mine.speed ? f(mine.speed / best[1].speed) : '-'} | ${list} |`);
  }
}

/** In a process of its own: milliseconds of loading, and by how much the process is larger afterwards (MB, after garbage collection, with one short text encoded). */
async function child(name, family) {
  const library = LIBRARIES[name], bytes = library.before ? readFileSync(process.env.BENCH_FILE) : definition(family);
  await library.ready?.();
  const kept = () => { for (let i = 0; i < 4; i++) globalThis.gc(); return process.memoryUsage().rss / 1e6; };
  const before = kept(), start = performance.now();
  const encode = await library.load(bytes, family);
  const load = performance.now() - start;
  await encode('A short text, once.');
  console.log(JSON.stringify({ load, memory: kept() - before, size: bytes.length / 1e6 }));
}

/** The fastest of three. */
function loaded(name, family, file = '') {
  const run = () => JSON.parse(execFileSync(process.execPath, ['--expose-gc', '--no-warnings', fileURLToPath(import.meta.url), '--child', name, '--only', family.name], { encoding: 'utf8', env: { ...process.env, BENCH_FILE: file }, stdio: ['ignore', 'pipe', 'ignore'] }).trim().split('\n').at(-1));
  try { return Array.from({ length: 3 }, run).sort((a, b) => a.load - b.load)[0]; } catch (error) { return { error: 'fails' }; }
}

async function loads() {
  const folder = mkdtempSync(join(tmpdir(), 'microtome-bench-'));
  const show = (x) => (x.error ? x.error : `${f(x.load, 0)} ms, ${f(x.memory, 0)} MB`);
  console.log('\nLoading from bytes in memory, and memory that stays taken (growth of the process), each alone in a process; the best of three\n');
  console.log('| family | microtome | binary form (file MB) | peers |');
  console.log('|---|---|---|---|');
  for (const family of chosen) {
    const bytes = definition(family);
    if (!bytes) continue;
    const file = join(folder, family.name);
    writeFileSync(file, await LIBRARIES['microtome, binary form'].before(bytes, family));
    const binary = loaded('microtome, binary form', family, file);
    console.log(`| ${family.name} | ${show(loaded('microtome', family))} | ${show(binary)} (${f(binary.size)}) | ${peersOf(family).map((name) => `${name} ${show(loaded(name, family))}`).join('; ')} |`);
  }
  rmSync(folder, { recursive: true, force: true });
}

const one = option('--child', '');
if (one) await child(one, chosen[0]);
else {
  if (!process.argv.includes('--no-speed')) await speeds();
  if (!process.argv.includes('--no-load')) await loads();
}
