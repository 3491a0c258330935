// Every trainer, against the reference libraries where they have it: what they learn (../shared, and the npm binding of tokenizers, which trains with default options), and
// that they load our files and segment alike.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tokenizer, charsmapOf, extendTokenizer, segment, trainTokenizer, unreachableTokens } from '../../web/index.js';
import { random } from '../support/definitions.mjs';
import { skipWithoutShared, unpack } from '../support/shared.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const { Tokenizer: Native, BPE, Unigram, WordPiece, bertPreTokenizer, byteLevelPreTokenizer, metaspacePreTokenizer } = createRequire(import.meta.url)('tokenizers');
const files = scratch();
const load = (/** @type {string} */ json) => Tokenizer.load(new TextEncoder().encode(json), { name: 'tokenizer.json' });
const idsOf = (/** @type {Tokenizer} */ tokenizer, /** @type {string} */ text) => [...tokenizer.encode(text, { offsets: false }).ids];
const nativeIds = async (/** @type {any} */ native, /** @type {string} */ text) => (await native.encode(text, null, { addSpecialTokens: false })).getIds();

/** Sentences of made words: prefixes, stems and endings, so that there is something to learn. @param {number} seed @param {number} count */
function corpus(seed, count) {
  const r = random(seed);
  const pick = (/** @type {string[]} */ list) => list[Math.min(r.next(list.length), r.next(list.length))];
  const stems = Array.from({ length: 60 }, () => Array.from({ length: 2 + r.next(2) }, () => pick(['ka', 'lo', 'mi', 'ter', 'sun', 'é', 'ro', 'bra', 'x', 'ω', '語', 'un'])).join(''));
  const word = () => pick(['', 're', 'un', 'over']) + pick(stems) + pick(['', 's', 'ing', 'ed', 'ness', '2024']);
  return Array.from({ length: count }, () => Array.from({ length: 3 + r.next(9) }, word).join(' ') + pick(['.', ',', '!', '']));
}
const TEXTS = corpus(1, 400), OTHERS = [...corpus(2, 150), 'nothing Ωf this   was seen \u{1F600}\u{1F468}\u200D\u{1F469}', '  \t ', 'a'.repeat(300), '<unk> <s> [UNK]'];

