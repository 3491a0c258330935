/**
 * What elements of cells share: walking over them with the keyboard, refusing what does not fit, and tokens as short text in which
 * nothing is invisible. Pure functions, no DOM.
 */
import { MicrotomeError } from '../runtime/errors.js';

/** @typedef {{ row: number, col: number }} Cell */

/**
 * Where a key leads in a grid. Arrows: a cell; Home, End: the row's ends, with Ctrl the grid's corners; Page Up, Page Down: ten rows.
 * @param {Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'altKey'>} event
 * @param {Cell} at
 * @param {number} rows how many there are
 * @param {number} cols likewise
 * @returns {Cell | null} null: the key is not one of these
 */
export function moveInGrid({ key, ctrlKey, metaKey, altKey }, { row, col }, rows, cols) {
    if (altKey || metaKey) return null;
    const clamp = (/** @type {number} */ r, /** @type {number} */ c) => ({ row: Math.max(0, Math.min(rows - 1, r)), col: Math.max(0, Math.min(cols - 1, c)) });
    if (key === 'Home') return clamp(ctrlKey ? 0 : row, 0);
    if (key === 'End') return clamp(ctrlKey ? rows - 1 : row, cols - 1);
    if (ctrlKey) return null;
    if (key === 'ArrowLeft') return clamp(row, col - 1);
    if (key === 'ArrowRight') return clamp(row, col + 1);
    if (key === 'ArrowUp') return clamp(row - 1, col);
    if (key === 'ArrowDown') return clamp(row + 1, col);
    if (key === 'PageUp') return clamp(row - 10, col);
    if (key === 'PageDown') return clamp(row + 10, col);
    return null;
}

/**
 * Errors of an element about what it was given.
 * @param {string} element its tag
 * @returns {(why: string) => MicrotomeError} ERANGE
 */
export const refusing = (element) => (why) => new MicrotomeError(`${element}: ${why}`, { code: 'ERANGE' });

/**
 * @param {unknown} list anything
 * @returns {list is string[]} it is a list of texts, with one at least
 */
export const areTexts = (list) => Array.isArray(list) && list.length > 0 && list.every((text) => typeof text === 'string');

/**
 * @param {Cell} at whole numbers, or not
 * @param {number} rows how many there are
 * @param {number} cols how many there are
 * @returns {boolean} there is such a cell
 */
export const isCell = ({ row, col }, rows, cols) => Number.isInteger(row) && Number.isInteger(col) && row >= 0 && col >= 0 && row < rows && col < cols;

/** @type {Record<string, string>} */
const SIGNS = { ' ': '·', '\t': '⇥', '\n': '⏎', '\r': '␍', '\u00a0': '⍽', '': '∅' };

/**
 * A token's text on one line: white space and control characters as signs, a combining mark on a circle, '∅' for nothing.
 * @param {string} text
 * @param {number} [most] characters; what is longer is cut, with an ellipsis
 */
export function visibleText(text, most = Infinity) {
    const signs = text === '' ? SIGNS[''] : text.replace(/[\s\p{Cc}]/gu, (c) => SIGNS[c] ?? '�').replace(/^\p{M}/u, '◌$&');
    const letters = [...signs];
    return letters.length > most ? `${letters.slice(0, most - 1).join('')}…` : signs;
}

/**
 * A token's text as it is read aloud.
 * @param {string} text
 */
export function spokenText(text) {
    if (text === '') return 'empty';
    const said = text.replace(/^ +/, (s) => (s.length > 1 ? `${s.length} spaces ` : 'space ')).replace(/\n/g, ' newline ').replace(/\t/g, ' tab ');
    return said.trim() || 'white space';
}
