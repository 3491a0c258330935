/**
 * One tokenizer on the page: its strip, its numbers, its tokens as a table. Tokens are drawn by the page, at most PAGE of them.
 */
import { hexBytes } from '../../web/elements/format.js';
import { latest } from '../kit/latest.js';
import { make, words } from '../kit/page.js';
import { nameOf, short } from './names.js';

/**
 * @typedef {import('../../web/elements/token-strip.js').TokenStrip} TokenStrip
 * @typedef {import('../../web/runtime/client.js').WorkerClient} WorkerClient
 * @typedef {import('./worker.js').Encoded} Encoded
 * @typedef {import('./worker.js').How} How
 * @typedef {import('./sources.js').Entry} Entry
 * @typedef {{ text: string, how: How }} Question
 * @typedef {{ model: string, vocabSize: number, bos: number | null, eos: number | null, specialIsText: boolean, warnings: string[], special: { piece: string, id: number | null }[], specialCount: number, byteComplete: boolean, merges: boolean }} Info
 */

export const PAGE = 200; // tokens drawn at once: a strip is drawn within a few frames
const KINDS = /** @type {Record<string, string>} */ ({ normal: '', byte: 'byte', special: 'special', unknown: 'unknown', user: 'added', unused: 'unused' });

export class Panel {
    /** @type {Entry} */ entry;
    /** @type {Info | null} */ info = null;
    /** @type {Encoded | null} the answer on show */ shown = null;
    /** @type {number} megabytes a second */ speed = NaN;
    #worker;
    #hooks;
    #controller = new AbortController();
    /** @type {Question} */ #question = { text: '', how: { special: 'own', template: false } };
    #start = 0;
    #waiting = false; // for an answer of the worker
    #strip = /** @type {TokenStrip} */ (document.createElement('mt-token-strip'));
    #count = make('span', { className: 'count' });
    #about = make('span', { className: 'muted' });
    #ratios = make('p', { className: 'ratios' });
    #status = make('span', { className: 'status', role: 'status' });
    #problem = make('p', { className: 'problem', hidden: true });
    #pages = make('div', { className: 'row pages', hidden: true });
    #place = make('span');
    #rows = make('tbody');
    #table = make('details', {}, make('summary', {}, 'Tokens as a table'));
    #specials = make('details', { hidden: true }, make('summary', {}, 'Special tokens'));
    #tools = make('div', { className: 'tools' });
    element = make('section', { className: 'card panel' });

