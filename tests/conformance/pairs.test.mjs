// Two texts as one input: ids, segment ids, the text each token is of and offsets in it, against the native `tokenizers` library.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import test from 'node:test';
import { Tokenizer } from '../../web/index.js';
import { byteLevel, characterLevel, random, text, unigram, utf8, wordPiece } from '../support/definitions.mjs';
import { readShared, skipWithoutShared } from '../support/shared.mjs';

const { Tokenizer: Native } = createRequire(import.meta.url)('tokenizers');

/** Byte offsets -> code points, as the library counts. @param {string} source */
function codePoints(source) {
  const bytes = utf8(source), before = new Uint32Array(bytes.length + 1);
  for (let i = 0; i < bytes.length; i++) before[i + 1] = before[i] + ((bytes[i] & 0xc0) !== 0x80 ? 1 : 0);
  return (/** @type {number} */ begin, /** @type {number} */ end) => [begin >= bytes.length || (bytes[begin] & 0xc0) !== 0x80 ? before[begin] : before[begin] - 1, before[end]];
}

/** @param {any} post @param {string | undefined} pair */
const sequencesKnown = (post, pair) => post?.type !== 'TemplateProcessing' || post[pair === undefined ? 'single' : 'pair'].some((/** @type {any} */ item) => item.Sequence?.id === 'A');

/** @param {string} name @param {any} json @param {[string, string][]} list */
async function same(name, json, list) {
  const bytes = utf8(JSON.stringify({ ...json, truncation: null, padding: null }));
  const ours = await Tokenizer.load(new Uint8Array(bytes)), theirs = Native.fromString(bytes.toString('utf8'));
  for (const [a, b] of list)
    for (const addSpecialTokens of [true, false])
      for (const pair of [b, undefined]) {
        const expected = await theirs.encode(a, pair ?? null, { addSpecialTokens });
        const where = `${name}: ${JSON.stringify([a, pair, addSpecialTokens])}`;
        const got = ours.encode(a, { pair, addSpecialTokens, typeIds: true, offsets: 'bytes' });
        assert.deepEqual([...got.ids], expected.getIds(), where);
        assert.deepEqual([...(got.typeIds ?? [])], expected.getTypeIds(), `types of ${where}`);
        const sequences = expected.getSequenceIds().map((/** @type {number | null} */ s) => s ?? -1);
        // A text that the template repeats: the library only remembers its last place. Without a text it takes the template's tokens for one.
        if (!name.includes('repeated') && sequencesKnown(json.post_processor, pair)) assert.deepEqual([...(got.sequences ?? [])], sequences, `texts of ${where}`);
        const place = [codePoints(a), codePoints(b)];
        expected.getOffsets().forEach((/** @type {[number, number]} */ want, /** @type {number} */ i) => {
          const s = got.sequences?.[i] ?? -1, begin = got.offsets?.[2 * i] ?? 0, end = got.offsets?.[2 * i + 1] ?? 0;
          if (s < 0) assert.equal(begin, end, 'a token of the template takes no place');
          else assert.deepEqual(place[s](begin, end), want, `offset ${i} of ${where}`);
        });
        // UTF-16 offsets say the same: code points counted in the string.
        const utf16 = ours.encode(a, { pair, addSpecialTokens, typeIds: true });
        expected.getOffsets().forEach((/** @type {[number, number]} */ want, /** @type {number} */ i) => {
          const s = got.sequences?.[i] ?? -1, of = s ? b : a;
          if (s >= 0) assert.deepEqual([0, 1].map((k) => [...of.slice(0, utf16.offsets?.[2 * i + k])].length), want, `UTF-16 offset ${i} of ${where}`);
        });
        assert.equal(ours.count(a, { pair, addSpecialTokens }), got.ids.length);
      }
  ours.dispose();
}

/** @param {number} seed @param {number} count @returns {[string, string][]} */
function pairs(seed, count) {
  const r = random(seed);
  /** @type {[string, string][]} */ const list = [['', ''], ['a', ''], ['', 'b'], [' a', ' b '], ['  x', '  y'], ['🙂 é', '日本 é🙂'], ['the token', 'the token']];
  for (let i = 0; i < count; i++) list.push([text(r, r.next(12)), text(r, r.next(12))]);
  return list;
}

const special = (/** @type {string} */ id, /** @type {number[]} */ ids) => [id, { id, ids, tokens: ids.map((n) => `${id}${n}`) }];
const S = (/** @type {string} */ id, type_id = 0) => ({ SpecialToken: { id, type_id } });
const T = (/** @type {'A' | 'B'} */ id, type_id = 0) => ({ Sequence: { id, type_id } });
/** @param {any[]} single @param {any[]} pair */
const template = (single, pair) => ({ type: 'TemplateProcessing', single, pair, special_tokens: Object.fromEntries([special('[C]', [1]), special('[S]', [2]), special('[M]', [3, 4, 5])]) });
const trimming = (/** @type {boolean} */ trim_offsets, add_prefix_space = true) => ({ type: 'ByteLevel', trim_offsets, add_prefix_space, use_regex: true });

