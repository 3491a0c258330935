/**
 * <mt-token-strip>: the tokens of a text as coloured pieces.
 *
 * White space is visible. A character whose bytes fall into several tokens is not guessed at: its bytes stand as
 * hexadecimal chips, and a bracket under them names the character that they make together.
 *
 *   const strip = document.querySelector('mt-token-strip');
 *   const { ids } = model.tokenizer.encode('Once upon a ti');
 *   strip.tokens = Array.from(ids, (id) => model.tokenizer.token(id));
 *
 * Keyboard: one tab stop; left and right, Home and End walk over the tokens. Pointing at a token or focusing it shows
 * its id and bytes below and fires `mt-token` with `detail.index` (-1 when nothing is pointed at).
 *
 * `strip.marked = [from, to]` marks the tokens from..to-1 (indices in `tokens`); null: none. So several strips can show one place.
 *
 * Attributes
 *   label      what the list is called (default "Tokens")
 *   open-end   draws an empty place after the last token: what comes next
 *   limit      at most this many tokens are drawn, the last ones (default 1500)
 *
 * Custom properties: --mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-focus, --mt-mono (font), --mt-token-1 .. -4
 * (fills), --mt-token-1-line .. -4-line (their underlines).
 */
import { h, hexByte, hexBytes, sheet } from './format.js';

/**
 * @typedef {object} StripToken
 * @property {number} id
 * @property {Uint8Array} bytes what the token stands for
 * @property {string} [kind] "special": a control token, which is not part of the text
 * @property {string} [piece] how the tokenizer's definition writes it; shown for special tokens
 */

/**
 * A stretch of a token: whole characters, or bytes that are no whole character in this token.
 * @typedef {{ text: string } | { bytes: number[], of: string | null }} Part
 */

const STYLE = sheet(`
:host {
    --_ink: var(--mt-ink, light-dark(#1c2430, #e8eaee));
    --_muted: var(--mt-muted, light-dark(#5a6472, #a2abb8));
    --_line: var(--mt-line, light-dark(#c9ced6, #444c58));
    --_surface: var(--mt-surface, light-dark(#ffffff, #191d23));
    --_focus: var(--mt-focus, light-dark(#1d5fa8, #79b4f5));
    --_c1: var(--mt-token-1, light-dark(#dfeaf7, #21364d)); --_l1: var(--mt-token-1-line, light-dark(#3f7cbf, #6aa5e0));
    --_c2: var(--mt-token-2, light-dark(#fbeed2, #43361b)); --_l2: var(--mt-token-2-line, light-dark(#a97a14, #d3a43f));
    --_c3: var(--mt-token-3, light-dark(#daf0ea, #1b3d37)); --_l3: var(--mt-token-3-line, light-dark(#2b8a75, #4fb8a0));
    --_c4: var(--mt-token-4, light-dark(#f2e3ef, #40293c)); --_l4: var(--mt-token-4-line, light-dark(#a1568f, #cf8abf));
    display: block;
    color: var(--_ink);
}
:host([hidden]) { display: none; }
[role=list] {
    font: 1rem/1.3 var(--mt-mono, ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, 'DejaVu Sans Mono', monospace);
    max-height: 15rem;
    overflow: auto;
    padding: 4px 3px;
    margin: -4px -3px 0;
}
[role=listitem] {
    display: inline-flex;
    align-items: center;
    min-height: 1.9rem;
    min-width: 1.5rem;
    justify-content: center;
    box-sizing: border-box;
    margin: 0 3px 6px 0;
    padding: 0 .28em;
    white-space: pre;
    border-radius: 4px 4px 2px 2px;
    background: var(--_c1);
    border-bottom: 2.5px solid var(--_l1);
    vertical-align: top;
    cursor: default;
}
.c1 { background: var(--_c2); border-color: var(--_l2); }
.c2 { background: var(--_c3); border-color: var(--_l3); }
.c3 { background: var(--_c4); border-color: var(--_l4); }
[role=listitem].special { background: none; border: 1px dashed var(--_muted); color: var(--_muted); font-size: .8125rem; }
[role=listitem].marked { outline: 2.5px solid var(--_ink); outline-offset: 0; }
[role=listitem]:hover { outline: 1.5px solid var(--_muted); outline-offset: 1px; }
[role=listitem]:focus-visible { outline: 2.5px solid var(--_focus); outline-offset: 1.5px; }
.ws { color: var(--_muted); }
.hex {
    font-size: .75em;
    letter-spacing: .02em;
    padding: .1em .28em;
    margin: 0 1px;
    border: 1px solid currentColor;
    border-radius: 3px;
    background: var(--_surface);
}
.joint { display: inline-block; white-space: nowrap; vertical-align: top; margin: 0 3px 6px 0; }
.joint [role=listitem] { margin-bottom: 0; }
.joint [role=listitem]:last-of-type { margin-right: 0; }
.glyph {
    display: block;
    margin-top: 3px;
    border: 1.5px solid var(--_muted);
    border-top: 0;
    border-radius: 0 0 5px 5px;
    text-align: center;
    line-height: 1.45;
    padding-bottom: 1px;
}
.next {
    display: inline-flex; align-items: center; justify-content: center;
    min-height: 1.9rem; min-width: 1.9rem; box-sizing: border-box; margin-bottom: 6px; vertical-align: top;
    border: 1.5px dashed var(--_muted); border-radius: 4px; color: var(--_muted);
}
.cut { color: var(--_muted); font-family: system-ui, sans-serif; font-size: .875rem; margin-right: 6px; line-height: 1.9rem; }
.detail { margin: .35rem 0 0; min-height: 1.4em; color: var(--_muted); font-size: .875rem; line-height: 1.4; overflow-wrap: anywhere; }
.detail code { font: .8125rem/1.4 var(--mt-mono, ui-monospace, 'SF Mono', 'Cascadia Mono', Menlo, 'DejaVu Sans Mono', monospace); color: var(--_ink); white-space: pre-wrap; }
@media (forced-colors: active) {
    [role=listitem] { border: 1px solid CanvasText; border-bottom-width: 3px; }
    .hex { border-color: CanvasText; }
}
`);

