// The module that only runs models is another build of the same sources: on every architecture and storage type it must say what the whole one
// says, which the other tests compare with the references.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { ByteModel, Model as Whole, Tokenizer as WholeTokenizer, quantize } from '../../web/index.js';
import { Model, Tokenizer, encodeStream } from '../../web/core.js';
import { ROOT, skipWithoutShared, unpack } from '../support/shared.mjs';

/** Architectures of the archives that nothing here reads: both say so. */
const NOT_READ = ['big_bird_full', 'big_bird_sparse', 'canine', 'ctrl', 'deepseek_v3', 'diffllama', 'falcon_h1', 'fnet', 'funnel', 'jamba', 'nystromformer', 'qwen3_next', 'recurrent_gemma', 'roformer', 'whisper', 'xglm'];
const TINY = join(ROOT, 'models/microtome-tiny.gguf'), TEXTS = ['', 'Once upon a time, there was a naïve 🙂', '  12345\n\n\ttabs <|endoftext|> 한국어'];

/** Both, on the same kernels and one thread. @param {any} source @param {(small: Model, whole: Whole) => Promise<void>} use */
async function both(source, use) {
  const [small, whole] = await Promise.all([Model.load(source), Whole.load(source, { variant: 'simd', threads: 1 })]);
  try {
    await use(small, whole);
  } finally {
    await Promise.all([small.dispose(), whole.dispose()]);
  }
}
/** @param {AsyncIterable<any>} stream */
async function all(stream) {
  const out = [];
  for await (const part of stream) out.push(part);
  return out;
}

describe('microtome/core says what microtome says', () => {
  test('the bundled model: tokens, logits, traces, patches, sessions, samplers, perplexity', () => both(TINY, async (small, whole) => {
    assert.match(small.engine, /^core, simd kernels, 1 thread$/);
    assert.deepEqual(small.info, whole.info);
    for (const text of TEXTS) assert.deepEqual(small.tokenizer.encode(text), whole.tokenizer.encode(text));
    const ids = small.tokenizer.encode('Once upon a time, there was a little').ids;
    const traced = { all: true, trace: ['blocks.*.attn.hook_pattern', '*resid_post'] };
    assert.deepEqual(await small.run(ids, traced), await whole.run(ids, traced));
    const patched = { patch: [{ name: 'blocks.1.hook_attn_out', kind: 'zero' }] };
    assert.deepEqual(await small.run(ids, /** @type {any} */ (patched)), await whole.run(ids, /** @type {any} */ (patched)));
    assert.notDeepEqual((await small.run(ids, /** @type {any} */ (patched))).logits, (await small.run(ids)).logits);
    for (const options of [{ temperature: 0 }, { temperature: 0.9, topK: 40, topP: 0.9, minP: 0.02, repeatPenalty: 1.1, seed: 5, logProbs: 3 }])
      assert.deepEqual(await all(small.generate('Once upon', { maxTokens: 30, ...options })), await all(whole.generate('Once upon', { maxTokens: 30, ...options })));
    assert.deepEqual(await small.perplexity('The cat sat on the mat. It was a fat cat.'), await whole.perplexity('The cat sat on the mat. It was a fat cat.'));
    assert.deepEqual(await small.runBatch(['One', 'and two']), await whole.runBatch(['One', 'and two']));
    const sessions = await Promise.all([small, whole].map(async (model) => {
      const session = await model.session(), first = await session.append(ids), fork = await session.fork(), second = await fork.append([5, 6]);
      const state = await session.save(), again = await model.session({ state });
      return [first, second, await again.append([7])];
    }));
    assert.deepEqual(sessions[0], sessions[1]);
  }));

  for (const type of /** @type {const} */ (['F32', 'F16', 'BF16', 'Q4_0', 'Q4_1', 'Q5_0', 'Q5_1', 'Q4_K', 'Q5_K', 'Q6_K']))
    test(`weights in ${type}`, async () => {
      const { bytes } = /** @type {any} */ (await quantize(TINY, { type }));
      await both(bytes, async (small, whole) => assert.deepEqual((await small.run([1, 20, 300, 40, 5], { all: true })).logits, (await whole.run([1, 20, 300, 40, 5], { all: true })).logits));
    });

  describe('architectures', { skip: skipWithoutShared }, () => {
    for (const [archive, folder] of [['architectures.tar.xz', 'hf_public'], ['architectures-more.tar.xz', 'hf_public2']])
      test(archive, { timeout: 240_000 }, async () => {
        const root = join(unpack(archive), folder), names = readdirSync(root).sort();
        assert.ok(names.length > 30);
        let compared = 0;
        for (const name of names) {
          const files = ['config.json', 'model.safetensors'].map((file) => join(root, name, file));
          const refused = (/** @type {typeof Model | typeof Whole} */ M) => M.load(files).then((model) => model.dispose().then(() => ''), (error) => error.message);
          if (NOT_READ.includes(name)) { assert.equal(await refused(Model), await refused(Whole)); continue; }
          await both(files, async (small, whole) => {
            const options = { all: true, ...(whole.info.encoderLayers && { decoderIds: [0, 3, 9] }) };
            const [got, want] = await Promise.all([small, whole].map((model) => model.run([3, 14, 15, 9, 26], options).catch((error) => error.message)));
            assert.deepEqual(got, want, name);
            compared += typeof want === 'string' ? 0 : 1;
          });
        }
        assert.equal(compared, names.filter((name) => !NOT_READ.includes(name)).length);
      });
  });

  test('a hub folder brings its tokenizer', { skip: skipWithoutShared }, async () => {
    const root = join(unpack('architectures.tar.xz'), 'hf_public/llama'), definition = join(ROOT, 'models/vocabularies/bpe-1k.json');
    const files = [...['config.json', 'model.safetensors'].map((file) => join(root, file)), new File([readFileSync(definition)], 'tokenizer.json')];
    await both(files, async (small, whole) => assert.deepEqual(small.tokenizer.encode('a tokenizer'), whole.tokenizer.encode('a tokenizer')));
  });

  test('tokenizers', async () => {
    for (const name of readdirSync(join(ROOT, 'models/vocabularies')).filter((file) => file.endsWith('.json'))) {
      const path = join(ROOT, 'models/vocabularies', name), [small, whole] = await Promise.all([Tokenizer.load(path), WholeTokenizer.load(path)]);
      for (const text of TEXTS) assert.deepEqual(small.encode(text), whole.encode(text), name);
      const ids = [];
      for await (const part of encodeStream(small, ['Once up', 'on a time'])) ids.push(...part);
      assert.deepEqual(ids, [...whole.encode('Once upon a time').ids]);
      for (const one of [small, whole]) one.dispose();
    }
    assert.deepEqual((await Tokenizer.builtin('byt5')).encode('ab'), (await WholeTokenizer.builtin('byt5')).encode('ab'));
  });
});

