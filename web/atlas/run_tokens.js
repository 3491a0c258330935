// Systems that are tokenizers: trained on bundled text, and measured on text that they were not trained on.
import { dynamicMerges } from '../dynamic.js';
import { above, atMost, below } from '../lab/measures.js';
import { Measure } from '../measure.js';
import { codeLevels, normalizedLength, vocabularySweep } from '../study.js';
import { trainTokenizer } from '../train.js';
import { extendTokenizer } from '../train/extend.js';
import { code, sentences } from './texts.js';

/** @typedef {import('./run.js').Runner} Runner */
/** @typedef {import('../tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {import('../segmenters.js').SegmenterKind} SegmenterKind */

/** Every fourth text for measuring, the others for training. @param {string[]} texts */
const split = (texts) => ({ train: texts.filter((_, i) => i % 4), held: texts.filter((_, i) => i % 4 === 0) });

/** @param {Tokenizer} tokenizer @param {string} text @param {SegmenterKind} [segmenter] */
const encode = (tokenizer, text, segmenter = 'default') => tokenizer.encode(text, { offsets: false, segmenter }).ids;

/** How many texts do not come back. @param {Tokenizer} tokenizer @param {string[]} texts @param {SegmenterKind} [segmenter] */
const lost = (tokenizer, texts, segmenter) => texts.filter((text) => tokenizer.decode(encode(tokenizer, text, segmenter)) !== text).length;

/** @param {Tokenizer} tokenizer @param {string[]} texts */
function measured(tokenizer, texts) {
  const measure = new Measure(tokenizer);
  for (const text of texts) measure.add(text);
  const read = measure.read(), rare = measure.rare(2).filter(({ id }) => tokenizer.tokenBytes(id).length > 1).length;
  measure.dispose();
  return { ...read, rare, types: Math.round(read.used * tokenizer.vocabSize) };
}

