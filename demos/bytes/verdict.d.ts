/**
 * @param {object} given
 * @param {string} given.text
 * @param {Uint8Array | null} given.last bytes of the last token of the text
 * @param {ArrayLike<number>} given.exact 257 probabilities
 * @param {ArrayLike<number>} given.naive 257 probabilities
 * @returns {{ distance: number, headline: Piece[], aside: Piece[] }}
 */
export function verdict({ text, last, exact, naive }: {
    text: string;
    last: Uint8Array | null;
    exact: ArrayLike<number>;
    naive: ArrayLike<number>;
}): {
    distance: number;
    headline: Piece[];
    aside: Piece[];
};
/** @param {Piece[]} pieces */
export function plain(pieces: Piece[]): string;
/**
 * A piece of a sentence: words, a byte, or a number of one of the two distributions.
 */
export type Piece = string | {
    byte: string;
} | {
    exact: string;
} | {
    naive: string;
};
