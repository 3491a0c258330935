// Runs every native C test program (built under ASan + UBSan by build.sh) and reports each of its TAP lines.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const folder = new URL('../../build/native-tests/', import.meta.url);
const programs = readdirSync(folder).filter((name) => !/\.|^flags$/.test(name) && statSync(new URL(name, folder)).isFile());

for (const program of programs) {
  test(`native ${program}`, async (t) => {
    const run = promisify(execFile)(new URL(program, folder).pathname, { maxBuffer: 64 << 20, timeout: 600_000, cwd: new URL('../..', import.meta.url) });
    const { stdout, stderr } = await run.catch((error) => error);
    const lines = stdout.split('\n');
    assert.match(stdout, /^1\.\.\d+$/m, `the program did not finish:\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`);
    let notes = '';
    for (const line of lines) {
      const result = /^(not )?ok \d+ - (.*?)( # SKIP.*)?$/.exec(line);
      if (result) {
        const text = notes;
        await t.test(result[2], { skip: result[3] ? result[3].slice(8) : false }, () => assert.ok(!result[1], text || 'failed'));
        notes = '';
      } else if (line.startsWith('#')) notes += `${line}\n`;
    }
    assert.equal(stderr, '', 'nothing on standard error (sanitizers write there)');
  });
}
