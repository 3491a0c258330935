// Tokenizers that grow: new merges behind those of a BPE definition, task-adaptive merging of a Unigram one. The ids of the base stay as they are.
import { MicrotomeError, throwIfAborted } from '../runtime/heap.js';
import { checkNumber, checkOptions } from '../runtime/errors.js';
import { RUNTIME_OPTIONS, loadHeap } from '../runtime/load.js';
import { uses } from './options.js';
import { fill, load, putters, readTexts, resultOf, supervise } from './core.js';

/** @typedef {import('../runtime/heap.js').Heap} Heap */
/** @typedef {import('../tokenizer.js').Tokenizer} Tokenizer */
/**
 * @typedef {object} ExtendOptions
 * @property {number} [newTokens] BPE: tokens to add at most; default 1000
 * @property {number} [minFrequency] BPE: pairs seen less often are not merged; default 2
 * @property {number} [vocabSize] Unigram: size of the task's own vocabulary; default 8000
 * @property {number} [maxTokenLength] Unigram: characters of a piece at most; default 32
 * @property {number} [low] Unigram: score that a base piece which the task lacks gets, times (characters + 1) / characters; default -20
 * @property {'keep' | 'drop'} [lineEnds] of lines of files and streams. Default: 'keep' for byte-level definitions, else 'drop'
 * @property {(progress: import('./options.js').TrainProgress) => void} [onProgress]
 * @property {AbortSignal} [signal]
 */
/**
 * @typedef {object} Extended
 * @property {string} tokenizerJson @property {Tokenizer} tokenizer @property {string[]} added new tokens in the order of their ids, as the definition spells them
 * @property {[string, string][]} merges new ones, in order (BPE)
 */

/**
 * Adds tokens for new texts to a tokenizer whose model has been trained already.
 *
 * A BPE definition: training goes on where its merges end. Texts are encoded as before, then pairs of the old tokens are merged, so that every new token is reachable.
 * A Unigram definition: task-adaptive merging (Liu et al. 2023). A Unigram model is trained on the texts; its new pieces are appended, shared ones take its scores, and the others sink to `low`.
 *
 * @param {string | Uint8Array} base tokenizer.json @param {import('./options.js').TrainTexts} texts @param {ExtendOptions & import('../runtime/load.js').RuntimeOptions} [options] @returns {Promise<Extended>}
 * @throws {MicrotomeError} EFORMAT: the base is no such file. EUNKNOWN: its model is neither, or its symbols depend on their place in the word. AbortError when aborted
 */
