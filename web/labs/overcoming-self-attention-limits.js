// PARITY and FIRST: transformers whose weights are written down, beside transformers that learn.
import { defineLab } from '../lab/define.js';
import { atLeast, atMost, below } from '../lab/measures.js';

const LENGTHS = [1, 2, 5, 10, 50, 100, 1000], LEARN = 10, TESTS = [10, 100, 1000], RUNS = 3;
const BATCH = 64, ASKED = 64, WIDTH = 16, MOST = 64; // MOST: inputs of one length that the exact machines are asked about
const SCALE = 10; // of the normalised machine's output

/** @typedef {import('../net/graph.js').Graph} Graph */
/** @typedef {import('../net/graph.js').Tensor} Tensor */
/** A matrix by its entries [row, column, value]. @param {number} rows @param {number} cols @param {number[][]} entries */
function sparse(rows, cols, entries) {
  const out = new Float32Array(rows * cols);
  for (const [r, c, value] of entries) out[r * cols + c] = value;
  return { rows, cols, values: out };
}

/**
 * A machine: width, then for each layer its heads (query, key: one number for each position, read from x; value: written to x) and an optional ReLU network.
 * @typedef {{heads: {query: number[][], key: number[][], value: number[][]}[], inner?: {width: number, from: number[][], bias?: number[], to: number[][]}}} Layer
 */
/** PARITY (Chiang & Cholak 2022, section 3): dims 0-2 the symbol, 3 i/N, 4 cos(pi i), 5 k/N, 6 1/N, 7 [i = k]/N, 8 the answer. @type {Layer[]} */
export const PARITY = [
  {
    heads: [{ query: [], key: [], value: [[1, 5, 1], [2, 6, 1]] }],
    inner: { width: 3, from: [[3, 0, -1], [5, 0, 1], [6, 0, -1], [3, 1, -1], [5, 1, 1], [3, 2, -1], [5, 2, 1], [6, 2, 1]], to: [[0, 7, 1], [1, 7, -2], [2, 7, 1]] },
  },
  { heads: [{ query: [[2, 0, 1]], key: [[4, 0, 1]], value: [[7, 8, -1]] }, { query: [[2, 0, 1]], key: [[4, 0, -1]], value: [[7, 8, 1]] }] },
];
/** FIRST (section 4): dims 0-2 the symbol, 3 [i = 1], 4 [the first bit is one], 5 the answer. @type {Layer[]} */
export const FIRST = [
  { heads: [], inner: { width: 1, from: [[1, 0, 1], [3, 0, 1]], bias: [-1], to: [[0, 4, 1]] } },
  { heads: [{ query: [[2, 0, 1]], key: [[3, 0, 1]], value: [[3, 5, -0.5], [4, 5, 1]] }] },
];
const HEAD = 5; // queries are divided by the root of the width of a head

/**
 * The answers of a machine: [batch, N, width] -> [batch, N, width]. normal: every dim has a twin of opposite sign (so means are 0), every sublayer a norm without epsilon, and at the end all dims but the answer are
 * taken away, so that the last norm scales it to the same size for every length (section 5). @param {Graph} g @param {Tensor} x @param {Layer[]} layers @param {number} answer @param {boolean} normal
 */
export function machine(g, x, layers, answer, normal) {
  const width = x.dims[2], [B, N] = x.dims;
  const matrix = (/** @type {number} */ rows, /** @type {number} */ cols, /** @type {number[][]} */ entries) => {
    const m = sparse(rows, cols, entries);
    return g.constant(m.values, [rows, cols]);
  };
  let state = normal ? x.concat(x.neg(), 2) : x;
  const own = () => (normal ? state.cut(2, 0, width) : state);
  const grow = (/** @type {Tensor} */ y) => {
    state = state.add(normal ? y.concat(y.neg(), 2) : y);
    if (normal) state = state.layerNorm(null, null, 1e-35);
  };
  layers.forEach(({ heads, inner }, l) => {
    const now = own();
    let sum = null;
    for (const { query, key, value } of heads) {
      const scores = query.length ? now.matmul(matrix(width, 1, query)).matmul(now.matmul(matrix(width, 1, key)), { tb: true, scale: 1 / Math.sqrt(HEAD) }) : g.constant(new Float32Array(N * N), [1, N, N]).expand([B, N, N]);
      const out = scores.softmax().matmul(now.matmul(matrix(width, width, value)));
      sum = sum ? sum.add(out) : out;
    }
    if (sum) grow(sum);
    const last = normal && l === layers.length - 1;
    if (inner) {
      const before = own().matmul(matrix(width, inner.width, inner.from));
      grow((inner.bias ? before.add(g.constant(inner.bias, [inner.width])) : before).relu().matmul(matrix(inner.width, width, inner.to)));
    }
    if (last) {
      // relu(x) - relu(-x) = x: the network takes away what is not the answer, exactly.
      const others = Array.from({ length: width }, (_, d) => d).filter((d) => d !== answer);
      const both = own().matmul(matrix(width, 2 * width, others.flatMap((d) => [[d, d, 1], [d, width + d, -1]]))).relu();
      grow(both.matmul(matrix(2 * width, width, others.flatMap((d) => [[d, d, -1], [width + d, d, 1]]))));
    }
  });
  return own();
}

