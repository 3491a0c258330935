// Model files kept on the user's machine, in the origin-private file system: a page that was opened once works without a network.
//
// A file is kept as parts of 16 MiB under the SHA-256 of its URL, beside meta.json. A part is written once and never copied, so a download that was cut
// (aborted, the network gone, the tab closed) goes on after the last finished part with a Range request, if the server still has the same file (If-Range).
import { MicrotomeError, checkOptions, throwIfAborted } from './runtime/errors.js';

const PART = 1 << 24, ROOT = 'microtome-models', TRIES = 4;
/**
 * @typedef {{url: string, size: number | null, etag: string | null, modified: string | null, complete: boolean, sha256?: string}} Meta size: bytes, null: the server did not say; sha256: what was found, once it was asked for
 * @typedef {{url: string, bytes: number, size: number | null, complete: boolean}} StoredFile bytes: how many are here
 * @typedef {{onProgress?: (p: {loaded: number, total: number | null}) => void, signal?: AbortSignal, revalidate?: boolean, sha256?: string}} StoreOptions
 *   revalidate: ask the server first whether the kept file is still its own (no network: the kept one is given)
 *   sha256: the hash that the file must have, as 64 hexadecimal digits; a kept file that has another one is downloaded again. It is computed once, from the whole file in memory
 */

/**
 * Files of models by their URLs.
 *
 *   const file = await ModelStore.fetch('models/microtome-tiny.gguf', { onProgress });
 *   const model = await Model.load(file);
 *
 * Model.load(url, { cache: true }) does the same.
 */
export const ModelStore = {
  /** Whether this platform has an origin-private file system (a secure page in a current browser; Node has none). */
  get available() { return typeof globalThis.navigator?.storage?.getDirectory === 'function' && typeof globalThis.crypto?.subtle === 'object'; },

  /**
   * The file at a URL, from the store or downloaded into it. Two tabs that ask at once download once.
   * @param {string | URL} url @param {StoreOptions} [options] @returns {Promise<Blob>} it reads from the disk what is asked of it
   * @throws {MicrotomeError} EUNSUPPORTED; EHTTP: no answer, or one that says no (details.status); ENOSPC: more than the page may keep; EFORMAT: the file has another hash, and is
   *   not kept (details: expected, found); ERANGE: sha256 is no hash. AbortError when aborted. What was downloaded stays
   */
  async fetch(url, options = {}) {
    checkOptions('ModelStore.fetch', options, ['onProgress', 'signal', 'revalidate', 'sha256']);
    const { signal, sha256 } = options, href = absolute(url);
    if (sha256 !== undefined && !/^[\da-f]{64}$/i.test(sha256)) throw new MicrotomeError(`ModelStore.fetch: sha256: ${JSON.stringify(sha256)} is not 64 hexadecimal digits`, { code: 'ERANGE', details: { option: 'sha256' } });
    const folder = await folderOf(href, true);
    throwIfAborted(signal ?? null);
    return exclusively(href, signal, async () => {
      try {
        return await keep(/** @type {FileSystemDirectoryHandle} */ (folder), href, options);
      } catch (error) {
        if (/** @type {Error} */ (error).name !== 'QuotaExceededError') throw error;
        const { quota, usage } = await navigator.storage.estimate();
        throw new MicrotomeError(`${href}: the page may keep ${quota} bytes and keeps ${usage} already`, { code: 'ENOSPC', details: { url: href, quota, usage }, cause: error });
      }
    });
  },

  /** What is kept. @returns {Promise<StoredFile[]>} */
  async list() {
    if (!ModelStore.available) return [];
    const out = [];
    for await (const [, folder] of await rootFolder()) {
      if (folder.kind !== 'directory') continue;
      const meta = await readMeta(folder);
      if (meta) out.push({ url: meta.url, size: meta.size, complete: meta.complete, bytes: (await partsOf(folder)).reduce((sum, f) => sum + f.size, 0) });
    }
    return out;
  },

  /** Forgets a file, or all. @param {string | URL} [url] @returns {Promise<void>} */
  async delete(url) {
    if (!ModelStore.available) return;
    if (url === undefined) return (await navigator.storage.getDirectory()).removeEntry(ROOT, { recursive: true }).catch(ifAbsent);
    const href = absolute(url);
    await exclusively(href, undefined, async () => (await rootFolder()).removeEntry(await nameOf(href), { recursive: true }).catch(ifAbsent));
  },

  /** Bytes that this page may keep and keeps; persist asks the browser not to clear them. @param {{persist?: boolean}} [options] @returns {Promise<{quota: number, usage: number, persisted: boolean}>} */
  async space(options = {}) {
    checkOptions('ModelStore.space', options, ['persist']);
    if (!ModelStore.available) return { quota: 0, usage: 0, persisted: false };
    const persisted = options.persist ? await navigator.storage.persist() : await navigator.storage.persisted();
    const { quota = 0, usage = 0 } = await navigator.storage.estimate();
    return { quota, usage, persisted };
  },
};

