// Prompts cut inside words of held-out books: plain prompting is worse than healing, healing than alignment, alignment than the exact byte model (Phan et al. 2025, Athiwaratkun et al. 2024).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Model, healingTable } from '../../web/index.js';
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
