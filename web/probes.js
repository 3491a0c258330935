// Experiments on what tokenization does to a model: each takes a model and texts, and gives numbers. docs/bytes.md says what they mean.
import { MicrotomeError } from './runtime/heap.js';
import { checkNumber, checkOptions, throwIfAborted } from './runtime/errors.js';
import { ByteModel } from './bytes.js';
import { beginning, bytesOf, healedNextByte, needModel } from './heal.js';
import { scoreTokenizations } from './marginal.js';
import { unreachableTokens } from './measure.js';
import { Random } from './random.js';

/** @typedef {import('./model.js').Model} Model */

// ---- the end of a prompt -------------------------------------------------------------------------------------------

/** @param {number} b */
const isLetter = (b) => (b >= 65 && b <= 90) || (b >= 97 && b <= 122) || b >= 128;

/** Where that takes too many paths, with fewer. @param {Model} model @param {Uint8Array} prompt @param {{tokens: number, epsilon?: number, keep?: boolean, classic?: boolean, limit?: number}} how */
async function healedWithin(model, prompt, how) {
  for (let epsilon = how.epsilon; ; epsilon = /** @type {number} */ (epsilon) * 10) {
    try {
      return await healedNextByte(model, prompt, { ...how, ...(epsilon !== undefined && { epsilon }) });
    } catch (error) {
      if (!(error instanceof MicrotomeError && error.code === 'ELIMIT') || !epsilon || epsilon >= 0.1) throw error;
    }
  }
}

/** Where prompts end: inside a word; after a word, before its space; after the space ("trailing space"). */
const PLACES = /** @type {Record<string, (a: number, b: number, c: number) => boolean>} */ ({ inside: (a, b, c) => isLetter(a) && isLetter(b) && isLetter(c), word: (a, b, c) => isLetter(a) && isLetter(b) && c === 32, space: (a, b, c) => isLetter(a) && b === 32 && isLetter(c) });

/**
 * @typedef {object} HealingRow
 * @property {string} method 'naive', 'healing' (classic, one token), 'alignment' (local masks), 'weighted' (paths' probabilities kept) or 'exact'
 * @property {number} distance mean total variation distance of the next byte's distribution to the exact one
 * @property {number} bits mean -log2 of the probability of the byte that really follows; Infinity: it was impossible once
 * @property {number} right share of the cuts where the likeliest byte is the one that follows
 */
/**
 * The next byte after prompts that are cut, by each treatment of the prompt's end. Inside words naive > healing > alignment > exact is the order to expect in `bits`.
 * @param {Model} model @param {string | Uint8Array} text that the model has not seen
 * @param {{where?: 'inside' | 'word' | 'space', cuts?: number, context?: number, tokens?: number, epsilon?: number, seed?: number, signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} [options]
 *   where: 'inside' (default) words, between two letters; 'word': before the space after a word; 'space': after that space. cuts: how many prompts (default 100), at random; context: bytes of each, from the beginning of a word on (200); tokens: what alignment gives up (3);
 *   epsilon: as for healedNextByte (1e-5; ten times as much where more than 16384 paths would be followed)
 * @returns {Promise<{cuts: number, rows: HealingRow[]}>} @throws {MicrotomeError} ERANGE: the text has no place to cut; as healedNextByte
 */
