// Systems that look inside the bundled model. Each gives what it measured beside what the claim demands.
import { attentionOf } from '../inspect/attention.js';
import { feedForwardMaps } from '../inspect/feedforward.js';
import { logitLens } from '../inspect/lens.js';
import { neuronReadings, valueVectors } from '../inspect/neurons.js';
import { attentionSinks, stateNorms } from '../inspect/sinks.js';
import { logSoftmax } from '../inspect/stream.js';
import { above, atMost, below } from '../lab/measures.js';
import { Rng } from '../lab/rng.js';
import { STORY } from './texts.js';

/** @typedef {import('./run.js').Runner} Runner */
/** @typedef {import('../model.js').Model} Model */

/** @param {ArrayLike<number>} list @returns {number} NaN for none */
const mean = (list) => { let sum = 0; for (let i = 0; i < list.length; i++) sum += list[i]; return sum / list.length; };

/** Tokens of a text behind what a text begins with. @param {Model} model @param {string} text */
const idsOf = (model, text) => Array.from(model.tokenizer.encode(text, { addSpecialTokens: true, offsets: false }).ids);

/** The share of pairs of a right and a wrong one in which the right one scores higher, equal ones counting half. @param {{score: number, right: boolean}[]} list */
export function areaUnderCurve(list) {
  let sum = 0, pairs = 0;
  for (const a of list) if (a.right) for (const b of list) if (!b.right) { pairs++; sum += a.score > b.score ? 1 : a.score === b.score ? 0.5 : 0; }
  return sum / pairs;
}

