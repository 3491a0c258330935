// A model in its worker: loading, running, generating, sessions. What else the methods of Model and its companions call is in engine_whole.js.
import { Heap, MicrotomeError, makeMemory, throwIfAborted } from './heap.js';
import { openSource, wholeText } from './open.js';
import { CoreSampler } from './sampler.js';
import { startPool } from './wire.js';

/** @typedef {import('./open.js').Source} Source */
/** @typedef {import('./open.js').PortSource} PortSource */
/** @typedef {import('./sampler.js').SampleOptions} SampleOptions */
/** @typedef {import('./wire.js').Helper} Helper */
/** @typedef {import('./wire.js').Task} Task */

const CHUNK_TOKENS = 128; // rows of one evaluation: small enough to notice an abort, large enough to be fast
const PUSH_BYTES = 1 << 20;

/**
 * @typedef {{at: number, capacity: number, cache: number}} Session
 * A text that a user keeps: forks share a core session, each stands at a slot of its own (-1: before the first token).
 * @typedef {{core: Session & {uses: number}, leaf: number, length: number, tree: number[], row: Float32Array | null}} Held row: logits after the last token, where they are known
 */

export class Engine {
  /** @type {Heap} */ heap = /** @type {any} */ (null);
  pool = 0;
  model = 0;
  name = '';
  context = 0;
  vocab = 0;
  tokenizer = 0;
  threads = 1;
  headless = false;
  cut = CHUNK_TOKENS;
  layers = 0;
  /** @type {Session[]} */ idle = [];
  /** @type {Map<number, Held>} */ held = new Map();
  nextHandle = 1;
  /** Workers that the page has started to be helper threads. @type {Helper[]} */ helpers = [];

  /** @param {{module: WebAssembly.Module, shared: boolean, threads: number, isa?: string}} args */
  async init({ module, shared, threads, isa }) {
    const memory = makeMemory(shared);
    const heap = (this.heap = await Heap.create(module, memory));
    if (isa) heap.call('kernels_use', { ref: heap.enums.MT_ISA_REF, simd: heap.enums.MT_ISA_SIMD, relaxed: heap.enums.MT_ISA_RELAXED }[isa] ?? -1);
    if (shared && threads > 1) ({ pool: this.pool, threads: this.threads } = await startPool(heap, module, this.helpers.filter(Boolean).slice(0, threads - 1)));
    const used = heap.exports.kernels_isa();
    return { threads: this.threads, isa: used === heap.enums.MT_ISA_RELAXED ? 'relaxed' : used === heap.enums.MT_ISA_SIMD ? 'simd' : 'ref' };
  }

  /**
   * Streams the files of a model into the core: a GGUF, its splits in order, or config.json and safetensors of a hub folder.
   * @param {{sources: (Source | PortSource)[]}} args @param {Task} task
   */
  async load({ sources }, task) {
    const heap = this.heap;
    const isConfig = (/** @type {Source | PortSource} */ s) => /\.json$/i.test(s.name) || (s.kind === 'bytes' && s.bytes[0] === 0x7b); // {
    const ordered = [...sources.filter(isConfig), ...sources.filter((s) => !isConfig(s))];
    let loader = 0, file = '';
    const scratch = heap.alloc(PUSH_BYTES);
    try {
      /** @type {Uint8Array | null} */ let config = null;
      for (const source of ordered) {
        file = source.name;
        const opened = await openSource(source, task.signal);
        if (isConfig(source)) {
          config = await wholeText(opened.chunks);
          continue;
        }
        if (!loader) {
          loader = this.#made('loader_new', opened.size, this.pool);
          if (config) this.withBytes(config, (at, n) => heap.call('loader_config', loader, at, n));
        } else heap.call('loader_next_file', loader, opened.size);
        let loaded = 0, told = 0;
        const progress = (/** @type {string} */ phase) => task.event('progress', { phase, loaded, total: opened.size < 0 ? null : opened.size, file });
        progress('download');
        for await (const chunk of opened.chunks) {
          for (let at = 0; at < chunk.length; at += PUSH_BYTES) {
            const part = chunk.subarray(at, at + PUSH_BYTES);
            heap.putBytes(scratch, part);
            heap.call('loader_push', loader, scratch, part.length);
            loaded += part.length;
            await task.breathe();
          }
          throwIfAborted(task.signal);
          const now = performance.now();
          if (now - told > 50) {
            told = now;
            progress('download');
          }
        }
        progress('prepare');
      }
      if (!loader) throw new MicrotomeError('no file with weights was given', { code: 'ERANGE' });
      const finished = loader;
      loader = 0; // freed by finish in every case
      this.model = this.#made('loader_finish', finished);
    } catch (error) {
      if (error instanceof MicrotomeError && file && !error.details.file) {
        error.message = `${file}: ${error.message}`;
        error.details = { file, ...error.details };
      }
      throw error;
    } finally {
      if (loader) heap.exports.loader_free(loader);
      heap.release(scratch);
    }
    this.name = file;
    const info = this.#info();
    const eos = ['eos', 'eot', 'eom'].map((name) => heap.scope((alloc) => heap.exports.model_key(this.model, heap.putCString(alloc, `tokenizer.ggml.${name}_token_id`)))).filter((id) => id >= 0);
    task.event('progress', { phase: 'ready', loaded: info.weightBytes, total: info.weightBytes, file });
    return { info, eos: [...new Set(eos)], name: file };
  }

  /** @protected @param {Uint8Array} bytes @param {(at: number, n: number) => void} body */
  withBytes(bytes, body) {
    this.heap.scope((alloc) => {
      const at = alloc(bytes.length);
      this.heap.putBytes(at, bytes);
      body(at, bytes.length);
    });
  }

