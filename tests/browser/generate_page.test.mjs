// The page demos/generate in real browsers, and its parts in Node: what is shown are the package's numbers, seeds and links give the same text again, branches stay.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Chain, NEUTRAL, activeSteps } from '../../demos/generate/chain.js';
import { Reader } from '../../demos/generate/reader.js';
import { Tree, measure } from '../../demos/generate/tree.js';
import { Model, Sampler, Tokenizer } from '../../web/index.js';
import { axe, axeInThemes, CHROMIUM, chromium, eventually, FIREFOX, ROOT, saved as download, serve, until, visit, visitInFirefox } from './support.mjs';

const BUNDLED = path.join(ROOT, 'models/microtome-tiny.gguf');
const HTML = readFileSync(path.join(ROOT, 'demos/generate/index.html'), 'utf8');

describe('the parts, in Node', () => {
  let model;
  before(async () => { model = await Model.load(BUNDLED); });
  after(() => model.dispose());

  test('each step leaves what its definition says, the last is the sampler’s law', async () => {
    const chain = new Chain(), ids = [...model.tokenizer.encode('Once upon a time there was a', { addSpecialTokens: true }).ids];
    const { logits } = await model.run(ids);
    const settings = { ...NEUTRAL, temperature: 0.8, topK: 50, typicalP: 0.9, topP: 0.8, minP: 0.05, repeatPenalty: 1.2, presencePenalty: 0.5, lastN: 4 };
    const laws = await chain.laws(logits, ids, settings);
    assert.deepEqual(laws.map(({ key }) => key), ['model', 'penalties', 'temperature', 'topK', 'typicalP', 'topP', 'minP']);
    // From the definitions, slowly.
    const softmax = (x) => { const most = Math.max(...x), e = x.map((v) => Math.exp(v - most)), sum = e.reduce((a, b) => a + b); return e.map((v) => v / sum); };
    const close = (key, want) => { const { p } = laws.find((law) => law.key === key); want.forEach((v, i) => assert.ok(Math.abs(v - p[i]) < 1e-9, `${key}, token ${i}: ${p[i]}, expected ${v}`)); };
    const order = (p) => p.map((_, i) => i).sort((a, b) => p[b] - p[a] || a - b);
    const keep = (p, kept) => { const of = new Set(kept), sum = kept.reduce((s, i) => s + p[i], 0); return p.map((v, i) => (of.has(i) ? v / sum : 0)); };
    const until = (p, list, mass) => { let sum = 0; const out = []; for (const i of list) { out.push(i); sum += p[i]; if (sum >= mass) break; } return out; };
    const x = [...logits], seen = new Set(ids.slice(-4));
    close('model', softmax(x));
    const punished = x.map((v, i) => (seen.has(i) ? (v > 0 ? v / 1.2 : v * 1.2) - 0.5 : v));
    close('penalties', softmax(punished));
    let p = softmax(punished.map((v) => v / 0.8));
    close('temperature', p);
    close('topK', (p = keep(p, order(p).slice(0, 50))));
    const bits = -p.reduce((s, v) => s + (v > 0 ? v * Math.log(v) : 0), 0);
    const strange = p.map((v) => (v > 0 ? Math.abs(-Math.log(v) - bits) : Infinity));
    close('typicalP', (p = keep(p, until(p, p.map((_, i) => i).filter((i) => p[i] > 0).sort((a, b) => strange[a] - strange[b] || p[b] - p[a]), 0.9))));
    close('topP', (p = keep(p, until(p, order(p), 0.8))));
    const most = Math.max(...p);
    close('minP', (p = keep(p, p.map((_, i) => i).filter((i) => p[i] >= 0.05 * most))));
    const whole = await Sampler.create(logits.length, { ...settings, seed: 3 });
    whole.accept(ids);
    assert.deepEqual([...laws.at(-1).p], [...whole.law(logits)]);

    const { steps, rows } = await chain.ladder(logits, ids, settings, { top: 5, show: [7] });
    assert.ok(rows.some(({ id }) => id === 7) && rows.length >= 6);
    steps.forEach((step, i) => {
      assert.equal(step.left, laws[i].p.reduce((n, v) => n + (v > 0), 0));
      assert.ok(Math.abs(step.others + rows.reduce((sum, row) => sum + row.p[i], 0) - 1) < 1e-9, step.key);
      if (i) assert.ok(Math.abs(step.removedMass - laws[i - 1].p.reduce((sum, v, id) => sum + (laws[i].p[id] === 0 ? v : 0), 0)) < 1e-12);
    });
    // Of what a step takes away, the likeliest has a row.
    const lost = order([...laws[3].p]).find((id) => laws[3].p[id] > 0 && laws[4].p[id] === 0);
    assert.ok(rows.some(({ id }) => id === lost));
    assert.deepEqual([activeSteps(NEUTRAL), activeSteps({ ...NEUTRAL, repeatPenalty: 2, lastN: 0 })], [[], []]);
    whole.dispose();
    chain.dispose();
  });

  test('written token by token, forked and gone back, it is what Model.generate writes', async () => {
    const settings = { ...NEUTRAL, temperature: 0.9, topP: 0.9, repeatPenalty: 1.1, lastN: 16 };
    const want = [];
    for await (const { id } of model.generate('Once upon a time', { ...settings, seed: 11, maxTokens: 24, stop: [] })) want.push(id);
    const given = [...model.tokenizer.encode('Once upon a time', { addSpecialTokens: true }).ids];
    const reader = new Reader(model, { most: 3 }), chain = new Chain();
    const next = async (path) => {
      const logits = await reader.logits(path);
      return chain.take(logits, path, settings, { seed: 11, depth: path.length - given.length });
    };
    const made = [];
    while (made.length < 24) {
      if (made.length === 10) await next([...given, ...made.slice(0, 3), 5]); // a look elsewhere: the random numbers go back, and on again
      made.push((await next([...given, ...made])).id);
    }
    assert.deepEqual(made, want);
    const log = await model.logProbs([...given, ...made], { start: given.length });
    const { logProb, rank, entropy } = await next([...given, ...made.slice(0, 23)]);
    assert.ok(Math.abs(logProb - log[23]) < 2e-3, `${logProb}, expected ${log[23]}`); // a token alone and a whole text round differently
    assert.ok(rank >= 1 && entropy > 0);
    // Forks are what the same text gives when it is read afresh.
    for (const cut of [2, 9, 17]) {
      const other = [...given, ...made.slice(0, cut), 300, 301];
      const forked = await reader.logits(other), { logits } = await model.run(other);
      const off = forked.reduce((most, v, i) => Math.max(most, Math.abs(v - logits[i])), 0);
      assert.ok(off < 1e-2, `after ${cut} tokens: ${off}`);
    }
    assert.ok(reader.sessions <= 3);
    await assert.rejects(reader.logits(Array(600).fill(5)), { code: 'ELIMIT' });
    assert.equal((await reader.logits(given)).length, 2048, 'it stays usable');
    await reader.dispose();
    chain.dispose();
  });

  test('a tree: branches, stretches, what two share, what removing leaves', () => {
    const tree = new Tree(), taken = (id) => ({ id, logProb: Math.log(0.5), rank: 1, share: 0.5, entropy: 2, left: 3 });
    const grow = (from, ...ids) => ids.reduce((node, id) => tree.add(node, taken(id), 'drawn', 1), from);
    const a = grow(tree.root, 1, 2, 3), b = grow(a.parent, 4, 5), c = grow(tree.root, 9);
    assert.equal(grow(tree.root, 1, 2), a.parent, 'the child that is there');
    assert.deepEqual(tree.leaves(), [a, b, c]);
    assert.deepEqual(tree.path(b).map(({ taken }) => taken.id), [1, 2, 4, 5]);
    assert.equal(tree.common(a, b).taken.id, 2);
    assert.equal(tree.common(a, c), tree.root);
    const ids = (runs) => runs.map(({ nodes, children }) => [nodes.map(({ taken }) => taken.id), ids(children)]);
    assert.deepEqual(ids(tree.runs()), [[[1, 2], [[[3], []], [[4, 5], []]]], [[9], []]]);
    assert.equal(tree.remove(b), a.parent);
    assert.deepEqual(ids(tree.runs()), [[[1, 2, 3], []], [[9], []]]);
    assert.equal(tree.remove(a), tree.root);
    assert.deepEqual([tree.nodes(), measure(tree.path(b)).bitsPerToken, measure([]).tokens], [[c], 1, 0]);
  });

  test('the code on the page runs, and writes what the page’s words promise', async () => {
    const code = /<code id="code">([\s\S]*?)<\/code>/.exec(HTML)[1].replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');
    const said = [];
    const ready = code.replace("'microtome'", `'${pathToFileURL(path.join(ROOT, 'web/index.js'))}'`).replace("'microtome-tiny.gguf'", JSON.stringify(BUNDLED)).replaceAll('console.log', 'globalThis.generateCodeSaid');
    globalThis.generateCodeSaid = (...words) => said.push(words);
    await import(`data:text/javascript,${encodeURIComponent(ready)}`);
    const want = [];
    for await (const { text } of model.generate('Once upon a time', { temperature: 0.8, topP: 0.95, seed: 1, maxTokens: 24 })) want.push(text);
    assert.equal(said.slice(0, 24).map(([text]) => text).join(''), want.join(''));
    assert.ok(said.slice(0, 24).every(([, p]) => p > 0 && p <= 1) && said.length > 24);
  });
});

