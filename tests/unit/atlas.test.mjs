// The atlas: its list against the table it was made for, every runner once, the command. Quick runs of labs: labs_quick.test.mjs.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { SYSTEMS, findSystem, runSystem } from '../../web/atlas/run.js';
import { RUNS as BYTES } from '../../web/atlas/run_bytes.js';
import { RUNS as INSIDE } from '../../web/atlas/run_inside.js';
import { RUNS as TOKENS } from '../../web/atlas/run_tokens.js';
import { LABS } from '../../web/lab/index.js';
import { shared, skipWithoutShared } from '../support/shared.mjs';
import { cli } from '../support/wasm.mjs';

const RUNNERS = { lab: Object.fromEntries(LABS.map((lab) => [lab.id, lab])), bytes: BYTES, inside: INSIDE, tokens: TOKENS };
const KEYS = ['id', 'title', 'status', 'claim', 'published', 'obtained', 'verdict', 'seconds'];

/** Runs of n words. @param {string} text @param {number} n */
const runsOf = (text, n) => {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return Array.from({ length: Math.max(0, words.length - n + 1) }, (_, i) => words.slice(i, i + n).join(' '));
};

describe('the list', () => {
  test('233 systems, each with a slug of its own, and sentences', () => {
    assert.deepEqual(SYSTEMS.map(({ id }) => id), Array.from({ length: 233 }, (_, i) => i + 1));
    assert.equal(new Set(SYSTEMS.map(({ slug }) => slug)).size, 233);
    assert.equal(new Set(SYSTEMS.map(({ claim }) => claim)).size, 233, 'no claim is there twice');
    for (const { id, slug, title, field, claim, missing } of SYSTEMS) {
      for (const text of [title, field, claim]) assert.ok(text.trim(), String(id));
      assert.match(slug, /^[a-z0-9]+(-[a-z0-9]+)*$/);
      for (const sentence of [claim, ...(missing === undefined ? [] : [missing])]) assert.match(sentence, /^[A-Z].{20,400}[.]$/, String(id));
    }
  });

  test('what works has a runner, what has a runner works, and what does not work says what is missing', () => {
    for (const { id, run, missing, status } of SYSTEMS) {
      assert.equal(status, run ? 'works' : 'not yet', String(id));
      assert.equal(missing === undefined, run !== undefined, `${id}: either a runner or what is missing`);
      if (run) assert.ok(RUNNERS[run][id], `${id}: no runner in ${run}`);
    }
    // A system may be computed by a runner and trained by a lab: then the runner is named.
    for (const [name, runs] of Object.entries(RUNNERS)) for (const id of Object.keys(runs)) assert.ok(SYSTEMS[Number(id) - 1].run === name || (name === 'lab' && SYSTEMS[Number(id) - 1].run), id);
    for (const lab of LABS) assert.equal(SYSTEMS[lab.id - 1].slug, lab.name);
  });

  test('ids, slugs, titles and fields are those of the table; no sentence is copied from it', { skip: skipWithoutShared }, () => {
    const [head, ...rows] = readFileSync(shared('atlas.tsv'), 'utf8').trimEnd().split('\n').map((line) => line.split('\t'));
    const column = (/** @type {string} */ name) => { assert.ok(head.includes(name), name); return rows.map((row) => row[head.indexOf(name)]); };
    for (const name of /** @type {const} */ (['id', 'slug', 'title', 'field'])) assert.deepEqual(SYSTEMS.map((system) => String(system[name])), column(name));
    for (const [i, theirs] of column('what_works_means').entries()) {
      const known = new Set(runsOf(theirs, 6)), { id, claim, missing = '' } = SYSTEMS[i];
      assert.ok(known.size > 0, String(id));
      for (const words of [...runsOf(claim, 6), ...runsOf(missing, 6)]) assert.ok(!known.has(words), `${id}: "${words}"`);
    }
  });
});

