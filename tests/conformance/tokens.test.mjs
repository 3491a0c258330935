// The module for tokenizers alone is another build of the same sources: on every definition it must say what the whole one says, which
// the other tests compare with the references.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { Tokenizer as Whole } from '../../web/index.js';
import { Tokenizer, encodeStream } from '../../web/tokens.js';
import { ROOT, SHARED, readLines, shared } from '../support/shared.mjs';

const MODELS = ['microtome-tiny.gguf', ...readdirSync(join(ROOT, 'models/vocabularies')).filter((name) => name.endsWith('.json')).map((name) => `vocabularies/${name}`)];
const FILES = ['tokenizer.json', 'tokenizer.model', 'spiece.model', 'vocab.txt', 'rwkv_vocab_v20230424.txt'];
const TEXTS = ['', ' ', 'Hello world', 'naïve Straße ﬁ ½ Å 한국어 ' + '\u0041\u030a', 'λόγος 🙂👩‍👩‍👧 <|endoftext|> </s> [MASK]', '  two  spaces\n\n\ttabs \u00a0', '12345 1,000.5 x=0x1f', 'don’t DON\'T İstanbul ǅ', 'a'.repeat(3000), '東京都に住んでいます。今日は', 'العربية עברית हिन्दी ไทย', 'for (int i = 0; i < n; i++) {\n    s += a[i];\n}\n'];

/** @param {Tokenizer} small @param {Whole} whole @param {(string | Uint8Array)[]} texts */
function compare(small, whole, texts) {
  for (const text of texts)
    for (const options of [{}, { addSpecialTokens: true }, { specialAsText: true, offsets: /** @type {const} */ ('bytes') }]) {
      const got = small.encode(text, options), want = whole.encode(text, options);
      assert.deepEqual(got, want, `${JSON.stringify(String(text).slice(0, 80))} ${JSON.stringify(options)}`);
      assert.equal(small.count(text), whole.count(text));
      assert.equal(small.decode(want.ids), whole.decode(want.ids));
    }
}

describe('microtome/tokens says what microtome says', () => {
  for (const file of MODELS)
    test(file, async () => {
      const path = join(ROOT, 'models', file), [small, whole] = await Promise.all([Tokenizer.load(path), Whole.load(path)]);
      compare(small, whole, [...TEXTS, ...TEXTS.map((text) => new TextEncoder().encode(text)), Uint8Array.of(0xff, 0x41, 0xe2, 0x82)]);
      const again = await Tokenizer.fromBinary(await whole.toBinary());
      compare(again, whole, TEXTS);
      const text = readFileSync(join(ROOT, 'README.md'), 'utf8'), ids = [];
      for await (const part of encodeStream(small, [text.slice(0, 1000), text.slice(1000)])) ids.push(...part);
      assert.deepEqual(ids, [...whole.encode(text).ids]);
      for (const one of [small, whole, again]) one.dispose();
    });

  for (const name of /** @type {const} */ (['byt5', 'canine']))
    test(name, async () => compare(await Tokenizer.builtin(name), await Whole.builtin(name), TEXTS));

  for (const family of SHARED ? readdirSync(shared('tokenizers')) : []) {
    const found = [...FILES, `${family}.tiktoken`].map((file) => shared('tokenizers', family, file)).filter((path) => existsSync(path) || existsSync(`${path}.gz`)).map((path) => (existsSync(path) ? path : `${path}.gz`));
    if (found.length && ['', '.gz'].some((end) => existsSync(shared('tokenizers', family, `reference.jsonl${end}`))))
      test(`${family}: ${found.length} of the reference's definitions`, { timeout: 240_000 }, async () => {
        const texts = readLines('tokenizers', family, 'reference.jsonl').map((/** @type {any} */ one) => (one.utf16 ? String.fromCharCode(...one.utf16) : one.text)).filter((text) => typeof text === 'string');
        for (const path of found) {
          const [small, whole] = await Promise.all([Tokenizer.load(path), Whole.load(path)]);
          for (const text of [...TEXTS, ...texts]) assert.deepEqual(small.encode(text), whole.encode(text), `${path}: ${JSON.stringify(text.slice(0, 80))}`);
          small.dispose();
          whole.dispose();
        }
      });
  }
});

test('it is the same class; what it has not is an error that says where it is', async () => {
  const small = await Tokenizer.builtin('byt5');
  assert.ok(small instanceof Tokenizer && small instanceof Whole);
  for (const asked of [async () => small.encode('ab', { segmenter: 'bytes' }), () => small.toBinary(), async () => small.encodeSamples('ab', 1)])
    await assert.rejects(asked, (error) => /** @type {any} */ (error).code === 'EUNSUPPORTED' && /objects of 'microtome' can do more/.test(/** @type {any} */ (error).message));
  assert.deepEqual([...small.encode('ab').ids], [100, 101]); // as usable as before
  await assert.rejects(Tokenizer.load(new TextEncoder().encode('{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 1e99}, "merges": []}}')), { name: 'MicrotomeError' });
});

test('an application that tokenizes loads less than 150 kB', async (t) => {
  const { outputFiles: [{ contents }] } = await build({ stdin: { contents: "import { Tokenizer } from 'microtome/tokens'; console.log(Tokenizer);", resolveDir: ROOT }, bundle: true, minify: true, format: 'esm', write: false, logLevel: 'error' });
  const script = gzipSync(contents, { level: 9 }).length, module = gzipSync(readFileSync(join(ROOT, 'web/wasm/tokens.wasm')), { level: 9 }).length;
  t.diagnostic(`script ${(script / 1000).toFixed(1)} kB, module ${(module / 1000).toFixed(1)} kB`);
  assert.ok(script + module < 150_000, `${script} + ${module} bytes`);
});