export async function healingTable(model, text, options = {}) {
  checkOptions('healingTable', options, ['where', 'cuts', 'context', 'tokens', 'epsilon', 'seed', 'signal', 'onProgress']);
  const { where = 'inside', cuts = 100, context = 200, tokens = 3, epsilon = 1e-5, seed = 1, signal, onProgress } = options, bytes = bytesOf(text);
  needModel('healingTable', model);
  if (!Object.hasOwn(PLACES, where)) throw new MicrotomeError(`healingTable: unknown place ${JSON.stringify(where)}: known are ${Object.keys(PLACES).join(', ')}`, { code: 'EUNKNOWN' });
  checkNumber('healingTable: cuts', cuts, 1, 2 ** 20, true);
  checkNumber('healingTable: context', context, 1, 2 ** 20, true);
  const places = [];
  for (let i = 2; i < bytes.length; i++) if (i >= Math.min(context, bytes.length / 2) && PLACES[where](bytes[i - 2], bytes[i - 1], bytes[i])) places.push(i);
  if (!places.length) throw new MicrotomeError(`healingTable: the text has no place of the kind ${where}`, { code: 'ERANGE' });
  const ways = { naive: { tokens: 0 }, healing: { tokens: 1, classic: true }, alignment: { tokens, epsilon, limit: 16384 }, weighted: { tokens, keep: true, epsilon, limit: 16384 } };
  const rows = [...Object.keys(ways), 'exact'].map((method) => ({ method, distance: 0, bits: 0, right: 0 }));
  const random = new Random(model.tokenizer.core().heap, seed), view = new ByteModel(model);
  try {
    for (let c = 0; c < cuts; c++) {
      throwIfAborted(signal);
      const at = places[Math.floor(random.next() * places.length)];
      let from = Math.max(0, at - context);
      while (from > 0 && from < at && isLetter(bytes[from - 1]) && isLetter(bytes[from])) from++;
      const prompt = bytes.slice(from, at), { bytes: logs, end } = await view.next(prompt, { naive: false, signal }), exact = [...logs, end].map(Math.exp);
      const answers = [];
      for (const how of Object.values(ways)) {
        const r = await healedWithin(model, prompt, how);
        answers.push([...r.bytes, r.end].map(Math.exp));
      }
      [...answers, exact].forEach((p, m) => {
        rows[m].distance += p.reduce((sum, x, b) => sum + Math.abs(x - exact[b]) / 2, 0) / cuts;
        rows[m].bits -= Math.log2(p[bytes[at]]) / cuts;
        rows[m].right += Number(p.indexOf(Math.max(...p)) === bytes[at]) / cuts;
      });
      onProgress?.(c + 1, cuts);
    }
  } finally {
    random.free();
    await view.dispose();
  }
  return { cuts, rows };
}

// ---- texts that are written otherwise ---------------------------------------------------------------------------------------------------

const KEYS = ['qwertyuiop', 'asdfghjkl', 'zxcvbnm'];
/** The key beside a letter's. @param {string} c @param {Random} random */
function neighbour(c, random) {
  const row = KEYS.find((keys) => keys.includes(c.toLowerCase()));
  if (!row) return c;
  const at = row.indexOf(c.toLowerCase()), beside = [row[at - 1], row[at + 1]].filter(Boolean), key = beside[Math.floor(random.next() * beside.length)];
  return c === c.toLowerCase() ? key : key.toUpperCase();
}
/** One edit at a place; all but 'keyboard' take any character. @type {Record<string, (text: string[], at: number, random: Random) => void>} */
const TYPOS = {
  swap: (text, at) => { if (at + 1 < text.length) [text[at], text[at + 1]] = [text[at + 1], text[at]]; },
  drop: (text, at) => void text.splice(at, 1),
  repeat: (text, at) => void text.splice(at, 0, text[at]),
  keyboard: (text, at, random) => { text[at] = neighbour(text[at], random); },
};
/** @type {Record<string, (text: string) => string>} */
const FORMATS = {
  'upper case': (text) => text.toUpperCase(), 'lower case': (text) => text.toLowerCase(), 'title case': (text) => text.replace(/\p{L}+/gu, (w) => w[0].toUpperCase() + w.slice(1)),
  'double spaces': (text) => text.replaceAll(' ', '  '), 'no spaces': (text) => text.replaceAll(' ', ''), 'spaced letters': (text) => [...text].join(' '), tabs: (text) => text.replaceAll(' ', '\t'),
  'leading space': (text) => ` ${text}`, 'trailing space': (text) => `${text} `, 'space before commas': (text) => text.replaceAll(',', ' ,'),
};
/** Names of the kinds of typing errors. */
export const TYPO_OPERATORS = Object.keys(TYPOS);
/** Names of the formats of formatProbe. */
export const TEXT_FORMATS = Object.keys(FORMATS);

/**
 * A text with so many typing errors: 'swap' of neighbours, 'drop', 'repeat', or the 'keyboard' key beside, at random characters that are letters.
 * @param {import('./tokenizer.js').Tokenizer} tokenizer whose module draws @param {string} text @param {string} operator one of TYPO_OPERATORS @param {number} edits how many @param {{seed?: number, level?: 'character' | 'boundary' | 'word'}} [options]
 *   level: of the places: any letter (default), letters at the edge of a token, or the first letter of words @returns {string} @throws {MicrotomeError} EUNKNOWN: another operator or level
 */
