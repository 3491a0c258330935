// Recurrent character models in layouts of other programs (safetensors without a config.json, and a vocabulary in JSON) -> our GGUF keys and tensors.
//
//   ml5's character LSTMs (TensorFlow's BasicLSTMCell: inputs and state in one matrix, gates i j f o, 1 added to the forget gate)
//   textgenrnn (Keras: gates i f c o; a window, an attention-weighted average)
import { MicrotomeError } from './runtime/heap.js';
import { openSource } from './runtime/open.js';
import { makeKey } from './runtime/gguf.js';

/** @typedef {import('./runtime/open.js').Source} Source */
/** @typedef {import('./runtime/gguf.js').RawKey} RawKey */
/** @typedef {{name: string, dims: number[], values: Float32Array}} ForeignTensor dims[0] is contiguous */
/** @typedef {{architecture: string, keys: RawKey[], tensors: ForeignTensor[]}} ForeignModel */
/** @typedef {{shape: number[], values: Float32Array}} Matrix row-major */

const MOST = 1 << 28; // bytes: such models are small

/**
 * A model that is one of these, else null. @param {Source} weights @param {Source | undefined} vocabulary JSON: character -> id
 * @param {AbortSignal} [signal] @returns {Promise<ForeignModel | null>} @throws {MicrotomeError} EMISSING: without a vocabulary; EFORMAT: shapes that do not fit
 */
export async function readForeign(weights, vocabulary, signal) {
  const opened = await openSource(weights, signal);
  /** @type {Uint8Array[]} */ const parts = [];
  let have = 0, wanted = 8, names = false;
  for await (const chunk of opened.chunks) {
    parts.push(chunk.slice());
    have += chunk.length;
    if (have < wanted) continue;
    const head = join(parts, have);
    parts.splice(0, parts.length, head);
    if (!names) {
      const size = Number(new DataView(head.buffer).getBigUint64(0, true));
      if (size > MOST) return null;
      wanted = 8 + size;
      if (have < wanted) continue;
      const text = new TextDecoder().decode(head.subarray(8, wanted));
      if (!text.includes('basic_lstm_cell') && !(text.includes('attention_W') && text.includes('rnn_2.recurrent'))) return null;
      names = true;
      wanted = MOST;
    }
    if (have > MOST) return null;
  }
  if (!names) return null;
  const tensors = readTensors(join(parts, have), weights.name);
  const model = tensors.has('attention_W') ? textgenrnn(tensors) : basicLstm(tensors);
  if (!vocabulary) throw new MicrotomeError(`${weights.name}: a character model needs its vocabulary: a JSON file "character": id`, { code: 'EMISSING', details: { file: weights.name } });
  const rows = /** @type {Matrix} */ (tensors.get('embedding')).shape[0];
  return { ...model, keys: [makeKey('general.architecture', model.architecture), ...model.keys, ...(await characterKeys(vocabulary, rows, signal))] };
}

/** @param {Uint8Array[]} parts @param {number} length */
function join(parts, length) {
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(length);
  let at = 0;
  for (const p of parts) { all.set(p, at); at += p.length; }
  return all;
}

/** @param {Uint8Array} bytes @param {string} file @returns {Map<string, Matrix>} */
function readTensors(bytes, file) {
  const fail = (/** @type {string} */ what) => new MicrotomeError(`${file}: ${what}`, { code: 'EFORMAT', details: { file } });
  const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  /** @type {Record<string, any>} */ let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  } catch (error) {
    throw fail(`the header is no JSON: ${/** @type {Error} */ (error).message}`);
  }
  /** @type {Map<string, Matrix>} */ const out = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const { dtype, shape, data_offsets: [begin, end] } = entry;
    const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    if (dtype !== 'F32') throw fail(`tensor "${name}" has type ${dtype}, expected F32`);
    if (end - begin !== 4 * count || 8 + size + end > bytes.length) throw fail(`tensor "${name}" ${JSON.stringify(shape)} has bytes ${begin} to ${end} of ${bytes.length - 8 - size}`);
    out.set(name, { shape, values: new Float32Array(bytes.slice(8 + size + begin, 8 + size + end).buffer) });
  }
  return out;
}

