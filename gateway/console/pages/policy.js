// The policy: its file with what `check` says, its versions, an explanation, and a draft compared with it.

import { badge, card, facts, fill, h, head } from "../dom.js";
import { count, moment, seconds, usd } from "../format.js";
import { plainTable } from "../table.js";
import { plan } from "./requests.js";

const MARKS = { added: ["+", "good"], removed: ["−", "bad"], changed: ["~", "warn"], moved: ["~", "warn"] };
const EXAMPLE = { model: "auto", messages: [{ role: "user", content: "What does a gateway do?" }], stream: true };

/** Lines with their numbers, and below a line what is said of it. */
function text(source, problems) {
  const at = new Map();
  for (const one of problems) at.set(one.line, [...(at.get(one.line) ?? []), one]);
  return h("div", { class: "file", tabindex: "0", role: "region", "aria-label": "The file's text" }, source.split("\n").map((line, index) => {
    const said = at.get(index + 1);
    const worst = said && (said.find((one) => one.severity === "error") ?? said[0]).severity;
    return [
      h("span", { class: said ? `l hit ${worst}` : "l" }, h("span", { class: "n", "aria-hidden": true }, index + 1), line || " "),
      said && said.map((one) => h("span", { class: `said hit ${one.severity}`, role: "note" }, h("strong", null, `${one.severity} ${one.code}: `), one.message, one.hint && ` ${one.hint}`)),
    ];
  }));
}

function findings(found) {
  if (!found.length) return h("p", { class: "good" }, "Nothing is wrong with it.");
  return h("ul", { class: "changes" }, found.map((one) => h("li", { class: one.severity === "error" ? "bad" : one.severity === "warning" ? "warn" : "", "data-mark": one.severity === "error" ? "!" : "·" },
    h("strong", null, `${one.code} `), `line ${one.line}: ${one.message}`, one.hint && ` ${one.hint}`, one.excerpt && h("pre", null, one.excerpt))));
}

function difference(found) {
  const parts = [];
  if (!found.changes.length && !found.privacy.length) parts.push(h("p", { class: "good" }, "It means the same as the policy in force."));
  if (found.privacy.length) parts.push(h("h3", null, "Who may leave the house"), h("ul", { class: "changes" }, found.privacy.map((one) => h("li", { class: "bad", "data-mark": "!" }, one.text))));
  if (found.changes.length) parts.push(h("h3", null, `${found.changes.length} changes`), h("ul", { class: "changes" }, found.changes.map((one) => h("li", { class: MARKS[one.action][1], "data-mark": MARKS[one.action][0] }, h("span", { class: "sr" }, `${one.action}: `), one.text))));
  const log = found.requests;
  if (log) {
    parts.push(h("h3", null, `The last ${count(log.requests)} requests, planned by both`), facts([
      ["Another route", count(log.route_changes)], ["Another model", count(log.model_changes)], ["Another backend", count(log.backend_changes)],
      ["Fail from now on", h("span", { class: log.fails_now.count ? "bad" : "" }, count(log.fails_now.count))], ["Work from now on", count(log.works_now.count)],
      ["May leave the house", h("span", { class: log.lost_privacy.count ? "bad" : "" }, count(log.lost_privacy.count))],
      ["Cost of all", `${usd(log.before.usd_total)} → ${usd(log.after.usd_total)}`], ["First token, p50", `${seconds(log.before.ttft_p50)} → ${seconds(log.after.ttft_p50)}`],
      ["Last token, p95", `${seconds(log.before.seconds_p95)} → ${seconds(log.after.seconds_p95)}`],
    ]));
    if (log.moves.length) parts.push(plainTable("Where requests go", ["Of", "Before", "After", "Requests"], log.moves.map((one) => [one.of, one.before, one.after, count(one.count)]), ["", "", "", "num"]));
  }
  return parts;
}

