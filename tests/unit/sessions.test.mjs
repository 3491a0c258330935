// Sessions: reading on, forks, going back, forgetting, inserting, trees, saved states, kinds of cache; against evaluation from nothing.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { MicrotomeError, Model } from '../../web/index.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { skipWithoutShared, unpack } from '../support/shared.mjs';
import { BUNDLED, scratch } from '../support/wasm.mjs';

const files = scratch();
const SHAPE = { layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 256, base: 10000 };
const modelFile = files.write('random.gguf', randomLlama(SHAPE, GGML.F32));
const otherFile = files.write('other.gguf', randomLlama(SHAPE, GGML.F32, 2));
const text = Array.from({ length: 150 }, (_, i) => (i * 97 + 13) % 300);
/** @type {Model} */ let model;
before(async () => { model = await Model.load(modelFile, { threads: 1 }); });
after(() => model.dispose());

/** Logits after a list of tokens, from nothing. @param {number[]} ids @param {Model} [of] */
const fresh = async (ids, of = model) => (await of.run(ids)).logits;
/** @param {Float32Array} a @param {Float32Array} b */
const distance = (a, b) => { let d = 0, top = 0; for (let i = 0; i < b.length; i++) { d = Math.max(d, Math.abs(a[i] - b[i])); top = Math.max(top, Math.abs(b[i])); } return d / top; };
const code = (/** @type {string} */ c, /** @type {RegExp} */ pattern = /./) => (/** @type {any} */ error) => error instanceof MicrotomeError && error.code === c && pattern.test(error.message) || assert.fail(`${error?.code}: ${error?.message}`);

