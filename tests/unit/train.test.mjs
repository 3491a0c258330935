// Trained tokenizers: the vocabularies of the reference trainers, small ones by hand, inputs of every form, refusals.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { Tokenizer, Trainer, segment, trainTokenizer } from '../../web/index.js';
import { skipWithoutShared, unpack } from '../support/shared.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const files = scratch();
const TEXTS = ['low low low low low', 'lower lower', 'newest newest newest newest newest newest', 'widest widest widest'];

describe('against the tokenizers library', { skip: skipWithoutShared }, () => {
  const folder = skipWithoutShared ? '' : join(unpack('trainers.tar.gz'), 'trainers');
  const lines = skipWithoutShared ? [] : readFileSync(join(folder, 'corpus.txt'), 'utf8').split('\n');
  const reference = (/** @type {string} */ name) => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
  const encodings = skipWithoutShared ? {} : reference('encodings');
  for (const size of [1000, 4000])
    test(`byte-level BPE of ${size}: the same merges, ids and encodings`, async () => {
      const { tokenizerJson, merges, tokenizer } = await trainTokenizer(lines, { vocabSize: size, specialTokens: ['<|end|>'] });
      const made = JSON.parse(tokenizerJson), wanted = reference(`bytebpe_${size}`);
      assert.deepEqual(merges, wanted.model.merges);
      assert.deepEqual(made, wanted);
      const again = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(wanted)));
      for (const line of lines.slice(0, 400)) assert.deepEqual(tokenizer.encode(line, { offsets: false }).ids, again.encode(line, { offsets: false }).ids);
    });
  for (const size of [1000, 4000])
    test(`WordPiece of ${size}: the same vocabulary up to the last ties`, async () => {
      // The reference numbers "##x" symbols in the order of a randomised hash table, and ids break ties.
      const { tokens } = await trainTokenizer(lines, { kind: 'wordpiece', vocabSize: size });
      const wanted = Object.keys(reference(`wordpiece_${size}`).model.vocab), made = new Set(tokens);
      assert.equal(made.size, wanted.length);
      assert.ok(wanted.filter((token) => !made.has(token)).length <= 5, String(wanted.filter((token) => !made.has(token))));
    });
  test('Unigram of 4000: the same pieces', async () => {
    const { tokens } = await trainTokenizer(lines, { kind: 'unigram', vocabSize: 4000 });
    assert.deepEqual([...tokens].sort(), reference('unigram_4000').model.vocab.map((/** @type {any} */ [piece]) => piece).sort());
  });
});

describe('small vocabularies', () => {
  test('byte-level BPE by hand', async () => {
    // e+s 9, es+t 9, l+o 7, lo+w 7... (Sennrich et al. 2016); of equal counts the smaller ids merge first; spaces begin words
    const { merges, tokens, tokenizer, seen } = await trainTokenizer(['aab aab', 'aab ac'], { vocabSize: 259, specialTokens: [] });
    // words: aab 2, Ġaab 1, Ġac 1: pairs aa 3, ab 3, Ġa 2, ac 1 -> "a a" (a is the smaller right part), then "aa b" 3, "Ġ a"...
    assert.deepEqual(merges.slice(0, 2), [['a', 'a'], ['aa', 'b']]);
    assert.equal(tokens.length, 259);
    assert.deepEqual(seen, { texts: 2, words: 4, distinctWords: 3, skipped: 0 });
    assert.equal(tokenizer.decode(tokenizer.encode('aab ca\n€').ids), 'aab ca\n€');
    assert.equal(tokenizer.count('aab'), 1);
  });
  test('BPE over characters with a suffix for the end of words', async () => {
    const { merges, tokenizer } = await trainTokenizer(TEXTS, { byteLevel: false, endOfWordSuffix: '</w>', vocabSize: 24 });
    assert.deepEqual(merges.slice(0, 3), [['e', 's'], ['es', 't</w>'], ['l', 'o']]);
    assert.equal(tokenizer.decode(tokenizer.encode('lowest').ids), 'lowest');
    assert.ok(tokenizer.encode('é').ids.includes(/** @type {number} */ (tokenizer.findPiece('<unk>'))));
  });
  test('WordPiece: prefixes inside words, special tokens first', async () => {
    const { tokens, tokenizer, merges } = await trainTokenizer(TEXTS, { kind: 'wordpiece', vocabSize: 40 });
    assert.deepEqual(tokens.slice(0, 5), ['[UNK]', '[CLS]', '[SEP]', '[PAD]', '[MASK]']);
    assert.ok(tokens.includes('##est'));
    assert.deepEqual(merges, []);
    assert.equal(tokenizer.decode(tokenizer.encode('LOWEST newest').ids), 'lowest newest');
  });
  test('Unigram: every character is a piece, scores are log-probabilities', async () => {
    const { tokens, scores, tokenizer } = await trainTokenizer(TEXTS, { kind: 'unigram', vocabSize: 30 });
    for (const c of 'lowernstid▁') assert.ok(tokens.includes(c), c);
    assert.ok(/** @type {Float64Array} */ (scores).every((s) => s <= 0));
    assert.equal(tokenizer.decode(tokenizer.encode('lowest newer').ids), 'lowest newer');
  });
  test('names that look like numbers keep their ids', async () => {
    const { tokens, tokenizer } = await trainTokenizer(['10 2 10 2 33'], { byteLevel: false, vocabSize: 20 });
    tokens.forEach((token, id) => assert.equal(tokenizer.findPiece(token), id));
  });
  test('the expression, the normalizer and a pre_tokenizer of one\'s own', async () => {
    const digits = await trainTokenizer(['a12b12c12'], { preTokenizer: { regex: '\\d' }, vocabSize: 260 });
    assert.ok(!digits.tokens.includes('12'));
    const lower = await trainTokenizer(['AB ab'], { normalizer: 'lowercase', vocabSize: 257, minFrequency: 2 });
    assert.deepEqual(lower.merges, [['a', 'b']]);
    const own = await trainTokenizer(['a-b-a-b'], { preTokenizer: { type: 'CharDelimiterSplit', delimiter: '-' }, vocabSize: 300 });
    assert.deepEqual(own.merges, []);
  });
  test('the same texts give the same file', async () => {
    for (const kind of /** @type {const} */ (['bpe', 'wordpiece', 'unigram'])) {
      const a = await trainTokenizer(TEXTS, { kind, vocabSize: 300 }), b = await trainTokenizer(TEXTS, { kind, vocabSize: 300 });
      assert.equal(a.tokenizerJson, b.tokenizerJson);
    }
  });
});

