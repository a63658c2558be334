import type { Segment } from "../../captions/index";

/** A segment for tests that care about only some of its fields. */
export function said(fields: Partial<Segment> & { text: string }): Segment {
  return {
    id: "s1",
    trackSid: "TR_1",
    sequence: 1,
    revision: 0,
    isFinal: false,
    speakerIdentity: "ada",
    speakerName: "Ada",
    language: "en",
    startMs: 1_000,
    endMs: 2_000,
    engine: "embedded",
    isBacklog: false,
    isCorrected: false,
    isStored: false,
    ...fields,
  };
}
