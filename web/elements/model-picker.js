/**
 * <mt-model-picker>: which model is open, and how to open another one: the bundled one, a file (chosen or dropped
 * anywhere on the page), a URL. Shows bytes while it loads, can be cancelled, and says what went wrong in its own place.
 * The model that is open stays open until another one has loaded completely.
 *
 *   <mt-model-picker src="models/microtome-tiny.gguf" name="microtome-tiny"></mt-model-picker>
 *   picker.addEventListener('mt-model', (e) => use(e.detail.model));
 *   await picker.load(picker.src);
 *
 * Attributes
 *   src, name    the bundled model
 *   drop         "page": files may be dropped anywhere; "self": only here; default "page"
 * Properties and methods
 *   loader       (source, { onProgress, signal }) => Promise<model>; default: Model.load of this package
 *   load(source, name)   URL string, File or Blob; resolves to the model, or null when it failed or was cancelled
 *   cancel()
 * Events
 *   mt-model        detail { model, name, source }: a model has loaded. The old one is the listener's to dispose of.
 *   mt-model-error  detail { error, name }: it has not; the message is on show
 *   mt-model-busy   detail { busy }
 *
 * Custom properties: --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus, --mt-exact (progress), --mt-error.
 */
import { formatSize, h, sheet, VISUALLY_HIDDEN } from './format.js';

/** @typedef {{ loaded: number, total?: number | null, phase?: string, file?: string }} Progress */
/** @typedef {(source: any, options: { onProgress: (p: Progress) => void, signal: AbortSignal }) => Promise<any>} Loader */

const STYLE = sheet(`
:host {
    --_ink: var(--mt-ink, light-dark(#1c2430, #e8eaee));
    --_muted: var(--mt-muted, light-dark(#5a6472, #a2abb8));
    --_line: var(--mt-line, light-dark(#d5dae1, #3c444f));
    --_surface: var(--mt-surface, light-dark(#ffffff, #191d23));
    --_focus: var(--mt-focus, light-dark(#1d5fa8, #79b4f5));
    --_bar: var(--mt-exact, light-dark(#2268b2, #6cb0f7));
    --_error: var(--mt-error, light-dark(#a3261f, #ff9c92));
    display: block;
    color: var(--_ink);
    font-size: .9375rem;
}
:host([hidden]), [hidden] { display: none !important; }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem .75rem; }
.now { margin: 0; flex: 1 1 16rem; min-width: 0; overflow-wrap: anywhere; }
.now b { font-weight: 600; }
.facts { color: var(--_muted); }
.actions { display: flex; flex-wrap: wrap; gap: .4rem; }
button, .button, input[type=url] {
    font: inherit; font-size: .875rem; color: inherit; background: var(--_surface);
    border: 1px solid var(--_muted); border-radius: 6px; padding: .28rem .7rem; min-height: 2rem; box-sizing: border-box; line-height: 1.4;
}
button, .button { cursor: pointer; }
button:hover, .button:hover { border-color: var(--_ink); }
.button { position: relative; display: inline-block; }
.button input { ${VISUALLY_HIDDEN} }
button:focus-visible, .button:focus-within, input[type=url]:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 2px; }
form { display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .6rem; align-items: center; }
form label { flex: 1 1 14rem; display: flex; align-items: center; gap: .5rem; }
form input { flex: 1; min-width: 0; }
.progress { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem .75rem; margin-top: .6rem; }
progress {
    appearance: none; flex: 1 1 8rem; height: 8px; border: 0; border-radius: 4px; overflow: hidden; background: var(--_line);
}
progress::-webkit-progress-bar { background: var(--_line); border-radius: 4px; }
progress::-webkit-progress-value { background: var(--_bar); border-radius: 4px; }
progress::-moz-progress-bar { background: var(--_bar); border-radius: 4px; }
.amount { color: var(--_muted); font-variant-numeric: tabular-nums; }
.error { display: flex; gap: .75rem; align-items: flex-start; margin-top: .6rem; padding: .55rem .75rem; border: 1px solid var(--_error); border-left-width: 4px; border-radius: 6px; }
.error p { margin: 0; flex: 1; min-width: 0; overflow-wrap: anywhere; }
.error b { color: var(--_error); }
.error:empty { display: none; }
.over {
    position: fixed; inset: 0; z-index: 1000; display: grid; place-items: center; pointer-events: none;
    background: color-mix(in srgb, var(--_surface) 82%, transparent); font-size: 1.25rem;
}
.over span { border: 2px dashed var(--_bar); border-radius: 14px; padding: 2.5rem 3rem; background: var(--_surface); }
@media (forced-colors: active) { progress { border: 1px solid CanvasText; } }
`);

