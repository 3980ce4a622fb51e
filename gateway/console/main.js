// Which page is shown, the key, and whether news come in.

import { follow, get, key, post, Refused, save } from "./api.js";
import { fill, h, say } from "./dom.js";
import * as overview from "./pages/overview.js";

const PAGES = [
  ["overview", "Overview", async () => overview],
  ["backends", "Backends", () => import("./pages/backends.js")],
  ["requests", "Requests", () => import("./pages/requests.js")],
  ["policy", "Policy", () => import("./pages/policy.js")],
  ["callers", "Callers", () => import("./pages/callers.js")],
  ["models", "Models", () => import("./pages/models.js")],
];
const STATES = { on: "live", off: "connecting", lost: "connection lost", key: "key needed" };

const main = document.getElementById("main");
const live = document.getElementById("live");
const noticed = document.getElementById("notice");
const dialog = document.getElementById("key-dialog");
const input = document.getElementById("key-input");
const keyError = document.getElementById("key-error");
let shown = { close() {} }, turn = 0, asking = null;

function notice(text, bad) {
  fill(noticed, text ? h("p", { class: bad ? "bad" : null, role: bad ? "alert" : null }, text) : null);
}

function state(name) {
  live.dataset.state = name;
  say(live, STATES[name]);
}

function keyed() {
  say(document.getElementById("key-button"), key.get() ? "Admin key: set" : "Admin key");
}

/** Ask for the key in a form, once for all who want it; whether one was given. */
function askKey(why) {
  asking ??= new Promise((done) => {
    say(keyError, why ?? "");
    input.value = dialog.returnValue = "";
    dialog.addEventListener("close", () => { asking = null; done(dialog.returnValue === "given"); }, { once: true });
    dialog.showModal();
  });
  return asking;
}

/** Do something that may need the key: ask for it, do it again, say what went wrong; undefined when it was not done. */
async function act(work) {
  for (;;) {
    const used = key.get();
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Refused)) {
        notice("The gateway does not answer. Is it running?", true);
        return undefined;
      }
      if (error.status !== 401) {
        notice(error.message, true);
        return undefined;
      }
      if (key.get() === used) {
        key.forget();
        keyed();
        if (await askKey(used === null ? "" : "The gateway does not take that key.")) continue;
        notice("That needs the admin key.", true);
        return undefined;
      }
      if (asking !== null && !(await asking)) return undefined; // somebody else's answer took the key, and asks for another
    }
  }
}

const context = { get, post, save, act, notice, go: (where) => { location.hash = where; } };

function links(current) {
  const nav = fill(document.getElementById("nav"), PAGES.map(([name, title]) =>
    h("a", { href: `#/${name}`, "aria-current": name === current ? "page" : null }, title)));
  nav.querySelector("[aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
}

async function show(focus) {
  const mine = ++turn;
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  const page = PAGES.find((one) => one[0] === name) ?? PAGES[0];
  shown.close();
  shown = { close() {} };
  notice("");
  links(page[0]);
  document.title = `${page[1]} · Llama Gateway`;
  const module = await page[2]().catch(() => null);
  if (mine !== turn) return;
  if (module === null) {
    fill(main);
    notice("The gateway does not answer. Is it running?", true);
    return;
  }
  fill(main);
  const made = module.show(main, context, rest);
  const stop = follow([...new Set([...made.topics, "policy"])], (topic, body) => made.told(topic, body), state);
  shown = { close() { stop(); made.close?.(); } };
  if (focus) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

document.getElementById("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set(input.value.trim());
  dialog.close("given");
});
document.getElementById("key-cancel").addEventListener("click", () => dialog.close(""));
document.getElementById("key-forget").addEventListener("click", () => { key.forget(); dialog.close(""); });
document.getElementById("key-button").addEventListener("click", () => askKey());
dialog.addEventListener("close", () => { input.value = ""; keyed(); });
dialog.addEventListener("cancel", () => { dialog.returnValue = ""; });
window.addEventListener("hashchange", () => show(true));
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
keyed();
show(false);
