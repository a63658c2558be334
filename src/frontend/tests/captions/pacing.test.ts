import { expect, test } from "vitest";
import { Pacing, readingTimeMs } from "../../captions/pacing";
import { NO_CAPTIONS, withSegment } from "../../captions/reducer";
import type { Segment } from "../../captions/segments";
import { said } from "./said";

class Screen {
  #captions = NO_CAPTIONS;
  readonly #pacing = new Pacing();

  say(nowMs: number, ...segments: Segment[]): this {
    this.#captions = segments.reduce(withSegment, this.#captions);
    this.#pacing.follow(this.#captions, nowMs);
    return this;
  }

  at(nowMs: number): Record<string, string[]> {
    const turns = this.#pacing.turnsAt(nowMs);
    return Object.fromEntries(turns.map((turn) => [turn.speakerIdentity, turn.segments.map(({ text }) => text)]));
  }

  speakersAt(nowMs: number): string[] {
    return this.#pacing.turnsAt(nowMs).map(({ speakerIdentity }) => speakerIdentity);
  }

  get nextEndMs(): number | null {
    return this.#pacing.nextEndMs();
  }
}

test("words are shown at once", () => {
  expect(new Screen().say(0, said({ text: "good" })).at(0)).toEqual({ ada: ["good"] });
});

test("a final stays long enough to be read, a longer one longer", () => {
  const long = "we need a larger room for the next meeting because more than twenty people said that they want to come";
  const [short, longer] = ["yes", long].map((text) => readingTimeMs({ text, isFinal: true })) as [number, number];
  expect(short).toBeGreaterThanOrEqual(3_000);
  expect(longer).toBeGreaterThan(short);
  const screen = new Screen().say(0, said({ text: long, isFinal: true }));
  expect(screen.at(longer - 1)).toEqual({ ada: [long] });
  expect(screen.at(longer)).toEqual({});
});

test("what a speaker is still saying stays, however long it takes", () => {
  const screen = new Screen();
  for (let n = 0; n < 20; n += 1) screen.say(n * 4_000, said({ text: `word ${n}`, revision: n }));
  expect(screen.at(19 * 4_000 + 3_000)).toEqual({ ada: ["word 19"] });
});

test("an interim that is never finished goes in the end", () => {
  expect(new Screen().say(0, said({ text: "good" })).at(60_000)).toEqual({});
});

test("a speaker's lines stay together until the last is read", () => {
  const screen = new Screen()
    .say(0, said({ text: "one", isFinal: true }))
    .say(2_500, said({ text: "two", id: "s2", sequence: 2, isFinal: true }));
  expect(screen.at(4_000)).toEqual({ ada: ["one", "two"] });
  expect(screen.nextEndMs).toBe(5_500);
  expect(screen.at(5_500)).toEqual({});
});

test("speakers keep their order while they speak in turns", () => {
  const ada = said({ text: "i" });
  const bob = said({ text: "no", id: "b1", speakerIdentity: "bob", sequence: 2 });
  const screen = new Screen().say(0, ada).say(100, bob).say(200, { ...ada, text: "i think", revision: 1 });
  screen.say(300, said({ text: "so", id: "s3", sequence: 3 }));
  expect(screen.speakersAt(400)).toEqual(["ada", "bob"]);
});

test("when more speak than fit, the one silent longest goes", () => {
  const screen = new Screen();
  ["ada", "bob", "cleo", "dan"].forEach((speakerIdentity, n) => {
    if (speakerIdentity === "dan") screen.say(250, said({ text: "hello again", id: "s0", revision: 1 }));
    screen.say(n * 100, said({ text: "hello", id: `s${n}`, sequence: n, speakerIdentity }));
  });
  expect(screen.speakersAt(400)).toEqual(["ada", "cleo", "dan"]);
});

test("one who floods the room takes one place of the three", () => {
  const screen = new Screen().say(0, said({ text: "hello" }), said({ text: "hi", id: "b", speakerIdentity: "bob" }));
  for (let n = 0; n < 50; n += 1) {
    screen.say(n, said({ text: "spam", id: `f${n}`, sequence: 9_000_000 + n, speakerIdentity: "mallory" }));
  }
  expect(screen.speakersAt(100)).toEqual(["ada", "bob", "mallory"]);
  expect(screen.at(100).mallory).toHaveLength(3);
});

test("what was said before one came is not shown as if it were said now", () => {
  const screen = new Screen().say(0, said({ text: "long ago", isFinal: true, isBacklog: true }));
  expect(screen.at(0)).toEqual({});
});

test("a sentence under way when one comes is shown", () => {
  const screen = new Screen().say(0, said({ text: "and then", isBacklog: true }));
  screen.say(100, said({ text: "and then we", revision: 1 }));
  expect(screen.at(200)).toEqual({ ada: ["and then we"] });
});
