/**
 * The page: which lab, its knobs, its run, its figures. A run lives in a worker (session.js); here is only who tells whom.
 * Each lab that was chosen keeps its run: another choice pauses it, and it can be gone on with later.
 */
import { LABS } from '../../web/labs/index.js';
import { save } from '../../web/elements/format.js';
import { findLab } from '../../web/lab/find.js';
import { unpack } from '../../web/lab/checkpoint.js';
import { formatNumber } from '../../web/lab/plots.js';
import { TEXTS } from '../../web/lab/texts.js';
import { fromText, readAddress, seedFrom, writeAddress } from './address.js';
import { codeOf } from './code.js';
import { Figures } from './figures.js';
import { Knobs } from './knobs.js';
import { copyLink } from '../kit/address.js';
import { $, make, words } from '../kit/page.js';
import { Session } from './session.js';

const DRAW_MS = matchMedia('(prefers-reduced-motion: reduce)').matches ? 1000 : 120; // between two drawings
const PLAY = { idle: 'Start', opening: 'Cancel', running: 'Pause', paused: 'Resume', done: 'Run again', failed: 'Try again' };

const figures = new Figures($('plots'));
const play = /** @type {HTMLButtonElement} */ ($('play'));
const seedBox = /** @type {HTMLInputElement} */ ($('seed'));
const resume = /** @type {HTMLInputElement} */ ($('resume'));
const chooser = /** @type {HTMLDetailsElement} */ ($('chooser'));
/** @type {Map<string, Session>} */ const sessions = new Map();
/** @type {Session | null} */ let session = null;
/** @type {Knobs | null} */ let knobs = null;

/** @param {string} id @param {unknown} [error] */
function problem(id, error) {
    const box = $(id), text = error === undefined || error === null ? '' : words(error);
    box.hidden = !text;
    if (box.textContent !== text) box.textContent = text;
}

/** @param {string} text */
const announce = (text) => { $('announce').textContent = text; };

// ---- what is on show ---------------------------------------------------------------------------------------------

let drawTimer = 0, drawn = -Infinity;
/** Soon, and not more often than people can see. @param {Session} from */
function drawSoon(from) {
    if (from !== session || drawTimer) return;
    drawTimer = window.setTimeout(() => {
        drawTimer = 0;
        if (!document.hidden) draw();
    }, Math.max(0, drawn + DRAW_MS - performance.now()));
}
document.addEventListener('visibilitychange', () => { if (!document.hidden && session) drawSoon(session); });

/** Figures and the place in the run. */
function draw() {
    if (!session) return;
    const { client, lab, key } = session;
    drawn = performance.now();
    const where = client?.where;
    $('progress').setAttribute('value', String(where ? where.made / Math.max(1, where.total) : 0));
    const standing = where ? `Arm ${where.arm + 1} of ${where.arms}, ‘${where.name}’: step ${where.step} of ${where.steps}.` : 'Nothing has been trained yet.';
    if ($('where').textContent !== standing) $('where').textContent = standing;
    const results = client?.results ?? [], begun = results.filter((arm) => arm.step > 0).map((arm) => arm.name);
    figures.show(key, { series: lab.series, plots: begun.length ? lab.plots : [] }, results);
    $('no-plots').hidden = !!begun.length;
    if ($('weights').dataset.of !== JSON.stringify([key, begun])) {
        $('weights').dataset.of = JSON.stringify([key, begun]);
        $('weights').replaceChildren(...begun.map((name) => {
            const button = make('button', { type: 'button' }, `Weights: ${name}`);
            button.addEventListener('click', () => void keepWeights(name));
            return button;
        }));
    }
}

/** How a lab stands, in the list. @param {Session} of */
function mark(of) {
    const link = document.querySelector(`#labs a[data-key="${CSS.escape(of.key)}"]`), state = link?.parentElement?.querySelector('.state');
    if (state) state.textContent = of.phase === 'idle' ? '' : of.phase;
    for (const a of document.querySelectorAll('#labs a')) {
        if (/** @type {HTMLElement} */ (a).dataset.key === session?.key) a.setAttribute('aria-current', 'true');
        else a.removeAttribute('aria-current');
    }
}

