// The page of tokenizers makes parallel texts of what Intl knows (demos/tokenizers/locales.js) and sorts languages by writing system (scripts.js).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spokenHere } from '../../demos/tokenizers/locales.js';
import { groupByScript, scriptOf, scriptPlot, swarm } from '../../demos/tokenizers/scripts.js';

const few = await spokenHere();
const spoken = (list, code) => list.find((l) => l.language === code);

test('months and days of every language that Node knows', (t) => {
  t.diagnostic(`${new Set(few.map((l) => l.language.split('-')[0])).size} languages, ${few.length} with second scripts (ICU ${process.versions.icu})`);
  assert.ok(few.length > 40);
  assert.equal(new Set(few.map((l) => l.language)).size, few.length);
  assert.deepEqual(spoken(few, 'en'), { language: 'en', name: 'English', autonym: 'English', texts: ['January, February, March, April, May, June, July, August, September, October, November, December', 'Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday'] });
  for (const { language, name, texts } of few) {
    const [months, days, ...others] = texts.map((text) => text.split(', ').length);
    assert.ok(months >= 12 && days === 7 && !others.length, language); // a name of a month may have commas of its own
    assert.ok(name && name !== language && !/M\d\d/.test(texts[0]), language);
    if (language !== 'en') for (const [i, text] of texts.entries()) assert.notEqual(text, spoken(few, 'en').texts[i], `${language} falls back to English`);
  }
  // Against dates made otherwise.
  for (const code of ['de', 'hi', 'ru', 'zh']) for (let month = 0; month < 12; month++) {
    const part = new Intl.DateTimeFormat(code, { month: 'long', timeZone: 'UTC' }).format(new Date(Date.UTC(2023, month, 5)));
    assert.equal(spoken(few, code).texts[0].split(', ')[month], part);
  }
});

test('all kinds: fewer languages, none with a gap; progress; stopping', async () => {
  const told = [], more = await spokenHere({ more: true, progress: (done) => told.push(done) });
  assert.ok(more.length > 30 && more.length < few.length);
  assert.ok(told.every((x, i) => x >= (told[i - 1] ?? 0)) && told.at(-1) === 1);
  for (const { language, texts } of more) assert.ok(texts.length === 8 && texts.every(Boolean) && spoken(few, language.split('-')[0]), language);
  assert.match(spoken(more, 'de').texts[4], /^Frankreich, China, Indien, Brasilien, /);
  // A language that names no month is not made up: Akoose and others exist as codes without words here.
  for (const code of ['bss', 'qaa', 'zxx', 'und', 'iw']) assert.equal(spoken(few, code), undefined);
  await assert.rejects(spokenHere({ breathe: async () => { throw new Error('enough'); } }), /enough/);
});

test('writing systems are told by letters', () => {
  const want = { de: 'Latin', ru: 'Cyrillic', 'sr-Latn': 'Latin', el: 'Greek', hi: 'Devanagari', he: 'Hebrew', th: 'Thai', ta: 'Tamil', ar: 'Arabic' };
  for (const [code, script] of Object.entries(want)) assert.equal(scriptOf(spoken(few, code).texts), script, code);
  assert.equal(scriptOf(['これは本です']), 'Japanese');
  assert.equal(scriptOf(['这是一本书 (book)']), 'Chinese characters');
  assert.equal(scriptOf(['이것은 책이다']), 'Korean');
  assert.equal(scriptOf(['123 …', '']), 'other');
  assert.ok(few.every((l) => scriptOf(l.texts) !== 'other'));
});

test('groups have their medians; dots are not upon each other and none is lost', () => {
  const dots = Array.from({ length: 300 }, (_, i) => ({ language: `l${i}`, name: `<${i}>`, script: `script ${i % 7}`, value: i % 50 ? 0.5 + ((i * 7919) % 100) / 30 : NaN }));
  const groups = groupByScript(dots);
  assert.equal(groups.reduce((n, g) => n + g.dots.length, 0), 294);
  for (const { dots: list, median } of groups) {
    const below = list.filter((d) => d.value < median).length, above = list.filter((d) => d.value > median).length;
    assert.ok(below <= list.length / 2 && above <= list.length / 2);
  }
  assert.deepEqual(groups.map((g) => g.median), groups.map((g) => g.median).sort((a, b) => a - b));
  const xs = groups[0].dots.map((d) => 40 * d.value), ys = swarm(xs);
  for (let i = 0; i < xs.length; i++) for (let j = 0; j < i; j++) assert.ok(Math.hypot(xs[i] - xs[j], ys[i] - ys[j]) > 7.2, `${i} on ${j}`);
  const svg = scriptPlot({ title: 'a <b>', axis: 'times', groups, found: new Set(['l1']) });
  assert.equal(svg.match(/<circle /g).length, 294);
  assert.equal(svg.match(/<circle class="mp-f1"/g).length, 1);
  assert.ok(svg.includes('a &#60;b&#62;') && svg.includes('&#60;1&#62;</text>') && !svg.includes('<b>'));
});
