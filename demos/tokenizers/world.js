/**
 * Languages where they are spoken: a map without coasts, a dot for each, its colour what the same text costs there. The
 * text of an SVG, in the manner and the colours of web/lab/plots.js.
 *
 * Equidistant cylindrical: degrees are pixels, with the parallel in the middle of a part true to scale. Dots that would
 * cover each other stand side by side, as near to their place as there is room.
 */
import { formatNumber, PLOT_CSS } from '../../web/lab/plots.js';

/** @typedef {{ language: string, name: string, latitude: number, longitude: number, value: number }} Spot */
/** @typedef {{ name: string, west: number, east: number, south: number, north: number }} Part degrees; east may be above 180: the Pacific is not cut */

const CUT = -169; // the meridian in the Bering Strait where the world begins and ends
/** @type {Record<string, Part>} */
export const PARTS = {
    world: { name: 'the world', west: CUT, east: CUT + 360, south: -57, north: 77 },
    africa: { name: 'Africa', west: -26, east: 55, south: -36, north: 38 },
    america: { name: 'the Americas', west: -168, east: -32, south: -57, north: 74 },
    asia: { name: 'Asia', west: 34, east: 152, south: -12, north: 75 },
    europe: { name: 'Europe', west: -25, east: 58, south: 33, north: 71 },
    pacific: { name: 'the Pacific', west: 92, east: 191, south: -48, north: 22 },
};
/** Where there is room for a name. @type {[string, number, number][]} */
const NAMES = [['North America', -101, 54], ['South America', -52, -39], ['Africa', 12, 25], ['Europe', 8, 65.5], ['Asia', 92, 66], ['Australia', 133, -31]];

const W = 860, SIDE = 16, TOP = 40, TALLEST = 440, LABELLED = 12;
const CLASSES = [['#fdf0c4', '#43306a'], ['#fbd184', '#713d8f'], ['#f5a65b', '#a64a92'], ['#e5713f', '#d75e7d'], ['#c43d4d', '#f28861'], ['#8b2265', '#f9bb66'], ['#4c1256', '#fdf1b4']];
/** What the map's classes look like beside those of PLOT_CSS: cheap is near the ground's colour, dear far from it, on both grounds. */
export const WORLD_CSS = (() => {
    const rules = (/** @type {0 | 1} */ side) => CLASSES.map((c, i) => `.mp-q${i}{fill:${c[side]}}`).join('');
    return `.mp-dot{stroke:#57534e;stroke-width:.7}.mp .mp-place{font-size:13px;letter-spacing:.08em;opacity:.75}${rules(0)}@media (prefers-color-scheme:dark){.mp-dot{stroke:#b9b4c4}${rules(1)}}`;
})();

const escaped = (/** @type {string} */ text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[\0-\x08\x0b\x0c\x0e-\x1f]/g, '\ufffd');
const px = (/** @type {number} */ x) => Math.round(10 * x) / 10;
const round = (/** @type {number} */ x) => formatNumber(Math.round(100 * x) / 100);

/** @param {number} value @param {readonly number[]} edges ascending @returns {number} how many of them it reaches */
export const classOf = (value, edges) => edges.filter((edge) => value >= edge).length;

/**
 * Moves points off each other. @param {readonly [x: number, y: number][]} points @param {number} gap between two @returns {[x: number, y: number][]} each where it was or on a spiral around it; where
 *   a place is too crowded for that they cover each other after all
 */
export function spread(points, gap) {
    const TURN = Math.PI * (3 - Math.sqrt(5)), TRIES = 150;
    /** @type {Map<string, [number, number][]>} */ const cells = new Map();
    const free = (/** @type {number} */ x, /** @type {number} */ y) => {
        const [cx, cy] = [Math.floor(x / gap), Math.floor(y / gap)];
        for (let i = cx - 1; i <= cx + 1; i++) for (let j = cy - 1; j <= cy + 1; j++)
            for (const [ox, oy] of cells.get(`${i} ${j}`) ?? []) if ((ox - x) ** 2 + (oy - y) ** 2 < gap * gap - 1e-9) return false;
        return true;
    };
    return points.map(([x, y]) => {
        /** @type {[number, number]} */ let place = [x, y];
        for (let k = 0; k < TRIES; k++) {
            const r = 0.5 * gap * Math.sqrt(k), [px, py] = [x + r * Math.cos(k * TURN), y + r * Math.sin(k * TURN)];
            if (!free(px, py)) continue;
            place = [px, py];
            break;
        }
        const key = `${Math.floor(place[0] / gap)} ${Math.floor(place[1] / gap)}`;
        cells.set(key, [...(cells.get(key) ?? []), place]);
        return place;
    });
}

/** Longitude in [CUT, CUT + 360). @param {number} longitude */
const eastward = (longitude) => ((((longitude - CUT) % 360) + 360) % 360) + CUT;

/**
 * @param {{ title: string, measure: string, edges: readonly number[], spots: readonly Spot[], part?: keyof PARTS & string, found?: ReadonlySet<string> | null, style?: boolean }} chart edges: six values between the seven
 *   classes of colour; found: languages to point out, null: none is looked for; spots outside the part are not drawn
 * @returns {string} SVG; every dot is a circle with the attribute data-language
 */