describe('reading on', () => {
  test('piece by piece equals all at once, to the last bit', async () => {
    const session = await model.session();
    assert.equal(session.length, 0);
    const parts = [1, 2, 60, 37, 50];
    let at = 0, logits = new Float32Array(0);
    for (const n of parts) {
      ({ logits } = await session.append(text.slice(at, at + n)));
      at += n;
      assert.equal(session.length, at);
    }
    assert.deepEqual(logits, await fresh(text));
    assert.deepEqual(await session.logits(), logits);
    assert.deepEqual([...(await session.tokens()).tokens], text);
    assert.deepEqual([...(await session.tokens()).positions], text.map((_, i) => i));
    const all = await model.run(text, { all: true });
    const second = await model.session({ slots: 150 });
    await second.append(text.slice(0, 20), { logits: 'none' });
    assert.deepEqual((await second.append(text.slice(20), { logits: 'all' })).logits, all.logits.slice(20 * 300));
    await second.dispose();
    await session.dispose();
    await session.dispose();
    await assert.rejects(session.append([1]), code('ESTATE', /disposed/));
  });

  test('probabilities of what is read', async () => {
    const want = await model.logProbs(text);
    const session = await model.session();
    const got = [...await session.logProbs(text.slice(0, 10)), ...await session.logProbs(text.slice(10, 11)), ...await session.logProbs(text.slice(11))];
    assert.ok(Number.isNaN(got[0]));
    assert.deepEqual(got.slice(1), [...want]);
    await session.rewind(40);
    assert.deepEqual([...await session.logProbs(text.slice(40))], [...want.slice(39)], 'after going back the last token is evaluated again');
    await session.dispose();
  });

  test('traces and patches inside a session', async () => {
    const session = await model.session();
    const name = 'blocks.1.hook_resid_post';
    await session.append(text.slice(0, 30));
    const { traces } = await session.append(text.slice(30, 34), { trace: [name, 'blocks.0.attn.hook_pattern'] });
    assert.deepEqual(traces[name].shape, [4, 64]);
    assert.deepEqual(traces['blocks.0.attn.hook_pattern'].shape, [4, 4, 34]);
    const whole = (await model.run(text.slice(0, 34), { trace: name })).traces[name].data;
    assert.ok(distance(traces[name].data, whole.slice(30 * 64)) < 1e-5);
    await session.rewind(30);
    const patched = await session.append(text.slice(30, 34), { patch: [{ name: 'blocks.0.hook_attn_out', kind: 'zero', count: 4 * 64 }] });
    const direct = await model.run(text.slice(0, 34), { patch: [{ name: 'blocks.0.hook_attn_out', kind: 'zero', offset: 30 * 64, count: 4 * 64 }] });
    assert.ok(distance(patched.logits, direct.logits) < 1e-5);
    await session.rewind(30);
    assert.deepEqual((await session.append(text.slice(30, 34))).logits, await fresh(text.slice(0, 34)), 'and nothing of it stays');
    await session.dispose();
  });

  test('errors and aborts leave it as it was', async () => {
    const session = await model.session({ slots: 100 });
    await session.append(text.slice(0, 60));
    await assert.rejects(session.append(text.slice(0, 41)), code('ELIMIT', /full/));
    assert.equal(session.info.free, 40);
    await assert.rejects(session.append([1, 300]), code('ERANGE', /id 300/));
    await assert.rejects(session.append([]), code('ERANGE'));
    await assert.rejects(session.append([1], { trace: 'blocks.9.*' }), code('EUNKNOWN'));
    await assert.rejects(session.append([1], { signal: AbortSignal.abort() }), { name: 'AbortError' });
    await assert.rejects(session.rewind(61), code('ERANGE'));
    await assert.rejects(session.drop(50, 11), code('ERANGE'));
    await assert.rejects(session.shift(0, -1), code('ERANGE', /position/));
    await assert.rejects(session.insert(61, [1]), code('ERANGE'));
    await assert.rejects(session.take(0), code('ESTATE'));
    assert.throws(() => session.tree([1, 2], [-1, 1]), code('ERANGE', /parent of token 1/));
    assert.throws(() => session.append([1], /** @type {any} */ ({ logits: 'some' })), code('EUNKNOWN'));
    assert.deepEqual((await session.append(text.slice(60, 70))).logits, await fresh(text.slice(0, 70)));
    await session.dispose();
    await assert.rejects(model.session({ slots: 0 }), code('ERANGE'));
    await assert.rejects(model.session(/** @type {any} */ ({ kv: 'f64' })), code('EUNKNOWN', /known are f32, f16, q8/));
    await assert.rejects(model.session({ source: [1] }), code('ESTATE'));
    await assert.rejects((await model.session()).logits(), code('ERANGE', /empty/));
  });
});

