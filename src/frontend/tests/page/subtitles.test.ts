import { expect, test, vi } from "vitest";
import { type State, type Status, statusFrom } from "../../captions/status";
import { Api } from "../../page/api";
import { Subtitles } from "../../page/subtitles";
import { type Answer, type Asked, IDLE, ScriptedApi } from "./server";

const REFUSED = { status: 503, body: { code: "livekit_unavailable", detail: "…" } };

interface Stage extends AsyncDisposable {
  readonly server: ScriptedApi;
  readonly subtitles: Subtitles;
  readonly shown: string[];
  readonly refused: string[];
  readonly credential: { token: string; renewedIfDue: () => Promise<void> };
}

async function stage(answers: (asked: Asked) => Answer): Promise<Stage> {
  const server = await ScriptedApi.start(answers);
  const credential = { token: "t1", renewedIfDue: async () => {} };
  const shown: string[] = [];
  const refused: string[] = [];
  const subtitles = new Subtitles({
    room: "r",
    api: new Api({ baseUrl: server.url }),
    credential,
    listener: {
      onState: (status, busy, trouble) => shown.push([status?.state, busy, trouble].filter(Boolean).join(" ")),
      onRefused: (code) => refused.push(code),
    },
  });
  const end = async (): Promise<void> => {
    subtitles.end();
    await server[Symbol.asyncDispose]();
  };
  return { server, subtitles, shown, refused, credential, [Symbol.asyncDispose]: end };
}

function status(state: State): Status {
  return statusFrom({ ...IDLE, state }) as Status;
}

function answering(state: State): Answer {
  return { body: { ...IDLE, state } };
}

test("the server is asked for the state, with the token of the moment", async () => {
  await using on = await stage(() => answering("live"));
  await on.subtitles.refresh();
  expect(on.subtitles.status?.state).toBe("live");
  on.credential.token = "t2";
  await on.subtitles.refresh();
  expect(on.server.asked.map(({ authorization }) => authorization)).toEqual(["Bearer t1", "Bearer t2"]);
});

test("a stop by somebody else is shown at once", async () => {
  await using on = await stage(() => answering("live"));
  await on.subtitles.refresh();
  on.subtitles.hear(status("idle"));
  expect(on.shown.at(-1)).toBe("idle");
});

test("an answer older than a message of the room does not undo it", async () => {
  let state: State = "live";
  let answer = (): void => {};
  const late = new Promise<void>((resolve) => (answer = resolve));
  await using on = await stage(() => ({ ...answering(state), after: late }));
  const refreshed = on.subtitles.refresh();
  await vi.waitFor(() => expect(on.server.asked).toHaveLength(1));
  on.subtitles.hear(status("idle"));
  state = "idle";
  answer();
  await refreshed;
  expect(on.shown).toEqual(["idle", "idle"]);
  expect(on.server.asked).toHaveLength(2);
});

test("starting says so at once, and the server has the last word", async () => {
  await using on = await stage(({ method }) => answering(method === "POST" ? "requested" : "waiting_for_worker"));
  await on.subtitles.start();
  expect(on.server.asked.map(({ method }) => method)).toEqual(["POST", "GET"]);
  expect(on.shown).toEqual(["starting", "requested starting", "requested", "waiting_for_worker"]);
});

test("they are started in the language chosen, and changed to another while they run", async () => {
  await using on = await stage(() => answering("live"));
  await on.subtitles.start("fr");
  await on.subtitles.changeLanguage("de");
  const commands = on.server.asked.filter(({ method }) => method !== "GET");
  expect(commands.map(({ method, body }) => [method, body])).toEqual([
    ["POST", '{"language":"fr"}'],
    ["PATCH", '{"language":"de"}'],
  ]);
  expect(on.shown).toContain("live changing");
});

test("pressing twice asks once", async () => {
  await using on = await stage(() => answering("live"));
  await Promise.all([on.subtitles.start(), on.subtitles.start()]);
  expect(on.server.asked.filter(({ method }) => method === "POST")).toHaveLength(1);
});

test("a start that is refused says why, and leaves the state as it is", async () => {
  await using on = await stage(({ method }) => (method === "POST" ? REFUSED : answering("idle")));
  await on.subtitles.start();
  expect(on.refused).toEqual(["livekit_unavailable"]);
  expect(on.shown.at(-1)).toBe("idle");
});

test("started right after a stop, it waits for the stop to finish", async () => {
  const stopping = { status: 503, body: { code: "still_stopping", detail: "…" }, headers: { "Retry-After": "0" } };
  let posts = 0;
  await using on = await stage(({ method }) => {
    if (method !== "POST") return answering("live");
    posts += 1;
    return posts < 3 ? stopping : answering("requested");
  });
  await on.subtitles.start();
  expect([posts, on.refused, on.subtitles.status?.state]).toEqual([3, [], "live"]);
});

test("a state that cannot be read is asked for again, and said only if it stays so", async () => {
  let isDown = true;
  await using on = await stage(() => (isDown ? REFUSED : answering("live")));
  await on.subtitles.refresh();
  expect(on.shown.at(-1)).toBe("");
  await on.subtitles.refresh();
  expect(on.shown.at(-1)).toBe("livekit_unavailable");
  isDown = false;
  await vi.waitFor(() => expect(on.shown.at(-1)).toBe("live"), { timeout: 5_000 });
});

test("nothing is shown once the meeting is over", async () => {
  await using on = await stage(() => answering("live"));
  const refreshed = on.subtitles.refresh();
  on.subtitles.end();
  await refreshed;
  on.subtitles.hear(status("idle"));
  expect(on.shown).toEqual([]);
});

test("a start and a stop wait for a renewal that is due", async () => {
  await using on = await stage(() => answering("live"));
  on.credential.renewedIfDue = async () => {
    on.credential.token += "+";
  };
  await on.subtitles.start();
  await on.subtitles.stop();
  const commands = on.server.asked.filter(({ method }) => method !== "GET");
  expect(commands.map(({ authorization }) => authorization)).toEqual(["Bearer t1+", "Bearer t1++"]);
});

test("a token that has ended does not hide a state that is known", async () => {
  let answer: Answer = answering("live");
  await using on = await stage(() => answer);
  await on.subtitles.refresh();
  answer = { status: 401, body: { code: "token_refused", detail: "…" } };
  for (let tries = 0; tries < 3; tries += 1) await on.subtitles.refresh();
  expect(on.shown.at(-1)).toBe("live");
});

test("started before the server has seen who joined, it asks again by itself", async () => {
  const unseen = { status: 403, body: { code: "not_a_participant", detail: "…" } };
  let posts = 0;
  await using on = await stage(({ method }) => {
    if (method !== "POST") return answering("live");
    posts += 1;
    return posts < 3 ? unseen : answering("requested");
  });
  await on.subtitles.start();
  expect([posts, on.refused, on.subtitles.status?.state]).toEqual([3, [], "live"]);
  expect(on.shown[0]).toBe("starting");
});

test("whoever is not in the room is told so in the end", { timeout: 15_000 }, async () => {
  const unseen = { status: 403, body: { code: "not_a_participant", detail: "…" } };
  await using on = await stage(({ method }) => (method === "POST" ? unseen : answering("idle")));
  await on.subtitles.start();
  expect(on.refused).toEqual(["not_a_participant"]);
  expect(on.server.asked.filter(({ method }) => method === "POST").length).toBeLessThan(10);
});
