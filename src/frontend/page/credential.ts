// The participant token: the page's pass to the API, renewed for as long as the meeting lasts.

import { ApiError } from "./api";

const LONGEST_MS = 10 * 60_000;
const SHORTEST_MS = 1_000;
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 30_000;
/** As long as whoever pressed a button is kept waiting for a renewal. */
const PATIENCE_MS = 2_000;

interface Claims {
  readonly exp?: unknown;
  readonly nbf?: unknown;
  readonly iat?: unknown;
  readonly video?: unknown;
}

/** Whether the token makes its holder an admin of the room. Only what is offered hangs on it: the server checks. */
export function isRoomAdmin(token: string): boolean {
  const { video } = payloadOf(token);
  return typeof video === "object" && video !== null && "roomAdmin" in video && video.roomAdmin === true;
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

function payloadOf(token: string): Claims {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const claims: unknown = JSON.parse(atob(payload));
    return typeof claims === "object" && claims !== null ? claims : {};
  } catch {
    return {};
  }
}

export interface CredentialOptions {
  readonly renew: (token: string) => Promise<string>;
  /** Called once, when the server no longer takes the token: nothing can renew it any more. */
  readonly onRefused: () => void;
}

/** `token` is always the newest; `end()` when the meeting is over. */
export class Credential {
  token: string;
  readonly #options: CredentialOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dueAtMs = 0;
  #failures = 0;
  #renewal: Promise<void> | null = null;
  #hasEnded = false;

  constructor(token: string, options: CredentialOptions) {
    this.token = token;
    this.#options = options;
    this.#waitUntilDue();
  }

  end(): void {
    this.#hasEnded = true;
    clearTimeout(this.#timer);
  }

  /**
   * For when timers may have stood still, and before what needs the token: resolves when a renewal that is due
   * is over, or after PATIENCE_MS.
   */
  async renewedIfDue(): Promise<void> {
    if (Date.now() < this.#dueAtMs && this.#renewal === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((over) => (timer = setTimeout(over, PATIENCE_MS)));
    await Promise.race([this.#renewNow(), patience]);
    clearTimeout(timer);
  }

  async #renewNow(): Promise<void> {
    if (this.#hasEnded) return;
    this.#renewal ??= this.#renewOnce().finally(() => (this.#renewal = null));
    await this.#renewal;
  }

  async #renewOnce(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const token = await this.#options.renew(this.token);
      if (this.#hasEnded) return;
      this.token = token;
      this.#failures = 0;
      this.#waitUntilDue();
    } catch (error) {
      if (this.#hasEnded) return;
      if (error instanceof ApiError && error.code === "token_refused") return this.#giveUp();
      this.#failures += 1;
      // It stays due: whatever says that the network is back need not wait for this.
      this.#tryInMs(Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.#failures - 1)));
    }
  }

  #giveUp(): void {
    this.end();
    this.#options.onRefused();
  }

  #waitUntilDue(): void {
    const delayMs = renewalDelayMs(this.token, Date.now());
    this.#dueAtMs = Date.now() + delayMs;
    this.#tryInMs(delayMs);
  }

  #tryInMs(delayMs: number): void {
    this.#timer = setTimeout(() => void this.#renewNow(), delayMs);
  }
}
