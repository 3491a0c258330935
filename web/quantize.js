// Models in other storage types: any container that Model.load takes -> one GGUF file.
//
// A GGUF is read tensor by tensor, each converted in pieces of a mebibyte and written at once: whatever its size, a few MiB are
// held. Its keys go over as they are. Other containers (hub folders, llama2.c, rwkv.cpp) are loaded into the engine first, which
// knows what their tensors are called in GGUF; memory is then the model once, as stored.
import { MicrotomeError, throwIfAborted } from './runtime/heap.js';
import { openSource } from './runtime/open.js';
import { WorkerClient } from './runtime/client.js';
import { checkOptions, checkNumber, globExpression } from './runtime/errors.js';
import { ByteReader, TYPES, makeHeader, makeKey, padded, readHeader, tensorType } from './runtime/gguf.js';
import { RUNTIME_OPTIONS, loadHeap, loadModule } from './runtime/load.js';
import { toSource } from './runtime/source.js';
import { sendSources, defaultThreads } from './model.js';
import { readForeign } from './foreign.js';
import { isTokenizerFile, tokenizerKeys } from './tokenizer_gguf.js';

/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./runtime/source.js').AnySource} AnySource */
/** @typedef {import('./runtime/gguf.js').RawKey} RawKey */
/** @typedef {import('./runtime/open.js').Source} Source */
/** @typedef {'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q4_K' | 'Q5_K' | 'Q6_K'} QuantizeType */
/** What happened to a tensor; type: as stored now. @typedef {{name: string, dims: number[], from: string, type: string, bytes: number}} QuantizedTensor */
/**
 * @typedef {object} QuantizeOptions
 * @property {QuantizeType} [type] of the matrices, default Q8_0. Stay F32: vectors, norms, router and convolution weights, tables of positions and of segments.
 *   A row that is no multiple of the block falls back: Q4_K to Q5_0, Q5_K to Q5_1, Q6_K to Q8_0, and from 32 to F16
 * @property {string[]} [keep] names of tensors ("output.weight"; * and ? stand for anything) that keep the type that they have
 * @property {'bytes' | 'blob' | WritableStream<Uint8Array>} [output] where the file goes, default 'bytes'
 * @property {boolean} [tokenizer] take over the tokenizer of a hub folder, default true
 * @property {(progress: {phase: 'load' | 'write', done: number, total: number | null, tensor: string}) => void} [onProgress] bytes; of the result in phase 'write'
 * @property {AbortSignal} [signal]
 * @property {number} [threads] as for Model.load
 * @property {string | URL} [workerUrl] as for Model.load
 */
/** @typedef {{size: number, tensors: QuantizedTensor[], bytes?: Uint8Array, blob?: Blob, architecture: string}} QuantizeResult bytes or blob: the file, where asked for */

/** What `type` may be. @type {QuantizeType[]} */
export const QUANTIZE_TYPES = /** @type {any} */ (Object.keys(TYPES));

const PIECE = 1 << 18; // values, a multiple of every block
const NAMES = Object.fromEntries(Object.entries(TYPES).map(([name, { type }]) => [type, name]));
/** As llama.cpp leaves them, and what our own architectures keep as floats. */
const PLAIN = [/_norm\.weight$/, /norm\.weight$/, /ffn_gate_inp/, /position_embd/, /token_types/, /ssm_conv1d/, /shortconv\.conv/, /time_mix_(k|v|r|g|w|first|decay|lerp)/, /channel_mix_lerp/, /attn_rel_b/, /relative_bias/, /rope_freqs/, /attn_sinks/];

/**
 * Writes a model as GGUF, its matrices in another type. Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K are bit for bit what ggml's reference quantisers give.
 * @param {AnySource | AnySource[]} source as for Model.load; a hub folder's tokenizer.json, tokenizer_config.json and kin may be among the list. Also character models of
 *   ml5 and textgenrnn as [weights.safetensors, vocab.json]
 * @param {QuantizeOptions & RuntimeOptions} [options]
 * @returns {Promise<QuantizeResult>}
 * @throws {MicrotomeError} as Model.load; EUNKNOWN: no such type; EFORMAT: damaged. AbortError when aborted
 */
