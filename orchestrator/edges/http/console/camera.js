// One camera on the page: its picture, its state, what may be done now, and why not.

import { call, gatewayNow } from "./gateway.js";
import { Player } from "./player.js";
import { clockTime, faultWord, isOpen, pairs, shutReason, span, stateWord, told } from "./words.js";

const SHUT = "disabled";

export class CameraView {
  #at = {};
  #camera;
  #ended = null;
  #mayWatch;
  #player;
  #refresh;
  #said = "";
  #asked = null;
  #checksUnderWay = false;

  // `camera` as the API tells it; `refresh()` asks for all cameras anew.
  constructor(camera, { mayWatch, refresh }) {
    this.element = document.getElementById("camera").content.firstElementChild.cloneNode(true);
    for (const name of ["picture", "shade-title", "shade-text", "watch", "wide", "name", "lane", "chip", "say", "left",
      "left-time", "left-text", "extend", "banner-text", "request", "acknowledge", "close", "stop", "problem", "facts",
      "why", "why-text", "checks"]) {
      this.#at[name] = this.element.querySelector(`.${name}`);
    }
    this.#mayWatch = mayWatch;
    this.#refresh = refresh;
    this.#player = new Player(this.#at.picture, {
      stillOpen: async () => {
        await refresh();
        return isOpen(this.#camera);
      },
      say: (text) => this.#complain(text),
    });
    this.#at.name.textContent = camera.id;
    this.#at.lane.textContent = camera.lane ? `lane ${camera.lane}` : "";
    this.#listen();
    this.update(camera);
  }

  #listen() {
    const { request, extend, acknowledge, close, watch, stop, wide, picture, why } = this.#at;
    request.addEventListener("submit", (event) => this.#submit(event, "request"));
    extend.addEventListener("submit", (event) => this.#submit(event, "extend"));
    acknowledge.addEventListener("submit", (event) => this.#submit(event, "acknowledge"));
    close.addEventListener("click", () => {
      this.#player.stop();
      this.#pull({ trigger: "close" });
    });
    watch.addEventListener("click", () => this.#watch());
    stop.addEventListener("click", () => {
      this.#player.stop();
      this.#draw();
    });
    wide.addEventListener("click", () => picture.requestFullscreen?.());
    why.addEventListener("toggle", () => this.lookAtChecks());
  }

  // The newest word of the gateway on this camera.
  update(camera) {
    const before = this.#camera;
    this.#camera = camera;
    if (camera.state === "requested" && before?.state !== "requested") this.#at.why.open = true;
    if (before && isOpen(camera) && !isOpen(before)) this.#at.why.open = false;
    if (!isOpen(camera)) this.#player.stop({ shut: true });
    if (isOpen(camera) && this.#mayWatch && camera.session === this.#asked?.session) this.#watch();
    this.#draw();
  }

  // An event of the log about this camera: shut first, ask afterwards.
  heard(event) {
    if (event.type !== "transition") return;
    if (event.to === "disabled" && event.trigger !== "closed") {
      this.#ended = { trigger: event.trigger, fault: event.data?.fault, limit: event.data?.limit };
      this.#player.stop({ shut: true });
      this.#shade("Shut", shutReason({}, this.#ended));
    }
    this.#refresh();
  }

  // The gateway is out of reach: what is shown may no longer be true.
  lost(why) {
    this.#player.stop();
    this.element.classList.add("lost");
    this.#at.chip.textContent = "Not known";
    this.#at.chip.dataset.state = "unknown";
    this.#shade("Not known", why);
    this.#sayOnce(`${this.#camera.id}: not known. ${why}`);
  }

  leave() {
    this.#player.stop();
  }

  tick() {
    const { left } = this.#at;
    const ends = this.#camera.deadline ? Date.parse(this.#camera.deadline) : NaN;
    const seconds = (ends - gatewayNow()) / 1000;
    left.hidden = !isOpen(this.#camera) || Number.isNaN(seconds);
    if (left.hidden) return;
    this.#at["left-time"].textContent = clockTime(seconds);
    this.#at["left-text"].textContent = seconds > 0
      ? `until ${new Date(Date.now() + seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false })}`
      : "closing";
  }

  // Once a second, while somebody waits for the checks or looks at them.
  async lookAtChecks() {
    const { why } = this.#at;
    if (this.#checksUnderWay || !(why.open || this.#camera.state === "requested")) return;
    this.#checksUnderWay = true;
    try {
      this.#drawChecks(await call(`/api/v1/cameras/${encodeURIComponent(this.#camera.id)}/checks`));
    } catch (problem) {
      this.#at["why-text"].textContent = problem.message;
    } finally {
      this.#checksUnderWay = false;
    }
  }

  #draw() {
    const camera = this.#camera, at = this.#at;
    const may = (trigger) => (camera.permitted ?? []).includes(trigger);
    const open = isOpen(camera), watching = this.#player.wanted;
    this.element.classList.remove("lost");
    at.chip.textContent = stateWord(camera);
    at.chip.dataset.state = camera.state === SHUT ? camera.substate : camera.state;
    at.request.hidden = !may("request");
    at.acknowledge.hidden = !may("acknowledge");
    at.close.hidden = !may("close") || camera.state === SHUT;
    at.extend.hidden = !may("extend");
    at.extend.classList.toggle("urgent", camera.state === "expiring");
    at["banner-text"].textContent = camera.state === "expiring" ? "This session ends soon." : "";
    at.watch.hidden = !open || watching || !this.#mayWatch;
    at.stop.hidden = !open || !watching;
    at.wide.hidden = !open || !watching || !at.picture.requestFullscreen;
    if (open) {
      this.#shade(watching ? "Connecting" : "Open", this.#openText(watching));
    } else {
      this.#shade(stateWord(camera), this.#shutText());
    }
    this.#sayOnce(`${camera.id}: ${stateWord(camera)}. ${open ? "" : this.#shutText()}`);
    this.#drawFacts();
    this.tick();
  }

  #openText(watching) {
    if (this.#camera.substate === "reconnecting") return "The camera's picture is being fetched again.";
    if (watching) return "";
    return this.#mayWatch ? "The picture flows. Joining is logged." : "Your role does not include the picture.";
  }

  #shutText() {
    switch (this.#camera.state) {
      case "requested": return "Asked for. The checks decide.";
      case "safety_checked": return "Every check passed. Waiting for the first frame.";
      default: return shutReason(this.#camera, this.#ended);
    }
  }

  #shade(title, text) {
    this.#at["shade-title"].textContent = title;
    this.#at["shade-text"].textContent = text;
  }

  #sayOnce(text) {
    if (text === this.#said) return;
    this.#said = text;
    this.#at.say.textContent = text;
  }

  #drawFacts() {
    const { viewers, worker, session } = this.#camera;
    const count = Array.isArray(viewers) ? viewers.length : viewers;
    const facts = [["Viewers", isOpen(this.#camera) ? count : ""], ["Worker", worker], ["Session", session]];
    this.#at.facts.replaceChildren(...pairs(facts));
  }

  #drawChecks({ could_open: could, ready_in_ms: ready, checks }) {
    const those = (verdict) => checks.filter((check) => verdictOf(check)[1] === verdict).map(({ id }) => id);
    const failing = those("fails"), waiting = those("waits");
    const text = [
      could && "Every check passes: it could open now.",
      failing.length && `Not met: ${failing.join(", ")}.`,
      waiting.length && `Must hold for longer: ${waiting.join(", ")}.`,
      !could && ready > 0 && `At the earliest in ${span(ready)}.`,
      !could && !failing.length && !waiting.length && "It could not be opened by you.",
    ].filter(Boolean).join(" ");
    this.#at["why-text"].textContent = text;
    this.#at.checks.replaceChildren(...checks.map(checkLine));
  }

  #watch() {
    this.#asked = null;
    this.#complain("");
    this.#player.play(this.#camera.id).finally(() => this.#draw());
    this.#draw();
  }

  async #submit(event, trigger) {
    event.preventDefault();
    const form = event.currentTarget;
    const given = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
    const body = { trigger, reason: given.reason };
    if (given.minutes) body.duration_s = Number(given.minutes) * 60;
    if (given.purpose) body.purpose = given.purpose;
    if (given.ticket) body.ticket = given.ticket;
    if (!body.reason) return this.#complain("A reason is needed.");
    const done = await this.#pull(body);
    if (done && trigger === "request") {
      // Whoever asked wants to see it: joins as soon as this very session is open.
      this.#asked = done;
      this.#ended = null;
      this.#at.extend.elements.reason.value = given.reason;
    }
    if (done && trigger !== "extend") form.reset();
    return this.#refresh();
  }

  async #pull(body) {
    this.#complain("");
    this.element.classList.add("busy");
    try {
      return await call(`/api/v1/cameras/${encodeURIComponent(this.#camera.id)}/transitions`, { method: "POST", body });
    } catch (problem) {
      this.#complain(problem.message);
      return null;
    } finally {
      this.element.classList.remove("busy");
      this.#refresh();
    }
  }

  #complain(text) {
    this.#at.problem.textContent = text;
    this.#at.problem.hidden = !text;
  }
}

// What holds, but not for long enough yet, waits.
function verdictOf(check) {
  if (check.waived) return ["–", "waived"];
  if (check.passed) return ["✓", "passes"];
  return check.evidence?.holding_ms > 0 ? ["…", "waits"] : ["✗", "fails"];
}

function checkLine(check) {
  const { holding_ms: held, settle_ms: settle, age_ms: _, ...evidence } = check.evidence ?? {};
  const [mark, verdict] = verdictOf(check);
  const line = document.createElement("li");
  line.className = verdict;
  const parts = {
    mark, id: check.id, verdict,
    detail: check.detail || (verdict === "fails" && check.fault ? faultWord(check.fault) : ""),
    evidence: [
      held > 0 && `held ${span(held)}${settle > held ? ` of ${span(settle)}` : ""}`,
      check.age_ms >= 1000 && `seen ${span(check.age_ms)} ago`,
      told(evidence),
    ].filter(Boolean).join(" · "),
  };
  for (const [name, text] of Object.entries(parts)) {
    if (!text) continue;
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    if (name === "mark") part.ariaHidden = "true";
    line.append(part);
  }
  return line;
}
