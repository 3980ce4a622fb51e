// The models of the policy: licences, retirements, and where each is served.

import { badge, fill, h, head, outside } from "../dom.js";
import { price, retiresIn, retiresKind, tokens } from "../format.js";
import { plainTable } from "../table.js";

const STAGES = { gone: "bad", imminent: "bad", near: "warn", planned: "warn" };

function size(row) {
  if (!row.size_billions) return "–";
  return row.active_billions && row.active_billions !== row.size_billions ? `${row.size_billions}B, ${row.active_billions}B active` : `${row.size_billions}B`;
}

function licences(row) {
  if (!row.licences.length) return "not known";
  return row.licences.map((one) => h("div", null, outside(one.name || one.id, one.url),
    one.asks.length > 0 && h("details", null, h("summary", { class: "small dim" }, "What it asks"), h("ul", { class: "small" }, one.asks.map((text) => h("li", null, text))))));
}

const SHOWN = 5;

function serving(row) {
  const all = row.served.map(place);
  if (all.length <= SHOWN + 1) return all;
  return [all.slice(0, SHOWN), h("details", null, h("summary", { class: "small dim" }, `${all.length - SHOWN} more`), all.slice(SHOWN))];
}

function place(one) {
  return h("div", { class: "even" }, one.backend, h("span", { class: "dim small" }, ` ${[one.precision, tokens(one.context), one.price && price(one.price)].filter((part) => part && part !== "–").join(", ")}`),
    one.retires && [" ", badge(`retires in ${retiresIn(one.retires)}`, STAGES[one.stage] ?? retiresKind(one.retires), one.retires)]);
}

export function show(main, context) {
  const list = h("div", { class: "card" }, h("p", { class: "dim" }, "Loading …"));
  fill(main, head("Models and licences"), list);

  async function load() {
    const rows = await context.act(() => context.get("/admin/models"));
    if (!rows) return;
    fill(list, rows.length
      ? plainTable("Models", ["Model", "Size", "Window", "Can", "Served by", "Licence", "After it"], rows.map((row) => [
        [row.id, row.base && h("div", { class: "dim small" }, `made of ${row.base}`)], size(row), tokens(row.context), row.capabilities.join(", ") || "–", serving(row), licences(row),
        row.successor ? [row.successor, h("div", { class: "dim small" }, "by the policy")] : row.replacement ? [row.replacement, h("div", { class: "dim small" }, "its hosts' word")] : "–",
      ]), ["", "mid", "num mid", "wide", "", "", "wide"])
      : h("p", { class: "empty" }, "The policy serves no model."));
  }

  let generation = null;
  load();
  return {
    topics: [],
    told(topic, body) {
      if (topic !== "policy") return;
      if (generation !== null && generation !== body.generation) load();
      generation = body.generation;
    },
  };
}