export async function quantize(source, options = {}) {
  checkOptions('quantize', options, ['type', 'keep', 'output', 'tokenizer', 'onProgress', 'signal', 'threads', 'workerUrl', ...RUNTIME_OPTIONS]);
  const { type = 'Q8_0', keep = [], output = 'bytes', tokenizer = true, onProgress = () => {}, signal, workerUrl } = options;
  if (!(type in TYPES)) throw new MicrotomeError(`quantize: unknown type ${JSON.stringify(type)}: known are ${QUANTIZE_TYPES.join(', ')}`, { code: 'EUNKNOWN' });
  if (output !== 'bytes' && output !== 'blob' && !(output instanceof WritableStream)) throw new MicrotomeError('quantize: output must be "bytes", "blob" or a WritableStream', { code: 'ERANGE' });
  if (!Array.isArray(keep)) throw new MicrotomeError('quantize: keep must be a list of names', { code: 'ERANGE' });
  const threads = options.threads === undefined ? await defaultThreads() : checkNumber('quantize: threads', options.threads, 1, 64, true);
  const all = (Array.isArray(source) ? source : [source]).map(toSource);
  const files = all.filter((s) => !isTokenizerFile(s.name));
  if (!all.some((s) => !isTokenizerFile(s.name))) throw new MicrotomeError('quantize: no file with weights was given', { code: 'ERANGE' });
  const { module, shared } = await loadModule({ ...options, threads: threads > 1 });
  const heap = await loadHeap(options);
  const client = await WorkerClient.start({ workerUrl, signal, helpers: shared ? threads - 1 : 0 });
  /** @type {Plan | null} */ let plan = null;
  try {
    await client.call('init', { module, shared, threads }, { signal });
    plan = (await foreignPlan(heap, all, signal)) ?? (await openPlan(client, heap, files, { signal, onProgress }));
    const extra = tokenizer && !plan.read ? await tokenizerKeys(all.filter((s) => isTokenizerFile(s.name)), await configOf(files), signal) : [];
    return await writePlan(client, plan, extra, { type, keep, output, onProgress, signal });
  } catch (error) {
    if (output instanceof WritableStream && !output.locked) await output.abort(error).catch(() => {});
    throw error;
  } finally {
    await plan?.close();
    client.terminate();
  }
}

/**
 * A model that a worker holds, as GGUF. @param {WorkerClient} client @param {Uint8Array | null} header of the GGUF that it came from: its keys go over @param {Pick<QuantizeOptions, 'type' | 'keep' | 'output' | 'onProgress' | 'signal'>} options
 * @returns {Promise<QuantizeResult>} @internal
 */
export async function writeLoaded(client, header, options) {
  checkOptions('write', options, ['type', 'keep', 'output', 'onProgress', 'signal']);
  const { type = 'F32', keep = [], output = 'bytes', onProgress = () => {}, signal } = options;
  if (!(type in TYPES)) throw new MicrotomeError(`write: unknown type ${JSON.stringify(type)}: known are ${QUANTIZE_TYPES.join(', ')}`, { code: 'EUNKNOWN' });
  const heap = await loadHeap(), plan = await enginePlan(client, heap, signal), found = header && readHeader(heap, header, -1);
  return writePlan(client, found && typeof found !== 'number' ? { ...plan, keys: found.keys } : plan, [], { type, keep, output, onProgress, signal });
}

