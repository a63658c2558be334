import { expect, test } from "vitest";
import { transcriptText } from "../../page/copied";
import { matcher } from "../../page/matching";
import { said } from "../captions/said";

test.each([
  ["budget", "The BUDGET for next year", true],
  ["ada budget", "the budget", true],
  ["uber", "Über uns", true],
  ["über", "uber uns", true],
  ["شكرا", "شُكْرًا لكم", true],
  ["天気", "今日は良い天気です", true],
  ["budget tomorrow", "the budget", false],
  [".*", "the budget", false],
  ["", "anything", true],
])("%s is looked for in: %s", (words, text, isFound) => {
  expect(matcher(words)({ text }, "Ada")).toBe(isFound);
});

test("copied lines say when, who and what, a line each, under the names that are shown", () => {
  const lines = [
    said({ text: " good\nmorning ", isFinal: true }),
    said({ text: "hello", id: "s2", speakerIdentity: "bob", speakerName: "Speaker 3" }),
  ];
  expect(transcriptText(lines, (identity) => identity.toUpperCase()).replace(/\[[^\]]+\]/g, "[at]")).toBe("[at] ADA: good morning\n[at] Speaker 3: hello");
});
