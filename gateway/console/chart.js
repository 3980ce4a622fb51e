// Small charts in SVG: sparklines, and lines over time with two axes.

import { h, s } from "./dom.js";

function points(values, width, height, most) {
  if (values.length === 1) values = [values[0], values[0]];
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const runs = [[]];
  values.forEach((value, index) => {
    if (value === null || value === undefined) {
      if (runs.at(-1).length) runs.push([]);
    } else runs.at(-1).push([index * step, height - (Math.min(value, most) / most) * (height - 2) - 1]);
  });
  return runs.filter((run) => run.length);
}

function path(run) {
  if (run.length === 1) return `M${(run[0][0] - 1).toFixed(1)} ${run[0][1].toFixed(1)}h2`;
  return run.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

/** The largest value, rounded up to one that an axis may end with. */
export function ceiling(values) {
  const most = Math.max(0, ...values.filter((value) => Number.isFinite(value)));
  if (most === 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * unit).find((limit) => limit >= most * 0.999);
}

/** A line without axes; `said` is what a screen reader tells. */
export function sparkline(values, said, width = 120, height = 28) {
  const box = s("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": said });
  const known = values.filter((value) => value !== null && value !== undefined);
  if (!known.length) return box;
  for (const run of points(values, width, height, ceiling(known))) {
    const line = path(run);
    if (run.length > 1) box.append(s("path", { class: "area", d: `${line}L${run.at(-1)[0].toFixed(1)} ${height}L${run[0][0].toFixed(1)} ${height}Z` }));
    box.append(s("path", { class: "line", d: line }));
  }
  return box;
}

/** Lines over the last minutes; `series` are `{name, values}`, two at most. */
export function timeChart(title, series, format, from, to) {
  const width = 600, height = 180;
  const most = ceiling(series.flatMap((one) => one.values));
  const last = series.map((one) => `${one.name} ${format(one.values.findLast((value) => value !== null) ?? null)}`).join(", ");
  const box = s("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${last}` });
  for (const share of [0, 0.5, 1]) box.append(s("line", { class: "grid", x1: 0, x2: width, y1: 1 + share * (height - 2), y2: 1 + share * (height - 2) }));
  series.forEach((one, index) => {
    for (const run of points(one.values, width, height, most)) {
      const line = path(run);
      if (!index && run.length > 1) box.append(s("path", { class: "area", d: `${line}L${run.at(-1)[0].toFixed(1)} ${height}L${run[0][0].toFixed(1)} ${height}Z` }));
      box.append(s("path", { class: index ? "line second" : "line", d: line }));
    }
  });
  return h("div", { class: "stack" },
    h("div", { class: "plot big", "aria-hidden": false },
      h("div", { class: "ys", "aria-hidden": true }, [1, 0.5, 0].map((share) => h("span", null, format(most * share)))),
      box,
      h("div", { class: "xs", "aria-hidden": true }, h("span", null, from), h("span", null, to))),
    h("div", { class: "legend" }, series.map((one, index) => h("span", { class: index ? "second" : "" }, one.name))));
}
