// One feature across, the target up: points, curve, band, tangent, the rows that carry weight.

import { short, wordsOf } from "./fits.js";
import { axis, categories, colour, keptColours, layout, roomy } from "./plot.js";

const MOST_HEAVY = 300;

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./state.js").State} State */

/**
 * Return the places of a feature at which a curve is asked for.
 * @param {import("./data.js").Feature} feature
 * @param {[number, number] | null} range
 * @param {number} points
 */
export function placesOf(feature, range, points) {
  if (feature.levels) return feature.levels;
  const [from, to] = range ?? [feature.min, feature.max];
  if (from === to) return [from];
  // The last one is the end itself: beyond it by rounding would be outside of the data.
  return Array.from({ length: points }, (_, i) => (i === points - 1 ? to : from + (i * (to - from)) / (points - 1)));
}

/** Return queries that differ in one feature. @param {any[]} held @param {number} j @param {any[]} places */
export function queriesAlong(held, j, places) {
  if (held.length === 1) return places;
  return places.map((place) => held.map((cell, i) => (i === j ? place : cell)));
}

/** Return the column of an answer that is shown. @param {any} answer @param {any} estimates @param {number} value */
export function columnOf(answer, estimates, value) {
  const wide = answer.probabilities !== undefined || answer.target_names.length > 1;
  return wide ? estimates.map((row) => row?.[value] ?? null) : estimates;
}

/** Return the estimates of an answer that are shown. @param {any} answer @param {number} value */
export const estimatesOf = (answer, value) => columnOf(answer, answer.mean ?? answer.probabilities, value);

/** @typedef {{places: any[], answer: any, isCoarse?: boolean}} Curve */
/** @typedef {{place: any, answer: any, tangent: "slope" | "gradient" | null}} Look */

/**
 * Return the traces of the view, in an order that stays: points, band, curve, kept fits, descents,
 * then what belongs to the pointer.
 * @param {State} state
 * @param {Data} data
 * @param {Curve} curve
 * @param {{fit: any, curve: Curve | null}[]} kept
 * @param {any[]} paths
 * @param {Look | null} look
 */
export function curveTraces(state, data, curve, kept, paths, look) {
  const [j, value] = [data.featureIndex(state.a, 0), data.valueIndex(state)];
  const { levels } = data.features[j];
  const colours = keptColours();
  return [
    pointsTrace(data, j, value),
    bandTrace(levels ? [] : curve.places, ...sidesOf(curve.answer, value)),
    {
      name: wordsOf(curve.answer.fit), uid: "curve", ...(levels ? levelMarks(curve.answer, value, 0, curve.places.length) : { mode: "lines" }), x: curve.places, y: estimatesOf(curve.answer, value),
      line: { color: colour("accent"), width: 2.5 }, connectgaps: false, hovertemplate: "%{y:.4~g}<extra></extra>", meta: { fit: curve.answer.fit, isCoarse: curve.isCoarse },
    },
    ...kept.filter((one) => one.curve).map((one, i) => ({
      name: wordsOf(one.fit), uid: `kept${i}`, mode: levels ? "markers" : "lines", x: one.curve.places, y: estimatesOf(one.curve.answer, value),
      marker: { color: colours[i % colours.length], size: 9, symbol: "diamond" },
      line: { color: colours[i % colours.length], width: 2, dash: "dash" }, hoverinfo: "name",
    })),
    ...paths.map((path, i) => ({
      name: `descent ${i + 1}`, uid: `path${i}`, mode: "lines+markers", hovertemplate: "%{x:.4~g}: %{y:.4~g}<extra>descent</extra>",
      x: path.points.map((point) => (Array.isArray(point) ? point[j] : point)), y: path.values,
      line: { color: colour("heavy"), width: 1.5 },
      marker: { color: colour("heavy"), size: path.values.map((_, step) => (step === path.values.length - 1 ? 11 : 5)) },
    })),
    ...lookTraces(state, data, look),
  ];
}

/**
 * Return how estimates at the levels of a category are drawn: as marks with bars in the place of a
 * band, for there is nothing between two levels.
 * @param {any} answer
 * @param {number} value
 * @param {number} start - Of its queries among those of the answer.
 * @param {number} count
 */
export function levelMarks(answer, value, start, count) {
  const marks = { mode: "markers", marker: { color: colour("accent"), size: 11, symbol: "diamond" } };
  if (!answer.interval) return marks;
  const part = (estimates) => columnOf(answer, estimates, value).slice(start, start + count);
  const [lower, upper, middle] = [part(answer.interval.lower), part(answer.interval.upper), estimatesOf(answer, value).slice(start, start + count)];
  const span = (side) => middle.map((estimate, i) => (side[i] === null || estimate === null ? 0 : Math.abs(side[i] - estimate)));
  return { ...marks, error_y: { type: "data", symmetric: false, array: span(upper), arrayminus: span(lower), color: colour("accent"), thickness: 1.5, width: 8 } };
}

