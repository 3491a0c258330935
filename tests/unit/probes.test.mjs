// Probes: operators by their definition, identities between the numbers, repeatability.
import { after, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { ByteModel, Model, TEXT_FORMATS, TYPO_OPERATORS, chunkDigits, commaProbe, dropoutProbe, formatProbe, scoreTokenizations, sumsProbe, tokenDistance, typoProbe, undertrainedTokens, withTypos } from '../../web/index.js';
import { BUNDLED, cli } from '../support/wasm.mjs';
import { ROOT } from '../support/shared.mjs';

const model = await Model.load(BUNDLED, { threads: 1 });
after(() => model.dispose());
const tok = model.tokenizer, TEXTS = ['Once upon a time, there was a little girl.', 'He said nothing, and left.'];
const fails = (code) => (error) => error.code === code;
const close = (a, b, tolerance) => assert.ok(Math.abs(a - b) < tolerance, `${a} against ${b}`);
const ids = (text) => tok.encode(text, { offsets: false }).ids;

describe('typing errors', () => {
  test('each operator does what it says, the same for the same seed', () => {
    const text = 'Hello world', letters = [...text];
    for (let seed = 0; seed < 40; seed++) {
      const results = Object.fromEntries(TYPO_OPERATORS.map((operator) => [operator, withTypos(tok, text, operator, 1, { seed })]));
      assert.deepEqual(results, Object.fromEntries(TYPO_OPERATORS.map((operator) => [operator, withTypos(tok, text, operator, 1, { seed })])));
      const every = (make) => letters.flatMap((c, i) => (/\p{L}/u.test(c) ? [make([...letters], i).join('')] : []));
      assert.ok(every((l, i) => { if (i + 1 < l.length) [l[i], l[i + 1]] = [l[i + 1], l[i]]; return l; }).includes(results.swap));
      assert.ok(every((l, i) => { l.splice(i, 1); return l; }).includes(results.drop));
      assert.ok(every((l, i) => { l.splice(i, 0, l[i]); return l; }).includes(results.repeat));
      assert.equal(results.keyboard.length, text.length);
      assert.equal([...results.keyboard].filter((c, i) => c !== letters[i]).length, 1);
    }
    assert.equal(withTypos(tok, text, 'drop', 0), text);
    assert.equal(withTypos(tok, '12 34', 'drop', 3), '12 34', 'no letters, no errors');
    assert.match(withTypos(tok, 'abc def', 'repeat', 1, { level: 'word', seed: 3 }), /^(aabc def|abc ddef)$/);
  });

  test('at the edges of tokens', () => {
    const text = 'Once upon a time there was a little girl', edges = new Set();
    let at = 0;
    for (const id of ids(text)) { edges.add(at); at += tok.tokenBytes(id).length; edges.add(at); }
    for (let seed = 0; seed < 30; seed++) {
      const dropped = withTypos(tok, text, 'drop', 1, { level: 'boundary', seed });
      const possible = [...text].map((_, i) => i).filter((i) => (edges.has(i) || edges.has(i + 1)) && /\p{L}/u.test(text[i])).map((i) => text.slice(0, i) + text.slice(i + 1));
      assert.ok(possible.includes(dropped), dropped);
    }
  });

  test('the probe: clean texts are as scored, distances as defined, errors cost bits', async () => {
    const rows = await typoProbe(model, TEXTS, { edits: [0, 3], operators: ['swap', 'drop'] });
    assert.deepEqual(rows.map(({ variant, edits }) => [variant, edits]), [['swap', 0], ['swap', 3], ['drop', 0], ['drop', 3]]);
    const view = new ByteModel(model), clean = await scoreTokenizations(model, TEXTS.map(ids));
    close(rows[0].bits, -(clean[0] + clean[1]) / 2 / Math.LN2, 1e-6);
    close(rows[0].exactBits, -((await view.score(TEXTS[0])).textLogProb + (await view.score(TEXTS[1])).textLogProb) / 2 / Math.LN2, 1e-3);
    assert.equal(rows[0].tokenDistance, 0);
    assert.ok(rows[1].bits > rows[0].bits && rows[3].bits > rows[2].bits && rows[1].tokenDistance > 0);
    assert.ok(rows.every((r) => r.exactBits <= r.bits + 1e-6), 'all spellings together are likelier than one of them');
    await assert.rejects(typoProbe(model, []), fails('ERANGE'));
    assert.throws(() => withTypos(tok, 'a', 'explode', 1), fails('EUNKNOWN'));
  });
});

test('token distance is the edit distance of ids', () => {
  assert.equal(tokenDistance([], [1, 2]), 2);
  assert.equal(tokenDistance([1, 2, 3], [1, 3]), 1);
  assert.equal(tokenDistance([1, 2, 3], [4, 5, 6]), 3);
  assert.equal(tokenDistance([1, 2, 3, 4], [2, 3, 4, 5]), 2);
});

test('formats', async () => {
  const rows = await formatProbe(model, TEXTS, { exact: false });
  assert.deepEqual(rows.map((r) => r.variant), ['as it is', ...TEXT_FORMATS]);
  assert.ok(Number.isNaN(rows[0].exactBits));
  const upper = await scoreTokenizations(model, TEXTS.map((t) => ids(t.toUpperCase())));
  close(rows[1].bits, -(upper[0] + upper[1]) / 2 / Math.LN2, 1e-6);
  await assert.rejects(formatProbe(model, TEXTS, { formats: ['pig latin'] }), fails('EUNKNOWN'));
});

test('dropout: rate 0 is the usual tokenization, rate 1 single bytes, and more of it costs more', async () => {
  const rows = await dropoutProbe(model, TEXTS, { rates: [0, 0.3, 1], samples: 3 });
  const clean = await scoreTokenizations(model, TEXTS.map(ids));
  close(rows[0].bitsPerByte, TEXTS.reduce((s, t, i) => s - clean[i] / Math.LN2 / t.length / 2, 0), 1e-6);
  assert.ok(rows[0].deviation < 1e-12 && rows[0].tokenDistance === 0);
  close(rows[2].tokens, (TEXTS[0].length + TEXTS[1].length) / 2, 1e-9);
  assert.ok(rows[0].bitsPerByte < rows[1].bitsPerByte && rows[1].bitsPerByte < rows[2].bitsPerByte && rows[1].deviation > 0);
  assert.deepEqual(await dropoutProbe(model, TEXTS, { rates: [0.3], samples: 3 }), [rows[1]], 'seeded');
});

test('a space before a comma changes the tokens around it alone, and the parts add up', async () => {
  for (let seed = 0; seed < 4; seed++) {
    const text = 'Once, there was a dog, a cat, and a bird.', r = await commaProbe(model, text, { seed });
    assert.equal(r.text.replace(' ,', ','), text);
    const sum = ({ nats }) => nats.reduce((a, b) => a + b, 0);
    close(r.own + r.behind, sum(r.after) - sum(r.before), 1e-9);
    close(r.change, sum(r.after) / r.after.ids.length - sum(r.before) / r.before.ids.length, 1e-9);
    const spelt = (list, places) => Buffer.from(tok.decodeBytes(places.map((i) => list.ids[i]))).toString();
    // What changed is one pre-token on each side at most.
    assert.ok(spelt(r.after, r.added).length <= 10 && spelt(r.before, r.removed).length <= 9, JSON.stringify([spelt(r.after, r.added), spelt(r.before, r.removed)]));
  }
  await assert.rejects(commaProbe(model, 'no such mark'), fails('ERANGE'));
});

test('digits in groups', () => {
  assert.deepEqual(chunkDigits('8302080', 3, 'left'), ['830', '208', '0']);
  assert.deepEqual(chunkDigits('8302080', 3, 'right'), ['8', '302', '080']);
  assert.deepEqual(chunkDigits('1234567', 3, 'left'), ['123', '456', '7']);
  assert.deepEqual(chunkDigits('1234567', 3, 'right'), ['1', '234', '567']);
  assert.deepEqual([chunkDigits('', 3, 'left'), chunkDigits('12', 3, 'right'), chunkDigits('123456', 3, 'right')], [[], ['12'], ['123', '456']]);
  // Groups from the right are those of the reversed number from the left.
  for (const n of ['7', '1234', '90210', '31415926535']) assert.deepEqual(chunkDigits(n, 3, 'right'), chunkDigits([...n].reverse().join(''), 3, 'left').map((g) => [...g].reverse().join('')).reverse());
  assert.throws(() => chunkDigits('12a', 3, 'left'), fails('ERANGE'));
});

test('the digit twins add, by tokens that begin on their side', { timeout: 120_000 }, async () => {
  for (const side of /** @type {const} */ (['left', 'right'])) {
    const twin = await Model.load(`${ROOT}models/family/twin-digits-${side === 'left' ? 'ltr' : 'rtl'}.gguf`, { threads: 1 });
    try {
      for (const n of ['8302080', '12345', '999']) assert.deepEqual([...twin.tokenizer.encode(n, { offsets: false }).ids].map((id) => Buffer.from(twin.tokenizer.tokenBytes(id)).toString()), chunkDigits(n, 3, side));
      const { rows, right } = await sumsProbe(twin, { count: 4, most: 5 });
      assert.ok(right > 0.5, `${side}: ${right}`);
      assert.equal(rows.reduce((s, r) => s + r.count, 0), 20);
    } finally {
      await twin.dispose();
    }
  }
});

test('embeddings: bytes that UTF-8 does not have are among the most suspicious, frequent words are not', async () => {
  const { tokens, references, tied } = await undertrainedTokens(model, { top: 60 });
  assert.ok(references >= 13 && typeof tied === 'boolean');
  assert.ok(tokens.every((t, i) => !i || t.similarity <= tokens[i - 1].similarity));
  const impossible = tokens.filter(({ id }) => { const b = tok.tokenBytes(id); return b.length === 1 && (b[0] === 0xc0 || b[0] === 0xc1 || b[0] > 0xf4); });
  assert.ok(impossible.length >= 7, `${impossible.length} of 13 among the first 60`);
  const { tokens: all } = await undertrainedTokens(model, { top: 2 ** 20 });
  const rank = (text) => all.findIndex(({ id }) => Buffer.from(tok.tokenBytes(id)).toString() === text);
  for (const word of [' the', ' and', ' was']) assert.ok(rank(word) > all.length / 2, word);
});

test('on the command line', async () => {
  const run = async (...args) => JSON.parse((await cli(['probe', ...args, '--json'])).stdout);
  assert.deepEqual((await run('healing', '--cuts', '2', '--seed', '1', TEXTS[0])).rows.map(({ method }) => method), ['naive', 'healing', 'alignment', 'weighted', 'exact']);
  assert.deepEqual([...new Set((await run('spaces', '--cuts', '1', TEXTS[0])).rows.map((r) => r.prompt_ends))], ['before the space', 'after the space']);
  assert.equal((await run('typos', '--operator', 'swap', TEXTS[0])).rows.length, 4);
  assert.equal((await run('formats', TEXTS[1])).rows.length, TEXT_FORMATS.length + 1);
  assert.equal((await run('comma', '--seed', '1', TEXTS[1])).text, 'He said nothing , and left.');
  assert.equal((await run('embeddings', '--top', '3')).rows.length, 3);
  assert.match((await cli(['probe', 'dropout', TEXTS[1]])).stdout, /^rate +bits_per_byte/);
  assert.match((await cli(['probe', 'mind'])).stderr, /unknown probe mind: known are healing/);
});
