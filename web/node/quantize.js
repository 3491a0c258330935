// `quantize`: a model file or folder -> a GGUF file.
import { createWriteStream } from 'node:fs';
import { readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { QUANTIZE_TYPES, quantize } from '../quantize.js';
import { TOKENIZER_FILES } from '../tokenizer_gguf.js';
import { UsageError } from './args.js';

/** @param {string} path a file, or a hub folder: its model, and what tells about its tokenizer @returns {Promise<string[]>} */
async function sourcesOf(path) {
  if (/^[a-z][a-z0-9+.-]+:/i.test(path)) return [path];
  const found = await stat(path).catch(() => { throw new Error(`${path}: no such file`); });
  if (!found.isDirectory()) return [path];
  const names = (await readdir(path)).sort();
  const weights = names.filter((name) => name.endsWith('.safetensors'));
  if (!names.includes('config.json') || !weights.length) throw new Error(`${path}: a folder with config.json and .safetensors files is needed`);
  const indexed = weights.filter((name) => /^model(-\d+-of-\d+)?\.safetensors$/.test(name));
  return ['config.json', ...(indexed.length ? indexed : weights), ...names.filter((name) => TOKENIZER_FILES.includes(name))].map((name) => join(path, name));
}

/**
 * Writes beside the target and moves it there when it is complete: a failure leaves what was there.
 * @param {Record<string, any>} options @param {string[]} rest @param {import('../quantize.js').QuantizeType} otherwise @param {(text: string) => void} tell progress
 * @returns {Promise<import('../quantize.js').QuantizeResult & {file: string}>}
 */
async function writeGguf(options, rest, otherwise, tell) {
  if (rest.length !== 2) throw new UsageError('IN and OUT are needed');
  const [from, to] = rest;
  const sources = await sourcesOf(from);
  if (options.vocab !== undefined) {
    await stat(options.vocab).catch(() => { throw new Error(`${options.vocab}: no such file`); });
    sources.push(options.vocab);
  }
  if (await same(from, to)) throw new Error(`${to}: a file cannot be written over itself`);
  const beside = `${to}.part`;
  const stream = createWriteStream(beside);
  let told = 0;
  try {
    await new Promise((resolve, reject) => stream.once('open', resolve).once('error', reject));
    const result = await quantize(sources, {
      type: options.type ?? otherwise, keep: options.keep ?? [], tokenizer: !options['no-tokenizer'], output: Writable.toWeb(stream), ...(options.threads && { threads: options.threads }),
      onProgress({ phase, done, total, tensor }) {
        const now = Date.now();
        if (now - told < 200) return;
        told = now;
        tell(`${phase === 'load' ? 'reading' : 'writing'} ${total ? `${Math.floor((100 * done) / total)} %` : `${done} bytes`} ${tensor}`);
      },
    });
    await rename(beside, to);
    return { ...result, file: to };
  } catch (error) {
    stream.destroy();
    await rm(beside, { force: true });
    throw error;
  }
}

/** @param {string} a @param {string} b */
async function same(a, b) {
  try {
    return (await realpath(a)) === (await realpath(b));
  } catch {
    return false;
  }
}

/** @typedef {{line: (text: string) => Promise<void>, json: (value: any) => string, threads: import('./args.js').OptionSpec, jsonOut: import('./args.js').OptionSpec}} Shared what the program's commands share */

/**
 * `convert` differs from `quantize` in its default type: nothing is lost. @param {Shared & {name: 'quantize' | 'convert'}} shared
 * @returns {import('./args.js').CommandSpec & {run: (options: Record<string, any>, rest: string[]) => Promise<void>}}
 */
export function quantizeCommand({ line, json, threads, jsonOut, name }) {
  /** @type {import('../quantize.js').QuantizeType} */ const otherwise = name === 'convert' ? 'F32' : 'Q8_0';
  return {
    summary: name === 'convert' ? 'a model of any container as a GGUF file, nothing lost' : 'a model in another storage type, as a GGUF file',
    usage: `${name} [options] IN OUT.gguf`,
    options: [
      { name: 'type', kind: 'text', value: 'TYPE', choices: QUANTIZE_TYPES, help: `of the matrices, default ${otherwise}: ${QUANTIZE_TYPES.join(', ')}` },
      { name: 'keep', kind: 'texts', value: 'PATTERN', help: 'tensors that keep their type ("output.weight", "blk.0.*"); may be given several times' },
      { name: 'vocab', kind: 'text', value: 'FILE', help: 'for character models of ml5 and textgenrnn: their vocabulary, JSON' },
      { name: 'no-tokenizer', kind: 'flag', help: 'leave the tokenizer of a hub folder out' }, threads, jsonOut,
    ],
    notes: 'IN is a GGUF file, a folder with config.json and safetensors, a llama2.c or rwkv.cpp file, or the safetensors of a character model (with --vocab). Vectors and norms stay F32; see docs/gguf.md.',
    async run(options, rest) {
      const tell = (/** @type {string} */ text) => { if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`); };
      const result = await writeGguf(options, rest, otherwise, tell);
      tell('');
      if (options.json) return line(json({ file: result.file, architecture: result.architecture, bytes: result.size, tensors: result.tensors }));
      const types = /** @type {Record<string, number>} */ ({});
      for (const { type } of result.tensors) types[type] = (types[type] ?? 0) + 1;
      await line(`${result.file}: ${result.architecture}, ${result.size} bytes, ${result.tensors.length} tensors (${Object.entries(types).map(([type, n]) => `${n} ${type}`).join(', ')})`);
    },
  };
}