export function withTypos(tokenizer, text, operator, edits, options = {}) {
  checkOptions('withTypos', options, ['seed', 'level']);
  const { seed, level = 'character' } = options;
  if (!Object.hasOwn(TYPOS, operator)) throw new MicrotomeError(`withTypos: unknown operator ${JSON.stringify(operator)}: known are ${TYPO_OPERATORS.join(', ')}`, { code: 'EUNKNOWN' });
  if (!['character', 'boundary', 'word'].includes(level)) throw new MicrotomeError(`withTypos: unknown level ${JSON.stringify(level)}: known are character, boundary, word`, { code: 'EUNKNOWN' });
  checkNumber('withTypos: edits', edits, 0, 2 ** 20, true);
  const random = new Random(tokenizer.core().heap, seed);
  try {
    let out = text;
    for (let k = 0; k < edits; k++) {
      const letters = [...out], edges = new Set();
      if (level === 'boundary') {
        let place = 0;
        /** @type {Map<number, number>} */ const index = new Map(); // UTF-16 -> characters
        letters.forEach((c, i) => { index.set(place, i); place += c.length; });
        const { offsets } = tokenizer.encode(out, { offsets: 'utf16' });
        for (const at of /** @type {Uint32Array} */ (offsets)) edges.add(index.get(at));
      }
      const places = letters.map((_, i) => i).filter((i) => /\p{L}/u.test(letters[i]) && (level === 'character' || (level === 'word' ? i === 0 || /\s/.test(letters[i - 1]) : edges.has(i) || edges.has(i + 1))));
      if (!places.length) break;
      TYPOS[operator](letters, places[Math.floor(random.next() * places.length)], random);
      out = letters.join('');
    }
    return out;
  } finally {
    random.free();
  }
}

/** A text in another format. @param {string} text @param {string} format one of TEXT_FORMATS @returns {string} */
export function inFormat(text, format) {
  if (!Object.hasOwn(FORMATS, format)) throw new MicrotomeError(`unknown format ${JSON.stringify(format)}: known are ${TEXT_FORMATS.join(', ')}`, { code: 'EUNKNOWN' });
  return FORMATS[format](text);
}

/** Levenshtein distance of two id lists. @param {ArrayLike<number>} a @param {ArrayLike<number>} b @returns {number} */
export function tokenDistance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + Number(a[i - 1] !== b[j - 1])));
    row = next;
  }
  return row[b.length];
}

/**
 * @typedef {object} VariantRow means over the texts
 * @property {string} variant @property {number} edits
 * @property {number} bits per text, along the tokenizer's own tokens @property {number} exactBits of the bytes, over all spellings that the tokenizer can produce (without `exact`: NaN)
 * @property {number} bitsPerByte @property {number} exactBitsPerByte of the text as it is written then @property {number} tokens @property {number} tokenDistance edit distance to the tokens of the clean text
 */
/** @param {Model} model @param {string[]} clean @param {string[]} texts @param {string} variant @param {number} edits @param {boolean} exact @param {AbortSignal} [signal] @returns {Promise<VariantRow>} */
async function variantRow(model, clean, texts, variant, edits, exact, signal) {
  const ids = (/** @type {string} */ text) => model.tokenizer.encode(text, { offsets: false }).ids, view = exact ? new ByteModel(model) : null;
  let bits = 0, exactBits = 0, bytes = 0, tokens = 0, distance = 0;
  try {
    for (const [i, text] of texts.entries()) {
      throwIfAborted(signal);
      const list = ids(text);
      bits -= (await scoreTokenizations(model, [list]))[0] / Math.LN2;
      exactBits -= view ? (await view.score(text, { signal })).textLogProb / Math.LN2 : NaN;
      bytes += bytesOf(text).length;
      tokens += list.length;
      distance += tokenDistance(ids(clean[i]), list);
    }
  } finally {
    await view?.dispose();
  }
  const n = texts.length;
  return { variant, edits, bits: bits / n, exactBits: exactBits / n, bitsPerByte: bits / bytes, exactBitsPerByte: exactBits / bytes, tokens: tokens / n, tokenDistance: distance / n };
}
/** @param {string} where @param {string[]} texts */
function needTexts(where, texts) {
  if (!Array.isArray(texts) || !texts.length || !texts.every((t) => typeof t === 'string' && t)) throw new MicrotomeError(`${where}: a list of texts is needed, none of them empty`, { code: 'ERANGE' });
}

