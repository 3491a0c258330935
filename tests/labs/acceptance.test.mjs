// Every lab's claim, in full: its verdict at seeds 1, 2 and 3 at the default size; it works when it holds for two of them.
// MICROTOME_LAB=name[,name] runs only these.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { LABS, runSeeds } from '../../web/lab/index.js';
import { labCore } from '../../web/lab/core.js';

const only = process.env.MICROTOME_LAB?.split(',');
const core = await labCore();

for (const { id, name, loader } of LABS) {
  if (only && !only.includes(name)) continue;
  test(`[${id}] ${name}`, async (t) => {
    const { default: lab } = await loader();
    const { runs, works } = await runSeeds(lab, [1, 2, 3], { core });
    for (const { seed, checks } of runs)
      for (const { what, value, bound, pass } of checks) t.diagnostic(`seed ${seed}: ${pass ? 'holds' : 'FAILS'}: ${what}: ${Number(value.toPrecision(4))} ${bound}`);
    assert.ok(works, 'the verdict holds for fewer than two of three seeds');
  });
}
