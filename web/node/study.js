// `microtome study`: fairness between languages and choices of design, over given texts.
import { readFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { CODE_LEVELS, codeLevels, cognitivePlausibility, languagePremiums, normalizedLength, parseTable, vocabularySweep } from '../index.js';
import { textsOf } from '../train/texts.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {import('../study.js').LanguageTexts} LanguageTexts */

const WHAT = ['premiums', 'code', 'sweep', 'words', 'length'];

/**
 * @param {{line: (text: string) => Promise<void>, json: (value: any) => string, mustExist: (file: string) => string, loadTokenizer: (options: Record<string, any>) => Promise<Tokenizer>, jsonOut: OptionSpec}} host
 */
export function studyCommand({ line, json, mustExist, loadTokenizer, jsonOut }) {
  /** @param {string} file */
  const whole = async (file) => {
    const bytes = await readFile(mustExist(file));
    return (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString('utf8');
  };
  /** @param {string} file @returns {Promise<LanguageTexts[]>} */
  async function parallel(file) {
    /** @type {Map<string, LanguageTexts>} */ const languages = new Map();
    let number = 0;
    for await (const text of textsOf(pathToFileURL(mustExist(file)), false, undefined)) {
      number++;
      const row = typeof text === 'string' ? text : new TextDecoder().decode(text);
      if (!row.trim()) continue;
      /** @type {any} */ let found;
      try {
        found = JSON.parse(row);
      } catch (error) {
        throw new Error(`${file}: line ${number} is no JSON: ${/** @type {Error} */ (error).message}`);
      }
      const language = found?.language ?? found?.code ?? found?.lang, texts = found?.texts ?? found?.articles;
      if (typeof language !== 'string' || !Array.isArray(texts) || texts.some((t) => typeof t !== 'string')) throw new Error(`${file}: line ${number}: expected {"language": "...", "texts": ["...", ...]} (or "code" or "lang", and "articles")`);
      if (languages.has(language)) throw new Error(`${file}: line ${number}: language "${language}" a second time`);
      languages.set(language, { language, texts, ...(typeof found.name === 'string' && { name: found.name }) });
    }
    return [...languages.values()];
  }
  const numbers = (/** @type {string} */ option, /** @type {string} */ text) => text.split(',').map((n) => {
    if (!/^\d+$/.test(n.trim())) throw new UsageError(`--${option}: "${n}" is not a whole number`);
    return Number(n);
  });
  /** "en=9,sw=1;en=1,sw=1". @param {string} text */
  const mixes = (text) => text.split(';').map((mix) => Object.fromEntries(mix.split(',').map((part) => {
    const [language, weight] = part.split('=');
    if (!language || weight === undefined || weight.trim() === '' || !(Number(weight) >= 0)) throw new UsageError(`--mixes: "${part}" is not LANGUAGE=WEIGHT`);
    return [language, Number(weight)];
  })));
  /** @param {Record<string, any>} options */
  async function tokenizersOf(options) {
    if (!options.tokenizer?.length) throw new UsageError('this study needs --tokenizer FILE (one or more)');
    return Promise.all(options.tokenizer.map(async (/** @type {string} */ name) => ({ name, tokenizer: await loadTokenizer({ tokenizer: name }) })));
  }
  const one = (/** @type {string[]} */ rest) => {
    if (rest.length !== 1) throw new UsageError('this study needs one FILE');
    return rest[0];
  };

  /** @type {Record<string, (options: Record<string, any>, rest: string[]) => Promise<any>>} */
  const studies = {
    async premiums(options, rest) {
      const languages = await parallel(one(rest));
      return (await tokenizersOf(options)).map(({ name, tokenizer }) => ({ tokenizer: name, ...languagePremiums(tokenizer, languages, { reference: options.reference ?? 'en' }) }));
    },
    async length(options, rest) {
      const [reference, ...others] = await tokenizersOf(options);
      const texts = await Promise.all(rest.map(whole));
      if (!texts.length) throw new UsageError('this study needs FILEs');
      return others.map(({ name, tokenizer }) => ({ tokenizer: name, reference: reference.name, normalized_length: normalizedLength(tokenizer, reference.tokenizer, texts) }));
    },
    async code(options, rest) {
      if (!rest.length) throw new UsageError('this study needs FILEs to train on');
      const heldOut = options['held-out'] === undefined ? undefined : [await whole(options['held-out'])];
      const levels = options.levels?.split(',');
      const results = await codeLevels(await Promise.all(rest.map(whole)), { vocabSize: options['vocab-size'] ?? 4000, ...(levels && { levels }), ...(heldOut && { heldOut }) });
      return results.map(({ heldOut: held, ...r }) => ({ ...r, ...(held !== null && { held_out: held }) }));
    },
    async sweep(options, rest) {
      const all = await parallel(one(rest));
      if (options.languages === undefined) throw new UsageError('this study needs --languages LIST');
      const names = options.languages.split(','), chosen = names.map((/** @type {string} */ name) => {
        const found = all.find((l) => l.language === name);
        if (!found) throw new UsageError(`--languages: "${name}" is not in the file`);
        return found;
      });
      const points = await vocabularySweep(chosen, { sizes: numbers('sizes', options.sizes ?? '1000,4000'), ...(options.mixes !== undefined && { mixes: mixes(options.mixes) }), ...(options.kind !== undefined && { kind: options.kind }) });
      return points.map(({ vocabSize, trainedBytes, ...point }) => ({ vocab_size: vocabSize, trained_bytes: trainedBytes, ...point }));
    },
    async words(options, rest) {
      const table = parseTable(await whole(one(rest)), options.header === undefined ? {} : { header: options.header.split(',') });
      return (await tokenizersOf(options)).flatMap(({ name, tokenizer }) => cognitivePlausibility(tokenizer, table).map((row) => ({ tokenizer: name, ...row })));
    },
  };
  const f = (/** @type {number} */ x) => (Number.isInteger(x) ? String(x) : x.toFixed(4));

  return {
    summary: 'fairness between languages, and what choices of design do',
    usage: `study ${WHAT.join('|')} [options] FILE...`,
    options: /** @type {OptionSpec[]} */ ([{ name: 'tokenizer', kind: 'texts', value: 'FILE', help: 'premiums, words, length: a tokenizer; as often as needed (length: the first is the reference)' }, jsonOut,
      { name: 'reference', kind: 'text', value: 'LANGUAGE', help: 'premiums: against which; default en' }, { name: 'vocab-size', kind: 'int', value: 'N', min: 257, max: 2 ** 20, help: 'code: of each vocabulary; default 4000' },
      { name: 'levels', kind: 'text', value: 'LIST', help: `code: ${Object.keys(CODE_LEVELS).join(', ')}; default all` }, { name: 'held-out', kind: 'text', value: 'FILE', help: 'code: measured too' },
      { name: 'languages', kind: 'text', value: 'LIST', help: 'sweep: which of the file; the first is the reference' }, { name: 'sizes', kind: 'text', value: 'LIST', help: 'sweep: of vocabularies; default 1000,4000' },
      { name: 'mixes', kind: 'text', value: 'LISTS', help: 'sweep: weights in the training text, "en=9,sw=1;en=1,sw=1"; default all equal' },
      { name: 'kind', kind: 'text', value: 'KIND', choices: ['bpe', 'unigram', 'wordpiece'], help: 'sweep: the trainer; default bpe' }, { name: 'header', kind: 'text', value: 'LIST', help: 'words: names of the columns, where the first line has none' }]),
    notes: 'premiums, sweep: FILE has a line {"language": "...", "texts": [...]} for each language, text i of each saying the same. words: FILE is a table (comma or tab) with a column "word" and columns of numbers.',
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, [what, ...rest]) {
      if (what === undefined || !Object.hasOwn(studies, what)) throw new UsageError(`study needs one of ${WHAT.join(', ')}${what === undefined ? '' : `, got ${what}`}`);
      const results = await studies[what](options, rest);
      if (options.json) return line(json(results));
      for (const result of results) {
        if (what === 'premiums') {
          await line(`${result.tokenizer}: ${result.tokens} tokens of ${result.reference}; median premium ${f(result.median)}${result.most ? `, most ${f(result.most.premium)} (${result.most.language}), least ${f(result.least.premium)} (${result.least.language})` : ''}; ${result.languages.length} languages${result.left.length ? `, ${result.left.length} without parallel texts` : ''}`);
          for (const l of [...result.languages].sort((a, b) => b.premium - a.premium)) await line(`  ${l.language.padEnd(12)} ${f(l.premium).padStart(8)} x  ${f(l.fertility).padStart(8)} a word  ${f(l.compression).padStart(7)} bytes a token  ${l.name}${l.counted ? '' : `  ${f(l.unknownRate)} unknown`}`);
        } else if (what === 'sweep') {
          await line(`${result.vocab_size} tokens, ${Object.entries(result.mix).map(([language, share]) => `${language} ${f(/** @type {number} */ (share))}`).join(', ')}: efficiency ${f(result.efficiency)}`);
          for (const [language, l] of Object.entries(result.languages)) await line(`  ${language.padEnd(12)} ${f(/** @type {any} */ (l).compression).padStart(7)} bytes a token  ${f(/** @type {any} */ (l).premium).padStart(8)} x`);
        } else await line(Object.entries(result).map(([name, value]) => `${name} ${typeof value === 'number' ? f(value) : value}`).join('  '));
      }
    },
  };
}
