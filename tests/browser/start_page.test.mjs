// The front page in real browsers: its weight, its specimen against the package, its cards, and being kept offline.
// MICROTOME_WRITE=1 writes demos/start/specimen.json anew, when the bundled model has changed.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ByteModel, Model } from '../../web/index.js';
import { byteLabel, formatProbability, totalVariation } from '../../web/elements/format.js';
import { axe, axeInThemes, CHROMIUM, chromium, patient, serve, until, visit } from './support.mjs';

const FILE = new URL('../../demos/start/specimen.json', import.meta.url);
const TEXTS = ['Once upon a time, there was a king', 'The little boy said that he was afraid', 'In the morning the sun was very bright'];
const MOST_BYTES = 300_000; // of a first visit, before any model

async function computed() {
  const model = await Model.load(new URL('../../models/microtome-tiny.gguf', import.meta.url)), bytes = new ByteModel(model), round = (/** @type {number} */ x) => Number(x.toPrecision(4));
  const best = (/** @type {number[]} */ list) => list.map((p, byte) => [byte, round(p)]).sort((a, b) => b[1] - a[1]).slice(0, 3);
  const all = [];
  for (const text of TEXTS) {
    const cuts = [];
    for (let end = 1; end <= text.length; end++) {
      const result = await bytes.next(text.slice(0, end)), exact = [...result.bytes, result.end].map(Math.exp), naive = [...result.naive].map(Math.exp);
      const { ids } = model.tokenizer.encode(text.slice(0, end), { offsets: false });
      cuts.push({ pieces: [...ids].map((id) => model.tokenizer.tokenBytes(id).length), distance: round(totalVariation(exact, naive)), exact: best(exact), naive: best(naive) });
    }
    all.push({ text, cuts });
  }
  await bytes.dispose();
  await model.dispose();
  return all;
}

test('the specimen’s numbers are the package’s', async () => {
  const now = await computed();
  if (process.env.MICROTOME_WRITE) writeFileSync(FILE, `[\n${now.map(({ text, cuts }) => `{"text": ${JSON.stringify(text)}, "cuts": [\n${cuts.map((cut) => JSON.stringify(cut)).join(',\n')}\n]}`).join(',\n')}\n]\n`);
  const kept = JSON.parse(readFileSync(FILE, 'utf8'));
  assert.deepEqual(kept.map(({ text }) => text), TEXTS);
  for (const [i, { text, cuts }] of kept.entries()) {
    assert.equal(cuts.length, text.length);
    for (const [k, cut] of cuts.entries()) {
      const where = text.slice(0, k + 1), want = now[i].cuts[k];
      assert.deepEqual(cut.pieces, want.pieces, where);
      assert.equal(cut.pieces.reduce((a, b) => a + b, 0), k + 1, where);
      assert.ok(Math.abs(cut.distance - want.distance) < 1e-4, where);
      for (const side of ['exact', 'naive']) for (const [byte, p] of cut[side]) {
        const other = want[side].find(([b]) => b === byte)?.[1] ?? Math.min(...want[side].map(([, q]) => q)); // equal ones may change places
        assert.ok(Math.abs(p - other) < 1e-4, `${where}: ${side} ${byte}: ${p}, now ${other}`);
      }
    }
  }
});

/** Waits until the specimen and the cards are there. */
const shown = (page) => until(page, () => !document.getElementById('specimen').hidden && document.querySelector('.demo'));

