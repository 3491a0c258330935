// Steps of the `tokenizers` library with their options, models for them, and the comparison with the native library: ids, offsets, decodings.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Tokenizer } from '../../web/index.js';
import { BYTE_CHAR, MARKS, SYLLABLES, bpe, random, text, utf8 } from './definitions.mjs';

export const { Tokenizer: Native } = createRequire(import.meta.url)('tokenizers');

/** Byte offsets -> code points. @param {string} source */
function codePoints(source) {
  const bytes = utf8(source), before = new Uint32Array(bytes.length + 1);
  for (let i = 0; i < bytes.length; i++) before[i + 1] = before[i] + ((bytes[i] & 0xc0) !== 0x80 ? 1 : 0);
  return (/** @type {number} */ begin, /** @type {number} */ end) => [begin >= bytes.length || (bytes[begin] & 0xc0) !== 0x80 ? before[begin] : before[begin] - 1, before[end]];
}

export const S = (/** @type {string} */ s) => ({ String: s }), R = (/** @type {string} */ s) => ({ Regex: s });
export const replace = (/** @type {any} */ pattern, /** @type {string} */ content) => ({ type: 'Replace', pattern, content });
const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];

export const NORMALIZERS = {
  NFC: { type: 'NFC' }, NFD: { type: 'NFD' }, NFKC: { type: 'NFKC' }, NFKD: { type: 'NFKD' }, Lowercase: { type: 'Lowercase' }, StripAccents: { type: 'StripAccents' }, Nmt: { type: 'Nmt' },
  'Strip left': { type: 'Strip', strip_left: true, strip_right: false }, 'Strip right': { type: 'Strip', strip_left: false, strip_right: true }, Strip: { type: 'Strip', strip_left: true, strip_right: true },
  Prepend: { type: 'Prepend', prepend: '▁' }, 'Prepend words': { type: 'Prepend', prepend: 'né x' }, 'Prepend nothing': { type: 'Prepend', prepend: '' },
  'Replace spaces': replace(S(' '), '▁'), 'Replace by nothing': replace(S('e'), ''), 'Replace by more': replace(S('o'), 'éé'), 'Replace two': replace(S('th'), 'þ'), 'Replace what is not there': replace(S('qqq'), 'x'), 'Replace the empty string': replace(S(''), '-'),
  'Replace a regex': replace(R('\\s+'), ' '), 'Replace a class': replace(R('[aeiou]'), '*'), 'Replace perhaps nothing': replace(R('l*'), '_'), 'Replace a look-ahead': replace(R('(?=t)'), '|'), 'Replace ends': replace(R('^\\s+|\\s+$'), ''),
  BertNormalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
  'BertNormalizer, cased': { type: 'BertNormalizer', clean_text: false, handle_chinese_chars: true, strip_accents: null, lowercase: false },
  'BertNormalizer, accents': { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: false, strip_accents: true, lowercase: false },
  'BertNormalizer, lower case with accents': { type: 'BertNormalizer', clean_text: false, handle_chinese_chars: false, strip_accents: false, lowercase: true },
  ByteLevel: { type: 'ByteLevel' }, 'Sequence of none': { type: 'Sequence', normalizers: [] }, 'Sequence': { type: 'Sequence', normalizers: [{ type: 'NFKD' }, { type: 'Sequence', normalizers: [{ type: 'StripAccents' }, { type: 'Lowercase' }] }] },
};
export const split = (/** @type {any} */ pattern, /** @type {string} */ behavior, invert = false) => ({ type: 'Split', pattern, behavior, invert });
/** @type {Record<string, any>} */
export const SPLITTERS = {
  BertPreTokenizer: { type: 'BertPreTokenizer' }, Whitespace: { type: 'Whitespace' }, WhitespaceSplit: { type: 'WhitespaceSplit' }, UnicodeScripts: { type: 'UnicodeScripts' },
  'Digits apart': { type: 'Digits', individual_digits: true }, 'Digits together': { type: 'Digits', individual_digits: false },
  'CharDelimiterSplit': { type: 'CharDelimiterSplit', delimiter: 'e' }, 'CharDelimiterSplit at é': { type: 'CharDelimiterSplit', delimiter: 'é' }, 'CharDelimiterSplit at spaces': { type: 'CharDelimiterSplit', delimiter: ' ' },
  'FixedLength 1': { type: 'FixedLength', length: 1 }, 'FixedLength 3': { type: 'FixedLength', length: 3 }, 'FixedLength': { type: 'FixedLength' },
  ...Object.fromEntries(BEHAVIORS.map((b) => [`Punctuation ${b}`, { type: 'Punctuation', behavior: b }])), Punctuation: { type: 'Punctuation' },
  ...Object.fromEntries(BEHAVIORS.flatMap((b) => [false, true].flatMap((invert) => [['a string', S('e')], ['a word', S('the')], ['an expression', R('[\\p{L}]+')], ['expressions', R("'s|\\s+(?!\\S)|\\d")], ['perhaps nothing', R('l*')], ['nothing', S('')]].map(([name, pattern]) => [`Split ${b} ${invert ? 'inverted ' : ''}${name}`, split(pattern, b, invert)])))),
  ...Object.fromEntries([true, false].flatMap((use_regex) => [true, false].map((add_prefix_space) => [`ByteLevel ${use_regex} ${add_prefix_space}`, { type: 'ByteLevel', add_prefix_space, trim_offsets: true, use_regex }]))), 'ByteLevel without use_regex': { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false },
  ...Object.fromEntries(['always', 'first', 'never'].flatMap((prepend_scheme) => [true, false].map((split) => [`Metaspace ${prepend_scheme} ${split}`, { type: 'Metaspace', replacement: '▁', prepend_scheme, split }]))),
  'Metaspace': { type: 'Metaspace', replacement: '▁' }, 'Metaspace with _': { type: 'Metaspace', replacement: '_', prepend_scheme: 'always', split: true }, 'Metaspace, old': { type: 'Metaspace', replacement: '▁', add_prefix_space: true }, 'Metaspace, old without prefix': { type: 'Metaspace', replacement: '▁', add_prefix_space: false, prepend_scheme: 'never' },
  'Sequence of none': { type: 'Sequence', pretokenizers: [] }, Sequence: { type: 'Sequence', pretokenizers: [{ type: 'WhitespaceSplit' }, { type: 'Sequence', pretokenizers: [{ type: 'Punctuation', behavior: 'Isolated' }, { type: 'Digits', individual_digits: true }] }] },
};

