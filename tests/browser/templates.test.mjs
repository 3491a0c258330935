// The applications of docs/templates as their readers make them: the packed tarball installed, built by each bundler, served from a folder of a
// host that isolates nothing, under a strict policy. What they show is what the package says in Node.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify, stripVTControlCharacters } from 'node:util';
import { ByteModel, Model } from '../../web/index.js';
import { installPacked } from '../support/packed.mjs';
import { BUNDLED, scratch } from '../support/wasm.mjs';
import { CHROMIUM, chromium, FIREFOX, firefox, PATIENCE, ROOT, serve, STRICT_POLICY, until, watch } from './support.mjs';

const run = promisify(execFile);
const TEMPLATES = path.join(ROOT, 'docs/templates');
/** By bundler: the folder that it leaves to be served. */
const BUILT = { vite: 'dist', webpack: 'public', esbuild: 'public', rollup: 'public' };
const CDN = 'https://cdn.jsdelivr.net/npm/microtome@0.1.0/';
const FIRST = 'Once upon a ti', TYPED = 'me there was a lit';
const work = scratch().folder;
/** @type {string} */ let installed;

/** @type {Map<string, {ids: number[], exact: number[], naive: number[]}>} */
const WANT = new Map();

/** Runs in the page: what it shows. */
function shown() {
    const chart = document.querySelector('mt-byte-distribution'), { result } = chart;
    return {
        ids: document.querySelector('mt-token-strip').tokens.map(({ id }) => id), exact: result && [...result.bytes, result.end].map(Math.exp), naive: result && [...result.naive].map(Math.exp),
        rows: chart.shadowRoot.querySelectorAll('svg rect').length, isolated: globalThis.crossOriginIsolated, says: document.querySelector('output').value,
    };
}

/** Kernels of two engines round products of quantised weights differently: small probabilities move a little, as in bytes.test.mjs. */
const near = (a, b) => Math.abs(a - b) <= 2e-6 + 0.02 * Math.min(a, b);
/** The first byte whose probability is not what it should be, or -1. */
const wrongAt = (got, want) => want.findIndex((p, b) => !near(got[b], p));

/** Opens the application, types, and compares. @param {any} page @param {string} address */
async function use(page, address) {
    const { errors, foreign } = watch(page, new URL(address).origin);
    await page.goto(address);
    const read = async (text) => {
        const want = WANT.get(text);
        let got = null;
        // While somebody types, older answers may still come: what counts is what stands there in the end.
        for (const end = Date.now() + PATIENCE; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
            got = await page.evaluate(shown).catch(() => null); // the elements may not be defined yet
            if (got?.exact && String(got.ids) === String(want.ids) && wrongAt(got.exact, want.exact) < 0) break;
        }
        assert.ok(got?.exact, `nothing is shown: ${errors.join('; ')}; it says ${got?.says ?? await page.evaluate(() => document.querySelector('output')?.value)}`);
        assert.deepEqual(got.ids, want.ids);
        for (const side of /** @type {const} */ (['exact', 'naive'])) {
            const b = wrongAt(got[side], want[side]);
            assert.equal(b, -1, `${side}, byte ${b}: the page says ${got[side][b]}, the package ${want[side][b]}`);
        }
        assert.ok(got.rows > 4, 'bars are drawn');
        assert.equal(got.isolated, false);
    };
    await read(FIRST);
    await page.focus('textarea');
    await page.keyboard.press('Control+End').catch(() => page.keyboard.press('End')); // one driver has no chords
    await page.keyboard.type(TYPED);
    await read(FIRST + TYPED);
    assert.deepEqual(errors, []);
    return { foreign };
}

