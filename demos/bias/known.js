/**
 * The tab of the known source: its controls, what follows its texts, its chain, what dictionaries know of it.
 */
import { svgToPng, toCsv } from '../../web/elements/export.js';
import { formatProbability, totalVariation } from '../../web/elements/format.js';
import { $, make, words } from '../kit/page.js';
import { Part } from '../kit/part.js';
import { code, fill, number, some } from '../kit/table.js';
import { Asker } from './ask.js';
import { restore, valuesOf } from './form.js';
import { CHAIN_CSS, chainPicture, fitRows, MOST_CONTEXTS, PRESETS, rowsOf, settingOf, textsOf, writeRows } from './source.js';

/** @typedef {import('./worker.js').Tabulated} Tabulated */
/** @typedef {import('./source.js').Setting} Setting */

const sheet = new CSSStyleSheet();
sheet.replaceSync(CHAIN_CSS);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

const panel = $('source');
const asker = new Asker(), trainer = new Asker();
const control = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ (panel.querySelector(`[name=${name}]`));
const chart = (/** @type {string} */ id) => /** @type {any} */ ($(id));
const percent = (/** @type {number | undefined} */ p) => (p === undefined ? '–' : formatProbability(Math.abs(p) < 1e-9 ? 0 : Math.min(1, p)));
/** The values of a record in the order of the letters. @param {Record<string, number>} record @param {string} letters */
const inOrder = (record, letters) => [...letters].map((letter) => record[letter] ?? 0);

// ---- the table of probabilities is a view of one hidden control ------------------------------------------------------

let changed = () => {};

/** Draws the editor anew where letters, order or rows are others; what is being typed in stays. */
function showRows() {
    const letters = control('letters').value, order = Number(control('order').value), contexts = letters.length ** order;
    const editable = Number.isInteger(order) && order >= 0 && contexts <= MOST_CONTEXTS && letters.length > 0;
    $('rows-left').textContent = editable ? '' : Number.isFinite(contexts) ? `${some(contexts, 'context')}: too many to edit here. “Draw at random” fills them.` : '';
    const shape = editable ? `${letters} ${order}` : '';
    const table = $('rows'), inputs = [...table.querySelectorAll('input')];
    const rows = editable ? fitRows(rowsOf(control('next').value), letters, order) : [];
    if (table.dataset.shape !== shape) {
        table.dataset.shape = shape;
        fill(table, editable ? ['after', ...letters] : [], rows.map((row, i) => {
            const context = textsOf(letters, order)[i];
            return [code(context || '(anything)'), ...row.map((p, a) => {
                const input = make('input', { type: 'number', min: '0', max: '1', step: '0.05', value: String(Number(p.toFixed(4))) });
                input.setAttribute('aria-label', `${letters[a]} after ${context || 'anything'}`);
                return input;
            })];
        }));
    } else inputs.forEach((input, i) => {
        const p = rows.flat()[i];
        if (input !== document.activeElement && Number(input.value) !== Number(p.toFixed(4))) input.value = String(Number(p.toFixed(4)));
    });
    $('tokens-field').hidden = valuesOf(panel).cut === 'bpe';
    $('merges-field').hidden = valuesOf(panel).cut !== 'bpe';
    const now = valuesOf(panel);
    for (const [i, button] of [...$('presets').querySelectorAll('button')].entries()) {
        const usual = /** @type {Record<string, string>} */ ({ letters: 'AB', order: '1', next: '.6 .4; .3 .7', cut: 'longest', tokens: 'A B AA', merges: '6', length: '14', ask: '2', ...PRESETS[i].values });
        const same = Object.keys(usual).every((name) => now[name] === usual[name]);
        button.setAttribute('aria-pressed', String(same));
        if (same) $('preset-told').textContent = PRESETS[i].told;
    }
    if (!$('presets').querySelector('[aria-pressed=true]')) $('preset-told').textContent = '';
}

$('rows').addEventListener('input', () => {
    const width = control('letters').value.length, cells = [...$('rows').querySelectorAll('input')].map((input) => (input.value === '' ? NaN : Number(input.value)));
    control('next').value = writeRows(Array.from({ length: cells.length / width }, (_, i) => cells.slice(i * width, (i + 1) * width)));
    changed();
});

