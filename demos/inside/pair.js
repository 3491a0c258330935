/**
 * Two texts: where their difference lies, by putting values of the one into the other.
 */
import { visibleText } from '../../web/elements/grid.js';
import { patchingMap } from '../../web/inspect/patching.js';
import { largest, logSoftmax } from '../../web/inspect/stream.js';
import { latest } from '../kit/latest.js';
import { $, words } from '../kit/page.js';
import { keep } from './keep.js';
import { showNext } from './next.js';
import { Section } from './section.js';
import { textsOf } from './view.js';

/** @typedef {import('./view.js').View} View */

const VALUES = { state: 'hook_resid_pre', attention: 'hook_attn_out', mlp: 'hook_mlp_out', heads: 'attn.hook_z' };

/** @param {number} x two decimals, with a minus that is one */
const signed = (x) => x.toFixed(2).replace(/^-0\.00$/, '0.00').replace('-', '−');

/** @returns {{ follow: (view: View) => void }} */
export function pairSection() {
    const other = /** @type {HTMLInputElement} */ ($('other')), what = /** @type {HTMLSelectElement} */ ($('pair-what')), direction = /** @type {HTMLSelectElement} */ ($('pair-direction'));
    const table = /** @type {import('../../web/elements/lens-table.js').LensTable} */ ($('pair-table'));
    /** @type {View | null} */ let last = null;
    /** @type {{ map: import('../../web/inspect/patching.js').PatchingMap, view: View, ids: number[], texts: string[] } | null} */ let now = null;

    const section = new Section(/** @type {HTMLDetailsElement} */ ($('pair')), {
        key: (/** @type {View} */ { serial, ids, position }) => JSON.stringify([serial, ids, position, other.value, what.value, direction.value]),
        async compute({ model, ids, position }, signal, progress) {
            if (!other.value) throw new Error('Write another text that differs from yours in a word or two.');
            const list = Array.from(model.tokenizer.encode(other.value, { addSpecialTokens: true, offsets: false }).ids).slice(0, Math.max(ids.length, 1) + 64);
            if (list.length !== ids.length) throw new Error(`Your text has ${ids.length} tokens here, the other ${list.length}: both need as many, so that each has a fellow.`);
            const places = what.value === 'heads' ? [] : [/** @type {import('../../web/inspect/patching.js').Where} */ (what.value)];
            return { list, what: what.value, map: await patchingMap(model, ids, list, { position, places, heads: what.value === 'heads', direction: /** @type {'noise'} */ (direction.value), signal, onProgress: progress }) };
        },
        show({ list, map, what: shown }, view) {
            const texts = textsOf(view.model, list), values = /** @type {Float64Array} */ (shown === 'heads' ? map.byHead : map.places[/** @type {'state'} */ (shown)]), quoted = (/** @type {number} */ id) => `“${visibleText(textsOf(view.model, [id])[0], 20)}”`;
            now = { map, view, ids: list, texts };
            const columns = shown === 'heads' ? Array.from({ length: map.heads }, (_, h) => `H${h}`) : view.texts.map((text, i) => (view.ids[i] === list[i] ? text : `${text}→${texts[i]}`)), rows = Array.from({ length: map.layers }, (_, l) => `layer ${l}`);
            $('pair-said').textContent = `Measured is the logit of ${quoted(map.token)} less that of ${quoted(map.against)}: ${signed(map.clean)} for your text, ${signed(map.corrupt)} for the other. 0: the value changes nothing, 1: it makes the whole difference.`;
            table.data = { rows, columns, measure: 'share of the difference', cells: Array.from(values, (value) => ({ text: signed(value), value: Math.max(0, Math.min(1, value)) })) };
            const best = largest(values, 1)[0], column = best % columns.length;
            table.selected = { row: Math.floor(best / columns.length), column };
            put({ row: Math.floor(best / columns.length), column });
            keep($('pair-keep'), {
                head: ['layer', shown === 'heads' ? 'head' : 'token', 'share'], rows: Array.from(values, (value, i) => [Math.floor(i / columns.length), columns[i % columns.length], value]), data: { ...map, mine: view.ids, other: list },
                heat: () => ({ title: 'Share of the difference that one value makes', rows, cols: columns.map((c) => visibleText(c, 10)), values }),
            });
        },
    });

    /** One value put in, and what comes next then. */
    const put = latest(
        async (/** @type {{ row: number, column: number }} */ { row, column }, signal) => {
            const { map, view, ids } = /** @type {NonNullable<typeof now>} */ (now), { model, position } = view, mine = direction.value === 'denoise', [source, base] = mine ? [view.ids, ids] : [ids, view.ids];
            const kind = /** @type {keyof typeof VALUES} */ (what.value), name = `blocks.${row}.${VALUES[kind]}`, from = await model.run(source, { all: true, trace: name, signal }), plain = await model.run(base, { all: true, signal });
            const patched = await model.run(base, { all: true, patch: [{ name, kind: 'freeze', run: from, index: kind === 'heads' ? [null, column] : [column] }], signal });
            const at = (/** @type {{ logits: Float32Array, vocab: number }} */ { logits, vocab }) => logSoftmax(logits, position * vocab, vocab);
            return { source: at(from), base: at(plain), patched: at(patched), mine, map };
        },
        ({ source, base, patched, mine }) => {
            if (!now) return;
            const seen = [...new Set([...largest(patched, 5), ...largest(base, 5), ...largest(source, 5)])].sort((a, b) => Math.max(patched[b], base[b], source[b]) - Math.max(patched[a], base[a], source[a])).slice(0, 8), texts = textsOf(now.view.model, seen);
            showNext($('pair-next'), { caption: 'Probabilities of the next token: without and with the value put in, and of the text that it comes from', versions: [mine ? 'the other' : 'mine', 'with the value', mine ? 'mine' : 'the other'], rows: seen.map((id, i) => ({ text: texts[i], values: [base, patched, source].map((log) => Math.exp(log[id])) })) });
        },
        (error) => { $('pair-next').textContent = words(error); },
        $('pair'),
    );
    table.addEventListener('mt-cell', (e) => put(/** @type {CustomEvent} */ (e).detail));
    for (const control of [what, direction]) control.addEventListener('change', () => { if (last) section.follow(last); });
    return {
        /** @param {View} view */
        follow(view) {
            last = view;
            section.follow(view);
        },
    };
}
