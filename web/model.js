// Models, each in a worker of its own with its own memory: the caller's thread never waits.
import { MicrotomeError, inNode, nodeModule } from './runtime/heap.js';
import { WorkerClient } from './runtime/client.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { RUNTIME_OPTIONS, detectFeatures, loadModule } from './runtime/load.js';
import { wholeFile } from './runtime/gzip.js';
import { toSource } from './runtime/source.js';
import { plainGradients } from './grad.js';
import { givenValues, plainPatches } from './patch.js';
import { SAMPLING, checkSampling } from './sampling.js';
import { Session } from './session.js';
import { Tokenizer, named } from './tokenizer.js';

/** @typedef {import('./runtime/load.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('./runtime/source.js').AnySource} AnySource */
/** @typedef {import('./patch.js').Patch} Patch */
/** @typedef {import('./grad.js').GradientOptions} GradientOptions */
/** @typedef {import('./grad.js').Gradients} Gradients */
/** @typedef {import('./types.js').Progress} Progress */
/** @typedef {import('./types.js').ModelOptions} ModelOptions */
/** @typedef {import('./types.js').ModelInfo} ModelInfo */
/** @typedef {import('./types.js').Traced} Traced */
/** @typedef {import('./types.js').RunResult} RunResult */
/** @typedef {import('./types.js').GenerateOptions} GenerateOptions */
/** @typedef {import('./types.js').GenerateOnly} GenerateOnly */
/** @typedef {import('./types.js').Perplexity} Perplexity */
/** @typedef {import('./types.js').Piece} Piece */

/** Workers of models that were forgotten without dispose(). */
const FORGOTTEN = new FinalizationRegistry((/** @type {WorkerClient} */ client) => void client.terminate());

/**
 * A language model from a GGUF file (or a hub folder's safetensors).
 *
 *   const model = await Model.load('model.gguf', { onProgress, signal });
 *   for await (const { text } of model.generate('Once upon a time', { temperature: 0.8 })) ...
 */
export class Model {
  /** @type {WorkerClient | null} */ #client;
  #loaded;
  /** @type {Tokenizer | null} */ #tokenizer = null;
  /** Why there is none. @type {unknown} */ #tokenizerError = null;

  /**
   * Streams a file into a model: weights are taken over as they arrive, and the file is never held as a whole.
   * @param {AnySource | AnySource[]} source URL, File, Blob, ArrayBuffer or typed array (copied), stream; in Node also a path. A list: the
   *   splits of a GGUF in order, or `config.json` and the safetensors files of a hub folder, and its tokenizer (`tokenizer.json`, `tokenizer.model`, `vocab.txt`) if texts are to be given
   * @param {ModelOptions & RuntimeOptions} [options]
   * @returns {Promise<Model>}
   * @throws {MicrotomeError} EHTTP, EIO: it cannot be read; EFORMAT, EUNKNOWN, EMISSING, ERANGE: it is not a model that we can run (details.offset:
   *   byte in the file); ENOMEM; EUNSUPPORTED, EWORKER: the platform. AbortError when aborted
   */
  static async load(source, options = {}) {
    checkOptions('Model.load', options, ['cache', 'onProgress', 'signal', 'threads', 'isa', 'workerUrl', ...RUNTIME_OPTIONS]);
    const { cache = false, onProgress, signal, isa, workerUrl } = options;
    if (isa !== undefined && !['ref', 'simd', 'relaxed'].includes(isa)) throw new MicrotomeError(`Model.load: unknown isa ${JSON.stringify(isa)}: known are ref, simd, relaxed`, { code: 'EUNKNOWN' });
    const threads = options.threads === undefined ? await defaultThreads() : checkNumber('Model.load: threads', options.threads, 1, 64, true);
    const all = (Array.isArray(source) ? source : [source]).map(toSource);
    const definition = all.length > 1 ? all.find(({ name }) => DEFINITIONS.test(name)) : undefined, from = all.filter((s) => s !== definition);
    const wanted = isa === 'relaxed' && !options.variant ? requireRelaxed(threads) : options.variant;
    const helpers = detectFeatures().threads && (wanted ?? '-threads').endsWith('-threads') ? threads - 1 : 0;
    const starting = WorkerClient.start({ workerUrl, signal, helpers }); // while the module is compiled
    starting.catch(() => {});
    const { module, variant, shared } = await loadModule({ ...options, variant: wanted, threads: threads > 1 }).catch(async (error) => {
      await starting.then((client) => client.terminate(), () => {});
      throw error;
    });
    const client = await starting;
    const page = loadModule({ ...options, threads: false }); // for the tokenizer, meanwhile
    page.catch(() => {});
    try {
      const onEvent = (/** @type {string} */ _name, /** @type {Progress} */ value) => onProgress?.(value);
      const engine = await start(client, { module, shared, threads, isa }, signal);
      const loaded = await sendSources(client, cache ? await stored(from, { onProgress, signal }) : from, { signal, onEvent });
      const model = new (this ?? Model)(client, { ...loaded, engine: { variant, ...engine } });
      await model.#openTokenizer(definition, page, signal);
      return model;
    } catch (error) {
      client.terminate();
      throw error;
    }
  }

