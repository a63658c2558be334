// What of the captions is on the overlay now. Does no I/O and reads no clock: time is an argument.

import { type Captions, changesSince, NO_CAPTIONS } from "./reducer.js";
import { movedPlace } from "./revision.js";
import { Rolling } from "./rolling.js";
import { isBefore, type Segment, segmentKey } from "./segments.js";

/** A segment on the overlay; what stands before `from` in its text has rolled out of sight. */
export interface Line {
  readonly segment: Segment;
  readonly from: number;
}

/** One speaker's place on the overlay; lines in order. `slot` counts from the bottom and never changes. */
export interface Turn {
  readonly speakerIdentity: string;
  readonly slot: number;
  readonly lines: readonly Line[];
}

/** A row as it is laid out: of the turn's `line`, up to `end` in its segment's text. */
export interface Row {
  readonly line: number;
  readonly end: number;
}

interface Place {
  readonly slot: number;
  readonly rolling: Rolling;
  readonly sinceMs: number;
  lines: readonly Line[];
  hasRolled: boolean;
  staysUntilMs: number;
  changedAtMs: number;
}

const MAX_TURNS = 3;
/** Of whoever has more waiting, the oldest are left to the transcript. */
const MAX_LINES_A_TURN = 20;

const INTERIM_STAYS_MS = 10_000;
const SHORTEST_MS = 3_000;
const LONGEST_MS = 9_000;
/** 15 characters a second is a comfortable pace to read at. */
const READING_MS_A_CHAR = 1_000 / 15;
const NOTICING_MS = 1_500;
/** Whoever speaks on without a pause gives way to others then, if others wait. */
const FAIR_SHARE_MS = 10_000;

/** How long a text stays once it no longer changes. */
export function readingTimeMs({ text, isFinal }: Pick<Segment, "text" | "isFinal">): number {
  if (!isFinal) return INTERIM_STAYS_MS;
  return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, NOTICING_MS + text.length * READING_MS_A_CHAR));
}

/**
 * Words that fit appear at once, others as soon as the rows above can have been read, and all stay until they
 * can. A speaker keeps one place from their first word until their last has been read. When more speak than fit, the
 * one silent longest goes, but nobody in the middle of a sentence: words that flash up cannot be read.
 */
export class Pacing {
  #known: Captions = NO_CAPTIONS;
  // In order of arrival.
  readonly #places = new Map<string, Place>();

