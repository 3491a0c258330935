// Labs from the outside: in a worker, on the command line, over the core's own parameters; texts and lookup.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { LABS, LabClient, LabRun, TEXTS, below, defineLab, findLab, nextTokens, repeats } from '../../web/lab/index.js';
import { transformer } from '../../web/net.js';
import { UsageError, parseArguments } from '../../web/node/args.js';
import { labCommand } from '../../web/node/lab.js';
import { readTexts } from '../../web/lab/texts.js';
import { readSafetensors } from '../../web/safetensors.js';
import { transformerLab } from '../support/labs.mjs';
import { ROOT } from '../support/shared.mjs';
import { CLI, cli, scratch } from '../support/wasm.mjs';

const files = scratch();
/** A lab as users write them: parameters of the core, AdamW, noise. */
const source = `
import { below, defineLab } from '${pathToFileURL(join(ROOT, 'web/lab/index.js')).href}';
export default defineLab({
  id: 9000, name: 'spring', title: 'A spring', claim: 'It comes to rest.', published: 'It does.', source: 'Hooke 1678', notes: [],
  config: { steps: { value: 300, min: 1, max: 100000, label: 'steps' }, rate: { value: 0.05, min: 0, max: 1, live: true, label: 'rate' }, limit: { value: 0.5, min: 0, max: 100, label: 'limit' }, fails: { value: false, label: 'fails' } },
  presets: { quick: { steps: 100 }, full: {} },
  arms: () => [{ name: 'soft' }, { name: 'Hard & fast', config: { stiff: 3 } }],
  setup: (run) => ({ w: run.params.param('w', [4], { normal: 1 }) }),
  step(run, { w }) {
    if (run.config.fails && run.step === 3) throw new Error('it broke');
    const noise = run.rng('data').normals(4, 0.1), at = w.value;
    w.grad.set(at.map((x, i) => (run.config.stiff ?? 1) * x + noise[i]));
    return { energy: at.reduce((sum, x) => sum + x * x, 0), norm: run.params.step({ rate: run.config.rate }) };
  },
  measure: (run, { w }) => ({ pictures: { w: { rows: 1, cols: 4, values: w.value } } }),
  series: { energy: { label: 'energy' }, norm: { label: 'norm of the gradient' } },
  plots: [{ type: 'line', series: ['energy'], title: 'Energy', logY: true }, { type: 'heat', picture: 'w', title: 'Places' }],
  headline: ([soft]) => ({ label: 'energy', value: soft.last.energy, unit: 'J' }),
  verdict: ([soft, hard]) => [below('soft', soft.last.energy, soft.config.limit), below('hard', hard.last.energy, hard.config.limit)],
});`;
const file = files.write('spring.mjs', source), url = pathToFileURL(file);
/** @type {Readonly<import('../../web/lab/define.js').Lab>} */ let spring;
before(async () => { spring = await findLab(url); });

