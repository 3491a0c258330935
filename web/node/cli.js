#!/usr/bin/env node
// The command line. docs/cli.md is its contract; tests/unit/cli.test.mjs holds it to that.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { open, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ByteModel, Lattice, Model, SEGMENTERS, TokenLanguage, Tokenizer, isCanonical } from '../index.js';
import { UsageError, helpOf, parseArguments, parseIds } from './args.js';
import { locateDefinition } from './definition.js';
import { gradCommand } from './grad.js';
import { describeHeader } from './inspect.js';
import { INSIDE, insideOf } from './inside.js';
import { toNpy, toNpz } from './npy.js';
import { parseFrom, parsePatch } from './patch.js';
import { quantizeCommand } from './quantize.js';
import { serve } from './serve.js';
import { trainCommand } from './train.js';
import { transferCommand } from './transfer.js';
import { measureCommand } from './measure.js';
import { studyCommand } from './study.js';
import { languageCommand, markovCommand } from './theory.js';
import { completeCommands } from './complete.js';
import { atlasCommand } from './atlas.js';
import { labCommand } from './lab.js';
import { ensembleCommands } from './ensemble.js';
import { marginalCommand } from './marginal.js';
import { probeCommand } from './probe.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('./args.js').CommandSpec} CommandSpec */

const ROOT = new URL('../../', import.meta.url);
const BUNDLED = fileURLToPath(new URL('models/microtome-tiny.gguf', ROOT));

// ---- output: whole lines, quiet when the reader has left ---------------------------------------------------------------------

/** @param {string} text @returns {Promise<void>} */
function write(text) {
  return new Promise((resolve, reject) => process.stdout.write(text, (error) => (error ? reject(error) : resolve())));
}
const line = (/** @type {string} */ text) => write(`${text}\n`);
/** -Infinity is no JSON: it becomes null. @param {any} value */
const json = (value) => JSON.stringify(value, (_, x) => (ArrayBuffer.isView(x) ? [.../** @type {any} */ (x)] : typeof x === 'number' && !Number.isFinite(x) ? null : x));
/** Visible on one line. @param {Uint8Array} bytes */
function visible(bytes) {
  let out = '';
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  try {
    for (const c of text.decode(bytes)) out += c === '\\' ? '\\\\' : c === '\n' ? '\\n' : c === '\r' ? '\\r' : c === '\t' ? '\\t' : /\p{C}/u.test(c) && c.length === 1 ? `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}` : c;
    return out;
  } catch {
    return [...bytes].map((b) => (b >= 32 && b < 127 && b !== 92 ? String.fromCharCode(b) : `\\x${b.toString(16).padStart(2, '0')}`)).join('');
  }
}

// ---- input -------------------------------------------------------------------------------------------------------------------

/** @returns {Promise<Uint8Array>} */
async function readInput() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Lines of standard input, without their ends. @returns {AsyncGenerator<string>} */
async function* inputLines() {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let rest = '';
  for await (const chunk of process.stdin) {
    rest += decoder.decode(chunk, { stream: true });
    let at = 0;
    for (let end; (end = rest.indexOf('\n', at)) >= 0; at = end + 1) yield rest.slice(at, end).replace(/\r$/, '');
    rest = rest.slice(at);
  }
  rest += decoder.decode();
  if (rest) yield rest;
}

/** @returns {Promise<string[]>} */
async function allLines() {
  const out = [];
  for await (const text of inputLines()) out.push(text);
  return out;
}

/** Text from the arguments, else standard input, byte for byte. @param {string[]} rest @returns {Promise<string | Uint8Array>} */
async function textOf(rest) {
  return rest.length ? rest.join(' ') : readInput();
}

// ---- options that several commands share ---------------------------------------------------------------------------------------

/** @type {OptionSpec} */ const TARGET = { name: 'target', kind: 'text', value: 'NAME', choices: ['valid', 'masked', 'all'], help: 'which token sequences count as spellings, default valid (docs/cli.md)' };
/** @type {OptionSpec} */ const JSON_OUT = { name: 'json', kind: 'flag', help: 'one line of JSON for machines (-Infinity is written as null)' };
/** @type {OptionSpec} */ const TOKENIZER = { name: 'tokenizer', kind: 'text', value: 'FILE', help: 'tokenizer.json, GGUF, SentencePiece .model, rank file, vocab.txt, vocab.json, what tokenizer-cache wrote... (.gz too), or a folder with one; byt5, canine need no file' };
/** @type {OptionSpec[]} */ const DEFINITION = [
  { name: 'merges', kind: 'text', value: 'FILE', help: 'merges.txt, beside a vocab.json' },
  { name: 'pattern', kind: 'text', value: 'REGEX', help: 'splitting expression of a rank file or vocab.json; default: by the name' },
  { name: 'name', kind: 'text', value: 'NAME', help: 'vocabulary that a rank file is (cl100k_base...); default: the file name' },
  { name: 'lowercase', kind: 'text', value: 'yes|no', choices: ['yes', 'no'], help: 'for vocab.txt; default: judged by the vocabulary' },
];
/** @type {OptionSpec} */ const MODEL = { name: 'model', kind: 'text', value: 'FILE', help: 'GGUF file; default: the bundled model' };
/** @type {OptionSpec[]} */ const ENGINE = [
  { name: 'threads', kind: 'int', value: 'N', min: 1, max: 64, help: 'threads; default: the cores, 4 at most. Results do not depend on it' },
  { name: 'isa', kind: 'text', value: 'NAME', choices: ['ref', 'simd', 'relaxed'], help: 'kernels: ref (scalar), simd, relaxed (Node 22 or newer); default: the best' },
];
/** @type {OptionSpec} */ const IDS = { name: 'ids', kind: 'ids', value: 'LIST', help: 'token ids, "1,2,3", instead of a text' };
/** @type {OptionSpec} */ const DECODER_IDS = { name: 'decoder-ids', kind: 'ids', value: 'LIST', help: 'encoder-decoder models: the decoder\'s tokens; --ids or TEXT is the source' };
/** @type {OptionSpec} */ const TYPE_IDS = { name: 'type-ids', kind: 'ids', value: 'LIST', help: 'encoders: the segment of each of the --ids; default: all 0' };
/** @type {OptionSpec} */ const ADD_SPECIAL = { name: 'add-special-tokens', kind: 'flag', help: 'add what the definition puts around a text (beginning, end...)' };
/** @type {OptionSpec} */ const SEED = { name: 'seed', kind: 'int', value: 'N', min: 0, help: 'the same seed, the same draw; default: random' };
/** @type {OptionSpec} */ const AS_TEXT = { name: 'special-as-text', kind: 'flag', help: 'text that spells a special token is ordinary text (rank files: by default)' };
/** @type {OptionSpec} */ const ALLOWED = { name: 'allowed-special', kind: 'text', value: 'all|none|LIST', help: 'special tokens that the text may spell: LIST is their texts, with commas between, or as JSON; default: all, for rank files none' };
/** @type {OptionSpec} */ const PAIR = { name: 'pair', kind: 'text', value: 'TEXT', help: 'a second text: both by the definition\'s template for pairs' };
/** @type {OptionSpec[]} */ const SEGMENTER = [
  { name: 'segmenter', kind: 'text', value: 'KIND', choices: SEGMENTERS, help: `cut words otherwise than the tokenizer does: ${SEGMENTERS.join(', ')}` },
  { name: 'dropout', kind: 'number', value: 'P', min: 0, max: 1, help: 'probability of a dropout, default 0.1' },
  { name: 'alpha', kind: 'number', value: 'X', min: 0, max: 1000000, help: 'unigram-sample: scores times this, default 1' },
  { name: 'nbest', kind: 'int', value: 'N', min: 1, max: 2 ** 20, help: 'unigram-sample: draw among the N best of a word, default: all' },
  { name: 'ties', kind: 'text', value: 'RULE', choices: ['hf', 'sentencepiece', 'longest', 'random'], help: 'Unigram: of equally good segmentations the one that tokenizers (hf) or SentencePiece takes; default: by the definition\'s format. fewest-tokens: the longest last token (default) or a random one' },
  SEED,
];
/** @param {Record<string, any>} options */
function checkSegmenter(options) {
  for (const { name } of SEGMENTER)
    if (options[name] !== undefined && options.segmenter === undefined && !(name === 'ties' && LIBRARIES.includes(options.ties))) throw new UsageError(`--${name}${name === 'ties' ? ` ${options.ties}` : ''} goes with --segmenter`);
}
/** Whose ties. */
const LIBRARIES = ['hf', 'sentencepiece'];
/** @param {Record<string, any>} options */
function specialsOf(options) {
  const { 'allowed-special': allowed, 'special-as-text': asText } = options;
  if (allowed === undefined) return asText ? { specialAsText: true } : {};
  if (asText) throw new UsageError('--special-as-text and --allowed-special exclude each other');
  if (allowed === 'all' || allowed === 'none') return { allowedSpecial: /** @type {'all'} */ (allowed) };
  let list;
  try {
    list = allowed.trimStart().startsWith('[') ? JSON.parse(allowed) : null;
  } catch { /* special tokens may begin so */ }
  return { allowedSpecial: Array.isArray(list) && list.every((x) => typeof x === 'string') ? list : allowed.split(',').filter(Boolean) };
}
/** As options of encode. @param {Record<string, any>} options */
const segmenterOf = (options) => ({ ...picked(options, 'segmenter', 'dropout', 'alpha', 'seed'), ...(options.ties !== undefined && !LIBRARIES.includes(options.ties) && { ties: options.ties }), ...(options.nbest !== undefined && { nBest: options.nbest }) });
/** Those of the options that were given. @param {Record<string, any>} options @param {...string} names */
const picked = (options, ...names) => Object.fromEntries(names.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]));
/** @type {OptionSpec} */ const HELP = { name: 'help', kind: 'flag', help: 'this text' };

