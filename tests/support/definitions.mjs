// Texts and small tokenizer definitions, made from a seed.
export const utf8 = (text) => Buffer.from(text, 'utf8');

// ---- random, reproducible ----

export function random(seed) {
  let s = seed >>> 0;
  const next = (n) => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % n;
  };
  return { next, pick: (list) => list[next(list.length)], chance: (n) => next(n) === 0 };
}

export const SYLLABLES = ['the', 'to', 'ken', 'ing', 'er', 'ab', 'low', 'est', 'new', 'un', 'ma', 'ра', 'бо', 'та', 'při', 'žlu', 'é', 'ñ', '日', '本', '語', 'کتا', 'ب', 'नम', 'स्ते', '한', '국', '🙂', '👩‍👧', '1', '23', '007'];
export const SPACES = [' ', '  ', '\n', '\t', '\r\n', '\u00a0', '\u3000', '\u2028', ' \n ', '\u200b'];
export const MARKS = ['.', ',', '!', "'s", "'LL", '--', '...', '(', ')', '_', '@', '\u2581', 'Ġ', '<', '|', '`', '«', '“', '$', '+', '、', '。'];

/** Text of words, spaces and marks, with now and then any code point. */
export function text(r, length) {
  let out = '';
  for (let i = 0; i < length; i++) {
    const kind = r.next(16);
    if (kind < 8) { for (let k = 1 + r.next(4); k; k--) out += r.pick(SYLLABLES); if (r.chance(6)) out = out.slice(0, -3) + out.slice(-3).toUpperCase(); }
    else if (kind < 12) out += r.pick(SPACES.slice(0, r.chance(3) ? SPACES.length : 1));
    else if (kind < 15) out += r.pick(MARKS);
    else {
      let c = r.next(r.pick([0x100, 0x800, 0x3000, 0x10000, 0x110000]));
      if (c >= 0xd800 && c < 0xe000) c = 0xfffd;
      out += String.fromCodePoint(c);
    }
  }
  return out;
}

/** What splitters and mergers find hard. */
export const HARD = ['', ' ', '  ', '   a', 'a   ', '\n', '\n\n\n', ' \n', '\r\n\r\n', '\t\t x', '\u00a0\u00a0x', '\ufeff', 'a\ufeffb', '\u0000', "I'm'll'D", '\u0301', 'e\u0301\u0301\u0301', '👩‍👩‍👧‍👦', 'a'.repeat(3000), ' '.repeat(3000), 'ab'.repeat(1500), '\n'.repeat(999), '1'.repeat(1000), '日'.repeat(700), '!'.repeat(800), 'é'.repeat(400), '🙂'.repeat(300), 'ΣΑΣ ας', 'İı', 'ﬁ', '\u1e9b\u0323', '<s>', '<0x41>', '\u2581\u2581', '##ing', '[UNK]'];

export function texts(seed, count) {
  const r = random(seed), list = [...HARD];
  for (let i = 0; i < count; i++) list.push(text(r, 1 + r.next(60)));
  return list;
}

// ---- definitions ----

export const BYTE_CHAR = (() => {
  const list = [];
  for (let b = 0, extra = 256; b < 256; b++) list.push(String.fromCodePoint((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174 ? b : extra++));
  return list;
})();

/** The merges of byte-pair encoding over words (lists of symbols), the most frequent pair first. */
export function learnMerges(words, count) {
  const merges = [];
  for (let i = 0; i < count; i++) {
    const seen = new Map();
    for (const w of words) for (let k = 0; k + 1 < w.length; k++) seen.set(`${w[k]}\n${w[k + 1]}`, (seen.get(`${w[k]}\n${w[k + 1]}`) ?? 0) + 1);
    let best = null;
    for (const [pair, n] of seen) if (n > 1 && (!best || n > seen.get(best))) best = pair;
    if (!best) break;
    const [a, b] = best.split('\n');
    merges.push([a, b]);
    for (const w of words) for (let k = 0; k + 1 < w.length; k++) if (w[k] === a && w[k + 1] === b) w.splice(k, 2, a + b);
  }
  return merges;
}

export function vocabulary(first, merges) {
  const vocab = {};
  for (const piece of [...first, ...merges.map(([a, b]) => a + b)]) vocab[piece] ??= Object.keys(vocab).length;
  return vocab;
}

export const definition = (model, parts = {}) => ({ version: '1.0', truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...parts, model });
export const bpe = (vocab, merges, more = {}) => ({ type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab, merges, ...more });
export const added = (id, content, flags = {}) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...flags });

export function byteLevel(seed, parts, more) {
  const r = random(seed);
  const words = Array.from({ length: 400 }, () => [...utf8((r.chance(3) ? '' : ' ') + text(r, 1 + r.next(2)).trim())].map((b) => BYTE_CHAR[b])).filter((w) => w.length);
  const merges = learnMerges(words, 250);
  return definition(bpe(vocabulary(BYTE_CHAR, merges), merges, more), { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true }, decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true }, ...parts });
}

export function characterLevel(seed, more) {
  const r = random(seed);
  const words = Array.from({ length: 300 }, () => ['\u2581', ...Array.from({ length: 1 + r.next(4) }, () => r.pick(SYLLABLES)).join('')]);
  const merges = learnMerges(words, 200);
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`);
  const letters = [...new Set(SYLLABLES.join('') + '\u2581.,!')].filter((_, i) => i % 5);
  const known = new Set(letters), used = merges.filter(([a, b]) => [...a + b].every((c) => known.has(c)));
  return definition(bpe(vocabulary(['<unk>', ...(more.byte_fallback ? bytes : []), ...letters], used), used, { unk_token: '<unk>', ...more }), { normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '\u2581' }, { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' }] } });
}

export function unigram(seed, byteFallback) {
  const r = random(seed);
  const pieces = new Map([['<unk>', 0], ['\u2581', -3]]);
  if (byteFallback) for (let b = 0; b < 256; b++) pieces.set(`<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, 0);
  for (const c of new Set(SYLLABLES.join(''))) if (!r.chance(6)) pieces.set(c, -6 - r.next(1000) / 250);
  for (let i = 0; i < 500; i++) pieces.set((r.chance(3) ? '\u2581' : '') + Array.from({ length: 1 + r.next(3) }, () => r.pick(SYLLABLES)).join(''), -4 - r.next(10000) / 1001);
  return definition({ type: 'Unigram', unk_id: 0, byte_fallback: byteFallback, vocab: [...pieces] }, { pre_tokenizer: { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'always', split: true } });
}

export function wordPiece(seed, lowercase) {
  const r = random(seed);
  const pieces = new Set(['[PAD]', '[UNK]', '[CLS]', '[SEP]', ...MARKS]);
  for (const c of new Set(SYLLABLES.join('').normalize('NFD'))) { pieces.add(c); if (!r.chance(4)) pieces.add(`##${c}`); }
  for (let i = 0; i < 300; i++) pieces.add((r.chance(2) ? '##' : '') + Array.from({ length: 1 + r.next(2) }, () => r.pick(SYLLABLES)).join(''));
  return definition({ type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab: vocabulary(pieces, []) }, { normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase }, pre_tokenizer: { type: 'BertPreTokenizer' } });
}
