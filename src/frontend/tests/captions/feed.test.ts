import { expect, test } from "vitest";
import { Allowance } from "../../captions/allowance";
import { CaptionFeed, type Message } from "../../captions/feed";
import type { State, Status } from "../../captions/status";
import { receivedText } from "../golden";

const STATUS = JSON.stringify({ state: "live", engine: "embedded", language: "en", behind_ms: null, reason: null });

function heard(...messages: Message[]): { texts: string[]; statuses: Status[] } {
  const statuses: Status[] = [];
  const feed = new CaptionFeed({ onStatus: (status) => statuses.push(status) });
  for (const message of messages) feed.receive(message);
  return { texts: feed.captions.segments.map(({ text }) => text), statuses };
}

function caption(changes: Parameters<typeof receivedText>[0] = {}): Message {
  return { topic: "lk.transcription", ...receivedText(changes) };
}

test("a caption counts only when its sender is the speaker it names", () => {
  expect(heard(caption()).texts).toEqual(["good morning"]);
  expect(heard(caption({ senderIdentity: "mallory" })).texts).toEqual([]);
  expect(heard(caption({ senderIdentity: "" })).texts).toEqual([]);
});

test("a status counts only when nobody is its sender", () => {
  const status = { topic: "roomscribe.status", text: STATUS };
  expect(heard({ ...status, senderIdentity: "" }).statuses).toHaveLength(1);
  expect(heard({ ...status, senderIdentity: "mallory" }).statuses).toEqual([]);
});

test("messages of other topics are not ours", () => {
  expect(heard({ ...caption(), topic: "lk.chat" })).toEqual({ texts: [], statuses: [] });
  expect(heard({ topic: "lk.transcription", senderIdentity: "", text: STATUS }).statuses).toEqual([]);
});

test("a listener hears only what is new", () => {
  let calls = 0;
  const feed = new CaptionFeed({ onCaptions: () => (calls += 1) });
  for (let n = 0; n < 3; n += 1) feed.receive(caption());
  feed.receive(caption({ senderIdentity: "mallory" }));
  expect(calls).toBe(1);
});

test("whoever floods the room is cut short, and nobody else", () => {
  const flood = Array.from({ length: 1_000 }, (_, n) =>
    caption({
      senderIdentity: "mallory",
      attributes: { "roomscribe.speaker_identity": "mallory", "lk.segment_id": `f${n}` },
      text: "spam",
    }),
  );
  const { texts } = heard(...flood, caption());
  expect(texts).toContain("good morning");
  expect(texts.filter((text) => text === "spam").length).toBeLessThanOrEqual(210);
});

test("an allowance refills with time, up to its burst", () => {
  const allowance = new Allowance({ perSecond: 2, burst: 3 });
  const take = (atMs: number): boolean => allowance.take("ada", atMs);
  expect([take(0), take(0), take(0), take(0)]).toEqual([true, true, true, false]);
  expect([take(500), take(500)]).toEqual([true, false]);
  expect([take(60_000), take(60_000), take(60_000), take(60_000)]).toEqual([true, true, true, false]);
  expect(allowance.take("bob", 60_000)).toBe(true);
});

test("when nobody speaks for the room any more, open lines end as they stand", () => {
  const status = (state: string): Message => ({
    topic: "roomscribe.status",
    senderIdentity: "",
    text: JSON.stringify({ ...JSON.parse(STATUS), state }),
  });
  const isFinalAfter = (state: string): boolean | undefined => {
    const feed = new CaptionFeed({});
    feed.receive(caption({ attributes: { "lk.transcription_final": "false" } }));
    feed.receive(status(state));
    return feed.captions.segments[0]?.isFinal;
  };
  expect(["live", "degraded", "stopping"].map(isFinalAfter)).toEqual([false, false, false]);
  expect(["idle", "failed", "waiting_for_worker"].map(isFinalAfter)).toEqual([true, true, true]);
});

test("a state learnt from the server ends open lines too", () => {
  const isFinalAfter = (state: State): boolean | undefined => {
    const feed = new CaptionFeed({});
    feed.receive(caption({ attributes: { "lk.transcription_final": "false" } }));
    feed.follow(state);
    return feed.captions.segments[0]?.isFinal;
  };
  expect((["live", "joining"] as const).map(isFinalAfter)).toEqual([false, false]);
  expect((["idle", "failed", "waiting_for_worker"] as const).map(isFinalAfter)).toEqual([true, true, true]);
});

test("an interim that comes late opens no line again, a final is welcome", () => {
  const textsIn = (state: State, final: string): string[] => {
    const feed = new CaptionFeed({});
    feed.follow(state);
    feed.receive(caption({ attributes: { "lk.transcription_final": final } }));
    return feed.captions.segments.map(({ text }) => text);
  };
  for (const state of ["idle", "failed"] as const) {
    expect([textsIn(state, "false"), textsIn(state, "true")]).toEqual([[], ["good morning"]]);
  }
  expect(textsIn("live", "false")).toEqual(["good morning"]);
});

function line(n: number, changes: Record<string, string | null> = {}): Message {
  const attributes = { "lk.segment_id": `s${n}`, "roomscribe.sequence": String(n), ...changes };
  return caption({ attributes, text: `line ${n}` });
}

test("who comes late sees every line once, in order, whichever of backlog and live comes first", () => {
  const backlog = Array.from({ length: 50 }, (_, n) => line(n, { "roomscribe.backlog": "true", "lk.transcription_final": "true" }));
  const live = [48, 49, 50, 51].map((n) => line(n, { "lk.transcription_final": "true" }));
  const all = Array.from({ length: 52 }, (_, n) => `line ${n}`);
  expect(heard(...backlog, ...live).texts).toEqual(all);
  expect(heard(...live, ...backlog).texts).toEqual(all);
  expect(heard(...backlog.slice(0, 49), ...live, ...backlog.slice(49)).texts).toEqual(all);
});

test("the longest backlog a deployment may send is taken, and a longer one cut short", () => {
  const backlog = Array.from({ length: 2_000 }, (_, n) => line(n, { "roomscribe.backlog": "true" }));
  const { texts } = heard(...backlog, caption());
  expect(texts.length).toBeGreaterThanOrEqual(1_001);
  expect(texts.length).toBeLessThan(1_100);
  expect(texts).toContain("good morning");
});
