// Every page in WebKitGTK: it opens without an error, and does what it is for once.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ByteModel, Model } from '../../web/index.js';
import { ROOT, serve } from './support.mjs';
import { WEBKIT, WebKit } from './webkit.mjs';

const pages = /** @type {{ path: string }[]} */ (JSON.parse(readFileSync(`${ROOT}demos/demos.json`, 'utf8'))).map(({ path }) => path);

/** Runs in the page: the answer is about this text, and no other is owed. @param {string} text */
function answered(text) {
  const { for: of, stale, busy } = /** @type {HTMLElement} */ (document.getElementById('answer')).dataset;
  return of === text && stale === undefined && busy === undefined;
}

describe('WebKitGTK', { skip: WEBKIT ? false : 'no WebKitGTK with its driver and xvfb here' }, () => {
  /** @type {WebKit} */ let browser;
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  before(async () => {
    server = await serve();
    browser = await WebKit.start();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  for (const path of ['', ...pages])
    test(`demos/${path} opens: modules run, nothing runs over the side, no problem is told`, async () => {
      await browser.goto(server.url(`demos/${path}`));
      await browser.waitFor(() => document.readyState === 'complete' && !document.querySelector(':not(:defined)'));
      const { title, wide, alerts, lead } = await browser.evaluate(() => ({
        title: document.title, wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        alerts: [...document.querySelectorAll('[role=alert]')].filter((el) => !(/** @type {HTMLElement} */ (el).hidden) && el.textContent?.trim()).map((el) => el.textContent),
        lead: document.querySelector('h1')?.textContent,
      }));
      assert.match(title, /Microtome/);
      assert.ok(lead);
      assert.deepEqual([wide > 0, alerts], [false, []]);
    });

  test('bytes: the model opens, and the answer follows what is typed', async () => {
    await browser.goto(server.url('demos/bytes/'));
    await browser.waitFor(answered, 'Once upon a ti');
    const typed = 'I have seen it with my own e', model = await Model.load(`${ROOT}models/microtome-tiny.gguf`, { threads: 1 });
    const { bytes } = await new ByteModel(model).next(typed);
    await model.dispose();
    await browser.fill('#text', typed);
    await browser.waitFor(answered, typed);
    const shown = await browser.evaluate(() => Array.from(/** @type {any} */ (document.getElementById('chart')).result.bytes));
    assert.ok(shown.every((/** @type {number | null} */ value, /** @type {number} */ i) => value === null || Math.abs(value - bytes[i]) < 1e-3 * (1 + Math.abs(bytes[i]))), 'the numbers are those of Node'); // null: minus infinity
  });

  test('labs: a lab trains and comes to a verdict', async () => {
    await browser.goto(server.url('demos/labs/#lab=bico-reversal-curse&preset=quick&seed=1&k.steps=50'));
    await browser.waitFor(() => { const lab = document.getElementById('lab'); return lab && !lab.hidden; });
    await browser.click('#play');
    await browser.waitFor(() => ['done', 'failed'].includes(document.getElementById('lab')?.dataset.phase ?? ''));
    assert.equal(await browser.evaluate(() => document.getElementById('lab')?.dataset.phase), 'done');
    await browser.waitFor(() => document.querySelectorAll('figure svg').length > 0);
  });
});
