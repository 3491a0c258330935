// The page demos/bias in real browsers: each tab's numbers are the package's; links, keyboard, errors, files, a phone.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chunkDigits, commaProbe, formatProbe, MarkovSource, Model, sumsProbe, typoProbe, undertrainedTokens } from '../../web/index.js';
import { chainPicture, fitRows, PRESETS, rowsOf, settingOf, textsOf, writeRows } from '../../demos/bias/source.js';
import { axe, axeInThemes, CHROMIUM, chromium, eventually, FIREFOX, longestTask, PATIENCE, ROOT, saved, serve, until, visit, visitInFirefox } from './support.mjs';

const BUNDLED = path.join(ROOT, 'models/microtome-tiny.gguf');
const USUAL = { letters: 'AB', order: '1', next: '.6 .4; .3 .7', cut: 'longest', tokens: 'A B AA', merges: '6', length: '14', ask: '2' };
const html = readFileSync(path.join(ROOT, 'demos/bias/index.html'), 'utf8');
const LINES = /<textarea id="lines"[^>]*>([^<]*)</.exec(html)[1].split('\n');

/** @type {Promise<any> | null} */ let opening = null;
const bundled = () => (opening ??= Model.load(BUNDLED));
after(async () => (await opening)?.dispose());

/** Waits until a tab has answered for what its controls say now, and owes nothing. @param {any} page @param {string} id @param {Record<string, string>} want some of the controls */
const answered = (page, id, want = {}) => until(page, ([id, want]) => {
    const el = document.getElementById(id), state = el.dataset;
    if (state.for === undefined || ['stale', 'failed', 'busy'].some((name) => name in state)) return false;
    const said = JSON.parse(state.for), now = (name) => [...document.getElementsByName(name)].flatMap((c) => (c.type === 'radio' ? (c.checked ? [c.value] : []) : c.type === 'checkbox' ? [c.checked ? 'on' : 'off'] : [c.value]))[0];
    return Object.entries(said).every(([name, value]) => now(name) === value) && Object.entries(want).every(([name, value]) => said[name] === value);
}, [id, want]);
/** Begins what a button begins, and stops it at once: within the page, since it may be done before another process can press. */
const startAndStop = (page, id) => page.evaluate((id) => {
    const button = document.getElementById(id), before = button.textContent;
    button.click();
    const meanwhile = button.textContent;
    button.click();
    return [before, meanwhile];
}, id);
const table = (page, id) => page.evaluate((id) => [...document.querySelectorAll(`#${id} tbody tr`)].map((row) => [...row.cells].map((cell) => cell.textContent)), id);
const text = (page, id) => page.evaluate((id) => document.getElementById(id).textContent, id);
const plot = (page, id) => page.evaluate((id) => JSON.parse(JSON.stringify(document.getElementById(id).plot)), id);
/** A percentage of the page as a number. */
const share = (cell) => (cell === '0' ? 0 : Number(cell.replace(/[<>%]/g, '')) / 100);
const near = (got, want, what, relative = 0.02) => assert.ok(Math.abs(got - want) <= 0.006 + relative * Math.abs(want), `${what}: the page says ${got}, the package ${want}`);

test('settings: rows, texts, and what is refused', () => {
    assert.deepEqual(rowsOf('.6 .4; 3e-1,0.7'), [[0.6, 0.4], [0.3, 0.7]]);
    assert.ok(Number.isNaN(rowsOf('x 1')[0][0]));
    assert.deepEqual(rowsOf(writeRows([[0.25, 0.75], [1, 0]])), [[0.25, 0.75], [1, 0]]);
    assert.deepEqual(textsOf('AB', 2), ['AA', 'AB', 'BA', 'BB']);
    assert.deepEqual(textsOf('AB', 0), ['']);
    assert.deepEqual(fitRows([[0.6, 0.4]], 'AB', 1), [[0.6, 0.4], [0.5, 0.5]]);
    assert.deepEqual(fitRows([[0.6, 0.4]], 'ABCD', 0), [[0.25, 0.25, 0.25, 0.25]]);
    const setting = settingOf(USUAL);
    assert.deepEqual([setting.tokens, setting.order, setting.length, setting.next], [['A', 'B', 'AA'], 1, 14, [[0.6, 0.4], [0.3, 0.7]]]);
    for (const [name, value] of [['order', 'x'], ['order', '11'], ['length', ''], ['merges', '-1'], ['ask', '7']]) assert.throws(() => settingOf({ ...USUAL, [name]: value }), /Order|Length|Merges|Asked/);
    assert.equal(new Set(PRESETS.map((p) => p.label)).size, PRESETS.length);
});