/** Everything but the knobs. @param {Session} from */
function show(from) {
    mark(from);
    if (from !== session) return;
    const { phase, ended, error, lab } = session;
    $('lab').dataset.phase = phase;
    play.textContent = PLAY[phase];
    const canStep = phase === 'idle' || phase === 'paused';
    $('step').setAttribute('aria-disabled', String(!canStep));
    $('restart').setAttribute('aria-disabled', String(!session.client));
    for (const id of ['save-json', 'save-checkpoint']) $(id).setAttribute('aria-disabled', String(!session.client));
    problem('problem', error);
    $('stale').hidden = !session.differs;
    const headline = ended?.headline, verdict = ended?.verdict;
    $('number').textContent = headline ? `${formatNumber(headline.value)}${headline.unit ? ` ${headline.unit}` : ''}` : '–';
    $('number-label').textContent = headline ? headline.label : 'The number that the claim is about is known when all arms are done.';
    const usual = session.preset === 'full' && !Object.keys(session.overrides).length;
    const holds = verdict?.checks.filter((check) => check.pass).length ?? 0;
    $('verdict').textContent = verdict ? `${verdict.pass ? 'The claim holds in this run' : usual ? 'The claim does not hold in this run' : 'This run is too short or too different to show it'}: ${holds} of ${verdict.checks.length} checks pass.` : '';
    $('verdict').dataset.pass = String(verdict?.pass ?? '');
    $('checks').hidden = !verdict;
    $('checks').replaceChildren(...(verdict ? [make('table', {},
        make('caption', { className: 'hidden' }, 'Checks of the verdict'),
        make('thead', {}, make('tr', {}, ...['Check', 'Value', 'Must be', 'Result'].map((name) => make('th', { scope: 'col' }, name)))),
        make('tbody', {}, ...verdict.checks.map(({ what, value, bound, pass }) => make('tr', {}, make('th', { scope: 'row' }, what), make('td', {}, formatNumber(value)), make('td', {}, bound), make('td', { className: pass ? 'pass' : 'fail' }, pass ? '✓ passes' : '✗ fails')))))] : []));
    $('caution').hidden = !verdict || usual;
    $('caution').textContent = 'The bounds are meant for the preset full with its own knobs; with others they show what breaks the effect, or that the training was too short.';
    announce(phase === 'done' ? `${lab.title}: done. ${$('verdict').textContent}` : { idle: '', opening: 'Opening the lab.', running: 'Training.', paused: `Paused. ${session.client?.where.made} steps are made.`, failed: '' }[phase]);
    draw();
}

/** The form, from the session. */
function writeForm() {
    if (!session) return;
    seedBox.value = String(session.seed);
    refuseSeed('');
    for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ ($('presets').querySelectorAll('input'))) radio.checked = radio.value === session.preset;
    knobs?.write(session.values);
    writeCode();
}

/** What the form says, as a program. */
function writeCode() {
    if (session) $('code').textContent = codeOf(session);
}

/** @param {string} why */
function refuseSeed(why) {
    $('seed-wrong').textContent = why;
    if (why) seedBox.setAttribute('aria-invalid', 'true');
    else seedBox.removeAttribute('aria-invalid');
}

let addressTimer = 0;
/** The address keeps the choice; browsers refuse more than a few changes a second. */
function keepAddress() {
    const known = location.hash; // one that is entered meanwhile stays: the page is about to hear of it
    clearTimeout(addressTimer);
    addressTimer = window.setTimeout(() => session && location.hash === known && history.replaceState(null, '', link(session)), 200);
}
/** @param {Session} of */
const link = ({ key, preset, seed, overrides }) => writeAddress({ lab: key, preset, seed: Number.isNaN(seed) ? 1 : seed, knobs: overrides });

// ---- choosing ----------------------------------------------------------------------------------------------------

/** @param {string} key a name, an id, or the URL of a module @returns {Promise<Session>} */
async function sessionOf(key) {
    const url = /[/.]/.test(key) ? new URL(key, document.baseURI) : null;
    const lab = await findLab(url ?? key), name = url?.href ?? lab.name;
    let found = sessions.get(name);
    if (!found) sessions.set(name, (found = new Session(name, lab, show, drawSoon)));
    return found;
}

