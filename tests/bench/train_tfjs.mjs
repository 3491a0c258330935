// The transformer that train.bench.mjs trains, written in TensorFlow.js's operations on its WASM backend. What that backend lacks is gone around: it has no gradient of a
// look-up (no UnsortedSegmentSum), so that tokens become one-hot rows; its float one-hot rows hold bit patterns of whole numbers, so that they are made of integers.
// Gradients are registered by the package of layers; the core's build for Node leaves them out.
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-layers';

/** @param {{vocab: number, width: number, layers: number, heads: number, T: number, B: number}} shape @returns {Promise<(tokens: Int32Array, targets: Int32Array) => number>} one step of Adam; its loss */
export async function trainerTfjs({ vocab, width: D, layers, heads: H, T, B }) {
  setWasmPaths(`${dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm'))}/`);
  await tf.setBackend('wasm');
  const E = D / H, N = B * T;
  /** @type {Record<string, any>} */ const params = {};
  const param = (name, dims, start) => (params[name] ??= tf.variable(typeof start === 'number' ? tf.fill(dims, start) : tf.randomNormal(dims, 0, start.normal)));
  const mask = tf.tensor(Float32Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? 0 : -1e9)), [1, T, T]);
  const oneHot = (ids) => tf.cast(tf.oneHot(tf.tensor1d(ids, 'int32'), vocab), 'float32');
  const gelu = (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(tf.mul(tf.add(x, tf.mul(tf.mul(tf.square(x), x), 0.044715)), Math.sqrt(2 / Math.PI))), 1));
  const norm = (x, name) => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), 1e-5))), param(`${name}.gain`, [D], 1)), param(`${name}.bias`, [D], 0));
  };
  const linear = (x, name, from, to) => tf.matMul(x, param(name, [from, to], { normal: 1 / Math.sqrt(from) }));
  const lossOf = (tokens, targets) => {
    let x = tf.reshape(tf.add(tf.reshape(tf.matMul(oneHot(tokens), param('embed', [vocab, D], { normal: 0.02 })), [B, T, D]), param('positions', [T, D], { normal: 0.02 })), [N, D]);
    for (let l = 0; l < layers; l++) {
      const a = norm(x, `${l}.ln1`);
      const [q, k, v] = ['q', 'k', 'v'].map((what) => tf.reshape(tf.transpose(tf.reshape(linear(a, `${l}.${what}`, D, D), [B, T, H, E]), [0, 2, 1, 3]), [B * H, T, E]));
      const pattern = tf.softmax(tf.add(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(E)), mask));
      const z = tf.reshape(tf.transpose(tf.reshape(tf.matMul(pattern, v), [B, H, T, E]), [0, 2, 1, 3]), [N, D]);
      x = tf.add(x, linear(z, `${l}.o`, D, D));
      const inner = gelu(tf.add(linear(norm(x, `${l}.ln2`), `${l}.in`, D, 4 * D), param(`${l}.in.bias`, [4 * D], 0)));
      x = tf.add(x, tf.add(linear(inner, `${l}.out`, 4 * D, D), param(`${l}.out.bias`, [D], 0)));
    }
    return tf.neg(tf.mean(tf.sum(tf.mul(tf.logSoftmax(linear(norm(x, 'final'), 'unembed', D, vocab)), oneHot(targets)), -1)));
  };
  tf.tidy(() => lossOf(new Int32Array(N), new Int32Array(N))); // the optimizer wants to see all variables
  const optimizer = tf.train.adam(1e-3, 0.9, 0.99, 1e-8);
  return (tokens, targets) => tf.tidy(() => {
    const loss = optimizer.minimize(() => lossOf(tokens, targets), true);
    return loss.dataSync()[0];
  });
}
