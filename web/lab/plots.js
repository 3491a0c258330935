// Charts as SVG text: lines, bars, points, tables of numbers. Self-contained, with axes, units and a legend, legible on light and on dark ground, and told in words for those who do not see them.
//
// Colours come from a style sheet that knows both grounds and takes a page's own colours (--mt-ink, --mt-muted, --mt-line, --mt-surface, --mt-exact, --mt-naive) where it has them.
// A file of its own carries the sheet; where a page puts charts into its document under a strict policy, it asks for them without (`style: false`) and adopts PLOT_CSS itself.
// Series differ in colour, in dashes and in the shape of their points.

/** @typedef {{name: string, points: [x: number, y: number][]}} Line points in order; what is no number leaves a gap */
/** @typedef {{title: string, x?: string, y?: string, logX?: boolean, logY?: boolean, style?: boolean}} ChartOptions x, y: labels of the axes; style: default true */

const W = 640, H = 360, LEFT = 62, RIGHT = 16, BOTTOM = 46;
const COLOURS = [['#2268b2', '#6cb0f7'], ['#c4700c', '#eda94b'], ['#0f7b6c', '#4fc3ad'], ['#a8327d', '#e58ac2'], ['#6b4fbb', '#b39ff0'], ['#7a6a1f', '#cdbb62']];
const DASHES = ['', '7 4', '2 3', '9 3 2 3'];
const LIGHT = { ink: '#1c2430', muted: '#5a6472', line: '#e0e2e6', surface: '#ffffff' }, DARK = { ink: '#e8eaee', muted: '#a2abb8', line: '#323943', surface: '#191d23' };

/** What the classes of a chart look like; for pages and shadow roots. */
export const PLOT_CSS = (() => {
  const named = (/** @type {number} */ i) => (i === 0 ? '--mt-exact' : i === 1 ? '--mt-naive' : `--mt-series-${i}`);
  const rules = (/** @type {Record<string, string>} */ ground, /** @type {0 | 1} */ side) => `.mp-surface{fill:var(--mt-surface,${ground.surface})}.mp-text{fill:var(--mt-ink,${ground.ink})}.mp-small{fill:var(--mt-muted,${ground.muted})}.mp-grid{stroke:var(--mt-line,${ground.line})}`
    + `.mp-axis{stroke:var(--mt-muted,${ground.muted})}${COLOURS.map((c, i) => `.mp-s${i}{stroke:var(${named(i)},${c[side]})}.mp-f${i}{fill:var(${named(i)},${c[side]})}`).join('')}`;
  return `.mp text{font:12px system-ui,sans-serif;font-variant-numeric:tabular-nums}.mp .mp-title{font-size:14px;font-weight:600}${rules(LIGHT, 0)}@media (prefers-color-scheme:dark){${rules(DARK, 1)}}`;
})();

/** @param {string} text */
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c] ?? c).replace(/[\0-\x08\x0b\x0c\x0e-\x1f]/g, '\ufffd');
const px = (/** @type {number} */ x) => String(Math.round(x * 10) / 10);
/** Room that a text takes, in the widest usual font. @param {string} text */
const roomOf = (text) => 7 * [...text].length;
/** At most so many characters. @param {string} text @param {number} most */
const cut = (text, most) => ([...text].length > most ? `${[...text].slice(0, most - 1).join('')}…` : text);

/** A number as people read it, four digits at most. @param {number} x any @returns {string} */
export function formatNumber(x) {
  if (Number.isNaN(x)) return '–';
  if (!Number.isFinite(x)) return x < 0 ? '−∞' : '∞';
  const size = Math.abs(x);
  const text = size !== 0 && (size >= 1e6 || size < 1e-3) ? x.toExponential(2).replace(/\.?0+e/, 'e').replace('e+', 'e') : size >= 1000 ? String(Math.round(x)) : String(Number(x.toPrecision(4)));
  return text.replace(/-/g, '−');
}

