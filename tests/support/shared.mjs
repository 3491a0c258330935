// The reference material beside the repository (../shared, or where MICROTOME_SHARED says), which a fresh clone does not have: tests that
// need it skip visibly.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const folder = process.env.MICROTOME_SHARED || resolve(ROOT, '../shared');
/** The folder, or null. */
export const SHARED = existsSync(join(folder, 'tokenizers')) ? folder : null;
/** For `{ skip }` of a test. */
export const skipWithoutShared = SHARED ? false : 'no ../shared here (MICROTOME_SHARED)';

/** @param {...string} parts */
export const shared = (...parts) => join(SHARED ?? '', ...parts);

/** Bytes of a file, unpacked when it is kept as .gz. @param {...string} parts @returns {Uint8Array} */
export function readShared(...parts) {
  const path = shared(...parts);
  return existsSync(path) ? readFileSync(path) : gunzipSync(readFileSync(`${path}.gz`));
}

/** Lines of a .jsonl file as objects. @param {...string} parts @returns {any[]} */
export const readLines = (...parts) => Buffer.from(readShared(...parts)).toString('utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));

/** Unpacks an archive of ../shared/reference into a temporary folder that goes away with the process. @param {string} name @returns {string} */
export function unpack(name) {
  const to = mkdtempSync(join(tmpdir(), 'microtome-'));
  process.on('exit', () => rmSync(to, { recursive: true, force: true }));
  execFileSync('tar', ['-xf', shared('reference', name), '-C', to]);
  return to;
}
