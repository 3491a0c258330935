/**
 * A form for a lab's knobs: switches, choices, numbers; a slider beside those that may change while it runs.
 */
import { checkValue } from '../../web/lab/define.js';
import { formatNumber } from '../../web/lab/plots.js';
import { fromText } from './address.js';
import { make, words } from '../kit/page.js';

/**
 * @typedef {import('../../web/lab/define.js').Lab} Lab
 * @typedef {import('../../web/lab/define.js').Config} Config
 * @typedef {import('../../web/lab/define.js').ConfigValue} ConfigValue
 */

const STOPS = 1000; // of a slider

/** @param {import('../../web/lab/define.js').Knob} knob a number with least and most; its slider's stops */
function scaleOf({ min = 0, max = 1, log }) {
    const byFactors = log && min > 0;
    return {
        /** @param {number} value */
        stop: (value) => Math.round(STOPS * (byFactors ? Math.log(value / min) / Math.log(max / min) : (value - min) / (max - min))),
        /** @param {number} stop */
        value: (stop) => Number((byFactors ? min * (max / min) ** (stop / STOPS) : min + ((max - min) * stop) / STOPS).toPrecision(3)),
    };
}

export class Knobs {
    #lab;
    /** Keys of boxes that hold what does not fit. @type {Set<string>} */ #refused = new Set();
    /** @type {Map<string, { write: (value: ConfigValue) => void, refuse: (why: string) => void }>} */ #controls = new Map();

    /** @param {Readonly<Lab>} lab @param {{ live: HTMLElement, fixed: HTMLElement, broken: HTMLElement }} hosts @param {(key: string, value: ConfigValue) => void} changed with values that fit */
    constructor(lab, hosts, changed) {
        this.#lab = lab;
        for (const host of Object.values(hosts)) host.replaceChildren();
        for (const [key, knob] of Object.entries(lab.config)) {
            const host = typeof knob.value === 'boolean' ? hosts.broken : knob.live ? hosts.live : hosts.fixed;
            host.append(this.#control(key, (text) => {
                const value = fromText(lab, key, text);
                try {
                    checkValue(lab, key, value);
                } catch (error) {
                    this.#controls.get(key)?.refuse(words(error).replace(/^lab \S+: /, '').replace(`${key}: `, ''));
                    return;
                }
                this.#controls.get(key)?.refuse('');
                changed(key, /** @type {ConfigValue} */ (value));
            }));
        }
    }

    /** @param {string} key @param {(text: string) => void} heard */
    #control(key, heard) {
        const knob = this.#lab.config[key], id = `knob-${key}`;
        const help = make('p', { className: 'help', id: `${id}-help` }, knob.help ?? '');
        const wrong = make('p', { className: 'wrong', id: `${id}-wrong` });
        const label = make('label', { htmlFor: id }, knob.label, ...(knob.unit ? [` (${knob.unit})`] : []));
        /** @type {HTMLInputElement | HTMLSelectElement} */ let box;
        /** @type {HTMLInputElement | null} */ let slider = null;
        const refuse = (/** @type {string} */ why) => {
            wrong.textContent = why;
            if (why) this.#refused.add(key);
            else this.#refused.delete(key);
            if (why) box.setAttribute('aria-invalid', 'true');
            else box.removeAttribute('aria-invalid');
        };
        if (typeof knob.value === 'boolean') {
            const check = (box = make('input', { type: 'checkbox', id }));
            check.addEventListener('change', () => heard(String(check.checked)));
            this.#controls.set(key, { refuse, write: (value) => { check.checked = value === true; } });
        } else if (typeof knob.value === 'string') {
            const select = (box = make('select', { id }, ...(knob.choices ?? []).map((choice) => make('option', { value: choice }, choice))));
            select.addEventListener('change', () => heard(select.value));
            this.#controls.set(key, { refuse, write: (value) => { select.value = String(value); } });
        } else {
            const input = (box = make('input', { type: 'text', inputMode: 'decimal', id, autocomplete: 'off', spellcheck: false }));
            const bounded = knob.live && knob.min !== undefined && knob.max !== undefined, scale = scaleOf(knob);
            const range = bounded ? (slider = make('input', { type: 'range', min: '0', max: String(STOPS), ariaLabel: `${knob.label}, slider` })) : null;
            const slide = (/** @type {number} */ value) => {
                if (!range) return;
                range.value = String(scale.stop(value));
                range.setAttribute('aria-valuetext', formatNumber(value));
            };
            input.addEventListener('change', () => {
                heard(input.value);
                if (!this.#refused.has(key)) slide(Number(input.value));
            });
            range?.addEventListener('input', () => {
                const value = scale.value(Number(range.value));
                input.value = String(value);
                range.setAttribute('aria-valuetext', formatNumber(value));
            });
            range?.addEventListener('change', () => heard(input.value)); // once, when it comes to rest
            this.#controls.set(key, { refuse, write: (value) => { input.value = String(value); slide(Number(value)); } });
        }
        box.setAttribute('aria-describedby', knob.help ? `${help.id} ${wrong.id}` : wrong.id);
        return make('div', { className: typeof knob.value === 'boolean' ? 'knob switch' : 'knob' }, label, ...(slider ? [slider] : []), box, ...(knob.help ? [help] : []), wrong);
    }

    /** Shows these values. @param {Config} values */
    write(values) {
        for (const [key, { write, refuse }] of this.#controls) {
            write(values[key]);
            refuse('');
        }
    }
}
