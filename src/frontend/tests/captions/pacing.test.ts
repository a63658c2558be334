import { expect, test } from "vitest";
import { Pacing, readingTimeMs, type Row, type Turn } from "../../captions/pacing";
import { NO_CAPTIONS, withSegment } from "../../captions/reducer";
import type { Segment } from "../../captions/segments";
import { said } from "./said";

/** An overlay whose rows hold so many characters, broken at spaces as a browser does. */
class Screen {
  #captions = NO_CAPTIONS;
  readonly #pacing = new Pacing();
  readonly #columns: number;

  constructor(columns = Number.POSITIVE_INFINITY) {
    this.#columns = columns;
  }

  say(nowMs: number, ...segments: Segment[]): this {
    this.#captions = segments.reduce(withSegment, this.#captions);
    this.#pacing.follow(this.#captions, nowMs);
    this.#layOut(nowMs);
    return this;
  }

  /** Everything on the overlay, in sight or not. */
  at(nowMs: number): Record<string, string[]> {
    const turns = this.#pacing.turnsAt(nowMs);
    return Object.fromEntries(
      turns.map(({ speakerIdentity, lines }) => [speakerIdentity, lines.map(({ segment, from }) => segment.text.slice(from))]),
    );
  }

  /** The two rows in sight of whoever speaks. */
  rowsAt(nowMs: number): string[] {
    this.#layOut(nowMs);
    const [turn] = this.#pacing.turnsAt(nowMs);
    return turn === undefined ? [] : rowTexts(turn, this.#rows(turn)).slice(0, 2);
  }

  /** The rows in sight each time they change, until nothing is left. */
  rowsFrom(startMs: number): [number, string[]][] {
    const seen: [number, string[]][] = [[startMs, this.rowsAt(startMs)]];
    for (let nowMs = this.nextMs; nowMs !== null; nowMs = this.nextMs) seen.push([nowMs, this.rowsAt(nowMs)]);
    return seen;
  }

  speakersAt(nowMs: number): string[] {
    return this.#pacing.turnsAt(nowMs).map(({ speakerIdentity }) => speakerIdentity);
  }

  slotsAt(nowMs: number): Record<string, number> {
    return Object.fromEntries(this.#pacing.turnsAt(nowMs).map(({ speakerIdentity, slot }) => [speakerIdentity, slot]));
  }

  get nextMs(): number | null {
    return this.#pacing.nextMs();
  }

  #layOut(nowMs: number): void {
    for (const turn of this.#pacing.turnsAt(nowMs)) this.#pacing.laidOut(turn.speakerIdentity, this.#rows(turn), nowMs);
  }

  #rows({ lines }: Turn): Row[] {
    return lines.flatMap(({ segment, from }, line) => {
      const rows: Row[] = [];
      let start = from;
      for (const { index, 0: word } of segment.text.slice(from).matchAll(/\S+\s*/g)) {
        if (from + index + word.trimEnd().length - start <= this.#columns) continue;
        start = from + index;
        rows.push({ line, end: start });
      }
      return [...rows, { line, end: segment.text.length }];
    });
  }
}

function rowTexts({ lines }: Turn, rows: readonly Row[]): string[] {
  return rows.map(({ line, end }, index) => {
    const above = rows[index - 1];
    const { segment, from } = lines[line] as Turn["lines"][number];
    return segment.text.slice(above?.line === line ? above.end : from, end).trim();
  });
}

/** `count` words of seven characters and a space. */
function words(count: number, first = 0): string {
  return Array.from({ length: count }, (_, n) => `word${String(first + n).padStart(3, "0")}`).join(" ");
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
  expect(screen.nextMs).toBe(5_500);
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
    if (speakerIdentity === "dan") screen.say(2_500, said({ text: "hello again", id: "s0", revision: 1 }));
    screen.say(n * 900, said({ text: "hello", id: `s${n}`, sequence: n, speakerIdentity }));
  });
  expect(screen.speakersAt(2_700)).toEqual(["ada", "cleo", "dan"]);
});

test("of five who speak at once three can be read, and each for a while", () => {
  const screen = new Screen();
  const seen = new Map<string, number>();
  let changes = 0;
  let before = "";
  for (let n = 0; n < 600; n += 1) {
    const speakerIdentity = `person ${n % 5}`;
    screen.say(n * 100, said({ text: words(n), id: `s${n % 5}`, sequence: n % 5, revision: n, speakerIdentity }));
    const now = screen.speakersAt(n * 100);
    for (const speaker of now) seen.set(speaker, (seen.get(speaker) ?? 0) + 1);
    if (now.toSorted().join() !== before) changes += 1;
    before = now.toSorted().join();
  }
  expect(seen.size).toBe(5);
  expect(changes).toBeLessThan(25);
});