describe('branches', () => {
  test('forks equal evaluation from nothing, share what they have in common, and end one by one', async () => {
    const stem = await model.session({ slots: 100 });
    await stem.append(text.slice(0, 40));
    const forks = await Promise.all([stem.fork(), stem.fork(), stem.fork()]);
    assert.equal((await forks[0].append([7, 8])).logits.length, 300);
    const tails = [[7, 8, 9], [10], [11, 12, 13, 14]];
    await forks[0].append([9]);
    await forks[1].append(tails[1]);
    await forks[2].append(tails[2]);
    assert.equal(forks[2].info.free, 100 - 40 - 8, 'forty tokens are kept once');
    for (const [i, fork] of forks.entries()) assert.deepEqual(await fork.logits(), await fresh([...text.slice(0, 40), ...tails[i]]), `fork ${i}`);
    await stem.dispose();
    await forks[1].dispose();
    const child = await forks[0].fork();
    assert.equal(child.info.free, 100 - 47);
    await forks[0].rewind(20);
    assert.equal(forks[0].info.free, 100 - 47, 'others need it');
    assert.deepEqual((await forks[0].append([3])).logits, await fresh([...text.slice(0, 20), 3]));
    await forks[0].dispose();
    await forks[2].dispose();
    assert.deepEqual(await child.logits(), await fresh([...text.slice(0, 40), 7, 8, 9]));
    await child.rewind(0);
    assert.equal(child.info.free, 100);
    assert.deepEqual((await child.append([5])).logits, await fresh([5]));
    await child.dispose();
  });

  test('a tree equals its sequences one by one', async () => {
    const session = await model.session();
    await session.append(text.slice(0, 12));
    const tokens = [20, 21, 22, 23, 24, 25, 26], parents = [-1, 0, 0, 1, -1, 4, 3];
    const { logits, vocab } = await session.tree(tokens, parents);
    const path = (/** @type {number} */ i) => /** @type {number[]} */ (i < 0 ? text.slice(0, 12) : [...path(parents[i]), tokens[i]]);
    for (let i = 0; i < tokens.length; i++) assert.deepEqual(logits.slice(i * vocab, (i + 1) * vocab), await fresh(path(i)), `token ${i}`);
    await session.take(3);
    assert.equal(session.length, 15);
    assert.equal(session.info.free, session.info.slots - 15, 'the rest of the tree is gone');
    assert.deepEqual((await session.append([99])).logits, await fresh([...path(3), 99]));
    await session.tree([1, 2], [-1, 0]);
    await session.append([98]);
    assert.equal(session.info.free, session.info.slots - 17, 'a tree that was not taken is forgotten');
    await session.dispose();
    const empty = await model.session();
    const { logits: roots } = await empty.tree([5, 6, 7], [-1, -1, 1]);
    assert.deepEqual(roots.slice(300, 600), await fresh([6]));
    assert.deepEqual(roots.slice(600), await fresh([6, 7]));
    await empty.take(0);
    assert.deepEqual([...(await empty.tokens()).tokens], [5]);
    await empty.dispose();
  });

  test('a batch of independent texts equals each alone', async () => {
    const lists = [[1], text.slice(0, 90), [5, 6, 7], text.slice(40, 130), [1]];
    const rows = await model.runBatch(lists);
    for (const [i, ids] of lists.entries()) assert.deepEqual(rows[i], await fresh(ids), `text ${i}`);
    assert.deepEqual(await model.runBatch([]), []);
    await assert.rejects(model.runBatch([[1], []]), code('ERANGE'));
  });
});

