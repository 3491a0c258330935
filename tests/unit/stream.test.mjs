// Streaming = whole: many tokenizers, texts and ways to cut them into pieces.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { Tokenizer, encodeStream, trainTokenizer } from '../../web/index.js';
import { readShared, skipWithoutShared } from '../support/shared.mjs';
import { tinyTokenizer } from '../support/wasm.mjs';

const utf8 = new TextEncoder();
const load = (/** @type {any} */ definition) => Tokenizer.load(utf8.encode(JSON.stringify(definition)));
const TEXTS = [
  '', ' ', 'a', 'hello world', 'hello  world\n\n  again\r\n hello world', ' leading and trailing ', "it's we'll THEY'RE don't", 'one two three four five six seven eight nine ten eleven twelve '.repeat(6),
  'Ünïcödé wörds are hére, ΟΔΥΣΣΕΥΣ ΟΔΥΣ ΣΣ ας ας, e\u0301 e \u0301 x', '漢字 かな 漢 字 ไทย ภาษา हिन्दी भाषा العربية لغة', 'tabs\tand\u00a0spaces\u3000wide\u2028line 123 456 7890 a1 b2 1a 2b', 'emoji 👩‍👩‍👧 family 😀😀 x 😀 y',
  'hello<|end|>world a <|end|> b hello wor<|end', 'x\ny\nz a\nb c\n\nd\n e', 'aaaa'.repeat(40) + ' b c d', '▁ a ▁b c▁d',
];
/** A fixed sequence of numbers. @param {number} seed */
const numbers = (seed) => () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;

/** @param {Tokenizer} tokenizer @param {Iterable<any> | AsyncIterable<any>} chunks @param {any} [options] */
async function streamed(tokenizer, chunks, options) {
  const out = [];
  for await (const ids of encodeStream(tokenizer, /** @type {any} */ (chunks), options)) out.push(...ids);
  return out;
}
/** @param {Tokenizer} tokenizer @param {string | Uint8Array} text @param {string} name */
async function check(tokenizer, text, name) {
  const bytes = typeof text === 'string' ? utf8.encode(text) : text;
  const whole = [...tokenizer.encode(bytes, { offsets: false }).ids];
  const random = numbers(bytes.length + 7);
  const anywhere = [];
  for (let at = 0; at < bytes.length;) {
    const n = 1 + Math.floor(random() * 9);
    anywhere.push(bytes.subarray(at, at + n));
    at += n;
  }
  for (const window of [1, 5, 17, 64, 65536])
    for (const [how, chunks] of /** @type {[string, any[]][]} */ ([['whole', [bytes]], ['bytes', Array.from(bytes, (b) => Uint8Array.of(b))], ['anywhere', anywhere], ...(typeof text === 'string' ? [['units', text.split('')]] : [])]))
      assert.deepEqual(await streamed(tokenizer, chunks, { window }), whole, `${name}, window ${window}, ${how}: ${JSON.stringify(text).slice(0, 60)}`);
}

describe('streaming is the whole', () => {
  const corpus = TEXTS.join('\n');
  /** @type {[string, () => Promise<Tokenizer>][]} */
  const makers = [
    ['byte-level BPE', () => load(tinyTokenizer())],
    ['trained BPE', async () => (await trainTokenizer([corpus], { vocabSize: 400 })).tokenizer],
    ['BPE over characters without a splitter (tokens span words)', async () => (await trainTokenizer([corpus], { byteLevel: false, preTokenizer: 'none', vocabSize: 400 })).tokenizer],
    ['WordPiece', async () => (await trainTokenizer([corpus], { kind: 'wordpiece', vocabSize: 300 })).tokenizer],
    ['Unigram, Metaspace', async () => (await trainTokenizer([corpus], { kind: 'unigram', vocabSize: 220 })).tokenizer],
    ['Unigram, NFKC, few characters known', async () => (await trainTokenizer(['some words only'], { kind: 'unigram', normalizer: 'nfkc', vocabSize: 30 })).tokenizer],
    ['an expression that groups digits from the right', async () => (await trainTokenizer([corpus], { preTokenizer: { regex: '\\d{1,3}(?=(?:\\d{3})*\\b)|\\s+(?!\\S)|[^\\s\\d]+|\\s' }, vocabSize: 380 })).tokenizer],
    ['bytes', () => Tokenizer.builtin('byt5')],
  ];
  for (const [name, make] of makers)
    test(name, async () => {
      const tokenizer = await make();
      for (const text of TEXTS) await check(tokenizer, text, name);
      await check(tokenizer, Uint8Array.from([97, 32, 98, 0xff, 32, 99, 0xe2, 0x82, 32, 100, 10, 101]), name);
    });
  test('an added token with spaces inside', async () => {
    const definition = tinyTokenizer();
    definition.added_tokens.push({ id: 266, content: 'end of turn', single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
    const tokenizer = await load(definition);
    for (const text of ['a end of turn b', 'an end of turnip end of tur', 'end of turnend of turn x y z', 'bend of turn of turn']) await check(tokenizer, text, 'added');
  });
  for (const name of ['gpt2', 'llama3', 'qwen3', 'deepseek-v3', 'falcon', 'llama2', 'mistral-v1', 'gemma3', 'bert-uncased', 't5', 'xlnet', 'clip', 'roberta'])
    test(`${name}: a real definition`, { skip: skipWithoutShared }, async () => {
      const tokenizer = await Tokenizer.load(readShared('tokenizers', name, 'tokenizer.json'));
      for (const text of TEXTS) await check(tokenizer, text, name);
      tokenizer.dispose();
    });
});

test('memory stays: a long text is given out in parts, a text without places is refused at the limit', async () => {
  const tokenizer = await load(tinyTokenizer());
  let largest = 0, total = 0;
  async function* text() { for (let i = 0; i < 2000; i++) yield 'hello world and more '; }
  for await (const ids of encodeStream(tokenizer, text(), { window: 256 })) {
    largest = Math.max(largest, ids.length);
    total += ids.length;
  }
  assert.equal(total, tokenizer.count('hello world and more '.repeat(2000)));
  assert.ok(largest < 400, String(largest));
  await assert.rejects(streamed(tokenizer, Array(100).fill('x'.repeat(100)), { window: 64, limit: 1000 }), { code: 'ELIMIT' });
});

test('streams, leaving early, refusals', async () => {
  const tokenizer = await load(tinyTokenizer());
  let cancelled = false;
  const stream = new ReadableStream({ pull(c) { c.enqueue('hello world '); }, cancel() { cancelled = true; } });
  for await (const ids of encodeStream(tokenizer, stream, { window: 8 })) if (ids.length) break;
  assert.ok(cancelled);
  await assert.rejects(streamed(tokenizer, [3]), { code: 'ERANGE' });
  await assert.rejects(streamed(tokenizer, /** @type {any} */ (3)), { code: 'ERANGE' });
  await assert.rejects(streamed(tokenizer, ['a'], { size: 1 }), { code: 'EUNKNOWN' });
  await assert.rejects(streamed(tokenizer, ['a'], { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.deepEqual(await streamed(tokenizer, ['a<|end|>'], { specialAsText: true }), [...tokenizer.encode('a<|end|>', { specialAsText: true }).ids]);
});