/** @param {WorkerClient} client @param {Plan} plan @param {RawKey[]} extra @param {Required<Pick<QuantizeOptions, 'type' | 'keep' | 'output' | 'onProgress'>> & {signal?: AbortSignal}} options @returns {Promise<QuantizeResult>} */
async function writePlan(client, plan, extra, { type, keep, output, onProgress, signal }) {
  const kept = keep.map(globExpression);
  const tensors = plan.tensors.map((t) => ({ ...t, ...targetOf(t, type, kept.some((k) => k.test(t.name))) }));
  const keys = [...plan.keys.filter((k) => !['general.file_type', 'general.quantization_version', 'general.alignment'].includes(k.name) && !k.name.startsWith('split.')),
    ...extra, makeKey('general.file_type', { u32: TYPES[type].fileType }), makeKey('general.quantization_version', { u32: 2 })];
  const header = makeHeader(keys, tensors.map((t) => ({ name: t.name, dims: t.dims, type: t.to, bytes: t.bytes })));
  const total = header.length + tensors.reduce((sum, t) => sum + padded(t.bytes), 0), sink = makeSink(output, total);
  try {
    await sink.write(header);
    for (const t of tensors) {
      throwIfAborted(signal);
      onProgress({ phase: 'write', done: sink.written, total, tensor: t.name });
      await writeTensor(client, plan, t, sink, signal);
    }
    await plan.finish();
    const result = await sink.close();
    onProgress({ phase: 'write', done: total, total, tensor: '' });
    return { size: total, architecture: plan.architecture, ...result, tensors: tensors.map((t) => ({ name: t.name, dims: t.dims, from: NAMES[t.type] ?? t.typeName, type: NAMES[t.to] ?? t.typeName, bytes: t.bytes })) };
  } catch (error) {
    await sink.abort(error);
    throw error;
  }
}

// ---- what there is ------------------------------------------------------------------------------------------------------------

/** @typedef {{name: string, dims: number[], type: number, typeName: string, block: number, blockBytes: number, vector?: boolean, index: number, offset: number, file: number}} PlannedTensor */
/**
 * @typedef {{architecture: string, keys: RawKey[], tensors: PlannedTensor[], finish: () => Promise<void>, close: () => Promise<void>,
 *   read: ((t: PlannedTensor, first: number, count: number) => Promise<Uint8Array<ArrayBuffer>>) | null}} Plan read: the next values of a tensor, in order; null: the engine has them
 */

/**
 * @param {WorkerClient} client @param {import('./runtime/heap.js').Heap} heap @param {Source[]} files
 * @param {{signal?: AbortSignal, onProgress: NonNullable<QuantizeOptions['onProgress']>}} options @returns {Promise<Plan>}
 */
async function openPlan(client, heap, files, { signal, onProgress }) {
  const first = files.find((f) => !/\.json$/i.test(f.name)) ?? files[0];
  const opened = await openSource(first, signal);
  const reader = new ByteReader(opened.chunks, opened.name);
  const magic = await reader.some(4);
  const head = magic ? magic.slice() : new Uint8Array(0);
  if (new TextDecoder().decode(head) === 'GGUF' && files.length === files.filter((f) => !/\.json$/i.test(f.name)).length) return openGguf(heap, files, reader, head, opened.size, signal);
  // A source that can be opened only once is handed on with what was read of it.
  let sources = files;
  if (first.kind === 'stream' || first.kind === 'url') {
    const parts = reader.withHead(head);
    const stream = new ReadableStream({ async pull(c) { const next = await parts.next(); if (next.done) c.close(); else c.enqueue(next.value.slice()); }, async cancel() { await reader.close(); } });
    sources = files.map((f) => (f === first ? { kind: 'stream', stream, name: first.name } : f));
  } else await reader.close();
  const onEvent = (/** @type {string} */ _, /** @type {any} */ p) => onProgress({ phase: 'load', done: p.loaded, total: p.total, tensor: '' });
  await sendSources(client, sources, { signal, onEvent });
  return enginePlan(client, heap, signal);
}

/** What the engine has loaded. @param {WorkerClient} client @param {import('./runtime/heap.js').Heap} heap @param {AbortSignal} [signal] @returns {Promise<Plan>} */
async function enginePlan(client, heap, signal) {
  const { keys, description } = await client.call('exportOpen', {}, { signal });
  return {
    architecture: description.architecture, keys: splitKeys(heap, keys, description.keys), read: null,
    tensors: description.tensors.map((/** @type {any} */ t, /** @type {number} */ index) => ({ ...t, ...typeOf(heap, t.type, t.name), index, offset: 0, file: 0 })),
    finish: async () => {}, close: async () => {},
  };
}

