/* The board: cards in their lists, kept live, worked by keyboard, mouse or thumb.

   Every open alert is known; the most urgent of each list have a card.  Nobody reads the three-hundredth,
   and a storm of alarms must not take the browser down: the rest is counted, and moves up. */

import { act, confirmShown, say } from "./actions.js";
import { Attention } from "./attention.js";
import { byKey, Card } from "./card.js";
import { data, t } from "./dom.js";
import { offerNotices } from "./push.js";
import { Sound } from "./sound.js";
import { watch } from "./watch.js";
import { headline, inOrder, isMine, isOpen, listOf, offeredToMe } from "./words.js";

const FRESH_MS = 90_000;
const DRAWN = { waiting: 300, held: 100, resting: 50 };
const alerts = new Map();
const cards = new Map();
const fresh = new Set();
let arranging = null;
const soundButton = document.getElementById("sound");
const sound = new Sound((on) => {
  soundButton.dataset.on = on;
  soundButton.textContent = t(on ? "js.sound_on" : "js.sound_off");
});
const attention = new Attention(sound, {
  take: (alert) => perform(offeredToMe(alert) ? "take_over" : "acknowledge", alert),
  show: (alert) => { location.href = `/alerts/${alert.id}`; },
});

function put(alert, action) {
  const known = alerts.get(alert.id);
  if (known && known.version > alert.version) return;
  if (!isOpen(alert)) return drop(alert);
  alerts.set(alert.id, alert);
  if (!known && isFresh(alert, action)) fresh.add(alert.id);
  cards.get(alert.id)?.show(alert);
  if (!known || action === "reopen") arrived(alert, action);
  if (action === "offer" && offeredToMe(alert)) attention.press(alert);
  if (action === "give_back" && isMine(alert)) say(t("js.given_back"), "bad");
  attention.follow(alert);
}

function drop(alert) {
  alerts.delete(alert.id);
  fresh.delete(alert.id);
  undraw(alert.id);
  attention.follow(alert);
}

function undraw(id) {
  cards.get(id)?.element.remove();
  cards.delete(id);
}

/* Only what came while the page was looking, or just before, is new. */
function isFresh(alert, action) {
  return action === "raise" || Date.now() - Date.parse(alert.raised_at) < FRESH_MS;
}

function arrived(alert, action) {
  confirmShown(alert);
  if (alert.priority === "critical" && !alert.holder && (isFresh(alert, action) || action === "reopen")) {
    attention.press(alert);
  }
  if (action) say(t("js.arrived", { what: headline(alert) }), "unseen");
}

/* However many changes come at once, the lists are put in order once. */
function arrangeSoon() {
  arranging ??= setTimeout(arrange, 0);
}

function arrange() {
  clearTimeout(arranging);
  arranging = null;
  const byList = { waiting: [], held: [], resting: [] };
  for (const alert of alerts.values()) byList[listOf(alert)].push(alert);
  const focused = document.activeElement;
  for (const [name, found] of Object.entries(byList)) {
    found.sort(inOrder);
    const drawn = found.slice(0, DRAWN[name]);
    for (const alert of found.slice(DRAWN[name])) undraw(alert.id);
    place(document.getElementById(name), drawn.map(cardOf));
    document.querySelector(`[data-count="${name}"]`).textContent = found.length || "";
    const more = document.querySelector(`[data-more-of="${name}"]`);
    more.hidden = found.length === drawn.length;
    more.textContent = more.hidden ? "" : t("js.not_drawn", { count: found.length - drawn.length });
    for (const empty of document.querySelectorAll(`[data-empty="${name}"]`)) empty.hidden = found.length > 0;
    for (const part of document.querySelectorAll(`[data-hide-empty="${name}"]`)) part.hidden = found.length === 0;
  }
  attention.waiting = byList.waiting.length;
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

function cardOf(alert) {
  if (!cards.has(alert.id)) cards.set(alert.id, new Card(alert, { act: perform, fresh: fresh.has(alert.id) }));
  return cards.get(alert.id);
}

/* Move only what is not in its place; what moved does not take taps for a moment. */
function place(list, found) {
  const now = performance.now();
  let moved = false;
  found.forEach((card, index) => {
    if (moved) card.moved(now);
    if (list.children[index] === card.element) return;
    if (card.element.isConnected) card.moved(now);
    list.insertBefore(card.element, list.children[index] ?? null);
    moved = true;
  });
}

async function perform(action, alert) {
  const after = await act(action, alerts.get(alert.id) ?? alert);
  if (!after) return;
  put(after, null);
  arrange();
}

async function reload() {
  const answer = await fetch("/api/v1/alerts?limit=500").catch(() => null);
  if (!answer?.ok) return;
  const page = await answer.json();
  const open = new Set(page.alerts.map((alert) => alert.id));
  for (const alert of [...alerts.values()]) if (!open.has(alert.id)) drop(alert);
  for (const alert of page.alerts) put(alert, null);
  arrange();
}

/* Keyboard. */
const selected = () => document.activeElement?.closest?.(".card");
const visible = () => [...document.querySelectorAll(".list .card")];

function move(by) {
  const all = visible();
  const next = all[Math.min(all.length - 1, Math.max(0, all.indexOf(selected()) + by))];
  next?.focus();
}

/* A step by key goes to the selected card; "take" without one goes to the alert that presses. */
function target(key) {
  const chosen = alerts.get(selected()?.dataset.id);
  if (chosen) return chosen;
  const [pressing] = attention.pressing.values();
  return key === "t" ? pressing : undefined;
}

document.addEventListener("keydown", (event) => {
  const busy = event.target.matches("input, textarea, select") || document.querySelector("dialog[open]");
  if (busy || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "j" || key === "ArrowDown") move(1);
  else if (key === "k" || key === "ArrowUp") move(-1);
  else if (key === "Escape") attention.hush();
  else if (key === "?") document.getElementById("keys").showModal();
  else if (key === "Enter" && event.target.matches(".card")) location.href = `/alerts/${event.target.dataset.id}`;
  else {
    const alert = target(key);
    const action = alert && byKey(key, alert);
    if (!action) return;
    perform(action, alert);
  }
  event.preventDefault();
});

soundButton.addEventListener("click", async () => {
  await sound.enable();
  sound.play();
});
document.getElementById("show-keys").addEventListener("click", () => document.getElementById("keys").showModal());

for (const alert of data.alerts) put(alert, null);
data.alerts = null;  // each is known by now, and kept as it stands
arrange();
setInterval(() => {
  const now = Date.now();
  for (const card of cards.values()) card.tick(now);
}, 1000);
offerNotices(document.getElementById("push"));

watch({
  onChange: (alert, action) => {
    put(alert, action);
    arrangeSoon();
  },
  onReload: reload,
});