  /** Use Model.load. @param {WorkerClient} client @param {{info: ModelInfo, eos: number[], name: string, engine: {variant: string, threads: number, isa: string}}} loaded @internal */
  constructor(client, loaded) {
    if (!(client instanceof WorkerClient)) throw new MicrotomeError('use Model.load()', { code: 'ESTATE' });
    this.#client = client;
    this.#loaded = loaded;
    FORGOTTEN.register(this, client, this);
  }

  /**
   * The worker makes the tables. They come over as a Blob, in pieces, between which a page draws and answers.
   * @param {import('./runtime/open.js').Source | undefined} source a hub folder's definition @param {ReturnType<typeof loadModule>} page @param {AbortSignal} [signal]
   */
  async #openTokenizer(source, page, signal) {
    try {
      const definition = source && [await wholeFile(source, signal), new TextEncoder().encode(source.name)];
      const asked = () => this.#live().call('tokenizerFile', { definition }, { signal });
      const binary = await (source ? named(source.name, asked) : asked()), { module: wasmModule, variant } = await page;
      this.#tokenizer = await Tokenizer.fromBinary(new Blob([binary]), { wasmModule, variant, signal });
      const { eos } = this.#tokenizer;
      if (source && !this.#loaded.eos.length && eos !== null) this.#loaded.eos.push(eos);
    } catch (error) {
      if (!(error instanceof MicrotomeError) || error.code === 'EWORKER') throw error;
      this.#tokenizerError = error; // ids alone will do
    }
  }

  #live() {
    if (!this.#client) throw disposed('this model');
    return this.#client;
  }

