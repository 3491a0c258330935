/**
 * The page: a model, a text, a place, and what is taken out of the model. What is computed comes from microtome/inspect; here is only who tells whom.
 */
import '../../web/elements/attention.js';
import '../../web/elements/chart.js';
import '../../web/elements/export.js';
import '../../web/elements/lens-table.js';
import '../../web/elements/logit-bars.js';
import '../../web/elements/model-picker.js';
import { visibleText } from '../../web/elements/grid.js';
import { ablationPatches } from '../../web/inspect/ablation.js';
import { changeOf, largest, logSoftmax } from '../../web/inspect/stream.js';
import { copyLink, readState, writeState } from '../kit/address.js';
import { latest } from '../kit/latest.js';
import { $, make, turn, words } from '../kit/page.js';
import { lookingSections } from './looking.js';
import { showNext } from './next.js';
import { pairSection } from './pair.js';
import { readingSections } from './reading.js';
import { fits, keyOf, nameOf, siteFrom } from './sites.js';
import { MOST, textsOf } from './view.js';

/**
 * @typedef {import('./view.js').View} View
 * @typedef {import('./view.js').Model} Model
 * @typedef {import('./view.js').Site} Site
 * @typedef {import('./view.js').How} How
 */

const PRESETS = [
    { label: 'she or he', text: 'The little girl was hungry because', other: 'The little boy was hungry because' },
    { label: 'once upon a time', text: 'Once upon a time there was a little', other: 'Once upon a time there was a great' },
    { label: 'it said it before', text: 'John had a red hat. John had a red', other: 'John had a red box. John had a red' },
    { label: 'an old man', text: 'The man was very old, and', other: 'The woman was very old, and' },
    { label: 'quotation marks', text: '“I am glad to see you,” said the', other: '“I am glad to see you.” Then the' },
];

const input = /** @type {HTMLTextAreaElement} */ ($('text'));
const other = /** @type {HTMLInputElement} */ ($('other'));
const place = /** @type {HTMLSelectElement} */ ($('place'));
const answer = /** @type {HTMLSelectElement} */ ($('answer'));
const against = /** @type {HTMLSelectElement} */ ($('against'));
const how = /** @type {HTMLSelectElement} */ ($('how'));
const picker = /** @type {import('../../web/elements/model-picker.js').ModelPicker} */ ($('picker'));

/** @type {Model | null} */ let model = null;
let serial = 0;
/** @type {number[]} */ let ids = [];
/** @type {string[]} */ let texts = [];
let position = -1; // from the end while negative
/** @type {{ token: number | null, against: number | 'mean' | null }} null: the likeliest */ const target = { token: null, against: 'mean' };
/** @type {Site[]} out until they are put back */ let held = [];
/** @type {Site | null} out while it is chosen */ let chosen = null;
/** @type {{ logits: Float32Array, vocab: number } | null} of the whole text, with everything */ let plain = null;

// ---- what is seen ------------------------------------------------------------------------------------------------

/** @param {string} id @param {unknown} [error] */
function problem(id, error) {
    const box = $(id), text = error === undefined ? '' : words(error);
    box.hidden = !text;
    if (box.textContent !== text) box.textContent = text;
}

let announceTimer = 0;
/** Spoken once choosing has paused. @param {string} sentence */
function announce(sentence) {
    clearTimeout(announceTimer);
    announceTimer = window.setTimeout(() => { $('announce').textContent = sentence; }, 700);
}

const at = () => (position < 0 ? ids.length + position : Math.min(position, ids.length - 1));
const row = () => (plain ? plain.logits.subarray(at() * plain.vocab, (at() + 1) * plain.vocab) : new Float32Array(0));
/** @param {number} id */
const spelled = (id) => visibleText(textsOf(/** @type {Model} */ (model), [id])[0], 20);
const without = () => (chosen && !held.some((site) => keyOf(site) === keyOf(/** @type {Site} */ (chosen))) ? [...held, chosen] : held);

/** @returns {View} */
const view = () => ({ model: /** @type {Model} */ (model), serial, ids, texts, position: at(), token: target.token ?? largest(row(), 1)[0], against: target.against });

