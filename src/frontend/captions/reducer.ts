// Segments become what was said so far. Pure: no clock, no room, no page.

import { type Segment, segmentKey } from "./segments";

/** What was said so far; never changed in place. */
export interface Captions {
  /** Ordered by `sequence`; at most MAX_SEGMENTS. */
  readonly segments: readonly Segment[];
  /** The same by `segmentKey`, in order of arrival. */
  readonly byKey: ReadonlyMap<string, Segment>;
}

export const MAX_SEGMENTS = 500;

export const NO_CAPTIONS: Captions = { segments: [], byKey: new Map() };

/**
 * What was said so far with one more revision. Returns the same object when it says nothing new, which is
 * what makes duplicates, streams that overtake each other and a repeated backlog harmless.
 */
export function withSegment(captions: Captions, segment: Segment): Captions {
  const key = segmentKey(segment);
  const known = captions.byKey.get(key);
  if (known !== undefined && segment.revision <= known.revision) return captions;

  const byKey = new Map(captions.byKey);
  if (known !== undefined) {
    const revised = revise(known, segment);
    byKey.set(key, revised);
    return { segments: captions.segments.map((other) => (other === known ? revised : other)), byKey };
  }

  byKey.set(key, segment);
  const grown = withOvertakenEnded({ segments: inserted(captions.segments, segment), byKey }, segment);
  return grown.segments.length <= MAX_SEGMENTS ? grown : withoutOldestOfLoudest(grown);
}

/**
 * Every open line is taken as it stands: with no agent speaking, nobody will end it. Returns the same object
 * when none is open. A final that comes after all has a higher revision, and replaces it.
 */
export function withOpenLinesEnded(captions: Captions): Captions {
  return withEnded(captions, () => true);
}

/**
 * A track has one open line, its newest. An older one was left by a worker that was lost: its successor goes on
 * under new ids.
 */
function withOvertakenEnded(captions: Captions, { speakerIdentity, trackSid }: Segment): Captions {
  const isOfTrack = (other: Segment): boolean =>
    other.speakerIdentity === speakerIdentity && other.trackSid === trackSid;
  const newest = captions.segments.findLast(isOfTrack);
  return withEnded(captions, (other) => isOfTrack(other) && other !== newest);
}

/** The same object when none of those is open. */
function withEnded(captions: Captions, isEnding: (segment: Segment) => boolean): Captions {
  const isLeftOpen = (segment: Segment): boolean => !segment.isFinal && isEnding(segment);
  if (!captions.segments.some(isLeftOpen)) return captions;
  const segments = captions.segments.map((segment) => (isLeftOpen(segment) ? { ...segment, isFinal: true } : segment));
  // Keys go on standing in their order of arrival.
  const ended = new Map(segments.map((segment) => [segmentKey(segment), segment]));
  const byKey = new Map([...captions.byKey.keys()].map((key) => [key, ended.get(key) as Segment]));
  return { segments, byKey };
}

/**
 * The first to arrive of whoever has the most goes: a flood pushes out only itself. Not the lowest sequence,
 * which may be invented.
 */
function withoutOldestOfLoudest(captions: Captions): Captions {
  const counts = new Map<string, number>();
  for (const { speakerIdentity } of captions.segments) {
    counts.set(speakerIdentity, (counts.get(speakerIdentity) ?? 0) + 1);
  }
  const most = Math.max(...counts.values());
  const byKey = new Map(captions.byKey);
  for (const [key, oldest] of byKey) {
    if (counts.get(oldest.speakerIdentity) !== most) continue;
    byKey.delete(key);
    return { segments: captions.segments.filter((other) => other !== oldest), byKey };
  }
  return captions;
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

function inserted(segments: readonly Segment[], segment: Segment): Segment[] {
  const place = segments.findLastIndex((other) => other.sequence <= segment.sequence) + 1;
  return segments.toSpliced(place, 0, segment);
}
