// The form for a one-off window: its fields, what is wrong with them, and the asking.

import { call, gatewayNow } from "./gateway.js";
import { refusalWord } from "./words.js";

// Our clock knows the gateway's to about this; a window "from now" must have begun.
const CLOCK_ERROR_MS = 1000;

export class WindowForm {
  #desk;
  #form;
  #busy = false;

  // `desk`: {zone, say(text), refresh()}.
  constructor(form, desk) {
    this.#desk = desk;
    this.#form = form;
    form.querySelector(".zone").textContent = desk.zone.name;
    form.elements.when.addEventListener("change", () => this.#showStart());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  // The cameras to choose from, as the list of cameras has them; one alone is chosen already.
  offer(cameras) {
    const box = this.#form.querySelector(".cameras");
    const shown = [...box.querySelectorAll("input")].map(({ value }) => value);
    if (shown.join("\n") === cameras.join("\n")) return;
    const chosen = this.#cameras();
    box.replaceChildren(...cameras.map((camera) => {
      const label = document.createElement("label"), input = document.createElement("input");
      input.type = "checkbox";
      input.name = "camera";
      input.value = camera;
      input.defaultChecked = cameras.length === 1;
      input.checked ||= chosen.includes(camera);
      label.append(input, camera);
      return label;
    }));
  }

  #cameras() {
    return [...this.#form.querySelectorAll("[name=camera]:checked")].map(({ value }) => value);
  }

  #showStart() {
    const { when, start } = this.#form.elements;
    start.closest("label").hidden = when.value === "now";
    if (when.value === "at" && !start.value) start.value = this.#desk.zone.local(gatewayNow());
  }

  // The body to send, or null when something is missing: it is said there.
  #body() {
    const { when, start, lasts, reason, ticket } = this.#form.elements;
    const cameras = this.#cameras();
    const { zone } = this.#desk;
    const from = when.value === "now" ? gatewayNow() - CLOCK_ERROR_MS : start.value && zone.instant(start.value);
    if (!cameras.length) return this.#complain("cameras", "Choose at least one camera.");
    if (from === "") return this.#complain("start", "A date and a time are needed.");
    if (from === null) return this.#complain("start", `The clocks in ${zone.name} skip that time; choose another.`);
    if (!reason.value.trim()) return this.#complain("reason", "A reason is needed.");
    const words = { reason: reason.value.trim(), ...(ticket.value.trim() && { ticket: ticket.value.trim() }) };
    const end = from + Number(lasts.value) * 60_000;
    const times = { start: new Date(from).toISOString(), end: new Date(end).toISOString() };
    return { cameras, ...times, ...words };
  }

  async #submit() {
    if (this.#busy) return;
    for (const field of this.#form.querySelectorAll(".problem")) this.#complain(field.dataset.of, "");
    const body = this.#body();
    if (!body) return;
    this.#busy = true;
    this.#desk.say("");
    this.#form.classList.add("busy");
    try {
      const { state } = await call("/api/v1/windows", { method: "POST", body });
      this.#form.reset();
      this.#showStart();
      const proposed = "Proposed: it opens nothing until an approver approves it.";
      this.#desk.say(state === "proposed" ? proposed : "Added: it is approved.");
    } catch (problem) {
      const field = /^\/(\w+)/.exec(problem.document?.pointer ?? "")?.[1];
      this.#complain(field, this.#desk.zone.retold(refusalWord(problem)));
    } finally {
      this.#busy = false;
      this.#form.classList.remove("busy");
    }
    await this.#desk.refresh();
  }

  // Said beside the field it is about; about none of them: below all.
  #complain(field, text) {
    const beside = (of) => this.#form.querySelector(`.problem[data-of="${of}"]`);
    const place = beside(field) ?? beside("");
    place.textContent = text;
    place.hidden = !text;
    for (const input of this.#form.querySelectorAll(`[aria-describedby="${place.id}"]`)) {
      if (text) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
      if (text) (input.querySelector("input") ?? input).focus();
    }
    return null;
  }
}
