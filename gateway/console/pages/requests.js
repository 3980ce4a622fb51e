// The last requests as they end, and one request's whole story.

import { badge, card, facts, fill, h, head, s, say } from "../dom.js";
import { clock, count, moment, seconds, usd } from "../format.js";
import { plainTable, virtualTable } from "../table.js";

const MOST = 5000;
const KINDS = { success: "good", partial: "warn", client_cancelled: "dim", shed: "warn", rejected: "warn", timeout: "bad", upstream_error: "bad" };
const OUTCOMES = Object.keys(KINDS);
const badged = (outcome) => badge(outcome.replaceAll("_", " "), KINDS[outcome] ?? "dim", outcome);

export function show(main, context, [id]) {
  return id ? story(main, context, id) : tail(main, context);
}

function tail(main, context) {
  let rows = [], paused = false, waiting = [], skipped = 0;
  const summary = h("p", { class: "dim" });
  const search = h("input", { id: "request-search", type: "search", placeholder: "Id, model, route, backend, caller, error", oninput: draw });
  const chosen = h("select", { id: "request-outcome", onchange: draw }, h("option", { value: "" }, "Every outcome"), OUTCOMES.map((one) => h("option", { value: one }, one.replaceAll("_", " "))));
  const pause = h("button", { type: "button", "aria-pressed": "false", onclick: () => { paused = !paused; pause.setAttribute("aria-pressed", paused); say(pause, paused ? "Go on" : "Pause"); if (!paused) { take(waiting); waiting = []; } draw(); } }, "Pause");
  const table = virtualTable({
    label: "Requests, newest first",
    id: (row) => row.id,
    open: (row) => context.go(`/requests/${encodeURIComponent(row.id)}`),
    empty: "No request yet that fits. They appear here as they end.",
    columns: [
      { label: "Time", cell: (row) => h("a", { href: `#/requests/${encodeURIComponent(row.id)}`, title: row.id, class: "mono" }, clock(row.at)) },
      { label: "Outcome", cell: (row) => badged(row.outcome) },
      { label: "Asked for", kind: "mid clip", cell: (row) => h("span", { title: row.asked }, row.asked || "–") },
      { label: "Route", kind: "wide", cell: (row) => row.route || "–" },
      { label: "Answered by", kind: "clip", cell: (row) => h("span", { title: row.model ?? row.message }, row.backend ?? row.error_type ?? "–") },
      { label: "Caller", kind: "wide", cell: (row) => row.caller || "–" },
      { label: "Tries", kind: "num wide", cell: (row) => row.attempts },
      { label: "Tokens", kind: "num mid", cell: (row) => (row.prompt_tokens === null ? "–" : `${count(row.prompt_tokens)} + ${count(row.completion_tokens)}`) },
      { label: "First token", kind: "num mid", cell: (row) => seconds(row.ttft) },
      { label: "Whole", kind: "num mid", cell: (row) => seconds(row.duration) },
      { label: "Cost", kind: "num wide", cell: (row) => usd(row.cost_usd) },
    ],
  });
  fill(main, head("Requests", summary),
    h("div", { class: "card filters" },
      h("div", { class: "grow" }, h("label", { for: "request-search" }, "Find"), search),
      h("div", null, h("label", { for: "request-outcome" }, "Outcome"), chosen),
      pause,
      h("button", { type: "button", onclick: () => context.act(() => context.save("/admin/requests/export", "requests.jsonl")) }, "Export")),
    table.node);

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => {
      if (chosen.value && row.outcome !== chosen.value) return false;
      if (!words.length) return true;
      const text = `${row.id} ${row.asked} ${row.model} ${row.route} ${row.backend} ${row.caller} ${row.error_type} ${row.message} ${row.status}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    const missed = skipped ? `, ${count(skipped)} came too fast to be shown` : "";
    say(summary, `${count(found.length)} of ${count(rows.length)} requests${paused ? `, ${count(waiting.length)} wait` : ""}${missed}`);
    table.set(found);
  }

  function take(found) {
    const known = new Set(rows.map((row) => row.id));
    rows = [...found.filter((row) => !known.has(row.id)).reverse(), ...rows].slice(0, MOST);
  }

  async function load() {
    const found = await context.act(() => context.get("/admin/requests?limit=1000"));
    if (!found) return;
    take(found.reverse());
    rows.sort((one, other) => other.at - one.at);
    draw();
  }

  load();
  return {
    topics: ["requests"],
    told(topic, body) {
      if (topic !== "requests") return;
      skipped += body.skipped;
      if (paused) waiting = [...waiting, ...body.rows].slice(-MOST);
      else take(body.rows);
      draw();
    },
  };
}

function story(main, context, id) {
  const told = h("div", { class: "parts" }, h("p", { class: "dim" }, "Loading …"));
  fill(main, head("Request", h("a", { href: "#/requests" }, "All requests")), told);
  (async () => {
    const found = await context.act(async () => {
      try {
        return await context.get(`/admin/requests/${encodeURIComponent(id)}`);
      } catch (error) {
        if (error.status === 404) return { missing: error.message };
        throw error;
      }
    });
    if (!found) return fill(told);
    if (found.missing) return fill(told, h("p", { class: "card empty" }, found.missing));
    fill(told, summary(found), timeline(found), plan(found.plan), found.shadow && shadow(found.shadow));
  })();
  return { topics: [], told() {} };
}

function summary(found) {
  return card("What came of it",
    h("p", { class: "row" }, badged(found.outcome), h("span", null, found.message || found.reason)),
    h("div", null, facts([
      ["Id", h("code", null, found.id)], ["Arrived", moment(found.at)], ["Status", String(found.status)],
      ["Asked for", found.asked], ["Route", found.route], ["Answered by", found.backend && `${found.backend} (${found.model})`],
      ["Caller", found.caller], ["Cache", found.cache], ["Stream", found.stream ? "yes" : "no"],
      ["Tokens", found.prompt_tokens === null ? null : `${count(found.prompt_tokens)} read, ${count(found.completion_tokens)} written`],
      ["First token", seconds(found.ttft)], ["Whole answer", seconds(found.duration)], ["Cost", usd(found.cost_usd)],
      ["Elsewhere it would have cost", found.counterfactual && `${usd(found.counterfactual.dearest.usd)} (${found.counterfactual.dearest.deployment})`],
      ["Gateway's own time", seconds(Object.values(found.overhead ?? {}).reduce((total, value) => total + value, 0))],
      ["Policy", found.generation && h("code", null, found.generation)], ["Error", found.error_type || null],
    ].filter(([, value]) => value !== null && value !== undefined && value !== ""))));
}

function timeline(found) {
  if (!found.attempts.length) return card("Attempts", h("p", { class: "dim" }, "Nobody was asked."));
  const end = Math.max(found.duration, ...found.attempts.map((one) => one.offset + one.duration), 0.001);
  const part = (value) => (Math.max(0, value) / end) * 1000;
  return card("Attempts",
    h("p", { class: "dim small" }, `Over ${seconds(end)}: waiting for the first token, then receiving; failed attempts in red.`),
    h("div", { class: "timeline" }, found.attempts.map((one) => {
      const waited = one.ttft ?? one.duration;
      return h("div", { class: "lane" },
        h("span", { class: "who", title: one.deployment }, one.deployment),
        s("svg", { viewBox: "0 0 1000 22", preserveAspectRatio: "none", role: "img", "aria-label": `${one.deployment}: begun after ${seconds(one.offset)}, ${one.outcome} after ${seconds(one.duration)}` },
          s("rect", { class: "track", width: 1000, height: 22, rx: 3 }),
          s("rect", { class: one.error_type && one.ttft === null ? "fail" : "wait", x: part(one.offset), y: 3, width: Math.max(3, part(waited)), height: 16 }),
          one.ttft !== null && s("rect", { class: one.error_type ? "fail" : "flow", x: part(one.offset + waited), y: 3, width: Math.max(3, part(one.duration - waited)), height: 16 })),
        h("span", { class: "num" }, seconds(one.duration)),
        (one.error_type || one.message) && h("span", { class: "bad small" }, `${one.error_type} ${one.message}`));
    })));
}

/** A plan: whom, in what order, what each term adds, and why the others are out. */
export function plan(found) {
  if (!found) return card("Plan", h("p", { class: "dim" }, "It was answered without a plan."));
  const weights = Object.entries(found.weights).filter(([, weight]) => weight);
  const out = [...found.rejected.map((one) => [one.deployment, one.reason, one.code]), ...found.reserves.map((one) => [one.deployment, one.reason, "in reserve"])];
  const rows = found.choices.map((one, place) => [
    `${place + 1}. ${one.deployment}`, usd(one.usd), seconds(one.ttft), seconds(one.seconds), seconds(one.late), String(one.tier),
    ...weights.map(([name]) => { const term = one.terms[name]; return h("span", { title: `${term.value} ${term.unit}: ${term.ratio.toFixed(3)} of the best, times ${term.weight}` }, term.adds.toFixed(3)); }),
    h("strong", null, one.score.toFixed(3)),
  ]);
  return card("Plan",
    h("p", null, found.error ? h("span", { class: "bad" }, `${found.error.status} ${found.error.code}: ${found.error.message}`) : found.reason),
    h("p", { class: "dim small" }, `Route ${found.route}${found.arm ? `, arm ${found.arm}` : ""}; weights ${weights.map(([name, weight]) => `${name} ${weight}`).join(", ") || "none"}, the lowest score is best, and chance decides between near ties${found.causes?.length ? `; reserves called for ${found.causes.join(", ")}` : ""}`),
    rows.length > 0 && plainTable("Candidates, best first", ["Deployment", "Cost", "First token", "Last token", "1 in 20 after", "Tier", ...weights.map(([name]) => name), "Score"], rows, ["", ...Array(6 + weights.length).fill("num")]),
    out.length > 0 && [h("h3", null, "Out, and why"), plainTable("Candidates that are out", ["Deployment", "Reason", "Filter"], out)]);
}

function shadow(found) {
  return card("Its copy", facts([
    ["Sent to", found.deployment], ["Outcome", found.outcome], ["Cost", usd(found.cost_usd)], ["Error", found.error_type || null],
    ...Object.entries(found.ratios).map(([name, ratio]) => [`${name}, by the answer's`, ratio.toFixed(2)]),
  ]));
}
