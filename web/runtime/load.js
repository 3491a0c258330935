// Which build of the module to use, and getting it compiled.
//
// Four builds of one source: {simd, relaxed} x {one thread, shared memory}; and two small ones: "tokens", which has nothing but
// tokenizers (web/tokens.js asks for it), and "core", which runs models besides (web/core.js). What the platform can do is found by validating tiny
// modules that hold the exact instructions our kernels use; relaxed SIMD must also compute the right numbers, since an engine
// may accept an instruction and get it wrong (Node 20 and 21 do with their experimental flag: never used there).
import { Heap, MicrotomeError, inNode, makeMemory, nodeModule, throwIfAborted } from './heap.js';
import { filePath } from './source.js';

/** @typedef {'simd' | 'relaxed' | 'simd-threads' | 'relaxed-threads' | 'tokens' | 'core'} Variant */
/**
 * Where the module comes from, when it is not beside this file.
 * @typedef {object} RuntimeOptions
 * @property {string | URL | Partial<Record<Variant, string | URL>>} [wasmUrl] a module's URL, a folder's (it ends in "/"), or one URL for each variant
 * @property {ArrayBuffer | ArrayBufferView} [wasmBinary] a module's bytes
 * @property {WebAssembly.Module} [wasmModule] a compiled module
 * @property {Variant} [variant] which build wasmUrl (one file), wasmBinary or wasmModule is; else "simd". Without them: use this build
 */
export const RUNTIME_OPTIONS = ['wasmUrl', 'wasmBinary', 'wasmModule', 'variant'];

/** Literal URLs, so that bundlers find and copy the files. @type {Record<Variant, () => URL>} */
const FILES = {
  simd: () => new URL('../wasm/simd.wasm', import.meta.url),
  relaxed: () => new URL('../wasm/relaxed.wasm', import.meta.url),
  'simd-threads': () => new URL('../wasm/simd-threads.wasm', import.meta.url),
  'relaxed-threads': () => new URL('../wasm/relaxed-threads.wasm', import.meta.url),
  tokens: () => new URL('../wasm/tokens.wasm', import.meta.url),
  core: () => new URL('../wasm/core.wasm', import.meta.url),
};
const VARIANTS = /** @type {Variant[]} */ (Object.keys(FILES));

