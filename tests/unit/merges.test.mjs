// Merges one at a time: applied to the symbols they give what encode gives; on a small vocabulary they are those of the definition's rules, played naively.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Tokenizer, mergeOf, replayMerges } from '../../web/index.js';
import { byteLevel, characterLevel, texts, unigram, utf8 } from '../support/definitions.mjs';
import { readShared, skipWithoutShared } from '../support/shared.mjs';

const load = (definition) => Tokenizer.load(new Uint8Array(utf8(JSON.stringify(definition))));

/** The symbols after the steps; tokens that no merges make are left as they are. */
function played({ symbols, steps }) {
  const ids = [...symbols];
  for (const { at, left, right, id } of steps) {
    assert.deepEqual([ids[at], ids[at + 1]], [left, right]);
    ids.splice(at, 2, id);
  }
  return ids;
}

/** Words of a definition by the rule itself: the lowest rank first, the leftmost of equals. */
function naive(word, merges) {
  const parts = [...word], steps = [];
  for (;;) {
    let best = merges.length, at = -1;
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = merges.findIndex(([a, b]) => a === parts[i] && b === parts[i + 1]);
      if (rank >= 0 && rank < best) [best, at] = [rank, i];
    }
    if (at < 0) return { parts, steps };
    steps.push({ at, rank: best });
    parts.splice(at, 2, parts[at] + parts[at + 1]);
  }
}

describe('replayMerges', () => {
  test('one word: rank by rank what the rule gives', async () => {
    for (const seed of [1, 2, 3]) {
      const definition = byteLevel(seed, {}), tokenizer = await load(definition), { merges } = definition.model;
      let long = 0;
      for (const text of texts(seed, 60)) {
        const word = text.normalize('NFD').replace(/[^a-z]/g, '').slice(0, 40);
        if (!word) continue;
        const replay = replayMerges(tokenizer, word), want = naive(word, merges);
        assert.deepEqual(replay.steps.map(({ at, rank }) => ({ at, rank })), want.steps, word);
        assert.deepEqual([...replay.ids].map((id) => tokenizer.tokenPiece(id)), want.parts);
        long = Math.max(long, want.steps.length);
      }
      assert.ok(long >= 3, 'some words take several merges');
    }
  });

  test('any text: the steps make the tokens', async () => {
    for (const definition of [byteLevel(4, {}), characterLevel(5, {}), characterLevel(6, { byte_fallback: true })]) {
      const tokenizer = await load(definition);
      for (const text of texts(7, 40)) {
        const replay = replayMerges(tokenizer, text.slice(0, 200));
        assert.deepEqual(replay.direct, []);
        assert.deepEqual(played(replay), [...tokenizer.encode(text.slice(0, 200), { offsets: false }).ids]);
      }
    }
  });

  test('words that are taken as they are need no merges', async () => {
    const definition = byteLevel(4, {}, { ignore_merges: true }), word = 'zqxj';
    definition.model.vocab[word] = Object.keys(definition.model.vocab).length;
    const tokenizer = await load(definition), { ids, steps, direct, symbols } = replayMerges(tokenizer, word);
    assert.deepEqual([[...ids], steps, direct, symbols.length], [[definition.model.vocab[word]], [], [0], 4]);
  });

  test('what does not merge says so', async () => {
    const tokenizer = await load(unigram(1, false));
    assert.throws(() => replayMerges(tokenizer, 'a'), { code: 'EUNKNOWN', message: /Unigram tokenizer does not merge/ });
    assert.equal(mergeOf(tokenizer, 1, 2), null);
    const bpe = await load(byteLevel(1, {}));
    for (const [a, b] of [[-1, 0], [0, -1], [0, 1e6], [1e6, 0], [1.5, 2]]) assert.equal(mergeOf(bpe, a, b), null);
  });

  for (const [name, ...file] of [['tiktoken’s ranks', 'cl100k_base', 'cl100k_base.tiktoken'], ['SentencePiece', 'llama2', 'tokenizer.model'], ['GPT-2', 'gpt2', 'tokenizer.json'], ['ends of words', 'clip', 'tokenizer.json'], ['words as they are', 'llama3', 'tokenizer.json']])
    test(`published: ${name}`, { skip: skipWithoutShared }, async () => {
      const tokenizer = await Tokenizer.load(new Uint8Array(readShared('tokenizers', ...file)), { name: file[1] });
      for (const text of ['tokenization', 'The quick brown fox, 1234 times!', 'Straße naïve λόγος 日本語 🙂', '  two  spaces\n']) {
        const replay = replayMerges(tokenizer, text), ids = [...tokenizer.encode(text, { offsets: false }).ids];
        assert.deepEqual([...replay.ids], ids);
        if (name !== 'words as they are') assert.deepEqual(replay.direct, []);
        if (!replay.direct.length) assert.deepEqual(played(replay), ids, text);
      }
      assert.ok(replayMerges(tokenizer, 'tokenization').steps.length > 5);
    });
});