/** @param {Map<string, Matrix>} tensors @param {string} name @param {(number | null)[]} shape null: any @returns {Matrix} */
function need(tensors, name, shape) {
  const found = tensors.get(name);
  if (!found) throw new MicrotomeError(`tensor "${name}" is missing`, { code: 'EMISSING' });
  if (found.shape.length !== shape.length || shape.some((n, i) => n !== null && n !== found.shape[i])) throw new MicrotomeError(`tensor "${name}" has shape [${found.shape}], expected [${shape.map((n) => n ?? '?')}]`, { code: 'EFORMAT' });
  return found;
}

/**
 * Columns of a matrix as rows: [rows][blocks * width] from row `first` -> [blocks * width][rows], blocks in another order.
 * @param {Matrix} m @param {number} first @param {number} rows @param {number[]} order block i of the result is block order[i]
 */
function turned({ shape: [, columns], values }, first, rows, order) {
  const width = columns / order.length;
  const out = new Float32Array(rows * columns);
  order.forEach((from, to) => {
    for (let j = 0; j < width; j++) for (let r = 0; r < rows; r++) out[(to * width + j) * rows + r] = values[(first + r) * columns + from * width + j];
  });
  return out;
}

/** @param {Map<string, Matrix>} tensors @returns {ForeignModel} */
function basicLstm(tensors) {
  const embedding = need(tensors, 'embedding', [null, null]);
  const [V, E] = embedding.shape;
  /** @type {ForeignTensor[]} */ const out = [{ name: 'token_embd.weight', dims: [E, V], values: embedding.values }];
  /** @type {number[]} */ const widths = [];
  // "weights" and "biases" are called "kernel" and "bias" by later versions of TensorFlow.
  const at = (/** @type {number} */ l, /** @type {'weights' | 'biases'} */ what) => {
    const ends = [what, { weights: 'kernel', biases: 'bias' }[what]].map((end) => `cell_${l}.basic_lstm_cell.${end}`);
    return [...tensors.keys()].find((name) => ends.some((end) => name.endsWith(end))) ?? ends[0];
  };
  for (let l = 0, from = E; tensors.has(at(l, 'weights')); l++) {
    const biases = need(tensors, at(l, 'biases'), [null]);
    const H = biases.shape[0] / 4;
    const weights = need(tensors, at(l, 'weights'), [from + H, 4 * H]);
    const order = [0, 2, 1, 3]; // i j f o -> i f j o
    const bias = Float32Array.from({ length: 4 * H }, (_, i) => biases.values[order[Math.floor(i / H)] * H + (i % H)] + (Math.floor(i / H) === 1 ? 1 : 0));
    out.push({ name: `blk.${l}.lstm_ih.weight`, dims: [from, 4 * H], values: turned(weights, 0, from, order) }, { name: `blk.${l}.lstm_hh.weight`, dims: [H, 4 * H], values: turned(weights, from, H, order) },
      { name: `blk.${l}.lstm_ih.bias`, dims: [4 * H], values: bias });
    widths.push((from = H));
  }
  const last = widths.at(-1) ?? 0;
  const name = (/** @type {string} */ end) => [...tensors.keys()].find((n) => n.endsWith(end)) ?? end;
  out.push({ name: 'output.weight', dims: [last, V], values: turned(need(tensors, name('softmax_w'), [last, V]), 0, last, [0]) }, { name: 'output.bias', dims: [V], values: need(tensors, name('softmax_b'), [V]).values });
  return {
    architecture: 'lstm', tensors: out,
    keys: [makeKey('lstm.block_count', { u32: widths.length }), makeKey('lstm.embedding_length', { u32: E }), makeKey('lstm.hidden_length', { u32s: widths }), makeKey('lstm.vocab_size', { u32: V })],
  };
}

