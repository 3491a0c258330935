// The bill of materials of the package, sbom.cdx.json (CycloneDX 1.5): what the modules hold of other people's work, the model, and the SHA-256 of each file that is not source.
//
//   node docs/make_sbom.mjs          writes it (./build.sh build does)
//
// Nothing in it depends on time or place: the same files give the same bytes. THIRD-PARTY.md has the notices.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const MODEL = 'models/microtome-tiny.gguf', PROSE = 'web/lab/prose.txt.gz';

/** Object code and tables inside the modules. `inside`: the archives that build.sh links, or the source. */
export const PARTS = [
  { name: 'musl', version: '1.2.2', licence: { expression: 'MIT' }, url: 'https://musl.libc.org', description: 'C library, as changed by Emscripten 3.1.6; with code of Sun Microsystems, Arm Limited and Valentin Ochs under the notices in THIRD-PARTY.md', inside: 'libc.a' },
  { name: 'compiler-rt', version: '13.0.0', licence: { expression: 'Apache-2.0 WITH LLVM-exception' }, url: 'https://llvm.org', description: 'arithmetic that WebAssembly lacks, as in Emscripten 3.1.6', inside: 'libcompiler_rt.a' },
  { name: 'dlmalloc', version: '2.8.6', licence: { expression: 'CC0-1.0' }, url: 'https://gee.cs.oswego.edu/dl/html/malloc.html', description: 'allocator, as in Emscripten 3.1.6', inside: 'libdlmalloc.a' },
  { name: 'emscripten', version: '3.1.6', licence: { expression: 'MIT' }, url: 'https://github.com/emscripten-core/emscripten', description: 'sbrk, memory functions and stubs of the system libraries; emmalloc, the allocator of the module for tokenizers alone', inside: 'libemmalloc.a' },
  { name: 'unicode-character-database', version: '16.0.0', licence: { expression: 'Unicode-3.0' }, url: 'https://www.unicode.org/Public/16.0.0', description: 'as tables', inside: 'src/text/unicode_table.h' },
];

/** @returns {string} the file's text */
export function makeSbom() {
  const { name, version, description } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const hashed = (/** @type {string} */ path) => [{ alg: 'SHA-256', content: createHash('sha256').update(readFileSync(join(ROOT, path))).digest('hex') }];
  const wasm = readdirSync(join(ROOT, 'web/wasm')).filter((file) => file.endsWith('.wasm')).sort().map((file) => `web/wasm/${file}`);
  const self = `pkg:npm/${name}@${version}`, mit = [{ expression: 'MIT' }];
  const parts = PARTS.map(({ name: part, version: of, licence, url, description: what }) => ({ 'bom-ref': `${part}@${of}`, type: 'library', name: part, version: of, description: what, licenses: [licence], externalReferences: [{ type: 'website', url }] }));
  const files = wasm.map((path) => ({ 'bom-ref': path, type: 'file', name: path, description: 'WebAssembly module made from src/ and wasm/', licenses: mit, hashes: hashed(path) }));
  const model = { 'bom-ref': MODEL, type: 'machine-learning-model', name: MODEL, description: 'language model of 2.8 million parameters, trained by this project (models/microtome-tiny.md)', licenses: mit, hashes: hashed(MODEL) };
  const prose = { 'bom-ref': PROSE, type: 'data', name: PROSE, description: 'sentences of this project’s guides, for labs', licenses: mit, hashes: hashed(PROSE) };
  const bom = {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json', bomFormat: 'CycloneDX', specVersion: '1.5', version: 1,
    metadata: { component: { 'bom-ref': self, type: 'library', name, version, description, purl: self, licenses: mit } },
    components: [...parts, ...files, model, prose],
    dependencies: [
      { ref: self, dependsOn: [...wasm, MODEL, PROSE] },
      ...wasm.map((ref) => ({ ref, dependsOn: parts.map((part) => part['bom-ref']) })),
      ...[...parts.map((part) => part['bom-ref']), MODEL, PROSE].map((ref) => ({ ref, dependsOn: [] })),
    ],
  };
  return `${JSON.stringify(bom, null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(join(ROOT, 'sbom.cdx.json'), makeSbom());