/**
 * How much typing errors cost (Chai et al. 2024): the bits of texts with 0, 1, 2, ... errors of each kind, along their tokens and over bytes, and how far the tokens move.
 * @param {Model} model @param {string[]} texts short ones: sentences @param {{operators?: string[], edits?: number[], level?: 'character' | 'boundary' | 'word', seed?: number, exact?: boolean, signal?: AbortSignal}} [options]
 *   operators: default all; edits: how many errors, default 0, 1, 2, 4; level: as of withTypos; exact (default true): by the exact byte model too @returns {Promise<VariantRow[]>} by operator and edits
 */
export async function typoProbe(model, texts, options = {}) {
  checkOptions('typoProbe', options, ['operators', 'edits', 'level', 'seed', 'exact', 'signal']);
  const { operators = TYPO_OPERATORS, edits = [0, 1, 2, 4], level, seed = 1, exact = true, signal } = options, rows = [];
  needModel('typoProbe', model);
  needTexts('typoProbe', texts);
  for (const operator of operators)
    for (const n of edits) rows.push(await variantRow(model, texts, texts.map((text, i) => withTypos(model.tokenizer, text, operator, n, { seed: seed + i, ...(level && { level }) })), operator, n, exact, signal));
  return rows;
}

/**
 * The same texts in other formats: case, spaces, tabs, a leading or trailing space. @param {Model} model @param {string[]} texts @param {{formats?: string[], exact?: boolean, signal?: AbortSignal}} [options] formats: default all; exact (default true): by the exact byte model too
 * @returns {Promise<VariantRow[]>} the first row: as they are
 */
export async function formatProbe(model, texts, options = {}) {
  checkOptions('formatProbe', options, ['formats', 'exact', 'signal']);
  const { formats = TEXT_FORMATS, exact = true, signal } = options;
  needModel('formatProbe', model);
  needTexts('formatProbe', texts);
  const rows = [await variantRow(model, texts, texts, 'as it is', 0, exact, signal)];
  for (const format of formats) rows.push(await variantRow(model, texts, texts.map((text) => inFormat(text, format)), format, 0, exact, signal));
  return rows;
}

/**
 * SpaceInfi (Cai & Cui 2023): one space before a randomly chosen comma. What the detector of generated text sees is not the text but its tokens: "token mutation".
 * @param {Model} model @param {string} text with a comma @param {{seed?: number}} [options]
 * @returns {Promise<{text: string, before: SurprisalList, after: SurprisalList, removed: number[], added: number[], change: number, own: number, behind: number}>} text: with the space; removed, added: places of the tokens that changed, in
 *   before and after; change: of the mean -ln p of a token; own, behind: what the sum of all changed by, through the changed tokens themselves and through those behind them
 * @throws {MicrotomeError} ERANGE: the text has no comma
 */
export async function commaProbe(model, text, options = {}) {
  checkOptions('commaProbe', options, ['seed']);
  const { tokenizer } = needModel('commaProbe', model), commas = [...text.matchAll(/(?<! ),/g)].map(({ index }) => index), random = new Random(tokenizer.core().heap, options.seed);
  const drawn = random.next();
  random.free();
  if (!commas.length) throw new MicrotomeError('commaProbe: the text has no comma without a space before it', { code: 'ERANGE' });
  const at = commas[Math.floor(drawn * commas.length)], changed = `${text.slice(0, at)} ${text.slice(at)}`;
  const [before, after] = [await surprisals(model, text), await surprisals(model, changed)];
  let head = 0, tail = 0;
  const [x, y] = [before.ids, after.ids];
  while (head < Math.min(x.length, y.length) && x[head] === y[head]) head++;
  while (tail < Math.min(x.length, y.length) - head && x[x.length - 1 - tail] === y[y.length - 1 - tail]) tail++;
  const range = (/** @type {number} */ n) => Array.from({ length: n - head - tail }, (_, i) => head + i), mean = (/** @type {SurprisalList} */ s) => s.nats.reduce((a, b) => a + b, 0) / s.nats.length;
  const sum = (/** @type {SurprisalList} */ s, /** @type {number[]} */ places) => places.reduce((a, i) => a + s.nats[i], 0);
  const removed = range(x.length), added = range(y.length), tails = (/** @type {number} */ n) => Array.from({ length: tail }, (_, i) => n - tail + i);
  return { text: changed, before, after, removed, added, change: mean(after) - mean(before), own: sum(after, added) - sum(before, removed), behind: sum(after, tails(y.length)) - sum(before, tails(x.length)) };
}
/** @typedef {{ids: Int32Array, nats: Float64Array}} SurprisalList nats: -ln p of each token */
/** @param {Model} model @param {string} text @returns {Promise<SurprisalList>} */
async function surprisals(model, text) {
  const ids = model.tokenizer.encode(text, { offsets: false }).ids;
  return { ids, nats: (await model.logProbs([beginning(model), ...ids])).map((x) => -x) };
}

