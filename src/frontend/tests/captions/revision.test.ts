import { expect, test } from "vitest";
import { movedPlace } from "../../captions/revision";

test.each([
  ["it grows at its end", "one two |three", "one two |three four"],
  ["it gets case and punctuation", "well i think |so too", "Well, I think |so too."],
  ["a word before it becomes longer", "to people |came", "forty-two people |came"],
  ["a word before it goes", "um well i think |so", "well i think |so"],
  ["words after it change", "one two |three for", "one two |three four five"],
  ["the word at it changes", "i like the |wether a lot", "i like the |weather a lot"],
  ["a quote begins at it", "she said |come", "she said |“come”"],
  ["everything before it is new", "ships sail |tomorrow morning", "she sails |tomorrow morning"],
  ["it becomes shorter than that", "one two three |four", "one |two"],
  ["nothing of it is left", "one |two", "|"],
  ["it is the end, and words follow", "what i mean|", "What I mean |is this"],
  ["it is the beginning", "|one two", "|zero one two"],
  ["a script without spaces", "今日は良い天気|です", "今日はいい天気|です"],
])("a place in a text is found in the next: %s", (_, before, after) => {
  const place = before.indexOf("|");
  expect(movedPlace(before.replace("|", ""), after.replace("|", ""), place)).toBe(after.indexOf("|"));
});