describe('inputs', () => {
  const text = 'the cat\nsat on\r\nthe mät\n';
  const want = async (/** @type {any} */ texts, lineEnds = /** @type {'keep' | 'drop'} */ ('keep')) => (await trainTokenizer(texts, { vocabSize: 280, lineEnds })).tokenizerJson;
  test('strings, bytes, iterables, streams and files agree', async () => {
    const kept = await want(['the cat\n', 'sat on\r\n', 'the mät\n']);
    const path = files.write('lines.txt', text);
    const bytes = new TextEncoder().encode(text);
    const stream = (/** @type {any[]} */ chunks) => new ReadableStream({ start(c) { for (const x of chunks) c.enqueue(x); c.close(); } });
    async function* later() { yield 'the cat\n'; yield new TextEncoder().encode('sat on\r\n'); yield 'the mät\n'; }
    for (const given of [later(), new Set(['the cat\n', 'sat on\r\n', 'the mät\n']), stream([bytes]), stream(Array.from(bytes, (b) => Uint8Array.of(b))), stream([...text]), new Blob([text]), pathToFileURL(path), [pathToFileURL(path)]])
      assert.equal(await want(given), kept);
    const dropped = await want(['the cat', 'sat on', 'the mät']);
    assert.equal(await want(stream([bytes]), 'drop'), dropped);
    assert.equal(await want(new Blob([text.slice(0, -1)]), 'drop'), dropped);
  });
  test('a stream of strings may cut a surrogate pair', async () => {
    const stream = new ReadableStream({ start(c) { for (const x of ['a\ud83d', '\ude00b', 'c\ud800']) c.enqueue(x); c.close(); } });
    assert.equal(await want(stream), await want(['a😀bc\ufffd']));
  });
  test('progress, and stopping', async () => {
    const many = Array.from({ length: 300 }, (_, i) => (i * 7919 % 1009).toString(3).repeat(2));
    /** @type {any[]} */ const seen = [];
    await trainTokenizer(many, { vocabSize: 400, onProgress: (p) => seen.push(p) });
    assert.deepEqual(seen.filter((p) => p.phase === 'read').at(-1), { phase: 'read', done: 300, total: null }); // a slow machine hears of fewer before
    assert.ok(seen.some((p) => p.phase === 'train' && p.total === 400));
    const stop = new AbortController();
    await assert.rejects(trainTokenizer(many, { vocabSize: 400, signal: stop.signal, onProgress: (p) => p.phase === 'train' && stop.abort() }), { name: 'AbortError' });
    await assert.rejects(trainTokenizer(many, { signal: AbortSignal.abort() }), { name: 'AbortError' });
    await assert.rejects(trainTokenizer(many, { vocabSize: 400, onProgress: (p) => { if (p.phase === 'train') throw new TypeError('mine'); } }), { name: 'TypeError', message: 'mine' });
    assert.ok((await trainTokenizer(many, { vocabSize: 400 })).tokens.length === 400);
  });
  test('a trainer goes on after training, and ends', async () => {
    const trainer = await Trainer.create({ vocabSize: 257 });
    trainer.addText('ab ab');
    assert.deepEqual(trainer.train().merges, [['a', 'b']]);
    trainer.addText('cd cd cd');
    assert.deepEqual(trainer.train().merges, [['c', 'd']]);
    trainer.dispose();
    trainer.dispose();
    assert.throws(() => trainer.train(), { code: 'ESTATE' });
  });
});

