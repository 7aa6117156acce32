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
