/**
 * A worksheet: the tasks of a lesson with room to write, or with the answers. #lesson=cut&answers=1
 */
import { readState, writeState } from '../kit/address.js';
import { $, make } from '../kit/page.js';
import { LESSONS } from './lessons.js';

const which = /** @type {HTMLSelectElement} */ ($('which'));
const answers = /** @type {HTMLInputElement} */ ($('answers'));

/** An empty frame. @param {number} lines */
function roomFor(lines) {
    const frame = make('div', { className: 'room' });
    frame.style.setProperty('--lines', String(lines));
    return frame;
}

/** @param {import('./lessons.js').Task} task @param {boolean} solved */
function taskOf({ task, grid, spaced, lines = 0, room, answer, solved: rows }, solved) {
    const shown = grid && solved && rows ? rows : grid?.rows;
    return make('li', {},
        make('p', {}, task),
        ...(spaced ? [make('p', { className: 'spaced' }, spaced)] : []),
        ...(grid ? [make('div', { className: 'grid scroll', tabIndex: 0, role: 'region', ariaLabel: `Table: ${task}` }, make('table', {},
            make('thead', {}, make('tr', {}, ...grid.head.map((name) => make('th', { scope: 'col' }, name)))),
            make('tbody', {}, ...(shown ?? []).map((row) => make('tr', {}, ...row.map((cell, i) => (i ? make('td', {}, cell) : make('th', { scope: 'row' }, cell))))))))] : []),
        ...(room && !solved ? [roomFor(room)] : []),
        ...(solved ? (answer ? [make('p', { className: 'answer' }, answer)] : []) : Array.from({ length: lines }, () => make('div', { className: 'line' }))));
}

function show() {
    const at = Math.max(0, which.selectedIndex), { id, title, goal, tasks } = LESSONS[at];
    document.title = `Worksheet: ${title} · Microtome`;
    $('number').textContent = `Worksheet ${at + 1}${answers.checked ? ', with the answers' : ''}`;
    $('title').textContent = title;
    $('goal').textContent = goal;
    $('tasks').replaceChildren(...tasks.map((task) => taskOf(task, answers.checked)));
    /** @type {HTMLAnchorElement} */ ($('back')).href = `./#lesson=${id}`;
    writeState({ lesson: id, answers: answers.checked ? 1 : '' });
}

function follow() {
    const state = readState();
    which.value = state.get('lesson') ?? LESSONS[0].id;
    if (which.selectedIndex < 0) which.selectedIndex = 0;
    answers.checked = state.get('answers') === '1';
    show();
}

which.replaceChildren(...LESSONS.map(({ id, title }, i) => make('option', { value: id }, `${i + 1}. ${title}`)));
which.addEventListener('change', show);
answers.addEventListener('change', show);
$('print').addEventListener('click', () => print());
window.addEventListener('hashchange', follow);
follow();
