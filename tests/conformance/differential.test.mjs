// Differential tests that need nothing but npm: definitions and texts made here, ids compared with the `tokenizers` native binding and with tiktoken.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { Tokenizer } from '../../web/index.js';
import { readShared, skipWithoutShared } from '../support/shared.mjs';

const require = createRequire(import.meta.url);
const { Tokenizer: Native } = require('tokenizers');
const utf8 = (text) => Buffer.from(text, 'utf8');

// ---- random, reproducible ----

function random(seed) {
  let s = seed >>> 0;
  const next = (n) => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
  return { next, pick: (list) => list[next(list.length)], chance: (n) => next(n) === 0 };
}

const SYLLABLES = ['the', 'to', 'ken', 'ing', 'er', 'ab', 'low', 'est', 'new', 'un', 'ma', 'ра', 'бо', 'та', 'při', 'žlu', 'é', 'ñ', '日', '本', '語', 'کتا', 'ب', 'नम', 'स्ते', '한', '국', '🙂', '👩‍👧', '1', '23', '007'];
const SPACES = [' ', '  ', '\n', '\t', '\r\n', '\u00a0', '\u3000', '\u2028', ' \n ', '\u200b'];
const MARKS = ['.', ',', '!', "'s", "'LL", '--', '...', '(', ')', '_', '@', '\u2581', 'Ġ', '<', '|', '`', '«', '“', '$', '+', '、', '。'];

/** Text of words, spaces and marks, with now and then any code point. */
function text(r, length) {
  let out = '';
  for (let i = 0; i < length; i++) {
    const kind = r.next(16);
    if (kind < 8) { for (let k = 1 + r.next(4); k; k--) out += r.pick(SYLLABLES); if (r.chance(6)) out = out.slice(0, -3) + out.slice(-3).toUpperCase(); }
    else if (kind < 12) out += r.pick(SPACES.slice(0, r.chance(3) ? SPACES.length : 1));
    else if (kind < 15) out += r.pick(MARKS);
    else {
      let c = r.next(r.pick([0x100, 0x800, 0x3000, 0x10000, 0x110000]));
      if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
      out += String.fromCodePoint(c);
    }
  }
  return out;
}

/** What splitters and mergers find hard. */
const HARD = ['', ' ', '  ', '   a', 'a   ', '\n', '\n\n\n', ' \n', '\r\n\r\n', '\t\t x', '\u00a0\u00a0x', '\ufeff', 'a\ufeffb', '\u0000', "I'm'll'D", '\u0301', 'e\u0301\u0301\u0301', '👩‍👩‍👧‍👦', 'a'.repeat(3000), ' '.repeat(3000), 'ab'.repeat(1500), '\n'.repeat(999), '1'.repeat(1000), '日'.repeat(700), '!'.repeat(800), 'é'.repeat(400), '🙂'.repeat(300), 'ΣΑΣ ας', 'İı', 'ﬁ', '\u1e9b\u0323', '<s>', '<0x41>', '\u2581\u2581', '##ing', '[UNK]'];

function texts(seed, count) {
  const r = random(seed), list = [...HARD];
  for (let i = 0; i < count; i++) list.push(text(r, 1 + r.next(60)));
  return list;
}

// ---- definitions ----

const BYTE_CHAR = (() => {
  const list = [];
  for (let b = 0, extra = 256; b < 256; b++) list.push(String.fromCodePoint((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : extra++));
  return list;
})();

/** The merges of byte-pair encoding over words (lists of symbols), the most frequent pair first. */
function learnMerges(words, count) {
  const merges = [];
  for (let i = 0; i < count; i++) {
    const seen = new Map();
    for (const w of words) for (let k = 0; k + 1 < w.length; k++) seen.set(`${w[k]}\n${w[k + 1]}`, (seen.get(`${w[k]}\n${w[k + 1]}`) ?? 0) + 1);
    let best = null;
    for (const [pair, n] of seen) if (n > 1 && (!best || n > seen.get(best))) best = pair;
    if (!best) break;
    const [a, b] = best.split('\n');
    merges.push([a, b]);
    for (const w of words) for (let k = 0; k + 1 < w.length; k++) if (w[k] === a && w[k + 1] === b) w.splice(k, 2, a + b);
  }
  return merges;
}

function vocabulary(first, merges) {
  const vocab = {};
  for (const piece of [...first, ...merges.map(([a, b]) => a + b)]) vocab[piece] ??= Object.keys(vocab).length;
  return vocab;
}

const definition = (model, parts = {}) => ({ version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...parts, model });
const bpe = (vocab, merges, more = {}) => ({ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab, merges, ...more });
const added = (id, content, flags = {}) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...flags });

