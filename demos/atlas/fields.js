/**
 * The fields of the atlas in the order of the page, and the search.
 */

/** @typedef {Readonly<import('../../web/atlas/list.js').System>} System */

/** From cutting text to what is done with models. @type {Record<string, string>} */
export const FIELDS = {
    tokenizer: 'Tokenizers',
    bias: 'Tokenization bias',
    'language-study': 'Studies of language',
    'attention-arch': 'Attention, architecture',
    'kv-memory': 'Keys, values, memory',
    decoding: 'Decoding',
    interpretability: 'Interpretability',
    'training-dynamics': 'Training dynamics',
    'distillation-alignment': 'Distillation, alignment',
    'diffusion-lm': 'Diffusion of text',
    speech: 'Speech and sound',
    vision: 'Vision',
    multimodal: 'Text with images',
    other: 'Others',
};

/** Letters without their marks and case. @param {string} text */
const folded = (text) => text.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase();

/** What a search looks at. @param {System} system */
export const haystack = ({ id, slug, title, field, claim, missing = '' }) => folded(`#${id} ${id} ${title} ${FIELDS[field]} ${field} ${slug} ${claim} ${missing}`);

/**
 * Whether every word is there; a number must stand alone.
 * @param {string} hay of `haystack` @param {string} query
 */
export function matches(hay, query) {
    return folded(query).split(/\s+/).filter(Boolean).every((word) => (/^#?\d+$/.test(word) ? ` ${hay} `.includes(` ${word} `) : hay.includes(word)));
}
