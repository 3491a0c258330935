// The examples of the README, the guides and the other documents: they run as they stand in a project that has nothing but the packed package, end by themselves, and what they made is what they say.
// What the README claims in figures is what other files measured; links lead somewhere.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { SYSTEMS } from '../../web/atlas/run.js';
import { installPacked } from '../support/packed.mjs';
import { ROOT } from '../support/shared.mjs';
import { cli, scratch } from '../support/wasm.mjs';

const run = promisify(execFile);
const read = (/** @type {string} */ path) => readFileSync(join(ROOT, path), 'utf8');
const FILES = ['README.md', 'CHANGELOG.md', 'THIRD-PARTY.md', 'models/README.md', ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)].filter((file) => existsSync(join(ROOT, file))).sort();
const blocks = (/** @type {string} */ file, /** @type {string} */ kind) => Array.from(read(file).matchAll(new RegExp(`^\`\`\`${kind}\\n([^]*?)^\`\`\`$`, 'gm')), ([, code]) => code);

/** For each example of a file, in their order: what comes behind it, and looks at what it made and said (`said`: what it gave to console.log). @type {Record<string, string[]>} */
const HOLDS = {
  'README.md': [
    `
    assert.equal(tokenizer.decode(ids), 'tokenization');
    assert.equal(said[0][0].map(([, piece]) => piece).join(''), 'tokenization');
    assert.equal(said[1][0], 'tokenization');`,
    `assert.ok(Math.abs(said[0][1] - 0.9999944) < 5e-7, String(said[0][1]));`,
    `
    assert.deepEqual(said.map(([row]) => row.trim()), ['embed', ...'012345']);
    assert.ok(said.every(([, , p]) => p > 0 && p <= 1));
    assert.equal(said.at(-1)[1], '" girl"');`,
  ],
  'docs/gradients.md': [
    `assert.ok(loss > 0 && Object.keys(parameters).length > 5 && Object.keys(values).length === 6);`,
    `assert.deepEqual(Object.keys(values), Object.keys(traces));`,
    `
    assert.ok(said[19][0] < said[0][0] / 2, String(said));
    assert.ok(bytes.length > 1000 && file.length > 2e6);`,
  ],
  'docs/inspect.md': [
    `
    assert.deepEqual(lens.rows, ['embed', ...'012345']);
    assert.ok(Math.abs(parts.reduce((sum, part) => sum + part.value, 0) - logit) < 1e-3);
    assert.ok(map.places.state.every(Number.isFinite) && Math.max(...map.places.state) > 0.9);`,
  ],
  'docs/licences.md': ['assert.ok(said.length >= 4 && said.every(([, same]) => same === true), String(said));'],
  'docs/labs.md': [
    `assert.ok(verdict.checks.length > 1 && plots && json && weights && bytes.length > 1000);`,
    `assert.ok(said.length === 2 && typeof works === 'boolean');`,
  ],
  'docs/nets.md': ['assert.ok(said.length > 2 && said.at(-1)[1] < said[0][1] / 2, String(said));'],
  'docs/guides/tokenize.md': [
    `
    assert.deepEqual(said.at(-1), [true, ids.length]);
    assert.equal(Buffer.concat(said.slice(0, -1).map((line) => line[3])).toString(), text);`,
    `assert.deepEqual(streamed, [...tokenizer.encode('Once upon a time').ids]);`,
    `
    assert.ok(said[0][0] > 3 && small.encode('Once upon a time').ids.length === said[0][0]);
    assert.throws(() => small.encode('a', { segmenter: 'bytes' }), { code: 'EUNSUPPORTED' });`,
  ],
  'docs/guides/run-a-model.md': [
    `
    assert.ok(bitsPerByte > 0.3 && bitsPerByte < 3, String(bitsPerByte));
    assert.equal(data.length, 2 * model.info.width);`,
    `assert.match(model.engine, /^core, /);`,
    `assert.ok(branch.length > session.length && state.length > 1000);`,
    `assert.deepEqual(said[0], ['Q5_0', blob.size]);`,
  ],
  'docs/guides/look-inside.md': [
    `
    const apart = (a, b) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));
    assert.deepEqual(said[1][0], [model.info.heads, ids.length, ids.length]);
    assert.ok(apart(again.logits, logits) < 1e-2, 'what begins in the middle ends the same, but for the rounding of 8-bit activations: patterns that are not kept are not computed apart');
    assert.ok(apart(frozen.logits, logits) > 0.1, 'what is changed ends otherwise');
    assert.equal(Object.keys(values).length, 6);`,
  ],
  'docs/guides/byte-probabilities.md': [
    `
    assert.ok(said[0][1] > 0.9999 && said[0][3] < 1e-4, String(said[0]));
    assert.ok(Math.abs([...logProbs, end].reduce((sum, x) => sum + Math.exp(x), 0) - 1) < 1e-6);
    assert.ok(textLogProb < 0);`,
  ],
  'docs/guides/train-a-tokenizer.md': [
    `
    assert.equal(again.vocabSize, tokenizer.vocabSize);
    assert.deepEqual([...again.encode('slowest newer').ids], [...tokenizer.encode('slowest newer').ids]);
    assert.ok(merges.length > 3);`,
    `assert.ok(said[0][0] >= said[1][0], String(said));`,
  ],
  'docs/guides/write-a-lab.md': ['assert.deepEqual(said.map((line) => line[3]), [true, true], String(said));'],
  'docs/guides/add-an-architecture.md': [
    `
    assert.equal(said[0][0], 'llama');
    assert.ok(said[1][0].includes('blocks.0.attn.hook_pattern'));
    assert.ok(said.length > 8 && loss > 0);`,
  ],
  'docs/guides/offline-classroom.md': ['assert.ok(said.length === 3 && said.every(([, story]) => story.length > 10));'],
};

