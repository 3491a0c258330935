// The page demos/inside in real browsers: what it shows is what the package computes; any part can be taken out and put back, by pointer and by keyboard; links, files, errors, a phone.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fits, keyOf, nameOf, siteFrom } from '../../demos/inside/sites.js';
import { Model } from '../../web/index.js';
import { ablate, ablationSweep, attentionOf, feedForwardMaps, logSoftmax, logitAttribution, logitLens, neuronReadings, patchingMap } from '../../web/inspect.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { axe, CHROMIUM, chromium, eventually, FIREFOX, PATIENCE, ROOT, saved, serve, until, visit, visitInFirefox } from './support.mjs';

const TINY = path.join(ROOT, 'models/microtome-tiny.gguf');
const MINE = 'The little girl was hungry because', OTHER = 'The little boy was hungry because';

/** Waits until the panel shows an answer without these parts, and no other is owed. */
const panel = (page, out = '') => until(page, (want) => { const { for: of, busy } = document.getElementById('panel').dataset; return of === want && busy === undefined; }, out);
/** Opens a section and waits for what it shows. */
async function open(page, id) {
  await page.evaluate((id) => { document.getElementById(id).open = true; }, id);
  await until(page, (id) => { const { for: of, busy } = document.getElementById(id).dataset; return of !== undefined && busy === undefined; }, id);
}
const text = (page, id) => page.evaluate((id) => document.getElementById(id).textContent, id);
/** Numbers of the panel, by token. */
const shown = (page, id = 'next') => page.evaluate((id) => [...document.querySelectorAll(`#${id} tbody tr`)].map((tr) => [tr.querySelector('bdi').textContent, ...[...tr.querySelectorAll('td span')].map((s) => s.textContent)]), id);

test('names of parts: there and back, and which a model has', () => {
  for (const key of ['L5H1', 'attention:3', 'mlp:0', 'layer:2', 'neuron:3.155', 'state:4@7', 'L0H0@2']) assert.equal(keyOf(siteFrom(key)), key);
  for (const key of ['', 'L5', 'H1', 'soul:1', 'mlp:', 'L1H1@', 'L1H1,L2H2', 'mlp:-1']) assert.equal(siteFrom(key), null, key);
  assert.equal(nameOf(siteFrom('L5H1')), 'head 5.1');
  assert.equal(nameOf(siteFrom('mlp:2@3')), 'feed-forward layer 2 at token 3');
  const info = { layers: 6, heads: 6, ffnWidth: 512 };
  assert.deepEqual(['L5H5', 'L6H0', 'L0H6', 'neuron:0.511', 'neuron:0.512', 'mlp:0@8', 'mlp:0@9'].map((key) => fits(siteFrom(key), info, 9)), [true, false, false, true, false, true, false]);
});

test('the code that the page shows runs', { timeout: PATIENCE }, () => {
  const html = readFileSync(path.join(ROOT, 'demos/inside/index.html'), 'utf8'), code = /<code id="code">([\s\S]*?)<\/code>/.exec(html)[1].replaceAll('&gt;', '>').replaceAll('&lt;', '<').replaceAll('&amp;', '&');
  assert.ok(code.split('\n').length < 30);
  const script = code.replace("'microtome'", JSON.stringify(path.join(ROOT, 'web/index.js'))).replace("'microtome/inspect'", JSON.stringify(path.join(ROOT, 'web/inspect.js'))).replace("'microtome-tiny.gguf'", JSON.stringify(TINY));
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.match(said, /after layer embed " because" 1\.000/);
  assert.match(said, /after layer 5 " she" 0\.5\d\d/);
  assert.match(said, /^L5H1 6\.\d\d logits$/m);
  assert.match(said, /without head 5 1 KL 0\.\d+ " she" 0\.5/);
});

