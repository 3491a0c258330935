/**
 * <mt-export>: buttons that save what a page shows.
 *
 *   <mt-export id="keep" name="attention"></mt-export>
 *   keep.formats = {
 *       SVG: () => chart.svg(),                              a text, or a Blob, or a promise of one
 *       PNG: () => svgToPng(chart.svg(), { scale: 2 }),
 *       CSV: () => toCsv(['token', 'probability'], rows),
 *       JSON: () => JSON.stringify(result),
 *   };
 *
 * A file is made when its button is pressed; what goes wrong is told below the buttons.
 *
 * Attributes
 *   name    of the files, without their endings (default "microtome")
 *   label   what is saved, for those who do not see it (default: name)
 *
 * Custom properties: --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus, --mt-error.
 */
import { h, save, sheet, VISUALLY_HIDDEN } from './format.js';

/** @typedef {() => string | Blob | Promise<string | Blob>} Maker */

/** @type {Record<string, string>} */
const TYPES = { SVG: 'image/svg+xml', PNG: 'image/png', CSV: 'text/csv', JSON: 'application/json', TXT: 'text/plain' };
const LARGEST = 8192; // pixels of a side that every browser draws

/**
 * Comma-separated values (RFC 4180).
 * @param {readonly string[]} head names of the columns @param {Iterable<readonly unknown[]>} rows
 * @returns {string}
 */
export function toCsv(head, rows) {
    const cell = (/** @type {unknown} */ value) => {
        const text = value === null || value === undefined ? '' : String(value);
        return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return [head, ...rows].map((row) => row.map(cell).join(',')).join('\r\n') + '\r\n';
}

/**
 * A picture of an SVG that carries its own style (as those of web/lab/plots.js do).
 * @param {string} svg with width and height, or a viewBox @param {{ scale?: number }} [options] scale: pixels for each unit, default 2
 * @returns {Promise<Blob>} PNG
 * @throws {Error} what is no SVG, or too large
 */
export async function svgToPng(svg, { scale = 2 } = {}) {
    const tag = /<svg\b[^>]*>/.exec(svg)?.[0]; // parsed into a document, its style element would meet the policy of the page
    if (!tag) throw new Error('a PNG is made from SVG: the text is none');
    const [, , boxWidth, boxHeight] = (/\bviewBox="([^"]*)"/.exec(tag)?.[1] ?? '').split(/[\s,]+/).map(Number), side = (/** @type {string} */ name) => parseFloat(new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1] ?? '');
    const width = (side('width') || boxWidth) * scale, height = (side('height') || boxHeight) * scale;
    if (!(width >= 1 && height >= 1 && width <= LARGEST && height <= LARGEST)) throw new Error(`a PNG of ${width} x ${height} pixels cannot be drawn: 1 to ${LARGEST} each are needed`);
    const sized = tag.replace(/\s(?:width|height)="[^"]*"/g, '').replace('<svg', `<svg width="${width}" height="${height}"`);
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg.replace(tag, sized))}`;
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: Math.round(width), height: Math.round(height) });
    /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d')).drawImage(image, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('the browser made no PNG'))), 'image/png'));
}

const STYLE = sheet(`
:host { display: flex; flex-wrap: wrap; gap: .4rem; align-items: center; color: var(--mt-ink, light-dark(#1c2430, #e8eaee)); }
:host([hidden]) { display: none; }
button {
    font: inherit; font-size: .875rem; color: inherit; background: var(--mt-surface, light-dark(#ffffff, #191d23));
    border: 1px solid var(--mt-line, light-dark(#c9ced6, #444c58)); border-radius: 6px; padding: .2rem .6rem; min-height: 1.75rem; cursor: pointer;
}
button:hover { border-color: var(--mt-muted, light-dark(#5a6472, #a2abb8)); }
button:focus-visible { outline: 2.5px solid var(--mt-focus, light-dark(#1d5fa8, #79b4f5)); outline-offset: 2px; }
button:disabled { opacity: .5; cursor: default; }
p { flex-basis: 100%; margin: 0; font-size: .875rem; color: var(--mt-error, light-dark(#a3261f, #ff9c92)); }
p:empty { display: none; }
.hidden { ${VISUALLY_HIDDEN} }
`);

export class MtExport extends HTMLElement {
    /** @type {Record<string, Maker>} */ #formats = {};
    #problem = h('p', { role: 'alert' });

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        root.append(this.#problem);
    }

    connectedCallback() { this.#draw(); }

    /** A maker for each format, by the name that its button carries and, in lower case, its file's ending. @type {Record<string, Maker>} */
    get formats() { return this.#formats; }
    set formats(formats) {
        this.#formats = formats;
        this.#draw();
    }

    #draw() {
        const root = /** @type {ShadowRoot} */ (this.shadowRoot), what = this.getAttribute('label') ?? this.getAttribute('name') ?? 'microtome';
        root.replaceChildren(
            ...Object.keys(this.#formats).map((format) => {
                const button = h('button', { type: 'button' }, h('span', { class: 'hidden' }, 'Save '), format, h('span', { class: 'hidden' }, `: ${what}`));
                button.addEventListener('click', () => void this.#save(format, button));
                return button;
            }),
            this.#problem,
        );
    }

    /** @param {string} format @param {HTMLButtonElement} button */
    async #save(format, button) {
        this.#problem.textContent = '';
        button.disabled = true;
        try {
            save(`${this.getAttribute('name') ?? 'microtome'}.${format.toLowerCase()}`, await this.#formats[format](), TYPES[format] ?? 'application/octet-stream');
        } catch (error) {
            this.#problem.textContent = `${format} could not be saved: ${error instanceof Error ? error.message : error}`;
        } finally {
            button.disabled = false;
        }
    }
}

customElements.define('mt-export', MtExport);
