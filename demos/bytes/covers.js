/**
 * All cover encodings of a text: the token sequences that may begin the encoding of a longer text. Their probabilities
 * come from the package; here they are put into groups, rows and a picture.
 */
import { byteLabel, formatProbability, hexBytes } from '../../web/elements/format.js';

/**
 * @typedef {object} Cover
 * @property {number[]} ids
 * @property {Uint8Array[]} tokens their bytes
 * @property {number} start where the last token begins, in bytes of the text
 * @property {number} logProb natural logarithm, of these tokens after the beginning of text
 * @property {number} share of the text's probability
 */
/** @typedef {{ bytes: Uint8Array, covers: Cover[], logProb: number }} Covers the likeliest first; logProb: of the text, the sum of theirs */
/** @typedef {{ settled: Uint8Array[], start: number, share: number, shown: Cover[], left: number, leftShare: number }} Group covers that differ in their last token alone */

const CLEAR = 0.9999; // together, of the covers that are drawn one by one
const MOST = 20_000; // covers that are listed: more would keep the page busy

/**
 * @param {any} model @param {string} text @param {AbortSignal} [signal]
 * @returns {Promise<Covers>}
 */
export async function coversOf(model, text, signal) {
    const { coverEncodings, scoreTokenizations } = await import('../../web/index.js');
    const bytes = new TextEncoder().encode(text);
    const { tokenizer } = model;
    const lists = coverEncodings(tokenizer, bytes, { limit: MOST });
    signal?.throwIfAborted();
    const logs = await scoreTokenizations(model, lists);
    signal?.throwIfAborted();
    const top = Math.max(...logs);
    const logProb = top + Math.log(logs.reduce((sum, x) => sum + Math.exp(x - top), 0));
    /** @type {Map<number, Uint8Array>} */ const known = new Map();
    const spelt = (/** @type {number} */ id) => known.get(id) ?? (known.set(id, tokenizer.tokenBytes(id)).get(id));
    const covers = lists.map((ids, i) => {
        const tokens = Array.from(ids, (id) => /** @type {Uint8Array} */ (spelt(id)));
        const start = tokens.slice(0, -1).reduce((sum, t) => sum + t.length, 0);
        return { ids: Array.from(ids), tokens, start, logProb: logs[i], share: Math.exp(logs[i] - logProb) };
    });
    covers.sort((a, b) => b.logProb - a.logProb);
    return { bytes, covers, logProb };
}

/** @param {Covers} found @param {number} rows covers that are shown at most @returns {Group[]} the heaviest first */
export function groupsOf({ covers }, rows) {
    /** @type {Map<string, Cover[]>} */ const groups = new Map();
    for (const cover of covers) {
        const key = cover.ids.slice(0, -1).join(' ');
        const list = groups.get(key);
        if (list) list.push(cover);
        else groups.set(key, [cover]);
    }
    let seen = 0;
    const shown = new Set(covers.filter((c, i) => i < rows && (i < 4 || seen < CLEAR) && ((seen += c.share), true)));
    const sum = (/** @type {Cover[]} */ list) => list.reduce((s, c) => s + c.share, 0);
    return [...groups.values()].map((list) => {
        const left = list.filter((c) => !shown.has(c));
        return { settled: list[0].tokens.slice(0, -1), start: list[0].start, share: sum(list), shown: list.filter((c) => shown.has(c)), left: left.length, leftShare: sum(left) };
    }).sort((a, b) => b.share - a.share);
}

// ---- the picture -------------------------------------------------------------------------------------------------

const COLUMN = 11, ROW = 30, BAR = 110, NUMBER = 58, BEFORE = 26, AFTER = 16; // pixels; bytes shown before and after the end of the text
const INK = { ink: ['#1c2430', '#e8eaee'], muted: ['#5a6472', '#a2abb8'], line: ['#c9ced6', '#454d59'], exact: ['#2268b2', '#6cb0f7'], naive: ['#c4700c', '#eda94b'] };

