// The path-star task: teacher forcing hides the one hard step, and two other ways of training find it.
import { defineLab } from '../lab/define.js';
import { stars } from '../lab/data.js';
import { atLeast, atMost } from '../lab/measures.js';
import { schedules } from '../net/schedules.js';
import { transformer } from '../net/models.js';

const BATCH = 64, ASKED = 256, ROUNDS = 4, WINDOW = 0.06; // asked: tasks of a round
const NAMES = { standard: 'next tokens', reversed: 'path backwards', teacherless: 'all at once' };

/** @typedef {keyof typeof NAMES} Mode */
/** @param {import('../lab/define.js').ArmResult[]} arms @param {Mode} mode */
const of = (arms, mode) => arms.find((a) => a.config.mode === mode);

/** Tasks as a mode presents them: reversed turns the path round. @param {import('../lab/rng.js').Rng} rng @param {number} count @param {any} config */
export function tasks(rng, count, { mode, arms, pathNodes, nodes }) {
  const made = stars(rng, { count, arms, pathNodes, nodes });
  if (mode === 'reversed') for (let i = 0; i < count; i++) made.tokens.subarray(i * made.length + made.answerAt, (i + 1) * made.length).reverse();
  return made;
}

export default defineLab({
  id: 69,
  name: 'pitfalls-next-token',
  title: 'A pitfall of next-token prediction',
  claim: 'On a star of paths, a model that is trained with the right path before its eyes learns to follow it and not to choose it: it finishes every path that is begun for it, and begins one at random. In the same number of steps on the path backwards, or without seeing it, the same model chooses right.',
  published: 'Transformers and state-space models alike stay at 1 / degree under teacher forcing; reversed targets and teacherless training solve it.',
  source: 'Bachmann & Nagarajan 2024, The Pitfalls of Next-Token Prediction (arXiv:2403.06963)',
  notes: [
    'Graphs of two arms with three nodes on a path, ten names; the paper uses up to 20 arms, 50 names and larger models.',
    'The whole path is right with probability 1 / arms when only the first hop is guessed. "Finished" counts the tokens after the first hop with the right ones before them.',
    'Backwards, the goal’s edge is looked up first and nothing has to be guessed; all at once, the model has nothing to copy from and must find the hop from the goal.',
    'Here one look-up is the whole plan, and keys and values are mixed with those of the token before (KV shifting), so that it forms within 300 steps where it is trained. Teacher forcing finds it too, but late: at seed 1 the whole path is right in 0.6 of the tasks after 600 steps and nearly always after 1000. Without the shift training all at once had not left the guess after 2000 steps.',
  ],
  config: {
    steps: { value: 400, min: 10, max: 20000, label: 'steps' },
    every: { value: 50, min: 10, max: 5000, label: 'steps between measurements' },
    shift: { value: true, label: 'KV shifting', help: 'without it the model must build the previous-token head that a look-up needs' },
    rate: { value: 2e-3, min: 1e-5, max: 0.1, label: 'learning rate', live: true, log: true },
    arms: { value: 2, min: 2, max: 5, label: 'arms of a star' },
    pathNodes: { value: 3, min: 2, max: 6, label: 'nodes of a path' },
    nodes: { value: 10, min: 5, max: 50, label: 'names' },
  },
  presets: { quick: { steps: 100 }, full: {}, long: { steps: 1200, every: 100 } },
  arms: () => /** @type {Mode[]} */ (Object.keys(NAMES)).map((mode) => ({ name: NAMES[mode], config: { mode } })),
  setup(run) {
    const { config } = run, shape = tasks(run.fresh('shape'), 1, config), T = shape.length - 1;
    const model = (/** @type {number} */ batch, /** @type {boolean} */ hooks) => {
      const g = run.params.graph(), tokens = g.index('tokens', [batch, T]), targets = g.index('targets', [batch, shape.answerTokens]);
      const { logits } = transformer(g, tokens, { vocab: shape.symbols, width: 48, layers: 3, heads: 4, embedSpread: 1, kvShift: config.shift, hooks });
      return { g, tokens, targets, logits: logits.cut(1, shape.answerAt - 1, shape.answerTokens) };
    };
    const train = model(BATCH, false);
    train.g.train(train.logits.crossEntropy(train.targets).mean());
    const asking = model(ASKED, true);
    asking.logits.keep();
    asking.g.ready();
    return { train, asking, shape, T };
  },
  step(run, { train, shape, T }) {
    const { config } = run;
    feed(train, tasks(run.rng('data'), BATCH, config).tokens, BATCH, T, shape, config.mode);
    return { loss: train.g.step({ rule: 'adamw', rate: config.rate * schedules.constant({ warmup: 50 })(run.step), decay: 0.01, clip: 1 }) };
  },
  measure(run, { asking, shape, T }) {
    const n = shape.answerTokens, { mode } = run.config, right = new Float64Array(n), hop = mode === 'reversed' ? n - 2 : 1;
    const rng = run.fresh('test'), V = shape.symbols;
    let whole = 0, tokens = shape.tokens;
    for (let round = 0; round < ROUNDS; round++) {
      ({ tokens } = tasks(rng, ASKED, run.config));
      feed(asking, tokens, ASKED, T, shape, mode);
      asking.g.run();
      const logits = asking.logits.value;
      for (let i = 0; i < ASKED; i++) {
        let all = true;
        for (let k = 0; k < n; k++) {
          const row = logits.subarray((i * n + k) * V, (i * n + k + 1) * V), wanted = row[tokens[i * (T + 1) + shape.answerAt + k]], hit = row.every((x) => x <= wanted);
          right[k] += Number(hit);
          all &&= hit; // greedy decoding is right if and only if each token is the likeliest after the right ones
        }
        whole += Number(all);
      }
    }
    const shares = right.map((r) => r / (ROUNDS * ASKED)), others = [...shares].filter((_, k) => k !== 1);
    const pattern = asking.g.get('blocks.2.attn.hook_pattern').value.subarray(0, T * T), names = Array.from(tokens.subarray(0, T), (x) => (x < run.config.nodes ? String(x) : '|/=.'[x - run.config.nodes]));
    return {
      path: whole / (ROUNDS * ASKED), finished: Math.min(...others), hop: shares[hop],
      pictures: { tokens: { bars: Array.from(shares, (_, k) => String(k + 1)), values: shares }, attention: { rows: T, cols: T, values: Array.from(pattern), labels: names, min: 0, max: 1 } },
    };
  },
  series: { loss: { label: 'loss of the path', unit: 'nats' }, path: { label: 'whole path right' }, finished: { label: 'finished: right with the right tokens before, all but the first hop' }, hop: { label: 'first hop right' } },
  plots: [
    { type: 'line', series: ['path'], title: 'Whole path right', y: 'share' },
    { type: 'line', series: ['loss'], title: 'Loss of the path' },
    { type: 'bar', picture: 'tokens', title: 'Right by place in the path', y: 'share' },
    { type: 'heat', picture: 'attention', title: 'Attention of the last layer, first head, to one task' },
  ],
  headline: (arms) => ({ label: 'whole paths right under teacher forcing (1 / arms is guessing)', value: of(arms, 'standard')?.last.path ?? NaN }),
  verdict: (arms) => {
    const standard = of(arms, 'standard'), guess = 1 / (standard?.config.arms ?? NaN), path = standard?.last.path ?? NaN;
    return [
      atLeast('next tokens: whole path', path, guess - WINDOW),
      atMost('next tokens: whole path', path, guess + WINDOW),
      atLeast('next tokens: every token but the first hop', standard?.last.finished ?? NaN, 0.99),
      atLeast('path backwards: whole path', of(arms, 'reversed')?.last.path ?? NaN, 0.95),
      atLeast('all at once: whole path', of(arms, 'teacherless')?.last.path ?? NaN, 0.9),
    ];
  },
});

/** @param {any} net @param {Int32Array} rows @param {number} count @param {number} T @param {{answerAt: number, answerTokens: number, blank: number}} shape @param {Mode} mode */
function feed(net, rows, count, T, { answerAt, answerTokens, blank }, mode) {
  const inputs = new Int32Array(count * T), targets = new Int32Array(count * answerTokens);
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * (T + 1), (i + 1) * (T + 1));
    inputs.set(row.subarray(0, T), i * T);
    if (mode === 'teacherless') inputs.fill(blank, i * T + answerAt, (i + 1) * T); // nothing of the path is seen
    targets.set(row.subarray(answerAt), i * answerTokens);
  }
  net.tokens.set(inputs);
  net.targets.set(targets);
}
