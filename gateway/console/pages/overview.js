// The last minutes: how much, how fast, what it costs.

import { sparkline, timeChart } from "../chart.js";
import { card, fill, h, head, say } from "../dom.js";
import { count, moment, seconds, short, usd } from "../format.js";

const KEPT = 300; // seconds
const LATELY = 10; // over which a rate is told

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);
const last = (values, many) => values.slice(-many);

/** Sums of groups of seconds, so that a line is calm enough to be read. */
function grouped(values, size, join) {
  const found = [];
  for (let end = values.length; end > 0; end -= size) found.unshift(join(values.slice(Math.max(0, end - size), end)));
  return found;
}

function middle(values) {
  const known = values.filter((value) => value !== null && value !== undefined).sort((a, b) => a - b);
  return known.length ? known[Math.floor((known.length - 1) / 2)] : null;
}

function most(values) {
  const known = values.filter((value) => value !== null && value !== undefined);
  return known.length ? Math.max(...known) : null;
}

function tile(name) {
  const value = h("span"), unit = h("span", { class: "unit" }), more = h("div", { class: "more" }), spark = h("div");
  const node = h("section", { class: "card tile", "aria-label": name }, h("div", { class: "name" }, name), h("div", { class: "value" }, value, unit), more, spark);
  return {
    node,
    set(text, kind, said, values) {
      say(value, text);
      say(unit, kind);
      say(more, said);
      fill(spark, values ? sparkline(values, `${name} over the last minutes`, 160, 40) : null);
    },
  };
}

export function show(main, context) {
  const tiles = { rate: tile("Requests"), ttft: tile("Time to first token"), tokens: tile("Output"), cost: tile("Cost"), saved: tile("Saved"), fleet: tile("Deployments") };
  const charts = h("div", { class: "split" }), sums = h("div"), policy = h("div");
  fill(main, head("Overview"), h("div", { class: "tiles" }, Object.values(tiles).map((one) => one.node)), charts,
    h("div", { class: "split" }, card("Since the start", sums), card("Policy", policy)));
  let now = null, columns = {};

  function draw() {
    const span = Math.max(1, Math.min(LATELY, columns.at.length));
    const per = (name) => sum(last(columns[name], span)) / span;
    const calm = (name) => grouped(columns[name], 5, (values) => sum(values) / values.length);
    const ttft = grouped(columns.ttft_p50, 5, middle), late = grouped(columns.ttft_p95, 5, most);
    const hourly = (name) => (columns.at.length ? (sum(columns[name]) / columns.at.length) * 3600 : 0);
    const handled = sum(columns.requests), failed = sum(columns.failures);
    tiles.rate.set(short(per("requests")), "/ s", `${count(now.in_flight)} in flight, ${handled ? ((failed / handled) * 100).toFixed(failed ? 1 : 0) : 0} % failed`, calm("requests"));
    tiles.ttft.set(seconds(middle(last(columns.ttft_p50, 60))), "", `p95 ${seconds(most(last(columns.ttft_p95, 60)))}`, ttft);
    tiles.tokens.set(short(per("completion_tokens")), "tokens / s", `${short(per("prompt_tokens"))} / s read`, calm("completion_tokens"));
    tiles.cost.set(usd(hourly("cost_usd")), "/ h", `${usd(now.totals.cost_usd)} in all`, calm("cost_usd"));
    tiles.saved.set(usd(hourly("saved_usd")), "/ h", `${usd(now.totals.saved_usd)} in all`, calm("saved_usd"));
    const fleet = now.deployments;
    tiles.fleet.set(`${fleet.up} / ${fleet.all}`, "usable", fleet.drained ? `${fleet.drained} drained` : "none drained", null);
    const minutes = Math.max(1, Math.round(columns.at.length / 60));
    const from = `${minutes} min ago`;
    fill(charts,
      card("Requests per second", timeChart("Requests per second", [{ name: "all", values: calm("requests") }, { name: "failed", values: calm("failures") }], short, from, "now")),
      card("Time to first token", timeChart("Time to first token", [{ name: "p50", values: ttft }, { name: "p95", values: late }], seconds, from, "now")));
    const totals = now.totals;
    fill(sums, h("dl", { class: "facts" }, [["Requests", count(totals.requests)], ["Failed", count(totals.failures)], ["From the cache", count(totals.hits)], ["Tokens read", short(totals.prompt_tokens)], ["Tokens written", short(totals.completion_tokens)], ["Cost", usd(totals.cost_usd)], ["Saved", usd(totals.saved_usd)]].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))));
    const rule = now.policy;
    fill(policy, h("dl", { class: "facts" }, [
      ["Generation", h("code", null, rule.generation)], ["In force since", moment(rule.changed)],
      ["Last reload", rule.last_reload === "ok" ? "taken over" : h("a", { class: "bad", href: "#/policy" }, "refused: see why")],
      ["Held by a rollback", rule.pinned ? "yes, until the file changes" : "no"], ["File", rule.file || "none: started by `up`"],
    ].map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))));
  }

  async function load() {
    const found = await context.act(() => context.get("/admin/overview"));
    if (!found) return;
    now = found;
    columns = found.ticks;
    draw();
  }

  load();
  return {
    topics: ["pulse"],
    told(topic, body) {
      if (!now) return;
      if (topic === "policy") now.policy = { ...now.policy, ...body };
      if (topic !== "pulse") return;
      for (const name of Object.keys(columns)) columns[name] = last([...columns[name], body[name] ?? null], KEPT);
      now.totals = body.totals;
      now.in_flight = body.in_flight;
      now.deployments = body.deployments;
      draw();
    },
  };
}
