// Embeddings for another vocabulary: identities that must hold, statistics of what is drawn, files that load and run.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Model, TRANSFER_METHODS, Tokenizer, quantize, tokenVectors, trainTokenizer, transferVocabulary } from '../../web/index.js';
import { BUNDLED, cli, scratch } from '../support/wasm.mjs';
import { readGguf, tensorValues } from '../support/gguf_read.mjs';

const close = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ tolerance, what = '') => assert.ok(Math.abs(a - b) <= tolerance, `${what} ${a} is not ${b}`);
const TEXT = 'Once upon a time there was a little girl who lived in a house near the forest. She liked to play with her friends. ';
const texts = Array.from({ length: 60 }, (_, i) => `${TEXT}And ${['the dog', 'the cat', 'a bird', 'an old man'][i % 4]} was there too, ${i} times.`);
const plain = /** @type {Uint8Array} */ ((await quantize(BUNDLED, { type: 'F32' })).bytes);
const from = await Tokenizer.load(plain);
const { tokenizerJson } = await trainTokenizer([...texts, 'über größe Übermut'.repeat(20)], { vocabSize: 420, specialTokens: ['<|end|>'] });
const definition = Buffer.from(/** @type {string} */ (tokenizerJson)), to = await Tokenizer.load(definition);
/** @param {Uint8Array} bytes */
const table = (bytes) => {
  const t = readGguf(bytes).tensors['token_embd.weight'];
  return { width: t.dims[0], rows: t.dims[1], values: Float32Array.from(tensorValues(t)) };
};
const old = table(plain);
const row = (/** @type {{width: number, values: Float32Array}} */ t, /** @type {number} */ id) => t.values.subarray(id * t.width, (id + 1) * t.width);
const byBytes = new Map([...from.tokens()].filter((t) => t.kind === 'normal').map((t) => [Buffer.from(t.bytes).toString('latin1'), t.id]));
const same = [...to.tokens()].map((t) => (t.kind === 'normal' ? byBytes.get(Buffer.from(t.bytes).toString('latin1')) : undefined));

