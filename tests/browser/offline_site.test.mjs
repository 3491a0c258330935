// The site kept on a device: every file of it, pages and their workers without a network, from a subfolder, a clean change of version, nothing of the user's, and its removal.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, chromium, eventually, patient, ROOT, serve, until, watch } from './support.mjs';

const walk = (/** @type {string} */ folder) => readdirSync(path.join(ROOT, folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => path.relative(ROOT, path.join(entry.parentPath ?? entry.path, entry.name)));
/** What the site consists of, told once more: the small modules and their worker are for packages, no page asks for them. */
const FILES = [...walk('demos'), ...walk('web'), ...readFileSync(path.join(ROOT, 'demos/offline/models.txt'), 'utf8').trim().split('\n')].filter((file) => !/^(web\/node|demos\/offline)\/|\/(tokens|core)\.wasm$|\/core_worker\.js$/.test(file) && !file.endsWith('.md') && file !== 'demos/start/files.js').sort();
const BASE = '/some/folder/';
const hashed = (/** @type {Buffer | string} */ content) => createHash('sha256').update(content).digest('hex');

test('the built list has every file of the site', { skip: existsSync(path.join(ROOT, 'demos/start/files.js')) ? false : 'not built' }, () => {
  const self = /** @type {any} */ ({});
  new Function('self', readFileSync(path.join(ROOT, 'demos/start/files.js'), 'utf8'))(self);
  const { version, files } = self.MICROTOME_SITE;
  assert.deepEqual(Object.keys(files).sort(), FILES);
  assert.match(version, /^[0-9a-f]{16}$/);
  const still = 'models/microtome-tiny.gguf';
  assert.equal(files[still], hashed(readFileSync(path.join(ROOT, still))));
});

test('the manifest names what is there', () => {
  const manifest = JSON.parse(readFileSync(path.join(ROOT, 'demos/site.webmanifest'), 'utf8'));
  for (const { src } of manifest.icons) assert.ok(existsSync(path.join(ROOT, 'demos', src)), src);
  assert.deepEqual([manifest.start_url, manifest.scope, manifest.display], ['./', './', 'standalone']);
});

describe('kept offline in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server;
  /** What the server has: a version, and files that differ from the tree. @type {{ changed: Record<string, string>, broken: string | null }} */
  const site = { changed: {}, broken: null };
  const list = () => {
    const files = Object.fromEntries(FILES.map((file) => [file, hashed(site.changed[file] ?? readFileSync(path.join(ROOT, file)))]));
    return `self.MICROTOME_SITE = ${JSON.stringify({ version: hashed(JSON.stringify(files)).slice(0, 16), files })};`;
  };
  const answer = (type, make) => (_, response) => response.writeHead(200, { 'Content-Type': type }).end(make());
  before(async () => {
    browser = await chromium();
    const front = `${BASE}demos/index.js`;
    server = await serve({
      base: BASE,
      isolated: false,
      routes: {
        [`${BASE}demos/start/files.js`]: answer('text/javascript', list),
        [front]: (_, response) => (site.broken === 'demos/index.js' ? response.writeHead(500).end() : response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(site.changed['demos/index.js'] ?? readFileSync(path.join(ROOT, 'demos/index.js')))),
        '/elsewhere.txt': answer('text/plain', () => 'of the same origin'),
        [`${BASE}mine.gguf`]: answer('application/octet-stream', () => 'not a model'),
      },
    });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const shown = (page) => until(page, () => document.querySelector('.demo') && !document.getElementById('specimen').hidden);
  const state = (page, pattern) => until(page, (source) => new RegExp(source).test(document.getElementById('offline-state').textContent), pattern.source);
  const stored = (page) => page.evaluate(async () => Object.fromEntries(await Promise.all((await caches.keys()).map(async (name) => [name, (await (await caches.open(name)).keys()).map(({ url }) => url)]))));

  test('nothing is kept unless asked for; then pages, models, labs run without a network; a new version comes whole; it can be removed', async () => {
    const ctx = await browser.newContext({ reducedMotion: 'reduce' }), page = await patient(await ctx.newPage());
    try {
      await page.goto(server.url('demos/'));
      await shown(page);
      await page.locator('#keep:visible').waitFor();
      assert.deepEqual([await stored(page), await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length)], [{}, 0]);

      site.broken = 'demos/index.js';
      await page.locator('#keep').click();
      await state(page, /could not be kept/);
      await eventually(() => stored(page), {}, 'half a site is none');
      site.broken = null;
      await page.locator('#keep').click();
      await state(page, /are kept on this device/);
      const first = await stored(page);
      assert.equal(Object.keys(first).length, 1);
      assert.deepEqual(Object.values(first)[0].map((url) => url.slice(server.url('').length).replace(/\?.*/, '')).sort(), FILES);

      // without a network: a page with a model in a worker, a lab in another, the atlas with a worker in a worker
      await page.goto(server.url('demos/')); // a page that is open already takes the worker when it opens again
      await until(page, () => navigator.serviceWorker.controller);
      const asked = await page.evaluate(async (urls) => Promise.all(urls.map(async (url) => (await fetch(url)).text())), [server.url('mine.gguf'), `${server.origin}/elsewhere.txt`]);
      assert.deepEqual(asked, ['not a model', 'of the same origin']);
      assert.equal(Object.values(await stored(page))[0].length, FILES.length, 'what is not of the site is not kept');
      await ctx.setOffline(true);
      const before = server.requests.length;
      const { errors } = watch(page, server.origin);
      await page.goto(server.url('demos/bytes/#text=Once+upon+a+ti'));
      await until(page, () => { const { for: of, stale, busy } = document.getElementById('answer').dataset; return of === 'Once upon a ti' && stale === undefined && busy === undefined; });
      assert.match(await page.locator('#verdict').textContent(), /m/);
      await page.goto(server.url('demos/labs/#lab=bico-reversal-curse&k.steps=20&k.every=10'));
      await page.locator('#play').click();
      await until(page, () => document.getElementById('lab').dataset.phase === 'done');
      await page.goto(server.url('demos/atlas/#system=23'));
      await page.locator('.target .go button').click();
      await until(page, () => document.querySelector('.target').dataset.verdict === 'holds');
      assert.deepEqual(errors, []);
      assert.deepEqual(server.requests.slice(before).filter((url) => !/(sw|files|service)\.js$/.test(url)), [], 'the network is not touched, but to ask for a newer version');
      await ctx.setOffline(false);

      // a new version: fetched whole beside the old one, used when no page of the old one is open
      site.changed['demos/index.js'] = readFileSync(path.join(ROOT, 'demos/index.js'), 'utf8') + "\ndocument.title = 'the second version';\n";
      await page.goto(server.url('demos/'));
      const asks = server.requests.length;
      await page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).update());
      await state(page, /newer version of the pages has been fetched/);
      assert.deepEqual(server.requests.slice(asks).filter((url) => !/sw\.js|files\.js|service\.js/.test(url)), [`${BASE}demos/index.js`], 'only what has changed is fetched');
      await page.reload();
      await shown(page);
      assert.notEqual(await page.title(), 'the second version', 'one version at a time');
      await page.close();
      const next = await patient(await ctx.newPage());
      await next.goto(`${server.origin}/elsewhere.txt`); // no page of the site, and it can see which version the site has
      await until(next, async (url) => { const { waiting, active } = await navigator.serviceWorker.getRegistration(url); return !waiting && active?.state === 'activated'; }, server.url('demos/'));
      await next.goto(server.url('demos/'));
      await until(next, () => document.title === 'the second version');
      await until(next, async () => (await caches.keys()).length === 1);

      await next.locator('#drop').click();
      await state(next, /no longer kept/);
      await eventually(async () => [await stored(next), await next.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length)], [{}, 0]);
      assert.equal(await next.evaluate(() => document.activeElement.id), 'keep');
    } finally {
      await ctx.close();
    }
  });
});
