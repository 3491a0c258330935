/**
 * A Markov source as the page's controls write it, the texts that are asked about, and the picture of its chain.
 */

/**
 * @typedef {object} Setting
 * @property {string} letters
 * @property {number} order
 * @property {number[][]} next a row for each context
 * @property {'longest' | 'bpe'} cut
 * @property {string[]} tokens of the longest match
 * @property {number} merges of byte-pair encoding
 * @property {number} length of the texts that are tabulated
 * @property {number} ask letters of the texts that are asked about
 */

/** @type {{ label: string, told: string, values: Record<string, string> }[]} values: of the controls, by name; what is not there goes back to its default */
export const PRESETS = [
    { label: 'the paper’s source', told: 'After A comes A in six cases of ten. The dictionary has AA.', values: {} },
    { label: 'letters alone', told: 'A dictionary of nothing but letters: no token can be longer, and no bias is left.', values: { tokens: 'A B' } },
    { label: 'rarely twice', told: 'Letters that nearly always change, cut by byte-pair encoding.', values: { next: '.1 .9; .9 .1', cut: 'bpe', merges: '6' } },
    { label: 'order two', told: 'What comes next depends on two letters.', values: { order: '2', next: '.8 .2; .3 .7; .5 .5; .1 .9', tokens: 'A B AA BB ABA', ask: '3' } },
    { label: 'three letters', told: 'A chain of three states that likes to go round.', values: { letters: 'ABC', next: '.1 .8 .1; .1 .1 .8; .8 .1 .1', tokens: 'A B C AB BC CA', length: '10' } },
    { label: 'break it: a letter is missing', told: 'A dictionary that cannot spell B.', values: { tokens: 'A AA' } },
    { label: 'break it: rows that are no distribution', told: 'Probabilities that add up to more than one.', values: { next: '.6 .5; .3 .7' } },
    { label: 'break it: two sources in one', told: 'No letter ever leads to the other.', values: { next: '1 0; 0 1' } },
    { label: 'break it: too long', told: 'More texts than anyone tabulates.', values: { length: '40' } },
];

/** Rows of numbers from a text: rows by semicolons, numbers by spaces or commas. @param {string} text @returns {number[][]} NaN where there is none */
export const rowsOf = (text) => text.split(';').map((row) => row.trim().split(/[\s,]+/).filter(Boolean).map((x) => (Number.isFinite(Number(x)) ? Number(x) : NaN)));

/** @param {number[][]} rows */
export const writeRows = (rows) => rows.map((row) => row.map((p) => String(Number(p.toFixed(4)))).join(' ')).join('; ');

/** Every text of n letters, in order. @param {string} letters @param {number} n @returns {string[]} */
export const textsOf = (letters, n) => (n === 0 ? [''] : textsOf(letters, n - 1).flatMap((text) => [...letters].map((letter) => text + letter)));

export const MOST_CONTEXTS = 27; // that are edited on the page
const MOST_TEXTS = 64; // rows of the table of predictions

/**
 * What the controls say.
 * @param {Record<string, string>} controls by name @returns {Setting} @throws {Error} what the package could not say as clearly
 */
export function settingOf({ letters, order, next, cut, tokens, merges, length, ask }) {
    const whole = (/** @type {string} */ text, /** @type {string} */ name, /** @type {number} */ low, /** @type {number} */ high) => {
        const value = text.trim() === '' ? NaN : Number(text);
        if (!Number.isInteger(value) || value < low || value > high) throw new Error(`${name}: “${text}” is not a whole number from ${low} to ${high}`);
        return value;
    };
    const setting = {
        letters, order: whole(order, 'Order', 0, 10), next: rowsOf(next), cut: /** @type {'longest' | 'bpe'} */ (cut), tokens: tokens.split(/[\s,]+/).filter(Boolean),
        merges: whole(merges, 'Merges', 0, 256), length: whole(length, 'Length', 1, 62), ask: whole(ask, 'Asked about', 0, 10),
    };
    if (setting.letters.length ** setting.ask > MOST_TEXTS) throw new Error(`Asked about: ${setting.letters.length ** setting.ask} texts of ${setting.ask} letters are more than the table shows (${MOST_TEXTS}): ask about shorter ones`);
    return setting;
}