    /**
     * @param {Entry} entry @param {WorkerClient} worker
     * @param {{ changed: (panel: Panel) => void, pointed: (panel: Panel, index: number) => void, leave: (panel: Panel) => void }} hooks changed: a new answer, or it has been opened; pointed: at a token of the window
     */
    constructor(entry, worker, hooks) {
        this.entry = entry;
        this.#worker = worker;
        this.#hooks = hooks;
        const title = make('h2', { id: `panel-${entry.key}` }, entry.name);
        const button = (/** @type {string} */ label, /** @type {() => void} */ act) => {
            const made = make('button', { type: 'button', className: 'quiet' }, label);
            made.addEventListener('click', act);
            return made;
        };
        this.#strip.setAttribute('label', `Tokens of ${entry.name}`);
        this.#strip.setAttribute('limit', String(PAGE));
        this.#strip.addEventListener('mt-token', (e) => hooks.pointed(this, /** @type {CustomEvent} */ (e).detail.index));
        this.#pages.append(button('Earlier', () => this.#page(-1)), button('Later', () => this.#page(1)), this.#place);
        this.#tools.append(button('Copy ids', () => void this.#copy()), button('Close', () => hooks.leave(this)), this.#status);
        const head = make('tr', {}, ...['place', 'token', 'id', 'bytes', 'in bytes', 'in UTF-16', 'kind'].map((name) => make('th', { scope: 'col' }, name)));
        this.#table.append(make('div', { className: 'scroll', role: 'region', tabIndex: 0, ariaLabel: `Tokens of ${entry.name} as a table` }, make('table', { className: 'figures' }, make('thead', {}, head), this.#rows)));
        this.#table.addEventListener('toggle', () => this.#fillTable());
        this.element.append(make('header', {}, title, this.#about, this.#count), this.#ratios, this.#problem, this.#strip, this.#pages, this.#tools, this.#table, this.#specials);
        this.element.setAttribute('aria-labelledby', title.id);
        this.element.dataset.key = entry.key;
        this.element.dataset.state = 'opening';
        this.#about.textContent = 'opening …';
    }

    /** More to do with this one, before its own buttons. @param {...Node} nodes */
    addTools(...nodes) {
        this.#tools.prepend(...nodes);
    }

    /** @returns {Promise<boolean>} false: it could not be opened; the panel says why */
    async open() {
        try {
            const { key, source, file } = this.entry;
            /** @type {Info} */ const info = (this.info = await this.#worker.call('load', { key, source, name: file }, { signal: this.#controller.signal }));
            this.#about.textContent = `${info.model} · ${info.vocabSize.toLocaleString('en')} ids · ${this.entry.about}`;
            const treated = info.specialIsText ? 'Text that spells one of these is ordinary text, by this definition.' : 'Text that spells one of these becomes that token, by this definition.';
            const ends = [info.bos === null ? '' : `Text begins with id ${info.bos}.`, info.eos === null ? '' : `It ends with id ${info.eos}.`].filter(Boolean).join(' ');
            this.#specials.hidden = !info.specialCount && !ends && !info.warnings.length;
            this.#specials.append(
                make('p', {}, info.specialCount ? treated : 'None that a text could spell.', ' ', ends),
                make('ul', { className: 'specials' }, ...info.special.map(({ piece, id }) => make('li', {}, make('bdi', {}, piece), id === null ? '' : ` ${id}`))),
                ...(info.specialCount > info.special.length ? [make('p', {}, `and ${(info.specialCount - info.special.length).toLocaleString('en')} more`)] : []),
                ...info.warnings.map((warning) => make('p', {}, warning)));
            /** @type {HTMLElement} */ (this.#specials.firstElementChild).textContent = `Special tokens: ${info.specialCount.toLocaleString('en')}`;
            this.element.dataset.state = 'open';
            this.#hooks.changed(this);
            return true;
        } catch (error) {
            if (this.#controller.signal.aborted) return false;
            this.element.dataset.state = 'failed';
            this.#about.textContent = '';
            const said = words(error), why = said.startsWith(`${this.entry.file}: `) ? said.slice(said.indexOf(': ') + 2) : said; // it has been named
            this.#fail(`${this.entry.name} could not be opened. ${why[0].toUpperCase()}${why.slice(1)}`);
            return false;
        }
    }

    close() {
        this.#controller.abort();
        void this.#worker.call('unload', { key: this.entry.key }).catch(() => {}); // the worker has died: nothing to free
        this.element.remove();
    }

    /** Why it could not be opened or gave no answer; '': it did. @returns {string} */
    get failure() {
        return this.#problem.textContent ?? '';
    }

    /** @param {string} [message] */
    #fail(message = '') {
        this.#problem.hidden = !message;
        this.#problem.textContent = message;
    }

    #ask = latest(
        async (/** @type {Question & { start: number }} */ { text, how, start }) => this.#worker.call('encode', { key: this.entry.key, text, how, start, most: PAGE }),
        (/** @type {Encoded} */ answer, { text }) => {
            this.#waiting = false;
            this.#fail();
            this.#show(answer, text);
        },
        (error) => {
            this.#waiting = false;
            this.shown = null;
            this.#strip.tokens = [];
            this.#count.textContent = this.#ratios.textContent = '';
            this.#fail(words(error));
            this.#hooks.changed(this);
        },
        this.element,
    );

    /** @param {Question} question */
    ask(question) {
        if (question.text !== this.#question.text) this.#start = 0;
        this.#question = question;
        if (!this.info) return;
        this.#waiting = true;
        this.#ask({ ...question, start: this.#start });
    }

    /** Is it being opened, or does it wait for an answer? */
    get busy() {
        return this.element.dataset.state === 'opening' || this.#waiting;
    }

    /** @param {number} by */
    #page(by) {
        const { count = 0 } = this.shown ?? {};
        this.#start = Math.max(0, Math.min(Math.floor((count - 1) / PAGE) * PAGE, this.#start + by * PAGE));
        this.ask(this.#question);
    }

    /** @param {Encoded} answer @param {string} text */
    #show(answer, text) {
        this.shown = answer;
        const { count, characters, bytes, start, tokens, unknown } = answer;
        this.#strip.tokens = tokens;
        this.#count.textContent = `${count.toLocaleString('en')} ${count === 1 ? 'token' : 'tokens'}`;
        this.#ratios.textContent = count
            ? `${short(characters / count)} characters and ${short(bytes / count)} bytes a token · ${short(count / Math.max(1, characters))} tokens a character${unknown ? ` · ${unknown.toLocaleString('en')} unknown` : ''}`
            : 'No text, no tokens.';
        this.#pages.hidden = count <= PAGE;
        this.#place.textContent = `Tokens ${(start + 1).toLocaleString('en')} to ${(start + tokens.length).toLocaleString('en')} of ${count.toLocaleString('en')}`;
        this.element.dataset.for = String(text.length);
        this.#fillTable();
        this.#hooks.changed(this);
    }

    #fillTable() {
        if (!this.#table.open) return void this.#rows.replaceChildren();
        const { tokens = [], start = 0, byteSpans = [], unitSpans = [] } = this.shown ?? {};
        this.#rows.replaceChildren(...tokens.map((token, i) => make('tr', {},
            make('td', {}, (start + i + 1).toLocaleString('en')),
            make('td', { className: 'mono' }, make('bdi', {}, JSON.stringify(nameOf(token)).slice(1, -1))),
            make('td', {}, String(token.id)), make('td', { className: 'mono' }, hexBytes(token.bytes)),
            make('td', {}, `${byteSpans[2 * i]}–${byteSpans[2 * i + 1]}`), make('td', {}, `${unitSpans[2 * i]}–${unitSpans[2 * i + 1]}`), make('td', {}, KINDS[token.kind] ?? token.kind))));
    }

    async #copy() {
        try {
            const ids = await this.#worker.call('ids', { key: this.entry.key, ...this.#question });
            await navigator.clipboard.writeText(JSON.stringify([...ids]));
            this.#status.textContent = `${ids.length.toLocaleString('en')} ids are in the clipboard.`;
        } catch (error) {
            this.#status.textContent = `The ids could not be copied: ${words(error)}`;
        }
    }

    /** Where a token of the window is, in bytes. @param {number} index @returns {[number, number] | null} */
    span(index) {
        const { byteSpans, tokens } = this.shown ?? {};
        return byteSpans && tokens && index >= 0 && index < tokens.length && byteSpans[2 * index + 1] > byteSpans[2 * index] ? [byteSpans[2 * index], byteSpans[2 * index + 1]] : null;
    }

    /** Marks the tokens that share bytes with a span. @param {[number, number] | null} span */
    mark(span) {
        const { byteSpans, tokens } = this.shown ?? {};
        if (!span || !byteSpans || !tokens) return void (this.#strip.marked = null);
        const touches = (/** @type {number} */ i) => byteSpans[2 * i] < span[1] && byteSpans[2 * i + 1] > span[0];
        let from = 0;
        while (from < tokens.length && !touches(from)) from++;
        let to = from;
        while (to < tokens.length && (touches(to) || byteSpans[2 * to] === byteSpans[2 * to + 1])) to++;
        while (to > from && !touches(to - 1)) to--;
        this.#strip.marked = from < to ? [from, to] : null;
    }
}
