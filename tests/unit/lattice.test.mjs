// Lattices and other segmenters against enumeration by brute force.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Lattice, SEGMENTERS, Tokenizer, isCanonical, segment, trainTokenizer } from '../../web/index.js';
import { byteCharacter, cli, scratch } from '../support/wasm.mjs';

const utf8 = new TextEncoder();
const load = (/** @type {any} */ definition) => Tokenizer.load(utf8.encode(JSON.stringify(definition)));

/** A word-free BPE over bytes with the vocabulary a, b, c, ab, bc, abc, abca (methods: HASH-11 without its scores). */
const letters = ['ab', 'bc', 'abc', 'abca'];
const vocab = Object.fromEntries([...Array.from({ length: 256 }, (_, b) => byteCharacter(b)), ...letters].map((piece, id) => [piece, id]));
const bpe = await load({ version: '1.0', added_tokens: [{ id: 260, content: '<e>', special: true, normalized: false, single_word: false, lstrip: false, rstrip: false }], normalizer: null, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  decoder: { type: 'ByteLevel' }, model: { type: 'BPE', vocab, merges: ['a b', 'b c', 'ab c', 'abc a'] } });
/** @type {[string, number][]} */
const pieces = [['<unk>', 0], ['▁', -3], ['a', -2], ['b', -2.5], ['c', -2.25], ['ab', -3.5], ['▁a', -2.75], ['bc', -4], ['abc', -5.125], ['▁ab', -4.5]];
const unigram = await load({ version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }, decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' }, model: { type: 'Unigram', unk_id: 0, vocab: pieces } });

/** All ways to spell a word. @param {string} word @param {Map<string, [number, number]>} tokens @returns {{ids: number[], score: number}[]} */
function spellings(word, tokens) {
  if (!word) return [{ ids: [], score: 0 }];
  const out = [];
  for (let n = 1; n <= word.length; n++) {
    const token = tokens.get(word.slice(0, n));
    if (token) for (const rest of spellings(word.slice(n), tokens)) out.push({ ids: [token[0], ...rest.ids], score: token[1] + rest.score });
  }
  return out;
}
const plain = new Map([...'abc ', ...letters].map((s) => [s, /** @type {[number, number]} */ ([/** @type {number} */ (bpe.findPiece(s.replace(' ', 'Ġ'))), 0])]));
const scored = new Map(pieces.slice(1).map(([s, score], i) => [s, /** @type {[number, number]} */ ([i + 1, score])]));
const words = ['a', 'ab', 'abc', 'abcabc', 'bcabcab', 'aabcbca', 'abcaabcabca'];
const near = (/** @type {number} */ a, /** @type {number} */ b) => assert.ok(Math.abs(a - b) <= 1e-10 * Math.max(1, Math.abs(b)), `${a} ${b}`);
const keys = (/** @type {{ids: ArrayLike<number>}[]} */ list) => list.map(({ ids }) => Array.from(ids).join()).sort();

describe('lattices', () => {
  for (const [name, tokenizer, tokens, spell] of /** @type {[string, Tokenizer, typeof plain, (w: string) => string][]} */ ([['bytes, no scores', bpe, plain, (w) => w], ['Unigram', unigram, scored, (w) => `▁${w}`]]))
    test(`${name}: count, enumeration, best, n best, sums`, () => {
      for (const word of words) {
        const all = spellings(spell(word), tokens);
        const lattice = new Lattice(tokenizer, word);
        assert.equal(lattice.count, BigInt(all.length));
        near(lattice.logCount, Math.log(all.length));
        const { paths, complete } = lattice.enumerate();
        assert.ok(complete);
        assert.deepEqual(keys(paths), keys(all));
        assert.equal(lattice.enumerate({ cap: all.length - 1 }).complete, false);
        const order = all.map((p) => p.score).sort((a, b) => b - a);
        near(lattice.best().score, order[0]);
        const five = lattice.nBest(5);
        assert.equal(five.length, Math.min(5, all.length));
        five.forEach((p, i) => near(p.score, order[i]));
        for (const theta of [0, 0.5, 1]) {
          const weights = all.map((p) => Math.exp(theta * p.score)), total = weights.reduce((a, b) => a + b, 0);
          near(lattice.marginal({ theta }), Math.log(total));
          near(lattice.entropy({ theta }), -weights.reduce((sum, w) => sum + (w / total) * Math.log(w / total), 0));
          const uses = lattice.posterior({ theta });
          near(uses.reduce((a, b) => a + b, 0), weights.reduce((sum, w, i) => sum + (w / total) * all[i].ids.length, 0));
        }
        lattice.dispose();
        assert.throws(() => lattice.count, { code: 'ESTATE' });
      }
    });
  test('the best of a Unigram lattice is the encoding; words multiply', () => {
    for (const text of ['abc', 'ab abc', 'abcabc bca a']) {
      const lattice = new Lattice(unigram, text);
      assert.deepEqual(lattice.best().ids, unigram.encode(text).ids);
      const product = text.split(' ').reduce((n, w) => n * BigInt(spellings(`▁${w}`, scored).length), 1n);
      assert.equal(lattice.count, product);
      assert.equal(new TextDecoder().decode(lattice.bytes), ` ${text}`);
    }
  });
  test('more than 2^64 segmentations, counted exactly', () => {
    const lattice = new Lattice(bpe, 'ab'.repeat(100));
    assert.equal(lattice.count, 2n ** 100n);
    near(lattice.logCount, 100 * Math.log(2));
  });
  test('added tokens, whole texts, weights of one\'s own, the empty text', () => {
    const lattice = new Lattice(bpe, 'ab<e>ab');
    assert.equal(lattice.count, 4n);
    assert.ok(lattice.enumerate().paths.every(({ ids }) => ids.includes(260)));
    assert.equal(new Lattice(bpe, 'ab', { wholeText: true, weights: 'uniform' }).count, 2n);
    const weights = new Float64Array(bpe.vocabSize).fill(-1);
    weights[/** @type {number} */ (bpe.findPiece('ab'))] = -3;
    assert.equal(new Lattice(bpe, 'ab', { weights }).best().ids.length, 2);
    assert.equal(new Lattice(bpe, '').count, 1n);
    assert.throws(() => new Lattice(bpe, 'a', { weights: [1] }), /1 weights for 261 ids/);
    assert.throws(() => new Lattice(bpe, 'a', { weights: /** @type {any} */ ('rank') }), /known are scores, uniform/);
    assert.throws(() => new Lattice(unigram, 'x').best().ids && new Lattice(bpe, 'a', /** @type {any} */ ({ size: 1 })), /unknown option "size"/);
  });
  test('samples: repeatable, as likely as they should be; without replacement all different', () => {
    const all = spellings('▁abcabc', scored), total = all.reduce((sum, p) => sum + Math.exp(p.score), 0);
    const lattice = new Lattice(unigram, 'abcabc');
    assert.deepEqual(lattice.sample(5, { seed: 7 }), lattice.sample(5, { seed: 7 }));
    const n = 20000;
    const seen = new Map();
    for (const { ids } of lattice.sample(n, { seed: 3 })) seen.set(ids.join(), (seen.get(ids.join()) ?? 0) + 1);
    for (const { ids, score } of all) {
      const p = Math.exp(score) / total;
      assert.ok(Math.abs((seen.get(ids.join()) ?? 0) - n * p) < 5 * Math.sqrt(n * p * (1 - p)) + 1, ids.join());
    }
    const distinct = lattice.sample(all.length, { seed: 1, distinct: true });
    assert.deepEqual(keys(distinct), keys(all));
    assert.equal(new Set(keys(lattice.sample(4, { seed: 9, distinct: true }))).size, 4);
  });
  test('WordPiece: pieces stand where they may', async () => {
    const { tokenizer } = await trainTokenizer(['lower lowest newest widest'], { kind: 'wordpiece', vocabSize: 60 });
    const lattice = new Lattice(tokenizer, 'lowest');
    const { paths } = lattice.enumerate();
    assert.ok(keys(paths).includes(tokenizer.encode('lowest').ids.join()));
    for (const { ids } of paths) [...ids].forEach((id, i) => assert.equal(tokenizer.tokenPiece(id).startsWith('##'), i > 0));
  });
});

describe('segmenters', () => {
  /** By definition. @type {Record<string, (word: string) => string[]>} */
  const slow = {
    'longest-prefix': (w) => (w ? (() => { for (let n = w.length; ; n--) if (plain.has(w.slice(0, n))) return [w.slice(0, n), ...slow['longest-prefix'](w.slice(n))]; })() : []),
    'longest-suffix': (w) => (w ? (() => { for (let n = w.length; ; n--) if (plain.has(w.slice(w.length - n))) return [...slow['longest-suffix'](w.slice(0, w.length - n)), w.slice(w.length - n)]; })() : []),
    'longest-token-first': (w) => {
      for (let n = w.length; n; n--) for (let i = 0; i + n <= w.length; i++) if (plain.has(w.slice(i, i + n))) return [...slow['longest-token-first'](w.slice(0, i)), w.slice(i, i + n), ...slow['longest-token-first'](w.slice(i + n))];
      return [];
    },
  };
  test('deterministic ones by definition', () => {
    for (let k = 0; k < 3 ** 6; k++) {
      const word = k.toString(3).padStart(6, '0').replace(/./g, (d) => 'abc'[Number(d)]);
      for (const [kind, f] of Object.entries(slow)) assert.deepEqual(Array.from(segment(bpe, word, /** @type {any} */ (kind)), (id) => bpe.tokenPiece(id)), f(word), `${kind} ${word}`);
      const fewest = Math.min(...spellings(word, plain).map((p) => p.ids.length));
      assert.equal(segment(bpe, word, 'fewest-tokens').length, fewest);
      assert.equal(segment(bpe, word, 'fewest-tokens', { ties: 'random', seed: k }).length, fewest);
      assert.deepEqual(segment(bpe, word, 'bpe-dropout', { dropout: 0 }), bpe.encode(word).ids);
      assert.equal(segment(bpe, word, 'bpe-dropout-discard', { dropout: 1 }).length, 6);
    }
  });
  test('what is drawn spells the text, and a seed repeats it', () => {
    const text = 'abcabc <e> abca cab\nбab';
    for (const kind of SEGMENTERS.filter((k) => k !== 'unigram-sample')) {
      const how = { seed: 5, ...(kind.includes('dropout') && { dropout: 0.4 }) };
      const ids = segment(bpe, text, kind, how);
      assert.equal(bpe.decode(ids), text, kind);
      assert.deepEqual(segment(bpe, text, kind, how), ids);
    }
    assert.equal(unigram.decode(segment(unigram, 'abc ab', 'unigram-sample', { seed: 2 })), 'abc ab');
  });
  test('refusals list what is known', () => {
    assert.throws(() => segment(bpe, 'a', /** @type {any} */ ('shortest')), /known are default, longest-prefix/);
    assert.throws(() => segment(bpe, 'a', 'unigram-sample'), /needs a Unigram vocabulary/);
    assert.throws(() => segment(unigram, 'a', 'bpe-dropout'), /byte-pair/);
    assert.throws(() => segment(bpe, 'a', 'bpe-dropout', { dropout: 2 }), /dropout: 2 is not a number in 0..1/);
  });
  test('canonical ids', () => {
    for (const text of ['abcabc', 'ab <e>', '']) assert.ok(isCanonical(bpe, bpe.encode(text).ids));
    assert.ok(!isCanonical(bpe, [97, 98]));
  });
});

test('the command line: tokenizations, encode --segmenter', async () => {
  const files = scratch();
  const file = files.write('u.json', JSON.stringify({ version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }, decoder: null, model: { type: 'Unigram', unk_id: 0, vocab: pieces } }));
  const lattice = new Lattice(unigram, 'abcab');
  const out = async (/** @type {string[]} */ ...args) => { const run = await cli([...args, '--tokenizer', file, 'abcab']); assert.equal(run.status, 0, run.stderr); return run.stdout; };
  assert.equal(await out('tokenizations', '--count'), `${lattice.count}\n`);
  assert.deepEqual(JSON.parse(await out('tokenizations', '--nbest', '3', '--json')).tokenizations, lattice.nBest(3).map(({ ids, score }) => ({ ids: [...ids], score })));
  assert.deepEqual(JSON.parse(await out('tokenizations', '--sample', '2', '--seed', '4', '--json')).tokenizations.map((/** @type {any} */ t) => t.ids), lattice.sample(2, { seed: 4 }).map(({ ids }) => [...ids]));
  assert.deepEqual(JSON.parse(await out('tokenizations', '--all', '--json')).tokenizations.length, Number(lattice.count));
  assert.equal(await out('encode', '--segmenter', 'fewest-tokens'), `${segment(unigram, 'abcab', 'fewest-tokens').join(' ')}\n`);
  const bad = await cli(['encode', '--tokenizer', file, '--segmenter', 'x', 'a']);
  assert.equal(bad.status, 2);
  assert.match(bad.stderr, /known are default, longest-prefix/);
});
