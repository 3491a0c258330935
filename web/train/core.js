// The trainers in the core: what goes in, what comes out, and watching them.
import { throwIfAborted } from '../runtime/heap.js';
import { Tokenizer } from '../tokenizer.js';
import { textsOf } from './texts.js';

/** @typedef {import('../runtime/heap.js').Heap} Heap */
/** @typedef {{signal?: AbortSignal, onProgress?: (progress: import('./options.js').TrainProgress) => void}} Watched */

/**
 * Counts many texts; gives the thread away now and then.
 * @param {import('./options.js').TrainTexts} texts @param {boolean} keep line ends @param {Watched} options @param {(text: string | Uint8Array) => void} count @param {() => number} done
 */
export async function readTexts(texts, keep, { signal, onProgress }, count, done) {
  let told = performance.now();
  for await (const text of textsOf(texts, keep, signal)) {
    count(text);
    const now = performance.now();
    if (now - told < 50) continue;
    told = now;
    onProgress?.({ phase: 'read', done: done(), total: null });
    await new Promise((resolve) => setTimeout(resolve));
    throwIfAborted(signal);
  }
  throwIfAborted(signal);
  onProgress?.({ phase: 'read', done: done(), total: null });
}

/** Runs a trainer: reports how far it is, stops it when it is aborted. @param {Heap} heap @param {Watched} options @param {() => void} call */
export function supervise(heap, { signal, onProgress }, call) {
  /** @type {unknown} */ let thrown;
  let threw = false, told = 0;
  heap.onTrainProgress = (done, total) => {
    // An exception must not pass through the module's frames: it is kept, and thrown when they are gone.
    try {
      const now = performance.now();
      if (onProgress && (now - told > 50 || done >= total)) {
        told = now;
        onProgress({ phase: 'train', done, total });
      }
      return !!signal?.aborted;
    } catch (error) {
      thrown = error;
      return (threw = true);
    }
  };
  try {
    throwIfAborted(signal);
    call();
    if (threw) throw thrown;
  } catch (error) {
    if (threw) throw thrown;
    throwIfAborted(signal);
    throw error;
  } finally {
    heap.onTrainProgress = () => false;
  }
}

/** Bytes and lists of strings for the core, as long as the scope lasts. @param {Heap} heap @param {(bytes: number) => number} alloc */
export function putters(heap, alloc) {
  const put = (/** @type {Uint8Array} */ bytes) => {
    const at = alloc(bytes.length + 1);
    heap.putBytes(at, bytes);
    return at;
  };
  const list = (/** @type {string[]} */ strings) => {
    const pairs = strings.flatMap((s) => {
      const bytes = heap.encoder.encode(s);
      return [put(bytes), bytes.length];
    });
    const at = alloc(4 * pairs.length + 4);
    heap.putInts(at, pairs);
    return at;
  };
  return { put, list };
}

/** @param {Heap} heap @param {string} struct @param {number} at @param {Record<string, number>} values */
export function fill(heap, struct, at, values) {
  heap.u8.fill(0, at, at + heap.sizeOf(struct));
  for (const [name, value] of Object.entries(values)) {
    const { type, offset } = heap.field(struct, name);
    if (type === 'f64') heap.view.setFloat64(at + offset, value, true);
    else heap.view.setUint32(at + offset, value, true);
  }
}

/** Strings of an array of mt_str. @param {Heap} heap @param {number} at @param {number} count */
function strings(heap, at, count) {
  const pairs = new Uint32Array(heap.ints(at, 2 * count).buffer);
  return Array.from({ length: count }, (_, i) => heap.text(pairs[2 * i], pairs[2 * i + 1]));
}

/** Everything that the core has of a trained vocabulary. @param {Heap} heap @param {number} trainer @returns {{raw: import('./definition.js').Raw, words: number, distinct: number}} */
export function resultOf(heap, trainer) {
  const result = heap.scope((alloc) => {
    const out = alloc(heap.sizeOf('abi_trained'));
    heap.call('trainer_result', trainer, out);
    return heap.read('abi_trained', out);
  });
  const tokens = strings(heap, result.token, result.len);
  const rules = heap.ints(result.merge, 3 * result.merge_len), flat = heap.ints(result.event, 5 * result.event_len);
  /** @type {import('./definition.js').Picked[]} */
  const events = Array.from({ length: result.event_len }, (_, i) => {
    const [left, right, token, part, parts] = flat.subarray(5 * i, 5 * i + 5);
    return { left, right, token, parts: parts ? Array.from(heap.ints(result.part + 4 * part, parts)) : [] };
  });
  const raw = {
    tokens, events, merges: Array.from({ length: result.merge_len }, (_, i) => /** @type {[number, number, number]} */ ([rules[3 * i], rules[3 * i + 1], rules[3 * i + 2]])),
    scores: result.score ? heap.doubles(result.score, result.len) : null, present: result.present ? heap.bytes(result.present, result.len) : null, kinds: result.kind ? heap.bytes(result.kind, result.len) : null,
  };
  return { raw, words: result.words, distinct: result.distinct };
}

/** @param {Heap} heap @param {Uint8Array} definition @returns {Tokenizer} */
export function load(heap, definition) {
  return heap.scope((alloc) => {
    const at = alloc(definition.length), out = alloc(4);
    heap.putBytes(at, definition);
    heap.call('tok_load', at, definition.length, 0, 0, 0, 0, 0, 0, -1, out);
    return new Tokenizer(heap, heap.u32(out));
  });
}
