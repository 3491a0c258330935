/**
 * The methods, in words, with what the page asks of each.
 */
/** @typedef {import('../../web/train/options.js').TrainKind} TrainKind */
/** @typedef {{ kind: TrainKind, name: string, about: string, splits: boolean, normalizes: boolean, frequency: boolean, more?: object }} Kind */

/** @type {Kind[]} */
export const KINDS = [
    { kind: 'bpe', name: 'BPE', about: 'Joins the most frequent pair of neighbours, again and again, beginning with bytes (Sennrich et al. 2016).', splits: true, normalizes: true, frequency: true },
    { kind: 'unigram', name: 'Unigram', about: 'Begins with many pieces, gives each a probability, drops those whose loss costs the text least (Kudo 2018).', splits: true, normalizes: true, frequency: false },
    { kind: 'wordpiece', name: 'WordPiece', about: 'Joins pairs as BPE does, marks pieces inside words with ##, cuts by the longest match.', splits: true, normalizes: true, frequency: true },
    { kind: 'wordpiece-likelihood', name: 'WordPiece, by likelihood', about: 'Joins the pair that stands together more often than its parts would by chance (Schuster & Nakajima 2012).', splits: true, normalizes: true, frequency: true },
    { kind: 'pathpiece', name: 'PathPiece', about: 'Always cuts into as few tokens as possible; drops the candidates whose loss costs fewest (Schmidt et al. 2024).', splits: true, normalizes: true, frequency: true },
    { kind: 'picky-bpe', name: 'Picky BPE', about: 'BPE that throws out tokens which live on only inside a larger one (Chizhov et al. 2024).', splits: true, normalizes: true, frequency: true },
    { kind: 'lib', name: 'LiB', about: 'Reads, memorizes chunks, forgets what does not help; no words are given to it (Yang et al. 2020). Slower than the others.', splits: false, normalizes: true, frequency: false, more: { articleSize: 40 } },
    { kind: 'sentencepiece-bpe', name: 'SentencePiece BPE', about: 'BPE over characters with ▁ for spaces, as the SentencePiece library trains it; saves a .model too.', splits: false, normalizes: false, frequency: false },
    { kind: 'sentencepiece-unigram', name: 'SentencePiece Unigram', about: 'Unigram as the SentencePiece library trains it; saves a .model too.', splits: false, normalizes: false, frequency: false },
];

export const SPLITTERS = /** @type {[string, string][]} */ ([['', 'as usual for the method'], ['byte-level', 'by GPT-2’s expression'], ['whitespace', 'into words and punctuation'], ['whitespace-split', 'at spaces'], ['none', 'not at all']]);
export const NORMALIZERS = /** @type {[string, string][]} */ ([['', 'as usual for the method'], ['nfc', 'NFC'], ['nfkc', 'NFKC'], ['lowercase', 'lower case'], ['nfkc-lowercase', 'NFKC and lower case']]);
