/**
 * What layers, parts and neurons say: the lens, the attribution, the neurons.
 */
import { visibleText } from '../../web/elements/grid.js';
import { logitAttribution } from '../../web/inspect/attribution.js';
import { logitLens } from '../../web/inspect/lens.js';
import { neuronReadings } from '../../web/inspect/neurons.js';
import { $, make } from '../kit/page.js';
import { keep } from './keep.js';
import { Section } from './section.js';
import { answerKey, placeKey, textKey, textsOf } from './view.js';

/** @typedef {import('./view.js').View} View @typedef {import('./view.js').Site} Site */
/** @typedef {{ choose: (site: Site | null) => void, hold: (sites: Site[]) => void, goTo: (position: number) => void, changed: () => void }} Host what sections may ask of the page */

/** @param {Host} host */
export function readingSections(host) {
    return [lens(host), parts(host), neurons(host)];
}

/** @param {Host} host */
function lens(host) {
    const table = /** @type {import('../../web/elements/lens-table.js').LensTable} */ ($('lens-table')), measure = /** @type {HTMLSelectElement} */ ($('lens-measure')), chart = /** @type {import('../../web/elements/chart.js').MtChart} */ ($('lens-chart'));
    /** @type {{ found: import('../../web/inspect/lens.js').Lens, view: View } | null} */ let now = null;
    let row = -1;
    function draw() {
        if (!now) return;
        const { found, view } = now, { vocab } = view.model.info, T = view.ids.length, names = found.rows.map((name) => (name === 'embed' ? 'embedding' : `layer ${name}`));
        const value = { probability: (/** @type {any} */ c) => c.probability, closeness: (/** @type {any} */ c) => Math.exp(-c.kl), certainty: (/** @type {any} */ c) => Math.max(0, 1 - c.entropy / Math.log(vocab)) }[measure.value] ?? (() => 0);
        const spell = (/** @type {number} */ id) => textsOf(view.model, [id])[0];
        const cells = found.cells.map((cell) => ({ text: spell(cell.token), value: Math.min(1, value(cell)), top: cell.top.map((t) => /** @type {[string, number]} */ ([spell(t.token), t.probability])) }));
        table.data = { rows: names, columns: view.texts, cells, measure: measure.value };
        mark();
        const step = found.rows.map((_, r) => r - 1);
        chart.plot = T > 1 ? { type: 'line', title: 'How far each layer is from what follows', x: 'after layer (−1: the embedding)', y: 'nats, mean over the text', lines: [{ name: 'to the token that follows', points: step.map((x, r) => /** @type {[number, number]} */ ([x, found.crossEntropy[r]])) }, { name: 'to the output', points: step.map((x, r) => /** @type {[number, number]} */ ([x, found.crossToOutput[r]])) }] } : null;
        keep($('lens-keep'), {
            head: ['layer', 'token', 'text', 'likeliest', 'probability', 'entropy', 'kl', 'rank of the output'], rows: found.cells.map((c, i) => [found.rows[Math.floor(i / T)], i % T, view.texts[i % T], cells[i].text, c.probability, c.entropy, c.kl, c.rank]),
            data: found, heat: () => ({ title: `Logit lens: ${measure.value}`, rows: names, cols: view.texts.map((t) => visibleText(t, 10)), values: cells.map((c) => c.value), min: 0, max: 1 }),
        });
    }
    /** The chosen place stays marked. */
    function mark() {
        if (now) table.selected = { row: row < 0 ? now.found.rows.length - 1 : Math.min(row, now.found.rows.length - 1), column: Math.min(now.view.position, now.view.ids.length - 1) };
    }
    measure.addEventListener('change', draw);
    table.addEventListener('mt-cell', (e) => {
        const { row: r, column } = /** @type {CustomEvent} */ (e).detail;
        row = r;
        host.goTo(column);
    });
    const section = new Section(/** @type {HTMLDetailsElement} */ ($('lens')), {
        key: textKey,
        compute: (/** @type {View} */ view, signal, progress) => logitLens(view.model, view.ids, { top: 8, signal, onProgress: progress }),
        show(found, view) {
            now = { found, view };
            draw();
        },
    });
    return {
        /** @param {View} view */
        follow(view) {
            section.follow(view);
            if (now && now.view.ids === view.ids && now.view.serial === view.serial) {
                now.view = view;
                mark();
            }
        },
    };
}

/** @param {import('../../web/inspect/attribution.js').Part} part @returns {string} */
function partName({ kind, layer, head, name }) {
    return kind === 'head' ? `head ${layer}.${head}` : kind === 'mlp' ? `feed-forward ${layer}` : kind === 'embed' ? 'embedding' : kind === 'rest' ? `attention bias ${layer}` : name;
}