/** Rows of bits with a given number of ones each, in random places. @param {import('../lab/rng.js').Rng} rng @param {number} n @param {number[]} ones */
const placed = (rng, n, ones) => ones.map((k) => {
  const row = new Uint8Array(n);
  for (const i of rng.choose(n, k)) row[i] = 1;
  return row;
});

/** Numbers of ones to ask about: all, or MOST of them evenly. @param {number} n */
const counts = (n) => Array.from({ length: Math.min(n + 1, MOST) }, (_, i) => (n < MOST ? i : Math.round((i * n) / (MOST - 1))));

/** What a machine says about rows of n bits: its answer at CLS. @param {import('../lab/define.js').Run} run @param {'parity' | 'first'} task @param {Uint8Array[]} rows @param {boolean} normal */
export function ask(run, task, rows, normal) {
  const n = rows[0].length, N = n + 1, width = task === 'parity' ? 10 : 6, answer = task === 'parity' ? 8 : 5, cls = task === 'parity' ? n : 0;
  const slice = Math.max(1, Math.min(rows.length, Math.floor(4e6 / (N * N)))), g = run.params.graph(), x = g.input('x', [slice, N, width]);
  const y = machine(g, x, task === 'parity' ? PARITY : FIRST, answer, normal).keep();
  g.ready();
  const out = [];
  for (let from = 0; from < rows.length; from += slice) {
    const input = new Float32Array(slice * N * width);
    rows.slice(from, from + slice).forEach((bits, b) => {
      for (let i = 0; i < N; i++) {
        const at = (b * N + i) * width, symbol = i === cls ? 2 : bits[task === 'parity' ? i : i - 1];
        input[at + symbol] = 1;
        if (task === 'parity') {
          input[at + 3] = i / N;
          input[at + 4] = i % 2 ? -1 : 1;
        } else input[at + 3] = Number(i === 1);
      }
    });
    x.set(input);
    g.run();
    const values = y.value;
    for (let b = 0; b < Math.min(slice, rows.length - from); b++) out.push(values[(b * N + cls) * width + answer]);
  }
  g.free();
  return out;
}

/** A post-norm encoder that reads CLS and bits and says the first one. @param {Graph} g @param {number} batch @param {number} n @param {boolean} scaled */
function encoder(g, batch, n, scaled) {
  const N = n + 1, d = WIDTH, rows = batch * N, tokens = g.index('tokens', [batch, N]), places = g.index('places', [N]), targets = g.index('targets', [batch]);
  const normed = (/** @type {Tensor} */ x, /** @type {string} */ name) => x.layerNorm(g.param(`${name}.gain`, [d], 1), g.param(`${name}.bias`, [d]));
  const linear = (/** @type {Tensor} */ x, /** @type {string} */ name, /** @type {number} */ from, /** @type {number} */ to) => x.matmul(g.param(`${name}.weight`, [from, to], { normal: 1 / Math.sqrt(from) })).add(g.param(`${name}.bias`, [to]));
  places.set(Int32Array.from({ length: N }, (_, i) => Number(i === 1)));
  let x = g.param('embed', [3, d], { normal: 1 }).take(tokens).add(g.param('place', [2, d], { normal: 1 }).take(places)).reshape([rows, d]);
  /** @type {Tensor | null} */ let pattern = null;
  for (let l = 0; l < 2; l++) {
    const [q, k, v] = ['q', 'k', 'v'].map((what) => linear(x, `layer${l}.${what}`, d, d).reshape([batch, N, d]));
    pattern = q.matmul(k, { tb: true, scale: (scaled ? Math.log(N) : 1) / Math.sqrt(d) }).softmax();
    x = normed(x.add(linear(pattern.matmul(v).reshape([rows, d]), `layer${l}.o`, d, d)), `layer${l}.norm1`);
    x = normed(x.add(linear(linear(x, `layer${l}.in`, d, 4 * d).relu(), `layer${l}.out`, 4 * d, d)), `layer${l}.norm2`);
  }
  const logits = linear(x.reshape([batch, N, d]).cut(1, 0, 1).reshape([batch, d]), 'head', d, 2);
  return { g, tokens, targets, logits, loss: logits.crossEntropy(targets).mean(), pattern: /** @type {Tensor} */ (pattern) };
}

