/**
 * The map of languages on the page: a dot is chosen with the pointer, or with the arrow keys, which go to the next dot in
 * their direction.
 */
import { worldPlot } from './world.js';

/** @typedef {Parameters<typeof worldPlot>[0]} Chart */

/** @type {Record<string, [x: number, y: number]>} */
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const ASIDE = 2.5; // times as far as straight on: a dot ahead is nearer than one beside the way

export class WorldView {
    #element;
    /** @type {string | null} */ #chosen = null;

    /** @param {HTMLElement} element is focusable @param {(language: string | null) => void} pointed at another dot, or at none any more */
    constructor(element, pointed) {
        this.#element = element;
        const choose = (/** @type {string | null} */ language) => {
            if (language === this.#chosen) return;
            this.#chosen = language;
            this.#mark();
            pointed(language);
        };
        for (const type of ['pointerover', 'click']) element.addEventListener(type, (event) => {
            const dot = /** @type {Element} */ (event.target).closest('[data-language]');
            if (dot) choose(dot.getAttribute('data-language'));
        });
        element.addEventListener('keydown', (event) => {
            if (event.key === 'Escape') return choose(null);
            const way = KEYS[event.key], next = way && !event.altKey && !event.ctrlKey && !event.metaKey ? this.#next(way) : null;
            if (!next) return;
            event.preventDefault();
            choose(next.getAttribute('data-language'));
            next.scrollIntoView({ block: 'nearest', inline: 'nearest', behavior: 'instant' });
        });
    }

    /** The chosen language; null: none. */
    get chosen() { return this.#chosen; }

    /** @param {Chart | null} chart */
    draw(chart) {
        const first = !this.#element.firstChild;
        this.#element.innerHTML = chart ? worldPlot({ ...chart, style: false }) : ''; // world.js escapes every text
        if (first && chart) this.#element.scrollLeft = (this.#element.scrollWidth - this.#element.clientWidth) / 2; // on a narrow page
        this.#mark();
    }

    /** @returns {SVGCircleElement[]} */
    get #dots() { return [.../** @type {NodeListOf<SVGCircleElement>} */ (this.#element.querySelectorAll('[data-language]'))]; }

    #mark() {
        for (const dot of this.#dots) {
            const chosen = dot.getAttribute('data-language') === this.#chosen;
            dot.classList.toggle('chosen', chosen);
            if (chosen) dot.parentNode?.append(dot); // above the others
        }
    }

    /** @param {[x: number, y: number]} way */
    #next([dx, dy]) {
        const place = (/** @type {Element} */ dot) => [Number(dot.getAttribute('cx')), Number(dot.getAttribute('cy'))], dots = this.#dots, from = dots.find((dot) => dot.classList.contains('chosen'));
        const [x, y] = from ? place(from) : [430, 200]; // the middle
        let best = null, least = Infinity;
        for (const dot of dots) {
            if (dot === from) continue;
            const [cx, cy] = place(dot), ahead = (cx - x) * dx + (cy - y) * dy, aside = Math.abs((cx - x) * dy + (cy - y) * dx), far = ahead + ASIDE * aside;
            if ((from && ahead <= 0) || (from ? far : Math.hypot(cx - x, cy - y)) >= least) continue;
            best = dot;
            least = from ? far : Math.hypot(cx - x, cy - y);
        }
        return best;
    }
}