describe('files: load again and elsewhere, and segment alike', () => {
  /** @type {[import('../../web/train.js').TrainOptions, boolean][]} options, and does the other library segment so too? */
  const CASES = [
    [{ kind: 'bpe', vocabSize: 500 }, true], [{ kind: 'bpe', byteLevel: false, vocabSize: 300, endOfWordSuffix: '</w>' }, true], [{ kind: 'bpe', byteLevel: false, vocabSize: 300, preTokenizer: 'metaspace' }, true],
    [{ kind: 'wordpiece', vocabSize: 300 }, true], [{ kind: 'wordpiece-likelihood', vocabSize: 300 }, true], [{ kind: 'unigram', vocabSize: 200 }, true],
    [{ kind: 'unigram', vocabSize: 300, preTokenizer: 'byte-level' }, true], [{ kind: 'wordpiece', vocabSize: 300, preTokenizer: 'byte-level', normalizer: 'none' }, true],
    [{ kind: 'pathpiece', vocabSize: 400, specialTokens: ['<s>'] }, true], [{ kind: 'pathpiece', vocabSize: 400, initial: 'substrings' }, true], [{ kind: 'pathpiece', vocabSize: 400, initial: 'unigram', preTokenizer: 'none' }, true],
    [{ kind: 'lib', vocabSize: 500, articleSize: 50 }, true], [{ kind: 'lib', vocabSize: 300, byteLevel: false, articleSize: 50, preTokenizer: 'whitespace-split' }, true],
    [{ kind: 'picky-bpe', vocabSize: 400, threshold: 0.7 }, false], [{ kind: 'picky-bpe', vocabSize: 200, byteLevel: false, threshold: 0.7 }, false],
    [{ kind: 'sentencepiece-bpe', vocabSize: 300 }, true], [{ kind: 'sentencepiece-bpe', vocabSize: 600, byteFallback: true, splitDigits: true }, true],
    [{ kind: 'sentencepiece-unigram', vocabSize: 200 }, true], [{ kind: 'sentencepiece-unigram', vocabSize: 500, byteFallback: true, addDummyPrefix: false, removeExtraWhitespaces: false }, true],
    [{ kind: 'sentencepiece-unigram', vocabSize: 200, padToken: '<pad>', bosToken: null, specialTokens: ['<sep>'] }, true],
  ];
  for (const [options, alike] of CASES)
    test(JSON.stringify(options), async () => {
      const { tokenizer, tokenizerJson, tokens, sentencePieceModel } = await trainTokenizer(TEXTS, options);
      const again = await trainTokenizer(TEXTS, options);
      assert.equal(again.tokenizerJson, tokenizerJson, 'the same texts, the same file');
      assert.ok(tokens.length <= /** @type {number} */ (options.vocabSize), `${tokens.length} tokens`);
      assert.equal(tokenizer.vocabSize, tokens.length);
      tokens.forEach((token, id) => assert.equal(tokenizer.findPiece(token), id));
      const json = await load(tokenizerJson ?? ''), native = Native.fromString(tokenizerJson);
      for (const text of [...TEXTS.slice(0, 50), ...OTHERS]) {
        const ids = idsOf(json, text);
        if (!text.includes('<') || !sentencePieceModel) assert.deepEqual(idsOf(tokenizer, text), ids, text); // control symbols in texts: tokens there, text here
        if (alike) assert.deepEqual(ids, await nativeIds(native, text), text);
        if (options.kind === 'pathpiece' || options.kind === 'lib') assert.deepEqual(ids, [...segment(json, text, options.kind === 'lib' ? 'longest-prefix' : 'fewest-tokens')], text);
        const bytes = (json.traits.byteComplete && !sentencePieceModel) || ['pathpiece', 'lib', 'picky-bpe'].includes(options.kind ?? '');
        if (bytes && (options.byteLevel ?? true)) assert.equal(json.decode(ids), text);
      }
      if (!options.endOfWordSuffix) assert.deepEqual([...unreachableTokens(json)].map((id) => tokens[id]).filter((token) => ['bpe', 'wordpiece', 'wordpiece-likelihood', 'lib', 'picky-bpe'].includes(options.kind ?? '') && token), []);
    });
});

test('SentencePiece with what tokenizer.json cannot say', async () => {
  const user = await trainTokenizer(TEXTS, { kind: 'sentencepiece-unigram', vocabSize: 200, userDefinedSymbols: ['ka', '▁ro'] });
  assert.equal(user.tokenizerJson, null);
  for (const text of TEXTS.slice(0, 30)) {
    const pieces = idsOf(user.tokenizer, text).map((id) => user.tokens[id]);
    assert.equal(pieces.filter((piece) => piece === 'ka').length, text.split('ka').length - 1, text);
    assert.ok(pieces.every((piece) => piece === 'ka' || !piece.includes('ka')), text);
  }
  const suffix = await trainTokenizer(TEXTS, { kind: 'sentencepiece-bpe', vocabSize: 300, treatWhitespaceAsSuffix: true });
  assert.equal(suffix.tokenizerJson, null);
  assert.ok(suffix.tokens.some((token) => token.length > 2 && token.endsWith('▁')) && !suffix.tokens.some((token) => token.length > 1 && token.startsWith('▁')));
  const file = files.write('text.txt', TEXTS.join('\n'));
  assert.equal((await cli(['train', '--kind', 'sentencepiece-bpe', '--user-defined', 'ka', '--vocab-size', '300', '--out', join(files.folder, 'no.json'), file])).status, 1);
});