const isUrl = (/** @type {string} */ file) => /^[a-z][a-z0-9+.-]+:/i.test(file);
/** @param {string} file */
function mustExist(file) {
  if (!isUrl(file) && !existsSync(file)) throw new Error(`${file}: no such file`);
  return file;
}

/** @param {Record<string, any>} options */
function modelFile(options) {
  if (options.model === undefined && !existsSync(BUNDLED)) throw new Error('the bundled model is not there: give --model FILE');
  return mustExist(options.model ?? BUNDLED);
}

/** What to load: a file, or the files of a hub folder. @param {string} path */
function modelSources(path) {
  if (!existsSync(path) || !statSync(path).isDirectory()) return path;
  const names = readdirSync(path).sort();
  const weights = names.filter((name) => name.endsWith('.safetensors'));
  if (!names.includes('config.json') || !weights.length) throw new Error(`${path}: a folder with config.json and .safetensors files is needed`);
  const indexed = weights.filter((name) => /^model(-\d+-of-\d+)?\.safetensors$/.test(name));
  const definition = ['tokenizer.json', 'tokenizer.model', 'spiece.model', 'vocab.txt'].find((name) => names.includes(name));
  return ['config.json', ...(definition ? [definition] : []), ...(indexed.length ? indexed : weights)].map((name) => join(path, name));
}

/** For commands whose model may be their first argument: `run MODEL --ids ...`. @param {Record<string, any>} options @param {string[]} rest */
function modelArgument(options, rest) {
  if (options.model !== undefined || !rest.length) return { options, rest };
  return { options: { ...options, model: rest[0] }, rest: rest.slice(1) };
}

/** @param {Record<string, any>} options @template T @param {(model: Model) => Promise<T>} body @returns {Promise<T>} */
async function withModel(options, body) {
  const model = await Model.load(modelSources(modelFile(options)), { ...(options.threads && { threads: options.threads }), ...(options.isa && { isa: options.isa }) });
  try {
    return await body(model);
  } finally {
    await model.dispose();
  }
}

/** @param {Record<string, any>} options */
function loadTokenizer(options) {
  if (options.tokenizer !== undefined && options.model !== undefined) throw new UsageError('--tokenizer and --model exclude each other');
  const { tokenizer, lowercase } = options, ties = LIBRARIES.includes(options.ties) ? options.ties : undefined;
  if (tokenizer === undefined) return Tokenizer.load(modelFile(options), { ...(ties && { ties }) });
  const found = locateDefinition(tokenizer, { sentencePiece: ties === 'sentencepiece' });
  if (found.builtin) return Tokenizer.builtin(found.builtin);
  const merges = options.merges === undefined ? found.merges : mustExist(options.merges);
  return Tokenizer.load(mustExist(/** @type {string} */ (found.file)), { ...picked(options, 'pattern', 'name'), ...(merges !== undefined && { merges }), ...(lowercase !== undefined && { lowercase: lowercase === 'yes' }), ...(ties && { ties }) });
}

/** Ids of a prompt, from --ids or a text with the special tokens that the model expects. @param {Model} model @param {Record<string, any>} options @param {string[]} rest */
async function promptIds(model, options, rest) {
  if (options.ids && rest.length) throw new UsageError('--ids and a text exclude each other');
  if (options.ids) return options.ids;
  const text = await textOf(rest);
  const ids = model.tokenizer.encode(text, { addSpecialTokens: true, offsets: false }).ids;
  return ids.length ? ids : [model.tokenizer.bos ?? model.tokenizer.eos ?? 0];
}

const inside = insideOf({ line, json, visible, promptIds, picked });

// ---- commands ---------------------------------------------------------------------------------------------------------------------

