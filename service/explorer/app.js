// The page: what is shown, what is asked for it, and when.
//
// Over 300 lines: one flow, from a choice to the drawing, whose parts share what is shown now.

import { FitControls, firstControls } from "./controls.js";
import { curveLayout, curveTraces, estimatesOf, lookTraces, placesOf, queriesAlong, slopeAt } from "./curve.js";
import { loadData } from "./data.js";
import { OpenFile } from "./files.js";
import { controlsOf, short, tangentOf, wordsOf } from "./fits.js";
import { axesOf, gridOf, mapLayout, mapTraces } from "./map.js";
import { showKernel, showRelevance, Tuning } from "./panels.js";
import { colour, keptColours, move, show } from "./plot.js";
import { asCurl, asPython, descent, prediction } from "./requests.js";
import { ask, Latest } from "./service.js";
import { slicesLayout, slicesOf, slicesTraces } from "./slices.js";
import { fresh, fromHash, toHash } from "./state.js";
import { followTheme } from "./theme.js";

const byId = (id) => document.getElementById(id);
const SETTLED_MS = 250;
const REST_MS = 60;
const DOUBLE_MS = 300;
const FEW_ROWS = 2000; // so few that a band is quick enough to follow a slider
const SLOW_MS = 70; // a curve that takes longer to come has fewer places while a slider moves
const EVERY = 4; // which of its places those are
const MOST_KEPT = 6;

let state = fresh();
/** @type {import("./data.js").Data | null} */
let data = null;
/** @type {number[] | null} */
let shares = null;
/** What is drawn now; a coarse view has not all of its places. @type {{scene: string, view: any, answer: any} | null} */
let shown = null;
/** @type {import("./curve.js").Look | null} */
let look = null;
/** @type {any[]} */
let paths = [];
/** How long all the places of a curve took to come at most, since a slider began to move. */
let tookMs = 0;
/** How often something was chosen, and how often when the last whole view was asked for that is drawn. */
let [choices, whole] = [0, 0];
/** Curves of kept fits, by the fit and the scene. @type {Map<string, {places: any[], answer: any}>} */
const answers = new Map();

const busy = (on) => byId("stage").setAttribute("aria-busy", String(on));
const main = new Latest(showError, busy);
const pointer = new Latest(showError);
const descents = new Latest(showError);
const controls = new FitControls((isMoving) => changed(isMoving));
const file = new OpenFile((about) => choose(about.id), showError);
const tuning = new Tuning((fit) => apply(fit), showError, () => relevance());

// What is shown

/** @param {Error} error */
function showError(error) {
  byId("message").hidden = false;
  byId("message").firstElementChild.textContent = error.message;
}

function hideError() {
  byId("message").hidden = true;
}

/** What an answer is drawn into; answers for another scene are of no use. */
const sceneOf = () => JSON.stringify([state.dataset, data?.about.version, state.view, state.a, state.b, state.row, state.range, state.points, state.view === "slices" && shares]);

function settleView() {
  const d = data.features.length;
  if (d === 1) state.view = "curve";
  state.view ??= d === 2 ? "map" : "slices";
  const a = data.featureIndex(state.a, 0);
  state.a = data.features[a].name;
  if (d > 1) state.b = data.features[axesOf(state, data)[1]].name;
  state.value = data.values[data.valueIndex(state)].name;
}

/** @param {boolean} isCoarse */
function viewOf(isCoarse) {
  if (state.view === "map") return gridOf(state, data, isCoarse);
  if (state.view === "slices") return slicesOf(state, data, shares);
  const j = data.featureIndex(state.a, 0);
  const places = placesOf(data.features[j], state.range, isCoarse ? 1 + Math.ceil((state.points - 1) / EVERY) : state.points);
  return { places, queries: queriesAlong(data.held(state.row).x, j, places) };
}

/**
 * Something was chosen: ask at once, and tidy up once nothing more has come for a while.
 * @param {boolean} isMoving - A slider, which will move on.
 */
function changed(isMoving = false) {
  hideError();
  choices += 1;
  refresh(isFew(), { isMoving });
  clearTimeout(changed.settled);
  changed.settled = setTimeout(settled, SETTLED_MS);
}

const isFew = () => data.about.rows <= FEW_ROWS;

/** Whether all places could not follow a slider: of a curve by how long they take, of a map, which is long to draw, always. */
function isSlow() {
  if (state.view === "curve") return tookMs > SLOW_MS && !data.features[data.featureIndex(state.a, 0)].levels;
  return state.view === "map";
}

