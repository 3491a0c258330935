// One program in every runtime that runs modules outside of a page, where it can be had: this Node, other versions of Node, Deno, Bun. All say the same.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { npmPackage } from '../support/packages.mjs';
import { installPacked } from '../support/packed.mjs';
import { scratch } from '../support/wasm.mjs';

const project = scratch().folder;

const PROGRAM = `
import { ByteModel, Model, MicrotomeError, Tokenizer, detectFeatures, quantize, trainTokenizer } from 'microtome';
import { TINY } from 'microtome/models';
import { LabClient } from 'microtome/lab';
import { Params, transformer } from 'microtome/net';

const tokenizer = await Tokenizer.load(TINY), { ids } = tokenizer.encode('Once upon a time');
const model = await Model.load(TINY, { threads: 2 });
const { bytes } = await new ByteModel(model).next('Once upon a ti');
let text = '';
for await (const piece of model.generate('Once upon a time', { temperature: 0, maxTokens: 12 })) text += piece.text;

const stop = new AbortController(), parts = [];
const aborted = await (async () => { for await (const part of model.generate('Once', { seed: 1, maxTokens: 200, signal: stop.signal })) if (parts.push(part) === 3) stop.abort(); })().catch((error) => error.name);
const failed = (error) => [error instanceof MicrotomeError, error.code];
const missing = await Model.load('nothing.gguf').catch(failed), lost = await Model.load(TINY, { workerUrl: 'nothing.js' }).catch(failed);
await model.dispose();

const again = await Model.load((await quantize(TINY, { type: 'Q4_0', output: 'blob' })).blob, { threads: 1 });
const smaller = again.info.weightBytes < model.info.weightBytes;
await again.dispose();

const { tokenizer: trained } = await trainTokenizer(['hello world, hello there '.repeat(40)], { kind: 'bpe', vocabSize: 300 });
const hello = trained.decode(trained.encode('hello world').ids);

const params = await Params.create({ seed: 1, threads: 2 }), g = params.graph(), tokens = g.index('tokens', [4, 8]), targets = g.index('targets', [4, 8]);
g.train(transformer(g, tokens, { vocab: 16, layers: 1, heads: 2 }).logits.crossEntropy(targets).mean());
tokens.set(Int32Array.from({ length: 32 }, (_, i) => i % 16));
targets.set(new Int32Array(32));
const losses = [g.step({ rule: 'adamw', rate: 3e-3 }), g.step({ rule: 'adamw', rate: 3e-3 })].map((loss) => Number(loss.toFixed(4)));
await params.close();

const lab = await LabClient.open('bico-reversal-curse', { config: { steps: 10, every: 5 }, threads: 2 });
const { where } = await lab.start();
await lab.terminate();

console.log(JSON.stringify({ versions: process.versions, features: detectFeatures(), threads: model.threads, m: Math.exp(bytes[0x6d]), same: { ids: [...ids], text, aborted, parts: parts.length, missing, lost, smaller, hello, losses, done: where.done } }));
`;

/** Name, npm package, its version, the program in it, arguments before the script; which of process.versions tells that it is this one. */
const RUNTIMES = /** @type {const} */ ([
  ['Node 22', 'node', '22.23.3', 'node', [], 'node'],
  ['Node 24', 'node', '24.21.0', 'node', [], 'node'],
  ['Deno', 'deno', '2.9.6', 'deno', ['run', '--allow-all', '--quiet'], 'deno'],
  ['Bun', 'bun', '1.4.5', 'bun', [], 'bun'],
]);

describe('the package outside of pages', () => {
  /** What this Node says. @type {any} */ let here;
  /** @param {string} program @param {readonly string[]} args */
  const say = async (program, args) => JSON.parse((await promisify(execFile)(program, [...args, 'program.mjs'], { cwd: project, timeout: 120_000 })).stdout);

  before(async () => {
    await installPacked(project);
    writeFileSync(join(project, 'program.mjs'), PROGRAM);
    here = await say(process.execPath, []);
  });

  test(`this Node, ${process.version}`, () => {
    assert.equal(here.same.text, ', there was a little girl named Lily. She loved to');
    assert.ok(Math.abs(here.m - 0.9999944) < 1e-6, String(here.m));
    assert.equal(here.threads, 2);
    const { ids, losses, text, ...rest } = here.same;
    assert.equal(ids.length, 4);
    assert.ok(losses[1] < losses[0] && Math.abs(losses[0] - Math.log(16)) < 1, String(losses));
    assert.deepEqual(rest, { aborted: 'AbortError', parts: 3, missing: [true, 'EIO'], lost: [true, 'EWORKER'], smaller: true, hello: 'hello world', done: true });
  });

  for (const [name, packed, version, program, args, told] of RUNTIMES) {
    const { folder, skip } = npmPackage(packed, version);
    test(`${name}, ${version}`, { skip }, async (t) => {
      const ask = () => say(join(folder, 'node_modules/.bin', program), args);
      await ask(); // compiled code is kept by some: then workers start before their page has done anything else
      const said = await ask();
      t.diagnostic(JSON.stringify(said.features));
      assert.ok(said.versions[told].startsWith(name.startsWith('Node') ? version.split('.')[0] : version), said.versions[told]);
      assert.deepEqual(said.same, here.same);
      assert.ok(Math.abs(said.m - here.m) < 1e-7, String(said.m)); // kernels may round products of quantised weights differently
      assert.deepEqual([said.features.simd, said.features.threads, said.threads], [true, true, 2]);
    });
  }
});
