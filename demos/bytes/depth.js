/**
 * Below the first screen: four folded parts that follow the same text. Here is what they show; what they compute is in
 * covers.js, along.js, healing.js and both.js.
 */
import '../../web/elements/chart.js';
import { svgToPng, toCsv } from '../../web/elements/export.js';
import { byteLabel, formatProbability } from '../../web/elements/format.js';
import { $, make, words } from '../kit/page.js';
import { Part } from '../kit/part.js';
import { code, fill, number, some } from '../kit/table.js';
import { alongOf, charactersOf, LONGEST, shadeOf } from './along.js';
import { bothOf } from './both.js';
import { COVER_HEAD, coverRows, COVERS_CSS, coversOf, coversPicture, spelling } from './covers.js';
import { healedOf, likelyBytes } from './healing.js';
import { SAMPLE } from './sample.js';

/** @typedef {import('./both.js').Mixing} Mixing */
/** @typedef {import('../../web/elements/model-picker.js').ModelPicker} ModelPicker */

const sheet = new CSSStyleSheet();
sheet.replaceSync(COVERS_CSS);
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

const say = (/** @type {number} */ p) => formatProbability(p);

/** The end of a text, and what follows. @param {string} given @param {string} made */
const writes = (given, made) => make('bdi', { className: 'code' }, make('span', { className: 'given' }, given), make('span', { className: 'made' }, made || '(the text ends)'));

const details = (/** @type {string} */ id) => /** @type {HTMLDetailsElement} */ ($(id));
const chart = (/** @type {string} */ id) => /** @type {any} */ ($(id));

// ---- covers ----------------------------------------------------------------------------------------------------------

const ROWS_SHOWN = 14;
const ROWS_IN_TABLE = 100;

const covers = new Part(details('covers'), {
    job: ({ model, text }, { signal }) => coversOf(model, text, signal),
    show(/** @type {import('./covers.js').Covers} */ found) {
        const { covers, logProb, bytes } = found;
        const best = covers[0];
        $('covers-told').replaceChildren(
            ...(bytes.length
                ? [`${some(covers.length, 'way')} to begin a tokenization of a text that starts with yours. The likeliest, `, code(best.tokens.map(spelling).join(' | ')), `, carries ${say(best.share)} of the probability; `,
                    `together they make up log₂ P = ${number(logProb / Math.LN2, 3)}.`]
                : ['The text is empty: it has one cover, that of no token at all.']),
        );
        const picture = $('covers-picture');
        $('covers-view').hidden = !bytes.length;
        if (bytes.length) picture.innerHTML = coversPicture(found, { rows: ROWS_SHOWN, style: false }); // made by us, escaped
        fill($('covers-table'), ['tokens', 'share', 'log₂ P', 'bytes of the last token'], coverRows(covers.slice(0, ROWS_IN_TABLE)).map(([tokens, , hex, share, log]) => [code(String(tokens)), say(Number(share)), number(Number(log), 3), code(String(hex))]));
        $('covers-left').textContent = covers.length > ROWS_IN_TABLE ? `${ROWS_IN_TABLE} of ${covers.length}; the files have all.` : '';
        const svg = () => coversPicture(found, { rows: ROWS_SHOWN });
        /** @type {any} */ ($('covers-export')).formats = {
            ...(bytes.length && { SVG: svg, PNG: () => svgToPng(svg(), { scale: 2 }) }),
            CSV: () => toCsv(COVER_HEAD, coverRows(covers)),
            JSON: () => JSON.stringify({ text: new TextDecoder().decode(bytes), logProb, covers: covers.map((c) => ({ ids: c.ids, share: c.share, logProb: c.logProb })) }, null, 1),
        };
    },
});

// ---- along the text --------------------------------------------------------------------------------------------------

