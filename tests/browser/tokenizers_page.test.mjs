/**
 * The page demos/tokenizers in real browsers: what it shows is compared with what the package says in Node.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import { Lattice, languagePremiums, parseTable, replayMerges, Tokenizer } from '../../web/index.js';
import { readParallel } from '../../demos/tokenizers/languages.js';
import { axe, axeInThemes, CHROMIUM, chromium, eventually, FIREFOX, longestTask, PATIENCE, ROOT, saved, serve, until, visit, visitInFirefox } from './support.mjs';

const TEXT = 'Straße, naïve λόγος 🙂 and 1234<|endoftext|> tokens';
const HASH = `#${new URLSearchParams({ text: TEXT, with: 'tiny,unigram-4k,byt5', word: ' tokenization' })}`;
const FILES = { tiny: 'microtome-tiny.gguf', 'unigram-4k': 'vocabularies/unigram-4k.json', 'bpe-1k': 'vocabularies/bpe-1k.json' };
const known = new Map();
const tokenizer = async (key) => known.get(key) ?? known.set(key, key === 'byt5' ? await Tokenizer.builtin('byt5') : await Tokenizer.load(path.join(ROOT, 'models', FILES[key]))).get(key);

/** Waits until the panels have answered to this text, and owe nothing. */
const ready = (page, text = TEXT, keys = ['tiny', 'unigram-4k', 'byt5']) =>
  until(page, ({ length, keys }) => keys.every((key) => { const { for: of, busy } = document.querySelector(`.panel[data-key="${key}"]`)?.dataset ?? {}; return of === String(length) && busy === undefined; }) && document.querySelectorAll('.panel').length === keys.length, { length: text.length, keys });
/** Waits until so many languages are counted by all tokenizers. */
const ranked = (page, count) => until(page, (n) => document.querySelectorAll('#languages tr').length === n && !document.getElementById('languages-all').hasAttribute('aria-busy'), count);
/** Runs in the page: what the strip of a tokenizer shows, below the pieces. */
const countOf = (key) => document.querySelector(`.panel[data-key="${key}"] .count`).textContent;
/** Waits until the lattice and the replay are about this word. */
const pictured = (page, lattice) => until(page, (count) => String(document.querySelector('mt-lattice').count) === count && !('busy' in document.getElementById('inside-word').dataset), String(lattice.count));

