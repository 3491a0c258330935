// Healing, alignment, covers and completions of the bundled model, against definitions and brute force.
import { after, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { ByteLanguage, ByteModel, COMPLETION_METHODS, Model, Tokenizer, complete, coverEncodings, healedNextByte, healingTable, infillMiddle, infillParts, infillPrompt } from '../../web/index.js';
import { BUNDLED, cli, tinyTokenizer } from '../support/wasm.mjs';

const model = await Model.load(BUNDLED, { threads: 1 });
after(() => model.dispose());
const tok = model.tokenizer, START = tok.bos ?? tok.eos;
const fails = (code, pattern) => (error) => error.code === code && (!pattern || pattern.test(error.message));
const p = (r) => [...r.bytes, r.end].map(Math.exp);
const distance = (a, b) => a.reduce((sum, x, i) => sum + Math.abs(x - b[i]) / 2, 0);
const encode = (text) => [...tok.encode(text, { offsets: false }).ids];
async function collect(stream) {
  const bytes = [];
  let text = '';
  for (;;) {
    const next = await stream.next();
    if (next.done) return { bytes, text, reason: next.value.reason };
    bytes.push(...next.value.bytes);
    text += next.value.text;
  }
}

describe('the next byte of a healed prompt', () => {
  test('nothing given up is the naive answer', async () => {
    const view = new ByteModel(model);
    for (const text of ['Once upon a ti', 'the wor', 'He said, "I']) {
      const naive = [...(await view.next(text)).naive].map(Math.exp), healed = await healedNextByte(model, text, { tokens: 0 });
      assert.ok(distance(p(healed), naive) < 1e-6);
      assert.equal(healed.dropped, 0);
    }
  });

  test('everything given up and weights kept is the exact answer of the target all', async () => {
    const view = new ByteModel(model, { target: 'all', beam: 0 });
    for (const text of ['ti', 'wor', 'a b', 'é']) {
      const exact = await view.next(text), healed = await healedNextByte(model, text, { tokens: Infinity, keep: true });
      assert.ok(distance(p(healed), p(exact)) < 1e-6, `${text}: ${distance(p(healed), p(exact))}`);
      assert.equal(healed.dead, 0);
    }
  });

  test('classic and local masks equal their definition, written out', async () => {
    const text = 'Once upon a ti', ids = encode(text), kept = [START, ...ids.slice(0, -1)], rest = Buffer.from(tok.tokenBytes(ids.at(-1)));
    const rows = new Map();
    const row = async (context) => {
      const key = context.join();
      if (!rows.has(key)) {
        const { logits } = await model.run(context), top = Math.max(...logits), sum = logits.reduce((s, x) => s + Math.exp(x - top), 0);
        rows.set(key, Array.from(logits, (x) => Math.exp(x - top) / sum));
      }
      return rows.get(key);
    };
    const bytesOf = Array.from({ length: tok.vocabSize }, (_, id) => Buffer.from([...tok.token(id).bytes]));
    const ordinary = (id) => bytesOf[id].length > 0 && !['special', 'unknown', 'unused', 'hole'].includes(tok.token(id).kind);
    const free = async (context, out, weight) => (await row(context)).forEach((q, id) => { if (id === tok.eos) out[256] += weight * q; else if (ordinary(id)) out[bytesOf[id][0]] += weight * q; });
    async function follow(context, left, weight, out, classic) {
      if (!left.length) return free(context, out, weight);
      const q = await row(context);
      const fits = bytesOf.map((b, id) => ordinary(id) && (b.length >= left.length ? b.subarray(0, left.length).equals(left) : !classic && left.subarray(0, b.length).equals(b)));
      const sum = q.reduce((s, x, id) => s + (fits[id] ? x : 0), 0);
      for (let id = 0; id < fits.length; id++) {
        if (!fits[id]) continue;
        const w = (weight * q[id]) / sum, b = bytesOf[id];
        if (b.length > left.length) out[b[left.length]] += w;
        else await follow([...context, id], left.subarray(b.length), w, out, classic);
      }
    }
    for (const classic of [true, false]) {
      const want = new Array(257).fill(0);
      await follow(kept, rest, 1, want, classic);
      const total = want.reduce((a, b) => a + b, 0), got = await healedNextByte(model, text, { tokens: 1, classic });
      assert.ok(distance(p(got), want.map((x) => x / total)) < 1e-5, `classic ${classic}: ${distance(p(got), want.map((x) => x / total))}`);
    }
  });

  test('wrong calls', async () => {
    await assert.rejects(healedNextByte(model, 'abcdefgh', { tokens: Infinity, keep: true, limit: 5 }), fails('ELIMIT'));
    await assert.rejects(healedNextByte(model, 'a', { tokens: -1 }), fails('ERANGE'));
    await assert.rejects(healedNextByte(model, 'a', /** @type {any} */ ({ token: 1 })), fails('EUNKNOWN'));
    await assert.rejects(healedNextByte(/** @type {any} */ ({}), 'a'), fails('ERANGE'));
    await assert.rejects(healedNextByte(model, /** @type {any} */ (5)), fails('ERANGE'));
  });
});

describe('covers', () => {
  test('their probabilities sum to that of the text, and draws follow them', async () => {
    for (const text of ['the wor', ' ti', 'a ', new Uint8Array([0x63, 0x61, 0x66, 0xc3])]) {
      const covers = coverEncodings(tok, text), view = new ByteModel(model);
      const logs = await Promise.all(covers.map(async (ids) => (await model.logProbs([START, ...ids])).reduce((a, b) => a + b, 0)));
      const sum = Math.log(logs.reduce((s, x) => s + Math.exp(x), 0)), { textLogProb } = await view.score(text);
      assert.ok(Math.abs(sum - textLogProb) < 1e-4, `${sum} ${textLogProb}`);
      // Evenly spread random numbers: every cover has an interval, so its count is right to one.
      const N = 400, counts = new Map(covers.map((ids) => [ids.join(), 0]));
      for (let i = 0; i < N; i++) {
        const { ids, logProb } = await view.cover(text, { u: (i + 0.5) / N }), c = covers.findIndex((x) => x.join() === ids.join());
        assert.ok(c >= 0 && Math.abs(logProb - logs[c]) < 1e-4);
        counts.set(ids.join(), counts.get(ids.join()) + 1);
      }
      covers.forEach((ids, c) => assert.ok(Math.abs(counts.get(ids.join()) - N * Math.exp(logs[c] - sum)) < 1.5));
      await view.dispose();
    }
  });

  test('limits and errors', async () => {
    assert.throws(() => coverEncodings(tok, 'tokenization of words', { target: 'all', limit: 50 }), fails('ELIMIT'));
    assert.throws(() => coverEncodings(tok, 'x', /** @type {any} */ ({ target: 'masked' })), fails('EUNKNOWN'));
    assert.deepEqual(coverEncodings(tok, '').map((ids) => [...ids]), [[]]);
    await assert.rejects(new ByteModel(model).cover('a', { u: 1 }), fails('ERANGE'));
  });
});

describe('complete', () => {
  test('greedy and exact is the chain of the likeliest bytes', async () => {
    const view = new ByteModel(model);
    let text = Buffer.from('Once upon a ti');
    const want = [];
    for (let i = 0; i < 10; i++) {
      const { bytes } = await view.next(new Uint8Array(text));
      want.push(bytes.indexOf(Math.max(...bytes)));
      text = Buffer.concat([text, Buffer.from([want.at(-1)])]);
    }
    const got = await collect(complete(model, 'Once upon a ti', { temperature: 0, maxBytes: 10 }));
    assert.deepEqual(got.bytes, want);
    assert.equal(got.text, Buffer.from(want).toString());
    assert.equal(got.reason, 'length');
  });

  test('every method gives maxBytes bytes, repeatably, and ends inside a character where it must', async () => {
    for (const method of COMPLETION_METHODS) {
      const [a, b] = [await collect(complete(model, 'The old man was so tir', { method, seed: 5, maxBytes: 30 })), await collect(complete(model, 'The old man was so tir', { method, seed: 5, maxBytes: 30 }))];
      assert.deepEqual(a, b, method);
      assert.ok(a.reason === 'stop' || a.bytes.length === 30, method);
      const half = await collect(complete(model, new Uint8Array([0x63, 0x61, 0x66, 0xc3]), { method, seed: 1, maxBytes: 1 }));
      if (method === 'exact') assert.equal(half.text, Buffer.from([0xc3, half.bytes[0]]).toString());
    }
  });

  test('healing and alignment reproduce what was given up, then follow the healed law', async () => {
    // The first byte of many completions against healedNextByte, which computes the law of sampling under the same masks.
    const text = 'Once upon a ti', N = 300;
    for (const [method, how] of /** @type {[any, any][]} */ ([['naive', { tokens: 0 }], ['healing', { classic: true }], ['alignment', { tokens: 3 }]])) {
      const law = p(await healedNextByte(model, text, how)), seen = new Array(257).fill(0);
      for (let seed = 0; seed < N; seed++) {
        const { bytes } = await collect(complete(model, text, { method, seed, maxBytes: 1 }));
        seen[bytes.length ? bytes[0] : 256]++;
      }
      law.forEach((q, b) => assert.ok(Math.abs(seen[b] - N * q) <= 5 * Math.sqrt(N * q * (1 - q)) + 1.5, `${method}, byte ${b}: ${seen[b]} of ${N}, expected ${N * q}`));
    }
  });

  test('a pattern holds, in bytes', async () => {
    for (let seed = 0; seed < 5; seed++) {
      const { text, reason } = await collect(complete(model, 'The year was ', { pattern: '1[0-9]{3}, (é|ü)+x', seed, maxBytes: 400 }));
      assert.equal(reason, 'pattern');
      assert.match(text, /^1[0-9]{3}, (é|ü)+x$/);
    }
    const language = await ByteLanguage.create('(ab)*é?');
    assert.ok(language.matches('abab') && language.matches('abé') && language.matches('') && !language.matches('aba'));
    const allowed = language.allowed(language.start);
    assert.deepEqual(allowed.reduce((out, x, b) => (x ? [...out, b] : out), []), [97, 0xc3, 256]);
    assert.equal(language.next(language.start, 98), null);
    const half = language.next(language.start, 0xc3);
    assert.deepEqual(language.allowed(half).reduce((out, x, b) => (x ? [...out, b] : out), []), [0xa9]);
    language.dispose();
    await assert.rejects(ByteLanguage.create('('), fails('EFORMAT'));
  });

  test('after a context of tokens', async () => {
    const view = new ByteModel(model, { context: [START, ...encode('Once upon a time')] }), plain = new ByteModel(model);
    // The context's end is a token boundary: its next byte is the naive answer of the plain model.
    const { naive } = await plain.next('Once upon a time');
    assert.ok(distance(p(await view.next('')), [...naive].map(Math.exp)) < 1e-3);
    await assert.rejects(new ByteModel(model, { context: [99999] }).next('x'), fails('ERANGE'));
    assert.throws(() => new ByteModel(model, { context: [] }), fails('ERANGE'));
  });

  test('a reader that leaves frees the byte model that it was given', async () => {
    const view = new ByteModel(model);
    for await (const part of complete(view, 'Once upon a ti', { maxBytes: 50 })) if (part) break;
    assert.ok((await view.next('x')).end < 0);
    await view.dispose();
  });

  test('wrong calls', async () => {
    for (const [options, code] of /** @type {[any, string][]} */ ([[{ method: 'magic' }, 'EUNKNOWN'], [{ method: 'cover', pattern: 'a' }, 'ERANGE'], [{ method: 'exact', tokens: 2 }, 'ERANGE'], [{ maxBytes: -1 }, 'ERANGE'], [{ pattern: '' }, 'ERANGE']]))
      await assert.rejects(collect(complete(model, 'x', options)), fails(code));
    const controller = new AbortController();
    controller.abort();
    await assert.rejects(collect(complete(model, 'x', { signal: controller.signal })), { name: 'AbortError' });
    assert.equal((await collect(complete(model, 'Once', { maxBytes: 3, temperature: 0 }))).bytes.length, 3, 'the model still works');
  });
});

describe('infilling', () => {
  const utf8 = (bytes) => Buffer.from(bytes).toString();
  test('the published example', () => {
    const text = 'def f(x):\n    y = x + 1\n    return y\n', from = text.indexOf('+'), to = text.indexOf('turn'), parts = infillParts(text, from, to);
    assert.deepEqual(Object.values(parts).map(utf8), ['def f(x):\n', '    y = x ', 'turn y\n', '', '    y = x + 1\n    return y\n']);
    assert.equal(utf8(infillMiddle(parts, parts.target)), text.slice(from, to));
    assert.equal(infillMiddle(parts, '    y = x turn y'), null);
    assert.equal(infillMiddle(parts, '    y = x turn y\n').length, 0);
    assert.equal(infillMiddle(parts, 'turn y\n'), null);
  });
  test('1000 random cuts: lines and hints put together are the text', () => {
    let state = 1;
    const below = (n) => (state = (state * 48271) % 2147483647) % n;
    for (let i = 0; i < 1000; i++) {
      const text = Uint8Array.from({ length: below(40) }, () => [10, 97, 98, 0xc3, 0xa9][below(5)]), from = below(text.length + 1), to = from + below(text.length - from + 1);
      const parts = infillParts(text, from, to);
      assert.deepEqual([...parts.prefixLines, ...parts.target, ...parts.suffixLines], [...text]);
      assert.deepEqual([...infillMiddle(parts, parts.target)], [...text.slice(from, to)]);
      assert.ok(!parts.prefixHint.includes(10) && (!parts.prefixLines.length || parts.prefixLines.at(-1) === 10));
      assert.ok(!parts.suffixHint.subarray(0, -1).includes(10));
    }
    assert.throws(() => infillParts('abc', 2, 1), fails('ERANGE'));
    assert.throws(() => infillParts('abc', 4), fails('ERANGE'));
  });
  test('prompts in three styles', async () => {
    const names = ['<P>', '<S>', '<M>', '<B>', '<E>'], definition = tinyTokenizer();
    const first = Math.max(...definition.added_tokens.map(({ id }) => id), ...Object.values(definition.model.vocab)) + 1;
    definition.added_tokens.push(...names.map((content, i) => ({ id: first + i, content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false })));
    const tokenizer = await Tokenizer.load(new TextEncoder().encode(JSON.stringify(definition)));
    const markers = { prefix: '<P>', suffix: '<S>', middle: '<M>', start: '<B>', end: '<E>' }, text = 'a\nb = [c]\nd\n', from = 6, to = 9;
    assert.equal(infillPrompt(tokenizer, text, from, { to, markers }).context[0], tokenizer.bos);
    const show = ({ context, begun }) => [tokenizer.decode(context.slice(1)), utf8(begun)];
    assert.deepEqual(show(infillPrompt(tokenizer, text, from, { to, style: 'psm', markers })), ['<P>a\nb = <S>\nd\n<M>', '']);
    assert.deepEqual(show(infillPrompt(tokenizer, text, from, { to, markers })), ['<P><S>\nd\n<M>', 'a\nb = ']);
    assert.deepEqual(show(infillPrompt(tokenizer, text, from, { to, style: 'fim-se', markers })), ['<P>a\n<S>d\n<B>b = <E>\n<M>', 'b = ']);
    assert.throws(() => infillPrompt(tokenizer, text, from, { to }), fails('EMISSING'));
    assert.throws(() => infillPrompt(tokenizer, text, from, { style: 'fim-se', markers: { prefix: '<P>', suffix: '<S>', middle: '<M>' } }), fails('EMISSING', /markers\.start/));
  });
});

describe('on the command line', () => {
  test('complete', async () => {
    const want = await collect(complete(model, 'Once upon a ti', { temperature: 0, maxBytes: 9 }));
    const run = await cli(['complete', '--json', '--temperature', '0', '--max-bytes', '9', 'Once upon a ti']);
    assert.deepEqual(JSON.parse(run.stdout), { method: 'exact', text: want.text, bytes: want.bytes, reason: 'length' });
    const hex = await cli(['complete', '--hex', '--match', '.', '--max-bytes', '9', '--json', '636166']);
    assert.equal([...JSON.parse(hex.stdout).text].length, 1, hex.stderr);
    assert.match((await cli(['complete', '--method', 'cover', '--match', 'a', 'x'])).stderr, /--match goes with --method exact/);
    assert.match((await cli(['complete', '--hex', 'xyz'])).stderr, /hexadecimal/);
  });
  test('heal and cover', async () => {
    const { methods } = JSON.parse((await cli(['heal', '--json', 'the wor'])).stdout);
    assert.deepEqual(Object.keys(methods), ['naive', 'healing', 'alignment', 'weighted', 'exact']);
    const healed = await healedNextByte(model, 'the wor', { classic: true });
    assert.ok(Math.abs(methods.healing.bytes[108] - healed.bytes[108]) < 1e-6);
    const { covers } = JSON.parse((await cli(['cover', '--json', '--model', BUNDLED, 'the wor'])).stdout);
    assert.deepEqual(covers, coverEncodings(tok, 'the wor').map((ids) => [...ids]));
  });
});

test('the table of treatments has the expected shape', async () => {
  const { cuts, rows } = await healingTable(model, 'Once upon a time there was a little girl who lived in the middle of nowhere and loved wonderful animals.', { cuts: 4, context: 40, epsilon: 1e-5 });
  assert.equal(cuts, 4);
  assert.deepEqual(rows.map(({ method }) => method), ['naive', 'healing', 'alignment', 'weighted', 'exact']);
  assert.equal(rows[4].distance, 0);
  await assert.rejects(healingTable(model, '1 2 3'), fails('ERANGE'));
});
