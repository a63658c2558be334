// What of the captions is on the overlay now. Does no I/O and reads no clock: time is an argument.

import { type Captions, NO_CAPTIONS } from "./reducer";
import { type Segment, segmentKey } from "./segments";

/** One speaker's place on the overlay; segments in order. */
export interface Turn {
  readonly speakerIdentity: string;
  readonly segments: readonly Segment[];
}

interface Place {
  segments: Segment[];
  staysUntilMs: number;
  changedAtMs: number;
}

const MAX_TURNS = 3;
/** As many as a turn has rows: whichever leaves was already out of sight, so nothing moves. */
const MAX_SEGMENTS_A_TURN = 3;

const INTERIM_STAYS_MS = 10_000;
const SHORTEST_MS = 3_000;
const LONGEST_MS = 9_000;
/** 15 characters a second is a comfortable pace to read at. */
const READING_MS_A_CHAR = 1_000 / 15;
const NOTICING_MS = 1_500;

/** How long a text stays once it no longer changes. */
export function readingTimeMs({ text, isFinal }: Pick<Segment, "text" | "isFinal">): number {
  if (!isFinal) return INTERIM_STAYS_MS;
  return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, NOTICING_MS + text.length * READING_MS_A_CHAR));
}

/**
 * Words appear at once and stay until they can have been read. A speaker keeps one place from their first
 * word until their last has been read; when more speak than fit, the one silent longest goes.
 */
export class Pacing {
  #known: Captions = NO_CAPTIONS;
  // In order of arrival, which is the order on screen.
  readonly #places = new Map<string, Place>();

  follow(captions: Captions, nowMs: number): void {
    this.#forgetRead(nowMs);
    for (const segment of captions.segments) {
      const before = this.#known.byKey.get(segmentKey(segment));
      if (segment === before) continue;
      // What was said before one came belongs to the transcript.
      if (before === undefined && segment.isBacklog && segment.isFinal) continue;
      if (segment.text.trim() !== "") this.#place(segment, nowMs);
    }
    this.#known = captions;
    while (this.#places.size > MAX_TURNS) this.#places.delete(this.#silentLongest());
  }

  turnsAt(nowMs: number): Turn[] {
    this.#forgetRead(nowMs);
    return [...this.#places].map(([speakerIdentity, { segments }]) => ({ speakerIdentity, segments: [...segments] }));
  }

  /** When the next turn ends if nothing more is said; null without one. */
  nextEndMs(): number | null {
    const ends = [...this.#places.values()].map(({ staysUntilMs }) => staysUntilMs);
    return ends.length === 0 ? null : Math.min(...ends);
  }

  #place(segment: Segment, nowMs: number): void {
    const place = this.#places.get(segment.speakerIdentity) ?? { segments: [], staysUntilMs: 0, changedAtMs: 0 };
    const key = segmentKey(segment);
    place.segments = [...place.segments.filter((other) => segmentKey(other) !== key), segment]
      .sort((a, b) => a.sequence - b.sequence)
      .slice(-MAX_SEGMENTS_A_TURN);
    place.changedAtMs = nowMs;
    place.staysUntilMs = nowMs + Math.max(...place.segments.map(readingTimeMs));
    this.#places.set(segment.speakerIdentity, place);
  }

  #silentLongest(): string {
    const byChange = [...this.#places].sort(([, a], [, b]) => a.changedAtMs - b.changedAtMs);
    return (byChange[0] as [string, Place])[0];
  }

  #forgetRead(nowMs: number): void {
    for (const [identity, { staysUntilMs }] of this.#places) if (staysUntilMs <= nowMs) this.#places.delete(identity);
  }
}
