/**
 * Tokens as people read them.
 */
import { hexBytes } from '../../web/elements/format.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A token's text; bytes that are no text in hexadecimal; special tokens as they are written. @param {{ bytes: Uint8Array, piece: string, kind: string }} token */
export function nameOf({ bytes, piece, kind }) {
    if (kind === 'special' || kind === 'unknown' || !bytes.length) return piece;
    try {
        return utf8.decode(bytes);
    } catch {
        return hexBytes(bytes);
    }
}

/** A number with few digits. @param {number} x */
export const short = (x) => (Number.isFinite(x) ? (Math.abs(x) >= 100 ? Math.round(x).toLocaleString('en') : x.toFixed(Math.abs(x) >= 10 ? 1 : 2)) : '–');
