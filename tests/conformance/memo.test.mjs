// What a tokenizer remembers of words changes nothing: ids and offsets of texts whose words it has met, in every order, are those of a tokenizer that remembers nothing. (Texts up to 256 bytes
// do not make it remember; a longer one does.)
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Tokenizer } from '../../web/index.js';
import { HARD, SYLLABLES, byteLevel, characterLevel, random, text, unigram, utf8, wordPiece } from '../support/definitions.mjs';
import { sentencePieceModel } from '../support/sentencepiece_write.mjs';
import { readShared, shared, skipWithoutShared } from '../support/shared.mjs';

const SHORT = 256; // bytes

/** Words known, unknown, half known; text whose normal form has another length; bytes that are not text. @param {number} seed @returns {(string | Uint8Array)[]} */
function short(seed) {
  const r = random(seed);
  /** @type {(string | Uint8Array)[]} */ const list = HARD.map((s) => s.slice(0, 40));
  const strange = ['\u{1f9ff}', '߷', 'ⷕ', 'ﷺ', '①', 'ﬃ', 'é', 'é', 'Å', '\u0e33', '\u0000', '\u200d', '…', '½', '\ufffd', '𝔘', 'ǅ', 'ß', 'İ', '㍍', '\u1100\u1161', '~', '\\', '{', 'Q'];
  for (let i = 0; i < 120; i++) list.push(text(r, 1 + r.next(10)));
  for (let i = 0; i < 120; i++) list.push(Array.from({ length: 1 + r.next(4) }, () => Array.from({ length: 1 + r.next(3) }, () => r.pick(r.chance(2) ? strange : SYLLABLES)).join('')).join(' '));
  for (const s of strange) list.push(s, `a${s}`, `${s}a`, ` ${s}`, `${s} `, `${s}${s}`);
  for (let i = 0; i < 20; i++) list.push(Uint8Array.from({ length: 1 + r.next(5) }, () => r.next(256)));
  return list.filter((s) => utf8(s).length <= SHORT);
}

/** @param {() => Promise<Tokenizer>} load @param {number} seed */
async function same(load, seed) {
  const list = short(seed), forgetful = await load(), other = await load();
  /** @param {Tokenizer} tok @param {string | Uint8Array} input */
  const encode = (tok, input) => {
    const { ids, offsets } = tok.encode(input, { offsets: 'bytes' });
    return { ids: [...ids], offsets: [...(offsets ?? [])] };
  };
  const expected = list.map((input) => encode(forgetful, input));
  // Everything is met, with offsets and without; then twice each, forwards and backwards.
  for (const s of [' ', '\n']) other.encode(list.map((x) => (typeof x === 'string' ? x : Buffer.from(x).toString('latin1'))).join(s), { offsets: seed % 2 ? false : 'bytes' });
  list.forEach((input, i) => assert.deepEqual(encode(other, input), expected[i], JSON.stringify(input)));
  for (let i = list.length; i--;) {
    assert.deepEqual(encode(other, list[i]), expected[i], JSON.stringify(list[i]));
    assert.deepEqual([...other.encode(list[i], { offsets: false }).ids], expected[i].ids);
    assert.deepEqual(encode(other, list[i]), expected[i], JSON.stringify(list[i]));
  }
  forgetful.dispose();
  other.dispose();
}

const json = (/** @type {any} */ definition) => () => Tokenizer.load(new Uint8Array(utf8(JSON.stringify(definition))), { name: 'tokenizer.json' });
/** Without a piece for the space mark, which byte fallback then spells in three bytes. @param {any} definition */
const unmarked = (definition) => {
  const { vocab, merges } = definition.model;
  if (Array.isArray(vocab)) definition.model.vocab = vocab.filter(([piece]) => !piece.includes('\u2581'));
  else {
    definition.model.vocab = Object.fromEntries(Object.keys(vocab).filter((piece) => !piece.includes('\u2581')).map((piece, id) => [piece, id]));
    definition.model.merges = merges.filter((/** @type {string[]} */ pair) => !pair.join('').includes('\u2581'));
  }
  return definition;
};
const NFKC = { type: 'Sequence', normalizers: [{ type: 'NFKC' }, { type: 'Lowercase' }] };

