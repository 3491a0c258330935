// Every lab at its quick preset, seed 1: what must be seen even in so few steps. Claims in full: tests/labs (./build.sh test labs).
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { LABS, LabRun, drawPlots } from '../../web/lab/index.js';
import { labCore } from '../../web/lab/core.js';

const core = await labCore();

/** By lab: conditions on the arms' last values. @type {Record<string, (arms: Record<string, Record<string, number>>) => [what: string, holds: boolean][]>} */
const SANE = {
  'active-dormant-heads': ({ 'softmax, Adam': adam, 'ReLU, Adam': relu, 'softmax, SGD': sgd }) => [['a sink forms', adam.start > 0.4 && adam.startTrigger < 0.05], ['its value fades', adam.drain < 0.15], ['none with ReLU', relu.start < 0.05],
    ['none with SGD', sgd.start < 0.15 && sgd.drain > 0.4], ['copying has begun', adam.triggerLoss < 2.2 && relu.triggerLoss < 2.2]],
  'induction-heads': ({ 'two layers': two, 'one layer': one, 'one layer, keys and values shifted': shifted }) => [['two layers copy', two.late < 1.5 && two.score > 0.5], ['one layer does not', one.late > 2], ['a shifted one does', shifted.late < 1],
    ['the heads are the cause', two.without > 3], ['nothing is known of a first block', two.early > 3]],
  'pitfalls-next-token': ({ 'next tokens': forced, 'path backwards': back, 'all at once': once }) => [['the path is followed, not chosen', forced.finished > 0.8 && forced.path < 0.6], ['backwards the last hop is given', back.finished > 0.3],
    ['all at once the ends are given', once.finished > 0.9], ['none is below the guess of a name', Math.min(forced.hop, back.hop, once.hop) > 0.2]],
  'linear-models-in-context': ({ 'equal covariates': equal, 'unequal covariates': unequal }) => [['near the closed form', [equal, unequal].every((arm) => Math.abs(arm.diagonal - 1) < 0.1 && arm.off < 0.15)],
    ['larger covariates break it', equal.covariates > 15 * equal.loss], ['larger weights do not', equal.weights < 1.1 * equal.loss]],
  'kv-shifting-attention': (arms) => [['one shifted layer copies', arms['shifted, start 1'].late < 0.8 && arms['shifted, start 1'].score > 0.5], ['its keys are those of the token before', Math.abs(arms['shifted, start 1'].a) < 0.2],
    ['a plain one does not', arms.plain.late > 2], ['both begin to read', arms['text, shifted'].text < 3.2 && arms['text, plain'].text < 3.2]],
  'bico-reversal-curse': ({ causal, 'both ways, filling gaps': both }) => [['causal knows what it was told', causal.forward > 0.95], ['causal cannot turn it round', causal.reversed <= 0.05], ['both ways can, in part', both.reversed > 0.3]],
  'spt-reversal-curse': ({ 'as told': told, 'units permuted': units }) => [['told forward', told.forward > 0.95], ['not reversed', told.reversed <= 0.05], ['permuted units turn round', units.reversed > 0.5]],
  'fair-lm-paradox': (arms) => [['decay harms the rare more', arms['weight decay 1'].bucket8 - arms['weight decay 0'].bucket8 > arms['weight decay 1'].frequent - arms['weight decay 0'].frequent],
    ['frequent followers are learnt', arms['weight decay 0'].frequent < 1]],
  'numeral-systems-pythia': (arms) => [['base 10 has begun to add', arms['base 10, fresh problems'].loss < 2.3], ['base 100 has not', arms['base 100, fresh problems'].exact < 0.2]],
  'overcoming-self-attention-limits': ({ exact }) => [['the machines are right', exact.exact === 1 && exact.normal === 1 && exact.first === 1], ['norms keep them sure', exact.entropy < 1e-3]],
  'tokenization-bias-markov': ({ 'longest match': net }) => [['asked directly it is biased', net.directError > 0.3], ['the correction of the exact table is exact', net.exactError < 1e-6], ['the net is corrected, nearly', net.correctedError < 0.1]],
  'dual-process-forgetting': ({ vanilla, 'active forgetting': active }) => [['vanilla relies on its weights', vanilla.unseen < active.unseen - 0.1], ['forgetting takes them away', active.after < vanilla.weights - 0.1]],
  'theory-of-tokenization': (arms) => [['letters stay near the unigram', arms['letters, no positions'].tested > 0.55], ['tokens come near the rate', arms['tokens, no positions'].tested < 0.4]],
  'number-token-loss': (arms) => [['better than any guess', arms['cross-entropy alone, run 1'].loss < Math.log(10)], ['an error that has a size', arms['with Wasserstein-1, run 1'].error < 25]],
};

test('every built-in lab has its conditions here', () => assert.deepEqual(Object.keys(SANE).sort(), LABS.map(({ name }) => name).sort()));

for (const { id, name, loader } of LABS)
  test(`[${id}] ${name}, quickly`, async () => {
    const { default: lab } = await loader();
    assert.deepEqual([lab.id, lab.name], [id, name]);
    assert.ok(existsSync(new URL(`../../web/labs/${name}.js`, import.meta.url)));
    const run = await LabRun.create(lab, { core, seed: 1, preset: 'quick' });
    await run.play();
    const results = run.results(), last = Object.fromEntries(results.map((arm) => [arm.name, arm.last]));
    for (const [what, holds] of SANE[name](last)) assert.ok(holds, `${what}: ${JSON.stringify(last)}`);
    for (const { what, value, bound } of run.verdict().checks) assert.ok(what && bound && typeof value === 'number', `${what}: ${value} ${bound}`);
    assert.ok(Number.isFinite(run.headline().value) || Number.isNaN(run.headline().value));
    const plots = drawPlots(lab, results);
    assert.ok(plots.length >= lab.plots.length && plots.every(({ svg }) => svg.startsWith('<svg')));
    run.dispose();
  });
