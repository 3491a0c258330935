// What tests of the command line and the API share: running the program, a small tokenizer definition, and which builds this machine can run.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { detectFeatures } from '../../web/index.js';
import { ROOT } from './shared.mjs';

export const CLI = join(ROOT, 'web/node/cli.js');
export const BUNDLED = join(ROOT, 'models/microtome-tiny.gguf');

/**
 * Runs the command line. @param {string[]} args @param {{input?: string | Uint8Array, env?: Record<string, string>, timeoutMs?: number}} [options]
 * @returns {Promise<{status: number | null, stdout: string, stderr: string, bytes: Buffer}>}
 */
export function cli(args, { input = '', env = {}, timeoutMs = 60_000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [CLI, ...args], { env: { ...process.env, ...env }, timeout: timeoutMs });
    /** @type {Buffer[]} */ const out = [];
    let stderr = '';
    child.stdout.on('data', (chunk) => out.push(chunk));
    child.stderr.on('data', (chunk) => { stderr += chunk; });
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stdout: Buffer.concat(out).toString('utf8'), stderr, bytes: Buffer.concat(out) }));
    child.stdin.on('error', () => {}); // a program that does not read is fine
    child.stdin.end(input);
  });
}

/** A folder for files of one test run. */
export function scratch() {
  const folder = mkdtempSync(join(tmpdir(), 'microtome-test-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return { folder, /** @param {string} name @param {string | Uint8Array} data */ write(name, data) { const path = join(folder, name); writeFileSync(path, data); return path; } };
}

/** GPT-2's spelling of a byte as a printable character. @param {number} byte */
export function byteCharacter(byte) {
  const printable = (/** @type {number} */ b) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
  if (printable(byte)) return String.fromCodePoint(byte);
  let n = 0;
  for (let b = 0; b < byte; b++) if (!printable(b)) n++;
  return String.fromCodePoint(256 + n);
}

/**
 * A byte-level BPE definition: ids 0..255 are the bytes, then one id for each merge, then `<|end|>`.
 * @param {string[]} merges "a b" in the printable spelling
 */
export function tinyTokenizer(merges = ['h e', 'l l', 'he ll', 'hell o', 'Ġ w', 'Ġw o', 'r l', 'rl d', 'Ġwo rld']) {
  /** @type {Record<string, number>} */
  const vocab = {};
  for (let b = 0; b < 256; b++) vocab[byteCharacter(b)] = b;
  for (const merge of merges) vocab[merge.replace(' ', '')] ??= Object.keys(vocab).length;
  const end = Object.keys(vocab).length;
  return {
    version: '1.0', truncation: null, padding: null,
    added_tokens: [{ id: end, content: '<|end|>', single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<|end|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }], special_tokens: { '<|end|>': { id: '<|end|>', ids: [end], tokens: ['<|end|>'] } } },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, vocab, merges },
  };
}

/** Builds and kernels that can run here: the reference first. @returns {{name: string, options: {threads: number, isa?: 'ref' | 'simd' | 'relaxed'}}[]} */
export function engines() {
  const can = detectFeatures();
  const out = [{ name: 'scalar', options: { threads: 1, isa: /** @type {const} */ ('ref') } }, { name: 'SIMD', options: { threads: 1, isa: /** @type {const} */ ('simd') } }];
  if (can.threads) out.push({ name: 'SIMD, 2 threads', options: { threads: 2, isa: 'simd' } }, { name: 'SIMD, 3 threads', options: { threads: 3, isa: 'simd' } });
  if (can.relaxed) out.push({ name: 'relaxed', options: { threads: 1, isa: /** @type {any} */ ('relaxed') } });
  if (can.relaxed && can.threads) out.push({ name: 'relaxed, 2 threads', options: { threads: 2, isa: /** @type {any} */ ('relaxed') } });
  return out;
}
