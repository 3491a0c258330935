/**
 * Parallel texts, and what they cost: tables of a few languages or of hundreds.
 */
import { parseTable } from '../../web/study.js';
import { make } from '../kit/page.js';
import { short } from './names.js';

/**
 * Beside its texts, where it is known: autonym: its name in the language itself; tag: BCP 47; iso: ISO 639-3; script: its writing system; direction: 'ltr' or 'rtl'; latitude, longitude: a place where it is spoken
 * @typedef {import('../../web/study.js').LanguageTexts & { autonym?: string, tag?: string, iso?: string, script?: string, direction?: string, latitude?: number, longitude?: number }} LanguageTexts
 */
/** @typedef {import('../../web/study.js').Premiums} Premiums */
/** @typedef {import('../../web/study.js').LanguagePremium} LanguagePremium */
/** @typedef {'premium' | 'density' | 'closeness' | 'tokens'} Measure density: tokens a byte; closeness: tokens a character */
/** @typedef {'name' | 'script' | 'value' | 'bytes' | 'closeness' | 'tokens'} Column of the ranking; value: by the measure */

const LANGUAGE = ['language', 'lang', 'code', 'iso'];
const TOLD = ['script', 'latitude', 'longitude']; // columns beside the texts
const SVG = 'http://www.w3.org/2000/svg';

/**
 * Parallel texts from a file. Known forms:
 * - a table with a row for each language: `language`, perhaps `name`, `script`, `latitude` and `longitude`, then one column for each text
 * - a table with a row for each text of a language, in the same order for all: `language`, perhaps `name`, `text`
 * - a table with a column for each language and a row for each text
 * - JSON or JSON lines: objects with `language` (or `lang`), perhaps `name` and the like, and `texts` (or `sentences`, `articles`); or one object with a list `languages` of such
 * @param {string} file @returns {LanguageTexts[]}
 * @throws {Error} what it is not
 */
