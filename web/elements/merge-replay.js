/**
 * <mt-merge-replay>: byte-pair encoding of a word, one merge at a time. At the top the pieces as they stand, with the
 * rank of each pair between them: the lowest goes next. Below, what has been merged from what.
 *
 *   const { symbols, steps } = replayMerges(tokenizer, ' tokenization');
 *   const name = (id) => tokenizer.tokenPiece(id);
 *   element.data = { symbols: Array.from(symbols, name), steps: steps.map(({ at, id, rank }) => ({ at, rank, id, label: name(id) })) };
 *
 * Properties and methods
 *   data       { symbols: string[], steps: { at, label, rank?, id?, pairs? }[], last? }; null: empty. `at`: the place of the
 *              left one of the two before the step; pairs: ranks of all neighbours before the step (null: they do not
 *              merge), `last`: after all steps
 *   step       how many steps are done, 0 to steps.length; can be set
 *   play(), pause(), playing
 *   svg()      the picture as the text of an SVG file, in the colours on show
 * Events
 *   mt-step    detail { step, playing }
 * Keyboard: buttons and a slider, as the browser has them.
 *
 * Attributes
 *   label      what it is called (default "Merges")
 *   pause-ms   between two steps of a replay (default 700)
 *
 * Custom properties: --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus, --mt-exact, --mt-naive, --mt-mono.
 */
import { folded, h, HOST, sheet, visible, VISUALLY_HIDDEN } from './format.js';
import { Fitted, s, standalone } from './svg.js';

/** @typedef {{ at: number, label: string, rank?: number, id?: number, pairs?: (number | null)[] }} Step */
/** @typedef {{ symbols: string[], steps: Step[], last?: (number | null)[] }} ReplayData */
/** A piece of the picture: a symbol, or what a step made. step: when it comes, 0 for symbols; gone: when it is merged. @typedef {{ label: string, from: number, to: number, level: number, step: number, gone: number }} Piece */

const ROW = 34;
const BRICK = 24;
const GLYPH = 8.1;

const STYLE = sheet(`${HOST}
.bar { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; }
button {
    font: inherit; font-size: .875rem; color: inherit; background: var(--_surface); border: 1px solid var(--_muted); border-radius: 6px;
    padding: .28rem .7rem; min-height: 2rem; line-height: 1.4; cursor: pointer;
}
button:hover { border-color: var(--_ink); }
button[aria-disabled=true] { color: var(--_muted); border-color: var(--_line); cursor: default; }
button.play { background: var(--_ink); color: var(--_surface); border-color: var(--_ink); min-width: 4.6rem; }
button:focus-visible, input:focus-visible, .scroll:focus-visible, summary:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 2px; }
label { display: flex; flex: 1 1 12rem; align-items: center; gap: .6rem; font-size: .875rem; color: var(--_muted); font-variant-numeric: tabular-nums; }
input { flex: 1; min-width: 6rem; min-height: 1.5rem; accent-color: var(--_exact); }
.now { display: flex; flex-wrap: wrap; gap: .35rem .1rem; align-items: center; list-style: none; margin: .9rem 0 .5rem; padding: 0; font: 1rem/1.3 var(--_mono); }
.now li { display: inline-flex; align-items: center; }
.now .piece { border: 1px solid var(--_muted); border-radius: 4px; padding: .2em .45em; min-height: 1.4em; white-space: pre; }
.now .next { border-color: var(--_naive); background: color-mix(in srgb, var(--_naive) 18%, transparent); }
.now .rank { font: .75rem/1 system-ui, sans-serif; font-variant-numeric: tabular-nums; color: var(--_muted); min-width: 1.1em; padding: 0 .35em; text-align: center; }
.now .rank.lowest { color: var(--_naive-ink); font-weight: 700; text-decoration: underline; text-underline-offset: .2em; }
.said { margin: 0 0 .7rem; min-height: 1.5em; font-size: .9375rem; overflow-wrap: anywhere; }
.said code { font: .875rem/1.4 var(--_mono); white-space: pre-wrap; }
.scroll { overflow: auto; background: var(--_surface); }
svg { display: block; }
.piece-box rect { fill: color-mix(in srgb, var(--_muted) 10%, var(--_surface)); stroke: var(--_muted); stroke-width: 1; }
.piece-box.stands rect { fill: color-mix(in srgb, var(--_exact) 20%, var(--_surface)); stroke: var(--_exact); stroke-width: 1.8; }
.piece-box.next rect { fill: color-mix(in srgb, var(--_naive) 22%, var(--_surface)); stroke: var(--_naive); stroke-width: 1.8; }
.piece-box.later rect { fill: none; stroke: var(--_line); stroke-dasharray: 3 3; }
.piece-box.later text { visibility: hidden; }
.piece-box text { font: 13px var(--_mono); fill: var(--_ink); text-anchor: middle; white-space: pre; }
details { margin-top: .6rem; font-size: .875rem; }
summary { cursor: pointer; color: var(--_muted); padding: .25rem 0; width: fit-content; min-height: 1.5rem; border-radius: 3px; }
details .scroll { max-height: 20rem; border: 1px solid var(--_line); border-radius: 6px; margin-top: .4rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { ${VISUALLY_HIDDEN} }
th, td { text-align: right; padding: .22rem .75rem; white-space: nowrap; }
td.text { font-family: var(--_mono); text-align: left; white-space: pre; }
thead th { position: sticky; top: 0; background: var(--_surface); box-shadow: 0 1px var(--_line); font-weight: 600; }
thead th:nth-child(n+3):nth-child(-n+5) { text-align: left; }
tr[aria-current] { background: color-mix(in srgb, var(--_naive) 18%, transparent); }
@media (forced-colors: active) {
    .piece-box rect { fill: Canvas; stroke: CanvasText; }
    .piece-box.stands rect { stroke-width: 3; }
    .piece-box.next rect, .now .next { stroke: Highlight; border-color: Highlight; }
    .piece-box.later rect { stroke: GrayText; }
    .piece-box text { fill: CanvasText; }
    button.play { forced-color-adjust: none; background: ButtonText; color: ButtonFace; }
}
`);


