/**
 * Where heads look, what they are worth, and where they rest.
 */
import { visibleText } from '../../web/elements/grid.js';
import { ablationSweep } from '../../web/inspect/ablation.js';
import { attentionFlow, attentionNorms, attentionOf, attentionRollout, headMean } from '../../web/inspect/attention.js';
import { feedForwardMaps } from '../../web/inspect/feedforward.js';
import { headDetection } from '../../web/inspect/heads.js';
import { attentionSinks, massiveActivations, stateNorms } from '../../web/inspect/sinks.js';
import { $, make } from '../kit/page.js';
import { keep } from './keep.js';
import { layersOf } from './reading.js';
import { Section } from './section.js';
import { answerKey, placeKey, textKey, textsOf } from './view.js';

/** @typedef {import('./view.js').View} View @typedef {import('./reading.js').Host} Host */

const FLOW_TOKENS = 32; // more would take seconds

/** @param {Host} host */
export function lookingSections(host) {
    return [heads(host), attention(host), sinks(host)];
}

/** @param {Host} host */
function heads(host) {
    const table = /** @type {import('../../web/elements/lens-table.js').LensTable} */ ($('heads-table')), measure = /** @type {HTMLSelectElement} */ ($('heads-measure'));
    /** @type {View | null} */ let now = null;
    table.addEventListener('mt-cell', (e) => {
        const { row, column } = /** @type {CustomEvent} */ (e).detail, count = now?.model.info.heads ?? 0;
        host.choose(column < count ? { kind: 'head', layer: row, head: column } : { kind: column === count ? 'attention' : 'mlp', layer: row });
    });
    const section = new Section(/** @type {HTMLDetailsElement} */ ($('heads')), {
        key: (/** @type {View} */ view) => `${measure.value === 'worth' ? answerKey(view) : textKey(view)} ${measure.value}`,
        /** @returns {Promise<{ what: string, columns: number, effects: import('../../web/inspect/ablation.js').Effect[] | null, values: Float64Array }>} */
        async compute({ model, ids, position, token, against }, signal, progress) {
            const { layers, heads: H } = model.info;
            if (measure.value === 'worth') {
                const { effects } = await ablationSweep(model, ids, { position, token, against: typeof against === 'number' && against !== token ? against : null, signal, onProgress: progress });
                return { what: 'worth', columns: H + 2, effects, values: Float64Array.from(effects, (e) => e.kl) };
            }
            const patterns = await attentionOf(model, ids, { signal });
            if (measure.value === 'first') {
                const { importance } = attentionSinks(patterns, { minQueries: 1 });
                return { what: 'first', columns: H, effects: null, values: Float64Array.from({ length: layers * H }, (_, i) => importance[i * ids.length]) };
            }
            return { what: measure.value, columns: H, effects: null, values: headDetection(patterns)[/** @type {'previous'} */ (measure.value)] };
        },
        show({ what, columns, effects, values }, view) {
            const { layers, heads: H } = view.model.info, most = what === 'worth' ? Math.max(...values, 1e-9) : 1, names = [...Array.from({ length: H }, (_, h) => `H${h}`), 'attention', 'feed-forward'].slice(0, columns), rows = Array.from({ length: layers }, (_, l) => String(l));
            now = view;
            table.data = {
                rows: rows.map((l) => `layer ${l}`), columns: names, measure: what === 'worth' ? 'share of the largest' : 'share of its weight',
                cells: Array.from(values, (value, i) => ({ text: value.toFixed(value >= 10 ? 1 : 2), value: Math.max(0, Math.min(1, what === 'worth' ? Math.sqrt(value / most) : value)), top: effects?.[i].tokens.map((t) => /** @type {[string, number]} */ ([textsOf(view.model, [t.token])[0], t.after])) })),
            };
            keep($('heads-keep'), {
                head: ['layer', 'part', what === 'worth' ? 'kl' : what], rows: Array.from(values, (value, i) => [Math.floor(i / columns), names[i % columns], value]), data: { what, columns: names, layers, values, effects: effects?.map(({ site, kl, logit, probability }) => ({ site, kl, logit, probability })) },
                heat: () => ({ title: /** @type {HTMLOptionElement} */ (measure.selectedOptions[0]).text, rows, cols: names, values, min: 0 }),
            });
        },
    });
    /** @type {View | null} */ let last = null;
    measure.addEventListener('change', () => { if (last) section.follow(last); });
    return {
        /** @param {View} view */
        follow(view) {
            last = view;
            section.follow(view);
        },
    };
}

