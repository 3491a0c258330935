/**
 * The tour: one lesson at a time. Which one, and what has been done, stand in the address: #lesson=cut&done=a1.b2
 */
import { copyLink, readState } from '../kit/address.js';
import { $, make } from '../kit/page.js';
import { addressOf, LESSONS } from './lessons.js';

/** @typedef {import('./lessons.js').Lesson} Lesson */

const ALL = new Set(LESSONS.flatMap(({ steps }) => steps.map(({ id }) => id)));
/** @type {Set<string>} */ let done = new Set();
/** @type {Lesson} */ let lesson = LESSONS[0];

/** @param {Lesson} one */
const countOf = (one) => one.steps.filter(({ id }) => done.has(id)).length;
/** @param {string} id */
const hashFor = (id) => `#${new URLSearchParams({ lesson: id, ...(done.size && { done: [...done].join('.') }) })}`;

/** At once, not after a pause: a link that is followed leaves the page. */
function write() {
    history.replaceState(null, '', hashFor(lesson.id));
    tell();
}

/** How far one is. */
function tell() {
    for (const [i, link] of [...$('lessons').querySelectorAll('a')].entries()) {
        const one = LESSONS[i], count = countOf(one);
        link.href = hashFor(one.id);
        if (one === lesson) link.setAttribute('aria-current', 'page');
        else link.removeAttribute('aria-current');
        const state = /** @type {HTMLElement} */ (link.querySelector('.state'));
        state.textContent = count === one.steps.length ? '✓ done' : count ? `${count} of ${one.steps.length} steps` : `${one.minutes} minutes`;
        state.classList.toggle('done', count === one.steps.length);
    }
}

function show() {
    const at = LESSONS.indexOf(lesson), following = LESSONS[at + 1];
    $('number').textContent = `Lesson ${at + 1} of ${LESSONS.length} · about ${lesson.minutes} minutes`;
    $('title').textContent = lesson.title;
    $('goal').textContent = lesson.goal;
    $('text').replaceChildren(...lesson.text.map((text) => make('p', {}, text)));
    $('steps').replaceChildren(...lesson.steps.map((step, i) => {
        const box = make('input', { type: 'checkbox', checked: done.has(step.id) });
        const mark = (/** @type {boolean} */ on) => {
            box.checked = on;
            if (on) done.add(step.id);
            else done.delete(step.id);
            write();
        };
        box.addEventListener('change', () => mark(box.checked));
        const open = make('a', { className: 'button', href: addressOf(step) }, 'Open', make('span', { className: 'hidden' }, ` step ${i + 1} on the page ${step.page.replace('/', '')}`));
        open.addEventListener('click', () => mark(true));
        open.addEventListener('auxclick', () => mark(true));
        return make('li', { className: 'card' },
            make('p', { className: 'what' }, step.what),
            make('p', { className: 'look' }, step.look),
            make('div', { className: 'go' }, open, make('label', {}, box, ' Done', make('span', { className: 'hidden' }, `: step ${i + 1}`))));
    }));
    $('questions').replaceChildren(...lesson.questions.map(({ ask, answer }) => make('details', { className: 'card' }, make('summary', {}, ask), make('p', {}, answer))));
    /** @type {HTMLAnchorElement} */ ($('sheet')).href = `worksheet.html#lesson=${lesson.id}`;
    $('next').textContent = following ? `Next: ${following.title}` : 'Back to the first lesson';
    tell();
}

/** @param {{ focus: boolean }} options */
function follow({ focus }) {
    const state = readState(), id = state.get('lesson');
    done = new Set((state.get('done') ?? '').split('.').filter((one) => ALL.has(one)));
    lesson = LESSONS.find((one, i) => one.id === id || String(i + 1) === id) ?? LESSONS[0];
    show();
    if (focus) {
        $('title').focus({ preventScroll: true });
        $('lesson').scrollIntoView({ block: 'start' });
    }
}

$('lessons').replaceChildren(...LESSONS.map(({ title }) => make('li', {}, make('a', { href: '#' }, make('span', { className: 'name' }, title), make('span', { className: 'state' })))));
$('next').addEventListener('click', () => {
    location.hash = hashFor(LESSONS[(LESSONS.indexOf(lesson) + 1) % LESSONS.length].id);
});
copyLink($('copy-link'), $('copied'));
window.addEventListener('hashchange', () => follow({ focus: true }));
follow({ focus: false });
