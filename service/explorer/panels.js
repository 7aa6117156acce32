// The panels beside the plot: the kernel's shape, relevance, tuning.

import { drawShape } from "./kernels.js";
import { isSmoother, kernelMenu, short, wordsOf } from "./fits.js";
import { axis, colour, CONFIG, layout, plotly } from "./plot.js";
import { ask } from "./service.js";

const byId = (id) => document.getElementById(id);

/**
 * Draw the kernel of the fit; with neighbours, of the bandwidth where the pointer is.
 * @param {import("./fits.js").Controls} controls
 * @param {number | null} bandwidthHere - Of the place that is looked at.
 */
export function showKernel(controls, bandwidthHere) {
  const menu = kernelMenu(controls.method);
  byId("shape-panel").hidden = !menu || controls.weights === "distance" && controls.method === "knn";
  if (byId("shape-panel").hidden) return;
  const name = controls.method === "knn" ? "uniform" : controls[menu.control];
  const fixed = controls.method === "kriging" || (isSmoother(controls.method) && controls.reach === "bandwidth");
  const h = fixed ? controls.bandwidth : bandwidthHere;
  drawShape(byId("shape"), name, h || 1, short);
  const unit = controls.metric === "euclidean" ? "" : " in the metric's unit";
  const width = controls.method === "kriging" ? `length scale ${short(h)}` : `bandwidth ${short(h)}`;
  byId("shape-text").textContent = h
    ? `${name}, ${width}${unit}${fixed ? "" : ` where you look, which is how far the nearest ${controls.k} rows reach`}; its integral is 1.`
    : `${name}, against the distance in bandwidths; its integral is 1.`;
}

/**
 * Show what each feature matters, and return the shares; null where that cannot be told.
 * @param {import("./data.js").Data} data
 * @returns {Promise<number[] | null>}
 */
export async function showRelevance(data) {
  byId("relevance-panel").hidden = data.features.length < 2;
  byId("relevance").replaceChildren();
  byId("relevance-note").textContent = "";
  if (data.features.length < 2) return null;
  if (data.hasGaps) {
    byId("relevance-note").textContent = "Not known where rows miss cells.";
    return null;
  }
  let found;
  try {
    found = await ask(`datasets/${encodeURIComponent(data.about.id)}/relevance`);
  } catch (error) {
    byId("relevance-note").textContent = error.message;
    return null;
  }
  const most = Math.max(...found.features.map(({ share }) => share), Number.MIN_VALUE);
  const sorted = [...found.features].sort((one, other) => other.share - one.share);
  for (const { name, share } of sorted) byId("relevance").append(...relevanceBar(name, share, most));
  byId("relevance-note").textContent = found.by === "slopes"
    ? "What a typical step in each does, by the slopes of a local line; tuning can tell better."
    : "What a typical step in each does, by the metric that tuning has learned.";
  return found.features.map(({ share }) => share);
}

