// The binary form of every definition in ../shared: the tokenizer that comes back is the same one. Ids, offsets, pairs and decodings on the
// reference texts; everything else (pieces, bytes, kinds, scores, tables, steps) by the bytes that it is saved as again.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { Tokenizer } from '../../web/index.js';
import { SHARED, readLines, readShared, shared, skipWithoutShared } from '../support/shared.mjs';

const DEFINITION = /^(tokenizer\.json|tokenizer.*\.model|spiece\.model|.*\.spm|.*\.tiktoken|tiktoken\.model|.*vocab.*\.(txt|gguf|bin)|vocab\.txt|tokenizer\.bin)$/;
const folders = SHARED ? readdirSync(shared('tokenizers'), { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name) : [];

/** Texts of the folder's reference encodings, at most so many. @param {string} folder @param {number} most @returns {string[]} */
function texts(folder, most) {
  const names = readdirSync(shared('tokenizers', folder)).filter((name) => /^reference.*\.jsonl(\.gz)?$/.test(name));
  const all = names.flatMap((name) => readLines('tokenizers', folder, name.replace(/\.gz$/, '')).filter((record) => typeof record.text === 'string' && record.text.length < 4000).map((record) => record.text));
  const step = Math.max(1, Math.floor(all.length / most));
  return all.filter((_, i) => i % step === 0);
}
const usual = ['', 'Once upon a time', '  spaces  and\n\nlines ', 'déjà vu ﬁ Ⅷ 東京都 한국어 🏳️‍🌈 مرحبا', '<s>[INST] <|endoftext|><|im_start|>user\n[MASK]</s>', 'function f(x) { return x ** 2; } // 12345'];

/** @param {Tokenizer} a @param {Tokenizer} b @param {string[]} list */
function compare(a, b, list) {
  const attempt = (/** @type {() => any} */ body) => { try { return body(); } catch (error) { return `${/** @type {any} */ (error).code}: ${/** @type {Error} */ (error).message}`; } };
  for (const text of list) {
    for (const options of [{}, { addSpecialTokens: true, offsets: /** @type {const} */ ('bytes') }, { specialAsText: true }]) {
      const want = attempt(() => a.encode(text, options)), got = attempt(() => b.encode(text, options));
      assert.deepEqual(got, want, JSON.stringify(text));
      if (!want.ids) continue;
      assert.equal(b.decode(want.ids), a.decode(want.ids));
      assert.equal(b.decode(want.ids, { skipSpecialTokens: true }), a.decode(want.ids, { skipSpecialTokens: true }));
    }
    const pair = { pair: list[0] || 'x', addSpecialTokens: true };
    assert.deepEqual(attempt(() => b.encode(text, pair)), attempt(() => a.encode(text, pair)));
  }
  assert.deepEqual({ size: b.vocabSize, bos: b.bos, eos: b.eos, model: b.model, warnings: b.warnings, traits: b.traits }, { size: a.vocabSize, bos: a.bos, eos: a.eos, model: a.model, warnings: a.warnings, traits: a.traits });
  for (let id = 0; id < a.vocabSize; id += 1 + Math.floor(a.vocabSize / 500)) {
    assert.deepEqual(b.token(id), a.token(id));
    assert.equal(b.findPiece(a.tokenPiece(id)), a.findPiece(a.tokenPiece(id)));
  }
}

describe('the binary form', { skip: skipWithoutShared }, () => {
  for (const folder of folders) {
    const files = readdirSync(shared('tokenizers', folder)).map((name) => name.replace(/\.gz$/, '')).filter((name) => DEFINITION.test(name));
    const builtin = folder === 'byt5' || folder === 'canine';
    if (!files.length && !builtin) continue;
    test(folder, { timeout: 240_000 }, async (t) => {
      const list = [...usual, ...texts(folder, 150)];
      let checked = 0;
      for (const file of builtin ? [folder] : files) {
        let tokenizer;
        try {
          tokenizer = builtin ? await Tokenizer.builtin(/** @type {'byt5'} */ (folder)) : await Tokenizer.load(readShared('tokenizers', folder, file), { name: file });
        } catch (error) { // not a definition that we take, or not whole
          t.diagnostic(`${file}: ${/** @type {Error} */ (error).message.slice(0, 120)}`);
          continue;
        }
        const bytes = await tokenizer.toBinary();
        const again = await Tokenizer.fromBinary(bytes);
        assert.ok(Buffer.from(await again.toBinary()).equals(bytes), `${file}: saved again it is other bytes`);
        compare(tokenizer, again, list);
        assert.ok(Buffer.from(await again.toBinary()).equals(bytes), `${file}: after use it is other bytes`);
        tokenizer.dispose();
        again.dispose();
        checked++;
      }
      assert.ok(checked > 0 || !existsSync(shared('tokenizers', folder, 'tokenizer.json.gz')), 'nothing could be loaded');
    });
  }
});
