// ml5's character LSTMs and textgenrnn, converted and run, against float64 equations on the files as they are (TensorFlow's and Keras' layouts).
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Model, Tokenizer, quantize } from '../../web/index.js';
import { readGguf } from '../support/gguf_read.mjs';
import { readSafetensors } from '../support/safetensors_read.mjs';
import { shared, skipWithoutShared } from '../support/shared.mjs';
import { cli, engines, scratch } from '../support/wasm.mjs';

const sigmoid = (/** @type {number} */ x) => 1 / (1 + Math.exp(-x));
const at = (/** @type {string} */ name) => shared('models', name);

/** x W + b for W as TensorFlow keeps it, [x.length][columns]. @param {ArrayLike<number>} W @param {Float64Array} x @param {ArrayLike<number>} [b] */
function times(W, x, b) {
  const columns = W.length / x.length;
  return Float64Array.from({ length: columns }, (_, j) => { let sum = b ? b[j] : 0; for (let k = 0; k < x.length; k++) sum += x[k] * W[k * columns + j]; return sum; });
}
/** @param {{data: any, shape: number[]}} table @param {number} id */
const row = ({ data, shape }, id) => Float64Array.from({ length: shape[1] }, (_, i) => data[id * shape[1] + i]);

/** @param {Record<string, {shape: number[], data: any}>} t @param {number[]} ids @returns {Float64Array[]} */
function ml5(t, ids) {
  const c = [new Float64Array(128), new Float64Array(128)], h = [new Float64Array(128), new Float64Array(128)];
  return ids.map((id) => {
    let x = row(t.embedding, id);
    for (let l = 0; l < 2; l++) {
      const name = `rnnlm.multi_rnn_cell.cell_${l}.basic_lstm_cell`;
      const z = times((t[`${name}.weights`] ?? t[`${name}.kernel`]).data, Float64Array.from([...x, ...h[l]]), (t[`${name}.biases`] ?? t[`${name}.bias`]).data);
      for (let i = 0; i < 128; i++) {
        c[l][i] = c[l][i] * sigmoid(z[256 + i] + 1) + sigmoid(z[i]) * Math.tanh(z[128 + i]); // i j f o
        h[l][i] = Math.tanh(c[l][i]) * sigmoid(z[384 + i]);
      }
      x = h[l].slice();
    }
    return times(t['rnnlm.softmax_w'].data, x, t['rnnlm.softmax_b'].data);
  });
}

/** @param {Record<string, {shape: number[], data: any}>} t @param {number[]} ids @returns {Float64Array[]} */
function textgenrnn(t, ids) {
  const W = 40;
  return ids.map((_, end) => {
    const window = Array.from({ length: W }, (_, k) => ids[end - W + 1 + k] ?? 0);
    const rows = window.map((id) => row(t.embedding, id));
    const all = [rows];
    for (const name of ['rnn_1', 'rnn_2']) {
      let c = new Float64Array(128), h = new Float64Array(128);
      all.push(/** @type {Float64Array[]} */ (all.at(-1)).map((x) => {
        const fromState = times(t[`${name}.recurrent`].data, h);
        const z = times(t[`${name}.kernel`].data, x, t[`${name}.bias`].data).map((v, i) => v + fromState[i]);
        c = c.map((old, i) => sigmoid(z[128 + i]) * old + sigmoid(z[i]) * Math.tanh(z[256 + i])); // i f c o
        return (h = c.map((v, i) => sigmoid(z[384 + i]) * Math.tanh(v)));
      }));
    }
    const joined = rows.map((_, k) => Float64Array.from(all.flatMap((part) => [...part[k]])));
    const scores = joined.map((x) => x.reduce((sum, v, i) => sum + v * t.attention_W.data[i], 0));
    const top = Math.max(...scores), weights = scores.map((s) => Math.exp(s - top)), sum = weights.reduce((a, b) => a + b, 0) + 1e-7;
    const mean = new Float64Array(joined[0].length).map((_, i) => joined.reduce((m, x, k) => m + (weights[k] / sum) * x[i], 0));
    return times(t['output.weight'].data, mean, t['output.bias'].data);
  });
}

/** @param {Float32Array} got @param {Float64Array[]} want */
function close(got, want) {
  const all = want.flatMap((r) => [...r]), scale = Math.max(...all.map(Math.abs));
  all.forEach((v, i) => assert.ok(Math.abs(got[i] - v) <= 5e-6 * scale, `logit ${i} is ${got[i]}, expected ${v}`));
  assert.equal(got.length, all.length);
}

