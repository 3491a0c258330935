// The exact next-byte distribution of the bundled model against a brute force that knows nothing of the byte model: it enumerates token sequences and
// asks the tokenizer itself which of them can begin an encoding.
import { test, after } from 'node:test';
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { ByteModel, Model } from '../../web/index.js';

const shipped = (/** @type {string} */ name) => fileURLToPath(new URL(`../../models/${name}.gguf`, import.meta.url));
const model = await Model.load(shipped('microtome-tiny'), { threads: 1 });
after(() => model.dispose());

/** What may follow: enough different kinds of text to realise every way in which the splitter can cut the end of a token. */
const CONTINUATIONS = ['', ' ', 'a', 'A', '1', '.', "'", 's', '\n', 'é', '  a', ' a', 'll', 've a', '\n\na', ' 1'].map((s) => Buffer.from(s));

/** Brute force over a model: @returns {(x: Buffer) => Promise<{whole: number, next: Float64Array, end: number}>} probabilities */
function enumeration(/** @type {Model} */ model) {
  const tok = model.tokenizer, vocab = tok.vocabSize, END = tok.eos, first = tok.bos ?? END;
  const bytesOf = Array.from({ length: vocab }, (_, id) => Buffer.from(tok.tokenBytes(id)));
  const canBegin = (ids) => {
    const text = Buffer.concat(ids.map((id) => bytesOf[id]));
    return CONTINUATIONS.some((more) => {
      const got = tok.encode(new Uint8Array(Buffer.concat([text, more])), { offsets: false, specialAsText: true }).ids;
      return got.length >= ids.length && ids.every((id, i) => got[i] === id);
    });
  };
  const rows = new Map();
  /** P(next token | BOS, context) */
  const probs = async (context) => {
    const key = context.join();
    if (!rows.has(key)) {
      const { logits } = await model.run([first, ...context]);
      const row = logits.subarray(logits.length - vocab);
      const top = row.reduce((a, b) => Math.max(a, b));
      const sum = row.reduce((a, b) => a + Math.exp(b - top), 0);
      rows.set(key, Float64Array.from(row, (x) => Math.exp(x - top) / sum));
    }
    return rows.get(key);
  };
  /** Sum over all covers of x: sequences whose last token alone reaches or passes the end of x, and which can begin an encoding. */
  const prefixProbability = async (x, context = [], at = 0) => {
    const rest = x.subarray(at);
    let sum = 0;
    const row = await probs(context);
    for (let id = 0; id < vocab; id++) {
      const b = bytesOf[id];
      const n = Math.min(b.length, rest.length);
      if (!n || !b.subarray(0, n).equals(rest.subarray(0, n)) || !canBegin([...context, id])) continue;
      sum += row[id] * (b.length >= rest.length ? 1 : await prefixProbability(x, [...context, id], at + b.length));
    }
    return sum;
  };
  /** The same over every sequence of tokens, canonical or not. */
  const anyway = async (x, context = [], at = 0) => {
    const rest = x.subarray(at), row = await probs(context);
    let sum = 0;
    for (let id = 0; id < vocab; id++) {
      const b = bytesOf[id], n = Math.min(b.length, rest.length);
      if (id === END || !n || !b.subarray(0, n).equals(rest.subarray(0, n))) continue;
      sum += row[id] * (b.length >= rest.length ? 1 : await anyway(x, [...context, id], at + b.length));
    }
    return sum;
  };
  const all = async (x) => {
    const ids = [...tok.encode(new Uint8Array(x), { offsets: false, specialAsText: true }).ids];
    let end = (await probs(ids))[END];
    for (const [i, id] of ids.entries()) end *= (await probs(ids.slice(0, i)))[id];
    const next = new Float64Array(256);
    for (let byte = 0; byte < 256; byte++) next[byte] = await prefixProbability(Buffer.concat([x, Buffer.from([byte])]));
    return { whole: await prefixProbability(x), next, end };
  };
  return { all, starts: prefixProbability, anyway };
}