describe('the front page in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server;
  before(async () => {
    browser = await chromium();
    server = await serve({ isolated: false });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check, { context = {}, at = server } = {}) => visit(browser, at.url('demos/'), check, { ready: shown, context: { reducedMotion: 'reduce', ...context } });

  test('a first visit is light, with every picture scrolled to, and asks for no model and no module', async (t) => {
    const ctx = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const page = await patient(await ctx.newPage()), client = await ctx.newCDPSession(page);
    let bytes = 0;
    /** @type {string[]} */ const urls = [];
    await client.send('Network.enable');
    client.on('Network.loadingFinished', ({ encodedDataLength }) => { bytes += encodedDataLength; });
    page.on('request', (request) => urls.push(request.url()));
    await page.goto(server.url('demos/'));
    await shown(page);
    for (const card of await page.locator('.demo').all()) await card.scrollIntoViewIfNeeded();
    await until(page, () => [...document.querySelectorAll('.demo img')].every((image) => image.complete && image.naturalWidth > 0));
    await page.waitForLoadState('networkidle');
    t.diagnostic(`${urls.length} requests, ${bytes} bytes`);
    assert.ok(bytes > 20_000, 'something was counted');
    assert.ok(bytes < MOST_BYTES, `${bytes} bytes`);
    assert.deepEqual(urls.filter((url) => /\.(gguf|wasm)$/.test(url)), []);
    await ctx.close();
  });

  test('the blade: by keyboard, by playing, with another text; the picture says the numbers of the file', () =>
    onPage(async (page) => {
      const [{ text, cuts }] = JSON.parse(readFileSync(FILE, 'utf8'));
      await axe(page, 'at rest');
      const blade = page.locator('#blade');
      await blade.focus();
      await page.keyboard.press('Home');
      for (let i = 1; i < 14; i++) await page.keyboard.press('ArrowRight');
      const { exact, naive, distance, pieces } = cuts[13];
      assert.match(text.slice(0, 14), /ti$/);
      for (const [id, guesses] of [['naive', naive], ['exact', exact]])
        assert.deepEqual(await page.locator(`#${id} li`).evaluateAll((items) => items.map((item) => [item.querySelector('kbd').textContent, item.querySelector('.share').textContent])), guesses.map(([byte, p]) => [byteLabel(byte).glyph, formatProbability(p)]));
      assert.match(await blade.getAttribute('aria-valuetext'), new RegExp(`Once upon a ti.*distance ${distance.toFixed(2)}$`));
      assert.deepEqual(await page.locator('#letters > span').evaluateAll((letters) => [letters.filter((l) => l.matches('.rest')).length, letters.filter((l) => l.matches('.last')).length, letters.findIndex((l) => l.matches('.blade'))]), [text.length - 14, pieces.length, 13]);
      assert.equal(await page.locator('#own').getAttribute('href'), 'bytes/#text=Once+upon+a+ti');
      await page.locator('#texts button').nth(1).click();
      assert.equal((await page.locator('#letters b').allTextContents()).join('').replaceAll('\u00a0', ' '), TEXTS[1]);
      await page.locator('#play').click();
      assert.equal(await page.locator('#play').textContent(), 'Pause');
      const stopped = await page.evaluate(async () => { // within the page, which may be at the end before another process can press
        const blade = document.getElementById('blade'), play = document.getElementById('play'), from = blade.valueAsNumber;
        while (blade.valueAsNumber < from + 2) await new Promise((resolve) => setTimeout(resolve, 20));
        play.click();
        return [blade.valueAsNumber < Number(blade.max), play.textContent];
      });
      assert.deepEqual(stopped, [true, 'Play']);
      await blade.focus();
      await page.keyboard.press('End');
      await page.locator('#play').click();
      assert.equal(await blade.inputValue(), '1', 'from the end it begins anew');
    }));

  test('it moves by itself where movement is welcome', () =>
    onPage(async (page) => {
      await until(page, () => { const { valueAsNumber: at, max } = document.getElementById('blade'); return at > 2 && (document.getElementById('play').textContent === 'Pause' || at === Number(max)); });
    }, { context: { reducedMotion: 'no-preference' } }));

  test('in the dark, with forced colours, on a phone', async () => {
    await onPage(async (page) => {
      await axeInThemes(page, 'on a phone');
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it scrolls sideways');
    }, { context: { viewport: { width: 390, height: 844 } } });
  });

  test('the code on the page runs', () =>
    onPage(async (page) => {
      const source = (await page.locator('#code').textContent()).replaceAll('console.log', 'said').replace("'microtome'", JSON.stringify(new URL('../../web/index.js', import.meta.url).href)).replace("'microtome-tiny.gguf'", JSON.stringify(new URL('../../models/microtome-tiny.gguf', import.meta.url).href));
      globalThis.saidByStart = [];
      await import(`data:text/javascript,${encodeURIComponent(`const said = (...words) => globalThis.saidByStart.push(words.join(' '));\n${source}`)}`);
      const [{ cuts }] = JSON.parse(readFileSync(FILE, 'utf8'));
      assert.equal(globalThis.saidByStart.length, cuts.length);
      const [naive, exact] = ['naive', 'exact'].map((side) => String.fromCharCode(cuts[13][side][0][0]));
      assert.equal(globalThis.saidByStart[13], `Once upon a ti | ${naive} after the cut, ${exact} exactly: distance ${cuts[13].distance.toFixed(3)}`);
    }));
});
