// Sources whose distribution is known, and languages there and back: against the sources themselves, against enumeration, against published numbers.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Lattice, MarkovSource, TokenLanguage, Tokenizer, isCanonical, trainTokenizer } from '../../web/index.js';
import { random } from '../support/definitions.mjs';
import { cli } from '../support/wasm.mjs';

const close = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ tolerance, what = '') => assert.ok(Math.abs(a - b) <= tolerance, `${what} ${a} is not ${b}`);
/** @param {string} letters @param {number} n @returns {string[]} */
const words = (letters, n) => (n ? words(letters, n - 1).flatMap((w) => [...letters].map((a) => w + a)) : ['']);
/** A source with random rows. @param {{next: (n: number) => number}} r @param {string} letters @param {number} order */
const rows = (r, letters, order) => words(letters, order).map(() => {
  const row = Array.from(letters, () => 1 + r.next(1000)), sum = row.reduce((a, b) => a + b);
  return row.map((x) => x / sum);
});

describe('sources', () => {
  test('stationary distribution, entropies and next letters are those of the enumerated texts', async () => {
    const r = random(3);
    for (const [letters, order] of /** @type {[string, number][]} */ ([['AB', 0], ['AB', 1], ['AB', 3], ['xyz', 1], ['xyz', 2]])) {
      const next = rows(r, letters, order), source = await MarkovSource.create({ letters, order, next });
      const contexts = words(letters, order), pi = source.stationary, at = (/** @type {string} */ w) => contexts.indexOf(w);
      close(pi.reduce((a, b) => a + b), 1, 1e-14);
      for (const [i, c] of contexts.entries()) { // one step does not change it
        const into = contexts.flatMap((from, f) => (order ? (from.slice(1) === c.slice(0, -1) ? [pi[f] * next[f][letters.indexOf(c.at(-1))]] : []) : [1]));
        close(into.reduce((a, b) => a + b), pi[i], 1e-14);
      }
      const p = new Map([['', 1]]);
      for (let n = 1; n <= 5; n++)
        for (const w of words(letters, n)) {
          const known = w.slice(0, -1), a = letters.indexOf(w.at(-1));
          p.set(w, n <= order ? contexts.reduce((sum, c, i) => sum + (c.startsWith(w) ? pi[i] : 0), 0) : p.get(known) * next[at(known.slice(known.length - order))][a]);
        }
      for (const [w, mass] of p) if (w.length < 5) for (const [a, q] of Object.entries(source.next(w))) close(q, p.get(w + a) / mass, 1e-13, w + a);
      for (let n = 1; n <= 5; n++) {
        const h = words(letters, n).reduce((sum, w) => sum - p.get(w) * Math.log(p.get(w)), 0);
        close(source.entropy(n), h, 1e-13);
        close(source.blockLoss(n), h / n, 1e-13);
      }
      close(source.entropyRate, source.entropy(order + 2) - source.entropy(order + 1), 1e-13);
      const text = source.sample(60000, { seed: 5 }), counts = new Map();
      assert.equal(text, source.sample(60000, { seed: 5 }));
      for (let i = 0; i + 1 < text.length; i++) counts.set(text.slice(i, i + 2), (counts.get(text.slice(i, i + 2)) ?? 0) + 1);
      for (const w of words(letters, 2)) close((counts.get(w) ?? 0) / (text.length - 1), p.get(w), 0.015, `${letters} ${order} ${w}`);
    }
  });

  test('what is not a source is refused', async () => {
    const bad = [{ letters: 'A', next: [[1]] }, { letters: 'AA', next: [[1, 0], [0, 1]] }, { letters: 'AB', next: [[1, 0], [0, 1]] }, { letters: 'AB', next: [[0.5, 0.6], [0.5, 0.5]] }, { letters: 'AB', next: [[-1, 2], [0.5, 0.5]] }, { letters: 'AB', next: [[1]] }, { letters: 'AB', next: [[NaN, 1], [0, 1]] }];
    for (const options of bad) await assert.rejects(MarkovSource.create(options), { code: 'ERANGE' }, JSON.stringify(options));
    await assert.rejects(MarkovSource.create({ letters: 'ABCDEFGH', order: 4, next: words('ABCDEFGH', 4).map(() => Array(8).fill(1 / 8)) }), { code: 'ELIMIT' });
    const source = await MarkovSource.create({ letters: 'AB', next: [[0, 1], [1, 0]] }); // never twice the same: periodic, but one stationary distribution
    assert.deepEqual([...source.stationary], [0.5, 0.5]);
    assert.equal(source.entropyRate, 0);
    assert.throws(() => source.next('AC'), { code: 'ERANGE' });
    await assert.rejects(source.tokenModel({ tokens: ['A', 'B'], length: 30 }), { code: 'ELIMIT' });
    await assert.rejects(source.tokenModel({ tokens: ['A'], length: 4 }), { code: 'EUNKNOWN' });
    await assert.rejects(source.tokenModel({ length: 4 }), { code: 'ERANGE' });
    const absorbing = await MarkovSource.create({ letters: 'AB', next: [[0.5, 0.5], [0, 1]] });
    assert.deepEqual([...absorbing.stationary], [0, 1]);
    absorbing.dispose();
    absorbing.dispose();
    assert.throws(() => absorbing.entropyRate, { code: 'ESTATE' });
  });
});