/** What the classes of the picture look like; for the page and for the file. */
export const COVERS_CSS = (() => {
    const rules = (/** @type {0 | 1} */ side) => `.cv text{fill:var(--mt-ink,${INK.ink[side]})}.cv .cv-m{fill:var(--mt-muted,${INK.muted[side]})}.cv .cv-s{fill:var(--mt-line,${INK.line[side]});fill-opacity:.55;stroke:none}`
        + `.cv .cv-w{fill:none;stroke:var(--mt-muted,${INK.muted[side]});stroke-opacity:.5}.cv .cv-t{fill:var(--mt-exact,${INK.exact[side]});fill-opacity:.24}.cv .cv-o{fill:var(--mt-exact,${INK.exact[side]});fill-opacity:.09}`
        + `.cv .cv-b{fill:var(--mt-exact,${INK.exact[side]})}.cv .cv-f{fill:none;stroke:var(--mt-exact,${INK.exact[side]})}.cv .cv-e{stroke:var(--mt-naive,${INK.naive[side]});stroke-width:2;stroke-dasharray:5 4}`;
    return `.cv text{font:15px ui-monospace,'SF Mono',Menlo,'DejaVu Sans Mono',monospace}.cv .cv-m{font:13px system-ui,sans-serif;font-variant-numeric:tabular-nums}.cv .cv-h{font-size:9px}${rules(0)}@media(prefers-color-scheme:dark){${rules(1)}}`;
})();

/** @param {string} text */
const escaped = (text) => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c);

/**
 * The glyphs of a token, each with the columns it takes: whole characters, signs for white space, bytes otherwise.
 * @param {Uint8Array} bytes @returns {{ glyph: string, width: number, hex: boolean }[]}
 */
export function glyphsOf(bytes) {
    const out = [];
    for (let i = 0; i < bytes.length;) {
        const width = bytes[i] < 0xc2 ? 1 : bytes[i] < 0xe0 ? 2 : bytes[i] < 0xf0 ? 3 : 4;
        const character = width > 1 ? new TextDecoder('utf-8').decode(bytes.subarray(i, i + width)) : '';
        if (width > 1 && i + width <= bytes.length && !character.includes('\ufffd')) {
            out.push({ glyph: character, width, hex: false });
            i += width;
        } else {
            const { glyph } = byteLabel(bytes[i]);
            out.push({ glyph, width: 1, hex: glyph.length > 1 });
            i++;
        }
    }
    return out;
}

/** The text of a token as one line. @param {Uint8Array} bytes */
export const spelling = (bytes) => glyphsOf(bytes).map(({ glyph, hex }) => (hex ? `‹${glyph}›` : glyph)).join('');

/**
 * Covers over the bytes that they cover, those of one group below each other: settled tokens grey, the last token blue,
 * what it says beyond the text's end pale.
 * @param {Covers} found @param {{ rows?: number, style?: boolean }} [options] style: as a file of its own
 * @returns {string} SVG
 */
