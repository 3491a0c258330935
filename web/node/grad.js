// `microtome grad`: the gradients of a text's loss.
import { writeFile } from 'node:fs/promises';
import { writeSafetensors } from '../safetensors.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../model.js').Model} Model */
/** @typedef {import('../grad.js').Term} Term */

/** "1,2,-,3": a dash where nothing is predicted. @param {string} text @returns {(number | null)[]} */
const targetsOf = (text) => text.split(',').map((part) => {
  const word = part.trim();
  if (word === '-') return null;
  if (!/^\d+$/.test(word)) throw new UsageError(`--targets: "${part}" is neither a token id nor "-"`);
  return Number(word);
});

/** "POSITION:TOKEN" or "POSITION:TOKEN:WEIGHT". @param {string} option @param {string} text @returns {Term} */
function termOf(option, text) {
  const [position, token, weight = '1', ...more] = text.split(':');
  if (!/^-?\d+$/.test(position) || !/^\d+$/.test(token ?? '') || weight.trim() === '' || Number.isNaN(Number(weight)) || more.length) throw new UsageError(`--${option}: "${text}" is not POSITION:TOKEN[:WEIGHT]`);
  return { position: Number(position), token: Number(token), weight: Number(weight) };
}

/**
 * @param {{line: (text: string) => Promise<void>, json: (value: any) => string, promptIds: (model: Model, options: Record<string, any>, rest: string[]) => Promise<ArrayLike<number>>,
 *   modelArgument: (options: Record<string, any>, rest: string[]) => {options: Record<string, any>, rest: string[]},
 *   withModel: <T>(options: Record<string, any>, body: (model: Model) => Promise<T>) => Promise<T>, model: OptionSpec[], input: OptionSpec[], jsonOut: OptionSpec}} host
 */
export function gradCommand({ line, json, promptIds, modelArgument, withModel, model: MODEL, input, jsonOut }) {
  return {
    summary: 'gradients of a text\'s loss by parameters and values',
    usage: 'grad [MODEL] [options] (--ids LIST | --text TEXT) [--parameters GLOB]... [--values GLOB]...',
    options: /** @type {OptionSpec[]} */ ([...input, { name: 'text', kind: 'text', value: 'TEXT', help: 'a text, encoded with its special tokens; default: standard input' },
      { name: 'targets', kind: 'text', value: 'LIST', help: 'the token that each position is to predict, "-" for none: the loss is their mean cross-entropy; default: the next token' },
      { name: 'logit', kind: 'texts', value: 'POSITION:TOKEN[:WEIGHT]', help: 'instead: the loss is the weighted sum of these logits; a negative position counts from the end' },
      { name: 'log-prob', kind: 'texts', value: 'POSITION:TOKEN[:WEIGHT]', help: 'instead: the weighted sum of these natural log-probabilities' },
      { name: 'parameters', kind: 'texts', value: 'GLOB', help: 'tensors of the model\'s file; may be given several times' },
      { name: 'values', kind: 'texts', value: 'GLOB', help: 'intermediate values, by the names that `run --names` lists; may be given several times' },
      { name: 'recompute', kind: 'flag', help: 'less memory, more time, the same result' },
      { name: 'out', kind: 'text', value: 'FILE', help: 'all gradients as a .safetensors file' }, jsonOut, ...MODEL]),
    notes: 'Without --parameters and --values: all parameters.',
    /** @param {Record<string, any>} given @param {string[]} words */
    async run(given, words) {
      const { options, rest } = modelArgument(given, words);
      if (rest.length) throw new UsageError(`grad takes one MODEL, not also "${rest[0]}": a text goes after --text`);
      if (options.ids && options.text !== undefined) throw new UsageError('--ids and --text exclude each other');
      if (options.out !== undefined && options.json) throw new UsageError('--out and --json exclude each other');
      if (options.out !== undefined && !options.out.endsWith('.safetensors')) throw new UsageError(`--out: "${options.out}" does not end in .safetensors`);
      if (['targets', 'logit', 'log-prob'].filter((name) => options[name] !== undefined).length > 1) throw new UsageError('--targets, --logit and --log-prob exclude each other');
      const of = options.logit ? { logits: options.logit.map((/** @type {string} */ text) => termOf('logit', text)) } : options['log-prob'] ? { logProbs: options['log-prob'].map((/** @type {string} */ text) => termOf('log-prob', text)) } : undefined;
      const targets = options.targets === undefined ? undefined : targetsOf(options.targets);
      await withModel(options, async (model) => {
        const ids = [...Array.from(await promptIds(model, options, options.text === undefined ? [] : [options.text]))];
        const { loss, parameters, values } = await model.gradients(ids, { ...(targets && { targets }), ...(of && { of }), parameters: options.parameters ?? (options.values ? [] : ['*']), values: options.values ?? [],
          ...(options['decoder-ids'] && { decoderIds: options['decoder-ids'] }), ...(options['type-ids'] && { typeIds: options['type-ids'] }), recompute: !!options.recompute });
        if (options.json) return line(json({ ids, loss, parameters, values }));
        const all = { ...parameters, ...Object.fromEntries(Object.entries(values).map(([name, { shape, data }]) => [name, { dims: shape, data }])) };
        if (options.out !== undefined) await writeFile(options.out, writeSafetensors(all, { loss: String(loss) }));
        await line(`loss ${loss}`);
        for (const [name, { dims, data }] of Object.entries(all))
          await line(`${name} [${dims.join(', ')}]  length ${Math.sqrt(data.reduce((sum, x) => sum + x * x, 0)).toPrecision(6)}${options.out === undefined ? '' : `  -> ${options.out}`}`);
      });
    },
  };
}
