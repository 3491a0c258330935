// Work grows linearly: texts of up to 10 MB (1.2 MB where others stand for them) of what encoders find hard. Nothing here looks at a clock but the limit of each test, which anything quadratic misses by hours; the times
// are shown. What is asserted: twice the text gives twice the tokens, up to its ends.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Tokenizer } from '../../web/index.js';
import { byteLevel, characterLevel, random, unigram, utf8, wordPiece } from '../support/definitions.mjs';
import { sentencePieceModel } from '../support/sentencepiece_write.mjs';

const load = (/** @type {any} */ json) => Tokenizer.load(new Uint8Array(utf8(JSON.stringify(json))));
const letters = [...'abcdefghijklmnopqrstuvwxyzéñ日本語🙂'];
/** @type {[string, number, any][]} */ const pieces = [['<unk>', 0, 'unknown'], ['<s>', 0, 'control'], ['</s>', 0, 'control'], ['▁', -2, 'normal'], ...letters.map((c, i) => /** @type {[string, number, any]} */ ([c, -3 - i / 10, 'normal'])), ['aa', -4, 'normal'], ['aaaa', -5, 'normal'], ['▁the', -4, 'normal']];
const TOKENIZERS = {
  'byte-level BPE': () => load(byteLevel(1)),
  'byte-level BPE without a splitter': () => load(byteLevel(1, { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false } })),
  'BPE with byte fallback, one word': () => load(characterLevel(5, { byte_fallback: true, fuse_unk: true })),
  Unigram: () => load(unigram(8, false)),
  'Unigram, one word': () => load({ ...unigram(8, true), pre_tokenizer: null }),
  WordPiece: () => load(wordPiece(10, true)),
  'NFKC and lower case': () => load(byteLevel(1, { normalizer: { type: 'Sequence', normalizers: [{ type: 'NFKC' }, { type: 'Lowercase' }] } })),
  'SentencePiece Unigram': () => Tokenizer.load(sentencePieceModel({ pieces, model: 1 }), { name: 'u.model' }),
  'SentencePiece BPE': () => Tokenizer.load(sentencePieceModel({ pieces, model: 2 }), { name: 'b.model' }),
  'SentencePiece characters': () => Tokenizer.load(sentencePieceModel({ pieces, model: 4 }), { name: 'c.model' }),
};
const r = random(4);
const noise = Uint8Array.from({ length: 1 << 16 }, () => r.next(256));
/** @type {Record<string, Uint8Array>} each repeated to its length */
const UNITS = { 'one letter': utf8('a'), spaces: utf8(' '), 'line ends': utf8('\n'), digits: utf8('7'), 'random bytes': noise, 'emoji with joiners': utf8('👩‍👩‍👧‍👦'), 'one mark on another': utf8('\u0301'), punctuation: utf8('!') };

const FULL = [['one letter', 'random bytes', 'emoji with joiners'], ['byte-level BPE', 'BPE with byte fallback, one word', 'Unigram, one word', 'WordPiece', 'SentencePiece Unigram']];

/** @param {Uint8Array} unit @param {number} size */
function filled(unit, size) {
  const out = new Uint8Array(size - (size % unit.length));
  for (let at = 0; at < out.length; at += unit.length) out.set(unit, at);
  return out;
}

for (const [name, make] of Object.entries(TOKENIZERS))
  describe(name, () => {
    for (const [kind, unit] of Object.entries(UNITS))
      test(kind, { timeout: 120_000 }, async (t) => {
        const tokenizer = await make();
        const counts = [], times = [];
        for (const size of FULL[0].includes(kind) && FULL[1].includes(name) ? [1.25e6, 2.5e6, 5e6, 1e7] : [6e5, 1.2e6]) {
          const text = filled(unit, size), from = performance.now();
          counts.push(tokenizer.count(text) / text.length);
          times.push(Math.round(performance.now() - from));
        }
        t.diagnostic(`${times.join(', ')} ms`);
        for (const share of counts) assert.ok(Math.abs(share - counts[counts.length - 1]) <= 1e-4 + 1e-3 * share, `tokens a byte: ${counts}`);
        tokenizer.dispose();
      });
  });