/** @param {Map<string, Matrix>} tensors @returns {ForeignModel} */
function textgenrnn(tensors) {
  const embedding = need(tensors, 'embedding', [null, null]);
  const [V, E] = embedding.shape;
  const H = need(tensors, 'rnn_1.bias', [null]).shape[0] / 4;
  /** @type {ForeignTensor[]} */ const out = [{ name: 'token_embd.weight', dims: [E, V], values: embedding.values }];
  for (let l = 0; l < 2; l++) {
    const from = l ? H : E, order = [0, 1, 2, 3];
    out.push({ name: `blk.${l}.lstm_ih.weight`, dims: [from, 4 * H], values: turned(need(tensors, `rnn_${l + 1}.kernel`, [from, 4 * H]), 0, from, order) },
      { name: `blk.${l}.lstm_hh.weight`, dims: [H, 4 * H], values: turned(need(tensors, `rnn_${l + 1}.recurrent`, [H, 4 * H]), 0, H, order) },
      { name: `blk.${l}.lstm_ih.bias`, dims: [4 * H], values: need(tensors, `rnn_${l + 1}.bias`, [4 * H]).values });
  }
  const C = E + 2 * H;
  out.push({ name: 'blk.1.attn_pool.weight', dims: [C], values: need(tensors, 'attention_W', [C, 1]).values }, { name: 'output.weight', dims: [C, V], values: turned(need(tensors, 'output.weight', [C, V]), 0, C, [0]) },
    { name: 'output.bias', dims: [V], values: need(tensors, 'output.bias', [V]).values });
  return {
    architecture: 'textgenrnn', tensors: out,
    keys: [makeKey('textgenrnn.block_count', { u32: 2 }), makeKey('textgenrnn.embedding_length', { u32: E }), makeKey('textgenrnn.hidden_length', { u32: H }), makeKey('textgenrnn.window_length', { u32: 40 }),
      makeKey('textgenrnn.vocab_size', { u32: V }), makeKey('textgenrnn.context_length', { u32: 2048 })],
  };
}

/** A vocabulary of characters as a tokenizer: one token each. @param {Source} source @param {number} rows @param {AbortSignal} [signal] @returns {Promise<RawKey[]>} */
async function characterKeys(source, rows, signal) {
  /** @type {Uint8Array[]} */ const parts = [];
  let length = 0;
  for await (const chunk of (await openSource(source, signal)).chunks) { parts.push(chunk.slice()); length += chunk.length; }
  /** @type {Record<string, number>} */ let vocab;
  try {
    vocab = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(join(parts, length)));
  } catch (error) {
    throw new MicrotomeError(`${source.name}: not a vocabulary in JSON: ${/** @type {Error} */ (error).message}`, { code: 'EFORMAT', details: { file: source.name }, cause: error });
  }
  const tokens = Array.from({ length: rows }, (_, i) => `[PAD${i}]`), types = new Uint8Array(rows).fill(5);
  for (const [token, id] of Object.entries(vocab)) {
    if (!Number.isInteger(id) || id < 0 || id >= rows) throw new MicrotomeError(`${source.name}: ${JSON.stringify(token)} has id ${id}, expected 0 to ${rows - 1}`, { code: 'EFORMAT', details: { file: source.name } });
    tokens[id] = token;
    types[id] = [...token].length > 1 ? 3 : 1;
  }
  const begin = vocab['<s>'];
  const all = Object.fromEntries(tokens.map((t, i) => [t, i]));
  const definition = {
    version: '1.0', added_tokens: tokens.flatMap((content, id) => (types[id] === 3 ? [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }] : [])),
    normalizer: null, pre_tokenizer: { type: 'Split', pattern: { Regex: '[\\s\\S]' }, behavior: 'Isolated', invert: false }, decoder: { type: 'Fuse' },
    post_processor: begin === undefined ? null : { type: 'TemplateProcessing', single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }], pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [begin], tokens: ['<s>'] } } },
    model: { type: 'WordLevel', vocab: all, unk_token: tokens[0] },
  };
  return [makeKey('tokenizer.ggml.model', 'no_vocab'), makeKey('tokenizer.ggml.tokens', { strings: tokens }), makeKey('tokenizer.ggml.token_type', { i32s: types }), makeKey('tokenizer.huggingface.json', JSON.stringify(definition)),
    ...(begin === undefined ? [] : [makeKey('tokenizer.ggml.bos_token_id', { u32: begin }), makeKey('tokenizer.ggml.eos_token_id', { u32: begin })])];
}
