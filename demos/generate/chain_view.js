/**
 * The chain as a table: a row for each token, a column for each step, a bar for what the step leaves of it. A token's name picks it.
 */
import { formatProbability } from '../../web/elements/format.js';
import { spokenText, visibleText } from '../../web/elements/grid.js';
import { make } from '../kit/page.js';
import { STEP_TEXTS } from './knobs.js';

/**
 * @typedef {import('./chain.js').Ladder} Ladder
 * @typedef {import('./chain.js').Settings} Settings
 * @typedef {import('./chain.js').StepResult} StepResult
 */

/** @param {string} text */
const token = (text) => make('bdi', { className: 'mono' }, visibleText(text, 18));
const bits = (/** @type {number} */ x) => `${x.toFixed(2)} bits`;

/**
 * What a step did, in a sentence.
 * @param {StepResult} step @param {StepResult} before @param {Ladder['rows']} rows @param {number} i of the step before @param {(id: number) => string} text @returns {(Node | string)[]}
 */
function told(step, before, rows, i, text) {
    const name = make('b', {}, STEP_TEXTS[step.key].name);
    const entropy = Math.abs(step.entropy - before.entropy) < 0.005 ? 'the entropy stays' : `entropy ${before.entropy.toFixed(2)} → ${bits(step.entropy)}`;
    if (step.key === 'penalties') {
        const { count, before: was, after } = /** @type {NonNullable<StepResult['lowered']>} */ (step.lowered);
        return [name, `: the ${count.toLocaleString('en')} different tokens that occurred are lowered, from ${formatProbability(was)} together to ${formatProbability(after)}; ${entropy}.`];
    }
    const first = rows.reduce((best, row) => (row.p[i] > best.p[i] ? row : best));
    if (step.key === 'temperature' && step.left > 1) return [name, ': the order stays; the likeliest, ', token(text(first.id)), `, goes from ${formatProbability(first.p[i])} to ${formatProbability(first.p[i + 1])}, ${entropy}.`];
    if (step.dropped === undefined || step.kept === undefined) return [name, ': nothing is removed here.'];
    return [name, `: keeps ${step.left.toLocaleString('en')}, removes ${step.removed.toLocaleString('en')} with ${formatProbability(step.removedMass)} of the probability; the last that stays is `, token(text(step.kept)), ', the first that goes ', token(text(step.dropped)), `; ${entropy}.`];
}

export class ChainView {
    #table;
    #told;
    #pick;

    /** @param {HTMLTableElement} table @param {HTMLElement} list where each step is told in a sentence @param {(id: number) => void} pick */
    constructor(table, list, pick) {
        this.#table = table;
        this.#told = list;
        this.#pick = pick;
    }

    /** Nothing can come. */
    clear() {
        this.#table.replaceChildren();
        this.#told.replaceChildren();
    }

    /** @param {{ ladder: Ladder, settings: Settings, text: (id: number) => string, chosen: number | null, here: string }} what chosen: the token that stands here; here: what precedes it */
    show({ ladder: { steps, rows }, settings, text, chosen, here }) {
        const had = /** @type {HTMLElement | null} */ (document.activeElement)?.closest('table') === this.#table ? /** @type {HTMLElement} */ (document.activeElement).dataset.id : undefined;
        const most = Math.max(...rows.flatMap(({ p }) => p), 1e-9);
        const name = (/** @type {string} */ key) => (key === 'model' ? 'model' : STEP_TEXTS[key].name);
        const setting = (/** @type {string} */ key) => (key === 'model' ? 'p of each token' : STEP_TEXTS[key].setting(settings));
        const percent = (/** @type {number} */ p) => formatProbability(p);
        /** @param {number[]} p @param {number} i */
        const cell = (p, i) => {
            const gone = p[i] === 0 && i > 0;
            if (gone && p[i - 1] === 0) return make('td', { className: 'away' }, make('span', { className: 'hidden' }, 'gone'));
            const bar = make('span', { className: gone ? 'bar cut' : 'bar', ariaHidden: 'true' });
            bar.style.setProperty('--p', String((gone ? p[i - 1] : p[i]) / most));
            return make('td', { className: gone ? 'cut' : '' }, bar, make('span', { className: 'num' }, gone ? 'removed' : percent(p[i])));
        };
        const body = rows.map(({ id, p }) => {
            const button = make('button', { type: 'button', className: 'token', title: spokenText(text(id)) }, make('bdi', {}, visibleText(text(id), 18)));
            button.dataset.id = String(id);
            button.setAttribute('aria-label', `${visibleText(text(id), 18)}: ${id === chosen ? 'stands here' : 'write this one'}`);
            button.addEventListener('click', () => this.#pick(id));
            return make('tr', { className: id === chosen ? 'chosen' : p[p.length - 1] === 0 ? 'out' : '' }, make('th', { scope: 'row' }, button, ...(id === chosen ? [make('span', { className: 'here', ariaHidden: 'true' }, '◂')] : [])), ...p.map((_, i) => cell(p, i)));
        });
        const foot = (/** @type {string} */ label, /** @type {(step: StepResult, i: number) => string | (Node | string)[]} */ say, /** @type {string} */ className = '') =>
            make('tr', { className }, make('th', { scope: 'row' }, label), ...steps.map((step, i) => make('td', {}, ...[say(step, i)].flat())));
        this.#table.classList.toggle('many', steps.length > 4);
        this.#table.replaceChildren(
            make('caption', {}, make('span', {}, 'Next token after ', make('bdi', { className: 'mono' }, here), ': its probability after each step')),
            make('thead', {}, make('tr', {}, make('th', { scope: 'col' }, 'token'), ...steps.map(({ key }, i) => make('th', { scope: 'col' }, i ? '→ ' : '', name(key), make('span', { className: 'setting' }, setting(key)))))),
            make('tbody', {}, ...body, foot('all others', ({ others }) => percent(others), 'others')),
            make('tfoot', {},
                foot('tokens left', ({ left }) => left.toLocaleString('en')),
                foot('removed', ({ removed, removedMass }, i) => (i ? (removed ? [percent(removedMass), make('span', { className: 'setting' }, `in ${removed.toLocaleString('en')}`)] : 'nothing') : '–')),
                foot('entropy', ({ entropy }) => `${entropy.toFixed(2)} bits`)),
        );
        this.#told.replaceChildren(...steps.slice(1).map((step, i) => make('li', {}, ...told(step, steps[i], rows, i, text))));
        if (had !== undefined) /** @type {HTMLElement | null} */ (this.#table.querySelector(`button[data-id="${had}"]`) ?? this.#table.querySelector('button'))?.focus();
    }
}
