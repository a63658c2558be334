import { expect, test } from "vitest";
import * as names from "../../captions/names";
import { MAX_TEXT_CHARS, parseSegment, segmentKey } from "../../captions/segments";
import * as golden from "../golden";

test.each(golden.ACCEPTED)("a caption counts: $why", ({ received, segment }) => {
  expect(parseSegment(received)).toEqual(segment);
});

test.each(golden.REFUSED)("a caption of another shape is dropped: $why", ({ received }) => {
  expect(parseSegment(received)).toBeNull();
});

test.each(golden.REFUSED_BY_THE_BROWSER)("a caption nobody should see is dropped: $why", ({ received }) => {
  expect(parseSegment(received)).toBeNull();
});

test("the names on the wire are those of the contract", () => {
  expect({ ...names }).toEqual(golden.NAMES);
  expect(MAX_TEXT_CHARS).toBe(golden.MAX_TEXT_CHARS);
});

test("another speaker's segment id makes another segment", () => {
  expect(segmentKey({ id: "s1", speakerIdentity: "mallory" })).not.toBe(segmentKey({ id: "s1", speakerIdentity: "ada" }));
});