export function coversPicture(found, { rows = 12, style = true } = {}) {
    const { bytes, covers } = found, end = bytes.length;
    const groups = groupsOf(found, rows).filter((g) => g.shown.length);
    const others = covers.length - groups.reduce((n, g) => n + g.shown.length + g.left, 0);
    const first = Math.min(...groups.map((g) => {
        const context = g.settled.at(-1);
        return Math.max(0, g.start - (context?.length ?? 0));
    }));
    const from = Math.max(first, end - BEFORE);
    const beyond = Math.min(AFTER, Math.max(8, ...groups.flatMap((g) => g.shown.map((c) => c.start + /** @type {Uint8Array} */ (c.tokens.at(-1)).length - end))));
    const left = from > 0 ? 26 : 8, right = left + (end - from + beyond) * COLUMN + 8;
    const x = (/** @type {number} */ at) => left + (Math.min(at, end + beyond) - from) * COLUMN;
    const out = [];
    let y = 30;

    /** @param {Uint8Array} token @param {number} at @param {number} y @param {string} kind */
    const draw = (token, at, y, kind) => {
        const stop = at + token.length, cut = Math.min(stop, end), tall = ROW - 6;
        const box = (/** @type {number} */ a, /** @type {number} */ b, /** @type {string} */ name) => `<rect class="${name}" x="${x(a) + 1}" y="${y}" width="${x(b) - x(a) - 2}" height="${tall}" rx="4"/>`;
        const visible = Math.max(at, from);
        if (cut > visible) out.push(box(visible, cut, kind));
        if (stop > end) out.push(box(Math.max(end, visible), stop, 'cv-o'));
        if (stop > visible) out.push(box(visible, stop, kind === 'cv-t' ? 'cv-f' : 'cv-w'));
        let place = at;
        for (const { glyph, width, hex } of glyphsOf(token)) {
            const clipped = place + width > end + beyond;
            if (place >= from && !clipped) out.push(`<text x="${x(place) + (width * COLUMN) / 2}" y="${y + (hex ? 15 : 17)}" text-anchor="middle"${hex ? ' class="cv-h"' : ''}>${escaped(glyph)}</text>`);
            place += width;
            if (clipped) {
                out.push(`<text x="${x(end + beyond) + 2}" y="${y + 17}">…</text>`);
                break;
            }
        }
    };

    const widest = Math.max(...groups.flatMap((g) => [...g.shown.map((c) => c.share), g.leftShare]));
    const share = (/** @type {number} */ p, /** @type {number} */ y) => out.push(
        `<text class="cv-m" x="${right + NUMBER}" y="${y + 17}" text-anchor="end">${escaped(formatProbability(p))}</text>`,
        `<rect class="cv-b" x="${right + NUMBER + 10}" y="${y + 5}" width="${Math.max(1, (p / widest) * BAR).toFixed(1)}" height="${ROW - 16}" rx="2"/>`,
    );
    for (const group of groups) {
        const top = y;
        group.shown.forEach((cover, i) => {
            let at = 0;
            if (i === 0) for (const token of group.settled) { draw(token, at, y, 'cv-s'); at += token.length; }
            draw(/** @type {Uint8Array} */ (cover.tokens.at(-1)), cover.start, y, 'cv-t');
            share(cover.share, y);
            y += ROW;
        });
        if (group.left) {
            out.push(`<text class="cv-m" x="${x(end) + 8}" y="${y + 17}">${group.left} more</text>`);
            share(group.leftShare, y);
            y += ROW;
        }
        if (group.start > from && y - top > ROW) { // a bracket from the settled tokens to all last tokens
            out.push(`<path class="cv-w" d="M${x(group.start) - 4} ${top + ROW - 4}V${y - 18}"/>`);
        }
        y += 10;
    }
    if (others) {
        const rest = groupsOf(found, rows).filter((g) => !g.shown.length).reduce((s, g) => s + g.leftShare, 0);
        out.push(`<text class="cv-m" x="${x(end) + 8}" y="${y + 17}">${others} others</text>`);
        share(rest, y);
        y += ROW + 6;
    }
    if (from > 0) groups.forEach((_, i) => {
        const above = groups.slice(0, i).reduce((sum, g) => sum + (g.shown.length + Number(g.left > 0)) * ROW + 10, 30);
        out.push(`<text x="6" y="${above + 17}">…</text>`);
    });
    const line = x(end), width = right + NUMBER + BAR + 14;
    const told = `${covers.length} covers. ${groups.flatMap((g) => g.shown).sort((a, b) => b.share - a.share).slice(0, 5).map((c) => `${c.tokens.map(spelling).join(' | ')}: ${formatProbability(c.share)}`).join('. ')}`;
    return `<svg xmlns="http://www.w3.org/2000/svg" class="cv" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" role="img"><title>Cover encodings of the text</title><desc>${escaped(told)}</desc>`
        + `${style ? `<style>${COVERS_CSS}</style>` : ''}${out.join('')}<path class="cv-e" d="M${line} 22V${y - 4}"/><text class="cv-m" x="${line}" y="14" text-anchor="${line < 90 ? 'start' : 'middle'}">end of your text</text></svg>\n`;
}

/** The numbers of covers. @param {Cover[]} covers */
export const coverRows = (covers) => covers.map((c) => [c.tokens.map(spelling).join(' | '), c.ids.join(' '), hexBytes(c.tokens.at(-1) ?? []), c.share, c.logProb / Math.LN2]);
export const COVER_HEAD = ['tokens', 'ids', 'bytes of the last token', 'share', 'log2 of the probability'];
