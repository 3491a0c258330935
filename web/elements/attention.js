/**
 * <mt-attention>: which tokens look at which. One head's weights, or the mean of all heads, as a matrix or as curves.
 *
 *   const view = document.querySelector('mt-attention');
 *   const pattern = traces['blocks.3.attn.hook_pattern'].data;
 *   view.data = { tokens: ['Once', ' upon', ' a'], heads: 4, pattern };   // float32 [heads, T, T], as Model.run traces
 *   view.addEventListener('mt-cell', ({ detail }) => console.log(detail.head, detail.row, detail.col));
 *
 * A row is a token that looks, a column one that is looked at. The cells stand on a canvas that draws only what is in view; a
 * small picture of each head chooses it.
 *
 * Properties
 *   data      { tokens, pattern, heads, queries?, rows? } or null. tokens: texts of the columns; pattern: [heads, rows, tokens], weights 0..1;
 *             queries: the rows are only the last so many tokens; rows: the texts of the rows where they are other tokens (cross-attention)
 *   head      a number, or 'mean'
 *   view      'matrix' or 'arcs'
 *   selected  { row, col } or null
 * Events
 *   mt-cell   detail { head, row, col }: a cell was chosen with the pointer or with the keyboard
 *   mt-head   detail { head }        mt-view   detail { view }
 * Attributes
 *   label     what the grid is called (default "Attention")
 *   scale     "linear" (default) or "root": darkness grows with the square root, which shows small weights
 *   bare      no choice of heads and views: the page has its own
 *
 * Keyboard: one tab stop in the grid; arrows, Home, End, with Ctrl the corners, Page Up and Page Down. Every cell is read out with its tokens and
 * its weight; a table below has the weights of a row in all heads.
 *
 * Custom properties: --mt-exact (weights), --mt-naive (what is chosen), --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus, --mt-mono.
 */
import { MicrotomeError } from '../runtime/errors.js';
import { folded, formatProbability, h, HOST, sheet, VISUALLY_HIDDEN } from './format.js';
import { areTexts, isCell, moveInGrid, refusing, spokenText, visibleText } from './grid.js';

/** @typedef {import('./grid.js').Cell} Cell */
/** @typedef {{ tokens: string[], pattern: Float32Array, heads: number, queries?: number, rows?: string[] }} AttentionData */
/** @typedef {number | 'mean'} Head */
/** @typedef {{ tokens: string[], rows: string[], pattern: Float32Array, heads: number, mean: Map<number, Float32Array> }} Checked mean: of the heads, row by row as they are asked for */
/** @typedef {{ key: string, up: number, canvas: HTMLCanvasElement }} Layer all curves, seen from so far down */
/** @typedef {{ ink: string, muted: string, line: string, surface: string, weight: string, chosen: string }} Palette */

const LEAST_CELL = 5, MOST_CELL = 36; // pixels
const ARC_ROW = 24; // height of a token beside the curves
const LINE = 12; // a label needs so much
const THUMB = 40;
const SLICE = 6; // milliseconds of drawing at a time
const FAINT = 0.02; // weights below it are no curve
const CURVES = 250; // that are drawn in one frame
const FONT = 12;

