/**
 * The page demos/bytes in real browsers: what it shows is read back and compared with the package in Node.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ByteModel, coverEncodings, Ensemble, healedNextByte, healingTable, Model } from '../../web/index.js';
import { axe, axeInThemes, CHROMIUM, chromium, eventually, FIREFOX, PATIENCE, ROOT, saved, serve, SHARED, until, visit, visitInFirefox } from './support.mjs';

const BUNDLED = path.join(ROOT, 'models/microtome-tiny.gguf');
const STORIES = SHARED && path.join(SHARED, 'models/stories260K/stories260K.F32.gguf');

/** @type {Map<string, any>} */
const opened = new Map();
/** The package's own answer, in Node: 257 probabilities each. */
async function expected(text, file = BUNDLED) {
    if (!opened.has(file)) opened.set(file, await Model.load(file));
    const r = await new ByteModel(opened.get(file)).next(text);
    return { exact: [...r.bytes, r.end].map(Math.exp), naive: [...r.naive].map(Math.exp) };
}
after(() => opened.forEach((m) => m.dispose()));

/** Runs in the page: every number of the table, and the text that they are about. */
async function readPage() {
    const chart = document.querySelector('mt-byte-distribution');
    chart.shadowRoot.querySelector('details').open = true;
    while (!chart.shadowRoot.querySelector('tbody tr')) await new Promise((r) => setTimeout(r, 10));
    const exact = [], naive = [];
    for (const row of chart.shadowRoot.querySelectorAll('tbody tr')) {
        const cells = row.querySelectorAll('td');
        exact[row.dataset.byte] = Number(cells[1].textContent);
        naive[row.dataset.byte] = Number(cells[2].textContent);
    }
    return { exact, naive, distance: document.getElementById('distance-value').textContent, text: document.getElementById('text').value };
}

/**
 * The page's numbers are the package's: to the digits shown when the same kernels ran. Between kernels (Node may lack
 * relaxed SIMD) products of quantised weights round differently, and small probabilities move a little.
 */
function assertSame(read, want, { sameKernels = false } = {}) {
    const relative = sameKernels ? 0 : 0.02;
    for (const side of ['exact', 'naive']) {
        assert.equal(read[side].length, 257);
        for (let b = 0; b < 257; b++) {
            const [got, p] = [read[side][b], want[side][b]];
            assert.ok(Math.abs(got - p) <= 2e-6 + 2e-3 * Math.min(got, 1e-4) + relative * Math.min(got, p), `${side}, byte ${b}: the page says ${got}, the package ${p}`);
        }
    }
    const distance = want.exact.reduce((sum, p, b) => sum + Math.abs(p - want.naive[b]) / 2, 0);
    assert.ok(Math.abs(Number(read.distance) - distance) < (sameKernels ? 0.0006 : 0.003), `distance ${read.distance}, expected ${distance}`);
}

/** Runs in the page: the package's answer there, without the page's own code. */
async function askPackage({ lib, file, text }) {
    const { Model, ByteModel } = await import(lib);
    const model = await Model.load(file);
    const r = await new ByteModel(model).next(text);
    await model.dispose();
    return { exact: [...r.bytes, r.end].map(Math.exp), naive: [...r.naive].map(Math.exp) };
}

/** Waits until the page has answered for what stands in its box, and owes no other answer. */
const settled = (page, text) =>
    until(page, (want) => {
        const { for: of, stale, busy } = document.getElementById('answer').dataset;
        return document.getElementById('text').value === want && of === want && stale === undefined && busy === undefined;
    }, text);

const FIRST = 'Once upon a ti';

