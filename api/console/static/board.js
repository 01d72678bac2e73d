/* The board: cards in their lists, kept live, worked by keyboard, mouse or thumb. */

import { act, confirmShown, say } from "./actions.js";
import { Attention } from "./attention.js";
import { Card } from "./card.js";
import { data, t } from "./dom.js";
import { Sound } from "./sound.js";
import { watch } from "./watch.js";
import { headline, inOrder, isOpen, listOf } from "./words.js";

const FRESH_MS = 90_000;
const cards = new Map();
const soundButton = document.getElementById("sound");
const sound = new Sound((on) => {
  soundButton.dataset.on = on;
  soundButton.textContent = t(on ? "js.sound_on" : "js.sound_off");
});
const attention = new Attention(sound, {
  take: (alert) => perform("acknowledge", alert),
  show: (alert) => { location.href = `/alerts/${alert.id}`; },
});

function put(alert, action) {
  const known = cards.get(alert.id);
  if (known && known.alert.version > alert.version) return;
  if (!isOpen(alert)) return drop(alert);
  if (known) known.show(alert);
  else cards.set(alert.id, new Card(alert, { act: perform, fresh: isFresh(alert, action) }));
  if (!known || action === "reopen") arrived(alert, action);
  attention.follow(alert);
}

function drop(alert) {
  cards.get(alert.id)?.element.remove();
  cards.delete(alert.id);
  attention.follow(alert);
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

function arrange() {
  const byList = { waiting: [], held: [], resting: [] };
  for (const card of cards.values()) byList[listOf(card.alert)].push(card);
  const focused = document.activeElement;
  for (const [name, found] of Object.entries(byList)) {
    found.sort((a, b) => inOrder(a.alert, b.alert));
    place(document.getElementById(name), found);
    document.querySelector(`[data-count="${name}"]`).textContent = found.length || "";
    for (const empty of document.querySelectorAll(`[data-empty="${name}"]`)) empty.hidden = found.length > 0;
    for (const part of document.querySelectorAll(`[data-hide-empty="${name}"]`)) part.hidden = found.length === 0;
  }
  attention.waiting = byList.waiting.length;
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

/* Move only what is not in its place; what moved does not take taps for a moment. */
function place(list, found) {
  const now = performance.now();
  found.forEach((card, index) => {
    if (list.children[index] === card.element) return;
    if (card.element.isConnected) card.moved(now);
    list.insertBefore(card.element, list.children[index] ?? null);
    for (const later of found.slice(index + 1)) later.moved(now);
  });
}

async function perform(action, alert) {
  const after = await act(action, cards.get(alert.id)?.alert ?? alert);
  if (!after) return;
  put(after, null);
  arrange();
}

async function reload() {
  const answer = await fetch("/api/v1/alerts?limit=500").catch(() => null);
  if (!answer?.ok) return;
  const page = await answer.json();
  const open = new Set(page.alerts.map((alert) => alert.id));
  for (const card of [...cards.values()]) if (!open.has(card.alert.id)) drop(card.alert);
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
function target(action) {
  const card = cards.get(selected()?.dataset.id);
  if (card) return card.alert;
  const [pressing] = attention.pressing.values();
  return action === "acknowledge" ? pressing : undefined;
}

const KEYS = { t: "acknowledge", a: "attend", r: "resolve", s: "silence" };

document.addEventListener("keydown", (event) => {
  const busy = event.target.matches("input, textarea") || document.querySelector("dialog[open]");
  if (busy || event.ctrlKey || event.altKey || event.metaKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "j" || key === "ArrowDown") move(1);
  else if (key === "k" || key === "ArrowUp") move(-1);
  else if (key === "Escape") attention.hush();
  else if (key === "?") document.getElementById("keys").showModal();
  else if (key === "Enter" && event.target.matches(".card")) location.href = `/alerts/${event.target.dataset.id}`;
  else if (KEYS[key]) {
    const alert = target(KEYS[key]);
    if (alert?.actions.includes(KEYS[key])) perform(KEYS[key], alert);
  } else return;
  event.preventDefault();
});

soundButton.addEventListener("click", async () => {
  await sound.enable();
  sound.play();
});
document.getElementById("show-keys").addEventListener("click", () => document.getElementById("keys").showModal());

for (const alert of data.alerts) put(alert, null);
arrange();
setInterval(() => {
  const now = Date.now();
  for (const card of cards.values()) card.tick(now);
}, 1000);

watch({
  onChange: (alert, action) => {
    put(alert, action);
    arrange();
  },
  onReload: reload,
});