export class ModelPicker extends HTMLElement {
    /** @type {Loader} */
    loader = async (source, options) => (await import('../index.js')).Model.load(source, options);

    /** @type {AbortController | null} */ #controller = null;
    /** @type {AbortController | null} */ #listeners = null;
    #depth = 0; // dragenter minus dragleave
    #name = h('b');
    #facts = h('span', { class: 'facts' });
    #file = h('input', { type: 'file', accept: '.gguf' });
    #urlButton = h('button', { type: 'button', 'aria-expanded': 'false' }, 'From a URL');
    #back = h('button', { type: 'button', hidden: '' }, 'Back to the bundled model');
    #url = h('input', { type: 'url', required: '', placeholder: 'https://', autocomplete: 'off', spellcheck: 'false' });
    #form = h('form', { hidden: '' }, h('label', {}, 'URL', this.#url), h('button', {}, 'Open'));
    #bar = h('progress', { max: '1', 'aria-label': 'Loading the model' });
    #amount = h('span', { class: 'amount' });
    #cancel = h('button', { type: 'button' }, 'Cancel');
    #progress = h('div', { class: 'progress', hidden: '' }, this.#bar, this.#amount, this.#cancel);
    #error = h('div', { class: 'error', role: 'alert' });
    #over = h('div', { class: 'over', hidden: '' }, h('span', {}, 'Drop a GGUF model to open it'));

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        root.append(
            h('div', { class: 'row' },
                h('p', { class: 'now' }, this.#name, ' ', this.#facts),
                h('div', { class: 'actions' }, h('label', { class: 'button' }, 'Open a GGUF file', this.#file), this.#urlButton, this.#back)),
            this.#form, this.#progress, this.#error, this.#over);
        this.#name.textContent = 'No model is open';
        this.#file.addEventListener('change', () => {
            const file = this.#file.files?.[0];
            this.#file.value = '';
            if (file) void this.load(file);
        });
        this.#urlButton.addEventListener('click', () => {
            this.#form.hidden = !this.#form.hidden;
            this.#urlButton.setAttribute('aria-expanded', String(!this.#form.hidden));
            if (!this.#form.hidden) this.#url.focus();
        });
        this.#form.addEventListener('submit', (e) => {
            e.preventDefault();
            void this.load(this.#url.value);
        });
        this.#back.addEventListener('click', () => void this.load(this.src, this.bundledName));
        this.#cancel.addEventListener('click', () => this.cancel());
    }

    connectedCallback() {
        this.#listeners = new AbortController();
        const signal = this.#listeners.signal;
        const target = this.getAttribute('drop') === 'self' ? this : window;
        /** @param {DragEvent} e */
        const carriesFiles = (e) => e.dataTransfer?.types.includes('Files') ?? false;
        /** @type {(type: string, on: (e: DragEvent) => void) => void} */
        const listen = (type, on) => target.addEventListener(type, (e) => carriesFiles(/** @type {DragEvent} */ (e)) && on(/** @type {DragEvent} */ (e)), { signal });
        listen('dragenter', (e) => {
            e.preventDefault();
            this.#depth++;
            this.#over.hidden = false;
        });
        listen('dragover', (e) => {
            e.preventDefault();
            if (e.dataTransfer) e.dataTransfer.dropEffect = 'copy';
        });
        listen('dragleave', () => {
            this.#depth = Math.max(0, this.#depth - 1);
            this.#over.hidden = this.#depth === 0;
        });
        listen('drop', (e) => {
            e.preventDefault();
            this.#depth = 0;
            this.#over.hidden = true;
            const files = e.dataTransfer?.files ?? [];
            if (files.length === 1) void this.load(files[0]);
            else this.#fail(new Error(`${files.length} files were dropped; drop one GGUF file`), 'What you dropped');
        });
    }

    disconnectedCallback() {
        this.#listeners?.abort();
    }