/** Round numbers between two. @param {number} low @param {number} high @param {number} most @returns {number[]} */
function ticksOf(low, high, most) {
  const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough)), step = power * (/** @type {number} */ ([1, 2, 5, 10].find((m) => m * power >= rough * 0.999)));
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

/** @typedef {{at: (value: number) => number, ticks: number[], fits: (value: number) => boolean}} Scale */

/** From values to places. @param {number[]} values @param {number} from @param {number} to pixels @param {{log?: boolean, zero?: boolean, most?: number, reach?: boolean}} [options] reach: a tick stands near each end, beyond the values if need be @returns {Scale} */
function scaleOf(values, from, to, { log = false, zero = false, most = 6, reach = false } = {}) {
  const fits = (/** @type {number} */ v) => Number.isFinite(v) && (!log || v > 0);
  let low = Infinity, high = -Infinity;
  for (const v of values) if (fits(v)) { low = Math.min(low, v); high = Math.max(high, v); }
  if (low > high) [low, high] = log ? [1, 10] : [0, 1];
  if (zero) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
  if (low === high) [low, high] = log ? [low / 2, high * 2] : low === 0 ? [0, 1] : [low - Math.abs(low) / 2, high + Math.abs(high) / 2];
  const inside = reach && !log ? ticksOf(low, high, most) : [];
  if (inside.length > 1) {
    const step = inside[1] - inside[0], first = inside[0], last = inside[inside.length - 1];
    if (first - low > step / 2) low = first - step;
    if (high - last > step / 2) high = last + step;
  }
  const turn = log ? Math.log10 : (/** @type {number} */ v) => v, a = turn(low), b = turn(high);
  let ticks = log ? ticksOf(a, b, most).filter(Number.isInteger).map((e) => 10 ** e) : ticksOf(low, high, most);
  if (log && ticks.length < 2) ticks = ticksOf(low, high, most).filter((v) => v > 0);
  return { at: (v) => from + ((turn(v) - a) / (b - a)) * (to - from), ticks, fits };
}

/** Lines of so many characters, broken between words. @param {string} text @param {number} most */
function wrapped(text, most) {
  /** @type {string[]} */ const lines = [];
  for (const word of text.split(' ')) {
    if (lines.length && lines[lines.length - 1].length + word.length < most) lines[lines.length - 1] += ` ${word}`;
    else lines.push(cut(word, most));
  }
  return lines;
}

/** @param {string} title @param {string} told what it shows, in words @param {number} height without further lines of the title @param {boolean} style @param {string[]} body */
function svg(title, told, height, style, body) {
  const lines = wrapped(title, 68), lower = 18 * (lines.length - 1), size = `width="${W}" height="${Math.ceil(height) + lower}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" class="mp" viewBox="0 0 ${W} ${Math.ceil(height) + lower}" role="img" font-family="system-ui,sans-serif" font-size="12"><title>${escaped(title)}</title><desc>${escaped(told)}</desc>${style ? `<style>${PLOT_CSS}</style><rect class="mp-surface" ${size} fill="${LIGHT.surface}"/>` : ''}`
    + `${lines.map((line, i) => text(LEFT - 46, 20 + 18 * i, line, 'start', 'mp-text mp-title', LIGHT.ink)).join('')}${lower ? `<g transform="translate(0 ${lower})">${body.join('')}</g>` : body.join('')}</svg>\n`;
}

/** @param {number} x @param {number} y @param {string} words @param {'start' | 'middle' | 'end'} [anchor] @param {string} [kind] @param {string} [fill] @param {string} [more] */
function text(x, y, words, anchor = 'start', kind = 'mp-small', fill = LIGHT.muted, more = '') {
  return `<text class="${kind}" x="${px(x)}" y="${px(y)}" fill="${fill}"${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}${more}>${escaped(words)}</text>`;
}

const stroke = (/** @type {number} */ i) => `class="mp-s${i % 6}" stroke="${COLOURS[i % 6][0]}"`, fill = (/** @type {number} */ i) => `class="mp-f${i % 6}" fill="${COLOURS[i % 6][0]}"`;
const dash = (/** @type {number} */ i) => { const d = DASHES[Math.floor(i / 6 + i) % 4]; return d ? ` stroke-dasharray="${d}"` : ''; };