test('the chain has an arrow for every step that can be, and says them in words', () => {
    const svg = chainPicture({ letters: 'AB', order: 1, next: [[0.6, 0.4], [0, 1]] });
    assert.match(svg, /<desc>2 states\. A to A: 0\.6, A to B: 0\.4, B to B: 1\.<\/desc>/);
    assert.equal(svg.match(/class="mc-e"/g).length, 3);
    assert.equal(svg.match(/class="mc-n"/g).length, 2);
    assert.ok(chainPicture({ letters: '<&', order: 1, next: [[0.5, 0.5], [0.5, 0.5]] }).includes('&lt;'));
    assert.equal(chainPicture({ letters: 'AB', order: 4, next: fitRows([], 'AB', 4) }), '', 'too many to draw');
    assert.match(chainPicture({ letters: 'AB', order: 0, next: [[0.2, 0.8]] }), /A to B: 0\.8, B to A: 0\.2/);
    assert.doesNotMatch(chainPicture({ letters: 'ABC', order: 2, next: fitRows([], 'ABC', 2) }), /NaN|undefined/);
});

describe('demos/bias in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
    let browser, server;
    before(async () => {
        browser = await chromium();
        server = await serve();
    });
    after(async () => {
        await browser?.close();
        await server?.close();
    });

    const onPage = (check, { hash = '', at = server, ready = 'source', context = {}, ...options } = {}) =>
        visit(browser, at.url('demos/bias/') + hash, check, { ready: ready && ((page) => answered(page, ready)), context: { reducedMotion: 'reduce', ...context }, ...options });

    /** The table of a known source against the package in Node. */
    async function sameAsPackage(page, controls) {
        const setting = settingOf({ ...USUAL, ...controls });
        const source = await MarkovSource.create({ letters: setting.letters, order: setting.order, next: setting.next });
        const model = await source.tokenModel({ tokens: setting.tokens, length: setting.length });
        const rows = await table(page, 'predictions');
        assert.equal(rows.length, setting.letters.length ** setting.ask);
        for (const [i, word] of textsOf(setting.letters, setting.ask).entries()) {
            const { truth, naive, corrected, modelCalls } = model.predict(word);
            assert.equal(rows[i][0], word);
            assert.equal(rows[i][1].replaceAll('|', ''), word);
            [...setting.letters].forEach((letter, a) => [truth, naive, corrected].forEach((p, k) => assert.ok(Math.abs(share(rows[i][2 + 3 * a + k]) - p[letter]) < 6e-4, `${word}, ${letter}: ${rows[i]} instead of ${p[letter]}`)));
            assert.equal(rows[i].at(-1), String(modelCalls));
        }
        model.dispose();
        source.dispose();
    }

    test('the paper’s source: naive says never, corrected says what is true; editing follows', (t) =>
        onPage(async (page) => {
            await sameAsPackage(page, {});
            t.diagnostic(`longest task while the page opened: ${await longestTask(page)} ms`);
            assert.match(await text(page, 'source-told'), /^After BA the token model gives A 0\. Truly it is 60\.0%; corrected, 60\.0%\.$/);
            assert.equal(await page.locator('#chain svg').count(), 1);
            await page.getByLabel('A after B', { exact: true }).fill('0.5');
            await page.getByLabel('B after B', { exact: true }).fill('0.5');
            await answered(page, 'source', { next: '0.6 0.4; 0.5 0.5' });
            await sameAsPackage(page, { next: '.6 .4; .5 .5' });
            await page.locator('[name=tokens]').fill('A B AB BA');
            await page.locator('[name=ask]').selectOption('3');
            await answered(page, 'source', { tokens: 'A B AB BA', ask: '3' });
            await sameAsPackage(page, { next: '.6 .4; .5 .5', tokens: 'A B AB BA', ask: '3' });
            const { name, text: json } = await saved(page, () => page.locator('#source-export').getByRole('button', { name: 'JSON' }).click());
            assert.equal(name, 'markov.json');
            assert.equal(JSON.parse(json).rows.length, 8);
            assert.match((await saved(page, () => page.locator('#chain-export').getByRole('button', { name: 'SVG' }).click())).text, /^<svg [^]*<style>/);
        }));

    test('every preset: an answer, or the error that it is named for; the page goes on', () =>
        onPage(async (page) => {
            for (const { label, values } of PRESETS) {
                const button = page.locator('#presets').getByRole('button', { name: label, exact: true });
                await button.click();
                if (!label.startsWith('break it')) {
                    await answered(page, 'source', values);
                    assert.equal(await button.getAttribute('aria-pressed'), 'true', label);
                    if (!values.cut) await sameAsPackage(page, values);
                    continue;
                }
                const problem = page.locator('#source > .problem');
                await until(page, (want) => {
                    const el = document.getElementById('source');
                    return Object.entries(want).every(([k, v]) => JSON.parse(el.dataset.for)[k] === v) && !('busy' in el.dataset) && !el.querySelector(':scope > .problem').hidden;
                }, values);
                assert.match(await problem.textContent(), { 'a letter is missing': /does not spell/, 'rows that are no distribution': /add up to 1\.1/, 'two sources in one': /more than one stationary/, 'too long': /more than 1048576/ }[label.slice(10)], label);
            }
            await axe(page, 'with an error on show');
            await page.locator('#presets').getByRole('button', { name: 'letters alone' }).click();
            await answered(page, 'source', { tokens: 'A B', length: '14' });
            assert.equal(await page.locator('#source > .problem').isVisible(), false);
            assert.match(await text(page, 'source-told'), /the naive answer is right/);
        }));

    test('a text that never begins, many contexts, random rows', () =>
        onPage(async (page) => {
            await page.locator('[name=next]').evaluate((el) => { el.value = '0 1; .5 .5'; el.dispatchEvent(new Event('change', { bubbles: true })); });
            await answered(page, 'source', { next: '0 1; .5 .5' });
            assert.equal((await table(page, 'predictions'))[0].at(-1), 'never begins so');
            await page.locator('[name=order]').fill('5');
            await page.locator('#rows-left', { hasText: '32 contexts' }).waitFor();
            await page.locator('#draw').click();
            await answered(page, 'source', { order: '5' });
            assert.equal(await page.locator('#chain-heat').isVisible(), true);
            const rows = await plot(page, 'chain-heat');
            assert.equal(rows.rows, 32);
            for (let i = 0; i < 32; i++) assert.ok(Math.abs(rows.values[2 * i] + rows.values[2 * i + 1] - 1) < 1e-9);
            await page.locator('[name=letters]').fill('');
            await page.locator('#source > .problem').waitFor();
        }));

    test('dictionaries: losses between the letters’ entropy and the source’s; they can be stopped', () =>
        onPage(async (page) => {
            await page.locator('[name=sample]').selectOption('200000');
            assert.deepEqual(await startAndStop(page, 'dictionaries'), ['Train dictionaries', 'Stop']);
            await page.locator('#dictionaries', { hasText: 'Train' }).waitFor();
            assert.equal(await page.locator('#dict-chart').isVisible(), false);
            await page.locator('[name=sample]').selectOption('20000');
            await page.locator('#dictionaries').click();
            await page.locator('#dict-chart').waitFor();
            const source = await MarkovSource.create({ letters: 'AB', next: [[0.1, 0.9], [0.9, 0.1]] });
            const losses = await source.dictionaryLosses({ sizes: [2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256], letters: 20000, seed: 1 });
            const { lines } = await plot(page, 'dict-chart');
            assert.deepEqual(lines[0].points.map(([, y]) => y.toFixed(9)), losses.map((l) => l.loss.toFixed(9)));
            assert.equal(lines[2].points[0][1].toFixed(9), source.entropyRate.toFixed(9));
            source.dispose();
        }, { hash: `#${new URLSearchParams({ next: '.1 .9; .9 .1' })}` }));

    test('typing errors: the numbers of the package, other choices, a wrong seed', () =>
        onPage(async (page) => {
            const rows = await typoProbe(await bundled(), LINES, { edits: [0, 1, 2, 4], level: 'character', seed: 1 });
            const got = await table(page, 'typos-table');
            assert.deepEqual(got.map((r) => r.slice(0, 2)), rows.map((r) => [r.variant, String(r.edits)]));
            got.forEach((cells, i) => {
                near(Number(cells[2]), rows[i].bitsPerByte, `${cells[0]} ${cells[1]}, bits`);
                near(Number(cells[3]), rows[i].exactBitsPerByte, `${cells[0]} ${cells[1]}, exact bits`);
                near(Number(cells[5]), rows[i].tokenDistance, `${cells[0]} ${cells[1]}, tokens`, 0.05);
            });
            const spelt = (id) => page.evaluate((id) => new TextDecoder().decode(Uint8Array.from(document.getElementById(id).tokens.flatMap((t) => [...t.bytes]))), id);
            assert.equal(await spelt('clean'), LINES[0]);
            assert.notEqual(await spelt('dirty'), LINES[0]);
            for (const name of ['swap', 'repeat', 'keyboard']) await page.locator(`[name=op-${name}]`).uncheck();
            await page.locator('[name=level]').selectOption('word');
            await answered(page, 'typos', { 'op-swap': 'off', 'op-repeat': 'off', 'op-keyboard': 'off', level: 'word' });
            assert.deepEqual([...new Set((await table(page, 'typos-table')).map((r) => r[0]))], ['drop']);
            await until(page, () => /tab=typos/.test(location.hash) && /op-swap=off/.test(location.hash) && /level=word/.test(location.hash));
            await page.locator('[name=seed]').fill('x');
            await page.locator('#typos > .problem', { hasText: 'Seed' }).waitFor();
            await page.locator('[name=seed]').fill('7');
            await answered(page, 'typos', { seed: '7' });
            await page.locator('#lines').fill('');
            await page.locator('#typos > .problem', { hasText: 'sentence' }).waitFor();
            await page.locator('#lines').fill('<b>ti&amp;le</b> λόγος');
            await answered(page, 'typos', { lines: '<b>ti&amp;le</b> λόγος' });
            assert.equal(await spelt('clean'), '<b>ti&amp;le</b> λόγος');
        }, { hash: '#tab=typos', ready: 'typos' }));

    test('formats and the comma: the numbers of the package, tokens of a format', () =>
        onPage(async (page) => {
            const rows = await formatProbe(await bundled(), LINES), comma = await commaProbe(await bundled(), LINES[1], { seed: 1 });
            const got = await table(page, 'formats-table');
            assert.deepEqual(got.map((r) => r[0]), rows.map((r) => r.variant));
            got.forEach((cells, i) => {
                near(Number(cells[1]), rows[i].bits, `${cells[0]}, bits`);
                near(Number(cells[2]), rows[i].exactBits, `${cells[0]}, exact bits`);
                assert.equal(Number(cells[5]), Number(rows[i].tokens.toFixed(1)));
            });
            const { lines } = await plot(page, 'comma-chart');
            assert.deepEqual(lines.map((l) => l.points.length), [comma.before.ids.length, comma.after.ids.length]);
            lines[1].points.forEach(([, bits], i) => near(bits, comma.after.nats[i] / Math.LN2, `token ${i}`, 0.05));
            await page.locator('#format').selectOption('spaced letters');
            await until(page, (want) => new TextDecoder().decode(Uint8Array.from(document.getElementById('formatted').tokens.flatMap((t) => [...t.bytes]))) === want, [...LINES[0]].join(' '));
            await page.getByRole('button', { name: 'one short word' }).click();
            await answered(page, 'formats', { lines: 'unbelievable' });
            assert.match(await text(page, 'comma-told'), /None of the sentences/);
            assert.equal(await page.locator('#comma-chart').isVisible(), false);
        }, { hash: '#tab=formats', ready: 'formats' }));

    test('numbers: groups as the package makes them; sums of the model that is open, and of the twins', () =>
        onPage(async (page) => {
            const rows = await table(page, 'digits-table');
            assert.equal(rows.length, 10);
            const parts = (word) => chunkDigits('1234567890'.slice(0, word), 3, 'right').join('|');
            rows.forEach((row, i) => assert.equal(row[2], parts(i + 1)));
            await page.locator('[name=digits]').fill('12a');
            await page.locator('#numbers > .problem').waitFor();
            await page.locator('[name=digits]').fill('90210');
            await page.locator('[name=size]').selectOption('2');
            await answered(page, 'numbers', { digits: '90210', size: '2' });
            assert.deepEqual((await table(page, 'digits-table')).at(-1).slice(1, 3), ['90|21|0', '9|02|10']);
            for (const [name, value] of [['who', 'twins'], ['count', '5'], ['digitsmost', '6'], ['groups', 'right']]) await page.locator(`[name=${name}]`).selectOption(value);
            await page.locator('#sums-go').click();
            await until(page, () => document.getElementById('sums-result').dataset.for === 'twins 5 6 right');
            const twin = await Model.load(path.join(ROOT, 'models/family/twin-digits-rtl.gguf'));
            const { lines } = await plot(page, 'sums-chart');
            assert.deepEqual(lines.map((l) => l.name), ['groups from the left', 'groups from the right']);
            for (const [digits, right] of lines[1].points) assert.equal(right, (await sumsProbe(twin, { count: 5, least: digits, most: digits, seed: digits, groups: 'right', separator: ',' })).right, `${digits} digits`);
            await twin.dispose();
            await page.locator('[name=who]').selectOption('model');
            await page.locator('[name=count]').selectOption('100');
            assert.deepEqual(await startAndStop(page, 'sums-go'), ['Add up', 'Stop']);
            await page.locator('#sums-go', { hasText: 'Add up' }).waitFor();
            assert.equal(await page.locator('#sums-problem').isVisible(), false);
        }, { hash: '#tab=numbers', ready: 'numbers' }));

    test('untrained tokens: the list of the package, as table and as file', () =>
        onPage(async (page) => {
            const { tokens, references } = await undertrainedTokens(await bundled(), { top: 50 });
            const rows = await table(page, 'rare-table');
            assert.deepEqual(rows.map((r) => Number(r[1])), tokens.map((t) => t.id));
            rows.forEach((r, i) => assert.equal(r[3], tokens[i].similarity.toFixed(4)));
            assert.ok((await text(page, 'rare-told')).includes(`${references} tokens`));
            const csv = (await saved(page, () => page.locator('#rare-export').getByRole('button', { name: 'CSV' }).click())).text;
            assert.match(csv.split('\r\n')[1], new RegExp(`^${tokens[0].id},`));
            await page.locator('[name=top]').selectOption('20');
            await answered(page, 'rare', { top: '20' });
            assert.equal((await table(page, 'rare-table')).length, 20);
        }, { hash: '#tab=rare', ready: 'rare' }));

    test('tabs by keyboard; the first one shows no model', () =>
        onPage(async (page) => {
            assert.equal(await page.locator('#model').isVisible(), false);
            await page.locator('#tab-source').focus();
            await page.keyboard.press('ArrowRight');
            assert.deepEqual(await page.evaluate(() => [document.activeElement.id, document.getElementById('typos').hidden, document.getElementById('source').hidden]), ['tab-typos', false, true]);
            await answered(page, 'typos');
            assert.equal(await page.locator('#model').isVisible(), true);
            await page.keyboard.press('End');
            assert.equal(await page.evaluate(() => document.activeElement.id), 'tab-rare');
            await answered(page, 'rare');
            await page.keyboard.press('ArrowRight');
            assert.equal(await page.evaluate(() => document.activeElement.id), 'tab-source');
            await page.keyboard.press('Tab');
            assert.equal(await page.evaluate(() => document.activeElement.id), 'source');
            await page.keyboard.press('Tab');
            assert.equal(await page.evaluate(() => document.activeElement.textContent), PRESETS[0].label);
            await page.keyboard.press('Enter');
            await until(page, () => location.hash === '' || location.hash === '#');
        }));

    test('the first tab does not wait for the model, and a tab says so until it comes', async () => {
        const stuck = await serve({ routes: { '/models/microtome-tiny.gguf': () => {} } });
        try {
            await onPage(async (page) => {
                await sameAsPackage(page, {});
                await page.locator('#tab-rare').click();
                await eventually(() => text(page, 'rare-told'), /Waiting/);
                await page.locator('mt-model-picker progress').waitFor();
                await axe(page, 'while the model loads');
            }, { at: stuck });
        } finally {
            await stuck.close();
        }
    });

    test('a link restores tab and controls; what it does not name is as usual', () =>
        onPage(async (page) => {
            assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('[role=tab]')].map((t) => t.getAttribute('aria-selected'))), ['false', 'false', 'false', 'true', 'false']);
            assert.equal(await page.locator('[name=digits]').inputValue(), '777');
            assert.equal(await page.locator('[name=size]').inputValue(), '3');
            await page.evaluate(() => { location.hash = '#letters=XY&tokens=X+Y+XX&cut=nonsense'; });
            await answered(page, 'source', { letters: 'XY' });
            assert.equal(await page.locator('#source').isVisible(), true);
            assert.match(await text(page, 'source-told'), /^After YX/);
        }, { hash: '#tab=numbers&digits=777&size=99', ready: 'numbers' }));

    test('another model by file; a broken one is told and the page goes on', () =>
        onPage(async (page) => {
            await page.locator('mt-model-picker input[type=file]').setInputFiles({ name: 'bad.gguf', mimeType: '', buffer: Buffer.from('GGUF, but not really') });
            const alert = page.locator('mt-model-picker [role=alert]', { hasText: 'bad.gguf' });
            await alert.waitFor();
            await axe(page, 'with a broken file');
            await page.locator('mt-model-picker input[type=file]').setInputFiles(path.join(ROOT, 'models/family/twin-digits-ltr.gguf'));
            await until(page, () => /1,0\d\d|tokens/.test(document.querySelector('mt-model-picker').shadowRoot.querySelector('.facts').textContent) && document.querySelector('mt-model-picker').shadowRoot.querySelector('.now b').textContent === 'twin-digits-ltr.gguf');
            await page.locator('#tab-numbers').click();
            await answered(page, 'numbers');
            assert.match(await text(page, 'digits-told'), /from the left/);
        }, { hash: '#tab=numbers', ready: 'numbers' }));

    test('the bundled model cannot be had: the first tab works, the others say what to do', async () => {
        const bare = await serve({ mount: { 'models/microtome-tiny.gguf': path.join(ROOT, 'absent.gguf') } });
        try {
            await onPage(async (page) => {
                await page.locator('#tab-typos').click();
                await page.locator('#typos-told', { hasText: 'Open a model' }).waitFor();
                await page.locator('mt-model-picker input[type=file]').setInputFiles(BUNDLED);
                await answered(page, 'typos');
            }, { at: bare, allow: [/404/] });
        } finally {
            await bare.close();
        }
    });

    for (const [look, context] of Object.entries({ 'a wide screen': {}, 'a phone in the dark': { colorScheme: 'dark', viewport: { width: 390, height: 844 } } }))
        test(`accessibility rules on every tab: ${look}`, () =>
            onPage(async (page) => {
                await page.locator('.code summary').click();
                for (const tab of ['source', 'typos', 'formats', 'numbers', 'rare']) {
                    await page.locator(`#tab-${tab}`).click();
                    await answered(page, tab);
                    const fold = page.locator(`#${tab} > details summary`);
                    if (await fold.count()) await fold.click();
                    await (context.viewport ? axe : axeInThemes)(page, `${tab}, ${look}`);
                    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
                    assert.ok(wide <= (context.viewport?.width ?? 1280), `${tab}: the page is ${wide} pixels wide`);
                }
            }, { context }));

    test('in a subfolder, not isolated', async () => {
        const plain = await serve({ isolated: false, base: '/some/folder/' });
        try {
            await onPage(async (page) => {
                await sameAsPackage(page, {});
                await page.locator('#tab-rare').click();
                await answered(page, 'rare');
            }, { at: plain });
        } finally {
            await plain.close();
        }
    });
});

