import { expect, test, vi } from "vitest";
import golden from "../../../../tests/contract/golden/lines.json";
import type { Segment } from "../../captions/index";
import { Access } from "../../page/access";
import { Api } from "../../page/api";
import { KeptLines } from "../../page/kept";
import { type Answer, type Asked, ScriptedApi } from "./server";

const PAGE = 3;

function line(change: number, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return { ...golden.line, id: `s${change}`, sequence: change, change, text: `line ${change}`, ...fields };
}

/** Pages of a record as the server makes them. */
function pages(record: readonly Record<string, unknown>[], { path }: Asked): Answer {
  const since = Number(new URL(path, "http://server").searchParams.get("since"));
  const segments = record.filter(({ change }) => (change as number) > since).slice(0, PAGE);
  return { body: { segments, next: segments.at(-1)?.change ?? since } };
}

interface Stage extends AsyncDisposable {
  readonly server: ScriptedApi;
  readonly kept: KeptLines;
  readonly read: Segment[];
}

async function stage(answers: (asked: Asked) => Answer): Promise<Stage> {
  const server = await ScriptedApi.start(answers);
  const read: Segment[] = [];
  const credential = { token: "t", renewedIfDue: async () => {} };
  const access = new Access({ api: new Api({ baseUrl: server.url }), room: "r", credential });
  const kept = new KeptLines({ access, onLines: (lines) => read.push(...lines), watchedMs: 300 });
  const end = async (): Promise<void> => {
    kept.end();
    await server[Symbol.asyncDispose]();
  };
  return { server, kept, read, [Symbol.asyncDispose]: end };
}

const texts = (lines: readonly Segment[]): string[] => lines.map(({ text }) => text);

test("the record is read page by page to its end, and goes on from there", async () => {
  const record = Array.from({ length: 8 }, (_, n) => line(n + 1));
  await using on = await stage((asked) => pages(record, asked));
  await on.kept.read();
  expect(texts(on.read)).toEqual(record.map(({ text }) => text));
  record[2] = line(9, { id: "s3", sequence: 3, revision: 5, text: "corrected", corrected: true });
  record.push(line(10));
  await on.kept.read();
  expect(texts(on.read).slice(8)).toEqual(["corrected", "line 10"]);
  expect(on.server.asked.map(({ path }) => path.split("=")[1])).toEqual(["0", "3", "6", "8", "8", "10"]);
});

test("asked for while it reads, it reads once more afterwards, however often", async () => {
  await using on = await stage((asked) => pages([], asked));
  await Promise.all([on.kept.read(), on.kept.read(), on.kept.read()]);
  await vi.waitFor(() => expect(on.server.asked).toHaveLength(2));
});

test("what fails on the way is asked for again from where it was, without a gap or a double", async () => {
  const record = Array.from({ length: 5 }, (_, n) => line(n + 1));
  let isDown = false;
  await using on = await stage((asked) => {
    isDown = !isDown && asked.path.endsWith("=3") && on.read.length === 3 && on.server.asked.length === 2;
    return isDown ? { status: 503, body: { code: "database_unavailable", detail: "…" } } : pages(record, asked);
  });
  await on.kept.read();
  expect(on.read).toHaveLength(3);
  await vi.waitFor(() => expect(texts(on.read)).toEqual(record.map(({ text }) => text)), { timeout: 5_000 });
});

test("a server that never reaches the end of a page is not asked for ever", async () => {
  await using on = await stage(() => ({ body: { segments: [line(1)], next: "soon" } }));
  await on.kept.read();
  expect(on.server.asked).toHaveLength(1);
});

test("where none is kept it is not asked again by itself, where one begins it is at once", async () => {
  await using on = await stage(() => ({ status: 403, body: { code: "transcripts_off", detail: "…" } }));
  await on.kept.read();
  expect(on.server.asked).toHaveLength(1);
  on.kept.follow({ isKept: true, isWatched: false });
  await vi.waitFor(() => expect(on.server.asked).toHaveLength(2));
});

test("with no agent a captioner's lines come by themselves, as said now; what was there before does not", async () => {
  const record = [line(1, { engine: "human", human: true })];
  await using on = await stage((asked) => pages(record, asked));
  on.kept.follow({ isKept: true, isWatched: true });
  await vi.waitFor(() => expect(on.read).toHaveLength(1));
  record.push(line(2, { engine: "human", human: true }), line(3));
  await vi.waitFor(() => expect(on.read).toHaveLength(3));
  expect(on.read.map(({ isBacklog }) => isBacklog)).toEqual([true, false, true]);
});

test("the room may say as often as it likes that something has changed", async () => {
  await using on = await stage((asked) => pages([], asked));
  await on.kept.read();
  const saying = setInterval(() => on.kept.readSoon(), 10);
  await vi.waitFor(() => expect(on.server.asked).toHaveLength(2), { timeout: 4_000 });
  clearInterval(saying);
  expect(on.server.asked).toHaveLength(2);
});