/** A point of a group: circle, square, triangle, diamond. @param {number} group @param {number} x @param {number} y @param {number} [r] */
function mark(group, x, y, r = 3.5) {
  const shape = group % 4;
  if (shape === 0) return `<circle ${fill(group)} cx="${px(x)}" cy="${px(y)}" r="${r}"/>`;
  const corners = shape === 1 ? [[-1, -1], [1, -1], [1, 1], [-1, 1]] : shape === 2 ? [[0, -1.3], [1.2, 1], [-1.2, 1]] : [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]];
  return `<path ${fill(group)} d="M${corners.map(([dx, dy]) => `${px(x + dx * r * 0.9)} ${px(y + dy * r * 0.9)}`).join('L')}z"/>`;
}

/** Names in rows above the plot. @param {string[]} names @param {(i: number, x: number, y: number) => string} sign 24 pixels wide @returns {{parts: string[], bottom: number}} */
function legend(names, sign) {
  /** @type {string[]} */ const parts = [];
  let x = LEFT, y = 42;
  names.forEach((full, i) => {
    const name = cut(full, 74), room = 30 + roomOf(name) + 14;
    if (x > LEFT && x + room > W - RIGHT) [x, y] = [LEFT, y + 18];
    parts.push(sign(i, x, y - 4), text(x + 30, y, name, 'start', 'mp-text', LIGHT.ink));
    x += room;
  });
  return { parts, bottom: names.length ? y + 12 : 34 };
}

/** Grid, ticks and labels. @param {Scale | null} sx @param {Scale | null} sy @param {number} top @param {number} bottom @param {{x?: string, y?: string}} labels */
function axes(sx, sy, top, bottom, { x, y }) {
  const out = [];
  for (const t of sy?.ticks ?? []) {
    const at = /** @type {Scale} */ (sy).at(t);
    out.push(`<path class="mp-grid" stroke="${LIGHT.line}" d="M${LEFT} ${px(at)}H${W - RIGHT}"/>`, text(LEFT - 6, at + 4, formatNumber(t), 'end'));
  }
  for (const t of sx?.ticks ?? []) {
    const at = /** @type {Scale} */ (sx).at(t);
    out.push(`<path class="mp-axis" stroke="${LIGHT.muted}" d="M${px(at)} ${bottom}v4"/>`, text(at, bottom + 17, formatNumber(t), 'middle'));
  }
  out.push(`<path class="mp-axis" stroke="${LIGHT.muted}" d="M${LEFT} ${bottom}H${W - RIGHT}"/>`);
  if (x) out.push(text((LEFT + W - RIGHT) / 2, bottom + 36, cut(x, 80), 'middle'));
  if (y) out.push(text(14, (top + bottom) / 2, cut(y, 40), 'middle', 'mp-small', LIGHT.muted, ` transform="rotate(-90 14 ${px((top + bottom) / 2)})"`));
  return out;
}

const nothing = (/** @type {number} */ top) => text((LEFT + W - RIGHT) / 2, (top + H - BOTTOM) / 2, 'nothing yet', 'middle');

/** At most three points for each pixel column: the first, the least, the largest. @param {[number, number][]} points places */
function thinned(points) {
  if (points.length <= 2 * (W - LEFT - RIGHT)) return points;
  /** @type {[number, number][]} */ const out = [];
  for (let i = 0; i < points.length;) {
    const column = Math.floor(points[i][0]);
    let low = i, high = i, j = i;
    for (; j < points.length && Math.floor(points[j][0]) === column; j++) {
      if (points[j][1] < points[low][1]) low = j;
      if (points[j][1] > points[high][1]) high = j;
    }
    for (const k of [...new Set([i, low, high, j - 1])].sort((a, b) => a - b)) out.push(points[k]);
    i = j;
  }
  return out;
}

/**
 * Lines. @param {Line[]} lines each with its points @param {ChartOptions} options @returns {string} SVG
 */