export function worldPlot({ title, measure, edges, spots, part = 'world', found = null, style = true }) {
    const { west, east, south, north } = PARTS[part], straight = part === 'world' ? 1 : Math.cos(((south + north) / 2) * (Math.PI / 180)), inner = W - 2 * SIDE;
    const across = Math.min(inner / (east - west), (TALLEST * straight) / (north - south)), up = across / straight, height = (north - south) * up;
    const middle = (west + east) / 2, half = inner / across / 2, bottom = TOP + height; // a tall part shows more at its sides
    const at = (/** @type {number} */ longitude, /** @type {number} */ latitude) => /** @type {[number, number]} */ ([W / 2 + (longitude - middle) * across, TOP + (north - latitude) * up]);
    /** The same place may be reached from both sides of the cut. @param {number} longitude */
    const near = (longitude) => [eastward(longitude), eastward(longitude) - 360].find((l) => Math.abs(l - middle) <= half) ?? NaN;

    const step = east - west > 200 ? 30 : 10;
    /** @type {string[]} */ const lines = [];
    /** @type {string[]} */ const labels = [];
    for (let l = Math.ceil((middle - half) / step) * step; l <= middle + half; l += step) lines.push(`<path class="mp-grid" d="M${px(at(l, 0)[0])} ${TOP}V${px(bottom)}"/>`);
    for (let l = Math.ceil(south / step) * step; l <= north; l += step) {
        const y = px(at(0, l)[1]);
        lines.push(`<path class="${l ? 'mp-grid' : 'mp-axis'}"${l ? '' : ' stroke-dasharray="2 4"'} d="M${SIDE} ${y}H${W - SIDE}"/>`);
        if (y > TOP + 14) labels.push(`<text class="mp-small" x="${SIDE + 4}" y="${px(y - 4)}">${l ? `${Math.abs(l)}° ${l > 0 ? 'N' : 'S'}` : 'equator'}</text>`);
    }
    const names = part === 'world' ? NAMES.map(([name, longitude, latitude]) => { const [x, y] = at(longitude, latitude); return `<text class="mp-small mp-place" x="${px(x)}" y="${px(y)}" text-anchor="middle">${name}</text>`; }) : [];

    const r = part === 'world' ? 3 : 4.4, drawn = spots.filter((s) => Number.isFinite(s.value) && s.latitude >= south && s.latitude <= north && !Number.isNaN(near(s.longitude)));
    const hits = found ? drawn.filter((s) => found.has(s.language)) : [], places = spread(drawn.map((s) => at(near(s.longitude), s.latitude)), 2 * r + 0.6), counts = Array(edges.length + 1).fill(0);
    /** @type {string[]} */ const told = [];
    /** @type {string[]} */ const front = [];
    const dots = drawn.map((s, i) => {
        const kind = classOf(s.value, edges), hit = hits.includes(s), [x, y] = [px(places[i][0]), px(places[i][1])];
        counts[kind]++;
        const dot = `<circle class="mp-dot mp-q${kind}" data-language="${escaped(s.language)}" cx="${x}" cy="${y}" r="${hit ? r + 2 : r}"${found && !hit ? ' opacity=".22"' : ''}><title>${escaped(s.name)}: ${round(s.value)}</title></circle>`;
        if (!hit) return dot;
        if (hits.length <= LABELLED) told.push(`<text class="mp-text" x="${x > W - 150 ? x - 9 : x + 9}" y="${y + 4}"${x > W - 150 ? ' text-anchor="end"' : ''}>${escaped(s.name)}</text>`);
        front.push(dot);
        return '';
    });

    const legend = counts.map((count, i) => {
        const x = SIDE + 6 + (i * inner) / counts.length, text = i === 0 ? `under ${round(edges[0])}` : i === edges.length ? `${round(edges[i - 1])} and more` : `${round(edges[i - 1])} to ${round(edges[i])}`;
        return `<circle class="mp-dot mp-q${i}" cx="${px(x)}" cy="${px(bottom + 38)}" r="5.5"/><text class="mp-text" x="${px(x + 11)}" y="${px(bottom + 42)}">${text}</text><text class="mp-small" x="${px(x + 11)}" y="${px(bottom + 58)}">${count}</text>`;
    });
    const tall = Math.ceil(bottom + 72);
    return `<svg xmlns="http://www.w3.org/2000/svg" class="mp" viewBox="0 0 ${W} ${tall}" width="${W}" height="${tall}" role="img" font-family="system-ui,sans-serif" font-size="12"><title>${escaped(title)}</title><desc>${escaped(`${drawn.length} translations on a map of ${PARTS[part].name}, by ${measure}. ${counts.map((n, i) => (i === 0 ? `Under ${round(edges[0])}: ${n}` : `from ${round(edges[i - 1])}: ${n}`)).join('; ')}.`)}</desc>`
        + `${style ? `<style>${PLOT_CSS}${WORLD_CSS}</style><rect class="mp-surface" width="${W}" height="${tall}"/>` : ''}<text class="mp-text mp-title" x="${SIDE}" y="20">${escaped(title)}</text>`
        + `${lines.join('')}${labels.join('')}${names.join('')}${dots.join('')}${front.join('')}${told.join('')}<text class="mp-small" x="${SIDE}" y="${px(bottom + 20)}">${escaped(measure)}; below, how many languages of this map</text>${legend.join('')}</svg>\n`;
}
