// A model with another tokenizer: its table of token embeddings made anew from the old one (docs/transfer.md).
import { MicrotomeError, throwIfAborted } from './runtime/heap.js';
import { checkNumber, checkOptions } from './runtime/errors.js';
import { TYPES, makeHeader, makeKey, padded, readHeader } from './runtime/gguf.js';
import { wholeFile } from './runtime/gzip.js';
import { RUNTIME_OPTIONS, loadHeap } from './runtime/load.js';
import { toSource } from './runtime/source.js';
import { QUANTIZE_TYPES, quantize } from './quantize.js';
import { Tokenizer } from './tokenizer.js';
import { tokenizerKeys } from './tokenizer_gguf.js';

/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./runtime/source.js').AnySource} AnySource */
/** @typedef {import('./runtime/heap.js').Heap} Heap */
/** @typedef {import('./quantize.js').QuantizeType} QuantizeType */
/** @typedef {'random' | 'copy' | 'mean' | 'script' | 'similar'} TransferMethod */
/**
 * @typedef {object} SkipgramOptions
 * @property {number} [width] numbers of a vector, default 100 @property {number} [window] neighbours on each side at most, default 5 @property {number} [negatives] drawn for each neighbour, default 5
 * @property {number} [epochs] default 3 @property {number} [minCount] rarer tokens get no vector; default 10 @property {number} [rate] of learning at the start, default 0.05
 * @property {number} [subsample] share above which a token is skipped now and then, default 1e-4 @property {number} [seed] default 0
 * @property {(done: number) => void} [onProgress] 0..1 @property {AbortSignal} [signal] Learning does not give the thread away: in a page, run it in a worker
 */
/**
 * @typedef {object} TransferOptions
 * @property {TransferMethod} [method] what tokens get that the old vocabulary lacks. 'mean' (default): the mean of the old tokens that spell them; 'similar': a mixture of shared tokens that keep the same company in
 *   `texts`; 'script': drawn like old tokens of the same script; 'copy': drawn like any old token; 'random': every row is drawn, shared tokens' too
 * @property {Iterable<string | Uint8Array>} [texts] of 'similar': texts to learn from which tokens are alike, a megabyte or more
 * @property {SkipgramOptions} [skipgram] of 'similar': how @property {number} [seed] of what is drawn, default 0
 * @property {QuantizeType} [type] storage type of the new file, default F32 @property {AbortSignal} [signal]
 */
/** @typedef {{bytes: Uint8Array, size: number, vocabSize: number, shared: number, made: number, drawn: number}} TransferResult bytes: the GGUF file; shared, made, drawn: rows that were copied, computed, drawn */

/** Methods of transferVocabulary. @type {TransferMethod[]} */
export const TRANSFER_METHODS = ['random', 'copy', 'mean', 'script', 'similar'];
const SKIPGRAM = ['width', 'window', 'negatives', 'epochs', 'minCount', 'rate', 'subsample', 'seed', 'onProgress', 'signal'];

/**
 * Vectors of tokens by the company they keep: skip-gram with negative sampling (Mikolov et al. 2013).
 * @param {Tokenizer} tokenizer @param {Iterable<string | Uint8Array>} texts @param {SkipgramOptions} [options]
 * @returns {{width: number, vectors: Float32Array}} vectors: of `width` numbers, one after the other by id; zeros: the token is rarer than minCount @throws {MicrotomeError} ERANGE. AbortError when aborted
 */
