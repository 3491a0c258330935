// Segmenters as choices of the pipeline: what holds for every one of them over every kind of vocabulary, and brute force for pieces that depend on their place.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { HuffmanCode, SEGMENTERS, Tokenizer, encodeStream, segment, trainTokenizer } from '../../web/index.js';
import { cli, scratch } from '../support/wasm.mjs';

const utf8 = new TextEncoder();
const load = (/** @type {any} */ definition) => Tokenizer.load(utf8.encode(JSON.stringify(definition)));
const added = (/** @type {number} */ id, /** @type {string} */ content, special = true) => ({ id, content, special, normalized: false, single_word: false, lstrip: false, rstrip: false });

const corpus = ['the lowest of the low, newer than the newest', 'wider and widest: a token, tokens, tokenization', 'été, naïve café; 日本語 ends', 'low lower lowest new newer newest wide wider widest '.repeat(5)];
const byteLevel = (await trainTokenizer(corpus, { vocabSize: 330, specialTokens: ['<end>'] })).tokenizer;
const unigram = (await trainTokenizer(corpus, { kind: 'unigram', vocabSize: 90 })).tokenizer;
const wordPiece = (await trainTokenizer(corpus, { kind: 'wordpiece', vocabSize: 120 })).tokenizer;
/** Llama-like: the whole text is one word; bytes for what is unknown. */
const fallback = await (async () => {
  const letters = [...new Set(['▁', ...corpus.join('').replaceAll(' ', '▁').replace(/[日本語é]/g, '')])];
  const merges = [['t', 'h'], ['th', 'e'], ['▁', 'the'], ['l', 'o'], ['lo', 'w'], ['▁', 'low'], ['e', 's'], ['es', 't'], ['e', 'r'], ['▁', 't'], ['▁t', 'o'], ['n', 'e'], ['ne', 'w']];
  const pieces = ['<unk>', '<s>', ...Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`), ...letters, ...merges.map((m) => m.join(''))];
  return load({ version: '1.0', added_tokens: [added(0, '<unk>'), added(1, '<s>')], normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] }, pre_tokenizer: null,
    post_processor: null, decoder: { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
    model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true, vocab: Object.fromEntries(pieces.map((p, i) => [p, i])), merges } });
})();
const ALL = { byteLevel, unigram, wordPiece, fallback };
const texts = ['the lowest token', 'newest tokens: wider, low.', 'a', 'lower', 'wide wide wide', ''];

/** The kinds that go with a tokenizer. @param {keyof typeof ALL} name */
function kindsOf(name) {
  return SEGMENTERS.filter((kind) => {
    if (kind.startsWith('bpe-')) return name === 'byteLevel' || name === 'fallback';
    if (kind === 'unigram-sample') return name === 'unigram';
    return kind !== 'bytes' || name === 'byteLevel' || name === 'fallback';
  });
}
const how = (/** @type {any} */ kind, seed = 3) => ({ segmenter: kind, seed, ...(kind.includes('dropout') && { dropout: 0.3 }) });

for (const [name, tokenizer] of /** @type {[keyof typeof ALL, Tokenizer][]} */ (Object.entries(ALL)))
  describe(name, () => {
    for (const kind of kindsOf(name))
      test(`${kind}: round trip, spans side by side, repeatable, the same in batches, counts and streams`, async () => {
        for (const text of texts) {
          const { ids, offsets } = tokenizer.encode(text, { ...how(kind), offsets: 'bytes' });
          assert.equal(tokenizer.decode(ids), tokenizer.decode(tokenizer.encode(text).ids), text);
          if (name === 'byteLevel' || name === 'fallback') assert.equal(tokenizer.decode(ids), text);
          // Spans follow one another, and what lies between them is white space. The space that a definition puts in front has the place of what it stands before.
          let end = 0;
          for (let i = 0; i < ids.length; i++) {
            const [a, b] = [offsets?.[2 * i] ?? 0, offsets?.[2 * i + 1] ?? 0];
            const prefix = name !== 'byteLevel' && i && offsets?.[2 * i - 2] === a && tokenizer.tokenBytes(ids[i - 1]).join() === '32';
            if (name === 'byteLevel') assert.equal(a, end);
            assert.ok((a >= end || prefix) && b >= a && text.slice(end, a).trim() === '', `${text}: ${offsets}`);
            end = b;
          }
          assert.equal(text.slice(end).trim(), '');
          assert.deepEqual(tokenizer.encode(text, how(kind)).ids, ids);
          assert.equal(tokenizer.count(text, how(kind)), ids.length);
          assert.equal(tokenizer.isWithinLimit(text, ids.length, how(kind)), ids.length);
          assert.equal(tokenizer.isWithinLimit(text, ids.length - 1, how(kind)), false);
          assert.deepEqual(segment(tokenizer, text, kind, (({ segmenter, ...rest }) => rest)(how(kind))), ids);
        }
        assert.deepEqual(tokenizer.encodeBatch(texts, how(kind)), texts.map((text) => tokenizer.encode(text, how(kind))));
        const long = 'the lowest token is newer than the widest token and low '.repeat(20);
        // A queue of the whole word, and one lattice over a text without words, are no parts put together.
        if (name !== 'fallback' || !['bpe-dropout'].includes(kind)) {
          /** @type {number[]} */ const got = [];
          for await (const ids of encodeStream(tokenizer, [long.slice(0, 301), long.slice(301)], { ...how(kind), window: 64 })) got.push(...ids);
          assert.deepEqual(got, [...tokenizer.encode(long, how(kind)).ids]);
        }
      });
    test('what is drawn depends on the seed', () => {
      for (const kind of kindsOf(name).filter((k) => k.includes('dropout') || k.includes('sample'))) {
        const seen = new Set(Array.from({ length: 20 }, (_, seed) => tokenizer.encode('the lowest token of the newest', { ...how(kind, seed), ...(kind === 'unigram-sample' && { alpha: 0.2 }) }).ids.join()));
        assert.ok(seen.size > 3, `${kind}: ${seen.size}`);
      }
    });
    test('dropout 0 is the tokenizer itself or the longest match, 1 the smallest tokens', () => {
      for (const text of texts) {
        for (const kind of kindsOf(name).filter((k) => k.startsWith('bpe-'))) {
          assert.deepEqual(tokenizer.encode(text, { segmenter: kind, dropout: 0 }), tokenizer.encode(text));
          assert.deepEqual(tokenizer.encode(text, { segmenter: kind, dropout: 1 }).ids, tokenizer.encode(text, { segmenter: name === 'byteLevel' ? 'bytes' : 'characters' }).ids);
        }
        assert.deepEqual(tokenizer.encode(text, { segmenter: 'longest-dropout', dropout: 0 }).ids, tokenizer.encode(text, { segmenter: 'longest-prefix' }).ids);
      }
    });
    test('fewest tokens are never more than any other segmentation', () => {
      for (const text of texts) {
        const fewest = tokenizer.count(text, { segmenter: 'fewest-tokens' });
        assert.equal(tokenizer.count(text, { segmenter: 'fewest-tokens', ties: 'random', seed: 9 }), fewest);
        for (const kind of kindsOf(name)) assert.ok(fewest <= tokenizer.count(text, how(kind)), kind);
      }
    });
  });

describe('pieces of WordPiece keep their places', async () => {
  const pieces = ['[UNK]', 'a', 'b', '##a', '##b', '##c', 'ab', '##ab', '##bc', 'abc', '##ca', '##cab'];
  const tokenizer = await load({ version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: { type: 'WhitespaceSplit' }, post_processor: null, decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
    model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: Object.fromEntries(pieces.map((p, i) => [p, i])) } });
  /** Matches at a place, short ones first. @param {string} w @param {number} at */
  const matches = (w, at) => Array.from({ length: w.length - at }, (_, n) => (at ? '##' : '') + w.slice(at, at + n + 1)).filter((p) => pieces.includes(p));
  const bare = (/** @type {string} */ p) => p.replace('##', '').length;
  /** @param {string} w @param {number} at @returns {string[][]} */
  const all = (w, at = 0) => (at === w.length ? [[]] : matches(w, at).flatMap((p) => all(w, at + bare(p)).map((rest) => [p, ...rest])));
  const words = Array.from({ length: 3 ** 5 }, (_, k) => k.toString(3).padStart(5, '0').replace(/./g, (d) => 'abc'[Number(d)]));
  const given = (/** @type {string} */ w, /** @type {any} */ options) => Array.from(tokenizer.encode(w, options).ids, (id) => pieces[id]);

  test('longest prefix is its own; fewest and longest suffix by brute force', () => {
    for (const w of words) {
      assert.deepEqual(given(w, { segmenter: 'longest-prefix' }), given(w, {}));
      const ways = all(w), best = Math.min(...ways.map((x) => x.length));
      const fewest = given(w, { segmenter: 'fewest-tokens' });
      if (!ways.length) assert.deepEqual(fewest, ['[UNK]']);
      else assert.ok(fewest.length === best && ways.some((x) => x.join() === fewest.join()), `${w}: ${fewest}`);
      /** @type {string[]} */ const back = [];
      for (let end = w.length; end > 0;) {
        let from = 0;
        while (from < end && !pieces.includes((from ? '##' : '') + w.slice(from, end))) from++;
        if (from === end) { back.splice(0, back.length, '[UNK]'); break; }
        back.unshift((from ? '##' : '') + w.slice(from, end));
        end = from;
      }
      assert.deepEqual(given(w, { segmenter: 'longest-suffix' }), back);
    }
  });
  test('draws are among all segmentations, and all come', () => {
    for (const w of ['abcab', 'aabca', 'ca']) {
      const ways = new Set(all(w).map((x) => x.join())), seen = new Set();
      for (let seed = 0; seed < 200; seed++) seen.add(given(w, { segmenter: 'uniform-sample', seed }).join());
      assert.deepEqual([...seen].sort(), ways.size ? [...ways].sort() : ['[UNK]']);
      for (let seed = 0; seed < 50; seed++) {
        const drawn = given(w, { segmenter: 'longest-dropout', dropout: 0.5, seed }).join();
        assert.ok(ways.has(drawn) || drawn === '[UNK]');
      }
    }
  });
});

test('Unigram: among the n best, by scores', async () => {
  const tokenizer = await load({ version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, model: { type: 'Unigram', unk_id: 0, vocab: [['<unk>', 0], ['a', -1], ['b', -1], ['ab', -1.5]] } });
  const seen = new Map();
  for (let seed = 0; seed < 4000; seed++) {
    const ids = tokenizer.encode('abab', { segmenter: 'unigram-sample', seed, nBest: 3, alpha: 2 }).ids.join();
    seen.set(ids, (seen.get(ids) ?? 0) + 1);
  }
  // ab|ab -3; ab|a|b and a|b|ab -3.5; a|b|a|b -4 is not among three
  const total = 1 + 2 * Math.exp(-1);
  assert.deepEqual([...seen.keys()].sort(), ['1,2,3', '3,1,2', '3,3']);
  for (const [ids, p] of /** @type {[string, number][]} */ ([['3,3', 1 / total], ['1,2,3', Math.exp(-1) / total]])) assert.ok(Math.abs(seen.get(ids) / 4000 - p) < 4 * Math.sqrt((p * (1 - p)) / 4000), `${ids}: ${seen.get(ids)}`);
  assert.equal(tokenizer.encode('abab', { segmenter: 'unigram-sample', nBest: 1, seed: 1 }).ids.join(), '3,3');
});

test('special tokens, added tokens and pairs work with every segmenter', () => {
  const text = 'low<end>low';
  for (const kind of kindsOf('byteLevel')) {
    const { ids } = byteLevel.encode(text, how(kind));
    assert.ok(ids.includes(/** @type {number} */ (byteLevel.findPiece('<end>'))), kind);
    assert.ok(!byteLevel.encode(text, { ...how(kind), specialAsText: true }).ids.includes(/** @type {number} */ (byteLevel.findPiece('<end>'))), kind);
    const pair = byteLevel.encode(text, { ...how(kind), pair: 'the newest' });
    assert.deepEqual(pair.ids.filter((_, i) => pair.sequences?.[i] === 0), ids, kind);
    assert.deepEqual([...new Set(pair.sequences)], [0, 1]);
  }
});

test('Huffman codes in the pipeline: digits, spans, unknown words, decoding', () => {
  for (const arity of [2, 3, 10]) {
    const code = HuffmanCode.train(byteLevel, corpus, { arity });
    for (const text of [...texts, ...corpus, 'unseen words, 日本 too', 'low<end>low']) {
      const { ids, offsets } = byteLevel.encode(text, { segmenter: code, offsets: 'bytes' });
      assert.ok(ids.every((d) => d >= 0 && d < arity));
      assert.equal(code.decode(ids), text);
      for (let i = 0; i < ids.length; i++) assert.equal(offsets?.[2 * i], i ? offsets?.[2 * i - 1] : 0);
      assert.equal(byteLevel.count(text, { segmenter: code }), ids.length);
    }
    assert.ok(byteLevel.count(' the', { segmenter: code }) < byteLevel.count(' tokenization', { segmenter: code }) + byteLevel.count('naïve', { segmenter: code }));
    assert.throws(() => byteLevel.encode('a', { segmenter: code, addSpecialTokens: true }), { code: 'EUNKNOWN' });
    assert.throws(() => code.decode([0, 1, arity]), { code: 'ERANGE' });
    code.dispose();
    assert.throws(() => byteLevel.encode('a', { segmenter: code }), { code: 'ESTATE' });
  }
  assert.throws(() => HuffmanCode.train(byteLevel, corpus, { arity: 1 }), { code: 'ERANGE' });
});

test('refusals', () => {
  assert.throws(() => byteLevel.encode('a', { segmenter: 'fewest-tokens', dropout: 0.5 }), /dropout is no option of the segmenter fewest-tokens/);
  assert.throws(() => byteLevel.encode('a', { segmenter: 'fewest-tokens', ties: /** @type {any} */ ('x') }), /known are longest, random/);
  assert.throws(() => byteLevel.encode('a', { segmenter: 'uniform-sample', seed: -1 }), { code: 'ERANGE' });
  assert.throws(() => unigram.encode('a', { segmenter: 'bytes' }), { code: 'EUNKNOWN' });
  assert.throws(() => unigram.encode('a', { segmenter: 'bpe-dropout' }), /byte-pair/);
  assert.throws(() => byteLevel.encode('a', { segmenter: /** @type {any} */ (7) }), { code: 'EUNKNOWN' });
});

test('the command line: count, encode --segmenter with offsets, --pair', async () => {
  const files = scratch();
  const file = files.write('b.json', (await trainTokenizer(corpus, { vocabSize: 330 })).tokenizerJson);
  const tokenizer = await Tokenizer.load(file);
  const out = async (/** @type {string[]} */ ...args) => { const run = await cli(args); assert.equal(run.status, 0, run.stderr); return run.stdout; };
  assert.equal(await out('count', '--tokenizer', file, 'the lowest'), `${tokenizer.count('the lowest')}\n`);
  assert.equal(await out('count', '--tokenizer', file, '--segmenter', 'bytes', '--json', 'the lowest'), '{"count":10}\n');
  assert.equal((await cli(['count', '--tokenizer', file, '--segmenter', 'bytes', '--limit', '9', 'the lowest'])).status, 1);
  assert.equal((await cli(['count', '--tokenizer', file, '--segmenter', 'bytes', '--limit', '10', 'the lowest'])).status, 0);
  const { ids, offsets } = tokenizer.encode('the lowest', { segmenter: 'bpe-dropout-discard', dropout: 0.5, seed: 4, offsets: 'bytes' });
  assert.deepEqual(JSON.parse(await out('encode', '--tokenizer', file, '--segmenter', 'bpe-dropout-discard', '--dropout', '0.5', '--seed', '4', '--offsets', 'bytes', 'the lowest')), { ids: [...ids], offsets: Array.from(ids, (_, i) => [offsets?.[2 * i], offsets?.[2 * i + 1]]) });
  const pair = tokenizer.encode('low', { pair: 'lowest' });
  assert.deepEqual(JSON.parse(await out('encode', '--tokenizer', file, '--pair', 'lowest', '--json', 'low')), { ids: [...pair.ids], type_ids: [...(pair.typeIds ?? [])] });
  for (const args of [['--dropout', '0.5'], ['--seed', '1'], ['--segmenter', 'x']]) assert.equal((await cli(['encode', '--tokenizer', file, ...args, 'a'])).status, 2);
});

describe('n best and samples of whole texts', () => {
  test('the best is the encoding; scores fall; offsets are those of encode', () => {
    for (const text of ['the lowest token', 'newest: été', 'low<end>low', '']) {
      const best = unigram.encodeNBest(text, 5);
      assert.deepEqual({ ids: best[0].ids, offsets: best[0].offsets }, unigram.encode(text), text);
      for (let i = 1; i < best.length; i++) assert.ok(best[i].score <= best[i - 1].score);
      assert.equal(new Set(best.map(({ ids }) => ids.join())).size, best.length);
      for (const { ids, offsets } of [...best, ...unigram.encodeSamples(text, 5, { seed: 1 }), ...unigram.encodeSamples(text, 3, { seed: 1, distinct: true })]) {
        assert.equal(unigram.decode(ids), unigram.decode(unigram.encode(text).ids));
        for (let i = 0; i + 1 < ids.length; i++) assert.ok(offsets && offsets[2 * i] <= offsets[2 * i + 1] && offsets[2 * i] <= offsets[2 * i + 2]);
      }
    }
    for (const text of ['été low<end>low the', ' a']) {
      const own = byteLevel.encode(text, { offsets: 'bytes' });
      const found = byteLevel.encodeSamples(text, 400, { seed: 2, offsets: 'bytes', distinct: true }).find(({ ids }) => ids.join() === own.ids.join());
      if (found) assert.deepEqual(found.offsets, own.offsets);
      for (const { ids, offsets } of byteLevel.encodeNBest(text, 20, { weights: 'uniform', offsets: 'bytes' })) for (let i = 0; i < ids.length; i++) assert.equal(offsets?.[2 * i], i ? offsets?.[2 * i - 1] : 0);
    }
  });
  test('without replacement: all there are, each once', () => {
    const all = unigram.encodeNBest('low', 1000), drawn = unigram.encodeSamples('low', 1000, { distinct: true, seed: 5 });
    assert.deepEqual(drawn.map(({ ids }) => ids.join()).sort(), all.map(({ ids }) => ids.join()).sort());
    assert.ok(drawn.every(({ inclusion }) => inclusion !== undefined));
    assert.deepEqual(unigram.encodeSamples('low', 4, { seed: 9 }), unigram.encodeSamples('low', 4, { seed: 9 }));
  });
  test('trimmed offsets (RoBERTa) are trimmed here too', async () => {
    const json = JSON.parse((await trainTokenizer(corpus, { vocabSize: 300 })).tokenizerJson);
    const tokenizer = await load({ ...json, post_processor: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true } });
    const text = 'the low the', own = tokenizer.encode(text);
    const found = tokenizer.encodeNBest(text, 5000, { weights: 'uniform' }).find(({ ids }) => ids.join() === own.ids.join());
    assert.deepEqual(found?.offsets, own.offsets);
  });
  test('refusals', () => {
    assert.throws(() => unigram.encodeNBest('a', 0), { code: 'ERANGE' });
    assert.throws(() => unigram.encodeSamples('a', 1, { seed: 0.5 }), { code: 'ERANGE' });
    assert.throws(() => unigram.encodeNBest('a', 1, /** @type {any} */ ({ seed: 1 })), { code: 'EUNKNOWN' });
  });
});
