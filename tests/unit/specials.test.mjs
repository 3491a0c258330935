// Special tokens in texts: which may be spelled, which are an error, what is the rule of each format (against tiktoken); where definitions are found; gzip; ties.
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Tokenizer, trainTokenizer } from '../../web/index.js';
import { locateDefinition } from '../../web/node/definition.js';
import { random, text } from '../support/definitions.mjs';
import { readLines, readShared, skipWithoutShared } from '../support/shared.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const require = createRequire(import.meta.url);
const encoding = require('tiktoken/encoders/cl100k_base.json');
/** tiktoken's own ranks as a rank file. */
const RANKS = encoding.bpe_ranks.split('\n').filter(Boolean).flatMap((/** @type {string} */ row) => { const [, first, ...tokens] = row.split(' '); return tokens.map((token, i) => `${token} ${Number(first) + i}`); }).join('\n');
const NAME = { name: 'cl100k_base.tiktoken' };
const ours = await Tokenizer.load(Buffer.from(RANKS), NAME), theirs = require('tiktoken').get_encoding('cl100k_base');
const SPECIAL = ['<|endoftext|>', '<|fim_prefix|>', '<|fim_middle|>', '<|fim_suffix|>', '<|endofprompt|>'];
const ids = (/** @type {any} */ encoded) => [...encoded.ids];

test('every choice of allowed special tokens, as tiktoken', () => {
  const r = random(11);
  assert.deepEqual(new Set(ours.specialTokens), new Set(SPECIAL));
  assert.equal(ours.specialIsText, true);
  for (let round = 0; round < 300; round++) {
    const given = Array.from({ length: 1 + r.next(5) }, () => (r.chance(2) ? r.pick(SPECIAL) : text(r, 1 + r.next(4)))).join('').toWellFormed();
    const allowed = SPECIAL.filter(() => r.chance(2));
    assert.deepEqual(ids(ours.encode(given, { allowedSpecial: allowed })), [...theirs.encode(given, allowed, [])], `${JSON.stringify(given)} ${allowed}`);
    assert.deepEqual(ids(ours.encode(given, { allowedSpecial: 'all' })), [...theirs.encode(given, 'all')]);
    assert.deepEqual(ids(ours.encode(given)), [...theirs.encode_ordinary(given)]);
    assert.deepEqual(ids(ours.encode(given, { allowedSpecial: 'none' })), [...theirs.encode_ordinary(given)]);
    assert.equal(ours.count(given, { allowedSpecial: allowed }), theirs.encode(given, allowed, []).length);
    // tiktoken refuses what is not allowed unless it is told otherwise
    const refused = (() => { try { theirs.encode(given, allowed, 'all'); return false; } catch { return true; } })();
    if (refused) assert.throws(() => ours.encode(given, { allowedSpecial: allowed, disallowedSpecial: 'all' }), { code: 'EFORMAT' });
    else assert.deepEqual(ids(ours.encode(given, { allowedSpecial: allowed, disallowedSpecial: 'all' })), [...theirs.encode(given, allowed, 'all')]);
  }
});

test('offsets, bytes, batches, other tokenizers of the same module: lists do not stick', async () => {
  const given = 'a<|endoftext|>b<|fim_prefix|>';
  const listed = ours.encode(given, { allowedSpecial: ['<|fim_prefix|>'], offsets: 'bytes' });
  assert.equal(listed.ids.at(-1), 100258);
  assert.deepEqual([...listed.offsets].slice(-2), [15, 29]);
  assert.deepEqual(ids(ours.encode(new TextEncoder().encode(given), { allowedSpecial: ['<|fim_prefix|>'] })), ids(listed));
  assert.deepEqual(ids(ours.encode(given)), [...theirs.encode_ordinary(given)]);
  assert.deepEqual(ours.encodeBatch([given, given], { allowedSpecial: [] }).map(ids), [[...theirs.encode_ordinary(given)], [...theirs.encode_ordinary(given)]]);
  assert.throws(() => ours.encode('x', { allowedSpecial: ['<|no such|>'] }), { code: 'EUNKNOWN' });
  assert.throws(() => ours.encode('x', { allowedSpecial: /** @type {any} */ ('some') }), { code: 'ERANGE' });
  assert.throws(() => ours.encode('x', { allowedSpecial: 'all', specialAsText: true }), { code: 'ERANGE' });
  assert.throws(() => ours.encode(given, { disallowedSpecial: ['<|endoftext|>'] }), /at index 1/);
  assert.throws(() => ours.count(given, { disallowedSpecial: ['<|endoftext|>'] }), { code: 'EFORMAT' });
  const { tokenizer } = await trainTokenizer(['a b c'], { vocabSize: 260, specialTokens: ['<s>', '<s><t>', '</s>'] });
  assert.equal(tokenizer.specialIsText, false);
  const [s, st] = ['<s>', '<s><t>'].map((x) => ids(tokenizer.encode(x))[0]);
  assert.deepEqual(ids(tokenizer.encode('<s><t>')), [st], 'the longest');
  assert.deepEqual(ids(tokenizer.encode('<s><t>', { allowedSpecial: ['<s>'] })).slice(0, 1), [s], 'what is not allowed hides nothing');
  const again = await Tokenizer.fromBinary(await ours.toBinary());
  assert.equal(again.specialIsText, true);
  assert.deepEqual(ids(again.encode(given, { allowedSpecial: ['<|endoftext|>'] })), [...theirs.encode(given, ['<|endoftext|>'], [])]);
});

