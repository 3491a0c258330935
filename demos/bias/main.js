/**
 * The page: five tabs over one model (the first needs none). Everything that is computed comes from the package; here is
 * only who tells whom.
 */
import '../../web/elements/chart.js';
import '../../web/elements/export.js';
import '../../web/elements/model-picker.js';
import '../../web/elements/token-strip.js';
import { copyLink, readState, writeState } from '../kit/address.js';
import { $, make } from '../kit/page.js';
import * as digits from './digits.js';
import { changesOf, restore, valuesOf } from './form.js';
import * as known from './known.js';
import * as rare from './rare.js';
import * as variants from './variants.js';

/** @typedef {import('../../web/elements/model-picker.js').ModelPicker} ModelPicker */

const TABS = ['source', 'typos', 'formats', 'numbers', 'rare'];
const WITH_TEXTS = ['typos', 'formats'];
const TYPING = 350; // ms without a key before an answer is worth asking for

const picker = /** @type {ModelPicker} */ (/** @type {unknown} */ ($('picker')));
/** @type {any} the open model */ let model = null;
let tab = TABS[0];

// ---- tabs ----------------------------------------------------------------------------------------------------------------

/** @param {string} name @param {{ focus?: boolean }} [options] */
function show(name, { focus = false } = {}) {
    tab = TABS.includes(name) ? name : TABS[0];
    for (const each of TABS) {
        const button = $(`tab-${each}`), chosen = each === tab;
        button.setAttribute('aria-selected', String(chosen));
        button.tabIndex = chosen ? 0 : -1;
        $(each).hidden = !chosen;
        if (chosen && focus) button.focus();
    }
    $('model').hidden = tab === 'source';
    $('texts').hidden = !WITH_TEXTS.includes(tab);
    known.look();
    variants.look();
    digits.look();
    rare.look();
}

$('tabs').addEventListener('click', (e) => {
    const button = /** @type {HTMLElement} */ (e.target).closest('[role=tab]');
    if (!button) return;
    show(button.id.slice('tab-'.length));
    keep();
});
$('tabs').addEventListener('keydown', (e) => {
    const at = TABS.indexOf(tab), to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: TABS.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    show(TABS[(to + TABS.length) % TABS.length], { focus: true });
    keep();
});

// ---- the model comes while the first tab is read --------------------------------------------------------------------------

picker.addEventListener('mt-model', (e) => {
    const old = model;
    model = /** @type {CustomEvent} */ (e).detail.model;
    follow(); // before the old model goes, so that what it still owes is no longer wanted
    void old?.dispose();
});
picker.addEventListener('mt-model-error', () => {
    if (!model) for (const id of ['typos-told', 'formats-told', 'digits-told', 'rare-told']) $(id).textContent = 'Open a model to begin.';
});

// ---- controls and the address ----------------------------------------------------------------------------------------------

function keep() {
    writeState({ tab: tab === TABS[0] ? '' : tab, ...changesOf() });
}

function follow() {
    const values = valuesOf();
    known.follow();
    variants.follow(model, values);
    digits.follow(model, values);
    rare.follow(model, values);
}

let typing = 0;
/** @param {number} [delayMs] */
function changed(delayMs = 0) {
    keep();
    clearTimeout(typing);
    typing = window.setTimeout(follow, delayMs);
}
document.addEventListener('input', (e) => {
    const el = /** @type {HTMLElement} */ (e.target);
    if (el.matches('input:not([type=radio], [type=checkbox]), textarea')) changed(TYPING);
});
document.addEventListener('change', (e) => {
    const el = /** @type {HTMLElement} */ (e.target);
    if (el.matches('[name]')) changed();
});
known.onChange(() => changed());

/** Sentences that are ready to be tried. @type {[string, string][]} */
const TEXTS = [
    ['three sentences', ''],
    ['one short word', 'unbelievable'],
    ['capitals', 'THE LAMP IN THE HALL HAD GONE OUT, AND NOBODY CAME.'],
    ['another tongue', 'La lampe du vestibule s’était éteinte, et personne ne vint.'],
];
const lines = /** @type {HTMLTextAreaElement} */ ($('lines'));
$('text-presets').replaceChildren(...TEXTS.map(([label, text]) => {
    const button = make('button', { type: 'button' }, label);
    button.addEventListener('click', () => {
        lines.value = text || lines.defaultValue;
        changed();
    });
    return button;
}));

function restoreAll() {
    const state = readState();
    restore((name) => state.get(name));
    show(state.get('tab') ?? TABS[0]);
    follow();
}
window.addEventListener('hashchange', restoreAll);
copyLink($('copy-link'), $('copied'));
void picker.load(picker.src, picker.bundledName);
const { TEXT_FORMATS } = await import('../../web/index.js');
$('format').replaceChildren(...TEXT_FORMATS.map((name) => make('option', { value: name }, name)));
restoreAll();