/** @type {Record<string, CommandSpec & {run: (options: Record<string, any>, rest: string[]) => Promise<void>}>} */
const COMMANDS = {
  inspect: {
    summary: 'what a GGUF file or a tokenizer definition holds; what goes on inside a model while it reads a text',
    usage: 'inspect [options] FILE [TEXT...]',
    options: [JSON_OUT, { name: 'tensors', kind: 'flag', help: 'list the tensors too (--json always does)' }, ...INSIDE, ...ENGINE],
    async run(options, rest) {
      if (options.what) {
        const [model, ...text] = rest;
        if (model === undefined) throw new UsageError('inspect needs one FILE');
        if (options.tensors) throw new UsageError('--tensors goes without --what');
        return withModel({ ...options, model }, (loaded) => inside(loaded, options, text));
      }
      if (rest.length !== 1) throw new UsageError(rest.length ? 'inspect needs one FILE; with a TEXT, also --what' : 'inspect needs one FILE');
      for (const { name } of [...INSIDE, ...ENGINE]) if (options[name] !== undefined) throw new UsageError(`--${name} goes with --what`);
      const file = mustExist(rest[0]);
      const gguf = await isGguf(file);
      if (gguf) {
        const header = await describeHeader(file);
        if (options.json) return line(json(header));
        const size = (/** @type {number} */ n) => (n >= 1e9 ? `${(n / 1e9).toFixed(2)} G` : n >= 1e6 ? `${(n / 1e6).toFixed(2)} M` : n >= 1e3 ? `${(n / 1e3).toFixed(1)} k` : `${n} `);
        await line(`${file}: GGUF version ${header.version}, ${header.metadata.length} keys, ${header.tensors.length} tensors, ${size(header.parameters)}parameters, ${size(header.tensorBytes)}B of weights`);
        for (const { key, type, value, count } of header.metadata) {
          const shown = Array.isArray(value) ? `[${value.slice(0, 6).map((v) => json(v)).join(', ')}${count > 6 ? `, ... ${count} in all` : ''}]` : json(value);
          await line(`  ${key} (${type}): ${shown.length > 160 ? `${shown.slice(0, 157)}...` : shown}`);
        }
        if (options.tensors) for (const t of header.tensors) await line(`  ${t.name}: ${t.type} [${t.dims.join(', ')}], ${t.bytes ?? '?'} bytes at ${t.offset}`);
        return;
      }
      const tokenizer = await Tokenizer.load(file);
      const kinds = /** @type {Record<string, number>} */ ({});
      for (const { kind } of tokenizer.tokens()) kinds[kind] = (kinds[kind] ?? 0) + 1;
      const summary = { kind: 'tokenizer', model: tokenizer.model, vocab_size: tokenizer.vocabSize, bos: tokenizer.bos, eos: tokenizer.eos, tokens: kinds, traits: tokenizer.traits, warnings: tokenizer.warnings };
      if (options.json) return line(json(summary));
      await line(`${file}: tokenizer, ${tokenizer.model}, ${tokenizer.vocabSize} ids (${Object.entries(kinds).map(([kind, n]) => `${n} ${kind}`).join(', ')})`);
      await line(`  beginning of text: ${tokenizer.bos ?? 'none'}; end of text: ${tokenizer.eos ?? 'none'}`);
      await line(`  exact byte model: ${tokenizer.traits.unsupported || 'yes'}`);
      for (const warning of tokenizer.warnings) await line(`  note: ${warning}`);
    },
  },
  encode: {
    summary: 'text -> token ids',
    usage: 'encode (--tokenizer FILE | --model FILE) [options] [TEXT...]',
    options: [TOKENIZER, MODEL, ...DEFINITION, JSON_OUT, { name: 'jsonl', kind: 'flag', help: 'standard input is lines {"text": ...}; one line {"ids": [...]} for each' }, ADD_SPECIAL, AS_TEXT, ALLOWED,
      { name: 'offsets', kind: 'text', value: 'UNIT', choices: ['bytes', 'utf16'], help: 'add "offsets": [[begin, end], ...] to the JSON' },
      PAIR, ...SEGMENTER],
    async run(options, rest) {
      checkSegmenter(options);
      if (options.jsonl && options.pair !== undefined) throw new UsageError('--jsonl takes "pair" from its lines: no --pair beside it');
      if (options.jsonl && rest.length) throw new UsageError('--jsonl reads standard input: no TEXT beside it');
      const tokenizer = await loadTokenizer(options);
      const how = { addSpecialTokens: !!options['add-special-tokens'], ...specialsOf(options), offsets: options.offsets ?? /** @type {false} */ (false) };
      const record = (/** @type {string | Uint8Array} */ text, /** @type {string | undefined} */ pair) => {
        const { ids, offsets, typeIds } = tokenizer.encode(text, { ...how, ...(pair !== undefined && { pair }), ...segmenterOf(options) });
        return { ids: [...ids], ...(typeIds && { type_ids: [...typeIds] }), ...(offsets && { offsets: Array.from(ids, (_, i) => [offsets[2 * i], offsets[2 * i + 1]]) }) };
      };
      if (options.jsonl) {
        let number = 0, out = '';
        for await (const text of inputLines()) {
          number++;
          if (!text.trim()) continue;
          let given;
          try {
            given = JSON.parse(text);
          } catch (error) {
            await write(out);
            throw new Error(`standard input, line ${number}: not JSON: ${/** @type {Error} */ (error).message}`);
          }
          if (typeof given?.text !== 'string') {
            await write(out);
            throw new Error(`standard input, line ${number}: no string "text"`);
          }
          if (given.pair !== undefined && typeof given.pair !== 'string') {
            await write(out);
            throw new Error(`standard input, line ${number}: "pair" is no string`);
          }
          out += `${json(record(given.text, given.pair))}\n`;
          if (out.length > 1 << 16) {
            await write(out);
            out = '';
          }
        }
        return write(out);
      }
      const result = record(await textOf(rest), options.pair);
      if (options.json || options.offsets) return line(json(result));
      await line(result.ids.join(' '));
    },
  },
  count: {
    summary: 'how many tokens a text has',
    usage: 'count (--tokenizer FILE | --model FILE) [options] [TEXT...]',
    options: [TOKENIZER, MODEL, ...DEFINITION, JSON_OUT, ADD_SPECIAL, AS_TEXT, ALLOWED, PAIR, { name: 'limit', kind: 'int', value: 'N', min: 0, help: 'exit status 1 when there are more' }, ...SEGMENTER],
    async run(options, rest) {
      checkSegmenter(options);
      const tokenizer = await loadTokenizer(options);
      const count = tokenizer.count(await textOf(rest), { addSpecialTokens: !!options['add-special-tokens'], ...specialsOf(options), ...picked(options, 'pair'), ...segmenterOf(options) });
      await line(options.json ? json({ count }) : String(count));
      if (options.limit !== undefined && count > options.limit) process.exitCode = 1;
    },
  },
  decode: {
    summary: 'token ids -> text',
    usage: 'decode (--tokenizer FILE | --model FILE) [options] [ID...]',
    options: [TOKENIZER, MODEL, ...DEFINITION, JSON_OUT, { ...IDS, help: 'token ids, "1,2,3" (or as arguments, or on standard input)' },
      { name: 'jsonl', kind: 'flag', help: 'standard input is lines {"ids": [...]}; one line {"text": ...} for each' },
      { name: 'skip-special-tokens', kind: 'flag', help: 'leave special tokens out' }],
    async run(options, rest) {
      const tokenizer = await loadTokenizer(options);
      const how = { skipSpecialTokens: !!options['skip-special-tokens'] };
      if (options.jsonl) {
        if (rest.length || options.ids) throw new UsageError('--jsonl reads standard input: no ids beside it');
        let number = 0;
        for await (const text of inputLines()) {
          number++;
          if (!text.trim()) continue;
          let given;
          try {
            given = JSON.parse(text);
          } catch (error) {
            throw new Error(`standard input, line ${number}: not JSON: ${/** @type {Error} */ (error).message}`);
          }
          if (!Array.isArray(given?.ids)) throw new Error(`standard input, line ${number}: no list "ids"`);
          await line(json({ text: tokenizer.decode(given.ids, how) }));
        }
        return;
      }
      if (options.ids && rest.length) throw new UsageError('--ids and ids as arguments exclude each other');
      const ids = options.ids ?? parseIds(rest.length ? rest.join(' ') : new TextDecoder().decode(await readInput()), 'decode');
      if (options.json) return line(json({ text: tokenizer.decode(ids, how) }));
      await new Promise((resolve, reject) => process.stdout.write(Buffer.concat([tokenizer.decodeBytes(ids, how), Buffer.of(10)]), (error) => (error ? reject(error) : resolve(undefined))));
    },
  },
  logits: {
    summary: 'what a model expects next',
    usage: 'logits [--model FILE] [options] (--ids LIST | [TEXT...])',
    options: [MODEL, IDS, DECODER_IDS, TYPE_IDS, { name: 'all', kind: 'flag', help: 'a list for every position, not the last alone' }, JSON_OUT, { name: 'top', kind: 'int', value: 'N', min: 1, max: 1000000, help: 'without --json: how many tokens to show, default 10' }, ...ENGINE],
    async run(options, rest) {
      await withModel(options, async (model) => {
        const ids = await promptIds(model, options, rest);
        const { logits, vocab } = await model.run(ids, { all: !!options.all, decoderIds: options['decoder-ids'], typeIds: options['type-ids'] });
        const rows = Array.from({ length: logits.length / vocab }, (_, i) => logits.subarray(i * vocab, (i + 1) * vocab));
        if (options.json) return line(json({ logits: options.all ? rows : rows[0] }));
        for (const [i, row] of rows.entries()) {
          const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
          const total = row.reduce((sum, x) => sum + Math.exp(x - most), 0);
          const order = Array.from(row, (_, id) => id).sort((a, b) => row[b] - row[a] || a - b).slice(0, options.top ?? 10);
          if (options.all) await line(`after token ${i} (id ${(options['decoder-ids'] ?? ids)[i]}):`);
          for (const id of order) await line(`${String(id).padStart(7)} ${row[id].toFixed(4).padStart(10)} ${(Math.exp(row[id] - most) / total).toFixed(6)}  ${shown(model, id)}`);
        }
      });
    },
  },
  run: {
    summary: 'any value of a model by its name',
    usage: 'run [MODEL] [options] (--ids LIST | --text TEXT) [--trace NAME[,GLOB...]] [--patch NAME[INDEX]=WHAT]... [--from NAME=FILE] [--stop-at NAME]',
    options: [MODEL, IDS, { name: 'text', kind: 'text', value: 'TEXT', help: 'a text, encoded with its special tokens; default: standard input' }, DECODER_IDS, TYPE_IDS,
      { name: 'trace', kind: 'text', value: 'LIST', help: 'names or globs, separated by commas; "logits" are the output; without any: the logits' },
      { name: 'patch', kind: 'texts', value: 'SPEC', help: 'NAME[INDEX]=zero | scale:X | add:X | replace:X | mean | resample | freeze:FILE; may be given several times' },
      { name: 'from', kind: 'texts', value: 'NAME=FILE', help: 'starts from this value, which a .npy or .npz file holds; may be given several times' },
      { name: 'stop-at', kind: 'text', value: 'NAME', help: 'computes nothing after this value' }, { ...SEED, help: 'of resample; default 0' },
      { name: 'all', kind: 'flag', help: 'logits of every position, not the last alone' }, { name: 'names', kind: 'flag', help: 'list the names of this model and end' },
      { name: 'out', kind: 'text', value: 'FILE', help: 'one value as FILE.npy, several as FILE.npz' }, JSON_OUT, ...ENGINE],
    notes: 'INDEX: numbers or ranges, one for each dimension: [3], [:,2], [0:4]. X: a number, or a .npy file for add and replace. mean and resample: along dimension 0; mean:AXIS; or of stored values, mean:FILE,FILE...',
    async run(given, words) {
      const { options, rest } = modelArgument(given, words);
      if (rest.length) throw new UsageError(`run takes one MODEL, not also "${rest[0]}": a text goes after --text`);
      if (options.ids && options.text !== undefined) throw new UsageError('--ids and --text exclude each other');
      if (options.out !== undefined && options.json) throw new UsageError('--out and --json exclude each other');
      if (options.out !== undefined && !/\.np[yz]$/.test(options.out)) throw new UsageError(`--out: "${options.out}" ends neither in .npy nor in .npz`);
      await withModel(options, async (model) => {
        if (options.names) return write((await model.traceNames()).concat('logits').map((name) => `${name}\n`).join(''));
        const ids = [...await promptIds(model, options, options.text === undefined ? [] : [options.text])];
        const stopAt = options['stop-at'];
        const wanted = (options.trace ?? (stopAt === undefined ? 'logits' : '')).split(',').map((/** @type {string} */ name) => name.trim()).filter(Boolean);
        const decoderIds = options['decoder-ids'];
        if (stopAt !== undefined && (options.all || wanted.includes('logits'))) throw new UsageError('--stop-at: there are no logits');
        const patch = await Promise.all((options.patch ?? []).map((/** @type {string} */ text) => parsePatch(text, options.seed)));
        const from = await Promise.all((options.from ?? []).map(parseFrom));
        const { logits, vocab, traces } = await model.run(ids, { all: !!options.all, decoderIds, typeIds: options['type-ids'], patch, from, ...(stopAt !== undefined && { stopAt }), trace: wanted.filter((/** @type {string} */ name) => name !== 'logits') });
        /** @type {Record<string, {shape: number[], data: Float32Array}>} */
        const values = { ...traces, ...(wanted.includes('logits') && { logits: { shape: options.all ? [logits.length / vocab, vocab] : [vocab], data: logits } }) };
        const names = Object.keys(values);
        if (options.json) return line(json({ ids, values: Object.fromEntries(names.map((name) => [name, { shape: values[name].shape, dtype: 'float32', data: values[name].data }])) }));
        if (options.out !== undefined) {
          if (options.out.endsWith('.npy') && names.length !== 1) throw new UsageError(`--out: ${names.length} values (${names.slice(0, 3).join(', ')}...) do not fit one .npy file: use .npz`);
          await writeFile(options.out, options.out.endsWith('.npy') ? toNpy(values[names[0]]) : toNpz(values));
        }
        for (const name of names) {
          const { shape, data } = values[name];
          const some = Array.from(data.subarray(0, 4), (x) => x.toPrecision(6)).join(' ');
          await line(`${name} [${shape.join(', ')}]${options.out === undefined ? `  ${some}${data.length > 4 ? ' ...' : ''}` : `  -> ${options.out}`}`);
        }
      });
    },
  },
  grad: gradCommand({ line, json, promptIds, modelArgument, withModel, model: ENGINE, input: [MODEL, IDS, DECODER_IDS, TYPE_IDS], jsonOut: JSON_OUT }),
  embed: {
    summary: 'a vector for each text',
    usage: 'embed [MODEL] [options] (--ids LIST | --text TEXT)...',
    options: [MODEL, { name: 'text', kind: 'texts', value: 'TEXT', help: 'a text; may be given several times. Default: each line of standard input' }, IDS, TYPE_IDS,
      { name: 'pooling', kind: 'text', value: 'NAME', choices: ['mean', 'cls', 'last'], help: 'mean over the tokens (default of encoders), the first, the last (default of decoders)' },
      { name: 'raw', kind: 'flag', help: 'as pooled; default: divided by their length' }, { name: 'out', kind: 'text', value: 'FILE', help: 'as a .npy file of shape [texts, width]' }, JSON_OUT, ...ENGINE],
    notes: '--json prints {"embeddings": [[...], ...]}; otherwise one line of numbers for each text.',
    async run(given, words) {
      const { options, rest } = modelArgument(given, words);
      if (rest.length) throw new UsageError(`embed takes one MODEL, not also "${rest[0]}": texts go after --text`);
      if (options.ids && options.text) throw new UsageError('--ids and --text exclude each other');
      if (options['type-ids'] && !options.ids) throw new UsageError('--type-ids goes with --ids');
      const texts = options.ids ? [options.ids] : options.text ?? (await allLines()).filter(Boolean);
      await withModel(options, async (model) => {
        const { shape, data } = await model.embed(texts, { ...picked(options, 'pooling'), normalize: !options.raw, ...(options['type-ids'] && { typeIds: [options['type-ids']] }) });
        if (options.out !== undefined) {
          await writeFile(options.out, toNpy({ shape, data }));
          return line(`${options.out}: ${shape[0]} vectors of ${shape[1]}`);
        }
        const rows = Array.from({ length: shape[0] }, (_, i) => data.subarray(i * shape[1], (i + 1) * shape[1]));
        if (options.json) return line(json({ embeddings: rows }));
        for (const row of rows) await line(Array.from(row, (x) => x.toPrecision(8)).join(' '));
      });
    },
  },
  'fill-mask': {
    summary: 'what stands behind the mask of a text',
    usage: 'fill-mask [MODEL] [options] (--ids LIST | --text TEXT)',
    options: [MODEL, { name: 'text', kind: 'text', value: 'TEXT', help: 'with [MASK] or <mask> in it; default: standard input' }, IDS, TYPE_IDS, { name: 'mask', kind: 'int', value: 'ID', min: 0, help: 'the mask token; default: that of the vocabulary' },
      { name: 'top', kind: 'int', value: 'N', min: 1, max: 1000000, help: 'how many for each mask, default 5' }, JSON_OUT, ...ENGINE],
    notes: '--json prints {"masks": [{"position", "tokens": [{"id", "token", "probability"}, ...]}, ...]}.',
    async run(given, words) {
      const { options, rest } = modelArgument(given, words);
      if (rest.length) throw new UsageError(`fill-mask takes one MODEL, not also "${rest[0]}": a text goes after --text`);
      if (options.ids && options.text !== undefined) throw new UsageError('--ids and --text exclude each other');
      const text = options.ids ?? options.text ?? (await readInput()).toString();
      await withModel(options, async (model) => {
        const masks = await model.fillMask(text, { ...picked(options, 'top', 'mask'), ...(options['type-ids'] && { typeIds: options['type-ids'] }) });
        if (options.json) return line(json({ masks }));
        for (const { position, tokens } of masks) {
          await line(`token ${position}:`);
          for (const { id, token, probability } of tokens) await line(`${String(id).padStart(7)} ${probability.toFixed(6)}  ${token}`);
        }
      });
    },
  },
  perplexity: {
    summary: 'how well a model predicts a text',
    usage: 'perplexity [MODEL] [options] [--file TEXT]...',
    options: [MODEL, { name: 'file', kind: 'texts', value: 'FILE', help: 'a document; may be given several times. Default: standard input' }, { name: 'window', kind: 'int', value: 'N', min: 1, max: 2 ** 24, help: 'tokens that are looked at together; default: the trained context, 2048 at most' },
      { name: 'stride', kind: 'int', value: 'M', min: 1, max: 2 ** 24, help: 'tokens by which windows advance; default: half of the window' }, { name: 'bos', kind: 'text', value: 'ID|none', help: 'the token that a document follows; default: the tokenizer\'s beginning or else end of text' },
      JSON_OUT, ...ENGINE],
    notes: '--json prints {"tokens", "bytes", "nats", "nats_per_token", "perplexity", "bits_per_byte", "window", "stride", "bos"}; docs/cli.md defines them.',
    async run(given, words) {
      const { options, rest } = modelArgument(given, words);
      if (rest.length) throw new UsageError(`perplexity takes one MODEL, not also "${rest[0]}": texts go after --file`);
      if (options.bos !== undefined && !/^(none|\d+)$/.test(options.bos)) throw new UsageError(`--bos: "${options.bos}" is neither an id nor none`);
      if (options.stride !== undefined && options.window !== undefined && options.stride > options.window) throw new UsageError('--stride is larger than --window: some tokens would not be scored');
      const texts = options.file ? await Promise.all(options.file.map((/** @type {string} */ file) => readFile(mustExist(file)))) : [await readInput()];
      await withModel(options, async (model) => {
        const r = await model.perplexity(texts, { ...picked(options, 'window', 'stride'), ...(options.bos !== undefined && { bos: options.bos === 'none' ? null : Number(options.bos) }) });
        if (options.json) return line(json({ tokens: r.tokens, bytes: r.bytes, nats: r.nats, nats_per_token: r.natsPerToken, perplexity: r.perplexity, bits_per_byte: r.bitsPerByte, window: r.window, stride: r.stride, bos: r.bos }));
        await line(`${r.tokens} tokens, ${r.bytes} bytes: ${r.natsPerToken.toFixed(6)} nats per token, perplexity ${r.perplexity.toFixed(4)}, ${r.bitsPerByte.toFixed(6)} bits per byte (windows of ${r.window}, stride ${r.stride})`);
      });
    },
  },
  generate: {
    summary: 'continue a text',
    usage: 'generate [--model FILE] [options] (--ids LIST | [TEXT...])',
    options: [MODEL, IDS, { name: 'max-tokens', kind: 'int', value: 'N', min: 0, max: 1000000, help: 'default 128' }, { name: 'greedy', kind: 'flag', help: 'always the likeliest token' },
      { name: 'temperature', kind: 'number', value: 'X', min: 0, max: 1000000, help: 'default 1' }, { name: 'top-k', kind: 'int', value: 'K', min: 0, max: 2147483647, help: 'the K likeliest; 0: all' },
      { name: 'top-p', kind: 'number', value: 'P', min: 0, max: 1, help: 'the likeliest that reach this probability together' }, { name: 'min-p', kind: 'number', value: 'P', min: 0, max: 1, help: 'those at least P times as likely as the likeliest' },
      { name: 'typical-p', kind: 'number', value: 'P', min: 0, max: 1, help: 'the most typical that exceed this probability together' }, { name: 'repeat-penalty', kind: 'number', value: 'X', min: 0.001, max: 1000, help: 'logits of tokens that occurred: divided by X if positive, else multiplied; default 1' },
      { name: 'presence-penalty', kind: 'number', value: 'X', min: -1000, max: 1000, help: 'taken from their logits once; default 0' }, { name: 'frequency-penalty', kind: 'number', value: 'X', min: -1000, max: 1000, help: 'taken for each occurrence; default 0' },
      { name: 'last-n', kind: 'int', value: 'N', min: -1, max: 2 ** 24, help: 'how far back penalties look, prompt included; -1: all; default 64' },
      { name: 'seed', kind: 'int', value: 'N', min: 0, help: 'the same seed, the same text; default: random' }, { name: 'kv', kind: 'text', value: 'KIND', choices: ['f32', 'f16', 'q8'], help: 'how keys and values are kept; default f32' }, { name: 'stop', kind: 'text', value: 'TEXT', help: 'end before this text' },
      { name: 'ignore-eos', kind: 'flag', help: 'go on after an end token' }, JSON_OUT, ...ENGINE],
    notes: '--json prints {"ids": [the new tokens], "text": ..., "prompt_ids": [...], "reason": "length" | "stop" | "context"} at the end.',
    async run(options, rest) {
      if (options.greedy) for (const name of ['temperature', 'top-k', 'typical-p', 'top-p', 'min-p', 'seed']) if (options[name] !== undefined) throw new UsageError(`--greedy and --${name} exclude each other`);
      await withModel(options, async (model) => {
        const prompt = [...await promptIds(model, options, rest)];
        const stop = [...(options['ignore-eos'] ? [] : model.endTokens), ...(options.stop === undefined ? [] : [options.stop])];
        const given = { temperature: options.greedy ? 0 : options.temperature, topK: options['top-k'], topP: options['top-p'], minP: options['min-p'], typicalP: options['typical-p'], repeatPenalty: options['repeat-penalty'], presencePenalty: options['presence-penalty'], frequencyPenalty: options['frequency-penalty'],
          lastN: options['last-n'], seed: options.seed, maxTokens: options['max-tokens'], kv: options.kv };
        const how = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
        const stream = model.generate(prompt, { ...how, stop });
        /** @type {number[]} */
        const ids = [];
        let text = '';
        for (;;) {
          const next = await stream.next();
          if (next.done) {
            if (options.json) await line(json({ ids, text, prompt_ids: prompt, reason: next.value.reason }));
            else await write('\n');
            return;
          }
          ids.push(next.value.id);
          text += next.value.text;
          if (!options.json) await write(hasTokenizer(model) ? next.value.text : `${ids.length > 1 ? ' ' : ''}${next.value.id}`);
        }
      });
    },
  },
  'next-byte': {
    summary: 'exact probabilities of the next byte',
    usage: 'next-byte [--model FILE] [options] [TEXT...]',
    options: [MODEL, { name: 'top', kind: 'int', value: 'N', min: 1, max: 257, help: 'without --json: how many to show, default 10' }, TARGET, JSON_OUT, ...ENGINE],
    notes: '--json prints {"bytes": [256 natural log-probabilities], "end": ..., "naive": [256], "naive_end": ..., "missing_mass": ..., "text_logprob": ..., "target": ...}; null stands for -Infinity.',
    async run(options, rest) {
      const text = await textOf(rest);
      await withModel(options, async (model) => {
        const bytes = new ByteModel(model, { target: options.target ?? 'valid' });
        const r = await bytes.next(text);
        const naive = /** @type {Float64Array} */ (r.naive);
        if (options.json) {
          return line(json({ bytes: r.bytes, end: r.end, naive: naive.subarray(0, 256), naive_end: naive[256], missing_mass: r.missingMass, text_logprob: r.textLogProb, target: r.target, live_contexts: r.liveContexts }));
        }
        const all = [...r.bytes, r.end];
        const order = all.map((_, b) => b).sort((a, b) => all[b] - all[a] || a - b).slice(0, options.top ?? 10);
        await line('  byte   exact      tokenized prompt');
        for (const b of order) await line(`  ${b === 256 ? 'end ' : visible(Uint8Array.of(b)).padEnd(4)}   ${Math.exp(all[b]).toFixed(7)}  ${Math.exp(naive[b]).toFixed(7)}`);
        if (r.missingMass > 0) await line(`  at most ${r.missingMass.toExponential(2)} of the probability is left out`);
      });
    },
  },
  'score-bytes': {
    summary: 'the probability of a text, byte by byte',
    usage: 'score-bytes [--model FILE] [options] [TEXT...]',
    options: [MODEL, TARGET, { name: 'per-byte', kind: 'flag', help: 'without --json: a line for each byte' }, JSON_OUT, ...ENGINE],
    notes: '--json prints {"text_logprob": ..., "bytes": [a natural log-probability for each byte], "end": ..., "bits_per_byte": ..., "missing_mass": ..., "target": ...}; null stands for -Infinity.',
    async run(options, rest) {
      const given = await textOf(rest), text = typeof given === 'string' ? Buffer.from(given) : given;
      await withModel(options, async (model) => {
        const r = await new ByteModel(model, { target: options.target ?? 'valid' }).score(text, { perByte: true });
        const logs = /** @type {Float64Array} */ (r.bytes), sum = logs.reduce((a, b) => a + b, 0), bits = text.length ? -sum / Math.LN2 / text.length : 0;
        if (options.json) return line(json({ text_logprob: r.textLogProb, bytes: logs, end: r.end, bits_per_byte: bits, missing_mass: r.missingMass, target: r.target }));
        if (options['per-byte']) {
          for (const [i, logp] of logs.entries()) await line(`${visible(text.subarray(i, i + 1)).padEnd(4)}  ${logp.toFixed(6)}`);
          await line(`end   ${Number(r.end).toFixed(6)}`);
        }
        await line(`${text.length} bytes: ln p ${sum.toFixed(6)}, ${bits.toFixed(6)} bits per byte (target ${r.target}${r.missingMass > 0 ? `, at most ${r.missingMass.toExponential(2)} left out` : ''})`);
      });
    },
  },
  'generate-bytes': {
    summary: 'continue a text byte by byte',
    usage: 'generate-bytes [--model FILE] [options] [TEXT...]',
    options: [MODEL, { name: 'max-bytes', kind: 'int', value: 'N', min: 0, max: 2 ** 24, help: 'default 256; with --beam 8' }, { name: 'greedy', kind: 'flag', help: 'always the likeliest byte' },
      { name: 'temperature', kind: 'number', value: 'X', min: 0, max: 1000000, help: 'of the bytes, default 1' }, { name: 'top-p', kind: 'number', value: 'P', min: 0, max: 1, help: 'the likeliest bytes that reach this probability together' },
      { name: 'seed', kind: 'int', value: 'N', min: 0, help: 'the same seed, the same bytes; default: random' }, { name: 'beam', kind: 'int', value: 'K', min: 1, max: 65536, help: 'instead: the K likeliest continuations of --max-bytes bytes' }, TARGET, JSON_OUT, ...ENGINE],
    notes: '--json prints {"bytes": [...], "text": ..., "reason": "length" | "end" | "context", "missing_mass": ..., "target": ...}, with --beam {"paths": [{"bytes", "text", "ends", "logprob", "proven"}], "pruned_logprob", "target"}.',
    async run(options, rest) {
      for (const [a, others] of /** @type {[string, string[]][]} */ ([['greedy', ['temperature', 'top-p', 'seed', 'beam']], ['beam', ['temperature', 'top-p', 'seed']]]))
        if (options[a] !== undefined) for (const b of others) if (options[b] !== undefined) throw new UsageError(`--${a} and --${b} exclude each other`);
      const text = await textOf(rest);
      await withModel(options, async (model) => {
        const bytes = new ByteModel(model, { target: options.target ?? 'valid' });
        if (options.beam !== undefined) {
          const { paths, prunedLogProb, target } = await bytes.beam(text, { width: options.beam, ...(options['max-bytes'] !== undefined && { length: options['max-bytes'] }) });
          if (options.json) return line(json({ paths: paths.map(({ logProb, bytes: b, ...p }) => ({ ...p, bytes: [...b], logprob: logProb })), pruned_logprob: prunedLogProb, target }));
          for (const p of paths) await line(`${p.logProb.toFixed(6).padStart(12)}  ${p.proven ? ' ' : '?'} ${visible(p.bytes)}${p.ends ? ' (end)' : ''}`);
          return;
        }
        const given = { maxBytes: options['max-bytes'], temperature: options.greedy ? 0 : options.temperature, topP: options['top-p'], seed: options.seed };
        const stream = bytes.generate(text, Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));
        /** @type {number[]} */
        const all = [];
        for (;;) {
          const next = await stream.next();
          if (next.done) {
            const { reason, missingMass, target } = next.value;
            if (options.json) return line(json({ bytes: all, text: Buffer.from(all).toString(), reason, missing_mass: missingMass, target }));
            return write('\n');
          }
          all.push(...next.value.bytes);
          if (!options.json) await new Promise((resolve, reject) => process.stdout.write(next.value.bytes, (error) => (error ? reject(error) : resolve(undefined))));
        }
      });
    },
  },
  ...completeCommands({ line, write, json, textOf, visible, picked, withModel, loadTokenizer, model: [MODEL, ...ENGINE], tokenizer: [TOKENIZER, MODEL, ...DEFINITION], seed: SEED, jsonOut: JSON_OUT }),
  ...ensembleCommands({ line, write, json, textOf, visible, picked, modelSources, mustExist, loadTokenizer, engine: ENGINE, tokenizer: [TOKENIZER, MODEL, ...DEFINITION], seed: SEED, jsonOut: JSON_OUT }),
  marginal: marginalCommand({ line, json, textOf, visible, picked, withModel, model: [MODEL, ...ENGINE], seed: SEED, jsonOut: JSON_OUT }),
  probe: probeCommand({ line, json, textOf, mustExist, visible, picked, withModel, model: [MODEL, ...ENGINE], seed: SEED, jsonOut: JSON_OUT }),
  canonical: {
    summary: 'are token ids what the tokenizer itself gives?',
    usage: 'canonical (--tokenizer FILE | --model FILE) [options] (--ids LIST | [ID...])',
    options: [TOKENIZER, MODEL, ...DEFINITION, JSON_OUT, { ...IDS, help: 'token ids, "1,2,3" (or as arguments, or on standard input)' },
      { name: 'next', kind: 'flag', help: 'the ids that may follow them inside a word (byte-pair encoding)' }, { name: 'match', kind: 'text', value: 'REGEX', help: 'with --next: the whole text must match this; the ids need not be canonical' }],
    notes: 'Without --next: exit status 1 when they are not. --json prints {"canonical": ..., "ids": [what the tokenizer gives], "differs_at": place or null}; with --next {"next": [ids], "end": may it end here}.',
    async run(options, rest) {
      if (options.ids && rest.length) throw new UsageError('--ids and ids as arguments exclude each other');
      if (options.match !== undefined && !options.next) throw new UsageError('--match goes with --next');
      const tokenizer = await loadTokenizer(options);
      const ids = options.ids ?? parseIds(rest.length ? rest.join(' ') : new TextDecoder().decode(await readInput()), 'canonical');
      if (options.next) {
        const language = new TokenLanguage(tokenizer, options.match === undefined ? { canonical: true } : { pattern: options.match });
        /** @type {number | null} */ let state = 0;
        for (const id of ids) if (state !== null) state = language.next(state, id);
        const mask = state === null ? new Uint8Array(0) : language.allowed(state);
        const next = Array.from(mask.keys()).filter((id) => mask[id]), end = state !== null && language.accepts(state);
        return line(options.json ? json({ next, end }) : `${next.join(' ')}${end ? `${next.length ? ' ' : ''}(or the end)` : ''}`);
      }
      const given = tokenizer.encode(tokenizer.decodeBytes(ids), { offsets: false }).ids;
      const differs = ids.findIndex((/** @type {number} */ id, /** @type {number} */ i) => id !== given[i]);
      const canonical = isCanonical(tokenizer, ids), at = canonical ? null : differs >= 0 ? differs : Math.min(ids.length, given.length);
      await line(options.json ? json({ canonical, ids: [...given], differs_at: at }) : canonical ? 'yes' : `no: from place ${at} on the tokenizer gives ${given.slice(at ?? 0).join(' ') || 'nothing'}`);
      if (!canonical) process.exitCode = 1;
    },
  },
  tokenizations: {
    summary: 'all ways to cut a text into tokens',
    usage: 'tokenizations (--tokenizer FILE | --model FILE) [--count | --nbest N | --all | --sample N] [options] [TEXT...]',
    options: [TOKENIZER, MODEL, ...DEFINITION, JSON_OUT, { name: 'count', kind: 'flag', help: 'how many there are' }, { name: 'all', kind: 'flag', help: 'every one, at most 10000; exit status 1 when there are more' }, { name: 'nbest', kind: 'int', value: 'N', min: 1, max: 1000000, help: 'the N best, best first; default: 10' },
      { name: 'sample', kind: 'int', value: 'N', min: 1, max: 1000000, help: 'N drawn by exp(theta x score)' }, { name: 'distinct', kind: 'flag', help: 'with --sample: without replacement' },
      { name: 'theta', kind: 'number', value: 'X', min: -1000000, max: 1000000, help: 'with --sample: 0 makes all equally likely, default 1' }, SEED, { name: 'uniform', kind: 'flag', help: 'forget the scores of the vocabulary' },
      { name: 'whole-text', kind: 'flag', help: 'do not normalize or split the text' }],
    async run(options, rest) {
      const chosen = ['count', 'nbest', 'all', 'sample'].filter((name) => options[name] !== undefined);
      if (chosen.length > 1) throw new UsageError(`--${chosen[0]} and --${chosen[1]} exclude each other`);
      if (options.sample === undefined) for (const name of ['distinct', 'theta', 'seed']) if (options[name] !== undefined) throw new UsageError(`--${name} goes with --sample`);
      const tokenizer = await loadTokenizer(options);
      const lattice = new Lattice(tokenizer, await textOf(rest), { weights: options.uniform ? 'uniform' : 'scores', wholeText: !!options['whole-text'] });
      if (options.count) return line(options.json ? `{"count":${lattice.count},"log_count":${json(lattice.logCount)}}` : String(lattice.count));
      const every = options.all ? lattice.enumerate({ cap: 10000 }) : null;
      if (every && !every.complete) process.exitCode = 1;
      const paths = every ? every.paths : options.sample ? lattice.sample(options.sample, { ...picked(options, 'theta', 'seed'), distinct: !!options.distinct }) : lattice.nBest(options.nbest ?? 10);
      if (options.json) return line(json({ tokenizations: paths }));
      for (const { ids, score } of paths) await line(`${score.toFixed(4).padStart(12)}  ${Array.from(ids, (id) => visible(tokenizer.tokenBytes(id)) || tokenizer.tokenPiece(id)).join('|')}`);
    },
  },
  'tokenizer-cache': {
    summary: 'a tokenizer as one file that loads in milliseconds',
    usage: 'tokenizer-cache [options] FILE --out OUT',
    options: [{ name: 'out', kind: 'text', value: 'OUT', help: 'where the file goes; --tokenizer OUT takes it' }, JSON_OUT, ...DEFINITION],
    notes: 'FILE is what --tokenizer takes: a definition, or byt5, canine. The file belongs to this version of the format: keep the definition.',
    async run(options, rest) {
      if (rest.length !== 1) throw new UsageError('tokenizer-cache needs one FILE');
      if (options.out === undefined) throw new UsageError('tokenizer-cache needs --out OUT');
      const bytes = await (await loadTokenizer({ ...options, tokenizer: rest[0] })).toBinary();
      await writeFile(options.out, bytes);
      await line(options.json ? json({ out: options.out, bytes: bytes.length }) : `${options.out}: ${bytes.length} bytes`);
    },
  },
  train: trainCommand({ line, mustExist, isUrl }),
  measure: measureCommand({ line, json, mustExist, isUrl, loadTokenizer, shared: [TOKENIZER, MODEL, ...DEFINITION, JSON_OUT] }),
  language: languageCommand({ line, json, loadTokenizer, shared: [TOKENIZER, MODEL, ...DEFINITION, JSON_OUT] }),
  markov: markovCommand({ line, json, loadTokenizer, shared: [TOKENIZER, ...DEFINITION, JSON_OUT] }),
  study: studyCommand({ line, json, mustExist, loadTokenizer, jsonOut: JSON_OUT }),
  lab: labCommand({ line, json, mustExist, jsonOut: JSON_OUT }),
  atlas: atlasCommand({ line, json, jsonOut: JSON_OUT }),
  transfer: transferCommand({ line, json, mustExist, modelSources, jsonOut: JSON_OUT }),
  quantize: quantizeCommand({ line, json, threads: ENGINE[0], jsonOut: JSON_OUT, name: 'quantize' }),
  convert: quantizeCommand({ line, json, threads: ENGINE[0], jsonOut: JSON_OUT, name: 'convert' }),
  serve: {
    summary: 'serve the demos on this machine',
    usage: 'serve [--root DIR] [--port N] [--open-path P]',
    options: [{ name: 'root', kind: 'text', value: 'DIR', help: 'folder to serve; default: the package' }, { name: 'port', kind: 'int', value: 'N', min: 0, max: 65535, help: 'default 8080; 0: any that is free' },
      { name: 'open-path', kind: 'text', value: 'P', help: 'path to add to the address that is printed' }, { name: 'host', kind: 'text', value: 'NAME', help: 'address to listen on; default 127.0.0.1, this machine only' }],
    async run(options, rest) {
      if (rest.length) throw new UsageError('serve takes no arguments besides its options');
      const { url } = await serve({ root: options.root ?? fileURLToPath(ROOT), port: options.port ?? 8080, host: options.host });
      await line(url + (options['open-path'] ?? '').replace(/^\/+/, ''));
      await new Promise(() => {}); // until it is interrupted
    },
  },
};

