// Random definitions and texts, ours beside the native `tokenizers` library, until the time is over: ids, offsets, decodings.
//   ./build.sh fuzz differential SECONDS [SEED]     the same seed makes the same rounds; a difference is printed with its definition
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Tokenizer } from '../../web/index.js';
import { HARD, added, byteLevel, characterLevel, definition, random, text, unigram, utf8, wordPiece } from '../support/definitions.mjs';
import { DECODERS, MODELS, NORMALIZERS, Native, SPLITTERS, same } from '../support/pipelines.mjs';

// With empty matches behind other steps, and where nothing is left to strip, the library panics, and takes the process with it.
const norms = Object.entries(NORMALIZERS).filter(([name]) => !/nothing|empty|look-ahead/.test(name) || name === 'Replace by nothing').map(([, one]) => one);
const splits = Object.values(SPLITTERS), decoders = Object.entries(DECODERS).filter(([name, one]) => one && !/Strip at the end|empty|nothing/.test(name)).map(([, one]) => one);

/** @param {ReturnType<typeof random>} r @param {any[]} list @param {number} most */
const some = (r, list, most) => Array.from({ length: r.next(most + 1) }, () => r.pick(list));

/** A definition. @param {ReturnType<typeof random>} r @param {number} seed */
function made(r, seed) {
  const kind = r.next(6);
  const json = kind === 0 ? byteLevel(seed) : kind === 1 ? characterLevel(seed, { byte_fallback: r.chance(2), fuse_unk: r.chance(2) }) : kind === 2 ? unigram(seed, r.chance(2)) : kind === 3 ? wordPiece(seed, r.chance(2)) : definition(r.pick(Object.values(MODELS)));
  if (kind > 3 || r.chance(3)) {
    const fits = (/** @type {any} */ one) => !json.model.byte_fallback || !JSON.stringify(one).includes('ByteLevel'); // docs/robustness.md says why
    json.normalizer = { type: 'Sequence', normalizers: some(r, norms.filter(fits), 3) };
    if (kind !== 0) json.pre_tokenizer = { type: 'Sequence', pretokenizers: some(r, splits.filter(fits), 3) };
  }
  if (r.chance(2)) {
    const vocab = json.model.vocab, pieces = Array.isArray(vocab) ? vocab.map(([piece]) => piece) : Object.keys(vocab);
    const ids = Array.isArray(vocab) ? new Map(pieces.map((piece, i) => [piece, i])) : new Map(Object.entries(vocab));
    let next = Math.max(...ids.values()) + 1;
    const contents = new Set(['<x>', '<x><y>', ' lo', '日本', 'Token', text(r, 2) || 'q', r.pick(pieces) || 'z'].filter(() => r.chance(2)));
    json.added_tokens = [...(json.added_tokens ?? []), ...[...contents].filter((content) => content.trim() && !json.added_tokens?.some((/** @type {any} */ one) => one.content === content))
      .map((content) => added(ids.get(content) ?? next++, content, { single_word: r.chance(3), lstrip: r.chance(3), rstrip: r.chance(3), normalized: r.chance(2), special: r.chance(3) }))];
  }
  if (r.chance(2)) json.decoder = { type: 'Sequence', decoders: some(r, decoders, 3) };
  return json;
}

/** Texts for it. @param {ReturnType<typeof random>} r @param {any} json */
function textsFor(r, json) {
  const tokens = json.added_tokens.map((/** @type {any} */ one) => one.content), list = [];
  for (let i = 0; i < 12; i++) {
    let one = '';
    for (let k = 1 + r.next(6); k; k--) one += tokens.length && r.chance(3) ? r.pick(tokens) : r.chance(6) ? r.pick(HARD).slice(0, 60) : text(r, 1 + r.next(5));
    list.push(one);
  }
  return list;
}

/**
 * One round. @param {number} seed
 * @throws {assert.AssertionError} where the two differ
 */
export async function round(seed) {
  const r = random(seed), json = made(r, seed), list = textsFor(r, json);
  await same(`seed ${seed}`, json, list);
  const bytes = utf8(JSON.stringify(json)), theirs = Native.fromString(bytes.toString('utf8')), ours = await Tokenizer.load(new Uint8Array(bytes));
  // Since 0.23 the library decodes an added token to its content as the normalizer leaves it; before, and here, to its content.
  const changed = new Set(json.normalizer ? json.added_tokens.filter((/** @type {any} */ one) => one.normalized).map((/** @type {any} */ one) => one.id) : []);
  try {
    for (let i = 0; i < 8; i++) {
      const ids = Array.from({ length: r.next(9) }, () => r.next(ours.vocabSize)).filter((id) => !changed.has(id)), skip = r.chance(2);
      if (ids.length) assert.equal(ours.decode(ids, { skipSpecialTokens: skip }), await theirs.decode(ids, skip), `seed ${seed}: decode ${JSON.stringify(ids)}`);
    }
  } finally {
    ours.dispose();
  }
}

/** Rounds from a seed on, each named before it begins. @param {number} seed @param {number} until by the clock */
async function rounds(seed, until) {
  for (; Date.now() < until; seed++) {
    writeSync(1, `${seed}\n`);
    await round(seed).catch((error) => {
      console.error(`${error.message}\nthe definition: ${JSON.stringify(made(random(seed), seed)).slice(0, 4000)}`);
      process.exit(1);
    });
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [seconds = '60', first = String(Date.now() % 1e9), inner] = process.argv.slice(2), until = inner ? Number(inner) : Date.now() + 1000 * Number(seconds);
  if (inner) await rounds(Number(first), until);
  else {
    let next = Number(first), panics = 0; // of the library: they take the process with them
    while (Date.now() < until) {
      const { status, signal, stdout, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), seconds, String(next), String(until)], { encoding: 'utf8', maxBuffer: 1 << 30 });
      next = Number(stdout.trim().split('\n').at(-1)) + 1;
      if (status === 0) break;
      if (signal !== 'SIGABRT' || !stderr.includes('panicked')) {
        console.error(stderr || String(signal));
        process.exit(1);
      }
      panics++;
    }
    console.log(`${next - Number(first)} definitions from seed ${first} on, 12 texts each: no difference; the library panicked at ${panics}`);
  }
}
