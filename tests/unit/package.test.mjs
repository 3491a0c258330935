// The packed tarball, as people get it: what is in it, imported by name, type-checked by consumers, its program run; sizes.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { installPacked } from '../support/packed.mjs';
import { ROOT } from '../support/shared.mjs';
import { scratch } from '../support/wasm.mjs';

const run = promisify(execFile);
const project = scratch().folder;
/** @type {string} */ let installed;
/** @type {string[]} */ let paths;

/** What can be imported by name, elements too. @returns {string[]} */
const entries = () => Object.entries(JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')).exports).filter(([, { types }]) => types)
  .flatMap(([name]) => (name.includes('*') ? readdirSync(join(installed, 'web', name, '..')).map((file) => join(name, '..', file)) : [name])).map((name) => join('microtome', name));

describe('the packed tarball', () => {
  before(async () => { ({ installed, paths } = await installPacked(project)); });

  test('holds what it needs and no more', () => {
    for (const path of ['package.json', 'README.md', 'LICENSE', 'THIRD-PARTY.md', 'sbom.cdx.json', 'docs/cli.md', 'models/microtome-tiny.gguf', 'web/index.js', 'web/node/cli.js', 'web/runtime/worker.js', 'web/runtime/core_worker.js', 'web/lab/worker.js', 'web/lab/prose.txt.gz', 'types/index.d.ts', ...['simd', 'relaxed', 'simd-threads', 'relaxed-threads', 'tokens', 'core'].map((name) => `web/wasm/${name}.wasm`)])
      assert.ok(paths.includes(path), path);
    for (const path of paths) assert.match(path, /^(package\.json|README\.md|LICENSE|THIRD-PARTY\.md|sbom\.cdx\.json|docs\/cli\.md|models\/microtome-tiny\.gguf|web\/([a-z-]+\/)?[a-z_-]+\.js|web\/wasm\/[a-z-]+\.wasm|web\/lab\/prose\.txt\.gz|types\/([a-z-]+\/)?[a-z_-]+\.d\.ts)$/, path);
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
    const targets = (/** @type {any} */ entry) => (typeof entry === 'string' ? [entry] : Object.values(entry).flatMap(targets));
    for (const target of [...targets(manifest.exports), ...targets(manifest.bin)]) if (!target.includes('*')) assert.ok(paths.includes(target.slice(2)), target);
    assert.deepEqual(Object.keys(manifest.exports['.']), ['types', 'default'], 'types first, default last');
    assert.equal(manifest.dependencies, undefined);
  });

  test('imports by name and works', async () => {
    const script = `
      import * as all from 'microtome';
      const { Model, ByteModel, Tokenizer, MicrotomeError, detectFeatures } = all;
      const file = ${JSON.stringify(join(installed, 'models/microtome-tiny.gguf'))};
      const model = await Model.load(file, { threads: 2 });
      const tokenizer = await Tokenizer.load(file);
      const { ids } = tokenizer.encode('Once upon a time');
      const { bytes } = await new ByteModel(model).next('Once upon a tim');
      console.log(JSON.stringify({ names: Object.keys(all).sort(), ids: [...ids], text: tokenizer.decode(ids), e: bytes[0x65] > Math.log(0.9), threads: model.threads }));
      await model.dispose();`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: project, timeout: 60_000 });
    const said = JSON.parse(stdout);
    for (const name of ['ByteModel', 'MicrotomeError', 'Model', 'Tokenizer', 'Trainer', 'detectFeatures', 'trainTokenizer']) assert.ok(said.names.includes(name), name);
    assert.equal(said.text, 'Once upon a time');
    assert.equal(said.e, true);
    assert.equal(said.threads, 2);
    const { stdout: encoded } = await run(process.execPath, [join(installed, 'web/node/cli.js'), 'encode', '--json', 'Once upon a time'], { cwd: project });
    assert.deepEqual(JSON.parse(encoded).ids, said.ids);
  });

  for (const [resolution, module] of [['bundler', 'esnext'], ['node16', 'node16'], ['nodenext', 'nodenext']])
    test(`its types, with moduleResolution ${resolution}`, async () => {
      assert.ok(entries().length > 20);
      writeFileSync(join(project, 'consumer.ts'), `
        import { ByteModel, MicrotomeError, Model, Tokenizer } from 'microtome';
        import { TINY } from 'microtome/models';
        import { ByteDistribution } from 'microtome/elements/byte-distribution.js';
        ${entries().map((name, i) => `import * as all${i} from '${name}'; export type All${i} = typeof all${i};`).join('\n')}
        export async function show(chart: ByteDistribution): Promise<void> { chart.result = await new ByteModel(await Model.load(TINY)).next('x'); }
        export async function use(signal: AbortSignal): Promise<number> {
          const tokenizer: Tokenizer = await Tokenizer.load(new URL('https://example.org/tokenizer.json'), { signal });
          const { ids, offsets } = tokenizer.encode('text', { offsets: 'bytes' });
          const list: Int32Array = ids;
          const places: Uint32Array | null = offsets;
          const model = await Model.load(new Blob([]), { onProgress: ({ phase, loaded, total }) => { const n: number = loaded + (total ?? 0); void [phase, n]; }, threads: 2 });
          for await (const { text, id } of model.generate('x', { temperature: 0.8, signal })) { const s: string = text; void [s, id]; }
          const run = await model.run(ids, { all: true, trace: ['blocks.*'], patch: [{ name: 'x', kind: 'zero' }] });
          const data: Float32Array = run.traces['x'].data;
          const next = await new ByteModel(model, { target: 'valid' }).next('x', { tree: true });
          try { tokenizer.dispose(); } catch (error) { if (error instanceof MicrotomeError) { const code: string = error.code; void code; } }
          // @ts-expect-error an unknown option
          model.run(ids, { everything: true });
          // @ts-expect-error not a target
          new ByteModel(model, { target: 'some' });
          await model.dispose();
          return next.bytes[0] + list[0] + (places?.[0] ?? 0) + data[0];
        }`);
      const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
      const { stdout } = await run(process.execPath, [tsc, '--noEmit', '--strict', '--target', 'es2022', '--lib', 'es2022,dom,dom.iterable', '--module', module, '--moduleResolution', resolution, 'consumer.ts'], { cwd: project }).catch((error) => error);
      assert.equal(stdout, '');
    });

  test('its modules stay small', (t) => {
    const size = (/** @type {string[]} */ list) => list.reduce((sum, path) => sum + gzipSync(readFileSync(join(installed, path)), { level: 9 }).length, 0);
    const largest = Math.max(...readdirSync(join(installed, 'web/wasm')).map((name) => size([`web/wasm/${name}`])));
    t.diagnostic(`largest module ${(largest / 1024).toFixed(0)} kB gzipped`);
    assert.ok(largest < 512 * 1024, `a module: ${largest} bytes gzipped`);
  });
});
