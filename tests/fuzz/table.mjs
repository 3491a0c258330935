// Writes what the last run of each fuzz target did (build/fuzz/*.log) as a table into docs/robustness.md. The argument: the compiler, in words.
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url), docs = new URL('docs/robustness.md', ROOT), [compiler = 'clang'] = process.argv.slice(2);
const targets = readdirSync(new URL('.', import.meta.url)).flatMap((name) => /^fuzz_(\w+)\.c$/.exec(name)?.[1] ?? []);
const number = (/** @type {string} */ s) => Number(s).toLocaleString('en');
const rows = targets.map((target) => {
  const file = new URL(`build/fuzz/${target}.log`, ROOT), log = readFileSync(file, 'latin1');
  const done = /DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)/.exec(log), runs = /Done \d+ runs in (\d+) second/.exec(log), units = /stat::number_of_executed_units:\s*(\d+)/.exec(log);
  if (!done || !runs || !units) throw new Error(`build/fuzz/${target}.log tells of no finished run`);
  return `| \`${target}\` | ${statSync(file).mtime.toISOString().slice(0, 10)} | ${runs[1]} | ${number(units[1])} | ${number(done[1])} | ${number(done[2])} | ${number(done[3])} |`;
});
const table = ['| target | date | seconds | inputs tried | edges reached (`cov`) | features (`ft`) | inputs kept |', '|---|---|---|---|---|---|---|', ...rows, '', `${compiler}, one process a target.`].join('\n');
console.log(table);
const [before, after] = ['<!-- fuzz: written by build.sh fuzz -->\n', '<!-- fuzz ends -->'], text = readFileSync(docs, 'utf8'), from = text.indexOf(before) + before.length, to = text.indexOf(after);
if (from < before.length || to < from) throw new Error('docs/robustness.md has no place for the table');
writeFileSync(docs, `${text.slice(0, from)}${table}\n${text.slice(to)}`);
