/**
 * The ways to treat the end of a prompt, asked about the same text: the next byte's distribution of each, how far it is
 * from the exact one, what each costs and how it writes on.
 */
import { END, totalVariation } from '../../web/elements/format.js';

/**
 * @typedef {object} Way
 * @property {string} name
 * @property {string} told one line on what it does
 * @property {Record<string, any> | null} heal options of healedNextByte; null: the exact byte model
 * @property {string | null} complete the method of complete(); null: there is none
 */
const WIDE = { epsilon: 1e-5, limit: 16384 }; // the share below which a path is given up, and how many are followed at most
/** All spellings of a text are many: 'full' gives up sooner. @type {Way[]} */
export const WAYS = [
    { name: 'naive', told: 'the prompt’s usual tokens', heal: { tokens: 0 }, complete: 'naive' },
    { name: 'healing', told: 'give up one token; one new token must begin with its bytes', heal: { tokens: 1, classic: true }, complete: 'healing' },
    { name: 'alignment', told: 'give up three tokens; several new ones may spell them', heal: { tokens: 3, ...WIDE }, complete: 'alignment' },
    { name: 'full', told: 'give up all tokens and spell the text anew under a mask', heal: { tokens: Infinity, epsilon: 1e-3, limit: 2048 }, complete: 'full' },
    { name: 'weighted', told: 'as alignment, keeping the probability of each spelling', heal: { tokens: 3, keep: true, ...WIDE }, complete: null },
    { name: 'cover', told: 'draw one cover encoding with its probability, then go on by tokens', heal: null, complete: 'cover' },
    { name: 'exact', told: 'the sum over all covers', heal: null, complete: 'exact' },
];

const WRITTEN = 28; // bytes that each writes on

/**
 * @typedef {object} Healed
 * @property {Way} way
 * @property {Float64Array | null} p 257 probabilities of the next byte; null: the text has too many spellings for this treatment
 * @property {number} distance to the exact distribution; NaN without one
 * @property {number | null} dropped tokens that were given up @property {number | null} contexts that were evaluated
 * @property {string | null} written what it writes on, the likeliest each time
 */

/** @param {{ bytes: ArrayLike<number>, end: number }} logs */
const probabilities = ({ bytes, end }) => Float64Array.from({ length: END + 1 }, (_, b) => Math.exp(b < END ? bytes[b] : end));

/**
 * @param {any} model @param {string} text @param {{ signal?: AbortSignal, onWay?: (name: string) => void }} [options]
 * @returns {Promise<Healed[]>} as WAYS
 */
export async function healedOf(model, text, { signal, onWay } = {}) {
    const { ByteModel, complete, healedNextByte } = await import('../../web/index.js');
    const view = new ByteModel(model);
    const out = [];
    try {
        const real = await view.next(text, { naive: false, signal });
        const exact = probabilities(real);
        for (const way of WAYS) {
            onWay?.(way.name);
            signal?.throwIfAborted();
            const healed = way.heal && (await within(healedNextByte(model, text, way.heal)));
            const p = !way.heal ? exact : healed && probabilities(healed);
            let written = null;
            if (way.complete) {
                written = '';
                for await (const part of complete(model, text, { method: /** @type {any} */ (way.complete), temperature: 0, maxBytes: WRITTEN, seed: 1, signal })) written += part.text;
                written = written.replace(/\ufffd+$/, ''); // bytes of a character that was cut off
            }
            out.push({ way, p, distance: p ? totalVariation(p, exact) : NaN, dropped: healed ? healed.dropped : null, contexts: healed ? healed.contexts : way.heal ? null : real.liveContexts, written });
        }
    } finally {
        await view.dispose();
    }
    return out;
}

/** Null where there would be too many paths. @template T @param {Promise<T>} answer @returns {Promise<T | null>} */
const within = (answer) => answer.catch((error) => {
    if (error?.code !== 'ELIMIT') throw error;
    return null;
});

/** Bytes that are likely for any of them, the likeliest of the exact answer first. @param {Healed[]} healed @param {number} most */
export function likelyBytes(healed, most) {
    const exact = /** @type {Float64Array} */ (healed[healed.length - 1].p);
    const weight = (/** @type {number} */ b) => Math.max(...healed.map(({ p }) => p?.[b] ?? 0));
    return Array.from({ length: END + 1 }, (_, b) => b).sort((a, b) => weight(b) - weight(a)).slice(0, most).sort((a, b) => exact[b] - exact[a]);
}
