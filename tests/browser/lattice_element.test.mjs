/**
 * <mt-lattice> on a page of its own: counts and best paths against trying every path, the picture, the keyboard, the table.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { axe, CHROMIUM, chromium, serve, until, visit } from './support.mjs';

const PAGE = `<!doctype html><html lang="en"><title>Lattice</title><main><h1>Lattice</h1><mt-lattice></mt-lattice></main><script type="module" src="/web/elements/lattice.js"></script></html>`;

/** Runs in the page: edges of a random lattice over n bytes; integral weights, so that sums are exact. */
const random = (n, seed) => {
  let state = seed;
  const next = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
  const edges = [];
  for (let from = 0; from < n; from++)
    for (let to = from + 1; to <= Math.min(n, from + 4); to++) if (next() < 0.6) edges.push({ from, to, label: `${from}-${to}`, weight: -Math.floor(20 * next()), id: edges.length });
  return edges;
};

/** Every path, one after the other. */
function everyPath(n, edges) {
  const paths = [];
  const walk = (at, path) => {
    if (at === n) return void paths.push(path);
    edges.forEach((e, i) => { if (e.from === at) walk(e.to, [...path, i]); });
  };
  walk(0, []);
  return paths;
}

describe('mt-lattice', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let server, browser;
  before(async () => {
    server = await serve({ routes: { '/lattice.html': (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE) } });
    browser = await chromium();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check) => visit(browser, server.url('lattice.html'), check, { ready: (page) => until(page, () => customElements.get('mt-lattice')), context: { viewport: { width: 900, height: 700 } }, allow: [/favicon/] });

  test('counts and best paths are those of trying all', () => onPage(async (page) => {
    for (let seed = 1; seed <= 40; seed++) {
      const n = 1 + (seed % 9), edges = random(n, seed), paths = everyPath(n, edges);
      const found = await page.evaluate(async ({ n, edges }) => {
        const { countPaths, bestThrough, layoutEdges } = await import('/web/elements/lattice.js');
        const { total, through } = countPaths(n, edges);
        return { total: String(total), through: through.map(String), best: edges.map((_, i) => bestThrough(n, edges, i)), rows: layoutEdges(edges).rows };
      }, { n, edges });
      assert.equal(found.total, String(paths.length));
      const score = (path) => path.reduce((sum, i) => sum + edges[i].weight, 0);
      edges.forEach((e, i) => {
        const mine = paths.filter((path) => path.includes(i));
        assert.equal(found.through[i], String(mine.length));
        if (!mine.length) return assert.equal(found.best[i], null);
        assert.equal(found.best[i].score, Math.max(...mine.map(score)));
        assert.ok(mine.some((path) => JSON.stringify(path) === JSON.stringify(found.best[i].path)));
        edges.forEach((o, k) => assert.ok(k === i || found.rows[k] !== found.rows[i] || o.to <= e.from || e.to <= o.from, 'bricks do not overlap'));
      });
    }
  }));

  test('draws, tells, walks by keyboard, lists', () => onPage(async (page) => {
    await page.evaluate(() => {
      globalThis.heard = [];
      const lattice = document.querySelector('mt-lattice');
      lattice.addEventListener('mt-edge', (e) => globalThis.heard.push(e.detail.index));
      lattice.data = { text: 'aé b', edges: [
        { from: 0, to: 1, label: 'a', id: 1, weight: -1, best: true }, { from: 1, to: 2, label: 'C3', id: 2, weight: -5 }, { from: 2, to: 3, label: 'A9', id: 3, weight: -5 },
        { from: 1, to: 3, label: 'é', id: 4, weight: -2, best: true }, { from: 0, to: 3, label: 'aé', id: 5, weight: -4 }, { from: 3, to: 5, label: ' b', id: 6, weight: -1, best: true },
      ] };
    });
    assert.equal(await page.evaluate(() => String(document.querySelector('mt-lattice').count)), '3');
    const detail = () => page.evaluate(() => document.querySelector('mt-lattice').shadowRoot.querySelector('.detail').textContent);
    assert.match(await detail(), /^3 segmentations from 6 tokens/);
    await page.keyboard.press('Tab'); // the first stop is the chosen one's beginning
    const focused = () => page.evaluate(() => document.querySelector('mt-lattice').shadowRoot.activeElement?.getAttribute('aria-label'));
    if (!(await focused())?.startsWith('a,')) await page.keyboard.press('Tab');
    assert.match(await focused(), /^a, bytes 0 to 1, id 1, weight −1, chosen$/);
    await page.keyboard.press('ArrowRight');
    assert.match(await focused(), /^é, /);
    await page.keyboard.press('ArrowDown');
    assert.match(await focused(), /^C3, bytes 1 to 2/);
    assert.match(await detail(), /in 1 of 3 segmentations. The best of them: a \| C3 \| A9 \|  b, −12/);
    await page.keyboard.press('End');
    assert.match(await focused(), /^space b, /);
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowUp');
    assert.match(await focused(), /^aé, /);
    assert.deepEqual(await page.evaluate(() => globalThis.heard.filter((i) => i >= 0)), [0, 3, 1, 5, 0, 4]);
    const { rows, svg } = await page.evaluate(async () => {
      const lattice = document.querySelector('mt-lattice'), root = lattice.shadowRoot;
      root.querySelector('details').open = true;
      while (!root.querySelector('tbody tr')) await new Promise((r) => setTimeout(r, 10));
      return { rows: [...root.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent)), svg: lattice.svg() };
    });
    assert.deepEqual(rows[4], ['aé', '5', '0', '3', '−4', '1']);
    assert.match(svg, /^<svg [^]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"[^]*aé[^]*<\/svg>\n$/);
    assert.doesNotMatch(svg, /var\(|light-dark/);
    await axe(page, 'a wall of tokens');
    await page.evaluate(() => { document.querySelector('mt-lattice').data = null; });
    assert.equal(await detail(), '');
    assert.match(await page.evaluate(() => { try { document.querySelector('mt-lattice').data = { text: 'a', edges: [{ from: 0, to: 2, label: 'x' }] }; } catch (e) { return String(e); } }), /edge 0 goes from 0 to 2, the text has 1 bytes/);
  }));
});
