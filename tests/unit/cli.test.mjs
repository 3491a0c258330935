// The command line keeps the contract of docs/cli.md.
import { before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { ByteModel, Model, Tokenizer } from '../../web/index.js';
import { GGML } from '../support/gguf_write.mjs';
import { randomLlama } from '../support/random_gguf.mjs';
import { ROOT } from '../support/shared.mjs';
import { BUNDLED, CLI, cli, scratch, tinyTokenizer } from '../support/wasm.mjs';

const files = scratch();
const definition = tinyTokenizer();
const tokenizerFile = files.write('tokenizer.json', JSON.stringify(definition));
const modelFile = files.write('random.gguf', randomLlama({ layers: 2, width: 64, heads: 4, kvHeads: 2, ffn: 96, vocab: 300, context: 64, base: 10000 }, GGML.F32));
const END = 265;

/** One line on standard error, nothing on standard output. */
function refused(run, status, pattern) {
  assert.equal(run.status, status, run.stderr);
  assert.match(run.stderr, /^microtome: [^\n]+\n$/);
  assert.match(run.stderr, pattern);
  assert.equal(run.stdout, '');
}

const COMMANDS = ['inspect', 'encode', 'count', 'decode', 'logits', 'run', 'grad', 'embed', 'fill-mask', 'perplexity', 'generate', 'next-byte', 'score-bytes', 'generate-bytes', 'complete', 'heal', 'cover', 'ensemble', 'across', 'marginal', 'probe', 'canonical', 'tokenizations', 'tokenizer-cache', 'train', 'measure', 'language', 'markov', 'study', 'lab', 'atlas', 'transfer', 'quantize', 'convert', 'serve'];

describe('calls that are wrong', { concurrency: 2 }, () => {
  for (const [what, args, status, pattern] of /** @type {[string, string[], number, RegExp][]} */ ([
    ['no command', [], 2, new RegExp(`a command is needed: ${COMMANDS.join(', ')}`)],
    ['an unknown command', ['tokenize'], 2, /unknown command tokenize: known are inspect, encode/],
    ['a name of Object.prototype', ['constructor'], 2, /unknown command/],
    ['an unknown option', ['encode', '--tokenizer', tokenizerFile, '--fast', 'x'], 2, /unknown option --fast: known are --tokenizer, .*--jsonl/],
    ['an unknown short option', ['encode', '-x'], 2, /unknown option -x/],
    ['a missing value', ['encode', '--tokenizer'], 2, /--tokenizer needs FILE/],
    ['a value for a flag', ['encode', '--json=yes', 'x'], 2, /--json takes no value/],
    ['a number that is none', ['generate', '--max-tokens', 'many'], 2, /--max-tokens: "many" is not a whole number/],
    ['a number out of range', ['generate', '--top-p', '1.5'], 2, /--top-p: "1.5" is not a number in 0\.\.1/],
    ['an unknown choice', ['logits', '--isa', 'avx'], 2, /--isa: unknown value "avx": known are ref, simd, relaxed/],
    ['ids that are none', ['logits', '--ids', '1,two'], 2, /--ids: "two" is not a token id/],
    ['greedy with a temperature', ['generate', '--greedy', '--temperature', '2', 'x'], 2, /exclude each other/],
    ['two tokenizers', ['encode', '--tokenizer', tokenizerFile, '--model', modelFile, 'x'], 2, /exclude each other/],
    ['inspect without a file', ['inspect'], 2, /one FILE/],
    ['no such file', ['inspect', join(files.folder, 'absent.gguf')], 1, /absent\.gguf: no such file/],
    ['no such tokenizer', ['encode', '--tokenizer', join(files.folder, 'absent.json'), 'x'], 1, /absent\.json: no such file/],
    ['a model that is none', ['logits', '--model', tokenizerFile, '--ids', '1'], 1, /tokenizer\.json/],
    ['a tokenizer that is none', ['encode', '--tokenizer', files.write('list.json', '[1, 2]'), 'x'], 1, /list\.json: .+/],
    ['a definition that is cut', ['encode', '--tokenizer', files.write('cut.json', JSON.stringify(definition).slice(0, 500)), 'x'], 1, /cut\.json: .+/],
    ['an empty file', ['encode', '--tokenizer', files.write('empty.json', ''), 'x'], 1, /empty\.json: .+/],
    ['a model without a tokenizer, and a text', ['logits', '--model', modelFile, 'text'], 1, /token/],
    ['an id outside the vocabulary', ['logits', '--model', modelFile, '--ids', '1,300'], 1, /id 300 is outside 0\.\.299/],
    ['no ids', ['logits', '--model', modelFile, '--ids', ''], 1, /no tokens/],
    ['decode of an id outside', ['decode', '--tokenizer', tokenizerFile, '99999'], 1, /99999/],
    ['a port that is none', ['serve', '--port', '99999'], 2, /--port/],
    ['a root that is no folder', ['serve', '--port', '0', '--root', tokenizerFile], 1, /not a directory/],
  ]))
    test(what, async () => refused(await cli(args), status, pattern));
});

describe('help', () => {
  test('of everything and of each command', async () => {
    const all = await cli(['--help']);
    assert.equal(all.status, 0);
    const commands = [...all.stdout.matchAll(/^  ([a-z-]+) /gm)].map(([, name]) => name);
    assert.deepEqual(commands, COMMANDS);
    for (const name of commands) {
      const { status, stdout, stderr } = await cli([name, '--help']);
      assert.equal(status, 0);
      assert.equal(stderr, '');
      assert.match(stdout, new RegExp(`^microtome ${name}: .+\n\nusage: microtome ${name} `));
    }
    assert.match((await cli(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

describe('encode and decode', () => {
  /** @type {Tokenizer} */ let tokenizer;
  before(async () => { tokenizer = await Tokenizer.load(tokenizerFile); });

  test('arguments, standard input, offsets, special tokens', async () => {
    const text = 'hello world, hello';
    const ids = [...tokenizer.encode(text).ids];
    assert.equal(ids.length, 5);
    assert.equal((await cli(['encode', '--tokenizer', tokenizerFile, 'hello', 'world,', 'hello'])).stdout, `${ids.join(' ')}\n`);
    assert.equal((await cli(['encode', `--tokenizer=${tokenizerFile}`], { input: text })).stdout, `${ids.join(' ')}\n`);
    assert.deepEqual(JSON.parse((await cli(['encode', '--tokenizer', tokenizerFile, '--json'], { input: `${text}\n` })).stdout), { ids: [...ids, 10] }, 'a final newline counts');
    assert.deepEqual(JSON.parse((await cli(['encode', '--tokenizer', tokenizerFile, '--json', '--add-special-tokens', text])).stdout), { ids: [END, ...ids] });
    assert.deepEqual(JSON.parse((await cli(['encode', '--tokenizer', tokenizerFile, '--offsets', 'utf16', 'é hello'])).stdout), { ids: [195, 169, 32, 259], offsets: [[0, 1], [0, 1], [1, 2], [2, 7]] });
    assert.deepEqual(JSON.parse((await cli(['encode', '--tokenizer', tokenizerFile, '--offsets', 'bytes', 'é hello'])).stdout).offsets, [[0, 1], [1, 2], [2, 3], [3, 8]]);
    assert.deepEqual(JSON.parse((await cli(['encode', '--tokenizer', tokenizerFile, '--json', 'a<|end|>'])).stdout), { ids: [97, END] });
    assert.equal(JSON.parse((await cli(['encode', '--tokenizer', tokenizerFile, '--json', '--special-as-text', 'a<|end|>'])).stdout).ids.length, 8);
    assert.deepEqual(JSON.parse((await cli(['encode', '--tokenizer', tokenizerFile, '--json'], { input: Uint8Array.of(0xff, 0x61) })).stdout), { ids: [255, 97] }, 'bytes that are not UTF-8');
    assert.equal((await cli(['encode', '--tokenizer', tokenizerFile], { input: '' })).stdout, '\n');
    assert.equal((await cli(['encode', '--tokenizer', tokenizerFile, '--', '--json'])).stdout.trim().split(' ').length, 6, 'after -- everything is text');
  });

  test('lines of JSON', async () => {
    const texts = ['hello', '', 'two\nlines', 'x\ud800y', '👍🏽', ' \t', 'hello <|end|>'];
    const input = `${texts.map((text) => JSON.stringify({ text, more: 1 })).join('\r\n')}\n\n`;
    const run = await cli(['encode', '--tokenizer', tokenizerFile, '--jsonl'], { input });
    assert.equal(run.stderr, '');
    assert.deepEqual(run.stdout.trimEnd().split('\n').map((line) => JSON.parse(line)), texts.map((text) => ({ ids: [...tokenizer.encode(text).ids] })));
    const special = await cli(['encode', '--tokenizer', tokenizerFile, '--jsonl', '--add-special-tokens'], { input: '{"text":"hello"}' });
    assert.deepEqual(JSON.parse(special.stdout), { ids: [END, 259] });

    const bad = await cli(['encode', '--tokenizer', tokenizerFile, '--jsonl'], { input: '{"text":"hello"}\n{"text":3}\n' });
    assert.equal(bad.status, 1);
    assert.match(bad.stderr, /^microtome: standard input, line 2: no string "text"\n$/);
    assert.equal(bad.stdout, '{"ids":[259]}\n', 'what came before is not lost');
    assert.match((await cli(['encode', '--tokenizer', tokenizerFile, '--jsonl'], { input: '{"text"' })).stderr, /^microtome: standard input, line 1: not JSON: .+\n$/);

    const many = Array.from({ length: 3000 }, (_, i) => `hello ${i} world 你好`);
    const large = await cli(['encode', '--tokenizer', tokenizerFile, '--jsonl'], { input: many.map((text) => `${JSON.stringify({ text })}\n`).join('') });
    const lines = large.stdout.trimEnd().split('\n');
    assert.equal(lines.length, many.length);
    many.forEach((text, i) => assert.equal(lines[i], JSON.stringify({ ids: [...tokenizer.encode(text).ids] })));
  });

  test('decode', async () => {
    assert.equal((await cli(['decode', '--tokenizer', tokenizerFile, '259', '262', '33'])).stdout, `${tokenizer.decode([259, 262, 33])}\n`);
    assert.equal((await cli(['decode', '--tokenizer', tokenizerFile, '--ids', '259,33'])).stdout, 'hello!\n');
    assert.equal((await cli(['decode', '--tokenizer', tokenizerFile], { input: '[259,\n33]\n' })).stdout, 'hello!\n');
    assert.deepEqual(JSON.parse((await cli(['decode', '--tokenizer', tokenizerFile, '--json', '259', String(END)])).stdout), { text: 'hello<|end|>' });
    assert.deepEqual(JSON.parse((await cli(['decode', '--tokenizer', tokenizerFile, '--json', '--skip-special-tokens', '259', String(END)])).stdout), { text: 'hello' });
    assert.deepEqual([...(await cli(['decode', '--tokenizer', tokenizerFile, '255', '97'])).bytes], [255, 97, 10], 'bytes as they are');
    assert.equal((await cli(['decode', '--tokenizer', tokenizerFile, '--jsonl'], { input: '{"ids":[259]}\n{"ids":[]}\n' })).stdout, '{"text":"hello"}\n{"text":""}\n');
  });
});

describe('models', () => {
  test('logits: all digits, every position, every engine option', async () => {
    const model = await Model.load(modelFile, { threads: 1 });
    const ids = [5, 6, 7, 299];
    const want = await model.run(ids, { all: true });
    await model.dispose();
    const rows = Array.from({ length: 4 }, (_, i) => [...want.logits.subarray(300 * i, 300 * (i + 1))]);
    const last = await cli(['logits', '--model', modelFile, '--ids', ids.join(), '--json', '--threads', '1']);
    assert.deepEqual(JSON.parse(last.stdout), { logits: rows[3] });
    assert.deepEqual(JSON.parse((await cli(['logits', '--model', modelFile, '--ids', ids.join(' '), '--json', '--all', '--threads', '2'])).stdout), { logits: rows });
    const scalar = JSON.parse((await cli(['logits', '--model', modelFile, '--ids', ids.join(), '--json', '--isa', 'ref'])).stdout).logits;
    scalar.forEach((x, i) => assert.ok(Math.abs(x - rows[3][i]) < 1e-4));
    const shown = await cli(['logits', '--model', modelFile, '--ids', ids.join(), '--top', '3']);
    assert.equal(shown.stdout.trimEnd().split('\n').length, 3);
    assert.equal(Number(shown.stdout.trim().split(/\s+/)[0]), rows[3].indexOf(Math.max(...rows[3])));
  });

  test('generate: greedy, seeds, limits', async () => {
    const run = async (...args) => JSON.parse((await cli(['generate', '--model', modelFile, '--ids', '5,6', '--json', ...args])).stdout);
    const greedy = await run('--greedy', '--max-tokens', '6');
    assert.equal(greedy.ids.length, 6);
    assert.deepEqual(greedy.prompt_ids, [5, 6]);
    assert.equal(greedy.reason, 'length');
    // Each token is the best of the logits before it.
    for (let i = 0; i < 6; i++) {
      const { logits } = JSON.parse((await cli(['logits', '--model', modelFile, '--json', '--ids', [5, 6, ...greedy.ids.slice(0, i)].join()])).stdout);
      assert.equal(logits.indexOf(Math.max(...logits)), greedy.ids[i]);
    }
    assert.deepEqual(await run('--seed', '7', '--max-tokens', '12'), await run('--seed', '7', '--max-tokens', '12'));
    assert.notDeepEqual((await run('--seed', '7', '--max-tokens', '12')).ids, (await run('--seed', '8', '--max-tokens', '12')).ids);
    const past = await run('--greedy', '--max-tokens', '100');
    assert.deepEqual([past.reason, past.ids.length], ['length', 100], 'rotary positions go on past the trained length');
    assert.deepEqual((await run('--max-tokens', '0')).ids, []);
    assert.equal((await cli(['generate', '--model', modelFile, '--ids', '5,6', '--greedy', '--max-tokens', '3'])).stdout, `${greedy.ids.slice(0, 3).join(' ')}\n`);
  });

  test('inspect', async () => {
    const { stdout } = await cli(['inspect', modelFile, '--json']);
    const header = JSON.parse(stdout);
    assert.equal(header.kind, 'gguf');
    assert.equal(header.metadata.find(({ key }) => key === 'general.architecture').value, 'llama');
    const embedding = header.tensors.find(({ name }) => name === 'token_embd.weight');
    assert.deepEqual([embedding.type, embedding.dims, embedding.bytes], ['F32', [64, 300], 4 * 64 * 300]);
    const file = readFileSync(modelFile);
    assert.equal(header.tensors.reduce((end, t) => Math.max(end, t.offset + t.bytes), 0) <= file.length, true);
    assert.match((await cli(['inspect', modelFile])).stdout, /GGUF version 3, \d+ keys, \d+ tensors/);
    const cut = await cli(['inspect', files.write('cut.gguf', file.subarray(0, 300))]);
    refused(cut, 1, /cut\.gguf: .+/);
    const definitionSummary = JSON.parse((await cli(['inspect', tokenizerFile, '--json'])).stdout);
    assert.deepEqual([definitionSummary.kind, definitionSummary.vocab_size, definitionSummary.tokens.special], ['tokenizer', END + 1, 1]);
  });

  test('score-bytes and generate-bytes', async () => {
    const model = await Model.load(BUNDLED, { threads: 1 });
    const text = 'Once upon a ti', bytes = new ByteModel(model);
    const want = await bytes.score(text, { perByte: true });
    const got = JSON.parse((await cli(['score-bytes', '--json', '--threads', '1', text])).stdout);
    assert.deepEqual(Object.keys(got), ['text_logprob', 'bytes', 'end', 'bits_per_byte', 'missing_mass', 'target']);
    assert.equal(got.bytes.length, text.length);
    assert.ok(Math.abs(got.text_logprob - want.textLogProb) < 1e-9 && got.bytes.every((x, i) => Math.abs(x - want.bytes[i]) < 1e-9));
    assert.equal((await cli(['score-bytes', '--per-byte', text])).stdout.trimEnd().split('\n').length, text.length + 2);
    const greedy = await bytes.greedy(text, { maxBytes: 20 });
    const made = JSON.parse((await cli(['generate-bytes', '--greedy', '--max-bytes', '20', '--json', text])).stdout);
    assert.deepEqual(Object.keys(made), ['bytes', 'text', 'reason', 'missing_mass', 'target']);
    assert.deepEqual(made.bytes, [...greedy.bytes]);
    assert.equal((await cli(['generate-bytes', '--greedy', '--max-bytes', '20', text])).stdout, `${greedy.text}\n`);
    const seeded = ['generate-bytes', '--seed', '5', '--max-bytes', '12', '--target', 'masked', '--json', text];
    assert.deepEqual(JSON.parse((await cli(seeded)).stdout), JSON.parse((await cli(seeded, {})).stdout));
    const { paths } = JSON.parse((await cli(['generate-bytes', '--beam', '3', '--max-bytes', '4', '--json', text])).stdout);
    const best = await bytes.beam(text, { length: 4, width: 3 });
    assert.deepEqual(paths.map((p) => p.text), best.paths.map((p) => p.text));
    await model.dispose();
    refused(await cli(['generate-bytes', '--greedy', '--seed', '1', 'x']), 2, /exclude each other/);
  });

  test('next-byte', async () => {
    const text = 'Once upon a ti';
    const got = JSON.parse((await cli(['next-byte', '--json', '--threads', '1', text])).stdout);
    const model = await Model.load(BUNDLED, { threads: 1 });
    const want = await new ByteModel(model).next(text);
    await model.dispose();
    const numbers = (list) => Array.from(list, (x) => (Number.isFinite(x) ? x : null));
    assert.deepEqual(got.bytes, numbers(want.bytes));
    assert.deepEqual([got.end, got.missing_mass, got.text_logprob, got.target], [...numbers([want.end]), 0, want.textLogProb, 'valid']);
    assert.deepEqual([...got.naive, got.naive_end], numbers(want.naive));
    assert.equal(got.naive.length, 256);
    assert.ok(Math.abs([...got.bytes, got.end].reduce((sum, x) => sum + (x === null ? 0 : Math.exp(x)), 0) - 1) < 1e-9);
    assert.deepEqual(JSON.parse((await cli(['next-byte', '--json', '--threads', '1'], { input: text })).stdout), got, 'from standard input');
    assert.equal(JSON.parse((await cli(['next-byte', '--json', '--target', 'all', text])).stdout).target, 'all');
    const shown = (await cli(['next-byte', '--top', '3', text])).stdout.trimEnd().split('\n');
    assert.equal(shown.length, 4);
    assert.match(shown[1], /^ {2}m {6}0\.99/);
    refused(await cli(['next-byte', '--model', modelFile, 'x']), 1, /token/);
  });

  test('without --model the bundled one', async () => {
    const encoded = JSON.parse((await cli(['encode', '--json', 'Once upon a time'])).stdout);
    const viaFile = JSON.parse((await cli(['encode', '--json', '--model', BUNDLED, 'Once upon a time'])).stdout);
    assert.deepEqual(encoded, viaFile);
    assert.equal((await cli(['decode', ...encoded.ids.map(String)])).stdout, 'Once upon a time\n');
    const { ids, text } = JSON.parse((await cli(['generate', '--greedy', '--max-tokens', '8', '--json', 'Once upon a time'])).stdout);
    assert.equal((await cli(['decode', '--skip-special-tokens', ...ids.map(String)])).stdout, `${text}\n`);
    assert.equal((await cli(['generate', '--greedy', '--max-tokens', '8'], { input: 'Once upon a time' })).stdout, `${text}\n`);
  });
});

test('a reader that leaves early is no error', async () => {
  const child = spawn(process.execPath, [CLI, 'inspect', BUNDLED, '--json']);
  let stderr = '';
  child.stderr.on('data', (chunk) => { stderr += chunk; });
  child.stdout.once('data', () => child.stdout.destroy());
  const status = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

describe('serve', () => {
  const site = join(files.folder, 'site');
  mkdirSync(join(site, 'sub'), { recursive: true });
  files.write('secret.txt', 'secret');
  files.write('site/index.html', '<!doctype html>');
  files.write('site/sub/a b.js', 'export {}');
  files.write('site/sub/x.wasm', Uint8Array.of(0, 97, 115, 109));
  files.write('site/.hidden', 'no');
  files.write('site/empty.txt', '');
  symlinkSync(join(files.folder, 'secret.txt'), join(site, 'link.txt'));

  /** @param {string} origin @param {string} path as it goes over the wire @param {{method?: string, headers?: Record<string, string>}} [options] */
  const ask = (origin, path, { method = 'GET', headers = {} } = {}) => new Promise((resolve, reject) => {
    const url = new URL(origin);
    const request = get({ host: '127.0.0.1', port: url.port, path, method, headers }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString() }));
    });
    request.on('error', reject);
  });

  test('types, policy, ranges, nothing outside its folder', async () => {
    const child = spawn(process.execPath, [CLI, 'serve', '--root', site, '--port', '0', '--open-path', 'sub/']);
    try {
      const line = await new Promise((resolve, reject) => {
        child.stdout.once('data', (chunk) => resolve(String(chunk)));
        child.once('close', reject);
      });
      const [, origin] = /^(http:\/\/localhost:\d+\/)sub\/\n$/.exec(line) ?? assert.fail(line);
      const index = await ask(origin, '/?x=1');
      assert.deepEqual([index.status, index.body, index.headers['content-type']], [200, '<!doctype html>', 'text/html; charset=utf-8']);
      assert.equal(index.headers['cross-origin-opener-policy'], 'same-origin');
      assert.equal(index.headers['cross-origin-embedder-policy'], 'require-corp');
      assert.match(index.headers['content-security-policy'], /script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'/);
      assert.doesNotMatch(index.headers['content-security-policy'], /unsafe-inline|'unsafe-eval'/);
      assert.equal((await ask(origin, '/sub/a%20b.js')).headers['content-type'], 'text/javascript; charset=utf-8');
      assert.equal((await ask(origin, '/sub/x.wasm')).headers['content-type'], 'application/wasm');
      assert.deepEqual(await ask(origin, '/sub').then((r) => [r.status, r.headers.location]), [301, '/sub/']);
      assert.equal((await ask(origin, '/empty.txt')).status, 200);
      for (const path of ['/../secret.txt', '/..%2fsecret.txt', '/%2e%2e/secret.txt', '/sub/../../secret.txt', '//secret.txt', '/link.txt', '/.hidden', '/sub/', '/absent', '/sub/x.wasm/y', '/a%00b', '/..\\secret.txt']) {
        const answer = await ask(origin, path);
        assert.equal(answer.status, 404, path);
        assert.doesNotMatch(answer.body, /secret\n?$/);
      }
      assert.equal((await ask(origin, '/%zz')).status, 400);
      assert.equal((await ask(origin, '/', { method: 'POST' })).status, 405);
      const head = await ask(origin, '/', { method: 'HEAD' });
      assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', '15']);

      const part = (range) => ask(origin, '/', { headers: { range } });
      assert.deepEqual(await part('bytes=2-8').then((r) => [r.status, r.body, r.headers['content-range']]), [206, 'doctype', 'bytes 2-8/15']);
      assert.deepEqual(await part('bytes=10-').then((r) => [r.status, r.body]), [206, 'html>']);
      assert.deepEqual(await part('bytes=-5').then((r) => [r.status, r.body]), [206, 'html>']);
      assert.deepEqual(await part('bytes=0-999').then((r) => [r.status, r.body.length]), [206, 15]);
      assert.deepEqual(await part('bytes=15-').then((r) => [r.status, r.headers['content-range']]), [416, 'bytes */15']);
      assert.equal((await part('bytes=9-2')).status, 416);
      assert.equal((await part('lines=1-2')).status, 200);
      assert.equal((await ask(origin, '/', { headers: { 'if-none-match': index.headers.etag } })).status, 304);
    } finally {
      child.kill();
    }
  });

  test('a port that is taken', async () => {
    const first = spawn(process.execPath, [CLI, 'serve', '--root', site, '--port', '0']);
    try {
      const line = await new Promise((resolve) => first.stdout.once('data', (chunk) => resolve(String(chunk))));
      refused(await cli(['serve', '--root', site, '--port', new URL(line.trim()).port]), 1, /EADDRINUSE|in use/);
    } finally {
      first.kill();
    }
  });
});

test('docs/cli.md names every command and option', async () => {
  const doc = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8');
  for (const name of COMMANDS) {
    assert.match(doc, new RegExp(`^## ${name}$`, 'm'));
    for (const [, option] of (await cli([name, '--help'])).stdout.matchAll(/^  (--[a-z-]+)/gm)) if (option !== '--help') assert.ok(doc.includes(option), `${name} ${option}`);
  }
});
