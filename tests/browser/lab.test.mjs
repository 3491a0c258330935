// Labs on pages: a module worker trains under the strict policy, the page listens, draws and stays alive; the numbers are those of Node.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { LabRun, findLab } from '../../web/lab/index.js';
import { transformerLab } from '../support/labs.mjs';
import { scratch } from '../support/wasm.mjs';
import { axe, CHROMIUM, chromium, firefox, FIREFOX, patient, serve } from './support.mjs';

const source = (/** @type {string} */ index) => `
import { below, defineLab, windows, symbols } from '${index}';
export default defineLab({
  id: 9001, name: 'noise', title: 'Noise & rest', claim: 'It comes to rest.', published: 'It does.', source: 'Hooke 1678', notes: [], texts: ['prose'],
  config: { steps: { value: 400, min: 1, max: 1000000, label: 'steps' }, rate: { value: 0.05, min: 0, max: 1, live: true, label: 'rate' } },
  presets: { quick: { steps: 100 }, full: {} },
  arms: () => [{ name: 'soft' }, { name: 'hard', config: { stiff: 3 } }],
  setup: (run) => ({ w: run.params.param('w', [4], { normal: 1 }), ids: symbols(run.texts('prose')).ids }),
  step(run, { w, ids }) {
    const letters = windows(run.rng('data'), ids, { batch: 1, length: 4 }), noise = run.rng('data').normals(4, 0.1);
    w.grad.set(w.value.map((x, i) => (run.config.stiff ?? 1) * x + noise[i] + letters[i] / 1000));
    return { energy: w.value.reduce((sum, x) => sum + x * x, 0), norm: run.params.step({ rate: run.config.rate }) };
  },
  measure: (run, { w }) => ({ pictures: { w: { rows: 2, cols: 2, values: w.value, labels: ['a', 'b'] }, dots: { x: [1, 2], y: w.value.slice(0, 2), groups: [0, 1], groupNames: ['one', 'two'] } } }),
  series: { energy: { label: 'energy', unit: 'J' }, norm: { label: 'norm of the gradient' } },
  plots: [{ type: 'line', series: ['energy', 'norm'], title: 'Energy & gradient' }, { type: 'bar', series: ['energy'], title: 'At the end' }, { type: 'heat', picture: 'w', title: 'Places' }, { type: 'scatter', picture: 'dots', title: 'Dots' }],
  headline: ([soft]) => ({ label: 'energy', value: soft.last.energy }),
  verdict: ([soft]) => [below('soft', soft.last.energy, 0.5)],
});`;
const ROUTES = {
  '/favicon.ico': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(204).end(),
  '/blank': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><html lang="en"><title>A lab</title><main><h1>A lab</h1></main></html>'),
  '/noise.js': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(source('/web/lab/index.js')),
  '/wide.js': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(transformerLab('/web/lab/index.js', '/web/net.js')),
};

/** Runs in the page. @param {{isolated?: boolean}} _ */
async function train(_) {
  const { LabClient, drawPlots, PLOT_CSS, Rng } = await import('/web/lab/index.js');
  const lab = await LabClient.open('noise.js', { seed: 6, variant: 'simd' });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(PLOT_CSS);
  document.adoptedStyleSheets = [sheet];
  const main = document.createElement('div');
  document.querySelector('main').append(main);
  const draw = () => { main.innerHTML = drawPlots(lab.about, lab.results, { style: false }).map(({ svg }) => svg).join(''); };
  let batches = 0, pictures = 0, ticks = 0;
  lab.on('metrics', () => { batches++; draw(); });
  lab.on('picture', () => pictures++);
  await lab.step(10);
  const bytes = await lab.checkpoint();
  const timer = setInterval(() => ticks++, 0);
  const { verdict } = await lab.start();
  clearInterval(timer);
  const { json, plots } = await lab.export();
  await lab.terminate();
  const again = await LabClient.open(new URL('noise.js', location.href), { checkpoint: bytes, variant: 'simd' });
  await again.start();
  const resumed = (await again.export()).json;
  await again.terminate();
  const parsed = plots.map(({ svg }) => new DOMParser().parseFromString(svg.replace(/<style>.*<\/style>/, ''), 'image/svg+xml')).map((document) => (document.querySelector('parsererror') ? 'broken' : document.documentElement.nodeName));
  const fill = getComputedStyle(main.querySelector('.mp-f1')).fill;
  const missing = await LabClient.open('absent.js').catch((error) => [error.name, error.code]);
  const fails = await LabClient.open('noise.js', { worker: '/absent-worker.js' }).catch((error) => [error.name, error.code]);
  return { verdict, json, same: resumed === json, words: [...new Rng(6, 'x').permutation(20)], batches, pictures, ticks, parsed, fill, missing, fails, drawn: main.querySelectorAll('svg').length };
}

