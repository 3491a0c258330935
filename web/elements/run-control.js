/**
 * <mt-run-control>: play, pause, step, reset, and how far it has come.
 *
 *   const control = document.querySelector('mt-run-control');
 *   control.addEventListener('mt-play', start);
 *   control.addEventListener('mt-pause', stop);
 *   control.max = 100; control.value = 12; control.text = '12 of 100 tokens';
 *
 * Attributes (and properties of the same names)
 *   playing   it runs: the first button pauses. Pressing the button sets it and takes it away; a listener that prevents the event's
 *             default leaves it as it is
 *   disabled  nothing can be pressed; the focus stays where it is
 *   ended     there is nothing more to play: play and step cannot be pressed, reset can
 *   value, max   how far of how much; without max no bar is drawn, without value the bar says that it works
 *   text      what stands beside the bar
 *   label     what the group is called (default "Run")
 * Events, cancelable, without details: mt-play, mt-pause, mt-step, mt-reset
 *
 * Keyboard: buttons, and nothing else. The bar's text is read out when it comes to rest, not while it runs.
 *
 * Custom properties: --mt-exact (bar), --mt-exact-ink (play), --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus.
 */
import { h, sheet } from './format.js';

const STYLE = sheet(`
:host {
    --_ink: var(--mt-ink, light-dark(#1c2430, #e8eaee));
    --_muted: var(--mt-muted, light-dark(#5a6472, #a2abb8));
    --_line: var(--mt-line, light-dark(#d5dae1, #3c444f));
    --_surface: var(--mt-surface, light-dark(#ffffff, #191d23));
    --_focus: var(--mt-focus, light-dark(#1d5fa8, #79b4f5));
    --_bar: var(--mt-exact, light-dark(#2268b2, #6cb0f7));
    --_play: var(--mt-exact-ink, light-dark(#1b5796, #8cc2fa));
    display: block;
    color: var(--_ink);
    font-size: .9375rem;
}
:host([hidden]), [hidden] { display: none !important; }
.row { display: flex; flex-wrap: wrap; gap: .5rem .9rem; align-items: center; }
.buttons { display: flex; flex-wrap: wrap; gap: .5rem; }
button { display: inline-flex; align-items: center; gap: .45rem; font: inherit; color: inherit; background: var(--_surface); border: 1px solid var(--_muted); border-radius: 8px; min-height: 2.25rem; padding: .3rem .8rem; cursor: pointer; }
button:hover { border-color: var(--_ink); }
button:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 2px; }
button.play { background: var(--_play); border-color: var(--_play); color: var(--_surface); font-weight: 600; min-width: 6.4rem; justify-content: center; }
button[aria-disabled=true] { cursor: default; color: var(--_muted); border-color: var(--_line); background: none; }
svg { width: 12px; height: 12px; fill: currentColor; flex: none; }
.far { flex: 1 1 10rem; min-width: 0; }
progress { appearance: none; display: block; width: 100%; height: 8px; border: 0; border-radius: 4px; overflow: hidden; background: var(--_line); }
progress::-webkit-progress-bar { background: var(--_line); border-radius: 4px; }
progress::-webkit-progress-value { background: var(--_bar); border-radius: 4px; }
progress::-moz-progress-bar { background: var(--_bar); border-radius: 4px; }
.text { margin: .25rem 0 0; color: var(--_muted); font-size: .875rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.text:empty { display: none; }
@media (forced-colors: active) {
    progress { forced-color-adjust: none; border: 1px solid CanvasText; background: Canvas; }
    progress::-webkit-progress-bar { background: Canvas; }
    progress::-webkit-progress-value { background: Highlight; }
    progress::-moz-progress-bar { background: Highlight; }
    button.play { border-width: 2px; }
    button[aria-disabled=true] { color: GrayText; border-color: GrayText; }
}
`);

/** @type {Record<string, string>} */
const SIGNS = { play: 'M2 1l9 5-9 5z', pause: 'M2 1h3v10H2zM7 1h3v10H7z', step: 'M1 1l6 5-6 5zM8 1h2.5v10H8z', reset: 'M1 1h2.5v10H1zM11 1L4.5 6 11 11z' };