/** @param {1 | 2 | 3 | 4} model @param {any} [more] */
const sentencePiece = (model, more = {}) => () => {
  const r = random(model);
  /** @type {Map<string, [number, any]>} */ const pieces = new Map([['<unk>', [0, 'unknown']], ['<s>', [0, 'control']], ['\u2581', [-3, 'normal']]]);
  if (more.byteFallback) for (let b = 0; b < 256; b++) pieces.set(`<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, [0, 'byte']);
  for (const c of new Set(SYLLABLES.join(''))) if (!r.chance(6)) pieces.set(c, [-6 - r.next(1000) / 250, 'normal']);
  for (let i = 0; i < 300; i++) pieces.set((r.chance(2) ? '\u2581' : '') + Array.from({ length: 1 + r.next(3) }, () => r.pick(SYLLABLES)).join(''), [-4 - r.next(1000) / 100, r.chance(12) ? 'unused' : r.chance(20) ? 'user' : 'normal']);
  return Tokenizer.load(sentencePieceModel({ pieces: [...pieces].map(([s, [score, type]]) => [s, score, type]), model, ...more }), { name: 'tokenizer.model' });
};

/** @type {Record<string, () => Promise<Tokenizer>>} */
const MADE = {
  'byte-level BPE': json(byteLevel(1)),
  'byte-level BPE, ignore_merges, normal form': json(byteLevel(2, { normalizer: NFKC }, { ignore_merges: true })),
  'byte-level BPE, trimmed offsets': json(byteLevel(3, { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true }, post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true } })),
  'character BPE, byte fallback': json(characterLevel(5, { byte_fallback: true, fuse_unk: true })),
  'character BPE, byte fallback, words': json({ ...characterLevel(5, { byte_fallback: true }), normalizer: NFKC, pre_tokenizer: { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'always', split: true } }),
  'character BPE, byte fallback, no mark': json(unmarked(characterLevel(5, { byte_fallback: true, fuse_unk: true }))),
  'character BPE, unknowns': json(characterLevel(6, {})),
  'character BPE, fused unknowns': json(characterLevel(7, { fuse_unk: true })),
  'character BPE, nothing for unknowns': json(characterLevel(7, { unk_token: null })),
  'character BPE, words, suffix': json({ ...characterLevel(8, { end_of_word_suffix: 'er' }), normalizer: NFKC, pre_tokenizer: { type: 'WhitespaceSplit' } }),
  'character BPE, words, prefix, byte fallback': json({ ...characterLevel(8, { continuing_subword_prefix: '', byte_fallback: true, end_of_word_suffix: 'er' }), normalizer: null, pre_tokenizer: { type: 'WhitespaceSplit' } }),
  'Unigram': json({ ...unigram(8, false), normalizer: NFKC }),
  'Unigram, byte fallback': json(unigram(9, true)),
  'Unigram, byte fallback, normal form': json({ ...unigram(9, true), normalizer: NFKC }),
  'Unigram, byte fallback, no mark': json(unmarked(unigram(9, true))),
  'Unigram, byte fallback, white space split': json({ ...unigram(9, true), pre_tokenizer: { type: 'WhitespaceSplit' } }),
  'WordPiece, lower case': json(wordPiece(10, true)),
  'WordPiece, cased': json(wordPiece(11, false)),
  'SentencePiece Unigram': sentencePiece(1),
  'SentencePiece Unigram, byte fallback': sentencePiece(1, { byteFallback: true }),
  'SentencePiece BPE': sentencePiece(2),
  'SentencePiece BPE, byte fallback': sentencePiece(2, { byteFallback: true }),
  'SentencePiece BPE, byte fallback, mark behind the word': sentencePiece(2, { byteFallback: true, suffix: true }),
  'SentencePiece words': sentencePiece(3),
  'SentencePiece characters': sentencePiece(4, { byteFallback: true }),
  'bytes': () => Tokenizer.builtin('byt5'),
  'code points': () => Tokenizer.builtin('canine'),
};

let seed = 1;
for (const [name, load] of Object.entries(MADE)) test(`remembered words: ${name}`, async () => { for (let k = 0; k < 2; k++) await same(load, seed++); });

describe('remembered words of every family', { skip: skipWithoutShared }, () => {
  const files = existsSync(shared('tokenizers')) ? readdirSync(shared('tokenizers'), { withFileTypes: true }).filter((entry) => entry.isDirectory()).flatMap(({ name: family }) => {
    const folder = readdirSync(shared('tokenizers', family)).map((file) => file.replace(/\.gz$/, ''));
    return folder.filter((file) => /^tokenizer\.json$|\.model$|\.tiktoken$|^rwkv_vocab|\.gguf$/.test(file)).map((file) => ({ family, file }));
  }) : [];
  for (const { family, file } of files)
    test(`${family}/${file}`, { timeout: 120_000 }, () => {
      const bytes = readShared('tokenizers', family, file);
      return same(() => Tokenizer.load(bytes, { name: file }), seed++);
    });
});
