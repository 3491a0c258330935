/**
 * Parallel texts, and what they cost: tables of a few languages or of hundreds.
 */
import { parseTable } from '../../web/study.js';
import { make } from '../kit/page.js';
import { short } from './names.js';

/** @typedef {import('../../web/study.js').LanguageTexts & { autonym?: string }} LanguageTexts autonym: its name in the language itself, where it is known */
/** @typedef {import('../../web/study.js').Premiums} Premiums */
/** @typedef {import('../../web/study.js').LanguagePremium} LanguagePremium */
/** @typedef {'premium' | 'closeness' | 'tokens'} Measure */

const LANGUAGE = ['language', 'lang', 'code', 'iso'];
const SVG = 'http://www.w3.org/2000/svg';

/**
 * Parallel texts from a file. Known forms:
 * - a table with a row for each language: `language`, perhaps `name`, then one column for each text
 * - a table with a row for each text of a language, in the same order for all: `language`, perhaps `name`, `text`
 * - a table with a column for each language and a row for each text
 * - JSON or JSON lines: objects with `language` (or `lang`), perhaps `name`, and `texts` (or `sentences`, `articles`)
 * @param {string} file @returns {LanguageTexts[]}
 * @throws {Error} what it is not
 */
export function readParallel(file) {
    const text = file.replace(/^\ufeff/, '').trim();
    if (/^[[{]/.test(text)) return checked(fromJson(text));
    const rows = parseTable(text.includes('\n') ? text : `${text}\n`), head = Object.keys(rows.reduce((a, b) => ({ ...a, ...b }), {}));
    const column = head.find((name) => LANGUAGE.includes(name.toLowerCase()));
    if (column === undefined) return checked(head.map((language) => ({ language, texts: rows.map((row) => String(row[language] ?? '')) })));
    const nameColumn = head.find((name) => name.toLowerCase() === 'name'), rest = head.filter((name) => name !== column && name !== nameColumn && name.toLowerCase() !== 'script');
    /** @type {Map<string, LanguageTexts>} */ const found = new Map();
    for (const row of rows) {
        const language = String(row[column] ?? ''), known = found.get(language) ?? { language, name: String((nameColumn && row[nameColumn]) || language), texts: [] };
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
    if (!Array.isArray(list)) list = Object.entries(list).map(([language, texts]) => ({ language, texts }));
    return list.map((/** @type {any} */ item, /** @type {number} */ i) => {
        const language = item?.language ?? item?.lang, texts = item?.texts ?? item?.sentences ?? item?.articles;
        if (typeof language !== 'string' || !Array.isArray(texts)) throw new Error(`entry ${i + 1} must have "language" and a list "texts"`);
        return { language, name: typeof item.name === 'string' ? item.name : language, texts: texts.map(String) };
    });
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
const valueOf = (language, by) => language[by];

/**
 * Rows of the ranking, cheapest first; data-language tells which one it is.
 * @param {Premiums} premiums @param {Measure} by @param {ReadonlyMap<string, string>} autonyms of languages by code, where they are known @returns {(() => HTMLTableRowElement)[]} each is made when it is asked for: there may be hundreds
 */
export function rankingRows(premiums, by, autonyms) {
    const ranked = [...premiums.languages].sort((a, b) => Number(b.counted) - Number(a.counted) || valueOf(a, by) - valueOf(b, by)), most = Math.max(1e-9, ...ranked.map((l) => valueOf(l, by)));
    return ranked.map((language) => () => {
        const svg = document.createElementNS(SVG, 'svg'), rect = document.createElementNS(SVG, 'rect');
        svg.setAttribute('viewBox', '0 0 100 8');
        svg.setAttribute('preserveAspectRatio', 'none');
        svg.setAttribute('aria-hidden', 'true');
        rect.setAttribute('width', (100 * valueOf(language, by) / most).toFixed(2));
        rect.setAttribute('height', '8');
        svg.append(rect);
        const kind = language.language === premiums.reference ? 'reference' : language.counted ? '' : 'unknown';
        const autonym = autonyms.get(language.language), row = make('tr', { className: kind },
            make('th', { scope: 'row' }, make('bdi', {}, language.name), ...(autonym && autonym !== language.name ? [' ', make('bdi', { className: 'muted', lang: language.language }, autonym)] : []), kind === 'reference' ? ' (the measure)' : kind === 'unknown' ? ` (${Math.round(100 * language.unknownRate)}% unknown)` : ''),
            make('td', { className: 'bar' }, make('div', {}, make('span', {}, by === 'tokens' ? language.tokens.toLocaleString('en') : short(valueOf(language, by))), svg)),
            make('td', {}, short(language.bytePremium)), make('td', {}, short(language.closeness)), make('td', {}, language.tokens.toLocaleString('en')));
        row.dataset.language = language.language;
        return row;
    });
}