/** Rows for another alphabet or order: those that were there where they fit, evenly spread elsewhere. @param {number[][]} rows @param {string} letters @param {number} order */
export function fitRows(rows, letters, order) {
    const contexts = letters.length ** order;
    return Array.from({ length: contexts }, (_, i) => (rows[i]?.length === letters.length ? rows[i] : Array.from({ length: letters.length }, () => 1 / letters.length)));
}

// ---- the picture -------------------------------------------------------------------------------------------------

const INK = { ink: ['#1c2430', '#e8eaee'], muted: ['#5a6472', '#a2abb8'], surface: ['#ffffff', '#191d23'], exact: ['#2268b2', '#6cb0f7'] };

/** What the classes of the picture look like; for the page and for the file. */
export const CHAIN_CSS = (() => {
    const rules = (/** @type {0 | 1} */ side) => `.mc text{fill:var(--mt-ink,${INK.ink[side]})}.mc .mc-m{fill:var(--mt-muted,${INK.muted[side]})}.mc .mc-n{fill:var(--mt-surface,${INK.surface[side]});stroke:var(--mt-ink,${INK.ink[side]})}`
        + `.mc .mc-e{fill:none;stroke:var(--mt-exact,${INK.exact[side]})}.mc .mc-a{fill:var(--mt-exact,${INK.exact[side]})}.mc .mc-h{fill:none;stroke:var(--mt-surface,${INK.surface[side]});stroke-width:4}`;
    return `.mc text{font:13px system-ui,sans-serif;font-variant-numeric:tabular-nums}.mc .mc-c{font:600 15px ui-monospace,Menlo,'DejaVu Sans Mono',monospace}${rules(0)}@media(prefers-color-scheme:dark){${rules(1)}}`;
})();

/** @param {string} text */
const escaped = (text) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c);
const px = (/** @type {number} */ x) => String(Math.round(x * 10) / 10);

export const MOST_STATES = 9; // that are drawn

/**
 * The chain: a circle of contexts; an arrow for each letter that may follow, as thick as it is probable.
 * @param {{ letters: string, order: number, next: number[][] }} source @param {{ style?: boolean }} [options] style: as a file of its own
 * @returns {string} SVG; '' where there are too many contexts to draw
 */
