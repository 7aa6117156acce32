// Between the controls of the page and the `fit` of a request.

/**
 * @typedef {object} Controls What the controls say, also of methods that are not chosen.
 * @property {string} method
 * @property {"n_neighbors" | "bandwidth"} reach Of smoothers; of kriging, whether it looks at the nearest rows only.
 * @property {number} k
 * @property {number} bandwidth Of kriging, the length scale.
 * @property {string} kernel
 * @property {string} covariance
 * @property {string} weights
 * @property {number} degree
 * @property {number} ridge
 * @property {number} alpha
 * @property {number} robust
 * @property {string | object} metric
 */
/** @typedef {{method: string} & Record<string, any>} Fit */

export const KERNELS = ["gaussian", "epanechnikov", "tricube", "uniform", "triangular", "biweight", "triweight", "cosine"];
export const COVARIANCES = ["gaussian", "laplacian", "matern32", "matern52"];
export const WEIGHTS = ["uniform", "distance"];

/**
 * Return what the kernel menu chooses for a method: the name of the control and its values.
 * @param {string} method
 * @returns {{control: "kernel" | "covariance" | "weights", label: string, names: string[]} | null}
 */
export function kernelMenu(method) {
  if (method === "knn") return { control: "weights", label: "Weights", names: WEIGHTS };
  if (method === "kriging") return { control: "covariance", label: "Covariance", names: COVARIANCES };
  if (isSmoother(method)) return { control: "kernel", label: "Kernel", names: KERNELS };
  return null;
}

/** @param {string} method */
export const isSmoother = (method) => method === "nadaraya_watson" || method === "local_polynomial";

/** @param {Controls} controls @returns {Fit} */
export function fitOf(controls) {
  const { method, metric, k } = controls;
  if (method === "auto") return { method };
  if (method === "linear") return { method, metric };
  if (method === "knn") return { method, metric, n_neighbors: k, weights: controls.weights };
  if (method === "kriging") {
    const local = controls.reach === "n_neighbors" ? { n_neighbors: k } : {};
    return { method, metric, kernel: controls.covariance, length_scale: controls.bandwidth, alpha: controls.alpha, ...local };
  }
  const fit = { method, metric, kernel: controls.kernel };
  if (controls.reach === "n_neighbors") fit.n_neighbors = k;
  else fit.bandwidth = controls.bandwidth;
  if (method === "local_polynomial") {
    fit.degree = controls.degree;
    if (controls.ridge) fit.ridge = controls.ridge;
  }
  if (controls.robust) fit.robust = controls.robust;
  return fit;
}

/**
 * Return the controls that say this fit; what it does not speak of stays.
 * @param {Fit} fit
 * @param {Controls} before
 * @returns {Controls}
 */
export function controlsOf(fit, before) {
  const controls = { ...before, method: fit.method === "local_linear" ? "local_polynomial" : fit.method };
  if (fit.metric !== undefined) controls.metric = fit.metric;
  if (fit.n_neighbors != null) controls.k = fit.n_neighbors;
  if (fit.bandwidth != null) controls.bandwidth = fit.bandwidth;
  if (fit.length_scale != null) controls.bandwidth = fit.length_scale;
  if (fit.alpha != null) controls.alpha = fit.alpha;
  if (fit.method !== "knn") controls.reach = fit.n_neighbors == null ? "bandwidth" : "n_neighbors";
  const menu = kernelMenu(controls.method);
  if (menu) controls[menu.control] = (fit.method === "knn" ? fit.weights : fit.kernel) ?? controls[menu.control];
  if (isSmoother(controls.method)) controls.robust = fit.robust ?? 0;
  if (controls.method === "local_polynomial") {
    controls.degree = fit.degree ?? 1;
    controls.ridge = fit.ridge ?? 0;
  }
  return controls;
}

const METHOD_WORDS = {
  auto: "auto", knn: "nearest rows", nadaraya_watson: "kernel mean", kriging: "kriging", linear: "linear regression",
};
const DEGREE_WORDS = ["local constant", "local line", "local parabola", "local cubic"];

/** Return the fit in a few words. @param {Fit} fit */
export function wordsOf(fit) {
  const words = [METHOD_WORDS[fit.method] ?? DEGREE_WORDS[fit.degree ?? 1]];
  if (fit.kernel) words.push(fit.kernel);
  if (fit.weights === "distance") words.push("by distance");
  if (fit.n_neighbors != null) words.push(`k = ${fit.n_neighbors}`);
  if (fit.bandwidth != null) words.push(`h = ${short(fit.bandwidth)}`);
  if (fit.length_scale != null) words.push(`ℓ = ${short(fit.length_scale)}, α = ${short(fit.alpha ?? 1)}`);
  if (fit.robust) words.push("robust");
  if (typeof fit.metric === "object") words.push("learned metric");
  else if (fit.metric && fit.metric !== "euclidean") words.push(fit.metric);
  return words.join(", ");
}

/** Return whether tangents of the fit can be asked for, and by which name. @param {Fit} fit */
export function tangentOf(fit) {
  if (fit.method === "linear" || fit.method === "local_linear" || fit.method === "local_polynomial") {
    return fit.degree === 0 ? (fit.kernel === "uniform" ? null : "gradient") : "slope";
  }
  if (fit.method === "kriging") return "gradient";
  return fit.method === "nadaraya_watson" && fit.kernel !== "uniform" ? "gradient" : null;
}

/** Return a number with at most four digits, for people. @param {number | null | undefined} value */
export function short(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(2).replace("-", "−");
  return String(Number(value.toPrecision(4))).replace("-", "−");
}
