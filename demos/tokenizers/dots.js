/**
 * Languages under each other, a mark for each tokenizer: who pays how much. The text of an SVG, in the manner and the
 * colours of web/lab/plots.js.
 */
import { formatNumber, PLOT_CSS } from '../../web/lab/plots.js';

const W = 860, LEFT = 150, RIGHT = 24, ROW = 18;
const escaped = (/** @type {string} */ text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[\0-\x08\x0b\x0c\x0e-\x1f]/g, '\ufffd');
const cut = (/** @type {string} */ text, /** @type {number} */ most) => ([...text].length > most ? `${[...text].slice(0, most - 1).join('')}…` : text);
const SHAPES = [
    (/** @type {number} */ x, /** @type {number} */ y) => `<circle cx="${x}" cy="${y}" r="4.5"/>`,
    (/** @type {number} */ x, /** @type {number} */ y) => `<path d="M${x - 4} ${y - 4}h8v8h-8z"/>`,
    (/** @type {number} */ x, /** @type {number} */ y) => `<path d="M${x} ${y - 5.5}l5 9h-10z"/>`,
    (/** @type {number} */ x, /** @type {number} */ y) => `<path d="M${x} ${y - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>`,
];

/**
 * @param {{ title: string, axis: string, rows: string[], series: { name: string, values: number[] }[], style?: boolean }} chart positive values, on a logarithmic scale; NaN: no mark
 * @returns {string} SVG
 */
export function dotPlot({ title, axis, rows, series, style = true }) {
    const all = series.flatMap((s) => s.values).filter((v) => v > 0 && Number.isFinite(v)), low = Math.min(1, ...all) / 1.03, high = Math.max(1.1, ...all) * 1.03;
    const at = (/** @type {number} */ v) => Math.round(10 * (LEFT + (Math.log(v / low) / Math.log(high / low)) * (W - LEFT - RIGHT))) / 10;
    /** @type {string[]} */ const legend = [];
    let x = LEFT, y = 44;
    series.forEach(({ name }, i) => {
        const room = 26 + 7.2 * Math.min(30, [...name].length) + 18;
        if (x > LEFT && x + room > W - RIGHT) [x, y] = [LEFT, y + 20];
        legend.push(`<g class="mp-f${i % 6}">${SHAPES[i % 4](x + 8, y - 4)}</g><text class="mp-text" x="${x + 20}" y="${y}">${escaped(cut(name, 30))}</text>`);
        x += room;
    });
    const top = y + 18, bottom = top + rows.length * ROW, height = bottom + 44;
    const ticks = [0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50].filter((t) => t >= low && t <= high).reduce((/** @type {number[]} */ kept, t) => (kept.length && at(t) - at(kept[kept.length - 1]) < 34 ? kept : [...kept, t]), []);
    const grid = ticks.map((t) => `<path class="${t === 1 ? 'mp-axis' : 'mp-grid'}" d="M${at(t)} ${top - 4}V${bottom}"/><text class="mp-small" x="${at(t)}" y="${bottom + 17}" text-anchor="middle">${formatNumber(t)}</text>`);
    const body = rows.map((name, r) => {
        const h = top + (r + 0.5) * ROW, good = series.map((s) => s.values[r]).filter((v) => v > 0 && Number.isFinite(v));
        const span = good.length > 1 ? `<path class="mp-grid" stroke-width="2" d="M${at(Math.min(...good))} ${h}H${at(Math.max(...good))}"/>` : '';
        const marks = series.map(({ values }, i) => (values[r] > 0 && Number.isFinite(values[r]) ? `<g class="mp-f${i % 6}">${SHAPES[i % 4](at(values[r]), h)}</g>` : ''));
        return `<text class="mp-text" x="${LEFT - 10}" y="${h + 4}" text-anchor="end">${escaped(cut(name, 20))}</text>${span}${marks.join('')}`;
    });
    const told = series.map(({ name, values }) => {
        const good = rows.map((row, i) => ({ row, v: values[i] })).filter(({ v }) => Number.isFinite(v)), most = good.reduce((a, b) => (b.v > a.v ? b : a), good[0]);
        return most ? `${name}: up to ${formatNumber(most.v)} (${most.row}).` : '';
    });
    return `<svg xmlns="http://www.w3.org/2000/svg" class="mp" viewBox="0 0 ${W} ${height}" width="${W}" height="${height}" role="img" font-family="system-ui,sans-serif" font-size="12"><title>${escaped(title)}</title><desc>${escaped(`${rows.length} languages. ${told.join(' ')}`)}</desc>`
        + `${style ? `<style>${PLOT_CSS}</style><rect class="mp-surface" width="${W}" height="${height}"/>` : ''}<text class="mp-text mp-title" x="16" y="20">${escaped(title)}</text>${legend.join('')}${grid.join('')}${body.join('')}`
        + `<text class="mp-small" x="${(LEFT + W - RIGHT) / 2}" y="${bottom + 36}" text-anchor="middle">${escaped(axis)}</text></svg>\n`;
}
