import { cpSync } from 'node:fs';
import { nodeResolve } from '@rollup/plugin-node-resolve';

// Rollup leaves `new URL('../wasm/simd.wasm', import.meta.url)` as it is: so files lie about the script as they do in the package.
const files = {
  name: 'files of microtome',
  writeBundle() {
    cpSync('node_modules/microtome/web/wasm', 'public/wasm', { recursive: true });
    cpSync('node_modules/microtome/models', 'public/models', { recursive: true });
  },
};

export default {
  input: { main: 'main.js', worker: 'microtome/worker.js' },
  output: { dir: 'public/js' },
  plugins: [nodeResolve(), files],
};
