/**
 * Two models as one: they meet in the distribution of the next byte, whatever their tokens are.
 */
import { END } from '../../web/elements/format.js';

/** @typedef {{ rule: 'mean' | 'product' | 'posterior', weight: number }} Mixing weight: of the first model, 0..1 */
/**
 * @typedef {object} Both
 * @property {Float64Array[]} p 257 probabilities each: first, second, together
 * @property {number[]} weights that were used
 * @property {number[]} bits per byte of the text, of the three; NaN of an empty text
 * @property {string[]} written what each writes on
 */

const WRITTEN = 28;
const SCORED = 160; // bytes of the text's beginning that are scored: the mixture takes a question for each

/** @param {{ bytes: ArrayLike<number>, end: number }} logs */
const probabilities = ({ bytes, end }) => Float64Array.from({ length: END + 1 }, (_, b) => Math.exp(b < END ? bytes[b] : end));

/**
 * @param {any} first @param {any} second @param {string} text @param {Mixing} mixing @param {{ signal?: AbortSignal, say?: (progress: string) => void }} [options]
 * @returns {Promise<Both>}
 */
export async function bothOf(first, second, text, { rule, weight }, { signal, say } = {}) {
    const { ByteModel, Ensemble, complete } = await import('../../web/index.js');
    const members = [new ByteModel(first), new ByteModel(second)];
    const both = new Ensemble(members, { rule, weights: [weight, 1 - weight] });
    try {
        say?.('Asking both models …');
        const { bytes, end, weights, members: answers } = await both.next(text, { signal });
        const written = [];
        for (const source of [...members, both]) {
            let made = '';
            for await (const part of complete(source, text, { temperature: 0, maxBytes: WRITTEN, signal })) made += part.text;
            written.push(made.replace(/\ufffd+$/, '')); // without the bytes of a character that was cut off
        }
        say?.('Scoring the text …');
        const scored = new TextEncoder().encode(text).subarray(0, SCORED);
        const bits = [];
        for (const member of members) {
            const { bytes: each } = await member.score(scored, { perByte: true, signal });
            bits.push(each?.length ? -each.reduce((a, b) => a + b, 0) / Math.LN2 / each.length : NaN);
        }
        bits.push(scored.length ? (await both.score(scored, { signal })).bitsPerByte : NaN);
        return { p: [...answers.map(probabilities), probabilities({ bytes, end })], weights, bits, written };
    } finally {
        await both.dispose();
        await Promise.all(members.map((m) => m.dispose()));
    }
}
