// Studies of tokenizers: fairness between languages, and what choices of design do, with trainers that run here. docs/measures.md has the formulas with their sources.
import { MicrotomeError, throwIfAborted } from './runtime/heap.js';
import { checkNumber, checkOptions } from './runtime/errors.js';
import { Measure, parity } from './measure.js';
import { trainTokenizer } from './train.js';

/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {import('./train/options.js').TrainOptions} TrainOptions */
/** @typedef {{language: string, name?: string, texts: string[]}} LanguageTexts language: its code; text i of every language says the same */
/**
 * @typedef {object} LanguagePremium
 * @property {string} language @property {string} name its code where none was given @property {number} tokens @property {number} premium tokens / tokens of the reference @property {number} parity mean over texts of the same ratio
 * @property {number} bytePremium @property {number} characterPremium the same ratio of bytes and of characters, which no tokenizer causes
 * @property {number} fertility tokens a word (of little meaning where words are not written apart) @property {number} compression bytes a token @property {number} closeness tokens a character
 * @property {number} unknownRate @property {boolean} counted is it among those that `median`, `most`, `least` are of: at most `unknownLimit` unknown
 */
/**
 * @typedef {object} Premiums
 * @property {string} reference @property {number} tokens of the reference @property {LanguagePremium[]} languages as given, the reference among them @property {string[]} left languages with another number of texts
 * @property {number} median premium @property {{language: string, premium: number} | null} most @property {{language: string, premium: number} | null} least the reference does not count
 */

/** @param {number[]} sorted */
const medianOf = (sorted) => (sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : 0);

/**
 * What the same texts cost in each language (Petrov, La Malfa, Torr & Bibi 2023): who pays more, waits longer and gets less context.
 * @param {Tokenizer} tokenizer @param {LanguageTexts[]} languages parallel texts
 * @param {{reference?: string, unknownLimit?: number, signal?: AbortSignal}} [options] reference: a language of the list, default 'en'; unknownLimit: share of unknown tokens above which a language's
 *   premium means nothing, default 0.1 as in the paper
 * @returns {Premiums} @throws {MicrotomeError} EMISSING: the reference is not in the list
 */
export function languagePremiums(tokenizer, languages, options = {}) {
  checkOptions('languagePremiums', options, ['reference', 'unknownLimit', 'signal']);
  const { reference = 'en', unknownLimit = 0.1, signal } = options;
  const base = languages.find(({ language }) => language === reference);
  if (!base) throw new MicrotomeError(`languagePremiums: no texts of the reference "${reference}"`, { code: 'EMISSING' });
  /** @type {LanguagePremium[]} */ const found = [];
  /** @type {string[]} */ const left = [];
  for (const { language, name = language, texts } of languages) {
    throwIfAborted(signal);
    if (texts.length !== base.texts.length) {
      left.push(language);
      continue;
    }
    const measure = new Measure(tokenizer);
    try {
      for (const text of texts) measure.add(text, { specialAsText: true });
      const { tokens, fertility, compression, closeness, unknownRate } = measure.read(), ratios = parity(tokenizer, texts, base.texts);
      found.push({ language, name, tokens, premium: ratios.premium, parity: ratios.parity, bytePremium: ratios.bytePremium, characterPremium: ratios.characterPremium, fertility, compression, closeness, unknownRate, counted: unknownRate <= unknownLimit });
    } finally {
      measure.dispose();
    }
  }
  const ranked = found.filter((l) => l.counted && l.language !== reference).sort((a, b) => a.premium - b.premium);
  const named = (/** @type {LanguagePremium | undefined} */ l) => (l ? { language: l.language, premium: l.premium } : null);
  return { reference, tokens: found.find((l) => l.language === reference)?.tokens ?? 0, languages: found, left, median: medianOf(ranked.map((l) => l.premium)), most: named(ranked.at(-1)), least: named(ranked[0]) };
}

/**
 * Normalised sequence length (Dagan, Synnaeve & Rozière 2024): tokens of the texts by one tokenizer / by another.
 * @param {Tokenizer} tokenizer @param {Tokenizer} reference @param {Iterable<string | Uint8Array>} texts @returns {number} below 1: shorter than the reference; 0 for no texts
 */
export function normalizedLength(tokenizer, reference, texts) {
  let ours = 0, theirs = 0;
  for (const text of texts) {
    ours += tokenizer.count(text);
    theirs += reference.count(text);
  }
  return theirs ? ours / theirs : 0;
}