/** @param {Host} host */
function parts(host) {
    const bars = /** @type {import('../../web/elements/logit-bars.js').LogitBars} */ ($('parts-bars'));
    /** @type {import('../../web/inspect/attribution.js').Part[]} */ let shown = [];
    bars.addEventListener('mt-part', (e) => {
        const part = shown[/** @type {CustomEvent} */ (e).detail.index];
        host.choose(part.kind === 'head' ? { kind: 'head', layer: part.layer, head: part.head } : part.kind === 'mlp' ? { kind: 'mlp', layer: part.layer } : null);
    });
    return new Section(/** @type {HTMLDetailsElement} */ ($('parts')), {
        key: answerKey,
        compute: (/** @type {View} */ { model, ids, position, token, against }, signal) => logitAttribution(model, ids, { position, token, against: against === token ? null : against, signal }),
        show(found, view) {
            shown = found.parts;
            const quoted = (/** @type {number} */ id) => `“${visibleText(textsOf(view.model, [id])[0], 20)}”`;
            const than = found.against === null ? '' : found.against === 'mean' ? ', less the mean of all tokens' : `, less that of ${quoted(found.against)}`;
            const title = `Logit of ${quoted(found.token)}${than}`;
            bars.data = { title, unit: 'logits', total: found.logit, parts: shown.map((part) => ({ name: partName(part), value: part.value })) };
            $('parts-note').textContent = `The parts add up to ${found.sum.toFixed(4)}; the model’s own figure is ${found.logit.toFixed(4)}. The embedding and constants cannot be taken out.`;
            const layers = view.model.info.layers, heads = view.model.info.heads, values = new Float64Array(layers * (heads + 1));
            for (const part of shown) if (part.layer >= 0) values[part.layer * (heads + 1) + (part.kind === 'head' ? /** @type {number} */ (part.head) : heads)] += part.value;
            keep($('parts-keep'), {
                head: ['part', 'layer', 'head', 'logits'], rows: shown.map((part) => [partName(part), part.layer < 0 ? '' : part.layer, part.head ?? '', part.value]), data: found,
                heat: () => ({ title, rows: Array.from({ length: layers }, (_, l) => String(l)), cols: [...Array.from({ length: heads }, (_, h) => `head ${h}`), 'feed-forward'], values }),
            });
        },
    });
}

/** @param {Host} host */
function neurons(host) {
    const layer = /** @type {HTMLSelectElement} */ ($('neurons-layer')), table = $('neurons-table');
    /** @type {View | null} */ let now = null;
    const section = new Section(/** @type {HTMLDetailsElement} */ ($('neurons')), {
        key: (/** @type {View} */ view) => `${placeKey(view)} ${layer.value}`,
        compute: ({ model, ids, position }, signal) => neuronReadings(model, ids, { layer: Number(layer.value), position, neurons: 12, tokens: 5, signal }),
        show(found, view) {
            const texts = (/** @type {{ token: number, score: number }[]} */ list) => make('td', { className: 'chips' }, ...list.flatMap(({ token, score }) => [make('span', { className: 'chip', title: `${score > 0 ? '+' : '−'}${Math.abs(score).toFixed(2)} logits` }, make('bdi', {}, visibleText(textsOf(view.model, [token])[0], 16))), ' ']));
            table.replaceChildren(
                make('caption', { className: 'hidden' }, `Neurons of layer ${found.layer} that write most at token ${found.position}`),
                make('thead', {}, make('tr', {}, ...['neuron', 'on', 'share', 'raises', 'lowers'].map((name) => make('th', { scope: 'col' }, name)))),
                make('tbody', {}, ...found.neurons.map((n) => {
                    const button = make('button', { type: 'button', className: 'quiet', ariaLabel: `take out neuron ${found.layer}.${n.neuron}` }, `${found.layer}.${n.neuron}`);
                    button.addEventListener('click', () => host.choose({ kind: 'neuron', layer: found.layer, neuron: n.neuron }));
                    return make('tr', {}, make('th', { scope: 'row' }, button), make('td', { className: 'n' }, n.coefficient.toFixed(2)), make('td', { className: 'n' }, `${(100 * n.share).toFixed(1)} %`), texts(n.promotes), texts(n.suppresses));
                })));
            $('neurons-note').textContent = `These ${found.neurons.length} hold ${(100 * found.share).toFixed(0)} % of what the layer’s neurons write here, by length. Choose one to take it out at all places.`;
            const spell = (/** @type {{ token: number }[]} */ list) => textsOf(view.model, list.map((t) => t.token)).join(' | ');
            keep($('neurons-keep'), { head: ['neuron', 'coefficient', 'share', 'raises', 'lowers'], rows: found.neurons.map((n) => [`${found.layer}.${n.neuron}`, n.coefficient, n.share, spell(n.promotes), spell(n.suppresses)]), data: found });
        },
    });
    layer.addEventListener('change', () => { if (now) section.follow(now); });
    return {
        /** @param {View} view */
        follow(view) {
            layersOf(layer, view, view.model.info.layers - 2);
            now = view;
            section.follow(view);
        },
    };
}

/** The layers of the model to choose from. @param {HTMLSelectElement} select @param {View} view @param {number} first the one that is chosen in the beginning */
export function layersOf(select, view, first) {
    const { layers } = view.model.info;
    if (select.options.length === layers) return;
    select.replaceChildren(...Array.from({ length: layers }, (_, l) => make('option', { value: String(l) }, String(l))));
    select.value = String(Math.max(0, Math.min(layers - 1, first)));
}
