/**
 * <mt-lens-table>: a text in each cell, and a number that colours it. Made for what a model would say after each layer: layers
 * are rows, tokens are columns, a cell has the likeliest next token there and its probability.
 *
 *   const lens = document.querySelector('mt-lens-table');
 *   lens.data = {
 *     rows: ['layer 0', 'layer 1'], columns: ['Once', ' upon'], measure: 'probability',
 *     cells: [{ text: ' upon', value: 0.2, top: [[' upon', 0.2], [' more', 0.1]] }, …],      // row after row
 *   };
 *   lens.addEventListener('mt-cell', ({ detail }) => console.log(detail.row, detail.column));
 *
 * All columns are equally wide, so that large tables (some thousands of cells) are laid out at once.
 * The number is drawn twice: as the ground's colour and as the length of the line under the text. What else a cell has (`top`) stands
 * below the table, for the cell that is pointed at or chosen.
 *
 * Properties
 *   data      { rows, columns, cells, measure? } or null; cells: { text, value, top? }, value 0..1 (NaN: none), measure: what the value is
 *             (default "probability")
 *   selected  { row, column } or null; a cell that is set is scrolled to, inside the table
 * Events
 *   mt-cell   detail { row, column }: a cell was chosen with the pointer or with the keyboard
 * Attributes
 *   label     what the table is called (default "Table")
 *   corner    what stands above the rows' names
 *
 * Keyboard: one tab stop; arrows, Home, End, with Ctrl the corners, Page Up and Page Down. It is a table: a reader of tables reads it too.
 *
 * Custom properties: --mt-exact (values), --mt-naive (what is chosen), --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus, --mt-mono.
 */
import { formatProbability, h, HOST, sheet } from './format.js';
import { areTexts, isCell, moveInGrid, refusing, spokenText, visibleText } from './grid.js';

/** @typedef {{ text: string, value: number, top?: [string, number][] }} LensCell */
/** @typedef {{ rows: string[], columns: string[], cells: LensCell[], measure?: string }} LensData */
/** @typedef {{ row: number, column: number }} LensPlace */

const STYLE = sheet(`${HOST}
:host {
    font-size: .875rem;
}
.scroll { overflow: auto; max-height: min(34rem, 78vh); }
table { border-collapse: separate; border-spacing: 2px; table-layout: fixed; width: 0; }
col { width: 5.6rem; }
col:first-child { width: var(--_first, 6rem); }
th { font-weight: 500; color: var(--_muted); white-space: nowrap; background: var(--_surface); }
thead th { position: sticky; top: 0; z-index: 1; padding: .15rem .4rem; font-family: var(--_mono); font-size: .8125rem; overflow: hidden; text-overflow: ellipsis; }
tbody th { position: sticky; left: 0; z-index: 1; padding: 0 .6rem 0 0; text-align: left; overflow: hidden; text-overflow: ellipsis; }
thead th:first-child { left: 0; z-index: 2; font-family: inherit; text-align: left; }
.named { color: var(--_ink); font-weight: 700; }
td {
    height: 1.75rem; padding: 0 .4rem 3px; box-sizing: border-box; overflow: hidden; text-overflow: ellipsis; white-space: pre; unicode-bidi: plaintext;
    text-align: center; font-family: var(--_mono); font-size: .8125rem; border-radius: 4px; cursor: default;
    background: linear-gradient(var(--_exact), var(--_exact)) 0 100% / calc(100% * var(--v, 0)) 3px no-repeat, color-mix(in srgb, var(--_exact) calc(45% * var(--v, 0)), var(--_surface));
    scroll-margin: 2.2rem 2rem 2rem 7rem;
}
td:hover { outline: 1.5px solid var(--_muted); outline-offset: -1px; }
td[aria-selected=true] { outline: 2.5px solid var(--_naive); outline-offset: -2px; }
td:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: -1px; }
.detail { margin-top: .5rem; min-height: 4.4em; line-height: 1.4; }
.detail p { margin: 0 0 .3rem; overflow-wrap: anywhere; }
.detail b { font-family: var(--_mono); font-weight: 600; white-space: pre-wrap; }
.rest, .empty { color: var(--_muted); }
.empty { margin: 0; padding: 1.5rem 0; }
ol { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .3rem .5rem; }
li { border-bottom: 3px solid color-mix(in srgb, var(--_exact) calc(100% * max(.08, var(--v, 0))), var(--_line)); padding: 0 .2rem; font-variant-numeric: tabular-nums; white-space: pre-wrap; overflow-wrap: anywhere; }
li bdi { font-family: var(--_mono); }
@media (forced-colors: active) {
    :host { --_exact: CanvasText; --_focus: Highlight; --_naive: Highlight; --_surface: Canvas; --_line: GrayText; }
    td { forced-color-adjust: none; border: 1px solid GrayText; color: CanvasText; background-color: Canvas; }
}
`);

const SLICE = 600; // cells that are made at a time

const refuse = refusing('mt-lens-table');

