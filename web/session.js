// Sessions: texts that a model has read and goes on from, with what it has computed for them. They fork, go back, forget, and are saved.
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { MicrotomeError } from './runtime/heap.js';
import { plainPatches } from './patch.js';

/** @typedef {import('./runtime/client.js').WorkerClient} WorkerClient */
/** @typedef {import('./model.js').RunResult} RunResult */
/** @typedef {import('./model.js').Patch} Patch */
/** @typedef {import('./model.js').GenerateOptions} GenerateOptions */
/** @typedef {import('./model.js').Piece} Piece */
/**
 * @typedef {object} SessionOptions
 * @property {number} [slots] tokens that there is room for, forks included; what forks share counts once. Default: the trained context, 4096 at most
 * @property {'f32' | 'f16' | 'q8'} [kv] how keys and values are kept: float32 (default), half precision, or bytes with a float for every 32 of them: half, and 9/32 of the memory.
 *   Their rounding is at most 2^-11 of a value, and 1/254 of the largest of its 32
 * @property {Uint8Array} [state] what save() gave: goes on from there, bit for bit
 * @property {Iterable<number> | string} [source] encoder-decoder models: the source text
 * @property {AbortSignal} [signal]
 */
/**
 * @typedef {object} SessionInfo
 * @property {number} length tokens of this session
 * @property {number} slots room for tokens, of all forks together
 * @property {number} free of them
 * @property {'f32' | 'f16' | 'q8'} kv
 * @property {number} cacheBytes keys and values of all slots @property {number} slotBytes of one token
 * @property {number} stateBytes states of recurrent layers @property {number} memoryBytes an encoder's output @property {number} scratchBytes intermediate values
 */
/** @typedef {{ids: (x: Iterable<number> | string) => number[], more: (x: string) => number[], client: () => WorkerClient, generate: (prompt: Iterable<number> | string, options: GenerateOptions, handle: number) => AsyncGenerator<Piece, {reason: 'length' | 'stop' | 'context'}, void>}} Owner */

const FORGOTTEN = new FinalizationRegistry((/** @type {{client: WorkerClient, handle: number}} */ { client, handle }) => void client.call('sessionClose', { handle }).catch(() => {}));

/**
 * Made by Model.session(). Calls on one session are carried out one after the other; sessions and their forks are free of each other.
 *
 *   const session = await model.session();
 *   await session.append('Once upon a time');
 *   const other = await session.fork();          // both go on from here; what they share is computed and kept once
 *   for await (const { text } of session.generate('', { maxTokens: 20 })) ...
 */
export class Session {
  #owner;
  #handle;
  #info;
  /** @type {Promise<any>} */ #last = Promise.resolve();
  #open = true;

  /** @param {Owner} owner @param {SessionOptions} [options] @returns {Promise<Session>} @internal */
  static async open(owner, options = {}) {
    checkOptions('session', options, ['slots', 'kv', 'state', 'source', 'signal']);
    const { slots, kv, state, source, signal } = options;
    if (slots !== undefined) checkNumber('session: slots', slots, 1, 2 ** 24, true);
    if (state !== undefined && !(state instanceof Uint8Array)) throw new MicrotomeError('session: state: a Uint8Array is needed', { code: 'ERANGE' });
    const { handle, info, ...more } = await owner.client().call('sessionOpen', { slots, kv, state, source: source === undefined ? undefined : owner.ids(source) }, { signal });
    return new Session(owner, handle, { ...info, ...more });
  }

  /** Use Model.session. @param {Owner} owner @param {number} handle @param {SessionInfo} info @internal */
  constructor(owner, handle, info) {
    this.#owner = owner;
    this.#handle = handle;
    this.#info = info;
    FORGOTTEN.register(this, { client: owner.client(), handle }, this);
  }

