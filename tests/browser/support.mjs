/**
 * What browser tests share: a small static server (with or without cross-origin isolation, at the root or in a
 * subfolder), Chromium through playwright-core and Firefox through puppeteer-core, and a page that remembers what went
 * wrong in it.
 */
import { createServer } from 'node:http';
import { once } from 'node:events';
import assert from 'node:assert/strict';
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { PAGE_RATE } from './slow.mjs';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** ../shared or $MICROTOME_SHARED; null when absent. */
export const SHARED = [process.env.MICROTOME_SHARED, path.join(ROOT, '../shared')].find((p) => p && existsSync(p)) ?? null;

const TYPES = {
    '.html': 'text/html; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.mjs': 'text/javascript; charset=utf-8',
    '.css': 'text/css; charset=utf-8',
    '.json': 'application/json',
    '.svg': 'image/svg+xml',
    '.wasm': 'application/wasm',
};

/** The policy under which every page must work, as a header (the pages carry it as a <meta> too). */
export const STRICT_POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'";

/**
 * Serves the repository.
 * @param {object} [options]
 * @param {boolean} [options.isolated] send COOP and COEP, which give the page shared memory
 * @param {string} [options.base] the folder that the repository appears in, e.g. '/some/folder/'
 * @param {Record<string, string>} [options.mount] URL prefix (below base) -> folder or file on disk, before the repository
 * @param {Record<string, (req: import('node:http').IncomingMessage, res: import('node:http').ServerResponse) => void>} [options.routes]
 * @param {string} [options.policy] a Content-Security-Policy header
 * @param {boolean} [options.shared] pages of other origins may read what is served, as on a CDN
 * @returns {Promise<{ origin: string, url: (p: string) => string, requests: string[], close: () => Promise<void> }>}
 */
