/**
 * <mt-lattice>: every way to cut a word into tokens, as a wall of bricks over the word's bytes. Each brick is a token;
 * bricks that follow each other without a gap from the left end to the right end are a segmentation. The bottom row is
 * the one that was chosen. Pointing at a brick shows the best segmentation that goes through it.
 *
 *   const lattice = new Lattice(tokenizer, 'tokenization', { wholeText: true });
 *   const { ids } = tokenizer.encode('tokenization', { offsets: false });
 *   element.data = { text: 'tokenization', edges: lattice.edges.map((e) => ({ ...e, label: tokenizer.tokenPiece(e.id) })) };
 *
 * Properties and methods
 *   data       { text, edges: [{ from, to, label, weight?, best?, id? }] }, from and to in bytes of UTF-8; null: empty.
 *              weight: larger is better, a segmentation's score is their sum (default 0); best: part of the chosen one
 *   selected   index of an edge, or -1
 *   count      how many segmentations there are (a bigint)
 *   svg()      the picture as the text of an SVG file, in the colours on show
 * The module exports what it computes too: countPaths, bestThrough, layoutEdges.
 * Events
 *   mt-edge    detail { index, edge }; index -1 when nothing is pointed at
 * Keyboard: one tab stop. Right and left: to a token that begins where this one ends, or ends where it begins; up and
 * down: longer and shorter tokens with the same beginning; Home and End: the chosen segmentation's ends.
 *
 * Attributes
 *   label      what the picture is called (default "All segmentations")
 *   limit      at most this many bricks are drawn, longest left out first (default 1200); the table has all
 *
 * Custom properties: --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus, --mt-exact, --mt-naive, --mt-mono.
 */
import { folded, h, HOST, sheet, visible } from './format.js';
import { Fitted, s, standalone } from './svg.js';

/** @typedef {{ from: number, to: number, label: string, weight?: number, best?: boolean, id?: number }} Edge */
/** @typedef {{ text: string, edges: Edge[] }} LatticeData */

const ROW = 30; // pixels from one row of bricks to the next
const BRICK = 25;
const RULER = 44; // the word itself, below the bricks
const EDGE = 8; // left and right of the first and last byte
const GLYPH = 8.1; // width of a character of a label

const STYLE = sheet(`${HOST}
.scroll { overflow: auto; max-height: 26rem; background: var(--_surface); }
.scroll:focus-visible, summary:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 2px; border-radius: 3px; }
svg { display: block; }
.brick { cursor: pointer; outline: none; }
.brick rect { fill: color-mix(in srgb, var(--_muted) 10%, var(--_surface)); stroke: var(--_muted); stroke-width: 1; }
.brick text { font: 13px var(--_mono); fill: var(--_ink); text-anchor: middle; white-space: pre; }
.brick.best rect { fill: color-mix(in srgb, var(--_exact) 22%, var(--_surface)); stroke: var(--_exact); stroke-width: 2; }
.brick.best text { font-weight: 600; }
.brick.through rect { fill: color-mix(in srgb, var(--_naive) 24%, var(--_surface)); stroke: var(--_naive); stroke-width: 2; }
.brick:hover rect { stroke-width: 2.5; }
.brick:focus-visible rect { stroke: var(--_focus); stroke-width: 3; }
.dim .brick:not(.through) { opacity: .45; }
.tick { stroke: var(--_line); stroke-width: 1; }
.tick.character { stroke: var(--_muted); }
.glyph { font: 600 16px var(--_mono); fill: var(--_ink); text-anchor: middle; }
.byte { font: 10px system-ui, sans-serif; fill: var(--_muted); text-anchor: middle; }
.detail { margin: .5rem 0 0; min-height: 2.8em; font-size: .875rem; line-height: 1.4; color: var(--_muted); overflow-wrap: anywhere; }
.detail code { font: .8125rem/1.4 var(--_mono); color: var(--_ink); white-space: pre-wrap; }
details { margin-top: .4rem; font-size: .875rem; }
summary { cursor: pointer; color: var(--_muted); padding: .25rem 0; width: fit-content; min-height: 1.5rem; }
details .scroll { max-height: 22rem; border: 1px solid var(--_line); border-radius: 6px; margin-top: .4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .5rem .75rem; color: var(--_muted); }
th, td { text-align: right; padding: .22rem .75rem; white-space: nowrap; }
th { font-weight: 600; }
thead th { position: sticky; top: 0; background: var(--_surface); box-shadow: 0 1px var(--_line); }
tbody th { font-family: var(--_mono); text-align: left; white-space: pre; }
thead th:first-child { text-align: left; }
@media (prefers-reduced-motion: no-preference) { .brick { transition: opacity .15s; } }
@media (forced-colors: active) {
    .brick rect { fill: Canvas; stroke: CanvasText; }
    .brick.best rect { stroke-width: 3; }
    .brick.through rect { stroke: Highlight; stroke-width: 3; }
    .brick text, .glyph, .byte { fill: CanvasText; }
    .tick, .tick.character { stroke: GrayText; }
    .dim .brick:not(.through) { opacity: 1; }
}
`);

