/**
 * <mt-chart>: lines, bars, points or a table of shades, with its numbers as a table and buttons that save it.
 *
 *   chart.plot = { type: 'line', title: 'Surprisal', x: 'token', y: 'bits', lines: [{ name: 'exact', points: [[0, 2.1], [1, 0.3]] }] };
 *   chart.plot = { type: 'bar', title: 'Premium', y: 'x English', bars: ['de', 'fi'], values: [1.4, 1.9] };      or series: [{ name, values }]
 *   chart.plot = { type: 'scatter', title: 'Neurons', x: 'norm', y: 'share', xs: [...], ys: [...], labels: [...], groups: [...], groupNames: [...] };
 *   chart.plot = { type: 'heat', title: 'Rollout', rows: 2, cols: 2, values: [...], labels: { rows: [...], cols: [...] }, min: 0, max: 1 };
 *   chart.plot = null;                                                                                            an empty chart
 *
 * Setting `plot` again redraws it; the table stays open and the focus stays where it is. `svg()` is the picture as a
 * file of its own.
 *
 * Attributes
 *   name       of saved files, default made of the title
 *   no-export  no buttons
 *
 * Custom properties: --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus, --mt-exact, --mt-naive (first two colours).
 */
import { barChart, formatNumber, heatMap, lineChart, PLOT_CSS, scatterPlot } from '../lab/plots.js';
import { svgToPng, toCsv } from './export.js';
import { h, sheet, VISUALLY_HIDDEN } from './format.js';
import { numbersOf } from './numbers.js';

/** @typedef {import('./numbers.js').ChartPlot} ChartPlot */

/** @param {ChartPlot} plot @param {boolean} style a file of its own carries its colours @returns {string} SVG */
function drawn(plot, style) {
    const { title, x, y, logX, logY } = plot, options = { title, x, y, logX, logY, style };
    if (plot.type === 'line') return lineChart(plot.lines, options);
    if (plot.type === 'bar') return barChart({ labels: plot.bars, series: plot.series ?? [{ name: title, values: plot.values ?? [] }] }, options);
    if (plot.type === 'scatter') return scatterPlot({ x: plot.xs, y: plot.ys, labels: plot.labels, groups: plot.groups, groupNames: plot.groupNames }, options);
    if (plot.type === 'heat') return heatMap({ rows: plot.rows, cols: plot.cols, values: plot.values, labels: plot.labels, min: plot.min, max: plot.max }, options);
    throw new TypeError(`mt-chart: plot.type is line, bar, scatter or heat, not ${JSON.stringify(/** @type {any} */ (plot).type)}`);
}

const MOST_CELLS = 4000; // of a table on the page; the files have all

const STYLE = sheet(`
:host { display: block; min-width: 0; color: var(--mt-ink, light-dark(#1c2430, #e8eaee)); }
:host([hidden]) { display: none; }
figure { margin: 0; }
.picture { /* a shade at the right edge, until it has been scrolled to its end */ overflow-x: auto; border-radius: 3px; --_ground: var(--mt-surface, light-dark(#ffffff, #191d23)); background: linear-gradient(var(--_ground), var(--_ground)) right -2px top / 1.5rem 100% no-repeat local, linear-gradient(to left, color-mix(in srgb, var(--mt-ink, light-dark(#1c2430, #e8eaee)) 28%, transparent), transparent) right / 1.1rem 100% no-repeat; }
.picture svg { display: block; width: 100%; min-width: min(30rem, 100% + 12rem); height: auto; }
.under { display: flex; flex-wrap: wrap; gap: .4rem 1rem; justify-content: space-between; align-items: start; font-size: .875rem; padding-top: .3rem; }
details { flex: 1 1 12rem; min-width: 0; }
details[open] { flex-basis: 100%; order: 2; }
summary { cursor: pointer; line-height: 1.9rem; }
.table { overflow: auto; max-height: 22rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; font-weight: 400; padding: .2rem .9rem .2rem 0; white-space: nowrap; border-bottom: 1px solid var(--mt-line, light-dark(#e0e2e6, #323943)); }
thead th { position: sticky; top: 0; background: var(--mt-surface, light-dark(#ffffff, #191d23)); color: var(--mt-muted, light-dark(#5a6472, #a2abb8)); font-weight: 600; }
p { margin: .3rem 0; color: var(--mt-muted, light-dark(#5a6472, #a2abb8)); }
:focus-visible { outline: 2.5px solid var(--mt-focus, light-dark(#1d5fa8, #79b4f5)); outline-offset: 2px; border-radius: 3px; }
.hidden { ${VISUALLY_HIDDEN} }
`);
const PLOT_STYLE = sheet(PLOT_CSS);