export function chainPicture({ letters, order, next }, { style = true } = {}) {
    const contexts = textsOf(letters, Math.max(1, order)), n = contexts.length;
    if (n > MOST_STATES) return '';
    const radius = n <= 2 ? 105 : 130, node = order > 2 ? 26 : 22, W = 460, H = n <= 2 ? 250 : 420, cx = W / 2, cy = H / 2;
    const angle = (/** @type {number} */ i) => (n <= 2 ? Math.PI + i * Math.PI : -Math.PI / 2 + (i * 2 * Math.PI) / n);
    const at = contexts.map((_, i) => [cx + radius * Math.cos(angle(i)), cy + radius * Math.sin(angle(i))]);
    const edges = /** @type {string[]} */ ([]), labels = /** @type {string[]} */ ([]);
    const arrow = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ toward, /** @type {number} */ size) => {
        const corner = (/** @type {number} */ a, /** @type {number} */ r) => `${px(x + r * Math.cos(toward + a))} ${px(y + r * Math.sin(toward + a))}`;
        return `<path class="mc-a" d="M${corner(0, 0)}L${corner(Math.PI - 0.42, size)}L${corner(Math.PI + 0.42, size)}z"/>`;
    };
    const label = (/** @type {number} */ x, /** @type {number} */ y, /** @type {string} */ text) => labels.push(`<text class="mc-h" x="${px(x)}" y="${px(y + 4)}" text-anchor="middle" aria-hidden="true">${text}</text><text x="${px(x)}" y="${px(y + 4)}" text-anchor="middle">${text}</text>`);
    const told = [];
    for (const [i, context] of contexts.entries()) {
        const row = order ? next[i] : next[0];
        for (const [a, letter] of [...letters].entries()) {
            const p = row?.[a] ?? 0;
            if (!(p > 0)) continue;
            const j = contexts.indexOf((context + letter).slice(-Math.max(1, order))), width = 1 + 5 * Math.min(1, p), size = 8 + width;
            told.push(`${context} to ${contexts[j]}: ${Number(p.toFixed(3))}`);
            if (i === j) { // a loop outwards
                const out = angle(i), [x, y] = at[i], spread = 0.5, far = node + 46;
                const from = [x + node * Math.cos(out - spread), y + node * Math.sin(out - spread)], to = [x + (node + size * 0.8) * Math.cos(out + spread), y + (node + size * 0.8) * Math.sin(out + spread)];
                edges.push(`<path class="mc-e" stroke-width="${px(width)}" d="M${px(from[0])} ${px(from[1])}C${px(x + far * 1.25 * Math.cos(out - 0.7))} ${px(y + far * 1.25 * Math.sin(out - 0.7))} ${px(x + far * 1.25 * Math.cos(out + 0.7))} ${px(y + far * 1.25 * Math.sin(out + 0.7))} ${px(to[0])} ${px(to[1])}"/>`);
                edges.push(arrow(x + node * Math.cos(out + spread), y + node * Math.sin(out + spread), out + spread + Math.PI - 0.15, size));
                label(x + (far + 8) * Math.cos(out), y + (far + 4) * Math.sin(out), String(Number(p.toFixed(3))));
                continue;
            }
            const [x1, y1] = at[i], [x2, y2] = at[j], dx = x2 - x1, dy = y2 - y1, length = Math.hypot(dx, dy), bend = n <= 2 ? 52 : 24;
            const mx = (x1 + x2) / 2 + (dy / length) * bend, my = (y1 + y2) / 2 - (dx / length) * bend;
            const start = Math.atan2(my - y1, mx - x1), stop = Math.atan2(my - y2, mx - x2);
            const sx = x1 + node * Math.cos(start), sy = y1 + node * Math.sin(start), tx = x2 + node * Math.cos(stop), ty = y2 + node * Math.sin(stop);
            const bx = tx + size * 0.8 * Math.cos(stop), by = ty + size * 0.8 * Math.sin(stop);
            edges.push(`<path class="mc-e" stroke-width="${px(width)}" d="M${px(sx)} ${px(sy)}Q${px(mx)} ${px(my)} ${px(bx)} ${px(by)}"/>`, arrow(tx, ty, stop + Math.PI, size));
            const t = n <= 3 ? 0.5 : 0.34, u = 1 - t, off = 13;
            label(u * u * sx + 2 * u * t * mx + t * t * tx + (dy / length) * off, u * u * sy + 2 * u * t * my + t * t * ty - (dx / length) * off, String(Number(p.toFixed(3))));
        }
    }
    const nodes = contexts.map((context, i) => `<circle class="mc-n" cx="${px(at[i][0])}" cy="${px(at[i][1])}" r="${node}" stroke-width="1.5"/><text class="mc-c" x="${px(at[i][0])}" y="${px(at[i][1] + 5)}" text-anchor="middle">${escaped(context)}</text>`);
    return `<svg xmlns="http://www.w3.org/2000/svg" class="mc" viewBox="0 0 ${W} ${H}" width="${W}" height="${H}" role="img"><title>The chain</title><desc>${escaped(`${n} states. ${told.join(', ')}.`)}</desc>`
        + `${style ? `<style>${CHAIN_CSS}</style>` : ''}${edges.join('')}${nodes.join('')}${labels.join('')}</svg>\n`;
}
