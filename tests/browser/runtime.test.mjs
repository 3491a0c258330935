// The package on pages: Chromium and Firefox, with and without cross-origin isolation, under the strict policy; and what happens when a page
// lacks something. The numbers are those of Node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Model } from '../../web/index.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { tinyTokenizer } from '../support/wasm.mjs';
import { CHROMIUM, chromium, FIREFOX, firefox, PATIENCE, patient, serve, STRICT_POLICY } from './support.mjs';

const file = randomLlama({ layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 128, vocab: 300, context: 64, base: 10000 }, GGML.Q8_0);
const ids = [5, 6, 7, 8, 9, 10, 11, 12];
const blank = (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>t</title>');
const bytes = (/** @type {Uint8Array} */ data, type = 'application/octet-stream') => (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Type': type, 'Content-Length': data.length }).end(data);
const ROUTES = {
  '/blank': blank,
  '/model.gguf': bytes(file),
  '/tokenizer.json': bytes(new TextEncoder().encode(JSON.stringify(tinyTokenizer())), 'application/json'),
  '/stuck.gguf': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => { response.writeHead(200, { 'Content-Length': file.length }); response.write(file.subarray(0, 4000)); },
  '/odd/simd.wasm': bytes(readFileSync(new URL('../../web/wasm/simd.wasm', import.meta.url)), 'text/plain'),
};

/** Runs in the page. */
async function everything({ ids }) {
  const { Model, Tokenizer, detectFeatures } = await import('/web/index.js');
  /** @type {any[]} */ const told = [];
  const model = await Model.load('model.gguf', { threads: 2, onProgress: (p) => told.push(p.phase) });
  const { logits } = await model.run(ids);
  const greedy = [...(await model.greedy(ids, { maxTokens: 10 })).ids];
  const again = await Model.load(await (await fetch('model.gguf')).blob(), { threads: 1 });
  const same = (await again.run(ids)).logits.every((x, i) => x === logits[i]);
  await again.dispose();
  const controller = new AbortController();
  const stuck = Model.load('/stuck.gguf', { signal: controller.signal, onProgress: ({ loaded }) => loaded && controller.abort() }).catch((error) => error.name);
  setTimeout(() => controller.abort(), 1000);
  let count = 0;
  for await (const _ of model.generate(ids, { maxTokens: 40 })) if (++count === 3) break;
  const tokenizer = await Tokenizer.load('/tokenizer.json');
  const missing = await Model.load('/absent.gguf').catch((error) => [error.name, error.code, error.details.status]);
  const result = { features: detectFeatures(), isolated: globalThis.crossOriginIsolated === true, engine: model.engine, threads: model.threads, logits: [...logits], greedy, same, told: [...new Set(told)], stuck: await stuck, count, tokens: [...tokenizer.encode('hello world').ids], missing };
  await model.dispose();
  return result;
}

/** Runs in the page: the module and the worker that only run models. */
async function coreAlone({ ids }) {
  const { Model } = await import('/web/core.js');
  const model = await Model.load('model.gguf');
  const said = { engine: model.engine, logits: [...(await model.run(ids)).logits], greedy: [...(await model.greedy(ids, { maxTokens: 10 })).ids], refused: await model.finetune().catch((error) => error.code), loaded: performance.getEntriesByType('resource').map(({ name }) => name.split('/').pop()) };
  await model.dispose();
  return said;
}

/** Runs in the page: a load that must fail, and how. */
async function failing(options) {
  const { Model } = await import('/web/index.js');
  const options2 = { ...options, ...(options.odd && { wasmUrl: '/odd/simd.wasm' }) };
  delete options2.odd;
  return Model.load('/model.gguf', options2).then((m) => { const engine = m.engine; m.dispose(); return ['fine', engine]; }, (error) => [error.name, error.code, error.message]);
}

const BROWSERS = {
  Chromium: { there: CHROMIUM, async open() { const browser = await chromium(); return { browser, close: () => browser.close() }; } },
  Firefox: { there: FIREFOX, open: firefox },
};

for (const [name, { there, open }] of Object.entries(BROWSERS))
  describe(`the runtime in ${name}`, { skip: there ? false : `no ${name} here` }, () => {
    /** @type {any} */ let driver;
    /** @type {Float32Array} */ let want;
    /** @type {number[]} */ let greedy;
    before(async () => {
      driver = await open();
      const model = await Model.load(file, { threads: 1 });
      want = (await model.run(ids)).logits;
      greedy = [...(await model.greedy(ids, { maxTokens: 10 })).ids];
      await model.dispose();
    });
    after(() => driver?.close());

    /** @param {any} server @param {any} f @param {any} args */
    async function inPage(server, f, args) {
      const page = await patient(await driver.browser.newPage());
      try {
        await page.goto(`${server.origin}/blank`);
        return await page.evaluate(f, args);
      } finally {
        await page.close();
        await server.close();
      }
    }

    for (const isolated of [true, false])
      test(isolated ? 'isolated: threads' : 'not isolated: one thread', { timeout: 2 * PATIENCE }, async () => {
        const result = await inPage(await serve({ isolated, routes: ROUTES }), everything, { ids });
        assert.equal(result.isolated, isolated);
        assert.equal(result.threads, isolated ? 2 : 1, result.engine);
        assert.equal(result.features.relaxed, result.engine.startsWith('relaxed'));
        const scale = want.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        result.logits.forEach((/** @type {number} */ x, /** @type {number} */ i) => assert.ok(Math.abs(x - want[i]) <= 2e-5 * scale, `${x} at ${i}, Node says ${want[i]}`));
        assert.deepEqual(result.greedy, greedy);
        assert.equal(result.same, true, 'threads do not change the logits');
        assert.deepEqual(result.told, ['download', 'prepare', 'ready']);
        assert.equal(result.stuck, 'AbortError');
        assert.equal(result.count, 3);
        assert.deepEqual(result.tokens, [259, 264]);
        assert.deepEqual(result.missing, ['MicrotomeError', 'EHTTP', 404]);
      });

    test('microtome/core: its own module and worker', { timeout: 2 * PATIENCE }, async () => {
      const { engine, logits, greedy: tokens, refused, loaded } = await inPage(await serve({ isolated: true, routes: ROUTES }), coreAlone, { ids });
      assert.equal(engine, 'core, simd kernels, 1 thread');
      const scale = want.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      logits.forEach((/** @type {number} */ x, /** @type {number} */ i) => assert.ok(Math.abs(x - want[i]) <= 2e-5 * scale, `${x} at ${i}, Node says ${want[i]}`));
      assert.deepEqual(tokens, greedy);
      assert.equal(refused, 'EUNSUPPORTED');
      assert.deepEqual(loaded.filter((/** @type {string} */ file) => /\.wasm$/.test(file)).filter((/** @type {string} */ file) => file !== 'core.wasm'), []);
      assert.ok(!loaded.includes('engine_whole.js'), loaded.join());
    });

    test('a policy without workers: an error, and no waiting for one', { timeout: 2 * PATIENCE }, async () => {
      const server = await serve({ routes: ROUTES, policy: STRICT_POLICY.replace("worker-src 'self'", "worker-src 'none'") });
      const [error, code, message] = await inPage(server, failing, {});
      assert.deepEqual([error, code], ['MicrotomeError', 'EWORKER'], message);
    });

    test('a policy without WebAssembly: an error that says so', { timeout: 2 * PATIENCE }, async () => {
      const server = await serve({ routes: ROUTES, policy: STRICT_POLICY.replace(" 'wasm-unsafe-eval'", '') });
      const [error, code, message] = await inPage(server, failing, {});
      assert.deepEqual([error, code], ['MicrotomeError', 'EUNSUPPORTED'], message);
    });

    test('a worker that is not there, a module with the wrong type', { timeout: 2 * PATIENCE }, async () => {
      const [error, code, message] = await inPage(await serve({ routes: ROUTES }), failing, { workerUrl: '/absent.js' });
      assert.deepEqual([error, code], ['MicrotomeError', 'EWORKER'], message);
      const [fine, engine] = await inPage(await serve({ routes: ROUTES }), failing, { odd: true });
      assert.deepEqual([fine, engine], ['fine', 'simd, simd kernels, 1 thread']);
    });
  });