/** Edges in the order of their beginnings: every path passes them in this order. @param {Edge[]} edges @returns {number[]} indices */
const inOrder = (edges) => edges.map((_, i) => i).sort((a, b) => edges[a].from - edges[b].from || edges[a].to - edges[b].to || a - b);

/**
 * How many segmentations there are in all, and through each edge.
 * @param {number} n where the text ends, in bytes @param {Edge[]} edges each with from < to
 * @returns {{ total: bigint, through: bigint[] }} total: in all; through: each edge
 */
export function countPaths(n, edges) {
    const order = inOrder(edges);
    /** @type {Map<number, bigint>} */ const before = new Map([[0, 1n]]);
    /** @type {Map<number, bigint>} */ const after = new Map([[n, 1n]]);
    for (const i of order) before.set(edges[i].to, (before.get(edges[i].to) ?? 0n) + (before.get(edges[i].from) ?? 0n));
    for (const i of order.reverse()) after.set(edges[i].from, (after.get(edges[i].from) ?? 0n) + (after.get(edges[i].to) ?? 0n));
    return { total: n ? before.get(n) ?? 0n : 1n, through: edges.map(({ from, to }) => (before.get(from) ?? 0n) * (after.get(to) ?? 0n)) };
}

/**
 * The segmentation with the largest sum of weights among those through an edge; of equals the one with fewer tokens.
 * @param {number} n where the text ends, in bytes @param {Edge[]} edges each with from < to @param {number} index of the edge
 * @returns {{ path: number[], score: number } | null} score: the sum; path: indices of edges from left to right; null: no segmentation has it
 */
export function bestThrough(n, edges, index) {
    const order = inOrder(edges);
    /** @typedef {{ score: number, count: number, edge: number }} Best */
    const better = (/** @type {Best} */ a, /** @type {Best | undefined} */ b) => !b || a.score > b.score || (a.score === b.score && a.count < b.count);
    /** @param {number[]} list @param {number} start @param {'from' | 'to'} here @param {'from' | 'to'} there */
    const sweep = (list, start, here, there) => {
        /** @type {Map<number, Best>} */ const best = new Map([[start, { score: 0, count: 0, edge: -1 }]]);
        for (const i of list) {
            const base = best.get(edges[i][here]);
            if (!base) continue;
            const made = { score: base.score + (edges[i].weight ?? 0), count: base.count + 1, edge: i };
            if (better(made, best.get(edges[i][there]))) best.set(edges[i][there], made);
        }
        return best;
    };
    const left = sweep(order, 0, 'from', 'to');
    const right = sweep([...order].sort((a, b) => edges[b].to - edges[a].to), n, 'to', 'from');
    const { from, to, weight = 0 } = edges[index], l = left.get(from), r = right.get(to);
    if (!l || !r) return null;
    const path = [index];
    for (let at = from; at > 0;) {
        const { edge } = /** @type {Best} */ (left.get(at));
        path.unshift(edge);
        at = edges[edge].from;
    }
    for (let at = to; at < n;) {
        const { edge } = /** @type {Best} */ (right.get(at));
        path.push(edge);
        at = edges[edge].to;
    }
    return { path, score: l.score + weight + r.score };
}

/**
 * A row for each edge: the chosen segmentation at the bottom, short tokens below long ones, no two in one place.
 * @param {Edge[]} edges each with from < to @returns {{ rows: number[], count: number }} rows: of each edge, 0 at the bottom; count: of rows
 */
