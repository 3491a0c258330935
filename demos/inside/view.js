/**
 * What the page looks at: a model, a text, a place in it, an answer that is explained, and the parts that are out.
 */

/** @typedef {import('../../web/model.js').Model} Model */
/** @typedef {import('../../web/inspect/ablation.js').Site} Site */
/** @typedef {import('../../web/inspect/ablation.js').How} How */
/**
 * @typedef {object} View
 * @property {Model} model @property {number} serial of the model: another one has another
 * @property {number[]} ids @property {string[]} texts of the tokens
 * @property {number} position @property {number} token whose logit is explained @property {number | 'mean' | null} against
 */

/** The longest text that is looked at, in tokens. */
export const MOST = 64;

/** Texts of tokens; what is no character alone is shown by its bytes. @param {Model} model @param {ArrayLike<number>} ids @returns {string[]} */
export function textsOf(model, ids) {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return Array.from(ids, (id) => {
        try {
            const bytes = model.tokenizer.tokenBytes(id);
            if (!bytes.length) return model.tokenizer.tokenPiece(id);
            try {
                return decoder.decode(bytes);
            } catch {
                return [...bytes].map((b) => `⟨${b.toString(16).padStart(2, '0')}⟩`).join('');
            }
        } catch {
            return `#${id}`;
        }
    });
}

/** @param {View} view what a result of the text alone depends on */
export const textKey = ({ serial, ids }) => JSON.stringify([serial, ids]);
/** @param {View} view what one of a place depends on */
export const placeKey = ({ serial, ids, position }) => JSON.stringify([serial, ids, position]);
/** @param {View} view what one of an answer depends on */
export const answerKey = ({ serial, ids, position, token, against }) => JSON.stringify([serial, ids, position, token, against]);