const along = new Part(details('along'), {
    job: ({ model, text }, { signal, say: progress }) => alongOf(model, text, { signal, onProgress: (done, total) => progress(`${done} of ${total} bytes`) }),
    show(/** @type {import('./along.js').Along} */ found) {
        const { exact, naive, own, left } = found;
        const sum = (/** @type {Float64Array} */ list) => list.reduce((a, b) => a + b, 0), n = exact.length;
        const characters = charactersOf(found);
        const costly = characters.filter((c) => shadeOf(c) > 0).length;
        const worst = characters.reduce((most, c) => (c.naive - c.exact > most.naive - most.exact ? c : most), characters[0]);
        $('along-told').textContent = !n ? 'Write something: there is no byte to measure.'
            : `After the cut your text costs ${number(sum(naive) / n)} bits a byte, exactly ${number(sum(exact) / n)}. ${costly ? `The cut costs something at ${some(costly, 'character')} of ${characters.length}, most at ‘${worst.text.trim() ? worst.text : byteLabel(worst.text.charCodeAt(0)).name}’ (byte ${worst.at + 1}): ${number(worst.naive)} bits instead of ${number(worst.exact)}.` : 'The cut costs nothing anywhere.'}`
                + (left ? ` Only the first ${n} bytes were measured (at most ${LONGEST}).` : '');
        $('along-text').replaceChildren(...characters.map((c) => make('span', { className: `shade${shadeOf(c)}${c.begins ? ' begins' : ''}` }, c.text === '\n' ? '⏎\n' : c.text)));
        chart('along-chart').hidden = !n;
        if (n) chart('along-chart').plot = {
            type: 'line', title: 'Bits for each byte of the text', x: 'byte of the text', y: 'bits',
            lines: [{ name: 'exact', points: [...exact].map((y, x) => [x + 1, y]) }, { name: 'after the cut', points: [...naive].map((y, x) => [x + 1, y]) }],
        };
        fill($('along-table'), ['', 'bits', 'bits a byte'], [
            ['exact, byte by byte', number(sum(exact), 1), number(sum(exact) / n, 3)],
            ['after the cut, byte by byte', number(sum(naive), 1), number(sum(naive) / n, 3)],
            [`the tokenizer’s own ${some(own.count, 'token')}`, number(own.bits, 1), number(own.bits / n, 3)],
        ]);
    },
});

// ---- healing ---------------------------------------------------------------------------------------------------------

const healing = new Part(details('healing'), {
    job: ({ model, text }, { signal, say: progress }) => healedOf(model, text, { signal, onWay: (name) => progress(`${name} …`) }),
    show(/** @type {import('./healing.js').Healed[]} */ healed, { text }) {
        const given = [...text].slice(-12).join('');
        fill($('healing-table'), ['treatment', 'distance to exact', 'likeliest byte', 'tokens given up', 'contexts', 'writes on'], healed.map(({ way, p, distance, dropped, contexts, written }) => {
            const best = p ? p.indexOf(Math.max(...p)) : -1;
            return [
                make('span', {}, make('b', {}, way.name), make('span', { className: 'told' }, way.told)),
                number(distance, 3), p ? `${byteLabel(best).glyph} ${say(p[best])}` : 'too many spellings', dropped === null ? '–' : String(dropped), contexts === null ? '–' : String(contexts),
                written === null ? '–' : writes(given, written),
            ];
        }));
        const rows = healed.map(({ way, distance, dropped, contexts, written, p }) => ({ treatment: way.name, distance: p && distance, dropped, contexts, written, p: p && Array.from(p) }));
        /** @type {any} */ ($('healing-export')).formats = {
            CSV: () => toCsv(['treatment', 'distance', 'tokens given up', 'contexts', 'writes on'], rows.map((r) => [r.treatment, r.distance, r.dropped, r.contexts, r.written])),
            JSON: () => JSON.stringify({ text, treatments: rows }, null, 1),
        };
        const bytes = likelyBytes(healed, 10), shown = healed.filter(({ way, p }) => p && way.name !== 'cover');
        chart('healing-chart').plot = {
            type: 'heat', title: 'The next byte by each treatment', rows: shown.length, cols: bytes.length, min: 0, max: 1,
            values: shown.flatMap(({ p }) => bytes.map((b) => /** @type {Float64Array} */ (p)[b])), labels: { rows: shown.map(({ way }) => way.name), cols: bytes.map((b) => byteLabel(b).glyph) }, x: 'next byte',
        };
    },
});