export function layoutEdges(edges) {
    const rows = edges.map(() => 0);
    /** @type {Set<number>[]} */ const taken = [new Set()]; // bytes, of each row
    const chosen = edges.some((e) => e.best);
    const order = edges.map((_, i) => i).sort((a, b) => Number(edges[b].best ?? false) - Number(edges[a].best ?? false) || edges[a].to - edges[a].from - (edges[b].to - edges[b].from) || edges[a].from - edges[b].from);
    for (const i of order) {
        const { from, to, best } = edges[i];
        let row = chosen && !best ? 1 : 0;
        const free = () => {
            taken[row] ??= new Set();
            for (let at = from; at < to; at++) if (taken[row].has(at)) return false;
            return true;
        };
        while (!free()) row++;
        for (let at = from; at < to; at++) taken[row].add(at);
        rows[i] = row;
    }
    return { rows, count: taken.length };
}

/** A label in so many characters. @param {string} label @param {number} most */
const cut = (label, most) => ([...label].length > most ? (most > 1 ? `${[...label].slice(0, most - 1).join('')}…` : '·') : label);
const number = (/** @type {number} */ x) => String(Math.round(x * 1000) / 1000).replace('-', '−');

/** Large counts as powers. @param {bigint} n */
function counted(n) {
    const text = n.toString();
    return text.length < 4 ? text : text.length > 12 ? `${text[0]}.${text.slice(1, 3)}e${text.length - 1}` : n.toLocaleString('en');
}

