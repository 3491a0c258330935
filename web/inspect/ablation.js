// Taking parts of a model away, and what the next token's distribution makes of it.
import { MicrotomeError, checkNumber, checkOptions } from '../runtime/errors.js';
import { argmax, changeOf, idsOf, placeOf, streamOf } from './stream.js';

/** @typedef {import('./stream.js').Model} Model */
/** @typedef {import('./stream.js').Change} Change */
/** @typedef {import('../patch.js').Patch} Patch */
/**
 * A part of a model. head: what one head adds; attention, mlp: what a layer's half adds; layer: both; neuron: one coefficient; state: the stream after a layer.
 * @typedef {object} Site
 * @property {'head' | 'attention' | 'mlp' | 'layer' | 'neuron' | 'state'} kind @property {number} layer @property {number} [head] @property {number} [neuron]
 * @property {number | null} [position] there alone, from 0; default: everywhere
 */
/** @typedef {'zero' | 'mean' | 'first'} How zero: nothing is left; mean: what it is on average over the positions of this text; first: the head looks at the first token alone */
/**
 * @typedef {Change & {site: Site, logit: number, probability: number}} Effect of one part: logit, probability: change of the token's
 */

const KINDS = ['head', 'attention', 'mlp', 'layer', 'neuron', 'state'], WAYS = ['zero', 'mean', 'first'];

/** A part's name: "L3H5", "attention 3", "mlp 3", "layer 3", "neuron 3.155", "state 3", and where. @param {Site} site */
export function siteName({ kind, layer, head, neuron, position }) {
  const name = kind === 'head' ? `L${layer}H${head}` : kind === 'neuron' ? `neuron ${layer}.${neuron}` : `${kind} ${layer}`;
  return position === undefined || position === null ? name : `${name} at ${position}`;
}

/**
 * Patches that take parts away. @param {Site[]} sites the parts @param {How} how @param {number} tokens of the text @returns {Patch[]} for Model.run and Session.append
 * @throws {MicrotomeError} EUNKNOWN: no such kind, no such way; ERANGE; ESTATE: "first" is for heads
 */
export function ablationPatches(sites, how, tokens) {
  if (!WAYS.includes(how)) throw new MicrotomeError(`ablate: unknown way ${JSON.stringify(how)}: known are ${WAYS.join(', ')}`, { code: 'EUNKNOWN' });
  return sites.flatMap((site) => {
    const { kind, layer, head, neuron, position = null } = site;
    if (!KINDS.includes(kind)) throw new MicrotomeError(`ablate: unknown kind ${JSON.stringify(kind)}: known are ${KINDS.join(', ')}`, { code: 'EUNKNOWN' });
    checkNumber('ablate: layer', layer, 0, 2 ** 24, true);
    if (kind === 'head') checkNumber('ablate: head', /** @type {number} */ (head), 0, 2 ** 24, true);
    if (kind === 'neuron') checkNumber('ablate: neuron', /** @type {number} */ (neuron), 0, 2 ** 24, true);
    if (position !== null) checkNumber('ablate: position', position, 0, tokens - 1, true);
    const name = (/** @type {string} */ what) => `blocks.${layer}.${what}`, part = kind === 'head' ? /** @type {number} */ (head) : kind === 'neuron' ? /** @type {number} */ (neuron) : null;
    if (how === 'first') {
      if (kind !== 'head') throw new MicrotomeError(`ablate: ${siteName(site)}: only a head can look at the first token`, { code: 'ESTATE' });
      const rows = position === null ? tokens : 1, value = new Float32Array(rows * tokens);
      for (let i = 0; i < rows; i++) value[i * tokens] = 1;
      return [/** @type {Patch} */ ({ name: name('attn.hook_pattern'), kind: 'replace', index: [/** @type {number} */ (head), position], value })];
    }
    const values = { head: ['attn.hook_z'], neuron: ['mlp.hook_post'], attention: ['hook_attn_out'], mlp: ['hook_mlp_out'], layer: ['hook_attn_out', 'hook_mlp_out'], state: ['hook_resid_post'] }[kind];
    return values.map((what) => /** @type {Patch} */ ({ name: name(what), kind: how, index: part === null ? [position] : [position, part] }));
  });
}

/**
 * One run without some parts, beside one with all. @param {Model} model @param {import('./stream.js').Prompt} prompt @param {Site[]} sites all are taken away at once
 * @param {{how?: How, position?: number, top?: number, signal?: AbortSignal}} [options] how: default zero; position: whose next token, default -1; top: tokens that are listed, default 8
 * @returns {Promise<Change & {before: Float32Array, after: Float32Array}>} before, after: logits [vocab] @throws {MicrotomeError} as ablationPatches, Model.run
 */
