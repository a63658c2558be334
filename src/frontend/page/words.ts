// What the page says, in plain words. Nothing here repeats an exception's text.

import type { Reason, State, Status } from "../captions/status";

const STATE_WORDS: Record<State, string> = {
  idle: "Subtitles are off.",
  requested: "Subtitles have been asked for.",
  waiting_for_worker: "Waiting for a transcriber.",
  joining: "The transcriber is joining the room.",
  live: "Subtitles are on.",
  degraded: "Subtitles are having trouble.",
  stopping: "Subtitles are being stopped.",
  failed: "Subtitles have failed.",
};

const REASON_WORDS: Record<Reason, string> = {
  no_worker: "No transcriber is running on this server. They start as soon as one is.",
  at_capacity: "All transcribers are busy. They start as soon as one is free.",
  worker_lost: "The transcriber was lost and is being replaced.",
  room_empty: "The room was empty.",
  engine_down: "The speech recogniser does not answer. It is tried again and again.",
  engine_auth: "The speech recogniser refused this server's key. Whoever runs this server has to correct it.",
  e2ee_room: "This room is end-to-end encrypted, so nobody else may listen, a transcriber neither.",
  budget_spent: "The time paid for has been used up.",
  idle: "Nobody had spoken for a long while.",
  policy: "The rules of this server do not allow them here.",
};

/** From when on people notice that captions lag. */
const NOTICEABLE_MS = 2_000;

export function stateWords({ state, reason, behindMs }: Pick<Status, "state" | "reason" | "behindMs">): string {
  const words = [STATE_WORDS[state]];
  // "on" needs no reason; one left over would only contradict it.
  if (reason !== null && state !== "live") words.push(REASON_WORDS[reason]);
  if (behindMs !== null && behindMs >= NOTICEABLE_MS && (state === "live" || state === "degraded")) {
    words.push(`They are about ${Math.round(behindMs / 1000)} seconds behind.`);
  }
  return words.join(" ");
}

/** The engine's own name; the bundled one says what it is. */
export function engineWords(engine: string, names: ReadonlyMap<string, string>): string {
  if (engine === "embedded") return "basic offline recogniser";
  return names.get(engine) ?? engine;
}

export function languageWords(language: string): string {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(language) ?? language;
  } catch {
    return language;
  }
}

const REFUSAL_WORDS: Record<string, string> = {
  unreachable: "The server cannot be reached. Check your network and try again.",
  server_trouble: "The server is having trouble. Try again in a minute.",
  unexpected_answer: "The server gave an answer this page does not understand. Reload the page and try again.",
  token_refused: "Your pass for this meeting is no longer valid. Leave and join again.",
  room_forbidden: "You may not do this in this room.",
  not_a_participant: "The server does not see you in this room yet. Wait a moment and try again.",
  connection_details_off:
    "This server does not let people in from this page. Join through your own meeting service, or ask whoever runs it.",
  room_absent: "This room is no longer open. Leave and join again.",
  invalid_body: "This name or room cannot be used. Choose a shorter one without special characters.",
  language_not_available: "This language is not available on this server.",
  identity_reserved: "This name is reserved. Choose another one.",
  identity_in_use: "You are already in this room, in another window perhaps. Leave there first.",
  subtitles_off: "Subtitles are switched off on this server.",
  policy_forbids: "Starting and stopping subtitles is not for everybody in this meeting. Ask somebody who may.",
  still_stopping: "The last subtitles are still being stopped. Try again in a moment.",
  at_capacity: "All transcribers are busy. Try again in a minute.",
  livekit_unavailable: "The meeting server does not answer. Try again in a minute.",
  database_unavailable: "The server is having trouble. Try again in a minute.",
  throttled: "That was a little too often. Wait a minute and try again.",
};

/** What went wrong and what to do, for a code of the API or one of `ApiError`'s own. */
export function refusalWords(code: string): string {
  return REFUSAL_WORDS[code] ?? "That did not work. Try again in a minute.";
}

/** The token was given, the meeting server not reached. */
export const CONNECTION_WORDS =
  "Your browser cannot reach the meeting server. A firewall or VPN may be in the way: try another network, or tell whoever runs this server.";

/** Why no microphone could be opened, from the error's name. */
export function microphoneWords(errorName: string, isSecure: boolean): string {
  if (!isSecure) return "Browsers give the microphone only to pages opened with https or on localhost.";
  switch (errorName) {
    case "NotAllowedError":
    case "SecurityError":
      return "The microphone was not allowed. Allow it in the address bar, then choose Unmute.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "No microphone was found. Connect one and choose Unmute, or play a sample.";
    case "NotReadableError":
    case "AbortError":
      return "The microphone is busy in another program. Free it there, then choose Unmute.";
    default:
      return "The microphone could not be opened. Choose Unmute to try again.";
  }
}
