// Nets: gradients, optimizers, checkpoints, names and patches (web/net.js).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Rng, labCore } from '../../web/lab/index.js';
import { EarlyStop, Params, schedules, transformer } from '../../web/net.js';

/** A small transformer with a loss. */
async function small(options = {}, { seed = 1, B = 3, T = 6, vocab = 7, segments = 0 } = {}) {
  const params = await Params.create({ seed }), g = params.graph();
  const tokens = g.index('tokens', [B, T]), targets = g.index('targets', [B, T]);
  const { logits, patterns } = transformer(g, tokens, { vocab, width: 8, layers: 2, heads: 2, ...options });
  const loss = logits.crossEntropy(targets).mean();
  g.train(loss, { segments });
  const { rng } = params;
  tokens.set(Int32Array.from({ length: B * T }, () => rng.below(vocab)));
  targets.set(Int32Array.from({ length: B * T }, (_, i) => (i % 5 ? rng.below(vocab) : -1)));
  return { params, g, tokens, targets, logits, patterns, loss };
}

for (const options of [{}, { positions: 'rope', norm: 'rms' }, { positions: 'learned', attention: 'relu', tied: true }, { positions: 'alibi', attention: 'sigmoid', mask: 'full' }, { kvShift: true, mlp: 0, positions: 'sinusoidal', rank: 2 }])
  test(`a transformer's gradient is the slope of its loss: ${JSON.stringify(options)}`, async () => {
    const { params, g } = await small(options);
    for (const p of params.list()) if (/adapter_b|embed.weight$/.test(p.name)) p.set({ normal: 0.5 }); // tiny embeddings under a norm bend too much for differences
    params.zero();
    g.run();
    g.backward();
    const grads = params.list().map((p) => Float64Array.from(p.grad)), before = params.list().map((p) => p.read());
    const norm = Math.sqrt(grads.reduce((s, d) => s + d.reduce((a, b) => a + b * b, 0), 0));
    for (let trial = 0; trial < 4; trial++) {
      const direction = grads.map((x) => Float64Array.from(x, (v) => (trial ? params.rng.normal() : v)));
      const length = Math.sqrt(direction.reduce((s, d) => s + d.reduce((a, b) => a + b * b, 0), 0));
      const slope = direction.reduce((s, d, i) => s + d.reduce((a, v, k) => a + v * grads[i][k], 0), 0) / length;
      const loss = (/** @type {number} */ h) => {
        params.list().forEach((p, i) => p.set(before[i].map((v, k) => v + (h * direction[i][k]) / length)));
        g.run();
        return g.loss;
      };
      const h = 1e-2, found = (8 * (loss(h / 2) - loss(-h / 2)) - (loss(h) - loss(-h))) / (6 * h);
      assert.ok(Math.abs(found - slope) < 2e-3 * Math.max(0.1 * norm, Math.abs(slope)), `slope ${slope}, differences say ${found}`);
    }
    params.free();
  });

test('segments: the same gradients to the last bit, in less memory', async () => {
  const shape = { B: 4, T: 16, vocab: 9 }, options = { layers: 6, hooks: false };
  const whole = await small(options, shape);
  whole.params.zero();
  whole.g.run();
  whole.g.backward();
  for (const segments of [2, 3, -1]) {
    const cut = await small(options, { ...shape, segments });
    cut.params.zero();
    cut.g.run();
    cut.g.backward();
    for (const p of whole.params.list()) assert.deepEqual(cut.params.get(p.name).grad, p.grad, `${p.name} with ${segments} segments`);
    assert.ok(cut.g.bytes < 0.8 * whole.g.bytes, `${segments} segments: ${cut.g.bytes} bytes, without ${whole.g.bytes}`);
    cut.params.free();
  }
  whole.params.free();
});

