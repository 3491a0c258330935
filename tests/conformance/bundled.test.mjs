// The bundled model against PyTorch in float32 on the file's own (dequantised) weights: logits, and greedy tokens.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createHash } from 'node:crypto';
import { Model } from '../../web/index.js';
import { engines } from '../support/wasm.mjs';

const path = fileURLToPath(new URL('../../models/microtome-tiny.gguf', import.meta.url));
let reference;
before(() => { reference = JSON.parse(readFileSync(new URL('../../models/microtome-tiny.reference.json', import.meta.url), 'utf8')); });

test('the reference is of this file', () => {
  assert.equal(createHash('sha256').update(readFileSync(path)).digest('hex'), reference.sha256);
});

for (const { name, options } of engines())
  test(`${name}: logits within 1e-4 of the largest, greedy tokens equal`, { timeout: 120_000 }, async () => {
    const model = await Model.load(path, options);
    after(() => model.dispose());
    for (const { prompt, ids, greedy, last_logits: want } of reference.cases) {
      assert.deepEqual([model.tokenizer.bos, ...model.tokenizer.encode(prompt, { offsets: false }).ids], ids);
      const { logits } = await model.run(ids);
      const got = logits.subarray(logits.length - want.length);
      const scale = Math.max(...want.map(Math.abs));
      const worst = Math.max(...want.map((x, i) => Math.abs(x - got[i]))) / scale;
      assert.ok(worst < 1e-4, `${prompt}: logits differ by ${worst} of the largest`);
      const out = [];
      for await (const { id } of model.generate(ids, { temperature: 0, maxTokens: greedy.length, stop: [] })) out.push(id);
      assert.deepEqual(out, greedy);
    }
  });
