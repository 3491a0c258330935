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
