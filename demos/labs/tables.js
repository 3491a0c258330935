/**
 * What a plot shows, as tables: the twin of each picture for those who read numbers. The order is that of drawPlots.
 */
import { numbersOf } from '../../web/elements/numbers.js';
import { formatNumber } from '../../web/lab/plots.js';

/**
 * @typedef {import('../../web/lab/define.js').ArmResult} ArmResult
 * @typedef {import('../../web/lab/define.js').Plot} Plot
 * @typedef {import('../../web/lab/define.js').Series} Series
 * @typedef {{ head: string[], rows: string[][], note: string }} Table head: of the columns; the first cell of a row names it; note: what is left out
 */

const MOST_ROWS = 40;
const MOST_COLS = 40;

/** @param {number | undefined} value */
const say = (value) => (value === undefined ? '–' : formatNumber(value));

/** At most so many, evenly, the last among them. @template T @param {T[]} list @param {number} most @returns {T[]} */
const some = (list, most) => (list.length <= most ? list : Array.from({ length: most }, (_, i) => list[Math.round((i * (list.length - 1)) / (most - 1))]));

/** @param {number} shown @param {number} all @param {string} what */
const left = (shown, all, what) => (shown < all ? `${shown} of ${all} ${what}; the JSON file has all.` : '');

/** @param {Record<string, Series>} series @param {string[]} keys @param {ArmResult[]} arms @returns {Table} */
function lines(series, keys, arms) {
    // Steps at which the rarest series was measured: there the others have values too.
    const count = (/** @type {string} */ key) => Math.max(...arms.map((arm) => arm.series[key].length));
    const begun = keys.filter((key) => count(key));
    const rarest = begun.sort((a, b) => count(a) - count(b))[0];
    const all = rarest === undefined ? [] : [...new Set(arms.flatMap((arm) => arm.series[rarest].map(([step]) => step)))].sort((a, b) => a - b);
    const steps = some(all, MOST_ROWS);
    const columns = arms.flatMap((arm) => keys.filter((key) => arm.series[key].length).map((key) => ({
        name: arms.length === 1 ? series[key].label : keys.length === 1 ? arm.name : `${arm.name}: ${series[key].label}`,
        at: new Map(arm.series[key]),
    })));
    return { head: ['step', ...columns.map(({ name }) => name)], rows: steps.map((step) => [String(step), ...columns.map(({ at }) => say(at.get(step)))]), note: left(steps.length, all.length, 'steps') };
}

/** @param {any} picture @param {'bar' | 'scatter' | 'heat'} type @returns {Table} */
function ofPicture(picture, type) {
    const { head, rows } = numbersOf({ ...picture, type, title: '', xs: picture.x, ys: picture.y, x: undefined, y: undefined });
    const few = type === 'scatter' ? some(rows, MOST_ROWS) : type === 'heat' ? rows.slice(0, MOST_ROWS) : rows;
    const shown = head.slice(0, MOST_COLS + 1);
    return {
        head: shown,
        rows: few.map((row) => row.slice(0, shown.length).map((cell) => (typeof cell === 'number' ? say(cell) : cell))),
        note: [left(few.length, rows.length, type === 'scatter' ? 'points' : 'rows'), left(shown.length, head.length, 'columns')].filter(Boolean).join(' '),
    };
}

/**
 * @param {{ series: Record<string, Series> }} lab @param {Plot} plot @param {ArmResult[]} arms
 * @returns {Table[]} one for each picture that drawPlots makes of this plot
 */
export function tablesOf(lab, plot, arms) {
    const chosen = plot.arms ? arms.filter((arm) => plot.arms?.includes(arm.name)) : arms;
    const { series: keys, picture } = plot;
    if (keys && plot.type === 'line') return [lines(lab.series, [...keys], chosen)];
    if (keys) {
        const begun = chosen.filter((arm) => keys.some((key) => arm.last[key] !== undefined));
        return [{ head: ['', ...keys.map((key) => lab.series[key].label)], rows: begun.map((arm) => [arm.name, ...keys.map((key) => say(arm.last[key]))]), note: '' }];
    }
    return chosen.flatMap((arm) => {
        const shown = arm.pictures[/** @type {string} */ (picture)];
        return shown ? [ofPicture(shown, /** @type {'bar' | 'scatter' | 'heat'} */ (plot.type))] : [];
    });
}