test('it is the same class; what it has not is an error that says where it is, and it stays usable', async () => {
  const model = await Model.load(TINY);
  assert.ok(model instanceof Model && model instanceof Whole);
  const before = (await model.run([1, 2, 3])).logits;
  for (const asked of [() => model.gradients([1, 2, 3], { parameters: ['*'] }), () => model.finetune(), async () => new ByteModel(model).next('Once'), () => all(new ByteModel(model).generate('Once'))])
    await assert.rejects(async () => asked(), (error) => /** @type {any} */ (error).code === 'EUNSUPPORTED' && /'microtome' can do more/.test(/** @type {any} */ (error).message));
  await assert.rejects(async () => model.tokenizer.encode('ab', { segmenter: 'bytes' }), { code: 'EUNSUPPORTED' });
  const again = await Tokenizer.fromBinary(await model.tokenizer.toBinary());
  assert.deepEqual(again.encode('as before'), model.tokenizer.encode('as before'));
  again.dispose();
  assert.deepEqual((await model.run([1, 2, 3])).logits, before);
  await model.dispose();
  await assert.rejects(Model.load(TINY, { threads: 2 }), { code: 'EUNSUPPORTED' });
  await assert.rejects(Model.load(TINY, { isa: 'ref' }), { code: 'EUNKNOWN' });
  await assert.rejects(Model.load(readFileSync(TINY).subarray(0, 5000)), { name: 'MicrotomeError' });
});

test('an application that runs models loads less than 300 kB', async (t) => {
  const { outputFiles, metafile } = await build({ stdin: { contents: "import { Model } from 'microtome/core'; console.log(Model);", resolveDir: ROOT, sourcefile: 'app.js' }, bundle: true, minify: true, splitting: true, outdir: 'out', format: 'esm', write: false, metafile: true, absWorkingDir: ROOT, external: ['node:*'], logLevel: 'error' });
  // What loads at once: the application's file and what it imports statically, not what is imported when asked for (fine-tuning).
  const files = new Set(), visit = (/** @type {string} */ name) => { if (!files.has(name)) { files.add(name); metafile.outputs[name].imports.filter(({ kind }) => kind === 'import-statement').forEach(({ path }) => visit(path)); } };
  visit(Object.keys(metafile.outputs).find((name) => metafile.outputs[name].entryPoint) ?? '');
  const zipped = (/** @type {Uint8Array} */ bytes) => gzipSync(bytes, { level: 9 }).length;
  const script = outputFiles.filter(({ path }) => [...files].some((name) => path.endsWith(name))).reduce((sum, { contents }) => sum + zipped(contents), 0);
  const [worker, module] = ['runtime/core_worker.js', 'wasm/core.wasm'].map((name) => zipped(readFileSync(join(ROOT, 'web', name))));
  t.diagnostic(`script ${(script / 1000).toFixed(1)} kB, worker ${(worker / 1000).toFixed(1)} kB, module ${(module / 1000).toFixed(1)} kB`);
  assert.ok(files.size >= 1 && script > 15_000);
  assert.ok(script + worker + module < 300_000, `${script} + ${worker} + ${module} bytes`);
});
