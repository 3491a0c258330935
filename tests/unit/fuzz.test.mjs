// Each fuzz target (tests/fuzz, built by build.sh) on its first inputs and some thousand more, from one seed. Longer: ./build.sh fuzz.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = new URL('../../', import.meta.url);
const SLOW = { bytes: 60, encode: 800, regex: 1500, session: 1000 };
const targets = readdirSync(new URL('tests/fuzz/', ROOT)).flatMap((name) => /^fuzz_(\w+)\.c$/.exec(name)?.[1] ?? []);

test('there are targets', () => assert.ok(targets.length >= 10));
for (const target of targets)
  test(`fuzz ${target}`, async () => {
    const found = mkdtempSync(join(tmpdir(), 'microtome-fuzz-')); // what reaches new code, and what crashes
    try {
      const args = ['-seed=1', `-runs=${SLOW[/** @type {keyof typeof SLOW} */ (target)] ?? 3000}`, '-timeout=60', '-max_len=4096', '-len_control=10', '-rss_limit_mb=2048', `-artifact_prefix=${found}/`, found, fileURLToPath(new URL(`build/fuzz/first/${target}`, ROOT))];
      const { stderr } = await promisify(execFile)(fileURLToPath(new URL(`build/fuzz/${target}`, ROOT)), args, { cwd: ROOT, maxBuffer: 64 << 20, encoding: 'latin1' }).catch((error) => assert.fail(`${error.stderr?.slice(-4000)}`));
      assert.match(stderr, /DONE/);
    } finally {
      rmSync(found, { recursive: true });
    }
  });
