// `microtome ensemble`: several models as one. `microtome across`: two vocabularies side by side.
import { Ensemble, Model, alignTokenizations, complete, mapTokens, transportTokenizations, warpTokenizations } from '../index.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../tokenizer.js').Tokenizer} Tokenizer */

/**
 * @param {{line: (text: string) => Promise<void>, write: (text: string) => Promise<void>, json: (value: any) => string, textOf: (rest: string[]) => Promise<string | Uint8Array>, visible: (bytes: Uint8Array) => string,
 *   picked: (options: Record<string, any>, ...names: string[]) => Record<string, any>, modelSources: (file: string) => any, mustExist: (file: string) => string,
 *   loadTokenizer: (options: Record<string, any>) => Promise<Tokenizer>, engine: OptionSpec[], tokenizer: OptionSpec[], seed: OptionSpec, jsonOut: OptionSpec}} host
 */
export function ensembleCommands({ line, write, json, textOf, visible, picked, modelSources, mustExist, loadTokenizer, engine: ENGINE, tokenizer: TOKENIZER, seed: SEED, jsonOut: JSON_OUT }) {
  return {
    ensemble: {
      summary: 'several models as one, over bytes',
      usage: 'ensemble --model FILE --model FILE... [options] [TEXT...]',
      options: /** @type {OptionSpec[]} */ ([{ name: 'model', kind: 'texts', value: 'FILE', help: 'a model; two or more times, vocabularies may differ' }, { name: 'rule', kind: 'text', value: 'NAME', choices: ['mean', 'product', 'posterior'], help: 'how they are combined; default mean' },
        { name: 'weight', kind: 'texts', value: 'X', help: 'of the models, as often as --model; default equal' }, { name: 'steer', kind: 'number', value: 'ALPHA', min: -1000, max: 1000, help: 'three models: base, tuned, untuned; ln p = ln base + ALPHA (ln tuned - ln untuned)' },
        { name: 'next', kind: 'flag', help: 'the distribution of the next byte instead of a continuation' }, { name: 'top', kind: 'int', value: 'N', min: 1, max: 257, help: '--next without --json: how many to show, default 10' },
        { name: 'max-bytes', kind: 'int', value: 'N', min: 0, max: 2 ** 24, help: 'default 128' }, { name: 'temperature', kind: 'number', value: 'X', min: 0, max: 1000000, help: 'default 1; 0: the likeliest byte' }, SEED,
        { name: 'match', kind: 'text', value: 'REGEX', help: 'the continuation as a whole matches this' }, { name: 'target', kind: 'text', value: 'NAME', choices: ['valid', 'masked', 'all'], help: 'which token sequences count, default valid' }, JSON_OUT, ...ENGINE]),
      notes: '--json prints {"text", "bytes": [...], "reason"}, with --next {"bytes": [256 natural log-probabilities], "end", "weights", "missing_mass"}.',
      /** @param {Record<string, any>} options @param {string[]} rest */
      async run(options, rest) {
        const files = options.model ?? [], steer = options.steer;
        if (files.length < 1) throw new UsageError('ensemble needs --model FILE, two or more times');
        if (steer !== undefined && files.length !== 3) throw new UsageError(`--steer needs three models (base, tuned, untuned), got ${files.length}`);
        if (steer !== undefined && (options.rule !== undefined || options.weight)) throw new UsageError('--steer excludes --rule and --weight');
        const weights = options.weight?.map(Number);
        if (weights?.some(Number.isNaN)) throw new UsageError(`--weight: ${options.weight.find((/** @type {string} */ w) => Number.isNaN(Number(w)))} is not a number`);
        const text = await textOf(rest), threads = options.threads ?? 1;
        /** @type {Model[]} */ const models = [];
        try {
          for (const file of files) models.push(await Model.load(modelSources(mustExist(file)), { threads, ...picked(options, 'isa') }));
          const [base, tuned, untuned] = models;
          const both = steer !== undefined ? Ensemble.steered(base, tuned, untuned, { alpha: steer, ...picked(options, 'target') }) : new Ensemble(models, { ...picked(options, 'rule', 'target'), ...(weights && { weights }) });
          if (options.next) {
            const { bytes, end, weights: used, missingMass } = await both.next(text);
            if (options.json) return await line(json({ bytes, end, weights: used, missing_mass: missingMass }));
            const all = [...bytes, end], order = all.map((_, b) => b).sort((x, y) => all[y] - all[x] || x - y).slice(0, options.top ?? 10);
            for (const b of order) await line(`  ${b === 256 ? 'end ' : visible(Uint8Array.of(b)).padEnd(4)}   ${Math.exp(all[b]).toFixed(7)}`);
            return;
          }
          const stream = complete(both, text, { ...picked(options, 'temperature', 'seed'), ...(options['max-bytes'] !== undefined && { maxBytes: options['max-bytes'] }), ...(options.match !== undefined && { pattern: options.match }) });
          /** @type {number[]} */ const bytes = [];
          let written = '';
          for (;;) {
            const next = await stream.next();
            if (next.done) return await (options.json ? line(json({ text: written, bytes, reason: next.value.reason })) : write('\n'));
            bytes.push(...next.value.bytes);
            written += next.value.text;
            if (!options.json) await write(next.value.text);
          }
        } finally {
          await Promise.all(models.map((model) => model.dispose()));
        }
      },
    },
    across: {
      summary: 'two vocabularies side by side: which token stands for which',
      usage: 'across (--tokenizer FILE | --model FILE) --onto FILE [--align WAY TEXT...]',
      options: /** @type {OptionSpec[]} */ ([...TOKENIZER, { name: 'onto', kind: 'text', value: 'FILE', help: 'the other tokenizer' },
        { name: 'align', kind: 'text', value: 'WAY', choices: ['bytes', 'warp', 'transport'], help: 'the two encodings of TEXT: groups of equal bytes, time warping by edit distance, or optimal transport' },
        { name: 'cost', kind: 'text', value: 'NAME', choices: ['bytes', 'edit'], help: 'transport: bytes that only one has (default), or edit distance' }, { name: 'epsilon', kind: 'number', value: 'X', min: 0, help: 'transport: weight of the entropy' }, JSON_OUT]),
      notes: '--json prints {"map": [id or -1, ...], "mapped", "exact", "size"}, or with --align {"a": [ids], "b": [ids], "groups" | "pairs", "cost" | "plan", "cost"}.',
      /** @param {Record<string, any>} options @param {string[]} rest */
      async run(options, rest) {
        if (options.onto === undefined) throw new UsageError('across needs --onto FILE, the other tokenizer');
        for (const name of ['cost', 'epsilon']) if (options[name] !== undefined && options.align !== 'transport') throw new UsageError(`--${name} goes with --align transport`);
        const a = await loadTokenizer(options), b = await loadTokenizer({ tokenizer: options.onto });
        if (!options.align) {
          if (rest.length) throw new UsageError('a TEXT goes with --align');
          const { map, same, mapped, exact } = mapTokens(a, b);
          if (options.json) return line(json({ map, mapped, exact, size: a.vocabSize }));
          await line(`${mapped} of ${a.vocabSize} tokens have a counterpart, ${exact} of them the same`);
          for (const [id, to] of map.entries()) if (to >= 0 && !same[id]) await line(`${id}\t${visible(a.tokenBytes(id))}\t${to}\t${visible(b.tokenBytes(to))}`);
          return;
        }
        const text = await textOf(rest), show = (/** @type {Tokenizer} */ t, /** @type {Int32Array} */ ids) => Array.from(ids, (id) => visible(t.tokenBytes(id))).join('|');
        if (options.align === 'bytes') {
          const { a: x, b: y, groups } = alignTokenizations(a, b, text);
          if (options.json) return line(json({ a: x, b: y, groups }));
          for (const g of groups) await line(`${show(a, x.subarray(...g.a))}\t${show(b, y.subarray(...g.b))}`);
        } else if (options.align === 'warp') {
          const { a: x, b: y, pairs, cost } = warpTokenizations(a, b, text);
          if (options.json) return line(json({ a: x, b: y, pairs, cost }));
          for (const [i, j] of pairs) await line(`${visible(a.tokenBytes(x[i]))}\t${visible(b.tokenBytes(y[j]))}`);
          await line(`edit distance ${cost}`);
        } else {
          const { a: x, b: y, plan, cost } = await transportTokenizations(a, b, text, picked(options, 'cost', 'epsilon'));
          if (options.json) return line(json({ a: x, b: y, plan: plan.map((row) => [...row]), cost }));
          for (const [i, row] of plan.entries())
            await line(`${visible(a.tokenBytes(x[i]))}\t${[...row.keys()].filter((j) => row[j] > 0.01 / x.length).map((j) => `${visible(b.tokenBytes(y[j]))} ${row[j].toFixed(4)}`).join(', ')}`);
          await line(`cost ${cost.toFixed(6)}`);
        }
      },
    },
  };
}