// ---- other tokenizations of the same text ------------------------------------------------------------------------------------------------

/**
 * How a model takes to tokenizations that its tokenizer does not give: texts cut with BPE-dropout at growing rates (Provilkov et al. 2020; a model that was trained so is flat).
 * @param {Model} model of a BPE tokenizer @param {string[]} texts @param {{rates?: number[], samples?: number, variant?: import('./segmenters.js').SegmenterKind, seed?: number, signal?: AbortSignal}} [options]
 *   rates: default 0, 0.05, 0.1, 0.2, 0.4, 0.7, 1; samples: of each text, default 4; variant: which dropout, default 'bpe-dropout-step-all'
 * @returns {Promise<{rate: number, bitsPerByte: number, deviation: number, tokens: number, tokenDistance: number}[]>} means over texts and samples; deviation: of the bits per byte between samples of a text; tokenDistance: to the
 *   usual tokens
 */
export async function dropoutProbe(model, texts, options = {}) {
  checkOptions('dropoutProbe', options, ['rates', 'samples', 'variant', 'seed', 'signal']);
  const { rates = [0, 0.05, 0.1, 0.2, 0.4, 0.7, 1], samples = 4, variant = 'bpe-dropout-step-all', seed = 1, signal } = options, { tokenizer } = needModel('dropoutProbe', model);
  needTexts('dropoutProbe', texts);
  checkNumber('dropoutProbe: samples', samples, 1, 2 ** 16, true);
  const rows = [];
  for (const rate of rates) {
    let bits = 0, spread = 0, tokens = 0, distance = 0;
    for (const [i, text] of texts.entries()) {
      throwIfAborted(signal);
      const usual = tokenizer.encode(text, { offsets: false }).ids, bytes = bytesOf(text).length;
      const lists = Array.from({ length: samples }, (_, k) => tokenizer.encode(text, { segmenter: variant, dropout: checkNumber('dropoutProbe: rate', rate, 0, 1), seed: seed + 1000003 * k + i, offsets: false }).ids);
      const each = Array.from(await scoreTokenizations(model, lists), (x) => -x / Math.LN2 / bytes), mean = each.reduce((a, b) => a + b, 0) / samples;
      bits += mean;
      spread += Math.sqrt(each.reduce((a, b) => a + (b - mean) ** 2, 0) / samples);
      tokens += lists.reduce((a, l) => a + l.length, 0) / samples;
      distance += lists.reduce((a, l) => a + tokenDistance(usual, l), 0) / samples;
    }
    const n = texts.length;
    rows.push({ rate, bitsPerByte: bits / n, deviation: spread / n, tokens: tokens / n, tokenDistance: distance / n });
  }
  return rows;
}

// ---- numbers -----------------------------------------------------------------------------------------------------------------------------

/** Digits in groups, as a vocabulary of so many digits cuts them. @param {string} digits @param {number} size of a group, in digits @param {'left' | 'right'} from the side that the groups are counted from @returns {string[]} @throws {MicrotomeError} ERANGE: other characters than digits; EUNKNOWN: another side */
export function chunkDigits(digits, size, from) {
  if (!/^[0-9]*$/.test(digits)) throw new MicrotomeError(`chunkDigits: ${JSON.stringify(digits)} is not digits`, { code: 'ERANGE' });
  if (from !== 'left' && from !== 'right') throw new MicrotomeError(`chunkDigits: unknown side ${JSON.stringify(from)}: known are left, right`, { code: 'EUNKNOWN' });
  checkNumber('chunkDigits: size', size, 1, 2 ** 20, true);
  const first = from === 'left' ? size : digits.length % size || size, out = [];
  for (let at = 0, n = first; at < digits.length; at += n, n = size) out.push(digits.slice(at, at === 0 ? first : at + n));
  return out;
}