describe('demos/bytes in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
    let browser, server;
    before(async () => {
        browser = await chromium();
        server = await serve({
            routes: {
                // A download that starts and never ends.
                '/slow.gguf': (req, res) => {
                    res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': 5_000_000 });
                    if (req.method === 'HEAD') return res.end();
                    res.write(readFileSync(BUNDLED).subarray(0, 100_000));
                },
            },
            ...(STORIES ? { mount: { 'stories.gguf': STORIES } } : {}),
        });
    });
    after(async () => {
        await browser?.close();
        await server?.close();
    });

    const onPage = (check, { hash = '', at = server, folder = 'demos/bytes/', ready = true, context = {}, ...options } = {}) =>
        visit(browser, at.url(folder) + hash, check, {
            ready: ready ? (page) => settled(page, new URLSearchParams(hash.slice(1)).get('text') ?? FIRST) : null,
            context: { reducedMotion: 'reduce', ...context },
            ...options,
        });

    /** @param {import('playwright-core').Page} page */
    const modelName = (page) => page.locator('mt-model-picker .now b').textContent();

    /** Drops a file made in the page. */
    async function drop(page, name, bytes) {
        await page.evaluate(
            async ({ name, base64 }) => {
                const raw = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
                const data = new DataTransfer();
                data.items.add(new File([raw], name));
                for (const type of ['dragenter', 'dragover', 'drop'])
                    document.getElementById('text').dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true, composed: true }));
            },
            { name, base64: Buffer.from(bytes).toString('base64') },
        );
    }

    test('opens with the bundled model and shows its numbers', () =>
        onPage(async (page) => {
            const read = await page.evaluate(readPage);
            assertSame(read, await expected(FIRST));
            const there = await page.evaluate(askPackage, { lib: server.url('web/index.js'), file: server.url('models/microtome-tiny.gguf'), text: FIRST });
            assertSame(read, there, { sameKernels: true });
            assert.equal(await modelName(page), 'microtome-tiny');
            assert.equal(await page.evaluate(() => globalThis.crossOriginIsolated), true);
            assert.match(await page.locator('#facts').textContent(), /^“Exact” sums over every series of tokens .* target “valid”\); .*\.$/);
            const alt = await page.locator('mt-byte-distribution [role=img]').getAttribute('aria-label');
            assert.match(alt, /^Bar chart of the next byte\. .*Total variation distance/);
        }));

    test('typing: the numbers follow, the newest text wins, the address keeps it', () =>
        onPage(async (page) => {
            const text = 'She went to the gar';
            await page.locator('#text').fill('');
            await page.locator('#text').pressSequentially(text, { delay: 5 });
            await settled(page, text);
            assertSame(await page.evaluate(readPage), await expected(text));
            await eventually(() => new URLSearchParams(new URL(page.url()).hash.slice(1)).get('text'), text);
            // The strip spells the text.
            const bytes = await page.evaluate(() => document.querySelector('mt-token-strip').tokens.flatMap((t) => (t.kind === 'special' ? [] : [...t.bytes])));
            assert.equal(Buffer.from(bytes).toString().trimStart(), text);
        }));

    test('texts of every kind: empty, spaces, line breaks, split characters, markup', () =>
        onPage(async (page) => {
            for (const text of ['', ' ', 'a\n', 'The naïve λ 語 😀', '<b>&amp;</b>', 'http:', '\t12']) {
                await page.locator('#text').fill(text);
                await settled(page, text);
                assertSame(await page.evaluate(readPage), await expected(text));
            }
        }));

    test('every example answers, and is the text that its button names', () =>
        onPage(async (page) => {
            const buttons = page.locator('#presets button');
            assert.ok((await buttons.count()) >= 5);
            let largest = 0;
            for (const button of await buttons.all()) {
                await button.click();
                const text = await button.getAttribute('data-text');
                await settled(page, text);
                assert.equal(await button.getAttribute('aria-pressed'), 'true');
                const read = await page.evaluate(readPage);
                assertSame(read, await expected(text));
                largest = Math.max(largest, Number(read.distance));
                assert.ok((await page.locator('#verdict').textContent()).length > 20);
            }
            assert.ok(largest > 0.3, 'some example shows the bias');
        }));

    test('the sentence quotes the numbers of the chart, and is spoken after a pause', () =>
        onPage(async (page) => {
            const { verdict, plain } = await import('../../demos/bytes/verdict.js');
            const { last, exact, naive } = await page.evaluate(async () => {
                const { probabilities } = await import(new URL('../../web/elements/byte-distribution.js', location.href).href);
                const p = probabilities(document.querySelector('mt-byte-distribution').result);
                return { exact: [...p.exact], naive: [...p.naive], last: [...document.querySelector('mt-token-strip').tokens.at(-1).bytes] };
            });
            const said = verdict({ text: FIRST, last: Uint8Array.from(last), exact, naive });
            assert.equal(await page.locator('#verdict').textContent(), plain(said.headline).replace(/[‘’]/g, ''));
            await until(page, () => document.getElementById('announce').textContent !== '');
            assert.match(await page.locator('#announce').textContent(), /Total variation distance \d/);
        }));

    test('the sentence names where the tokenizer cut', async () => {
        const { verdict, plain } = await import('../../demos/bytes/verdict.js');
        const point = (...entries) => {
            const p = new Array(257).fill(0);
            for (const [byte, x] of entries) p[typeof byte === 'string' ? byte.charCodeAt(0) : byte] = x;
            return p;
        };
        const say = (text, last, exact, naive) => plain(verdict({ text, last: new TextEncoder().encode(last), exact, naive }).headline);
        assert.equal(say('a ti', 'i', point(['m', 0.9], ['r', 0.1]), point(['r', 1])), 'The tokenizer ended a token inside your last word: the model gives ‘m’ 0. Really it is 90.0%.');
        assert.match(say('in 1', '1', point(['8', 1]), point(['7', 1])), /^The tokenizer ended a token inside your last number: /);
        assert.match(say('time ', ' ', point(['t', 1]), point(['Z', 1])), /^The tokenizer made your last space a token of its own: /);
        assert.match(say('time, ', ', ', point(['t', 1]), point(['Z', 1])), /^The tokenizer ended a token after your last space: /);
        assert.match(say('http:', ':', point(['/', 1]), point([' ', 1])), /^The tokenizer ended a token after ‘:’: the model gives ‘\/’ 0/);
        assert.match(say('x\n', '\n', point([10, 1]), point([0xe2, 1])), /^The tokenizer ended a token at your last line break: the model gives a newline 0/);
        assert.match(say('', '', point(['O', 1]), point(['O', 1])), /^Nothing is cut yet. The model begins with ‘O’ \(100%\)/);
        const apart = verdict({ text: '', last: null, exact: point([0xe2, 1]), naive: point([256, 1]) });
        assert.equal(`${plain(apart.headline)} ${plain(apart.aside)}`, 'Nothing is cut yet. The model begins with a character that begins with the byte E2 (100%). Yet the answers differ: a character that begins with the byte E2 is given 0 by the first token, exactly it is 100%.');
        assert.match(say('a', 'a', point([0x80, 1]), point([0xff, 1])), /the model gives the byte 80 inside a character 0/);
        assert.match(say('time', 'time', point([',', 1]), point([',', 1])), /^The cut does no harm here: .*‘,’ \(100%\)/);
        assert.match(say('time', 'time', point([',', 0.98], [' ', 0.02]), point([',', 0.96], [' ', 0.04])), /^A slight shift: ‘,’ is given 96.0%, really it is 98.0%/);
    });

    test('each writes on from the same text', () =>
        onPage(async (page) => {
            await until(page, () => !('busy' in document.getElementById('story').dataset) && document.getElementById('story-exact').textContent && document.getElementById('story-naive').textContent);
            const exact = await page.locator('#story-exact').textContent();
            const naive = await page.locator('#story-naive').textContent();
            assert.ok(exact.startsWith(FIRST) && naive.startsWith(FIRST));
            const best = await page.evaluate(() => {
                const { bytes } = document.querySelector('mt-byte-distribution').result;
                return String.fromCharCode(bytes.indexOf(Math.max(...bytes)));
            });
            assert.equal(exact[FIRST.length], best);
            const model = opened.get(BUNDLED) ?? (await expected(FIRST), opened.get(BUNDLED));
            const { text } = await model.greedy(FIRST, { maxTokens: 3 });
            assert.ok(naive.slice(FIRST.length).startsWith(text), `${naive} does not go on with ${text}`);
        }));

    test('a link restores text and scale; going back does too', () =>
        onPage(
            async (page) => {
                assert.equal(await page.locator('#text').inputValue(), 'a=b & c#d +');
                assert.equal(await page.locator('mt-byte-distribution').getAttribute('scale'), 'log');
                assert.equal(await page.locator('mt-byte-distribution input[value=log]').isChecked(), true);
                await page.evaluate(() => (location.hash = '#text=Onc'));
                await settled(page, 'Onc');
            },
            { hash: `#${new URLSearchParams({ text: 'a=b & c#d +', scale: 'log' })}` },
        ));

    test('the bars are as long as the numbers say, on both scales', () =>
        onPage(async (page) => {
            const { exact } = await expected(FIRST);
            const bars = () =>
                page.evaluate(() => {
                    const root = document.querySelector('mt-byte-distribution').shadowRoot;
                    const grid = [...root.querySelectorAll('.grid')].map((l) => Number(l.getAttribute('x1')));
                    const span = grid.at(-1) - grid[0];
                    return [...root.querySelectorAll('.row')].map((g) => ({ glyph: g.querySelector('.label').textContent, share: Number(g.querySelector('rect.exact').getAttribute('width')) / span }));
                });
            const top = exact.indexOf(Math.max(...exact.slice(0, 256)));
            const find = async () => (await bars()).find((r) => r.glyph === String.fromCharCode(top)).share;
            assert.ok(Math.abs((await find()) - exact[top]) < 1e-3);
            await page.locator('mt-byte-distribution label', { hasText: 'log' }).click();
            assert.ok(Math.abs((await find()) - (1 + Math.log10(exact[top]) / 7)) < 1e-3);
            const shares = (await bars()).slice(0, -2).map((r) => r.share);
            assert.deepEqual(shares, [...shares].sort((a, b) => b - a), 'sorted by the exact probability');
            await until(page, () => location.hash.includes('scale=log'));
        }));

    test('a dropped GGUF file replaces the model, and the bundled one comes back', () =>
        onPage(async (page) => {
            await drop(page, 'mine.gguf', readFileSync(BUNDLED));
            await until(page, () => document.querySelector('mt-model-picker').shadowRoot.querySelector('.now b').textContent === 'mine.gguf');
            await page.locator('#text').fill('Once mo');
            await settled(page, 'Once mo');
            assertSame(await page.evaluate(readPage), await expected('Once mo'));
            await page.getByRole('button', { name: 'Back to the bundled model' }).click();
            await until(page, () => document.querySelector('mt-model-picker').shadowRoot.querySelector('.now b').textContent === 'microtome-tiny');
        }));

    test('another model by file: Stories260K', { skip: STORIES ? false : '../shared is not here' }, () =>
        onPage(async (page) => {
            await page.locator('mt-model-picker input[type=file]').setInputFiles(STORIES);
            await until(page, () => document.querySelector('mt-model-picker').shadowRoot.querySelector('.now b').textContent === 'stories260K.F32.gguf');
            await page.locator('#text').fill('Lily was very hap');
            await settled(page, 'Lily was very hap');
            assertSame(await page.evaluate(readPage), await expected('Lily was very hap', STORIES), { sameKernels: true }); // float32 weights
        }));

    test('broken files: the error stands in place, the page goes on with the model it has', () =>
        onPage(async (page) => {
            const good = readFileSync(BUNDLED);
            const broken = {
                'page.gguf': Buffer.from('<!doctype html><title>Not found</title>'),
                'empty.gguf': Buffer.alloc(0),
                'half.gguf': good.subarray(0, good.length >> 1),
                'header.gguf': good.subarray(0, 20),
            };
            for (const [name, bytes] of Object.entries(broken)) {
                await drop(page, name, bytes);
                const alert = page.locator('mt-model-picker [role=alert]');
                await alert.filter({ hasText: name }).waitFor();
                assert.match(await alert.textContent(), /could not be opened\. .{8,}/);
                assert.equal(await modelName(page), 'microtome-tiny');
                const text = `After ${name} th`;
                await page.locator('#text').fill(text);
                await settled(page, text);
                assertSame(await page.evaluate(readPage), await expected(text));
            }
            await axe(page, 'with an error on show');
            await page.getByRole('button', { name: 'Dismiss' }).click();
            assert.equal(await page.locator('mt-model-picker [role=alert]').textContent(), '');
        }));

    test('two files at once are refused', () =>
        onPage(async (page) => {
            await page.evaluate(() => {
                const data = new DataTransfer();
                data.items.add(new File(['a'], 'a.gguf'));
                data.items.add(new File(['b'], 'b.gguf'));
                window.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
            });
            await eventually(() => page.locator('mt-model-picker [role=alert]').textContent(), /2 files/);
        }));

    test('a download shows its bytes, can be cancelled, and leaves the old model', () =>
        onPage(async (page) => {
            await page.getByRole('button', { name: 'From a URL' }).click();
            await page.getByLabel('URL').fill(`${server.origin}/slow.gguf`);
            await page.getByLabel('URL').press('Enter');
            await page.locator('mt-model-picker .amount', { hasText: 'of 5.0 MB' }).waitFor();
            await page.getByRole('button', { name: 'Cancel' }).click();
            await page.locator('mt-model-picker progress').waitFor({ state: 'hidden' });
            await page.locator('#text').fill('still he');
            await settled(page, 'still he');
            assertSame(await page.evaluate(readPage), await expected('still he'));
            assert.equal(await page.locator('mt-model-picker [role=alert]').textContent(), '');
            assert.equal(await modelName(page), 'microtome-tiny');
        }));

    test('a URL that is not there', () =>
        onPage(
            async (page) => {
                await page.getByRole('button', { name: 'From a URL' }).click();
                await page.getByLabel('URL').fill(`${server.origin}/nothing.gguf`);
                await page.getByLabel('URL').press('Enter');
                await page.locator('mt-model-picker [role=alert]', { hasText: '404' }).waitFor();
                await page.locator('#text').fill('on and o');
                await settled(page, 'on and o');
            },
            { allow: [/404/] },
        ));

    test('the bundled model cannot be had: the page says so, and a file helps', async () => {
        const bare = await serve({ mount: { 'models/microtome-tiny.gguf': path.join(ROOT, 'absent.gguf') } });
        try {
            await onPage(
                async (page) => {
                    await page.locator('mt-model-picker [role=alert]', { hasText: 'could not be opened' }).waitFor();
                    await page.locator('mt-model-picker input[type=file]').setInputFiles(BUNDLED);
                    await settled(page, FIRST);
                    assertSame(await page.evaluate(readPage), await expected(FIRST));
                },
                { at: bare, ready: false, allow: [/404/] },
            );
        } finally {
            await bare.close();
        }
    });

    test('a text longer than the model can read gives a message, a shorter one answers again', () =>
        onPage(async (page) => {
            await page.evaluate(() => {
                const box = /** @type {HTMLTextAreaElement} */ (document.getElementById('text'));
                box.value = 'the cat sat on the mat and '.repeat(2000);
                box.dispatchEvent(new Event('input'));
            });
            await page.locator('#problem').waitFor();
            assert.ok((await page.locator('#problem').textContent()).length > 20);
            await page.locator('#text').fill('the c');
            await settled(page, 'the c');
            assert.equal(await page.locator('#problem').isVisible(), false);
        }));

    test('works with the network off once it is open', () =>
        onPage(async (page, ctx) => {
            await ctx.setOffline(true);
            await page.locator('#text').fill('Without a ne');
            await settled(page, 'Without a ne');
            assertSame(await page.evaluate(readPage), await expected('Without a ne'));
        }));

    test('works without cross-origin isolation and from a subfolder', async () => {
        const plainServer = await serve({ isolated: false, base: '/a/sub%20folder/'.replace('%20', '-') });
        try {
            await onPage(
                async (page) => {
                    assert.equal(await page.evaluate(() => globalThis.crossOriginIsolated), false);
                    assertSame(await page.evaluate(readPage), await expected(FIRST));
                },
                { at: plainServer },
            );
            assert.deepEqual(plainServer.requests.filter((r) => !r.startsWith('/a/sub-folder/') && r !== '/favicon.ico'), []);
        } finally {
            await plainServer.close();
        }
    });

    test('keyboard: every control is reached in order, the strip is one stop with arrows', () =>
        onPage(async (page) => {
            const where = () =>
                page.evaluate(() => {
                    let el = document.activeElement;
                    while (el?.shadowRoot?.activeElement) el = el.shadowRoot.activeElement;
                    return el?.id || el?.getAttribute('aria-label') || el?.getAttribute('value') || el?.textContent?.trim() || el?.tagName;
                });
            await page.locator('#text').focus();
            const presets = await page.locator('#presets button').count();
            for (let i = 0; i < presets; i++) await page.keyboard.press('Tab');
            assert.equal(await where(), await page.locator('#presets button').last().textContent());
            await page.keyboard.press('Enter');
            await settled(page, await page.locator('#presets button').last().getAttribute('data-text'));

            await page.keyboard.press('Tab');
            const labels = await page.evaluate(() => [...document.querySelector('mt-token-strip').shadowRoot.querySelectorAll('[role=listitem]')].map((e) => e.getAttribute('aria-label')));
            assert.equal(await where(), labels[0]);
            await page.keyboard.press('ArrowRight');
            assert.equal(await where(), labels[1]);
            await page.keyboard.press('End');
            assert.equal(await where(), labels.at(-1));
            const id = /id (\d+)$/.exec(labels.at(-1))[1];
            assert.match(await page.locator('mt-token-strip .detail').textContent(), new RegExp(`id ${id}, bytes ([0-9A-F]{2} ?)+`));
            await page.keyboard.press('ArrowRight');
            assert.equal(await where(), labels.at(-1));
            await page.keyboard.press('Home');
            assert.equal(await where(), labels[0]);
            await page.keyboard.press('End');
            await page.keyboard.press('Tab');
            assert.equal(await where(), 'linear', 'one Tab leaves the strip');
            await page.keyboard.press('ArrowRight');
            assert.equal(await page.locator('mt-byte-distribution').getAttribute('scale'), 'log');
            await page.keyboard.press('Tab');
            await page.keyboard.press('Enter');
            assert.equal(await page.evaluate(() => document.querySelector('mt-byte-distribution').shadowRoot.querySelector('details').open), true);
            await page.keyboard.press('Tab');
            assert.equal(await where(), 'All numbers as a table');
            for (const part of ['covers', 'along', 'healing', 'both']) {
                await page.keyboard.press('Tab');
                assert.equal(await page.evaluate(() => document.activeElement?.parentElement?.id), part);
            }
            await page.keyboard.press('Tab');
            assert.equal(await where(), 'copy-link');
            await page.keyboard.press('Tab');
            assert.equal(await where(), 'View the code');
        }));

    test('a token under the pointer shows its id and bytes', () =>
        onPage(async (page) => {
            const item = page.locator('mt-token-strip [role=listitem]').last();
            await item.hover();
            const token = await page.evaluate(() => {
                const { id, bytes } = document.querySelector('mt-token-strip').tokens.at(-1);
                return { id, hex: [...bytes].map((b) => b.toString(16).toUpperCase().padStart(2, '0')).join(' ') };
            });
            const detail = page.locator('mt-token-strip .detail');
            await eventually(() => detail.textContent(), new RegExp(`id ${token.id}, bytes ${token.hex}`));
            await page.mouse.move(5, 5);
            await eventually(() => detail.textContent(), /^\d+ tokens? for \d+ bytes?$/);
        }));

    test('right-to-left text: the strip runs its way', () =>
        onPage(async (page) => {
            await page.locator('#text').fill('שלום abc');
            await settled(page, 'שלום abc');
            const list = page.locator('mt-token-strip [role=list]');
            assert.equal(await list.getAttribute('dir'), 'rtl');
            const items = page.locator('mt-token-strip [role=listitem]');
            await items.first().focus();
            await page.keyboard.press('ArrowLeft');
            assert.equal(await items.nth(1).evaluate((e) => e.matches(':focus')), true);
        }));

    /** Opens a part below the first screen and waits for its answer. */
    async function deeper(page, id, text = FIRST) {
        await page.locator(`#${id} > summary`).click();
        await answered(page, id, text);
    }
    const answered = (page, id, text) => until(page, ([id, text]) => document.getElementById(id).dataset.for === text && !['stale', 'failed', 'busy'].some((state) => state in document.getElementById(id).dataset), [id, text]);
    const table = (page, id) => page.evaluate((id) => [...document.querySelectorAll(`#${id} tbody tr`)].map((row) => [...row.cells].map((cell) => cell.textContent)), id);
    const model = async () => (await expected(FIRST), opened.get(BUNDLED));

    test('covers: all of them, with shares that sum to the text; the picture, its table and its files', () =>
        onPage(async (page) => {
            await deeper(page, 'covers');
            const ids = coverEncodings((await model()).tokenizer, FIRST).map((list) => [...list]);
            const file = JSON.parse((await saved(page, () => page.locator('#covers-export').getByRole('button', { name: 'JSON' }).click())).text);
            const plain = (lists) => lists.map(String).sort();
            assert.deepEqual(plain(file.covers.map((c) => c.ids)), plain(ids));
            assert.ok(Math.abs(file.covers.reduce((s, c) => s + c.share, 0) - 1) < 1e-9);
            const { textLogProb } = await new ByteModel(await model()).next(FIRST, { naive: false });
            assert.ok(Math.abs(file.logProb - textLogProb) < 0.02, `${file.logProb}, the byte model: ${textLogProb}`);
            assert.match(await page.locator('#covers-told').textContent(), new RegExp(`^${ids.length} ways .*Once \\| ␣upon`));
            await page.locator('#covers .numbers summary').click();
            assert.equal((await table(page, 'covers-table')).length, 100);
            assert.match(await page.locator('#covers-left').textContent(), new RegExp(`100 of ${ids.length}`));
            const { text: svg } = await saved(page, () => page.locator('#covers-export').getByRole('button', { name: 'SVG' }).click());
            assert.match(svg, /^<svg [^]*<style>[^]*<\/svg>\n$/);
            const csv = (await saved(page, () => page.locator('#covers-export').getByRole('button', { name: 'CSV' }).click())).text;
            assert.equal(csv.trim().split('\r\n').length, ids.length + 1);
            await page.locator('#text').fill('<i>λ');
            await settled(page, '<i>λ');
            await answered(page, 'covers', '<i>λ');
            assert.equal(await page.locator('#covers-picture i').count(), 0, 'text is text');
            await page.locator('#text').fill('');
            await until(page, () => /^The text is empty/.test(document.getElementById('covers-told').textContent));
        }));

    test('the picture of covers draws every group, and all that it leaves out is counted', async () => {
        const { coversPicture, groupsOf, glyphsOf } = await import('../../demos/bytes/covers.js');
        const utf8 = (s) => new TextEncoder().encode(s);
        const cover = (share, ...tokens) => ({ ids: tokens.map((t) => t.length * 1000 + t.charCodeAt(0)), tokens: tokens.map(utf8), start: tokens.slice(0, -1).join('').length, logProb: Math.log(share), share });
        const found = { bytes: utf8('a <'), logProb: 0, covers: [cover(0.5, 'a', ' <b'), cover(0.3, 'a', ' <&'), cover(0.15, 'a ', '<'), cover(0.04, 'a ', '<x'), cover(0.01, 'a', ' <q')] };
        const groups = groupsOf(found, 2);
        assert.deepEqual(groups.map((g) => [g.shown.length, g.left, Number(g.leftShare.toFixed(6))]), [[2, 1, 0.01], [0, 2, 0.19]]);
        const svg = coversPicture(found, { rows: 2 });
        for (const word of ['1 more', '2 others', '&lt;', '&amp;', '19.0%']) assert.ok(svg.includes(`>${word}<`), word);
        assert.equal(svg.match(/>␣</g).length, 2);
        assert.deepEqual(glyphsOf(Uint8Array.of(0x61, 0xce, 0xbb, 0xce)), [{ glyph: 'a', width: 1, hex: false }, { glyph: 'λ', width: 2, hex: false }, { glyph: 'CE', width: 1, hex: true }]);
    });

    test('along the text: the bits of each byte are those of the package', () =>
        onPage(async (page) => {
            await deeper(page, 'along');
            const bytes = new TextEncoder().encode(FIRST), view = new ByteModel(await model());
            const plot = await page.evaluate(() => document.getElementById('along-chart').plot);
            assert.deepEqual(plot.lines.map((l) => l.name), ['exact', 'after the cut']);
            for (let i = 0; i < bytes.length; i++) {
                const { bytes: exact, naive } = await view.next(bytes.subarray(0, i));
                for (const [line, logs] of [[0, exact], [1, naive]]) {
                    const bits = -logs[bytes[i]] / Math.LN2;
                    assert.ok(Math.abs(plot.lines[line].points[i][1] - bits) < 0.02 + 0.02 * bits, `${plot.lines[line].name}, byte ${i}: ${plot.lines[line].points[i][1]}, expected ${bits}`);
                }
            }
            assert.equal(await page.locator('#along-text').textContent(), FIRST);
            assert.equal(await page.locator('#along-text .begins').count(), (await model()).tokenizer.encode(FIRST).ids.length);
            assert.match(await page.locator('#along-told').textContent(), /most at ‘.’ \(byte \d+\): \d+/);
            const long = 'é'.repeat(500);
            await page.locator('#text').fill(long);
            await answered(page, 'along', long);
            assert.match(await page.locator('#along-told').textContent(), /Only the first 600 bytes/);
        }));

    test('healing: distances as the package has them; many cuts, and stopping them', () =>
        onPage(async (page) => {
            await deeper(page, 'healing');
            const rows = Object.fromEntries((await table(page, 'healing-table')).map(([name, ...cells]) => [/^[a-z]+?(?=the|give|as|draw)/.exec(name)[0], cells]));
            assert.deepEqual(Object.keys(rows), ['naive', 'healing', 'alignment', 'full', 'weighted', 'cover', 'exact']);
            const { exact } = await expected(FIRST);
            for (const [name, options] of [['naive', { tokens: 0 }], ['healing', { tokens: 1, classic: true }], ['weighted', { tokens: 3, keep: true, epsilon: 1e-5, limit: 16384 }]]) {
                const r = await healedNextByte(await model(), FIRST, options);
                const distance = [...r.bytes, r.end].reduce((s, x, b) => s + Math.abs(Math.exp(x) - exact[b]) / 2, 0);
                assert.ok(Math.abs(Number(rows[name][0]) - distance) < 0.02, `${name}: ${rows[name][0]}, expected ${distance}`);
                assert.equal(rows[name][2], String(r.dropped));
            }
            assert.deepEqual([rows.exact[0], rows.cover[0], rows.weighted[4]], ['0.000', '0.000', '–']);
            assert.ok(rows.exact[4].startsWith(FIRST.slice(-12)));
            await page.locator('#cuts-count').selectOption('100');
            await page.evaluate(() => { // within the page: it may be done before another process can press
                const go = document.getElementById('cuts-go');
                go.click();
                if (go.textContent === 'Stop') go.click();
            });
            await page.locator('#cuts-go', { hasText: 'Measure' }).waitFor();
            assert.equal(await page.locator('#cuts-result').isVisible(), false);
            await page.locator('#cuts-count').selectOption('10');
            await page.locator('#cuts-where').selectOption('space');
            await page.locator('#cuts-go').click();
            await until(page, () => document.getElementById('cuts').dataset.for === 'space 10');
            const { SAMPLE } = await import('../../demos/bytes/sample.js');
            const want = (await healingTable(await model(), SAMPLE, { where: 'space', cuts: 10 })).rows;
            const got = await table(page, 'cuts-table');
            assert.deepEqual(got.map((row) => row[0]), want.map((row) => row.method));
            got.forEach((row, i) => assert.ok(Math.abs(Number(row[1]) - want[i].distance) < 0.02, `${row[0]}: ${row[1]}, expected ${want[i].distance}`));
            await until(page, () => /where=space/.test(location.hash) && /cuts=10/.test(location.hash) && /open=healing/.test(location.hash));
        }));

    test('two models: each and both, by the rule and the weights of a link', () =>
        onPage(
            async (page) => {
                assert.equal(await page.locator('#both-result').isVisible(), false);
                await page.locator('#second-load').click();
                await page.locator('#both-table tbody tr').nth(2).waitFor();
                const second = await Model.load(path.join(ROOT, 'models/family/draft-1m.gguf'));
                opened.set('draft', second);
                const both = new Ensemble([await model(), second], { rule: 'product', weights: [0.7, 0.3] });
                const want = await both.next(FIRST);
                await both.dispose();
                const { series } = await page.evaluate(() => document.getElementById('both-chart').plot);
                assert.deepEqual(series.map((s) => s.name), ['microtome-tiny', 'draft-1m', 'together']);
                const best = want.bytes.indexOf(Math.max(...want.bytes));
                assert.ok(Math.abs(Math.max(...series[2].values) - Math.exp(want.bytes[best])) < 0.01);
                assert.deepEqual((await table(page, 'both-table')).map((row) => row[1]), ['0.700', '0.300', '']);
                await page.locator('#rules input[value=posterior]').check();
                await until(page, () => document.querySelector('#both-table tbody td').textContent !== '0.700' && !['stale', 'busy'].some((state) => state in document.getElementById('both').dataset));
                const [a, b] = (await table(page, 'both-table')).map((row) => Number(row[1]));
                assert.ok(Math.abs(a + b - 1) < 0.002 && a !== 0.7, `earned: ${a}, ${b}`);
                await until(page, () => location.hash.includes('rule=posterior') && location.hash.includes('weight=70'));
            },
            { hash: '#open=both&rule=product&weight=70' },
        ));

    test('the parts below: open from a link, accessible, on a phone too', async () => {
        for (const context of [{}, { viewport: { width: 390, height: 844 }, colorScheme: 'dark' }])
            await onPage(
                async (page) => {
                    for (const id of ['covers', 'along', 'healing', 'both']) await answered(page, id, FIRST);
                    await page.locator('#covers .numbers summary').click();
                    await (context.viewport ? axe : axeInThemes)(page, `depth, ${JSON.stringify(context)}`);
                    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= (context.viewport?.width ?? 1280));
                },
                { context, hash: '#open=covers,along,healing,both' },
            );
    });

    for (const width of [390, 320]) {
        test(`fits ${width} pixels`, () =>
            onPage(
                async (page) => {
                    const long = 'A_very_long_word_without_any_break_'.repeat(6);
                    await page.locator('#text').fill(long);
                    await settled(page, long);
                    await page.locator('mt-byte-distribution summary').click();
                    await page.evaluate(readPage);
                    await page.getByRole('button', { name: 'From a URL' }).click();
                    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
                    assert.ok(wide <= width, `the page is ${wide} pixels wide`);
                    const small = await page.evaluate(() => {
                        const out = [];
                        const walk = (root) => {
                            for (const el of root.querySelectorAll('*')) {
                                if (el.matches('button, label.button, summary, fieldset label, [role=listitem]')) {
                                    const r = el.getBoundingClientRect();
                                    if (r.width && (r.width < 24 || r.height < 24)) out.push(`${el.tagName} ${el.textContent} ${r.width}x${r.height}`);
                                }
                                if (el.shadowRoot) walk(el.shadowRoot);
                            }
                        };
                        walk(document);
                        return out;
                    });
                    assert.deepEqual(small, [], 'targets of at least 24 pixels');
                },
                { context: { viewport: { width, height: 800 } } },
            ));
    }

    const looks = { 'a wide screen': {}, 'a phone in the dark': { colorScheme: 'dark', viewport: { width: 390, height: 800 } } };
    for (const [look, context] of Object.entries(looks)) {
        test(`accessibility rules: ${look}`, () =>
            onPage(
                async (page) => {
                    await page.locator('mt-byte-distribution summary').click();
                    await page.locator('#code summary').click();
                    const all = context.viewport ? axe : axeInThemes;
                    await all(page, look);
                    await page.locator('#text').fill('Plain λόγος and a tab\t\n');
                    await settled(page, 'Plain λόγος and a tab\t\n');
                    await all(page, `${look}, split characters`);
                },
                { context },
            ));
    }

    test('dark is dark, light is light', () =>
        onPage(async (page) => {
            for (const [colorScheme, dark] of [['dark', true], ['light', false]]) {
                await page.emulateMedia({ colorScheme });
                await eventually(async () => (await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/g).map(Number).reduce((a, b) => a + b) < 200, dark);
            }
        }, { ready: false }));

    test('first paint does not wait for the model', async () => {
        const stuck = await serve({ routes: { '/models/microtome-tiny.gguf': () => {} } });
        try {
            await onPage(
                async (page) => {
                    await page.locator('mt-model-picker progress').waitFor();
                    assert.equal(await page.locator('#text').inputValue(), FIRST);
                    assert.match(await page.locator('#verdict').textContent(), /Opening/);
                    await axe(page, 'while loading');
                },
                { at: stuck, ready: false },
            );
        } finally {
            await stuck.close();
        }
    });

    test('elements work alone, without the page', () =>
        onPage(
            async (page) => {
                const out = await page.evaluate(async (base) => {
                    const { layoutTokens } = await import(`${base}token-strip.js`);
                    const { chooseRows } = await import(`${base}byte-distribution.js`);
                    const utf8 = (s) => [...new TextEncoder().encode(s)];
                    const tok = (...bytes) => ({ id: 0, bytes: Uint8Array.from(bytes) });
                    const exact = new Array(257).fill(0), naive = new Array(257).fill(0);
                    exact[65] = 0.7;
                    exact[66] = 0.3;
                    naive[67] = 1;
                    const chart = document.createElement('mt-byte-distribution');
                    document.body.append(chart);
                    chart.result = { bytes: exact.map(Math.log).slice(0, 256), end: -Infinity };
                    const single = [chart.shadowRoot.querySelectorAll('.key').length, chart.totalVariation];
                    chart.result = { bytes: exact.map(Math.log).slice(0, 256), end: -Infinity, naive: naive.map(Math.log) };
                    return {
                        single,
                        tv: chart.totalVariation,
                        rows: chooseRows(exact, naive, 3),
                        split: layoutTokens([tok(0x61, 0xe8), tok(0xaa), tok(0x9e, 0x62)]),
                        invalid: layoutTokens([tok(0xff, 0x61), tok(0xe0, 0x80, 0x80), tok(0xed, 0xa0, 0x80), tok(0xc3)]),
                        shared: layoutTokens([tok(...utf8('é').slice(0, 1)), tok(0xa9, 0xc3), tok(0xa8)]).joint,
                        empty: layoutTokens([]),
                    };
                }, server.url('web/elements/'));
                assert.deepEqual(out.single, [1, NaN]);
                assert.equal(out.tv, 1);
                assert.deepEqual(out.rows, [65, 66, 67]);
                assert.deepEqual(out.split, {
                    parts: [[{ text: 'a' }, { bytes: [0xe8], of: '語' }], [{ bytes: [0xaa], of: '語' }], [{ bytes: [0x9e], of: '語' }, { text: 'b' }]],
                    joint: ['語', '語', null],
                });
                assert.deepEqual(out.invalid.parts, [[{ bytes: [0xff], of: null }, { text: 'a' }], [{ bytes: [0xe0, 0x80, 0x80], of: null }], [{ bytes: [0xed, 0xa0, 0x80], of: null }], [{ bytes: [0xc3], of: null }]]);
                assert.deepEqual(out.shared, ['é', 'è', null]);
                assert.deepEqual(out.empty, { parts: [], joint: [] });
            },
            { folder: 'demos/', ready: false },
        ));

    test('logits of Stories260K in the page equal the reference', { skip: STORIES ? false : '../shared is not here' }, () =>
        onPage(
            async (page) => {
                const reference = JSON.parse(readFileSync(path.join(path.dirname(STORIES), 'reference.json'), 'utf8'));
                const got = await page.evaluate(
                    async ({ lib, url, prompts }) => {
                        const { Model } = await import(lib);
                        const model = await Model.load(url);
                        const out = [];
                        for (const ids of prompts) {
                            const { logits } = await model.run(ids);
                            out.push([...logits]);
                        }
                        model.dispose();
                        return out;
                    },
                    { lib: server.url('web/index.js'), url: server.url('stories.gguf'), prompts: reference.map((r) => r.ids) },
                );
                reference.forEach((r, i) => {
                    const logits = got[i].slice(-r.last_logits.length);
                    const worst = Math.max(...r.last_logits.map((x, j) => Math.abs(x - logits[j])));
                    assert.ok(worst < 2e-4, `“${r.prompt}”: off by ${worst}`);
                });
            },
            { ready: false },
        ));

    describe('the front page', () => {
        test('lists every demo, links work, accessible', () =>
            onPage(
                async (page) => {
                    await page.locator('.demo').first().waitFor();
                    await axe(page, 'front page');
                    const listed = JSON.parse(readFileSync(path.join(ROOT, 'demos/demos.json'), 'utf8')).map((d) => d.path);
                    const folders = readdirSync(path.join(ROOT, 'demos'), { withFileTypes: true }).filter((e) => e.isDirectory() && existsSync(path.join(ROOT, 'demos', e.name, 'index.html'))).map((e) => `${e.name}/`);
                    assert.deepEqual([...listed].sort(), folders.sort(), 'demos.json lists each folder once');
                    assert.equal(await page.locator('.demo').count(), listed.length);
                    for (const p of listed) assert.ok(existsSync(path.join(ROOT, 'demos', p, 'card.svg')), `${p}card.svg`);
                    await page.locator('.demo a[href="bytes/"]').click();
                    await settled(page, FIRST);
                    await page.getByRole('link', { name: 'Microtome' }).click();
                    await page.locator('.demo').first().waitFor();
                },
                { folder: 'demos/', ready: false },
            ));
    });
});

