/**
 * <mt-byte-distribution>: what comes next, byte by byte, as pairs of bars: the exact distribution (filled) over the one
 * that the tokenized prompt gives (hatched).
 *
 *   const chart = document.querySelector('mt-byte-distribution');
 *   chart.result = await new ByteModel(model).next('Once upon a ti');
 *
 * The bytes drawn are the ones with most probability under either distribution, sorted by the exact one; a row for the
 * end of the text and a row for all other bytes complete the picture. Below: every number in a table.
 *
 * Attributes
 *   top          how many bytes get a row (default 10)
 *   scale        "linear" (default) or "log"; the switch in the chart sets it and fires `mt-scale`
 *   exact-label  what the first distribution is called (default "exact")
 *   naive-label  what the second one is called (default "tokenized prompt")
 *
 * Custom properties: --mt-exact, --mt-naive (bars), --mt-exact-ink, --mt-naive-ink (numbers), --mt-ink, --mt-muted,
 * --mt-line, --mt-surface, --mt-focus, --mt-mono.
 */
import { byteLabel, END, folded, formatProbability, h, hexByte, HOST, sheet, totalVariation, VISUALLY_HIDDEN } from './format.js';
import { Fitted, s } from './svg.js';

/**
 * What `ByteModel.next` answers: natural log-probabilities.
 * @typedef {object} ByteResult
 * @property {ArrayLike<number>} bytes 256 of the exact distribution
 * @property {number} end the text ends here
 * @property {ArrayLike<number> | null} [naive] 257 of the tokenized prompt; the last: the text ends here
 * @property {number} [missingMass] proven bound on the probability that was left out
 * @property {string} [target] which spellings of the text count
 */

const LOG_FLOOR = -7; // the log axis starts at 10^-7
const ROW = 34;
const TOP = 20;

const STYLE = sheet(`${HOST}
.bar { display: flex; flex-wrap: wrap; gap: .4rem 1.1rem; align-items: center; margin-bottom: .6rem; font-size: .875rem; }
.keys { display: contents; }
.key { display: inline-flex; align-items: center; gap: .45em; }
.key svg { flex: none; width: 22px; height: 12px; }
fieldset { border: 0; margin: 0 0 0 auto; padding: 0; display: inline-flex; }
legend { ${VISUALLY_HIDDEN} }
fieldset label { position: relative; cursor: pointer; }
fieldset input { position: absolute; inset: 0; margin: 0; opacity: 0; cursor: pointer; }
fieldset span { display: block; padding: .2rem .7rem; min-height: 1.1rem; border: 1px solid var(--_muted); color: var(--_muted); }
fieldset label:first-of-type span { border-radius: 6px 0 0 6px; }
fieldset label:last-of-type span { border-radius: 0 6px 6px 0; border-left: 0; }
fieldset input:checked + span { background: var(--_ink); border-color: var(--_ink); color: var(--_surface); }
fieldset input:focus-visible + span { outline: 2.5px solid var(--_focus); outline-offset: 2px; }
.plot svg { display: block; width: 100%; overflow: visible; }
.grid { stroke: var(--_line); stroke-width: 1; }
.tick { fill: var(--_muted); font: 11px system-ui, sans-serif; }
.exact { fill: var(--_exact); }
.naive { stroke: var(--_naive); stroke-width: 1.25; }
.hatch { stroke: var(--_naive); stroke-width: 1.6; }
.hatch-ground { fill: var(--_surface); }
.label { fill: var(--_ink); font: 600 15px var(--_mono); text-anchor: middle; }
.label.small { font-size: 12px; font-weight: 500; }
.label.word { font: 500 12px system-ui, sans-serif; }
.value { font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; text-anchor: end; }
.value.e { fill: var(--_exact-ink); font-weight: 600; }
.value.n { fill: var(--_naive-ink); }
.row.extra .label, .row.others .label { fill: var(--_muted); }
details { margin-top: .8rem; font-size: .875rem; }
summary { cursor: pointer; color: var(--_muted); padding: .25rem 0; width: fit-content; border-radius: 3px; }
summary:focus-visible, .scroll:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 2px; }
.scroll { max-height: 22rem; overflow: auto; border: 1px solid var(--_line); border-radius: 6px; margin-top: .4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .5rem .75rem; color: var(--_muted); }
th, td { text-align: right; padding: .22rem .75rem; white-space: nowrap; }
th { font-weight: 600; }
thead th { position: sticky; top: 0; background: var(--_surface); box-shadow: 0 1px var(--_line); }
tbody th, thead th:first-child { text-align: left; }
tbody th { font-family: var(--_mono); }
tbody tr:nth-child(odd) { background: color-mix(in srgb, var(--_line) 28%, transparent); }
@media (prefers-reduced-motion: no-preference) {
    .row { transition: transform .22s ease-out; }
    .row rect { transition: width .22s ease-out; }
}
@media (forced-colors: active) {
    .exact { fill: CanvasText; }
    .naive, .hatch { stroke: CanvasText; }
    .hatch-ground { fill: Canvas; }
    .row .label, .row.extra .label, .row.others .label, .tick, .value.e, .value.n { fill: CanvasText; }
    .grid { stroke: GrayText; }
    fieldset input:checked + span { forced-color-adjust: none; background: Highlight; color: HighlightText; }
}
`);