/**
 * Sums (Singh & Strouse 2024): the share that a model gets right by greedy decoding, by the digits of the longer addend and by whether the answer has one digit more, where groups from the left shift.
 * @param {Model} model that was trained on lines a+b=c, as the shipped digit twins @param {{count?: number, least?: number, most?: number, groups?: 'left' | 'right' | null, separator?: string, seed?: number, signal?: AbortSignal}} [options]
 *   count: sums of each number of digits, default 20; least, most: digits, default 1 to 9; groups: write the addends in groups of three, from this side, with `separator` (',') between them
 * @returns {Promise<{rows: {digits: number, longer: boolean, count: number, right: number}[], right: number}>} right: share, of the rows and of all
 */
export async function sumsProbe(model, options = {}) {
  checkOptions('sumsProbe', options, ['count', 'least', 'most', 'groups', 'separator', 'seed', 'signal']);
  const { count = 20, least = 1, most = 9, groups = null, separator = ',', seed = 1, signal } = options, { tokenizer } = needModel('sumsProbe', model), random = new Random(tokenizer.core().heap, seed);
  checkNumber('sumsProbe: count', count, 1, 2 ** 20, true);
  checkNumber('sumsProbe: least', least, 1, 15, true);
  checkNumber('sumsProbe: most', most, least, 15, true);
  const write = (/** @type {number} */ x) => (groups ? chunkDigits(String(x), 3, groups).join(separator) : String(x));
  /** @type {{digits: number, longer: boolean, count: number, right: number}[]} */ const rows = [];
  try {
    for (let digits = least; digits <= most; digits++) {
      const [short, long] = [false, true].map((longer) => ({ digits, longer, count: 0, right: 0 }));
      for (let k = 0; k < count; k++) {
        throwIfAborted(signal);
        const low = digits === 1 ? 0 : 10 ** (digits - 1), draw = (/** @type {number} */ from) => from + Math.floor(random.next() * (10 ** digits - from));
        const [a, b] = [draw(low), draw(0)].sort(() => random.next() - 0.5), answer = write(a + b), row = String(a + b).length > digits ? long : short;
        let text = '';
        for await (const part of model.generate([beginning(model), ...tokenizer.encode(`${write(a)}+${write(b)}=`, { offsets: false }).ids], { temperature: 0, maxTokens: answer.length + 2, stop: ['\n', ...model.endTokens], signal })) text += part.text;
        row.count++;
        row.right += Number(text === answer);
      }
      rows.push(...[short, long].filter((row) => row.count));
    }
  } finally {
    random.free();
  }
  const sum = (/** @type {'count' | 'right'} */ name) => rows.reduce((s, row) => s + row[name], 0), right = sum('right') / sum('count');
  return { rows: rows.map((row) => ({ ...row, right: row.right / row.count })), right };
}

// ---- tokens that were hardly trained -------------------------------------------------------------------------------------------------------

/**
 * @typedef {object} UndertrainedToken
 * @property {number} id @property {string} text @property {number} norm L2 norm of its input embedding @property {number} similarity cosine to the mean of the reference rows, of output rows less their common mean
 * @property {boolean} unreachable the tokenizer never gives it
 */
/**
 * Candidates for under-trained ("glitch") tokens from the embeddings (Land & Bartolo 2024). Output rows of tokens that never occur all drift the same way: those that are most similar to the rows of tokens that
 * certainly never occurred (unreachable and unused ones, bytes that UTF-8 does not have) are suspects too.
 * @param {Model} model @param {{top?: number}} [options] top: how many, default 50
 * @returns {Promise<{tokens: UndertrainedToken[], references: number, tied: boolean, meanNorm: number}>} the most suspicious first; references: rows that stood for never trained; tied: input and output are one table
 * @throws {MicrotomeError} EMISSING: the model has no table of embeddings by tokens, or the vocabulary no token that is certainly never used
 */