function byteLevel(seed, parts, more) {
  const r = random(seed);
  const words = Array.from({ length: 400 }, () => [...utf8((r.chance(3) ? '' : ' ') + text(r, 1 + r.next(2)).trim())].map((b) => BYTE_CHAR[b])).filter((w) => w.length);
  const merges = learnMerges(words, 250);
  return definition(bpe(vocabulary(BYTE_CHAR, merges), merges, more), { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true }, decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true }, ...parts });
}

function characterLevel(seed, more) {
  const r = random(seed);
  const words = Array.from({ length: 300 }, () => ['\u2581', ...Array.from({ length: 1 + r.next(4) }, () => r.pick(SYLLABLES)).join('')]);
  const merges = learnMerges(words, 200);
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const letters = [...new Set(SYLLABLES.join('') + '\u2581.,!')].filter((_, i) => i % 5);
  const known = new Set(letters), used = merges.filter(([a, b]) => [...a + b].every((c) => known.has(c)));
  return definition(bpe(vocabulary(['<unk>', ...(more.byte_fallback ? bytes : []), ...letters], used), used, { unk_token: '<unk>', ...more }), { normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '\u2581' }, { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' }] } });
}

function unigram(seed, byteFallback) {
  const r = random(seed);
  const pieces = new Map([['<unk>', 0], ['\u2581', -3]]);
  if (byteFallback) for (let b = 0; b < 256; b++) pieces.set(`<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, 0);
  for (const c of new Set(SYLLABLES.join(''))) if (!r.chance(6)) pieces.set(c, -6 - r.next(1000) / 250);
  for (let i = 0; i < 500; i++) pieces.set((r.chance(3) ? '\u2581' : '') + Array.from({ length: 1 + r.next(3) }, () => r.pick(SYLLABLES)).join(''), -4 - r.next(10000) / 1001);
  return definition({ type: 'Unigram', unk_id: 0, byte_fallback: byteFallback, vocab: [...pieces] }, { pre_tokenizer: { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'always', split: true } });
}

function wordPiece(seed, lowercase) {
  const r = random(seed);
  const pieces = new Set(['[PAD]', '[UNK]', '[CLS]', '[SEP]', ...MARKS]);
  for (const c of new Set(SYLLABLES.join('').normalize('NFD'))) { pieces.add(c); if (!r.chance(4)) pieces.add(`##${c}`); }
  for (let i = 0; i < 300; i++) pieces.add((r.chance(2) ? '##' : '') + Array.from({ length: 1 + r.next(2) }, () => r.pick(SYLLABLES)).join(''));
  return definition({ type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: vocabulary(pieces, []) }, { normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase }, pre_tokenizer: { type: 'BertPreTokenizer' } });
}

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

test('a byte order mark is a token like any other (peers drop it or split it)', async () => {
  const { bpe_ranks: source } = require('tiktoken/encoders/cl100k_base.json');
  const tok = await Tokenizer.load(new Uint8Array(utf8(rankFile(source))), { name: 'cl100k_base.tiktoken' });
  assert.deepEqual([...tok.encode('\ufeff').ids], [3305]);
  assert.deepEqual([...tok.encode('a\ufeffb').ids], [64, 3305, 65]);
  tok.dispose();
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
