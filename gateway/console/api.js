// Asking the gateway: JSON with the key in a header, and the stream of what happens.

const KEPT = "llama-gateway-admin-key";

export class Refused extends Error {
  constructor(status, body) {
    super(body?.detail ?? `The gateway answered ${status}.`);
    this.status = status;
    this.body = body ?? {};
  }
}

let wake = () => {}; // whoever waits to connect again tries at once

export const key = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => {
    sessionStorage.setItem(KEPT, value);
    wake();
  },
  forget: () => sessionStorage.removeItem(KEPT),
};

function headers(more) {
  const value = key.get();
  return { ...(value ? { authorization: `Bearer ${value}` } : {}), ...more };
}

async function json(answer) {
  if (answer.ok) return answer.json();
  throw new Refused(answer.status, await answer.json().catch(() => null));
}

/** The answer to a GET; raises Refused. */
export async function get(path, signal) {
  return json(await fetch(path, { headers: headers(), signal, cache: "no-cache" }));
}

/** The answer to a POST of JSON; raises Refused. */
export async function post(path, body) {
  return json(await fetch(path, { method: "POST", headers: headers({ "content-type": "application/json" }), body: JSON.stringify(body ?? {}) }));
}

/** Saves the answer to a GET as a file; a link could not send the key. */
export async function save(path, name) {
  const answer = await fetch(path, { headers: headers(), cache: "no-cache" });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  return true;
}

/** Follows topics until it is closed: `told(topic, body)` for each event, `state(on)` when the connection comes or goes.

A stream of fetch and not an EventSource, which could not send the key. */
export function follow(topics, told, state) {
  const stop = new AbortController();
  (async () => {
    let wait = 500;
    while (!stop.signal.aborted) {
      let now = "lost";
      try {
        const answer = await fetch(`/admin/events?topics=${topics.join(",")}`, { headers: headers(), signal: stop.signal, cache: "no-store" });
        if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
        state("on");
        wait = 500;
        await read(answer.body, told);
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof Refused && error.status === 401) now = "key";
      }
      if (stop.signal.aborted) return;
      state(now);
      await new Promise((done) => { wake = done; setTimeout(done, wait); });
      wait = Math.min(wait * 2, 10000);
    }
  })();
  return () => stop.abort();
}

async function read(body, told) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const whole = held.split("\n\n");
    held = whole.pop();
    for (const event of whole) {
      const lines = event.split("\n");
      const topic = lines.find((line) => line.startsWith("event: "))?.slice(7);
      const data = lines.find((line) => line.startsWith("data: "))?.slice(6);
      if (topic && data) told(topic, JSON.parse(data));
    }
  }
}
