/**
 * A part of a page that is not always on show: a fold, a tab. Nothing is computed for it until it is; then it follows
 * what it is asked about.
 */
import { latest } from './latest.js';
import { words } from './page.js';

/** @typedef {{ model: any, text: string }} Question text: all that the answer depends on beside the model */
/**
 * @template O
 * @typedef {{ job: (question: Question, tools: { signal: AbortSignal, say: (progress: string) => void }) => Promise<O>, show: (answer: O, question: Question) => void, open?: () => boolean }} PartOptions
 *   open: is it on show; default: as a <details> says
 */

const SLOW = 200; // ms after which what is on show is marked as that of an older question

/**
 * The element says where it stands: data-for is the text of what was answered last, or refused (then data-failed too);
 * data-stale: what is on show is older than the question; data-busy: an answer is owed.
 * @template O
 */
export class Part {
    #ask;
    #open;
    /** @type {Question | null} */ #question = null;
    /** @type {Question | null} */ #asked = null;

    /** @param {HTMLElement} element with a .problem and a .progress in it @param {PartOptions<O>} options */
    constructor(element, { job, show, open = () => /** @type {HTMLDetailsElement} */ (element).open }) {
        this.#open = open;
        const problem = /** @type {HTMLElement} */ (element.querySelector(':scope > .problem')), progress = /** @type {HTMLElement} */ (element.querySelector(':scope > .progress'));
        const say = (/** @type {string} */ text) => (progress.textContent = text);
        this.#ask = latest(
            async (/** @type {Question} */ question, signal) => {
                const slow = setTimeout(() => (element.dataset.stale = ''), SLOW);
                try {
                    return await job(question, { signal, say });
                } finally {
                    clearTimeout(slow);
                    say('');
                }
            },
            (answer, question) => {
                delete element.dataset.stale;
                delete element.dataset.failed;
                element.dataset.for = question.text;
                element.classList.add('answered');
                problem.hidden = true;
                show(answer, question);
            },
            (error, question) => {
                delete element.dataset.stale;
                element.dataset.failed = '';
                element.dataset.for = question.text;
                problem.hidden = false;
                problem.textContent = words(error);
            },
            element,
        );
        element.addEventListener('toggle', () => this.look());
    }

    /** @param {Question} question */
    ask(question) {
        this.#question = question;
        this.look();
    }

    /** The same question once more: something else that the answer depends on has changed. */
    again() {
        this.#asked = null;
        this.look();
    }

    /** It may have come on show. */
    look() {
        const now = this.#question, before = this.#asked;
        if (!this.#open() || !now || (before && before.model === now.model && before.text === now.text)) return;
        this.#asked = now;
        this.#ask(now);
    }
}
