// Tokenizing a batch dynamically (Feher, Vulić & Minixhofer 2024): its most frequent neighbours become units of their own.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions } from './runtime/errors.js';

/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {{id: number, left: number, right: number, count: number, bytes: Uint8Array}} DynamicUnit left, right: tokens or earlier units; count: how often the pair was there when it was merged; bytes: what the unit spells */

const isSpace = (/** @type {number | undefined} */ byte) => byte === 32 || (byte !== undefined && byte >= 9 && byte <= 13);

/**
 * Merges the most frequent pair of neighbours over the whole batch, `merges` times or until no pair is left. Special tokens stay alone.
 * @param {Tokenizer} tokenizer @param {(string | Uint8Array | ArrayLike<number>)[]} batch texts, or lists of ids @param {{merges: number, boundary?: 'word' | 'none'}} options boundary: 'word' (default): no white space inside a
 *   unit, only at its start, unless it is nothing else; 'none': anything inside a text may be merged
 * @returns {{sequences: Int32Array[], units: DynamicUnit[]}} sequences: of each text; ids of units go on where the vocabulary ends @throws {MicrotomeError} ERANGE: an id that the tokenizer does not have
 */
export function dynamicMerges(tokenizer, batch, options) {
  checkOptions('dynamicMerges', options, ['merges', 'boundary']);
  const { merges, boundary = 'word' } = options;
  checkNumber('merges', merges, 0, 2 ** 24, true);
  if (boundary !== 'word' && boundary !== 'none') throw new MicrotomeError(`dynamicMerges: unknown boundary ${JSON.stringify(boundary)}: known are word, none`, { code: 'EUNKNOWN' });
  const { heap } = tokenizer.core(), first = tokenizer.vocabSize;
  const lists = batch.map((item) => (typeof item === 'string' || item instanceof Uint8Array ? tokenizer.encode(item, { offsets: false }).ids : Int32Array.from(item)));
  const ids = Int32Array.from(lists.flatMap((list) => [...list]));
  /** @type {Map<number, {alone: boolean, starts: boolean, ends: boolean, blank: boolean}>} */ const kinds = new Map();
  for (const id of new Set(ids)) {
    if (id < 0 || id >= first) throw new MicrotomeError(`dynamicMerges: token id ${id} is outside 0..${first - 1}`, { code: 'ERANGE' });
    const { bytes, kind } = tokenizer.token(id), blank = bytes.length > 0 && bytes.every(isSpace);
    kinds.set(id, { alone: kind !== 'normal' && kind !== 'byte', starts: isSpace(bytes[0]), ends: isSpace(bytes.at(-1)) && !blank, blank });
  }
  const kindOf = (/** @type {number} */ id) => /** @type {NonNullable<ReturnType<typeof kinds.get>>} */ (kinds.get(id));
  const barrier = Uint8Array.from(ids, (id, i) => {
    const a = i ? kindOf(ids[i - 1]) : null, b = kindOf(id);
    return Number(!a || a.alone || b.alone || (boundary === 'word' && (a.ends || (b.starts && !(a.blank && b.blank)))));
  });
  const out = heap.make('mt_dynamic');
  try {
    return heap.scope((alloc) => {
      const at = alloc(4 * ids.length + 4), walls = alloc(ids.length + 1), lens = alloc(4 * lists.length + 4);
      heap.putInts(at, ids);
      heap.putBytes(walls, barrier);
      heap.putInts(lens, lists.map((list) => list.length));
      heap.call('dynamic_merge', at, walls, lens, lists.length, merges, first, out);
      const found = heap.read('mt_dynamic', out), all = heap.ints(found['ids.data'], found['ids.len']), size = heap.sizeOf('mt_unit');
      let from = 0;
      const sequences = Array.from(heap.ints(found['lens.data'], found['lens.len']), (n) => all.slice(from, (from += n)));
      /** @type {DynamicUnit[]} */ const units = [];
      const bytesOf = (/** @type {number} */ id) => (id < first ? tokenizer.tokenBytes(id) : units[id - first].bytes);
      for (let i = 0; i < found.units; i++) {
        const { left, right, count } = heap.read('mt_unit', found.unit + i * size);
        units.push({ id: first + i, left, right, count, bytes: Uint8Array.of(...bytesOf(left), ...bytesOf(right)) });
      }
      return { sequences, units };
    });
  } finally {
    heap.exports.dynamic_free(out);
    heap.release(out);
  }
}
