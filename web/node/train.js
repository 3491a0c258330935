// `microtome train`: options of the command line -> options of trainTokenizer.
import { Readable } from 'node:stream';
import { readFile, writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { charsmapOf, extendTokenizer, trainTokenizer } from '../index.js';
import { NORMALIZERS, SPLITTERS, TRAIN_KINDS } from '../train/options.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */

/** Name on the command line, option of trainTokenizer, what it takes. @type {[string, string, OptionSpec['kind'] | 'list' | 'off', string, string][]} */
const OPTIONS = [
  ['vocab-size', 'vocabSize', 'int', 'N', 'tokens, special ones included; default 30000 (sentencepiece: 8000)'],
  ['min-frequency', 'minFrequency', 'int', 'N', 'pairs seen less often are not merged (bpe, wordpiece, picky-bpe; pathpiece: in its candidates)'],
  ['special', 'specialTokens', 'list', 'LIST', 'special tokens, separated by commas; they get the first ids'],
  ['unk', 'unkToken', 'text', 'TOKEN', 'the token for characters that nothing covers'],
  ['characters', 'byteLevel', 'off', '', 'bpe, picky-bpe, lib: over characters; default: over bytes'],
  ['alphabet', 'alphabet', 'text', 'CHARS', 'characters that are kept whatever their count'],
  ['limit-alphabet', 'limitAlphabet', 'int', 'N', 'bpe, wordpiece: the most frequent characters kept'],
  ['max-token-length', 'maxTokenLength', 'int', 'N', 'bpe: characters, one more; unigram, sentencepiece: characters, 16; pathpiece: bytes, 16'],
  ['prefix', 'continuingSubwordPrefix', 'text', 'P', 'bpe, wordpiece: what a symbol inside a word carries in front'],
  ['suffix', 'endOfWordSuffix', 'text', 'S', 'bpe with --characters: what is added to the last symbol of a word'],
  ['initial', 'initial', 'text', 'KIND', 'pathpiece: candidates from bpe (default), unigram, substrings'],
  ['initial-size', 'initialSize', 'int', 'N', 'pathpiece: how many candidates; default 262144'],
  ['batch', 'batch', 'number', 'X', 'pathpiece: share of the surplus that a round removes; default 0.2'],
  ['threshold', 'threshold', 'number', 'T', 'picky-bpe: a part goes when more than this share of it is used up; default 0.9'],
  ['seed-size', 'seedSize', 'int', 'N', 'unigram: candidates to begin with; default 1000000'],
  ['shrinking-factor', 'shrinkingFactor', 'number', 'X', 'unigram: share that a pruning keeps; default 0.75'],
  ['sub-iterations', 'subIterations', 'int', 'N', 'unigram: EM steps between prunings; default 2'],
  ['num-threads', 'numThreads', 'int', 'N', 'sentencepiece-unigram: sum as that many of its threads do; default 1'],
  ['steps', 'steps', 'int', 'N', 'lib: articles read'],
  ['article-size', 'articleSize', 'int', 'N', 'lib: lines in one article; default 500'],
  ['seed', 'seed', 'int', 'N', 'lib: of its drawing; default 0'],
  ['coverage', 'characterCoverage', 'number', 'X', 'sentencepiece: share of the characters that get pieces; default 0.9995'],
  ['byte-fallback', 'byteFallback', 'flag', '', 'sentencepiece: byte pieces spell what no piece covers'],
  ['split-digits', 'splitDigits', 'flag', '', 'sentencepiece: each digit is a piece of its own'],
  ['user-defined', 'userDefinedSymbols', 'list', 'LIST', 'sentencepiece: pieces that always stay whole'],
  ['max-sentence-length', 'maxSentenceLength', 'int', 'N', 'sentencepiece: longer lines (bytes) are left out; default 4192'],
  ['normalizer', 'normalizer', 'text', 'NAME', `what happens to texts before they are cut: ${Object.keys(NORMALIZERS).join(', ')}`],
  ['lines', 'lineEnds', 'text', 'keep|drop', 'line ends are part of the text or not; default: keep with the byte-level splitter, else drop'],
];
/** @type {Record<string, string[]>} */
const CHOICES = { initial: ['bpe', 'unigram', 'substrings'], normalizer: Object.keys(NORMALIZERS), lines: ['keep', 'drop'] };

/** @param {{line: (text: string) => Promise<void>, mustExist: (file: string) => string, isUrl: (file: string) => boolean}} host */
export function trainCommand({ line, mustExist, isUrl }) {
  return {
    summary: 'a tokenizer from texts',
    usage: 'train [--kind KIND] [--vocab-size N] [options] [--out tokenizer.json] [FILE...]',
    options: /** @type {OptionSpec[]} */ ([
      { name: 'kind', kind: 'text', value: 'KIND', choices: TRAIN_KINDS, help: `${TRAIN_KINDS.join(', ')}; default bpe` },
      ...OPTIONS.map(([name, , kind, value, help]) => ({ name, kind: kind === 'list' ? 'text' : kind === 'off' ? 'flag' : kind, value, help, ...(kind === 'int' && { min: 0 }), ...(CHOICES[name] && { choices: CHOICES[name] }) })),
      { name: 'splitter', kind: 'text', value: 'NAME', choices: Object.keys(SPLITTERS), help: `how texts are cut into words: ${Object.keys(SPLITTERS).join(', ')}` },
      { name: 'pattern', kind: 'text', value: 'REGEX', help: 'a splitting expression, instead of --splitter' },
      { name: 'extend', kind: 'text', value: 'FILE', help: 'grow this tokenizer.json: new merges behind its own (BPE), or task-adaptive merging (Unigram)' },
      { name: 'new-tokens', kind: 'int', value: 'N', min: 1, help: '--extend, BPE: tokens to add at most; default 1000' },
      { name: 'low', kind: 'number', value: 'S', max: 0, help: '--extend, Unigram: score of base pieces that the texts lack; default -20' },
      { name: 'rules', kind: 'text', value: 'FILE', help: 'sentencepiece: normalize by the compiled rules of this .model; default: not at all' },
      { name: 'progress', kind: 'flag', help: 'show on standard error how far it is' },
      { name: 'out', kind: 'text', value: 'FILE', help: 'where the definition goes; default: standard output. A name in .model: SentencePiece\'s form' }]),
    notes: 'Each line of the files (gzip is unpacked), or of standard input, is one text.',
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, rest) {
      if (options.pattern !== undefined && options.splitter !== undefined) throw new UsageError('--pattern and --splitter exclude each other');
      /** @type {Record<string, any>} */ const given = { kind: options.kind, preTokenizer: options.pattern === undefined ? options.splitter : { regex: options.pattern } };
      for (const [name, to, kind] of OPTIONS) if (options[name] !== undefined) given[to] = kind === 'list' ? options[name].split(',') : kind === 'off' ? false : to === 'alphabet' ? [...options[name]] : options[name];
      if (options.rules !== undefined) given.charsmap = charsmapOf(await readFile(mustExist(options.rules)));
      const model = options.out?.endsWith('.model') ?? false;
      if (model && !given.kind?.startsWith('sentencepiece-')) throw new UsageError('--out: a .model is for --kind sentencepiece-bpe and sentencepiece-unigram');
      if (options.progress) {
        let last = '';
        given.onProgress = (/** @type {import('../train.js').TrainProgress} */ { phase, done, total }) => {
          const now = total ? `${phase} ${Math.floor((100 * done) / total)}%` : `${phase} ${done}`;
          if (now !== last) process.stderr.write(`\r${now.padEnd(last.length)}`);
          last = now;
        };
      }
      const texts = rest.length ? rest.map((file) => (isUrl(file) ? new URL(file) : pathToFileURL(mustExist(file)))) : /** @type {any} */ (Readable.toWeb(process.stdin));
      if (options.extend === undefined) for (const name of ['new-tokens', 'low']) if (options[name] !== undefined) throw new UsageError(`--${name} goes with --extend`);
      if (options.extend !== undefined) {
        const may = ['extend', 'new-tokens', 'low', 'min-frequency', 'vocab-size', 'max-token-length', 'lines', 'progress', 'out'];
        for (const name of Object.keys(options)) if (!may.includes(name)) throw new UsageError(`--extend and --${name} exclude each other`);
        const { vocabSize, minFrequency, maxTokenLength, lineEnds, onProgress } = given;
        const how = { vocabSize, minFrequency, maxTokenLength, lineEnds, onProgress, newTokens: options['new-tokens'], low: options.low };
        const { tokenizerJson, added } = await extendTokenizer(await readFile(mustExist(options.extend)), texts, Object.fromEntries(Object.entries(how).filter(([, value]) => value !== undefined)));
        if (options.progress) process.stderr.write('\n');
        if (options.out === undefined) return line(tokenizerJson);
        await writeFile(options.out, `${tokenizerJson}\n`);
        return line(`${options.out}: ${added.length} new tokens`);
      }
      const { tokenizerJson, sentencePieceModel, tokens, seen } = await trainTokenizer(texts, Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));
      if (options.progress) process.stderr.write('\n');
      if (!model && tokenizerJson === null) throw new Error('tokenizer.json cannot say this: give --out NAME.model');
      if (options.out === undefined) return line(/** @type {string} */ (tokenizerJson));
      await writeFile(options.out, model ? /** @type {Uint8Array} */ (sentencePieceModel) : `${tokenizerJson}\n`);
      const skipped = seen.skipped ? `; ${seen.skipped} lines were too long` : '';
      await line(`${options.out}: ${tokens.length} tokens from ${seen.texts} lines, ${seen.words} words, ${seen.distinctWords} of them different${skipped}`);
    },
  };
}
