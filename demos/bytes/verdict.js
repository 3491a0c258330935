/**
 * One or two sentences from the numbers: where the tokenizer cut, and what that did to the answer.
 * Pure functions: text and distributions in, pieces of a sentence out.
 */
import { byteLabel, END, formatProbability, totalVariation } from '../../web/elements/format.js';

/**
 * A piece of a sentence: words, a byte, or a number of one of the two distributions.
 * @typedef {string | { byte: string } | { exact: string } | { naive: string }} Piece
 */

/** Below this distance both answers are called the same. */
const SAME = 0.005;
/** Below this distance the cut is said to matter little. */
const SLIGHT = 0.08;

/** @param {number} byte @returns {Piece} */
function name(byte) {
    const { glyph, name: spoken, printable } = byteLabel(byte);
    if (printable) return { byte: glyph };
    if (byte === END) return 'the end of the text';
    if (byte >= 0xc2 && byte <= 0xf4) return `a character that begins with the ${spoken}`; // of UTF-8, as the next line
    if (byte >= 0x80 && byte < 0xc0) return `the ${spoken} inside a character`;
    return /^byte/.test(spoken) ? `the ${spoken}` : `a ${spoken}`;
}

/** A probability in a sentence. @param {number} p */
const say = (p) => formatProbability(p).replace('<', 'less than ').replace('>', 'more than ');

/** @param {ArrayLike<number>} p */
function argmax(p) {
    let best = 0;
    for (let i = 1; i < p.length; i++) if (p[i] > p[best]) best = i;
    return best;
}

/** Bytes that continue a word or a number. @param {number} b */
const inWord = (b) => (b >= 48 && b <= 57) || (b >= 65 && b <= 90) || (b >= 97 && b <= 122) || (b >= 0x80 && b < END);

/**
 * Where the last token ends, in words.
 * @param {string} text not empty
 * @param {Uint8Array | null} last bytes of the last token
 * @param {number} likeliest the exact distribution's likeliest byte
 */
function place(text, last, likeliest) {
    const end = /** @type {string} */ ([...text].at(-1));
    if (end === '\n') return 'The tokenizer ended a token at your last line break';
    if (/\s/u.test(end)) return last?.length === 1 ? 'The tokenizer made your last space a token of its own' : 'The tokenizer ended a token after your last space';
    if (/[\p{L}\p{M}\p{N}]/u.test(end) && inWord(likeliest))
        return /\p{N}/u.test(end) ? 'The tokenizer ended a token inside your last number' : 'The tokenizer ended a token inside your last word';
    return `The tokenizer ended a token after ‘${end}’`;
}

/**
 * @param {object} given
 * @param {string} given.text
 * @param {Uint8Array | null} given.last bytes of the last token of the text
 * @param {ArrayLike<number>} given.exact 257 probabilities
 * @param {ArrayLike<number>} given.naive 257 probabilities
 * @returns {{ distance: number, headline: Piece[], aside: Piece[] }}
 */
export function verdict({ text, last, exact, naive }) {
    const distance = totalVariation(exact, naive);
    const likeliest = argmax(exact);
    // The byte that lost most, and the one that gained most.
    const difference = Array.from({ length: END + 1 }, (_, i) => exact[i] - naive[i]);
    const lost = argmax(difference);
    const gained = argmax(difference.map((d) => -d));
    if (!text) {
        return {
            distance,
            headline: ['Nothing is cut yet. The model begins with ', name(likeliest), ' (', { exact: say(exact[likeliest]) }, ').'],
            aside: distance < SAME ? ['An empty text has no last token: both answers are the same.']
                : ['Yet the answers differ: ', name(lost), ' is given ', { naive: say(naive[lost]) }, ' by the first token, exactly it is ', { exact: say(exact[lost]) }, '.'],
        };
    }
    const where = place(text, last, likeliest);

    if (distance < SAME) {
        return {
            distance,
            headline: ['The cut does no harm here: with or without it, the model expects ', name(likeliest), ' (', { exact: say(exact[likeliest]) }, ').'],
            aside: ['No longer token would have fitted at the end of your text, or the model did not expect one.'],
        };
    }
    if (distance < SLIGHT) {
        return {
            distance,
            headline: ['A slight shift: ', name(lost), ' is given ', { naive: say(naive[lost]) }, ', really it is ', { exact: say(exact[lost]) }, '.'],
            aside: [`${where}, but little depended on it.`],
        };
    }
    return {
        distance,
        headline: [`${where}: the model gives `, name(lost), ' ', { naive: say(naive[lost]) }, '. Really it is ', { exact: say(exact[lost]) }, '.'],
        aside: ['Instead it expects ', name(gained), ' with ', { naive: say(naive[gained]) }, '; that deserves ', { exact: say(exact[gained]) }, '.'],
    };
}

/** @param {Piece[]} pieces */
export function plain(pieces) {
    return pieces.map((p) => (typeof p === 'string' ? p : 'byte' in p ? `‘${p.byte}’` : 'exact' in p ? p.exact : p.naive)).join('');
}
