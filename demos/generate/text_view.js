/**
 * The text, token by token: the prompt as given, then a list of tokens coloured by a number, then what comes next.
 * One tab stop; arrows, Home and End choose a place.
 */
import { formatProbability, hexByte, hexBytes } from '../../web/elements/format.js';
import { spokenText } from '../../web/elements/grid.js';
import { layoutTokens } from '../../web/elements/token-strip.js';
import { make } from '../kit/page.js';

/**
 * @typedef {import('./tree.js').Node} Node
 * @typedef {import('../../web/elements/token-strip.js').StripToken} StripToken
 * @typedef {{ name: string, hue: 'exact' | 'naive', value: (node: Node) => number, say: (node: Node) => string, ends: [string, string] }} Colouring value: 0..1; ends: what light and dark mean
 */

const LN2 = Math.LN2;
const bits = (/** @type {Node} */ { taken }) => -(taken?.logProb ?? 0) / LN2;

/** @type {Record<string, Colouring>} */
export const COLOURINGS = {
    probability: { name: 'probability', hue: 'exact', value: ({ taken }) => Math.exp(taken?.logProb ?? -Infinity), say: ({ taken }) => formatProbability(Math.exp(taken?.logProb ?? NaN)), ends: ['0', '100%'] },
    share: { name: 'probability after the sampler', hue: 'exact', value: ({ taken }) => taken?.share ?? 0, say: ({ taken }) => formatProbability(taken?.share ?? NaN), ends: ['0', '100%'] },
    surprise: { name: 'surprisal, −log₂ p', hue: 'naive', value: (node) => Math.min(1, bits(node) / 12), say: (node) => `${bits(node).toFixed(2)} bits`, ends: ['0', '12 bits or more'] },
    rank: { name: 'rank', hue: 'naive', value: ({ taken }) => Math.min(1, Math.log10(taken?.rank ?? 1) / 3), say: ({ taken }) => `rank ${taken?.rank}`, ends: ['first', '1,000th or later'] },
    entropy: { name: 'entropy before it', hue: 'exact', value: ({ taken }) => Math.min(1, (taken?.entropy ?? 0) / 8), say: ({ taken }) => `${taken?.entropy.toFixed(2)} bits`, ends: ['0', '8 bits or more'] },
};

/** @param {string} text */
const shown = (text) => text.split('\n').flatMap((line, i) => (i ? [make('span', { className: 'sign', ariaHidden: 'true' }, '⏎'), '\n', line] : [line]));

export class TextView {
    #prompt;
    #list;
    /** @type {Node[]} */ #nodes = [];
    /** @type {HTMLElement[]} */ #items = [];
    #next = make('span', { role: 'option', className: 'tok next', tabIndex: -1 });
    /** @type {(node: Node) => StripToken} */ #token = () => ({ id: 0, bytes: new Uint8Array() });
    #focus = 0;
    #colouring = COLOURINGS.probability;

    /** @param {HTMLElement} prompt @param {HTMLElement} list @param {(place: number) => void} chosen */
    constructor(prompt, list, chosen) {
        this.#prompt = prompt;
        this.#list = list;
        list.append(this.#next);
        list.addEventListener('click', (event) => {
            const item = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest('[role=option]'));
            if (item) chosen(item === this.#next ? this.#items.length : this.#items.indexOf(item));
        });
        list.addEventListener('keydown', (event) => {
            if (event.altKey || event.ctrlKey || event.metaKey) return;
            const back = event.key === 'ArrowLeft' || event.key === 'ArrowUp', on = event.key === 'ArrowRight' || event.key === 'ArrowDown', last = this.#items.length;
            const to = event.key === 'Home' ? 0 : event.key === 'End' ? last : back ? Math.max(0, this.#focus - 1) : on ? Math.min(last, this.#focus + 1) : -1;
            if (to < 0) return;
            event.preventDefault();
            chosen(to);
            this.#at(to).focus();
        });
    }

    /** @param {number} place */
    #at(place) {
        return this.#items[place] ?? this.#next;
    }

    /**
     * @param {{ prompt: string, nodes: Node[], focus: number, end: string, token: (node: Node) => StripToken, colouring: Colouring }} what end: what stands after the last token
     */
    show({ prompt, nodes, focus, end, token, colouring }) {
        if (this.#prompt.textContent !== prompt) this.#prompt.textContent = prompt;
        let same = 0;
        while (same < nodes.length && nodes[same] === this.#nodes[same]) same++;
        if (token !== this.#token) same = 0;
        this.#token = token;
        if (same < this.#items.length || same < nodes.length) this.#rebuild(nodes, same);
        if (colouring !== this.#colouring) {
            this.#colouring = colouring;
            this.#items.forEach((_, i) => this.#colour(i));
        }
        this.#next.replaceChildren(end);
        this.#next.classList.toggle('over', end !== '?');
        if (end === '?') this.#next.append(make('span', { className: 'hidden' }, ' what comes next'));
        for (const place of new Set([this.#focus, focus])) {
            const item = this.#at(place);
            item.tabIndex = place === focus ? 0 : -1;
            item.setAttribute('aria-selected', String(place === focus));
        }
        for (const item of this.#list.querySelectorAll('[aria-selected=true], [tabindex="0"]'))
            if (item !== this.#at(focus)) {
                item.setAttribute('aria-selected', 'false');
                item.setAttribute('tabindex', '-1');
            }
        this.#focus = focus;
        const page = this.#list.parentElement;
        if (page && focus === nodes.length) requestAnimationFrame(() => { page.scrollTop = page.scrollHeight; }); // where it is being written
    }

    /** @param {Node[]} nodes @param {number} same how many stay */
    #rebuild(nodes, same) {
        // A character may be spread over tokens: what precedes the change may look different now.
        const from = Math.max(0, same - 4);
        const { parts, joint } = layoutTokens(nodes.map(this.#token));
        for (const item of this.#items.splice(from)) item.remove();
        this.#nodes = nodes.slice();
        for (let i = from; i < nodes.length; i++) {
            const text = parts[i].map((part) => ('text' in part ? part.text : hexBytes(part.bytes))).join(''), token = this.#token(nodes[i]);
            const item = make('span', { role: 'option', className: 'tok', tabIndex: -1, ariaSelected: 'false' });
            if (token.kind === 'special' || !token.bytes.length) item.append(make('span', { className: 'sign' }, token.piece || `#${token.id}`));
            for (const part of parts[i]) {
                if ('text' in part) item.append(make('bdi', {}, ...shown(part.text)));
                else {
                    item.append(...part.bytes.map((b) => make('span', { className: 'hex' }, hexByte(b))));
                    if (part.of && joint[i] !== part.of) item.append(make('bdi', { className: 'glyph' }, part.of)); // here it is whole
                }
            }
            item.append(make('span', { className: 'hidden' }, ''));
            item.dataset.said = text.trim() ? '' : spokenText(text);
            this.#items.push(item);
            this.#next.before(item);
            this.#colour(i);
        }
    }

    /** @param {number} i */
    #colour(i) {
        const item = this.#items[i], { hue, value, say } = this.#colouring, node = this.#nodes[i];
        item.style.setProperty('--v', value(node).toFixed(4));
        item.classList.toggle('naive', hue === 'naive');
        item.classList.toggle('picked', node.how === 'picked');
        const said = /** @type {HTMLElement} */ (item.lastElementChild);
        said.textContent = `${item.dataset.said ? ` ${item.dataset.said}` : ''}, ${say(node)}`;
    }
}
