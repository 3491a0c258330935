// `microtome marginal`: the probability of a text over all its tokenizations.
import { MARGINAL_METHODS, marginal } from '../index.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../model.js').Model} Model */

/**
 * @param {{line: (text: string) => Promise<void>, json: (value: any) => string, textOf: (rest: string[]) => Promise<string | Uint8Array>, visible: (bytes: Uint8Array) => string,
 *   picked: (options: Record<string, any>, ...names: string[]) => Record<string, any>, withModel: <T>(options: Record<string, any>, body: (model: Model) => Promise<T>) => Promise<T>,
 *   model: OptionSpec[], seed: OptionSpec, jsonOut: OptionSpec}} host
 */
export function marginalCommand({ line, json, textOf, visible, picked, withModel, model: MODEL, seed: SEED, jsonOut: JSON_OUT }) {
  return {
    summary: 'the probability of a text over all its tokenizations',
    usage: 'marginal [--model FILE] [--method NAME] [options] [TEXT...]',
    options: /** @type {OptionSpec[]} */ ([...MODEL, { name: 'method', kind: 'text', value: 'NAME', choices: MARGINAL_METHODS, help: `${MARGINAL_METHODS.join(', ')}; default: exact for short texts, else beam` },
      { name: 'end', kind: 'flag', help: 'the text ends there; default: it goes on' }, { name: 'beam', kind: 'int', value: 'N', min: 1, max: 2 ** 20, help: 'beam: beginnings that are kept at each byte, default 64' },
      { name: 'samples', kind: 'int', value: 'N', min: 2, max: 2 ** 24, help: 'blocks: default 30; importance: default 1000' }, { name: 'limit', kind: 'int', value: 'N', min: 1, max: 2 ** 20, help: 'contexts that are evaluated, default 4096' }, SEED, JSON_OUT]),
    notes: '--json prints {"method", "logprob", "error", "bounds", "tokenizations", "log_tokenizations", "canonical": {"ids", "logprob"}, "canonical_share", "best": {"ids", "logprob", "proven"}, "effective_samples"}.',
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, rest) {
      const estimate = options.method === 'blocks' || options.method === 'importance';
      for (const name of ['samples', 'seed']) if (options[name] !== undefined && !estimate) throw new UsageError(`--${name} goes with --method blocks or importance`);
      const text = await textOf(rest);
      await withModel(options, async (model) => {
        const r = await marginal(model, text, picked(options, 'method', 'end', 'beam', 'samples', 'limit', 'seed'));
        if (options.json)
          return line(json({
            method: r.method, logprob: r.logProb, error: r.error, bounds: r.bounds, tokenizations: r.tokenizations === null ? null : Number(r.tokenizations), log_tokenizations: r.logTokenizations,
            canonical: { ids: r.canonical.ids, logprob: r.canonical.logProb }, canonical_share: r.canonicalShare, best: r.best && { ids: r.best.ids, logprob: r.best.logProb, proven: r.best.proven }, effective_samples: r.effectiveSamples,
          }));
        const spelt = (/** @type {Int32Array} */ ids) => Array.from(ids, (id) => visible(model.tokenizer.tokenBytes(id))).join('|');
        await line(`${r.tokenizations ?? `e^${r.logTokenizations.toFixed(1)}`} tokenizations, by ${r.method}: ln p = ${r.logProb.toFixed(6)}${r.bounds ? (r.bounds[1] > r.bounds[0] ? `, at most ${r.bounds[1].toFixed(6)}` : '') : ` +- ${r.error.toFixed(6)}, ${r.effectiveSamples?.toFixed(1)} effective samples of ${r.samples}`}`);
        await line(`  the tokenizer's own: ${r.canonical.logProb.toFixed(6)}, ${(100 * r.canonicalShare).toFixed(4)} % of it: ${spelt(r.canonical.ids)}`);
        if (r.best) await line(`  the likeliest${r.best.proven ? '' : ' that was found'}: ${r.best.logProb.toFixed(6)}: ${spelt(r.best.ids)}`);
      });
    },
  };
}
