// Segments become what was said so far. Pure: no clock, no room, no page.

import { isBefore, type Segment, segmentKey } from "./segments.js";
import { isPseudonym } from "./speakers.js";

/** What was said so far; never changed in place. */
export interface Captions {
  /** Ordered by `sequence`, then `startMs`; at most MAX_SEGMENTS. */
  readonly segments: readonly Segment[];
  /** What each of them was when it came, in order of arrival. */
  readonly arrivals: readonly Segment[];
}

/** Several hours of a lively meeting. */
export const MAX_SEGMENTS = 5_000;

export const NO_CAPTIONS: Captions = { segments: [], arrivals: [] };

/**
 * What was said so far with one more revision. Returns the same object when it says nothing new, which is
 * what makes duplicates, streams that overtake each other and a repeated backlog harmless.
 */
export function withSegment(captions: Captions, segment: Segment): Captions {
  const { segments, arrivals } = captions;
  if (isClaimed(storedLine(captions, segment.id), segment)) return captions;
  // Whoever still speaks is near the end.
  const place = segments.findLastIndex((other) => isSame(other, segment));
  const known = segments[place];
  if (known !== undefined) {
    if (segment.revision <= known.revision) return captions;
    return { segments: segments.with(place, revise(known, segment)), arrivals };
  }
  return bounded({ segments: withOvertakenEnded(inserted(segments, segment)), arrivals: [...arrivals, segment] });
}

/**
 * What was said so far with lines of the server's record. Returns the same object when they say nothing new.
 *
 * A line is known by its id alone, and belongs to whom the record says. Whatever else has its id goes: what the room sent
 * of it under the speaker's own identity, where the record has a pseudonym, and what anybody else sent under an id they
 * had copied. What the room sends of it afterwards has to pass `isClaimed`.
 */
export function withStored(captions: Captions, lines: readonly Segment[]): Captions {
  const newest = new Map(lines.toSorted((a, b) => a.revision - b.revision).map((line) => [line.id, line]));
  const known = captions.segments.filter(({ id }) => newest.has(id));
  const settled = new Set([...newest.values()].map((line) => settledLine(known.filter(({ id }) => id === line.id), line)));
  const gone = new Set(known.filter((segment) => !settled.has(segment)));
  const added = [...settled].filter((segment) => !known.includes(segment));
  if (added.length === 0 && gone.size === 0) return captions;
  const goneKeys = new Set([...gone].map(segmentKey));
  const segments = [...captions.segments.filter((segment) => !gone.has(segment)), ...added].sort(inOrder);
  const arrivals = [...captions.arrivals.filter((arrival) => !goneKeys.has(segmentKey(arrival))), ...added];
  return bounded({ segments: withOvertakenEnded(segments), arrivals });
}

/** The line of the record with this id, as far as it is known. */
export function storedLine(captions: Captions, id: string): Segment | undefined {
  return captions.segments.findLast((line) => line.isStored && line.id === id);
}

/**
 * Every open line is taken as it stands: with no agent speaking, nobody will end it. Returns the same object
 * when none is open. A final that comes after all has a higher revision, and replaces it.
 */
export function withOpenLinesEnded(captions: Captions): Captions {
  const segments = withEnded(captions.segments, () => true);
  return segments === captions.segments ? captions : { ...captions, segments };
}

export interface Change {
  readonly segment: Segment;
  /** The same segment as it was before; undefined for one that is new. */
  readonly known: Segment | undefined;
}

/** What is new or revised since, in order. Costs little where little has changed. */
export function changesSince(before: Captions, after: Captions): Change[] {
  const [was, is] = [before.segments, after.segments];
  let start = 0;
  while (start < is.length && is[start] === was[start]) start += 1;
  let [wasEnd, isEnd] = [was.length, is.length];
  while (wasEnd > start && isEnd > start && is[isEnd - 1] === was[wasEnd - 1]) {
    wasEnd -= 1;
    isEnd -= 1;
  }
  const left = new Set(was.slice(start, wasEnd));
  const changed = is.slice(start, isEnd).filter((segment) => !left.has(segment));
  return changed.map((segment) => ({ segment, known: was.findLast((other) => isSame(other, segment)) }));
}

