// A table that holds thousands of rows and draws those that are seen.

import { fill, h } from "./dom.js";

const MARGIN = 8; // rows above and below what is seen

/** A table: `columns` are `{label, kind, cell(row)}`, `id(row)` tells rows apart, `open(row)` follows a click.

Rows are compared by identity: give a new object for a row that has changed. */
export function virtualTable({ label, columns, id, open, empty, height = 40 }) {
  const above = h("tr", { class: "gap", "aria-hidden": true }, h("td", { colspan: columns.length }));
  const below = h("tr", { class: "gap", "aria-hidden": true }, h("td", { colspan: columns.length }));
  const body = h("tbody", null, above, below);
  const table = h("table", null,
    h("caption", { class: "sr" }, label),
    h("thead", null, h("tr", null, columns.map((one) => h("th", { scope: "col", class: one.kind }, one.label)))), body);
  const nothing = h("p", { class: "empty", hidden: true }, empty);
  const scroll = h("div", { class: "scroll card table", tabindex: "0", role: "region", "aria-label": label }, table, nothing);
  let rows = [], drawn = new Map(), planned = false;

  function row(one, place) {
    const known = drawn.get(id(one));
    if (known?.one === one) {
      known.node.setAttribute("aria-rowindex", place + 2);
      return known;
    }
    const cells = columns.map((column, index) => h(index ? "td" : "th", { class: column.kind, scope: index ? null : "row" }, column.cell(one)));
    if (known) {
      const inside = known.node.contains(document.activeElement) ? [...known.node.querySelectorAll("a,button")].indexOf(document.activeElement) : -1;
      fill(known.node, cells);
      known.one = one;
      if (inside >= 0) known.node.querySelectorAll("a,button")[inside]?.focus({ preventScroll: true });
      return known;
    }
    const made = { one };
    made.node = h("tr", { class: open ? "open" : null, "aria-rowindex": place + 2, onclick: (event) => open && !event.target.closest("a,button") && open(made.one) }, cells);
    return made;
  }

  function draw() {
    planned = false;
    const first = Math.max(0, Math.floor(scroll.scrollTop / height) - MARGIN);
    const last = Math.min(rows.length, Math.ceil((scroll.scrollTop + Math.max(scroll.clientHeight, window.innerHeight * 0.7)) / height) + MARGIN);
    const next = new Map();
    for (let place = first; place < last; place++) next.set(id(rows[place]), row(rows[place], place));
    for (const [name, old] of drawn) if (!next.has(name)) old.node.remove();
    let before = above;
    for (const { node } of next.values()) {
      if (before.nextSibling !== node) before.after(node);
      before = node;
    }
    drawn = next;
    above.style.height = `${first * height}px`;
    below.style.height = `${(rows.length - last) * height}px`;
  }

  function plan() {
    if (!planned) requestAnimationFrame(draw);
    planned = true;
  }

  scroll.addEventListener("scroll", plan, { passive: true });
  return {
    node: scroll,
    set(found) {
      rows = found;
      table.setAttribute("aria-rowcount", rows.length + 1);
      table.hidden = rows.length === 0;
      nothing.hidden = rows.length > 0;
      draw();
    },
  };
}

/** A small table, drawn at once; cells are nodes or text, `kinds` their classes. */
export function plainTable(label, labels, rows, kinds = []) {
  return h("div", { class: "scroll flat table", tabindex: "0", role: "region", "aria-label": label },
    h("table", { class: "wrap" }, h("caption", { class: "sr" }, label),
      h("thead", null, h("tr", null, labels.map((one, index) => h("th", { scope: "col", class: kinds[index] }, one)))),
      h("tbody", null, rows.map((cells) => h("tr", null, cells.map((cell, index) => h(index ? "td" : "th", { class: kinds[index], scope: index ? null : "row" }, cell)))))));
}
