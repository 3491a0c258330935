// What verdicts are made of, against slow twins.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Rng, above, atLeast, atMost, attentionTo, below, firstAbove, firstBelow, largest, lastMean, steepestFall, valueAt } from '../../web/lab/index.js';

test('checks: the bound in words, and what stands on it', () => {
  assert.deepEqual(below('loss', 0.5, 1), { what: 'loss', value: 0.5, bound: '< 1', pass: true });
  assert.deepEqual([below, above, atMost, atLeast].map((check) => [check('x', 2, 2).pass, check('x', NaN, 2).pass, check('x', 2, 2).bound]), [[false, false, '< 2'], [false, false, '> 2'], [true, false, '<= 2'], [true, false, '>= 2']]);
});

test('numbers read off a curve', () => {
  /** @type {[number, number][]} */ const curve = [[0, 9], [10, 8], [20, 3], [30, 2], [45, 4]];
  assert.deepEqual([lastMean(curve, 1), lastMean(curve, 15), lastMean(curve, 16), lastMean(curve, 99)], [4, 4, 3, 26 / 5]);
  assert.deepEqual([valueAt(curve, -1), valueAt(curve, 0), valueAt(curve, 29), valueAt(curve, 99)], [NaN, 9, 3, 4]);
  assert.deepEqual([firstBelow(curve, 4), firstBelow(curve, 2), firstAbove(curve, 8.5), firstAbove(curve, 9)], [20, Infinity, 0, Infinity]);
  assert.deepEqual([lastMean([], 5), valueAt([], 5), firstBelow([], 5), steepestFall([], 5)], [NaN, NaN, Infinity, NaN]);
  assert.deepEqual([steepestFall(curve, 10), steepestFall(curve, 20), steepestFall(curve, 46)], [15, steepest(curve, 20), NaN]);
  const rng = new Rng(1, 'curve');
  for (let trial = 0; trial < 50; trial++) {
    /** @type {[number, number][]} */ const random = [];
    for (let step = 0; step < 200; step += 1 + rng.below(9)) random.push([step, rng.normal()]);
    assert.equal(steepestFall(random, 25), steepest(random, 25));
  }
});

/** All pairs of points that are far enough from each other, the nearest second one for each first. */
function steepest(curve, steps) {
  const falls = curve.flatMap(([s, x]) => curve.filter(([t]) => t >= s + steps).slice(0, 1).map(([t, y]) => ({ middle: (s + t) / 2, slope: (x - y) / (t - s) })));
  return falls.reduce((best, fall) => (fall.slope > best.slope ? fall : best)).middle;
}

test('attention to chosen keys', () => {
  const rng = new Rng(2, 'pattern'), [B, H, T] = [3, 2, 5], pattern = rng.uniforms(B * H * T * T);
  const at = (b, h, q, k) => pattern[((b * H + h) * T + q) * T + k];
  const got = attentionTo(pattern, [B, H, T, T], (b, q) => (q > b ? [q - 1, 0] : null));
  for (let h = 0; h < H; h++) {
    const all = [];
    for (let b = 0; b < B; b++) for (let q = b + 1; q < T; q++) all.push(at(b, h, q, q - 1) + at(b, h, q, 0));
    assert.ok(Math.abs(got[h] - all.reduce((x, y) => x + y) / all.length) < 1e-12);
  }
  assert.deepEqual([...attentionTo(pattern, [B, H, T, T], () => null)], [NaN, NaN]);
  assert.deepEqual([largest([1, 3, 3]), largest([])], [1, -1]);
});
