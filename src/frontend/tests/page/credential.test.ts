import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../../page/api";
import { Credential, renewalDelayMs } from "../../page/credential";
import { tokenOf } from "./server";

const NOW_MS = 1_767_225_600_000;
const NOW_S = NOW_MS / 1_000;

beforeEach(() => vi.useFakeTimers({ now: NOW_MS }));
afterEach(() => vi.useRealTimers());

/** A token made now. */
function token(ttlS: number): string {
  const nowS = Math.floor(Date.now() / 1_000);
  return tokenOf({ nbf: nowS, exp: nowS + ttlS });
}

function credentialOf(first: string, renew: (token: string) => Promise<string>, onRefused = (): void => {}): Credential {
  return new Credential(first, { renew, onRefused });
}

test.each([
  ["lives a quarter of an hour", { nbf: NOW_S, exp: NOW_S + 900 }, 600_000],
  ["lives six hours", { nbf: NOW_S, exp: NOW_S + 21_600 }, 600_000],
  ["lives shorter", { nbf: NOW_S, exp: NOW_S + 30 }, 20_000],
  ["was made a while ago", { nbf: NOW_S - 300, exp: NOW_S + 600 }, 400_000],
  ["says only when it was issued", { iat: NOW_S, exp: NOW_S + 30 }, 20_000],
  ["says only its end", { exp: NOW_S + 30 }, 20_000],
  ["is of another clock, ahead", { nbf: NOW_S + 3_600, exp: NOW_S + 3_630 }, 20_000],
  ["is of another clock, behind", { nbf: NOW_S - 3_600, exp: NOW_S - 3_570 }, 20_000],
  ["lives hardly at all", { nbf: NOW_S, exp: NOW_S + 1 }, 1_000],
  ["has no end", { nbf: NOW_S }, 600_000],
])("a token that %s is renewed in time", (_, claims, delayMs) => {
  expect(renewalDelayMs(tokenOf(claims), NOW_MS)).toBe(delayMs);
});

test("a token that cannot be read is renewed every ten minutes", () => {
  for (const odd of ["", "a.b.c", "x", tokenOf(null as never)]) expect(renewalDelayMs(odd, NOW_MS)).toBe(600_000);
});

test("a token with a name in any script can be read", () => {
  expect(renewalDelayMs(tokenOf({ name: "ليلى 😀", nbf: NOW_S, exp: NOW_S + 30 }), NOW_MS)).toBe(20_000);
});

test("each renewal uses the newest token", async () => {
  const used: string[] = [];
  const first = token(900);
  const credential = credentialOf(first, async (current) => {
    used.push(current);
    return token(900);
  });
  await vi.advanceTimersByTimeAsync(600_000);
  const second = credential.token;
  expect(used).toEqual([first]);
  expect(second).not.toBe(first);
  await vi.advanceTimersByTimeAsync(600_000);
  expect(used).toEqual([first, second]);
  credential.end();
});

test("a renewal that fails is tried again, and the old token used meanwhile", async () => {
  let failures = 0;
  const first = token(900);
  const credential = credentialOf(first, async () => {
    if (failures < 3) {
      failures += 1;
      throw new Error("no network");
    }
    return token(900);
  });
  await vi.advanceTimersByTimeAsync(600_000 + 2_000 + 4_000);
  expect([failures, credential.token]).toEqual([3, first]);
  await vi.advanceTimersByTimeAsync(8_000);
  expect(credential.token).not.toBe(first);
  credential.end();
});

test("nothing is renewed once the meeting is over", async () => {
  let renewals = 0;
  const credential = credentialOf(token(30), async () => {
    renewals += 1;
    return token(30);
  });
  credential.end();
  void credential.renewedIfDue();
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(renewals).toBe(0);
});

test("a page that slept renews when it wakes, once", async () => {
  let renewals = 0;
  const credential = credentialOf(token(900), async () => {
    renewals += 1;
    return token(900);
  });
  void credential.renewedIfDue();
  expect(renewals).toBe(0);
  vi.setSystemTime(NOW_MS + 700_000);
  void credential.renewedIfDue();
  void credential.renewedIfDue();
  await vi.advanceTimersByTimeAsync(0);
  expect(renewals).toBe(1);
  credential.end();
});

test("who needs the token waits for a renewal that is due, but not for long", async () => {
  let renew: (token: string) => void = () => {};
  const credential = credentialOf(token(900), () => new Promise((renewed) => (renew = renewed)));
  vi.setSystemTime(NOW_MS + 700_000);
  const seen: string[] = [];
  const wait = (name: string): void => void credential.renewedIfDue().then(() => seen.push(name));

  wait("first");
  await vi.advanceTimersByTimeAsync(1_900);
  expect(seen).toEqual([]);
  await vi.advanceTimersByTimeAsync(200);
  expect(seen).toEqual(["first"]);
  wait("second");
  renew(token(900));
  await vi.advanceTimersByTimeAsync(0);
  expect(seen).toEqual(["first", "second"]);
  credential.end();
});

test("after a failure it is tried again as soon as the network may be back", async () => {
  let isDown = true;
  const first = token(900);
  const credential = credentialOf(first, async () => {
    if (isDown) throw new ApiError("unreachable");
    return token(900);
  });
  await vi.advanceTimersByTimeAsync(600_000);
  isDown = false;
  await credential.renewedIfDue();
  expect(credential.token).not.toBe(first);
  credential.end();
});

test("a token the server no longer takes is told once, and not tried for ever", async () => {
  let [renewals, refusals] = [0, 0];
  const renew = async (): Promise<string> => {
    renewals += 1;
    throw new ApiError("token_refused");
  };
  const credential = credentialOf(token(900), renew, () => (refusals += 1));
  await vi.advanceTimersByTimeAsync(3_600_000);
  await credential.renewedIfDue();
  expect([renewals, refusals]).toEqual([1, 1]);
});
