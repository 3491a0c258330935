/**
 * Languages by their writing systems: which one a text is written in, and a picture of hundreds of languages at once, a
 * dot for each, a row for each writing system. The text of an SVG, in the manner and the colours of web/lab/plots.js.
 */
import { formatNumber, PLOT_CSS } from '../../web/lab/plots.js';

/** @typedef {{ language: string, name: string, script: string, value: number }} Dot */
/** @typedef {{ script: string, dots: Dot[], median: number }} Group dots: cheapest first */

/** Unicode's names, the frequent ones first. */
const SCRIPTS = ('Latin Han Cyrillic Arabic Devanagari Hangul Hiragana Katakana Bengali Greek Hebrew Thai Georgian Armenian Ethiopic Tamil Telugu Kannada Malayalam Gujarati Gurmukhi Oriya Sinhala Lao Khmer Myanmar Tibetan Mongolian Tifinagh Cherokee Canadian_Aboriginal '
    + 'Adlam Nko Vai Ol_Chiki Meetei_Mayek Chakma Syriac Thaana Sundanese Javanese Balinese Hanifi_Rohingya Yi Glagolitic Gothic Coptic Osage Deseret Shavian Lisu Bamum Bopomofo Lepcha Limbu Cham Kayah_Li Tai_Le New_Tai_Lue Tai_Tham Tai_Viet Grantha Runic').split(' ');
const TESTS = SCRIPTS.map((name) => /** @type {const} */ ([name, new RegExp(`^\\p{Script=${name}}$`, 'u')]));
const OTHERWISE = /** @type {Record<string, string>} */ ({ Han: 'Chinese characters', Hiragana: 'Japanese', Katakana: 'Japanese', Hangul: 'Korean', Oriya: 'Odia', Nko: 'N’Ko', Canadian_Aboriginal: 'Canadian syllabics' });
const LETTERS = 400; // that tell
/** @type {Map<string, string>} */ const seen = new Map();