const letters = [...new Set([...SYLLABLES.join(''), ...SYLLABLES.join('').normalize('NFKD'), ...MARKS.join(''), ' ', '▁', '_', '-', '*', '|', 'þ', ...BYTE_CHAR])].filter((_, i) => i % 9);
const joined = SYLLABLES.flatMap((s) => [s, `▁${s}`, `Ġ${s}`]).filter((s) => [...s].length > 1);
/** Merges that build a piece letter by letter. */
const merges = [...new Map(joined.filter((s) => [...s].every((c) => letters.includes(c))).flatMap((s) => [...s].slice(1).map((c, i) => [`${[...s].slice(0, i + 1).join('')} ${c}`, [[...s].slice(0, i + 1).join(''), c]]))).values()];
const pieces = [...new Set(['[UNK]', ...letters, ...merges.map((m) => m.join(''))])];
const vocab = Object.fromEntries(pieces.map((p, i) => [p, i]));
const placed = Object.fromEntries([...pieces, ...pieces.slice(1).map((p) => `##${p}`)].map((p, i) => [p, i]));
export const MODELS = {
  WordLevel: { type: 'WordLevel', vocab, unk_token: '[UNK]' },
  BPE: bpe(vocab, merges, { unk_token: '[UNK]' }),
  'BPE, fused unknowns': bpe(vocab, merges, { unk_token: '[UNK]', fuse_unk: true }),
  'BPE without unknowns': bpe(vocab, merges),
  WordPiece: { type: 'WordPiece', vocab: placed, unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 12 },
  Unigram: { type: 'Unigram', unk_id: 0, byte_fallback: false, vocab: pieces.map((p, i) => [p, i ? -3 - ((i * 7919) % 1000) / 97 : 0]) },
};