/**
 * How far a token may reach in source code, from fine to coarse (after CodeBPE, Chirkova & Troshin 2023): every piece of a level is made of whole pieces of the level before.
 * words: identifiers and single punctuation characters; punctuation: runs of punctuation too; expressions: whatever stands between spaces; lines: a line; none: the text.
 */
export const CODE_LEVELS = Object.freeze({
  words: ' ?[\\p{L}\\p{N}_]+| ?[^\\s\\p{L}\\p{N}_]|\\n|[^\\S\\n]+(?=[^\\S\\n]|\\n|$)|[^\\S\\n]',
  punctuation: ' ?[\\p{L}\\p{N}_]+| ?[^\\s\\p{L}\\p{N}_]+|\\n|[^\\S\\n]+(?=[^\\S\\n]|\\n|$)|[^\\S\\n]',
  expressions: ' ?\\S+|\\n|[^\\S\\n]+(?=[^\\S\\n]|\\n|$)|[^\\S\\n]',
  lines: '[^\\n]*\\n|[^\\n]+',
  none: null,
});

/**
 * Byte-pair vocabularies of one size under each level of splitting, trained on the texts and measured on them and on others.
 * @param {string[]} texts @param {{vocabSize: number, levels?: (keyof typeof CODE_LEVELS)[], heldOut?: string[], onLevel?: (level: string) => void} & Pick<TrainOptions, 'signal'>} options vocabSize: of each; levels: default all; heldOut: other texts; onLevel: called as each begins
 * @returns {Promise<{level: string, tokens: number, compression: number, heldOut: number | null}[]>} tokens, compression: of the texts; heldOut: bytes a token of the others @throws {MicrotomeError} EUNKNOWN: another level; as trainTokenizer. AbortError
 */
export async function codeLevels(texts, options) {
  checkOptions('codeLevels', options, ['vocabSize', 'levels', 'heldOut', 'onLevel', 'signal']);
  const { vocabSize, levels = /** @type {(keyof typeof CODE_LEVELS)[]} */ (Object.keys(CODE_LEVELS)), heldOut, onLevel = () => {}, signal } = options;
  const results = [];
  for (const level of levels) {
    if (!Object.hasOwn(CODE_LEVELS, level)) throw new MicrotomeError(`codeLevels: unknown level ${JSON.stringify(level)}: known are ${Object.keys(CODE_LEVELS).join(', ')}`, { code: 'EUNKNOWN' });
    throwIfAborted(signal);
    onLevel(level);
    const regex = CODE_LEVELS[level];
    const { tokenizer } = await trainTokenizer(texts, { vocabSize, preTokenizer: regex ? { regex } : 'none', signal });
    const own = measured(tokenizer, texts);
    results.push({ level, tokens: own.tokens, compression: own.compression, heldOut: heldOut ? measured(tokenizer, heldOut).compression : null });
    tokenizer.dispose();
  }
  return results;
}

/** @param {Tokenizer} tokenizer @param {Iterable<string>} texts */
function measured(tokenizer, texts) {
  const measure = new Measure(tokenizer);
  try {
    for (const text of texts) measure.add(text, { specialAsText: true });
    return { ...measure.read(), efficiency: measure.efficiency() };
  } finally {
    measure.dispose();
  }
}

/**
 * @typedef {object} SweepPoint
 * @property {number} vocabSize as asked for @property {Record<string, number>} mix share of each language in the training bytes @property {number} trainedBytes
 * @property {number} efficiency Rényi efficiency (2.5) over all languages together @property {Record<string, {compression: number, fertility: number, premium: number, closeness: number}>} languages on texts not trained on
 */
/**
 * Vocabularies of several sizes from several mixtures of languages, each measured on every language (Zhang et al. 2022 on imbalance, Ali et al. 2023 on sizes for several languages).
 * @param {LanguageTexts[]} languages
 * @param {{sizes: number[], mixes?: Record<string, number>[], bytes?: number, heldOut?: number, kind?: 'bpe' | 'unigram' | 'wordpiece', reference?: string, onPoint?: (point: SweepPoint) => void, signal?: AbortSignal}} options
 *   mixes: weights of languages, default all equal; bytes: of training text for every point, default what the scarcest mixture allows; heldOut: every n-th text is for measuring alone, default 4;
 *   kind: default 'bpe'; reference: of premiums, default the first language; onPoint: called with each point as it is there
 * @returns {Promise<SweepPoint[]>} @throws {MicrotomeError} EMISSING: a mixture names a language that has no texts; ERANGE: texts that are not parallel, weights that are not positive
 */