/** The writing system that most letters of some texts belong to. @param {readonly string[]} texts @returns {string} its name; 'other' where it has none here */
export function scriptOf(texts) {
    /** @type {Map<string, number>} */ const counts = new Map();
    let left = LETTERS;
    for (const letter of texts.join(' ').slice(0, 4 * LETTERS)) {
        if (!/\p{L}/u.test(letter)) continue;
        if (!left--) break;
        let name = seen.get(letter);
        if (name === undefined) seen.set(letter, (name = TESTS.find(([, test]) => test.test(letter))?.[0] ?? 'other'));
        counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    if (counts.has('Hiragana') || counts.has('Katakana')) return 'Japanese';
    const [most] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? ['other'];
    return OTHERWISE[most] ?? most.replaceAll('_', ' ');
}

/** @param {readonly number[]} sorted */
export const medianOf = (sorted) => (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;

/** @param {readonly Dot[]} dots those without a value are left out @returns {Group[]} the cheapest median first */
export function groupByScript(dots) {
    /** @type {Map<string, Dot[]>} */ const groups = new Map();
    for (const dot of dots) if (dot.value > 0 && Number.isFinite(dot.value)) groups.set(dot.script, [...(groups.get(dot.script) ?? []), dot]);
    return [...groups].map(([script, list]) => {
        list.sort((a, b) => a.value - b.value);
        return { script, dots: list, median: medianOf(list.map((dot) => dot.value)) };
    }).sort((a, b) => a.median - b.median || a.script.localeCompare(b.script, 'en'));
}

const W = 860, LEFT = 180, RIGHT = 66, R = 3.6, GAP = 2 * R + 0.7, LEAST = 24, LABELLED = 12;
const escaped = (/** @type {string} */ text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[\0-\x08\x0b\x0c\x0e-\x1f]/g, '\ufffd');
const px = (/** @type {number} */ x) => Math.round(10 * x) / 10;

/**
 * Places for dots on a line, none upon another: as near to the line as there is room.
 * @param {readonly number[]} xs ascending @returns {number[]} how far above (negative) or below the line
 */
export function swarm(xs) {
    /** @type {number[]} */ const ys = [];
    let near = 0; // the first that may still touch
    for (const [i, x] of xs.entries()) {
        while (near < i && xs[near] < x - GAP) near++;
        let y = 0;
        const free = () => { for (let k = near; k < i; k++) if ((xs[k] - x) ** 2 + (ys[k] - y) ** 2 < GAP * GAP - 1e-9) return false; return true; };
        for (let n = 1; !free(); n++) y = (n % 2 ? 1 : -1) * Math.ceil(n / 2) * (GAP / 2);
        ys.push(y);
    }
    return ys;
}

/**
 * @param {{ title: string, axis: string, groups: readonly Group[], found?: ReadonlySet<string> | null, style?: boolean }} chart found: languages to point out, null: none is looked for
 * @returns {string} SVG; every dot is a circle with the attribute data-language
 */
export function scriptPlot({ title, axis, groups, found = null, style = true }) {
    const all = groups.flatMap((group) => group.dots.map((dot) => dot.value)), low = Math.min(1, ...all) / 1.05, high = Math.max(1.2, ...all) * 1.05;
    const at = (/** @type {number} */ v) => LEFT + (Math.log(v / low) / Math.log(high / low)) * (W - LEFT - RIGHT);
    const top = 48;
    let bottom = top;
    /** @type {string[]} */ const labels = [];
    const rows = groups.map(({ script, dots, median }, row) => {
        const xs = dots.map((dot) => at(dot.value)), ys = swarm(xs), reach = ys.reduce((most, y) => Math.max(most, Math.abs(y)), 0), height = Math.max(LEAST, 2 * reach + 2 * R + 9), middle = bottom + height / 2;
        const ground = row % 2 ? '' : `<path class="mp-small" fill-opacity=".07" d="M8 ${px(bottom)}H${W - 8}v${px(height)}H8z"/>`;
        const circles = dots.map((dot, i) => {
            const hit = found?.has(dot.language);
            if (hit && found && found.size <= LABELLED) labels.push(`<text class="mp-text" x="${px(xs[i] + 8)}" y="${px(middle + ys[i] + 4)}">${escaped(dot.name)}</text>`);
            return `<circle class="mp-f${hit ? 1 : 0}" data-language="${escaped(dot.language)}" cx="${px(xs[i])}" cy="${px(middle + ys[i])}" r="${hit ? R + 1.4 : R}"${hit ? '' : ` fill-opacity="${found ? 0.3 : 0.8}"`}><title>${escaped(dot.name)}: ${formatNumber(Math.round(100 * dot.value) / 100)}</title></circle>`;
        });
        const out = `${ground}<text class="mp-text" x="${LEFT - 38}" y="${px(middle + 4)}" text-anchor="end">${escaped(script)}</text><text class="mp-small" x="${LEFT - 10}" y="${px(middle + 4)}" text-anchor="end">${dots.length}</text>`
            + `${circles.join('')}<path class="mp-text" d="M${px(at(median) - 1)} ${px(bottom + 2)}h2V${px(bottom + height - 2)}h-2z"/><text class="mp-text" x="${W - 16}" y="${px(middle + 4)}" text-anchor="end">${median.toFixed(2)}</text>`;
        bottom += height;
        return out;
    });
    const ticks = [0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50].filter((t) => t >= low && t <= high).reduce((/** @type {number[]} */ kept, t) => (kept.length && at(t) - at(kept[kept.length - 1]) < 30 ? kept : [...kept, t]), []);
    const grid = ticks.map((t) => `<path class="${t === 1 ? 'mp-axis' : 'mp-grid'}" d="M${px(at(t))} ${top}V${px(bottom)}"/><text class="mp-small" x="${px(at(t))}" y="${px(bottom + 17)}" text-anchor="middle">${formatNumber(t)}</text>`);
    const height = Math.ceil(bottom + 44), told = groups.map(({ script, dots, median }) => `${script}: ${dots.length}, median ${median.toFixed(2)}`).join('; ');
    return `<svg xmlns="http://www.w3.org/2000/svg" class="mp" viewBox="0 0 ${W} ${height}" width="${W}" height="${height}" role="img" font-family="system-ui,sans-serif" font-size="12"><title>${escaped(title)}</title><desc>${escaped(`${all.length} languages by writing system. ${told}.`)}</desc>`
        + `${style ? `<style>${PLOT_CSS}</style><rect class="mp-surface" width="${W}" height="${height}"/>` : ''}<text class="mp-text mp-title" x="16" y="20">${escaped(title)}</text><text class="mp-small" x="${LEFT - 10}" y="40" text-anchor="end">languages</text><text class="mp-small" x="${W - 16}" y="40" text-anchor="end">median</text>`
        + `${grid.join('')}${rows.join('')}${labels.join('')}<text class="mp-small" x="${(LEFT + W - RIGHT) / 2}" y="${px(bottom + 36)}" text-anchor="middle">${escaped(axis)}</text></svg>\n`;
}