test("one who floods the room takes one place of the three", () => {
  const screen = new Screen().say(0, said({ text: "hello" }), said({ text: "hi", id: "b", speakerIdentity: "bob" }));
  for (let n = 0; n < 50; n += 1) {
    screen.say(n, said({ text: "spam", id: `f${n}`, sequence: 9_000_000 + n, speakerIdentity: "mallory" }));
  }
  expect(screen.speakersAt(100)).toEqual(["ada", "bob", "mallory"]);
  expect(screen.at(100).mallory?.length).toBeLessThanOrEqual(20);
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

test("a correction of what has gone is not shown as if it were said now", () => {
  const screen = new Screen().say(0, said({ text: "good mourning", isFinal: true }));
  expect(screen.say(1_000, said({ text: "good morning", revision: 1, isFinal: true })).at(1_000)).toEqual({ ada: ["good morning"] });
  expect(screen.at(20_000)).toEqual({});
  expect(screen.say(20_000, said({ text: "good morning!", revision: 2, isFinal: true })).at(20_000)).toEqual({});
});

test("what is taken back goes", () => {
  const screen = new Screen().say(0, said({ text: "noise" })).say(100, said({ text: "", revision: 1, isFinal: true }));
  expect(screen.at(100)).toEqual({});
});

test("a sentence that goes on after a long pause is not said again from its beginning", () => {
  const screen = new Screen().say(0, said({ text: "what i mean is" }));
  expect(screen.at(11_000)).toEqual({});
  screen.say(12_000, said({ text: "what i mean is this", revision: 1 }));
  expect(screen.at(12_000)).toEqual({ ada: [" this"] });
});

test("nobody's words move when somebody else begins or ends", () => {
  const screen = new Screen().say(0, said({ text: "yes", isFinal: true }));
  screen.say(2_000, said({ text: "no", id: "b1", speakerIdentity: "bob", sequence: 2 }));
  expect(screen.slotsAt(2_000)).toEqual({ ada: 0, bob: 1 });
  expect(screen.slotsAt(4_000)).toEqual({ bob: 1 });
  screen.say(4_000, said({ text: "why", id: "c1", speakerIdentity: "cleo", sequence: 3 }));
  expect(screen.slotsAt(4_000)).toEqual({ bob: 1, cleo: 0 });
});

test.each([
  ["slow", 9, 40],
  ["ordinary", 15, 40],
  ["fast", 20, 40],
  ["ordinary, on a phone", 15, 32],
])("a %s speaker's words are in sight the moment they come", (_, charsAS, columns) => {
  const screen = new Screen(columns);
  for (let count = 1; count <= 250; count += 1) {
    const nowMs = (count * 8_000) / charsAS;
    screen.say(nowMs, said({ text: words(count), revision: count }));
    expect(screen.rowsAt(nowMs).join(" ")).toContain(words(1, count - 1));
  }
});

test("words come two seconds at a time, and are in sight at once all the same", () => {
  const screen = new Screen(40);
  for (let count = 4; count <= 200; count += 4) {
    screen.say(count * 500, said({ text: words(count), revision: count }));
    expect(screen.rowsAt(count * 500).join(" ")).toContain(words(1, count - 1));
  }
});

test("thirty words at once roll by at a pace people can read", () => {
  const seen = new Screen(40).say(0, said({ text: words(30), isFinal: true })).rowsFrom(0);
  const rows = Array.from({ length: 6 }, (_, n) => words(5, n * 5));
  expect(seen.slice(0, 5).map(([, texts]) => texts)).toEqual(rows.slice(1).map((row, n) => [rows[n], row]));
  const paces = seen.slice(1, 5).map(([atMs], n) => 40_000 / (atMs - (seen[n] as [number, string[]])[0]));
  for (const charsAS of paces) expect(charsAS).toBeLessThan(30);
  expect((seen[4] as [number, string[]])[0]).toBeLessThanOrEqual(6_000);
  // And the last two stay until they have been read as well.
  expect((seen[5] as [number, string[]])[0] - (seen[4] as [number, string[]])[0]).toBeGreaterThan(80_000 / 16);
});

test.each([30, 75, 400])("of %d words that come at once after an outage none waits longer than six seconds", (count) => {
  const seen = new Screen(40).say(1_000, said({ text: words(count), isFinal: true })).rowsFrom(1_000);
  const whenSeen = (row: string): number => seen.find(([, texts]) => texts.includes(row))?.[0] ?? Number.POSITIVE_INFINITY;
  for (let first = 0; first < count; first += 5) expect(whenSeen(words(Math.min(5, count - first), first))).toBeLessThanOrEqual(7_001);
});

test("short lines that follow each other stay long enough to be noticed", () => {
  const screen = new Screen(40);
  ["yes", "no", "why"].forEach((text, n) => screen.say(n * 100, said({ text, id: `s${n}`, sequence: n, isFinal: true })));
  expect(screen.rowsAt(300)).toEqual(["yes", "no"]);
  expect(screen.rowsAt(1_500)).toEqual(["no", "why"]);
});

test("rows never roll back, and what is changed above moves nothing below", () => {
  const screen = new Screen(40).say(0, said({ text: words(12) }));
  expect(screen.rowsAt(4_000)).toEqual([words(5, 5), words(2, 10)]);
  const revised = `Forty-two, ${words(11, 1)}.`;
  screen.say(4_100, said({ text: revised, revision: 1 }));
  expect(screen.rowsAt(4_100)).toEqual([words(5, 5), `${words(2, 10)}.`]);
  screen.say(4_200, said({ text: words(7), revision: 2 }));
  expect(screen.rowsAt(4_200)).toEqual([words(2, 5)]);
});

test("a revision from before a row that has gone does not come back in", () => {
  const screen = new Screen(40).say(0, said({ text: words(5), isFinal: true }), said({ text: words(10, 5), id: "s2", sequence: 2 }));
  expect(screen.rowsAt(4_000)).toEqual([words(5, 5), words(5, 10)]);
  screen.say(4_100, said({ text: words(6), revision: 1, isFinal: true }));
  expect(screen.rowsAt(4_100)).toEqual([words(5, 5), words(5, 10)]);
});

test("a page that was in the background shows the newest rows when it is seen again", () => {
  const screen = new Screen(40).say(0, said({ text: words(5) }));
  screen.say(1_000, said({ text: words(60), revision: 1 }));
  expect(screen.rowsAt(60_000)).toEqual([words(5, 50), words(5, 55)]);
});
