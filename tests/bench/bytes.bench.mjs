// What the exact byte model costs beside plain decoding of the same model in the same run, in this Node: bytes per second of every target, chosen and drawn, with and
// without probabilities; of scoring a text; and milliseconds for a keystroke (a byte more, all 256 probabilities). The twins and the bundled model as shipped; GPT-2 and
// SmolLM2-135M as random weights of their shape with a vocabulary of their size from ../shared (what a random model writes is arbitrary: its distributions are
// flatter than a trained one's, so that fewer contexts can be left out).
//   node tests/bench/bytes.bench.mjs [--models FILE-OR-SHAPE,...] [--targets valid,masked,all] [--threads 1] [--rounds 3] [--json]
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { GGML, retype } from '../support/gguf_write.mjs';
import { readGguf } from '../support/gguf_read.mjs';
import { SHAPES, randomShape } from '../support/random_gguf.mjs';
import { SHARED, readShared } from '../support/shared.mjs';
import { ByteModel, Model } from '../../web/index.js';

const option = (name, fallback) => { const i = process.argv.indexOf(name); return i < 0 ? fallback : process.argv[i + 1]; };
const root = fileURLToPath(new URL('../../', import.meta.url));
const threads = Number(option('--threads', '1')), rounds = Number(option('--rounds', '3'));
const targets = /** @type {('valid' | 'masked' | 'all')[]} */ (option('--targets', 'valid,masked,all').split(','));
const names = option('--models', 'models/family/twin-bpe-4k.gguf,models/microtome-tiny.gguf,GPT-2,SmolLM2-135M').split(',');
const VOCABULARIES = { 'GPT-2': ['gpt2', 'ggml-vocab-gpt-2.gguf'], 'SmolLM2-135M': ['starcoder', 'ggml-vocab-starcoder.gguf'] };

const PROMPT = 'Once upon a time, there was a';
const TEXT = ' little girl named Lily who lived in a small house near the big forest. One day she went outside to play, and under the old tree she found a strange key.';

function modelOf(name) {
  if (!SHAPES[name]) return existsSync(root + name) ? readFileSync(root + name) : null;
  if (!SHARED) return null;
  const file = readShared('tokenizers', ...VOCABULARIES[name]);
  const { metadata, kinds } = readGguf(Buffer.concat([file, Buffer.alloc(-file.length & 31)])); // a file without tensors may lack its padding
  const keys = Object.fromEntries(Object.keys(metadata).filter((k) => k.startsWith('tokenizer.')).map((k) => [k, retype(metadata[k], kinds[k])]));
  return randomShape(name, GGML.Q8_0, 1, keys);
}

/** Best of the rounds: bytes per second. @param {() => Promise<number>} body bytes that it made */
async function speed(body) {
  let best = 0;
  for (let i = 0; i < rounds; i++) {
    const t0 = performance.now(), bytes = await body();
    best = Math.max(best, bytes / ((performance.now() - t0) / 1000));
  }
  return best;
}

async function measure(model, big) {
  const tokens = big ? 40 : 150, most = big ? 150 : 500, tok = model.tokenizer;
  const plain = (how) => speed(async () => {
    let n = 0;
    for await (const { id } of model.generate(PROMPT, { maxTokens: tokens, stop: [], ...how })) n += tok.tokenBytes(id).length;
    return n;
  });
  const rows = [], base = { greedy: await plain({ temperature: 0 }), sample: await plain({ seed: 1 }) };
  const add = (what, target, bytes, beside) => rows.push({ what, target, bytesPerSecond: bytes, ratio: beside ? bytes / beside : null });
  add('plain tokens, greedy', '', base.greedy, base.greedy);
  add('plain tokens, drawn', '', base.sample, base.sample);
  const text = new TextEncoder().encode(PROMPT + TEXT), keys = {};
  for (const target of targets) {
    const view = new ByteModel(model, { target });
    const few = target === 'all' ? most / 5 : most;
    await view.next(PROMPT); // tables of the automaton are filled as they are met
    add('greedy', target, await speed(async () => (await view.greedy(PROMPT, { maxBytes: few })).bytes.length), base.greedy);
    add('drawn', target, await speed(async () => (await view.sample(PROMPT, { maxBytes: few, seed: 1 })).bytes.length), base.sample);
    add('drawn, with log-probabilities', target, await speed(async () => (await view.sample(PROMPT, { maxBytes: few / 2, seed: 1, logProbs: true })).bytes.length), base.sample);
    add('scores of a text', target, await speed(async () => { await view.score(text, { perByte: true }); return text.length; }), base.greedy);
    for (const naive of target === 'valid' ? [false, true] : [false]) {
      const took = [];
      add(naive ? 'a keystroke, and the naive answer' : 'a keystroke', target, await speed(async () => {
        await view.next(text.subarray(0, PROMPT.length), { naive });
        const last = big ? PROMPT.length + 60 : text.length;
        for (let i = PROMPT.length + 1; i <= last; i++) {
          const t0 = performance.now();
          await view.next(text.subarray(0, i), { naive });
          took.push(performance.now() - t0);
        }
        return last - PROMPT.length;
      }), base.greedy);
      took.sort((a, b) => a - b);
      keys[`${target}${naive ? ', naive' : ''}`] = { median: took[took.length >> 1], p95: took[Math.floor(took.length * 0.95)], most: took.at(-1) };
    }
    await view.dispose();
  }
  return { rows, keys };
}

const results = {};
for (const name of names) {
  const bytes = modelOf(name);
  if (!bytes) { console.log(`\n${name}: not here`); continue; }
  const model = await Model.load(bytes, { threads });
  const { rows, keys } = results[name] = await measure(model, bytes.length > 50e6);
  await model.dispose();
  if (process.argv.includes('--json')) continue;
  console.log(`\n${name}, ${threads} thread${threads > 1 ? 's' : ''}\n\n| | target | bytes/s | beside plain decoding |\n|---|---|---|---|`);
  for (const r of rows) console.log(`| ${r.what} | ${r.target} | ${r.bytesPerSecond.toFixed(0)} | ${r.ratio?.toFixed(2) ?? ''} |`);
  for (const [target, k] of Object.entries(keys)) console.log(`keystroke (${target}): median ${k.median.toFixed(2)} ms, 95 % ${k.p95.toFixed(2)}, most ${k.most.toFixed(2)}`);
}
if (process.argv.includes('--json')) console.log(JSON.stringify(results));
process.exit(0);
