import { expect, test } from "vitest";
import { Extents, guessedPx } from "../../page/extents";

test("lines that were drawn are as high as they were, others as is guessed", () => {
  const extents = new Extents([20, null, 40, null], 30);
  expect([0, 1, 2, 3, 4].map((index) => extents.topOf(index))).toEqual([0, 20, 50, 90, 120]);
  expect(extents.heightPx).toBe(120);
});

test("the guess is the average, and before anything was drawn there is one too", () => {
  expect(guessedPx([20, null, 40])).toBe(30);
  expect(guessedPx([null, null])).toBeGreaterThan(0);
  expect(new Extents([], 30).near({ topPx: 0, heightPx: 600, more: 4 })).toEqual({ start: 0, end: 0 });
});

test.each([
  [-50, 0], [0, 0], [9.9, 0], [10, 1], [995, 99], [5_000, 99],
])("at %d px is line %d", (px, line) => {
  expect(new Extents(Array<number>(100).fill(10), 30).at(px)).toBe(line);
});

test.each([
  ["the beginning", 0, { start: 0, end: 11 }],
  ["the middle", 500, { start: 46, end: 61 }],
  ["the end", 940, { start: 90, end: 100 }],
  ["beyond the end", 2_000, { start: 95, end: 100 }],
])("lines in sight and a few around them are drawn: %s", (_, topPx, span) => {
  expect(new Extents(Array<number>(100).fill(10), 30).near({ topPx, heightPx: 60, more: 4 })).toEqual(span);
});
