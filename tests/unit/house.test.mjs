// The house keeps its shape: arrows between folders go one way, sources are formatted, JavaScript type-checks, nothing names a machine.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const walk = (folder, pattern) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && pattern.test(entry.name))
  .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)));

// Who may include whom (docs/architecture.md draws the same).
const ARROWS = {
  base: [], text: ['base'], token: ['base', 'text'], tensor: ['base'], model: ['base', 'tensor'],
  bias: ['base', 'text', 'token', 'tensor', 'model'], decode: ['base', 'text', 'token', 'tensor', 'model'],
  lens: ['base', 'tensor', 'model'], train: ['base', 'tensor', 'model'],
};

test('arrows between the folders of src go one way', () => {
  for (const file of walk('src', /\.[ch]$/)) {
    const folder = file.split('/')[1];
    for (const [, path] of readFileSync(join(root, file), 'utf8').matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
      const target = relative(root, resolve(root, dirname(file), path));
      assert.ok(existsSync(join(root, target)), `${file}: "${path}" is not relative to the file`);
      const to = target.split('/')[1];
      assert.ok(target.startsWith('src/') && (to === folder || ARROWS[folder]?.includes(to)), `${file} must not include ${target}`);
    }
  }
});

test('nothing in web/ reaches into src/ or tests/, and the library has no runtime dependencies', () => {
  for (const file of walk('web', /\.js$/))
    for (const [, path] of readFileSync(join(root, file), 'utf8').matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)'([^']+)'/g))
      assert.ok(/^(\.\.?\/|node:)/.test(path) && !/\/(src|tests)\//.test(path), `${file} imports ${path}`);
  assert.equal(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).dependencies, undefined);
});

test('C sources are formatted (./build.sh format)', () => {
  const files = [...walk('src', /\.[ch]$/), ...walk('wasm', /\.[ch]$/), ...walk('tests', /\.[ch]$/)].filter((f) => !/table\.h$/.test(f));
  const run = spawnSync('clang-format-22', ['--dry-run', '--Werror', ...files], { cwd: root, encoding: 'utf8' });
  assert.equal(run.status, 0, run.stderr.split('\n').filter((line) => /error/.test(line)).slice(0, 20).join('\n'));
});

test('JavaScript type-checks (tsc --checkJs, strict)', () => {
  const run = spawnSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json'], { cwd: root, encoding: 'utf8' });
  assert.equal(run.status, 0, run.stdout);
});

test('no tracked file names a folder of somebody’s machine', () => {
  const files = execFileSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' }).split('\n').filter((f) => /\.(c|h|m?js|md|json|html|css|sh|py|ts|txt)$|run$/.test(f) && f !== 'package-lock.json');
  for (const file of files) {
    const text = readFileSync(join(root, file), 'utf8');
    const found = /(?:^|[^\w.])\/(?:home|root|work|Users)\/[\w.]/m.exec(text);
    assert.ok(!found, `${file}: ${found?.[0]}`);
  }
});