/**
 * Length of the well-formed UTF-8 character at bytes[at], or 0.
 * @param {ArrayLike<number>} bytes
 * @param {number} at
 */
function characterLength(bytes, at) {
    const b = bytes[at];
    if (b < 0x80) return 1;
    const n = b >= 0xc2 && b < 0xe0 ? 2 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xf0 && b < 0xf5 ? 4 : 0;
    if (!n || at + n > bytes.length) return 0;
    for (let i = 1; i < n; i++) if ((bytes[at + i] & 0xc0) !== 0x80) return 0;
    const second = bytes[at + 1]; // overlong forms, surrogates and what lies beyond U+10FFFF
    if ((b === 0xe0 && second < 0xa0) || (b === 0xed && second > 0x9f)) return 0;
    if ((b === 0xf0 && second < 0x90) || (b === 0xf4 && second > 0x8f)) return 0;
    return n;
}

/**
 * Cuts each token into whole characters and loose bytes. `joint[i]`: the character that token i shares with token i + 1.
 * @param {StripToken[]} tokens in their order
 * @returns {{ parts: Part[][], joint: (string | null)[] }} parts: of each token
 */
export function layoutTokens(tokens) {
    /** @type {number[]} */ const all = [];
    /** @type {number[]} */ const owner = [];
    tokens.forEach((t, i) => {
        if (t.kind === 'special') return;
        for (const b of t.bytes) {
            all.push(b);
            owner.push(i);
        }
    });
    /** @type {Part[][]} */ const parts = tokens.map(() => []);
    /** @type {(string | null)[]} */ const joint = tokens.map(() => null);
    const decoder = new TextDecoder();
    const bytes = Uint8Array.from(all);
    /** @type {(i: number, byte: number, of: string | null) => void} */
    const loose = (i, byte, of) => {
        const last = parts[i].at(-1);
        if (last && 'bytes' in last && last.of === of) last.bytes.push(byte);
        else parts[i].push({ bytes: [byte], of });
    };
    for (let at = 0; at < bytes.length; ) {
        const n = characterLength(bytes, at);
        const i = owner[at];
        if (n && owner[at + n - 1] === i) {
            const last = parts[i].at(-1);
            const text = decoder.decode(bytes.subarray(at, at + n));
            if (last && 'text' in last) last.text += text;
            else parts[i].push({ text });
        } else {
            const of = n ? decoder.decode(bytes.subarray(at, at + n)) : null;
            for (let k = at; k < at + Math.max(1, n); k++) {
                loose(owner[k], bytes[k], of);
                if (of && k > at && owner[k] !== owner[k - 1])
                    for (let j = owner[k - 1]; j < owner[k]; j++) joint[j] = of;
            }
        }
        at += Math.max(1, n);
    }
    return { parts, joint };
}

/** @type {Record<string, string>} */
const SIGNS = { ' ': '·', '\t': '⇥', '\n': '⏎', '\r': '␍', '\u00a0': '⍽' };

