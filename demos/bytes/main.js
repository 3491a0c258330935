/**
 * The page: text in, tokens and two distributions out. Everything that is computed comes from the package; here is only
 * who tells whom.
 */
import '../../web/elements/token-strip.js';
import '../../web/elements/byte-distribution.js';
import '../../web/elements/model-picker.js';
import { probabilities } from '../../web/elements/byte-distribution.js';
import { copyLink, readState, writeState } from '../kit/address.js';
import { latest } from '../kit/latest.js';
import { plain, verdict } from './verdict.js';
import { writeBytes, writeTokens } from './story.js';

/**
 * @typedef {import('../../web/elements/token-strip.js').TokenStrip} TokenStrip
 * @typedef {import('../../web/elements/byte-distribution.js').ByteDistribution} ByteDistribution
 * @typedef {import('../../web/elements/byte-distribution.js').ByteResult} ByteResult
 * @typedef {import('../../web/elements/model-picker.js').ModelPicker} ModelPicker
 * @typedef {import('./verdict.js').Piece} Piece
 */

const PRESETS = [
    { label: 'a word cut short', text: 'Once upon a ti' },
    { label: 'the whole word', text: 'Once upon a time' },
    { label: 'a trailing space', text: 'Once upon a time ' },
    { label: 'one letter', text: 'I have seen it with my own e' },
    { label: 'a number', text: 'In the year 1' },
    { label: 'split letters', text: 'The sign said λόγος in gol' },
];

/** @template {Element} T @param {string} id @returns {T} */
const $ = (id) => /** @type {T} */ (/** @type {unknown} */ (document.getElementById(id)));
const input = /** @type {HTMLTextAreaElement} */ ($('text'));
const strip = /** @type {TokenStrip} */ ($('strip'));
const chart = /** @type {ByteDistribution} */ ($('chart'));
const picker = /** @type {ModelPicker} */ ($('picker'));
const answer = /** @type {HTMLElement} */ ($('answer'));

/** @type {any} the open model */ let model = null;
let modelName = '';
/** @type {typeof import('./depth.js') | null} what lies below the first screen, which does not wait for it */ let depth = null;
/** @type {any} */ let byteModel = null;
/** @type {any} its own state, so that typing stays incremental */ let storyModel = null;
let switching = false; // to another model

// ---- the address keeps the state -----------------------------------------------------------------------------------

const LONGEST_IN_ADDRESS = 4000; // longer links break in mails and chats
function writeAddress() {
    const text = input.value.length <= LONGEST_IN_ADDRESS ? input.value : null;
    const below = depth ? depth.stateOfDepth() : Object.fromEntries([...readState()].filter(([key]) => !['text', 'empty', 'scale'].includes(key)));
    writeState({ text, empty: text === '' || null, scale: chart.scale === 'linear' ? '' : chart.scale, ...below });
}

// ---- what is on show ---------------------------------------------------------------------------------------------

/** @param {HTMLElement} element @param {Piece[]} pieces */
function write(element, pieces) {
    element.replaceChildren(
        ...pieces.map((piece) => {
            if (typeof piece === 'string') return piece;
            const [kind, text] = Object.entries(piece)[0];
            const el = document.createElement(kind === 'byte' ? 'q' : 'b');
            if (kind !== 'byte') el.className = kind === 'exact' ? 'e' : 'n';
            el.textContent = text;
            return el;
        }),
    );
}

let announceTimer = 0;
/** Spoken once typing has paused. @param {string} sentence */
function announce(sentence) {
    clearTimeout(announceTimer);
    announceTimer = window.setTimeout(() => ($('announce').textContent = sentence), 1200);
}

/** @param {string} id @param {unknown} [error] */
function problem(id, error) {
    const box = /** @type {HTMLElement} */ ($(id));
    box.hidden = error === undefined;
    box.textContent = error === undefined ? '' : error instanceof Error ? error.message : String(error);
}

/** The strip does not wait for the model: encoding is immediate. */
function showTokens() {
    try {
        const { tokenizer } = model;
        const { ids } = tokenizer.encode(input.value, { addSpecialTokens: true, offsets: false });
        /** @type {Map<number, any>} */ const known = new Map();
        strip.tokens = Array.from(ids, (id) => known.get(id) ?? known.set(id, tokenizer.token(id)).get(id));
        problem('strip-problem');
    } catch (error) {
        strip.tokens = [];
        problem('strip-problem', error);
    }
}

/** @param {ByteResult & { liveContexts?: number }} result @param {string} text @param {Uint8Array | null} last */
function showAnswer(result, text, last) {
    const { exact, naive } = probabilities(result);
    chart.result = result;
    delete answer.dataset.stale;
    answer.dataset.for = text;
    problem('problem');
    if (!naive) return;
    const said = verdict({ text, last, exact, naive });
    write($('verdict'), said.headline);
    write($('aside'), said.aside);
    $('distance-value').textContent = said.distance.toFixed(3);
    $('distance-bar').setAttribute('width', (100 * said.distance).toFixed(2));
    announce(`${plain(said.headline)} ${plain(said.aside)} Total variation distance ${said.distance.toFixed(2)}.`);
    const missing = result.missingMass ? `missing mass at most ${result.missingMass.toExponential(1)}` : 'no probability left out';
    $('facts').textContent = `“Exact” sums over every series of tokens that this tokenizer can produce and that spells the text (in the code below: target “${result.target}”); ${missing}.`;
}