export async function undertrainedTokens(model, options = {}) {
  checkOptions('undertrainedTokens', options, ['top']);
  const { top = 50 } = options, { tokenizer, client } = needModel('undertrainedTokens', model), size = tokenizer.vocabSize;
  checkNumber('undertrainedTokens: top', top, 1, 2 ** 24, true);
  const { description } = await client.call('exportOpen', {});
  const F32 = 0, table = async (/** @type {string} */ name) => {
    const index = description.tensors.findIndex((/** @type {any} */ t) => t.name === name);
    if (index < 0) return null;
    const [width, rows] = description.tensors[index].dims;
    if (rows < size) return null;
    return { width, rows: new Float32Array((await client.call('exportRows', { tensor: index, row: 0, count: size, type: F32, bytes: 4 * width * size })).buffer) };
  };
  const input = await table('token_embd.weight'), output = (await table('output.weight')) ?? input;
  if (!input || !output) throw new MicrotomeError('undertrainedTokens: the model has no table of embeddings by tokens', { code: 'EMISSING' });
  const kinds = /** @type {string[]} */ ([]), impossible = /** @type {boolean[]} */ ([]), breathe = breather();
  for (let id = 0; id < size; id++) {
    const { kind, bytes } = tokenizer.token(id);
    kinds.push(kind);
    impossible.push(bytes.length === 1 && (bytes[0] === 0xc0 || bytes[0] === 0xc1 || bytes[0] > 0xf4)); // no UTF-8 has these, a vocabulary of all 256 bytes does
    await breathe();
  }
  let unreachable = /** @type {Set<number>} */ (new Set());
  try {
    unreachable = new Set(unreachableTokens(tokenizer));
  } catch (error) {
    if (!(error instanceof MicrotomeError && error.code === 'EUNKNOWN')) throw error; // a tokenizer that does not say
  }
  const ordinary = kinds.map((_, id) => id).filter((id) => kinds[id] === 'normal' || kinds[id] === 'user' || kinds[id] === 'byte');
  const references = kinds.map((_, id) => id).filter((id) => unreachable.has(id) || kinds[id] === 'unused' || kinds[id] === 'hole' || (kinds[id] !== 'special' && impossible[id]));
  if (!references.length) throw new MicrotomeError('undertrainedTokens: no token of the vocabulary is known to be never used: there is nothing to compare with', { code: 'EMISSING' });
  const { width, rows } = output, mean = await average(ordinary), wanted = (await average(references)).map((x, d) => x - mean[d]), length = Math.hypot(...wanted) || 1;
  const similarity = (/** @type {number} */ id) => {
    let dot = 0, square = 0;
    for (let d = 0; d < width; d++) { const x = rows[id * width + d] - mean[d]; dot += x * wanted[d]; square += x * x; }
    return square > 0 ? dot / Math.sqrt(square) / length : 1;
  };
  const tokens = /** @type {UndertrainedToken[]} */ ([]);
  const norm = (/** @type {number} */ id) => Math.sqrt(input.rows.subarray(id * input.width, (id + 1) * input.width).reduce((sum, x) => sum + x * x, 0));
  let norms = 0;
  for (const id of ordinary) {
    tokens.push({ id, text: new TextDecoder().decode(tokenizer.tokenBytes(id)), norm: norm(id), similarity: similarity(id), unreachable: unreachable.has(id) });
    norms += tokens[tokens.length - 1].norm;
    await breathe();
  }
  tokens.sort((a, b) => b.similarity - a.similarity || a.norm - b.norm || a.id - b.id);
  return { tokens: tokens.slice(0, top), references: references.length, tied: output === input, meanNorm: norms / ordinary.length };

  /** @param {number[]} ids */
  async function average(ids) {
    const out = new Float64Array(width);
    for (const id of ids) {
      for (let d = 0; d < width; d++) out[d] += rows[id * width + d] / ids.length;
      await breathe();
    }
    return out;
  }
}

const TURN_MS = 8;

/** For long work on a page's thread: the returned function waits for others' turn where this one has become long. */
function breather() {
  let began = performance.now();
  return () => {
    if (performance.now() - began < TURN_MS) return;
    return new Promise((resolve) => setTimeout(resolve)).then(() => { began = performance.now(); });
  };
}