// tests/unit/api.test.mjs assembles the same modules from their text form.
// SIMD: i8x16.splat, i16x8.extmul_low_i8x16_s, i32x4.dot_i16x8_s.
export const SIMD_PROBE = 'AGFzbQEAAAABBQFgAAF/AwIBAAcFAQFmAAAKGQEXAEEC/Q9BA/0P/ZwBQQH9EP26Af0bAAs=';
// Relaxed: i32x4.relaxed_dot_i8x16_i7x16_add_s, i16x8.relaxed_dot_i8x16_i7x16_s, f32x4.relaxed_madd, f32x4.relaxed_nmadd.
export const RELAXED_PROBE = 'AGFzbQEAAAABCQJgAAF/YAABfQMFBAAAAQEHGwQDZG90AAAEZG90MgABA2ZtYQACBG5mbWEAAwqbAQQwAP0MgH+A/wAAAAAAAAAAAAAAAP0Mf39/fwAAAAAAAAAAAAAAAEEF/RH9kwL9GwALLAD9DIABAAAAAAAAAAAAAAAAAAD9DH9/AAAAAAAAAAAAAAAAAAD9kgL9GAALHQBDAABAQP0TQwAAoED9E0MAAOBA/RP9hQL9HwALHQBDAABAQP0TQwAAoED9E0MAAOBA/RP9hgL9HwAL';
const bytesOf = (/** @type {string} */ base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** @typedef {{simd: boolean, relaxed: boolean, threads: boolean}} Features */
/** @type {Features | undefined} */
let features;

/** What this platform can do. threads: shared memory is allowed (on a page: it is cross-origin isolated). @returns {Features} */
export function detectFeatures() {
  if (features) return features;
  const simd = typeof WebAssembly === 'object' && WebAssembly.validate(bytesOf(SIMD_PROBE));
  let relaxed = simd && !(inNode() && Number(process.versions.node.split('.')[0]) < 22) && WebAssembly.validate(bytesOf(RELAXED_PROBE));
  if (relaxed) {
    try {
      const f = /** @type {any} */ (new WebAssembly.Instance(new WebAssembly.Module(bytesOf(RELAXED_PROBE))).exports);
      relaxed = f.dot() === -128 * 127 + 127 * 127 - 128 * 127 - 127 + 5 && f.dot2() === -128 * 127 + 127 && f.fma() === 22 && f.nfma() === -8;
    } catch {
      relaxed = false;
    }
  }
  let threads = simd && typeof SharedArrayBuffer === 'function' && (inNode() || globalThis.crossOriginIsolated === true);
  if (threads) {
    try {
      new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    } catch {
      threads = false;
    }
  }
  return (features = { simd, relaxed, threads });
}

/**
 * The module's compiled code. @param {{threads?: boolean, signal?: AbortSignal} & RuntimeOptions} [options] threads: a build on shared memory, if possible
 * @returns {Promise<{module: WebAssembly.Module, variant: Variant, shared: boolean}>}
 */
export async function loadModule({ threads = false, signal, wasmUrl, wasmBinary, wasmModule, variant } = {}) {
  if (variant !== undefined && !VARIANTS.includes(variant)) throw new MicrotomeError(`unknown variant ${JSON.stringify(variant)}: known are ${VARIANTS.join(', ')}`, { code: 'EUNKNOWN' });
  if (typeof WebAssembly !== 'object') throw new MicrotomeError('this platform has no WebAssembly', { code: 'EUNSUPPORTED' });
  const can = detectFeatures();
  if (!can.simd) throw new MicrotomeError('this platform has no WebAssembly SIMD, which is needed (Chrome 91, Firefox 89, Safari 16.4, Node 16.4 or newer)', { code: 'EUNSUPPORTED' });
  throwIfAborted(signal);
  const best = /** @type {Variant} */ (`${can.relaxed ? 'relaxed' : 'simd'}${threads && can.threads ? '-threads' : ''}`);
  const single = wasmBinary || wasmModule || typeof wasmUrl === 'string' || wasmUrl instanceof URL;
  const folder = single && wasmUrl && String(wasmUrl).endsWith('/');
  const chosen = variant ?? (single && !folder ? 'simd' : best);
  const shared = chosen.endsWith('-threads');
  if (shared && !can.threads) throw new MicrotomeError(`the build ${chosen} needs shared memory, which this page may not use (it is not cross-origin isolated)`, { code: 'EUNSUPPORTED' });
  let module;
  if (wasmModule) module = wasmModule;
  else if (wasmBinary) module = await compile(ArrayBuffer.isView(wasmBinary) ? new Uint8Array(wasmBinary.buffer, wasmBinary.byteOffset, wasmBinary.byteLength) : new Uint8Array(wasmBinary), 'wasmBinary');
  else {
    let url = FILES[chosen]();
    if (folder) url = new URL(`${chosen}.wasm`, absolute(/** @type {string | URL} */ (wasmUrl)));
    else if (single) url = absolute(/** @type {string | URL} */ (wasmUrl));
    else if (wasmUrl) {
      const given = /** @type {Partial<Record<Variant, string | URL>>} */ (wasmUrl)[chosen];
      if (given) url = absolute(given);
    }
    module = await compileUrl(url, signal);
  }
  return { module, variant: chosen, shared };
}

/** @param {string | URL} url */
function absolute(url) {
  if (url instanceof URL) return url;
  if (inNode() && !/^[a-z][a-z0-9+.-]+:/i.test(url)) return new URL(encodeURI(url).replace(/[?#]/g, encodeURIComponent), `file://${encodeURI(process.cwd())}/`);
  return new URL(url, typeof document === 'object' ? document.baseURI : globalThis.location?.href);
}

/** Compiled modules by URL: one compilation serves all. @type {Map<string, Promise<WebAssembly.Module>>} */
const compiled = new Map();

/** @param {URL} url @param {AbortSignal} [signal] @returns {Promise<WebAssembly.Module>} */
async function compileUrl(url, signal) {
  let promise = compiled.get(url.href);
  if (!promise) {
    promise = fetchModule(url);
    compiled.set(url.href, promise);
    promise.catch(() => compiled.delete(url.href));
  }
  if (!signal) return promise;
  // The download goes on for others who may want it; this caller stops waiting.
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** @param {URL} url */
async function fetchModule(url) {
  if (inNode() && url.protocol === 'file:') {
    const fs = await nodeModule('node:fs/promises');
    const bytes = await fs.readFile(filePath(url)).catch((/** @type {Error} */ error) => {
      throw new MicrotomeError(`the module ${filePath(url)} could not be read: ${error.message}`, { code: 'EIO', details: { file: filePath(url) }, cause: error });
    });
    return compile(bytes, url.href);
  }
  const get = async () => {
    const response = await fetch(url, { credentials: 'same-origin' }).catch((error) => {
      throw new MicrotomeError(`the module ${url.href} could not be fetched: ${error.message} (see the options wasmUrl, wasmBinary)`, { code: 'EHTTP', details: { url: url.href }, cause: error });
    });
    if (!response.ok) throw new MicrotomeError(`the module ${url.href}: the server answered ${response.status} (see the options wasmUrl, wasmBinary)`, { code: 'EHTTP', details: { url: url.href, status: response.status } });
    return response;
  };
  const response = await get();
  if (typeof WebAssembly.compileStreaming === 'function' && response.headers.get('content-type')?.startsWith('application/wasm')) return compile(response, url.href);
  return compile(new Uint8Array(await response.arrayBuffer()), url.href); // a server with another MIME type
}

/** @param {Uint8Array | Response} from @param {string} what */
async function compile(from, what) {
  try {
    return await (from instanceof Uint8Array ? WebAssembly.compile(/** @type {Uint8Array<ArrayBuffer>} */ (from)) : WebAssembly.compileStreaming(from));
  } catch (error) {
    const { message, name } = /** @type {Error} */ (error);
    if (name !== 'CompileError') throw new MicrotomeError(`the module ${what} could not be fetched: ${message}`, { code: 'EHTTP', details: { url: what }, cause: error });
    if (/policy|CSP/i.test(message)) throw new MicrotomeError(`the page's Content-Security-Policy forbids WebAssembly; it needs script-src 'wasm-unsafe-eval' (${message})`, { code: 'EUNSUPPORTED', cause: error });
    throw new MicrotomeError(`${what} is not a WebAssembly module that this platform can run: ${message}`, { code: 'EUNSUPPORTED', cause: error });
  }
}

/** Instances for use in the caller's thread, one for each module. @type {WeakMap<WebAssembly.Module, Promise<Heap>>} */
const heaps = new WeakMap();

/** A single-threaded instance in the caller's thread, made once. @param {RuntimeOptions & {signal?: AbortSignal}} [options] @returns {Promise<Heap>} */
export async function loadHeap(options = {}) {
  // A build on shared memory is for workers; tokenizers take its single-thread twin unless a module was given.
  const { module, shared } = await loadModule({ ...options, threads: false });
  let heap = heaps.get(module);
  if (!heap) {
    heap = Heap.create(module, makeMemory(shared));
    heaps.set(module, heap);
    heap.catch(() => heaps.delete(module));
  }
  return heap;
}