function keepAddress() {
    writeState({
        text: input.value.length <= 2000 ? input.value : null, other: other.value.length <= 2000 ? other.value : null, at: position === -1 ? null : position, token: target.token, against: target.against === 'mean' ? null : target.against ?? 'none',
        out: without().map(keyOf).join(','), how: how.value === 'zero' ? null : how.value, open: [...document.querySelectorAll('details.section[open]')].map((d) => d.id).join(','),
    });
}

/** Fills a choice and keeps what was chosen where it still can be. @param {HTMLSelectElement} select @param {[value: string, text: string][]} options @param {string} value */
function fill(select, options, value) {
    if (JSON.stringify([...select.options].map((o) => [o.value, o.text])) !== JSON.stringify(options)) select.replaceChildren(...options.map(([v, text]) => make('option', { value: v }, text)));
    select.value = value;
}

/** The choices of place and answer. */
function showAsked() {
    const top = largest(row(), 12), { token } = view();
    const known = (/** @type {number | 'mean' | null} */ id) => typeof id !== 'number' || top.includes(id) || top.push(id);
    known(token);
    known(target.against);
    fill(place, texts.map((text, i) => [String(i), `${i}  ${visibleText(text, 20)}`]), String(at()));
    fill(answer, [['', `the likeliest: ${spelled(largest(row(), 1)[0])}`], ...top.map((id) => /** @type {[string, string]} */ ([String(id), spelled(id)]))], target.token === null ? '' : String(target.token));
    fill(against, [['mean', 'the mean of all tokens'], ['none', 'nothing'], ...top.filter((id) => id !== token).map((id) => /** @type {[string, string]} */ ([String(id), spelled(id)]))], target.against === null ? 'none' : String(target.against));
}

/** What the panel says, at the edge of a small screen while the panel is out of sight. */
let docked = false, panelSeen = true;
const showDock = () => { $('dock').hidden = !docked || panelSeen; };
new IntersectionObserver(([entry]) => {
    panelSeen = entry.isIntersecting;
    showDock();
}).observe($('panel'));

/** Both distributions. @param {Float32Array} after @param {Site[]} out */
function showPanel(after, out) {
    const before = row(), change = changeOf(before, after, 8), { token } = view();
    const list = change.tokens.some((t) => t.token === token) ? change.tokens : [...change.tokens, { token, before: Math.exp(logSoftmax(before)[token]), after: Math.exp(logSoftmax(after)[token]) }];
    const names = textsOf(/** @type {Model} */ (model), list.map((t) => t.token));
    $('where-now').replaceChildren('after ', make('bdi', { className: 'token' }, visibleText(texts[at()], 20)), ` (token ${at()})`);
    showNext($('next'), out.length
        ? { caption: 'Probabilities of the next token with everything, and without what is taken out', versions: ['everything', 'without'], rows: list.map((t, i) => ({ text: names[i], values: [t.before, t.after] })) }
        : { caption: 'Probabilities of the next token', versions: ['probability'], rows: list.map((t, i) => ({ text: names[i], values: [t.before] })) });
    const best = change.tokens.reduce((a, b) => (b.after > a.after ? b : a));
    $('effect').textContent = out.length ? `KL ${change.kl.toFixed(3)} nats, total variation ${change.distance.toFixed(3)}.` : 'Choose a part anywhere on the page to take it out.';
    $('panel').dataset.for = out.map(keyOf).join(',');
    $('out').hidden = !out.length;
    $('hold').hidden = !chosen || held.some((site) => keyOf(site) === keyOf(/** @type {Site} */ (chosen)));
    $('out-list').replaceChildren(...out.map((site) => {
        const back = make('button', { type: 'button', className: 'quiet', ariaLabel: `put back ${nameOf(site)}` }, 'put back');
        back.addEventListener('click', () => putBack(site));
        return make('li', { className: held.includes(site) ? 'held' : '' }, nameOf(site), ' ', back);
    }));
    docked = out.length > 0;
    showDock();
    if (out.length) {
        $('dock').textContent = `Without ${out.length === 1 ? nameOf(out[0]) : `${out.length} parts`}: KL ${change.kl.toFixed(3)}, likeliest ${spelled(best.token)} ${best.after.toFixed(2)}`;
        announce(`Without ${out.map(nameOf).join(', ')}: KL ${change.kl.toFixed(3)} nats; likeliest is now ${spelled(best.token)} with ${best.after.toFixed(2)}.`);
    }
    problem('panel-problem');
}

