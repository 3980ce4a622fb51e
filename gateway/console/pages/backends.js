// Every deployment: health, breaker, load, time to first token; drain and enable.

import { sparkline } from "../chart.js";
import { badge, fill, h, head, say } from "../dom.js";
import { price, retiresIn, retiresKind, seconds, short } from "../format.js";
import { virtualTable } from "../table.js";

function health(row) {
  if (row.drained) return ["drained", "warn", "Drained by the operator: no new requests."];
  if (row.breaker !== "closed" && row.ejected_for > 0) return [row.breaker === "open" ? "ejected" : "on trial", "bad", row.ejected_because];
  if (row.resting_for > 0) return ["resting", "warn", `${row.resting_because}, for another ${seconds(row.resting_for)}`];
  return row.breaker === "half_open" ? ["on trial", "warn", row.ejected_because] : ["up", "good", row.faults ? `${row.faults} faults in a row` : ""];
}

function load(row) {
  const text = row.concurrency ? `${row.in_flight} / ${row.concurrency}` : String(row.in_flight);
  if (!row.concurrency) return text;
  const inner = h("i");
  inner.style.width = `${Math.min(100, (row.in_flight / row.concurrency) * 100)}%`;
  return [h("span", { class: "bar mid", "aria-hidden": true }, inner), text];
}

export function show(main, context) {
  const rows = new Map();
  const summary = h("p", { class: "dim", "aria-live": "polite" });
  const search = h("input", { id: "backend-search", type: "search", placeholder: "Backend, model or location", oninput: draw });
  const chosen = h("select", { id: "backend-state", onchange: draw }, ["all", "up", "drained", "resting", "ejected", "on trial"].map((one) => h("option", { value: one }, one === "all" ? "Every state" : one)));
  const table = virtualTable({
    label: "Deployments",
    id: (row) => row.deployment,
    empty: "No deployment fits.",
    columns: [
      { label: "Backend", cell: (row) => h("span", { title: row.deployment }, row.backend) },
      { label: "Model", kind: "mid", cell: (row) => row.model },
      { label: "Health", cell: (row) => { const [word, kind, why] = health(row); return badge(word, kind, why); } },
      { label: "Why", kind: "wide dim", cell: (row) => health(row)[2] },
      { label: "In flight", kind: "num", cell: load },
      { label: "First token", kind: "num mid", cell: (row) => (row.measured ? seconds(row.ttft) : h("span", { class: "dim", title: "A guess: not measured yet" }, `~${seconds(row.ttft)}`)) },
      { label: "Lately", kind: "wide cell-spark", cell: (row) => sparkline(row.recent_ttfts, `Last times to the first token of ${row.deployment}`, 76, 22) },
      { label: "Tokens/s", kind: "num wide", cell: (row) => short(1 / row.per_token) },
      { label: "$ per M tokens", kind: "num wide", cell: (row) => price(row.price) },
      { label: "Retires in", kind: "num mid", cell: (row) => h("span", { class: retiresKind(row.retires), title: row.retires ?? "" }, retiresIn(row.retires)) },
      { label: "Action", cell: (row) => h("button", { type: "button", class: "small", "aria-label": `${row.drained ? "Enable" : "Drain"} ${row.backend}`, onclick: () => turn(row.backend, !row.drained) }, row.drained ? "Enable" : "Drain") },
    ],
  });
  fill(main, head("Backends", summary),
    h("div", { class: "card filters" },
      h("div", { class: "grow" }, h("label", { for: "backend-search" }, "Find"), search),
      h("div", null, h("label", { for: "backend-state" }, "State"), chosen)),
    table.node);

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = [...rows.values()].filter((row) => {
      const text = `${row.backend} ${row.model} ${row.location} ${row.id}`.toLowerCase();
      return words.every((word) => text.includes(word)) && (chosen.value === "all" || health(row)[0] === chosen.value);
    });
    const up = [...rows.values()].filter((row) => row.up).length, drained = [...rows.values()].filter((row) => row.drained).length;
    say(summary, `${up} of ${rows.size} deployments usable${drained ? `, ${drained} drained` : ""}`);
    table.set(found);
  }

  function take(found) {
    for (const row of found) rows.set(row.deployment, row);
    draw();
  }

  async function load_all() {
    const found = await context.act(() => context.get("/admin/backends"));
    if (!found) return;
    rows.clear();
    take(found);
  }

  async function turn(backend, drained) {
    const told = await context.act(() => context.post(`/admin/backends/${encodeURIComponent(backend)}/${drained ? "drain" : "enable"}`));
    if (!told) return;
    context.notice(drained ? `${backend} is drained: it gets no new requests until it is enabled; ${told.in_flight} still run.` : `${backend} is enabled and gets requests again.`);
    await load_all();
  }

  let generation = null;
  load_all();
  return {
    topics: ["backends"],
    told(topic, body) {
      if (topic === "backends") take(body.rows);
      if (topic === "policy") {
        if (generation !== null && generation !== body.generation) load_all();
        generation = body.generation;
      }
    },
  };
}
