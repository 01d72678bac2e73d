/* One alert as a card.  The element stays the same for an alert's life, so that focus, the
   officer's eye and a tap under way keep their hold; only what is in it is exchanged. */

import { data, h, icon, t } from "./dom.js";
import { age, headline, holder, iconOf, place, sentence, timeOfDay, who } from "./words.js";

const KEYS = { acknowledge: "T", attend: "A", resolve: "R", silence: "S" };
const NEEDS = { acknowledge: "take", attend: "take", resolve: "take", silence: "silence" };
const SETTLE_MS = 450;
const LATE_MS = { critical: 60_000, high: 300_000 };

export class Card {
  constructor(alert, { act, fresh }) {
    this.act = act;
    this.fresh = fresh;
    this.movedAt = 0;
    this.element = h("article", { class: "card", tabindex: "0", "data-id": alert.id });
    this.element.addEventListener("click", (event) => this.#clicked(event));
    this.show(alert);
  }

  show(alert) {
    const focused = this.element.contains(document.activeElement) && document.activeElement.dataset.action;
    this.alert = alert;
    Object.assign(this.element.dataset, {
      priority: alert.priority, state: alert.state, version: alert.version,
      fresh: this.fresh && !alert.holder,
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
    const possible = this.alert.actions.filter((a) => NEEDS[a] && data.may.includes(NEEDS[a]));
    if (this.buttons?.dataset.offers === possible.join()) return;
    const renewed = this.#buttons(possible);
    if (this.buttons) this.buttons.replaceWith(renewed);
    else this.element.append(renewed);
    this.buttons = renewed;
  }

  #buttons(possible) {
    const main = possible.includes("acknowledge") ? "acknowledge" : possible.includes("attend") ? "attend" : "resolve";
    return h("div", { class: "buttons", "data-offers": possible.join() },
      ...Object.keys(KEYS).filter((a) => possible.includes(a)).map((action) =>
        h("button", { class: action === main ? "primary" : action === "silence" ? "quiet" : "", "data-action": action, "aria-keyshortcuts": KEYS[action] },
          t(`action.${action}`), h("kbd", { "aria-hidden": "true" }, KEYS[action]))),
      h("a", { class: "button quiet", href: `/alerts/${this.alert.id}`, "data-action": "open" }, t("action.open")));
  }
}
