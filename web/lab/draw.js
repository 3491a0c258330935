// The plots that a lab declares, drawn from what its arms have shown.
import { barChart, heatMap, lineChart, scatterPlot } from './plots.js';

/** @typedef {import('./define.js').ArmResult} ArmResult */
/** @typedef {import('./define.js').Plot} Plot */
/** @typedef {import('./define.js').Series} Series */
/** @typedef {{name: string, title: string, svg: string}} Drawn name: fit for a file */

/** At most 48 characters, whole words. @param {string} text */
const fileName = (text) => text.toLowerCase().normalize('NFKD').replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').replace(/^(.{1,48})(?:-.*|$)/, '$1') || 'plot';

/**
 * The plots that a lab declares, of what it has found so far.
 * @param {{series: Record<string, Series>, plots: Plot[]}} lab a lab, or what describe() says of it (of which series and plots are read) @param {ArmResult[]} arms results so far @param {{style?: boolean}} [options] style: false for documents that adopt PLOT_CSS themselves
 * @returns {Drawn[]} at least one for each plot, but none of pictures that are not there yet; names differ
 */
export function drawPlots(lab, arms, { style = true } = {}) {
  /** @type {Drawn[]} */ const out = [];
  const add = (/** @type {string} */ title, /** @type {string} */ svg, called = title) => {
    const base = fileName(called);
    let name = base;
    for (let n = 2; out.some((d) => d.name === name); n++) name = `${base}-${n}`;
    out.push({ name, title, svg });
  };
  const unitOf = (/** @type {string[]} */ keys) => {
    const units = new Set(keys.map((key) => lab.series[key].unit ?? ''));
    return units.size === 1 ? [...units][0] : '';
  };
  for (const plot of lab.plots) {
    const chosen = plot.arms ? arms.filter((arm) => plot.arms?.includes(arm.name)) : arms, { title, series, picture, logX, logY } = plot;
    if (series) {
      const labelled = (/** @type {string} */ key) => lab.series[key].label, y = plot.y ?? [series.length === 1 ? labelled(series[0]) : '', unitOf(series)].filter(Boolean).join(', ');
      if (plot.type === 'line') {
        const lines = chosen.flatMap((arm) => series.map((key) => ({ name: chosen.length === 1 ? labelled(key) : series.length === 1 ? arm.name : `${arm.name}: ${labelled(key)}`, points: arm.series[key] }))).filter((line) => line.points.length || chosen.length === 1);
        add(title, lineChart(lines, { title, x: plot.x ?? 'steps', y, logX, logY, style }));
      } else {
        const begun = chosen.filter((arm) => series.some((key) => arm.last[key] !== undefined));
        add(title, barChart({ labels: begun.map((arm) => arm.name), series: series.map((key) => ({ name: labelled(key), values: begun.map((arm) => arm.last[key] ?? NaN) })) }, { title, x: plot.x, y, style }));
      }
      continue;
    }
    for (const arm of chosen) {
      const shown = /** @type {any} */ (arm.pictures[/** @type {string} */ (picture)]);
      if (!shown) continue;
      const whole = chosen.length > 1 ? `${title}: ${arm.name}` : title, options = { title: whole, x: plot.x, y: plot.y, logX, logY, style };
      add(whole, plot.type === 'heat' ? heatMap(shown, options) : plot.type === 'scatter' ? scatterPlot(shown, options) : barChart({ labels: shown.bars, series: [{ name: whole, values: shown.values }] }, options), `${picture}${chosen.length > 1 ? ` ${arm.name}` : ''}`);
    }
  }
  return out;
}