/** Many cuts: begun by a button, ended by it too. */
let cutting = /** @type {AbortController | null} */ (null);
let cutModel = /** @type {any} */ (null);
async function cutMany() {
    if (cutting) {
        cutting.abort();
        return;
    }
    const controller = (cutting = new AbortController()), button = $('cuts-go'), problem = $('cuts-problem'), bar = /** @type {HTMLProgressElement} */ ($('cuts-progress'));
    const where = /** @type {HTMLSelectElement} */ ($('cuts-where')).value, cuts = Number(/** @type {HTMLSelectElement} */ ($('cuts-count')).value);
    button.textContent = 'Stop';
    problem.hidden = true;
    bar.hidden = false;
    bar.value = 0;
    try {
        const { healingTable } = await import('../../web/index.js');
        const { rows } = await healingTable(cutModel, SAMPLE, { where: /** @type {any} */ (where), cuts, signal: controller.signal, onProgress: (done, total) => (bar.value = done / total) });
        $('cuts-result').hidden = false;
        chart('cuts-chart').plot = { type: 'bar', title: `Distance to the exact next byte, mean of ${cuts} cuts`, y: 'total variation distance', bars: rows.map((r) => r.method), values: rows.map((r) => r.distance) };
        fill($('cuts-table'), ['treatment', 'distance', 'bits of the true byte', 'right at first'], rows.map((r) => [r.method, number(r.distance, 4), number(r.bits, 3), say(r.right)]));
        $('cuts').dataset.for = `${where} ${cuts}`;
    } catch (error) {
        if (!controller.signal.aborted) {
            problem.hidden = false;
            problem.textContent = words(error);
        }
    } finally {
        cutting = null;
        button.textContent = 'Measure';
        bar.hidden = true;
    }
}
$('cuts-go').addEventListener('click', () => void cutMany());

// ---- two models ------------------------------------------------------------------------------------------------------

/** @type {any} */ let secondModel = null;
let names = ['first', 'second'];
const mixing = () => /** @type {Mixing} */ ({ rule: /** @type {HTMLInputElement} */ (document.querySelector('#rules :checked')).value, weight: Number(/** @type {HTMLInputElement} */ ($('weight')).value) / 100 });

const both = new Part(details('both'), {
    async job({ model, text }, { signal, say: progress }) {
        if (!secondModel) return null;
        return bothOf(model, secondModel, text, mixing(), { signal, say: progress });
    },
    show(/** @type {import('./both.js').Both | null} */ answer, { text }) {
        $('both-result').hidden = answer === null;
        $('both-begin').hidden = answer !== null;
        if (!answer) return;
        const { p, weights, bits, written } = answer;
        const labels = [...names, 'together'];
        const weight = (/** @type {number} */ b) => Math.max(...p.map((each) => each[b]));
        const bytes = Array.from({ length: 257 }, (_, b) => b).sort((a, b) => weight(b) - weight(a)).slice(0, 10).sort((a, b) => p[2][b] - p[2][a]);
        chart('both-chart').plot = { type: 'bar', title: 'The next byte, by each model and by both', x: 'next byte', y: 'probability', bars: bytes.map((b) => byteLabel(b).glyph), series: labels.map((name, i) => ({ name, values: bytes.map((b) => p[i][b]) })) };
        const given = [...text].slice(-12).join('');
        fill($('both-table'), ['', 'weight', 'likeliest byte', 'bits a byte of your text', 'writes on'], labels.map((label, i) => {
            const best = p[i].indexOf(Math.max(...p[i]));
            return [label, i < 2 ? number(weights[i], 3) : '', `${byteLabel(best).glyph} ${say(p[i][best])}`, number(bits[i], 3), writes(given, written[i])];
        }));
    },
});

