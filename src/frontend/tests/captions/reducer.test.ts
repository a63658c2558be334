import { expect, test } from "vitest";
import { type Captions, changesSince, MAX_SEGMENTS, NO_CAPTIONS, withOpenLinesEnded, withSegment } from "../../captions/reducer";
import type { Segment } from "../../captions/segments";
import { said } from "./said";

/** Thousands of segments, on a machine that does something else as well. */
const FULL = { timeout: 60_000 };

function after(...segments: Segment[]): Captions {
  return segments.reduce(withSegment, NO_CAPTIONS);
}

function texts(captions: Captions): string[] {
  return captions.segments.map(({ text }) => text);
}

test("a segment grows in its place", () => {
  const captions = after(
    said({ text: "good" }),
    said({ text: "hello", id: "s2", sequence: 2 }),
    said({ text: "good morning", revision: 1 }),
  );
  expect(texts(captions)).toEqual(["good morning", "hello"]);
});

test("a revision that was overtaken changes nothing", () => {
  const later = after(said({ text: "good morning", revision: 2 }));
  expect(withSegment(later, said({ text: "good", revision: 1 }))).toBe(later);
});

test("a final replaces the interim, and a correction the final", () => {
  const final = said({ text: "good mourning", revision: 1, isFinal: true });
  const corrected = said({ text: "good morning", revision: 2, isFinal: true });
  expect(texts(after(said({ text: "good" }), final))).toEqual(["good mourning"]);
  expect(texts(after(said({ text: "good" }), final, corrected))).toEqual(["good morning"]);
});

test("a final stays final", () => {
  const captions = after(
    said({ text: "good", revision: 1, isFinal: true }),
    said({ text: "good morning", revision: 2, isFinal: false }),
  );
  expect(captions.segments[0]).toMatchObject({ text: "good morning", isFinal: true });
});

test("duplicates and a repeated backlog are merged without doubling", () => {
  const live = [said({ text: "one", isFinal: true }), said({ text: "two", id: "s2", sequence: 2, isFinal: true })];
  const backlog = [
    said({ text: "zero", id: "s0", sequence: 0, isFinal: true, isBacklog: true }),
    ...live.map((segment) => ({ ...segment, isBacklog: true })),
  ];
  expect(texts(after(...live, ...backlog, ...live))).toEqual(["zero", "one", "two"]);
  expect(texts(after(...backlog, ...live))).toEqual(["zero", "one", "two"]);
});

test("segments are ordered by sequence however they arrive", () => {
  const [one, two, three] = [1, 2, 3].map((sequence) => said({ text: `${sequence}`, id: `s${sequence}`, sequence }));
  const orders = [[one, two, three], [three, two, one], [two, three, one], [three, one, two]] as Segment[][];
  for (const order of orders) expect(texts(after(...order))).toEqual(["1", "2", "3"]);
});

test("place and start are those of the first interim", () => {
  const captions = after(
    said({ text: "one" }),
    said({ text: "two", id: "s2", sequence: 2 }),
    said({ text: "one and more", revision: 1, sequence: 9, startMs: 5_000, endMs: 6_000 }),
  );
  expect(captions.segments[0]).toMatchObject({ text: "one and more", sequence: 1, startMs: 1_000, endMs: 6_000 });
});

test("nobody can take over another speaker's segment", () => {
  const captions = after(
    said({ text: "i agree" }),
    said({ text: "i do not", revision: 9, speakerIdentity: "mallory", sequence: 2 }),
  );
  expect(texts(captions)).toEqual(["i agree", "i do not"]);
});

test("a bounded number is kept, and the oldest to arrive goes first", FULL, () => {
  let captions = NO_CAPTIONS;
  for (let n = 0; n < MAX_SEGMENTS + 3; n += 1) {
    captions = withSegment(captions, said({ text: `${n}`, id: `s${n}`, sequence: n }));
  }
  expect(captions.segments).toHaveLength(MAX_SEGMENTS);
  expect(captions.arrivals).toHaveLength(MAX_SEGMENTS);
  expect(texts(captions)[0]).toBe("3");
});

