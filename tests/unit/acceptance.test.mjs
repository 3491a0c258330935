// Acceptance values of the methods (tokenization) that are seen best from JavaScript; the native tests name the others (1, 2, 3, 5, 6, 12).
import test from 'node:test';
import assert from 'node:assert/strict';
import { Tokenizer } from '../../web/index.js';
import { bpe as model, byteLevel, characterLevel, definition, random, utf8 } from '../support/definitions.mjs';

const load = (/** @type {any} */ json) => Tokenizer.load(new Uint8Array(utf8(JSON.stringify(json))));
const MERGES = [['a', 'b'], ['ab', 'c'], ['b', 'c'], ['c', 'a'], ['ca', 'b'], ['a', 'a'], ['abc', 'a'], ['bc', 'bc']];
const HASH11 = ['a', 'b', 'c', 'ab', 'abc', 'bc', 'ca', 'cab', 'aa', 'abca', 'bcbc'];

test('ACCEPTANCE 1: HASH-11 through the whole pipeline: 52131 tokens for 9840 strings', async () => {
  const tokenizer = await load(definition(model(Object.fromEntries(HASH11.map((p, i) => [p, i])), MERGES)));
  let tokens = 0, strings = 0;
  for (let length = 1; length <= 8; length++)
    for (let k = 0; k < 3 ** length; k++, strings++) tokens += tokenizer.count(k.toString(3).padStart(length, '0').replace(/./g, (d) => 'abc'[Number(d)]));
  assert.deepEqual([strings, tokens], [9840, 52131]);
});

test('ACCEPTANCE 2: 10000 random byte strings come back', async () => {
  for (const json of [byteLevel(1), characterLevel(5, { byte_fallback: true, fuse_unk: true })]) {
    const tokenizer = await load(json);
    const r = random(1), whole = json.model.byte_fallback;
    for (let i = 0; i < 10000; i++) {
      const bytes = Uint8Array.from({ length: r.next(40) }, () => r.next(256));
      const ids = tokenizer.encode(bytes, { offsets: false }).ids;
      // The definition with byte fallback puts a space in front and writes spaces as marks.
      const expected = whole && bytes.length ? Buffer.concat([Buffer.of(32), bytes]) : Buffer.from(bytes);
      assert.deepEqual(Buffer.from(tokenizer.decodeBytes(ids, { raw: true })).toString('latin1').replaceAll('\xe2\x96\x81', ' '), expected.toString('latin1').replaceAll('\xe2\x96\x81', ' '));
    }
  }
});

test('ACCEPTANCE 4: unaffable; every string of up to 8 letters as the definition of WordPiece has it', async () => {
  const wordPiece = (/** @type {string[]} */ pieces) => load(definition({ type: 'WordPiece', unk_token: '[unk]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: Object.fromEntries(['[unk]', ...pieces].map((p, i) => [p, i])) }));
  const small = await wordPiece(['un', '##aff', '##able', 'aff', '##a', 'able']);
  const spelled = (/** @type {Tokenizer} */ t, /** @type {string} */ s) => Array.from(t.encode(s).ids, (id) => t.tokenPiece(id));
  assert.deepEqual(spelled(small, 'unaffable'), ['un', '##aff', '##able']);
  assert.deepEqual(spelled(small, 'unaffablex'), ['[unk]']);
  const start = HASH11.filter((p) => p !== 'c'), pieces = [...start, ...HASH11.filter((p) => p !== 'b').map((p) => `##${p}`)];
  const tokenizer = await wordPiece(pieces), known = new Set(pieces);
  const naive = (/** @type {string} */ word) => {
    const out = [];
    for (let at = 0; at < word.length;) {
      let end = word.length;
      while (end > at && !known.has((at ? '##' : '') + word.slice(at, end))) end--;
      if (end === at) return ['[unk]'];
      out.push((at ? '##' : '') + word.slice(at, end));
      at = end;
    }
    return out;
  };
  for (let length = 1; length <= 8; length++)
    for (let k = 0; k < 3 ** length; k++) {
      const word = k.toString(3).padStart(length, '0').replace(/./g, (d) => 'abc'[Number(d)]);
      assert.deepEqual(spelled(tokenizer, word), naive(word), word);
    }
});

test('ACCEPTANCE 12: groups of three digits from the left and from the right', async () => {
  const words = async (/** @type {string} */ pattern, /** @type {string} */ text) => {
    const tokenizer = await load(definition({ type: 'WordLevel', unk_token: '?', vocab: { '?': 0 } }, { pre_tokenizer: { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false } }));
    const { offsets } = tokenizer.encode(text);
    return Array.from({ length: (offsets?.length ?? 0) / 2 }, (_, i) => text.slice(offsets?.[2 * i], offsets?.[2 * i + 1]));
  };
  const left = '\\p{N}{1,3}', right = '\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))';
  assert.deepEqual(await words(left, '8302080'), ['830', '208', '0']);
  assert.deepEqual(await words(right, '8302080'), ['8', '302', '080']);
  assert.deepEqual(await words(left, '1234567'), ['123', '456', '7']);
  assert.deepEqual(await words(right, '1234567'), ['1', '234', '567']);
});
