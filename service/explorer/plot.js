// Plotly in the colours of the page.

/** @typedef {Record<string, any>} Trace */

/** Resolves to the library once it has come. */
export const plotly = new Promise((resolve, reject) => {
  if (window.Plotly) resolve(window.Plotly);
  const script = document.getElementById("plotly");
  script.addEventListener("load", () => resolve(window.Plotly));
  script.addEventListener("error", () => reject(new Error("The plotting library did not come; load the page again.")));
});

/** Return a colour of the page's theme. @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Return the colours of the fits that are kept. */
export const keptColours = () => colour("kept").split(" ");

// The buttons are named one by one: among the usual ones is one that sends the plot to another host.
export const CONFIG = {
  displaylogo: false, responsive: true, scrollZoom: false, doubleClick: false, showTips: false,
  displayModeBar: matchMedia("(hover: none)").matches ? false : "hover",
  modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d"]],
};

/** Return an axis. @param {Record<string, any>} more */
export const axis = (more) => ({
  gridcolor: colour("grid"), linecolor: colour("edge"), zeroline: false, automargin: true, ticks: "outside",
  tickcolor: colour("edge"), ...more,
});

/** Return what makes an axis one of categories, in their order. @param {any[]} levels */
export const categories = (levels) => ({ type: "category", categoryorder: "array", categoryarray: levels, range: [-0.5, levels.length - 0.5] });

/** Return a layout. @param {Record<string, any>} more */
export const layout = (more) => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  font: { color: colour("text"), family: getComputedStyle(document.body).fontFamily, size: 12.5 },
  margin: { l: 56, r: 16, t: 30, b: 48 }, hovermode: "closest", showlegend: false,
  dragmode: "zoom",
  modebar: { color: colour("muted"), activecolor: colour("accent"), bgcolor: "rgba(0,0,0,0)" },
  hoverlabel: { bgcolor: colour("card"), bordercolor: colour("edge"), font: { color: colour("text") } },
  ...more,
});

/** Return a range with some room on both sides. @param {number} min @param {number} max */
export function roomy(min, max) {
  const room = 0.08 * (max - min) || 1;
  return [min - room, max + room];
}

const isStill = ({ uid }) => uid.startsWith("rows");

/** Return what a trace looks like, beside its numbers. @param {Trace} trace */
function looks({ x, y, text, name, meta, customdata, marker, ...others }) {
  return [others, marker && { ...marker, size: Array.isArray(marker.size) || marker.size }];
}

/** What was drawn last, but for the numbers of lines and marks. */
let drawn = "";

/** One drawing after the other: the library gives up one under way for the next. */
let drawing = Promise.resolve();

/** @param {() => Promise<void>} work */
function inTurn(work) {
  drawing = drawing.catch(() => {}).then(work);
  return drawing;
}

/**
 * Draw traces; where only lines and marks have moved since the last time, draw them alone: thousands
 * of points would take many times as long.
 * @param {any} plot
 * @param {string} scene - The same where the points of the rows are.
 * @param {Trace[]} traces
 * @param {Record<string, any>} layout
 * @param {Record<string, any>} more - Of the configuration.
 */
export function show(plot, scene, traces, layout, more) {
  return inTurn(async () => {
    const canMove = traces.every(({ type, error_y }) => type === undefined && error_y === undefined);
    const next = canMove ? JSON.stringify([scene, traces.map(looks), layout, plot.clientWidth]) : "";
    if (next && next === drawn && isFilledAlike(plot, traces, 0)) await moveNow(plot, traces, 0);
    else {
      const library = await plotly;
      await library.react(plot, traces, layout, { ...CONFIG, ...more });
      if (!layout.height && plot._fullLayout.height !== plot.clientHeight) await library.Plots.resize(plot);
    }
    drawn = next;
  });
}

/**
 * Draw some traces anew whose numbers have changed, and nothing else.
 * @param {any} plot
 * @param {Trace[]} traces - The last ones of the plot.
 */
export function move(plot, traces) {
  return inTurn(async () => {
    const first = plot.data.length - traces.length;
    if (isFilledAlike(plot, traces, first)) return moveNow(plot, traces, first);
    const column = (read) => traces.map(read);
    const numbers = { x: column(({ x }) => x), y: column(({ y }) => y), text: column(({ text }) => text), "marker.size": column(({ marker }) => marker?.size) };
    await (await plotly).restyle(plot, numbers, traces.map((_, i) => first + i));
  });
}

/** Return whether the same traces have points at all: what has none is not drawn over. @param {any} plot @param {Trace[]} traces @param {number} first */
const isFilledAlike = (plot, traces, first) => traces.every(({ x }, i) => (x.length === 0) === (plot.data[first + i].x.length === 0));

/** @param {any} plot @param {Trace[]} traces @param {number} first - Where they are among those of the plot. */
async function moveNow(plot, traces, first) {
  const library = await plotly;
  const moved = traces.map((trace, i) => ({ trace, at: first + i })).filter(({ trace }) => trace.x.length && !isStill(trace));
  if (!moved.length) return;
  const numbers = ({ x, y, text, marker }) => ({ x, y, ...(text && { text }), ...(Array.isArray(marker?.size) && { marker: { size: marker.size } }) });
  await library.animate(
    plot,
    { data: moved.map(({ trace }) => numbers(trace)), traces: moved.map(({ at }) => at) },
    { transition: { duration: 0 }, frame: { duration: 0, redraw: false }, mode: "immediate" },
  );
  for (const { trace, at } of moved) Object.assign(plot.data[at], { name: trace.name, meta: trace.meta });
}
