// `microtome inspect FILE TEXT --what ...`: looking inside a model (web/inspect.js).
import { UsageError } from './args.js';
import { renamed } from './probe.js';
import {
  ablate, ablationSweep, attentionFlow, attentionOf, attentionRollout, attentionSinks, headDetection, headScores, inputGradients, leaveOneOut, logitAttribution, logitLens, massiveActivations, neuronReadings, patchingMap, siteName, stateNorms,
} from '../inspect.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../model.js').Model} Model */
/** @typedef {import('../inspect/ablation.js').Site} Site */

export const WHATS = ['lens', 'attribution', 'neurons', 'attention', 'sinks', 'massive', 'heads', 'ablate', 'patch', 'inputs'];
const OF = { layer: ['neurons'], neurons: ['attribution', 'neurons'], against: ['attribution', 'ablate', 'patch', 'inputs'], token: ['attribution', 'ablate', 'patch', 'inputs'], corrupt: ['patch'], 'corrupt-ids': ['patch'], direction: ['patch'], how: ['ablate'], site: ['ablate'], position: ['attribution', 'neurons', 'attention', 'ablate', 'patch', 'inputs'], epsilon: ['sinks'], length: ['heads'], seed: ['heads'], top: ['lens', 'neurons', 'massive', 'ablate'], repeated: ['heads'] };

/** @type {OptionSpec[]} */
export const INSIDE = [
  { name: 'what', kind: 'text', value: 'NAME', choices: WHATS, help: `look inside a model while it reads TEXT: ${WHATS.join(', ')}` },
  { name: 'ids', kind: 'ids', value: 'LIST', help: 'token ids instead of TEXT' },
  { name: 'position', kind: 'int', value: 'N', min: -(2 ** 24), max: 2 ** 24, help: 'which token; from the end if negative. Default: -1' },
  { name: 'token', kind: 'int', value: 'ID', min: 0, help: 'whose logit; default: the likeliest next token' },
  { name: 'against', kind: 'int', value: 'ID', min: 0, help: 'whose logit is taken off; patch: default the likeliest of the other prompt' },
  { name: 'layer', kind: 'int', value: 'L', min: 0, help: 'neurons: of this layer; default: the last' },
  { name: 'neurons', kind: 'int', value: 'N', min: 1, max: 2 ** 20, help: 'how many neurons are listed, default 10; attribution: default none' },
  { name: 'top', kind: 'int', value: 'N', min: 1, max: 2 ** 16, help: 'tokens (massive: activations) in each list' },
  { name: 'site', kind: 'texts', value: 'PART', help: 'ablate: take these away at once, such as L3H5, attention:3, mlp:3, layer:3, neuron:3.155, state:3, each with @POSITION if there alone; default: each head and layer in turn' },
  { name: 'how', kind: 'text', value: 'WAY', choices: ['zero', 'mean', 'first'], help: 'ablate: nothing is left (default), the mean over positions, or (heads) they look at the first token' },
  { name: 'corrupt', kind: 'text', value: 'TEXT', help: 'patch: the other prompt, of as many tokens' },
  { name: 'corrupt-ids', kind: 'ids', value: 'LIST', help: 'patch: its token ids' },
  { name: 'direction', kind: 'text', value: 'WAY', choices: ['denoise', 'noise'], help: 'patch: values of TEXT in the run of the other prompt (denoise, default), or the other way round' },
  { name: 'epsilon', kind: 'number', value: 'X', min: 0, max: 1, help: 'sinks: what importance a sink is above, default 0.3' },
  { name: 'repeated', kind: 'flag', help: 'heads: on random tokens repeated once instead of TEXT' },
  { name: 'length', kind: 'int', value: 'N', min: 1, max: 2 ** 16, help: 'heads --repeated: how many, default 50' },
  { name: 'seed', kind: 'int', value: 'N', min: 0, help: 'heads --repeated: which, default 0' },
];

/** @param {string} text @returns {Site} */
function siteFrom(text) {
  const found = /^(?:L(\d+)H(\d+)|(attention|mlp|layer|state):(\d+)|neuron:(\d+)\.(\d+))(?:@(\d+))?$/.exec(text);
  if (!found) throw new UsageError(`--site: "${text}" is no part: L3H5, attention:3, mlp:3, layer:3, neuron:3.155 or state:3, and @POSITION`);
  const [, l, h, kind, k, m, n, at] = found, position = at === undefined ? null : Number(at);
  if (l !== undefined) return { kind: 'head', layer: Number(l), head: Number(h), position };
  if (m !== undefined) return { kind: 'neuron', layer: Number(m), neuron: Number(n), position };
  return { kind: /** @type {'mlp'} */ (kind), layer: Number(k), position };
}

