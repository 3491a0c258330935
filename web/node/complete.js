// `microtome complete`, `heal`, `cover`: what to do about the end of a prompt.
import { ByteModel, COMPLETION_METHODS, complete, coverEncodings, healedNextByte } from '../index.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../model.js').Model} Model */
/** @typedef {import('../tokenizer.js').Tokenizer} Tokenizer */

/** @type {OptionSpec} */ const HEX = { name: 'hex', kind: 'flag', help: 'TEXT is bytes in hexadecimal: a text may end inside a character' };

/**
 * @param {{line: (text: string) => Promise<void>, write: (text: string) => Promise<void>, json: (value: any) => string, textOf: (rest: string[]) => Promise<string | Uint8Array>, visible: (bytes: Uint8Array) => string,
 *   picked: (options: Record<string, any>, ...names: string[]) => Record<string, any>, withModel: <T>(options: Record<string, any>, body: (model: Model) => Promise<T>) => Promise<T>,
 *   loadTokenizer: (options: Record<string, any>) => Promise<Tokenizer>, model: OptionSpec[], tokenizer: OptionSpec[], seed: OptionSpec, jsonOut: OptionSpec}} host
 */
export function completeCommands({ line, write, json, textOf, visible, picked, withModel, loadTokenizer, model: MODEL, tokenizer: TOKENIZER, seed: SEED, jsonOut: JSON_OUT }) {
  /** @param {string[]} rest @param {Record<string, any>} options @returns {Promise<Uint8Array>} */
  async function input(rest, options) {
    const text = await textOf(rest);
    if (!options.hex) return typeof text === 'string' ? new TextEncoder().encode(text) : new Uint8Array(text);
    const digits = (typeof text === 'string' ? text : new TextDecoder().decode(text)).replace(/\s/g, '');
    if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new UsageError('--hex: the text is no list of bytes in hexadecimal');
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  }

  return {
    complete: {
      summary: 'continue a text that ends anywhere',
      usage: 'complete [--model FILE] [--method NAME] [options] [TEXT...]',
      options: /** @type {OptionSpec[]} */ ([...MODEL, { name: 'method', kind: 'text', value: 'NAME', choices: COMPLETION_METHODS, help: `${COMPLETION_METHODS.join(', ')}; default exact (docs/bytes.md)` },
        { name: 'max-bytes', kind: 'int', value: 'N', min: 0, max: 2 ** 24, help: 'default 128' }, { name: 'temperature', kind: 'number', value: 'X', min: 0, max: 1000000, help: 'default 1; 0: the likeliest' }, SEED,
        { name: 'tokens', kind: 'int', value: 'K', min: 1, max: 2 ** 30, help: 'alignment: how many tokens are given up, default 3' }, { name: 'target', kind: 'text', value: 'NAME', choices: ['valid', 'masked', 'all'], help: 'exact, cover: which token sequences count, default valid' },
        { name: 'match', kind: 'text', value: 'REGEX', help: 'exact: the continuation as a whole matches this' }, HEX, JSON_OUT]),
      notes: '--json prints {"method", "text": the continuation, "bytes": [...], "reason": "length" | "stop" | "pattern"}; text shows bytes of unfinished characters as U+FFFD.',
      /** @param {Record<string, any>} options @param {string[]} rest */
      async run(options, rest) {
        const method = options.method ?? 'exact';
        if (options.tokens !== undefined && method !== 'alignment') throw new UsageError('--tokens goes with --method alignment');
        if (options.match !== undefined && method !== 'exact') throw new UsageError('--match goes with --method exact');
        if (options.target !== undefined && method !== 'exact' && method !== 'cover') throw new UsageError('--target goes with --method exact or cover');
        const prefix = await input(rest, options);
        await withModel(options, async (model) => {
          const how = { method, ...picked(options, 'tokens', 'target', 'temperature', 'seed'), ...(options['max-bytes'] !== undefined && { maxBytes: options['max-bytes'] }), ...(options.match !== undefined && { pattern: options.match }) };
          const stream = complete(model, prefix, how);
          /** @type {number[]} */ const bytes = [];
          let text = '';
          for (;;) {
            const next = await stream.next();
            if (next.done) return options.json ? line(json({ method, text, bytes, reason: next.value.reason })) : write('\n');
            bytes.push(...next.value.bytes);
            text += next.value.text;
            if (!options.json) await write(next.value.text);
          }
        });
      },
    },
    heal: {
      summary: 'the next byte by every treatment of a prompt\'s end, side by side',
      usage: 'heal [--model FILE] [options] [TEXT...]',
      options: /** @type {OptionSpec[]} */ ([...MODEL, { name: 'tokens', kind: 'int', value: 'K', min: 1, max: 64, help: 'how many tokens alignment gives up, default 3' }, { name: 'epsilon', kind: 'number', value: 'P', min: 0, max: 1, help: 'paths of less than this times the heaviest are given up, default 1e-5' },
        { name: 'top', kind: 'int', value: 'N', min: 1, max: 257, help: 'without --json: how many bytes to show, default 10' }, HEX, JSON_OUT]),
      notes: '--json prints {"methods": {NAME: {"bytes": [256 natural log-probabilities], "end", "distance": total variation distance to the exact answer, "dead", "contexts"}}}; null stands for -Infinity.',
      /** @param {Record<string, any>} options @param {string[]} rest */
      async run(options, rest) {
        const text = await input(rest, options), tokens = options.tokens ?? 3, epsilon = options.epsilon ?? 1e-5;
        await withModel(options, async (model) => {
          const view = new ByteModel(model), { bytes, end } = await view.next(text, { naive: false });
          await view.dispose();
          const exact = [...bytes, end];
          /** @type {Record<string, {bytes: Float64Array, end: number, distance: number, dead?: number, contexts?: number}>} */ const methods = {};
          const ways = { naive: { tokens: 0 }, healing: { tokens: 1, classic: true }, alignment: { tokens, epsilon, limit: 16384 }, weighted: { tokens, keep: true, epsilon, limit: 16384 } };
          for (const [name, how] of Object.entries(ways)) {
            const { dropped: _, ...r } = await healedNextByte(model, text, how);
            methods[name] = { ...r, distance: [...r.bytes, r.end].reduce((sum, x, b) => sum + Math.abs(Math.exp(x) - Math.exp(exact[b])) / 2, 0) };
          }
          methods.exact = { bytes, end, distance: 0 };
          if (options.json) return line(json({ methods }));
          const names = Object.keys(methods), order = exact.map((_, b) => b).sort((a, b) => exact[b] - exact[a] || a - b).slice(0, options.top ?? 10);
          await line(`  byte   ${names.map((name) => name.padEnd(10)).join(' ')}`);
          for (const b of order) await line(`  ${b === 256 ? 'end ' : visible(Uint8Array.of(b)).padEnd(4)}   ${names.map((name) => Math.exp(b < 256 ? methods[name].bytes[b] : methods[name].end).toFixed(7).padEnd(10)).join(' ')}`);
          await line(`  total variation distance to the exact answer: ${names.slice(0, -1).map((name) => `${name} ${methods[name].distance.toFixed(4)}`).join(', ')}`);
        });
      },
    },
    cover: {
      summary: 'the token sequences that a text may be the beginning of',
      usage: 'cover (--tokenizer FILE | --model FILE) [options] [TEXT...]',
      options: /** @type {OptionSpec[]} */ ([...TOKENIZER, { name: 'target', kind: 'text', value: 'NAME', choices: ['valid', 'all'], help: 'what the tokenizer can produce (default), or every sequence' }, { name: 'limit', kind: 'int', value: 'N', min: 1, max: 2 ** 24, help: 'an error beyond, default 100000' }, HEX, JSON_OUT]),
      notes: '--json prints {"covers": [[ids], ...]}.',
      /** @param {Record<string, any>} options @param {string[]} rest */
      async run(options, rest) {
        const tokenizer = await loadTokenizer(options), covers = coverEncodings(tokenizer, await input(rest, options), picked(options, 'target', 'limit'));
        if (options.json) return line(json({ covers: covers.map((ids) => [...ids]) }));
        for (const ids of covers) await line(`${[...ids].join(' ')}\t${Array.from(ids, (id) => visible(tokenizer.tokenBytes(id))).join('|')}`);
      },
    },
  };
}
