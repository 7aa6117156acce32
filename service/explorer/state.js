// What the page shows, and the same as the part of its address after #, so that it can be shared.

/**
 * @typedef {object} State
 * @property {string | null} dataset
 * @property {"curve" | "map" | "slices" | null} view null for what suits the number of features.
 * @property {string | null} a The feature across.
 * @property {string | null} b The feature up, of a map.
 * @property {string | null} value The target, or the class whose probability is shown.
 * @property {number | null} row The row whose other features are held.
 * @property {import("./fits.js").Fit | null} fit
 * @property {import("./fits.js").Fit[]} kept
 * @property {string} band
 * @property {number} level
 * @property {[number, number] | null} range What a curve runs over; null for all the rows.
 * @property {number} points Of a curve.
 * @property {any[][]} starts Of descents.
 * @property {boolean} ascent
 */

/** @returns {State} */
export const fresh = () => ({
  dataset: null, view: null, a: null, b: null, value: null, row: null, fit: null, kept: [],
  band: "conformal", level: 0.9, range: null, points: 201, starts: [], ascent: false,
});

/** Return what the address says; what it leaves out, or says badly, is as at first. @param {string} hash */
export function fromHash(hash) {
  const state = fresh();
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    if (!(name in state)) continue;
    try {
      const value = JSON.parse(text);
      if (fitsShape(name, value)) state[name] = value;
    } catch {
      if (typeof state[name] !== "object" || state[name] === null) state[name] = text;
    }
  }
  return state;
}

/** Return the address of this state; what is as at first is left out. @param {State} state */
export function toHash(state) {
  const parameters = new URLSearchParams();
  const first = fresh();
  for (const [name, value] of Object.entries(state)) {
    if (JSON.stringify(value) === JSON.stringify(first[name])) continue;
    parameters.set(name, typeof value === "string" && !readsAsJson(value) ? value : JSON.stringify(value));
  }
  return `#${parameters}`;
}

/** @param {string} text */
function readsAsJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const finite = (value) => typeof value === "number" && Number.isFinite(value);
const SHAPES = {
  view: (value) => ["curve", "map", "slices"].includes(value),
  row: (value) => Number.isInteger(value) && value >= 0,
  fit: (value) => typeof value?.method === "string",
  kept: (value) => Array.isArray(value) && value.every((fit) => typeof fit?.method === "string"),
  level: (value) => finite(value) && value > 0 && value < 1,
  range: (value) => Array.isArray(value) && value.length === 2 && value.every(finite) && value[0] < value[1],
  points: (value) => Number.isInteger(value) && value >= 2 && value <= 10000,
  starts: (value) => Array.isArray(value) && value.every(Array.isArray),
  ascent: (value) => typeof value === "boolean",
};

/** @param {string} name @param {any} value */
const fitsShape = (name, value) => (SHAPES[name] ?? ((text) => typeof text === "string"))(value);
