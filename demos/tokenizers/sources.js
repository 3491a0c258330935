/**
 * Which tokenizers there are: those of the repository, two that need no file, and the user's files.
 */
/** @typedef {import('./worker.js').Source} Source */
/** @typedef {{ key: string, name: string, about: string, source: Source, own?: boolean, file?: string }} Entry file: decides what the bytes do not say */

const at = (/** @type {URL} */ url) => ({ url: url.href }); // literal URLs: tools that bundle pages find the files by them

/** All of them trained by this project's own trainers, MIT like the rest. @type {Entry[]} */
export const BUNDLED = [
    { key: 'tiny', name: 'microtome-tiny', about: 'the bundled model’s, byte-level BPE', source: at(new URL('../../models/microtome-tiny.gguf', import.meta.url)) },
    { key: 'bpe-1k', name: 'bpe-1k', about: 'byte-level BPE', source: at(new URL('../../models/vocabularies/bpe-1k.json', import.meta.url)) },
    { key: 'bpe-2k', name: 'bpe-2k', about: 'byte-level BPE', source: at(new URL('../../models/vocabularies/bpe-2k.json', import.meta.url)) },
    { key: 'bpe-4k', name: 'bpe-4k', about: 'byte-level BPE', source: at(new URL('../../models/vocabularies/bpe-4k.json', import.meta.url)) },
    { key: 'bpe-16k', name: 'bpe-16k', about: 'byte-level BPE', source: at(new URL('../../models/vocabularies/bpe-16k.json', import.meta.url)) },
    { key: 'unigram-4k', name: 'unigram-4k', about: 'Unigram language model', source: at(new URL('../../models/vocabularies/unigram-4k.json', import.meta.url)) },
    { key: 'pathpiece-4k', name: 'pathpiece-4k', about: 'fewest tokens', source: at(new URL('../../models/vocabularies/pathpiece-4k.json', import.meta.url)) },
    { key: 'digits-ltr', name: 'digits-ltr', about: 'digits in threes from the left', source: at(new URL('../../models/vocabularies/digits-ltr.json', import.meta.url)) },
    { key: 'digits-rtl', name: 'digits-rtl', about: 'digits in threes from the right', source: at(new URL('../../models/vocabularies/digits-rtl.json', import.meta.url)) },
    { key: 'byte', name: 'byte', about: 'bytes with three control tokens', source: at(new URL('../../models/vocabularies/byte.json', import.meta.url)) },
    { key: 'byt5', name: 'ByT5', about: 'bytes', source: { builtin: 'byt5' } },
    { key: 'canine', name: 'CANINE', about: 'code points', source: { builtin: 'canine' } },
];

let made = 0;

/**
 * Files that were dropped or chosen, as tokenizers: a vocab.json takes the merges.txt that came with it.
 * @param {readonly File[]} files @returns {Entry[]}
 * @throws {Error} merges without a vocabulary
 */
export function entriesOf(files) {
    const merges = files.filter((f) => /merges.*\.txt(\.gz)?$/i.test(f.name)), others = files.filter((f) => !merges.includes(f));
    const takers = others.filter((f) => /vocab.*\.json(\.gz)?$/i.test(f.name));
    if (merges.length && !takers.length) throw new Error(`${merges[0].name} needs its vocab.json: drop both files together`);
    return others.map((file) => {
        const place = takers.indexOf(file), more = place < 0 ? undefined : merges[place] ?? merges[0];
        return { key: `own-${++made}`, name: file.name.replace(/\.gz$/i, ''), about: 'your file', own: true, file: file.name, source: { file, ...(more && { merges: more }) } };
    });
}