/** @param {string} file */
async function isGguf(file) {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return bytesRead === 4 && buffer.toString('latin1') === 'GGUF';
  } finally {
    await handle.close();
  }
}

/** @param {Model} model */
function hasTokenizer(model) {
  try {
    return !!model.tokenizer;
  } catch {
    return false;
  }
}
/** @param {Model} model @param {number} id */
const shown = (model, id) => (hasTokenizer(model) && id < model.tokenizer.vocabSize ? visible(model.tokenizer.tokenBytes(id)) || model.tokenizer.tokenPiece(id) : '');

function overview() {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length)) + 2;
  return `microtome: exact tokenizers, small language models and byte probabilities\n\nusage: microtome COMMAND [options]\n\n${Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`).join('\n')}\n\nmicrotome COMMAND --help says more. Without --model the bundled model is used.\n`;
}

/** @param {string[]} argv @returns {Promise<void>} */
async function main(argv) {
  const [name, ...args] = argv;
  if (name === undefined) throw new UsageError(`a command is needed: ${Object.keys(COMMANDS).join(', ')}`);
  if (name === '--help' || name === '-h' || name === 'help') return write(overview());
  if (name === '--version') return line(JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')).version);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : null;
  if (!command) throw new UsageError(`unknown command ${name}: known are ${Object.keys(COMMANDS).join(', ')}`);
  if (args.includes('--help') || args.includes('-h')) return write(helpOf(name, { ...command, options: [...command.options, HELP] }));
  const { options, rest } = parseArguments(args, [...command.options, HELP]);
  await command.run(options, rest);
}

process.stdout.on('error', (error) => {
  if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EPIPE') process.exit(0); // the reader has enough
  throw error;
});
try {
  await main(process.argv.slice(2));
} catch (error) {
  const { message, code } = /** @type {any} */ (error);
  if (code === 'EPIPE') process.exit(0);
  process.stderr.write(`microtome: ${String(message).replace(/\s*\n\s*/g, ' ')}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
