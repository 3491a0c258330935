// Measures of tokenizers: values worked out by hand, properties on generated text, parallel sentences of the Universal Declaration of Human Rights.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Measure, Tokenizer, alignTokenizations, divergence, parity, trainTokenizer, unreachableTokens, vocabularyOverlap } from '../../web/index.js';
import { readLines, skipWithoutShared } from '../support/shared.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const files = scratch();
const near = (/** @type {number} */ a, /** @type {number} */ b) => assert.ok(Math.abs(a - b) <= 1e-12 * Math.max(1, Math.abs(b)), `${a}, expected ${b}`);
/** @param {any} model @param {any} [around] */
const definition = (model, around = {}) => new TextEncoder().encode(JSON.stringify({ version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...around, model }));
const ids = (/** @type {string[]} */ tokens) => Object.fromEntries(tokens.map((token, id) => [token, id]));
const bpe = (/** @type {string[]} */ tokens, /** @type {string[]} */ merges, /** @type {any} */ more = {}) => Tokenizer.load(definition({ type: 'BPE', vocab: ids(tokens), merges, unk_token: '<unk>', ...more }));
const byHand = () => bpe(['<unk>', 'a', 'b', 'c', 'd', ' ', 'é', 'ab', 'cd'], ['a b', 'c d']);

describe('by hand', () => {
  test('counts and ratios', async () => {
    const measure = new Measure(await byHand());
    assert.equal(measure.add('ab  aé cd?'), 8); // ab|" "|" "|a|é|" "|cd|?
    const m = measure.read();
    assert.deepEqual([m.texts, m.tokens, m.unknown, m.bytes, m.characters, m.words, m.wordTokens, m.continuedWords], [1, 8, 1, 11, 10, 3, 5, 2]);
    near(m.fertility, 8 / 3);
    near(m.continued, 2 / 3);
    assert.deepEqual([m.compression, m.closeness, m.unknownRate], [11 / 8, 0.8, 1 / 8]);
    near(m.used, 6 / 9);
    near(m.entropy, -(3 / 8 * Math.log(3 / 8) + 5 / 8 * Math.log(1 / 8)));
    near(measure.efficiency(1), m.entropy / Math.log(9));
    near(measure.efficiency(2), -Math.log(14 / 64) / Math.log(9));
    near(measure.efficiency(), Math.log((3 / 8) ** 2.5 + 5 * (1 / 8) ** 2.5) / -1.5 / Math.log(9));
    near(measure.efficiency(Infinity), -Math.log(3 / 8) / Math.log(9));
    assert.deepEqual([...measure.counts()], [1, 1, 0, 0, 0, 3, 1, 1, 1]);
    assert.deepEqual([...measure.ranking()], [5, 0, 1, 6, 7, 8]);
    assert.deepEqual(measure.lengths(2), [0, 4, 4]); // " " three times, a; é, ab, cd, <unk>, which has 5
    assert.deepEqual(measure.rare(), [2, 3, 4].map((id) => ({ id, count: 0 })));
    assert.deepEqual(measure.rare(1).map(({ id }) => id), [2, 3, 4, 1, 6, 7, 8]);
  });
  test('nothing: ratios are 0', async () => {
    const measure = new Measure(await byHand());
    assert.equal(measure.add(''), 0);
    const m = measure.read();
    for (const name of /** @type {const} */ (['fertility', 'continued', 'compression', 'closeness', 'unknownRate', 'used', 'entropy'])) assert.equal(m[name], 0, name);
    assert.equal(measure.efficiency(), 0);
  });
  test('6 tokens on 20 characters', async () => {
    const tokenizer = await bpe(['<unk>', 'a', 'aa', 'aaaa'], ['a a', 'aa aa']);
    const measure = new Measure(tokenizer);
    measure.add('a'.repeat(16));
    measure.add('aa');
    measure.add('aa');
    assert.equal(measure.read().closeness, 0.3);
  });
  test('parity and premium', async () => {
    const tokenizer = await bpe(['<unk>', 'a', 'aa'], ['a a']);
    const found = parity(tokenizer, ['aaaaaaaa', 'aaaaaaaaaaaa', 'aaaaa', 'a'], ['aaaa', 'aaaaaaaaaaaa', 'aaa', '']); // 4/2, 6/6, 3/2, 1/0
    near(found.parity, (2 + 1 + 1.5) / 3);
    near(found.premium, 14 / 10);
    near(found.bytePremium, 26 / 19);
    assert.equal(found.sentences, 4);
    assert.throws(() => parity(tokenizer, ['a'], []), { code: 'ERANGE' });
  });
  test('overlap: strings as bytes, however they are spelled', async () => {
    const a = await bpe(['<unk>', 'a', 'b', ' ', 'ab', ' a'], []);
    const b = await Tokenizer.load(definition({ type: 'BPE', vocab: ids(['a', 'Ġ', 'Ġa', 'c']), merges: [] }, { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true } }));
    assert.deepEqual(vocabularyOverlap(a, b), { a: 5, b: 4, both: 3, jaccard: 0.5 });
  });
  test('alignment of two tokenizations', async () => {
    const a = await bpe(['<unk>', 'a', 'b', 'c', 'ab', 'abc'], ['a b', 'ab c']), b = await bpe(['<unk>', 'a', 'b', 'c', 'bc', 'ca'], ['b c', 'c a']);
    const found = alignTokenizations(a, b, 'abcabab'); // abc|ab|ab   a|bc|a|b|a|b
    assert.deepEqual(found.groups, [{ begin: 0, end: 3, a: [0, 1], b: [0, 2] }, { begin: 3, end: 5, a: [1, 2], b: [2, 4] }, { begin: 5, end: 7, a: [2, 3], b: [4, 6] }]);
    assert.deepEqual([found.same, found.precision, found.recall], [0, 2 / 5, 1]);
    near(found.f1, 4 / 7);
    const c = await bpe(['<unk>', 'a', 'b', 'c', 'ca'], ['c a']);
    assert.deepEqual(alignTokenizations(a, c, 'abca').groups, [{ begin: 0, end: 4, a: [0, 2], b: [0, 3] }]); // abc|a   a|b|ca
    assert.deepEqual(alignTokenizations(a, a, 'abcabc'), { a: Int32Array.of(5, 5), b: Int32Array.of(5, 5), groups: [{ begin: 0, end: 3, a: [0, 1], b: [0, 1] }, { begin: 3, end: 6, a: [1, 2], b: [1, 2] }], same: 2, precision: 1, recall: 1, f1: 1 });
    assert.deepEqual(alignTokenizations(a, b, '').groups, []);
  });
});

