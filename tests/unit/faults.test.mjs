// What goes wrong outside: downloads that are cut, wrong or changed, a full disk, workers and their threads that die, a platform that lacks something. Each ends with an error that says what, and what comes after works.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { ByteModel, MicrotomeError, Model, ModelStore, Tokenizer, trainTokenizer } from '../../web/index.js';
import { Params, transformer } from '../../web/net.js';
import { fakeStorage } from '../support/fake_opfs.mjs';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { BUNDLED, scratch, tinyTokenizer } from '../support/wasm.mjs';

const files = scratch();
const model = Buffer.from(randomLlama({ layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 64, base: 10000 }, GGML.F32));
const modelFile = files.write('model.gguf', model);
const noise = (/** @type {number} */ n, /** @type {number} */ seed) => { const out = Buffer.alloc(n); for (let i = 0, x = seed; i < n; i++) { x = (Math.imul(x, 1664525) + 1013904223) >>> 0; out[i] = x >>> 24; } return out; };
/** @param {string} code @param {RegExp} [message] */
const fails = (code, message = /./) => (/** @type {any} */ error) => {
  assert.ok(error instanceof MicrotomeError, String(error?.stack ?? error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, message);
  return true;
};

/** What the server does: (request, response, how often it was asked before) => void. @type {(request: any, response: any, times: number) => void} */
let answer = () => {};
/** @type {string[]} */ let asked = [];
/** @type {any} */ let server, url = '';
before(async () => {
  server = createServer((request, response) => {
    asked.push(request.headers.range ?? '');
    answer(request, response, asked.length - 1);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${server.address().port}/model.gguf`;
});
after(() => { server.closeAllConnections(); server.close(); });
const says = (/** @type {typeof answer} */ how) => { answer = how; asked = []; };
const from = (/** @type {any} */ request) => Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
/** The first `n` bytes of `body` under its whole length, then the connection is gone. @param {any} response @param {Buffer} body @param {number} n @param {any} [headers] */
const cut = (response, body, n, headers = {}) => { response.writeHead(200, { 'Content-Length': body.length, ...headers }); response.write(body.subarray(0, n), () => setTimeout(() => response.destroy(), 20)); };

describe('a model read from a server', () => {
  const works = async (/** @type {any} */ source = modelFile) => {
    const m = await Model.load(source, { threads: 1 });
    assert.ok((await m.run([1, 2, 3])).logits.length);
    await m.dispose();
  };
  test('the connection is cut in the header, in the weights, before the last byte', async () => {
    for (const n of [1, 300, model.length >> 1, model.length - 1]) {
      says((_, response) => cut(response, model, n));
      await assert.rejects(Model.load(url, { threads: 1 }), fails('EIO', /model\.gguf/));
    }
    says((_, response) => response.writeHead(200, { 'Content-Length': model.length }).end(model));
    await works(url);
  });
  test('a file that is shorter or longer than a model, without a length and with one', async () => {
    for (const length of [true, false])
      for (const body of [model.subarray(0, model.length - 1), model.subarray(0, 100), Buffer.alloc(0), Buffer.concat([model.subarray(0, 200), Buffer.alloc(model.length)])]) {
        says((_, response) => response.writeHead(200, length ? { 'Content-Length': body.length } : {}).end(body));
        await assert.rejects(Model.load(url, { threads: 1 }), (error) => fails(/** @type {any} */ (error).code, /./)(error) && /^E(FORMAT|MISSING|UNKNOWN|RANGE|LIMIT)$/.test(/** @type {any} */ (error).code));
      }
    await works();
  });
  test('damaged bytes are refused or are other weights: never a crash', async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const body = Buffer.from(model), where = noise(12, seed);
      for (let i = 0; i < 6; i++) body[(where[2 * i] * 256 + where[2 * i + 1]) % 4000] ^= 1 << (seed + i) % 8; // header and directory
      await Model.load(new Uint8Array(body), { threads: 1 }).then((m) => m.dispose(), (error) => assert.ok(error instanceof MicrotomeError, String(error?.stack)));
    }
    await works();
  });
  test('errors of the server; a page instead of a model', async () => {
    for (const status of [404, 500, 503]) {
      says((_, response) => response.writeHead(status).end('no'));
      await assert.rejects(Model.load(url, { threads: 1 }), fails('EHTTP', new RegExp(`answered ${status}`)));
    }
    says((_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>Sign in</title>'));
    await assert.rejects(Model.load(url, { threads: 1 }), fails('EFORMAT'));
  });
  test('a definition whose connection is cut; one that is half there', async () => {
    const json = Buffer.from(JSON.stringify({ model: { type: 'WordLevel', unk_token: 'u', vocab: { u: 0, a: 1 } } }));
    says((_, response) => cut(response, json, 20));
    await assert.rejects(Tokenizer.load(url.replace('model.gguf', 'tokenizer.json')), fails('EIO', /tokenizer\.json/));
    says((_, response) => response.end(json.subarray(0, 40)));
    await assert.rejects(Tokenizer.load(url.replace('model.gguf', 'tokenizer.json')), fails('EFORMAT'));
  });
});

describe('the store of model files', () => {
  const MIB = 1 << 20, body = noise(18 * MIB + 77, 1), other = noise(18 * MIB + 77, 2);
  const had = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  /** @type {ReturnType<typeof fakeStorage>} */ let fake;
  const fresh = (/** @type {any} */ limits = {}) => { fake = fakeStorage(limits); Object.defineProperty(globalThis, 'navigator', { configurable: true, value: { storage: fake.storage } }); };
  after(() => { if (had) Object.defineProperty(globalThis, 'navigator', had); else Reflect.deleteProperty(globalThis, 'navigator'); });
  const same = async (/** @type {Blob} */ got, /** @type {Buffer} */ want) => assert.ok(Buffer.from(await got.arrayBuffer()).equals(want), `${got.size} bytes, but others`);
  /** The first answer ends after 17 MiB; `then` answers what follows. @param {typeof answer} then */
  const broken = (then) => says((request, response, times) => (times ? then(request, response, times) : cut(response, body, 17 * MIB, { ETag: '"one"' })));
  const part = (/** @type {any} */ response, /** @type {number} */ at, /** @type {Buffer} */ of, /** @type {any} */ headers = {}) => response.writeHead(206, { 'Content-Length': of.length - at, 'Content-Range': `bytes ${at}-${of.length - 1}/${of.length}`, ETag: '"one"', ...headers }).end(of.subarray(at));

  test('goes on after a cut; an error of the server on the way is no end', async () => {
    fresh();
    broken((request, response, times) => (times === 1 ? response.writeHead(500).end() : part(response, from(request), body)));
    await same(await ModelStore.fetch(url), body);
    assert.equal(asked.length, 3);
    assert.ok(/^bytes=\d+-$/.test(asked[1]) && asked[2] === asked[1], JSON.stringify(asked));
  });
  test('a server that ignores ranges sends all again', async () => {
    fresh();
    broken((_, response) => response.writeHead(200, { 'Content-Length': body.length, ETag: '"one"' }).end(body));
    await same(await ModelStore.fetch(url), body);
  });
  test('the end of another file is not put behind the beginning of this one', async () => {
    for (const headers of [{ ETag: '"two"' }, { 'Content-Range': `bytes 0-9/${other.length}` }, { 'Content-Range': 'bytes junk' }, null]) {
      fresh();
      const longer = Buffer.concat([other, Buffer.alloc(5)]), whole = headers ? other : longer;
      broken((request, response) => (request.headers.range ? part(response, from(request), whole, headers ?? {}) : response.writeHead(200, { 'Content-Length': whole.length, ETag: '"two"' }).end(whole)));
      await same(await ModelStore.fetch(url), whole);
      assert.equal(asked.at(-1), '', `${JSON.stringify(headers)}: the last answer was asked for from the beginning: ${JSON.stringify(asked)}`);
    }
  });
  test('nothing but 206 answers that do not fit, nothing but errors: an end, and what came is kept', async () => {
    fresh();
    broken((_, response) => part(response, 5, body));
    await assert.rejects(ModelStore.fetch(url), fails('EHTTP', /answered 206 without a range that fits/));
    fresh();
    broken((_, response) => response.writeHead(503).end());
    await assert.rejects(ModelStore.fetch(url), fails('EHTTP', /answered 503/));
    assert.ok((await ModelStore.list())[0].bytes >= 16 * MIB);
  });
  test('the page may keep no more', async () => {
    fresh({ quota: 10 * MIB });
    says((_, response) => response.writeHead(200, { 'Content-Length': body.length }).end(body));
    await assert.rejects(ModelStore.fetch(url), fails('ENOSPC', /may keep 10485760 bytes and keeps \d+ already/));
    fake.state.quota = Infinity;
    await same(await ModelStore.fetch(url), body);
  });
  test('a kept part that was lost or damaged in its length is downloaded again', async () => {
    fresh();
    says((_, response) => response.writeHead(200, { 'Content-Length': body.length, ETag: '"one"' }).end(body));
    await ModelStore.fetch(url);
    const [, folder] = [.../** @type {any} */ (await (await fake.storage.getDirectory()).getDirectoryHandle('microtome-models')).entries][0];
    await folder.removeEntry('part-1');
    await same(await ModelStore.fetch(url), body);
    assert.equal(asked.length, 2);
  });
});

describe('workers', () => {
  const real = new URL('../../web/runtime/worker.js', import.meta.url).href;
  /** A worker that ends itself while it does `method`. @param {string} method */
  const mortal = (method) => pathToFileURL(files.write(`mortal-${method}.mjs`, `import { parentPort } from 'node:worker_threads';\nawait import(${JSON.stringify(real)});\nparentPort.on('message', (message) => { if (message.method === ${JSON.stringify(method)}) process.exit(3); });\n`));
  test('one that dies while it loads, runs, generates: every call ends with an error, another model works', async () => {
    await assert.rejects(Model.load(modelFile, { threads: 1, workerUrl: mortal('load') }), fails('EWORKER', /died/));
    const m = await Model.load(modelFile, { threads: 1, workerUrl: mortal('run') });
    const calls = await Promise.allSettled([m.run([1, 2]), m.run([3]), m.describe()]);
    assert.ok(calls.some((c) => c.status === 'rejected'));
    for (const call of calls) if (call.status === 'rejected') fails('EWORKER', /died/)(call.reason);
    await assert.rejects(m.run([1]), fails('EWORKER', /died/), 'and calls that come later');
    await m.dispose();
    const g = await Model.load(modelFile, { threads: 1, workerUrl: mortal('generate') });
    await assert.rejects(async () => { for await (const _ of g.generate([1, 2], { maxTokens: 40 })); }, fails('EWORKER', /died/));
    await g.dispose();
    const after = await Model.load(modelFile, { threads: 1 });
    assert.equal((await after.greedy([1, 2], { maxTokens: 3 })).ids.length, 3);
    await after.dispose();
  });
  test('a helper thread that dies under a call: the call ends, another model works', async () => {
    const probe = new Worker('', { eval: true }), engine = probe.threadId + 1;
    await once(probe, 'exit');
    const told = new BroadcastChannel('microtome-faults');
    const workerUrl = pathToFileURL(files.write('helper.mjs', `import { threadId } from 'node:worker_threads';
if (threadId > ${engine}) { // a helper: it never takes its place in the pool, and ends when it is told
  const real = WebAssembly.instantiate;
  WebAssembly.instantiate = async (...args) => { const { exports } = await real(...args); return { exports: { ...exports, pool_worker: () => { new BroadcastChannel('microtome-faults').onmessage = () => process.exit(1); } } }; };
}
await import(${JSON.stringify(real)});\n`));
    const m = await Model.load(modelFile, { threads: 2, workerUrl });
    assert.equal(m.threads, 2);
    let pieces = 0;
    await assert.rejects(async () => {
      for await (const _ of m.generate([1, 2], { maxTokens: 60 })) { // more than are sent before the reader has taken some: it is under way
        if (pieces++) continue;
        told.postMessage('end');
        await assert.rejects(async () => { for (;;) await m.describe(); }, fails('EWORKER', /helper thread/));
      }
    }, fails('EWORKER', /helper thread/));
    told.close();
    await m.dispose();
    const after = await Model.load(modelFile, { threads: 2 });
    assert.ok((await after.run([1, 2, 3])).logits.length);
    await after.dispose();
  });
  test('a model that is disposed of, and another that is loaded, while one generates', async () => {
    const a = await Model.load(modelFile, { threads: 1 });
    const seen = (async () => { let n = 0; for await (const _ of a.generate([1, 2], { maxTokens: 60 })) if (++n === 2) void a.dispose(); return n; })();
    await assert.rejects(seen, fails('ESTATE', /./));
    await assert.rejects(async () => a.run([1]), fails('ESTATE', /./));
    const b = await Model.load(modelFile, { threads: 1 });
    assert.equal((await b.greedy([1, 2], { maxTokens: 3 })).ids.length, 3);
    await b.dispose();
  });
});

describe('platforms that lack something', () => {
  const root = new URL('../../', import.meta.url);
  /** @param {string} first what the platform is made to lack @param {string} then */
  const node = (first, then) => promisify(execFile)(process.execPath, ['--input-type=module', '-e', `${first}\nconst { Model, Tokenizer, detectFeatures } = await import(${JSON.stringify(new URL('web/index.js', root).href)});\n${then}`]);
  test('no shared memory: one thread', async () => {
    const { stdout } = await node("const Memory = WebAssembly.Memory; WebAssembly.Memory = function (kind) { if (kind.shared) throw new TypeError('no shared memory'); return new Memory(kind); };", `const m = await Model.load(${JSON.stringify(modelFile)}); console.log(detectFeatures().threads, m.threads, (await m.run([1, 2])).logits.length > 0); await m.dispose();`);
    assert.equal(stdout.trim(), 'false 1 true');
  });
  test('no SIMD, no WebAssembly: an error that says which, and what has it', async () => {
    const load = `await Tokenizer.load(new TextEncoder().encode('{"model":{"type":"WordLevel","unk_token":"u","vocab":{"u":0}}}')).catch((error) => console.log(error.code, error.message)); await Model.load(${JSON.stringify(modelFile)}).catch((error) => console.log(error.code, error.message));`;
    const simd = (await node('WebAssembly.validate = () => false;', load)).stdout.trim().split('\n');
    assert.equal(simd.length, 2);
    for (const line of simd) assert.match(line, /^EUNSUPPORTED .*no WebAssembly SIMD.*Chrome 91, Firefox 89, Safari 16\.4, Node/);
    const none = (await node('globalThis.WebAssembly = undefined;', load)).stdout.trim().split('\n');
    for (const line of none) assert.match(line, /^EUNSUPPORTED .*no WebAssembly/);
  });
});

describe('memory that ends', () => {
  const root = new URL('../../', import.meta.url), bytes = readFileSync(new URL('web/wasm/simd.wasm', root));
  const Real = WebAssembly.Memory;
  after(() => { WebAssembly.Memory = Real; });
  /** A module of its own whose memory cannot have more pages of 64 KiB. @param {number} pages */
  const limited = async (pages) => {
    WebAssembly.Memory = /** @type {any} */ (function (/** @type {any} */ kind) { return new Real({ ...kind, maximum: Math.min(kind.maximum, pages) }); });
    return { wasmModule: await WebAssembly.compile(bytes) };
  };
  const words = (/** @type {number} */ n) => Array.from({ length: n }, (_, i) => `w${(i * 2654435761 % 2 ** 32).toString(36)}`);
  const definition = (/** @type {number} */ n) => new TextEncoder().encode(JSON.stringify({ model: { type: 'WordLevel', unk_token: 'u', vocab: Object.fromEntries(['u', ...words(n)].map((w, i) => [w, i])) } }));
  /** Either the call does what it should or it ends with ENOMEM; counts which. @param {{good: number, full: number}} seen @param {() => any} call */
  const tried = async (seen, call) => {
    try {
      const out = await call();
      seen.good++;
      return out;
    } catch (error) {
      fails('ENOMEM', /memory/)(error);
      seen.full++;
    }
  };

  test('a tokenizer is loaded, encodes, decodes, counts, trains: what does not fit is refused, the others go on', async () => {
    const json = definition(30000), small = new TextEncoder().encode(JSON.stringify(tinyTokenizer()));
    const seen = { load: { good: 0, full: 0 }, encode: { good: 0, full: 0 }, decode: { good: 0, full: 0 }, train: { good: 0, full: 0 } };
    for (let pages = 64; pages <= 256; pages += pages < 100 ? 4 : 24) {
      const options = await limited(pages), first = await Tokenizer.load(small, options), want = first.encode('hello world').ids.join();
      for (let times = 0; times < 2; times++) {
        const big = await tried(seen.load, () => Tokenizer.load(json, options));
        big?.dispose();
        const ids = await tried(seen.encode, () => first.encode('hello world '.repeat(20_000)).ids);
        if (ids) assert.equal(ids.length, first.count('hello world '.repeat(20_000)));
        const text = await tried(seen.decode, () => first.decode(new Uint32Array(100_000).fill(258)));
        if (text) assert.equal(text.length % 100_000, 0);
        const trained = await tried(seen.train, () => trainTokenizer(words(30000), { kind: 'bpe', vocabSize: 2000, ...options }));
        trained?.tokenizer.dispose();
        assert.equal(first.encode('hello world').ids.join(), want, `${pages} pages`);
      }
      first.dispose();
    }
    for (const [name, { good, full }] of Object.entries(seen)) assert.ok(good && full, `${name}: ${good} good, ${full} full`);
  });
  test('a net', async () => {
    const seen = { good: 0, full: 0 };
    for (let pages = 64; pages <= 256; pages += 16) {
      const options = await limited(pages), params = await Params.create(options);
      await tried(seen, () => {
        const g = params.graph(), tokens = g.index('tokens', [8, 32]), targets = g.index('targets', [8, 32]);
        g.train(transformer(g, tokens, { vocab: 64, width: 64, layers: 3, heads: 4 }).logits.crossEntropy(targets).mean());
        g.run();
        g.backward();
      });
      const t = await Tokenizer.load(definition(3), options);
      assert.equal(t.encode('u').ids.length, 1);
      t.dispose();
      await params.close();
    }
    assert.ok(seen.good && seen.full, JSON.stringify(seen));
  });
  test('a model is loaded, runs, generates', async () => {
    WebAssembly.Memory = Real;
    const seen = { load: { good: 0, full: 0 }, run: { good: 0, full: 0 } }, real = new URL('web/runtime/worker.js', root).href;
    const wide = files.write('wide.gguf', Buffer.from(randomLlama({ layers: 2, width: 256, heads: 4, kvHeads: 2, ffn: 1024, vocab: 300, context: 2048, base: 10000 }, GGML.F32)));
    for (let pages = 64; pages <= 640; pages += 32) {
      const workerUrl = pathToFileURL(files.write(`memory-${pages}.mjs`, `const Real = WebAssembly.Memory; WebAssembly.Memory = function (kind) { return new Real({ ...kind, maximum: Math.min(kind.maximum, ${pages}) }); };\nawait import(${JSON.stringify(real)});\n`));
      const m = await tried(seen.load, () => Model.load(wide, { threads: 1, workerUrl }));
      if (!m) continue;
      const ids = Array.from({ length: 1500 }, (_, i) => i % 300);
      for (let times = 0; times < 2; times++) {
        await tried(seen.run, () => m.run(ids));
        await tried(seen.run, () => m.greedy(ids.slice(0, 900), { maxTokens: 4 }));
        await tried(seen.run, () => m.run([1, 2, 3]));
      }
      await m.dispose();
    }
    for (const [name, { good, full }] of Object.entries(seen)) assert.ok(good && full, `${name}: ${good} good, ${full} full`);
    const after = await Model.load(modelFile, { threads: 1 });
    assert.ok((await after.run([1, 2, 3])).logits.length);
    await after.dispose();
  });
  test('bytes of a model', async () => {
    WebAssembly.Memory = Real;
    const seen = { good: 0, full: 0 }, real = new URL('web/runtime/worker.js', root).href;
    for (let pages = 64; pages <= 256; pages += 16) {
      const workerUrl = pathToFileURL(files.write(`bytes-${pages}.mjs`, `const Real = WebAssembly.Memory; WebAssembly.Memory = function (kind) { return new Real({ ...kind, maximum: Math.min(kind.maximum, ${pages}) }); };\nawait import(${JSON.stringify(real)});\n`));
      const m = await tried(seen, () => Model.load(BUNDLED, { threads: 1, workerUrl }));
      if (!m) continue;
      const b = new ByteModel(m);
      for (const text of ['The cat', 'The cat sat on the mat. '.repeat(20), 'The']) await tried(seen, () => b.next(text));
      await b.dispose();
      await tried(seen, () => m.run([1, 2, 3]));
      await m.dispose();
    }
    assert.ok(seen.good && seen.full, JSON.stringify(seen));
  });
});