describe('demos/inside in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server, model;
  before(async () => {
    browser = await chromium();
    server = await serve();
    model = await Model.load(TINY, { threads: 1 });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    await model?.dispose();
  });

  const onPage = (check, { hash = '', at = server, ...options } = {}) => visit(browser, at.url('demos/inside/') + hash, check, options);

  const klOf = (said) => Number(/KL (\d+\.\d+) nats/.exec(said)[1]);
  function near(got, want, tolerance, what) {
    assert.equal(got.length, want.length, what);
    for (let i = 0; i < want.length; i++) assert.ok(Math.abs(got[i] - want[i]) <= tolerance, `${what} ${i}: ${got[i]}, expected ${want[i]}`);
  }

  test('the answer, the lens, the attribution are those of the package', () =>
    onPage(async (page) => {
      await panel(page);
      const { ids, cells } = await logitLens(model, MINE), { logits } = await model.run(MINE), p = logSoftmax(logits).map(Math.exp);
      assert.match(await text(page, 'where-now'), /after ·because \(token 8\)/);
      const rows = await shown(page);
      assert.equal(rows[0][0], '·she');
      near([parseFloat(rows[0][1])], [100 * Math.max(...p)], 0.5, 'per cent');
      await open(page, 'lens');
      const table = page.locator('#lens-table');
      assert.equal(await table.locator('tbody tr').count(), 7);
      assert.deepEqual(await table.locator('tbody tr').nth(5).locator('td').allTextContents(), cells.slice(5 * ids.length, 6 * ids.length).map((c) => model.tokenizer.decode([c.token]).replaceAll(' ', '·') || model.tokenizer.tokenPiece(c.token)));
      await open(page, 'parts');
      const { parts, logit } = await logitAttribution(model, MINE, { against: 'mean' }), best = parts.reduce((a, b) => (Math.abs(b.value) > Math.abs(a.value) ? b : a));
      assert.equal(best.name, 'L5H1');
      assert.match(await page.locator('#parts-bars [role=option]').first().textContent(), new RegExp(`head 5\\.1.*\\+${best.value.toFixed(2)}`));
      assert.match(await text(page, 'parts-note'), new RegExp(`figure is ${logit.toFixed(4)}`));
      await axe(page, 'as it opens');
    }));

  test('a part is taken out while it is chosen, kept out, put back', () =>
    onPage(async (page) => {
      await panel(page);
      await open(page, 'parts');
      await page.locator('#parts-bars [role=option]').first().click();
      await panel(page, 'L5H1');
      const { kl, tokens } = await ablate(model, MINE, [{ kind: 'head', layer: 5, head: 1 }]), { after: q } = tokens.find((t) => model.tokenizer.decode([t.token]) === ' she');
      near([klOf(await text(page, 'effect'))], [kl], 0.01, 'without a head');
      near([parseFloat((await shown(page)).find(([name]) => name === '·she')[2])], [100 * q], 0.5, 'she');
      await page.locator('#hold').click();
      await open(page, 'heads');
      await until(page, () => document.querySelector('#heads-table').data);
      const { effects } = await ablationSweep(model, MINE), cells = page.locator('#heads-table td');
      near((await cells.allTextContents()).map(Number), effects.map((e) => e.kl), 0.02, 'effects'); // browsers may have other kernels than this Node
      await cells.nth(7).click(); // feed-forward of layer 0
      await panel(page, 'L5H1,mlp:0');
      const both = await ablate(model, MINE, [{ kind: 'head', layer: 5, head: 1 }, { kind: 'mlp', layer: 0 }]);
      near([klOf(await text(page, 'effect'))], [both.kl], 0.02, 'without both');
      assert.match(await text(page, 'out-list'), /head 5\.1 put back.*feed-forward layer 0/);
      await page.locator('#how').selectOption('mean');
      const mean = await ablate(model, MINE, [{ kind: 'head', layer: 5, head: 1 }, { kind: 'mlp', layer: 0 }], { how: 'mean' });
      await until(page, (want) => Math.abs(Number(/KL (\d+\.\d+)/.exec(document.getElementById('effect').textContent)[1]) - want) < 0.02, mean.kl);
      await page.locator('#how').selectOption('first');
      await until(page, () => /only a head can look/.test(document.getElementById('panel-problem').textContent));
      await page.locator('#how').selectOption('zero');
      await page.locator('#out-list button').first().click();
      await panel(page, 'mlp:0');
      await page.locator('#restore').click();
      await panel(page, '');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'panel-title');
      assert.equal(await page.locator('#out').isHidden(), true);
      await until(page, () => /Without/.test(document.getElementById('announce').textContent));
    }));

  test('with the keyboard alone: walking over heads, over the lens, over neurons', () =>
    onPage(async (page) => {
      await panel(page);
      await open(page, 'heads');
      await until(page, () => document.querySelector('#heads-table').data);
      await page.locator('#heads-measure').focus();
      await page.keyboard.press('Tab');
      await page.keyboard.press('ArrowRight');
      await panel(page, 'L0H1');
      await page.keyboard.press('ArrowDown');
      await panel(page, 'L1H1');
      await page.keyboard.press('Control+End');
      await panel(page, 'mlp:5');
      await page.locator('#hold').focus();
      await page.keyboard.press('Enter');
      assert.equal(await page.evaluate(() => document.activeElement.id), 'restore');
      await page.keyboard.press('Enter');
      await panel(page, '');
      await page.locator('#lens-measure').focus();
      await page.keyboard.press('Tab');
      await page.keyboard.press('ArrowLeft');
      await until(page, () => /token 7\)/.test(document.getElementById('where-now').textContent));
      assert.equal(await page.locator('#place').inputValue(), '7');
      await until(page, () => location.hash.includes('at=7'));
      await open(page, 'neurons');
      const found = await neuronReadings(model, MINE, { layer: 4, position: 7, neurons: 12, tokens: 5 });
      await until(page, (want) => document.querySelector('#neurons-table tbody button')?.textContent === want, `4.${found.neurons[0].neuron}`);
      await page.locator('#neurons-table tbody button').first().focus();
      await page.keyboard.press('Enter');
      await panel(page, `neuron:4.${found.neurons[0].neuron}`);
    }));

  test('attention, rollout, norms, sinks', () =>
    onPage(async (page) => {
      await panel(page);
      await open(page, 'attention');
      const { patterns } = await attentionOf(model, MINE), got = await page.evaluate(() => ({ heads: document.querySelector('#attention-view').data.heads, pattern: [...document.querySelector('#attention-view').data.pattern] }));
      assert.equal(got.heads, 6);
      assert.ok(got.pattern.every((x, i) => Math.abs(x - patterns[5][i]) < 5e-3), 'the last layer');
      await page.locator('#attention-layer').selectOption('1');
      await until(page, (want) => Math.abs(document.querySelector('#attention-view').data.pattern[200] - want) < 5e-3, patterns[1][200]);
      await page.locator('#attention-what').selectOption('norms');
      await until(page, (want) => Math.abs(document.querySelector('#attention-view').data.pattern[72] - want) > 2e-2, patterns[1][72]);
      const norms = await page.evaluate(() => [...document.querySelector('#attention-view').data.pattern]);
      for (let r = 0; r < 54; r++) assert.ok(Math.abs(norms.slice(9 * r, 9 * r + 9).reduce((a, b) => a + b, 0) - 1) < 1e-4, 'rows are shares');
      await page.evaluate(() => document.querySelector('#attention-view').shadowRoot.querySelector('input[value="2"]').click());
      await panel(page, 'L1H2');
      await page.locator('#attention-what').selectOption('through');
      await until(page, () => document.querySelector('#attention-view').data.heads === 1);
      const { feedForward } = await feedForwardMaps(model, MINE, { layer: 1 }), row = feedForward.slice(72), all = row.reduce((a, b) => a + b, 0);
      near(await page.evaluate(() => [...document.querySelector('#attention-view').data.pattern].slice(72)), row.map((x) => x / all), 5e-3, 'through the feed-forward layer');
      await open(page, 'sinks');
      assert.match(await text(page, 'sinks-said'), /29 of 36 heads give the first token more than 0\.3/);
      await page.locator('#restore').click();
      await page.locator('#sinks-out').click();
      await until(page, () => document.getElementById('panel').dataset.for.split(',').length === 6);
    }));

  test('two texts: the map, a value put in, texts that do not fit', () =>
    onPage(async (page) => {
      await panel(page);
      await open(page, 'pair');
      const map = await patchingMap(model, MINE, OTHER), cells = page.locator('#pair-table td');
      const numbers = async () => (await cells.allTextContents()).map((t) => Number(t.replace('−', '-')));
      near(await numbers(), map.places.state, 0.02, 'streams');
      await until(page, () => document.querySelectorAll('#pair-next tbody tr').length > 4);
      await page.locator('#pair-what').selectOption('heads');
      await until(page, () => document.querySelectorAll('#pair-table').length && document.querySelector('#pair-table').data.columns[0] === 'H0');
      await eventually(numbers, (got) => near(got, map.byHead, 0.02, 'heads'));
      assert.deepEqual(await page.evaluate(() => document.querySelector('#pair-table').selected), { row: 5, column: 1 }, 'the head that does it');
      const z = 'blocks.5.attn.hook_z', source = await model.run(MINE, { all: true, trace: z }), { logits } = await model.run(OTHER, { patch: [{ name: z, kind: 'freeze', run: source, index: [null, 1] }] }), she = model.tokenizer.encode(' she').ids[0];
      await until(page, (want) => [...document.querySelectorAll('#pair-next tbody tr')].some((tr) => tr.querySelector('bdi').textContent === '·she' && Math.abs(parseFloat(tr.querySelectorAll('td span')[1].textContent) - want) < 0.5), 100 * Math.exp(logSoftmax(logits)[she]));
      await page.locator('#other').fill('A text that has no fellow for each of its tokens at all');
      await until(page, () => /has 9 tokens here, the other \d+/.test(document.querySelector('#pair .status').textContent));
      await page.locator('#other').fill(MINE);
      await until(page, () => /both prompts call for the same token|do not differ/.test(document.querySelector('#pair .status').textContent));
      await page.locator('#other').fill(OTHER);
      await until(page, () => document.querySelector('#pair .status').hidden);
      await axe(page, 'two texts');
    }));

  test('a link restores text, place, answer, what is out and what is open; what is in it may be nonsense', () =>
    onPage(async (page) => {
      await panel(page, 'L5H1,neuron:3.7');
      assert.deepEqual([await page.locator('#text').inputValue(), await page.locator('#place').inputValue(), await page.locator('#how').inputValue(), await page.locator('#against').inputValue()], ['The man was very old, and', '5', 'mean', 'none']);
      assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('details.section[open]')].map((d) => d.id)), ['heads', 'neurons']);
      await page.evaluate(() => { location.hash = '#text=%3Cb%3E%22&at=999&out=L99H0,soul,mlp:1&token=99999999&against=-5&how=fire'; });
      await until(page, () => document.getElementById('text').value === '<b>"');
      await panel(page, 'mlp:1');
      assert.equal(await page.locator('#how').inputValue(), 'zero');
      assert.equal(await page.evaluate(() => document.querySelectorAll('main b').length), 0, 'texts are text');
    }, { hash: '#text=The+man+was+very+old,+and&at=5&against=none&out=L5H1,neuron:3.7&how=mean&open=heads,neurons' }));

  test('files: pictures and numbers', () =>
    onPage(async (page) => {
      await panel(page);
      for (const id of ['lens', 'parts', 'heads', 'neurons', 'pair']) await open(page, id);
      const button = (id, name) => page.locator(`#${id} button`, { hasText: name });
      const csv = await saved(page, () => button('lens-keep', 'CSV').click());
      assert.equal(csv.name, 'logit-lens.csv');
      assert.equal(csv.text.trim().split('\r\n').length, 1 + 7 * 9);
      const svg = await saved(page, () => button('heads-keep', 'SVG').click());
      assert.match(svg.text, /^<svg[\s\S]*what the answer loses/);
      const lens = JSON.parse((await saved(page, () => button('lens-keep', 'JSON').click())).text);
      assert.deepEqual(lens.ids, (await logitLens(model, MINE)).ids);
      const map = JSON.parse((await saved(page, () => button('pair-keep', 'JSON').click())).text);
      assert.deepEqual([map.layers, map.tokens, map.places.state.length], [6, 9, 54]);
      assert.match((await saved(page, () => button('neurons-keep', 'CSV').click())).text, /^neuron,coefficient,share,raises,lowers\r\n4\./);
      assert.equal((await saved(page, () => button('parts-keep', 'PNG').click())).name, 'attribution.png');
    }));

  test('other models: one without attention, an encoder, a broken file; a long text, an empty one', () =>
    onPage(async (page) => {
      await panel(page);
      for (const id of ['lens', 'parts', 'attention', 'sinks']) await open(page, id);
      const files = page.locator('#picker input[type=file]');
      await files.setInputFiles({ name: 'broken.gguf', mimeType: '', buffer: readFileSync(TINY).subarray(0, 5000) });
      await until(page, () => /broken\.gguf could not be opened/.test(document.querySelector('#picker').shadowRoot.querySelector('.error').textContent));
      await page.locator('#text').fill('It still');
      await until(page, () => /still/.test(document.getElementById('where-now').textContent));
      await files.setInputFiles(path.join(ROOT, 'models/family/mamba-5m.gguf'));
      await until(page, () => /no attention pattern/.test(document.querySelector('#attention .status').textContent));
      await until(page, () => document.querySelector('#lens-table').data?.rows.length === 10);
      await until(page, () => document.querySelector('#parts-bars').data?.parts.some((part) => part.name.startsWith('mixer')));
      await files.setInputFiles(path.join(ROOT, 'models/family/encoder.gguf'));
      await until(page, () => /is an encoder/.test(document.getElementById('problem').textContent));
      await page.locator('#picker button', { hasText: 'Back to the bundled model' }).click();
      await until(page, () => document.getElementById('problem').hidden && document.querySelector('#lens-table').data?.rows.length === 7);
      await page.locator('#text').fill('word '.repeat(200));
      await until(page, () => /The first 64 of \d+ tokens/.test(document.getElementById('text-note').textContent));
      await until(page, () => document.querySelector('#lens-table').data.columns.length === 64);
      await page.locator('#text').fill('');
      await until(page, () => document.querySelector('#lens-table').data.columns.length === 1);
      await eventually(() => text(page, 'sinks-said'), /one token/);
      await page.locator('#text').fill('one of many words '.repeat(10));
      await until(page, () => !document.getElementById('flow-note').hidden);
    }));

  test('a model without a tokenizer says so', () =>
    onPage(async (page) => {
      await panel(page);
      await page.locator('#picker input[type=file]').setInputFiles({ name: 'ids.gguf', mimeType: '', buffer: Buffer.from(randomLlama({ layers: 1, width: 32, heads: 2, kvHeads: 2, ffn: 32, vocab: 64, context: 32, base: 10000 }, GGML.F32)) });
      await until(page, () => /no tokenizer/.test(document.getElementById('problem').textContent));
    }));

  test('on a phone, in the dark, everything open', () =>
    onPage(async (page) => {
      await panel(page);
      for (const id of ['heads', 'attention', 'sinks', 'neurons', 'pair', 'lens', 'parts']) await open(page, id);
      await page.locator('#heads-table td').nth(41).click();
      await panel(page, 'L5H1');
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= 390, `${wide} pixels`);
      await until(page, () => !document.getElementById('dock').hidden);
      assert.match(await text(page, 'dock'), /^Without .*KL \d\.\d{3}, likeliest/);
      await axe(page, 'phone');
      await page.locator('#dock').click();
      await until(page, () => document.activeElement.id === 'panel-title' && document.getElementById('dock').hidden);
      const small = await page.evaluate(() => [...document.querySelectorAll('button, summary, select, input, textarea')].map((e) => [e.textContent || e.id, e.getBoundingClientRect()]).filter(([, r]) => r.width && (r.width < 20 || r.height < 20)).map(([name, r]) => `${name} ${r.width}x${r.height}`));
      assert.deepEqual(small, []);
    }, { context: { viewport: { width: 390, height: 844 }, colorScheme: 'dark', reducedMotion: 'reduce' } }));

  test('before the model: first paint, cancelling, a model that is not there; no shared memory', async () => {
    const held = [];
    const slow = await serve({ isolated: false, routes: { '/models/microtome-tiny.gguf': (_, response) => { held.push(response); } } });
    try {
      await onPage(async (page) => {
        await until(page, () => document.querySelectorAll('#presets button').length === 5);
        assert.match(await text(page, 'where-now'), /Opening/);
        await page.locator('#picker button', { hasText: 'Cancel' }).click();
        await page.locator('#picker input[type=file]').setInputFiles(TINY);
        await panel(page);
      }, { at: slow });
    } finally {
      for (const response of held) response.destroy();
      await slow.close();
    }
    const missing = await serve({ routes: { '/models/microtome-tiny.gguf': (_, response) => response.writeHead(404).end() } });
    try {
      await onPage(async (page) => {
        await until(page, () => /Open a model to begin/.test(document.getElementById('where-now').textContent));
        await axe(page, 'no model');
      }, { at: missing, allow: [/404/] });
    } finally {
      await missing.close();
    }
  });
});

describe('demos/inside in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
  test('shows the answer, takes a head out', () =>
    visitInFirefox('demos/inside/#open=lens,heads,attention', async (page) => {
      await panel(page);
      for (const id of ['lens', 'heads', 'attention']) await open(page, id);
      await page.evaluate(() => document.querySelector('#heads-table').shadowRoot.querySelectorAll('td')[41].click());
      await panel(page, 'L5H1');
      assert.match(await page.evaluate(() => document.getElementById('effect').textContent), /KL 0\.65\d nats/);
    }, { isolated: false, base: '/some/folder/' }));
});
