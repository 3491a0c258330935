// Parameters of models that are trained here: named float tensors with gradients and an optimizer's moments, in the module's memory.
import { MicrotomeError, checkNumber, globExpression } from '../runtime/errors.js';
import { Threads, loadThreads } from './threads.js';
import { readSafetensors, writeSafetensors } from '../safetensors.js';
import { Rng } from '../lab/rng.js';
import { Graph } from './graph.js';

/** @typedef {import('../runtime/heap.js').Heap} Heap */
/**
 * How a parameter begins: a number everywhere; values; a function of the element's number; normal with a standard deviation; uniform in [-a, a).
 * @typedef {number | ArrayLike<number> | ((i: number) => number) | {normal: number} | {uniform: number}} Init
 */
/**
 * One step of an optimizer. `rate`: learning rate. `sgd` has momentum beta1 (default 0), the others beta1 0.9 and beta2 0.99.
 * `decay`: of weights; "adam" puts it into the gradient, "adamw" beside it (Loshchilov & Hutter 2019). `clip`: largest norm of all gradients together; 0: none.
 * `average`: an exponential moving average of the values is kept with this factor (see Params.average).
 * @typedef {{rule?: 'sgd' | 'adam' | 'adamw' | 'lion', rate: number, beta1?: number, beta2?: number, epsilon?: number, decay?: number, clip?: number, average?: number, nesterov?: boolean}} Update
 */
const RULES = { sgd: 'MT_RULE_SGD', adam: 'MT_RULE_ADAM', adamw: 'MT_RULE_ADAMW', lion: 'MT_RULE_LION' };
const KINDS = /** @type {const} */ (['value', 'moment1', 'moment2', 'average']);

/** A parameter. */
export class Param {
  /** @param {Params} params @param {string} name @param {number[]} dims @param {number} at its place in memory @internal */
  constructor(params, name, dims, at) {
    this.params = params;
    this.name = name;
    this.dims = dims;
    /** Elements. */ this.size = dims.reduce((a, b) => a * b, 1);
    this.at = at;
  }