describe('demos/tokenizers in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let server, browser;
  before(async () => {
    server = await serve({ isolated: false, base: '/site/' });
    browser = await chromium();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check, { hash = HASH, wait = true, context = {}, ...options } = {}) =>
    visit(browser, server.url(`demos/tokenizers/${hash}`), check, { ready: wait ? ready : null, context: { permissions: ['clipboard-read', 'clipboard-write'], ...context }, ...options });

  /** Drops files on the page. */
  const drop = (page, files) => page.evaluate((list) => {
    const data = new DataTransfer();
    for (const { name, text, bytes } of list) data.items.add(new File([bytes ? Uint8Array.from(bytes) : text], name));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  }, files);

  test('tokens, ids, offsets in both units: as the package has them', (t) => onPage(async (page) => {
    t.diagnostic(`longest task while the page opened: ${await longestTask(page)} ms`);
    for (const key of ['tiny', 'unigram-4k', 'byt5']) {
      const tok = await tokenizer(key), bytes = tok.encode(TEXT, { offsets: 'bytes' }), units = tok.encode(TEXT);
      assert.equal(await page.evaluate(countOf, key), `${bytes.ids.length} tokens`);
      await page.locator(`.panel[data-key="${key}"] summary`).first().click();
      const rows = () => page.locator(`.panel[data-key="${key}"] tbody tr`).evaluateAll((list) => list.map(({ cells }) => [2, 4, 5].map((i) => cells[i].textContent)));
      await eventually(rows, Array.from(bytes.ids, (id, i) => [String(id), `${bytes.offsets[2 * i]}–${bytes.offsets[2 * i + 1]}`, `${units.offsets[2 * i]}–${units.offsets[2 * i + 1]}`]));
      await page.locator(`.panel[data-key="${key}"]`).getByRole('button', { name: 'Copy ids' }).click();
      await until(page, (k) => /clipboard/.test(document.querySelector(`.panel[data-key="${k}"] .status`).textContent), key);
      assert.deepEqual(JSON.parse(await page.evaluate(() => navigator.clipboard.readText())), [...bytes.ids]);
    }
    const { name, text } = await saved(page, () => page.locator('#keep').getByRole('button', { name: /JSON/ }).click());
    const file = JSON.parse(text);
    assert.deepEqual([name, file.text, file.tokenizers.map((t) => t.name)], ['tokenizers.json', TEXT, ['microtome-tiny', 'unigram-4k', 'ByT5']]);
    assert.deepEqual(file.tokenizers[0].ids, [...(await tokenizer('tiny')).encode(TEXT).ids]);
  }));

  test('special tokens: as text, as tokens, with what stands around a text', () => onPage(async (page) => {
    const tok = await tokenizer('tiny');
    await page.locator('.how summary').click();
    await page.locator('#special input[value=text]').check();
    await until(page, ([key, want]) => document.querySelector(`.panel[data-key="${key}"] .count`).textContent === want, ['tiny', `${tok.count(TEXT, { specialAsText: true })} tokens`]);
    assert.notEqual(tok.count(TEXT, { specialAsText: true }), tok.count(TEXT));
    await until(page, () => location.hash.includes('special=text'));
    await page.locator('#template').check();
    await until(page, ([key, want]) => document.querySelector(`.panel[data-key="${key}"] .count`).textContent === want, ['byt5', `${(await tokenizer('byt5')).count(TEXT, { specialAsText: true, addSpecialTokens: true })} tokens`]);
    const specials = page.locator('.panel[data-key=tiny] details').nth(1);
    await specials.locator('summary').click();
    assert.deepEqual(await specials.locator('li bdi').allTextContents(), tok.specialTokens);
  }));

  test('the same place in every strip', () => onPage(async (page) => {
    const marked = (key) => page.evaluate((k) => [...document.querySelector(`.panel[data-key="${k}"] mt-token-strip`).shadowRoot.querySelectorAll('.marked')].map((e) => Number(e.getAttribute('aria-posinset')) - 1), key);
    const tiny = (await tokenizer('tiny')).encode(TEXT, { offsets: 'bytes' });
    for (const at of [0, 3, 12]) {
      await page.locator('.panel[data-key=tiny] mt-token-strip [role=listitem]').nth(at).hover();
      const [from, to] = [tiny.offsets[2 * at], tiny.offsets[2 * at + 1]];
      for (const key of ['unigram-4k', 'byt5']) {
        const { offsets } = (await tokenizer(key)).encode(TEXT, { offsets: 'bytes' });
        const want = Array.from({ length: offsets.length / 2 }, (_, i) => i).filter((i) => offsets[2 * i] < to && offsets[2 * i + 1] > from);
        await eventually(() => marked(key), want);
      }
    }
    await page.mouse.move(5, 5);
    await eventually(() => marked('byt5'), []);
  }));

  test('one word: the merges and the wall are the package’s; the replay plays and steps', () => onPage(async (page) => {
    const tok = await tokenizer('tiny'), { steps } = replayMerges(tok, ' tokenization'), lattice = new Lattice(tok, ' tokenization');
    await pictured(page, lattice);
    const shown = await page.evaluate(() => ({ steps: document.querySelector('mt-merge-replay').data.steps.map(({ at, rank, id }) => ({ at, rank, id })), best: document.querySelector('mt-lattice').data.edges.filter((e) => e.best).map((e) => e.id) }));
    assert.deepEqual(shown.steps, steps.map(({ at, rank, id }) => ({ at, rank, id })));
    assert.deepEqual(shown.best, [...tok.encode(' tokenization').ids]);
    // Every step does the lowest rank of those shown.
    assert.ok(await page.evaluate(() => document.querySelector('mt-merge-replay').data.steps.every(({ pairs, at, rank }) => pairs[at] === rank && pairs.every((p) => p === null || p >= rank))));
    const replay = page.locator('mt-merge-replay'), step = () => page.evaluate(() => document.querySelector('mt-merge-replay').step);
    await replay.getByRole('button', { name: 'Start' }).click();
    assert.equal(await step(), 0);
    await replay.getByRole('button', { name: 'Step' }).press('Enter');
    assert.equal(await step(), 1);
    await replay.getByRole('slider').press('End');
    assert.equal(await step(), steps.length);
    assert.match(await replay.locator('.said').textContent(), /^Done: 4 tokens after 9 merges/);
    await page.evaluate(() => document.querySelector('mt-merge-replay').setAttribute('pause-ms', '50'));
    await replay.getByRole('button', { name: 'Play' }).click();
    await until(page, (n) => { const r = document.querySelector('mt-merge-replay'); return r.step === n && !r.playing; }, steps.length);
    await replay.locator('summary').click();
    await eventually(() => replay.locator('tbody tr').count(), steps.length);
    assert.match(await page.evaluate(() => document.querySelector('mt-merge-replay').svg()), /^<svg [^]*<\/svg>\n$/);
    await page.locator('#word-of').selectOption('unigram-4k');
    const unigram = new Lattice(await tokenizer('unigram-4k'), ' tokenization');
    await pictured(page, unigram);
    assert.match(await page.locator('#merges-note').textContent(), /does not merge \(Unigram\)/);
    await page.locator('#word').fill('x'.repeat(120));
    await until(page, () => /too long to draw: at most 96/.test(document.getElementById('lattice-note').textContent));
    await page.locator('#word').fill('');
    await until(page, () => !/too long/.test(document.getElementById('lattice-note').textContent));
    lattice.dispose();
    unigram.dispose();
  }));

  test('languages: the ranking is languagePremiums’; a table of 500 languages; one that is none', () => onPage(async (page) => {
    const rows = parseTable(readFileSync(path.join(ROOT, 'demos/tokenizers/parallel.tsv'), 'utf8')), n = Object.keys(rows[0]).length - 2;
    const languages = rows.map((row) => ({ language: row.language, name: row.name, texts: Array.from({ length: n }, (_, i) => String(row[i + 1])) }));
    assert.ok(languages.length >= 30 && languages.every((l) => l.texts.every((t) => t && t !== 'undefined')));
    const want = languagePremiums(await tokenizer('tiny'), languages);
    await ranked(page, languages.length);
    assert.match(await page.locator('#premiums svg').textContent(), /microtome-tiny.*unigram-4k.*ByT5/s);
    const order = [...want.languages].sort((a, b) => Number(b.counted) - Number(a.counted) || a.premium - b.premium);
    assert.deepEqual(await page.locator('#languages tr').evaluateAll((list) => list.map((row) => [row.querySelector('bdi').textContent, row.querySelector('.bar span').textContent])), order.map((l) => [l.name, l.premium >= 10 ? l.premium.toFixed(1) : l.premium.toFixed(2)]));
    assert.match(await page.locator('#languages-note').textContent(), /10 short sentences in 36 languages, written for this page: few/);
    const csv = await saved(page, () => page.locator('#keep-premiums').getByRole('button', { name: /CSV/ }).click());
    assert.equal(csv.text.trim().split('\r\n').length, 1 + 3 * languages.length);
    const many = `language\tname\ttext\n${Array.from({ length: 500 }, (_, i) => `l${i}\tLanguage ${i}\t${'word '.repeat(1 + (i % 7))}\nl${i}\tLanguage ${i}\tand more`).join('\n')}`;
    await page.locator('#parallel').setInputFiles({ name: 'many.tsv.gz', mimeType: '', buffer: gzipSync(many) });
    await until(page, () => document.querySelectorAll('#languages tr').length === 500);
    // A file that is asked for while other tokenizers are still counted waits for all of them.
    const all = await saved(page, () => page.locator('#keep-premiums').getByRole('button', { name: /CSV/ }).click());
    assert.equal(all.text.trim().split('\r\n').length, 1 + 3 * 500);
    await ranked(page, 500);
    assert.match(await page.locator('#languages-note').textContent(), /^2 texts in 500 languages, from many\.tsv\.gz/);
    await drop(page, [{ name: 'bad.tsv', text: 'language\ttext\nen\ta\tb' }]);
    await until(page, () => /bad\.tsv could not be read as a parallel text.*row 1 has 3 columns/.test(document.getElementById('languages-problem').textContent));
    await drop(page, [{ name: 'lines.jsonl', text: '{"lang":"a","articles":["x y"]}\n{"lang":"b","articles":["xx yy zz"]}' }]);
    await ranked(page, 2);
    assert.deepEqual(await page.locator('#corpus option').evaluateAll((list) => list.map((o) => o.value)), ['ours', 'declaration', 'names', 'more', 'file']);
    await page.locator('#corpus').selectOption('ours');
    await ranked(page, languages.length);
  }));

  test('languages by what the browser knows: ranked, by writing system, found', () => onPage(async (page) => {
    await until(page, () => document.querySelectorAll('#languages tr').length > 30);
    await page.locator('#corpus').selectOption('names');
    await page.locator('#corpus').selectOption('more'); // another wish while the first is under way
    await until(page, () => /^Names of months, days, spans/.test(document.getElementById('languages-note').textContent));
    await until(page, () => location.hash.includes('texts=more'));
    for (const corpus of ['more', 'names']) {
      await page.locator('#corpus').selectOption(corpus);
      const languages = await page.evaluate(async (more) => (await import('./locales.js')).spokenHere({ more }), corpus === 'more');
      const { languages: want, median } = languagePremiums(await tokenizer('tiny'), languages), dots = want.filter((l) => l.counted);
      await until(page, (count) => document.querySelectorAll('#languages tr').length === count && document.querySelectorAll('#map circle').length > 0, want.length);
      assert.match(await page.locator('#languages-note').textContent(), new RegExp(`in the ${new Set(languages.map((l) => l.language.split('-')[0])).size} languages that this browser has them for.* Median premium ${median.toFixed(2)}`));
      assert.deepEqual(await page.locator('#map circle').evaluateAll((list) => list.map((c) => c.dataset.language).sort()), dots.map((l) => l.language).sort());
      const rows = JSON.parse((await saved(page, () => page.locator('#keep-map').getByRole('button', { name: /JSON/ }).click())).text);
      for (const { script, languages: list, median: middle } of rows) {
        const sorted = list.map((l) => l.premium).sort((a, b) => a - b);
        assert.equal(middle, (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2);
        for (const l of list) assert.equal(l.premium, dots.find((d) => d.language === l.language).premium);
        assert.ok(script);
      }
      assert.deepEqual(rows.find((r) => r.script === 'Greek').languages.map((l) => l.language), ['el']);
    }
    await page.locator('#map-table summary').click();
    await eventually(async () => await page.locator('#map-rows tr').count() - await page.locator('#map .mp-text[text-anchor=start], #map path.mp-text').count(), 0);
    await page.locator('#premiums-table summary').click();
    await eventually(async () => await page.locator('#premiums-rows tr').count() - await page.locator('#languages tr').count(), 0);
    await page.locator('#find-language').fill('deutsch');
    await eventually(() => page.locator('#languages tr:visible bdi').allTextContents(), ['German', 'Deutsch']);
    assert.equal(await page.locator('#map circle.mp-f1').getAttribute('data-language'), 'de');
    assert.match(await page.locator('#found').textContent(), /^1 of \d+ languages$/);
    await page.locator('#map circle.mp-f1').hover();
    await eventually(() => page.locator('#map-said').textContent(), /^German \(Deutsch\), Latin: \d\.\d\d times the tokens of English$/);
    await axe(page, 'languages of the browser');
    await page.locator('#find-language').fill('');
    assert.equal(await page.locator('#languages tr:visible').count(), await page.locator('#languages tr').count());
    await page.reload();
    await until(page, () => /^Names of months and days in the/.test(document.getElementById('languages-note').textContent));
  }));

  const DECLARATION = 'demos/tokenizers/declaration.json';
  describe('the Declaration in over 500 translations', { skip: existsSync(path.join(ROOT, DECLARATION)) ? false : 'not built' }, () => {
    const translations = () => readParallel(readFileSync(path.join(ROOT, DECLARATION), 'utf8'));
    const asked = () => server.requests.filter((url) => url.endsWith('declaration.json')).length;
    const dots = (page) => page.locator('#world [data-language]').evaluateAll((list) => list.map((dot) => dot.dataset.language));

    test('loaded when asked for; counted as languagePremiums does; the map, its dots and its figures', () => onPage(async (page) => {
      const before = asked(), languages = translations(), placed = languages.filter((l) => l.latitude !== undefined), { languages: want, median } = languagePremiums(await tokenizer('tiny'), languages, { reference: 'eng' });
      const of = (code) => want.find((l) => l.language === code);
      await ranked(page, 36);
      assert.deepEqual([asked(), await page.locator('#world-part').isVisible()], [before, false]);
      await page.locator('#load-declaration').click();
      await ranked(page, languages.length);
      assert.ok(languages.length >= 500);
      assert.equal(asked(), before + 1);
      assert.ok(await page.locator('#offer').isHidden());
      assert.match(await page.locator('#languages-note').textContent(), new RegExp(`in ${languages.length} translations: 4\\d\\d languages by their ISO 639-3 codes and 10 varieties without a code.*Median premium ${median.toFixed(2)}, highest .*\\(Burmese\\)`));
      assert.deepEqual((await dots(page)).sort(), placed.map((l) => l.language).sort());
      const edges = [1.25, 1.75, 2.25, 3, 5, 8], kinds = await page.locator('#world [data-language]').evaluateAll((list) => Object.fromEntries(list.map((dot) => [dot.dataset.language, Number(/mp-q(\d)/.exec(dot.getAttribute('class'))[1])])));
      for (const { language } of placed) assert.equal(kinds[language], edges.filter((edge) => of(language).premium >= edge).length, language);
      // The table beside it: every language, in the order that is asked for.
      const shown = () => page.locator('#languages tr').evaluateAll((list) => list.map((row) => row.dataset.language));
      const costs = want.map((l) => l.premium).sort((a, b) => a - b);
      assert.deepEqual((await shown()).map((code) => of(code).premium), costs);
      await page.locator('[data-column=name]').click();
      await eventually(async () => { const [first, ...rest] = await shown(); return [rest.length, of(first).name]; }, [languages.length - 1, want.map((l) => l.name).sort((a, b) => a.localeCompare(b, 'en'))[0]]);
      await page.locator('[data-column=bytes]').click();
      await page.locator('[data-column=bytes]').click();
      await eventually(async () => { const list = await shown(); return [list.length, of(list[0])?.bytePremium]; }, [languages.length, Math.max(...want.map((l) => l.bytePremium))]);
      assert.equal(await page.locator('#languages-head [aria-sort]').getAttribute('aria-sort'), 'descending');
      assert.equal(await page.evaluate(() => document.activeElement.dataset.column), 'bytes', 'the focus stays');
      // Every file has every language, with its place.
      const csv = await saved(page, () => page.locator('#keep-world').getByRole('button', { name: /CSV/ }).click()), lines = csv.text.trim().split('\r\n');
      assert.deepEqual([lines.length, lines[0]], [1 + placed.length, 'language,name,tag,iso,script,latitude,longitude,tokens,premium,tokensPerByte,tokensPerCharacter,unknownRate']);
      assert.ok(lines.includes(`mya,Burmese,my,mya,Myanmar,${placed.find((l) => l.language === 'mya').latitude},${placed.find((l) => l.language === 'mya').longitude},${of('mya').tokens},${of('mya').premium},${1 / of('mya').compression},${of('mya').closeness},0`));
      const svg = await saved(page, () => page.locator('#keep-world').getByRole('button', { name: /SVG/ }).click());
      assert.equal(svg.text.match(/data-language=/g).length, placed.length);
      assert.match(svg.text, /<style>.*\.mp-q6\{/);
      const png = await saved(page, () => page.locator('#keep-world').getByRole('button', { name: /PNG/ }).click());
      assert.equal(png.bytes.subarray(1, 4).toString(), 'PNG');
      const json = JSON.parse((await saved(page, () => page.locator('#keep-world').getByRole('button', { name: /JSON/ }).click())).text);
      assert.deepEqual([json.tokenizer, json.reference, json.languages.length], ['microtome-tiny', 'English', placed.length]);
    }));

    test('pointer, keys, parts of the world, search, measures; all of it comes back from the address', () => onPage(async (page) => {
      const languages = translations();
      await ranked(page, languages.length);
      await page.locator('#world').focus();
      await page.keyboard.press('ArrowRight');
      const said = () => page.locator('#world-said').textContent(), chosen = () => page.locator('#world .chosen').evaluateAll((list) => list.map((dot) => [dot.dataset.language, Number(dot.getAttribute('cx'))]));
      const [[first, x]] = await chosen();
      assert.ok((await said()).startsWith(languages.find((l) => l.language === first).name));
      await page.keyboard.press('ArrowRight');
      const [[second, further]] = await chosen();
      assert.ok(second !== first && further > x, `${first} ${x}, ${second} ${further}`);
      await page.keyboard.press('Escape');
      assert.deepEqual(await chosen(), []);
      assert.match(await said(), /^Point at a dot/);
      await page.locator('#find-language').fill('burmese');
      await eventually(() => page.locator('#languages tr:visible bdi').allTextContents(), ['Burmese']);
      await page.locator('#world [data-language=mya]').hover();
      const { tokens, premium } = languagePremiums(await tokenizer('tiny'), languages, { reference: 'eng' }).languages.find((l) => l.language === 'mya');
      await eventually(said, new RegExp(`^Burmese \\(my, Myanmar\\): ${tokens.toLocaleString('en')} tokens, ${premium.toFixed(1)} times English: 1\\.00 a byte`));
      assert.deepEqual(await page.locator('#world-text').evaluate((p) => [p.textContent, p.lang, p.dir]), [languages.find((l) => l.language === 'mya').texts[0], 'my', 'ltr']);
      await axe(page, 'the Declaration');
      await page.locator('#find-language').fill('arabic');
      await page.locator('#part').selectOption('africa');
      await page.locator('#language-by').selectOption('density');
      await page.locator('#language-of').selectOption('byt5');
      await ranked(page, languages.length);
      const all = await dots(page);
      assert.ok(all.length > 50 && all.length < 250 && !all.includes('mya') && all.includes('yor'));
      await until(page, () => ['texts=declaration', 'part=africa', 'by=density', 'cost=byt5', 'find=arabic'].every((part) => location.hash.includes(part)));
      await page.reload();
      await ranked(page, languages.length);
      assert.deepEqual((await dots(page)).sort(), all.sort());
      assert.deepEqual(await page.evaluate(() => ['language-of', 'language-by', 'part', 'find-language', 'corpus'].map((id) => document.getElementById(id).value)), ['byt5', 'density', 'africa', 'arabic', 'declaration']);
      assert.equal(await page.locator('#languages [data-language=eng] .bar span').textContent(), '1.00', 'a byte a token');
    }, { hash: `${HASH}&texts=declaration` }));

    test('counting is stopped and goes on', () => onPage(async (page) => {
      await ranked(page, 36);
      await page.evaluate(() => { // as soon as it can be
        const box = document.getElementById('counting'), stop = new MutationObserver(() => { if (!box.hidden && document.getElementById('corpus').value === 'declaration') { stop.disconnect(); document.getElementById('count-stop').click(); } });
        stop.observe(box, { attributes: true });
      });
      await page.locator('#load-declaration').click();
      await until(page, () => /^Stopped: \d of 3 tokenizers are counted/.test(document.getElementById('languages-counted').textContent) && !document.getElementById('languages-all').hasAttribute('aria-busy'));
      assert.equal(await page.evaluate(() => document.activeElement.id), 'language-of');
      await page.locator('#language-of').selectOption('byt5');
      await ranked(page, translations().length);
      assert.ok(await page.locator('#counting').isHidden());
    }));

    test('on a phone, in the dark; light and forced colours', () => onPage(async (page) => {
      await ranked(page, translations().length);
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
      await axeInThemes(page, 'the Declaration on a phone');
    }, { hash: `${HASH}&texts=declaration`, context: { viewport: { width: 390, height: 844 }, colorScheme: 'dark' } }));
  });

  test('a site without the Declaration says so, and keeps what it has', async () => {
    const missing = await serve({ isolated: false, routes: { '/demos/tokenizers/declaration.json': (_, response) => response.writeHead(404).end() } });
    try {
      await visit(browser, missing.url(`demos/tokenizers/${HASH}`), async (page) => {
        await ranked(page, 36);
        await page.locator('#load-declaration').click();
        await until(page, () => /declaration\.json is not here\. The repository does not hold these texts: \.\/build\.sh build/.test(document.getElementById('languages-problem').textContent));
        assert.deepEqual([await page.locator('#corpus').inputValue(), await page.locator('#languages tr').count(), await page.locator('#corpus-busy').isVisible()], ['ours', 36, false]);
        await axe(page, 'without the Declaration');
      }, { ready, allow: [/declaration\.json/] });
    } finally {
      await missing.close();
    }
  });

  test('files of one’s own: a pair of files, a broken one, merges alone; a control token in a name is text', () => onPage(async (page) => {
    const { model } = JSON.parse(readFileSync(path.join(ROOT, 'models/vocabularies/bpe-1k.json'), 'utf8'));
    const merges = `#version: 0.2\n${model.merges.map((m) => (Array.isArray(m) ? m.join(' ') : m)).join('\n')}\n`;
    await drop(page, [{ name: 'vocab.json', text: JSON.stringify(model.vocab) }, { name: 'merges.txt', text: merges }]);
    await until(page, () => document.querySelectorAll('.panel[data-state=open]').length === 4);
    const own = page.locator('.panel[data-key^=own]');
    assert.equal(await own.locator('h2').textContent(), 'vocab.json');
    await page.locator('#text').fill('hello world');
    const want = (await tokenizer('bpe-1k')).count('hello world');
    await until(page, (count) => document.querySelector('.panel[data-key^=own] .count').textContent === count, `${want} tokens`);
    await drop(page, [{ name: 'merges.txt', text: merges }]);
    await until(page, () => /merges\.txt needs its vocab\.json/.test(document.getElementById('problem').textContent));
    await drop(page, [{ name: '<b>broken</b>.json', text: '{"model": {"type": "BPE"' }]);
    await until(page, () => document.getElementById('problem').textContent.startsWith('<b>broken</b>.json could not be opened.'));
    assert.equal(await page.locator('#problem b').count(), 0);
    await axe(page, 'with a broken file');
    await page.locator('#code').scrollIntoViewIfNeeded();
    const png = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');
    await drop(page, [{ name: 'photo.png', bytes: [...png] }, { name: 'poem.txt', text: 'Tyger, tyger\nburning bright' }]);
    for (const name of ['photo.png', 'poem.txt']) await until(page, (file) => document.getElementById('problem').textContent.includes(`${file} could not be opened. Not a tokenizer file that we know`), name);
    assert.ok(!(await page.locator('#problem').textContent()).includes('broken'), 'the old error has gone');
    await until(page, () => { // and the new one is seen, when the page has scrolled there
      const { top, bottom } = document.getElementById('problem').getBoundingClientRect();
      return top >= 0 && bottom <= innerHeight;
    });
    assert.equal(await page.locator('.panel').count(), 4);
    await drop(page, [{ name: 'digits.json', text: readFileSync(path.join(ROOT, 'models/vocabularies/digits-ltr.json'), 'utf8') }]);
    await until(page, () => document.querySelectorAll('.panel[data-state=open]').length === 5);
    assert.ok(await page.locator('#problem').isHidden());
    await page.locator('.panel').last().getByRole('button', { name: 'Close' }).click();
    await own.getByRole('button', { name: 'Close' }).click();
    await page.locator('#sources input[data-key=byt5]').uncheck();
    await until(page, () => document.querySelectorAll('.panel').length === 2);
    assert.equal(await page.evaluate(() => document.activeElement.dataset.key), 'byt5', 'the focus stays');
    await until(page, () => location.hash.includes('with=tiny%2Cunigram-4k&'));
  }));

  test('a megabyte: every tokenizer counts it, pages of tokens, an empty text', () => onPage(async (page) => {
    const large = 'The quick brown fox; '.repeat(50_000);
    await page.locator('#text').evaluate((box, text) => {
      const data = new DataTransfer();
      data.setData('text/plain', text);
      box.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true, cancelable: true }));
    }, large);
    await ready(page, large);
    for (const key of ['tiny', 'byt5']) assert.equal(await page.evaluate(countOf, key), `${(await tokenizer(key)).count(large).toLocaleString('en')} tokens`);
    const panel = page.locator('.panel[data-key=byt5]');
    await eventually(() => panel.locator('mt-token-strip [role=listitem]').count(), 200);
    await panel.getByRole('button', { name: 'Later' }).click();
    await until(page, () => /^Tokens 201 to 400 of 1,050,000$/.test(document.querySelector('.panel[data-key=byt5] .pages span').textContent));
    await until(page, () => !location.hash.includes('text=')); // a link stays short
    assert.match(await page.locator('#held-note').textContent(), /^All 1,050,000 characters are counted/);
    assert.ok((await page.locator('#text').inputValue()).length < 3000);
    await page.locator('#release').click();
    await ready(page, '');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'text');
    assert.equal(await page.evaluate(countOf, 'tiny'), '0 tokens');
  }));

  test('light and dark and forced colours', () => onPage(async (page) => {
    await ranked(page, 36);
    await until(page, () => document.querySelector('mt-lattice').count > 0n && [...document.querySelectorAll('#figures td:last-child')].every((cell) => /\d/.test(cell.textContent)));
    await axeInThemes(page, 'all of it');
  }));

  test('the keyboard alone, a link', () =>
    onPage(async (page) => {
      await page.locator('#text').focus();
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'a sentence');
      await page.keyboard.press('Enter');
      await until(page, () => document.activeElement.getAttribute('aria-pressed') === 'true' && document.getElementById('text').value.startsWith('Tokenization decides'));
      const hash = await until(page, () => location.hash.includes('Tokenization+decides') && location.hash);
      await page.goto('about:blank');
      await page.goto(server.url(`demos/tokenizers/${await hash.jsonValue()}`));
      await ready(page, 'Tokenization decides what a language model can see.');
      assert.equal(await page.locator('#word').inputValue(), ' tokenization');
    }));

  test('on a phone, in the dark', () => onPage(async (page) => {
    await ranked(page, 36);
    for (const fold of await page.locator('summary').all()) if (await fold.evaluate((e) => !e.parentElement.open && e.offsetParent !== null)) await fold.click();
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
    const small = await page.evaluate(() => [...document.querySelectorAll('main button, main summary, main select, main label.check, #sources label')].map((e) => [e.textContent || e.id, e.getBoundingClientRect()]).filter(([, r]) => r.width && (r.width < 24 || r.height < 24)).map(([name, r]) => `${name} ${r.width}x${r.height}`));
    assert.deepEqual(small, [], 'targets of at least 24 pixels');
    await axe(page, 'phone');
  }, { context: { viewport: { width: 390, height: 844 }, colorScheme: 'dark' } }));

  test('a worker that cannot start says so', async () => {
    const missing = await serve({ isolated: false, routes: { '/demos/tokenizers/worker.js': (_, response) => response.writeHead(404).end() } });
    try {
      await visit(browser, missing.url('demos/tokenizers/'), async (page) => {
        await until(page, () => document.querySelectorAll('.panel[data-state=failed]').length === 4);
        assert.match(await page.locator('.panel .problem').first().textContent(), /could not be opened\. .*worker/);
      }, { allow: [/worker\.js/] });
    } finally {
      await missing.close();
    }
  });
});

