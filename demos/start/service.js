/**
 * Keeps the site on the device: exactly the files that build.sh has listed, in one cache for each version, checked against
 * their hashes. A new version is fetched whole before it is used, and used when no page of the old one is open. Anything
 * else, models of the user's above all, goes to the network untouched and is never stored.
 *
 * A classic script: the service worker imports it. `self.MICROTOME_SITE` is { version, files: { path: SHA-256 } }.
 */
{
    const worker = /** @type {any} */ (self);
    /** @type {{ version: string, files: Record<string, string> }} */
    const { version, files } = worker.MICROTOME_SITE;
    const root = new URL('./', worker.location.href).href;
    const prefix = `microtome-site-${root}`; // several sites may share an origin
    const name = `${prefix}#${version}`;
    const AT_ONCE = 6;

    /** Where a file is kept: its content is part of the key, so that what has not changed is found in the cache before. @param {string} path */
    const keyOf = (path) => `${root}${path}?${files[path]}`;

    /** Where it is fetched: a folder's page by the folder, since servers may send index.html elsewhere. @param {string} path */
    const urlOf = (path) => `${root}${path.replace(/(^|\/)index\.html$/, '$1')}`;

    /** @param {string} path @param {Cache} cache @param {string[]} older names of caches */
    async function keep(path, cache, older) {
        const key = keyOf(path);
        if (await cache.match(key)) return;
        for (const from of older) {
            const kept = await (await caches.open(from)).match(key);
            if (kept) return cache.put(key, kept);
        }
        const response = await fetch(urlOf(path), { cache: 'no-cache' });
        if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
        const body = await response.arrayBuffer();
        const hash = Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', body)), (b) => b.toString(16).padStart(2, '0')).join('');
        if (hash !== files[path]) throw new Error(`${path} is of another version than the list of files`);
        const headers = new Headers(response.headers);
        headers.delete('content-encoding');
        headers.set('content-length', String(body.byteLength));
        await cache.put(key, new Response(body, { headers })); // made anew: pages may not be answered with what was redirected
    }

    async function install() {
        const older = (await caches.keys()).filter((one) => one.startsWith(`${prefix}#`) && one !== name), cache = await caches.open(name);
        const paths = Object.keys(files);
        try {
            await Promise.all(Array.from({ length: AT_ONCE }, async () => {
                for (let path = paths.pop(); path !== undefined; path = paths.pop()) await keep(path, cache, older);
            }));
        } catch (error) {
            await caches.delete(name);
            throw error;
        }
    }

    async function activate() {
        for (const one of await caches.keys()) if (one.startsWith(`${prefix}#`) && one !== name) await caches.delete(one);
    }

    /** @param {Request} request @returns {string | null} the file that it asks for */
    function fileOf({ url, method, headers }) {
        if (method !== 'GET' || headers.has('range') || !url.startsWith(root)) return null;
        const path = decodeURIComponent(new URL(url).pathname.slice(new URL(root).pathname.length));
        const file = path === '' || path.endsWith('/') ? `${path}index.html` : path;
        return Object.hasOwn(files, file) ? file : null;
    }

    worker.addEventListener('install', (/** @type {any} */ event) => event.waitUntil(install()));
    worker.addEventListener('activate', (/** @type {any} */ event) => event.waitUntil(activate()));
    worker.addEventListener('fetch', (/** @type {any} */ event) => {
        const file = fileOf(event.request);
        if (file === null) return;
        event.respondWith((async () => (await (await caches.open(name)).match(keyOf(file))) ?? fetch(event.request))());
    });
}
