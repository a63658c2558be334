// Keeping a transcript: the switch, and the notice that nobody in the room can miss.

import type { Transcript } from "../captions/status";
import type { Announcer } from "./announcer";
import { confirmed } from "./confirmation";
import { byTestId, say } from "./dom";
import { KEPT_WORDS, NO_LONGER_KEPT_WORDS } from "./words";

export interface KeepingOptions {
  readonly announcer: Announcer;
  /** Whether it can be had in this deployment at all. */
  readonly isOffered: boolean;
  readonly mayKeep: () => boolean;
  /** What is asked before it begins, a sentence each. */
  readonly consequences: readonly string[];
  /** Resolves when the server has answered. */
  readonly onKeep: (keep: boolean) => Promise<void>;
}

export class KeepSwitch {
  readonly #options: KeepingOptions;
  readonly #button = byTestId<HTMLButtonElement>("keep");
  #transcript: Transcript | null = null;
  #isBusy = false;

  constructor(options: KeepingOptions) {
    this.#options = options;
    this.#button.onclick = () => void this.#pressed();
    this.show();
  }

  get isKept(): boolean {
    return this.#transcript === "on";
  }

  /** What the room or the server says of it now. */
  follow(transcript: Transcript): void {
    const before = this.#transcript;
    this.#transcript = transcript;
    if (transcript === before) return;
    this.show();
    if (transcript === "on") this.#options.announcer.sayNow(KEPT_WORDS);
    else if (before === "on") this.#options.announcer.sayNow(NO_LONGER_KEPT_WORDS);
  }

  /** Draw again: one may have come to be allowed it, or no longer. */
  show(): void {
    const { isOffered, mayKeep } = this.#options;
    byTestId("kept-notice").hidden = !this.isKept;
    byTestId("keep-row").hidden = !isOffered && !this.isKept;
    this.#button.setAttribute("aria-checked", String(this.isKept));
    this.#button.setAttribute("aria-disabled", String(!mayKeep() || this.#isBusy || this.#transcript === null));
    say(byTestId("keep-state"), stateWords(this.#transcript, mayKeep()));
  }

  end(): void {
    byTestId("kept-notice").hidden = true;
  }

  async #pressed(): Promise<void> {
    const { announcer, mayKeep, consequences, onKeep } = this.#options;
    if (this.#isBusy) return;
    if (!mayKeep() || this.#transcript === null) return announcer.tell(stateWords(this.#transcript, mayKeep()));
    const keep = !this.isKept;
    const question = { title: "Keep a transcript of this meeting?", sentences: consequences, action: "Keep a transcript" };
    if (keep && !(await confirmed(question))) return;
    this.#isBusy = true;
    this.show();
    await onKeep(keep);
    this.#isBusy = false;
    this.show();
  }
}

function stateWords(transcript: Transcript | null, mayKeep: boolean): string {
  if (transcript === null) return "Not known yet";
  if (transcript === "on") return mayKeep ? "On: all are told" : "On: only a room admin can stop it";
  return mayKeep ? "Off: nothing is stored" : "Off: only a room admin can start it";
}
