/* The live stream, and how old what the page shows is.

   The browser itself comes back after a cut and names the last change it saw; where it gives
   up (the server answered with an error), this module begins anew after a pause.  `onAge` is
   told every second how long nothing has been heard: 15 s are said aloud, 45 s mean paper. */

const ACTIONS = ["raise", "join", "notify", "deliver", "acknowledge", "attend", "silence", "reopen",
  "give_up", "hand_to_fallback", "resolve", "review", "note", "offer", "take_over", "give_back"];
const AGAIN_MS = 2000;

export class Live {
  constructor(after, { onChange, onReload, onAge, onSignedOut }) {
    Object.assign(this, { last: after, onChange, onReload, onAge, onSignedOut });
    this.heard = Date.now();
    this.trouble = null;
    this.connect();
    setInterval(() => this.onAge(Date.now() - this.heard, this.trouble), 1000);
  }

  connect() {
    const from = this.last === null ? "" : `?after=${this.last}`;
    const source = new EventSource(`/api/v1/stream${from}`);
    for (const action of ACTIONS) {
      source.addEventListener(action, (event) => {
        this.note(event);
        this.onChange(JSON.parse(event.data), action);
      });
    }
    source.addEventListener("reload", (event) => {
      this.note(event);
      this.onReload();
    });
    /* A server that does not hear its database is alive, and of no use: its heartbeat is none. */
    source.addEventListener("heartbeat", (event) => {
      this.trouble = JSON.parse(event.data).trouble;
      if (!this.trouble) this.note(event);
      this.onAge(Date.now() - this.heard, this.trouble);
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) this.again();
    });
  }

  note(event) {
    this.heard = Date.now();
    if (event.lastEventId) this.last = Number(event.lastEventId);
  }

  async again() {
    const answer = await fetch("/api/v1/session").catch(() => null);
    if (answer?.status === 401) this.onSignedOut();
    else setTimeout(() => this.connect(), AGAIN_MS);
  }
}
