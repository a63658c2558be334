// What the room is told of its subtitles: src/contract/status.py, and the same fields of the REST state.

export const STATES = [
  "idle",
  "requested",
  "waiting_for_worker",
  "joining",
  "live",
  "degraded",
  "stopping",
  "failed",
] as const;
export type State = (typeof STATES)[number];

export const REASONS = [
  "no_worker",
  "at_capacity",
  "worker_lost",
  "room_empty",
  "engine_down",
  "engine_auth",
  "e2ee_room",
  "budget_spent",
  "idle",
  "policy",
] as const;
export type Reason = (typeof REASONS)[number];

/** Whether what is said is being kept. */
export const TRANSCRIPTS = ["on", "off"] as const;
export type Transcript = (typeof TRANSCRIPTS)[number];

export interface Status {
  readonly state: State;
  readonly engine: string;
  readonly language: string;
  readonly behindMs: number | null;
  readonly reason: Reason | null;
  readonly transcript: Transcript;
}

const MAX_JSON_CHARS = 4_000;
const MAX_WORD_CHARS = 64;

/** The status in a message of topic `roomscribe.status`, or null when it has another shape. */
export function parseStatus(json: string): Status | null {
  if (json.length > MAX_JSON_CHARS) return null;
  try {
    return statusFrom(JSON.parse(json));
  } catch {
    return null;
  }
}

/**
 * The same from a decoded value. A reason this version does not know is left out rather than hiding the state;
 * `behind_ms` may be missing, as it is in the REST state, and `transcript`, from a version before there were any.
 */
export function statusFrom(value: unknown): Status | null {
  if (typeof value !== "object" || value === null) return null;
  const { state, engine, language, behind_ms: behindMs = null, reason = null } = value as Record<string, unknown>;
  const { transcript } = value as Record<string, unknown>;
  if (!STATES.includes(state as State)) return null;
  if (!isWord(engine) || !isWord(language)) return null;
  if (behindMs !== null && !(Number.isSafeInteger(behindMs) && (behindMs as number) >= 0)) return null;
  if (reason !== null && typeof reason !== "string") return null;
  return {
    state: state as State,
    engine,
    language,
    behindMs: behindMs as number | null,
    reason: REASONS.includes(reason as Reason) ? (reason as Reason) : null,
    transcript: transcript === "on" ? "on" : "off",
  };
}

function isWord(value: unknown): value is string {
  return typeof value === "string" && value.length <= MAX_WORD_CHARS;
}