/** A small transformer on blocks that come again: two graphs over the same parameters, one learned, one looked at. */
const copying = defineLab({
  id: 9002, name: 'copying', title: 'Copying', claim: 'It learns.', published: 'They do.', source: 'here', notes: [],
  config: { steps: { value: 24, min: 1, max: 100, label: 'steps' }, rate: { value: 0.01, min: 0, max: 1, label: 'rate', live: true }, every: { value: 7, min: 1, max: 100, label: 'every' } },
  presets: { quick: {}, full: {} },
  arms: () => [{ name: 'adamw', config: { rule: 'adamw', layers: 2 } }, { name: 'sgd', config: { rule: 'sgd', layers: 1 } }],
  setup(run) {
    const net = (/** @type {number} */ batch) => {
      const graph = run.params.graph(), tokens = graph.index('tokens', [batch, 12]), targets = graph.index('targets', [batch, 12]);
      const { logits, patterns } = transformer(graph, tokens, { vocab: 8, width: 16, layers: run.config.layers, heads: 2 });
      return { graph, tokens, targets, loss: logits.crossEntropy(targets).mean().keep(), pattern: patterns[0].keep() };
    };
    const train = net(8), test = net(4);
    train.graph.train(train.loss);
    test.graph.ready();
    return { train, test };
  },
  step(run, { train }) {
    const { inputs, targets } = nextTokens(repeats(run.rng('data'), { batch: 8, length: 13, symbols: 8, least: 3, most: 5 }).tokens, 13);
    train.tokens.set(inputs);
    train.targets.set(targets);
    return { loss: train.graph.step({ rule: run.config.rule, rate: run.config.rate, beta1: 0.9, decay: 0.01, clip: 1 }) };
  },
  measure(run, { test }) {
    const { inputs, targets } = nextTokens(repeats(run.fresh('test'), { batch: 4, length: 13, symbols: 8, least: 3, most: 5 }).tokens, 13);
    test.tokens.set(inputs);
    test.targets.set(targets);
    test.graph.run();
    return { test: test.loss.value[0], pictures: { pattern: { rows: 12, cols: 12, values: test.pattern.value.slice(0, 144) } } };
  },
  series: { loss: { label: 'loss', unit: 'nats' }, test: { label: 'test loss', unit: 'nats' } },
  plots: [{ type: 'line', series: ['loss', 'test'], title: 'Loss' }, { type: 'heat', picture: 'pattern', title: 'Attention' }],
  headline: ([adamw]) => ({ label: 'test loss', value: adamw.last.test, unit: 'nats' }),
  verdict: ([adamw]) => [below('test loss', adamw.last.test, adamw.series.test[0][1])],
});

describe('parameters of the core', () => {
  test('transformers: a run cut anywhere and continued is the same, bit for bit; seeds and weights differ', async () => {
    const whole = await LabRun.create(copying, { seed: 3 });
    await whole.advance({ steps: 5 });
    whole.set('rate', 0.02);
    await whole.play({ sliceMs: 0 });
    assert.equal(whole.verdict().pass, true, JSON.stringify(whole.results().map((arm) => arm.series.test)));
    for (const cut of [0, 5, 6, 7, 23, 24, 25, 40, 48]) {
      const first = await LabRun.create(copying, { seed: 3 });
      await first.advance({ steps: Math.min(cut, 5) });
      if (cut >= 5) first.set('rate', 0.02);
      if (cut > 5) await first.advance({ steps: cut - 5 });
      const bytes = first.checkpoint();
      first.dispose();
      const second = await LabRun.restore(copying, bytes);
      if (cut < 5) {
        await second.advance({ steps: 5 - cut });
        second.set('rate', 0.02);
      }
      await second.play();
      assert.deepEqual(second.checkpoint(), whole.checkpoint(), `cut at ${cut}`);
      assert.equal(second.export().json, whole.export().json);
      second.dispose();
    }
    const other = await LabRun.create(copying, { seed: 4 });
    await other.advance();
    assert.notEqual(other.results()[0].series.test[0][1], whole.results()[0].series.test[0][1], 'another seed, other weights');
    other.dispose();
    whole.dispose();
  });

  test('a run cut anywhere and continued is the same, bit for bit', async () => {
    const whole = await LabRun.create(spring, { seed: 4, preset: 'quick' });
    await whole.play();
    for (const cut of [0, 1, 99, 100, 150, 200]) {
      const first = await LabRun.create(spring, { seed: 4, preset: 'quick' });
      await first.advance({ steps: cut });
      const bytes = first.checkpoint();
      first.dispose();
      const second = await LabRun.restore(spring, bytes);
      await second.play();
      assert.deepEqual(second.checkpoint(), whole.checkpoint(), `cut at ${cut}`);
      assert.equal(second.export().json, whole.export().json);
      second.dispose();
    }
    const { weights } = whole.export();
    assert.deepEqual(weights.map(({ arm }) => arm), ['soft', 'Hard & fast']);
    weights.forEach(({ bytes }, i) => assert.deepEqual([...readSafetensors(bytes).tensors.w.data], whole.results()[i].pictures.w.values));
    whole.dispose();
  });
});