/** @param {LensData} data @throws {MicrotomeError} ERANGE: what does not fit */
function check(data) {
    const { rows, columns, cells } = data ?? {};
    for (const [name, list] of Object.entries({ rows, columns }))
        if (!areTexts(list)) throw refuse(`${name}: a list of texts is needed, with one at least`);
    if (!Array.isArray(cells) || cells.length !== rows.length * columns.length) throw refuse(`cells: ${Array.isArray(cells) ? cells.length : 'no list'}, expected ${rows.length * columns.length}: ${rows.length} rows of ${columns.length}`);
    const wrong = cells.findIndex((cell) => typeof cell?.text !== 'string' || typeof cell.value !== 'number' || cell.value < 0 || cell.value > 1);
    if (wrong >= 0) throw refuse(`cell ${wrong % columns.length} of row ${Math.floor(wrong / columns.length)}: a text and a value in 0..1 are needed, not ${JSON.stringify(cells[wrong])}`);
}

export class LensTable extends HTMLElement {
    static observedAttributes = ['label', 'corner'];
    /** @type {LensData | null} */ #data = null;
    /** @type {LensPlace | null} */ #selected = null;
    /** @type {LensPlace} where the tab stop is */ #active = { row: 0, column: 0 };
    /** @type {HTMLTableCellElement[]} */ #cells = [];
    /** @type {HTMLTableCellElement[]} */ #names = [];
    /** Makes a row. @type {(row: number) => void} */ #row = () => {};
    #later = 0;
    #frame = 0;
    #table = h('table', { role: 'grid', 'aria-readonly': 'true' });
    #scroll = h('div', { class: 'scroll' }, this.#table);
    #detail = h('div', { class: 'detail' });
    #empty = h('p', { class: 'empty' }, 'Nothing to show yet.');

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        root.append(this.#empty, this.#scroll, this.#detail);
        this.#scroll.hidden = this.#detail.hidden = true;
        this.#table.addEventListener('keydown', (e) => {
            if (!this.#data) return;
            const to = moveInGrid(e, { row: this.#active.row, col: this.#active.column }, this.#data.rows.length, this.#data.columns.length);
            if (!to) return;
            e.preventDefault();
            this.#choose({ row: to.row, column: to.col }, true);
        });
        this.#table.addEventListener('click', (e) => {
            const at = this.#of(e.target);
            if (at) this.#choose(at, true);
        });
        this.#table.addEventListener('focusin', () => this.#show(this.#active));
        this.#table.addEventListener('pointerover', (e) => this.#show(this.#of(e.target) ?? this.#selected));
        this.#table.addEventListener('pointerleave', () => this.#show(this.#selected));
    }

    connectedCallback() {
        this.#name();
    }

    attributeChangedCallback() {
        this.#name();
    }

    #name() {
        this.#table.setAttribute('aria-label', this.getAttribute('label') ?? 'Table');
        const corner = this.#table.querySelector('thead th');
        if (corner) corner.textContent = this.#corner;
    }

    get #corner() {
        return this.getAttribute('corner') ?? 'row';
    }

    /** @param {EventTarget | null} target @returns {LensPlace | null} */
    #of(target) {
        const td = /** @type {Element | null} */ (target)?.closest?.('td'), i = td ? this.#cells.indexOf(td) : -1, width = this.#data?.columns.length ?? 1;
        return i < 0 ? null : { row: Math.floor(i / width), column: i % width };
    }

    /** What is drawn; null: nothing. */
    get data() {
        return this.#data;
    }

    /** @throws {MicrotomeError} ERANGE: cells that do not fit; what was drawn stays */
    set data(data) {
        if (data !== null) check(data);
        const hadFocus = this.#table.contains(this.shadowRoot?.activeElement ?? null);
        this.#data = data;
        this.#selected = null;
        this.#empty.hidden = data !== null;
        this.#scroll.hidden = this.#detail.hidden = data === null;
        this.#cells = [];
        this.#names = [];
        clearTimeout(this.#later);
        cancelAnimationFrame(this.#frame);
        if (!data) {
            this.#table.replaceChildren();
            return;
        }
        const { rows, columns, cells, measure = 'probability' } = data;
        this.#active = { row: Math.min(this.#active.row, rows.length - 1), column: Math.min(this.#active.column, columns.length - 1) };
        const tops = columns.map((text) => h('th', { scope: 'col', title: text }, h('bdi', {}, visibleText(text, 14))));
        const spoken = columns.map(spokenText);
        const heads = rows.map((name) => h('th', { scope: 'row' }, h('bdi', {}, name))), body = h('tbody');
        this.#names = [...heads, ...tops];
        this.#row = (r) => {
            const cellsOf = columns.map((_, c) => {
                const { text, value } = cells[r * columns.length + c];
                const td = h('td', { tabindex: '-1', 'aria-label': `${spokenText(text)}, ${measure} ${formatProbability(value)}; ${rows[r]}, ${c}: ${spoken[c]}` }, visibleText(text, 18));
                if (value > 0) td.style.setProperty('--v', String(value));
                return td;
            });
            this.#cells.push(...cellsOf);
            body.append(h('tr', {}, heads[r], ...cellsOf));
        };
        this.#table.style.setProperty('--_first', `${Math.min(11, 1.4 + 0.55 * Math.max(...rows.map((name) => name.length), this.#corner.length))}rem`);
        this.#table.setAttribute('aria-rowcount', String(rows.length + 1));
        this.#table.replaceChildren(h('colgroup', {}, ...['', ...columns].map(() => h('col'))), h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, this.#corner), ...tops)), body);
        this.#build(SLICE);
        this.#stop(this.#active, hadFocus);
        this.#show(null);
    }

    /** The chosen cell. */
    get selected() {
        return this.#selected && { ...this.#selected };
    }

    /** @throws {MicrotomeError} ERANGE: outside the table */
    set selected(place) {
        const { rows = [], columns = [] } = this.#data ?? {};
        if (place && !isCell({ row: place.row, col: place.column }, rows.length, columns.length)) throw refuse(`selected: row ${place.row}, column ${place.column} is not in a table of ${rows.length} by ${columns.length}`);
        this.#mark(place && { row: place.row, column: place.column });
        this.#show(this.#selected);
        cancelAnimationFrame(this.#frame);
        if (place) this.#frame = requestAnimationFrame(() => this.#reveal(place)); // by then it has its sizes
    }

    /** Scrolls the table, and nothing around it. @param {LensPlace} place */
    #reveal({ row, column }) {
        const edge = (/** @type {Element} */ element) => element.getBoundingClientRect(), box = edge(this.#scroll), cell = edge(this.#cellAt({ row, column }));
        const name = edge(this.#names[row]), head = edge(this.#names[(this.#data?.rows.length ?? 0) + column]), { clientWidth, clientHeight } = this.#scroll;
        this.#scroll.scrollLeft += Math.min(0, cell.left - box.left - name.width) || Math.max(0, cell.right - box.left - clientWidth);
        this.#scroll.scrollTop += Math.min(0, cell.top - box.top - head.height) || Math.max(0, cell.bottom - box.top - clientHeight);
    }

    /** Rows, until so many cells more are there; the others follow when the page has had its turn. @param {number} count */
    #build(count) {
        clearTimeout(this.#later);
        if (!this.#data) return;
        const { rows, columns } = this.#data, until = this.#cells.length + count;
        while (this.#cells.length < until && this.#cells.length < rows.length * columns.length) this.#row(this.#cells.length / columns.length);
        if (this.#cells.length < rows.length * columns.length) this.#later = window.setTimeout(() => this.#build(SLICE));
    }

    /** @param {LensPlace} place */
    #cellAt({ row, column }) {
        const i = row * (this.#data?.columns.length ?? 0) + column;
        if (i >= this.#cells.length) this.#build(i + 1 - this.#cells.length);
        return this.#cells[i];
    }

    /** @param {LensPlace | null} place */
    #mark(place) {
        if (this.#selected) this.#cellAt(this.#selected)?.removeAttribute('aria-selected');
        this.#selected = place;
        if (!place) return;
        this.#cellAt(place)?.setAttribute('aria-selected', 'true');
        this.#stop(place, false);
    }

    /** Moves the tab stop. @param {LensPlace} place @param {boolean} focus */
    #stop(place, focus) {
        this.#cellAt(this.#active)?.setAttribute('tabindex', '-1');
        this.#active = place;
        const td = this.#cellAt(place);
        td.setAttribute('tabindex', '0');
        if (focus) td.focus();
    }

    /** @param {LensPlace} place @param {boolean} focus */
    #choose(place, focus) {
        this.#mark(place);
        this.#stop(place, focus);
        this.#show(place);
        this.dispatchEvent(new CustomEvent('mt-cell', { detail: { ...place } }));
    }

    /** What a cell has, below the table. @param {LensPlace | null} place */
    #show(place) {
        const data = this.#data;
        for (const name of this.#names) name.classList.remove('named');
        if (!data) return;
        const { rows, columns, cells, measure = 'probability' } = data;
        if (!place) {
            this.#detail.replaceChildren(h('p', { class: 'rest' }, `${rows.length} rows, ${columns.length} columns; colour and line: ${measure}. Point at a cell, or walk with the arrow keys.`));
            return;
        }
        const { text, value, top = [] } = cells[place.row * columns.length + place.column];
        this.#names[place.row].classList.add('named');
        this.#names[rows.length + place.column].classList.add('named');
        const list = h('ol', {}, ...top.map(([other, v]) => {
            const li = h('li', {}, h('bdi', {}, visibleText(other, 30)), ` ${formatProbability(v)}`);
            li.style.setProperty('--v', String(Math.max(0, Math.min(1, v))));
            return li;
        }));
        this.#detail.replaceChildren(
            h('p', {}, `${rows[place.row]}, column ${place.column} `, h('b', {}, h('bdi', {}, visibleText(columns[place.column], 30))), ': ', h('b', {}, h('bdi', {}, visibleText(text, 60))), ` ${measure} ${formatProbability(value)}`),
            ...(top.length ? [list] : []));
    }
}

if (!customElements.get('mt-lens-table')) customElements.define('mt-lens-table', LensTable);
