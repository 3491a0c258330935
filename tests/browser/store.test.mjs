// The store of model files in a real browser, over a server that counts, cuts connections, knows ranges or not, and changes its mind.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { CHROMIUM, chromium, PATIENCE, patient, serve } from './support.mjs';

const MIB = 1 << 20;
const model = randomLlama({ layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 128, vocab: 300, context: 64, base: 10000 }, GGML.Q8_0);
const noise = (/** @type {number} */ n, /** @type {number} */ seed) => { const out = Buffer.alloc(n); for (let i = 0, x = seed; i < n; i++) { x = (Math.imul(x, 1664525) + 1013904223) >>> 0; out[i] = x >>> 24; } return out; };
const big = noise(40 * MIB + 123, 1);

describe('model store in Chromium', { skip: CHROMIUM ? false : 'there is no Chromium', timeout: 4 * PATIENCE }, () => {
  /** @type {any} */ let browser, page, server;
  /** What the server does now; what it was asked. @type {{body: Buffer, etag: string | null, ranges: boolean, cutAfter: number, status: number, slow: boolean}} */
  let state;
  /** @type {{range: string | undefined, method: string | undefined}[]} */ let asked = [];
  const respond = (/** @type {any} */ request, /** @type {any} */ response) => {
    asked.push({ range: request.headers.range, method: request.method });
    if (state.status !== 200) return response.writeHead(state.status).end();
    const { body, etag } = state;
    const wanted = state.ranges && (!request.headers['if-range'] || request.headers['if-range'] === etag) ? /^bytes=(\d+)-$/.exec(request.headers.range ?? '') : null;
    const from = wanted ? Number(wanted[1]) : 0;
    if (from >= body.length) return response.writeHead(416, { 'Content-Range': `bytes */${body.length}` }).end();
    response.writeHead(wanted ? 206 : 200, { 'Content-Length': body.length - from, ...(etag ? { ETag: etag } : {}), ...(wanted ? { 'Content-Range': `bytes ${from}-${body.length - 1}/${body.length}` } : {}) });
    if (request.method === 'HEAD') return response.end();
    if (state.cutAfter) return response.write(body.subarray(from, from + state.cutAfter), () => setTimeout(() => response.destroy(), 50));
    if (state.slow) return response.write(body.subarray(from, from + 20 * MIB)); // and then nothing
    response.end(body.subarray(from));
  };
  before(async () => {
    server = await serve({ routes: {
      '/blank': (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>t</title>'),
      '/model.gguf': respond,
    } });
    browser = await chromium();
    page = await patient(await (await browser.newContext()).newPage());
    await page.goto(server.url('blank'));
  });
  after(async () => { await browser?.close(); await server?.close(); });
  const set = (/** @type {Partial<typeof state>} */ changes) => { state = { body: big, etag: '"one"', ranges: true, cutAfter: 0, status: 200, slow: false, ...changes }; asked = []; };
  const clear = () => page.evaluate(async () => { const { ModelStore } = await import('/web/index.js'); await ModelStore.delete(); });
  /** Fetches in the page; what came: length and a checksum, or the error. */
  const get = (/** @type {any} */ options = {}) => page.evaluate(async (options) => {
    const { ModelStore } = await import('/web/index.js');
    const controller = new AbortController();
    let last = null;
    const onProgress = (/** @type {any} */ p) => { last = p; if (options.abortAt && p.loaded >= options.abortAt) controller.abort(); };
    try {
      const blob = await ModelStore.fetch('/model.gguf', { signal: controller.signal, onProgress, ...(options.revalidate && { revalidate: true }), ...(options.sha256 && { sha256: options.sha256 }) });
      const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
      return { size: blob.size, digest: Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join(''), last };
    } catch (error) {
      const e = /** @type {any} */ (error);
      return { error: e.name, code: e.code, message: e.message, details: e.details, kept: (await ModelStore.list())[0]?.bytes };
    }
  }, options);
  const digestOf = async (/** @type {Buffer} */ b) => Buffer.from(await crypto.subtle.digest('SHA-256', b)).toString('hex');
  const isBig = async (/** @type {any} */ got, body = big) => { assert.equal(got.message, undefined); assert.equal(got.size, body.length); assert.equal(got.digest, await digestOf(body)); };

  test('a file is downloaded once, listed, and forgotten', async () => {
    await clear();
    set({});
    const first = await get();
    await isBig(first);
    assert.deepEqual(first.last, { loaded: big.length, total: big.length });
    await isBig(await get());
    assert.equal(asked.length, 1);
    set({ status: 500 }); // the network is not needed
    await isBig(await get());
    await isBig(await get({ revalidate: true }));
    const list = await page.evaluate(async () => { const { ModelStore } = await import('/web/index.js'); const list = await ModelStore.list(); const space = await ModelStore.space(); await ModelStore.delete('/model.gguf'); return [list, await ModelStore.list(), space]; });
    assert.deepEqual(list.slice(0, 2), [[{ url: server.url('model.gguf'), bytes: big.length, size: big.length, complete: true }], []]);
    assert.ok(list[2].usage >= 0 && list[2].quota > big.length);
  });

  test('what was aborted goes on where it was, by a range', async () => {
    await clear();
    set({ slow: true });
    const cut = await get({ abortAt: 19 * MIB });
    assert.equal(cut.error, 'AbortError');
    assert.ok(cut.kept >= 16 * MIB && cut.kept < big.length, `${cut.kept} bytes are kept`);
    set({});
    await isBig(await get());
    assert.deepEqual(asked.map((a) => a.range), [`bytes=${cut.kept}-`]);
  });

  test('a connection that breaks again and again is taken up as long as it gets on', async () => {
    await clear();
    set({ cutAfter: 9 * MIB });
    await isBig(await get());
    assert.ok(asked.length >= 5 && asked.slice(1).every((a) => a.range), JSON.stringify(asked));
  });

  test('another file on the server (ETag), no ranges, no validator: from the beginning, and right', async () => {
    const other = noise(30 * MIB + 5, 9);
    for (const second of [{ body: other, etag: '"two"' }, { body: other, etag: '"one"', ranges: false }, { body: other, etag: null }]) {
      await clear();
      set({ slow: true, ...(second.etag === null && { etag: null }) });
      assert.equal((await get({ abortAt: 17 * MIB })).error, 'AbortError');
      set(second);
      await isBig(await get(), other);
    }
  });

  test('a kept file that the server has replaced is noticed when asked', async () => {
    const other = noise(MIB, 5);
    await clear();
    set({});
    await isBig(await get());
    set({ body: other, etag: '"two"' });
    await isBig(await get()); // not asked
    await isBig(await get({ revalidate: true }), other);
  });

  test('a hash that is asked for is checked: once, of a kept file too; another one is not kept', async () => {
    await clear();
    set({});
    const right = await digestOf(big), wrong = '0'.repeat(64), other = noise(MIB, 6);
    const refused = await get({ sha256: wrong });
    assert.equal(refused.code, 'EFORMAT');
    assert.deepEqual([refused.details.expected, refused.details.found], [wrong, right]);
    assert.equal(refused.kept ?? 0, 0);
    await isBig(await get({ sha256: right.toUpperCase() }));
    assert.equal(asked.length, 2);
    await isBig(await get({ sha256: right }));
    await isBig(await get());
    assert.equal(asked.length, 2, 'kept, and known to be right');
    set({ body: other, etag: '"three"' });
    await isBig(await get({ sha256: await digestOf(other) }), other);
    assert.equal(asked.length, 1, 'the kept one is another file');
    assert.equal((await get({ sha256: 'abc' })).code, 'ERANGE');
  });

  test('errors say what happened, and nothing is lost', async () => {
    await clear();
    set({ status: 404 });
    const missing = await get();
    assert.equal(missing.code, 'EHTTP');
    assert.equal(missing.details.status, 404);
    set({ ranges: false, cutAfter: MIB });
    const never = await get();
    assert.equal(never.code, 'EHTTP');
    assert.match(never.message, /ended after \d+ of 41943163 bytes/);
    set({});
    await isBig(await get());
  });

  test('two tabs that ask at once download once', async () => {
    await clear();
    set({});
    const second = await patient(await page.context().newPage());
    await second.goto(server.url('blank'));
    const one = (/** @type {any} */ p) => p.evaluate(async () => { const { ModelStore } = await import('/web/index.js'); return (await ModelStore.fetch('/model.gguf')).size; });
    assert.deepEqual(await Promise.all([one(page), one(second)]), [big.length, big.length]);
    assert.equal(asked.length, 1);
    await second.close();
  });

  test('Model.load with cache: the second time without the network', async () => {
    await clear();
    set({ body: Buffer.from(model) });
    const run = () => page.evaluate(async () => {
      const { Model } = await import('/web/index.js');
      const phases = new Set();
      const m = await Model.load('/model.gguf', { cache: true, threads: 1, onProgress: (/** @type {any} */ p) => phases.add(p.phase) });
      const out = [...(await m.greedy([5, 6, 7], { maxTokens: 8 })).ids];
      await m.dispose();
      return { out, ready: phases.has('ready') };
    });
    const first = await run();
    set({ status: 503 });
    assert.deepEqual(await run(), first);
    assert.equal(asked.length, 0);
  });
});
