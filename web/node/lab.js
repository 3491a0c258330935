// `microtome lab`: the built-in labs, and the user's own.
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { LABS, LabRun, describe, findLab, formatNumber, labCore, runSeeds } from '../lab/index.js';
import { unpack } from '../lab/checkpoint.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../lab/define.js').Lab} Lab */
/** @typedef {import('../lab/define.js').Config} Config */

const CHECKPOINT = 'checkpoint.mtlab';
const PROGRESS_MS = 200;
const INTERRUPTED = 130; // what shells expect after Ctrl-C

/** A lab of the list, or of a file. @param {string} what @returns {Promise<Readonly<Lab>>} */
async function labOf(what) {
  if (!/[/.]/.test(what)) return findLab(what);
  if (!/^[a-z][a-z0-9+.-]+:/i.test(what) && !existsSync(what)) throw new Error(`${what}: no such file`);
  return findLab(/^[a-z][a-z0-9+.-]+:/i.test(what) ? what : pathToFileURL(resolve(what)));
}

/** key=value by the types of the lab's config. @param {Lab} lab @param {string[]} list @returns {Config} */
function configFrom(lab, list) {
  return Object.fromEntries(list.map((pair) => {
    const at = pair.indexOf('='), key = pair.slice(0, at), value = pair.slice(at + 1), knob = lab.config[key];
    if (at < 1) throw new UsageError(`--set: "${pair}" is not KEY=VALUE`);
    if (!knob) throw new UsageError(`--set: lab ${lab.name} has no "${key}": known are ${Object.keys(lab.config).join(', ')}`);
    if (typeof knob.value === 'number') {
      if (value.trim() === '' || Number.isNaN(Number(value))) throw new UsageError(`--set ${key}: "${value}" is not a number`);
      return [key, Number(value)];
    }
    if (typeof knob.value === 'boolean') {
      if (value !== 'true' && value !== 'false') throw new UsageError(`--set ${key}: "${value}" is not true or false`);
      return [key, value === 'true'];
    }
    return [key, value];
  }));
}

