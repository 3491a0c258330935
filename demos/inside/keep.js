/**
 * Saving what a section shows: a picture of its numbers as shades, and the numbers.
 */
import { svgToPng, toCsv } from '../../web/elements/export.js';
import { heatMap } from '../../web/lab/plots.js';

/** Numbers of typed arrays as lists; what is no number as null. @param {unknown} value */
export const json = (value) => JSON.stringify(value, (_, x) => (ArrayBuffer.isView(x) ? Array.from(/** @type {any} */ (x)) : typeof x === 'bigint' ? String(x) : x));

/**
 * @param {HTMLElement} element an mt-export
 * @param {{ head: string[], rows: unknown[][], data: unknown, heat?: () => { title: string, rows: string[], cols: string[], values: ArrayLike<number>, min?: number, max?: number } }} what heat: asked for when it is saved
 */
export function keep(element, { head, rows, data, heat }) {
    const svg = () => {
        const { title, rows: names, cols, values, min, max } = /** @type {NonNullable<typeof heat>} */ (heat)();
        return heatMap({ rows: names.length, cols: cols.length, values: Array.from(values), labels: { rows: names, cols }, min, max }, { title });
    };
    /** @type {any} */ (element).formats = { ...(heat && { SVG: svg, PNG: () => svgToPng(svg(), { scale: 2 }) }), CSV: () => toCsv(head, rows), JSON: () => json(data) };
}
