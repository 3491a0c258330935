/**
 * The tabs of typing errors and of formats: the same sentences, written otherwise.
 */
import { toCsv } from '../../web/elements/export.js';
import { $, make } from '../kit/page.js';
import { Part } from '../kit/part.js';
import { fill, number, some } from '../kit/table.js';

/** @typedef {import('../../web/elements/token-strip.js').TokenStrip} TokenStrip */
/** @typedef {import('../../web/probes.js').VariantRow} VariantRow */

const chart = (/** @type {string} */ id) => /** @type {any} */ ($(id));
const strip = (/** @type {string} */ id) => /** @type {TokenStrip} */ (/** @type {unknown} */ ($(id)));
const library = () => import('../../web/index.js');

/** The sentences of the page. @param {string} lines @returns {string[]} @throws {Error} there is none */
function sentences(lines) {
    const list = lines.split('\n').filter((line) => line.trim());
    if (!list.length) throw new Error('Write at least one sentence.');
    return list;
}

/** @param {any} model @param {Iterable<number>} ids */
export const tokensOf = (model, ids) => Array.from(ids, (id) => model.tokenizer.token(id));
/** @param {any} model @param {string} text */
const idsOf = (model, text) => model.tokenizer.encode(text, { offsets: false }).ids;

const HEAD = ['', 'errors', 'bits a byte, along the tokens', 'exactly', 'tokens', 'token distance'];
/** @param {VariantRow[]} rows */
const cells = (rows) => rows.map((r) => [r.variant, String(r.edits), number(r.bitsPerByte, 3), number(r.exactBitsPerByte, 3), number(r.tokens, 1), number(r.tokenDistance, 1)]);
const FILE_HEAD = ['variant', 'edits', 'bits', 'exactBits', 'bitsPerByte', 'exactBitsPerByte', 'tokens', 'tokenDistance'];
/** @param {VariantRow[]} rows */
const files = (rows) => ({ CSV: () => toCsv(FILE_HEAD, rows.map((r) => FILE_HEAD.map((name) => /** @type {any} */ (r)[name]))), JSON: () => JSON.stringify(rows, null, 1) });

// ---- typing errors -----------------------------------------------------------------------------------------------------

const OPERATORS = [['swap', 'swap neighbours'], ['drop', 'drop'], ['repeat', 'repeat'], ['keyboard', 'the key beside']];
$('operators').replaceChildren(...OPERATORS.map(([name, label]) => make('label', {}, Object.assign(make('input', { type: 'checkbox', name: `op-${name}` }), { defaultChecked: true }), ` ${label}`)));
const EDITS = [0, 1, 2, 4, 8];

/**
 * @typedef {object} TypoAnswer
 * @property {VariantRow[]} rows @property {{ clean: any[], dirty: any[], text: string, edits: number, operator: string }} sample
 */
/** @type {Part<TypoAnswer>} */
const typos = new Part($('typos'), {
    open: () => !$('typos').hidden,
    async job({ model, text }, { signal, say }) {
        const { lines, level, most, seed, ...boxes } = JSON.parse(text), texts = sentences(lines), { typoProbe, withTypos } = await library();
        const operators = OPERATORS.map(([name]) => name).filter((name) => boxes[`op-${name}`] === 'on'), edits = EDITS.filter((n) => n <= Number(most));
        if (!operators.length) throw new Error('Choose at least one kind of error.');
        if (!/^\d{1,9}$/.test(seed)) throw new Error(`Seed: “${seed}” is not a whole number from 0 to 999999999`);
        const rows = [];
        for (const operator of operators) {
            say(`${operator} …`);
            rows.push(...(await typoProbe(model, texts, { operators: [operator], edits, level, seed: Number(seed), signal })));
        }
        const count = Math.min(2, Number(most)), dirty = withTypos(model.tokenizer, texts[0], operators[0], count, { seed: Number(seed), level });
        return { rows, sample: { clean: tokensOf(model, idsOf(model, texts[0])), dirty: tokensOf(model, idsOf(model, dirty)), text: dirty, edits: count, operator: operators[0] } };
    },
    show({ rows, sample }) {
        const operators = [...new Set(rows.map((r) => r.variant))], of = (/** @type {string} */ name) => rows.filter((r) => r.variant === name);
        const clean = rows[0], ends = operators.map((name) => /** @type {VariantRow} */ (of(name).at(-1))), worst = ends.reduce((a, b) => (b.bitsPerByte > a.bitsPerByte ? b : a)), one = rows.filter((r) => r.edits === 1);
        const mean = (/** @type {(r: VariantRow) => number} */ f) => one.reduce((s, r) => s + f(r), 0) / one.length;
        $('typos-told').textContent = `One error changes ${number(mean((r) => r.tokenDistance), 1)} tokens and takes a sentence from ${number(clean.bitsPerByte)} to ${number(mean((r) => r.bitsPerByte))} bits a byte. `
            + `With ${some(worst.edits, 'error')} of the kind “${worst.variant}” it costs ${number(worst.bitsPerByte)}.`;
        strip('clean').tokens = sample.clean;
        strip('dirty').tokens = sample.dirty;
        $('dirty-title').textContent = `With ${some(sample.edits, 'error')} (${sample.operator})`;
        const lines = (/** @type {(r: VariantRow) => number} */ f) => operators.map((name) => ({ name, points: of(name).map((r) => /** @type {[number, number]} */ ([r.edits, f(r)])) }));
        chart('typos-bits').plot = { type: 'line', title: 'Bits a byte of a sentence with errors', x: 'errors in a sentence', y: 'bits a byte', lines: lines((r) => r.bitsPerByte) };
        chart('typos-tokens').plot = { type: 'line', title: 'Tokens that are others than before', x: 'errors in a sentence', y: 'edit distance in tokens', lines: lines((r) => r.tokenDistance) };
        fill($('typos-table'), ['kind', ...HEAD.slice(1)], cells(rows));
        /** @type {any} */ ($('typos-export')).formats = files(rows);
    },
});