export function show(main, context) {
  const status = h("div"), files = h("div", { class: "stack" }), versions = h("div"), explained = h("div", { class: "stack" }), compared = h("div", { class: "stack" });
  const asked = h("textarea", { id: "asked", spellcheck: "false" });
  const headers = h("input", { id: "asked-headers", placeholder: "x-data-class: confidential", spellcheck: "false" });
  const draft = h("textarea", { id: "draft", spellcheck: "false" });
  const byDraft = h("input", { id: "by-draft", type: "checkbox" });
  asked.value = JSON.stringify(EXAMPLE, null, 2);
  fill(main,
    head("Policy", h("div", { class: "row" }, h("button", { type: "button", onclick: reload }, "Reload the file"))),
    status,
    h("section", { class: "card stack", "aria-label": "The file" }, h("h2", null, "The file"), files),
    h("div", { class: "split" },
      h("section", { class: "card stack", "aria-label": "Compare a draft" }, h("h2", null, "Compare a draft"),
        h("p", { class: "dim small" }, "Nothing here changes what is in force: when the draft is right, put it into the file. Credentials are stand-ins; leave them as they are."),
        h("div", null, h("label", { for: "draft" }, "Draft (YAML)"), draft),
        h("div", { class: "row" }, h("button", { type: "button", onclick: check }, "Check"), h("button", { type: "button", class: "main", onclick: compare }, "Compare with the policy in force")), compared),
      h("section", { class: "card stack", "aria-label": "Explain a request" }, h("h2", null, "Explain a request"),
        h("p", { class: "dim small" }, "Paste a chat request: whom would it be sent to now, in what order, and why not to the others?"),
        h("div", null, h("label", { for: "asked" }, "Request body (JSON)"), asked),
        h("div", null, h("label", { for: "asked-headers" }, "One header, if the routes look at any"), headers),
        h("div", { class: "row" }, h("button", { type: "button", class: "main", onclick: explain }, "Explain"), h("label", { class: "row", for: "by-draft" }, byDraft, "by the draft")))),
    explained,
    card("Versions", versions));

  async function load() {
    const [view, source, kept] = await Promise.all(["", "/source", "/versions"].map((path) => context.act(() => context.get(`/admin/policy${path}`)))) ;
    if (!view || !source || !kept) return;
    fill(status, view.last_reload === "refused" || view.pinned ? h("section", { class: "card", "aria-label": "State" },
      h("p", { class: "row" }, view.last_reload === "refused" ? badge("refused", "bad") : badge("pinned", "warn"),
        view.last_reload === "refused" ? "The file as it is now was refused; what was in force before still is." : "A rollback holds this version until the file changes."),
      view.problems.length > 0 && h("div", null, findings(view.problems))) : null);
    fill(files, source.files.length ? source.files.map((one) => [
      h("p", { class: "row small" }, h("code", null, one.file), one.problems.length ? badge(`${one.problems.length} findings`, one.problems.some((each) => each.severity === "error") ? "bad" : "warn") : badge("clean", "good")),
      text(one.text, one.problems),
    ]) : h("p", { class: "dim" }, "This gateway was started by `up` and has no file."));
    if (!draft.value && source.files.length) draft.value = source.files[0].text;
    fill(versions, plainTable("Versions", ["Generation", "In force from", "By", "What it changed", "Action"], kept.map((one) => [
      h("code", null, one.generation), moment(one.at), one.by, one.change || "–",
      one.current ? badge("in force", "good") : h("button", { type: "button", class: "small", "aria-label": `Go back to ${one.generation}`, onclick: () => rollback(one.generation) }, "Go back"),
    ]), ["", "mid", "mid", "wide", ""]));
  }

  async function reload() {
    const told = await context.act(() => context.post("/admin/policy/reload"));
    if (told) context.notice(`The file was read: generation ${told.generation} is in force.`);
    await load();
  }

  async function rollback(generation) {
    const told = await context.act(() => context.post("/admin/policy/rollback", { generation }));
    if (told) context.notice(`Generation ${told.generation} is in force and stays until the file changes.`);
    await load();
  }

  /** An answer, or the problems that the gateway names instead. */
  async function ask(path, body, where, drawn) {
    fill(where, h("p", { class: "dim" }, "Looking …"));
    const told = await context.act(async () => {
      try {
        return await context.post(path, body);
      } catch (error) {
        if (error.status === 422 && Array.isArray(error.body?.problems)) return { problems: error.body.problems };
        throw error;
      }
    });
    fill(where, told === undefined ? null : told.problems && path !== "/admin/policy/check" ? findings(told.problems) : drawn(told));
  }

  function check() {
    return ask("/admin/policy/check", { text: draft.value }, compared, (told) => findings(told.problems));
  }

  function compare() {
    return ask("/admin/policy/diff", { text: draft.value }, compared, difference);
  }

  async function explain() {
    let request;
    try {
      request = JSON.parse(asked.value);
    } catch (error) {
      context.notice(`The request is not JSON: ${error.message}.`, true);
      return;
    }
    const [name, ...rest] = headers.value.split(":");
    const body = { request, headers: rest.length ? { [name.trim()]: rest.join(":").trim() } : {} };
    if (byDraft.checked) body.text = draft.value;
    await ask("/admin/policy/explain", body, explained, plan);
  }

  load();
  let generation = null, last = null;
  return {
    topics: [],
    told(topic, body) {
      if (topic !== "policy") return;
      if (generation !== null && (generation !== body.generation || last !== body.last_reload)) load();
      generation = body.generation;
      last = body.last_reload;
    },
  };
}