const POST = {
  none: null,
  'BertProcessing': { type: 'BertProcessing', sep: ['s', 2], cls: ['c', 1] },
  'RobertaProcessing': { type: 'RobertaProcessing', sep: ['s', 2], cls: ['c', 1], trim_offsets: false, add_prefix_space: false },
  'RobertaProcessing, trimming': { type: 'RobertaProcessing', sep: ['s', 2], cls: ['c', 1], trim_offsets: true, add_prefix_space: true },
  'RobertaProcessing, trimming all': { type: 'RobertaProcessing', sep: ['s', 2], cls: ['c', 1], trim_offsets: true, add_prefix_space: false },
  'RobertaProcessing without its fields': { type: 'RobertaProcessing', sep: ['s', 2], cls: ['c', 1] },
  'cls and sep alone': { sep: ['s', 2], cls: ['c', 1] },
  'ByteLevel': trimming(false),
  'ByteLevel, trimming': trimming(true),
  'ByteLevel, trimming all': trimming(true, false),
  'BERT as a template': template([S('[C]'), T('A'), S('[S]')], [S('[C]'), T('A'), S('[S]'), T('B', 1), S('[S]', 1)]),
  'nothing around': template([T('A')], [T('A'), T('B', 1)]),
  'the second first, odd segments': template([T('A', 7), S('[M]', 9)], [S('[M]', 3), T('B', 5), S('[C]', 2), T('A', 4)]),
  'a repeated text': template([T('A'), S('[S]'), T('A')], [T('A'), T('B', 1), S('[M]'), T('B', 1), T('A')]),
  'only the second': template([S('[C]')], [T('B', 1)]),
  'empty templates': template([], []),
  'a sequence: trimming, then a template': { type: 'Sequence', processors: [trimming(true), template([S('[C]'), T('A')], [S('[C]'), T('A'), S('[S]', 1), T('B', 1)])] },
  'a sequence: trimming twice': { type: 'Sequence', processors: [trimming(true, false), trimming(true, false)] },
  'an empty sequence': { type: 'Sequence', processors: [] },
};

for (const [name, post_processor] of Object.entries(POST))
  test(`pairs: ${name}`, async () => {
    await same(`byte-level, ${name}`, byteLevel(3, { post_processor }), pairs(1, 25));
    await same(`prefix space, ${name}`, byteLevel(3, { post_processor, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true } }), pairs(2, 15));
    for (const [kind, json] of Object.entries({ characters: characterLevel(5, { byte_fallback: true, fuse_unk: true }), unigram: unigram(8, false), wordPiece: wordPiece(10, true) })) await same(`${kind}, ${name}`, { ...json, post_processor }, pairs(4, 15));
  });

for (const family of ['bert-uncased', 'bert-cased', 'roberta', 't5', 'llama2', 'llama3', 'xlnet', 'gpt2', 'qwen3', 'mistral-v3', 'clip', 'whisper-tiny'])
  test(`pairs: ${family}`, { skip: skipWithoutShared }, () => same(family, JSON.parse(Buffer.from(readShared('tokenizers', family, 'tokenizer.json')).toString('utf8')), pairs(9, 25)));

test('templates that are not understood are errors that say so', async () => {
  const load = (/** @type {any} */ post_processor) => Tokenizer.load(new Uint8Array(utf8(JSON.stringify(byteLevel(3, { post_processor })))));
  for (const [post, message] of /** @type {[any, RegExp][]} */ ([
    [{ type: 'Sequence', processors: [POST.BertProcessing, POST['BERT as a template']] }, /a template after another one/],
    [{ type: 'Sequence', processors: [POST['BERT as a template'], POST.RobertaProcessing] }, /a template after another one/],
    [{ type: 'GptProcessing' }, /unknown post-processor "GptProcessing" \(known: Sequence/],
    [template([T('B')], [T('A')]), /the template for one text has the second text in it/],
    [template([{ Sequence: { id: 'C', type_id: 0 } }], []), /unknown sequence "C" \(known: A, B\)/],
    [template([{ Token: {} }], []), /unknown template item "Token"/],
    [template([S('[X]')], [T('A')]), /special token "\[X\]" has no ids/],
    [{ type: 'BertProcessing', sep: ['s', 2] }, /BertProcessing/],
  ])) await assert.rejects(load(post), message);
});

test('definitions without a template for pairs: one text after the other', { skip: skipWithoutShared }, async () => {
  const bert = await Tokenizer.load(readShared('tokenizers', 'bert-uncased', 'vocab.txt'), { name: 'vocab.txt' });
  const [cls, sep] = [bert.findPiece('[CLS]'), bert.findPiece('[SEP]')];
  const a = [...bert.encode('how are you').ids], b = [...bert.encode('fine').ids];
  const both = bert.encode('how are you', { pair: 'fine', addSpecialTokens: true });
  assert.deepEqual([...both.ids], [cls, ...a, sep, ...b, sep]);
  assert.deepEqual([...(both.typeIds ?? [])], [0, ...a.map(() => 0), 0, ...b.map(() => 1), 1]);
  assert.deepEqual([...(both.sequences ?? [])], [-1, ...a.map(() => 0), -1, ...b.map(() => 1), -1]);
  const byt5 = await Tokenizer.builtin('byt5');
  assert.deepEqual([...byt5.encode('a', { pair: 'b', addSpecialTokens: true }).ids], [100, 1, 101, 1]);
});