describe('forgetting and inserting', () => {
  /** Keys before rotation, and values, of every token of a text. @param {number[]} ids */
  async function remembered(ids) {
    const names = [0, 1].flatMap((l) => [`blocks.${l}.attn.hook_k`, `blocks.${l}.attn.hook_v`]);
    return (await model.run(ids, { trace: names })).traces;
  }
  /** The next token's logits when it sees the tokens `places` of `ids` as they were computed there, side by side: their keys and values put in by hand, turned to the new places.
   * @param {number[]} ids @param {number[]} places @param {number} next */
  async function masked(ids, places, next) {
    const traces = await remembered(ids), width = 2 * 16;
    const patch = Object.entries(traces).map(([name, { data }]) => ({ name, kind: /** @type {const} */ ('replace'), offset: 0, value: Float32Array.from(places.flatMap((p) => [...data.subarray(p * width, (p + 1) * width)])) }));
    return (await model.run([...places.map((p) => ids[p]), next], { patch })).logits;
  }

  test('dropped tokens are as if masked; the rest moves up', async () => {
    for (const [n, first, count] of [[60, 4, 30], [100, 0, 1], [100, 99, 1], [130, 1, 120], [40, 10, 0]]) {
      const ids = text.slice(0, n), session = await model.session();
      await session.append(ids);
      await session.drop(first, count);
      assert.equal(session.length, n - count);
      const places = ids.map((_, i) => i).filter((i) => i < first || i >= first + count);
      assert.deepEqual([...(await session.tokens()).tokens], places.map((i) => ids[i]));
      assert.deepEqual([...(await session.tokens()).positions], places.map((_, i) => i));
      const d = distance((await session.append([77])).logits, await masked(ids, places, 77));
      assert.ok(d < 1e-5, `${n} ${first} ${count}: ${d}`);
      await session.dispose();
    }
  });

  test('a window with sinks: dropping again and again', async () => {
    const session = await model.session({ slots: 40 });
    await session.append(text.slice(0, 30));
    for (let i = 30; i < 110; i++) {
      if (!session.info.free) await session.drop(4, 10);
      await session.append([text[i]], { logits: 'none' });
    }
    const { tokens, positions } = await session.tokens();
    assert.deepEqual([...tokens], [...text.slice(0, 4), ...text.slice(110 - tokens.length + 4, 110)]);
    assert.deepEqual([...positions], [...tokens.keys()]);
    await session.dispose();
  });

  test('positions may stay, and be moved later', async () => {
    const session = await model.session();
    await session.append(text.slice(0, 30));
    await session.drop(5, 10, { close: false });
    assert.deepEqual([...(await session.tokens()).positions], [...Array(5).keys(), ...Array.from({ length: 15 }, (_, i) => i + 15)]);
    const apart = await session.fork();
    await apart.shift(5, -10);
    const closed = await model.session();
    await closed.append(text.slice(0, 30));
    await closed.drop(5, 10);
    assert.ok(distance((await apart.append([1])).logits, (await closed.append([1])).logits) < 1e-6);
    assert.deepEqual([...(await session.tokens()).positions].slice(5, 7), [15, 16], 'a fork moves copies');
    for (const s of [session, apart, closed]) await s.dispose();
  });

  test('insertion, and its inverse', async () => {
    const session = await model.session();
    await session.append(text.slice(0, 40));
    await session.insert(12, [250, 251, 252]);
    assert.deepEqual([...(await session.tokens()).tokens], [...text.slice(0, 12), 250, 251, 252, ...text.slice(12, 40)]);
    assert.deepEqual([...(await session.tokens()).positions], [...Array(43).keys()]);
    await session.insert(43, [9]);
    assert.equal(session.info.free, session.info.slots - 44);
    await session.drop(43, 1);
    await session.drop(12, 3);
    assert.ok(distance((await session.append([3])).logits, await fresh([...text.slice(0, 40), 3])) < 1e-5);
    await session.insert(0, [1, 2]);
    assert.equal(session.length, 43);
    await session.dispose();
  });
});

describe('saved states', () => {
  test('go on with the same bits, in every kind of cache', async () => {
    for (const kv of /** @type {const} */ (['f32', 'f16', 'q8'])) {
      const session = await model.session({ kv, slots: 120 });
      await session.append(text.slice(0, 70));
      const state = await session.save();
      assert.equal(String.fromCharCode(...state.subarray(0, 7)), 'MTSTATE');
      const again = await model.session({ kv, slots: 90, state });
      assert.equal(again.length, 70);
      assert.deepEqual([...(await again.tokens()).tokens], text.slice(0, 70));
      assert.deepEqual(await again.logits(), await session.logits());
      assert.deepEqual((await again.append(text.slice(70, 90))).logits, (await session.append(text.slice(70, 90))).logits);
      await assert.rejects(again.append([1]), code('ELIMIT'));
      await assert.rejects(model.session({ kv: kv === 'q8' ? 'f16' : 'q8', state }), code('EUNKNOWN', /cache in/));
      await assert.rejects(model.session({ kv, slots: 69, state }), code('ELIMIT'));
      const other = await Model.load(otherFile, { threads: 1 });
      await assert.rejects(other.session({ kv, state }), code('ESTATE', /another model/));
      await other.dispose();
      for (const cut of [0, 7, 47, 100, state.length - 1]) await assert.rejects(model.session({ kv, state: state.slice(0, cut) }), code('EFORMAT'));
      for (const at of [0, 9, 13, 20, 25, 33, 60, 400, state.length - 1]) await assert.rejects(model.session({ kv, state: state.with(at, state[at] ^ 64) }), MicrotomeError, `byte ${at}`);
      for (const s of [session, again]) await s.dispose();
    }
    await assert.rejects(model.session({ state: /** @type {any} */ ('x') }), code('ERANGE'));
  });
});

