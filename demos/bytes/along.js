/**
 * What the cut costs at every byte of a text: the bits that the byte takes after the tokenized prefix, and exactly.
 */

/** Bytes of a text that are measured; each takes a question. */
export const LONGEST = 600;

/**
 * @typedef {object} Along
 * @property {string} text what was measured: the beginning of a long text
 * @property {number} left bytes that were not
 * @property {Float64Array} exact bits of each byte
 * @property {Float64Array} naive
 * @property {{ bits: number, count: number, starts: Set<number> }} own the tokenizer's own tokens: their bits, how many, where they begin
 */
/** @typedef {{ text: string, at: number, bytes: number, exact: number, naive: number, begins: boolean }} Character at: byte; begins: a token begins here */

/** @param {string} text @param {number} most bytes @returns {string} its beginning, of whole characters */
export function beginningOf(text, most) {
    let bytes = 0, out = '';
    for (const c of text) {
        bytes += new TextEncoder().encode(c).length;
        if (bytes > most) return out;
        out += c;
    }
    return text;
}

/**
 * @param {any} model @param {string} whole @param {{ signal?: AbortSignal, onProgress?: (done: number, total: number) => void }} [options]
 * @returns {Promise<Along>}
 */
export async function alongOf(model, whole, { signal, onProgress } = {}) {
    const { ByteModel, scoreTokenizations } = await import('../../web/index.js');
    const text = beginningOf(whole, LONGEST), bytes = new TextEncoder().encode(text);
    const exact = new Float64Array(bytes.length), naive = new Float64Array(bytes.length);
    const view = new ByteModel(model);
    try {
        for (let i = 0; i < bytes.length; i++) {
            const r = await view.next(bytes.subarray(0, i), { signal });
            exact[i] = -r.bytes[bytes[i]] / Math.LN2;
            naive[i] = -(r.naive?.[bytes[i]] ?? NaN) / Math.LN2;
            if (i % 16 === 15) onProgress?.(i + 1, bytes.length);
        }
    } finally {
        await view.dispose();
    }
    const ids = model.tokenizer.encode(text, { offsets: false }).ids;
    const [own] = bytes.length ? await scoreTokenizations(model, [ids]) : [0];
    const starts = new Set();
    let at = 0;
    for (const id of ids) {
        starts.add(at);
        at += model.tokenizer.tokenBytes(id).length;
    }
    return { text, left: new TextEncoder().encode(whole).length - bytes.length, exact, naive, own: { bits: -own / Math.LN2, count: ids.length, starts } };
}

/** The same by characters, which is how people read. @param {Along} along @returns {Character[]} */
export function charactersOf({ text, exact, naive, own }) {
    let at = 0;
    return Array.from(text, (c) => {
        const bytes = new TextEncoder().encode(c).length;
        const sum = (/** @type {Float64Array} */ list) => list.subarray(at, at + bytes).reduce((a, b) => a + b, 0);
        const character = { text: c, at, bytes, exact: sum(exact), naive: sum(naive), begins: own.starts.has(at) };
        at += bytes;
        return character;
    });
}

/** Shades of the cost in bits: a character that costs at least the i-th has shade i + 1. */
export const SHADES = [0.5, 2, 4, 8];

/** @param {Character} character @returns {number} 0 .. 4 */
export const shadeOf = ({ exact, naive }) => SHADES.filter((least) => naive - exact >= least).length;
