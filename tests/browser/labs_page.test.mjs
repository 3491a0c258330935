// The page demos/labs in real browsers: a quick run of the fastest lab, with its curves, verdict, pause, files, link and errors.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { LABS } from '../../web/labs/index.js';
import { LabRun, findLab } from '../../web/lab/index.js';
import { readAddress, writeAddress } from '../../demos/labs/address.js';
import { codeOf } from '../../demos/labs/code.js';
import { tablesOf } from '../../demos/labs/tables.js';
import { axe, CHROMIUM, chromium, eventually, FIREFOX, PATIENCE, ROOT, saved, serve, until, visit, visitInFirefox } from './support.mjs';

const FAST = '#lab=bico-reversal-curse&preset=quick&seed=1';
const SHORT = `${FAST}&k.steps=50&k.every=10`;

/** A lab of one's own beside the page: it reads a text, and breaks when it is told to. */
const OWN = `
import { below, defineLab } from '/web/lab/index.js';
export default defineLab({
  id: 9002, name: 'own', title: 'My own <lab>', claim: 'Texts can be read.', published: 'They were.', source: 'Nobody', notes: [], texts: ['prose'],
  config: { steps: { value: 1000000, min: 1, max: 1000000, label: 'steps' }, fails: { value: false, label: 'fail at step 3', live: true } },
  presets: { quick: {}, full: {} },
  setup: (run) => ({ w: run.params.param('w', [1], { normal: 1 }), bytes: run.texts('prose').length }),
  async step(run, { bytes }) {
    await new Promise((done) => setTimeout(done, 5)); // it must not end, nor flood the page, before the test has clicked
    if (run.config.fails && run.step >= 3) throw new Error('told to');
    return { bytes };
  },
  series: { bytes: { label: 'bytes' } }, plots: [{ type: 'line', series: ['bytes'], title: 'Bytes & more' }],
  headline: ([arm]) => ({ label: 'bytes', value: arm.last.bytes }), verdict: ([arm]) => [below('bytes', arm.last.bytes, 1)],
});`;
const ROUTES = {
  '/demos/labs/own.js': (/** @type {any} */ _, /** @type {import('node:http').ServerResponse} */ response) => response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(OWN),
};

/** Waits for a phase of the run. */
const phase = (page, ...names) => until(page, (those) => those.includes(document.getElementById('lab').dataset.phase), names);
/** Waits until the list and a lab are there. */
const opened = (page) => until(page, () => document.querySelector('#labs a') && !document.getElementById('lab').hidden);
const text = (page, id) => page.evaluate((id) => document.getElementById(id).textContent, id);

test('a link says what it was made of, and what is wrong in it stays visible', () => {
  const hash = writeAddress({ lab: 'a-b', preset: 'full', seed: 7, knobs: { rate: 0.001, on: false, lab: 'x & y' } });
  assert.deepEqual(readAddress(hash), { lab: 'a-b', preset: 'full', seed: '7', knobs: { rate: '0.001', on: 'false', lab: 'x & y' } });
  assert.deepEqual(readAddress(''), { lab: null, preset: null, seed: null, knobs: {} });
});

test('tables hold the numbers of their plots', () => {
  const arm = (name, series, pictures = {}) => ({ name, config: {}, seed: 1, step: 0, done: false, series, last: Object.fromEntries(Object.entries(series).filter(([, p]) => p.length).map(([k, p]) => [k, p.at(-1)[1]])), pictures });
  const lab = { series: { loss: { label: 'loss' }, score: { label: 'score' } } };
  const many = Array.from({ length: 101 }, (_, i) => [i, 2 * i]);
  const arms = [arm('a', { loss: many, score: [[0, 0.5], [100, NaN]] }, { p: { rows: 1, cols: 2, values: [1, 2], labels: { rows: ['r'], cols: ['x', 'y'] } } }), arm('b', { loss: [], score: [] })];
  assert.deepEqual(tablesOf(lab, { type: 'line', title: '', series: ['loss', 'score'] }, arms), [{ head: ['step', 'a: loss', 'a: score'], rows: [['0', '0', '0.5'], ['100', '200', '–']], note: '' }]);
  const [thin] = tablesOf(lab, { type: 'line', title: '', series: ['loss'] }, arms);
  assert.deepEqual([thin.rows.length, thin.rows[0], thin.rows.at(-1)], [40, ['0', '0'], ['100', '200']]);
  assert.match(thin.note, /40 of 101 steps/);
  assert.deepEqual(tablesOf(lab, { type: 'bar', title: '', series: ['loss', 'score'] }, arms)[0].rows, [['a', '200', '–']]);
  assert.deepEqual(tablesOf(lab, { type: 'heat', title: '', picture: 'p' }, arms), [{ head: ['', 'x', 'y'], rows: [['r', '1', '2']], note: '' }]);
  assert.deepEqual(tablesOf(lab, { type: 'line', title: '', series: ['loss'] }, [arms[1]])[0].rows, []);
});