function settled() {
  tookMs = 0;
  state.fit = controls.fit;
  history.replaceState(null, "", toHash(state));
  complete();
  followDescents();
}

/** Ask for all places and the band, after what is asked for now: that is on the screen sooner. */
function complete() {
  clearTimeout(changed.settled);
  if (main.isBusy) changed.settled = setTimeout(complete, REST_MS);
  else if (whole !== choices) refresh(true, { patienceMs: 0 }); // the sliders may move again
}

/**
 * @param {boolean} withBand
 * @param {{isMoving?: boolean, patienceMs?: number}} more - While a slider moves the view may be coarse: all places are asked for once it rests.
 */
function refresh(withBand, { isMoving = false, patienceMs } = {}) {
  const scene = sceneOf();
  main.ask(scene, async (signal) => {
    const [choice, isCoarse] = [choices, isMoving && isSlow()];
    if (!isCoarse) lookSoon();
    const view = { ...viewOf(isCoarse), isCoarse };
    const asked = questionOf(view, withBand);
    const begun = performance.now();
    const took = () => {
      if (isMoving && !isCoarse) tookMs = Math.max(tookMs, performance.now() - begun);
    };
    const answer = await ask(asked.path, { body: asked.body, signal }).finally(took);
    if (scene !== sceneOf()) return;
    shown = { scene, view, answer };
    await draw();
    if (isCoarse) return;
    if (withBand) whole = choice;
    await askKept(signal, scene, view);
  }, patienceMs);
}

/** Return the request for a view by the fit that is chosen now. @param {any} view @param {boolean} withBand */
const questionOf = (view, withBand) => prediction(state, controls.fit, view.queries, { band: withBand && state.view !== "map" && state.band !== "none" });

/** @param {AbortSignal} signal @param {string} scene @param {any} view */
async function askKept(signal, scene, view) {
  for (const fit of state.kept) {
    const key = JSON.stringify(fit) + scene;
    if (answers.has(key)) continue;
    const { path, body } = prediction(state, fit, view.queries);
    answers.set(key, { places: view.places, answer: await ask(path, { body, signal }) });
    if (scene !== sceneOf()) return;
    await draw();
  }
}

async function draw() {
  if (!shown || !data) return;
  const { view, answer } = shown;
  const plot = byId("plot");
  const kept = state.kept.map((fit) => ({ fit, curve: answers.get(JSON.stringify(fit) + shown.scene) ?? null }));
  let [traces, layout] = [[], {}];
  if (state.view === "map") {
    [traces, layout] = [mapTraces(state, data, view, answer, kept, paths), mapLayout(state, data)];
  } else if (state.view === "slices") {
    [traces, layout] = [slicesTraces(state, data, view, answer, kept), slicesLayout(state, data, view, plot.clientWidth)];
  } else {
    traces = curveTraces(state, data, { ...view, answer }, kept, paths, look);
    layout = curveLayout(state, data);
  }
  plot.classList.toggle("tall", state.view === "slices");
  await show(plot, JSON.stringify([shown.scene, state.value]), traces, layout, { doubleClick: state.view === "curve" ? false : "reset" });
  bindPlot(plot);
  say(answer);
}

/** @param {any} answer */
function say(answer) {
  const drawn = data.rows.length < data.about.rows ? `, ${data.rows.length.toLocaleString("en")} of them drawn` : "";
  const counted = `${data.about.name ?? data.about.id}: ${data.about.rows.toLocaleString("en")} rows${drawn}.`;
  const held = data.features.length > 1 && state.view !== "map" ? ` The features that do not vary are held at row ${data.held(state.row).row}.` : "";
  const advice = answer.issues.map((issue) => ` ${issue.queries.length} of ${shown.view.queries.length} places: ${issue.advice}`).join("");
  byId("caption").textContent = counted + held + advice;
  const chosen = answer.chosen_by ? `Chosen by the ${answer.chosen_by}: ` : "";
  byId("used").textContent = `${chosen}${wordsOf(answer.fit)}.`;
  byId("plot").setAttribute("aria-label", `${data.values[data.valueIndex(state)].name}, by ${wordsOf(answer.fit)}`);
}

// The place that is looked at

/** Ask about the place of the pointer once the curve has come to rest, which is not to wait for it. */
function lookSoon() {
  clearTimeout(lookSoon.later);
  lookSoon.later = setTimeout(() => (main.isBusy ? lookSoon() : lookHere()), REST_MS);
}

