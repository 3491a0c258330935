import { cpSync } from 'node:fs';
import { build } from 'esbuild';

// esbuild leaves `new URL('../wasm/simd.wasm', import.meta.url)` as it is: so files lie about the script as they do in the package.
await build({ entryPoints: { main: 'main.js', worker: 'microtome/worker.js' }, outdir: 'public/js', bundle: true, splitting: true, minify: true, format: 'esm' });
cpSync('node_modules/microtome/web/wasm', 'public/wasm', { recursive: true });
cpSync('node_modules/microtome/models', 'public/models', { recursive: true });