/**
 * Natural logs to probabilities, with the end of the text as entry 256.
 * @param {ByteResult} result
 * @returns {{ exact: Float64Array, naive: Float64Array | null }} exact, naive: 257 each; naive is null where there is none
 */
export function probabilities(result) {
    const { bytes, end, naive } = result;
    return {
        exact: Float64Array.from({ length: END + 1 }, (_, i) => Math.exp(i === END ? end : bytes[i])),
        naive: naive ? Float64Array.from({ length: END + 1 }, (_, i) => Math.exp(naive[i] ?? -Infinity)) : null,
    };
}

/**
 * Which bytes get a row: the `top` with most probability under either distribution, sorted by the exact one.
 * @param {ArrayLike<number>} exact
 * @param {ArrayLike<number> | null} naive the other distribution, or null: none
 * @param {number} top
 * @returns {number[]}
 */
export function chooseRows(exact, naive, top) {
    /** @param {number} b */
    const weight = (b) => Math.max(exact[b], naive ? naive[b] : 0);
    return Array.from({ length: END }, (_, b) => b)
        .sort((a, b) => weight(b) - weight(a) || a - b)
        .slice(0, top)
        .sort((a, b) => exact[b] - exact[a] || weight(b) - weight(a) || a - b);
}

export class ByteDistribution extends HTMLElement {
    static observedAttributes = ['top', 'scale', 'exact-label', 'naive-label'];
    /** @type {ByteResult | null} */ #result = null;
    /** @type {Float64Array} */ #exact = new Float64Array(END + 1);
    /** @type {Float64Array | null} */ #naive = null;
    /** @type {Map<string, SVGElement>} */ #rows = new Map();
    #keys = h('span', { class: 'keys' });
    #plot = h('div', { class: 'plot' });
    #svg = s('svg', { role: 'img' });
    #grid = s('g');
    #body = s('g');
    #table = h('tbody');
    #head = h('thead');
    #caption = h('caption');
    #details = folded('All numbers as a table', () => this.#fillTable(), this.#caption, this.#head, this.#table);
    /** @type {Record<string, HTMLInputElement>} */ #radio = {};
    #fitted = new Fitted(this, this.#plot, () => this.#draw());

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        const field = h('fieldset', {}, h('legend', {}, 'Scale of the bars'));
        for (const scale of /** @type {const} */ (['linear', 'log'])) {
            const input = h('input', { type: 'radio', name: 'scale', value: scale });
            input.addEventListener('change', () => {
                this.scale = scale;
                this.dispatchEvent(new CustomEvent('mt-scale', { detail: { scale } }));
            });
            this.#radio[scale] = input;
            field.append(h('label', {}, input, h('span', {}, scale)));
        }
        const bar = h('div', { class: 'bar' }, this.#keys, field);
        this.#svg.append(
            s('defs', {}, s('pattern', { id: 'hatch', width: 5, height: 5, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
                s('rect', { class: 'hatch-ground', width: 5, height: 5 }), s('line', { class: 'hatch', x1: 0, y1: 0, x2: 0, y2: 5 }))),
            this.#grid,
            this.#body,
        );
        this.#plot.append(this.#svg);
        root.append(bar, this.#plot, this.#details);
    }

    connectedCallback() {
        this.#fitted.connect();
    }

    disconnectedCallback() {
        this.#fitted.disconnect();
    }

    attributeChangedCallback() {
        if (this.isConnected) this.#draw();
    }

    /** What is drawn; null: an empty chart. */
    get result() {
        return this.#result;
    }

    set result(result) {
        this.#result = result;
        const p = result ? probabilities(result) : { exact: new Float64Array(END + 1), naive: null };
        this.#exact = p.exact;
        this.#naive = p.naive;
        this.#draw();
    }

    /** "linear" or "log". */
    get scale() {
        return this.getAttribute('scale') === 'log' ? 'log' : 'linear';
    }

    set scale(scale) {
        this.setAttribute('scale', scale);
    }

    /** Share of probability that the tokenized prompt puts on the wrong bytes, 0..1; NaN without a result. */
    get totalVariation() {
        return this.#naive ? totalVariation(this.#exact, this.#naive) : NaN;
    }

    get #exactLabel() {
        return this.getAttribute('exact-label') ?? 'exact';
    }

