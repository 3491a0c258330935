// What replacing a model's vocabulary costs before any training: bits a byte on text that nothing was trained on, by method. Texts: ../shared/corpora, or a folder given with MICROTOME_SHARED.
import { fileURLToPath } from 'node:url';
import { Model, TRANSFER_METHODS, transferVocabulary } from '../../web/index.js';
import { readShared, skipWithoutShared } from '../support/shared.mjs';

if (skipWithoutShared) {
  console.log(`left out: ${skipWithoutShared}`);
} else {
  const file = (/** @type {string} */ name) => fileURLToPath(new URL(`../../models/${name}`, import.meta.url));
  const heldOut = readShared('corpora', 'gutenberg', 'en-heldout.txt').subarray(100000, 130000), train = Buffer.from(readShared('corpora', 'gutenberg', 'en-train.txt').subarray(0, 3000000)).toString().split('\n\n');
  const bits = async (/** @type {any} */ source) => {
    const model = await Model.load(source);
    const { bitsPerByte } = await model.perplexity(Buffer.from(heldOut).toString(), { window: 256 });
    await model.dispose();
    return bitsPerByte.toFixed(3);
  };
  const source = file('family/twin-bpe-4k.gguf');
  console.log(`twin-bpe-4k with its own vocabulary: ${await bits(source)} bits a byte\n\n| new vocabulary | ${TRANSFER_METHODS.join(' | ')} |\n|${' --- |'.repeat(TRANSFER_METHODS.length + 1)}`);
  for (const vocabulary of ['bpe-1k', 'bpe-16k', 'unigram-4k']) {
    const row = [];
    for (const method of TRANSFER_METHODS) {
      const { bytes } = await transferVocabulary(source, file(`vocabularies/${vocabulary}.json`), { method, ...(method === 'similar' && { texts: train }) });
      row.push(await bits(bytes));
    }
    console.log(`| ${vocabulary} | ${row.join(' | ')} |`);
  }
}
