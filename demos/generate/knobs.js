/**
 * The sampler's settings: what each does, in words, and a slider with a box for each.
 */
import { formatNumber } from '../../web/lab/plots.js';
import { make } from '../kit/page.js';
import { NEUTRAL } from './chain.js';

/** @typedef {import('./chain.js').Settings} Settings */
/** @typedef {keyof Settings} Key */
/** @typedef {{ key: Key, letter: string, label: string, min: number, max: number, step: number, most: number, help: string }} Knob letter: in the address; max: of the slider, most: of the box */

/** @type {Record<string, { name: string, setting: (s: Settings) => string }>} */
export const STEP_TEXTS = {
    penalties: { name: 'penalties', setting: (s) => [s.repeatPenalty !== 1 && `× 1/${formatNumber(s.repeatPenalty)}`, s.frequencyPenalty && `frequency ${formatNumber(s.frequencyPenalty)}`, s.presencePenalty && `presence ${formatNumber(s.presencePenalty)}`].filter(Boolean).join(', ') },
    temperature: { name: 'temperature', setting: (s) => `T = ${formatNumber(s.temperature)}` },
    topK: { name: 'top-k', setting: (s) => `k = ${s.topK}` },
    typicalP: { name: 'typical', setting: (s) => `mass ${formatNumber(s.typicalP)}` },
    topP: { name: 'top-p', setting: (s) => `p = ${formatNumber(s.topP)}` },
    minP: { name: 'min-p', setting: (s) => `${formatNumber(s.minP)} × the likeliest` },
};

/** @type {Knob[]} */
export const KNOBS = [
    { key: 'temperature', letter: 't', label: 'Temperature', min: 0, max: 2, step: 0.05, most: 1e6, help: 'Divides the logits: below 1 the likely gain, above 1 the unlikely. 0 always takes the likeliest.' },
    { key: 'topK', letter: 'k', label: 'Top-k', min: 0, max: 100, step: 1, most: 2 ** 31 - 1, help: 'Keeps the k likeliest, however the probability is spread. 0: all.' },
    { key: 'typicalP', letter: 'y', label: 'Typical', min: 0, max: 1, step: 0.01, most: 1, help: 'Keeps tokens about as surprising as the model expects to be. 1: all.' },
    { key: 'topP', letter: 'p', label: 'Top-p', min: 0, max: 1, step: 0.01, most: 1, help: 'Keeps the fewest tokens that together reach p. 1: all.' },
    { key: 'minP', letter: 'm', label: 'Min-p', min: 0, max: 1, step: 0.01, most: 1, help: 'Keeps what is at least this share of the likeliest: strict when the model is sure. 0: all.' },
    { key: 'repeatPenalty', letter: 'r', label: 'Repetition', min: 1, max: 2, step: 0.05, most: 1e3, help: 'Lowers tokens that occurred: positive logits are divided by it, negative ones multiplied.' },
    { key: 'frequencyPenalty', letter: 'f', label: 'Frequency', min: 0, max: 2, step: 0.05, most: 1e3, help: 'Takes this from a logit for each time its token occurred.' },
    { key: 'presencePenalty', letter: 'a', label: 'Presence', min: 0, max: 2, step: 0.05, most: 1e3, help: 'Takes this once if the token occurred.' },
    { key: 'lastN', letter: 'n', label: 'Looks back on', min: -1, max: 256, step: 1, most: 2 ** 24, help: 'How many of the last tokens the penalties look at. −1: all.' },
];
/** Smallest values that boxes take, where the slider's is not. @type {Partial<Record<Key, number>>} */
const LEAST = { repeatPenalty: 0.001, frequencyPenalty: -1000, presencePenalty: -1000 };

/** A setting from a text; NaN: it does not fit. @param {Knob} knob @param {string} text */
export function settingOf({ key, min, most, step }, text) {
    const value = text.trim() === '' ? NaN : Number(text.trim().replace('−', '-').replace(',', '.'));
    return value >= (LEAST[key] ?? min) && value <= most && (step < 1 || Number.isInteger(value)) ? value : NaN;
}

export class Knobs {
    #changed;
    /** @type {Map<Key, (value: number) => void>} */ #write = new Map();
    /** @type {Settings} */ values = { ...NEUTRAL };

    /** @param {HTMLElement} host @param {HTMLElement} penalties @param {() => void} changed */
    constructor(host, penalties, changed) {
        this.#changed = changed;
        for (const knob of KNOBS) (['repeatPenalty', 'frequencyPenalty', 'presencePenalty', 'lastN'].includes(knob.key) ? penalties : host).append(this.#control(knob));
        this.write(NEUTRAL);
    }

    /** @param {Knob} knob */
    #control(knob) {
        const { key, label, min, max, step, help } = knob, id = `knob-${key}`;
        const box = make('input', { type: 'text', inputMode: 'decimal', id, autocomplete: 'off' });
        const range = make('input', { type: 'range', min: String(min), max: String(max), step: String(step), ariaLabel: `${label}, slider` });
        const wrong = make('p', { className: 'wrong', id: `${id}-wrong` });
        const explained = make('p', { className: 'help', id: `${id}-help` }, help);
        box.setAttribute('aria-describedby', `${id}-help ${id}-wrong`);
        const element = make('div', { className: 'knob' }, make('label', { htmlFor: id }, label), range, box, explained, wrong);
        const show = (/** @type {number} */ value) => {
            range.value = String(value);
            box.value = formatNumber(value).replace('−', '-');
            wrong.textContent = '';
            box.removeAttribute('aria-invalid');
            element.classList.toggle('on', value !== NEUTRAL[key] && key !== 'lastN');
        };
        const set = (/** @type {number} */ value) => {
            show(value);
            if (this.values[key] === value) return;
            this.values = { ...this.values, [key]: value };
            this.#changed();
        };
        range.addEventListener('input', () => set(Number(range.value)));
        box.addEventListener('change', () => {
            const value = settingOf(knob, box.value);
            if (!Number.isNaN(value)) return set(value);
            wrong.textContent = `${step < 1 ? 'A number' : 'A whole number'} from ${formatNumber(LEAST[key] ?? min)} on is needed${knob.most === 1 ? ', 1 at most' : ''}.`;
            box.setAttribute('aria-invalid', 'true');
        });
        this.#write.set(key, show);
        return element;
    }

    /** Sets all; what is not given does nothing. @param {Partial<Settings>} values */
    write(values) {
        this.values = { ...NEUTRAL, ...values };
        for (const [key, show] of this.#write) show(this.values[key]);
    }
}
