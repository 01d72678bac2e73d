/* One alert's page: its card with the steps, kept live; the rest is exchanged when it changes. */

import { act, confirmShown } from "./actions.js";
import { Attention } from "./attention.js";
import { Card } from "./card.js";
import { data } from "./dom.js";
import { Sound } from "./sound.js";
import { watch } from "./watch.js";
import { isOpen } from "./words.js";

const [shown] = data.alerts;
const card = new Card(shown, { act: perform, fresh: false });
const attention = new Attention(new Sound(() => {}), {
  take: (alert) => perform("acknowledge", alert),
  show: (alert) => { location.href = `/alerts/${alert.id}`; },
});
document.getElementById("actions").append(card.element);
confirmShown(shown);

async function perform(action, alert) {
  const after = await act(action, alert.id === card.alert.id ? card.alert : alert);
  if (after) put(after, null);
}

function put(alert, action) {
  if (alert.id === card.alert.id && alert.version > card.alert.version) {
    card.show(alert);
    refresh();
  }
  const presses = ["raise", "reopen"].includes(action) && alert.priority === "critical" && alert.id !== card.alert.id;
  if (presses && isOpen(alert)) attention.press(alert);
  attention.follow(alert);
}

/* The server renders; the page exchanges. */
async function refresh() {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.getElementById("detail").replaceWith(page.getElementById("detail"));
}

const KEYS = { t: "acknowledge", a: "attend", r: "resolve", s: "silence" };

document.addEventListener("keydown", (event) => {
  const busy = event.target.matches("input, textarea") || document.querySelector("dialog[open]");
  if (busy || event.ctrlKey || event.altKey || event.metaKey) return;
  const action = KEYS[event.key.toLowerCase()];
  if (event.key === "Escape") attention.hush();
  else if (event.key === "?") document.getElementById("keys").showModal();
  else if (action && card.alert.actions.includes(action)) perform(action, card.alert);
  else return;
  event.preventDefault();
});

setInterval(() => card.tick(Date.now()), 1000);
watch({ onChange: put });
