// The JavaScript examples of the README and of two guides: they run as they stand, in the root of the repository, end by themselves, and what they made is what they say.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../support/shared.mjs';

/** For each example of a file, in their order: what comes behind it, and looks at what it made and said. @type {Record<string, string[]>} */
const HOLDS = {
  'README.md': [
    `
    const plain = await model.run(ids), apart = (a, b) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));
    assert.equal(tok.decode(pieces), 'tokenization');
    assert.equal(offsets.length, 2 * pieces.length);
    assert.ok(Object.values(other.traces).every(({ shape }) => shape.at(-1) === ids.length), 'patterns of as many tokens as they are frozen in');
    assert.ok(apart(logits, plain.logits) < 1e-5, 'what begins in the middle ends the same');
    assert.ok(apart(frozen.logits, plain.logits) > 0.1, 'what is changed ends otherwise');
    assert.ok(said.length > 10, 'both generate');
    assert.equal(branch.length, session.length);
    assert.ok(state.length > 0 && session.length > 0);
    assert.ok(bitsPerByte > 0.3 && bitsPerByte < 3, String(bitsPerByte));
    assert.equal(data.length, 2 * model.info.width);
    const again = await Tokenizer.load(blob);
    assert.equal(again.decode(again.encode('tokenization').ids), 'tokenization');
    assert.ok(Math.abs([...logProbs, end].reduce((sum, x) => sum + Math.exp(x), 0) - 1) < 1e-6);
    assert.ok(Math.exp(logProbs['m'.charCodeAt(0)]) > 0.999);`,
    'assert.ok(Math.abs(loss - Math.log(64)) < 0.5, String(loss));', // before any training
  ],
  'docs/inspect.md': [
    `
    assert.deepEqual(lens.rows, ['embed', ...'012345']);
    assert.ok(Math.abs(parts.reduce((sum, part) => sum + part.value, 0) - logit) < 1e-3);
    assert.ok(map.places.state.every(Number.isFinite) && Math.max(...map.places.state) > 0.9);`,
  ],
  'docs/nets.md': ['assert.ok(said.length > 2 && said.at(-1)[1] < said[0][1] / 2, String(said));'],
};

const LISTEN = `import assert from 'node:assert/strict';
const said = [], { log } = console;
console.log = (...what) => { said.push(what); log(...what); };`;

for (const [file, holds] of Object.entries(HOLDS))
  describe(file, () => {
    const examples = Array.from(readFileSync(join(ROOT, file), 'utf8').matchAll(/^```js\n([^]*?)^```$/gm), ([, code]) => code);
    test('its examples are known', () => assert.equal(examples.length, holds.length));
    for (const [i, code] of examples.entries())
      test(`example ${i + 1}`, async () => {
        const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', `${LISTEN}\n${code}\n${holds[i]}\nconsole.log('\\nlooked at');`], { cwd: ROOT, timeout: 120_000 });
        assert.match(stdout, /\nlooked at\n$/);
      });
  });