describe('tokenization bias', () => {
  test('first-order source, {A, B, AA}: impossible zeros, and the corrected answers', async () => {
    const source = await MarkovSource.create({ letters: 'AB', next: [[0.6, 0.4], [0.3, 0.7]] });
    const model = await source.tokenModel({ tokens: ['A', 'B', 'AA'], length: 14 });
    for (const [text, naive, corrected, calls] of /** @type {[string, number, number, number][]} */ ([['BA', 0, 0.6, 2], ['BAAA', 0, 0.6, 3], ['A', 0, 0.6, 1], ['BAA', 0.6, 0.6, 2], ['AA', 0.6, 0.6, 1], ['AB', 0.3, 0.3, 2]])) {
      const found = model.predict(text);
      close(found.naive.A, naive, 1e-12, text);
      close(found.corrected.A, corrected, 1e-12, text);
      close(found.truth.A, corrected, 0, text);
      assert.equal(found.modelCalls, calls, text);
    }
    const rows = model.next([]);
    close(rows.reduce((a, b) => a + b), 1, 1e-12);
    assert.deepEqual([...model.next([0, 0])], Array(rows.length).fill(0), 'A, A is never an encoding');
    assert.throws(() => model.predict('AC'), { code: 'ERANGE' });
  });

  test('third-order source, eight tokens: every context of 4 to 8 letters', async () => {
    const source = await MarkovSource.create({ letters: 'AB', order: 3, next: [0.5, 0.8, 0.1, 0.5, 0.6, 0.5, 0.3, 0.2].map((a) => [a, 1 - a]) });
    const model = await source.tokenModel({ tokens: ['A', 'B', 'AA', 'BAAB', 'BBAA', 'BBBA', 'BA', 'BBA'], length: 14 });
    const sums = Array(8).fill(0);
    for (let n = 4; n <= 8; n++)
      for (const text of words('AB', n)) {
        const { truth, naive, corrected } = model.predict(text);
        close(corrected.A, truth.A, 2e-13, text);
        if (n === 8) sums[words('AB', 3).indexOf(text.slice(-3))] += naive.A / 32;
      }
    for (const [i, published] of [0.328, 0.2, 0.057, 0, 0.188, 0, 0.153, 0].entries()) close(sums[i], published, 6e-4, `context ${i}`);
  });

  test('byte-pair encoding of random sources: the byte model gives the source back wherever the text does not near its end', async () => {
    const r = random(8);
    for (let round = 0; round < 6; round++) {
      const letters = round % 2 ? 'abc' : 'ab', order = 1 + (round % 3), length = letters.length === 2 ? 12 : 8;
      const source = await MarkovSource.create({ letters, order, next: rows(r, letters, order) });
      const { tokenizer } = await trainTokenizer([source.sample(3000, { seed: round })], { vocabSize: 256 + 8, preTokenizer: 'none' });
      const model = await source.tokenModel({ tokenizer, length });
      let zeros = 0;
      for (let n = order; n <= length - 4; n++)
        for (let i = 0; i < 20; i++) {
          const text = source.sample(n, { seed: 1000 * round + 50 * n + i }), { truth, naive, corrected } = model.predict(text);
          for (const a of letters) {
            close(corrected[a], truth[a], 1e-11, text);
            zeros += Number(naive[a] === 0);
          }
        }
      assert.ok(zeros > 0, 'the naive answer has impossible zeros');
    }
  });

  test('rows of another model: the sums are made with them, whatever the order in which they are set', async () => {
    const [source, other] = await Promise.all([[0.6, 0.3], [0.2, 0.75]].map(([a, b]) => MarkovSource.create({ letters: 'AB', next: [[a, 1 - a], [b, 1 - b]] })));
    const { tokenizer } = await trainTokenizer([source.sample(2000, { seed: 1 })], { vocabSize: 256 + 3, preTokenizer: 'none' });
    for (const how of [{ tokens: ['A', 'B', 'AA'] }, { tokenizer }]) {
      const model = await source.tokenModel({ ...how, length: 10 }), wanted = await other.tokenModel({ ...how, length: 10 });
      const encode = (/** @type {string} */ text) => (how.tokens ? text.match(/AA|A|B/g).map((t) => how.tokens.indexOf(t)) : [...tokenizer.encode(text).ids]);
      const contexts = [9, 8, 7, 6, 5, 4, 3, 2, 1].flatMap((n) => words('AB', n).map(encode)).concat([[]]);
      for (const ids of contexts) model.set(ids, wanted.next(ids));
      for (const text of [1, 2, 3, 4, 5, 6].flatMap((n) => words('AB', n))) {
        const found = model.predict(text), { naive, corrected, textLogProb } = wanted.predict(text);
        for (const a of 'AB') {
          close(found.naive[a], naive[a], 1e-12, text);
          close(found.corrected[a], corrected[a], 1e-12, text);
        }
        close(found.textLogProb, textLogProb, 1e-12, text);
        close(found.corrected.A, other.next(text).A, 1e-11, text);
      }
      const size = model.tokenizer.vocabSize, row = Array(size).fill(0).with(0, 1);
      model.set(contexts[0], row);
      assert.deepEqual([...model.next(contexts[0])], [...row, 0]);
      model.set([0, 0, 0, 0], row);
      assert.equal(model.next([0, 0, 0, 0])[0], 1, 'a sequence that no text has');
      for (const [ids, bad] of /** @type {[number[], number[]][]} */ ([[[], row.slice(1)], [[], row.with(0, 0.9)], [[], row.with(0, 2).with(1, -1)], [[], row.with(0, NaN)], [[size], row], [[-1], row]]))
        assert.throws(() => model.set(ids, bad), { code: 'ERANGE' });
      model.dispose();
      assert.throws(() => model.set([], row), { code: 'ESTATE' });
    }
  });

  test('dictionaries: losses near the published ones, above the entropy rate', async () => {
    const source = await MarkovSource.create({ letters: 'AB', next: [[0.1, 0.9], [0.9, 0.1]] });
    close(source.entropyRate, 0.325083, 5e-7);
    close(source.entropy(1), 0.693147, 5e-7);
    for (const [r, loss] of [[2, 0.509115], [4, 0.417099], [8, 0.371091], [16, 0.348087]]) close(source.blockLoss(r), loss, 5e-7);
    const found = await source.dictionaryLosses({ sizes: [2, 4, 16, 64, 256] });
    for (const [i, published] of [0.693, 0.397, 0.35, 0.336, 0.341].entries()) {
      close(found[i].loss, published, 0.004, `${found[i].size} tokens`);
      assert.ok(found[i].loss > source.entropyRate);
    }
    const slow = await MarkovSource.create({ letters: 'AB', next: [[0.01, 0.99], [0.99, 0.01]] });
    for (const { loss, size } of await slow.dictionaryLosses({ sizes: [4, 16, 64] })) {
      assert.ok(loss > slow.entropyRate && loss < slow.blockLoss(16), `${size}: ${loss}`);
    }
  });
});

