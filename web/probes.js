// Experiments on what tokenization does to a model: each takes a model and texts, and gives numbers. docs/bytes.md says what they mean.
import { MicrotomeError } from './runtime/worker.js';
import { checkNumber, checkOptions, throwIfAborted } from './runtime/errors.js';
import { ByteModel } from './bytes.js';
import { bytesOf, healedNextByte, needModel } from './heal.js';
import { Random } from './random.js';

/** @typedef {import('./model.js').Model} Model */

// ---- prompts that are cut inside a word -------------------------------------------------------------------------------------------

/** @param {number} b */
const isLetter = (b) => (b >= 65 && b <= 90) || (b >= 97 && b <= 122) || b >= 128;

/**
 * @typedef {object} HealingRow
 * @property {string} method 'naive', 'healing' (classic, one token), 'alignment' (local masks), 'weighted' (paths' probabilities kept) or 'exact'
 * @property {number} distance mean total variation distance of the next byte's distribution to the exact one
 * @property {number} bits mean -log2 of the probability of the byte that really follows; Infinity: it was impossible once
 * @property {number} right share of the cuts where the likeliest byte is the one that follows
 */
/**
 * The next byte after prompts that end inside a word, by each treatment of the prompt's end (the order naive > healing > alignment > exact is the one to expect).
 * @param {Model} model @param {string | Uint8Array} text that the model has not seen
 * @param {{cuts?: number, context?: number, tokens?: number, epsilon?: number, seed?: number, signal?: AbortSignal, onProgress?: (done: number, total: number) => void}} [options]
 *   cuts: how many prompts (default 100), at random places between two letters; context: bytes of each, from the beginning of a word on (200); tokens: what alignment gives up (3);
 *   epsilon: as for healedNextByte (1e-7)
 * @returns {Promise<{cuts: number, rows: HealingRow[]}>} @throws {MicrotomeError} ERANGE: the text has no place to cut; as healedNextByte
 */
export async function healingTable(model, text, options = {}) {
  checkOptions('healingTable', options, ['cuts', 'context', 'tokens', 'epsilon', 'seed', 'signal', 'onProgress']);
  const { cuts = 100, context = 200, tokens = 3, epsilon = 1e-7, seed = 1, signal, onProgress } = options, bytes = bytesOf(text);
  needModel('healingTable', model);
  checkNumber('healingTable: cuts', cuts, 1, 2 ** 20, true);
  checkNumber('healingTable: context', context, 1, 2 ** 20, true);
  const places = [];
  for (let i = 2; i < bytes.length; i++) if (i >= Math.min(context, bytes.length / 2) && isLetter(bytes[i - 2]) && isLetter(bytes[i - 1]) && isLetter(bytes[i])) places.push(i);
  if (!places.length) throw new MicrotomeError('healingTable: the text has no place inside a word', { code: 'ERANGE' });
  const ways = { naive: { tokens: 0 }, healing: { tokens: 1, classic: true }, alignment: { tokens, epsilon }, weighted: { tokens, keep: true, epsilon } };
  const rows = [...Object.keys(ways), 'exact'].map((method) => ({ method, distance: 0, bits: 0, right: 0 }));
  const random = new Random(model.tokenizer.core().heap, seed), view = new ByteModel(model);
  try {
    for (let c = 0; c < cuts; c++) {
      throwIfAborted(signal);
      const at = places[Math.floor(random.next() * places.length)];
      let from = Math.max(0, at - context);
      while (from > 0 && from < at && isLetter(bytes[from - 1]) && isLetter(bytes[from])) from++;
      const prompt = bytes.slice(from, at), { bytes: logs, end } = await view.next(prompt, { naive: false, signal }), exact = [...logs, end].map(Math.exp);
      const answers = [];
      for (const how of Object.values(ways)) {
        const r = await healedNextByte(model, prompt, how);
        answers.push([...r.bytes, r.end].map(Math.exp));
      }
      [...answers, exact].forEach((p, m) => {
        rows[m].distance += p.reduce((sum, x, b) => sum + Math.abs(x - exact[b]) / 2, 0) / cuts;
        rows[m].bits -= Math.log2(p[bytes[at]]) / cuts;
        rows[m].right += Number(p.indexOf(Math.max(...p)) === bytes[at]) / cuts;
      });
      onProgress?.(c + 1, cuts);
    }
  } finally {
    random.free();
    await view.dispose();
  }
  return { cuts, rows };
}
