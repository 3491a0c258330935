/**
 * Parts of a model as the address and the page name them: L5H1, attention:3, mlp:3, neuron:3.155, state:3, with @POSITION if there alone.
 */

/** @typedef {import('../../web/inspect/ablation.js').Site} Site */

/** @param {Site} site */
export function keyOf({ kind, layer, head, neuron, position = null }) {
    const name = kind === 'head' ? `L${layer}H${head}` : kind === 'neuron' ? `neuron:${layer}.${neuron}` : `${kind}:${layer}`;
    return position === null ? name : `${name}@${position}`;
}

/** @param {string} text @returns {Site | null} null: it names none */
export function siteFrom(text) {
    const found = /^(?:L(\d{1,4})H(\d{1,4})|(attention|mlp|layer|state):(\d{1,4})|neuron:(\d{1,4})\.(\d{1,7}))(?:@(\d{1,6}))?$/.exec(text);
    if (!found) return null;
    const [, l, h, kind, k, m, n, at] = found, position = at === undefined ? null : Number(at);
    if (l !== undefined) return { kind: 'head', layer: Number(l), head: Number(h), position };
    if (m !== undefined) return { kind: 'neuron', layer: Number(m), neuron: Number(n), position };
    return { kind: /** @type {Site['kind']} */ (kind), layer: Number(k), position };
}

/** For people. @param {Site} site */
export function nameOf({ kind, layer, head, neuron, position = null }) {
    const name = {
        head: `head ${layer}.${head}`, neuron: `neuron ${layer}.${neuron}`, attention: `attention of layer ${layer}`, mlp: `feed-forward layer ${layer}`, layer: `layer ${layer}`, state: `the stream after layer ${layer}`,
    }[kind];
    return position === null ? name : `${name} at token ${position}`;
}

/** Whether a model has it. @param {Site} site @param {{ layers: number, heads: number, ffnWidth: number }} info @param {number} tokens */
export const fits = ({ kind, layer, head = 0, neuron = 0, position = null }, info, tokens) =>
    layer < info.layers && (kind !== 'head' || head < info.heads) && (kind !== 'neuron' || neuron < info.ffnWidth) && (position === null || position < tokens);