const LISTEN = `import assert from 'node:assert/strict';
const said = [], { log } = console;
console.log = (...what) => { said.push(what); log(...what); };`;

const project = scratch().folder;
/** @type {string} */ let installed;
before(async () => { ({ installed } = await installPacked(project)); });

test('every guide and every example is known', () => {
  for (const file of FILES) assert.equal(blocks(file, 'js').length, HOLDS[file]?.length ?? 0, file);
  for (const name of readdirSync(join(ROOT, 'docs/guides'))) assert.ok(blocks(`docs/guides/${name}`, '(?:js|html)').length, `${name} has no example`);
});

for (const [file, holds] of Object.entries(HOLDS))
  describe(file, () => {
    for (const [i, code] of blocks(file, 'js').entries())
      test(`example ${i + 1}`, async () => {
        const { stdout } = await run(process.execPath, ['--input-type=module', '-e', `${LISTEN}\n${code}\n${holds[i]}\nlog('\\nlooked at');`], { cwd: project, timeout: 300_000 });
        assert.match(stdout, /\nlooked at\n$/);
      });
  });

for (const file of FILES) {
  const commands = blocks(file, 'sh').flatMap((code) => code.split('\n')).map((line) => /^npx microtome (.*)$/.exec(line)?.[1]).filter((line) => line !== undefined);
  if (commands.length)
    test(`${file}: its commands`, async () => {
      const [lab] = blocks('docs/guides/write-a-lab.md', 'js');
      writeFileSync(join(project, 'exclusive-or.js'), lab.replace('const lab = defineLab', 'export default defineLab').split('\nconst run =')[0]);
      for (const command of commands) {
        const args = Array.from(command.matchAll(/"([^"]*)"|(\S+)/g), ([, quoted, plain]) => quoted ?? plain);
        const { stdout } = await run(process.execPath, [join(installed, 'web/node/cli.js'), ...args], { cwd: project, timeout: 300_000 });
        assert.ok(stdout.length > 5, command);
      }
    });
  const pages = blocks(file, 'html');
  if (pages.length)
    test(`${file}: what its pages import is there`, () => {
      const { exports } = JSON.parse(read('package.json')), used = pages.join('');
      const resolved = Array.from(used.matchAll(/(?:from|import) '(microtome[^']*)'/g), ([, name]) => {
        const key = `.${name.slice('microtome'.length)}`, pattern = Object.keys(exports).find((one) => one.includes('*') && key.startsWith(one.split('*')[0]) && key.endsWith(one.split('*')[1]));
        const { default: target } = exports[key] ?? exports[pattern ?? ''] ?? assert.fail(`${name} is not exported`);
        return target.replace('*', pattern ? key.slice(pattern.indexOf('*'), key.length - (pattern.length - pattern.indexOf('*') - 1)) : '');
      });
      for (const path of [...resolved, ...Array.from(used.matchAll(/"?\/node_modules\/microtome\/([^'"]+)/g), ([, path]) => path)]) assert.ok(existsSync(join(installed, path)), path);
      for (const [, element] of used.matchAll(/<(mt-[a-z-]+)/g)) assert.ok(resolved.some((path) => readFileSync(join(installed, path), 'utf8').includes(`define('${element}'`)), element);
    });
}