// ---- formats -------------------------------------------------------------------------------------------------------------

/** Names that fit below a bar. @type {Record<string, string>} */
const SHORT = {
    'as it is': 'as is', 'upper case': 'UPPER', 'lower case': 'lower', 'title case': 'Title', 'double spaces': 'a␣␣b', 'no spaces': 'ab', 'spaced letters': 'w␣o␣r', tabs: 'a⇥b', 'leading space': '␣a', 'trailing space': 'a␣',
    'space before commas': 'a␣,',
};
/** @typedef {{ rows: VariantRow[], comma: Awaited<ReturnType<typeof import('../../web/probes.js').commaProbe>> | null, text: string, commaTokens: any[][] }} FormatAnswer */
/** @type {Part<FormatAnswer>} */
const formats = new Part($('formats'), {
    open: () => !$('formats').hidden,
    async job({ model, text }, { signal, say }) {
        const { lines } = JSON.parse(text), texts = sentences(lines), { commaProbe, formatProbe } = await library();
        say('Writing otherwise …');
        const rows = await formatProbe(model, texts, { signal });
        const withComma = texts.find((line) => /(?<! ),/.test(line));
        const comma = withComma ? await commaProbe(model, withComma, { seed: 1 }) : null;
        return { rows, comma, text: texts[0], commaTokens: comma ? [tokensOf(model, comma.before.ids), tokensOf(model, comma.after.ids)] : [] };
    },
    show(answer, { model }) {
        const { rows, comma, text, commaTokens } = answer;
        const plain = rows[0], others = rows.slice(1), worst = others.reduce((a, b) => (b.bits > a.bits ? b : a)), trailing = rows.find((r) => r.variant === 'trailing space');
        $('formats-told').textContent = `Written as it is, a sentence costs ${number(plain.bits, 1)} bits; dearest is “${worst.variant}” with ${number(worst.bits, 1)} bits and ${number(worst.tokens / plain.tokens, 1)} times the tokens.`
            + (trailing ? ` A trailing space costs ${number(trailing.bits - plain.bits, 1)} bits along the tokens, exactly ${number(trailing.exactBits - plain.exactBits, 1)}: the rest is the cut behind it.` : '');
        chart('formats-chart').plot = { type: 'bar', title: 'Bits of a sentence in each format', y: 'bits', bars: rows.map((r) => SHORT[r.variant] ?? r.variant), series: [{ name: 'exactly', values: rows.map((r) => r.exactBits) }, { name: 'along the tokens', values: rows.map((r) => r.bits) }] };
        fill($('formats-table'), ['format', 'bits', 'exactly', 'bits a byte', 'exactly, a byte', 'tokens', 'token distance'], rows.map((r) => [r.variant, number(r.bits, 1), number(r.exactBits, 1), number(r.bitsPerByte, 3), number(r.exactBitsPerByte, 3), number(r.tokens, 1), number(r.tokenDistance, 1)]));
        /** @type {any} */ ($('formats-export')).formats = files(rows);
        shown = { model, text };
        showFormat();
        const has = comma !== null;
        for (const id of ['comma-before', 'comma-after', 'comma-chart']) $(id).hidden = !has;
        if (!comma) {
            $('comma-told').textContent = 'None of the sentences has a comma without a space before it.';
            return;
        }
        const bits = (/** @type {number} */ nats) => nats / Math.LN2, mean = (/** @type {Float64Array} */ list) => bits(list.reduce((a, b) => a + b, 0) / list.length);
        $('comma-told').textContent = `The mean surprisal of a token goes from ${number(mean(comma.before.nats))} to ${number(mean(comma.after.nats))} bits: ${number(bits(comma.own), 1)} bits through ${some(comma.added.length, 'new token')}, ${number(bits(comma.behind), 1)} through those behind.`;
        [strip('comma-before').tokens, strip('comma-after').tokens] = commaTokens;
        const points = (/** @type {Float64Array} */ list) => [...list].map((y, x) => /** @type {[number, number]} */ ([x + 1, bits(y)]));
        chart('comma-chart').plot = { type: 'line', title: 'Surprisal of each token', x: 'token', y: 'bits', lines: [{ name: 'before', points: points(comma.before.nats) }, { name: 'with the space', points: points(comma.after.nats) }] };
    },
});

/** @type {{ model: any, text: string } | null} */ let shown = null;
const select = /** @type {HTMLSelectElement} */ ($('format'));

/** The first sentence in the format that is chosen, as tokens. */
async function showFormat() {
    if (!shown) return;
    const { model, text } = shown, { inFormat } = await import('../../web/probes.js');
    strip('formatted').tokens = tokensOf(model, idsOf(model, inFormat(text, select.value)));
}
select.addEventListener('change', () => void showFormat());

/** @param {any} model @param {Record<string, string>} values of the controls */
export function follow(model, { lines, level, most, seed, ...rest }) {
    if (!model) return;
    const boxes = Object.fromEntries(Object.entries(rest).filter(([name]) => name.startsWith('op-')));
    typos.ask({ model, text: JSON.stringify({ lines, level, most, seed, ...boxes }) });
    formats.ask({ model, text: JSON.stringify({ lines }) });
}

export function look() {
    typos.look();
    formats.look();
}
