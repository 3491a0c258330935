/**
 * Tokens as people read them.
 */
import { hexBytes } from '../../web/elements/format.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A token's text; bytes that are no text, or that nobody can see, in hexadecimal; special tokens as they are written. @param {{ bytes: Uint8Array, piece: string, kind: string }} token */
export function nameOf({ bytes, piece, kind }) {
    if (kind === 'special' || kind === 'unknown' || !bytes.length) return piece;
    try {
        const text = utf8.decode(bytes);
        return /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/.test(text) ? hexBytes(bytes) : text;
    } catch {
        return hexBytes(bytes);
    }
}

/** A number with few digits. @param {number} x */
export const short = (x) => (Number.isFinite(x) ? (Math.abs(x) >= 100 ? Math.round(x).toLocaleString('en') : x.toFixed(Math.abs(x) >= 10 ? 1 : 2)) : '–');
