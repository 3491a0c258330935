// The page demos/atlas in real browsers: every system with its claim, search and links, runs with their numbers, the queue, cancelling, errors.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { SYSTEMS, runSystem } from '../../web/atlas/run.js';
import { formatNumber } from '../../web/lab/plots.js';
import { FIELDS, haystack, matches } from '../../demos/atlas/fields.js';
import { axe, axeInThemes, CHROMIUM, chromium, eventually, FIREFOX, saved, serve, until, visit, visitInFirefox } from './support.mjs';

const MARKOV = 'tokenization-bias-markov', HOMOMORPHISM = 'byte-bpe-homomorphism', LABS_ONLY = 'bico-reversal-curse';
const [LONG] = SYSTEMS.filter(({ id }) => id === 69); // its lab trains for minutes, in full: it ends when it is cancelled
const works = SYSTEMS.filter(({ run }) => run);

const built = (page) => until(page, () => document.getElementById('found').textContent !== '');
const done = (page, slug) => until(page, (s) => { const { dataset } = document.getElementById(`system-${s}`); return dataset.phase === 'idle' && document.querySelector(`#system-${s} .outcome`).textContent !== ''; }, slug);
const visible = (page) => page.evaluate(() => [...document.querySelectorAll('.system:not([hidden])')].map((card) => card.id.slice('system-'.length)));

test('every field has a name, and a search finds by words, marks aside, and by whole numbers', () => {
  assert.deepEqual([...new Set(SYSTEMS.map(({ field }) => field))].sort(), Object.keys(FIELDS).sort());
  const hay = haystack({ id: 48, slug: 'a-b', title: 'Ärger mit Tokens', field: 'bias', claim: 'In 2048 pieces', status: 'works' });
  for (const [query, found] of [['', true], ['arger', true], ['ÄRGER tokens', true], ['tokens arger pieces', true], ['48', true], ['#48', true], ['4', false], ['204', false], ['2048', true], ['bias', true], ['argers', false]]) assert.equal(matches(hay, query), found, query);
});

