// What users may give as a file, turned into a Source that a worker can open.
import { MicrotomeError, inNode } from './heap.js';

/** @typedef {import('./open.js').Source} Source */
/**
 * A URL (also relative to the page), a File or Blob, bytes, a stream of bytes; in Node also a path.
 * @typedef {string | URL | Blob | ArrayBuffer | ArrayBufferView | ReadableStream<Uint8Array>} AnySource
 */

/** @param {AnySource} source @returns {Source} */
export function toSource(source) {
  if (typeof source === 'string' || source instanceof URL) return locate(source);
  if (typeof Blob === 'function' && source instanceof Blob) return { kind: 'blob', blob: source, name: /** @type {File} */ (source).name || 'blob' };
  if (source instanceof ArrayBuffer || (typeof SharedArrayBuffer === 'function' && source instanceof SharedArrayBuffer)) return { kind: 'bytes', bytes: new Uint8Array(source), name: 'bytes' };
  if (ArrayBuffer.isView(source)) return { kind: 'bytes', bytes: new Uint8Array(source.buffer, source.byteOffset, source.byteLength), name: 'bytes' };
  if (typeof ReadableStream === 'function' && source instanceof ReadableStream) return { kind: 'stream', stream: source, name: 'stream' };
  throw new MicrotomeError(`a source must be a URL, File, Blob, ArrayBuffer, typed array, ReadableStream${inNode() ? ' or path' : ''}; got ${source === null ? 'null' : typeof source}`, { code: 'ERANGE' });
}

/** @param {string | URL} where @returns {Source} */
function locate(where) {
  const text = String(where);
  const isUrl = where instanceof URL || /^[a-z][a-z0-9+.-]+:/i.test(text); // two letters at least: "C:\" is a path
  if (inNode()) {
    if (!isUrl) return { kind: 'path', path: text, name: baseName(text) };
    const url = new URL(text);
    if (url.protocol === 'file:') return { kind: 'path', path: filePath(url), name: baseName(url.pathname) };
    return { kind: 'url', url: url.href, name: baseName(url.pathname) };
  }
  let url;
  try {
    url = new URL(text, typeof document === 'object' ? document.baseURI : globalThis.location?.href);
  } catch (error) {
    throw new MicrotomeError(`not a URL: ${JSON.stringify(text)}`, { code: 'ERANGE', cause: error });
  }
  return { kind: 'url', url: url.href, name: url.protocol === 'data:' ? 'data' : baseName(url.pathname) };
}

/** Path of a file: URL, on POSIX and Windows. @param {URL} url */
export function filePath(url) {
  const path = decodeURIComponent(url.pathname);
  if (/^\/[a-z]:\//i.test(path)) return path.slice(1);
  return url.host ? `\\\\${url.host}${path}` : path;
}

/** @param {string} path */
function baseName(path) {
  const name = path.replace(/[\\/]+$/, '').split(/[\\/]/).pop() || path;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