describe('languages, there and back', () => {
  const alphabet = '()abc,';
  const depth = (/** @type {number} */ n) => { let p = ''; for (; n; n--) p = `(?:\\(${p}\\))*`; return p; };
  const balanced = (/** @type {string} */ s) => { let d = 0; for (const c of s) { if (c !== '(' && c !== ')') return false; d += c === '(' ? 1 : -1; if (d < 0 || d > 4) return false; } return d === 0; };
  /** @type {[string, (s: string) => boolean][]} */
  const patterns = [['(ab)*', (s) => /^(ab)*$/.test(s)], [depth(4), balanced], ['[abc]+(,[abc]{2})*', (s) => /^[abc]+(,[abc]{2})*$/.test(s)], ['(?:a|ab)(?:c|bc)', (s) => /^(?:a|ab)(?:c|bc)$/.test(s)]];

  test('token sequences are accepted exactly when what they spell is in the language; the bytes come back', async () => {
    const r = random(4);
    const texts = Array.from({ length: 200 }, () => Array.from({ length: 20 }, () => alphabet[r.next(alphabet.length)]).join(''));
    const trained = await Promise.all([20, 60].map((more) => trainTokenizer(texts, { vocabSize: 256 + more, preTokenizer: 'none' })));
    const byt5 = await Tokenizer.builtin('byt5');
    for (const [pattern, inLanguage] of patterns) {
      const plain = new TokenLanguage(byt5, { pattern }).bytes();
      for (const { tokenizer } of trained) {
        const language = new TokenLanguage(tokenizer, { pattern }), canonical = new TokenLanguage(tokenizer, { pattern, canonical: true });
        assert.deepEqual(language.bytes(), plain, 'the same texts as a tokenizer of bytes spells');
        assert.deepEqual(canonical.bytes(), plain, 'canonical sequences spell every text');
        let inside = 0;
        for (const text of words(alphabet.slice(0, 4), 6).concat(words('abc,', 4), ['', '(())()', 'abab'])) {
          inside += Number(inLanguage(text));
          let state = 0;
          for (const c of text) state = state < 0 ? -1 : plain.next[256 * state + c.charCodeAt(0)];
          assert.equal(state >= 0 && plain.accepts[state] === 1, inLanguage(text), `${pattern}: ${text}`);
        }
        assert.ok(inside > 0, pattern);
        for (const text of ['abab', '(())()', 'ab,bc', 'abc', 'abbc', '()()()()', ')(', '((((()))))']) // depth 5 is outside
          for (const { ids } of new Lattice(tokenizer, text, { weights: 'uniform', wholeText: true }).enumerate({ cap: 3000 }).paths) {
            assert.equal(language.matches(ids), inLanguage(text), `${pattern}: ${text}`);
            assert.equal(canonical.matches(ids), inLanguage(text) && isCanonical(tokenizer, ids));
          }
      }
    }
  });

  test('the automaton is the smallest: any two states are told apart by some text, and every state leads to an end', async () => {
    const byt5 = await Tokenizer.builtin('byt5');
    for (const [pattern] of patterns) {
      const { states, accepts, next } = new TokenLanguage(byt5, { pattern }).bytes();
      const apart = new Set();
      const key = (/** @type {number} */ a, /** @type {number} */ b) => `${Math.min(a, b)} ${Math.max(a, b)}`;
      for (let more = true; more;) {
        more = false;
        for (let a = -1; a < states; a++)
          for (let b = a + 1; b < states; b++) {
            if (apart.has(key(a, b))) continue;
            const ends = (/** @type {number} */ s) => s >= 0 && accepts[s] === 1, step = (/** @type {number} */ s, /** @type {number} */ c) => (s < 0 ? -1 : next[256 * s + c]);
            if (ends(a) !== ends(b) || [...alphabet].some((c) => apart.has(key(step(a, c.charCodeAt(0)), step(b, c.charCodeAt(0)))))) { apart.add(key(a, b)); more = true; }
          }
      }
      assert.equal(apart.size, (states * (states + 1)) / 2, pattern); // -1, the dead end, is told apart from all as well
    }
    assert.throws(() => new TokenLanguage(byt5, { pattern: depth(4) }).bytes({ limit: 2 }), { code: 'ELIMIT' });
    const none = new TokenLanguage(byt5, { pattern: 'a(?!.)b' }).bytes();
    assert.deepEqual([none.states, none.accepts[0], none.next.every((x) => x < 0)], [1, 0, true]);
  });
});