/** What a program that the page shows hands to LabClient.open. @param {string} code @returns {Promise<[string, object]>} */
async function asked(code) {
  const opened = /await (LabClient\.open\([^]*?\n\}\));/.exec(code)?.[1];
  return (await import(`data:text/javascript,${encodeURIComponent(`const LabClient = { open: (...all) => all };\nexport default ${opened};`)}`)).default;
}

test('the code says what the form says, whatever stands in it', async () => {
  const told = { seed: 7, preset: 'full', config: { rate: 1e-7, on: false, 'a-b': "it's\n\"\\${x}</script>" }, texts: { prose: "l'été.txt" } };
  assert.deepEqual(await asked(codeOf({ key: "http://x/own's.js?a=1#b", ...told, overrides: told.config, texts: { prose: new File([], told.texts.prose) } })), ["http://x/own's.js?a=1#b", told]);
  assert.deepEqual(await asked(codeOf({ key: 'own', preset: 'quick', seed: NaN, overrides: {}, texts: {} })), ['own', { seed: 1, preset: 'quick' }]);
});

describe('demos/labs in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
  let browser, server;
  before(async () => {
    browser = await chromium();
    server = await serve({ routes: ROUTES });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const onPage = (check, { hash = '', at = server, ...options } = {}) => visit(browser, at.url('demos/labs/') + hash, check, { ready: opened, ...options });

  test('every lab is listed with its claim; choosing one shows it and takes the focus there', () =>
    onPage(async (page) => {
      assert.equal(await page.locator('#labs a').count(), LABS.length);
      for (const [i, { loader }] of LABS.entries()) {
        const { title, claim } = (await loader()).default;
        assert.deepEqual(await page.locator('#labs li').nth(i).evaluate((li) => [li.querySelector('a').textContent, li.querySelector('p').textContent]), [title, claim]);
      }
      const { title, claim } = await findLab('fair-lm-paradox');
      await page.locator('#labs a[data-key=fair-lm-paradox]').click();
      await until(page, () => location.hash.includes('seed=1'));
      assert.deepEqual([await text(page, 'title'), await text(page, 'claim'), await page.evaluate(() => document.activeElement.id)], [title, claim, 'title']);
      const broken = page.locator('#broken input[type=checkbox]');
      await broken.uncheck();
      await until(page, () => location.hash.includes('k.decayEmbeddings=false'));
      await page.locator('#presets input[value=full]').check();
      assert.equal(await broken.isChecked(), true, 'a preset sets every knob');
    }));

  test('a quick run: curves, pictures, verdict, and the numbers are those of the run', () =>
    onPage(async (page) => {
      await axe(page, 'before');
      assert.deepEqual([await page.locator('#plots figure').count(), await page.locator('#no-plots').isVisible()], [0, true], 'no empty plots');
      await page.evaluate(() => { // the phases in which something was drawn
        globalThis.drawnIn = new Set();
        new MutationObserver(() => globalThis.drawnIn.add(document.getElementById('lab').dataset.phase)).observe(document.getElementById('plots'), { childList: true, subtree: true });
      });
      await page.locator('#play').click();
      await phase(page, 'done');
      assert.ok(await page.evaluate(() => globalThis.drawnIn.has('running')), 'curves come while it trains');
      assert.equal(await page.locator('#no-plots').isHidden(), true);
      const file = await saved(page, () => page.locator('#save-json').click());
      assert.equal(file.name, 'bico-reversal-curse-seed1-step300.json');
      const result = JSON.parse(file.bytes.toString());
      assert.deepEqual([result.done, result.seed, result.arms.map((a) => a.step)], [true, 1, [150, 150]]);
      assert.equal(Number(await text(page, 'number')), Number(result.headline.value.toPrecision(4)));
      assert.match(await text(page, 'verdict'), result.verdict.pass ? /holds/ : /too short or too different to show it/);
      assert.deepEqual(await page.locator('#checks tbody tr').evaluateAll((rows) => rows.map((row) => [row.cells[0].textContent, row.cells[3].textContent.includes('✓')])), result.verdict.checks.map(({ what, pass }) => [what, pass]));
      await until(page, () => document.querySelectorAll('#plots figure').length === 4);
      await page.locator('figure summary').first().click();
      const last = () => page.locator('figure').first().locator('tbody tr').last().evaluate((row) => [...row.cells].map((cell) => Number(cell.textContent)));
      await eventually(last, [150, ...result.arms.flatMap((a) => [a.last.forward, a.last.reversed]).map((x) => Number(x.toPrecision(4)))]);
      const svg = await saved(page, () => page.locator('figure').first().getByRole('button').click());
      assert.match(`${svg.name} ${svg.bytes}`, /^questions-answered\.svg <svg [^]*<style>[^]*<\/svg>\n$/);
      const weights = await saved(page, () => page.getByRole('button', { name: 'Weights: causal' }).click());
      const length = Number(weights.bytes.readBigUInt64LE());
      assert.ok(weights.name.endsWith('-causal.safetensors') && 'embed.weight' in JSON.parse(weights.bytes.subarray(8, 8 + length).toString()), weights.name);
      await axe(page, 'done');
    }, { hash: FAST }));

  test('pause, step, live knobs, a checkpoint and going on from it', () =>
    onPage(async (page) => {
      await page.locator('#step').click();
      await phase(page, 'paused');
      assert.match(await text(page, 'where'), /: step 1 of 150\.$/);
      const rate = page.getByLabel('learning rate', { exact: true });
      await rate.fill('0.004');
      await rate.press('Tab');
      await page.locator('#step').click();
      await until(page, () => /step 2 of/.test(document.getElementById('where').textContent));
      assert.equal(await page.locator('#stale').isHidden(), true, 'a live knob is no other run');
      await until(page, () => location.hash.includes('k.rate=0.004'));
      await page.evaluate(() => { // within the page: the run may be done before another process can press again
        const play = document.getElementById('play');
        play.click();
        if (play.textContent === 'Pause') play.click();
      });
      await phase(page, 'paused');
      const where = await text(page, 'where');
      const file = await saved(page, () => page.locator('#save-checkpoint').click());
      await page.locator('#play').click();
      await phase(page, 'done');
      const whole = (await saved(page, () => page.locator('#save-json').click())).bytes.toString();
      assert.deepEqual(JSON.parse(whole).changes, [{ key: 'rate', value: 0.004, arm: 0, step: 1 }], 'the run heard of it');
      await page.goto(server.url('demos/labs/#lab=fair-lm-paradox'));
      await page.reload();
      await opened(page);
      await page.locator('#resume').setInputFiles({ name: 'x.mtlab', mimeType: '', buffer: file.bytes });
      await phase(page, 'paused');
      await until(page, (want) => document.getElementById('where').textContent === want, where);
      assert.match(await text(page, 'title'), /attention both ways/);
      assert.equal(await rate.inputValue(), '0.004');
      await page.locator('#play').click();
      await phase(page, 'done');
      assert.equal((await saved(page, () => page.locator('#save-json').click())).bytes.toString(), whole, 'the same, to the last bit');
    }, { hash: FAST }));

  test('another lab pauses the run, which waits; a preset reaches it where it may; what may not change asks for a restart', () =>
    onPage(async (page) => {
      await page.locator('#knob-rate').fill('0.004');
      await page.locator('#play').click();
      await phase(page, 'running');
      await page.evaluate(() => { location.hash = '#lab=fair-lm-paradox'; });
      await until(page, () => document.getElementById('title').textContent === 'Weight decay and rare tokens');
      await until(page, () => document.querySelector('#labs li:has([data-key=bico-reversal-curse]) .state').textContent === 'paused');
      assert.equal(await page.locator('#lab').getAttribute('data-phase'), 'idle');
      await page.evaluate(() => { location.hash = '#lab=bico-reversal-curse'; });
      await phase(page, 'paused');
      assert.match(await text(page, 'where'), /^Arm 1 of 2, .*: step \d+ of 5000\.$/);
      assert.equal(await page.locator('#stale').isHidden(), true);
      await page.locator('#presets input[value=full]').check();
      assert.deepEqual([await page.locator('#knob-rate').inputValue(), await page.locator('#stale').isHidden()], ['0.002', false]);
      const { changes, done } = JSON.parse((await saved(page, () => page.locator('#save-json').click())).bytes.toString());
      assert.deepEqual([done, changes.map(({ key, value }) => [key, value])], [false, [['rate', 0.002]]]);
      await page.locator('#restart').click();
      await until(page, () => /: step \d+ of 300\.$/.test(document.getElementById('where').textContent));
      assert.equal(await page.locator('#stale').isHidden(), true);
    }, { hash: `${FAST}&k.steps=5000` }));

  test('a link restores lab, preset, seed and knobs; what does not fit is told', () =>
    onPage(async (page) => {
      await until(page, () => document.getElementById('seed').value === '5');
      assert.deepEqual(
        [await page.locator('#presets input:checked').inputValue(), await page.locator('#knob-weight').inputValue(), await page.locator('#knob-steps').inputValue(), await text(page, 'title')],
        ['full', '1.5', '20', 'Number token loss'],
      );
      assert.match(await page.locator('#page-problem').textContent(), /rate: 7 is not a number in/);
      await page.locator('#fixed-fold summary').click();
      await page.locator('#knob-steps').fill('many');
      await page.locator('#knob-steps').press('Tab');
      assert.match(await text(page, 'knob-steps-wrong'), /^"many" is not a whole number in 20\.\.10000$/);
      await page.locator('#knob-steps').fill('40');
      await page.locator('#knob-steps').press('Tab');
      assert.equal(await text(page, 'knob-steps-wrong'), '');
      await page.locator('#seed').fill('-1');
      await page.locator('#seed').press('Tab');
      await page.locator('#play').click();
      assert.deepEqual([await page.evaluate(() => document.activeElement.id), await page.locator('#lab').getAttribute('data-phase')], ['seed', 'idle']);
      await page.goto(server.url('demos/labs/#lab=no-such-lab'));
      await until(page, () => /unknown lab "no-such-lab"/.test(document.getElementById('page-problem').textContent));
    }, { hash: '#lab=221&preset=full&seed=5&k.weight=1.5&k.steps=20&k.rate=7' }));

  test('the code on the page follows the form, and runs', () =>
    onPage(async (page) => {
      assert.deepEqual(await asked(await text(page, 'code')), ['bico-reversal-curse', { seed: 1, preset: 'quick', config: { steps: 50, every: 10 } }]);
      await page.locator('#seed').fill('2');
      await page.locator('#knob-rate').fill('0.004');
      await page.locator('#knob-rate').press('Tab');
      const code = await text(page, 'code');
      assert.deepEqual(await asked(code), ['bico-reversal-curse', { seed: 2, preset: 'quick', config: { steps: 50, every: 10, rate: 0.004 } }]);
      assert.ok(code.split('\n').length < 25, code);
      await page.locator('#play').click();
      await phase(page, 'done');
      const { headline, verdict } = JSON.parse((await saved(page, () => page.locator('#save-json').click())).text);
      const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], { cwd: ROOT, encoding: 'utf8', timeout: PATIENCE });
      assert.equal(run.status, 0, run.stderr);
      assert.match(run.stdout, new RegExp(`^here: ${headline.label} [\\d.]+`, 'm'));
      assert.deepEqual(run.stdout.match(/^(holds|fails) .*$/gm).map((line) => line.replace(/^\w+ |[\d.e-]+ (?=must be)/g, '')), verdict.checks.map(({ what, bound }) => `${what} must be ${bound}`)); // values: another build, other last bits
      await page.goto(server.url('demos/labs/#lab=fair-lm-paradox&preset=full&k.decayEmbeddings=false'));
      await eventually(async () => asked(await text(page, 'code')), ['fair-lm-paradox', { seed: 1, preset: 'full', config: { decayEmbeddings: false } }]);
    }, { hash: SHORT }));

  test('with the keyboard alone', () =>
    onPage(async (page) => {
      const at = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
      await page.locator('#presets input:checked').focus();
      /** @type {string[]} */ const walk = [];
      for (let i = 0; i < 9; i++) {
        await page.keyboard.press('Tab');
        walk.push(await at());
      }
      assert.deepEqual(walk.slice(0, 4), ['seed', 'play', 'step', 'restart']);
      assert.ok(walk.includes('knob-rate') && walk.includes('knob-maskShare'), walk.join(', '));
      await page.locator('#play').focus();
      await page.keyboard.press('Enter');
      await phase(page, 'done');
      assert.equal(await at(), 'play', 'the focus stays');
      await page.locator('figure summary').first().focus();
      await page.keyboard.press('Enter');
      await until(page, () => document.querySelectorAll('figure tbody tr').length >= 3); // the table is filled when it has opened
    }, { hash: SHORT, context: { reducedMotion: 'reduce' } }));

  test('errors: a worker that cannot start, a file that is no checkpoint, a text that cannot be read, a lab that fails', async () => {
    const missing = await serve({ routes: { '/web/lab/worker.js': (_, response) => response.writeHead(404).end() } });
    try {
      await onPage(async (page) => {
        await page.locator('#play').click();
        await phase(page, 'failed');
        assert.match(await text(page, 'problem'), /worker/i);
        assert.equal(await text(page, 'play'), 'Try again');
        await axe(page, 'failed');
      }, { hash: FAST, at: missing, allow: [/worker\.js/] });
    } finally {
      await missing.close();
    }
    await onPage(async (page) => {
      assert.equal(await text(page, 'title'), 'My own <lab>');
      await page.evaluate(() => {
        const data = new DataTransfer();
        data.items.add(new File(['no'], 'letter.txt'));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
      });
      await until(page, () => /letter\.txt could not be opened.*no checkpoint/.test(document.getElementById('page-problem').textContent));
      await page.locator('#text-prose').setInputFiles({ name: 'broken.gz', mimeType: '', buffer: Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8]) });
      await page.locator('#play').click();
      await phase(page, 'failed');
      assert.notEqual(await text(page, 'problem'), '');
      await page.locator('#text-prose').setInputFiles({ name: 'mine.txt', mimeType: 'text/plain', buffer: Buffer.from('twelve bytes') });
      await page.locator('#play').click();
      await phase(page, 'running');
      await page.locator('#play').click();
      await phase(page, 'paused');
      assert.equal(await page.locator('#problem').isHidden(), true);
      const { bytes } = await saved(page, () => page.locator('#save-json').click());
      assert.equal(JSON.parse(bytes.toString()).arms[0].series.bytes[0][1], 12);
      await page.locator('#knob-fails').check();
      await page.locator('#play').click();
      await phase(page, 'failed');
      assert.match(await text(page, 'problem'), /told to/);
    }, { hash: '#lab=own.js' });
  });

  test('on a phone, in the dark', () =>
    onPage(async (page) => {
      const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok((await wide()) <= 390, 'before');
      await page.locator('#play').click();
      await phase(page, 'done');
      await until(page, () => document.querySelectorAll('#plots figure').length === 4);
      for (const fold of await page.locator('summary').all()) if (await fold.evaluate((e) => !e.parentElement.open && e.offsetParent !== null)) await fold.click();
      assert.ok((await wide()) <= 390, `${await wide()} pixels`);
      const small = await page.evaluate(() => [...document.querySelectorAll('button, summary, label.button, input:not(.hidden-file):not([type=radio]), select, #presets label')].map((e) => [e.textContent || e.id, e.getBoundingClientRect()]).filter(([, r]) => r.width && (r.width < 24 || r.height < 24)).map(([name, r]) => `${name} ${r.width}x${r.height}`));
      assert.deepEqual(small, [], 'targets of at least 24 pixels');
      await axe(page, 'phone');
    }, { hash: SHORT, context: { viewport: { width: 390, height: 844 }, colorScheme: 'dark' } }));
});

describe('demos/labs in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
  test('trains, pauses, goes on, shows the verdict that Node finds', () =>
    visitInFirefox(`demos/labs/${SHORT}`, async (page) => {
      await until(page, () => document.getElementById('knob-steps')?.value === '50');
      await page.evaluate(() => document.getElementById('step').click());
      await phase(page, 'paused');
      await page.evaluate(() => document.getElementById('play').click());
      await phase(page, 'done');
      const run = await LabRun.create(await findLab('bico-reversal-curse'), { seed: 1, preset: 'quick', config: { steps: 50 } });
      await run.play();
      const { checks } = run.verdict();
      run.dispose();
      assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('#checks tbody th')].map((e) => e.textContent)), checks.map((c) => c.what));
      await until(page, () => document.querySelectorAll('#plots svg path[class^=mp-s]').length >= 4);
    }, { isolated: false }));
});
