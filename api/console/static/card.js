/* One alert as a card.  The element stays the same for an alert's life, so that focus, the
   officer's eye and a tap under way keep their hold; only what is in it is exchanged. */

import { data, h, icon, t } from "./dom.js";
import { age, headline, holder, iconOf, isMine, offeredToMe, offerOf, place, sentence, timeOfDay, who } from "./words.js";

const KEYS = {
  take_over: "T", give_back: "", acknowledge: "T", attend: "A", resolve: "R", hand_over: "H", silence: "S", note: "N",
};
const NEEDS = { silence: "silence" };  // everything else needs "take"
const SETTLE_MS = 450;
const LATE_MS = { critical: 60_000, high: 300_000 };

export class Card {
  constructor(alert, { act, fresh, whole = false }) {
    this.act = act;
    this.fresh = fresh;
    this.movedAt = 0;
    this.whole = whole;
    this.element = h("article", { class: "card", tabindex: "0", "data-id": alert.id });
    this.element.addEventListener("click", (event) => this.#clicked(event));
    this.show(alert);
  }

  show(alert) {
    const focused = this.element.contains(document.activeElement) && document.activeElement.dataset.action;
    this.alert = alert;
    this.offer = offerOf(alert);
    Object.assign(this.element.dataset, {
      priority: alert.priority, state: alert.state, version: alert.version,
      fresh: this.fresh && !alert.holder, offered: offeredToMe(alert),
    });
    this.element.setAttribute("aria-label", `${t(`priority.${alert.priority}`)}: ${headline(alert)}, ${place(alert)}`);
    this.age = h("time", { class: "age", datetime: alert.raised_at });
    for (const part of [...this.element.children]) if (part !== this.buttons) part.remove();
    this.#renewButtons();
    this.buttons.before(this.#glyph(), this.#facts(), this.#side());
    this.tick(Date.now());
    if (focused) this.element.querySelector(`[data-action="${focused}"]`)?.focus();
  }

  tick(now) {
    if (this.offer && !offerOf(this.alert)) this.show(this.alert);
    const waited = now - Date.parse(this.alert.raised_at);
    this.age.textContent = age(waited);
    this.element.dataset.late = !this.alert.holder && waited > (LATE_MS[this.alert.priority] ?? Infinity);
  }

  /* A card that has just moved under a finger does not take the tap that was meant for another. */
  moved(at) {
    this.movedAt = at;
  }

  #clicked(event) {
    const button = event.target.closest("[data-action]");
    if (!button) return;
    const byPointer = event.detail > 0;
    if (byPointer && performance.now() - this.movedAt < SETTLE_MS) return;
    if (button.dataset.action !== "open") this.act(button.dataset.action, this.alert);
  }

  #glyph() {
    return h("div", { class: "glyph" }, icon(iconOf(this.alert)));
  }

  #facts() {
    const a = this.alert;
    return h("div", { class: "facts" },
      h("p", { class: "labels" },
        this.fresh && !a.holder ? h("span", { class: "label new" }, t("js.new")) : null,
        h("span", { class: `label ${a.priority}` }, t(`priority.${a.priority}`)),
        a.synthetic ? h("span", { class: "label synthetic" }, t(`synthetic.${a.synthetic}`)) : null,
        a.reopened ? h("span", { class: "label again" }, t("js.again", { count: a.reopened })) : null,
        a.evidence > 1 ? h("span", { class: "label" }, t("js.evidence", { count: a.evidence })) : null),
      h("h3", {}, h("span", { class: "kind" }, t(`kind.${a.kind}`)),
        who(a) ? h("span", { class: "who-name" }, who(a)) : null,
        a.resident?.lives_alone ? h("span", { class: "alone" }, t("js.lives_alone")) : null),
      h("p", { class: "place" }, place(a)),
      h("p", { class: "sentence" }, sentence(a)));
  }

  #side() {
    const a = this.alert;
    const until = a.silenced_until ? t("js.until", { time: timeOfDay(Date.parse(a.silenced_until)) }) : null;
    return h("div", { class: "side-facts" },
      this.age,
      h("p", { class: "at" }, timeOfDay(Date.parse(a.raised_at))),
      h("p", { class: "state" }, t(`state.${a.state}`), until ? ` ${until}` : ""),
      holder(a) ? h("p", { class: "holder" }, holder(a)) : null);
  }

  /* Buttons stay while they say the same: one that is exchanged between press and release
     would lose the tap. */
  #renewButtons() {
    const possible = possibleFor(this.alert, this.whole);
    if (this.buttons?.dataset.offers === possible.join()) return;
    const renewed = this.#buttons(possible);
    if (this.buttons) this.buttons.replaceWith(renewed);
    else this.element.append(renewed);
    this.buttons = renewed;
  }

  #buttons(possible) {
    const main = ["take_over", "acknowledge", "attend", "resolve"].find((action) => possible.includes(action));
    return h("div", { class: "buttons", "data-offers": possible.join() },
      ...possible.map((action) =>
        h("button", { class: action === main ? "primary" : ["silence", "note"].includes(action) ? "quiet" : "", "data-action": action, "aria-keyshortcuts": KEYS[action] || null },
          t(`action.${action}`), KEYS[action] ? h("kbd", { "aria-hidden": "true" }, KEYS[action]) : null)),
      h("a", { class: "button quiet", href: `/alerts/${this.alert.id}`, "data-action": "open" }, t("action.open")));
  }
}

/* What this person may do to an alert now, in the order of the buttons; notes on its own page alone,
   and by key. */
export function possibleFor(alert, whole) {
  const mine = isMine(alert) && ["acknowledged", "attending"].includes(alert.state);
  const possible = [
    ...(offeredToMe(alert) ? ["take_over", "give_back"] : []),
    ...alert.actions,
    ...(mine ? ["hand_over"] : []),
    ...(whole ? ["note"] : []),
  ];
  return Object.keys(KEYS).filter((a) => possible.includes(a) && data.may.includes(NEEDS[a] ?? "take"));
}

/* The step that a key asks for, if it is possible now. */
export function byKey(key, alert) {
  const letter = key.length === 1 ? key.toUpperCase() : "";
  return letter ? possibleFor(alert, true).find((action) => KEYS[action] === letter) : undefined;
}
