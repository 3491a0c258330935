// <mt-chart> and <mt-export>: each kind of plot with its table and its files, under the policy of the pages; the list of elements in docs/elements.md.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { numbersOf } from '../../web/elements/numbers.js';
import { axe, CHROMIUM, chromium, eventually, ROOT, saved, serve, until, visit } from './support.mjs';

/** @type {import('../../web/elements/numbers.js').ChartPlot[]} */
const PLOTS = [
  { type: 'line', title: 'Lines <b>', x: 'token', y: 'bits', lines: [{ name: 'a', points: [[0, 2], [1, 0.25]] }, { name: 'b, "c"', points: [[1, 1], [2, NaN]] }] },
  { type: 'bar', title: 'Bars', x: 'language', bars: ['de', 'fi'], series: [{ name: 'tokens', values: [1.5, 2] }, { name: 'bytes', values: Float32Array.of(1, -1) }] },
  { type: 'scatter', title: 'Points', x: 'norm', y: 'share', xs: [1, 2, 3], ys: [3, 2, 1], labels: ['p', 'q', 'r'], groups: [0, 1, 0], groupNames: ['left', 'right'] },
  { type: 'heat', title: 'Shades', rows: 2, cols: 2, values: [0, 1, -1, 0.5], labels: { rows: ['x', 'y'], cols: ['u', 'v'] } },
];
const PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>chart</title><link rel="icon" href="/demos/icon.svg"><link rel="stylesheet" href="/demos/style.css"><script type="module" src="/web/elements/chart.js"></script><body><main><h1>Charts</h1><mt-chart id="chart"></mt-chart></main>';

test('the numbers of plots', () => {
  const [lines, bars, points, shades] = PLOTS.map(numbersOf);
  assert.deepEqual(lines, { head: ['token', 'a', 'b, "c"'], rows: [[0, 2, NaN], [1, 0.25, 1], [2, NaN, NaN]] });
  assert.deepEqual(bars, { head: ['language', 'tokens', 'bytes'], rows: [['de', 1.5, 1], ['fi', 2, -1]] });
  assert.deepEqual(points, { head: ['point', 'norm', 'share', 'group'], rows: [['p', 1, 3, 'left'], ['q', 2, 2, 'right'], ['r', 3, 1, 'left']] });
  assert.deepEqual(shades, { head: ['', 'u', 'v'], rows: [['x', 0, 1], ['y', -1, 0.5]] });
});

test('docs/elements.md has every element, and no other', () => {
  const listed = [...readFileSync(`${ROOT}docs/elements.md`, 'utf8').matchAll(/^\| `mt-([a-z-]+)` \(\[source\]\(\.\.\/web\/elements\/([a-z-]+)\.js\)\)/gm)].map(([, tag, file]) => [tag, file]);
  const defined = readdirSync(`${ROOT}web/elements`).flatMap((file) => [...readFileSync(`${ROOT}web/elements/${file}`, 'utf8').matchAll(/customElements\.define\('mt-([a-z-]+)'/g)].map(([, tag]) => [tag, file.replace('.js', '')]));
  assert.deepEqual(listed.sort(), defined.sort());
});

describe('mt-chart in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server;
  before(async () => {
    browser = await chromium();
    server = await serve({ routes: { '/chart.html': (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE) } });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('draws, tells, saves; an empty one has no buttons', () => visit(browser, server.url('chart.html'), async (page) => {
    await until(page, () => customElements.get('mt-chart'));
    assert.equal(await page.locator('mt-export button:visible').count(), 0);
    for (const plot of PLOTS) {
      await page.evaluate((given) => { /** @type {any} */ (document.getElementById('chart')).plot = given; }, { ...plot, ...('series' in plot && { series: plot.series?.map(({ name, values }) => ({ name, values: Array.from(values) })) }) });
      assert.equal(await page.locator('#chart svg title').textContent(), plot.title);
      if (!(await page.locator('#chart details').evaluate((el) => /** @type {HTMLDetailsElement} */ (el).open))) await page.locator('#chart summary').click();
      assert.equal(await page.locator('#chart [role=region]').getAttribute('aria-label'), `Table: ${plot.title}`);
      await eventually(() => page.locator('#chart tbody tr').count(), numbersOf(plot).rows.length);
      /** @type {Record<string, Buffer>} */ const files = {};
      for (const format of ['SVG', 'PNG', 'CSV', 'JSON']) {
        const file = await saved(page, () => page.locator('#chart mt-export button', { hasText: format }).click());
        assert.match(file.name, new RegExp(`^[a-z-]+\\.${format.toLowerCase()}$`));
        files[format] = file.bytes;
      }
      assert.match(files.SVG.toString(), /^<svg [^]*<style>[^]*<\/svg>\s*$/);
      assert.deepEqual([...files.PNG.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
      assert.ok(files.PNG.readUInt32BE(16) === 1280, 'twice the size of the picture');
      assert.equal(files.CSV.toString().split('\r\n').length, numbersOf(plot).rows.length + 2);
      assert.equal(JSON.parse(files.JSON.toString()).title, plot.title);
      await axe(page, plot.type);
    }
    assert.match(await page.evaluate(() => /** @type {any} */ (document.getElementById('chart')).csv()), /^,u,v\r\nx,0,1\r\n/);
    await page.evaluate(() => { /** @type {any} */ (document.getElementById('chart')).shadowRoot.querySelector('mt-export').formats = { PNG: () => { throw new Error('no picture'); } }; });
    await page.locator('#chart mt-export button').click();
    await eventually(() => page.locator('#chart mt-export [role=alert]').textContent(), /PNG could not be saved: no picture/);
  }));
});