/** @param {string} name */
function sign(name) {
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg'), path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
    svg.setAttribute('viewBox', '0 0 12 12');
    svg.setAttribute('aria-hidden', 'true');
    path.setAttribute('d', SIGNS[name]);
    svg.append(path);
    return svg;
}

export class RunControl extends HTMLElement {
    static observedAttributes = ['playing', 'disabled', 'ended', 'value', 'max', 'text', 'label'];
    #play = h('button', { type: 'button', class: 'play' });
    #step = h('button', { type: 'button' }, sign('step'), 'Step');
    #reset = h('button', { type: 'button' }, sign('reset'), 'Reset');
    #group = h('div', { class: 'row', role: 'group' });
    #bar = h('progress');
    #text = h('p', { class: 'text' });
    #far = h('div', { class: 'far' }, this.#bar, this.#text);
    #shown = '';

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        this.#group.append(h('div', { class: 'buttons' }, this.#play, this.#step, this.#reset), this.#far);
        root.append(this.#group);
        this.#play.addEventListener('click', () => {
            if (this.#off(this.#play)) return;
            const to = !this.playing;
            if (this.#fire(to ? 'mt-play' : 'mt-pause')) this.playing = to;
        });
        this.#step.addEventListener('click', () => this.#off(this.#step) || this.#fire('mt-step'));
        this.#reset.addEventListener('click', () => this.#off(this.#reset) || this.#fire('mt-reset'));
        this.#render();
    }

    connectedCallback() {
        this.#render();
    }

    attributeChangedCallback() {
        this.#render();
    }

    /** @param {string} name @returns {boolean} true unless a listener prevented it */
    #fire(name) {
        // The state is set after the listeners, but what they set themselves wins.
        const before = this.playing;
        return this.dispatchEvent(new CustomEvent(name, { cancelable: true })) && this.playing === before;
    }

    /** @param {HTMLElement} button */
    #off(button) {
        return button.getAttribute('aria-disabled') === 'true';
    }

    get playing() { return this.hasAttribute('playing'); }
    set playing(on) { this.toggleAttribute('playing', !!on); }
    get disabled() { return this.hasAttribute('disabled'); }
    set disabled(on) { this.toggleAttribute('disabled', !!on); }
    get ended() { return this.hasAttribute('ended'); }
    set ended(on) { this.toggleAttribute('ended', !!on); }
    get text() { return this.getAttribute('text') ?? ''; }
    set text(text) { this.setAttribute('text', text); }
    /** How far; NaN: it works, and nobody knows how far. */
    get value() { return this.hasAttribute('value') ? Number(this.getAttribute('value')) : NaN; }
    set value(value) { if (Number.isNaN(value)) this.removeAttribute('value'); else this.setAttribute('value', String(value)); }
    /** Of how much; 0: there is no bar. */
    get max() { return Number(this.getAttribute('max')) || 0; }
    set max(max) { this.setAttribute('max', String(max)); }

    #render() {
        const { playing, disabled, ended, max, value, text } = this;
        const state = playing ? 'pause' : 'play';
        if (this.#shown !== state) {
            this.#shown = state;
            this.#play.replaceChildren(sign(state), playing ? 'Pause' : 'Play');
        }
        const off = (/** @type {HTMLElement} */ button, /** @type {boolean} */ on) => (on ? button.setAttribute('aria-disabled', 'true') : button.removeAttribute('aria-disabled'));
        off(this.#play, disabled || (ended && !playing));
        off(this.#step, disabled || ended || playing);
        off(this.#reset, disabled);
        this.#group.setAttribute('aria-label', this.getAttribute('label') ?? 'Run');
        this.#bar.setAttribute('aria-label', `${this.getAttribute('label') ?? 'Run'}: progress`);
        this.#bar.hidden = !(max > 0);
        if (max > 0) this.#bar.max = max;
        if (Number.isNaN(value)) this.#bar.removeAttribute('value');
        else this.#bar.value = Math.max(0, Math.min(max, value));
        this.#text.setAttribute('aria-live', playing ? 'off' : 'polite');
        if (this.#text.textContent !== text) this.#text.textContent = text;
        this.#far.hidden = !(max > 0) && !text;
    }
}

if (!customElements.get('mt-run-control')) customElements.define('mt-run-control', RunControl);