/**
 * Every piece of the picture, and the sequence after each step.
 * @param {ReplayData} data @returns {{ pieces: Piece[], after: number[][] }} after: indices of pieces
 * @throws {RangeError} a step at a place that is not there
 */
export function layoutMerges({ symbols, steps }) {
    /** @type {Piece[]} */ const pieces = symbols.map((label, i) => ({ label, from: i, to: i + 1, level: 0, step: 0, gone: Infinity }));
    let now = pieces.map((_, i) => i);
    const after = [now];
    steps.forEach(({ at, label }, k) => {
        const left = pieces[now[at]], right = pieces[now[at + 1]];
        if (!left || !right) throw new RangeError(`mt-merge-replay: step ${k} merges at ${at}, there are ${now.length} pieces`);
        left.gone = right.gone = k + 1;
        pieces.push({ label, from: left.from, to: right.to, level: 1 + Math.max(left.level, right.level), step: k + 1, gone: Infinity });
        now = [...now.slice(0, at), pieces.length - 1, ...now.slice(at + 2)];
        after.push(now);
    });
    return { pieces, after };
}

export class MergeReplay extends HTMLElement {
    static observedAttributes = ['label'];
    /** @type {ReplayData | null} */ #data = null;
    /** @type {Piece[]} */ #pieces = [];
    /** @type {number[][]} */ #after = [[]];
    #step = 0;
    #timer = 0;
    #first = h('button', { type: 'button' }, 'Start');
    #back = h('button', { type: 'button' }, 'Back');
    #play = h('button', { type: 'button', class: 'play' }, 'Play');
    #on = h('button', { type: 'button' }, 'Step');
    #range = h('input', { type: 'range', min: '0', step: '1', 'aria-label': 'Step' });
    #place = h('span');
    #now = h('ol', { class: 'now' });
    #said = h('p', { class: 'said', 'aria-live': 'polite' });
    #svg = s('svg', { role: 'img' });
    #scroll = h('div', { class: 'scroll', tabindex: '0', role: 'region' }, this.#svg);
    #rows = h('tbody');
    #details;
    #bar = h('div', { class: 'bar', role: 'group' }, this.#first, this.#back, this.#play, this.#on, h('label', {}, this.#range, this.#place));
    #fitted = new Fitted(this, this.#scroll, () => this.#draw(), () => this.#data !== null);

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        this.#first.addEventListener('click', () => this.#go(0));
        this.#back.addEventListener('click', () => this.#go(this.#step - 1));
        this.#on.addEventListener('click', () => this.#go(this.#step + 1));
        this.#play.addEventListener('click', () => (this.playing ? this.pause() : this.play()));
        this.#range.addEventListener('input', () => this.#go(Number(this.#range.value)));
        const head = h('thead', {}, h('tr', {}, ...['step', 'rank', 'left', 'right', 'becomes', 'id', 'pieces left'].map((name) => h('th', { scope: 'col' }, name))));
        this.#details = folded('All merges as a table', () => this.#fillTable(), h('caption', {}, 'Merges in order'), head, this.#rows);
        root.append(this.#bar, this.#now, this.#said, this.#scroll, this.#details);
    }