/**
 * A character model of another program: safetensors without a config.json. @param {import('./runtime/heap.js').Heap} heap @param {Source[]} all @param {AbortSignal} [signal] @returns {Promise<Plan | null>}
 */
async function foreignPlan(heap, all, signal) {
  const weights = all.filter((s) => !/\.json$/i.test(s.name));
  if (weights.length !== 1 || all.some((s) => /(^|[\\/])config\.json$/i.test(s.name)) || weights[0].kind === 'stream' || !/\.safetensors$/i.test(weights[0].name)) return null;
  const found = await readForeign(weights[0], all.find((s) => /\.json$/i.test(s.name)), signal);
  if (!found) return null;
  return {
    architecture: found.architecture, keys: found.keys, finish: async () => {}, close: async () => {},
    tensors: found.tensors.map(({ name, dims }, index) => ({ name, dims, type: 0, ...typeOf(heap, 0, name), index, offset: 0, file: 0 })),
    read: async (t, first, count) => new Uint8Array(found.tensors[t.index].values.slice(first, first + count).buffer),
  };
}

/** The engine's keys, one by one. @param {import('./runtime/heap.js').Heap} heap @param {Uint8Array} raw @param {number} count @returns {RawKey[]} */
function splitKeys(heap, raw, count) {
  const head = new Uint8Array(24 + raw.length);
  const view = new DataView(head.buffer);
  head.set(new TextEncoder().encode('GGUF'));
  view.setUint32(4, 3, true);
  view.setBigUint64(16, BigInt(count), true);
  head.set(raw, 24);
  const parsed = readHeader(heap, head, -1);
  if (typeof parsed === 'number') throw new MicrotomeError('internal error: the keys of an export are cut', { code: 'EWORKER' });
  return parsed.keys;
}

/** @param {import('./runtime/heap.js').Heap} heap @param {number} type @param {string} tensor */
function typeOf(heap, type, tensor) {
  const known = tensorType(heap, type);
  if (!known) throw new MicrotomeError(`tensor "${tensor}" has type ${type}, which is not known: known are ${Object.values(NAMES).join(', ')} and the other K types`, { code: 'EUNKNOWN' });
  return { typeName: known.name, block: known.block, blockBytes: known.bytes };
}

/**
 * One GGUF, or its splits in order. @param {import('./runtime/heap.js').Heap} heap @param {Source[]} files @param {ByteReader} reader of the first @param {Uint8Array} head what was read of it
 * @param {number} size @param {AbortSignal} [signal] @returns {Promise<Plan>}
 */
async function openGguf(heap, files, reader, head, size, signal) {
  /** @type {{reader: ByteReader}[]} */ const open = [];
  /** @type {RawKey[]} */ let keys = [];
  /** @type {PlannedTensor[]} */ const tensors = [];
  const close = async () => { for (const f of open) await f.reader.close(); };
  try {
    for (let file = 0; file < files.length; file++) {
      if (file) {
        const opened = await openSource(files[file], signal);
        reader = new ByteReader(opened.chunks, opened.name);
        head = new Uint8Array(0);
        size = opened.size;
      }
      open.push({ reader });
      const contents = await collectHeader(heap, reader, head, size);
      if (!file) keys = contents.keys;
      const found = contents.tensors.map((t) => ({ ...t, ...typeOf(heap, t.type, t.name), index: 0, file })).sort((a, b) => a.offset - b.offset);
      tensors.push(...found);
    }
  } catch (error) {
    await close();
    throw error;
  }
  tensors.forEach((t, i) => { t.index = i; });
  return {
    keys, tensors, close, architecture: stringOf(keys, 'general.architecture'),
    async read(t, at, count) {
      const from = t.offset + (at / t.block) * t.blockBytes;
      const { reader: r } = open[t.file];
      if (r.position > from) throw new MicrotomeError(`${r.name}: tensor "${t.name}" begins at byte ${t.offset}, within the one before`, { code: 'EFORMAT', details: { file: r.name, offset: t.offset } });
      await r.skipTo(from, `tensor "${t.name}"`);
      return r.exactly((count / t.block) * t.blockBytes, `tensor "${t.name}"`);
    },
    finish: async () => {},
  };
}

