// The package as people get it: packed, and installed into an empty project.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from './shared.mjs';

const run = promisify(execFile);

/**
 * @param {string} project an empty folder, which becomes an ES module project with the package installed; the package must be built
 * @returns {Promise<{installed: string, paths: string[]}>} where the package lies, and the files in it
 */
export async function installPacked(project) {
  const { stdout } = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', project], { cwd: ROOT, maxBuffer: 1 << 24 });
  const [{ filename, files }] = JSON.parse(stdout), installed = join(project, 'node_modules/microtome');
  writeFileSync(join(project, 'package.json'), '{"name": "consumer", "private": true, "type": "module"}');
  await run('npm', ['install', '--offline', '--no-save', '--no-audit', '--no-fund', join(project, filename)], { cwd: project });
  return { installed, paths: files.map((/** @type {{path: string}} */ file) => file.path) };
}
