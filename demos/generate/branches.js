/**
 * All branches as a nested list, and two of them beside each other.
 */
import { formatProbability } from '../../web/elements/format.js';
import { formatNumber } from '../../web/lab/plots.js';
import { make } from '../kit/page.js';
import { measure } from './tree.js';

/**
 * @typedef {import('./tree.js').Tree} Tree
 * @typedef {import('./tree.js').Node} Node
 * @typedef {import('./tree.js').Run} Run
 */

const LONGEST = 160; // characters of a stretch that the list shows

/** @param {string} text */
const cut = (text) => {
    const letters = [...text];
    return letters.length > LONGEST ? `${letters.slice(0, LONGEST / 2).join('')} … ${letters.slice(-LONGEST / 2).join('')}` : text;
};

/** @param {Node[]} nodes */
export function sums(nodes) {
    const { tokens, bitsPerToken, perplexity } = measure(nodes);
    return tokens ? `${tokens} token${tokens === 1 ? '' : 's'}, ${bitsPerToken.toFixed(2)} bits each, perplexity ${perplexity.toFixed(perplexity < 100 ? 1 : 0)}` : 'nothing written';
}

/**
 * @param {HTMLElement} host
 * @param {{ tree: Tree, tip: Node, text: (nodes: Node[]) => string, go: (node: Node) => void, remove: (node: Node) => void }} what go: shows the branch that ends there
 */
export function showTree(host, { tree, tip, text, go, remove }) {
    const shown = new Set(tree.path(tip));
    const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest('#tree') ? document.activeElement : null)?.dataset.key;
    /** @param {Run[]} runs @returns {HTMLElement} */
    const list = (runs) => make('ul', {}, ...runs.map(({ nodes, children }) => {
        const last = nodes[nodes.length - 1], on = shown.has(nodes[0]);
        const button = make('button', { type: 'button', className: 'go', dir: 'auto' }, cut(text(nodes)) || '∅');
        button.dataset.key = `go ${last.key}`;
        if (on) button.setAttribute('aria-current', 'true');
        button.addEventListener('click', () => go(tree.end(last)));
        const bin = make('button', { type: 'button', className: 'quiet', ariaLabel: `Remove the branch ${cut(text(nodes)).slice(0, 40)}` }, 'Remove');
        bin.dataset.key = `bin ${last.key}`;
        bin.addEventListener('click', () => remove(last));
        const line = make('div', { className: 'runline' }, button, make('span', { className: 'sum' }, sums(nodes)), ...(children.length ? [] : [bin]));
        return make('li', {}, line, ...(children.length ? [list(children)] : []));
    }));
    host.replaceChildren(...(tree.root.children.length ? [list(tree.runs())] : []));
    if (focused !== undefined) /** @type {HTMLElement | null} */ (host.querySelector(`[data-key="${focused}"]`))?.focus();
}

/** The numbers of a whole text. @param {HTMLElement} host @param {Node[]} nodes */
export function showSums(host, nodes) {
    const { tokens, nats, bitsPerToken, perplexity, entropy } = measure(nodes), first = nodes.filter(({ taken }) => taken?.rank === 1).length;
    const rows = { 'tokens written': String(tokens), 'surprisal, mean': `${bitsPerToken.toFixed(2)} bits`, 'entropy, mean': `${entropy.toFixed(2)} bits`, perplexity: perplexity.toFixed(perplexity < 100 ? 2 : 0), 'ln p of all': (-nats).toFixed(2).replace('-', '−'), 'model’s first choice': `${first} of ${tokens}` };
    host.replaceChildren(...Object.entries(rows).map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
}

/** @param {HTMLElement} host @param {{ tree: Tree, one: Node, two: Node, text: (nodes: Node[]) => string }} what */
export function showBeside(host, { tree, one, two, text }) {
    const common = tree.common(one, two), shared = tree.path(common);
    const totals = [one, two].map((node) => measure(tree.path(node)).nats);
    const side = (/** @type {string} */ title, /** @type {Node} */ node) => {
        const own = tree.path(node).slice(shared.length);
        return make('div', {},
            make('h3', {}, title),
            make('p', { className: 'words', dir: 'auto', tabIndex: 0, role: 'region', ariaLabel: title }, make('span', { className: 'shared' }, text(shared)), text(own)),
            make('p', { className: 'muted small' }, own.length ? `After the fork: ${sums(own)}.` : 'It ends at the fork.'));
    };
    const ratio = totals[1] - totals[0], times = Math.exp(Math.abs(ratio));
    const verdict = Math.abs(ratio) < 1e-9 ? 'The model gives both the same probability.' : `The ${ratio > 0 ? 'first' : 'second'} as a whole is ${formatNumber(Number(times.toPrecision(3)))} times as likely as the ${ratio > 0 ? 'second' : 'first'}.${one.depth === two.depth ? '' : ' They differ in length: the bits of each token compare better.'}`;
    host.replaceChildren(side('The text above', one), side('The other', two), make('p', {}, `They share ${shared.length} written token${shared.length === 1 ? '' : 's'}, of probability ${formatProbability(Math.exp(-measure(shared).nats), true)}. ${verdict}`));
}
