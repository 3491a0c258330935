// The bill of materials and the notices: complete, true to the files, and made of what the toolchain really has.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PARTS, makeSbom } from '../../docs/make_sbom.mjs';
import { installPacked } from '../support/packed.mjs';
import { ROOT } from '../support/shared.mjs';
import { scratch } from '../support/wasm.mjs';

const read = (/** @type {string} */ path) => readFileSync(join(ROOT, path), 'utf8');

describe('sbom.cdx.json', () => {
  /** @type {any} */ let bom;
  /** @type {{installed: string, paths: string[]}} */ let packed;
  before(async () => {
    packed = await installPacked(scratch().folder);
    bom = JSON.parse(readFileSync(join(packed.installed, 'sbom.cdx.json'), 'utf8'));
  });

  test('what is packed is what the script makes, twice the same', () => {
    assert.equal(makeSbom(), makeSbom());
    assert.deepEqual(bom, JSON.parse(makeSbom()));
  });

  test('its form: references are unique and lead somewhere, everything has a licence', () => {
    assert.deepEqual([bom.bomFormat, bom.specVersion, bom.version], ['CycloneDX', '1.5', 1]);
    const refs = [bom.metadata.component, ...bom.components].map((one) => one['bom-ref']);
    assert.equal(new Set(refs).size, refs.length);
    assert.deepEqual(bom.dependencies.map((/** @type {any} */ one) => one.ref).sort(), [...refs].sort());
    for (const { dependsOn } of bom.dependencies) for (const ref of dependsOn) assert.ok(refs.includes(ref), ref);
    for (const one of bom.components) {
      assert.match(one.licenses[0].expression, /^[A-Za-z0-9.-]+( WITH [A-Za-z0-9.-]+)?$/, one.name);
      assert.match(one.type, /^(library|file|data|machine-learning-model)$/);
    }
    assert.deepEqual(bom.metadata.component.version, JSON.parse(read('package.json')).version);
  });

  test('every packed file that is no text is in it, with its hash', () => {
    const binary = packed.paths.filter((path) => /\.(wasm|gguf|gz)$/.test(path)), listed = bom.components.filter((/** @type {any} */ one) => one.hashes);
    assert.deepEqual(listed.map((/** @type {any} */ one) => one.name).sort(), binary.sort());
    for (const { name, hashes: [{ alg, content }] } of listed) {
      assert.equal(alg, 'SHA-256');
      assert.equal(createHash('sha256').update(readFileSync(join(packed.installed, name))).digest('hex'), content, name);
    }
  });

  test('every archive that is linked is a part, and the package depends on nothing else', () => {
    const linked = new Set(Array.from(read('build.sh').matchAll(/\$SYSLIB\/(lib\w+\.a)"/g), ([, name]) => name));
    assert.ok(linked.size >= 3);
    for (const name of linked) assert.ok(PARTS.some(({ inside }) => inside === name), `${name} is linked, and no part says so`);
    assert.equal(JSON.parse(read('package.json')).dependencies, undefined);
  });

  test('versions are those of the toolchain and of the tables', (t) => {
    const version = (/** @type {string} */ name) => PARTS.find((part) => part.name === name)?.version ?? assert.fail(name);
    assert.ok(read('src/text/unicode_table.h').startsWith(`/* Unicode ${version('unicode-character-database')}.`));
    const system = '/usr/share/emscripten/system/lib';
    if (process.env.WASM_SYSROOT || !existsSync(system)) return t.skip('another sysroot');
    assert.equal(readFileSync(join(system, 'libc/musl/VERSION'), 'utf8').trim(), version('musl'));
    assert.match(readFileSync(join(system, 'dlmalloc.c'), 'utf8'), new RegExp(`Version ${version('dlmalloc').replaceAll('.', '\\.')} `));
    assert.match(readFileSync(join(system, 'compiler-rt/readme.txt'), 'utf8'), new RegExp(`release ${version('compiler-rt').replaceAll('.', '\\.')}`));
    assert.match(readFileSync('/usr/share/emscripten/emscripten-version.txt', 'utf8'), new RegExp(version('emscripten').replaceAll('.', '\\.')));
  });

  test('THIRD-PARTY.md names each part with its version, and is packed', () => {
    const notices = readFileSync(join(packed.installed, 'THIRD-PARTY.md'), 'utf8');
    for (const { name, version, licence } of PARTS) {
      const row = notices.split('\n').find((line) => line.startsWith('|') && line.toLowerCase().includes(name.replaceAll('-', ' ')) || line.startsWith(`| ${name}`)) ?? assert.fail(name);
      assert.ok(row.includes(version.replace(/\.0\.0$/, '')) && row.includes(licence.expression), row);
    }
    for (const notice of ['Rich Felker', 'Sun Microsystems', 'Valentin Ochs', 'Arm Limited', 'UNICODE LICENSE V3']) assert.ok(notices.includes(notice), notice);
  });
});
