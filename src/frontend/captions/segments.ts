// Who said what, when: a text stream becomes a Segment, or nothing.

import * as names from "./names.js";

/** One revision of one stretch of one participant's speech; `text` is the whole segment so far. */
export interface Segment {
  readonly id: string;
  readonly trackSid: string;
  readonly sequence: number;
  readonly revision: number;
  readonly isFinal: boolean;
  readonly speakerIdentity: string;
  readonly speakerName: string;
  readonly language: string;
  /** UTC epoch. */
  readonly startMs: number;
  readonly endMs: number;
  readonly engine: string;
  readonly text: string;
  readonly isBacklog: boolean;
  /** By a person, after it was said. */
  readonly isCorrected: boolean;
  /** Read from the server's record, whose word it is who said it; never so for what the room sends. */
  readonly isStored: boolean;
}

/** Instead of an engine's name: a person wrote it. */
export const ENGINE_HUMAN = "human";

/** A text stream as it came; `senderIdentity` is the one LiveKit asserts. */
export interface ReceivedText {
  readonly senderIdentity: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Characters (code points) a caption may have. */
export const MAX_TEXT_CHARS = 4_000;

const MAX_NAME_CHARS = 256;
const MAX_WORD_CHARS = 64;
const LATEST_DATE_MS = 8.64e15;
const SEGMENT_ID = /^[\w.:-]{1,64}$/;
const DIGITS = /^[0-9]{1,16}$/;

/**
 * The segment a text stream carries, or null when it does not count.
 *
 * LiveKit overwrites the sender of every stream that does not come from an agent, so a caption counts only
 * when its sender is the speaker it names: a participant can at most invent captions about themselves.
 */
export function parseSegment({ senderIdentity, attributes, text }: ReceivedText): Segment | null {
  const speakerIdentity = attributes[names.ATTRIBUTE_SPEAKER_IDENTITY];
  if (!speakerIdentity || speakerIdentity !== senderIdentity || isLonger(text, MAX_TEXT_CHARS)) return null;

  const id = attributes[names.ATTRIBUTE_SEGMENT_ID];
  const final = attributes[names.ATTRIBUTE_FINAL];
  const trackSid = shortWord(attributes[names.ATTRIBUTE_TRACK_ID]);
  const sequence = wholeNumber(attributes[names.ATTRIBUTE_SEQUENCE]);
  const revision = wholeNumber(attributes[names.ATTRIBUTE_REVISION]);
  const speakerName = attributes[names.ATTRIBUTE_SPEAKER_NAME];
  const language = shortWord(attributes[names.ATTRIBUTE_LANGUAGE]);
  const startMs = epochMs(attributes[names.ATTRIBUTE_START_MS]);
  const endMs = epochMs(attributes[names.ATTRIBUTE_END_MS]);
  const engine = shortWord(attributes[names.ATTRIBUTE_ENGINE]);

  if (id === undefined || !SEGMENT_ID.test(id)) return null;
  if (final !== "true" && final !== "false") return null;
  if (typeof speakerName !== "string" || isLonger(speakerName, MAX_NAME_CHARS)) return null;
  if (trackSid === null || language === null || engine === null) return null;
  if (sequence === null || revision === null || startMs === null || endMs === null) return null;

  return {
    id,
    trackSid,
    sequence,
    revision,
    isFinal: final === "true",
    speakerIdentity,
    speakerName,
    language,
    startMs,
    endMs,
    engine,
    text,
    isBacklog: attributes[names.ATTRIBUTE_BACKLOG] === "true",
    isCorrected: attributes[names.ATTRIBUTE_CORRECTED] === "true",
    isStored: false,
  };
}

/**
 * The segment that a line of the record is, as `GET rooms/{room}/segments/` lists it, or null where it has another
 * shape. What was said before is marked as backlog: it is read, not announced.
 */
export function parseLine(line: unknown): Segment | null {
  if (typeof line !== "object" || line === null) return null;
  const { id, text, speaker_identity, speaker_name, ...rest } = line as Readonly<Record<string, unknown>>;
  const [sequence, revision, startMs, endMs] = [rest.sequence, rest.revision, rest.start_ms, rest.end_ms];
  const [trackSid, language, engine] = [rest.track_sid, rest.language, rest.engine];
  if (typeof id !== "string" || !SEGMENT_ID.test(id)) return null;
  if (!isShort(text, MAX_TEXT_CHARS) || !isShort(speaker_name, MAX_NAME_CHARS)) return null;
  if (!isShort(speaker_identity, MAX_NAME_CHARS) || speaker_identity === "") return null;
  if (!isShort(trackSid, MAX_WORD_CHARS) || !isShort(language, MAX_WORD_CHARS) || !isShort(engine, MAX_WORD_CHARS)) return null;
  if (!isCount(sequence) || !isCount(revision) || !isDate(startMs) || !isDate(endMs)) return null;
  return {
    id,
    trackSid,
    sequence,
    revision,
    isFinal: true,
    speakerIdentity: speaker_identity,
    speakerName: speaker_name,
    language,
    startMs,
    endMs,
    engine,
    text,
    isBacklog: true,
    isCorrected: rest.corrected === true,
    isStored: true,
  };
}

/** Place in the meeting: by sequence; two that people and the agent began at once by their start. */
export function isBefore(one: Place, other: Place): boolean {
  return one.sequence === other.sequence ? one.startMs < other.startMs : one.sequence < other.sequence;
}

type Place = Pick<Segment, "sequence" | "startMs">;

/** What a segment is known by. Whoever repeats another speaker's segment id makes a segment of their own. */
export function segmentKey(segment: Pick<Segment, "speakerIdentity" | "id">): string {
  return `${segment.id} ${segment.speakerIdentity}`;
}

function wholeNumber(digits: string | undefined): number | null {
  if (digits === undefined || !DIGITS.test(digits)) return null;
  const number = Number(digits);
  return isCount(number) ? number : null;
}

function epochMs(digits: string | undefined): number | null {
  const number = wholeNumber(digits);
  return isDate(number) ? number : null;
}

function shortWord(word: string | undefined): string | null {
  return word !== undefined && word.length <= MAX_WORD_CHARS ? word : null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isDate(value: unknown): value is number {
  return isCount(value) && value <= LATEST_DATE_MS;
}

function isShort(value: unknown, chars: number): value is string {
  return typeof value === "string" && !isLonger(value, chars);
}

function isLonger(text: string, chars: number): boolean {
  if (text.length <= chars) return false;
  return text.length > 2 * chars || Array.from(text).length > chars;
}