/** @param {any} error */
function ifAbsent(error) {
  if (error.name !== 'NotFoundError') throw error;
}

/** @param {string | URL} url */
const absolute = (url) => new URL(String(url), typeof document === 'object' ? document.baseURI : globalThis.location?.href).href;

/** @returns {Promise<FileSystemDirectoryHandle & AsyncIterable<[string, FileSystemDirectoryHandle]>>} */
async function rootFolder() {
  if (!ModelStore.available) throw new MicrotomeError('this platform keeps no files (the origin-private file system needs a secure page in a current browser)', { code: 'EUNSUPPORTED' });
  return /** @type {any} */ ((await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, { create: true }));
}

/** @param {BufferSource} data @returns {Promise<string>} SHA-256, hexadecimal */
const hashOf = async (data) => Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', data)), (b) => b.toString(16).padStart(2, '0')).join('');
/** @param {string} href */
const nameOf = async (href) => (await hashOf(new TextEncoder().encode(href))).slice(0, 32);
/** @param {string} href @param {boolean} create */
const folderOf = async (href, create) => (await rootFolder()).getDirectoryHandle(await nameOf(href), { create });

/** @template T @param {string} href @param {AbortSignal | undefined} signal @param {() => Promise<T>} work @returns {Promise<T>} */
async function exclusively(href, signal, work) {
  return navigator.locks ? /** @type {T} */ (await navigator.locks.request(`${ROOT}: ${href}`, signal ? { signal } : {}, work)) : work();
}

/** @param {FileSystemDirectoryHandle} folder @returns {Promise<Meta | null>} null: none, or none that can be read */
async function readMeta(folder) {
  try {
    return JSON.parse(await (await (await folder.getFileHandle('meta.json')).getFile()).text());
  } catch {
    return null;
  }
}

/** @param {FileSystemDirectoryHandle} folder @param {string} name @param {Blob | string} content */
async function write(folder, name, content) {
  const out = await (await folder.getFileHandle(name, { create: true })).createWritable();
  try {
    await out.write(content);
    await out.close(); // only now it is there, whole
  } catch (error) {
    await out.abort().catch(() => {});
    throw error;
  }
}

/** The parts from the beginning on, up to the first that is missing or not full (which is included). @param {FileSystemDirectoryHandle} folder */
async function partsOf(folder) {
  const parts = [];
  for (;;) {
    try {
      parts.push(await (await folder.getFileHandle(`part-${parts.length}`)).getFile());
    } catch {
      return parts;
    }
    if (parts[parts.length - 1].size !== PART) return parts;
  }
}

/** @param {FileSystemDirectoryHandle} folder */
async function empty(folder) {
  const names = [];
  for await (const name of /** @type {any} */ (folder).keys()) names.push(name);
  for (const name of names) await folder.removeEntry(name).catch(ifAbsent);
}

