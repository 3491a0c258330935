/**
 * No way from a model file to markup or code: tokens, names and labels that are markup, scripts or addresses come out as text, in every
 * element and on the pages that show a file's tokens. What is looked for are elements and attributes, since the pages' policy would keep
 * scripts from running anyway.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Tokenizer } from '../../web/index.js';
import { added, bpe, definition } from '../support/definitions.mjs';
import { readGguf } from '../support/gguf_read.mjs';
import { retype, writeGguf } from '../support/gguf_write.mjs';
import { CHROMIUM, chromium, eventually, ROOT, serve, until, visit } from './support.mjs';

const HOSTILE = ['<img src=x onerror="owned=1">', '</script><script>owned=1</script>', '"><svg onload=owned=1>', "' onclick='owned=1' '", 'javascript:owned=1', '</title></svg><iframe srcdoc="<script>parent.owned=1</script>">', '<style>*{display:none}</style>', '&lt;b&gt;&#x3c;i&#x3e;', '\u202egpj.exe', ']]><marquee>', '${owned=1}{{owned=1}}', '<a href="javascript:owned=1">'];
const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Hostile strings</title><link rel="icon" href="/demos/icon.svg"><main><h1>Hostile strings</h1></main>${['token-strip', 'lattice', 'merge-replay', 'byte-distribution', 'attention', 'lens-table', 'logit-bars', 'chart', 'export', 'model-picker', 'run-control'].map((name) => `<script type="module" src="/web/elements/${name}.js"></script>`).join('')}</html>`;

/** Runs in the page: what no text of ours or of a file may have become, in the document and all shadow trees. */
const foreign = () => {
  const found = /** @type {string[]} */ ([]);
  const walk = (/** @type {Document | ShadowRoot} */ root) => {
    for (const el of root.querySelectorAll('*')) {
      if (/^(img|iframe|object|embed|marquee|base|meta|style)$/i.test(el.localName) && !el.closest('head') && !(el.localName === 'img' && el.getAttribute('src')?.endsWith('.svg'))) found.push(el.outerHTML.slice(0, 200));
      if (el.localName === 'script' && !/** @type {HTMLScriptElement} */ (el).src) found.push(el.outerHTML.slice(0, 200));
      for (const { name, value } of el.attributes) if (/^on/i.test(name) || !el.localName.includes('-') && /^\s*javascript:/i.test(value) && /^(href|src|action|formaction|xlink:href)$/i.test(name)) found.push(`${el.localName} ${name}=${value}`);
      if (el.shadowRoot) walk(el.shadowRoot);
    }
  };
  walk(document);
  return { found, owned: 'owned' in globalThis };
};
/** Runs in the page: all its text, of shadow trees and values too. */
const allText = () => {
  const texts = /** @type {string[]} */ ([]);
  const walk = (/** @type {Document | ShadowRoot} */ root) => {
    texts.push(root instanceof Document ? root.body.textContent ?? '' : root.textContent ?? '');
    for (const el of root.querySelectorAll('*')) {
      for (const name of ['aria-label', 'title', 'value']) texts.push(el.getAttribute(name) ?? '');
      if (el.shadowRoot) walk(el.shadowRoot);
    }
  };
  walk(document);
  return texts.join('\n');
};
const CLEAN = { found: [], owned: false };