  follow(captions: Captions, nowMs: number): void {
    this.#forgetRead(nowMs);
    for (const { segment, known } of changesSince(this.#known, captions)) {
      const place = this.#places.get(segment.speakerIdentity);
      if (place?.lines.some((line) => isOf(line, segment))) this.#revise(place, segment, nowMs);
      else if (isToBeShown(segment, known)) this.#add(segment, known, nowMs);
    }
    this.#known = captions;
  }

  /** The rows a turn has now, as far as they are not out of sight already. Whether any of them left. */
  laidOut(speakerIdentity: string, rows: readonly Row[], nowMs: number): boolean {
    const place = this.#places.get(speakerIdentity);
    if (place === undefined) return false;
    const leaving = place.rolling.follow(rows.map((row, index) => row.end - beginning(place, rows, index)), nowMs);
    const last = rows[leaving - 1];
    if (last === undefined) return false;
    const { segment } = place.lines[last.line] as Line;
    const rest = place.lines.slice(last.line + 1);
    place.lines = segment.text.slice(last.end).trim() === "" ? rest : [{ segment, from: last.end }, ...rest];
    place.hasRolled = true;
    place.staysUntilMs = Math.max(place.staysUntilMs, nowMs + stayMs(place));
    return true;
  }

  turnsAt(nowMs: number): Turn[] {
    this.#forgetRead(nowMs);
    return [...this.#places].map(([speakerIdentity, { slot, lines }]) => ({ speakerIdentity, slot, lines }));
  }

  /** When something next leaves if nothing more is said; null when nothing is there. */
  nextMs(): number | null {
    const times = [...this.#places.values()].map(({ rolling, staysUntilMs }) => rolling.nextMs ?? staysUntilMs);
    return times.length === 0 ? null : Math.min(...times);
  }

  #revise(place: Place, segment: Segment, nowMs: number): void {
    const isCorrection = place.lines.some((line) => isOf(line, segment) && line.segment.isFinal);
    place.lines = place.lines
      .map((line) => (isOf(line, segment) ? { segment, from: movedPlace(line.segment.text, segment.text, line.from) } : line))
      .filter((line) => line.segment.text.trim() !== "");
    if (place.lines.length === 0) this.#places.delete(segment.speakerIdentity);
    // To be read, but nobody speaks.
    if (isCorrection) place.staysUntilMs = Math.max(place.staysUntilMs, nowMs + stayMs(place));
    else this.#note(place, nowMs);
  }

  #add(segment: Segment, known: Segment | undefined, nowMs: number): void {
    // What was on the overlay before is not said again.
    const from = known === undefined ? 0 : movedPlace(known.text, segment.text, known.text.length);
    if (segment.text.slice(from).trim() === "") return;
    const place = this.#places.get(segment.speakerIdentity) ?? this.#newPlace(nowMs);
    if (place === null) return;
    const at = place.lines.findLastIndex((line) => !isBefore(segment, line.segment)) + 1;
    // Its place has gone by; and nothing is pushed in above words that are being read.
    if (at === 0 && place.hasRolled) return;
    const lines = place.lines.toSpliced(at, 0, { segment, from });
    place.lines = lines.slice(-MAX_LINES_A_TURN);
    place.hasRolled ||= lines.length > MAX_LINES_A_TURN;
    this.#places.set(segment.speakerIdentity, place);
    this.#note(place, nowMs);
  }

  /** Null while all are taken by people who are speaking. */
  #newPlace(nowMs: number): Place | null {
    if (this.#places.size === MAX_TURNS) {
      const leaving = this.#givesWay(nowMs);
      if (leaving === null) return null;
      this.#places.delete(leaving);
    }
    const taken = new Set([...this.#places.values()].map(({ slot }) => slot));
    const slot = Array.from({ length: MAX_TURNS }, (_, n) => n).find((n) => !taken.has(n)) as number;
    return { slot, rolling: new Rolling(), sinceMs: nowMs, lines: [], hasRolled: false, staysUntilMs: 0, changedAtMs: 0 };
  }

  #note(place: Place, nowMs: number): void {
    place.changedAtMs = nowMs;
    place.staysUntilMs = nowMs + stayMs(place);
  }

  #givesWay(nowMs: number): string | null {
    const places = [...this.#places];
    const [silent, oldest] = [
      places.toSorted(([, a], [, b]) => a.changedAtMs - b.changedAtMs)[0],
      places.toSorted(([, a], [, b]) => a.sinceMs - b.sinceMs)[0],
    ] as [[string, Place], [string, Place]];
    if (nowMs - silent[1].changedAtMs >= NOTICING_MS) return silent[0];
    return nowMs - oldest[1].sinceMs >= FAIR_SHARE_MS ? oldest[0] : null;
  }

  #forgetRead(nowMs: number): void {
    for (const [identity, { rolling, staysUntilMs }] of this.#places) {
      if (rolling.nextMs === null && staysUntilMs <= nowMs) this.#places.delete(identity);
    }
  }
}

/** What is not on the overlay goes there if it is being said now. */
function isToBeShown(segment: Segment, known: Segment | undefined): boolean {
  if (segment.text.trim() === "") return false;
  // What was said before one came, and what is corrected later, belongs to the transcript.
  return known === undefined ? !((segment.isBacklog && segment.isFinal) || segment.isCorrected) : !known.isFinal;
}

function isOf(line: Line, segment: Segment): boolean {
  return segmentKey(line.segment) === segmentKey(segment);
}

function beginning(place: Place, rows: readonly Row[], index: number): number {
  const [row, above] = [rows[index] as Row, rows[index - 1]];
  return above?.line === row.line ? above.end : (place.lines[row.line] as Line).from;
}

function stayMs({ lines }: Place): number {
  return Math.max(
    0,
    ...lines.map(({ segment, from }) => readingTimeMs({ text: segment.text.slice(from), isFinal: segment.isFinal })),
  );
}