/** @param {import('./runtime/heap.js').Heap} heap @param {ByteReader} reader @param {Uint8Array} head @param {number} size */
async function collectHeader(heap, reader, head, size) {
  let bytes = new Uint8Array(1 << 16), have = head.length, need = 1 << 12;
  bytes.set(head);
  try {
    for (;;) {
      while (have < need) {
        const part = await reader.some(need - have);
        if (!part) throw new MicrotomeError(`GGUF: the header goes on to byte ${need}, the file ends at ${have}`, { code: 'EFORMAT', details: { offset: have } });
        if (have + part.length > bytes.length) {
          const larger = new Uint8Array(Math.max(2 * bytes.length, have + part.length));
          larger.set(bytes.subarray(0, have));
          bytes = larger;
        }
        bytes.set(part, have);
        have += part.length;
        if (size >= 0 && have >= size) break;
      }
      const found = readHeader(heap, bytes.subarray(0, have), size);
      if (typeof found !== 'number') {
        // More than the header was read: give it back.
        reader.unread(bytes.slice(Math.min(have, found.dataStart), have));
        return found;
      }
      if (size >= 0 && found > size) throw new MicrotomeError(`GGUF: the header goes on to byte ${found}, the file ends at ${size}`, { code: 'EFORMAT', details: { offset: size } });
      need = Math.max(found, Math.min(2 * have, size < 0 ? Infinity : size));
    }
  } catch (error) {
    if (error instanceof MicrotomeError) error.message = `${reader.name}: ${error.message}`;
    throw error;
  }
}

/** @param {RawKey[]} keys @param {string} name */
function stringOf(keys, name) {
  const found = keys.find((k) => k.name === name);
  if (!found) return '';
  const skip = 8 + new TextEncoder().encode(name).length;
  return new DataView(found.raw.buffer, found.raw.byteOffset).getUint32(skip, true) === 8 ? new TextDecoder().decode(found.raw.subarray(skip + 12)) : '';
}

/** The parsed config.json among the files. @param {Source[]} files @returns {Promise<any>} */
async function configOf(files) {
  const config = files.find((f) => /(^|[\\/])config\.json$/i.test(f.name));
  if (!config || config.kind === 'stream') return {};
  const { chunks } = await openSource(config);
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of chunks) text += decoder.decode(chunk, { stream: true });
  try {
    return JSON.parse(text);
  } catch {
    return {}; // Python's NaN: the engine reads it, and only token ids are looked for here
  }
}

// ---- which type ---------------------------------------------------------------------------------------------------------------

/** @param {PlannedTensor} t @param {QuantizeType} wanted @param {boolean} kept @returns {{to: number, bytes: number}} */
function targetOf(t, wanted, kept) {
  const count = t.dims.reduce((a, b) => a * b, 1), row = t.dims[0] ?? 1;
  if (kept) return { to: t.type, bytes: (count / t.block) * t.blockBytes };
  /** @type {string} */ let name = wanted;
  const matrix = t.dims.filter((d) => d > 1).length > 1 && t.name.endsWith('.weight') && !t.vector && !PLAIN.some((p) => p.test(t.name));
  if (!matrix) name = 'F32';
  if (row % TYPES[name].block) name = { Q4_K: 'Q5_0', Q5_K: 'Q5_1', Q6_K: 'Q8_0' }[name] ?? name;
  if (row % TYPES[name].block) name = 'F16';
  const { type, block, bytes } = TYPES[name];
  return { to: type, bytes: (count / block) * bytes };
}

// ---- writing ------------------------------------------------------------------------------------------------------------------

