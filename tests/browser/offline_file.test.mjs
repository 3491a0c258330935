// The offline edition: one file, opened from a disk in Chromium and Firefox, with every page, its workers and the bundled model; nothing is fetched.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { CHROMIUM, chromium, FIREFOX, firefox, patient, ROOT, until, watch } from './support.mjs';

const DEMOS = JSON.parse(readFileSync(path.join(ROOT, 'demos/demos.json'), 'utf8')).map(({ path: name }) => name);
/** What stands beside the name of the site. */
const placeOf = (name) => /<span class="where">([^<]*)/.exec(readFileSync(path.join(ROOT, 'demos', name, 'index.html'), 'utf8'))[1];
const BUILT = existsSync(path.join(ROOT, 'web/wasm/simd.wasm'));
/** @type {string} */ let folder, file;

before(() => {
  if (!BUILT) return;
  folder = mkdtempSync(path.join(tmpdir(), 'microtome offline #1 ')); // a name that has to be escaped
  file = path.join(folder, 'microtome-offline.html');
  execFileSync(process.execPath, [path.join(ROOT, 'demos/offline/pack.js'), file], { cwd: ROOT });
});
after(() => folder && rmSync(folder, { recursive: true, force: true }));

/** What every edition must do; `open` gives a page. @param {() => Promise<any>} open @param {() => string[]} wrong */
async function walk(open, wrong) {
  const url = pathToFileURL(file).href, page = await open();
  await page.goto(url);
  await until(page, (n) => document.querySelectorAll('.demo').length === n && !document.getElementById('specimen').hidden, DEMOS.length);
  await page.evaluate(() => document.querySelector('.demo:last-child').scrollIntoView());
  await until(page, () => [...document.querySelectorAll('.demo img')].every((image) => image.src.startsWith('blob:')));
  for (const name of DEMOS) {
    await page.evaluate((to) => document.querySelector(`.demo a[href="${to}"], .demo a[href*="${encodeURIComponent(to)}"]`).click(), name);
    await until(page, (place) => document.querySelector('.where')?.textContent === place, placeOf(name));
    if (await page.evaluate(() => document.querySelector('mt-model-picker') !== null)) await until(page, () => / parameters/.test(document.querySelector('mt-model-picker').shadowRoot?.querySelector('.facts')?.textContent));
    await page.evaluate(() => document.querySelector('.brand').click());
    await until(page, () => document.querySelector('.demo'));
  }
  await page.goto(`${url}?page=bytes%2F#text=Once+upon+a+ti`);
  await until(page, () => document.getElementById('answer')?.dataset.for === 'Once upon a ti');
  assert.match(await page.evaluate(() => document.getElementById('verdict').textContent), /m/);
  await page.goto(`${url}?page=labs%2F#lab=bico-reversal-curse&k.steps=20&k.every=10`);
  await until(page, () => document.querySelector('#labs a') && !document.getElementById('lab').hidden);
  await page.evaluate(() => document.getElementById('play').click());
  await until(page, () => document.getElementById('lab').dataset.phase === 'done');
  await page.goto(`${url}?page=atlas%2F#system=23`);
  await until(page, () => document.querySelector('.target .go button'));
  await page.evaluate(() => document.querySelector('.target .go button').click());
  await until(page, () => document.querySelector('.target').dataset.verdict === 'holds');
  assert.deepEqual(wrong(), []);
}

describe('the offline edition', { skip: BUILT ? false : 'not built' }, () => {
  test('is one file that names nothing outside of it', (t) => {
    const html = readFileSync(file, 'utf8');
    t.diagnostic(`${html.length} bytes`);
    assert.ok(html.length < 14e6);
    for (const model of readFileSync(path.join(ROOT, 'demos/offline/models.txt'), 'utf8').trim().split('\n')) assert.ok(html.includes(`data-path="${model}"`), model);
    const head = html.slice(0, html.indexOf('<body'));
    assert.doesNotMatch(head, /(src|href)="(?!data:)/);
    assert.match(head, /default-src 'none'; script-src 'sha256-[^']+' 'wasm-unsafe-eval' blob:;/);
    assert.doesNotMatch(head, /unsafe-inline|unsafe-eval'(?<!wasm-unsafe-eval')/);
  });

  test('every page opens from a disk in Chromium, and models, labs and the atlas run', { skip: CHROMIUM ? false : 'no Chromium here' }, async () => {
    const browser = await chromium();
    try {
      const page = await patient(await (await browser.newContext({ reducedMotion: 'reduce' })).newPage());
      const { errors, foreign } = watch(page, 'null');
      await walk(async () => page, () => [...errors, ...foreign]);
    } finally {
      await browser.close();
    }
  });

  test('and in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, async () => {
    const { browser, close } = await firefox();
    try {
      const page = await patient(await browser.newPage());
      /** @type {string[]} */ const errors = [];
      page.on('console', (m) => m.type() === 'error' && errors.push(m.text()));
      page.on('pageerror', (e) => errors.push(String(e)));
      page.on('request', (request) => /^https?:/.test(request.url()) && errors.push(request.url()));
      await walk(async () => page, () => errors);
    } finally {
      await close();
    }
  });
});
