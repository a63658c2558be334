// tests/contract/golden/segments.json, which Python's contract is held to as well.

import golden from "../../../tests/contract/golden/segments.json";
import type { ReceivedText, Segment } from "../captions/index";

type Text = string | { repeat: [string, number] };
type Changes = Record<string, string | null>;

const { interim } = golden;

export const NAMES: Record<string, string> = golden.names;
export const MAX_TEXT_CHARS = golden.max_text_chars;

export const ACCEPTED = (golden.accepted as Accepted[]).map(({ why, attributes, text, segment }) => {
  const wanted = { ...interim.segment, ...segment };
  const received = receivedText({ attributes, text: writtenOut(text), senderIdentity: wanted.speaker_identity });
  return { why, received, segment: segmentOf({ ...wanted, text: received.text }) };
});

export const REFUSED = golden.refused.map(({ why, attribute, value }) => ({
  why: `${attribute}: ${why}`,
  received: receivedText({ attributes: { [attribute]: value } }),
}));

export const REFUSED_BY_THE_BROWSER = (golden.refused_by_the_browser as RefusedHere[]).map(
  ({ why, sender, attributes, text }) => ({
    why,
    received: receivedText({ attributes, text: writtenOut(text), senderIdentity: sender }),
  }),
);

interface Accepted {
  why: string;
  attributes: Changes;
  text: Text;
  segment: Partial<typeof interim.segment>;
}

interface RefusedHere {
  why: string;
  sender: string;
  attributes: Changes;
  text: Text;
}

/** The golden interim, changed. */
export function receivedText(
  changes: { attributes?: Changes; text?: string; senderIdentity?: string } = {},
): ReceivedText {
  const attributes = Object.entries({ ...interim.attributes, ...changes.attributes }).filter(([, v]) => v !== null);
  return {
    senderIdentity: changes.senderIdentity ?? interim.sender,
    attributes: Object.fromEntries(attributes) as Record<string, string>,
    text: changes.text ?? interim.text,
  };
}

export function writtenOut(text: Text): string {
  return typeof text === "string" ? text : text.repeat[0].repeat(text.repeat[1]);
}

/** From the contract's fields to ours. */
export function segmentOf(fields: Readonly<Record<string, unknown>>): Segment {
  const camel = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const entries = Object.entries(fields).map(([name, value]) => [camel(name), value]);
  return { ...Object.fromEntries(entries), isStored: false } as Segment;
}