export function lineChart(lines, { title, x = '', y = '', logX = false, logY = false, style = true }) {
  const { parts, bottom: top } = legend(lines.map((l) => l.name), (i, at, h) => `<path ${stroke(i)} fill="none" stroke-width="2"${dash(i)} d="M${at} ${h}h24"/>`);
  const sx = scaleOf(lines.flatMap((l) => l.points.map((p) => p[0])), LEFT, W - RIGHT, { log: logX, most: 8 }), sy = scaleOf(lines.flatMap((l) => l.points.map((p) => p[1])), H - BOTTOM, top + 4, { log: logY });
  let drawn = 0;
  const paths = lines.map((line, i) => {
    /** @type {[number, number][][]} */ const runs = [[]];
    for (const [px0, py0] of line.points) {
      if (sx.fits(px0) && sy.fits(py0)) runs[runs.length - 1].push([sx.at(px0), sy.at(py0)]);
      else if (runs[runs.length - 1].length) runs.push([]);
    }
    return runs.filter((run) => run.length).map((run) => {
      drawn++;
      return run.length === 1 ? mark(i, run[0][0], run[0][1]) : `<path ${stroke(i)} fill="none" stroke-width="1.8" stroke-linejoin="round"${dash(i)} d="M${thinned(run).map(([a, b]) => `${px(a)} ${px(b)}`).join('L')}"/>`;
    }).join('');
  });
  const told = lines.map(({ name, points }) => {
    const good = points.filter(([, v]) => Number.isFinite(v));
    if (!good.length) return `${name}: nothing yet.`;
    const least = good.reduce((a, b) => (b[1] < a[1] ? b : a)), most = good.reduce((a, b) => (b[1] > a[1] ? b : a)), tell = (/** @type {[number, number]} */ p) => `${formatNumber(p[1])} at ${formatNumber(p[0])}`;
    return `${name}: from ${tell(good[0])} to ${tell(good[good.length - 1])}, least ${tell(least)}, largest ${tell(most)}.`;
  });
  return svg(title, `Lines${y ? ` of ${y}` : ''}${x ? ` over ${x}` : ''}. ${told.join(' ')}`, H, style, [...parts, ...axes(sx, sy, top, H - BOTTOM, { x, y }), ...paths, drawn ? '' : nothing(top)]);
}

/**
 * Bars: a bundle for each label with a bar for each series. @param {{labels: string[], series: {name: string, values: ArrayLike<number>}[]}} bars labels: below the bundles; series: of each, one value for each label @param {ChartOptions} options @returns {string} SVG
 */
export function barChart({ labels, series }, { title, x = '', y = '', style = true }) {
  const named = series.length > 1 ? series.map((s) => s.name) : [];
  const { parts, bottom: top } = legend(named, (i, at, h) => `<rect ${fill(i)} x="${at + 6}" y="${h - 6}" width="12" height="12"/>`);
  const all = series.flatMap((s) => Array.from(s.values)), sy = scaleOf(all, H - BOTTOM - (all.some((v) => v < 0) ? 16 : 0), top + 14, { zero: true }), zero = sy.at(0);
  const room = (W - RIGHT - LEFT) / Math.max(1, labels.length), width = Math.min(60, (room * 0.8) / Math.max(1, series.length)), every = Math.ceil((Math.min(14, Math.max(3, ...labels.map((l) => l.length))) * 7 + 6) / room);
  /** @type {string[]} */ const out = [];
  labels.forEach((label, g) => {
    const middle = LEFT + room * (g + 0.5);
    if (g % every === 0) out.push(text(middle, H - BOTTOM + 17, cut(label, Math.max(3, Math.floor((room * every - 4) / 7))), 'middle', 'mp-text', LIGHT.ink));
    series.forEach(({ values }, i) => {
      if (!sy.fits(values[g])) return;
      const left = middle + (i - series.length / 2) * width, at = sy.at(values[g]), high = Math.min(at, zero);
      out.push(`<rect ${fill(i)} x="${px(left + 1)}" y="${px(high)}" width="${px(Math.max(1, width - 2))}" height="${px(Math.abs(at - zero))}"/>`);
      if (width >= 34) out.push(text(left + width / 2, values[g] < 0 ? Math.max(at, zero) + 13 : high - 4, formatNumber(values[g]), 'middle', 'mp-text', LIGHT.ink));
    });
  });
  const told = labels.map((label, g) => `${label}: ${series.map((s) => `${series.length > 1 ? `${s.name} ` : ''}${formatNumber(s.values[g])}`).join(', ')}.`);
  return svg(title, `Bars${y ? ` of ${y}` : ''}. ${told.join(' ')}`, H, style, [...parts, ...axes(null, sy, top, H - BOTTOM, { x, y }), ...out, zero < H - BOTTOM - 1 ? `<path class="mp-axis" stroke="${LIGHT.muted}" d="M${LEFT} ${px(zero)}H${W - RIGHT}"/>` : '', labels.length ? '' : nothing(top)]);
}

