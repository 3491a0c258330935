/**
 * The numbers behind a plot, as a table. Pure functions, no DOM.
 */

/**
 * @typedef {{ title: string, x?: string, y?: string, logX?: boolean, logY?: boolean }} Labels
 * @typedef {Labels & { type: 'line', lines: { name: string, points: [x: number, y: number][] }[] }} LinePlot
 * @typedef {Labels & { type: 'bar', bars: string[], values?: ArrayLike<number>, series?: { name: string, values: ArrayLike<number> }[] }} BarPlot
 * @typedef {Labels & { type: 'scatter', xs: ArrayLike<number>, ys: ArrayLike<number>, labels?: string[], groups?: ArrayLike<number>, groupNames?: string[] }} ScatterPlot
 * @typedef {Labels & { type: 'heat', rows: number, cols: number, values: ArrayLike<number>, labels?: string[] | { rows?: string[], cols?: string[] }, min?: number, max?: number }} HeatPlot
 * @typedef {LinePlot | BarPlot | ScatterPlot | HeatPlot} ChartPlot
 * @typedef {{ head: string[], rows: (string | number)[][] }} Numbers the first cell of a row names it
 */

/** The numbers of a plot. @param {ChartPlot} plot @returns {Numbers} */
export function numbersOf(plot) {
    if (plot.type === 'line') {
        const xs = [...new Set(plot.lines.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b), at = plot.lines.map(({ points }) => new Map(points));
        return { head: [plot.x ?? 'x', ...plot.lines.map(({ name }) => name)], rows: xs.map((x) => [x, ...at.map((map) => map.get(x) ?? NaN)]) };
    }
    if (plot.type === 'bar') {
        const series = plot.series ?? [{ name: plot.y ?? 'value', values: plot.values ?? [] }];
        return { head: [plot.x ?? '', ...series.map(({ name }) => name)], rows: plot.bars.map((bar, i) => [bar, ...series.map(({ values }) => values[i])]) };
    }
    if (plot.type === 'scatter') {
        const { xs, ys, labels, groups, groupNames } = plot;
        return {
            head: ['point', plot.x ?? 'x', plot.y ?? 'y', ...(groups ? ['group'] : [])],
            rows: Array.from(xs, (x, i) => [labels?.[i] ?? String(i + 1), x, ys[i], ...(groups ? [groupNames?.[groups[i]] ?? String(groups[i])] : [])]),
        };
    }
    const { rows: rowNames, cols: colNames } = Array.isArray(plot.labels) ? { rows: plot.labels, cols: plot.labels } : (plot.labels ?? {});
    return {
        head: [plot.y ?? '', ...Array.from({ length: plot.cols }, (_, j) => colNames?.[j] ?? String(j + 1))],
        rows: Array.from({ length: plot.rows }, (_, i) => [rowNames?.[i] ?? String(i + 1), ...Array.from({ length: plot.cols }, (_, j) => plot.values[i * plot.cols + j])]),
    };
}
