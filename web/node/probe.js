// `microtome probe`: experiments on what tokenization does to a model.
import { readFile } from 'node:fs/promises';
import { TYPO_OPERATORS, commaProbe, dropoutProbe, formatProbe, healingTable, sumsProbe, typoProbe, undertrainedTokens } from '../index.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../model.js').Model} Model */

const PROBES = ['healing', 'spaces', 'typos', 'formats', 'dropout', 'comma', 'sums', 'embeddings'];
const snake = (/** @type {string} */ name) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
/** Names as JSON of this program is written. @param {any} value @returns {any} */
export const renamed = (value) => (Array.isArray(value) ? value.map(renamed) : value && typeof value === 'object' && !ArrayBuffer.isView(value) ? Object.fromEntries(Object.entries(value).map(([name, x]) => [snake(name), renamed(x)])) : value);

/**
 * @param {{line: (text: string) => Promise<void>, json: (value: any) => string, textOf: (rest: string[]) => Promise<string | Uint8Array>, mustExist: (file: string) => string, visible: (bytes: Uint8Array) => string,
 *   picked: (options: Record<string, any>, ...names: string[]) => Record<string, any>, withModel: <T>(options: Record<string, any>, body: (model: Model) => Promise<T>) => Promise<T>, model: OptionSpec[], seed: OptionSpec, jsonOut: OptionSpec}} host
 */
export function probeCommand({ line, json, textOf, mustExist, visible, picked, withModel, model: MODEL, seed: SEED, jsonOut: JSON_OUT }) {
  /** @param {Record<string, any>[]} rows */
  async function table(rows) {
    const names = Object.keys(rows[0]), cell = (/** @type {any} */ x) => (typeof x === 'number' && !Number.isInteger(x) ? x.toFixed(4) : String(x));
    const width = names.map((name) => Math.max(snake(name).length, ...rows.map((row) => cell(row[name]).length)));
    await line(names.map((name, i) => snake(name).padEnd(width[i])).join('  ').trimEnd());
    for (const row of rows) await line(names.map((name, i) => cell(row[name]).padEnd(width[i])).join('  ').trimEnd());
  }
  return {
    summary: 'what tokenization does to a model: an experiment',
    usage: 'probe NAME [--model FILE] [options] [--file FILE | TEXT...]',
    options: /** @type {OptionSpec[]} */ ([...MODEL, { name: 'file', kind: 'text', value: 'FILE', help: 'the text, or its lines; default: TEXT or standard input' }, { name: 'lines', kind: 'int', value: 'N', min: 1, help: 'typos, formats, dropout: how many lines, default 20' },
      { name: 'cuts', kind: 'int', value: 'N', min: 1, max: 2 ** 20, help: 'healing, spaces: how many prompts, default 100' }, { name: 'tokens', kind: 'int', value: 'K', min: 1, max: 64, help: 'healing, spaces: what alignment gives up, default 3' },
      { name: 'samples', kind: 'int', value: 'N', min: 1, max: 65536, help: 'dropout: of each line, default 4' }, { name: 'operator', kind: 'text', value: 'NAME', choices: TYPO_OPERATORS, help: 'typos: this one alone' },
      { name: 'level', kind: 'text', value: 'NAME', choices: ['character', 'boundary', 'word'], help: 'typos: at any letter (default), at edges of tokens, at first letters' },
      { name: 'count', kind: 'int', value: 'N', min: 1, max: 2 ** 20, help: 'sums: of each number of digits, default 20' }, { name: 'groups', kind: 'text', value: 'SIDE', choices: ['left', 'right'], help: 'sums: digits in groups of three from this side, with commas' },
      { name: 'top', kind: 'int', value: 'N', min: 1, max: 2 ** 24, help: 'embeddings: how many tokens, default 50' }, SEED, JSON_OUT]),
    notes: `NAME: ${PROBES.join(', ')}. docs/bytes.md says what they measure. --json prints {"rows": [...]} (comma: the two token lists).`,
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, rest) {
      const [name, ...words] = rest;
      if (!PROBES.includes(name)) throw new UsageError(name === undefined ? `probe needs a NAME: ${PROBES.join(', ')}` : `unknown probe ${name}: known are ${PROBES.join(', ')}`);
      if (options.file !== undefined && words.length) throw new UsageError('--file and a text exclude each other');
      const input = async () => { const t = options.file !== undefined ? await readFile(mustExist(options.file)) : await textOf(words); return typeof t === 'string' ? new TextEncoder().encode(t) : new Uint8Array(t); };
      const text = async () => new TextDecoder().decode(await input()), lines = async () => (await text()).split('\n').map((s) => s.replace(/\r$/, '')).filter((s) => s.trim()).slice(0, options.lines ?? 20);
      await withModel(options, async (model) => {
        const seed = picked(options, 'seed'), cutting = picked(options, 'cuts', 'tokens', 'seed');
        /** @type {Record<string, any>[]} */ let rows;
        if (name === 'healing') rows = (await healingTable(model, await input(), cutting)).rows;
        else if (name === 'spaces') {
          const bytes = await input();
          rows = [];
          for (const where of /** @type {const} */ (['word', 'space'])) for (const row of (await healingTable(model, bytes, { ...cutting, where })).rows) rows.push({ prompt_ends: where === 'word' ? 'before the space' : 'after the space', ...row });
        } else if (name === 'typos') rows = await typoProbe(model, await lines(), { ...seed, ...picked(options, 'level'), ...(options.operator && { operators: [options.operator] }) });
        else if (name === 'formats') rows = await formatProbe(model, await lines());
        else if (name === 'dropout') rows = await dropoutProbe(model, await lines(), { ...seed, ...picked(options, 'samples') });
        else if (name === 'sums') rows = (await sumsProbe(model, { ...seed, ...picked(options, 'count', 'groups') })).rows;
        else if (name === 'embeddings') rows = (await undertrainedTokens(model, picked(options, 'top'))).tokens.map((t) => ({ ...t, text: visible(model.tokenizer.tokenBytes(t.id)) }));
        else {
          const r = await commaProbe(model, await text(), seed);
          if (options.json) return line(json(renamed(r)));
          const mark = async (/** @type {string} */ sign, /** @type {import('../probes.js').SurprisalList} */ { ids, nats }, /** @type {number[]} */ changed) => { for (const i of changed) await line(`  ${sign} ${visible(model.tokenizer.tokenBytes(ids[i]))}  ${nats[i].toFixed(4)} nats`); };
          await line(r.text);
          await mark('-', r.before, r.removed);
          await mark('+', r.after, r.added);
          return line(`  mean -ln p of a token changes by ${r.change.toFixed(4)}; in all ${r.own.toFixed(4)} nats through the changed tokens, ${r.behind.toFixed(4)} through those behind them`);
        }
        return options.json ? line(json({ rows: renamed(rows) })) : table(rows);
      });
    },
  };
}
