// A hub folder's tokenizer as GGUF keys: tokenizer.ggml.* as llama.cpp's converters write them, and the whole tokenizer.json
// under tokenizer.huggingface.json (GGUF's own key for it), which our reader prefers: the keys cannot say everything.
import { MicrotomeError } from './runtime/heap.js';
import { wholeFile } from './runtime/gzip.js';
import { makeKey } from './runtime/gguf.js';

/** @typedef {import('./runtime/open.js').Source} Source */
/** @typedef {import('./runtime/gguf.js').RawKey} RawKey */
/** @typedef {import('./runtime/gguf.js').KeyValue} KeyValue */
/** @typedef {{tokens: (string | Uint8Array)[], types: Uint8Array, scores?: Float32Array, keys: Record<string, KeyValue>}} Vocabulary */

const FILES = ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'special_tokens_map.json', 'added_tokens.json', 'vocab.json', 'merges.txt', 'vocab.txt', 'tokenizer.model', 'spiece.model', 'sentencepiece.bpe.model', 'chat_template.jinja'];
const baseName = (/** @type {string} */ name) => name.split(/[\\/]/).pop()?.toLowerCase() ?? '';

/** Files of a hub folder that tell about its tokenizer. */
export const TOKENIZER_FILES = FILES;
/** @param {string} name */
export const isTokenizerFile = (name) => FILES.includes(baseName(name));

const NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, UNUSED = 5, BYTE = 6;
const MARK = '\u2581';

/**
 * @param {Source[]} sources files named as in TOKENIZER_FILES @param {any} config config.json, parsed @param {AbortSignal} [signal]
 * @returns {Promise<RawKey[]>} none without a tokenizer @throws {MicrotomeError} EFORMAT: a file is damaged
 */
export async function tokenizerKeys(sources, config, signal) {
  /** @type {Map<string, Uint8Array>} */ const files = new Map();
  for (const s of sources) files.set(baseName(s.name), await wholeFile(s, signal));
  const text = (/** @type {string} */ name) => { const bytes = files.get(name); return bytes && new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes); };
  const json = (/** @type {string} */ name) => {
    const found = text(name);
    if (found === undefined) return undefined;
    try {
      return JSON.parse(found);
    } catch (error) {
      throw new MicrotomeError(`${name}: ${/** @type {Error} */ (error).message}`, { code: 'EFORMAT', details: { file: name }, cause: error });
    }
  };
  const definition = json('tokenizer.json');
  const model = files.get('tokenizer.model') ?? files.get('spiece.model') ?? files.get('sentencepiece.bpe.model');
  /** @type {Vocabulary | null} */ let vocabulary = null;
  if (definition) vocabulary = fromDefinition(definition);
  else if (model) vocabulary = fromSentencePiece(model);
  else if (files.has('vocab.txt')) vocabulary = fromWordPieces(/** @type {string} */ (text('vocab.txt')).split('\n').map((line) => line.replace(/\r$/, '')).filter((line, i, all) => line || i + 1 < all.length));
  else if (files.has('vocab.json') && files.has('merges.txt'))
    vocabulary = byteLevel(json('vocab.json'), /** @type {string} */ (text('merges.txt')).split('\n').map((l) => l.replace(/\r$/, '')).filter((l) => l && !l.startsWith('#version')), 'gpt-2');
  if (!vocabulary && !definition) return [];
  /** @type {Record<string, KeyValue>} */ const keys = {};
  if (vocabulary) {
    addTokens(vocabulary, definition?.added_tokens ?? addedOf(json('added_tokens.json')));
    pad(vocabulary, config.vocab_size ?? 0);
    Object.assign(keys, vocabulary.keys, { 'tokenizer.ggml.tokens': { strings: vocabulary.tokens }, 'tokenizer.ggml.token_type': { i32s: vocabulary.types } });
    if (vocabulary.scores) keys['tokenizer.ggml.scores'] = { f32s: vocabulary.scores };
  }
  specialTokens(keys, vocabulary, definition, config, json('tokenizer_config.json') ?? {}, json('special_tokens_map.json') ?? {}, json('generation_config.json') ?? {}, text('chat_template.jinja'));
  if (definition) keys['tokenizer.huggingface.json'] = /** @type {string} */ (text('tokenizer.json'));
  return Object.entries(keys).map(([name, value]) => makeKey(name, value));
}

