/**
 * <mt-logit-bars>: what a sum is made of. A bar for each part, left or right of zero: what the parts of a model add to a logit, the
 * norms of a residual stream, the terms of a score.
 *
 *   const bars = document.querySelector('mt-logit-bars');
 *   bars.data = { title: 'Logit of “ time”', unit: 'logits', total: 7.1, parts: [{ name: 'embedding', value: -0.4 }, { name: 'head 3.1', value: 5.2 }] };
 *   bars.addEventListener('mt-part', ({ detail }) => console.log(detail.index));
 *
 * Properties
 *   data      { title, parts: { name, value }[], total?, unit? } or null; total: a last bar, which need not be the sum; unit: of all values
 *   selected  index of the chosen part, or -1
 * Events
 *   mt-part   detail { index }: a part was chosen with the pointer or with the keyboard
 * Attributes
 *   sort      "value": largest first, "size": furthest from zero first; default: as given
 *   limit     at most so many bars; the others are added up in one more (with `sort` the last ones)
 *
 * Keyboard: one tab stop; up and down, Home and End choose. Each bar is read out with its value, so the list is its own table.
 *
 * Custom properties: --mt-exact (bars to the right), --mt-naive (to the left), --mt-exact-ink, --mt-naive-ink, --mt-ink, --mt-muted, --mt-line, --mt-focus.
 */
import { h, HOST, sheet, VISUALLY_HIDDEN } from './format.js';
import { refusing } from './grid.js';

/** @typedef {{ name: string, value: number }} Part */
/** @typedef {{ title: string, parts: Part[], total?: number, unit?: string }} PartsData */

const STYLE = sheet(`${HOST}
:host {
    font-size: .875rem;
    container-type: inline-size;
}
h3 { margin: 0 0 .5rem; font-size: .9375rem; font-weight: 600; overflow-wrap: anywhere; }
.unit { font-weight: 400; color: var(--_muted); }
.list { max-height: 38rem; overflow: auto; padding: 3px; margin: -3px; }
.part { display: grid; position: relative; grid-template-columns: minmax(5rem, 11rem) minmax(0, 1fr) 4.6rem; gap: .6rem; align-items: center; min-height: 1.6rem; border-radius: 4px; }
[role=option] { cursor: default; }
[role=option]:hover { background: color-mix(in srgb, var(--_line) 45%, transparent); }
[role=option][aria-selected=true] { background: color-mix(in srgb, var(--_exact) 14%, transparent); box-shadow: inset 3px 0 var(--_exact); }
[role=option]:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 0; }
.name { padding-left: .5rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.track { position: relative; height: 1.05rem; }
.track::before { content: ''; position: absolute; left: var(--zero); top: -.3rem; bottom: -.3rem; width: 1px; background: var(--_muted); }
.fill { position: absolute; top: 0; bottom: 0; left: var(--from); width: max(1px, var(--length)); border-radius: 1.5px; background: var(--_exact); }
.less .fill { background: repeating-linear-gradient(135deg, var(--_naive) 0 3px, color-mix(in srgb, var(--_naive) 55%, transparent) 3px 5px); }
.value { text-align: right; padding-right: .5rem; font-variant-numeric: tabular-nums; white-space: nowrap; color: var(--_exact-ink); }
.less .value { color: var(--_naive-ink); }
i { ${VISUALLY_HIDDEN} }
.total { border-top: 1px solid var(--_muted); border-radius: 0; margin-top: .3rem; padding-top: .2rem; font-weight: 600; }
.rest .name, .empty { color: var(--_muted); }
.empty { margin: 0; padding: 1.5rem 0; }
@container (max-width: 22rem) { .part { grid-template-columns: minmax(4rem, 7rem) minmax(0, 1fr) 4rem; gap: .35rem; } }
@media (forced-colors: active) {
    :host { --_focus: Highlight; }
    .fill { forced-color-adjust: none; background: CanvasText; }
    .less .fill { background: repeating-linear-gradient(135deg, CanvasText 0 3px, Canvas 3px 5px); }
    .track::before { background: CanvasText; }
    [role=option][aria-selected=true] { outline: 2px solid Highlight; }
}
`);

const refuse = refusing('mt-logit-bars');

/** With its sign, four digits. @param {number} x */
function signed(x) {
    if (Number.isNaN(x)) return '–';
    const size = Math.abs(x);
    const text = !Number.isFinite(x) ? '∞' : size !== 0 && (size < 1e-3 || size >= 1e5) ? size.toExponential(1) : size >= 1000 ? size.toFixed(0) : String(Number(size.toPrecision(3)));
    return x < 0 ? `−${text}` : x > 0 ? `+${text}` : '0';
}