describe('rows', () => {
  test('every method but random: shared tokens keep their rows; the counts say what happened', async () => {
    for (const method of TRANSFER_METHODS) {
      const result = await transferVocabulary(plain, definition, { method, ...(method === 'similar' && { texts, skipgram: { minCount: 3, width: 16 } }) });
      const made = table(result.bytes);
      assert.deepEqual([made.width, made.rows, result.vocabSize], [old.width, to.vocabSize, to.vocabSize]);
      assert.equal(result.shared + result.made + result.drawn, to.vocabSize);
      if (method === 'random') { assert.deepEqual([result.shared, result.made], [0, 0]); continue; }
      let shared = 0;
      for (const [id, was] of same.entries()) if (was !== undefined) { shared++; assert.deepEqual(row(made, id), row(old, was), `${method}: token ${id}`); }
      assert.ok(result.shared >= shared && shared > 256);
      if (method === 'mean') assert.equal(result.drawn, result.vocabSize - result.shared - result.made);
    }
  });

  test('mean: of the old tokens that spell the new one', async () => {
    const made = table((await transferVocabulary(plain, definition, { method: 'mean' })).bytes);
    let seen = 0;
    for (const { id, bytes, kind } of to.tokens()) {
      if (kind !== 'normal' || same[id] !== undefined) continue;
      // inside one word the old tokenizer's own splitter does not matter
      const { ids } = from.encode(bytes, { offsets: false });
      if (from.decodeBytes(ids, { raw: true }).length !== bytes.length || /\s.*\S.*\s|\S\s/.test(Buffer.from(bytes).toString())) continue;
      seen++;
      for (let k = 0; k < old.width; k++) close(row(made, id)[k], ids.reduce((sum, x) => sum + row(old, x)[k], 0) / ids.length, 1e-6, `token ${id} ${JSON.stringify(to.token(id).piece)}`);
    }
    assert.ok(seen > 5, `${seen} tokens`);
  });

  test('the same vocabulary is the identity, and the model answers as before', async () => {
    const own = Buffer.from(JSON.stringify(JSON.parse(readFileSync(new URL('../../models/vocabularies/bpe-2k.json', import.meta.url), 'utf8'))));
    const result = await transferVocabulary(plain, own, { method: 'mean' });
    assert.equal(result.shared, result.vocabSize);
    assert.deepEqual(table(result.bytes).values.subarray(0, result.vocabSize * old.width), old.values.subarray(0, result.vocabSize * old.width));
    const [before, after] = await Promise.all([Model.load(plain), Model.load(result.bytes)]);
    const ids = [...before.tokenizer.encode('Once upon a time', { offsets: false }).ids];
    assert.deepEqual((await after.run(ids)).logits.subarray(0, result.vocabSize), (await before.run(ids)).logits.subarray(0, result.vocabSize));
    await Promise.all([before.dispose(), after.dispose()]);
  });

  test('drawn rows: moments of the old ones, of the same script where there are any; seeds', async () => {
    // many tokens that the old vocabulary lacks: five Cyrillic or Latin letters each
    const letters = (/** @type {string} */ alphabet) => Array.from({ length: 1500 }, (_, i) => Array.from({ length: 4 }, (_x, k) => alphabet[Math.floor(i / 6 ** k) % 6 + 6 * (k % 2)]).join(''));
    const words = [...new Set([...letters('qzxjkvwbpyfg'), ...letters('ыъэюяжшщфцчй')])];
    const base = JSON.parse(definition.toString());
    const byteText = (/** @type {string} */ word) => [...Buffer.from(word)].map((b) => [...to.tokens()].find((t) => t.bytes.length === 1 && t.bytes[0] === b)?.piece).join('');
    const spelled = new Map([...to.tokens()].filter((t) => t.bytes.length === 1).map((t) => [t.bytes[0], t.piece]));
    assert.equal(byteText('q'), 'q');
    let next = to.vocabSize;
    for (const word of words) base.model.vocab[[...Buffer.from(word)].map((b) => spelled.get(b)).join('')] ??= next++;
    const big = Buffer.from(JSON.stringify(base)), tokenizer = await Tokenizer.load(big);
    const [copy, again, other, script] = await Promise.all([['copy', 1], ['copy', 1], ['copy', 2], ['script', 1]].map(async ([method, seed]) => table((await transferVocabulary(plain, big, { method: /** @type {any} */ (method), seed: /** @type {number} */ (seed) })).bytes)));
    assert.deepEqual(copy.values, again.values);
    assert.notDeepEqual(copy.values, other.values);
    const normal = [...from.tokens()].filter((t) => t.kind === 'normal');
    const moments = (/** @type {any} */ t, /** @type {number[]} */ list, /** @type {number} */ k) => { const mean = list.reduce((s, id) => s + row(t, id)[k], 0) / list.length; return [mean, Math.sqrt(list.reduce((s, id) => s + (row(t, id)[k] - mean) ** 2, 0) / list.length)]; };
    const isLatin = (/** @type {any} */ t) => { const s = Buffer.from(t.bytes).toString(); return !s.startsWith(' ') && [...s].filter((c) => /\p{Script=Latin}/u.test(c)).length > [...s].length / 2; };
    const latin = [...tokenizer.tokens()].filter((t) => t.id >= to.vocabSize && t.bytes[0] < 128).map((t) => t.id), all = normal.map((t) => t.id), oldLatin = normal.filter(isLatin).map((t) => t.id);
    assert.ok(latin.length > 1000);
    for (let k = 0; k < old.width; k += 7)
      for (const [made, source] of /** @type {[any, number[]][]} */ ([[copy, all], [script, oldLatin]])) {
        const [mean, deviation] = moments(old, source, k), [m, d] = moments(made, latin, k);
        close(m, mean, (4.5 * deviation) / Math.sqrt(latin.length), `mean of dimension ${k}`);
        close(d, deviation, (4.5 * deviation) / Math.sqrt(2 * latin.length), `deviation of dimension ${k}`);
      }
  });
});