/** @param {Data} data @param {number} j @param {number} value */
export function pointsTrace(data, j, value) {
  return {
    name: "rows", uid: "rows", mode: "markers", x: data.x.map((cells) => cells[j]), y: data.y[value], customdata: data.rows,
    marker: { color: colour("points"), size: 5.5, opacity: data.rows.length > 800 ? 0.35 : 0.65 },
    hovertemplate: "row %{customdata}: %{x}, %{y}<extra></extra>",
  };
}

/**
 * Return the band between two sides: an area for each stretch of places where both are known.
 * @param {any[]} places
 * @param {(number | null)[]} lower
 * @param {(number | null)[]} upper
 */
export function bandTrace(places, lower, upper) {
  const [x, y] = [[], []];
  let stretch = [];
  const close = () => {
    if (!stretch.length) return;
    const back = [...stretch].reverse();
    x.push(...stretch.map((i) => places[i]), ...back.map((i) => places[i]), null);
    y.push(...stretch.map((i) => lower[i]), ...back.map((i) => upper[i]), null);
    stretch = [];
  };
  places.forEach((_, i) => (lower[i] == null || upper[i] == null ? close() : stretch.push(i)));
  close();
  return {
    name: "band", uid: "band", mode: "lines", x, y, line: { color: colour("accent"), width: 0 },
    fill: "toself", fillcolor: colour("band"), hoverinfo: "skip",
  };
}

/** Return the sides of the band of an answer; none where it has none. @param {any} answer @param {number} value */
export function sidesOf(answer, value) {
  const { lower, upper } = answer.interval ?? { lower: [], upper: [] };
  return [columnOf(answer, lower, value), columnOf(answer, upper, value)];
}

/**
 * Return the traces of the place that is looked at: the rows that carry weight, sized by it, the
 * tangent, and the estimate.
 * @param {State} state
 * @param {Data} data
 * @param {Look | null} look
 */
export function lookTraces(state, data, look) {
  const [j, value] = [data.featureIndex(state.a, 0), data.valueIndex(state)];
  const [heavy, tangent, here] = [{ x: [], y: [], size: [], text: [] }, { x: [], y: [] }, { x: [], y: [] }];
  const estimate = look ? estimatesOf(look.answer, value)[0] : null;
  if (look && estimate !== null) {
    here.x.push(look.place);
    here.y.push(estimate);
    const found = look.answer.neighbors?.[0];
    const most = found?.weights.reduce((high, weight) => Math.max(high, Math.abs(weight)), Number.MIN_VALUE);
    for (const [row, weight] of heaviest(found)) {
      const drawn = data.placeOf(row);
      if (drawn === undefined) continue;
      heavy.x.push(data.x[drawn][j]);
      heavy.y.push(data.y[value][drawn]);
      heavy.size.push(3 + 15 * Math.sqrt(Math.abs(weight) / most));
      heavy.text.push(`row ${row}, weight ${short(weight)}`);
    }
    const slope = slopeAt(look, data, j, value);
    if (slope !== null && !data.features[j].levels) {
      const { min, max } = data.features[j];
      const half = 0.09 * (max - min);
      tangent.x.push(look.place - half, look.place + half);
      tangent.y.push(estimate - half * slope, estimate + half * slope);
    }
  }
  return [
    {
      name: "rows that carry weight", uid: "heavy", mode: "markers", x: heavy.x, y: heavy.y, text: heavy.text, hoverinfo: "text",
      marker: { size: heavy.size, color: colour("heavy"), opacity: 0.55, line: { width: 0 } },
    },
    { name: "tangent", uid: "tangent", mode: "lines", ...tangent, line: { color: colour("heavy"), width: 3 }, hoverinfo: "skip" },
    {
      name: "here", uid: "here", mode: "markers", ...here, hoverinfo: "skip",
      marker: { size: 10, color: colour("heavy"), line: { color: colour("card"), width: 2 } },
    },
  ];
}

/** Return rows and weights, the heaviest where they are too many to tell apart. @param {any} found @returns {[number, number][]} */
function heaviest(found) {
  const pairs = (found?.rows ?? []).map((row, i) => [row, found.weights[i]]);
  if (pairs.length <= MOST_HEAVY) return pairs;
  return pairs.sort(([, a], [, b]) => Math.abs(b) - Math.abs(a)).slice(0, MOST_HEAVY);
}

/** Return the slope across at the place that is looked at. @param {Look} look @param {Data} data @param {number} j @param {number} value */
export function slopeAt(look, data, j, value) {
  if (!look.tangent) return null;
  let slope = look.answer[look.tangent]?.[0];
  if (data.values.length > 1) slope = slope?.[value];
  return slope?.[j] ?? null;
}

/** @param {State} state @param {Data} data */
export function curveLayout(state, data) {
  const [feature, value] = [data.features[data.featureIndex(state.a, 0)], data.values[data.valueIndex(state)]];
  const across = feature.levels ? categories(feature.levels) : { range: state.range ?? roomy(feature.min, feature.max) };
  const up = data.classes ? `probability of ${value.name}` : value.name;
  return layout({
    uirevision: JSON.stringify([state.dataset, state.a, state.value, state.range]),
    xaxis: axis({ title: { text: feature.name }, ...across }),
    yaxis: axis({ title: { text: up }, range: roomy(value.min, value.max), fixedrange: true }),
  });
}
