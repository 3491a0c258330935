/**
 * The specimen of the front page: a text, a blade that stops it anywhere, and what comes next in two ways. The numbers of
 * specimen.json were computed by the package from the bundled model; tests/browser/start_page.test.mjs computes them again.
 */
import { byteLabel, formatProbability } from '../../web/elements/format.js';
import { $, make } from '../kit/page.js';

/**
 * @typedef {[byte: number, p: number]} Guess byte: 0..255, or 256 for the end of the text
 * @typedef {{ pieces: number[], distance: number, exact: Guess[], naive: Guess[] }} Cut of the text after so many letters; pieces: letters of each token
 * @typedef {{ text: string, cuts: Cut[] }} Specimen cuts: after 1, 2, ... letters
 */

const STEP_MS = 420;
const COLOURS = 4;

export class SpecimenView {
    /** @type {Specimen[]} */ #all;
    /** @type {Specimen} */ #specimen;
    #at = 1;
    #timer = 0;
    #blade = /** @type {HTMLInputElement} */ ($('blade'));
    #play = $('play');

    /** @param {Specimen[]} all */
    constructor(all) {
        this.#all = all;
        this.#specimen = all[0];
        $('texts').replaceChildren(...all.map((one) => {
            const words = one.text.split(' '), button = make('button', { type: 'button' }, `${words.slice(0, 3).join(' ')} …`);
            button.addEventListener('click', () => {
                this.stop();
                this.#choose(one);
                this.#move(one.text.length >> 1);
            });
            return button;
        }));
        this.#blade.addEventListener('input', () => {
            this.stop();
            this.#move(this.#blade.valueAsNumber);
        });
        this.#play.addEventListener('click', () => (this.#timer ? this.stop() : this.play()));
        document.addEventListener('visibilitychange', () => document.hidden && this.stop());
        this.#choose(all[0]);
    }

    /** @param {Specimen} specimen */
    #choose(specimen) {
        this.#specimen = specimen;
        const letters = [...specimen.text];
        this.#blade.max = String(letters.length);
        $('letters').style.setProperty('--letters', String(letters.length));
        $('slide').style.setProperty('--letters', String(letters.length));
        $('letters').replaceChildren(...letters.map((letter, i) => {
            const bar = make('i');
            bar.style.setProperty('--high', specimen.cuts[i].distance.toFixed(3));
            return make('span', {}, make('b', {}, letter === ' ' ? '\u00a0' : letter), bar);
        }));
        for (const [i, button] of [...$('texts').children].entries()) button.setAttribute('aria-pressed', String(this.#all[i] === specimen));
    }

    /** @param {number} at so many letters stand before the blade */
    #move(at) {
        this.#at = at;
        const { text, cuts } = this.#specimen, { pieces, distance, exact, naive } = cuts[at - 1];
        let end = 0;
        const colours = pieces.flatMap((length, i) => { end += length; return Array.from({ length }, (_, k) => `t${(i % COLOURS) + 1}${k === length - 1 ? ' last' : ''}`); });
        [...$('letters').children].forEach((letter, i) => { letter.className = i < end ? colours[i] + (i === at - 1 ? ' blade' : '') : 'rest'; });
        this.#blade.value = String(at);
        const name = (/** @type {Guess} */ [byte, p]) => `${byteLabel(byte).name} ${formatProbability(p)}`;
        this.#blade.setAttribute('aria-valuetext', `after “${text.slice(0, at)}”: ${name(naive[0])} after the cut, ${name(exact[0])} exactly; distance ${distance.toFixed(2)}`);
        this.#guesses($('naive'), naive);
        this.#guesses($('exact'), exact);
        /** @type {HTMLAnchorElement} */ ($('own')).href = `bytes/#${new URLSearchParams({ text: text.slice(0, at) })}`;
    }

    /** @param {HTMLElement} list @param {Guess[]} guesses */
    #guesses(list, guesses) {
        if (list.children.length !== guesses.length) list.replaceChildren(...guesses.map(() => make('li', {}, make('kbd'), make('span', { className: 'track' }, make('i')), make('span', { className: 'share' }))));
        guesses.forEach(([byte, p], i) => {
            const [key, track, share] = list.children[i].children, { glyph, name } = byteLabel(byte);
            key.textContent = glyph;
            key.setAttribute('title', name);
            /** @type {HTMLElement} */ (track.firstElementChild).style.setProperty('--share', p.toFixed(4));
            share.textContent = formatProbability(p);
        });
    }

    /** From where the blade stands, or anew, to the end. */
    play() {
        if (this.#at >= this.#specimen.text.length) this.#move(1);
        this.#play.textContent = 'Pause';
        this.#timer = window.setInterval(() => {
            if (this.#at >= this.#specimen.text.length) this.stop();
            else this.#move(this.#at + 1);
        }, STEP_MS);
    }

    stop() {
        clearInterval(this.#timer);
        this.#timer = 0;
        this.#play.textContent = 'Play';
    }

    /** Shows it, and begins to move where movement is welcome. */
    start() {
        const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
        this.#move(still ? 14 : 1);
        $('specimen').hidden = false;
        if (!still) this.play();
    }
}
