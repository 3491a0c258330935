// The public classes in Node: sources, errors, aborts, several models at once, agreement between builds, feature detection.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import binaryen from 'binaryen';
import { ByteModel, MicrotomeError, Model, Tokenizer, detectFeatures } from '../../web/index.js';
import { RELAXED_PROBE, SIMD_PROBE } from '../../web/runtime/load.js';
import { GGML, u32, writeGguf } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { ROOT } from '../support/shared.mjs';
import { BUNDLED, engines, scratch, tinyTokenizer } from '../support/wasm.mjs';

const files = scratch();
const SHAPE = { layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 64, base: 10000 };
const random = randomLlama(SHAPE, GGML.F32);
const modelFile = files.write('random.gguf', random);
const definition = JSON.stringify(tinyTokenizer());
const tokenizerFile = files.write('tokenizer.json', definition);

/** @param {string} code @param {RegExp} [message] */
const fails = (code, message = /./) => (/** @type {any} */ error) => {
  assert.ok(error instanceof MicrotomeError, String(error?.stack ?? error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};
const aborted = (/** @type {any} */ error) => error.name === 'AbortError';

describe('feature detection', () => {
  test('the probes are what their text says', () => {
    const assemble = (/** @type {string} */ text) => {
      const module = binaryen.parseText(text);
      module.setFeatures(binaryen.Features.All);
      return Buffer.from(module.emitBinary()).toString('base64');
    };
    assert.equal(SIMD_PROBE, assemble(`(module (func (export "f") (result i32)
      (i32x4.extract_lane 0 (i32x4.dot_i16x8_s (i16x8.extmul_low_i8x16_s (i8x16.splat (i32.const 2)) (i8x16.splat (i32.const 3))) (i16x8.splat (i32.const 1))))))`));
    assert.equal(RELAXED_PROBE, assemble(`(module
      (func (export "dot") (result i32) (i32x4.extract_lane 0 (i32x4.relaxed_dot_i8x16_i7x16_add_s
        (v128.const i8x16 -128 127 -128 -1 0 0 0 0 0 0 0 0 0 0 0 0) (v128.const i8x16 127 127 127 127 0 0 0 0 0 0 0 0 0 0 0 0) (i32x4.splat (i32.const 5)))))
      (func (export "dot2") (result i32) (i16x8.extract_lane_s 0 (i16x8.relaxed_dot_i8x16_i7x16_s
        (v128.const i8x16 -128 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0) (v128.const i8x16 127 127 0 0 0 0 0 0 0 0 0 0 0 0 0 0))))
      (func (export "fma") (result f32) (f32x4.extract_lane 0 (f32x4.relaxed_madd (f32x4.splat (f32.const 3)) (f32x4.splat (f32.const 5)) (f32x4.splat (f32.const 7)))))
      (func (export "nfma") (result f32) (f32x4.extract_lane 0 (f32x4.relaxed_nmadd (f32x4.splat (f32.const 3)) (f32x4.splat (f32.const 5)) (f32x4.splat (f32.const 7))))))`));
  });

  test('here', () => {
    const { simd, relaxed, threads } = detectFeatures();
    assert.ok(simd && threads);
    if (Number(process.versions.node.split('.')[0]) < 22) assert.equal(relaxed, false, 'never on Node < 22');
  });

  test('every build imports its memory and the progress of training, nothing else', () => {
    for (const name of ['simd', 'relaxed', 'simd-threads', 'relaxed-threads']) {
      const bytes = readFileSync(`${ROOT}web/wasm/${name}.wasm`);
      if (name.startsWith('relaxed') && !detectFeatures().relaxed) continue;
      const module = new WebAssembly.Module(bytes);
      assert.deepEqual(WebAssembly.Module.imports(module).map((entry) => `${entry.kind} ${entry.module}.${entry.name}`).sort(), ['function env.train_progress', 'memory env.memory'], name);
    }
  });
});

describe('Tokenizer', () => {
  /** @type {Tokenizer} */ let tokenizer;
  before(async () => { tokenizer = await Tokenizer.load(tokenizerFile); });
  after(() => tokenizer.dispose());

  test('every kind of source gives the same', async () => {
    const want = [...tokenizer.encode('hello world').ids];
    const bytes = new TextEncoder().encode(definition);
    const padded = new Uint8Array(bytes.length + 8);
    padded.set(bytes, 4);
    for (const source of [pathToFileURL(tokenizerFile), pathToFileURL(tokenizerFile).href, bytes, bytes.buffer, padded.subarray(4, 4 + bytes.length), new DataView(bytes.buffer), new Blob([bytes]), new File([bytes], 'x.json'),
      new Blob([bytes]).stream(), `data:application/json;base64,${Buffer.from(bytes).toString('base64')}`]) {
      const other = await Tokenizer.load(source);
      assert.deepEqual([...other.encode('hello world').ids], want);
      other.dispose();
    }
    await assert.rejects(Tokenizer.load(/** @type {any} */ (null)), fails('ERANGE', /a source must be/));
    await assert.rejects(Tokenizer.load(/** @type {any} */ ({})), fails('ERANGE'));
  });

  test('definitions that gzip has compressed, in every kind of source', async () => {
    const packed = gzipSync(definition), plain = await Tokenizer.load(tokenizerFile), expected = [...plain.encode('the token, loaded').ids];
    const path = files.write('tokenizer.json.gz', packed);
    const drops = () => new ReadableStream({ start(controller) { for (const byte of packed) controller.enqueue(Uint8Array.of(byte)); controller.close(); } });
    for (const source of [path, pathToFileURL(path), new Uint8Array(packed), new Blob([packed]), new Response(packed).body, drops()]) {
      const tok = await Tokenizer.load(/** @type {any} */ (source));
      assert.deepEqual([...tok.encode('the token, loaded').ids], expected);
      tok.dispose();
    }
    // The name decides what a rank file does not say: without ".gz".
    const ranks = Array.from({ length: 256 }, (_, b) => `${Buffer.of(b).toString('base64')} ${b}`).join('\n');
    const cl100k = await Tokenizer.load(files.write('cl100k_base.tiktoken.gz', gzipSync(ranks)));
    assert.deepEqual([...cl100k.encode('<|endoftext|>', { allowedSpecial: 'all' }).ids], [100257]);
    const binary = await plain.toBinary();
    for (const load of [Tokenizer.load, Tokenizer.fromBinary]) assert.deepEqual([...(await load(gzipSync(binary))).encode('the token, loaded').ids], expected);
    const gguf = await Tokenizer.load(gzipSync(readFileSync(BUNDLED))), from = await Tokenizer.load(BUNDLED);
    assert.deepEqual([...gguf.encode('the token, loaded').ids], [...from.encode('the token, loaded').ids]);
    // Damage, and files cut short.
    await assert.rejects(Tokenizer.load(packed.subarray(0, packed.length - 9)), fails('EFORMAT', /could not be unpacked/));
    await assert.rejects(Tokenizer.load(packed.map((x, i) => (i > 20 && i < 60 ? x ^ 0x55 : x))), fails('EFORMAT', /could not be unpacked/));
    await assert.rejects(Tokenizer.load(files.write('cut.json.gz', packed.subarray(0, 1))), fails('EUNKNOWN'));
    await assert.rejects(Tokenizer.load(drops(), { signal: AbortSignal.abort() }), aborted);
  });

  test('offsets in UTF-16 and bytes', () => {
    const text = 'é👍🏽 hello\ud800 \udc00x';
    const bytes = new TextEncoder().encode(text);
    const { ids, offsets } = tokenizer.encode(text);
    const { ids: same, offsets: places } = tokenizer.encode(text, { offsets: 'bytes' });
    const { offsets: direct } = tokenizer.encode(bytes);
    assert.deepEqual(ids, same);
    assert.deepEqual(direct, places);
    for (let i = 0; i < ids.length; i++) {
      // The slice of the bytes is the token; the slice of the string covers whole characters.
      assert.deepEqual(bytes.slice(places[2 * i], places[2 * i + 1]), tokenizer.tokenBytes(ids[i]));
      const slice = new TextEncoder().encode(text.slice(offsets[2 * i], offsets[2 * i + 1]));
      assert.ok(slice.length >= places[2 * i + 1] - places[2 * i] && slice.length - (places[2 * i + 1] - places[2 * i]) < 7);
    }
    assert.equal(offsets[2 * ids.length - 1], text.length);
    assert.equal(tokenizer.encode(text, { offsets: false }).offsets, null);
    assert.equal(tokenizer.decode(ids), text.replace(/[\ud800](?= )|(?<= )[\udc00]/g, '\ufffd'));
  });

  test('counts, batches, tokens, pieces', () => {
    assert.equal(tokenizer.count('hello world'), 2);
    assert.equal(tokenizer.count('hello world', { addSpecialTokens: true }), 3);
    assert.equal(tokenizer.isWithinLimit('hello world', 2), 2);
    assert.equal(tokenizer.isWithinLimit('hello world', 1), false);
    assert.equal(tokenizer.isWithinLimit('', 0), 0);
    assert.deepEqual(tokenizer.encodeBatch(['hello', 'world', '']).map(({ ids }) => ids.length), ['hello', 'world', ''].map((text) => tokenizer.count(text)));
    const tokens = [...tokenizer.tokens()];
    assert.equal(tokens.length, tokenizer.vocabSize);
    assert.deepEqual(tokens.filter(({ kind }) => kind === 'special').map(({ piece }) => piece), ['<|end|>']);
    for (const { id, piece, kind } of tokens) if (kind === 'normal') assert.equal(tokenizer.findPiece(piece), id);
    assert.equal(tokenizer.findPiece('Ġworld'), 264);
    assert.equal(tokenizer.tokenPiece(264), 'Ġworld');
    assert.equal(new TextDecoder().decode(tokenizer.tokenBytes(264)), ' world');
    assert.equal(tokenizer.findPiece('no such piece'), null);
    assert.equal(tokenizer.model, 'BPE');
  });

  test('decoding as it comes never shows half a character', () => {
    const text = 'a é 👍🏽 你好 hello world\n\n  x';
    const ids = tokenizer.encode(text).ids;
    const decoder = tokenizer.streamDecoder();
    let out = '';
    for (const id of [...ids, ...ids, ...ids]) {
      const piece = decoder.push(id);
      assert.doesNotMatch(piece, /\ufffd/);
      out += piece;
    }
    assert.equal(out + decoder.end(), text.repeat(3));
    decoder.push(tokenizer.encode('é').ids[0]);
    assert.equal(decoder.end(), '\ufffd');
    assert.deepEqual([...tokenizer.decodeBytes([195])], [195]);
    assert.equal(tokenizer.decode([195, 169]), 'é');
  });

  test('large and empty texts', () => {
    assert.deepEqual([...tokenizer.encode('').ids], []);
    const text = 'hello world, 你好 👍 '.repeat(200_000); // 5 MB of UTF-8, past the scratch that is kept
    const { ids, offsets } = tokenizer.encode(text);
    assert.equal(tokenizer.count(text), ids.length);
    assert.equal(offsets[2 * ids.length - 1], text.length);
    assert.equal(tokenizer.decode(ids), text);
  });

  test('what is wrong with a call is said, and the tokenizer stays usable', async () => {
    assert.throws(() => tokenizer.encode(/** @type {any} */ (3)), fails('ERANGE', /a string or a Uint8Array/));
    assert.throws(() => tokenizer.encode('x', /** @type {any} */ ({ addSpecial: true })), fails('EUNKNOWN', /unknown option "addSpecial": known are addSpecialTokens/));
    assert.throws(() => tokenizer.encode('x', /** @type {any} */ ({ offsets: 'chars' })), fails('EUNKNOWN', /known are "utf16", "bytes"/));
    for (const bad of [[-1], [266], [1.5], [NaN], ['1'], [2 ** 32]]) assert.throws(() => tokenizer.decode(/** @type {any} */ (bad)), fails('ERANGE', /is outside 0\.\.265/));
    assert.throws(() => tokenizer.tokenBytes(266), fails('ERANGE'));
    assert.throws(() => new Tokenizer(/** @type {any} */ ({}), 1), fails('ESTATE', /Tokenizer\.load/));
    assert.equal(tokenizer.count('hello'), 1);
    const other = await Tokenizer.load(tokenizerFile);
    other.dispose();
    other.dispose();
    assert.throws(() => other.encode('x'), fails('ESTATE', /disposed/));
    assert.throws(() => other.count('x'), fails('ESTATE'));
    assert.throws(() => other.decode([1]), fails('ESTATE'));
    assert.throws(() => [...other.tokens()], fails('ESTATE'));
  });

  test('bad definitions', async () => {
    await assert.rejects(Tokenizer.load(files.write('a.json', '{"model": "x"}')), (error) => { assert.equal(error.details.file, 'a.json'); return fails('EFORMAT')(error) || true; });
    await assert.rejects(Tokenizer.load(files.write('b.json', '{"model": {"type": "Sorcery", "vocab": {}}}')), fails('EUNKNOWN', /b\.json: .*"Sorcery".*known/));
    await assert.rejects(Tokenizer.load(files.write('c.json', definition.slice(0, -1))), (error) => fails('EFORMAT')(error) && typeof error.details.offset === 'number');
    await assert.rejects(Tokenizer.load(files.write('d.json', '')), fails('EFORMAT'));
    await assert.rejects(Tokenizer.load(files.folder), fails('EIO'));
    await assert.rejects(Tokenizer.load(`${files.folder}/absent`), fails('EIO', /absent: no such file/));
    await assert.rejects(Tokenizer.load(modelFile), fails('EMISSING'));
    await assert.rejects(Tokenizer.load(tokenizerFile, { signal: AbortSignal.abort() }), aborted);
  });
});

describe('Model', () => {
  const load = (/** @type {any} */ options = {}) => Model.load(modelFile, { threads: 1, ...options });

  test('a helper thread that cannot start costs its share of the speed and nothing else', async () => {
    const real = new URL('../../web/runtime/worker.js', import.meta.url).href;
    const want = await load().then(async (m) => { const r = await m.run([1, 2, 3]); await m.dispose(); return r.logits; });
    // Workers are numbered as they are started: the engine is the next one, and what comes after it ends before it listens.
    const probe = new Worker('', { eval: true }), engine = probe.threadId + 1;
    await once(probe, 'exit');
    const workerUrl = pathToFileURL(files.write('once.mjs', `import { threadId } from 'node:worker_threads';\nif (threadId > ${engine}) throw new Error('no more workers');\nawait import(${JSON.stringify(real)});\n`));
    const model = await Model.load(modelFile, { threads: 2, workerUrl });
    assert.equal(model.threads, 1);
    assert.deepEqual((await model.run([1, 2, 3])).logits, want);
    await model.dispose();
  });

  test('every kind of source, progress', async () => {
    const want = (await load().then(async (m) => { const r = await m.run([1, 2, 3]); await m.dispose(); return r; })).logits;
    const server = createServer((request, response) => {
      if (request.url === '/model.gguf') response.writeHead(200, { 'Content-Length': random.length }).end(random);
      else if (request.url === '/chunked.gguf') { response.writeHead(200); response.write(random.subarray(0, 7)); response.end(random.subarray(7)); }
      else response.writeHead(404).end('<html>');
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const origin = `http://127.0.0.1:${/** @type {any} */ (server.address()).port}`;
    try {
      for (const [source, total] of [[random, random.length], [random.buffer.slice(random.byteOffset, random.byteOffset + random.length), random.length], [new File([random], 'f.gguf'), random.length], [new Blob([random]).stream(), null],
        [pathToFileURL(modelFile), random.length], [`${origin}/model.gguf`, random.length], [new URL(`${origin}/chunked.gguf`), null]]) {
        /** @type {any[]} */ const told = [];
        const model = await Model.load(/** @type {any} */ (source), { threads: 1, onProgress: (p) => told.push(p) });
        assert.deepEqual((await model.run([1, 2, 3])).logits, want);
        await model.dispose();
        assert.deepEqual([...new Set(told.map(({ phase }) => phase))], ['download', 'prepare', 'ready']);
        assert.deepEqual(told.find(({ phase }) => phase === 'prepare'), { phase: 'prepare', loaded: random.length, total, file: told[0].file });
      }
      assert.ok(random.length > 0, 'the caller keeps its bytes');
      await assert.rejects(Model.load(`${origin}/absent.gguf`), (error) => fails('EHTTP', /absent\.gguf: the server answered 404/)(error) && error.details.status === 404);
      await assert.rejects(Model.load('http://127.0.0.1:9/none.gguf'), fails('EHTTP', /download failed/));
    } finally {
      server.close();
      server.closeAllConnections();
    }
  });

  test('info, describe, names', async () => {
    const model = await load();
    assert.deepEqual({ ...model.info, weightBytes: 0, parameters: 0 }, { architecture: 'llama', name: model.info.name, layers: 2, width: 64, heads: 4, kvHeads: 2, headWidth: 16, ffnWidth: 96, vocab: 300, context: 64, parameters: 0, weightBytes: 0, weightType: 'F32' });
    assert.equal(model.file, 'random.gguf');
    assert.match(model.engine, /1 thread$/);
    const names = await model.traceNames();
    assert.ok(names.includes('blocks.1.attn.hook_pattern') && names.includes('hook_embed'));
    assert.equal(typeof await model.describe(), 'object');
    assert.throws(() => model.tokenizer, MicrotomeError);
    await model.dispose();
  });

  test('builds and threads agree', { timeout: 60_000 }, async () => {
    const ids = Array.from({ length: 40 }, (_, i) => (i * 7919) % 300);
    for (const type of [GGML.F32, GGML.F16, GGML.Q8_0, GGML.Q4_0]) {
      const file = randomLlama({ ...SHAPE, ffn: 128 }, type, 3);
      /** @type {Map<string, Float32Array>} */ const seen = new Map();
      for (const { name, options } of engines()) {
        const model = await Model.load(file, options);
        seen.set(name, (await model.run(ids, { all: true })).logits);
        const last = (await model.run(ids)).logits;
        assert.deepEqual(last, seen.get(name)?.slice(-300), 'the last row is the last row');
        await model.dispose();
      }
      const scalar = /** @type {Float32Array} */ (seen.get('scalar'));
      const scale = scalar.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      for (const [name, logits] of seen) {
        for (let i = 0; i < scalar.length; i++) assert.ok(Math.abs(logits[i] - scalar[i]) <= 2e-5 * scale, `type ${type}, ${name}: ${logits[i]} at ${i}, scalar ${scalar[i]}`);
        const one = seen.get(name.replace(/, \d threads/, ''));
        assert.deepEqual(logits, one, `${name} does not depend on the threads`);
      }
    }
  });

  test('traces and patches', async () => {
    const model = await load();
    const ids = [1, 2, 3, 4];
    const plain = await model.run(ids); // tracing may take an unfused path, which rounds differently
    const { traces } = await model.run(ids, { trace: 'blocks.*.attn.hook_pattern' });
    assert.deepEqual(Object.keys(traces), ['blocks.0.attn.hook_pattern', 'blocks.1.attn.hook_pattern']);
    const { shape, data } = traces['blocks.0.attn.hook_pattern'];
    assert.deepEqual(shape, [4, 4, 4]);
    for (let h = 0; h < 4; h++) for (let q = 0; q < 4; q++) {
      const row = data.subarray((h * 4 + q) * 4, (h * 4 + q + 1) * 4);
      assert.ok(Math.abs(row.reduce((a, b) => a + b) - 1) < 1e-5);
      for (let k = q + 1; k < 4; k++) assert.equal(row[k], 0);
    }
    const name = 'blocks.1.hook_resid_pre';
    const value = (await model.run([9, 8, 7, 6], { trace: name })).traces[name].data;
    const patched = await model.run(ids, { patch: [{ name, kind: 'replace', value }], trace: name });
    assert.deepEqual(patched.traces[name].data, value);
    assert.notDeepEqual(patched.logits, plain.logits);
    assert.deepEqual((await model.run(ids)).logits, plain.logits, 'a patch is for one run');
    await model.run(ids, { patch: [{ name, kind: 'zero', count: 3 }, { name, kind: 'scale', value: 2, count: 5 }, { name, kind: 'add', offset: 2, value: [1] }] });
    await assert.rejects(model.run(ids, { trace: 'blocks.9.*' }), MicrotomeError);
    await assert.rejects(model.run(ids, { patch: [{ name: 'nothing', kind: 'zero' }] }), MicrotomeError);
    await assert.rejects(model.run(ids, { patch: [{ name, kind: /** @type {any} */ ('burn') }] }), fails('EUNKNOWN', /known are replace, add, scale, zero, mean, resample, freeze/));
    assert.deepEqual((await model.run(ids)).logits, plain.logits, 'and failures leave the model usable');
    await model.dispose();
  });

  test('generate: determinism, limits, filters', async () => {
    const model = await load();
    const ids = async (/** @type {any} */ options) => { const out = []; for await (const { id } of model.generate([5, 6], options)) out.push(id); return out; };
    const greedy = await ids({ temperature: 0, maxTokens: 20 });
    assert.equal(greedy.length, 20);
    assert.deepEqual([...(await model.greedy([5, 6], { maxTokens: 20 })).ids], greedy);
    assert.deepEqual(await ids({ topK: 1, seed: 3, maxTokens: 20 }), greedy, 'top-k 1 is greedy');
    assert.deepEqual(await ids({ topP: 0, seed: 3, maxTokens: 20 }), greedy, 'top-p 0 is greedy');
    assert.deepEqual(await ids({ minP: 1, seed: 3, maxTokens: 20 }), greedy, 'min-p 1 is greedy');
    assert.deepEqual(await ids({ seed: 2 ** 53 - 1, maxTokens: 20 }), await ids({ seed: 2 ** 53 - 1, maxTokens: 20 }));
    assert.deepEqual(await ids({ temperature: 0, maxTokens: 20, stop: [greedy[4]] }), greedy.slice(0, greedy.indexOf(greedy[4]) + 1));
    assert.deepEqual(await ids({ maxTokens: 0 }), []);
    assert.equal((await ids({ temperature: 0, maxTokens: 200 })).length, 200, 'rotary positions go on past the trained length');

    // Draws follow the distribution: frequencies of the first token over many seeds, with a filter.
    const { logits } = await model.run([5, 6]);
    const order = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 4);
    const weight = order.map((i) => Math.exp(logits[i] / 2));
    const total = weight.reduce((a, b) => a + b);
    const counts = new Map();
    const rounds = 400;
    for (let seed = 0; seed < rounds; seed++) { const [id] = await ids({ seed, topK: 4, temperature: 2, maxTokens: 1 }); counts.set(id, (counts.get(id) ?? 0) + 1); }
    assert.deepEqual([...counts.keys()].sort(), [...order].sort());
    order.forEach((id, i) => { const p = weight[i] / total; assert.ok(Math.abs(counts.get(id) / rounds - p) < 5 * Math.sqrt((p * (1 - p)) / rounds), `${counts.get(id)} of ${rounds} at p = ${p}`); });

    for await (const { id, logProb } of model.generate([5, 6], { temperature: 0, maxTokens: 1, logProbs: true })) {
      const top = Math.max(...logits);
      assert.ok(Math.abs(/** @type {number} */ (logProb) - (logits[id] - top - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - top), 0)))) < 1e-6);
    }
    for (const [options, code] of /** @type {[any, string][]} */ ([[{ temperature: -1 }, 'ERANGE'], [{ topP: 2 }, 'ERANGE'], [{ topK: 1.5 }, 'ERANGE'], [{ maxTokens: NaN }, 'ERANGE'], [{ seed: 0.5 }, 'ERANGE'], [{ heat: 1 }, 'EUNKNOWN'], [{ stop: [''] }, 'ERANGE']]))
      await assert.rejects(ids(options), fails(code));
    await assert.rejects(async () => { for await (const _ of model.generate('text')); }, MicrotomeError);
    await model.dispose();
  });

  test('aborts: before, while loading, while running, while generating', { timeout: 60_000 }, async () => {
    await assert.rejects(load({ signal: AbortSignal.abort() }), aborted);
    const reason = new Error('enough');
    await assert.rejects(load({ signal: AbortSignal.abort(reason) }), (error) => error === reason);

    // A download that stands still.
    const server = createServer((_, response) => { response.writeHead(200, { 'Content-Length': random.length }); response.write(random.subarray(0, 5000)); });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
    const controller = new AbortController();
    const loading = Model.load(`http://127.0.0.1:${/** @type {any} */ (server.address()).port}/m.gguf`, { threads: 1, signal: controller.signal, onProgress: ({ loaded }) => { if (loaded > 0) controller.abort(); } });
    setTimeout(() => controller.abort(), 500);
    await assert.rejects(loading, aborted);
    server.close();
    server.closeAllConnections();

    const model = await load();
    const want = (await model.run([1, 2, 3])).logits;
    await assert.rejects(model.run([1, 2, 3], { signal: AbortSignal.abort() }), aborted);
    const stop = new AbortController();
    const seen = [];
    await assert.rejects(async () => {
      for await (const { id } of model.generate([1, 2], { temperature: 0, maxTokens: 60, signal: stop.signal })) {
        seen.push(id);
        if (seen.length === 3) stop.abort();
      }
    }, aborted);
    assert.equal(seen.length, 3);
    for await (const _ of model.generate([1, 2], { maxTokens: 60 })) break; // leaving early
    assert.deepEqual((await model.run([1, 2, 3])).logits, want, 'the model stays usable');
    await model.dispose();
  });

  test('two models, and calls at the same time', async () => {
    const [a, b] = await Promise.all([load(), Model.load(randomLlama(SHAPE, GGML.F32, 99), { threads: 1 })]);
    const lists = [[1], [2, 3], [4, 5, 6], [7, 8, 9, 10]];
    const alone = [];
    for (const ids of lists) alone.push((await a.run(ids)).logits);
    const together = await Promise.all([...lists.map((ids) => a.run(ids)), a.greedy([1, 2], { maxTokens: 30 }), a.greedy([1, 2], { maxTokens: 30 }), b.run([1])]);
    lists.forEach((_, i) => assert.deepEqual(/** @type {any} */ (together[i]).logits, alone[i]));
    assert.deepEqual(together[4], together[5]);
    assert.notDeepEqual(/** @type {any} */ (together[6]).logits, alone[0]);
    const running = a.greedy([1], { maxTokens: 50 });
    const refused = assert.rejects(running, fails('ESTATE'));
    await a.dispose();
    await refused;
    await a.dispose();
    await assert.rejects(a.run([1]), fails('ESTATE', /disposed/));
    assert.throws(() => a.tokenizer, fails('ESTATE'));
    assert.equal((await b.run([1])).logits.length, 300, 'the other lives on');
    await b.dispose();
  });

  test('files that are no models', { timeout: 60_000 }, async () => {
    const cases = /** @type {[string, Uint8Array | string, string, RegExp][]} */ ([
      ['text.gguf', 'hello, this is not a model at all', 'EFORMAT', /text\.gguf/],
      ['html.gguf', '<!doctype html><title>404</title>', 'EFORMAT', /html\.gguf/],
      ['empty.gguf', '', 'EFORMAT', /empty\.gguf/],
      ['magic.gguf', 'GGUF', 'EFORMAT', /magic\.gguf/],
      ['version.gguf', Uint8Array.from([0x47, 0x47, 0x55, 0x46, 99, 0, 0, 0, ...new Array(16).fill(0)]), 'EFORMAT|EUNKNOWN', /99/],
      ['huge.gguf', Uint8Array.from([0x47, 0x47, 0x55, 0x46, 3, 0, 0, 0, ...new Array(16).fill(0xff)]), 'EFORMAT|ERANGE|ELIMIT', /huge\.gguf/],
      ['architecture.gguf', writeGguf({ metadata: { 'general.architecture': 'sorcery', 'sorcery.block_count': u32(1) }, tensors: [] }), 'EUNKNOWN', /sorcery.*known.*llama/s],
      ['keys.gguf', writeGguf({ metadata: { 'general.architecture': 'llama' }, tensors: [] }), 'EMISSING', /llama\./],
      ['cut header.gguf', random.subarray(0, 400), 'EFORMAT|ERANGE', /cut header\.gguf/],
      ['cut data.gguf', random.subarray(0, random.length - 5000), 'EFORMAT', /cut data\.gguf: .*tensor/],
    ]);
    for (const [name, data, code, message] of cases)
      await assert.rejects(Model.load(files.write(name, data), { threads: 1 }), (error) => {
        assert.ok(error instanceof MicrotomeError, String(error));
        assert.match(error.code, new RegExp(`^(${code})$`), `${name}: ${error.code} ${error.message}`);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /internal error/);
        assert.equal(error.details.file, name);
        return true;
      });
    await assert.rejects(Model.load(`${files.folder}/absent.gguf`), fails('EIO', /no such file/));
    await assert.rejects(Model.load(modelFile, /** @type {any} */ ({ gpu: true })), fails('EUNKNOWN', /unknown option "gpu": known are cache, onProgress/));
    await assert.rejects(Model.load(modelFile, { threads: 0 }), fails('ERANGE'));
    await assert.rejects(Model.load(modelFile, { workerUrl: pathToFileURL(`${files.folder}/absent.js`) }), fails('EWORKER', /workerUrl/));
    await assert.rejects(Model.load(modelFile, { workerUrl: pathToFileURL(files.write('broken.mjs', 'throw new Error("broken")')) }), fails('EWORKER', /broken/));
    assert.throws(() => new Model(/** @type {any} */ ({}), /** @type {any} */ ({})), fails('ESTATE'));
  });

  test('where the module comes from', async () => {
    const url = new URL('../../web/wasm/', import.meta.url);
    const simd = readFileSync(new URL('simd.wasm', url));
    for (const options of [{ wasmUrl: url }, { wasmUrl: url.href }, { wasmUrl: new URL('simd.wasm', url) }, { wasmUrl: { simd: new URL('simd.wasm', url) } }, { wasmBinary: simd }, { wasmBinary: new Uint8Array(simd).buffer }, { wasmModule: new WebAssembly.Module(simd) },
      { variant: /** @type {const} */ ('simd') }, { wasmUrl: new URL('simd-threads.wasm', url), variant: /** @type {const} */ ('simd-threads'), threads: 2 }]) {
      const model = await load(options);
      assert.equal((await model.run([1])).logits.length, 300);
      await model.dispose();
      const tokenizer = await Tokenizer.load(tokenizerFile, Object.fromEntries(Object.entries(options).filter(([name]) => name !== 'threads')));
      assert.equal(tokenizer.count('hello'), 1);
      tokenizer.dispose();
    }
    await assert.rejects(load({ wasmUrl: new URL('absent.wasm', url) }), fails('EIO', /absent\.wasm/));
    await assert.rejects(load({ wasmBinary: new Uint8Array(10) }), fails('EUNSUPPORTED', /not a WebAssembly module/));
    await assert.rejects(load({ variant: 'mmx' }), fails('EUNKNOWN', /known are simd, relaxed/));
    if (!detectFeatures().relaxed) await assert.rejects(load({ isa: 'relaxed' }), fails('EUNSUPPORTED', /relaxed SIMD/));
  });
});

