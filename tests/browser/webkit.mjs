/**
 * WebKitGTK by plain WebDriver (W3C): WebKitWebDriver starts MiniBrowser under a virtual display. Only what the tests
 * need: go, run scripts, click, type, wait.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { PATIENCE } from './support.mjs';

const browsers = existsSync('/usr/lib/x86_64-linux-gnu') ? readdirSync('/usr/lib/x86_64-linux-gnu').filter((name) => /^webkit2?gtk-/.test(name)).map((name) => `/usr/lib/x86_64-linux-gnu/${name}/MiniBrowser`).filter((path) => existsSync(path)) : [];
/** The browser; null where it, its driver or a display is missing. */
export const WEBKIT = existsSync('/usr/bin/WebKitWebDriver') && existsSync('/usr/bin/xvfb-run') ? (browsers.at(-1) ?? null) : null;

const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

async function freePort() {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    server.close();
    await once(server, 'close');
    return port;
}

export class WebKit {
    #driver;
    #url;

    /** @param {import('node:child_process').ChildProcess} driver @param {string} url of the session */
    constructor(driver, url) {
        this.#driver = driver;
        this.#url = url;
    }

    /** @param {{ width?: number, height?: number }} [size] @returns {Promise<WebKit>} */
    static async start({ width = 1280, height = 900 } = {}) {
        const port = await freePort();
        // A group of its own: the display, the driver and the browser end together.
        const driver = spawn('xvfb-run', ['-a', '-s', `-screen 0 ${width + 40}x${height + 200}x24`, 'WebKitWebDriver', `--port=${port}`], { stdio: 'ignore', detached: true, env: { ...process.env, WEBKIT_DISABLE_COMPOSITING_MODE: '1', JSC_useSharedArrayBuffer: '1' } });
        const base = `http://127.0.0.1:${port}`;
        try {
            for (let tries = 0; ; tries++) {
                const ready = await fetch(`${base}/status`).then((r) => r.json(), () => null);
                if (ready?.value?.ready) break;
                if (tries > PATIENCE / 100) throw new Error('WebKitWebDriver did not start');
                await new Promise((done) => setTimeout(done, 100));
            }
            const { sessionId } = await call(`${base}/session`, { capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': { binary: WEBKIT, args: ['--automation'] } } } });
            const session = new WebKit(driver, `${base}/session/${sessionId}`);
            await session.post('timeouts', { script: PATIENCE, pageLoad: PATIENCE });
            await session.post('window/rect', { width, height }).catch(() => {});
            return session;
        } catch (error) {
            end(driver);
            throw error;
        }
    }

    /** @param {string} path @param {object} [body] */
    post(path, body = {}) { return call(`${this.#url}/${path}`, body); }

    /** @param {string} url */
    goto(url) { return this.post('url', { url }); }

    /**
     * Runs a function in the page; it may return a promise.
     * @template T @param {(...args: any[]) => T | Promise<T>} job @param {...unknown} args @returns {Promise<T>}
     */
    async evaluate(job, ...args) {
        const { value, error } = await this.post('execute/async', {
            script: `const done = arguments[arguments.length - 1]; Promise.resolve().then(() => (${job})(...Array.from(arguments).slice(0, -1))).then((value) => done({ value }), (error) => done({ error: String(error?.stack ?? error) }));`,
            args,
        });
        if (error !== undefined) throw new Error(error);
        return value;
    }

    /** Waits until a condition in the page holds. @param {(...args: any[]) => unknown} condition @param {...unknown} args */
    async waitFor(condition, ...args) {
        for (const end = Date.now() + PATIENCE; ; ) {
            if (await this.evaluate(condition, ...args)) return;
            if (Date.now() > end) throw new Error(`waited in vain for ${condition}`);
            await new Promise((done) => setTimeout(done, 100));
        }
    }

    /** @param {string} selector @returns {Promise<string>} a reference */
    async #find(selector) { return (await this.post('element', { using: 'css selector', value: selector }))[ELEMENT]; }
    /** @param {string} selector */
    async click(selector) { await this.post(`element/${await this.#find(selector)}/click`); }
    /** Replaces what stands there. @param {string} selector @param {string} text */
    async fill(selector, text) {
        const element = await this.#find(selector);
        await this.post(`element/${element}/clear`);
        await this.post(`element/${element}/value`, { text });
    }
    /** @returns {Promise<Buffer>} PNG */
    async screenshot() {
        const { value } = await fetch(`${this.#url}/screenshot`).then((r) => r.json());
        return Buffer.from(value, 'base64');
    }

    async close() {
        await fetch(this.#url, { method: 'DELETE' }).catch(() => {});
        end(this.#driver);
    }
}

/** @param {import('node:child_process').ChildProcess} driver */
function end(driver) {
    try {
        process.kill(-(/** @type {number} */ (driver.pid)));
    } catch {
        // it has ended
    }
}

/** @param {string} url @param {object} body */
async function call(url, body) {
    const response = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }), { value } = await response.json();
    if (!response.ok) throw new Error(`${value.error}: ${value.message}`);
    return value;
}
