/**
 * A tree of continuations: a node is a token after what precedes it. Without a document and without a model.
 */

/**
 * @typedef {import('./chain.js').Taken} Taken
 * @typedef {'drawn' | 'picked' | 'given'} How drawn by the sampler, picked by hand, or given by a link
 * @typedef {object} Node
 * @property {number} key counts up
 * @property {Node | null} parent null: the prompt
 * @property {Node[]} children
 * @property {number} depth tokens after the prompt; 0: the prompt itself
 * @property {Taken | null} taken null: the prompt
 * @property {How} how @property {number} seed that it was drawn with @property {import('./chain.js').Settings | null} settings of the sampler then
 * @typedef {{ nodes: Node[], children: Run[] }} Run a stretch without a fork, and what follows it
 */

export class Tree {
    #keys = 0;
    /** @type {Node} */ root = { key: 0, parent: null, children: [], depth: 0, taken: null, how: 'given', seed: 0, settings: null };

    /** A token after a node; the child that is there if it is there. @param {Node} parent @param {Taken} taken @param {How} how @param {number} seed @param {import('./chain.js').Settings | null} [settings] @returns {Node} */
    add(parent, taken, how, seed, settings = null) {
        const found = parent.children.find((child) => child.taken?.id === taken.id);
        if (found) return found;
        const node = { key: ++this.#keys, parent, children: [], depth: parent.depth + 1, taken, how, seed, settings };
        parent.children.push(node);
        return node;
    }

    /** From the first token to a node. @param {Node} node @returns {Node[]} */
    path(node) {
        const out = [];
        for (let at = node; at.parent; at = at.parent) out.push(at);
        return out.reverse();
    }

    /** Where it goes on from a node, by the first child each time. @param {Node} node */
    end(node) {
        while (node.children.length) node = node.children[0];
        return node;
    }

    /** Ends of branches, from top to bottom. @returns {Node[]} */
    leaves() {
        /** @type {Node[]} */ const out = [], todo = [this.root];
        for (let node = todo.pop(); node; node = todo.pop()) {
            if (!node.children.length && node.parent) out.push(node);
            for (let i = node.children.length - 1; i >= 0; i--) todo.push(node.children[i]);
        }
        return out;
    }

    /** Stretches without a fork, nested. @param {Node} [from] @returns {Run[]} */
    runs(from = this.root) {
        return from.children.map((first) => {
            const nodes = [first];
            for (let node = first; node.children.length === 1; nodes.push(node)) node = node.children[0];
            return { nodes, children: this.runs(nodes[nodes.length - 1]) };
        });
    }

    /** The last node that two paths share. @param {Node} a @param {Node} b */
    common(a, b) {
        const one = [this.root, ...this.path(a)], two = [this.root, ...this.path(b)];
        let i = 0;
        while (i + 1 < one.length && i + 1 < two.length && one[i + 1] === two[i + 1]) i++;
        return one[i];
    }

    /** Takes a node away, with what follows it and what leads to it alone. @param {Node} leaf @returns {Node} what is left of its path */
    remove(leaf) {
        let node = leaf;
        while (node.parent && node.parent.children.length === 1 && node.parent.parent) node = node.parent;
        const { parent } = node;
        if (!parent) return node;
        parent.children.splice(parent.children.indexOf(node), 1);
        return parent;
    }

    /** All nodes, parents first. @returns {Node[]} */
    nodes() {
        /** @type {Node[]} */ const out = [], todo = [...this.root.children].reverse();
        for (let node = todo.pop(); node; node = todo.pop()) {
            out.push(node);
            todo.push(...[...node.children].reverse());
        }
        return out;
    }
}

/** Numbers of a stretch of tokens. @param {Node[]} nodes */
export function measure(nodes) {
    let nats = 0, entropy = 0;
    for (const { taken } of nodes) {
        nats -= taken?.logProb ?? 0;
        entropy += taken?.entropy ?? 0;
    }
    const n = nodes.length;
    return { tokens: n, nats, bits: nats / Math.LN2, bitsPerToken: n ? nats / Math.LN2 / n : NaN, perplexity: n ? Math.exp(nats / n) : NaN, entropy: n ? entropy / n : NaN };
}
