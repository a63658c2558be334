// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Captions, defineRoomCaptions, NO_CAPTIONS, RoomCaptionsElement, type Segment, withSegment } from "../../captions/index";
import { setText } from "../../captions/element";
import { said } from "./said";

defineRoomCaptions();
let overlay: RoomCaptionsElement;
let captions: Captions;

beforeEach(() => {
  vi.useFakeTimers();
  overlay = document.createElement("room-captions") as RoomCaptionsElement;
  document.body.replaceChildren(overlay);
  captions = NO_CAPTIONS;
});
afterEach(() => vi.useRealTimers());

function say(...segments: Segment[]): void {
  for (const segment of segments) {
    captions = withSegment(captions, segment);
    overlay.show(captions);
  }
}

function all(selector: string): HTMLElement[] {
  return [...(overlay.shadowRoot as ShadowRoot).querySelectorAll<HTMLElement>(selector)];
}

const lines = (): HTMLElement[] => all("[part=line]");
const announced = (): string[] => all("[aria-live] p").map((line) => line.textContent);

test("a line says who speaks and grows in the same text", () => {
  say(said({ text: "good" }));
  const [line] = lines() as [HTMLElement];
  const text = line.firstChild;
  say(said({ text: "good morning", revision: 1 }));
  expect(all("[part=name]")[0]?.textContent).toBe("Ada");
  expect(lines()).toEqual([line]);
  expect(line.firstChild).toBe(text);
  expect(line.textContent).toBe("good morning");
  expect({ ...line.dataset }).toEqual({ segmentId: "s1", speaker: "ada", final: "false", revision: "1" });
});

test("what is said is text, never markup", () => {
  const hostile = '<img src=x onerror=alert(1)> <b>& "quoted"';
  say(said({ text: hostile, speakerName: "<script>alert(1)</script>", isFinal: true }));
  expect(lines()[0]?.textContent).toBe(hostile);
  expect(all("img, b, script")).toEqual([]);
});

test("words and names of any direction stand apart from each other", () => {
  say(said({ text: "\u202Eabc", speakerName: "\u202Eevil" }));
  expect(lines()[0]?.dir).toBe("auto");
  expect(lines()[0]?.lang).toBe("en");
  expect(all("[part=name]")[0]?.localName).toBe("bdi");
});

test("screen readers are given finals only, each once", () => {
  say(said({ text: "good" }), said({ text: "good mor", revision: 1 }));
  expect(announced()).toEqual([]);
  say(said({ text: "good morning", revision: 2, isFinal: true }));
  overlay.show(captions);
  say(said({ text: "good morning!", revision: 3, isFinal: true }));
  expect(announced()).toEqual(["Ada: good morning"]);
});

test("what was said before one came is not read out", () => {
  say(said({ text: "long ago", isFinal: true, isBacklog: true }));
  expect(announced()).toEqual([]);
});

test("the live region does not grow without end", () => {
  for (let n = 0; n < 100; n += 1) say(said({ text: `${n}`, id: `s${n}`, sequence: n, isFinal: true }));
  expect(announced()).toHaveLength(10);
  expect(announced().at(-1)).toBe("Ada: 99");
});

test("a page with a live region of its own can keep it silent", () => {
  overlay.setAttribute("announce", "off");
  say(said({ text: "good morning", isFinal: true }));
  expect(announced()).toEqual([]);
});

test("the room's name for a speaker wins over the one a caption carries", () => {
  overlay.nameOf = (identity) => (identity === "mallory" ? "Mallory" : "Ada");
  say(said({ text: "i quit", speakerIdentity: "mallory", speakerName: "Ada", isFinal: true }));
  expect(all("[part=name]")[0]?.textContent).toBe("Mallory");
  expect(announced()).toEqual(["Mallory: i quit"]);
});

test("a name that changes changes on the overlay", () => {
  say(said({ text: "good" }));
  overlay.nameOf = () => "Ada Lovelace";
  overlay.refresh();
  expect(all("[part=name]")[0]?.textContent).toBe("Ada Lovelace");
});