for (const name of ['letters', 'order']) control(name).addEventListener('input', () => {
    const letters = control('letters').value, order = Number(control('order').value);
    if (letters && Number.isInteger(order) && order >= 0 && letters.length ** order <= 1024) control('next').value = writeRows(fitRows(rowsOf(control('next').value), letters, order));
});

$('draw').addEventListener('click', () => {
    const letters = control('letters').value, order = Number(control('order').value), contexts = letters.length ** order;
    if (!letters || !(contexts <= 1024)) return;
    control('next').value = writeRows(Array.from({ length: contexts }, () => {
        const weights = [...letters].map(() => 0.05 - Math.log(Math.random())), sum = weights.reduce((a, b) => a + b, 0), row = weights.map((w) => Number((w / sum).toFixed(2)));
        row[0] = Number((row[0] + 1 - row.reduce((a, b) => a + b, 0)).toFixed(2)); // rounded rows add up to 1 too
        return row;
    }));
    $('rows').dataset.shape = '';
    changed();
});

$('presets').replaceChildren(...PRESETS.map(({ label, values }) => {
    const button = make('button', { type: 'button' }, label);
    button.addEventListener('click', () => {
        restore((name) => values[name], panel);
        changed();
    });
    return button;
}));

// ---- what follows ------------------------------------------------------------------------------------------------------

/** @type {Part<{ setting: Setting, found: Tabulated }>} */
const part = new Part(panel, {
    open: () => !panel.hidden,
    async job({ text }, { signal, say }) {
        const setting = settingOf(JSON.parse(text));
        say('Tabulating …');
        return { setting, found: await asker.ask({ task: 'tabulate', setting, texts: textsOf(setting.letters, setting.ask) }, signal) };
    },
    show({ setting, found }) {
        const { letters } = setting, { rows } = found;
        const distances = rows.map(({ truth, naive, corrected }) => (truth && naive && corrected ? [naive, corrected].map((p) => totalVariation(inOrder(truth, letters), inOrder(p, letters))) : null));
        const worst = rows.reduce((most, _, i) => ((distances[i]?.[0] ?? -1) > (distances[most]?.[0] ?? -1) ? i : most), 0);
        $('source-told').replaceChildren(...tell(rows[worst], distances[worst], letters));
        fill($('predictions'), ['text', 'cut', ...[...letters].flatMap((letter) => [`${letter}, truly`, 'naive', 'corrected']), 'calls'], rows.map(({ text, pieces, truth, naive, corrected, calls }) => [
            code(text || '(none)'), code(pieces.join('|')),
            ...[...letters].flatMap((letter) => [
                percent(truth?.[letter]),
                make('span', { className: truth && naive && Math.abs(truth[letter] - naive[letter]) > 0.005 ? 'naive-ink wrong' : '' }, percent(naive?.[letter])),
                make('span', { className: 'exact-ink' }, percent(corrected?.[letter])),
            ]),
            truth ? String(calls) : 'never begins so',
        ]));
        /** @type {any} */ ($('source-export')).formats = {
            CSV: () => toCsv(['text', 'tokens', 'letter', 'truth', 'naive', 'corrected'], rows.flatMap(({ text, pieces, truth, naive, corrected }) => [...letters].map((letter) => [text, pieces.join('|'), letter, truth?.[letter], naive?.[letter], corrected?.[letter]]))),
            JSON: () => JSON.stringify({ setting, ...found }, null, 1),
        };
        showChain(setting);
        fill($('entropies'), ['', 'nats a letter'], [['letters alone: H(X)', number(found.entropy, 4)], ...found.blocks.slice(1).map(([size, loss]) => [`blocks of ${size} letters`, number(loss, 4)]), ['the whole past: H∞', number(found.rate, 4)]]);
    },
});