/** Puts a lab on the bench. @param {Session} chosen */
function choose(chosen) {
    if (session !== chosen) {
        if (session?.phase === 'running' || session?.phase === 'opening') void session.pause();
        session = chosen;
        const { lab } = chosen;
        $('title').textContent = lab.title;
        document.title = `${lab.title} · Microtome`;
        $('claim').textContent = lab.claim;
        $('published').textContent = $('published-again').textContent = lab.published;
        $('here').textContent = lab.notes[0] ?? '';
        /** @type {HTMLElement} */ ($('here').parentElement).hidden = !lab.notes.length;
        $('notes').replaceChildren(...lab.notes.slice(1).map((note) => make('li', {}, note)));
        $('notes-fold').hidden = lab.notes.length < 2;
        const [before, paper, after] = lab.source.split(/arXiv:(\d{4}\.\d{4,5})/);
        $('source').replaceChildren(before, ...(paper ? [make('a', { href: `https://arxiv.org/abs/${paper}` }, `arXiv:${paper}`), after] : []));
        $('presets').replaceChildren(...Object.keys(lab.presets).map((preset) => {
            const radio = make('input', { type: 'radio', name: 'preset', value: preset });
            radio.addEventListener('change', () => {
                chosen.usePreset(preset).catch((error) => problem('problem', error));
                writeForm();
                changed();
            });
            return make('label', {}, radio, make('span', {}, preset));
        }));
        knobs = new Knobs(lab, { live: $('live'), fixed: $('fixed'), broken: $('broken') }, (key, value) => {
            chosen.set(key, value).catch((error) => problem('problem', error));
            changed();
        });
        for (const host of ['live', 'fixed', 'broken']) $(`${host}-fold`).hidden = !$(host).children.length;
        showTexts();
        $('lab').hidden = false;
        $('kept').textContent = '';
    }
    writeForm();
    show(chosen);
}

/** A knob, the seed, the preset or a text has been changed. */
function changed() {
    if (session) $('stale').hidden = !session.differs;
    writeCode();
    keepAddress();
}

/** Files in place of the texts that the lab reads. */
function showTexts() {
    if (!session) return;
    const { lab, texts } = session;
    $('texts-fold').hidden = !lab.texts?.length;
    $('texts').replaceChildren(...(lab.texts ?? []).map((name) => {
        const box = make('input', { type: 'file', id: `text-${name}` }), about = make('p', { className: 'help' });
        const say = () => { about.textContent = texts[name] ? `Reads ${texts[name].name}, ${formatNumber(texts[name].size)} bytes.` : (TEXTS[name]?.about ?? 'None is bundled: choose a file.'); };
        box.addEventListener('change', () => {
            if (box.files?.[0]) texts[name] = box.files[0];
            else delete texts[name];
            say();
            changed();
        });
        say();
        return make('div', { className: 'knob' }, make('label', { htmlFor: box.id }, `Text ‘${name}’`), box, about);
    }));
}

/** What the address says. @param {{ focus?: boolean }} [options] */
async function follow({ focus = false } = {}) {
    const { lab: wanted, preset, seed, knobs: given } = readAddress(location.hash);
    problem('page-problem');
    try {
        const chosen = await sessionOf(wanted ?? LABS[0].name);
        /** @type {string[]} */ const refused = [];
        const refuse = (/** @type {unknown} */ error) => refused.push(words(error));
        // A link to the lab alone leaves its knobs as they were.
        if (preset !== null || seed !== null || Object.keys(given).length) {
            await chosen.usePreset(preset ?? 'quick').catch(refuse);
            const number = seedFrom(seed ?? '1');
            if (Number.isNaN(number)) refused.push(`seed: “${seed}” is no whole number from 0 on`);
            else chosen.seed = number;
            for (const [key, text] of Object.entries(given)) await chosen.set(key, /** @type {any} */ (fromText(chosen.lab, key, text))).catch(refuse);
        }
        choose(chosen);
        if (refused.length) problem('page-problem', `Not everything in the link fits this lab. ${refused.join('. ')}.`);
        if (focus) {
            chooser.open = false;
            $('title').focus();
        }
        keepAddress();
    } catch (error) {
        problem('page-problem', error);
        chooser.open = true;
    }
}

// ---- the run -----------------------------------------------------------------------------------------------------

/** Whether all boxes hold what fits; else the first that does not gets the focus. */
function fits() {
    const wrong = /** @type {HTMLElement | null} */ (document.querySelector('.run [aria-invalid=true]'));
    if (!wrong) return true;
    const fold = wrong.closest('details');
    if (fold) fold.open = true;
    wrong.focus();
    return false;
}

