// Labs with their point taken away: then their verdict must not hold, and the named checks must be among those that fail.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { LabRun, findLab } from '../../web/lab/index.js';
import { labCore } from '../../web/lab/core.js';

const core = await labCore();

/** @type {Record<string, {why: string, config: Record<string, any>, preset?: string, fails: RegExp[]}>} */
const BROKEN = {
  'active-dormant-heads': { why: 'nobody sees the start token', config: { start: false, first: false }, fails: [/^attention to the start token from ordinary/, /^length of the start/] },
  'induction-heads': { why: 'no positions: no head looks back by one', config: { positions: 'none' }, fails: [/^loss on the copies, two/, /^prefix-matching score/] },
  'linear-models-in-context': { why: 'one task for all prompts', config: { tasks: 'one' }, fails: [/^diagonal, equal/, /^diagonal, unequal/, /^loss on new tasks, equal/] },
  'kv-shifting-attention': { why: 'keys are not shifted', config: { keys: 'own', textSteps: 1 }, fails: [/^starts with a loss/, /^step at which the last/] },
};

for (const [name, { why, config, preset = 'full', fails }] of Object.entries(BROKEN))
  test(`${name}: ${why}`, async (t) => {
    const run = await LabRun.create(await findLab(name), { core, seed: 1, preset, config });
    await run.play();
    const { pass, checks } = run.verdict();
    for (const { what, value, bound, pass: holds } of checks) t.diagnostic(`${holds ? 'holds' : 'fails'}: ${what}: ${Number(value.toPrecision(4))} ${bound}`);
    assert.equal(pass, false);
    for (const pattern of fails) {
      const found = checks.filter((check) => pattern.test(check.what));
      assert.ok(found.length && found.every((check) => !check.pass), String(pattern));
    }
    run.dispose();
  });
