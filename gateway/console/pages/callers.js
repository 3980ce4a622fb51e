// Who asks: keys' owners, their budgets, and what was spent.

import { Refused } from "../api.js";
import { badge, card, fill, h, head, say } from "../dom.js";
import { count, moment, usd } from "../format.js";
import { plainTable, virtualTable } from "../table.js";

const BY = ["caller", "route", "model", "backend", "day"];

function meter(used, limit) {
  if (limit === null || limit === undefined) return usd(used);
  const inner = h("i");
  inner.style.width = `${Math.min(100, (used / Math.max(limit, 1e-9)) * 100)}%`;
  const kind = used >= limit ? "bad" : used >= 0.8 * limit ? "warn" : "";
  return [h("span", { class: "bar mid", "aria-hidden": true }, inner), h("span", { class: kind }, `${usd(used)} of ${usd(limit)}`)];
}

function rates(limits) {
  const parts = [limits.rpm && `${count(limits.rpm)} requests/min`, limits.tpm && `${count(limits.tpm)} tokens/min`, limits.concurrency && `${limits.concurrency} at a time`];
  return parts.filter(Boolean).join(", ") || "no limit";
}

function until(row) {
  if (!row.expires) return "–";
  return row.expires * 1000 < Date.now() ? badge("expired", "bad", moment(row.expires)) : moment(row.expires).slice(0, 10);
}

export function show(main, context) {
  const summary = h("p", { class: "dim" }), spent = h("div"), search = h("input", { id: "caller-search", type: "search", placeholder: "Name, team or route", oninput: draw });
  const by = h("select", { id: "spend-by", onchange: loadSpend }, BY.map((one) => h("option", { value: one }, `By ${one}`)));
  let rows = [];
  const table = virtualTable({
    label: "Callers",
    id: (row) => row.name,
    empty: "Nobody has a key: this machine is let in without one, everybody else is refused.",
    columns: [
      { label: "Caller", cell: (row) => row.name },
      { label: "Team", kind: "mid", cell: (row) => row.team ?? "–" },
      { label: "From", kind: "wide", cell: (row) => (row.source === "policy" ? "the policy" : "keys made here") },
      { label: "Class", kind: "wide", cell: (row) => row.class },
      { label: "Routes", kind: "wide", cell: (row) => (row.routes ? row.routes.join(", ") || "none" : "all") },
      { label: "Rate limits", kind: "mid", cell: (row) => rates(row.limits) },
      { label: "Today", kind: "num", cell: (row) => meter(row.usd_today, row.limits.usd_per_day) },
      { label: "This month", kind: "num", cell: (row) => meter(row.usd_this_month, row.limits.usd_per_month) },
      { label: "Key until", kind: "mid", cell: until },
    ],
  });
  fill(main, head("Callers and budgets", summary),
    h("div", { class: "card filters" }, h("div", { class: "grow" }, h("label", { for: "caller-search" }, "Find"), search)),
    table.node,
    h("section", { class: "card stack", "aria-label": "Spending" }, h("div", { class: "head" }, h("h2", null, "Spending of the last month"), h("div", null, h("label", { class: "sr", for: "spend-by" }, "Sums"), by)), spent));

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => words.every((word) => `${row.name} ${row.team ?? ""} ${(row.routes ?? []).join(" ")}`.toLowerCase().includes(word)));
    say(summary, `${count(rows.length)} with a key`);
    table.set(found);
  }

  /** What a gateway of another version may not have yet is no error. */
  async function optional(path) {
    try {
      return await context.get(path);
    } catch (error) {
      if (error instanceof Refused && error.status !== 401) return { missing: error.message };
      return context.act(() => context.get(path));
    }
  }

  async function load() {
    const found = await optional("/admin/callers");
    if (found === undefined) return;
    if (found.missing) return fill(table.node, h("p", { class: "empty" }, found.missing));
    rows = found;
    draw();
  }

  async function loadSpend() {
    const found = await optional(`/admin/spend?by=${by.value}`);
    if (found === undefined) return;
    if (found.missing) return fill(spent, h("p", { class: "dim" }, found.missing));
    const cells = (row, name) => [name, count(row.requests), count(row.prompt_tokens), count(row.completion_tokens), usd(row.usd), usd(row.own_usd), usd(row.estimated_usd)];
    fill(spent,
      h("p", { class: "dim small" }, `${found.first} to ${found.last} (UTC).`),
      found.rows.length
        ? plainTable("Spending", [found.by[0].toUpperCase() + found.by.slice(1), "Requests", "Read", "Written", "Cost", "Own hardware", "Estimated"], [...found.rows.slice(0, 200).map((row) => cells(row, String(row[found.by] ?? "–"))), cells(found.total, "All")], ["", "num mid", "num wide", "num wide", "num", "num mid", "num wide"])
        : h("p", { class: "dim" }, "Nothing was spent yet."));
  }

  load();
  loadSpend();
  const timer = setInterval(load, 15000);
  return { topics: [], told() {}, close: () => clearInterval(timer) };
}