/** @param {string} name @param {number} share @param {number} most */
function relevanceBar(name, share, most) {
  const [term, bar, figure] = [document.createElement("dt"), document.createElement("dd"), document.createElement("dd")];
  term.textContent = term.title = name;
  bar.className = "bar";
  bar.append(document.createElement("span"));
  bar.firstChild.style.width = `${(100 * share) / most}%`;
  figure.className = "share";
  figure.textContent = `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  return [term, bar, figure];
}

const LOOK_EVERY_MS = 300;

/** A search for the best fit, its progress, and its scores. */
export class Tuning {
  /** @type {string | null} */
  #job = null;
  /** @type {any} */
  #seen = null;
  #onError;

  /** @param {(fit: any) => void} onApply @param {(error: Error) => void} onError @param {() => void} onDone */
  constructor(onApply, onError, onDone) {
    this.#onError = onError;
    this.onDone = onDone;
    byId("cancel").addEventListener("click", () => this.stop());
    byId("apply").addEventListener("click", () => onApply(this.#seen.best.fit));
  }

  /** Begin a search. @param {Record<string, any>} body */
  async begin(body) {
    this.clear();
    byId("tune").disabled = true;
    try {
      const job = await ask("tune", { body, headers: { Prefer: "respond-async" } });
      this.#job = job.id;
      byId("progress").hidden = byId("cancel").hidden = false;
      await this.#follow(job.id);
    } catch (error) {
      this.#onError(error);
    } finally {
      byId("tune").disabled = false;
      byId("progress").hidden = byId("cancel").hidden = true;
    }
  }

  /** End the search; what it has found stays. */
  async stop() {
    if (this.#job) await ask(`jobs/${this.#job}`, { method: "DELETE" }).catch(this.#onError);
  }

  /** Forget the search, as for another dataset. */
  clear() {
    this.#job = this.#seen = null;
    byId("apply").hidden = byId("scores").hidden = true;
    byId("tuned").textContent = "";
    byId("progress").value = 0;
  }

  /** @param {string} id */
  async #follow(id) {
    for (;;) {
      const job = await ask(`jobs/${id}`);
      if (this.#job !== id) return;
      this.#seen = job;
      byId("progress").value = job.progress;
      const best = job.best ? `Best of ${job.scores.length}: ${wordsOf(job.best.fit)}, error ${short(job.best.error)} of the mean's.` : "Nothing compared yet.";
      byId("tuned").textContent = [best, job.detail].join(" ").trim();
      await this.draw();
      if (!["waiting", "running"].includes(job.state)) break;
      await new Promise((resume) => setTimeout(resume, LOOK_EVERY_MS));
    }
    byId("apply").hidden = !this.#seen.best;
    this.onDone();
  }

  /** Draw the score of each candidate: against its reach for one fit, else in their order. */
  async draw() {
    const scores = this.#seen?.scores.filter(({ error }) => error !== null) ?? [];
    byId("scores").hidden = scores.length === 0;
    if (scores.length === 0) return;
    const library = await plotly;
    const isCurve = scores.every(({ step }) => step === scores[0].step) && scores[0].criterion !== undefined;
    const [traces, across] = isCurve ? reachTraces(scores) : orderTraces(scores);
    const sizes = { margin: { l: 44, r: 8, t: 8, b: 40 }, font: { color: colour("text"), size: 11 } };
    const up = { title: { text: isCurve ? "criterion" : "error" } };
    await library.react("scores", traces, layout({ ...sizes, xaxis: axis(across), yaxis: axis(up) }), { ...CONFIG, displayModeBar: false });
  }
}

/** @param {any[]} scores */
function reachTraces(scores) {
  const reach = ({ fit }) => fit.bandwidth ?? fit.n_neighbors;
  const sorted = scores.filter(({ criterion }) => criterion !== null).sort((one, other) => reach(one) - reach(other));
  const line = { color: colour("accent"), width: 2 };
  const name = scores[0].fit.bandwidth === undefined ? "neighbours k" : "bandwidth";
  return [
    [{ x: sorted.map(reach), y: sorted.map(({ criterion }) => criterion), mode: "lines+markers", line, hovertemplate: "%{x:.4~g}: %{y:.4~g}<extra></extra>" }],
    { title: { text: name }, type: "log" },
  ];
}

/** @param {any[]} scores */
function orderTraces(scores) {
  let least = Infinity;
  const best = scores.map(({ error }) => (least = Math.min(least, error)));
  const order = scores.map((_, i) => i + 1);
  return [
    [
      {
        x: order, y: scores.map(({ error }) => error), mode: "markers", marker: { color: colour("points"), size: 5 },
        text: scores.map(({ fit }) => wordsOf(fit)), hovertemplate: "%{text}: %{y:.4~g}<extra></extra>",
      },
      { x: order, y: best, mode: "lines", line: { color: colour("accent"), width: 2, shape: "hv" }, hoverinfo: "skip" },
    ],
    { title: { text: "candidate" } },
  ];
}
