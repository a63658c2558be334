// tests/contract/golden/lines.json, which the backend is held to as well; and how record and room become one.

import { expect, test } from "vitest";
import golden from "../../../../tests/contract/golden/lines.json";
import { CaptionFeed, type Message } from "../../captions/feed";
import { type Captions, changesSince, MAX_SEGMENTS, NO_CAPTIONS, withSegment, withStored } from "../../captions/reducer";
import { ENGINE_HUMAN, parseLine, type Segment } from "../../captions/segments";
import { receivedText, segmentOf, writtenOut } from "../golden";
import { said } from "./said";

type Fields = Record<string, unknown>;

function changed(fields: Fields, changes: Fields): Fields {
  const entries = Object.entries({ ...fields, ...changes }).filter(([, value]) => value !== null);
  return Object.fromEntries(entries.map(([name, value]) => [name, isLong(value) ? writtenOut(value) : value]));
}

function isLong(value: unknown): value is { repeat: [string, number] } {
  return typeof value === "object" && value !== null && "repeat" in value;
}

test.each(golden.accepted)("a line of the record is read: $why", ({ line, segment }) => {
  const wanted = segmentOf(changed(golden.segment, segment));
  expect(parseLine(changed(golden.line, line))).toEqual({ ...wanted, isBacklog: true, isStored: true });
});

test.each(golden.refused)("a line of another shape is passed over: $field, $why", ({ field, value }) => {
  expect(parseLine(changed(golden.line, { [field]: value }))).toBeNull();
});

test("what is no line at all is passed over", () => {
  for (const nothing of [null, undefined, "line", 7, []]) expect(parseLine(nothing)).toBeNull();
  expect(ENGINE_HUMAN).toBe(golden.engine_human);
});

function stored(fields: Partial<Segment> & { text: string }): Segment {
  return said({ isFinal: true, isBacklog: true, isStored: true, revision: 3, ...fields });
}

const heard = (...segments: Segment[]): Captions => segments.reduce(withSegment, NO_CAPTIONS);
const shown = ({ segments }: Captions): unknown[] => segments.map(({ speakerName, text }) => `${speakerName}: ${text}`);

test("backlog, live and record meet by id and revision, in any order, without a gap or a double", () => {
  const line = (n: number): Partial<Segment> & { text: string } => ({ text: `${n}`, id: `s${n}`, sequence: n });
  const record = [1, 2, 3, 4, 5, 6].map((n) => stored(line(n)));
  const room = [5, 6, 7].map((n) => said({ ...line(n), revision: 3, isFinal: true }));
  const all = [1, 2, 3, 4, 5, 6, 7].map((n) => `Ada: ${n}`);
  expect(shown(withStored(heard(...room), record))).toEqual(all);
  expect(shown(room.reduce(withSegment, withStored(NO_CAPTIONS, record)))).toEqual(all);
  const once = withStored(heard(...room), record);
  expect(withStored(once, record)).toBe(once);
  expect(room.reduce(withSegment, once)).toBe(once);
});

test("a correction in the record replaces the line, and an older page of it does not undo what the room has said since", () => {
  const final = said({ text: "good mourning", revision: 3, isFinal: true });
  const corrected = stored({ text: "good morning", revision: 4, isCorrected: true });
  expect(withStored(heard(final), [corrected]).segments).toEqual([{ ...corrected, isBacklog: false }]);
  const room = heard(final, { ...final, text: "good morning", revision: 4, isCorrected: true });
  expect(withStored(room, [stored({ text: "good mourning" })])).toBe(room);
  const record = withStored(NO_CAPTIONS, [corrected]);
  expect(withStored(record, [stored({ text: "good mourning" })])).toBe(record);
});

test("a line of somebody who hides their name is not doubled, wherever it comes from first", () => {
  const live = said({ text: "i agree", speakerIdentity: "ada", speakerName: "Speaker 3", revision: 3, isFinal: true });
  const line = stored({ text: "i agree", speakerIdentity: "speaker-3", speakerName: "Speaker 3" });
  const record = withStored(heard(live), [line]);
  expect(record.segments).toEqual([line]);
  expect(withSegment(record, live)).toBe(record);
  expect(withSegment(record, { ...live, text: "i agree!", revision: 4 })).toBe(record);
  const shownAgain = stored({ text: "i agree", speakerIdentity: "ada", speakerName: "Ada", revision: 4 });
  expect(withStored(record, [shownAgain]).segments).toEqual([shownAgain]);
});

