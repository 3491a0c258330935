/**
 * The known source in a worker of its own: tabulating a million texts takes seconds.
 *
 *   in   { id, task: 'tabulate', setting, texts } or { id, task: 'dictionaries', setting, sizes, letters }
 *   out  { id, result } or { id, error: message }
 */
import { MarkovSource, MicrotomeError, trainTokenizer } from '../../web/index.js';

/** @typedef {import('./source.js').Setting} Setting */
/**
 * @typedef {object} Row
 * @property {string} text
 * @property {string[]} pieces its tokens
 * @property {Record<string, number> | null} truth null: no text begins so
 * @property {Record<string, number> | null} naive
 * @property {Record<string, number> | null} corrected
 * @property {number} calls of the token model
 */
/** @typedef {{ rows: Row[], tokens: string[], rate: number, entropy: number, blocks: [size: number, loss: number][], stationary: number[] }} Tabulated nats a letter */

const BLOCKS = [1, 2, 4, 8, 16];
const SAMPLE = 20_000; // letters that merges are learned from

/** @param {Setting} setting @returns {Promise<Tabulated & { texts: string[] }>} */
async function tabulate({ letters, order, next, cut, tokens, merges, length }, /** @type {string[]} */ texts) {
    const source = await MarkovSource.create({ letters, order, next });
    try {
        const tokenizer = cut === 'bpe' ? (await trainTokenizer([source.sample(SAMPLE, { seed: 1 })], { kind: 'bpe', vocabSize: 256 + merges, preTokenizer: 'none' })).tokenizer : null;
        const model = await source.tokenModel({ length, ...(tokenizer ? { tokenizer } : { tokens }) });
        const known = model.tokenizer, spelt = (/** @type {number} */ id) => new TextDecoder().decode(known.tokenBytes(id));
        const rows = texts.map((text) => {
            const pieces = Array.from(known.encode(text, { offsets: false }).ids, spelt);
            try {
                const { truth, naive, corrected, modelCalls } = model.predict(text);
                return { text, pieces, truth, naive, corrected, calls: modelCalls };
            } catch (error) {
                if (!(error instanceof MicrotomeError && error.code === 'ERANGE')) throw error; // a text that the source never begins with
                return { text, pieces, truth: null, naive: null, corrected: null, calls: 0 };
            }
        });
        const longer = tokenizer ? Array.from({ length: known.vocabSize - 256 }, (_, i) => spelt(256 + i)) : tokens.filter((t) => t.length > 1);
        model.dispose();
        known.dispose();
        return { texts, rows, tokens: [...letters, ...longer], rate: source.entropyRate, entropy: source.entropy(1), blocks: BLOCKS.map((r) => [r, source.blockLoss(r)]), stationary: [...source.stationary] };
    } finally {
        source.dispose();
    }
}

/** @param {Setting} setting @param {number[]} sizes @param {number} count */
async function dictionaries({ letters, order, next }, sizes, count) {
    const source = await MarkovSource.create({ letters, order, next });
    try {
        const kept = sizes.filter((size) => size >= letters.length);
        return { losses: await source.dictionaryLosses({ sizes: kept, letters: count, seed: 1 }), rate: source.entropyRate, entropy: source.entropy(1) };
    } finally {
        source.dispose();
    }
}

addEventListener('message', async ({ data: { id, task, setting, texts, sizes, letters } }) => {
    try {
        postMessage({ id, result: task === 'tabulate' ? await tabulate(setting, texts) : await dictionaries(setting, sizes, letters) });
    } catch (error) {
        postMessage({ id, error: error instanceof Error ? error.message : String(error) });
    }
});