test('relative links and their anchors lead somewhere', () => {
  const anchors = (/** @type {string} */ path) => Array.from(readFileSync(path, 'utf8').matchAll(/^#+ (.*)$/gm), ([, title]) => title.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-'));
  for (const file of FILES)
    for (const [, target] of read(file).replace(/^```[^]*?^```$/gm, '').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      const [path, anchor] = target.split('#'), at = path ? join(ROOT, dirname(file), path) : join(ROOT, file);
      assert.ok(existsSync(at), `${file}: ${target}`);
      if (anchor) assert.ok(anchors(at).includes(anchor), `${file}: ${target}`);
    }
});

test('figures of the README are those of the tests and of the performance page', async () => {
  const readme = read('README.md'), number = (/** @type {RegExp} */ pattern) => Number(pattern.exec(readme)?.[1].replace(',', '') ?? assert.fail(String(pattern)));
  const lists = (/** @type {string} */ file, /** @type {RegExp} */ pattern) => Array.from(read(file).matchAll(pattern), ([, list]) => list).join(',').match(/'[a-z][\w-]*'/g)?.length ?? 0;
  const source = 'tests/conformance/tokenizers.test.mjs', { FAMILIES = 0, RANKS = 0, SENTENCEPIECE = 0, GGUF_VECTORS = 0 } = Object.fromEntries(Array.from(read(source).matchAll(/^const ([A-Z_]+) = \[([^]*?)\];$/gm), ([, name, list]) => [name, name === 'FAMILIES' ? list.split(',').length : list.split('[').length - 1]));
  assert.ok(FAMILIES + RANKS + SENTENCEPIECE + GGUF_VECTORS > number(/more than (\d+) published tokenizer/));
  assert.ok(lists('tests/conformance/architectures.test.mjs', /'architectures[a-z-]*\.tar\.xz': \[([^\]]*)\]/g) >= number(/(\d+) reference models/));
  assert.ok(SYSTEMS.filter(({ status }) => status === 'works').length > number(/more than (\d+) published claims/));
  const rows = read('docs/performance.md').split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
  const range = (/** @type {number[]} */ list) => `${Math.min(...list).toFixed(1)} to ${Math.max(...list).toFixed(1)} times`;
  const ratios = rows.filter((row) => row.length === 8 && /^[a-z]+[\da-z]*$/.test(row[1]) && /^\d/.test(row[5])).map((row) => Number(row[5]));
  const engine = rows.filter((row) => row.length === 13 && row[3] === '1').map((row) => [Number(row[6]), Number(row[9])]);
  assert.ok(ratios.length >= 10 && engine.length >= 4);
  for (const text of [`tokenizing ${range(ratios)}`, `prompt ${range(engine.map(([prefill]) => prefill))}`, `writing ${range(engine.map(([, decode]) => decode))}`]) assert.ok(readme.includes(text), text);
});

test('the picture shows what the command says', async () => {
  const { stdout } = await cli(['next-byte', '--json', 'Once upon a ti']), { bytes, naive } = JSON.parse(stdout), svg = read('docs/next-byte.svg');
  const texts = (/** @type {RegExp} */ pattern) => Array.from(svg.matchAll(pattern), ([, text]) => text);
  const letters = texts(/<text x="(?:34|454)" y="\d+">(\w)<\/text>/g), shown = texts(/">([\d.]+) %<\/text>/g);
  assert.equal(letters.length, 8);
  for (const [i, letter] of letters.entries()) assert.equal(shown[i], (100 * Math.exp((i < 4 ? naive : bytes)[letter.charCodeAt(0)])).toFixed(i < 4 ? 3 : 4), letter);
});
