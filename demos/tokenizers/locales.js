/**
 * Parallel texts from what a browser knows of languages: names of months and days, spans of time, units, countries,
 * languages, currencies and scripts, by Intl. Nothing of it is in this repository; how many languages there are, and
 * what they say, is up to the browser and its version. Works in workers and in Node.
 */

/**
 * @typedef {object} Spoken
 * @property {string} language a BCP 47 tag @property {string} name in English @property {string} autonym in the language itself; '' where the browser does not know
 * @property {string[]} texts one of each kind: a list of names with commas between them
 */
/** @typedef {{ more?: boolean, breathe?: () => Promise<void>, progress?: (done: number) => void }} SpokenOptions more: all kinds, not months and days alone; breathe: called between slices of work; progress: from 0 to 1 */

const SLICE = 200; // codes between two breaths
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
/** Second scripts that languages are written in; kept where the browser has them. */
const VARIANTS = 'az-Arab az-Cyrl bm-Nkoo bs-Cyrl cu-Glag ff-Adlm ha-Arab hi-Latn iu-Latn kk-Arab kok-Latn ks-Deva ku-Arab kxv-Deva kxv-Orya kxv-Telu mn-Mong mni-Mtei ms-Arab pa-Arab sat-Deva sd-Deva shi-Latn sr-Latn su-Sund tg-Arab uz-Arab uz-Cyrl vai-Latn yue-Hans zh-Hant'.split(' ');

/** @typedef {(locale: string) => (string | undefined)[]} Kind the same things for each locale; undefined: not known */
/** @type {(field: 'month' | 'weekday', days: number[]) => Kind} */
const dates = (field, days) => (locale) => {
    const format = new Intl.DateTimeFormat(locale, { [field]: 'long', timeZone: 'UTC', calendar: 'gregory' });
    return days.map((day) => format.format(day));
};
/** @type {(type: 'region' | 'language' | 'currency' | 'script', codes: string) => Kind} */
const names = (type, codes) => (locale) => {
    const display = new Intl.DisplayNames(locale, { type, fallback: 'none' });
    return codes.split(' ').map((code) => display.of(code));
};
const DAY = 86_400_000;
/** @type {Kind[]} */
const FEW = [
    dates('month', Array.from({ length: 12 }, (_, m) => Date.UTC(2024, m, 15))),
    dates('weekday', Array.from({ length: 7 }, (_, d) => Date.UTC(2024, 0, 1) + d * DAY)), // a Monday
];
/** @type {Kind[]} */
const MORE = [
    (locale) => {
        const format = new Intl.RelativeTimeFormat(locale, { numeric: 'always' });
        return /** @type {[number, Intl.RelativeTimeFormatUnit][]} */ ([[3, 'day'], [-2, 'year'], [5, 'minute'], [-4, 'month'], [6, 'hour'], [-3, 'week'], [-1, 'day'], [1, 'year']]).map(([n, unit]) => format.format(n, unit));
    },
    (locale) => ['kilometer', 'kilogram', 'hour', 'liter', 'degree', 'minute', 'meter', 'percent'].map((unit) => new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }).format(5)),
    names('region', 'FR CN IN BR EG US JP RU DE GB ES IT MX NG KE ZA TR IR ID AU'),
    names('language', 'en zh es ar fr hi pt ru ja de'),
    names('currency', 'USD EUR JPY INR GBP CNY'),
    names('script', 'Latn Arab Cyrl'),
];

/** Names where nobody has named: months as M01, spans as “+3 d”, units as “5 kg”. @param {(string | undefined)[]} list */
const isRoot = (list) => list.some((item) => !item || /^M\d\d$/.test(item) || /^[+−-]\d/.test(item.replace(/[\u200e\u200f\u061c]/g, '').replace(/\s/g, ''))) || (list[0] === '5 km' && list[1] === '5 kg' && list[2] === '5 h');

/**
 * Every language that the browser can name, and has the words for: all codes of two and of three letters are tried.
 * @param {SpokenOptions} [options] @returns {Promise<Spoken[]>} with English among them
 */
export async function spokenHere({ more = false, breathe = async () => {}, progress = () => {} } = {}) {
    const english = new Intl.DisplayNames('en', { type: 'language', fallback: 'none' }), kinds = more ? [...FEW, ...MORE] : FEW;
    /** @type {string[]} */ const codes = [];
    for (const a of LETTERS) for (const b of LETTERS) for (const c of ['', ...LETTERS]) codes.push(a + b + c);
    /** @type {string[]} */ const known = [];
    for (let at = 0; at < codes.length; at += SLICE) {
        // A code without an English name has no words either; an alias stands under its newer code.
        const named = codes.slice(at, at + SLICE).filter((code) => english.of(code) !== undefined && new Intl.Locale(code).language === code);
        known.push(...Intl.DateTimeFormat.supportedLocalesOf(named));
        progress((0.5 * at) / codes.length);
        await breathe();
    }
    const tags = [...known, ...VARIANTS.filter((tag) => known.includes(tag.split('-')[0]))];
    const inEnglish = kinds.map((kind) => kind('en').join());
    /** @type {Map<string, Spoken>} */ const found = new Map();
    for (const [i, tag] of tags.entries()) {
        const spoken = wordsOf(tag, kinds, inEnglish), [language] = tag.split('-');
        const same = tag !== language && spoken && found.get(language)?.texts.join() === spoken.texts.join(); // the browser has the language, not this script of it
        if (spoken && !same) found.set(tag, { ...spoken, name: english.of(tag) ?? tag });
        progress(0.5 + (0.5 * (i + 1)) / tags.length);
        if (i % 4 === 3) await breathe();
    }
    return [...found.values()];
}

/** @param {string} tag @param {Kind[]} kinds @param {string[]} inEnglish @returns {Omit<Spoken, 'name'> | null} null: the browser falls back to other languages */
function wordsOf(tag, kinds, inEnglish) {
    const [language, script] = tag.split('-'), resolved = new Intl.Locale(new Intl.DateTimeFormat(tag).resolvedOptions().locale);
    if (resolved.language !== language || (script && resolved.maximize().script !== script)) return null;
    const texts = [];
    for (const [i, kind] of kinds.entries()) {
        const list = kind(tag);
        if (isRoot(list) || (language !== 'en' && list.join() === inEnglish[i])) return null;
        texts.push(list.join(', '));
    }
    return { language: tag, autonym: new Intl.DisplayNames(tag, { type: 'language', fallback: 'none' }).of(tag) ?? '', texts };
}
