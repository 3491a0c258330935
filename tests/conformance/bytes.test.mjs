// The exact next-byte distribution of the bundled model against a brute force that knows nothing of the byte model: it enumerates token sequences and
// asks the tokenizer itself which of them can begin an encoding.
import { test, after } from 'node:test';
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { ByteModel, Model } from '../../web/index.js';

const model = await Model.load(fileURLToPath(new URL('../../models/microtome-tiny.gguf', import.meta.url)), { threads: 1 });
after(() => model.dispose());
const tok = model.tokenizer;
const vocab = tok.vocabSize;
const bytesOf = Array.from({ length: vocab }, (_, id) => Buffer.from(tok.tokenBytes(id)));
const END = tok.eos;
const special = new Set([END]);

/** What may follow: enough different kinds of text to realise every way in which the splitter can cut the end of a token. */
const CONTINUATIONS = ['', ' ', 'a', 'A', '1', '.', "'", 's', '\n', 'é', '  a', ' a', 'll', 've a', '\n\na', ' 1'].map((s) => Buffer.from(s));
const canBegin = (ids) => {
  const text = Buffer.concat(ids.map((id) => bytesOf[id]));
  return CONTINUATIONS.some((more) => {
    const got = tok.encode(new Uint8Array(Buffer.concat([text, more])), { offsets: false }).ids;
    return got.length >= ids.length && ids.every((id, i) => got[i] === id);
  });
};

const rows = new Map();
/** ln P(next token | BOS, context) */
async function logProbs(context) {
  const key = context.join();
  if (!rows.has(key)) {
    const { logits } = await model.run([END, ...context]);
    const row = logits.subarray(logits.length - vocab);
    const top = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((a, b) => a + Math.exp(b - top), 0);
    rows.set(key, Float64Array.from(row, (x) => x - top - Math.log(sum)));
  }
  return rows.get(key);
}

/** Sum over all covers of x: sequences whose last token alone reaches or passes the end of x, and which can begin an encoding. */
async function prefixProbability(x, context = [], at = 0) {
  const rest = x.subarray(at);
  let sum = 0;
  const row = await logProbs(context);
  for (let id = 0; id < vocab; id++) {
    if (special.has(id)) continue;
    const b = bytesOf[id];
    const n = Math.min(b.length, rest.length);
    if (!b.subarray(0, n).equals(rest.subarray(0, n))) continue;
    if (!canBegin([...context, id])) continue;
    if (b.length >= rest.length) sum += Math.exp(row[id]);
    else sum += Math.exp(row[id]) * (await prefixProbability(x, [...context, id], at + b.length));
  }
  return sum;
}

for (const text of ['H', 'th', ' w', 'a ', "n't", '\n ', 'é', '19', '.”'])
  test(`next byte after ${JSON.stringify(text)} equals enumeration`, { timeout: 300_000 }, async () => {
    const x = Buffer.from(text);
    const view = new ByteModel(model);
    const got = await view.next(text);
    const whole = await prefixProbability(x);
    assert.ok(Math.abs(got.textLogProb - Math.log(whole)) < 1e-5, `ln Pr: ${got.textLogProb} against ${Math.log(whole)}`);
    const ids = [...tok.encode(text, { offsets: false }).ids];
    const end = Math.exp((await logProbs(ids))[END]) * (await ids.reduce(async (p, id, i) => (await p) * Math.exp((await logProbs(ids.slice(0, i)))[id]), 1));
    const next = new Float64Array(256);
    for (let byte = 0; byte < 256; byte++) next[byte] = await prefixProbability(Buffer.concat([x, Buffer.from([byte])]));
    const total = next.reduce((a, b) => a + b, end);
    for (let byte = 0; byte < 256; byte++)
      assert.ok(Math.abs(Math.exp(got.bytes[byte]) - next[byte] / total) < 1e-6, `byte ${byte}: ${Math.exp(got.bytes[byte])} against ${next[byte] / total}`);
    assert.ok(Math.abs(Math.exp(got.end) - end / total) < 1e-6, `end: ${Math.exp(got.end)} against ${end / total}`);
    assert.equal(got.missingMass, 0);
  });
