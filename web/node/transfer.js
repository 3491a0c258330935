// `microtome transfer`: a model with another tokenizer.
import { writeFile } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { QUANTIZE_TYPES, TRANSFER_METHODS, transferVocabulary } from '../index.js';
import { textsOf } from '../train/texts.js';
import { UsageError } from './args.js';

/** @typedef {import('./args.js').OptionSpec} OptionSpec */

/** @param {{line: (text: string) => Promise<void>, json: (value: any) => string, mustExist: (file: string) => string, modelSources: (path: string) => string | string[], jsonOut: OptionSpec}} host */
export function transferCommand({ line, json, mustExist, modelSources, jsonOut }) {
  return {
    summary: 'a model with another tokenizer, its embeddings made anew',
    usage: 'transfer [--method METHOD] [--texts FILE]... MODEL TOKENIZER.json OUT.gguf',
    options: /** @type {OptionSpec[]} */ ([{ name: 'method', kind: 'text', value: 'METHOD', choices: TRANSFER_METHODS, help: `${TRANSFER_METHODS.join(', ')}; default mean` },
      { name: 'texts', kind: 'texts', value: 'FILE', help: 'similar: texts, a line each, to learn from which tokens are alike' }, { name: 'seed', kind: 'int', value: 'N', min: 0, help: 'of what is drawn; default 0' },
      { name: 'type', kind: 'text', value: 'TYPE', choices: QUANTIZE_TYPES, help: 'storage type of the new file; default F32' }, jsonOut]),
    notes: 'Nothing is trained: `microtome perplexity` says how far the new model is from the old one.',
    /** @param {Record<string, any>} options @param {string[]} rest */
    async run(options, rest) {
      if (rest.length !== 3) throw new UsageError('transfer needs MODEL, TOKENIZER.json and OUT.gguf');
      const [model, tokenizer, out] = rest, { method = 'mean' } = options;
      if (method === 'similar' && !options.texts) throw new UsageError('--method similar needs --texts FILE');
      /** @type {(string | Uint8Array)[] | undefined} */ let texts;
      if (options.texts) {
        texts = [];
        for await (const text of textsOf(options.texts.map((/** @type {string} */ file) => pathToFileURL(mustExist(file))), false, undefined)) texts.push(text instanceof Uint8Array ? text.slice() : text);
      }
      const { bytes, ...result } = await transferVocabulary(modelSources(mustExist(model)), mustExist(tokenizer), { method, ...(texts && { texts }), ...(options.seed !== undefined && { seed: options.seed }), ...(options.type && { type: options.type }) });
      await writeFile(out, bytes);
      const { size, vocabSize, shared, made, drawn } = result;
      await line(options.json ? json({ out, bytes: size, vocab_size: vocabSize, method, shared, made, drawn }) : `${out}: ${size} bytes, ${vocabSize} tokens: ${shared} rows copied, ${made} made, ${drawn} drawn`);
    },
  };
}