/**
 * @param {{line: (text: string) => Promise<void>, json: (value: any) => string, visible: (bytes: Uint8Array) => string, promptIds: (model: Model, options: Record<string, any>, rest: string[]) => Promise<number[]>,
 *   picked: (options: Record<string, any>, ...names: string[]) => Record<string, any>}} host
 */
export function insideOf({ line, json, visible, promptIds, picked }) {
  /** @param {Model} model @param {Record<string, any>} options @param {string[]} rest the text */
  return async function inside(model, options, rest) {
    const what = options.what;
    for (const [name, whats] of Object.entries(OF)) if (options[name] !== undefined && !whats.includes(what)) throw new UsageError(`--${name} goes with --what ${whats.join(', ')}`);
    const show = (/** @type {any} */ value) => line(json(renamed(value)));
    const spelled = (/** @type {number} */ id) => { try { return `"${visible(model.tokenizer.tokenBytes(id))}"`; } catch { return `#${id}`; } };
    const list = (/** @type {{token: number}[]} */ tokens) => tokens.map(({ token }) => spelled(token)).join(' ');
    const number = (/** @type {number} */ x, digits = 4) => x.toFixed(digits);
    if (what === 'heads' && options.repeated) {
      if (rest.length || options.ids) throw new UsageError('heads --repeated draws its tokens: no TEXT beside it');
      const scores = await headScores(model, picked(options, 'length', 'seed'));
      if (options.json) return show(scores);
      await line(`mean -ln p in the first copy ${number(scores.firstCopy)}, in the second ${number(scores.secondCopy)} nats`);
      return headTable(scores);
    }
    const ids = Array.from(await promptIds(model, options, rest)), place = picked(options, 'position'), asked = picked(options, 'position', 'token', 'against');
    switch (what) {
      case 'lens': {
        const lens = await logitLens(model, ids, picked(options, 'top'));
        if (options.json) return show(lens);
        const T = ids.length, cells = lens.rows.map((_, r) => ids.map((__, t) => `${spelled(lens.cells[r * T + t].token)} ${number(lens.cells[r * T + t].probability, 2)}`)), widths = ids.map((id, t) => Math.max(spelled(id).length, ...cells.map((row) => row[t].length)));
        await line(`${''.padEnd(6)}${ids.map((id, t) => spelled(id).padEnd(widths[t])).join('  ')}`.trimEnd());
        for (const [r, name] of lens.rows.entries()) await line(`${name.padEnd(6)}${cells[r].map((c, t) => c.padEnd(widths[t])).join('  ')}  ${Number.isNaN(lens.crossEntropy[r]) ? '' : `${number(lens.crossEntropy[r])} nats to the next token`}`.trimEnd());
        return;
      }
      case 'attribution': {
        const a = await logitAttribution(model, ids, { ...asked, ...picked(options, 'neurons') });
        if (options.json) return show(a);
        await line(`logit of ${spelled(a.token)}${typeof a.against === 'number' ? ` less that of ${spelled(a.against)}` : ''} after token ${a.position}: ${number(a.logit)}, the sum of`);
        for (const { name, value } of [...a.parts, ...a.neurons].sort((x, y) => Math.abs(y.value) - Math.abs(x.value))) await line(`  ${number(value).padStart(9)}  ${name}`);
        return;
      }
      case 'neurons': {
        const read = await neuronReadings(model, ids, { layer: options.layer ?? model.info.layers - 1, ...place, ...picked(options, 'neurons'), ...(options.top && { tokens: options.top }) });
        if (options.json) return show(read);
        await line(`layer ${read.layer}, token ${read.position}: these neurons hold ${number(100 * read.share, 1)} % of all sizes`);
        for (const n of read.neurons) await line(`  ${String(n.neuron).padStart(5)}  coefficient ${number(n.coefficient, 3).padStart(8)}  for ${list(n.promotes)}  against ${list(n.suppresses)}`);
        return;
      }
      case 'attention': {
        const attention = await attentionOf(model, ids), { layers, tokens: T } = attention, rollout = await attentionRollout(attention), { flow, share } = await attentionFlow(attention, place), at = options.position ?? -1, q = at < 0 ? at + T : at;
        if (options.json) return show({ ids, layers, heads: attention.heads, tokens: T, position: q, patterns: attention.patterns, rollout, flow, share });
        await line(`token ${q}: rollout, flow (share)`);
        for (let j = 0; j <= q; j++) await line(`  ${number(rollout[layers - 1][q * T + j])}  ${number(flow[j])} (${number(share[j])})  ${spelled(ids[j])}`);
        return;
      }
      case 'sinks': {
        const found = attentionSinks(await attentionOf(model, ids), picked(options, 'epsilon')), norms = await stateNorms(model, ids);
        if (options.json) return show({ ids, ...found, norms });
        await line(`heads that rest on the first token: ${number(found.rate[0], 1)} %; sinks above ${found.epsilon}: ${found.sinks.length}`);
        for (const { layer, head, position, importance } of found.sinks.slice(0, 50)) await line(`  ${number(importance)}  L${layer}H${head} on token ${position} ${spelled(ids[position])}`);
        return;
      }
      case 'massive': {
        const found = await massiveActivations(model, ids, picked(options, 'top'));
        if (options.json) return show(found);
        for (const { layer, median, top } of found.layers) await line(`layer ${layer}: median size ${number(median)}; largest ${top.map(({ value, position, channel }) => `${number(value, 3)} (token ${position}, channel ${channel})`).join(', ')}`);
        return line(`massive: ${found.massive.length}`);
      }
      case 'heads': {
        const scores = headDetection(await attentionOf(model, ids));
        return options.json ? show({ ids, ...scores }) : headTable(scores);
      }
      case 'ablate': {
        const how = picked(options, 'how');
        if (options.site) {
          const { kl, distance, entropyBefore, entropyAfter, tokens } = await ablate(model, ids, options.site.map(siteFrom), { ...how, ...place, ...picked(options, 'top') });
          if (options.json) return show({ ids, kl, distance, entropyBefore, entropyAfter, tokens });
          await line(`KL ${number(kl)} nats, total variation ${number(distance)}`);
          for (const t of tokens) await line(`  ${number(t.before)} -> ${number(t.after)}  ${spelled(t.token)}`);
          return;
        }
        const { effects, token } = await ablationSweep(model, ids, { ...how, ...asked, ...picked(options, 'top') });
        if (options.json) return show({ ids, token, effects: effects.map(({ site, kl, distance, logit, probability, tokens }) => ({ site: siteName(site), kl, distance, logit, probability, tokens })) });
        await line(`KL in nats, change of the logit of ${spelled(token)} and of its probability without`);
        for (const e of [...effects].sort((a, b) => b.kl - a.kl)) await line(`  ${number(e.kl)}  ${number(e.logit).padStart(9)}  ${number(e.probability).padStart(8)}  ${siteName(e.site)}`);
        return;
      }
      case 'patch': {
        if (options.corrupt === undefined && !options['corrupt-ids']) throw new UsageError('patch needs --corrupt TEXT or --corrupt-ids LIST');
        const map = await patchingMap(model, ids, options['corrupt-ids'] ?? options.corrupt, { ...asked, ...picked(options, 'direction') });
        if (options.json) return show({ ids, ...map });
        await line(`logit of ${spelled(map.token)} less that of ${spelled(map.against)}: ${number(map.clean)}, in the other prompt ${number(map.corrupt)}`);
        for (const [name, values] of Object.entries(map.places)) {
          await line(`${name}, by layer and token (1: the whole difference)`);
          for (let l = 0; l < map.layers; l++) await line(`  ${String(l).padEnd(3)} ${[...values.subarray(l * map.tokens, (l + 1) * map.tokens)].map((x) => number(x, 2).padStart(6)).join(' ')}`);
        }
        if (!map.byHead) return;
        await line('heads, by layer and head');
        for (let l = 0; l < map.layers; l++) await line(`  ${String(l).padEnd(3)} ${[...map.byHead.subarray(l * map.heads, (l + 1) * map.heads)].map((x) => number(x, 2).padStart(6)).join(' ')}`);
        return;
      }
      default: {
        const { gradientTimesInput, saliency, ...value } = await inputGradients(model, ids, asked), { lost } = await leaveOneOut(model, ids, asked);
        if (options.json) return show({ ids, ...value, gradientTimesInput, saliency, lost });
        await line(`logit of ${spelled(value.token)}: ${number(value.value)}; gradient x input, its length, what is lost without the token`);
        for (const [i, id] of ids.entries()) await line(`  ${number(gradientTimesInput[i]).padStart(9)}  ${number(saliency[i]).padStart(8)}  ${number(lost[i]).padStart(8)}  ${spelled(id)}`);
      }
    }
  };

  /** @param {import('../inspect/heads.js').HeadScores} scores */
  async function headTable({ layers, heads, previous, duplicate, induction }) {
    await line('head    previous  duplicate  induction');
    for (let i = 0; i < layers * heads; i++) await line(`${`L${Math.floor(i / heads)}H${i % heads}`.padEnd(8)}${previous[i].toFixed(4)}    ${duplicate[i].toFixed(4)}     ${induction[i].toFixed(4)}`);
  }
}
