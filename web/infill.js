// Fill-in-the-middle: prompts whose cuts do the tokens no harm.
import { MicrotomeError, checkNumber, checkOptions } from './runtime/errors.js';
import { bytesOf } from './heal.js';

/** @typedef {import('./tokenizer.js').Tokenizer} Tokenizer */
/**
 * A text around a middle, by whole lines.
 * @typedef {object} InfillParts
 * @property {Uint8Array} prefixLines whole lines before the middle, up to and with a line's end
 * @property {Uint8Array} prefixHint the begun line
 * @property {Uint8Array} suffixHint the rest of the line behind the middle, with its end
 * @property {Uint8Array} suffixLines
 * @property {Uint8Array} target prefixHint + middle + suffixHint: the whole lines that a model has to write
 */
/** @typedef {{prefix?: string, suffix?: string, middle?: string, start?: string, end?: string}} InfillMarkers texts of special tokens; start, end: of FIM-SE's hints */

/**
 * Cuts as FIM-SE makes them (Ren et al. 2024): the prompt is cut at line ends alone, so that no token is, and the parts of lines around the middle become hints, which the model repeats at
 * the ends of what it writes.
 * @param {string | Uint8Array} text @param {number} from where the middle begins, in bytes @param {number} [to] where it ends; default `from`: the text has none
 * @returns {InfillParts} prefixLines + target + suffixLines is the text @throws {MicrotomeError} ERANGE: no such places
 */
export function infillParts(text, from, to = from) {
  const bytes = bytesOf(text);
  checkNumber('infillParts: begin of the middle', from, 0, bytes.length, true);
  checkNumber('infillParts: end of the middle', to, from, bytes.length, true);
  const NEWLINE = 10;
  const begin = from ? bytes.lastIndexOf(NEWLINE, from - 1) + 1 : 0, found = bytes.indexOf(NEWLINE, to), end = found < 0 ? bytes.length : found + 1;
  return { prefixLines: bytes.slice(0, begin), prefixHint: bytes.slice(begin, from), suffixHint: bytes.slice(to, end), suffixLines: bytes.slice(end), target: bytes.slice(begin, end) };
}

/**
 * What stands between the hints in what a model wrote. @param {InfillParts} parts @param {string | Uint8Array} written by the model
 * @returns {Uint8Array | null} null: it does not begin and end with the hints: draw again
 */
export function infillMiddle(parts, written) {
  const bytes = bytesOf(written), { prefixHint, suffixHint } = parts, end = bytes.length - suffixHint.length;
  const ok = end >= prefixHint.length && prefixHint.every((b, i) => b === bytes[i]) && suffixHint.every((b, i) => b === bytes[end + i]);
  return ok ? bytes.slice(prefixHint.length, end) : null;
}

const STYLES = /** @type {const} */ (['fim-se', 'psm', 'spm']);
/** Of models that were trained for it, by family. */
const MARKERS = [
  { prefix: '<|fim_prefix|>', suffix: '<|fim_suffix|>', middle: '<|fim_middle|>' }, // Qwen2.5-Coder, CodeGemma
  { prefix: '<fim_prefix>', suffix: '<fim_suffix>', middle: '<fim_middle>' }, // StarCoder, SantaCoder
  { prefix: '▁<PRE>', suffix: '▁<SUF>', middle: '▁<MID>' }, // Code Llama
  { prefix: '<｜fim▁begin｜>', suffix: '<｜fim▁hole｜>', middle: '<｜fim▁end｜>' }, // DeepSeek-Coder
];

/**
 * The prompt for a middle, in two parts: tokens, and the text that the completion begins with. `complete(model, begun, { context })` then goes on exactly at the byte where the gap begins:
 * the tokens of the begun text are not fixed (Phan et al. 2025), and it ends where the model ends it.
 *
 *   psm     PRE prefix SUF suffix MID            begun: nothing; the prefix's last token is cut where the gap begins
 *   spm     PRE SUF suffix MID                   begun: the prefix (Bavarian et al. 2022)
 *   fim-se  PRE lines SUF lines START hint END hint MID    begun: the hint; for models trained so (Ren et al. 2024)
 *
 * @param {Tokenizer} tokenizer @param {string | Uint8Array} text @param {number} from where the gap begins, in bytes
 * @param {{to?: number, style?: 'psm' | 'spm' | 'fim-se', markers?: InfillMarkers}} [options] to: where it ends, default `from`. style: default 'spm'. markers: default those of Qwen, StarCoder, Code Llama or
 *   DeepSeek, whichever the vocabulary has
 * @returns {{context: number[], begun: Uint8Array}} @throws {MicrotomeError} EMISSING: the vocabulary has no such markers; ERANGE: no such places
 */
export function infillPrompt(tokenizer, text, from, options = {}) {
  checkOptions('infillPrompt', options, ['to', 'style', 'markers']);
  const { to = from, style = 'spm' } = options, parts = infillParts(text, from, to), bytes = bytesOf(text);
  if (!STYLES.includes(style)) throw new MicrotomeError(`infillPrompt: unknown style ${JSON.stringify(style)}: known are ${STYLES.join(', ')}`, { code: 'EUNKNOWN' });
  const find = (/** @type {string | undefined} */ piece) => (piece === undefined ? null : tokenizer.findPiece(piece));
  const markers = /** @type {InfillMarkers | undefined} */ (options.markers ?? MARKERS.find((m) => find(m.prefix) !== null && find(m.suffix) !== null && find(m.middle) !== null));
  if (!markers) throw new MicrotomeError('infillPrompt: the vocabulary has no tokens for infilling that are known: give `markers`', { code: 'EMISSING' });
  const marker = (/** @type {keyof InfillMarkers} */ name) => {
    const id = find(markers[name]);
    if (id === null) throw new MicrotomeError(`infillPrompt: the vocabulary has no token ${JSON.stringify(markers[name] ?? `markers.${name}`)}`, { code: 'EMISSING' });
    return id;
  };
  const ids = (/** @type {Uint8Array} */ part) => [...tokenizer.encode(part, { offsets: false, specialAsText: true }).ids];
  const start = tokenizer.bos === null ? [] : [tokenizer.bos];
  if (style === 'psm') return { context: [...start, marker('prefix'), ...ids(bytes.slice(0, from)), marker('suffix'), ...ids(bytes.slice(to)), marker('middle')], begun: new Uint8Array(0) };
  if (style === 'spm') return { context: [...start, marker('prefix'), marker('suffix'), ...ids(bytes.slice(to)), marker('middle')], begun: bytes.slice(0, from) };
  return {
    context: [...start, marker('prefix'), ...ids(parts.prefixLines), marker('suffix'), ...ids(parts.suffixLines), marker('start'), ...ids(parts.prefixHint), marker('end'), ...ids(parts.suffixHint), marker('middle')],
    begun: parts.prefixHint,
  };
}