/** The worst case in a sentence. @param {import('./worker.js').Row} row @param {number[] | null} distances @param {string} letters */
function tell({ text, truth, naive, corrected }, distances, letters) {
    if (!truth || !naive || !corrected || !distances) return ['The source begins with none of these texts.'];
    const after = text ? `After ${text}` : 'At the beginning';
    if (distances[0] < 0.005) return [`${after}, and after every other of these texts, the naive answer is right: no token of the dictionary is longer than what was cut here.`];
    const letter = [...letters].reduce((most, l) => (Math.abs(truth[l] - naive[l]) > Math.abs(truth[most] - naive[most]) ? l : most), letters[0]);
    const silent = Object.values(naive).every((p) => p < 1e-12);
    const bold = (/** @type {string} */ kind, /** @type {string} */ words) => make('b', { className: kind }, words);
    return silent ? [`${after} the token model has no answer: `, bold('naive-ink', 'it never saw a text cut so.'), ` Truly ${letter} follows with ${percent(truth[letter])}; corrected, `, bold('exact-ink', percent(corrected[letter])), '.']
        : [`${after} the token model gives ${letter} `, bold('naive-ink', percent(naive[letter])), `. Truly it is ${percent(truth[letter])}; corrected, `, bold('exact-ink', percent(corrected[letter])), '.'];
}

/** @param {Setting} setting */
function showChain(setting) {
    const svg = chainPicture(setting, { style: false }), contexts = textsOf(setting.letters, setting.order);
    $('chain').hidden = !svg;
    $('chain-export').hidden = !svg;
    chart('chain-heat').hidden = Boolean(svg);
    if (svg) {
        $('chain').innerHTML = svg; // made by us, escaped
        const file = () => chainPicture(setting);
        /** @type {any} */ ($('chain-export')).formats = { SVG: file, PNG: () => svgToPng(file(), { scale: 2 }) };
    } else chart('chain-heat').plot = { type: 'heat', title: 'Probability of the next letter', rows: contexts.length, cols: setting.letters.length, values: setting.next.flat(), labels: { rows: contexts, cols: [...setting.letters] }, min: 0, max: 1, x: 'next letter', y: 'after' };
}

// ---- dictionaries -----------------------------------------------------------------------------------------------------

const SIZES = [2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256];
let training = /** @type {AbortController | null} */ (null);
$('dictionaries').addEventListener('click', async () => {
    if (training) {
        training.abort();
        return;
    }
    const controller = (training = new AbortController()), problem = $('dict-problem'), progress = $('dict-progress');
    $('dictionaries').textContent = 'Stop';
    progress.textContent = 'Training …';
    problem.hidden = true;
    try {
        const values = valuesOf(panel), setting = settingOf(values);
        const { losses, rate, entropy } = await trainer.ask({ task: 'dictionaries', setting, sizes: SIZES, letters: Number(values.sample) }, controller.signal);
        const ends = [losses[0].size, losses.at(-1).size];
        chart('dict-chart').hidden = false;
        chart('dict-chart').plot = {
            type: 'line', title: 'Loss of token frequencies, by the size of the dictionary', x: 'tokens in the dictionary', y: 'nats a letter', logX: true,
            lines: [
                { name: 'token frequencies', points: losses.map((/** @type {any} */ l) => [l.size, l.loss]) },
                { name: 'letters alone, H(X)', points: ends.map((x) => [x, entropy]) }, { name: 'entropy rate, H∞', points: ends.map((x) => [x, rate]) },
            ],
        };
        progress.textContent = `From ${number(losses[0].loss, 3)} to ${number(Math.min(...losses.map((/** @type {any} */ l) => l.loss)), 3)} nats a letter; the entropy rate is ${number(rate, 3)}.`;
    } catch (error) {
        progress.textContent = '';
        problem.hidden = controller.signal.aborted;
        problem.textContent = words(error);
    } finally {
        training = null;
        $('dictionaries').textContent = 'Train dictionaries';
    }
});

// ---- what the page sees of it ---------------------------------------------------------------------------------------------

/** @param {() => void} listener told when a control changes otherwise than by its own event */
export function onChange(listener) {
    changed = listener;
}

/** The controls may say something else. */
export function follow() {
    showRows();
    const values = valuesOf(panel);
    delete values.sample;
    part.ask({ model: 'none', text: JSON.stringify(values) });
}

export const look = () => part.look();
