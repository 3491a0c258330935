// What of the package ends in an application: by esbuild, which keeps what is imported and what has side effects.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { ROOT } from '../support/shared.mjs';

/**
 * An application of one module, minified, and the files that its code comes from; also what it would load on demand.
 * @param {string} contents
 */
async function bundled(contents) {
  const { metafile, outputFiles: [{ contents: bytes, text }] } = await build({
    stdin: { contents, resolveDir: ROOT, sourcefile: 'app.js' }, bundle: true, minify: true, format: 'esm', write: false, metafile: true, absWorkingDir: ROOT, logLevel: 'error', logOverride: { 'ignored-bare-import': 'silent' },
  });
  const inputs = Object.values(metafile.outputs).flatMap(({ inputs }) => Object.entries(inputs)); // one output
  return { files: inputs.filter(([file, { bytesInOutput }]) => bytesInOutput && file !== 'app.js').map(([file]) => file), text, zipped: gzipSync(bytes, { level: 9 }).length };
}

describe('what an application carries', () => {
  // kB: minified and gzipped; not: what must stay out.
  const CASES = [
    { code: "import { Tokenizer } from 'microtome'; console.log(Tokenizer);", kB: 13, not: /model|session|store|train|quantize|client|wire|engine|sampler|\/(net|lab|labs|inspect|atlas|elements)\// },
    { code: "import { Tokenizer } from 'microtome/tokens'; console.log(Tokenizer);", kB: 13, not: /model|session|store|train|quantize|client|wire|engine|sampler|\/(net|lab|labs|inspect|atlas|elements)\// },
    { code: "import { Trainer } from 'microtome'; console.log(Trainer);", kB: 20, not: /model|session|store|quantize|client|wire|engine|sampler|\/(net|lab|labs|inspect|atlas|elements)\// },
    { code: "import { Model } from 'microtome'; console.log(Model);", kB: 37, not: /engine|bytes|heal|train|measure|\/(net|lab|labs|inspect|atlas|elements)\// },
    { code: "import { ByteModel, Model } from 'microtome'; console.log(ByteModel, Model);", kB: 38.5, not: /engine|heal|train|measure|\/(net|lab|labs|inspect|atlas|elements)\// },
    { code: "import { Model } from 'microtome/core'; console.log(Model);", kB: 37, not: /engine|bytes|heal|train|measure|\/(net|lab|labs|inspect|atlas|elements)\// },
    { code: "import { TINY } from 'microtome/models'; console.log(TINY);", kB: 0.1, not: /runtime/ },
    { code: "import 'microtome/elements/byte-distribution.js';", kB: 5.2, not: /runtime|\/lab\// },
    { code: "import 'microtome/worker.js';", kB: 16, not: /client|tokenizer|\/lab\// },
    { code: "import 'microtome/core_worker.js';", kB: 12.5, not: /client|tokenizer|\/lab\// },
  ];
  for (const { code, kB, not } of CASES)
    test(code, async (t) => {
      const { files, zipped } = await bundled(code);
      t.diagnostic(`${(zipped / 1000).toFixed(1)} kB`);
      assert.ok(files.length > 0);
      assert.deepEqual(files.filter((file) => not.test(file)), []);
      assert.ok(zipped < kB * 1000, `${zipped} bytes`);
    });

  test('a module that is imported and not used leaves nothing behind', async () => {
    const entries = Object.keys(JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).exports).filter((name) => !/\*|\.json$|worker\.js$/.test(name));
    assert.ok(entries.length >= 6);
    for (const entry of entries) {
      const name = `microtome${entry.slice(1)}`, { text } = await bundled(`import ${JSON.stringify(name)}; import * as all from ${JSON.stringify(name)};`);
      assert.equal(text.trim(), '', name);
    }
  });

  test('an element defines itself', async () => {
    for (const file of readdirSync(join(ROOT, 'web/elements'))) {
      const name = /customElements\.define\('(mt-[a-z-]+)'/.exec(readFileSync(join(ROOT, 'web/elements', file), 'utf8'))?.[1], { text } = await bundled(`import 'microtome/elements/${file}';`);
      if (name) assert.match(text, new RegExp(`customElements\\.define\\("${name}"`), file);
    }
  });
});