// ---- vocabularies -------------------------------------------------------------------------------------------------------------

/** @param {Record<string, number>} vocab @returns {string[]} by id; holes are undefined */
function byId(vocab) {
  /** @type {string[]} */ const tokens = [];
  for (const [token, id] of Object.entries(vocab)) tokens[id] = token;
  return tokens;
}

/** @param {string[]} tokens with holes @param {Record<string, KeyValue>} keys @param {Float32Array} [scores] @returns {Vocabulary} */
function plain(tokens, keys, scores) {
  const types = new Uint8Array(tokens.length).fill(NORMAL);
  const filled = Array.from(tokens, (t, i) => { if (t === undefined) types[i] = UNUSED; return t ?? `[PAD${i}]`; });
  return { tokens: filled, types, keys, ...(scores && { scores }) };
}

/** Every part of a definition's list of parts. @param {any} part @returns {any[]} */
const partsOf = (part) => (!part ? [] : part.type === 'Sequence' ? (part.normalizers ?? part.pretokenizers ?? part.decoders ?? part.processors ?? []).flatMap(partsOf) : [part]);

/** @param {any} definition tokenizer.json @returns {Vocabulary | null} null: a kind that llama.cpp's keys do not have */
function fromDefinition(definition) {
  const { model } = definition;
  const before = partsOf(definition.pre_tokenizer), normal = partsOf(definition.normalizer), after = partsOf(definition.decoder);
  if (model?.type === 'WordPiece' || (!model?.type && model?.continuing_subword_prefix === '##')) {
    return fromWordPieces(byId(model.vocab), model.continuing_subword_prefix ?? '##');
  }
  if (model?.type === 'Unigram' || Array.isArray(model?.vocab)) {
    const scores = Float32Array.from(model.vocab, (/** @type {[string, number]} */ [, score]) => score);
    const map = normal.find((n) => n.type === 'Precompiled')?.precompiled_charsmap;
    const meta = before.find((p) => p.type === 'Metaspace');
    const out = plain(model.vocab.map((/** @type {[string, number]} */ [t]) => t), {
      'tokenizer.ggml.model': 't5', 'tokenizer.ggml.pre': 'default', 'tokenizer.ggml.add_space_prefix': meta ? (meta.prepend_scheme ?? (meta.add_prefix_space === false ? 'never' : 'always')) !== 'never' : true,
      'tokenizer.ggml.remove_extra_whitespaces': before.some((p) => p.type === 'WhitespaceSplit') || normal.some((n) => n.type === 'Replace'),
      ...(map && { 'tokenizer.ggml.precompiled_charsmap': { bytes: Uint8Array.from(atob(map), (c) => c.charCodeAt(0)) } }),
    }, scores);
    if (model.unk_id !== null && model.unk_id !== undefined) setUnknown(out, model.unk_id);
    if (model.byte_fallback) markBytes(out);
    return out;
  }
  if (model?.type !== 'BPE' && !model?.merges) return null;
  /** @type {string[]} */ const merges = model.merges.map((/** @type {string | [string, string]} */ m) => (typeof m === 'string' ? m : m.map((x) => x.replaceAll(' ', '\u0120')).join(' ')));
  if ([...before, ...after].some((p) => p.type === 'ByteLevel')) return byteLevel(model.vocab, merges, preName(before, model.ignore_merges === true));
  // SentencePiece's BPE as merges: a piece is as good as its merge is early.
  const tokens = byId(model.vocab);
  const scores = new Float32Array(tokens.length).fill(-1e6);
  merges.forEach((merge, i) => {
    const space = merge.indexOf(' ', 1);
    const id = model.vocab[merge.slice(0, space) + merge.slice(space + 1)];
    if (id !== undefined && scores[id] === -1e6) scores[id] = -i;
  });
  const prefix = normal.some((n) => n.type === 'Prepend') || before.some((p) => p.type === 'Metaspace' && (p.prepend_scheme ?? 'always') !== 'never');
  const out = plain(tokens, { 'tokenizer.ggml.model': 'llama', 'tokenizer.ggml.pre': 'default', 'tokenizer.ggml.add_space_prefix': prefix }, scores);
  if (model.unk_token && model.vocab[model.unk_token] !== undefined) setUnknown(out, model.vocab[model.unk_token]);
  markBytes(out);
  return out;
}