  /** One call after the other. @template T @param {() => Promise<T>} body @returns {Promise<T>} */
  #turn(body) {
    const next = this.#last.then(() => {
      if (!this.#open) throw disposed('this session');
      return body();
    });
    this.#last = next.catch(() => {});
    return next;
  }

  /** @param {string} method @param {any} args @param {AbortSignal} [signal] */
  async #call(method, args, signal) {
    const reply = await this.#owner.client().call(method, { handle: this.#handle, ...args }, { signal });
    if (typeof reply?.length === 'number' && 'free' in reply) this.#info = { ...this.#info, ...reply.info, length: reply.length, free: reply.free };
    return reply;
  }

  /** Tokens that it has read. */
  get length() { return this.#info.length; }
  /** Sizes, as of the last call of this session. @returns {SessionInfo} */
  get info() { return { ...this.#info }; }

  /**
   * Reads more tokens. All or nothing: after an error, or an abort, the session is as it was.
   * @param {Iterable<number> | string} ids a string is encoded with the special tokens of a text's beginning if the session is empty, without them otherwise
   * @param {{logits?: 'last' | 'all' | 'none', trace?: string | string[], patch?: Patch[], signal?: AbortSignal}} [options] trace: as in Model.run; logits: default 'last'; a patch changes what later tokens see too
   * @returns {Promise<RunResult>} logits: after the last token, [ids][vocab] with 'all'
   * @throws {MicrotomeError} ELIMIT: no free slots, or more tokens than learned positions; as Model.run
   */
  append(ids, options = {}) {
    checkOptions('append', options, ['logits', 'trace', 'patch', 'signal']);
    const { logits = 'last', trace = [], patch = [], signal } = options;
    if (!['last', 'all', 'none'].includes(logits)) throw new MicrotomeError(`append: logits: unknown value ${JSON.stringify(logits)}: known are last, all, none`, { code: 'EUNKNOWN' });
    return this.#turn(async () => (await this.#call('sessionAppend', { ids: this.#ids(ids), want: logits, trace: typeof trace === 'string' ? [trace] : trace, patch: plainPatches(patch) }, signal)).result);
  }

  /** @param {Iterable<number> | string} ids */
  #ids(ids) { return typeof ids === 'string' && this.#info.length ? this.#owner.more(ids) : this.#owner.ids(ids); }

  /**
   * Reads more tokens and says how likely each was.
   * @param {Iterable<number> | string} ids @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Float64Array>} ln p of each given all before it; NaN for the first token of an empty session, which follows nothing
   */
  logProbs(ids, options = {}) {
    checkOptions('logProbs', options, ['signal']);
    return this.#turn(async () => (await this.#call('sessionAppend', { ids: this.#ids(ids), want: 'scores' }, options.signal)).result);
  }

  /** Logits after the last token. @returns {Promise<Float32Array>} [vocab] @throws {MicrotomeError} ERANGE: it is empty; ESTATE: a recurrent model that has gone back */
  logits() { return this.#turn(() => this.#call('sessionLogits', {})); }
  /** What it has read, and at which positions. @returns {Promise<{tokens: Int32Array, positions: Int32Array}>} */
  tokens() { return this.#turn(() => this.#call('sessionTokens', {})); }

  /**
   * Another session that goes on from the same place. Nothing is copied: both keep the common tokens, each appends to slots of its own, and edits of one copy what the other needs.
   * @returns {Promise<Session>}
   */
  fork() {
    return this.#turn(async () => {
      const { handle, info, ...more } = await this.#owner.client().call('sessionFork', { handle: this.#handle });
      return new Session(this.#owner, handle, { ...info, ...more });
    });
  }

  /** Back to the first `length` tokens; what nothing else needs is freed. @param {number} length @param {{signal?: AbortSignal}} [options] @returns {Promise<void>} */
  rewind(length, options = {}) {
    checkOptions('rewind', options, ['signal']);
    return this.#turn(async () => {
      checkNumber('rewind', length, 0, this.length, true);
      await this.#call('sessionRewind', { length }, options.signal);
    });
  }

  /**
   * Forgets tokens first .. first + count - 1: later tokens no longer see them (what has been computed from them stays as it is). With `close` those after them move up, their
   * keys rotated to the new positions, as StreamingLLM does (Xiao et al. 2024); without it positions stay.
   * @param {number} first @param {number} count @param {{close?: boolean}} [options] default: close where positions are rotations or distances
   * @returns {Promise<void>} @throws {MicrotomeError} ESTATE: a recurrent model; `close` where positions were added to embeddings. ERANGE: no such tokens. ELIMIT: no room for copies of what a fork needs
   */
  drop(first, count, options = {}) {
    checkOptions('drop', options, ['close']);
    return this.#turn(async () => {
      checkNumber('drop: first', first, 0, this.length, true);
      checkNumber('drop: count', count, 0, this.length - first, true);
      await this.#call('sessionCut', { first, count, delta: (options.close ?? true) ? -count : 0 });
    });
  }

  /** Moves the tokens from `first` on by `delta` positions, keys rotated. @param {number} first @param {number} delta @returns {Promise<void>} @throws {MicrotomeError} as drop */
  shift(first, delta) {
    return this.#turn(async () => {
      checkNumber('shift: first', first, 0, this.length, true);
      await this.#call('sessionCut', { first, count: 0, delta: checkNumber('shift: delta', delta, -(2 ** 31 - 1), 2 ** 31 - 1, true) });
    });
  }

  /**
   * Puts tokens before place `at`: they are evaluated after what precedes them, and what follows moves, keys rotated. What follows was computed without them and stays so
   * (positional integrity encoding, He et al. 2024). @param {number} at @param {Iterable<number> | string} ids @param {{signal?: AbortSignal}} [options] @returns {Promise<void>} @throws {MicrotomeError} as drop
   */
  insert(at, ids, options = {}) {
    checkOptions('insert', options, ['signal']);
    return this.#turn(async () => {
      checkNumber('insert', at, 0, this.length, true);
      await this.#call('sessionInsert', { at, ids: at ? this.#ids(ids) : this.#owner.ids(ids) }, options.signal);
    });
  }

  /**
   * Evaluates a tree of continuations in one pass: token i follows token parents[i] < i of the tree, or the session where it is -1. The session stays where it is;
   * take(i) goes on from a token of the tree, any other call forgets the tree.
   * @param {Iterable<number>} tokens @param {Iterable<number>} parents @param {{positions?: Iterable<number>, signal?: AbortSignal}} [options] positions: default the parent's + 1
   * @returns {Promise<{logits: Float32Array, vocab: number}>} [tokens][vocab] @throws {MicrotomeError} ERANGE: lists of different lengths, a parent that does not come before; ELIMIT: no free slots
   */
  tree(tokens, parents, options = {}) {
    checkOptions('tree', options, ['positions', 'signal']);
    const args = { tokens: Array.from(tokens), parents: Array.from(parents), positions: options.positions ? Array.from(options.positions) : null };
    args.parents.forEach((p, i) => checkNumber(`tree: parent of token ${i}`, p, -1, i - 1, true));
    for (const list of [args.parents, args.positions]) if (list && list.length !== args.tokens.length) throw new MicrotomeError(`tree: ${args.tokens.length} tokens, but ${list.length} parents or positions`, { code: 'ERANGE' });
    return this.#turn(async () => (await this.#call('sessionTree', args, options.signal)).result);
  }

  /** Goes on from token `index` of the last tree; the rest of it is forgotten. @param {number} index @returns {Promise<void>} @throws {MicrotomeError} ESTATE: no such tree */
  take(index) { return this.#turn(async () => void (await this.#call('sessionTake', { index }))); }

  /** As bytes, for Model.session({state}): versioned, for this model and this `kv` alone, and safe to read from anywhere. @returns {Promise<Uint8Array>} */
  save() { return this.#turn(() => this.#call('sessionSave', {})); }

  /**
   * As Model.generate, after what the session has read. Afterwards the session holds the prompt and the tokens that were given out (after an abort or an early end: those that were read by then).
   * It ends with reason 'context' when no slot is free.
   * @param {Iterable<number> | string} prompt may be empty when the session is not @param {Omit<GenerateOptions, 'kv'>} [options] @returns {AsyncGenerator<Piece, {reason: 'length' | 'stop' | 'context'}, void>}
   */
  async *generate(prompt, options = {}) {
    /** @type {() => void} */ let done = () => {};
    await new Promise((start, fail) => {
      this.#turn(() => new Promise((/** @type {(x: void) => void} */ end) => { done = end; start(undefined); })).catch(fail);
    });
    try {
      const ids = typeof prompt === 'string' && prompt === '' && this.length ? [] : this.#ids(prompt);
      return yield* this.#owner.generate(ids, options, this.#handle);
    } finally {
      try {
        await this.#call('sessionInfo', {});
      } finally {
        done();
      }
    }
  }

  /** Frees what no fork needs. Can be called again. @returns {Promise<void>} */
  async dispose() {
    if (!this.#open) return;
    this.#open = false;
    FORGOTTEN.unregister(this);
    await this.#last;
    await this.#owner.client().call('sessionClose', { handle: this.#handle });
  }
}
if (Symbol.asyncDispose) Object.defineProperty(Session.prototype, Symbol.asyncDispose, { value: Session.prototype.dispose, configurable: true, writable: true });