play.addEventListener('click', () => {
    if (!session) return;
    const { phase } = session;
    if (phase === 'running' || phase === 'opening') void session.pause();
    else if (phase === 'paused') void session.start();
    else if (fits()) void session.restart();
});
$('step').addEventListener('click', () => {
    if (session && (session.phase === 'paused' || (session.phase === 'idle' && fits()))) void session.step();
});
$('restart').addEventListener('click', () => { if (session?.client && fits()) void session.restart(); });
seedBox.addEventListener('change', () => {
    if (!session) return;
    const seed = seedFrom(seedBox.value);
    refuseSeed(Number.isNaN(seed) ? 'A whole number from 0 on.' : '');
    if (Number.isNaN(seed)) return;
    session.seed = seed;
    changed();
});

// ---- files -------------------------------------------------------------------------------------------------------

/** @param {string} what @param {(from: import('../../web/lab/client.js').LabClient, base: string) => Promise<string>} job says what was saved */
async function keep(what, job) {
    const from = session?.client;
    if (!session || !from) return;
    const base = `${session.lab.name}-seed${from.seed}-step${from.where.made}`;
    try {
        $('kept').textContent = `${await job(from, base)} saved.`;
    } catch (error) {
        $('kept').textContent = `${what} could not be saved: ${words(error)}`;
    }
}
/** @param {string} arm */
const keepWeights = (arm) => keep('Weights', async (from, base) => {
    const found = (await from.export()).weights.find((weights) => weights.arm === arm);
    if (!found) throw new Error(`the arm ‘${arm}’ has not begun`);
    const name = `${base}-${arm.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')}.safetensors`;
    save(name, found.bytes, 'application/octet-stream');
    return name;
});
$('save-json').addEventListener('click', () => void keep('Results', async (from, base) => {
    save(`${base}.json`, (await from.export()).json, 'application/json');
    return `${base}.json`;
}));
$('save-checkpoint').addEventListener('click', () => void keep('The checkpoint', async (from, base) => {
    save(`${base}.mtlab`, await from.checkpoint(), 'application/octet-stream');
    return `${base}.mtlab`;
}));
copyLink($('copy-link'), $('kept'), () => {
    if (session) history.replaceState(null, '', link(session));
});

/** @param {File} file */
async function open(file) {
    problem('page-problem');
    try {
        const bytes = new Uint8Array(await file.arrayBuffer());
        const { lab } = unpack(bytes).header;
        const chosen = session && session.lab.name === lab ? session : await sessionOf(String(lab)); // a lab of one's own must be on the bench
        choose(chosen);
        await chosen.restore(bytes);
        if (chosen === session) {
            writeForm();
            show(chosen);
            keepAddress();
        }
    } catch (error) {
        problem('page-problem', `${file.name} could not be opened: ${words(error)}`);
    }
}
resume.addEventListener('change', () => {
    const file = resume.files?.[0];
    resume.value = ''; // the same file may be chosen again
    if (file) void open(file);
});
for (const type of ['dragenter', 'dragover']) document.addEventListener(type, (event) => {
    if (/** @type {DragEvent} */ (event).dataTransfer?.types.includes('Files') && !(event.target instanceof HTMLInputElement)) event.preventDefault();
});
document.addEventListener('drop', (event) => {
    const file = event.dataTransfer?.files[0];
    if (!file || event.target instanceof HTMLInputElement) return; // a box for a text takes its own
    event.preventDefault();
    void open(file);
});

// ---- start -------------------------------------------------------------------------------------------------------

chooser.open = readAddress(location.hash).lab === null;
window.addEventListener('hashchange', () => void follow({ focus: true }));
const ready = follow();
const listed = await Promise.allSettled(LABS.map(async ({ loader }) => (await loader()).default));
$('count').textContent = `(${LABS.length})`;
$('labs').replaceChildren(...LABS.map(({ name }, i) => {
    const found = listed[i], link = make('a', { href: `#${new URLSearchParams({ lab: name })}` }, found.status === 'fulfilled' ? found.value.title : name);
    link.dataset.key = name;
    link.addEventListener('click', (event) => {
        if (link.getAttribute('aria-current')) {
            event.preventDefault();
            chooser.open = false;
            $('title').focus();
        }
    });
    return make('li', {}, make('h2', {}, link, make('span', { className: 'state' })), make('p', {}, found.status === 'fulfilled' ? found.value.claim : words(found.reason)));
}));
await ready;
sessions.forEach(mark);
