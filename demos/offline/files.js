/**
 * In the offline edition there is no server: the files of the site are blobs, by their paths. Whoever asks for one by its
 * place in the site gets it. This stands first in the page, whose boot.js fills `MICROTOME_FILES`, and in every worker,
 * which is sent the same blobs before anything else: from a disk, a worker cannot read URLs that the page has made of them.
 */
import { SITE } from './site.js';

const scope = /** @type {any} */ (globalThis);
scope.MICROTOME_FILES = {};

/** @param {unknown} what a URL, or a request for one @returns {Blob | null | undefined} null: not of the site; undefined: of the site, but not here */
export function fileAt(what) {
    const url = String(what instanceof Request ? what.url : what);
    return url.startsWith(SITE) ? scope.MICROTOME_FILES[new URL(url).pathname.slice(1)] : null;
}

const fetchFromNetwork = scope.fetch.bind(scope);
/** @param {RequestInfo | URL} what @param {RequestInit} [init] */
scope.fetch = async (what, init) => {
    const file = fileAt(what);
    if (file === null) return fetchFromNetwork(what, init);
    return file ? new Response(file, { headers: { 'content-type': file.type, 'content-length': String(file.size) } }) : new Response(null, { status: 404, statusText: 'not in the offline edition' });
};

if (scope.Worker)
    scope.Worker = class extends Worker {
        /** @param {string | URL} url @param {WorkerOptions} [options] */
        constructor(url, options) {
            const file = fileAt(url);
            if (!file) {
                super(url, options);
                return;
            }
            super(URL.createObjectURL(file), { ...options, type: 'classic' }); // from a disk, workers made of modules do not start
            this.postMessage({ microtomeFiles: scope.MICROTOME_FILES });
        }
    };

if (!scope.document)
    scope.addEventListener('message', (/** @type {MessageEvent} */ event) => {
        if (!event.data?.microtomeFiles) return;
        event.stopImmediatePropagation();
        scope.MICROTOME_FILES = event.data.microtomeFiles;
    });