test('vectors of tokens: words in the same places are nearer to each other than to others; rare ones have none; deterministic', async () => {
  const pets = ['dog', 'cat'], meals = ['bread', 'soup'];
  const lines = Array.from({ length: 1500 }, (_, i) => (i % 2 ? `the ${pets[(i >> 1) % 2]} runs barks sleeps outside` : `we eat ${meals[(i >> 1) % 2]} with salt pepper`)).concat('unicorn');
  const { tokenizer } = await trainTokenizer(lines, { kind: 'wordpiece', vocabSize: 400 });
  const { vectors, width } = tokenVectors(tokenizer, lines, { width: 24, epochs: 4, subsample: 0, seed: 3 });
  assert.deepEqual(tokenVectors(tokenizer, lines, { width: 24, epochs: 4, subsample: 0, seed: 3 }).vectors, vectors);
  const v = (/** @type {string} */ word) => { const { ids } = tokenizer.encode(word); assert.equal(ids.length, 1, word); return vectors.subarray(ids[0] * width, (ids[0] + 1) * width); };
  const cosine = (/** @type {Float32Array} */ a, /** @type {Float32Array} */ b) => { let ab = 0, aa = 0, bb = 0; for (let i = 0; i < width; i++) { ab += a[i] * b[i]; aa += a[i] * a[i]; bb += b[i] * b[i]; } return ab / Math.sqrt(aa * bb); };
  for (const [a, b, c] of [['dog', 'cat', 'bread'], ['bread', 'soup', 'cat']]) assert.ok(cosine(v(a), v(b)) > cosine(v(a), v(c)) + 0.2, `${a} ${b} ${cosine(v(a), v(b))}, ${c} ${cosine(v(a), v(c))}`);
  assert.ok(v('unicorn').every((x) => x === 0), 'once is too rare');
  assert.throws(() => tokenVectors(tokenizer, lines, { width: 0 }), { code: 'ERANGE' });
  assert.throws(() => tokenVectors(tokenizer, lines, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.ok(tokenVectors(tokenizer, [], {}).vectors.every((x) => x === 0));
});

test('the new model runs on the new tokenizer; nearer with computed rows than with drawn ones', async () => {
  const bits = new Map();
  for (const method of /** @type {const} */ (['random', 'mean'])) {
    const { bytes } = await transferVocabulary(plain, definition, { method, type: 'Q8_0' });
    const model = await Model.load(bytes);
    assert.equal(model.tokenizer.vocabSize, to.vocabSize);
    assert.deepEqual([...model.tokenizer.encode('Once upon').ids], [...to.encode('Once upon').ids]);
    bits.set(method, (await model.perplexity(TEXT.repeat(4), { window: 128 })).bitsPerByte);
    await model.dispose();
  }
  assert.ok(bits.get('mean') < bits.get('random'), `${bits.get('mean')} against ${bits.get('random')} bits a byte`);
});

test('failures', async () => {
  await assert.rejects(transferVocabulary(plain, definition, { method: /** @type {any} */ ('best') }), { code: 'EUNKNOWN' });
  await assert.rejects(transferVocabulary(plain, definition, { method: 'similar' }), { code: 'EMISSING' });
  await assert.rejects(transferVocabulary(plain, Buffer.from('[UNK]\nab')), { code: 'EFORMAT' });
  await assert.rejects(transferVocabulary(plain.subarray(0, 1000), definition), /GGUF/);
  await assert.rejects(transferVocabulary(plain, definition, { signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('the command line', async () => {
  const files = scratch(), tokenizer = files.write('tokenizer.json', definition), out = files.write('out.gguf', ''), some = files.write('texts.txt', texts.join('\n'));
  const { status, stdout } = await cli(['transfer', '--json', '--method', 'similar', '--texts', some, '--type', 'Q8_0', BUNDLED, tokenizer, out]);
  assert.equal(status, 0);
  assert.equal(JSON.parse(stdout).vocab_size, to.vocabSize);
  assert.equal((await cli(['encode', '--model', out, 'Once upon'])).stdout.trim(), [...to.encode('Once upon').ids].join(' '));
  assert.equal((await cli(['transfer', BUNDLED, tokenizer])).status, 2);
  assert.equal((await cli(['transfer', '--method', 'similar', BUNDLED, tokenizer, out])).status, 2);
  assert.equal((await cli(['transfer', BUNDLED, some, out])).status, 1);
});
