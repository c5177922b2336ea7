// The maintenance windows on the page: what will really happen next, the windows behind it, and the form.

import { call, gatewayNow, oneByOne, Problem } from "./gateway.js";
import { WindowView } from "./window.js";
import { WindowForm } from "./window_form.js";
import { standingWord } from "./words.js";
import { SiteZone } from "./zone.js";

const STEP = 5;
const MOST = 100;
const ROWS_IN_A_STRETCH = 4;
const PROPOSING_ROLES = ["maintainer", "approver"];

const at = (id) => document.getElementById(id);

export class Windows {
  #desk;
  #form;
  #count = STEP;
  #rows = new Map();
  #stretches = new Map();

  constructor(me) {
    this.refresh = oneByOne(() => this.#ask());
    this.#desk = {
      zone: new SiteZone(me.timezone ?? "UTC"),
      me: me.member,
      say: (text) => {
        at("windows-say").textContent = text;
        this.#complain("");
      },
      complain: (text) => this.#complain(text),
      refresh: () => this.refresh(),
      stay,
    };
    at("windows-zone").textContent = this.#desk.zone.name;
    at("add-window").hidden = !me.roles?.some((role) => PROPOSING_ROLES.includes(role));
    this.#form = new WindowForm(at("window-form"), this.#desk);
    at("more-windows").addEventListener("click", () => {
      this.#count = Math.min(MOST, this.#count + STEP);
      this.refresh();
    });
  }

  offer(cameras) {
    this.#form.offer(cameras);
  }

  // The gateway is out of reach: what is shown may no longer be true.
  lost(why) {
    this.#draw([], []);
    at("no-windows").textContent = `Not known. ${why}`;
  }

  async #ask() {
    const focused = at("windows").contains(document.activeElement) ? document.activeElement : null;
    try {
      const [coming, windows] = await Promise.all([
        call(`/api/v1/windows?next=${this.#count}`), call("/api/v1/windows?limit=100"),
      ]);
      at("no-windows").textContent = "No window is to come: nothing can be opened.";
      at("more-windows").hidden = coming.items.length < this.#count || this.#count >= MOST;
      this.#draw(coming.items, windows.items);
    } catch (problem) {
      // Whether the gateway is out of reach, the cameras' asking judges.
      if (problem instanceof Problem) this.lost(problem.message);
    }
    at("windows").hidden = false;
    stay(focused);
  }

  #draw(stretches, windows) {
    const rows = new Map(), shown = new Map();
    for (const stretch of stretches) {
      const key = [stretch.start, stretch.state, ...stretch.windows, ...stretch.cameras].join("\n");
      const element = this.#stretches.get(key) ?? at("stretch").content.firstElementChild.cloneNode(true);
      shown.set(key, element);
      this.#tell(element, stretch);
      const behind = windows.filter((window) => isBehind(window, stretch));
      const views = behind.slice(0, ROWS_IN_A_STRETCH).map((window) => {
        const row = [window.id, ...stretch.cameras].join("\n");
        const view = this.#rows.get(row) ?? new WindowView(this.#desk);
        view.update(window, { times: window.start !== stretch.start || window.end !== stretch.end });
        rows.set(row, view);
        return view.element;
      });
      arrange(element.querySelector(".behind"), views);
      element.querySelector(".rest").hidden = behind.length <= ROWS_IN_A_STRETCH;
    }
    arrange(at("coming"), [...shown.values()]);
    this.#rows = rows;
    this.#stretches = shown;
    at("no-windows").hidden = stretches.length > 0;
    if (!stretches.length) at("more-windows").hidden = true;
  }

  #tell(element, stretch) {
    const start = Date.parse(stretch.start), end = Date.parse(stretch.end);
    const { standing, chip, why } = standingWord(stretch, start <= gatewayNow());
    const { zone } = this.#desk;
    const times = end > start ? zone.span(start, end) : zone.at(start);
    const parts = { chip, times, on: stretch.cameras.join(", "), "why-not": why };
    for (const [name, text] of Object.entries(parts)) {
      const part = element.querySelector(`.${name}`);
      if (part.textContent !== text) part.textContent = text;
    }
    element.querySelector(".chip").dataset.state = standing;
  }

  #complain(text) {
    at("windows-problem").textContent = text;
    at("windows-problem").hidden = !text;
  }
}

// Whether this window is one of those that make up the stretch.
function isBehind(window, stretch) {
  return stretch.windows.includes(window.recurring ? window.name : window.id)
    && window.state === stretch.state
    && window.cameras.some((camera) => stretch.cameras.includes(camera))
    && (window.start === stretch.start
      || (Date.parse(window.start) < Date.parse(stretch.end) && Date.parse(window.end) > Date.parse(stretch.start)));
}

// Whoever works with the keyboard stays here when what had the focus was moved, or is gone.
function stay(focused) {
  const lost = document.activeElement === document.body || !document.activeElement.checkVisibility();
  if (focused && lost) (focused.checkVisibility() ? focused : at("windows-title")).focus();
}

// A node that stays in its place keeps the focus: only what changed is moved.
function arrange(list, elements) {
  for (const child of [...list.children]) if (!elements.includes(child)) child.remove();
  elements.forEach((element, index) => {
    if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
  });
}
