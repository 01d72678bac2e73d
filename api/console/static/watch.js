/* What every page of somebody on duty does: follows the live stream, knows how old it is, keeps
   the fallback sheet fresh while all is well, and shows it when nothing is.

   Rules: a heartbeat that says the server does not hear its database counts as none.  After
   15 s without a good one the page says so; after 45 s it is the sheet.  When the platform is
   back it says that too, sends what was noted, and lets the officer decide when to go back. */

import { PAPER_AFTER_MS, showAge, showClock, showSignedOut } from "./attention.js";
import { data, h, t } from "./dom.js";
import { copy, forget, keep, possible } from "./kept.js";
import { Live } from "./live.js";
import { flush, onQueue, tidy, waiting } from "./queue.js";
import { begin } from "./sheet.js";
import { age, timeOfDay } from "./words.js";

const KEEP_EVERY_MS = 120_000;
const lost = document.getElementById("lost");
const paper = document.getElementById("paper");
let sheet = null;
let opening = false;
let keptAt = null;

export function watch({ onChange = () => {}, onReload = () => location.reload() } = {}) {
  tidy();
  showClock();
  keepSheet();
  setInterval(() => document.body.classList.contains("is-lost") || keepSheet(), KEEP_EVERY_MS);
  onQueue(showPaper);
  document.querySelector("form[action='/logout']")?.addEventListener("submit", forget);
  return new Live(data.change ?? null, { onChange, onReload, onAge, onSignedOut: showSignedOut });
}

async function keepSheet() {
  if (!data.keeps?.length) return;
  keptAt = (await keep(data.keeps).catch(() => null)) ?? keptAt;
  showPaper();
}

/* The small word in the header: is there a sheet to fall back upon, and does something wait? */
function showPaper() {
  if (!paper) return;
  const count = waiting();
  paper.dataset.state = count ? "waits" : keptAt ? "kept" : "none";
  paper.textContent = count ? t("queue.count", { count })
    : keptAt ? t("js.sheet_kept", { time: timeOfDay(keptAt) }) : t(possible ? "js.sheet_none" : "js.sheet_impossible");
}

function onAge(silent, trouble) {
  showAge(silent, trouble);
  const gone = silent >= PAPER_AFTER_MS;
  if (gone && !sheet && !opening) openSheet();
  if (sheet) showStanding(gone, silent);
  if (!gone) flush();
}

async function openSheet() {
  opening = true;
  const kept = await copy("/sheet");
  const found = kept?.getElementById("sheet");
  if (found) {
    sheet = document.importNode(found, true);
    document.body.append(sheet);
    document.body.classList.add("is-sheet");
    begin(sheet);
    scrollTo(0, 0);
  }
  opening = false;
}

function showStanding(gone, silent) {
  lost.hidden = false;
  lost.classList.toggle("returned", !gone);
  const title = gone ? t("js.paper") : t("js.platform_back");
  const text = gone ? t("js.silent", { age: age(silent) }) : t("js.platform_back_text", { count: waiting() });
  if (lost.dataset.shown === `${gone} ${text}`) return;
  lost.dataset.shown = `${gone} ${text}`;
  lost.replaceChildren(h("strong", {}, title), h("p", {}, text),
    gone ? "" : h("button", { class: "primary", onclick: () => location.reload() }, t("js.to_board")));
}
