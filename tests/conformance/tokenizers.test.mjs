// Every line of the reference encodings, through the API: ids, ids with special tokens, offsets (code points of the original text),
// decodings. The families that are expected to work are listed once, here; the list may only grow.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { Tokenizer } from '../../web/index.js';
import { readLines, readShared, shared, skipWithoutShared } from '../support/shared.mjs';

/** tokenizer.json definitions, with Hugging Face tokenizers as the reference. */
const FAMILIES = ['chatglm', 'deepseek-v3', 'gemma', 'gemma3', 'gpt-oss', 'gpt2', 'llama2', 'llama3', 'mistral-v1', 'mistral-v3', 'phi-2', 'phi-3', 'whisper-large-v3', 'whisper-tiny'];
/** GGUF vocabularies, with llama.cpp's own vectors (ggml-vocab-NAME.gguf.inp and .out). */
const GGUF_VECTORS = [['gpt2', 'gpt-2'], ['llama2', 'llama-spm']];

/** Offsets in bytes -> code points: a begin inside a character belongs to it, an end too. @param {Uint8Array} bytes */
function codePoints(bytes) {
  const before = new Uint32Array(bytes.length + 1); // characters that begin before byte i
  for (let i = 0; i < bytes.length; i++) before[i + 1] = before[i] + ((bytes[i] & 0xc0) !== 0x80 ? 1 : 0);
  const starts = (/** @type {number} */ i) => i >= bytes.length || (bytes[i] & 0xc0) !== 0x80;
  return (/** @type {number} */ begin, /** @type {number} */ end) => [starts(begin) ? before[begin] : before[begin] - 1, before[end]];
}

/** @param {Uint8Array} file @returns {Promise<Tokenizer>} */
const load = (file) => Tokenizer.load(file);

for (const family of FAMILIES)
  describe(`${family}: tokenizer.json`, { skip: skipWithoutShared }, () => {
    test('every line of the reference', { timeout: 120_000 }, async () => {
      const tokenizer = await load(readShared('tokenizers', family, 'tokenizer.json'));
      const wrong = [];
      let lines = 0;
      const records = readLines('tokenizers', family, 'reference.jsonl');
      const template = records.some((record) => record.ids_sp); // then lines without ids_sp did not record them
      for (const record of records) {
        if (record.error) continue;
        lines++;
        const check = (/** @type {string} */ what, /** @type {any} */ got, /** @type {any} */ want) => {
          if (JSON.stringify(got) !== JSON.stringify(want)) wrong.push(`${record.id} (${record.cat}) ${what}: got ${JSON.stringify(got).slice(0, 200)}, expected ${JSON.stringify(want).slice(0, 200)}; text ${JSON.stringify(record.text).slice(0, 120)}`);
        };
        // What the reference was given: text (lone surrogates and bytes that are not UTF-8 arrive there as U+FFFD).
        const text = record.utf16 ? String.fromCharCode(...record.utf16) : record.text;
        const plain = tokenizer.encode(text, { offsets: 'bytes' });
        check('ids', [...plain.ids], record.ids);
        check('count', tokenizer.count(text), record.ids.length);
        if (record.ids_sp || !template) check('ids with special tokens', [...tokenizer.encode(text, { addSpecialTokens: true, offsets: false }).ids], record.ids_sp ?? record.ids);
        if (record.off) {
          const bytes = new TextEncoder().encode(text);
          const place = codePoints(bytes);
          const offsets = /** @type {Uint32Array} */ (plain.offsets);
          check('offsets', Array.from(plain.ids, (_, i) => place(offsets[2 * i], offsets[2 * i + 1])).flat(), record.off);
          // UTF-16 offsets say the same: code points counted in the string.
          const utf16 = /** @type {Uint32Array} */ (tokenizer.encode(text).offsets);
          const points = (/** @type {number} */ i) => [...text.slice(0, i)].length;
          if (text.length < 400) check('UTF-16 offsets', Array.from(utf16, points), record.off);
        }
        const decoded = record.dec ?? record.text;
        check('decode', tokenizer.decode(record.ids), decoded);
        check('decode without special tokens', tokenizer.decode(record.ids, { skipSpecialTokens: true }), record.dec_sk ?? decoded);
      }
      tokenizer.dispose();
      assert.ok(lines > 500, `${lines} lines`);
      assert.deepEqual(wrong.slice(0, 12), [], `${wrong.length} differences in ${lines} lines`);
    });
  });

describe('GGUF vocabularies', { skip: skipWithoutShared }, () => {
  for (const [family, name] of GGUF_VECTORS)
    test(`${family}: llama.cpp's vectors`, { timeout: 60_000 }, async () => {
      const base = shared('tokenizers', family, `ggml-vocab-${name}.gguf`);
      assert.ok(existsSync(`${base}.inp`));
      const tokenizer = await load(readShared('tokenizers', family, `ggml-vocab-${name}.gguf`));
      const texts = readFileSync(`${base}.inp`, 'utf8').split('\n__ggml_vocab_test__\n');
      const lists = readFileSync(`${base}.out`, 'utf8').split('\n');
      assert.ok(texts.length > 30);
      const wrong = [];
      texts.forEach((text, i) => {
        const want = lists[i].split(' ').filter(Boolean).map(Number);
        const got = [...tokenizer.encode(text, { offsets: false }).ids];
        if (String(got) !== String(want)) wrong.push(`${i}: ${JSON.stringify(text).slice(0, 80)}: got ${got}, expected ${want}`);
      });
      tokenizer.dispose();
      assert.deepEqual(wrong, []);
    });
});
