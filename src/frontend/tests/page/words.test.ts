import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { REASONS, STATES } from "../../captions/status";
import { engineWords, languageWords, microphoneWords, refusalWords, stateWords } from "../../page/words";

const NOWHERE_HERE = new Set(["internal_token_refused", "claim_stale", "webhook_refused", "attribute_not_allowed"]);

test("every state and every reason is said in words", () => {
  for (const state of STATES) {
    for (const reason of [null, ...REASONS]) {
      expect(stateWords({ state, reason, behindMs: null })).toMatch(/^[A-Z].*\.$/);
      expect(stateWords({ state, reason, behindMs: null })).not.toMatch(/_|undefined/);
    }
  }
});

test("a lag people notice is said", () => {
  expect(stateWords({ state: "live", reason: null, behindMs: 300 })).toBe("Subtitles are on.");
  expect(stateWords({ state: "live", reason: null, behindMs: 3_200 })).toContain("3 seconds behind");
  expect(stateWords({ state: "idle", reason: null, behindMs: 3_200 })).not.toContain("behind");
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
