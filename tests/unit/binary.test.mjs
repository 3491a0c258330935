// The binary form of tokenizers from JavaScript and the command line.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MicrotomeError, Model, Tokenizer, trainTokenizer } from '../../web/index.js';
import { Heap } from '../../web/runtime/heap.js';
import { BUNDLED, cli, scratch, tinyTokenizer } from '../support/wasm.mjs';

const FAMILY = readdirSync(new URL('../../models/family/', import.meta.url)).filter((name) => /(?<!-\d+)\.gguf$/.test(name)).map((name) => fileURLToPath(new URL(`../../models/family/${name}`, import.meta.url)));
const files = scratch();
const definition = JSON.stringify(tinyTokenizer());
const file = files.write('tokenizer.json', definition);
const text = 'hello world<|end|> hell\u00f6 \u{1f600} \ud800';

describe('toBinary, fromBinary', () => {
  test('every kind of source', async () => {
    const tokenizer = await Tokenizer.load(file);
    const bytes = await tokenizer.toBinary();
    assert.ok(bytes instanceof Uint8Array && !(bytes.buffer instanceof SharedArrayBuffer));
    const path = files.write('tokenizer.mtok', bytes);
    const want = tokenizer.encode(text);
    const chunks = (/** @type {number} */ n) => new ReadableStream({ start(c) { for (let i = 0; i < bytes.length; i += n) c.enqueue(bytes.slice(i, i + n)); c.close(); } });
    const shifted = new Uint8Array(bytes.length + 3);
    shifted.set(bytes, 3);
    for (const source of [bytes, bytes.buffer, shifted.subarray(3), new Blob([bytes]), path, pathToFileURL(path), chunks(1000), chunks(3)]) {
      for (const read of [Tokenizer.fromBinary, Tokenizer.load]) {
        if (source instanceof ReadableStream && read === Tokenizer.load) continue; // it is read once
        const again = await read.call(Tokenizer, source);
        assert.deepEqual(again.encode(text), want);
        assert.equal(again.decode(want.ids), tokenizer.decode(want.ids));
        assert.equal(again.findPiece('<|end|>'), tokenizer.findPiece('<|end|>'));
        assert.deepEqual(await again.toBinary(), bytes);
        again.dispose();
      }
    }
    assert.deepEqual((await Tokenizer.load(chunks(5))).encode(text), want);
    bytes.fill(0); // the tokenizer has its own copy
    tokenizer.dispose();
    await assert.rejects(tokenizer.toBinary(), /disposed/);
  });

  test('what is no binary tokenizer, and what was damaged', async () => {
    const bytes = await (await Tokenizer.load(file)).toBinary();
    const refused = async (/** @type {any} */ source, /** @type {string} */ code, /** @type {RegExp} */ pattern) => assert.rejects(Tokenizer.fromBinary(source), (/** @type {any} */ error) => {
      assert.ok(error instanceof MicrotomeError);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, pattern);
      return true;
    });
    await refused(file, 'EUNKNOWN', /tokenizer\.json: not a binary tokenizer/);
    await refused(new Uint8Array(0), 'EUNKNOWN', /not a binary tokenizer/);
    await refused(bytes.slice(0, 5), 'EUNKNOWN', /not a binary tokenizer/);
    await refused(bytes.slice(0, 20), 'EFORMAT', /header/);
    await refused(bytes.slice(0, -1), 'EFORMAT', /its header says \d+ bytes, there are \d+/);
    for (const at of [16, 24, 40, bytes.length >> 1, bytes.length - 1]) {
      const damaged = bytes.slice();
      damaged[at] ^= 4;
      await refused(damaged, 'EFORMAT', /binary tokenizer/);
    }
    const newer = bytes.slice();
    newer[8]++;
    await refused(newer, 'EUNKNOWN', /version 3.*make it anew/);
    await assert.rejects(Tokenizer.fromBinary(join(files.folder, 'absent.mtok')), { code: 'EIO' });
    await assert.rejects(Tokenizer.fromBinary(bytes, /** @type {any} */ ({ pattern: 'x' })), /pattern/);
    await assert.rejects(Tokenizer.fromBinary(bytes, { signal: AbortSignal.abort() }), { name: 'AbortError' });
    // Refusals leave everything usable.
    assert.equal((await Tokenizer.fromBinary(bytes)).decode((await Tokenizer.load(file)).encode('hello').ids), 'hello');
  });

  test('trained tokenizers of every kind, and other segmenters', async () => {
    const lines = Array.from({ length: 60 }, (_, i) => `the cat number ${i} sat on the mat, and another ${i * 7} cats sat there`);
    for (const kind of /** @type {const} */ (['bpe', 'wordpiece', 'unigram', 'pathpiece', 'picky-bpe', 'sentencepiece-bpe', 'sentencepiece-unigram'])) {
      const { tokenizer } = await trainTokenizer(lines, { kind, vocabSize: 300 });
      const again = await Tokenizer.fromBinary(await tokenizer.toBinary());
      for (const one of [lines[3], ' the mats', 'Another\ncat']) {
        assert.deepEqual(again.encode(one, { addSpecialTokens: true }), tokenizer.encode(one, { addSpecialTokens: true }), kind);
        assert.deepEqual(again.decode(again.encode(one).ids), tokenizer.decode(tokenizer.encode(one).ids), kind);
      }
      assert.deepEqual(again.traits, tokenizer.traits);
      assert.deepEqual(again.warnings, tokenizer.warnings);
    }
    const tokenizer = await Tokenizer.load(file), again = await Tokenizer.fromBinary(await tokenizer.toBinary());
    for (const segmenter of /** @type {const} */ (['longest-prefix', 'fewest-tokens', 'bpe-dropout', 'uniform-sample', 'bytes']))
      assert.deepEqual(again.encode(text, { segmenter, seed: 3 }), tokenizer.encode(text, { segmenter, seed: 3 }), segmenter);
  });

  test("a model's tokenizer comes ready-made from its worker, and is the one that its file says", async (t) => {
    const calls = t.mock.method(Heap.prototype, 'call'), named = () => calls.mock.calls.map((call) => call.arguments[0]).filter((name) => /^tok_(load|from)/.test(name));
    const sample = `${text} Once upon a time <|endoftext|> 123456 \u65e5\u672c\n\n  x`;
    for (const path of [BUNDLED, ...FAMILY]) {
      calls.mock.resetCalls();
      const model = await Model.load(path), own = model.tokenizer;
      assert.deepEqual(named(), ['tok_from_binary'], 'no tables are made in this thread');
      const want = await Tokenizer.load(path);
      assert.deepEqual(await own.toBinary(), await want.toBinary(), path);
      assert.deepEqual(own.encode(sample, { addSpecialTokens: true }), want.encode(sample, { addSpecialTokens: true }), path);
      want.dispose();
      await model.dispose();
    }
    const spoiled = readFileSync(BUNDLED), at = spoiled.indexOf('tokenizer.ggml.model') + 'tokenizer.ggml.model'.length + 4 + 8;
    spoiled[at] ^= 1; // the kind of tokenizer is one that nobody knows
    const model = await Model.load(spoiled);
    assert.throws(() => model.tokenizer, { code: 'EUNKNOWN' });
    assert.equal((await model.run([1, 2])).logits.length, model.info.vocab, 'ids alone will do');
    await model.dispose();
  });

  test('a model\'s own tokenizer', async () => {
    const model = await Model.load(BUNDLED);
    const again = await Tokenizer.fromBinary(await model.tokenizer.toBinary());
    const ids = model.tokenizer.encode('Once upon a time there was').ids;
    assert.deepEqual(again.encode('Once upon a time there was').ids, ids);
    assert.deepEqual(again.traits, model.tokenizer.traits);
    await model.dispose();
  });
});

