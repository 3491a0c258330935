// Dynamic merging of batches: against a plain twin, and what must hold.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Tokenizer, dynamicMerges, trainTokenizer } from '../../web/index.js';
import { random, text } from '../support/definitions.mjs';

const texts = ['the lowest of the low, the newest of the new', 'a lower low is not the lowest  low', ' the new  and the newer\n\nlow', ''];
const { tokenizer } = await trainTokenizer(texts, { vocabSize: 270, specialTokens: ['<s>'] });
const byt5 = await Tokenizer.builtin('byt5');
/** @param {Tokenizer} t @param {{sequences: Int32Array[], units: any[]}} made */
const spell = (t, { sequences, units }) => sequences.map((ids) => Buffer.concat([...ids].map((id) => Buffer.from(id < t.vocabSize ? t.tokenBytes(id) : units[id - t.vocabSize].bytes))).toString());
const size = (/** @type {{sequences: Int32Array[]}} */ { sequences }) => sequences.reduce((n, s) => n + s.length, 0);

test('no merges: the batch as it is; texts are kept; the more merges, the shorter; words are the end of it', () => {
  for (const t of [tokenizer, byt5]) {
    const plain = texts.map((x) => t.encode(x).ids);
    assert.deepEqual(dynamicMerges(t, texts, { merges: 0 }), { sequences: plain, units: [] });
    let before = Infinity;
    for (const merges of [0, 1, 2, 5, 20, 1000]) {
      const made = dynamicMerges(t, texts, { merges });
      assert.ok(size(made) <= before && made.units.length <= merges);
      before = size(made);
      assert.deepEqual(spell(t, made), texts);
    }
    const whole = dynamicMerges(t, texts, { merges: 100000 });
    // white space stands at the start of a unit, as far as tokens let it
    const words = texts.map((x) => [...x.matchAll(/\s*\S+|\s+$/g)].length), more = texts.map((x) => [...x.matchAll(/\s(?=\s+\S)/g)].length);
    for (const [i, s] of whole.sequences.entries()) assert.ok(s.length >= words[i] && s.length <= words[i] + more[i], `${s.length} units of ${words[i]} words`);
    for (const { bytes } of whole.units) assert.match(Buffer.from(bytes).toString('latin1'), /^(\s*[^\s]+|\s+)$/);
    assert.ok(dynamicMerges(t, texts, { merges: 100000, boundary: 'none' }).sequences.every((s) => s.length <= 1));
  }
});

test('every step is the most frequent pair: against a plain twin', () => {
  const r = random(6);
  for (let round = 0; round < 40; round++) {
    const lists = Array.from({ length: 1 + r.next(5) }, () => Array.from({ length: r.next(30) }, () => 3 + r.next(3))), merges = r.next(12);
    const made = dynamicMerges(byt5, lists, { merges, boundary: 'none' });
    let now = lists.map((l) => [...l]);
    for (const [k, unit] of made.units.entries()) {
      /** @type {Map<string, number>} */ const counts = new Map();
      for (const l of now) for (let i = 0; i + 1 < l.length; i++) { const key = `${l[i]} ${l[i + 1]}`; if (l[i] === l[i + 1] && i && l[i - 1] === l[i]) { let run = 1; while (i - run >= 0 && l[i - run] === l[i]) run++; if (run % 2 === 0) continue; } counts.set(key, (counts.get(key) ?? 0) + 1); }
      const most = Math.max(...counts.values());
      assert.equal(unit.count, most, `round ${round}, merge ${k}`);
      const best = [...counts].filter(([, n]) => n === most).map(([key]) => key.split(' ').map(Number)).sort((a, b) => a[0] - b[0] || a[1] - b[1])[0];
      assert.deepEqual([unit.left, unit.right], best);
      now = now.map((l) => { const out = []; for (let i = 0; i < l.length; i++) { if (l[i] === unit.left && l[i + 1] === unit.right) { out.push(unit.id); i++; } else out.push(l[i]); } return out; });
    }
    assert.deepEqual(made.sequences.map((s) => [...s]), now);
    if (made.units.length < merges) assert.ok(now.every((l) => l.length <= 1), 'it ends where no pair is left');
  }
});

test('special tokens stay alone; refusals', () => {
  const made = dynamicMerges(tokenizer, ['low<s>low<s>low'], { merges: 1000, boundary: 'none' }), s = tokenizer.encode('<s>').ids[0];
  assert.equal(made.sequences[0].filter((id) => id === s).length, 2);
  assert.equal(made.sequences[0].length, 5);
  assert.deepEqual(dynamicMerges(tokenizer, [], { merges: 3 }), { sequences: [], units: [] });
  assert.throws(() => dynamicMerges(tokenizer, [[99999]], { merges: 1 }), { code: 'ERANGE' });
  assert.throws(() => dynamicMerges(tokenizer, [[-1]], { merges: 1 }), { code: 'ERANGE' });
  assert.throws(() => dynamicMerges(tokenizer, ['a'], { merges: 1, boundary: /** @type {any} */ ('x') }), { code: 'EUNKNOWN' });
  const r = random(2), any = Array.from({ length: 30 }, () => text(r, 12));
  assert.deepEqual(spell(tokenizer, dynamicMerges(tokenizer, any, { merges: 200 })), any);
});