/** The second model's picker comes when the part is opened. */
function pickSecond() {
    const place = $('second');
    if (!details('both').open || place.firstChild) return;
    const second = /** @type {ModelPicker} */ (document.createElement('mt-model-picker'));
    for (const [name, value] of [['src', '../../models/family/draft-1m.gguf'], ['name', 'draft-1m'], ['drop', 'self']]) second.setAttribute(name, value);
    for (const type of ['dragenter', 'dragover', 'dragleave', 'drop']) second.addEventListener(type, (e) => e.stopPropagation()); // else the page takes the file too
    second.addEventListener('mt-model', (e) => {
        const old = secondModel;
        const { model, name } = /** @type {CustomEvent} */ (e).detail;
        secondModel = model;
        names = [names[0], name];
        both.again();
        void old?.dispose();
    });
    $('second-load').addEventListener('click', () => void second.load(second.src, second.bundledName));
    place.append(second);
}
details('both').addEventListener('toggle', pickSecond);
for (const input of document.querySelectorAll('#rules input, #weight')) input.addEventListener('change', () => {
    showWeight();
    both.again();
    changed();
});
$('weight').addEventListener('input', showWeight);
function showWeight() {
    const { weight } = mixing();
    $('weight-value').textContent = `${Math.round(100 * weight)} : ${Math.round(100 - 100 * weight)}`;
}

// ---- what the page sees of it -------------------------------------------------------------------------------------------

const PARTS = { covers, along, healing, both };
let changed = () => {};

/** @param {() => void} listener told when something changes that the address keeps */
export function onChange(listener) {
    changed = listener;
}
for (const id of Object.keys(PARTS)) details(id).addEventListener('toggle', () => changed());
for (const id of ['cuts-where', 'cuts-count']) $(id).addEventListener('change', () => changed());

/** The text or the model is another. @param {{ model: any, text: string, name: string }} now */
export function follow({ model, text, name }) {
    names = [name, names[1]];
    if (model !== cutModel) cutting?.abort();
    cutModel = model;
    for (const part of Object.values(PARTS)) part.ask({ model, text });
}

/** For the address: which parts are open, and their choices where they are not the usual ones. */
export function stateOfDepth() {
    const { rule, weight } = mixing();
    const where = /** @type {HTMLSelectElement} */ ($('cuts-where')).value, cuts = /** @type {HTMLSelectElement} */ ($('cuts-count')).value;
    return {
        open: Object.keys(PARTS).filter((id) => details(id).open).join(','),
        rule: rule === 'mean' ? '' : rule, weight: weight === 0.5 ? '' : Math.round(100 * weight),
        where: where === 'inside' ? '' : where, cuts: cuts === '30' ? '' : cuts,
    };
}

/** @param {URLSearchParams} state @param {{ keep?: boolean }} [options] keep: what was opened meanwhile stays open */
export function restoreDepth(state, { keep = false } = {}) {
    const open = (state.get('open') ?? '').split(',');
    for (const id of Object.keys(PARTS)) details(id).open = open.includes(id) || (keep && details(id).open);
    pickSecond();
    const rule = document.querySelector(`#rules input[value="${CSS.escape(state.get('rule') ?? 'mean')}"]`);
    if (rule) /** @type {HTMLInputElement} */ (rule).checked = true;
    /** @type {HTMLInputElement} */ ($('weight')).value = state.get('weight') ?? '50';
    showWeight();
    for (const [id, usual] of [['cuts-where', 'inside'], ['cuts-count', '30']]) {
        const select = /** @type {HTMLSelectElement} */ ($(id)), value = state.get(id.slice(5) === 'count' ? 'cuts' : 'where') ?? usual;
        if ([...select.options].some((o) => o.value === value)) select.value = value;
    }
}
