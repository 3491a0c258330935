// Languages of tokens from JavaScript and the command line: against encoding itself, and against the engine's own regular expressions.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Lattice, TokenLanguage, Tokenizer, isCanonical, trainTokenizer } from '../../web/index.js';
import { random } from '../support/definitions.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const utf8 = new TextEncoder();
const corpus = ['the lowest of the low, newer than the newest 123 1234 12,345', 'wider and widest: a token, tokens, tokenization', 'été 日本'];
/** Without a splitter every text is one word. */
const { tokenizer: bpe, tokenizerJson } = await trainTokenizer(corpus, { vocabSize: 420, preTokenizer: 'none' });

test('canonical sequences: single steps agree with encoding, and the one canonical path through a lattice is the encoding', () => {
  const language = new TokenLanguage(bpe, { canonical: true });
  const r = random(2);
  for (let round = 0; round < 300; round++) {
    const ids = Array.from({ length: 1 + r.next(4) }, () => 256 + r.next(bpe.vocabSize - 256));
    const last = /** @type {number} */ (ids.pop());
    let state = 0;
    for (const id of bpe.encode(bpe.decodeBytes(ids)).ids) state = /** @type {number} */ (language.next(state, id));
    assert.notEqual(state, null);
    const whole = [...bpe.encode(bpe.decodeBytes(ids)).ids, last];
    assert.equal(language.next(state, last) !== null, isCanonical(bpe, whole), whole.join());
    assert.equal(language.matches(whole), isCanonical(bpe, whole));
  }
  for (const text of ['the lowest', 'newest token', ' wide']) {
    const paths = new Lattice(bpe, text, { weights: 'uniform', wholeText: true }).enumerate({ cap: 100000 }).paths.filter(({ ids }) => language.matches(ids));
    assert.deepEqual(paths.map(({ ids }) => [...ids]), [[...bpe.encode(text).ids]]);
  }
  const allowed = language.allowed(0);
  assert.equal(allowed.length, bpe.vocabSize);
  for (const { id, bytes } of bpe.tokens()) assert.equal(allowed[id] === 1, isCanonical(bpe, [id]) && bytes.length > 0, `${id}`);
  assert.ok(language.states < bpe.vocabSize, 'last tokens that cannot be told apart share a state');
});

test('expressions: what is allowed, accepted, counted', () => {
  for (const [pattern, strings] of /** @type {[string, string[]][]} */ ([['(ab)*', ['', 'ab', 'abab', 'a', 'aba', 'ba']], ['[0-9]+(,[0-9]{3})*', ['1', '12,345', '12,34', ',', '1,000,000', '']], ['the|then|é', ['the', 'then', 'th', 'é', 'thé']], ['(?i)low(est)?', ['LOW', 'Lowest', 'lowes']]])) {
    const language = new TokenLanguage(bpe, { pattern }), canonical = new TokenLanguage(bpe, { pattern, canonical: true });
    const whole = new RegExp(`^(?:${pattern.replace('(?i)', '')})$`, pattern.startsWith('(?i)') ? 'ui' : 'u');
    for (const s of strings) {
      for (const { ids } of new Lattice(bpe, s, { weights: 'uniform', wholeText: true }).enumerate({ cap: 500 }).paths) {
        assert.equal(language.matches(ids), whole.test(s), `${pattern}: ${s}`);
        assert.equal(canonical.matches(ids), whole.test(s) && isCanonical(bpe, ids));
      }
      // every allowed token keeps a way open; every other one does not
      let state = language.start;
      for (const id of bpe.encode(s).ids) {
        const mask = language.allowed(state);
        for (const other of [id, 256 + (id % (bpe.vocabSize - 256))]) assert.equal(language.next(state, other) !== null, mask[other] === 1);
        const next = language.next(state, id);
        if (next === null) break;
        state = next;
      }
    }
  }
  const ways = new TokenLanguage(bpe, { pattern: '(?:low)*' });
  assert.deepEqual(ways.count(6).map(Number), [1, 0, 0, Number(new Lattice(bpe, 'low', { wholeText: true }).count), 0, 0, Number(new Lattice(bpe, 'lowlow', { wholeText: true }).count)]);
  assert.deepEqual(new TokenLanguage(bpe, { pattern: '[ab]*', canonical: true }).count(5).map(Number), [1, 2, 4, 8, 16, 32], 'one canonical sequence a text');
});

test('refusals', async () => {
  assert.throws(() => new TokenLanguage(bpe, { pattern: '(' }), { code: 'EFORMAT' });
  assert.throws(() => new TokenLanguage(bpe, { pattern: '(?<=a)b' }), { code: 'EUNKNOWN' });
  assert.throws(() => new TokenLanguage(bpe, /** @type {any} */ ({ expression: 'a' })), { code: 'EUNKNOWN' });
  const { tokenizer: unigram } = await trainTokenizer(corpus, { kind: 'unigram', vocabSize: 60 });
  assert.throws(() => new TokenLanguage(unigram, { canonical: true }), /Unigram/);
  const language = new TokenLanguage(unigram, { pattern: '[a-z ]+' });
  assert.ok(language.matches(unigram.encode('the low').ids));
  assert.throws(() => language.next(5000, 1), { code: 'ERANGE' });
  assert.throws(() => language.next(0, -1), { code: 'ERANGE' });
  language.dispose();
  assert.throws(() => language.allowed(0), { code: 'ESTATE' });
});

test('the command line: canonical', async () => {
  const file = scratch().write('t.json', tokenizerJson);
  const tokenizer = await Tokenizer.load(file);
  const ids = [...tokenizer.encode('the lowest').ids], spelled = [...utf8.encode('lowest')].map((b) => tokenizer.encode(Uint8Array.of(b)).ids[0]);
  assert.deepEqual(await cli(['canonical', '--tokenizer', file, ...ids.map(String)]).then(({ status, stdout }) => [status, stdout]), [0, 'yes\n']);
  const no = await cli(['canonical', '--tokenizer', file, '--json', '--ids', spelled.join()]);
  assert.equal(no.status, 1);
  assert.deepEqual(JSON.parse(no.stdout), { canonical: false, ids: [...tokenizer.encode('lowest').ids], differs_at: 0 });
  const next = JSON.parse((await cli(['canonical', '--tokenizer', file, '--json', '--next', '--match', 'the|then', '--ids', tokenizer.encode('the').ids.join()])).stdout);
  assert.deepEqual(next, { next: [tokenizer.findPiece('n')], end: true });
  const canonical = JSON.parse((await cli(['canonical', '--tokenizer', file, '--json', '--next', '--ids', ids.join()])).stdout);
  assert.deepEqual(canonical.next, [...tokenizer.tokens()].filter(({ id }) => isCanonical(tokenizer, [...ids, id])).map(({ id }) => id));
});