const STYLE = sheet(`${HOST}
:host {
    font-size: .875rem;
}
:host([bare]) .controls { display: none; }
.controls { display: flex; flex-wrap: wrap; gap: .6rem 1.4rem; align-items: end; margin-bottom: .7rem; }
fieldset { border: 0; margin: 0; padding: 0; min-width: 0; display: flex; flex-wrap: wrap; gap: 6px; }
legend { padding: 0; margin-bottom: .25rem; color: var(--_muted); }
fieldset label { position: relative; cursor: pointer; display: block; }
fieldset input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: pointer; }
.heads span { display: grid; gap: 2px; justify-items: center; min-width: ${THUMB + 8}px; padding: 3px 3px 2px; border: 1px solid var(--_line); border-radius: 6px; color: var(--_muted); font-size: .8125rem; line-height: 1.2; }
.heads canvas { display: block; width: ${THUMB}px; height: ${THUMB}px; background: var(--_surface); }
.heads { max-height: 13rem; overflow: auto; padding: 3px; margin: -3px; }
.views span { display: block; padding: .2rem .7rem; min-height: 1.3rem; line-height: 1.3rem; border: 1px solid var(--_muted); color: var(--_muted); }
.views { gap: 0; }
.views label:first-of-type span { border-radius: 6px 0 0 6px; }
.views label:last-of-type span { border-radius: 0 6px 6px 0; border-left: 0; }
.views input:checked + span { background: var(--_ink); border-color: var(--_ink); color: var(--_surface); }
.heads input:checked + span { border-color: var(--_ink); box-shadow: 0 0 0 1px var(--_ink); color: var(--_ink); font-weight: 600; }
fieldset input:focus-visible + span { outline: 2.5px solid var(--_focus); outline-offset: 2px; }
.scroll { position: relative; overflow: auto; max-height: min(36rem, 78vh); touch-action: pan-x pan-y; }
.space { position: relative; }
.space > canvas { position: sticky; top: 0; left: 0; display: block; cursor: crosshair; }
[role=grid] { position: absolute; inset: 0; pointer-events: none; }
[role=row] { position: static; }
[role=rowheader] { ${VISUALLY_HIDDEN} }
[role=gridcell] { position: absolute; outline: none; border-radius: 4px; }
[role=gridcell]:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 1px; }
.readout { margin: .5rem 0 0; min-height: 2.8em; line-height: 1.4; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.readout b { font-family: var(--_mono); font-weight: 600; white-space: pre-wrap; }
.readout .rest, .empty { color: var(--_muted); }
.empty { margin: 0; padding: 1.5rem 0; }
details { margin-top: .3rem; }
summary { cursor: pointer; color: var(--_muted); padding: .25rem 0; width: fit-content; border-radius: 3px; min-height: 1.25rem; }
summary:focus-visible, details .scroll:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 2px; }
details .scroll { max-height: 20rem; border: 1px solid var(--_line); border-radius: 6px; margin-top: .3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .5rem .75rem; color: var(--_muted); }
th, td { text-align: right; padding: .2rem .75rem; white-space: nowrap; }
th { font-weight: 600; }
thead th { position: sticky; top: 0; background: var(--_surface); box-shadow: 0 1px var(--_line); }
tbody th, thead th:first-child { text-align: left; }
tbody th { font-family: var(--_mono); font-weight: 400; }
.probe { display: none; forced-color-adjust: none; }
@media (forced-colors: active) {
    :host { --_ink: CanvasText; --_muted: CanvasText; --_line: GrayText; --_surface: Canvas; --_exact: CanvasText; --_naive: Highlight; --_focus: Highlight; }
    .views input:checked + span, .heads input:checked + span { forced-color-adjust: none; background: Highlight; color: HighlightText; border-color: Highlight; }
    .space > canvas, .heads canvas { forced-color-adjust: none; }
}
`);

const refuse = refusing('mt-attention');

/** @param {AttentionData} data @returns {Checked} @throws {MicrotomeError} ERANGE: what does not fit */
function check(data) {
    const { tokens, pattern, heads, queries, rows } = data ?? {};
    if (!areTexts(tokens)) throw refuse('tokens: a list of texts is needed, with one at least');
    if (!Number.isInteger(heads) || heads < 1) throw refuse(`heads: ${heads} is not a whole number from 1 on`);
    if (rows !== undefined && !areTexts(rows)) throw refuse('rows: a list of texts is needed, with one at least');
    if (queries !== undefined && (rows || !Number.isInteger(queries) || queries < 1 || queries > tokens.length)) throw refuse(`queries: ${queries} is not a whole number in 1..${tokens.length}${rows ? '; rows were given too' : ''}`);
    const asking = rows ?? (queries === undefined ? tokens : tokens.slice(-queries));
    const expected = heads * asking.length * tokens.length;
    if (!(pattern instanceof Float32Array) || pattern.length !== expected)
        throw refuse(`pattern: ${pattern instanceof Float32Array ? `${pattern.length} numbers` : 'no Float32Array'}, expected ${expected}: [${heads} heads, ${asking.length} rows, ${tokens.length} tokens]`);
    return { tokens, rows: asking, pattern, heads, mean: new Map() };
}

