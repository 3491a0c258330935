/**
 * What elements that draw SVG share.
 */
const SVG = 'http://www.w3.org/2000/svg';
const CARRIED = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'font-family', 'font-size', 'font-weight', 'text-anchor', 'visibility'];
const LIVE = ['tabindex', 'role', 'class', 'data-i'];

/**
 * A small builder. @param {string} tag name of an SVG element @param {Record<string, string | number>} [attributes] @param {...(Node | string)} children in their order
 * @returns {SVGElement}
 */
export function s(tag, attributes = {}, ...children) {
    const el = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, String(value));
    el.append(...children);
    return el;
}

/**
 * Keeps a picture as wide as its place: it is drawn when the element comes to a page, and when the place gets another width.
 */
export class Fitted {
    /** Of the place, in pixels; 0 before it is known. */ width = 0;
    #element;
    #place;
    #draw;
    #filled;
    #observer = new ResizeObserver(([entry]) => {
        const width = this.#place.clientWidth || Math.floor(entry.contentRect.width); // the place may be hidden while there is nothing to draw
        if (!width || width === this.width) return;
        this.width = width;
        if (this.#filled()) this.#draw();
    });

    /**
     * @param {HTMLElement} element that draws
     * @param {HTMLElement} place what the picture stands in
     * @param {() => void} draw draws it, with `width`
     * @param {() => boolean} [filled] is there something to draw; default: always
     */
    constructor(element, place, draw, filled = () => true) {
        this.#element = element;
        this.#place = place;
        this.#draw = draw;
        this.#filled = filled;
    }

    /** For connectedCallback. */
    connect() {
        this.#observer.observe(this.#element);
        this.#observer.observe(this.#place);
        if (this.#filled()) this.width = this.#place.clientWidth; // else the observer tells it, when the page has been laid out
        this.#draw();
    }

    /** For disconnectedCallback. */
    disconnect() {
        this.#observer.disconnect();
    }
}

/**
 * A picture as the text of a file: it carries the colours and fonts that it has on the page, and a ground.
 * @param {SVGElement} drawn on the page @param {Element} ground whose background colour is its ground
 * @returns {string}
 */
export function standalone(drawn, ground) {
    const copy = /** @type {SVGElement} */ (drawn.cloneNode(true)), to = copy.querySelectorAll('*');
    drawn.querySelectorAll('*').forEach((el, i) => {
        const style = getComputedStyle(el);
        for (const name of CARRIED) to[i].setAttribute(name, style.getPropertyValue(name));
        for (const name of LIVE) to[i].removeAttribute(name);
    });
    copy.setAttribute('xmlns', SVG);
    copy.setAttribute('role', 'img');
    copy.prepend(s('rect', { width: '100%', height: '100%', fill: getComputedStyle(ground).backgroundColor }));
    return `${new XMLSerializer().serializeToString(copy)}\n`;
}