test('the code on the page runs and prints what the page says', async () => {
    const { spawnSync } = await import('node:child_process');
    const code = /<code id="snippet">([^]*?)<\/code>/.exec(html)[1].replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', code.replace("'microtome-tiny.gguf'", JSON.stringify(BUNDLED))], { cwd: ROOT, encoding: 'utf8', timeout: PATIENCE });
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stdout, /^A after BA: truth 0\.6 naive 0 corrected 0\.6000\n0 errors: \d\.\d{3} exactly \d\.\d{3} tokens changed 0\n/);
    const { tokens } = await undertrainedTokens(await bundled(), { top: 1 });
    assert.ok(run.stdout.includes(`${tokens[0].id}: ${tokens[0].similarity.toFixed(3)}`));
});

describe('demos/bias in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
    test('the known source and the tabs of the model', () =>
        visitInFirefox('demos/bias/', async (page) => {
            await answered(page, 'source');
            assert.match(await text(page, 'source-told'), /^After BA the token model gives A 0\. Truly it is 60\.0%/);
            for (const tab of ['typos', 'formats', 'numbers', 'rare']) {
                await page.evaluate((id) => document.getElementById(`tab-${id}`).click(), tab);
                await answered(page, tab);
            }
            const { tokens } = await undertrainedTokens(await bundled(), { top: 50 });
            assert.deepEqual((await table(page, 'rare-table')).map((r) => Number(r[1])), tokens.map((t) => t.id));
        }));
});