// ---- taking out --------------------------------------------------------------------------------------------------

const askPanel = latest(
    async (/** @type {{ view: View, out: Site[], how: How }} */ { view: v, out, how: way }, signal) => {
        if (!out.length) return turn().then(() => row().slice());
        const { logits, vocab } = await v.model.run(v.ids, { all: v.position < v.ids.length - 1, patch: ablationPatches(out, way, v.ids.length), signal });
        return logits.length === vocab ? logits : logits.slice(v.position * vocab, (v.position + 1) * vocab);
    },
    (after, { view: v, out }) => { if (v.serial === serial && v.ids === ids) showPanel(after, out); },
    (error, { out }) => {
        problem('panel-problem', error);
        $('panel').dataset.for = out.map(keyOf).join(',');
    },
    $('panel'),
);

function updatePanel() {
    if (!plain || !model) return;
    askPanel({ view: view(), out: without(), how: /** @type {How} */ (how.value) });
    keepAddress();
}

/** Takes a part out while it is chosen; null: nothing is chosen. @param {Site | null} site */
function choose(site) {
    chosen = site;
    updatePanel();
}

/** Takes parts out until they are put back. @param {Site[]} sites */
function hold(sites) {
    held = [...held, ...sites.filter((site) => !held.some((h) => keyOf(h) === keyOf(site)))];
    updatePanel();
}

/** @param {Site} site */
function putBack(site) {
    held = held.filter((h) => keyOf(h) !== keyOf(site));
    if (chosen && keyOf(chosen) === keyOf(site)) chosen = null;
    updatePanel();
    const left = /** @type {HTMLElement | null} */ ($('out-list').querySelector('button'));
    (left ?? /** @type {HTMLElement} */ ($('panel-title'))).focus();
}

// ---- the text ----------------------------------------------------------------------------------------------------

/** @type {{ follow: (view: View) => void }[]} */ let sections = [];

const read = latest(
    async (/** @type {{ model: Model, list: number[] }} */ { model: m, list }, signal) => {
        if (m.info.bidirectional || m.info.encoderLayers || m.info.headless) throw new Error(`This page explains how a text goes on. ${m.info.architecture} is an encoder, or has no output layer: it does not say how.`);
        return m.run(list, { all: true, signal });
    },
    (result, { model: m, list }) => {
        if (m !== model) return;
        ids = list;
        texts = textsOf(m, list);
        plain = result;
        held = held.filter((site) => fits(site, m.info, list.length));
        if (chosen && !fits(chosen, m.info, list.length)) chosen = null;
        if (target.token !== null && target.token >= result.vocab) target.token = null;
        if (typeof target.against === 'number' && target.against >= result.vocab) target.against = 'mean';
        problem('problem');
        refresh();
    },
    (error) => {
        problem('problem', error);
        $('panel').dataset.for = 'failed';
        $('where-now').textContent = 'There is no answer for this text.';
        $('next').replaceChildren();
        $('effect').textContent = '';
    },
    $('panel'),
);

/** All that depends on the text, the place and the answer. */
function refresh() {
    showAsked();
    updatePanel();
    const now = view();
    for (const section of sections) section.follow(now);
}

let typingTimer = 0;
/** @param {number} [delayMs] */
function changed(delayMs = 0) {
    for (const button of $('presets').querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.text === input.value));
    keepAddress();
    clearTimeout(typingTimer);
    if (!model) return;
    typingTimer = window.setTimeout(() => {
        if (!model) return;
        try {
            const all = Array.from(model.tokenizer.encode(input.value, { addSpecialTokens: true, offsets: false }).ids), { bos, eos } = model.tokenizer, list = all.length ? all : [bos ?? eos ?? 0];
            $('text-note').textContent = list.length > MOST ? `The first ${MOST} of ${list.length} tokens are looked at.` : 'Everything below is about the token that follows the chosen place.';
            read({ model, list: list.slice(0, MOST) });
        } catch (error) {
            problem('problem', error);
        }
    }, delayMs);
}

