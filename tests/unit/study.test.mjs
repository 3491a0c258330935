// Studies: fairness, code levels, sweeps, correlations, against plain recounting and what must hold of them.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { CODE_LEVELS, Tokenizer, chunkability, codeLevels, cognitivePlausibility, correlation, languagePremiums, normalizedLength, parseTable, trainTokenizer, vocabularySweep } from '../../web/index.js';
import { random } from '../support/definitions.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const close = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ tolerance = 1e-12) => assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);
const EN = ['All human beings are born free', 'Everyone has the right to life', 'No one shall be held in slavery', 'Everyone has the right to work', 'Everyone has the right to rest', 'No one is above the law, not one', 'All are equal before the law', 'Everyone may leave any country'];
const SW = ['Watu wote wamezaliwa huru', 'Kila mtu ana haki ya kuishi', 'Mtu yeyote asifanywe mtumwa', 'Kila mtu ana haki ya kufanya kazi', 'Kila mtu ana haki ya kupumzika', 'Hakuna aliye juu ya sheria', 'Wote ni sawa mbele ya sheria', 'Kila mtu anaweza kuondoka nchi'];
const JA = ['すべての人間は自由である', '生命に対する権利を有する', '奴隷の状態に置かれない', '働く権利を有する', '休む権利を有する', '法の上に立つ者はいない', '法の下に平等である', '国を去ることができる'];
const LANGUAGES = [{ language: 'en', name: 'English', texts: EN }, { language: 'sw', texts: SW }, { language: 'ja', texts: JA }];
const bytes = (/** @type {string} */ text) => Buffer.byteLength(text);
const sum = (/** @type {number[]} */ list) => list.reduce((a, b) => a + b, 0);
const byt5 = await Tokenizer.builtin('byt5'), canine = await Tokenizer.builtin('canine');

test('premiums: of bytes exactly the ratio of UTF-8 lengths, of code points that of characters; others by recounting', async () => {
  const { tokenizer } = await trainTokenizer(EN, { vocabSize: 330 });
  for (const t of [byt5, canine, tokenizer]) {
    const found = languagePremiums(t, LANGUAGES);
    const size = (/** @type {string} */ text) => (t === byt5 ? bytes(text) : t === canine ? [...text].length : t.encode(text).ids.length);
    assert.deepEqual(found.languages.map((l) => l.language), ['en', 'sw', 'ja']);
    for (const [i, { texts }] of LANGUAGES.entries()) {
      const l = found.languages[i];
      close(l.premium, sum(texts.map(size)) / sum(EN.map(size)));
      close(l.parity, sum(texts.map((text, k) => size(text) / size(EN[k]))) / EN.length);
      close(l.bytePremium, sum(texts.map(bytes)) / sum(EN.map(bytes)));
      close(l.characterPremium, sum(texts.map((x) => [...x].length)) / sum(EN.map((x) => [...x].length)));
    }
    assert.equal(found.languages[0].premium, 1);
    assert.equal(found.languages[0].name, 'English');
    const [, sw, ja] = found.languages.map((l) => l.premium);
    close(found.median, (sw + ja) / 2);
    assert.deepEqual([found.most, found.least], sw > ja ? [{ language: 'sw', premium: sw }, { language: 'ja', premium: ja }] : [{ language: 'ja', premium: ja }, { language: 'sw', premium: sw }]);
  }
});

test('premiums: languages with other texts are left out, unknown tokens do not count, a missing reference is an error', async () => {
  const { tokenizer } = await trainTokenizer(EN, { kind: 'wordpiece', vocabSize: 120 });
  const found = languagePremiums(tokenizer, [...LANGUAGES, { language: 'xx', texts: ['one'] }]);
  assert.deepEqual(found.left, ['xx']);
  assert.equal(found.languages[2].counted, false, 'Japanese is [UNK]');
  assert.ok(found.languages[2].unknownRate > 0.5);
  assert.equal(found.most?.language, 'sw');
  assert.throws(() => languagePremiums(byt5, LANGUAGES, { reference: 'de' }), { code: 'EMISSING' });
  assert.deepEqual([languagePremiums(byt5, [LANGUAGES[0]]).most, languagePremiums(byt5, [LANGUAGES[0]]).median], [null, 0]);
});