/**
 * @param {string} text
 * @returns {(Node | string)[]}
 */
function visibleText(text) {
    const out = [];
    for (const run of text.match(/[ \t\n\r\u00a0]+|[^ \t\n\r\u00a0]+/g) ?? []) {
        const sign = [...run].map((c) => SIGNS[c] ?? '').join('');
        if (sign) out.push(h('span', { class: 'ws' }, sign));
        else out.push(/^\p{M}/u.test(run) ? `◌${run}` : run); // a combining mark needs something to sit on
    }
    return out;
}

/** The text's own direction: that of its first letter that has one. @param {Part[][]} parts */
function direction(parts) {
    for (const part of parts.flat()) {
        const text = 'text' in part ? part.text : part.of ?? '';
        const strong = /\p{L}/u.exec(text)?.[0];
        if (strong) return /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u.test(strong) ? 'rtl' : 'ltr';
    }
    return 'ltr';
}

/** @param {StripToken} token @param {Part[]} parts */
function spoken(token, parts) {
    if (token.kind === 'special') return token.piece || 'special token';
    const text = parts
        .map((p) => ('text' in p ? p.text : `bytes ${hexBytes(p.bytes)}${p.of ? ` of ${p.of}` : ''}`))
        .join(' ');
    return text.replace(/\n/g, ' newline ').replace(/\t/g, ' tab ').replace(/^ +/, (s) => (s.length > 1 ? `${s.length} spaces ` : 'space ')).trim();
}

export class TokenStrip extends HTMLElement {
    static observedAttributes = ['label', 'open-end', 'limit'];
    /** @type {StripToken[]} */ #tokens = [];
    /** @type {HTMLElement[]} */ #items = [];
    /** @type {Part[][]} */ #parts = [];
    #first = 0; // index of the first token that is drawn
    #active = 0; // which item holds the tab stop
    #shown = -2;
    #drawn = false; // as it is now
    #frame = 0; // the one that will scroll
    #list = h('div', { role: 'list' });
    #detail = h('p', { class: 'detail' });

