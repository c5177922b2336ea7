// One maintenance window on the page: what it is for, and what this person may do to it.

import { call, gatewayNow } from "./gateway.js";
import { refusalWord } from "./words.js";

const QUESTIONS = ["shorten", "cancel"];

export class WindowView {
  #at = {};
  #desk;
  #window;
  #busy = false;
  #asking = null;

  // `desk`: {zone, me, say(text), complain(text), refresh(), stay(focused)}: what all windows share.
  constructor(desk) {
    this.element = document.getElementById("window").content.firstElementChild.cloneNode(true);
    for (const name of ["title", "about", "approve", "shorten", "cancel", "shorten-form", "cancel-form", "cancel-text",
      "end-now", "problem"]) {
      this.#at[name] = this.element.querySelector(`.${name}`);
    }
    this.#desk = desk;
    this.element.querySelector(".zone").textContent = desk.zone.name;
    const { approve, "shorten-form": shorten, "cancel-form": cancel, "end-now": endNow } = this.#at;
    approve.addEventListener("click", () => this.#act("POST", "/approve", {}, "Approved"));
    for (const name of QUESTIONS) this.#at[name].addEventListener("click", () => this.#ask(name));
    for (const form of [shorten, cancel]) {
      form.querySelector(".keep").addEventListener("click", () => this.#keep());
      form.addEventListener("keydown", (event) => { if (event.key === "Escape") this.#keep(); });
    }
    shorten.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#shorten();
    });
    endNow.addEventListener("click", () => this.#endAt(gatewayNow()));
    cancel.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#act("DELETE", "", {}, "Cancelled");
    });
  }

  // `times`: whether its own times are worth telling.
  update(window, { times }) {
    const at = this.#at, { zone, me } = this.#desk;
    this.#window = window;
    const span = zone.span(Date.parse(window.start), Date.parse(window.end));
    const who = (member) => (member === me ? "you" : member);
    at.title.textContent = window.name ?? window.reason ?? "One-off window";
    at.about.textContent = [
      times && span,
      window.name && window.reason,
      window.ticket && `ticket ${window.ticket}`,
      window.recurring && "recurring",
      window.proposed_by && `proposed by ${who(window.proposed_by)}`,
      window.approved_by.length && `approved by ${window.approved_by.map(who).join(", ")}`,
    ].filter(Boolean).join(" · ");
    for (const name of ["approve", ...QUESTIONS]) {
      at[name].hidden = !window.permitted.includes(name) || this.#asking === name;
      at[name].ariaLabel = `${at[name].textContent}: ${window.cameras.join(", ")}, ${span}`;
    }
    at["end-now"].hidden = !this.#runs();
    at["cancel-text"].textContent = this.#runs()
      ? "Cancel it? A session that is running in it closes at once, unless another window covers it."
      : "Cancel it? Nothing will open in it.";
    if (this.#asking && !window.permitted.includes(this.#asking)) this.#ask(null);
  }

  #runs() {
    return Date.parse(this.#window.start) <= gatewayNow();
  }

  #ask(name) {
    this.#asking = name;
    this.#complain("");
    for (const each of QUESTIONS) {
      this.#at[`${each}-form`].hidden = each !== name;
      this.#at[each].hidden = each === name || !this.#window.permitted.includes(each);
    }
    if (name === "shorten") {
      const { end } = this.#at["shorten-form"].elements;
      end.value = this.#desk.zone.local(Date.parse(this.#window.end));
      end.focus();
    } else if (name === "cancel") {
      this.#at["cancel-form"].querySelector(".confirm").focus();
    }
  }

  #keep() {
    const asked = this.#asking;
    this.#ask(null);
    this.#at[asked]?.focus();
  }

  #shorten() {
    const typed = this.#at["shorten-form"].elements.end.value;
    const end = typed ? this.#desk.zone.instant(typed) : NaN;
    if (end === null) this.#complain("The clocks skip that time; choose another.");
    else if (Number.isNaN(end)) this.#complain("A date and a time are needed.");
    else this.#endAt(end);
  }

  #endAt(ms) {
    return this.#act("PATCH", "", { end: new Date(ms).toISOString() }, "Shortened");
  }

  async #act(method, below, body, done) {
    if (this.#busy) return;
    this.#busy = true;
    this.#complain("");
    this.#desk.say("");
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.element.classList.add("busy");
    let problem = "";
    try {
      const told = await call(`/api/v1/windows/${encodeURIComponent(this.#window.id)}${below}`, { method, body });
      this.#ask(null);
      this.#desk.say(`${done}: ${this.#at.title.textContent}.${told.pending ? " The log has not taken it yet." : ""}`);
    } catch (refused) {
      problem = this.#desk.zone.retold(refusalWord(refused));
      this.#complain(problem);
    } finally {
      this.#busy = false;
      this.element.classList.remove("busy");
    }
    await this.#desk.refresh();
    this.#desk.stay(focused);
    // The row may be gone by now, and what was said in it.
    if (problem && !this.element.isConnected) this.#desk.complain(problem);
  }

  #complain(text) {
    this.#at.problem.textContent = text;
    this.#at.problem.hidden = !text;
  }
}
