/**
 * A folded part of the page that computes when it is opened: for the newest input only, and once for each.
 */
import { latest } from '../kit/latest.js';
import { words } from '../kit/page.js';

/**
 * @template I, O
 */
export class Section {
    /** @type {I | null} */ #input = null;
    /** @type {string} what was asked for last */ #asked = '';
    #details;
    #status;
    #ask;
    /** @type {(input: I) => string} */ #key;

    /**
     * @param {HTMLDetailsElement} details with a .status and a .body
     * @param {{ key: (input: I) => string, compute: (input: I, signal: AbortSignal, progress: (done: number, total: number) => void) => Promise<O>, show: (output: O, input: I) => void }} job
     */
    constructor(details, { key, compute, show }) {
        this.#details = details;
        this.#status = /** @type {HTMLElement} */ (details.querySelector('.status'));
        this.#key = key;
        const body = /** @type {HTMLElement} */ (details.querySelector('.body'));
        this.#ask = latest(
            async (/** @type {I} */ input, signal) => {
                const slow = setTimeout(() => this.#say('Computing …'), 250);
                let told = 0;
                try {
                    return await compute(input, signal, (done, total) => {
                        if (performance.now() - told < 200 || done === total) return;
                        told = performance.now();
                        this.#say(`Computing … ${Math.round((100 * done) / total)} %`);
                    });
                } finally {
                    clearTimeout(slow);
                }
            },
            (output, input) => {
                this.#say('');
                body.hidden = false;
                show(output, input);
                details.dataset.for = key(input);
            },
            (error, input) => {
                body.hidden = true;
                this.#asked = ''; // opened again, it tries again
                this.#say(words(error), true);
                details.dataset.for = key(input);
            },
            details, // has data-busy as long as an answer is owed
        );
        details.addEventListener('toggle', () => this.#run());
    }

    /** @param {string} text @param {boolean} [wrong] */
    #say(text, wrong = false) {
        this.#status.textContent = text;
        this.#status.classList.toggle('problem', wrong);
        this.#status.hidden = !text;
    }

    /** @param {I} input what it is about now */
    follow(input) {
        this.#input = input;
        this.#run();
    }

    #run() {
        if (!this.#details.open || this.#input === null) return;
        const key = this.#key(this.#input);
        if (key === this.#asked) return; // on show, or under way
        this.#asked = key;
        this.#ask(this.#input);
    }
}
