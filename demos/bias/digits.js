/**
 * The tab of numbers: how digits are grouped, and sums by models that group them differently.
 */
import { formatProbability } from '../../web/elements/format.js';
import { $, make, words } from '../kit/page.js';
import { Part } from '../kit/part.js';
import { fill, some } from '../kit/table.js';
import { valuesOf } from './form.js';

const chart = (/** @type {string} */ id) => /** @type {any} */ ($(id));
const library = () => import('../../web/index.js');
const panel = $('numbers');

// ---- groups ------------------------------------------------------------------------------------------------------------

/** @typedef {{ digits: string, left: string[], right: string[], own: string[] }} DigitRow */
/** @param {DigitRow} row */
function likeness({ left, right, own }) {
    const [l, r, o] = [left, right, own].map((parts) => parts.join('|'));
    return l === o && r === o ? 'both' : l === o ? 'from the left' : r === o ? 'from the right' : 'neither';
}

/** @type {Part<DigitRow[]>} */
const groups = new Part(panel, {
    open: () => !panel.hidden,
    async job({ model, text }) {
        const { digits, size } = JSON.parse(text), { chunkDigits } = await library();
        if (!/^[0-9]{1,40}$/.test(digits)) throw new Error(`Number: “${digits}” is not a number of 1 to 40 digits`);
        return Array.from({ length: digits.length }, (_, i) => {
            const part = digits.slice(0, i + 1), ids = model.tokenizer.encode(part, { offsets: false }).ids;
            return {
                digits: part, left: chunkDigits(part, Number(size), 'left'), right: chunkDigits(part, Number(size), 'right'),
                own: Array.from(ids, (id) => new TextDecoder().decode(model.tokenizer.tokenBytes(id))),
            };
        });
    },
    show(rows) {
        const kinds = rows.map(likeness), shifted = rows.filter((row, i) => i && row.own.slice(0, -1).join('|') !== rows[i - 1].own.slice(0, row.own.length - 1).join('|')).length;
        const telling = kinds.filter((k) => k !== 'both'), only = new Set(telling);
        const cut = rows.every((row) => row.own.every((part) => part.length === 1)) ? 'one by one' : !telling.length ? 'the same from either side' : only.size === 1 ? (telling[0] === 'neither' ? 'in its own way, from neither side' : telling[0]) : 'now from one side, now from the other';
        $('digits-told').textContent = `This tokenizer cuts digits ${cut}. ${shifted ? `At ${some(shifted, 'length')} of ${rows.length} one digit more changes tokens that were there before.` : 'One digit more never changes the tokens that were there before.'}`;
        fill($('digits-table'), ['digits', 'from the left', 'from the right', 'this tokenizer', 'agrees with'], rows.map((row, i) => [String(row.digits.length), grouped(row.left), grouped(row.right), grouped(row.own), kinds[i]]));
    },
});

/** Groups side by side. @param {string[]} parts */
const grouped = (parts) => make('bdi', { className: 'groups' }, ...parts.flatMap((part, i) => [...(i ? [make('span', { className: 'hidden' }, '|')] : []), make('span', {}, part)]));

// ---- sums --------------------------------------------------------------------------------------------------------------

const TWINS = [['twin-digits-ltr', 'groups from the left'], ['twin-digits-rtl', 'groups from the right']];
/** @type {Promise<any[]> | null} */ let twins = null;
/** @type {any} */ let current = null;
let running = /** @type {AbortController | null} */ (null);

/** The digit twins, opened once. @param {AbortSignal} signal */
async function openTwins(signal) {
    const { Model } = await library(), bar = /** @type {HTMLProgressElement} */ ($('sums-bar'));
    const loaded = TWINS.map(() => 0), totals = TWINS.map(() => 0);
    bar.hidden = false;
    try {
        return await Promise.all(TWINS.map(([name], i) => Model.load(new URL(`../../models/family/${name}.gguf`, import.meta.url).href, {
            signal,
            onProgress: (/** @type {any} */ p) => {
                [loaded[i], totals[i]] = [p.loaded, p.total ?? p.loaded];
                bar.value = loaded.reduce((a, b) => a + b, 0) / Math.max(1, totals.reduce((a, b) => a + b, 0));
            },
        })));
    } finally {
        bar.hidden = true;
    }
}