export async function extendTokenizer(base, texts, options = {}) {
  checkOptions('extend', options, ['newTokens', 'minFrequency', 'vocabSize', 'maxTokenLength', 'low', 'lineEnds', 'onProgress', 'signal', ...RUNTIME_OPTIONS]);
  throwIfAborted(options.signal);
  const definition = parse(base);
  const unigram = definition.model.type === 'Unigram' || (definition.model.type === undefined && Array.isArray(definition.model.vocab));
  for (const [name, fits] of /** @type {[keyof ExtendOptions, boolean][]} */ ([['newTokens', !unigram], ['minFrequency', !unigram], ['vocabSize', unigram], ['maxTokenLength', unigram], ['low', unigram]]))
    if (options[name] !== undefined && !fits) throw new MicrotomeError(`extend: the option "${name}" is for ${unigram ? 'BPE' : 'Unigram'} definitions`, { code: 'ERANGE', details: { option: name } });
  const lineEnds = options.lineEnds ?? (uses(definition.pre_tokenizer, 'ByteLevel') ? 'keep' : 'drop');
  if (lineEnds !== 'keep' && lineEnds !== 'drop') throw new MicrotomeError(`extend: lineEnds: unknown value ${JSON.stringify(lineEnds)}: known are keep, drop`, { code: 'EUNKNOWN' });
  const newTokens = checkNumber('newTokens', options.newTokens ?? 1000, 1, 2 ** 20, true), least = checkNumber('minFrequency', options.minFrequency ?? 2, 0, Number.MAX_SAFE_INTEGER, true);
  const vocabSize = checkNumber('vocabSize', options.vocabSize ?? 8000, 1, 2 ** 24, true), longest = checkNumber('maxTokenLength', options.maxTokenLength ?? 32, 1, 2 ** 16, true), low = checkNumber('low', options.low ?? -20, -1e6, 0);

  const heap = await loadHeap(options);
  const old = load(heap, typeof base === 'string' ? heap.encoder.encode(base) : base);
  let trainer = 0;
  try {
    const pipeline = old.core().at;
    trainer = heap.scope((alloc) => {
      const out = alloc(4);
      heap.call('trainer_new', 0, Number(!unigram), out);
      return heap.u32(out);
    });
    let count = 0;
    await readTexts(texts, lineEnds === 'keep', options, (text) => {
      const bytes = typeof text === 'string' ? heap.encoder.encode(text) : text;
      heap.scope((alloc) => heap.call('trainer_text', trainer, pipeline, putters(heap, alloc).put(bytes), bytes.length));
      count++;
    }, () => count);
    if (!unigram) supervise(heap, options, () => heap.call('trainer_go_on', trainer, pipeline, newTokens, least));
    else
      heap.scope((alloc) => {
        const unk = [...old.tokens()].filter(({ kind }) => kind === 'unknown').map(({ piece }) => piece);
        const at = alloc(heap.sizeOf('abi_train_options'));
        fill(heap, 'abi_train_options', at, { kind: heap.enums.ABI_TRAIN_UNIGRAM, vocab_size: vocabSize, special: putters(heap, alloc).list(unk), special_len: unk.length, max_length: longest });
        supervise(heap, options, () => heap.call('trainer_run', trainer, at));
        heap.call('trainer_adapt', trainer, pipeline, low);
      });
    const { raw } = resultOf(heap, trainer);
    const merges = /** @type {[string, string][]} */ (raw.merges.map(([left, right]) => [raw.tokens[left], raw.tokens[right]]));
    const tokenizerJson = unigram ? withPieces(heap, definition, raw) : withMerges(heap, definition, raw, merges);
    return { tokenizerJson, tokenizer: load(heap, heap.encoder.encode(tokenizerJson)), added: raw.tokens.slice(old.vocabSize), merges: unigram ? [] : merges };
  } finally {
    heap.exports.trainer_free(trainer);
    old.dispose();
  }
}

/** @param {string | Uint8Array} base @returns {Record<string, any>} */
function parse(base) {
  try {
    const found = JSON.parse(typeof base === 'string' ? base : new TextDecoder().decode(base));
    if (found?.model?.vocab) return found;
  } catch { /* said below */ }
  throw new MicrotomeError('extend: the base must be a tokenizer.json', { code: 'EFORMAT' });
}

const PLACE = '@vocab@';

/** @param {Heap} heap @param {Record<string, any>} definition @param {import('./definition.js').Raw} raw @param {[string, string][]} merges */
function withMerges(heap, definition, raw, merges) {
  const kinds = /** @type {Uint8Array} */ (raw.kinds);
  // Added tokens join the model's vocabulary under their ids: otherwise they would move behind the new tokens.
  const rows = raw.tokens.flatMap((token, id) => (kinds[id] === heap.enums.MT_TOKEN_HOLE && id < kinds.length ? [] : [`${JSON.stringify(token)}:${id}`]));
  const old = (definition.model.merges ?? []).map((/** @type {string | [string, string]} */ pair) => (typeof pair === 'string' ? pair.split(' ') : pair));
  const text = JSON.stringify({ ...definition, model: { ...definition.model, vocab: PLACE, merges: [...old, ...merges] } });
  return text.replace(`"vocab":"${PLACE}"`, () => `"vocab":{${rows.join(',')}}`);
}

/** @param {Heap} heap @param {Record<string, any>} definition @param {import('./definition.js').Raw} raw */
function withPieces(heap, definition, raw) {
  const kinds = /** @type {Uint8Array} */ (raw.kinds), scores = /** @type {Float64Array} */ (raw.scores);
  if (kinds.includes(heap.enums.MT_TOKEN_HOLE)) throw new MicrotomeError('extend: the base has ids without tokens, which a list of pieces cannot have', { code: 'EFORMAT' });
  return JSON.stringify({ ...definition, model: { ...definition.model, vocab: raw.tokens.map((token, id) => [token, scores[id]]) } });
}