export async function serve({ isolated = true, base = '/', mount = {}, routes = {}, policy = STRICT_POLICY, shared = false } = {}) {
    /** @type {string[]} */
    const requests = [];
    const server = createServer(async (req, res) => {
        const { pathname } = new URL(req.url ?? '/', 'http://x');
        requests.push(pathname);
        if (isolated) {
            res.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
            res.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
        }
        if (policy) res.setHeader('Content-Security-Policy', policy);
        if (shared) res.setHeader('Access-Control-Allow-Origin', '*');
        res.setHeader('Cache-Control', 'max-age=600'); // as on an ordinary static host; every test has a browser context of its own
        if (routes[pathname]) return routes[pathname](req, res);
        const missing = () => res.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found');
        if (!pathname.startsWith(base)) return missing();
        const relative = decodeURIComponent(pathname.slice(base.length));
        const prefix = Object.keys(mount).find((p) => relative.startsWith(p));
        const root = prefix === undefined ? ROOT : mount[prefix];
        let file = path.join(root, prefix === undefined ? relative : relative.slice(prefix.length));
        if (relative.split('/').includes('..')) return missing();
        try {
            if ((await stat(file)).isDirectory()) file = path.join(file, 'index.html');
            const { size } = await stat(file);
            const range = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '');
            const start = range ? Number(range[1]) : 0;
            const end = range?.[2] ? Math.min(Number(range[2]), size - 1) : size - 1;
            if (range && start >= size) return res.writeHead(416, { 'Content-Range': `bytes */${size}` }).end();
            res.writeHead(range ? 206 : 200, {
                'Content-Type': TYPES[/** @type {keyof TYPES} */ (path.extname(file))] ?? 'application/octet-stream',
                'Content-Length': Math.max(0, end - start + 1),
                'Accept-Ranges': 'bytes',
                ...(range ? { 'Content-Range': `bytes ${start}-${end}/${size}` } : {}),
            });
            if (req.method === 'HEAD' || size === 0) return res.end();
            createReadStream(file, { start, end }).pipe(res);
        } catch {
            missing();
        }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const origin = `http://127.0.0.1:${port}`;
    return {
        origin,
        url: (p) => origin + base + p,
        requests,
        close: async () => {
            server.closeAllConnections();
            server.close();
            await once(server, 'close');
        },
    };
}

/** @param {string[]} names */
const onDisk = (...names) => names.find((p) => existsSync(p)) ?? null;
export const CHROMIUM = process.env.CHROMIUM ?? onDisk('/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome');
export const FIREFOX = process.env.FIREFOX ?? onDisk('/usr/bin/firefox-esr', '/usr/bin/firefox');

/** The longest wait for a state, in milliseconds: it ends a test that waits in vain, and asserts nothing about time. */
export const PATIENCE = 120_000;

/**
 * Waits for a condition in a page of either driver.
 * @template A
 * @param {any} page @param {(arg: A) => unknown} condition runs in the page @param {A} [arg]
 */
export const until = (page, condition, arg) => page.waitForFunction(condition, ...('waitForURL' in page ? [arg, { timeout: PATIENCE }] : [{ timeout: PATIENCE }, arg]));

/**
 * What a page reaches in a while: reads it again and again until it is as it should be, and tells the last difference when patience ends.
 * @template T
 * @param {() => T | Promise<T>} read @param {T | RegExp | ((value: T) => unknown)} want an equal value, a pattern, or a check that throws
 * @param {string} [message]
 * @returns {Promise<T>} what was read last
 */
export async function eventually(read, want, message) {
    for (const end = Date.now() + PATIENCE; ; await new Promise((resolve) => setTimeout(resolve, 50))) {
        try {
            const value = await read();
            if (want instanceof RegExp) assert.match(/** @type {any} */ (value), want, message);
            else if (typeof want === 'function') await /** @type {(value: T) => unknown} */ (want)(value);
            else assert.deepEqual(value, want, message);
            return value;
        } catch (error) {
            if (Date.now() > end) throw error;
        }
    }
}

/** A file that a page hands out. @param {import('playwright-core').Page} page @param {() => Promise<unknown>} press */
export async function saved(page, press) {
    const [download] = await Promise.all([page.waitForEvent('download'), press()]), bytes = readFileSync(await download.path());
    return { name: download.suggestedFilename(), bytes, text: bytes.toString() };
}

/** @returns {Promise<import('playwright-core').Browser>} */
export async function chromium() {
    const { chromium: driver } = await import('playwright-core');
    return driver.launch({
        executablePath: CHROMIUM ?? undefined,
        args: ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
}

/** @returns {Promise<{ browser: import('puppeteer-core').Browser, close: () => Promise<void> }>} */
export async function firefox() {
    const { launch } = await import('puppeteer-core');
    const profile = mkdtempSync(path.join(tmpdir(), 'microtome-firefox-'));
    const browser = await launch({ browser: 'firefox', executablePath: FIREFOX ?? undefined, headless: true, userDataDir: profile, timeout: PATIENCE, protocolTimeout: 2 * PATIENCE });
    return {
        browser,
        close: async () => {
            await browser.close();
            rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
        },
    };
}

/**
 * Watches a page of either driver: what must stay empty.
 * @param {any} page
 * @param {string} origin
 * @returns {{ errors: string[], foreign: string[] }} console errors and uncaught exceptions; requests to other origins
 */
export function watch(page, origin) {
    /** @type {string[]} */ const errors = [];
    /** @type {string[]} */ const foreign = [];
    page.on('console', (/** @type {any} */ m) => m.type() === 'error' && errors.push(`${m.text()} (${m.location().url})`));
    page.on('pageerror', (/** @type {unknown} */ e) => errors.push(String(e)));
    page.on('request', (/** @type {any} */ r) => !/^(data|blob):/.test(r.url()) && new URL(r.url()).origin !== origin && foreign.push(r.url()));
    return { errors, foreign };
}

/** A page of either driver that is waited for long enough, as slow as SLOW asks. @template {any} P @param {P} page @returns {Promise<P>} */
export async function patient(page) {
    const any = /** @type {any} */ (page);
    any.setDefaultTimeout(PATIENCE);
    if (PAGE_RATE > 1 && 'waitForURL' in any) await (await any.context().newCDPSession(any)).send('Emulation.setCPUThrottlingRate', { rate: PAGE_RATE });
    return page;
}

/**
 * Opens an address in Chromium, in a context of its own, and runs a check there; demands a silent console and no request to another origin.
 * @param {import('playwright-core').Browser} browser
 * @param {string} address
 * @param {(page: import('playwright-core').Page, context: import('playwright-core').BrowserContext) => unknown} check
 * @param {object} [options]
 * @param {(page: import('playwright-core').Page) => unknown} [options.prepare] before the page is opened
 * @param {((page: import('playwright-core').Page) => unknown) | null} [options.ready] waits until the check can begin
 * @param {import('playwright-core').BrowserContextOptions} [options.context]
 * @param {RegExp[]} [options.allow] errors that the check provokes
 */
export async function visit(browser, address, check, { prepare, ready, context = {}, allow = [] } = {}) {
    const own = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...context });
    own.setDefaultTimeout(PATIENCE); // for pages that the check opens too
    try {
        const page = await patient(await own.newPage());
        const { errors, foreign } = watch(page, new URL(address).origin);
        await prepare?.(page);
        await page.goto(address);
        await ready?.(page);
        await check(page, own);
        assert.deepEqual(errors.filter((e) => !allow.some((a) => a.test(e))), [], 'console errors');
        assert.deepEqual(foreign, [], 'requests to other origins');
    } finally {
        await own.close();
    }
}

/**
 * The same in Firefox, with a server of its own.
 * @param {string} address in the repository
 * @param {(page: import('puppeteer-core').Page, server: Awaited<ReturnType<typeof serve>>) => unknown} check
 * @param {Parameters<typeof serve>[0]} [served]
 */
export async function visitInFirefox(address, check, served) {
    const server = await serve(served);
    try {
        const { browser, close } = await firefox();
        try {
            const page = await patient(await browser.newPage());
            const { errors, foreign } = watch(page, server.origin);
            await page.goto(server.url(address));
            await check(page, server);
            assert.deepEqual(errors, [], 'console errors');
            assert.deepEqual(foreign, [], 'requests to other origins');
        } finally {
            await close();
        }
    } finally {
        await server.close();
    }
}

/** The longest task of a page's main thread until now, in milliseconds, for reports; 0: none of 50 or more. @param {import('playwright-core').Page} page @returns {Promise<number>} */
export const longestTask = (page) => page.evaluate(() => new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(Math.max(...list.getEntries().map((task) => task.duration)))).observe({ type: 'longtask', buffered: true });
    setTimeout(() => resolve(0), 300); // entries of the past come at once
}));

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const AXE_RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Those whose outcome a theme can change. */
const COLOUR_RULES = ['color-contrast', 'link-in-text-block'];

