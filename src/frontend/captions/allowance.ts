// How much one sender may say: a token bucket each.

export interface AllowanceOptions {
  readonly perSecond: number;
  readonly burst: number;
}

/** A speaker makes a few revisions a second; the burst leaves room for what an outage held back. */
export const CAPTION_ALLOWANCE: AllowanceOptions = { perSecond: 20, burst: 200 };

/** What is repeated for a newcomer comes at once: as much as `SUBTITLES_BACKLOG_SEGMENTS` may be. */
export const BACKLOG_ALLOWANCE: AllowanceOptions = { perSecond: 20, burst: 1_000 };

const MAX_SENDERS = 1_000;

export class Allowance {
  readonly #options: AllowanceOptions;
  readonly #buckets = new Map<string, { left: number; atMs: number }>();

  constructor(options: AllowanceOptions = CAPTION_ALLOWANCE) {
    this.#options = options;
  }

  /** Whether this sender may say one more thing now; counts it when so. */
  take(sender: string, nowMs: number): boolean {
    const { perSecond, burst } = this.#options;
    const bucket = this.#buckets.get(sender) ?? { left: burst, atMs: nowMs };
    const earned = (Math.max(0, nowMs - bucket.atMs) / 1000) * perSecond;
    const left = Math.min(burst, bucket.left + earned);
    // Set anew, so that the map stays ordered by who was heard last.
    this.#buckets.delete(sender);
    this.#buckets.set(sender, { left: left >= 1 ? left - 1 : left, atMs: nowMs });
    if (this.#buckets.size > MAX_SENDERS) this.#buckets.delete(this.#buckets.keys().next().value as string);
    return left >= 1;
  }
}
