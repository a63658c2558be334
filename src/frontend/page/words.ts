// What the page says, in plain words. Nothing here repeats an exception's text.

import { ENGINE_HUMAN, MAX_TEXT_CHARS } from "../captions/segments";
import type { Reason, State, Status } from "../captions/status";
import type { Me, Receipt, TranscriptRules } from "./api";

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
  e2ee_room: "This meeting is end-to-end encrypted, so nobody can transcribe it. For subtitles, meet without encryption.",
  budget_spent: "The time paid for has been used up.",
  idle: "Nobody had spoken for a long while.",
  policy: "The rules of this server do not allow them here.",
};

/** What is different where subtitles go on in spite of it. */
const DEGRADED_WORDS: Partial<Record<Reason, string>> = {
  at_capacity: "The speech recogniser has more to do than it can. It is tried again and again.",
  e2ee_room: "What some people say is end-to-end encrypted and cannot be captioned. They can join again without encryption.",
};

/** Why the meeting's own engine is not the one in use. */
const FALLBACK_WORDS: Partial<Record<Reason, string>> = {
  engine_down: "the main engine is not answering. It is tried again and again.",
  engine_auth: "the main engine refused this server's key. Whoever runs this server has to correct it.",
  at_capacity: "the main engine has no room for more. It is tried again and again.",
};

/** From when on people notice that captions lag. */
const NOTICEABLE_MS = 2_000;

/** `engineNames` by id, the meeting's own engine first. */
export function stateWords(
  { state, reason, behindMs, engine }: Omit<Status, "language">,
  engineNames: ReadonlyMap<string, string>,
): string {
  const words = [];
  const fallback = reason !== null && state === "degraded" ? FALLBACK_WORDS[reason] : undefined;
  if (fallback !== undefined && isFallback(engine, engineNames)) {
    words.push(`Captions come from the ${engineWords(engine, engineNames)} for now: ${fallback}`);
  } else if (state === "degraded" && reason === "e2ee_room") {
    words.push("Subtitles are on, but not for everybody.", DEGRADED_WORDS[reason]);
  } else {
    words.push(STATE_WORDS[state]);
    // "on" needs no reason; one left over would only contradict it.
    if (reason !== null && state !== "live") {
      words.push((state === "degraded" ? DEGRADED_WORDS[reason] : undefined) ?? REASON_WORDS[reason]);
    }
  }
  if (behindMs !== null && behindMs >= NOTICEABLE_MS && (state === "live" || state === "degraded")) {
    words.push(`They are about ${Math.round(behindMs / 1000)} seconds behind.`);
  }
  return words.join(" ");
}

/** Of a line that a person wrote, or that another engine heard than the meeting's own; null: nothing to say. */
export function markWords(engine: string, engineNames: ReadonlyMap<string, string>): string | null {
  if (engine === ENGINE_HUMAN) return "Written by a captioner";
  // Whoever captions themselves may name any engine: only those there are count.
  const isKnown = engineNames.has(engine) || engine === "embedded";
  return isKnown && isFallback(engine, engineNames) ? `Heard by the ${engineWords(engine, engineNames)}` : null;
}

function isFallback(engine: string, engineNames: ReadonlyMap<string, string>): boolean {
  const [own] = engineNames.keys();
  return own !== undefined && engine !== own;
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
  event_disabled: "There are no subtitles at this event.",
  policy_forbids: "Starting and stopping subtitles is not for everybody in this meeting. Ask somebody who may.",
  still_stopping: "The last subtitles are still being stopped. Try again in a moment.",
  at_capacity: "All transcribers are busy. Try again in a minute.",
  livekit_unavailable: "The meeting server does not answer. Try again in a minute.",
  database_unavailable: "The server is having trouble. Try again in a minute.",
  throttled: "That was a little too often. Wait a minute and try again.",
  transcripts_off: "No transcripts are kept in this room.",
  transcript_forbidden: "You may not do this with this meeting's transcript. Ask a room admin.",
  transcript_absent: "No transcript of this meeting has been kept.",
  segment_absent: "This line is not in the transcript. Only what has been kept can be corrected.",
  nobody_would_see: "Subtitles are off and no transcript is kept, so nobody would see this.",
  invalid_query: "This cannot be searched for. Try fewer words.",
  format_unknown: "This server does not offer this format. Choose another one.",
  link_expired: "The download was prepared too long ago. Choose the format again.",
  export_late: "The download takes longer than it should. Try again in a few minutes.",
};

/** Where a transcript is what it is about. */
const TRANSCRIPT_REFUSAL_WORDS: Record<string, string> = {
  policy_forbids: "Keeping a transcript is not for everybody in this meeting. Ask a room admin.",
  room_forbidden: "You may not do this with this meeting's transcript. Ask a room admin.",
  invalid_body: `A line needs words, and at most ${MAX_TEXT_CHARS.toLocaleString("en")} characters.`,
};

export function transcriptRefusalWords(code: string): string {
  return TRANSCRIPT_REFUSAL_WORDS[code] ?? refusalWords(code);
}

export const KEPT_WORDS = "This meeting's transcript is being kept.";
export const NO_LONGER_KEPT_WORDS = "This meeting's transcript is no longer being kept. What was kept before stays.";

const READER_WORDS = {
  joined: "Whoever is in the meeting can read and download it, from ten minutes before they first came; room admins all of it.",
  all: "Whoever is in the meeting can read and download all of it.",
  admins: "Only room admins can read and download it.",
};

/** Who can read a transcript and for how long, a sentence each. */
export function readerWords({ readers, retentionDays }: TranscriptRules): readonly string[] {
  return [
    readers === null ? "Who may read and download it is set by whoever runs this server." : READER_WORDS[readers],
    "After the meeting only its organisers and the admins of this server can.",
    retentionDays === null
      ? "It is erased when the time this server keeps transcripts for is over, or when a room admin erases it."
      : `It is erased after ${days(retentionDays)}, unless the organiser has set another time, or when a room admin erases it.`,
  ];
}

function days(count: number): string {
  return count === 1 ? "a day" : `${count} days`;
}

/** What one's own choices come to. */
export function captionedWords({ isCaptioned }: Me): string {
  if (isCaptioned) return "What you say is captioned, and kept where a transcript is.";
  return "The transcriber does not hear you: what you say is neither captioned nor kept.";
}

export function nameWords({ isNameHidden, pseudonym }: Me): string {
  if (!isNameHidden) return "Captions, transcript and downloads show your name.";
  return `Captions, transcript and downloads call you ${pseudonym || "by a number"}. People in the room still see your name there.`;
}

/** A kind of thing and how many of it were erased, in the server's own words for them. */
export function receiptWords({ erased, at, by }: Receipt): string {
  const counts = [...erased].map(([kind, count]) => `${kind.replaceAll("_", " ")} ${count}`).join(", ");
  const time = Number.isNaN(Date.parse(at)) ? at : new Date(at).toLocaleString();
  return `Erased: ${counts || "nothing"}. Time: ${time}. Asked for by: ${by.replace(":", " ")}.`;
}

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
