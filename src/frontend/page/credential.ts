// The participant token: the page's pass to the API, renewed for as long as the meeting lasts.

const LONGEST_MS = 10 * 60_000;
const SHORTEST_MS = 1_000;
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 30_000;

interface Times {
  readonly exp?: unknown;
  readonly nbf?: unknown;
  readonly iat?: unknown;
}

/** When to renew a token that was received now: every ten minutes, sooner for one that lives shorter. */
export function renewalDelayMs(token: string, nowMs: number): number {
  const { exp, nbf, iat } = payloadOf(token);
  if (typeof exp !== "number") return LONGEST_MS;
  const begin = [nbf, iat].find((time) => typeof time === "number");
  // Both readings, because this clock may be wrong and a token may have been made earlier.
  const lifetimes = [exp * 1000 - nowMs, begin === undefined ? 0 : (exp - begin) * 1000].filter((ms) => ms > 0);
  const lifetimeMs = lifetimes.length > 0 ? Math.min(...lifetimes) : 0;
  return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, (lifetimeMs * 2) / 3));
}

function payloadOf(token: string): Times {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const times: unknown = JSON.parse(atob(payload));
    return typeof times === "object" && times !== null ? times : {};
  } catch {
    return {};
  }
}

export type Renew = (token: string) => Promise<string>;

/** `token` is always the newest; `end()` when the meeting is over. */
export class Credential {
  token: string;
  readonly #renew: Renew;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueAtMs = 0;
  #failures = 0;
  #isRenewing = false;
  #hasEnded = false;

  constructor(token: string, renew: Renew) {
    this.token = token;
    this.#renew = renew;
    this.#waitMs(renewalDelayMs(token, Date.now()));
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
  }

  /** For when timers may have stood still: the page comes back to the foreground. */
  renewIfDue(): void {
    if (Date.now() >= this.#dueAtMs) void this.#renewNow();
  }

  async #renewNow(): Promise<void> {
    if (this.#isRenewing || this.#hasEnded) return;
    this.#isRenewing = true;
    clearTimeout(this.#timer);
    const delayMs = await this.#renewed();
    this.#isRenewing = false;
    if (!this.#hasEnded) this.#waitMs(delayMs);
  }

  /** Milliseconds until the next renewal, or until this one is tried again. */
  async #renewed(): Promise<number> {
    try {
      this.token = await this.#renew(this.token);
      this.#failures = 0;
      return renewalDelayMs(this.token, Date.now());
    } catch {
      this.#failures += 1;
      return Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1));
    }
  }

  #waitMs(delayMs: number): void {
    this.#dueAtMs = Date.now() + delayMs;
    this.#timer = setTimeout(() => void this.#renewNow(), delayMs);
  }
}
