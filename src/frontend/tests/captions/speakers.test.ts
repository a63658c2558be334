import { expect, test } from "vitest";
import { captionedName, COLOURS, displayName, SpeakerColours } from "../../captions/speakers";

test.each([
  [{ identity: "guest-1f0c", name: " Ada " }, "Ada"],
  [{ identity: "ليلى", name: "" }, "ليلى"],
  [{ identity: "ada@example.org", name: "  " }, "ada@example.org"],
  [{ identity: "guest-5f2c9a1e44d07b3c9a1e", name: "" }, "Guest 9a1e"],
])("somebody is called something: %o", (speaker, called) => {
  expect(displayName(speaker)).toBe(called);
});

test.each([
  ["the room's name wins over the caption's", () => "Mallory", "Mallory"],
  ["whoever has no name in the room has none here", () => "", "mallory"],
  ["whoever was never seen in the room cannot pass for somebody who is", () => undefined, "Ada (not in the room)"],
  ["a page that does not know the room takes the caption at its word", null, "Ada"],
])("%s", (_, nameOf, shown) => {
  expect(captionedName({ speakerIdentity: "mallory", speakerName: "Ada" }, nameOf)).toBe(shown);
});

test("a speaker's colour stays, and differs from the others' while there are enough", () => {
  const colours = new SpeakerColours();
  const people = Array.from({ length: COLOURS }, (_, n) => `guest-${n}`);
  const first = people.map((identity) => colours.of(identity));
  expect(new Set(first).size).toBe(COLOURS);
  colours.of("one more");
  expect(people.map((identity) => colours.of(identity))).toEqual(first);
  for (let n = 0; n < 2_000; n += 1) expect(colours.of(`crowd-${n}`)).toBeLessThan(COLOURS);
});