test("words go by themselves once they have been read", () => {
  say(said({ text: "good morning", isFinal: true }));
  vi.advanceTimersByTime(2_900);
  expect(lines()).toHaveLength(1);
  vi.advanceTimersByTime(200);
  expect(lines()).toHaveLength(0);
  expect(all("[part=turn]")).toHaveLength(0);
});

test("two speakers have a place each", () => {
  say(said({ text: "i" }), said({ text: "no", id: "b1", speakerIdentity: "bob", speakerName: "Bob", sequence: 2 }));
  say(said({ text: "i think", revision: 1 }));
  expect(all("[part=turn]").map((turn) => turn.textContent)).toEqual(["Adai think", "Bobno"]);
});

test.each([
  ["good", "good morning"],
  ["good morning", "good mourning"],
  ["one two three", "one"],
  ["one", "two"],
  ["👩🏽‍🚀", "👩🏽‍🔬"],
  ["a", ""],
])("a text becomes the next: %s → %s", (before, after) => {
  const line = document.createElement("p");
  setText(line, before);
  setText(line, after);
  expect(line.textContent).toBe(after);
});

test("a line that a newer one ends is read out, once", () => {
  say(said({ text: "lost" }), said({ text: "goes on", id: "s2", sequence: 1_000 }));
  say(said({ text: "lost after all", revision: 1, isFinal: true }));
  expect(announced()).toEqual(["Ada: lost"]);
});

test("a page that was reloaded shows the sentence under way, replays nothing and reads nothing out twice", () => {
  const before = [1, 2, 3].map((n) => said({ text: `line ${n}`, id: `s${n}`, sequence: n, isFinal: true, isBacklog: true }));
  say(...before, said({ text: "and so", id: "s4", sequence: 4, isBacklog: true }));
  expect(lines().map((line) => line.textContent)).toEqual(["and so"]);
  say(said({ text: "and so on", id: "s4", sequence: 4, revision: 1, isFinal: true }));
  expect(lines().map((line) => line.textContent)).toEqual(["and so on"]);
  expect(announced()).toEqual(["Ada: and so on"]);
});

test("a correction changes a line that is still there, is not said again, and brings none back", () => {
  say(said({ text: "good mourning", revision: 1, isFinal: true }));
  const [line] = lines();
  say(said({ text: "good morning", revision: 2, isFinal: true, isCorrected: true }));
  expect([lines()[0] === line, line?.textContent, announced()]).toEqual([true, "good morning", ["Ada: good mourning"]]);
  vi.advanceTimersByTime(20_000);
  say(said({ text: "good morning all", revision: 3, isFinal: true, isCorrected: true }));
  say(said({ text: "said before one came", id: "s0", sequence: 0, revision: 5, isFinal: true, isCorrected: true }));
  expect([lines(), announced()]).toEqual([[], ["Ada: good mourning"]]);
});

test("a correction of a silent speaker takes nobody's place away", () => {
  const speakers = ["ada", "bob", "cleo"].map((identity, n) => said({ text: "i", id: identity, speakerIdentity: identity, sequence: n, isFinal: true }));
  say(speakers[0] as Segment);
  vi.advanceTimersByTime(100);
  say(speakers[1] as Segment, speakers[2] as Segment);
  vi.advanceTimersByTime(1_600);
  say({ ...(speakers[0] as Segment), text: "I", revision: 1, isCorrected: true });
  say(said({ text: "me", id: "dan", speakerIdentity: "dan", sequence: 4 }));
  expect(all("[part=turn]").map((turn) => turn.dataset.speaker).sort()).toEqual(["bob", "cleo", "dan"]);
});

test("a pseudonym wins over the room's name, and has one colour in room and record", () => {
  overlay.nameOf = (identity) => (identity === "ada" ? "Ada" : undefined);
  say(said({ text: "good", speakerName: "Speaker 3" }));
  expect(all("[part=name]")[0]?.textContent).toBe("Speaker 3");
  expect(all("[part=name]")[0]?.className).toBe(`name colour-${overlay.colours.of("speaker-3")}`);
});