/** @param {FileSystemDirectoryHandle} folder @param {string} href @param {StoreOptions} options @returns {Promise<Blob>} */
async function keep(folder, href, { onProgress, signal, revalidate = false, sha256 }) {
  const expected = sha256?.toLowerCase();
  let meta = await readMeta(folder), parts = await partsOf(folder);
  const here = () => parts.reduce((sum, f) => sum + f.size, 0);
  if (meta?.complete && (meta.size === null || meta.size === here()) && !(revalidate && (await changed(href, meta, signal)))) {
    const file = new Blob(parts);
    if (!expected || (await found(folder, meta, file)) === expected) {
      onProgress?.({ loaded: here(), total: here() });
      return file;
    }
  }
  if (meta?.complete) meta = null; // another file, or parts were lost
  for (let left = TRIES; ; ) {
    const before = meta ? here() : 0, validator = strong(meta?.etag) ?? meta?.modified ?? null;
    /** @type {Record<string, string>} */
    const headers = before && validator ? { Range: `bytes=${before}-`, 'If-Range': validator } : {};
    let response;
    try {
      response = await fetch(href, { headers, signal, cache: 'no-store' });
    } catch (error) {
      throwIfAborted(signal ?? null);
      if (--left > 0 && before) { await pause(TRIES - left, signal); continue; } // it was there a moment ago
      throw new MicrotomeError(`${href}: the download failed: ${/** @type {Error} */ (error).message}`, { code: 'EHTTP', details: { url: href, loaded: before }, cause: error });
    }
    const range = /^bytes (\d+)-\d*\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
    // A server that does not know If-Range may send the end of another file: its validator and its size tell.
    const same = (/** @type {string} */ name, /** @type {string | null | undefined} */ known) => !known || !response.headers.get(name) || response.headers.get(name) === known;
    const goesOn = response.status === 206 && !!range && Number(range[1]) === before && same('etag', meta?.etag) && same('last-modified', meta?.etag ? null : meta?.modified)
      && (range[2] === '*' || meta?.size == null || Number(range[2]) === meta.size);
    if (response.status >= 500 && before && --left > 0) { // it had the file a moment ago
      await response.body?.cancel();
      await pause(TRIES - left, signal);
      continue;
    }
    if (response.status === 416 || (response.status === 206 && !goesOn)) { // not what was asked for: from the beginning
      await response.body?.cancel();
      if (--left <= 0) throw new MicrotomeError(`${href}: the server answered ${response.status} without a range that fits`, { code: 'EHTTP', details: { url: href, status: response.status } });
      meta = null;
      parts = [];
      continue;
    }
    if (!response.ok || !response.body) throw new MicrotomeError(`${href}: the server answered ${response.status} ${response.statusText}`, { code: 'EHTTP', details: { url: href, status: response.status } });
    if (!goesOn) {
      await empty(folder);
      parts = [];
      const length = response.headers.get('content-encoding') ? null : response.headers.get('content-length');
      meta = { url: href, size: length === null ? null : Number(length), etag: response.headers.get('etag'), modified: response.headers.get('last-modified'), complete: false };
      await write(folder, 'meta.json', JSON.stringify(meta));
    }
    const failure = await receive(response.body, folder, parts.at(-1) && parts[parts.length - 1].size < PART ? parts.length - 1 : parts.length, parts, /** @type {Meta} */ (meta), onProgress);
    parts = await partsOf(folder);
    throwIfAborted(signal ?? null);
    if (failure && failure.name === 'QuotaExceededError') throw failure;
    const { size } = /** @type {Meta} */ (meta);
    if (!failure && (size === null || here() === size)) {
      meta = { .../** @type {Meta} */ (meta), complete: true };
      await write(folder, 'meta.json', JSON.stringify(meta));
      const file = new Blob(parts), sum = expected && (await found(folder, meta, file));
      if (sum !== expected) {
        await empty(folder);
        throw new MicrotomeError(`${href}: the file has the SHA-256 ${sum}, expected ${expected}`, { code: 'EFORMAT', details: { url: href, expected, found: sum } });
      }
      return file;
    }
    if (size !== null && here() > size) { meta = null; parts = []; } // longer than it said: nothing to trust
    if (here() > before) left = TRIES; // it gets on
    if (--left <= 0)
      throw new MicrotomeError(`${href}: the download ended after ${here()} of ${size ?? 'unknown'} bytes${failure ? `: ${failure.message}` : ''}`, { code: 'EHTTP', details: { url: href, loaded: here(), size }, cause: failure ?? undefined });
    await pause(TRIES - left, signal);
  }
}