test('normalised length: 1 against itself, recounted against another', async () => {
  const { tokenizer } = await trainTokenizer(EN, { vocabSize: 330 });
  assert.equal(normalizedLength(tokenizer, tokenizer, EN), 1);
  close(normalizedLength(tokenizer, byt5, EN), sum(EN.map((x) => tokenizer.encode(x).ids.length)) / sum(EN.map(bytes)));
  assert.equal(normalizedLength(tokenizer, byt5, []), 0);
});

test('code levels: each is made of whole pieces of the one before; the coarser, the fewer tokens', async () => {
  const r = random(3), code = Array.from({ length: 400 }, (_, i) => `${' '.repeat(4 * r.next(4))}${r.pick(['for i in range(n):', 'self.x[i] += 1', 'return np.array(x, dtype=float)', 'if a == b and not c:', '# a  comment', 'print("%d" % n)', ''])}\n`).join('');
  /** @type {Map<string, Set<number>>} */ const ends = new Map();
  for (const [level, regex] of Object.entries(CODE_LEVELS)) {
    const pieces = regex ? [...code.matchAll(new RegExp(regex, 'gu'))].map((m) => m[0]) : [code];
    assert.equal(pieces.join(''), code, `${level}: the pieces are the text`);
    let at = 0;
    ends.set(level, new Set(pieces.map((p) => (at += p.length))));
  }
  const levels = [...ends.values()];
  for (let i = 1; i < levels.length; i++) for (const end of levels[i]) assert.ok(levels[i - 1].has(end), `a piece of ${Object.keys(CODE_LEVELS)[i]} ends inside one of the level before`);
  const found = await codeLevels([code], { vocabSize: 400, heldOut: ['for j in range(m):\n'] });
  assert.deepEqual(found.map((l) => l.level), Object.keys(CODE_LEVELS));
  for (let i = 1; i < found.length; i++) assert.ok(found[i].tokens <= found[i - 1].tokens, `${found[i].level}: ${found[i].tokens} > ${found[i - 1].tokens}`);
  for (const l of found) close(l.compression, bytes(code) / l.tokens);
  await assert.rejects(codeLevels([code], { vocabSize: 400, levels: /** @type {any} */ (['deep']) }), { code: 'EUNKNOWN' });
});

