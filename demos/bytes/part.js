/**
 * A part below the first screen. It is folded, and nothing is computed for it until it is opened; then it follows the
 * text and the model.
 */
import { latest } from '../kit/latest.js';
import { words } from '../kit/page.js';

/** @typedef {{ model: any, text: string }} Question */
/**
 * @template O
 * @typedef {{ job: (question: Question, tools: { signal: AbortSignal, say: (progress: string) => void }) => Promise<O>, show: (answer: O, question: Question) => void }} PartOptions
 */

const SLOW = 200; // ms after which what is on show is marked as that of an older question

/** @template O */
export class Part {
    #details;
    #problem;
    #progress;
    #ask;
    /** @type {Question | null} */ #question = null;
    /** @type {Question | null} */ #asked = null;

    /** @param {HTMLDetailsElement} details with a .problem and a .progress in it @param {PartOptions<O>} options */
    constructor(details, { job, show }) {
        this.#details = details;
        this.#problem = /** @type {HTMLElement} */ (details.querySelector('.problem'));
        this.#progress = /** @type {HTMLElement} */ (details.querySelector('.progress'));
        const say = (/** @type {string} */ text) => (this.#progress.textContent = text);
        this.#ask = latest(
            async (/** @type {Question} */ question, signal) => {
                const slow = setTimeout(() => (details.dataset.stale = ''), SLOW);
                try {
                    return await job(question, { signal, say });
                } finally {
                    clearTimeout(slow);
                    say('');
                }
            },
            (answer, question) => {
                delete details.dataset.stale;
                details.dataset.for = question.text;
                this.#problem.hidden = true;
                details.classList.add('answered');
                show(answer, question);
            },
            (error, question) => {
                if (/** @type {any} */ (error)?.name === 'AbortError') return;
                details.dataset.stale = '';
                details.dataset.for = question.text;
                this.#problem.hidden = false;
                this.#problem.textContent = words(error);
            },
        );
        details.addEventListener('toggle', () => this.#begin());
    }

    get open() {
        return this.#details.open;
    }

    /** @param {Question} question */
    ask(question) {
        this.#question = question;
        this.#begin();
    }

    /** The same question once more: something else that the answer depends on has changed. */
    again() {
        this.#asked = null;
        this.#begin();
    }

    #begin() {
        const now = this.#question, before = this.#asked;
        if (!this.#details.open || !now?.model || (before && before.model === now.model && before.text === now.text)) return;
        this.#asked = now;
        this.#ask(now);
    }
}