test('Picky BPE: the file is what replaying its events one after the other gives', async () => {
  const { tokenizer, tokenizerJson, tokens } = await trainTokenizer(TEXTS, { kind: 'picky-bpe', byteLevel: false, vocabSize: 150, threshold: 0.6, preTokenizer: 'whitespace-split' });
  const { removed, events } = JSON.parse(tokenizerJson ?? '').model.microtome;
  assert.ok(removed.length > 3 && events.some((/** @type {any[]} */ e) => e.length === 2));
  const text = (/** @type {number} */ id) => (id < 0 ? removed[-1 - id] : tokens[id]);
  const whole = new Set(tokens.slice(1));
  for (const word of new Set([...TEXTS, ...OTHERS.slice(0, 100)].join(' ').split(' ').filter(Boolean))) {
    let parts = [...word];
    for (const event of whole.has(word) ? [] : events) {
      /** @type {string[]} */ const next = [];
      for (let i = 0; i < parts.length; i++) {
        if (event.length === 2 && parts[i] === text(event[0])) next.push(...event[1].map(text));
        else if (event.length === 3 && parts[i] === text(event[0]) && parts[i + 1] === text(event[1])) {
          next.push(text(event[2]));
          i++;
        } else next.push(parts[i]);
      }
      parts = next;
    }
    if (whole.has(word)) parts = [word];
    assert.deepEqual(idsOf(tokenizer, word), parts.map((part) => (whole.has(part) ? tokens.indexOf(part) : 0)), word);
  }
});

test('damaged events of Picky BPE are refused', async () => {
  const { tokenizerJson } = await trainTokenizer(TEXTS, { kind: 'picky-bpe', vocabSize: 300 });
  const whole = JSON.parse(tokenizerJson ?? ''), own = whole.model.microtome;
  for (const [what, microtome, code] of /** @type {[string, any, string][]} */ ([
    ['another segmenter', { ...own, segmenter: 'lzw' }, 'EUNKNOWN'], ['a token that is not there', { ...own, events: [...own.events, [0, 1, 99999]] }, 'ERANGE'],
    ['parts that do not spell the token', { ...own, events: [[0, 1, 2]] }, 'EFORMAT'], ['a split into itself', { ...own, events: [[0, [0]]] }, 'EFORMAT'], ['no event', { ...own, events: [[1]] }, 'EFORMAT'],
  ]))
    await assert.rejects(load(JSON.stringify({ ...whole, model: { ...whole.model, microtome } })), { code }, what);
});

test('WordPiece by likelihood: count(ab) / (count(a) count(b)) decides', async () => {
  const { tokens } = await trainTokenizer(['ab '.repeat(10), 'a '.repeat(20), 'cb '.repeat(20), 'xy xy xy'], { kind: 'wordpiece-likelihood', vocabSize: 13, specialTokens: ['[UNK]'], preTokenizer: 'whitespace-split' });
  assert.deepEqual(tokens.slice(-3), ['xy', 'cb', 'ab']); // (x, y) 3 / 9, (c, b) 20 / 600, (a, b) 10 / 900
});

describe('training as the npm binding of tokenizers trains, with its default options', () => {
  for (let seed = 0; seed < 4; seed++) {
    const lines = corpus(10 + seed, 150);
    const path = files.write(`lines${seed}.txt`, `${lines.join('\n')}\n`);
    const byId = (/** @type {any} */ native) => Object.entries(native.getVocab()).sort((a, b) => /** @type {any} */ (a[1]) - /** @type {any} */ (b[1])).map(([token]) => token);
    test(`byte-level BPE ${seed}`, async () => {
      const native = new Native(BPE.empty());
      native.setPreTokenizer(byteLevelPreTokenizer(false));
      native.train([path]);
      const { tokens } = await trainTokenizer([...lines.map((line) => `${line}\n`)], { vocabSize: 30000, alphabet: [], specialTokens: [] });
      assert.deepEqual(tokens, byId(native));
    });
    test(`WordPiece ${seed}: the same tokens but for ties`, async () => {
      const native = new Native(WordPiece.empty());
      native.setPreTokenizer(bertPreTokenizer());
      native.train([path]);
      const { tokens } = await trainTokenizer(lines, { kind: 'wordpiece', vocabSize: 30000, normalizer: 'none', unkToken: '[UNK]', specialTokens: ['[UNK]'] });
      // ids of "##x" follow a hash table's order there, and ids break ties: the same frequencies may be merged in another order, with other parts on the way
      const theirs = byId(native), differ = tokens.filter((token) => token !== '[UNK]' && !theirs.includes(token));
      assert.ok(differ.length <= 0.04 * theirs.length, `${differ.length} of ${theirs.length}: ${differ}`);
      const whole = new Set(lines.join(' ').match(/[^\s.,!]+/g));
      for (const word of whole) assert.ok(tokens.includes(word) && theirs.includes(word), word);
    });
    test(`Unigram ${seed}: the same pieces`, async () => {
      const native = new Native(Unigram.empty());
      native.setPreTokenizer(metaspacePreTokenizer());
      native.train([path]);
      const { tokens } = await trainTokenizer(lines.map((line) => `${line}\n`), { kind: 'unigram', vocabSize: 8000 });
      assert.deepEqual(tokens.filter((token) => token !== '<unk>').sort(), byId(native).filter((token) => token !== '<unk>').sort());
    });
  }
});

