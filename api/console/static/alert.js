/* One alert's page: its card with the steps, kept live; the parts beside it are exchanged when they change. */

import { act, confirmShown, say } from "./actions.js";
import { Attention } from "./attention.js";
import { byKey, Card } from "./card.js";
import { data, h, t } from "./dom.js";
import "./forms.js";
import { Sound } from "./sound.js";
import { watch } from "./watch.js";
import { offeredToMe } from "./words.js";

const [shown] = data.alerts;
const card = new Card(shown, { act: perform, fresh: false, whole: true });
const attention = new Attention(new Sound(() => {}), {
  take: (alert) => perform(offeredToMe(alert) ? "take_over" : "acknowledge", alert),
  show: (alert) => { location.href = `/alerts/${alert.id}`; },
});
const parts = new Map();
document.getElementById("actions").append(card.element);
for (const part of document.querySelectorAll("[data-part]")) parts.set(part.dataset.part, part.cloneNode(true));
confirmShown(shown);

async function perform(action, alert) {
  const after = await act(action, alert.id === card.alert.id ? card.alert : alert);
  if (after) put(after, null);
}

function put(alert, action) {
  const here = alert.id === card.alert.id;
  if (here && alert.version > card.alert.version) {
    card.show(alert);
    refresh();
  }
  if (here && action === "give_back") say(t("js.given_back"), "bad");
  if (!here) attention.heard(alert, action);
}

/* The server renders; the page exchanges what differs from what the server had said before, so that what
   somebody has opened or looked at meanwhile stays. */
async function refresh() {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const renewed of page.querySelectorAll("[data-part]")) {
    const name = renewed.dataset.part;
    if (parts.get(name)?.isEqualNode(renewed)) continue;
    parts.set(name, renewed.cloneNode(true));
    document.querySelector(`[data-part="${name}"]`)?.replaceWith(document.importNode(renewed, true));
  }
}

/* The day of the home takes the server longer than a page may. */
async function loadDay() {
  const place = document.getElementById("day");
  if (!place) return;
  const answer = await fetch(place.dataset.src).catch(() => null);
  if (!answer?.ok) return;
  const part = new DOMParser().parseFromString(await answer.text(), "text/html");
  place.replaceChildren(...[...part.body.childNodes].map((node) => document.importNode(node, true)));
}

/* A frame comes when it is asked for, since each look is written down. */
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-frame]");
  if (!button) return;
  const picture = h("img", { src: button.dataset.frame, alt: button.dataset.alt, class: "evidence" });
  picture.addEventListener("error", () => picture.replaceWith(h("p", { class: "muted" }, t("js.no_frame"))));
  button.replaceWith(picture);
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-hand-up]");
  if (!button) return;
  const reason = await askWhy();
  if (!reason) return;
  const answer = await fetch(`/api/v1/alerts/${button.dataset.handUp}/hand-up`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": data.csrf },
    body: JSON.stringify({ reason }),
  }).catch(() => null);
  const told = answer ? await answer.json() : { detail: t("js.offline") };
  say(answer?.ok ? t("js.handed_up") : t("js.failed", { why: told.detail }), answer?.ok ? "good" : "bad");
});

function askWhy() {
  const dialog = document.getElementById("hand-up");
  const form = dialog.querySelector("form");
  form.reset();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue ? form.elements.reason.value.trim() : null), { once: true });
  });
}

document.addEventListener("keydown", (event) => {
  const busy = event.target.matches("input, textarea, select") || document.querySelector("dialog[open]");
  if (busy || event.ctrlKey || event.altKey || event.metaKey) return;
  const action = byKey(event.key, card.alert);
  if (event.key === "Escape") attention.hush();
  else if (event.key === "?") document.getElementById("keys").showModal();
  else if (action) perform(action, card.alert);
  else return;
  event.preventDefault();
});

setInterval(() => card.tick(Date.now()), 1000);
loadDay();
watch({ onChange: put });
