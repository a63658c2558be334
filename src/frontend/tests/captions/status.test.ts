import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseStatus, REASONS, STATES, statusFrom } from "../../captions/status";

const LIVE = { state: "live", engine: "embedded", language: "en", behind_ms: null, reason: null };

test("a status of the room is read", () => {
  expect(parseStatus(JSON.stringify({ ...LIVE, state: "degraded", behind_ms: 1200, reason: "engine_down", transcript: "on" }))).toEqual({
    state: "degraded",
    engine: "embedded",
    language: "en",
    behindMs: 1200,
    reason: "engine_down",
    transcript: "on",
  });
});

test("the REST state is read by the same rules", () => {
  const rest = { room: "r", generation: 3, since: null, started_by: "ada", state: "idle", engine: "embedded" };
  expect(statusFrom({ ...rest, language: "en", reason: null })).toMatchObject({ state: "idle", behindMs: null, transcript: "off" });
});

test("a reason of a later version does not hide the state", () => {
  expect(parseStatus(JSON.stringify({ ...LIVE, state: "failed", reason: "eaten_by_a_grue" }))).toMatchObject({
    state: "failed",
    reason: null,
  });
});

test.each([
  "",
  "null",
  "[]",
  '"live"',
  "{",
  JSON.stringify({ ...LIVE, state: "LIVE" }),
  JSON.stringify({ ...LIVE, state: undefined }),
  JSON.stringify({ ...LIVE, state: "__proto__" }),
  JSON.stringify({ ...LIVE, engine: 5 }),
  JSON.stringify({ ...LIVE, engine: "e".repeat(65) }),
  JSON.stringify({ ...LIVE, language: null }),
  JSON.stringify({ ...LIVE, behind_ms: -1 }),
  JSON.stringify({ ...LIVE, behind_ms: "12" }),
  JSON.stringify({ ...LIVE, behind_ms: 1.5 }),
  JSON.stringify({ ...LIVE, reason: 5 }),
  `${JSON.stringify(LIVE)}${" ".repeat(5_000)}`,
  "[".repeat(3_000),
])("a status of another shape is dropped: %j", (json) => {
  expect(parseStatus(json)).toBeNull();
});

test("states and reasons are those of the contract", () => {
  const contract = readFileSync(new URL("../../../contract/status.py", import.meta.url), "utf8");
  const [, states = "", reasons = ""] = contract.split(/^class (?:State|Reason|Status)\b.*$/m);
  const values = (body: string): string[] => [...body.matchAll(/^ {4}[A-Z0-9_]+ = "(.+)"$/gm)].map(([, value]) => value as string);
  expect(values(states)).toEqual([...STATES]);
  expect(values(reasons)).toEqual([...REASONS]);
});