describe('growing', () => {
  test('BPE: old ids stay, new tokens are pairs of what the base gives, and all are reachable', async () => {
    const base = await trainTokenizer(TEXTS.slice(0, 40), { vocabSize: 300, specialTokens: ['<|end|>'] });
    const { tokenizer, tokenizerJson, added, merges } = await extendTokenizer(base.tokenizerJson ?? '', corpus(5, 200), { newTokens: 80 });
    assert.equal(added.length, 80);
    base.tokens.forEach((token, id) => assert.equal(tokenizer.findPiece(token), id));
    added.forEach((token, i) => assert.equal(tokenizer.findPiece(token), base.tokens.length + i));
    assert.deepEqual([...unreachableTokens(tokenizer)], []);
    const parts = new Map(merges.map(([left, right]) => [left + right, [left, right]]));
    /** @type {(token: string) => string[]} */ const expand = (token) => (base.tokenizer.findPiece(token) !== null ? [token] : (parts.get(token) ?? []).flatMap(expand));
    const native = Native.fromString(tokenizerJson);
    for (const text of [...OTHERS, ...corpus(5, 50), 'a<|end|>b']) {
      const ids = idsOf(tokenizer, text);
      assert.deepEqual(ids.flatMap((id) => expand(tokenizer.tokenPiece(id))), idsOf(base.tokenizer, text).map((id) => base.tokenizer.tokenPiece(id)), text);
      assert.deepEqual(ids, await nativeIds(native, text), text);
    }
  });
  test('BPE: added tokens behind the vocabulary keep their ids', async () => {
    const base = JSON.parse((await trainTokenizer(TEXTS, { vocabSize: 270 })).tokenizerJson ?? '');
    base.added_tokens = [{ id: 270, content: '<|x|>', special: true, normalized: false, lstrip: false, rstrip: false, single_word: false }];
    const { tokenizer, tokenizerJson, added } = await extendTokenizer(JSON.stringify(base), TEXTS, { newTokens: 5 });
    assert.deepEqual([tokenizer.findPiece('<|x|>'), tokenizer.findPiece(added[0]), tokenizer.vocabSize], [270, 271, 276]);
    assert.equal(Native.fromString(tokenizerJson).tokenToId('<|x|>'), 270);
  });
  test('Unigram: task-adaptive merging', async () => {
    const base = await trainTokenizer(TEXTS, { kind: 'unigram', vocabSize: 150 });
    const task = await trainTokenizer(corpus(8, 100), { kind: 'unigram', vocabSize: 120, maxTokenLength: 32 });
    const { tokenizerJson, added } = await extendTokenizer(base.tokenizerJson ?? '', corpus(8, 100), { vocabSize: 120, low: -20 });
    const scores = new Map(JSON.parse(tokenizerJson).model.vocab);
    assert.deepEqual([...scores.keys()].slice(0, base.tokens.length), base.tokens);
    assert.deepEqual(added, task.tokens.filter((token) => !base.tokens.includes(token)));
    for (const token of base.tokens.slice(1)) {
      const n = [...token].length, at = task.tokens.indexOf(token);
      assert.equal(scores.get(token), at < 0 ? (-20 * (n + 1)) / n : /** @type {Float64Array} */ (task.scores)[at], token);
    }
  });
  test('what cannot grow', async () => {
    const picky = await trainTokenizer(TEXTS, { kind: 'picky-bpe', vocabSize: 300 }), suffix = await trainTokenizer(TEXTS, { byteLevel: false, endOfWordSuffix: '</w>', vocabSize: 60 });
    for (const { tokenizerJson } of [picky, suffix]) await assert.rejects(extendTokenizer(tokenizerJson ?? '', TEXTS), { code: 'EUNKNOWN', message: /cannot go on/ });
    await assert.rejects(extendTokenizer('{}', TEXTS), { code: 'EFORMAT' });
    await assert.rejects(extendTokenizer(suffix.tokenizerJson ?? '', TEXTS, { low: -3 }), { message: /"low" is for Unigram/ });
  });
  test('the command line', async () => {
    const base = files.write('base.json', (await trainTokenizer(TEXTS, { vocabSize: 280 })).tokenizerJson ?? ''), text = files.write('more.txt', `${corpus(5, 100).join('\n')}\n`);
    const run = await cli(['train', '--extend', base, '--new-tokens', '20', text]);
    assert.equal(run.status, 0, run.stderr);
    assert.equal(Object.keys(JSON.parse(run.stdout).model.vocab).length, 300);
    assert.equal((await cli(['train', '--extend', base, '--kind', 'bpe', text])).status, 2);
    assert.equal((await cli(['train', '--low', '-3', text])).status, 2);
  });
});