test('gzip: any definition, cut short, of names with .gz', async () => {
  const packed = gzipSync(RANKS);
  assert.deepEqual(ids((await Tokenizer.load(packed, NAME)).encode('Once upon a time')), ids(ours.encode('Once upon a time')));
  await assert.rejects(Tokenizer.load(packed.subarray(0, packed.length >> 1), NAME), { code: 'EFORMAT' });
  await assert.rejects(Tokenizer.load(Buffer.concat([packed.subarray(0, 10), Buffer.alloc(100)]), NAME), { code: 'EFORMAT' });
  const files = scratch(), file = files.write('cl100k_base.tiktoken.gz', packed);
  assert.deepEqual(ids((await Tokenizer.load(file)).encode('<|endoftext|> x')), [...theirs.encode_ordinary('<|endoftext|> x')]);
});

test('folders: the most complete definition; names that need no file', async () => {
  const { tokenizerJson } = await trainTokenizer(['low lower lowest'], { vocabSize: 300 });
  const { sentencePieceModel } = await trainTokenizer(['low lower lowest'], { kind: 'sentencepiece-bpe', vocabSize: 30 });
  const files = scratch(), folder = dirname(files.write('a.txt', 'x')), put = (/** @type {string} */ name, /** @type {any} */ bytes) => writeFileSync(join(folder, name), bytes);
  assert.throws(() => locateDefinition(folder), /no tokenizer definition/);
  put('vocab.json', '{}');
  assert.throws(() => locateDefinition(folder), /no tokenizer definition/, 'it needs merges.txt');
  put('merges.txt.gz', gzipSync('#version: 0.2\n'));
  assert.deepEqual(locateDefinition(folder), { file: join(folder, 'vocab.json'), merges: join(folder, 'merges.txt.gz') });
  put('tokenizer.model', sentencePieceModel);
  assert.equal(locateDefinition(folder).file, join(folder, 'tokenizer.model'));
  put('config.json', '{}');
  put('tokenizer.json.gz', gzipSync(/** @type {string} */ (tokenizerJson)));
  assert.equal(locateDefinition(folder).file, join(folder, 'tokenizer.json.gz'));
  assert.equal(locateDefinition(folder, { sentencePiece: true }).file, join(folder, 'tokenizer.model'));
  const want = ids((await Tokenizer.load(Buffer.from(/** @type {string} */ (tokenizerJson)))).encode('lowest'));
  assert.deepEqual(JSON.parse((await cli(['encode', '--tokenizer', folder, '--json', 'lowest'])).stdout).ids, want);
  const empty = join(folder, 'byt5');
  mkdirSync(empty);
  assert.deepEqual(locateDefinition(empty), { builtin: 'byt5' });
  assert.equal((await cli(['encode', '--tokenizer', join(folder, 'nothing'), 'x'])).status, 1);
});

test('the command line: --allowed-special, --ties', async () => {
  const file = scratch().write('cl100k_base.tiktoken', RANKS), given = 'a<|endoftext|><|fim_prefix|>';
  const encode = async (/** @type {string[]} */ ...args) => JSON.parse((await cli(['encode', '--tokenizer', file, '--json', ...args, given])).stdout).ids;
  assert.deepEqual(await encode(), [...theirs.encode_ordinary(given)]);
  assert.deepEqual(await encode('--allowed-special', 'all'), [...theirs.encode(given, 'all')]);
  assert.deepEqual(await encode('--allowed-special', 'none'), [...theirs.encode_ordinary(given)]);
  for (const list of ['<|endoftext|>,<|endofprompt|>', '["<|endoftext|>"]']) assert.deepEqual(await encode('--allowed-special', list), [...theirs.encode(given, ['<|endoftext|>'], [])]);
  assert.deepEqual(await encode('--ties', 'hf'), [...theirs.encode_ordinary(given)], 'no ties but of Unigram');
  assert.equal((await cli(['count', '--tokenizer', file, '--allowed-special', 'all', given])).stdout, '3\n');
  assert.equal((await cli(['encode', '--tokenizer', file, '--allowed-special', 'all', '--special-as-text', given])).status, 2);
  assert.equal((await cli(['encode', '--tokenizer', file, '--allowed-special', '<|x|>', given])).status, 1);
  assert.equal((await cli(['encode', '--tokenizer', file, '--ties', 'longest', given])).status, 2, 'goes with --segmenter');
});

test('ties of Unigram: each library\'s, whichever file they come from', { skip: skipWithoutShared }, async () => {
  const definition = readShared('tokenizers', 't5', 'tokenizer.json');
  const [hf, sp] = await Promise.all([Tokenizer.load(definition), Tokenizer.load(definition, { ties: 'sentencepiece' })]);
  const back = await Tokenizer.load(readShared('tokenizers', 't5', 'spiece.model'), { name: 'spiece.model', ties: 'hf' }), own = await Tokenizer.load(readShared('tokenizers', 't5', 'spiece.model'), { name: 'spiece.model' });
  const marks = '!!!!!!!!';
  assert.notDeepEqual(ids(hf.encode(marks)), ids(own.encode(marks)));
  assert.deepEqual(ids(sp.encode(marks)), ids(own.encode(marks)));
  assert.deepEqual(ids(back.encode(marks)), ids(hf.encode(marks)));
  const expected = new Map(readLines('tokenizers', 't5', 'reference-spm.jsonl').map((/** @type {any} */ record) => [record.id, record.ids]));
  let differ = 0, left = 0;
  for (const record of readLines('tokenizers', 't5', 'reference.jsonl')) {
    const want = expected.get(record.id);
    if (!want || record.utf16 || record.error || String(want) === String(record.ids)) continue;
    differ++;
    left += Number(String(ids(sp.encode(record.text))) !== String(want));
  }
  assert.ok(differ > 10 && left < differ, `${left} of ${differ} differences are no ties`);
  await assert.rejects(Tokenizer.load(definition, { ties: /** @type {any} */ ('mine') }), { code: 'EUNKNOWN' });
});
