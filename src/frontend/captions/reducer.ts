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
  const segments = inserted(captions.segments, segment);
  if (segments.length <= MAX_SEGMENTS) return { segments, byKey };

  // The first to arrive goes, not the lowest sequence: a sequence may be invented, and whoever invents high
  // ones must not be able to keep everybody else's words out.
  const [oldestKey, oldest] = byKey.entries().next().value as [string, Segment];
  byKey.delete(oldestKey);
  return { segments: segments.filter((other) => other !== oldest), byKey };
}

/**
 * Every open line is taken as it stands: with no agent speaking, nobody will end it. Returns the same object
 * when none is open. A final that comes after all has a higher revision, and replaces it.
 */
export function withOpenLinesEnded(captions: Captions): Captions {
  if (captions.segments.every(({ isFinal }) => isFinal)) return captions;
  const segments = captions.segments.map((segment) => (segment.isFinal ? segment : { ...segment, isFinal: true }));
  // Keys go on standing in their order of arrival.
  const ended = new Map(segments.map((segment) => [segmentKey(segment), segment]));
  const byKey = new Map([...captions.byKey.keys()].map((key) => [key, ended.get(key) as Segment]));
  return { segments, byKey };
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