/** Updates in double precision, from the papers. @type {Record<string, (s: any, p: number, g: number, u: any, t: number) => number>} */
const REFERENCE = {
  sgd(s, p, g, u) {
    let d = g + u.decay * p;
    if (u.beta1) {
      s.m = u.beta1 * (s.m ?? 0) + d;
      d = u.nesterov ? d + u.beta1 * s.m : s.m;
    }
    return p - u.rate * d;
  },
  adam(s, p, g, u, t) {
    const d = g + u.decay * p;
    s.m = u.beta1 * (s.m ?? 0) + (1 - u.beta1) * d;
    s.v = u.beta2 * (s.v ?? 0) + (1 - u.beta2) * d * d;
    return p - (u.rate * (s.m / (1 - u.beta1 ** t))) / (Math.sqrt(s.v / (1 - u.beta2 ** t)) + u.epsilon);
  },
  adamw(s, p, g, u, t) { return REFERENCE.adam(s, p, g, { ...u, decay: 0 }, t) - u.rate * u.decay * p; },
  lion(s, p, g, u) {
    const c = u.beta1 * (s.m ?? 0) + (1 - u.beta1) * g;
    s.m = u.beta2 * (s.m ?? 0) + (1 - u.beta2) * g;
    return p - u.rate * (Math.sign(c) + u.decay * p);
  },
};
for (const [rule, more] of [['sgd', { beta1: 0 }], ['sgd', { beta1: 0.9 }], ['sgd', { beta1: 0.8, nesterov: true }], ['adam', {}], ['adamw', {}], ['lion', {}], ['adamw', { clip: 0.5 }]])
  test(`optimizer ${rule} ${JSON.stringify(more)} does what the paper says`, async () => {
    const params = await Params.create({ seed: 3 }), n = 17;
    const p = params.param('p', [n], { normal: 1 }), slow = params.param('slow', [n], { normal: 1 }), frozen = params.param('frozen', [n], { normal: 1 });
    params.group('slow', { rate: 0.1, decay: 0 });
    params.group('frozen', { frozen: true });
    const still = frozen.read();
    const u = { rule, rate: 0.05, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1, ...more };
    const states = Array.from({ length: 2 * n }, () => ({})), expected = [...p.read(), ...slow.read()].map(Number);
    for (let t = 1; t <= 6; t++) {
      const gradient = Float32Array.from({ length: 2 * n }, () => params.rng.normal());
      p.grad.set(gradient.subarray(0, n));
      slow.grad.set(gradient.subarray(n));
      frozen.grad.fill(1e9);
      const norm = Math.hypot(...gradient), share = u.clip && norm > u.clip ? u.clip / norm : 1;
      assert.ok(Math.abs(params.step(/** @type {any} */ (u)) - norm) < 1e-5 * norm, 'the norm counts what is trained, before clipping');
      for (let i = 0; i < 2 * n; i++) expected[i] = REFERENCE[rule](states[i], expected[i], gradient[i] * share, i < n ? u : { ...u, rate: u.rate * 0.1, decay: 0 }, t);
    }
    [...p.read(), ...slow.read()].forEach((v, i) => assert.ok(Math.abs(v - expected[i]) < 2e-6 * Math.max(1, Math.abs(expected[i])), `element ${i}: ${v}, expected ${expected[i]}`));
    assert.deepEqual(frozen.read(), still);
    params.free();
  });

test('saved in the middle, a training goes on bit for bit', async () => {
  const update = /** @type {const} */ ({ rule: 'adamw', rate: 1e-2, decay: 0.1, clip: 1, average: 0.9 });
  const a = await small();
  for (let i = 0; i < 5; i++) a.g.step(update);
  const saved = a.params.save();
  const losses = [1, 2, 3].map(() => a.g.step(update));
  const b = await small({}, { seed: 77 });
  b.params.restore(saved);
  b.g.setInput(b.tokens, new Int32Array(a.params.heap.buffer, a.tokens.at, a.tokens.size).slice());
  b.g.setInput(b.targets, new Int32Array(a.params.heap.buffer, a.targets.at, a.targets.size).slice());
  assert.deepEqual([1, 2, 3].map(() => b.g.step(update)), losses);
  assert.deepEqual(b.params.save(), a.params.save());
  const other = await small({ width: 4 });
  assert.throws(() => other.params.restore(saved), { code: 'ESTATE', message: /another model/ });
  assert.throws(() => other.params.restore(saved.subarray(0, 100)), { code: 'EFORMAT' });
  for (const x of [a, b, other]) x.params.free();
});

test('a seed says everything; the loss falls; averages follow', async () => {
  const update = /** @type {const} */ ({ rate: 2e-2, average: 0.5 });
  const run = async () => {
    const { params, g } = await small();
    const losses = Array.from({ length: 40 }, () => g.step(update));
    const values = params.list().map((p) => p.read());
    params.swapAverages();
    const averaged = params.list().map((p) => p.read());
    params.swapAverages();
    assert.deepEqual(params.list().map((p) => p.read()), values);
    params.free();
    return { losses, values, averaged };
  };
  const one = await run(), two = await run();
  assert.deepEqual(one, two);
  assert.notDeepEqual(one.averaged, one.values);
  assert.ok(one.losses[39] < 0.5 * one.losses[0], `${one.losses[0]} -> ${one.losses[39]}`);
});

