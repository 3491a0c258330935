/**
 * The page: text in, tokens and two distributions out. Everything that is computed comes from the package; here is only
 * who tells whom.
 */
import '../../web/elements/token-strip.js';
import '../../web/elements/byte-distribution.js';
import '../../web/elements/model-picker.js';
import { probabilities } from '../../web/elements/byte-distribution.js';
import { latest } from './latest.js';
import { plain, verdict } from './verdict.js';

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
    { label: 'a trailing space', text: 'Once upon a time, there was a ' },
    { label: 'another half word', text: 'Lily was very hap' },
    { label: 'a number', text: 'Tim had 1' },
    { label: 'split letters', text: 'The sign at the café said λόγος' },
];

/** @template {Element} T @param {string} id @returns {T} */
const $ = (id) => /** @type {T} */ (/** @type {unknown} */ (document.getElementById(id)));
const input = /** @type {HTMLTextAreaElement} */ ($('text'));
const strip = /** @type {TokenStrip} */ ($('strip'));
const chart = /** @type {ByteDistribution} */ ($('chart'));
const picker = /** @type {ModelPicker} */ ($('picker'));
const answer = /** @type {HTMLElement} */ ($('answer'));

/** @type {any} the open model */ let model = null;
/** @type {any} */ let byteModel = null;

// ---- the address keeps the text ----------------------------------------------------------------------------------

function readAddress() {
    const state = new URLSearchParams(location.hash.slice(1));
    return { text: state.get('text'), scale: state.get('scale') };
}

let addressTimer = 0;
function writeAddress() {
    clearTimeout(addressTimer);
    addressTimer = window.setTimeout(() => {
        const state = new URLSearchParams({ text: input.value });
        if (chart.scale !== 'linear') state.set('scale', chart.scale);
        history.replaceState(null, '', `#${state}`);
    }, 250); // browsers refuse more than a few changes a second
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

/** @returns {Promise<Uint8Array | null>} bytes of the last token */
async function showTokens() {
    if (!model) return null;
    const text = input.value;
    const tokenizer = model.tokenizer;
    const { ids } = await tokenizer.encode(text);
    if (text !== input.value) return null;
    strip.tokens = Array.from(ids, (id) => {
        const bytes = tokenizer.tokenBytes(id);
        return { id, bytes, special: bytes.length === 0, piece: tokenizer.tokenPiece?.(id) };
    });
    return strip.tokens.at(-1)?.bytes ?? null;
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
    /** @type {HTMLMeterElement} */ ($('distance-meter')).value = said.distance;
    announce(`${plain(said.headline)} ${plain(said.aside)} Total variation distance ${said.distance.toFixed(2)}.`);
    const missing = result.missingMass ? `missing mass at most ${result.missingMass.toExponential(1)}` : 'no probability left out';
    $('facts').textContent = `Exact over ${result.target === 'valid' ? 'every valid tokenization' : `target “${result.target}”`} (target: ${result.target}); ${missing}.`;
}

/** @param {unknown} error */
function showFailure(error) {
    answer.dataset.stale = '';
    write($('verdict'), ['There is no answer for this text.']);
    write($('aside'), []);
    problem('problem', error);
}

// ---- asking ------------------------------------------------------------------------------------------------------

const ask = latest(
    async (/** @type {string} */ text, signal) => {
        const asked = byteModel;
        const slow = setTimeout(() => (answer.dataset.stale = ''), 200);
        try {
            const last = await showTokens();
            const result = await asked.next(text, { signal });
            return { result, last };
        } finally {
            clearTimeout(slow);
        }
    },
    ({ result, last }, text) => showAnswer(result, text, last),
    (error) => showFailure(error),
);

let typingTimer = 0;
/** @param {number} [delayMs] */
function update(delayMs = 0) {
    for (const button of $('presets').querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.text === input.value));
    writeAddress();
    clearTimeout(typingTimer);
    if (byteModel) typingTimer = window.setTimeout(() => ask(input.value), delayMs);
}

/** @param {any} opened */
async function useModel(opened) {
    const { ByteModel } = await import('../../web/index.js');
    const old = model;
    model = opened;
    byteModel = new ByteModel(opened);
    old?.dispose?.();
    update();
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
picker.addEventListener('mt-model', (e) => void useModel(/** @type {CustomEvent} */ (e).detail.model));
picker.addEventListener('mt-model-error', () => {
    if (!model) write($('verdict'), ['Open a model to begin.']);
});
function restore() {
    const { text, scale } = readAddress();
    if (text !== null && text !== input.value) input.value = text;
    if (scale === 'log' || scale === 'linear') chart.scale = scale;
}
window.addEventListener('hashchange', () => {
    restore();
    update();
});
input.value = PRESETS[0].text;
restore();
update();
void picker.load(picker.src, picker.bundledName);
