// The page: who is asking, their cameras, the last events, and the notice.

import { CameraView } from "./camera.js";
import { call, follow, oneByOne, Problem } from "./gateway.js";
import { Windows } from "./windows.js";
import { eventWord, pairs } from "./words.js";

const POLL_MS = 2000;
const WINDOWS_POLL_MS = 5000;
const EVENTS_SHOWN = 12;
const PICTURE_ROLES = ["viewer", "maintainer"];
const LOG_ROLES = ["reviewer", "maintainer"];
const QUIET_EVENTS = ["checkpoint"];
const WINDOW_EVENTS = /^(window_.*|config_loaded)$/;

const at = (id) => document.getElementById(id);
const views = new Map();
let roles = [];
let windows = null;
let failures = 0;

const refresh = oneByOne(async () => {
  try {
    const { items } = await call("/api/v1/cameras", { limitMs: 4000 });
    const missed = failures > 0;
    failures = 0;
    trouble("");
    if (missed) windows.refresh();
    for (const camera of items) {
      const known = views.get(camera.id);
      if (known) known.update(camera);
      else add(camera);
    }
    const ids = new Set(items.map(({ id }) => id));
    for (const [id, view] of views) {
      if (ids.has(id)) continue;
      view.leave();
      view.element.remove();
      views.delete(id);
    }
    at("none").hidden = items.length > 0;
    windows.offer(items.map(({ id }) => id));
  } catch (problem) {
    failures += 1;
    if (problem instanceof Problem) trouble(problem.message);
    else if (failures > 1) trouble("The gateway does not answer. Is the VPN up?");
    if (problem instanceof Problem || failures > 1) {
      for (const view of views.values()) view.lost(at("trouble").textContent);
      windows.lost(at("trouble").textContent);
    }
  }
});

function add(camera) {
  const mayWatch = roles.some((role) => PICTURE_ROLES.includes(role));
  const view = new CameraView(camera, { mayWatch, refresh });
  views.set(camera.id, view);
  at("cameras").append(view.element);
}

function trouble(text) {
  if (at("trouble").textContent === text) return;
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

function introduce(me) {
  roles = me.roles ?? [];
  const device = typeof me.device === "object" ? me.device?.label : me.device;
  at("who").textContent = [me.name, device, roles.join(", ")].filter(Boolean).join(" · ");
  at("purposes").replaceChildren(...(me.purposes ?? []).map((purpose) => {
    const option = document.createElement("option");
    option.value = purpose.name ?? purpose;
    return option;
  }));
  const parts = typeof me.notice === "string" ? { notice: me.notice } : me.notice ?? {};
  at("notice-text").replaceChildren(...pairs(Object.entries(parts)));
  at("notice").hidden = !at("notice-text").children.length;
  windows = new Windows(me);
}

function show(event) {
  if (QUIET_EVENTS.includes(event.name)) return;
  const line = document.createElement("li");
  const when = document.createElement("time");
  when.dateTime = when.title = event.at;
  when.textContent = new Date(event.at).toLocaleTimeString([], { hour12: false });
  const where = document.createElement("b");
  where.textContent = event.camera ?? "site";
  const what = document.createElement("span");
  what.textContent = eventWord(event);
  line.append(when, where, what);
  at("events").prepend(line);
  while (at("events").children.length > EVENTS_SHOWN) at("events").lastElementChild.remove();
  at("no-events").hidden = true;
}

async function readLog() {
  if (!roles.some((role) => LOG_ROLES.includes(role))) return;
  at("log").hidden = false;
  const cameras = (await call("/api/v1/cameras")).items;
  let after = Math.max(0, ...cameras.map(({ version }) => version ?? 0)) - 3 * EVENTS_SHOWN;
  after = Math.max(0, after);
  const { items } = await call(`/api/v1/events?after=${after}&limit=200`);
  items.forEach(show);
  await follow(items.at(-1)?.seq ?? after, (event) => {
    show(event);
    views.get(event.camera)?.heard(event);
    if (WINDOW_EVENTS.test(event.name)) windows.refresh();
  });
}

async function start() {
  for (;;) {
    try {
      introduce(await call("/api/v1/me"));
      break;
    } catch (problem) {
      trouble(problem instanceof Problem ? problem.message : "The gateway does not answer. Is the VPN up?");
      await new Promise((again) => setTimeout(again, POLL_MS));
    }
  }
  await refresh();
  setInterval(refresh, POLL_MS);
  windows.refresh();
  setInterval(windows.refresh, WINDOWS_POLL_MS);
  setInterval(() => views.forEach((view) => { view.tick(); view.lookAtChecks(); }), 1000);
  await readLog();
}

// Gone from the page, gone from its memory, and the viewer has left: also into the back-forward cache.
addEventListener("pagehide", () => views.forEach((view) => view.leave()));
addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });
start();
