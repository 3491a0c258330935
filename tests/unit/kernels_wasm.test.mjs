// The native kernel tests once more, compiled to WASM and run in this engine: simd128 here, relaxed SIMD in a Node that has it.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { haveObjects, linkWasm, relaxedNode } from '../support/kernels_wasm.mjs';

const programs = ['types', 'rows', 'matmul', 'gemm', 'attend'];
const runner = `import { readFileSync } from 'node:fs';
const memory = new WebAssembly.Memory({ initial: 1024, maximum: 16384 });
const view = () => new DataView(memory.buffer);
const wasi = {
  fd_write(fd, vectors, count, written) {
    let total = 0;
    for (let i = 0; i < count; i++) {
      const at = view().getUint32(vectors + 8 * i, true), n = view().getUint32(vectors + 8 * i + 4, true);
      process.stdout.write(Buffer.from(memory.buffer, at, n).toString());
      total += n;
    }
    view().setUint32(written, total, true);
    return 0;
  },
  fd_close: () => 0, fd_seek: () => 0, proc_exit(code) { throw new Error('exit ' + code); },
};
const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const { exports } = new WebAssembly.Instance(module, { env: { memory }, wasi_snapshot_preview1: wasi });
process.exitCode = exports.test_main();
exports.fflush(0);
`;

for (const variant of /** @type {const} */ (['simd', 'relaxed'])) {
  const node = variant === 'relaxed' ? relaxedNode() : process.execPath;
  const skip = !haveObjects(variant) ? `no build/wasm/${variant}: run ./build.sh build` : !node ? 'no Node with relaxed SIMD (22 or later)' : false;
  for (const program of programs)
    test(`kernels in WASM, ${variant}: ${program}`, { skip }, async (t) => {
      const file = linkWasm(variant, `tests/native/test_kernels_${program}.c`, `build/kernel-tests/${variant}-${program}`, { flags: ['-Dmain=test_main', '-Wno-unused'], exports: ['test_main', 'fflush'] });
      const script = fileURLToPath(new URL('../../build/kernel-tests/run.mjs', import.meta.url));
      writeFileSync(script, runner);
      const run = promisify(execFile)(/** @type {string} */ (node), [script, file], { maxBuffer: 64 << 20, timeout: 300_000 });
      const { stdout, stderr } = await run.catch((error) => error);
      assert.match(stdout, /^1\.\.\d+$/m, `the program did not finish:\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`);
      let notes = '';
      for (const line of stdout.split('\n')) {
        const result = /^(not )?ok \d+ - (.*)$/.exec(line);
        if (result) {
          const text = notes;
          await t.test(result[2], () => assert.ok(!result[1], text || 'failed'));
          notes = '';
        } else if (line.startsWith('#')) notes += `${line}\n`;
      }
    });
}
