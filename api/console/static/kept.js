/* What the browser keeps for the time without the platform: asks the service worker, and knows
   how old the copy is.  Over plain HTTP (but for this machine itself) browsers have no service
   worker; then nothing is kept, and the page says so. */

const CACHE = "vigil-kept";
export const possible = "serviceWorker" in navigator && "caches" in window;

export async function keep(pages) {
  if (!possible) return null;
  await navigator.serviceWorker.register("/worker.js");
  const { active } = await navigator.serviceWorker.ready;
  return ask(active, { kind: "keep", pages });
}

export async function forget() {
  if (possible) await caches.delete(CACHE);
}

/* The kept copy of a page as a document, or null. */
export async function copy(path) {
  if (!possible) return null;
  const answer = await (await caches.open(CACHE)).match(path);
  return answer ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
}

function ask(worker, message) {
  return new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = (event) => done(event.data);
    worker.postMessage(message, [channel.port2]);
  });
}
