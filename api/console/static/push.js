/* Notices on this device while no page is open (Web Push): one tap turns them on, one turns them off.

   Whoever signs out here is not told here any more.  What a browser has subscribed to is said again with
   each page, so that the platform knows it also after its data were put back. */

import { say } from "./actions.js";
import { data, t } from "./dom.js";

const possible = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;

export async function offerNotices(button) {
  if (!button) return;
  const key = possible ? await ourKey() : null;
  button.hidden = !key;
  if (!key) return;
  await navigator.serviceWorker.register("/worker.js");
  const { pushManager } = await navigator.serviceWorker.ready;
  const now = await pushManager.getSubscription();
  show(button, now);
  if (now) tell("subscriptions", now.toJSON());
  button.addEventListener("click", async () => show(button, await turn(pushManager, key)));
  document.querySelector("form[action='/logout']")?.addEventListener("submit", () => leave(pushManager));
}

async function ourKey() {
  const answer = await fetch("/api/v1/push").catch(() => null);
  return answer?.ok ? (await answer.json()).key : null;
}

function show(button, subscription) {
  const on = Boolean(subscription) && Notification.permission === "granted";
  button.dataset.on = on;
  button.setAttribute("aria-pressed", on);
  button.textContent = t(on ? "js.push_on" : "js.push_off");
}

/* Turn them off where they are on, else on; returns the subscription as it is then. */
async function turn(pushManager, key) {
  const now = await pushManager.getSubscription();
  if (now && Notification.permission === "granted") {
    await end(now);
    return null;
  }
  if (await Notification.requestPermission() !== "granted") {
    say(t("js.push_refused"), "bad");
    return null;
  }
  const made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key }).catch(() => null);
  const answer = made && await tell("subscriptions", made.toJSON());
  if (answer?.ok) return made;
  say(t("js.push_failed"), "bad");
  await made?.unsubscribe();
  return null;
}

async function end(subscription) {
  await tell("subscriptions/end", { endpoint: subscription.endpoint });
  await subscription.unsubscribe().catch(() => false);
}

async function leave(pushManager) {
  const now = await pushManager.getSubscription().catch(() => null);
  if (now) tell("subscriptions/end", { endpoint: now.endpoint });
  now?.unsubscribe();
}

function tell(path, body) {
  return fetch(`/api/v1/push/${path}`, {
    method: "POST",
    keepalive: true,  // also while the page is being left
    headers: { "Content-Type": "application/json", "X-CSRF-Token": data.csrf },
    body: JSON.stringify(body),
  }).catch(() => null);
}