for (const [name, texts] of /** @type {[string, string[]][]} */ ([['microtome-tiny', ['H', 'th', ' w', 'a ', "n't", '\n ', 'é', '19', '.”']], ['family/twin-unigram-4k', ['th', ' w', '\n ', '19']], ['family/twin-pathpiece-4k', ['th', "n't"]]]))
  test(`${name}: the next byte equals enumeration`, { timeout: 300_000 }, async (t) => {
    const own = name === 'microtome-tiny' ? model : await Model.load(shipped(name), { threads: 1 });
    if (own !== model) t.after(() => own.dispose());
    const brute = enumeration(own), view = new ByteModel(own);
    for (const text of texts) {
      const got = await view.next(text), { whole, next, end } = await brute.all(Buffer.from(text));
      assert.ok(Math.abs(got.textLogProb - Math.log(whole)) < 1e-5, `${JSON.stringify(text)}: ln Pr: ${got.textLogProb} against ${Math.log(whole)}`);
      const total = next.reduce((a, b) => a + b, end);
      for (let byte = 0; byte < 256; byte++)
        assert.ok(Math.abs(Math.exp(got.bytes[byte]) - next[byte] / total) < 1e-6, `${JSON.stringify(text)}, byte ${byte}: ${Math.exp(got.bytes[byte])} against ${next[byte] / total}`);
      assert.ok(Math.abs(Math.exp(got.end) - end / total) < 1e-6, `${JSON.stringify(text)}, end: ${Math.exp(got.end)} against ${end / total}`);
      assert.equal(got.missingMass, 0);
    }
  });

/** Of 1 to 8 bytes; inside words, numbers and characters, white space of all kinds. */
const SHORT = ['O', ' ', 'On', '\n\n', 'the', ' 19', '\u2019s', ' wor', 'x1 2', '  1\n', 'n\u2019t', 'It was', 'caf\u00e9 ', 'Once up', ' 1984, h', '\u201cI am ', Buffer.from('caf\u00e9').subarray(0, 4)];
for (const name of ['twin-bpe-1k', 'twin-bpe-4k', 'twin-bpe-16k', 'twin-dropout-4k'])
  test(`${name}: probabilities of strings of up to 8 bytes equal enumeration; the three targets keep their bounds`, { timeout: 300_000 }, async (t) => {
    const file = shipped(`family/${name}`);
    const twin = await Model.load(file, { threads: 1 });
    t.after(() => twin.dispose());
    const brute = enumeration(twin), [valid, masked, all] = /** @type {const} */ (['valid', 'masked', 'all']).map((target) => new ByteModel(twin, { target }));
    for (const text of SHORT) {
      const bytes = Buffer.from(text), want = Math.log(await brute.starts(bytes)), what = JSON.stringify(String(text));
      const of = await valid.score(text);
      assert.ok(Math.abs(of.textLogProb - want) < 1e-5, `${what}: ${of.textLogProb} against ${want}`);
      // masking moves probability from what the tokenizer cannot produce to what it can
      const moved = (await masked.score(text)).textLogProb;
      assert.ok(moved >= of.textLogProb - 1e-9, `${what}: masked ${moved}, valid ${of.textLogProb}`);
      if (bytes.length > 4) continue; // the number of sequences doubles with every byte
      const every = Math.log(await brute.anyway(bytes)), beam = await all.score(text);
      assert.ok(every >= want - 1e-9, `${what}: every sequence ${every}, canonical ones ${want}`);
      assert.ok(beam.textLogProb <= every + 1e-5 && every <= beam.textLogProb - Math.log1p(-beam.missingMass) + 1e-5, `${what}: beam ${beam.textLogProb}, missing ${beam.missingMass}, all of it ${every}`);
    }
  });

// What is built on it, on the shipped twins: everything against chains of `next`.
const TWINS = ['twin-bpe-4k', 'twin-bpe-1k', 'twin-digits-ltr', 'twin-unigram-4k', 'twin-pathpiece-4k'];
const chain = async (view, text, more) => {
  const out = [];
  const all = Buffer.concat([Buffer.from(text), Buffer.from(more)]), from = Buffer.byteLength(text);
  for (let i = from; i < all.length; i++) out.push((await view.next(all.subarray(0, i), { naive: false })).bytes[all[i]]);
  return out;
};
const near = (a, b, e, what) => assert.ok(a === b || Math.abs(a - b) < e, `${what}: ${a} against ${b}`);

