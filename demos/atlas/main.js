/**
 * The page: fields, search, cards, and the queue of runs. What is computed comes from the worker (runner.js).
 */
import '../../web/elements/export.js';
import { toCsv } from '../../web/elements/export.js';
import { SYSTEMS } from '../../web/atlas/list.js';
import { copyLink, readState, writeState } from '../kit/address.js';
import { $, make } from '../kit/page.js';
import { Card } from './card.js';
import { FIELDS, haystack, matches } from './fields.js';
import { Runner } from './runner.js';

/** @typedef {import('../../web/atlas/run.js').SystemRun} SystemRun */

const search = /** @type {HTMLInputElement} */ ($('search'));
const full = /** @type {HTMLInputElement} */ ($('full'));
const runShown = /** @type {HTMLButtonElement} */ ($('run-shown'));
const runner = new Runner();
const works = SYSTEMS.filter(({ run }) => run);

/** By slug. @type {Map<string, Card>} */ const cards = new Map();
/** @type {Map<string, string>} */ const hay = new Map();
/** @type {Map<Card, AbortController>} */ const runs = new Map();
/** @type {Map<number, SystemRun & { full: boolean }>} */ const results = new Map();
/** @type {Card[]} */ let shown = [];
let field = '';
/** The card that the link names. */ let system = '';

const show = () => /** @type {HTMLInputElement} */ (document.querySelector('#show input:checked')).value;
/** @param {string} text */
const announce = (text) => { $('announce').textContent = text; };

// ---- running -----------------------------------------------------------------------------------------------------

/** @param {Card} card */
function press(card) {
    const run = runs.get(card);
    if (run) run.abort(new DOMException('cancelled', 'AbortError'));
    else void start(card);
}

/** @param {Card} card */
async function start(card) {
    const { id, title } = card.system, stop = new AbortController(), inFull = full.checked;
    runs.set(card, stop);
    card.to('waiting');
    tellTools();
    try {
        const result = await runner.run(id, { full: inFull, signal: stop.signal, onBegin: () => card.to('running'), onProgress: (progress) => card.phase === 'running' && card.progress(progress) });
        results.set(id, { ...result, full: inFull });
        card.show(result, inFull);
        announce(`No. ${id}, ${title}: the claim ${result.verdict} in this run.`);
        tellKept();
    } catch (error) {
        if (stop.signal.aborted) announce(`No. ${id} was cancelled.`);
        else card.fail(error);
    } finally {
        runs.delete(card);
        card.to('idle');
        tellTools();
    }
}

runShown.addEventListener('click', () => {
    if (runs.size) for (const stop of [...runs.values()].reverse()) stop.abort(new DOMException('cancelled', 'AbortError'));
    else for (const card of shown) if (card.system.run) void start(card);
});

// ---- what is on show ---------------------------------------------------------------------------------------------

function tellTools() {
    const ready = shown.filter((card) => card.system.run).length;
    runShown.textContent = runs.size ? `Cancel ${runs.size === 1 ? 'the run' : `all ${runs.size} runs`}` : `Run the ${ready} shown that work${ready === 1 ? 's' : ''}`;
    runShown.setAttribute('aria-disabled', String(!runs.size && !ready));
}

function tellKept() {
    const holds = [...results.values()].filter(({ verdict }) => verdict === 'holds').length;
    $('kept-count').textContent = results.size ? `${results.size} run, ${holds} of them hold. CSV and JSON have the list with what was obtained.` : 'Nothing has been run yet; the list alone can be saved.';
}

/** Hides what is not asked for. */
function filter() {
    const kind = show(), query = search.value;
    shown = [];
    for (const card of cards.values()) {
        const { slug, status, field: of } = card.system;
        const fits = (!field || of === field) && (kind === 'all' || (status === 'works') === (kind === 'works')) && matches(/** @type {string} */ (hay.get(slug)), query);
        card.element.hidden = !fits;
        if (fits) shown.push(card);
    }
    for (const section of $('systems').querySelectorAll('section')) section.hidden = !section.querySelector('.system:not([hidden])');
    for (const button of $('fields').querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.field === field));
    const count = shown.filter((card) => card.system.run).length;
    $('found').textContent = shown.length ? `${shown.length} of ${SYSTEMS.length} papers${field ? `, in ‘${FIELDS[field]}’` : ''}; ${count} of them run here.` : 'No paper fits. Fewer words, or another field?';
    tellTools();
    writeState({ q: query, show: kind === 'all' ? '' : kind, field, system, full: full.checked || '' });
}