test('values have names, and what is patched changes what follows', async () => {
  const { params, g, logits } = await small();
  g.run();
  const plain = g.loss, names = g.names('blocks.*.hook_resid_post');
  assert.deepEqual(names, ['blocks.0.hook_resid_post', 'blocks.1.hook_resid_post']);
  const { 'blocks.0.attn.hook_pattern': pattern } = g.trace(['blocks.0.attn.*']);
  assert.deepEqual(pattern.dims, [3, 2, 6, 6]);
  for (let row = 0; row < 36; row++) assert.ok(Math.abs(pattern.data.slice(6 * row, 6 * row + 6).reduce((a, b) => a + b, 0) - 1) < 1e-6);
  const post = g.get('blocks.1.hook_resid_post').read();
  g.patch('blocks.1.hook_resid_post', { replace: post });
  g.patch('blocks.0.hook_attn_out', { scale: 0 });
  g.run();
  assert.equal(g.loss, plain, 'the last residual is put back: nothing before it counts');
  assert.throws(() => g.backward(), { code: 'ESTATE', message: /patched/ });
  g.patch('blocks.1.hook_resid_post', null);
  g.run();
  assert.notEqual(g.loss, plain);
  g.patch('blocks.0.hook_attn_out', null);
  g.run();
  assert.equal(g.loss, plain);
  assert.throws(() => g.patch('blocks.0.hook_attn_out', { add: [1, 2] }), { code: 'ERANGE', message: /2 values/ });
  assert.throws(() => g.get('nothing'), { code: 'EMISSING' });
  assert.throws(() => logits.read(), { code: 'ESTATE', message: /not kept/ });
  params.free();
  assert.throws(() => g.run(), { code: 'ESTATE', message: /freed/ });
});

test('what does not fit is said, and leaves the rest as it was', async () => {
  const params = await Params.create(), g = params.graph();
  const a = g.param('a', [2, 3], { normal: 1 }), b = g.param('b', [4, 5], 1);
  assert.throws(() => a.matmul(b), /3.*4|2 x 3.*4 x 5|\[2.*3\].*\[4.*5\]/);
  assert.throws(() => params.param('a', [3, 2]), { code: 'ESTATE', message: /2 x 3, not 3 x 2/ });
  assert.throws(() => params.param('c', [0]), { code: 'ERANGE' });
  assert.throws(() => a.sum(2), { code: 'ERANGE', message: /axis 2/ });
  const other = await Params.create(), foreign = other.graph().param('x', [2, 3]);
  assert.throws(() => a.add(foreign), { code: 'ESTATE', message: /another graph/ });
  const g2 = params.graph(), x = g2.param('a', [2, 3]), huge = x.mul(1e30).square().sum();
  assert.throws(() => g2.run(), { code: 'ESTATE', message: /planned/ });
  g2.train(huge);
  const before = params.get('a').read();
  assert.throws(() => g2.step({ rate: 1 }), { code: 'ESTATE', message: /diverged/ });
  assert.deepEqual(params.get('a').read(), before);
  assert.throws(() => g2.param('a', [2, 3]).add(1), { code: 'ESTATE', message: /planned/ });
  assert.throws(() => params.step({ rate: NaN }), { code: 'ERANGE' });
  assert.throws(() => params.step({ rate: 1, beta1: 1 }), { code: 'ERANGE', message: /beta1/ });
  const g3 = params.graph(), constant = g3.constant([1, 2], [2]).sum();
  assert.throws(() => g3.train(constant), { code: 'ESTATE', message: /trained/ });
  params.free();
  other.free();
});