test('the command line: markov, language', async () => {
  const { status, stdout } = await cli(['markov', '--json', '--next', '.6,.4;.3,.7', '--tokens', 'A,B,AA', '--blocks', '2', 'BA', 'AA']);
  assert.equal(status, 0);
  const found = JSON.parse(stdout);
  assert.deepEqual(found.texts.map((/** @type {any} */ t) => t.tokens), [['B', 'A'], ['AA']]);
  assert.equal(found.texts[0].naive.A, 0);
  close(found.texts[0].corrected.A, 0.6, 1e-12);
  assert.match((await cli(['markov', '--next', '.6,.4;.3,.7', '--tokens', 'A,B,AA', '--length', '10', 'BA'])).stdout, /naive +A 0\.000000/);
  for (const args of [['markov'], ['markov', '--next', 'x'], ['markov', '--next', '.5,.5;.5,.5', 'A'], ['language', '--match', 'a', 'b'], ['language']]) assert.equal((await cli(args)).status, 2, args.join(' '));
  assert.equal((await cli(['markov', '--next', '.5,.5'])).status, 1);
  const spelled = await cli(['language', '--tokenizer', 'byt5', '--match', '(ab)*', '--count', '4', '--automaton', '--json']);
  assert.deepEqual(JSON.parse(spelled.stdout), { first_tokens: 1, empty: true, count: ['1', '0', '1', '0', '1'], automaton: { states: 2, accepts: [0], arrows: [[0, 97, 1], [1, 98, 0]] } });
});
