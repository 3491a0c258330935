// Every model of models/family against PyTorch in float32 on the file's own (dequantised) weights: token ids, logits, log-probabilities, greedy tokens;
// the vocabulary of the file beside the tokenizer.json that it came from; and the figures on the cards, recorded by both, beside each other.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createHash } from 'node:crypto';
import { Model, Tokenizer } from '../../web/index.js';

const folder = new URL('../../models/family/', import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
const names = readdirSync(folder).filter((n) => n.endsWith('.reference.json')).map((n) => n.slice(0, -'.reference.json'.length));
const TEXT = 'It was the best of times; 12,345 ships — naïve “café” 🔬\n\n\tdon\'t\r\n  ';

test('the family is whole', () => assert.ok(names.length >= 16, `${names.length} models`));

for (const name of names)
  test(`${name}: ids, logits, log-probabilities and greedy tokens equal PyTorch's`, { timeout: 300_000 }, async () => {
    const reference = read(`${name}.reference.json`), metrics = read(`${name}.metrics.json`);
    const path = fileURLToPath(new URL(reference.model, folder));
    assert.equal(createHash('sha256').update(readFileSync(path)).digest('hex'), reference.sha256, 'the reference is of another file');
    // Rounding of activations goes round the loop of an LSTM; the others see it once a layer.
    const bound = metrics.model.architecture === 'lstm' ? 1e-3 : 1e-4;
    const model = await Model.load(path, {});
    try {
      for (const { prompt, ids, greedy, greedy_smallest_margin: margin, last_logits: last, log_probs: logProbs, masked_at: at, best, logits_at: masked } of reference.cases) {
        if (at === undefined) assert.deepEqual(Array.from(model.tokenizer.encode(prompt, { addSpecialTokens: true, offsets: false }).ids), ids);
        const { logits } = await model.run(ids, { all: true });
        const vocab = logits.length / ids.length, row = at ?? ids.length - 1, want = masked ?? last;
        const got = logits.subarray(row * vocab, (row + 1) * vocab), scale = Math.max(...want.map(Math.abs));
        const worst = Math.max(...want.map((x, i) => Math.abs(x - got[i]))) / scale;
        assert.ok(worst < bound, `${prompt}: logits differ by ${worst} of the largest`);
        if (masked) {
          assert.equal(got.indexOf(Math.max(...got)), best);
          continue;
        }
        const mine = await model.logProbs(ids);
        logProbs.forEach((x, i) => assert.ok(Math.abs(x - mine[i]) < 20 * bound, `${prompt}: log-probability ${i}`));
        if (margin > 4 * bound * scale) assert.deepEqual([...(await model.greedy(ids, { maxTokens: greedy.length, stop: [] })).ids], greedy);
      }
      const tokenizer = await Tokenizer.load(fileURLToPath(new URL(`../vocabularies/${metrics.vocabulary}.json`, folder)));
      assert.deepEqual(model.tokenizer.encode(TEXT, { offsets: false }).ids, tokenizer.encode(TEXT, { offsets: false }).ids);
      assert.equal(model.tokenizer.decode(model.tokenizer.encode(TEXT, { offsets: false }).ids), TEXT);
      tokenizer.dispose();
    } finally {
      await model.dispose();
    }
  });

test('bits per byte that the engine measured on the held-out stories are PyTorch\'s within 0.5 %', () => {
  const ours = read('measured.json');
  const compared = names.filter((name) => ours[name]?.stories);
  assert.ok(compared.length >= 13);
  for (const name of compared) {
    const theirs = read(`${name}.metrics.json`).heldout.stories.stories;
    assert.ok(Math.abs(ours[name].stories / theirs - 1) < 0.005, `${name}: ${ours[name].stories} and ${theirs}`);
  }
});

test('the default configuration of every model is there', () => {
  for (const name of names) assert.ok(existsSync(new URL(`../configs/${name}.json`, folder)), name);
});
