/**
 * The start of the offline edition, one HTML file that opens from a disk: unpacks what the file holds, shows the page that
 * ?page= names, and sends its links to the same file. pack.js puts all of it together.
 */
import { fileAt } from './files.js';
import { SITE } from './site.js';

/**
 * @typedef {{ title: string, styles: string[], body: string }} Page styles: paths
 * @typedef {Record<string, () => Promise<unknown>>} Scripts by page
 */

const scope = /** @type {any} */ (globalThis);

/** What a block of the file holds. @param {HTMLScriptElement} block @returns {Promise<Blob>} */
async function unpack(block) {
    const packed = (await fetch(`data:application/octet-stream;base64,${block.text.trim()}`)).body; // decoded off this thread
    if (!packed) throw new Error(`the file is damaged: ${block.dataset.path} is empty`);
    const plain = await new Response(packed.pipeThrough(new DecompressionStream('gzip'))).blob();
    return new Blob([plain], { type: block.dataset.type });
}

/** @returns {Promise<Record<string, Blob>>} by paths */
async function unpackAll() {
    const blocks = [...document.querySelectorAll('script[data-path]')].map((block) => /** @type {HTMLScriptElement} */ (block));
    return Object.fromEntries(await Promise.all(blocks.map(async (block) => [block.dataset.path, await unpack(block)])));
}

/** For pictures. @param {string} url @returns {string} */
function pictureAt(url) {
    const file = fileAt(url);
    return file ? URL.createObjectURL(file) : url;
}

/** @param {Record<string, Page>} pages @param {Scripts} scripts */
export async function boot(pages, scripts) {
    const asked = new URLSearchParams(location.search).get('page') ?? '', name = Object.hasOwn(pages, asked) ? asked : '';
    const here = `${SITE}demos/${name}`, page = pages[name];
    /** Where a link goes in this file. @param {string} href @returns {string | null} null: it is not of the site */
    const inFile = (href) => {
        const url = new URL(href, here);
        if (!url.href.startsWith(`${SITE}demos/`)) return null;
        const path = url.pathname.slice('/demos/'.length).replace(/(^|\/)index\.html$/, '$1');
        return Object.hasOwn(pages, path) ? `${location.pathname}${path ? `?page=${encodeURIComponent(path)}` : ''}${url.hash}` : null;
    };
    scope.MICROTOME_FILES = await unpackAll();

    Object.defineProperty(document, 'baseURI', { get: () => here + location.hash }); // scripts name files from the page too
    const source = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, 'src');
    Object.defineProperty(HTMLImageElement.prototype, 'src', { ...source, set(/** @type {string} */ url) { source?.set?.call(this, pictureAt(url)); } });

    document.adoptedStyleSheets = await Promise.all(page.styles.map(async (path) => new CSSStyleSheet().replace(await (await fetch(SITE + path)).text())));
    const content = document.createElement('template');
    content.innerHTML = page.body; // of this project's own pages
    for (const element of content.content.querySelectorAll('[src]')) {
        const url = new URL(element.getAttribute('src') ?? '', here).href;
        element.setAttribute('src', element instanceof HTMLImageElement ? pictureAt(url) : url);
    }
    document.title = page.title;
    document.body.replaceChildren(content.content);
    document.addEventListener('click', (event) => { // also links that come later, and those in elements
        const link = /** @type {HTMLAnchorElement | undefined} */ (event.composedPath().find((one) => one instanceof HTMLAnchorElement)), href = link?.getAttribute('href');
        if (!link || !href || href.startsWith('#') || link.download) return;
        const to = inFile(href);
        if (to) link.href = to; // the browser does the rest, in this window or another
    }, { capture: true });
    await scripts[name]();
}
