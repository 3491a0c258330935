// Maximum flow with real capacities.

const EPSILON = 1e-12; // narrower edges are full

/**
 * A directed network; edges are added once, flows are computed from many sources to many sinks. Dinic's algorithm (1970): breadth-first levels, then blocking flows along them, at most one phase for each
 * length of path. Depth-first search keeps its place in each node's edges, so a phase is O(nodes edges).
 *
 *   const network = new Network(3);
 *   network.edge(0, 1, 0.5); network.edge(1, 2, 0.25);
 *   await network.maxFlow(0, 2); // 0.25
 */
export class Network {
  /** Edge e and its way back are 2k and 2k + 1. @type {number[]} */ #to = [];
  /** @type {number[]} */ #wide = [];
  /** @type {number[]} */ #left = [];
  /** @type {number[][]} */ #edges;
  #level;
  #at;
  /** @param {number} nodes how many: they are 0..nodes - 1 */
  constructor(nodes) {
    this.#edges = Array.from({ length: nodes }, () => []);
    this.#level = new Int32Array(nodes);
    this.#at = new Int32Array(nodes);
  }

  /** Adds an edge. @param {number} from a node @param {number} to another @param {number} capacity 0 or more */
  edge(from, to, capacity) {
    this.#edges[from].push(this.#to.length);
    this.#edges[to].push(this.#to.length + 1);
    this.#to.push(to, from);
    this.#wide.push(capacity, 0);
    this.#left.push(capacity, 0);
  }

  /** Takes all flow out. */
  reset() {
    for (let e = 0; e < this.#wide.length; e++) this.#left[e] = this.#wide[e];
  }

  /**
   * Adds as much flow as goes; after reset() it is the maximum flow, which is the capacity of a narrowest cut (Ford and Fulkerson 1956).
   * @param {number} source a node @param {number} sink another node @param {{rest: () => Promise<void> | undefined}} [pace] its rest() is called often, to give way now and then @returns {Promise<number>}
   */
  async maxFlow(source, sink, pace) {
    let total = 0;
    while (this.#levels(source, sink)) {
      this.#at.fill(0);
      for (let pushed; (pushed = this.#push(source, sink, Infinity)) > EPSILON; ) total += pushed;
      await pace?.rest();
    }
    return total;
  }

  /** @param {number} source @param {number} sink */
  #levels(source, sink) {
    this.#level.fill(-1);
    this.#level[source] = 0;
    const queue = [source];
    for (const node of queue) {
      for (const e of this.#edges[node]) {
        const next = this.#to[e];
        if (this.#left[e] > EPSILON && this.#level[next] < 0) {
          this.#level[next] = this.#level[node] + 1;
          queue.push(next);
        }
      }
    }
    return this.#level[sink] >= 0;
  }

  /** @param {number} node @param {number} sink @param {number} most @returns {number} */
  #push(node, sink, most) {
    if (node === sink) return most;
    const edges = this.#edges[node];
    for (; this.#at[node] < edges.length; this.#at[node]++) {
      const e = edges[this.#at[node]], next = this.#to[e];
      if (this.#left[e] <= EPSILON || this.#level[next] !== this.#level[node] + 1) continue;
      const pushed = this.#push(next, sink, Math.min(most, this.#left[e]));
      if (pushed > EPSILON) {
        this.#left[e] -= pushed;
        this.#left[e ^ 1] += pushed;
        return pushed;
      }
    }
    return 0;
  }
}
