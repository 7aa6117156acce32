// The shapes of kernels, as textbooks draw them: scaled to an integral of one over their support.

const COMPACT = {
  epanechnikov: [3 / 4, (u) => 1 - u * u],
  tricube: [70 / 81, (u) => (1 - u ** 3) ** 3],
  uniform: [1 / 2, () => 1],
  triangular: [1, (u) => 1 - u],
  biweight: [15 / 16, (u) => (1 - u * u) ** 2],
  triweight: [35 / 32, (u) => (1 - u * u) ** 3],
  cosine: [Math.PI / 4, (u) => Math.cos((Math.PI * u) / 2)],
};
const [ROOT3, ROOT5] = [Math.sqrt(3), Math.sqrt(5)];
const UNBOUNDED = {
  gaussian: [1 / Math.sqrt(2 * Math.PI), (u) => Math.exp((-u * u) / 2)],
  laplacian: [1 / 2, (u) => Math.exp(-u)],
  matern32: [ROOT3 / 4, (u) => (1 + ROOT3 * u) * Math.exp(-ROOT3 * u)],
  matern52: [(3 * ROOT5) / 16, (u) => (1 + ROOT5 * u + (5 * u * u) / 3) * Math.exp(-ROOT5 * u)],
};

/**
 * Return the kernel of bandwidth h at the distance t, the density of one dimension.
 * @param {string} name
 * @param {number} h
 * @param {number} t
 */
export function density(name, h, t) {
  const u = Math.abs(t) / h;
  if (name in COMPACT) {
    const [scale, shape] = COMPACT[name];
    return u <= 1 ? (scale * shape(u)) / h : 0;
  }
  const [scale, shape] = UNBOUNDED[name];
  return (scale * shape(u)) / h;
}

/**
 * Return the density over a stretch that shows all of it that can be seen.
 * @param {string} name
 * @param {number} h
 * @returns {{t: number[], density: number[]}}
 */
export function shapeOf(name, h) {
  const reach = name in COMPACT ? 1.25 : name === "gaussian" ? 3.5 : 6;
  const t = Array.from({ length: 241 }, (_, i) => ((i - 120) / 120) * reach * h);
  return { t, density: t.map((value) => density(name, h, value)) };
}

const [LEFT, RIGHT, TOP, BOTTOM] = [44, 312, 10, 106];

/**
 * Draw the shape into an SVG of 320 by 130.
 * @param {SVGSVGElement} svg
 * @param {string} name
 * @param {number} h
 * @param {(value: number) => string} written - Writes a number for people.
 */
export function drawShape(svg, name, h, written) {
  const { t, density: heights } = shapeOf(name, h);
  const most = Math.max(...heights);
  const tick = name in COMPACT ? h : 2 * h; // far enough apart to be read
  const x = (value) => LEFT + ((value - t[0]) / (t[t.length - 1] - t[0])) * (RIGHT - LEFT);
  const y = (value) => BOTTOM - (value / most) * (BOTTOM - TOP);
  const line = t.map((value, i) => `${x(value).toFixed(2)},${y(heights[i]).toFixed(2)}`).join("L");
  svg.replaceChildren(
    element("path", { class: "area", d: `M${LEFT},${BOTTOM}L${line}L${RIGHT},${BOTTOM}Z` }),
    element("path", { class: "axis", d: `M${LEFT},${BOTTOM}H${RIGHT}M${LEFT},${TOP}V${BOTTOM}`, fill: "none" }),
    ...[-tick, 0, tick].map((at) => label(x(at), BOTTOM + 16, "middle", written(at))),
    label(LEFT - 5, TOP + 4, "end", written(most)),
    label(LEFT - 5, BOTTOM, "end", "0"),
  );
}

/** @param {string} name @param {Record<string, any>} attributes */
function element(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** @param {number} x @param {number} y @param {string} anchor @param {string} text */
function label(x, y, anchor, text) {
  const made = element("text", { x, y, "text-anchor": anchor });
  made.textContent = text;
  return made;
}
