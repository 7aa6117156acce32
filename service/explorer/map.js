// Two features, the target as colour: heat map with contours, rows, and descents from clicks.

import { estimatesOf, placesOf } from "./curve.js";
import { axis, categories, keptColours, layout } from "./plot.js";
import { wordsOf } from "./fits.js";

const [SIDE, FEWER] = [51, 26]; // every other one
const MOST_POINTS = 500;
// Plotly's own scale, dark to light; it reads in both themes and without colour vision.
const SCALE = "Viridis";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./state.js").State} State */
/** @typedef {{places: any[][], queries: any[][], isCoarse?: boolean}} Grid */

/** Return the two features that are shown. @param {State} state @param {Data} data @returns {[number, number]} */
export function axesOf(state, data) {
  const a = data.featureIndex(state.a, 0);
  const b = data.featureIndex(state.b, a === 0 ? 1 : 0);
  return [a, b === a ? (a === 0 ? 1 : 0) : b];
}

/** Return the queries of the map, row by row. @param {State} state @param {Data} data @param {boolean} isCoarse @returns {Grid} */
export function gridOf(state, data, isCoarse) {
  const [a, b] = axesOf(state, data);
  const places = [a, b].map((j) => placesOf(data.features[j], null, isCoarse ? FEWER : SIDE));
  const held = data.held(state.row).x;
  const queries = places[1].flatMap((up) => places[0].map((across) => {
    const query = [...held];
    [query[a], query[b]] = [across, up];
    return query;
  }));
  return { places, queries };
}

/** Return the estimates of the map as its rows. @param {Grid} grid @param {any} answer @param {number} value */
function heights({ places }, answer, value) {
  const estimates = estimatesOf(answer, value);
  const across = places[0].length;
  return places[1].map((_, i) => estimates.slice(i * across, (i + 1) * across));
}

/**
 * @param {State} state
 * @param {Data} data
 * @param {Grid} grid
 * @param {any} answer
 * @param {{fit: any, curve: any}[]} kept
 * @param {any[]} paths
 */
export function mapTraces(state, data, grid, answer, kept, paths) {
  const [[a, b], value] = [axesOf(state, data), data.valueIndex(state)];
  const z = heights(grid, answer, value);
  const known = z.flat().filter((height) => height !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const colours = keptColours();
  const title = { text: data.values[value].name, side: "right" };
  const hasLevels = [a, b].some((j) => data.features[j].levels);
  const every = Math.ceil(data.rows.length / MOST_POINTS); // each has a colour of its own, which takes long to draw
  const some = (column) => column.filter((_, i) => i % every === 0);
  return [
    {
      // Between two levels of a category there is nothing for a contour to go through.
      type: hasLevels ? "heatmap" : "contour", uid: "map", x: grid.places[0], y: grid.places[1], z, zmin: low, zmax: high, colorscale: SCALE, ncontours: 14,
      // To place the labels takes longer than all else; they come once the sliders rest.
      contours: { coloring: "heatmap", showlabels: !grid.isCoarse, labelfont: { size: 10, color: "#fff" } },
      line: { color: "rgba(255,255,255,.55)", width: 0.8 }, connectgaps: false, colorbar: { title, thickness: 12, outlinewidth: 0 },
      hovertemplate: "%{x:.4~g}, %{y:.4~g}: %{z:.4~g}<extra></extra>", meta: { fit: answer.fit, isCoarse: grid.isCoarse },
    },
    ...kept.filter((one) => one.curve).map((one, i) => ({
      type: "contour", uid: `kept${i}`, name: wordsOf(one.fit), x: one.curve.places[0], y: one.curve.places[1],
      z: heights(one.curve, one.curve.answer, value), zmin: low, zmax: high, ncontours: 14, showscale: false, hoverinfo: "skip",
      colorscale: [[0, colours[i % colours.length]], [1, colours[i % colours.length]]],
      contours: { coloring: "lines" }, line: { width: 1.5, dash: "dot" },
    })),
    {
      uid: "rows", name: "rows", mode: "markers", x: some(data.x).map((cells) => cells[a]), y: some(data.x).map((cells) => cells[b]), customdata: some(data.rows),
      text: some(data.y[value]).map(String), hovertemplate: "row %{customdata}: %{text}<extra></extra>",
      marker: {
        size: data.rows.length > MOST_POINTS ? 5 : 7, color: some(data.y[value]), cmin: low, cmax: high, colorscale: SCALE, line: { color: "#fff", width: 0.8 },
      },
    },
    ...paths.map((path, i) => ({
      name: `descent ${i + 1}`, uid: `path${i}`, mode: "lines+markers", x: path.points.map((point) => point[a]), y: path.points.map((point) => point[b]),
      line: { color: "#fff", width: 2.5 }, text: path.values.map((height) => String(height)), hovertemplate: "%{text}<extra>descent</extra>",
      marker: { color: "#d6361f", size: path.values.map((_, step) => (step === path.values.length - 1 ? 13 : 6)), line: { color: "#fff", width: 1 } },
    })),
  ];
}

/** @param {State} state @param {Data} data */
export function mapLayout(state, data) {
  const side = (feature) => axis({
    title: { text: feature.name }, showgrid: false,
    ...(feature.levels ? categories(feature.levels) : { range: [feature.min, feature.max] }),
  });
  const [a, b] = axesOf(state, data);
  return layout({
    uirevision: JSON.stringify([state.dataset, a, b]), xaxis: side(data.features[a]), yaxis: side(data.features[b]),
  });
}
