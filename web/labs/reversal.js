// What the two labs on the reversal curse share: facts told in one direction and asked in the other.
import { facts, gather } from '../lab/data.js';
import { transformer } from '../net/models.js';

export const PAIRS = 60, BOTH = 30, BATCH = 64;

/** @typedef {ReturnType<typeof facts>} Facts */

/**
 * How a row is presented when its parts change places: with probability 1/2, either backwards or in any order. Units: names and the relation stay whole; tokens: every token for itself.
 * @param {import('../lab/rng.js').Rng} rng @param {Int32Array} row @param {number} nameTokens @param {'units' | 'tokens'} what @returns {Int32Array}
 */
export function permuted(rng, row, nameTokens, what) {
  if (!rng.chance(0.5)) return row;
  const parts = what === 'tokens' ? Array.from(row, (x) => [x]) : [[...row.subarray(0, nameTokens)], [row[nameTokens]], [...row.subarray(nameTokens + 1)]];
  const order = rng.chance(0.5) ? parts.map((_, i) => parts.length - 1 - i) : [...rng.permutation(parts.length)];
  return Int32Array.from(order.flatMap((i) => parts[i]));
}

/**
 * The facts of a run, a graph that trains on them and one that asks. @param {import('../lab/define.js').Run} run
 * @param {{mode: 'causal' | 'masked', nameTokens: number}} options masked: attention both ways, hidden tokens are predicted
 */
export function prepare(run, { mode, nameTokens }) {
  const data = facts(run.rng('init'), { pairs: PAIRS, both: BOTH, nameTokens }), T = data.length - (mode === 'causal' ? 1 : 0);
  const model = (/** @type {number} */ batch, /** @type {boolean} */ hooks) => {
    const g = run.params.graph(), tokens = g.index('tokens', [batch, T]), targets = g.index('targets', [batch, T]);
    const made = transformer(g, tokens, { vocab: data.symbols, width: 32, layers: 2, heads: 2, mask: mode === 'causal' ? 'causal' : 'full', positions: mode === 'causal' ? 'learned' : 'distance', hooks });
    return { g, tokens, targets, ...made };
  };
  const train = model(BATCH, false), counted = train.logits.crossEntropy(train.targets);
  // Masked rows have different numbers of targets: the mean is over those that count.
  const share = train.g.input('share', [1]);
  train.g.train(counted.sum().mul(share));
  const ask = model(PAIRS, true);
  ask.logits.keep();
  ask.g.ready();
  return { data, T, mode, train, share, ask };
}

/** @typedef {ReturnType<typeof prepare>} Made */

/** One step on rows (a Params step of AdamW). @param {import('../lab/define.js').Run} run @param {Made} made @param {Int32Array[]} rows @returns {number} the loss */
export function learn(run, { data, T, mode, train, share }, rows) {
  const inputs = new Int32Array(BATCH * T), targets = new Int32Array(BATCH * T).fill(-1), rng = run.rng('mask');
  let count = 0;
  rows.forEach((row, b) => {
    if (mode === 'causal') {
      inputs.set(row.subarray(0, T), b * T);
      targets.set(row.subarray(1), b * T);
      count += T;
      return;
    }
    const hidden = Array.from(row, () => rng.chance(run.config.maskShare));
    if (!hidden.includes(true)) hidden[rng.below(row.length)] = true; // at least one
    row.forEach((token, t) => {
      inputs[b * T + t] = hidden[t] ? data.blank : token;
      if (hidden[t]) targets[b * T + t] = token, count++;
    });
  });
  train.tokens.set(inputs);
  train.targets.set(targets);
  share.set([1 / count]);
  return train.g.step({ rule: 'adamw', rate: run.config.rate, decay: 0.01, clip: 1 });
}

/** Rows drawn from what is told. @param {import('../lab/define.js').Run} run @param {Facts} data @returns {Int32Array[]} */
export function told(run, data) {
  const count = data.told.length / data.length, rng = run.rng('data');
  return Array.from({ length: BATCH }, () => gather(data.told, data.length, [rng.below(count)]));
}

/** The share of rows whose last name is found, all its tokens. @param {Made} made @param {Int32Array} rows at most PAIRS of them @returns {number} */
export function exact({ data, T, mode, ask }, rows) {
  const { length, nameTokens, blank } = data, count = rows.length / length, inputs = new Int32Array(PAIRS * T);
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * length, (i + 1) * length);
    inputs.set(row.subarray(0, T), i * T);
    if (mode === 'masked') inputs.fill(blank, i * T + length - nameTokens, i * T + length);
  }
  ask.tokens.set(inputs);
  ask.g.run();
  // Greedy decoding gives the name if and only if each token is the likeliest after the right ones.
  const V = data.symbols, logits = ask.logits.value;
  let right = 0;
  for (let i = 0; i < count; i++) {
    let all = true;
    for (let k = 0; k < nameTokens; k++) {
      const at = length - nameTokens + k, row = logits.subarray((i * T + at - (mode === 'causal' ? 1 : 0)) * V).subarray(0, V), wanted = row[rows[i * length + at]];
      all &&= row.every((x) => x <= wanted);
    }
    right += Number(all);
  }
  return right / count;
}

/** Accuracies of the three kinds of questions. @param {Made} made */
export const questions = (made) => ({
  forward: exact(made, made.data.forward),
  seen: exact(made, made.data.told.slice(made.data.forward.length)),
  reversed: exact(made, made.data.asked),
});

/** Attention of the last layer over the first reversed question. @param {Made} made */
export function pattern({ data, T, ask }) {
  const { value } = ask.g.get('blocks.1.attn.hook_pattern'), row = data.asked.subarray(0, T);
  const labels = Array.from(row, (x, t) => (x === data.relation ? 'R' : x === data.inverse ? 'R′' : t < data.nameTokens ? `B${data.nameTokens > 1 ? t + 1 : ''}` : `A${data.nameTokens > 1 ? t - data.nameTokens : ''}`));
  return { rows: T, cols: T, values: Array.from(value.subarray(0, T * T)), labels, min: 0, max: 1 };
}

export const series = {
  loss: { label: 'training loss', unit: 'nats' }, forward: { label: 'A R → B, as told' }, seen: { label: 'B R′ → A, told this way too' }, reversed: { label: 'B R′ → A, never told this way' },
};
export const knobs = {
  steps: { value: 300, min: 10, max: 5000, label: 'steps' },
  every: { value: 25, min: 5, max: 1000, label: 'steps between measurements' },
  rate: { value: 2e-3, min: 1e-5, max: 0.1, label: 'learning rate', live: true, log: true },
};
