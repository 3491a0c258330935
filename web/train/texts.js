// Texts to learn from, one by one, out of strings, files, streams and lists of them.
import { chunksOf, openUnpacked } from '../runtime/gzip.js';
import { MicrotomeError, throwIfAborted } from '../runtime/heap.js';
import { toSource } from '../runtime/source.js';

/**
 * Lines of chunks of bytes, as bytes; a line's end is "\n". @param {AsyncIterable<string | Uint8Array>} chunks @param {boolean} keep with their ends; else without "\n" and "\r\n"
 * @returns {AsyncGenerator<Uint8Array>}
 */
export async function* linesOf(chunks, keep) {
  const encoder = new TextEncoder();
  /** @type {Uint8Array[]} */ let parts = [];
  const line = (/** @type {Uint8Array} */ last) => {
    let whole = last;
    if (parts.length) {
      parts.push(last);
      whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.length;
      }
      parts = [];
    }
    let end = whole.length;
    if (!keep && whole[end - 1] === 10) end -= whole[end - 2] === 13 ? 2 : 1;
    return whole.subarray(0, end);
  };
  let high = ''; // first half of a character at the end of a chunk
  for await (const given of chunks) {
    let chunk;
    if (typeof given === 'string') {
      let text = high + given;
      high = '';
      const last = text.charCodeAt(text.length - 1);
      if (last >= 0xd800 && last < 0xdc00) {
        high = text.slice(-1);
        text = text.slice(0, -1);
      }
      chunk = encoder.encode(text);
    } else chunk = given;
    let at = 0;
    for (let end; (end = chunk.indexOf(10, at)) >= 0; at = end + 1) yield line(chunk.subarray(at, end + 1));
    if (at < chunk.length) parts.push(new Uint8Array(chunk.subarray(at)));
  }
  if (high) parts.push(encoder.encode(high));
  if (parts.length) yield line(new Uint8Array(0));
}

/**
 * The texts, one by one. Files that are compressed with gzip are unpacked as they are read.
 * @param {any} texts @param {boolean} keep with line ends @param {AbortSignal | undefined} signal @returns {AsyncGenerator<string | Uint8Array>}
 */
export async function* textsOf(texts, keep, signal) {
  throwIfAborted(signal);
  if (typeof texts === 'string' || texts instanceof Uint8Array) yield texts;
  else if (texts instanceof URL || (typeof Blob === 'function' && texts instanceof Blob)) yield* linesOf((await openUnpacked(toSource(texts), signal)).chunks, keep);
  else if (typeof texts?.getReader === 'function') yield* linesOf(chunksOf(texts), keep);
  else if (texts?.[Symbol.asyncIterator] || texts?.[Symbol.iterator]) {
    for await (const item of texts) {
      if (typeof item === 'string' || item instanceof Uint8Array) yield item;
      else yield* textsOf(item, keep, signal);
    }
  } else throw new MicrotomeError(`train: texts must be strings, bytes, files, streams, or a list or (async) iterable of them; got ${texts === null ? 'null' : typeof texts}`, { code: 'ERANGE' });
}
