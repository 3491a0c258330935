// quantize() on a page, from a download to a Blob, bytes and a stream; a model from bytes that are given to the worker piece by piece.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Model, quantize } from '../../web/index.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { CHROMIUM, chromium, FIREFOX, firefox, PATIENCE, patient, serve } from './support.mjs';

const file = randomLlama({ layers: 2, width: 256, heads: 4, kvHeads: 2, ffn: 512, vocab: 700, context: 64, base: 10000 }, GGML.F32);
const ids = [5, 6, 7, 8, 9, 10, 11, 12];
const sha256 = (/** @type {Uint8Array | undefined} */ bytes) => createHash('sha256').update(/** @type {Uint8Array} */ (bytes)).digest('hex');

/** Runs in the page. */
async function everything({ ids }) {
  const { Model, quantize } = await import('/web/index.js');
  const digest = async (bytes) => [...new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))].map((b) => b.toString(16).padStart(2, '0')).join('');
  const { blob } = await quantize('/model.gguf', { type: 'Q4_K', output: 'blob' });
  const source = await (await fetch('/model.gguf')).arrayBuffer();
  const { bytes } = await quantize(source, { type: 'Q8_0', threads: 1 });
  const parts = [];
  await quantize((await fetch('/model.gguf')).body, { type: 'F16', output: new WritableStream({ write: (chunk) => void parts.push(chunk.slice()) }) });
  const hashes = [await digest(await blob.arrayBuffer()), await digest(bytes), await digest(await new Blob(parts).arrayBuffer())];
  const model = await Model.load(source); // more than two MiB: in pieces
  const { logits } = await model.run(ids);
  await model.dispose();
  const small = await Model.load(blob);
  const weights = (await small.describe()).weightType;
  await small.dispose();
  const cut = await quantize(source.slice(0, source.byteLength - 100_000)).catch((error) => [error.name, error.code]);
  return { hashes, logits: [...logits], weights, cut };
}

const BROWSERS = {
  Chromium: { there: CHROMIUM, async open() { const browser = await chromium(); return { browser, close: () => browser.close() }; } },
  Firefox: { there: FIREFOX, open: firefox },
};

for (const [name, { there, open }] of Object.entries(BROWSERS))
  describe(`quantize in ${name}`, { skip: there ? false : `no ${name} here` }, () => {
    /** @type {any} */ let driver;
    /** @type {string[]} */ let hashes;
    /** @type {Float32Array} */ let logits;
    before(async () => {
      driver = await open();
      hashes = [];
      for (const type of /** @type {const} */ (['Q4_K', 'Q8_0', 'F16'])) hashes.push(sha256((await quantize(file, { type })).bytes));
      const model = await Model.load(file, { threads: 1 });
      ({ logits } = await model.run(ids));
      await model.dispose();
    });
    after(() => driver?.close());

    for (const isolated of [true, false])
      test(isolated ? 'isolated' : 'not isolated', { timeout: 2 * PATIENCE }, async () => {
        const server = await serve({ isolated, routes: {
          '/blank': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>t</title>'),
          '/model.gguf': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Length': file.length }).end(file),
        } });
        const page = await patient(await driver.browser.newPage());
        try {
          await page.goto(`${server.origin}/blank`);
          const result = await page.evaluate(everything, { ids });
          assert.deepEqual(result.hashes, hashes, 'the files are those of Node');
          const scale = logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
          result.logits.forEach((/** @type {number} */ x, /** @type {number} */ i) => assert.ok(Math.abs(x - logits[i]) <= 2e-5 * scale, `${x} at ${i}, Node says ${logits[i]}`));
          assert.equal(result.weights, 'Q4_K');
          assert.deepEqual(result.cut, ['MicrotomeError', 'EFORMAT']);
        } finally {
          await page.close();
          await server.close();
        }
      });
  });
