// Prompts cut inside words of held-out books: plain prompting is worse than healing, healing than alignment, alignment than the exact byte model (Phan et al. 2025, Athiwaratkun et al. 2024).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Measure, Model, dropoutProbe, healingTable, undertrainedTokens } from '../../web/index.js';
import { ROOT, readShared, skipWithoutShared } from '../support/shared.mjs';

test('naive > healing > alignment > exact on the 4k twin', { skip: skipWithoutShared, timeout: 600_000 }, async () => {
  const model = await Model.load(`${ROOT}models/family/twin-bpe-4k.gguf`, { threads: 1 });
  try {
    const text = readShared('corpora', 'gutenberg', 'en-heldout.txt').subarray(0, 200_000);
    const { rows } = await healingTable(model, text, { cuts: 60, seed: 7 });
    console.log(rows.map((r) => `# ${r.method.padEnd(10)} ${r.distance.toFixed(4)} ${r.bits.toFixed(4)} bits ${(100 * r.right).toFixed(0)} % right`).join('\n'));
    const [naive, healing, alignment, weighted, exact] = rows;
    assert.ok(naive.distance > healing.distance && healing.distance > weighted.distance && weighted.distance > exact.distance, 'distance to the exact answer');
    assert.ok(naive.distance > alignment.distance && alignment.distance > weighted.distance, 'distance to the exact answer, alignment');
    assert.ok(naive.bits > healing.bits && healing.bits > alignment.bits && alignment.bits > exact.bits, 'bits for the byte that follows');
    assert.ok(exact.bits < 0.7 * naive.bits);
  } finally {
    await model.dispose();
  }
});

test('tokens whose embeddings look never trained are those that the training books hardly have', { skip: skipWithoutShared, timeout: 300_000 }, async () => {
  const model = await Model.load(`${ROOT}models/family/twin-bpe-4k.gguf`, { threads: 1 });
  const measure = new Measure(model.tokenizer);
  try {
    for (const part of Buffer.from(readShared('corpora', 'gutenberg', 'en-train.txt').subarray(0, 10_000_000)).toString('utf8').split('\n\n')) measure.add(part);
    const counts = measure.counts(), { tokens } = await undertrainedTokens(model, { top: 2 ** 20 });
    const rare = tokens.filter(({ id }) => counts[id] <= 20), common = tokens.filter(({ id }) => counts[id] > 1000);
    let wins = 0;
    for (const a of rare) for (const b of common) wins += Number(a.similarity > b.similarity);
    const auc = wins / rare.length / common.length;
    console.log(`# ${rare.length} rare against ${common.length} common tokens: area under the curve ${auc.toFixed(4)}`);
    assert.ok(rare.length > 50 && common.length > 50 && auc > 0.9);
  } finally {
    measure.dispose();
    await model.dispose();
  }
});

test('the twin that was trained with BPE-dropout minds it less', { skip: skipWithoutShared, timeout: 300_000 }, async () => {
  const text = Buffer.from(readShared('corpora', 'gutenberg', 'en-heldout.txt').subarray(1500, 5000)).toString('utf8'), lines = text.split('\n\n').map((s) => s.replaceAll('\n', ' ').trim()).filter((s) => s.length > 80).slice(0, 8);
  const costs = [];
  for (const name of ['twin-bpe-4k', 'twin-dropout-4k']) {
    const model = await Model.load(`${ROOT}models/family/${name}.gguf`, { threads: 1 });
    const [clean, some] = await dropoutProbe(model, lines, { rates: [0, 0.1], samples: 4 }).finally(() => model.dispose());
    console.log(`# ${name}: ${clean.bitsPerByte.toFixed(3)} bits per byte, with dropout of 0.1 ${some.bitsPerByte.toFixed(3)}`);
    costs.push(some.bitsPerByte - clean.bitsPerByte);
  }
  assert.ok(costs[1] > 0 && costs[1] < 0.6 * costs[0], `${costs}`);
});
