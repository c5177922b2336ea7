// Talking to the gateway: calls, its clock, and the log as it grows.

export class Problem extends Error {
  constructor(status, document, retryAfterS) {
    super(document.detail ?? document.title ?? `The gateway answered ${status}.`);
    this.status = status;
    this.code = String(document.type ?? "").split("/").pop();
    this.document = document;
    this.retryAfterS = retryAfterS;
  }

  static async of(response) {
    const document = await response.json().catch(() => ({}));
    return new Problem(response.status, document, Number(response.headers.get("Retry-After")) || 0);
  }
}

// The browser's clock may be wrong by hours; deadlines are the gateway's.
let aheadMs = 0;
let aheadErrorMs = Infinity;

export const gatewayNow = () => Date.now() + aheadMs;

function learnTime(date, sent, received) {
  const said = Date.parse(date ?? "");
  const errorMs = (received - sent) / 2 + 500;
  // The header counts whole seconds: on average half of one has passed. A step of our own clock shows as a
  // difference no error explains.
  const found = said + 500 - (sent + received) / 2;
  if (Number.isNaN(found)) return;
  if (errorMs <= aheadErrorMs || Math.abs(found - aheadMs) > errorMs + aheadErrorMs) {
    aheadMs = found;
    aheadErrorMs = errorMs;
  }
}

export async function call(path, { method = "GET", body, keepalive = false, limitMs = 8000 } = {}) {
  const sent = Date.now();
  const options = { method, keepalive, cache: "no-store", signal: AbortSignal.timeout(limitMs) };
  if (method !== "GET") {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body ?? {});
  }
  const response = await fetch(path, options);
  learnTime(response.headers.get("Date"), sent, Date.now());
  if (!response.ok) throw await Problem.of(response);
  return response.status === 204 ? null : response.json();
}

// `ask`, never two at a time: all who ask during one share the next.
export function oneByOne(ask) {
  let asking = null;
  let asked = null;
  return function refresh() {
    if (!asking) {
      asking = ask().finally(() => { asking = null; });
      return asking;
    }
    asked ??= asking.then(() => {
      asked = null;
      return refresh();
    });
    return asked;
  };
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

// Calls `seen(event)` for each event after `after`, for ever; resumes where it was. `after` is a sequence number.
export async function follow(after, seen) {
  for (;;) {
    try {
      const response = await fetch("/api/v1/events/stream", {
        headers: { "Last-Event-ID": String(after) }, cache: "no-store",
      });
      if (!response.ok) throw await Problem.of(response);
      for await (const { id, data } of messages(response.body)) {
        after = Number(id);
        seen(JSON.parse(data));
      }
    } catch (problem) {
      if (problem instanceof Problem && problem.code === "role-required") return;
    }
    await pause(2000);
  }
}

async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const message = {};
      for (const line of part.split("\n")) {
        const [, field, rest] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (field) message[field] = rest;
      }
      if (message.data !== undefined) yield message;
    }
  }
}