test('the command line: tokenizer-cache, and --tokenizer takes what it wrote', async () => {
  const out = join(files.folder, 'cache.mtok');
  const made = await cli(['tokenizer-cache', file, '--out', out, '--json']);
  assert.equal(made.status, 0, made.stderr);
  assert.deepEqual(JSON.parse(made.stdout), { out, bytes: readFileSync(out).length });
  for (const args of [['encode', '--json', '--offsets', 'utf16'], ['count'], ['decode', '--ids', '104,101,265'], ['tokenizations', '--count']]) {
    const rest = args[0] === 'decode' ? [] : ['hello world<|end|>'];
    const want = await cli([...args, '--tokenizer', file, ...rest]), got = await cli([...args, '--tokenizer', out, ...rest]);
    assert.equal(got.status, 0, got.stderr);
    assert.equal(got.stdout, want.stdout);
  }
  const shown = await cli(['inspect', out, '--json']), want = await cli(['inspect', file, '--json']);
  assert.equal(shown.stdout, want.stdout);
  const twice = join(files.folder, 'twice.mtok');
  assert.equal((await cli(['tokenizer-cache', out, '--out', twice])).status, 0);
  assert.ok(readFileSync(twice).equals(readFileSync(out)));
  assert.match((await cli(['tokenizer-cache', 'byt5', '--out', twice])).stdout, /twice\.mtok: \d+ bytes\n$/);
  assert.equal((await cli(['tokenizer-cache', file])).status, 2);
  assert.equal((await cli(['tokenizer-cache', '--out', twice])).status, 2);
  writeFileSync(twice, readFileSync(out).subarray(0, 1000));
  const cut = await cli(['encode', '--tokenizer', twice, 'x']);
  assert.equal(cut.status, 1);
  assert.match(cut.stderr, /^microtome: .*twice\.mtok: binary tokenizer: its header says \d+ bytes, there are 1000\n$/);
});