/** @param {string} name @param {readonly import('./fields.js').System[]} all */
function fieldRow(name, all) {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg'), step = 12;
    svg.setAttribute('viewBox', `0 0 ${step * all.length} 12`);
    svg.setAttribute('aria-hidden', 'true');
    svg.style.setProperty('--dots', String(all.length));
    [...all].sort((a, b) => Number(!!b.run) - Number(!!a.run)).forEach(({ run }, i) => {
        const dot = document.createElementNS(svg.namespaceURI, 'circle');
        for (const [key, value] of Object.entries({ class: run ? 'works' : 'missing', cx: step * i + 6, cy: 6, r: run ? 4.5 : 4 })) dot.setAttribute(key, String(value));
        svg.append(dot);
    });
    const running = all.filter(({ run }) => run).length;
    const button = make('button', { type: 'button' }, make('span', { className: 'name' }, FIELDS[name]), svg, make('span', { className: 'of' }, make('b', {}, String(running)), ` of ${all.length}`, make('span', { className: 'hidden' }, ' run here')));
    button.dataset.field = name;
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', () => {
        field = field === name ? '' : name;
        filter();
    });
    return make('li', {}, button);
}

/** Goes to the card of the link. */
function goTo() {
    for (const card of cards.values()) card.element.classList.toggle('target', card.system.slug === system);
    const card = cards.get(system);
    $('page-problem').hidden = !system || !!card;
    if (!card) {
        $('page-problem').textContent = `The atlas has no system ‘${system}’; the numbers are 1 to ${SYSTEMS.length}.`;
        return;
    }
    if (card.element.hidden) { // the link wants it seen
        search.value = field = '';
        /** @type {HTMLInputElement} */ (document.querySelector('#show input[value=all]')).checked = true;
        filter();
    }
    card.element.scrollIntoView({ block: 'start', behavior: 'instant' });
    card.element.focus({ preventScroll: true });
}

/** The state that the address says. */
function follow() {
    const state = readState();
    search.value = state.get('q') ?? '';
    field = FIELDS[state.get('field') ?? ''] ? (state.get('field') ?? '') : '';
    full.checked = state.get('full') === 'true';
    const kind = document.querySelector(`#show input[value="${CSS.escape(state.get('show') ?? 'all')}"]`);
    if (kind instanceof HTMLInputElement) kind.checked = true;
    const named = state.get('system') ?? '';
    system = SYSTEMS.find(({ id }) => String(id) === named)?.slug ?? named;
    filter();
    goTo();
}

// ---- start -------------------------------------------------------------------------------------------------------

const byField = Object.keys(FIELDS).map((name) => ({ name, all: SYSTEMS.filter((one) => one.field === name) }));
$('overview-count').textContent = `${SYSTEMS.length} papers, ${works.length} run here`;
$('fields').replaceChildren(...byField.map(({ name, all }) => fieldRow(name, all)));
for (const { name, all } of byField) { // one at a time: the page answers meanwhile
    for (const one of all) {
        cards.set(one.slug, new Card(one, press));
        hay.set(one.slug, haystack(one));
    }
    const section = make('section', { className: 'field' }, make('h2', { id: `field-${name}` }, FIELDS[name]), make('div', { className: 'cards' }, ...all.map(({ slug }) => /** @type {Card} */ (cards.get(slug)).element)));
    section.setAttribute('aria-labelledby', `field-${name}`);
    $('systems').append(section);
    await new Promise((resolve) => setTimeout(resolve));
}

const rows = () => SYSTEMS.map(({ id, slug, title, field: of, status, claim, missing = null }) => ({ id, slug, title, field: of, status, claim, missing, run: results.get(id) ?? null }));
const keep = /** @type {import('../../web/elements/export.js').MtExport} */ ($('keep'));
keep.formats = {
    JSON: () => JSON.stringify(rows(), null, 1),
    CSV: () => toCsv(['id', 'slug', 'title', 'field', 'status', 'claim', 'missing', 'verdict', 'obtained', 'value', 'unit', 'published', 'in full', 'seconds'],
        rows().map(({ id, slug, title, field: of, status, claim, missing, run }) => [id, slug, title, of, status, claim, missing, run?.verdict, run?.obtained.headline.label, run?.obtained.headline.value, run?.obtained.headline.unit, run?.published, run?.full, run?.seconds])),
};

let typing = 0;
search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = window.setTimeout(filter, 80);
});
$('show').addEventListener('change', filter);
full.addEventListener('change', filter);
copyLink($('copy-link'), $('copied'));
window.addEventListener('hashchange', follow);
follow();