  /** What the file says of itself. @returns {ModelInfo} */
  get info() { return { ...this.#loaded.info }; }
  /** Name of the file. */
  get file() { return this.#loaded.name; }
  /** What runs it: build, kernels, threads; for people. */
  get engine() { const { variant, threads, isa } = this.#loaded.engine; return `${variant}, ${isa} kernels, ${threads} thread${threads === 1 ? '' : 's'}`; }
  /** How many threads compute. @returns {number} */
  get threads() { return this.#loaded.engine.threads; }
  /** Ids that end a text (end of text, end of turn), as the file says. @returns {number[]} */
  get endTokens() { return [...this.#loaded.eos]; }

  /**
   * The file's tokenizer, in this thread; its tables come ready-made from the worker, and it is disposed of with the model.
   * @returns {Tokenizer} @throws {MicrotomeError} EMISSING: the file has none; EUNKNOWN: one that we do not know
   */
  get tokenizer() {
    this.#live();
    if (!this.#tokenizer) throw this.#tokenizerError;
    return this.#tokenizer;
  }

  /** Metadata, tensors (name, dims, type, bytes) and hyper-parameters. @returns {Promise<any>} */
  describe() { return this.#live().call('describe'); }
  /** Names that `trace` and `patch` take for this model. @returns {Promise<string[]>} */
  traceNames() { return this.#live().call('traceNames'); }

  /**
   * Logits, and any intermediate value by its name.
   * @param {Iterable<number> | string} ids tokens; a string is encoded with the model's tokenizer and its special tokens
   * @param {{all?: boolean, decoderIds?: Iterable<number>, typeIds?: Iterable<number>, trace?: string | string[], patch?: Patch[], stopAt?: string,
   *   from?: {name: string, data: ArrayLike<number>} | {name: string, data: ArrayLike<number>}[], signal?: AbortSignal}} [options]
   *   typeIds: of encoders, the segment of each token (default: all 0);
   *   decoderIds: of encoder-decoder models, for which `ids` are the source text (default: the token that the decoder starts from);
   *   all: logits of every position; trace: names or globs ("blocks.*.attn.hook_pattern"); patch: values to change on the way;
   *   stopAt: the name of a value that is the last to be computed and is traced: there are no logits;
   *   from: values that are given whole, such as the residual stream before a layer: they are not computed, nor what leads to them alone
   * @returns {Promise<RunResult>}
   * @throws {MicrotomeError} ERANGE: an id outside the vocabulary, no ids, a patch that does not fit the shape; ELIMIT: more tokens than the model has learned positions; EUNKNOWN: no such name;
   *   ESTATE: a patch or a trace of what is not computed between `from` and `stopAt`. AbortError when aborted
   */
  async run(ids, options = {}) {
    checkOptions('run', options, ['all', 'decoderIds', 'typeIds', 'trace', 'patch', 'stopAt', 'from', 'signal']);
    const { all = false, decoderIds, typeIds, trace = [], patch = [], stopAt, from = [], signal } = options;
    return this.#live().call('run', { ids: this.#ids(ids), decoderIds: decoderIds ? Array.from(decoderIds) : null, typeIds: typeIds ? Array.from(typeIds) : null, all, trace: typeof trace === 'string' ? [trace] : trace, patch: [...givenValues(from), ...plainPatches(patch)], stopAt }, { signal });
  }

  /** @param {Iterable<number> | string} prompt */
  #ids(prompt) {
    if (typeof prompt !== 'string') return Array.from(prompt);
    const ids = Array.from(this.tokenizer.encode(prompt, { addSpecialTokens: true, offsets: false }).ids);
    const { bos, eos } = this.tokenizer;
    // Nothing to go on from: what a text starts with stands in.
    return ids.length ? ids : [bos ?? eos ?? 0];
  }

  /**
   * Natural log-probabilities of tokens given those before them, in double from the float32 logits.
   * @param {Iterable<number> | string} ids @param {{start?: number, signal?: AbortSignal}} [options] start: the first one that is scored (1: the second token)
   * @returns {Promise<Float64Array>} [ids - start]
   * @throws {MicrotomeError} as run; ESTATE: an encoder-decoder model
   */
  async logProbs(ids, options = {}) {
    checkOptions('logProbs', options, ['start', 'signal']);
    const list = this.#ids(ids), { start = 1, signal } = options;
    checkNumber('logProbs: start', start, 1, Math.max(1, list.length), true);
    return this.#live().call('logProbs', { ids: list, start }, { signal });
  }

  /**
   * A text that the model goes on from: it is read once, can fork, go back, forget, and be saved.
   * @param {import('./session.js').SessionOptions} [options] @returns {Promise<Session>}
   * @throws {MicrotomeError} ENOMEM; of a state EFORMAT: cut or changed, EUNKNOWN: another version or kind of cache, ESTATE: another model's, ELIMIT: more tokens than slots
   */
  session(options = {}) {
    return Session.open({ ids: (x) => this.#ids(x), more: (x) => Array.from(this.tokenizer.encode(x, { offsets: false }).ids), client: () => this.#live(), generate: (prompt, how, handle) => this.#generate(prompt, how, handle) }, options);
  }

  /**
   * Independent texts in one pass. @param {(Iterable<number> | string)[]} texts @param {{kv?: 'f32' | 'f16' | 'q8', signal?: AbortSignal}} [options]
   * @returns {Promise<Float32Array[]>} logits [vocab] after the last token of each, as run gives them
   */
  async runBatch(texts, options = {}) {
    checkOptions('runBatch', options, ['kv', 'signal']);
    return texts.length ? this.#live().call('runBatch', { lists: texts.map((text) => this.#ids(text)), kv: options.kv }, { signal: options.signal }) : [];
  }

  /**
   * One vector for each text: the hidden states after the last layer (and the final norm, where there is one) of all tokens of [special tokens, text, special tokens], pooled. Of encoder-decoder models the encoder's.
   * @param {(string | Iterable<number>) | (string | Iterable<number>)[]} texts one text, or a list of texts (an array of numbers is one text's ids)
   * @param {{pooling?: 'mean' | 'cls' | 'last', normalize?: boolean, typeIds?: Iterable<number>[], signal?: AbortSignal}} [options] pooling: the mean over tokens (default of encoders), the first or
   *   the last token (default of decoders, which alone has seen everything); normalize: to length 1, default true
   * @returns {Promise<{shape: number[], data: Float32Array}>} [texts][width]; of a single text [width]
   * @throws {MicrotomeError} as run
   */
  async embed(texts, options = {}) {
    checkOptions('embed', options, ['pooling', 'normalize', 'typeIds', 'signal']);
    const list = typeof texts === 'string' || !Array.isArray(texts) || typeof texts[0] === 'number' ? null : texts;
    const { info } = this, { pooling = info.bidirectional || info.encoderLayers ? 'mean' : 'last', normalize = true, typeIds, signal } = options;
    if (!['mean', 'cls', 'last'].includes(pooling)) throw new MicrotomeError(`embed: unknown pooling ${JSON.stringify(pooling)}: known are mean, cls, last`, { code: 'EUNKNOWN' });
    const lists = (list ?? [/** @type {string | Iterable<number>} */ (texts)]).map((text) => this.#ids(/** @type {any} */ (text)));
    if (typeIds && typeIds.length !== lists.length) throw new MicrotomeError(`embed: typeIds for ${typeIds.length} texts of ${lists.length}`, { code: 'ERANGE' });
    const all = await this.#live().call('embed', { lists, typeIds: typeIds?.map((ids) => Array.from(ids)), pooling, normalize }, { signal });
    return list ? all : { shape: [all.shape[1]], data: all.data };
  }

  /**
   * What a masked-language model expects where the text has its mask token.
   * @param {string | Iterable<number>} text with one mask token or several, spelled as in the vocabulary ("[MASK]", "<mask>") @param {{top?: number, mask?: number, typeIds?: Iterable<number>, signal?: AbortSignal}} [options]
   *   top: how many for each, default 5; mask: id of the mask token, default: the vocabulary's
   * @returns {Promise<{position: number, tokens: {id: number, token: string, probability: number}[]}[]>} for each mask token, in order; token: its spelling in the vocabulary, '' without a tokenizer
   * @throws {MicrotomeError} EMISSING: no mask token in the vocabulary or in the text, or the model has no head; ESTATE: no encoder
   */
  async fillMask(text, options = {}) {
    checkOptions('fillMask', options, ['top', 'mask', 'typeIds', 'signal']);
    const { top = 5, typeIds, signal } = options;
    checkNumber('fillMask: top', top, 1, this.info.vocab, true);
    if (!this.info.bidirectional) throw new MicrotomeError(`fillMask: "${this.info.architecture}" reads from left to right: an encoder is needed`, { code: 'ESTATE' });
    const mask = options.mask ?? ['[MASK]', '<mask>'].map((piece) => this.tokenizer.findPiece(piece)).find((id) => id !== null && id >= 0);
    if (mask === undefined || mask === null) throw new MicrotomeError('fillMask: the vocabulary has no [MASK] or <mask>: give mask', { code: 'EMISSING' });
    const ids = this.#ids(text);
    const places = ids.flatMap((id, i) => (id === mask ? [i] : []));
    if (!places.length) throw new MicrotomeError('fillMask: the text has no mask token', { code: 'EMISSING' });
    const { logits, vocab } = await this.run(ids, { all: true, typeIds, signal });
    const spelled = (/** @type {number} */ id) => this.#tokenizer?.tokenPiece(id) ?? '';
    return places.map((position) => {
      const row = logits.subarray(position * vocab, (position + 1) * vocab);
      const most = row.reduce((a, b) => Math.max(a, b), -Infinity), total = row.reduce((sum, x) => sum + Math.exp(x - most), 0);
      const order = Array.from(row, (_, id) => id).sort((a, b) => row[b] - row[a] || a - b).slice(0, top);
      return { position, tokens: order.map((id) => ({ id, token: spelled(id), probability: Math.exp(row[id] - most) / total })) };
    });
  }

  /**
   * The loss of a text, and its gradients by parameters and by intermediate values (see grad.js).
   * @param {Iterable<number> | string} ids tokens; of encoder-decoder models the source text @param {GradientOptions} [options]
   * @returns {Promise<Gradients>} @throws {MicrotomeError} EUNKNOWN: no such parameter, no such value; ERANGE: no targets; EMISSING: an encoder needs targets; as run
   */
  async gradients(ids, options = {}) {
    const args = plainGradients(this.#ids(ids), this.info, options);
    return this.#live().call('gradients', args, { signal: options.signal });
  }

  /**
   * Trains the model further, or adapters beside it (see finetune.js). One at a time, with no session or byte model open.
   * @param {import('./finetune.js').FineTuneOptions} [options] @returns {Promise<import('./finetune.js').FineTune>} @throws {MicrotomeError} EUNKNOWN: no such tensor, or one that can have no adapter; ESTATE: it is being tuned
   */
  async finetune(options = {}) {
    const { FineTune } = await import('./finetune.js');
    return FineTune.open({ client: () => this.#live(), ids: (x) => this.#ids(x), info: this.info, file: this.file }, options);
  }

  /**
   * How well the model predicts texts. Each text is one document: [bos, tokens...]. Windows of `window` tokens begin every `stride` tokens; a
   * window's tokens predict what follows each of them, and of what earlier windows have scored nothing is scored again. So every token but bos is
   * scored exactly once, with at least window - stride tokens before it where the document has them. Positions begin at 0 in every window. What spells a special token is text.
   * @param {string | Uint8Array | (string | Uint8Array)[]} texts
   * @param {{window?: number, stride?: number, bos?: number | null, onProgress?: (tokens: number, of: number) => void, signal?: AbortSignal}} [options]
   *   window: default the trained context, 2048 at most; stride: default half of the window; bos: an id, or null for none: then a document's first token
   *   is not scored and its bytes do not count. Default: the tokenizer's beginning of text, else its end of text, else none
   * @returns {Promise<Perplexity>}
   * @throws {MicrotomeError} ERANGE: nothing to score; as run
   */
  async perplexity(texts, options = {}) {
    checkOptions('perplexity', options, ['window', 'stride', 'bos', 'onProgress', 'signal']);
    const { tokenizer } = this;
    const window = checkNumber('perplexity: window', options.window ?? Math.min(this.info.context || 2048, 2048), 1, 2 ** 24, true);
    const stride = checkNumber('perplexity: stride', options.stride ?? Math.max(1, window >> 1), 1, window, true);
    const { bos = tokenizer.bos ?? tokenizer.eos ?? null, onProgress, signal } = options;
    const documents = (Array.isArray(texts) ? texts : [texts]).map((text) => {
      const ids = Array.from(tokenizer.encode(text, { specialAsText: true, offsets: false }).ids);
      const bytes = typeof text === 'string' ? new TextEncoder().encode(text).length : text.length;
      if (bos !== null) return { ids: [bos, ...ids], bytes };
      return { ids, bytes: ids.length ? bytes - tokenizer.decodeBytes(ids.slice(0, 1)).length : 0 };
    }).filter(({ ids }) => ids.length > 1);
    const of = documents.reduce((sum, { ids }) => sum + ids.length - 1, 0);
    if (!of) throw new MicrotomeError('perplexity: the text has no token to score', { code: 'ERANGE' });
    let nats = 0, tokens = 0, bytes = 0;
    for (const document of documents) {
      bytes += document.bytes;
      for (const { begin, end, from } of scoredWindows(document.ids.length, window, stride)) {
        const part = await this.logProbs(document.ids.slice(begin, end), { start: from - begin, signal });
        for (const x of part) nats -= x;
        tokens += part.length;
        onProgress?.(tokens, of);
      }
    }
    const natsPerToken = nats / tokens;
    return { tokens, bytes, nats, natsPerToken, perplexity: Math.exp(natsPerToken), bitsPerByte: nats / Math.LN2 / bytes, window, stride, bos };
  }

  /**
   * Continues a prompt, token by token. Leaving the loop, or aborting, stops the work; the model stays usable. It ends with reason 'context' when
   * the model's learned positions are used up; models with rotary positions go on past the length that they were trained for.
   * @param {Iterable<number> | string} prompt tokens; a string is encoded with the model's tokenizer and its special tokens
   * @param {GenerateOptions} [options]
   * @returns {AsyncGenerator<Piece, {reason: 'length' | 'stop' | 'context'}, void>}
   * @throws {MicrotomeError} as run; AbortError when aborted
   */
  async *generate(prompt, options = {}) {
    return yield* this.#generate(prompt, options);
  }

  /** @param {Iterable<number> | string} prompt @param {GenerateOptions} options @param {number} [handle] a session @returns {AsyncGenerator<Piece, {reason: 'length' | 'stop' | 'context'}, void>} */
  async *#generate(prompt, options, handle) {
    checkOptions('generate', options, ['maxTokens', ...SAMPLING, 'signal', 'stop', 'logProbs', ...(handle === undefined ? ['kv'] : [])]);
    const { maxTokens = 128, signal, stop = this.#loaded.eos, logProbs = false, kv } = options;
    const client = this.#live();
    checkNumber('generate: maxTokens', maxTokens, 0, 2 ** 31 - 1, true);
    const sample = checkSampling('generate', options);
    const texts = stop.filter((s) => typeof s === 'string');
    if (texts.includes('')) throw new MicrotomeError('generate: stop: an empty text would stop at once', { code: 'ERANGE' });
    const args = { ids: this.#ids(prompt), maxTokens, sample, stop: stop.filter((s) => typeof s === 'number'), logProbs, kv, handle };
    const decoder = this.#tokenizer?.streamDecoder({ skipSpecialTokens: true }) ?? null;
    if (texts.length && !decoder) void this.tokenizer; // says why there is none
    let held = '';
    const stream = client.stream('generate', args, { signal });
    try {
      for (;;) {
        const next = await stream.next();
        if (next.done) return next.value;
        const { id, last, logProb } = next.value;
        let text = decoder ? decoder.push(id) + (last ? decoder.end() : '') : '';
        let found = -1;
        if (texts.length) {
          held += text;
          for (const s of texts) {
            const at = held.indexOf(s);
            if (at >= 0 && (found < 0 || at < found)) found = at;
          }
          const cut = found >= 0 ? found : last ? held.length : held.length - partialStop(held, texts);
          text = held.slice(0, cut);
          held = held.slice(cut);
        }
        yield { id, text, last: last || found >= 0, ...(logProb !== undefined && { logProb }) };
        if (found >= 0) return { reason: 'stop' };
      }
    } finally {
      await stream.return(undefined); // the reader left, or a text stopped it
    }
  }

  /**
   * The likeliest continuation, as a whole.
   * @param {Iterable<number> | string} prompt @param {Omit<GenerateOptions, 'temperature' | 'topK' | 'topP' | 'minP' | 'typicalP' | 'seed'>} [options]
   * @returns {Promise<{ids: Int32Array, text: string}>} the new tokens
   */
  async greedy(prompt, options = {}) {
    const ids = [];
    let text = '';
    for await (const piece of this.generate(prompt, { ...options, temperature: 0 })) {
      ids.push(piece.id);
      text += piece.text;
    }
    return { ids: Int32Array.from(ids), text };
  }

  /** The worker's end, for the package's other classes. @internal @returns {WorkerClient} */
  get client() { return this.#live(); }

  /** Ends the worker and frees everything; calls under way are rejected. Can be called again. @returns {Promise<void>} */
  async dispose() {
    const client = this.#client;
    if (!client) return;
    this.#client = null;
    FORGOTTEN.unregister(this);
    this.#tokenizer?.dispose();
    this.#tokenizer = null;
    await client.terminate();
  }
}
if (Symbol.asyncDispose) Object.defineProperty(Model.prototype, Symbol.asyncDispose, { value: Model.prototype.dispose, configurable: true, writable: true });
if (Symbol.dispose) Object.defineProperty(Model.prototype, Symbol.dispose, { value() { void this.dispose(); }, configurable: true, writable: true });

/**
 * Windows over a document of n ids whose first is not scored: ids begin..end are looked at, those from `from` on are scored.
 *   n = 8, window 4, stride 2: 0..5 scores 1-4, 2..7 scores 5-6, 4..8 scores 7
 * @param {number} n @param {number} window @param {number} stride
 */
export function scoredWindows(n, window, stride) {
  /** @type {{begin: number, end: number, from: number}[]} */
  const out = [];
  for (let begin = 0, from = 1; from < n; begin += stride) {
    const end = Math.min(begin + window + 1, n);
    out.push({ begin, end, from });
    from = end;
  }
  return out;
}

/** The machine's cores, 4 at most. @internal @returns {Promise<number>} */
export async function defaultThreads() {
  return Math.min(4, globalThis.navigator?.hardwareConcurrency ?? (inNode() ? (await nodeModule('node:os')).availableParallelism() : 1));
}

/**
 * URLs as files of the store. Where there is no store, or no room in it, the network does.
 * @param {import('./runtime/open.js').Source[]} sources @param {{onProgress?: (p: Progress) => void, signal?: AbortSignal}} options @returns {Promise<import('./runtime/open.js').Source[]>}
 */
async function stored(sources, { onProgress, signal }) {
  const { ModelStore } = await import('./store.js'), out = []; // who keeps nothing loads nothing
  for (const source of sources) {
    if (source.kind !== 'url' || !ModelStore.available) { out.push(source); continue; }
    try {
      const blob = await ModelStore.fetch(source.url, { signal, onProgress: ({ loaded, total }) => onProgress?.({ phase: 'download', loaded, total, file: source.name }) });
      out.push({ kind: /** @type {const} */ ('blob'), blob, name: source.name });
    } catch (error) {
      if (!(error instanceof MicrotomeError) || error.code !== 'ENOSPC') throw error;
      out.push(source);
    }
  }
  return out;
}

/** Names of tokenizer definitions beside a hub model's weights. */
const DEFINITIONS = /(^|[/\\])(tokenizer\.json|tokenizer\.model|spiece\.model|vocab\.txt)$/i;

/** @param {number} threads @returns {import('./runtime/load.js').Variant} */
function requireRelaxed(threads) {
  const can = detectFeatures();
  if (!can.relaxed) throw new MicrotomeError(`this platform has no ${inNode() ? 'trustworthy ' : ''}relaxed SIMD${inNode() ? ' (Node 22 or newer has)' : ''}`, { code: 'EUNSUPPORTED' });
  return threads > 1 && can.threads ? 'relaxed-threads' : 'relaxed';
}

/** @param {WorkerClient} client @param {{module: WebAssembly.Module, shared: boolean, threads: number, isa?: string}} args @param {AbortSignal} [signal] */
function start(client, args, signal) {
  return client.call('init', args, { signal });
}

/**
 * Sends sources over; streams are moved where the platform can, else read into a Blob first.
 * @param {WorkerClient} client @param {import('./runtime/open.js').Source[]} sources @param {{signal?: AbortSignal, onEvent: (name: string, value: any) => void}} options
 */
export async function sendSources(client, sources, options) {
  const streams = sources.flatMap((s) => (s.kind === 'stream' ? [s.stream] : []));
  const fed = sources.map((s) => (s.kind === 'bytes' && s.bytes.length > FED_BYTES && s.bytes[0] !== 0x7b ? feed(s) : { source: s, end: () => {} }));
  try {
    const ports = fed.flatMap(({ source }) => (source.kind === 'port' ? [source.port] : []));
    return await client.call('load', { sources: fed.map(({ source }) => source) }, { ...options, transfer: [...streams, ...ports] });
  } catch (error) {
    if (!streams.length || !(error instanceof DOMException && error.name === 'DataCloneError')) throw error;
    const blobs = await Promise.all(sources.map(async (s) => (s.kind === 'stream' ? { kind: /** @type {const} */ ('blob'), blob: await new Response(s.stream).blob(), name: s.name } : s)));
    return client.call('load', { sources: blobs }, options);
  } finally {
    for (const { end } of fed) end();
  }
}

const FED_BYTES = 1 << 21; // fewer are sent at once
const FED_PIECE = 1 << 20;

/** Bytes given out piece by piece, so that a worker never holds them all beside the model. @param {{bytes: Uint8Array, name: string}} source @returns {{source: import('./runtime/open.js').PortSource, end: () => void}} */
function feed({ bytes, name }) {
  const { port1, port2 } = new MessageChannel();
  let at = 0;
  port1.onmessage = ({ data }) => {
    const next = bytes.subarray(at, (at += FED_PIECE)), buffer = data || new ArrayBuffer(FED_PIECE);
    if (!next.length) return port1.postMessage(null);
    const part = new Uint8Array(buffer, 0, next.length);
    part.set(next);
    port1.postMessage(part, [buffer]);
  };
  return { source: { kind: 'port', port: port2, size: bytes.length, name }, end: () => port1.close() };
}

/** Length of the longest end of text that begins a stop text. @param {string} text @param {string[]} stops */
function partialStop(text, stops) {
  let longest = 0;
  for (const stop of stops)
    for (let n = Math.min(stop.length - 1, text.length); n > longest; n--)
      if (text.endsWith(stop.slice(0, n))) longest = n;
  return longest;
}
