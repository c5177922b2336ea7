// The site's clock: instants as people at the site read them, and what they type as instants.

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const INSTANT = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z/g;

export class SiteZone {
  #day;
  #short;
  #digits;

  // A zone that this browser does not know is shown in UTC, and said so.
  constructor(name) {
    const form = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: name, hourCycle: "h23", ...options });
    const time = { hour: "2-digit", minute: "2-digit" };
    try {
      this.#day = form({ weekday: "short", day: "numeric", month: "short", year: "numeric" });
    } catch {
      return new SiteZone("UTC");
    }
    this.name = name;
    this.#short = form({ timeZoneName: "shortOffset" });
    this.#digits = form({ year: "numeric", month: "2-digit", day: "2-digit", ...time });
  }

  // 2026-11-22T14:00, as <input type="datetime-local"> has it.
  local(ms) {
    const { year, month, day, hour, minute } = parts(this.#digits, ms);
    return `${year}-${month}-${day}T${hour}:${minute}`;
  }

  // The instant of such a local time, the first where the clocks show it twice; null where they skip it.
  instant(local) {
    const meant = Date.parse(`${local}Z`);
    const offset = (ms) => Date.parse(`${this.local(ms)}Z`) - Math.floor(ms / MINUTE_MS) * MINUTE_MS;
    const found = [meant - DAY_MS, meant + DAY_MS].map((near) => meant - offset(near))
      .filter((ms) => this.local(ms) === local);
    return found.length ? Math.min(...found) : null;
  }

  // Sun 22 Nov 2026, 14:00
  at(ms) {
    return `${this.#date(ms)}, ${this.#time(ms)}`;
  }

  // Sun 22 Nov 2026, 14:00 – 16:00; each with its offset when the clocks change between.
  span(startMs, endMs) {
    const [before, after] = [startMs, endMs].map((ms) => parts(this.#short, ms).timeZoneName);
    const [from, to] = before === after ? ["", ""] : [` ${before}`, ` ${after}`];
    const day = this.#date(startMs) === this.#date(endMs) ? "" : `${this.#date(endMs)}, `;
    return `${this.at(startMs)}${from} – ${day}${this.#time(endMs)}${to}`;
  }

  // A sentence of the gateway, its times as the site's clocks show them.
  retold(text) {
    return text.replace(INSTANT, (instant) => this.at(Date.parse(instant)));
  }

  #date(ms) {
    return this.#day.format(ms).replace(",", "");
  }

  #time(ms) {
    return this.local(ms).slice(-5);
  }
}

const parts = (form, ms) => Object.fromEntries(form.formatToParts(ms).map(({ type, value }) => [type, value]));
