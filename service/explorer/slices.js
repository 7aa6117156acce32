// How the target goes along each feature, all others held at a chosen row.

import { bandTrace, estimatesOf, levelMarks, placesOf, queriesAlong, sidesOf } from "./curve.js";
import { axis, categories, colour, keptColours, layout, roomy } from "./plot.js";

const MOST_FEATURES = 9;
const POINTS = 61;

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./state.js").State} State */
/** @typedef {{features: number[], places: any[][], queries: any[][]}} Slices */

/**
 * Return the queries of all slices, one slice after the other.
 * @param {State} state
 * @param {Data} data
 * @param {number[] | null} shares - How relevant each feature is, as far as that is known.
 * @returns {Slices}
 */
export function slicesOf(state, data, shares) {
  const order = data.features.map((_, j) => j);
  if (shares) order.sort((one, other) => shares[other] - shares[one]);
  const features = order.slice(0, MOST_FEATURES);
  const held = data.held(state.row).x;
  const places = features.map((j) => placesOf(data.features[j], null, POINTS));
  return { features, places, queries: features.flatMap((j, i) => queriesAlong(held, j, places[i])) };
}

/**
 * @param {State} state
 * @param {Data} data
 * @param {Slices} slices
 * @param {any} answer
 * @param {{fit: any, curve: any}[]} kept
 */
export function slicesTraces(state, data, slices, answer, kept) {
  const value = data.valueIndex(state);
  const held = data.held(state.row);
  const at = data.rows.indexOf(held.row);
  const colours = keptColours();
  const traces = [];
  let start = 0;
  slices.features.forEach((j, i) => {
    const places = slices.places[i];
    const part = (column) => column.slice(start, start + places.length);
    const axes = { xaxis: `x${i + 1}`, yaxis: `y${i + 1}` };
    const { name, levels } = data.features[j];
    traces.push({
      ...axes, uid: `rows${i}`, name: "rows", mode: "markers", x: data.x.map((cells) => cells[j]), y: data.y[value], customdata: data.rows,
      marker: { color: colour("points"), size: 4, opacity: data.rows.length > 800 ? 0.25 : 0.45 }, hovertemplate: "row %{customdata}<extra></extra>",
    });
    if (answer.interval && !levels) {
      const [lower, upper] = sidesOf(answer, value).map(part);
      traces.push({ ...bandTrace(places, lower, upper), ...axes, uid: `band${i}` });
    }
    traces.push({
      ...axes, uid: `curve${i}`, name, x: places, ...(levels ? levelMarks(answer, value, start, places.length) : { mode: "lines" }), y: part(estimatesOf(answer, value)), line: { color: colour("accent"), width: 2.5 },
      hovertemplate: "%{x}: %{y:.4~g}<extra></extra>",
    });
    kept.filter((one) => one.curve).forEach((one, number) => traces.push({
      ...axes, uid: `kept${i}-${number}`, mode: levels ? "markers" : "lines", x: places, y: part(estimatesOf(one.curve.answer, value)), hoverinfo: "skip",
      line: { color: colours[number % colours.length], width: 2, dash: "dash" },
    }));
    traces.push({
      ...axes, uid: `held${i}`, name: "the row", mode: "markers", x: [held.x[j]], y: [data.y[value][at]], customdata: [held.row],
      marker: { color: colour("heavy"), size: 10, line: { color: colour("card"), width: 2 } }, hovertemplate: "row %{customdata}, held<extra></extra>",
    });
    start += places.length;
  });
  return traces;
}

/** @param {State} state @param {Data} data @param {Slices} slices @param {number} width - Pixels. */
export function slicesLayout(state, data, slices, width) {
  const columns = Math.max(1, Math.min(3, slices.features.length, Math.floor(width / 260)));
  const rows = Math.ceil(slices.features.length / columns);
  const value = data.values[data.valueIndex(state)];
  const axes = {};
  slices.features.forEach((j, i) => {
    const { name, levels, min, max } = data.features[j];
    axes[`xaxis${i + 1}`] = axis({ title: { text: name, standoff: 4 }, ...(levels ? categories(levels) : { range: roomy(min, max) }) });
    axes[`yaxis${i + 1}`] = axis({ range: roomy(value.min, value.max), title: { text: i % columns ? "" : value.name } });
  });
  return layout({
    ...axes, grid: { rows, columns, pattern: "independent", xgap: 0.16, ygap: 0.3 }, height: Math.max(320, 230 * rows),
    uirevision: JSON.stringify([state.dataset, slices.features]), margin: { l: 52, r: 12, t: 30, b: 48 },
  });
}