export function tokenVectors(tokenizer, texts, options = {}) {
  checkOptions('tokenVectors', options, SKIPGRAM);
  const { width = 100, window = 5, negatives = 5, epochs = 3, minCount = 10, rate = 0.05, subsample = 1e-4, seed = 0, onProgress = () => {}, signal } = options;
  for (const [name, value, most] of /** @type {[string, number, number][]} */ ([['width', width, 4096], ['window', window, 1000], ['negatives', negatives, 1000], ['epochs', epochs, 1e6], ['minCount', minCount, 2 ** 31 - 1]])) checkNumber(name, value, 1, most, true);
  checkNumber('rate', rate, Number.MIN_VALUE, 1);
  checkNumber('subsample', subsample, 0, 1);
  checkNumber('seed', seed, 0, Number.MAX_SAFE_INTEGER, true);
  const { heap } = tokenizer.core();
  const lists = Array.from(texts, (text) => tokenizer.encode(text, { offsets: false, specialAsText: true }).ids), n = lists.reduce((sum, ids) => sum + ids.length + 1, 0);
  throwIfAborted(signal);
  return heap.scope((alloc) => {
    const ids = alloc(4 * n + 4), out = alloc(4);
    let at = 0;
    for (const list of lists) {
      heap.putInts(ids + 4 * at, list);
      heap.putInts(ids + 4 * (at + list.length), [-1]);
      at += list.length + 1;
    }
    heap.call('skipgram_new', ids, n, tokenizer.vocabSize, width, window, negatives, epochs, minCount, rate, subsample, seed, out);
    const skipgram = heap.u32(out);
    try {
      for (let done = 0; done < 1; onProgress(done)) {
        throwIfAborted(signal);
        done = heap.exports.skipgram_train(skipgram, 20000);
      }
      return { width, vectors: heap.floats(heap.exports.skipgram_vectors(skipgram) >>> 0, width * tokenizer.vocabSize) };
    } finally {
      heap.exports.skipgram_free(skipgram);
    }
  });
}

/**
 * Gives a model another tokenizer. Its layers stay; rows of its embeddings (and of its output matrix where that is another one) are copied for tokens that both vocabularies have and made or drawn for the others.
 * Nothing is trained: the result is where training would go on from, and `Model.perplexity` says how far away it is.
 * @param {AnySource | AnySource[]} model as for Model.load; it must bring its own tokenizer @param {AnySource} tokenizer the new one's `tokenizer.json`
 * @param {TransferOptions & RuntimeOptions} [options] @returns {Promise<TransferResult>}
 * @throws {MicrotomeError} EUNKNOWN: no such method; EFORMAT: the tokenizer is no tokenizer.json; EMISSING: a model without tokenizer or without a table of embeddings, 'similar' without texts. AbortError when aborted
 */
