// What screen readers are told that stands nowhere else, or has to be told now.

import { byTestId, say } from "./dom";

/** A sentence that others can see as well stays this long. */
const SEEN_MS = 8_000;

export class Announcer {
  readonly #polite = byTestId("announced");
  readonly #urgent = byTestId("announced-now");
  readonly #seen = byTestId("told");
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.clear();
  }

  say(text: string): void {
    announce(this.#polite, text);
  }

  /** Before anything else that is waiting to be said. */
  sayNow(text: string): void {
    announce(this.#urgent, text);
  }

  /** What came of something somebody has done: shown to them for a while, too. */
  tell(text: string): void {
    this.say(text);
    say(this.#seen, text);
    this.#seen.hidden = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#seen.hidden = true), SEEN_MS);
  }

  clear(): void {
    clearTimeout(this.#timer);
    this.#polite.replaceChildren();
    this.#urgent.replaceChildren();
    this.#seen.hidden = true;
  }
}

/** A new element each time: the same words again are said again. */
function announce(region: HTMLElement, text: string): void {
  const sentence = document.createElement("p");
  sentence.textContent = text;
  region.replaceChildren(sentence);
}