/** By id of the system. @type {Record<number, Runner>} */
export const RUNS = {
  31: {
    published: 'Merging within the batch, at word boundaries, shortens sequences by more than 20% on average over 14 languages, with less than 2% lost on tasks.',
    scope: 'Sentences of the guides in batches, under a tokenizer learnt from other sentences. Embeddings for the new units and tasks are not run.',
    async run({ full, signal, onProgress }) {
      const { train, held } = split(await sentences(signal)), { tokenizer } = await trainTokenizer(train, { vocabSize: 1000, signal }), size = full ? 64 : 32;
      let torn = 0, batches = 0, before = 0, after = 0;
      for (let at = 0; at + size <= held.length && (full || at < 4 * size); at += size) {
        const batch = held.slice(at, at + size), plain = batch.map((text) => encode(tokenizer, text)), { sequences, units } = dynamicMerges(tokenizer, batch, { merges: 400 });
        const total = (/** @type {Int32Array[]} */ lists) => lists.reduce((n, list) => n + list.length, 0);
        batches++;
        before += total(plain);
        after += total(sequences);
        torn += sequences.filter((ids, i) => new TextDecoder().decode(Uint8Array.from([...ids].flatMap((id) => [...(id < tokenizer.vocabSize ? tokenizer.tokenBytes(id) : units[id - tokenizer.vocabSize].bytes)]))) !== batch[i]).length;
        onProgress(at + size, held.length);
      }
      tokenizer.dispose();
      return { headline: { label: 'share of the tokens that batches save', value: 1 - after / before }, checks: [above('batches', batches, 1), above('share saved, on average', 1 - after / before, 0.2), atMost('texts that do not come back', torn, 0)] };
    },
  },
  51: {
    published: 'Segmenting into the fewest tokens does not make better models: over 64 models no relation between the number of tokens and accuracy was found.',
    scope: 'Numbers of tokens, on one vocabulary and between vocabularies. Of the models, only the bundled one is asked: what fewer tokens of its own vocabulary do to its bits.',
    async run({ model, full, signal, onProgress }) {
      const { train, held } = split(await sentences(signal)), vocabSize = full ? 4000 : 1500;
      const [bpe, path] = await Promise.all(['bpe', 'pathpiece'].map((kind) => trainTokenizer(train, { kind: /** @type {'bpe' | 'pathpiece'} */ (kind), vocabSize, signal, ...(kind === 'pathpiece' && { initialSize: 4 * vocabSize }) })));
      onProgress(1, 2);
      let longer = 0, plain = 0, fewest = 0;
      for (const text of held) {
        const a = encode(bpe.tokenizer, text).length, b = encode(bpe.tokenizer, text, 'fewest-tokens').length;
        longer += Number(b > a);
        plain += a;
        fewest += b;
      }
      const tiny = await model(), start = /** @type {number} */ (tiny.tokenizer.bos ?? tiny.tokenizer.eos), bits = { default: 0, 'fewest-tokens': 0 };
      for (const text of held.slice(0, full ? 200 : 30))
        for (const kind of /** @type {const} */ (['default', 'fewest-tokens'])) bits[kind] -= (await tiny.logProbs([start, ...encode(tiny.tokenizer, text.slice(0, 400), kind)], { signal })).reduce((a, b) => a + b, 0);
      onProgress(2, 2);
      const torn = lost(bpe.tokenizer, held, 'fewest-tokens') + lost(path.tokenizer, held);
      for (const { tokenizer } of [bpe, path]) tokenizer.dispose();
      return {
        headline: { label: 'tokens of the fewest-tokens segmentation, over byte-pair encoding’s on its own vocabulary', value: fewest / plain },
        checks: [atMost('sentences that became longer', longer, 0), below('tokens over byte-pair encoding’s', fewest / plain, 1), atMost('texts that do not come back', torn, 0), above('nats of the bundled model on the shorter sequences, over those on its own', bits['fewest-tokens'] / bits.default, 1)],
      };
    },
  },
  82: {
    published: 'Translation suffers only from extreme imbalance in the tokenizer’s data; unknown tokens and closeness to the character level warn of it.',
    scope: 'The guides’ sentences and the same in a cipher of Greek letters as the second language, so that imbalance is the only difference. No translator is trained.',
    async run({ full, signal, onProgress }) {
      let points = 0;
      const texts = (await sentences(signal)).slice(0, full ? undefined : 700), letters = 'αβγδεζηθικλμνξοπρστυφχψωάέήί';
      const cipher = (/** @type {string} */ text) => text.replace(/[a-z]/gi, (c) => (c < 'a' ? letters[c.charCodeAt(0) - 65].toUpperCase() : letters[c.charCodeAt(0) - 97]));
      const ratios = [1, 4, 16, 64], found = await vocabularySweep([{ language: 'en', texts }, { language: 'el', texts: texts.map(cipher) }], { sizes: [1500], mixes: ratios.map((en) => ({ en, el: 1 })), onPoint: () => onProgress(++points, ratios.length), signal });
      const close = found.map(({ languages }) => languages.el.closeness);
      return {
        headline: { label: 'closeness of the rarer language to the character level at 64:1, over 1:1', value: close[3] / close[0] },
        checks: [above('least rise in closeness from one ratio to the next', Math.min(...close.slice(1).map((x, i) => x - close[i])), 0), below('rise at 4:1', close[1] / close[0], 1.35), above('rise at 64:1', close[3] / close[0], 1.5)],
      };
    },
  },
  86: {
    published: 'Tokenizers of code compress code far better than general ones at equal size; gains level off with the size of the vocabulary.',
    scope: 'JavaScript sources of this package against its guides’ prose. Models are not fine-tuned.',
    async run({ full, signal, onProgress }) {
      const prose = split(await sentences(signal)), source = split(await code(signal)), sizes = full ? [512, 1024, 2048, 4096, 8192] : [512, 1024, 2048], lengths = /** @type {number[]} */ ([]), against = [], back = [];
      for (const [i, vocabSize] of sizes.entries()) {
        const [general, special] = await Promise.all([prose, source].map(({ train }) => trainTokenizer(train, { vocabSize, signal })));
        lengths.push(measured(special.tokenizer, source.held).tokens);
        against.push(normalizedLength(special.tokenizer, general.tokenizer, source.held));
        back.push(normalizedLength(special.tokenizer, general.tokenizer, prose.held));
        for (const { tokenizer } of [general, special]) tokenizer.dispose();
        onProgress(i + 1, sizes.length);
      }
      const gains = lengths.slice(1).map((x, i) => 1 - x / lengths[i]);
      return {
        headline: { label: `length of code by the tokenizer of code, over the one of prose, at ${sizes[sizes.length - 1]} tokens`, value: against[against.length - 1] },
        checks: [below('length of code, at worst over the sizes', Math.max(...against), 0.9), above('length of prose, at best: nothing is free', Math.min(...back), 1), above('fall of the gain from one doubling of the vocabulary to the next', Math.min(...gains.slice(1).map((x, i) => gains[i] - x)), 0)],
      };
    },
  },
  118: {
    published: 'A vocabulary for the task, merged with the base model’s, takes up to 60% fewer tokens for the task’s texts and improves what is generated.',
    scope: 'A base learnt from the guides’ prose, the package’s sources as the task; Unigram, and byte-pair encoding for the check that the base’s texts do not become longer (under Unigram they do). Sampled segmentations and generation are not run.',
    async run({ full, signal, onProgress }) {
      const prose = split(await sentences(signal)), task = split(await code(signal)), vocabSize = full ? 4000 : 1500;
      const count = (/** @type {Tokenizer} */ tokenizer, /** @type {string[]} */ texts) => texts.reduce((n, text) => n + tokenizer.count(text), 0);
      const extended = async (/** @type {'unigram' | 'bpe'} */ kind) => {
        const base = await trainTokenizer(prose.train, { kind, vocabSize, signal }), merged = await extendTokenizer(/** @type {string} */ (base.tokenizerJson), task.train, { ...(kind === 'bpe' ? { newTokens: 1000 } : { vocabSize }), signal });
        const onTask = count(merged.tokenizer, task.held) / count(base.tokenizer, task.held), onBase = count(merged.tokenizer, prose.held) / count(base.tokenizer, prose.held);
        for (const { tokenizer } of [base, merged]) tokenizer.dispose();
        return { onTask, onBase, added: merged.added.length };
      };
      const unigram = await extended('unigram');
      onProgress(1, 2);
      const bpe = await extended('bpe');
      onProgress(2, 2);
      return {
        headline: { label: 'tokens of the task’s texts, over those of the base (Unigram)', value: unigram.onTask },
        checks: [above('tokens added', Math.min(unigram.added, bpe.added), 0), below('task’s texts, Unigram', unigram.onTask, 0.8), below('task’s texts, byte-pair encoding', bpe.onTask, 0.8), atMost('base’s texts, byte-pair encoding', bpe.onBase, 1)],
      };
    },
  },
  140: {
    published: 'Letting tokens reach across punctuation makes code about 17% shorter without loss of quality; going further shortens more and costs a little.',
    scope: 'JavaScript sources of this package, five levels of splitting. No model is trained on them.',
    async run({ full, signal, onProgress }) {
      const { train, held } = split(await code(signal));
      let done = 0;
      const rows = await codeLevels(train, { vocabSize: full ? 4000 : 1500, heldOut: held, onLevel: () => onProgress(done++, 5), signal }), tokens = rows.map((row) => row.tokens);
      return {
        headline: { label: 'length at the level of expressions, over that of words', value: tokens[2] / tokens[0] },
        checks: [below('punctuation merged, over words', tokens[1] / tokens[0], 1), below('best level, over words', Math.min(...tokens) / tokens[0], 0.83), below('expressions on other code, over words', /** @type {number} */ (rows[0].heldOut) / /** @type {number} */ (rows[2].heldOut), 1)],
      };
    },
  },
  181: {
    published: 'Tokens that exist only as parts of others are thrown out while the vocabulary is made; compression stays as good, fewer tokens are under-trained, words stay whole more often.',
    scope: 'Sentences of the guides, byte-level, threshold 0.9. No translator is trained.',
    async run({ full, signal, onProgress }) {
      const texts = await sentences(signal), { train, held } = split(texts), vocabSize = full ? 4000 : 1500;
      const bpe = await trainTokenizer(train, { vocabSize, signal });
      onProgress(1, 2);
      const picky = await trainTokenizer(train, { kind: 'picky-bpe', vocabSize, threshold: 0.9, signal });
      onProgress(2, 2);
      const [a, b] = [bpe, picky].map(({ tokenizer }) => measured(tokenizer, train)), [c, d] = [bpe, picky].map(({ tokenizer }) => measured(tokenizer, held)), torn = lost(picky.tokenizer, texts), sizes = [bpe, picky].map(({ tokenizer }) => tokenizer.vocabSize);
      for (const { tokenizer } of [bpe, picky]) tokenizer.dispose();
      return {
        headline: { label: 'tokens that hardly occur in the training text, over byte-pair encoding’s', value: b.rare / a.rare },
        checks: [below('rare tokens, over byte-pair encoding’s', b.rare / a.rare, 1), below('length of the training text, over byte-pair encoding’s', b.tokens / a.tokens, 1.005), below('length of other text, over byte-pair encoding’s', d.tokens / c.tokens, 1.02), atMost('texts that do not come back', torn, 0), atMost('tokens more than byte-pair encoding has', sizes[1] - sizes[0], 0)],
      };
    },
  },
  209: {
    published: 'Taking the longest tokens first makes long tokens more frequent and evens out the frequencies of long and short ones; models learn better.',
    scope: 'One byte-pair vocabulary from the guides’ sentences, its own order of merging against longest first. No model is trained.',
    async run({ full, signal, onProgress }) {
      const texts = await sentences(signal), { train } = split(texts), { tokenizer } = await trainTokenizer(train, { vocabSize: full ? 4000 : 1500, signal }), long = 6;
      const shape = (/** @type {SegmenterKind} */ kind) => {
        const lengths = texts.flatMap((text) => Array.from(encode(tokenizer, text, kind), (id) => tokenizer.tokenBytes(id).length)), share = (/** @type {(n: number) => boolean} */ which) => lengths.filter(which).length / lengths.length;
        return { tokens: lengths.length, long: share((n) => n >= long), gap: share((n) => n < long) - share((n) => n >= long) };
      };
      const own = shape('default');
      onProgress(1, 2);
      const first = shape('longest-token-first'), torn = lost(tokenizer, texts, 'longest-token-first');
      onProgress(2, 2);
      tokenizer.dispose();
      return {
        headline: { label: `share of tokens of ${long} bytes and more, over that of the usual order`, value: first.long / own.long },
        checks: [above('share of long tokens, over the usual', first.long / own.long, 1), below('gap between the shares of short and long ones, over the usual', first.gap / own.gap, 1), below('length of the text, over the usual', first.tokens / own.tokens, 1.02), atMost('texts that do not come back', torn, 0)],
      };
    },
  },
  216: {
    published: 'A lexicon that memorizes and forgets holds subwords, words and phrases, and needs fewer tokens and fewer types than subwords or words do.',
    scope: 'Sentences of the guides, against byte-pair encoding with a quarter more units, and against words.',
    async run({ full, signal, onProgress }) {
      const texts = await sentences(signal), vocabSize = full ? 4000 : 2000;
      const lib = await trainTokenizer(texts, { kind: 'lib', vocabSize, articleSize: 100, steps: full ? 2000 : 400, seed: 1, signal });
      onProgress(1, 2);
      const bpe = await trainTokenizer(texts, { vocabSize: Math.round(1.25 * lib.tokenizer.vocabSize), signal });
      onProgress(2, 2);
      const a = measured(lib.tokenizer, texts), b = measured(bpe.tokenizer, texts), torn = lost(lib.tokenizer, texts), words = new Set(texts.flatMap((text) => text.split(/\s+/))).size;
      const phrases = [...lib.tokenizer.tokens()].filter(({ bytes }) => /\S\s+\S/.test(new TextDecoder().decode(bytes))).length;
      for (const { tokenizer } of [lib, bpe]) tokenizer.dispose();
      return {
        headline: { label: 'tokens, over those of byte-pair encoding with a larger vocabulary', value: a.tokens / b.tokens },
        checks: [below('tokens, over byte-pair encoding’s', a.tokens / b.tokens, 1), below('types, over byte-pair encoding’s', a.types / b.types, 1), below('types, over those of words', a.types / words, 1), above('units of several words', phrases, 0), atMost('texts that do not come back', torn, 0)],
      };
    },
  },
};