describe('texts and lookup', () => {
  test('bundled texts, and the user’s in their place', async () => {
    for (const name of Object.keys(TEXTS)) {
      const { [name]: text } = await readTexts([name]);
      assert.ok(text.length > 5e4);
      assert.doesNotMatch(new TextDecoder('utf-8', { fatal: true }).decode(text), /```|^[|#]/m, 'sentences, no code, tables and headings');
    }
    const own = new TextEncoder().encode('own'), packed = files.write('own.txt.gz', gzipSync(own));
    for (const given of [own, packed, pathToFileURL(packed), new Blob([own])]) assert.deepEqual([...(await readTexts(['prose'], { prose: given })).prose], [...own]);
    assert.deepEqual(await readTexts([]), {});
    await assert.rejects(readTexts(['prose'], { pros: own }), { code: 'EUNKNOWN', message: /reads no text "pros": it reads prose/ });
    await assert.rejects(readTexts(['novel']), { code: 'EMISSING' });
    await assert.rejects(readTexts(['novel'], { novel: join(files.folder, 'absent.txt') }), { code: 'EIO', message: /no such file/ });
  });

  test('labs by name, id and URL', async () => {
    assert.equal(spring.name, 'spring');
    await assert.rejects(findLab('no-such-lab'), { code: 'EUNKNOWN', message: /unknown lab "no-such-lab"/ });
    await assert.rejects(findLab(pathToFileURL(join(files.folder, 'absent.mjs'))), { code: 'EIO', message: /could not be loaded/ });
    await assert.rejects(findLab(pathToFileURL(files.write('none.mjs', 'export const lab = 1;'))), { code: 'EFORMAT', message: /default export is no lab/ });
    await assert.rejects(findLab(pathToFileURL(files.write('half.mjs', 'export default { name: "half" };'))), { code: 'ERANGE', message: /lab half/ });
    assert.deepEqual(LABS.map((l) => l.id), LABS.map((l) => l.id).sort((a, b) => a - b), 'in order of ids');
    assert.equal(new Set(LABS.flatMap((l) => [l.name, l.id])).size, 2 * LABS.length);
    for (const { id, name, loader } of LABS) {
      const { default: lab } = await loader();
      assert.deepEqual([lab.id, lab.name], [id, name]);
      assert.equal(defineLab(/** @type {any} */ (lab)), lab);
      assert.equal(await findLab(name), lab);
      assert.equal(await findLab(id), lab);
      assert.ok(existsSync(join(ROOT, `web/labs/${name}.js`)), `${name}.js`);
    }
  });
});

describe('in a worker', () => {
  test('the same results as here; events carry all of them', async () => {
    const lab = await LabClient.open(url, { seed: 2, preset: 'quick' });
    try {
      assert.deepEqual([lab.about.name, lab.seed, lab.where.total, lab.config.steps, lab.results.length], ['spring', 2, 200, 100, 2]);
      const pictures = [], done = [];
      let batches = 0;
      lab.on('metrics', () => batches++);
      lab.on('picture', (event) => pictures.push(event.arm));
      lab.on('done', (event) => done.push(event));
      const ended = await lab.start(), here = await LabRun.create(spring, { seed: 2, preset: 'quick' });
      await here.play();
      assert.deepEqual(lab.results, structuredClone(here.results()));
      assert.deepEqual([ended.where, ended.headline, ended.verdict], [here.where, here.headline(), here.verdict()]);
      assert.deepEqual(done, [ended]);
      assert.ok(batches > 0 && pictures.includes(0) && pictures.includes(1));
      const there = await lab.export();
      assert.equal(there.json, here.export().json);
      assert.deepEqual(there.plots, here.export().plots);
      assert.deepEqual(there.weights, here.export().weights);
      assert.deepEqual(await lab.checkpoint(), here.checkpoint());
      here.dispose();
    } finally {
      await lab.terminate();
    }
    await lab.terminate();
    await assert.rejects(lab.pause(), { code: 'ESTATE' });
  });

  test('steps, pauses, live values, checkpoints while it works, aborts', async () => {
    const lab = await LabClient.open(url, { config: { steps: 100000 } });
    try {
      await lab.step(7);
      assert.deepEqual([lab.where.step, lab.results[0].series.energy.length, lab.results[0].step], [7, 7, 7]);
      await lab.set('rate', 0.01);
      assert.deepEqual([lab.config.rate, lab.changes], [0.01, [{ key: 'rate', value: 0.01, arm: 0, step: 7 }]]);
      await assert.rejects(lab.set('limit', 1), { code: 'ESTATE', message: /limit cannot change/ });
      await assert.rejects(lab.set('rate', 5), { code: 'ERANGE' });

      const running = lab.start();
      await assert.rejects(lab.start(), { code: 'ESTATE', message: /at work already/ });
      const bytes = await lab.checkpoint(), where = await lab.pause(), ended = await running;
      assert.equal(ended.verdict, undefined);
      assert.deepEqual([ended.where, lab.where], [where, where]);
      assert.equal(lab.results[0].series.energy.length, where.step);
      const other = await LabClient.open(url, { checkpoint: bytes });
      assert.ok(other.where.step <= where.step && other.where.step >= 7);
      assert.deepEqual(other.results[0].series.energy, lab.results[0].series.energy.slice(0, other.where.step), 'what was before comes along');
      await other.step(3);
      assert.deepEqual(other.results[0].series.energy.slice(-3).map(([step]) => step), [0, 1, 2].map((i) => other.where.step - 3 + i));
      await other.terminate();

      const stop = new AbortController(), errors = [];
      lab.on('error', (error) => errors.push(error.name));
      const heard = new Promise((resolve) => { const off = lab.on('metrics', () => { off(); resolve(undefined); }); });
      const aborted = lab.resume({ signal: stop.signal });
      await heard;
      stop.abort();
      await assert.rejects(aborted, { name: 'AbortError' });
      assert.deepEqual(errors, ['AbortError']);
      await lab.step();
      assert.equal(lab.results[0].series.energy.length, lab.where.step, 'it goes on after an abort');
      assert.throws(() => lab.on('metric', () => {}), { code: 'EUNKNOWN' });
      const last = lab.start();
      await lab.terminate();
      await assert.rejects(last, { code: 'ESTATE' });
      assert.equal(errors.length, 1, 'that it was ended is no error to tell');
    } finally {
      await lab.terminate();
    }
  });

  test('threads: the same to the last bit, from a checkpoint too, and on the command line', { timeout: 120_000 }, async () => {
    const wide = files.write('wide.mjs', transformerLab(...['web/lab/index.js', 'web/net.js'].map((path) => pathToFileURL(join(ROOT, path)).href)));
    const here = await LabRun.create(await findLab(pathToFileURL(wide)), { seed: 2 });
    await here.advance({ steps: 2 });
    const cut = here.checkpoint();
    await here.play();
    for (const [options, threads] of /** @type {const} */ ([[{ seed: 2, threads: 1 }, 1], [{ seed: 2, threads: 2 }, 2], [{ checkpoint: cut, threads: 3 }, 3], [{ seed: 2, threads: 2, variant: 'simd' }, 1]])) {
      const lab = await LabClient.open(pathToFileURL(wide), options);
      try {
        assert.equal(lab.threads, threads);
        await lab.start();
        assert.deepEqual(await lab.checkpoint(), here.checkpoint(), `${threads} threads`);
        assert.deepEqual(lab.results, structuredClone(here.results()));
      } finally {
        await lab.terminate();
      }
    }
    for (const threads of [0, 65, 'all']) await assert.rejects(LabClient.open(pathToFileURL(wide), { threads }), { code: 'ERANGE', message: /threads/ });
    for (const more of [['--seed', '2'], ['--resume', files.write('wide.mtlab', cut)]]) {
      const run = await cli(['lab', 'run', wide, ...more, '--threads', '2', '--json']);
      assert.deepEqual([run.status, run.stdout], [0, `${here.export().json}\n`], run.stderr);
    }
    here.dispose();
  });

  test('what cannot be opened, and what fails on the way', async () => {
    for (const [what, options, expected] of /** @type {const} */ ([
      ['no-such-lab', {}, { code: 'EUNKNOWN', message: /unknown lab/ }], [url, { preset: 'slow' }, { code: 'EUNKNOWN', message: /unknown preset/ }], [url, { config: { steps: 0 } }, { code: 'ERANGE', message: /steps: 0/ }],
      [url, { checkpoint: new Uint8Array(20) }, { code: 'EFORMAT' }], [url, { checkpoint: new Uint8Array(20), seed: 1 }, { code: 'ERANGE' }], [url, { sead: 1 }, { code: 'EUNKNOWN' }], [url, { texts: { novel: new Uint8Array(3) } }, { code: 'EUNKNOWN' }],
      [url, { worker: pathToFileURL(join(files.folder, 'absent.js')) }, { code: 'EWORKER' }], [url, { signal: AbortSignal.abort() }, { name: 'AbortError' }],
    ])) await assert.rejects(LabClient.open(what, options), expected);
    const lab = await LabClient.open(url, { config: { fails: true } });
    /** @type {Error[]} */ const errors = [];
    lab.on('error', (error) => errors.push(error));
    await assert.rejects(lab.start(), { code: 'EWORKER', message: 'the lab failed: it broke' });
    assert.equal(errors.length, 1);
    assert.deepEqual(lab.results[0].series.energy.map(([step]) => step), [0, 1, 2], 'what there was stays');
    await lab.terminate();
  });
});

describe('microtome lab', () => {
  test('list', async () => {
    const { status, stdout } = await cli(['lab', 'list', '--json']);
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout).map((lab) => lab.name), LABS.map((lab) => lab.name));
    assert.equal((await cli(['lab', 'list'])).stdout.split('\n').length, LABS.length + 1);
  });

  test('run: the answer, the files, the exit status', async () => {
    const out = join(files.folder, 'out'), run = await cli(['lab', 'run', file, '--preset', 'quick', '--seed', '3', '--json', '--out', out]);
    assert.equal(run.status, 0, run.stderr);
    assert.match(run.stderr, /^spring, seed 3: soft \(1 of 2\), step 0 of 100\n(spring, seed 3: Hard & fast \(2 of 2\), step \d+ of 100\n)?$/);
    const here = await LabRun.create(spring, { seed: 3, preset: 'quick' });
    await here.play();
    const { json, plots, weights } = here.export();
    assert.equal(run.stdout, `${json}\n`);
    assert.deepEqual(readdirSync(out).sort(), ['energy.svg', 'hard-fast.safetensors', 'results.json', 'soft.safetensors', 'w-hard-fast.svg', 'w-soft.svg']);
    assert.equal(readFileSync(join(out, 'results.json'), 'utf8'), `${json}\n`);
    assert.equal(readFileSync(join(out, 'energy.svg'), 'utf8'), plots[0].svg);
    assert.deepEqual(new Uint8Array(readFileSync(join(out, 'hard-fast.safetensors'))), weights[1].bytes);
    here.dispose();
    const failing = await cli(['lab', 'run', file, '--preset', 'quick', '--set', 'limit=0', '--set', 'rate=0.1']);
    assert.equal(failing.status, 1);
    assert.match(failing.stdout, /^A spring: energy [\d.e−]+ J\n {2}FAILS {2}soft: [\d.e−]+, must be < 0\n {2}FAILS {2}hard: .*\n$/);
  });

  test('run --seeds', async () => {
    const out = join(files.folder, 'seeds'), run = await cli(['lab', 'run', file, '--preset', 'quick', '--seeds', '1,2,3', '--json', '--out', out]);
    const result = JSON.parse(run.stdout);
    assert.deepEqual([run.status, result.passes, result.works, result.runs.map((r) => r.seed)], [0, 3, true, [1, 2, 3]]);
    assert.deepEqual(readdirSync(out).sort(), ['seed-1', 'seed-2', 'seed-3', 'seeds.json']);
    assert.deepEqual(JSON.parse(readFileSync(join(out, 'seeds.json'), 'utf8')), result);
    assert.equal(JSON.parse(readFileSync(join(out, 'seed-2/results.json'), 'utf8')).headline.value, result.runs[1].headline.value);
    const shown = await cli(['lab', 'run', file, '--preset', 'quick', '--seeds', '1,2', '--set', 'limit=0']);
    assert.equal(shown.status, 1);
    assert.match(shown.stdout, /0 of 2 seeds pass every check: the claim does not hold\n$/);
  });

  test('Ctrl-C leaves a checkpoint; --resume ends as if nothing had been', async () => {
    const out = join(files.folder, 'cut'), steps = 100000;
    const child = spawn(process.execPath, [CLI, 'lab', 'run', file, '--set', `steps=${steps}`, '--out', out]);
    let stderr = '';
    child.stderr.on('data', (chunk) => { if (!stderr) child.kill('SIGINT'); stderr += chunk; });
    const status = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(status, 130, stderr);
    const checkpoint = join(out, 'checkpoint.mtlab'), bytes = new Uint8Array(readFileSync(checkpoint));
    assert.ok(stderr.includes(`--resume ${checkpoint}`), stderr);
    const cut = await LabRun.restore(spring, bytes), { made } = cut.where;
    assert.ok(made > 0 && made < 2 * steps);
    const straight = await LabRun.create(spring, { config: { steps } });
    await straight.advance({ steps: made });
    assert.deepEqual(straight.checkpoint(), bytes);
    cut.dispose();
    straight.dispose();

    const whole = await LabRun.create(spring, { seed: 5, preset: 'quick' });
    await whole.advance({ steps: 130 });
    const saved = files.write('at130.mtlab', whole.checkpoint());
    await whole.play();
    const resumed = await cli(['lab', 'run', file, '--resume', saved, '--json']);
    assert.deepEqual([resumed.status, resumed.stdout], [0, `${whole.export().json}\n`], resumed.stderr);
    whole.dispose();
  });

  test('calls that are wrong', async () => {
    const mustExist = (/** @type {string} */ path) => { if (!existsSync(path)) throw new Error(`${path}: no such file`); return path; };
    const command = labCommand({ line: assert.fail, json: JSON.stringify, mustExist, jsonOut: { name: 'json', kind: 'flag', help: '' } });
    for (const [args, status, pattern] of /** @type {[string[], number, RegExp][]} */ ([
      [[], 2, /lab needs one of list, run/], [['train'], 2, /got train/], [['list', 'x'], 2, /takes no arguments/], [['list', '--seed', '1'], 2, /takes no --seed/], [['run'], 2, /needs one NAME/], [['run', 'a', 'b'], 2, /needs one NAME/],
      [['run', 'no-such-lab'], 1, /unknown lab/], [['run', './absent.mjs'], 1, /no such file/], [['run', file, '--seed', '1', '--seeds', '1,2'], 2, /exclude each other/], [['run', file, '--seeds', '1,x'], 2, /"x" is not a whole number/],
      [['run', file, '--seeds', '1,1'], 2, /twice/], [['run', file, '--preset', 'slow'], 1, /unknown preset "slow": known are quick, full/], [['run', file, '--set', 'rate'], 2, /not KEY=VALUE/], [['run', file, '--set', 'pace=1'], 2, /known are steps, rate, limit, fails/],
      [['run', file, '--set', 'rate=fast'], 2, /not a number/], [['run', file, '--set', 'fails=1'], 2, /not true or false/], [['run', file, '--set', 'rate=7'], 1, /rate: 7 is not a number in 0\.\.1/], [['run', file, '--resume', file, '--seed', '1'], 2, /without --seed/],
      [['run', file, '--resume', join(files.folder, 'absent')], 1, /no such file/], [['run', file, '--resume', file], 1, /no checkpoint/], [['run', file, '--text', 'novel'], 2, /not NAME=FILE/], [['run', file, '--text', `novel=${file}`], 1, /reads no text/],
    ])) {
      const call = async () => { const { options, rest } = parseArguments(args, command.options); await command.run(options, rest); };
      await assert.rejects(call(), (error) => {
        assert.match(error.message, pattern);
        assert.equal(error instanceof UsageError ? 2 : 1, status, args.join(' '));
        return true;
      });
    }
    const run = await cli(['lab', 'run', file, '--set', 'fails=true']);
    assert.deepEqual([run.status, run.stdout, run.stderr.trimEnd().split('\n').at(-1)], [1, '', 'microtome: it broke']);
  });
});