    /** Absolute URL of the bundled model. */
    get src() {
        return new URL(this.getAttribute('src') ?? '', document.baseURI).href;
    }

    /** What the bundled model is called. */
    get bundledName() {
        return this.getAttribute('name') ?? nameOf(this.src);
    }

    /** Is something loading? */
    get busy() {
        return this.#controller !== null;
    }

    /**
     * Opens a model; a load that is still under way is cancelled.
     * @param {string | File | Blob} source a URL or a file
     * @param {string} [name] what to call it
     * @returns {Promise<any>} the model; null when loading failed or was cancelled
     */
    async load(source, name = nameOf(source)) {
        this.cancel();
        const controller = (this.#controller = new AbortController());
        const known = source instanceof Blob ? source.size : 0;
        this.#error.replaceChildren();
        this.#showProgress(name, { loaded: 0, total: known });
        this.#progress.hidden = false;
        this.#busy(true);
        let loaded = known;
        try {
            const model = await this.loader(source, {
                signal: controller.signal,
                onProgress: (p) => {
                    if (this.#controller !== controller) return;
                    if (!known && p.phase !== 'ready') loaded = p.total ?? p.loaded;
                    this.#showProgress(name, p);
                },
            });
            if (this.#controller !== controller) {
                model?.dispose?.(); // cancelled too late for the loader to notice
                return null;
            }
            this.#settle();
            this.#showModel(name, model, loaded);
            this.#back.hidden = !this.hasAttribute('src') || source === this.src;
            this.#form.hidden = true;
            this.#urlButton.setAttribute('aria-expanded', 'false');
            this.dispatchEvent(new CustomEvent('mt-model', { detail: { model, name, source } }));
            return model;
        } catch (error) {
            if (this.#controller !== controller) return null; // cancelled: nothing to report
            this.#settle();
            this.#fail(error, name);
            return null;
        }
    }

    /** Stops the load that is under way. */
    cancel() {
        const controller = this.#controller;
        if (!controller) return;
        this.#settle();
        controller.abort();
    }

    #settle() {
        this.#controller = null;
        const hadFocus = this.shadowRoot?.activeElement === this.#cancel;
        this.#progress.hidden = true;
        if (hadFocus) this.#file.focus();
        this.#busy(false);
    }

    /** @param {boolean} busy */
    #busy(busy) {
        this.dispatchEvent(new CustomEvent('mt-model-busy', { detail: { busy } }));
    }

    /** @param {string} name @param {Progress} p */
    #showProgress(name, p) {
        if (p.total) this.#bar.value = Math.min(1, p.loaded / p.total);
        else this.#bar.removeAttribute('value');
        const all = p.total ? ` of ${formatSize(p.total)}` : '';
        const text = p.loaded || p.total ? `: ${formatSize(p.loaded)}${all}` : '';
        this.#amount.textContent = `Opening ${name}${text}`;
    }

    /** @param {string} name @param {any} model @param {number} bytes */
    #showModel(name, model, bytes) {
        this.#name.textContent = name;
        const info = model?.info ?? {};
        const facts = [
            info.architecture,
            info.parameters && `${Number(info.parameters).toLocaleString('en')} parameters`,
            info.layers && `${info.layers} layers`,
            info.vocab && `${Number(info.vocab).toLocaleString('en')} tokens`,
            bytes && formatSize(bytes),
        ];
        this.#facts.textContent = facts.filter(Boolean).join(' · ');
    }

    /** @param {unknown} error @param {string} name */
    #fail(error, name) {
        const message = error instanceof Error ? error.message : String(error);
        const close = h('button', { type: 'button' }, 'Dismiss');
        close.addEventListener('click', () => {
            this.#error.replaceChildren();
            this.#file.focus();
        });
        this.#error.replaceChildren(h('p', {}, h('b', {}, `${name} could not be opened. `), message), close);
        this.dispatchEvent(new CustomEvent('mt-model-error', { detail: { error, name } }));
    }
}

/** @param {string | Blob} source */
function nameOf(source) {
    if (source instanceof File) return source.name;
    if (source instanceof Blob) return 'the model';
    try {
        return decodeURIComponent(new URL(source, document.baseURI).pathname.split('/').pop() || source);
    } catch {
        return source;
    }
}

if (!customElements.get('mt-model-picker')) customElements.define('mt-model-picker', ModelPicker);