/** @param {Vocabulary} v @param {number} id */
function setUnknown(v, id) {
  v.types[id] = UNKNOWN;
  v.keys['tokenizer.ggml.unknown_token_id'] = { u32: id };
}

/** "<0x0A>" @param {Vocabulary} v */
function markBytes(v) {
  v.tokens.forEach((t, i) => { if (typeof t === 'string' && /^<0x[0-9A-F]{2}>$/.test(t)) v.types[i] = BYTE; });
}

/** @param {Record<string, number>} vocab @param {string[]} merges @param {string} pre @returns {Vocabulary} */
function byteLevel(vocab, merges, pre) {
  return plain(byId(vocab), { 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.pre': pre, 'tokenizer.ggml.merges': { strings: merges } });
}

/** llama.cpp's name of a splitting expression. @param {any[]} before @param {boolean} ignoreMerges */
function preName(before, ignoreMerges) {
  const pattern = before.find((p) => p.type === 'Split')?.pattern?.Regex ?? '';
  if (/\\p\{Lu\}.*\\p\{Lt\}/.test(pattern)) return /'s\|'t/.test(pattern) ? 'gpt-4o' : 'tekken';
  if (/\\p\{N\}\{1,3\}/.test(pattern)) return ignoreMerges ? 'llama-bpe' : 'dbrx';
  if (/\\p\{L\}\+\|\\p\{N\}\|/.test(pattern)) return 'qwen2';
  if (before.some((p) => p.type === 'Digits' && p.individual_digits)) return 'starcoder';
  if (!pattern && before.some((p) => p.type === 'ByteLevel' && p.use_regex !== false)) return 'gpt-2';
  return 'default';
}

/** @param {string[]} pieces "##ing" @param {string} [continuing] @returns {Vocabulary} */
function fromWordPieces(pieces, continuing = '##') {
  const special = (/** @type {string} */ t) => t === undefined || /^\[.*\]$/.test(t);
  const out = plain(pieces.map((t) => (special(t) ? t : t.startsWith(continuing) ? t.slice(continuing.length) : MARK + t)), { 'tokenizer.ggml.model': 'bert', 'tokenizer.ggml.pre': 'default' });
  pieces.forEach((t, i) => {
    if (t === '[UNK]') setUnknown(out, i);
    else if (/^\[(CLS|SEP|MASK|PAD)\]$/.test(t ?? '')) {
      out.types[i] = CONTROL;
      // Both spellings are in use.
      for (const name of /** @type {Record<string, string[]>} */ ({ '[CLS]': ['bos', 'cls'], '[SEP]': ['eos', 'seperator', 'separator'], '[MASK]': ['mask'], '[PAD]': ['padding'] })[t]) out.keys[`tokenizer.ggml.${name}_token_id`] = { u32: i };
    }
  });
  return out;
}

/** A SentencePiece ModelProto: pieces (1), trainer (2: model type 3), normalizer (3: map 2, dummy prefix 3, spaces 4). @param {Uint8Array} bytes @returns {Vocabulary} */
function fromSentencePiece(bytes) {
  /** @type {string[]} */ const tokens = [];
  /** @type {number[]} */ const scores = [];
  /** @type {number[]} */ const types = [];
  let kind = 1, prefix = true, squeeze = true;
  /** @type {Uint8Array | null} */ let map = null;
  for (const { field, value } of protobuf(bytes)) {
    if (field === 1 && value instanceof Uint8Array) {
      let piece = '', score = 0, type = NORMAL;
      for (const p of protobuf(value)) {
        if (p.field === 1) piece = new TextDecoder().decode(/** @type {Uint8Array} */ (p.value));
        else if (p.field === 2) score = new DataView(/** @type {Uint8Array} */ (p.value).buffer, /** @type {Uint8Array} */ (p.value).byteOffset).getFloat32(0, true);
        else if (p.field === 3) type = Number(p.value);
      }
      tokens.push(piece);
      scores.push(score);
      types.push(type);
    } else if (field === 2 && value instanceof Uint8Array) for (const p of protobuf(value)) { if (p.field === 3) kind = Number(p.value); }
    else if (field === 3 && value instanceof Uint8Array)
      for (const p of protobuf(value)) {
        if (p.field === 2) map = /** @type {Uint8Array} */ (p.value);
        else if (p.field === 3) prefix = Boolean(p.value);
        else if (p.field === 4) squeeze = Boolean(p.value);
      }
  }
  if (kind !== 1 && kind !== 2) throw new MicrotomeError(`a SentencePiece model of type ${kind}: known are 1 (Unigram) and 2 (BPE)`, { code: 'EUNKNOWN' });
  const out = plain(tokens, { 'tokenizer.ggml.model': kind === 1 ? 't5' : 'llama', 'tokenizer.ggml.pre': 'default', 'tokenizer.ggml.add_space_prefix': prefix, 'tokenizer.ggml.remove_extra_whitespaces': squeeze,
    ...(map && map.length && { 'tokenizer.ggml.precompiled_charsmap': { bytes: map } }) }, Float32Array.from(scores));
  // The numbers of the kinds are SentencePiece's own: normal 1, unknown 2, control 3, user defined 4, unused 5, byte 6.
  out.types.set(types);
  tokens.forEach((_, i) => {
    const name = types[i] === UNKNOWN ? 'unknown' : types[i] === CONTROL ? /** @type {Record<string, string>} */ ({ '<s>': 'bos', '</s>': 'eos', '<pad>': 'padding' })[tokens[i]] : undefined;
    if (name) out.keys[`tokenizer.ggml.${name}_token_id`] = { u32: i };
  });
  return out;
}

/** Fields of a protobuf message. @param {Uint8Array} bytes @returns {Generator<{field: number, value: number | Uint8Array}>} fixed ones as bytes */
function* protobuf(bytes) {
  let at = 0;
  const cut = () => new MicrotomeError('a SentencePiece model that is cut or damaged', { code: 'EFORMAT', details: { offset: at } });
  const varint = () => {
    for (let v = 0, scale = 1; ; scale *= 128) {
      if (at >= bytes.length || scale > 2 ** 63) throw cut();
      const b = bytes[at++];
      v += (b & 127) * scale;
      if (b < 128) return v;
    }
  };
  while (at < bytes.length) {
    const tag = varint(), field = Math.floor(tag / 8), wire = tag % 8;
    if (wire === 0) yield { field, value: varint() };
    else {
      const n = wire === 1 ? 8 : wire === 5 ? 4 : wire === 2 ? varint() : -1;
      if (n < 0 || n > bytes.length - at) throw cut();
      yield { field, value: bytes.subarray(at, at + n) };
      at += n;
    }
  }
}

// ---- added and special tokens -------------------------------------------------------------------------------------------------

/** @param {Record<string, number> | undefined} added */
const addedOf = (added) => Object.entries(added ?? {}).map(([content, id]) => ({ id, content, special: true }));

/** @param {Vocabulary} v @param {{id: number, content: string, special: boolean}[]} added */
function addTokens(v, added) {
  const most = added.reduce((n, a) => Math.max(n, a.id + 1), 0);
  pad(v, most);
  for (const { id, content, special } of added) {
    v.tokens[id] = content;
    if (v.types[id] !== UNKNOWN) v.types[id] = special ? CONTROL : USER;
  }
}

/** Ids without a token, up to `size`: the model has rows for them. @param {Vocabulary} v @param {number} size */
function pad(v, size) {
  if (!(size > v.tokens.length)) return;
  const types = new Uint8Array(size).fill(UNUSED);
  types.set(v.types);
  v.types = types;
  if (v.scores) {
    const scores = new Float32Array(size).fill(-1e6);
    scores.set(v.scores);
    v.scores = scores;
  }
  while (v.tokens.length < size) v.tokens.push(`[PAD${v.tokens.length}]`);
}

/**
 * @param {Record<string, KeyValue>} keys @param {Vocabulary | null} vocabulary @param {any} definition @param {any} config @param {any} tokenizerConfig @param {any} map @param {any} generation
 * @param {string} [template] chat_template.jinja
 */
function specialTokens(keys, vocabulary, definition, config, tokenizerConfig, map, generation, template) {
  /** @type {Map<string, number>} */ const ids = new Map();
  vocabulary?.tokens.forEach((t, i) => { if (typeof t === 'string' && !ids.has(t)) ids.set(t, i); });
  for (const [token, id] of Object.entries(definition?.model?.vocab && !Array.isArray(definition.model.vocab) ? definition.model.vocab : {})) ids.set(token, /** @type {number} */ (id));
  for (const a of definition?.added_tokens ?? []) ids.set(a.content, a.id);
  const contentOf = (/** @type {any} */ t) => (typeof t === 'string' ? t : t?.content);
  const first = (/** @type {any} */ id) => (Array.isArray(id) ? id[0] : id);
  const names = /** @type {[string, string, string][]} */ ([['bos', 'bos_token', 'bos_token_id'], ['eos', 'eos_token', 'eos_token_id'], ['unknown', 'unk_token', 'unk_token_id'], ['padding', 'pad_token', 'pad_token_id'],
    ['seperator', 'sep_token', 'sep_token_id'], ['cls', 'cls_token', 'cls_token_id'], ['mask', 'mask_token', 'mask_token_id']]);
  for (const [name, token, field] of names) {
    const written = contentOf(tokenizerConfig[token]) ?? contentOf(map[token]);
    const id = (written !== undefined ? ids.get(written) : undefined) ?? first(generation[field]) ?? first(config[field]);
    if (Number.isInteger(id) && id >= 0) keys[`tokenizer.ggml.${name}_token_id`] = { u32: id };
  }
  // Further ends of a text: of a turn, of a message.
  const eos = /** @type {any} */ (keys['tokenizer.ggml.eos_token_id'])?.u32;
  const ends = [generation.eos_token_id, config.eos_token_id].flatMap((e) => (Array.isArray(e) ? e : Number.isInteger(e) ? [e] : [])).filter((id) => id !== eos);
  [...new Set(ends)].slice(0, 2).forEach((id, i) => { keys[`tokenizer.ggml.${['eot', 'eom'][i]}_token_id`] = { u32: id }; });
  const around = partsOf(definition?.post_processor).find((p) => p.type === 'TemplateProcessing')?.single ?? [];
  const at = (/** @type {number} */ i) => around.at(i)?.SpecialToken?.id;
  for (const [name, found] of /** @type {const} */ ([['bos', at(0) !== undefined], ['eos', around.length > 1 && at(-1) !== undefined]])) {
    const said = tokenizerConfig[`add_${name}_token`];
    if (typeof said === 'boolean' || definition) keys[`tokenizer.ggml.add_${name}_token`] = typeof said === 'boolean' ? said : found;
  }
  const chat = typeof tokenizerConfig.chat_template === 'string' ? tokenizerConfig.chat_template : template;
  if (chat) keys['tokenizer.chat_template'] = chat;
}
