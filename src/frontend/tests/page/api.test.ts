import { expect, test } from "vitest";
import { Api, ApiError } from "../../page/api";
import golden from "../../../../tests/contract/golden/lines.json";
import { type Answer, IDLE, ScriptedApi } from "./server";

const DETAILS = { server_url: "ws://lk", participant_token: "t2", room_name: "r", participant_name: "Ada" };

async function refusal(answer: Answer, timeoutMs = 5_000): Promise<ApiError> {
  await using server = await ScriptedApi.start(() => answer);
  const api = new Api({ baseUrl: server.url, timeoutMs });
  return await api.subtitles("r", "t").then(
    () => expect.fail("was not refused"),
    (error: ApiError) => error,
  );
}

test("joining asks the standard token endpoint, without a token", async () => {
  await using server = await ScriptedApi.start(() => ({ status: 201, body: DETAILS }));
  const details = await new Api({ baseUrl: `${server.url}/` }).connectionDetails({ roomName: "r", participantName: "" });
  expect(details).toEqual({ serverUrl: "ws://lk", participantToken: "t2", roomName: "r", participantName: "Ada" });
  expect(server.asked).toEqual([
    {
      method: "POST",
      path: "/api/v1.0/connection-details/",
      authorization: undefined,
      contentType: "application/json",
      body: '{"room_name":"r","participant_name":""}',
    },
  ]);
});

test("renewing sends the valid token and nothing else", async () => {
  await using server = await ScriptedApi.start(() => ({ status: 201, body: DETAILS }));
  expect(await new Api({ baseUrl: server.url }).renewedToken("t1")).toBe("t2");
  expect(server.asked[0]).toMatchObject({ method: "POST", authorization: "Bearer t1", contentType: undefined, body: "" });
});

test("subtitles are read, started, changed and stopped at the room's own path", async () => {
  await using server = await ScriptedApi.start(() => ({ body: IDLE }));
  const api = new Api({ baseUrl: server.url });
  expect(await api.subtitles("plan/ning ü", "t")).toMatchObject({ state: "idle", engine: "embedded" });
  await api.startSubtitles("plan/ning ü", "t");
  await api.changeLanguage("plan/ning ü", "t", "fr");
  await api.stopSubtitles("plan/ning ü", "t");
  const path = "/api/v1.0/rooms/plan%2Fning%20%C3%BC/subtitles/";
  expect(server.asked).toMatchObject([
    { method: "GET", path, authorization: "Bearer t", body: "" },
    { method: "POST", path, authorization: "Bearer t", body: "{}" },
    { method: "PATCH", path, authorization: "Bearer t", body: '{"language":"fr"}' },
    { method: "DELETE", path, authorization: "Bearer t", body: "" },
  ]);
});

test("the configuration names the engines and their languages, the usual one first", async () => {
  const engines = [{ id: "embedded", name: "Basic offline recogniser", languages: ["fr", "en"] }];
  const body = { subtitles_enabled: true, connection_details_enabled: false, language: "en", engines };
  await using server = await ScriptedApi.start(() => ({ body }));
  expect(await new Api({ baseUrl: server.url }).config()).toEqual({
    areSubtitlesEnabled: true,
    handsOutConnections: false,
    engineNames: new Map([["embedded", "Basic offline recogniser"]]),
    languages: ["en", "fr"],
    transcripts: { areEnabled: true, readers: null, retentionDays: null },
  });
});

test("the configuration says whether transcripts are kept, who reads them and how long", async () => {
  const body = {
    transcripts_enabled: false,
    transcript_readers: "joined",
    transcript_retention_days: 30,
  };
  await using server = await ScriptedApi.start(() => ({ body }));
  expect((await new Api({ baseUrl: server.url }).config()).transcripts).toEqual({
    areEnabled: false,
    readers: "joined",
    retentionDays: 30,
  });
});

test("a refusal is known by its code alone", async () => {
  const error = await refusal({ status: 403, body: { code: "room_forbidden", detail: "SECRET" } });
  expect(error).toBeInstanceOf(ApiError);
  expect(error.code).toBe("room_forbidden");
  expect(error.message).not.toContain("SECRET");
});

test.each([
  ["server_trouble", { status: 502, body: "<html>Bad gateway</html>" }],
  ["unexpected_answer", { status: 404, body: "<html>Not found</html>" }],
  ["unexpected_answer", { status: 200, body: "<html>Welcome</html>" }],
  ["unexpected_answer", { status: 200, body: { state: "dancing" } }],
  ["unexpected_answer", { status: 200, body: "null" }],
])("an answer that is not the API's is %s", async (code, answer: Answer) => {
  expect((await refusal(answer)).code).toBe(code);
});

test("a server that does not answer is unreachable", async () => {
  expect((await refusal({ after: new Promise(() => {}) }, 100)).code).toBe("unreachable");
});

test("a server that is not there is unreachable", async () => {
  const server = await ScriptedApi.start(() => ({}));
  const { url } = server;
  await server[Symbol.asyncDispose]();
  await expect(new Api({ baseUrl: url }).config()).rejects.toMatchObject({ code: "unreachable" });
});

