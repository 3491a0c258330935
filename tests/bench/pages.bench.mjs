// How long each page of the site holds its main thread at a time, in Chromium: while it opens (the five seconds from its first answer, the bundled model among them) and
// while it is used and a model, a tokenizer or a lab runs. The longest task of each of three runs: wall time, and in brackets the time that the thread computed, which other work
// on the machine does not lengthen. Chromium's own tracing counts; it costs the page some percent.
//   node tests/bench/pages.bench.mjs [page] [--tasks]     one page; --tasks tells what the longest tasks did
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CHROMIUM, chromium, patient, serve, until } from '../browser/support.mjs';

/** @typedef {import('playwright-core').Page} Page */
const TEXT = 'The old house by the river had been empty for years, and nobody could say why.';
/** What is done on a page. @type {Record<string, { hash?: string, use: (page: Page) => Promise<unknown> }>} */
const PAGES = {
  '': { use: (page) => page.evaluate(() => scrollTo({ top: document.body.scrollHeight, behavior: 'smooth' })) },
  bytes: { use: async (page) => {
    await page.locator('#text').fill('');
    await page.locator('#text').pressSequentially(TEXT, { delay: 40 });
    await until(page, (text) => document.getElementById('answer')?.dataset.for === text, TEXT);
    for (const of of ['covers', 'along', 'healing', 'cuts', 'both']) await page.locator(`#${of}`).scrollIntoViewIfNeeded();
  } },
  tokenizers: { use: async (page) => {
    await page.locator('#text').pressSequentially(TEXT, { delay: 40 });
    await page.locator('#load-declaration').click();
    await until(page, () => document.querySelectorAll('#languages tr').length > 500 && !document.getElementById('languages-all')?.hasAttribute('aria-busy'));
    await page.locator('#language-by').selectOption('density');
  } },
  train: { use: async (page) => {
    await page.locator('#go').click();
    await until(page, () => document.querySelectorAll('.panel').length > 0 && !document.querySelector('[aria-busy=true]'));
  } },
  bias: { use: async (page) => {
    for (const tab of ['typos', 'formats', 'numbers', 'rare']) {
      await page.locator(`#tab-${tab}`).click();
      await page.waitForTimeout(2500);
    }
  } },
  generate: { use: async (page) => {
    await page.locator('#count').fill('60');
    await page.locator('mt-run-control').getByRole('button').first().click();
  } },
  inside: { use: async (page) => {
    await page.locator('#text').fill('');
    await page.locator('#text').pressSequentially(TEXT, { delay: 40 });
    await page.waitForTimeout(3000);
    await page.locator('#parts-bars [role=option]').first().click();
  } },
  labs: { hash: '#lab=bico-reversal-curse&k.steps=300&k.every=10', use: async (page) => {
    await page.locator('#play').click();
    await until(page, () => document.getElementById('lab')?.dataset.phase === 'done');
  } },
  atlas: { hash: '#system=23', use: (page) => page.locator('.target .go button').click() },
  tour: { use: async (page) => {
    for (let i = 0; i < 5; i++) await page.locator('#next').click();
  } },
};

const [only, tasks] = [process.argv.slice(2).find((word) => !word.startsWith('--')), process.argv.includes('--tasks')];

/** The longest tasks of the page's own thread in a recording, longest first, with what each did. @param {string} file */
function longest(file) {
  /** @type {any[]} */ const events = JSON.parse(readFileSync(file, 'utf8')).traceEvents;
  const threads = new Set(events.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid}.${tid}`));
  const mine = events.filter(({ ph, pid, tid }) => ph === 'X' && threads.has(`${pid}.${tid}`));
  return mine.filter(({ name }) => name === 'ThreadControllerImpl::RunTask' || name === 'RunTask').map((task) => ({
    wall: task.dur / 1000, cpu: (task.tdur ?? 0) / 1000,
    parts: () => mine.filter((e) => e !== task && e.tid === task.tid && e.pid === task.pid && e.ts >= task.ts && e.ts + e.dur <= task.ts + task.dur && e.dur > 4000)
      .map((e) => `${e.name} ${(e.dur / 1000).toFixed(0)} ${e.args?.data?.functionName ?? ''} ${(e.args?.data?.url ?? '').split('/').slice(-2).join('/')}`),
  })).sort((a, b) => b.wall - a.wall);
}

if (!CHROMIUM) {
  console.log('left out: no Chromium here');
} else {
  const folder = mkdtempSync(path.join(tmpdir(), 'microtome-pages-')), server = await serve({ isolated: true }), browser = await chromium();
  console.log('milliseconds, wall (computing), three runs\n\n| page | opens | is used |\n| --- | --- | --- |');
  for (const [name, { hash = '', use }] of Object.entries(PAGES)) {
    if (only !== undefined && only !== name) continue;
    /** @type {string[][]} */ const said = [[], []];
    for (let run = 0; run < 3; run++) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 } }), page = await patient(await context.newPage());
      for (const [i, act] of [() => page.goto(server.url(`demos/${name && `${name}/`}${hash}`)), () => use(page)].entries()) {
        const file = path.join(folder, 'trace.json');
        await browser.startTracing(page, { path: file, categories: ['devtools.timeline', 'toplevel'] });
        await act();
        await page.waitForTimeout(5000);
        await browser.stopTracing();
        const found = longest(file), [{ wall, cpu }] = found;
        said[i].push(`${wall.toFixed(0)} (${cpu.toFixed(0)})`);
        if (tasks) for (const task of found.slice(0, 4)) console.log(i ? 'used' : 'opened', task.wall.toFixed(0), `(${task.cpu.toFixed(0)})`, task.parts().slice(0, 8));
      }
      await context.close();
    }
    console.log(`| ${name || 'start'} | ${said.map((runs) => runs.join(', ')).join(' | ')} |`);
  }
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true });
}
