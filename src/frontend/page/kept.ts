// The record of this meeting, as far as one may read it: fetched over REST and merged with what the room sends.

import { ENGINE_HUMAN, type Segment } from "../captions/segments";
import type { Access } from "./access";
import { codeOf } from "./patience";

export interface KeptLinesOptions {
  readonly access: Access;
  readonly onLines: (lines: readonly Segment[]) => void;
  readonly watchedMs?: number;
}

/** What says how often to look again. */
export interface Keeping {
  readonly isKept: boolean;
  /** Whether somebody waits for it: with no agent there for a captioner's lines, or a room admin who may correct them. */
  readonly isWatched: boolean;
}

/** In case a message was lost. */
const SETTLED_MS = 30_000;
const WATCHED_MS = 5_000;
/** What a captioner's line may be old at most to be shown as said now. */
const NOW_MS = 3 * WATCHED_MS;
/** Between two readings that messages of the room ask for. */
const SOON_MS = 2_000;
/** Everybody hears the same message: not all of them ask at once. */
const SPREAD = 0.3;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;
const UNKEPT_TRIES = 5;
const PASSING: ReadonlySet<string> = new Set([
  "unreachable",
  "server_trouble",
  "livekit_unavailable",
  "database_unavailable",
  "throttled",
  "not_a_participant",
]);

/**
 * `read()` on joining and whenever something may have been missed: it goes on from where it was, page by page until
 * nothing is left. While a transcript is kept it looks again by itself.
 */
export class KeptLines {
  readonly #options: KeptLinesOptions;
  #cursor = 0;
  #keeping: Keeping = { isKept: false, isWatched: false };
  #isReading = false;
  #readAgain = false;
  #readAtMs = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #canTryAgain = false;
  #hasEnded = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;

  constructor(options: KeptLinesOptions) {
    this.#options = options;
  }

  follow(keeping: Keeping): void {
    const { isKept, isWatched } = this.#keeping;
    if (keeping.isKept === isKept && keeping.isWatched === isWatched) return;
    this.#keeping = keeping;
    void this.read();
  }

  /** The room says that something has changed; it may say so often. */
  readSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      void this.read();
    }, spread(SOON_MS));
  }

  async read(): Promise<void> {
    if (this.#isReading) {
      this.#readAgain = true;
      return;
    }
    this.#isReading = true;
    clearTimeout(this.#timer);
    do {
      this.#readAgain = false;
      await this.#readOnce();
    } while (this.#readAgain && !this.#hasEnded);
    this.#isReading = false;
    const delayMs = this.#delayMs();
    if (delayMs !== null) this.#readIn(delayMs);
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#soon);
  }

  async #readOnce(): Promise<void> {
    try {
      await this.#readToTheEnd();
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#canTryAgain = PASSING.has(codeOf(error));
    }
  }

  async #readToTheEnd(): Promise<void> {
    const { access, onLines } = this.#options;
    const isNow = performance.now() - this.#readAtMs < NOW_MS;
    for (let isMore = true; isMore && !this.#hasEnded; ) {
      const { lines, next, isEmpty } = await access.ask((api, room, token) => api.lines(room, token, this.#cursor));
      if (this.#hasEnded) return;
      if (lines.length > 0) onLines(lines.map((line) => (isNow ? saidNow(line) : line)));
      isMore = !isEmpty && next !== this.#cursor;
      this.#cursor = next;
    }
    this.#readAtMs = performance.now();
  }

  #readIn(delayMs: number): void {
    clearTimeout(this.#timer);
    if (!this.#hasEnded) this.#timer = setTimeout(() => void this.read(), spread(delayMs));
  }

  #delayMs(): number | null {
    const { isKept, isWatched } = this.#keeping;
    if (this.#failures > 0 && this.#canTryAgain && (isKept || this.#failures < UNKEPT_TRIES)) {
      return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    }
    return isKept ? (isWatched && this.#failures === 0 ? (this.#options.watchedMs ?? WATCHED_MS) : SETTLED_MS) : null;
  }
}

function spread(delayMs: number): number {
  return delayMs * (1 + SPREAD * Math.random());
}

/** What a captioner has written since a moment ago is shown and read out as what an agent sends is. */
function saidNow(line: Segment): Segment {
  return line.engine === ENGINE_HUMAN && !line.isCorrected ? { ...line, isBacklog: false } : line;
}
