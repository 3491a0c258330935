// Reading a source in order, where the bytes are needed: in the page or in a worker. (source.js makes sources from what users give.)
import { MicrotomeError, nodeModule, throwIfAborted } from './heap.js';

/**
 * Where bytes come from, in a form that can be sent to a worker (source.js makes it from what users give).
 * @typedef {{kind: 'url', url: string, name: string} | {kind: 'blob', blob: Blob, name: string} | {kind: 'bytes', bytes: Uint8Array, name: string}
 *   | {kind: 'path', path: string, name: string} | {kind: 'stream', stream: ReadableStream<Uint8Array>, name: string}} Source
 * @typedef {{kind: 'port', port: MessagePort, size: number, name: string}} PortSource the port answers every message (a buffer that it may use, or 0) with the next bytes, null at the end
 */

/**
 * Opens a source for reading in order. A chunk is valid until the next one is asked for.
 * @param {Source | PortSource} source @param {AbortSignal} [signal]
 * @returns {Promise<{name: string, size: number, chunks: AsyncIterable<Uint8Array>}>} size -1: not known
 */
export async function openSource(source, signal) {
  throwIfAborted(signal);
  const { name } = source;
  switch (source.kind) {
    case 'bytes':
      return { name, size: source.bytes.length, chunks: (async function* () { yield source.bytes; })() };
    case 'blob':
      return { name, size: source.blob.size, chunks: streamChunks(source.blob.stream(), name, signal) };
    case 'port':
      return { name, size: source.size, chunks: portChunks(source.port) };
    case 'stream':
      return { name, size: -1, chunks: streamChunks(source.stream, name, signal) };
    case 'path':
      return openPath(source.path, name, signal);
    case 'url': {
      let response;
      try {
        response = await fetch(source.url, { signal });
      } catch (error) {
        throwIfAborted(signal);
        throw new MicrotomeError(`${name}: the download failed: ${/** @type {Error} */ (error).message}`, { code: 'EHTTP', details: { file: name, url: source.url }, cause: error });
      }
      if (!response.ok || !response.body)
        throw new MicrotomeError(`${name}: the server answered ${response.status} ${response.statusText}`, { code: 'EHTTP', details: { file: name, url: source.url, status: response.status } });
      const length = response.headers.get('content-encoding') ? null : response.headers.get('content-length');
      return { name, size: length ? Number(length) : -1, chunks: streamChunks(response.body, name, signal) };
    }
  }
}

/** @param {MessagePort} port @returns {AsyncGenerator<Uint8Array>} */
async function* portChunks(port) {
  /** @type {(Uint8Array | null)[]} */ const arrived = [];
  let wake = () => {};
  port.onmessage = ({ data }) => { arrived.push(data); wake(); };
  try {
    for (let i = 0; i < 3; i++) port.postMessage(0); // so many are under way
    for (;;) {
      while (!arrived.length) await new Promise((/** @type {(value: void) => void} */ resolve) => { wake = resolve; });
      const part = /** @type {Uint8Array | null} */ (arrived.shift());
      if (!part) return;
      yield part;
      port.postMessage(part.buffer, [part.buffer]); // to be filled again: fresh memory costs more than the copy
    }
  } finally {
    port.close();
  }
}

const MOST_CONFIG = 1 << 24;

/** All of a small file. @param {AsyncIterable<Uint8Array>} chunks */
export async function wholeText(chunks) {
  let all = new Uint8Array(1 << 16), n = 0;
  for await (const chunk of chunks) {
    if (n + chunk.length > MOST_CONFIG) throw new MicrotomeError(`more than ${MOST_CONFIG} bytes are no config.json`, { code: 'EFORMAT' });
    if (n + chunk.length > all.length) { // doubled, so that a file that comes byte by byte is not copied for each of them
      const longer = new Uint8Array(Math.max(2 * all.length, n + chunk.length));
      longer.set(all.subarray(0, n));
      all = longer;
    }
    all.set(chunk, n);
    n += chunk.length;
  }
  return all.slice(0, n);
}

/** @param {ReadableStream<Uint8Array>} stream @param {string} name @param {AbortSignal} [signal] @returns {AsyncGenerator<Uint8Array>} */
async function* streamChunks(stream, name, signal) {
  const reader = stream.getReader();
  const stop = () => void reader.cancel(signal?.reason).catch(() => {});
  signal?.addEventListener('abort', stop);
  try {
    for (;;) {
      let part;
      try {
        part = await reader.read();
      } catch (error) {
        throwIfAborted(signal);
        throw new MicrotomeError(`${name}: reading failed: ${/** @type {Error} */ (error).message}`, { code: 'EIO', details: { file: name }, cause: error });
      }
      throwIfAborted(signal);
      if (part.done) return;
      yield part.value;
    }
  } finally {
    signal?.removeEventListener('abort', stop);
    reader.cancel().catch(() => {});
  }
}

/** @param {string} path @param {string} name @param {AbortSignal} [signal] */
async function openPath(path, name, signal) {
  const fs = await nodeModule('node:fs/promises');
  const failed = (/** @type {any} */ error) => new MicrotomeError(`${name}: ${error.code === 'ENOENT' ? 'no such file' : error.message}`, { code: 'EIO', details: { file: name, path }, cause: error });
  /** @type {any} */ let file, stat;
  try {
    file = await fs.open(path);
    stat = await file.stat();
  } catch (error) {
    await file?.close();
    throw failed(error);
  }
  return { name, size: stat.isFile() ? stat.size : -1, chunks: pathChunks() };

  /** @returns {AsyncGenerator<Uint8Array>} */
  async function* pathChunks() {
    // The next piece is read while the last one is used.
    const buffers = [new Uint8Array(1 << 20), new Uint8Array(1 << 20)];
    const read = (/** @type {number} */ i) => file.read(buffers[i % 2], 0, buffers[i % 2].length, null).then((/** @type {any} */ r) => r.bytesRead, (/** @type {any} */ error) => Promise.reject(failed(error)));
    /** @type {Promise<number>} */ let reading = read(0);
    try {
      for (let i = 0; ; i++) {
        throwIfAborted(signal);
        const n = await reading;
        if (!n) return;
        reading = read(i + 1);
        reading.catch(() => {}); // seen at the next turn
        yield buffers[i % 2].subarray(0, n);
      }
    } finally {
      await reading.catch(() => {});
      await file.close();
    }
  }
}