export async function ablate(model, prompt, sites, options = {}) {
  checkOptions('ablate', options, ['how', 'position', 'top', 'signal']);
  const { how = 'zero', top = 8, signal } = options, ids = idsOf(model, prompt), t = placeOf('ablate', options.position ?? -1, ids.length), patch = ablationPatches(sites, how, ids.length);
  checkNumber('ablate: top', top, 1, 2 ** 24, true);
  const before = await rowOf(model, ids, t, { signal }), after = await rowOf(model, ids, t, { patch, signal });
  return { ...changeOf(before, after, top), before, after };
}

/** Logits at a place. @param {Model} model @param {number[]} ids @param {number} t @param {Parameters<Model['run']>[1]} options @returns {Promise<Float32Array>} */
async function rowOf(model, ids, t, options) {
  const { logits, vocab } = await model.run(ids, { ...options, all: t < ids.length - 1 });
  return logits.length === vocab ? logits : logits.slice(t * vocab, (t + 1) * vocab);
}

/**
 * Each part of a model taken away in turn: what it is worth for a prediction, all that later layers make of it (and put in its place) included.
 * @param {Model} model @param {import('./stream.js').Prompt} prompt
 * @param {{parts?: ('head' | 'attention' | 'mlp' | 'layer')[], how?: How, position?: number, token?: number, against?: number | null, top?: number, signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} [options]
 *   parts: default heads, attention and mlp; how: default zero; position: default -1; token: default the likeliest; against: its logit is taken off; top: tokens listed of each effect, default 4
 * @returns {Promise<{position: number, token: number, against: number | null, before: Float32Array, effects: Effect[]}>} effects in the order of layers @throws {MicrotomeError} as ablate
 */
export async function ablationSweep(model, prompt, options = {}) {
  checkOptions('ablationSweep', options, ['parts', 'how', 'position', 'token', 'against', 'top', 'signal', 'onProgress']);
  const { how = 'zero', against = null, parts = how === 'first' ? ['head'] : ['head', 'attention', 'mlp'], top = 4, signal, onProgress } = options, ids = idsOf(model, prompt), T = ids.length, t = placeOf('ablationSweep', options.position ?? -1, T);
  const { layers, heads, names, vocab } = await streamOf(model), before = await rowOf(model, ids, t, { signal }), token = options.token ?? argmax(before);
  for (const [name, id] of /** @type {[string, number | null][]} */ ([['token', token], ['against', against]])) if (id !== null) checkNumber(`ablationSweep: ${name}`, id, 0, vocab - 1, true);
  /** @type {Site[]} */ const sites = [];
  for (let layer = 0; layer < layers; layer++) {
    const has = (/** @type {string} */ what) => names.has(`blocks.${layer}.${what}`);
    for (const kind of parts) {
      if (kind === 'head') { if (has('attn.hook_z')) for (let head = 0; head < heads; head++) sites.push({ kind, layer, head }); }
      else if (kind === 'attention' ? has('hook_attn_out') : kind === 'mlp' ? has('hook_mlp_out') : has('hook_attn_out') && has('hook_mlp_out')) sites.push({ kind, layer });
    }
  }
  // What comes before a layer is the same with and without its parts: each run starts at its layer.
  const starts = Array.from({ length: layers }, (_, l) => `blocks.${l}.hook_resid_pre`), { traces } = await model.run(ids, { trace: starts, all: true, signal }), effects = /** @type {Effect[]} */ ([]);
  const metric = (/** @type {Float32Array} */ row) => row[token] - (against === null ? 0 : row[against]);
  for (const [i, site] of sites.entries()) {
    const name = starts[site.layer], after = await rowOf(model, ids, t, { from: { name, data: traces[name].data }, patch: ablationPatches([site], how, T), signal }), change = changeOf(before, after, top);
    const of = (/** @type {number} */ id) => change.tokens.find((entry) => entry.token === id) ?? changeOf(before, after, vocab).tokens.find((entry) => entry.token === id);
    const { before: p, after: q } = /** @type {{before: number, after: number}} */ (of(token));
    effects.push({ site, ...change, logit: metric(after) - metric(before), probability: q - p });
    onProgress?.(i + 1, sites.length);
  }
  return { position: t, token, against, before, effects };
}