/** Ask about the place of the pointer: estimate, slope, and the rows that carry weight. */
function lookHere() {
  const feature = data.features[data.featureIndex(state.a, 0)];
  if (state.view !== "curve" || feature.levels) {
    look = null;
    showKernel(controls.values, null);
    return;
  }
  const [from, to] = state.range ?? [feature.min, feature.max];
  const place = from + (Number(byId("pointer").value) / 1000) * (to - from);
  const scene = sceneOf();
  pointer.ask(scene, async (signal) => {
    const fit = controls.fit;
    const j = data.featureIndex(state.a, 0);
    const tangent = data.hasGaps ? null : tangentOf(fit); // the slope of distances that skip cells is not known
    const include = ["neighbors", "diagnostics", ...(tangent ? [tangent] : [])];
    const { path, body } = prediction(state, fit, queriesAlong(data.held(state.row).x, j, [place]), { include });
    const answer = await ask(path, { body, signal });
    if (scene !== sceneOf()) return;
    look = { place, answer, tangent };
    await drawLook();
  });
}

async function drawLook() {
  const value = data.valueIndex(state);
  const { place, answer } = look;
  const estimate = estimatesOf(answer, value)[0];
  const slope = slopeAt(look, data, data.featureIndex(state.a, 0), value);
  const parts = [`${state.a} ${short(place)}: ${estimate === null ? "no row carries weight" : short(estimate)}`];
  if (slope !== null) parts.push(`slope ${short(slope)}`);
  parts.push(`${answer.diagnostics.support[0]} rows carry weight`);
  byId("reading").textContent = parts.join(", ");
  showKernel(controls.values, answer.diagnostics.bandwidth[0]);
  const plot = byId("plot");
  if (!shown || state.view !== "curve" || !plot.data) return;
  await move(plot, lookTraces(state, data, look));
}

/** Listen to the plot, once. @param {any} plot */
function bindPlot(plot) {
  if (plot.dataset.bound) return;
  plot.dataset.bound = "yes";
  plot.addEventListener("mousemove", (event) => {
    const place = placeUnder(plot, event);
    if (place && state.view === "curve") movePointer(place[0]);
  });
  plot.addEventListener("click", (event) => {
    if (state.view === "slices" || event.target.closest(".modebar")) return;
    clearTimeout(bindPlot.clicked);
    const place = placeUnder(plot, event);
    if (!place || event.detail > 1) return; // the second of a double click, which goes back to the whole range
    bindPlot.clicked = setTimeout(() => start(place), state.range ? DOUBLE_MS : 0);
  });
  plot.on("plotly_click", ({ points: [point] }) => {
    if (state.view === "slices" && Number.isInteger(point.customdata)) holdRow(point.customdata);
  });
  plot.on("plotly_relayout", (change) => {
    if (state.view !== "curve" || data.features[data.featureIndex(state.a, 0)].levels) return;
    if (change["xaxis.range[0]"] === undefined) return;
    setRange([change["xaxis.range[0]"], change["xaxis.range[1]"]]);
  });
  plot.on("plotly_doubleclick", () => setRange(null));
}

/** @param {[number, number] | null} range - What the curve runs over; null for all the rows. */
function setRange(range) {
  state.range = range;
  byId("whole").hidden = range === null;
  changed();
}

/** Return where on the axes a click or move is; null outside of them. @param {any} plot @param {MouseEvent} event */
function placeUnder(plot, event) {
  const { xaxis, yaxis } = plot._fullLayout;
  const box = plot.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left - xaxis._offset, event.clientY - box.top - yaxis._offset];
  if (x < 0 || y < 0 || x > xaxis._length || y > yaxis._length) return null;
  return [xaxis.p2d(x), yaxis.p2d(y)];
}

/** @param {number} place */
function movePointer(place) {
  const { min, max, levels } = data.features[data.featureIndex(state.a, 0)];
  if (levels) return;
  const [from, to] = state.range ?? [min, max];
  byId("pointer").value = String(Math.round((1000 * (place - from)) / (to - from)));
  lookHere();
}

// Descents

/** Follow the surface from a place on the axes. @param {any[]} place */
function start(place) {
  const from = [...data.held(state.row).x];
  const axes = descentAxes();
  axes.forEach((j, i) => {
    from[j] = place[i];
  });
  state.starts = [...state.starts, from].slice(-12);
  settled();
}

const descentAxes = () => (state.view === "map" ? axesOf(state, data) : [data.featureIndex(state.a, 0)]);

function startHere() {
  if (state.view === "map") {
    const places = descentAxes().map((j) => data.features[j]);
    start(places.map(({ levels, min, max }) => (levels ? levels[0] : (min + max) / 2)));
  } else start([look?.place ?? data.features[data.featureIndex(state.a, 0)].mean]);
}

