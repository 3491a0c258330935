// Charts: what is drawn is read back from the SVG and compared with the numbers.
import { describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { PLOT_CSS, barChart, drawPlots, formatNumber, heatMap, lineChart, scatterPlot } from '../../web/lab/index.js';

const told = (svg) => /<desc>([^<]*)<\/desc>/.exec(svg)[1];
const texts = (svg) => [...svg.matchAll(/<text [^>]*>([^<]*)<\/text>/g)].map(([, words]) => words);
const paths = (svg, kind) => [...svg.matchAll(new RegExp(`<path class="${kind}"[^>]* d="M([^"]*)"`, 'g'))].map(([, d]) => d.split('L').map((p) => p.split(' ').map(Number)));
/** The lines themselves, without the samples of the legend. */
const curves = (svg, kind) => [...svg.matchAll(new RegExp(`<path class="${kind}"[^>]*stroke-linejoin[^>]* d="M([^"]*)"`, 'g'))].map(([, d]) => d.split('L').map((p) => p.split(' ').map(Number)));
/** Every element is closed by its own name, attributes are quoted, and text has no bare < or &. */
function wellFormed(svg) {
  const open = [];
  const rest = svg.replace(/<(\/?)([a-z]+)((?: [a-zA-Z-]+="[^"<&]*(?:&[a-z]+;[^"<&]*)*")*)(\/?)>/g, (_, end, name, _attributes, empty) => {
    if (end) assert.equal(open.pop(), name);
    else if (!empty) open.push(name);
    return '';
  });
  assert.deepEqual(open, []);
  assert.doesNotMatch(rest.replace(/&(amp|lt|gt|quot);/g, ''), /[<&]/);
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg).map(Number);
  for (const [, x] of svg.matchAll(/ (?:x|cx)="([-\d.]+)"/g)) assert.ok(Number(x) >= 0 && Number(x) <= width, `x ${x}`);
  for (const [, y] of svg.matchAll(/ (?:y|cy)="([-\d.]+)"/g)) assert.ok(Number(y) >= 0 && Number(y) <= height, `y ${y}`);
}
/** The place of a value on a straight scale, out of two ticks. */
const linear = ([v0, p0], [v1, p1]) => (v) => p0 + ((v - v0) / (v1 - v0)) * (p1 - p0);
const yTicks = (svg) => [...svg.matchAll(/<text class="mp-small" x="56" y="([\d.]+)"[^>]*text-anchor="end">([^<]*)</g)].map(([, y, words]) => [Number(words.replace('−', '-')), Number(y) - 4]);

describe('lines', () => {
  const points = Array.from({ length: 50 }, (_, i) => [10 * i, 3 - i / 25 + Math.sin(i)]);
  test('points lie where the ticks say', () => {
    const svg = lineChart([{ name: 'late', points }, { name: 'early', points: points.map(([x, y]) => [x, y / 2]) }], { title: 'Loss', x: 'steps', y: 'nats' });
    wellFormed(svg);
    const ticks = yTicks(svg), at = linear(ticks[0], ticks.at(-1));
    assert.ok(ticks.length >= 3);
    for (const [kind, scale] of [['mp-s0', 1], ['mp-s1', 0.5]]) {
      const [drawn] = curves(svg, kind);
      assert.equal(drawn.length, 50);
      drawn.forEach(([x, y], i) => {
        assert.ok(Math.abs(y - at(points[i][1] * scale)) < 0.2, `point ${i}`);
        assert.ok(Math.abs(x - (62 + ((640 - 16 - 62) * i) / 49)) < 0.1);
      });
    }
    for (const words of ['Loss', 'steps', 'nats', 'late', 'early']) assert.ok(texts(svg).includes(words), words);
    assert.match(svg, /^<svg [^>]*role="img"[^>]*><title>Loss<\/title><desc>Lines of nats over steps\. late: from 3 at 0 to /);
    assert.match(svg, /stroke-dasharray/, 'the second line is dashed');
    assert.doesNotMatch(svg, / style=/);
  });

  test('gaps, single points, nothing, logarithms, long series', () => {
    const gap = lineChart([{ name: 'a', points: [[0, 1], [1, 2], [2, NaN], [3, 1], [4, 2], [5, Infinity], [6, 3]] }], { title: 't' });
    wellFormed(gap);
    assert.deepEqual(curves(gap, 'mp-s0').map((run) => run.length), [2, 2]);
    assert.equal(gap.split('<circle').length, 2, 'a lone point is a mark');
    for (const empty of [[], [{ name: 'a', points: [] }], [{ name: 'a', points: [[0, NaN]] }]]) {
      const svg = lineChart(empty, { title: 't' });
      wellFormed(svg);
      assert.ok(texts(svg).includes('nothing yet'));
    }
    const log = lineChart([{ name: 'a', points: [[0, 1], [1, 0.1], [2, 0.01], [3, 0], [4, 0.001]] }], { title: 't', logY: true });
    wellFormed(log);
    const [[p0, p1, p2]] = curves(log, 'mp-s0');
    assert.ok(Math.abs(p1[1] - p0[1] - (p2[1] - p1[1])) < 0.2, 'equal factors, equal distances');
    assert.deepEqual(yTicks(log).map(([v]) => v), [0.001, 0.01, 0.1, 1]);
    const many = Array.from({ length: 20000 }, (_, i) => [i, i === 12345 ? 50 : Math.sin(i)]), long = lineChart([{ name: 'a', points: many }], { title: 't' });
    wellFormed(long);
    assert.ok(long.length < 60000, `${long.length} characters`);
    const highest = Math.min(...curves(long, 'mp-s0')[0].map(([, y]) => y)), ticks = yTicks(long);
    assert.ok(Math.abs(highest - linear(ticks[0], ticks.at(-1))(50)) < 0.2, 'the spike is there');
    assert.match(told(long), /largest 50 at 12345/);
    const flat = lineChart([{ name: 'a', points: [[5, 2], [6, 2]] }], { title: 't' });
    wellFormed(flat);
    assert.ok(curves(flat, 'mp-s0')[0].every(([x, y]) => Number.isFinite(x) && Number.isFinite(y)));
  });

  test('names of people are text', () => {
    const svg = lineChart([{ name: '<b>&"x"\u0001', points: [[0, 1]] }], { title: 'a < b & "c"', x: '<x>', y: '&y' });
    wellFormed(svg);
    assert.ok(svg.includes('a &lt; b &amp; &quot;c&quot;') && !svg.includes('<b>'));
  });

  test('style: a sheet for files, none for documents that have it', () => {
    const lines = [{ name: 'a', points: [[0, 1], [1, 2]] }];
    assert.ok(lineChart(lines, { title: 't' }).includes(`<style>${PLOT_CSS}</style>`));
    assert.doesNotMatch(lineChart(lines, { title: 't', style: false }), /<style|style=/);
    assert.match(PLOT_CSS, /prefers-color-scheme:dark/);
    const used = new Set([lineChart(Array.from({ length: 8 }, (_, i) => ({ name: String(i), points: [[0, 1], [1, i]] })), { title: 't', style: false }), heatMap({ rows: 1, cols: 2, values: [1, -1] }, { title: 't', style: false })].flatMap((svg) => [...svg.matchAll(/class="(mp-[a-z0-9-]+)/g)].map(([, name]) => name)));
    for (const name of used) assert.ok(PLOT_CSS.includes(`.${name}{`), `${name} has a rule`);
  });
});

test('long titles take further lines, and everything moves down', () => {
  const title = 'The head that matches prefixes best: which key (column) each query (row) looks at: one layer, keys and values shifted', lines = [{ name: 'a', points: [[0, 1], [1, 2]] }];
  const [short, long] = [lineChart(lines, { title: 't' }), lineChart(lines, { title })], height = (svg) => Number(/viewBox="0 0 640 (\d+)"/.exec(svg)[1]);
  wellFormed(long);
  const shown = [...long.matchAll(/mp-title"[^>]*>([^<]*)</g)].map(([, line]) => line);
  assert.deepEqual([shown.length, shown.join(' ')], [2, title]);
  assert.ok(shown.every((line) => line.length <= 68));
  assert.deepEqual([height(long) - height(short), /<g transform="translate\(0 (\d+)\)">/.exec(long)[1]], [18, '18']);
});

test('bars: heights are values, also below zero', () => {
  const values = [[0.5, 2, -1], [1, NaN, 3]];
  const svg = barChart({ labels: ['one', 'two', 'three'], series: values.map((v, i) => ({ name: `s${i}`, values: v })) }, { title: 'Bars', y: 'nats' });
  wellFormed(svg);
  const bars = (kind) => [...svg.matchAll(new RegExp(`<rect class="${kind}" [^>]*x="([\\d.]+)" y="([\\d.]+)" width="([\\d.]+)" height="([\\d.]+)"`, 'g'))].map((m) => m.slice(1).map(Number)).slice(1); // the first is the legend's
  const ticks = yTicks(svg), at = linear(ticks[0], ticks.at(-1)), zero = at(0);
  bars('mp-f0').forEach(([, y, , height], i) => {
    assert.ok(Math.abs(height - Math.abs(at(values[0][i]) - zero)) < 0.3);
    assert.ok(Math.abs(y - Math.min(zero, at(values[0][i]))) < 0.3);
  });
  assert.equal(bars('mp-f1').length, 2, 'what is no number has no bar');
  assert.match(told(svg), /^Bars of nats\. one: s0 0\.5, s1 1\. two: s0 2, s1 –\. three: s0 −1, s1 3\.$/);
  wellFormed(barChart({ labels: [], series: [] }, { title: 't' }));
  wellFormed(barChart({ labels: Array.from({ length: 200 }, (_, i) => `label ${i}`), series: [{ name: 's', values: Array.from({ length: 200 }, (_, i) => i) }] }, { title: 't' }));
});

test('points: groups have shapes, places are values', () => {
  const svg = scatterPlot({ x: [0, 1, 2, 3, NaN], y: [0, 10, 20, 5, 1], groups: [0, 1, 2, 3, 0], groupNames: ['a', 'b', 'c', 'd'], labels: ['p', 'q', 'r', 's', 't'] }, { title: 'Points', x: 'count', y: 'loss' });
  wellFormed(svg);
  const shapes = [...svg.matchAll(/<(circle|path) class="mp-f(\d)"/g)].map(([, shape, group]) => `${shape}${group}`);
  assert.deepEqual(shapes, ['circle0', 'path1', 'path2', 'path3', 'circle0', 'path1', 'path2', 'path3'], 'legend, then points');
  assert.match(told(svg), /^4 points in the groups a, b, c, d; count .* p: 0, 0; q: 1, 10/);
  wellFormed(scatterPlot({ x: [], y: [] }, { title: 't' }));
  assert.ok(texts(scatterPlot({ x: [], y: [] }, { title: 't' })).includes('nothing yet'));
});

test('tables: shades are values, signs are colours', () => {
  const rows = 5, cols = 7, values = Float32Array.from({ length: 35 }, (_, i) => (i === 9 ? NaN : (i - 12) / 22));
  const svg = heatMap({ rows, cols, values, labels: { rows: ['a', 'b', 'c', 'd', 'e'], cols: Array.from('tuvwxyz') } }, { title: 'Table', x: 'key', y: 'query' });
  wellFormed(svg);
  const [, left, top, width] = /<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="[\d.]+" fill="none"/.exec(svg).map(Number), cell = width / cols, found = new Map();
  for (const [, sign, opacity, d] of svg.matchAll(/<path class="mp-f([01])" fill="[^"]*" fill-opacity="([\d.]+)" d="([^"]*)"/g))
    for (const [, x, y] of d.matchAll(/M([\d.]+) ([\d.]+)h/g)) found.set(Math.round((y - top) / cell) * cols + Math.round((x - left) / cell), (sign === '1' ? -1 : 1) * Number(opacity));
  values.forEach((v, i) => assert.ok(Number.isNaN(v) ? !found.has(i) : Math.abs((found.get(i) ?? 0) - v) <= 0.0101, `cell ${i}: ${found.get(i)}, expected ${v}`));
  assert.match(told(svg), /^A table of 5 rows and 7 columns, rows query, columns key; from −0\.5455 to 1, the largest at row e, column z\.$/);
  for (const name of 'abcdetuvwxyz') assert.ok(texts(svg).includes(name));
  const square = heatMap({ rows: 2, cols: 2, values: [0.2, 0.4, 0.6, 1], labels: ['p', 'q'], min: 0.2, max: 0.6 }, { title: 't' });
  wellFormed(square);
  assert.deepEqual([...square.matchAll(/fill-opacity="([\d.]+)" d="/g)].map(([, o]) => Number(o)), [0.5, 1], 'beyond the scale is its end');
  for (const odd of [{ rows: 0, cols: 0, values: [] }, { rows: 1, cols: 1, values: [NaN] }, { rows: 1, cols: 3, values: [0, 0, 0] }, { rows: 200, cols: 300, values: new Float32Array(60000).fill(1) }]) wellFormed(heatMap(odd, { title: 't' }));
});

test('numbers as people read them', () => {
  for (const [x, want] of [[0, '0'], [1, '1'], [0.44, '0.44'], [3.14159, '3.142'], [12345.6, '12346'], [1e6, '1e6'], [1.5e-5, '1.5e−5'], [-2.5, '−2.5'], [NaN, '–'], [-Infinity, '−∞'], [0.001, '0.001'], [2e20, '2e20'], [100, '100']]) assert.equal(formatNumber(x), want);
});

test('the plots that a lab declares', () => {
  const lab = {
    series: { loss: { label: 'loss', unit: 'nats' }, late: { label: 'late loss', unit: 'nats' }, score: { label: 'score' } },
    plots: [
      { type: 'line', series: ['loss', 'late'], title: 'Curves' }, { type: 'line', series: ['score'], title: 'Curves', arms: ['two'] }, { type: 'bar', series: ['late'], title: 'At the end' },
      { type: 'heat', picture: 'pattern', title: 'Pattern' }, { type: 'scatter', picture: 'norms', title: 'Norms' }, { type: 'bar', picture: 'shares', title: 'Shares', arms: ['one'] },
    ],
  };
  const arm = (name, last, pictures) => ({ name, config: {}, seed: 1, step: 2, done: true, series: Object.fromEntries(Object.keys(lab.series).map((key) => [key, key in last ? [[0, 1], [1, last[key]]] : []])), last, pictures });
  const arms = [arm('one', { loss: 3, late: 2 }, { shares: { bars: ['a', 'b'], values: [1, 2] } }), arm('two', { loss: 1, late: 0.5, score: 0.6 }, { pattern: { rows: 1, cols: 2, values: [0, 1] }, norms: { x: [1], y: [2] } })];
  const drawn = drawPlots(lab, arms);
  assert.deepEqual(drawn.map(({ name, title }) => [name, title]), [['curves', 'Curves'], ['curves-2', 'Curves'], ['at-the-end', 'At the end'], ['pattern-two', 'Pattern: two'], ['norms-two', 'Norms: two'], ['shares', 'Shares']]);
  drawn.forEach(({ svg }) => wellFormed(svg));
  assert.equal(drawPlots({ ...lab, plots: [{ type: 'line', series: ['loss'], title: 'A title that goes on and on, far longer than any name of a file should be' }] }, arms)[0].name, 'a-title-that-goes-on-and-on-far-longer-than-any');
  assert.match(told(drawn[0].svg), /^Lines of nats over steps\. one: loss: from 1 at 0 to 3 at 1.* two: late loss: from 1 at 0 to 0\.5 at 1/);
  assert.match(told(drawn[1].svg), /^Lines of score over steps\. score: from/);
  assert.match(told(drawn[2].svg), /^Bars of late loss, nats\. one: 2\. two: 0\.5\.$/);
  assert.match(told(drawn[5].svg), /a: 1\. b: 2\.$/);
  assert.ok(drawPlots(lab, arms, { style: false }).every(({ svg }) => !svg.includes('<style')));
  assert.deepEqual(drawPlots(lab, [arm('one', {}, {}), arm('two', {}, {})]).map(({ name }) => name), ['curves', 'curves-2', 'at-the-end'], 'pictures that are not there are not drawn');
});