/** A program that takes the rest of the package: workers of workers' modules, modules that are loaded on demand, files beside them. */
const WIDE = `
import { runSystem } from 'microtome/atlas';
import { logitLens } from 'microtome/inspect';
import { LabClient } from 'microtome/lab';
import { TINY } from 'microtome/models';
import { Params } from 'microtome/net';
import { Model } from 'microtome';
import { Model as Core } from 'microtome/core';

async function all() {
  const lab = await LabClient.open('bico-reversal-curse', { config: { steps: 10, every: 5 } });
  const { where } = await lab.start();
  await lab.terminate();
  const params = await Params.create({ seed: 1 }), drawn = params.param('w', [2, 3], { normal: 1 }).value.length;
  const { verdict } = await runSystem(23);
  const model = await Model.load(TINY), { rows } = await logitLens(model, 'Once upon a time');
  await model.dispose();
  const core = await Core.load(TINY), { text } = await core.greedy('Once upon a time', { maxTokens: 4 });
  await core.dispose();
  return { done: where.done, drawn, verdict, rows: rows.length, core: core.engine.split(',')[0], text };
}
all().catch((error) => error.message).then((said) => { document.querySelector('output').value = JSON.stringify(said); });
`;

/** A template with the package and its bundler installed. @param {string} name @param {string} [as] @returns {string} its folder */
function copy(name, as = name) {
    const folder = path.join(work, as), modules = path.join(folder, 'node_modules');
    cpSync(path.join(TEMPLATES, name), folder, { recursive: true });
    mkdirSync(path.join(modules, '.bin'), { recursive: true });
    cpSync(installed, path.join(modules, 'microtome'), { recursive: true });
    for (const [tool, version] of Object.entries(JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')).devDependencies)) {
        const from = path.join(ROOT, 'node_modules', tool), { bin = {}, version: here } = JSON.parse(readFileSync(path.join(from, 'package.json'), 'utf8'));
        assert.equal(version, here, `${name}: the version of ${tool} is the one that is tested`);
        mkdirSync(path.dirname(path.join(modules, tool)), { recursive: true });
        symlinkSync(from, path.join(modules, tool));
        for (const [command, file] of Object.entries(typeof bin === 'string' ? { [tool]: bin } : bin)) symlinkSync(path.join(from, file), path.join(modules, '.bin', command));
    }
    return folder;
}

before(async () => {
    mkdirSync(path.join(work, 'installed'));
    ({ installed } = await installPacked(path.join(work, 'installed')));
    const model = await Model.load(BUNDLED), bytes = new ByteModel(model);
    for (const text of [FIRST, FIRST + TYPED]) {
        const next = await bytes.next(text);
        WANT.set(text, { ids: [...model.tokenizer.encode(text).ids], exact: [...next.bytes, next.end].map(Math.exp), naive: [...next.naive].map(Math.exp) });
    }
    await model.dispose();
});

test('the templates are one application', () => {
    const program = (name) => readFileSync(path.join(TEMPLATES, name, 'main.js'), 'utf8');
    for (const name of Object.keys(BUILT)) assert.equal(program(name), program('vite'), name);
    assert.equal(program('plain').replaceAll(/'https:[^']*?\/web\/(?:index)?(.*?)'/g, (_, rest) => `'microtome${{ '.js': '', 'models.js': '/models' }[rest] ?? `/${rest}`}'`), program('vite'));
    const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    assert.ok(CDN.endsWith(`@${version}/`) && program('plain').includes(CDN), 'the version on the CDN');
});

describe('templates in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, () => {
    let browser;
    before(async () => { browser = await chromium(); });
    after(() => browser?.close());

    for (const [name, output] of Object.entries(BUILT))
        test(name, async (t) => {
            const folder = copy(name);
            const { stdout, stderr } = await run('npm', ['run', 'build'], { cwd: folder }).catch((error) => assert.fail(error.stdout + error.stderr));
            assert.doesNotMatch(stripVTControlCharacters(stdout + stderr).replace(/^npm .*$/gm, ''), /\b(?:error|warning|warn)\b/i);
            const server = await serve({ isolated: false, base: '/apps/mine/', mount: { '': path.join(folder, output) } });
            const page = await browser.newPage();
            try {
                const { foreign } = await use(page, server.url(''));
                assert.deepEqual(foreign, []);
                const asked = server.requests.filter((request) => existsSync(path.join(folder, output, request.slice('/apps/mine/'.length))));
                assert.deepEqual(asked.length, server.requests.length, `everything is there: ${server.requests}`);
                assert.equal(asked.filter((request) => request.endsWith('.wasm')).length, 1, 'one module is loaded');
                const scripts = asked.filter((request) => request.endsWith('.js'));
                t.diagnostic(`${scripts.length} scripts, ${scripts.reduce((sum, request) => sum + statSync(path.join(folder, output, request.slice('/apps/mine/'.length))).size, 0)} bytes`);
            } finally {
                await page.close();
                await server.close();
            }
        });

    for (const name of /** @type {const} */ (['vite', 'webpack']))
        test(`${name}: labs, nets, the atlas and what looks inside`, async () => {
            const folder = copy(name, `${name} wide`);
            writeFileSync(path.join(folder, 'main.js'), WIDE);
            await run('npm', ['run', 'build'], { cwd: folder }).catch((error) => assert.fail(error.stdout + error.stderr));
            const server = await serve({ isolated: false, base: '/apps/mine/', mount: { '': path.join(folder, BUILT[name]) } });
            const page = await browser.newPage();
            try {
                const { errors, foreign } = watch(page, server.origin);
                await page.goto(server.url(''));
                const said = await until(page, () => document.querySelector('output').value);
                assert.deepEqual(JSON.parse(await said.jsonValue()), { done: true, drawn: 6, verdict: 'holds', rows: 7, core: 'core', text: ', there was a' });
                assert.deepEqual([errors, foreign], [[], []]);
            } finally {
                await page.close();
                await server.close();
            }
        });

    test('vite, its development server', async () => {
        const folder = path.join(work, 'vite');
        const child = spawn(process.execPath, [path.join(folder, 'node_modules/vite/bin/vite.js'), '--host', '127.0.0.1', '--port', '0'], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
        const page = await browser.newPage();
        try {
            let said = '';
            for await (const chunk of child.stdout) if (/(http:\S+)/.test((said += stripVTControlCharacters(String(chunk))))) break;
            await use(page, /(http:\S+)/.exec(said)?.[1] ?? '');
        } finally {
            await page.close();
            child.kill();
            await once(child, 'exit');
        }
    });
});

/** The page on one origin, the package on another. @param {(address: string, cdn: string) => Promise<{foreign: string[]}>} visit */
async function plain(visit) {
    const cdn = await serve({ isolated: false, base: '/npm/microtome@0.1.0/', mount: { '': installed }, policy: '', shared: true });
    const folder = path.join(work, `plain ${cdn.origin.split(':')[2]}`), home = cdn.url('');
    cpSync(path.join(TEMPLATES, 'plain'), folder, { recursive: true });
    writeFileSync(path.join(folder, 'main.js'), readFileSync(path.join(folder, 'main.js'), 'utf8').replaceAll(CDN, home));
    const policy = STRICT_POLICY.replace('script-src', `script-src ${cdn.origin}`).replace('connect-src', `connect-src ${cdn.origin}`).replace("worker-src 'self'", `worker-src blob: ${cdn.origin}`);
    const server = await serve({ isolated: false, base: '/apps/mine/', mount: { '': folder }, policy });
    try {
        const { foreign } = await visit(server.url(''), cdn.origin);
        assert.ok(foreign.some((url) => url.endsWith('web/index.js')));
        assert.deepEqual(foreign.filter((url) => !url.startsWith(home)), []);
        assert.ok(server.requests.length <= 4, `the page itself: ${server.requests}`);
        assert.ok(cdn.requests.some((request) => request.endsWith('web/runtime/worker.js')) && cdn.requests.filter((request) => request.endsWith('.wasm')).length === 1);
    } finally {
        await server.close();
        await cdn.close();
    }
}

test('without a bundler, from another origin, in Chromium', { skip: CHROMIUM ? false : 'no Chromium here' }, async () => {
    const browser = await chromium();
    try {
        await plain(async (address) => use(await browser.newPage(), address));
    } finally {
        await browser.close();
    }
});

test('without a bundler, from another origin, in Firefox', { skip: FIREFOX ? false : 'no Firefox here' }, async () => {
    const { browser, close } = await firefox();
    try {
        await plain(async (address) => use(await browser.newPage(), address));
    } finally {
        await close();
    }
});