    connectedCallback() {
        this.#fitted.connect();
    }

    disconnectedCallback() {
        this.#fitted.disconnect();
        this.pause();
    }

    attributeChangedCallback() {
        if (this.isConnected) this.#draw();
    }

    /** What is replayed. */
    get data() {
        return this.#data;
    }

    set data(data) {
        const { pieces, after } = data ? layoutMerges(data) : { pieces: [], after: [[]] };
        this.#data = data;
        this.#pieces = pieces;
        this.#after = after;
        this.#step = 0;
        this.pause();
        this.#draw();
    }

    /** How many steps are done. */
    get step() {
        return this.#step;
    }

    set step(step) {
        this.#go(step);
    }

    get playing() {
        return this.#timer !== 0;
    }

    get #last() {
        return this.#data?.steps.length ?? 0;
    }

    /** One step after the other, to the end; from the start where the end is reached. */
    play() {
        if (this.playing || !this.#last) return;
        if (this.#step === this.#last) this.#move(0);
        const pause = Math.max(50, Number(this.getAttribute('pause-ms')) || 700);
        this.#timer = window.setInterval(() => {
            if (this.#step + 1 >= this.#last) this.#stop();
            this.#move(this.#step + 1);
        }, pause);
        this.#move(this.#step);
    }

    pause() {
        if (!this.playing) return;
        this.#stop();
        this.#move(this.#step);
    }

    #stop() {
        clearInterval(this.#timer);
        this.#timer = 0;
    }

    /** By hand: a replay ends. @param {number} step */
    #go(step) {
        this.#stop();
        this.#move(step);
    }

    /** @param {number} step */
    #move(step) {
        this.#step = Math.max(0, Math.min(this.#last, Math.round(step) || 0));
        this.#show();
        this.dispatchEvent(new CustomEvent('mt-step', { detail: { step: this.#step, playing: this.playing } }));
    }

    #draw() {
        const label = this.getAttribute('label') ?? 'Merges', n = this.#data?.symbols.length ?? 0;
        const levels = 1 + Math.max(0, ...this.#pieces.map((p) => p.level));
        const cell = Math.max(26, Math.min(64, ((this.#fitted.width || 640) - 4) / Math.max(1, n))), width = Math.ceil(n * cell + 4), height = levels * ROW;
        for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) this.#svg.setAttribute(name, String(value));
        this.#svg.replaceChildren(...this.#pieces.map(({ label: text, from, to, level }) => {
            const x = 2 + from * cell + 1.5, w = (to - from) * cell - 3, y = height - (level + 1) * ROW + (ROW - BRICK) / 2, most = Math.max(1, Math.floor((w - 4) / GLYPH)), shown = [...visible(text)];
            return s('g', {}, s('rect', { x, y, width: w, height: BRICK, rx: 4 }), s('text', { x: x + w / 2, y: y + BRICK / 2 + 4.5 }, shown.length > most ? (most > 1 ? `${shown.slice(0, most - 1).join('')}…` : '·') : shown.join('')));
        }));
        this.#bar.setAttribute('aria-label', label);
        this.#scroll.setAttribute('aria-label', `${label}: the picture`);
        this.#scroll.hidden = !n;
        this.#details.hidden = !this.#last;
        this.#range.max = String(this.#last);
        this.#fillTable();
        this.#show();
    }

    /** Only when it is open. */
    #fillTable() {
        if (!this.#details.open) return void this.#rows.replaceChildren();
        this.#rows.replaceChildren(...(this.#data?.steps ?? []).map(({ at, rank, id, label: made }, k) => {
            const [left, right] = [this.#after[k][at], this.#after[k][at + 1]].map((i) => this.#pieces[i].label);
            const text = (/** @type {string} */ piece) => h('td', { class: 'text' }, h('bdi', {}, visible(piece)));
            return h('tr', {}, h('td', {}, String(k + 1)), h('td', {}, rank === undefined ? '' : rank.toLocaleString('en')), text(left), text(right), text(made), h('td', {}, id === undefined ? '' : String(id)), h('td', {}, String(this.#after[k + 1].length)));
        }));
        this.#mark();
    }

    /** The step that was done last. */
    #mark() {
        [...this.#rows.children].forEach((row, i) => (i === this.#step - 1 ? row.setAttribute('aria-current', 'step') : row.removeAttribute('aria-current')));
    }

    #show() {
        const data = this.#data, k = this.#step, last = this.#last, next = data?.steps[k], now = this.#after[k] ?? [];
        this.#range.value = String(k);
        this.#place.textContent = `${k} of ${last}`;
        this.#play.textContent = this.playing ? 'Pause' : 'Play';
        for (const [button, off] of /** @type {[HTMLElement, boolean][]} */ ([[this.#first, k === 0], [this.#back, k === 0], [this.#on, k === last], [this.#play, last === 0]])) button.setAttribute('aria-disabled', String(off));
        const merging = new Set(next ? [now[next.at], now[next.at + 1]] : []);
        const pairs = next ? next.pairs ?? now.slice(1).map((_, i) => (i === next.at ? next.rank ?? null : null)) : data?.last ?? [];
        this.#now.setAttribute('aria-label', `Pieces after ${k} ${k === 1 ? 'merge' : 'merges'}`);
        this.#now.replaceChildren(...now.map((piece, i) => {
            const item = h('li', {}, h('bdi', { class: merging.has(piece) ? 'piece next' : 'piece' }, visible(this.#pieces[piece].label)));
            if (i + 1 < now.length) {
                const rank = pairs[i];
                item.append(h('span', { class: next && i === next.at ? 'rank lowest' : 'rank' }, rank === null || rank === undefined ? '·' : rank.toLocaleString('en')));
            }
            return item;
        }));
        const labels = next ? [now[next.at], now[next.at + 1]].map((i) => visible(this.#pieces[i].label)) : [];
        if (!data) this.#said.textContent = '';
        else if (next) this.#said.replaceChildren('Next: ', h('code', {}, h('bdi', {}, labels[0])), ' + ', h('code', {}, h('bdi', {}, labels[1])), ' → ', h('code', {}, h('bdi', {}, visible(next.label))), next.rank === undefined ? '' : `, rank ${next.rank.toLocaleString('en')}${next.pairs ? ', the lowest of all pairs' : ''}.`);
        else this.#said.textContent = last ? `Done: ${now.length} ${now.length === 1 ? 'token' : 'tokens'} after ${last} ${last === 1 ? 'merge' : 'merges'}. No pair left can merge.` : 'No pair of these can merge.';
        [...this.#svg.children].forEach((box, i) => {
            const { step, gone } = this.#pieces[i];
            box.setAttribute('class', `piece-box${step > k ? ' later' : merging.has(i) ? ' next' : gone > k ? ' stands' : ''}`);
        });
        this.#svg.setAttribute('aria-label', `${this.getAttribute('label') ?? 'Merges'} after ${k} of ${last} steps: ${now.map((i) => this.#pieces[i].label).join(' | ')}`);
        this.#mark();
    }

    /** The picture as the text of an SVG file, in the colours on show. @returns {string} */
    svg() {
        return standalone(this.#svg, this.#scroll);
    }
}

if (!customElements.get('mt-merge-replay')) customElements.define('mt-merge-replay', MergeReplay);