test('schedules', () => {
  const s = schedules.cosine({ steps: 110, warmup: 10, floor: 0.1 });
  assert.deepEqual([s(0), s(9), s(110), s(500)], [0.1, 1, 0.1, 0.1]);
  assert.ok(Math.abs(s(60) - 0.55) < 1e-12);
  const w = schedules.constantDecay({ steps: 100, decay: 20 });
  assert.deepEqual([w(0), w(80), w(90), w(100)], [1, 1, 0.5, 0]);
  const i = schedules.infinite({ warmup: 4, cooldown: 10, constant: 0.5, anneal: 50, decay: 10, floor: 0.05 });
  assert.ok(i(3) === 1 && i(4) === 1 && i(14) === 0.5 && i(49) === 0.5 && Math.abs(i(60) - 0.05) < 1e-12);
  const r = schedules.rewarm(schedules.cosine({ steps: 10 }), 10, schedules.constant({ warmup: 2 }), 2);
  assert.deepEqual([r(0), r(10), r(11)], [1, 1, 2]);
  assert.equal(schedules.linear({ steps: 10, floor: 0.5 })(5), 0.75);
  assert.equal(schedules.inverseSqrt({ warmup: 4 })(15), 0.5);
});

test('early stopping goes back to the best parameters', async () => {
  const params = await Params.create(), p = params.param('p', [2], 1), watch = new EarlyStop(params, { patience: 2, delta: 0.1 });
  const said = [5, 4, 3.95, 3, 3.5, NaN].map((value, i) => {
    p.set(i);
    return watch.report(value);
  });
  assert.deepEqual(said, [false, false, false, false, false, true]);
  watch.restore();
  assert.deepEqual([...p.value, watch.best], [3, 3, 3]);
  params.free();
});

/** A transformer of width 64 trained for a few steps. @param {Params} params @returns {Uint8Array} parameters, moments, counts */
function trained(params) {
  const g = params.graph(), tokens = g.index('tokens', [4, 32]), targets = g.index('targets', [4, 32]);
  g.train(transformer(g, tokens, { vocab: 32, width: 64, layers: 2, heads: 4 }).logits.crossEntropy(targets).mean());
  for (let step = 0; step < 5; step++) {
    tokens.set(Int32Array.from({ length: 128 }, (_, i) => (i * i + step) % 32));
    targets.set(Int32Array.from({ length: 128 }, (_, i) => ((i + 1) ** 2 + step) % 32));
    g.step({ rule: 'adamw', rate: 3e-3, decay: 0.01, clip: 1 });
  }
  return params.save();
}

test('threads: the same parameters to the last bit; ended threads leave a model that works on', { timeout: 120_000 }, async () => {
  const one = await Params.create({ seed: 2 });
  const expected = trained(one);
  assert.deepEqual([one.threads, one.pool], [1, 0]);
  await one.close();
  for (const threads of [2, 3]) {
    const params = await Params.create({ seed: 2, threads });
    assert.equal(params.threads, threads);
    assert.ok(params.heap.shared && params.pool > 0);
    assert.deepEqual(trained(params), expected, `${threads} threads`);
    await params.close();
    await params.close();
    assert.deepEqual([params.threads, params.pool], [1, 0]);
  }

  const core = await labCore({ threads: 2 });
  const first = core.params(), second = core.params();
  assert.deepEqual([core.threads, first.threads], [2, 2]);
  assert.equal(first.heap, second.heap);
  await first.close();
  assert.equal(core.threads, 2, 'the threads of a core are shared');
  await core.close();
  assert.deepEqual([core.threads, second.threads], [1, 1]);
  second.rng = new Rng(2, 'init');
  assert.deepEqual(trained(second), expected, 'one thread goes on in the shared memory');
  second.free();
});

test('threads: what is no number of them, builds of one thread, a call that is aborted', async () => {
  for (const threads of [0, 65, 1.5, '2']) await assert.rejects(Params.create({ threads }), { code: 'ERANGE', message: /threads/ });
  const plain = await Params.create({ threads: 2, variant: 'simd' });
  assert.deepEqual([plain.threads, plain.heap.shared], [1, false]);
  await plain.close();
  await assert.rejects(Params.create({ threads: 2, signal: AbortSignal.abort() }), { name: 'AbortError' });
});

test('threads that nobody has ended do not keep Node alive', { timeout: 60_000 }, async () => {
  const program = `import { Params } from '${new URL('../../web/net.js', import.meta.url).href}';
    const params = await Params.create({ threads: 2 }), g = params.graph();
    const loss = g.param('w', [256, 256], 1).matmul(g.param('v', [256, 256], 1)).mean();
    g.train(loss);
    console.log(params.threads, g.step({ rule: 'sgd', rate: 0 }));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  assert.equal(stdout, '2 256\n');
});
