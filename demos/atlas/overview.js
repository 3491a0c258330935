/**
 * All papers at a glance: a group of marks for each field. One tab stop for all marks; arrows walk, Enter goes to the card.
 */
import { make } from '../kit/page.js';
import { FIELDS } from './fields.js';

/** @typedef {import('./card.js').Card} Card */

export class Overview {
    #list;
    #readout;
    /** @type {Card[]} */ #all = [];
    #go;

    /** @param {HTMLElement} list @param {HTMLElement} readout where the paper under the pointer is told @param {{ field: (name: string, byPointer: boolean) => void, system: (slug: string) => void }} go */
    constructor(list, readout, go) {
        this.#list = list;
        this.#readout = readout;
        this.#go = go;
        this.#tell();
        list.addEventListener('click', (event) => {
            const card = this.#of(event);
            if (!card || event.ctrlKey || event.metaKey || event.shiftKey) return;
            event.preventDefault();
            go.system(card.system.slug);
        });
        list.addEventListener('pointerover', (event) => this.#tell(this.#of(event)));
        list.addEventListener('pointerleave', () => this.#tell());
        list.addEventListener('focusin', (event) => {
            const card = this.#of(event);
            if (card) this.#stop(card);
            this.#tell(card);
        });
        list.addEventListener('focusout', () => this.#tell());
        list.addEventListener('keydown', (event) => {
            const at = this.#of(event), to = at && !event.altKey && !event.ctrlKey && !event.metaKey && this.#next(at, event.key);
            if (!to) return;
            event.preventDefault();
            to.cell.focus();
        });
    }

    /** @param {string} name of a field @param {Card[]} cards */
    add(name, cards) {
        const running = cards.filter(({ system }) => system.run).length;
        const button = make('button', { type: 'button', ariaPressed: 'false' }, make('span', { className: 'name' }, FIELDS[name]), ' ', make('span', { className: 'of' }, make('b', {}, String(running)), ` of ${cards.length}`, make('span', { className: 'hidden' }, ' run here')));
        button.dataset.field = name;
        button.addEventListener('click', ({ detail }) => this.#go.field(name, detail > 0));
        const marks = make('div', { className: 'marks', role: 'group', ariaLabel: `Papers: ${FIELDS[name]}` }, ...[...cards].sort((a, b) => Number(!!b.system.run) - Number(!!a.system.run)).map((card) => {
            this.#all.push(card);
            return card.cell;
        }));
        this.#list.append(make('li', {}, button, marks));
        this.#stop(this.#all[0]);
    }

    /** The field that is on show alone. @param {string} name */
    press(name) {
        for (const button of this.#list.querySelectorAll('button')) button.setAttribute('aria-pressed', String(button.dataset.field === name));
    }

    /** @param {Event} event @returns {Card | undefined} */
    #of({ target }) {
        const cell = /** @type {Element} */ (target).closest('.mark');
        return cell ? this.#all.find((card) => card.cell === cell) : undefined;
    }

    /** @param {Card} card where Tab goes */
    #stop(card) {
        for (const { cell } of this.#all) cell.tabIndex = -1;
        card.cell.tabIndex = 0;
    }

    /** @param {Card} from @param {string} key @returns {Card | undefined} */
    #next(from, key) {
        const i = this.#all.indexOf(from), along = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: this.#all.length - 1 }[key];
        if (along !== undefined) return this.#all[along];
        const down = key === 'ArrowDown' ? 1 : key === 'ArrowUp' ? -1 : 0;
        if (!down) return undefined;
        // The nearest below or above, in the same column if there is one.
        const box = from.cell.getBoundingClientRect(), far = (/** @type {Card} */ card) => {
            const { left, top } = card.cell.getBoundingClientRect(), y = (top - box.top) * down;
            return y > 1 ? y + 4 * Math.abs(left - box.left) : Infinity;
        };
        const best = this.#all.reduce((a, b) => (far(b) < far(a) ? b : a));
        return far(best) < Infinity ? best : undefined;
    }

    /** @param {Card} [card] */
    #tell(card) {
        this.#readout.replaceChildren(...(card ? [make('b', {}, card.system.title), ` No. ${card.system.id}, ${card.state}. ${card.system.claim}`] : ['Point at a mark, or walk with the arrow keys; choose one to see its card, or a field to see its papers alone.']));
    }
}