export class LogitBars extends HTMLElement {
    static observedAttributes = ['sort', 'limit'];
    /** @type {PartsData | null} */ #data = null;
    #selected = -1;
    /** @type {HTMLElement[]} */ #options = [];
    /** Index of each option's part. @type {number[]} */ #order = [];
    #active = 0;
    #unit = h('span', { class: 'unit' });
    #title = h('span');
    #head = h('h3', { id: 'title' }, this.#title, this.#unit);
    #list = h('div', { role: 'listbox', 'aria-labelledby': 'title' });
    #others = h('div');
    #scroll = h('div', { class: 'list' }, this.#list, this.#others);
    #total = h('div');
    #empty = h('p', { class: 'empty' }, 'Nothing to show yet.');

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        root.append(this.#empty, this.#head, this.#scroll, this.#total);
        this.#list.addEventListener('keydown', (e) => {
            if (e.altKey || e.ctrlKey || e.metaKey) return;
            const last = this.#options.length - 1;
            const to = e.key === 'ArrowUp' ? this.#active - 1 : e.key === 'ArrowDown' ? this.#active + 1 : e.key === 'Home' ? 0 : e.key === 'End' ? last : e.key === 'Enter' || e.key === ' ' ? this.#active : NaN;
            if (Number.isNaN(to)) return;
            e.preventDefault();
            this.#choose(Math.max(0, Math.min(last, to)));
        });
        this.#list.addEventListener('click', (e) => {
            const i = this.#options.indexOf(/** @type {HTMLElement} */ (/** @type {Element} */ (e.target).closest('[role=option]')));
            if (i >= 0) this.#choose(i);
        });
        this.#render();
    }

    attributeChangedCallback() {
        this.#render();
    }

    /** What is drawn; null: nothing. */
    get data() {
        return this.#data;
    }

    /** @throws {MicrotomeError} ERANGE: parts without a name or a number; what was drawn stays */
    set data(data) {
        if (data !== null) {
            if (!Array.isArray(data?.parts)) throw refuse('parts: a list of { name, value } is needed');
            const wrong = data.parts.findIndex((part) => typeof part?.name !== 'string' || typeof part.value !== 'number');
            if (wrong >= 0) throw refuse(`part ${wrong}: a name and a number are needed, not ${JSON.stringify(data.parts[wrong])}`);
            if (data.total !== undefined && typeof data.total !== 'number') throw refuse(`total: ${String(data.total)} is no number`);
        }
        this.#data = data;
        this.#selected = -1;
        this.#render();
    }

    /** Index of the chosen part; -1: none. */
    get selected() {
        return this.#selected;
    }

    /** @throws {MicrotomeError} ERANGE: no such part */
    set selected(index) {
        const n = this.#data?.parts.length ?? 0;
        if (!Number.isInteger(index) || index < -1 || index >= n) throw refuse(`selected: ${index} is not a whole number in -1..${n - 1}`);
        this.#selected = index;
        this.#mark();
    }

    #render() {
        const data = this.#data;
        this.#empty.hidden = !!data?.parts.length;
        this.#head.hidden = this.#scroll.hidden = this.#total.hidden = !data?.parts.length;
        if (!data?.parts.length) return this.#list.replaceChildren();
        const hadFocus = this.#list.contains(this.shadowRoot?.activeElement ?? null);
        const { title, parts, total, unit = '' } = data, sort = this.getAttribute('sort');
        const key = (/** @type {number} */ i) => (Number.isNaN(parts[i].value) ? -Infinity : sort === 'size' ? Math.abs(parts[i].value) : parts[i].value);
        const order = parts.map((_, i) => i);
        if (sort === 'size' || sort === 'value') order.sort((a, b) => key(b) - key(a) || a - b);
        const limit = Math.max(1, Number(this.getAttribute('limit')) || Infinity);
        this.#order = order.slice(0, limit);
        const left = order.slice(limit), rest = left.reduce((sum, i) => sum + parts[i].value, 0);
        const finite = [0, ...this.#order.map((i) => parts[i].value), ...(left.length ? [rest] : []), ...(total === undefined ? [] : [total])].filter(Number.isFinite);
        const low = Math.min(...finite), span = Math.max(...finite) - low || 1;
        this.style.setProperty('--zero', `${(-100 * low) / span}%`);
        /** @param {HTMLElement} row @param {string} name @param {number} value */
        const bar = (row, name, value) => {
            const fill = h('span', { class: 'fill' });
            const [from, to] = [Math.min(0, value), Math.max(0, value)].map((v) => (100 * (Math.max(low, Math.min(low + span, v || 0)) - low)) / span);
            fill.style.setProperty('--from', `${from}%`);
            fill.style.setProperty('--length', `${to - from}%`);
            const track = h('span', { class: 'track', 'aria-hidden': 'true' }, ...(value ? [fill] : []));
            row.classList.add('part', ...(value < 0 ? ['less'] : []));
            row.append(h('span', { class: 'name', title: name }, h('bdi', {}, name)), track, h('i', {}, ': '), h('span', { class: 'value' }, signed(value), ...(unit ? [h('i', {}, ` ${unit}`)] : [])));
            return row;
        };
        this.#title.textContent = title;
        this.#unit.textContent = unit ? ` (${unit})` : '';
        this.#options = this.#order.map((i) => bar(h('div', { role: 'option', tabindex: '-1' }), parts[i].name, parts[i].value));
        this.#list.replaceChildren(...this.#options);
        this.#others.replaceChildren(...(left.length ? [bar(h('div', { class: 'rest' }), `${left.length} others`, rest)] : []));
        this.#total.replaceChildren(...(total === undefined ? [] : [bar(h('div', { class: 'total' }), 'total', total)]));
        this.#active = Math.max(0, Math.min(this.#active, this.#options.length - 1));
        this.#mark();
        if (hadFocus) this.#options[this.#active].focus();
    }

    #mark() {
        const chosen = this.#order.indexOf(this.#selected);
        if (chosen >= 0) this.#active = chosen;
        this.#options.forEach((option, i) => {
            option.setAttribute('aria-selected', String(i === chosen));
            option.setAttribute('tabindex', i === this.#active ? '0' : '-1');
        });
    }

    /** @param {number} i among the options */
    #choose(i) {
        if (!this.#options[i]) return;
        this.#selected = this.#order[i];
        this.#mark();
        this.#options[i].focus();
        this.dispatchEvent(new CustomEvent('mt-part', { detail: { index: this.#selected } }));
    }
}

if (!customElements.get('mt-logit-bars')) customElements.define('mt-logit-bars', LogitBars);
