// Who said what, when: a text stream becomes a Segment, or nothing.

import * as names from "./names";

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
}

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
  };
}

/** What a segment is known by. Whoever repeats another speaker's segment id makes a segment of their own. */
export function segmentKey(segment: Pick<Segment, "speakerIdentity" | "id">): string {
  return `${segment.id} ${segment.speakerIdentity}`;
}

function wholeNumber(digits: string | undefined): number | null {
  if (digits === undefined || !DIGITS.test(digits)) return null;
  const number = Number(digits);
  return Number.isSafeInteger(number) ? number : null;
}

function epochMs(digits: string | undefined): number | null {
  const number = wholeNumber(digits);
  return number !== null && number <= LATEST_DATE_MS ? number : null;
}

function shortWord(word: string | undefined): string | null {
  return word !== undefined && word.length <= MAX_WORD_CHARS ? word : null;
}

function isLonger(text: string, chars: number): boolean {
  if (text.length <= chars) return false;
  return text.length > 2 * chars || Array.from(text).length > chars;
}
