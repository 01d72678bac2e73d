/* The alarm's sound: made by the browser, so that nothing has to be loaded when it counts.
   Browsers allow sound after the first gesture on the page; any click or key will do. */

const AGAIN_MS = 4000;

export class Sound {
  constructor(onChange) {
    this.context = null;
    this.ringing = new Set();
    this.onChange = onChange;
    for (const gesture of ["pointerdown", "keydown"]) {
      document.addEventListener(gesture, () => this.enable(), { capture: true });
    }
    setInterval(() => this.ringing.size && this.play(), AGAIN_MS);
  }

  get on() {
    return this.context?.state === "running";
  }

  async enable() {
    if (this.on) return;
    this.context ??= new AudioContext();
    await this.context.resume();
    this.onChange(this.on);
  }

  /* Ring for an alert until `hush`. */
  ring(id) {
    this.ringing.add(id);
    this.play();
  }

  hush(id) {
    if (id === undefined) this.ringing.clear();
    else this.ringing.delete(id);
  }

  /* Three rising pairs: carries across a room, and is no telephone. */
  play() {
    if (!this.on) return;
    const start = this.context.currentTime;
    for (let pair = 0; pair < 3; pair += 1) {
      this.#tone(659, start + pair * 0.45);
      this.#tone(880, start + pair * 0.45 + 0.16);
    }
  }

  #tone(hertz, at) {
    const tone = this.context.createOscillator();
    const gain = this.context.createGain();
    tone.frequency.value = hertz;
    tone.type = "triangle";
    gain.gain.setValueAtTime(0.0001, at);
    gain.gain.exponentialRampToValueAtTime(0.5, at + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0001, at + 0.18);
    tone.connect(gain).connect(this.context.destination);
    tone.start(at);
    tone.stop(at + 0.2);
  }
}
