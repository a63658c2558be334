// When the rows of one speaker roll up. Does no I/O and reads no clock: time is an argument.

/** Rows of a turn that are in sight. */
export const ROWS = 2;

const COMFORTABLE_CHARS_A_S = 16;
/** Still read by most people; for whoever speaks fast, and where words wait. */
const HURRIED_CHARS_A_S = 24;
/** In this time what is unread should be read: it decides how much hurry is needed. */
const CATCH_UP_S = 1.75;
/** No row is kept waiting longer, however fast that makes the rows above it. */
const LONGEST_WAIT_MS = 6_000;
/** A row that ends early takes as long to notice as this many characters take to read. */
const NOTICED_CHARS = 16;

/**
 * A reader follows the rows: at a comfortable pace, in a hurry where much waits, never faster than words are in
 * sight. The top row leaves when there is a third one and the reader has done with it, so rows of ordinary speech
 * roll the moment they are needed, and a burst rolls as it can be read.
 */
export class Rolling {
  #rows: readonly number[] = [];
  /** Since when each of the rows has been there. */
  #sinceMs: readonly number[] = [];
  /** How far the reader is, in characters from the top row's first. */
  #read = 0;
  #atMs = 0;

  /** `rows` are the characters in each row from the top one in sight. Returns how many rows leave now. */
  follow(rows: readonly number[], nowMs: number): number {
    this.#readOn(nowMs);
    this.#rows = rows.map((chars, index) => (index < rows.length - 1 ? Math.max(chars, NOTICED_CHARS) : chars));
    this.#sinceMs = rows.map((_, index) => this.#sinceMs[index] ?? nowMs);
    let leaving = 0;
    while (this.#rows.length > ROWS && (this.#hasRead(this.#rows[0] as number) || this.#isOverdue(nowMs))) {
      this.#read = Math.max(0, this.#read - (this.#rows[0] as number));
      this.#rows = this.#rows.slice(1);
      this.#sinceMs = this.#sinceMs.slice(1);
      leaving += 1;
    }
    return leaving;
  }

  /** When the next row may leave if nothing more is said; null while all are in sight. */
  get nextMs(): number | null {
    if (this.#rows.length <= ROWS) return null;
    return this.#atMs + (((this.#rows[0] as number) - this.#read) / this.#charsAS()) * 1_000;
  }

  #readOn(nowMs: number): void {
    const read = this.#read + (this.#charsAS() * (nowMs - this.#atMs)) / 1_000;
    this.#read = Math.min(read, sum(this.#rows.slice(0, ROWS)));
    this.#atMs = nowMs;
  }

  #hasRead(chars: number): boolean {
    // Timers are rounded.
    return this.#read > chars - 0.1;
  }

  #isOverdue(nowMs: number): boolean {
    return this.#sinceMs.some((sinceMs, index) => index >= ROWS && nowMs >= sinceMs + LONGEST_WAIT_MS);
  }

  #charsAS(): number {
    const unread = sum(this.#rows) - this.#read;
    const wanted = Math.min(HURRIED_CHARS_A_S, Math.max(COMFORTABLE_CHARS_A_S, unread / CATCH_UP_S));
    const inTime = this.#rows.map((_, index) => {
      if (index < ROWS) return 0;
      const leftMs = Math.max(1, (this.#sinceMs[index] as number) + LONGEST_WAIT_MS - this.#atMs);
      return ((sum(this.#rows.slice(0, index - ROWS + 1)) - this.#read) / leftMs) * 1_000;
    });
    return Math.max(wanted, ...inTime);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
