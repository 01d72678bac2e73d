/* What people said while the platform did not answer: kept in the browser, sent when it does.

   Each entry has a key of its own that goes along as `Idempotency-Key`: sent twice, it counts
   once.  What the platform refuses stays in the list with the reason, since a person has to
   know; what was sent stays, ticked, until the page is opened anew. */

import { data } from "./dom.js";

const KEY = "vigil.queue";
const listeners = new Set();
let sending = false;

const read = () => JSON.parse(localStorage.getItem(KEY) ?? "[]");
const write = (entries) => {
  localStorage.setItem(KEY, JSON.stringify(entries));
  for (const listener of listeners) listener(entries);
};
const key = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(36).slice(2)}`;

export const entries = () => read().filter((entry) => entry.actor === data.me);
export const waiting = () => entries().filter((entry) => entry.state === "waits").length;

export function onQueue(listener) {
  listeners.add(listener);
  window.addEventListener("storage", (event) => event.key === KEY && listener(read()));
}

export function put(url, body, label, headers = {}) {
  const entry = { id: key(), actor: data.me, at: new Date().toISOString(), url, body, label, headers, state: "waits" };
  write([...read(), entry]);
  return entry;
}

/* Drop what has arrived; called when a page begins. */
export function tidy() {
  write(read().filter((entry) => entry.state !== "sent"));
}

/* Send what waits, one after the other; returns how many arrived.  A cut ends the attempt. */
export async function flush() {
  if (sending || !waiting()) return 0;
  sending = true;
  let arrived = 0;
  try {
    const me = await session();
    if (!me) return 0;
    for (const entry of entries().filter((one) => one.state === "waits" && one.actor === me.actor)) {
      const state = await send(entry, me.csrf);
      if (!state) break;
      write(read().map((one) => (one.id === entry.id ? { ...one, ...state } : one)));
      arrived += state.state === "sent" ? 1 : 0;
    }
  } finally {
    sending = false;
  }
  return arrived;
}

/* A sign-in may have ended, or begun anew, meanwhile: the token is asked for each time. */
async function session() {
  const answer = await fetch("/api/v1/session").catch(() => null);
  return answer?.ok ? answer.json() : null;
}

async function send(entry, csrf) {
  const answer = await fetch(entry.url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf, "Idempotency-Key": entry.id, ...entry.headers },
    body: JSON.stringify(entry.body),
  }).catch(() => null);
  if (!answer || answer.status >= 500 || answer.status === 401) return null;
  if (answer.ok) return { state: "sent" };
  const told = await answer.json().catch(() => ({}));
  return { state: "refused", why: told.detail ?? String(answer.status) };
}
