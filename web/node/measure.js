// `microtome measure`: what a tokenizer does to texts, in numbers.
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { Measure, alignTokenizations, parity, unreachableTokens, vocabularyOverlap } from '../index.js';
import { textsOf } from '../train/texts.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../tokenizer.js').Tokenizer} Tokenizer */

/** wordTokens -> word_tokens, as JSON of this program is written. @param {Record<string, any>} values */
const snake = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`), value]));

/**
 * @param {{line: (text: string) => Promise<void>, json: (value: any) => string, mustExist: (file: string) => string, isUrl: (file: string) => boolean,
 *   loadTokenizer: (options: Record<string, any>) => Promise<Tokenizer>, shared: OptionSpec[]}} host
 */
export function measureCommand({ line, json, mustExist, isUrl, loadTokenizer, shared }) {
  const locate = (/** @type {string} */ file) => (isUrl(file) ? new URL(file) : pathToFileURL(mustExist(file)));
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  /** @param {any} source */
  async function linesOf(source) {
    const lines = [];
    for await (const text of textsOf(source, false, undefined)) lines.push(typeof text === 'string' ? text : new Uint8Array(text));
    return lines;
  }
  /** @param {Tokenizer} tokenizer @param {any} source @param {Record<string, any>} options */
  async function measured(tokenizer, source, options) {
    const measure = new Measure(tokenizer);
    try {
      for await (const text of textsOf(source, options.lines === 'keep', undefined)) measure.add(text);
      const piece = (/** @type {number} */ id) => decoder.decode(tokenizer.tokenBytes(id));
      const counts = measure.counts();
      return {
        ...snake(measure.read()), alpha: options.alpha ?? 2.5, efficiency: measure.efficiency(options.alpha ?? 2.5),
        ...(options.lengths && { lengths: measure.lengths(options.lengths) }),
        ...(options.top && { top: Array.from(measure.ranking().subarray(0, options.top), (id) => ({ id, count: counts[id], text: piece(id) })) }),
        ...(options.rare !== undefined && { rare: measure.rare(options.rare).map(({ id, count }) => ({ id, count, text: piece(id) })) }),
      };
    } finally {
      measure.dispose();
    }
  }
  /** Sums over lines. @param {Tokenizer} a @param {Tokenizer} b @param {any} source */
  async function alignment(a, b, source) {
    let lines = 0, groups = 0, same = 0, equal = 0, shared = 0, ofA = 0, ofB = 0;
    for await (const text of textsOf(source, false, undefined)) {
      const found = alignTokenizations(a, b, text);
      lines++;
      groups += found.groups.length;
      same += found.same;
      equal += Number(found.same === found.groups.length);
      const inner = (/** @type {number} */ n) => Math.max(0, n - 1);
      ofA += inner(found.a.length);
      ofB += inner(found.b.length);
      shared += inner(found.groups.length);
    }
    const ratio = (/** @type {number} */ n, /** @type {number} */ m) => (m ? n / m : 1);
    return { lines, groups, one_to_one: same, equal_lines: equal, boundaries_shared_of_first: ratio(shared, ofA), boundaries_shared_of_second: ratio(shared, ofB) };
  }

  return {
    summary: 'what a tokenizer does to texts, in numbers',
    usage: 'measure (--tokenizer FILE | --model FILE) [options] [FILE...]',
    options: /** @type {OptionSpec[]} */ ([...shared,
      { name: 'alpha', kind: 'number', value: 'X', min: 0, help: 'order of the Renyi efficiency; default 2.5' }, { name: 'lines', kind: 'text', value: 'keep|drop', choices: ['keep', 'drop'], help: 'line ends are part of the texts or not; default drop' },
      { name: 'lengths', kind: 'int', value: 'N', min: 1, max: 65536, help: 'tokens by their bytes, 0 to N and more' }, { name: 'top', kind: 'int', value: 'N', min: 0, help: 'the N most frequent tokens' },
      { name: 'rare', kind: 'int', value: 'N', min: 0, help: 'ordinary tokens that occur N times or less' }, { name: 'unreachable', kind: 'flag', help: 'tokens that the segmenter never gives' },
      { name: 'reference', kind: 'text', value: 'FILE', help: 'line i of each FILE is a translation of its line i: parity and premium against it' },
      { name: 'against', kind: 'text', value: 'FILE', help: 'a second tokenizer: vocabulary overlap, alignment on the texts' }]),
    notes: 'Each line of the files (gzip is unpacked), or of standard input, is one text.',
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, rest) {
      const tokenizer = await loadTokenizer(options);
      const other = options.against === undefined ? null : await loadTokenizer({ tokenizer: options.against });
      if (options.reference !== undefined && !rest.length) throw new UsageError('--reference needs FILEs that are its translations');
      const alone = !rest.length && (options.unreachable || other) && process.stdin.isTTY; // nothing to read: the vocabulary alone
      /** @type {Record<string, any>} */ const result = { model: tokenizer.model, vocab_size: tokenizer.vocabSize };
      if (options.unreachable) result.unreachable = Array.from(unreachableTokens(tokenizer), (id) => ({ id, text: decoder.decode(tokenizer.tokenBytes(id)) }));
      if (other) result.overlap = vocabularyOverlap(tokenizer, other);
      const reference = options.reference === undefined ? null : await linesOf(locate(options.reference));
      /** @type {Record<string, any>[]} */ const texts = [];
      const sources = rest.length ? rest.map((file) => /** @type {[string, any]} */ ([file, locate(file)])) : alone ? [] : [/** @type {[string, any]} */ (['-', await linesOf(Readable.toWeb(process.stdin))])];
      for (const [name, source] of sources)
        texts.push({ file: name, ...(await measured(tokenizer, source, options)), ...(reference && snake(parity(tokenizer, await linesOf(source), reference))), ...(other && { against: await alignment(tokenizer, other, source) }) });
      result.texts = texts;
      if (options.json) return line(json(result));
      await line(`${tokenizer.model}, ${tokenizer.vocabSize} ids`);
      const listed = (/** @type {string} */ what, /** @type {any[]} */ list) => line(`${what}: ${list.length}${list.length ? `: ${list.slice(0, 20).map(({ id, text }) => `${id} ${JSON.stringify(text)}`).join(', ')}${list.length > 20 ? ', ...' : ''}` : ''}`);
      if (result.unreachable) await listed('unreachable tokens', result.unreachable);
      if (result.overlap) await line(`vocabulary overlap: ${result.overlap.both} of ${result.overlap.a} and ${result.overlap.b}, Jaccard ${result.overlap.jaccard.toFixed(4)}`);
      for (const { file, lengths, top, rare, against, ...numbers } of texts) {
        await line(`${file}:`);
        for (const [name, value] of Object.entries(numbers)) await line(`  ${name.replaceAll('_', ' ').padEnd(20)} ${Number.isInteger(value) ? value : value.toFixed(6)}`);
        if (lengths) await line(`  tokens by bytes: ${lengths.map((/** @type {number} */ n, /** @type {number} */ k) => `${k}${k === options.lengths ? '+' : ''}: ${n}`).join(', ')}`);
        if (top) await listed('  most frequent', top);
        if (rare) await listed(`  at most ${options.rare} times`, rare);
        if (against) for (const [name, value] of Object.entries(against)) await line(`  ${name.replaceAll('_', ' ').padEnd(28)} ${Number.isInteger(value) ? value : value.toFixed(6)}`);
      }
    },
  };
}