  /** @param {'value' | 'grad' | 'moment1' | 'moment2' | 'average'} field */
  #view(field) {
    const { heap } = this.params, at = heap.read('mt_variable', this.at)[field];
    return at ? new Float32Array(heap.buffer, at, this.size) : null;
  }
  /** The values, as they lie in the module's memory: valid until something is allocated there. @returns {Float32Array} */
  get value() { return /** @type {Float32Array} */ (this.#view('value')); }
  /** The gradient of the last step, likewise. @returns {Float32Array} */
  get grad() { return /** @type {Float32Array} */ (this.#view('grad')); }
  /** The moving average, where an update has kept one. @returns {Float32Array | null} */
  get average() { return this.#view('average'); }
  /** What the optimizer remembers of it, as it lies in memory; null: no step has kept one. @param {'moment1' | 'moment2'} which mean of gradients, mean of their squares @returns {Float32Array | null} */
  moment(which) { return this.#view(which); }
  /** @returns {Float32Array<ArrayBuffer>} a copy of the values */
  read() { return new Float32Array(this.value); }

  /** New values. @param {Init} init @throws {MicrotomeError} ERANGE: more or fewer values, or another beginning */
  set(init) {
    const to = this.value, { rng } = this.params;
    if (typeof init === 'number') to.fill(init);
    else if (typeof init === 'function') for (let i = 0; i < to.length; i++) to[i] = init(i);
    else if ('length' in init) {
      if (init.length !== to.length) throw new MicrotomeError(`parameter "${this.name}": ${init.length} values, expected ${to.length} (${this.dims.join(' x ')})`, { code: 'ERANGE' });
      to.set(init);
    } else if ('normal' in init) for (let i = 0; i < to.length; i++) to[i] = rng.normal(0, init.normal);
    else if ('uniform' in init) for (let i = 0; i < to.length; i++) to[i] = rng.uniform(-init.uniform, init.uniform);
    else throw new MicrotomeError(`parameter "${this.name}": it cannot begin as ${JSON.stringify(init)}`, { code: 'ERANGE' });
  }
  /** The optimizer's moments become zero. */
  forget() { this.params.heap.exports.variable_forget(this.at); }
}

/** All parameters of a model: free() them. */
export class Params {
  /** @type {Map<string, Param>} */ #params = new Map();
  /** @type {Set<Graph>} */ #graphs = new Set();
  #at = 0;
  #update = 0;
  #threads;
  /** Those that end with these parameters. @type {Threads | null} */ #own = null;

  /**
   * Parameters in an instance of their own thread's module. @param {import('../runtime/load.js').RuntimeOptions & {seed?: number, threads?: number, signal?: AbortSignal}} [options] seed: of the initial values, default 0.
   * threads: 1 to 64, default 1; more only in Node (on a page, labs train in workers with threads), see `threads` for how many there are. Results do not depend on it. They wait until close()
   */
  static async create({ seed = 0, ...options } = {}) {
    const { heap, threads } = await loadThreads(options), params = new Params(heap, { rng: new Rng(seed, 'init'), threads });
    params.#own = threads;
    return params;
  }

  /** Use Params.create. @param {Heap} heap @param {{rng?: Rng, threads?: Threads}} [options] rng: what initial values are drawn from; threads: over this heap @internal */
  constructor(heap, { rng = new Rng(0, 'init'), threads = new Threads() } = {}) {
    this.heap = heap;
    this.rng = rng;
    this.#threads = threads;
    this.#at = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('variables_new', out);
      return heap.u32(out);
    });
    this.#update = heap.make('mt_update');
  }

  /** Their place in memory. @returns {number} @internal */
  get at() {
    if (!this.#at) throw new MicrotomeError('the parameters were freed', { code: 'ESTATE' });
    return this.#at;
  }

  /** How many threads compute. @returns {number} */
  get threads() { return this.#threads.count; }
  /** @internal The address of their pool. */
  get pool() { return this.#threads.pool; }

  /** A graph over these parameters. @returns {Graph} */
  graph() {
    const graph = new Graph(this, (g) => this.#graphs.delete(g));
    this.#graphs.add(graph);
    return graph;
  }

  /**
   * The parameter of that name; it is made where there is none yet. @param {string} name @param {number[]} dims 1 to 4 numbers, row-major @param {Init} [init] default 0
   * @returns {Param} @throws {MicrotomeError} ESTATE: it is there with other dims
   */
  param(name, dims, init = 0) {
    const there = this.#params.get(name);
    if (there) {
      if (there.dims.join() !== dims.join()) throw new MicrotomeError(`parameter "${name}" is ${there.dims.join(' x ')}, not ${dims.join(' x ')}`, { code: 'ESTATE' });
      return there;
    }
    const { heap } = this;
    const at = heap.scope((alloc) => {
      const out = alloc(4), list = alloc(4 * dims.length + 4);
      heap.putInts(list, dims);
      heap.call('variable_add', this.at, heap.putCString(alloc, name), dims.length, list, out);
      return heap.u32(out);
    });
    const param = new Param(this, name, [...dims], at);
    this.#params.set(name, param);
    param.set(init);
    return param;
  }

  /** @param {string} [glob] default: all @returns {Param[]} in the order in which they were made */
  list(glob) {
    const all = [...this.#params.values()];
    if (glob === undefined) return all;
    const match = globExpression(glob);
    return all.filter((p) => match.test(p.name));
  }
  /** A parameter by its name. @param {string} name as it was made @returns {Param} @throws {MicrotomeError} EMISSING: there is none; the message lists those that are there */
  get(name) {
    const found = this.#params.get(name);
    if (!found) throw new MicrotomeError(`there is no parameter "${name}" (${[...this.#params.keys()].join(', ') || 'none at all'})`, { code: 'EMISSING' });
    return found;
  }
  /** Numbers that are trained, of all parameters together. @returns {number} */
  get count() { return this.list().reduce((sum, p) => sum + p.size, 0); }

  /**
   * Sets parameters apart. @param {string} glob of names @param {{rate?: number, decay?: number, frozen?: boolean}} group rate, decay: times those of the update (default 1); frozen: not updated
   * @returns {number} how many parameters match
   */
  group(glob, { rate = 1, decay = 1, frozen = false }) {
    const found = this.list(glob);
    for (const p of found) this.heap.exports.variable_group(p.at, rate, decay, Number(frozen));
    return found.length;
  }

  /** Gradients become zero. */
  zero() { this.heap.exports.variables_zero(this.at); }

  /** One step of an optimizer along the gradients that are there. @param {Update} update @returns {number} the norm of the gradients before clipping @throws {MicrotomeError} ESTATE: training has diverged; nothing was changed */
  step({ rule = 'adamw', rate, beta1 = rule === 'sgd' ? 0 : 0.9, beta2 = 0.99, epsilon = 1e-8, decay = 0, clip = 0, average = 0, nesterov = false }) {
    const { heap } = this;
    if (!Object.hasOwn(RULES, rule)) throw new MicrotomeError(`rule: ${JSON.stringify(rule)} is not one of ${Object.keys(RULES).join(', ')}`, { code: 'EUNKNOWN' });
    heap.refresh();
    const field = (/** @type {string} */ name) => this.#update + heap.field('mt_update', name).offset;
    heap.view.setInt32(field('rule'), heap.enums[RULES[rule]], true);
    heap.view.setUint8(field('nesterov'), Number(nesterov));
    for (const [name, value] of Object.entries({ rate, beta1, beta2, epsilon, decay, clip, average })) {
      if (typeof value !== 'number') throw new MicrotomeError(`${name}: ${String(value)} is not a number`, { code: 'ERANGE' });
      heap.view.setFloat64(field(name), value, true);
    }
    return heap.scope((alloc) => {
      const out = alloc(8);
      heap.call('variables_step', this.at, this.pool, this.#update, out);
      return heap.view.getFloat64(out, true);
    });
  }

  /** Exchanges values and moving averages: once to look at the averaged model, once more to go on. */
  swapAverages() {
    for (const p of this.list()) {
      const { value, average } = p;
      if (!average) continue;
      const before = new Float32Array(value);
      value.set(average);
      average.set(before);
    }
  }

  /** The values alone, as a safetensors file. @returns {Uint8Array<ArrayBuffer>} */
  weights() { return writeSafetensors(Object.fromEntries(this.list().map((p) => [p.name, { dims: p.dims, data: p.value }]))); }

  /** Everything that the next step depends on: values, moments, averages, counts. @returns {Uint8Array<ArrayBuffer>} */
  save() {
    /** @type {Record<string, import('../safetensors.js').FloatTensor>} */ const tensors = {};
    /** @type {Record<string, number>} */ const steps = {};
    for (const p of this.list()) {
      steps[p.name] = this.heap.read('mt_variable', p.at).steps;
      for (const kind of KINDS) {
        const data = kind === 'value' ? p.value : kind === 'average' ? p.average : p.moment(kind);
        if (data) tensors[`${kind} ${p.name}`] = { dims: p.dims, data };
      }
    }
    return writeSafetensors(tensors, { steps: JSON.stringify(steps) });
  }

  /** Puts back what save() gave, into parameters of the same names and dims. @param {Uint8Array} bytes @throws {MicrotomeError} EFORMAT, ESTATE: of another model; nothing was changed */
  restore(bytes) {
    const { tensors, metadata } = readSafetensors(bytes, 'the saved parameters'), { heap } = this;
    const steps = JSON.parse(metadata.steps ?? '{}');
    const wanted = new Set(Object.keys(tensors));
    for (const p of this.list()) {
      const saved = tensors[`value ${p.name}`];
      if (!saved || saved.dims.join() !== p.dims.join()) throw new MicrotomeError(`the saved parameters are of another model: "${p.name}" is ${saved ? saved.dims.join(' x ') : 'not there'}, expected ${p.dims.join(' x ')}`, { code: 'ESTATE' });
      for (const kind of KINDS) wanted.delete(`${kind} ${p.name}`);
    }
    if (wanted.size) throw new MicrotomeError(`the saved parameters are of another model: nothing here is called ${[...wanted][0]}`, { code: 'ESTATE' });
    for (const p of this.list()) {
      const has = (/** @type {string} */ kind) => tensors[`${kind} ${p.name}`];
      heap.call('variable_moments', p.at, (has('moment1') ? 1 : 0) | (has('moment2') ? 2 : 0) | (has('average') ? 4 : 0));
      p.forget();
      p.value.set(has('value').data);
      if (has('moment1')) p.moment('moment1')?.set(has('moment1').data);
      if (has('moment2')) p.moment('moment2')?.set(has('moment2').data);
      if (has('average')) p.average?.set(has('average').data);
      heap.exports.variable_steps(p.at, checkNumber(`steps of "${p.name}"`, steps[p.name] ?? 0, 0, Number.MAX_SAFE_INTEGER, true));
    }
  }

  /** Frees the parameters and their graphs. */
  free() {
    if (!this.#at) return;
    for (const graph of [...this.#graphs]) graph.free();
    this.heap.exports.variables_free(this.#at);
    this.heap.release(this.#update);
    this.#at = 0;
  }

  /** Frees the parameters and ends the threads that create() started (not those of labCore, which others may share). Can be called again. @returns {Promise<void>} */
  async close() {
    this.free();
    await this.#own?.close();
  }
}
