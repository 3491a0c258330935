/**
 * What the elements share: how they write bytes, probabilities and sizes (pure functions), and what they are built of.
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
 * A folded table: a summary, and the table in a region that scrolls and can be reached with the keyboard.
 * @param {string} name what the table is called
 * @param {() => void} toggled called when it is opened or closed
 * @param {...Node} parts of the table
 * @returns {HTMLDetailsElement}
 */
export function folded(name, toggled, ...parts) {
    const details = h('details', {}, h('summary', {}, name), h('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': name }, h('table', {}, ...parts)));
    details.addEventListener('toggle', toggled);
    return details;
}

/**
 * Hands a file to the browser, which saves it or asks where.
 * @param {string} name of the file
 * @param {BlobPart} content a Blob keeps its own type
 * @param {string} type MIME
 */
export function save(name, content, type) {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    h('a', { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download has begun by then
}

/**
 * Text for people who do not see it drawn: announced, invisible.
 */
export const VISUALLY_HIDDEN =
    'position:absolute;width:1px;height:1px;margin:-1px;padding:0;overflow:hidden;clip-path:inset(50%);white-space:nowrap;border:0';

/**
 * How every element begins: its colours, from the custom properties of the page or, without them, for light and dark grounds; `hidden` hides.
 */
export const HOST = `
:host {
    --_ink: var(--mt-ink, light-dark(#1c2430, #e8eaee));
    --_muted: var(--mt-muted, light-dark(#5a6472, #a2abb8));
    --_line: var(--mt-line, light-dark(#e2e5ea, #343b45));
    --_surface: var(--mt-surface, light-dark(#ffffff, #191d23));
    --_focus: var(--mt-focus, light-dark(#1d5fa8, #79b4f5));
    --_exact: var(--mt-exact, light-dark(#2268b2, #6cb0f7));
    --_naive: var(--mt-naive, light-dark(#c4700c, #eda94b));
    --_exact-ink: var(--mt-exact-ink, light-dark(#1b5796, #8cc2fa));
    --_naive-ink: var(--mt-naive-ink, light-dark(#92510a, #f0b667));
    --_mono: var(--mt-mono, ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, 'DejaVu Sans Mono', monospace);
    display: block;
    color: var(--_ink);
}
:host([hidden]), [hidden] { display: none !important; }
`;