/** Ranks from 0, equal values sharing their mean. @param {ArrayLike<number>} values */
function ranks(values) {
  const order = Array.from(values, (_, i) => i).sort((a, b) => values[a] - values[b]), out = new Float64Array(values.length);
  for (let i = 0, j; i < order.length; i = j) {
    for (j = i; j < order.length && values[order[j]] === values[order[i]]; j++);
    for (let k = i; k < j; k++) out[order[k]] = (i + j - 1) / 2;
  }
  return out;
}
/** Rank correlation. @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export function spearman(a, b) {
  const [x, y] = [ranks(a), ranks(b)], m = (x.length - 1) / 2;
  let both = 0, xs = 0, ys = 0;
  for (let i = 0; i < x.length; i++) { both += (x[i] - m) * (y[i] - m); xs += (x[i] - m) ** 2; ys += (y[i] - m) ** 2; }
  return both / Math.sqrt(xs * ys);
}

/** By id of the system. @type {Record<number, Runner>} */
export const RUNS = {
  26: {
    published: 'Sinks are in language models from 14M parameters on, and on random tokens too; on one token repeated, rotary models have none (rate 0 beside more than 90% on text). Unnormalised sigmoid attention has none up to 1B.',
    scope: 'The bundled model: sinks by the metric of the paper (64 tokens, epsilon 0.3) on stories, on random tokens, on one repeated token. Nothing is trained, and attention without normalisation is not run.',
    async run({ model, full, signal, onProgress }) {
      const tiny = await model(), { bos, eos, vocabSize } = tiny.tokenizer, start = /** @type {number} */ (bos ?? eos), random = new Rng(1, 'atlas 26'), count = full ? 8 : 3, kinds = /** @type {const} */ (['story', 'random', 'repeated']), rates = { story: 0, random: 0, repeated: 0 };
      const later = new Float64Array(64);
      let values = 0, states = 0;
      for (let c = 0; c < count; c++)
        for (const [k, kind] of kinds.entries()) {
          const one = 259 + random.below(vocabSize - 259), text = idsOf(tiny, STORY.map((_, i) => STORY[(i + c) % STORY.length]).join(' ')), ids = kind === 'repeated' ? new Array(64).fill(one) : kind === 'story' ? text.slice(0, 64) : [start, ...Array.from({ length: 63 }, () => 259 + random.below(vocabSize - 259))];
          const { rate } = attentionSinks(await attentionOf(tiny, ids, { signal }));
          rates[kind] += rate[0] / count;
          if (kind === 'story') {
            for (let k = 1; k < 64; k++) later[k] += (Number.isNaN(rate[k]) ? 0 : rate[k]) / count;
            const norms = await stateNorms(tiny, ids, { signal }), middle = norms.layers >> 1, ratio = (/** @type {Float64Array} */ x) => x[middle * 64] / mean(x.subarray(middle * 64 + 1, (middle + 1) * 64));
            values += ratio(norms.values) / count;
            states += ratio(norms.states) / count;
          }
          onProgress(3 * c + k + 1, 3 * count);
        }
      return {
        headline: { label: 'heads with a sink at the first token of stories', value: rates.story, unit: '%' },
        checks: [above('heads with a sink at the first token of stories, %', rates.story, 5), above('the same on random tokens, %', rates.random, 5), atMost('the same on one token repeated, %', rates.repeated, 0), below('the most at any later token of the stories, over that', Math.max(...later) / rates.story, 0.1),
          above('length of the first token’s state in the middle layer, over that of the others', states, 1.5), below('length of its values, over that of the others', values, 0.7)],
      };
    },
  },
  34: {
    published: 'In masked and causal models feed-forward layers change the map of attention, above all for compositions into words and phrases; the residual path and the norm behind them cancel much of the change.',
    scope: 'The bundled model on its stories: maps by lengths before, in and behind each feed-forward layer, compared by rank correlation. The norm of the next layer is not counted, and which compositions gain is not judged.',
    async run({ model, full, signal, onProgress }) {
      const tiny = await model(), { layers } = tiny.info, texts = STORY.slice(0, full ? undefined : 4), changes = Array.from({ length: layers }, () => ({ within: 0, behind: 0 }));
      let error = 0;
      for (const [i, text] of texts.entries()) {
        const ids = idsOf(tiny, text).slice(0, 20);
        for (let layer = 0; layer < layers; layer++) {
          const maps = await feedForwardMaps(tiny, ids, { layer, signal }), seen = (/** @type {Float64Array} */ x) => x.filter((_, k) => k >= maps.tokens && k % maps.tokens <= Math.floor(k / maps.tokens));
          changes[layer].within += (1 - spearman(seen(maps.attention), seen(maps.feedForward))) / texts.length;
          changes[layer].behind += (1 - spearman(seen(maps.attention), seen(maps.both))) / texts.length;
          error = Math.max(error, maps.error);
          onProgress(i * layers + layer + 1, texts.length * layers);
        }
      }
      const within = mean(changes.map((c) => c.within)), behind = mean(changes.map((c) => c.behind));
      return {
        headline: { label: 'share of the change by feed-forward layers that the residual path takes back', value: 1 - behind / within },
        checks: [below('what the maps’ parts lack of what the layer writes, as a share', error, 1e-3), above('change of the map by the feed-forward layer, 1 - rank correlation, mean over layers', within, 0.02), below('change left behind the residual path, over that', behind / within, 0.5),
          atMost('layers behind whose residual path the map has changed more than in them', changes.filter((c) => c.behind > c.within).length, 0)],
      };
    },
  },
  45: {
    published: 'Residual predictions converge to the output over the layers; with GPT-2 XL on idioms, uncertainty tells right completions from wrong ones with an area of 0.92 under the curve.',
    scope: 'The bundled model on its stories: every next token in place of the last words of idioms, its guess being right or wrong.',
    async run({ model, full, signal, onProgress }) {
      const tiny = await model(), texts = STORY.slice(0, full ? undefined : 8), guesses = /** @type {{score: number, right: boolean}[]} */ ([]), early = /** @type {{score: number, right: boolean}[]} */ ([]);
      /** @type {Float64Array | null} */ let next = null;
      /** @type {Float64Array | null} */ let output = null;
      let places = 0;
      for (const [i, text] of texts.entries()) {
        const { rows, ids, cells, crossEntropy, crossToOutput } = await logitLens(tiny, idsOf(tiny, text), { top: 1, signal }), T = ids.length;
        next ??= new Float64Array(rows.length);
        output ??= new Float64Array(rows.length);
        for (let r = 0; r < rows.length; r++) { next[r] += crossEntropy[r] * (T - 1); output[r] += crossToOutput[r] * (T - 1); }
        places += T - 1;
        for (let t = 0; t + 1 < T; t++) {
          const last = cells[(rows.length - 1) * T + t], first = cells[T + t], right = last.token === ids[t + 1];
          guesses.push({ score: last.probability, right });
          early.push({ score: -first.kl, right });
        }
        onProgress(i + 1, texts.length);
      }
      const fall = (/** @type {Float64Array | null} */ curve) => Math.min(...Array.from(/** @type {Float64Array} */ (curve)).slice(1).map((x, r) => (/** @type {Float64Array} */ (curve)[r] - x) / places)), area = areaUnderCurve(guesses);
      return {
        headline: { label: 'area under the curve: how sure the output is, for right and wrong guesses', value: area },
        checks: [above('least fall of the cross-entropy to the next token from one layer to the next, nats', fall(next), 0), above('least fall of that to the output', fall(output), 0), above('area under the curve, output', area, 0.75), above('gain in area over the first layer’s nearness to the output', area - areaUnderCurve(early), 0.1)],
      };
    },
  },
  150: {
    published: 'Feed-forward updates are sums of fixed vectors that promote tokens; raising coefficients of chosen ones makes their tokens likelier, and predictions that saturate early let 20% of the computation be left out.',
    scope: 'The bundled model on its stories: the sum over neurons, what tripling a dominant neuron does to the token that it promotes most, and where predictions settle. Nobody judges concepts, and no exit is taken.',
    async run({ model, full, signal, onProgress }) {
      const tiny = await model(), { layers, width: D } = tiny.info, texts = STORY.slice(0, full ? undefined : 5), rises = /** @type {number[]} */ ([]), shares = /** @type {number[]} */ ([]);
      let error = 0, size = 0, settled = 0, places = 0, done = 0;
      for (const text of texts) {
        const ids = idsOf(tiny, text).slice(0, 24), plain = logSoftmax((await tiny.run(ids, { signal })).logits), lens = await logitLens(tiny, ids, { top: 1, signal });
        for (const l of lens.saturation) { settled += Number(l < layers - 1); places++; }
        for (let layer = 1; layer < layers; layer++) {
          const { neurons, share } = await neuronReadings(tiny, ids, { layer, neurons: 3, tokens: 1, signal }), name = `blocks.${layer}.mlp.hook_post`;
          shares.push(share);
          for (const { neuron, promotes: [{ token }] } of neurons) {
            const { logits } = await tiny.run(ids, { patch: [{ name, kind: 'scale', index: [ids.length - 1, neuron], value: 3 }], signal });
            rises.push(logSoftmax(logits)[token] - plain[token]);
          }
          const { vectors, bias, neurons: F } = await valueVectors(tiny, layer, { signal }), { traces } = await tiny.run(ids, { all: true, trace: [name, `blocks.${layer}.hook_mlp_out`], signal }), m = traces[name].data, out = traces[`blocks.${layer}.hook_mlp_out`].data, t = ids.length - 1;
          for (let i = 0; i < D; i++) {
            let sum = bias[i];
            for (let n = 0; n < F; n++) sum += m[t * F + n] * vectors[n * D + i];
            error = Math.max(error, Math.abs(sum - out[t * D + i]));
            size = Math.max(size, Math.abs(out[t * D + i]));
          }
        }
        onProgress(++done, texts.length);
      }
      return {
        headline: { label: 'dominant neurons that raise their token when they are tripled', value: rises.filter((x) => x > 0).length / rises.length },
        checks: [below('what a layer writes, less the sum over its neurons, as a share', error / size, 1e-3), above('neurons that raise their token when they are tripled', rises.filter((x) => x > 0).length / rises.length, 0.8), above('mean rise of its log-probability, nats', mean(rises), 0.3),
          above('share of three neurons of 512 in what a layer’s neurons write', mean(shares), 0.02), above('share of places that have settled before the last layer', settled / places, 0.3)],
      };
    },
  },
};