function followDescents() {
  byId("forget").hidden = state.starts.length === 0;
  if (state.starts.length === 0 || state.view === "slices") {
    if (paths.length) showPaths([]);
    return;
  }
  const scene = sceneOf();
  descents.ask(scene, async (signal) => {
    const asked = descent(state, controls.fit, data, descentAxes(), Number(byId("steps").value) || 200);
    try {
      const found = await ask(asked.path, { body: asked.body, signal });
      if (scene === sceneOf() && state.starts.length) await showPaths(found.paths);
    } catch (error) {
      if (!signal.aborted) showPaths([]);
      throw error;
    }
  });
}

/** @param {any[]} found */
async function showPaths(found) {
  paths = found;
  byId("paths").replaceChildren(...found.map((path) => {
    const item = document.createElement("li");
    const end = path.points[path.points.length - 1];
    const at = (Array.isArray(end) ? descentAxes().map((j) => end[j]) : [end]).map((cell) => (typeof cell === "number" ? short(cell) : cell));
    item.textContent = `${short(path.values[path.values.length - 1])} at ${at.join(", ")}, ${path.points.length - 1} steps. ${path.advice}`;
    return item;
  }));
  await draw();
}

function forgetPaths() {
  state.starts = [];
  settled();
}

// Fits to compare

/** @param {any} fit */
function apply(fit) {
  controls.show(data, controlsOf(fit, controls.values));
  changed();
}

function keep() {
  const fit = controls.fit;
  if (state.kept.some((one) => JSON.stringify(one) === JSON.stringify(fit))) return;
  state.kept = [...state.kept, fit].slice(-MOST_KEPT);
  showKept();
  changed();
}

/** Name the fits that are drawn, in their colours; pressing one that is kept removes it. */
function showKept() {
  const colours = keptColours();
  const buttons = state.kept.map((fit, i) => {
    const button = swatch("button", colours[i % colours.length], `${wordsOf(fit)} ×`);
    button.type = "button";
    button.setAttribute("aria-label", `Remove ${wordsOf(fit)}`);
    button.addEventListener("click", () => {
      state.kept = state.kept.filter((one) => one !== fit);
      showKept();
      changed();
    });
    return button;
  });
  byId("kept").replaceChildren(...(buttons.length ? [swatch("span", colour("accent"), "the fit now")] : []), ...buttons);
}

/** @param {string} tag @param {string} paint @param {string} text */
function swatch(tag, paint, text) {
  const [made, line] = [document.createElement(tag), document.createElement("i")];
  line.style.background = paint;
  made.append(line, text);
  return made;
}

// Choices of the data

/** Show a dataset. @param {string} id */
async function choose(id) {
  busy(true);
  try {
    const next = await loadData(id);
    const isSame = state.dataset === id && data === null;
    if (!isSame) {
      const { band, level, points } = state;
      state = { ...fresh(), band, level, points, dataset: id };
    }
    [data, shown, look, paths, shares] = [next, null, null, [], null];
    answers.clear();
    tuning.clear();
    settleView();
    const first = firstControls(data);
    controls.show(data, state.fit ? controlsOf(state.fit, first) : first);
    byId("empty").hidden = true;
    await listDatasets();
    showChoices();
    showKept();
    changed();
    relevance();
  } catch (error) {
    busy(false);
    showError(error);
    if (!data) await listDatasets().catch(() => {});
  }
}

async function relevance() {
  const of = data;
  const found = await showRelevance(of);
  if (of !== data) return;
  shares = found;
  if (state.view !== "slices") return;
  choices += 1; // of the features, by their relevance
  refresh(isFew());
  complete();
}

async function listDatasets() {
  const { datasets } = await ask("datasets?limit=1000");
  byId("dataset").replaceChildren(...datasets.map(({ id, name }) => new Option(name ?? id, id)));
  byId("dataset").value = state.dataset ?? "";
  return datasets;
}