  #info() {
    const heap = this.heap;
    return heap.scope((alloc) => {
      const at = alloc(heap.sizeOf('mt_model_info'));
      heap.call('model_info', this.model, at);
      const i = heap.read('mt_model_info', at);
      this.context = i.context;
      this.vocab = i.vocab;
      this.encoderLayers = i.encoder_layers;
      this.decoderStart = i.decoder_start;
      this.headless = i.headless !== 0;
      this.cut = i.bidirectional ? Infinity : CHUNK_TOKENS; // an encoder reads a whole text at once
      this.layers = i.layers;
      return {
        architecture: heap.cstring(i.architecture), name: heap.cstring(i.name), layers: i.layers, width: i.width, heads: i.heads, kvHeads: i.kv_heads,
        headWidth: i.head_width, ffnWidth: i.ffn_width, vocab: i.vocab, context: i.context, parameters: i.parameters, weightBytes: i.weight_bytes,
        weightType: heap.cstring(i.weight_type),
        ...(i.segments > 0 && { segments: i.segments }), ...(i.bidirectional && { bidirectional: true }), ...(i.headless && { headless: true }),
        ...(i.encoder_layers > 0 && { encoderLayers: i.encoder_layers, decoderStart: i.decoder_start < 0 ? null : i.decoder_start }),
      };
    });
  }

  /**
   * A tokenizer in the binary form, so that making its tables keeps no page waiting: the model's, or a hub folder's.
   * @param {{definition?: Uint8Array[]}} args its bytes, its name's bytes
   */
  tokenizerFile({ definition }) {
    const heap = this.heap;
    const tokenizer = definition ? heap.scope((alloc) => this.#made('tok_load', ...definition.flatMap((bytes) => {
      const at = alloc(bytes.length);
      heap.putBytes(at, bytes);
      return [at, bytes.length];
    }), 0, 0, 0, 0, -1)) : this.ownTokenizer();
    this.tokenizer = 0; // made again for those who want one here
    try {
      return this.#written('tok_to_binary', tokenizer);
    } finally {
      heap.exports.tok_free(tokenizer);
    }
  }

  /** What a function of the module makes. @param {string} name @param {...any} args @returns {number} its handle */
  #made(name, ...args) {
    return this.heap.scope((alloc) => {
      const out = alloc(4);
      this.heap.call(name, ...args, out);
      return this.heap.u32(out);
    });
  }

  /** What a function of the module writes into a buffer. @param {string} name @param {...any} args @returns {Uint8Array} */
  #written(name, ...args) {
    const heap = this.heap, buf = heap.make('mt_buf');
    try {
      heap.call(name, ...args, buf);
      const { data, len } = heap.read('mt_buf', buf);
      return heap.bytes(data, len);
    } finally {
      heap.exports.buf_free(buf);
      heap.release(buf);
    }
  }

  describe() {
    return JSON.parse(this.heap.printed('model_describe', this.model));
  }

  traceNames() {
    return this.heap.printed('trace_names', this.model).split('\n').filter(Boolean);
  }

  // ---- sessions: used ones are kept, since their caches cost time to allocate ----

  /** @protected @param {number} tokens @param {number} [batch] rows at once, in a session of its own @param {number} [cache] kind of cache @returns {Session} */
  open(tokens, batch = 0, cache = 0) {
    const heap = this.heap;
    const capacity = tokens <= 1024 ? Math.max(64, 2 ** Math.ceil(Math.log2(tokens))) : 512 * Math.ceil(tokens / 512);
    if (!batch) {
      const found = this.idle.findIndex((s) => s.cache === cache && s.capacity >= tokens && s.capacity <= 4 * capacity);
      if (found >= 0) return this.idle.splice(found, 1)[0];
    }
    const make = () => this.#made('session_new', this.model, this.pool, capacity, batch || Math.min(CHUNK_TOKENS, capacity), cache);
    try {
      return { at: make(), capacity, cache };
    } catch (error) {
      if (!this.idle.length) throw error;
      for (const s of this.idle.splice(0)) heap.exports.session_free(s.at); // make room
      return { at: make(), capacity, cache };
    }
  }

  /** @protected @param {Session} session @param {boolean} [keep] */
  close(session, keep = true) {
    if (keep && this.idle.length < 2) {
      this.heap.call('session_reset', session.at);
      this.idle.push(session);
    } else this.heap.exports.session_free(session.at);
  }

  /** @protected @param {ArrayLike<number>} ids */
  check(ids) {
    if (!ids.length) throw new MicrotomeError('no tokens: at least one is needed', { code: 'ERANGE' });
    for (let i = 0; i < ids.length; i++)
      if (!(ids[i] >= 0 && ids[i] < this.vocab && Number.isInteger(ids[i])))
        throw new MicrotomeError(`token ${i}: id ${ids[i]} is outside 0..${this.vocab - 1}`, { code: 'ERANGE', details: { index: i } });
  }

  /**
   * Appends ids to a session's chain, cut so that aborts are seen. Calls `rows` after each cut with the logits of its wanted rows.
   * @param {Session} session @param {ArrayLike<number>} ids @param {number} parent slot that the first follows
   * @param {'last' | 'all' | 'none'} want @param {Task} task @param {number} cut @param {(row: number, at: number) => void} row called with logits of a wanted row
   * @param {(slot: number) => void} [moved] called with the last slot after each cut
   * @returns {Promise<number>} slot of the last token
   */
  async #feed(session, ids, parent, want, task, cut, row, moved = () => {}) {
    const heap = this.heap;
    for (let start = 0; start < ids.length; start += cut) {
      const part = Array.prototype.slice.call(ids, start, start + cut);
      const n = part.length;
      parent = heap.scope((alloc) => {
        const tokens = alloc(4 * n), slots = alloc(4 * n), wants = alloc(n);
        heap.putInts(tokens, part);
        heap.u8.fill(want === 'all' ? 1 : 0, wants, wants + n);
        if (want !== 'none' && start + n === ids.length) heap.u8[wants + n - 1] = 1;
        heap.call('session_chain', session.at, n, tokens, parent, wants, slots);
        for (let i = 0; i < n; i++) {
          const at = want === 'all' || (want === 'last' && start + i === ids.length - 1) ? heap.exports.session_logits(session.at, i) >>> 0 : 0;
          if (at) row(start + i, at);
        }
        heap.refresh();
        return heap.view.getInt32(slots + 4 * (n - 1), true);
      });
      moved(parent);
      await task.breathe();
    }
    return parent;
  }

  /**
   * @param {{ids: ArrayLike<number>, decoderIds?: ArrayLike<number> | null, typeIds?: ArrayLike<number> | null, all?: boolean, trace?: string[],
   *   patch?: import('../patch.js').PlainPatch[], stopAt?: string}} args
   * @param {Task} task
   */
  async run({ ids: given, decoderIds = null, typeIds = null, all = false, trace = [], patch = [], stopAt }, task) {
    const heap = this.heap;
    this.check(given);
    if (decoderIds && !this.encoderLayers) throw new MicrotomeError('run: decoderIds: this model has no encoder beside a decoder', { code: 'ESTATE' });
    const ids = this.encoderLayers ? (decoderIds ?? this.#decoderStart()) : given;
    this.check(ids);
    const special = trace.length > 0 || patch.length > 0 || stopAt !== undefined; // whole sequence in one evaluation, in a session of its own
    const session = this.open(ids.length, special ? ids.length : 0);
    try {
      for (const glob of trace) heap.scope((alloc) => heap.call('trace_want', session.at, heap.putCString(alloc, glob)));
      for (const p of patch) this.#patch(session, p);
      if (stopAt !== undefined) heap.scope((alloc) => heap.call('stop_at', session.at, heap.putCString(alloc, stopAt)));
      const vocab = this.vocab;
      const want = stopAt !== undefined || (this.headless && trace.length) ? 'none' : all ? 'all' : 'last';
      const logits = new Float32Array(want === 'none' ? 0 : vocab * (all ? ids.length : 1));
      if (typeIds) this.segment(session, typeIds, ids.length);
      /** @type {Record<string, {shape: number[], data: Float32Array}>} */
      const traces = {};
      if (this.encoderLayers) {
        this.#encode(session, given);
        if (special) this.#traces(session, traces);
      }
      if (stopAt === undefined || !(stopAt in traces)) {
        await this.#feed(session, ids, heap.enums.MT_ROOT, want, task, special ? ids.length : this.cut, (row, at) => logits.set(heap.floats(at, vocab), all ? row * vocab : 0));
        if (special) this.#traces(session, traces);
      }
      const lost = trace.find((name) => !/[*?]/.test(name) && !(name in traces));
      if (lost !== undefined) throw new MicrotomeError(`run: ${lost} is not computed between where the run starts and where it stops`, { code: 'ESTATE' });
      return { logits, vocab, traces };
    } finally {
      this.close(session, !special);
    }
  }

  /**
   * ln p(ids[i] | ids[0..i)) for i from `start` on, in double from the logits. The last id is scored and not evaluated.
   * @param {{ids: ArrayLike<number>, start?: number}} args @param {Task} task @returns {Promise<Float64Array>}
   */
  async logProbs({ ids, start = 1 }, task) {
    const heap = this.heap, n = ids.length;
    this.check(ids);
    if (this.encoderLayers) throw new MicrotomeError('logProbs: an encoder-decoder model gives no probability to a text alone', { code: 'ESTATE' });
    if (!(start >= 1 && start <= n)) throw new MicrotomeError(`logProbs: start is ${start}, expected 1 to ${n}: the first token has nothing before it`, { code: 'ERANGE' });
    const out = new Float64Array(n - start);
    if (!out.length) return out;
    const session = this.open(n - 1);
    try {
      let parent = heap.enums.MT_ROOT;
      const log = heap.alloc(8 * this.vocab);
      try {
        const score = (/** @type {number} */ i, /** @type {number} */ at) => {
          heap.exports.log_softmax(at, log, this.vocab);
          heap.refresh();
          out[i + 1 - start] = heap.view.getFloat64(log + 8 * ids[i + 1], true);
        };
        const head = Array.prototype.slice.call(ids, 0, start - 1), tail = Array.prototype.slice.call(ids, start - 1, n - 1);
        if (head.length) parent = await this.#feed(session, head, parent, 'none', task, CHUNK_TOKENS, () => {});
        await this.#feed(session, tail, parent, 'all', task, CHUNK_TOKENS, (row, at) => score(start - 1 + row, at));
      } finally {
        heap.release(log);
      }
      return out;
    } finally {
      this.close(session);
    }
  }

  /** @protected Which text each token of the next evaluation belongs to. @param {Session} session @param {ArrayLike<number>} typeIds @param {number} n */
  segment(session, typeIds, n) {
    if (typeIds.length !== n) throw new MicrotomeError(`typeIds: ${typeIds.length} for ${n} tokens`, { code: 'ERANGE' });
    this.heap.scope((alloc) => {
      const at = alloc(4 * n);
      this.heap.putInts(at, typeIds);
      this.heap.call('session_segments', session.at, at, n);
    });
  }

  /** The name of what a model has understood of each token: its last layer after the final norm. */
  #hiddenName() {
    const names = this.traceNames(), scope = this.encoderLayers ? 'encoder.' : '', last = (this.encoderLayers || this.layers) - 1;
    const found = [`${scope}ln_final.hook_normalized`, `${scope}blocks.${last}.hook_resid_post`].find((name) => names.includes(name));
    if (!found) throw new MicrotomeError('embed: this architecture names no hidden states', { code: 'EUNSUPPORTED' });
    return found;
  }

  /**
   * One vector for each text, pooled in double from the last hidden states.
   * @param {{lists: number[][], typeIds?: number[][] | null, pooling: 'mean' | 'cls' | 'last', normalize: boolean}} args @param {Task} task @returns {Promise<{shape: [number, number], data: Float32Array}>}
   */
  async embed({ lists, typeIds = null, pooling, normalize }, task) {
    const heap = this.heap;
    lists.forEach((ids) => this.check(ids));
    const name = this.#hiddenName();
    /** @type {Float32Array | null} */ let out = null;
    let width = 0;
    for (const [i, ids] of lists.entries()) {
      const session = this.open(this.encoderLayers ? 1 : ids.length, this.encoderLayers ? 1 : ids.length);
      try {
        heap.scope((alloc) => heap.call('trace_want', session.at, heap.putCString(alloc, name)));
        /** @type {Record<string, {shape: number[], data: Float32Array}>} */
        const traces = {};
        if (typeIds) this.segment(session, typeIds[i], ids.length);
        if (this.encoderLayers) this.#encode(session, ids);
        else await this.#feed(session, ids, heap.enums.MT_ROOT, 'none', task, ids.length, () => {});
        this.#traces(session, traces);
        const { shape: [rows, columns], data } = traces[name];
        out ??= new Float32Array(lists.length * (width = columns));
        const sum = new Float64Array(width), from = pooling === 'last' ? rows - 1 : 0, to = pooling === 'cls' ? 1 : rows;
        for (let t = from; t < to; t++) for (let d = 0; d < width; d++) sum[d] += data[t * width + d];
        const length = normalize ? Math.sqrt(sum.reduce((s, x) => s + x * x, 0)) : to - from;
        for (let d = 0; d < width; d++) out[i * width + d] = length > 0 ? sum[d] / length : 0;
      } finally {
        this.close(session, false);
      }
      await task.breathe();
    }
    return { shape: [lists.length, width], data: out ?? new Float32Array(0) };
  }

  /** What the last evaluation left, by name. @param {Session} session @param {Record<string, {shape: number[], data: Float32Array}>} traces */
  #traces(session, traces) {
    const heap = this.heap;
    heap.scope((alloc) => {
      const at = alloc(heap.sizeOf('mt_traced'));
      for (let i = 0, count = heap.exports.trace_count(session.at); i < count; i++) {
        heap.call('trace_get', session.at, i, at);
        const { name, n_dims, data } = heap.read('mt_traced', at);
        const shape = heap.array('mt_traced', at, 'dims').slice(0, n_dims);
        traces[heap.cstring(name)] = { shape, data: heap.floats(data, shape.reduce((a, b) => a * b, 1)) };
      }
    });
  }

  /** The source text of an encoder-decoder model. @param {Session} session @param {ArrayLike<number>} ids */
  #encode(session, ids) {
    const heap = this.heap;
    heap.scope((alloc) => {
      const tokens = alloc(4 * ids.length);
      heap.putInts(tokens, ids);
      heap.call('session_encode', session.at, tokens, ids.length);
    });
  }

  /** What the decoder starts from. */
  #decoderStart() {
    if (this.decoderStart < 0) throw new MicrotomeError('the model does not say which token its decoder starts from: give decoderIds', { code: 'EMISSING' });
    return [this.decoderStart];
  }

  /** @param {Session} session @param {import('../patch.js').PlainPatch} patch */
  #patch(session, { name, kind, index, offset, count, values, aligned, given, axis, seed }) {
    const heap = this.heap, e = heap.enums;
    const kinds = { replace: e.MT_PATCH_REPLACE, add: e.MT_PATCH_ADD, scale: e.MT_PATCH_SCALE, zero: e.MT_PATCH_ZERO, mean: e.MT_PATCH_MEAN, resample: e.MT_PATCH_RESAMPLE };
    heap.scope((alloc) => {
      const at = alloc(heap.sizeOf('mt_patch')), text = heap.putCString(alloc, name), value = alloc(Math.max(4, values.byteLength));
      new Float32Array(heap.buffer, value, values.length).set(values);
      heap.u8.fill(0, at, at + heap.sizeOf('mt_patch'));
      const where = (/** @type {string} */ field) => at + heap.field('mt_patch', field).offset;
      const fields = { name: text, kind: kinds[kind], dims: index?.length ?? 0, offset, count: count ?? -1, value, values: values.length, axis };
      for (const [field, x] of Object.entries(fields)) heap.view.setUint32(where(field), x, true);
      index?.forEach(([from, to], d) => {
        heap.view.setInt32(where('from') + 4 * d, from, true);
        heap.view.setInt32(where('to') + 4 * d, to, true);
      });
      heap.u8[where('aligned')] = Number(aligned);
      heap.u8[where('given')] = Number(given);
      heap.view.setBigUint64(where('seed'), BigInt(seed), true);
      heap.call('patch_add', session.at, at);
    });
  }

  /**
   * Streams {id, last, logProb} of sampled tokens.
   * @param {{ids: ArrayLike<number>, maxTokens: number, sample: SampleOptions, stop: number[], logProbs: boolean, handle?: number, kv?: string, heal?: {tokens: number, classic: boolean}}} args
   *   handle: a session that goes on; heal: so many of the last ids are given up, and what they spell is generated anew; the first part then says how many are {kept}
   * @param {Task} task
   */
  async generate(args, task) {
    const heap = this.heap;
    if (args.handle === undefined || args.ids.length) this.check(args.ids);
    const aligner = args.heal ? this.#aligner(args.ids, args.heal) : null;
    try {
      if (aligner) await task.part({ kept: aligner.kept });
      return await this.#generateFrom(args, aligner, task);
    } finally {
      if (aligner) heap.exports.align_free(aligner.at);
    }
  }

  /** @param {Parameters<Engine['generate']>[0]} args @param {{at: number, kept: number} | null} aligner @param {Task} task @returns {Promise<{reason: string}>} */
  async #generateFrom(args, aligner, task) {
    const heap = this.heap;
    const { maxTokens, stop } = args;
    const held = args.handle === undefined ? null : this.#heldAt(args.handle);
    const given = aligner ? Array.prototype.slice.call(args.ids, 0, aligner.kept) : args.ids;
    const ids = !held && this.encoderLayers ? this.#decoderStart() : given; // of the text that grows
    if (maxTokens <= 0 && !held) return { reason: 'length' };
    const cache = this.#cacheKind(args.kv);
    // The trained context is no limit where positions are rotary, as elsewhere; the core knows where it is one.
    let total = maxTokens; // the last token drawn needs no slot
    /** @type {Session} */ let session;
    if (held) session = held.core;
    else
      try {
        session = this.open(ids.length + total - 1, 0, cache);
      } catch (error) {
        total = Math.max(1, this.context - ids.length + 1);
        if (!(error instanceof MicrotomeError) || total >= maxTokens) throw error;
        session = this.open(ids.length + total - 1, 0, cache); // too much memory, or more than a cache may have: what the model was trained for
      }
    /** @type {CoreSampler | null} */ let sampler = null;
    let slot = held ? held.leaf : heap.enums.MT_ROOT;
    /** @type {Float32Array | null} */ let row = null; // logits after `slot`, of a kept session
    const moved = (/** @type {number} */ at) => { slot = at; };
    try {
      let id = -1, logProb = 0, reason = 'length';
      const own = sampler = new CoreSampler(heap, this.vocab, args.sample);
      if (held) own.accept(this.#tokensOf(held).tokens);
      own.accept(ids);
      const keep = (/** @type {number} */ _, /** @type {number} */ at) => { row = held && heap.floats(at, this.vocab); };
      const pick = (/** @type {number} */ i, /** @type {number} */ at) => {
        keep(i, at);
        const left = aligner ? this.#maskTo(aligner, at) : 0;
        ({ id, logProb } = own.draw(at, args.logProbs));
        if (aligner && left) heap.call('align_accept', aligner.at, id);
        own.accept([id]);
      };
      const feed = (/** @type {number} */ next, use = pick) => this.#feed(session, [next], slot, 'last', task, 1, use, moved);
      if (this.encoderLayers && !held) this.#encode(session, args.ids);
      if (maxTokens <= 0) {
        if (ids.length) await this.#feed(session, ids, slot, 'last', task, CHUNK_TOKENS, keep, moved);
        return { reason };
      }
      if (ids.length) await this.#feed(session, ids, slot, 'last', task, CHUNK_TOKENS, pick, moved);
      else this.#again(/** @type {Held} */ (held), (at) => pick(0, at));
      for (let i = 0; ; i++) {
        const drawn = { id, ...(args.logProbs && { logProb }) };
        const stopped = stop.includes(id);
        let last = stopped || i === total - 1, fed = false;
        if (stopped) reason = 'stop';
        else if (last && total < maxTokens) reason = 'context';
        else if (!last && (held || ids.length + i >= this.context)) {
          // Learned positions or slots may be used up: find out first, so that the last token is known as the last.
          try {
            await feed(id);
            fed = true;
          } catch (error) {
            if (!(error instanceof MicrotomeError && error.code === 'ELIMIT')) throw error;
            last = true;
            reason = 'context';
          }
        }
        await task.part({ ...drawn, last });
        if (last) {
          if (held && reason !== 'context') await feed(drawn.id, keep); // a kept session holds all that was given out
          return { reason };
        }
        if (!fed) await feed(id);
      }
    } finally {
      sampler?.free();
      if (held) {
        if (slot !== held.leaf || row) {
          this.#stand(held, slot);
          held.row = row;
        }
      } else this.close(session);
    }
  }

  /** The file's tokenizer, in this memory. @protected */
  ownTokenizer() {
    const heap = this.heap;
    if (!this.tokenizer) {
      const gguf = heap.exports.model_gguf(this.model) >>> 0;
      if (!gguf) throw new MicrotomeError(`${this.name}: the file carries no tokenizer`, { code: 'EMISSING', details: { file: this.name } });
      this.tokenizer = this.#made('tok_load_gguf', gguf);
    }
    return this.tokenizer;
  }

  /** Masks for healing. @param {ArrayLike<number>} ids the prompt @param {{tokens: number, classic: boolean}} heal @returns {{at: number, kept: number}} */
  #aligner(ids, { tokens, classic }) {
    const heap = this.heap;
    return heap.scope((alloc) => {
      const out = alloc(8), list = alloc(4 * ids.length);
      heap.call('align_new', this.ownTokenizer(), this.vocab, Number(classic), out);
      const at = heap.u32(out);
      try {
        heap.putInts(list, ids);
        heap.call('align_begin', at, list, ids.length, tokens, out + 4);
        const kept = heap.u32(out + 4);
        if (!kept) throw new MicrotomeError('healing: nothing would be left of the prompt: it begins without a special token', { code: 'ERANGE' });
        return { at, kept };
      } catch (error) {
        heap.exports.align_free(at);
        throw error;
      }
    });
  }

  /** Only tokens that reproduce what was given up stay possible. @param {{at: number}} aligner @param {number} logits their address @returns {number} bytes still to be reproduced */
  #maskTo(aligner, logits) {
    return this.heap.scope((alloc) => {
      const left = alloc(4);
      this.heap.call('align_apply', aligner.at, logits, this.vocab, left);
      return this.heap.u32(left);
    });
  }

  // ---- sessions that users keep: texts that go on, fork, go back, forget ----

  /** @param {string | undefined} kv */
  #cacheKind(kv = 'f32') {
    const kinds = { f32: this.heap.enums.MT_CACHE_F32, f16: this.heap.enums.MT_CACHE_F16, q8: this.heap.enums.MT_CACHE_Q8 };
    if (!Object.hasOwn(kinds, kv)) throw new MicrotomeError(`kv: unknown kind ${JSON.stringify(kv)}: known are ${Object.keys(kinds).join(', ')}`, { code: 'EUNKNOWN' });
    return kinds[/** @type {'f32'} */ (kv)];
  }

  /** @param {number} handle */
  #heldAt(handle) {
    const found = this.held.get(handle);
    if (!found) throw new MicrotomeError('this session has been disposed of', { code: 'ESTATE' });
    for (const slot of found.tree.splice(0).reverse()) this.heap.exports.session_release(found.core.at, slot); // a tree that was not taken
    return found;
  }

  /** Moves to another slot: it is held from now on, the old one no longer. @param {Held} held @param {number} slot */
  #stand(held, slot) {
    const { exports } = this.heap;
    held.row = null;
    if (slot !== held.leaf) {
      exports.session_hold(held.core.at, slot);
      exports.session_release(held.core.at, held.leaf);
      held.leaf = slot;
    }
    held.length = exports.session_chain_of(held.core.at, slot, 0, 0, 0);
    return this.#report(held);
  }

  /** What the page wants to know after every change. @param {Held} held */
  #report(held) {
    return { length: held.length, free: this.heap.exports.session_free_slots(held.core.at) };
  }

  /** @param {Held} held @returns {{slots: Int32Array, tokens: Int32Array, positions: Int32Array}} */
  #tokensOf(held) {
    const heap = this.heap, n = held.length;
    return heap.scope((alloc) => {
      const at = [0, 1, 2].map(() => alloc(Math.max(4, 4 * n)));
      heap.exports.session_chain_of(held.core.at, held.leaf, ...at);
      const [slots, tokens, positions] = at.map((p) => heap.ints(p, n));
      return { slots, tokens, positions };
    });
  }

  /** @param {{slots?: number, kv?: string, state?: Uint8Array, source?: number[]}} args */
  sessionOpen({ slots = 0, kv, state, source }) {
    const heap = this.heap;
    if (this.encoderLayers && !source && !state) throw new MicrotomeError('session: an encoder-decoder model needs a source text', { code: 'EMISSING' });
    if (!this.encoderLayers && source) throw new MicrotomeError('session: source: this model has no encoder beside a decoder', { code: 'ESTATE' });
    if (source) this.check(source);
    const cache = this.#cacheKind(kv);
    const at = this.#made('session_new', this.model, this.pool, slots, CHUNK_TOKENS, cache);
    const core = { at, capacity: heap.exports.session_slots(at), cache, uses: 1 };
    /** @type {Held} */ const held = { core, leaf: heap.enums.MT_ROOT, length: 0, tree: [], row: null };
    try {
      if (state) {
        const leaf = heap.scope((alloc) => {
          const out = alloc(4), bytes = alloc(state.length);
          heap.putBytes(bytes, state);
          heap.call('session_restore', at, bytes, state.length, out);
          return heap.view.getInt32(out, true);
        });
        this.#stand(held, leaf);
      } else if (source) this.#encode(core, source);
    } catch (error) {
      heap.exports.session_free(at);
      throw error;
    }
    const handle = this.nextHandle++;
    this.held.set(handle, held);
    return { handle, ...this.#report(held), info: this.#sessionInfo(core) };
  }

  /** @param {Session} core */
  #sessionInfo(core) {
    const heap = this.heap;
    return heap.scope((alloc) => {
      const at = alloc(heap.sizeOf('mt_session_info'));
      heap.call('session_info', core.at, at);
      const i = heap.read('mt_session_info', at);
      return { slots: i.slots, kv: heap.cstring(i.cache), cacheBytes: i.cache_bytes, slotBytes: i.slot_bytes, stateBytes: i.state_bytes, memoryBytes: i.memory_bytes, scratchBytes: i.scratch_bytes };
    });
  }

  /** @param {{handle: number}} args */
  sessionInfo({ handle }) {
    const held = this.#heldAt(handle);
    return { ...this.#report(held), info: this.#sessionInfo(held.core) };
  }

  /** @param {{handle: number}} args */
  sessionClose({ handle }) {
    if (!this.held.has(handle)) return;
    const held = this.#heldAt(handle);
    this.held.delete(handle);
    this.heap.exports.session_release(held.core.at, held.leaf);
    if (--held.core.uses === 0) this.heap.exports.session_free(held.core.at);
  }

  /** @param {{handle: number}} args */
  sessionFork({ handle }) {
    const from = this.#heldAt(handle);
    this.heap.exports.session_hold(from.core.at, from.leaf);
    from.core.uses++;
    const other = this.nextHandle++;
    this.held.set(other, { ...from, tree: [] }); // the same core
    return { handle: other, ...this.#report(from), info: this.#sessionInfo(from.core) };
  }

  /**
   * @param {{handle: number, ids: ArrayLike<number>, want: 'last' | 'all' | 'none' | 'scores', trace?: string[], patch?: any[]}} args @param {Task} task
   * want 'scores': of each token ln p given those before it, instead of logits
   */
  async sessionAppend({ handle, ids, want, trace = [], patch = [] }, task) {
    const heap = this.heap, held = this.#heldAt(handle), { core } = held, vocab = this.vocab;
    this.check(ids);
    let slot = held.leaf;
    const special = trace.length > 0 || patch.length > 0;
    const scores = want === 'scores' ? new Float64Array(ids.length).fill(NaN) : null;
    const logits = new Float32Array(want === 'all' ? vocab * ids.length : want === 'last' ? vocab : 0);
    const log = scores ? heap.alloc(8 * vocab) : 0;
    const score = (/** @type {number} */ i, /** @type {number} */ at) => {
      if (!scores || i >= ids.length) return;
      heap.exports.log_softmax(at, log, vocab);
      heap.refresh();
      scores[i] = heap.view.getFloat64(log + 8 * ids[i], true);
    };
    /** @type {Record<string, {shape: number[], data: Float32Array}>} */
    const traces = {};
    try {
      for (const glob of trace) heap.scope((alloc) => heap.call('trace_want', core.at, heap.putCString(alloc, glob)));
      for (const p of patch) this.#patch(core, p);
      if (scores && held.length) this.#again(held, (at) => score(0, at));
      /** @type {Float32Array | null} */ let last = null;
      const row = (/** @type {number} */ i, /** @type {number} */ at) => {
        if (i === ids.length - 1) last = heap.floats(at, vocab);
        if (scores) score(i + 1, at);
        else logits.set(heap.floats(at, vocab), want === 'all' ? i * vocab : 0);
      };
      await this.#feed(core, ids, held.leaf, want === 'scores' ? 'all' : want, task, special ? ids.length : this.cut, row, (at) => { slot = at; });
      if (trace.length) this.#traces(core, traces);
      const report = this.#stand(held, slot);
      if (!special) held.row = last;
      return { ...report, result: scores ?? { logits, vocab, traces } };
    } catch (error) {
      if (slot !== held.leaf) heap.exports.session_release(core.at, slot); // all or nothing
      throw error;
    } finally {
      if (log) heap.release(log);
      if (special) {
        heap.exports.trace_clear(core.at);
        heap.exports.patch_clear(core.at);
      }
    }
  }

  /** The last token once more, for its logits; the session stays as it is. @param {Held} held @param {(at: number) => void} use */
  #again(held, use) {
    const heap = this.heap, { row } = held;
    if (row)
      return heap.scope((alloc) => {
        const at = alloc(4 * this.vocab);
        new Float32Array(heap.buffer, at, this.vocab).set(row);
        use(at);
      });
    if (!held.length) throw new MicrotomeError('the session is empty: nothing has been read yet', { code: 'ERANGE' });
    const { slots, tokens, positions } = this.#tokensOf(held), n = held.length;
    const slot = this.#eval(held.core, [tokens[n - 1]], [n > 1 ? slots[n - 2] : heap.enums.MT_ROOT], [positions[n - 1]], (_, at) => use(at))[0];
    heap.exports.session_release(held.core.at, slot);
  }

  /** Rows in one call, all with logits. @param {Session} core @param {ArrayLike<number>} tokens @param {number[]} parents as the core has them @param {ArrayLike<number> | null} positions
   * @param {(row: number, at: number) => void} row @returns {number[]} slots */
  #eval(core, tokens, parents, positions, row) {
    const heap = this.heap, n = tokens.length;
    return heap.scope((alloc) => {
      const at = [0, 1, 2, 3].map(() => alloc(4 * n)), wants = alloc(n);
      heap.putInts(at[0], tokens);
      heap.putInts(at[1], parents);
      if (positions) heap.putInts(at[2], positions);
      heap.u8.fill(1, wants, wants + n);
      heap.call('session_eval', core.at, n, at[0], at[1], positions ? at[2] : 0, wants, at[3]);
      for (let i = 0; i < n; i++) row(i, heap.exports.session_logits(core.at, i) >>> 0);
      return [...heap.ints(at[3], n)];
    });
  }

  /** @param {{handle: number}} args */
  sessionLogits({ handle }) {
    const held = this.#heldAt(handle);
    /** @type {Float32Array} */ let logits = new Float32Array(0);
    this.#again(held, (at) => { logits = this.heap.floats(at, this.vocab); });
    return logits;
  }

  /** @param {{handle: number, tokens: number[], parents: number[], positions?: number[] | null}} args */
  sessionTree({ handle, tokens, parents, positions = null }) {
    const heap = this.heap, held = this.#heldAt(handle), vocab = this.vocab;
    this.check(tokens);
    const logits = new Float32Array(tokens.length * vocab);
    held.tree = this.#eval(held.core, tokens, parents.map((p) => (p < 0 ? held.leaf : -2 - p)), positions, (i, at) => logits.set(heap.floats(at, vocab), i * vocab)); // MT_IN_BATCH
    return { ...this.#report(held), result: { logits, vocab } };
  }

  /** The session goes on from a token of the last tree; the rest of the tree is forgotten. @param {{handle: number, index: number}} args */
  sessionTake({ handle, index }) {
    const held = this.held.get(handle), slot = held?.tree[index];
    if (!held || slot === undefined) throw new MicrotomeError(`take: there is no tree, or no token ${index} in it`, { code: 'ESTATE' });
    const old = held.leaf, { exports } = this.heap;
    exports.session_hold(held.core.at, slot);
    held.leaf = slot;
    for (const other of held.tree.splice(0).reverse()) if (other !== slot) exports.session_release(held.core.at, other);
    exports.session_release(held.core.at, old);
    return this.#stand(held, slot);
  }

  /** Back to the first `length` tokens. Where a recurrent model keeps no state the tokens since the last one are read again. @param {{handle: number, length: number}} args @param {Task} task */
  async sessionRewind({ handle, length }, task) {
    const heap = this.heap, held = this.#heldAt(handle), { core } = held;
    if (!(length >= 0 && length <= held.length)) throw new MicrotomeError(`rewind: ${length} tokens of ${held.length}`, { code: 'ERANGE' });
    const { slots, tokens } = this.#tokensOf(held);
    let known = length;
    while (known > 0 && !heap.exports.session_continues(core.at, slots[known - 1])) known--;
    let slot = known ? slots[known - 1] : heap.enums.MT_ROOT;
    const from = slot;
    /** @type {Float32Array | null} */ let row = null;
    try {
      if (known < length) await this.#feed(core, tokens.slice(known, length), slot, 'last', task, CHUNK_TOKENS, (_, at) => { row = heap.floats(at, this.vocab); }, (at) => { slot = at; });
    } catch (error) {
      if (slot !== from) heap.exports.session_release(core.at, slot);
      throw error;
    }
    const report = this.#stand(held, slot);
    held.row = row;
    return report;
  }

  /** @param {Held} held @param {number} head @param {number} keep @param {number} delta */
  #join(held, head, keep, delta) {
    const heap = this.heap;
    held.leaf = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('session_join', held.core.at, head, held.leaf, keep, delta, out);
      return heap.view.getInt32(out, true);
    });
    return this.#stand(held, held.leaf);
  }

  /** Tokens first .. first + count are forgotten; with `delta` those after them move. @param {{handle: number, first: number, count: number, delta: number}} args */
  sessionCut({ handle, first, count, delta }) {
    const held = this.#heldAt(handle), n = held.length;
    if (!(first >= 0 && count >= 0 && first + count <= n)) throw new MicrotomeError(`tokens ${first} to ${first + count} of ${n}`, { code: 'ERANGE' });
    if (!n) return this.#report(held);
    const { slots } = this.#tokensOf(held);
    return this.#join(held, first ? slots[first - 1] : this.heap.enums.MT_ROOT, n - first - count, delta);
  }

  /** @param {{handle: number, at: number, ids: ArrayLike<number>}} args @param {Task} task */
  async sessionInsert({ handle, at, ids }, task) {
    const heap = this.heap, held = this.#heldAt(handle), { core } = held, n = held.length;
    this.check(ids);
    if (!(at >= 0 && at <= n)) throw new MicrotomeError(`insert: place ${at} of ${n}`, { code: 'ERANGE' });
    const head = at ? this.#tokensOf(held).slots[at - 1] : heap.enums.MT_ROOT;
    let slot = head;
    try {
      await this.#feed(core, ids, head, 'none', task, CHUNK_TOKENS, () => {}, (to) => { slot = to; });
      heap.exports.session_hold(core.at, slot);
      return this.#join(held, slot, n - at, ids.length);
    } finally {
      if (slot !== head) heap.exports.session_release(core.at, slot); // of what was evaluated, unless the session goes on from it
    }
  }

  /** @param {{handle: number}} args */
  sessionTokens({ handle }) {
    const { tokens, positions } = this.#tokensOf(this.#heldAt(handle));
    return { tokens, positions };
  }

  /** @param {{handle: number}} args */
  sessionSave({ handle }) {
    const { core, leaf } = this.#heldAt(handle);
    return this.#written('session_save', core.at, leaf);
  }

  /** Independent sequences in one pass: logits of the last token of each. @param {{lists: number[][], kv?: string}} args */
  runBatch({ lists, kv }) {
    const heap = this.heap, vocab = this.vocab;
    lists.forEach((ids) => this.check(ids));
    if (this.encoderLayers) throw new MicrotomeError('runBatch: an encoder-decoder model has one source at a time', { code: 'ESTATE' });
    const total = lists.reduce((sum, ids) => sum + ids.length, 0), session = this.open(total, 0, this.#cacheKind(kv));
    try {
      return heap.scope((alloc) => {
        const [tokens, parents, slots] = [0, 1, 2].map(() => alloc(4 * total)), wants = alloc(total);
        heap.putInts(tokens, lists.flat());
        heap.putInts(parents, lists.flatMap((ids, l) => { const start = lists.slice(0, l).reduce((sum, x) => sum + x.length, 0); return ids.map((_, i) => (i ? -2 - (start + i - 1) : heap.enums.MT_ROOT)); }));
        heap.u8.fill(0, wants, wants + total);
        let end = 0;
        const lasts = lists.map((ids) => (end += ids.length) - 1);
        for (const last of lasts) heap.u8[wants + last] = 1;
        heap.call('session_eval', session.at, total, tokens, parents, 0, wants, slots);
        return lasts.map((last) => heap.floats(heap.exports.session_logits(session.at, last) >>> 0, vocab));
      });
    } finally {
      this.close(session);
    }
  }
}