/** @param {Host} host */
function attention(host) {
    const element = /** @type {import('../../web/elements/attention.js').Attention} */ ($('attention-view')), layer = /** @type {HTMLSelectElement} */ ($('attention-layer')), shown = /** @type {HTMLSelectElement} */ ($('attention-what')), chart = /** @type {import('../../web/elements/chart.js').MtChart} */ ($('flow-chart'));
    /** @type {View | null} */ let last = null;
    element.addEventListener('mt-head', (e) => {
        const { head } = /** @type {CustomEvent} */ (e).detail;
        if (shown.value === 'through') host.choose({ kind: 'mlp', layer: Number(layer.value) });
        else host.choose(head === 'mean' ? { kind: 'attention', layer: Number(layer.value) } : { kind: 'head', layer: Number(layer.value), head });
    });
    element.addEventListener('mt-cell', (e) => host.goTo(/** @type {CustomEvent} */ (e).detail.row));
    const section = new Section(/** @type {HTMLDetailsElement} */ ($('attention')), {
        key: (/** @type {View} */ view) => `${placeKey(view)} ${layer.value} ${shown.value}`,
        async compute({ model, ids, position }, signal, progress) {
            const patterns = await attentionOf(model, ids, { signal }), rollout = await attentionRollout(patterns, { signal }), flow = ids.length <= FLOW_TOKENS ? await attentionFlow(patterns, { position, signal, onProgress: progress }) : null;
            const l = Number(layer.value), lengths = shown.value === 'norms' ? (await attentionNorms(model, ids, { layer: l, signal })).perHead : shown.value === 'through' ? (await feedForwardMaps(model, ids, { layer: l, signal })).feedForward : null;
            return { patterns, rollout, flow, lengths, layer: l };
        },
        show({ patterns, rollout, flow, lengths, layer: l }, view) {
            const T = view.ids.length, { layers } = patterns, p = view.position, H = lengths ? lengths.length / (T * T) : patterns.heads;
            let pattern = patterns.patterns[l];
            if (lengths) { // each row as shares
                pattern = Float32Array.from(lengths);
                for (let r = 0; r < H * T; r++) {
                    let sum = 0;
                    for (let j = 0; j < T; j++) sum += pattern[r * T + j];
                    for (let j = 0; j < T; j++) pattern[r * T + j] /= sum || 1;
                }
            }
            element.data = { tokens: view.texts, heads: H, pattern };
            const names = view.texts.map((text) => visibleText(text, 10)), n = T * T;
            keep($('attention-keep'), {
                head: ['head', 'from', 'to', lengths ? 'share' : 'weight'], rows: Array.from(pattern, (x, i) => [Math.floor(i / n), Math.floor((i % n) / T), i % T, x]).filter(([, i, j]) => j <= i), data: { layer: l, heads: H, tokens: view.texts, what: /** @type {HTMLOptionElement} */ (shown.selectedOptions[0]).text, pattern },
                heat: () => {
                    const { head } = element; // the one that is seen
                    return { title: `Layer ${l}, ${head === 'mean' ? 'mean of the heads' : `head ${head}`}`, rows: names, cols: names, values: head === 'mean' ? headMean(pattern, H) : pattern.subarray(head * n, (head + 1) * n), min: 0, max: 1 };
                },
            });
            const bars = view.texts.slice(0, p + 1).map((text, i) => `${i} ${visibleText(text, 10)}`), mean = headMean(patterns.patterns[layers - 1], patterns.heads), of = (/** @type {ArrayLike<number>} */ x, /** @type {number} */ from) => Array.from({ length: p + 1 }, (_, j) => x[from + j]);
            $('flow-note').hidden = flow !== null;
            chart.plot = { type: 'bar', title: `What reaches token ${p}`, y: 'share', bars, series: [{ name: 'rollout', values: of(rollout[layers - 1], p * T) }, ...(flow ? [{ name: 'flow', values: of(flow.share, 0) }] : []), { name: 'last layer alone', values: of(mean, p * T) }] };
        },
    });
    for (const control of [layer, shown]) control.addEventListener('change', () => { if (last) section.follow(last); });
    return {
        /** @param {View} view */
        follow(view) {
            layersOf(layer, view, view.model.info.layers - 1);
            last = view;
            section.follow(view);
        },
    };
}