test('the code on the page runs and prints what the package says', async () => {
  const html = readFileSync(path.join(ROOT, 'demos/tokenizers/index.html'), 'utf8');
  const code = /<code id="code">([^]*?)<\/code>/.exec(html)[1].replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', code.replace("'microtome-tiny.gguf'", JSON.stringify(path.join(ROOT, 'models/microtome-tiny.gguf')))], { cwd: ROOT, encoding: 'utf8', timeout: PATIENCE });
  assert.equal(run.status, 0, run.stderr);
  const tok = await tokenizer('tiny'), n = tok.count('Tokenization of naïve words'), lines = run.stdout.trim().split('\n');
  assert.match(lines[n], new RegExp(`^${n} tokens, `));
  assert.equal(lines.filter((line) => / \+ .* = /.test(line)).length, replayMerges(tok, ' words').steps.length);
  assert.match(run.stdout, /\d+n? segmentations/);
});

describe('demos/tokenizers in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
  test('opens, cuts, replays, ranks', () =>
    visitInFirefox(`demos/tokenizers/${HASH}`, async (page) => {
      await ready(page);
      assert.equal(await page.evaluate(countOf, 'tiny'), `${(await tokenizer('tiny')).count(TEXT)} tokens`);
      const lattice = new Lattice(await tokenizer('tiny'), ' tokenization');
      await pictured(page, lattice);
      await ranked(page, 36);
      if (!existsSync(path.join(ROOT, 'demos/tokenizers/declaration.json'))) return;
      const languages = readParallel(readFileSync(path.join(ROOT, 'demos/tokenizers/declaration.json'), 'utf8'));
      await page.evaluate(() => document.getElementById('load-declaration').click());
      await ranked(page, languages.length);
      assert.equal(await page.evaluate(() => document.querySelectorAll('#world [data-language]').length), languages.filter((l) => l.latitude !== undefined).length);
    }, { isolated: false }));
});
