// Every line of the reference encodings, through the API: ids, ids with special tokens, offsets (code points of the original text),
// decodings. The families that are expected to work are listed once, here; the list may only grow.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { Tokenizer } from '../../web/index.js';
import { readLines, readShared, shared, skipWithoutShared } from '../support/shared.mjs';

/** tokenizer.json definitions, with Hugging Face tokenizers as the reference. */
const FAMILIES = ['bert-cased', 'bert-uncased', 'chatglm', 'claude', 'clip', 'deepseek-v3', 'falcon', 'gemma', 'gemma3', 'gpt-neox', 'gpt-oss', 'gpt2', 'hw-doc-summarizer', 'llama2', 'llama3', 'marian-nmt', 'mistral-v1', 'mistral-v3',
  'modernbert', 'mpt', 'pegasus', 'phi-2', 'phi-3', 'qwen3', 'roberta', 'sqlpilot', 't5', 'whisper-large-v3', 'whisper-tiny', 'xlnet'];
/** Rank files, with tiktoken as the reference (or the written definition of the scheme): special tokens are text, and with ids_sp they are parsed. */
const RANKS = [['cl100k_base', 'cl100k_base.tiktoken'], ['o200k_base', 'o200k_base.tiktoken'], ['p50k_base', 'p50k_base.tiktoken'], ['r50k_base', 'r50k_base.tiktoken'], ['rwkv-world', 'rwkv_vocab_v20230424.txt'], ['byt5', null], ['canine', null]];
/** SentencePiece models, with SentencePiece as the reference. */
const SENTENCEPIECE = [['llama2', 'tokenizer.model'], ['mistral-v1', 'tokenizer.model'], ['mistral-v3', 'tokenizer.model'], ['t5', 'spiece.model'], ['albert', 'spiece.model'], ['xlnet', 'spiece.model'], ['nai-t5', 'spiece.model'], ['bpemb-en-100k', 'tokenizer.model'],
  ['chatglm-ice', 'tokenizer.model'], ['marian-nmt', 'tokenizer.model'], ['nerdstash', 'tokenizer.model'], ['seqio-1k', 'tokenizer.model'], ['spm-test-ja', 'tokenizer.model'], ['spm-test-unigram', 'tokenizer.model']];
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
      /** @type {string[]} */ const wrong = [];
      let lines = 0;
      const records = readLines('tokenizers', family, 'reference.jsonl');
      const template = records.some((record) => record.ids_sp); // then lines without ids_sp did not record them
      for (const record of records) {
        if (record.error) continue;
        lines++;
        const check = (/** @type {string} */ what, /** @type {any} */ got, /** @type {any} */ want) => {
          if (JSON.stringify(got) === JSON.stringify(want)) return;
          wrong.push(`${record.id} (${record.cat}) ${what}: got ${JSON.stringify(got).slice(0, 200)}, expected ${JSON.stringify(want).slice(0, 200)}; text ${JSON.stringify(record.text).slice(0, 120)}`);
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

/** @param {Tokenizer} tokenizer @param {any[]} records @param {{text: (record: any) => string | Uint8Array, ids: (record: any) => number[] | undefined, options?: any}} how */
function compare(tokenizer, records, { text, ids, options = {} }) {
  const wrong = [];
  let lines = 0;
  for (const record of records) {
    const want = ids(record);
    if (record.error || !want) continue;
    lines++;
    const got = [...tokenizer.encode(text(record), { ...options, offsets: false }).ids];
    if (String(got) !== String(want)) wrong.push(`${record.id} (${record.cat}): got ${String(got).slice(0, 200)}, expected ${String(want).slice(0, 200)}; text ${JSON.stringify(record.text).slice(0, 120)}`);
  }
  assert.ok(lines > 100, `${lines} lines`);
  assert.deepEqual(wrong.slice(0, 12), [], `${wrong.length} differences in ${lines} lines`);
}
const textOf = (/** @type {any} */ record) => (record.utf16 ? String.fromCharCode(...record.utf16) : record.text);

describe('rank files and schemes without a file', { skip: skipWithoutShared }, () => {
  for (const [family, file] of RANKS)
    test(`${family}`, { timeout: 60_000 }, async () => {
      const tokenizer = file ? await Tokenizer.load(readShared('tokenizers', /** @type {string} */ (family), file), { name: file }) : await Tokenizer.builtin(/** @type {'byt5'} */ (family));
      const records = readLines('tokenizers', /** @type {string} */ (family), 'reference.jsonl');
      compare(tokenizer, records, { text: textOf, ids: (record) => record.ids, options: { specialAsText: true } });
      if (records.some((record) => record.ids_sp)) compare(tokenizer, records.filter((record) => record.ids_sp).concat(records.slice(0, 101)), { text: textOf, ids: (record) => record.ids_sp ?? record.ids, options: file ? { allowedSpecial: 'all' } : { addSpecialTokens: true } });
      tokenizer.dispose();
    });
});

describe('SentencePiece models', { skip: skipWithoutShared }, () => {
  for (const [family, file] of SENTENCEPIECE)
    test(`${family}`, { timeout: 60_000 }, async () => {
      const tokenizer = await Tokenizer.load(readShared('tokenizers', family, file), { name: file });
      const reference = ['reference-spm.jsonl', 'reference.jsonl'].find((name) => existsSync(shared('tokenizers', family, `${name}.gz`))) ?? '';
      const records = readLines('tokenizers', family, reference);
      compare(tokenizer, records, { text: textOf, ids: (record) => record.ids });
      if (records.some((record) => record.ids_bytes)) {
        const raw = records.filter((record) => record.ids_bytes);
        for (const record of raw) assert.deepEqual([...tokenizer.encode(new Uint8Array(Buffer.from(record.b64, 'base64'))).ids], record.ids_bytes, record.id);
      }
      tokenizer.dispose();
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
