// The controls of the fit: what they say, and how they look for it.

import { fitOf, isSmoother, kernelMenu } from "./fits.js";

const byId = (id) => document.getElementById(id);

// Bandwidths from a thousandth of the data's range to three times it; alpha from 1e-6 to 1e3.
const STEPS = 400;
const BANDWIDTHS = [1e-3, 3];
const ALPHAS = [1e-6, 1e3];
const MOST_ON_SLIDER = 100;

/** @typedef {import("./fits.js").Controls} Controls */

/** @param {number} step @param {number[]} ends @param {number} unit */
const atStep = (step, [low, high], unit) => Number((unit * low * (high / low) ** (step / STEPS)).toPrecision(4));

/** @param {number} value @param {number[]} ends @param {number} unit */
const stepOf = (value, [low, high], unit) => Math.round((STEPS * Math.log(value / (unit * low))) / Math.log(high / low)) || 0;

/**
 * Return the controls that suit a dataset before anyone has chosen.
 * @param {import("./data.js").Data} data
 * @returns {Controls}
 */
export function firstControls(data) {
  const metric = data.features.length === 1 ? "euclidean" : "standardized";
  const k = Math.max(1, Math.min(25, Math.round(data.about.rows / 5)));
  const bandwidth = Number((data.scale(metric) / 12).toPrecision(3));
  return {
    method: "local_polynomial", reach: "n_neighbors", k, bandwidth, kernel: "tricube", covariance: "matern32", weights: "uniform",
    degree: data.about.rows > 2 * data.features.length ? 1 : 0, ridge: 0, alpha: 0.1, robust: 0, metric,
  };
}

/** The controls of the page, bound to what they say. */
export class FitControls {
  /** @type {Controls} */
  values;
  #data;
  #onChange;

  /** @param {(isMoving: boolean) => void} onChange - Called when someone has changed them, or moves a slider. */
  constructor(onChange) {
    this.#onChange = onChange;
    byId("fit").addEventListener("submit", (event) => event.preventDefault());
    const choose = (id, change) => byId(id).addEventListener("change", () => this.change(change(byId(id).value)));
    choose("method", (method) => ({ method, ...(method === "kriging" && this.values.method !== "kriging" ? { reach: "bandwidth" } : {}) }));
    choose("kernel", (name) => ({ [kernelMenu(this.values.method)?.control ?? "kernel"]: name }));
    choose("degree", (degree) => ({ degree: Number(degree) }));
    choose("robust", (robust) => ({ robust: Number(robust) }));
    choose("metric", (metric) => ({ metric, bandwidth: this.#rescaled(metric) }));
    for (const radio of document.getElementsByName("reach")) {
      radio.addEventListener("click", () => this.change({ reach: this.#reachAfter(radio.value) }));
    }
    this.#slide("k", (step) => ({ k: step, ...this.#reaching("n_neighbors") }), (k) => ({ k: Math.round(k), ...this.#reaching("n_neighbors") }));
    const byBandwidth = (bandwidth) => ({ bandwidth, ...this.#reaching("bandwidth") });
    this.#slide("bandwidth", (step) => byBandwidth(atStep(step, BANDWIDTHS, this.#unit)), byBandwidth);
    this.#slide("alpha", (step) => ({ alpha: atStep(step, ALPHAS, 1) }), (alpha) => ({ alpha }));
  }

  /** What they ask for. */
  get fit() {
    return fitOf(this.values);
  }

  /** @param {import("./data.js").Data} data @param {Controls} values */
  show(data, values) {
    this.#data = data;
    this.values = values;
    this.#draw();
  }

  /** @param {Partial<Controls>} changes */
  change(changes, isMoving = false) {
    this.values = { ...this.values, ...changes };
    this.#draw();
    this.#onChange(isMoving);
  }

  get #unit() {
    return this.#data.scale(this.values.metric);
  }

  /** @param {string} metric */
  #rescaled(metric) {
    return Number(((this.values.bandwidth * this.#data.scale(metric)) / this.#unit).toPrecision(4));
  }

  /** A slider in use chooses the reach of a smoother; kriging has both. @param {"n_neighbors" | "bandwidth"} reach */
  #reaching(reach) {
    if (isSmoother(this.values.method)) return { reach };
    return reach === "n_neighbors" && this.values.method === "kriging" ? { reach } : {};
  }

  /** Of kriging, the choice of the nearest rows can be taken back. @param {string} clicked */
  #reachAfter(clicked) {
    return this.values.method === "kriging" && this.values.reach === clicked ? "bandwidth" : clicked;
  }

  /** @param {string} id @param {(step: number) => object} ofStep @param {(value: number) => object} ofNumber */
  #slide(id, ofStep, ofNumber) {
    byId(id).addEventListener("input", () => this.change(ofStep(Number(byId(id).value)), true));
    byId(`${id}-number`).addEventListener("change", () => {
      const value = Number(byId(`${id}-number`).value);
      if (value > 0) this.change(ofNumber(value));
      else this.#draw();
    });
  }

  #draw() {
    const { method, reach, k, bandwidth, alpha, metric } = this.values;
    byId("method").value = method;
    const menu = kernelMenu(method);
    byId("kernel").disabled = !menu;
    byId("kernel-name").textContent = menu?.label ?? "Kernel";
    byId("kernel").replaceChildren(...(menu?.names ?? ["–"]).map((name) => new Option(name, name)));
    if (menu) byId("kernel").value = this.values[menu.control];
    byId("degree").value = String(this.values.degree);
    byId("degree").disabled = method !== "local_polynomial";
    byId("robust").value = this.values.robust ? "3" : "0";
    byId("robust").disabled = !isSmoother(method);
    this.#drawMetric(metric);
    const uses = { knn: ["k"], kriging: ["k", "bandwidth", "alpha"], nadaraya_watson: ["k", "bandwidth"], local_polynomial: ["k", "bandwidth"] }[method] ?? [];
    const unit = this.#unit;
    this.#drawSlider("k", uses, k, Math.min(k, MOST_ON_SLIDER));
    this.#drawSlider("bandwidth", uses, bandwidth, stepOf(bandwidth, BANDWIDTHS, unit));
    this.#drawSlider("alpha", uses, alpha, alpha > 0 ? stepOf(alpha, ALPHAS, 1) : 0);
    byId("alpha-row").hidden = method !== "kriging";
    byId("bandwidth-name").textContent = method === "kriging" ? "Length scale" : "Bandwidth";
    for (const radio of document.getElementsByName("reach")) {
      radio.hidden = !isSmoother(method) && !(method === "kriging" && radio.value === "n_neighbors");
      radio.checked = radio.value === reach;
    }
  }

  /** @param {string} id @param {string[]} uses @param {number} value @param {number} step */
  #drawSlider(id, uses, value, step) {
    for (const part of [id, `${id}-number`]) byId(part).disabled = !uses.includes(id);
    byId(id).value = String(step);
    byId(id).setAttribute("aria-valuetext", String(value));
    byId(`${id}-number`).value = String(value);
  }

  /** A metric that was learned is one more choice. @param {string | object} metric */
  #drawMetric(metric) {
    const select = byId("metric");
    select.disabled = this.values.method === "auto";
    select.querySelector("option[value=tuned]")?.remove();
    if (typeof metric === "object") select.append(new Option("as tuned", "tuned"));
    select.value = typeof metric === "object" ? "tuned" : metric;
  }
}