test('a worker that idles does not keep Node alive', async () => {
  const { spawn } = await import('node:child_process');
  const script = `import { Model } from ${JSON.stringify(new URL('../../web/index.js', import.meta.url).href)};
    const model = await Model.load(${JSON.stringify(modelFile)}, { threads: 2 }); console.log((await model.run([1])).vocab);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000 });
  let out = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => { out += chunk; });
  child.stderr.on('data', (chunk) => { stderr += chunk; });
  const status = await new Promise((resolve) => child.on('close', resolve));
  assert.deepEqual([status, out, stderr], [0, '300\n', '']);
});

describe('ByteModel', () => {
  /** @type {Model} */ let model;
  before(async () => { model = await Model.load(BUNDLED, { threads: 1 }); });
  after(() => model.dispose());
  const close = (/** @type {number} */ a, /** @type {number} */ b, /** @type {string} */ what, tolerance = 1e-5) => assert.ok(a === b || Math.abs(a - b) < tolerance * Math.max(1, Math.abs(b)), `${what}: ${a}, expected ${b}`);
  const sum = (/** @type {Iterable<number>} */ logs) => [...logs].reduce((total, x) => total + Math.exp(x), 0);

  test('sums to one, does not depend on the way there, follows the chain rule', { timeout: 60_000 }, async () => {
    const bytes = new ByteModel(model);
    assert.equal(bytes.target, 'valid');
    const texts = ['', 'Once', 'Once upon a ti', 'Once upon a time', 'Once upon', 'The sign said caf', 'The sign said caf\u00e9', 'Once upon a time'];
    /** @type {Map<string, any>} */ const seen = new Map();
    for (const text of texts) {
      const got = await bytes.next(text);
      assert.equal(got.bytes.length, 256);
      assert.equal(got.naive?.length, 257);
      assert.equal(got.missingMass, 0);
      assert.equal(got.target, 'valid');
      assert.equal(got.tree, null);
      close(sum([...got.bytes, got.end]), 1, 'sum', 1e-9);
      close(sum(/** @type {Float64Array} */ (got.naive)), 1, 'sum of the naive ones', 1e-9);
      const fresh = new ByteModel(model);
      const again = await fresh.next(text);
      await fresh.dispose();
      for (let b = 0; b < 256; b++) close(got.bytes[b], again.bytes[b], `${text} + byte ${b}`);
      close(got.textLogProb, again.textLogProb, text);
      seen.set(text, got);
    }
    // P(text + byte) = P(text) P(byte | text), asked in three ways. 'valid' normalises afterwards: what turns out to be no spelling leaves its sum.
    const chain = new ByteModel(model, { target: 'masked' });
    let total = 0;
    for (const [i, byte] of [...new TextEncoder().encode('Once upon')].entries()) {
      const part = await chain.next('Once upon'.slice(0, i));
      close(part.textLogProb, total, `byte ${i}`);
      close((await chain.score('Once upon'.slice(0, i))).textLogProb, total, `score ${i}`);
      total += part.bytes[byte];
    }
    close((await chain.next('Once upon')).textLogProb, total, 'byte by byte');
    close(seen.get('Once upon').textLogProb, total, 'nearly the same', 0.01);
    await chain.dispose();
    const [raw, text2] = [await bytes.next(Uint8Array.of(0x63, 0x61, 0x66, 0xc3)), await bytes.next('caf')];
    assert.ok(raw.bytes[0xa9] > Math.log(0.2), 'half a character goes on');
    close(raw.textLogProb, text2.textLogProb + text2.bytes[0xc3], 'half a character', 0.01);
    const bare = await bytes.next('Once upon', { naive: false, tree: true });
    assert.equal(bare.naive, null);
    assert.ok(bare.tree && bare.tree.length === 9 && bare.tree.nodes.some((node) => node.live));
    close(bare.bytes[0x20], seen.get('Once upon').bytes[0x20], 'without the naive answer');
    await bytes.dispose();
    await bytes.dispose();
    await assert.rejects(bytes.next('x'), fails('ESTATE', /disposed/));
  });

  test('targets, beams, several at once, threads', { timeout: 60_000 }, async () => {
    const text = 'Lily was very hap';
    const [valid, masked, all] = await Promise.all(['valid', 'masked', 'all'].map(async (target) => {
      const bytes = new ByteModel(model, { target: /** @type {any} */ (target), ...(target === 'all' && { beam: 32, epsilon: 1e-7 }) });
      const [a, b, c] = await Promise.all([bytes.next(text), bytes.next('Lily'), bytes.next(text)]); // in turn
      assert.deepEqual(a.bytes.map((x) => Math.fround(x)), c.bytes.map((x) => Math.fround(x)));
      assert.notDeepEqual(a.bytes, b.bytes);
      await bytes.dispose();
      return a;
    }));
    assert.deepEqual([valid.target, masked.target, all.target], ['valid', 'masked', 'all']);
    assert.ok(all.missingMass > 0 && all.missingMass < 0.1);
    for (const other of [masked, all]) assert.ok(Math.abs(Math.exp(valid.bytes[0x70]) - Math.exp(other.bytes[0x70])) < 0.05, 'the same model');
    const threaded = await Model.load(BUNDLED, { threads: 2 });
    assert.deepEqual((await new ByteModel(threaded).next(text)).bytes, valid.bytes);
    await threaded.dispose();
  });

  test('what is wrong is said, and the model stays usable', { timeout: 60_000 }, async () => {
    assert.throws(() => new ByteModel(/** @type {any} */ ({})), fails('ERANGE'));
    assert.throws(() => new ByteModel(model, { target: /** @type {any} */ ('some') }), fails('EUNKNOWN', /known are valid, masked, all/));
    assert.throws(() => new ByteModel(model, /** @type {any} */ ({ targets: 1 })), fails('EUNKNOWN', /unknown option/));
    assert.throws(() => new ByteModel(model, { beam: -1 }), fails('ERANGE'));
    const bytes = new ByteModel(model, { contextTokens: 64 });
    await assert.rejects(bytes.next(/** @type {any} */ (3)), fails('ERANGE'));
    const before = await bytes.next('Once upon a');
    await assert.rejects(bytes.next('word '.repeat(400)), fails('ELIMIT'));
    assert.deepEqual((await bytes.next('Once upon a')).bytes, before.bytes);
    await assert.rejects(bytes.next('Once', { signal: AbortSignal.abort() }), aborted);
    await bytes.dispose();
    const bare = await Model.load(modelFile, { threads: 1 });
    await assert.rejects(new ByteModel(bare).next('x'), MicrotomeError);
    assert.equal((await bare.run([1])).vocab, 300);
    await bare.dispose();
    const orphan = new ByteModel(bare);
    await assert.rejects(orphan.next('x'), fails('ESTATE'));
    await orphan.dispose();
  });
});
