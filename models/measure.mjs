// What the engine itself measures of the family's files: bits per byte on the held-out stories (windows of the trained context that advance by half,
// every token scored once, as measure.py does), exact byte-level bits of the text twins on excerpts, and sums answered by greedy decoding.
//
//   node models/measure.mjs models/family --data ../shared/corpora [NAME ...]     -> models/family/measured.json; what is there stays, but for models that are named
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { parseArgs } from 'node:util';
import { ByteModel, Model } from '../web/index.js';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { data: { type: 'string', default: '../shared/corpora' } } });
const [folder, ...only] = positionals;
if (!folder) throw new Error('usage: node models/measure.mjs FOLDER [--data DIR] [NAME ...]');
const read = (/** @type {string} */ name) => zlib.gunzipSync(fs.readFileSync(path.join(values.data, name))).toString('utf8');

/** @param {string} text @param {number} characters */
const part = (text, characters) => { const cut = text.slice(0, characters), end = cut.lastIndexOf('\n') + 1; return end ? cut.slice(0, end) : cut; };
const books = read('gutenberg/en-heldout.txt.gz').split('<|book|>').slice(1).map((b) => b.slice(b.indexOf('\n') + 1).trim() + '\n');
// as data.py cuts stories
const stories = [];
let pending = '';
let text = read('tinystories-sample.txt.gz');
for (const [bad, good] of [['\u00e2\u20ac\u2122', '\u2019'], ['\u00e2\u20ac\u0153', '\u201c'], ['\u00e2\u20ac\u009d', '\u201d'], ['\u00e2\u20ac', '\u201d']]) text = text.replaceAll(bad, good);
for (const piece of text.split(/(?<!\n)\n(?!\n)/)) {
  pending = (pending + '\n' + piece.trim()).trim();
  if ([...pending].length >= 250) { stories.push(pending); pending = ''; }
}
if (pending) stories.push(pending);
const heldStories = stories.filter((_, i) => i % 20 === 10);
/** Short enough for every model's context: the beginning of a chapter of each book, and of some stories. */
const excerpts = [...books.map((b) => part(b.slice(b.indexOf("\n\n", 20000) + 2), 500)), ...heldStories.slice(0, 4).map((s) => s.slice(0, 500))];

const target = path.join(folder, 'measured.json');
/** @type {Record<string, any>} */
const figures = fs.existsSync(target) ? JSON.parse(fs.readFileSync(target, 'utf8')) : {};
const encoder = new TextEncoder();

/** Bits of the excerpts by the chain of exact next-byte probabilities. @param {Model} model */
async function exactBits(model) {
  const view = new ByteModel(model);
  let bits = 0, bytes = 0;
  for (const excerpt of excerpts) {
    const all = encoder.encode(excerpt);
    for (let i = 0; i < all.length; i++) {
      const { bytes: logProbs } = await view.next(all.subarray(0, i), { naive: false });
      bits -= logProbs[all[i]] / Math.LN2;
    }
    bytes += all.length;
  }
  await view.dispose();
  return { bits_per_byte: bits / bytes, bytes };
}

/** @param {Model} model @param {number} count */
async function sumsRight(model, count) {
  let seed = 12345, right = 0;
  const random = () => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) / 2 ** 32;
  for (let i = 0; i < count; i++) {
    const number = () => { const d = 1 + Math.floor(random() * 9), low = d === 1 ? 0 : 10 ** (d - 1); return low + Math.floor(random() * (10 ** d - low)); };
    const a = number(), b = number(), minus = random() < 0.5;
    const { text: said } = await model.greedy(`${a}${minus ? '-' : '+'}${b}=`, { maxTokens: 8, stop: ['\n'] });
    right += Number(said.split('\n')[0] === String(minus ? a - b : a + b));
  }
  return { right: right / count, lines: count };
}

const names = only.length ? only : fs.readdirSync(folder).filter((n) => n.endsWith('.metrics.json')).map((n) => n.slice(0, -13)).sort();
for (const name of names) {
  const metrics = JSON.parse(fs.readFileSync(path.join(folder, name + '.metrics.json'), 'utf8'));
  if ((figures[name] && !only.length) || metrics.model.architecture === 'bert') continue;
  const model = await Model.load(path.join(folder, metrics.file), {});
  const window = metrics.model.context, stride = window / 2;
  /** @type {Record<string, any>} */
  const row = {};
  if (name.includes('digits')) row.sums = await sumsRight(model, 500);
  else {
    row.stories = (await model.perplexity(heldStories, { window, stride })).bitsPerByte;
    if (name.startsWith('twin-')) {
      row.excerpts = (await model.perplexity(excerpts, { window, stride })).bitsPerByte;
      row.exact = await exactBits(model).catch((e) => ({ error: e.message }));
    }
  }
  await model.dispose();
  figures[name] = row;
  console.log(name, JSON.stringify(row));
  fs.writeFileSync(target, JSON.stringify(figures, null, 1) + '\n');
}
