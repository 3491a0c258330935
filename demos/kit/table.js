/**
 * Numbers and tables as the pages write them.
 */
import { make } from './page.js';

/** @param {number} x @param {number} [digits] */
export const number = (x, digits = 2) => (Number.isNaN(x) ? '–' : Number.isFinite(x) ? x.toFixed(digits).replace('-', '−') : '∞');

/** @param {number} n @param {string} one @param {string} [many] */
export const some = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

/** @param {HTMLElement} table @param {string[]} head @param {(string | Node)[][]} rows the first cell of a row names it */
export function fill(table, head, rows) {
    table.replaceChildren(
        make('thead', {}, make('tr', {}, ...head.map((cell) => (cell ? make('th', { scope: 'col' }, cell) : make('td'))))),
        make('tbody', {}, ...rows.map((row) => make('tr', {}, ...row.map((cell, i) => (i ? make('td', {}, cell) : make('th', { scope: 'row' }, cell)))))),
    );
}

/** A piece of text as it is, in its own direction. @param {string} text */
export const code = (text) => make('bdi', { className: 'code' }, text);
