/**
 * The page demos/train in real browsers: what it trains is what the package trains in Node.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { spawnSync } from 'node:child_process';
import { gunzipSync } from 'node:zlib';
import { Tokenizer, trainTokenizer } from '../../web/index.js';
import { axe, axeInThemes, CHROMIUM, chromium, FIREFOX, longestTask, PATIENCE, ROOT, saved, serve, until, visit, visitInFirefox } from './support.mjs';

const PROSE = gunzipSync(readFileSync(path.join(ROOT, 'web/lab/prose.txt.gz'))).toString();
const COMPARED = 'The unreadable handwriting of an absent-minded tokenizer costs 1,234 tokens.';

/** Runs in the page: so many runs are there, and nothing is under way. */
const trained = (n) => document.querySelectorAll('#runs tr').length === n && document.getElementById('go').textContent === 'Train' && [...document.querySelectorAll('#runs td:last-child')].every((cell) => cell.textContent);
const done = (page, n = 1) => until(page, trained, n);
const SMALL = '#kind=bpe&size=600';

describe('demos/train in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let server, browser;
  before(async () => {
    server = await serve({ isolated: false, base: '/site/' });
    browser = await chromium();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check, { hash = SMALL, context } = {}) => visit(browser, server.url(`demos/train/${hash}`), check, { ready: done, context });

  const own = async (page, text) => {
    await page.getByLabel('my text').check();
    await page.locator('#own').fill(text);
  };
  const choose = async (page, kind, size) => {
    await page.locator('#kind').selectOption(kind);
    await page.locator('#size').fill(String(size));
  };

  test('the file is the one that the package makes; curve, sizes, vocabulary', (t) => onPage(async (page) => {
    t.diagnostic(`longest task while the page opened: ${await longestTask(page)} ms`);
    const want = await trainTokenizer(new Blob([PROSE]), { kind: 'bpe', vocabSize: 600 });
    const panel = page.locator('.panel').first();
    const json = await saved(page, () => panel.getByRole('button', { name: /JSON/ }).click());
    assert.equal(json.bytes.toString(), want.tokenizerJson);
    assert.equal(json.name, 'bpe-600-guides.json');
    const binary = await saved(page, () => panel.getByRole('button', { name: /MTOK/ }).click());
    assert.equal((await Tokenizer.load(new Uint8Array(binary.bytes))).count(COMPARED), want.tokenizer.count(COMPARED));
    assert.equal(await panel.locator('.count').textContent(), `${want.tokenizer.count(COMPARED)} tokens`);
    const curve = await page.evaluate(() => document.querySelector('#curve').plot.lines[0].points);
    assert.equal(curve.at(-1)[0], 600);
    assert.equal(curve.at(-1)[1], want.tokenizer.count(PROSE) / Buffer.byteLength(PROSE));
    for (let i = 1; i < curve.length; i++) assert.ok(curve[i][0] > curve[i - 1][0] && curve[i][1] <= curve[i - 1][1], 'a larger vocabulary of BPE makes no more tokens');
    // A smaller size on the slider is a tokenizer of that size.
    await page.locator('#rung').press('Home');
    const first = await page.evaluate(() => ({ size: document.querySelector('#curve').plot.lines[0].points[0][0], tokens: document.querySelector('#strip').tokens.length, said: document.getElementById('rung-size').textContent }));
    assert.equal(first.said, String(first.size));
    const small = await trainTokenizer(new Blob([PROSE]), { kind: 'bpe', vocabSize: first.size });
    assert.equal(first.tokens, small.tokenizer.count(await page.locator('#sample').inputValue()));
    // The vocabulary: newest first, found, ordered, exported.
    assert.deepEqual(await page.locator('#words tr').evaluateAll((rows) => rows.slice(0, 3).map((row) => row.cells[1].textContent)), ['599', '598', '597']);
    const [left, right] = want.merges.at(-1).map((piece) => want.tokenizer.decode([want.tokenizer.findPiece(piece)]).replaceAll(' ', '␣'));
    assert.equal(await page.locator('#words tr').first().locator('td').nth(1).textContent(), `${left} + ${right}`);
    await page.locator('#order').selectOption('count');
    await page.locator('#find').fill('to');
    const counts = new Map();
    for (const id of want.tokenizer.encode(PROSE).ids) counts.set(id, (counts.get(id) ?? 0) + 1);
    const found = [...want.tokenizer.tokens()].filter((t) => Buffer.from(t.bytes).toString().includes('to') || t.piece.includes('to')).sort((a, b) => (counts.get(b.id) ?? 0) - (counts.get(a.id) ?? 0) || a.id - b.id);
    assert.deepEqual(await page.locator('#words tr').evaluateAll((rows) => rows.map((row) => [Number(row.cells[1].textContent), Number(row.cells[4].textContent.replace(/,/g, ''))])), found.map((t) => [t.id, counts.get(t.id) ?? 0]));
    assert.equal((await saved(page, () => page.locator('#keep-words').getByRole('button', { name: /CSV/ }).click())).bytes.toString().trim().split('\r\n').length, 1 + found.length);
    await axe(page, 'trained');
  }));

  test('every method trains; they stand beside each other', () => onPage(async (page) => {
    const text = `${PROSE.split('\n').slice(0, 60).join('\n')}\n`;
    await own(page, text);
    const kinds = ['bpe', 'unigram', 'wordpiece', 'wordpiece-likelihood', 'pathpiece', 'picky-bpe', 'lib', 'sentencepiece-bpe', 'sentencepiece-unigram'];
    assert.deepEqual(await page.locator('#kind option').evaluateAll((list) => list.map((o) => o.value).sort()), [...kinds].sort());
    for (const [i, kind] of kinds.entries()) {
      await choose(page, kind, 400);
      await page.locator('#go').click();
      await done(page, 2 + i);
    }
    const rows = await page.locator('#runs tr').evaluateAll((list) => list.map((row) => [...row.cells].map((cell) => cell.textContent)));
    for (const [i, kind] of kinds.entries()) {
      const { tokenizer } = await trainTokenizer(new Blob([text]), { kind, vocabSize: 400, ...(kind === 'lib' && { articleSize: 40 }) });
      assert.equal(Number(rows[1 + i][6]), tokenizer.count(COMPARED, { specialAsText: true }), kind);
    }
    const model = await saved(page, () => page.locator('.panel').last().getByRole('button', { name: /MODEL/ }).click());
    assert.equal((await Tokenizer.load(new Uint8Array(model.bytes))).model, 'Unigram');
    await page.locator('#compare').fill('another text');
    await until(page, () => [...document.querySelectorAll('.panel')].every((p) => p.dataset.for === '12'));
    const json = JSON.parse((await saved(page, () => page.locator('#keep-runs').getByRole('button', { name: /JSON/ }).click())).bytes.toString());
    assert.equal(json.runs.length, 10);
    await page.locator('.panel').first().getByRole('button', { name: 'Close' }).click();
    assert.equal(await page.locator('#runs tr').count(), 9);
  }));

  test('opens on the page of tokenizers', () => onPage(async (page) => {
    const want = await trainTokenizer(new Blob([PROSE]), { kind: 'bpe', vocabSize: 600 });
    await page.locator('.panel').getByRole('button', { name: 'Open with others' }).click();
    await page.waitForURL(/demos\/tokenizers\/#open=bpe-600-guides\.json/);
    await until(page, () => document.querySelectorAll('.panel[data-state=open]').length === 5);
    const panel = page.locator('.panel[data-key^=own]'), text = await page.locator('#text').inputValue();
    await until(page, (n) => document.querySelector('.panel[data-key^=own]').dataset.for === String(n), text.length);
    assert.equal(await panel.locator('.count').textContent(), `${want.tokenizer.count(text)} tokens`);
    await until(page, () => /with=.*open=bpe-600-guides\.json/.test(location.hash));
    await page.reload();
    await until(page, () => document.querySelectorAll('.panel[data-state=open]').length === 5 && document.querySelector('.panel[data-key^=own]'));
  }));

  test('cancel, errors, and going on after them', () => onPage(async (page) => {
    await choose(page, 'bpe', 100);
    await page.locator('#go').click();
    assert.match(await page.locator('#size-wrong').textContent(), /whole number from 260 to 100,000/);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'size');
    await own(page, '  ');
    await choose(page, 'bpe', 500);
    await page.locator('#go').click();
    await until(page, () => /Your text is empty/.test(document.getElementById('problem').textContent));
    await page.getByLabel('files', { exact: true }).check();
    await page.locator('#files').setInputFiles({ name: 'none.txt', mimeType: 'text/plain', buffer: Buffer.from('') });
    await page.locator('#go').click();
    await until(page, () => /no text to learn from/.test(document.getElementById('problem').textContent));
    await axe(page, 'failed');
    // LiB over a long text takes long enough to be stopped.
    await page.locator('#files').setInputFiles({ name: 'long.txt', mimeType: 'text/plain', buffer: Buffer.from(PROSE.repeat(6)) });
    await choose(page, 'lib', 20000);
    await page.evaluate(async () => { // within the page: it may be done before another process can press
      const go = document.getElementById('go'), where = document.getElementById('where');
      go.click();
      while (go.textContent === 'Cancel' && !/^(Counting|Training)/.test(where.textContent)) await new Promise((resolve) => setTimeout(resolve));
      if (go.textContent === 'Cancel') go.click();
    });
    await until(page, () => document.getElementById('go').textContent === 'Train' && /was cancelled/.test(document.getElementById('where').textContent));
    assert.equal(await page.locator('#runs tr').count(), 1);
    await page.locator('#files').evaluate(() => {
      const data = new DataTransfer();
      data.items.add(new File(['low lower lowest '.repeat(50).trim()], 'low.txt'));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    });
    await choose(page, 'bpe', 300);
    await page.locator('#go').click();
    await done(page, 2);
    assert.match(await page.locator('#where').textContent(), /from 4 distinct words/);
    assert.equal(await page.locator('#problem').isHidden(), true);
  }));

  test('presets, a link, the keyboard, a second time the same', () => onPage(async (page) => {
    await page.locator('#go').focus();
    await page.keyboard.press('Enter');
    await until(page, () => /is here already/.test(document.getElementById('where').textContent));
    await page.getByRole('button', { name: 'BPE, and picky' }).press('Enter');
    await done(page, 3);
    await until(page, () => location.hash.includes('kind=picky-bpe&size=3000'));
    await page.locator('#size-range').press('Home');
    assert.equal(await page.locator('#size').inputValue(), '260');
    await page.goto('about:blank');
    await page.goto(server.url('demos/train/#kind=wordpiece&size=500&normalizer=lowercase&compare=abc'));
    await done(page);
    assert.deepEqual([await page.locator('#kind').inputValue(), await page.locator('#normalizer').inputValue(), await page.locator('#compare').inputValue(), await page.locator('#runs bdi').textContent()], ['wordpiece', 'lowercase', 'abc', 'WordPiece 500, guides']);
  }));

  test('on a phone, in the dark; forced colours', async () => {
    await onPage(async (page) => {
      for (const fold of await page.locator('summary').all()) if (await fold.evaluate((e) => !e.parentElement.open && e.offsetParent !== null)) await fold.click();
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
      const small = await page.evaluate(() => [...document.querySelectorAll('main button, main summary, main select, main .choices label, main input[type=range]')].map((e) => [e.textContent || e.id, e.getBoundingClientRect()]).filter(([, r]) => r.width && (r.width < 24 || r.height < 24)).map(([name, r]) => `${name} ${r.width}x${r.height}`));
      assert.deepEqual(small, [], 'targets of at least 24 pixels');
      await axeInThemes(page, 'phone');
    }, { context: { viewport: { width: 390, height: 844 }, colorScheme: 'dark', reducedMotion: 'reduce' } });
  });

  test('a worker that cannot start says so', async () => {
    const missing = await serve({ isolated: false, routes: { '/demos/train/worker.js': (_, response) => response.writeHead(404).end() } });
    try {
      await visit(browser, missing.url('demos/train/'), (page) => until(page, () => /worker/.test(document.getElementById('problem').textContent) && document.getElementById('go').textContent === 'Train'), { allow: [/worker\.js/] });
    } finally {
      await missing.close();
    }
  });
});

test('the code on the page runs', () => {
  const html = readFileSync(path.join(ROOT, 'demos/train/index.html'), 'utf8');
  const code = /<code id="code">([^]*?)<\/code>/.exec(html)[1].replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd: ROOT, encoding: 'utf8', timeout: PATIENCE });
  assert.equal(run.status, 0, run.stderr);
  const lines = run.stdout.trim().split('\n');
  assert.deepEqual(lines.slice(0, 3).map((line) => Number(/^\d+/.exec(line)[0])), [260, 270, 280]);
  assert.match(lines[3], /^\d+ characters of tokenizer\.json$/);
});

describe('demos/train in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
  test('trains what Node trains', () =>
    visitInFirefox(`demos/train/${SMALL}`, async (page) => {
      await done(page);
      const { tokenizer } = await trainTokenizer(new Blob([PROSE]), { kind: 'bpe', vocabSize: 600 });
      assert.equal(await page.evaluate(() => document.querySelector('.panel .count').textContent), `${tokenizer.count(COMPARED)} tokens`);
    }, { isolated: false }));
});
