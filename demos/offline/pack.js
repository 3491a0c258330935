/**
 * Makes the offline edition: one HTML file with every page of demos/, the engine, the bundled model and all workers inside.
 *
 *   node demos/offline/pack.js dist/microtome-offline.html
 *
 * Pages are found, not listed: each .html of demos/ with its styles and its module. What scripts name as
 * new URL('…', import.meta.url) goes in as a file; what they start as a worker is bundled into one classic script.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { SITE } from './site.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ALLOWED_FROM_USERS = 'https: http://localhost:* http://127.0.0.1:*'; // models by their URLs
/** @type {Record<string, string>} */
const TYPES = { '.wasm': 'application/wasm', '.json': 'application/json', '.svg': 'image/svg+xml', '.css': 'text/css', '.js': 'text/javascript' };

const read = (/** @type {string} */ path) => readFileSync(join(ROOT, path));
const isFile = (/** @type {string} */ path) => existsSync(join(ROOT, path)) && extname(path) !== '';

/** @typedef {import('./boot.js').Page & { script: string }} Found script: its module's path */

/** The pages and the files that they name. @param {Set<string>} files grows @returns {Record<string, Found>} by the place below demos/ */
function findPages(files) {
    /** @type {Record<string, Found>} */ const pages = {};
    for (const name of readdirSync(join(ROOT, 'demos'), { recursive: true }).map(String).map((one) => one.replaceAll('\\', '/')).filter((one) => one.endsWith('.html')).sort()) {
        const path = `demos/${name}`, html = String(read(path)), head = html.slice(0, html.indexOf('<body')), place = (/** @type {string} */ url) => posix.join(posix.dirname(path), url);
        const script = /<script type="module" src="([^"]+)"><\/script>/.exec(head)?.[1], body = /<body[^>]*>([^]*)<\/body>/.exec(html)?.[1];
        if (!script || body === undefined) throw new Error(`${path}: a page has one module in its head, and a body`);
        const styles = [...head.matchAll(/<link rel="stylesheet" href="([^"]+)">/g)].map(([, url]) => place(url));
        for (const [, url] of [...html.matchAll(/\ssrc="([^":?#]+)"/g)]) if (isFile(place(url)) && extname(url) !== '.js') files.add(place(url));
        styles.forEach((style) => files.add(style));
        pages[name.replace(/(^|\/)index\.html$/, '$1')] = { title: /<title>([^<]*)<\/title>/.exec(head)?.[1] ?? 'Microtome', styles, body: body.trim(), script: place(script) };
    }
    return pages;
}

/**
 * One script of many modules. Notes which files and workers they name.
 * @param {string} source what imports them @param {'esm' | 'iife'} format @param {Set<string>} files grows @param {Set<string>} workers grows
 */
async function bundle(source, format, files, workers) {
    const { outputFiles } = await build({
        stdin: { contents: source, resolveDir: ROOT, sourcefile: 'offline.js' },
        bundle: true, write: false, minify: true, format, target: 'es2022', charset: 'utf8', legalComments: 'none', logLevel: 'warning', ignoreAnnotations: true,
        external: ['node:*'],
        define: { 'globalThis.origin': '"null"' }, // as from a disk, also where a server sends the file: its workers are in it
        plugins: [{
            name: 'site',
            setup({ onLoad }) {
                onLoad({ filter: /\.js$/ }, ({ path }) => {
                    const here = relative(ROOT, path).replaceAll('\\', '/'), text = readFileSync(path, 'utf8');
                    for (const [, start, url] of text.matchAll(/(new Worker\(\s*)?new URL\('([^']+)', import\.meta\.url\)/g)) {
                        const named = posix.join(posix.dirname(here), url);
                        if (start) workers.add(named);
                        else if (isFile(named) && !/(-threads|\/tokens|\/core)\.wasm$|\/core_worker\.js$/.test(named)) files.add(named); // shared memory needs a server's headers; no page asks for the small modules
                    }
                    return { contents: text.replaceAll('import.meta.url', JSON.stringify(SITE + here)), loader: 'js' };
                });
            },
        }],
    });
    return outputFiles[0].text;
}

/** @param {string} path @param {Uint8Array} content */
const block = (path, content) => `<script type="application/octet-stream" data-path="${path}" data-type="${TYPES[extname(path)] ?? 'application/octet-stream'}">${gzipSync(content, { level: 9 }).toString('base64')}</script>`;

/** @param {string} out */
async function pack(out) {
    /** @type {Set<string>} */ const files = new Set(), workers = new Set();
    const pages = findPages(files);
    for (const path of String(read('demos/offline/models.txt')).trim().split('\n')) files.add(path);
    for (const name of readdirSync(join(ROOT, 'demos'), { recursive: true }).map(String)) // what pages read by names that they put together
        if (/\.(svg|json)$/.test(name)) files.add(`demos/${name.replaceAll('\\', '/')}`);
    const shown = Object.fromEntries(Object.entries(pages).map(([name, { title, styles, body }]) => [name, { title, styles, body }]));
    const script = await bundle(`import { boot } from './demos/offline/boot.js';
void boot(${JSON.stringify(shown)}, { ${Object.entries(pages).map(([name, page]) => `${JSON.stringify(name)}: () => import('./${page.script}')`).join(', ')} });`, 'esm', files, workers);
    /** @type {Map<string, string>} */ const bundled = new Map();
    for (const path of workers) bundled.set(path, await bundle(`import './demos/offline/files.js'; import './${path}';`, 'iife', files, workers)); // grows while a worker names another
    const hash = createHash('sha256').update(script).digest('base64');
    const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'sha256-${hash}' 'wasm-unsafe-eval' blob:; worker-src blob:; img-src blob: data:; connect-src blob: data: ${ALLOWED_FROM_USERS}; base-uri 'none'; form-action 'none'">
<title>Microtome</title>
<link rel="icon" href="data:image/svg+xml;base64,${read('demos/icon.svg').toString('base64')}">
</head>
<body>
<p>Opening …</p>
<noscript><p>These pages compute everything themselves and need JavaScript.</p></noscript>
${[...files].sort().map((path) => block(path, read(path))).join('\n')}
${[...bundled].map(([path, code]) => block(path, new TextEncoder().encode(code))).join('\n')}
<script type="module">${script}</script>
</body>
</html>
`;
    mkdirSync(dirname(out), { recursive: true });
    writeFileSync(out, html);
    console.log(`${out}: ${Object.keys(pages).length} pages, ${files.size} files, ${bundled.size} workers, ${Buffer.byteLength(html)} bytes`);
}

await pack(process.argv[2]);