/** Runs in the page: the same training with one thread and two; what it left behind. @param {{isolated?: boolean}} _ */
async function together(_) {
  const { LabClient } = await import('/web/lab/index.js'), { Params } = await import('/web/net.js');
  const ended = [];
  for (const options of [{ threads: 1 }, { threads: 2 }, { threads: 2, worker: '/web/lab/worker.js' }]) {
    const lab = await LabClient.open('wide.js', { seed: 2, ...options });
    await lab.start();
    ended.push({ threads: lab.threads, bytes: await lab.checkpoint() });
    await lab.terminate();
  }
  const params = await Params.create({ threads: 2 }), own = params.threads; // the page's own thread must not wait
  await params.close();
  return { own, threads: ended.map((e) => e.threads), lengths: ended.map((e) => e.bytes.length), same: ended.map((e) => e.bytes.every((byte, i) => byte === ended[0].bytes[i])) };
}

const files = scratch();
const here = (async () => {
  const run = await LabRun.create(await findLab(pathToFileURL(files.write('noise.mjs', source(new URL('../../web/lab/index.js', import.meta.url).href)))), { seed: 6, variant: 'simd' });
  await run.play();
  return { json: run.export().json, verdict: run.verdict() };
})();

/** What browsers' own logarithms and cosines may round otherwise. */
function close(got, want, at = '') {
  if (typeof want === 'number' && typeof got === 'number') assert.ok(Math.abs(got - want) <= 1e-5 * Math.max(1, Math.abs(want)), `${at}: ${got}, in Node ${want}`);
  else if (want && typeof want === 'object') {
    assert.deepEqual(Object.keys(got), Object.keys(want), at);
    for (const key of Object.keys(want)) close(got[key], want[key], `${at}.${key}`);
  } else assert.equal(got, want, at);
}

const BROWSERS = {
  Chromium: { there: CHROMIUM, async open() { const browser = await chromium(); return { browser, close: () => browser.close() }; } },
  Firefox: { there: FIREFOX, open: firefox },
};
for (const [name, { there, open }] of Object.entries(BROWSERS))
  describe(`a lab in ${name}`, { skip: there ? false : `no ${name} here` }, () => {
    /** @type {any} */ let opened;
    before(async () => { opened = await open(); });
    after(() => opened?.close());
    for (const isolated of [true, false])
      test(isolated ? 'isolated from other origins' : 'on an ordinary page', async () => {
        const server = await serve({ isolated, routes: ROUTES });
        const page = await patient(await opened.browser.newPage());
        /** @type {string[]} */ const errors = [];
        page.on('console', (/** @type {any} */ m) => m.type() === 'error' && !/absent/.test(`${m.text()} ${m.location()?.url}`) && errors.push(m.text()));
        page.on('pageerror', (/** @type {Error} */ e) => !/absent/.test(String(e)) && errors.push(String(e)));
        try {
          await page.goto(server.url('blank'));
          const got = await page.evaluate(train, {}), want = await here;
          close(JSON.parse(got.json), JSON.parse(want.json));
          if (name === 'Chromium') assert.equal(got.verdict.pass, want.verdict.pass);
          assert.equal(got.same, true, 'continued from a checkpoint: the same, bit for bit');
          assert.ok(got.batches >= 2 && got.pictures >= 4 && got.ticks > 0, JSON.stringify(got));
          assert.deepEqual([got.drawn, new Set(got.parsed)], [6, new Set(['svg'])]);
          assert.match(got.fill, /^rgb\(196, 112, 12\)$|^rgb\(237, 169, 75\)$/, 'the sheet colours what is in the document');
          assert.deepEqual([got.missing, got.fails], [['MicrotomeError', 'EIO'], ['MicrotomeError', 'EWORKER']]);
          const { own, threads, lengths, same } = await page.evaluate(together, {});
          assert.deepEqual([own, threads, same], [1, isolated ? [1, 2, 2] : [1, 1, 1], [true, true, true]], 'threads change no bit');
          assert.ok(lengths[0] > 1e5 && lengths.every((n) => n === lengths[0]), String(lengths));
          await axe(page, 'plots');
          assert.deepEqual(errors, [], 'console errors');
        } finally {
          await page.close();
          await server.close();
        }
      });
  });