/**
 * Points. @param {import('./define.js').ScatterPicture} picture @param {ChartOptions} options @returns {string} SVG
 */
export function scatterPlot({ x: xs, y: ys, groups, groupNames = [], labels }, { title, x = '', y = '', logX = false, logY = false, style = true }) {
  const { parts, bottom: top } = legend(groupNames, (i, at, h) => mark(i, at + 12, h, 4.5));
  const sx = scaleOf(Array.from(xs), LEFT + 10, W - RIGHT - 10, { log: logX, most: 8 }), sy = scaleOf(Array.from(ys), H - BOTTOM - 8, top + 10, { log: logY, reach: true });
  const out = [];
  let drawn = 0;
  for (let i = 0; i < xs.length; i++) {
    if (!sx.fits(xs[i]) || !sy.fits(ys[i])) continue;
    drawn++;
    const at = sx.at(xs[i]), h = sy.at(ys[i]);
    out.push(mark(groups?.[i] ?? 0, at, h));
    if (labels?.[i] && xs.length <= 60) out.push(text(at + 6 > W - 60 ? at - 6 : at + 6, h - 5, cut(labels[i], 16), at + 6 > W - 60 ? 'end' : 'start', 'mp-text', LIGHT.ink));
  }
  const range = (/** @type {ArrayLike<number>} */ v) => `${formatNumber(Math.min(...Array.from(v)))} to ${formatNumber(Math.max(...Array.from(v)))}`;
  const told = drawn ? `${drawn} points${groupNames.length ? ` in the groups ${groupNames.join(', ')}` : ''}; ${x || 'x'} ${range(xs)}, ${y || 'y'} ${range(ys)}.${labels && xs.length <= 60 ? ` ${labels.map((l, i) => `${l}: ${formatNumber(xs[i])}, ${formatNumber(ys[i])}`).join('; ')}.` : ''}` : 'No points yet.';
  return svg(title, told, H, style, [...parts, ...axes(sx, sy, top, H - BOTTOM, { x, y }), ...out, drawn ? '' : nothing(top)]);
}

const LEVELS = 50; // shades of a table's colours

/**
 * A table of numbers as shades of one colour; below zero, of another. @param {import('./define.js').HeatPicture} picture @param {ChartOptions} options @returns {string} SVG
 */