    get #naiveLabel() {
        return this.getAttribute('naive-label') ?? 'tokenized prompt';
    }

    /** Share of the bar's full length, 0..1. @param {number} p */
    #length(p) {
        if (!(p > 0)) return 0; // NaN too
        if (this.scale === 'linear') return Math.min(1, p);
        return Math.max(0, Math.min(1, 1 - Math.log10(p) / LOG_FLOOR));
    }

    #draw() {
        this.#radio[this.scale].checked = true;
        this.#drawKeys();
        const top = Math.max(1, Math.min(256, Number(this.getAttribute('top')) || 10));
        const naive = this.#naive;
        const width = Math.max(240, this.#fitted.width || 480);
        const left = 48;
        const right = 68;
        const span = width - left - right;
        const bytes = this.#result ? chooseRows(this.#exact, naive, top) : Array.from({ length: top }, (_, i) => -1 - i);
        /** @type {{ key: string, glyph: string, kind: string, exact: number, naive: number }[]} */
        const rows = bytes.map((b) => {
            if (b < 0) return { key: `empty${b}`, glyph: '', kind: 'empty', exact: 0, naive: 0 };
            const { glyph, printable } = byteLabel(b);
            return { key: String(b), glyph, kind: printable ? 'glyph' : glyph.length > 1 ? 'small' : 'glyph', exact: this.#exact[b], naive: naive ? naive[b] : NaN };
        });
        if (this.#result) {
            const shown = new Set(bytes);
            let e = 0, n = 0;
            for (let b = 0; b < END; b++) {
                if (shown.has(b)) continue;
                e += this.#exact[b];
                n += naive ? naive[b] : 0;
            }
            rows.push({ key: 'end', glyph: 'end', kind: 'word extra', exact: this.#exact[END], naive: naive ? naive[END] : NaN });
            if (bytes.length < 256) rows.push({ key: 'others', glyph: 'others', kind: 'word others', exact: e, naive: naive ? n : NaN });
        }
        const gap = this.#result ? 8 : 0; // the two rows that are no bytes stand a little apart
        const height = TOP + rows.length * ROW + gap;
        this.#svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
        this.#svg.setAttribute('height', String(height));
        this.#drawGrid(left, span, height);

        const seen = new Set();
        rows.forEach((row, i) => {
            seen.add(row.key);
            let g = this.#rows.get(row.key);
            const fresh = !g;
            if (!g) {
                g = s('g', { class: `row ${row.kind}` },
                    s('text', { class: `label ${row.kind}`, x: left / 2 - 4, y: 20 }),
                    s('rect', { class: 'exact', x: left, y: 4, height: 13, rx: 1.5, width: 0 }),
                    s('rect', { class: 'naive', x: left, y: 19, height: 8.5, rx: 1.5, width: 0, fill: 'url(#hatch)' }),
                    s('text', { class: 'value e', y: 15 }),
                    s('text', { class: 'value n', y: 28 }));
                this.#rows.set(row.key, g);
            }
            if (g.parentNode !== this.#body) this.#body.append(g);
            const y = TOP + i * ROW + (row.kind.includes(' ') ? gap : 0);
            g.style.transform = `translateY(${y}px)`;
            const [label, exact, hatched, e, n] = /** @type {SVGElement[]} */ ([...g.children]);
            label.textContent = row.glyph;
            const lengths = [this.#length(row.exact), this.#length(row.naive || 0)];
            if (fresh) void g.getBoundingClientRect(); // bars of a new row grow from nothing
            exact.setAttribute('width', (span * lengths[0]).toFixed(2));
            hatched.setAttribute('width', (span * lengths[1]).toFixed(2));
            hatched.style.display = row.naive > 0 && span * lengths[1] > 0.2 ? '' : 'none';
            for (const [t, p] of /** @type {[SVGElement, number][]} */ ([[e, row.exact], [n, row.naive]])) {
                t.setAttribute('x', String(width));
                t.textContent = row.kind === 'empty' || Number.isNaN(p) ? '' : formatProbability(p, this.scale === 'log');
            }
        });
        for (const [key, g] of this.#rows) {
            if (seen.has(key)) continue;
            g.remove();
            this.#rows.delete(key);
        }
        this.#svg.setAttribute('aria-label', this.#describe(bytes));
        this.#fillTable();
    }

    #drawKeys() {
        const rect = (/** @type {string} */ kind) =>
            s('svg', { viewBox: '0 0 22 12', 'aria-hidden': 'true' },
                kind === 'exact'
                    ? s('rect', { class: 'exact', x: 0, y: 0, width: 22, height: 12, rx: 1.5 })
                    : s('rect', { class: 'naive', x: 1, y: 1.5, width: 20, height: 9, rx: 1.5, fill: 'url(#hatch)' }));
        const keys = [h('span', { class: 'key' }, rect('exact'), this.#exactLabel)];
        if (this.#naive || !this.#result) keys.push(h('span', { class: 'key' }, rect('naive'), this.#naiveLabel));
        this.#keys.replaceChildren(...keys);
    }

    /** @param {number} left @param {number} span @param {number} height */
    #drawGrid(left, span, height) {
        const narrow = span < 260;
        const ticks =
            this.scale === 'linear'
                ? [0, 0.25, 0.5, 0.75, 1].map((p) => ({ p, text: `${100 * p}%` }))
                : Array.from({ length: 1 - LOG_FLOOR }, (_, i) => 10 ** (LOG_FLOOR + i)).map((p, i) => ({
                      p,
                      text: p === 1 ? '100%' : p >= 0.0099 ? `${Math.round(100 * p)}%` : narrow && i % 2 ? '' : `10${superscript(LOG_FLOOR + i)}`,
                  }));
        this.#grid.replaceChildren(
            ...ticks.flatMap(({ p, text }) => {
                const x = left + span * (this.scale === 'linear' ? p : this.#length(p));
                return [
                    s('line', { class: 'grid', x1: x, x2: x, y1: TOP - 4, y2: height }),
                    s('text', { class: 'tick', x, y: 10, 'text-anchor': 'middle' }, text),
                ];
            }),
        );
    }

    /** @param {number[]} bytes */
    #describe(bytes) {
        if (!this.#result) return 'No distribution yet';
        const say = bytes.slice(0, 5).map((b) => {
            const naive = this.#naive ? `, ${this.#naiveLabel} ${formatProbability(this.#naive[b])}` : '';
            return `${byteLabel(b).name}: ${this.#exactLabel} ${formatProbability(this.#exact[b])}${naive}`;
        });
        const tv = this.#naive ? ` Total variation distance ${this.totalVariation.toFixed(3)}.` : '';
        return `Bar chart of the next byte. ${say.join('; ')}.${tv} All numbers are in the table below.`;
    }

    #fillTable() {
        if (!this.#details.open || !this.#result) {
            this.#table.replaceChildren();
            return;
        }
        const naive = this.#naive;
        this.#caption.textContent = 'Probability of every next byte, sorted by the exact one';
        const columns = ['byte', 'hex', this.#exactLabel, ...(naive ? [this.#naiveLabel, 'difference'] : [])];
        this.#head.replaceChildren(h('tr', {}, ...columns.map((c) => h('th', { scope: 'col' }, c))));
        const order = Array.from({ length: END + 1 }, (_, i) => i).sort((a, b) => this.#exact[b] - this.#exact[a] || a - b);
        this.#table.replaceChildren(
            ...order.map((b) => {
                const label = byteLabel(b);
                const cells = [h('td', {}, b === END ? '' : hexByte(b)), h('td', {}, precise(this.#exact[b]))];
                if (naive) cells.push(h('td', {}, precise(naive[b])), h('td', {}, precise(this.#exact[b] - naive[b])));
                return h('tr', { 'data-byte': String(b) }, h('th', { scope: 'row' }, label.printable ? label.glyph : label.name), ...cells);
            }),
        );
    }
}

/** Six significant digits. @param {number} p */
function precise(p) {
    if (p === 0) return '0';
    return Math.abs(p) >= 1e-4 ? p.toFixed(6) : p.toExponential(3);
}

/** @param {number} n */
function superscript(n) {
    return [...String(n)].map((c) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(c)] ?? '⁻').join('');
}

if (!customElements.get('mt-byte-distribution')) customElements.define('mt-byte-distribution', ByteDistribution);