export async function vocabularySweep(languages, options) {
  checkOptions('vocabularySweep', options, ['sizes', 'mixes', 'bytes', 'heldOut', 'kind', 'reference', 'onPoint', 'signal']);
  const equal = Object.fromEntries(languages.map(({ language }) => [language, 1]));
  const { sizes, mixes = [equal], heldOut = 4, kind = 'bpe', reference = languages[0]?.language, onPoint = () => {}, signal } = options;
  checkNumber('heldOut', heldOut, 2, 2 ** 20, true);
  if (!['bpe', 'unigram', 'wordpiece'].includes(kind)) throw new MicrotomeError(`vocabularySweep: unknown kind ${JSON.stringify(kind)}: known are bpe, unigram, wordpiece`, { code: 'EUNKNOWN' });
  const utf8 = new TextEncoder(), sizeOf = (/** @type {string} */ text) => utf8.encode(text).length;
  const train = new Map(), test = new Map();
  for (const { language, texts } of languages) {
    if (texts.length !== languages[0].texts.length) throw new MicrotomeError(`vocabularySweep: ${language} has ${texts.length} texts, ${languages[0].language} ${languages[0].texts.length}: premiums need parallel texts`, { code: 'ERANGE' });
    train.set(language, texts.filter((_, i) => i % heldOut).map((text) => ({ text, bytes: sizeOf(text) })));
    test.set(language, texts.filter((_, i) => i % heldOut === 0));
  }
  if (!test.has(reference)) throw new MicrotomeError(`vocabularySweep: no texts of the reference "${reference}"`, { code: 'EMISSING' });
  const has = new Map([...train].map(([language, texts]) => [language, texts.reduce((/** @type {number} */ n, /** @type {any} */ t) => n + t.bytes, 0)]));
  const shares = mixes.map((mix) => {
    const total = Object.values(mix).reduce((a, b) => a + b, 0);
    for (const [language, weight] of Object.entries(mix)) {
      if (!has.has(language)) throw new MicrotomeError(`vocabularySweep: no texts of "${language}"`, { code: 'EMISSING' });
      checkNumber(`the weight of ${language}`, weight, 0, Number.MAX_VALUE);
    }
    if (!(total > 0)) throw new MicrotomeError('vocabularySweep: a mixture needs a positive weight', { code: 'ERANGE' });
    return Object.fromEntries(Object.entries(mix).map(([language, weight]) => [language, weight / total]));
  });
  const allowed = Math.min(...shares.flatMap((mix) => Object.entries(mix).filter(([, share]) => share > 0).map(([language, share]) => has.get(language) / share)));
  const bytes = options.bytes === undefined ? Math.floor(allowed) : checkNumber('bytes', options.bytes, 1, Math.floor(allowed), true);
  const points = [];
  for (const mix of shares) {
    const texts = /** @type {string[]} */ (Object.entries(mix).flatMap(([language, share]) => {
      let left = bytes * share;
      return train.get(language).flatMap((/** @type {any} */ t) => ((left -= t.bytes) > -t.bytes ? [t.text] : []));
    }));
    for (const vocabSize of sizes) {
      throwIfAborted(signal);
      const { tokenizer } = await trainTokenizer(texts, { kind, vocabSize, signal });
      try {
        const base = measured(tokenizer, test.get(reference)).tokens;
        const point = {
          vocabSize, mix, trainedBytes: texts.reduce((n, text) => n + sizeOf(text), 0), efficiency: measured(tokenizer, [...test.values()].flat()).efficiency,
          languages: Object.fromEntries([...test].map(([language, list]) => {
            const { compression, fertility, closeness, tokens } = measured(tokenizer, list);
            return [language, { compression, fertility, closeness, premium: base ? tokens / base : 0 }];
          })),
        };
        points.push(point);
        onPoint(point);
      } finally {
        tokenizer.dispose();
      }
    }
  }
  return points;
}

/**
 * Chunkability (Beinborn & Pinter 2023): 1 - tokens / characters. 1: as one piece; 0: letter by letter. @param {Tokenizer} tokenizer @param {string} word without spaces @returns {number} 0 for no characters
 */
export function chunkability(tokenizer, word) {
  const characters = [...word].length;
  return characters ? 1 - tokenizer.count(word, { specialAsText: true }) / characters : 0;
}

