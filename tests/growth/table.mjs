// Runs build/growth/growth and prints its table; without a filter the table in docs/robustness.md is written anew.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../../', import.meta.url), filter = process.argv.slice(2);
const { status, stdout } = spawnSync(fileURLToPath(new URL('build/growth/growth', ROOT)), ['--doublings', '3', ...filter], { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 << 20 });
const lines = stdout.split('\n'), cell = (/** @type {string} */ s) => s.replaceAll('|', '\\|').replaceAll('<', '&lt;');
for (const line of lines) if (!line.startsWith('entry\t')) console.log(line);
const rows = lines.filter((line) => line.startsWith('entry\t')).map((line) => line.split('\t').slice(1));
const table = ['| entry point | inputs | refused | sizes | worst ratio | of |', '|---|---|---|---|---|---|', ...rows.map(([entry, cases, refused, from, to, ratio, by]) => `| ${cell(entry)} | ${cases} | ${refused} | ${from}..${to} | ${ratio} | ${cell(by)} |`)].join('\n');
console.log(table);
if (!filter.length && status === 0) {
  const docs = new URL('docs/robustness.md', ROOT), [before, after] = ['<!-- growth: written by build.sh growth -->\n', '<!-- growth ends -->'];
  const text = readFileSync(docs, 'utf8'), from = text.indexOf(before) + before.length, to = text.indexOf(after);
  if (from < before.length || to < from) throw new Error('docs/robustness.md has no place for the table');
  writeFileSync(docs, `${text.slice(0, from)}${table}\n${text.slice(to)}`);
}
process.exit(status ?? 1);