describe('hostile strings', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  /** @type {Awaited<ReturnType<typeof serve>>} */ let server;
  /** @type {import('playwright-core').Browser} */ let browser;
  before(async () => {
    server = await serve({ isolated: false, routes: { '/hostile.html': (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE) } });
    browser = await chromium();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('what is looked for is found', () => visit(browser, server.url('hostile.html'), async (page) => {
    assert.deepEqual(await page.evaluate(foreign), CLEAN);
    await page.evaluate(() => { const host = document.body.appendChild(document.createElement('div')); host.attachShadow({ mode: 'open' }).innerHTML = '<p onclick="x()"><img src="data:,"></p><a href="javascript:x()"></a>'; });
    assert.equal((await page.evaluate(foreign)).found.length, 3);
  }, { allow: [/Content Security Policy/] }));

  test('every element', () => visit(browser, server.url('hostile.html'), async (page) => {
    await until(page, () => ['mt-token-strip', 'mt-lattice', 'mt-merge-replay', 'mt-byte-distribution', 'mt-attention', 'mt-lens-table', 'mt-logit-bars', 'mt-chart', 'mt-export', 'mt-model-picker', 'mt-run-control'].every((name) => customElements.get(name)));
    await page.evaluate((strings) => {
      const n = strings.length, encoder = new TextEncoder(), main = /** @type {HTMLElement} */ (document.querySelector('main'));
      const put = (/** @type {string} */ name, /** @type {Record<string, any>} */ values, /** @type {Record<string, string>} */ attributes = {}) => {
        const el = document.createElement(name);
        for (const [key, value] of Object.entries(attributes)) el.setAttribute(key, value);
        main.append(el);
        Object.assign(el, values);
      };
      const text = strings[0], even = new Float32Array(n * n).fill(1 / n);
      put('mt-token-strip', { tokens: strings.map((piece, id) => ({ id, piece, bytes: encoder.encode(piece), kind: id % 2 ? 'special' : 'normal' })) }, { label: strings[1] });
      put('mt-lattice', { data: { text, edges: strings.map((label, i) => ({ from: i, to: i + 1, label, weight: -i, id: i })).concat([{ from: 0, to: encoder.encode(text).length, label: strings[1], weight: 0, id: 99 }]) } }, { label: strings[2] });
      put('mt-merge-replay', { data: { symbols: strings, steps: [{ at: 0, label: strings[0] + strings[1], rank: 1, id: 5 }] } }, { label: strings[3] });
      put('mt-byte-distribution', { result: { bytes: Float64Array.from({ length: 256 }, () => Math.log(1 / 257)), end: Math.log(1 / 257), naive: Float64Array.from({ length: 257 }, () => Math.log(1 / 257)), target: strings[0] } }, { 'exact-label': strings[0], 'naive-label': strings[5] });
      put('mt-attention', { data: { tokens: strings, heads: 1, pattern: even } });
      put('mt-lens-table', { data: { rows: strings, columns: strings, cells: strings.flatMap(() => strings.map((piece) => ({ text: piece, value: 0.5, top: [[piece, 0.5], [strings[0], 0.1]] }))), measure: strings[6] }, selected: { row: 0, column: 0 } });
      put('mt-logit-bars', { data: { title: strings[0], unit: strings[1], total: 1, parts: strings.map((name, i) => ({ name, value: i - 3 })) } });
      put('mt-chart', { plot: { type: 'line', title: strings[0], x: strings[1], y: strings[2], lines: strings.map((name) => ({ name, points: [[0, 1], [1, 2]] })) } });
      put('mt-chart', { plot: { type: 'bar', title: strings[5], bars: strings, values: strings.map((_, i) => i) } });
      put('mt-chart', { plot: { type: 'scatter', title: strings[5], x: strings[0], y: strings[1], xs: strings.map((_, i) => i), ys: strings.map((_, i) => i), labels: strings } });
      put('mt-chart', { plot: { type: 'heat', title: strings[5], rows: n, cols: n, values: Array.from(even), labels: { rows: strings, cols: strings } } });
      put('mt-export', { formats: { [strings[0]]: () => 'x' } }, { name: strings[0] });
      put('mt-model-picker', {}, { name: strings[0], src: strings[4] });
      put('mt-run-control', { text: strings[0] }, { label: strings[3] });
      for (const el of main.children) for (const fold of el.shadowRoot?.querySelectorAll('details') ?? []) fold.open = true;
    }, HOSTILE);
    await eventually(() => page.evaluate(() => document.querySelectorAll('main > *').length), 15);
    await until(page, (/** @type {string} */ wanted) => [...document.querySelectorAll('mt-lens-table')].every((el) => el.shadowRoot?.textContent?.includes(wanted)), HOSTILE[0]);
    assert.deepEqual(await page.evaluate(foreign), CLEAN);
    for (const name of ['mt-token-strip', 'mt-lattice', 'mt-merge-replay', 'mt-attention', 'mt-lens-table', 'mt-logit-bars', 'mt-chart'])
      assert.ok(await page.locator(name).first().evaluate((el, wanted) => (el.shadowRoot?.textContent + [...(el.shadowRoot?.querySelectorAll('*') ?? [])].map((one) => one.getAttribute('aria-label')).join(' ')).includes(wanted), 'owned=1'), `${name} shows it as text`);
  }));

  test('Tokenizers: a definition whose special tokens are markup', async () => {
    const letters = Object.fromEntries(['a', 'b', ' '].map((c, id) => [c, id])), json = JSON.stringify(definition(bpe(letters, []), { added_tokens: HOSTILE.map((content, i) => added(3 + i, content, { special: i % 2 === 0 })) }));
    const tokenizer = await Tokenizer.load(new TextEncoder().encode(json)), text = HOSTILE.join(' a '), ids = [...tokenizer.encode(text).ids];
    assert.ok(HOSTILE.every((_, i) => ids.includes(3 + i)));
    await visit(browser, server.url(`demos/tokenizers/#${new URLSearchParams({ text, with: 'tiny' })}`), async (page) => {
      await until(page, () => document.querySelectorAll('.panel[data-for]').length > 0);
      await page.evaluate(([content, name]) => {
        const data = new DataTransfer();
        data.items.add(new File([content], name));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
      }, [json, '<img src=x onerror=owned=1>.json']);
      await until(page, () => document.querySelectorAll('.panel').length === 2 && document.querySelectorAll('.panel .count').length === 2 && [...document.querySelectorAll('.panel .count')].every((el) => /\d/.test(el.textContent ?? '')));
      for (const summary of await page.locator('.panel summary').all()) await summary.click();
      await until(page, (/** @type {number} */ count) => [...document.querySelectorAll('.panel')].some((panel) => panel.querySelectorAll('tbody tr').length === count), ids.length);
      assert.deepEqual(await page.evaluate(foreign), CLEAN);
      const shown = await page.evaluate(allText);
      for (const one of HOSTILE.filter((s) => !s.includes('\u202e'))) assert.ok(shown.includes(one), one);
    });
    tokenizer.dispose();
  });

  test('Inside: a model whose tokens are markup', async () => {
    const { metadata, kinds, tensors, order } = readGguf(readFileSync(path.join(ROOT, 'models/microtome-tiny.gguf'))), tokens = [...metadata['tokenizer.ggml.tokens']];
    let at = 0;
    for (let i = 300; i < tokens.length; i++) tokens[i] = `${HOSTILE[at++ % HOSTILE.length]}${i}`; // the words that it says; ids stay
    const file = writeGguf({ metadata: Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, key === 'tokenizer.ggml.tokens' ? tokens : retype(value, kinds[key])])), tensors: order.map((name) => ({ name, ...tensors[name] })) });
    await visit(browser, server.url('demos/inside/'), async (page) => {
      await page.locator('#picker input[type=file]').setInputFiles({ name: '<img src=x onerror=owned=1>.gguf', mimeType: '', buffer: Buffer.from(file) });
      await until(page, (/** @type {string} */ wanted) => [...document.querySelectorAll('mt-lens-table')].some((el) => el.shadowRoot?.textContent?.includes(wanted)), 'owned=1');
      assert.deepEqual(await page.evaluate(foreign), CLEAN);
      assert.ok((await page.evaluate(allText)).includes('<img src=x'));
    });
  });
});
