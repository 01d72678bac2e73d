/* The duty page: a tick is sent as it is made, and what the other officer ticks or writes is shown.

   The server renders; parts that differ from what it said before are exchanged (as on an alert's page). */

import { say } from "./actions.js";
import { data, t } from "./dom.js";

const EVERY_MS = 5000;
const parts = new Map();
for (const part of document.querySelectorAll("[data-part]")) parts.set(part.dataset.part, part.cloneNode(true));
let sending = 0;

document.addEventListener("change", async (event) => {
  const box = event.target.closest("[data-check]");
  if (!box) return;
  const [shift, point] = box.dataset.check.split("-").map(Number);
  sending += 1;
  const answer = await fetch(`/api/v1/shifts/${shift}/checks`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": data.csrf },
    body: JSON.stringify({ point, done: box.checked }),
  }).catch(() => null);
  sending -= 1;
  if (!answer?.ok) {
    box.checked = !box.checked;
    const why = answer ? (await answer.json().catch(() => ({}))).detail : t("js.offline");
    say(t("js.failed", { why }), "bad");
  } else refresh();
});

async function refresh() {
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok || sending) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const renewed of page.querySelectorAll("[data-part]")) {
    const name = renewed.dataset.part;
    if (parts.get(name)?.isEqualNode(renewed)) continue;
    parts.set(name, renewed.cloneNode(true));
    exchange(document.querySelector(`[data-part="${name}"]`), document.importNode(renewed, true));
  }
}

/* Who works by keyboard stays where they are. */
function exchange(old, renewed) {
  const held = old?.contains(document.activeElement) ? document.activeElement.dataset.check : null;
  old?.replaceWith(renewed);
  if (held) document.querySelector(`[data-check="${held}"]`)?.focus();
}

setInterval(() => document.hidden || refresh(), EVERY_MS);
