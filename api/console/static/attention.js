/* What pulls an officer to a new critical alert: banner, title, sound.  Shared by all pages, so
   that reading one alert never hides the next. */

import { h, icon, t } from "./dom.js";
import { age, headline, iconOf, offeredToMe, place, timeOfDay } from "./words.js";

const SAY_AFTER_MS = 15000;
export const PAPER_AFTER_MS = 45000;
const BLINK_MS = 1000;

export class Attention {
  constructor(sound, { take, show }) {
    Object.assign(this, { sound, take, show });
    this.pressing = new Map();
    this.asking = new Map();
    this.waiting = 0;
    this.plain = document.title;
    this.banner = document.getElementById("banner");
    this.blinked = false;
    setInterval(() => this.tick(), BLINK_MS);
  }

  /* A critical alert has come, or come back.  A drill's pulls while one is on, as it pages. */
  press(alert) {
    if (alert.synthetic === "drill") this.pressIfPractised(alert);
    else this.pull(alert);
  }

  async pressIfPractised(alert) {
    this.asking.set(alert.id, alert);
    const on = await drillIsOn(alert.place.estate);
    const latest = this.asking.get(alert.id);  // not there any more: somebody took it meanwhile
    this.asking.delete(alert.id);
    if (on && latest) this.pull(latest);
  }

  pull(alert) {
    this.pressing.set(alert.id, alert);
    this.sound.ring(alert.id);
    this.draw();
  }

  /* What a change of an alert asks of this person: a new critical one, or one that is offered to them. */
  heard(alert, action) {
    const critical = alert.priority === "critical" && !alert.holder && ["raise", "reopen"].includes(action);
    if (critical || (action === "offer" && offeredToMe(alert))) this.press(alert);
    this.follow(alert);
  }

  /* It changed: taken, closed and silenced ones press no more. */
  follow(alert) {
    const known = [this.pressing, this.asking].find((each) => each.has(alert.id));
    if (!known) return;
    const seenTo = alert.holder && !offeredToMe(alert);
    if (seenTo || ["resolved", "reviewed", "silenced"].includes(alert.state)) this.release(alert.id);
    else known.set(alert.id, alert);
    this.draw();
  }

  release(id) {
    this.asking.delete(id);
    this.pressing.delete(id);
    this.sound.hush(id);
  }

  /* The officer has seen them: no more sound; the cards stay where they are. */
  hush() {
    this.asking.clear();
    this.pressing.clear();
    this.sound.hush();
    this.draw();
  }

  draw() {
    const [first] = this.pressing.values();
    this.banner.hidden = !first;
    if (!first) return;
    const more = this.pressing.size - 1;
    this.age = h("time", { class: "age" });
    this.banner.replaceChildren(
      icon(iconOf(first)),
      h("div", { class: "banner-text" },
        h("p", { class: "banner-kicker" }, offeredToMe(first) ? t("js.offered_you", { name: first.holder.name }) : t("js.new_critical"), " · ", this.age,
          more ? h("span", { class: "more" }, t("js.more", { count: more })) : null,
          first.synthetic ? h("span", { class: "label synthetic" }, t(`synthetic.${first.synthetic}`)) : null),
        h("p", { class: "banner-what" }, headline(first)),
        h("p", { class: "banner-where" }, place(first))),
      h("div", { class: "banner-buttons" },
        h("button", { class: "primary", onclick: () => this.take(first) }, t(offeredToMe(first) ? "action.take_over" : "action.acknowledge"), h("kbd", { "aria-hidden": "true" }, "T")),
        h("button", { class: "quiet", onclick: () => this.show(first) }, t("action.open"))));
    this.tick();
  }

  tick() {
    const [first] = this.pressing.values();
    this.blinked = !this.blinked;
    if (first && this.age) this.age.textContent = age(Date.now() - Date.parse(first.raised_at));
    const waiting = this.waiting ? t("js.title_waiting", { count: this.waiting }) : t("js.title_quiet");
    document.title = first && this.blinked ? `‼ ${headline(first)}` : `${waiting} · ${this.plain}`;
  }
}

/* Whoever cannot be asked is taken to say yes: uncertain means raise. */
async function drillIsOn(estate) {
  const answer = await fetch("/api/v1/drills").catch(() => null);
  if (!answer?.ok) return true;
  return (await answer.json()).some((drill) => drill.on && drill.estate === estate);
}

/* The pill in the header.  What follows from a long silence is `watch.js`'s. */
export function showAge(silent, trouble) {
  const pulse = document.getElementById("pulse");
  const lost = document.getElementById("lost");
  const late = silent >= SAY_AFTER_MS;
  pulse.dataset.state = late ? "late" : trouble ? "trouble" : "live";
  pulse.querySelector(".text").textContent = late
    ? t("js.silent", { age: age(silent) }) : trouble ? t("js.server_trouble") : t("js.live");
  const paper = silent >= PAPER_AFTER_MS;
  document.body.classList.toggle("is-lost", paper);
  if (document.body.classList.contains("is-sheet")) return;
  if (paper && lost.hidden) {
    lost.replaceChildren(h("strong", {}, t("js.paper")), h("p", {}, t("js.paper_text")));
  }
  lost.hidden = !paper;
}

export function showSignedOut() {
  const lost = document.getElementById("lost");
  lost.replaceChildren(h("a", { href: "/login" }, h("strong", {}, t("js.signed_out"))));
  lost.hidden = false;
}

export function showClock() {
  const clock = document.getElementById("clock");
  const tick = () => { clock.textContent = timeOfDay(Date.now()); };
  tick();
  setInterval(tick, 1000);
}