describe('runners', () => {
  for (const { id, slug, run } of SYSTEMS)
    if (run && run !== 'lab')
      test(`[${id}] ${slug}`, async () => {
        /** @type {[number, number][]} */ const progress = [];
        const result = await runSystem(id, { onProgress: (done, total) => progress.push([done, total]) }), { obtained: { headline, checks, scope } } = result;
        assert.deepEqual(Object.keys(result), KEYS);
        assert.equal(result.verdict, 'holds', JSON.stringify(checks.filter(({ pass }) => !pass)));
        assert.ok(checks.length > 1 && checks.every(({ what, value, bound }) => what && bound && Number.isFinite(value)), JSON.stringify(checks));
        assert.ok(headline.label && Number.isFinite(headline.value) && scope && result.published && result.claim && result.seconds > 0);
        assert.ok(progress.length > 0 && progress.every(([done, total]) => done <= total), JSON.stringify(progress));
      });

  test('what does not work, is not there or was stopped', async () => {
    const missing = SYSTEMS.find(({ run }) => !run);
    await assert.rejects(runSystem(missing.id), (error) => error.code === 'EUNKNOWN' && error.message.includes(missing.missing));
    for (const id of [0, 234, 1.5, NaN, '', 'no-such-paper']) assert.throws(() => findSystem(id), { code: 'EUNKNOWN' }, String(id));
    await assert.rejects(runSystem(48, { fast: true }), /unknown option/);
    for (const id of [48, 31, 23, 221]) await assert.rejects(runSystem(id, { signal: AbortSignal.abort() }), { name: 'AbortError' });
    const stopped = new AbortController();
    await assert.rejects(runSystem(79, { signal: stopped.signal, onProgress: () => stopped.abort() }), { name: 'AbortError' });
  });
});

describe('the command', () => {
  test('list', async () => {
    const { status, stdout } = await cli(['atlas', 'list', '--json']), list = JSON.parse(stdout);
    assert.equal(status, 0);
    assert.deepEqual(Object.keys(list[0]), ['id', 'slug', 'title', 'field', 'status', 'claim', 'missing']);
    assert.deepEqual(list.map((/** @type {any} */ { id, status: s }) => [id, s]), SYSTEMS.map(({ id, status: s }) => [id, s]));
    const plain = (await cli(['atlas', 'list'])).stdout.trimEnd().split('\n');
    assert.equal(plain.length, 234);
    assert.equal(plain[233], `${SYSTEMS.filter(({ run }) => run).length} of 233 work`);
  });

  test('run: by number and by slug, as text and as JSON', async () => {
    const { status, stdout } = await cli(['atlas', 'run', '48', '--json']), result = JSON.parse(stdout);
    assert.equal(status, 0);
    assert.deepEqual(Object.keys(result), KEYS);
    assert.equal(result.verdict, 'holds');
    const plain = await cli(['atlas', 'run', 'tokenization-bias-markov']);
    assert.equal(plain.status, 0);
    for (const word of ['status', 'claim', 'published', 'obtained', 'verdict', 'seconds']) assert.match(plain.stdout, new RegExp(`^  ${word} +\\S`, 'm'));
  });

  test('a verdict that does not hold ends with 1: a lab in too few steps', async () => {
    const { status, stdout } = await cli(['atlas', 'run', '102', '--json']), result = JSON.parse(stdout);
    assert.deepEqual([Object.keys(result), result.verdict, status], [KEYS, 'fails', 1]);
  });

  test('calls that are wrong', async () => {
    for (const [args, status, pattern] of /** @type {[string[], number, RegExp][]} */ ([
      [[], 2, /needs one of list, run/], [['show'], 2, /got show/], [['list', '3'], 2, /no arguments/], [['list', '--full'], 2, /no --full/], [['run'], 2, /one ID/], [['run', '1', '2'], 2, /one ID/], [['run', '999'], 1, /no system "999"/], [['run', '1'], 1, /does not work yet/],
    ])) {
      const run = await cli(['atlas', ...args]);
      assert.equal(run.status, status, args.join(' '));
      assert.match(run.stderr, pattern);
      assert.equal(run.stdout, '');
    }
  });
});