    constructor() {
        super();
        const root = this.attachShadow({ mode: 'open' });
        root.adoptedStyleSheets = [STYLE];
        root.append(this.#list, this.#detail);
        this.#list.addEventListener('keydown', (e) => this.#key(e));
        this.#list.addEventListener('focusin', (e) => {
            const i = this.#items.indexOf(/** @type {HTMLElement} */ (e.target));
            if (i >= 0) {
                this.#moveTo(i, false);
                this.#show(i);
            }
        });
        this.#list.addEventListener('focusout', () => this.#show(-1));
        this.#list.addEventListener('pointerover', (e) => {
            const item = /** @type {Element} */ (e.target).closest('[role=listitem]');
            this.#show(item ? this.#items.indexOf(/** @type {HTMLElement} */ (item)) : -1);
        });
        this.#list.addEventListener('pointerleave', () => {
            this.#show(this.#items.indexOf(/** @type {HTMLElement} */ (this.shadowRoot?.activeElement)));
        });
    }

    connectedCallback() {
        if (!this.#drawn) this.#render();
    }

    attributeChangedCallback() {
        this.#drawn = false;
        if (this.isConnected) this.#render();
    }

    /** The tokens that are drawn. */
    get tokens() {
        return this.#tokens;
    }

    set tokens(tokens) {
        this.#tokens = tokens;
        this.#render();
    }

    /** @param {readonly [from: number, to: number] | null} range indices in `tokens` */
    set marked(range) {
        for (const item of this.#items.filter((i) => i.classList.contains('marked'))) item.classList.remove('marked');
        if (range) for (const item of this.#items.slice(Math.max(0, range[0] - this.#first), Math.max(0, range[1] - this.#first))) item.classList.add('marked');
    }

    #render() {
        const limit = Math.max(1, Number(this.getAttribute('limit')) || 1500);
        const total = this.#tokens.length;
        this.#first = Math.max(0, total - limit);
        const hadFocus = !!this.shadowRoot?.activeElement;
        const drawn = this.#tokens.slice(this.#first);
        const { parts, joint } = layoutTokens(drawn);
        this.#parts = parts;
        this.#items = drawn.map((token, i) => {
            const item = h('span', {
                role: 'listitem',
                tabindex: '-1',
                class: token.kind === 'special' ? 'special' : `c${(this.#first + i) % 4}`,
                'aria-setsize': String(total),
                'aria-posinset': String(this.#first + i + 1),
                'aria-label': `${spoken(token, parts[i])}, id ${token.id}`,
            });
            if (token.kind === 'special' || !token.bytes.length) item.append(token.piece || `#${token.id}`);
            for (const part of parts[i]) {
                if ('text' in part) item.append(h('bdi', {}, ...visibleText(part.text)));
                else for (const b of part.bytes) item.append(h('span', { class: 'hex' }, hexByte(b)));
            }
            return item;
        });
        /** @type {Node[]} */ const children = [];
        if (this.#first) children.push(h('span', { class: 'cut' }, `${this.#first.toLocaleString('en')} earlier tokens …`));
        for (let i = 0; i < this.#items.length; i++) {
            let last = i;
            while (joint[last]) last++;
            if (last === i) children.push(this.#items[i]);
            else {
                const glyphs = [...new Set(joint.slice(i, last))].join(' ');
                children.push(
                    h('span', { class: 'joint' }, ...this.#items.slice(i, last + 1), h('bdi', { class: 'glyph', 'aria-hidden': 'true' }, glyphs)),
                );
                i = last;
            }
            const end = parts[i].at(-1);
            if (end && 'text' in end && end.text.endsWith('\n')) children.push(document.createElement('br'));
        }
        if (this.hasAttribute('open-end')) children.push(h('span', { class: 'next', 'aria-hidden': 'true' }, '?'));
        this.#list.setAttribute('aria-label', this.getAttribute('label') ?? 'Tokens');
        this.#list.dir = direction(parts);
        this.#list.replaceChildren(...children);
        this.#active = Math.max(0, Math.min(this.#active, this.#items.length - 1));
        this.#items[this.#active]?.setAttribute('tabindex', '0');
        if (hadFocus) this.#items[this.#active]?.focus();
        // To the newest token when the page is laid out anyway: a height asked for now would force that.
        if (this.#items.length) this.#frame ||= requestAnimationFrame(() => {
            this.#frame = 0;
            this.#list.scrollTop = this.#list.scrollHeight;
        });
        this.#drawn = true;
        this.#shown = -2;
        this.#show(hadFocus ? this.#active : -1);
    }

    /** @param {number} i @param {boolean} focus */
    #moveTo(i, focus) {
        this.#items[this.#active]?.setAttribute('tabindex', '-1');
        this.#active = i;
        this.#items[i]?.setAttribute('tabindex', '0');
        if (focus) this.#items[i]?.focus();
    }

    /** @param {KeyboardEvent} e */
    #key(e) {
        if (e.altKey || e.ctrlKey || e.metaKey) return;
        const last = this.#items.length - 1;
        const rtl = this.#list.dir === 'rtl';
        const to =
            e.key === 'Home' ? 0
            : e.key === 'End' ? last
            : e.key === (rtl ? 'ArrowRight' : 'ArrowLeft') ? Math.max(0, this.#active - 1)
            : e.key === (rtl ? 'ArrowLeft' : 'ArrowRight') ? Math.min(last, this.#active + 1)
            : -1;
        if (to < 0) return;
        e.preventDefault();
        this.#moveTo(to, true);
    }

    /** @param {number} i index among the drawn items, -1 for none */
    #show(i) {
        if (i === this.#shown) return;
        this.#shown = i;
        const token = this.#tokens[this.#first + i];
        if (i < 0 || !token) {
            const bytes = this.#tokens.reduce((n, t) => n + (t.kind === 'special' ? 0 : t.bytes.length), 0);
            const count = this.#tokens.filter((t) => t.kind !== 'special').length;
            this.#detail.textContent = this.#tokens.length
                ? `${count.toLocaleString('en')} ${count === 1 ? 'token' : 'tokens'} for ${bytes.toLocaleString('en')} ${bytes === 1 ? 'byte' : 'bytes'}`
                : '';
        } else {
            const split = this.#parts[i].find((p) => 'bytes' in p && p.of);
            this.#detail.replaceChildren(
                `Token ${this.#first + i + 1} of ${this.#tokens.length}, id `,
                h('code', {}, String(token.id)),
                ...(token.kind === 'special' ? [', a control token: not part of the text'] : [', bytes ', h('code', {}, hexBytes(token.bytes))]),
                ...(split && 'of' in split ? [`, part of “${split.of}”`] : []),
            );
        }
        this.dispatchEvent(new CustomEvent('mt-token', { detail: { index: i < 0 ? -1 : this.#first + i } }));
    }
}

if (!customElements.get('mt-token-strip')) customElements.define('mt-token-strip', TokenStrip);
