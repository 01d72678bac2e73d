/* The service worker: keeps the pages that people need when the platform is gone, and shows
   notices that arrive while no page is open.

   Neighbours: `watch.js` asks it to keep (while all is well) and to forget (signed out).  It
   never answers in place of a platform that answers: the network goes first. */

const CACHE = "vigil-kept";
const SHELL = [
  "/static/console.css", "/static/icon.svg", "/static/icons.svg",
  ...["actions", "attention", "dom", "kept", "live", "queue", "round", "sheet", "sound", "watch", "words"]
    .map((name) => `/static/${name}.js`),
];
const PATIENCE_MS = 8000;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("message", (event) => {
  const { kind, pages } = event.data;
  const work = kind === "keep" ? keep(pages) : kind === "forget" ? caches.delete(CACHE) : null;
  if (work) event.waitUntil(work.then((done) => event.ports[0]?.postMessage(done), () => event.ports[0]?.postMessage(null)));
});

/* All or nothing: a page without its style sheet is not kept over one that has it. */
async function keep(pages) {
  const paths = [...pages, ...SHELL];
  const answers = await Promise.all(paths.map((path) => fetch(path, { cache: "no-store" })));
  if (answers.some((answer) => !answer.ok || answer.redirected)) return null;
  const cache = await caches.open(CACHE);
  await Promise.all(paths.map((path, n) => cache.put(path, answers[n])));
  return Date.now();
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== location.origin) return;
  if (event.request.mode === "navigate") event.respondWith(navigate(event.request, url.pathname));
  else if (SHELL.includes(url.pathname)) event.respondWith(fetch(event.request).catch(() => kept(url.pathname)));
});

/* A platform that hangs is as good as none. */
async function navigate(request, path) {
  const patience = new Promise((_, refuse) => setTimeout(refuse, PATIENCE_MS, new Error("no answer")));
  try {
    const answer = await Promise.race([fetch(request), patience]);
    if (answer.status < 500) return answer;
    return (await kept(path)) ?? (await kept("/sheet")) ?? answer;
  } catch {
    return (await kept(path)) ?? (await kept("/sheet")) ?? Response.error();
  }
}

const kept = (path) => caches.open(CACHE).then((cache) => cache.match(path));

self.addEventListener("push", (event) => {
  const told = event.data?.json() ?? {};
  event.waitUntil(self.registration.showNotification(told.title ?? "Vigil", {
    body: told.body ?? "", tag: told.alert, icon: "/static/icon.svg", requireInteraction: Boolean(told.alert),
    renotify: Boolean(told.alert), data: told.alert ?? null,
  }).then(() => told.receipt && receipt(told.receipt)));
});

/* "Delivered" is what a device says that shows it, not the push service that has taken it. */
function receipt(path) {
  if (!path.startsWith("/api/v1/receipts/")) return null;
  return fetch(path, {
    method: "POST",
    credentials: "omit",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ status: "delivered" }),
  }).catch(() => null);
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const path = event.notification.data ? `/alerts/${event.notification.data}` : "/";
  event.waitUntil(show(path));
});

/* In a window of the console that is open already, else in a new one. */
async function show(path) {
  const [open] = await self.clients.matchAll({ type: "window" });
  if (!open) return self.clients.openWindow(path);
  await open.focus();
  return open.navigate(path);
}
