// The elements mt-attention, mt-lens-table, mt-logit-bars and mt-run-control, each alone on a page: what they read out, how the keyboard walks, what they refuse.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { moveInGrid, spokenText, visibleText } from '../../web/elements/grid.js';
import { axe, axeInThemes, CHROMIUM, chromium, eventually, FIREFOX, serve, until, visit, visitInFirefox } from './support.mjs';

const NAMES = ['attention', 'lens-table', 'logit-bars', 'run-control'];
const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Elements</title>
<link rel="icon" href="/demos/icon.svg"><link rel="stylesheet" href="/demos/style.css">${NAMES.map((name) => `<script type="module" src="/web/elements/${name}.js"></script>`).join('')}</head>
<body><main class="page"><h1>Elements</h1><h2>Four of them</h2>${NAMES.map((name) => `<mt-${name}></mt-${name}>`).join('<p>-</p>')}</main></body></html>`;
const ROUTES = { '/elements.html': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE) };

test('keys walk over a grid, and stop at its edges', () => {
  const go = (key, at, more = {}) => moveInGrid({ key, ctrlKey: false, metaKey: false, altKey: false, ...more }, at, 5, 7);
  assert.deepEqual(go('ArrowDown', { row: 1, col: 2 }), { row: 2, col: 2 });
  assert.deepEqual([go('ArrowUp', { row: 0, col: 2 }), go('ArrowLeft', { row: 1, col: 0 }), go('ArrowRight', { row: 1, col: 6 }), go('PageDown', { row: 1, col: 3 })], [{ row: 0, col: 2 }, { row: 1, col: 0 }, { row: 1, col: 6 }, { row: 4, col: 3 }]);
  assert.deepEqual([go('Home', { row: 2, col: 3 }), go('End', { row: 2, col: 3 }), go('Home', { row: 2, col: 3 }, { ctrlKey: true }), go('End', { row: 2, col: 3 }, { ctrlKey: true })], [{ row: 2, col: 0 }, { row: 2, col: 6 }, { row: 0, col: 0 }, { row: 4, col: 6 }]);
  assert.deepEqual([go('a', { row: 0, col: 0 }), go('ArrowUp', { row: 1, col: 0 }, { ctrlKey: true }), go('ArrowUp', { row: 1, col: 0 }, { altKey: true })], [null, null, null]);
});

test('tokens as text: nothing is invisible, and all can be said', () => {
  assert.deepEqual([visibleText(' a\n'), visibleText(''), visibleText('\u0301x'), visibleText('\u0007'), visibleText('abcdef', 4), visibleText('日本語', 3)], ['·a⏎', '∅', '◌\u0301x', '�', 'abc…', '日本語']);
  assert.deepEqual([spokenText(' a'), spokenText('  a'), spokenText(' '), spokenText(''), spokenText('a\n')], ['space a', '2 spaces a', 'space', 'empty', 'a newline']);
});

/** In the page: attention of [heads, rows, tokens], each row a distribution over the tokens up to its own. */
function fillAttention({ T, heads, queries = T }) {
  const tokens = Array.from({ length: T }, (_, i) => [' the', 'cat', '\n', ' <b>', 'שלום'][i % 5]);
  const pattern = new Float32Array(heads * queries * T);
  for (let k = 0; k < heads; k++)
    for (let i = 0; i < queries; i++) {
      let sum = 0;
      const row = pattern.subarray((k * queries + i) * T, (k * queries + i + 1) * T);
      for (let j = 0; j <= i + T - queries; j++) sum += row[j] = 1 / (1 + ((i * 7 + j * 3 + k) % 11));
      for (let j = 0; j < T; j++) row[j] /= sum;
    }
  const el = document.querySelector('mt-attention');
  el.data = { tokens, pattern, heads, ...(queries === T ? {} : { queries }) };
  globalThis.pattern = pattern;
}

/** In the page: the other three. */
function fillOthers() {
  const rows = Array.from({ length: 6 }, (_, i) => `layer ${i}`), columns = ['Once', ' upon', ' a'];
  document.querySelector('mt-lens-table').data = { rows, columns, cells: rows.flatMap((_, r) => columns.map((_, c) => ({ text: c ? ` t${r}` : '<i>', value: (r + c) / 8, top: [[` t${r}`, (r + c) / 8], ['\n', 0.01]] }))) };
  document.querySelector('mt-logit-bars').data = { title: 'Logit of “ time”', unit: 'logits', total: 3.25, parts: [{ name: 'embedding', value: -0.75 }, { name: 'head <0>', value: 5 }, { name: 'bias', value: 0 }, { name: 'mlp', value: -1 }] };
  Object.assign(document.querySelector('mt-run-control'), { max: 10, value: 4, text: '4 of 10' });
}

describe('elements of cells and bars in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server;
  before(async () => {
    browser = await chromium();
    server = await serve({ routes: ROUTES });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check, context = {}) =>
    visit(browser, server.url('elements.html'), check, {
      ready: (page) => until(page, (names) => names.every((name) => customElements.get(`mt-${name}`)), NAMES),
      context: { viewport: { width: 1000, height: 900 }, ...context },
    });
  /** What has the focus, through shadow roots. */
  const focused = (page) => page.evaluate(() => {
    let at = document.activeElement;
    while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    return at?.getAttribute('aria-label') ?? at?.textContent;
  });
  const drawn = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

  test('attention: cells are walked, read out, chosen; the numbers are those of the pattern', () =>
    onPage(async (page) => {
      await page.evaluate(fillAttention, { T: 8, heads: 3 });
      await page.evaluate(() => { globalThis.heard = []; const el = document.querySelector('mt-attention'); for (const name of ['mt-cell', 'mt-head', 'mt-view']) el.addEventListener(name, (e) => globalThis.heard.push([name, e.detail])); });
      await page.locator('mt-attention [role=gridcell]').focus();
      for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight', 'Control+End']) await page.keyboard.press(key);
      const last = await page.evaluate(() => [0, 1, 2].reduce((sum, k) => sum + globalThis.pattern[k * 64 + 63], 0) / 3);
      assert.equal(await focused(page), `newline, 7, looks at newline, 7: ${(100 * last).toFixed(last >= 0.0995 ? 1 : 2)}%, mean of 3 heads`);
      assert.deepEqual(await page.evaluate(() => globalThis.heard), [['mt-cell', { head: 'mean', row: 1, col: 0 }], ['mt-cell', { head: 'mean', row: 2, col: 0 }], ['mt-cell', { head: 'mean', row: 2, col: 1 }], ['mt-cell', { head: 'mean', row: 7, col: 7 }]]);
      const grid = page.locator('mt-attention [role=grid]');
      assert.deepEqual([await grid.getAttribute('aria-rowcount'), await grid.getAttribute('aria-colcount'), await page.locator('mt-attention [role=row]').getAttribute('aria-rowindex'), await page.locator('mt-attention [role=gridcell]').getAttribute('aria-colindex')], ['8', '8', '8', '8']);
      // A click on the canvas: the cell under it.
      const { left, top, width } = await page.locator('mt-attention [role=gridcell]').evaluate((cell) => cell.getBoundingClientRect());
      await page.mouse.click(left + width / 2, top - width * 2 + width / 2); // two rows up
      assert.deepEqual(await page.evaluate(() => document.querySelector('mt-attention').selected), { row: 5, col: 7 });
      assert.match(await page.locator('mt-attention .readout').textContent(), /^·the \(5\) looks at ⏎ \(7\): 0, mean of 3 heads\. Most at /);
      // Heads, by their pictures; the row as a table.
      await page.locator('mt-attention input[value="2"]').check();
      await page.locator('mt-attention summary').click();
      const want = await page.evaluate(() => [...globalThis.pattern.subarray(2 * 64 + 5 * 8, 2 * 64 + 6 * 8)]);
      await eventually(() => page.locator('mt-attention tbody tr').evaluateAll((rows) => rows.map((tr) => tr.cells[4].textContent)), want.map((p) => (p === 0 ? '0' : `${(100 * p).toFixed(p >= 0.0995 ? 1 : 2)}%`)));
      await page.locator('mt-attention input[value=arcs]').check();
      await page.locator('mt-attention [role=gridcell]').focus();
      await page.keyboard.press('Home');
      assert.match(await focused(page), /^space the, 5, looks at space the, 0: .*, head 2$/);
      assert.deepEqual(await page.evaluate(() => globalThis.heard.slice(-3)), [['mt-head', { head: 2 }], ['mt-view', { view: 'arcs' }], ['mt-cell', { head: 2, row: 5, col: 0 }]]);
      await drawn(page);
    }));

  test('attention: the picture is the pattern, rows of the last tokens and other rows, 256 tokens scroll under fixed labels', () =>
    onPage(async (page) => {
      await page.evaluate(() => {
        const pattern = new Float32Array(16);
        pattern[4 * 3 + 2] = 1; // row 3 looks at token 2
        document.querySelector('mt-attention').data = { tokens: ['a', 'b', 'c', 'd'], pattern, heads: 1 };
        document.querySelector('mt-attention').selected = { row: 3, col: 2 };
        document.querySelector('mt-attention').selected = null;
      });
      await drawn(page);
      const dark = await page.evaluate(() => {
        const root = document.querySelector('mt-attention').shadowRoot, canvas = root.querySelector('.space canvas'), cell = root.querySelector('[role=gridcell]').getBoundingClientRect(), box = canvas.getBoundingClientRect(), d = canvas.width / box.width;
        const at = (row, col) => [...canvas.getContext('2d').getImageData(d * (cell.x + cell.width / 2 + (col - 2) * cell.width - box.x), d * (cell.y + cell.height / 2 + (row - 3) * cell.height - box.y), 1, 1).data];
        return [at(3, 2), at(3, 1), at(2, 2)];
      });
      assert.deepEqual(dark, [[34, 104, 178, 255], [34, 104, 178, 0], [34, 104, 178, 0]].map((rgba) => (rgba[3] ? rgba : [0, 0, 0, 0])));
      await page.evaluate(fillAttention, { T: 256, heads: 8 });
      await page.locator('mt-attention [role=gridcell]').focus();
      await page.keyboard.press('Control+End');
      await drawn(page);
      const seen = await page.evaluate(() => {
        const root = document.querySelector('mt-attention').shadowRoot, scroll = root.querySelector('.scroll'), box = scroll.getBoundingClientRect(), cell = root.querySelector('[role=gridcell]').getBoundingClientRect(), canvas = root.querySelector('.space canvas').getBoundingClientRect();
        return { x: cell.x + cell.width / 2 - box.x, y: cell.y + cell.height / 2 - box.y, w: scroll.clientWidth, h: scroll.clientHeight, moved: scroll.scrollTop > 0 && scroll.scrollLeft > 0, canvas: [canvas.x - box.x, canvas.y - box.y] };
      });
      assert.ok(seen.moved && seen.x > 0 && seen.x < seen.w && seen.y > 0 && seen.y < seen.h, JSON.stringify(seen));
      assert.deepEqual(seen.canvas.map(Math.round), [0, 0], 'the canvas stays in view');
      // Thousands of curves come in slices, and all of them come: here the last rows, below the view at first.
      await page.evaluate(fillAttention, { T: 96, heads: 1 });
      await page.evaluate(() => {
        const el = document.querySelector('mt-attention'), scroll = el.shadowRoot.querySelector('.scroll');
        el.view = 'arcs';
        scroll.scrollTop = scroll.scrollHeight;
      });
      await page.waitForFunction(() => {
        const root = document.querySelector('mt-attention').shadowRoot, canvas = root.querySelector('.space canvas'), scroll = root.querySelector('.scroll'), d = canvas.width / canvas.getBoundingClientRect().width;
        const near = (row) => Math.max(...canvas.getContext('2d').getImageData(d * 120, d * ((row + 0.5) * 24 - scroll.scrollTop - 4), 1, d * 8).data.filter((_, i) => i % 4 === 3));
        return [95, 94, 93, 85].every((row) => near(row) > 0);
      });
      await page.evaluate(() => { document.querySelector('mt-attention').view = 'matrix'; });
      await page.evaluate(fillAttention, { T: 64, heads: 8, queries: 16 });
      assert.equal(await page.locator('mt-attention [role=grid]').getAttribute('aria-rowcount'), '16');
      await page.evaluate(() => { document.querySelector('mt-attention').data = { tokens: ['le', ' chat'], rows: ['the', ' cat', ' sat'], pattern: new Float32Array(6).fill(0.5), heads: 1 }; });
      await page.locator('mt-attention [role=gridcell]').focus();
      await page.keyboard.press('Control+End');
      assert.equal(await focused(page), 'space sat, 2, looks at space chat, 1: 50.0%, head 0');
      await page.evaluate(() => { document.querySelector('mt-attention').data = null; });
      assert.equal(await page.locator('mt-attention .empty').isVisible(), true);
    }));

  test('lens table: a table that is walked; a cell tells its text, number and what came next to it', () =>
    onPage(async (page) => {
      await page.evaluate(fillOthers);
      await page.evaluate(() => { globalThis.heard = []; document.querySelector('mt-lens-table').addEventListener('mt-cell', (e) => globalThis.heard.push(e.detail)); });
      assert.deepEqual(await page.locator('mt-lens-table table').evaluate((table) => [table.rows.length, table.rows[1].cells[1].textContent, table.querySelectorAll('i').length, [...table.querySelectorAll('[tabindex="0"]')].length]), [7, '<i>', 0, 1]);
      await page.locator('mt-lens-table td[tabindex="0"]').focus();
      for (const key of ['ArrowRight', 'ArrowDown', 'PageDown']) await page.keyboard.press(key);
      assert.equal(await focused(page), 'space t5, probability 75.0%; layer 5, 1: space upon');
      await page.locator('mt-lens-table tbody tr').nth(2).locator('td').nth(2).click();
      assert.deepEqual(await page.evaluate(() => [globalThis.heard, document.querySelector('mt-lens-table').selected]), [[{ row: 0, column: 1 }, { row: 1, column: 1 }, { row: 5, column: 1 }, { row: 2, column: 2 }], { row: 2, column: 2 }]);
      assert.match(await page.locator('mt-lens-table .detail').textContent(), /^layer 2, column 2 ·a: ·t2 probability 50\.0%·t2 50\.0%⏎ 1\.00%$/);
      assert.equal(await page.locator('mt-lens-table td[aria-selected=true]').count(), 1);
      await page.mouse.move(0, 0);
      // Thousands of cells come in slices; a cell that is asked for is there at once.
      const [first, asked] = await page.evaluate(() => {
        const el = document.querySelector('mt-lens-table'), count = () => el.shadowRoot.querySelectorAll('td').length;
        el.data = { rows: Array.from({ length: 25 }, (_, i) => `layer ${i}`), columns: Array.from({ length: 256 }, (_, i) => `t${i}`), cells: Array.from({ length: 6400 }, (_, i) => ({ text: String(i), value: i / 6400 })) };
        const first = count();
        el.selected = { row: 11, column: 255 };
        return [first, count()];
      });
      assert.deepEqual([first, asked], [768, 12 * 256]);
      const inside = await page.evaluate(async () => {
        const el = document.querySelector('mt-lens-table'), box = el.shadowRoot.querySelector('.scroll').getBoundingClientRect();
        const sees = async (row, column) => {
          el.selected = { row, column };
          for (let frames = 0; frames < 2; frames++) await new Promise((done) => requestAnimationFrame(done));
          const cell = el.shadowRoot.querySelector('td[aria-selected=true]'), { left, right, top, bottom } = cell.getBoundingClientRect(), name = cell.parentElement.firstElementChild.getBoundingClientRect();
          return left >= name.right - 1 && right <= box.right + 1 && top >= box.top - 1 && bottom <= box.bottom + 1;
        };
        return [await sees(11, 255), await sees(0, 0), await sees(5, 128)];
      });
      assert.deepEqual(inside, [true, true, true], 'a cell that is set is in view');
      await page.evaluate(() => { document.querySelector('mt-lens-table').selected = { row: 11, column: 255 }; });
      assert.match(await page.locator('mt-lens-table .detail').textContent(), /^layer 11, column 255 t255: 3071 probability 48\.0%$/);
      await until(page, () => document.querySelector('mt-lens-table').shadowRoot.querySelectorAll('td').length === 6400);
    }));

  test('bars: signed, sorted, added up; the list is walked', () =>
    onPage(async (page) => {
      await page.evaluate(fillOthers);
      const bars = page.locator('mt-logit-bars');
      await page.evaluate(() => { globalThis.heard = []; document.querySelector('mt-logit-bars').addEventListener('mt-part', (e) => globalThis.heard.push(e.detail.index)); });
      const labels = () => bars.locator('[role=option]').evaluateAll((all) => all.map((el) => el.textContent));
      assert.deepEqual(await labels(), ['embedding: −0.75 logits', 'head <0>: +5 logits', 'bias: 0 logits', 'mlp: −1 logits']);
      const widths = await bars.locator('.fill').evaluateAll((all) => all.map((el) => el.getBoundingClientRect().width / el.parentElement.getBoundingClientRect().width));
      [0.75 / 6, 5 / 6, 1 / 6, 3.25 / 6].forEach((want, i) => assert.ok(Math.abs(widths[i] - want) < 0.005, `bar ${i}: ${widths[i]}, expected ${want}`));
      await bars.evaluate((el) => { el.setAttribute('sort', 'size'); el.setAttribute('limit', '2'); });
      assert.deepEqual(await labels(), ['head <0>: +5 logits', 'mlp: −1 logits']);
      assert.match(await bars.locator('.rest').textContent(), /^2 others: −0\.75 logits$/);
      await bars.locator('[role=option]').first().focus();
      for (const key of ['Enter', 'ArrowDown', 'ArrowDown', 'Home']) await page.keyboard.press(key);
      assert.deepEqual(await page.evaluate(() => globalThis.heard), [1, 3, 3, 1]);
      assert.equal(await bars.locator('[role=option][aria-selected=true]').textContent(), 'head <0>: +5 logits');
    }));

  test('run control: what is pressed, what is off, and who decides', () =>
    onPage(async (page) => {
      await page.evaluate(fillOthers);
      await page.evaluate(() => { globalThis.heard = []; for (const name of ['mt-play', 'mt-pause', 'mt-step', 'mt-reset']) document.querySelector('mt-run-control').addEventListener(name, (e) => { globalThis.heard.push(name); if (globalThis.prevent) e.preventDefault(); }); });
      const press = (name) => page.locator('mt-run-control').getByRole('button', { name }).click({ force: true }); // what is off can be pressed too
      await press('Step');
      await press('Play');
      await press('Step'); // off while it plays
      assert.equal(await page.locator('mt-run-control').evaluate((el) => el.playing), true);
      await press('Pause');
      await page.evaluate(() => { globalThis.prevent = true; });
      await press('Play');
      assert.equal(await page.locator('mt-run-control').evaluate((el) => el.playing), false);
      await page.evaluate(() => { document.querySelector('mt-run-control').ended = true; });
      await press('Play');
      await press('Reset');
      await page.evaluate(() => { document.querySelector('mt-run-control').disabled = true; });
      await press('Reset');
      assert.deepEqual(await page.evaluate(() => globalThis.heard), ['mt-step', 'mt-play', 'mt-pause', 'mt-play', 'mt-reset']);
      assert.deepEqual(await page.locator('mt-run-control progress').evaluate((bar) => [bar.value, bar.max]), [4, 10]);
      await page.evaluate(() => { document.querySelector('mt-run-control').value = NaN; });
      assert.equal(await page.locator('mt-run-control progress').evaluate((bar) => bar.matches(':indeterminate')), true);
    }));

  test('what does not fit is refused in words, and what was drawn stays', () =>
    onPage(async (page) => {
      await page.evaluate(fillAttention, { T: 4, heads: 2 });
      await page.evaluate(fillOthers);
      const said = await page.evaluate(() => {
        const tries = {
          length: ['mt-attention', 'data', { tokens: ['a', 'b'], heads: 2, pattern: new Float32Array(7) }],
          type: ['mt-attention', 'data', { tokens: ['a'], heads: 1, pattern: [1] }],
          tokens: ['mt-attention', 'data', { tokens: [], heads: 1, pattern: new Float32Array(0) }],
          heads: ['mt-attention', 'data', { tokens: ['a'], heads: 0.5, pattern: new Float32Array(1) }],
          queries: ['mt-attention', 'data', { tokens: ['a'], heads: 1, queries: 2, pattern: new Float32Array(2) }],
          head: ['mt-attention', 'head', 2],
          view: ['mt-attention', 'view', '3d'],
          selected: ['mt-attention', 'selected', { row: 0, col: 4 }],
          cells: ['mt-lens-table', 'data', { rows: ['a'], columns: ['b', 'c'], cells: [] }],
          value: ['mt-lens-table', 'data', { rows: ['a'], columns: ['b'], cells: [{ text: 'x', value: 2 }] }],
          place: ['mt-lens-table', 'selected', { row: 9, column: 0 }],
          part: ['mt-logit-bars', 'data', { title: '', parts: [{ name: 'a', value: '1' }] }],
          index: ['mt-logit-bars', 'selected', 4],
        };
        return Object.fromEntries(Object.entries(tries).map(([name, [tag, key, value]]) => {
          const el = document.querySelector(tag), before = JSON.stringify(el.data);
          try {
            el[key] = value;
            return [name, 'taken'];
          } catch (error) {
            return [name, JSON.stringify(el.data) === before ? `${error.name} ${error.code}: ${error.message}` : 'changed'];
          }
        }));
      });
      assert.deepEqual(said, {
        length: 'MicrotomeError ERANGE: mt-attention: pattern: 7 numbers, expected 8: [2 heads, 2 rows, 2 tokens]',
        type: 'MicrotomeError ERANGE: mt-attention: pattern: no Float32Array, expected 1: [1 heads, 1 rows, 1 tokens]',
        tokens: 'MicrotomeError ERANGE: mt-attention: tokens: a list of texts is needed, with one at least',
        heads: 'MicrotomeError ERANGE: mt-attention: heads: 0.5 is not a whole number from 1 on',
        queries: 'MicrotomeError ERANGE: mt-attention: queries: 2 is not a whole number in 1..1',
        head: "MicrotomeError ERANGE: mt-attention: head: 2: 'mean' or a whole number below 2",
        view: 'MicrotomeError EUNKNOWN: mt-attention: unknown view "3d": known are matrix, arcs',
        selected: 'MicrotomeError ERANGE: mt-attention: selected: row 0, column 4 is not in a grid of 4 by 4',
        cells: 'MicrotomeError ERANGE: mt-lens-table: cells: 0, expected 2: 1 rows of 2',
        value: 'MicrotomeError ERANGE: mt-lens-table: cell 0 of row 0: a text and a value in 0..1 are needed, not {"text":"x","value":2}',
        place: 'MicrotomeError ERANGE: mt-lens-table: selected: row 9, column 0 is not in a table of 6 by 3',
        part: 'MicrotomeError ERANGE: mt-logit-bars: part 0: a name and a number are needed, not {"name":"a","value":"1"}',
        index: 'MicrotomeError ERANGE: mt-logit-bars: selected: 4 is not a whole number in -1..3',
      });
    }));

  for (const [what, context] of Object.entries({
    'on a wide screen': {}, 'in the dark, on a phone, without motion': { colorScheme: 'dark', reducedMotion: 'reduce', viewport: { width: 390, height: 844 } },
  }))
    test(`nothing for axe to find, nothing wider than the page: ${what}`, () =>
      onPage(async (page) => {
        await axe(page, 'empty');
        await page.evaluate(fillAttention, { T: 64, heads: 8 });
        await page.evaluate(fillOthers);
        await page.locator('mt-attention [role=gridcell]').focus();
        await page.keyboard.press('ArrowDown');
        await page.locator('mt-lens-table td').nth(4).click();
        await page.locator('mt-logit-bars [role=option]').nth(1).click();
        await page.locator('mt-attention summary').click();
        await drawn(page);
        const all = context.viewport ? axe : axeInThemes;
        await all(page, 'filled');
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'no sideways scrolling');
        await page.locator('mt-attention input[value=arcs]').check();
        await drawn(page);
        await all(page, 'curves');
        if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/elements-${what.replace(/\W+/g, '-')}.png`, fullPage: true });
      }, context));
});

describe('elements of cells and bars in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
  test('draw, walk and read out as in Chromium', () =>
    visitInFirefox('elements.html', async (page) => {
      await until(page, (names) => names.every((name) => customElements.get(`mt-${name}`)), NAMES);
      await page.evaluate(fillAttention, { T: 8, heads: 3 });
      await page.evaluate(fillOthers);
      await page.evaluate(() => document.querySelector('mt-attention').shadowRoot.querySelector('[role=gridcell]').focus());
      await page.keyboard.press('ArrowDown');
      const said = await page.evaluate(() => document.querySelector('mt-attention').shadowRoot.activeElement.getAttribute('aria-label'));
      assert.match(said, /^cat, 1, looks at space the, 0: .*%, mean of 3 heads$/);
      await page.evaluate(() => document.querySelector('mt-lens-table').shadowRoot.querySelector('td').click());
      assert.deepEqual(await page.evaluate(() => document.querySelector('mt-lens-table').selected), { row: 0, column: 0 });
    }, { routes: ROUTES }));
});