describe('caches in half precision and bytes', () => {
  test('close to the full one; what they take is said', async () => {
    const sizes = { f32: 2 * 2 * 2 * 16 * 4, f16: 2 * 2 * 2 * 16 * 2, q8: 2 * 2 * 2 * (16 + 4) };
    const want = await fresh(text.slice(0, 100));
    for (const kv of /** @type {const} */ (['f32', 'f16', 'q8'])) {
      const session = await model.session({ kv, slots: 128 });
      const { logits } = await session.append(text.slice(0, 100));
      const d = distance(logits, want);
      assert.ok(kv === 'f32' ? d === 0 : d > 0 && d < (kv === 'f16' ? 1e-3 : 3e-2), `${kv}: ${d}`);
      const { info } = session;
      assert.equal(info.kv, kv);
      assert.equal(info.slotBytes, sizes[kv]);
      assert.equal(info.cacheBytes, 128 * sizes[kv]);
      assert.deepEqual([info.length, info.slots, info.free], [100, 128, 28]);
      await session.dispose();
      const ids = [];
      for await (const { id } of model.generate(text.slice(0, 9), { temperature: 0, maxTokens: 12, kv })) ids.push(id);
      const slow = await model.session({ kv });
      let row = (await slow.append(text.slice(0, 9))).logits;
      for (const id of ids) {
        assert.equal(row.indexOf(Math.max(...row)), id);
        row = (await slow.append([id])).logits;
      }
      await slow.dispose();
    }
  });
});

describe('generation in a session', () => {
  test('turns of a conversation equal one long prompt', async () => {
    const tell = await Model.load(BUNDLED, { threads: 1 });
    const session = await tell.session();
    const first = [], second = [];
    for await (const { id } of session.generate('Once upon a time', { temperature: 0, maxTokens: 10, stop: [] })) first.push(id);
    const prompt = [...tell.tokenizer.encode('Once upon a time', { addSpecialTokens: true }).ids];
    assert.deepEqual([...(await session.tokens()).tokens], [...prompt, ...first], 'what was given out has been read');
    assert.deepEqual(first, [...(await tell.greedy(prompt, { maxTokens: 10, stop: [] })).ids]);
    const fork = await session.fork();
    for await (const { id } of session.generate('', { temperature: 0, maxTokens: 6, stop: [] })) second.push(id);
    assert.deepEqual(second, [...(await tell.greedy([...prompt, ...first], { maxTokens: 6, stop: [] })).ids]);
    const more = tell.tokenizer.encode(' The dog', { offsets: false }).ids;
    await fork.append(' The dog');
    assert.deepEqual([...(await fork.tokens()).tokens], [...prompt, ...first, ...more]);
    const drawn = [], straight = [];
    const how = { seed: 4, temperature: 1.2, maxTokens: 15, stop: [], repeatPenalty: 1.2 };
    for await (const { id } of fork.generate('', how)) drawn.push(id);
    for await (const { id } of tell.generate([...prompt, ...first, ...more], how)) straight.push(id);
    assert.deepEqual(drawn, straight);
    // Leaving early keeps what was read.
    const small = await tell.session({ slots: 24 });
    for await (const { id } of small.generate('Once upon a time', { temperature: 0, stop: [] })) if (id === first[3]) break;
    assert.ok(small.length >= prompt.length + 3);
    let end;
    for (const it = small.generate('', { temperature: 0, maxTokens: 100, stop: [] });;) { const next = await it.next(); if (next.done) { end = next.value; break; } }
    assert.deepEqual(end, { reason: 'context' });
    assert.equal(small.length, 24);
    await assert.rejects(async () => { for await (const _ of (await tell.session()).generate([], {})); }, code('ERANGE'));
    await tell.dispose();
  });
});