export function heatMap({ rows, cols, values, labels, min, max }, { title, x = '', y = '', style = true }) {
  const list = Array.from(values), good = list.filter(Number.isFinite);
  const low = min ?? Math.min(0, ...extremes(good)), high = max ?? Math.max(...extremes(good), low), size = Math.max(Math.abs(low), Math.abs(high)) || 1, base = Math.max(0, low);
  const levelOf = (/** @type {number} */ v) => Math.round(Math.min(1, Math.max(0, v < 0 ? -v / size : (v - base) / (size - base || 1))) * LEVELS);
  const { rows: rowNames, cols: colNames } = Array.isArray(labels) ? { rows: labels, cols: labels } : (labels ?? {});
  const left = rowNames ? Math.min(150, 20 + Math.max(0, ...rowNames.map((name) => roomOf(cut(name, 18))))) + (y ? 16 : 0) : LEFT, top = 36, cell = Math.max(0.5, Math.min(36, (W - RIGHT - 90 - left) / Math.max(1, cols), 480 / Math.max(1, rows)));
  /** Cells of a shade make one path. @type {Map<string, string[]>} */ const shades = new Map();
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) {
      const v = list[r * cols + c];
      if (!Number.isFinite(v)) continue;
      const level = levelOf(v), key = `${Number(v < 0)} ${level}`;
      if (!level) continue;
      if (!shades.has(key)) shades.set(key, []);
      shades.get(key)?.push(`M${px(left + c * cell)} ${px(top + r * cell)}h${px(cell)}v${px(cell)}h${px(-cell)}z`);
    }
  const width = cols * cell, height = rows * cell, out = [`<rect x="${px(left)}" y="${top}" width="${px(width)}" height="${px(height)}" fill="none" class="mp-axis" stroke="${LIGHT.muted}"/>`];
  for (const [key, cells] of shades) {
    const [sign, level] = key.split(' ').map(Number);
    out.push(`<path ${fill(sign)} fill-opacity="${level / LEVELS}" d="${cells.join('')}"/>`);
  }
  const step = Math.max(1, Math.ceil(13 / cell)), across = Math.max(1, Math.ceil((Math.max(1, ...(colNames ?? []).map((name) => Math.min(8, [...name].length))) * 7 + 3) / cell));
  rowNames?.forEach((name, r) => { if (r % step === 0) out.push(text(left - 5, top + (r + 0.5) * cell + 4, cut(name, 18), 'end')); });
  colNames?.forEach((name, c) => { if (c % across === 0) out.push(text(left + (c + 0.5) * cell, top + height + 15, cut(name, 8), 'middle')); });
  if (x) out.push(text(left + width / 2, top + height + (colNames ? 34 : 18), cut(x, 80), 'middle'));
  if (y) out.push(text(14, top + height / 2, cut(y, 40), 'middle', 'mp-small', LIGHT.muted, ` transform="rotate(-90 14 ${px(top + height / 2)})"`));
  // The scale: from the largest shade down.
  const at = left + width + 18, marks = [high, ...(low < 0 && high > 0 ? [0] : []), low], tall = Math.min(160, Math.max(60, height)), steps = 20;
  for (let i = 0; i < steps; i++) {
    const v = high + ((low - high) * (i + 0.5)) / steps;
    out.push(`<rect ${fill(Number(v < 0))} fill-opacity="${levelOf(v) / LEVELS}" x="${px(at)}" y="${px(top + (i * tall) / steps)}" width="12" height="${px(tall / steps)}"/>`);
  }
  if (high > low) for (const v of marks) out.push(text(at + 17, top + ((high - v) / (high - low)) * tall + 4, formatNumber(v)));
  else out.push(text(at + 17, top + 4, formatNumber(high)));
  const name = (/** @type {number} */ i) => `row ${rowNames?.[Math.floor(i / cols)] ?? Math.floor(i / cols) + 1}, column ${colNames?.[i % cols] ?? (i % cols) + 1}`;
  let most = -1;
  list.forEach((v, i) => { if (Number.isFinite(v) && (most < 0 || v > list[most])) most = i; });
  const told = most < 0 ? 'No values.' : `A table of ${rows} rows and ${cols} columns${y ? `, rows ${y}` : ''}${x ? `, columns ${x}` : ''}; from ${formatNumber(Math.min(...extremes(good)))} to ${formatNumber(list[most])}, the largest at ${name(most)}.`;
  return svg(title, told, Math.max(top + height, top + tall) + (colNames ? 20 : 6) + (x ? 22 : 0), style, out);
}

/** Least and largest, however many there are. @param {number[]} values @returns {number[]} none of none */
function extremes(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) { low = Math.min(low, v); high = Math.max(high, v); }
  return values.length ? [low, high] : [];
}
