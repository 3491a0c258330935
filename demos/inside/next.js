/**
 * The next token's probabilities in two or three versions, side by side: bars with their numbers, which are a table.
 */
import { spokenText, visibleText } from '../../web/elements/grid.js';
import { formatProbability } from '../../web/elements/format.js';
import { make } from '../kit/page.js';

/**
 * @typedef {{ text: string, values: number[] }} Row values: probabilities, one for each version
 */

/**
 * @param {HTMLElement} host
 * @param {{ caption: string, versions: string[], rows: Row[] }} table at most three versions
 */
export function showNext(host, { caption, versions, rows }) {
    const bar = (/** @type {number} */ p, /** @type {number} */ i) => {
        const fill = make('i', { className: `bar v${i}` });
        fill.setAttribute('aria-hidden', 'true');
        fill.style.setProperty('--p', String(p));
        return make('td', {}, fill, make('span', {}, formatProbability(p)));
    };
    host.replaceChildren(make('table', { className: 'next' },
        make('caption', { className: 'hidden' }, caption),
        make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'token'), ...versions.map((name, i) => make('th', { scope: 'col', className: `n${i}` }, name)))),
        make('tbody', {}, ...rows.map(({ text, values }) => {
            const shown = make('bdi', {}, visibleText(text, 16)), said = make('span', { className: 'hidden' }, spokenText(text));
            shown.setAttribute('aria-hidden', 'true');
            return make('tr', {}, make('th', { scope: 'row' }, shown, said), ...values.map(bar));
        }))));
}
