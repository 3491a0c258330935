/**
 * How the elements write bytes, probabilities and sizes. Pure functions, no DOM.
 *
 *   byteLabel(0x20) -> { glyph: '␣', name: 'space' }      byteLabel(0xC3) -> { glyph: 'C3', name: 'byte C3' }
 *   formatProbability(0.6132) -> '61.3%'                   formatProbability(4.1e-7) -> '<0.001%'
 */

/** Index of "the text ends here" in every distribution of 257 entries. */
export const END = 256;

/** @type {Record<number, [glyph: string, name: string]>} */
const NAMED = {
    0x00: ['␀', 'null byte'],
    0x09: ['⇥', 'tab'],
    0x0a: ['⏎', 'newline'],
    0x0d: ['␍', 'carriage return'],
    0x20: ['␣', 'space'],
    [END]: ['end', 'end of text'],
};

/**
 * @param {number} byte 0..255
 * @returns {string} two upper-case hexadecimal digits
 */
export function hexByte(byte) {
    return byte.toString(16).toUpperCase().padStart(2, '0');
}

/**
 * A byte as people read it: printable ASCII as itself, white space and the end of text by a sign, the rest in
 * hexadecimal. A byte from 0x80 up is part of a character, never a character: it has no glyph of its own.
 * @param {number} byte 0..255, or END
 * @returns {{ glyph: string, name: string, printable: boolean }} glyph: what is drawn; name: what is read out; printable: the glyph is the byte itself
 */
export function byteLabel(byte) {
    const named = NAMED[byte];
    if (named) return { glyph: named[0], name: named[1], printable: false };
    if (byte > 0x20 && byte < 0x7f) {
        const glyph = String.fromCharCode(byte);
        return { glyph, name: glyph, printable: true };
    }
    return { glyph: hexByte(byte), name: `byte ${hexByte(byte)}`, printable: false };
}

/**
 * @param {Iterable<number>} bytes
 * @returns {string} '20 74 69'
 */
export function hexBytes(bytes) {
    return Array.from(bytes, hexByte).join(' ');
}

/** @type {Record<string, string>} */
const SIGNS = { ' ': '␣', '\t': '⇥', '\n': '⏎', '\r': '␍' };

/**
 * White space made visible. @param {string} text
 * @returns {string} '␣the'
 */
export const visible = (text) => text.replace(/[ \t\n\r]/g, (c) => SIGNS[c]);

/**
 * A probability as a percentage of two or three digits. What is too small for that reads "<0.001%", never "0%"; only
 * a true zero is "0". With `full`, small ones are written as powers of ten instead.
 * @param {number} p 0..1
 * @param {boolean} [full]
 * @returns {string}
 */
export function formatProbability(p, full = false) {
    if (Number.isNaN(p)) return '–';
    if (p <= 0) return '0';
    const percent = 100 * p;
    if (percent >= 99.95) return percent >= 99.9995 ? '100%' : '>99.9%';
    if (percent >= 9.95) return `${percent.toFixed(1)}%`;
    if (percent >= 0.0995) return `${percent.toFixed(2)}%`;
    if (percent >= 0.001) return `${percent.toFixed(percent >= 0.00995 ? 3 : 4)}%`;
    return full ? p.toExponential(1) : '<0.001%';
}

/**
 * @param {number} n number of bytes
 * @returns {string} '1.1 MB' (decimal units, as file managers and download bars count)
 */
export function formatSize(n) {
    if (n < 1000) return `${n} B`;
    if (n < 999_950) return `${(n / 1e3).toFixed(n < 9950 ? 1 : 0)} kB`;
    if (n < 999_950_000) return `${(n / 1e6).toFixed(1)} MB`;
    return `${(n / 1e9).toFixed(2)} GB`;
}

/**
 * Half the summed absolute difference of two distributions: the share of probability that is on the wrong outcomes.
 * @param {ArrayLike<number>} p
 * @param {ArrayLike<number>} q
 * @returns {number} 0..1
 */
export function totalVariation(p, q) {
    let sum = 0;
    for (let i = 0; i < p.length; i++) sum += Math.abs(p[i] - q[i]);
    return Math.min(1, sum / 2);
}

/**
 * A style sheet for a shadow root. Constructed, never a <style> element, so that pages with `style-src 'self'` accept it.
 * @param {string} css its rules
 * @returns {CSSStyleSheet}
 */
export function sheet(css) {
    const s = new CSSStyleSheet();
    s.replaceSync(css);
    return s;
}

/**
 * A small element builder.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children in their order; strings become text, never markup
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
    const el = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) el.setAttribute(name, value);
    el.append(...children);
    return el;
}

/**
 * Text for people who do not see it drawn: announced, invisible.
 */
export const VISUALLY_HIDDEN =
    'position:absolute;width:1px;height:1px;margin:-1px;padding:0;overflow:hidden;clip-path:inset(50%);white-space:nowrap;border:0';
