// The requests of the page as data, and as lines to run elsewhere.

/**
 * @typedef {object} Asked
 * @property {string} path
 * @property {Record<string, any>} body
 */

/**
 * Return a request to predict.
 * @param {import("./state.js").State} state
 * @param {import("./fits.js").Fit} fit
 * @param {any[]} queries
 * @param {{band?: boolean, include?: string[]}} [wanted]
 * @returns {Asked}
 */
export function prediction(state, fit, queries, { band = false, include = [] } = {}) {
  const body = { dataset_id: state.dataset, queries, fit };
  if (band) include = ["interval", ...include];
  if (include.length) body.include = include;
  if (band) Object.assign(body, { interval_kind: state.band, level: state.level });
  return { path: "predict", body };
}

/**
 * Return a request to go down from the starts, on the axes shown and within the range of the rows.
 *
 * The first step is a twentieth of the way across the rows where the surface is as steep as their
 * whole range; a line search makes it shorter where it has to be.
 * @param {import("./state.js").State} state
 * @param {import("./fits.js").Fit} fit
 * @param {import("./data.js").Data} data
 * @param {number[]} axes
 * @param {number} maxSteps
 * @returns {Asked}
 */
export function descent(state, fit, data, axes, maxSteps) {
  const spans = axes.map((j) => data.features[j]).filter((feature) => !feature.levels);
  const across = Math.min(...spans.map((feature) => feature.max - feature.min));
  const value = data.values[data.valueIndex(state)];
  const up = Math.max(value.max - value.min, Number.MIN_VALUE);
  const side = (name) => data.features.map((feature, j) => {
    if (feature.levels) return null;
    return axes.includes(j) ? feature[name] : state.starts[0][j];
  });
  const body = {
    dataset_id: state.dataset, starts: state.starts, fit, ascent: state.ascent,
    rate: Math.min(Math.max((0.05 * across * across) / up, 1e-150), 1e150) || 0.1,
    line_search: true, max_steps: maxSteps, bounds: { low: side("min"), high: side("max") },
  };
  if (data.features.length === 1) body.starts = state.starts.map(([start]) => start);
  if (data.values.length > 1) body.target = value.name;
  return { path: "minimize", body };
}

/**
 * Return the request as a line for a shell.
 * @param {Asked} asked
 * @param {string} page - The address of the page.
 */
export function asCurl({ path, body }, page) {
  const text = JSON.stringify(body).replaceAll("'", "'\\''");
  return `curl -sS '${new URL(path, page)}' -H 'Content-Type: application/json' -d '${text}'`;
}

/**
 * Return the request as a Python program that needs nothing but Python.
 * @param {Asked} asked
 * @param {string} page
 */
export function asPython({ path, body }, page) {
  return `import json
from urllib.request import Request, urlopen

body = ${literal(body)}
request = Request(
    ${literal(String(new URL(path, page)))},
    json.dumps(body).encode(),
    {"Content-Type": "application/json"},
)
with urlopen(request) as answer:
    print(json.load(answer))
`;
}

/** Return a value as Python writes it. @param {any} value @returns {string} */
function literal(value) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") {
    const pairs = Object.entries(value).filter(([, item]) => item !== undefined);
    return `{${pairs.map(([name, item]) => `${JSON.stringify(name)}: ${literal(item)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