export class MtChart extends HTMLElement {
    /** @type {ChartPlot | null} */ #plot = null;
    #picture = h('div', { class: 'picture', tabindex: '0', role: 'group' });
    #table = h('div', { class: 'table', tabindex: '0', role: 'region' });
    #summary = h('span', { class: 'hidden' });
    #details = h('details', {}, h('summary', {}, 'As a table', this.#summary), this.#table);
    #export = /** @type {import('./export.js').MtExport} */ (document.createElement('mt-export'));

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE, PLOT_STYLE];
        this.#details.addEventListener('toggle', () => this.#fill());
        root.append(h('figure', {}, this.#picture, h('div', { class: 'under' }, this.#details, this.#export)));
    }

    connectedCallback() { this.#draw(); }

    /** @type {ChartPlot | null} */
    get plot() { return this.#plot; }
    set plot(plot) {
        this.#plot = plot;
        this.#draw();
    }

    /** The picture as a file of its own, with its colours. @returns {string} @throws {Error} nothing is drawn yet */
    svg() {
        if (!this.#plot) throw new Error('nothing is drawn yet');
        return drawn(this.#plot, true);
    }

    /** All numbers. @returns {string} @throws {Error} nothing is drawn yet */
    csv() {
        if (!this.#plot) throw new Error('nothing is drawn yet');
        const { head, rows } = numbersOf(this.#plot);
        return toCsv(head, rows);
    }

    #draw() {
        const plot = this.#plot;
        this.#details.hidden = this.#export.hidden = !plot;
        if (!plot) {
            this.#picture.replaceChildren();
            return;
        }
        this.#picture.innerHTML = drawn(plot, false); // plots.js escapes every text
        this.#picture.setAttribute('aria-label', `Plot: ${plot.title}`);
        this.#table.setAttribute('aria-label', `Table: ${plot.title}`);
        this.#summary.textContent = `: ${plot.title}`;
        this.#export.hidden = this.hasAttribute('no-export');
        this.#export.setAttribute('name', this.getAttribute('name') ?? (plot.title.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 48) || 'plot'));
        this.#export.setAttribute('label', plot.title);
        this.#export.formats = {
            SVG: () => this.svg(),
            PNG: () => svgToPng(this.svg()),
            CSV: () => this.csv(),
            JSON: () => JSON.stringify(plot, (_, value) => (ArrayBuffer.isView(value) ? Array.from(/** @type {any} */ (value)) : value)),
        };
        this.#fill();
    }

    #fill() {
        if (!this.#details.open || !this.#plot) return;
        const { head, rows } = numbersOf(this.#plot), most = Math.max(1, Math.floor(MOST_CELLS / head.length)), cell = (/** @type {string | number} */ value) => (typeof value === 'number' ? formatNumber(value) : value);
        this.#table.replaceChildren(
            h('table', {},
                h('thead', {}, h('tr', {}, ...head.map((name) => (name ? h('th', { scope: 'col' }, name) : h('td'))))),
                h('tbody', {}, ...rows.slice(0, most).map(([name, ...cells]) => h('tr', {}, h('th', { scope: 'row' }, cell(name)), ...cells.map((value) => h('td', {}, cell(value))))))),
            ...(rows.length > most ? [h('p', {}, `The first ${most} of ${rows.length} rows; the files have all.`)] : []),
        );
    }
}

customElements.define('mt-chart', MtChart);