/** @param {unknown} error @param {string} text */
function showFailure(error, text) {
    answer.dataset.stale = '';
    answer.dataset.for = text;
    write($('verdict'), [/** @type {any} */ (error)?.code === 'ELIMIT' ? 'This text is longer than the model can take in.' : 'There is no answer for this text.']);
    write($('aside'), []);
    problem('problem', error);
}

// ---- asking ------------------------------------------------------------------------------------------------------

const ask = latest(
    async (/** @type {string} */ text, signal) => {
        const slow = setTimeout(() => (answer.dataset.stale = ''), 200);
        try {
            return await byteModel.next(text, { signal });
        } finally {
            clearTimeout(slow);
        }
    },
    (result, text) => {
        if (switching) return; // the answer of a model that goes
        showAnswer(result, text, strip.tokens.at(-1)?.bytes ?? null);
        tell(text);
    },
    (error, text) => {
        if (switching) return;
        showFailure(error, text);
        clearStory();
    },
    answer,
);

/** How each would write on, after the answer is on show: the likeliest tokens, and the likeliest bytes. */
const tell = latest(
    async (/** @type {string} */ text, signal) => {
        const naive = await writeTokens(model, text, signal);
        const exact = await writeBytes(storyModel, text, signal);
        return { naive, exact };
    },
    ({ naive, exact }, text) => {
        if (text !== input.value) return;
        const given = [...text].slice(-24).join('');
        for (const [id, made] of [['story-naive', naive], ['story-exact', exact]]) {
            const before = document.createElement('span');
            before.className = 'given';
            before.textContent = given.length < text.length ? `…${given}` : given;
            const after = document.createElement('span');
            after.className = 'made';
            after.textContent = made || '(the text ends)';
            $(id).replaceChildren(before, after);
        }
    },
    clearStory, // the answer above is what matters; its own failures are on show there
    /** @type {HTMLElement} */ ($('story')),
);

function clearStory() {
    $('story-naive').textContent = $('story-exact').textContent = '';
}

let typingTimer = 0;
/** @param {number} [delayMs] */
function update(delayMs = 0) {
    for (const button of $('presets').querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.text === input.value));
    writeAddress();
    clearTimeout(typingTimer);
    if (!byteModel) return;
    showTokens();
    typingTimer = window.setTimeout(() => {
        ask(input.value);
        depth?.follow({ model, text: input.value, name: modelName });
    }, delayMs);
}

/** @param {any} opened @param {string} name */
async function useModel(opened, name) {
    switching = true;
    if (model) answer.dataset.stale = ''; // what is on show is the old one's
    const { ByteModel } = await import('../../web/index.js');
    const old = model;
    model = opened;
    modelName = name;
    byteModel = new ByteModel(opened);
    storyModel = new ByteModel(opened);
    switching = false;
    update();
    ask(input.value); // before the old model goes, so that what it still owes is no longer wanted
    tell(input.value);
    depth?.follow({ model, text: input.value, name });
    void old?.dispose();
}

// ---- start -------------------------------------------------------------------------------------------------------

$('presets').replaceChildren(
    ...PRESETS.map(({ label, text }) => {
        const button = document.createElement('button');
        button.type = 'button';
        button.textContent = label;
        button.title = text;
        button.dataset.text = text;
        button.addEventListener('click', () => {
            input.value = text;
            update();
        });
        return button;
    }),
);
input.addEventListener('input', () => update(40));
chart.addEventListener('mt-scale', writeAddress);
copyLink($('copy-link'), $('copied'));
picker.addEventListener('mt-model', (e) => void useModel(/** @type {CustomEvent} */ (e).detail.model, /** @type {CustomEvent} */ (e).detail.name));
picker.addEventListener('mt-model-error', () => {
    if (!model) write($('verdict'), ['Open a model to begin.']);
});
function restore() {
    const state = readState(), text = state.has('empty') ? '' : state.get('text'), scale = state.get('scale');
    if (text !== null && text !== input.value) input.value = text;
    if (scale === 'log' || scale === 'linear') chart.scale = scale;
    depth?.restoreDepth(state);
}
window.addEventListener('hashchange', () => {
    restore();
    update();
});
input.value = PRESETS[0].text;
restore();
update();
void picker.load(picker.src, picker.bundledName);
depth = await import('./depth.js');
depth.restoreDepth(readState(), { keep: true });
depth.onChange(writeAddress);
if (model) depth.follow({ model, text: input.value, name: modelName });
