// The tour: what its lessons say against the package, where its steps lead, ticks in the address, and worksheets that fit on paper.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { LESSONS, addressOf } from '../../demos/tour/lessons.js';
import { ByteModel, Model, Tokenizer } from '../../web/index.js';
import { ablate, attentionOf, attentionSinks, logitLens, patchingMap } from '../../web/inspect.js';
import { LabRun, findLab } from '../../web/lab/index.js';
import { totalVariation } from '../../web/elements/format.js';
import { axe, axeInThemes, CHROMIUM, chromium, FIREFOX, ROOT, serve, until, visit, visitInFirefox } from './support.mjs';

const at = (/** @type {string} */ file) => path.join(ROOT, 'models', file);
const [tokens, cut, inside, generation, claims] = LESSONS;
const STEPS = LESSONS.flatMap(({ steps }) => steps);
const words = JSON.stringify(LESSONS);

test('lessons are whole: ids differ, pages exist, grids are filled in as they are asked', () => {
  assert.equal(LESSONS.length, 5);
  assert.equal(new Set(STEPS.map(({ id }) => id)).size, STEPS.length);
  for (const { page } of STEPS) assert.ok(existsSync(path.join(ROOT, 'demos', page, 'index.html')), page);
  for (const { tasks, steps, questions } of LESSONS) {
    assert.ok(steps.length >= 4 && questions.length >= 3 && tasks.length >= 3);
    for (const { task, grid, solved, answer } of tasks) {
      assert.ok(answer || solved, `${task}: no answer`);
      if (grid && solved) assert.deepEqual(solved.map((row) => [row.length, row[0]]), grid.rows.map((row) => [grid.head.length, row[0]]), task);
    }
  }
});

