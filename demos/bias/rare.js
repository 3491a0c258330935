/**
 * The tab of tokens that were hardly trained.
 */
import { toCsv } from '../../web/elements/export.js';
import { hexBytes } from '../../web/elements/format.js';
import { $ } from '../kit/page.js';
import { Part } from '../kit/part.js';
import { code, fill, number, some } from '../kit/table.js';

/** @typedef {import('../../web/probes.js').UndertrainedToken & { bytes: Uint8Array }} Token */
/** @typedef {{ tokens: Token[], references: number, tied: boolean, meanNorm: number }} RareAnswer tokens: all ordinary ones, the most suspicious first */

const MOST_POINTS = 1000; // more of them make a picture slow; the most suspicious are all there
const LIKE = 0.9; // similarity above which a token points where untrained ones point

const panel = $('rare');

/** @type {Part<RareAnswer & { top: number }>} */
const part = new Part(panel, {
    open: () => !panel.hidden,
    async job({ model, text }, { say }) {
        const { undertrainedTokens } = await import('../../web/index.js');
        say('Reading the embeddings …');
        const found = await undertrainedTokens(model, { top: model.tokenizer.vocabSize });
        // Bytes are asked for where they are shown: a vocabulary may have hundreds of thousands.
        const tokens = found.tokens.map((t) => Object.defineProperty(/** @type {Token} */ (t), 'bytes', { get: () => model.tokenizer.tokenBytes(t.id) }));
        return { ...found, tokens, top: Number(JSON.parse(text).top) };
    },
    show({ tokens, references, tied, meanNorm, top }) {
        const like = tokens.filter((t) => t.similarity >= LIKE).length;
        $('rare-told').textContent = `${some(like, 'token')} of ${tokens.length.toLocaleString('en')} ${like === 1 ? 'points' : 'point'} (cosine of at least ${LIKE}) where the ${some(references, 'token')} point that never occur. `
            + `${tied ? 'Input and output share one table' : 'Input and output have tables of their own'}; the mean length of an input embedding is ${number(meanNorm)}.`;
        const longer = tokens.find((t) => t.bytes.length > 1);
        if (longer) $('rare-told').append(' The first that is longer than a byte: ', code(written(longer)), ` (${number(longer.similarity)}).`);
        const step = Math.max(1, Math.ceil((tokens.length - MOST_POINTS / 2) / (MOST_POINTS / 2))), drawn = tokens.filter((_, i) => i < MOST_POINTS / 2 || i % step === 0);
        const group = (/** @type {Token} */ t) => (t.unreachable ? 2 : t.bytes.length === 1 ? 1 : 0), names = ['longer tokens', 'single bytes', 'unreachable'];
        /** @type {any} */ ($('rare-chart')).plot = {
            type: 'scatter', title: drawn.length < tokens.length ? `Tokens by their embeddings: the first ${MOST_POINTS / 2}, and every ${nth(step)} of the rest` : 'Tokens by their embeddings', x: 'length of the input embedding', y: 'cosine to the untrained', xs: drawn.map((t) => t.norm), ys: drawn.map((t) => t.similarity), groups: drawn.map(group),
            groupNames: names.slice(0, drawn.some((t) => t.unreachable) ? 3 : 2), labels: drawn.map((t) => written(t)),
        };
        fill($('rare-table'), ['token', 'id', 'bytes', 'cosine', 'length', 'reachable'], tokens.slice(0, top).map((t) => [code(written(t)), String(t.id), code(hexBytes(t.bytes)), number(t.similarity, 4), number(t.norm, 3), t.unreachable ? 'no' : 'yes']));
        /** @type {any} */ ($('rare-export')).formats = {
            CSV: () => toCsv(['id', 'bytes', 'text', 'similarity', 'norm', 'unreachable'], tokens.map((t) => [t.id, hexBytes(t.bytes), t.text, t.similarity, t.norm, t.unreachable])),
            JSON: () => JSON.stringify(tokens.map(({ id, text, similarity, norm, unreachable }) => ({ id, text, similarity, norm, unreachable })), null, 1),
        };
    },
});

const nth = (/** @type {number} */ n) => `${n}${n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th')}`;

/** A token as people can read it: what has no glyph is told by its bytes. @param {Token} token */
const written = ({ text, bytes }) => (/[\p{C}\ufffd]/u.test(text) ? `‹${hexBytes(bytes)}›` : text.replaceAll(' ', '␣'));

/** @param {any} model @param {Record<string, string>} values of the controls */
export function follow(model, { top }) {
    if (model) part.ask({ model, text: JSON.stringify({ top }) });
}

export const look = () => part.look();