export class LatticeView extends HTMLElement {
    static observedAttributes = ['label', 'limit'];
    /** @type {LatticeData | null} */ #data = null;
    #length = 0; // of the text, in bytes
    /** @type {{ total: bigint, through: bigint[] }} */ #paths = { total: 0n, through: [] };
    /** @type {Map<number, SVGElement>} */ #bricks = new Map();
    /** @type {number} index of the edge with the tab stop */ #active = -1;
    #selected = -1;
    #frame = 0;
    #svg = s('svg', { role: 'group' });
    #scroll = h('div', { class: 'scroll' }, this.#svg);
    #detail = h('p', { class: 'detail', 'aria-live': 'polite' });
    #rows = h('tbody');
    #caption = h('caption');
    #details;
    #fitted = new Fitted(this, this.#scroll, () => this.#draw(), () => this.#data !== null);

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        const head = h('thead', {}, h('tr', {}, ...['token', 'id', 'from byte', 'to byte', 'weight', 'segmentations'].map((name) => h('th', { scope: 'col' }, name))));
        this.#details = folded('All tokens as a table', () => this.#fillTable(), this.#caption, head, this.#rows);
        root.append(this.#scroll, this.#detail, this.#details);
        const at = (/** @type {Event} */ e) => Number(/** @type {Element} */ (e.target).closest('.brick')?.getAttribute('data-i') ?? -1);
        this.#svg.addEventListener('pointerover', (e) => this.#select(at(e)));
        this.#svg.addEventListener('pointerleave', () => this.#select(this.shadowRoot?.activeElement?.closest('.brick') ? this.#active : -1));
        this.#svg.addEventListener('click', (e) => at(e) >= 0 && this.#moveTo(at(e), true));
        this.#svg.addEventListener('focusin', (e) => {
            if (at(e) < 0) return;
            this.#moveTo(at(e), false);
            this.#select(at(e));
        });
        this.#svg.addEventListener('focusout', () => this.#select(-1));
        this.#svg.addEventListener('keydown', (e) => this.#key(/** @type {KeyboardEvent} */ (e)));
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

    /** What is drawn. */
    get data() {
        return this.#data;
    }

    set data(data) {
        this.#data = data;
        this.#length = data ? new TextEncoder().encode(data.text).length : 0;
        const bad = data?.edges.findIndex(({ from, to }) => !(Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= this.#length)) ?? -1;
        if (data && bad >= 0) throw new RangeError(`mt-lattice: edge ${bad} goes from ${data.edges[bad].from} to ${data.edges[bad].to}, the text has ${this.#length} bytes`);
        this.#paths = data ? countPaths(this.#length, data.edges) : { total: 0n, through: [] };
        this.#active = -1;
        this.#selected = -1;
        this.#draw();
    }

    /** Index of the edge that is pointed at, or -1. */
    get selected() {
        return this.#selected;
    }

    set selected(index) {
        this.#select(index);
    }

    /** How many segmentations there are, exactly. */
    get count() {
        return this.#paths.total;
    }

    #draw() {
        const data = this.#data, edges = data?.edges ?? [], n = this.#length;
        const limit = Math.max(1, Number(this.getAttribute('limit')) || 1200);
        const shown = edges.map((_, i) => i).sort((a, b) => Number(edges[b].best ?? false) - Number(edges[a].best ?? false) || edges[a].to - edges[a].from - (edges[b].to - edges[b].from)).slice(0, limit).sort((a, b) => a - b);
        const { rows, count } = layoutEdges(shown.map((i) => edges[i]));
        const cell = Math.max(22, Math.min(64, ((this.#fitted.width || 640) - 2 * EDGE) / Math.max(1, n)));
        const width = Math.ceil(n * cell + 2 * EDGE), wall = edges.length ? count * ROW : 0, height = wall + RULER;
        const hadFocus = !!this.shadowRoot?.activeElement?.closest('.brick');
        for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}`, 'aria-label': `${this.getAttribute('label') ?? 'All segmentations'}: ${edges.length} tokens, ${counted(this.#paths.total)} segmentations` })) this.#svg.setAttribute(name, String(value));
        this.#scroll.hidden = !edges.length;

        // The word, character by character over its bytes.
        const ruler = s('g', { 'aria-hidden': 'true' });
        let at = 0;
        for (const character of data?.text ?? '') {
            const size = new TextEncoder().encode(character).length;
            ruler.append(s('line', { class: 'tick character', x1: EDGE + at * cell, x2: EDGE + at * cell, y1: wall - 2, y2: wall + 26 }));
            for (let k = 1; k < size; k++) ruler.append(s('line', { class: 'tick', x1: EDGE + (at + k) * cell, x2: EDGE + (at + k) * cell, y1: wall - 2, y2: wall + 8 }));
            ruler.append(s('text', { class: 'glyph', x: EDGE + (at + size / 2) * cell, y: wall + 20 }, /^\p{M}/u.test(character) ? `◌${character}` : visible(character)));
            at += size;
        }
        if (n) ruler.append(s('line', { class: 'tick character', x1: EDGE + n * cell, x2: EDGE + n * cell, y1: wall - 2, y2: wall + 26 }));
        const every = n > 40 ? 10 : n > 12 ? 5 : 1;
        for (let b = 0; b <= n; b += every) ruler.append(s('text', { class: 'byte', x: EDGE + b * cell, y: wall + 39 }, String(b)));

        this.#bricks = new Map();
        const nodes = shown.map((i, k) => {
            const { from, to, label, best, id, weight } = edges[i], x = EDGE + from * cell + 1.5, w = (to - from) * cell - 3;
            const text = cut(visible(label), Math.max(1, Math.floor((w - 4) / GLYPH)));
            const spoken = `${label.replace(/^ +/, 'space ')}, bytes ${from} to ${to}${id === undefined ? '' : `, id ${id}`}${weight === undefined ? '' : `, weight ${number(weight)}`}${best ? ', chosen' : ''}`;
            const y = wall - (rows[k] + 1) * ROW + (ROW - BRICK) / 2;
            const brick = s('g', { class: best ? 'brick best' : 'brick', role: 'button', tabindex: '-1', 'data-i': i, 'aria-label': spoken },
                s('rect', { x, y, width: w, height: BRICK, rx: 4 }), s('text', { x: x + w / 2, y: y + BRICK / 2 + 4.5 }, text));
            this.#bricks.set(i, brick);
            return brick;
        });
        this.#svg.replaceChildren(...(n ? [ruler] : []), ...nodes);
        if (!this.#bricks.has(this.#active)) this.#active = shown.find((i) => edges[i].best && edges[i].from === 0) ?? shown[0] ?? -1;
        this.#bricks.get(this.#active)?.setAttribute('tabindex', '0');
        if (hadFocus) /** @type {any} */ (this.#bricks.get(this.#active))?.focus();
        this.#show();
        if (edges.length) this.#frame ||= requestAnimationFrame(() => { // when the page is laid out anyway
            this.#frame = 0;
            this.#scroll.scrollTop = this.#scroll.scrollHeight;
        });
        this.#caption.textContent = `${edges.length} tokens over ${n} bytes, ${counted(this.#paths.total)} segmentations${shown.length < edges.length ? `; the picture leaves ${edges.length - shown.length} out` : ''}`;
        this.#details.hidden = !edges.length;
        this.#fillTable();
    }

    /** Only when it is open: there may be thousands. */
    #fillTable() {
        if (!this.#details.open) {
            this.#rows.replaceChildren();
            return;
        }
        this.#rows.replaceChildren(...(this.#data?.edges ?? []).map(({ from, to, label, weight, id }, i) =>
            h('tr', {}, h('th', { scope: 'row' }, h('bdi', {}, visible(label))), ...[id ?? '', from, to, weight === undefined ? '' : number(weight), counted(this.#paths.through[i])].map((value) => h('td', {}, String(value))))));
    }

    /** @param {number} i index of an edge, or -1 */
    #select(i) {
        const index = this.#data?.edges[i] ? i : -1;
        if (index === this.#selected) return;
        this.#selected = index;
        this.#show();
        this.dispatchEvent(new CustomEvent('mt-edge', { detail: { index, edge: this.#data?.edges[index] ?? null } }));
    }

    #show() {
        const data = this.#data, i = this.#selected;
        const found = data && i >= 0 ? bestThrough(this.#length, data.edges, i) : null;
        const path = new Set(found?.path ?? []);
        for (const [k, brick] of this.#bricks) brick.classList.toggle('through', path.has(k));
        this.#svg.classList.toggle('dim', path.size > 0);
        if (!data || !data.edges.length) {
            this.#detail.textContent = data?.text ? 'No token of this vocabulary fits into the word.' : '';
        } else if (i < 0) {
            const { total } = this.#paths;
            this.#detail.textContent = `${counted(total)} ${total === 1n ? 'segmentation' : 'segmentations'} from ${data.edges.length} tokens. ${data.edges.some((e) => e.best) ? 'The bottom row is the chosen one.' : ''}`;
        } else {
            const { label, id, from, to, weight } = data.edges[i];
            this.#detail.replaceChildren(
                'Token ', h('code', {}, h('bdi', {}, label)), id === undefined ? '' : ` (id ${id})`, `, bytes ${from} to ${to}`, weight === undefined ? '' : `, weight ${number(weight)}`,
                `: in ${counted(this.#paths.through[i])} of ${counted(this.#paths.total)} segmentations. `,
                ...(found ? ['The best of them: ', h('code', {}, h('bdi', {}, found.path.map((k) => data.edges[k].label).join(' | '))), weight === undefined ? '' : `, ${number(found.score)}`] : []),
            );
        }
    }

    /** @param {number} i @param {boolean} focus */
    #moveTo(i, focus) {
        this.#bricks.get(this.#active)?.setAttribute('tabindex', '-1');
        this.#active = i;
        const brick = this.#bricks.get(i);
        brick?.setAttribute('tabindex', '0');
        if (focus) /** @type {any} */ (brick)?.focus();
    }

    /** @param {KeyboardEvent} e */
    #key(e) {
        const edges = this.#data?.edges ?? [], here = edges[this.#active];
        if (!here || e.altKey || e.ctrlKey || e.metaKey) return;
        const shown = [...this.#bricks.keys()];
        /** @param {number[]} list @returns {number | undefined} the chosen one, else the longest */
        const prefer = (list) => list.find((i) => edges[i].best) ?? list.sort((a, b) => edges[b].to - edges[b].from - (edges[a].to - edges[a].from))[0];
        const same = shown.filter((i) => edges[i].from === here.from).sort((a, b) => edges[a].to - edges[b].to || a - b), place = same.indexOf(this.#active);
        const to =
            e.key === 'ArrowRight' ? prefer(shown.filter((i) => edges[i].from === here.to))
            : e.key === 'ArrowLeft' ? prefer(shown.filter((i) => edges[i].to === here.from))
            : e.key === 'ArrowUp' ? same[place + 1]
            : e.key === 'ArrowDown' ? same[place - 1]
            : e.key === 'Home' ? prefer(shown.filter((i) => edges[i].from === 0))
            : e.key === 'End' ? prefer(shown.filter((i) => edges[i].to === this.#length))
            : null;
        if (to === null) return;
        e.preventDefault();
        if (to !== undefined) this.#moveTo(to, true);
    }

    /** The picture as the text of an SVG file, in the colours on show. @returns {string} */
    svg() {
        return standalone(this.#svg, this.#scroll);
    }
}

if (!customElements.get('mt-lattice')) customElements.define('mt-lattice', LatticeView);