/** Whoever repeats another speaker's segment id makes a segment of their own. */
function isSame(one: Segment, other: Segment): boolean {
  return one.id === other.id && one.speakerIdentity === other.speakerIdentity;
}

/**
 * Whether only the record can say what became of this: it has the line under another speaker or under a pseudonym, so
 * what the room sends of it may be the agent's word about somebody who hides their name, or anybody's.
 */
function isClaimed(line: Segment | undefined, { speakerIdentity }: Segment): boolean {
  return line !== undefined && (line.speakerIdentity !== speakerIdentity || isPseudonym(line.speakerName));
}

/** What is to be shown of a line of the record: one of the segments known by its id, or the line. */
function settledLine(known: readonly Segment[], line: Segment): Segment {
  const stored = known.find((other) => other.isStored);
  if (stored !== undefined && stored.revision >= line.revision) return stored;
  const same = known.find((other) => isSame(other, line));
  if (same === undefined) return line;
  // The record learns of a revision a moment later than the room.
  return same.revision > line.revision ? same : { ...line, isBacklog: same.isBacklog };
}

function inOrder(one: Segment, other: Segment): number {
  return isBefore(one, other) ? -1 : isBefore(other, one) ? 1 : 0;
}

/**
 * A track has one open line, its newest. An older one was left by a worker that was lost: its successor goes on
 * under new ids.
 */
function withOvertakenEnded(segments: readonly Segment[]): readonly Segment[] {
  return withEnded(segments, (open) => open !== segments.findLast((other) => isOfSameTrack(other, open)));
}

function isOfSameTrack(one: Segment, other: Segment): boolean {
  return one.speakerIdentity === other.speakerIdentity && one.trackSid === other.trackSid;
}

/** The same array when none of those is open. */
function withEnded(segments: readonly Segment[], isEnding: (segment: Segment) => boolean): readonly Segment[] {
  const isLeftOpen = (segment: Segment): boolean => !segment.isFinal && isEnding(segment);
  if (!segments.some(isLeftOpen)) return segments;
  return segments.map((segment) => (isLeftOpen(segment) ? { ...segment, isFinal: true } : segment));
}

function bounded(captions: Captions): Captions {
  let left = captions;
  while (left.segments.length > MAX_SEGMENTS) left = withoutOldestOfLoudest(left);
  return left;
}

/**
 * The first to arrive of whoever has the most goes: a flood pushes out only itself. Not the lowest sequence,
 * which may be invented.
 */
function withoutOldestOfLoudest({ segments, arrivals }: Captions): Captions {
  const counts = new Map<string, number>();
  for (const { speakerIdentity } of segments) counts.set(speakerIdentity, (counts.get(speakerIdentity) ?? 0) + 1);
  const most = Math.max(...counts.values());
  const oldest = arrivals.findIndex(({ speakerIdentity }) => counts.get(speakerIdentity) === most);
  const gone = arrivals[oldest] as Segment;
  return { segments: segments.filter((other) => !isSame(other, gone)), arrivals: arrivals.toSpliced(oldest, 1) };
}

/** Place and start are fixed by the first revision seen, and a final stays one: lines never jump. */
function revise(known: Segment, later: Segment): Segment {
  return {
    ...later,
    sequence: known.sequence,
    startMs: known.startMs,
    endMs: Math.max(known.endMs, later.endMs),
    isFinal: known.isFinal || later.isFinal,
  };
}

function inserted(segments: readonly Segment[], segment: Segment): readonly Segment[] {
  const place = segments.findLastIndex((other) => !isBefore(segment, other)) + 1;
  return segments.toSpliced(place, 0, segment);
}