describe('demos/atlas in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server;
  before(async () => {
    browser = await chromium();
    server = await serve();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check, { hash = '', at = server, ...options } = {}) => visit(browser, at.url('demos/atlas/') + hash, check, { ready: built, ...options });

  test('every system is there with its claim, what is missing or a button, and the counts are those of the list', () =>
    onPage(async (page) => {
      const cards = await page.evaluate(() => Object.fromEntries([...document.querySelectorAll('.system')].map((card) => [card.id.slice(7), {
        title: card.querySelector('summary h3').textContent, claim: card.querySelector('.claim').textContent, lacks: card.querySelector('.lacks')?.textContent ?? null, field: card.closest('.field').querySelector('h2').textContent,
        button: card.querySelector('button') !== null, lab: card.querySelector('.go a')?.getAttribute('href') ?? null,
      }])));
      assert.equal(Object.keys(cards).length, SYSTEMS.length);
      for (const { slug, title, claim, missing, run, field } of SYSTEMS) {
        const { lab, ...card } = cards[slug];
        assert.deepEqual(card, { title, claim, lacks: run ? null : `Missing: ${missing}`, field: FIELDS[field], button: !!run });
        assert.equal(run === 'lab' && !lab, false, `${slug} has a lab`);
      }
      assert.equal(await page.locator('#overview-count').textContent(), `${SYSTEMS.length} papers, ${works.length} run here`);
      assert.deepEqual(await page.locator('#show .n').evaluateAll((all) => all.map((one) => Number(one.textContent))), [SYSTEMS.length, works.length, SYSTEMS.length - works.length, 0]);
      assert.deepEqual(await page.evaluate(() => [document.querySelectorAll('details.field').length, document.querySelectorAll('.field[open], .system[open]').length]), [Object.keys(FIELDS).length, 0], 'all is folded');
      await page.evaluate(() => { for (const field of document.querySelectorAll('.field')) field.open = true; });
      await axe(page, 'the whole list');
    }));

  test('the overview has a mark for every paper, in its field and with its state; arrows walk over them; one that is chosen goes to its card', () =>
    onPage(async (page) => {
      const marks = await page.locator('#fields li').evaluateAll((groups) => groups.map((group) => [group.querySelector('.name').textContent, group.querySelector('.of').textContent, [...group.querySelectorAll('a.mark')].map((mark) => [mark.getAttribute('href').slice('#system='.length), mark.getAttribute('aria-label'), mark.dataset.state])]));
      assert.deepEqual(marks.map(([name, of, all]) => [name, of, all.length]), Object.entries(FIELDS).map(([key, name]) => {
        const all = SYSTEMS.filter(({ field }) => field === key);
        return [name, `${all.filter(({ run }) => run).length} of ${all.length} run here`, all.length];
      }));
      for (const [slug, label, state] of marks.flatMap(([, , all]) => all)) {
        const { id, title, run } = SYSTEMS.find((one) => one.slug === slug);
        assert.deepEqual([label, state], [`No. ${id}, ${title}: ${run ? 'runs here' : 'not yet'}`, run ? 'works' : 'missing']);
      }
      const order = marks.flatMap(([, , all]) => all.map(([slug]) => slug)), at = () => page.evaluate(() => document.activeElement.getAttribute('href')?.slice('#system='.length));
      assert.equal(await page.locator('#fields a.mark[tabindex="0"]').count(), 1);
      await page.locator('#fields a.mark').first().focus();
      for (const [key, want] of [['ArrowRight', order[1]], ['ArrowRight', order[2]], ['ArrowLeft', order[1]], ['End', order.at(-1)], ['ArrowRight', order.at(-1)], ['Home', order[0]], ['ArrowUp', order[0]]]) {
        await page.keyboard.press(key);
        assert.equal(await at(), want, key);
      }
      const place = () => page.evaluate(() => { const { left, top } = document.activeElement.getBoundingClientRect(); return [left, top]; });
      const [x0, y0] = await place();
      await page.keyboard.press('ArrowDown');
      const [x1, y1] = await place();
      assert.ok(x1 === x0 && y1 > y0, 'the one below');
      const slug = await at(), { title, id, claim } = SYSTEMS.find((one) => one.slug === slug);
      assert.equal(await page.locator('#readout').textContent(), `${title} No. ${id}, ${works.some((one) => one.id === id) ? 'runs here' : 'not yet'}. ${claim}`);
      await page.keyboard.press('Enter');
      assert.deepEqual(await page.evaluate(() => { const card = document.activeElement.closest('.system'); return [card.id, card.open, card.closest('.field').open, document.activeElement.localName]; }), [`system-${slug}`, true, true, 'summary']);
      assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('.system[open]')].length), 1);
    }));

  test('search, field and filter together; the link restores them; a card that is hidden comes when its link asks', () =>
    onPage(async (page) => {
      await page.locator('#fields button', { hasText: 'Tokenization bias' }).click();
      assert.deepEqual(await visible(page), SYSTEMS.filter(({ field }) => field === 'bias').map(({ slug }) => slug));
      await page.locator('#show input[value=works]').check();
      await page.locator('#search').fill('probabilities');
      const fit = works.filter((one) => one.field === 'bias' && matches(haystack(one), 'probabilities')).map(({ slug }) => slug);
      assert.ok(fit.length > 0 && fit.length < 4);
      await until(page, (n) => document.querySelectorAll('.system:not([hidden])').length === n, fit.length);
      assert.deepEqual(await visible(page), fit);
      await until(page, () => location.hash.includes('probabilities'));
      await page.reload();
      await built(page);
      assert.deepEqual([await visible(page), await page.locator('#search').inputValue(), await page.locator('#show input:checked').inputValue()], [fit, 'probabilities', 'works']);
      await page.locator('#search').fill('no such words');
      await until(page, () => /No paper fits/.test(document.getElementById('found').textContent));
      assert.equal(await page.locator('#systems h2:visible').count(), 0);
      await page.evaluate(() => { location.hash = '#system=1'; });
      await until(page, () => document.activeElement.closest('.system'));
      assert.equal(await page.evaluate(() => document.activeElement.closest('.system').id), `system-${SYSTEMS[0].slug}`);
      assert.ok(await page.locator('.target').isVisible());
      for (const hash of ['48', MARKOV]) { // the short way
        await page.evaluate((to) => { location.hash = to; }, hash);
        await until(page, (s) => document.activeElement.closest('.system')?.id === `system-${s}`, MARKOV);
        await page.evaluate(() => { location.hash = '#system=1'; });
        await until(page, (s) => document.activeElement.closest('.system')?.id === `system-${s}`, SYSTEMS[0].slug);
      }
      await page.evaluate(() => { location.hash = '#system=nothing'; });
      await until(page, () => /no system ‘nothing’/.test(document.getElementById('page-problem').textContent));
    }));

  test('a run gives the numbers of the package beside the published ones, and the files have them', async () => {
    const own = await runSystem(MARKOV);
    await onPage(async (page) => {
      assert.equal(await page.evaluate(() => document.activeElement.closest('.system').id), `system-${MARKOV}`);
      await page.locator(`#system-${MARKOV} .go button`).click();
      await done(page, MARKOV);
      const card = page.locator(`#system-${MARKOV}`);
      assert.match(await card.locator('.verdict').textContent(), /The claim holds in this run: 3 of 3/);
      assert.equal(await card.locator('.number').textContent(), formatNumber(own.obtained.headline.value));
      assert.equal(await card.locator('.beside > div').nth(1).locator('.small').textContent(), own.published);
      assert.deepEqual(await card.locator('tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].slice(0, 3).map((cell) => cell.textContent))), own.obtained.checks.map(({ what, value, bound }) => [what, formatNumber(value), bound]));
      const list = JSON.parse((await saved(page, () => page.locator('#keep button', { hasText: 'JSON' }).click())).text);
      assert.deepEqual([list.length, list.filter(({ run }) => run).map(({ slug, run }) => [slug, run.verdict, run.full, run.obtained.checks.length])], [SYSTEMS.length, [[MARKOV, 'holds', false, 3]]]);
      assert.match((await saved(page, () => page.locator('#keep button', { hasText: 'CSV' }).click())).text, new RegExp(`^48,${MARKOV},.*,holds,`, 'm'));
      assert.match(await page.locator(`#fields a.mark[href="#system=${MARKOV}"]`).getAttribute('aria-label'), /: holds$/);
      await page.locator('#show input[value=ran]').check();
      assert.deepEqual(await visible(page), [MARKOV]);
      await axe(page, 'a result');
    }, { hash: `#system=${MARKOV}` });
  });

  test('the queue: one after another, in what is shown; cancelling one, or all, and running again; the page answers meanwhile', () =>
    onPage(async (page) => {
      const lab = page.locator(`#system-${LONG.slug}`), second = page.locator(`#system-${HOMOMORPHISM}`);
      await page.evaluate((slugs) => { for (const slug of slugs) { const card = document.getElementById(`system-${slug}`); card.open = card.closest('.field').open = true; } }, [LONG.slug, HOMOMORPHISM]);
      await page.evaluate(() => {
        globalThis.turns = 0;
        const turn = () => { globalThis.turns++; setTimeout(turn, 20); };
        turn();
      });
      await page.locator('#full').check();
      await lab.locator('.go button').click();
      await page.locator('#full').uncheck();
      await until(page, (s) => document.querySelector(`#system-${s} progress`).value > 0, LONG.slug);
      await second.locator('.go button').click();
      assert.deepEqual([await lab.getAttribute('data-phase'), await second.getAttribute('data-phase'), await page.locator('#run-shown').textContent()], ['running', 'waiting', 'Cancel all 2 runs']);
      const turns = await page.evaluate(() => globalThis.turns);
      await until(page, (n) => globalThis.turns > n + 5, turns);
      await second.locator('.go button').click();
      assert.equal(await second.getAttribute('data-phase'), 'idle', 'what waits goes at once');
      await second.locator('.go button').click();
      await lab.locator('.go button').click();
      await done(page, HOMOMORPHISM);
      assert.deepEqual([await second.getAttribute('data-verdict'), await lab.getAttribute('data-verdict'), await lab.getAttribute('data-phase'), await lab.locator('.outcome').isHidden()], ['holds', null, 'idle', true]);
      await page.locator('#search').fill(String(LONG.id));
      await page.locator('#show input[value=works]').check();
      await until(page, (s) => document.querySelectorAll('.system:not([hidden])').length === 1 && !document.getElementById(`system-${s}`).hidden, LONG.slug);
      assert.equal(await page.locator('#run-shown').textContent(), 'Run the one that can be run');
      await page.locator('#full').check();
      await page.locator('#run-shown').click();
      await until(page, (s) => document.getElementById(`system-${s}`).dataset.phase === 'running', LONG.slug);
      await page.locator('#run-shown').click();
      await eventually(() => lab.getAttribute('data-phase'), 'idle');
    }));

  test('a worker that cannot start is told on the card, and the next try starts another', async () => {
    let broken = true;
    const missing = await serve({ routes: { '/demos/atlas/worker.js': (_, response) => (broken ? response.writeHead(404, { 'Cache-Control': 'no-store' }).end() : response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(readFileSync(new URL('../../demos/atlas/worker.js', import.meta.url)))) } });
    try {
      await onPage(async (page) => {
        await page.evaluate(() => { location.hash = '48'; });
        await page.locator(`#system-${MARKOV} .go button`).click();
        await done(page, MARKOV);
        assert.match(await page.locator(`#system-${MARKOV} .problem`).textContent(), /could not be run: .*worker/);
        await axe(page, 'a failure');
        broken = false;
        await page.locator(`#system-${MARKOV} .go button`).click();
        await until(page, (s) => document.getElementById(`system-${s}`).dataset.verdict === 'holds', MARKOV);
      }, { at: missing, allow: [/worker\.js/] });
    } finally {
      await missing.close();
    }
  });

  test('with the keyboard, in the dark, with forced colours, on a phone; under a subfolder without shared memory', async () => {
    const sub = await serve({ isolated: false, base: '/some/folder/' });
    try {
      await onPage(async (page) => {
        await axeInThemes(page, 'on a phone');
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it scrolls sideways');
      }, { context: { viewport: { width: 390, height: 844 } }, hash: '#field=bias', at: sub });
      await onPage(async (page) => {
        await page.locator('#search').focus();
        await page.keyboard.type('48');
        await until(page, () => document.querySelectorAll('.system:not([hidden])').length === 1);
        for (let i = 0; i < 12 && !(await page.evaluate(() => document.activeElement.closest('.go'))); i++) await page.keyboard.press('Tab');
        await page.keyboard.press('Enter');
        await done(page, MARKOV);
        assert.ok(await page.evaluate(() => document.activeElement.closest('.go') !== null), 'the focus stays');
      }, { at: sub });
    } finally {
      await sub.close();
    }
  });

  test('the code on the page runs', () =>
    onPage(async (page) => {
      const source = (await page.locator('#code').textContent()).replaceAll('console.log', 'said').replace("'microtome/atlas'", JSON.stringify(new URL('../../web/atlas/run.js', import.meta.url).href));
      globalThis.saidByCode = [];
      await import(`data:text/javascript,${encodeURIComponent(`const said = (...words) => globalThis.saidByCode.push(words.join(' '));\n${source}`)}`);
      assert.match(globalThis.saidByCode[0], new RegExp(`^${works.length} of ${SYSTEMS.length} papers`));
      assert.match(globalThis.saidByCode.at(-1), /^holds after .* seconds$/);
    }));
});

describe('demos/atlas in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
  test('a runner that needs a model of its own, and a lab, give their verdicts', () =>
    visitInFirefox('demos/atlas/#q=token', async (page) => {
      await built(page);
      for (const slug of ['token-alignment-character-matching', LABS_ONLY]) {
        await page.evaluate((s) => document.querySelector(`#system-${s} .go button`).click(), slug);
        await done(page, slug);
        assert.match(await page.evaluate((s) => document.querySelector(`#system-${s} .verdict`).textContent, slug), /The claim (holds|does not hold) in this run/);
      }
    }, { isolated: false }));
});
