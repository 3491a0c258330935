/**
 * Trains tokenizers, in a worker. One run trains at several sizes, each from the same counted words: every size is a
 * finished tokenizer, and the page hears of it as soon as it is there.
 */
import { Measure, MicrotomeError, Trainer } from '../../web/index.js';
import { throwIfAborted } from '../../web/runtime/heap.js';
import { serve } from '../../web/runtime/wire.js';
import { nameOf } from '../tokenizers/names.js';

/** @typedef {import('../../web/train/options.js').TrainOptions} TrainOptions */
/** @typedef {{ id: number, bytes: Uint8Array, piece: string, kind: string }} StripToken */
/**
 * A size that is done.
 * @typedef {object} Rung
 * @property {number} size of the vocabulary @property {number} tokensPerByte of the training text, as far as it was measured @property {number} unknown share of its tokens
 * @property {StripToken[]} sample the tokens of the sample text @property {number} seconds it took
 * @property {[left: string, right: string][]} merges those that are new since the size before @property {string[]} added tokens that the size before did not have, when there are no merges
 */
/** @typedef {{ id: number, name: string, piece: string, kind: string, length: number, count: number, score: number, from: string }} Word length in bytes; from: what it was merged of */
/**
 * @typedef {object} Result
 * @property {string | null} tokenizerJson @property {Uint8Array | null} sentencePieceModel @property {Uint8Array} binary @property {Word[]} words @property {number} bytes trained on @property {number} seconds in all
 * @property {{ texts: number, words: number, distinctWords: number, skipped: number }} seen @property {string} model @property {number} measured bytes @property {number} efficiency Rényi
 */

const MEASURED = 4 << 20; // bytes of the training text that are encoded again to be counted
const SAMPLE = 400; // tokens of the sample text
const BUDGET_MS = 6000; // for the sizes on the way
const NEW = 100; // entries told at one size, the last ones

/** Sizes on the way to the last, each a quarter more than the one before. @param {number} target */
function ladder(target) {
    const sizes = [];
    for (let size = target; size > 280; size = Math.round(size / 1.25)) sizes.unshift(size);
    return sizes.length ? sizes : [target];
}

class TrainEngine {
    /** @type {any[]} */ helpers = [];

    /**
     * @param {{ texts: Blob[], options: TrainOptions, sample: string }} args @param {import('../../web/runtime/wire.js').Task} task
     * @returns {Promise<Result>}
     */
    async train({ texts, options, sample }, { signal, event, breathe }) {
        const began = performance.now(), target = /** @type {number} */ (options.vocabSize);
        const trainer = await Trainer.create({ ...options, signal, onProgress: (progress) => event('progress', progress) });
        try {
            await trainer.add(texts);
            const measured = new Uint8Array(await new Blob(texts).slice(0, MEASURED).arrayBuffer());
            if (!measured.length) throw new MicrotomeError('there is no text to learn from', { code: 'EMISSING' });
            /** @type {Set<string>} */ let before = new Set();
            let mergesBefore = 0, spent = 0;
            for (const size of ladder(target)) {
                const last = size === target;
                if (!last && spent > BUDGET_MS) continue;
                const start = performance.now();
                let made;
                try {
                    made = trainer.train({ vocabSize: size });
                } catch (error) {
                    throwIfAborted(signal);
                    if (last || !(error instanceof MicrotomeError) || error.code === 'ENOMEM') throw error;
                    continue; // the alphabet alone is larger
                }
                const { tokenizer, tokens, merges } = made, seconds = (performance.now() - start) / 1000;
                const measure = new Measure(tokenizer);
                try {
                    const used = measure.add(measured, { specialAsText: true }), { unknownRate } = measure.read();
                    const known = new Map(), shown = speller(tokenizer);
                    const strip = Array.from(tokenizer.encode(sample, { offsets: false, specialAsText: true }).ids.subarray(0, SAMPLE), (id) => known.get(id) ?? known.set(id, tokenizer.token(id)).get(id));
                    /** @type {Rung} */ const rung = {
                        size: tokens.length, tokensPerByte: used / measured.length, unknown: unknownRate, sample: strip, seconds,
                        merges: merges.slice(mergesBefore).slice(-NEW).map(([left, right]) => [shown(left), shown(right)]), added: merges.length ? [] : tokens.filter((token) => !before.has(token)).slice(-NEW).map(shown),
                    };
                    event('rung', rung);
                    if (last) return { ...finished(made, measured), binary: await tokenizer.toBinary(), bytes: texts.reduce((n, t) => n + t.size, 0), seconds: (performance.now() - began) / 1000, measured: measured.length, efficiency: measure.efficiency() };
                } finally {
                    measure.dispose();
                    tokenizer.dispose();
                }
                before = new Set(tokens);
                mergesBefore = merges.length;
                spent += performance.now() - start;
                await breathe();
            }
            throw new MicrotomeError('no size could be trained', { code: 'ESTATE' }); // the last one returns or throws
        } finally {
            trainer.dispose();
        }
    }
}

/** @param {import('../../web/train.js').Trained} made @param {Uint8Array} measured @returns {Pick<Result, 'tokenizerJson' | 'sentencePieceModel' | 'words' | 'seen' | 'model'>} */
function finished({ tokenizer, tokenizerJson, sentencePieceModel, merges, scores, seen }, measured) {
    const counts = new Float64Array(tokenizer.vocabSize);
    for (const id of tokenizer.encode(measured, { offsets: false, specialAsText: true }).ids) counts[id]++;
    const shown = speller(tokenizer);
    /** @type {Map<string, string>} */ const parts = new Map();
    for (const [left, right] of merges) if (!parts.has(left + right)) parts.set(left + right, `${shown(left)} + ${shown(right)}`);
    const words = [...tokenizer.tokens()].filter(({ kind }) => kind !== 'hole').map((token) => ({
        id: token.id, name: shown(token.piece), piece: token.piece, kind: token.kind, length: token.bytes.length, count: counts[token.id], score: scores?.[token.id] ?? NaN, from: parts.get(token.piece) ?? '',
    }));
    return { tokenizerJson, sentencePieceModel, words, seen, model: tokenizer.model };
}

/** Pieces as people read them; WordPiece's keep the sign that says that they are not at a word's beginning. @param {import('../../web/tokenizer.js').Tokenizer} tokenizer @returns {(piece: string) => string} */
const speller = (tokenizer) => (piece) => {
    const id = piece.startsWith('##') && tokenizer.model === 'WordPiece' ? null : tokenizer.findPiece(piece);
    return id === null ? piece : nameOf(tokenizer.token(id));
};

const scope = /** @type {any} */ (globalThis);
serve(scope, (handler) => { scope.onmessage = (/** @type {MessageEvent} */ event) => handler(event.data); }, new TrainEngine());
