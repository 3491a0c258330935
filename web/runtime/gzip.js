// Files as users have them: unpacked when they begin as gzip files do.
import { MicrotomeError } from './heap.js';
import { openSource } from './open.js';

/** @typedef {import('./open.js').Source} Source */

/**
 * As openSource, but what gzip has compressed comes unpacked: its name then is without ".gz", its size is not known (-1).
 * @param {Source} source @param {AbortSignal} [signal]
 * @returns {Promise<{name: string, size: number, chunks: AsyncIterable<Uint8Array>}>} reading chunks throws EFORMAT where the compressed data is damaged or cut short
 */
export async function openUnpacked(source, signal) {
  const opened = await openSource(source, signal), { name } = opened;
  const chunks = opened.chunks[Symbol.asyncIterator]();
  /** @type {Uint8Array} */ let head = new Uint8Array(0);
  let ended = false;
  try {
    while (head.length < 2 && !ended) {
      const { done, value } = await chunks.next();
      ended = !!done;
      if (value) head = head.length ? Uint8Array.of(...head, ...value) : value; // at most one byte came before
    }
  } catch (error) {
    await chunks.return?.();
    throw error;
  }
  const all = (async function* () {
    try {
      if (head.length) yield head;
      for (let next; !ended && !(next = await chunks.next()).done;) yield next.value;
    } finally {
      await chunks.return?.();
    }
  })();
  if (head[0] !== 0x1f || head[1] !== 0x8b) return { ...opened, chunks: all };
  return { name: name.replace(/\.gz$/i, ''), size: -1, chunks: inflated(all, name) };
}

/** @param {AsyncGenerator<Uint8Array>} chunks @param {string} name @returns {AsyncGenerator<Uint8Array>} */
async function* inflated(chunks, name) {
  const packed = new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(new Uint8Array(value)); // readers use their buffer again
    },
  });
  try {
    yield* chunksOf(packed.pipeThrough(new DecompressionStream('gzip')));
  } catch (error) {
    if (error instanceof MicrotomeError || /** @type {any} */ (error)?.name === 'AbortError') throw error;
    throw new MicrotomeError(`${name}: the compressed file could not be unpacked: ${/** @type {Error} */ (error).message}`, { code: 'EFORMAT', details: { file: name }, cause: error });
  } finally {
    await chunks.return(undefined);
  }
}

/** Chunks of a stream; leaving early cancels it. @param {ReadableStream<any>} stream @returns {AsyncGenerator<any>} */
export async function* chunksOf(stream) {
  const reader = stream.getReader();
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        ended = true;
        return;
      }
      yield value;
    }
  } finally {
    if (!ended) await reader.cancel().catch(() => {});
    reader.releaseLock();
  }
}

/** Chunks that become one array. */
export class Gathered {
  length = 0;
  /** @type {Uint8Array} */ #data = new Uint8Array(0);
  #size;

  /** @param {number} size the expected length; negative: unknown */
  constructor(size) {
    this.#size = size >= 0 ? Math.min(size, 1 << 26) : 1 << 16;
  }

  /** @param {Uint8Array} chunk */
  add(chunk) {
    const length = this.length + chunk.length;
    if (!this.length && (chunk.length >= this.#size || !this.#size)) { // all of it: no copy
      this.#data = chunk;
      this.length = length;
      return;
    }
    if (!this.#data.length) this.#data = new Uint8Array(this.#size);
    if (length > this.#data.length) {
      const grown = new Uint8Array(Math.max(length, 2 * this.#data.length));
      grown.set(this.#data.subarray(0, this.length));
      this.#data = grown;
    }
    this.#data.set(chunk, this.length);
    this.length = length;
  }

  /** @param {string} ascii */
  startsWith(ascii) {
    return this.length >= ascii.length && [...ascii].every((c, i) => this.#data[i] === c.charCodeAt(0));
  }

  all() {
    return this.#data.subarray(0, this.length);
  }
}

/** All of a file, unpacked. @param {Source} source @param {AbortSignal} [signal] @returns {Promise<Uint8Array>} @throws as openUnpacked, and reading */
export async function wholeFile(source, signal) {
  const { size, chunks } = await openUnpacked(source, signal), bytes = new Gathered(size);
  for await (const chunk of chunks) bytes.add(chunk);
  return bytes.all();
}
