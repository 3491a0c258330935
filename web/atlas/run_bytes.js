// Systems that ask the bundled model, or a source whose distribution is known. Each gives what it measured beside what the claim demands.
import { ByteModel } from '../bytes.js';
import { coverEncodings } from '../heal.js';
import { above, atMost, below } from '../lab/measures.js';
import { Lattice } from '../lattice.js';
import { TokenLanguage } from '../language.js';
import { MarkovSource } from '../markov.js';
import { Model } from '../model.js';
import { commaProbe, dropoutProbe, healingTable, typoProbe } from '../probes.js';
import { Tokenizer } from '../tokenizer.js';
import { trainTokenizer } from '../train.js';
import { TRANSFER_METHODS, transferVocabulary } from '../transfer.js';
import { TINY } from '../models.js';
import { STORY, sentences } from './texts.js';

/** @typedef {import('./run.js').Runner} Runner */
/** @typedef {import('./run.js').Means} Means */

/** The cuts of prompts inside words, for the three systems that mend them. @param {Means} means */
async function healing({ model, full, signal, onProgress }) {
  const { cuts, rows } = await healingTable(await model(), STORY.join(' '), { where: 'inside', cuts: full ? 200 : 40, context: 120, tokens: 2, epsilon: 1e-4, seed: 1, signal, onProgress });
  return { cuts, row: (/** @type {string} */ name) => /** @type {import('../probes.js').HealingRow} */ (rows.find(({ method }) => method === name)) };
}

/** @param {number[]} list @returns {number} NaN for none */
const mean = (list) => list.reduce((a, b) => a + b, 0) / list.length;

/** All strings of n letters. @param {string} letters @param {number} n @returns {string[]} */
const words = (letters, n) => (n ? words(letters, n - 1).flatMap((w) => Array.from(letters, (a) => w + a)) : ['']);