describe('unreachable tokens', () => {
  test('BPE: against all words of its letters', async () => {
    const tokens = ['<unk>', 'a', 'b', 'c', 'ab', 'bc', 'abc', 'ca', 'cab'], merges = ['a b', 'b c', 'a bc', 'c a', 'ca b'];
    const tokenizer = await bpe(tokens, merges), seen = new Set();
    for (let n = 1; n <= 6; n++) for (let k = 0; k < 3 ** n; k++) for (const id of tokenizer.encode(k.toString(3).padStart(n, '0').replace(/./g, (d) => 'abc'[Number(d)]), { offsets: false }).ids) seen.add(id);
    assert.deepEqual([...unreachableTokens(tokenizer)], tokens.map((_, id) => id).filter((id) => id && !seen.has(id)));
    assert.deepEqual([...unreachableTokens(tokenizer)], [6, 8]);
    const whole = await bpe(tokens, merges, { ignore_merges: true });
    assert.deepEqual([...unreachableTokens(whole)], []);
  });
  test('Unigram: a piece that its parts beat', async () => {
    const tokenizer = await Tokenizer.load(definition({ type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ['a', -1], ['b', -1], ['ab', -3], ['ba', -2], ['aba', -2.5]] }));
    assert.deepEqual([...unreachableTokens(tokenizer)], [3]); // ba ties with its parts, and is found first
    for (let n = 1, seen = new Set(); n <= 10; n++) for (let k = 0; k < 2 ** n; k++) for (const id of tokenizer.encode(k.toString(2).padStart(n, '0').replace(/./g, (d) => 'ab'[Number(d)]), { offsets: false }).ids) assert.ok(seen.add(id) && id !== 3);
  });
  test('WordPiece: what is too long, and nothing else', async () => {
    const tokenizer = await Tokenizer.load(definition({ type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 4, vocab: ids(['[UNK]', 'a', 'ab', '##a', '##bab', '##abab', 'ababa']) }));
    assert.deepEqual([...unreachableTokens(tokenizer)], [4, 5, 6]); // abab begins with ab, not with a; ab and bab are 5 characters together
  });
  test('symbols that depend on their place: an error', async () => {
    const tokenizer = await bpe(['<unk>', 'a', 'a</w>'], [], { end_of_word_suffix: '</w>' });
    assert.throws(() => unreachableTokens(tokenizer), { code: 'EUNKNOWN', message: /depend on their place/ });
  });
});