function showChoices() {
  const names = data.features.map(({ name }) => name);
  for (const id of ["a", "b"]) {
    byId(id).replaceChildren(...names.map((name) => new Option(name, name)));
    byId(id).value = state[id] ?? "";
  }
  const others = file.columns.filter((column) => !data.about.target_names.includes(column));
  const values = data.values.map(({ name }) => new Option(data.classes ? `is ${name}` : name, `value:${name}`));
  byId("value").replaceChildren(...values, ...others.map((column) => new Option(column, `column:${column}`)));
  byId("value").value = `value:${state.value}`;
  byId("view").value = state.view;
  byId("row").value = String(data.held(state.row).row);
  byId("row").max = String(data.about.rows - 1);
  for (const id of ["band", "level"]) byId(id).value = String(state[id]);
  byId("ascent").value = state.ascent ? "up" : "down";
  const many = names.length > 1;
  for (const element of document.querySelectorAll("[data-many]")) element.hidden = !many;
  byId("row").parentElement.hidden = names.length - (state.view === "map" ? 2 : 1) < 1; // no other feature to hold
  for (const id of ["band", "level"]) byId(id).disabled = state.view === "map";
  document.querySelector("[data-axis=a]").hidden = !many || state.view === "slices";
  document.querySelector("[data-axis=b]").hidden = !many || state.view !== "map";
  document.querySelector("[data-curve]").hidden = state.view !== "curve" || Boolean(data.features[data.featureIndex(state.a, 0)].levels);
  byId("whole").hidden = state.range === null || state.view !== "curve";
  byId("descent-panel").hidden = state.view === "slices";
}

/** @param {number} row */
function holdRow(row) {
  state.row = row;
  state.starts = [];
  showChoices();
  changed();
}

/** @param {Partial<import("./state.js").State>} changes */
function chooseView(changes) {
  Object.assign(state, { range: null, starts: [] }, changes);
  [shown, look, paths] = [null, null, []];
  settleView();
  showChoices();
  changed();
}

/** @param {string} chosen */
function chooseValue(chosen) {
  const [kind, ...rest] = chosen.split(":");
  const name = rest.join(":");
  if (kind === "column") file.setTarget(name);
  else chooseView({ value: name });
}

// Requests to run elsewhere

/** @param {string} text @param {string} what */
async function copy(text, what) {
  const box = byId("request");
  box.value = text;
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = `Copied: ${what}.`;
  } catch {
    box.hidden = false;
    box.select();
    byId("copied").textContent = "This browser lets no page copy here: press Ctrl-C.";
  }
}

function tuningBody() {
  const selector = byId("selector").value;
  const body = { dataset_id: state.dataset, budget_s: Number(byId("budget").value) || 5, selector };
  return selector === "search" ? body : { ...body, fit: controls.fit };
}

// The beginning

function bind() {
  const on = (id, event, act) => byId(id).addEventListener(event, act);
  on("dataset", "change", () => {
    file.close();
    choose(byId("dataset").value);
  });
  on("value", "change", () => chooseValue(byId("value").value));
  on("view", "change", () => chooseView({ view: byId("view").value }));
  on("a", "change", () => chooseView({ a: byId("a").value, b: state.b === byId("a").value ? state.a : state.b }));
  on("b", "change", () => chooseView({ b: byId("b").value, a: state.a === byId("b").value ? state.b : state.a }));
  on("row", "change", () => holdRow(Math.min(Math.max(0, Math.round(Number(byId("row").value))), data.about.rows - 1)));
  on("band", "change", () => {
    state.band = byId("band").value;
    changed();
  });
  on("level", "change", () => {
    state.level = Number(byId("level").value);
    changed();
  });
  on("pointer", "input", lookHere);
  on("whole", "click", () => setRange(null));
  on("keep", "click", keep);
  on("tune", "click", () => {
    hideError();
    tuning.begin(tuningBody());
  });
  on("ascent", "change", () => {
    state.ascent = byId("ascent").value === "up";
    settled();
  });
  on("steps", "change", settled);
  on("descend", "click", startHere);
  on("forget", "click", forgetPaths);
  on("copy-curl", "click", () => data && copy(asCurl(questionOf(viewOf(false), true), document.baseURI), "a line for a shell"));
  on("copy-python", "click", () => data && copy(asPython(questionOf(viewOf(false), true), document.baseURI), "a Python program"));
  on("copy-link", "click", () => copy(location.href, "the address of this view"));
  byId("message").lastElementChild.addEventListener("click", hideError);
  addEventListener("hashchange", begin);
  followTheme(() => {
    draw();
    showKept();
    tuning.draw();
  });
}

async function begin() {
  clearTimeout(changed.settled);
  clearTimeout(lookSoon.later);
  state = fromHash(location.hash);
  data = null;
  try {
    const datasets = await listDatasets();
    const gone = datasets.some(({ id }) => id === state.dataset) ? null : state.dataset;
    if (gone) state = fresh();
    if (datasets.length) await choose(state.dataset ??= datasets[0].id);
    else byId("empty").hidden = false;
    if (gone) showError(new Error(`There is no dataset ${gone} here; a restart forgets datasets. Open its file again.`));
  } catch (error) {
    showError(error);
  }
}

bind();
begin();