for (const name of TWINS)
  test(`${name}: sums, scores, greedy, beam`, { timeout: 300_000 }, async (t) => {
    const file = shipped(`family/${name}`);
    const twin = await Model.load(file, { threads: 1 });
    t.after(() => twin.dispose());
    const START = 'In 1984 the littl';
    for (const target of /** @type {const} */ (['valid', 'masked', 'all'])) {
      const view = new ByteModel(twin, { target }), other = new ByteModel(twin, { target });
      for (const text of ['', ' ', START, Buffer.from('caf\u00e9').subarray(0, 4), 'x\n\n  1']) {
        const r = await view.next(text, { naive: false });
        near(r.bytes.reduce((a, b) => a + Math.exp(b), Math.exp(r.end)), 1, 1e-6, `${target}, sum after ${JSON.stringify(String(text))}`);
        assert.equal(r.target, target);
      }
      if (target === 'all') continue; // what a beam keeps depends on the way
      const text = `${START}e girl had 27 caf\u00e9s`;
      const score = await view.score(text, { perByte: true });
      const want = await chain(other, '', text);
      want.forEach((x, i) => near(score.bytes[i], x, 1e-5, `${target}, byte ${i}`));
      near(score.end, (await other.next(text)).end, 1e-5, `${target}, end`);
      near(score.textLogProb, (await other.next(text)).textLogProb, 1e-5, `${target}, text`);
      if (target === 'masked') near(score.bytes.reduce((a, b) => a + b, 0), score.textLogProb, 1e-5, 'masked: the bytes make the text');

      const greedy = await view.greedy(START, { maxBytes: 40, logProbs: true }), quick = await other.greedy(START, { maxBytes: 40 });
      assert.deepEqual(quick.bytes, greedy.bytes, 'lazily or not');
      let text2 = Buffer.from(START);
      for (const [i, byte] of greedy.bytes.entries()) {
        const r = await other.next(text2, { naive: false });
        assert.equal(byte, [...r.bytes, r.end].reduce((best, x, b, all) => (x > all[best] ? b : best), 0), `greedy byte ${i}`);
        near(greedy.logProbs[i], r.bytes[byte], 1e-5, `greedy byte ${i}`);
        text2 = Buffer.concat([text2, Buffer.of(byte)]);
      }

      const { paths, prunedLogProb } = await view.beam(START, { length: 5, width: 6 });
      for (const [i, p] of paths.entries()) {
        const logs = await chain(other, START, p.bytes);
        const end = p.ends ? (await other.next(Buffer.concat([Buffer.from(START), p.bytes]))).end : 0;
        near(logs.reduce((a, b) => a + b, end), p.logProb, 1e-5, `path ${i}`);
        if (i) assert.ok(p.logProb <= paths[i - 1].logProb);
        assert.equal(p.proven, p.logProb > prunedLogProb);
      }
      await view.dispose();
      await other.dispose();
    }
  });

test('generating: seeds, temperature, characters, aborting', { timeout: 120_000 }, async () => {
  const view = new ByteModel(model);
  const one = await view.sample('Once', { maxBytes: 60, seed: 11 }), two = await view.sample('Once', { maxBytes: 60, seed: 11 }), three = await view.sample('Once', { maxBytes: 60, seed: 12 });
  assert.deepEqual(one, two);
  assert.notDeepEqual(one.bytes, three.bytes);
  assert.equal(one.target, 'valid');
  assert.deepEqual((await view.sample('Once', { maxBytes: 20, temperature: 0 })).bytes, (await view.greedy('Once', { maxBytes: 20 })).bytes);
  assert.deepEqual((await view.sample('Once', { maxBytes: 20, topP: 1e-9, seed: 4 })).bytes, (await view.greedy('Once', { maxBytes: 20 })).bytes, 'the likeliest alone');
  // a prefix that ends inside a character: its rest comes with the first bytes
  const cut = Buffer.from('na\u00ef').subarray(0, 3);
  const text = (await view.greedy(cut, { maxBytes: 1 }));
  assert.ok(text.bytes[0] >= 0x80 && text.bytes[0] < 0xc0 && [...text.text].length === 1, text.text);
  let pieces = '';
  const stream = view.generate('Once', { maxBytes: 60, seed: 11 });
  for await (const piece of stream) pieces += piece.text;
  assert.equal(pieces, one.text);
  let long = 0; // a seed whose text goes on for so long that the worker is still at work after the first piece
  while ((await view.sample('Once', { maxBytes: 1500, seed: long })).reason === 'end' && long < 50) long++;
  for await (const _ of view.generate('Once', { maxBytes: 100000, seed: long })) break; // leaving early
  const control = new AbortController();
  await assert.rejects(async () => { for await (const _ of view.generate('Once', { maxBytes: 100000, seed: long, signal: control.signal })) control.abort(); }, { name: 'AbortError' });
  assert.deepEqual(await view.sample('Once', { maxBytes: 60, seed: 11 }), one, 'usable after both');
  assert.equal((await view.greedy('Once', { maxBytes: 0 })).bytes.length, 0);
  await assert.rejects(view.sample('x', { temperature: -1 }), { code: 'ERANGE' });
  await assert.rejects(view.sample('x', { topP: 0 }), { code: 'ERANGE' });
  await assert.rejects(view.beam('x', { width: 0 }), { code: 'ERANGE' });
  const small = new ByteModel(model, { contextTokens: 40 });
  assert.equal((await small.sample('Once', { maxBytes: 2000, seed: 2 })).reason, 'context');
  const impossible = await view.score(Uint8Array.of(0x61, 0xff, 0x62), { perByte: true });
  assert.ok(impossible.bytes[0] > -50 && impossible.textLogProb === impossible.textLogProb);
  await view.dispose();
});