/** name=FILE. @param {string[]} list */
function textsFrom(list) {
  return Object.fromEntries(list.map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError(`--text: "${pair}" is not NAME=FILE`);
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
}

/** @param {string} list */
function seedsFrom(list) {
  const seeds = list.split(',').map((word) => {
    if (!/^\d+$/.test(word.trim()) || !Number.isSafeInteger(Number(word))) throw new UsageError(`--seeds: "${word}" is not a whole number`);
    return Number(word);
  });
  if (new Set(seeds).size !== seeds.length) throw new UsageError(`--seeds: "${list}" has a seed twice`);
  return seeds;
}

/** The line on standard error. On a terminal it is written over; elsewhere each arm has one line when it begins. */
class Progress {
  #at = -Infinity;
  #arm = '';
  #width = 0;

  /** @param {LabRun} run */
  show(run) {
    const { where } = run, terminal = process.stderr.isTTY, arm = `${run.seed} ${where.arm}`;
    if (!terminal && arm === this.#arm) return;
    if (terminal && performance.now() - this.#at < PROGRESS_MS && !where.done) return;
    this.#arm = arm;
    this.#at = performance.now();
    const values = Object.entries(run.results()[where.arm].last).slice(0, 4).map(([key, value]) => `${key} ${formatNumber(value)}`).join('  ');
    const line = `${run.lab.name}, seed ${run.seed}: ${where.name} (${where.arm + 1} of ${where.arms}), step ${where.step} of ${where.steps}${terminal ? `, ${Math.floor((100 * where.made) / Math.max(1, where.total))} %  ${values}` : ''}`;
    process.stderr.write(terminal ? `\r${line.slice(0, (process.stderr.columns ?? 80) - 1).padEnd(this.#width)}` : `${line}\n`);
    this.#width = Math.min(line.length, (process.stderr.columns ?? 80) - 1);
  }

  end() {
    if (process.stderr.isTTY && this.#width) process.stderr.write(`\r${' '.repeat(this.#width)}\r`);
    this.#width = 0;
  }
}

const fileName = (/** @type {string} */ text) => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'arm';

/** results.json, NAME.svg of each plot, ARM.safetensors. @param {LabRun} run read before anything is awaited @param {string} folder */
async function save(run, folder) {
  const { json, plots, weights } = run.export();
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'results.json'), `${json}\n`);
  for (const { name, svg } of plots) await writeFile(join(folder, `${name}.svg`), svg);
  for (const { arm, bytes } of weights) await writeFile(join(folder, `${fileName(arm)}.safetensors`), bytes);
}

/** @param {{line: (text: string) => Promise<void>, json: (value: any) => string, mustExist: (file: string) => string, jsonOut: OptionSpec}} host */
export function labCommand({ line, json, mustExist, jsonOut }) {
  /** @param {Record<string, any>} options @param {string[]} rest */
  async function list(options, rest) {
    const other = Object.keys(options).find((name) => name !== 'json');
    if (rest.length || other) throw new UsageError(`lab list takes ${other ? `no --${other}` : 'no arguments'}`);
    const labs = await Promise.all(LABS.map(async ({ loader }) => describe((await loader()).default)));
    if (options.json) return line(json(labs));
    for (const { id, name, title } of labs) await line(`${String(id).padStart(4)}  ${name.padEnd(32)}${title}`);
  }

  /** @param {Record<string, any>} options @param {string[]} rest */
  async function run(options, rest) {
    const { seed, seeds, preset, resume, out, text = [], threads } = options;
    if (rest.length > 1 || (!rest.length && resume === undefined)) throw new UsageError('lab run needs one NAME, ID or FILE (microtome lab list)');
    if (seed !== undefined && seeds !== undefined) throw new UsageError('--seed and --seeds exclude each other');
    if (resume !== undefined) for (const name of ['seed', 'seeds', 'preset', 'set']) if (options[name] !== undefined) throw new UsageError(`--resume goes on as the run was begun: without --${name}`);
    const saved = resume === undefined ? null : new Uint8Array(await readFile(mustExist(resume)));
    const lab = await labOf(rest[0] ?? String(unpack(/** @type {Uint8Array} */ (saved)).header.lab));
    const texts = textsFrom(text), choice = { ...(preset !== undefined && { preset }), config: configFrom(lab, options.set ?? []) };
    const progress = new Progress(), stopped = new AbortController(), interrupt = () => stopped.abort(new DOMException('interrupted', 'AbortError')), { signal } = stopped;
    const core = await labCore({ threads });
    process.once('SIGINT', interrupt);
    try {
      if (seeds !== undefined) return await several(lab, seedsFrom(seeds), { ...choice, texts, core, signal }, options, progress);
      const one = saved ? await LabRun.restore(lab, saved, { texts, core, signal }) : await LabRun.create(lab, { ...choice, ...(seed !== undefined && { seed }), texts, core, signal });
      try {
        progress.show(one);
        await one.play({ signal, onSlice: () => progress.show(one) });
        progress.end();
        await report(one, options);
      } catch (error) {
        progress.end();
        if (!signal.aborted) throw error;
        await interrupted(one, out);
      } finally {
        one.dispose();
      }
    } catch (error) {
      progress.end();
      if (!signal.aborted) throw error;
      process.exitCode = INTERRUPTED;
    } finally {
      process.off('SIGINT', interrupt);
      await core.close();
    }
  }

  /** @param {LabRun} run @param {string | undefined} out */
  async function interrupted(run, out) {
    process.exitCode = INTERRUPTED;
    const { where } = run;
    if (out === undefined) return void process.stderr.write(`microtome: interrupted at ${where.name}, step ${where.step}; with --out FOLDER the run could have been resumed\n`);
    await mkdir(out, { recursive: true });
    const file = join(out, CHECKPOINT);
    await writeFile(file, run.checkpoint());
    process.stderr.write(`microtome: interrupted at ${where.name}, step ${where.step}; --resume ${file} goes on from there\n`);
  }

  /** @param {LabRun} run @param {Record<string, any>} options */
  async function report(run, options) {
    const { pass, checks } = run.verdict(), headline = run.headline();
    if (options.out !== undefined) await save(run, options.out);
    if (options.json) await line(run.export().json);
    else {
      await line(`${run.lab.title}: ${headline.label} ${formatNumber(headline.value)}${headline.unit ? ` ${headline.unit}` : ''}`);
      for (const check of checks) await line(`  ${check.pass ? 'holds' : 'FAILS'}  ${check.what}: ${formatNumber(check.value)}, must be ${check.bound}`);
    }
    if (!pass) process.exitCode = 1;
  }

  /** @param {Lab} lab @param {number[]} seeds @param {import('../lab/sweep.js').SweepOptions} choice @param {Record<string, any>} options @param {Progress} progress */
  async function several(lab, seeds, choice, options, progress) {
    /** @type {Promise<void>[]} */ const written = [];
    const result = await runSeeds(lab, seeds, { ...choice, onSlice: (run) => progress.show(run), onRun: (run) => { if (options.out !== undefined) written.push(save(run, join(options.out, `seed-${run.seed}`))); } });
    await Promise.all(written);
    progress.end();
    if (options.out !== undefined) await writeFile(join(options.out, 'seeds.json'), `${json(result)}\n`);
    const spread = (/** @type {import('../lab/sweep.js').Summary} */ s) => `mean ${formatNumber(s.mean)}, sd ${formatNumber(s.sd)}, ${formatNumber(s.min)} to ${formatNumber(s.max)}`;
    if (options.json) await line(json(result));
    else {
      await line(`${lab.title}: ${result.headline.label} ${spread(result.headline)}${result.headline.unit ? ` ${result.headline.unit}` : ''}`);
      for (const check of result.checks) await line(`  ${check.passes} of ${seeds.length}  ${check.what}: ${spread(check)}, must be ${check.bound}`);
      await line(`${result.passes} of ${seeds.length} seeds pass every check: the claim ${result.works ? 'holds' : 'does not hold'}`);
    }
    if (!result.works) process.exitCode = 1;
  }

  return {
    summary: 'small models trained on the spot: claims about language models, tested',
    usage: 'lab list|run [options] [NAME|ID|FILE]',
    options: /** @type {OptionSpec[]} */ ([
      { name: 'preset', kind: 'text', value: 'NAME', help: 'run: quick shows the effect, full is what the claim is tested on; default full' },
      { name: 'seed', kind: 'int', value: 'N', min: 0, help: 'run: default 1' }, { name: 'seeds', kind: 'text', value: 'LIST', help: 'run: several, such as 1,2,3; the claim holds when two thirds pass' },
      { name: 'set', kind: 'texts', value: 'KEY=VALUE', help: 'run: a value of the config over the preset\'s; as often as needed' }, { name: 'text', kind: 'texts', value: 'NAME=FILE', help: 'run: a text of your own where the lab reads one' },
      { name: 'out', kind: 'text', value: 'FOLDER', help: 'run: results.json, plots (SVG), parameters (safetensors); after Ctrl-C a checkpoint' },
      { name: 'resume', kind: 'text', value: 'FILE', help: 'run: goes on from a checkpoint' }, { name: 'threads', kind: 'int', value: 'N', min: 1, max: 64, help: 'run: default 1. Results do not depend on it' }, jsonOut,
    ]),
    notes: 'FILE is a module whose default export is a lab (docs/labs.md). Exit status of run: 0 the claim holds, 1 it does not, 130 interrupted.',
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, [what, ...rest]) {
      if (what === 'list') return list(options, rest);
      if (what === 'run') return run(options, rest);
      throw new UsageError(`lab needs one of list, run${what === undefined ? '' : `, got ${what}`}`);
    },
  };
}
