// stories260K (F32 and Q8_0 in GGUF, and the file of llama2.c) against the reference: last logits of five prompts, greedy continuations, tokenizer; every build agrees.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Model } from '../../web/index.js';
import { shared, skipWithoutShared } from '../support/shared.mjs';
import { engines } from '../support/wasm.mjs';

/** Largest difference beside the largest logit. @param {ArrayLike<number>} got @param {ArrayLike<number>} want */
function distance(got, want) {
  assert.equal(got.length, want.length);
  let most = 0, scale = 0;
  for (let i = 0; i < want.length; i++) {
    most = Math.max(most, Math.abs(got[i] - want[i]));
    scale = Math.max(scale, Math.abs(want[i]));
  }
  return most / scale;
}

// The reference ran on the float weights: Q8_0's own rounding of weights shows in the logits; 8 bits leave about 1/256 of a block's range.
const FILES = [{ file: 'stories260K.F32.gguf', tolerance: 1e-5 }, { file: 'stories260K.Q8_0.gguf', tolerance: 0.03 }, { file: 'stories260K.bin', tolerance: 1e-5 }];

for (const { file, tolerance } of FILES)
  describe(file, { skip: skipWithoutShared }, () => {
    /** @type {{prompt: string, ids: number[], last_logits: number[], greedy_ids: number[], greedy_text: string}[]} */ let references;
    /** @type {Map<string, Float32Array[]>} */ const seen = new Map();
    before(() => { references = JSON.parse(readFileSync(shared('models/stories260K/reference.json'), 'utf8')); });

    for (const { name, options } of engines())
      test(`${name}: logits and greedy tokens`, { timeout: 60_000 }, async () => {
        const model = await Model.load(shared('models/stories260K', file), options);
        try {
          /** @type {Float32Array[]} */ const rows = [];
          for (const { ids, last_logits, greedy_ids } of references) {
            const { logits } = await model.run(ids);
            rows.push(logits);
            assert.ok(distance(logits, last_logits) < tolerance, `relative error ${distance(logits, last_logits)}`);
            if (tolerance < 1e-3) {
              const greedy = await model.greedy(ids, { maxTokens: greedy_ids.length - ids.length, stop: [] });
              assert.deepEqual([...ids, ...greedy.ids], greedy_ids);
              // Incremental evaluation (above) and one pass over everything see the same logits, to the last bit.
              const whole = await model.run(greedy_ids.slice(0, -1), { all: true });
              for (let i = ids.length - 1; i < greedy_ids.length - 1; i++) {
                const row = whole.logits.subarray(i * whole.vocab, (i + 1) * whole.vocab);
                assert.equal(row.indexOf(row.reduce((a, b) => Math.max(a, b))), greedy_ids[i + 1], `position ${i}`);
              }
              assert.deepEqual(whole.logits.slice((ids.length - 1) * whole.vocab, ids.length * whole.vocab), logits, 'a prefix does not depend on what follows');
            }
          }
          seen.set(name, rows);
        } finally {
          await model.dispose();
        }
      });

    after(() => {
      // Threads change nothing; kernels differ by rounding.
      for (const [name, rows] of seen) {
        const alone = seen.get(name.replace(/, \d threads/, ''));
        if (alone && alone !== rows) assert.deepEqual(rows, alone, `${name} equals one thread to the last bit`);
        rows.forEach((row, i) => assert.ok(distance(row, /** @type {Float32Array[]} */ (seen.get('scalar'))[i]) < 1e-5, `${name} agrees with the scalar kernels`));
      }
    });

    test('its tokenizer', { skip: file.endsWith('.bin') && 'kept in a file of its own' }, async () => {
      const model = await Model.load(shared('models/stories260K', file), { threads: 1 });
      try {
        for (const { prompt, ids, greedy_ids, greedy_text } of references) {
          assert.deepEqual([...model.tokenizer.encode(prompt, { addSpecialTokens: true }).ids], ids);
          assert.equal(model.tokenizer.decode(greedy_ids, { skipSpecialTokens: true }), greedy_text.replace(/^ /, ''));
          const decoder = model.tokenizer.streamDecoder({ skipSpecialTokens: true });
          assert.equal(greedy_ids.map((id) => decoder.push(id)).join('') + decoder.end(), greedy_text.replace(/^ /, ''));
        }
      } finally {
        await model.dispose();
      }
    });
  });