describe('models of other kinds', { skip: skipWithoutShared }, () => {
  /** @type {string} */ let folder;
  before(() => { folder = join(unpack('architectures.tar.xz'), 'hf_public'); });
  const load = (/** @type {string} */ name) => Model.load(['config.json', 'model.safetensors'].map((f) => join(folder, name, f)), { threads: 1 });
  const ids = [5, 9, 2, 7, 1, 30, 4, 11, 12, 13, 3, 8];

  for (const name of ['mamba', 'mamba2', 'rwkv'])
    test(`${name}: states fork, go back and are saved; nothing can be cut out`, async () => {
      const own = await load(name), session = await own.session({ slots: 200 });
      await session.append(ids.slice(0, 6));
      const fork = await session.fork();
      for (let i = 0; i < 70; i++) await session.append([ids[i % 12]], { logits: 'none' }); // more than states are kept
      assert.deepEqual((await fork.append(ids.slice(6))).logits, await fresh(ids, own), 'the state of a fork is kept');
      await session.rewind(9);
      const told = [...ids.slice(0, 6), ...ids.slice(0, 3)];
      assert.deepEqual([...(await session.tokens()).tokens], told);
      assert.deepEqual((await session.append([1])).logits, await fresh([...told, 1], own), 'read again from the last state');
      const again = await own.session({ state: await session.save() });
      assert.deepEqual((await again.append([2, 3])).logits, (await session.append([2, 3])).logits);
      assert.ok(again.info.stateBytes > 0 && again.info.cacheBytes === 0);
      await assert.rejects(session.drop(1, 2), code('ESTATE', /keeps states/));
      const { logits } = await fork.tree([1, 2, 3], [-1, 0, 0]);
      assert.deepEqual(logits.slice(-own.info.vocab), await fresh([...ids, 1, 3], own));
      await fork.take(2);
      assert.deepEqual((await fork.append([6])).logits, await fresh([...ids, 1, 3, 6], own));
      await own.dispose();
    });

  test('learned positions: forgetting without moving', async () => {
    const own = await load('gpt2'), session = await own.session();
    await session.append(ids);
    await assert.rejects(session.drop(2, 3), code('ESTATE', /cannot be moved/));
    await session.drop(2, 3, { close: false });
    assert.equal(session.length, 9);
    await session.drop(8, 1);
    assert.equal(session.length, 8, 'nothing has to move');
    const again = await own.session({ state: await session.save() });
    assert.deepEqual((await again.append([2, 3])).logits, (await session.append([2, 3])).logits);
    await own.dispose();
  });

  for (const name of ['t5', 'bart'])
    test(`${name}: a session has one source`, async () => {
      const own = await load(name);
      await assert.rejects(own.session(), code('EMISSING'));
      const session = await own.session({ source: ids });
      const { logits } = await session.append([0, 4, 5]);
      assert.deepEqual(logits, (await own.run(ids, { decoderIds: [0, 4, 5] })).logits);
      const again = await own.session({ state: await session.save() });
      assert.deepEqual((await again.append([2, 3])).logits, (await own.run(ids, { decoderIds: [0, 4, 5, 2, 3] })).logits);
      await own.dispose();
    });

  test('encoders have nothing to go on from', async () => {
    const own = await load('bert'), session = await own.session();
    await session.append(ids);
    await assert.rejects(session.append(ids), code('ESTATE', /whole text at once/));
    await assert.rejects(session.save(), code('ESTATE'));
    await assert.rejects(own.session({ kv: 'q8' }), code('ESTATE'));
    const rows = await own.runBatch([ids, ids.slice(0, 5), [3]]);
    assert.deepEqual(rows[1], await fresh(ids.slice(0, 5), own));
    assert.deepEqual(rows[0], await fresh(ids, own));
    await own.dispose();
  });
});