$('sums-go').addEventListener('click', async () => {
    if (running) {
        running.abort();
        return;
    }
    const controller = (running = new AbortController()), { signal } = controller, progress = $('sums-progress'), problem = $('sums-problem');
    $('sums-go').textContent = 'Stop';
    problem.hidden = true;
    try {
        const { who, count, digitsmost, groups: side, separator } = valuesOf(panel), { sumsProbe } = await library();
        progress.textContent = 'Opening …';
        if (who === 'twins') twins ??= openTwins(signal);
        else if (!current) throw new Error('No model is open yet.');
        const asked = who === 'twins' ? (await /** @type {Promise<any[]>} */ (twins)).map((model, i) => ({ model, name: TWINS[i][1] })) : [{ model: current, name: 'this model' }];
        const results = [];
        for (const { model, name } of asked) {
            const rows = [];
            for (let digits = 1; digits <= Number(digitsmost); digits++) {
                progress.textContent = `${name}: ${some(digits, 'digit')} …`;
                rows.push(...(await sumsProbe(model, { count: Number(count), least: digits, most: digits, seed: digits, signal, ...(side && { groups: /** @type {any} */ (side), separator }) })).rows);
            }
            results.push({ name, rows });
        }
        showSums(results);
        $('sums-result').dataset.for = [who, count, digitsmost, side].join(' ');
    } catch (error) {
        twins?.catch(() => (twins = null)); // it may be tried again
        problem.hidden = signal.aborted;
        problem.textContent = words(error);
    } finally {
        running = null;
        progress.textContent = '';
        $('sums-go').textContent = 'Add up';
    }
});

/** @typedef {{ digits: number, longer: boolean, count: number, right: number }} SumRow */
/** @param {SumRow[]} rows @returns {number} share */
const share = (rows) => rows.reduce((s, r) => s + r.right * r.count, 0) / Math.max(1, rows.reduce((s, r) => s + r.count, 0));

/** All were asked the same sums. @param {{ name: string, rows: SumRow[] }[]} results */
function showSums(results) {
    const all = (/** @type {SumRow[]} */ rows) => rows.reduce((s, r) => s + r.count, 0);
    $('sums-result').hidden = false;
    $('sums-told').textContent = `${results.map(({ name, rows }) => `${name[0].toUpperCase()}${name.slice(1)}: ${formatProbability(share(rows))} of ${some(all(rows), 'sum')} right, ${formatProbability(share(rows.filter((r) => r.longer)))} where the sum is longer`).join('. ')}.`
        + (results.length > 1 && results.every(({ rows }) => share(rows) === share(results[0].rows)) ? ' The side makes no difference here.' : '');
    const lengths = [...new Set(results[0].rows.map((r) => r.digits))];
    chart('sums-chart').plot = {
        type: 'line', title: 'Sums that are right', x: 'digits of the longer addend', y: 'share',
        lines: results.map(({ name, rows }) => ({ name, points: lengths.map((d) => /** @type {[number, number]} */ ([d, share(rows.filter((r) => r.digits === d))])) })),
    };
    fill($('sums-table'), ['digits', 'sums', ...results.map(({ name }) => name)], lengths.flatMap((d) => [false, true].flatMap((longer) => {
        const found = results.map(({ rows }) => rows.find((r) => r.digits === d && r.longer === longer)), [first] = found;
        return first ? [[longer ? `${d}, the sum ${d + 1}` : String(d), String(first.count), ...found.map((r) => (r ? formatProbability(r.right) : '–'))]] : [];
    })));
}

/** @param {any} model @param {Record<string, string>} values of the controls */
export function follow(model, { digits, size }) {
    if (running && valuesOf(panel).who === 'model' && model !== current) running.abort();
    current = model;
    if (model) groups.ask({ model, text: JSON.stringify({ digits, size }) });
}

export const look = () => groups.look();
