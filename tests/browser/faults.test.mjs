// What happens to a page while the package works in it: frozen as a hidden tab is, never painted, without a network in the middle of a download, left for another model.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { CHROMIUM, chromium, patient, serve } from './support.mjs';

const file = randomLlama({ layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 128, vocab: 300, context: 2048, base: 10000 }, GGML.Q8_0);
/** Connections of answers that stop in the middle. @type {any[]} */ const held = [];
const ROUTES = {
  '/blank': (/** @type {any} */ _, /** @type {any} */ response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>t</title>'),
  '/model.gguf': (/** @type {any} */ _, /** @type {any} */ response) => response.writeHead(200, { 'Content-Length': file.length }).end(file),
  '/slow.gguf': (/** @type {any} */ _, /** @type {any} */ response) => { response.writeHead(200, { 'Content-Length': file.length }); response.write(file.subarray(0, file.length >> 1)); held.push(response); },
};

describe('a page that is hidden, offline or changes its mind', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  /** @type {any} */ let server, browser;
  before(async () => { server = await serve({ routes: ROUTES }); browser = await chromium(); });
  after(async () => { await browser?.close(); await server?.close(); });
  /** @param {(page: any, context: any) => Promise<void>} check */
  const inPage = async (check) => {
    const context = await browser.newContext(), page = await patient(await context.newPage());
    try {
      await page.goto(server.url('blank'));
      await check(page, context);
    } finally {
      await context.close();
    }
  };
  /** In the page: generates, and counts in `window.seen`; the ids are in `window.done` at the end. */
  const begin = (/** @type {any} */ page) => page.evaluate(async () => {
    const { Model } = await import('/web/index.js'), w = /** @type {any} */ (window);
    w.model = await Model.load('/model.gguf', { threads: 2 });
    w.want = [...(await w.model.greedy([1, 2, 3], { maxTokens: 1500 })).ids];
    w.seen = 0;
    w.done = (async () => { const ids = []; for await (const { id } of w.model.generate([1, 2, 3], { maxTokens: 1500, temperature: 0 })) { ids.push(id); w.seen++; } return ids; })();
  });

  test('frozen while it generates: it goes on where it was', () => inPage(async (page, context) => {
    await begin(page);
    await page.waitForFunction(() => /** @type {any} */ (window).seen > 2);
    const cdp = await context.newCDPSession(page);
    for (let i = 0; i < 3; i++) {
      await cdp.send('Page.setWebLifecycleState', { state: 'frozen' });
      await cdp.send('Page.setWebLifecycleState', { state: 'active' });
    }
    const { want, got } = await page.evaluate(async () => ({ want: /** @type {any} */ (window).want, got: await /** @type {any} */ (window).done }));
    assert.deepEqual(got, want);
  }));
  test('a tab behind another one, and no frame is ever painted: generation and training end', () => inPage(async (page, context) => {
    await page.evaluate(() => { window.requestAnimationFrame = () => 0; Object.defineProperty(document, 'hidden', { value: true }); Object.defineProperty(document, 'visibilityState', { value: 'hidden' }); });
    await begin(page);
    await (await context.newPage()).bringToFront();
    const { want, got, size } = await page.evaluate(async () => {
      const { trainTokenizer } = await import('/web/index.js'), w = /** @type {any} */ (window);
      const { tokenizer } = await trainTokenizer(['low lower lowest '.repeat(50)], { kind: 'bpe', vocabSize: 300 });
      return { want: w.want, got: await w.done, size: tokenizer.encode('lowest').ids.length };
    });
    assert.deepEqual(got, want);
    assert.ok(size > 0);
  }));
  test('offline in the middle of a download: EIO, and online again it loads', () => inPage(async (page, context) => {
    const first = page.evaluate(async () => (await import('/web/index.js')).Model.load('/slow.gguf', { threads: 1, onProgress: ({ loaded }) => { /** @type {any} */ (window).loaded = loaded; } }).then(() => 'fine', (error) => [error.name, error.code]));
    await page.waitForFunction(() => /** @type {any} */ (window).loaded > 0);
    await context.setOffline(true);
    for (const response of held) response.destroy();
    assert.deepEqual(await first, ['MicrotomeError', 'EIO']);
    await context.setOffline(false);
    assert.equal(await page.evaluate(async () => { const m = await (await import('/web/index.js')).Model.load('/model.gguf', { threads: 1 }), n = (await m.run([1, 2])).logits.length; await m.dispose(); return n; }), 300);
  }));
  test('another model while one generates', () => inPage(async (page) => {
    await begin(page);
    await page.waitForFunction(() => /** @type {any} */ (window).seen > 2);
    const { ended, ids } = await page.evaluate(async () => {
      const { Model } = await import('/web/index.js'), w = /** @type {any} */ (window), old = w.done.then(() => 'all', (/** @type {any} */ error) => error.code);
      const [next] = await Promise.all([Model.load('/model.gguf', { threads: 2 }), w.model.dispose()]);
      const ids = [...(await next.greedy([1, 2, 3], { maxTokens: 20 })).ids];
      await next.dispose();
      return { ended: await old, ids: ids.join() === w.want.slice(0, 20).join() };
    });
    assert.match(ended, /^(ESTATE|all)$/);
    assert.ok(ids);
  }));
});