export class Attention extends HTMLElement {
    static observedAttributes = ['label', 'scale'];
    /** @type {Checked | null} */ #data = null;
    /** @type {Head} */ #head = 'mean';
    /** @type {'matrix' | 'arcs'} */ #view = 'matrix';
    /** @type {Cell | null} */ #selected = null;
    /** @type {Cell} where the tab stop is */ #active = { row: 0, col: 0 };
    /** @type {Cell | null} under the pointer; a column of -1: a whole row */ #hover = null;
    /** The cells in view, a pixel each. */ #image = /** @type {CanvasRenderingContext2D} */ (h('canvas').getContext('2d'));
    /** Places, in pixels. */ #at = { left: 0, top: 0, cell: 0, labels: 0 };
    /** @type {Layer | null} */ #curves = null;
    /** @type {Layer & { work: Generator<void> } | null} the next one, while it is drawn */ #making = null;
    #frame = 0;
    #later = 0;
    /** @type {AbortController | null} */ #listeners = null;
    #canvas = h('canvas', { 'aria-hidden': 'true' });
    #grid = h('div', { role: 'grid', 'aria-readonly': 'true' });
    #space = h('div', { class: 'space' }, this.#canvas, this.#grid);
    #scroll = h('div', { class: 'scroll' }, this.#space);
    #heads = h('fieldset', { class: 'heads' });
    #views = h('fieldset', { class: 'views' }, h('legend', {}, 'View'));
    #controls = h('div', { class: 'controls' }, this.#heads, this.#views);
    #readout = h('p', { class: 'readout' });
    #caption = h('caption');
    #columns = h('thead');
    #rows = h('tbody');
    #details = folded('The row as a table', () => this.#fill(), this.#caption, this.#columns, this.#rows);
    #body = h('div', {}, this.#controls, this.#scroll, this.#readout, this.#details);
    #empty = h('p', { class: 'empty' }, 'No attention yet.');
    /** @type {Record<keyof Palette, HTMLElement>} */ #probes;
    /** @type {HTMLElement | null} */ #cell = null;
    #observer = new ResizeObserver(() => this.#plan());

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        const probe = (/** @type {string} */ name) => {
            const el = h('span', { class: 'probe' });
            el.style.color = `var(--_${name})`;
            root.append(el);
            return el;
        };
        this.#probes = { ink: probe('ink'), muted: probe('muted'), line: probe('line'), surface: probe('surface'), weight: probe('exact'), chosen: probe('naive') };
        for (const view of /** @type {const} */ (['matrix', 'arcs'])) {
            const input = h('input', { type: 'radio', name: 'view', value: view });
            input.checked = view === 'matrix';
            input.addEventListener('change', () => {
                this.view = view;
                this.dispatchEvent(new CustomEvent('mt-view', { detail: { view } }));
            });
            this.#views.append(h('label', {}, input, h('span', {}, view === 'matrix' ? 'matrix' : 'curves')));
        }
        this.#body.hidden = true;
        root.append(this.#empty, this.#body);
        this.#scroll.addEventListener('scroll', () => this.#plan(), { passive: true });
        this.#canvas.addEventListener('pointermove', (e) => this.#point(this.#under(e)));
        this.#canvas.addEventListener('pointerleave', () => this.#point(null));
        this.#canvas.addEventListener('click', (e) => {
            const at = this.#under(e);
            if (!at) return;
            this.#moveTo(at.col < 0 ? { row: at.row, col: this.#strongest(at.row) } : at, true);
        });
        this.#grid.addEventListener('keydown', (e) => {
            if (!this.#data) return;
            const to = moveInGrid(e, this.#active, this.#data.rows.length, this.#data.tokens.length);
            if (!to) return;
            e.preventDefault();
            this.#moveTo(to, true);
        });
        this.#grid.addEventListener('focusin', () => this.#say());
    }

    connectedCallback() {
        this.#observer.observe(this.#scroll);
        this.#listeners = new AbortController();
        for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)'])
            matchMedia(query).addEventListener('change', () => this.#repaint(), { signal: this.#listeners.signal });
        this.#repaint();
    }

    disconnectedCallback() {
        this.#observer.disconnect();
        this.#listeners?.abort();
        cancelAnimationFrame(this.#frame);
        this.#frame = 0;
        clearTimeout(this.#later);
    }

    attributeChangedCallback() {
        if (this.isConnected) this.#repaint();
    }

    /** What is drawn; null: nothing. @returns {AttentionData | null} */
    get data() {
        if (!this.#data) return null;
        const { tokens, rows, pattern, heads } = this.#data;
        return { tokens, rows, pattern, heads };
    }

    /** @throws {MicrotomeError} ERANGE: numbers that do not fit the tokens; what was drawn stays */
    set data(data) {
        const checked = data === null ? null : check(data);
        this.#data = checked;
        this.#curves = this.#making = null;
        this.#hover = null;
        this.#selected = null;
        this.#body.hidden = !checked;
        this.#empty.hidden = !!checked;
        if (checked) {
            if (this.#head !== 'mean' && this.#head >= checked.heads) this.#head = 'mean';
            this.#active = { row: Math.min(this.#active.row, checked.rows.length - 1), col: Math.min(this.#active.col, checked.tokens.length - 1) };
        }
        this.#listHeads();
        this.#repaint();
    }

    /** Which head is drawn. */
    get head() {
        return this.#head;
    }

    /** @throws {MicrotomeError} ERANGE: no such head */
    set head(head) {
        if (head !== 'mean' && !(Number.isInteger(head) && head >= 0 && head < (this.#data?.heads ?? Infinity))) throw refuse(`head: ${String(head)}: 'mean' or a whole number below ${this.#data?.heads}`);
        this.#head = head;
        const input = /** @type {HTMLInputElement | null} */ (this.#heads.querySelector(`input[value="${head}"]`));
        if (input) input.checked = true;
        this.#place(false);
        this.#plan();
        this.#say();
    }

    /** 'matrix' or 'arcs'. */
    get view() {
        return this.#view;
    }

    /** @throws {MicrotomeError} EUNKNOWN */
    set view(view) {
        if (view !== 'matrix' && view !== 'arcs') throw new MicrotomeError(`mt-attention: unknown view ${JSON.stringify(view)}: known are matrix, arcs`, { code: 'EUNKNOWN' });
        this.#view = view;
        /** @type {HTMLInputElement} */ (this.#views.querySelector(`input[value=${view}]`)).checked = true;
        this.#scroll.scrollTo(0, 0);
        this.#layout();
        this.#plan();
    }

    /** The chosen cell. */
    get selected() {
        return this.#selected && { ...this.#selected };
    }

    /** @throws {MicrotomeError} ERANGE: outside the grid */
    set selected(cell) {
        const { rows = [], tokens = [] } = this.#data ?? {};
        if (cell && !isCell(cell, rows.length, tokens.length)) throw refuse(`selected: row ${cell.row}, column ${cell.col} is not in a grid of ${rows.length} by ${tokens.length}`);
        this.#selected = cell && { row: cell.row, col: cell.col };
        if (cell) this.#active = { row: cell.row, col: cell.col };
        this.#place(false);
        this.#plan();
        this.#say();
        this.#fill();
    }

    // ---- numbers ---------------------------------------------------------------------------------------------------

    /** Where a row looks: the weight of each token. @param {number} row @param {Head} [head] @returns {Float32Array} */
    #weights(row, head = this.#head) {
        const { rows, tokens, pattern, heads, mean } = /** @type {Checked} */ (this.#data), T = tokens.length;
        const of = (/** @type {number} */ k) => pattern.subarray((k * rows.length + row) * T, (k * rows.length + row + 1) * T);
        if (head !== 'mean') return of(head);
        let sum = mean.get(row);
        if (!sum) {
            mean.set(row, (sum = new Float32Array(T)));
            for (let k = 0; k < heads; k++) for (let i = 0, w = of(k); i < T; i++) sum[i] += w[i];
            for (let i = 0; i < T; i++) sum[i] /= heads;
        }
        return sum;
    }

    /** The token that a row looks at most. @param {number} row */
    #strongest(row) {
        const w = this.#weights(row);
        let best = 0;
        for (let col = 1; col < w.length; col++) if (w[col] > w[best]) best = col;
        return best;
    }

    /** Darkness of a weight, 0..1. @returns {(w: number) => number} */
    get #shade() {
        const root = this.getAttribute('scale') === 'root';
        return (w) => (w > 0 ? Math.min(1, root ? Math.sqrt(w) : w) : 0);
    }

    get #headName() {
        return this.#head === 'mean' ? `mean of ${this.#data?.heads} heads` : `head ${this.#head}`;
    }

    // ---- choosing --------------------------------------------------------------------------------------------------

    /** @param {Cell} cell @param {boolean} focus */
    #moveTo(cell, focus) {
        this.#selected = this.#active = cell;
        this.#hover = null;
        this.#reveal(cell);
        this.#place(focus);
        this.#plan();
        this.#say();
        this.#fill();
        this.dispatchEvent(new CustomEvent('mt-cell', { detail: { head: this.#head, ...cell } }));
    }

    /** @param {Cell | null} at */
    #point(at) {
        if (at?.row === this.#hover?.row && at?.col === this.#hover?.col) return;
        this.#hover = at;
        this.#plan();
        this.#say();
    }

    /** The cell under the pointer. @param {MouseEvent} event @returns {Cell | null} */
    #under({ offsetX, offsetY }) {
        if (!this.#data) return null;
        const { left, top, cell, labels } = this.#at, { rows, tokens } = this.#data;
        const x = offsetX + this.#scroll.scrollLeft, y = offsetY + this.#scroll.scrollTop;
        if (this.#view === 'matrix') {
            if (offsetY < top) return null;
            const row = Math.floor((y - top) / cell), col = offsetX < left ? -1 : Math.floor((x - left) / cell);
            return row >= 0 && row < rows.length && col < tokens.length ? { row, col } : null;
        }
        const line = Math.floor(y / ARC_ROW);
        if (x < left) return line < rows.length ? { row: line, col: -1 } : null;
        if (x < this.#scroll.clientWidth - labels) return null;
        return line < tokens.length ? { row: this.#active.row, col: line } : null;
    }

    /** Scrolls a cell into view, clear of the labels. @param {Cell} cell */
    #reveal({ row, col }) {
        const { left, top, cell } = this.#at, { clientWidth, clientHeight } = this.#scroll;
        if (this.#view === 'arcs') {
            const y = col * ARC_ROW;
            if (y < this.#scroll.scrollTop || y + ARC_ROW > this.#scroll.scrollTop + clientHeight) this.#scroll.scrollTop = y - clientHeight / 2;
            return;
        }
        const into = (/** @type {number} */ now, /** @type {number} */ from, /** @type {number} */ room) => Math.min(from, Math.max(from + cell - room, now));
        this.#scroll.scrollTop = into(this.#scroll.scrollTop, row * cell, clientHeight - top);
        this.#scroll.scrollLeft = into(this.#scroll.scrollLeft, col * cell, clientWidth - left);
    }

    /** Puts the cell of the tab stop where it is drawn. A new one each time, so that it is read out. @param {boolean} focus */
    #place(focus) {
        if (!this.#data) {
            this.#grid.replaceChildren();
            this.#cell = null;
            return;
        }
        const { rows, tokens } = this.#data, { row, col } = this.#active, { left, top, cell, labels } = this.#at;
        const w = this.#weights(row)[col];
        const header = h('span', { role: 'rowheader' }, `${row}: ${spokenText(rows[row])}`);
        const fresh = h('span', {
            role: 'gridcell', tabindex: '0', 'aria-colindex': String(col + 1), 'aria-selected': String(this.#selected?.row === row && this.#selected?.col === col),
            'aria-label': `${spokenText(rows[row])}, ${row}, looks at ${spokenText(tokens[col])}, ${col}: ${formatProbability(w)}, ${this.#headName}`,
        });
        const [x, y, width, height] = this.#view === 'matrix'
            ? [left + (col + 0.5) * cell, top + (row + 0.5) * cell, Math.max(24, cell), Math.max(24, cell)]
            : [this.#scroll.clientWidth - labels / 2, (col + 0.5) * ARC_ROW, labels, ARC_ROW];
        Object.assign(fresh.style, { left: `${x - width / 2}px`, top: `${y - height / 2}px`, width: `${width}px`, height: `${height}px` });
        const line = h('div', { role: 'row', 'aria-rowindex': String(row + 1) }, header, fresh);
        const had = this.#cell?.matches(':focus') ?? false, old = [...this.#grid.children];
        this.#grid.append(line);
        this.#cell = fresh;
        if (focus || had) fresh.focus({ preventScroll: true });
        for (const el of old) el.remove();
        this.#grid.setAttribute('aria-label', `${this.getAttribute('label') ?? 'Attention'}, ${this.#headName}`);
        this.#grid.setAttribute('aria-rowcount', String(rows.length));
        this.#grid.setAttribute('aria-colcount', String(tokens.length));
    }

    #say() {
        if (!this.#data) return;
        const { rows, tokens } = this.#data, T = tokens.length;
        const at = this.#hover ?? (this.#grid.matches(':focus-within') ? this.#active : this.#selected);
        if (!at) {
            this.#readout.replaceChildren(h('span', { class: 'rest' }, `${this.#headName}; ${rows.length} rows that look, ${T} tokens that are looked at. Point at a cell, or walk with the arrow keys.`));
            return;
        }
        const w = this.#weights(at.row);
        const name = (/** @type {string} */ text) => h('b', {}, h('bdi', {}, visibleText(text, 24)));
        const most = Array.from(w, (_, i) => i).sort((a, b) => w[b] - w[a] || a - b).slice(0, 3).filter((i) => w[i] > 0);
        const parts = at.col < 0 ? [name(rows[at.row]), ` (${at.row}) looks`] : [name(rows[at.row]), ` (${at.row}) looks at `, name(tokens[at.col]), ` (${at.col}): ${formatProbability(w[at.col])}`];
        this.#readout.replaceChildren(...parts, h('span', { class: 'rest' }, `, ${this.#headName}. Most at `, ...most.flatMap((i, k) => [k ? ', ' : '', name(tokens[i]), ` ${formatProbability(w[i])}`])));
    }

    #fill() {
        if (!this.#details.open || !this.#data) return this.#rows.replaceChildren();
        const { rows, tokens, heads } = this.#data, { row } = this.#selected ?? this.#active;
        const all = /** @type {Head[]} */ (['mean', ...Array.from({ length: heads }, (_, k) => k)]);
        const weights = all.map((head) => this.#weights(row, head));
        this.#caption.replaceChildren(`What row ${row}, `, h('bdi', {}, visibleText(rows[row])), ', looks at: the weight of each token in each head');
        this.#columns.replaceChildren(h('tr', {}, ...['token', ...all.map((head) => (head === 'mean' ? 'mean' : `head ${head}`))].map((name) => h('th', { scope: 'col' }, name))));
        this.#rows.replaceChildren(...tokens.map((token, i) => h('tr', {}, h('th', { scope: 'row' }, `${i} `, h('bdi', {}, visibleText(token))), ...weights.map((w) => h('td', {}, formatProbability(w[i]))))));
    }

    // ---- drawing ---------------------------------------------------------------------------------------------------

    #listHeads() {
        const heads = this.#data?.heads ?? 0;
        if (this.#heads.querySelectorAll('input').length !== (heads > 1 ? heads + 1 : heads)) {
            const all = heads > 1 ? ['mean', ...Array.from({ length: heads }, (_, k) => k)] : heads ? [0] : [];
            this.#heads.replaceChildren(h('legend', {}, 'Head'), ...all.map((head) => {
                const input = h('input', { type: 'radio', name: 'head', value: String(head) });
                input.addEventListener('change', () => {
                    this.head = /** @type {Head} */ (head);
                    this.dispatchEvent(new CustomEvent('mt-head', { detail: { head } }));
                });
                return h('label', {}, input, h('span', {}, h('canvas', { width: String(THUMB), height: String(THUMB), 'aria-hidden': 'true' }), String(head)));
            }));
        }
        if (heads === 1 && this.#head === 'mean') this.#head = 0;
        this.#heads.hidden = heads < 2;
        for (const input of this.#heads.querySelectorAll('input')) input.checked = input.value === String(this.#head);
    }

    /** Colours may have changed: everything anew. */
    #repaint() {
        this.#layout();
        this.#plan();
        this.#say();
        this.#fill();
        clearTimeout(this.#later);
        if (this.#data && this.isConnected && this.#data.heads > 1) this.#drawHeads(this.#thumbs(this.#palette().weight));
    }

    /** The small pictures, a little at a time: many heads of a long text are millions of weights. @param {Generator<void>} left */
    #drawHeads(left) {
        this.#later = window.setTimeout(() => {
            for (const until = performance.now() + SLICE; performance.now() < until; ) if (left.next().done) return;
            this.#drawHeads(left);
        });
    }

    /** @returns {Palette} */
    #palette() {
        return /** @type {Palette} */ (Object.fromEntries(Object.entries(this.#probes).map(([name, el]) => [name, getComputedStyle(el).color])));
    }

    /** The heads in small, a line of pixels at a time: the darkest of what falls onto a pixel. @param {string} colour @returns {Generator<void>} */
    *#thumbs(colour) {
        const { rows, tokens } = /** @type {Checked} */ (this.#data), Q = rows.length, T = tokens.length, shade = this.#shade, pixel = pixelOf(colour);
        const span = (/** @type {number} */ i, /** @type {number} */ n) => [Math.floor((i * n) / THUMB), Math.max(Math.floor((i * n) / THUMB) + 1, Math.floor(((i + 1) * n) / THUMB))];
        for (const { value, parentElement } of this.#heads.querySelectorAll('input')) {
            const head = value === 'mean' ? value : Number(value), context = /** @type {CanvasRenderingContext2D} */ (parentElement?.querySelector('canvas')?.getContext('2d'));
            const image = context.createImageData(THUMB, THUMB), pixels = new Uint32Array(image.data.buffer);
            for (let y = 0; y < THUMB; y++) {
                const [y0, y1] = span(y, Q), most = new Float32Array(THUMB);
                for (let i = y0; i < y1; i++)
                    for (let x = 0, w = this.#weights(i, head); x < THUMB; x++) for (let [j, x1] = span(x, T); j < x1; j++) if (w[j] > most[x]) most[x] = w[j];
                for (let x = 0; x < THUMB; x++) pixels[y * THUMB + x] = pixel(shade(most[x]));
                yield;
            }
            context.putImageData(image, 0, 0);
        }
    }

    /** Sizes, from the width that there is. */
    #layout() {
        if (!this.#data || !this.isConnected) return this.#place(false);
        const { rows, tokens } = this.#data, width = this.#scroll.clientWidth;
        if (!width) return;
        const context = this.#context();
        const widest = (/** @type {string[]} */ list) => list.reduce((most, t) => Math.max(most, context.measureText(visibleText(t, 14)).width), 0);
        if (this.#view === 'matrix') {
            const left = Math.ceil(Math.min(width / 3, widest(rows) + 12)), top = Math.ceil(widest(tokens) + 12);
            const cell = Math.max(LEAST_CELL, Math.min(MOST_CELL, Math.floor((width - left - 2) / tokens.length)));
            this.#at = { left, top, cell, labels: 0 };
            this.#size(left + cell * tokens.length + 1, top + cell * rows.length + 1);
        } else {
            const left = Math.ceil(Math.min(width / 3, widest(rows) + 14)), labels = Math.ceil(Math.min(width / 3, Math.max(30, widest(tokens) + 14)));
            this.#at = { left, top: 0, cell: ARC_ROW, labels };
            this.#size(width, ARC_ROW * Math.max(rows.length, tokens.length));
        }
        this.#place(false);
    }

    /** @param {number} width @param {number} height of all that is drawn */
    #size(width, height) {
        Object.assign(this.#space.style, { width: `${width}px`, height: `${height}px` });
    }

    #context() {
        const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext('2d'));
        context.font = `${FONT}px ${getComputedStyle(this).getPropertyValue('--_mono') || 'monospace'}`;
        return context;
    }

    #plan() {
        if (this.#frame || !this.isConnected) return;
        this.#frame = requestAnimationFrame(() => {
            this.#frame = 0;
            this.#draw();
        });
    }

    #width = 0;
    #draw() {
        if (!this.#data || !this.#scroll.clientWidth) return;
        if (this.#scroll.clientWidth !== this.#width) {
            this.#width = this.#scroll.clientWidth;
            this.#layout();
        }
        const width = Math.min(this.#scroll.clientWidth, this.#space.offsetWidth), height = Math.min(this.#scroll.clientHeight, this.#space.offsetHeight);
        const density = globalThis.devicePixelRatio || 1;
        if (this.#canvas.width !== Math.round(width * density) || this.#canvas.height !== Math.round(height * density)) {
            this.#canvas.width = Math.round(width * density);
            this.#canvas.height = Math.round(height * density);
            Object.assign(this.#canvas.style, { width: `${width}px`, height: `${height}px` });
        }
        const context = this.#context();
        context.setTransform(density, 0, 0, density, 0, 0);
        context.clearRect(0, 0, width, height);
        context.textBaseline = 'middle';
        const palette = this.#palette();
        if (this.#view === 'matrix') this.#drawMatrix(context, palette, width, height);
        else this.#drawArcs(context, palette, width, height);
    }

    /** Some cells of the head, a pixel each. @param {string} colour @param {number} i0 @param {number} i1 @param {number} j0 @param {number} j1 */
    #pixels(colour, i0, i1, j0, j1) {
        const { canvas } = this.#image, shade = this.#shade, pixel = pixelOf(colour), image = this.#image.createImageData(j1 - j0, i1 - i0), pixels = new Uint32Array(image.data.buffer);
        for (let i = i0, at = 0; i < i1; i++) for (let j = j0, w = this.#weights(i); j < j1; j++) pixels[at++] = pixel(shade(w[j]));
        canvas.width = j1 - j0;
        canvas.height = i1 - i0;
        this.#image.putImageData(image, 0, 0);
        return canvas;
    }

    /** @param {CanvasRenderingContext2D} c @param {Palette} palette @param {number} width @param {number} height */
    #drawMatrix(c, palette, width, height) {
        const { rows, tokens } = /** @type {Checked} */ (this.#data), { left, top, cell } = this.#at;
        const dx = left - this.#scroll.scrollLeft, dy = top - this.#scroll.scrollTop;
        const Q = rows.length, T = tokens.length, mark = this.#hover ?? this.#selected;
        c.save();
        c.beginPath();
        c.rect(left, top, width - left, height - top);
        c.clip();
        c.imageSmoothingEnabled = false;
        const [i0, i1] = [Math.max(0, Math.floor((top - dy) / cell)), Math.min(Q, Math.ceil((height - dy) / cell))];
        const [j0, j1] = [Math.max(0, Math.floor((left - dx) / cell)), Math.min(T, Math.ceil((width - dx) / cell))];
        if (i1 > i0 && j1 > j0) c.drawImage(this.#pixels(palette.weight, i0, i1, j0, j1), dx + j0 * cell, dy + i0 * cell, (j1 - j0) * cell, (i1 - i0) * cell);
        if (cell >= 9) {
            c.strokeStyle = palette.line;
            c.lineWidth = 1;
            c.beginPath();
            for (let i = i0; i <= i1; i++) c.moveTo(Math.max(left, dx), dy + i * cell + 0.5), c.lineTo(dx + T * cell, dy + i * cell + 0.5);
            for (let j = j0; j <= j1; j++) c.moveTo(dx + j * cell + 0.5, Math.max(top, dy)), c.lineTo(dx + j * cell + 0.5, dy + Q * cell);
            c.stroke();
        } else {
            c.strokeStyle = palette.line;
            c.strokeRect(dx + 0.5, dy + 0.5, T * cell - 1, Q * cell - 1);
        }
        for (const [at, colour] of /** @type {[Cell | null, string][]} */ ([[this.#hover, palette.muted], [this.#selected, palette.chosen]])) {
            if (!at) continue;
            c.strokeStyle = colour;
            c.lineWidth = 1;
            c.strokeRect(dx - 0.5, dy + at.row * cell + 0.5, T * cell, cell);
            if (at.col < 0) continue;
            c.strokeRect(dx + at.col * cell + 0.5, dy - 0.5, cell, Q * cell);
            c.lineWidth = 2.5;
            c.strokeRect(dx + at.col * cell - 0.5, dy + at.row * cell - 0.5, cell + 2, cell + 2);
        }
        c.restore();

        const every = Math.max(1, Math.ceil(LINE / cell));
        /** @param {string} text @param {boolean} strong */
        const label = (text, strong) => {
            c.fillStyle = strong ? palette.ink : palette.muted;
            c.textAlign = 'end';
            c.fillText(visibleText(text, 14), 0, 0);
        };
        /** Only every few-th has room; the one that is pointed at always, and its neighbours give way. @param {number} i @param {number | undefined} shown */
        const has = (i, shown) => (shown !== undefined && shown >= 0 && Math.abs(i - shown) < every ? i === shown : i % every === 0);
        c.save();
        c.beginPath();
        c.rect(0, top - 2, left, height - top + 2);
        c.clip();
        for (let i = i0; i < i1; i++) {
            if (!has(i, mark?.row)) continue;
            c.save();
            c.translate(left - 6, dy + (i + 0.5) * cell);
            label(rows[i], i === mark?.row);
            c.restore();
        }
        c.restore();
        c.save();
        c.beginPath();
        c.rect(left - 2, 0, width - left + 2, top);
        c.clip();
        for (let j = j0; j < j1; j++) {
            if (!has(j, mark?.col)) continue;
            c.save();
            c.translate(dx + (j + 0.5) * cell, top - 6);
            c.rotate(Math.PI / 2);
            label(tokens[j], j === mark?.col);
            c.restore();
        }
        c.restore();
    }

    /**
     * The curves that are in view: of all rows, of one, or a single one; some at a time. (By their number: browsers put off the work of a stroke, so that no clock sees it.)
     * @param {CanvasRenderingContext2D} c @param {string} colour @param {number} width @param {number} height @param {number} up @param {number} [row] @param {number} [col] @returns {Generator<void>}
     */
    *#stroke(c, colour, width, height, up, row, col) {
        const { rows, tokens } = /** @type {Checked} */ (this.#data), { left, labels } = this.#at, shade = this.#shade, x0 = left + 4, x1 = width - labels - 4, middle = (x0 + x1) / 2;
        const y = (/** @type {number} */ i) => (i + 0.5) * ARC_ROW - up;
        c.lineCap = 'round';
        c.strokeStyle = colour;
        let drawn = 0;
        for (let i = row ?? 0; i <= (row ?? rows.length - 1); i++) {
            for (let j = col ?? 0, w = this.#weights(i); j <= (col ?? tokens.length - 1); j++) {
                const v = w[j];
                if (!(v >= FAINT)) continue;
                if ((y(i) < -ARC_ROW && y(j) < -ARC_ROW) || (y(i) > height + ARC_ROW && y(j) > height + ARC_ROW)) continue;
                c.globalAlpha = shade(v);
                c.lineWidth = 1 + 3 * v;
                c.beginPath();
                c.moveTo(x0, y(i));
                c.bezierCurveTo(middle, y(i), middle, y(j), x1, y(j));
                c.stroke();
                if (++drawn % CURVES === 0) yield;
            }
        }
    }

    /** @param {CanvasRenderingContext2D} c @param {Palette} palette @param {number} width @param {number} height */
    #drawArcs(c, palette, width, height) {
        const { rows, tokens } = /** @type {Checked} */ (this.#data), { left, labels } = this.#at, up = this.#scroll.scrollTop;
        const mark = this.#hover ?? this.#selected, key = [this.#head, this.getAttribute('scale'), palette.weight, left, labels, this.#canvas.width, this.#canvas.height].join();
        if (this.#curves?.key !== key || this.#curves.up !== up) {
            if (this.#making?.key !== key || this.#making.up !== up) {
                const canvas = this.#making?.canvas ?? h('canvas');
                [canvas.width, canvas.height] = [this.#canvas.width, this.#canvas.height];
                const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
                context.setTransform(c.getTransform());
                this.#making = { key, up, canvas, work: this.#stroke(context, palette.weight, width, height, up) };
            }
            if (this.#making.work.next().done) [this.#curves, this.#making] = [this.#making, null];
            else this.#plan();
        }
        const layer = this.#curves?.key === key ? this.#curves : /** @type {Layer} */ (this.#making);
        c.globalAlpha = mark ? 0.12 : 1;
        c.drawImage(layer.canvas, 0, layer.up - up, width, height);
        if (mark) for (const _ of this.#stroke(c, palette.weight, width, height, up, mark.row));
        if (mark && mark.col >= 0) for (const _ of this.#stroke(c, palette.chosen, width, height, up, mark.row, mark.col));
        c.globalAlpha = 1;
        const side = (/** @type {string[]} */ list, /** @type {number} */ x, /** @type {'end' | 'start'} */ align, /** @type {number | undefined} */ strong) => {
            c.textAlign = align;
            for (let i = Math.max(0, Math.floor(up / ARC_ROW)); i < Math.min(list.length, Math.ceil((up + height) / ARC_ROW)); i++) {
                c.fillStyle = i === strong || strong === undefined || strong < 0 ? palette.ink : palette.muted;
                c.fillText(visibleText(list[i], 14), x, (i + 0.5) * ARC_ROW - up);
            }
        };
        side(rows, left - 2, 'end', mark?.row);
        side(tokens, width - labels + 2, 'start', mark?.col);
    }
}

/** @param {string} colour as getComputedStyle writes it: rgb(r, g, b) @returns {(alpha: number) => number} a pixel of it, as its four bytes lie in memory */
function pixelOf(colour) {
    const bytes = new Uint8Array([...(colour.match(/[\d.]+/g) ?? ['34', '104', '178']).slice(0, 3).map(Number), 0]), whole = new Uint32Array(bytes.buffer);
    return (alpha) => {
        bytes[3] = Math.round(255 * alpha);
        return whole[0];
    };
}

if (!customElements.get('mt-attention')) customElements.define('mt-attention', Attention);
