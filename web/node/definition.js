// Where a tokenizer's definition is: a file, a folder that holds one, or a name that needs no file.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

/** What a folder may hold, the most complete first; each also with ".gz". */
const BEST = [/^tokenizer\.json$/, /\.tiktoken$/, /^(tokenizer|spiece|sentencepiece(\.bpe)?)\.model$/, /\.model$/, /^vocab\.json$/, /^vocab\.txt$/, /^rwkv_vocab.*\.txt$/, /\.gguf$/, /\.mtok$/, /^tokenizer\.bin$/, /\.json$/];
/** Files that are something else. */
const OTHER = /^(config|generation_config|tokenizer_config|special_tokens_map|added_tokens|preprocessor_config|model\.safetensors\.index|reference.*|package)\.json$/;
const BUILTIN = ['byt5', 'canine'];

/**
 * The definition that a path means. In a folder the most complete one is taken: tokenizer.json, then a rank file, a SentencePiece model, vocab.json with merges.txt, vocab.txt...
 * @param {string} path a file, a folder, or byt5, canine @param {{sentencePiece?: boolean}} [options] sentencePiece: its .model before everything else
 * @returns {{file?: string, merges?: string, builtin?: 'byt5' | 'canine'}} @throws {Error} a folder without a definition
 */
export function locateDefinition(path, { sentencePiece = false } = {}) {
  const name = basename(path);
  if (!existsSync(path)) return BUILTIN.includes(path) ? { builtin: /** @type {'byt5'} */ (path) } : { file: path };
  if (!statSync(path).isDirectory()) return { file: path };
  const files = readdirSync(path).sort().filter((file) => !OTHER.test(file) && statSync(join(path, file)).isFile());
  const plain = new Map(files.map((file) => [file.replace(/\.gz$/, ''), file]));
  const order = sentencePiece ? [...BEST].sort((a, b) => Number(b.source.includes('model$')) - Number(a.source.includes('model$'))) : BEST;
  for (const kind of order) {
    const found = [...plain.keys()].find((file) => kind.test(file) && (file !== 'vocab.json' || plain.has('merges.txt')));
    if (!found) continue;
    const merges = found === 'vocab.json' ? plain.get('merges.txt') : undefined;
    return { file: join(path, /** @type {string} */ (plain.get(found))), ...(merges && { merges: join(path, merges) }) };
  }
  if (BUILTIN.includes(name)) return { builtin: /** @type {'byt5'} */ (name) };
  throw new Error(`${path}: no tokenizer definition in this folder: looked for tokenizer.json, *.tiktoken, *.model, vocab.json with merges.txt, vocab.txt, rwkv_vocab*.txt, *.gguf, *.mtok, tokenizer.bin (also with .gz)`);
}
