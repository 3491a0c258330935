/**
 * The plots of a run as figures, each with its table and a button that saves it. Figures stay when new points come, so
 * that nobody loses the place or the focus.
 */
import { drawPlots } from '../../web/lab/draw.js';
import { PLOT_CSS } from '../../web/lab/plots.js';
import { save } from '../../web/elements/format.js';
import { make } from '../kit/page.js';
import { tablesOf } from './tables.js';

/**
 * @typedef {import('../../web/lab/define.js').ArmResult} ArmResult
 * @typedef {import('../../web/lab/define.js').Plot} Plot
 * @typedef {import('../../web/lab/define.js').Series} Series
 * @typedef {{ series: Record<string, Series>, plots: Plot[] }} Drawable
 * @typedef {{ element: HTMLElement, picture: HTMLElement, details: HTMLDetailsElement, table: HTMLElement, svg: string, arms: ArmResult[], fresh: () => import('./tables.js').Table }} Figure
 */

const NARROW = matchMedia('(max-width: 40rem)'); // there pictures keep a width at which they can be read, and scroll

export class Figures {
    #host;
    /** @type {Map<string, Figure>} */ #all = new Map();

    /** @param {HTMLElement} host */
    constructor(host) {
        this.#host = host;
        const sheet = new CSSStyleSheet();
        sheet.replaceSync(PLOT_CSS);
        document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
        NARROW.addEventListener('change', () => this.#all.forEach((figure) => scrolls(figure.picture)));
    }

    /** @param {string} owner figures of another owner go @param {Drawable} lab @param {ArmResult[]} arms */
    show(owner, lab, arms) {
        /** @type {string[]} */ const keys = [];
        lab.plots.forEach((plot, i) => {
            const alone = { series: lab.series, plots: [plot] };
            drawPlots(alone, arms, { style: false }).forEach(({ name, title, svg }, j) => {
                const key = `${owner} ${i} ${name}`;
                keys.push(key);
                let figure = this.#all.get(key);
                if (!figure) this.#all.set(key, (figure = this.#make(title, (now) => ({ name, svg: drawPlots(alone, now)[j].svg }))));
                figure.arms = arms;
                figure.fresh = () => tablesOf(lab, plot, arms)[j];
                if (figure.svg !== svg) {
                    figure.svg = svg;
                    figure.picture.innerHTML = svg; // from plots.js, which escapes every text
                    if (figure.details.open) fill(figure);
                }
                const at = this.#host.children[keys.length - 1];
                if (at !== figure.element) this.#host.insertBefore(figure.element, at ?? null);
            });
        });
        for (const [key, figure] of this.#all)
            if (!keys.includes(key)) {
                figure.element.remove();
                this.#all.delete(key);
            }
    }

    /** @param {string} title @param {(arms: ArmResult[]) => { name: string, svg: string }} file of its own, with its colours @returns {Figure} */
    #make(title, file) {
        const picture = make('div', { className: 'picture scroll' });
        const table = make('div', { className: 'table scroll', tabIndex: 0, role: 'region', ariaLabel: `Table: ${title}` });
        const details = make('details', {}, make('summary', {}, 'As a table', make('span', { className: 'hidden' }, `: ${title}`)), table);
        const button = make('button', { type: 'button', className: 'quiet' }, 'Save SVG', make('span', { className: 'hidden' }, `: ${title}`));
        /** @type {Figure} */
        const figure = { element: make('figure', { className: 'card' }, picture, make('div', { className: 'under' }, details, button)), picture, details, table, svg: '', arms: [], fresh: () => ({ head: [], rows: [], note: '' }) };
        picture.dataset.title = title;
        scrolls(picture);
        details.addEventListener('toggle', () => details.open && fill(figure));
        button.addEventListener('click', () => {
            const { name, svg } = file(figure.arms);
            save(`${name}.svg`, svg, 'image/svg+xml');
        });
        return figure;
    }
}

/** What scrolls must be reachable with the keyboard. @param {HTMLElement} picture */
function scrolls(picture) {
    if (!NARROW.matches) {
        for (const name of ['tabindex', 'role', 'aria-label']) picture.removeAttribute(name);
        return;
    }
    picture.setAttribute('tabindex', '0');
    picture.setAttribute('role', 'group');
    picture.setAttribute('aria-label', `Plot: ${picture.dataset.title}`);
}

/** @param {Figure} figure */
function fill({ table, fresh }) {
    const { head, rows, note } = fresh();
    table.replaceChildren(
        make('table', {},
            make('thead', {}, make('tr', {}, ...head.map((name) => (name ? make('th', { scope: 'col' }, name) : make('td'))))),
            make('tbody', {}, ...rows.map(([name, ...cells]) => make('tr', {}, make('th', { scope: 'row' }, name), ...cells.map((cell) => make('td', {}, cell)))))),
        ...(note ? [make('p', { className: 'muted small' }, note)] : []),
    );
}
