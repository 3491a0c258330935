// The whole engine: what a model's worker does besides running it. Writing models, gradients, fine-tuning, byte models, sums over tokenizations.
import { MicrotomeError } from './heap.js';
import { Engine } from './engine.js';
import { BUSY_MS } from './wire.js';

/** @typedef {import('./wire.js').Task} Task */

const SCORED_BYTES = 64; // of a text whose bytes are scored: their contexts are evaluated together

/** @typedef {{at: number, session: number, pushed: Uint8Array, prunes: boolean}} Bytes prunes: mass may be left out */

export class WholeEngine extends Engine {
  exported = 0;
  tune = 0;
  /** @type {Map<number, Bytes>} */ bytes = new Map();

  // ---- conversion ----

  /** The file's header as it came; null for containers that have none. */
  header() {
    const heap = this.heap;
    const gguf = heap.exports.model_gguf(this.model) >>> 0;
    if (!gguf) return null;
    return heap.scope((alloc) => {
      const out = alloc(8);
      heap.call('gguf_header', gguf, out, out + 4);
      return heap.bytes(heap.u32(out), heap.u32(out + 4));
    });
  }

  /** Values of one storage type as another. @param {{bytes: Uint8Array, from: number, to: number, count: number}} args */
  recode({ bytes, from, to, count }) {
    const heap = this.heap;
    return heap.scope((alloc) => {
      const known = (/** @type {number} */ type) => {
        const block = alloc(4), size = alloc(4);
        if (!heap.exports.dtype(type, block, size)) throw new MicrotomeError(`unknown type ${type}`, { code: 'EUNKNOWN' });
        return heap.u32(size) / heap.u32(block);
      };
      const length = Math.ceil(count * known(to));
      const source = alloc(bytes.length), target = alloc(length);
      heap.putBytes(source, bytes);
      heap.call('recode', this.pool, from, to, source, target, count);
      return heap.bytes(target, length);
    });
  }

  /** What the loaded model is as a GGUF file. */
  exportOpen() {
    const heap = this.heap;
    if (!this.model) throw new MicrotomeError('no model is loaded', { code: 'ESTATE' });
    if (this.exported) heap.exports.export_free(this.exported);
    this.exported = 0;
    return heap.scope((alloc) => {
      const out = alloc(8);
      heap.call('export_new', this.model, out);
      this.exported = heap.u32(out);
      heap.call('export_keys', this.exported, out, out + 4);
      return { keys: heap.bytes(heap.u32(out), heap.u32(out + 4)), description: JSON.parse(heap.printed('export_describe', this.exported)) };
    });
  }

  /** @param {{tensor: number, row: number, count: number, type: number, bytes: number}} args bytes: of the result */
  exportRows({ tensor, row, count, type, bytes }) {
    const heap = this.heap;
    return heap.scope((alloc) => {
      const target = alloc(bytes);
      heap.call('export_rows', this.exported, this.pool, tensor, row, count, type, target);
      return heap.bytes(target, bytes);
    });
  }

  // ---- gradients ----

