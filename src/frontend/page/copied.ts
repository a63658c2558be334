// The transcript as text, to be pasted elsewhere.

import { captionedName, type NameOf, type Segment } from "../captions/index";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** A line each, `[10:03:12] Ada: good morning`; what is still being said as well. */
export function transcriptText(segments: readonly Segment[], nameOf: NameOf): string {
  return segments
    .map((segment) => `[${clock.format(segment.startMs)}] ${captionedName(segment, nameOf)}: ${segment.text.replace(/\s+/g, " ").trim()}`)
    .join("\n");
}