test('sweeps: what a language gets follows its share; held-out texts are not trained on', async () => {
  const points = await vocabularySweep(LANGUAGES, { sizes: [300, 360], mixes: [{ en: 1 }, { en: 1, sw: 1 }] });
  assert.deepEqual(points.map((p) => p.vocabSize), [300, 360, 300, 360]);
  const [alone, , both] = points;
  assert.ok(both.languages.sw.premium < alone.languages.sw.premium, 'a share of Swahili makes Swahili cheaper');
  assert.ok(both.languages.en.compression < alone.languages.en.compression);
  assert.equal(alone.languages.en.premium, 1);
  close(alone.languages.ja.compression, 1, 1e-9); // never seen: a token a byte
  for (const size of [300, 360]) assert.ok(points.filter((p) => p.vocabSize === size).every((p) => p.efficiency > 0 && p.efficiency <= 1));
  assert.ok(points[1].languages.en.compression >= points[0].languages.en.compression, 'more tokens, longer tokens');
  const { tokenizer } = await trainTokenizer(EN.filter((_, i) => i % 4), { vocabSize: 300 });
  close(alone.languages.en.compression, sum([EN[0], EN[4]].map(bytes)) / sum([EN[0], EN[4]].map((x) => tokenizer.encode(x).ids.length)));
  await assert.rejects(vocabularySweep(LANGUAGES, { sizes: [300], mixes: [{ de: 1 }] }), { code: 'EMISSING' });
  await assert.rejects(vocabularySweep(LANGUAGES, { sizes: [300], mixes: [{ en: 0 }] }), { code: 'ERANGE' });
  await assert.rejects(vocabularySweep([LANGUAGES[0], { language: 'x', texts: ['a'] }], { sizes: [300] }), { code: 'ERANGE' });
  await assert.rejects(vocabularySweep(LANGUAGES, { sizes: [300], signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('words: chunkability, Pearson, tables', async () => {
  const { tokenizer } = await trainTokenizer(['un aff able', 'unaffable un aff able unaff'.repeat(3)], { kind: 'wordpiece', vocabSize: 40 });
  for (const word of ['unaffable', 'able', '']) close(chunkability(tokenizer, word), word ? 1 - tokenizer.encode(word).ids.length / word.length : 0);
  const pieces = await Tokenizer.load(Buffer.from('[UNK]\nun\n##aff\n##able'), { name: 'vocab.txt' });
  close(chunkability(pieces, 'unaffable'), 1 - 3 / 9);
  close(correlation([1, 2, 3, 4], [2, 4, 6, 8]), 1);
  close(correlation([1, 2, 3, 4], [1, 0, 1, 0]), -1 / Math.sqrt(5));
  assert.ok(Number.isNaN(correlation([1, 1], [1, 2])));
  assert.throws(() => correlation([1], [1, 2]), { code: 'ERANGE' });
  const table = parseTable('word,kind,rt,accuracy\nable,word,500,"0.9"\n"un,able",word,700,0.5\naff,nonword,600,\nunaffable,word,900,0.2\r\n');
  assert.deepEqual(table[1], { word: 'un,able', kind: 'word', rt: 700, accuracy: 0.5 });
  assert.ok(!('accuracy' in table[2]));
  const found = cognitivePlausibility(pieces, table);
  assert.deepEqual(found.map(({ kind, column, n }) => [kind, column, n]), [['word', 'rt', 3], ['word', 'accuracy', 3], ['nonword', 'rt', 1]]);
  const words = table.filter((row) => row.kind === 'word');
  close(found[0].r, correlation(words.map((row) => chunkability(pieces, String(row.word))), words.map((row) => Number(row.rt))));
  assert.deepEqual(parseTable('a\t1\nb\t2', { header: ['word', 'n'] }), [{ word: 'a', n: 1 }, { word: 'b', n: 2 }]);
  assert.throws(() => parseTable('a,b\n1'), { code: 'EFORMAT' });
  assert.throws(() => parseTable('a,b\n"1,2'), { code: 'EFORMAT' });
  assert.throws(() => cognitivePlausibility(pieces, [{ rt: 1 }]), { code: 'EMISSING' });
});

test('numbers: groups of three from the left and from the right are splitters', async () => {
  const [left, right] = await Promise.all(['\\d{1,3}', '\\d{1,3}(?=(?:\\d{3})*(?!\\d))'].map((regex) => trainTokenizer(['1234567 234567'.repeat(9)], { vocabSize: 400, preTokenizer: { regex } })));
  const cut = (/** @type {any} */ { tokenizer }, /** @type {string} */ text) => [...tokenizer.encode(text).ids].map((id) => tokenizer.token(id).piece).join('·');
  assert.equal(cut(left, '1234567'), '123·456·7');
  assert.equal(cut(right, '1234567'), '1·234·567');
});

test('the command line', async () => {
  const files = scratch(), texts = files.write('texts.jsonl', `${LANGUAGES.map((l) => JSON.stringify(l)).join('\n')}\n`), table = files.write('t.csv', 'word,rt\nable,1\nableable,2\nx,3\n'), code = files.write('c.py', 'a = b.c(1)\n'.repeat(200));
  const [found] = JSON.parse((await cli(['study', 'premiums', '--json', '--tokenizer', 'byt5', texts])).stdout);
  close(found.languages[2].premium, sum(JA.map(bytes)) / sum(EN.map(bytes)));
  assert.match((await cli(['study', 'premiums', '--tokenizer', 'byt5', texts])).stdout, /English/);
  assert.equal(JSON.parse((await cli(['study', 'sweep', '--json', '--languages', 'en,sw', '--sizes', '300', '--mixes', 'en=1;en=1,sw=1', texts])).stdout).length, 2);
  assert.equal(JSON.parse((await cli(['study', 'code', '--json', '--vocab-size', '270', code])).stdout).length, 5);
  assert.equal(JSON.parse((await cli(['study', 'words', '--json', '--tokenizer', 'canine', table])).stdout)[0].n, 3);
  assert.equal(JSON.parse((await cli(['study', 'length', '--json', '--tokenizer', 'byt5', '--tokenizer', 'canine', code])).stdout)[0].normalized_length, 1);
  for (const args of [['study'], ['study', 'x'], ['study', 'premiums', '--tokenizer', 'byt5'], ['study', 'premiums', texts], ['study', 'sweep', texts], ['study', 'sweep', '--languages', 'de', texts]]) assert.equal((await cli(args)).status, 2, args.join(' '));
  assert.equal((await cli(['study', 'premiums', '--tokenizer', 'byt5', code])).status, 1, 'no JSON');
});