export async function transferVocabulary(model, tokenizer, options = {}) {
  checkOptions('transferVocabulary', options, ['method', 'texts', 'skipgram', 'seed', 'type', 'signal', ...RUNTIME_OPTIONS]);
  const { method = 'mean', texts, skipgram = {}, seed = 0, type = 'F32', signal } = options;
  if (!TRANSFER_METHODS.includes(method)) throw new MicrotomeError(`transferVocabulary: unknown method ${JSON.stringify(method)}: known are ${TRANSFER_METHODS.join(', ')}`, { code: 'EUNKNOWN' });
  if (!QUANTIZE_TYPES.includes(type)) throw new MicrotomeError(`transferVocabulary: unknown type ${JSON.stringify(type)}: known are ${QUANTIZE_TYPES.join(', ')}`, { code: 'EUNKNOWN' });
  checkNumber('seed', seed, 0, Number.MAX_SAFE_INTEGER, true);
  if (method === 'similar' && texts === undefined) throw new MicrotomeError('transferVocabulary: the method "similar" needs texts', { code: 'EMISSING' });
  const runtime = Object.fromEntries(RUNTIME_OPTIONS.filter((name) => name in options).map((name) => [name, /** @type {any} */ (options)[name]]));
  const heap = await loadHeap(options);
  const file = /** @type {Uint8Array} */ ((await quantize(model, { ...runtime, type: 'F32', signal })).bytes);
  const definition = await wholeFile(toSource(tokenizer), signal);
  if (definition.find((b) => b > 32) !== 0x7b) throw new MicrotomeError('transferVocabulary: the tokenizer must be a tokenizer.json', { code: 'EFORMAT' }); // {
  const [from, to] = await Promise.all([Tokenizer.load(file, { ...runtime, signal }), Tokenizer.load(definition, { ...runtime, signal })]);
  try {
    const aux = method === 'similar' ? tokenVectors(to, /** @type {Iterable<string>} */ (texts), { signal, ...skipgram }) : null;
    const contents = /** @type {import('./runtime/gguf.js').GgufContents} */ (readHeader(heap, file, file.length));
    const embeddings = contents.tensors.find((t) => t.name === 'token_embd.weight');
    if (!embeddings) throw new MicrotomeError('transferVocabulary: the model has no table of token embeddings', { code: 'EMISSING' });
    const rows = embeddings.dims[1];
    let stats = { shared: 0, made: 0, drawn: 0 };
    const tensors = contents.tensors.map((t) => {
      const count = t.dims.reduce((a, b) => a * b, 1), values = new Float32Array(file.slice(t.offset, t.offset + 4 * count).buffer);
      // Tables and biases over the vocabulary; a norm may be as wide as the vocabulary is long.
      const over = t === embeddings || (/^(output|cls)(\.|_)/.test(t.name) && !t.name.includes('norm') && t.dims.at(-1) === rows);
      if (!over) return { name: t.name, dims: t.dims, values };
      const width = t.dims.length > 1 ? t.dims[0] : 1, made = rowsFor(heap, from, to, { method, seed, aux, old: values, rows, width });
      if (t === embeddings) stats = made.stats;
      return { name: t.name, dims: [...t.dims.slice(0, -1), to.vocabSize], values: made.values };
    });
    throwIfAborted(signal);
    const keys = contents.keys.filter((k) => !k.name.startsWith('tokenizer.') && k.name !== 'general.alignment').map((k) => {
      if (k.name.endsWith('.vocab_size')) return makeKey(k.name, { u32: to.vocabSize });
      return k.name === 'microtome.config' ? makeKey(k.name, withVocabulary(k, to.vocabSize)) : k;
    });
    const added = await tokenizerKeys([{ kind: 'bytes', bytes: definition, name: 'tokenizer.json' }], { vocab_size: to.vocabSize }, signal);
    const header = makeHeader([...keys, ...added], tensors.map((t) => ({ name: t.name, dims: t.dims, type: TYPES.F32.type, bytes: t.values.byteLength })));
    const bytes = new Uint8Array(header.length + tensors.reduce((sum, t) => sum + padded(t.values.byteLength), 0));
    bytes.set(header);
    let at = header.length;
    for (const { values } of tensors) {
      bytes.set(new Uint8Array(values.buffer), at);
      at += padded(values.byteLength);
    }
    const done = type === 'F32' ? bytes : /** @type {Uint8Array} */ ((await quantize(bytes, { ...runtime, type, signal })).bytes);
    return { bytes: done, size: done.length, vocabSize: to.vocabSize, ...stats };
  } finally {
    from.dispose();
    to.dispose();
  }
}

/** The configuration with another number of tokens. @param {import('./runtime/gguf.js').RawKey} key @param {number} size @returns {string} */
function withVocabulary(key, size) {
  const text = new TextDecoder().decode(key.raw.subarray(8 + new TextEncoder().encode(key.name).length + 12));
  return JSON.stringify({ ...JSON.parse(text), vocab_size: size });
}

/**
 * @param {Heap} heap @param {Tokenizer} from @param {Tokenizer} to
 * @param {{method: TransferMethod, seed: number, aux: {width: number, vectors: Float32Array} | null, old: Float32Array, rows: number, width: number}} how
 */
function rowsFor(heap, from, to, { method, seed, aux, old, rows, width }) {
  const out = heap.make('mt_transfer_stats');
  try {
    return heap.scope((alloc) => {
      const put = (/** @type {Float32Array} */ values) => {
        const at = alloc(values.byteLength + 4);
        heap.putBytes(at, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
        return at;
      };
      const made = alloc(4 * width * to.vocabSize + 4);
      heap.call('transfer_rows', from.core().at, to.core().at, heap.enums[`MT_TRANSFER_${method.toUpperCase()}`], seed, aux ? put(aux.vectors) : 0, aux?.width ?? 0, put(old), rows, width, made, out);
      const { shared, made: computed, drawn } = heap.read('mt_transfer_stats', out);
      return { values: heap.floats(made, width * to.vocabSize), stats: { shared, made: computed, drawn } };
    });
  } finally {
    heap.release(out);
  }
}