/** By id of the system. @type {Record<number, Runner>} */
export const RUNS = {
  7: {
    published: 'Across tasks, larger models still lose accuracy under typing errors and length variations; tuning with BPE-dropout makes them more robust.',
    scope: 'The bundled model, sentences with typing errors, and tokenizations by BPE-dropout. Tuning with BPE-dropout is not run.',
    async run({ model, full, signal, onProgress }) {
      const tiny = await model(), texts = STORY.slice(0, full ? undefined : 8), edits = [0, 1, 2, 4];
      const rows = await typoProbe(tiny, texts, { edits, exact: false, seed: 1, signal });
      onProgress(1, 2);
      const dropped = await dropoutProbe(tiny, texts, { rates: [0, 0.1, 0.4], samples: 2, seed: 1, signal });
      onProgress(2, 2);
      const bits = edits.map((n) => mean(rows.filter((row) => row.edits === n).map((row) => row.bits))), moved = edits.map((n) => mean(rows.filter((row) => row.edits === n).map((row) => row.tokenDistance)));
      const rise = (/** @type {number[]} */ list) => Math.min(...list.slice(1).map((x, i) => x - list[i]));
      return {
        headline: { label: 'bits of a sentence with four typing errors over those without', value: bits[3] / bits[0] },
        checks: [above('least rise in bits from one rate of errors to the next', rise(bits), 0), above('least rise in tokens that moved', rise(moved), 0), above('least rise in bits per byte with the rate of BPE-dropout', rise(dropped.map((row) => row.bitsPerByte)), 0)],
      };
    },
  },
  20: {
    published: 'Proved: detokenization is a homomorphism, so the token sequences that spell a context-free or regular language are of the same class, proper or improper.',
    scope: 'Bracket strings under a trained byte-level tokenizer and under bytes; random token sequences of the bundled tokenizer.',
    async run({ tokenizer, full, signal, onProgress }) {
      const depth = (/** @type {number} */ n) => { let p = ''; for (; n; n--) p = `(?:\\(${p}\\))*`; return p; };
      const balanced = (/** @type {string} */ s) => { let d = 0; for (const c of s) if ((d += c === '(' ? 1 : -1) < 0 || d > 4) return false; return d === 0; };
      const bytes = await Tokenizer.builtin('byt5'), pattern = depth(4), texts = words('()', full ? 10 : 8);
      const { tokenizer: merged } = await trainTokenizer(texts.filter((_, i) => i % 3 === 0), { vocabSize: 256 + 24, preTokenizer: 'none', signal });
      const language = new TokenLanguage(merged, { pattern }), plain = new TokenLanguage(bytes, { pattern });
      let judged = 0, wrong = 0;
      for (const [i, text] of texts.entries()) {
        const lattice = new Lattice(merged, text, { weights: 'uniform', wholeText: true });
        for (const { ids } of lattice.enumerate({ cap: 5000 }).paths) {
          judged++;
          wrong += Number(language.matches(ids) !== balanced(text));
        }
        lattice.dispose();
        onProgress(i + 1, texts.length);
      }
      const automata = [plain, language].map((l) => l.bytes()), same = automata[0].states === automata[1].states && automata[0].next.every((x, i) => x === automata[1].next[i]);
      const large = await tokenizer(), spell = (/** @type {number[]} */ ids) => Array.from(large.decodeBytes(ids, { raw: true }));
      let torn = 0;
      for (let i = 0; i < 1000; i++) {
        const ids = Array.from({ length: 8 }, (_, k) => 3 + ((i * 7919 + k * 104729 + i * k * 31) % (large.vocabSize - 3)));
        torn += Number(spell(ids).join() !== [...spell(ids.slice(0, 3)), ...spell(ids.slice(3))].join());
      }
      for (const handle of [language, plain, merged, bytes]) handle.dispose();
      return {
        headline: { label: 'tokenizations of bracket strings that were judged as their text is', value: judged - wrong },
        checks: [above('tokenizations looked at', judged, 1000), atMost('judged otherwise than the text', wrong, 0), atMost('concatenations that decode to something else', torn, 0), atMost('automata of bytes and of tokens spell other languages (0: the same)', Number(!same), 0)],
      };
    },
  },
  23: {
    published: 'Backing up a few tokens and keeping to the characters of the prompt raises exact match on prompts that end inside a token markedly, at little cost in time.',
    scope: 'The next byte after prompts that end inside words, bundled model. Whole words and times are not compared.',
    async run(means) {
      const { row } = await healing(means);
      return {
        headline: { label: 'next bytes guessed right after a cut: with alignment, less those of the prompt’s own tokens', value: row('alignment').right - row('naive').right },
        checks: [above('gain in right guesses', row('alignment').right - row('naive').right, 0.1), below('bits for the true next byte, over the naive prompt’s', row('alignment').bits / row('naive').bits, 0.7)],
      };
    },
  },
  37: {
    published: 'Byte probabilities by cover encodings are exact; about 18% better in filling gaps that begin inside a token, and ensembles of models with different vocabularies up to 3.7% better.',
    scope: 'The bundled model: sums, covers one by one, prompts that end inside words. Infilling and ensembles are not run.',
    async run(means) {
      const tiny = await means.model(), tok = tiny.tokenizer, start = /** @type {number} */ (tok.bos ?? tok.eos), view = new ByteModel(tiny, { beam: 0 });
      let off = 0, apart = 0, covers = 0;
      for (const text of ['Once upon a ti', 'the wor', ' he sa', 'né']) {
        const { bytes, end, textLogProb } = await view.next(text, { naive: false, signal: means.signal });
        off = Math.max(off, Math.abs([...bytes, end].reduce((sum, x) => sum + Math.exp(x), 0) - 1));
        let total = 0;
        for (const cover of coverEncodings(tok, text)) {
          total += Math.exp((await tiny.logProbs([start, ...cover], { signal: means.signal })).reduce((a, b) => a + b, 0));
          covers++;
        }
        apart = Math.max(apart, Math.abs(Math.log(total) - textLogProb));
      }
      await view.dispose();
      const { row } = await healing(means);
      return {
        headline: { label: 'next bytes guessed right after a cut: exact, less those of the prompt’s own tokens', value: row('exact').right - row('naive').right },
        checks: [below('sum of the next byte’s probabilities, less 1', off, 1e-6), above('covers that were evaluated one by one', covers, 10), below('difference of ln p(text) to the sum over them', apart, 1e-3), above('gain in right guesses', row('exact').right - row('naive').right, 0.1),
          below('bits for the true next byte, over the naive prompt’s', row('exact').bits / row('naive').bits, 0.7)],
      };
    },
  },
  48: {
    published: 'A model of tokens gives 0 or 1 for continuations that its tokenizer excludes, however much it was trained; branch and pass gives the source’s probabilities back (third-order chain, eight tokens).',
    scope: 'The limit of training: the token model is tabulated from the source exactly, without error of a trained model.',
    async run({ full, signal, onProgress }) {
      const source = await MarkovSource.create({ letters: 'AB', order: 3, next: [0.5, 0.8, 0.1, 0.5, 0.6, 0.5, 0.3, 0.2].map((a) => [a, 1 - a]) });
      const token = await source.tokenModel({ tokens: ['A', 'B', 'AA', 'BAAB', 'BBAA', 'BBBA', 'BA', 'BBA'], length: 14 });
      let worst = 0, biased = 0, excluded = 0;
      const lengths = full ? [4, 5, 6, 7, 8, 9, 10] : [4, 5, 6, 7, 8];
      for (const n of lengths) {
        signal?.throwIfAborted();
        for (const text of words('AB', n)) {
          const { truth, naive, corrected } = token.predict(text);
          worst = Math.max(worst, Math.abs(corrected.A - truth.A));
          biased = Math.max(biased, Math.abs(naive.A - truth.A));
          excluded += Number(naive.A === 0 && truth.A > 0);
        }
        onProgress(n - 3, lengths.length);
      }
      token.dispose();
      source.dispose();
      return {
        headline: { label: 'largest error of the corrected probability', value: worst },
        checks: [below('largest error, corrected', worst, 0.02), above('largest error of the prompt’s own tokens', biased, 0.3), above('texts after which the source may give A and the token model never does', excluded, 0)],
      };
    },
  },
  79: {
    published: 'The more often a token followed another in the context, the more probable it is there again, even between random tokens; the effect grows with each repetition.',
    scope: 'The bundled model; pairs of random tokens in contexts of random tokens, on average over contexts.',
    async run({ model, full, signal, onProgress }) {
      const tiny = await model(), { vocabSize, bos, eos } = tiny.tokenizer, counts = [0, 1, 2, 4, 8], contexts = full ? 100 : 24, rows = counts.map(() => 0);
      let state = 12345;
      const random = () => 259 + ((state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 8) % (vocabSize - 259);
      for (let c = 0; c < contexts; c++) {
        const a = random(), b = random(), noise = Array.from({ length: 8 * 6 }, random);
        for (const [i, n] of counts.entries()) {
          const ids = [/** @type {number} */ (bos ?? eos), ...Array.from({ length: 8 }, (_, k) => [...noise.slice(6 * k, 6 * k + 4), ...(k >= 8 - n ? [a, b] : noise.slice(6 * k + 4, 6 * k + 6))]).flat(), a, b];
          const logs = await tiny.logProbs(ids, { start: ids.length - 1, signal });
          rows[i] += logs[logs.length - 1] / contexts;
        }
        onProgress(c + 1, contexts);
      }
      return {
        headline: { label: 'nats that eight earlier occurrences add to a random pair', value: rows[4] - rows[0], unit: 'nats' },
        checks: counts.slice(1).map((n, i) => above(`nats from ${counts[i]} to ${n} occurrences`, rows[i + 1] - rows[i], 0)),
      };
    },
  },
  85: {
    published: 'One space before a random comma in text by ChatGPT brings detection rates from nearly all down to a few percent, because the token sequence changes.',
    scope: 'Texts that the bundled model writes itself, and their likelihood under it, which likelihood-based detectors go by. No detector is trained.',
    async run({ model, full, signal, onProgress }) {
      const tiny = await model(), texts = full ? 60 : 16, changes = [];
      let tokens = 0;
      for (let seed = 1; changes.length < texts && seed < 8 * texts; seed++) {
        let text = '';
        for await (const piece of tiny.generate('Once upon a time, there', { maxTokens: 48, temperature: 0.7, seed, signal })) text += piece.text;
        const written = `Once upon a time, there${text}`;
        if (!written.slice(20).includes(',')) continue;
        const { change, added } = await commaProbe(tiny, written, { seed });
        changes.push(change);
        tokens += added.length;
        onProgress(changes.length, texts);
      }
      return {
        headline: { label: 'nats a token that the space adds to a text of the model’s own', value: mean(changes), unit: 'nats' },
        checks: [above('texts', changes.length, texts - 1), above('share of the texts that look less generated', mean(changes.map((x) => Number(x > 0))), 0.9), above('mean change of the mean surprisal', mean(changes), 0), above('tokens that are others, in a text', tokens / changes.length, 0)],
      };
    },
  },
  148: {
    published: 'Any sensible initialisation of a replaced vocabulary beats random by far after adaptation; drawing by script and position does about as well as similarity to old tokens.',
    scope: 'The bundled model with a vocabulary learnt from the guides’ prose, bits per byte before any further training.',
    async run({ full, signal, onProgress }) {
      const texts = await sentences(signal), scored = STORY.join(' ');
      const { tokenizerJson, tokenizer } = await trainTokenizer([...texts, ...STORY], { vocabSize: 2000, specialTokens: ['<|endoftext|>'], signal });
      tokenizer.dispose();
      const methods = TRANSFER_METHODS.filter((method) => full || method !== 'similar'), bits = /** @type {Record<string, number>} */ ({});
      for (const [i, method] of methods.entries()) {
        const { bytes } = await transferVocabulary(TINY, new TextEncoder().encode(/** @type {string} */ (tokenizerJson)), { method, seed: 1, signal, ...(method === 'similar' && { texts, skipgram: { minCount: 3, width: 32 } }) });
        const changed = await Model.load(bytes, { threads: 1, signal });
        bits[method] = (await changed.perplexity(scored, { signal })).bitsPerByte;
        await changed.dispose();
        onProgress(i + 1, methods.length);
      }
      return {
        headline: { label: 'bits per byte with rows drawn by script', value: bits.script },
        checks: [below('drawn by script, over random', bits.script / bits.random, 0.8), below('mean of the parts, over random', bits.mean / bits.random, 0.8), below('script, over the mean of the parts', bits.script / bits.mean, 1.15),
          ...(full ? [below('script, over similarity', bits.script / bits.similar, 1.15)] : [])],
      };
    },
  },
  161: {
    published: 'Rotating the keys behind an edit to their new places keeps predictions close to full recomputation, with over 85% less computation; keys left as they were do worse.',
    scope: 'The bundled model: tokens inserted into a cached text, and the likelihood of what follows. Work is counted in tokens, not in time.',
    async run({ model, full, signal, onProgress }) {
      const tiny = await model(), tok = tiny.tokenizer, cases = full ? 24 : 8, INSERTED = ' and then, without any warning at all, on the very same day';
      let rotated = 0, left = 0, scored = 0, work = 0;
      const start = /** @type {number} */ (tok.bos ?? tok.eos), encode = (/** @type {string} */ text) => Array.from(tok.encode(text, { offsets: false }).ids);
      for (let c = 0; c < cases; c++) {
        const before = [start, ...encode(STORY[c % STORY.length])], added = encode(INSERTED), behind = encode(` ${STORY[(c + 1) % STORY.length]} ${STORY[(c + 2) % STORY.length]}`), next = encode(` ${STORY[(c + 3) % STORY.length]}`);
        const whole = await tiny.session({ slots: 512, signal });
        await whole.append([...before, ...added, ...behind], { logits: 'none', signal });
        const truth = await whole.logProbs(next, { signal });
        await whole.dispose();
        for (const rotate of [true, false]) {
          const edited = await tiny.session({ slots: 512, signal });
          await edited.append([...before, ...behind], { logits: 'none', signal });
          await edited.insert(before.length, added, { signal });
          if (!rotate) await edited.shift(before.length + added.length, -added.length);
          const found = await edited.logProbs(next, { signal }), apart = found.reduce((sum, x, i) => sum + Math.abs(x - truth[i]), 0);
          await edited.dispose();
          if (rotate) rotated += apart;
          else left += apart;
        }
        scored += truth.length;
        work += added.length / (added.length + behind.length) / cases;
        onProgress(c + 1, cases);
      }
      return {
        headline: { label: 'mean difference to full recomputation, keys rotated', value: rotated / scored, unit: 'nats a token' },
        checks: [below('difference with rotated keys, over keys left as they were', rotated / left, 1), below('mean difference, keys rotated', rotated / scored, 0.25), below('tokens evaluated anew, of those that full recomputation evaluates', work, 0.6)],
      };
    },
  },
  201: {
    published: 'On a switching source transformers without tokenization stay at the loss of single letters; with dictionaries of tokens even a model of single tokens comes near the entropy rate (0.325 nats at P(switch) = 0.9).',
    scope: 'Unigram models of tokens on the exact source, dictionaries by byte-pair merging of one sample measured on another. No transformer is trained.',
    async run({ full, signal, onProgress }) {
      const source = await MarkovSource.create({ letters: 'AB', next: [[0.1, 0.9], [0.9, 0.1]] }), sizes = [2, 4, 16, 64];
      const found = await source.dictionaryLosses({ sizes, letters: full ? 1000000 : 200000, seed: 1, signal }), rate = source.entropyRate, letter = source.entropy(1), blocks = [2, 4, 8, 16].map((r) => source.blockLoss(r));
      onProgress(1, 1);
      source.dispose();
      return {
        headline: { label: 'loss with 64 tokens', value: found[3].loss, unit: 'nats a letter' },
        checks: [above('loss of single letters', letter, 0.69), below('loss with 64 tokens, less the entropy rate', found[3].loss - rate, 0.02), above('loss with 64 tokens, less the entropy rate: no model is below', found[3].loss - rate, 0),
          above('least gain from one dictionary to the next', Math.min(...found.slice(1).map(({ loss }, i) => found[i].loss - loss)), 0), above('least gain from blocks of r letters to blocks of 2r', Math.min(...blocks.slice(1).map((x, i) => blocks[i] - x)), 0)],
      };
    },
  },
};
