// What codes mean, in words for the person in front of the page.

const STATES = {
  "disabled.ready": "Shut",
  "disabled.closing": "Closing",
  "disabled.locked": "Locked",
  "requested": "Waiting for checks",
  "safety_checked": "Starting",
  "streaming.live": "Open",
  "streaming.reconnecting": "Open, reconnecting",
  "expiring.live": "Ends soon",
  "expiring.reconnecting": "Ends soon, reconnecting",
};

const FAULTS = {
  "vpn-down": "The VPN interface is down.",
  "vpn-address-changed": "The VPN address has changed.",
  "vpn-not-private": "The picture was published beyond the VPN.",
  "listener-exposed": "A listener was open outside the VPN.",
  "side-door": "The camera's source can be reached another way.",
  "identity-revoked": "The right of the person who asked was taken back.",
  "identity-stale": "The VPN has not heard from its control plane.",
  "lane-unsafe": "The lane is not clear.",
  "lane-unknown": "What happens in the lane is not known for sure.",
  "broker-lost": "The message broker does not answer.",
  "camera-moved": "The camera was moved, so its mask is wrong.",
  "window-closed": "The maintenance window was closed.",
  "config-invalid": "The configuration is not valid.",
  "config-changed": "The configuration has changed.",
  "worker-failed": "The camera gives no picture.",
  "worker-storm": "The camera failed again and again.",
  "host-overloaded": "The gateway is overloaded.",
  "memory-not-private": "The picture's memory is not private.",
  "log-unwritable": "The log cannot be written.",
  "log-tampered": "The log is not as it was left.",
  "clock-jumped": "The clock has jumped.",
  "restarted": "The gateway was restarted.",
  "deadline-overrun": "The end had passed.",
  "closing-unproven": "It is not proven that everything is gone.",
};

const LIMITS = {
  asked: "The time asked for is over.",
  max_session: "The longest time for a session is over.",
  window: "The maintenance window is over.",
  idle: "Nobody was watching.",
};

const HAPPENED = {
  request: "asked to open",
  checks_passed: "every check passed",
  checks_failed: "not opened: checks failed",
  first_frame: "open",
  start_failed: "not opened: no picture came",
  frames_lost: "picture lost, reconnecting",
  frames_back: "picture is back",
  expiry_notice: "ends soon",
  extend: "extended",
  expire: "closed: time is over",
  close: "closed by hand",
  fault: "closed",
  closed: "shut, proven",
  acknowledge: "unlocked",
  viewer_joined: "a viewer joined",
  viewer_left: "a viewer left",
  worker_started: "worker started",
  worker_exited: "worker ended",
  lane_changed: "the lane changed",
  denied: "somebody was refused",
  config_loaded: "configuration loaded",
  service_started: "gateway started",
  service_stopped: "gateway stopped",
  checkpoint: "checkpoint",
  revealed: "names were looked at",
  fault_seen: "fault seen",
  fault_gone: "fault gone",
};

const STANDINGS = {
  proposed: "It opens nothing until an approver approves it.",
  cancelled: "It will not open: it was cancelled.",
};

const SKIPPED = {
  "missing-hour": "It will not open: the clocks skip this hour.",
  "excepted": "It will not open: the configuration excepts this day.",
};

const plain = (code) => String(code).replaceAll("_", " ").replaceAll("-", " ");

export const isOpen = (camera) => camera.state === "streaming" || camera.state === "expiring";

export function stateWord({ state, substate }) {
  return STATES[substate ? `${state}.${substate}` : state] ?? plain(state);
}

export const faultWord = (code) => FAULTS[code] ?? `${plain(code)}.`;

// Why a camera is shut, in one sentence.
export function shutReason(camera, ended) {
  const locks = camera.locks ?? [];
  if (locks.length) return `${locks.map(faultWord).join(" ")} An approver has to acknowledge this.`;
  if (camera.fault) return faultWord(camera.fault);
  if (ended?.fault) return faultWord(ended.fault);
  if (ended?.limit) return LIMITS[ended.limit] ?? "";
  if (ended?.trigger) return `${HAPPENED[ended.trigger] ?? plain(ended.trigger)}.`.replace(/^./, (c) => c.toUpperCase());
  return "No picture leaves the gateway.";
}

export function eventWord(event) {
  const name = event.trigger ?? event.name;
  const said = HAPPENED[name] ?? plain(name);
  const fault = event.data?.fault;
  const limit = name === "expire" && event.data?.limit;
  return [said, fault && faultWord(fault), limit && LIMITS[limit]].filter(Boolean).join(": ").replace(/\.$/, "");
}

// How a stretch of maintenance windows stands: the chip's tone and word, and what that means.
export function standingWord({ state, skipped }, begun) {
  if (state === "approved") return { standing: begun ? "now" : "ahead", chip: begun ? "In force now" : "To come", why: "" };
  const chip = plain(state).replace(/^./, (c) => c.toUpperCase());
  return { standing: state, chip, why: SKIPPED[skipped] ?? STANDINGS[state] ?? "It will not open." };
}

// What the gateway refused, as a sentence; of the JSON pointer before it the person needs nothing.
export function refusalWord(problem) {
  if (!problem.code) return "The gateway did not answer: look whether it was done before you try again.";
  const said = problem.message.replace(/^\/[\w/]*: /, "").replace(/^./, (c) => c.toUpperCase());
  return /[.!?]$/.test(said) ? said : `${said}.`;
}

// 75 → "1:15", 3700 → "1:01:40"
export function clockTime(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

export function span(ms) {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} min`;
}

// The children of a <dl>; what has no value is left out.
export function pairs(entries) {
  return entries.map(([name, value]) => [name, told(value)]).filter(([, text]) => text).flatMap(([name, text]) => {
    const term = document.createElement("dt"), what = document.createElement("dd");
    term.textContent = plain(name);
    what.textContent = text;
    return [term, what];
  });
}

// A value of the API as a short text: evidence and worker are objects of plain values.
export function told(value) {
  if (value === null || value === undefined || value === "") return "";
  if (Array.isArray(value)) return value.map(told).join(", ");
  if (typeof value === "object") {
    return Object.entries(value).filter(([, v]) => v !== null && v !== "").map(([name, v]) => (
      name.endsWith("_ms") ? `${plain(name.slice(0, -3))} ${span(v)}` : `${plain(name)} ${told(v)}`)).join(" · ");
  }
  return String(value);
}
