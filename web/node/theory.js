// `microtome markov` and `microtome language`: what can be known exactly about tokenization, without any trained model.
import { MarkovSource, TokenLanguage } from '../index.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */
/** @typedef {import('../tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {{line: (text: string) => Promise<void>, json: (value: any) => string, loadTokenizer: (options: Record<string, any>) => Promise<Tokenizer>, shared: OptionSpec[]}} Host */

/** "1,2;3,4" -> [[1, 2], [3, 4]]. @param {string} text */
function rowsOf(text) {
  return text.split(';').map((row) => row.split(',').map((cell) => {
    if (!cell.trim() || Number.isNaN(Number(cell))) throw new UsageError(`--next: "${cell}" is not a number`);
    return Number(cell);
  }));
}
/** @param {string} text */
function sizesOf(text) {
  const sizes = text.split(',').map(Number);
  if (sizes.some((n) => !Number.isInteger(n) || n < 2)) throw new UsageError(`--dictionaries: "${text}" is not a list of whole numbers of at least 2`);
  return sizes;
}

/** @param {Host} host */
export function markovCommand({ line, json, loadTokenizer, shared }) {
  return {
    summary: 'tokenization bias on texts whose distribution is known',
    usage: 'markov --next ROWS [--letters AB] [--order K] [--tokens LIST | --tokenizer FILE] [--length N] [TEXT...]',
    options: /** @type {OptionSpec[]} */ ([...shared,
      { name: 'letters', kind: 'text', value: 'AB', help: 'the alphabet; default AB' }, { name: 'order', kind: 'int', value: 'K', min: 0, max: 10, help: 'letters that the next one depends on; default 1' },
      { name: 'next', kind: 'text', value: 'ROWS', help: 'for each context (AAA, AAB, ...) the probabilities of the letters: ".6,.4;.3,.7"' },
      { name: 'tokens', kind: 'text', value: 'LIST', help: 'a vocabulary, matched longest first: "A,B,AA"' }, { name: 'length', kind: 'int', value: 'N', min: 1, max: 62, help: 'letters of the texts that are tabulated; default 14' },
      { name: 'blocks', kind: 'text', value: 'LIST', help: 'lengths of fixed blocks: the best loss of a model of their frequencies' },
      { name: 'dictionaries', kind: 'text', value: 'LIST', help: 'sizes of byte-pair dictionaries: the loss of a model of their tokens\' frequencies on a fresh sample' },
      { name: 'sample', kind: 'int', value: 'N', min: 1, max: 2 ** 24, help: 'letters of the samples of --dictionaries; default 200000' }, { name: 'seed', kind: 'int', value: 'N', min: 0, help: 'of the samples; default 0' }]),
    notes: 'For each TEXT: the next letter by the source, by a model of its tokenized texts asked naively, and by the same model with the token boundaries summed out.',
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, rest) {
      if (options.next === undefined) throw new UsageError('markov needs --next ROWS');
      if (options.tokens !== undefined && options.tokenizer !== undefined) throw new UsageError('--tokens and --tokenizer exclude each other');
      const cut = options.tokens !== undefined || options.tokenizer !== undefined;
      if (rest.length && !cut) throw new UsageError('a TEXT needs --tokens or --tokenizer');
      const source = await MarkovSource.create({ letters: options.letters ?? 'AB', order: options.order ?? 1, next: rowsOf(options.next) });
      /** @type {Record<string, any>} */ const result = { entropy_rate: source.entropyRate, letter_entropy: source.entropy(1), stationary: source.stationary };
      if (options.blocks !== undefined) result.blocks = sizesOf(options.blocks).map((length) => ({ length, loss: source.blockLoss(length) }));
      if (options.dictionaries !== undefined) result.dictionaries = await source.dictionaryLosses({ sizes: sizesOf(options.dictionaries), letters: options.sample, seed: options.seed });
      if (cut) {
        const model = await source.tokenModel({ length: options.length ?? 14, ...(options.tokens !== undefined ? { tokens: options.tokens.split(',') } : { tokenizer: await loadTokenizer(options) }) });
        result.texts = rest.map((text) => {
          const { truth, naive, corrected, end, textLogProb, modelCalls } = model.predict(text);
          return { text, tokens: Array.from(model.tokenizer.encode(text, { offsets: false }).ids, (id) => model.tokenizer.tokenPiece(id)), truth, naive, corrected, end, text_logprob: textLogProb, model_calls: modelCalls };
        });
      }
      if (options.json) return line(json(result));
      await line(`entropy: ${source.entropy(1).toFixed(6)} nats a letter alone, ${source.entropyRate.toFixed(6)} with its past`);
      for (const { length, loss } of result.blocks ?? []) await line(`blocks of ${length}: ${loss.toFixed(6)}`);
      for (const { size, loss, tokens } of result.dictionaries ?? []) await line(`dictionary of ${size}: ${loss.toFixed(6)} (${tokens} tokens)`);
      const row = (/** @type {Record<string, number>} */ p) => Object.entries(p).map(([letter, x]) => `${letter} ${x.toFixed(6)}`).join('  ');
      for (const { text, tokens, truth, naive, corrected, model_calls: calls } of result.texts ?? [])
        await line(`${text} = ${tokens.join('|')}\n  source     ${row(truth)}\n  naive      ${row(naive)}\n  corrected  ${row(corrected)}  (${calls} model calls)`);
    },
  };
}

