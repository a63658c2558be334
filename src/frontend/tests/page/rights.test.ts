import { expect, test } from "vitest";
import { Access } from "../../page/access";
import { Api } from "../../page/api";
import { OwnRights } from "../../page/rights";
import { type Answer, type Asked, ScriptedApi, tokenOf } from "./server";

const SHOWN = { captions: true, name: "shown", pseudonym: null };

function accessTo(server: ScriptedApi, token = "t"): Access {
  return new Access({ api: new Api({ baseUrl: server.url }), room: "r", credential: { token, renewedIfDue: async () => {} } });
}

async function chosen(answers: (asked: Asked) => Answer, choose: (rights: OwnRights) => Promise<unknown>): Promise<unknown[]> {
  await using server = await ScriptedApi.start(answers);
  const seen: unknown[] = [];
  const rights = new OwnRights({
    access: accessTo(server),
    onChange: (me, isBusy) => seen.push([me?.isCaptioned, me?.pseudonym, isBusy ? "busy" : ""].filter((one) => one !== "")),
    onRefused: (code) => seen.push(code),
  });
  await choose(rights);
  return seen;
}

test("a choice is shown when the server has taken it, and meanwhile the one that still holds", async () => {
  const answers = ({ method }: Asked): Answer => ({ body: method === "GET" ? SHOWN : { ...SHOWN, captions: false } });
  const seen = await chosen(answers, async (rights) => {
    await rights.refresh();
    await Promise.all([rights.change({ captions: false }), rights.change({ captions: true })]);
  });
  expect(seen).toEqual([[true], [true, "busy"], [false]]);
});

test("a choice that is refused leaves the one before, and says why", async () => {
  const refused = { status: 503, body: { code: "database_unavailable", detail: "…" } };
  const seen = await chosen(({ method }) => (method === "GET" ? { body: SHOWN } : refused), async (rights) => {
    await rights.refresh();
    await rights.change({ name: "hidden" });
  });
  expect(seen).toEqual([[true], [true, "busy"], "database_unavailable", [true]]);
});

test("asked before the server has seen who joined, it asks again by itself", async () => {
  const unseen = { status: 403, body: { code: "not_a_participant", detail: "…" } };
  let asked = 0;
  const seen = await chosen(() => ((asked += 1) < 2 ? unseen : { body: SHOWN }), (rights) => rights.refresh());
  expect([seen, asked]).toEqual([[[true]], 2]);
});

test.each([
  [{ video: { roomAdmin: true } }, true],
  [{ video: { roomAdmin: "true" } }, false],
  [{ video: null }, false],
  [{}, false],
])("a room admin is known by the token: %o", async (claims, isAdmin) => {
  await using server = await ScriptedApi.start(() => ({}));
  expect(accessTo(server, tokenOf(claims)).isRoomAdmin).toBe(isAdmin);
  expect(accessTo(server, "no token").isRoomAdmin).toBe(false);
});
