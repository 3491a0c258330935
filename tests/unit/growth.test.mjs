// Work grows with hostile inputs no faster than n log n (tests/growth, built by build.sh): blocks executed and bytes moved are counted, not time. Longer: ./build.sh growth.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = new URL('../../', import.meta.url);
/** Each is a process of its own, so that they run side by side; together they are all. */
const PARTS = [['encode', 'count', 'decode', 'words of a text'], ['lattice'], ['normalizer', 'splitter', 'decoder', 'added token'], ['regex'], ['JSON', 'tokenizer.json', 'other definitions', 'safetensors', 'GGUF', 'SentencePiece file'], ['trainer', 'merging a batch'], ['byte model'], ['keys that fall together']];

for (const part of PARTS)
  test(`work grows linearly: ${part.join(', ')}`, async () => {
    const { stdout } = await promisify(execFile)(fileURLToPath(new URL('build/growth/growth', ROOT)), part, { cwd: ROOT, maxBuffer: 64 << 20 }).catch((error) => assert.fail(`${error.stdout?.slice(0, 4000)}${error.stderr?.slice(-2000)}`));
    for (const entry of part) assert.match(stdout, new RegExp(`^entry\\t${entry}`, 'm'), `nothing was counted for ${entry}`);
    assert.match(stdout, /^0 of [1-9]\d* cases grow too fast$/m);
  });