describe('what the lessons say is so', () => {
  let model, bytes;
  before(async () => {
    model = await Model.load(at('microtome-tiny.gguf'));
    bytes = new ByteModel(model);
  });
  after(() => model?.dispose());
  const start = () => model.tokenizer.bos ?? model.tokenizer.eos;
  const piece = (/** @type {number} */ id) => new TextDecoder().decode(model.tokenizer.tokenBytes(id));

  test('tokens: counts and cuts', async () => {
    const kinds = [model.tokenizer, await Tokenizer.load(at('vocabularies/bpe-16k.json')), await Tokenizer.builtin('byt5')];
    const count = (text) => kinds.map((tokenizer) => String(tokenizer.encode(text, { offsets: false }).ids.length));
    for (const [text, ...counts] of tokens.tasks[0].solved.slice(0, -1)) assert.deepEqual(counts, count(text), text);
    const [{ spaced, answer }] = tokens.tasks.filter((task) => task.spaced);
    assert.ok(answer.startsWith([...model.tokenizer.encode(spaced, { offsets: false }).ids].map(piece).join('|')), answer);
    assert.equal(kinds[1].vocabSize / kinds[0].vocabSize, 8, 'eight times as large');
    assert.match(words, /“ cat” and “ mat” as whole pieces/);
    const large = [...kinds[1].encode('The cat sat on the mat.', { offsets: false }).ids].map((id) => new TextDecoder().decode(kinds[1].tokenBytes(id)));
    assert.ok(large.includes(' cat') && large.includes(' mat'));
    assert.deepEqual(count('λόγος').slice(0, 2), ['10', '10']);
  });

  test('the cut: the table of prompts, and the share of m', async () => {
    for (const [prompt, naive, exact, distance] of cut.tasks[0].solved) {
      const result = await bytes.next(prompt), p = [...result.bytes, result.end].map(Math.exp), q = [...result.naive].map(Math.exp), best = (list) => String.fromCharCode(list.indexOf(Math.max(...list)));
      assert.deepEqual([naive, exact, distance], [best(q), best(p), totalVariation(p, q).toFixed(3)], prompt);
      if (prompt.endsWith('ti')) assert.equal((100 * q['m'.charCodeAt(0)]).toFixed(3), '0.005');
      if (prompt.endsWith('time')) assert.equal(model.tokenizer.encode(' time', { offsets: false }).ids.length, 1);
    }
    const far = async (text) => {
      const result = await bytes.next(text);
      return totalVariation([...result.bytes, result.end].map(Math.exp), [...result.naive].map(Math.exp));
    };
    assert.ok((await far('The litt')) < 0.05);
    assert.equal((await far('Once upon a')).toFixed(2), '0.02');
    for (const [i] of [...'Once'].entries()) if (i < 3) assert.ok((await far('Once'.slice(0, i + 1))) > 0.63);
  });

  test('inside: the lens, the head, the way of the difference', async () => {
    const text = 'The little girl was hungry because', other = 'The little boy was hungry because';
    const { rows, ids, cells } = await logitLens(model, text), width = ids.length;
    const [she, he] = [' she', ' he'].map((word) => model.tokenizer.encode(word, { offsets: false }).ids[0]), percent = (p) => `${Math.round(100 * p)} %`;
    for (const [layer, token, share] of inside.tasks[0].solved) {
      const cell = cells[rows.indexOf(layer) * width + width - 1];
      assert.deepEqual([token, share], [piece(cell.token).trim(), percent(cell.probability)], layer);
    }
    const chanceOf = (logits, id) => {
      const most = Math.max(...logits);
      return Math.exp(logits[id] - most) / logits.reduce((sum, x) => sum + Math.exp(x - most), 0);
    };
    const HEAD = [{ kind: 'head', layer: 5, head: 1 }], found = await ablate(model, text, HEAD), shares = Object.fromEntries(inside.tasks[1].solved);
    assert.equal(shares.nothing, percent(chanceOf(found.before, she)));
    assert.equal(shares['head 5.1'], percent(chanceOf(found.after, she)));
    assert.equal(shares['attention of layer 5'], percent(chanceOf((await ablate(model, text, [{ kind: 'attention', layer: 5 }])).after, she)));
    const boy = await ablate(model, other, HEAD);
    assert.ok(chanceOf(boy.before, he) > 3 * chanceOf(boy.after, he), 'the same head for the boy');
    const girl = [...ids].findIndex((id) => piece(id) === ' girl');
    const { places, byHead, heads } = await patchingMap(model, text, other);
    for (let layer = 0; layer <= 5; layer++) assert.ok(places.state[layer * width + girl] > 0.9, `state ${layer}`);
    assert.ok(places.attention[5 * width + width - 1] > 0.9);
    assert.ok(byHead[5 * heads + 1] > 0.5, 'by putting its output into the other text');
    assert.equal(Math.round(attentionSinks(await attentionOf(model, text)).rate[0] / 20), 4, 'four heads of five');
  });

  test('generation: how many tokens stay, and three logits by hand', async () => {
    for (const [prompt, kept, likeliest] of generation.tasks[1].solved) {
      const { logits } = await model.run([start(), ...model.tokenizer.encode(prompt, { offsets: false }).ids]), most = Math.max(...logits), e = [...logits].map((x) => Math.exp(x - most)), sum = e.reduce((a, b) => a + b, 0);
      const sorted = e.map((x, id) => /** @type {const} */ ([x / sum, id])).sort((a, b) => b[0] - a[0]);
      let mass = 0, count = 0;
      while (mass < 0.9) mass += sorted[count++][0];
      assert.deepEqual([kept, likeliest], [String(count), `${piece(sorted[0][1]).trim()}, ${Math.round(100 * sorted[0][0])} %`], prompt);
    }
    for (const [temperature, ...shares] of generation.tasks[2].solved) {
      const e = [2, 1, 0].map((logit) => Math.exp(logit / Number(temperature))), sum = e.reduce((a, b) => a + b, 0);
      assert.deepEqual(shares, e.map((x) => (x / sum).toFixed(3)), temperature);
    }
    let text = '';
    for await (const { text: more } of model.generate('Once upon a time', { temperature: 0, maxTokens: 160 })) text += more;
    assert.ok(text.startsWith(', there was a little girl named Lily.'));
    assert.ok(text.split('very kind').length > 4, 'it circles');
  });

  test('claims: the losses of two seeds, and the checks that a quick run fails', async () => {
    const lab = await findLab('induction-heads');
    for (const [seed, two, one, verdict] of claims.tasks[0].solved) {
      const run = await LabRun.create(lab, { preset: 'quick', seed: Number(seed) });
      await run.play();
      const { checks, pass } = run.verdict(), value = (name) => checks.find(({ what }) => what === name).value;
      assert.deepEqual([two, one, verdict], [value('loss on the copies, two layers').toFixed(3), value('loss on the copies, one layer').toFixed(2), pass ? 'holds' : 'does not hold'], seed);
      run.dispose();
    }
    const run = await LabRun.create(await findLab('fair-lm-paradox'), { preset: 'quick', seed: 1 });
    await run.play();
    assert.deepEqual(run.verdict().checks.map(({ pass }) => pass), [false, false, true, false]);
    run.dispose();
  });
});