test('properties on generated text', async () => {
  let state = 7;
  const random = (/** @type {number} */ n) => (state = (state * 48271) % 2147483647) % n;
  const texts = Array.from({ length: 200 }, () => Array.from({ length: 1 + random(12) }, () => ['the', 'théâtre', '東京', 'x1', '😀', 'other', 'mother', '  '][random(8)]).join(' '));
  const { tokenizer } = await trainTokenizer(texts, { vocabSize: 300 }), { tokenizer: coarse } = await trainTokenizer(texts, { vocabSize: 257 });
  const fine = new Measure(tokenizer), rough = new Measure(coarse), again = new Measure(tokenizer);
  for (const text of texts) {
    assert.equal(fine.add(text), tokenizer.count(text));
    rough.add(text);
    again.add(text);
    const { groups, a, b } = alignTokenizations(tokenizer, coarse, text);
    assert.equal(groups.reduce((n, g) => n + g.end - g.begin, 0), new TextEncoder().encode(text).length);
    assert.equal(groups.reduce((n, g) => n + g.a[1] - g.a[0], 0), a.length);
    assert.equal(groups.reduce((n, g) => n + g.b[1] - g.b[0], 0), b.length);
  }
  const m = fine.read(), r = rough.read(), counts = fine.counts();
  assert.equal(m.bytes, texts.reduce((n, text) => n + Buffer.byteLength(text), 0));
  assert.equal(m.characters, texts.reduce((n, text) => n + [...text].length, 0));
  assert.equal(m.words, texts.reduce((n, text) => n + text.split(/\s+/).filter(Boolean).length, 0));
  assert.equal(counts.reduce((n, x) => n + x), m.tokens);
  assert.equal(fine.lengths(64).reduce((n, x) => n + x), m.tokens);
  assert.equal(fine.lengths(64).reduce((n, x, k) => n + k * x), m.bytes);
  assert.ok(m.compression > r.compression && m.fertility < r.fertility);
  near(m.compression * m.tokens, m.bytes);
  assert.equal(divergence(fine, fine), 0);
  assert.equal(divergence(fine, again), 0);
  near(fine.efficiency(0), Math.log(counts.filter(Boolean).length) / Math.log(tokenizer.vocabSize));
  for (let alpha = 0.5; alpha < 5; alpha += 0.5) assert.ok(fine.efficiency(alpha + 0.5) <= fine.efficiency(alpha) + 1e-12);
  assert.deepEqual([...unreachableTokens(tokenizer)], []);
  const whole = vocabularyOverlap(tokenizer, tokenizer), part = vocabularyOverlap(tokenizer, coarse);
  assert.equal(whole.jaccard, 1);
  assert.ok(part.both === 257 && part.jaccard === 257 / tokenizer.vocabSize);
  fine.dispose();
  fine.dispose();
  assert.throws(() => fine.read(), { code: 'ESTATE' });
});

test('parallel text: the Universal Declaration of Human Rights', { skip: skipWithoutShared }, async () => {
  const languages = readLines('corpora', 'udhr.jsonl');
  const articles = (/** @type {string} */ code) => {
    const found = languages.find((x) => x.code === code);
    return found.articles.slice(0, 20).map((/** @type {any} */ a) => (typeof a === 'string' ? a : JSON.stringify(a)));
  };
  const bytes = await Tokenizer.builtin('byt5');
  const english = articles('eng');
  const { tokenizer } = await trainTokenizer(english, { vocabSize: 600 });
  for (const code of ['fra', 'spa', 'rus']) {
    const there = articles(code), size = (/** @type {string} */ text) => Buffer.byteLength(text);
    const plain = parity(bytes, there, english);
    near(plain.parity, there.reduce((/** @type {number} */ n, /** @type {string} */ text, /** @type {number} */ i) => n + size(text) / size(english[i]), 0) / there.length);
    near(plain.premium, plain.bytePremium);
    const trained = parity(tokenizer, there, english);
    assert.equal(trained.bytePremium, plain.bytePremium);
    assert.ok(trained.premium > plain.premium, `${code}: ${trained.premium}`); // a vocabulary of English favours English
  }
});

test('the command line', async () => {
  const tokenizer = files.write('tokenizer.json', Buffer.from(definition({ type: 'BPE', vocab: ids(['<unk>', 'a', 'b', 'ab', 'ba']), merges: ['a b'], unk_token: '<unk>' })));
  const text = files.write('text.txt', 'abab\nab\n'), other = files.write('other.txt', 'abababab\nabab\n');
  const run = await cli(['measure', '--tokenizer', tokenizer, '--json', '--unreachable', '--top', '1', '--rare', '0', '--lengths', '2', '--reference', text, '--against', tokenizer, other]);
  assert.equal(run.status, 0, run.stderr);
  const { texts: [measured], ...rest } = JSON.parse(run.stdout);
  assert.deepEqual(rest, { model: 'BPE', vocab_size: 5, unreachable: [{ id: 4, text: 'ba' }], overlap: { a: 4, b: 4, both: 4, jaccard: 1 } });
  assert.deepEqual([measured.tokens, measured.words, measured.compression, measured.parity, measured.premium, measured.sentences], [6, 2, 2, 2, 2, 2]);
  assert.deepEqual([measured.top, measured.lengths, measured.rare.map((/** @type {any} */ x) => x.id)], [[{ id: 3, count: 6, text: 'ab' }], [0, 0, 6], [1, 2, 4]]);
  assert.deepEqual(measured.against, { lines: 2, groups: 6, one_to_one: 6, equal_lines: 2, boundaries_shared_of_first: 1, boundaries_shared_of_second: 1 });
  const piped = await cli(['measure', '--tokenizer', tokenizer], { input: 'ab ab' });
  assert.match(piped.stdout, /fertility +1\.500000/);
  assert.equal((await cli(['measure', '--tokenizer', tokenizer, '--reference', text])).status, 2);
});