/**
 * Demands that axe-core finds nothing on a page, as it stands when it has stopped moving.
 * @param {import('playwright-core').Page} page @param {string} what is on show, for the message
 * @param {object} [runOnly]
 */
export async function axe(page, what, runOnly = { type: 'tag', values: AXE_RULES }) {
    if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE);
    const { violations } = await page.evaluate(async (only) => {
        await Promise.allSettled(document.getAnimations().filter((one) => one.effect?.getComputedTiming().endTime !== Infinity).map((one) => one.finished));
        return /** @type {any} */ (globalThis).axe.run(document, { runOnly: only, resultTypes: ['violations'], elementRef: false });
    }, runOnly);
    assert.deepEqual(violations.map((/** @type {any} */ v) => `${v.id} (${v.impact}): ${v.nodes.map((/** @type {any} */ n) => `${n.target} ${n.failureSummary}`).join(' | ')}`), [], what);
}

/** @type {Record<string, Parameters<import('playwright-core').Page['emulateMedia']>[0]>} */
const THEMES = { light: { colorScheme: 'light', forcedColors: 'none' }, dark: { colorScheme: 'dark', forcedColors: 'none' }, 'forced colours': { colorScheme: 'light', forcedColors: 'active' } };

/** The same; then, in the other themes, what a theme can change. @param {import('playwright-core').Page} page @param {string} what */
export async function axeInThemes(page, what) {
    await axe(page, what);
    const own = await page.evaluate(() => (matchMedia('(forced-colors: active)').matches ? 'forced colours' : matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
    for (const [name, media] of Object.entries(THEMES)) {
        if (name === own) continue;
        await page.emulateMedia(media);
        await axe(page, `${what}, ${name}`, { type: 'rule', values: COLOUR_RULES });
    }
    await page.emulateMedia(THEMES[own]);
}
