// tests/contract/golden/segmenter.json: what the worker's segmenter sends, and what is to be shown of it.

import { expect, test } from "vitest";
import scenarios from "../../../../tests/contract/golden/segmenter.json";
import { NO_CAPTIONS, parseSegment, type Segment, withSegment } from "../../captions/index";

/** As tests that fail should fail again: mulberry32. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  let state = seed;
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return items.map((item) => ({ item, at: random() })).sort((a, b) => a.at - b.at).map(({ item }) => item);
}

type Revision = (typeof scenarios)[number]["segments"][number];

function received({ attributes, text }: Revision): Segment {
  const named = attributes as unknown as Record<string, string>;
  const segment = parseSegment({ attributes: named, text, senderIdentity: named["roomscribe.speaker_identity"] as string });
  if (segment === null) throw new Error("a segment of the worker does not count");
  return segment;
}

function shownOf(segments: readonly Segment[]): unknown[] {
  return segments
    .reduce(withSegment, NO_CAPTIONS)
    .segments.map(({ id, sequence, revision, isFinal, text }) => ({ id, sequence, revision, isFinal, text }));
}

test.each(scenarios)("what the worker sends is shown: $name", ({ segments, shown }) => {
  expect(shownOf(segments.map(received))).toEqual(shown);
});

test.each(scenarios)("in any order and any number of times it is shown the same: $name", ({ segments, shown }) => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const anyhow = shuffled([...segments, ...segments], seed).map(received);
    expect(shownOf(anyhow), `seed ${seed}`).toEqual(shown);
  }
});
