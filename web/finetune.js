// Fine-tuning of a loaded model: its own parameters, or low-rank adapters beside matrices that stay as they are.
import { readOf, targetsOf } from './grad.js';
import { checkNumber, checkOptions, disposed } from './runtime/errors.js';
import { MicrotomeError } from './runtime/heap.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';

/** @typedef {import('./runtime/client.js').WorkerClient} WorkerClient */
/** @typedef {import('./model.js').ModelInfo} ModelInfo */
/** @typedef {import('./grad.js').PlainGradients} PlainGradients */
/**
 * An optimizer. rule: default adamw; rate: learning rate, default 1e-4 (of adapters alone 1e-3); beta1: 0.9 (sgd: 0); beta2: 0.99; epsilon: 1e-8; decay: of weights, 0; clip: largest norm of all gradients
 * together, default 1, 0: none. See docs/nets.md for the rules.
 * @typedef {{rule?: 'sgd' | 'adam' | 'adamw' | 'lion', rate?: number, beta1?: number, beta2?: number, epsilon?: number, decay?: number, clip?: number, nesterov?: boolean}} TuneUpdate
 */
/**
 * @typedef {object} FineTuneOptions
 * @property {string | string[]} [parameters] names or globs of tensors of the model's file that are trained. Default: all; with adapters none
 * @property {string | string[]} [freeze] those of them that are not
 * @property {{matrices: string | string[], rank?: number, alpha?: number, seed?: number}} [adapters] low-rank adapters (Hu et al. 2021): W becomes W + alpha / rank B A, with A [rank][in] and B [out][rank]. matrices: names or
 *   globs of tensors; by a glob those are taken that can have one, matrices of products. rank: default 8; alpha: default the rank; seed: of A, default 0; B begins as zeros
 * @property {TuneUpdate} [update] of every step
 * @property {Uint8Array} [state] what save() gave: goes on from there, with the options of then
 * @property {AbortSignal} [signal]
 */
/** A text: ids or a string, or with targets for each token (null: none; default: the next token); decoderIds and targets are the decoder's. @typedef {string | Iterable<number> | {ids: string | Iterable<number>, targets?: (number | null)[], decoderIds?: Iterable<number>}} TuneText */

const UPDATE = ['rule', 'rate', 'beta1', 'beta2', 'epsilon', 'decay', 'clip', 'nesterov'], RULES = ['sgd', 'adam', 'adamw', 'lion'];
const PART_TEXTS = 32; // texts of one evaluation
const list = (/** @type {string | string[] | undefined} */ globs) => (globs === undefined ? [] : typeof globs === 'string' ? [globs] : [...globs]);

/** @param {string} where @param {TuneUpdate} update @param {TuneUpdate} [base] */
function updateOf(where, update, base = {}) {
  checkOptions(where, update, UPDATE);
  const all = { ...base, ...update }, { rule = 'adamw', nesterov = false } = all;
  if (!RULES.includes(rule)) throw new MicrotomeError(`${where}: rule: ${JSON.stringify(rule)} is not one of ${RULES.join(', ')}`, { code: 'EUNKNOWN' });
  const { rate = 1e-4, beta1 = rule === 'sgd' ? 0 : 0.9, beta2 = 0.99, epsilon = 1e-8, decay = 0, clip = 1 } = all, numbers = { rate, beta1, beta2, epsilon, decay, clip };
  for (const [name, value] of Object.entries(numbers)) checkNumber(`${where}: ${name}`, value, 0, name.startsWith('beta') ? 1 - 1e-9 : 1e30);
  return { rule, nesterov, numbers };
}

/**
 * Made by Model.finetune(). The model has the present parameters and adapters in everything that it does.
 *
 *   const tuning = await model.finetune({ adapters: { matrices: '*attn*', rank: 8 } });
 *   for (const batch of batches) console.log((await tuning.step(batch, { rate: 1e-3 })).loss);
 *   const bytes = await tuning.save();   // the adapters, as safetensors
 *   await tuning.merge();                // W + B A from now on
 */
export class FineTune {
  #owner; #options; #update;
  /** @type {{name: string, dims: number[]}[]} */ #variables;
  #open = true;

