/**
 * What a link to the page says: #lab=NAME&preset=quick&seed=1, and k.KEY=VALUE for each knob that is not as the preset has it.
 */

/**
 * @typedef {import('../../web/lab/define.js').Config} Config
 * @typedef {import('../../web/lab/define.js').Lab} Lab
 * @typedef {{ lab: string | null, preset: string | null, seed: string | null, knobs: Record<string, string> }} Address
 */

/** @param {string} hash @returns {Address} */
export function readAddress(hash) {
    const state = new URLSearchParams(hash.replace(/^#/, ''));
    const knobs = Object.fromEntries([...state].filter(([key]) => key.startsWith('k.')).map(([key, value]) => [key.slice(2), value]));
    return { lab: state.get('lab'), preset: state.get('preset'), seed: state.get('seed'), knobs };
}

/** @param {{ lab: string, preset: string, seed: number, knobs: Config }} state @returns {string} with its # */
export function writeAddress({ lab, preset, seed, knobs }) {
    const state = new URLSearchParams({ lab, preset, seed: String(seed) });
    for (const [key, value] of Object.entries(knobs)) state.set(`k.${key}`, String(value));
    return `#${state}`;
}

/**
 * A knob's value from a text, of the type of its default. What does not fit comes back as it is, for the check that refuses it.
 * @param {Pick<Lab, 'config'>} lab @param {string} key @param {string} text
 */
export function fromText(lab, key, text) {
    const like = lab.config[key]?.value;
    if (typeof like === 'number') return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
    if (typeof like === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
    return text;
}

/** A seed from a text. @param {string} text @returns {number} NaN where it is none */
export function seedFrom(text) {
    const seed = text.trim() === '' ? NaN : Number(text);
    return Number.isSafeInteger(seed) && seed >= 0 ? seed : NaN;
}