describe('as SentencePiece trains', { skip: skipWithoutShared }, () => {
  const folder = skipWithoutShared ? '' : join(unpack('trainers.tar.gz'), 'trainers');
  const lines = skipWithoutShared ? [] : readFileSync(join(folder, 'corpus.txt'), 'utf8').split('\n');
  const model = (/** @type {string} */ name) => readFileSync(join(folder, `${name}.model`));
  const vocab = (/** @type {string} */ name) => readFileSync(join(folder, `${name}.vocab`), 'utf8').trimEnd().split('\n').map((line) => line.split('\t'));
  const encodings = skipWithoutShared ? {} : JSON.parse(readFileSync(join(folder, 'encodings.json'), 'utf8'));
  for (const byteFallback of [false, true]) {
    const tail = byteFallback ? '_bf' : '';
    test(`BPE${byteFallback ? ' with byte fallback' : ''}: tokens, scores and encodings`, async () => {
      const charsmap = charsmapOf(model(`spm_bpe${tail}`));
      assert.equal(charsmap.name, 'nmt_nfkc');
      const { tokens, scores, sentencePieceModel, tokenizer } = await trainTokenizer(lines, { kind: 'sentencepiece-bpe', vocabSize: 3000, byteFallback, charsmap });
      const wanted = vocab(`spm_bpe${tail}`);
      assert.deepEqual(tokens, wanted.map(([token]) => token));
      assert.deepEqual(Array.from(scores ?? [], Number), wanted.map(([, score]) => Number(score)));
      const ours = await Tokenizer.load(/** @type {Uint8Array} */ (sentencePieceModel), { name: 'm.model' }), theirs = await Tokenizer.load(model(`spm_bpe${tail}`), { name: 'm.model' });
      for (const { text, ids } of encodings[`spm_bpe${tail}`]) for (const one of [ours, theirs, tokenizer]) assert.deepEqual(idsOf(one, text), ids, text);
      assert.deepEqual(charsmapOf(/** @type {Uint8Array} */ (sentencePieceModel)), charsmap);
    });
    test(`Unigram${byteFallback ? ' with byte fallback' : ''}: tokens, scores and encodings`, async () => {
      const charsmap = charsmapOf(model(`spm_unigram${tail}`));
      const { tokens, scores, tokenizer } = await trainTokenizer(lines, { kind: 'sentencepiece-unigram', vocabSize: 3000, byteFallback, charsmap });
      const wanted = vocab(`spm_unigram${tail}`);
      assert.deepEqual(tokens, wanted.map(([token]) => token));
      wanted.forEach(([, score], i) => assert.ok(Math.abs(/** @type {Float64Array} */ (scores)[i] - Number(score)) < 6e-5)); // written with six digits
      for (const { text, ids } of encodings[`spm_unigram${tail}`]) assert.deepEqual(idsOf(tokenizer, text), ids, text);
    });
  }
  // The beginning of the SHA-256 of the tokens, one a line, that sentencepiece 0.2.2 learns from the same corpus with these options (and nmt_nfkc, but for the one without), on its 16 threads.
  for (const [kind, options, hash] of /** @type {['bpe' | 'unigram', import('../../web/train.js').TrainOptions, string][]} */ ([
    ['unigram', { vocabSize: 2500 }, '717352f381b0c054'],
    ['unigram', { vocabSize: 4020 }, '43dcbeb37c9a322e'],
    ['unigram', { vocabSize: 8000 }, 'd5851963fb068e6e'],
    ['unigram', { vocabSize: 12000 }, 'd174b4b3df0faae3'],
    ['unigram', { vocabSize: 5000, characterCoverage: 1 }, '7fbbfa191e4ad057'],
    ['unigram', { splitByWhitespace: false }, '14f3d586ecd2b698'],
    ['unigram', { seedSize: 20000 }, '2a8803bd5404a0b3'],
    ['unigram', { vocabSize: 4000, maxTokenLength: 6 }, '004d97772ba14280'],
    ['unigram', { subIterations: 3, shrinkingFactor: 0.6 }, '651d16b64e60d1c3'],
    ['unigram', { splitByUnicodeScript: false, splitByNumber: false }, 'f9c51e018d13b1df'],
    ['unigram', { splitDigits: true }, 'cf0246a2fa96ebba'],
    ['unigram', { vocabSize: 4000, charsmap: undefined }, '3237b4f116d807ec'],
    ['unigram', { userDefinedSymbols: ['the', '▁of'], specialTokens: ['<sep>'] }, 'e6cefb4db10e006f'],
    ['unigram', { treatWhitespaceAsSuffix: true }, 'e5c283be47779e4d'],
    ['unigram', { allowWhitespaceOnlyPieces: true, removeExtraWhitespaces: false }, '2d95463294cfc0fb'],
    ['unigram', { alphabet: [...'€ßЖ龘'], characterCoverage: 0.99 }, '7839f0ab1d5af409'],
    ['bpe', { userDefinedSymbols: ['the', '▁of'], specialTokens: ['<sep>'] }, '61920d9b8b8d4aed'],
    ['bpe', { vocabSize: 5000, characterCoverage: 1 }, '4229c88e35820c60'],
    ['bpe', { treatWhitespaceAsSuffix: true }, '70516c3fc55cd4f7'],
    ['bpe', { splitDigits: true }, 'af660ee0bbc5b074'],
  ]))
    test(`${kind} ${JSON.stringify(options)}: the same tokens in the same order`, async () => {
      const { tokens } = await trainTokenizer(lines, { kind: `sentencepiece-${kind}`, vocabSize: 3000, ...(kind === 'unigram' && { numThreads: 16 }), ...('charsmap' in options ? {} : { charsmap: charsmapOf(model('spm_bpe')) }), ...options });
      assert.equal(createHash('sha256').update(tokens.join('\n')).digest('hex').slice(0, 16), hash);
    });
  test('the command line writes a .model', async () => {
    const out = join(files.folder, 'out.model');
    const run = await cli(['train', '--kind', 'sentencepiece-bpe', '--vocab-size', '3000', '--rules', join(folder, 'spm_bpe.model'), '--out', out, join(folder, 'corpus.txt')]);
    assert.equal(run.status, 0, run.stderr);
    const tokenizer = await Tokenizer.load(readFileSync(out), { name: 'out.model' });
    for (const { text, ids } of encodings.spm_bpe) assert.deepEqual(idsOf(tokenizer, text), ids);
    assert.equal((await cli(['train', '--kind', 'bpe', '--out', out, join(folder, 'corpus.txt')])).status, 2);
  });
  test('the charsmap of what is none', () => {
    for (const bytes of [new Uint8Array(0), Uint8Array.of(1, 2, 3), new TextEncoder().encode('{"model": 1}')]) assert.throws(() => charsmapOf(bytes), { code: 'EFORMAT' });
  });
});