  /** Zeroed memory for a struct, with these fields of 32 bits. @param {(bytes: number) => number} alloc @param {string} struct @param {Record<string, number>} fields */
  #fill(alloc, struct, fields) {
    const heap = this.heap, size = heap.sizeOf(struct), at = alloc(size);
    heap.u8.fill(0, at, at + size);
    for (const [name, value] of Object.entries(fields)) heap.view.setInt32(at + heap.field(struct, name).offset, value, true);
    return at;
  }

  /** Texts by their lists of names. @param {(bytes: number) => number} alloc @param {string[]} list */
  #globs(alloc, list) {
    const at = alloc(4 * list.length + 4);
    this.heap.putInts(at, list.map((glob) => this.heap.putCString(alloc, glob)));
    return at;
  }

  /**
   * Gradients of the loss of texts, operation by operation: an abort is seen between them. `use` reads what is wanted.
   * @template T @param {import('../grad.js').PlainGradients} args @param {Task} task @param {(at: number) => T} use @returns {Promise<T>}
   */
  async #gradients({ lists, source = null, typeIds = null, loss, parameters = [], values = [], traces = [], segments }, task, use) {
    const heap = this.heap, ids = lists.flat(), total = ids.length;
    lists.forEach((list) => this.check(list));
    if (source) this.check(source);
    const session = this.open(total, total);
    let at = 0;
    try {
      if (typeIds) this.segment(session, typeIds, total);
      at = heap.scope((alloc) => {
        const ints = (/** @type {number[]} */ list) => { const to = alloc(4 * list.length + 4); heap.putInts(to, list); return to; };
        const starts = lists.flatMap((list) => list.map((_, i) => i > 0));
        const tokens = ints(ids), parents = ints(starts.map((inside, i) => (inside ? -2 - (i - 1) : heap.enums.MT_ROOT))), out = alloc(4);
        const terms = 'targets' in loss ? [] : loss.terms, weight = alloc(4 * terms.length + 4);
        new Float32Array(heap.buffer, weight, terms.length).set(terms.map((term) => term.weight));
        /** @type {Record<string, number>} */ const wanted = 'targets' in loss ? { target: ints(loss.targets), targets: loss.of ?? 0 }
          : { objective: loss.logProbs ? heap.enums.MT_OBJECTIVE_LOG_PROB : heap.enums.MT_OBJECTIVE_LOGIT, terms: terms.length, row: ints(terms.map((t) => t.position)), token: ints(terms.map((t) => t.token)), weight };
        const options = { parameters: this.#globs(alloc, parameters), parameter_count: parameters.length, values: this.#globs(alloc, values), value_count: values.length, traces: this.#globs(alloc, traces), trace_count: traces.length,
          segments, ...(source && { source: ints(source), source_count: source.length }) };
        heap.call('gradients_new', session.at, total, tokens, parents, this.#fill(alloc, 'mt_loss', wanted), this.#fill(alloc, 'mt_gradients_options', options), parameters.length || values.length ? 0 : this.tune, out);
        return heap.u32(out);
      });
      while (!heap.exports.gradients_run(at, 8)) await task.breathe();
      return use(at);
    } finally {
      heap.exports.gradients_free(at);
      this.close(session, false);
    }
  }

  /** @param {import('../grad.js').PlainGradients} args @param {Task} task */
  gradients(args, task) {
    const heap = this.heap;
    return this.#gradients(args, task, (at) => heap.scope((alloc) => {
      const entry = alloc(heap.sizeOf('mt_traced'));
      /** @param {number} kind @param {(shape: number[], data: number, count: number, i: number) => any} of */
      const all = (kind, of) => {
        /** @type {Record<string, any>} */ const out = {};
        for (let i = 0; heap.exports.gradients_get(at, kind, i, entry); i++) {
          const { name, n_dims, data } = heap.read('mt_traced', entry), shape = heap.array('mt_traced', entry, 'dims').slice(0, n_dims);
          out[heap.cstring(name)] = of(shape, data, shape.reduce((a, b) => a * b, 1), i);
        }
        return out;
      };
      const parameters = all(0, (dims, _, count, i) => {
        const floats = heap.alloc(4 * count);
        heap.exports.gradients_parameter(at, i, floats);
        const data = heap.floats(floats, count);
        heap.release(floats);
        return { dims, data };
      });
      const value = (/** @type {number[]} */ shape, /** @type {number} */ data, /** @type {number} */ count) => ({ shape, data: data ? heap.floats(data, count) : new Float32Array(count) });
      return { loss: heap.exports.gradients_loss(at), parameters, values: all(1, value), traces: all(2, value) };
    }));
  }

  // ---- fine-tuning ----

  /** @param {{parameters: string[], freeze: string[], adapters: string[], rank: number, alpha: number, seed: number}} args */
  tuneOpen({ parameters, freeze, adapters, rank, alpha, seed }) {
    const heap = this.heap;
    if (this.tune || this.held.size || this.bytes.size) throw new MicrotomeError(`finetune: ${this.tune ? 'the model is being tuned already' : 'sessions and byte models must be disposed of before'}`, { code: 'ESTATE' });
    this.tune = heap.scope((alloc) => {
      const out = alloc(4), lists = { parameters: this.#globs(alloc, parameters), freeze: this.#globs(alloc, freeze), adapters: this.#globs(alloc, adapters) };
      heap.call('tune_new', this.model, this.#fill(alloc, 'mt_tune_options', { ...lists, parameter_count: parameters.length, freeze_count: freeze.length, adapter_count: adapters.length, rank }), alpha, seed, out);
      return heap.u32(out);
    });
    this.#forgetGraphs();
    return this.#variables().map(({ name, dims }) => ({ name, dims }));
  }

  /** Sessions that are kept for the next call know the model as it was. */
  #forgetGraphs() {
    for (const s of this.idle.splice(0)) this.heap.exports.session_free(s.at);
  }

  /** @returns {{at: number, name: string, dims: number[], count: number, value: number, moment1: number, moment2: number, steps: number}[]} */
  #variables() {
    const heap = this.heap, out = [];
    for (let i = 0, at; (at = heap.exports.tune_variable(this.tune, i) >>> 0); i++) {
      const v = heap.read('mt_variable', at);
      out.push({ ...v, at, name: heap.cstring(v.name), dims: heap.array('mt_variable', at, 'dims').slice(0, v.n_dims) });
    }
    return /** @type {any} */ (out);
  }

  /** One step along the gradients of all parts of a batch. @param {{parts: import('../grad.js').PlainGradients[], rule: string, nesterov: boolean, numbers: Record<string, number>}} args @param {Task} task */
  async tuneStep({ parts, rule, nesterov, numbers }, task) {
    const heap = this.heap;
    let loss = 0;
    heap.exports.tune_zero(this.tune);
    for (const part of parts) loss += await this.#gradients(part, task, (at) => heap.exports.gradients_loss(at));
    return heap.scope((alloc) => {
      const update = this.#fill(alloc, 'mt_update', { rule: heap.enums[`MT_RULE_${rule.toUpperCase()}`] }), norm = alloc(8);
      for (const [name, value] of Object.entries(numbers)) heap.view.setFloat64(update + heap.field('mt_update', name).offset, value, true);
      heap.u8[update + heap.field('mt_update', 'nesterov').offset] = Number(nesterov);
      heap.call('tune_step', this.tune, this.pool, update, norm);
      return { loss, norm: heap.view.getFloat64(norm, true) };
    });
  }

  /** What is trained; with `all` also what the next step depends on besides. @param {{all: boolean}} args */
  tuneRead({ all }) {
    const heap = this.heap;
    /** @param {number} at @param {number} n */
    const floats = (at, n) => (at ? heap.floats(at, n) : null);
    return this.#variables().map(({ name, dims, count, value, moment1, moment2, steps }) => ({ name, dims, value: heap.floats(value, count), ...(all && { moment1: floats(moment1, count), moment2: floats(moment2, count), steps }) }));
  }

  /** Puts back what tuneRead gave, by name. @param {{variables: Record<string, {value: Float32Array, moment1?: Float32Array, moment2?: Float32Array, steps?: number}>}} args */
  tuneWrite({ variables }) {
    const heap = this.heap;
    for (const { at, name, count } of this.#variables()) {
      const { value, moment1, moment2, steps = 0 } = variables[name];
      heap.call('variable_moments', at, (moment1 ? 1 : 0) | (moment2 ? 2 : 0));
      heap.exports.variable_forget(at);
      heap.exports.variable_steps(at, steps);
      const v = heap.read('mt_variable', at);
      for (const [to, from] of /** @type {[number, Float32Array | undefined][]} */ ([[v.value, value], [v.moment1, moment1], [v.moment2, moment2]])) if (to && from) new Float32Array(heap.buffer, to, count).set(from);
    }
    heap.exports.tune_apply(this.tune, this.pool);
  }

  tuneMerge() {
    this.heap.call('tune_merge', this.tune, this.pool);
    this.#forgetGraphs();
  }

  tuneClose() {
    this.heap.exports.tune_free(this.tune);
    this.tune = 0;
    this.#forgetGraphs();
  }

  // ---- bytes ----

  /** @param {{target: string, slots?: number, beam?: number, epsilon?: number, prompt?: number[]}} args */
  bytesOpen({ target, slots, beam, epsilon, prompt = [] }) {
    const heap = this.heap;
    const targets = { valid: heap.enums.MT_TARGET_VALID, masked: heap.enums.MT_TARGET_MASKED, all: heap.enums.MT_TARGET_ALL };
    if (!(target in targets)) throw new MicrotomeError(`unknown target ${JSON.stringify(target)}: known are ${Object.keys(targets).join(', ')}`, { code: 'EUNKNOWN' });
    const tokenizer = this.ownTokenizer();
    const session = this.open(slots ?? 2048);
    try {
      const at = heap.scope((alloc) => {
        const out = alloc(4), list = alloc(4 * prompt.length);
        heap.putInts(list, prompt);
        heap.call('bytes_new', session.at, tokenizer, targets[/** @type {'valid'} */ (target)], list, prompt.length, out);
        return heap.u32(out);
      });
      if (beam !== undefined || epsilon !== undefined) {
        try {
          heap.call('bytes_set_beam', at, beam ?? 16, epsilon ?? 1e-6);
        } catch (error) {
          heap.exports.bytes_free(at);
          throw error;
        }
      }
      const handle = this.nextHandle++;
      this.bytes.set(handle, { at, session: session.at, pushed: new Uint8Array(0), prunes: target === 'all' });
      return handle;
    } catch (error) {
      this.close(session, false);
      throw error;
    }
  }

  /** @param {{handle: number}} args */
  bytesClose({ handle }) {
    const found = this.bytes.get(handle);
    if (!found) return;
    this.bytes.delete(handle);
    this.heap.exports.bytes_free(found.at);
    this.heap.exports.session_free(found.session);
  }

  /**
   * Moves to `text`: only the new bytes are computed when it extends what was there.
   * @param {number} handle @param {Uint8Array} text @param {Task} task @returns {Promise<number>} the byte model
   */
  async #moveTo(handle, text, task) {
    const heap = this.heap;
    const state = this.bytes.get(handle);
    if (!state) throw new MicrotomeError('this byte model has been disposed of', { code: 'ESTATE' });
    if (state.pushed.length > text.length || !state.pushed.every((byte, i) => byte === text[i])) {
      heap.call('bytes_reset', state.at);
      state.pushed = text.slice(0, 0);
    }
    const fresh = text.subarray(state.pushed.length);
    if (fresh.length) {
      try {
        this.withBytes(fresh, (at, n) => heap.call('bytes_push', state.at, at, n));
      } finally {
        state.pushed = text.slice(0, heap.exports.bytes_length(state.at)); // of a failed push some bytes stay
      }
      await task.breathe();
    }
    return state.at;
  }

  /** @param {number} at a byte model */
  #nextBytes(at, naive = false) {
    const heap = this.heap;
    return heap.scope((alloc) => {
      const out = alloc(heap.sizeOf('mt_next_bytes'));
      heap.call('bytes_next', at, out);
      const plain = heap.read('mt_next_bytes', out);
      const exact = heap.doubles(out + heap.field('mt_next_bytes', 'exact').offset, 257);
      return {
        bytes: exact.slice(0, 256), end: exact[256], naive: naive ? heap.doubles(out + heap.field('mt_next_bytes', 'naive').offset, 257) : null, textLogProb: plain.text_logprob,
        missingMass: plain.missing_mass, liveContexts: plain.live_contexts,
        target: { [heap.enums.MT_TARGET_VALID]: 'valid', [heap.enums.MT_TARGET_MASKED]: 'masked', [heap.enums.MT_TARGET_ALL]: 'all' }[plain.target],
      };
    });
  }

  /** The distribution of the next byte. @param {{handle: number, text: Uint8Array, tree: boolean, naive: boolean}} args @param {Task} task */
  async bytesNext({ handle, text, tree, naive }, task) {
    const heap = this.heap;
    const at = await this.#moveTo(handle, text, task);
    heap.call('bytes_set_naive', at, Number(naive));
    return { ...this.#nextBytes(at, naive), tree: tree ? JSON.parse(heap.printed('bytes_tree', at)) : null };
  }

  /** The probability of the text itself, and of each of its bytes. @param {{handle: number, text: Uint8Array, perByte: boolean}} args @param {Task} task */
  async bytesScore({ handle, text, perByte }, task) {
    const heap = this.heap;
    const bytes = perByte ? await this.#scoreBytes(handle, text, task) : null;
    const at = await this.#moveTo(handle, text, task);
    return heap.scope((alloc) => {
      const out = alloc(16);
      heap.call('bytes_score', at, out, out + 8);
      const [textLogProb, missingMass] = heap.doubles(out, 2);
      return { textLogProb, missingMass, ...bytes };
    });
  }

  /** @param {number} handle @param {Uint8Array} text @param {Task} task @returns {Promise<{bytes: Float64Array, end: number}>} */
  async #scoreBytes(handle, text, task) {
    const heap = this.heap, state = this.bytes.get(handle), bytes = new Float64Array(text.length);
    const at = await this.#moveTo(handle, text.subarray(0, 0), task);
    if (!state) throw new MicrotomeError('this byte model has been disposed of', { code: 'ESTATE' });
    heap.call('bytes_set_naive', at, 0);
    for (let from = 0; from < text.length; from += SCORED_BYTES) {
      const part = text.subarray(from, from + SCORED_BYTES);
      try {
        heap.scope((alloc) => {
          const out = alloc(8 * part.length);
          this.withBytes(part, (p, n) => heap.call('bytes_push_scored', at, p, n, out));
          bytes.set(heap.doubles(out, part.length), from);
        });
      } finally {
        state.pushed = text.slice(0, heap.exports.bytes_length(at));
      }
      await task.breathe();
    }
    try {
      return { bytes, end: this.#nextBytes(at).end };
    } catch (error) {
      if (!(error instanceof MicrotomeError && error.code === 'ERANGE')) throw error;
      return { bytes, end: -Infinity }; // the text cannot be
    }
  }

  /**
   * Bytes drawn one after the other, sent as they come.
   * @param {{handle: number, text: Uint8Array, maxBytes: number, temperature: number, topP: number, seed: number, logProbs: boolean}} args @param {Task} task
   * @returns {Promise<{reason: 'length' | 'end' | 'context', missingMass: number}>}
   */
  async bytesGenerate({ handle, text, maxBytes, temperature, topP, seed, logProbs }, task) {
    const heap = this.heap;
    const at = await this.#moveTo(handle, text, task);
    const state = /** @type {Bytes} */ (this.bytes.get(handle));
    heap.call('bytes_set_naive', at, 0);
    heap.call('bytes_seed', at, seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0);
    const drawn = new Uint8Array(maxBytes), logs = new Float64Array(logProbs ? maxBytes + 1 : 0), out = heap.alloc(16);
    let n = 0, sent = 0, reason = /** @type {'length' | 'end' | 'context'} */ ('length'), since = performance.now();
    try {
      while (n < maxBytes) {
        try {
          heap.call('bytes_draw', at, temperature, topP, out, logProbs ? out + 8 : 0);
        } catch (error) {
          if (!(error instanceof MicrotomeError && error.code === 'ELIMIT' && n)) throw error;
          reason = 'context';
          break;
        }
        const symbol = heap.u32(out);
        if (logProbs) logs[n] = heap.doubles(out + 8, 1)[0];
        if (symbol === 256) {
          reason = 'end';
          break;
        }
        drawn[n++] = symbol;
        if (performance.now() - since > BUSY_MS) {
          await task.part({ bytes: drawn.slice(sent, n), ...(logProbs && { logProbs: logs.slice(sent, n) }) });
          sent = n;
          await task.breathe();
          since = performance.now();
        }
      }
      if (n > sent) await task.part({ bytes: drawn.slice(sent, n), ...(logProbs && { logProbs: logs.slice(sent, n) }) });
      // Only a beam leaves mass out; where its contexts are full the last bound cannot be had, and 1 always holds.
      const missingMass = !state.prunes ? 0 : reason === 'context' ? 1 : heap.scope((alloc) => {
        const score = alloc(16);
        heap.call('bytes_score', at, score, score + 8);
        return heap.doubles(score + 8, 1)[0];
      });
      return { reason, missingMass, ...(logProbs && reason === 'end' && { endLogProb: logs[n] }) };
    } finally {
      heap.release(out);
      const all = new Uint8Array(text.length + n);
      all.set(text);
      all.set(drawn.subarray(0, n), text.length);
      state.pushed = all.slice(0, heap.exports.bytes_length(at));
    }
  }

  /** The likeliest continuations. @param {{handle: number, text: Uint8Array, length: number, width: number}} args @param {Task} task */
  async bytesBest({ handle, text, length, width }, task) {
    const at = await this.#moveTo(handle, text, task);
    const { pruned = -Infinity, paths } = JSON.parse(this.heap.printed('bytes_best', at, length, width));
    return { pruned, paths: paths.map((/** @type {any} */ p) => ({ bytes: Uint8Array.from(p.bytes), ends: p.ends, logProb: p.logp })) };
  }

  /** One cover encoding of the text. @param {{handle: number, text: Uint8Array, u: number}} args @param {Task} task */
  async bytesCover({ handle, text, u }, task) {
    const heap = this.heap;
    const at = await this.#moveTo(handle, text, task);
    const list = heap.make('mt_ids');
    try {
      return heap.scope((alloc) => {
        const out = alloc(8);
        heap.call('bytes_draw_cover', at, u, list, out);
        const { data, len } = heap.read('mt_ids', list);
        return { ids: heap.ints(data, len), logProb: heap.doubles(out, 1)[0] };
      });
    } finally {
      heap.exports.ids_free(list);
    }
  }

  /**
   * The next byte as a prompt predicts it whose last tokens are generated anew.
   * @param {{text: Uint8Array, tokens: number, classic: boolean, keep: boolean, limit: number, epsilon: number, slots: number}} args
   */
  healNext({ text, tokens, classic, keep, limit, epsilon, slots }) {
    const heap = this.heap, tokenizer = this.ownTokenizer();
    const session = this.open(slots);
    try {
      return heap.scope((alloc) => {
        const out = alloc(heap.sizeOf('mt_healed')), at = alloc(text.length);
        heap.putBytes(at, text);
        heap.call('heal_next', session.at, tokenizer, at, text.length, tokens, Number(classic), Number(keep), limit, epsilon, out);
        const { dead, dropped, contexts } = heap.read('mt_healed', out);
        const next = heap.doubles(out + heap.field('mt_healed', 'next').offset, 257);
        return { bytes: next.slice(0, 256), end: next[256], dead, dropped, contexts };
      });
    } finally {
      this.close(session);
    }
  }

  // ---- all tokenizations of a text ----

  /** Runs body with a session, the prompt in memory, and an allocator. @template T @param {number} slots @param {number[]} prompt @param {(alloc: (bytes: number) => number, session: number, tokenizer: number, prompt: number) => T} body @returns {T} */
  #scoring(slots, prompt, body) {
    const heap = this.heap, tokenizer = this.ownTokenizer();
    const session = this.open(slots + prompt.length + 1);
    try {
      return heap.scope((alloc) => {
        const list = alloc(4 * prompt.length);
        heap.putInts(list, prompt);
        return body(alloc, session.at, tokenizer, list);
      });
    } finally {
      this.close(session);
    }
  }

  /** @param {(bytes: number) => number} alloc @param {number} count room for so many doubles */
  #doubles(alloc, count) {
    return (alloc(8 * count + 8) + 7) & ~7;
  }

  /**
   * @param {{text: Uint8Array, prompt: number[], end: boolean, limit: number, beam: number, weights: Float64Array | null,
   *   sample: {theta: number, cuts: number[], most: number, samples: number, seed: [number, number]} | null}} args weights: of tokens, for proposals; sample: estimate instead of summing
   */
  marginal({ text, prompt, end, limit, beam, weights, sample }) {
    const heap = this.heap;
    return this.#scoring(limit + text.length, prompt, (alloc, session, tokenizer, list) => {
      const at = alloc(text.length), out = this.#doubles(alloc, 4), table = weights ? this.#doubles(alloc, Math.max(this.vocab, weights.length)) : 0;
      heap.putBytes(at, text);
      if (weights) heap.putBytes(table, new Uint8Array(Float64Array.from({ length: Math.max(this.vocab, weights.length) }, (_, i) => weights[i] ?? 0).buffer));
      heap.call('spellings_new', tokenizer, this.vocab, table, at, text.length, out, out + 8, out + 16, out + 24);
      const spellings = heap.u32(out), count = heap.view.getBigUint64(out + 8, true), logCount = heap.view.getFloat64(out + 16, true);
      const known = { count: count === 0xffffffffffffffffn ? null : count, logCount };
      try {
        if (!sample) {
          const found = heap.make('mt_marginal');
          try {
            heap.call('marginal_exact', spellings, session, tokenizer, list, prompt.length, Number(end), limit, beam, found);
            const { sum, missing, best, contexts, 'ids.data': data, 'ids.len': length } = heap.read('mt_marginal', found);
            return { ...known, sum, missing, best, contexts, ids: heap.ints(data, length) };
          } finally {
            heap.exports.marginal_free(found);
            heap.release(found);
          }
        }
        const { theta, cuts, most, samples, seed } = sample;
        const rng = alloc(heap.sizeOf('mt_rng')), ends = alloc(4 * cuts.length), p = this.#doubles(alloc, samples), q = this.#doubles(alloc, samples);
        heap.exports.rng_seed(rng, ...seed);
        heap.putInts(ends, cuts);
        heap.call('marginal_sample', spellings, session, tokenizer, list, prompt.length, Number(end), limit, theta, ends, cuts.length, most, samples, rng, p, q);
        return { ...known, logP: heap.doubles(p, samples), logQ: heap.doubles(q, samples) };
      } finally {
        heap.exports.spellings_free(spellings);
      }
    });
  }

  /** ln P(ids | prompt) of each list. @param {{lists: number[][], prompt: number[], end: boolean, limit: number}} args @returns {Float64Array} */
  scoreSequences({ lists, prompt, end, limit }) {
    const heap = this.heap, total = lists.reduce((sum, ids) => sum + ids.length, 0);
    return this.#scoring(limit, prompt, (alloc, session, tokenizer, list) => {
      const ids = alloc(4 * total), start = alloc(4 * (lists.length + 1)), out = this.#doubles(alloc, lists.length);
      let at = 0;
      heap.putInts(ids, lists.flat());
      heap.putInts(start, [0, ...lists.map((x) => (at += x.length))]);
      heap.call('score_sequences', session, tokenizer, list, prompt.length, ids, start, lists.length, Number(end), limit, out);
      return heap.doubles(out, lists.length);
    });
  }
}
