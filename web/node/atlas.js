// `microtome atlas`: papers on tokens and models, what each claims, and what the package computes of it.
import { SYSTEMS, findSystem, runSystem } from '../atlas/run.js';
import { formatNumber } from '../lab/plots.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */

const INTERRUPTED = 130; // what shells expect after Ctrl-C

/** @param {{line: (text: string) => Promise<void>, json: (value: any) => string, jsonOut: OptionSpec}} host */
export function atlasCommand({ line, json, jsonOut }) {
  /** @param {Record<string, any>} options @param {string[]} rest */
  async function list(options, rest) {
    if (rest.length || options.full) throw new UsageError(`atlas list takes ${options.full ? 'no --full' : 'no arguments'}`);
    if (options.json) return line(json(SYSTEMS.map(({ id, slug, title, field, status, claim, missing = null }) => ({ id, slug, title, field, status, claim, missing }))));
    for (const { id, status, title } of SYSTEMS) await line(`${String(id).padStart(4)}  ${status.padEnd(9)}${title}`);
    await line(`${SYSTEMS.filter(({ status }) => status === 'works').length} of ${SYSTEMS.length} work`);
  }

  /** @param {Record<string, any>} options @param {string[]} rest */
  async function run(options, rest) {
    if (rest.length !== 1) throw new UsageError('atlas run needs one ID (microtome atlas list)');
    const { slug } = findSystem(rest[0]), terminal = process.stderr.isTTY, stopped = new AbortController(), interrupt = () => stopped.abort(new DOMException('interrupted', 'AbortError'));
    const clear = () => { if (terminal) process.stderr.write(`\r${' '.repeat(slug.length + 8)}\r`); };
    process.once('SIGINT', interrupt);
    try {
      const result = await runSystem(rest[0], { full: !!options.full, signal: stopped.signal, onProgress: (done, total) => { if (terminal) process.stderr.write(`\r${slug}: ${String(Math.floor((100 * done) / total)).padStart(3)} %`); } });
      clear();
      await report(result, options);
      if (result.verdict !== 'holds') process.exitCode = 1;
    } catch (error) {
      clear();
      if (!stopped.signal.aborted) throw error;
      process.exitCode = INTERRUPTED;
    } finally {
      process.off('SIGINT', interrupt);
    }
  }

  /** @param {import('../atlas/run.js').SystemRun} result @param {Record<string, any>} options */
  async function report(result, options) {
    if (options.json) return line(json(result));
    const { id, title, status, claim, published, obtained: { headline, checks, scope }, verdict, seconds } = result;
    await line(`${id}  ${title}`);
    for (const [what, text] of [['status', status], ['claim', claim], ['published', published], ['obtained', `${headline.label}: ${formatNumber(headline.value)}${headline.unit ? ` ${headline.unit}` : ''}`], ['run here', scope]]) await line(`  ${what.padEnd(11)}${text}`);
    for (const check of checks) await line(`    ${check.pass ? 'holds' : 'FAILS'}  ${check.what}: ${formatNumber(check.value)}, must be ${check.bound}`);
    await line(`  ${'verdict'.padEnd(11)}${verdict}`);
    await line(`  ${'seconds'.padEnd(11)}${seconds}`);
  }

  return {
    summary: 'papers on tokens and models: what each claims, and what this machine computes of it',
    usage: 'atlas list|run [options] [ID]',
    options: /** @type {OptionSpec[]} */ ([{ name: 'full', kind: 'flag', help: 'run: more data, and labs as their claims are tested (minutes); default: quickly' }, jsonOut]),
    notes: 'ID is a number or a slug of the list. Exit status of run: 0 the verdict holds, 1 it does not or the system does not work yet, 130 interrupted.',
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, [what, ...rest]) {
      if (what === 'list') return list(options, rest);
      if (what === 'run') return run(options, rest);
      throw new UsageError(`atlas needs one of list, run${what === undefined ? '' : `, got ${what}`}`);
    },
  };
}