/** @param {Model} opened */
function useModel(opened) {
    const old = model;
    model = opened;
    serial++;
    plain = null;
    target.token = null;
    target.against = typeof target.against === 'number' ? 'mean' : target.against;
    if (wanted) {
        ({ token: target.token, against: target.against } = wanted); // of the link, for the first model
        wanted = null;
    }
    changed();
    void old?.dispose();
}

// ---- the address -------------------------------------------------------------------------------------------------

/** @type {{ token: number | null, against: number | 'mean' | null } | null} */ let wanted = null;

function restore() {
    const state = readState(), number = (/** @type {string} */ name) => { const text = state.get(name), n = text === null || text.trim() === '' ? NaN : Number(text); return Number.isSafeInteger(n) ? n : null; };
    input.value = state.get('text') ?? PRESETS[0].text;
    other.value = state.get('other') ?? (state.has('text') ? '' : PRESETS[0].other);
    position = number('at') ?? -1;
    wanted = { token: number('token'), against: state.get('against') === 'none' ? null : number('against') ?? 'mean' };
    if (wanted.token !== null && wanted.token < 0) wanted.token = null;
    if (typeof wanted.against === 'number' && wanted.against < 0) wanted.against = 'mean';
    held = (state.get('out') ?? '').split(',').map(siteFrom).filter((site) => site !== null);
    chosen = null;
    how.value = state.get('how') ?? 'zero';
    if (how.selectedIndex < 0) how.value = 'zero';
    if (state.has('open')) {
        const open = (state.get('open') ?? '').split(',');
        for (const details of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll('details.section'))) details.open = open.includes(details.id);
    }
}

// ---- start -------------------------------------------------------------------------------------------------------

const host = {
    choose, hold,
    /** @param {number} place */
    goTo(place) { if (place !== at()) { position = place === ids.length - 1 ? -1 : place; refresh(); } },
    changed: keepAddress,
};
sections = [...readingSections(host), ...lookingSections(host), pairSection()];

$('presets').replaceChildren(...PRESETS.map((preset) => {
    const button = make('button', { type: 'button', title: preset.text }, preset.label);
    button.dataset.text = preset.text;
    button.addEventListener('click', () => {
        input.value = preset.text;
        other.value = preset.other;
        position = -1;
        target.token = null;
        target.against = 'mean';
        held = [];
        chosen = null;
        changed();
    });
    return button;
}));
input.addEventListener('input', () => {
    position = -1;
    target.token = null;
    changed(150);
});
other.addEventListener('input', () => {
    keepAddress();
    if (plain) sections[sections.length - 1].follow(view());
});
place.addEventListener('change', () => host.goTo(Number(place.value)));
answer.addEventListener('change', () => {
    target.token = answer.value === '' ? null : Number(answer.value);
    refresh();
});
against.addEventListener('change', () => {
    target.against = against.value === 'mean' ? 'mean' : against.value === 'none' ? null : Number(against.value);
    refresh();
});
how.addEventListener('change', updatePanel);
$('hold').addEventListener('click', () => {
    if (chosen) hold([chosen]);
    $('restore').focus();
});
$('restore').addEventListener('click', () => {
    held = [];
    chosen = null;
    updatePanel();
    $('panel-title').focus();
});
$('dock').addEventListener('click', () => {
    $('panel').scrollIntoView();
    $('panel-title').focus({ preventScroll: true });
});
for (const details of document.querySelectorAll('details.section')) details.addEventListener('toggle', keepAddress);
copyLink(/** @type {HTMLButtonElement} */ ($('copy-link')), $('copied'), keepAddress);
picker.addEventListener('mt-model', (e) => useModel(/** @type {CustomEvent} */ (e).detail.model));
picker.addEventListener('mt-model-error', () => { if (!model) $('where-now').textContent = 'Open a model to begin.'; });
window.addEventListener('hashchange', () => {
    restore();
    if (wanted) ({ token: target.token, against: target.against } = wanted);
    wanted = null;
    changed();
});
restore();
changed();
void picker.load(picker.src, picker.bundledName);