describe('demos/tour in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server;
  before(async () => {
    browser = await chromium();
    server = await serve({ isolated: false });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check, { url = 'demos/tour/', ...options } = {}) => visit(browser, server.url(url), check, options);

  test('lessons, folded answers, ticks that come back with the back button, and nothing stored', () =>
    onPage(async (page) => {
      assert.deepEqual(await page.locator('#lessons .name').allTextContents(), LESSONS.map(({ title }) => title));
      for (const [i, { title, steps, questions }] of LESSONS.entries()) {
        assert.deepEqual([await page.locator('#title').textContent(), await page.locator('.what').allTextContents()], [title, steps.map(({ what }) => what)]);
        assert.deepEqual(await page.locator('#questions details').evaluateAll((list) => list.map((one) => [one.open, one.querySelector('p').textContent])), questions.map(({ answer }) => [false, answer]));
        assert.deepEqual(await page.locator('#steps a').evaluateAll((list) => list.map((a) => a.href)), steps.map((step) => new URL(addressOf(step), server.url('demos/tour/')).href));
        await axe(page, title);
        await page.locator('#next').click();
        await until(page, (next) => document.getElementById('title').textContent === next && document.activeElement.id === 'title', LESSONS[(i + 1) % 5].title);
      }
      await page.locator('#lessons a').nth(1).click();
      await until(page, (title) => document.getElementById('title').textContent === title, cut.title);
      await page.locator('#steps input').nth(2).check();
      await page.locator('#steps a').nth(0).click();
      await page.waitForURL(/bytes\/#/);
      await page.goBack();
      await until(page, (title) => document.getElementById('title')?.textContent === title, cut.title);
      assert.deepEqual(await page.locator('#steps input').evaluateAll((list) => list.map((box) => box.checked)), [true, false, true, false, false]);
      assert.equal(await page.locator('#lessons .state').nth(1).textContent(), '2 of 5 steps');
      for (const box of await page.locator('#steps input').all()) await box.check();
      assert.equal(await page.locator('#lessons .state').nth(1).textContent(), '✓ done');
      assert.deepEqual(await page.evaluate(async () => [localStorage.length, sessionStorage.length, document.cookie, (await indexedDB.databases()).length]), [0, 0, '', 0]);
    }));

  /** Remembers in the page what it has written into its address. */
  const remember = (page) => page.addInitScript(() => {
    const write = history.replaceState.bind(history);
    globalThis.written = [];
    history.replaceState = (...how) => {
      write(...how);
      globalThis.written.push(location.hash);
    };
  });

  for (const { title, steps } of LESSONS)
    test(`the steps of ‘${title}’ open their pages in the state they promise`, async () => {
      for (const step of steps)
        await onPage(async (page) => {
          if (step.page === 'train/') return until(page, (size) => document.getElementById('size').value === size, step.state.size);
          await until(page, () => globalThis.written.length); // a page writes its own state into the address, and drops what it does not know
          for (const hash of await page.evaluate(() => [...globalThis.written, location.hash])) {
            const now = new URLSearchParams(hash.slice(1));
            assert.deepEqual(Object.keys(step.state).map((key) => now.get(key)), Object.values(step.state), step.id);
          }
        }, { prepare: remember, url: `demos/${step.page}#${new URLSearchParams(step.state)}` });
    });

  test('worksheets: every task, answers on request, one page of A4 each', () =>
    onPage(async (page) => {
      for (const { id, title, tasks } of LESSONS)
        for (const answers of [false, true]) {
          await page.locator('#which').selectOption(id);
          await page.locator('#answers').setChecked(answers);
          assert.equal(await page.locator('#title').textContent(), title);
          assert.deepEqual(await page.locator('.tasks > li > p:first-child').allTextContents(), tasks.map(({ task }) => task));
          assert.equal(await page.locator('.answer').count(), answers ? tasks.filter(({ answer }) => answer).length : 0);
          await axe(page, `${id} ${answers}`);
          const pdf = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
          assert.equal([...pdf.matchAll(/\/Type\s*\/Page\b/g)].length, 1, `${id}, answers ${answers}: one page`);
          assert.match(pdf, /MediaBox \[0 0 59[45][.\d]* 84[12][.\d]*\]/);
        }
      await page.goto(server.url('demos/tour/worksheet.html#lesson=inside&answers=1'));
      await until(page, (title) => document.getElementById('title').textContent === title, inside.title);
      assert.ok(await page.locator('#answers').isChecked());
      assert.equal(await page.locator('#back').getAttribute('href'), './#lesson=inside');
    }, { url: 'demos/tour/worksheet.html' }));

  test('in the dark, with forced colours, on a phone', async () => {
    for (const url of ['demos/tour/#lesson=inside&done=c1.c2', 'demos/tour/worksheet.html#lesson=generation'])
      await onPage(async (page) => {
        await axeInThemes(page, url);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${url} scrolls sideways`);
      }, { context: { viewport: { width: 390, height: 844 } }, url });
  });
});

describe('demos/tour in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
  test('a lesson from its link, with ticks; a worksheet', () =>
    visitInFirefox('demos/tour/#lesson=inside&done=c2.nonsense', async (page, server) => {
      await until(page, (title) => document.getElementById('title').textContent === title, inside.title);
      assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('#steps input')].map((box) => box.checked)), [false, true, false, false, false]);
      await page.goto(server.url('demos/tour/worksheet.html#lesson=claims'));
      await until(page, (count) => document.querySelectorAll('.tasks > li').length === count, claims.tasks.length);
    }, { isolated: false }));
});
