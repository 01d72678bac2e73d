/* What a person does to an alert: asks what has to be asked, sends it with the version that was
   seen, and says what became of it. */

import { data, h, t } from "./dom.js";
import { put } from "./queue.js";
import { headline, place } from "./words.js";

const NOTICE_MS = 6000;

export function say(text, kind = "") {
  const notice = h("p", { class: `notice ${kind}` }, text);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), NOTICE_MS);
  return notice;
}

const PATHS = {
  note: (alert) => `alerts/${alert.id}/notes`,
  hand_over: (alert) => `alerts/${alert.id}/offers`,
  take_over: (alert) => `offers/${alert.offer.id}/accept`,
  give_back: (alert) => `offers/${alert.offer.id}/return`,
};

async function send(alert, action, body) {
  const path = PATHS[action]?.(alert) ?? `alerts/${alert.id}/${action}`;
  return fetch(`/api/v1/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": data.csrf, "If-Match": `"${alert.version}"` },
    body: JSON.stringify(body),
  });
}

/* Open a dialog and return [value, reason], or null when it was left. */
function ask(id, alert, digits) {
  const dialog = document.getElementById(id);
  const form = dialog.querySelector("form");
  form.reset();
  dialog.querySelector(".about").textContent = `${headline(alert)} · ${place(alert)}`;
  for (const drill of dialog.querySelectorAll(".choice.drill")) drill.hidden = !alert.synthetic;
  const byDigit = (event) => {
    if (event.target.matches("input") || event.ctrlKey || event.altKey || event.metaKey) return;
    const choice = dialog.querySelectorAll(".choices button:not([hidden])")[Number(event.key) - 1];
    if (digits && choice) {
      event.preventDefault();
      choice.click();
    }
  };
  dialog.addEventListener("keydown", byDigit);
  dialog.returnValue = "";
  dialog.showModal();
  dialog.querySelector(digits ? ".choices button" : "select, input")?.focus();
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      dialog.removeEventListener("keydown", byDigit);
      done(dialog.returnValue ? [dialog.returnValue, form.elements.reason.value.trim(), form.elements.to?.value] : null);
    }, { once: true });
  });
}

const QUESTIONS = {
  acknowledge: async () => ({}),
  attend: async () => ({}),
  async resolve(alert) {
    const answer = await ask("resolve", alert, true);
    return answer && { outcome: answer[0], reason: answer[1] };
  },
  async note(alert) {
    const answer = await ask("note", alert, false);
    return answer && { note: answer[1] };
  },
  async hand_over(alert) {
    if (!await fillColleagues(alert)) return null;
    const answer = await ask("hand-over", alert, false);
    return answer && { account: answer[2], note: answer[1] };
  },
  take_over: async () => ({}),
  give_back: async () => ({}),
  async silence(alert) {
    const answer = await ask("silence", alert, false);
    return answer && { minutes: Number(answer[0]), reason: answer[1] };
  },
};

/* Who could take it over, who is on duty first; false where that is not to be had. */
async function fillColleagues(alert) {
  const answer = await fetch(`/api/v1/alerts/${alert.id}/colleagues`).catch(() => null);
  const found = answer?.ok ? await answer.json() : null;
  if (!found?.length) {
    say(t("js.failed", { why: t(found ? "js.no_colleague" : "js.offline") }), "bad");
    return false;
  }
  document.querySelector("#hand-over select").replaceChildren(...found.map((one) =>
    h("option", { value: one.account }, one.on_duty ? t("js.on_duty", { name: one.name }) : one.name)));
  return true;
}

/* A note is not lost for want of the platform: it is sent when that is back. */
function keepNote(alert, body) {
  put(`/api/v1/alerts/${alert.id}/notes`, body, `${t("action.note")} · ${headline(alert)}`);
  say(t("queue.waits"), "good");
}

/* Do it; returns the alert as it stands afterwards, or null where nothing is known. */
export async function act(action, alert) {
  const body = await QUESTIONS[action](alert);
  if (!body) return null;
  const answer = await send(alert, action, body).catch(() => null);
  if (action === "note" && (!answer || answer.status >= 500)) {
    keepNote(alert, body);
    return null;
  }
  if (!answer) {
    say(t("js.failed", { why: t("js.offline") }), "bad");
    return null;
  }
  const told = await answer.json();
  if (answer.ok) {
    say(t(`js.done.${action}`), "good");
    return told;
  }
  if (answer.status === 409) say(told.holder ? t("js.taken_by", { name: told.holder }) : t("js.changed"), "bad");
  else say(t("js.failed", { why: told.detail }), "bad");
  return current(alert.id);
}

export async function current(id) {
  const answer = await fetch(`/api/v1/alerts/${id}`).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

/* Tell the platform that a screen shows the alert; the first screen counts. */
export function confirmShown(alert) {
  if (["raised", "notifying"].includes(alert.state) && data.may.includes("take")) {
    send(alert, "delivered", {}).catch(() => null);
  }
}