/** The hash of a whole file, computed once. @param {FileSystemDirectoryHandle} folder @param {Meta} meta @param {Blob} file @returns {Promise<string>} */
async function found(folder, meta, file) {
  if (meta.sha256) return meta.sha256;
  let bytes;
  try {
    bytes = await file.arrayBuffer();
  } catch (error) {
    throw new MicrotomeError(`${meta.url}: ${file.size} bytes cannot be held in memory at once, which its hash needs`, { code: 'ENOMEM', details: { url: meta.url }, cause: error });
  }
  meta.sha256 = await hashOf(bytes);
  await write(folder, 'meta.json', JSON.stringify(meta));
  return meta.sha256;
}

/**
 * Writes what arrives into parts from number `at` on. What arrived before a failure is kept. @param {ReadableStream<Uint8Array>} body @param {FileSystemDirectoryHandle} folder @param {number} at
 * @param {File[]} parts @param {Meta} meta @param {StoreOptions['onProgress']} onProgress @returns {Promise<Error | null>}
 */
async function receive(body, folder, at, parts, meta, onProgress) {
  let loaded = parts.reduce((sum, f) => sum + f.size, 0), held = at < parts.length ? parts[at].size : 0;
  /** @type {Blob[]} */ let begun = at < parts.length ? [new Blob([await parts[at].arrayBuffer()])] : [];
  /** @type {Uint8Array<ArrayBuffer>[]} */ let fresh = [];
  const flush = async () => {
    if (!held) return;
    await write(folder, `part-${at}`, new Blob([...begun, ...fresh]));
    begun = [];
    fresh = [];
    held = 0;
  };
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (let from = 0; from < value.length; ) {
        const n = Math.min(PART - held, value.length - from);
        fresh.push(/** @type {Uint8Array<ArrayBuffer>} */ (value.subarray(from, from + n)));
        held += n;
        from += n;
        if (held === PART) {
          await flush();
          at++;
        }
      }
      loaded += value.length;
      onProgress?.({ loaded, total: meta.size });
    }
    await flush();
    return null;
  } catch (error) {
    await reader.cancel().catch(() => {});
    if (/** @type {Error} */ (error).name !== 'QuotaExceededError') await flush().catch(() => {});
    return /** @type {Error} */ (error);
  }
}

/** Weak validators do not say that bytes are the same. @param {string | null | undefined} etag */
const strong = (etag) => (etag && !etag.startsWith('W/') ? etag : null);

/** Whether the server has another file by now; without an answer: no. @param {string} href @param {Meta} meta @param {AbortSignal} [signal] */
async function changed(href, meta, signal) {
  try {
    const response = await fetch(href, { method: 'HEAD', signal, cache: 'no-store' });
    if (!response.ok) return false;
    const etag = response.headers.get('etag'), modified = response.headers.get('last-modified'), length = response.headers.get('content-length');
    return etag !== meta.etag || modified !== meta.modified || (length !== null && meta.size !== null && !response.headers.get('content-encoding') && Number(length) !== meta.size);
  } catch {
    throwIfAborted(signal ?? null);
    return false;
  }
}

/** Waits 0.3 s, 0.6 s, 1.2 s. @param {number} n @param {AbortSignal} [signal] @returns {Promise<void>} */
function pause(n, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, 150 * 2 ** n);
    function done() { signal?.removeEventListener('abort', stop); resolve(); }
    function stop() { clearTimeout(timer); reject(signal?.reason); }
    signal?.addEventListener('abort', stop, { once: true });
  });
}