/** @param {ReturnType<typeof encoder>} net @param {import('../lab/rng.js').Rng} rng @param {number} batch @param {number} n */
function feed({ tokens, targets }, rng, batch, n) {
  const ids = new Int32Array(batch * (n + 1)), first = new Int32Array(batch);
  for (let i = 0; i < ids.length; i++) ids[i] = i % (n + 1) ? rng.below(2) : 2;
  for (let b = 0; b < batch; b++) first[b] = ids[b * (n + 1) + 1];
  tokens.set(ids);
  targets.set(first);
  return first;
}

const of = (/** @type {import('../lab/define.js').ArmResult[]} */ arms, /** @type {string} */ kind) => arms.filter((a) => a.config.kind === kind);
const exactOf = (/** @type {import('../lab/define.js').ArmResult[]} */ arms) => of(arms, 'exact')[0]?.last ?? {};
const worst = (/** @type {import('../lab/define.js').ArmResult[]} */ arms, /** @type {string} */ kind) => Math.min(...of(arms, kind).map((a) => a.last.at1000 ?? NaN));

export default defineLab({
  id: 193,
  name: 'overcoming-self-attention-limits',
  title: 'What attention can do: PARITY and FIRST',
  claim: 'Transformers recognise PARITY and FIRST at every length with weights that can be written down, but their confidence falls with the length; layer norm without epsilon stops that. Trained on short inputs, FIRST fails on long ones until attention scores are multiplied by the logarithm of the length.',
  published: 'Exact constructions with cross-entropy arbitrarily close to 0 by layer norm; log-length scaling of attention logits lets learned FIRST carry over to much longer inputs.',
  source: 'Chiang & Cholak 2022, Overcoming a Theoretical Limitation of Self-Attention (arXiv:2202.12172)',
  notes: [
    'Nothing of the exact machines is learnt: their matrices stand in this file, and attention, networks and norms compute the answers.',
    'Without norms the answer shrinks like 1 / N², so accuracy stays perfect while certainty goes; with them it is the same at every length. The constant is 0.84; an odd number of positions, one kind of which is then more frequent, changes it by less than 1 / N (1.5% at length 50).',
    'The learned encoder is told which position comes first by a vector of its own, so that only attention has to carry over; three runs each, since whether it fails is a matter of luck.',
  ],
  config: {
    steps: { value: 2000, min: 0, max: 20000, whole: true, label: 'steps' },
    every: { value: 1000, min: 10, max: 20000, label: 'steps between measurements' },
    rate: { value: 3e-4, min: 1e-5, max: 0.1, label: 'learning rate', live: true, log: true },
  },
  presets: { quick: { steps: 100, every: 100 }, full: {} },
  arms: () => [
    { name: 'exact', config: { kind: 'exact', steps: 0 } },
    ...['plain', 'scaled'].flatMap((kind) => Array.from({ length: RUNS }, (_, seed) => ({ name: `learned, ${kind === 'plain' ? 'as usual' : 'scores times ln N'}, run ${seed + 1}`, config: { kind }, seed }))),
  ],
  setup(run) {
    const { kind } = run.config;
    if (kind === 'exact') return null;
    const train = encoder(run.params.graph(), BATCH, LEARN, kind === 'scaled');
    train.g.train(train.loss);
    const tests = TESTS.map((n) => {
      const slice = Math.max(1, Math.min(ASKED, Math.floor(8e6 / (n * n)))), net = encoder(run.params.graph(), slice, n, kind === 'scaled');
      net.logits.keep();
      net.pattern.keep();
      net.g.ready();
      return { n, slice, net };
    });
    return { train, tests };
  },
  step(run, made) {
    const { train } = /** @type {NonNullable<typeof made>} */ (made);
    feed(train, run.rng('data'), BATCH, LEARN);
    return { loss: train.g.step({ rule: 'adam', rate: run.config.rate, beta2: 0.999 }) };
  },
  /** @returns {import('../lab/define.js').Measured} */
  measure(run, made) {
    const rng = run.fresh('test');
    if (!made) {
      let right = 0, asked = 0, firstRight = 0, normalRight = 0, entropy = 0;
      const products = [];
      for (const n of LENGTHS) {
        const ones = counts(n), rows = placed(rng, n, ones), plain = ask(run, 'parity', rows, false), normal = ask(run, 'parity', rows, true), first = ask(run, 'first', rows, false);
        rows.forEach((bits, i) => {
          asked++;
          right += Number(plain[i] > 0 === (ones[i] % 2 === 1) && plain[i] !== 0);
          normalRight += Number(normal[i] > 0 === (ones[i] % 2 === 1) && normal[i] !== 0);
          firstRight += Number(first[i] > 0 === (bits[0] === 1) && first[i] !== 0);
        });
        products.push(Math.min(...plain.map(Math.abs)) * (n + 1) ** 2);
        if (n === 100) entropy = normal.reduce((sum, y, i) => sum + Math.log1p(Math.exp(-SCALE * (ones[i] % 2 ? y : -y))), 0) / normal.length;
      }
      const long = products.slice(-2);
      return {
        exact: right / asked, normal: normalRight / asked, first: firstRight / asked, entropy, spread: Math.max(...long) / Math.min(...long) - 1, product: long[0],
        pictures: { products: { bars: LENGTHS.map(String), values: products } },
      };
    }
    const shares = made.tests.map(({ n, slice, net }) => {
      let right = 0, count = 0;
      while (count < ASKED) {
        const first = feed(net, rng, slice, n);
        net.g.run();
        const logits = net.logits.value;
        for (let b = 0; b < slice && count < ASKED; b++, count++) right += Number(logits[2 * b + 1] > logits[2 * b] === (first[b] === 1));
      }
      return right / ASKED;
    });
    const { net } = made.tests[0], N = net.pattern.dims[1], labels = Array.from({ length: N }, (_, i) => (i ? String(i) : 'CLS'));
    return { at10: shares[0], at100: shares[1], at1000: shares[2], pictures: { attention: { rows: N, cols: N, values: Array.from(net.pattern.value.subarray(0, N * N)), labels, min: 0 } } };
  },
  series: {
    loss: { label: 'training loss', unit: 'nats' }, at10: { label: 'right at length 10' }, at100: { label: 'right at length 100' }, at1000: { label: 'right at length 1000' },
    exact: { label: 'PARITY, exact weights: right' }, normal: { label: 'PARITY with norms: right' }, first: { label: 'FIRST, exact weights: right' }, entropy: { label: 'cross-entropy with norms at length 100', unit: 'nats' },
    spread: { label: 'spread of the smallest answer times N²' }, product: { label: 'smallest answer times N²' },
  },
  plots: [
    { type: 'bar', picture: 'products', title: 'Exact PARITY: smallest answer times N², by length', arms: ['exact'] },
    { type: 'line', series: ['at1000'], title: 'Learned FIRST: right at length 1000', y: 'share' },
    { type: 'line', series: ['loss'], title: 'Training loss at length 10', logY: true },
    { type: 'heat', picture: 'attention', title: 'Learned: attention of the second layer at length 10' },
  ],
  headline: (arms) => ({ label: 'FIRST at length 1000 with scores times ln N, worst run', value: worst(arms, 'scaled') }),
  verdict: (arms) => {
    const e = exactOf(arms);
    return [
      atLeast('exact PARITY, right at lengths 1 to 1000', e.exact ?? NaN, 1),
      atLeast('exact PARITY with norms, right', e.normal ?? NaN, 1),
      atLeast('exact FIRST, right', e.first ?? NaN, 1),
      atMost('smallest answer times N² at lengths 100 and 1000: larger over smaller, less 1', e.spread ?? NaN, 0.01),
      below(`cross-entropy with norms at length 100, output times ${SCALE}`, e.entropy ?? NaN, 1e-3),
      atMost('learned FIRST at length 1000, as usual, worst run', worst(arms, 'plain'), 0.8),
      atLeast('learned FIRST at length 1000, scores times ln N, worst run', worst(arms, 'scaled'), 0.99),
    ];
  },
});
