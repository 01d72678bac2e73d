/* The fallback sheet at work: outcomes by a tap or on paper, kept in the browser until the
   platform is back.  Used by the page `/sheet` itself, and by `watch.js` when it puts the kept
   copy in place of a page that has gone stale. */

import { data, h, t } from "./dom.js";
import { entries, flush, onQueue, put, waiting } from "./queue.js";
import { age, timeOfDay } from "./words.js";

const AGAIN_MS = 5000;
const NOTES = "/api/v1/sheet-notes";

export function begin(root) {
  root.addEventListener("click", (event) => tapped(root, event));
  root.querySelector("#free-note")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const field = event.target.elements.note;
    if (field.value.trim()) note(null, "note", field.value.trim(), "");
    field.value = "";
  });
  const made = Date.parse(root.dataset.madeAt);
  const tick = () => { root.querySelector(".sheet-age").textContent = age(Date.now() - made); };
  tick();
  setInterval(tick, 1000);
  onQueue(() => show(root));
  show(root);
  setInterval(flush, AGAIN_MS);
  flush();
}

function tapped(root, event) {
  const button = event.target.closest("[data-note]");
  if (button) {
    const row = button.closest("[data-resident]");
    const field = row.querySelector("input");
    note(row.dataset.resident, button.dataset.note, field.value.trim(), row.dataset.name);
    field.value = "";
  } else if (event.target.closest("[data-print]")) window.print();
}

function note(resident, what, text, name) {
  const label = [name, t(`sheet.what.${what}`), text].filter(Boolean).join(" · ");
  put(NOTES, { resident, what, note: text, written_at: new Date().toISOString() }, label);
  flush();
}

/* The latest word on each line, and the list of all that was noted here. */
function show(root) {
  const mine = entries().filter((entry) => entry.url === NOTES);
  for (const row of root.querySelectorAll("[data-resident]")) {
    const last = mine.findLast((entry) => entry.body.resident === row.dataset.resident);
    if (last) Object.assign(row.dataset, { said: last.body.what });
    row.querySelector(".said").textContent = last
      ? `${t(`sheet.what.${last.body.what}`)} ${timeOfDay(Date.parse(last.at))} · ${t(`queue.${last.state}`)}` : "";
  }
  const list = root.querySelector("#noted");
  list.replaceChildren(...mine.toReversed().map((entry) =>
    h("li", { "data-state": entry.state },
      h("time", {}, timeOfDay(Date.parse(entry.at))), " ", entry.label, " ",
      h("span", { class: "label" }, t(`queue.${entry.state}`)), entry.why ? ` ${entry.why}` : null)));
  const count = root.querySelector("#noted-count");
  count.textContent = mine.length ? t("sheet.noted_count", { count: mine.length, waiting: waiting() }) : t("sheet.noted_none");
}

/* On the page of its own: say whether the platform answers, so that nobody stays on paper longer
   than needed. */
const own = document.querySelector("body.sheet #sheet");
if (own) {
  begin(own);
  const state = document.getElementById("platform");
  const look = async () => {
    const answer = await fetch("/api/v1/session").catch(() => null);
    const there = Boolean(answer) && answer.status < 500;
    state.dataset.there = there;
    state.querySelector(".text").textContent = t(there ? "js.platform_there" : "js.platform_away");
    if (there) flush();
  };
  look();
  setInterval(look, AGAIN_MS);
}
