/**
 * The page: all papers at a glance, search, cards that unfold, and the queue of runs. What is computed comes from the worker (runner.js).
 */
import '../../web/elements/export.js';
import { toCsv } from '../../web/elements/export.js';
import { SYSTEMS } from '../../web/atlas/list.js';
import { copyLink, readState, writeState } from '../kit/address.js';
import { $, make, turn } from '../kit/page.js';
import { Card } from './card.js';
import { FIELDS, haystack, matches } from './fields.js';
import { Overview } from './overview.js';
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
/** What was asked for when fields were last folded. */ let asked = '';
const FEW = 3; // papers that fit a search and unfold by themselves

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
    } catch (error) {
        if (stop.signal.aborted) announce(`No. ${id} was cancelled.`);
        else card.fail(error);
    } finally {
        runs.delete(card);
        card.to('idle');
        tellTools();
        tellKept();
    }
}

runShown.addEventListener('click', () => {
    if (runs.size) for (const stop of [...runs.values()].reverse()) stop.abort(new DOMException('cancelled', 'AbortError'));
    else for (const card of shown) if (card.system.run) void start(card);
});

// ---- what is on show ---------------------------------------------------------------------------------------------

function tellTools() {
    const ready = shown.filter((card) => card.system.run).length;
    runShown.textContent = runs.size ? `Cancel ${runs.size === 1 ? 'the run' : `all ${runs.size} runs`}` : `Run ${ready === 1 ? 'the one that can be run' : `the ${ready} that can be run`}`;
    runShown.setAttribute('aria-disabled', String(!runs.size && !ready));
}

function tellKept() {
    const holds = [...results.values()].filter(({ verdict }) => verdict === 'holds').length;
    $('kept-count').textContent = results.size ? `${results.size} run, ${holds} of them hold. CSV and JSON have the list with what was obtained.` : 'Nothing has been run yet; the list alone can be saved.';
}

/** Hides what is not asked for; fields unfold when something is. */
function filter() {
    const kind = show(), query = search.value.trim(), narrowed = field || query || kind !== 'all', now = JSON.stringify([field, query, kind]);
    /** @type {Record<string, (card: Card) => boolean>} */ const kinds = { all: () => true, works: ({ system: { run } }) => !!run, missing: ({ system: { run } }) => !run, ran: ({ system: { id } }) => results.has(id) };
    const others = [...cards.values()].filter((card) => (!field || card.system.field === field) && matches(/** @type {string} */ (hay.get(card.system.slug)), query)); // of any kind
    shown = others.filter(kinds[kind]);
    const fits = new Set(shown);
    for (const card of cards.values()) {
        card.element.hidden = !fits.has(card);
        card.cell.classList.toggle('out', !fits.has(card));
    }
    for (const box of /** @type {NodeListOf<HTMLInputElement>} */ ($('show').querySelectorAll('input'))) /** @type {HTMLElement} */ (box.parentElement?.querySelector('.n')).textContent = String(others.filter(kinds[box.value]).length);
    for (const section of /** @type {NodeListOf<HTMLDetailsElement>} */ ($('systems').querySelectorAll('details.field'))) {
        const all = section.querySelectorAll('.system').length, n = section.querySelectorAll('.system:not([hidden])').length, run = section.querySelectorAll('.system:not([hidden]) .go').length;
        section.hidden = !n;
        /** @type {HTMLElement} */ (section.querySelector('.of')).textContent = `${n === all ? all : `${n} of ${all}`} paper${all === 1 ? '' : 's'}, ${run} run${run === 1 ? 's' : ''} here`;
        if (now !== asked) section.open = !!narrowed;
    }
    if (now !== asked && query && shown.length <= FEW) for (const card of shown) card.element.open = true;
    asked = now;
    overview.press(field);
    const count = shown.filter((card) => card.system.run).length;
    $('found').textContent = shown.length ? `${shown.length} of ${SYSTEMS.length} papers${field ? `, in ‘${FIELDS[field]}’` : ''}; ${count} of them run here.` : kind === 'ran' && !results.size ? 'Nothing has been run yet.' : 'No paper fits. Fewer words, or another field?';
    tellTools();
    writeState({ q: query, show: kind === 'all' ? '' : kind, field, system, full: full.checked || '' });
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
    card.element.open = true;
    /** @type {HTMLDetailsElement} */ (card.element.closest('details.field')).open = true;
    card.element.scrollIntoView({ block: 'start', behavior: 'instant' });
    /** @type {HTMLElement} */ (card.element.firstElementChild).focus({ preventScroll: true });
}

/** The state that the address says. */
function follow() {
    const state = readState();
    search.value = state.get('q') ?? '';
    field = FIELDS[state.get('field') ?? ''] ? (state.get('field') ?? '') : '';
    full.checked = state.get('full') === 'true';
    const kind = document.querySelector(`#show input[value="${CSS.escape(state.get('show') ?? 'all')}"]`);
    if (kind instanceof HTMLInputElement) kind.checked = true;
    const named = state.get('system') ?? /^#([\w-]+)$/.exec(location.hash)?.[1] ?? ''; // #48 alone will do
    system = SYSTEMS.find(({ id }) => String(id) === named)?.slug ?? named;
    filter();
    goTo();
}

// ---- start -------------------------------------------------------------------------------------------------------

$('overview-count').textContent = `${SYSTEMS.length} papers, ${works.length} run here`;
const overview = new Overview($('fields'), $('readout'), {
    field(name, byPointer) {
        field = field === name ? '' : name;
        filter();
        if (field && byPointer) $('tools').scrollIntoView(); // its papers lie below
    },
    system(slug) {
        system = slug;
        filter();
        goTo();
    },
});
for (const name of Object.keys(FIELDS)) { // one at a time: the page answers meanwhile
    const all = SYSTEMS.filter((one) => one.field === name).map((one) => new Card(one, press));
    for (const card of all) {
        cards.set(card.system.slug, card);
        hay.set(card.system.slug, haystack(card.system));
    }
    overview.add(name, all);
    $('systems').append(make('details', { className: 'field', id: `field-${name}` }, make('summary', {}, make('h2', {}, FIELDS[name]), make('span', { className: 'of' })), make('div', { className: 'cards' }, ...all.map(({ element }) => element))));
    await turn();
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