const TEXT = 'He was not a man, but the mind of a fish: it swam.';
const MODELS = /** @type {const} */ ([
  ['char-lstm-ml5/charlotte_bronte', 'char-lstm-ml5/charlotte_bronte.vocab.json', ml5], ['char-lstm-ml5/darwin', 'char-lstm-ml5/darwin.vocab.json', ml5], ['char-lstm-ml5/dubois', 'char-lstm-ml5/dubois.vocab.json', ml5],
  ['char-lstm-ml5/shakespeare', 'char-lstm-ml5/shakespeare.vocab.json', ml5], ['textgenrnn/textgenrnn_weights', 'textgenrnn/vocab.json', textgenrnn], ['textgenrnn/hacker_news', 'textgenrnn/vocab.json', textgenrnn],
]);

describe('character models', { skip: skipWithoutShared }, () => {
  for (const [weights, vocab, reference] of MODELS)
    test(weights, { timeout: 120_000 }, async () => {
      const { bytes } = await quantize([at(`${weights}.safetensors`), at(vocab)], { type: 'F32', threads: 1 });
      readGguf(/** @type {Uint8Array} */ (bytes));
      const tensors = readSafetensors(at(`${weights}.safetensors`));
      for (const { options } of engines().slice(-1)) {
        const model = await Model.load(/** @type {Uint8Array} */ (bytes), options);
        const known = /** @type {Record<string, number>} */ (JSON.parse(readFileSync(at(vocab), 'utf8')));
        const text = [...TEXT].filter((c) => c in known).join('');
        const { ids } = model.tokenizer.encode(text, { addSpecialTokens: true, offsets: false });
        assert.equal(ids.length, text.length + (reference === textgenrnn ? 1 : 0));
        assert.equal(model.tokenizer.decode(ids, { skipSpecialTokens: true }), text);
        assert.ok(text.length > 40);
        const want = reference(tensors, [...ids]);
        close((await model.run(ids, { all: true })).logits, want);
        // One by one is the same as at once: greedy continuation by both.
        const grown = [...ids];
        const { ids: more } = await model.greedy(ids, { maxTokens: 5, stop: [] });
        for (let i = 0; i < 5; i++) { const last = /** @type {Float64Array} */ (reference(tensors, grown).at(-1)); grown.push(last.indexOf(Math.max(...last))); }
        assert.deepEqual([...more], grown.slice(ids.length));
        await model.dispose();
      }
    });

  test('a good model of English: fewer bits than letters have', { timeout: 60_000 }, async () => {
    const { bytes } = await quantize([at('textgenrnn/textgenrnn_weights.safetensors'), at('textgenrnn/vocab.json')], { type: 'Q8_0' });
    const model = await Model.load(/** @type {Uint8Array} */ (bytes), { threads: 1 });
    const ids = model.tokenizer.encode('The president of the United States is in the White House.', { addSpecialTokens: true, offsets: false }).ids;
    const { logits, vocab } = await model.run(ids, { all: true });
    let bits = 0;
    for (let i = 1; i < ids.length; i++) {
      const r = logits.subarray((i - 1) * vocab, i * vocab), top = r.reduce((a, b) => Math.max(a, b));
      bits -= (r[ids[i]] - top - Math.log(r.reduce((s, x) => s + Math.exp(x - top), 0))) / Math.LN2;
    }
    assert.ok(bits / (ids.length - 1) < 2, `${bits / (ids.length - 1)} bits a character`);
    await model.dispose();
  });

  test('the command line converts; what is missing is said', { timeout: 60_000 }, async () => {
    const files = scratch(), out = join(files.folder, 'darwin.gguf');
    const run = await cli(['convert', at('char-lstm-ml5/darwin.safetensors'), out, '--vocab', at('char-lstm-ml5/darwin.vocab.json')]);
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stdout, /lstm, \d+ bytes, 9 tensors \(9 F32\)/);
    const tokenizer = await Tokenizer.load(out);
    assert.equal(tokenizer.encode('ab c', { offsets: false }).ids.length, 4);
    const without = await cli(['convert', at('char-lstm-ml5/darwin.safetensors'), out]);
    assert.equal(without.status, 1);
    assert.match(without.stderr, /needs its vocabulary/);
    const wrong = await cli(['convert', at('g2p-en/g2p_en.safetensors'), out]);
    assert.match(wrong.stderr, /config\.json/);
  });
});