describe('refusals', () => {
  for (const [what, options, pattern] of /** @type {[string, any, RegExp][]} */ ([
    ['an unknown kind', { kind: 'bpf' }, /unknown kind "bpf": known are bpe, wordpiece, wordpiece-likelihood, unigram, pathpiece/],
    ['an unknown option', { size: 3 }, /unknown option "size": known are kind, vocabSize/],
    ['an unknown splitter', { preTokenizer: 'gpt' }, /unknown name "gpt": known are byte-level, whitespace/],
    ['an unknown normalizer', { normalizer: 'toString' }, /unknown name "toString": known are none, nfc/],
    ['an option of another kind', { kind: 'unigram', minFrequency: 2 }, /"minFrequency" is for bpe, wordpiece, wordpiece-likelihood, pathpiece, picky-bpe, not for unigram/],
    ['a size that is none', { vocabSize: 0 }, /vocabSize: 0 is not a whole number/],
    ['metaspace and bytes', { preTokenizer: 'metaspace' }, /metaspace/],
    ['a special token twice', { specialTokens: ['a', 'a'] }, /"a" is there twice/],
    ['an expression that is none', { preTokenizer: { regex: '(' } }, /./],
    ['a vocabulary that cannot hold its special tokens', { kind: 'unigram', vocabSize: 1 }, /./],
  ]))
    test(what, async () => assert.rejects(trainTokenizer(TEXTS, options), (/** @type {any} */ error) => pattern.test(error.message) && error.name === 'MicrotomeError'));
  test('texts that are none', async () => assert.rejects(trainTokenizer(/** @type {any} */ ([3])), /texts must be strings/));
});

test('the command line trains and encodes', async () => {
  const file = files.write('corpus.txt', `${TEXTS.join('\n')}\n`);
  const out = join(files.folder, 'trained.json');
  const run = await cli(['train', '--kind', 'bpe', '--vocab-size', '270', '--special', '<|end|>', '--out', out, file]);
  assert.equal(run.status, 0, run.stderr);
  const direct = await trainTokenizer(pathToFileURL(file), { vocabSize: 270, specialTokens: ['<|end|>'] });
  assert.equal(readFileSync(out, 'utf8'), `${direct.tokenizerJson}\n`);
  const again = await cli(['train', '--vocab-size', '270', '--special', '<|end|>'], { input: `${TEXTS.join('\n')}\n` });
  assert.equal(again.stdout, `${direct.tokenizerJson}\n`);
  const bad = await cli(['train', '--kind', 'lzw', file]);
  assert.equal(bad.status, 2);
  assert.match(bad.stderr, /known are bpe, wordpiece, wordpiece-likelihood, unigram/);
});

test('PathPiece: the file encodes with the fewest tokens', async () => {
  const texts = ['the theatre of the thermal thesis', 'other mothers bother the others', 'a theory of mother tongues é€😀'];
  const { tokens, tokenizer, tokenizerJson } = await trainTokenizer(texts, { kind: 'pathpiece', vocabSize: 290, specialTokens: ['<|end|>'] });
  assert.equal(tokens.length, 290);
  assert.equal(tokens[0], '<|end|>');
  assert.equal(JSON.parse(tokenizerJson ?? '').model.type, 'Unigram');
  for (const text of [...texts, 'unseen Ωords <|end|> zz\n'])
    for (const specialAsText of [false, true]) {
      const { ids } = tokenizer.encode(text, { specialAsText, offsets: false });
      assert.deepEqual([...ids], [...segment(tokenizer, text, 'fewest-tokens', { specialAsText })]);
      assert.equal(tokenizer.decode(ids), text);
    }
  assert.ok(!tokenizer.encode('<|end|>', { specialAsText: true }).ids.includes(0));
});