/** @param {Host} host */
export function languageCommand({ line, json, loadTokenizer, shared }) {
  return {
    summary: 'the token sequences that spell a regular language',
    usage: 'language (--tokenizer FILE | --model FILE) --match REGEX [--canonical] [--count N] [--automaton]',
    options: /** @type {OptionSpec[]} */ ([...shared,
      { name: 'match', kind: 'text', value: 'REGEX', help: 'the texts: those that the expression matches as a whole' }, { name: 'canonical', kind: 'flag', help: 'only sequences that byte-pair merging itself gives' },
      { name: 'count', kind: 'int', value: 'N', min: 0, max: 4096, help: 'how many sequences spell 0, 1, ... N bytes' }, { name: 'automaton', kind: 'flag', help: 'the way back: the smallest automaton over bytes of what they spell' },
      { name: 'limit', kind: 'int', value: 'N', min: 1, max: 2 ** 22, help: 'states of that automaton on the way; default 10000' }]),
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, rest) {
      if (rest.length) throw new UsageError('language takes no arguments besides its options');
      if (options.match === undefined) throw new UsageError('language needs --match REGEX');
      const language = new TokenLanguage(await loadTokenizer(options), { pattern: options.match, canonical: !!options.canonical });
      const first = language.allowed(0).reduce((n, x) => n + x, 0);
      const count = options.count === undefined ? undefined : language.count(options.count).map(String);
      const found = options.automaton ? language.bytes({ limit: options.limit }) : null;
      const automaton = found && { states: found.states, accepts: [...found.accepts].flatMap((yes, state) => (yes ? [state] : [])),
        arrows: Array.from({ length: found.states }, (_, state) => [...found.next.subarray(256 * state, 256 * state + 256)].flatMap((to, byte) => (to < 0 ? [] : [[state, byte, to]]))).flat() };
      if (options.json) return line(json({ first_tokens: first, empty: language.accepts(0), ...(count && { count }), ...(automaton && { automaton }) }));
      await line(`${first} tokens can come first${language.accepts(0) ? '; the empty sequence is one of them' : ''}`);
      if (count) for (const [n, ways] of count.entries()) await line(`${n} bytes: ${ways}`);
      if (!automaton) return;
      await line(`bytes: ${automaton.states} states, a text may end in ${automaton.accepts.join(', ') || 'none'}`);
      const shown = (/** @type {number} */ byte) => (byte > 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`);
      for (const [from, byte, to] of automaton.arrows) await line(`  ${from} ${shown(byte)} ${to}`);
    },
  };
}