/** Waits until the table is about the text that is shown. */
const settled = (page, written = null) => until(page,
  (written) => {
    const place = document.getElementById('place'), run = document.querySelector('mt-run-control');
    return place.dataset.place === String([...document.querySelectorAll('#tokens .tok')].findIndex((el) => el.getAttribute('aria-selected') === 'true')) && !['stale', 'busy'].some((state) => state in place.dataset) && run && !run.playing && document.querySelectorAll('#chain tbody tr').length > 3 && (written === null || document.querySelectorAll('#tokens .tok:not(.next)').length === written);
  },
  written,
);
/** The tokens that are shown, as they stand in the list. */
const shown = (page) => page.evaluate(() => [...document.querySelectorAll('#tokens .tok:not(.next)')].map((el) => [...el.childNodes].filter((n) => !(n.className ?? '').includes?.('hidden')).map((n) => n.textContent.replace(/⏎/g, '')).join('')));

describe('demos/generate in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server;
  before(async () => {
    browser = await chromium();
    server = await serve();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check, { hash = '', at = server, ready = true, context = {}, ...options } = {}) =>
    visit(browser, at.url('demos/generate/') + hash, check, { ready: ready ? (page) => settled(page) : null, context: { reducedMotion: 'reduce', ...context }, ...options });
  const press = (page, name) => page.locator('mt-run-control').getByRole('button', { name, exact: true }).click();
  const saved = async (page, format) => (await download(page, () => page.locator('mt-export#keep').getByRole('button', { name: `Save ${format}` }).click())).text;
  const FAST = async (page, count = 12) => {
    await page.locator('#pace').selectOption('0');
    await page.locator('#count').fill(String(count));
    await page.locator('#count').press('Tab');
  };

  test('writes what the package writes there; a link and a reset give it again', () =>
    onPage(async (page) => {
      await axe(page, 'before');
      await FAST(page, 20);
      await press(page, 'Play');
      await settled(page, 20);
      const want = await page.evaluate(async ({ lib, file }) => {
        const { Model } = await import(lib);
        const model = await Model.load(file);
        const ids = [], logProbs = [];
        for await (const { id, logProb } of model.generate('Once upon a time', { temperature: 0.9, topP: 0.9, seed: 7, maxTokens: 20, stop: [], logProbs: true })) {
          ids.push(id);
          logProbs.push(logProb);
        }
        await model.dispose();
        return { ids, logProbs };
      }, { lib: server.url('web/index.js'), file: server.url('models/microtome-tiny.gguf') });
      const file = JSON.parse(await saved(page, 'JSON'));
      assert.deepEqual(file.nodes.map(({ id }) => id), want.ids);
      file.nodes.forEach(({ logProb }, i) => assert.ok(Math.abs(logProb - want.logProbs[i]) < 1e-9, `token ${i}: ${logProb}, the package says ${want.logProbs[i]}`));
      assert.equal((await shown(page)).join(''), file.nodes.map(({ text }) => text).join(''));
      assert.match(await page.locator('mt-run-control .text').textContent(), /^20 written, 25 of 512 tokens$/);
      await until(page, () => location.hash.includes('path='));
      const link = await page.evaluate(() => location.href), before = await shown(page);
      await press(page, 'Reset');
      await settled(page, 0);
      await press(page, 'Play');
      await settled(page, 20);
      assert.deepEqual(await shown(page), before, 'the same seed');
      await page.locator('#seed').fill('-1x');
      await page.locator('#seed').press('Tab');
      await page.getByRole('button', { name: /Step/ }).click();
      assert.equal(await page.evaluate(() => document.activeElement?.id), 'seed', 'no seed, no draw');
      assert.deepEqual(await shown(page), before);
      await page.locator('#seed').fill('7');
      await page.locator('#seed').press('Tab');
      assert.equal(await page.locator('#seed-wrong').textContent(), '');
      const other = await page.context().newPage();
      await other.goto(link);
      await settled(other, 20);
      assert.deepEqual(await shown(other), before, 'the link');
      assert.equal(await other.locator('#seed').inputValue(), '7');
      await axe(page, 'after');
    }, { hash: '#seed=7' }));

  test('the table: what each step leaves; a slider changes it; a name writes that token, and both branches stay', () =>
    onPage(async (page) => {
      const heads = () => page.locator('#chain thead th').evaluateAll((all) => all.map((th) => th.firstChild.textContent + (th.childNodes[1]?.nodeType === 3 ? th.childNodes[1].textContent : '')));
      assert.deepEqual(await heads(), ['token', 'model', '→ temperature', '→ top-p']);
      const left = () => page.locator('#chain tfoot tr').first().locator('td').allTextContents();
      assert.deepEqual((await left()).slice(0, 2), ['2,048', '2,048']);
      await page.locator('#knob-topK').fill('3');
      await page.locator('#knob-topK').press('Tab');
      await until(page, () => document.querySelectorAll('#chain thead th').length === 5);
      assert.deepEqual((await left()).slice(0, 3), ['2,048', '2,048', '3']);
      assert.ok((await page.locator('#chain td.cut').count()) >= 2, 'removed tokens are shown as removed');
      const first = page.locator('#chain tbody button').first(), second = page.locator('#chain tbody button').nth(1);
      const names = [await first.textContent(), await second.textContent()];
      await first.click();
      await settled(page, 1);
      await FAST(page, 5);
      await press(page, 'Play');
      await settled(page, 6);
      await page.locator('#tokens .tok').first().click();
      await until(page, () => document.querySelector('#chain tr.chosen'));
      assert.match(await page.locator('#fact').textContent(), /token 1, picked by hand: the model gave it .*rank 1\b/);
      await page.locator('#chain tbody button').nth(1).click();
      await settled(page, 1);
      assert.equal((await shown(page))[0].replace(/ /g, '·'), names[1]);
      await press(page, 'Play');
      await settled(page, 6);
      await until(page, () => document.querySelectorAll('#tree .go').length === 2 && !document.getElementById('compare').hidden);
      assert.match(await page.locator('#beside').textContent(), /times as likely as|same probability/);
      const file = JSON.parse(await saved(page, 'JSON'));
      assert.equal(file.nodes.length, 12);
      assert.deepEqual(file.nodes.filter(({ parent }) => parent === 0).map(({ how }) => how), ['picked', 'picked']);
      assert.deepEqual([file.settings.map(({ topK }) => topK), file.nodes.every(({ settings }) => settings === 0)], [[3], true]);
      await page.locator('#knob-topK').fill('9');
      await page.locator('#knob-topK').press('Tab');
      await page.locator('#tokens .tok').nth(2).click();
      await until(page, () => /, as it was set then\. Entropy/.test(document.getElementById('fact').textContent));
      assert.equal((await saved(page, 'CSV')).trim().split('\r\n').length, 7);
      assert.ok((await saved(page, 'TXT')).startsWith('Once upon a time'));
      // Back to the first branch, then it goes.
      await page.locator('#tree .go').first().click();
      await settled(page, 6);
      assert.equal((await shown(page))[0].replace(/ /g, '·'), names[0]);
      await page.locator('#tree').getByRole('button', { name: /^Remove/ }).first().click();
      await until(page, () => document.querySelectorAll('#tree .go').length === 1);
      await axe(page, 'branches');
    }));

  test('stop texts, the end of the context, pausing, going back, another draw', () =>
    onPage(async (page) => {
      await FAST(page, 400);
      await page.locator('#stop').fill('.');
      await press(page, 'Play');
      await settled(page);
      await until(page, () => /stopped at \./.test(document.querySelector('#tokens .next').textContent));
      assert.match((await shown(page)).at(-1), /\./);
      assert.ok((await shown(page)).slice(0, -1).every((t) => !t.includes('.')));
      assert.equal(await page.locator('mt-run-control').evaluate((el) => el.ended), true);
      await page.locator('#stop').fill('');
      await until(page, () => !document.querySelector('mt-run-control').ended);
      // Pause
      await page.locator('#pace').selectOption('4');
      await press(page, 'Play');
      await until(page, () => document.querySelector('mt-run-control').playing);
      await press(page, 'Pause');
      await settled(page);
      const n = (await shown(page)).length;
      // A number that is none is told, and nothing is written by another
      await page.locator('#tokens .tok.next').click();
      assert.equal(await page.locator('#again').textContent(), 'Draw one here');
      await page.locator('#count').fill('abc');
      await press(page, 'Play');
      assert.deepEqual([await page.locator('#count').inputValue(), await page.locator('#count-wrong').textContent(), await page.evaluate(() => document.activeElement.id), (await shown(page)).length], ['abc', 'A whole number from 1 to 4,096 is needed.', 'count', n]);
      await page.locator('#count').fill('3');
      await page.locator('#count').blur();
      assert.equal(await page.locator('#count-wrong').textContent(), '');
      // Another draw, and back
      await page.locator('#tokens .tok').nth(1).click();
      const was = (await shown(page))[1];
      await page.getByRole('button', { name: 'Draw another here' }).click();
      await settled(page, 2);
      await eventually(async () => (await shown(page))[1], (now) => assert.notEqual(now, was));
      await page.locator('#back').click();
      await settled(page, 1);
      await until(page, () => document.querySelectorAll('#tree .go').length === 3); // the first token, and two ways on
      assert.ok(n >= 1);
    }, { hash: '#seed=3&t=0.8' }));

  test('writes until the context is full, and says so; where no memory is left, older sessions give way', async () => {
    const tokenizer = await Tokenizer.load(BUNDLED);
    let prompt = '', length = 0;
    while (length < 480) length = tokenizer.encode((prompt += 'The cat sat on the mat. '), { addSpecialTokens: true }).ids.length;
    tokenizer.dispose();
    await onPage(async (page) => {
      await FAST(page, 600);
      await press(page, 'Play');
      await until(page, () => /All 512 tokens are used: the length that the model was trained for/.test(document.querySelector('mt-run-control').text));
      assert.equal((await shown(page)).length, 512 - length);
      await page.locator('#tokens .tok').nth(4).click();
      await settled(page, 512 - length);
      await page.locator('#chain tbody button').nth(2).click();
      await settled(page, 5);
      await press(page, 'Play');
      await until(page, () => /All 512 tokens/.test(document.querySelector('mt-run-control').text));
      assert.equal(await page.locator('#problem').isHidden(), true);
    }, { hash: `#t=0&prompt=${encodeURIComponent(prompt)}` });
  });

  test('with the keyboard alone; on a phone, in the dark', () =>
    onPage(async (page) => {
      await page.locator('#count').fill('6');
      await page.locator('#pace').selectOption('0');
      await page.locator('mt-run-control').getByRole('button', { name: 'Play' }).focus();
      await page.keyboard.press('Enter');
      await settled(page, 6);
      await page.locator('#tokens .tok.next').focus();
      await page.keyboard.press('ArrowLeft');
      await page.keyboard.press('Home');
      assert.equal(await page.evaluate(() => [...document.querySelectorAll('#tokens .tok')].indexOf(document.activeElement)), 0);
      await settled(page, 6);
      await page.locator('#chain tbody tr:not(.chosen) button').first().focus();
      await page.keyboard.press('Enter');
      await settled(page, 1);
      assert.ok(await page.evaluate(() => document.activeElement.closest('#chain')), 'the focus stays in the table');
      await page.evaluate(() => { for (const fold of document.querySelectorAll('main details')) fold.open = true; });
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
      await axe(page, 'phone');
    }, { context: { viewport: { width: 390, height: 844 }, colorScheme: 'dark' } }));

  test('where the law leaves one token, another draw says so; a model that reads both ways is refused; forced colours', () =>
    onPage(async (page) => {
      await FAST(page, 4);
      await press(page, 'Play');
      await settled(page, 4);
      await page.locator('#tokens .tok').nth(2).click();
      await settled(page, 4);
      await page.locator('#again').click();
      await until(page, () => /No other token was drawn/.test(document.getElementById('problem').textContent));
      assert.equal((await shown(page)).length, 4);
      assert.match(await page.locator('#told').textContent(), /^temperature: keeps 1, removes 2,047 with .*% of the probability; the last that stays is .*, the first that goes /);
      await axeInThemes(page, 'forced colours');
      await page.evaluate(() => document.querySelector('mt-model-picker').load('/models/family/encoder.gguf'));
      await until(page, () => /does not write from left to right/.test(document.getElementById('problem').textContent));
      await eventually(() => page.locator('#chain tr').count(), 0);
      await page.evaluate(() => document.querySelector('mt-model-picker').load('/models/family/twin-byte.gguf'));
      await page.locator('#problem').waitFor({ state: 'hidden' });
      await settled(page, 0);
      await press(page, 'Play');
      await settled(page, 4);
      assert.match(await page.locator('mt-run-control .text').textContent(), /^4 written, 21 of 1,024 tokens$/);
    }, { hash: '#t=0', context: { forcedColors: 'active' } }));

  test('errors: a prompt that is too long, a broken file, a link of another model, a worker that cannot start', async () => {
    await onPage(async (page) => {
      await until(page, () => /written by another model/.test(document.getElementById('problem').textContent));
      await page.locator('#prompt').fill('word '.repeat(700));
      await until(page, () => /The prompt has .* tokens; the most is 512/.test(document.getElementById('problem').textContent));
      await page.evaluate(() => {
        const data = new DataTransfer();
        data.items.add(new File(['no model'], 'letter.gguf'));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
      });
      await until(page, () => /letter\.gguf could not be opened/.test(document.querySelector('mt-model-picker').shadowRoot.textContent));
      await page.locator('#prompt').fill('<b>bold</b> ');
      await page.locator('#problem').waitFor({ state: 'hidden' });
      await settled(page, 0);
      assert.equal(await page.locator('.text b').count(), 0);
      await axe(page, 'after errors');
    }, { hash: '#path=zzzz' });
    const missing = await serve({ routes: { '/demos/generate/chain_worker.js': (_, response) => response.writeHead(404).end() } });
    try {
      await onPage(async (page) => {
        await until(page, () => /the worker that samples did not start/.test(document.getElementById('problem').textContent));
      }, { at: missing, allow: [/chain_worker/], ready: false });
    } finally {
      await missing.close();
    }
  });
});

describe('demos/generate in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
  test('writes, branches, tells', () =>
    visitInFirefox('demos/generate/#seed=7&count=8', async (page) => {
      await settled(page);
      await page.evaluate(() => {
        document.getElementById('pace').value = '0';
        document.querySelector('mt-run-control').shadowRoot.querySelector('button').click();
      });
      await settled(page, 8);
      await page.evaluate(() => document.querySelectorAll('#chain tbody button')[1].click());
      await settled(page, 9);
      assert.match(await page.evaluate(() => document.querySelector('mt-run-control').text), /^9 written/);
    }, { isolated: false, base: '/some/folder/' }));
});
