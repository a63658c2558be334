// The state of this room's subtitles, and starting and stopping them.

import type { Status } from "../captions/status";
import type { Api } from "./api";
import type { Credential } from "./credential";
import { codeOf, oncePossible } from "./patience";

export interface SubtitlesListener {
  /** `trouble` is the code of what keeps the state from being read, or null. */
  onState(status: Status | null, busy: Busy, trouble: string | null): void;
  onRefused(code: string): void;
}

export type Busy = "starting" | "changing" | "stopping" | null;

export interface SubtitlesOptions {
  readonly room: string;
  readonly api: Api;
  readonly credential: Pick<Credential, "token" | "renewedIfDue">;
  readonly listener: SubtitlesListener;
}

const SETTLED_MS = 30_000;
const CHANGING_MS = 3_000;
const CHANGING: ReadonlySet<string> = new Set(["requested", "waiting_for_worker", "joining", "stopping"]);
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;

/**
 * GET is the authority: asked on joining, on reconnecting, after every command of our own, and now and then in
 * case a message was lost. Messages of the room say changes at once.
 */
export class Subtitles {
  status: Status | null = null;
  readonly #options: SubtitlesOptions;
  #busy: Busy = null;
  #trouble: string | null = null;
  #failures = 0;
  /** Counts messages of the room: an answer asked for before one came is older than it. */
  #heard = 0;
  #isAsking = false;
  #askAgain = false;
  #hasEnded = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SubtitlesOptions) {
    this.#options = options;
  }

  /** A status message of the room. */
  hear(status: Status): void {
    if (this.#hasEnded) return;
    this.#heard += 1;
    this.#take(status);
  }

  async refresh(): Promise<void> {
    if (this.#isAsking) {
      this.#askAgain = true;
      return;
    }
    this.#isAsking = true;
    do {
      this.#askAgain = false;
      const heardBefore = this.#heard;
      const status = await this.#read();
      if (this.#hasEnded) return;
      if (status !== null && this.#heard === heardBefore) this.#take(status);
      else if (status !== null) this.#askAgain = true;
    } while (this.#askAgain);
    this.#isAsking = false;
    this.#askLater();
  }

  /** `language` null: the server's own. */
  start(language: string | null = null): Promise<void> {
    const { api, room, credential } = this.#options;
    return this.#command("starting", () => oncePossible(() => api.startSubtitles(room, credential.token, language)));
  }

  changeLanguage(language: string): Promise<void> {
    const { api, room, credential } = this.#options;
    return this.#command("changing", () => api.changeLanguage(room, credential.token, language));
  }

  stop(): Promise<void> {
    const { api, room, credential } = this.#options;
    return this.#command("stopping", () => api.stopSubtitles(room, credential.token));
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
  }

  async #command(busy: Busy, command: () => Promise<Status>): Promise<void> {
    if (this.#busy !== null) return;
    this.#busy = busy;
    this.#tell();
    await this.#options.credential.renewedIfDue();
    const heardBefore = this.#heard;
    try {
      const status = await command();
      if (this.#heard === heardBefore) this.#take(status);
    } catch (error) {
      if (!this.#hasEnded) this.#options.listener.onRefused(codeOf(error));
    }
    this.#busy = null;
    this.#tell();
    await this.refresh();
  }

  async #read(): Promise<Status | null> {
    const { api, room, credential } = this.#options;
    try {
      const status = await api.subtitles(room, credential.token);
      this.#failures = 0;
      this.#trouble = null;
      return status;
    } catch (error) {
      this.#failures += 1;
      // Once may be a hiccup, or a presence the server has not seen yet.
      if (this.#failures > 1) this.#trouble = this.#troubleOf(codeOf(error));
      this.#tell();
      return null;
    }
  }

  /** A token that has ended is told by its credential; messages of the room still say the true state. */
  #troubleOf(code: string): string | null {
    return code === "token_refused" && this.status !== null ? null : code;
  }

  #take(status: Status): void {
    if (this.#hasEnded) return;
    this.status = status;
    this.#tell();
  }

  #tell(): void {
    if (!this.#hasEnded) this.#options.listener.onState(this.status, this.#busy, this.#trouble);
  }

  #askLater(): void {
    clearTimeout(this.#timer);
    if (!this.#hasEnded) this.#timer = setTimeout(() => void this.refresh(), this.#delayMs());
  }

  #delayMs(): number {
    if (this.#failures > 0) return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    return this.status !== null && CHANGING.has(this.status.state) ? CHANGING_MS : SETTLED_MS;
  }
}