export function readParallel(file) {
    const text = file.replace(/^\ufeff/, '').trim();
    if (/^[[{]/.test(text)) return checked(fromJson(text));
    const rows = parseTable(text.includes('\n') ? text : `${text}\n`), head = Object.keys(rows.reduce((a, b) => ({ ...a, ...b }), {}));
    const column = head.find((name) => LANGUAGE.includes(name.toLowerCase()));
    if (column === undefined) return checked(head.map((language) => ({ language, texts: rows.map((row) => String(row[language] ?? '')) })));
    const nameColumn = head.find((name) => name.toLowerCase() === 'name'), rest = head.filter((name) => name !== column && name !== nameColumn && !TOLD.includes(name.toLowerCase()));
    const told = (/** @type {Record<string, unknown>} */ row) => knownOf(Object.fromEntries(head.filter((name) => TOLD.includes(name.toLowerCase())).map((name) => [name.toLowerCase(), row[name]])));
    /** @type {Map<string, LanguageTexts>} */ const found = new Map();
    for (const row of rows) {
        const language = String(row[column] ?? ''), known = found.get(language) ?? { language, name: String((nameColumn && row[nameColumn]) || language), ...told(row), texts: [] };
        known.texts.push(...rest.map((name) => String(row[name] ?? '')));
        found.set(language, known);
    }
    return checked([...found.values()]);
}

/** @param {string} text @returns {LanguageTexts[]} */
function fromJson(text) {
    let list;
    try {
        list = JSON.parse(text);
    } catch {
        list = text.split('\n').filter((line) => line.trim()).map((line, i) => {
            try {
                return JSON.parse(line);
            } catch (error) {
                throw new Error(`line ${i + 1} is no JSON: ${/** @type {Error} */ (error).message}`);
            }
        });
    }
    if (Array.isArray(list?.languages) && typeof list.languages[0] === 'object') list = list.languages;
    if (!Array.isArray(list)) list = Object.entries(list).map(([language, texts]) => ({ language, texts }));
    return list.map((/** @type {any} */ item, /** @type {number} */ i) => {
        const language = item?.language ?? item?.lang, texts = item?.texts ?? item?.sentences ?? item?.articles;
        if (typeof language !== 'string' || !Array.isArray(texts)) throw new Error(`entry ${i + 1} must have "language" and a list "texts"`);
        return { language, name: typeof item.name === 'string' ? item.name : language, ...knownOf(item), texts: texts.map(String) };
    });
}

/** What a file tells of a language beside its texts, as far as it makes sense. @param {Record<string, unknown>} item @returns {Partial<LanguageTexts>} */
function knownOf(item) {
    const text = (/** @type {string} */ key) => (typeof item[key] === 'string' && item[key] ? { [key]: item[key] } : {}), degrees = (/** @type {string} */ key) => (item[key] === '' || item[key] === null ? NaN : Number(item[key]));
    const latitude = degrees('latitude'), longitude = degrees('longitude');
    return { ...text('tag'), ...text('iso'), ...text('script'), ...(item.direction === 'ltr' || item.direction === 'rtl' ? { direction: item.direction } : {}), ...(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 && { latitude, longitude }) };
}

/** @param {LanguageTexts[]} languages */
function checked(languages) {
    if (languages.length < 2) throw new Error('a parallel text needs at least two languages');
    if (languages.some((l) => !l.language)) throw new Error('a language has no name');
    if (!languages.some((l) => l.texts.some(Boolean))) throw new Error('there are no texts');
    return languages;
}

/** English where it is, else the first. @param {LanguageTexts[]} languages */
export const referenceOf = (languages) => languages.find((l) => /^(en|eng|english|eng_latn)$/i.test(l.language))?.language ?? languages[0].language;

/** @param {LanguagePremium} language @param {Measure} by */
export const valueOf = (language, by) => (by === 'density' ? 1 / language.compression : language[by]);

/**
 * Each measure in words, and the values at which its colour changes on the map: always the same, so that maps of different tokenizers can be compared.
 * @type {Record<Measure, { words: (reference: string) => string, edges: (tokens: number) => number[] }>} tokens: of the reference
 */
export const MEASURES = {
    premium: { words: (reference) => `tokens, times ${reference}`, edges: () => TIMES },
    density: { words: () => 'tokens a byte', edges: () => [0.4, 0.5, 0.6, 0.7, 0.8, 0.95] },
    closeness: { words: () => 'tokens a character', edges: () => [0.4, 0.55, 0.7, 1, 1.5, 2.5] },
    tokens: { words: () => 'tokens in all', edges: (tokens) => TIMES.map((times) => Math.round(times * tokens)) },
};
const TIMES = [1.25, 1.75, 2.25, 3, 5, 8];

/** @type {Record<Column, (language: LanguagePremium, by: Measure, script: string) => number | string>} */
const COLUMNS = { name: (l) => l.name, script: (_, by, script) => script, value: valueOf, bytes: (l) => l.bytePremium, closeness: (l) => l.closeness, tokens: (l) => l.tokens };

/**
 * Rows of the ranking; data-language tells which one it is. Those with too many unknown tokens come last where figures are compared.
 * @param {Premiums} premiums @param {{ by: Measure, column: Column, falling: boolean, about: ReadonlyMap<string, LanguageTexts>, scripts: ReadonlyMap<string, string> }} how
 * @returns {(() => HTMLTableRowElement)[]} each is made when it is asked for: there may be hundreds
 */
export function rankingRows(premiums, { by, column, falling, about, scripts }) {
    const scriptOf = (/** @type {LanguagePremium} */ l) => scripts.get(l.language) ?? '', key = (/** @type {LanguagePremium} */ l) => COLUMNS[column](l, by, scriptOf(l));
    const words = column === 'name' || column === 'script', compare = (/** @type {any} */ a, /** @type {any} */ b) => (words ? a.localeCompare(b, 'en') : a - b);
    const ranked = [...premiums.languages].sort((a, b) => (words ? 0 : Number(b.counted) - Number(a.counted)) || (falling ? -1 : 1) * compare(key(a), key(b)) || valueOf(a, by) - valueOf(b, by)), most = Math.max(1e-9, ...ranked.map((l) => valueOf(l, by)));
    return ranked.map((language) => () => {
        const svg = document.createElementNS(SVG, 'svg'), rect = document.createElementNS(SVG, 'rect');
        svg.setAttribute('viewBox', '0 0 100 8');
        svg.setAttribute('preserveAspectRatio', 'none');
        svg.setAttribute('aria-hidden', 'true');
        rect.setAttribute('width', (100 * valueOf(language, by) / most).toFixed(2));
        rect.setAttribute('height', '8');
        svg.append(rect);
        const kind = language.language === premiums.reference ? 'reference' : language.counted ? '' : 'unknown', { autonym, tag } = about.get(language.language) ?? {};
        const row = make('tr', { className: kind },
            make('th', { scope: 'row' }, make('bdi', {}, language.name), ...(autonym && autonym !== language.name ? [' ', make('bdi', { className: 'muted', lang: language.language }, autonym)] : []), ...(tag ? [' ', make('span', { className: 'muted' }, tag)] : []), kind === 'reference' ? ' (the measure)' : kind === 'unknown' ? ` (${Math.round(100 * language.unknownRate)}% unknown)` : ''),
            make('td', { className: 'script' }, scriptOf(language)),
            make('td', { className: 'bar' }, make('div', {}, make('span', {}, by === 'tokens' ? language.tokens.toLocaleString('en') : short(valueOf(language, by))), svg)),
            make('td', {}, short(language.bytePremium)), make('td', {}, short(language.closeness)), make('td', {}, language.tokens.toLocaleString('en')));
        row.dataset.language = language.language;
        return row;
    });
}