test("nobody takes over a line of the record by repeating its id, before or after, and under no pseudonym either", () => {
  const hidden = stored({ text: "i agree", speakerIdentity: "speaker-3", speakerName: "Speaker 3" });
  const forged = (fields: Partial<Segment>): Segment =>
    said({ text: "i do not", revision: 99, isFinal: true, speakerIdentity: "mallory", speakerName: "Speaker 3", ...fields });
  expect(withStored(heard(forged({})), [hidden]).segments).toEqual([hidden]);
  const record = withStored(NO_CAPTIONS, [hidden]);
  expect(withSegment(record, forged({}))).toBe(record);
  expect(withSegment(record, forged({ speakerIdentity: "speaker-3" }))).toBe(record);
  const named = withStored(NO_CAPTIONS, [stored({ text: "i agree" })]);
  expect(withSegment(named, forged({}))).toBe(named);
  expect(shown(withSegment(named, said({ text: "i agree!", revision: 4, isFinal: true })))).toEqual(["Ada: i agree!"]);
});

test("an open line whose final was missed is ended by the record, and so is an older one of the same track", () => {
  const room = heard(said({ text: "lost" }), said({ text: "and so", id: "s2", sequence: 2 }));
  const record = withStored(room, [stored({ text: "and so on", id: "s2", sequence: 2 }), stored({ text: "later", id: "s3", sequence: 3 })]);
  expect(record.segments.map(({ text, isFinal }) => [text, isFinal])).toEqual([["lost", true], ["and so on", true], ["later", true]]);
  expect(changesSince(room, record).find(({ segment }) => segment.id === "s2")?.known?.text).toBe("and so");
});

test("a long record keeps to the bound, and leaves the words of others", { timeout: 60_000 }, () => {
  const record = Array.from({ length: MAX_SEGMENTS + 50 }, (_, n) => stored({ text: `${n}`, id: `r${n}`, sequence: n + 2 }));
  const captions = withStored(heard(said({ text: "good morning", speakerIdentity: "bob", speakerName: "Bob" })), record);
  expect([captions.segments.length, captions.arrivals.length]).toEqual([MAX_SEGMENTS, MAX_SEGMENTS]);
  expect(shown(captions)[0]).toBe("Bob: good morning");
});

test("two who began at once have the order of their start", () => {
  const [early, late] = [said({ text: "early", id: "e", startMs: 1_000 }), said({ text: "late", id: "l", startMs: 2_000 })];
  for (const order of [[early, late], [late, early]]) expect(shown(heard(...order))).toEqual(["Ada: early", "Ada: late"]);
  expect(shown(withStored(heard(late), [stored({ text: "early", id: "e" })]))).toEqual(["Ada: early", "Ada: late"]);
});

test("the page is told when the room speaks of a later revision of what the record has", () => {
  let told = 0;
  const feed = new CaptionFeed({ onRecordChanged: () => (told += 1) });
  const message = (revision: string): Message => {
    const attributes = { "lk.transcription_final": "true", "roomscribe.revision": revision };
    return { topic: "lk.transcription", ...receivedText({ attributes }) };
  };
  feed.receive(message("3"));
  const line = stored({ ...(feed.captions.segments[0] as Segment), isStored: true, speakerIdentity: "speaker-3", speakerName: "Speaker 3" });
  feed.store([line]);
  expect(told).toBe(0);
  feed.receive(message("4"));
  feed.receive(message("3"));
  expect([told, feed.captions.segments]).toEqual([1, [line]]);
  feed.store([{ ...line, speakerIdentity: "ada", speakerName: "Ada", revision: 5 }]);
  feed.receive(message("6"));
  expect([told, feed.captions.segments[0]?.revision]).toEqual([2, 6]);
});

test("whoever captions themselves under another's pseudonym is told apart, and nobody is named", () => {
  const feed = new CaptionFeed({});
  for (const [n, speaker] of ["ada", "mallory", "ada"].entries()) {
    const attributes = { "roomscribe.speaker_identity": speaker, "roomscribe.speaker_name": "Speaker 3", "lk.segment_id": `s${n}` };
    feed.receive({ topic: "lk.transcription", ...receivedText({ senderIdentity: speaker, attributes }) });
  }
  expect(feed.captions.segments.map(({ speakerName }) => speakerName)).toEqual(["Speaker 3", "Speaker 3 (somebody else)", "Speaker 3"]);
});