test("when to try again is what the server says", async () => {
  const body = { code: "still_stopping", detail: "…" };
  expect((await refusal({ status: 503, body, headers: { "Retry-After": "7" } })).retryAfterS).toBe(7);
  expect((await refusal({ status: 503, body, headers: { "Retry-After": "soon" } })).retryAfterS).toBeNull();
  expect((await refusal({ status: 503, body })).retryAfterS).toBeNull();
});

test("a transcript is kept, read, searched, corrected and erased at the room's own path", async () => {
  const answers: Record<string, unknown> = {
    PUT: { ...IDLE, transcript: "on" },
    GET: { segments: [golden.line, "a line of a later version"], next: 17 },
    PATCH: golden.line,
    DELETE: { erased: { lines: 2, by_magic: "no" }, at: "2026-01-01T10:00:00Z", by: "ada" },
  };
  await using server = await ScriptedApi.start(({ method }) => ({ body: answers[method] }));
  const api = new Api({ baseUrl: server.url });
  expect(await api.keepTranscript("r/ü", "t", true)).toMatchObject({ transcript: "on" });
  const { lines, next, isEmpty } = await api.lines("r/ü", "t", 4);
  expect([lines.map(({ text }) => text), next, isEmpty]).toEqual([[golden.line.text], 17, false]);
  expect(await api.search("r/ü", "t", "größer & mehr")).toHaveLength(1);
  expect(await api.correct("r/ü", "t", "s1", "good morning")).toMatchObject({ id: golden.line.id, isStored: true });
  expect([...(await api.eraseTranscript("r/ü", "t")).erased]).toEqual([["lines", 2]]);
  const room = "/api/v1.0/rooms/r%2F%C3%BC";
  expect(server.asked).toMatchObject([
    { method: "PUT", path: `${room}/transcript/`, authorization: "Bearer t", body: '{"keep":true}' },
    { method: "GET", path: `${room}/segments/?since=4`, authorization: "Bearer t" },
    { method: "GET", path: `${room}/segments/?q=gr%C3%B6%C3%9Fer+%26+mehr` },
    { method: "PATCH", path: `${room}/segments/s1/`, body: '{"text":"good morning"}' },
    { method: "DELETE", path: `${room}/transcript/`, authorization: "Bearer t" },
  ]);
});

test("one's own choices are read and made", async () => {
  await using server = await ScriptedApi.start(({ method }) => ({
    body: method === "GET" ? { captions: true, name: "shown", pseudonym: "Speaker 3" } : { captions: true, name: "hidden", pseudonym: "Speaker 3", may_keep: false },
  }));
  const api = new Api({ baseUrl: server.url });
  expect(await api.me("r", "t")).toEqual({ isCaptioned: true, isNameHidden: false, pseudonym: "", mayKeep: null });
  expect(await api.changeMe("r", "t", { name: "hidden" })).toEqual({ isCaptioned: true, isNameHidden: true, pseudonym: "Speaker 3", mayKeep: false });
  expect(server.asked[1]).toMatchObject({ method: "PUT", path: "/api/v1.0/rooms/r/me/", body: '{"name":"hidden"}' });
});

test.each([
  [`attachment; filename="x.vtt"; filename*=UTF-8''Planung%20%C3%BC.vtt`, "Planung ü.vtt"],
  [`attachment; filename="a \\"b\\".vtt"`, `a "b".vtt`],
  ["attachment; filename=plain.vtt", "plain.vtt"],
  [`attachment; filename="../../etc/passwd"`, "passwd"],
  [`attachment; filename*=UTF-8''%E2%80%AEgpj.exe`, "gpj.exe"],
  [`attachment; filename*=UTF-8''%FF`, "transcript.vtt"],
  ["attachment", "transcript.vtt"],
])("a download has the server's name: %s", async (disposition, name) => {
  await using server = await ScriptedApi.start(() => ({ body: "WEBVTT", headers: { "Content-Disposition": disposition } }));
  const file = await new Api({ baseUrl: server.url }).exported("r", "t", "vtt");
  expect([file.name, await file.content.text()]).toEqual([name, "WEBVTT"]);
  expect(server.asked).toMatchObject([{ path: "/api/v1.0/rooms/r/transcript/export/?format=vtt", authorization: "Bearer t" }]);
});

test("a large download is waited for at its link, which is not sent the token", async () => {
  const pending = { status: 202, body: { status: "pending", download: "/downloads/signed" }, headers: { "Retry-After": "0" } };
  let asked = 0;
  await using server = await ScriptedApi.start(() => ((asked += 1) < 4 ? pending : { body: "{}" }));
  expect((await new Api({ baseUrl: server.url }).exported("r", "t", "json")).name).toBe("transcript.json");
  expect(server.asked.map(({ path, authorization }) => [path, authorization])).toEqual([
    ["/api/v1.0/rooms/r/transcript/export/?format=json", "Bearer t"],
    ...Array.from({ length: 3 }, () => ["/downloads/signed", undefined]),
  ]);
});

test.each([
  ["link_expired", { status: 403, body: { code: "link_expired", detail: "…" } }],
  ["unexpected_answer", { status: 202, body: { status: "pending" } }],
  ["unexpected_answer", { status: 202, body: { status: "pending", download: "javascript:alert(1)" } }],
])("a download that is not to be had is %s", async (code, answer: Answer) => {
  await using server = await ScriptedApi.start(() => answer);
  await expect(new Api({ baseUrl: server.url }).exported("r", "t", "json")).rejects.toMatchObject({ code });
});
