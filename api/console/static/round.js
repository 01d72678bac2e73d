/* A grid worker's page: two taps say what was found.  Everything goes through the queue, so that
   a stairwell without signal is no different: what waits is shown as waiting. */

import { h, t } from "./dom.js";
import { entries, flush, onQueue, put } from "./queue.js";
import { timeOfDay } from "./words.js";

const AGAIN_MS = 5000;
const DONE = ["seen_well", "phone_well", "refused", "emergency_called"];

document.addEventListener("click", (event) => {
  const card = event.target.closest(".errand");
  if (!card) return;
  const said = event.target.closest("[data-say]")?.dataset.say;
  if (event.target.closest("[data-open]")) open(card);
  else if (said) say(card, said);
});

function open(card) {
  const reports = card.querySelector(".reports");
  reports.hidden = !reports.hidden;
  if (!reports.hidden) reports.querySelector("button").focus();
}

/* Each report is decided on the version before it; what waits counts. */
function say(card, what) {
  const path = `/api/v1/tasks/${card.dataset.task}/${what === "accept" ? "accept" : "report"}`;
  const field = card.querySelector(".reports input");
  const body = what === "accept" ? {} : { what, note: field.value.trim() };
  put(path, body, t(`report.${what}`), { "If-Match": `"${versionOf(card)}"` });
  field.value = "";
  card.querySelector(".reports").hidden = true;
  flush();
}

const ofTask = (card) => entries().filter((entry) => entry.url.includes(card.dataset.task));
const versionOf = (card) =>
  Number(card.dataset.version) + ofTask(card).filter((entry) => entry.state !== "refused").length;

function show() {
  for (const card of document.querySelectorAll(".errand")) {
    const said = ofTask(card);
    card.querySelector(".noted").replaceChildren(...said.map((entry) => h("li", { "data-state": entry.state },
      h("time", {}, timeOfDay(Date.parse(entry.at))), " ", entry.label, " ",
      h("span", { class: "label" }, t(`queue.${entry.state}`)), entry.why ? ` ${entry.why}` : null)));
    const last = said.findLast((entry) => entry.state !== "refused");
    if (!last) continue;
    card.querySelector("[data-say='accept']")?.remove();
    card.dataset.done = DONE.includes(last.body.what) && last.state === "sent";
  }
  const waits = entries().filter((entry) => entry.state === "waits").length;
  const signal = document.getElementById("signal");
  signal.hidden = !waits;
  signal.textContent = t("js.no_signal", { count: waits });
}

onQueue(show);
show();
setInterval(flush, AGAIN_MS);
window.addEventListener("online", flush);
flush();