test('only the newest question is answered', async () => {
    const { latest } = await import('../../demos/kit/latest.js');
    const log = [];
    const open = [];
    const ask = latest(
        (input, signal) => new Promise((resolve, reject) => open.push({ input, resolve, reject, signal })),
        (output) => log.push(output),
        (error, input) => log.push(`${input}: ${error.message}`),
    );
    const tick = () => new Promise((r) => setImmediate(r));
    ask('a');
    ask('b');
    ask('c');
    await tick();
    assert.deepEqual(open.map((o) => o.input), ['a'], 'one at a time');
    assert.equal(open[0].signal.aborted, true);
    open[0].resolve('A');
    await tick();
    assert.deepEqual(open.map((o) => o.input), ['a', 'c'], 'b was never asked');
    open[1].resolve('C');
    await tick();
    ask('d');
    await tick();
    open[2].reject(new Error('no'));
    await tick();
    ask('e');
    await tick();
    ask('f');
    open[3].reject(new Error('stale'));
    await tick();
    open[4].resolve('F');
    await tick();
    assert.deepEqual(log, ['C', 'd: no', 'F']);
});

test('the code on the page runs and prints what the page says', async () => {
    const { spawnSync } = await import('node:child_process');
    const html = readFileSync(path.join(ROOT, 'demos/bytes/index.html'), 'utf8');
    const code = /<code id="snippet">([^]*?)<\/code>/.exec(html)[1].replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', code.replace("'microtome-tiny.gguf'", JSON.stringify(BUNDLED))], { cwd: ROOT, encoding: 'utf8', timeout: PATIENCE });
    assert.equal(run.status, 0, run.stderr);
    const want = await expected(FIRST);
    const best = want.exact.indexOf(Math.max(...want.exact));
    assert.match(run.stdout.split('\n')[0], new RegExp(`"${String.fromCharCode(best)}" exact ${want.exact[best].toFixed(4)}`));
});

describe('demos/bytes in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, () => {
    test('opens, types, shows the package’s numbers', () =>
        visitInFirefox('demos/bytes/', async (page) => {
            await settled(page, FIRST);
            assertSame(await page.evaluate(readPage), await expected(FIRST));
            await page.evaluate(() => {
                document.getElementById('text').value = '';
                document.getElementById('text').focus();
            });
            await page.keyboard.type('The litt');
            await settled(page, 'The litt');
            assertSame(await page.evaluate(readPage), await expected('The litt'));
        }));
});
