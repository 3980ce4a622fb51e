// Asking the gateway: JSON with the key in a header, and the stream of what happens.

const KEPT = "llama-gateway-admin-key";

export class Refused extends Error {
  constructor(status, body) {
    super(body?.detail ?? `The gateway answered ${status}.`);
    this.status = status;
    this.body = body ?? {};
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEPT),
  set: (value) => sessionStorage.setItem(KEPT, value),
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

/** Follows topics until it is closed: `told(topic, body)` for each event, `state(on)` when the connection comes or goes.

A stream of fetch and not an EventSource, which could not send the key. */
export function follow(topics, told, state) {
  const stop = new AbortController();
  (async () => {
    let wait = 500;
    while (!stop.signal.aborted) {
      try {
        const answer = await fetch(`/admin/events?topics=${topics.join(",")}`, { headers: headers(), signal: stop.signal, cache: "no-store" });
        if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
        state("on");
        wait = 500;
        await read(answer.body, told);
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof Refused) state(error.status === 401 ? "key" : "lost");
      }
      if (stop.signal.aborted) return;
      state("lost");
      await new Promise((done) => setTimeout(done, wait));
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
