import { expect, test } from "vitest";
import { Api, ApiError } from "../../page/api";
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