/** @param {Host} host */
function sinks(host) {
    const chart = /** @type {import('../../web/elements/chart.js').MtChart} */ ($('sinks-chart')), out = /** @type {HTMLButtonElement} */ ($('sinks-out'));
    /** @type {import('./view.js').Site[]} */ let resting = [];
    out.addEventListener('click', () => host.hold(resting));
    return new Section(/** @type {HTMLDetailsElement} */ ($('sinks')), {
        key: textKey,
        async compute(/** @type {View} */ { model, ids }, signal) {
            return { found: attentionSinks(await attentionOf(model, ids, { signal })), norms: await stateNorms(model, ids, { signal }), activations: await massiveActivations(model, ids, { signal }) };
        },
        show({ found, norms, activations }, view) {
            const { layers, heads } = view.model.info, T = view.ids.length, first = found.sinks.filter((s) => s.position === 0);
            resting = first.filter((s) => s.importance > 0.8).map(({ layer, head }) => ({ kind: 'head', layer, head }));
            out.hidden = !resting.length;
            out.textContent = `Take out the ${resting.length === 1 ? 'head that rests' : `${resting.length} heads that rest`} there with more than 0.8`;
            $('sinks-said').textContent = T < 2 ? 'A text of one token has nothing else to look at.' : `${first.length} of ${layers * heads} heads give the first token more than ${found.epsilon} of their weight on average${first.length ? `, most of all head ${first[0].layer}.${first[0].head} with ${first[0].importance.toFixed(2)}` : ''}.`;
            const l = layers - 1, points = (/** @type {Float64Array} */ x) => Array.from({ length: T }, (_, t) => /** @type {[number, number]} */ ([t, x[l * T + t]]));
            chart.plot = { type: 'line', title: `Lengths in layer ${l}, by token`, x: 'token', y: 'Euclidean length', logY: true, lines: [{ name: 'state after the layer', points: points(norms.states) }, { name: 'keys', points: points(norms.keys) }, { name: 'values', points: points(norms.values) }] };
            $('sinks-table').replaceChildren(
                make('caption', {}, activations.massive.length ? `${activations.massive.length} activations are massive: over 100 and over a thousand times the median size.` : 'The largest activations after each layer. None is massive, that is over 100 and over a thousand times the median size.'),
                make('thead', {}, make('tr', {}, ...['layer', 'median size', 'largest', 'channel', 'at token', 'times the median'].map((name) => make('th', { scope: 'col' }, name)))),
                make('tbody', {}, ...activations.layers.map(({ layer, median, top: [most] }) => make('tr', {}, make('th', { scope: 'row' }, String(layer)), ...[median.toFixed(3), most.value.toFixed(2), String(most.channel)].map((text) => make('td', { className: 'n' }, text)),
                    make('td', {}, `${most.position} `, make('bdi', { className: 'token' }, visibleText(view.texts[most.position], 14))), make('td', { className: 'n' }, (Math.abs(most.value) / median).toFixed(1))))));
        },
    });
}
