import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { REASONS, STATES, type Status } from "../../captions/status";
import { READERS } from "../../page/api";
import {
  captionedWords,
  engineWords,
  languageWords,
  markWords,
  microphoneWords,
  nameWords,
  readerWords,
  receiptWords,
  refusalWords,
  stateWords,
  transcriptRefusalWords,
} from "../../page/words";

const NOWHERE_HERE = new Set([
  "internal_token_refused",
  "claim_stale",
  "engine_test_taken",
  "webhook_refused",
  "attribute_not_allowed",
  "account_refused",
  "not_a_captioner",
]);

const NAMES = new Map([
  ["voxtral", "Voxtral"],
  ["embedded", "basic offline recogniser"],
]);
const LIVE: Omit<Status, "language"> = { state: "live", reason: null, behindMs: null, engine: "voxtral", transcript: "off" };

test("every state and every reason is said in words", () => {
  for (const state of STATES) {
    for (const reason of [null, ...REASONS]) {
      for (const engine of NAMES.keys()) {
        expect(stateWords({ ...LIVE, state, reason, engine }, NAMES)).toMatch(/^[A-Z].*\.$/);
        expect(stateWords({ ...LIVE, state, reason, engine }, NAMES)).not.toMatch(/_|undefined/);
      }
    }
  }
});

test("a lag people notice is said", () => {
  const words = (status: Partial<Status>): string => stateWords({ ...LIVE, ...status }, NAMES);
  expect(words({ behindMs: 300 })).toBe("Subtitles are on.");
  expect(words({ behindMs: 3_200 })).toContain("3 seconds behind");
  expect(words({ state: "idle", behindMs: 3_200 })).not.toContain("behind");
});

test.each([
  ["engine_down", "not answering"],
  ["engine_auth", "refused this server's key"],
  ["at_capacity", "no room for more"],
] as const)("captions of another engine than the main one say so, and why: %s", (reason, why) => {
  const words = (engine: string, names = NAMES): string => stateWords({ ...LIVE, state: "degraded", reason, engine }, names);
  expect(words("embedded")).toMatch(/^Captions come from the basic offline recogniser for now: the main engine /);
  expect(words("embedded")).toContain(why);
  expect(words("voxtral")).toContain("Subtitles are having trouble.");
  expect(words("embedded", new Map())).toContain("Subtitles are having trouble.");
});

test("an encrypted meeting is refused with what to do, and one where only some are encrypted goes on", () => {
  const words = (state: "failed" | "degraded"): string => stateWords({ ...LIVE, state, reason: "e2ee_room" }, NAMES);
  expect(words("failed")).toContain("nobody can transcribe it. For subtitles, meet without encryption.");
  expect(words("degraded")).toMatch(/^Subtitles are on, but not for everybody\. What some people say/);
});

test("a line is marked where another engine than the meeting's own heard it", () => {
  expect(markWords("embedded", NAMES)).toBe("Heard by the basic offline recogniser");
  expect(markWords("voxtral", NAMES)).toBeNull();
  expect(markWords("embedded", new Map())).toBeNull();
  expect(markWords("said by mallory", NAMES)).toBeNull();
  expect(markWords("human", NAMES)).toBe("Written by a captioner");
});

test("the bundled engine says what it is", () => {
  const names = new Map([["voxtral", "Voxtral"]]);
  expect(engineWords("embedded", names)).toBe("basic offline recogniser");
  expect(engineWords("voxtral", names)).toBe("Voxtral");
  expect(engineWords("other", names)).toBe("other");
});

test("a language has a name, or at least its tag", () => {
  expect(languageWords("en")).toBe("English");
  expect(languageWords("not a language")).toBe("not a language");
});

test("every error of the API that a page can meet has a sentence of its own", () => {
  const errors = readFileSync(new URL("../../../backend/errors.py", import.meta.url), "utf8");
  const codes = [...errors.matchAll(/code, (?:status, )?detail = "([a-z_]+)"/g)].map(([, code]) => code as string);
  expect(codes.length).toBeGreaterThan(10);
  const unsaid = refusalWords("a code of a later version");
  for (const code of codes.filter((code) => !NOWHERE_HERE.has(code))) expect(refusalWords(code), code).not.toBe(unsaid);
});

test("a microphone that cannot be had is explained, whatever the browser calls it", () => {
  const names = ["NotAllowedError", "NotFoundError", "NotReadableError", "SomethingElse", ""];
  const said = names.map((name) => microphoneWords(name, true));
  expect(new Set(said.slice(0, 4)).size).toBe(4);
  for (const words of said) expect(words).toContain("Unmute");
  expect(microphoneWords("TypeError", false)).toContain("https");
});

test("a refusal about the transcript does not speak of subtitles or of the name one joined with", () => {
  for (const code of ["policy_forbids", "room_forbidden", "invalid_body"]) {
    expect(transcriptRefusalWords(code)).not.toBe(refusalWords(code));
    expect(transcriptRefusalWords(code)).not.toMatch(/ubtitles|name/);
  }
  expect(transcriptRefusalWords("unreachable")).toBe(refusalWords("unreachable"));
});

test("who can read a transcript and for how long is said, as far as the server tells", () => {
  const rules = { areEnabled: true, readers: null, retentionDays: null };
  for (const readers of [null, ...READERS]) {
    for (const retentionDays of [null, 1, 30]) {
      const sentences = readerWords({ ...rules, readers, retentionDays });
      expect(sentences).toHaveLength(3);
      for (const sentence of sentences) expect(sentence).toMatch(/^[A-Z][^_]*\.$/);
    }
  }
  expect(readerWords({ ...rules, readers: "admins", retentionDays: 30 }).join(" ")).toMatch(/Only room admins.*after 30 days/);
});

test("what one has chosen is said in words", () => {
  const me = { isCaptioned: false, isNameHidden: true, pseudonym: "Speaker 3", mayKeep: null };
  expect(captionedWords(me)).toContain("neither captioned nor kept");
  expect(nameWords(me)).toContain("call you Speaker 3");
  expect(nameWords({ ...me, pseudonym: "" })).toContain("call you by a number");
});

test("a receipt is read as a sentence", () => {
  const erased = new Map([["lines", 12], ["line_revisions", 3]]);
  expect(receiptWords({ erased, at: "", by: "participant:ada" })).toMatch(/^Erased: lines 12, line revisions 3\..*by: participant ada\.$/);
});