export const DECODERS = {
  ByteLevel: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true }, WordPiece: { type: 'WordPiece', prefix: '##', cleanup: true }, 'WordPiece as it is': { type: 'WordPiece', prefix: '##', cleanup: false }, 'WordPiece with another prefix': { type: 'WordPiece', prefix: '▁', cleanup: true },
  ...Object.fromEntries(['always', 'first', 'never'].map((prepend_scheme) => [`Metaspace ${prepend_scheme}`, { type: 'Metaspace', replacement: '▁', prepend_scheme, split: true }])), 'Metaspace with e': { type: 'Metaspace', replacement: 'e', prepend_scheme: 'always' },
  BPEDecoder: { type: 'BPEDecoder', suffix: 'er' }, CTC: { type: 'CTC', pad_token: '[UNK]', word_delimiter_token: '|', cleanup: true }, 'CTC as it is': { type: 'CTC', pad_token: 'e', word_delimiter_token: '|', cleanup: false },
  'Replace a string': replace(S('▁'), ' '), 'Replace a regex': replace(R('[aeiou]+'), '<>'), 'Replace perhaps nothing': replace(R('l*'), '.'), 'Replace the empty string': replace(S(''), '~'),
  Fuse: { type: 'Fuse' }, ByteFallback: { type: 'ByteFallback' }, 'Strip at the start': { type: 'Strip', content: ' ', start: 1, stop: 0 }, 'Strip at the end': { type: 'Strip', content: 'n', start: 0, stop: 1 }, 'Strip é': { type: 'Strip', content: 'é', start: 1, stop: 0 },
  'Sequence of none': { type: 'Sequence', decoders: [] }, Sequence: { type: 'Sequence', decoders: [replace(S('▁'), ' '), { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] }, none: null,
};
/** @param {number} seed @param {number} count */
export function inputs(seed, count) {
  const r = random(seed), list = ['', ' ', 'a', '  the  token ', 'é', '日本語 the 한국', 'e\u0301\u0323 l l', "it's 12 ²½ Ⅷ", '\u00a0x\u3000', 'ﬁ ①', 'Ελλάδα ΣΑΣ', 'どこで生れ。Yes ー1ア', '🙂👩‍👧 e', 'a\u0085b\tc\n', '\u200bx\ufeffy\u0001z\u00ad', 'tttt tt', 'llll'];
  for (let i = 0; i < count; i++) list.push(text(r, 1 + r.next(14)));
  return list;
}

/** @param {string} name @param {any} json @param {string[]} list */
export async function same(name, json, list) {
  const bytes = utf8(JSON.stringify(json));
  let theirs;
  try { theirs = Native.fromString(bytes.toString('utf8')); } catch (error) { throw new Error(`${name}: the library refuses ${JSON.stringify({ ...json, model: undefined })}: ${error}`); }
  const ours = await Tokenizer.load(new Uint8Array(bytes));
  for (const input of list) {
    const expected = await theirs.encode(input, null, { addSpecialTokens: false });
    const got = ours.encode(input, { offsets: 'bytes' });
    const where = `${name}: ${JSON.stringify(input)}: got ${Array.from(got.ids, (id) => ours.tokenPiece(id)).join(' ')}, expected ${expected.getTokens().join(' ')}`;
    assert.deepEqual([...got.ids], expected.getIds(), where);
    const place = codePoints(input);
    assert.deepEqual(Array.from(got.ids, (_, i) => place(got.offsets[2 * i], got.offsets[2 * i + 1])), expected.getOffsets(), `offsets of ${where}`);
  }
  ours.dispose();
}
