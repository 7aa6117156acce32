// A dataset as the page draws it: its columns, and some of its rows.

import { ask } from "./service.js";

const MOST_DRAWN = 2000;
const PIECES = 8;

/**
 * @typedef {object} Feature
 * @property {string} name
 * @property {(string | number)[]} [levels] Of a category.
 * @property {number} min
 * @property {number} max
 * @property {number} mean
 * @property {number} deviation
 */
/** @typedef {{name: string, min: number, max: number}} Value A target, or the probability of a class. */

/** A dataset, and as many of its rows as are drawn. */
export class Data {
  /** @type {Map<number, number>} */
  #places;

  /**
   * @param {any} about - What `GET /datasets/{id}` says.
   * @param {number[]} rows - The positions of the rows that are drawn.
   * @param {any[][]} x
   * @param {(number | string)[][]} y - A list a row.
   */
  constructor(about, rows, x, y) {
    this.about = about;
    this.rows = rows;
    this.#places = new Map(rows.map((row, i) => [row, i]));
    this.x = x;
    /** @type {Feature[]} */
    this.features = about.summary.features.map(featureOf);
    /** Whether some row misses a feature. */
    this.hasGaps = about.summary.features.some(({ missing }) => missing > 0);
    /** @type {(string | number)[] | null} */
    this.classes = about.summary.classes?.map(({ label }) => label) ?? null;
    /** @type {Value[]} */
    this.values = this.classes
      ? this.classes.map((label) => ({ name: String(label), min: 0, max: 1 }))
      : about.summary.targets.map(({ name, min, max }) => ({ name, min, max }));
    /** One list a value, of what the rows have of it. @type {number[][]} */
    this.y = this.values.map((_, j) => y.map((row) => (this.classes ? Number(row[0] === this.classes[j]) : row[j])));
  }

  /** Return where a row is among those drawn, if it is. @param {number} row */
  placeOf(row) {
    return this.#places.get(row);
  }

  /** @param {import("./state.js").State} state */
  valueIndex(state) {
    return Math.max(0, this.values.findIndex(({ name }) => name === state.value));
  }

  /** @param {string | null} name @param {number} otherwise */
  featureIndex(name, otherwise) {
    const found = this.features.findIndex((feature) => feature.name === name);
    return found < 0 ? Math.min(otherwise, this.features.length - 1) : found;
  }

  /**
   * Return the features of the row that slices go through: the chosen one, if it is drawn and
   * complete, or else the one that is nearest to the middle of the rows.
   * @param {number | null} row
   * @returns {{row: number, x: any[]}}
   */
  held(row) {
    const whole = (cells) => cells.every((cell) => cell !== null);
    const chosen = row === null ? -1 : this.rows.indexOf(row);
    if (chosen >= 0 && whole(this.x[chosen])) return { row, x: this.x[chosen] };
    let [best, least] = [0, Infinity];
    this.x.forEach((cells, i) => {
      const far = cells.reduce((sum, cell, j) => {
        const { levels, mean, deviation } = this.features[j];
        return levels ? sum : sum + ((cell - mean) / (deviation || 1)) ** 2;
      }, 0);
      if (far < least && whole(cells)) [best, least] = [i, far];
    });
    return { row: this.rows[best], x: this.x[best] };
  }

  /** The length that bandwidths are compared with, in the unit of the metric. @param {any} metric */
  scale(metric) {
    const numbers = this.features.filter(({ levels }) => !levels);
    const spans = numbers.map(({ min, max, deviation }) => (metric === "euclidean" ? max - min : (max - min) / (deviation || 1)));
    const mean = spans.reduce((sum, span) => sum + span, 0) / spans.length;
    return mean > 0 ? mean : 1;
  }
}

/** @param {any} summary @returns {Feature} */
function featureOf(summary) {
  const { name, levels, min, max, mean, standard_deviation: deviation } = summary;
  if (!levels) return { name, min, max, mean, deviation };
  return { name, levels: levels.map(({ level }) => level), min: 0, max: levels.length - 1, mean: 0, deviation: 1 };
}

/**
 * Return the dataset with all of its rows, or an even choice of stretches of them.
 * @param {string} id
 * @returns {Promise<Data>}
 */
export async function loadData(id) {
  const address = `datasets/${encodeURIComponent(id)}`;
  const about = await ask(address);
  const n = about.rows;
  const limit = n <= MOST_DRAWN ? n : MOST_DRAWN / PIECES;
  const offsets = n <= MOST_DRAWN ? [0] : Array.from({ length: PIECES }, (_, i) => Math.floor((i * (n - limit)) / (PIECES - 1)));
  const parts = await Promise.all(offsets.map((offset) => ask(`${address}/rows?offset=${offset}&limit=${limit}`)));
  const [rows, x, y] = [[], [], []];
  parts.forEach((part, i) => {
    part.x.forEach((cells, j) => {
      rows.push(offsets[i] + j);
      x.push(Array.isArray(cells) ? cells : [cells]);
      y.push(Array.isArray(part.y[j]) ? part.y[j] : [part.y[j]]);
    });
  });
  return new Data(about, rows, x, y);
}