  /** @param {{client: () => WorkerClient, ids: (x: Iterable<number> | string) => number[], info: ModelInfo, file: string}} owner @param {FineTuneOptions} options @returns {Promise<FineTune>} @internal */
  static async open(owner, options) {
    checkOptions('finetune', options, ['parameters', 'freeze', 'adapters', 'update', 'state', 'signal']);
    const { state, signal, ...given } = options, saved = state && readSafetensors(state, 'the saved fine-tuning');
    const { parameters, freeze, adapters, update = {} } = /** @type {FineTuneOptions} */ (saved ? { ...JSON.parse(saved.metadata.options ?? '{}'), ...given } : given);
    if (adapters) checkOptions('finetune: adapters', adapters, ['matrices', 'rank', 'alpha', 'seed']);
    const { rank = 8, alpha = rank, seed = 0 } = adapters ?? {};
    checkNumber('finetune: rank', rank, 1, 2 ** 16, true);
    checkNumber('finetune: alpha', alpha, 1e-9, 1e9);
    checkNumber('finetune: seed', seed, 0, Number.MAX_SAFE_INTEGER, true);
    const args = { parameters: parameters === undefined && !adapters ? ['*'] : list(parameters), freeze: list(freeze), adapters: list(adapters?.matrices), rank, alpha, seed };
    if (adapters && !args.adapters.length) throw new MicrotomeError('finetune: adapters: matrices: names of tensors are needed', { code: 'EMISSING' });
    const base = { ...(!args.parameters.length && { rate: 1e-3 }), ...update };
    updateOf('finetune: update', base);
    const tuning = new FineTune(owner, { parameters: args.parameters, freeze: args.freeze, ...(adapters && { adapters: { matrices: args.adapters, rank, alpha, seed } }), update }, base, await owner.client().call('tuneOpen', args, { signal }));
    if (saved) await tuning.#restore(saved).catch(async (error) => { await tuning.dispose(); throw error; });
    return tuning;
  }

  /** Use Model.finetune. @param {Parameters<typeof FineTune.open>[0]} owner @param {Record<string, any>} options @param {TuneUpdate} update @param {{name: string, dims: number[]}[]} variables @internal */
  constructor(owner, options, update, variables) {
    this.#owner = owner;
    this.#options = options;
    this.#update = update;
    this.#variables = variables;
  }

  #live() {
    if (!this.#open) throw disposed('this fine-tuning');
    return this.#owner.client();
  }