test("invented high sequences do not keep anybody else's words out", FULL, () => {
  let captions = NO_CAPTIONS;
  for (let n = 0; n < MAX_SEGMENTS; n += 1) {
    const fields = { id: `f${n}`, sequence: 9_000_000_000 + n, speakerIdentity: "mallory" };
    captions = withSegment(captions, said({ text: "spam", ...fields }));
  }
  captions = withSegment(captions, said({ text: "good morning" }));
  expect(texts(captions)).toContain("good morning");
});

test("what was said so far is never changed in place", () => {
  const before = after(said({ text: "good" }));
  withSegment(before, said({ text: "good morning", revision: 1 }));
  withSegment(before, said({ text: "hello", id: "s2" }));
  expect(texts(before)).toEqual(["good"]);
  expect(before.arrivals).toHaveLength(1);
});

test("open lines are taken as they stand, once, and a later final still replaces them", () => {
  const open = after(said({ text: "good" }), said({ text: "hello", id: "s2", sequence: 2, isFinal: true }));
  const ended = withOpenLinesEnded(open);
  expect(ended.segments.map(({ text, isFinal }) => [text, isFinal])).toEqual([["good", true], ["hello", true]]);
  expect(withOpenLinesEnded(ended)).toBe(ended);
  expect(texts(withSegment(ended, said({ text: "good morning", revision: 1, isFinal: true })))).toEqual(["good morning", "hello"]);
});

test("a newer line of a track ends the open ones before it, and no other speaker's", () => {
  const captions = after(
    said({ text: "lost" }),
    said({ text: "other track", id: "s2", sequence: 2, trackSid: "TR_2" }),
    said({ text: "other speaker", id: "s3", sequence: 3, speakerIdentity: "bob" }),
    said({ text: "goes on", id: "s4", sequence: 1_000 }),
    said({ text: "overtaken", id: "s5", sequence: 4 }),
  );
  expect(captions.segments.filter(({ isFinal }) => isFinal).map(({ text }) => text)).toEqual(["lost", "overtaken"]);
});

test("whoever floods the room pushes out only their own lines", FULL, () => {
  let captions = after(said({ text: "good morning" }));
  for (let n = 0; n < MAX_SEGMENTS + 100; n += 1) {
    captions = withSegment(captions, said({ text: `${n}`, id: `f${n}`, sequence: n, speakerIdentity: "mallory" }));
  }
  expect(texts(captions)).toContain("good morning");
  expect([texts(captions).includes("100"), texts(captions).includes("101")]).toEqual([false, true]);
  expect([captions.segments.length, captions.arrivals.length]).toEqual([MAX_SEGMENTS, MAX_SEGMENTS]);
});

test("what changed since is found, wherever it is", () => {
  const before = after(...[1, 2, 3].map((n) => said({ text: `${n}`, id: `s${n}`, sequence: n })));
  const texts = (captions: Captions): unknown[] =>
    changesSince(before, captions).map(({ segment, known }) => [segment.text, known?.text]);
  expect(texts(before)).toEqual([]);
  expect(texts(withSegment(before, said({ text: "2 and more", id: "s2", sequence: 2, revision: 1 })))).toEqual([["2 and more", "2"]]);
  expect(texts(withSegment(before, said({ text: "0", id: "s0", sequence: 0, isFinal: true })))).toEqual([["0", undefined]]);
  const replaced = { ...before, segments: [...before.segments.slice(1), said({ text: "4", id: "s4", sequence: 4 })] };
  expect(texts(replaced)).toEqual([["4", undefined]]);
});

test("with hours of a meeting behind it, one more revision costs next to nothing", FULL, () => {
  let captions = NO_CAPTIONS;
  for (let n = 0; n < MAX_SEGMENTS - 1; n += 1) {
    const fields = { id: crypto.randomUUID(), sequence: n, speakerIdentity: `person ${n % 8}`, isFinal: true };
    captions = withSegment(captions, said({ text: `${n}`, ...fields }));
  }
  captions = withSegment(captions, said({ text: "0", sequence: MAX_SEGMENTS }));
  const tookMs = Array.from({ length: 200 }, (_, n) => {
    const start = performance.now();
    const later = withSegment(captions, said({ text: `${n}`, revision: n + 1, sequence: MAX_SEGMENTS }));
    changesSince(captions, later);
    captions = later;
    return performance.now() - start;
  });
  expect(tookMs.sort((a, b) => a - b)[100]).toBeLessThan(1);
});