/** @typedef {{written: number, write: (bytes: Uint8Array<ArrayBuffer>) => Promise<void>, close: () => Promise<{bytes?: Uint8Array, blob?: Blob}>, abort: (reason: unknown) => Promise<void>}} Sink */

/** @param {'bytes' | 'blob' | WritableStream<Uint8Array>} output @param {number} total @returns {Sink} */
function makeSink(output, total) {
  if (output === 'bytes') {
    /** @type {Uint8Array<ArrayBuffer>} */ let all;
    try {
      all = new Uint8Array(total);
    } catch (error) {
      throw new MicrotomeError(`no memory for a file of ${total} bytes: write to a stream or a Blob`, { code: 'ENOMEM', cause: error });
    }
    /** @type {Sink} */ const sink = { written: 0, async write(bytes) { all.set(bytes, this.written); this.written += bytes.length; }, async close() { return { bytes: all }; }, async abort() {} };
    return sink;
  }
  if (output === 'blob') {
    // Blobs made on the way may live outside of the page's memory.
    /** @type {Blob[]} */ const blobs = [];
    /** @type {Uint8Array<ArrayBuffer>[]} */ let parts = [];
    let held = 0;
    const flush = () => { if (held) blobs.push(new Blob(parts)); parts = []; held = 0; };
    /** @type {Sink} */ const sink = { written: 0, async write(bytes) { parts.push(bytes); held += bytes.length; this.written += bytes.length; if (held > 16 << 20) flush(); }, async close() { flush(); return { blob: new Blob(blobs) }; }, async abort() {} };
    return sink;
  }
  const writer = output.getWriter();
  return {
    written: 0,
    async write(bytes) { await writer.ready; await writer.write(bytes); this.written += bytes.length; },
    async close() { await writer.close(); return {}; },
    async abort(reason) { await writer.abort(reason).catch(() => {}); },
  };
}

/**
 * @param {WorkerClient} client @param {Plan} plan @param {PlannedTensor & {to: number, bytes: number}} t @param {Sink} sink @param {AbortSignal} [signal]
 */
async function writeTensor(client, plan, t, sink, signal) {
  const count = t.dims.reduce((a, b) => a * b, 1), row = t.dims[0] ?? 1;
  const before = sink.written;
  /** Two pieces are under way: one is read or written while the other is converted. @type {Promise<Uint8Array<ArrayBuffer>>[]} */
  const pending = [];
  const settle = async () => sink.write(await /** @type {Promise<Uint8Array<ArrayBuffer>>} */ (pending.shift()));
  try {
    if (plan.read) {
      for (let at = 0; at < count; at += PIECE) {
        throwIfAborted(signal);
        const n = Math.min(PIECE, count - at);
        const bytes = await plan.read(t, at, n);
        pending.push(t.type === t.to ? Promise.resolve(bytes) : client.call('recode', { bytes, from: t.type, to: t.to, count: n }, { transfer: [bytes.buffer] }));
        pending[pending.length - 1].catch(() => {});
        if (pending.length > 2) await settle();
      }
    } else {
      const rows = count / row, step = Math.max(1, Math.floor(PIECE / row)), { block, bytes } = TYPES[NAMES[t.to]];
      for (let at = 0; at < rows; at += step) {
        throwIfAborted(signal);
        const n = Math.min(step, rows - at);
        pending.push(client.call('exportRows', { tensor: t.index, row: at, count: n, type: t.to, bytes: ((n * row) / block) * bytes }));
        pending[pending.length - 1].catch(() => {});
        if (pending.length > 2) await settle();
      }
    }
    while (pending.length) await settle();
  } finally {
    await Promise.allSettled(pending);
  }
  if (sink.written - before !== t.bytes) throw new MicrotomeError(`internal error: tensor "${t.name}" has ${sink.written - before} bytes, expected ${t.bytes}`, { code: 'EWORKER' });
  const gap = padded(t.bytes) - t.bytes;
  if (gap) await sink.write(new Uint8Array(gap));
}