  /** What is trained, by GGUF's names: parameters, and `.lora_a`, `.lora_b` of matrices. */
  get variables() { return this.#variables.map(({ name, dims }) => ({ name, dims: [...dims] })); }
  /** Numbers that are trained. */
  get count() { return this.#variables.reduce((sum, { dims }) => sum + dims.reduce((a, b) => a * b, 1), 0); }

  /** @param {TuneText[]} batch @param {number} most @returns {{parts: PlainGradients[], tokens: number}} */
  #parts(batch, most) {
    const { info } = this.#owner, wrong = (/** @type {string} */ what) => new MicrotomeError(`step: ${what}`, { code: 'ERANGE' });
    if (!Array.isArray(batch) || !batch.length) throw wrong('a list of texts is needed');
    const texts = batch.map((text) => {
      const { ids, targets, decoderIds } = text && typeof text === 'object' && 'ids' in text ? text : { ids: text, targets: undefined, decoderIds: undefined };
      const { source, read } = readOf(this.#owner.ids(ids), info, decoderIds);
      return { source, read, targets: targetsOf(read, info, targets) };
    });
    const tokens = texts.reduce((sum, { targets }) => sum + targets.filter((id) => id >= 0).length, 0);
    if (!tokens) throw wrong('nothing is predicted in this batch');
    /** @type {(PlainGradients & {loss: {targets: number[]}})[]} */ const parts = [];
    let size = Infinity;
    for (const { source, read, targets } of texts) {
      if (!targets.some((id) => id >= 0)) continue;
      const last = parts[parts.length - 1];
      if (source || size + read.length > most || last.lists.length >= PART_TEXTS) {
        parts.push({ lists: [read], source, typeIds: null, loss: { targets: [...targets], of: tokens }, segments: 0 });
        size = read.length;
        continue;
      }
      last.lists.push(read);
      last.loss.targets.push(...targets);
      size += read.length;
    }
    return { parts, tokens };
  }

  /**
   * One step of the optimizer on a batch. All or nothing: after an error or an abort the model is as it was.
   * @param {TuneText[]} batch none sees another; the loss is the mean over all targets @param {TuneUpdate & {partTokens?: number, recompute?: boolean, signal?: AbortSignal}} [options] what differs from `update` in this step, such as the rate of a
   *   schedule; partTokens: so many at most are evaluated together, default 2048: fewer take less memory; recompute: as for Model.gradients
   * @returns {Promise<{loss: number, norm: number, tokens: number}>} loss: in nats, before the step; norm: of the gradients, before clipping; tokens: predicted ones
   * @throws {MicrotomeError} ESTATE: gradients are not finite, or the adapters were merged; ERANGE: as Model.gradients
   */
  async step(batch, options = {}) {
    const { signal, partTokens = 2048, recompute = false, ...update } = options;
    const client = this.#live(), { parts, tokens } = this.#parts(batch, checkNumber('step: partTokens', partTokens, 1, 2 ** 24, true));
    const args = { parts: parts.map((part) => ({ ...part, segments: recompute ? -1 : 0 })), ...updateOf('step', update, this.#update) };
    return { ...(await client.call('tuneStep', args, { signal })), tokens };
  }

  /** W becomes W + alpha / rank B A, as float32, and the adapters go. No step can be made any more. @returns {Promise<void>} */
  async merge() { await this.#live().call('tuneMerge'); }

  /**
   * What is trained, as a safetensors file by GGUF's names; the options are in its metadata. @param {{all?: boolean}} [options] all: with what the next step depends on besides, to go on bit for bit
   * @returns {Promise<Uint8Array<ArrayBuffer>>} for `finetune({state})`
   */
  async save(options = {}) {
    checkOptions('save', options, ['all']);
    const { all = false } = options;
    /** @type {Record<string, import('./safetensors.js').FloatTensor>} */ const tensors = {};
    /** @type {Record<string, number>} */ const steps = {};
    for (const v of await this.#live().call('tuneRead', { all })) {
      tensors[v.name] = { dims: v.dims, data: v.value };
      for (const kind of ['moment1', 'moment2']) if (v[kind]) tensors[`${v.name} ${kind}`] = { dims: v.dims, data: v[kind] };
      steps[v.name] = v.steps;
    }
    return writeSafetensors(tensors, { architecture: this.#owner.info.architecture, options: JSON.stringify(this.#options), ...(all && { steps: JSON.stringify(steps) }) });
  }

  /** @param {ReturnType<typeof readSafetensors>} saved */
  async #restore({ tensors, metadata }) {
    const steps = JSON.parse(metadata.steps ?? '{}');
    /** @type {Record<string, any>} */ const variables = {};
    for (const { name, dims } of this.#variables) {
      const found = tensors[name];
      if (!found || found.dims.join() !== dims.join()) throw new MicrotomeError(`the saved fine-tuning is of another model or of other options: "${name}" is ${found ? found.dims.join(' x ') : 'not there'}, expected ${dims.join(' x ')}`, { code: 'ESTATE' });
      variables[name] = { value: found.data, moment1: tensors[`${name} moment1`]?.data, moment2: tensors[`${name} moment2`]?.data, steps: checkNumber(`steps of "${name}"`, steps[name] ?? 0, 0, Number.MAX_SAFE_INTEGER, true) };
    }
    await this.#live().call('tuneWrite', { variables });
  }

  /**
   * The model as it is now, as a GGUF file. Adapters are not in it before merge(). @param {Pick<import('./quantize.js').QuantizeOptions, 'type' | 'keep' | 'output' | 'onProgress' | 'signal'>} [options] as quantize(); type: default F32
   * @returns {Promise<import('./quantize.js').QuantizeResult>} the tokenizer of a GGUF goes over; that of a hub folder does not
   */
  async write(options = {}) {
    const client = this.#live(), { writeLoaded } = await import('./quantize.js');
    return writeLoaded(client, await client.call('header'), options);
  }

  /** The model keeps what its parameters have become, and loses its adapters unless they were merged. Can be called again. @returns {Promise<void>} */
  async dispose() {
    if (!this.#open) return;
    this.#open = false;
    await this.#owner.client().call('tuneClose');
  }
}
if (Symbol.asyncDispose) Object.defineProperty(FineTune.prototype, Symbol.asyncDispose, { value: FineTune.prototype.dispose, configurable: true, writable: true });