/** Pearson's correlation, in two passes. @param {ArrayLike<number>} x @param {ArrayLike<number>} y as many @returns {number} NaN where one of them is constant or there are none @throws {MicrotomeError} ERANGE: not as many */
export function correlation(x, y) {
  if (x.length !== y.length) throw new MicrotomeError(`correlation: ${x.length} numbers against ${y.length}`, { code: 'ERANGE' });
  const mean = (/** @type {ArrayLike<number>} */ v) => Array.from(v).reduce((a, b) => a + b, 0) / v.length;
  const mx = mean(x), my = mean(y);
  let xy = 0, xx = 0, yy = 0;
  for (let i = 0; i < x.length; i++) {
    const a = x[i] - mx, b = y[i] - my;
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  return xx > 0 && yy > 0 ? xy / Math.sqrt(xx * yy) : NaN;
}

/**
 * Does a tokenizer find words hard that people find hard? (Beinborn & Pinter 2023: reaction times and accuracies of lexical decisions; expected for words: time falls and accuracy rises with chunkability, for non-words
 * the other way round.)
 * @param {Tokenizer} tokenizer @param {Record<string, string | number>[]} table rows with `word`, perhaps `kind` (such as word, nonword), and columns of numbers: reaction time, accuracy, frequency...
 * @param {{column?: string}} [options] column: where the words are, default 'word' @returns {{kind: string, column: string, n: number, r: number}[]} Pearson's r of chunkability with each numeric column, by kind ('' without one);
 *   rows where the number is missing are left out @throws {MicrotomeError} EMISSING: a row without a word
 */
export function cognitivePlausibility(tokenizer, table, options = {}) {
  checkOptions('cognitivePlausibility', options, ['column']);
  const { column = 'word' } = options;
  const lacking = table.findIndex((row) => typeof row[column] !== 'string' || !row[column]);
  if (lacking >= 0) throw new MicrotomeError(`cognitivePlausibility: row ${lacking} has no "${column}"`, { code: 'EMISSING' });
  const known = table.map((row) => ({ row, kind: String(row.kind ?? ''), chunks: chunkability(tokenizer, String(row[column])) }));
  const columns = [...new Set(table.flatMap((row) => Object.keys(row).filter((name) => typeof row[name] === 'number')))], kinds = [...new Set(known.map((k) => k.kind))];
  return kinds.flatMap((kind) => columns.flatMap((name) => {
    const rows = known.filter((k) => k.kind === kind && Number.isFinite(k.row[name]));
    return rows.length ? [{ kind, column: name, n: rows.length, r: correlation(rows.map((k) => k.chunks), rows.map((k) => Number(k.row[name]))) }] : [];
  }));
}

/**
 * A table from text: comma- or tab-separated, quotes as in RFC 4180. @param {string} text @param {{header?: string[]}} [options] header: names of the columns where the first line is not they
 * @returns {Record<string, string | number>[]} what reads as a number is one; empty cells are left out @throws {MicrotomeError} EFORMAT: a row with other columns, an open quote
 */
export function parseTable(text, options = {}) {
  checkOptions('parseTable', options, ['header']);
  const end = text.search(/[\r\n]/), first = end < 0 ? text : text.slice(0, end), separator = first.includes('\t') ? '\t' : ',';
  /** @type {string[][]} */ const rows = [];
  /** @type {string[]} */ let row = [];
  let cell = '', quoted = false, line = 1;
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || row[0] !== '') rows.push(row);
    row = [];
    cell = '';
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '\n') line++;
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') { cell += c; i++; } else quoted = false;
    } else if (c === '"' && cell === '' && separator === ',') quoted = true;
    else if (c === separator) { row.push(cell); cell = ''; } else if (c === '\n') endRow();
    else if (c !== '\r' || text[i + 1] !== '\n') cell += c;
  }
  if (quoted) throw new MicrotomeError(`parseTable: a quote is still open at the end (line ${line})`, { code: 'EFORMAT' });
  if (cell !== '' || row.length) endRow();
  const header = options.header ?? rows.shift() ?? [];
  return rows.map((cells, i) => {
    if (cells.length !== header.length) throw new MicrotomeError(`parseTable: row ${i + 1} has ${cells.length} columns, expected ${header.length} (${header.join(', ')})`, { code: 'EFORMAT' });
    return Object.fromEntries(header.flatMap((name, k) => (cells[k] === '' ? [] : [[name, cells[k].trim() !== '' && Number.isFinite(Number(cells[k])) ? Number(cells[k]) : cells[k]]])));
  });
}
